/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "tests/lib/plan_check.h"

static void counts_then_traces_without_buffers_under_the_lock(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_strace, "{duration: 2s, trace: 500ms}");
    AUTO_BUF struct buf words = BUF_INIT(4096);
    AUTO_FREE char *count = xasprintf("strace -f -c -o strace.summary.txt -p %d", (int)getpid());
    AUTO_FREE char *trace =
        xasprintf("strace -f -ttT -s 0 -o strace.trace.txt -p %d", (int)getpid());
    assert_int_equal(plan_check_plan(&p, &collector_strace, COLLECTOR_TRACE), 0);
    assert_int_equal(p.plan->count, 2);
    assert_string_equal(plan_check_words(&p, 0, &words), count);
    assert_string_equal(plan_check_words(&p, 1, &words), trace);
    assert_int_equal(p.plan->steps[0].duration_ms, 2000);
    assert_int_equal(p.plan->steps[1].duration_ms, 500);
    assert_int_equal(p.plan->steps[1].sensitivity, COLLECTOR_SECRET);
    assert_true(p.plan->steps[0].ptrace && p.plan->steps[1].ptrace);
    assert_int_equal(p.plan->steps[0].stop_signal, SIGINT);
    plan_check_end(&p);
}

static void pauses_and_is_never_picked_by_itself(void **state)
{
    (void)state;
    assert_int_equal(collector_strace.cost, COLLECTOR_PAUSING);
    assert_int_equal(collector_strace.runtimes, 0);
    assert_int_equal(collector_strace.phases, 1U << COLLECTOR_TRACE);
}

static void leaves_out_the_trace_at_zero(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_strace, "{trace: 0s}");
    assert_int_equal(plan_check_plan(&p, &collector_strace, COLLECTOR_TRACE), 0);
    assert_int_equal(p.plan->count, 1);
    assert_int_equal(plan_check_plan(&p, &collector_strace, COLLECTOR_SAMPLE), 0);
    assert_int_equal(p.plan->count, 0);
    plan_check_end(&p);
}

static void leaves_a_stopped_target_alone(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_strace, "{}");
    pid_t child = fork();
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(child > 0);
    struct collector_probe probe = {0};
    p.target.pid = child;
    collector_strace.probe(&p.target, &p.config, &probe);
    assert_true(probe.available);
    assert_int_equal(kill(child, SIGSTOP), 0);
    assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
    collector_strace.probe(&p.target, &p.config, &probe);
    assert_false(probe.available);
    assert_non_null(strstr(probe.reason, "stopped"));
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    collector_strace.probe(&p.target, &p.config, &probe);
    assert_false(probe.available);
    plan_check_end(&p);
}

static void refuses_durations_that_pass_the_deadline(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_strace, "{duration: 20s}");
    collector_strace.check(&p.config, p.doc);
    assert_int_equal(schema_problem_count(p.doc, false), 1);
    plan_check_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_then_traces_without_buffers_under_the_lock),
        cmocka_unit_test(pauses_and_is_never_picked_by_itself),
        cmocka_unit_test(leaves_out_the_trace_at_zero),
        cmocka_unit_test(leaves_a_stopped_target_alone),
        cmocka_unit_test(refuses_durations_that_pass_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
