/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/collect_copy.h"

static void lists_what_a_step_asks_for(void **state)
{
    (void)state;
    static const struct collector_copy copies[] = {
        {.source = "/proc/1/status", .output = "before/status"},
        {.source = "/proc/1/environ", .output = "before/names", .names = true},
        {.source = "/proc/1/fd", .output = "before/fd", .listing = true},
        {.source = "wchan", .output = "before/wchan", .per_thread = true},
    };
    static const char expected[] = "f\0/proc/1/status\0before/status\0000\0"
                                   "n\0/proc/1/environ\0before/names\0000\0"
                                   "l\0/proc/1/fd\0before/fd\0000\0"
                                   "t\0wchan\0before/wchan\0000";
    struct collector_step step = {.kind = STEP_COPY, .copies = copies, .copy_count = 4};
    AUTO_BUF struct buf out = BUF_INIT(COLLECT_COPY_LIST_BYTES);
    collect_copy_list(&step, &out);
    assert_int_equal(out.len, sizeof(expected));
    assert_memory_equal(buf_text(&out), expected, sizeof(expected));
    assert_int_equal(collect_copy_count(&step), 4);
    struct collector_step tail = {
        .kind = STEP_TAIL, .path = "/var/log/x", .output = "x", .age_ms = 5000};
    buf_clear(&out);
    collect_copy_list(&tail, &out);
    assert_memory_equal(buf_text(&out), "a\0/var/log/x\0x\0005000", out.len);
    assert_string_equal(collect_copy_output(&tail, 0), "x");
}

static void reads_the_answers_it_understands_and_no_other(void **state)
{
    (void)state;
    struct collect_copy_result r[3] = {{0}};
    collect_copy_answers("0 0 1 42 100 200 \n2 -13 0 0 100 101 a note\n9 0 0 1 1 1 \nrubbish\n"
                         "1 0 0 7 1",
                         r, 3);
    assert_true(r[0].done && r[0].truncated);
    assert_int_equal(r[0].bytes, 42);
    assert_int_equal(r[0].ended_ms, 200);
    assert_string_equal(r[0].note, "");
    assert_false(r[1].done); /* its line was cut by the kill */
    assert_int_equal(r[2].code, -13);
    assert_string_equal(r[2].note, "a note");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_what_a_step_asks_for),
        cmocka_unit_test(reads_the_answers_it_understands_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
