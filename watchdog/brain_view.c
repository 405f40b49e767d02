/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/brain.h"

#include "base/clock.h"
#include "watchdog/own_metrics.h"

enum { METRICS_BYTES = 4 << 20 };

static void copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text == NULL ? "" : text);
}

static void of_entry(const struct store_entry *e, struct view_capture *v)
{
    copy(v->id, sizeof(v->id), e->id);
    copy(v->incident, sizeof(v->incident), e->incident);
    copy(v->target, sizeof(v->target), e->target);
    copy(v->rule, sizeof(v->rule), e->rule);
    copy(v->reason, sizeof(v->reason), e->reason);
    copy(v->sha256, sizeof(v->sha256), e->sha256);
    copy(v->summary, sizeof(v->summary), e->summary);
    v->state = e->partial ? VIEW_PARTIAL : VIEW_SEALED;
    v->grade = e->grade;
    v->onset_ms = e->onset_ms;
    v->trigger_ms = e->trigger_ms;
    v->sealed_ms = e->sealed_ms;
    v->size_bytes = e->size_bytes;
    v->pinned = e->pinned;
}

static void of_running(const struct capture *c, struct view_capture *v)
{
    copy(v->id, sizeof(v->id), c->id);
    v->state = c->stage == CAPTURE_LOST         ? VIEW_LOST
               : c->stage <= CAPTURE_COLLECTING ? VIEW_CAPTURING
                                                : VIEW_SEALING;
    const struct facts *f = c->facts;
    if (f == NULL) {
        copy(v->incident, sizeof(v->incident), c->id);
        copy(v->summary, sizeof(v->summary), "sealing what an interruption left");
        (void)snprintf(v->target, sizeof(v->target), "%.*s", (int)strcspn(c->id, "_"), c->id);
        return;
    }
    copy(v->incident, sizeof(v->incident), f->incident);
    copy(v->target, sizeof(v->target), f->target);
    copy(v->rule, sizeof(v->rule), f->rule);
    copy(v->reason, sizeof(v->reason), f->reason);
    copy(v->summary, sizeof(v->summary), f->summary);
    v->grade = f->grade;
    v->onset_ms = f->onset_ms;
    v->trigger_ms = f->trigger_ms;
}

/* Newest trigger first. */
static int by_trigger(const void *a, const void *b)
{
    const struct view_capture *x = a;
    const struct view_capture *y = b;
    return x->trigger_ms == y->trigger_ms  ? strcmp(y->id, x->id)
           : x->trigger_ms > y->trigger_ms ? -1
                                           : 1;
}

static void add_captures(const struct brain *b, struct view *v)
{
    v->captures = xcalloc(b->store.index.count + b->capture_count + 1, sizeof(*v->captures));
    for (size_t i = 0; i < b->capture_count; i++) {
        const struct capture *c = b->captures[i];
        if (store_find(&b->store, c->id) == NULL && c->stage != CAPTURE_LISTED) {
            of_running(c, &v->captures[v->capture_count++]);
        }
    }
    for (size_t i = 0; i < b->store.index.count; i++) {
        of_entry(&b->store.index.entries[i], &v->captures[v->capture_count++]);
    }
    qsort(v->captures, v->capture_count, sizeof(*v->captures), by_trigger);
}

static void of_incident(const struct incident *in, struct view_incident *v)
{
    copy(v->id, sizeof(v->id), in->id);
    copy(v->target, sizeof(v->target), in->target);
    copy(v->rule, sizeof(v->rule), in->rule);
    copy(v->suppressed_why, sizeof(v->suppressed_why), in->suppressed_why);
    copy(v->summary, sizeof(v->summary), in->summary);
    v->open = in->open;
    v->grade = in->grade;
    v->onset_ms = in->onset_ms;
    v->trigger_ms = in->trigger_ms;
    v->resolved_ms = in->resolved_ms;
    v->dips = in->dips;
    v->suppressed = in->suppressed;
    v->counts = in->counts;
}

/* Incidents, and manual captures or bundles of forgotten ones as closed incidents of their own. */
static void add_incidents(const struct brain *b, struct view *v)
{
    v->incidents = xcalloc(b->incidents.count + v->capture_count + 1, sizeof(*v->incidents));
    for (size_t i = 0; i < b->incidents.count; i++) {
        of_incident(&b->incidents.list[i], &v->incidents[v->incident_count++]);
    }
    for (size_t i = 0; i < v->capture_count; i++) {
        const struct view_capture *c = &v->captures[i];
        bool known = false;
        for (size_t k = 0; k < v->incident_count && !known; k++) {
            known = strcmp(v->incidents[k].id, c->incident) == 0;
        }
        if (known) {
            continue;
        }
        struct view_incident *in = &v->incidents[v->incident_count++];
        copy(in->id, sizeof(in->id), c->incident);
        copy(in->target, sizeof(in->target), c->target);
        copy(in->rule, sizeof(in->rule), c->rule);
        copy(in->summary, sizeof(in->summary), c->summary);
        in->grade = c->grade;
        in->onset_ms = c->onset_ms;
        in->trigger_ms = c->trigger_ms;
        in->resolved_ms = c->sealed_ms;
    }
}

static int by_onset(const void *a, const void *b)
{
    const struct view_incident *x = a;
    const struct view_incident *y = b;
    return x->trigger_ms == y->trigger_ms  ? strcmp(y->id, x->id)
           : x->trigger_ms > y->trigger_ms ? -1
                                           : 1;
}

static void list_collectors(const struct brain *b, const struct config_rule *rule, int runtime,
                            char *out, size_t size)
{
    uint32_t index[LIMIT_COLLECTORS];
    bool listed[LIMIT_COLLECTORS];
    size_t count = generation_collectors(b->generation, &rule->capture,
                                         (enum collector_runtime)runtime, index, listed);
    AUTO_BUF struct buf text = BUF_INIT(size - 1);
    for (size_t i = 0; i < count; i++) {
        (void)buf_addf(&text, "%s%s", i == 0 ? "" : ",",
                       config_collector_at(&b->generation->config, index[i])->name);
    }
    copy(out, size, buf_text(&text));
}

static void add_rules(const struct brain *b, struct view *v, int64_t now_ms)
{
    const struct config *c = &b->generation->config;
    v->rules = xcalloc(c->rules.count + 1, sizeof(*v->rules));
    for (size_t i = 0; i < c->rules.count && b->judge != NULL; i++) {
        const struct config_rule *rule = config_rule_at(c, i);
        struct view_rule *r = &v->rules[v->rule_count++];
        int t = config_target_find(c, rule->target);
        struct judge_target target = {.pid = 0};
        if (t >= 0) {
            judge_target_of(b->judge, (size_t)t, &target);
        }
        copy(r->target, sizeof(r->target), rule->target);
        copy(r->rule, sizeof(r->rule), rule->name);
        judge_rule_status(b->judge, i, &r->status);
        r->cooldown_left_ms = incident_cooldown_left(&b->incidents, rule->target, rule->name,
                                                     rule->cooldown_ms, now_ms);
        r->hour_left = incident_hour_left(&b->incidents, rule->target, now_ms);
        r->day_left = incident_day_left(&b->incidents, rule->target, now_ms);
        r->held = target.held;
        list_collectors(b, rule, (int)target.runtime, r->capture, sizeof(r->capture));
    }
}

static void add_targets(const struct brain *b, struct view *v)
{
    const struct config *c = &b->generation->config;
    v->targets = xcalloc(c->targets.count + 1, sizeof(*v->targets));
    for (size_t i = 0; i < c->targets.count && b->judge != NULL; i++) {
        struct view_target *t = &v->targets[v->target_count++];
        struct judge_target now = {.pid = 0};
        judge_target_of(b->judge, i, &now);
        copy(t->name, sizeof(t->name), config_target_at(c, i)->name);
        t->pid = now.pid;
        copy(t->runtime, sizeof(t->runtime), facts_runtime((int)now.runtime));
        t->up = now.up;
        t->polled_ms = now.polled_ms;
        t->interval_ms = now.interval_ms;
        copy(t->error, sizeof(t->error), now.error);
    }
}

static char *metrics(const struct brain *b, const struct view *v)
{
    struct own_target *targets = xcalloc(v->target_count + 1, sizeof(*targets));
    struct own_rule *rules = xcalloc(v->rule_count + 1, sizeof(*rules));
    for (size_t i = 0; i < v->target_count; i++) {
        struct judge_target now = {.pid = 0};
        judge_target_of(b->judge, i, &now);
        targets[i] = (struct own_target){.name = v->targets[i].name,
                                         .up = now.up,
                                         .polls = now.polls,
                                         .failures = now.failures,
                                         .bytes = now.bytes,
                                         .interval_ms = now.interval_ms,
                                         .late_max_ms = now.late_max_ms,
                                         .series = now.series};
    }
    for (size_t i = 0; i < v->rule_count; i++) {
        rules[i] = (struct own_rule){.target = v->rules[i].target,
                                     .rule = v->rules[i].rule,
                                     .state = v->rules[i].status.state,
                                     .ratio = v->rules[i].status.counts.ratio};
    }
    struct own_metrics m = {.version = INCIDENTD_VERSION,
                            .targets = targets,
                            .target_count = v->target_count,
                            .rules = rules,
                            .rule_count = v->rule_count,
                            .captures_sealed = b->counters.sealed,
                            .captures_partial = b->counters.partial,
                            .captures_lost = b->counters.lost,
                            .captures_running = b->capture_count,
                            .suppressed = b->incidents.suppressed_total,
                            .journal_failures = b->counters.troubles,
                            .bundles = b->store.index.count,
                            .store_bytes = store_bytes(&b->store),
                            .store_free_bytes = b->disk.free_bytes,
                            .deleted = b->counters.deleted,
                            .onset_last_ms = b->counters.onset_last_ms,
                            .generation = b->generation->number,
                            .reloads_failed = b->counters.reloads_failed,
                            .start_s = (double)b->start_ms / 1000};
    AUTO_BUF struct buf page = BUF_INIT(METRICS_BYTES);
    own_metrics_process(&m);
    own_metrics_page(&m, &page);
    if (b->api != NULL) {
        api_metrics(b->api, &page);
    }
    free(targets);
    free(rules);
    return buf_take(&page);
}

void brain_view_status(const struct brain *b, char *out, size_t size)
{
    size_t up = 0;
    size_t targets = b->generation->config.targets.count;
    size_t open = 0;
    for (size_t i = 0; i < targets && b->judge != NULL; i++) {
        struct judge_target now = {.pid = 0};
        judge_target_of(b->judge, i, &now);
        up += now.up ? 1 : 0;
    }
    for (size_t i = 0; i < b->incidents.count; i++) {
        open += b->incidents.list[i].open ? 1 : 0;
    }
    (void)snprintf(out, size,
                   "%zu of %zu targets up, %zu incidents open, %zu captures running, %zu bundles",
                   up, targets, open, b->capture_count, b->store.index.count);
}

void brain_view_publish(struct brain *b)
{
    int64_t now_ms = clock_wall_ms();
    struct view *v = view_new();
    v->made_ms = now_ms;
    v->ready = b->ready && !b->stopping;
    brain_view_status(b, v->status, sizeof(v->status));
    (void)snprintf(v->bundles_path, sizeof(v->bundles_path), "%.500s/bundles",
                   b->generation->plan.head->store_path);
    add_captures(b, v);
    add_incidents(b, v);
    qsort(v->incidents, v->incident_count, sizeof(*v->incidents), by_onset);
    add_rules(b, v, now_ms);
    add_targets(b, v);
    v->metrics = metrics(b, v);
    view_publish(v);
    b->published_ms = clock_mono_ms();
    b->publish_due = false;
}
