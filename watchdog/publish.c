/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/publish.h"

#include <errno.h>
#include <fcntl.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "base/fs.h"
#include "base/json.h"

static char *temp_name(char *out, size_t size, const char *id)
{
    (void)snprintf(out, size, ".%s.tmp", id);
    return out;
}

int publish_open(int bundles_fd, const char *id, struct error *err)
{
    char name[LIMIT_ID_BYTES + 24];
    (void)temp_name(name, sizeof(name), id);
    (void)unlinkat(bundles_fd, name, 0);
    int fd = openat(bundles_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot create '%s'", name);
    }
    return fd;
}

void publish_drop(int bundles_fd, const char *id)
{
    char name[LIMIT_ID_BYTES + 24];
    (void)unlinkat(bundles_fd, temp_name(name, sizeof(name), id), 0);
}

static void to_hex(const unsigned char *digest, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * len] = '\0';
}

/* SHA-256 of the whole file, as 64 hex digits, and its length. */
static int sum_file(int fd, char hex[65], int64_t *ret_size, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    unsigned digest_len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    char *chunk = xcalloc(1, 256 << 10);
    int rc = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
    int64_t size = 0;
    while (rc == 0) {
        ssize_t n = pread(fd, chunk, 256 << 10, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        rc = n < 0 ? -errno : 0;
        if (n <= 0) {
            break;
        }
        rc = EVP_DigestUpdate(ctx, chunk, (size_t)n) == 1 ? 0 : -EIO;
        size += n;
    }
    if (rc == 0) {
        rc = EVP_DigestFinal_ex(ctx, digest, &digest_len) == 1 && digest_len == 32 ? 0 : -EIO;
    }
    EVP_MD_CTX_free(ctx);
    free(chunk);
    if (rc < 0) {
        return error_errno(err, rc, "cannot compute the checksum");
    }
    to_hex(digest, 32, hex);
    *ret_size = size;
    return 0;
}

/* What the sealer claims, compared with what is there. */
static int check_claims(const cJSON *status, const struct store_entry *e, struct error *err)
{
    const cJSON *ok = cJSON_GetObjectItemCaseSensitive(status, "ok");
    const cJSON *why = cJSON_GetObjectItemCaseSensitive(status, "error");
    const cJSON *sum = cJSON_GetObjectItemCaseSensitive(status, "sha256");
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(status, "size");
    if (!cJSON_IsTrue(ok)) {
        return error_set(err, -EIO, "the sealer failed: %.300s",
                         cJSON_IsString(why) ? why->valuestring : "it did not say why");
    }
    if (!cJSON_IsString(sum) || strcmp(sum->valuestring, e->sha256) != 0 || !cJSON_IsNumber(size) ||
        (int64_t)size->valuedouble != e->size_bytes || e->size_bytes == 0) {
        return error_set(err, -EIO, "the bundle is not what the sealer says it wrote");
    }
    return 0;
}

/* Takes the manifest out of the status and its facts into `e`. */
static int take_manifest(const cJSON *status, const char *id, char **ret_text,
                         struct store_entry *e, struct error *err)
{
    const cJSON *manifest = cJSON_GetObjectItemCaseSensitive(status, "manifest");
    AUTO_FREE char *text = cJSON_IsObject(manifest) ? cJSON_Print(manifest) : NULL;
    if (text == NULL) {
        return error_set(err, -EINVAL, "the sealer gave no manifest");
    }
    struct store_entry known = *e;
    int rc = store_manifest(text, strlen(text), id, e, err);
    memcpy(e->sha256, known.sha256, sizeof(known.sha256));
    e->size_bytes = known.size_bytes;
    if (rc == 0) {
        *ret_text = take_ptr(text);
    }
    return rc;
}

static int write_beside(const struct publish_request *r, const struct store_entry *e,
                        const char *manifest, struct error *err)
{
    char name[LIMIT_ID_BYTES + 24];
    char sum[LIMIT_ID_BYTES + 96];
    (void)snprintf(name, sizeof(name), "%s.manifest.json", r->id);
    int rc = fs_replace_at(r->bundles_fd, name, manifest, strlen(manifest), 0600, err);
    if (rc == 0 && r->report != NULL) {
        (void)snprintf(name, sizeof(name), "%s.report.json", r->id);
        rc = fs_replace_at(r->bundles_fd, name, r->report, r->report_len, 0600, err);
    }
    if (rc == 0) {
        int n = snprintf(sum, sizeof(sum), "%s  %s.tar.zst\n", e->sha256, r->id);
        (void)snprintf(name, sizeof(name), "%s.sha256", r->id);
        rc = fs_replace_at(r->bundles_fd, name, sum, (size_t)n, 0600, err);
    }
    return rc;
}

static int list(const struct publish_request *r, struct error *err)
{
    char temp[LIMIT_ID_BYTES + 24];
    char name[LIMIT_ID_BYTES + 24];
    (void)temp_name(temp, sizeof(temp), r->id);
    (void)snprintf(name, sizeof(name), "%s.tar.zst", r->id);
    if (fsync(r->packed_fd) < 0 || renameat(r->bundles_fd, temp, r->bundles_fd, name) < 0 ||
        fsync(r->bundles_fd) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot put '%s' in place", name);
    }
    return 0;
}

int publish_bundle(const struct publish_request *r, struct store_entry *ret, struct error *err)
{
    struct store_entry e = {.grade = WATCH_NONE};
    AUTO_FREE char *manifest = NULL;
    bool bomb = json_values(r->status, r->status_len) > JSON_VALUES_MAX;
    cJSON *status = bomb ? NULL : cJSON_ParseWithLength(r->status, r->status_len);
    int rc = cJSON_IsObject(status) ? 0
                                    : error_set(err, -EIO, "the sealer said %s",
                                                bomb ? "more than it may" : "nothing");
    if (rc == 0) {
        rc = sum_file(r->packed_fd, e.sha256, &e.size_bytes, err);
    }
    if (rc == 0) {
        rc = check_claims(status, &e, err);
    }
    if (rc == 0) {
        rc = take_manifest(status, r->id, &manifest, &e, err);
    }
    cJSON_Delete(status);
    if (manifest != NULL) {
        rc = write_beside(r, &e, manifest, err);
    }
    if (rc == 0) {
        rc = list(r, err);
    }
    if (rc == 0) {
        e.sealed_ms = r->now_ms;
        *ret = e;
    }
    return rc;
}
