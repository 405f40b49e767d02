/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_meta.h: meta/<NNN>-<collector>-<phase>.jsonl, what one run did, a line at a time.
 *
 * Each line is written when it happens, so that a run that is killed leaves a "start" without an
 * "end" and the artifacts it had finished.
 */
#ifndef WATCHDOG_COLLECT_META_H
#define WATCHDOG_COLLECT_META_H

#include "base/error.h"
#include "collectors/collector.h"
#include "watchdog/wire.h"

enum collect_status {
    COLLECT_OK,
    COLLECT_PARTIAL,
    COLLECT_EMPTY,
    COLLECT_FAILED,
    COLLECT_SKIPPED,
    COLLECT_STATUSES
};

struct collect_artifact {
    const char *name; /* below artifacts/<collector>/ */
    enum collect_status status;
    int64_t started_ms; /* monotonic */
    int64_t ended_ms;
    const char *exit; /* "exit status 0", "" when no tool ran */
    bool truncated;
    const char *error; /* "" when none */
    enum collector_sensitivity sensitivity;
    const char *const *argv; /* NULL-terminated, or NULL */
};

struct collect_meta {
    int fd;
    char name[128]; /* below the staging directory */
    const char *collector;
    unsigned counts[COLLECT_STATUSES]; /* artifacts by status */
    char problem[384];                 /* the first error text, "" when none; a failure before a
                                          skip */
    bool problem_is_bad;
};
#define COLLECT_META_INIT                                                                          \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* Creates the file under `staging_fd` and writes its start line. `config` must outlive `ret`. */
int collect_meta_open(int staging_fd, unsigned run, const struct collector_config *config,
                      enum collector_phase phase, struct collect_meta *ret, struct error *err);
void collect_meta_artifact(struct collect_meta *m, const struct collect_artifact *a);
/* Writes the end line and closes. */
void collect_meta_end(struct collect_meta *m, enum wire_outcome outcome, const char *text);
/* Closes and takes the file away: a phase in which the collector had nothing to do is no run. */
void collect_meta_drop(struct collect_meta *m, int staging_fd);

#endif
