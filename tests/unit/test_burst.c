/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "rules/burst.h"

static const double budget = 1.0 / (30.0 * 86400000.0);

static struct burst *start(void)
{
    struct burst_settings settings = {0.999, 1000, 30000, budget};
    return burst_new(&settings);
}

static int64_t push(struct burst *b, int64_t now, int seconds, double bad, double total)
{
    for (int i = 0; i < seconds; i++, now += 1000) {
        burst_push(b, now, now + 1000, bad, total);
    }
    return now;
}

/* The least failures in one second of `total` that fire, found by trying. */
static double threshold(double total)
{
    for (double bad = 1.0; bad <= total; bad += 1.0) {
        struct burst *b = start();
        int64_t now = push(b, 0, 40, 0.0, total);
        (void)push(b, now, 1, bad, total);
        bool fired = burst_is_bad(b);
        burst_free(b);
        if (fired) {
            return bad;
        }
    }
    return HUGE_VAL;
}

static void thresholds_are_as_documented(void **state)
{
    (void)state;
    assert_true(threshold(1000.0) == 10.0);
    assert_true(threshold(100.0) == 5.0);
    assert_true(threshold(10.0) == 3.0);
    assert_true(threshold(3.0) == 3.0);
}

static void what_would_fire_is_what_fires(void **state)
{
    (void)state;
    static const double totals[] = {3, 10, 100, 1000, 20000};
    for (size_t i = 0; i < 5; i++) {
        struct burst *b = start();
        (void)push(b, 0, 1, 0.0, totals[i]);
        struct burst_verdict v;
        burst_judge(b, &v);
        assert_true(v.known && !v.bad);
        assert_true(burst_fires_at(b, &v) == threshold(totals[i]));
        burst_free(b);
    }
}

static void one_of_ten_does_not_fire_and_three_of_three_do(void **state)
{
    (void)state;
    struct burst *b = start();
    int64_t now = push(b, 0, 1, 1.0, 10.0);
    assert_false(burst_is_bad(b));
    burst_break(b);
    (void)push(b, now, 1, 3.0, 3.0);
    assert_true(burst_is_bad(b));
    struct burst_verdict v;
    burst_judge(b, &v);
    assert_true(v.significant && v.fast_burn && v.bad_count == 3.0 && v.window_ms == 1000);
    assert_int_equal(v.onset_ms, now);
    burst_free(b);
}

static void half_a_request_a_second_fires_in_a_longer_window(void **state)
{
    (void)state;
    struct burst *b = start();
    int64_t now = 0;
    for (int i = 0; i < 6 && !burst_is_bad(b); i++) {
        now = push(b, now, 1, i % 2, i % 2);
    }
    assert_true(burst_is_bad(b));
    burst_free(b);
}

static void a_phase_ends_with_the_dip_and_not_with_the_window(void **state)
{
    (void)state;
    struct burst *b = start();
    int64_t now = push(b, 0, 40, 1.0, 1000.0);
    now = push(b, now, 5, 500.0, 1000.0);
    assert_true(burst_is_bad(b));
    now = push(b, now, 1, 20.0, 1000.0); /* milder, not over */
    assert_true(burst_is_bad(b));
    now = push(b, now, 2, 1.0, 1000.0);
    assert_false(burst_is_bad(b));
    now = push(b, now, 60, 1.0, 1000.0);
    assert_false(burst_is_bad(b));
    burst_free(b);
}

static void silence_after_failures_ends_a_phase(void **state)
{
    (void)state;
    struct burst *b = start();
    int64_t now = push(b, 0, 3, 3.0, 3.0);
    assert_true(burst_is_bad(b));
    now = push(b, now, 29, 0.0, 0.0);
    assert_true(burst_is_bad(b));
    (void)push(b, now, 2, 0.0, 0.0);
    assert_false(burst_is_bad(b));
    burst_free(b);
}

static void a_long_step_is_judged_as_long_as_it_is(void **state)
{
    (void)state;
    struct burst *b = start();
    burst_push(b, 0, 20000, 100.0, 20000.0);
    struct burst_verdict v;
    burst_judge(b, &v);
    assert_true(v.bad);
    assert_int_equal(v.window_ms, 20000);
    burst_free(b);
}

static void pairs_are_learned_and_outages_are_not(void **state)
{
    (void)state;
    struct burst *b = start();
    int64_t now = 0;
    for (int i = 0; i < 20000; i++) {
        now = push(b, now, 1, i % 20 == 0 ? 2.0 : 0.0, 100.0);
    }
    double learned = burst_dispersion(b, 0);
    assert_true(learned > 1.7 && learned < 2.3);
    now = push(b, now, 60, 100.0, 100.0);
    (void)push(b, now, 60, 0.0, 100.0);
    assert_true(fabs(burst_dispersion(b, 0) - learned) < 0.05);
    struct burst_learned saved[STEPS_WINDOWS_MAX];
    size_t count = burst_learned_get(b, saved);
    struct burst *again = start();
    burst_learned_set(again, saved, count);
    assert_true(burst_dispersion(again, 0) == burst_dispersion(b, 0));
    burst_free(again);
    burst_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_are_as_documented),
        cmocka_unit_test(what_would_fire_is_what_fires),
        cmocka_unit_test(one_of_ten_does_not_fire_and_three_of_three_do),
        cmocka_unit_test(half_a_request_a_second_fires_in_a_longer_window),
        cmocka_unit_test(a_phase_ends_with_the_dip_and_not_with_the_window),
        cmocka_unit_test(silence_after_failures_ends_a_phase),
        cmocka_unit_test(a_long_step_is_judged_as_long_as_it_is),
        cmocka_unit_test(pairs_are_learned_and_outages_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
