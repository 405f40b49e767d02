/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/plan_check.h"

static void tails_the_files_of_target_and_options(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_logs,
                     "{files: [/var/log/x/app.log, '/srv/.odd name'], age: 2m, after_age: 30s}");
    const char *own[] = {"/opt/app.log"};
    p.target.logs = (struct schema_strings){.items = own, .count = 1};
    assert_int_equal(plan_check_plan(&p, &collector_logs, COLLECTOR_INSTANT), 0);
    assert_int_equal(p.plan->count, 3);
    assert_int_equal(p.plan->steps[0].kind, STEP_TAIL);
    assert_string_equal(p.plan->steps[0].path, "/opt/app.log");
    assert_string_equal(p.plan->steps[0].output, "before/app.log");
    assert_string_equal(p.plan->steps[1].output, "before/2-app.log");
    assert_string_equal(p.plan->steps[2].output, "before/3-_odd_name");
    assert_int_equal(p.plan->steps[0].age_ms, 120000);
    assert_int_equal(plan_check_plan(&p, &collector_logs, COLLECTOR_AFTER), 0);
    assert_string_equal(p.plan->steps[0].output, "after/app.log");
    assert_int_equal(p.plan->steps[0].age_ms, 30000);
    assert_int_equal(plan_check_plan(&p, &collector_logs, COLLECTOR_SAMPLE), 0);
    assert_int_equal(p.plan->count, 0);
    plan_check_end(&p);
}

static void needs_a_named_file(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_logs, "{}");
    struct collector_probe probe = {0};
    collector_logs.probe(&p.target, &p.config, &probe);
    assert_false(probe.available);
    plan_check_end(&p);
}

static void refuses_a_relative_path(void **state)
{
    (void)state;
    static const char yaml[] = "{files: [app.log]}";
    struct arena arena = ARENA_INIT(1 << 16);
    struct schema_doc *doc = schema_doc_new("t.yaml", yaml, sizeof(yaml) - 1);
    void *options = arena_alloc(&arena, collector_logs.options->size);
    assert_int_not_equal(schema_load(doc, collector_logs.options, &arena, options), 0);
    assert_int_equal(schema_problem(doc, 0)->column, 10);
    schema_doc_free(doc);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tails_the_files_of_target_and_options),
        cmocka_unit_test(needs_a_named_file),
        cmocka_unit_test(refuses_a_relative_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
