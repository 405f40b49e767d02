/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burst.c: the test of the fast tier.
 *
 * The test. Of `n` events in a window `b` failed; the objective allows p = 1 - objective of them.
 * The window is significant when at least three failed, more than allowed, and P(X >= b) under the
 * objective is below the window's level. Three bad events instead of a minimum of traffic: three of
 * three failing are significant at 0.999 (1e-9), one of ten is not, whatever the rate.
 *
 * The level. `false_captures: 1/30d` is a number of firings per time. Divided by the evaluations in
 * that time it is the chance each may have to fire by accident; half of it goes to the newest
 * interval, which detects first, the other half in equal parts to the longer windows. Those overlap
 * from one evaluation to the next, so one accident fires them several times in a row, which is one
 * firing: the budget is kept with a margin.
 *
 * Dispersion. Failures come in clumps: a retry fails too, a lost connection fails all it carried.
 * For each window's length the variance over the mean of the failed counts is learned from past
 * blocks of that length, and the tail is that of counts so dispersed (binomial.h). A window uses
 * the larger of its own and the next longer one's, since a clump that straddles two blocks looks
 * smaller than it is. The mean in the denominator is the objective's where the service does better:
 * what counts is what a service exactly at its objective would do.
 *
 * What teaches. Steps teach when they leave the span, because by then it is known what they were.
 * A phase that lasted eighteen seconds, or that failed thirty or more, was an outage: it teaches
 * nothing, else ten outages would make the eleventh look normal. A smaller one is how this service
 * fails while healthy: it was perhaps a false capture, and must not be one again. What was learned
 * fades with a half-life of a week.
 *
 * The end of a phase. Each step is weighed by the likelihood ratio of the objective against the
 * phase's own ratio (Wald's sequential test); at 20 to 1 the phase is over, unless the very steps
 * that ended it are improbable under the objective: then the dip goes on, but milder.
 *
 * Sources: Google, The Site Reliability Workbook, chapter 5 (burn rates; why a slow window sees a
 * short dip late); Wald, Sequential Tests of Statistical Hypotheses, 1945; Cox and Lewis, The
 * Statistical Analysis of Series of Events, 1966, chapter 4 (index of dispersion).
 */
#include "rules/burst.h"

#include "rules/binomial.h"

#include <math.h>

static const double bad_min = 3.0;
static const double events_max = 1e12; /* per step: more is no count of events */
static const double outage_bad = 30.0;
static const int64_t outage_ms = 18000;
static const double burn_full = 5.0;
static const double against_end = 3.0; /* ln 20 */
static const double log_one_percent = -4.605;
static const double half_life_ms = 7.0 * 86400000.0;
static const double dispersion_max = 100.0;
static const double prior_events = 5.0; /* weight of "failures are independent" before we know */
static const double prior_blocks = 10.0;
static const double mean_blocks = 64.0;

/* The block that is being filled, per window length. */
struct block {
    double bad;
    double total;
    int64_t ms;
    double mean; /* running mean of bad counts per block */
    double seen;
};

struct phase {
    bool on;
    int64_t onset_ms;
    int64_t last_bad_ms; /* end of its last step with a failure */
    double bad;
    double ratio; /* what its steps are weighed against */
    double worst_step;
    double against; /* evidence that it is over, as log likelihood ratio */
    double run_bad; /* counts since `against` left zero */
    double run_total;
};

struct burst {
    double p; /* 1 - objective */
    struct steps steps;
    double level[STEPS_WINDOWS_MAX]; /* logarithms */
    struct burst_learned learned[STEPS_WINDOWS_MAX];
    struct block block[STEPS_WINDOWS_MAX];
    struct phase phase;
};

struct burst *burst_new(const struct burst_settings *settings)
{
    struct burst *b = xcalloc(1, sizeof(*b));
    b->p = 1.0 - settings->objective;
    steps_init(&b->steps, settings->interval_ms, settings->look_back_ms);
    double level = settings->budget_per_ms * (double)settings->interval_ms;
    size_t longer = b->steps.windows - 1;
    for (size_t i = 0; i < b->steps.windows; i++) {
        double share = longer == 0 ? 1.0 : i == 0 ? 0.5 : 0.5 / (double)longer;
        b->level[i] = log(level * share);
    }
    return b;
}

void burst_free(struct burst *b)
{
    if (b != NULL) {
        steps_release(&b->steps);
        free(b);
    }
}

static double own_dispersion(const struct burst_learned *l)
{
    double mean = fmax(l->bad, l->expected);
    double prior = prior_events + (l->blocks > 0.0 ? prior_blocks * mean / l->blocks : 0.0);
    return fmin(fmax((l->squares + prior) / (mean + prior), 1.0), dispersion_max);
}

double burst_dispersion(const struct burst *b, size_t index)
{
    double own = own_dispersion(&b->learned[index]);
    if (index + 1 < b->steps.windows) {
        return fmax(own, own_dispersion(&b->learned[index + 1]));
    }
    return own;
}

static void learn_block(struct burst *b, size_t index)
{
    struct block *k = &b->block[index];
    struct burst_learned *l = &b->learned[index];
    double keep = exp2(-(double)k->ms / half_life_ms);
    double mean = k->seen > 0.0 ? k->mean : b->p * k->total;
    l->squares = l->squares * keep + (k->bad - mean) * (k->bad - mean);
    l->bad = l->bad * keep + k->bad;
    l->expected = l->expected * keep + b->p * k->total;
    l->blocks = l->blocks * keep + 1.0;
    k->seen = fmin(k->seen + 1.0, mean_blocks);
    k->mean = mean + (k->bad - mean) / (k->seen + 1.0);
}

/* A step leaves the span: it joins the block of each window length. */
static void learn_step(const struct step *step, void *arg)
{
    struct burst *b = arg;
    for (size_t i = 0; i < b->steps.windows; i++) {
        struct block *k = &b->block[i];
        int64_t ms = k->ms + step->to_ms - step->from_ms;
        int64_t slack = b->steps.slack_ms;
        if (step->tainted || ms > b->steps.window_ms[i] + slack) {
            k->bad = k->total = 0.0;
            k->ms = 0;
            continue;
        }
        k->bad += step->bad;
        k->total += step->total;
        k->ms = ms;
        if (k->ms > b->steps.window_ms[i] - slack) {
            learn_block(b, i);
            k->bad = k->total = 0.0;
            k->ms = 0;
        }
    }
}

static bool is_significant(const struct burst *b, size_t index, const struct steps_sum *sum)
{
    double mean = b->p * sum->total;
    double excess = sum->bad - mean;
    if (sum->bad < bad_min || excess <= 0.0 || excess * excess < 4.0 * mean) {
        return false; /* within two standard deviations no level is reached: no need to compute */
    }
    uint64_t n = (uint64_t)llround(fmax(sum->total, sum->bad));
    return binomial_tail((uint64_t)llround(sum->bad), n, b->p, burst_dispersion(b, index)) <=
           b->level[index];
}

static double ratio_of(double bad, double total)
{
    return total > 0.0 ? fmin(fmax(bad / total, 0.0), 1.0) : bad > 0.0 ? 1.0 : 0.0;
}

static void begin_phase(struct burst *b, const struct steps_sum *sum)
{
    struct phase *f = &b->phase;
    memset(f, 0, sizeof(*f));
    f->on = true;
    f->ratio = ratio_of(sum->bad, sum->total);
    f->onset_ms = sum->to_ms;
    for (uint64_t i = sum->first; i < b->steps.next; i++) {
        const struct step *step = steps_at(&b->steps, i);
        if (f->bad == 0.0 && step->bad <= b->p * step->total) {
            continue;
        }
        f->onset_ms = f->bad == 0.0 ? step->from_ms : f->onset_ms;
        f->bad += step->bad;
        f->last_bad_ms = step->bad > 0.0 ? step->to_ms : f->last_bad_ms;
        f->worst_step = fmax(f->worst_step, ratio_of(step->bad, step->total));
    }
}

/* Was this phase an outage, and not just how the service fails now and then? Then it teaches
 * nothing. */
static void taint_outage(struct burst *b)
{
    const struct phase *f = &b->phase;
    if (f->last_bad_ms - f->onset_ms < outage_ms && f->bad < outage_bad) {
        return;
    }
    for (uint64_t i = b->steps.next; i > b->steps.first; i--) {
        struct step *step = steps_at(&b->steps, i - 1);
        if (step->to_ms <= f->onset_ms) {
            break;
        }
        step->tainted = true;
    }
}

static void end_phase(struct burst *b, int64_t at_ms)
{
    b->phase.on = false;
    b->steps.floor_ms = at_ms;
}

/* Weighs the newest step of a phase: is the dip over? */
static void weigh_step(struct burst *b, const struct step *step)
{
    struct phase *f = &b->phase;
    double ratio = fmin(fmax(f->ratio, 2.0 * b->p), fmax(0.99, (1.0 + b->p) / 2.0));
    double good = fmax(step->total - step->bad, 0.0);
    double evidence = step->bad * log(ratio / b->p) + good * log((1.0 - ratio) / (1.0 - b->p));
    f->bad += step->bad;
    f->worst_step = fmax(f->worst_step, ratio_of(step->bad, step->total));
    f->last_bad_ms = step->bad > 0.0 ? step->to_ms : f->last_bad_ms;
    taint_outage(b);
    f->against = fmax(f->against - evidence, 0.0);
    f->run_bad = f->against > 0.0 ? f->run_bad + step->bad : 0.0;
    f->run_total = f->against > 0.0 ? f->run_total + step->total : 0.0;
    int64_t look_back_ms = b->steps.window_ms[b->steps.windows - 1];
    if (step->to_ms - f->last_bad_ms >= look_back_ms) {
        end_phase(b, step->to_ms);
    } else if (f->against >= against_end) {
        uint64_t k = (uint64_t)llround(f->run_bad);
        uint64_t n = (uint64_t)llround(fmax(f->run_total, f->run_bad));
        if (f->run_bad > b->p * f->run_total &&
            binomial_tail(k, n, b->p, burst_dispersion(b, 0)) < log_one_percent) {
            f->ratio = ratio_of(f->run_bad, f->run_total);
            f->against = f->run_bad = f->run_total = 0.0;
        } else {
            end_phase(b, step->to_ms);
        }
    }
}

void burst_push(struct burst *b, int64_t from_ms, int64_t to_ms, double bad, double total)
{
    struct step step = {.from_ms = from_ms,
                        .to_ms = to_ms,
                        .bad = fmin(fmax(bad, -events_max), events_max),
                        .total = fmin(fmax(total, 0.0), events_max)};
    steps_push(&b->steps, &step, learn_step, b);
    if (b->phase.on) {
        weigh_step(b, &step);
    }
    struct steps_sum sum;
    for (size_t i = 0; i < b->steps.windows && !b->phase.on; i++) {
        if (steps_window(&b->steps, i, &sum) && sum.from_ms >= b->steps.floor_ms &&
            is_significant(b, i, &sum)) {
            begin_phase(b, &sum);
        }
    }
}

void burst_break(struct burst *b)
{
    steps_clear(&b->steps);
    memset(&b->phase, 0, sizeof(b->phase));
}

bool burst_is_bad(const struct burst *b)
{
    return b->phase.on;
}

static void fill(const struct burst *b, size_t index, const struct steps_sum *sum,
                 struct burst_verdict *ret)
{
    ret->known = true;
    ret->bad_count = fmax(sum->bad, 0.0);
    ret->total = sum->total;
    ret->from_ms = sum->from_ms;
    ret->to_ms = sum->to_ms;
    ret->window_ms = sum->to_ms - sum->from_ms;
    ret->dispersion = burst_dispersion(b, index);
    ret->level = b->level[index];
}

void burst_judge(const struct burst *b, struct burst_verdict *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->bad = b->phase.on;
    ret->onset_ms = b->phase.onset_ms;
    ret->worst_step = b->phase.worst_step;
    double excess = -HUGE_VAL; /* the largest of the windows that are not significant */
    for (size_t i = 0; i < b->steps.windows; i++) {
        struct steps_sum sum;
        if (!steps_window(&b->steps, i, &sum)) {
            continue;
        }
        double ratio = ratio_of(sum.bad, sum.total);
        double over = (sum.bad - b->p * sum.total) / sqrt(b->p * sum.total + 1.0);
        if (b->phase.on && is_significant(b, i, &sum)) {
            ret->worst_ratio = fmax(ret->worst_ratio, ratio);
            ret->fast_burn = ret->fast_burn || ratio >= burn_full * b->p;
            if (!ret->significant) {
                fill(b, i, &sum, ret);
                ret->significant = true;
            }
        } else if (!ret->significant && over >= excess) {
            excess = over;
            fill(b, i, &sum, ret);
        }
    }
}

double burst_fires_at(const struct burst *b, const struct burst_verdict *v)
{
    uint64_t n = (uint64_t)llround(v->total);
    uint64_t low = (uint64_t)fmax(bad_min, floor(b->p * v->total) + 1.0);
    uint64_t high = n > low ? n : low;
    while (high < low + 1000 && binomial_tail(high, high, b->p, v->dispersion) > v->level) {
        high++;
    }
    n = high > n ? high : n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (binomial_tail(middle, n, b->p, v->dispersion) <= v->level) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (double)high;
}

size_t burst_learned_get(const struct burst *b, struct burst_learned ret[STEPS_WINDOWS_MAX])
{
    memcpy(ret, b->learned, sizeof(b->learned));
    return b->steps.windows;
}

void burst_learned_set(struct burst *b, const struct burst_learned *from, size_t count)
{
    for (size_t i = 0; i < b->steps.windows && i < count; i++) {
        b->learned[i] = from[i];
    }
}

size_t burst_memory_bytes(const struct burst *b)
{
    return sizeof(*b) + steps_memory_bytes(&b->steps);
}
