/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: polls, processes and rules join: a page that turns bad fires its rule at once, an exit
 * fires without a poll, holds only record, and what was learned survives. The target's page comes
 * from a thread of the test; incidentd is played by the other end of a socket pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "watchdog/judge.h"

enum { DEADLINE_MS = 30000, INTERVAL_MS = 50, AVAILABILITY = 0, EXITED = 1, DOWN = 2, RULES = 3 };

/* ---- the target: 1,000 requests between two polls, of which `bad` fail ---- */

struct page_server {
    int fd;
    int port;
    pthread_t thread;
    atomic_int bad;
    atomic_int garbage;
    long good_total;
    long bad_total;
};

static void answer(struct page_server *s, int fd)
{
    char body[512];
    char page[1024];
    int bad = atomic_load(&s->bad);
    s->good_total += 1000 - bad;
    s->bad_total += bad;
    int len =
        snprintf(body, sizeof(body),
                 "# TYPE http_requests_total counter\n"
                 "http_requests_total{code=\"200\"} %ld\nhttp_requests_total{code=\"503\"} %ld\n",
                 s->good_total, s->bad_total);
    if (atomic_load(&s->garbage) != 0) {
        len = snprintf(body, sizeof(body), "{\"status\": \"ok\"}\n");
    }
    len =
        snprintf(page, sizeof(page), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len, body);
    (void)send(fd, page, (size_t)len, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    struct page_server *s = arg;
    int fd;
    while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        char request[4096];
        while (recv(fd, request, sizeof(request), 0) > 0) {
            answer(s, fd);
        }
        (void)close(fd);
    }
    return NULL;
}

static void start_server(struct page_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct page_server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->fd);
}

/* ---- the stage ---- */

struct play {
    uv_loop_t loop;
    uv_poll_t peer;
    uv_timer_t deadline;
    struct link *link;
    struct judge *judge;
    int peer_fd;
    pid_t child;
    struct page_server server;
    char url[64];
    struct config config;
    struct config_target target;
    struct config_rule rules[RULES];
    unsigned fired[RULES];
    unsigned resolved[RULES];
    struct watch_event last[RULES];
};

static void on_request(uv_poll_t *poll, int status, int events)
{
    const struct play *p = poll->data;
    struct wire_message m;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    (void)status;
    (void)events;
    if (wire_receive(p->peer_fd, &m, fds, &count, NULL) != 1) {
        return;
    }
    assert_int_equal(m.type, WIRE_FIND);
    m.reply = 1;
    int pidfd = p->child > 0 ? (int)syscall(SYS_pidfd_open, p->child, 0) : -1;
    m.status = pidfd < 0 ? -ESRCH : 0;
    m.pid = p->child;
    (void)snprintf(m.name, sizeof(m.name), "/app/checkout");
    (void)snprintf(m.text, sizeof(m.text), pidfd < 0 ? "there is none" : "native");
    assert_int_equal(wire_send(p->peer_fd, &m, &pidfd, pidfd < 0 ? 0 : 1, NULL), 0);
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
}

static void on_event(size_t target, const struct watch_event *event, void *arg)
{
    struct play *p = arg;
    assert_int_equal(target, 0);
    assert_true(event->rule < RULES);
    p->last[event->rule] = *event;
    p->fired[event->rule] += event->kind == WATCH_EVENT_FIRED ? 1 : 0;
    p->resolved[event->rule] += event->kind == WATCH_EVENT_RESOLVED ? 1 : 0;
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

static void configure(struct play *p)
{
    (void)snprintf(p->url, sizeof(p->url), "http://127.0.0.1:%d/metrics", p->server.port);
    p->target = (struct config_target){.name = "checkout",
                                       .process = {.present = true, .comm = "checkout"},
                                       .metrics = p->url,
                                       .interval_ms = INTERVAL_MS,
                                       .timeout_ms = 1000};
    p->rules[AVAILABILITY] =
        (struct config_rule){.name = "availability",
                             .target = "checkout",
                             .slo = {.present = true,
                                     .objective = 0.999,
                                     .good = "http_requests_total{code!~\"5..\"}",
                                     .total = "http_requests_total",
                                     .look_back_ms = 30000,
                                     .false_captures = "1/30d"},
                             .keep_firing_for_ms = 200};
    p->rules[EXITED] = (struct config_rule){
        .name = "target_exited", .target = "checkout", .keep_firing_for_ms = 200};
    p->rules[DOWN] = (struct config_rule){
        .name = "source_down", .target = "checkout", .keep_firing_for_ms = 200};
    p->config.targets = (struct schema_list){.items = &p->target, .count = 1};
    p->config.rules = (struct schema_list){.items = p->rules, .count = RULES};
}

static int try_judge(struct play *p, const char *saved, struct error *err)
{
    const struct judge_spec spec = {
        .loop = &p->loop,
        .link = p->link,
        .config = &p->config,
        .saved = saved,
        .saved_len = saved != NULL ? strlen(saved) : 0,
        .emit = on_event,
        .arg = p,
    };
    return judge_start(&spec, &p->judge, err);
}

static void start_judge(struct play *p, const char *saved)
{
    struct error err = ERROR_INIT;
    if (try_judge(p, saved, &err) != 0) {
        fail_msg("%s", err.message);
    }
}

static int open_play(void **state)
{
    struct play *p = xcalloc(1, sizeof(*p));
    int fds[2];
    start_server(&p->server);
    p->child = fork();
    if (p->child == 0) {
        (void)pause();
        _exit(0);
    }
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
    configure(p);
    *state = p;
    return 0;
}

static void end_child(struct play *p)
{
    if (p->child > 0) {
        (void)kill(p->child, SIGKILL);
        (void)waitpid(p->child, NULL, 0);
        p->child = 0;
    }
}

static int close_play(void **state)
{
    struct play *p = *state;
    judge_stop(p->judge);
    link_close(p->link);
    uv_close((uv_handle_t *)&p->peer, NULL);
    uv_close((uv_handle_t *)&p->deadline, NULL);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    (void)close(p->peer_fd);
    end_child(p);
    stop_server(&p->server);
    free(p);
    return 0;
}

/* Runs the loop until the target has been polled `more` times. */
static void poll_times(struct play *p, uint64_t more)
{
    struct judge_target now;
    judge_target_of(p->judge, 0, &now);
    uint64_t until = now.polls + more;
    while (now.polls < until) {
        (void)uv_run(&p->loop, UV_RUN_ONCE);
        judge_target_of(p->judge, 0, &now);
    }
}

static void wait_for(struct play *p, const unsigned *count)
{
    while (*count == 0) {
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

/* ---- tests ---- */

static void a_bad_page_fires_and_a_good_one_resolves(void **state)
{
    struct play *p = *state;
    start_judge(p, NULL);
    poll_times(p, 5);
    assert_int_equal(p->fired[AVAILABILITY], 0);
    struct judge_target now;
    judge_target_of(p->judge, 0, &now);
    assert_true(now.up);
    assert_false(now.held);
    assert_string_equal(now.error, "");
    assert_int_equal(now.series, 2);
    assert_int_equal(now.pid, p->child);
    assert_int_equal(now.runtime, RUNTIME_NATIVE);
    atomic_store(&p->server.bad, 52);
    wait_for(p, &p->fired[AVAILABILITY]);
    assert_true(strncmp(p->last[AVAILABILITY].summary, "52 of 1,000 failed", 18) == 0);
    struct watch_status status;
    judge_rule_status(p->judge, AVAILABILITY, &status);
    assert_int_equal(status.state, WATCH_FIRING);
    atomic_store(&p->server.bad, 0);
    wait_for(p, &p->resolved[AVAILABILITY]);
    assert_int_equal(p->fired[EXITED] + p->fired[DOWN], 0);
}

static void an_exit_fires_without_a_poll(void **state)
{
    struct play *p = *state;
    p->target.metrics = NULL;
    p->config.rules = (struct schema_list){.items = &p->rules[EXITED], .count = 1};
    start_judge(p, NULL);
    struct judge_target now = {.pid = 0};
    while (now.pid == 0) {
        (void)uv_run(&p->loop, UV_RUN_ONCE);
        judge_target_of(p->judge, 0, &now);
    }
    assert_true(now.up);
    end_child(p);
    wait_for(p, &p->fired[0]);
    assert_int_equal(p->last[0].kind, WATCH_EVENT_FIRED);
}

static void garbage_is_a_miss_with_its_place(void **state)
{
    struct play *p = *state;
    start_judge(p, NULL);
    poll_times(p, 2);
    atomic_store(&p->server.garbage, 1);
    wait_for(p, &p->fired[DOWN]);
    struct judge_target now;
    judge_target_of(p->judge, 0, &now);
    assert_false(now.up);
    assert_true(now.polls >= 5);
    char place[80];
    (void)snprintf(place, sizeof(place), "%s:1:", p->url);
    assert_int_equal(strncmp(now.error, place, strlen(place)), 0);
}

static void the_grace_only_records(void **state)
{
    struct play *p = *state;
    p->target.startup_grace_ms = 3600000;
    atomic_store(&p->server.bad, 500);
    start_judge(p, NULL);
    poll_times(p, 6);
    struct judge_target now;
    judge_target_of(p->judge, 0, &now);
    assert_true(now.held);
    assert_int_equal(p->fired[AVAILABILITY], 0);
}

static void draining_only_records(void **state)
{
    struct play *p = *state;
    start_judge(p, NULL);
    poll_times(p, 3);
    judge_drain(p->judge, true);
    atomic_store(&p->server.bad, 500);
    poll_times(p, 5);
    assert_int_equal(p->fired[AVAILABILITY], 0);
    judge_drain(p->judge, false);
    wait_for(p, &p->fired[AVAILABILITY]);
}

static void what_was_learned_can_be_loaded(void **state)
{
    struct play *p = *state;
    start_judge(p, NULL);
    poll_times(p, 3);
    struct buf saved = BUF_INIT(1 << 20);
    judge_save(p->judge, &saved);
    assert_int_equal(strncmp(buf_text(&saved), "{\"checkout\":{", 13), 0);
    judge_stop(p->judge);
    start_judge(p, buf_text(&saved));
    poll_times(p, 2);
    judge_stop(p->judge);
    start_judge(p, "{\"checkout\":{\"learned\":[7"); /* cut off: it starts without */
    poll_times(p, 2);
    buf_release(&saved);
}

static void a_wrong_selector_is_refused_by_name(void **state)
{
    struct play *p = *state;
    p->rules[AVAILABILITY].slo.total = "http_requests_total{";
    struct error err = ERROR_INIT;
    assert_int_equal(try_judge(p, NULL, &err), -EINVAL);
    assert_null(p->judge);
    assert_non_null(strstr(err.message, "availability"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_play, close_play)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_page_fires_and_a_good_one_resolves),
        TEST(an_exit_fires_without_a_poll),
        TEST(garbage_is_a_miss_with_its_place),
        TEST(the_grace_only_records),
        TEST(draining_only_records),
        TEST(what_was_learned_can_be_loaded),
        TEST(a_wrong_selector_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
