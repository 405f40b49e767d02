/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staging.h: the folders of the store, and the one folder per running capture in which collectors
 * write.
 *
 * Only incidentd creates staging folders and only by descriptor; they belong to the work account,
 * mode 0700. Names come from the brain and are checked again here: fs_name_ok, nothing else ever
 * reaches a path.
 */
#ifndef WATCHDOG_STAGING_H
#define WATCHDOG_STAGING_H

#include "base/error.h"
#include "watchdog/accounts.h"

struct staging {
    int store_fd; /* store.path: the brain's */
    int fd;       /* store.path/staging: the work account's */
    int lock_fd;  /* held while we use the store */
    struct account work;
};
#define STAGING_INIT                                                                               \
    {                                                                                              \
        .store_fd = -1, .fd = -1, .lock_fd = -1                                                    \
    }

/* Makes and opens the store at `path` with its folders, owned as DESIGN says, and locks it: -EBUSY
 * names the pid of the other daemon. */
int staging_open(const char *path, const struct account *brain, const struct account *work,
                 struct staging *ret, struct error *err);
void staging_close(struct staging *s);
/* Makes the folder of `capture` (existing: opens it); returns a descriptor the caller closes. */
int staging_begin(const struct staging *s, const char *capture, struct error *err);
/* Copies the sealed memfd `fd` into the folder `dir_fd` as the new file `name`, which stays ours:
 * what a collector has put in its place is removed. -EEXIST when it was added before. */
int staging_add(int dir_fd, const char *name, int fd, struct error *err);
/* Removes the folder of `capture` with all it holds. */
int staging_discard(const struct staging *s, const char *capture, struct error *err);
/* Name of the index-th folder in byte order, copied into `ret`; -ENOENT past the end. */
int staging_at(const struct staging *s, unsigned index, char *ret, size_t size);

#endif
