/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_get.c: a bundle onto this machine, whole and verified, or not at all.
 *
 * Bytes go to <file>.part; a later run asks for the rest with Range and If-Range, so that a bundle
 * that was replaced meanwhile starts from the beginning. The SHA-256 is taken of the finished file
 * and compared with the daemon's; only then it gets its name.
 */
#include "base/fs.h"
#include "watchdog/client.h"
#include "watchdog/cmd.h"
#include "watchdog/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>

struct get {
    struct client client;
    struct progress bar;
    char id[LIMIT_ID_BYTES + 1];
    char url[512];
    char path[1024];
    char part[1040];
    bool force;
    bool bar_wanted;
};

static int digest_of(int fd, char *hex, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char chunk[65536];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              lseek(fd, 0, SEEK_SET) == 0;
    ssize_t n = 1;
    while (ok && n > 0) {
        n = read(fd, chunk, sizeof(chunk));
        ok = n >= 0 && EVP_DigestUpdate(ctx, chunk, (size_t)n) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; ok && i < 32; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    return ok ? 0 : error_set(err, -EIO, "cannot read back what was downloaded");
}

/* The full id behind "latest" or a prefix, and whether there is a bundle yet. */
static int resolve(struct get *g, const char *wanted, struct error *err)
{
    char path[512];
    cJSON *answer = NULL;
    (void)client_path("/api/v1/captures/", wanted, "", path, sizeof(path));
    int rc = client_call(&g->client, "GET", path, NULL, &answer, err);
    if (rc < 0) {
        return rc;
    }
    const cJSON *view = cJSON_GetObjectItemCaseSensitive(answer, "capture");
    view = cJSON_IsObject(view) ? view : answer;
    const char *state = client_text(view, "state");
    if (!fs_name_ok(client_text(view, "id"), LIMIT_ID_BYTES)) {
        rc = error_set(err, -EPROTO, "the daemon names no capture '%s'", wanted);
    } else if (strcmp(state, "sealed") != 0 && strcmp(state, "partial") != 0) {
        (void)error_set(err, -EAGAIN, "'%s' is still %s", client_text(view, "id"), state);
        rc = error_remedy(err, "again in some seconds");
    } else {
        (void)snprintf(g->id, sizeof(g->id), "%s", client_text(view, "id"));
        (void)client_path("/api/v1/captures/", g->id, "/bundle", g->url, sizeof(g->url));
    }
    cJSON_Delete(answer);
    return rc;
}

/* Where it goes: -o FILE, -o FOLDER, or the working directory. */
static int place(struct get *g, const char *wanted, struct error *err)
{
    struct stat st = {0};
    bool folder = wanted != NULL && stat(wanted, &st) == 0 && S_ISDIR(st.st_mode);
    if (wanted == NULL || folder) {
        (void)snprintf(g->path, sizeof(g->path), "%s%s%s.tar.zst", folder ? wanted : "",
                       folder ? "/" : "", g->id);
    } else {
        (void)snprintf(g->path, sizeof(g->path), "%s", wanted);
    }
    (void)snprintf(g->part, sizeof(g->part), "%s.part", g->path);
    if (!g->force && lstat(g->path, &st) == 0) {
        (void)error_set(err, -EEXIST, "'%s' exists", g->path);
        return error_remedy(err, "--force replaces it, -o PATH takes another place");
    }
    return 0;
}

static void on_bytes(int64_t done, void *arg)
{
    progress_update(arg, done);
}

static int fetch(struct get *g, int fd, struct error *err)
{
    int rc = client_head(&g->client, g->url, err);
    if (rc < 0) {
        return rc;
    }
    char etag[sizeof(g->client.etag)];
    char wanted[sizeof(g->client.sha256)];
    int64_t total = g->client.length;
    (void)snprintf(etag, sizeof(etag), "%s", g->client.etag);
    (void)snprintf(wanted, sizeof(wanted), "%s", g->client.sha256);
    struct stat st = {0};
    (void)fstat(fd, &st);
    int64_t have = st.st_size < total ? st.st_size : 0;
    bool whole = st.st_size == total && total > 0;
    progress_init(&g->bar, have, total, g->bar_wanted);
    const struct client_download d = {.path = g->url,
                                      .etag = etag,
                                      .fd = fd,
                                      .offset = have,
                                      .on_bytes = on_bytes,
                                      .arg = &g->bar};
    rc = whole ? 0 : client_download(&g->client, &d, err);
    progress_clear(&g->bar);
    if (rc < 0) {
        return rc == -EIO ? error_remedy(err, "what has come is kept: the same command goes on")
                          : rc;
    }
    char got[65] = "";
    rc = digest_of(fd, got, err);
    if (rc == 0 && strcmp(got, wanted) != 0) {
        (void)unlink(g->part);
        (void)error_set(err, -EBADMSG, "SHA-256 is %s, the daemon says '%s'", got, wanted);
        rc = error_remedy(err, "the file was removed: again");
    }
    return rc;
}

static int save(struct get *g, struct error *err)
{
    AUTO_CLOSE int fd = open(g->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return error_errno(err, -errno, "cannot create '%s'", g->part);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return error_set(err, -EBUSY, "another incidentctl is downloading into '%s'", g->part);
    }
    int rc = fetch(g, fd, err);
    if (rc == 0 && fsync(fd) < 0) {
        rc = error_errno(err, -errno, "cannot write '%s'", g->part);
    }
    if (rc == 0 &&
        renameat2(AT_FDCWD, g->part, AT_FDCWD, g->path, g->force ? 0 : RENAME_NOREPLACE) < 0) {
        rc = error_errno(err, -errno, "cannot put '%s' in place", g->path);
    }
    return rc;
}

int cmd_get(int argc, char **argv)
{
    static const struct verb verb = {
        .name = "get",
        .usage = "[ID|latest] [-o PATH] [--force]",
        .summary = "Downloads a bundle, goes on where it broke off, verifies its SHA-256",
        .example = "incidentctl get latest -o /tmp",
        .fallback = "latest",
    };
    struct get g = {.force = false};
    const char *output = NULL;
    const struct verb_option own[] = {
        {"output", 'o', "PATH", "file or folder (else: the working directory)", &output, NULL},
        {"force", 'f', NULL, "replace an existing file", NULL, &g.force},
        {.name = NULL}};
    struct verb_common common;
    struct error err = ERROR_INIT;
    int end = verb_parse(argc, argv, &verb, own, &common);
    if (end >= 0) {
        return end;
    }
    g.bar_wanted = !common.no_progress;
    int rc = client_open(&common, &g.client, &err);
    if (rc < 0) {
        return client_fail(verb.name, &err);
    }
    rc = resolve(&g, common.argument, &err);
    rc = rc < 0 ? rc : place(&g, output, &err);
    rc = rc < 0 ? rc : save(&g, &err);
    client_close(&g.client);
    if (rc < 0) {
        return client_fail(verb.name, &err);
    }
    (void)puts(g.path);
    return VERB_DONE;
}
