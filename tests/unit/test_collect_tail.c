/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/collect_tail.h"

static int64_t stamp(const char *line)
{
    int64_t ms = -1;
    return collect_tail_stamp(line, strlen(line), &ms) ? ms : -1;
}

static void reads_times_that_carry_a_zone(void **state)
{
    (void)state;
    assert_int_equal(stamp("2026-11-24T08:31:12Z x"), 1795509072000);
    assert_int_equal(stamp("2026-11-24T08:31:12.345Z x"), 1795509072345);
    assert_int_equal(stamp("2026-11-24T09:31:12.345678+01:00 x"), 1795509072345);
    assert_int_equal(stamp("[2026-11-24 09:31:12,345 +0100] x"), 1795509072345);
    assert_int_equal(stamp("level=info ts=2026-11-24T08:31:12Z msg=x"), 1795509072000);
    assert_int_equal(stamp("{\"level\":\"info\",\"ts\":1795509072.345,\"m\":1}"), 1795509072345);
    assert_int_equal(stamp("{\"time\":1795509072345}"), 1795509072345);
    assert_int_equal(stamp("1795509072 x"), 1795509072000);
}

static void guesses_no_zone_and_no_time(void **state)
{
    (void)state;
    assert_int_equal(stamp("2026/11/24 08:31:12 x"), -1);
    assert_int_equal(stamp("2026-11-24 08:31:12 x"), -1);
    assert_int_equal(stamp("Nov 24 08:31:12 host app: x"), -1);
    assert_int_equal(stamp("gc 1 @0.012s 2%: 0.026+0.39+0.10 ms clock"), -1);
    assert_int_equal(stamp(""), -1);
    assert_int_equal(stamp("2026-99-24T08:31:12"), -1);
    assert_int_equal(stamp("order 123456789012345 failed"), -1);
    assert_int_equal(stamp("2026-11-24T08:31:12+"), -1);
}

static void starts_at_the_first_line_young_enough(void **state)
{
    (void)state;
    static const char text[] = "  continues\n"
                               "2026-11-24T08:30:00Z old\n"
                               "  its second line\n"
                               "2026-11-24T08:31:12Z new\n"
                               "2026-11-24T08:31:13Z newer\n";
    bool stamped = false;
    size_t at = collect_tail_start(text, sizeof(text) - 1, 1795509072000, &stamped);
    assert_true(stamped);
    assert_string_equal(text + at, "2026-11-24T08:31:12Z new\n2026-11-24T08:31:13Z newer\n");
    assert_int_equal(collect_tail_start(text, sizeof(text) - 1, 1795509999000, &stamped),
                     sizeof(text) - 1);
    assert_int_equal(collect_tail_start("plain\nlines", 11, 0, &stamped), 0);
    assert_false(stamped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_times_that_carry_a_zone),
        cmocka_unit_test(guesses_no_zone_and_no_time),
        cmocka_unit_test(starts_at_the_first_line_young_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
