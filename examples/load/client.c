/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL
#define TICK_NS 1000000LL /* requests due within one tick go out together */
#define ANSWER_MAX 16384

struct connection {
    int fd;
    bool busy;
    int64_t due_ns; /* of the request under way */
    uint32_t used;
    char in[ANSWER_MAX];
};

struct client {
    struct client_options options;
    int epoll;
    struct connection *all;
    unsigned *idle; /* stack of free connections */
    unsigned idle_count;
    double rate;
    int64_t start_ns;
    int64_t wall_offset_ns; /* CLOCK_REALTIME minus CLOCK_MONOTONIC, at the schedule's start */
    uint64_t sent;          /* of this schedule */
    unsigned number;
};

int64_t client_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

/* Logarithmic buckets of microseconds, each octave in CLIENT_SUBBUCKETS parts: 3 % wide. */
static unsigned bucket_of(int64_t ns)
{
    uint64_t us = ns < 1000 ? 1 : (uint64_t)ns / 1000;
    unsigned octave = 63U - (unsigned)__builtin_clzll(us);
    uint64_t within = ((us << 10) >> octave) - 1024; /* 0..1023 */
    unsigned i = octave * CLIENT_SUBBUCKETS + (unsigned)(within * CLIENT_SUBBUCKETS / 1024);
    return i < CLIENT_BUCKETS ? i : CLIENT_BUCKETS - 1;
}

double client_percentile(const struct client_counts *counts, double share)
{
    uint64_t all = 0;
    uint64_t below = 0;
    for (unsigned i = 0; i < CLIENT_BUCKETS; i++) {
        all += counts->latency[i];
    }
    for (unsigned i = 0; i < CLIENT_BUCKETS && all > 0; i++) {
        below += counts->latency[i];
        if ((double)below >= share * (double)all) {
            double octave = (double)(1ULL << (i / CLIENT_SUBBUCKETS));
            return octave * (1 + (i % CLIENT_SUBBUCKETS + 1.0) / CLIENT_SUBBUCKETS) / 1000;
        }
    }
    return 0;
}

static bool reconnect(struct client *c, struct connection *n)
{
    if (n->fd >= 0) {
        (void)close(n->fd);
    }
    n->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    n->used = 0;
    int on = 1;
    if (n->fd < 0 ||
        connect(n->fd, (struct sockaddr *)&c->options.address, sizeof(c->options.address)) != 0) {
        return false;
    }
    (void)setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)(n - c->all)};
    return epoll_ctl(c->epoll, EPOLL_CTL_ADD, n->fd, &e) == 0;
}

struct client *client_new(const struct client_options *options)
{
    struct client *c = calloc(1, sizeof(*c));
    struct connection *all = calloc(options->connections, sizeof(*all));
    unsigned *idle = calloc(options->connections, sizeof(*idle));
    if (c == NULL || all == NULL || idle == NULL) {
        abort();
    }
    *c = (struct client){.options = *options, .all = all, .idle = idle};
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < options->connections; i++) {
        all[i].fd = -1;
    }
    for (unsigned i = 0; i < options->connections; i++) {
        if (!reconnect(c, &all[i])) {
            int saved = errno;
            client_free(c);
            errno = saved;
            return NULL;
        }
        c->idle[c->idle_count++] = i;
    }
    return c;
}

void client_free(struct client *c)
{
    if (c == NULL) {
        return;
    }
    for (unsigned i = 0; i < c->options.connections; i++) {
        if (c->all[i].fd >= 0) {
            (void)close(c->all[i].fd);
        }
    }
    (void)close(c->epoll);
    free(c->all);
    free(c->idle);
    free(c);
}

static void ended(struct client *c, struct connection *n, unsigned code,
                  struct client_counts *counts)
{
    counts->ended++;
    counts->latency[bucket_of(client_now() - n->due_ns)]++;
    if (code == 0) {
        counts->lost++;
    } else {
        counts->code[code]++;
    }
    n->busy = false;
    n->used = 0;
    c->idle[c->idle_count++] = (unsigned)(n - c->all);
}

static void lost(struct client *c, struct connection *n, struct client_counts *counts)
{
    bool busy = n->busy;
    (void)reconnect(c, n); /* if that fails, the next send fails and comes here again */
    if (busy) {
        ended(c, n, 0, counts);
    }
}

/* Status of the whole answer in the buffer; 0: not whole yet; 1000: not HTTP with a length. */
static unsigned answer_code(struct connection *n)
{
    n->in[n->used] = '\0';
    const char *end = strstr(n->in, "\r\n\r\n");
    if (end == NULL) {
        return n->used + 1 < ANSWER_MAX ? 0 : 1000;
    }
    const char *length = strcasestr(n->in, "\r\ncontent-length:");
    unsigned long code = strncmp(n->in, "HTTP/1.", 7) == 0 ? strtoul(n->in + 9, NULL, 10) : 0;
    if (length == NULL || length > end || code < 100 || code > 599) {
        return 1000;
    }
    unsigned long want = (unsigned long)(end + 4 - n->in) + strtoul(length + 17, NULL, 10);
    if (want >= ANSWER_MAX) {
        return 1000;
    }
    return n->used >= want ? (unsigned)code : 0;
}

static void readable(struct client *c, struct connection *n, struct client_counts *counts)
{
    ssize_t got = recv(n->fd, n->in + n->used, ANSWER_MAX - 1 - n->used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0 || !n->busy) {
        lost(c, n, counts);
        return;
    }
    n->used += (uint32_t)got;
    unsigned code = answer_code(n);
    if (code == 1000) {
        lost(c, n, counts);
    } else if (code != 0) {
        ended(c, n, code, counts);
    }
}

static void send_due(struct client *c, int64_t now_ns, struct client_counts *counts)
{
    while (c->idle_count > 0) {
        int64_t due_ns = c->start_ns + (int64_t)((double)c->sent * 1e9 / c->rate);
        if (due_ns > now_ns) {
            return;
        }
        struct connection *n = &c->all[c->idle[--c->idle_count]];
        char text[1300];
        c->number = c->number * 1664525U + 1013904223U; /* spreads over the items */
        int64_t wall_us = (due_ns + c->wall_offset_ns) / 1000;
        int length = snprintf(text, sizeof(text), "%s%u%sX-Request-Start: t=%lld.%06lld\r\n\r\n",
                              c->options.before, c->number >> 12, c->options.after,
                              (long long)(wall_us / 1000000), (long long)(wall_us % 1000000));
        c->sent++;
        n->busy = true;
        n->due_ns = due_ns;
        if (send(n->fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) != length) {
            lost(c, n, counts);
            return; /* one failure a tick: a dead service must not keep us spinning */
        }
    }
}

static void expire(struct client *c, int64_t now_ns, struct client_counts *counts)
{
    for (unsigned i = 0; i < c->options.connections; i++) {
        struct connection *n = &c->all[i];
        if (n->busy && now_ns - n->due_ns > c->options.timeout_ns) {
            lost(c, n, counts);
        }
    }
}

static void wait_and_read(struct client *c, int64_t wait_ns, struct client_counts *counts)
{
    struct epoll_event events[256];
    struct timespec wait = {.tv_nsec = wait_ns < 0 ? 0 : wait_ns};
    int n = epoll_pwait2(c->epoll, events, 256, &wait, NULL);
    for (int i = 0; i < n; i++) {
        readable(c, &c->all[events[i].data.u32], counts);
    }
}

bool client_run(struct client *c, double rate, int64_t end_ns, const volatile bool *stop,
                struct client_counts *counts)
{
    int64_t now_ns = client_now();
    int64_t expired_ns = now_ns;
    int64_t tick_ns = now_ns;
    if (c->rate != rate) { /* NOLINT: a change, not a comparison of results */
        c->rate = rate;
        struct timespec wall;
        (void)clock_gettime(CLOCK_REALTIME, &wall);
        c->start_ns = now_ns;
        c->wall_offset_ns = (int64_t)wall.tv_sec * SECOND_NS + wall.tv_nsec - client_now();
        c->sent = 0;
    }
    while (now_ns < end_ns && !*stop) {
        if (now_ns >= tick_ns) {
            send_due(c, now_ns, counts);
            tick_ns = now_ns + TICK_NS;
        }
        wait_and_read(c, tick_ns - client_now(), counts);
        now_ns = client_now();
        if (now_ns - expired_ns > SECOND_NS / 10) {
            expire(c, now_ns, counts);
            expired_ns = now_ns;
        }
    }
    return *stop;
}

void client_drain(struct client *c, int64_t end_ns, struct client_counts *counts)
{
    while (c->idle_count < c->options.connections && client_now() < end_ns) {
        wait_and_read(c, TICK_NS, counts);
    }
    struct client_counts given_up = {0};
    for (unsigned i = 0; i < c->options.connections; i++) {
        if (c->all[i].busy) {
            lost(c, &c->all[i], &given_up);
        }
    }
    c->rate = 0;
}
