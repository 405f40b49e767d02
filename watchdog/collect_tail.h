/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_tail.h: where in the end of a log the interesting minutes begin.
 */
#ifndef WATCHDOG_COLLECT_TAIL_H
#define WATCHDOG_COLLECT_TAIL_H

#include "base/base.h"

/* The time a line carries in its first 200 bytes: RFC 3339 with a zone anywhere ('T' or a blank
 * between date and time), or Unix time (seconds with or without a fraction, or 13 digits of
 * milliseconds) at its start or after `ts=`, `"ts":`, `"time":`. True with *ret_ms since the epoch.
 * A time without a zone is none: whose zone it would be cannot be known. */
bool collect_tail_stamp(const char *line, size_t len, int64_t *ret_ms);
/* Offset of the first line of `text` that is not older than `from_ms`; a line without a stamp is as
 * old as the one before it. `len` when all are older. *ret_stamped: any line carried a stamp; if
 * not, 0 is returned. */
size_t collect_tail_start(const char *text, size_t len, int64_t from_ms, bool *ret_stamped);

#endif
