/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic.h: has the traffic gone? A count of all events below a tenth of its own healthy mean.
 *
 * The mean and, per window, the variance are learned from healthy time. A window is lost traffic
 * when it is below a tenth and so few events are improbable even for traffic this uneven: a client
 * that sends a batch every ten seconds does not fire in the nine between.
 */
#ifndef RULES_TRAFFIC_H
#define RULES_TRAFFIC_H

#include "rules/steps.h"

struct traffic_learned {
    double mean;     /* events per block */
    double variance; /* of the same */
    double blocks;
};

struct traffic_verdict {
    bool known; /* enough was learned, and a window is covered */
    bool bad;
    int64_t onset_ms;
    double total;    /* in the window */
    double expected; /* by the healthy mean */
    int64_t window_ms;
};

struct traffic;

/* A test that knows nothing yet. `budget_per_ms` as in burst.h. Never NULL; freed by traffic_free.
 */
struct traffic *traffic_new(int64_t interval_ms, int64_t look_back_ms, double budget_per_ms);
/* NULL is a no-op. */
void traffic_free(struct traffic *t);
/* All events of the time from..to (wall ms), to being later than all before. */
void traffic_push(struct traffic *t, int64_t from_ms, int64_t to_ms, double total);
/* What was pushed last is not continued; what was learned stays. */
void traffic_break(struct traffic *t);
/* The verdict as of the newest step. */
void traffic_judge(const struct traffic *t, struct traffic_verdict *ret);
/* Copies what was learned out or in, one entry per window. */
size_t traffic_learned_get(const struct traffic *t, struct traffic_learned ret[STEPS_WINDOWS_MAX]);
/* See traffic_learned_get. */
void traffic_learned_set(struct traffic *t, const struct traffic_learned *from, size_t count);
/* Bytes it holds, itself included. */
size_t traffic_memory_bytes(const struct traffic *t);

#endif
