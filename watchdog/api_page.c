/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first page: what is going on, what was captured of it, and whether everything is watched.
 * Ongoing incidents come first, each with its counts, who fails, what grew and the way to its
 * evidence; then the earlier ones; then each target with its rules as they are now.
 */
#include "watchdog/api_html.h"

#include <time.h>

#include <cjson/cJSON.h>

#include "base/fs.h"

enum {
    INCIDENTS_SHOWN = 200,
    HEADLINES_SHOWN = 20, /* incidents whose report is opened for its headline */
};

static void option(struct buf *b, const char *target, const char *rule)
{
    (void)buf_add_text(b, "<option value=\"");
    (void)buf_add_html(b, target);
    (void)buf_add_text(b, rule == NULL ? "" : "/");
    (void)buf_add_html(b, rule == NULL ? "" : rule);
    (void)buf_add_text(b, "\">");
    (void)buf_add_html(b, target);
    (void)buf_add_text(b, rule == NULL ? ", what suits it" : ", as ");
    (void)buf_add_html(b, rule == NULL ? "" : rule);
    (void)buf_add_text(b, "</option>");
}

static void capture_form(struct buf *b, const struct api_request *r, const struct view *v)
{
    if (v->target_count == 0) {
        return;
    }
    (void)buf_add_text(b, "<form class=\"push\" method=\"post\" action=\"/forms/capture\">");
    api_html_form_token(b, r);
    (void)buf_add_text(b, "<select name=\"target\" aria-label=\"What to capture\">");
    for (size_t i = 0; i < v->target_count; i++) {
        option(b, v->targets[i].name, NULL);
        for (size_t k = 0; k < v->rule_count; k++) {
            if (strcmp(v->rules[k].target, v->targets[i].name) == 0) {
                option(b, v->targets[i].name, v->rules[k].rule);
            }
        }
    }
    (void)buf_add_text(b, "</select><button>Capture now</button></form>");
    if (r->identity == API_COOKIE) {
        (void)buf_add_text(b, "<form method=\"post\" action=\"/forms/logout\">");
        api_html_form_token(b, r);
        (void)buf_add_text(b, "<button>Log out</button></form>");
    }
}

static void count_tag(struct buf *b, size_t n, const char *what, const char *some)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%zu %s%s", n, what, n == 1 ? "" : "s");
    api_html_tag(b, n > 0 ? some : "", text);
}

static void status_tags(struct buf *b, const struct view *v)
{
    char text[64];
    size_t up = 0;
    size_t open = 0;
    size_t running = 0;
    for (size_t i = 0; i < v->target_count; i++) {
        up += v->targets[i].up ? 1 : 0;
    }
    for (size_t i = 0; i < v->incident_count; i++) {
        open += v->incidents[i].open ? 1 : 0;
    }
    for (size_t i = 0; i < v->capture_count; i++) {
        running += v->captures[i].state <= VIEW_SEALING ? 1 : 0;
    }
    if (!v->ready) {
        api_html_tag(b, "warn", v->target_count == 0 ? "starting" : "not ready");
        return;
    }
    (void)snprintf(text, sizeof(text), "%zu of %zu targets up", up, v->target_count);
    api_html_tag(b, up == v->target_count ? "ok" : "bad", text);
    if (open == 0) {
        api_html_tag(b, "ok", "no incident open");
    } else {
        count_tag(b, open, "open incident", "bad");
    }
    if (running > 0) {
        count_tag(b, running, "running capture", "warn");
    }
}

static const char *state_class(enum view_capture_state s)
{
    return s == VIEW_SEALED ? "ok" : s == VIEW_LOST ? "bad" : "warn";
}

static void capture_line(struct buf *b, const struct view_capture *c)
{
    (void)buf_add_text(b, "<p>");
    api_html_tag(b, state_class(c->state), view_capture_state_name(c->state));
    (void)buf_addf(b, "%s, %s: <a href=\"/captures/%s\">evidence</a>", c->reason,
                   view_grade_name(c->grade), c->id);
    if (c->size_bytes > 0) {
        (void)buf_addf(b, " &middot; <a href=\"/api/v1/captures/%s/bundle\">bundle, ", c->id);
        api_html_size(b, c->size_bytes);
        (void)buf_add_text(b, "</a>");
    }
    (void)buf_addf(b, "%s <code class=\"dim\">%s</code></p>", c->pinned ? " &middot; pinned" : "",
                   c->id);
}

/* What the report of the incident's first capture says in one line. */
static void headline(struct buf *b, const struct api_request *r, const char *id)
{
    AUTO_BUF struct buf text = BUF_INIT(LIMIT_MANIFEST_BYTES);
    if (api_files_read_report(r->api, id, &text) != 0) {
        return;
    }
    cJSON *report = cJSON_ParseWithLength(buf_text(&text), text.len);
    const char *line = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(report, "headline"));
    if (line != NULL && line[0] != '\0') {
        (void)buf_add_text(b, "<p class=\"growth\">");
        (void)buf_add_html(b, line);
        (void)buf_add_text(b, "</p>");
    }
    cJSON_Delete(report);
}

static void incident_top(struct buf *b, const struct view_incident *in)
{
    char span[API_HTML_SPAN];
    char text[64];
    int64_t end_ms = in->open ? (int64_t)time(NULL) * 1000 : in->resolved_ms;
    (void)api_html_span(end_ms - in->onset_ms, span);
    (void)snprintf(text, sizeof(text), "%s%s", in->open ? "ongoing, " : "over after ", span);
    (void)buf_addf(b, "<article class=\"card%s\"><div class=\"top\">", in->open ? " open" : "");
    api_html_tag(b, in->open ? "bad" : "ok", text);
    (void)buf_add_text(b, "<h3>");
    (void)buf_add_html(b, in->target);
    (void)buf_add_text(b, " / ");
    (void)buf_add_html(b, in->rule);
    (void)buf_add_text(b, "</h3><span class=\"dim\">");
    if (in->dips > 1) {
        (void)buf_addf(b, "%u dips, ", in->dips);
    }
    (void)buf_add_text(b, "since</span> ");
    api_html_when(b, in->onset_ms);
    (void)buf_add_text(b, "</div>");
}

static void incident_card(struct buf *b, const struct api_request *r,
                          const struct view_incident *in, bool with_headline)
{
    const struct view *v = r->view;
    incident_top(b, in);
    (void)buf_add_text(b, "<p class=\"lead\">");
    (void)buf_add_html(b, in->summary);
    (void)buf_add_text(b, "</p>");
    if (with_headline) {
        headline(b, r, in->id);
    }
    size_t captures = 0;
    for (size_t i = 0; i < v->capture_count; i++) {
        if (strcmp(v->captures[i].incident, in->id) == 0) {
            capture_line(b, &v->captures[i]);
            captures++;
        }
    }
    if (in->suppressed > 0) {
        (void)buf_addf(b, "<p class=\"dim\">%u %scapture%s held back: ", in->suppressed,
                       captures > 0 ? "more " : "", in->suppressed == 1 ? "" : "s");
        (void)buf_add_html(b, in->suppressed_why);
        (void)buf_add_text(b, "</p>");
    }
    (void)buf_add_text(b, "</article>\n");
}

/* The cards of the incidents that are open, or of the others. */
static void incidents(struct buf *b, const struct api_request *r, bool open)
{
    size_t shown = 0;
    for (size_t i = 0; r->view != NULL && i < r->view->incident_count; i++) {
        const struct view_incident *in = &r->view->incidents[i];
        if (in->open == open && shown < INCIDENTS_SHOWN) {
            if (shown++ == 0) {
                (void)buf_addf(b, "<h2>%s</h2>\n", open ? "Ongoing" : "Earlier");
            }
            incident_card(b, r, in, shown <= HEADLINES_SHOWN && fs_name_ok(in->id, LIMIT_ID_BYTES));
        }
    }
}

static void rule_row(struct buf *b, const struct view_rule *rule)
{
    static const char *const names[] = {"quiet", "pending", "firing"};
    static const char *const classes[] = {"ok", "warn", "bad"};
    const struct watch_status *s = &rule->status;
    size_t i = (size_t)s->state < ARRAY_LEN(names) ? (size_t)s->state : 0;
    (void)buf_add_text(b, "<tr>");
    api_html_cell(b, "rule", rule->rule);
    (void)buf_add_text(b, "<td>");
    if (s->unknown) {
        api_html_tag(b, "warn", "unknown");
    } else {
        api_html_tag(b, classes[i], names[i]);
    }
    if (rule->held) {
        api_html_tag(b, "warn", "held");
    }
    (void)buf_add_text(b, "</td>");
    api_html_cell(b, "now",
                  s->missing[0] != '\0' ? s->missing
                  : s->unknown          ? "nothing is known yet"
                                        : s->summary);
    (void)buf_add_text(b, "<td data-label=\"captures with\">");
    for (const char *c = rule->capture; *c != '\0'; c++) {
        const char one[] = {*c, '\0'};
        (void)buf_add_html(b, one);
        (void)buf_add_text(b, *c == ',' ? " " : "");
    }
    (void)buf_add_text(b, "</td><td data-label=\"rests\">");
    if (rule->cooldown_left_ms > 0) {
        char span[API_HTML_SPAN];
        (void)buf_addf(b, "%s more", api_html_span(rule->cooldown_left_ms, span));
    }
    (void)buf_add_text(b, "</td></tr>\n");
}

static void target_top(struct buf *b, const struct view_target *t)
{
    (void)buf_add_text(b, "<div class=\"top\"><h3>");
    (void)buf_add_html(b, t->name);
    (void)buf_add_text(b, "</h3>");
    api_html_tag(b, t->up ? "ok" : "bad", t->up ? "up" : "down");
    (void)buf_add_text(b, "<span class=\"dim\">");
    if (t->pid > 0) {
        (void)buf_addf(b, "pid %d", t->pid);
    } else {
        (void)buf_add_text(b, "no process found");
    }
    if (t->runtime[0] != '\0') {
        (void)buf_add_text(b, ", ");
        (void)buf_add_html(b, t->runtime);
    }
    (void)buf_addf(b, "; polled every %.3g s, last</span> ", (double)t->interval_ms / 1000);
    api_html_when(b, t->polled_ms);
    (void)buf_add_text(b, "</div>");
    if (t->error[0] != '\0') {
        (void)buf_add_text(b, "<p class=\"pad\">");
        api_html_tag(b, "bad", "error");
        (void)buf_add_html(b, t->error);
        (void)buf_add_text(b, "</p>");
    }
}

static void targets(struct buf *b, const struct view *v)
{
    (void)buf_add_text(b, "<h2>Watched</h2>");
    for (size_t i = 0; i < v->target_count; i++) {
        (void)buf_add_text(b, "<section class=\"card wide\">");
        target_top(b, &v->targets[i]);
        (void)buf_add_text(
            b, "<table><tr class=\"h\"><th>rule<th>state<th>now<th>captures with<th>rests"
               "</tr>\n");
        for (size_t k = 0; k < v->rule_count; k++) {
            if (strcmp(v->rules[k].target, v->targets[i].name) == 0) {
                rule_row(b, &v->rules[k]);
            }
        }
        (void)buf_add_text(b, "</table></section>\n");
    }
}

enum MHD_Result api_page_index(struct api_request *r)
{
    static const struct view nothing = {.status = "starting"};
    const struct view *v = r->view == NULL ? &nothing : r->view;
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    api_html_head(&b, "incidentd", 0);
    (void)buf_add_text(&b, "<header><h1>incidentd</h1>");
    status_tags(&b, v);
    capture_form(&b, r, v);
    (void)buf_add_text(&b, "</header><main>\n");
    incidents(&b, r, true);
    incidents(&b, r, false);
    if (v->incident_count == 0) {
        (void)buf_add_text(&b, "<h2>Incidents</h2><p class=\"card dim\">None yet. The first dip "
                               "below an objective stands here with its evidence.</p>");
    }
    targets(&b, v);
    return api_html_send(r, &b);
}

enum MHD_Result api_page_login(struct api_request *r)
{
    const char *id = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "id");
    struct buf b = BUF_INIT(8 << 10);
    api_html_head(&b, "incidentd: log in", 0);
    (void)buf_add_text(&b,
                       "<header><h1>incidentd</h1></header><main class=\"login\"><h2>Log in</h2>"
                       "<div class=\"card\"><form method=\"post\" action=\"/login\">"
                       "<input name=\"user\" autocomplete=\"username\" value=\"incidentd\" hidden>"
                       "<label for=\"token\">Token</label> <input id=\"token\" name=\"token\" "
                       "type=\"password\" autocomplete=\"current-password\" autofocus required>");
    if (id != NULL && fs_name_ok(id, LIMIT_ID_BYTES)) {
        (void)buf_addf(&b, "<input type=\"hidden\" name=\"id\" value=\"%s\">", id);
    }
    (void)buf_add_text(&b, "<button class=\"main\">Log in</button></form>");
    if (MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "wrong") != NULL) {
        (void)buf_add_text(&b, "<p role=\"alert\"><span class=\"tag bad\">That is not the token."
                               "</span></p>");
    }
    (void)buf_add_text(&b, "<p class=\"dim\">The one in the file that <code>server.token_file"
                           "</code> names.</p></div>");
    return api_html_send(r, &b);
}
