/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

static void counts_at_least_the_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t values;
    } known[] = {{"", 0}, {"1", 1}, {"[]", 1}, {"[1,2,3]", 4}, {"{\"a\":{\"b\":[1,{}]}}", 5}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        assert_true(json_values(known[i].text, strlen(known[i].text)) >= known[i].values);
    }
    assert_int_equal(json_values("[1,2,3]", 7), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_at_least_the_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
