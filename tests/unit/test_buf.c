/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#include <errno.h>

static void assert_sane_buf(const struct buf *b)
{
    assert_true(b->len <= b->max);
    assert_true(b->data == NULL ? b->capacity == 0 : b->capacity > b->len);
    if (b->data != NULL) {
        assert_int_equal(b->data[b->len], '\0');
    }
}

static void appends_and_terminates(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(100);
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(buf_add_text(&b, "dip of "), 0);
    assert_int_equal(buf_addf(&b, "%d s", 3), 0);
    assert_string_equal(buf_text(&b), "dip of 3 s");
    assert_sane_buf(&b);
}

static void refuses_to_pass_its_maximum_and_stays_whole(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(8);
    assert_int_equal(buf_add_text(&b, "12345"), 0);
    assert_int_equal(buf_add_text(&b, "6789"), -EMSGSIZE);
    assert_int_equal(buf_addf(&b, "%s", "6789"), -EMSGSIZE);
    assert_string_equal(buf_text(&b), "12345");
    assert_true(buf_failed(&b));
    assert_int_equal(buf_add_text(&b, "678"), 0);
    assert_sane_buf(&b);
    buf_clear(&b);
    assert_false(buf_failed(&b));
    assert_string_equal(buf_text(&b), "");
}

static void a_length_near_the_end_of_memory_does_not_wrap(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(SIZE_MAX - 1);
    assert_int_equal(buf_add_char(&b, 'x'), 0);
    assert_int_equal(buf_add(&b, "y", SIZE_MAX - 1), -EMSGSIZE);
    assert_int_equal(b.len, 1);
}

static void escapes_for_json_and_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(200);
    assert_int_equal(buf_add_json(&b, "a\"b\\c\nd\x01\xff\xed\xa0\x80\xc3\xa9\x7f"), 0);
    assert_string_equal(buf_text(&b), "a\\\"b\\\\c\\nd\\u0001\\ufffd\\ufffd\\ufffd\\ufffd\xc3\xa9"
                                      "\\u007f");
}

static void escapes_for_html(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(200);
    assert_int_equal(buf_add_html(&b, "<a href='x'>&\"</a>"), 0);
    assert_string_equal(buf_text(&b), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
}

static void take_moves_the_memory_out(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(20);
    assert_int_equal(buf_add_text(&b, "mine"), 0);
    AUTO_FREE char *text = buf_take(&b);
    assert_string_equal(text, "mine");
    assert_null(b.data);
    AUTO_FREE char *none = buf_take(&b);
    assert_string_equal(none, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_terminates),
        cmocka_unit_test(refuses_to_pass_its_maximum_and_stays_whole),
        cmocka_unit_test(a_length_near_the_end_of_memory_does_not_wrap),
        cmocka_unit_test(escapes_for_json_and_replaces_what_is_not_utf8),
        cmocka_unit_test(escapes_for_html),
        cmocka_unit_test(take_moves_the_memory_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
