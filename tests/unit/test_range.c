/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/range.h"

static void parses_as_rfc_9110_says(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        uint64_t size;
        enum range_kind kind;
        uint64_t offset;
        uint64_t length;
    } rows[] = {
        {NULL, 100, RANGE_WHOLE, 0, 0},
        {"bytes=0-49", 100, RANGE_PART, 0, 50},
        {"bytes=50-", 100, RANGE_PART, 50, 50},
        {"Bytes= 99-99", 100, RANGE_PART, 99, 1},
        {"bytes=90-1000", 100, RANGE_PART, 90, 10},
        {"bytes=-10", 100, RANGE_PART, 90, 10},
        {"bytes=-1000", 100, RANGE_PART, 0, 100},
        {"bytes=-0", 100, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=100-", 100, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=99999999999999999999999-", 100, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=5-99999999999999999999999", 100, RANGE_PART, 5, 95},
        {"bytes=5-4", 100, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,5-6", 100, RANGE_WHOLE, 0, 0},
        {"bytes=", 100, RANGE_WHOLE, 0, 0},
        {"bytes=-", 100, RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 100, RANGE_WHOLE, 0, 0},
        {"lines=0-1", 100, RANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct range r = {0};
        if (range_parse(rows[i].header, rows[i].size, &r) != rows[i].kind ||
            r.offset != rows[i].offset || r.length != rows[i].length) {
            fail_msg("'%s' of %llu: offset %llu length %llu", rows[i].header,
                     (unsigned long long)rows[i].size, (unsigned long long)r.offset,
                     (unsigned long long)r.length);
        }
    }
}

static void if_range_needs_the_very_etag(void **state)
{
    (void)state;
    assert_true(range_if_range(NULL, "\"ab\""));
    assert_true(range_if_range("\"ab\"", "\"ab\""));
    assert_false(range_if_range("W/\"ab\"", "\"ab\""));
    assert_false(range_if_range("\"abc\"", "\"ab\""));
    assert_false(range_if_range("Tue, 24 Nov 2026 08:00:00 GMT", "\"ab\""));
}

static void etag_lists(void **state)
{
    (void)state;
    assert_true(range_etag_listed("*", "\"ab\"", true));
    assert_true(range_etag_listed("\"x\", W/\"ab\"", "\"ab\"", true));
    assert_false(range_etag_listed("\"x\", W/\"ab\"", "\"ab\"", false));
    assert_true(range_etag_listed("\"x,\\\" , \"ab\"", "\"ab\"", false));
    assert_false(range_etag_listed("ab", "\"ab\"", true));
    assert_false(range_etag_listed("\"unclosed", "\"ab\"", true));
    assert_false(range_etag_listed(NULL, "\"ab\"", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_as_rfc_9110_says),
        cmocka_unit_test(if_range_needs_the_very_etag),
        cmocka_unit_test(etag_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
