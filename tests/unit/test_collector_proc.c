/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/plan_check.h"

static const struct collector_copy *find_copy(const struct plan_check *p, const char *output,
                                              size_t *ret_step)
{
    for (size_t s = 0; s < p->plan->count; s++) {
        for (size_t i = 0; i < p->plan->steps[s].copy_count; i++) {
            if (strcmp(p->plan->steps[s].copies[i].output, output) == 0) {
                *ret_step = s;
                return &p->plan->steps[s].copies[i];
            }
        }
    }
    return NULL;
}

static void asks_for_the_volatile_first_and_for_what_may_hang_last(void **state)
{
    (void)state;
    struct plan_check p;
    size_t status = 99;
    size_t sockets = 99;
    size_t maps = 99;
    size_t rollup = 99;
    plan_check_begin(&p, &collector_proc, "{}");
    assert_int_equal(plan_check_plan(&p, &collector_proc, COLLECTOR_INSTANT), 0);
    assert_non_null(find_copy(&p, "before/status", &status));
    assert_non_null(find_copy(&p, "before/net.tcp", &sockets));
    assert_non_null(find_copy(&p, "before/maps", &maps));
    assert_non_null(find_copy(&p, "before/smaps_rollup", &rollup));
    assert_true(status < sockets && sockets < maps && maps < rollup);
    assert_int_equal(p.plan->steps[maps].copy_count, 1);
    assert_int_equal(p.plan->steps[rollup].copy_count, 1);
    plan_check_end(&p);
}

static void takes_names_of_the_environment_only(void **state)
{
    (void)state;
    struct plan_check p;
    size_t step = 0;
    plan_check_begin(&p, &collector_proc, "{}");
    assert_int_equal(plan_check_plan(&p, &collector_proc, COLLECTOR_AFTER), 0);
    const struct collector_copy *copy = find_copy(&p, "after/environ.names", &step);
    assert_non_null(copy);
    assert_true(copy->names);
    for (size_t s = 0; s < p.plan->count; s++) {
        for (size_t i = 0; i < p.plan->steps[s].copy_count; i++) {
            const struct collector_copy *c = &p.plan->steps[s].copies[i];
            assert_true(strstr(c->source, "environ") == NULL || c->names);
            assert_null(strstr(c->source, "cmdline"));
        }
    }
    copy = find_copy(&p, "after/threads.wchan", &step);
    assert_true(copy != NULL && copy->per_thread);
    copy = find_copy(&p, "after/fd", &step);
    assert_true(copy != NULL && copy->listing);
    plan_check_end(&p);
}

static void looks_at_the_host_alone_without_a_process(void **state)
{
    (void)state;
    struct plan_check p;
    size_t step = 0;
    plan_check_begin(&p, &collector_proc, "{}");
    p.target.pid = 0;
    assert_int_equal(plan_check_plan(&p, &collector_proc, COLLECTOR_INSTANT), 0);
    assert_int_equal(p.plan->count, 1);
    assert_non_null(find_copy(&p, "before/host.meminfo", &step));
    assert_null(find_copy(&p, "before/status", &step));
    plan_check_end(&p);
    plan_check_begin(&p, &collector_proc, "{host: false, sockets: false}");
    assert_int_equal(plan_check_plan(&p, &collector_proc, COLLECTOR_INSTANT), 0);
    assert_null(find_copy(&p, "before/host.meminfo", &step));
    assert_null(find_copy(&p, "before/net.tcp", &step));
    plan_check_end(&p);
}

static void has_a_pressure_file_wherever_the_kernel_has_one(void **state)
{
    (void)state;
    struct plan_check p;
    size_t step = 0;
    plan_check_begin(&p, &collector_proc, "{}");
    assert_int_equal(plan_check_plan(&p, &collector_proc, COLLECTOR_INSTANT), 0);
    assert_non_null(find_copy(&p, "before/host.pressure.cpu", &step));
    assert_true(p.plan->steps[step].optional);
    plan_check_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_the_volatile_first_and_for_what_may_hang_last),
        cmocka_unit_test(takes_names_of_the_environment_only),
        cmocka_unit_test(looks_at_the_host_alone_without_a_process),
        cmocka_unit_test(has_a_pressure_file_wherever_the_kernel_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
