/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h: one GET, for a program that has network and nothing else.
 */
#ifndef WATCHDOG_FETCH_H
#define WATCHDOG_FETCH_H

#include "base/error.h"

/* Exit statuses of incidentd-fetch; collectors and the manifest tell them apart. */
enum fetch_end {
    FETCH_DONE = 0,
    FETCH_USAGE = 1,
    FETCH_BUSY = 2,       /* HTTP 500: Go's profiler is in use by somebody else */
    FETCH_STATUS = 3,     /* any other HTTP status than 200 */
    FETCH_CONNECTION = 4, /* DNS, connect, or the connection broke */
    FETCH_TIMED_OUT = 5,
    FETCH_TOO_LARGE = 6,
};

struct fetch_options {
    const char *url;       /* http:// or https:// */
    int64_t timeout_ms;    /* of the whole transfer; connecting has one second of it */
    int64_t max_bytes;     /* what came before is kept, then it ends FETCH_TOO_LARGE */
    int64_t retry_busy_ms; /* while the answer is busy, ask again for so long */
};

/* GETs the URL and writes the body to `out_fd`; a partial body stays. No redirect is followed, no
 * proxy used. FETCH_DONE, or another end with err in one line. Bodies of answers other than 200 go
 * into err (their beginning), never to out_fd. */
enum fetch_end fetch_run(const struct fetch_options *options, int out_fd, struct error *err);

#endif
