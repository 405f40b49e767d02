/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h: memory that is born piece by piece and dies at once.
 *
 * For trees sized by input (a configuration, a plan): bounded by a maximum, freed by one call,
 * never piecewise.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"

struct arena {
    struct arena_chunk *chunks; /* newest first; owned */
    size_t used;                /* bytes handed out */
    size_t max;                 /* bytes that may be handed out */
};

#define ARENA_INIT(maximum)                                                                        \
    {                                                                                              \
        .chunks = NULL, .used = 0, .max = (maximum)                                                \
    }

/* Zeroed memory aligned for any type, or NULL past the maximum or when memory is out. */
void *arena_alloc(struct arena *a, size_t size);
/* A copy of `len` bytes of `text` with a NUL added, or NULL. */
char *arena_strndup(struct arena *a, const char *text, size_t len);
/* Frees everything handed out; the arena may be used again. */
void arena_release(struct arena *a);

#endif
