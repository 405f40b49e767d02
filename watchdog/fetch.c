/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Go's net/http/pprof answers a second CPU profile with HTTP 500 "cpu profiling already in use" and
 * a second trace with "tracing already enabled": that is busy, not broken. It is asked again twice
 * a second until `retry_busy_ms` is over. Redirects are refused: what a target answers must not
 * send us anywhere else; the proxy variables of the environment likewise.
 */
#include "watchdog/fetch.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>

enum { CONNECT_MS = 1000, RETRY_EVERY_MS = 500, COMPLAINT_BYTES = 400 };

struct transfer {
    CURL *curl;
    int out_fd;
    int64_t left_bytes;
    bool too_large;
    int write_error;
    struct buf complaint; /* beginning of the body of a status other than 200 */
};

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;
    long status = 0;
    (void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        size_t room = t->complaint.max - t->complaint.len;
        (void)buf_add(&t->complaint, data, len < room ? len : room);
        return room > len ? len : 0; /* enough is known */
    }
    size_t fits = (int64_t)len > t->left_bytes ? (size_t)t->left_bytes : len;
    t->write_error = fs_write_all(t->out_fd, data, fits, NULL);
    t->left_bytes -= (int64_t)fits;
    t->too_large = fits < len;
    return t->write_error < 0 || t->too_large ? 0 : len;
}

static void set_up(CURL *curl, const struct fetch_options *o, struct transfer *t,
                   int64_t timeout_ms)
{
    long connect_ms = timeout_ms < CONNECT_MS ? (long)timeout_ms : CONNECT_MS;
    (void)curl_easy_setopt(curl, CURLOPT_URL, o->url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "incidentd/" INCIDENTD_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
}

/* The complaint on one line. */
static const char *one_line(struct buf *complaint)
{
    for (size_t i = 0; i < complaint->len; i++) {
        unsigned char c = (unsigned char)complaint->data[i];
        if (c < ' ' || c == 0x7f) {
            complaint->data[i] = ' ';
        }
    }
    while (complaint->len > 0 && complaint->data[complaint->len - 1] == ' ') {
        complaint->data[--complaint->len] = '\0';
    }
    return buf_text(complaint);
}

static bool is_busy(long status, const struct buf *complaint)
{
    const char *text = buf_text(complaint);
    return status == 500 &&
           (strstr(text, "already in use") != NULL || strstr(text, "already enabled") != NULL);
}

/* One attempt; curl's code and the HTTP status told apart. */
static enum fetch_end attempt(const struct fetch_options *o, struct transfer *t, int64_t timeout_ms,
                              struct error *err)
{
    buf_clear(&t->complaint);
    curl_easy_reset(t->curl);
    set_up(t->curl, o, t, timeout_ms);
    CURLcode code = curl_easy_perform(t->curl);
    long status = 0;
    (void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        (void)error_set(err, -ETIMEDOUT, "timed out after %lld ms", (long long)timeout_ms);
        return FETCH_TIMED_OUT;
    }
    if (t->too_large) {
        (void)error_set(err, -EFBIG, "longer than %lld bytes, the rest is cut",
                        (long long)o->max_bytes);
        return FETCH_TOO_LARGE;
    }
    if (t->write_error < 0) {
        (void)error_errno(err, t->write_error, "cannot write the body");
        return FETCH_CONNECTION;
    }
    if (status != 0 && status != 200) {
        (void)error_set(err, -EPROTO, "HTTP %ld: %s", status, one_line(&t->complaint));
        return is_busy(status, &t->complaint) ? FETCH_BUSY : FETCH_STATUS;
    }
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
        (void)error_set(err, -EINVAL, "'%s' is not an http:// or https:// URL", o->url);
        return FETCH_USAGE;
    }
    if (code != CURLE_OK) {
        (void)error_set(err, -EIO, "%s", curl_easy_strerror(code));
        return FETCH_CONNECTION;
    }
    return FETCH_DONE;
}

enum fetch_end fetch_run(const struct fetch_options *options, int out_fd, struct error *err)
{
    struct transfer t = {.out_fd = out_fd, .left_bytes = options->max_bytes};
    buf_init(&t.complaint, COMPLAINT_BYTES);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (t.curl = curl_easy_init()) == NULL) {
        (void)error_set(err, -ENOMEM, "cannot start libcurl");
        return FETCH_CONNECTION;
    }
    int64_t give_up_ms = clock_mono_ms() + options->retry_busy_ms;
    enum fetch_end end = attempt(options, &t, options->timeout_ms, err);
    while (end == FETCH_BUSY && clock_mono_ms() < give_up_ms) {
        (void)poll(NULL, 0, RETRY_EVERY_MS); /* nothing tells when the other client has ended */
        end = attempt(options, &t, options->timeout_ms, err);
    }
    curl_easy_cleanup(t.curl);
    curl_global_cleanup();
    buf_release(&t.complaint);
    return end;
}
