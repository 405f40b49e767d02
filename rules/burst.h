/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burst.h: the fast tier: is this service below its objective, more than chance explains?
 *
 * Fed with counts of failed and of all events between polls, it tests the windows of steps.h
 * against the objective and answers in counts a person can check. What is bad is a *phase*: it
 * begins when a window is significant and ends when the newest intervals speak 20 to 1 against it,
 * so that a dip that is over does not linger in the long windows.
 */
#ifndef RULES_BURST_H
#define RULES_BURST_H

#include "rules/steps.h"

struct burst_settings {
    double objective;
    int64_t interval_ms;
    int64_t look_back_ms;
    double budget_per_ms; /* false captures allowed per millisecond */
};

/* What was learned about one window's counts: sums over past blocks of its length. */
struct burst_learned {
    double squares;  /* squared deviations from the running mean */
    double bad;      /* failed events */
    double expected; /* failed events at the objective */
    double blocks;
};

/* The window that speaks, and the phase it belongs to. */
struct burst_verdict {
    bool known;       /* there is a window to judge */
    bool bad;         /* a phase is on */
    bool significant; /* the window below is */
    int64_t onset_ms; /* of the phase: start of its first bad interval */
    double bad_count; /* in the window */
    double total;
    int64_t window_ms;
    int64_t from_ms;
    int64_t to_ms;
    double dispersion;
    double level;       /* log of the significance level of that window */
    double worst_step;  /* highest ratio over one interval of the phase */
    double worst_ratio; /* highest ratio over a significant window now */
    bool fast_burn;     /* a significant window burns the budget at 5 times its rate or faster */
};

struct burst;

/* A test with empty windows and nothing learned. Never NULL; freed by burst_free. */
struct burst *burst_new(const struct burst_settings *settings);
/* NULL is a no-op. */
void burst_free(struct burst *b);
/* Counts of the time from..to (wall ms), to being later than all before. */
void burst_push(struct burst *b, int64_t from_ms, int64_t to_ms, double bad, double total);
/* What was pushed last is not continued: windows start afresh, what was learned stays. */
void burst_break(struct burst *b);
/* Is a phase on? */
bool burst_is_bad(const struct burst *b);
/* The verdict as of the newest step: the shortest window that is significant, or else the one
 * nearest to it. */
void burst_judge(const struct burst *b, struct burst_verdict *ret);
/* The least count of failures that is significant among `total` events in the verdict's window. */
double burst_fires_at(const struct burst *b, const struct burst_verdict *v);
/* Variance over mean that window `index` is taken to have, >= 1. */
double burst_dispersion(const struct burst *b, size_t index);
/* Copies what was learned out or in, one entry per window. */
size_t burst_learned_get(const struct burst *b, struct burst_learned ret[STEPS_WINDOWS_MAX]);
/* Entries beyond the windows are ignored; windows beyond `count` keep theirs. */
void burst_learned_set(struct burst *b, const struct burst_learned *from, size_t count);
/* Bytes it holds, itself included. */
size_t burst_memory_bytes(const struct burst *b);

#endif
