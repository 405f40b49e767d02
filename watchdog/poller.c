/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poller.c: curl's multi handle driven by libuv's descriptors and timers.
 *
 * Each target has one easy handle, one page buffer and one timer for its whole life, so that a poll
 * allocates nothing of a page's size and reuses its connection. curl tells which descriptors and
 * which timeout it waits for; libuv waits; curl_multi_socket_action() moves the transfers on. A
 * page, a hang or an endless answer of one target thereby costs the others nothing.
 *
 * What libuv and curl want: a socket's context is freed in libuv's close callback, never in curl's
 * socket callback; a curl timeout of 0 becomes a timer, never a call back into curl; results are
 * handed out only after curl has returned, so that the callee may even stop the poller.
 * CURLOPT_QUICK_EXIT keeps curl from joining a resolver's thread that waits for a dead name server.
 *
 * The schedule. A start is due one interval after the previous one was due. Once a page takes more
 * than a twentieth of the interval (smoothed, slow to rise and quick to fall), the interval becomes
 * twenty times that duration, at most a minute. What fails without an answer keeps the base rate,
 * since source_down wants its three misses soon; after PATIENCE misses in a row it is tried every
 * few seconds only: a target that computes a page for longer than the timeout would otherwise do
 * nothing else. The first polls of many targets are spread over a tenth of a second.
 *
 * A page from the same machine is asked for uncompressed: compressing it would cost the target more
 * than it saves anybody. It is inflated in any case when it comes compressed, and counted after
 * that.
 */
#include "watchdog/poller.h"

#include <curl/curl.h>
#include <errno.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

#define ACCEPT                                                                                     \
    "Accept: application/openmetrics-text;version=1.0.0,"                                          \
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

enum {
    STRETCH = 20, /* a page costs at most 1/20 of the time */
    STRETCH_MAX_MS = 60000,
    PATIENCE = 5,          /* misses at the base rate */
    IMPATIENT_MS = 5000,   /* the interval after them */
    SPREAD_MS = 100,       /* of the first polls */
    KEEP_BYTES = 2 << 20,  /* a page buffer above this is given back after the poll */
    READ_BYTES = 64 << 10, /* curl's receive buffer */
};

enum refusal { REFUSED_NOT, REFUSED_STATUS, REFUSED_SIZE };

struct slot {
    struct poller *poller;
    struct poller_target target;
    CURL *easy;
    uv_timer_t timer;
    struct buf page;
    enum refusal refusal; /* why our write callback ended the transfer */
    bool active;
    unsigned silent; /* misses without any answer in a row */
    double smooth_ms;
    int64_t due_ms; /* monotonic */
    int64_t begun_ms;
    int64_t wall_ms;
    struct poller_stats stats;
};

struct poller {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer; /* curl's own timeouts */
    struct curl_slist *headers;
    void (*done)(const struct poller_result *result, void *arg);
    void *arg;
    size_t count;
    size_t open; /* libuv handles not closed yet */
    bool stopping;
    struct slot *slots;
};

struct watched {
    uv_poll_t poll;
    struct poller *poller;
    curl_socket_t fd;
};

static void free_poller(struct poller *p)
{
    for (size_t i = 0; i < p->count; i++) {
        buf_release(&p->slots[i].page);
    }
    free(p->slots);
    free(p);
}

static void closed(struct poller *p)
{
    if (--p->open == 0) {
        free_poller(p);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    closed(handle->data);
}

static void on_watched_closed(uv_handle_t *handle)
{
    struct watched *w = handle->data;
    struct poller *p = w->poller;
    free(w);
    closed(p);
}

/* What curl's codes mean to the owner of a target; the first row that fits counts. */
static const struct reason {
    CURLcode code;
    int error;
    const char *message;
    const char *remedy;
} reasons[] = {
    {CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH, "the name of the host cannot be resolved",
     "check the host in 'metrics:' and this machine's name server"},
    {CURLE_COULDNT_CONNECT, -ECONNREFUSED, "nothing accepts connections there",
     "check that the target runs and listens on this address and port"},
    {CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT, "no complete page within the timeout",
     "a healthy page that takes longer needs a greater 'timeout:'"},
    {CURLE_FILESIZE_EXCEEDED, -EFBIG, "the page is larger than we read",
     "serve fewer series there, or point 'metrics:' at a smaller page"},
    {CURLE_UNSUPPORTED_PROTOCOL, -EPROTO, "what answers there does not speak HTTP",
     "check the port in 'metrics:'"},
    {CURLE_WEIRD_SERVER_REPLY, -EPROTO, "what answers there does not speak HTTP",
     "check the port in 'metrics:'"},
    {CURLE_BAD_CONTENT_ENCODING, -EBADMSG, "the page is damaged: it cannot be decompressed",
     "open the URL with curl -v --compressed from this machine"},
    {CURLE_GOT_NOTHING, -ECONNRESET, "the connection was closed without an answer",
     "look into the target's own log"},
    {CURLE_PARTIAL_FILE, -ECONNRESET, "the connection ended before the page did",
     "look into the target's own log"},
    {CURLE_RECV_ERROR, -ECONNRESET, "the connection broke before the page ended",
     "look into the target's own log"},
};

/* Why a transfer failed, by curl's code, with how far it came. */
static void tell(const struct slot *s, CURLcode code, struct error *err)
{
    const struct reason *r = NULL;
    for (size_t i = 0; i < ARRAY_LEN(reasons) && r == NULL; i++) {
        r = reasons[i].code == code ? &reasons[i] : NULL;
    }
    (void)error_set(err, r != NULL ? r->error : -EIO, "%s (%zu bytes after %lld ms)",
                    r != NULL ? r->message : curl_easy_strerror(code), s->page.len,
                    (long long)(clock_mono_ms() - s->begun_ms));
    (void)error_remedy(err, "%s",
                       r != NULL ? r->remedy : "open the URL with curl -v from this machine");
}

static void tell_status(const struct slot *s, struct error *err)
{
    long status = 0;
    char *location = NULL;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(s->easy, CURLINFO_REDIRECT_URL, &location);
    if (location != NULL) {
        (void)error_set(err, -EREMCHG, "it answers with status %ld and sends us to '%.300s'",
                        status, location);
        (void)error_remedy(err, "redirects are not followed: name the final address in 'metrics:'");
        return;
    }
    (void)error_set(err, -EBADMSG, "it answers with status %ld instead of 200", status);
    (void)error_remedy(err, status == 404 ? "check the path in 'metrics:'"
                                          : "open the URL with curl -v from this machine");
}

/* The interval that follows, by what the poll cost. */
static void pace(struct slot *s, bool answered)
{
    int64_t interval = s->target.interval_ms;
    if (answered) {
        curl_off_t us = 0;
        (void)curl_easy_getinfo(s->easy, CURLINFO_TOTAL_TIME_T, &us);
        double ms = (double)us / 1000;
        s->smooth_ms += (ms - s->smooth_ms) * (ms > s->smooth_ms ? 0.125 : 0.5);
        s->silent = 0;
        int64_t stretched = (int64_t)(s->smooth_ms * STRETCH);
        stretched = stretched < STRETCH_MAX_MS ? stretched : STRETCH_MAX_MS;
        interval = stretched > interval ? stretched : interval;
    } else if (++s->silent > PATIENCE && interval < IMPATIENT_MS) {
        interval = IMPATIENT_MS;
    }
    s->stats.interval_ms = interval;
}

static void on_due(uv_timer_t *timer);

static void schedule(struct slot *s)
{
    int64_t now = clock_mono_ms();
    s->due_ms += s->stats.interval_ms;
    if (s->due_ms < now) { /* the poll took longer than the interval: not late, but not before */
        s->due_ms = now;
    }
    uv_update_time(s->poller->loop);
    (void)uv_timer_start(&s->timer, on_due, (uint64_t)(s->due_ms - now), 0);
}

/* Fills err when the transfer brought no page; whether the target answered at all. */
static bool judge_transfer(const struct slot *s, CURLcode code, struct error *err)
{
    long status = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (s->refusal == REFUSED_STATUS || (code == CURLE_OK && status != 200)) {
        tell_status(s, err);
    } else if (s->refusal == REFUSED_SIZE) {
        tell(s, CURLE_FILESIZE_EXCEEDED, err);
    } else if (code != CURLE_OK) {
        tell(s, code, err);
    } else if (s->page.len == 0) {
        (void)error_set(err, -ENODATA, "the page is empty");
        (void)error_remedy(err, "point 'metrics:' at Prometheus text or OpenMetrics");
    }
    if (err->code != 0) {
        (void)error_at(err, s->target.url, 0, 0);
    }
    return code == CURLE_OK || s->refusal != REFUSED_NOT;
}

static void hand_out(const struct slot *s, const struct error *err)
{
    struct poller *p = s->poller;
    char *type = NULL;
    (void)curl_easy_getinfo(s->easy, CURLINFO_CONTENT_TYPE, &type);
    bool good = err->code == 0;
    const struct poller_result result = {
        .target = (size_t)(s - p->slots),
        .wall_ms = s->wall_ms,
        .duration_ms = s->stats.last_ms,
        .page = good ? buf_text(&s->page) : NULL,
        .len = good ? s->page.len : 0,
        .openmetrics = type != NULL && strncasecmp(type, "application/openmetrics-text", 28) == 0,
        .err = good ? NULL : err,
    };
    p->done(&result, p->arg);
}

static void finish(struct slot *s, CURLcode code)
{
    struct poller *p = s->poller;
    struct error err = ERROR_INIT;
    bool answered = judge_transfer(s, code, &err);
    s->active = false;
    s->stats.polls++;
    s->stats.failures += err.code != 0 ? 1 : 0;
    s->stats.bytes += s->page.len;
    s->stats.last_ms = clock_mono_ms() - s->begun_ms;
    pace(s, answered);
    (void)curl_multi_remove_handle(p->multi, s->easy);
    hand_out(s, &err);
    if (p->stopping) {
        return;
    }
    if (s->page.capacity > KEEP_BYTES) {
        buf_release(&s->page);
    }
    schedule(s);
}

static void drive(struct poller *p, curl_socket_t fd, int events)
{
    int running = 0;
    (void)curl_multi_socket_action(p->multi, fd, events, &running);
    while (!p->stopping) {
        int left = 0;
        const CURLMsg *m = curl_multi_info_read(p->multi, &left);
        if (m == NULL) {
            return;
        }
        if (m->msg == CURLMSG_DONE) {
            struct slot *s = NULL;
            (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
            finish(s, m->data.result);
        }
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    const struct watched *w = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    drive(w->poller, w->fd, flags);
}

static void on_curl_timer(uv_timer_t *timer)
{
    drive(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct poller *p = arg;
    (void)multi;
    if (p->stopping) {
        return 0;
    }
    if (timeout_ms < 0) {
        (void)uv_timer_stop(&p->timer);
    } else {
        uv_update_time(p->loop);
        (void)uv_timer_start(&p->timer, on_curl_timer, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct poller *p = arg;
    struct watched *w = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)curl_multi_assign(p->multi, fd, NULL);
            (void)uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, on_watched_closed);
        }
        return 0;
    }
    if (w == NULL) {
        w = xcalloc(1, sizeof(*w));
        w->poller = p;
        w->fd = fd;
        if (uv_poll_init_socket(p->loop, &w->poll, fd) != 0) {
            free(w);
            return -1;
        }
        w->poll.data = w;
        p->open++;
        (void)curl_multi_assign(p->multi, fd, w);
    }
    int events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    (void)uv_poll_start(&w->poll, events, on_event);
    return 0;
}

static size_t on_data(char *data, size_t one, size_t len, void *arg)
{
    struct slot *s = arg;
    (void)one;
    if (s->page.len == 0) {
        long status = 0;
        (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status != 200) {
            s->refusal = REFUSED_STATUS;
            return 0;
        }
    }
    if (buf_add(&s->page, data, len) != 0) {
        s->refusal = REFUSED_SIZE;
        return 0;
    }
    return len;
}

static void on_due(uv_timer_t *timer)
{
    struct slot *s = timer->data;
    struct poller *p = s->poller;
    s->begun_ms = clock_mono_ms();
    s->wall_ms = clock_wall_ms();
    int64_t late = s->begun_ms - s->due_ms;
    s->stats.late_max_ms = late > s->stats.late_max_ms ? late : s->stats.late_max_ms;
    buf_clear(&s->page);
    s->refusal = REFUSED_NOT;
    s->active = true;
    (void)curl_multi_add_handle(p->multi, s->easy);
}

static void on_due_close(uv_handle_t *handle)
{
    const struct slot *s = handle->data;
    closed(s->poller);
}

/* Whether the page comes from this machine. */
static bool is_local(const char *url)
{
    static const char *const hosts[] = {"127.", "localhost:", "localhost/", "[::1]"};
    const char *host = strstr(url, "://");
    for (size_t i = 0; host != NULL && i < ARRAY_LEN(hosts); i++) {
        if (strncmp(host + 3, hosts[i], strlen(hosts[i])) == 0) {
            return true;
        }
    }
    return false;
}

static int prepare(struct slot *s, struct error *err)
{
    CURL *e = curl_easy_init();
    if (e == NULL) {
        return error_set(err, -ENOMEM, "no memory for a transfer");
    }
    s->easy = e;
    int bad = curl_easy_setopt(e, CURLOPT_URL, s->target.url) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->poller->headers) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING,
                            is_local(s->target.url) ? "identity" : "gzip") != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_USERAGENT, "incidentd/" INCIDENTD_VERSION) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_PRIVATE, s) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, s) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_PROXY, "") != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)READ_BYTES) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)s->target.timeout_ms) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)s->target.timeout_ms) != CURLE_OK;
    bad |= curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)LIMIT_PAGE_BYTES) != CURLE_OK;
    if (bad != 0) {
        (void)error_set(err, -EINVAL, "this libcurl lacks an option that polling needs");
        return error_at(err, s->target.url, 0, 0);
    }
    return 0;
}

static int make_multi(struct poller *p, struct error *err)
{
    p->multi = curl_multi_init();
    p->headers = curl_slist_append(NULL, ACCEPT);
    if (p->multi == NULL || p->headers == NULL) {
        return error_set(err, -ENOMEM, "no memory for curl");
    }
    (void)curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    (void)curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
    (void)curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    (void)curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
    (void)curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)(p->count + 1));
    return 0;
}

int poller_start(const struct poller_spec *spec, struct poller **ret, struct error *err)
{
    size_t count = spec->count;
    struct poller *p = xcalloc(1, sizeof(*p));
    p->loop = spec->loop;
    p->done = spec->done;
    p->arg = spec->arg;
    p->count = count;
    p->slots = xcalloc(count + 1, sizeof(*p->slots));
    (void)uv_timer_init(spec->loop, &p->timer);
    p->timer.data = p;
    p->open = 1 + count;
    int64_t now = clock_mono_ms();
    int rc = make_multi(p, err);
    for (size_t i = 0; i < count; i++) {
        struct slot *s = &p->slots[i];
        s->poller = p;
        s->target = spec->targets[i];
        buf_init(&s->page, LIMIT_PAGE_BYTES);
        (void)uv_timer_init(spec->loop, &s->timer);
        s->timer.data = s;
        s->stats.interval_ms = s->target.interval_ms;
        int64_t offset = (int64_t)i * SPREAD_MS / (int64_t)count;
        s->due_ms = now + offset;
        rc = rc == 0 ? prepare(s, err) : rc;
        (void)uv_timer_start(&s->timer, on_due, (uint64_t)offset, 0);
    }
    if (rc != 0) {
        poller_stop(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void poller_stop(struct poller *p)
{
    if (p == NULL || p->stopping) {
        return;
    }
    p->stopping = true;
    for (size_t i = 0; i < p->count; i++) {
        struct slot *s = &p->slots[i];
        if (s->active) {
            (void)curl_multi_remove_handle(p->multi, s->easy);
        }
        curl_easy_cleanup(s->easy);
        s->easy = NULL;
        uv_close((uv_handle_t *)&s->timer, on_due_close);
    }
    (void)curl_multi_cleanup(p->multi);
    p->multi = NULL;
    curl_slist_free_all(p->headers);
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

void poller_stats_of(const struct poller *p, size_t target, struct poller_stats *ret)
{
    *ret = p->slots[target].stats;
}
