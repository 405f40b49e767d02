/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs.h: files by directory descriptor, whole or not at all.
 *
 * Every descriptor is O_CLOEXEC from birth. Files that others own are opened O_NONBLOCK, so that a
 * FIFO in their place cannot hold us.
 */
#ifndef BASE_FS_H
#define BASE_FS_H

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

/* Reads at most out->max bytes of the regular or proc file `name` under `dir_fd` (AT_FDCWD: as
 * open(2)), appending. Returns 0, or -EMSGSIZE with what fitted kept, or another negative errno. */
int fs_read_at(int dir_fd, const char *name, struct buf *out, struct error *err);
/* Reads all of `fd` from its current offset, as fs_read_at. */
int fs_read_fd(int fd, struct buf *out, struct error *err);
/* Writes all bytes, restarting on EINTR and short writes. */
int fs_write_all(int fd, const void *data, size_t len, struct error *err);
/* Replaces `name` under `dir_fd` by a temporary file, fsync, rename, fsync of the directory. */
int fs_replace_at(int dir_fd, const char *name, const void *data, size_t len, mode_t mode,
                  struct error *err);
/* Removes `name` under `dir_fd` with everything below it, never following a symbolic link; absent
 * is success. */
int fs_remove_tree(int dir_fd, const char *name, struct error *err);
/* mkdirat that accepts an existing directory; opens it; returns a descriptor the caller closes. */
int fs_make_dir(int dir_fd, const char *name, mode_t mode, struct error *err);
/* A memfd of `name` holding `len` bytes, sealed against every change, offset 0; the caller closes
 * it. */
int fs_sealed_memfd(const char *name, const void *data, size_t len, struct error *err);
/* True for a name of 1..max bytes of [A-Za-z0-9._-] that does not begin with '.' or '-'. */
bool fs_name_ok(const char *name, size_t max);

#endif
