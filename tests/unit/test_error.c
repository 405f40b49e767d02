/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

#include <errno.h>

static void text_names_place_message_and_remedy(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(error_set(&err, -EINVAL, "'%s' is not a port", "x"), -EINVAL);
    assert_int_equal(error_remedy(&err, "write a number"), -EINVAL);
    assert_int_equal(error_at(&err, "a.yaml", 3, 7), -EINVAL);
    char text[200];
    assert_string_equal(error_text(&err, text, sizeof(text)),
                        "a.yaml:3:7: 'x' is not a port (write a number)");
}

static void wrapping_puts_context_before(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    (void)error_errno(&err, -ENOENT, "cannot open '%s'", "f");
    assert_int_equal(error_wrap(&err, "loading rules"), -ENOENT);
    assert_string_equal(err.message, "loading rules: cannot open 'f': No such file or directory");
}

static void without_an_object_only_the_code_goes_up(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, -EPERM, "x"), -EPERM);
    assert_int_equal(error_errno(NULL, -EPERM, "x"), -EPERM);
}

static void long_texts_are_cut_not_overrun(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char big[2000];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    (void)error_set(&err, -EINVAL, "%s", big);
    (void)error_wrap(&err, "%s", big);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_names_place_message_and_remedy),
        cmocka_unit_test(wrapping_puts_context_before),
        cmocka_unit_test(without_an_object_only_the_code_goes_up),
        cmocka_unit_test(long_texts_are_cut_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
