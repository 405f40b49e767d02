/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_run.h: `incidentd-collect run`, one collector in one phase of one capture.
 */
#ifndef WATCHDOG_COLLECT_RUN_H
#define WATCHDOG_COLLECT_RUN_H

#include "base/arena.h"
#include "watchdog/config.h"
#include "watchdog/plan.h"
#include "watchdog/wire.h"

enum { COLLECT_PLAN_FD = 3, COLLECT_STAGING_FD = 4, COLLECT_WIRE_FD = 5 };

/* What both modes read before they do anything. */
struct collect_request {
    struct wire_message message;
    struct plan plan;
    struct arena arena;
    struct config config; /* in the arena */
};

/* Waits (5 s) for one message of `type` on the wire and decodes the plan. 0 or negative errno. */
int collect_request_read(enum wire_type type, struct collect_request *ret, struct error *err);
void collect_request_release(struct collect_request *r);
/* Answers it; a lost peer is no error. */
void collect_request_answer(const struct collect_request *r, const struct wire_message *answer);

/* The whole mode; returns the exit status. */
int collect_run_main(void);

#endif
