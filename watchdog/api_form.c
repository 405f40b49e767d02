/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page's forms: application/x-www-form-urlencoded POSTs that end in a redirect, so that a
 * reload repeats nothing. Each but the login carries the form token of its session.
 */
#include "watchdog/api_http.h"

#include "base/fs.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool api_form_value(const char *body, const char *name, char *out, size_t size)
{
    size_t name_len = strlen(name);
    const char *p = body;
    while (p != NULL && (strncmp(p, name, name_len) != 0 || p[name_len] != '=')) {
        p = strchr(p, '&');
        p = p == NULL ? NULL : p + 1;
    }
    if (p == NULL) {
        return false;
    }
    size_t n = 0;
    for (p += name_len + 1; *p != '\0' && *p != '&'; p++) {
        char c = *p;
        if (c == '+') {
            c = ' ';
        }
        if (c == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            c = (char)(hex(p[1]) * 16 + hex(p[2]));
            p += 2;
        }
        if (c == '\0' || n + 1 >= size) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

/* Lax, so that a link in a chat message opens; what changes something has its form token. */
static enum MHD_Result log_in(struct api_request *r, const char *id)
{
    char session[128];
    char cookie[256];
    char where[LIMIT_ID_BYTES + 16];
    api_auth_session(&r->api->auth, session, sizeof(session));
    (void)snprintf(cookie, sizeof(cookie),
                   "incidentd_session=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d", session,
                   (int)API_SESSION_S);
    (void)snprintf(where, sizeof(where), "/%s%s", id[0] == '\0' ? "" : "captures/", id);
    return api_request_redirect(r, where, cookie);
}

enum MHD_Result api_form_login(struct api_request *r)
{
    char token[1024];
    char id[LIMIT_ID_BYTES + 1] = "";
    char wait[16];
    unsigned wait_s = api_auth_login_wait_s(r);
    if (wait_s > 0) {
        (void)snprintf(wait, sizeof(wait), "%u", wait_s);
        return api_request_problem_with(r, MHD_HTTP_TOO_MANY_REQUESTS, "Retry-After", wait,
                                        "too many failed logins from here: again in a minute");
    }
    if (!api_form_value(buf_text(&r->body), "id", id, sizeof(id)) ||
        !fs_name_ok(id, LIMIT_ID_BYTES)) {
        id[0] = '\0';
    }
    if (!api_form_value(buf_text(&r->body), "token", token, sizeof(token)) ||
        !api_auth_token_ok(&r->api->auth, token)) {
        char where[LIMIT_ID_BYTES + 32];
        api_auth_login_failed(r);
        (void)snprintf(where, sizeof(where), "/login?wrong=1%s%s", id[0] == '\0' ? "" : "&id=", id);
        return api_request_redirect(r, where, NULL);
    }
    return log_in(r, id);
}

/* True when the form belongs to the requester's session; else the refusal is queued in *rc. */
static bool allowed(struct api_request *r, enum MHD_Result *rc)
{
    char given[API_HEX_SIZE];
    if (api_form_value(buf_text(&r->body), "form", given, sizeof(given)) &&
        api_auth_form_ok(r, given)) {
        return true;
    }
    *rc = api_request_problem(r, MHD_HTTP_FORBIDDEN,
                              "the form is out of date: go back, reload the page, try again");
    return false;
}

enum MHD_Result api_form_logout(struct api_request *r)
{
    enum MHD_Result rc = MHD_NO;
    return !allowed(r, &rc) ? rc
                            : api_request_redirect(r, "/login",
                                                   "incidentd_session=; Path=/; HttpOnly; "
                                                   "SameSite=Lax; Max-Age=0");
}

/* To the capture that was made or changed; to the list when it is gone. */
static enum MHD_Result back(struct api_request *r)
{
    const struct api_command *c = &r->call->command;
    char where[LIMIT_ID_BYTES + 16];
    if (c->http_status < 200 || c->http_status > 299) {
        return api_command_problem(r);
    }
    const char *id = c->kind == API_CAPTURE ? c->created : c->kind == API_PIN ? c->capture : "";
    (void)snprintf(where, sizeof(where), "/%s%s", id[0] == '\0' ? "" : "captures/", id);
    return api_request_redirect(r, where, NULL);
}

/* "target" or "target/rule". */
static bool read_wish(const struct api_request *r, struct api_command *c)
{
    char wish[2 * LIMIT_NAME_BYTES + 2];
    if (!api_form_value(buf_text(&r->body), "target", wish, sizeof(wish))) {
        return false;
    }
    size_t len = strcspn(wish, "/");
    const char *rule = wish[len] == '/' ? wish + len + 1 : "";
    wish[len] = '\0';
    (void)snprintf(c->target, sizeof(c->target), "%.*s", (int)LIMIT_NAME_BYTES, wish);
    (void)snprintf(c->rule, sizeof(c->rule), "%.*s", (int)LIMIT_NAME_BYTES, rule);
    return api_command_known_target(r->view, c->target) &&
           (rule[0] == '\0' || fs_name_ok(rule, LIMIT_NAME_BYTES));
}

enum MHD_Result api_form_capture(struct api_request *r)
{
    enum MHD_Result rc = MHD_NO;
    if (!allowed(r, &rc)) {
        return rc;
    }
    struct api_call *call = api_command_new(API_CAPTURE);
    if (!read_wish(r, &call->command)) {
        api_command_release(call);
        return api_request_problem(r, MHD_HTTP_BAD_REQUEST, "no such target or rule");
    }
    return api_command_queue(r, call, back);
}

static enum MHD_Result on_capture(struct api_request *r, enum api_command_kind kind)
{
    enum MHD_Result rc = MHD_NO;
    if (!allowed(r, &rc)) {
        return rc;
    }
    struct api_call *call = api_command_for_capture(r, kind);
    if (call == NULL) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no capture '%s'", r->id);
    }
    char pin[8] = "";
    (void)api_form_value(buf_text(&r->body), "pin", pin, sizeof(pin));
    call->command.pin = strcmp(pin, "1") == 0;
    return api_command_queue(r, call, back);
}

enum MHD_Result api_form_pin(struct api_request *r)
{
    return on_capture(r, API_PIN);
}

enum MHD_Result api_form_delete(struct api_request *r)
{
    return on_capture(r, API_DELETE);
}
