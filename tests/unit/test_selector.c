/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/exposition.h"
#include "rules/selector.h"

static char scratch[4096];

static bool matches(const char *selector, const char *series)
{
    struct selector *s = NULL;
    struct error err = ERROR_INIT;
    if (selector_parse(selector, &s, &err) != 0) {
        print_error("'%s': %s\n", selector, err.message);
        fail();
    }
    struct labels l;
    assert_int_equal(exposition_labels(series, strlen(series), &l, scratch, NULL), 0);
    bool yes = selector_matches(s, &l);
    selector_free(s);
    return yes;
}

static void matchers_mean_what_they_mean_in_prometheus(void **state)
{
    (void)state;
    const char *series = "http_requests_total{code=\"503\",route=\"/a\"}";
    assert_true(matches("http_requests_total", series));
    assert_false(matches("http_requests", series));
    assert_true(matches("http_requests_total{code=\"503\"}", series));
    assert_false(matches("http_requests_total{code!=\"503\"}", series));
    assert_true(matches("http_requests_total{code=~\"5..\"}", series));
    assert_false(matches("http_requests_total{code=~\"5\"}", series)); /* anchored */
    assert_false(matches("http_requests_total{code=~\"50|3\"}", series));
    assert_true(matches("http_requests_total{code=~\"500|503\"}", series));
    assert_false(matches("http_requests_total{code!~\"5..\"}", series));
    assert_true(matches(" http_requests_total { code =~ '5..' , route = `/a` , } ", series));
    assert_true(matches("http_requests_total{absent=\"\"}", series));
    assert_true(matches("http_requests_total{absent!~\"5..\"}", series));
    assert_false(matches("http_requests_total{absent!=\"\"}", series));
    assert_true(matches("{__name__=~\"http_.*\",code=\"503\"}", series));
}

static void name_is_known_when_exact(void **state)
{
    (void)state;
    struct selector *s = NULL;
    assert_int_equal(selector_parse("job:x{a=\"1\"}", &s, NULL), 0);
    assert_string_equal(selector_name(s), "job:x");
    selector_free(s);
    assert_int_equal(selector_parse("{__name__=\"y\"}", &s, NULL), 0);
    assert_string_equal(selector_name(s), "y");
    selector_free(s);
    assert_int_equal(selector_parse("{a=\"1\"}", &s, NULL), 0);
    assert_null(selector_name(s));
    selector_free(s);
}

static void errors_name_the_column_and_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned column;
        const char *remedy;
    } bad[] = {
        {"", 1, "as in"},
        {"x{", 3, ""},
        {"x{a", 4, ""},
        {"x{a=}", 5, "quotes"},
        {"x{a=\"1}", 8, ""},
        {"x{a==\"1\"}", 4, "once"},
        {"x{a=\"1\" b=\"2\"}", 9, ""},
        {"x[5m]", 2, "range"},
        {"rate(x[5m])", 5, "counter alone"},
        {"x{a=\"1\"} offset 5m", 10, "offset"},
        {"x + y", 3, "one selector"},
        {"{}", 1, "name the metric"},
        {"{a=~\".*\"}", 1, "name the metric"},
        {"x{a=~\"(\"}", 9, ""},
        {"x{a=~\"\\d+\"}", 7, "twice"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct selector *s = NULL;
        struct error err = ERROR_INIT;
        int rc = selector_parse(bad[i].text, &s, &err);
        if (rc != -22 || err.column != bad[i].column || strstr(err.remedy, bad[i].remedy) == NULL) {
            print_error("'%s': %d column %u: %s (%s)\n", bad[i].text, rc, err.column, err.message,
                        err.remedy);
            fail();
        }
    }
}

static void evil_expression_ends(void **state)
{
    (void)state;
    char series[256];
    (void)snprintf(
        series, sizeof(series), "x{a=\"%.*s!\"}", 200,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_false(matches("x{a=~\"(a+)+$\"}", series));
    assert_false(matches("x{a!~\"(a+)+$\"}", series));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matchers_mean_what_they_mean_in_prometheus),
        cmocka_unit_test(name_is_known_when_exact),
        cmocka_unit_test(errors_name_the_column_and_a_remedy),
        cmocka_unit_test(evil_expression_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
