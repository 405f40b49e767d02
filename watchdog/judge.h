/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h: joins polls, processes and rules: one watch per target, fed by the poller and the
 * tracker.
 *
 * The judge owns the poller, the tracker (tracker.h: which pid is the target, is it alive) and a
 * `struct watch` per target, evaluates right after each poll, and hands every change of a rule's
 * state to incident.c. It decides nothing about captures.
 */
#ifndef WATCHDOG_JUDGE_H
#define WATCHDOG_JUDGE_H

#include "rules/watch.h"
#include "watchdog/config.h"
#include "watchdog/link.h"

struct judge;

struct judge_target {
    pid_t pid; /* 0: not found */
    uint64_t start_ticks;
    pid_t last_pid; /* while pid is 0: the process that exited last, 0 when there was none */
    uint64_t last_start_ticks;
    const char *exe; /* "" when unknown */
    enum collector_runtime runtime;
    bool up;
    int64_t polled_ms;   /* wall */
    int64_t interval_ms; /* as stretched */
    const char *error;   /* of the last poll or search, "" when none */
    bool held;           /* startup grace or draining */
    size_t series;
    uint64_t polls;
    uint64_t failures;
    uint64_t bytes;
    int64_t late_max_ms;
};

/* `event->rule` is an index into config->rules. It must not stop the judge. */
typedef void judge_emit(size_t target, const struct watch_event *event, void *arg);

struct judge_spec {
    uv_loop_t *loop;
    struct link *link;
    const struct config *config; /* outlives the judge */
    const char *saved;           /* what judge_save wrote before, or NULL */
    size_t saved_len;
    judge_emit *emit;
    void *arg;
};

/* Starts polling and judging. 0 and *ret, or an error naming the rule; `spec` is not kept. */
int judge_start(const struct judge_spec *spec, struct judge **ret, struct error *err);
/* Ends it; no further call comes. NULL is a no-op. */
void judge_stop(struct judge *j);
/* State of config->rules[rule] on its target. */
void judge_rule_status(const struct judge *j, size_t rule, struct watch_status *ret);
void judge_target_of(const struct judge *j, size_t target, struct judge_target *ret);
/* While draining, every watch is held: SIGTERM, or the target's own announcement. */
void judge_drain(struct judge *j, bool drain);
/* Learned state of all watches as a JSON object. */
void judge_save(const struct judge *j, struct buf *out);

#endif
