/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request from its first line to its completion. The body, at most 64 KiB, is gathered before
 * anything is decided, except that a declared length over the limit is refused at once: the client
 * need not send what nobody will read.
 */
#include "watchdog/api_html.h"

#include <stdarg.h>

static enum api_method method_of(const char *name)
{
    static const struct {
        const char *name;
        enum api_method method;
    } methods[] = {{"GET", API_GET},
                   {"HEAD", API_HEAD},
                   {"POST", API_POST},
                   {"PUT", API_PUT},
                   {"DELETE", API_DELETE_METHOD}};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (strcmp(name, methods[i].name) == 0) {
            return methods[i].method;
        }
    }
    return API_OTHER;
}

const char *api_request_header(const struct api_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result too_large(struct api_request *r)
{
    r->refused = true;
    return api_request_problem(r, MHD_HTTP_CONTENT_TOO_LARGE,
                               "a request body may have at most %d bytes",
                               (int)LIMIT_REQUEST_BODY_BYTES);
}

struct tally {
    unsigned hosts;
    unsigned lengths;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct tally *t = cls;
    (void)kind;
    (void)value;
    t->hosts += strcasecmp(name, "Host") == 0 ? 1 : 0;
    t->lengths += strcasecmp(name, "Content-Length") == 0 ? 1 : 0;
    return MHD_YES;
}

/* Two lengths or hosts: we and a proxy in front of us may each believe another one. MHD takes the
 * first. */
static bool is_ambiguous(struct MHD_Connection *connection)
{
    struct tally t = {0};
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, count_header, &t);
    return t.hosts > 1 || t.lengths > 1;
}

static enum MHD_Result begin(struct api *api, struct MHD_Connection *connection, const char *url,
                             const char *method, void **state)
{
    struct api_request *r = xcalloc(1, sizeof(*r));
    r->api = api;
    r->connection = connection;
    r->method = method_of(method);
    r->url = url;
    buf_init(&r->body, LIMIT_REQUEST_BODY_BYTES);
    *state = r;
    if (is_ambiguous(connection)) {
        r->refused = true;
        return api_request_problem_with(r, 400, "Connection", "close",
                                        "Host or Content-Length stands there twice");
    }
    const char *length = api_request_header(r, "Content-Length");
    if (length != NULL && strtoull(length, NULL, 10) > LIMIT_REQUEST_BODY_BYTES) {
        return too_large(r);
    }
    return MHD_YES;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are MHD's. */
enum MHD_Result api_request_access(void *cls, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *data_size, void **state)
{
    (void)version;
    struct api_request *r = *state;
    if (r == NULL) {
        return begin(cls, connection, url, method, state);
    }
    if (*data_size > 0) {
        r->too_large = r->too_large || buf_add(&r->body, data, *data_size) != 0;
        *data_size = 0;
        return MHD_YES;
    }
    if (r->refused) {
        return MHD_YES;
    }
    if (r->too_large) {
        return too_large(r);
    }
    if (r->call != NULL) {
        return r->finish(r);
    }
    r->view = view_acquire();
    return api_route_dispatch(r);
}

void api_request_completed(void *cls, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode why)
{
    (void)connection;
    (void)why;
    struct api *api = cls;
    struct api_request *r = *state;
    if (r == NULL) {
        return;
    }
    if (r->call != NULL) {
        api_command_release(r->call);
        (void)pthread_mutex_lock(&api->lock);
        api->calls--;
        (void)pthread_cond_signal(&api->idle);
        (void)pthread_mutex_unlock(&api->lock);
    }
    view_release(r->view);
    buf_release(&r->body);
    free(r);
    *state = NULL;
}

static void count(struct api *api, unsigned status)
{
    unsigned class = status / 100 < ARRAY_LEN(api->responses) ? status / 100 : 0;
    (void)__atomic_add_fetch(&api->responses[class], 1, __ATOMIC_RELAXED);
}

enum MHD_Result api_request_send(struct api_request *r, unsigned status,
                                 struct MHD_Response *response)
{
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    /* Not no-referrer: browsers then send "Origin: null" with our own forms. */
    (void)MHD_add_response_header(response, "Referrer-Policy", "same-origin");
    if (MHD_get_response_header(response, "Cache-Control") == NULL) {
        (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    }
    if (MHD_get_response_header(response, "Content-Security-Policy") == NULL) {
        (void)MHD_add_response_header(response, "Content-Security-Policy",
                                      "default-src 'none'; frame-ancestors 'none'");
    }
    count(r->api, status);
    enum MHD_Result rc = MHD_queue_response(r->connection, status, response);
    MHD_destroy_response(response);
    return rc;
}

enum MHD_Result api_request_text(struct api_request *r, unsigned status, const char *type,
                                 struct buf *body)
{
    if (buf_failed(body)) {
        buf_release(body);
        return api_request_problem(r, 500, "the answer is larger than %d bytes", (int)body->max);
    }
    size_t len = body->len;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, buf_take(body), MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", type);
    if (r->method != API_HEAD) {
        (void)__atomic_add_fetch(&r->api->bytes, len, __ATOMIC_RELAXED);
    }
    return api_request_send(r, status, response);
}

static struct MHD_Response *problem(const struct api_request *r, unsigned status,
                                    const char *detail)
{
    if (r->page) {
        return api_html_problem(status, MHD_get_reason_phrase_for(status), detail);
    }
    struct buf b = BUF_INIT(16 << 10);
    (void)buf_addf(&b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"",
                   MHD_get_reason_phrase_for(status), status);
    (void)buf_add_json(&b, detail);
    (void)buf_add_text(&b, "\"}\n");
    size_t len = b.len;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, buf_take(&b), MHD_RESPMEM_MUST_FREE);
    if (response != NULL) {
        (void)MHD_add_response_header(response, "Content-Type", "application/problem+json");
    }
    return response;
}

enum MHD_Result api_request_problem(struct api_request *r, unsigned status, const char *fmt, ...)
{
    char detail[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    return api_request_send(r, status, problem(r, status, detail));
}

enum MHD_Result api_request_problem_with(struct api_request *r, unsigned status, const char *name,
                                         const char *value, const char *detail)
{
    struct MHD_Response *response = problem(r, status, detail);
    if (response != NULL) {
        (void)MHD_add_response_header(response, name, value);
    }
    return api_request_send(r, status, response);
}

enum MHD_Result api_request_redirect(struct api_request *r, const char *where, const char *cookie)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Location", where);
    if (cookie != NULL) {
        (void)MHD_add_response_header(response, "Set-Cookie", cookie);
    }
    return api_request_send(r, MHD_HTTP_SEE_OTHER, response);
}
