/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels.h: one set of labels, sorted by name, the metric's name among them as `__name__`.
 *
 * A set is bounded (LIMIT_LABELS, LIMIT_LINE_BYTES) and lives in one allocation, so that a set that
 * was copied out of a page is one pointer to free.
 */
#ifndef RULES_LABELS_H
#define RULES_LABELS_H

#include "base/base.h"
#include "base/limits.h"

struct label {
    const char *name;  /* NUL-terminated, unescaped */
    const char *value; /* NUL-terminated, unescaped */
};

struct labels {
    size_t count;
    struct label items[LIMIT_LABELS + 1]; /* sorted by name after labels_sort */
};

/* The value of `name`, or "" when the set has no such label: in Prometheus the two are the same. */
const char *labels_get(const struct labels *l, const char *name);
/* Sorts by name. Returns the index of a name that stands twice, or -1. */
int labels_sort(struct labels *l);
/* A hash of names and values of a sorted set. */
uint64_t labels_hash(const struct labels *l);
bool labels_equal(const struct labels *a, const struct labels *b);
/* A copy in one allocation with just `count` items, freed by free(). */
struct labels *labels_dup(const struct labels *l, size_t *ret_bytes);

#endif
