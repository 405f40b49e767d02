/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.h: which bundles go. Pure: bytes and times in, a choice out.
 *
 * The order is the point, since tools of this kind have deleted the newest: oldest trigger first,
 * never a pinned bundle, never one of an open incident. Age is a reason by itself; count, bytes and
 * free disk take bundles until the next capture fits. A disk that others have filled beyond what
 * our bundles could mend is no reason to delete them all: then only what the next capture needs
 * goes.
 */
#ifndef WATCHDOG_RETENTION_H
#define WATCHDOG_RETENTION_H

#include "base/base.h"

struct retention_item {
    int64_t trigger_ms; /* wall */
    int64_t size_bytes;
    bool pinned;
    bool open; /* its incident has not been resolved */
};

struct retention_policy {
    int64_t max_bytes;  /* of all bundles; 0: no limit */
    int64_t max_count;  /* 0: no limit */
    int64_t max_age_ms; /* 0: no limit */
    double min_free;    /* share of the file system, 0..1 */
};

struct retention_disk {
    int64_t total_bytes; /* 0: unknown, free disk is then no reason */
    int64_t free_bytes;
};

enum retention_verdict {
    RETENTION_FITS,
    RETENTION_TIGHT, /* the disk stays below min_free, yet `need` and the reserve fit */
    RETENTION_LACKS, /* `need` and the reserve do not fit */
};

enum { RETENTION_RESERVE_BYTES = 64 << 20 }; /* never used up: journal, state, somebody's log */

struct retention_question {
    const struct retention_item *items;
    size_t count;
    struct retention_policy policy;
    struct retention_disk disk;
    int64_t need_bytes;   /* of disk, for the capture that is coming; 0: none is */
    int64_t bundle_bytes; /* what will be left of it as a bundle; 0: unknown */
    int64_t now_ms;       /* wall */
};

/* Chooses what to delete so that what is coming fits. Writes indices into ret_victims (room for
 * `count`), in the order to delete, and returns how many. What the disk looks like afterwards goes
 * to *ret_verdict. */
size_t retention_choose(const struct retention_question *q, size_t *ret_victims,
                        enum retention_verdict *ret_verdict);

/* Bytes the next capture will need at its peak (staging and bundle), from the `raw` and `packed`
 * sizes of earlier ones (newest first); a careful guess when there are none. */
int64_t retention_predict(const int64_t *raw_bytes, const int64_t *packed_bytes, size_t count);

#endif
