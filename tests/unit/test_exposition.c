/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "rules/exposition.h"

static char scratch[4096];

/* Reads the whole page; returns the samples, or the error's code. */
static int read_all(const char *page, bool openmetrics, const char *name,
                    struct exposition_sample *samples, size_t max, struct error *err)
{
    struct exposition_name names[] = {{name, name == NULL ? 0 : strlen(name)}};
    struct exposition e;
    exposition_init(&e, page, strlen(page), openmetrics, name == NULL ? NULL : names, 1);
    int count = 0;
    for (;;) {
        struct exposition_sample s;
        int rc = exposition_next(&e, &s, err);
        if (rc <= 0) {
            return rc < 0 ? rc : count;
        }
        assert_true((size_t)count < max);
        samples[count++] = s;
    }
}

static void text_format_is_read(void **state)
{
    (void)state;
    struct exposition_sample s[8];
    struct error err = ERROR_INIT;
    int n = read_all("# HELP x Help with \\n and {braces\n"
                     "# TYPE x counter\n"
                     "# just a comment\n"
                     "\n"
                     "x{a=\"1\",b=\"}\\\"\"} 1027 1395066363000\n"
                     "x 3\n"
                     "x { a = \"b\" , } +Inf\n"
                     "y NaN\n"
                     "z\t1.7560473e+07\n"
                     "w -0.5 -3982045",
                     false, NULL, s, 8, &err);
    assert_int_equal(n, 6);
    assert_true(s[0].value == 1027.0 && s[0].has_timestamp);
    assert_int_equal(s[0].timestamp_ms, 1395066363000);
    assert_int_equal(s[0].line, 5);
    assert_true(s[1].value == 3.0 && !s[1].has_timestamp);
    assert_true(isinf(s[2].value));
    assert_true(isnan(s[3].value));
    assert_true(s[4].value == 17560473.0);
    assert_int_equal(s[5].timestamp_ms, -3982045);
}

static void openmetrics_is_read(void **state)
{
    (void)state;
    struct exposition_sample s[8];
    struct error err = ERROR_INIT;
    int n = read_all("# TYPE foo counter\n"
                     "# UNIT foo seconds\n"
                     "foo_total{a=\"b\"} 17.0 1520879607.789 # {trace_id=\"KOO}\"} 0.67 1.5\n"
                     "foo_created 1520430000.123\n"
                     "# EOF\n",
                     true, NULL, s, 8, &err);
    assert_int_equal(n, 2);
    assert_true(s[0].value == 17.0);
    assert_int_equal(s[0].timestamp_ms, 1520879607789);
}

static void only_wanted_metrics_are_returned(void **state)
{
    (void)state;
    struct exposition_sample s[8];
    int n = read_all("a 1\nab 2\nabc{x=\"1\"} 3\nab{x=\"1\"} 4\nab{x=\"2\"} 5\nb 6\n", false, "ab",
                     s, 8, NULL);
    assert_int_equal(n, 3);
    assert_true(s[0].value == 2.0 && s[1].value == 4.0 && s[2].value == 5.0);
}

static void expected_series_are_recognised(void **state)
{
    (void)state;
    const char page[] = "x{a=\"1\"} 5\nx{a=\"1\"} 6\n";
    struct exposition e;
    struct exposition_sample s;
    exposition_init(&e, page, sizeof(page) - 1, false, NULL, 0);
    exposition_expect(&e, "x{a=\"1\"}", 8);
    assert_int_equal(exposition_next(&e, &s, NULL), 1);
    assert_true(s.expected && s.value == 5.0);
    exposition_expect(&e, "x{a=\"1", 6);
    assert_int_equal(exposition_next(&e, &s, NULL), 1);
    assert_true(!s.expected && s.value == 6.0);
}

static void what_is_no_page_is_an_error_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *page;
        bool openmetrics;
        unsigned line;
        unsigned column;
    } bad[] = {
        {"<!DOCTYPE html>\n", false, 1, 1},
        {"{\"status\":\"UP\"}\n", false, 1, 1},
        {"Internal Server Error\n", false, 1, 10},
        {"a 1\npanic: runtime error\n", false, 2, 8},
        {"x{a=\"1\" 1\n", false, 1, 10},
        {"x{a=\"1} 1\n", false, 1, 10},
        {"x{a=\"1\"} one\n", false, 1, 10},
        {"x{a=\"1\"}\n", false, 1, 9},
        {"x 1 2 3\n", false, 1, 7},
        {"x 1 2.5\n", false, 1, 5},
        {"x 1\r\n", false, 1, 3},
        {"x 1\n", true, 2, 1},
        {"x 1\n# EOF\ny 2\n", true, 2, 7},
        {"# hello\n# EOF\n", true, 1, 1},
        {"x 1 # {a=\"b\" 1\n# EOF\n", true, 1, 15},
        {"x nan(5)\n", false, 1, 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct exposition_sample s[8];
        struct error err = ERROR_INIT;
        int rc = read_all(bad[i].page, bad[i].openmetrics, NULL, s, 8, &err);
        if (rc != -22 || err.line != bad[i].line ||
            (err.column != bad[i].column && bad[i].line != 2)) {
            print_error("page %zu: %d, %u:%u %s\n", i, rc, err.line, err.column, err.message);
            fail();
        }
    }
}

static void unwanted_garbage_is_noticed_too(void **state)
{
    (void)state;
    static const char *const bad[] = {"<html>\n",           "other garbage\n", "other{a=\"1\" 5\n",
                                      "other{a=\"1\"} x\n", "other;5\n",       "other\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct exposition_sample s[8];
        struct error err = ERROR_INIT;
        assert_int_equal(read_all(bad[i], false, "wanted", s, 8, &err), -22);
        assert_int_equal(err.line, 1);
    }
}

static void labels_are_sorted_and_unescaped(void **state)
{
    (void)state;
    struct labels l;
    const char series[] = "x{z=\"1\",a=\"q\\\"\\\\\\n\xc3\xa4\",empty=\"\"}";
    assert_int_equal(exposition_labels(series, sizeof(series) - 1, &l, scratch, NULL), 0);
    assert_int_equal(l.count, 3);
    assert_string_equal(l.items[0].name, "__name__");
    assert_string_equal(labels_get(&l, "a"), "q\"\\\n\xc3\xa4");
    assert_string_equal(labels_get(&l, "z"), "1");
    assert_string_equal(labels_get(&l, "empty"), "");
}

static void bad_labels_are_errors(void **state)
{
    (void)state;
    static const char *const bad[] = {"x{a=1}",        "x{a}",
                                      "x{=\"1\"}",     "x{a=\"1\"b=\"2\"}",
                                      "x{a=\"1\",,}",  "x{a=\"1\",a=\"2\"}",
                                      "x{a=\"\xff\"}", "x{1a=\"1\"}",
                                      "x{a:b=\"1\"}",  "x{a=\"\xed\xa0\x80\"}",
                                      "x{a=\"1\"}}",   "{a=\"1\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct labels l;
        struct error err = ERROR_INIT;
        if (exposition_labels(bad[i], strlen(bad[i]), &l, scratch, &err) != -22) {
            print_error("accepted: %s\n", bad[i]);
            fail();
        }
        assert_true(err.column > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_format_is_read),
        cmocka_unit_test(openmetrics_is_read),
        cmocka_unit_test(only_wanted_metrics_are_returned),
        cmocka_unit_test(expected_series_are_recognised),
        cmocka_unit_test(what_is_no_page_is_an_error_with_its_place),
        cmocka_unit_test(unwanted_garbage_is_noticed_too),
        cmocka_unit_test(labels_are_sorted_and_unescaped),
        cmocka_unit_test(bad_labels_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
