/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/incident.h"

enum { COOLDOWN_MS = 900000, START_MS = 1000000000 };

static const struct incident_limits limits = {.per_incident = 3, .per_hour = 4, .per_day = 12};

struct world {
    struct incidents all;
    int64_t now_ms;
    unsigned ids;
    struct incident_decision d;
};

static struct world world_new(void)
{
    struct world w = {.now_ms = START_MS};
    incident_init(&w.all, &limits);
    return w;
}

/* One change of the rule `availability` on `checkout`; what is decided on is captured. */
static void happen(struct world *w, enum watch_event_kind kind, enum watch_grade grade,
                   double ratio)
{
    struct watch_event event = {
        .kind = kind, .grade = grade, .at_ms = w->now_ms, .onset_ms = w->now_ms - 1000};
    event.counts.ratio = ratio;
    char id[32];
    (void)snprintf(id, sizeof(id), "id%u", ++w->ids);
    const struct incident_event e = {.target = "checkout",
                                     .rule = "availability",
                                     .cooldown_ms = COOLDOWN_MS,
                                     .watch = &event,
                                     .new_id = id};
    incident_take(&w->all, &e, &w->d);
    if (w->d.capture) {
        incident_captured(&w->all, w->d.incident, "checkout", w->now_ms, ratio);
    }
}

static void firing_captures_the_onset(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_LIGHT, 0.02);
    assert_true(w.d.capture);
    assert_string_equal(w.d.reason, "onset");
    assert_string_equal(w.d.incident, "id1");
    assert_int_equal(w.d.grade, WATCH_LIGHT);
    incident_release(&w.all);
}

static void dips_are_counted_not_captured(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    happen(&w, WATCH_EVENT_DIP, WATCH_FULL, 0.05);
    assert_false(w.d.capture);
    assert_int_equal(incident_find(&w.all, "id1")->dips, 1);
    incident_release(&w.all);
}

static void raising_captures_in_full(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_LIGHT, 0.02);
    happen(&w, WATCH_EVENT_RAISED, WATCH_FULL, 0.03);
    assert_true(w.d.capture);
    assert_true(w.d.raise);
    assert_string_equal(w.d.reason, "raised");
    assert_string_equal(w.d.incident, "id1");
    incident_release(&w.all);
}

static void cooldown_counts_from_resolution(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    w.now_ms += COOLDOWN_MS; /* fires all the time: no cooldown runs */
    happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
    w.now_ms += COOLDOWN_MS - 1000;
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    assert_false(w.d.capture);
    assert_string_equal(w.d.why, "cooldown: 1 s left");
    assert_int_equal(incident_find(&w.all, w.d.incident)->suppressed, 1);
    happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
    w.now_ms += 1000; /* what captured nothing does not extend it */
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    assert_true(w.d.capture);
    incident_release(&w.all);
}

static void cooldown_never_hides_a_dip_three_times_worse(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
    w.now_ms += 1000;
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.149);
    assert_false(w.d.capture);
    happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.151);
    assert_true(w.d.capture);
    assert_string_equal(w.d.reason, "worse");
    incident_release(&w.all);
}

static void one_hourly_slot_is_kept_for_it(void **state)
{
    (void)state;
    struct world w = world_new();
    for (int i = 0; i < 3; i++) {
        happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
        assert_true(w.d.capture);
        happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
        w.now_ms += COOLDOWN_MS;
    }
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    assert_false(w.d.capture);
    assert_string_equal(
        w.d.why, "limits.per_hour: 3 of 4 captured, the last is kept for a dip three times worse");
    happen(&w, WATCH_EVENT_WORSE, WATCH_FULL, 0.5);
    assert_true(w.d.capture);
    assert_string_equal(w.d.reason, "worse");
    happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 1.0);
    assert_false(w.d.capture); /* not three times 0.5 */
    w.now_ms += 3600 * 1000;
    happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    assert_true(w.d.capture); /* the hour has passed */
    incident_release(&w.all);
}

static void an_incident_has_a_limit(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_LIGHT, 0.01);
    happen(&w, WATCH_EVENT_RAISED, WATCH_FULL, 0.01);
    happen(&w, WATCH_EVENT_WORSE, WATCH_FULL, 0.1);
    assert_true(w.d.capture);
    w.now_ms += 2 * 3600 * 1000;
    happen(&w, WATCH_EVENT_WORSE, WATCH_FULL, 0.9);
    assert_false(w.d.capture);
    assert_string_equal(w.d.why, "limits.per_incident: 3 of 3 captured");
    incident_release(&w.all);
}

static void a_restart_forgets_nothing(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
    w.now_ms += COOLDOWN_MS;
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.06);
    struct buf text = BUF_INIT(1 << 20);
    incident_save(&w.all, &text);
    incident_release(&w.all);
    struct error err = ERROR_INIT;
    assert_int_equal(incident_load(&w.all, buf_text(&text), w.now_ms, &err), 0);
    buf_release(&text);
    assert_int_equal(w.all.count, 2);
    assert_true(w.all.list[0].open);
    assert_int_equal(incident_hour_left(&w.all, "checkout", w.now_ms), 2);
    /* The rule fires anew: another dip of the same incident, no second capture. */
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.06);
    assert_false(w.d.capture);
    assert_string_equal(w.d.incident, "id3");
    assert_int_equal(incident_find(&w.all, "id3")->dips, 1);
    incident_release(&w.all);
}

static int64_t a_minute(const struct incident *in, void *arg)
{
    (void)in;
    (void)arg;
    return 60000;
}

static void a_restored_incident_resolves_by_itself(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    struct buf text = BUF_INIT(1 << 20);
    incident_save(&w.all, &text);
    assert_int_equal(incident_load(&w.all, buf_text(&text), w.now_ms, NULL), 0);
    buf_release(&text);
    assert_false(incident_tick(&w.all, a_minute, NULL, w.now_ms + 59999));
    assert_true(incident_tick(&w.all, a_minute, NULL, w.now_ms + 60000));
    assert_false(incident_find(&w.all, "id1")->open);
    assert_int_equal(
        incident_cooldown_left(&w.all, "checkout", "availability", COOLDOWN_MS, w.now_ms + 60000),
        COOLDOWN_MS);
    incident_release(&w.all);
}

static void garbage_leaves_what_there_is(void **state)
{
    (void)state;
    struct world w = world_new();
    happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
    assert_true(incident_load(&w.all, "[garbage", w.now_ms, NULL) < 0);
    assert_int_equal(w.all.count, 1);
    incident_release(&w.all);
}

static void the_list_is_bounded(void **state)
{
    (void)state;
    struct world w = world_new();
    for (int i = 0; i < INCIDENT_KEPT + 50; i++) {
        happen(&w, WATCH_EVENT_FIRED, WATCH_FULL, 0.05);
        happen(&w, WATCH_EVENT_RESOLVED, WATCH_NONE, 0);
        w.now_ms += COOLDOWN_MS;
    }
    assert_int_equal(w.all.count, INCIDENT_KEPT);
    assert_string_equal(w.all.list[0].id, "id499");
    incident_release(&w.all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firing_captures_the_onset),
        cmocka_unit_test(dips_are_counted_not_captured),
        cmocka_unit_test(raising_captures_in_full),
        cmocka_unit_test(cooldown_counts_from_resolution),
        cmocka_unit_test(cooldown_never_hides_a_dip_three_times_worse),
        cmocka_unit_test(one_hourly_slot_is_kept_for_it),
        cmocka_unit_test(an_incident_has_a_limit),
        cmocka_unit_test(a_restart_forgets_nothing),
        cmocka_unit_test(a_restored_incident_resolves_by_itself),
        cmocka_unit_test(garbage_leaves_what_there_is),
        cmocka_unit_test(the_list_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
