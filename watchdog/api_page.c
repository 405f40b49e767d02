/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain page: HTML made here, no script, one style sheet. Everything that is not a literal goes
 * through buf_add_html(); ids are safe names and go into addresses as they are.
 */
#include "watchdog/api_http.h"

#include <time.h>

#include <cjson/cJSON.h>

#include "base/clock.h"

#define CSP                                                                                        \
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "   \
    "frame-ancestors 'none'"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f7f8fa;--card:#fff;--text:#1c2430;--dim:#5b6675;"
    "--line:#dfe3e8;--link:#0b5cad;--bad:#b3261e;--badbg:#fdeceb;--ok:#1b6e3c;--okbg:#e6f4ec;"
    "--warn:#8a5300;--warnbg:#fdf1dc}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1a2028;--text:#e4e8ee;"
    "--dim:#9aa5b4;--line:#2d3642;--link:#7db8f5;--bad:#ff9a92;--badbg:#43201f;--ok:#86d9a5;"
    "--okbg:#173526;--warn:#f2c067;--warnbg:#3b2d12}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);"
    "font:15px/1.5 system-ui,sans-serif}main,header{max-width:72rem;margin:0 auto;padding:0 1rem}\n"
    "header{display:flex;gap:1rem;align-items:center;padding-top:1rem;flex-wrap:wrap}"
    "h1{font-size:1.3rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .6rem}a{color:var(--link)}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:.8rem 1rem;margin:0 0 .7rem}.card p{margin:.3rem 0}.dim{color:var(--dim)}"
    ".wide{overflow-x:auto;padding:0}code{font-size:.85em;overflow-wrap:anywhere}\n"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.5rem .8rem;"
    "border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}"
    "th{color:var(--dim);font-weight:600;font-size:.85rem}.n{text-align:right;white-space:nowrap}\n"
    ".tag{display:inline-block;padding:0 .55rem;border-radius:1rem;font-size:.82rem;"
    "font-weight:600;background:var(--line)}.bad{color:var(--bad);background:var(--badbg)}"
    ".ok{color:var(--ok);background:var(--okbg)}.warn{color:var(--warn);background:var(--warnbg)}\n"
    "form{display:inline-flex;gap:.5rem;align-items:center;flex-wrap:wrap;margin:0}"
    "button,select,input{font:inherit;color:inherit;background:var(--card);padding:.3rem .7rem;"
    "border:1px solid var(--line);border-radius:6px}button{cursor:pointer;font-weight:600}"
    ".push{margin-left:auto}:focus-visible{outline:2px solid var(--link);outline-offset:2px}\n";

enum MHD_Result api_page_style(struct api_request *r)
{
    struct buf b = BUF_INIT(16 << 10);
    (void)buf_add_text(&b, style);
    return api_request_text(r, MHD_HTTP_OK, "text/css; charset=utf-8", &b);
}

static void head(struct buf *b, const char *title)
{
    (void)buf_add_text(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                          "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    (void)buf_add_html(b, title);
    (void)buf_add_text(b, "</title><link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" "
                          "href=\"/style.css\"></head><body>\n");
}

static enum MHD_Result send_page(struct api_request *r, struct buf *b)
{
    (void)buf_add_text(b, "</main></body></html>\n");
    if (buf_failed(b)) {
        return api_request_text(r, 500, "text/html", b);
    }
    size_t len = b->len;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, buf_take(b), MHD_RESPMEM_MUST_FREE);
    if (response != NULL) {
        (void)MHD_add_response_header(response, "Content-Type", "text/html; charset=utf-8");
        (void)MHD_add_response_header(response, "Content-Security-Policy", CSP);
    }
    return api_request_send(r, MHD_HTTP_OK, response);
}

static void tag(struct buf *b, const char *class, const char *text)
{
    (void)buf_addf(b, "<span class=\"tag %s\">", class);
    (void)buf_add_html(b, text);
    (void)buf_add_text(b, "</span> ");
}

static void when(struct buf *b, int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (ms <= 0) {
        (void)buf_add_text(b, "never");
        return;
    }
    (void)clock_rfc3339(ms, text);
    int64_t ago_s = (int64_t)time(NULL) - ms / 1000;
    (void)buf_addf(b, "<time datetime=\"%s\">%.10s %.8s UTC</time> ", text, text, text + 11);
    if (ago_s < 0) {
        return;
    }
    const char *unit = ago_s < 120 ? "s" : ago_s < 7200 ? "min" : ago_s < 172800 ? "h" : "d";
    int64_t by = ago_s < 120 ? 1 : ago_s < 7200 ? 60 : ago_s < 172800 ? 3600 : 86400;
    (void)buf_addf(b, "<span class=\"dim\">(%lld %s ago)</span>", (long long)(ago_s / by), unit);
}

static void size(struct buf *b, int64_t bytes)
{
    if (bytes >= 1 << 20) {
        (void)buf_addf(b, "%.1f MiB", (double)bytes / (1 << 20));
    } else {
        (void)buf_addf(b, "%.1f KiB", (double)bytes / 1024);
    }
}

static void form_token(struct buf *b, const struct api_request *r)
{
    char token[API_HEX_SIZE];
    api_auth_form(&r->api->auth, r->session, token);
    (void)buf_addf(b, "<input type=\"hidden\" name=\"form\" value=\"%s\">", token);
}

static void option(struct buf *b, const char *value)
{
    (void)buf_add_text(b, "<option>");
    (void)buf_add_html(b, value);
    (void)buf_add_text(b, "</option>");
}

static void capture_form(struct buf *b, const struct api_request *r)
{
    if (r->view == NULL || r->view->target_count == 0) {
        return;
    }
    (void)buf_add_text(b, "<form class=\"push\" method=\"post\" action=\"/forms/capture\">");
    form_token(b, r);
    (void)buf_add_text(b, "<select name=\"target\" aria-label=\"target\">");
    for (size_t i = 0; i < r->view->target_count; i++) {
        option(b, r->view->targets[i].name);
    }
    (void)buf_add_text(b, "</select><button>Capture now</button></form>");
    if (r->identity == API_COOKIE) {
        (void)buf_add_text(b, "<form method=\"post\" action=\"/forms/logout\">");
        form_token(b, r);
        (void)buf_add_text(b, "<button>Log out</button></form>");
    }
}

static const char *state_class(enum view_capture_state s)
{
    return s == VIEW_SEALED ? "ok" : s == VIEW_LOST ? "bad" : "warn";
}

static bool has_bundle(const struct view_capture *c)
{
    return c->state == VIEW_SEALED || c->state == VIEW_PARTIAL;
}

static void capture_line(struct buf *b, const struct view_capture *c)
{
    (void)buf_add_text(b, "<p>");
    tag(b, state_class(c->state), view_capture_state_name(c->state));
    (void)buf_addf(b, "%s %s: <a href=\"/captures/%s\"><code>%s</code></a>",
                   view_grade_name(c->grade), c->reason, c->id, c->id);
    if (has_bundle(c)) {
        (void)buf_addf(b, " &middot; <a href=\"/api/v1/captures/%s/bundle\">bundle</a> (", c->id);
        size(b, c->size_bytes);
        (void)buf_addf(b,
                       ") &middot; <a href=\"/api/v1/captures/%s/manifest\">manifest</a> &middot; "
                       "<a href=\"/api/v1/captures/%s/report\">report</a>",
                       c->id, c->id);
    }
    if (c->pinned) {
        (void)buf_add_text(b, " &middot; pinned");
    }
    (void)buf_add_text(b, "</p>");
}

static void incident_card(struct buf *b, const struct view *v, const struct view_incident *in)
{
    (void)buf_add_text(b, "<article class=\"card\"><p>");
    tag(b, in->open ? "bad" : "ok", in->open ? "open" : "resolved");
    tag(b, in->grade == WATCH_FULL ? "bad" : "warn", view_grade_name(in->grade));
    (void)buf_add_text(b, "<strong>");
    (void)buf_add_html(b, in->target);
    (void)buf_add_text(b, "</strong> / ");
    (void)buf_add_html(b, in->rule);
    (void)buf_add_text(b, " &middot; ");
    when(b, in->trigger_ms);
    (void)buf_add_text(b, "</p><p>");
    (void)buf_add_html(b, in->summary);
    (void)buf_add_text(b, "</p>");
    if (in->counts.top_labels[0] != '\0') {
        (void)buf_addf(b, "<p class=\"dim\">%.0f %% of it: ", in->counts.top_share * 100);
        (void)buf_add_html(b, in->counts.top_labels);
        (void)buf_add_text(b, "</p>");
    }
    for (size_t i = 0; i < v->capture_count; i++) {
        if (strcmp(v->captures[i].incident, in->id) == 0) {
            capture_line(b, &v->captures[i]);
        }
    }
    if (in->suppressed > 0) {
        (void)buf_addf(b, "<p class=\"dim\">%u captures held back: ", in->suppressed);
        (void)buf_add_html(b, in->suppressed_why);
        (void)buf_add_text(b, "</p>");
    }
    (void)buf_add_text(b, "</article>\n");
}

static void cell(struct buf *b, const char *text)
{
    (void)buf_add_text(b, "<td>");
    (void)buf_add_html(b, text);
    (void)buf_add_text(b, "</td>");
}

static void rule_row(struct buf *b, const struct view_rule *rule)
{
    static const char *const names[] = {"inactive", "pending", "firing"};
    static const char *const classes[] = {"ok", "warn", "bad"};
    const struct watch_status *s = &rule->status;
    size_t i = (size_t)s->state < ARRAY_LEN(names) ? (size_t)s->state : 0;
    (void)buf_add_text(b, "<tr>");
    cell(b, rule->target);
    cell(b, rule->rule);
    (void)buf_add_text(b, "<td>");
    tag(b, classes[i], names[i]);
    if (s->unknown) {
        tag(b, "warn", "unknown");
    }
    if (rule->held) {
        tag(b, "warn", "held");
    }
    (void)buf_add_text(b, "</td>");
    cell(b, s->missing[0] != '\0' ? s->missing : s->summary);
    cell(b, rule->capture);
    (void)buf_addf(b, "<td class=\"n\">%lld s</td></tr>\n",
                   (long long)(rule->cooldown_left_ms / 1000));
}

static void tables(struct buf *b, const struct view *v)
{
    (void)buf_add_text(b, "<h2>Rules</h2><div class=\"card wide\"><table><tr><th>target<th>rule"
                          "<th>state<th>last seen<th>captures with<th class=\"n\">cooldown</tr>");
    for (size_t i = 0; i < v->rule_count; i++) {
        rule_row(b, &v->rules[i]);
    }
    (void)buf_add_text(b, "</table></div><h2>Targets</h2><div class=\"card wide\"><table><tr>"
                          "<th>target<th>state<th>pid<th>runtime<th>polled<th>error</tr>");
    for (size_t i = 0; i < v->target_count; i++) {
        const struct view_target *t = &v->targets[i];
        (void)buf_add_text(b, "<tr>");
        cell(b, t->name);
        (void)buf_add_text(b, "<td>");
        tag(b, t->up ? "ok" : "bad", t->up ? "up" : "down");
        (void)buf_addf(b, "</td><td>%d</td>", t->pid);
        cell(b, t->runtime);
        (void)buf_add_text(b, "<td>");
        when(b, t->polled_ms);
        (void)buf_add_text(b, "</td>");
        cell(b, t->error);
        (void)buf_add_text(b, "</tr>\n");
    }
    (void)buf_add_text(b, "</table></div>");
}

enum MHD_Result api_page_index(struct api_request *r)
{
    static const struct view nothing = {.status = "starting"};
    const struct view *v = r->view == NULL ? &nothing : r->view;
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    head(&b, "incidentd");
    (void)buf_add_text(&b, "<header><h1>incidentd</h1>");
    tag(&b, v->ready ? "ok" : "warn", v->status);
    capture_form(&b, r);
    (void)buf_add_text(&b, "</header><main><h2>Incidents</h2>\n");
    if (v->incident_count == 0) {
        (void)buf_add_text(&b, "<p class=\"card dim\">None yet.</p>");
    }
    for (size_t i = 0; i < v->incident_count && i < 200; i++) {
        incident_card(&b, v, &v->incidents[i]);
    }
    tables(&b, v);
    return send_page(r, &b);
}

static void artifacts(struct buf *b, const cJSON *manifest, const char *id)
{
    const cJSON *item = NULL;
    (void)buf_add_text(b, "<h2>Artifacts</h2><div class=\"card wide\"><table><tr><th>file"
                          "<th>status<th>sensitivity<th class=\"n\">size</tr>");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(manifest, "artifacts"))
    {
        const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "path"));
        const char *state = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "status"));
        const char *how =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "sensitivity"));
        double bytes = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, "size"));
        if (path == NULL) {
            continue;
        }
        (void)buf_addf(b, "<tr><td><a href=\"/api/v1/captures/%s/files/", id);
        for (const char *p = path; *p != '\0'; p++) {
            bool plain = strchr("%?# \"<>&'\\", *p) == NULL && *p > ' ' && *p < 0x7f;
            (void)(plain ? buf_add_char(b, *p) : buf_addf(b, "%%%02X", (unsigned char)*p));
        }
        (void)buf_add_text(b, "\"><code>");
        (void)buf_add_html(b, path);
        (void)buf_add_text(b, "</code></a></td>");
        cell(b, state == NULL ? "" : state);
        cell(b, how == NULL ? "" : how);
        (void)buf_add_text(b, "<td class=\"n\">");
        size(b, bytes >= 0 && bytes < 1e15 ? (int64_t)bytes : 0);
        (void)buf_add_text(b, "</td></tr>\n");
    }
    (void)buf_add_text(b, "</table></div>");
}

static void change_forms(struct buf *b, const struct api_request *r, const struct view_capture *c)
{
    (void)buf_addf(b, "<p><form method=\"post\" action=\"/forms/captures/%s/pin\">", c->id);
    form_token(b, r);
    (void)buf_addf(b,
                   "<input type=\"hidden\" name=\"pin\" value=\"%d\"><button>%s</button></form> "
                   "<form method=\"post\" action=\"/forms/captures/%s/delete\">",
                   c->pinned ? 0 : 1, c->pinned ? "Unpin" : "Pin (keep)", c->id);
    form_token(b, r);
    (void)buf_add_text(b, "<button>Delete</button></form></p>");
}

enum MHD_Result api_page_capture(struct api_request *r)
{
    const struct view_capture *c = view_capture_find(r->view, r->id);
    if (c == NULL) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no capture '%s'", r->id);
    }
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    head(&b, c->id);
    (void)buf_add_text(&b, "<header><h1><a href=\"/\">incidentd</a> / capture</h1></header><main>"
                           "<h2><code>");
    (void)buf_add_html(&b, c->id);
    (void)buf_add_text(&b, "</code></h2><div class=\"card\"><p>");
    (void)buf_add_html(&b, c->summary);
    (void)buf_add_text(&b, "</p><p>Onset ");
    when(&b, c->onset_ms);
    (void)buf_add_text(&b, ", trigger ");
    when(&b, c->trigger_ms);
    (void)buf_add_text(&b, "</p>");
    capture_line(&b, c);
    if (has_bundle(c)) {
        (void)buf_addf(&b, "<p class=\"dim\">SHA-256 <code>%s</code></p>", c->sha256);
        change_forms(&b, r, c);
    }
    (void)buf_add_text(&b, "</div>");
    struct buf text = BUF_INIT(LIMIT_MANIFEST_BYTES);
    cJSON *manifest = api_files_read_manifest(r->api, c->id, &text) == 0
                          ? cJSON_ParseWithLength(buf_text(&text), text.len)
                          : NULL;
    if (manifest != NULL) {
        artifacts(&b, manifest, c->id);
    }
    cJSON_Delete(manifest);
    buf_release(&text);
    return send_page(r, &b);
}

enum MHD_Result api_page_login(struct api_request *r)
{
    struct buf b = BUF_INIT(8 << 10);
    head(&b, "incidentd: log in");
    (void)buf_add_text(&b,
                       "<header><h1>incidentd</h1></header><main><h2>Log in</h2>"
                       "<form class=\"card\" method=\"post\" action=\"/login\"><label>Token "
                       "<input type=\"password\" name=\"token\" autocomplete=\"current-password\""
                       " autofocus required></label><button>Log in</button></form>");
    if (MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "wrong") != NULL) {
        (void)buf_add_text(&b, "<p><span class=\"tag bad\">that is not the token</span></p>");
    }
    return send_page(r, &b);
}
