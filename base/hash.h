/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h: uthash's tables with XXH3 as their hash function. Include this, never uthash.h.
 *
 * Keys come from scraped targets and from clients. XXH3 is fast on short labels, and uthash's own
 * default expands to a switch that clang's fall-through warning rejects.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASH_FUNCTION(key, length, hash) ((hash) = (unsigned)XXH3_64bits((key), (length)))
#include <uthash.h>

#endif
