/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal_files.h: what lies in a staging folder, listed without trusting any of it.
 *
 * Collectors, and the tools they run, write there under the work account; a hijacked one may leave
 * links, FIFOs, odd names or thousands of files. Only regular files with safe names are ever
 * opened, by descriptor and without following a link; all else is listed with the reason it stays
 * out.
 */
#ifndef WATCHDOG_SEAL_FILES_H
#define WATCHDOG_SEAL_FILES_H

#include "base/error.h"
#include "base/limits.h"

enum {
    SEAL_FILES_PATH_BYTES = 512, /* of a member's path below the folder */
    SEAL_FILES_DEPTH = 8,
    SEAL_FILES_SKIPPED = 256, /* how many are listed of what stays out; the rest is counted */
};

struct seal_file {
    char *path;       /* below the folder; owned; made printable when the file stays out */
    const char *skip; /* why it stays out, NULL for a file to pack; static text */
    int64_t size;     /* as packed; set by pack */
    int64_t mtime_s;
    char sha256[65]; /* of what was packed; set by pack */
    char note[128];  /* what went wrong while reading, "" when nothing; set by pack */
};

struct seal_files {
    struct seal_file *items; /* by path in byte order */
    size_t count;
    size_t capacity;
    size_t skipped;  /* of the items */
    size_t left_off; /* files beyond LIMIT_ARTIFACTS or SEAL_FILES_SKIPPED */
};

/* Lists everything below `dir_fd` except what the manifest is made of (meta, base.json,
 * trigger.json, orphan.json), its own name and names with a dot in front. 0 or -errno. */
int seal_files_list(int dir_fd, struct seal_files *ret, struct error *err);
void seal_files_release(struct seal_files *files);
/* Opens `path` below `dir_fd` for reading, component by component, without following a link or
 * waiting for a FIFO; only regular files. A descriptor the caller closes, or -errno: -ELOOP for a
 * link, -EINVAL for what is no regular file. */
int seal_files_open(int dir_fd, const char *path, struct error *err);

#endif
