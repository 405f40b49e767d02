/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/traffic.h"

static const double budget = 1.0 / (30.0 * 86400000.0);

/* Seconds with `burst` events in every `period`th; returns the first that was lost, 0: none. */
static int run(struct traffic *t, int64_t *now_ms, int seconds, int period, double burst)
{
    int lost = 0;
    for (int i = 1; i <= seconds; i++, *now_ms += 1000) {
        traffic_push(t, *now_ms, *now_ms + 1000, *now_ms / 1000 % period == 0 ? burst : 0.0);
        struct traffic_verdict v;
        traffic_judge(t, &v);
        lost = lost == 0 && v.bad ? i : lost;
    }
    return lost;
}

static void nothing_is_known_before_a_minute(void **state)
{
    (void)state;
    struct traffic *t = traffic_new(1000, 30000, budget);
    int64_t now = 0;
    assert_int_equal(run(t, &now, 40, 1, 1000.0), 0);
    assert_int_equal(run(t, &now, 30, 1, 0.0), 0);
    traffic_free(t);
}

static void a_cut_is_seen_within_seconds_and_ends(void **state)
{
    (void)state;
    struct traffic *t = traffic_new(1000, 30000, budget);
    int64_t now = 0;
    assert_int_equal(run(t, &now, 300, 1, 1000.0), 0);
    assert_int_equal(run(t, &now, 20, 1, 0.0), 4);
    (void)run(t, &now, 60, 1, 1000.0);
    assert_int_equal(run(t, &now, 60, 1, 1000.0), 0);
    assert_true(run(t, &now, 60, 1, 50.0) > 0); /* a twentieth is lost too */
    traffic_free(t);
}

static void batches_are_usual_and_their_end_is_seen(void **state)
{
    (void)state;
    struct traffic *t = traffic_new(1000, 30000, budget);
    int64_t now = 0;
    assert_int_equal(run(t, &now, 3600, 10, 10000.0), 0);
    int lost = run(t, &now, 60, 1, 0.0);
    assert_true(lost > 0 && lost <= 30);
    traffic_free(t);
}

static void a_trickle_is_never_significant(void **state)
{
    (void)state;
    struct traffic *t = traffic_new(1000, 30000, budget);
    int64_t now = 0;
    assert_int_equal(run(t, &now, 3600, 5, 1.0), 0);
    assert_int_equal(run(t, &now, 120, 1, 0.0), 0);
    traffic_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before_a_minute),
        cmocka_unit_test(a_cut_is_seen_within_seconds_and_ends),
        cmocka_unit_test(batches_are_usual_and_their_end_is_seen),
        cmocka_unit_test(a_trickle_is_never_significant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
