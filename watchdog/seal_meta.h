/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal_meta.h: what incidentd-collect noted about each run, read back from the folder "meta".
 */
#ifndef WATCHDOG_SEAL_META_H
#define WATCHDOG_SEAL_META_H

#include "base/error.h"

#include <cJSON.h>

/* The runs and artifacts of a capture, as they will stand in the manifest. */
struct seal_meta {
    cJSON *runs;      /* array of "runs" items; owned */
    cJSON *artifacts; /* object: path -> "artifacts" item without size and sha256; owned */
    size_t interrupted;
    size_t garbled; /* lines and files that could not be read */
    bool left_out;  /* there is more than the limits allow, or none of it could be used */
    size_t bytes;   /* read so far */
    size_t values;  /* in them, at most */
};

/* Reads every file of "meta" below `dir_fd` in the order of their names; none at all is fine, and a
 * garbled line costs that line (a crash may break the last one off). */
void seal_meta_read(int dir_fd, struct seal_meta *ret);
/* No records, for a manifest that they would burst. */
void seal_meta_none(struct seal_meta *ret);
void seal_meta_release(struct seal_meta *meta);
/* Monotonic start of the artifact `path` in ms, or -1 when it is not known. */
int64_t seal_meta_started_ms(const struct seal_meta *meta, const char *path);

#endif
