/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>

#include "base/fs.h"
#include "watchdog/own_metrics.h"

static void page(struct buf *out)
{
    static const struct own_target targets[] = {
        {.name = "a \"b\"\\", .up = true, .polls = 7, .interval_ms = 1500}, {.name = "c"}};
    static const struct own_rule rules[] = {
        {.target = "c", .rule = "availability", .state = WATCH_FIRING, .ratio = 0.05}};
    struct own_metrics m = {.version = "0.1.0",
                            .targets = targets,
                            .target_count = 2,
                            .rules = rules,
                            .rule_count = 1,
                            .onset_last_ms = 7};
    own_metrics_process(&m);
    assert_true(m.rss_bytes > 0);
    own_metrics_page(&m, out);
}

static void the_page_says_what_is(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 20);
    page(&out);
    assert_false(buf_failed(&out));
    assert_non_null(
        strstr(buf_text(&out), "incidentd_polls_total{target=\"a \\\"b\\\"\\\\\"} 7\n"));
    assert_non_null(strstr(buf_text(&out), "incidentd_poll_interval_seconds{target=\"a \\\"b\\\""
                                           "\\\\\"} 1.5\n"));
    assert_non_null(
        strstr(buf_text(&out), "incidentd_rule_state{target=\"c\",rule=\"availability\"} 2\n"));
    assert_non_null(strstr(buf_text(&out), "incidentd_capture_onset_seconds 0.007\n"));
    buf_release(&out);
}

static void promtool_accepts_it(void **state)
{
    (void)state;
    if (access("/usr/bin/promtool", X_OK) < 0) {
        skip();
    }
    struct buf out = BUF_INIT(1 << 20);
    page(&out);
    int fd = fs_sealed_memfd("page", buf_text(&out), out.len, NULL);
    assert_true(fd >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fd, STDIN_FILENO);
        (void)execl("/usr/bin/promtool", "promtool", "check", "metrics", (char *)NULL);
        _exit(127);
    }
    int status = -1;
    (void)waitpid(pid, &status, 0);
    (void)close(fd);
    buf_release(&out);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_is),
        cmocka_unit_test(promtool_accepts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
