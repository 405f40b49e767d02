/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/watch.h"

static const int64_t start_ms = 1700000000000;

struct events {
    size_t count;
    struct watch_event items[64];
};

static void record(const struct watch_event *event, void *arg)
{
    struct events *e = arg;
    assert_true(e->count < ARRAY_LEN(e->items));
    e->items[e->count++] = *event;
}

/* A service with counters by code, polled once a second. */
struct fixture {
    struct watch *w;
    struct events events;
    int64_t now_ms;
    double ok;
    double failed;
    bool failed_exists;
};

static const char *by_labels[] = {"route", "code"};
static const struct slo_options slo = {.present = true,
                                       .objective = 0.999,
                                       .good = "http_requests_total{code!~\"5..\"}",
                                       .total = "http_requests_total",
                                       .look_back_ms = 30000,
                                       .by = {by_labels, 2},
                                       .false_captures = "1/30d",
                                       .period_ms = 2592000000};
static const struct watch_rule rules[] = {
    {"availability", WATCH_SLO, &slo, 0, 60000},
    {"source_down", WATCH_SOURCE_DOWN, NULL, 0, 60000},
    {"target_exited", WATCH_TARGET_EXITED, NULL, 0, 60000},
    {"traffic_lost", WATCH_TRAFFIC_LOST, &slo, 0, 60000},
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->now_ms = start_ms;
    struct error err = ERROR_INIT;
    assert_int_equal(watch_new(rules, ARRAY_LEN(rules), 1000, &f->w, &err), 0);
    watch_process(f->w, f->now_ms, true, start_ms - 100000);
}

static void page(struct fixture *f)
{
    char text[512];
    int len = snprintf(text, sizeof(text),
                       "# TYPE http_requests_total counter\n"
                       "http_requests_total{route=\"/reserve\",code=\"200\"} %.0f\n",
                       f->ok);
    if (f->failed_exists) {
        len += snprintf(text + len, sizeof(text) - (size_t)len,
                        "http_requests_total{route=\"/reserve\",code=\"503\"} %.0f\n", f->failed);
    }
    struct error err = ERROR_INIT;
    assert_int_equal(watch_page(f->w, f->now_ms, text, (size_t)len, false, &err), 0);
    watch_evaluate(f->w, f->now_ms, record, &f->events);
}

/* `seconds` seconds with so many good and failed requests in each. */
static void serve(struct fixture *f, int seconds, double ok, double failed)
{
    for (int i = 0; i < seconds; i++) {
        f->now_ms += 1000;
        f->ok += ok;
        f->failed += failed;
        f->failed_exists = f->failed_exists || failed > 0.0;
        page(f);
    }
}

static void miss(struct fixture *f, int polls)
{
    for (int i = 0; i < polls; i++) {
        f->now_ms += 1000;
        watch_miss(f->w, f->now_ms);
        watch_evaluate(f->w, f->now_ms, record, &f->events);
    }
}

static const struct watch_event *find(const struct fixture *f, size_t rule,
                                      enum watch_event_kind kind)
{
    for (size_t i = 0; i < f->events.count; i++) {
        if (f->events.items[i].rule == rule && f->events.items[i].kind == kind) {
            return &f->events.items[i];
        }
    }
    return NULL;
}

static void five_per_cent_fire_at_the_first_poll(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.ok = 1e6;
    page(&f);
    serve(&f, 20, 1000, 0);
    assert_int_equal(f.events.count, 0);
    serve(&f, 1, 948, 52);
    const struct watch_event *e = find(&f, 0, WATCH_EVENT_FIRED);
    assert_non_null(e);
    assert_int_equal(e->grade, WATCH_FULL);
    assert_string_equal(e->summary, "52 of 1,000 failed in 1 s; the objective allows 1; 10 or more "
                                    "fires; 100 % of them route=/reserve code=503");
    assert_int_equal(e->onset_ms, f.now_ms - 1000);
    assert_true(e->counts.worst_ratio > 0.0519 && e->counts.worst_ratio < 0.0521);
    watch_free(f.w);
}

static void one_of_ten_does_not_fire(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 1, 9, 1);
    serve(&f, 30, 0, 0);
    assert_int_equal(f.events.count, 0);
    watch_free(f.w);
}

static void three_of_three_fire(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 1, 0, 3);
    assert_non_null(find(&f, 0, WATCH_EVENT_FIRED));
    watch_free(f.w);
}

static void first_page_is_only_a_baseline(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.ok = 1000;
    f.failed = 900;
    f.failed_exists = true;
    page(&f);
    serve(&f, 5, 10, 0);
    assert_int_equal(f.events.count, 0);
    watch_free(f.w);
}

static void dip_resolves_and_dips_again(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 20, 1000, 0);
    serve(&f, 3, 500, 500);
    serve(&f, 20, 1000, 0);
    serve(&f, 3, 500, 500);
    assert_non_null(find(&f, 0, WATCH_EVENT_DIP));
    assert_null(find(&f, 0, WATCH_EVENT_RESOLVED));
    assert_null(find(&f, 0, WATCH_EVENT_WORSE));
    serve(&f, 62, 1000, 0);
    const struct watch_event *e = find(&f, 0, WATCH_EVENT_RESOLVED);
    assert_non_null(e);
    assert_int_equal(e->grade, WATCH_FULL);
    assert_int_equal(f.events.count, 3);
    watch_free(f.w);
}

static void three_times_worse_is_told(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 20, 1000, 0);
    serve(&f, 15, 950, 50);
    assert_null(find(&f, 0, WATCH_EVENT_WORSE));
    serve(&f, 1, 800, 200);
    assert_non_null(find(&f, 0, WATCH_EVENT_WORSE));
    watch_free(f.w);
}

static void small_dip_is_light_and_raised_when_it_lasts(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 40, 1000, 0);
    serve(&f, 30, 996, 4);
    const struct watch_event *e = find(&f, 0, WATCH_EVENT_FIRED);
    assert_non_null(e);
    assert_int_equal(e->grade, WATCH_LIGHT);
    e = find(&f, 0, WATCH_EVENT_RAISED);
    assert_non_null(e);
    assert_int_equal(e->grade, WATCH_FULL);
    watch_free(f.w);
}

static void misses_are_unknown_and_their_delta_spans_them(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 20, 1000, 0);
    miss(&f, 2);
    assert_int_equal(f.events.count, 0);
    struct watch_status status;
    watch_status_of(f.w, 0, f.now_ms, &status);
    assert_true(status.unknown);
    serve(&f, 1, 2900, 100);
    const struct watch_event *e = find(&f, 0, WATCH_EVENT_FIRED);
    assert_non_null(e);
    assert_int_equal(e->counts.window_ms, 3000);
    assert_int_equal(e->onset_ms, f.now_ms - 3000);
    watch_free(f.w);
}

static void source_down_fires_at_the_third_miss(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    miss(&f, 10); /* never up: silent */
    assert_int_equal(f.events.count, 0);
    serve(&f, 2, 10, 0);
    miss(&f, 2);
    assert_int_equal(f.events.count, 0);
    miss(&f, 1);
    const struct watch_event *e = find(&f, 1, WATCH_EVENT_FIRED);
    assert_non_null(e);
    assert_string_equal(e->summary, "3 polls in a row got no metrics, for 3 s; 3 or more fires");
    watch_free(f.w);
}

static void dead_process_is_exited_and_not_source_down(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    serve(&f, 2, 10, 0);
    watch_process(f.w, f.now_ms + 500, false, 0);
    miss(&f, 5);
    assert_non_null(find(&f, 2, WATCH_EVENT_FIRED));
    assert_null(find(&f, 1, WATCH_EVENT_FIRED));
    watch_process(f.w, f.now_ms, true, f.now_ms - 100);
    f.ok = f.failed = 0;
    serve(&f, 62, 10, 0);
    assert_non_null(find(&f, 2, WATCH_EVENT_RESOLVED));
    assert_null(find(&f, 0, WATCH_EVENT_FIRED));
    watch_free(f.w);
}

static void counters_of_a_new_life_begin_at_zero(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.failed_exists = true;
    f.ok = 10;
    page(&f);
    serve(&f, 5, 10, 0);
    watch_process(f.w, f.now_ms, false, 0);
    watch_process(f.w, f.now_ms + 200, true, f.now_ms + 100);
    f.ok = 100; /* more than before the restart, and all of it new */
    f.failed = 0;
    serve(&f, 1, 0, 40);
    const struct watch_event *e = find(&f, 0, WATCH_EVENT_FIRED);
    assert_non_null(e);
    assert_true(e->counts.total == 140.0);
    watch_free(f.w);
}

static void traffic_cut_to_nothing_fires_within_seconds(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 180, 1000, 0);
    assert_int_equal(f.events.count, 0);
    int64_t cut_ms = f.now_ms;
    serve(&f, 5, 0, 0);
    const struct watch_event *e = find(&f, 3, WATCH_EVENT_FIRED);
    assert_non_null(e);
    assert_true(e->at_ms - cut_ms <= 5000);
    serve(&f, 70, 1000, 0);
    assert_non_null(find(&f, 3, WATCH_EVENT_RESOLVED));
    watch_free(f.w);
}

static void hold_keeps_every_rule_inactive(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 5, 1000, 0);
    watch_hold(f.w, true);
    serve(&f, 5, 0, 1000);
    assert_int_equal(f.events.count, 0);
    watch_hold(f.w, false);
    serve(&f, 5, 1000, 0);
    assert_int_equal(f.events.count, 0);
    watch_free(f.w);
}

static void broken_page_is_a_miss_and_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 5, 1000, 0);
    size_t series = watch_series_count(f.w);
    const char html[] = "<html><body>502 Bad Gateway</body></html>\n";
    struct error err = ERROR_INIT;
    assert_int_equal(watch_page(f.w, f.now_ms + 1, html, sizeof(html) - 1, false, &err), -22);
    assert_int_equal(err.line, 1);
    assert_int_equal(err.column, 1);
    const char bad[] =
        "http_requests_total{code=\"500\"} 100000\nhttp_requests_total{code=\"x} 1\n";
    assert_int_equal(watch_page(f.w, f.now_ms + 2, bad, sizeof(bad) - 1, false, &err), -22);
    assert_int_equal(err.line, 2);
    assert_int_equal(watch_series_count(f.w), series);
    serve(&f, 5, 1000, 0);
    assert_int_equal(f.events.count, 0);
    watch_free(f.w);
}

static void missing_series_are_named(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    const char other[] = "other_total 5\n";
    assert_int_equal(watch_page(f.w, f.now_ms, other, sizeof(other) - 1, false, NULL), 0);
    watch_evaluate(f.w, f.now_ms, record, &f.events);
    struct watch_status status;
    watch_status_of(f.w, 0, f.now_ms, &status);
    assert_true(status.unknown);
    assert_string_equal(status.missing, "no series matches 'http_requests_total'");
    watch_free(f.w);
}

static void what_was_learned_survives_and_garbage_does_not_load(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    page(&f);
    serve(&f, 180, 1000, 1);
    AUTO_BUF struct buf saved = BUF_INIT(1 << 16);
    watch_save(f.w, &saved);
    watch_free(f.w);
    setup(&f);
    struct error err = ERROR_INIT;
    assert_int_equal(watch_load(f.w, "[1,", 3, &err), -22);
    assert_int_equal(watch_load(f.w, buf_text(&saved), saved.len, &err), 0);
    AUTO_BUF struct buf again = BUF_INIT(1 << 16);
    watch_save(f.w, &again);
    assert_string_equal(buf_text(&saved), buf_text(&again));
    watch_free(f.w);
}

static void a_bad_selector_names_its_rule(void **state)
{
    (void)state;
    struct slo_options broken = slo;
    broken.good = "http_requests_total{code=~\"(\"}";
    struct watch_rule rule = {"availability", WATCH_SLO, &broken, 0, 60000};
    struct watch *w = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(watch_new(&rule, 1, 1000, &w, &err), -22);
    assert_non_null(strstr(err.message, "rule 'availability': good"));
}

static void pending_waits_for_its_time(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    watch_free(f.w);
    struct watch_rule rule = {"availability", WATCH_SLO, &slo, 5000, 0};
    assert_int_equal(watch_new(&rule, 1, 1000, &f.w, NULL), 0);
    page(&f);
    serve(&f, 5, 1000, 0);
    serve(&f, 3, 500, 500);
    assert_int_equal(f.events.count, 1);
    assert_int_equal(f.events.items[0].kind, WATCH_EVENT_PENDING);
    serve(&f, 5, 1000, 0);
    assert_int_equal(f.events.count, 1);
    serve(&f, 7, 500, 500);
    assert_non_null(find(&f, 0, WATCH_EVENT_FIRED));
    serve(&f, 3, 1000, 0);
    assert_non_null(find(&f, 0, WATCH_EVENT_RESOLVED));
    watch_free(f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_per_cent_fire_at_the_first_poll),
        cmocka_unit_test(one_of_ten_does_not_fire),
        cmocka_unit_test(three_of_three_fire),
        cmocka_unit_test(first_page_is_only_a_baseline),
        cmocka_unit_test(dip_resolves_and_dips_again),
        cmocka_unit_test(three_times_worse_is_told),
        cmocka_unit_test(small_dip_is_light_and_raised_when_it_lasts),
        cmocka_unit_test(misses_are_unknown_and_their_delta_spans_them),
        cmocka_unit_test(source_down_fires_at_the_third_miss),
        cmocka_unit_test(dead_process_is_exited_and_not_source_down),
        cmocka_unit_test(counters_of_a_new_life_begin_at_zero),
        cmocka_unit_test(traffic_cut_to_nothing_fires_within_seconds),
        cmocka_unit_test(hold_keeps_every_rule_inactive),
        cmocka_unit_test(broken_page_is_a_miss_and_changes_nothing),
        cmocka_unit_test(missing_series_are_named),
        cmocka_unit_test(what_was_learned_survives_and_garbage_does_not_load),
        cmocka_unit_test(a_bad_selector_names_its_rule),
        cmocka_unit_test(pending_waits_for_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
