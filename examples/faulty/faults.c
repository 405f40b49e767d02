/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double faults_bounds[FAULTS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025,
                                              0.05,  0.1,    0.5,   1.0};

static const char *const page_names[] = {
    [FAULTS_PAGE_NORMAL] = "normal",     [FAULTS_PAGE_OPENMETRICS] = "openmetrics",
    [FAULTS_PAGE_HUGE] = "huge",         [FAULTS_PAGE_ENDLESS] = "endless",
    [FAULTS_PAGE_SLOW] = "slow",         [FAULTS_PAGE_GARBAGE] = "garbage",
    [FAULTS_PAGE_REDIRECT] = "redirect", [FAULTS_PAGE_ERROR] = "error",
    [FAULTS_PAGE_EMPTY] = "empty",       [FAULTS_PAGE_TRUNCATED] = "truncated",
};

void faults_init(struct faults *f, int64_t now_ns)
{
    *f = (struct faults){.error_code = 503, .settled_ns = now_ns};
}

static unsigned bucket_of(double seconds)
{
    unsigned i = 0;
    while (i < FAULTS_BUCKETS && seconds > faults_bounds[i]) {
        i++;
    }
    return i;
}

static void count(struct faults *f, double good, double bad)
{
    double n = good + bad;
    double seconds = (double)f->latency_ms / 1000.0;
    f->good += good;
    f->bad += bad;
    f->bucket[bucket_of(seconds)] += n;
    f->latency_sum += n * seconds;
}

void faults_settle(struct faults *f, int64_t now_ns)
{
    double n = f->rate * (double)(now_ns - f->settled_ns) / 1e9;
    f->settled_ns = now_ns;
    if (!(n > 0)) {
        return;
    }
    count(f, n * (1 - f->error_ratio), n * f->error_ratio);
}

int faults_request(struct faults *f)
{
    f->owed += f->error_ratio;
    if (f->owed < 1.0 - 1e-9) {
        count(f, 1, 0);
        return 200;
    }
    f->owed -= 1.0;
    count(f, 0, 1);
    return (int)f->error_code;
}

static bool number(const char *text, double low, double high, double *ret)
{
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= low && value <= high)) {
        return false;
    }
    *ret = value;
    return true;
}

static bool page_of(const char *text, enum faults_page *ret)
{
    for (unsigned i = 0; i < sizeof(page_names) / sizeof(page_names[0]); i++) {
        if (strcmp(page_names[i], text) == 0) {
            *ret = (enum faults_page)i;
            return true;
        }
    }
    return false;
}

static void forget_counts(struct faults *f)
{
    f->good = f->bad = f->latency_sum = f->owed = 0;
    memset(f->bucket, 0, sizeof(f->bucket));
}

/* One row per fault that is a whole number. */
static bool set_number(struct faults *f, const char *name, const char *value)
{
    const struct {
        const char *name;
        long *field;
        double low;
        double high;
    } rows[] = {
        {"error_code", &f->error_code, 400, 599},
        {"latency_ms", &f->latency_ms, 0, 3600000},
        {"metrics_latency_ms", &f->metrics_latency_ms, 0, 3600000},
        {"pad_series", &f->pad_series, 0, 1000000},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double v = 0;
        if (strcmp(rows[i].name, name) == 0) {
            bool good = number(value, rows[i].low, rows[i].high, &v) && v <= floor(v);
            *rows[i].field = good ? (long)v : *rows[i].field;
            return good;
        }
    }
    return false;
}

static bool set_one(struct faults *f, const char *name, const char *value, int *ret_exit)
{
    double v = 0;
    if (strcmp(name, "error_ratio") == 0) {
        return number(value, 0, 1, &f->error_ratio);
    }
    if (strcmp(name, "rate") == 0) {
        return number(value, 0, 1e9, &f->rate);
    }
    if (strcmp(name, "page") == 0) {
        return page_of(value, &f->page);
    }
    if (strcmp(name, "hang") == 0 && number(value, 0, 1, &v)) {
        f->hang = v > 0;
        return true;
    }
    if (strcmp(name, "reset") == 0 && number(value, 1, 1, &v)) {
        forget_counts(f);
        return true;
    }
    if (strcmp(name, "exit") == 0 && number(value, 0, 255, &v)) {
        *ret_exit = (int)v;
        return true;
    }
    if (strcmp(name, "crash") == 0 && number(value, 1, 1, &v)) {
        *ret_exit = 256;
        return true;
    }
    return set_number(f, name, value);
}

bool faults_apply(struct faults *f, const char *query, int64_t now_ns, int *ret_exit, char *wrong,
                  unsigned long wrong_size)
{
    faults_settle(f, now_ns);
    struct faults changed = *f;
    int exit_code = -1;
    for (const char *at = query; *at != '\0';) {
        char part[128];
        size_t length = strcspn(at, "&");
        (void)snprintf(part, sizeof(part), "%.*s", length < sizeof(part) ? (int)length : 127, at);
        char *equals = strchr(part, '=');
        if (equals != NULL) {
            *equals = '\0';
        }
        if (equals == NULL || !set_one(&changed, part, equals + 1, &exit_code)) {
            (void)snprintf(wrong, wrong_size, "%.*s", length < 127 ? (int)length : 127, at);
            return false;
        }
        at += length + (at[length] == '&' ? 1 : 0);
    }
    *f = changed;
    *ret_exit = exit_code;
    return true;
}
