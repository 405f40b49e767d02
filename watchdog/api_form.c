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

enum MHD_Result api_form_login(struct api_request *r)
{
    char token[1024];
    if (!api_form_value(buf_text(&r->body), "token", token, sizeof(token)) ||
        !api_auth_token_ok(&r->api->auth, token)) {
        return api_request_redirect(r, "/login?wrong=1", NULL);
    }
    char session[128];
    char cookie[256];
    api_auth_session(&r->api->auth, session, sizeof(session));
    (void)snprintf(cookie, sizeof(cookie),
                   "incidentd_session=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d", session,
                   (int)API_SESSION_S);
    return api_request_redirect(r, "/", cookie);
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
                                                   "SameSite=Strict; Max-Age=0");
}

static enum MHD_Result back(struct api_request *r)
{
    int status = r->call->command.http_status;
    return status >= 200 && status <= 299 ? api_request_redirect(r, "/", NULL)
                                          : api_command_problem(r);
}

enum MHD_Result api_form_capture(struct api_request *r)
{
    enum MHD_Result rc = MHD_NO;
    if (!allowed(r, &rc)) {
        return rc;
    }
    struct api_call *call = api_command_new(API_CAPTURE);
    struct api_command *c = &call->command;
    bool named = api_form_value(buf_text(&r->body), "target", c->target, sizeof(c->target)) &&
                 api_command_known_target(r->view, c->target);
    (void)api_form_value(buf_text(&r->body), "rule", c->rule, sizeof(c->rule));
    if (!named || (c->rule[0] != '\0' && !fs_name_ok(c->rule, LIMIT_NAME_BYTES))) {
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
