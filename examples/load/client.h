/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h: sends requests on a schedule over kept-alive connections and says how each ended.
 *
 * Open loop: request i is due at start + i / rate, whatever became of the others, and its latency
 * counts from then. A request that finds no free connection waits for one, and the wait counts.
 */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define CLIENT_SUBBUCKETS 32
#define CLIENT_BUCKETS (24 * CLIENT_SUBBUCKETS)

/* What came of the requests that ended in some span of time. */
struct client_counts {
    uint64_t code[600]; /* by HTTP status */
    uint64_t lost;      /* no answer: timed out, or the connection broke */
    uint64_t ended;     /* sum of the above */
    uint32_t latency[CLIENT_BUCKETS];
};

struct client;

struct client_options {
    struct sockaddr_in address;
    const char *before; /* the request's text up to its number, and after it; the
                         * client adds X-Request-Start and the empty line */
    const char *after;
    unsigned connections;
    int64_t timeout_ns;
};

/* A client with its connections open, or NULL with errno set. The options are copied, the request's
 * text is not. */
struct client *client_new(const struct client_options *options);
void client_free(struct client *c);

/* Sends `rate` requests a second from now until `end_ns` of CLOCK_MONOTONIC (at most), and adds
 * what ended to `counts`. Returns early, with true, when `*stop` becomes true. The schedule goes on
 * where the last call left it if the rate is the same. */
bool client_run(struct client *c, double rate, int64_t end_ns, const volatile bool *stop,
                struct client_counts *counts);

/* Sends nothing more and waits until all that is under way has ended, at most until `end_ns`. What
 * is still under way is given up, uncounted, and the next client_run begins a new schedule. */
void client_drain(struct client *c, int64_t end_ns, struct client_counts *counts);

/* The latency in milliseconds that a share of the requests stayed below; 0 if none ended. */
double client_percentile(const struct client_counts *counts, double share);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t client_now(void);

#endif
