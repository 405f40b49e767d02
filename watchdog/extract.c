/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/extract.h"

#include "base/fs.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

enum { CHUNK_BYTES = 256 << 10 };

static int broken(struct archive *a, struct error *err)
{
    const char *why = archive_error_string(a);
    return error_set(err, -EBADMSG, "the bundle is broken: %s",
                     why == NULL ? "it breaks off" : why);
}

/* True when `pathname` is "<top folder>/<member>" and a regular file. */
static bool is_wanted(struct archive_entry *e, const char *member)
{
    const char *name = archive_entry_pathname(e);
    const char *below = name == NULL ? NULL : strchr(name, '/');
    return below != NULL && archive_entry_filetype(e) == AE_IFREG &&
           archive_entry_hardlink(e) == NULL && strcmp(below + 1, member) == 0;
}

static int copy_out(struct archive *a, int out_fd, struct error *err)
{
    AUTO_FREE char *chunk = malloc(CHUNK_BYTES);
    if (chunk == NULL) {
        return error_set(err, -ENOMEM, "no memory to extract");
    }
    for (;;) {
        la_ssize_t n = archive_read_data(a, chunk, CHUNK_BYTES);
        if (n == 0) {
            return 0;
        }
        if (n < 0) {
            return broken(a, err);
        }
        int rc = fs_write_all(out_fd, chunk, (size_t)n, err);
        if (rc < 0) {
            return rc;
        }
    }
}

int extract_member(int bundle_fd, const char *member, int out_fd, struct error *err)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e = NULL;
    int rc = 0;
    if (a == NULL || archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
        archive_read_support_format_tar(a) != ARCHIVE_OK) {
        rc = error_set(err, -ENOMEM, "cannot start to read the bundle");
        goto out;
    }
    if (archive_read_open_fd(a, bundle_fd, CHUNK_BYTES) != ARCHIVE_OK) {
        rc = broken(a, err);
        goto out;
    }
    for (;;) {
        int got = archive_read_next_header(a, &e);
        if (got == ARCHIVE_EOF) {
            rc = error_set(err, -ENOENT, "no file '%.300s' in the bundle", member);
            break;
        }
        if (got < ARCHIVE_WARN) {
            rc = broken(a, err);
            break;
        }
        if (is_wanted(e, member)) {
            rc = copy_out(a, out_fd, err);
            break;
        }
    }
out:
    (void)archive_read_free(a);
    return rc;
}
