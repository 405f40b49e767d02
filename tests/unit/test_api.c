/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fs.h"
#include "watchdog/api_http.h"

#define ID "shop_availability_20261124T083112.345Z_pod_a1b2"
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOKEN "correct horse"

/* One server over a made store and view, with a thread that plays the loop. */
struct fixture {
    char folder[32];
    int folder_fd;
    struct api *api;
    int wake_fd;
    int answer_fd; /* written to once per command when `hold` is set and the command arrived */
    bool hold;     /* the loop takes commands and keeps them */
    bool end;
    struct api_command *kept[64];
    size_t kept_count;
    struct api_command last; /* a copy of the last one */
    pthread_t loop;
};

struct reply {
    long status;
    struct buf head;
    struct buf body;
};

static void wake(void *arg)
{
    const uint64_t one = 1;
    assert_int_equal(write(((struct fixture *)arg)->wake_fd, &one, sizeof(one)), sizeof(one));
}

static void play(struct fixture *f, struct api_command *c)
{
    f->last = *c;
    switch (c->kind) {
    case API_CAPTURE:
        c->http_status = strcmp(c->rule, "limited") == 0 ? 429 : 202;
        c->retry_after_s = c->http_status == 429 ? 30 : 0;
        (void)snprintf(c->created, sizeof(c->created), "%s", "shop_manual_1");
        (void)snprintf(c->detail, sizeof(c->detail), "%s", "the hourly limit is reached");
        break;
    case API_EXTRACT:
        c->http_status = strcmp(c->path, "artifacts/perf/perf.data") == 0 ? 200 : 404;
        (void)fs_write_all(c->output_fd, "PERFILE2", 8, NULL);
        break;
    case API_DELETE:
    case API_PIN:
        c->http_status = 204;
        break;
    case API_RELOAD:
        c->http_status = 500;
        (void)snprintf(c->detail, sizeof(c->detail), "line 3: \"x\" is unknown");
        break;
    }
    api_answer(f->api, c);
}

static void *run_loop(void *arg)
{
    struct fixture *f = arg;
    uint64_t n = 0;
    while (read(f->wake_fd, &n, sizeof(n)) == sizeof(n)) {
        if (__atomic_load_n(&f->end, __ATOMIC_ACQUIRE)) {
            return NULL;
        }
        for (struct api_command *c = api_next(f->api); c != NULL; c = api_next(f->api)) {
            if (f->hold) {
                f->kept[f->kept_count++] = c;
                n = 1;
                (void)!write(f->answer_fd, &n, sizeof(n));
            } else {
                play(f, c);
            }
        }
    }
    return NULL;
}

static void put(struct fixture *f, const char *suffix, const void *data, size_t len)
{
    char name[300];
    (void)snprintf(name, sizeof(name), ID "%s", suffix);
    assert_int_equal(fs_replace_at(f->folder_fd, name, data, len, 0600, NULL), 0);
}

static void publish(void)
{
    struct view *v = view_new();
    v->ready = true;
    (void)snprintf(v->status, sizeof(v->status), "ready");
    v->metrics = xstrdup("incidentd_polls_total 3\n");
    v->captures = xcalloc(2, sizeof(*v->captures));
    v->capture_count = 2;
    v->captures[0] = (struct view_capture){
        .id = "shop_open_1", .incident = "shop_open_1", .state = VIEW_CAPTURING, .reason = "onset"};
    v->captures[1] = (struct view_capture){.id = ID,
                                           .incident = ID,
                                           .target = "shop",
                                           .rule = "availability",
                                           .reason = "onset",
                                           .state = VIEW_SEALED,
                                           .grade = WATCH_FULL,
                                           .trigger_ms = 1795509072345,
                                           .size_bytes = 100000,
                                           .sha256 = HASH,
                                           .summary = "<b>52</b> of 1,000 \xff failed"};
    v->incidents = xcalloc(1, sizeof(*v->incidents));
    v->incident_count = 1;
    v->incidents[0] = (struct view_incident){.id = ID,
                                             .target = "shop",
                                             .rule = "availability",
                                             .grade = WATCH_FULL,
                                             .trigger_ms = 1795509072345,
                                             .summary = "<script>alert(1)</script>"};
    v->rules = xcalloc(1, sizeof(*v->rules));
    v->rule_count = 1;
    v->rules[0] = (struct view_rule){.target = "shop", .rule = "availability"};
    v->targets = xcalloc(1, sizeof(*v->targets));
    v->target_count = 1;
    v->targets[0] = (struct view_target){.name = "shop", .pid = 7, .up = true};
    view_publish(v);
}

static struct fixture *start(const char *token)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/test-api-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->folder_fd = open(f->folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    f->answer_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    char *data = xcalloc(1, 100000);
    for (size_t i = 0; i < 100000; i++) {
        data[i] = (char)('a' + i % 26);
    }
    put(f, ".tar.zst", data, 100000);
    free(data);
    static const char manifest[] = "{\"artifacts\":[{\"path\":\"artifacts/perf/perf.data\","
                                   "\"size\":8,\"status\":\"ok\"}]}";
    put(f, ".manifest.json", manifest, sizeof(manifest) - 1);
    publish();
    struct error err = ERROR_INIT;
    const struct api_options options = {.listen = "127.0.0.1:0",
                                        .health_listen = "127.0.0.1:0",
                                        .token = token,
                                        .bundles_fd = f->folder_fd,
                                        .wake = wake,
                                        .wake_arg = f};
    assert_int_equal(api_start(&options, &f->api, &err), 0);
    assert_int_equal(pthread_create(&f->loop, NULL, run_loop, f), 0);
    return f;
}

static void end_loop(struct fixture *f)
{
    __atomic_store_n(&f->end, true, __ATOMIC_RELEASE);
    wake(f);
    assert_int_equal(pthread_join(f->loop, NULL), 0);
}

static void finish(struct fixture *f)
{
    if (!f->end) {
        end_loop(f);
        api_stop(f->api);
    }
    for (size_t i = 0; i < f->kept_count; i++) {
        api_answer(NULL, f->kept[i]);
    }
    view_publish(NULL);
    (void)fs_remove_tree(AT_FDCWD, f->folder, NULL);
    (void)close(f->folder_fd);
    (void)close(f->wake_fd);
    (void)close(f->answer_fd);
    free(f);
}

static size_t keep(char *data, size_t size, size_t count, void *arg)
{
    return buf_add(arg, data, size * count) == 0 ? size * count : 0;
}

/* Sends `method` with `body` (NULL: none) and the header lines `headers` ("A: b" ..., NULL). */
static struct reply call(unsigned port, const char *method, const char *path, const char *body,
                         const char *const *headers)
{
    struct reply r = {.head = BUF_INIT(64 << 10), .body = BUF_INIT(1 << 20)};
    char url[512];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
    CURL *curl = curl_easy_init();
    struct curl_slist *list = NULL;
    for (; headers != NULL && *headers != NULL; headers++) {
        list = curl_slist_append(list, *headers);
    }
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(curl, CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
    (void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &r.body);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, &r.head);
    if (body != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    }
    CURLcode rc = curl_easy_perform(curl);
    if (rc != CURLE_OK) {
        fail_msg("%s %s: %s", method, path, curl_easy_strerror(rc));
    }
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &r.status);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    return r;
}

static void release(struct reply *r)
{
    buf_release(&r->head);
    buf_release(&r->body);
}

struct expectation {
    const char *method;
    const char *path;
    const char *body;
    const char *header; /* sent; NULL: none */
    long status;
    const char *in_head; /* found in the head; NULL: any */
    const char *in_body;
};

static void expect(unsigned port, const struct expectation *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct expectation *e = &rows[i];
        const char *const headers[] = {e->header, NULL};
        struct reply r = call(port, e->method, e->path, e->body, headers);
        if (r.status != e->status ||
            (e->in_head != NULL && strstr(buf_text(&r.head), e->in_head) == NULL) ||
            (e->in_body != NULL && strstr(buf_text(&r.body), e->in_body) == NULL)) {
            fail_msg("%s %s (%s): %ld instead of %ld, wanted '%s' and '%s'\n%s\n%.2000s", e->method,
                     e->path, e->header == NULL ? "" : e->header, r.status, e->status,
                     e->in_head == NULL ? "" : e->in_head, e->in_body == NULL ? "" : e->in_body,
                     buf_text(&r.head), buf_text(&r.body));
        }
        release(&r);
    }
}

static void lists_what_the_view_holds(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    const struct expectation rows[] = {
        {"GET", "/api/v1/incidents", NULL, NULL, 200, "application/json", "\"captures\":[\"" ID},
        {"GET", "/api/v1/incidents/latest", NULL, NULL, 200, NULL, "\"trigger_ms\":1795509072345"},
        {"GET", "/api/v1/incidents/nope", NULL, NULL, 404, "application/problem+json", "nope"},
        {"GET", "/api/v1/captures", NULL, NULL, 200, NULL, "\"state\":\"capturing\""},
        {"GET", "/api/v1/captures/shop_a", NULL, NULL, 200, NULL, "\"manifest\":{\"artifacts\""},
        {"GET", "/api/v1/captures/shop_", NULL, NULL, 404, NULL, NULL},
        {"GET", "/api/v1/captures/shop_a", NULL, NULL, 200, NULL, "1,000 \\ufffd failed"},
        {"GET", "/api/v1/rules", NULL, NULL, 200, NULL, "\"state\":\"inactive\""},
        {"GET", "/api/v1/targets", NULL, NULL, 200, NULL, "\"pid\":7"},
        {"GET", "/metrics", NULL, NULL, 200, "version=0.0.4", "incidentd_polls_total 3"},
        {"HEAD", "/api/v1/incidents", NULL, NULL, 200, "Content-Length: ", NULL},
        {"GET", "/-/ready", NULL, NULL, 200, NULL, "ready"},
        {"GET", "/", NULL, NULL, 200, "style-src 'self'", "&lt;script&gt;alert(1)"},
        {"GET", "/captures/" ID, NULL, NULL, 200, NULL, "files/artifacts/perf/perf.data\""},
        {"GET", "/style.css", NULL, NULL, 200, "text/css", "prefers-color-scheme"},
        {"GET", "/nothing", NULL, NULL, 404, "application/problem+json", "\"status\":404"},
        {"PUT", "/api/v1/captures", "", NULL, 405, "Allow: GET, HEAD, POST\r\n", NULL},
        {"BREW", "/", NULL, NULL, 405, "Allow: GET, HEAD\r\n", NULL},
    };
    expect(f->api->port, rows, ARRAY_LEN(rows));
    finish(f);
}

#define BUNDLE "/api/v1/captures/" ID "/bundle"

static void sends_bundles_whole_and_in_parts(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    const struct expectation rows[] = {
        {"GET", BUNDLE, NULL, NULL, 200, "ETag: \"" HASH "\"", "abcdefghijklmnopqrstuvwxyzabc"},
        {"HEAD", BUNDLE, NULL, NULL, 200, "Content-Length: 100000\r\n", NULL},
        {"HEAD", BUNDLE, NULL, NULL, 200, "filename=\"" ID ".tar.zst\"", NULL},
        {"GET", BUNDLE, NULL, "Range: bytes=26-28", 206, "Content-Range: bytes 26-28/100000\r\n",
         "abc"},
        {"GET", BUNDLE, NULL, "Range: bytes=-4", 206, "bytes 99996-99999/100000", NULL},
        {"GET", BUNDLE, NULL, "Range: bytes=100000-", 416, "Content-Range: bytes */100000", NULL},
        {"GET", BUNDLE, NULL, "Range: bytes=0-1,4-5", 200, "Content-Length: 100000\r\n", NULL},
        {"GET", BUNDLE, NULL, "If-None-Match: \"" HASH "\"", 304, "ETag: ", NULL},
        {"GET", BUNDLE, NULL, "If-Match: \"other\"", 412, NULL, NULL},
        {"GET", "/api/v1/captures/shop_open_1/bundle", NULL, NULL, 409, "Retry-After: 5", NULL},
        {"GET", "/api/v1/captures/none/bundle", NULL, NULL, 404, NULL, NULL},
        {"GET", "/api/v1/captures/" ID "/report", NULL, NULL, 404, NULL, "has no report"},
        {"GET", "/api/v1/captures/" ID "/manifest", NULL, NULL, 200, "application/json", "perf"},
        {"GET", "/api/v1/captures/" ID "/files/artifacts/perf/perf.data", NULL, NULL, 200,
         "sandbox; default-src 'none'", "PERFILE2"},
        {"GET", "/api/v1/captures/" ID "/files/artifacts/none", NULL, NULL, 404, NULL, NULL},
        {"GET", "/api/v1/captures/" ID "/files/../../etc/passwd", NULL, NULL, 404, NULL, NULL},
        {"GET", "/api/v1/captures/..%2f..%2fetc/bundle", NULL, NULL, 404, NULL, NULL},
    };
    expect(f->api->port, rows, ARRAY_LEN(rows));
    const char *const same[] = {"Range: bytes=0-1", "If-Range: \"" HASH "\"", NULL};
    struct reply r = call(f->api->port, "GET", BUNDLE, NULL, same);
    assert_int_equal(r.status, 206);
    assert_int_equal(r.body.len, 2);
    release(&r);
    const char *const other[] = {"Range: bytes=0-1", "If-Range: \"older\"", NULL};
    r = call(f->api->port, "GET", BUNDLE, NULL, other);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, 100000);
    release(&r);
    finish(f);
}

static void does_not_follow_links_in_the_store(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    assert_int_equal(symlinkat("/etc/passwd", f->folder_fd, ID ".report.json"), 0);
    const struct expectation rows[] = {
        {"GET", "/api/v1/captures/" ID "/report", NULL, NULL, 404, NULL, NULL}};
    expect(f->api->port, rows, 1);
    finish(f);
}

static void carries_commands_to_the_loop_and_back(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    char *large = xcalloc(1, LIMIT_REQUEST_BODY_BYTES + 10);
    memset(large, ' ', LIMIT_REQUEST_BODY_BYTES + 9);
    const struct expectation rows[] = {
        {"POST", "/api/v1/captures", "{\"target\":\"shop\",\"rule\":\"availability\"}", NULL, 202,
         "Location: /api/v1/captures/shop_manual_1\r\n", "shop_manual_1"},
        {"POST", "/api/v1/captures", "{\"target\":\"shop\",\"rule\":\"limited\"}", NULL, 429,
         "Retry-After: 30\r\n", "hourly limit"},
        {"POST", "/api/v1/captures", "{\"target\":\"nobody\"}", NULL, 404, NULL, "nobody"},
        {"POST", "/api/v1/captures", "{\"rule\":\"x\"}", NULL, 400, NULL, "'target' is missing"},
        {"POST", "/api/v1/captures", "{\"target\":7}", NULL, 400, NULL, "'target' is not a string"},
        {"POST", "/api/v1/captures", "{\"target\":\"shop\",\"rule\":\"../x\"}", NULL, 400, NULL,
         "'rule' is not a name"},
        {"POST", "/api/v1/captures", "{\"target\":\"shop\",\"rul\":\"x\"}", NULL, 400, NULL,
         "'rul' is unknown"},
        {"POST", "/api/v1/captures", "not json", NULL, 400, NULL, "not a JSON object"},
        {"POST", "/api/v1/captures", large, "Expect:", 413, NULL, NULL},
        {"POST", "/api/v1/captures", large, "Transfer-Encoding: chunked", 413, NULL, NULL},
        {"PUT", "/api/v1/captures/" ID "/pin", "", NULL, 204, NULL, NULL},
        {"DELETE", "/api/v1/captures/latest/pin", NULL, NULL, 204, NULL, NULL},
        {"DELETE", "/api/v1/captures/" ID, NULL, NULL, 204, NULL, NULL},
        {"DELETE", "/api/v1/captures/none", NULL, NULL, 404, NULL, NULL},
        {"POST", "/-/reload", "", NULL, 500, NULL, "line 3: \\\"x\\\" is unknown"},
    };
    expect(f->api->port, rows, ARRAY_LEN(rows));
    free(large);
    finish(f);
}

static void without_a_token_foreign_hosts_and_origins_are_refused(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    const struct expectation rows[] = {
        {"GET", "/api/v1/rules", NULL, "Host: localhost:9911", 200, NULL, NULL},
        {"GET", "/api/v1/rules", NULL, "Host: [::1]:9911", 200, NULL, NULL},
        {"GET", "/api/v1/rules", NULL, "Host: evil.example", 421, NULL, NULL},
        {"GET", "/api/v1/rules", NULL, "Host: 127.evil.example", 421, NULL, NULL},
        {"GET", "/-/healthy", NULL, "Host: evil.example", 200, NULL, NULL},
        {"POST", "/-/reload", "", "Origin: http://evil.example", 403, NULL, NULL},
        {"POST", "/-/reload", "", "Sec-Fetch-Site: cross-site", 403, NULL, NULL},
        {"POST", "/forms/capture", "target=shop", NULL, 403, NULL, "out of date"},
    };
    expect(f->api->port, rows, ARRAY_LEN(rows));
    struct error err = ERROR_INIT;
    struct api *wide = NULL;
    const struct api_options options = {.listen = "0.0.0.0:0", .bundles_fd = f->folder_fd};
    assert_int_equal(api_start(&options, &wide, &err), -EACCES);
    assert_string_not_equal(err.remedy, "");
    finish(f);
}

static void with_a_token_nothing_but_health_is_open(void **state)
{
    (void)state;
    struct fixture *f = start(TOKEN);
    const struct expectation rows[] = {
        {"GET", "/-/healthy", NULL, NULL, 200, NULL, NULL},
        {"GET", "/-/ready", NULL, NULL, 200, NULL, NULL},
        {"GET", "/metrics", NULL, NULL, 401, "WWW-Authenticate: Bearer", NULL},
        {"GET", "/nothing", NULL, NULL, 401, NULL, NULL},
        {"GET", BUNDLE, NULL, "Authorization: Bearer wrong", 401, NULL, NULL},
        {"GET", BUNDLE, NULL, "Authorization: Basic " TOKEN, 401, NULL, NULL},
        {"GET", BUNDLE, NULL, "Authorization: Bearer " TOKEN, 200, NULL, NULL},
        {"GET", "/api/v1/rules", NULL, "Cookie: incidentd_session=1-2", 401, NULL, NULL},
        {"GET", "/", NULL, NULL, 303, "Location: /login\r\n", NULL},
        {"POST", "/login", "token=wrong", NULL, 303, "Location: /login?wrong=1", NULL},
        {"POST", "/login", "x=1&token=correct+hors%65", NULL, 303, "HttpOnly; SameSite=Lax", NULL},
    };
    expect(f->api->port, rows, ARRAY_LEN(rows));
    finish(f);
}

static void a_session_reads_and_posts_its_own_forms(void **state)
{
    (void)state;
    struct fixture *f = start(TOKEN);
    struct reply r = call(f->api->port, "POST", "/login", "token=correct%20horse", NULL);
    const char *cookie = strstr(buf_text(&r.head), "incidentd_session=");
    assert_non_null(cookie);
    char header[256];
    (void)snprintf(header, sizeof(header), "Cookie: %.*s", (int)strcspn(cookie, ";"), cookie);
    release(&r);
    const char *const headers[] = {header, NULL};
    r = call(f->api->port, "GET", "/", NULL, headers);
    assert_int_equal(r.status, 200);
    const char *form = strstr(buf_text(&r.body), "name=\"form\" value=\"");
    assert_non_null(form);
    char body[256];
    (void)snprintf(body, sizeof(body), "target=shop&form=%.64s", form + 19);
    release(&r);
    const struct expectation rows[] = {
        {"GET", "/api/v1/rules", NULL, header, 200, NULL, NULL},
        {"POST", "/forms/capture", body, header, 303, "Location: /captures/shop_manual_1\r\n",
         NULL},
        {"POST", "/forms/capture", "target=shop&form=0", header, 403, NULL, NULL},
        {"POST", "/forms/capture", body, NULL, 303, "Location: /login\r\n", NULL},
        {"POST", "/-/reload", "", header, 403, NULL, "need the token"},
    };
    expect(f->api->port, rows, ARRAY_LEN(rows));
    assert_string_equal(f->last.target, "shop");
    finish(f);
}

static int connect_to(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void two_hundred_idle_connections_do_not_stop_health(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    int idle[200];
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        idle[i] = connect_to(f->api->port);
        assert_int_equal(write(idle[i], "GET / HT", 8), 8);
    }
    const struct expectation rows[] = {
        {"GET", "/-/healthy", NULL, NULL, 200, NULL, NULL},
        {"HEAD", "/-/ready", NULL, NULL, 200, NULL, NULL},
        {"POST", "/-/healthy", "x", NULL, 405, NULL, NULL},
        {"GET", "/api/v1/rules", NULL, NULL, 404, NULL, NULL},
    };
    expect(f->api->health_port, rows, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        (void)close(idle[i]);
    }
    finish(f);
}

static void await_answer(struct fixture *f)
{
    uint64_t n = 0;
    assert_int_equal(read(f->answer_fd, &n, sizeof(n)), sizeof(n));
}

static size_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n = 0;
    while (len + 1 < size && (n = read(fd, out + len, size - len - 1)) > 0) {
        len += (size_t)n;
        out[len] = '\0';
    }
    return len;
}

/* More commands than may wait; then the server stops while the loop still has them. */
static void waiting_commands_are_capped_and_answered_at_stop(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    f->hold = true;
    static const char request[] = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\nContent-Length: 0\r\n\r\n";
    int fds[API_COMMANDS_WAITING];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = connect_to(f->api->port);
        assert_int_equal(write(fds[i], request, sizeof(request) - 1), sizeof(request) - 1);
        await_answer(f);
    }
    const struct expectation rows[] = {
        {"POST", "/-/reload", "", NULL, 503, "Retry-After: 2", NULL}};
    expect(f->api->port, rows, 1);
    end_loop(f);
    api_stop(f->api);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        char answer[1024] = "";
        (void)read_all(fds[i], answer, sizeof(answer));
        assert_non_null(strstr(answer, "HTTP/1.1 503"));
        (void)close(fds[i]);
    }
    finish(f);
}

static void a_client_that_leaves_while_waiting_harms_nothing(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    f->hold = true;
    static const char request[] = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: 0\r\n\r\n";
    int fd = connect_to(f->api->port);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    await_answer(f);
    (void)close(fd);
    struct api_command *c = f->kept[--f->kept_count];
    c->http_status = 202;
    api_answer(f->api, c);
    const struct expectation rows[] = {{"GET", "/-/healthy", NULL, NULL, 200, NULL, NULL}};
    expect(f->api->port, rows, 1);
    finish(f);
}

static void says_why_it_cannot_listen(void **state)
{
    (void)state;
    struct fixture *f = start(NULL);
    char taken[32];
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", f->api->port);
    struct error err = ERROR_INIT;
    struct api *second = NULL;
    struct api_options options = {.listen = taken, .bundles_fd = f->folder_fd};
    assert_int_equal(api_start(&options, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.message, taken));
    options.listen = "nonsense";
    assert_int_equal(api_start(&options, &second, &err), -EINVAL);
    finish(f);
}

int main(void)
{
    (void)curl_global_init(CURL_GLOBAL_ALL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_what_the_view_holds),
        cmocka_unit_test(sends_bundles_whole_and_in_parts),
        cmocka_unit_test(does_not_follow_links_in_the_store),
        cmocka_unit_test(carries_commands_to_the_loop_and_back),
        cmocka_unit_test(without_a_token_foreign_hosts_and_origins_are_refused),
        cmocka_unit_test(with_a_token_nothing_but_health_is_open),
        cmocka_unit_test(a_session_reads_and_posts_its_own_forms),
        cmocka_unit_test(two_hundred_idle_connections_do_not_stop_health),
        cmocka_unit_test(waiting_commands_are_capped_and_answered_at_stop),
        cmocka_unit_test(a_client_that_leaves_while_waiting_harms_nothing),
        cmocka_unit_test(says_why_it_cannot_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
