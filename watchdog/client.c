/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c: one libcurl handle per run of incidentctl.
 *
 * Errors come as problem+json and are passed on in the daemon's words; what is added is what the
 * person at the keyboard can do. Redirects are not followed: the daemon sends none, and a token
 * must not travel to where somebody else points. Answers are capped, downloads are not buffered.
 */
#include "watchdog/client.h"

#include "base/fs.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <strings.h>

static int add_token(struct client *c, const char *file, struct error *err)
{
    AUTO_BUF struct buf token = BUF_INIT(4096);
    int rc = fs_read_at(AT_FDCWD, file, &token, err);
    if (rc < 0) {
        return error_remedy(err, "give the file with the API token by --token-file");
    }
    AUTO_FREE char *header = xasprintf("Authorization: Bearer %.*s",
                                       (int)strcspn(buf_text(&token), " \t\r\n"), buf_text(&token));
    c->headers = curl_slist_append(c->headers, header);
    return 0;
}

int client_open(const struct verb_common *common, struct client *ret, struct error *err)
{
    *ret = (struct client){.length = -1};
    const char *server = common->server != NULL ? common->server : getenv("INCIDENTD_SERVER");
    const char *file =
        common->token_file != NULL ? common->token_file : getenv("INCIDENTD_TOKEN_FILE");
    server = server == NULL || server[0] == '\0' ? CLIENT_SERVER : server;
    (void)snprintf(ret->server, sizeof(ret->server), "%s%.480s",
                   strstr(server, "://") == NULL ? "http://" : "", server);
    for (size_t n = strlen(ret->server); n > 0 && ret->server[n - 1] == '/'; n--) {
        ret->server[n - 1] = '\0';
    }
    ret->curl = curl_easy_init();
    if (ret->curl == NULL) {
        return error_set(err, -ENOMEM, "cannot start libcurl");
    }
    int rc = file == NULL || file[0] == '\0' ? 0 : add_token(ret, file, err);
    if (rc < 0) {
        client_close(ret);
    }
    return rc;
}

void client_close(struct client *c)
{
    curl_slist_free_all(c->headers);
    curl_easy_cleanup(c->curl);
    c->headers = NULL;
    c->curl = NULL;
}

/* Copies the value of header `name` when `line` is that header. */
static void keep_header(const char *line, size_t len, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    if (len <= n || strncasecmp(line, name, n) != 0) {
        return;
    }
    while (n < len && (line[n] == ' ' || line[n] == '\t')) {
        n++;
    }
    while (len > n && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' ')) {
        len--;
    }
    (void)snprintf(out, size, "%.*s", (int)(len - n), line + n);
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct client *c = arg;
    size_t len = size * count;
    char number[32] = "";
    keep_header(line, len, "Location:", c->location, sizeof(c->location));
    keep_header(line, len, "X-Checksum-SHA256:", c->sha256, sizeof(c->sha256));
    keep_header(line, len, "ETag:", c->etag, sizeof(c->etag));
    keep_header(line, len, "Retry-After:", number, sizeof(number));
    if (number[0] != '\0') {
        c->retry_s = strtoll(number, NULL, 10);
    }
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct buf *body = arg;
    return buf_add(body, data, size * count) == 0 ? size * count : 0;
}

/* Resets the handle for a request to `path`. */
static void prepare(struct client *c, const char *path)
{
    AUTO_FREE char *url = xasprintf("%s%s", c->server, path);
    curl_easy_reset(c->curl);
    c->status = 0;
    c->retry_s = 0;
    c->length = -1;
    c->location[0] = c->sha256[0] = c->etag[0] = '\0';
    (void)curl_easy_setopt(c->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    (void)curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, 60L);
    (void)curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "incidentctl/" INCIDENTD_VERSION);
    (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, (struct curl_slist *)c->headers);
    (void)curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
}

static int transport_failure(const struct client *c, CURLcode code, struct error *err)
{
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) {
        (void)error_set(err, -ECONNREFUSED, "nothing answers at '%s': %s", c->server,
                        curl_easy_strerror(code));
        return error_remedy(err, "is incidentd running? name another daemon by --server URL");
    }
    (void)error_set(err, -EIO, "'%s': %s", c->server, curl_easy_strerror(code));
    return code == CURLE_SSL_CONNECT_ERROR
               ? error_remedy(err, "incidentd speaks plain HTTP: --server http://...")
               : -EIO;
}

/* An answer that is no 2xx, in the daemon's words. */
static int refused(const struct client *c, const char *body, struct error *err)
{
    cJSON *json = cJSON_Parse(body);
    const char *detail = client_text(json, "detail");
    detail = detail[0] != '\0' ? detail : client_text(json, "title");
    int code = c->status == 404                       ? -ENOENT
               : c->status == 401 || c->status == 403 ? -EACCES
               : c->status == 429 || c->status == 503 ? -EBUSY
                                                      : -EIO;
    (void)error_set(err, code, "%.400s (HTTP %ld)", detail[0] != '\0' ? detail : "refused",
                    c->status);
    cJSON_Delete(json);
    if (code == -ENOENT) {
        return error_remedy(err, "`incidentctl ls` lists what there is");
    }
    if (code == -EACCES) {
        return error_remedy(err, "give the daemon's token by --token-file FILE");
    }
    if (c->retry_s > 0) {
        return error_remedy(err, "again in %lld s", (long long)c->retry_s);
    }
    return code;
}

int client_call(struct client *c, const char *method, const char *path, const char *body,
                cJSON **ret, struct error *err)
{
    AUTO_BUF struct buf answer = BUF_INIT(LIMIT_RESPONSE_BYTES);
    prepare(c, path);
    struct curl_slist *extra = NULL;
    (void)curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &answer);
    if (body != NULL) {
        for (const struct curl_slist *h = c->headers; h != NULL; h = h->next) {
            extra = curl_slist_append(extra, h->data);
        }
        extra = curl_slist_append(extra, "Content-Type: application/json");
        (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, extra);
        (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    }
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(extra);
    if (code != CURLE_OK) {
        return transport_failure(c, code, err);
    }
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->status);
    if (c->status < 200 || c->status > 299) {
        return refused(c, buf_text(&answer), err);
    }
    if (ret != NULL) {
        *ret = cJSON_Parse(buf_text(&answer));
        if (*ret == NULL && answer.len > 0) {
            (void)error_set(err, -EPROTO, "'%s%s' answers with something that is not JSON",
                            c->server, path);
            return error_remedy(err, "is that URL incidentd's?");
        }
    }
    return 0;
}

int client_head(struct client *c, const char *path, struct error *err)
{
    prepare(c, path);
    (void)curl_easy_setopt(c->curl, CURLOPT_NOBODY, 1L);
    CURLcode code = curl_easy_perform(c->curl);
    if (code != CURLE_OK) {
        return transport_failure(c, code, err);
    }
    curl_off_t length = -1;
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->status);
    (void)curl_easy_getinfo(c->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    c->length = length;
    return c->status == 200 ? 0 : refused(c, "", err);
}

struct download {
    struct client *client;
    const struct client_download *wanted;
    int64_t done;
    bool started;
    struct error *err;
    int code;
    struct buf refusal; /* the body of an answer that is no 2xx */
};

/* Bytes of the answer: into the file, from its start unless the daemon agreed to go on. */
static size_t on_download(char *data, size_t size, size_t count, void *arg)
{
    struct download *d = arg;
    size_t len = size * count;
    (void)curl_easy_getinfo(d->client->curl, CURLINFO_RESPONSE_CODE, &d->client->status);
    if (d->client->status != 200 && d->client->status != 206) {
        (void)buf_add(&d->refusal, data, len);
        return len;
    }
    if (!d->started) {
        d->started = true;
        d->done = d->client->status == 206 ? d->wanted->offset : 0;
        if (ftruncate(d->wanted->fd, d->done) < 0 || lseek(d->wanted->fd, d->done, SEEK_SET) < 0) {
            d->code = error_errno(d->err, -errno, "cannot write the file");
            return 0;
        }
    }
    d->code = fs_write_all(d->wanted->fd, data, len, d->err);
    d->done += (int64_t)len;
    if (d->wanted->on_bytes != NULL) {
        d->wanted->on_bytes(d->done, d->wanted->arg);
    }
    return d->code < 0 ? 0 : len;
}

int client_download(struct client *c, const struct client_download *wanted, struct error *err)
{
    struct download d = {
        .client = c, .wanted = wanted, .err = err, .refusal = BUF_INIT(LIMIT_REQUEST_BODY_BYTES)};
    prepare(c, wanted->path);
    struct curl_slist *headers = NULL;
    for (const struct curl_slist *h = c->headers; h != NULL; h = h->next) {
        headers = curl_slist_append(headers, h->data);
    }
    if (wanted->offset > 0 && wanted->etag != NULL && wanted->etag[0] != '\0') {
        AUTO_FREE char *range = xasprintf("Range: bytes=%lld-", (long long)wanted->offset);
        AUTO_FREE char *guard = xasprintf("If-Range: %s", wanted->etag);
        headers = curl_slist_append(headers, range);
        headers = curl_slist_append(headers, guard);
    }
    (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_download);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &d);
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->status);
    int rc = d.code < 0 ? d.code : code != CURLE_OK ? transport_failure(c, code, err) : 0;
    if (rc == 0 && c->status != 200 && c->status != 206) {
        rc = refused(c, buf_text(&d.refusal), err);
    }
    buf_release(&d.refusal);
    return rc;
}

char *client_path(const char *prefix, const char *id, const char *suffix, char *out, size_t size)
{
    char *safe = curl_easy_escape(NULL, id, 0);
    (void)snprintf(out, size, "%s%.400s%s", prefix, safe == NULL ? "" : safe, suffix);
    curl_free(safe);
    return out;
}

const char *client_text(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

double client_number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

bool client_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

const cJSON *client_array(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsArray(item) ? item : NULL;
}

void client_print(const cJSON *json)
{
    char *text = json == NULL ? NULL : cJSON_Print(json);
    (void)puts(text == NULL ? "null" : text);
    free(text);
}

void client_put(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        (void)putchar((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    }
}

int client_fail(const char *verb, const struct error *err)
{
    char text[1100];
    (void)fprintf(stderr, "incidentctl %s: %s\n", verb, error_text(err, text, sizeof(text)));
    return VERB_FAILED;
}

char *client_ago(int64_t ms, char *out, size_t size)
{
    int64_t s = ms / 1000;
    if (ms < 60000) {
        (void)snprintf(out, size, "%.1f s", (double)ms / 1000);
    } else if (s < 3600) {
        (void)snprintf(out, size, "%lldm%02llds", (long long)(s / 60), (long long)(s % 60));
    } else {
        (void)snprintf(out, size, "%lldh%02lldm", (long long)(s / 3600), (long long)(s / 60 % 60));
    }
    return out;
}

char *client_size(int64_t bytes, char *out, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}
