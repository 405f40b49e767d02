/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_metrics.h: what incidentd says of itself, as a page in Prometheus' text format that
 * `promtool check metrics` accepts. Pure but for own_metrics_process.
 */
#ifndef WATCHDOG_OWN_METRICS_H
#define WATCHDOG_OWN_METRICS_H

#include "base/buf.h"
#include "rules/watch.h"

struct own_target {
    const char *name;
    bool up;
    uint64_t polls;
    uint64_t failures;
    uint64_t bytes;
    int64_t interval_ms;
    int64_t late_max_ms;
    size_t series;
};

struct own_rule {
    const char *target;
    const char *rule;
    enum watch_state state;
    double ratio;
};

struct own_metrics {
    const char *version;
    const struct own_target *targets;
    size_t target_count;
    const struct own_rule *rules;
    size_t rule_count;
    uint64_t captures_sealed;
    uint64_t captures_partial;
    uint64_t captures_lost;
    size_t captures_running;
    uint64_t suppressed;
    uint64_t journal_failures;
    size_t bundles;
    int64_t store_bytes;
    int64_t store_free_bytes;
    uint64_t deleted;
    int64_t onset_last_ms; /* from the rule firing to the first collector's request; -1: none yet */
    unsigned generation;
    uint64_t reloads_failed;
    double cpu_s;
    int64_t rss_bytes;
    double start_s; /* Unix time */
};

/* Fills CPU and memory of this process. */
void own_metrics_process(struct own_metrics *m);
/* Appends the page. */
void own_metrics_page(const struct own_metrics *m, struct buf *out);

#endif
