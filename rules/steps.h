/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.h: the last intervals of one rule, and sums over the windows that end now.
 *
 * A step is what lies between two pages that arrived: usually one interval, more when polls between
 * them were missed. Windows are 1, 2, 4, 8, 16 intervals and the look-back; each holds the newest
 * steps that fit, the newest one always. Sums cost nothing: they are differences of running totals.
 */
#ifndef RULES_STEPS_H
#define RULES_STEPS_H

#include "base/base.h"

enum { STEPS_WINDOWS_MAX = 6 };

struct step {
    int64_t from_ms;
    int64_t to_ms;
    double bad;
    double total;
    double bad_before; /* running totals up to from_ms */
    double total_before;
    bool tainted; /* part of an outage: teaches nothing */
};

struct steps {
    struct step *ring;
    size_t capacity;
    uint64_t first; /* sequence numbers: first <= i < next */
    uint64_t next;
    int64_t span_ms;
    size_t windows;
    int64_t window_ms[STEPS_WINDOWS_MAX]; /* ascending */
    int64_t slack_ms;                     /* jitter of polls: half an interval */
    int64_t floor_ms;                     /* windows do not reach back past it */
    uint64_t start[STEPS_WINDOWS_MAX];
};

struct steps_sum {
    uint64_t first; /* sequence number of its oldest step */
    int64_t from_ms;
    int64_t to_ms;
    double bad;
    double total;
};

/* Empty, with the windows that fit below look_back_ms, and look_back_ms itself. */
void steps_init(struct steps *s, int64_t interval_ms, int64_t look_back_ms);
/* Frees what steps_init took. */
void steps_release(struct steps *s);
/* Forgets all steps. */
void steps_clear(struct steps *s);
/* Adds a step. Steps that thereby leave the span are handed to `leaving` first (may be NULL). */
void steps_push(struct steps *s, const struct step *step,
                void (*leaving)(const struct step *old, void *arg), void *arg);
/* The step of a sequence number between first and next. */
struct step *steps_at(const struct steps *s, uint64_t sequence);
/* The window `index` as of the newest step; false when there is no step, or when the window holds
 * the same steps as the one before it. */
bool steps_window(const struct steps *s, size_t index, struct steps_sum *ret);
/* Bytes of the ring. */
size_t steps_memory_bytes(const struct steps *s);

#endif
