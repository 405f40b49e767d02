/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: an open-loop load generator.
 *
 *   load --port N [--address A] [--path P] --rate R [--duration S]
 *   load --port N [--address A] [--path P] --calibrate [--deadline MS]
 *
 *   --rate R        requests a second; each second a line says what came of them
 *   --duration S    seconds; 0, the default, is until SIGINT or SIGTERM
 *   --calibrate     finds the capacity: the highest rate at which 99 % are answered within the
 *                   deadline and at most 0.1 % fail. The last line is "capacity N"
 *   --deadline MS   default 50
 *   --path P        default /reserve?item=%u; its %u becomes another number in each request
 *   --method M      default POST
 *   --connections N default 512
 *   --timeout MS    an answer later than this counts as lost, default 2000
 *   --quiet         only the last line
 *
 * Open loop means that a slow service does not slow the clients: requests are due at fixed times,
 * and latencies count from then, not from when a connection was free (a closed loop would hide just
 * the lateness one is looking for). Answers need a Content-Length of less than 16 KB.
 *
 * Each request carries X-Request-Start, the time it was due, as a proxy adds it that then looks for
 * a free connection.
 *
 * Exit status: 0 done, 1 cannot connect, 2 usage.
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000LL

struct options {
    const char *address;
    unsigned port;
    const char *path;
    const char *method;
    double rate;
    double duration_s;
    double deadline_ms;
    bool calibrate;
    bool quiet;
    unsigned connections;
    long timeout_ms;
};

static volatile bool stop;

static void on_signal(int number)
{
    (void)number;
    stop = true;
}

static void add(struct client_counts *to, const struct client_counts *from)
{
    for (unsigned i = 0; i < 600; i++) {
        to->code[i] += from->code[i];
    }
    for (unsigned i = 0; i < CLIENT_BUCKETS; i++) {
        to->latency[i] += from->latency[i];
    }
    to->lost += from->lost;
    to->ended += from->ended;
}

static uint64_t good(const struct client_counts *counts)
{
    uint64_t n = 0;
    for (unsigned i = 100; i < 400; i++) {
        n += counts->code[i];
    }
    return n;
}

static void print(const char *head, const struct client_counts *counts)
{
    (void)printf("%s  ended %llu ", head, (unsigned long long)counts->ended);
    for (unsigned i = 0; i < 600; i++) {
        if (counts->code[i] > 0) {
            (void)printf(" %u:%llu", i, (unsigned long long)counts->code[i]);
        }
    }
    if (counts->lost > 0) {
        (void)printf(" lost:%llu", (unsigned long long)counts->lost);
    }
    (void)printf("  p50 %.1f  p99 %.1f  p99.9 %.1f ms", client_percentile(counts, 0.5),
                 client_percentile(counts, 0.99), client_percentile(counts, 0.999));
    double all = counts->ended > 0 ? (double)counts->ended : 1;
    (void)printf("  availability %.5f\n", (double)good(counts) / all);
    (void)fflush(stdout);
}

static void run(struct client *c, const struct options *o)
{
    static struct client_counts total;
    int64_t start_ns = client_now();
    bool ended = false;
    for (unsigned second = 1; !ended && !stop; second++) {
        static struct client_counts counts;
        char head[32];
        counts = (struct client_counts){0};
        double until_s = second;
        if (o->duration_s > 0 && until_s >= o->duration_s) {
            until_s = o->duration_s;
            ended = true;
        }
        (void)client_run(c, o->rate, start_ns + (int64_t)(until_s * 1e9), &stop, &counts);
        (void)snprintf(head, sizeof(head), "%4u s", second);
        if (!o->quiet) {
            print(head, &counts);
        }
        add(&total, &counts);
    }
    client_drain(c, client_now() + SECOND_NS, &total);
    print("total ", &total);
}

/* One second at a rate, after a short warm-up that does not count. */
static bool holds(struct client *c, const struct options *o, double rate)
{
    static struct client_counts counts;
    static struct client_counts warm;
    counts = (struct client_counts){0};
    (void)client_run(c, rate, client_now() + SECOND_NS * 3 / 10, &stop, &warm);
    int64_t start_ns = client_now();
    (void)client_run(c, rate, start_ns + SECOND_NS, &stop, &counts);
    double done = (double)counts.ended;
    double p99_ms = client_percentile(&counts, 0.99);
    double failed = done - (double)good(&counts);
    bool held = p99_ms < o->deadline_ms && failed <= done / 1000 && done >= rate * 0.97;
    client_drain(c, client_now() + SECOND_NS / 2, &warm);
    if (!o->quiet) {
        (void)printf("%7.0f/s  p99 %.1f ms  failed %.0f  %s\n", rate, p99_ms, failed,
                     held ? "holds" : "does not hold");
        (void)fflush(stdout);
    }
    return held;
}

static void calibrate(struct client *c, const struct options *o)
{
    double low = 0;
    double high = 500;
    (void)holds(c, o, 300); /* warms caches and the runtime */
    while (!stop && high < 1e6 && (holds(c, o, high) || holds(c, o, high))) {
        low = high;
        high *= 1.6;
    }
    for (int turn = 0; turn < 5 && low > 0 && !stop; turn++) {
        double middle = (low + high) / 2;
        if (holds(c, o, middle)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (void)printf("capacity %.0f\n", low);
}

static int usage(void)
{
    (void)fputs("usage: load --port N (--rate R [--duration S] | --calibrate [--deadline MS])\n"
                "       [--address A] [--path P] [--method M] [--connections N] [--timeout MS] "
                "[--quiet]\n",
                stderr);
    return 2;
}

static bool set(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'a':
        o->address = value;
        return true;
    case 'p':
        o->port = (unsigned)strtoul(value, NULL, 10);
        return o->port > 0 && o->port < 65536;
    case 'P':
        o->path = value;
        return strlen(value) < 512 && strstr(value, "%u") != NULL;
    case 'm':
        o->method = value;
        return strlen(value) < 16;
    case 'r':
        o->rate = strtod(value, NULL);
        return o->rate > 0 && o->rate < 1e6;
    case 'd':
        o->duration_s = strtod(value, NULL);
        return o->duration_s >= 0 && o->duration_s < 1e6;
    case 'D':
        o->deadline_ms = strtod(value, NULL);
        return o->deadline_ms > 0;
    case 'n':
        o->connections = (unsigned)strtoul(value, NULL, 10);
        return o->connections > 0 && o->connections <= 10000;
    case 't':
        o->timeout_ms = strtol(value, NULL, 10);
        return o->timeout_ms > 0;
    case 'c':
        return o->calibrate = true;
    case 'q':
        return o->quiet = true;
    default:
        return false;
    }
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"address", required_argument, NULL, 'a'},  {"port", required_argument, NULL, 'p'},
        {"path", required_argument, NULL, 'P'},     {"method", required_argument, NULL, 'm'},
        {"rate", required_argument, NULL, 'r'},     {"duration", required_argument, NULL, 'd'},
        {"deadline", required_argument, NULL, 'D'}, {"connections", required_argument, NULL, 'n'},
        {"timeout", required_argument, NULL, 't'},  {"calibrate", no_argument, NULL, 'c'},
        {"quiet", no_argument, NULL, 'q'},          {NULL, 0, NULL, 0}};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (!set(o, option, optarg)) {
            return false;
        }
    }
    return optind == argc && o->port != 0 && o->calibrate == (o->rate <= 0);
}

int main(int argc, char **argv)
{
    struct options o = {.address = "127.0.0.1",
                        .path = "/reserve?item=%u",
                        .method = "POST",
                        .deadline_ms = 50,
                        .connections = 512,
                        .timeout_ms = 2000};
    char before[600];
    char after[600];
    struct client_options options = {
        .address = {.sin_family = AF_INET}, .before = before, .after = after};
    if (!read_options(argc, argv, &o) ||
        inet_pton(AF_INET, o.address, &options.address.sin_addr) != 1) {
        return usage();
    }
    const char *number = strstr(o.path, "%u"); /* set() made sure */
    (void)snprintf(before, sizeof(before), "%s %.*s", o.method, (int)(number - o.path), o.path);
    (void)snprintf(after, sizeof(after), "%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n",
                   number + 2, o.address);
    options.address.sin_port = htons((uint16_t)o.port);
    options.connections = o.connections;
    options.timeout_ns = o.timeout_ms * 1000000LL;
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    struct client *c = client_new(&options);
    if (c == NULL) {
        (void)fprintf(stderr, "load: cannot connect to %s:%u: %s\n", o.address, o.port,
                      strerror(errno));
        return 1;
    }
    if (o.calibrate) {
        calibrate(c, &o);
    } else {
        run(c, &o);
    }
    client_free(c);
    return 0;
}
