/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap_growth.h: what grew between two heap profiles, function by function.
 *
 * The figures are those of `go tool pprof -top -diff_base=from to`: flat values, that is, each
 * sample counts for the innermost function of its stack, inlined calls honoured. Go's profiles are
 * already scaled to the whole heap, so values are only summed.
 */
#ifndef REPORT_HEAP_GROWTH_H
#define REPORT_HEAP_GROWTH_H

#include "report/pprof.h"

struct heap_growth_row {
    const char *function; /* lives as long as the profiles */
    int64_t growth_bytes;
    int64_t growth_objects;
    int64_t to_bytes;
    int64_t to_objects;
};

/* Who is to be named in a sentence: the first function of the stack outside the standard library,
 * and the leaf under it that holds most. */
struct heap_growth_blame {
    const char *function; /* "" when nothing grew */
    const char *leaf;     /* same as function where it allocates itself */
    double share;         /* of all that grew (or of all in use, without a `from`), 0..1 */
};

struct heap_growth {
    int64_t from_bytes;
    int64_t from_objects;
    int64_t to_bytes;
    int64_t to_objects;
    struct heap_growth_row *rows; /* by growth_bytes, falling (without a `from`: by to_bytes) */
    size_t count;
    struct heap_growth_blame blame;
};

/* `from` may be NULL: growths are then 0 and the rows tell what is in use. 0 and *ret (freed by
 * heap_growth_free, valid as long as the profiles), -EINVAL when one is no heap profile, -ENOMEM.
 */
int heap_growth_new(const struct pprof *from, const struct pprof *to, struct heap_growth **ret,
                    struct error *err);
void heap_growth_free(struct heap_growth *g);
/* True for a function of Go's runtime or standard library, by its package's first path element. */
bool heap_growth_is_library(const char *function);
/* "3.1 MiB", with a sign when `sign`; the same digits as pprof prints. Returns `out`. */
char *heap_growth_bytes_text(int64_t bytes, bool sign, char *out, size_t size);

#endif
