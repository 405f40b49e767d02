/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_job.h: one child of incidentd-collect from its start to the end of its whole tree.
 */
#ifndef WATCHDOG_COLLECT_JOB_H
#define WATCHDOG_COLLECT_JOB_H

#include "base/buf.h"
#include "watchdog/child.h"

/* What may end everything: the lifeline and the signals. */
struct collect_control {
    int lifeline_fd; /* EOF: incidentd is gone, kill the tree at once */
    int signal_fd;   /* SIGTERM, SIGINT: end politely within a second */
    bool orphaned;   /* the lifeline was lost */
    bool asked;      /* a signal came */
};

/* Looks at lifeline and signals without blocking; true when either says that it is over. */
bool collect_control_over(struct collect_control *c);

struct collect_job {
    struct child_spec *spec; /* fds[2], and fds[1] when `output` is set, are filled here */
    int64_t duration_ms;     /* stop it by `stop_signal` after this long; 0: it ends by itself */
    int stop_signal;
    int64_t end_ms;     /* monotonic: SIGINT then, SIGTERM 1 s and kill of the tree 2 s later */
    struct buf *output; /* receives its standard output; NULL: spec->fds[1] stands */
    struct buf *errors; /* receives the last bytes of its standard error */
    /* results */
    int status; /* as waitpid(2) */
    bool stopped;
    bool timed_out;
};

/* Runs it to its end and leaves no process of it behind. 0 when it has ended (see status), -EINTR
 * when control ended it, or a negative errno with err when it could not be started. We must be
 * subreaper and have no other children. */
int collect_job_run(struct collect_job *job, struct collect_control *control, struct error *err);

#endif
