/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/retention.h"

enum { UNKNOWN_NEED_BYTES = 64 << 20, PREDICT_FROM = 8 };

struct usage {
    int64_t bytes;
    int64_t count;
    int64_t free_bytes;
    double keep_free; /* bytes of the disk to leave alone */
};

static bool too_much(const struct usage *u, const struct retention_question *q)
{
    const struct retention_policy *p = &q->policy;
    int64_t more = q->need_bytes > 0 ? 1 : 0;
    if (p->max_count > 0 && u->count + more > p->max_count) {
        return true;
    }
    if (p->max_bytes > 0 && u->bytes + q->bundle_bytes > p->max_bytes) {
        return true;
    }
    return q->disk.total_bytes > 0 && (double)(u->free_bytes - q->need_bytes) < u->keep_free;
}

/* What of the disk must stay free: min_free, where all that may go would bring it about. Where
 * somebody else has filled the disk, emptying the store would cost evidence and cure nothing: then
 * just enough for a capture that is coming, and where even that cannot be had, nothing. */
static double floor_of(const struct retention_question *q)
{
    double wanted = q->policy.min_free * (double)q->disk.total_bytes;
    double reachable = (double)(q->disk.free_bytes - q->need_bytes);
    for (size_t i = 0; i < q->count; i++) {
        reachable += q->items[i].pinned || q->items[i].open ? 0 : (double)q->items[i].size_bytes;
    }
    if (reachable >= wanted) {
        return wanted;
    }
    if (q->need_bytes > 0 && reachable >= RETENTION_RESERVE_BYTES) {
        return RETENTION_RESERVE_BYTES;
    }
    return (double)INT64_MIN;
}

/* The oldest item that may go and is not gone yet, or `count`. */
static size_t oldest(const struct retention_item *items, size_t count, const size_t *gone,
                     size_t gone_count)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        bool taken = items[i].pinned || items[i].open;
        for (size_t g = 0; g < gone_count && !taken; g++) {
            taken = gone[g] == i;
        }
        if (!taken && (best == count || items[i].trigger_ms < items[best].trigger_ms)) {
            best = i;
        }
    }
    return best;
}

static enum retention_verdict verdict_of(const struct retention_question *q, int64_t free_bytes)
{
    int64_t left = free_bytes - q->need_bytes;
    if (q->disk.total_bytes == 0) {
        return RETENTION_FITS;
    }
    if (left < RETENTION_RESERVE_BYTES) {
        return RETENTION_LACKS;
    }
    return (double)left < q->policy.min_free * (double)q->disk.total_bytes ? RETENTION_TIGHT
                                                                           : RETENTION_FITS;
}

size_t retention_choose(const struct retention_question *q, size_t *ret_victims,
                        enum retention_verdict *ret_verdict)
{
    struct usage u = {.count = (int64_t)q->count, .free_bytes = q->disk.free_bytes};
    for (size_t i = 0; i < q->count; i++) {
        u.bytes += q->items[i].size_bytes;
    }
    u.keep_free = floor_of(q);
    size_t gone = 0;
    for (;;) {
        size_t i = oldest(q->items, q->count, ret_victims, gone);
        if (i == q->count) {
            break;
        }
        int64_t age_ms = q->now_ms - q->items[i].trigger_ms;
        bool old = q->policy.max_age_ms > 0 && age_ms > q->policy.max_age_ms;
        if (!old && !too_much(&u, q)) {
            break;
        }
        ret_victims[gone++] = i;
        u.bytes -= q->items[i].size_bytes;
        u.free_bytes += q->items[i].size_bytes;
        u.count--;
    }
    *ret_verdict = verdict_of(q, u.free_bytes);
    return gone;
}

int64_t retention_predict(const int64_t *raw_bytes, const int64_t *packed_bytes, size_t count)
{
    int64_t most = 0;
    for (size_t i = 0; i < count && i < PREDICT_FROM; i++) {
        int64_t peak = raw_bytes[i] + packed_bytes[i];
        most = peak > most ? peak : most;
    }
    return most == 0 ? UNKNOWN_NEED_BYTES : most + most / 2;
}
