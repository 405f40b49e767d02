/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/buf.h"
#include "report/pprof.h"

#include <errno.h>

/* Strings "", "inuse_space", "bytes", "main.leak", "main.inlined"; location 7 has the lines
 * inlined, leak; one sample [7] of 42 bytes, unpacked numbers in the sample. */
static const char plain[] = "\x0a\x04\x08\x01\x10\x02"                         /* sample_type */
                            "\x12\x04\x08\x07\x10\x2a"                         /* sample */
                            "\x22\x0a\x08\x07\x22\x02\x08\x02\x22\x02\x08\x01" /* location */
                            "\x2a\x04\x08\x01\x10\x03" /* function 1: main.leak */
                            "\x2a\x04\x08\x02\x10\x04" /* function 2: main.inlined */
                            "\x32\x00"
                            "\x32\x0binuse_space"
                            "\x32\x05"
                            "bytes"
                            "\x32\x09main.leak"
                            "\x32\x0cmain.inlined"
                            "\x48\x05"; /* time_nanos */
enum { PLAIN = sizeof(plain) - 1 };

static void reads_a_stack_with_inlined_calls_leaf_first(void **state)
{
    (void)state;
    struct pprof *p = NULL;
    const char *names[8];
    assert_int_equal(pprof_parse(plain, PLAIN, &p, NULL), 0);
    assert_int_equal(pprof_sample_count(p), 1);
    assert_int_equal(pprof_type(p, "inuse_space"), 0);
    assert_int_equal(pprof_type(p, "alloc_space"), -1);
    assert_int_equal(pprof_value(p, 0, 0), 42);
    assert_int_equal(pprof_value(p, 0, 5), 0);
    assert_int_equal(pprof_stack(p, 0, names, 8), 2);
    assert_string_equal(names[0], "main.inlined");
    assert_string_equal(names[1], "main.leak");
    assert_int_equal(pprof_stack(p, 0, names, 1), 1);
    assert_int_equal(pprof_time_ns(p), 5);
    pprof_free(p);
}

static void every_cut_is_an_error_or_a_smaller_profile(void **state)
{
    (void)state;
    for (size_t len = 0; len < PLAIN; len++) {
        struct pprof *p = NULL;
        struct error err = ERROR_INIT;
        int rc = pprof_parse(plain, len, &p, &err);
        assert_true(rc == 0 || rc == -EINVAL);
        assert_true((rc == 0) == (p != NULL));
        pprof_free(p);
    }
}

static void compress_into(const void *data, size_t len, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
    unsigned char chunk[4096];
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    int rc = Z_OK;
    while (rc != Z_STREAM_END) {
        z.next_out = chunk;
        z.avail_out = sizeof(chunk);
        rc = deflate(&z, Z_FINISH);
        assert_int_equal(buf_add(out, chunk, sizeof(chunk) - z.avail_out), 0);
    }
    (void)deflateEnd(&z);
}

static void reads_gzip_and_refuses_it_cut(void **state)
{
    (void)state;
    AUTO_BUF struct buf gz = BUF_INIT(1 << 20);
    compress_into(plain, PLAIN, &gz);
    struct pprof *p = NULL;
    assert_int_equal(pprof_parse(gz.data, gz.len, &p, NULL), 0);
    assert_int_equal(pprof_value(p, 0, 0), 42);
    pprof_free(p);
    p = NULL;
    assert_int_equal(pprof_parse(gz.data, gz.len / 2, &p, NULL), -EINVAL);
    assert_null(p);
}

static void refuses_a_gzip_bomb(void **state)
{
    (void)state;
    size_t len = (size_t)PPROF_INFLATED_BYTES + (1 << 20);
    char *zeros = calloc(1, len);
    AUTO_BUF struct buf gz = BUF_INIT(4 << 20);
    /* One comment field as long as everything, so that only the inflated size stops it. */
    memcpy(zeros, "\x7a\xff\xff\xff\xff\x0f", 6);
    compress_into(zeros, len, &gz);
    free(zeros);
    struct pprof *p = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(pprof_parse(gz.data, gz.len, &p, &err), -EMSGSIZE);
    assert_non_null(strstr(err.message, "64 MiB"));
}

static void unknown_ids_and_indices_stay_unknown(void **state)
{
    (void)state;
    static const char odd[] = "\x0a\x04\x08\x01\x10\x02\x12\x04\x08\x63\x10\x2a"
                              "\x32\x00\x32\x0binuse_space";
    struct pprof *p = NULL;
    const char *names[2];
    assert_int_equal(pprof_parse(odd, sizeof(odd) - 1, &p, NULL), 0);
    assert_int_equal(pprof_stack(p, 0, names, 2), 1);
    assert_string_equal(names[0], "<unknown>");
    pprof_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_stack_with_inlined_calls_leaf_first),
        cmocka_unit_test(every_cut_is_an_error_or_a_smaller_profile),
        cmocka_unit_test(reads_gzip_and_refuses_it_cut),
        cmocka_unit_test(refuses_a_gzip_bomb),
        cmocka_unit_test(unknown_ids_and_indices_stay_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
