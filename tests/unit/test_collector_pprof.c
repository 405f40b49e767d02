/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/plan_check.h"

static void dumps_in_order_and_never_forces_a_collection(void **state)
{
    (void)state;
    static const char *const outputs[] = {"goroutine.pb.gz",   "threadcreate.pb.gz",
                                          "heap.before.pb.gz", "allocs.before.pb.gz",
                                          "mutex.pb.gz",       "block.pb.gz"};
    struct plan_check p;
    plan_check_begin(&p, &collector_pprof, "{}");
    AUTO_BUF struct buf words = BUF_INIT(4096);
    assert_int_equal(plan_check_plan(&p, &collector_pprof, COLLECTOR_DUMP), 0);
    assert_int_equal(p.plan->count, ARRAY_LEN(outputs));
    for (size_t i = 0; i < p.plan->count; i++) {
        assert_string_equal(p.plan->steps[i].output, outputs[i]);
        assert_null(strstr(plan_check_words(&p, i, &words), "gc="));
        assert_int_equal(p.plan->steps[i].caps, 0);
    }
    assert_string_equal(plan_check_words(&p, 2, &words),
                        "incidentd-fetch --timeout-ms 5000 --max-bytes 67108864 --retry-busy-ms "
                        "6000 http://h:1/debug/pprof/heap");
    plan_check_end(&p);
}

static void samples_one_after_the_other_with_time_to_answer(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_pprof, "{duration: 2s, trace: 1500ms, fgprof: 3s}");
    AUTO_BUF struct buf words = BUF_INIT(4096);
    assert_int_equal(plan_check_plan(&p, &collector_pprof, COLLECTOR_SAMPLE), 0);
    assert_int_equal(p.plan->count, 3);
    assert_non_null(strstr(plan_check_words(&p, 0, &words), "--timeout-ms 7000"));
    assert_non_null(strstr(buf_text(&words), "http://h:1/debug/pprof/profile?seconds=2"));
    assert_non_null(strstr(plan_check_words(&p, 1, &words), "/pprof/trace?seconds=2"));
    assert_non_null(strstr(plan_check_words(&p, 2, &words), "http://h:1/debug/fgprof?seconds=3"));
    assert_false(p.plan->steps[0].optional);
    assert_true(p.plan->steps[2].optional);
    plan_check_end(&p);
}

static void leaves_out_what_is_switched_off(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_pprof, "{trace: 0s, fgprof: 0s, mutex: false, block: false}");
    assert_int_equal(plan_check_plan(&p, &collector_pprof, COLLECTOR_SAMPLE), 0);
    assert_int_equal(p.plan->count, 1);
    assert_int_equal(plan_check_plan(&p, &collector_pprof, COLLECTOR_DUMP), 0);
    assert_int_equal(p.plan->count, 4);
    assert_int_equal(plan_check_plan(&p, &collector_pprof, COLLECTOR_AFTER), 0);
    assert_int_equal(p.plan->count, 2);
    assert_string_equal(p.plan->steps[0].output, "heap.after.pb.gz");
    plan_check_end(&p);
}

static void needs_a_url_and_says_how(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_pprof, "{}");
    struct collector_probe probe = {0};
    p.target.pprof = NULL;
    collector_pprof.probe(&p.target, &p.config, &probe);
    assert_false(probe.available);
    assert_non_null(strstr(probe.remedy, "pprof: http"));
    plan_check_end(&p);
}

static void refuses_windows_that_pass_the_deadline(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_pprof, "{duration: 30s}");
    collector_pprof.check(&p.config, p.doc);
    assert_int_equal(schema_problem_count(p.doc, false), 1);
    plan_check_end(&p);
    plan_check_begin(&p, &collector_pprof, "{}");
    collector_pprof.check(&p.config, p.doc);
    assert_int_equal(schema_problem_count(p.doc, false), 0);
    plan_check_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dumps_in_order_and_never_forces_a_collection),
        cmocka_unit_test(samples_one_after_the_other_with_time_to_answer),
        cmocka_unit_test(leaves_out_what_is_switched_off),
        cmocka_unit_test(needs_a_url_and_says_how),
        cmocka_unit_test(refuses_windows_that_pass_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
