/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "watchdog/collect_runtime.h"

static void tells_a_native_program(void **state)
{
    (void)state;
    assert_int_equal(collect_runtime_detect(getpid()), RUNTIME_NATIVE);
    assert_string_equal(collect_runtime_name(RUNTIME_NATIVE), "native");
}

static void knows_nothing_of_a_process_that_is_not_there(void **state)
{
    (void)state;
    assert_int_equal(collect_runtime_detect(0x7fffffff), RUNTIME_UNKNOWN);
}

static void tells_a_go_binary(void **state)
{
    (void)state;
    int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int text = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    assert_false(collect_runtime_is_go(own));
    assert_false(collect_runtime_is_go(text));
    (void)close(own);
    (void)close(text);
    int go = open("/usr/bin/prometheus", O_RDONLY | O_CLOEXEC);
    if (go < 0) {
        skip();
    }
    assert_true(collect_runtime_is_go(go));
    (void)close(go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_a_native_program),
        cmocka_unit_test(knows_nothing_of_a_process_that_is_not_there),
        cmocka_unit_test(tells_a_go_binary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
