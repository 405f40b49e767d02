/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h: one monotonic clock for order, one anchored wall clock for people.
 *
 * `int64_t *_ms` is milliseconds everywhere. Monotonic time is CLOCK_MONOTONIC. Wall time as the
 * series and the manifest use it is an anchor taken at start plus monotonic time, re-anchored
 * forward only: a step backwards of the system clock can then never make one sample older than the
 * one before it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

/* Size of "2026-11-24T08:31:12.345Z" with its NUL, and of the compact form used in names. */
#define CLOCK_TEXT_SIZE 32

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t clock_mono_ms(void);
/* Anchored milliseconds since the Unix epoch (see above). Not thread-safe: the thread that owns the
 * loop only. */
int64_t clock_wall_ms(void);
/* RFC 3339 UTC with milliseconds; `out` has CLOCK_TEXT_SIZE bytes; returns `out`. */
char *clock_rfc3339(int64_t wall_ms, char *out);
/* "20261124T083112.345Z", for names: no colon. Returns `out`. */
char *clock_compact(int64_t wall_ms, char *out);
/* The kernel's boot id without its line feed, "" when unreadable; `out` has 40 bytes; returns
 * `out`. */
char *clock_boot_id(char *out);

#endif
