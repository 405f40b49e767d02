/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the store. A name is opened only when it is the id of a listed capture plus one of our
 * suffixes, by the directory's descriptor and never through a link. The body goes out by
 * sendfile(2): MHD does that for descriptor responses once it knows that SIGPIPE is ignored.
 *
 * Single artifacts come out of the sealed bundle through the sealer (API_EXTRACT) into a file
 * without a name. They hold what a target wrote, so they go out as attachments that no browser may
 * render.
 */
#include "watchdog/api_http.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "watchdog/range.h"

/* Opens `id` + `suffix`, a regular file; returns a descriptor or a negative errno. */
static int open_beside(const struct api *api, const char *id, const char *suffix, struct stat *st)
{
    if (!fs_name_ok(id, LIMIT_ID_BYTES)) {
        return -ENOENT;
    }
    char name[LIMIT_ID_BYTES + 32];
    (void)snprintf(name, sizeof(name), "%s%s", id, suffix);
    int fd = openat(api->bundles_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode)) {
        (void)close(fd);
        return -ENOENT;
    }
    return fd;
}

static int read_beside(const struct api *api, const char *id, const char *suffix, struct buf *out)
{
    struct stat st = {0};
    AUTO_CLOSE int fd = open_beside(api, id, suffix, &st);
    return fd < 0 ? fd : fs_read_fd(fd, out, NULL);
}

int api_files_read_manifest(const struct api *api, const char *id, struct buf *out)
{
    return read_beside(api, id, ".manifest.json", out);
}

int api_files_read_report(const struct api *api, const char *id, struct buf *out)
{
    return read_beside(api, id, ".report.json", out);
}

/* How one file is described to the client. */
struct entity {
    const char *type;
    const char *file_name; /* for Content-Disposition, NULL: shown in place */
    const char *etag;      /* with quotes, NULL: none */
    const char *sha256;    /* NULL: none */
    const char *csp;       /* NULL: the usual one */
};

static void describe(struct MHD_Response *response, const struct entity *e)
{
    (void)MHD_add_response_header(response, "Content-Type", e->type);
    (void)MHD_add_response_header(response, "Cache-Control", "private, no-cache");
    if (e->file_name != NULL) {
        char value[400];
        (void)snprintf(value, sizeof(value), "attachment; filename=\"%s\"", e->file_name);
        (void)MHD_add_response_header(response, "Content-Disposition", value);
    }
    if (e->etag != NULL) {
        (void)MHD_add_response_header(response, "ETag", e->etag);
        (void)MHD_add_response_header(response, "Accept-Ranges", "bytes");
    }
    if (e->sha256 != NULL) {
        (void)MHD_add_response_header(response, "X-Checksum-SHA256", e->sha256);
    }
    if (e->csp != NULL) {
        (void)MHD_add_response_header(response, "Content-Security-Policy", e->csp);
    }
}

static enum MHD_Result not_modified(struct api_request *r, const struct entity *e)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response != NULL) {
        (void)MHD_add_response_header(response, "ETag", e->etag);
        (void)MHD_add_response_header(response, "Cache-Control", "private, no-cache");
    }
    return api_request_send(r, MHD_HTTP_NOT_MODIFIED, response);
}

/* Sends `size` bytes of `fd` (taken) or the part that was asked for. */
static enum MHD_Result send_file(struct api_request *r, int fd, uint64_t size,
                                 const struct entity *e)
{
    AUTO_CLOSE int owned = fd;
    struct range part = {.offset = 0, .length = size};
    enum range_kind kind = RANGE_WHOLE;
    if (e->etag != NULL) {
        if (range_etag_listed(api_request_header(r, "If-None-Match"), e->etag, true)) {
            return not_modified(r, e);
        }
        const char *match = api_request_header(r, "If-Match");
        if (match != NULL && !range_etag_listed(match, e->etag, false)) {
            return api_request_problem(r, MHD_HTTP_PRECONDITION_FAILED, "the file's ETag is %s",
                                       e->etag);
        }
        if (range_if_range(api_request_header(r, "If-Range"), e->etag)) {
            kind = range_parse(api_request_header(r, "Range"), size, &part);
        }
    }
    char content_range[80];
    if (kind == RANGE_UNSATISFIABLE) {
        (void)snprintf(content_range, sizeof(content_range), "bytes */%llu",
                       (unsigned long long)size);
        return api_request_problem_with(r, MHD_HTTP_RANGE_NOT_SATISFIABLE, "Content-Range",
                                        content_range, "the range lies past the end of the file");
    }
    struct MHD_Response *response =
        MHD_create_response_from_fd_at_offset64(part.length, owned, part.offset);
    if (response == NULL) {
        return MHD_NO;
    }
    (void)take_fd(&owned);
    describe(response, e);
    if (kind == RANGE_PART) {
        (void)snprintf(content_range, sizeof(content_range), "bytes %llu-%llu/%llu",
                       (unsigned long long)part.offset,
                       (unsigned long long)(part.offset + part.length - 1),
                       (unsigned long long)size);
        (void)MHD_add_response_header(response, "Content-Range", content_range);
    }
    if (r->method != API_HEAD) {
        (void)__atomic_add_fetch(&r->api->bytes, part.length, __ATOMIC_RELAXED);
    }
    return api_request_send(r, kind == RANGE_PART ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK,
                            response);
}

/* The capture that r->id names, sealed; else NULL with the problem queued into *rc. */
static const struct view_capture *sealed(struct api_request *r, enum MHD_Result *rc)
{
    const struct view_capture *c = view_capture_find(r->view, r->id);
    if (c == NULL) {
        *rc = api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no capture '%s'", r->id);
        return NULL;
    }
    if (c->state == VIEW_CAPTURING || c->state == VIEW_SEALING) {
        *rc = api_request_problem_with(r, MHD_HTTP_CONFLICT, "Retry-After", "5",
                                       "the capture is not sealed yet");
        return NULL;
    }
    return c;
}

enum MHD_Result api_files_bundle(struct api_request *r)
{
    enum MHD_Result rc = MHD_NO;
    const struct view_capture *c = sealed(r, &rc);
    if (c == NULL) {
        return rc;
    }
    struct stat st = {0};
    int fd = open_beside(r->api, c->id, ".tar.zst", &st);
    if (fd < 0) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "the bundle of '%s' is gone", c->id);
    }
    char name[LIMIT_ID_BYTES + 16];
    char etag[80];
    (void)snprintf(name, sizeof(name), "%s.tar.zst", c->id);
    (void)snprintf(etag, sizeof(etag), "\"%s\"", c->sha256);
    return send_file(r, fd, (uint64_t)st.st_size,
                     &(struct entity){.type = "application/zstd",
                                      .file_name = name,
                                      .etag = c->sha256[0] == '\0' ? NULL : etag,
                                      .sha256 = c->sha256[0] == '\0' ? NULL : c->sha256});
}

static enum MHD_Result json_file(struct api_request *r, const char *suffix, const char *what)
{
    enum MHD_Result rc = MHD_NO;
    const struct view_capture *c = sealed(r, &rc);
    if (c == NULL) {
        return rc;
    }
    struct stat st = {0};
    int fd = open_beside(r->api, c->id, suffix, &st);
    if (fd < 0) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "capture '%s' has no %s", c->id, what);
    }
    return send_file(r, fd, (uint64_t)st.st_size, &(struct entity){.type = "application/json"});
}

enum MHD_Result api_files_manifest(struct api_request *r)
{
    return json_file(r, ".manifest.json", "manifest");
}

enum MHD_Result api_files_report(struct api_request *r)
{
    return json_file(r, ".report.json", "report");
}

/* A file of the store's file system that has no name: O_TMPFILE, or created and unlinked. */
static int nameless(const struct api *api)
{
    int fd = openat(api->bundles_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        return fd;
    }
    static unsigned serial;
    char name[64];
    (void)snprintf(name, sizeof(name), ".extract-%d-%u.tmp", (int)getpid(), serial++);
    fd = openat(api->bundles_fd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)unlinkat(api->bundles_fd, name, 0);
    }
    return fd;
}

/* Relative, without empty, "." and ".." segments and without control characters. */
static bool path_ok(const char *path)
{
    const char *segment = path;
    for (const char *p = path;; p++) {
        if (*p != '\0' && *p != '/') {
            if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '\\') {
                return false;
            }
            continue;
        }
        size_t len = (size_t)(p - segment);
        if (len == 0 || (len <= 2 && strncmp(segment, "..", len) == 0)) {
            return false;
        }
        if (*p == '\0') {
            return true;
        }
        segment = p + 1;
    }
}

static enum MHD_Result extracted(struct api_request *r)
{
    struct api_command *c = &r->call->command;
    struct stat st = {0};
    if (c->http_status != MHD_HTTP_OK) {
        return api_command_problem(r);
    }
    if (fstat(c->output_fd, &st) != 0) {
        return api_request_problem(r, 500, "the extracted file cannot be read");
    }
    const char *slash = strrchr(c->path, '/');
    char name[256];
    (void)snprintf(name, sizeof(name), "%.255s", slash == NULL ? c->path : slash + 1);
    for (char *p = name; *p != '\0'; p++) {
        if (*p == '"' || (unsigned char)*p >= 0x80) {
            *p = '_';
        }
    }
    return send_file(r, take_fd(&c->output_fd), (uint64_t)st.st_size,
                     &(struct entity){.type = "application/octet-stream",
                                      .file_name = name,
                                      .csp = "sandbox; default-src 'none'"});
}

enum MHD_Result api_files_member(struct api_request *r)
{
    enum MHD_Result rc = MHD_NO;
    const struct view_capture *capture = sealed(r, &rc);
    if (capture == NULL) {
        return rc;
    }
    if (!path_ok(r->path)) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "no such file in the bundle");
    }
    struct api_call *call = api_command_for_capture(r, API_EXTRACT);
    int fd = call == NULL ? -1 : nameless(r->api);
    if (fd < 0) {
        if (call != NULL) {
            api_command_release(call);
        }
        return api_request_problem(r, 500, "no file for the answer can be made in the store");
    }
    call->command.output_fd = fd;
    memcpy(call->command.path, r->path, sizeof(call->command.path));
    return api_command_queue(r, call, extracted);
}
