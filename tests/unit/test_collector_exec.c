/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/plan_check.h"

static void replaces_placeholders_inside_their_words(void **state)
{
    (void)state;
    struct plan_check p;
    plan_check_begin(&p, &collector_exec,
                     "{argv: [/bin/tool, '--pid={target.pid}', '{target.name}', '{capture.dir}/x', "
                     "'{{\"a\": 1}}', '{collector.name}', ''], phase: dump}");
    p.target.name = "two words; $(rm)";
    assert_int_equal(plan_check_plan(&p, &collector_exec, COLLECTOR_DUMP), 0);
    assert_int_equal(p.plan->count, 1);
    const char **argv = p.plan->steps[0].argv;
    AUTO_FREE char *pid = xasprintf("--pid=%d", (int)getpid());
    assert_string_equal(argv[0], "/bin/tool");
    assert_string_equal(argv[1], pid);
    assert_string_equal(argv[2], "two words; $(rm)");
    assert_string_equal(argv[3], "./x");
    assert_string_equal(argv[4], "{\"a\": 1}");
    assert_string_equal(argv[5], "exec");
    assert_string_equal(argv[6], "");
    assert_null(argv[7]);
    assert_int_equal(p.plan->steps[0].caps, 0);
    assert_int_equal(p.plan->steps[0].sensitivity, COLLECTOR_INTERNAL);
    assert_int_equal(plan_check_plan(&p, &collector_exec, COLLECTOR_SAMPLE), 0);
    assert_int_equal(p.plan->count, 0);
    plan_check_end(&p);
}

/* Loads `yaml` and gives back its first problem, which must exist. */
static void load_bad(const char *yaml, struct diagnostic *ret)
{
    struct arena arena = ARENA_INIT(1 << 16);
    struct schema_doc *doc = schema_doc_new("t.yaml", yaml, strlen(yaml));
    void *options = arena_alloc(&arena, collector_exec.options->size);
    assert_int_not_equal(schema_load(doc, collector_exec.options, &arena, options), 0);
    *ret = *schema_problem(doc, 0);
    schema_doc_free(doc);
    arena_release(&arena);
}

static void refuses_an_unknown_placeholder_at_its_position(void **state)
{
    (void)state;
    struct diagnostic d;
    load_bad("argv:\n  - /bin/x\n  - '{target.pit}'\n", &d);
    assert_int_equal(d.line, 3);
    assert_int_equal(d.column, 5);
    assert_non_null(strstr(d.message, "{target.pit}"));
    assert_non_null(strstr(d.hint, "{target.pid}"));
    load_bad("argv: [/bin/x, 'a{b']", &d);
    load_bad("argv: [/bin/x, 'a}b']", &d);
    load_bad("argv: [/bin/x]\noutput: ../escape\n", &d);
    assert_int_equal(d.line, 2);
    load_bad("phase: dump\n", &d);
}

static void is_not_available_without_the_process_it_names(void **state)
{
    (void)state;
    struct plan_check p;
    struct collector_probe probe = {0};
    plan_check_begin(&p, &collector_exec, "{argv: [/bin/x, '{target.pid}']}");
    p.target.pid = 0;
    collector_exec.probe(&p.target, &p.config, &probe);
    assert_false(probe.available);
    plan_check_end(&p);
    plan_check_begin(&p, &collector_exec, "{argv: [/bin/x]}");
    p.target.pid = 0;
    collector_exec.probe(&p.target, &p.config, &probe);
    assert_true(probe.available);
    plan_check_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_placeholders_inside_their_words),
        cmocka_unit_test(refuses_an_unknown_placeholder_at_its_position),
        cmocka_unit_test(is_not_available_without_the_process_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
