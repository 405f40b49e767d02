/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/capability.h>

#include "tests/lib/plan_check.h"

static void records_by_the_software_clock_for_the_duration(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_perf, "{duration: 2500ms, frequency: 49}");
    AUTO_BUF struct buf words = BUF_INIT(4096);
    AUTO_FREE char *expected =
        xasprintf("perf record -q -e cpu-clock -F 49 --call-graph fp --no-buildid "
                  "--no-buildid-cache -p %d -o perf.data -- sleep 2.500",
                  (int)getpid());
    assert_int_equal(plan_check_plan(&p, &collector_perf, COLLECTOR_SAMPLE), 0);
    assert_int_equal(p.plan->count, 2);
    assert_string_equal(plan_check_words(&p, 0, &words), expected);
    assert_true(p.plan->steps[0].timeout_ms > 2500);
    assert_true((p.plan->steps[0].caps & 1ULL << CAP_PERFMON) != 0);
    assert_null(p.plan->steps[0].output);
    assert_string_equal(plan_check_words(&p, 1, &words), "perf script --no-inline -f -i perf.data");
    assert_string_equal(p.plan->steps[1].output, "perf.script.txt");
    plan_check_end(&p);
}

static void has_no_step_in_another_phase_and_no_script_where_not_wanted(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_perf, "{script: false, stacks: dwarf}");
    assert_int_equal(plan_check_plan(&p, &collector_perf, COLLECTOR_INSTANT), 0);
    assert_int_equal(p.plan->count, 0);
    assert_int_equal(plan_check_plan(&p, &collector_perf, COLLECTOR_SAMPLE), 0);
    assert_int_equal(p.plan->count, 1);
    AUTO_BUF struct buf words = BUF_INIT(4096);
    assert_non_null(strstr(plan_check_words(&p, 0, &words), "--call-graph dwarf,16384"));
    plan_check_end(&p);
}

static void is_not_available_without_a_process(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_perf, "{}");
    struct collector_probe probe = {0};
    collector_perf.probe(&p.target, &p.config, &probe);
    assert_true(probe.available);
    p.target.pid = 0;
    collector_perf.probe(&p.target, &p.config, &probe);
    assert_false(probe.available);
    assert_true(probe.reason[0] != '\0');
    plan_check_end(&p);
}

static void refuses_a_duration_that_passes_the_deadline(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_perf, "{duration: 5s}");
    collector_perf.check(&p.config, p.doc);
    assert_int_equal(schema_problem_count(p.doc, false), 0);
    p.config.deadline_ms = 6000;
    collector_perf.check(&p.config, p.doc);
    assert_int_equal(schema_problem_count(p.doc, false), 1);
    plan_check_end(&p);
    plan_check_begin(&p, &collector_perf, "{duration: 1m}");
    collector_perf.check(&p.config, p.doc);
    assert_int_equal(schema_problem_count(p.doc, false), 1);
    plan_check_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_by_the_software_clock_for_the_duration),
        cmocka_unit_test(has_no_step_in_another_phase_and_no_script_where_not_wanted),
        cmocka_unit_test(is_not_available_without_a_process),
        cmocka_unit_test(refuses_a_duration_that_passes_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
