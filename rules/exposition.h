/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exposition.h: reads Prometheus text 0.0.4 and OpenMetrics 1.0, one page, one sample at a time.
 *
 * The reader walks the page in place and allocates nothing. Only lines whose metric is wanted are
 * read in full; of every other line just the shape is checked, so that a page of 2,000 series costs
 * some tens of microseconds and a page that is no exposition at all is still an error with line and
 * column.
 */
#ifndef RULES_EXPOSITION_H
#define RULES_EXPOSITION_H

#include "base/error.h"
#include "rules/labels.h"

struct exposition_name {
    const char *text; /* a metric's name as its samples have it, e.g. "http_requests_total" */
    size_t len;
};

struct exposition_sample {
    const char *series; /* "name{a=\"b\"}" as it stands in the page */
    size_t series_len;
    unsigned line;
    bool expected; /* it is the series announced by exposition_expect */
    double value;
    bool has_timestamp;
    int64_t timestamp_ms;
};

struct exposition {
    const char *page;
    const char *end;
    const char *at; /* the next line */
    unsigned line;  /* of the last line read, 1-based */
    bool openmetrics;
    bool ended; /* OpenMetrics: "# EOF" was seen */
    const struct exposition_name *names;
    size_t name_count;
    bool all;
    const char *last_name; /* the metric of the line before, for the fast path */
    size_t last_name_len;
    bool last_wanted;
    const char *expect;
    size_t expect_len;
};

/* Starts reading `page`, which outlives the reader. Samples of the `count` names are returned; all
 * of them when `names` is NULL. */
void exposition_init(struct exposition *e, const char *page, size_t len, bool openmetrics,
                     const struct exposition_name *names, size_t count);
/* Announces the series text that probably comes next: when it does, it is not scanned again. NULL
 * and 0: no idea. The text was a sample's `series` before. */
void exposition_expect(struct exposition *e, const char *series, size_t len);
/* The next wanted sample. Returns 1 with *ret, 0 at the end of a page in good order, or -EINVAL
 * with line, column and what was expected. */
int exposition_next(struct exposition *e, struct exposition_sample *ret, struct error *err);

/* Parses a series text into `ret`, sorted, with `__name__`; texts go to `scratch`, which needs
 * 2 * len + 16 bytes. Returns 0 or -EINVAL with the column relative to `series` (line 0). */
int exposition_labels(const char *series, size_t len, struct labels *ret, char *scratch,
                      struct error *err);

#endif
