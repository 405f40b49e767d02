/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/retention.h"

#define MIB (INT64_C(1) << 20)

static const struct retention_disk roomy = {.total_bytes = 100000 * MIB, .free_bytes = 90000 * MIB};

static size_t choose(const struct retention_item *items, const struct retention_policy *policy,
                     const struct retention_disk *disk, int64_t need_bytes, int64_t now_ms,
                     size_t *victims, enum retention_verdict *verdict)
{
    const struct retention_question q = {.items = items,
                                         .count = 3,
                                         .policy = *policy,
                                         .disk = *disk,
                                         .need_bytes = need_bytes,
                                         .bundle_bytes = need_bytes / 2,
                                         .now_ms = now_ms};
    return retention_choose(&q, victims, verdict);
}

/* Newest first, as the store lists them. */
static const struct retention_item three[] = {
    {.trigger_ms = 3000, .size_bytes = 10 * MIB},
    {.trigger_ms = 2000, .size_bytes = 10 * MIB},
    {.trigger_ms = 1000, .size_bytes = 10 * MIB},
};

static void the_oldest_goes_first(void **state)
{
    (void)state;
    const struct retention_policy policy = {.max_count = 2};
    size_t victims[3];
    enum retention_verdict verdict;
    size_t n = choose(three, &policy, &roomy, MIB, 5000, victims, &verdict);
    assert_int_equal(n, 2);
    assert_int_equal(victims[0], 2);
    assert_int_equal(victims[1], 1);
    assert_int_equal(verdict, RETENTION_FITS);
}

static void nothing_goes_when_all_fits(void **state)
{
    (void)state;
    const struct retention_policy policy = {
        .max_count = 4, .max_bytes = 100 * MIB, .max_age_ms = 10000, .min_free = 0.2};
    size_t victims[3];
    enum retention_verdict verdict;
    assert_int_equal(choose(three, &policy, &roomy, 10 * MIB, 5000, victims, &verdict), 0);
}

static void pinned_and_open_stay(void **state)
{
    (void)state;
    struct retention_item items[3];
    memcpy(items, three, sizeof(items));
    items[2].pinned = true;
    items[1].open = true;
    const struct retention_policy policy = {.max_count = 1, .max_age_ms = 1};
    size_t victims[3];
    enum retention_verdict verdict;
    size_t n = choose(items, &policy, &roomy, 0, 100000, victims, &verdict);
    assert_int_equal(n, 1);
    assert_int_equal(victims[0], 0);
}

static void bytes_make_room_for_what_comes(void **state)
{
    (void)state;
    const struct retention_policy policy = {.max_bytes = 35 * MIB};
    size_t victims[3];
    enum retention_verdict verdict;
    size_t n = choose(three, &policy, &roomy, 20 * MIB, 5000, victims, &verdict);
    assert_int_equal(n, 1);
    assert_int_equal(victims[0], 2);
}

static void a_first_capture_of_unknown_size_costs_no_bundle(void **state)
{
    (void)state;
    const struct retention_question q = {.items = three,
                                         .count = 3,
                                         .policy = {.max_bytes = 35 * MIB},
                                         .disk = roomy,
                                         .need_bytes = 64 * MIB,
                                         .now_ms = 5000};
    size_t victims[3];
    enum retention_verdict verdict;
    assert_int_equal(retention_choose(&q, victims, &verdict), 0);
    assert_int_equal(verdict, RETENTION_FITS);
}

static void age_is_a_reason_by_itself(void **state)
{
    (void)state;
    const struct retention_policy policy = {.max_age_ms = 3500};
    size_t victims[3];
    enum retention_verdict verdict;
    size_t n = choose(three, &policy, &roomy, 0, 5000, victims, &verdict);
    assert_int_equal(n, 1);
    assert_int_equal(victims[0], 2);
}

static void a_full_disk_gives_what_the_next_capture_needs(void **state)
{
    (void)state;
    const struct retention_policy policy = {.min_free = 0.2};
    const struct retention_disk full = {.total_bytes = 1000 * MIB, .free_bytes = 110 * MIB};
    size_t victims[3];
    enum retention_verdict verdict;
    size_t n = choose(three, &policy, &full, 64 * MIB, 5000, victims, &verdict);
    assert_int_equal(n, 2);
    assert_int_equal(victims[0], 2);
    assert_int_equal(victims[1], 1);
    assert_int_equal(verdict, RETENTION_TIGHT);
}

static void a_full_disk_that_all_bundles_would_not_relieve_keeps_them_and_says_so(void **state)
{
    (void)state;
    const struct retention_policy policy = {.min_free = 0.2};
    const struct retention_disk full = {.total_bytes = 1000 * MIB, .free_bytes = 20 * MIB};
    size_t victims[3];
    enum retention_verdict verdict;
    assert_int_equal(choose(three, &policy, &full, 64 * MIB, 5000, victims, &verdict), 0);
    assert_int_equal(verdict, RETENTION_LACKS);
}

static void below_min_free_is_tight_not_lacking(void **state)
{
    (void)state;
    const struct retention_policy policy = {.min_free = 0.2};
    const struct retention_disk tight = {.total_bytes = 100000 * MIB, .free_bytes = 10000 * MIB};
    size_t victims[3];
    enum retention_verdict verdict;
    assert_int_equal(choose(three, &policy, &tight, 64 * MIB, 5000, victims, &verdict), 0);
    assert_int_equal(verdict, RETENTION_TIGHT);
}

static void a_disk_filled_by_others_costs_no_evidence(void **state)
{
    (void)state;
    const struct retention_policy policy = {.min_free = 0.2};
    const struct retention_disk full = {.total_bytes = 1000 * MIB, .free_bytes = 10 * MIB};
    size_t victims[3];
    enum retention_verdict verdict;
    assert_int_equal(choose(three, &policy, &full, 0, 5000, victims, &verdict), 0);
}

static void a_disk_we_can_relieve_is_relieved(void **state)
{
    (void)state;
    const struct retention_policy policy = {.min_free = 0.2};
    const struct retention_disk low = {.total_bytes = 1000 * MIB, .free_bytes = 195 * MIB};
    size_t victims[3];
    enum retention_verdict verdict;
    assert_int_equal(choose(three, &policy, &low, 0, 5000, victims, &verdict), 1);
    assert_int_equal(victims[0], 2);
    assert_int_equal(verdict, RETENTION_FITS);
}

static void the_need_follows_earlier_captures(void **state)
{
    (void)state;
    const int64_t raw[] = {8 * MIB, 20 * MIB};
    const int64_t packed[] = {2 * MIB, 4 * MIB};
    assert_int_equal(retention_predict(raw, packed, 2), 36 * MIB);
    assert_int_equal(retention_predict(raw, packed, 0), 64 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_goes_first),
        cmocka_unit_test(nothing_goes_when_all_fits),
        cmocka_unit_test(pinned_and_open_stay),
        cmocka_unit_test(bytes_make_room_for_what_comes),
        cmocka_unit_test(a_first_capture_of_unknown_size_costs_no_bundle),
        cmocka_unit_test(age_is_a_reason_by_itself),
        cmocka_unit_test(a_full_disk_gives_what_the_next_capture_needs),
        cmocka_unit_test(a_full_disk_that_all_bundles_would_not_relieve_keeps_them_and_says_so),
        cmocka_unit_test(below_min_free_is_tight_not_lacking),
        cmocka_unit_test(a_disk_filled_by_others_costs_no_evidence),
        cmocka_unit_test(a_disk_we_can_relieve_is_relieved),
        cmocka_unit_test(the_need_follows_earlier_captures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
