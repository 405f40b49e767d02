/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a target is found over the wire, its exit is seen at once through its pidfd, and it is
 * searched again. incidentd is played by the other end of a socket pair on the same loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "watchdog/tracker.h"

enum { DEADLINE_MS = 20000, TARGETS = 2 };

struct play {
    uv_loop_t loop;
    uv_poll_t peer; /* incidentd's end */
    uv_timer_t deadline;
    struct link *link;
    struct tracker *tracker;
    int peer_fd;
    pid_t child; /* what a search finds; 0: nothing */
    unsigned asked[TARGETS];
    unsigned found;
    unsigned gone;
    int64_t gone_ms;
    struct tracker_process last;
    bool silent; /* incidentd does not answer */
};

static pid_t start_child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    return pid;
}

static void end_child(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void on_request(uv_poll_t *poll, int status, int events)
{
    struct play *p = poll->data;
    struct wire_message m;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    (void)status;
    (void)events;
    if (wire_receive(p->peer_fd, &m, fds, &count, NULL) != 1) {
        return;
    }
    assert_int_equal(m.type, WIRE_FIND);
    assert_true(m.target < TARGETS);
    p->asked[m.target]++;
    if (p->silent) {
        return;
    }
    m.reply = 1;
    if (p->child == 0) {
        m.status = -ESRCH;
        (void)snprintf(m.text, sizeof(m.text), "no process has the name 'checkout'");
        assert_int_equal(wire_send(p->peer_fd, &m, NULL, 0, NULL), 0);
        return;
    }
    int pidfd = (int)syscall(SYS_pidfd_open, p->child, 0);
    assert_true(pidfd >= 0);
    m.pid = p->child;
    m.start_ticks = 100;
    (void)snprintf(m.name, sizeof(m.name), "/app/checkout");
    (void)snprintf(m.text, sizeof(m.text), "go");
    assert_int_equal(wire_send(p->peer_fd, &m, &pidfd, 1, NULL), 0);
    (void)close(pidfd);
}

static void on_change(size_t target, const struct tracker_process *now, void *arg)
{
    struct play *p = arg;
    assert_int_equal(target, 0);
    p->last = *now;
    if (now->pid > 0) {
        p->found++;
    } else {
        p->gone++;
        p->gone_ms = clock_mono_ms();
    }
}

static void on_order(const struct wire_message *m, int *fds, size_t fd_count, void *arg)
{
    (void)m;
    (void)fds;
    (void)fd_count;
    (void)arg;
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing came in %d ms", DEADLINE_MS);
}

static int open_play(void **state)
{
    struct play *p = xcalloc(1, sizeof(*p));
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(uv_loop_init(&p->loop), 0);
    p->peer_fd = fds[1];
    p->peer.data = p;
    assert_int_equal(uv_poll_init(&p->loop, &p->peer, fds[1]), 0);
    (void)uv_poll_start(&p->peer, UV_READABLE, on_request);
    (void)uv_timer_init(&p->loop, &p->deadline);
    (void)uv_timer_start(&p->deadline, on_deadline, DEADLINE_MS, 0);
    const struct link_handlers handlers = {.order = on_order, .closed = on_closed, .arg = p};
    p->link = link_open(&p->loop, fds[0], &handlers);
    link_generation(p->link, 1);
    const bool wanted[TARGETS] = {true, false};
    p->tracker = tracker_start(&p->loop, p->link, wanted, TARGETS, on_change, p);
    *state = p;
    return 0;
}

static int close_play(void **state)
{
    struct play *p = *state;
    tracker_stop(p->tracker);
    link_close(p->link);
    uv_close((uv_handle_t *)&p->peer, NULL);
    uv_close((uv_handle_t *)&p->deadline, NULL);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    (void)close(p->peer_fd);
    free(p);
    return 0;
}

static void turn(struct play *p)
{
    (void)uv_run(&p->loop, UV_RUN_ONCE);
}

static void finds_the_target_and_sees_its_exit_at_once(void **state)
{
    struct play *p = *state;
    p->child = start_child();
    while (p->found == 0) {
        turn(p);
    }
    assert_int_equal(p->last.pid, p->child);
    assert_int_equal(p->last.start_ticks, 100);
    assert_string_equal(p->last.exe, "/app/checkout");
    assert_int_equal(p->last.runtime, RUNTIME_GO);
    assert_true(p->last.start_ms > 0 && p->last.start_ms < clock_wall_ms());
    int64_t killed_ms = clock_mono_ms();
    end_child(p->child);
    p->child = 0;
    while (p->gone == 0) {
        turn(p);
    }
    assert_true(p->gone_ms - killed_ms < 500);
    struct tracker_process now;
    tracker_process_of(p->tracker, 0, &now);
    assert_int_equal(now.pid, 0);
    assert_string_equal(now.error, "the process has exited");
    assert_int_equal(p->asked[1], 0);
}

static void searches_again_until_there_is_one(void **state)
{
    struct play *p = *state;
    while (p->asked[0] < 2) {
        turn(p);
    }
    struct tracker_process now;
    tracker_process_of(p->tracker, 0, &now);
    assert_string_equal(now.error, "no process has the name 'checkout'");
    assert_int_equal(p->found, 0);
    assert_int_equal(p->gone, 0); /* what was never there cannot go */
    p->child = start_child();
    while (p->found == 0) {
        turn(p);
    }
    pid_t first = p->child;
    p->child = start_child();
    end_child(first);
    while (p->found == 1) {
        turn(p);
    }
    assert_int_equal(p->gone, 1);
    assert_int_equal(p->last.pid, p->child);
    end_child(p->child);
}

static void a_stopped_process_is_alive(void **state)
{
    struct play *p = *state;
    p->child = start_child();
    while (p->found == 0) {
        turn(p);
    }
    (void)kill(p->child, SIGSTOP);
    int status = 0;
    assert_int_equal(waitpid(p->child, &status, WUNTRACED), p->child);
    assert_true(WIFSTOPPED(status));
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    assert_int_equal(p->gone, 0);
    end_child(p->child);
    p->child = 0;
}

static void ends_while_a_search_is_open(void **state)
{
    struct play *p = *state;
    p->silent = true;
    while (p->asked[0] == 0) {
        turn(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_the_target_and_sees_its_exit_at_once, open_play,
                                        close_play),
        cmocka_unit_test_setup_teardown(searches_again_until_there_is_one, open_play, close_play),
        cmocka_unit_test_setup_teardown(a_stopped_process_is_alive, open_play, close_play),
        cmocka_unit_test_setup_teardown(ends_while_a_search_is_open, open_play, close_play),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
