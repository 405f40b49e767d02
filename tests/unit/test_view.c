/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "watchdog/view.h"

static struct view *made(const char *const *ids, size_t count)
{
    struct view *v = view_new();
    v->captures = xcalloc(count, sizeof(*v->captures));
    v->incidents = xcalloc(count, sizeof(*v->incidents));
    v->capture_count = v->incident_count = count;
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(v->captures[i].id, sizeof(v->captures[i].id), "%s", ids[i]);
        (void)snprintf(v->incidents[i].id, sizeof(v->incidents[i].id), "%s", ids[i]);
    }
    return v;
}

static void finds_latest_exact_and_unique_prefix(void **state)
{
    (void)state;
    const char *const ids[] = {"shop_b_2", "shop_a_12", "shop_a_1"};
    struct view *v = made(ids, ARRAY_LEN(ids));
    assert_string_equal(view_capture_find(v, "latest")->id, "shop_b_2");
    assert_string_equal(view_capture_find(v, "shop_b")->id, "shop_b_2");
    assert_string_equal(view_capture_find(v, "shop_a_1")->id, "shop_a_1");
    assert_string_equal(view_incident_find(v, "shop_a_12")->id, "shop_a_12");
    view_release(v);
}

static void does_not_find_ambiguous_unknown_or_empty(void **state)
{
    (void)state;
    const char *const ids[] = {"shop_b_2", "shop_a_12", "shop_a_1"};
    struct view *v = made(ids, ARRAY_LEN(ids));
    assert_null(view_capture_find(v, "shop_"));
    assert_null(view_capture_find(v, "shop_a"));
    assert_null(view_capture_find(v, ""));
    assert_null(view_incident_find(v, "nothing"));
    view_release(v);
    assert_null(view_capture_find(NULL, "latest"));
    v = view_new();
    assert_null(view_capture_find(v, "latest"));
    view_release(v);
}

static void *reads(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        struct view *v = view_acquire();
        if (v != NULL) {
            assert_int_equal(v->made_ms, (int64_t)v->capture_count);
        }
        view_release(v);
    }
    return NULL;
}

static void readers_always_see_a_whole_view(void **state)
{
    (void)state;
    pthread_t threads[3];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reads, NULL), 0);
    }
    const char *const ids[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 2000; i++) {
        struct view *v = made(ids, 1 + i % ARRAY_LEN(ids));
        v->made_ms = (int64_t)v->capture_count;
        view_publish(v);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    view_publish(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_latest_exact_and_unique_prefix),
        cmocka_unit_test(does_not_find_ambiguous_unknown_or_empty),
        cmocka_unit_test(readers_always_see_a_whole_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
