/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view as JSON. Written straight into a bounded buffer: buf_add_json() replaces invalid UTF-8,
 * which label values of a target may hold and cJSON would pass on. A separator is written before
 * whatever does not follow an opening bracket.
 */
#include "watchdog/api_http.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "base/clock.h"

static void separate(struct buf *b)
{
    const char *last = b->len == 0 ? "{" : &b->data[b->len - 1];
    if (*last != '{' && *last != '[') {
        (void)buf_add_char(b, ',');
    }
}

static void key(struct buf *b, const char *name)
{
    separate(b);
    (void)buf_addf(b, "\"%s\":", name);
}

static void text(struct buf *b, const char *name, const char *value)
{
    key(b, name);
    (void)buf_add_char(b, '"');
    (void)buf_add_json(b, value);
    (void)buf_add_char(b, '"');
}

static void integer(struct buf *b, const char *name, int64_t value)
{
    key(b, name);
    (void)buf_addf(b, "%lld", (long long)value);
}

static void real(struct buf *b, const char *name, double value)
{
    key(b, name);
    if (isfinite(value)) {
        (void)buf_addf(b, "%.10g", value);
    } else {
        (void)buf_add_text(b, "null");
    }
}

static void boolean(struct buf *b, const char *name, bool value)
{
    key(b, name);
    (void)buf_add_text(b, value ? "true" : "false");
}

/* "<name>" as RFC 3339 or null, and "<name>_ms". */
static void instant(struct buf *b, const char *name, int64_t ms)
{
    char when[CLOCK_TEXT_SIZE];
    if (ms > 0) {
        text(b, name, clock_rfc3339(ms, when));
    } else {
        key(b, name);
        (void)buf_add_text(b, "null");
    }
    char ms_name[32];
    (void)snprintf(ms_name, sizeof(ms_name), "%s_ms", name);
    integer(b, ms_name, ms);
}

static void counts(struct buf *b, const struct watch_counts *c)
{
    key(b, "counts");
    (void)buf_add_char(b, '{');
    real(b, "bad", c->bad);
    real(b, "total", c->total);
    integer(b, "window_ms", c->window_ms);
    real(b, "allowed", c->allowed);
    real(b, "fires_at", c->fires_at);
    real(b, "ratio", c->ratio);
    real(b, "worst_ratio", c->worst_ratio);
    text(b, "top_labels", c->top_labels);
    real(b, "top_share", c->top_share);
    real(b, "dispersion", c->dispersion);
    (void)buf_add_char(b, '}');
}

static void capture(struct buf *b, const struct view *v, const struct view_capture *c)
{
    text(b, "id", c->id);
    text(b, "incident", c->incident);
    text(b, "target", c->target);
    text(b, "rule", c->rule);
    text(b, "reason", c->reason);
    text(b, "state", view_capture_state_name(c->state));
    text(b, "grade", view_grade_name(c->grade));
    instant(b, "onset", c->onset_ms);
    instant(b, "trigger", c->trigger_ms);
    instant(b, "sealed", c->sealed_ms);
    integer(b, "size_bytes", c->size_bytes);
    text(b, "sha256", c->sha256);
    if (c->size_bytes > 0 && v->bundles_path[0] != '\0') {
        char path[sizeof(v->bundles_path) + sizeof(c->id) + 16];
        (void)snprintf(path, sizeof(path), "%s/%s.tar.zst", v->bundles_path, c->id);
        text(b, "path", path);
    }
    boolean(b, "pinned", c->pinned);
    text(b, "summary", c->summary);
}

static void incident(struct buf *b, const struct view *v, const struct view_incident *in)
{
    (void)buf_add_char(b, '{');
    text(b, "id", in->id);
    text(b, "target", in->target);
    text(b, "rule", in->rule);
    boolean(b, "open", in->open);
    text(b, "grade", view_grade_name(in->grade));
    instant(b, "onset", in->onset_ms);
    instant(b, "trigger", in->trigger_ms);
    instant(b, "resolved", in->resolved_ms);
    integer(b, "dips", in->dips);
    integer(b, "suppressed", in->suppressed);
    text(b, "suppressed_why", in->suppressed_why);
    counts(b, &in->counts);
    text(b, "summary", in->summary);
    key(b, "captures");
    (void)buf_add_char(b, '[');
    for (size_t i = 0; i < v->capture_count; i++) {
        if (strcmp(v->captures[i].incident, in->id) == 0) {
            separate(b);
            (void)buf_add_char(b, '"');
            (void)buf_add_json(b, v->captures[i].id);
            (void)buf_add_char(b, '"');
        }
    }
    (void)buf_add_text(b, "]}");
}

static enum MHD_Result send_json(struct api_request *r, struct buf *b)
{
    (void)buf_add_char(b, '\n');
    return api_request_text(r, MHD_HTTP_OK, "application/json", b);
}

enum MHD_Result api_json_incidents(struct api_request *r)
{
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    (void)buf_add_text(&b, "{\"incidents\":[");
    for (size_t i = 0; r->view != NULL && i < r->view->incident_count; i++) {
        separate(&b);
        incident(&b, r->view, &r->view->incidents[i]);
    }
    (void)buf_add_text(&b, "]}");
    return send_json(r, &b);
}

enum MHD_Result api_json_incident(struct api_request *r)
{
    const struct view_incident *in = view_incident_find(r->view, r->id);
    if (in == NULL) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no incident '%s'", r->id);
    }
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    incident(&b, r->view, in);
    return send_json(r, &b);
}

enum MHD_Result api_json_captures(struct api_request *r)
{
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    (void)buf_add_text(&b, "{\"captures\":[");
    for (size_t i = 0; r->view != NULL && i < r->view->capture_count; i++) {
        separate(&b);
        (void)buf_add_char(&b, '{');
        capture(&b, r->view, &r->view->captures[i]);
        (void)buf_add_char(&b, '}');
    }
    (void)buf_add_text(&b, "]}");
    return send_json(r, &b);
}

enum MHD_Result api_json_capture(struct api_request *r)
{
    const struct view_capture *c = view_capture_find(r->view, r->id);
    if (c == NULL) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no capture '%s'", r->id);
    }
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    (void)buf_add_char(&b, '{');
    capture(&b, r->view, c);
    struct buf manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    key(&b, "manifest");
    cJSON *json = api_files_read_manifest(r->api, c->id, &manifest) == 0
                      ? cJSON_ParseWithLength(buf_text(&manifest), manifest.len)
                      : NULL;
    (void)buf_add_text(&b, json == NULL ? "null" : buf_text(&manifest));
    cJSON_Delete(json);
    buf_release(&manifest);
    (void)buf_add_char(&b, '}');
    return send_json(r, &b);
}

static const char *state_name(const struct watch_status *s)
{
    static const char *const names[] = {"inactive", "pending", "firing"};
    return (size_t)s->state < ARRAY_LEN(names) ? names[s->state] : "unknown";
}

enum MHD_Result api_json_rules(struct api_request *r)
{
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    (void)buf_add_text(&b, "{\"rules\":[");
    for (size_t i = 0; r->view != NULL && i < r->view->rule_count; i++) {
        const struct view_rule *rule = &r->view->rules[i];
        separate(&b);
        (void)buf_add_char(&b, '{');
        text(&b, "target", rule->target);
        text(&b, "rule", rule->rule);
        text(&b, "state", state_name(&rule->status));
        text(&b, "grade", view_grade_name(rule->status.grade));
        boolean(&b, "unknown", rule->status.unknown);
        boolean(&b, "held", rule->held);
        instant(&b, "since", rule->status.since_ms);
        counts(&b, &rule->status.counts);
        text(&b, "missing", rule->status.missing);
        text(&b, "summary", rule->status.summary);
        integer(&b, "cooldown_left_ms", rule->cooldown_left_ms);
        integer(&b, "hour_left", rule->hour_left);
        integer(&b, "day_left", rule->day_left);
        text(&b, "capture", rule->capture);
        (void)buf_add_char(&b, '}');
    }
    (void)buf_add_text(&b, "]}");
    return send_json(r, &b);
}

enum MHD_Result api_json_targets(struct api_request *r)
{
    struct buf b = BUF_INIT(LIMIT_RESPONSE_BYTES);
    (void)buf_add_text(&b, "{\"targets\":[");
    for (size_t i = 0; r->view != NULL && i < r->view->target_count; i++) {
        const struct view_target *t = &r->view->targets[i];
        separate(&b);
        (void)buf_add_char(&b, '{');
        text(&b, "name", t->name);
        integer(&b, "pid", t->pid);
        text(&b, "runtime", t->runtime);
        boolean(&b, "up", t->up);
        instant(&b, "polled", t->polled_ms);
        integer(&b, "interval_ms", t->interval_ms);
        text(&b, "error", t->error);
        (void)buf_add_char(&b, '}');
    }
    (void)buf_add_text(&b, "]}");
    return send_json(r, &b);
}
