/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h: manifest.json, the bundle's last member, from what the brain knew, what the runs
 * noted and what was packed (format: docs/bundle.md).
 */
#ifndef WATCHDOG_MANIFEST_H
#define WATCHDOG_MANIFEST_H

#include "base/buf.h"
#include "base/error.h"
#include "watchdog/seal_files.h"
#include "watchdog/seal_meta.h"

/* Appends the manifest of capture `id`, one JSON object and a line feed, to `out`
 * (LIMIT_MANIFEST_BYTES). base.json is read from `dir_fd`; missing or broken, the manifest says
 * partial. `files` are in packing order with size and sha256 filled. 0, -EMSGSIZE or -ENOMEM. */
int manifest_write(int dir_fd, const char *id, const struct seal_files *files,
                   const struct seal_meta *meta, struct buf *out, struct error *err);

#endif
