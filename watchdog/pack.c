/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.c: files -> libarchive (pax) -> zstd -> SHA-256 -> descriptor, in bounded memory.
 *
 * libarchive makes the tar, but not the compression: its own zstd filter writes no content checksum
 * and with threads its memory cannot be bounded. Here two workers with jobs of 1 MB do it (figures:
 * docs/bundle.md). The digest is taken of what goes out, so that no second pass over the bundle is
 * needed before it can be listed.
 *
 * A member's size stands in its header before its bytes are read. A file that shrinks meanwhile is
 * filled up with zeros, one that grows is cut, and the manifest says which. The SHA-256 of a member
 * is that of the bytes in the tar, so it always verifies.
 *
 * Order, owner, mode and times (whole seconds) depend on the files alone: the same folder gives the
 * same tar.
 */
#include "watchdog/pack.h"

#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/manifest.h"
#include "watchdog/seal_files.h"
#include "watchdog/seal_meta.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <zstd.h>

/* Of all files together, by their sizes: holes cost nothing to make and all their zeros to read,
 * and the sealer's time is bounded. */
#define PACKED_BYTES_MAX (8LL << 30)

enum { LEVEL = 1, WORKERS = 2, JOB_BYTES = 1 << 20, CHUNK_BYTES = 256 << 10 };

struct sink {
    int fd;
    ZSTD_CCtx *zstd;
    EVP_MD_CTX *digest;
    int64_t size;
    int code; /* of the first failure; err has its text */
    struct error *err;
    char out[CHUNK_BYTES];
};

static void hex(const unsigned char *digest, char *out)
{
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

/* Compresses `data`, or with ZSTD_e_end ends the frame, and writes what comes out. */
static int sink_feed(struct sink *s, const void *data, size_t len, ZSTD_EndDirective mode)
{
    ZSTD_inBuffer in = {.src = data, .size = len};
    size_t left = 1;
    while (s->code == 0 && (mode == ZSTD_e_end ? left != 0 : in.pos < in.size)) {
        ZSTD_outBuffer out = {.dst = s->out, .size = sizeof(s->out)};
        left = ZSTD_compressStream2(s->zstd, &out, &in, mode);
        if (ZSTD_isError(left)) {
            s->code = error_set(s->err, -EIO, "zstd: %s", ZSTD_getErrorName(left));
            break;
        }
        if (out.pos > 0) {
            s->code = fs_write_all(s->fd, s->out, out.pos, s->err);
            s->size += (int64_t)out.pos;
            if (EVP_DigestUpdate(s->digest, s->out, out.pos) != 1) {
                s->code = error_set(s->err, -EIO, "SHA-256 failed");
            }
        }
    }
    return s->code;
}

/* libarchive's write callback. */
static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t len)
{
    struct sink *s = arg;
    if (sink_feed(s, data, len, ZSTD_e_continue) < 0) {
        archive_set_error(a, -s->code, "write failed");
        return -1;
    }
    return (la_ssize_t)len;
}

static int sink_init(struct sink *s, int fd, struct error *err)
{
    *s = (struct sink){.fd = fd, .err = err};
    s->zstd = ZSTD_createCCtx();
    s->digest = EVP_MD_CTX_new();
    if (s->zstd == NULL || s->digest == NULL ||
        EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) != 1) {
        return error_set(err, -ENOMEM, "no memory to compress");
    }
    (void)ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, LEVEL);
    (void)ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1);
    /* A libzstd without threads refuses these two and works without them. */
    (void)ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_nbWorkers, WORKERS);
    (void)ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_jobSize, JOB_BYTES);
    return 0;
}

static void sink_release(struct sink *s)
{
    (void)ZSTD_freeCCtx(s->zstd);
    EVP_MD_CTX_free(s->digest);
}

struct member {
    const char *id;
    const char *path;
    int64_t size;
    int64_t mtime_s;
};

static int write_header(struct archive *a, const struct member *m)
{
    AUTO_FREE char *name = xasprintf("%s/%s", m->id, m->path);
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, m->size);
    archive_entry_set_mtime(e, m->mtime_s, 0);
    int rc = archive_write_header(a, e);
    archive_entry_free(e);
    return rc >= ARCHIVE_WARN ? 0 : -EIO;
}

/* Reads up to `want` bytes; a failure ends the file like its end and is noted. */
static size_t read_some(int fd, char *chunk, size_t want, struct seal_file *f)
{
    for (;;) {
        ssize_t n = read(fd, chunk, want);
        if (n >= 0) {
            return (size_t)n;
        }
        if (errno != EINTR) {
            (void)snprintf(f->note, sizeof(f->note), "reading it failed: %s",
                           strerrordesc_np(errno));
            return 0;
        }
    }
}

/* The bytes of one file: exactly `f->size` of them go out. */
static int write_body(struct archive *a, int fd, struct seal_file *f, EVP_MD_CTX *digest,
                      char *chunk)
{
    int64_t done = 0;
    bool ended = false;
    while (done < f->size) {
        size_t want = f->size - done < CHUNK_BYTES ? (size_t)(f->size - done) : CHUNK_BYTES;
        size_t n = ended ? 0 : read_some(fd, chunk, want, f);
        if (n == 0) {
            if (!ended && f->note[0] == '\0') {
                (void)snprintf(f->note, sizeof(f->note),
                               "it shrank while being packed: zeros from byte %lld on",
                               (long long)done);
            }
            ended = true;
            memset(chunk, 0, want);
            n = want;
        }
        if (EVP_DigestUpdate(digest, chunk, n) != 1 || archive_write_data(a, chunk, n) < 0) {
            return -EIO;
        }
        done += (int64_t)n;
    }
    if (!ended && read_some(fd, chunk, 1, f) > 0) {
        (void)snprintf(f->note, sizeof(f->note), "it grew while being packed: cut at %lld bytes",
                       (long long)f->size);
    }
    return 0;
}

/* Opens and sizes one file; what cannot be opened any more stays out, and what is larger than
 * `left`. */
static int open_file(int dir_fd, int64_t left, struct seal_file *f)
{
    struct stat st = {0};
    int fd = seal_files_open(dir_fd, f->path, NULL);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > left) {
        (void)close(fd);
        f->skip = "the bundle is full";
        return -1;
    }
    if (fd >= 0 && fstat(fd, &st) < 0) {
        (void)close(fd);
        fd = -1;
    }
    if (fd < 0) {
        f->skip = "it could not be opened";
    }
    f->size = st.st_size;
    f->mtime_s = st.st_mtim.tv_sec;
    return fd;
}

static int pack_file(struct archive *a, int dir_fd, const char *id, int64_t *left,
                     struct seal_file *f, char *chunk)
{
    AUTO_CLOSE int fd = open_file(dir_fd, *left, f);
    if (fd < 0) {
        return 0;
    }
    *left -= f->size;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct member m = {.id = id, .path = f->path, .size = f->size, .mtime_s = f->mtime_s};
    int rc = ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ? -ENOMEM : 0;
    rc = rc < 0 ? rc : write_header(a, &m);
    rc = rc < 0 ? rc : write_body(a, fd, f, ctx, chunk);
    if (rc == 0 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1) {
        hex(digest, f->sha256);
    }
    EVP_MD_CTX_free(ctx);
    return rc;
}

/* Every file, then the manifest. */
static int pack_members(struct archive *a, int dir_fd, const char *id, struct buf *manifest,
                        struct error *err)
{
    struct seal_files files = {.items = NULL};
    struct seal_meta meta = {.runs = NULL};
    int rc = seal_files_list(dir_fd, &files, err);
    if (rc < 0) {
        return rc;
    }
    seal_meta_read(dir_fd, &meta);
    char *chunk = xcalloc(1, CHUNK_BYTES);
    int64_t newest_s = 0;
    int64_t left = PACKED_BYTES_MAX;
    for (size_t i = 0; i < files.count && rc == 0; i++) {
        struct seal_file *f = &files.items[i];
        rc = f->skip != NULL ? 0 : pack_file(a, dir_fd, id, &left, f, chunk);
        newest_s = f->mtime_s > newest_s ? f->mtime_s : newest_s;
    }
    rc = rc < 0 ? rc : manifest_write(dir_fd, id, &files, &meta, manifest, err);
    if (rc == 0) {
        struct member m = {
            .id = id, .path = "manifest.json", .size = (int64_t)manifest->len, .mtime_s = newest_s};
        rc = write_header(a, &m);
        rc = rc == 0 && archive_write_data(a, buf_text(manifest), manifest->len) < 0 ? -EIO : rc;
    }
    free(chunk);
    seal_meta_release(&meta);
    seal_files_release(&files);
    return rc;
}

static int start(struct archive *a, struct sink *s, struct error *err)
{
    if (a == NULL || archive_write_set_format_pax_restricted(a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(a, 0) != ARCHIVE_OK ||
        archive_write_open2(a, s, NULL, on_write, NULL, NULL) != ARCHIVE_OK) {
        return error_set(err, -ENOMEM, "cannot start the archive");
    }
    return 0;
}

/* The tar's end, the frame's end, the digest. */
static int finish(struct archive *a, struct sink *s, struct pack_result *ret, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (archive_write_close(a) != ARCHIVE_OK) {
        return error_set(err, -EIO, "%s", archive_error_string(a));
    }
    int rc = sink_feed(s, NULL, 0, ZSTD_e_end);
    if (rc == 0 && EVP_DigestFinal_ex(s->digest, digest, NULL) != 1) {
        rc = error_set(err, -EIO, "SHA-256 failed");
    }
    if (rc == 0) {
        hex(digest, ret->sha256);
        ret->size = s->size;
    }
    return rc;
}

int pack_bundle(int dir_fd, const char *id, int out_fd, struct buf *manifest,
                struct pack_result *ret, struct error *err)
{
    struct sink *s = xcalloc(1, sizeof(*s));
    struct archive *a = archive_write_new();
    struct error output = ERROR_INIT; /* the sink's: the cause where both failed */
    struct error why = ERROR_INIT;
    int rc = sink_init(s, out_fd, &output);
    rc = rc < 0 ? rc : start(a, s, &why);
    rc = rc < 0 ? rc : pack_members(a, dir_fd, id, manifest, &why);
    rc = rc < 0 ? rc : finish(a, s, ret, &why);
    if (rc < 0) {
        const char *text = output.message[0] != '\0' ? output.message : why.message;
        rc = error_set(err, s->code < 0 ? s->code : rc, "cannot pack: %s",
                       text[0] != '\0' ? text : "writing the archive failed");
    }
    (void)archive_write_free(a);
    sink_release(s);
    free(s);
    return rc;
}
