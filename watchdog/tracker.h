/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracker.h: which process is each target, and is it alive.
 *
 * A target is found through incidentd (WIRE_FIND), which may look into other users' processes; the
 * answer carries a pidfd, so that a later process with the same number is never taken for it. The
 * pidfd's end is reported at once; then the target is searched again, each second at first.
 */
#ifndef WATCHDOG_TRACKER_H
#define WATCHDOG_TRACKER_H

#include "collectors/collector.h"
#include "watchdog/link.h"

struct tracker_process {
    pid_t pid; /* 0: none known */
    uint64_t start_ticks;
    int64_t start_ms; /* wall time of its start, 0 when none */
    const char *exe;  /* "" when unknown; valid until the next change */
    enum collector_runtime runtime;
    const char *error; /* why the last search found none, "" when one is known */
    pid_t last_pid;    /* while none is known: the one that exited last, 0 when there was none */
    uint64_t last_start_ticks;
};

/* Called on the loop when target `target` was found (pid > 0) or has exited (pid == 0). */
typedef void tracker_changed(size_t target, const struct tracker_process *now, void *arg);

struct tracker;

/* Tracks `count` targets; those whose `wanted[i]` is false are never searched. The first search is
 * sent by the loop, not by this call. Never NULL; neither array is kept. */
struct tracker *tracker_start(uv_loop_t *loop, struct link *link, const bool *wanted, size_t count,
                              tracker_changed *changed, void *arg);
/* Ends; no further call comes. Freed when libuv has closed the handles and every request is
 * answered, so close the link after this. NULL is a no-op. */
void tracker_stop(struct tracker *t);
/* What is known of a target now. */
void tracker_process_of(const struct tracker *t, size_t target, struct tracker_process *ret);

#endif
