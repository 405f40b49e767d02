/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does reading a page cost? A watch with one SLO rule is fed a generated page of 242 KB (2,000
 * series, of which 10 are meant) and one of 10 MB, and a rule that means every series besides.
 * Prints the time per page and MB/s; compare with other parsers in the same run only.
 */
#include <time.h>

#include "rules/watch.h"

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A page of about `bytes`, of lines as client libraries write them (121 bytes in the mean). */
static void generate(struct buf *page, size_t bytes, uint64_t tick)
{
    buf_clear(page);
    for (unsigned i = 0; i < 10; i++) {
        (void)buf_addf(
            page, "http_requests_total{code=\"%u\",method=\"GET\",route=\"/api/v1/r%u\"} %llu\n",
            i % 5 == 0 ? 503U : 200U, i, (unsigned long long)(tick * 100));
    }
    for (unsigned family = 0; page->len < bytes; family++) {
        (void)buf_addf(page,
                       "# HELP request_duration_seconds_%u Latency.\n"
                       "# TYPE request_duration_seconds_%u histogram\n",
                       family, family);
        for (unsigned i = 0; i < 40 && page->len < bytes; i++) {
            (void)buf_addf(page,
                           "request_duration_seconds_%u_bucket{instance=\"10.0.0.%u:8080\","
                           "handler=\"/api/v1/query\",method=\"GET\",le=\"%u.5\"} %llu\n",
                           family, i % 7, i, (unsigned long long)(tick * 1000 + i));
        }
    }
}

static void ignore(const struct watch_event *event, void *arg)
{
    (void)event;
    (void)arg;
}

static int measure(const char *what, const char *total, size_t bytes, unsigned rounds)
{
    const struct slo_options slo = {.objective = 0.999,
                                    .bad = "http_requests_total{code=~\"5..\"}",
                                    .total = total,
                                    .look_back_ms = 30000};
    const struct watch_rule rule = {"availability", WATCH_SLO, &slo, 0, 60000};
    struct watch *w = NULL;
    struct error err = ERROR_INIT;
    if (watch_new(&rule, 1, 1000, &w, &err) < 0) {
        (void)fprintf(stderr, "bench_exposition: %s\n", err.message);
        return 1;
    }
    AUTO_BUF struct buf page = BUF_INIT(32 << 20);
    double best = 1e9;
    double sum = 0.0;
    for (unsigned i = 0; i < rounds; i++) {
        generate(&page, bytes, i);
        double begin = now_s();
        if (watch_page(w, 1000 * (int64_t)(i + 1), page.data, page.len, false, &err) < 0) {
            (void)fprintf(stderr, "bench_exposition: %u:%u: %s\n", err.line, err.column,
                          err.message);
            watch_free(w);
            return 1;
        }
        watch_evaluate(w, 1000 * (int64_t)(i + 1), ignore, NULL);
        double took = now_s() - begin;
        sum += i > 0 ? took : 0.0; /* the first page is new to it */
        best = took < best ? took : best;
    }
    double mean = sum / (rounds - 1);
    printf("%-34s %9zu bytes: mean %8.1f us, best %8.1f us, %7.0f MB/s, %zu series, %zu KiB\n",
           what, page.len, mean * 1e6, best * 1e6, (double)page.len / mean / 1e6,
           watch_series_count(w), watch_memory_bytes(w) / 1024);
    watch_free(w);
    return 0;
}

int main(void)
{
    return measure("2,000 series, 10 meant", "http_requests_total", 242000, 200) |
           measure("10 MB, 10 meant", "http_requests_total", 10000000, 20) |
           measure("2,000 series, all meant", "{__name__=~\".+\"}", 242000, 100) |
           measure("5 MB, all meant", "{__name__=~\".+\"}", 5000000, 20);
}
