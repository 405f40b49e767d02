/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h: a staging folder as one bundle: pax tar in zstd with a content checksum.
 */
#ifndef WATCHDOG_PACK_H
#define WATCHDOG_PACK_H

#include "base/buf.h"
#include "base/error.h"

struct pack_result {
    char sha256[65]; /* of the bundle */
    int64_t size;    /* of the bundle */
};

/* Writes the bundle of capture `id` from the folder `dir_fd` to `out_fd` and its manifest to
 * `manifest` as well. What cannot be read costs that member, what cannot be written (-ENOSPC) the
 * bundle. 0 or a negative errno. */
int pack_bundle(int dir_fd, const char *id, int out_fd, struct buf *manifest,
                struct pack_result *ret, struct error *err);

#endif
