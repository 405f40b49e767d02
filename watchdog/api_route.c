/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/api_http.h"

#include "base/fs.h"

enum {
    OPEN = 1, /* needs no token and no particular Host */
    PAGE = 2, /* a browser without a session is sent to the login form */
    FORM = 4, /* what a page sends; as with PAGE, problems are told as a page */
};

static enum MHD_Result plain(struct api_request *r, unsigned status, const char *text)
{
    struct buf b = BUF_INIT(4096);
    (void)buf_addf(&b, "%s\n", text);
    return api_request_text(r, status, "text/plain; charset=utf-8", &b);
}

static enum MHD_Result healthy(struct api_request *r)
{
    return plain(r, MHD_HTTP_OK, "incidentd is alive");
}

static enum MHD_Result ready(struct api_request *r)
{
    if (r->view == NULL) {
        return plain(r, MHD_HTTP_SERVICE_UNAVAILABLE, "incidentd is starting");
    }
    return plain(r, r->view->ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, r->view->status);
}

static enum MHD_Result metrics(struct api_request *r)
{
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    if (r->view != NULL && r->view->metrics != NULL) {
        (void)buf_add_text(&b, r->view->metrics);
    }
    return api_request_text(r, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &b);
}

static const struct route {
    const char *pattern;
    unsigned methods;
    unsigned flags;
    api_handler *handler;
} routes[] = {
    {"/-/healthy", API_GET, OPEN, healthy},
    {"/-/ready", API_GET, OPEN, ready},
    {"/-/reload", API_POST, 0, api_command_reload},
    {"/metrics", API_GET, 0, metrics},
    {"/api/v1/incidents", API_GET, 0, api_json_incidents},
    {"/api/v1/incidents/{id}", API_GET, 0, api_json_incident},
    {"/api/v1/captures", API_GET, 0, api_json_captures},
    {"/api/v1/captures", API_POST, 0, api_command_capture},
    {"/api/v1/captures/{id}", API_GET, 0, api_json_capture},
    {"/api/v1/captures/{id}", API_DELETE_METHOD, 0, api_command_delete},
    {"/api/v1/captures/{id}/bundle", API_GET, 0, api_files_bundle},
    {"/api/v1/captures/{id}/manifest", API_GET, 0, api_files_manifest},
    {"/api/v1/captures/{id}/report", API_GET, 0, api_files_report},
    {"/api/v1/captures/{id}/files/{path}", API_GET, 0, api_files_member},
    {"/api/v1/captures/{id}/pin", API_PUT | API_DELETE_METHOD, 0, api_command_pin},
    {"/api/v1/rules", API_GET, 0, api_json_rules},
    {"/api/v1/targets", API_GET, 0, api_json_targets},
    {"/", API_GET, PAGE, api_page_index},
    {"/captures/{id}", API_GET, PAGE, api_page_capture},
    {"/style.css", API_GET, OPEN, api_page_style},
    {"/login", API_GET, OPEN | FORM, api_page_login},
    {"/login", API_POST, OPEN | FORM, api_form_login},
    {"/forms/logout", API_POST, FORM, api_form_logout},
    {"/forms/capture", API_POST, FORM, api_form_capture},
    {"/forms/captures/{id}/pin", API_POST, FORM, api_form_pin},
    {"/forms/captures/{id}/delete", API_POST, FORM, api_form_delete},
};

bool api_route_match(const char *pattern, const char *url, struct api_request *r)
{
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *url++) {
                return false;
            }
            continue;
        }
        bool rest = strncmp(pattern, "{path}", 6) == 0;
        size_t len = rest ? strlen(url) : strcspn(url, "/");
        char *out = rest ? r->path : r->id;
        size_t size = rest ? sizeof(r->path) : sizeof(r->id);
        if (len == 0 || len >= size) {
            return false;
        }
        (void)snprintf(out, size, "%.*s", (int)len, url);
        url += len;
        pattern = strchr(pattern, '}') + 1;
    }
    return *url == '\0';
}

static void list_methods(unsigned methods, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s%s%s", methods & API_GET ? "GET, HEAD, " : "",
                   methods & API_POST ? "POST, " : "", methods & API_PUT ? "PUT, " : "",
                   methods & API_DELETE_METHOD ? "DELETE, " : "");
    size_t len = strlen(out);
    if (len >= 2) {
        out[len - 2] = '\0';
    }
}

static enum MHD_Result refuse(struct api_request *r, const struct route *route, unsigned status,
                              const char *why)
{
    if (status == MHD_HTTP_UNAUTHORIZED && (route->flags & (PAGE | FORM)) != 0) {
        char where[LIMIT_ID_BYTES + 16];
        bool named = (route->flags & PAGE) != 0 && fs_name_ok(r->id, LIMIT_ID_BYTES);
        (void)snprintf(where, sizeof(where), "/login%s%s", named ? "?id=" : "", named ? r->id : "");
        return api_request_redirect(r, where, NULL);
    }
    if (status == MHD_HTTP_UNAUTHORIZED) {
        return api_request_problem_with(r, status, "WWW-Authenticate", "Bearer realm=\"incidentd\"",
                                        why);
    }
    return api_request_problem(r, status, "%s", why);
}

/* True for what a person opened in a browser and that is none of our addresses. */
static bool wants_html(const struct api_request *r)
{
    const char *accept = api_request_header(r, "Accept");
    return accept != NULL && strncmp(accept, "text/html", 9) == 0 &&
           strncmp(r->url, "/api/", 5) != 0;
}

enum MHD_Result api_route_dispatch(struct api_request *r)
{
    unsigned method = r->method == API_HEAD ? API_GET : r->method;
    unsigned allowed = 0;
    static const struct route none = {.pattern = ""};
    const struct route *found = &none;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (api_route_match(routes[i].pattern, r->url, r)) {
            allowed |= routes[i].methods;
            found = (routes[i].methods & method) != 0 ? &routes[i] : found;
        }
    }
    r->page = (found->flags & (PAGE | FORM)) != 0 || (allowed == 0 && wants_html(r));
    const char *why = "";
    unsigned refused = (found->flags & OPEN) != 0 ? 0 : api_auth_check(r, &why);
    if (refused != 0) {
        return refuse(r, found, refused, why);
    }
    if (found->handler != NULL) {
        return found->handler(r);
    }
    if (allowed == 0) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is nothing at '%.200s'", r->url);
    }
    char list[64];
    list_methods(allowed, list, sizeof(list));
    return api_request_problem_with(r, MHD_HTTP_METHOD_NOT_ALLOWED, "Allow", list,
                                    "this address does not take that method");
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are MHD's. */
enum MHD_Result api_route_health(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_size, void **state)
{
    (void)version;
    (void)data;
    static int seen;
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    if (*data_size > 0) {
        *data_size = 0;
        return MHD_YES;
    }
    struct api_request r = {.api = cls, .connection = connection, .url = url, .method = API_OTHER};
    r.method = strcmp(method, "GET") == 0 ? API_GET : r.method;
    r.method = strcmp(method, "HEAD") == 0 ? API_HEAD : r.method;
    enum MHD_Result rc = MHD_NO;
    r.view = view_acquire();
    if (r.method == API_OTHER) {
        rc = api_request_problem_with(&r, MHD_HTTP_METHOD_NOT_ALLOWED, "Allow", "GET, HEAD",
                                      "health checks are GET or HEAD");
    } else if (strcmp(url, "/-/healthy") == 0) {
        rc = healthy(&r);
    } else if (strcmp(url, "/-/ready") == 0) {
        rc = ready(&r);
    } else {
        rc = api_request_problem(&r, MHD_HTTP_NOT_FOUND, "only /-/healthy and /-/ready are here");
    }
    view_release(r.view);
    return rc;
}
