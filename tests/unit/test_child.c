/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "watchdog/child.h"

/* Runs `script` by sh in a child made by `spec` and gives back what it printed. */
static void run(struct child_spec *spec, const char *script, struct buf *out, int *ret_status)
{
    int pair[2];
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    const char *const argv[] = {"sh", "-c", script, NULL};
    spec->path = "/bin/sh";
    spec->argv = argv;
    spec->fds[1] = pair[1];
    spec->fds[2] = STDERR_FILENO;
    struct child child = CHILD_INIT;
    struct error err = ERROR_INIT;
    if (child_start(spec, &child, &err) < 0) {
        fail_msg("%s", err.message);
    }
    (void)close(pair[1]);
    assert_int_equal(fs_read_fd(pair[0], out, NULL), 0);
    (void)close(pair[0]);
    struct pollfd wait = {.fd = child.pidfd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 10000), 1);
    assert_int_equal(child_reap(&child, ret_status), 1);
    assert_int_equal(child.pidfd, -1);
}

static void has_no_privilege_unless_asked(void **state)
{
    (void)state;
    struct child_spec spec;
    child_spec_init(&spec);
    AUTO_BUF struct buf out = BUF_INIT(4096);
    int status = 0;
    run(&spec, "grep -E 'Cap(Prm|Eff|Amb)|NoNewPrivs' /proc/self/status", &out, &status);
    assert_int_equal(status, 0);
    assert_non_null(strstr(buf_text(&out), "CapPrm:\t0000000000000000"));
    assert_non_null(strstr(buf_text(&out), "CapEff:\t0000000000000000"));
    assert_non_null(strstr(buf_text(&out), "NoNewPrivs:\t1"));
}

static void keeps_just_the_capabilities_it_declares_as_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    struct child_spec spec;
    child_spec_init(&spec);
    spec.uid = spec.gid = 65534;
    spec.caps = 1ULL << CAP_SYS_PTRACE;
    AUTO_BUF struct buf out = BUF_INIT(4096);
    int status = 0;
    run(&spec, "id -u; id -G; grep -E 'Cap(Prm|Bnd|Amb)' /proc/self/status", &out, &status);
    assert_non_null(strstr(buf_text(&out), "65534\n65534\n"));
    assert_non_null(strstr(buf_text(&out), "CapPrm:\t0000000000080000"));
    assert_non_null(strstr(buf_text(&out), "CapBnd:\t0000000000080000"));
    assert_non_null(strstr(buf_text(&out), "CapAmb:\t0000000000080000"));
}

static void inherits_no_descriptor_and_no_environment(void **state)
{
    (void)state;
    int leaked = open("/dev/null", O_RDONLY); /* on purpose not O_CLOEXEC */
    assert_int_equal(setenv("SECRET", "x", 1), 0);
    struct child_spec spec;
    child_spec_init(&spec);
    AUTO_BUF struct buf out = BUF_INIT(4096);
    int status = 0;
    run(&spec, "for f in /proc/self/fd/*; do echo ${f##*/}; done; env", &out, &status);
    (void)close(leaked);
    assert_null(strstr(buf_text(&out), "SECRET"));
    char name[16];
    (void)snprintf(name, sizeof(name), "\n%d\n", leaked);
    assert_true(leaked < 4 || strstr(buf_text(&out), name) == NULL);
}

static void a_missing_program_is_an_error_that_names_the_step(void **state)
{
    (void)state;
    struct child_spec spec;
    child_spec_init(&spec);
    const char *const argv[] = {"none", NULL};
    spec.path = "/nonexistent/none";
    spec.argv = argv;
    struct child child = CHILD_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(child_start(&spec, &child, &err), -ENOENT);
    assert_non_null(strstr(err.message, "exec"));
    assert_int_equal(child.pid, 0);
}

static void a_file_limit_is_kept(void **state)
{
    (void)state;
    struct child_spec spec;
    child_spec_init(&spec);
    spec.max_file_bytes = 4096;
    spec.max_files = 16;
    AUTO_BUF struct buf out = BUF_INIT(4096);
    int status = 0;
    run(&spec, "ulimit -f; ulimit -n; ulimit -c", &out, &status);
    assert_string_equal(buf_text(&out), "8\n16\n0\n"); /* -f in blocks of 512 bytes */
}

static void strays_of_a_dead_child_are_killed(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    struct child_spec spec;
    child_spec_init(&spec);
    AUTO_BUF struct buf out = BUF_INIT(4096);
    int status = 0;
    /* The grandchild leaves the session, ignores TERM, and outlives its parent. */
    run(&spec, "setsid sh -c 'trap \"\" TERM; exec sleep 1000 >/dev/null 2>&1' & echo started",
        &out, &status);
    assert_string_equal(buf_text(&out), "started\n");
    assert_true(child_kill_strays(NULL, 0) >= 1);
    assert_int_equal(child_kill_strays(NULL, 0), 0);
}

static void an_identity_is_pid_and_start_time(void **state)
{
    (void)state;
    uint64_t ticks = child_start_ticks(getpid());
    assert_true(ticks > 0);
    AUTO_CLOSE int fd = child_open_identity(getpid(), ticks);
    assert_true(fd >= 0);
    assert_int_equal(child_open_identity(getpid(), ticks + 1), -ESRCH);
    assert_int_equal(child_open_identity(0, ticks), -ESRCH);
    assert_int_equal(child_start_ticks(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_no_privilege_unless_asked),
        cmocka_unit_test(keeps_just_the_capabilities_it_declares_as_another_user),
        cmocka_unit_test(inherits_no_descriptor_and_no_environment),
        cmocka_unit_test(a_missing_program_is_an_error_that_names_the_step),
        cmocka_unit_test(a_file_limit_is_kept),
        cmocka_unit_test(strays_of_a_dead_child_are_killed),
        cmocka_unit_test(an_identity_is_pid_and_start_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
