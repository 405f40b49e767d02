/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/explain.h"
#include "report/heap_growth.h"

/* Two functions, main.leak (location 1) and bytes.growSlice called by main.leak (location 2 under
 * 1); `a` bytes in the first stack, `b` in the second, each < 128. */
static size_t profile(char *out, char a, char b)
{
    static const char form[] = "\x0a\x04\x08\x01\x10\x02"
                               "\x12\x04\x08\x01\x10\x00"
                               "\x12\x07\x0a\x02\x02\x01\x12\x01\x00"
                               "\x22\x06\x08\x01\x22\x02\x08\x01"
                               "\x22\x06\x08\x02\x22\x02\x08\x02"
                               "\x2a\x04\x08\x01\x10\x03"
                               "\x2a\x04\x08\x02\x10\x04"
                               "\x32\x00\x32\x0binuse_space\x32\x05"
                               "bytes\x32\x09main.leak\x32\x0f"
                               "bytes.growSlice";
    memcpy(out, form, sizeof(form));
    out[11] = a;
    out[20] = b;
    return sizeof(form) - 1;
}

static void subtracts_leaves_and_blames_the_application(void **state)
{
    (void)state;
    char bytes[256];
    struct pprof *from = NULL;
    struct pprof *to = NULL;
    struct heap_growth *g = NULL;
    size_t len = profile(bytes, 10, 20);
    assert_int_equal(pprof_parse(bytes, len, &from, NULL), 0);
    len = profile(bytes, 15, 120);
    assert_int_equal(pprof_parse(bytes, len, &to, NULL), 0);
    assert_int_equal(heap_growth_new(from, to, &g, NULL), 0);
    assert_int_equal(g->from_bytes, 30);
    assert_int_equal(g->to_bytes, 135);
    assert_int_equal(g->count, 2);
    assert_string_equal(g->rows[0].function, "bytes.growSlice");
    assert_int_equal(g->rows[0].growth_bytes, 100);
    assert_int_equal(g->rows[1].growth_bytes, 5);
    assert_string_equal(g->blame.function, "main.leak");
    assert_string_equal(g->blame.leaf, "bytes.growSlice");
    assert_true(g->blame.share > 0.999);
    heap_growth_free(g);
    pprof_free(from);
    pprof_free(to);
}

static void tells_what_is_in_use_with_one_profile(void **state)
{
    (void)state;
    char bytes[256];
    AUTO_BUF struct buf out = BUF_INIT(4096);
    struct explain_input in = {.from = bytes, .from_path = "before", .to_path = "after"};
    in.from_len = profile(bytes, 40, 10);
    assert_int_equal(explain_report(&in, &out, NULL), 0);
    assert_non_null(strstr(buf_text(&out), "\"headline\":\"heap: 50 B in use, 100 % by main.leak"));
    assert_non_null(strstr(buf_text(&out), "\"from\":null,\"to\":\"before\""));
}

static void a_broken_profile_costs_the_table_only(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF_INIT(4096);
    struct explain_input in = {.from_path = "before", .to_path = "after"};
    in.to = "garbage";
    in.to_len = 7;
    assert_int_equal(explain_report(&in, &out, NULL), 0);
    assert_non_null(strstr(buf_text(&out), "\"headline\":\"\",\"heap_growth\":null"));
    assert_non_null(strstr(buf_text(&out), "'after': not a whole profile"));
}

static void knows_the_standard_library(void **state)
{
    (void)state;
    assert_true(heap_growth_is_library("bytes.growSlice"));
    assert_true(heap_growth_is_library("net/http.(*conn).serve"));
    assert_true(heap_growth_is_library("sync.(*Pool[github.com/x/y.T]).Get"));
    assert_false(heap_growth_is_library("main.(*lfuCache).Get"));
    assert_false(heap_growth_is_library("go.uber.org/zap.New"));
    assert_false(heap_growth_is_library("github.com/x/y.F"));
    assert_false(heap_growth_is_library("checkout/cache.Get"));
}

static void words_bytes_as_pprof_counts_them(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(heap_growth_bytes_text(3250586, true, out, sizeof(out)), "+3.1 MiB");
    assert_string_equal(heap_growth_bytes_text(-2048, true, out, sizeof(out)), "-2.0 KiB");
    assert_string_equal(heap_growth_bytes_text(12, false, out, sizeof(out)), "12 B");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subtracts_leaves_and_blames_the_application),
        cmocka_unit_test(tells_what_is_in_use_with_one_profile),
        cmocka_unit_test(a_broken_profile_costs_the_table_only),
        cmocka_unit_test(knows_the_standard_library),
        cmocka_unit_test(words_bytes_as_pprof_counts_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
