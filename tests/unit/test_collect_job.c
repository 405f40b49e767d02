/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "watchdog/collect_job.h"

static int lifeline[2];

static int setup(void **state)
{
    (void)state;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lifeline);
}

static int teardown(void **state)
{
    (void)state;
    (void)close(lifeline[0]);
    return lifeline[1] < 0 ? 0 : close(lifeline[1]);
}

/* Runs `script` by sh; results in *job, standard output in `out`, errors in `errors`. */
static int run(const char *script, struct collect_job *job, struct buf *out, struct buf *errors)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct child_spec spec;
    child_spec_init(&spec);
    spec.path = "/bin/sh";
    spec.argv = argv;
    spec.new_group = true;
    job->spec = &spec;
    job->output = out;
    job->errors = errors;
    struct collect_control control = {.lifeline_fd = lifeline[0], .signal_fd = -1};
    return collect_job_run(job, &control, NULL);
}

static void gives_back_output_errors_and_status(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF_INIT(1000);
    AUTO_BUF struct buf errors = BUF_INIT(1000);
    struct collect_job job = {.end_ms = clock_mono_ms() + 10000};
    assert_int_equal(run("echo out; echo err >&2; exit 3", &job, &out, &errors), 0);
    assert_string_equal(buf_text(&out), "out\n");
    assert_string_equal(buf_text(&errors), "err\n");
    assert_true(WIFEXITED(job.status) && WEXITSTATUS(job.status) == 3);
    assert_false(job.timed_out || job.stopped);
}

static void keeps_the_last_words_of_a_talker(void **state)
{
    (void)state;
    AUTO_BUF struct buf errors = BUF_INIT(100);
    struct collect_job job = {.end_ms = clock_mono_ms() + 10000};
    assert_int_equal(run("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done >&2; echo "
                         "last >&2",
                         &job, NULL, &errors),
                     0);
    assert_true(errors.len <= 100);
    assert_non_null(strstr(buf_text(&errors), "last\n"));
}

static void stops_it_after_its_duration(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = BUF_INIT(100);
    struct collect_job job = {
        .end_ms = clock_mono_ms() + 20000, .duration_ms = 200, .stop_signal = SIGUSR1};
    assert_int_equal(run("trap 'echo told; exit 0' USR1; echo on; while :; do sleep 0.05; done",
                         &job, &out, NULL),
                     0);
    assert_true(job.stopped);
    assert_false(job.timed_out);
    assert_string_equal(buf_text(&out), "on\ntold\n");
}

static void kills_at_the_end_what_ignores_everything(void **state)
{
    (void)state;
    int64_t start = clock_mono_ms();
    struct collect_job job = {.end_ms = start + 100};
    assert_int_equal(run("trap '' INT TERM; (setsid sh -c 'trap \"\" INT TERM; while :; do sleep "
                         "1000; done' &) ;"
                         " while :; do sleep 1000; done",
                         &job, NULL, NULL),
                     0);
    assert_true(job.timed_out);
    assert_true(WIFSIGNALED(job.status) && WTERMSIG(job.status) == SIGKILL);
    assert_true(clock_mono_ms() - start < 5000);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    assert_int_equal(errno, ECHILD);
}

static void ends_when_the_lifeline_is_lost(void **state)
{
    (void)state;
    (void)close(lifeline[1]);
    lifeline[1] = -1;
    struct collect_job job = {.end_ms = clock_mono_ms() + 20000};
    assert_int_equal(run("sleep 1000", &job, NULL, NULL), -EINTR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_back_output_errors_and_status, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_the_last_words_of_a_talker, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_it_after_its_duration, setup, teardown),
        cmocka_unit_test_setup_teardown(kills_at_the_end_what_ignores_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_when_the_lifeline_is_lost, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
