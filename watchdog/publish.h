/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.h: the step from "the sealer says it packed" to "the bundle is listed".
 *
 * The sealer reads hostile artifacts, so nothing it says is taken on trust: the checksum is
 * computed again over the file, the size compared, the manifest parsed within its limit and its id
 * compared. Then side files, fsync, rename of the bundle as the very last step, fsync of the
 * folder. Every step may be repeated after a crash. Runs in the thread pool.
 */
#ifndef WATCHDOG_PUBLISH_H
#define WATCHDOG_PUBLISH_H

#include "base/buf.h"
#include "watchdog/store.h"

/* Creates the output of `id` in bundles/ anew (".<id>.tmp"); a descriptor the caller closes. */
int publish_open(int bundles_fd, const char *id, struct error *err);
/* Removes that output again. */
void publish_drop(int bundles_fd, const char *id);

struct publish_request {
    int bundles_fd;
    int packed_fd; /* from publish_open; its offset is moved */
    const char *id;
    const char *status; /* the sealer's status line */
    size_t status_len;
    const char *report; /* report.json or NULL */
    size_t report_len;
    int64_t now_ms; /* wall */
};
/* Verifies and lists; on failure nothing is listed and the output still there. */
int publish_bundle(const struct publish_request *request, struct store_entry *ret,
                   struct error *err);

#endif
