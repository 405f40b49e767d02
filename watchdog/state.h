/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h: state.json, what must survive a restart beside the bundles.
 *
 *   {"schema_version":1,"incidents":{...},"judge":{...}}
 *
 * Replaced whole and atomically, at changes, debounced; written in the thread pool. A file that
 * cannot be read costs cooldowns and what was learned, never the start.
 */
#ifndef WATCHDOG_STATE_H
#define WATCHDOG_STATE_H

#include "base/buf.h"
#include "base/error.h"

#include <uv.h>

struct state_texts {
    char *incidents; /* JSON object, NULL when absent; owned */
    char *judge;     /* JSON object, NULL when absent; owned */
};

/* Reads state.json under root_fd. Absent: 0 with both NULL. Garbage: -EINVAL with both NULL. */
int state_load(int root_fd, struct state_texts *ret, struct error *err);
void state_release(struct state_texts *t);
/* Writes state.json from the two objects (NULL: left out), fsync included: any thread. */
int state_store(int root_fd, const struct state_texts *t, struct error *err);

struct state_writer;

/* `collect` fills the texts when a write is due (on the loop); `done` hears of each end. root_fd
 * outlives the writer. */
struct state_writer *state_writer_new(uv_loop_t *loop, int root_fd,
                                      void (*collect)(struct state_texts *ret, void *arg),
                                      void (*done)(int status, const struct error *err, void *arg),
                                      void *arg);
/* Something changed: written within half a second, later changes with it. */
void state_writer_touch(struct state_writer *w);
/* True while a change is not on disk yet. */
bool state_writer_busy(const struct state_writer *w);
/* Writes at once and in this thread what is pending, and ends the writer; freed by libuv's close.
 */
void state_writer_stop(struct state_writer *w);

#endif
