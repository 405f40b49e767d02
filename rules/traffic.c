/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic.c: learning what traffic is usual, and testing for its loss.
 *
 * Per window length, blocks of healthy time give a running mean and variance over the last 64. With
 * dispersion D = variance / mean, P(at most x events where m are usual) is bounded by Chernoff:
 * exp(-(m / D) * (1 - r + r * ln r)), r = x / m. Windows under three intervals are not judged: a
 * load balancer's pause of a second is no loss. A level that stays low for ten minutes is the new
 * level: everything is learned afresh, which ends the loss.
 *
 * Bound: https://en.wikipedia.org/wiki/Poisson_distribution (tail probability).
 */
#include "rules/traffic.h"

#include <math.h>

static const double lost_below = 0.1;
static const double blocks_min = 4.0;
static const double blocks_max = 64.0;
static const int64_t healthy_min_ms = 60000;
static const int64_t relearn_ms = 600000;

struct block {
    double total;
    int64_t ms;
};

struct traffic {
    struct steps steps;
    int64_t interval_ms;
    double level;
    struct traffic_learned learned[STEPS_WINDOWS_MAX];
    struct block block[STEPS_WINDOWS_MAX];
    bool bad;
    int64_t onset_ms;
};

struct traffic *traffic_new(int64_t interval_ms, int64_t look_back_ms, double budget_per_ms)
{
    struct traffic *t = xcalloc(1, sizeof(*t));
    steps_init(&t->steps, interval_ms, look_back_ms);
    t->interval_ms = interval_ms;
    t->level = log(budget_per_ms * (double)interval_ms / (double)t->steps.windows);
    return t;
}

void traffic_free(struct traffic *t)
{
    if (t != NULL) {
        steps_release(&t->steps);
        free(t);
    }
}

static void learn_step(const struct step *step, void *arg)
{
    struct traffic *t = arg;
    for (size_t i = 0; i < t->steps.windows; i++) {
        struct block *k = &t->block[i];
        struct traffic_learned *l = &t->learned[i];
        k->total += step->total;
        k->ms += step->to_ms - step->from_ms;
        bool too_long = k->ms > t->steps.window_ms[i] + t->steps.slack_ms;
        if (!step->tainted && !too_long && k->ms <= t->steps.window_ms[i] - t->steps.slack_ms) {
            continue;
        }
        if (!step->tainted && !too_long) {
            l->blocks = fmin(l->blocks + 1.0, blocks_max);
            double off = k->total - l->mean;
            l->mean += off / l->blocks;
            l->variance += (off * (k->total - l->mean) - l->variance) / l->blocks;
        }
        *k = (struct block){0.0, 0};
    }
}

/* The newest window is lost traffic; *ret says what was tested in any case. */
static bool is_lost(const struct traffic *t, size_t index, struct traffic_verdict *ret)
{
    struct steps_sum sum;
    const struct traffic_learned *l = &t->learned[index];
    if (t->steps.window_ms[index] < 3 * t->interval_ms || l->blocks < blocks_min ||
        l->blocks * (double)t->steps.window_ms[index] < (double)healthy_min_ms ||
        !steps_window(&t->steps, index, &sum)) {
        return false;
    }
    int64_t ms = sum.to_ms - sum.from_ms;
    if (ms < t->steps.window_ms[index] - t->steps.slack_ms) {
        return false;
    }
    double expected = l->mean * (double)ms / (double)t->steps.window_ms[index];
    ret->known = true;
    ret->total = sum.total;
    ret->expected = expected;
    ret->window_ms = ms;
    if (expected <= 0.0 || sum.total >= lost_below * expected) {
        return false;
    }
    double r = sum.total / expected;
    double dispersion = fmax(l->variance / l->mean, 1.0);
    double bound = 1.0 - r + (r > 0.0 ? r * log(r) : 0.0);
    ret->onset_ms = sum.from_ms;
    return -expected / dispersion * bound <= t->level;
}

static void taint_from(struct traffic *t, int64_t from_ms)
{
    for (uint64_t i = t->steps.next; i > t->steps.first; i--) {
        struct step *step = steps_at(&t->steps, i - 1);
        if (step->to_ms <= from_ms) {
            break;
        }
        step->tainted = true;
    }
}

void traffic_push(struct traffic *t, int64_t from_ms, int64_t to_ms, double total)
{
    struct step step = {.from_ms = from_ms, .to_ms = to_ms, .total = total};
    steps_push(&t->steps, &step, learn_step, t);
    struct traffic_verdict v = {.known = false};
    bool bad = false;
    for (size_t i = 0; i < t->steps.windows && !bad; i++) {
        bad = is_lost(t, i, &v);
    }
    if (bad && !t->bad) {
        t->onset_ms = v.onset_ms;
    }
    t->bad = bad;
    if (bad && to_ms - t->onset_ms > relearn_ms) {
        memset(t->learned, 0, sizeof(t->learned));
        t->bad = false;
    } else if (bad) {
        taint_from(t, t->onset_ms);
    }
}

void traffic_break(struct traffic *t)
{
    steps_clear(&t->steps);
    memset(t->block, 0, sizeof(t->block));
    t->bad = false;
}

void traffic_judge(const struct traffic *t, struct traffic_verdict *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < t->steps.windows; i++) {
        if (is_lost(t, i, ret)) {
            break;
        }
    }
    ret->bad = t->bad;
    ret->onset_ms = t->onset_ms;
}

size_t traffic_learned_get(const struct traffic *t, struct traffic_learned ret[STEPS_WINDOWS_MAX])
{
    memcpy(ret, t->learned, sizeof(t->learned));
    return t->steps.windows;
}

void traffic_learned_set(struct traffic *t, const struct traffic_learned *from, size_t count)
{
    for (size_t i = 0; i < t->steps.windows && i < count; i++) {
        t->learned[i] = from[i];
    }
}

size_t traffic_memory_bytes(const struct traffic *t)
{
    return sizeof(*t) + steps_memory_bytes(&t->steps);
}
