/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c: report.json, written once and read by incidentctl, the page and the messages.
 *
 * The headline is one line that stands alone: what grew, how fast, who. It is "" when there is
 * nothing to say, never a guess. Rows are cut at ROWS_MAX; what is cut is counted ("rows_left"), so
 * that nobody takes the table for the whole.
 */
#include "report/explain.h"

#include "report/heap_growth.h"

#include <errno.h>

enum { ROWS_MAX = 500 };

struct problems {
    char texts[2][384];
    size_t count;
};

/* Parses one profile, or notes why not; NULL when there is none. */
static struct pprof *read_profile(const void *bytes, size_t len, const char *path,
                                  struct problems *problems)
{
    struct pprof *p = NULL;
    struct error err = ERROR_INIT;
    if (bytes != NULL && pprof_parse(bytes, len, &p, &err) < 0) {
        (void)snprintf(problems->texts[problems->count++], sizeof(problems->texts[0]),
                       "'%.100s': %.250s", path, err.message);
    }
    return p;
}

/* Appends who is to blame: "92 % by main.(*lfuCache).Get (in bytes.growSlice)". */
static void add_blame(const struct heap_growth_blame *b, struct buf *out)
{
    if (b->function[0] == '\0') {
        return;
    }
    (void)buf_addf(out, ", %.0f %% by %.200s", b->share * 100, b->function);
    if (strcmp(b->function, b->leaf) != 0) {
        (void)buf_addf(out, " (in %.200s)", b->leaf);
    }
}

static void headline(const struct heap_growth *g, bool growth, double seconds, struct buf *out)
{
    char now[32];
    char grown[32];
    (void)heap_growth_bytes_text(g->to_bytes, false, now, sizeof(now));
    if (!growth) {
        (void)buf_addf(out, "heap: %s in use", now);
        add_blame(&g->blame, out);
        return;
    }
    int64_t bytes = g->to_bytes - g->from_bytes;
    (void)heap_growth_bytes_text(bytes, true, grown, sizeof(grown));
    (void)buf_addf(out, "heap: %s", bytes == 0 ? "no growth" : grown);
    if (seconds > 0) {
        (void)buf_addf(out, seconds < 1 ? " in %.2f s" : " in %.1f s", seconds);
    }
    if (bytes > 0) {
        add_blame(&g->blame, out);
    }
    (void)buf_addf(out, "; %s in use", now);
}

static void add_rows(const struct heap_growth *g, struct buf *out)
{
    size_t shown = g->count < ROWS_MAX ? g->count : ROWS_MAX;
    (void)buf_add_text(out, ",\"rows\":[");
    for (size_t i = 0; i < shown; i++) {
        const struct heap_growth_row *r = &g->rows[i];
        (void)buf_addf(out, "%s{\"function\":\"", i == 0 ? "" : ",");
        (void)buf_add_json(out, r->function);
        (void)buf_addf(out,
                       "\",\"growth_bytes\":%lld,\"growth_objects\":%lld,\"to_bytes\":%lld,"
                       "\"to_objects\":%lld}",
                       (long long)r->growth_bytes, (long long)r->growth_objects,
                       (long long)r->to_bytes, (long long)r->to_objects);
    }
    (void)buf_addf(out, "],\"rows_left\":%zu", g->count - shown);
}

/* Appends the value of "heap_growth". */
static void add_growth(const struct explain_input *in, const struct heap_growth *g, bool growth,
                       double seconds, struct buf *out)
{
    (void)buf_add_text(out, growth ? "{\"from\":\"" : "{\"from\":null,\"to\":\"");
    if (growth) {
        (void)buf_add_json(out, in->from_path);
        (void)buf_add_text(out, "\",\"to\":\"");
    }
    (void)buf_add_json(out, in->to != NULL ? in->to_path : in->from_path);
    (void)buf_addf(
        out,
        "\",\"seconds\":%.3f,\"from_bytes\":%lld,\"to_bytes\":%lld,\"from_objects\":%lld,"
        "\"to_objects\":%lld",
        seconds, (long long)(growth ? g->from_bytes : 0), (long long)g->to_bytes,
        (long long)(growth ? g->from_objects : 0), (long long)g->to_objects);
    add_rows(g, out);
    (void)buf_add_char(out, '}');
}

static double seconds_between(const struct explain_input *in, const struct pprof *from,
                              const struct pprof *to)
{
    if (in->seconds > 0) {
        return in->seconds;
    }
    double a = from == NULL ? 0 : (double)pprof_time_ns(from);
    double b = (double)pprof_time_ns(to);
    return a > 0 && b > a ? (b - a) / 1e9 : 0;
}

static void add_problems(const struct problems *problems, struct buf *out)
{
    (void)buf_add_text(out, ",\"problems\":[");
    for (size_t i = 0; i < problems->count; i++) {
        (void)buf_add_text(out, i == 0 ? "\"" : ",\"");
        (void)buf_add_json(out, problems->texts[i]);
        (void)buf_add_char(out, '"');
    }
    (void)buf_add_text(out, "]}\n");
}

int explain_report(const struct explain_input *in, struct buf *out, struct error *err)
{
    struct problems problems = {.count = 0};
    struct pprof *from = read_profile(in->from, in->from_len, in->from_path, &problems);
    struct pprof *to = read_profile(in->to, in->to_len, in->to_path, &problems);
    struct explain_input used = *in;
    used.to = to == NULL ? NULL : in->to;
    bool growth = from != NULL && to != NULL;
    struct pprof *last = to != NULL ? to : from;
    struct heap_growth *g = NULL;
    struct error why = ERROR_INIT;
    if (last != NULL && heap_growth_new(growth ? from : NULL, last, &g, &why) < 0 &&
        problems.count < ARRAY_LEN(problems.texts)) {
        (void)snprintf(problems.texts[problems.count++], sizeof(problems.texts[0]), "%.380s",
                       why.message);
    }
    struct buf words = BUF_INIT(2048);
    double seconds = g == NULL ? 0 : seconds_between(in, growth ? from : NULL, last);
    if (g != NULL) {
        headline(g, growth, seconds, &words);
    }
    (void)buf_add_text(out, "{\"schema_version\":1,\"headline\":\"");
    (void)buf_add_json(out, buf_text(&words));
    (void)buf_add_text(out, "\",\"heap_growth\":");
    if (g != NULL) {
        add_growth(&used, g, growth, seconds, out);
    } else {
        (void)buf_add_text(out, "null");
    }
    add_problems(&problems, out);
    buf_release(&words);
    heap_growth_free(g);
    pprof_free(from);
    pprof_free(to);
    return buf_failed(out) ? error_set(err, -EMSGSIZE, "the report is larger than its limit") : 0;
}
