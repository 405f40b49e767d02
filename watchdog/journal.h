/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h: one append-only file per capture, from its trigger until its bundle is listed.
 *
 *   {"step":"trigger","wall_ms":N,"base":{...}}   everything the manifest needs of the trigger
 *   {"step":"begun","wall_ms":N}
 *   {"step":"phase","wall_ms":N,"text":"sample"}
 *   {"step":"run","wall_ms":N,"text":"perf sample done"}
 *   {"step":"sealing"} {"step":"packed"} {"step":"lost-pending","text":"why"}
 *
 * The first line is put in place whole (temporary file, fsync, rename, fsync of the folder): a
 * journal that exists has its trigger. Further lines are for the reader of a crash; recovery
 * decides by what lies on the disk. A torn last line is normal after a crash and ignored.
 */
#ifndef WATCHDOG_JOURNAL_H
#define WATCHDOG_JOURNAL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

#include <uv.h>

enum { JOURNAL_BYTES = 1 << 20 };

/* Creates journal/<id>.jsonl with its first line; `base` is a JSON object. Durable on return. */
int journal_create(int journal_fd, const char *id, const char *base, int64_t wall_ms,
                   struct error *err);
/* Appends complete lines and makes them durable. */
int journal_append(int journal_fd, const char *id, const char *lines, size_t len,
                   struct error *err);
/* Removes it, durably; absent is success. */
int journal_remove(int journal_fd, const char *id, struct error *err);

struct journal_record {
    char *base;    /* JSON object of the trigger; owned */
    char step[16]; /* the last step that is whole */
    char text[200];
};
/* Reads it; -EINVAL when its first line is not a trigger. */
int journal_read(int journal_fd, const char *id, struct journal_record *ret, struct error *err);
void journal_record_release(struct journal_record *r);
/* Removes temporary files of a crash; before the first journal of this run is written. */
void journal_clean(int journal_fd);
/* The ids of all journals, NULL-terminated, in byte order; freed by journal_free_ids. NULL when the
 * folder cannot be read. */
char **journal_list(int journal_fd, struct error *err);
void journal_free_ids(char **ids);

/* The loop's side: one writer per capture, its writes one after the other in the thread pool. */
struct journal_writer;
typedef void journal_done(int status, const struct error *err, void *arg);

/* A writer for the journal of `id`, which exists (recovery) or is created next. Never NULL. */
struct journal_writer *journal_writer_new(uv_loop_t *loop, int journal_fd, const char *id);
/* Starts creating the journal with its first line, before any step; `created` hears of the end. The
 * first failure of a later step is kept. */
void journal_writer_create(struct journal_writer *w, const char *base, int64_t wall_ms,
                           journal_done *created, void *arg);
/* Appends a step; never waits; lost lines cost nothing but explanation. `text` may be NULL. */
void journal_writer_step(struct journal_writer *w, const char *step, int64_t wall_ms,
                         const char *text);
/* Finishes what is pending, removes the file when `remove`, calls `ended` (may be NULL), frees. */
void journal_writer_end(struct journal_writer *w, bool remove, journal_done *ended, void *arg);

#endif
