/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake.h: from a page of one target to what each rule's counters grew by.
 *
 * It owns the series, knows which rule means which of them, and remembers each series' text as the
 * page has it, so that a series is parsed and matched once in its life and recognised by one memcmp
 * afterwards. Counter semantics: a fall is a reset, a series born while the target was being read
 * began at zero, the first page of all is a baseline.
 */
#ifndef RULES_INTAKE_H
#define RULES_INTAKE_H

#include "base/error.h"
#include "rules/selector.h"
#include "rules/series.h"

/* What one rule counts. `part` is its `good` or `bad` selector; NULL when it has none. */
struct intake_rule {
    struct selector *total; /* owned by the intake; NULL: the rule counts nothing */
    struct selector *part;
    bool part_is_good;
};

/* What one page said to one rule. */
struct intake_step {
    bool total_found; /* a series of `total` is in the page */
    bool part_found;  /* a metric of the name in `part` is in the page, or was once */
    double bad;
    double total;
};

struct intake_page {
    const char *text;
    size_t len;
    bool openmetrics;
};

/* Who failed, among the bad events of one rule between two times? */
struct intake_question {
    size_t rule;
    const char *const *by; /* label names */
    size_t by_count;
    int64_t from_ms;
    int64_t to_ms;
};

struct intake;

/* Takes the `count` rules with their selectors. Never NULL. */
struct intake *intake_new(const struct intake_rule *rules, size_t count, int64_t span_ms);
void intake_free(struct intake *in);
/* Reads a page of wall_ms. Returns 1 when `steps`, one per rule, hold what was counted since
 * *ret_from_ms, 0 when the page is only a baseline (steps say what was found), or -EINVAL with line
 * and column; then nothing of it counts. */
int intake_read(struct intake *in, int64_t wall_ms, const struct intake_page *page,
                struct intake_step *steps, int64_t *ret_from_ms, struct error *err);
/* The process began a new life at start_ms (wall): counters of before do not continue. */
void intake_new_life(struct intake *in, int64_t start_ms);
/* The values of the labels asked for that most of the bad events have, as "route=/x code=503" in
 * `out`. Returns their share of all bad events, 0 with "" when there is none. */
double intake_breakdown(const struct intake *in, const struct intake_question *q, char *out,
                        size_t size);
/* Wall time of the last page that was read in this life, 0 when none. */
int64_t intake_last_ms(const struct intake *in);
/* More series were selected than can be kept. */
bool intake_overflowed(const struct intake *in);
size_t intake_series_count(const struct intake *in);
size_t intake_memory_bytes(const struct intake *in);

#endif
