/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_file.h: new files in the artifact folder of one collector, and what lies there.
 */
#ifndef WATCHDOG_COLLECT_FILE_H
#define WATCHDOG_COLLECT_FILE_H

#include "base/error.h"

#include <sys/types.h>

enum { COLLECT_FILE_NAME_MAX = 200 };

/* Creates the new file `name` ("file" or "folder/file", each part fs_name_ok) under `dir_fd`, mode
 * 0600, never following a link. Returns a descriptor for writing that the caller closes. */
int collect_file_create(int dir_fd, const char *name, struct error *err);
/* Size of the regular file `name` under `dir_fd`, or a negative errno. */
int64_t collect_file_size(int dir_fd, const char *name);

/* The set of names that were seen in a folder. */
struct collect_file_set {
    char **names; /* owned */
    size_t count;
    unsigned dropped; /* entries that are no regular file or have an unsafe name, or are too many */
};

/* Frees the names; the set is empty afterwards. */
void collect_file_set_release(struct collect_file_set *s);
/* Remembers `name`; false when it was there already or the set is full. */
bool collect_file_set_add(struct collect_file_set *s, const char *name);
/* Adds every regular file under `dir_fd`, one folder deep, and calls `found` (may be NULL) for each
 * that was not in the set before. Entries that are not usable are counted in `dropped`. */
void collect_file_scan(int dir_fd, struct collect_file_set *s,
                       void (*found)(void *arg, const char *name), void *arg);

#endif
