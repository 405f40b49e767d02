/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h: the door of the room `rules/`: pages and times in, decisions out.
 *
 * The room is pure: no socket, no clock, no thread, no file. A `struct watch` holds one target's
 * series and the states of its rules. The caller feeds it each poll's page (or its failure) with
 * the time of the poll, and what it knows of the process; watch_evaluate() then says which rules
 * changed state, in counts a person can check.
 *
 *   exposition.h  the text formats      selector.h  which series a rule means   series.h  samples
 * by time binomial.h    exact tails           burst.h     the fast tier               alert.h
 * inactive..resolved
 */
#ifndef RULES_WATCH_H
#define RULES_WATCH_H

#include "base/buf.h"
#include "base/error.h"
#include "base/schema.h"

/* The `slo:` block of a rule. Filled by slo_table. Exactly two of good, bad, total are set, total
 * among them. */
struct slo_options {
    bool present;
    double objective;           /* 0 < objective < 1 */
    const char *good;           /* selector */
    const char *bad;            /* selector */
    const char *total;          /* selector */
    int64_t look_back_ms;       /* the longest window of the fast tier */
    struct schema_strings by;   /* label names for the breakdown */
    const char *false_captures; /* budget "N/duration", e.g. "1/30d" */
    int64_t period_ms;
};
extern const struct schema_table slo_table;

enum watch_kind {
    WATCH_SLO,         /* the fast tier over slo_options */
    WATCH_SOURCE_DOWN, /* three polls in a row missed while the process lives (or is not known to be
                          dead) */
    WATCH_TARGET_EXITED, /* the process is gone */
    WATCH_TRAFFIC_LOST,  /* total below a tenth of its own healthy mean over look_back */
};

enum watch_grade { WATCH_NONE, WATCH_LIGHT, WATCH_FULL };

struct watch_rule {
    const char *name;
    enum watch_kind kind;
    const struct slo_options *slo; /* WATCH_SLO and WATCH_TRAFFIC_LOST; outlives the watch */
    int64_t for_ms;                /* pending this long before firing; 0: at once */
    int64_t keep_firing_for_ms;    /* quiet this long before resolving (60 s) */
};

enum watch_event_kind {
    WATCH_EVENT_PENDING,
    WATCH_EVENT_FIRED,  /* inactive or pending -> firing: grade light or full */
    WATCH_EVENT_RAISED, /* while firing: light became full */
    WATCH_EVENT_DIP,    /* while firing, after at least one quiet evaluation: it is bad again */
    WATCH_EVENT_WORSE,  /* while firing: bad ratio three times that of the last FIRED, RAISED or
                           WORSE */
    WATCH_EVENT_RESOLVED,
};

struct watch_counts {
    double bad;           /* failed events in the window */
    double total;         /* all events in the window */
    int64_t window_ms;    /* the window that fired (or the most significant one) */
    double allowed;       /* bad events the objective allows in it */
    double fires_at;      /* the least bad count that would have fired */
    double ratio;         /* bad / total, 0 when total is 0 */
    double worst_ratio;   /* the highest ratio over one interval since the onset */
    char top_labels[160]; /* breakdown by slo.by: "route=/reserve code=503", "" when none */
    double top_share;     /* share of bad events with top_labels, 0..1 */
    double dispersion;    /* variance over mean of bad counts while healthy, >= 1 */
};

struct watch_event {
    enum watch_event_kind kind;
    size_t rule; /* index into the rules given to watch_new */
    enum watch_grade grade;
    int64_t at_ms;    /* wall time of the evaluation */
    int64_t onset_ms; /* wall time at which the interval of the first bad poll began */
    struct watch_counts counts;
    char summary[320]; /* "52 of 1,000 failed in 1 s; the objective allows 1; 9 or more fires" */
};

enum watch_state { WATCH_INACTIVE, WATCH_STATE_PENDING, WATCH_FIRING };

/* The live state of one rule for the API. */
struct watch_status {
    enum watch_state state;
    enum watch_grade grade;
    bool unknown;     /* nothing could be decided at the last evaluation */
    int64_t since_ms; /* wall time of the last change of state */
    struct watch_counts counts;
    char missing[200]; /* what is missing: "no series matches 'http_requests_total{...}'", "" when
                          nothing */
    char summary[320];
};

struct watch;

/* A watch over `count` rules polled each `interval_ms`. `rules` and what it points to outlive the
 * watch. Returns 0 and *ret (freed by watch_free), or -EINVAL naming the rule and the selector. */
int watch_new(const struct watch_rule *rules, size_t count, int64_t interval_ms, struct watch **ret,
              struct error *err);
void watch_free(struct watch *w);

/* A page arrived at wall_ms. Samples without a timestamp get wall_ms. Only series that some rule
 * selects are kept. Returns 0; a page that is not the text format is a miss: -EINVAL with line and
 * column, and nothing of it counts. */
int watch_page(struct watch *w, int64_t wall_ms, const char *page, size_t len, bool openmetrics,
               struct error *err);
/* A poll failed at wall_ms: the interval is unknown, neither good nor bad. */
void watch_miss(struct watch *w, int64_t wall_ms);
/* The process was seen alive (true) or gone (false). Gone is reported once per life. `start_ms` is
 * the wall time of its start, so that counters of a new life begin at zero. */
void watch_process(struct watch *w, int64_t wall_ms, bool alive, int64_t start_ms);
/* While set (startup grace, draining), evaluation records and learns nothing and no rule leaves
 * inactive. */
void watch_hold(struct watch *w, bool hold);

/* Evaluates every rule at wall_ms and calls `emit` for each change, in rule order. */
void watch_evaluate(struct watch *w, int64_t wall_ms,
                    void (*emit)(const struct watch_event *event, void *arg), void *arg);
void watch_status_of(const struct watch *w, size_t rule, int64_t wall_ms, struct watch_status *ret);

/* What must survive a restart (learned dispersion and healthy traffic), as a JSON object;
 * watch_load ignores what it does not know and returns -EINVAL on garbage, leaving the watch as it
 * was. */
void watch_save(const struct watch *w, struct buf *out);
int watch_load(struct watch *w, const char *json, size_t len, struct error *err);

/* Bytes held by series and states, and the number of series, for the own metrics. */
size_t watch_memory_bytes(const struct watch *w);
size_t watch_series_count(const struct watch *w);

#endif
