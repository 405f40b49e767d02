/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the budget of false captures holds for a service that sits exactly at its objective, and no
 * total outage is missed.
 *
 * Counts are simulated directly, second by second, with no cooldown: what is counted is what would
 * capture. Failures are independent, in pairs, or in clumps of geometric size, each always one
 * failure in a thousand requests. A firing is over after 60 quiet seconds, as keep_firing_for has
 * it. INCIDENTD_FULL=1 runs more seeds and longer; the sanitizers, ten times slower, see less.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "rules/burst.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static const double budget = 1.0 / (30.0 * 86400000.0);

struct random {
    uint64_t state;
};

static double uniform(struct random *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return ((double)(r->state >> 11) + 0.5) / 9007199254740992.0;
}

static double exponential(struct random *r)
{
    return -log(uniform(r));
}

enum failures { INDEPENDENT, PAIRED, CLUMPED };
static const char *const failure_names[] = {"independent", "paired", "clumped"};

/* A stream of requests, of which every failure hits a run of consecutive ones. */
struct service {
    struct random random;
    double rate;
    enum failures failures;
    double clump;     /* mean size of geometric clumps */
    double arrivals;  /* fraction of a request carried to the next second */
    double to_clump;  /* requests until the next clump begins */
    double remaining; /* failures left of the current one */
};

static double clump_gap(struct service *s)
{
    double mean = s->failures == INDEPENDENT ? 1.0 : s->failures == PAIRED ? 2.0 : s->clump;
    return floor(exponential(&s->random) * mean * 1000.0 + 0.5 * mean);
}

static double clump_size(struct service *s)
{
    if (s->failures != CLUMPED) {
        return s->failures == PAIRED ? 2.0 : 1.0;
    }
    return 1.0 + floor(log(uniform(&s->random)) / log1p(-1.0 / s->clump));
}

static void service_start(struct service *s, double rate, enum failures failures, double clump,
                          uint64_t seed)
{
    *s = (struct service){.rate = rate, .failures = failures, .clump = clump};
    s->random.state = seed * 0x9e3779b97f4a7c15U + 1;
    for (int i = 0; i < 20; i++) {
        (void)uniform(&s->random);
    }
    s->to_clump = clump_gap(s);
}

static void service_second(struct service *s, double *ret_bad, double *ret_total)
{
    double jitter = s->rate < 20.0 ? exponential(&s->random) : 1.0;
    s->arrivals += s->rate * jitter;
    double total = floor(s->arrivals);
    s->arrivals -= total;
    double bad = 0.0;
    double left = total;
    while (left > 0.0) {
        if (s->remaining > 0.0) {
            double hit = fmin(s->remaining, left);
            bad += hit;
            left -= hit;
            s->remaining -= hit;
        } else if (s->to_clump >= left) {
            s->to_clump -= left;
            left = 0.0;
        } else {
            left -= s->to_clump;
            s->remaining = clump_size(s);
            s->to_clump = clump_gap(s);
        }
    }
    *ret_bad = bad;
    *ret_total = total;
}

static struct burst *start(void)
{
    struct burst_settings settings = {0.999, 1000, 30000, budget};
    return burst_new(&settings);
}

/* Seconds of a service at its objective; returns the firings. */
static unsigned run(struct burst *b, struct service *s, int64_t *now, int64_t seconds,
                    double *ret_ratio)
{
    unsigned firings = 0;
    int64_t quiet_since = INT64_MIN / 2;
    double bad_sum = 0.0;
    double total_sum = 0.0;
    for (int64_t i = 0; i < seconds; i++, *now += 1000) {
        double bad;
        double total;
        service_second(s, &bad, &total);
        bad_sum += bad;
        total_sum += total;
        burst_push(b, *now, *now + 1000, bad, total);
        if (burst_is_bad(b)) {
            firings += *now - quiet_since > 60000;
            quiet_since = *now;
        }
    }
    *ret_ratio = bad_sum / total_sum;
    return firings;
}

static unsigned months_of(double rate, enum failures failures, double clump, unsigned months,
                          uint64_t seed)
{
    struct service s;
    service_start(&s, rate, failures, clump, seed);
    struct burst *b = start();
    int64_t now = 0;
    double ratio;
    unsigned firings = run(b, &s, &now, (int64_t)months * 30 * 86400, &ratio);
    print_message("%7.1f req/s %-11s clump %3.1f seed %llu: %u firings in %u months; failed "
                  "%.6f; dispersion",
                  rate, failure_names[failures], clump, (unsigned long long)seed, firings, months,
                  ratio);
    for (size_t i = 0; i < STEPS_WINDOWS_MAX; i++) {
        print_message(" %.2f", burst_dispersion(b, i));
    }
    print_message("\n");
    burst_free(b);
    return firings;
}

static void service_at_its_objective_stays_within_the_budget(void **state)
{
    (void)state;
    static const double rates[] = {0.5, 3.0, 50.0, 1000.0};
    bool full = !SANITIZED && getenv("INCIDENTD_FULL") != NULL;
    unsigned months = full ? 6 : 1;
    unsigned all_firings = 0;
    unsigned all_months = 0;
    for (int kind = INDEPENDENT; kind <= CLUMPED; kind++) {
        unsigned firings = 0;
        unsigned spent = 0;
        uint64_t seeds = full ? 4 : kind == CLUMPED && !SANITIZED ? 2 : 1;
        for (size_t i = SANITIZED; i < 4; i += 1 + SANITIZED) {
            for (uint64_t seed = 1; seed <= seeds; seed++) {
                double clump = seed % 2 == 0 ? 4.0 : 2.0;
                firings += months_of(rates[i], (enum failures)kind, clump, months, seed);
                spent += months;
            }
        }
        print_message("%s: %u firings in %u months\n", failure_names[kind], firings, spent);
        assert_true(firings <= spent);
        all_firings += firings;
        all_months += spent;
    }
    print_message("all: %u firings in %u months\n", all_firings, all_months);
}

static void ten_total_outages_are_all_caught(void **state)
{
    (void)state;
    static const double rates[] = {0.5, 3.0, 1000.0};
    for (size_t i = 0; i < 3; i++) {
        struct service s;
        service_start(&s, rates[i], INDEPENDENT, 1.0, 7 + i);
        struct burst *b = start();
        int64_t now = 0;
        unsigned caught = 0;
        int64_t slowest = 0;
        for (int outage = 0; outage < 10; outage++) {
            double ratio;
            (void)run(b, &s, &now, 3600, &ratio);
            bool was_bad = burst_is_bad(b);
            int64_t took = 0;
            for (int64_t second = 1; second <= 60; second++, now += 1000) {
                double bad;
                double total;
                service_second(&s, &bad, &total);
                burst_push(b, now, now + 1000, total, total);
                took = took == 0 && burst_is_bad(b) ? second : took;
            }
            caught += took > 0 && !was_bad;
            slowest = took > slowest ? took : slowest;
        }
        print_message("%.1f req/s: %u of 10 outages caught, the slowest after %lld s\n", rates[i],
                      caught, (long long)slowest);
        assert_int_equal(caught, 10);

        burst_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(service_at_its_objective_stays_within_the_budget),
        cmocka_unit_test(ten_total_outages_are_all_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
