/* SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of both text formats: OpenMetrics names the family without _total and ends with # EOF. */
static void family(FILE *out, const struct faults *f, const char *name, const char *type,
                   const char *help)
{
    size_t length = strlen(name);
    if (f->page == FAULTS_PAGE_OPENMETRICS && strcmp(type, "counter") == 0) {
        length -= strlen("_total");
    }
    (void)fprintf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)length, name, help, (int)length,
                  name, type);
}

static void requests(FILE *out, const struct faults *f)
{
    family(out, f, "http_requests_total", "counter", "Requests answered, by code and route.");
    (void)fprintf(out, "http_requests_total{code=\"200\",method=\"GET\",route=\"/reserve\"} %.0f\n",
                  floor(f->good));
    (void)fprintf(out, "http_requests_total{code=\"%ld\",method=\"GET\",route=\"/reserve\"} %.0f\n",
                  f->error_code, floor(f->bad));
    (void)fprintf(out, "http_requests_total{code=\"200\",method=\"GET\",route=\"/healthz\"} %llu\n",
                  (unsigned long long)f->health);
}

static void latencies(FILE *out, const struct faults *f)
{
    double below = 0;
    family(out, f, "http_request_duration_seconds", "histogram", "Latency of answered requests.");
    for (unsigned i = 0; i < FAULTS_BUCKETS; i++) {
        below += f->bucket[i];
        (void)fprintf(out,
                      "http_request_duration_seconds_bucket{route=\"/reserve\",le=\"%g\"} %.0f\n",
                      faults_bounds[i], floor(below));
    }
    double all = floor(below + f->bucket[FAULTS_BUCKETS]);
    (void)fprintf(out,
                  "http_request_duration_seconds_bucket{route=\"/reserve\",le=\"+Inf\"} %.0f\n"
                  "http_request_duration_seconds_sum{route=\"/reserve\"} %.6f\n"
                  "http_request_duration_seconds_count{route=\"/reserve\"} %.0f\n",
                  all, f->latency_sum, all);
}

/* 121 bytes a line, the mean of a real page. Half of the values move with each scrape. */
static void padding(FILE *out, const struct faults *f)
{
    if (f->pad_series == 0) {
        return;
    }
    family(out, f, "inventory_item_stock", "gauge", "Padding: a page as large as real ones.");
    for (long i = 0; i < f->pad_series; i++) {
        unsigned long long moving = (i & 1) != 0 ? f->scrapes : 0;
        (void)fprintf(out,
                      "inventory_item_stock{warehouse=\"eu-central-%02ld\",aisle=\"%04ld\","
                      "category=\"home\",item=\"item-%08ld\",state=\"free\"} %09llu\n",
                      i % 97, i / 7, i, moving + (unsigned long long)i * 1009ULL);
    }
}

char *page_write(struct faults *f, int64_t now_ns, size_t *ret_length)
{
    char *page = NULL;
    faults_settle(f, now_ns);
    f->scrapes++;
    FILE *out = open_memstream(&page, ret_length);
    if (out == NULL) {
        abort();
    }
    requests(out, f);
    latencies(out, f);
    padding(out, f);
    if (f->page == FAULTS_PAGE_OPENMETRICS) {
        (void)fputs("# EOF\n", out);
    }
    if (fclose(out) != 0) {
        abort();
    }
    return page;
}

const char *page_block(void)
{
    static char block[PAGE_BLOCK + 1];
    if (block[0] != '\0') {
        return block;
    }
    size_t used = 0;
    for (unsigned i = 0; used + 64 < PAGE_BLOCK; i++) {
        used += (size_t)snprintf(block + used, PAGE_BLOCK - used,
                                 "huge_family_bytes{item=\"%06u\"} %u\n", i, i * 7919U);
    }
    block[used++] = '#';
    memset(block + used, ' ', PAGE_BLOCK - used);
    block[PAGE_BLOCK - 1] = '\n';
    return block;
}

const char *page_garbage(void)
{
    static char block[PAGE_BLOCK];
    uint32_t x = 2463534242U;
    for (size_t i = 0; i < PAGE_BLOCK; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        block[i] = (char)(x >> 24);
    }
    return block;
}
