/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void formats_utc_with_milliseconds(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    assert_string_equal(clock_rfc3339(1795509072345, text), "2026-11-24T08:31:12.345Z");
    assert_string_equal(clock_compact(1795509072345, text), "20261124T083112.345Z");
}

static void wall_time_never_goes_back(void **state)
{
    (void)state;
    int64_t last_ms = clock_wall_ms();
    for (int i = 0; i < 1000; i++) {
        int64_t now_ms = clock_wall_ms();
        assert_true(now_ms >= last_ms);
        last_ms = now_ms;
    }
}

static void the_boot_id_is_a_uuid(void **state)
{
    (void)state;
    char id[40];
    assert_int_equal(strlen(clock_boot_id(id)), 36);
    assert_int_equal(id[8], '-');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_utc_with_milliseconds),
        cmocka_unit_test(wall_time_never_goes_back),
        cmocka_unit_test(the_boot_id_is_a_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
