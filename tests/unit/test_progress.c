/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/progress.h"

static void a_line_never_wraps(void **state)
{
    (void)state;
    char line[256];
    for (int width = 1; width < 200; width++) {
        (void)progress_line(12345678, 987654321, 1234567, width, line, sizeof(line));
        assert_true(strlen(line) < (size_t)width || width == 1);
    }
}

static void says_part_size_rate_and_what_is_left(void **state)
{
    (void)state;
    char line[256];
    (void)progress_line(1 << 20, 4 << 20, 1 << 20, 100, line, sizeof(line));
    assert_non_null(strstr(line, "25 %"));
    assert_non_null(strstr(line, "1.0 MiB of 4.0 MiB"));
    assert_non_null(strstr(line, "3 s left"));
    (void)progress_line(1 << 20, 0, 1 << 20, 100, line, sizeof(line));
    assert_string_equal(line, "1.0 MiB  1.0 MiB/s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_never_wraps),
        cmocka_unit_test(says_part_size_rate_and_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
