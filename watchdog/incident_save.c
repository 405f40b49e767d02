/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/incident.h"

#include <errno.h>

#include <cjson/cJSON.h>

static void add_text(struct buf *out, const char *name, const char *text)
{
    (void)buf_addf(out, "\"%s\":\"", name);
    (void)buf_add_json(out, text);
    (void)buf_add_text(out, "\",");
}

static void save_one(const struct incident *in, struct buf *out)
{
    const struct watch_counts *c = &in->counts;
    (void)buf_add_char(out, '{');
    add_text(out, "id", in->id);
    add_text(out, "target", in->target);
    add_text(out, "rule", in->rule);
    add_text(out, "summary", in->summary);
    add_text(out, "suppressed_why", in->suppressed_why);
    add_text(out, "top_labels", c->top_labels);
    (void)buf_addf(out,
                   "\"open\":%s,\"grade\":%d,\"onset_ms\":%lld,\"trigger_ms\":%lld,"
                   "\"resolved_ms\":%lld,\"dips\":%u,\"captured\":%u,\"suppressed\":%u,"
                   "\"captured_ratio\":%.9g,",
                   in->open ? "true" : "false", (int)in->grade, (long long)in->onset_ms,
                   (long long)in->trigger_ms, (long long)in->resolved_ms, in->dips, in->captured,
                   in->suppressed, in->captured_ratio);
    (void)buf_addf(out,
                   "\"bad\":%.9g,\"total\":%.9g,\"window_ms\":%lld,\"allowed\":%.9g,"
                   "\"fires_at\":%.9g,\"ratio\":%.9g,\"worst_ratio\":%.9g,\"top_share\":%.9g,"
                   "\"dispersion\":%.9g}",
                   c->bad, c->total, (long long)c->window_ms, c->allowed, c->fires_at, c->ratio,
                   c->worst_ratio, c->top_share, c->dispersion);
}

void incident_save(const struct incidents *all, struct buf *out)
{
    (void)buf_add_text(out, "{\"incidents\":[");
    for (size_t i = 0; i < all->count; i++) {
        (void)buf_add_text(out, i == 0 ? "" : ",");
        save_one(&all->list[i], out);
    }
    (void)buf_add_text(out, "],\"rules\":[");
    for (size_t i = 0; i < all->memory_count; i++) {
        const struct incident_memory *m = &all->memories[i];
        (void)buf_add_text(out, i == 0 ? "{" : ",{");
        add_text(out, "target", m->target);
        add_text(out, "rule", m->rule);
        (void)buf_addf(out, "\"resolved_ms\":%lld,\"captured_ratio\":%.9g}",
                       (long long)m->resolved_ms, m->captured_ratio);
    }
    (void)buf_add_text(out, "],\"captures\":[");
    for (size_t i = 0; i < all->stamp_count; i++) {
        const struct incident_stamp *s = &all->stamps[i];
        (void)buf_add_text(out, i == 0 ? "{" : ",{");
        add_text(out, "target", s->target);
        (void)buf_addf(out, "\"at_ms\":%lld}", (long long)s->at_ms);
    }
    (void)buf_add_text(out, "]}");
}

static void take_text(const cJSON *o, const char *name, char *out, size_t size)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(o, name);
    (void)snprintf(out, size, "%s", cJSON_IsString(text) ? text->valuestring : "");
}

static double take_double(const cJSON *o, const char *name)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
    bool sane = cJSON_IsNumber(n) && n->valuedouble > -9e15 && n->valuedouble < 9e15;
    return sane ? n->valuedouble : 0;
}

static int64_t take_int(const cJSON *o, const char *name)
{
    return (int64_t)take_double(o, name);
}

static unsigned take_count(const cJSON *o, const char *name)
{
    double n = take_double(o, name);
    return n < 0 || n > 1e9 ? 0 : (unsigned)n;
}

static void load_one(const cJSON *o, int64_t wall_ms, struct incident *in)
{
    *in = (struct incident){.open = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "open"))};
    take_text(o, "id", in->id, sizeof(in->id));
    take_text(o, "target", in->target, sizeof(in->target));
    take_text(o, "rule", in->rule, sizeof(in->rule));
    take_text(o, "summary", in->summary, sizeof(in->summary));
    take_text(o, "suppressed_why", in->suppressed_why, sizeof(in->suppressed_why));
    in->grade = take_int(o, "grade") == WATCH_FULL ? WATCH_FULL : WATCH_LIGHT;
    in->onset_ms = take_int(o, "onset_ms");
    in->trigger_ms = take_int(o, "trigger_ms");
    in->resolved_ms = take_int(o, "resolved_ms");
    in->dips = take_count(o, "dips");
    in->captured = take_count(o, "captured");
    in->suppressed = take_count(o, "suppressed");
    in->captured_ratio = take_double(o, "captured_ratio");
    in->restored = in->open;
    in->restored_ms = wall_ms;
    struct watch_counts *c = &in->counts;
    take_text(o, "top_labels", c->top_labels, sizeof(c->top_labels));
    c->bad = take_double(o, "bad");
    c->total = take_double(o, "total");
    c->window_ms = take_int(o, "window_ms");
    c->allowed = take_double(o, "allowed");
    c->fires_at = take_double(o, "fires_at");
    c->ratio = take_double(o, "ratio");
    c->worst_ratio = take_double(o, "worst_ratio");
    c->top_share = take_double(o, "top_share");
    c->dispersion = take_double(o, "dispersion");
}

static const cJSON *array(const cJSON *root, const char *name, int max, int *ret_count)
{
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(root, name);
    int count = cJSON_IsArray(a) ? cJSON_GetArraySize(a) : 0;
    *ret_count = count > max ? max : count;
    return a;
}

int incident_load(struct incidents *all, const char *json, int64_t wall_ms, struct error *err)
{
    cJSON *root = cJSON_Parse(json);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return error_set(err, -EINVAL, "what was kept of the incidents is not JSON");
    }
    incident_release(all);
    int count = 0;
    const cJSON *a = array(root, "incidents", INCIDENT_KEPT, &count);
    all->list = count == 0 ? NULL : xcalloc((size_t)count, sizeof(*all->list));
    const cJSON *o = a == NULL ? NULL : a->child;
    for (; o != NULL && all->count < (size_t)count; o = o->next) {
        load_one(o, wall_ms, &all->list[all->count++]);
    }
    a = array(root, "rules", LIMIT_RULES, &count);
    all->memories = count == 0 ? NULL : xcalloc((size_t)count, sizeof(*all->memories));
    o = a == NULL ? NULL : a->child;
    for (; o != NULL && all->memory_count < (size_t)count; o = o->next) {
        struct incident_memory *m = &all->memories[all->memory_count++];
        take_text(o, "target", m->target, sizeof(m->target));
        take_text(o, "rule", m->rule, sizeof(m->rule));
        m->resolved_ms = take_int(o, "resolved_ms");
        m->captured_ratio = take_double(o, "captured_ratio");
    }
    a = array(root, "captures", INCIDENT_STAMPS, &count);
    all->stamps = count == 0 ? NULL : xcalloc((size_t)count, sizeof(*all->stamps));
    o = a == NULL ? NULL : a->child;
    for (; o != NULL && all->stamp_count < (size_t)count; o = o->next) {
        struct incident_stamp *s = &all->stamps[all->stamp_count++];
        take_text(o, "target", s->target, sizeof(s->target));
        s->at_ms = take_int(o, "at_ms");
    }
    cJSON_Delete(root);
    return 0;
}
