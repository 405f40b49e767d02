/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h: one line on stderr that says how far a transfer is, on terminals only.
 */
#ifndef WATCHDOG_PROGRESS_H
#define WATCHDOG_PROGRESS_H

#include "base/base.h"

struct progress {
    bool on;
    bool colour;
    int width;          /* of the terminal */
    int64_t started_ms; /* monotonic */
    int64_t drawn_ms;
    int64_t first; /* bytes that were there already */
    int64_t total; /* bytes in all, 0: unknown */
};

/* Starts a bar; it stays off without a terminal on stderr, with TERM=dumb, or when `wanted` is
 * false. NO_COLOR turns colour off. */
void progress_init(struct progress *p, int64_t first, int64_t total, bool wanted);
/* Draws at most ten times a second. */
void progress_update(struct progress *p, int64_t done);
/* Wipes the line. */
void progress_clear(struct progress *p);
/* The line itself for a terminal of `width` columns: a pure function, for tests. `rate` is in
 * bytes per second, 0 when not known yet. Returns `out`. */
char *progress_line(int64_t done, int64_t total, double rate, int width, char *out, size_t size);

#endif
