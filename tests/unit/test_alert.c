/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/alert.h"

static const struct watch_rule at_once = {"r", WATCH_SLO, NULL, 0, 60000};
static const struct watch_rule waits = {"r", WATCH_SLO, NULL, 5000, 60000};

static const struct alert_input quiet = {.known = true};
static const struct alert_input unknown = {.known = false};
static const struct alert_input light = {.known = true, .bad = true, .ratio = 0.002};
static const struct alert_input full = {.known = true, .bad = true, .full = true, .ratio = 0.05};

/* One evaluation; returns the single event's kind, or -1 for none. */
static int step(struct alert *a, const struct watch_rule *rule, const struct alert_input *in,
                int64_t now_ms)
{
    enum watch_event_kind kinds[ALERT_EVENTS_MAX];
    size_t count = alert_step(a, rule, in, now_ms, kinds);
    assert_true(count <= 1);
    return count == 0 ? -1 : (int)kinds[0];
}

static void fires_rises_dips_and_resolves(void **state)
{
    (void)state;
    struct alert a = {.state = WATCH_INACTIVE};
    assert_int_equal(step(&a, &at_once, &quiet, 0), -1);
    assert_int_equal(step(&a, &at_once, &light, 1000), WATCH_EVENT_FIRED);
    assert_int_equal(a.grade, WATCH_LIGHT);
    assert_int_equal(step(&a, &at_once, &full, 2000), WATCH_EVENT_RAISED);
    assert_int_equal(step(&a, &at_once, &full, 3000), -1);
    assert_int_equal(step(&a, &at_once, &quiet, 4000), -1);
    assert_int_equal(step(&a, &at_once, &full, 5000), WATCH_EVENT_DIP);
    assert_int_equal(step(&a, &at_once, &quiet, 6000), -1);
    assert_int_equal(step(&a, &at_once, &quiet, 65999), -1);
    assert_int_equal(step(&a, &at_once, &quiet, 66000), WATCH_EVENT_RESOLVED);
    assert_int_equal(a.state, WATCH_INACTIVE);
    assert_int_equal(step(&a, &at_once, &full, 67000), WATCH_EVENT_FIRED);
    assert_int_equal(a.grade, WATCH_FULL);
}

static void pending_ends_quietly_or_fires(void **state)
{
    (void)state;
    struct alert a = {.state = WATCH_INACTIVE};
    assert_int_equal(step(&a, &waits, &full, 1000), WATCH_EVENT_PENDING);
    assert_int_equal(step(&a, &waits, &unknown, 2000), -1);
    assert_int_equal(a.state, WATCH_STATE_PENDING);
    assert_int_equal(step(&a, &waits, &quiet, 3000), -1);
    assert_int_equal(a.state, WATCH_INACTIVE);
    assert_int_equal(step(&a, &waits, &full, 4000), WATCH_EVENT_PENDING);
    assert_int_equal(step(&a, &waits, &full, 8999), -1);
    assert_int_equal(step(&a, &waits, &full, 9000), WATCH_EVENT_FIRED);
}

static void unknown_is_neither_quiet_nor_bad(void **state)
{
    (void)state;
    struct alert a = {.state = WATCH_INACTIVE};
    assert_int_equal(step(&a, &at_once, &full, 1000), WATCH_EVENT_FIRED);
    assert_int_equal(step(&a, &at_once, &unknown, 2000), -1);
    assert_true(a.unknown);
    assert_int_equal(step(&a, &at_once, &full, 3000), -1); /* no dip: it was never quiet */
    assert_int_equal(step(&a, &at_once, &unknown, 4000), -1);
    assert_int_equal(step(&a, &at_once, &unknown, 64000), WATCH_EVENT_RESOLVED);
}

static void worse_is_three_times_what_was_told_last(void **state)
{
    (void)state;
    struct alert a = {.state = WATCH_INACTIVE};
    struct alert_input in = full;
    in.ratio = 0.01;
    assert_int_equal(step(&a, &at_once, &in, 1000), WATCH_EVENT_FIRED);
    in.ratio = 0.02;
    assert_int_equal(step(&a, &at_once, &in, 2000), -1);
    in.ratio = 0.05; /* the first whole interval of the same dip */
    assert_int_equal(step(&a, &at_once, &in, 3000), WATCH_EVENT_WORSE);
    in.ratio = 0.14;
    assert_int_equal(step(&a, &at_once, &in, 20000), -1);
    in.ratio = 0.16;
    assert_int_equal(step(&a, &at_once, &in, 21000), WATCH_EVENT_WORSE);
    assert_int_equal(step(&a, &at_once, &in, 40000), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_rises_dips_and_resolves),
        cmocka_unit_test(pending_ends_quietly_or_fires),
        cmocka_unit_test(unknown_is_neither_quiet_nor_bad),
        cmocka_unit_test(worse_is_three_times_what_was_told_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
