/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_step.h: carries out one step of a collector's plan.
 */
#ifndef WATCHDOG_COLLECT_STEP_H
#define WATCHDOG_COLLECT_STEP_H

#include "collectors/collector.h"
#include "watchdog/collect_file.h"
#include "watchdog/collect_job.h"
#include "watchdog/collect_meta.h"

/* What all steps of one run share. Everything is borrowed for the run. */
struct collect_steps {
    const struct collector_config *config;
    const struct collector_target *target;
    int pidfd;     /* of the target; -1: there is no process */
    int folder_fd; /* artifacts/<collector> */
    int lock_fd;   /* file that whoever uses ptrace locks; -1: none */
    int64_t max_bytes;
    int64_t end_ms; /* monotonic: deadline of the run */
    struct collect_control control;
    struct collect_meta *meta;
    struct collect_file_set seen; /* names that are recorded already */
    bool timed_out;
};

/* Runs `step` and records its artifacts. 0, also when it failed; -EINTR when everything is over. */
int collect_step_run(struct collect_steps *s, const struct collector_step *step);
/* Records `step` as skipped for `reason`. */
void collect_step_skip(struct collect_steps *s, const struct collector_step *step,
                       const char *reason);
/* Full path of the program `name` into `out`: as is with a slash, beside us for "incidentd-...",
 * else in the fixed PATH. 0 or -ENOENT. */
int collect_step_resolve(const char *name, char *out, size_t size);
/* TracerPid of `pid`, 0 when it is not traced, or -1 when it cannot be read. */
int collect_step_tracer(pid_t pid);

#endif
