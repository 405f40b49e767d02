/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series.c: the store of samples, as plain arrays.
 *
 * Each series has a ring of (time, value) pairs that doubles until it holds the span, so a rule of
 * some series costs kilobytes. Series are found by the hash of their sorted labels in an open table
 * of twice their number. Ids are indexes into `slots`; a pruned slot is reused.
 */
#include "rules/series.h"

#include <errno.h>

enum { RING_FIRST = 8 };

struct sample {
    int64_t at_ms;
    double value;
};

struct slot {
    struct labels *labels; /* NULL: free */
    uint64_t hash;
    size_t label_bytes;
    struct sample *ring;
    uint32_t capacity; /* a power of two, 0 before the first sample */
    uint32_t first;
    uint32_t count;
    bool stale;
};

struct series_store {
    int64_t span_ms;
    size_t max;
    struct slot *slots;
    size_t slot_count;
    size_t used;
    uint32_t *table; /* slot + 1, 0: empty; open addressing */
    size_t table_size;
    size_t bytes;
};

struct series_store *series_new(int64_t span_ms, size_t max)
{
    struct series_store *store = xcalloc(1, sizeof(*store));
    store->span_ms = span_ms;
    store->max = max;
    return store;
}

static void release_slot(struct series_store *store, struct slot *s)
{
    store->bytes -= s->label_bytes + s->capacity * sizeof(*s->ring);
    free(s->labels);
    free(s->ring);
    memset(s, 0, sizeof(*s));
}

void series_free(struct series_store *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t i = 0; i < store->slot_count; i++) {
        release_slot(store, &store->slots[i]);
    }
    free(store->slots);
    free(store->table);
    free(store);
}

static void table_put(struct series_store *store, uint32_t id)
{
    size_t at = store->slots[id].hash & (store->table_size - 1);
    while (store->table[at] != 0) {
        at = (at + 1) & (store->table_size - 1);
    }
    store->table[at] = id + 1;
}

static void table_rebuild(struct series_store *store, size_t size)
{
    free(store->table);
    store->table = xcalloc(size, sizeof(*store->table));
    store->table_size = size;
    for (size_t i = 0; i < store->slot_count; i++) {
        if (store->slots[i].labels != NULL) {
            table_put(store, (uint32_t)i);
        }
    }
}

static bool table_find(const struct series_store *store, const struct labels *l, uint64_t hash,
                       uint32_t *ret)
{
    if (store->table_size == 0) {
        return false;
    }
    for (size_t at = hash & (store->table_size - 1); store->table[at] != 0;
         at = (at + 1) & (store->table_size - 1)) {
        uint32_t id = store->table[at] - 1;
        if (store->slots[id].hash == hash && labels_equal(store->slots[id].labels, l)) {
            *ret = id;
            return true;
        }
    }
    return false;
}

static uint32_t free_slot(struct series_store *store)
{
    if (store->used < store->slot_count) {
        for (size_t i = 0; i < store->slot_count; i++) {
            if (store->slots[i].labels == NULL) {
                return (uint32_t)i;
            }
        }
    }
    size_t grown = store->slot_count == 0 ? 16 : store->slot_count * 2;
    store->slots = xrealloc(store->slots, grown, sizeof(*store->slots));
    memset(store->slots + store->slot_count, 0,
           (grown - store->slot_count) * sizeof(*store->slots));
    uint32_t id = (uint32_t)store->slot_count;
    store->slot_count = grown;
    return id;
}

int series_add(struct series_store *store, const struct labels *l, uint32_t *ret, bool *ret_new,
               struct error *err)
{
    uint64_t hash = labels_hash(l);
    *ret_new = false;
    if (table_find(store, l, hash, ret)) {
        return 0;
    }
    if (store->used >= store->max) {
        return error_set(err, -ENOSPC, "more than %zu series are selected", store->max);
    }
    uint32_t id = free_slot(store);
    struct slot *s = &store->slots[id];
    s->labels = labels_dup(l, &s->label_bytes);
    s->hash = hash;
    store->bytes += s->label_bytes;
    store->used++;
    if (store->used * 2 > store->table_size) {
        table_rebuild(store, store->table_size == 0 ? 64 : store->table_size * 2);
    } else {
        table_put(store, id);
    }
    *ret = id;
    *ret_new = true;
    return 0;
}

static struct sample *sample_at(const struct slot *s, size_t index)
{
    return &s->ring[(s->first + index) & (s->capacity - 1)];
}

static void grow_ring(struct series_store *store, struct slot *s)
{
    uint32_t capacity = s->capacity == 0 ? RING_FIRST : s->capacity * 2;
    struct sample *ring = xcalloc(capacity, sizeof(*ring));
    for (uint32_t i = 0; i < s->count; i++) {
        ring[i] = *sample_at(s, i);
    }
    store->bytes += (capacity - s->capacity) * sizeof(*ring);
    free(s->ring);
    s->ring = ring;
    s->capacity = capacity;
    s->first = 0;
}

bool series_append(struct series_store *store, uint32_t id, int64_t at_ms, double value)
{
    struct slot *s = &store->slots[id];
    s->stale = false;
    if (s->count > 0 && at_ms <= sample_at(s, s->count - 1)->at_ms) {
        return false;
    }
    while (s->count > 0 && sample_at(s, 0)->at_ms < at_ms - store->span_ms) {
        s->first = (s->first + 1) & (s->capacity - 1);
        s->count--;
    }
    if (s->count == s->capacity) {
        grow_ring(store, s);
    }
    s->count++;
    *sample_at(s, s->count - 1) = (struct sample){at_ms, value};
    return true;
}

void series_reset(struct series_store *store, uint32_t id)
{
    store->slots[id].count = 0;
}

void series_stale(struct series_store *store, uint32_t id)
{
    store->slots[id].stale = true;
}

bool series_is_stale(const struct series_store *store, uint32_t id)
{
    return store->slots[id].stale;
}

size_t series_prune(struct series_store *store, int64_t before_ms)
{
    size_t pruned = 0;
    for (size_t i = 0; i < store->slot_count; i++) {
        struct slot *s = &store->slots[i];
        if (s->labels != NULL && s->stale &&
            (s->count == 0 || sample_at(s, s->count - 1)->at_ms < before_ms)) {
            release_slot(store, s);
            store->used--;
            pruned++;
        }
    }
    if (pruned > 0) {
        table_rebuild(store, store->table_size);
    }
    return pruned;
}

bool series_select(const struct series_store *store, const struct selector *s, uint32_t *id)
{
    for (; *id < store->slot_count; (*id)++) {
        const struct labels *l = store->slots[*id].labels;
        if (l != NULL && (s == NULL || selector_matches(s, l))) {
            return true;
        }
    }
    return false;
}

const struct labels *series_labels(const struct series_store *store, uint32_t id)
{
    return store->slots[id].labels;
}

bool series_last(const struct series_store *store, uint32_t id, int64_t *ret_ms, double *ret)
{
    const struct slot *s = &store->slots[id];
    if (s->count == 0) {
        return false;
    }
    const struct sample *last = sample_at(s, s->count - 1);
    *ret_ms = last->at_ms;
    *ret = last->value;
    return true;
}

void series_iterate(const struct series_store *store, uint32_t id, int64_t from_ms,
                    int64_t until_ms, struct series_iter *ret)
{
    const struct slot *s = &store->slots[id];
    size_t low = 0;
    size_t high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sample_at(s, middle)->at_ms < from_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret = (struct series_iter){store, id, low, until_ms};
}

bool series_next(struct series_iter *it, int64_t *ret_ms, double *ret)
{
    const struct slot *s = &it->store->slots[it->id];
    if (it->next >= s->count) {
        return false;
    }
    const struct sample *sample = sample_at(s, it->next);
    if (sample->at_ms > it->until_ms) {
        return false;
    }
    it->next++;
    *ret_ms = sample->at_ms;
    *ret = sample->value;
    return true;
}

double series_increase(const struct series_store *store, uint32_t id, int64_t from_ms,
                       int64_t until_ms)
{
    struct series_iter it;
    int64_t at_ms;
    double before;
    double value;
    double sum = 0.0;
    series_iterate(store, id, from_ms, until_ms, &it);
    if (!series_next(&it, &at_ms, &before)) {
        return 0.0;
    }
    while (series_next(&it, &at_ms, &value)) {
        sum += value >= before ? value - before : value;
        before = value;
    }
    return sum;
}

size_t series_count(const struct series_store *store)
{
    return store->used;
}

size_t series_memory_bytes(const struct series_store *store)
{
    return sizeof(*store) + store->bytes + store->slot_count * sizeof(*store->slots) +
           store->table_size * sizeof(*store->table);
}
