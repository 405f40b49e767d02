/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/series.h"

static uint32_t add(struct series_store *store, const char *value, bool *ret_new)
{
    struct labels l = {.count = 2, .items = {{"__name__", "x"}, {"code", value}}};
    uint32_t id = 0;
    assert_int_equal(series_add(store, &l, &id, ret_new, NULL), 0);
    return id;
}

static void series_are_found_again_by_their_labels(void **state)
{
    (void)state;
    struct series_store *store = series_new(60000, 1000);
    bool is_new;
    uint32_t ids[500];
    char text[16];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(text, sizeof(text), "%d", i);
        ids[i] = add(store, text, &is_new);
        assert_true(is_new);
    }
    for (int i = 0; i < 500; i++) {
        (void)snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(add(store, text, &is_new), ids[i]);
        assert_false(is_new);
        assert_string_equal(labels_get(series_labels(store, ids[i]), "code"), text);
    }
    assert_int_equal(series_count(store), 500);
    series_free(store);
}

static void samples_come_back_in_order_within_the_span(void **state)
{
    (void)state;
    struct series_store *store = series_new(60000, 10);
    bool is_new;
    uint32_t id = add(store, "200", &is_new);
    for (int i = 0; i <= 200; i++) {
        assert_true(series_append(store, id, i * 1000, i));
    }
    assert_false(series_append(store, id, 200000, 7)); /* not newer */
    struct series_iter it;
    int64_t at_ms;
    double value;
    int count = 0;
    series_iterate(store, id, 0, INT64_MAX, &it);
    while (series_next(&it, &at_ms, &value)) {
        assert_int_equal(at_ms, (140 + count) * 1000);
        count++;
    }
    assert_int_equal(count, 61);
    series_iterate(store, id, 150500, 153000, &it);
    assert_true(series_next(&it, &at_ms, &value) && at_ms == 151000);
    assert_true(series_next(&it, &at_ms, &value) && series_next(&it, &at_ms, &value));
    assert_false(series_next(&it, &at_ms, &value));
    assert_true(series_last(store, id, &at_ms, &value) && value == 200.0);
    series_reset(store, id);
    assert_false(series_last(store, id, &at_ms, &value));
    series_free(store);
}

static void increase_counts_over_a_reset(void **state)
{
    (void)state;
    struct series_store *store = series_new(60000, 10);
    bool is_new;
    uint32_t id = add(store, "200", &is_new);
    static const double values[] = {100, 110, 5, 8};
    for (int i = 0; i < 4; i++) {
        (void)series_append(store, id, i * 1000, values[i]);
    }
    assert_true(series_increase(store, id, 0, 3000) == 18.0);
    assert_true(series_increase(store, id, 2000, 3000) == 3.0);
    assert_true(series_increase(store, id, 5000, 6000) == 0.0);
    series_free(store);
}

static void stale_series_are_pruned_and_a_full_store_says_so(void **state)
{
    (void)state;
    struct series_store *store = series_new(60000, 2);
    bool is_new;
    uint32_t first = add(store, "1", &is_new);
    uint32_t second = add(store, "2", &is_new);
    struct labels third = {.count = 1, .items = {{"__name__", "y"}}};
    uint32_t id;
    struct error err = ERROR_INIT;
    assert_true(series_add(store, &third, &id, &is_new, &err) < 0);
    (void)series_append(store, first, 1000, 1);
    (void)series_append(store, second, 1000, 1);
    series_stale(store, first);
    assert_true(series_is_stale(store, first));
    assert_int_equal(series_prune(store, 1000), 0);
    assert_int_equal(series_prune(store, 5000), 1);
    assert_int_equal(series_add(store, &third, &id, &is_new, &err), 0);
    struct selector *s = NULL;
    assert_int_equal(selector_parse("x", &s, NULL), 0);
    uint32_t at = 0;
    assert_true(series_select(store, s, &at));
    assert_int_equal(at, second);
    at++;
    assert_false(series_select(store, s, &at));
    selector_free(s);
    assert_true(series_memory_bytes(store) > 0);
    series_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_are_found_again_by_their_labels),
        cmocka_unit_test(samples_come_back_in_order_within_the_span),
        cmocka_unit_test(increase_counts_over_a_reset),
        cmocka_unit_test(stale_series_are_pruned_and_a_full_store_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
