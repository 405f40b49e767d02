/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series.h: samples by time, for a bounded span.
 *
 * A store holds labelled series, each identified by a small number that stays its own until the
 * series is pruned. How samples are held is private: callers append, and read through iterators.
 * A series that a page no longer has is stale: its samples stay, and iterators see that they end.
 */
#ifndef RULES_SERIES_H
#define RULES_SERIES_H

#include "base/error.h"
#include "rules/labels.h"
#include "rules/selector.h"

struct series_store;

struct series_iter {
    const struct series_store *store; /* private */
    uint32_t id;
    size_t next;
    int64_t until_ms;
};

/* A store that keeps `span_ms` of samples of at most `max` series. Never NULL. */
struct series_store *series_new(int64_t span_ms, size_t max);
void series_free(struct series_store *store);

/* The series of the sorted set `l`, made when new (*ret_new). Returns 0 and *ret, or -ENOSPC when
 * the store is full. */
int series_add(struct series_store *store, const struct labels *l, uint32_t *ret, bool *ret_new,
               struct error *err);
/* Appends a sample. Returns false, changing nothing, when it is not newer than the last one.
 * Samples older than the span end. */
bool series_append(struct series_store *store, uint32_t id, int64_t at_ms, double value);
/* Drops all samples of a series: the next one is its first. */
void series_reset(struct series_store *store, uint32_t id);
/* From now on the series is absent; appending ends that. */
void series_stale(struct series_store *store, uint32_t id);
bool series_is_stale(const struct series_store *store, uint32_t id);
/* Frees the series that are stale and whose last sample is older than `before_ms`; returns how
 * many. Their numbers may be given to others. */
size_t series_prune(struct series_store *store, int64_t before_ms);

/* Walks the series that `s` selects (all when NULL): start with *id = 0; false at the end. */
bool series_select(const struct series_store *store, const struct selector *s, uint32_t *id);
const struct labels *series_labels(const struct series_store *store, uint32_t id);
/* The newest sample; false when there is none. */
bool series_last(const struct series_store *store, uint32_t id, int64_t *ret_ms, double *ret);

/* Iterates samples with from_ms <= time <= until_ms, oldest first. */
void series_iterate(const struct series_store *store, uint32_t id, int64_t from_ms,
                    int64_t until_ms, struct series_iter *ret);
bool series_next(struct series_iter *it, int64_t *ret_ms, double *ret);
/* What a counter grew by between the two times, a fall being a reset to zero as in Prometheus. */
double series_increase(const struct series_store *store, uint32_t id, int64_t from_ms,
                       int64_t until_ms);

/* Series held, and bytes they and the store take. */
size_t series_count(const struct series_store *store);
/* See series_count. */
size_t series_memory_bytes(const struct series_store *store);

#endif
