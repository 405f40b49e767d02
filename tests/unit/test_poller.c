/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever one target serves, it gets one clear line, and the target beside it is polled on
 * time. Every server is a thread on a port of its own that answers one connection after the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "watchdog/poller.h"

#define PAGE "# TYPE up gauge\nup 1\n# EOF\n"

enum { LATE_MS = 250, ENOUGH = 5, DEADLINE_MS = 20000 };

/* ---- servers ---- */

struct server {
    int fd;
    pthread_t thread;
    bool (*answer)(int fd, const char *request); /* false: end the connection */
    char url[128];
    atomic_int connections;
    atomic_int requests;
};

static bool put(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool put_text(int fd, const char *text)
{
    return put(fd, text, strlen(text));
}

/* Waits until the peer has gone, at most `ms`; true when it has. */
static bool gone(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, ms) > 0;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd;
    while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        char request[4096];
        ssize_t n;
        atomic_fetch_add(&s->connections, 1);
        while ((n = recv(fd, request, sizeof(request) - 1, 0)) > 0) {
            request[n] = '\0';
            atomic_fetch_add(&s->requests, 1);
            if (!s->answer(fd, request)) {
                break;
            }
        }
        (void)close(fd);
    }
    return NULL;
}

static void listen_on(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d/metrics", ntohs(a.sin_port));
}

static void start_server(struct server *s, bool (*answer)(int fd, const char *request))
{
    memset(s, 0, sizeof(*s));
    s->answer = answer;
    listen_on(s);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->fd);
}

/* ---- what they serve ---- */

static bool healthy(int fd, const char *request)
{
    char head[256];
    (void)request;
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                   "Content-Length: %zu\r\n\r\n" PAGE,
                   strlen(PAGE));
    return put_text(fd, head);
}

static bool openmetrics_if_preferred(int fd, const char *request)
{
    if (strstr(request, "Accept: application/openmetrics-text;version=1.0.0,text/plain") == NULL ||
        strstr(request, "Accept-Encoding: identity") == NULL) {
        return false;
    }
    return put_text(fd,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
                    "charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nup 1\n\r\n0\r\n\r\n");
}

static bool zipped(int fd, const char *text, size_t times)
{
    z_stream z = {.zalloc = NULL};
    size_t max = 1 << 20;
    char *out = xcalloc(1, max);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)max;
    size_t len = strlen(text);
    for (size_t i = 0; i < times; i++) {
        z.next_in = (z_const Bytef *)(uintptr_t)text;
        z.avail_in = (uInt)len;
        (void)deflate(&z, i + 1 == times ? Z_FINISH : Z_NO_FLUSH);
    }
    char head[160];
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %lu\r\n\r\n",
                   z.total_out);
    bool sent = put_text(fd, head) && put(fd, out, z.total_out);
    (void)deflateEnd(&z);
    free(out);
    return sent;
}

static bool gzip_page(int fd, const char *request)
{
    (void)request;
    return zipped(fd, PAGE, 1);
}

static bool gzip_bomb(int fd, const char *request)
{
    static char line[64 << 10];
    (void)request;
    memset(line, '\n', sizeof(line) - 1);
    return zipped(fd, line, 1600); /* 100 MB from about 100 KB */
}

static bool huge_page(int fd, const char *request)
{
    static char block[64 << 10];
    (void)request;
    memset(block, '#', sizeof(block));
    bool open = put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n");
    for (int i = 0; i < 1600 && open; i++) {
        open = put(fd, block, sizeof(block));
    }
    return open;
}

static bool endless_page(int fd, const char *request)
{
    static char block[64 << 10];
    (void)request;
    memset(block, '#', sizeof(block));
    bool open = put_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (open) {
        open = put(fd, block, sizeof(block));
    }
    return false;
}

static bool slow_page(int fd, const char *request)
{
    (void)request;
    bool open = put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (open && !gone(fd, 1000)) {
        open = put_text(fd, "#");
    }
    return false;
}

static bool hang(int fd, const char *request)
{
    (void)request;
    (void)gone(fd, -1);
    return false;
}

static bool garbage(int fd, const char *request)
{
    (void)request;
    (void)put_text(fd, "SSH-2.0-nothing you would want to read as a page\r\n");
    return false;
}

static bool redirect_loop(int fd, const char *request)
{
    (void)request;
    return put_text(fd,
                    "HTTP/1.1 302 Found\r\nLocation: /metrics?again\r\nContent-Length: 0\r\n\r\n");
}

static bool missing(int fd, const char *request)
{
    (void)request;
    return put_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
}

static bool broken_off(int fd, const char *request)
{
    (void)request;
    (void)put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nup 1\n");
    return false;
}

static bool slow_to_answer(int fd, const char *request)
{
    (void)gone(fd, 40);
    return healthy(fd, request);
}

/* ---- one run of the poller ---- */

enum { FAULTY, BESIDE, TARGETS };

struct run {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct poller *poller;
    size_t wanted[TARGETS]; /* results to wait for */
    size_t got[TARGETS];
    char text[TARGETS][1200];
    char page[TARGETS][64];
    bool openmetrics[TARGETS];
    bool stopped;
};

static void end_run(struct run *r)
{
    if (!r->stopped) {
        r->stopped = true;
        poller_stop(r->poller);
        uv_close((uv_handle_t *)&r->deadline, NULL);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    end_run(timer->data);
}

static void on_result(const struct poller_result *result, void *arg)
{
    struct run *r = arg;
    size_t i = result->target;
    r->got[i]++;
    r->openmetrics[i] = result->openmetrics;
    if (result->err != NULL) {
        assert_null(result->page);
        assert_true(result->err->code < 0);
        assert_true(result->err->remedy[0] != '\0');
        (void)error_text(result->err, r->text[i], sizeof(r->text[i]));
    } else {
        (void)snprintf(r->page[i], sizeof(r->page[i]), "%s", result->page);
    }
    if (r->got[FAULTY] >= r->wanted[FAULTY] && r->got[BESIDE] >= r->wanted[BESIDE]) {
        end_run(r);
    }
}

/* Polls until each target had its wanted results; returns the figures of both. */
static void run(struct run *r, const struct poller_target *targets, size_t count,
                struct poller_stats stats[TARGETS])
{
    assert_int_equal(uv_loop_init(&r->loop), 0);
    (void)uv_timer_init(&r->loop, &r->deadline);
    r->deadline.data = r;
    (void)uv_timer_start(&r->deadline, on_deadline, DEADLINE_MS, 0);
    const struct poller_spec spec = {
        .loop = &r->loop, .targets = targets, .count = count, .done = on_result, .arg = r};
    assert_int_equal(poller_start(&spec, &r->poller, NULL), 0);
    while (!r->stopped) {
        for (size_t i = 0; i < count; i++) {
            poller_stats_of(r->poller, i, &stats[i]);
        }
        (void)uv_run(&r->loop, UV_RUN_ONCE);
    }
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(r->got[i] >= r->wanted[i]);
    }
}

/* The faulty URL gives `needle`, and the target beside it misses no beat. */
static void expect(const char *url, int64_t timeout_ms, const char *needle, const char *or_needle)
{
    struct server beside;
    start_server(&beside, healthy);
    const struct poller_target targets[TARGETS] = {
        {.url = url, .interval_ms = timeout_ms, .timeout_ms = timeout_ms},
        {.url = beside.url, .interval_ms = 50, .timeout_ms = 2000},
    };
    struct run r = {.wanted = {1, ENOUGH}};
    struct poller_stats stats[TARGETS];
    run(&r, targets, TARGETS, stats);
    stop_server(&beside);
    if (strstr(r.text[FAULTY], needle) == NULL && strstr(r.text[FAULTY], or_needle) == NULL) {
        fail_msg("'%s' lacks '%s'", r.text[FAULTY], needle);
    }
    assert_int_equal(strncmp(r.text[FAULTY], url, strlen(url)), 0);
    assert_string_equal(r.text[BESIDE], "");
    assert_string_equal(r.page[BESIDE], PAGE);
    assert_true(stats[BESIDE].late_max_ms < LATE_MS);
}

static void expect_of(bool (*answer)(int, const char *), int64_t timeout_ms, const char *needle)
{
    struct server s;
    start_server(&s, answer);
    expect(s.url, timeout_ms, needle, needle);
    stop_server(&s);
}

/* ---- tests ---- */

static void a_page_arrives_at_once_and_the_connection_is_kept(void **state)
{
    (void)state;
    struct server s;
    start_server(&s, healthy);
    const struct poller_target target = {.url = s.url, .interval_ms = 20, .timeout_ms = 1000};
    struct run r = {.wanted = {ENOUGH, 0}};
    struct poller_stats stats[TARGETS];
    run(&r, &target, 1, stats);
    assert_string_equal(r.page[FAULTY], PAGE);
    assert_false(r.openmetrics[FAULTY]);
    stop_server(&s);
    assert_int_equal(atomic_load(&s.connections), 1);
}

static void one_page(bool (*answer)(int, const char *), struct run *r)
{
    struct server s;
    start_server(&s, answer);
    const struct poller_target target = {.url = s.url, .interval_ms = 1000, .timeout_ms = 1000};
    struct poller_stats stats[TARGETS];
    run(r, &target, 1, stats);
    stop_server(&s);
    assert_string_equal(r->text[FAULTY], "");
}

static void openmetrics_is_preferred_and_seen(void **state)
{
    (void)state;
    struct run r = {.wanted = {1, 0}};
    one_page(openmetrics_if_preferred, &r);
    assert_string_equal(r.page[FAULTY], "up 1\n");
    assert_true(r.openmetrics[FAULTY]);
}

static void a_compressed_page_is_inflated(void **state)
{
    (void)state;
    struct run r = {.wanted = {1, 0}};
    one_page(gzip_page, &r);
    assert_string_equal(r.page[FAULTY], PAGE);
}

static void a_page_of_100_mb_is_cut(void **state)
{
    (void)state;
    expect_of(huge_page, 2000, "the page is larger than we read");
}

static void an_endless_page_is_cut(void **state)
{
    (void)state;
    expect_of(endless_page, 4000, "the page is larger than we read (167");
}

static void a_compressed_bomb_is_cut(void **state)
{
    (void)state;
    expect_of(gzip_bomb, 4000, "the page is larger than we read (167");
}

static void a_slow_page_ends_at_the_timeout(void **state)
{
    (void)state;
    expect_of(slow_page, 300, "no complete page within the timeout");
}

static void a_hanging_server_ends_at_the_timeout(void **state)
{
    (void)state;
    expect_of(hang, 300, "no complete page within the timeout (0 bytes after ");
}

static void garbage_is_named(void **state)
{
    (void)state;
    expect_of(garbage, 1000, "what answers there does not speak HTTP");
}

static void a_redirect_is_not_followed(void **state)
{
    (void)state;
    expect_of(redirect_loop, 1000, "redirects are not followed");
    expect_of(redirect_loop, 1000, "/metrics?again'");
}

static void a_status_is_named(void **state)
{
    (void)state;
    expect_of(missing, 1000, "status 404 instead of 200 (check the path in 'metrics:')");
}

static void half_a_page_is_no_page(void **state)
{
    (void)state;
    expect_of(broken_off, 1000, "the connection ended before the page did (5 bytes");
}

static void a_closed_port_is_named(void **state)
{
    (void)state;
    struct server s;
    memset(&s, 0, sizeof(s));
    listen_on(&s);
    (void)close(s.fd);
    expect(s.url, 1000, "nothing accepts connections there", "nothing accepts");
}

static void a_name_that_does_not_resolve_is_named(void **state)
{
    (void)state;
    /* a machine whose name server is out of reach says it by the timeout */
    expect("http://name.invalid:9/metrics", 2000, "the name of the host cannot be resolved",
           "no complete page within the timeout");
}

static void a_slow_target_is_asked_less_often(void **state)
{
    (void)state;
    struct server s;
    start_server(&s, slow_to_answer);
    const struct poller_target target = {.url = s.url, .interval_ms = 50, .timeout_ms = 50000};
    struct run r = {.wanted = {3, 0}};
    struct poller_stats stats[TARGETS];
    run(&r, &target, 1, stats);
    stop_server(&s);
    assert_string_equal(r.text[FAULTY], "");
    assert_true(stats[FAULTY].interval_ms >= 150); /* smoothed: 40/8 ms, then 75/8 ms, times 20 */
}

static void a_dead_target_is_asked_at_the_base_rate_for_a_while(void **state)
{
    (void)state;
    struct server s;
    start_server(&s, hang);
    const struct poller_target target = {.url = s.url, .interval_ms = 50, .timeout_ms = 50};
    struct run r = {.wanted = {6, 0}};
    struct poller_stats stats[TARGETS];
    int64_t begun = clock_mono_ms();
    run(&r, &target, 1, stats);
    assert_true(clock_mono_ms() - begun < 3000);
    assert_int_equal(stats[FAULTY].interval_ms, 50);
    stop_server(&s);
}

static void stops_amid_a_poll(void **state)
{
    (void)state;
    struct server s;
    start_server(&s, hang);
    struct run r = {.stopped = false};
    assert_int_equal(uv_loop_init(&r.loop), 0);
    const struct poller_target target = {.url = s.url, .interval_ms = 9000, .timeout_ms = 9000};
    const struct poller_spec spec = {
        .loop = &r.loop, .targets = &target, .count = 1, .done = on_result, .arg = &r};
    assert_int_equal(poller_start(&spec, &r.poller, NULL), 0);
    while (atomic_load(&s.requests) == 0) {
        (void)uv_run(&r.loop, UV_RUN_NOWAIT);
    }
    poller_stop(r.poller);
    poller_stop(NULL);
    (void)uv_run(&r.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r.loop), 0);
    assert_int_equal(r.got[0], 0);
    stop_server(&s);
}

static char large[256 << 10];

static bool large_page(int fd, const char *request)
{
    (void)request;
    return put(fd, large, strlen(large));
}

/* The thread of the loop alone: what one poll of a usual page costs us. */
static void a_poll_of_242_kb_costs_little(void **state)
{
    (void)state;
    const size_t body = 242000;
    int n = snprintf(large, sizeof(large), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body);
    memset(large + n, '#', body);
    struct server s;
    start_server(&s, large_page);
    const struct poller_target target = {.url = s.url, .interval_ms = 20, .timeout_ms = 1000};
    struct run r = {.wanted = {50, 0}};
    struct poller_stats stats[TARGETS];
    struct rusage before;
    struct rusage after;
    (void)getrusage(RUSAGE_THREAD, &before);
    run(&r, &target, 1, stats);
    (void)getrusage(RUSAGE_THREAD, &after);
    stop_server(&s);
    long us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
              before.ru_utime.tv_usec + (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
              after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    print_message("%ld us of CPU a poll\n", us / (long)r.got[FAULTY]);
    assert_true(us / (long)r.got[FAULTY] < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_arrives_at_once_and_the_connection_is_kept),
        cmocka_unit_test(openmetrics_is_preferred_and_seen),
        cmocka_unit_test(a_compressed_page_is_inflated),
        cmocka_unit_test(a_page_of_100_mb_is_cut),
        cmocka_unit_test(an_endless_page_is_cut),
        cmocka_unit_test(a_compressed_bomb_is_cut),
        cmocka_unit_test(a_slow_page_ends_at_the_timeout),
        cmocka_unit_test(a_hanging_server_ends_at_the_timeout),
        cmocka_unit_test(garbage_is_named),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(a_status_is_named),
        cmocka_unit_test(half_a_page_is_no_page),
        cmocka_unit_test(a_closed_port_is_named),
        cmocka_unit_test(a_name_that_does_not_resolve_is_named),
        cmocka_unit_test(a_slow_target_is_asked_less_often),
        cmocka_unit_test(a_dead_target_is_asked_at_the_base_rate_for_a_while),
        cmocka_unit_test(stops_amid_a_poll),
        cmocka_unit_test(a_poll_of_242_kb_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
