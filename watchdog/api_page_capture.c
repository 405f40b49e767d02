/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One capture: what happened, what grew, what was collected and what not, how to open it, and every
 * file of it. Manifest and report are read from the store for each request. Files are grouped by
 * collector; the many small ones of `proc` are folded, and nothing needs a script.
 */
#include "watchdog/api_html.h"

#include <cjson/cJSON.h>

#include "watchdog/openers.h"

enum { GROWTH_ROWS = 8, FOLD_FROM = 20, RELOAD_S = 3 };

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text == NULL ? "" : text;
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    double value = cJSON_IsNumber(item) ? item->valuedouble : 0;
    return value > -1e15 && value < 1e15 ? value : 0;
}

static cJSON *read_json(const struct api *api, const char *id,
                        int (*read)(const struct api *, const char *, struct buf *))
{
    AUTO_BUF struct buf text = BUF_INIT(LIMIT_MANIFEST_BYTES);
    return read(api, id, &text) == 0 ? cJSON_ParseWithLength(buf_text(&text), text.len) : NULL;
}

static void growth(struct buf *b, const cJSON *report)
{
    const cJSON *heap = cJSON_GetObjectItemCaseSensitive(report, "heap_growth");
    const char *field = text_of(heap, "from")[0] != '\0' ? "growth_bytes" : "to_bytes";
    const cJSON *row = NULL;
    int shown = 0;
    if (text_of(report, "headline")[0] == '\0') {
        return;
    }
    (void)buf_add_text(b, "<p class=\"growth\">");
    (void)buf_add_html(b, text_of(report, "headline"));
    (void)buf_add_text(b, "</p><pre>");
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(heap, "rows"))
    {
        if (shown++ == GROWTH_ROWS || number_of(row, field) <= 0) {
            break;
        }
        double mib = number_of(row, field) / (1 << 20);
        char size[32];
        (void)snprintf(size, sizeof(size), "%s%.1f %s", strcmp(field, "to_bytes") == 0 ? "" : "+",
                       mib < 1 ? mib * 1024 : mib, mib < 1 ? "KiB" : "MiB");
        (void)buf_addf(b, "%12s  ", size);
        (void)buf_add_html(b, text_of(row, "function"));
        (void)buf_add_char(b, '\n');
    }
    (void)buf_add_text(b, "</pre>");
}

static void change_forms(struct buf *b, const struct api_request *r, const struct view_capture *c)
{
    (void)buf_addf(b, "<form method=\"post\" action=\"/forms/captures/%s/pin\">", c->id);
    api_html_form_token(b, r);
    (void)buf_addf(b,
                   "<input type=\"hidden\" name=\"pin\" value=\"%d\"><button>%s</button></form>"
                   "<details class=\"ask\"><summary class=\"button\">Delete&hellip;</summary>"
                   "<form method=\"post\" action=\"/forms/captures/%s/delete\">",
                   c->pinned ? 0 : 1, c->pinned ? "Unpin" : "Pin: keep it", c->id);
    api_html_form_token(b, r);
    (void)buf_add_text(b, "<button>Delete this bundle for good</button></form></details>");
}

static void downloads(struct buf *b, const struct api_request *r, const struct view_capture *c)
{
    (void)buf_addf(
        b,
        "<div class=\"row\"><a class=\"button main\" href=\"/api/v1/captures/%s/bundle\">"
        "Download the bundle, ",
        c->id);
    api_html_size(b, c->size_bytes);
    (void)buf_addf(b,
                   "</a><a class=\"button\" href=\"/api/v1/captures/%s/manifest\">manifest.json</a>"
                   "<a class=\"button\" href=\"/api/v1/captures/%s/report\">report.json</a>",
                   c->id, c->id);
    change_forms(b, r, c);
    (void)buf_addf(b, "</div><p class=\"dim\">SHA-256 <code>%s</code></p>", c->sha256);
}

/* How good it was, where the rule has an objective. */
static void ratio(struct buf *b, const cJSON *manifest)
{
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(manifest, "counts");
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(manifest, "rule");
    double objective = number_of(rule, "objective");
    if (objective > 0 && number_of(counts, "total") > 0) {
        (void)buf_addf(b,
                       "<p class=\"lead\"><strong>%.4g %% good</strong>, the objective is %.6g %%",
                       100 * (1 - number_of(counts, "ratio")), 100 * objective);
        (void)buf_add_text(b, "</p>");
    }
}

static void partial(struct buf *b, const cJSON *manifest)
{
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(manifest, "partial"))) {
        (void)buf_add_text(b, "<p>");
        api_html_tag(b, "warn", "partial");
        (void)buf_add_html(b, text_of(manifest, "partial_why"));
        (void)buf_add_text(b, "</p>");
    }
}

static void summary(struct buf *b, const struct api_request *r, const struct view_capture *c,
                    const cJSON *manifest, const cJSON *report)
{
    bool running = c->state <= VIEW_SEALING;
    (void)buf_add_text(b, "<div class=\"card\"><div class=\"top\">");
    api_html_tag(b,
                 c->state == VIEW_SEALED ? "ok"
                 : c->state == VIEW_LOST ? "bad"
                                         : "warn",
                 view_capture_state_name(c->state));
    api_html_tag(b, "", view_grade_name(c->grade));
    api_html_tag(b, "", c->reason);
    if (c->pinned) {
        api_html_tag(b, "", "pinned");
    }
    (void)buf_add_text(b, "<span class=\"dim\">triggered</span> ");
    api_html_when(b, c->trigger_ms);
    if (strcmp(c->reason, "manual") != 0) {
        (void)buf_addf(b, "<span class=\"dim\">%.1f s after the onset</span>",
                       (double)(c->trigger_ms - c->onset_ms) / 1000);
    }
    (void)buf_add_text(b, "</div>");
    ratio(b, manifest);
    (void)buf_add_text(b, "<p class=\"lead\">");
    (void)buf_add_html(b, c->summary);
    (void)buf_add_text(b, "</p>");
    if (running) {
        (void)buf_add_text(b, "<p class=\"dim\">The collectors are at work; this page loads itself "
                              "again until the bundle is sealed.</p>");
    }
    growth(b, report);
    partial(b, manifest);
    if (c->size_bytes > 0) {
        downloads(b, r, c);
    }
    (void)buf_add_text(b, "</div>");
}

static void run_row(struct buf *b, const cJSON *run)
{
    const char *outcome = text_of(run, "outcome");
    double ms = number_of(run, "ended_mono_ms") - number_of(run, "started_mono_ms");
    (void)buf_add_text(b, "<tr>");
    api_html_cell(b, "collector", text_of(run, "collector"));
    api_html_cell(b, "phase", text_of(run, "phase"));
    (void)buf_add_text(b, "<td>");
    api_html_tag(b, strcmp(outcome, "done") == 0 ? "ok" : "warn", outcome);
    (void)buf_addf(b, "</td><td class=\"n\" data-label=\"took\">%.1f s</td>",
                   ms > 0 ? ms / 1000 : 0);
    api_html_cell(b, "why", text_of(run, "text"));
    (void)buf_add_text(b, "</tr>\n");
}

static void runs(struct buf *b, const cJSON *manifest)
{
    const cJSON *item = NULL;
    (void)buf_add_text(
        b, "<h2>Collected</h2><div class=\"card wide\"><table><tr class=\"h\"><th>collector"
           "<th>phase<th>outcome<th class=\"n\">took<th>why</tr>\n");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(manifest, "runs"))
    {
        run_row(b, item);
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(manifest, "skipped"))
    {
        (void)buf_add_text(b, "<tr>");
        api_html_cell(b, "collector", text_of(item, "collector"));
        (void)buf_add_text(b, "<td></td><td>");
        api_html_tag(b, "", "not run");
        (void)buf_add_text(b, "</td><td></td>");
        api_html_cell(b, "why", text_of(item, "why"));
        (void)buf_add_text(b, "</tr>\n");
    }
    (void)buf_add_text(b, "</table></div>");
}

static void commands(struct buf *b, const struct api_request *r, const struct view_capture *c,
                     const cJSON *manifest)
{
    AUTO_BUF struct buf list = BUF_INIT(64 << 10);
    const char *host = api_request_header(r, "Host");
    (void)openers_list(manifest, &list);
    (void)buf_addf(
        b, "<h2>Open it</h2><div class=\"card\"><pre>incidentctl get %s --server http://", c->id);
    (void)buf_add_html(b, host == NULL ? "HOST:PORT" : host);
    (void)buf_addf(b, "%s\ntar --zstd -xf %s.tar.zst &amp;&amp; cd %s\n",
                   r->api->auth.required ? " --token-file FILE" : "", c->id, c->id);
    (void)buf_add_html(b, buf_text(&list));
    (void)buf_add_text(b, "</pre></div>");
}

static void file_row(struct buf *b, const cJSON *item, const char *id)
{
    const char *status = text_of(item, "status");
    const char *path = text_of(item, "path");
    double bytes = number_of(item, "size");
    (void)buf_add_text(b, "<tr><td>");
    if (bytes > 0) {
        (void)buf_addf(b, "<a href=\"/api/v1/captures/%s/files/", id);
        api_html_path(b, path);
        (void)buf_add_text(b, "\">");
    }
    (void)buf_add_text(b, "<code>");
    (void)buf_add_html(b, strncmp(path, "artifacts/", 10) == 0 ? path + 10 : path);
    (void)buf_add_text(b, bytes > 0 ? "</code></a></td><td>" : "</code></td><td>");
    if (strcmp(status, "ok") != 0) {
        api_html_tag(b, "warn", status);
    }
    (void)buf_add_html(b, text_of(item, "error"));
    (void)buf_add_text(b, "</td>");
    api_html_cell(b, "sensitivity", text_of(item, "sensitivity"));
    (void)buf_add_text(b, "<td class=\"n\">");
    api_html_size(b, (int64_t)bytes);
    (void)buf_add_text(b, "</td></tr>\n");
}

/* The artifacts of one collector from `first` on, in one foldable table. */
static void file_group(struct buf *b, const cJSON *first, const char *id)
{
    const char *collector = text_of(first, "collector");
    size_t count = 0;
    double bytes = 0;
    for (const cJSON *item = first; item != NULL; item = item->next) {
        bool one_of = strcmp(text_of(item, "collector"), collector) == 0;
        count += one_of ? 1 : 0;
        bytes += one_of ? number_of(item, "size") : 0;
    }
    (void)buf_addf(b, "<details class=\"card wide\"%s><summary>", count < FOLD_FROM ? " open" : "");
    (void)buf_add_html(b, collector);
    (void)buf_addf(b, " <span class=\"dim\">%zu file%s, ", count, count == 1 ? "" : "s");
    api_html_size(b, (int64_t)bytes);
    (void)buf_add_text(b, "</span></summary><table><tr class=\"h\"><th>file<th>note<th>sensitivity"
                          "<th class=\"n\">size</tr>\n");
    for (const cJSON *item = first; item != NULL; item = item->next) {
        if (strcmp(text_of(item, "collector"), collector) == 0 &&
            text_of(item, "path")[0] != '\0') {
            file_row(b, item, id);
        }
    }
    (void)buf_add_text(b, "</table></details>\n");
}

static void files(struct buf *b, const cJSON *manifest, const char *id)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(manifest, "artifacts");
    const cJSON *item = NULL;
    (void)buf_add_text(b, "<h2>Files</h2>\n");
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *other = list->child;
        while (other != item &&
               strcmp(text_of(other, "collector"), text_of(item, "collector")) != 0) {
            other = other->next;
        }
        if (other == item) {
            file_group(b, item, id);
        }
    }
}

enum MHD_Result api_page_capture(struct api_request *r)
{
    const struct view_capture *c = view_capture_find(r->view, r->id);
    if (c == NULL) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no capture '%s'", r->id);
    }
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    cJSON *manifest = read_json(r->api, c->id, api_files_read_manifest);
    cJSON *report = read_json(r->api, c->id, api_files_read_report);
    api_html_head(&b, c->id, c->state <= VIEW_SEALING ? RELOAD_S : 0);
    (void)buf_add_text(&b, "<header><h1><a href=\"/\">incidentd</a></h1><code class=\"dim\">");
    (void)buf_add_html(&b, c->id);
    (void)buf_add_text(&b, "</code></header><main><h2 class=\"id\">");
    (void)buf_add_html(&b, c->target);
    (void)buf_add_text(&b, " / ");
    (void)buf_add_html(&b, c->rule);
    (void)buf_add_text(&b, "</h2>");
    summary(&b, r, c, manifest, report);
    if (manifest != NULL) {
        runs(&b, manifest);
        commands(&b, r, c, manifest);
        files(&b, manifest, c->id);
    }
    cJSON_Delete(manifest);
    cJSON_Delete(report);
    return api_html_send(r, &b);
}
