/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poller.h: one libcurl multi handle on a libuv loop, polling every target's page on time.
 *
 * Never two polls of one target at once. Intervals stretch by themselves so that scraping costs a
 * sick target at most 5 % of its time, and one clear line says so. Pages are bounded
 * (LIMIT_PAGE_BYTES), redirects are not followed, proxies are off, and each poll ends at its
 * timeout whatever the target does.
 */
#ifndef WATCHDOG_POLLER_H
#define WATCHDOG_POLLER_H

#include "base/error.h"

#include <uv.h>

struct poller_target {
    const char *url; /* outlives the poller */
    int64_t interval_ms;
    int64_t timeout_ms;
};

struct poller_result {
    size_t target;
    int64_t wall_ms; /* when the poll began: the samples' time */
    int64_t duration_ms;
    const char *page; /* NULL when the poll failed; valid during the call only */
    size_t len;
    bool openmetrics;
    const struct error *err; /* why it failed: URL, reason, remedy; NULL on success */
};

struct poller_stats {
    uint64_t polls;
    uint64_t failures;
    uint64_t bytes;
    int64_t interval_ms; /* as stretched now */
    int64_t last_ms;     /* duration of the last poll */
    int64_t late_max_ms; /* worst delay of a start against its schedule */
};

struct poller;

struct poller_spec {
    uv_loop_t *loop;
    const struct poller_target *targets; /* copied */
    size_t count;
    void (*done)(const struct poller_result *result, void *arg); /* on the loop, once per poll */
    void *arg;
};

/* Starts polling. 0 and *ret, or an error. */
int poller_start(const struct poller_spec *spec, struct poller **ret, struct error *err);
/* Ends all polls; frees when libuv has closed the handles (the loop must run on). NULL is a no-op.
 */
void poller_stop(struct poller *p);
void poller_stats_of(const struct poller *p, size_t target, struct poller_stats *ret);

#endif
