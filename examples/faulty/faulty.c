/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faulty: a small service whose faults are switched by HTTP. No runtime, no library, one thread.
 *
 *   faulty [--port N] [--listen ADDRESS] [--virtual-rate N] [--fault QUERY]
 *
 *   --port N          0, the default, takes a free one. Once it listens, one line is printed:
 *                     "faulty: listening on 127.0.0.1:PORT"
 *   --listen A        IPv4 address to bind, default 127.0.0.1
 *   --virtual-rate N  counts exactly N requests a second from the clock, without any traffic
 *   --fault QUERY     faults from the start, as below
 *
 * Routes: GET /reserve (200, or error_code), GET /healthz, GET /metrics, and POST /fault?QUERY,
 * which answers {"at_ns":N}, the CLOCK_REALTIME of the change, and is served even while the service
 * hangs. QUERY is name=value&...; all of it is applied at one instant, or, with 400, nothing:
 *
 *   error_ratio=0.05        share of requests that fail, exactly spread
 *   error_code=503          their status, 400-599
 *   latency_ms=N            delay of /reserve
 *   metrics_latency_ms=N    delay of /metrics
 *   rate=N                  as --virtual-rate; 0 is traffic cut upstream
 *   hang=1                  reads requests and answers none, /metrics included, until hang=0
 *   exit=N                  answers, then exits with N
 *   crash=1                 answers, then aborts
 *   reset=1                 counters start again at 0, as after a restart
 *   pad_series=2000         that many more series: 2,000 make a page of about 242 KB
 *   page=normal             Prometheus text format 0.0.4
 *       openmetrics         OpenMetrics 1.0
 *       huge                100 MB of valid lines, with a Content-Length
 *       endless             valid lines without end
 *       slow                the normal page, one byte a second
 *       garbage             64 KB that is no exposition
 *       redirect            302 to /metrics: a loop
 *       error               500
 *       empty               200 with no byte
 *       truncated           the connection closes halfway through the page
 *
 * Counters: http_requests_total{code,method,route}, the histogram http_request_duration_seconds.
 * With real traffic each request to /reserve counts, with a virtual rate the clock does; both may
 * be mixed. A page is computed when it is asked for, so an error that begins at an instant is
 * visible from that instant on. With a virtual rate a hang stops answers, not counting.
 *
 * One epoll loop; a connection is in one of three states: reading a request, waiting for its due
 * time, writing. Requests on one connection are served in order, keep-alive is supported. Not for
 * production: request bodies are ignored, lines are not validated beyond what is used.
 */
#include "page.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 8192
#define SECOND_NS 1000000000LL

enum state { READING, WAITING, WRITING };

struct connection {
    int fd;
    enum state state;
    bool close_after;
    bool held;      /* waits for the end of a hang */
    int64_t due_ns; /* WAITING: when the answer starts; WRITING slowly: when the next byte goes */
    int then_exit;  /* exit code once written, -1: none */
    char in[REQUEST_MAX];
    size_t in_used;
    char *out; /* head and body, owned */
    size_t out_length;
    size_t head_length;
    size_t out_sent;
    const char *block; /* sent over and over after `out` */
    size_t block_at;
    long block_left; /* bytes still to send of it; -1: no end */
    bool slow;
    struct connection *previous;
    struct connection *next;
};

struct server {
    int epoll;
    int listener;
    struct faults faults;
    struct connection *all;
};

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void watch(struct server *s, struct connection *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    (void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void drop(struct server *s, struct connection *c)
{
    (void)close(c->fd);
    if (c->previous != NULL) {
        c->previous->next = c->next;
    } else {
        s->all = c->next;
    }
    if (c->next != NULL) {
        c->next->previous = c->previous;
    }
    free(c->out);
    free(c);
}

/* Sets the answer: head, then `length` bytes of body, which announces `claimed` bytes (-1: the
 * connection's end is the body's). */
static void answer(struct connection *c, int status, const char *type, const char *body,
                   size_t length, long claimed)
{
    char head[512];
    char size[64] = "";
    if (claimed >= 0) {
        (void)snprintf(size, sizeof(size), "Content-Length: %ld\r\n", claimed);
    }
    c->close_after = c->close_after || claimed < 0;
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s%s%s\r\n", status,
                     status == 200 ? "OK" : (status == 302 ? "Found" : "Error"), type, size,
                     status == 302 ? "Location: /metrics\r\n" : "",
                     c->close_after ? "Connection: close\r\n" : "");
    c->head_length = (size_t)n;
    c->out_length = c->head_length + length;
    c->out_sent = 0;
    c->out = malloc(c->out_length + 1);
    if (c->out == NULL) {
        abort();
    }
    memcpy(c->out, head, (size_t)n);
    memcpy(c->out + n, body, length);
}

static void answer_text(struct connection *c, int status, const char *text)
{
    answer(c, status, "application/json", text, strlen(text), (long)strlen(text));
}

static void send_blocks(struct connection *c, long bytes)
{
    answer(c, 200, "text/plain; version=0.0.4", "", 0, bytes);
    c->block = page_block();
    c->block_at = 0;
    c->block_left = bytes;
}

static void send_page(struct server *s, struct connection *c, int64_t now_ns)
{
    size_t length = 0;
    char *page = page_write(&s->faults, now_ns, &length);
    const char *type = s->faults.page == FAULTS_PAGE_OPENMETRICS
                           ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                           : "text/plain; version=0.0.4; charset=utf-8";
    size_t kept = length;
    if (s->faults.page == FAULTS_PAGE_TRUNCATED) {
        kept = length / 2;
        c->close_after = true;
    }
    c->slow = s->faults.page == FAULTS_PAGE_SLOW;
    answer(c, 200, type, page, kept, (long)length);
    free(page);
}

static void metrics(struct server *s, struct connection *c, int64_t now_ns)
{
    c->due_ns = now_ns + s->faults.metrics_latency_ms * 1000000LL;
    switch (s->faults.page) {
    case FAULTS_PAGE_HUGE:
        send_blocks(c, PAGE_HUGE);
        break;
    case FAULTS_PAGE_ENDLESS:
        send_blocks(c, -1);
        break;
    case FAULTS_PAGE_GARBAGE:
        answer(c, 200, "text/plain", page_garbage(), PAGE_BLOCK, PAGE_BLOCK);
        break;
    case FAULTS_PAGE_REDIRECT:
        answer_text(c, 302, "");
        break;
    case FAULTS_PAGE_ERROR:
        answer_text(c, 500, "{\"error\":\"as ordered\"}\n");
        break;
    case FAULTS_PAGE_EMPTY:
        answer_text(c, 200, "");
        break;
    case FAULTS_PAGE_NORMAL:
    case FAULTS_PAGE_OPENMETRICS:
    case FAULTS_PAGE_SLOW:
    case FAULTS_PAGE_TRUNCATED:
        send_page(s, c, now_ns);
        break;
    }
}

static void release_held(struct server *s)
{
    for (struct connection *c = s->all; c != NULL && !s->faults.hang; c = c->next) {
        c->held = false;
    }
}

static void control(struct server *s, struct connection *c, const char *method, const char *query)
{
    char text[256];
    char wrong[128];
    if (strcmp(method, "POST") != 0) {
        answer_text(c, 405, "{\"error\":\"POST, please\"}\n");
        return;
    }
    int64_t wall_ns = clock_ns(CLOCK_REALTIME);
    if (!faults_apply(&s->faults, query, clock_ns(CLOCK_MONOTONIC), &c->then_exit, wrong,
                      sizeof(wrong))) {
        (void)fprintf(stderr, "faulty: cannot apply '%s'\n", wrong);
        answer_text(c, 400, "{\"error\":\"unknown fault or wrong value\"}\n");
        return;
    }
    release_held(s);
    (void)snprintf(text, sizeof(text), "{\"at_ns\":%lld}\n", (long long)wall_ns);
    answer_text(c, 200, text);
}

static void reserve(struct server *s, struct connection *c, int64_t now_ns)
{
    int status = faults_request(&s->faults);
    c->due_ns = now_ns + s->faults.latency_ms * 1000000LL;
    answer_text(c, status, status == 200 ? "{\"reserved\":true}\n" : "{\"reserved\":false}\n");
}

static void route(struct server *s, struct connection *c, const char *method, char *path)
{
    int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    char *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    c->due_ns = now_ns;
    c->held = s->faults.hang && strcmp(path, "/fault") != 0;
    if (strcmp(path, "/fault") == 0) {
        control(s, c, method, query == NULL ? "" : query);
    } else if (strcmp(path, "/metrics") == 0) {
        metrics(s, c, now_ns);
    } else if (strcmp(path, "/reserve") == 0) {
        reserve(s, c, now_ns);
    } else if (strcmp(path, "/healthz") == 0) {
        s->faults.health++;
        answer_text(c, 200, "{\"status\":\"ok\"}\n");
    } else {
        answer_text(c, 404, "{\"error\":\"no such route\"}\n");
    }
}

/* Takes one whole request from the input, if there is one. Returns false when the connection is
 * beyond repair. */
static bool take_request(struct server *s, struct connection *c)
{
    c->in[c->in_used] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (end == NULL) {
        return c->in_used < REQUEST_MAX - 1;
    }
    *end = '\0';
    char method[16];
    char path[1024];
    if (sscanf(c->in, "%15s %1023s", method, path) != 2) {
        return false;
    }
    bool old = strstr(c->in, "HTTP/1.0") != NULL;
    c->close_after = old || strcasestr(c->in, "connection: close") != NULL;
    const char *announced = strcasestr(c->in, "content-length:");
    size_t body = announced == NULL ? 0 : strtoul(announced + 15, NULL, 10);
    size_t used = (size_t)(end - c->in) + 4;
    used = body < c->in_used - used ? used + body : c->in_used;
    c->in_used -= used;
    route(s, c, method, path);
    memmove(c->in, c->in + used, c->in_used);
    c->state = WAITING;
    watch(s, c, 0);
    return true;
}

static bool read_more(struct server *s, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_used, REQUEST_MAX - 1 - c->in_used, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        return false;
    }
    c->in_used += n > 0 ? (size_t)n : 0;
    return take_request(s, c);
}

static bool finish(struct server *s, struct connection *c)
{
    if (c->then_exit == 256) {
        abort();
    }
    if (c->then_exit >= 0) {
        exit(c->then_exit);
    }
    free(c->out);
    c->out = NULL;
    c->block = NULL;
    c->block_left = 0;
    c->slow = false;
    c->state = READING;
    if (c->close_after) {
        return false;
    }
    watch(s, c, EPOLLIN);
    return take_request(s, c);
}

/* The piece to send next; *ret_left 0: all is sent. */
static const char *next_piece(const struct connection *c, size_t *ret_left)
{
    *ret_left = c->out_length - c->out_sent;
    if (*ret_left > 0) {
        if (c->slow) {
            *ret_left = c->out_sent < c->head_length ? c->head_length - c->out_sent : 1;
        }
        return c->out + c->out_sent;
    }
    if (c->block_left != 0) {
        *ret_left = PAGE_BLOCK - c->block_at;
    }
    return c->block + (c->block == NULL ? 0 : c->block_at);
}

static void sent(struct connection *c, size_t n)
{
    if (c->out_sent < c->out_length) {
        c->out_sent += n;
        return;
    }
    c->block_at = (c->block_at + n) % PAGE_BLOCK;
    c->block_left -= c->block_left > 0 ? (long)n : 0;
}

/* Sends what the socket takes, at most some pieces so that the others have their turn. Returns
 * false when the connection ends. */
static bool write_more(struct server *s, struct connection *c)
{
    for (int turn = 0; turn < 16; turn++) {
        size_t left = 0;
        const char *from = next_piece(c, &left);
        if (left == 0) {
            return finish(s, c);
        }
        ssize_t n = send(c->fd, from, left, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        sent(c, (size_t)n);
        if (c->slow && c->out_sent < c->out_length) {
            c->state = WAITING;
            c->due_ns = clock_ns(CLOCK_MONOTONIC) + SECOND_NS;
            watch(s, c, 0);
            return true;
        }
    }
    return true;
}

static void accept_all(struct server *s)
{
    int fd = -1;
    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof(*c));
        if (c == NULL) {
            abort();
        }
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        c->fd = fd;
        c->then_exit = -1;
        c->next = s->all;
        if (s->all != NULL) {
            s->all->previous = c;
        }
        s->all = c;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        (void)epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static void event(struct server *s, struct connection *c, uint32_t events)
{
    bool alive = (events & (EPOLLERR | EPOLLHUP)) == 0;
    if (alive && c->state == READING) {
        alive = read_more(s, c);
    } else if (alive && c->state == WRITING) {
        alive = write_more(s, c);
    }
    if (!alive) {
        drop(s, c);
    }
}

/* Starts every answer that is due. Returns the time of the next one, or -1. */
static int64_t start_due(struct server *s)
{
    int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    int64_t first_ns = -1;
    struct connection *next = NULL;
    for (struct connection *c = s->all; c != NULL; c = next) {
        next = c->next;
        if (c->state != WAITING || c->held) {
            continue;
        }
        if (c->due_ns <= now_ns) {
            c->state = WRITING;
            watch(s, c, EPOLLOUT);
            if (!write_more(s, c)) {
                drop(s, c);
                continue;
            }
        }
        if (c->state == WAITING && !c->held && (first_ns < 0 || c->due_ns < first_ns)) {
            first_ns = c->due_ns;
        }
    }
    return first_ns;
}

static void serve(struct server *s)
{
    struct epoll_event events[256];
    for (;;) {
        int64_t due_ns = start_due(s);
        int64_t wait_ns = due_ns < 0 ? 0 : due_ns - clock_ns(CLOCK_MONOTONIC);
        wait_ns = wait_ns < 0 ? 0 : wait_ns;
        struct timespec wait = {.tv_sec = wait_ns / SECOND_NS, .tv_nsec = wait_ns % SECOND_NS};
        int n = epoll_pwait2(s->epoll, events, 256, due_ns < 0 ? NULL : &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(s);
            } else {
                event(s, events[i].data.ptr, events[i].events);
            }
        }
    }
}

static int fail(const char *what)
{
    (void)fprintf(stderr, "faulty: cannot %s: %s\n", what, strerror(errno));
    return 1;
}

static int listen_on(struct server *s, const char *address, unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof(in);
    int on = 1;
    struct epoll_event e = {.events = EPOLLIN};
    if (inet_pton(AF_INET, address, &in.sin_addr) != 1) {
        errno = EINVAL;
        return fail("read the address");
    }
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->epoll < 0 || s->listener < 0 ||
        setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(s->listener, (struct sockaddr *)&in, sizeof(in)) != 0 ||
        listen(s->listener, 1024) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&in, &length) != 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &e) != 0) {
        return fail("listen");
    }
    (void)printf("faulty: listening on %s:%u\n", address, (unsigned)ntohs(in.sin_port));
    (void)fflush(stdout);
    return 0;
}

static int usage(void)
{
    (void)fputs("usage: faulty [--port N] [--listen ADDRESS] [--virtual-rate N] [--fault QUERY]\n",
                stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static struct server s;
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"virtual-rate", required_argument, NULL, 'r'},
                                            {"fault", required_argument, NULL, 'f'},
                                            {NULL, 0, NULL, 0}};
    const char *address = "127.0.0.1";
    unsigned long port = 0;
    char query[256];
    char wrong[128];
    int exits = -1;
    int option = 0;
    faults_init(&s.faults, clock_ns(CLOCK_MONOTONIC));
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        query[0] = '\0';
        if (option == 'p') {
            port = strtoul(optarg, NULL, 10);
        } else if (option == 'l') {
            address = optarg;
        } else if (option == 'r' || option == 'f') {
            (void)snprintf(query, sizeof(query), "%s%s", option == 'r' ? "rate=" : "", optarg);
        } else {
            return usage();
        }
        if (!faults_apply(&s.faults, query, clock_ns(CLOCK_MONOTONIC), &exits, wrong,
                          sizeof(wrong))) {
            (void)fprintf(stderr, "faulty: cannot apply '%s'\n", wrong);
            return usage();
        }
    }
    if (optind != argc || port > 65535) {
        return usage();
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (listen_on(&s, address, (unsigned)port) != 0) {
        return 1;
    }
    serve(&s);
    return 0;
}
