/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/openers.h"

#define ARTIFACT(path, size) "{\"path\":\"artifacts/" path "\",\"size\":" #size "}"
#define RUN(name, type) "{\"collector\":\"" name "\",\"type\":\"" type "\"}"

static void expect(const char *runs, const char *artifacts, const char *wanted)
{
    struct buf out = BUF_INIT(4096);
    struct buf text = BUF_INIT(4096);
    (void)buf_addf(&text, "{\"runs\":[%s],\"artifacts\":[%s]}", runs, artifacts);
    cJSON *manifest = cJSON_Parse(buf_text(&text));
    assert_non_null(manifest);
    assert_int_equal(openers_list(manifest, &out), 0);
    assert_string_equal(buf_text(&out), wanted);
    cJSON_Delete(manifest);
    buf_release(&text);
    buf_release(&out);
}

static void a_renamed_collector_has_the_commands_of_its_kind(void **state)
{
    (void)state;
    expect(RUN("perf", "perf") "," RUN("stacks", "perf") "," RUN("stacks", "perf"),
           ARTIFACT("stacks/perf.data", 9) "," ARTIFACT("perf/perf.data", 9),
           "perf report -i artifacts/perf/perf.data\nperf report -i artifacts/stacks/perf.data\n");
}

static void a_difference_needs_both_sides(void **state)
{
    (void)state;
    expect(RUN("pprof", "pprof"), ARTIFACT("pprof/heap.after.pb.gz", 9), "");
    expect(RUN("pprof", "pprof"),
           ARTIFACT("pprof/heap.after.pb.gz", 9) "," ARTIFACT("pprof/heap.before.pb.gz", 9),
           "go tool pprof -top -diff_base=artifacts/pprof/heap.before.pb.gz "
           "artifacts/pprof/heap.after.pb.gz\n");
}

static void what_is_empty_or_absent_is_not_offered(void **state)
{
    (void)state;
    expect(RUN("perf", "perf"), ARTIFACT("perf/perf.data", 0), "");
    expect(RUN("perf", "perf"), "", "");
    expect("", ARTIFACT("perf/perf.data", 9), "");
}

static void no_word_of_the_manifest_reaches_a_shell(void **state)
{
    (void)state;
    expect(RUN("$(reboot)", "perf"), ARTIFACT("$(reboot)/perf.data", 9), "");
    expect(RUN("../x", "perf"), ARTIFACT("../x/perf.data", 9), "");
    struct buf out = BUF_INIT(4096);
    assert_int_equal(openers_list(NULL, &out), 0);
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renamed_collector_has_the_commands_of_its_kind),
        cmocka_unit_test(a_difference_needs_both_sides),
        cmocka_unit_test(what_is_empty_or_absent_is_not_offered),
        cmocka_unit_test(no_word_of_the_manifest_reaches_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
