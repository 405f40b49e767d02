/* SPDX-License-Identifier: Apache-2.0 */
/*
 * brain_captures.c: at most one capture of a target collects at a time and at most
 * BRAIN_COLLECTING_MAX in all; what comes meanwhile is journalled at once and begins when its turn
 * comes. An incident that becomes worse while its capture still collects widens that one instead.
 */
#include "watchdog/brain.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"

static bool collects(const struct capture *c)
{
    return c->stage == CAPTURE_COLLECTING || (c->stage == CAPTURE_QUEUED && c->allowed);
}

struct capture *brain_captures_find(const struct brain *b, const char *id)
{
    for (size_t i = 0; i < b->capture_count; i++) {
        if (strcmp(b->captures[i]->id, id) == 0) {
            return b->captures[i];
        }
    }
    return NULL;
}

/* The capture of `target` that collects or waits to, or NULL. */
static struct capture *of_target(const struct brain *b, const char *target)
{
    for (size_t i = 0; i < b->capture_count; i++) {
        struct capture *c = b->captures[i];
        if (c->facts != NULL && c->stage <= CAPTURE_COLLECTING &&
            strcmp(c->facts->target, target) == 0) {
            return c;
        }
    }
    return NULL;
}

/* Begins what may begin, in the order of arrival. */
static void begin_waiting(struct brain *b)
{
    struct capture *all[BRAIN_CAPTURES_MAX];
    size_t count = b->capture_count;
    memcpy(all, b->captures, sizeof(all));
    size_t busy = 0;
    for (size_t i = 0; i < count; i++) {
        busy += collects(all[i]) ? 1 : 0;
    }
    for (size_t i = 0; i < count && busy < BRAIN_COLLECTING_MAX; i++) {
        struct capture *c = all[i];
        if (c->stage != CAPTURE_QUEUED || c->allowed || c->facts == NULL) {
            continue;
        }
        bool first = true;
        for (size_t k = 0; k < count && first; k++) {
            first = !(all[k] != c && all[k]->facts != NULL && collects(all[k]) &&
                      strcmp(all[k]->facts->target, c->facts->target) == 0);
        }
        if (first) {
            busy++;
            capture_hold(c); /* begin may run through to its end */
            capture_begin(c);
            capture_release(c);
        }
    }
}

static void on_changed(struct capture *c, void *arg)
{
    (void)c;
    brain_changed(arg);
}

static void on_collected(struct capture *c, void *arg)
{
    struct brain *b = arg;
    if (c->first_run_mono_ms > 0) {
        b->counters.onset_last_ms = c->first_run_mono_ms - c->fired_mono_ms;
    }
    log_info("capture '%s': collected in %lld ms, first collector after %lld ms", c->id,
             (long long)(clock_mono_ms() - c->fired_mono_ms), (long long)b->counters.onset_last_ms);
    begin_waiting(b);
}

static void on_trouble(struct capture *c, const char *what, void *arg)
{
    struct brain *b = arg;
    b->counters.troubles++;
    log_warn("capture '%s': %s, going on without it", c->id, what);
}

static void on_sealed(struct capture *c, const struct store_entry *entry, const struct error *err,
                      void *arg)
{
    struct brain *b = arg;
    if (entry == NULL) {
        b->counters.lost++;
        log_error("capture '%s' could not be sealed: %s, kept in staging and tried again at the "
                  "next start",
                  c->id, err->message);
    } else {
        b->counters.sealed += entry->partial ? 0 : 1;
        b->counters.partial += entry->partial ? 1 : 0;
        store_put(&b->store, entry);
        log_info("capture '%s' sealed%s: %lld bytes, %lld ms after it fired", c->id,
                 entry->partial ? " as partial" : "", (long long)entry->size_bytes,
                 (long long)(clock_mono_ms() - c->fired_mono_ms));
        brain_captures_measure(b);
    }
    brain_changed(b);
}

static void on_ended(struct capture *c, void *arg)
{
    struct brain *b = arg;
    for (size_t i = 0; i < b->capture_count; i++) {
        if (b->captures[i] == c) {
            memmove(&b->captures[i], &b->captures[i + 1],
                    (b->capture_count - i - 1) * sizeof(struct capture *));
            b->capture_count--;
            break;
        }
    }
    if (c->owner != NULL) {
        recovery_ended(c->owner, c);
    }
    brain_captures_measure(b); /* its staging is gone */
    brain_changed(b);
    brain_end_if_idle(b);
}

void brain_captures_init(struct brain *b)
{
    b->env = (struct capture_env){.loop = b->loop,
                                  .link = b->link,
                                  .bundles_fd = b->store.bundles_fd,
                                  .journal_fd = b->store.journal_fd,
                                  .changed = on_changed,
                                  .collected = on_collected,
                                  .sealed = on_sealed,
                                  .trouble = on_trouble,
                                  .ended = on_ended,
                                  .arg = b};
}

/* ---- space ---- */

struct removal {
    uv_work_t work;
    int bundles_fd;
    char id[LIMIT_ID_BYTES + 1];
    struct error err;
    int status;
};

static void remove_in_pool(uv_work_t *work)
{
    struct removal *r = work->data;
    r->status = store_unlink(r->bundles_fd, r->id, &r->err);
}

static void removed(uv_work_t *work, int status)
{
    struct removal *r = work->data;
    (void)status;
    if (r->status < 0) {
        log_err(LOG_LEVEL_ERROR, &r->err,
                "a bundle could not be deleted, it is listed again "
                "after a restart");
    }
    free(r);
}

void brain_captures_delete(struct brain *b, const char *id)
{
    struct removal *r = xcalloc(1, sizeof(*r));
    r->bundles_fd = b->store.bundles_fd;
    r->work.data = r;
    (void)snprintf(r->id, sizeof(r->id), "%s", id);
    store_forget(&b->store, r->id);
    (void)uv_queue_work(b->loop, &r->work, remove_in_pool, removed);
    brain_changed(b);
}

static void measure_in_pool(uv_work_t *work)
{
    struct brain *b = work->data;
    struct statvfs v = {0};
    if (fstatvfs(b->store.bundles_fd, &v) == 0) {
        b->disk_next = (struct retention_disk){
            .total_bytes = (int64_t)v.f_blocks * (int64_t)v.f_frsize,
            .free_bytes = (int64_t)v.f_bavail * (int64_t)v.f_frsize,
        };
    }
}

static void measured(uv_work_t *work, int status)
{
    struct brain *b = work->data;
    (void)status;
    b->disk_busy = false;
    b->disk = b->disk_next;
    if (b->disk_again) {
        b->disk_again = false;
        brain_captures_measure(b);
    }
    (void)brain_captures_retain(b, 0, 0);
    brain_end_if_idle(b);
}

void brain_captures_measure(struct brain *b)
{
    b->disk_again = b->disk_again || b->disk_busy;
    if (!b->disk_busy && !b->ended) {
        b->disk_busy = true;
        b->disk_work.data = b;
        (void)uv_queue_work(b->loop, &b->disk_work, measure_in_pool, measured);
    }
}

enum retention_verdict brain_captures_retain(struct brain *b, int64_t need_bytes,
                                             int64_t bundle_bytes)
{
    const struct config_store *s = &b->generation->config.store;
    size_t count = b->store.index.count;
    struct retention_item *items = xcalloc(count + 1, sizeof(*items));
    const struct retention_question question = {.items = items,
                                                .count = count,
                                                .policy = {.max_bytes = s->max_bytes,
                                                           .max_count = s->max_count,
                                                           .max_age_ms = s->max_age_ms,
                                                           .min_free = s->min_free},
                                                .disk = b->disk,
                                                .need_bytes = need_bytes,
                                                .bundle_bytes = bundle_bytes,
                                                .now_ms = clock_wall_ms()};
    size_t *victims = xcalloc(count + 1, sizeof(*victims));
    for (size_t i = 0; i < count; i++) {
        const struct store_entry *e = &b->store.index.entries[i];
        const struct incident *in = incident_find(&b->incidents, e->incident);
        items[i] = (struct retention_item){.trigger_ms = e->trigger_ms,
                                           .size_bytes = e->size_bytes,
                                           .pinned = e->pinned,
                                           .open = in != NULL && in->open};
    }
    enum retention_verdict verdict = RETENTION_FITS;
    size_t gone = retention_choose(&question, victims, &verdict);
    char(*ids)[LIMIT_ID_BYTES + 1] = xcalloc(gone + 1, sizeof(*ids));
    for (size_t i = 0; i < gone; i++) {
        memcpy(ids[i], b->store.index.entries[victims[i]].id, sizeof(ids[i]));
    }
    for (size_t i = 0; i < gone; i++) {
        log_info("retention: deleting bundle '%s'", ids[i]);
        b->counters.deleted++;
        brain_captures_delete(b, ids[i]);
    }
    free(ids);
    free(items);
    free(victims);
    return verdict;
}

/* Disk for the next capture of `target`; *ret_bundle is the largest bundle among its last ones. */
static int64_t predict(const struct brain *b, const char *target, int64_t *ret_bundle)
{
    int64_t raw[8];
    int64_t packed[8];
    size_t n = 0;
    *ret_bundle = 0;
    for (size_t i = 0; i < b->store.index.count && n < ARRAY_LEN(raw); i++) {
        const struct store_entry *e = &b->store.index.entries[i];
        if (strcmp(e->target, target) == 0 && !e->partial) {
            raw[n] = e->raw_bytes;
            *ret_bundle = e->size_bytes > *ret_bundle ? e->size_bytes : *ret_bundle;
            packed[n++] = e->size_bytes;
        }
    }
    return retention_predict(raw, packed, n);
}

/* ---- starting ---- */

static void copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text == NULL ? "" : text);
}

static void fill_target(const struct brain *b, size_t target, struct facts *f,
                        enum collector_runtime *ret_runtime)
{
    const struct config_target *t = config_target_at(&b->generation->config, target);
    struct judge_target now = {.pid = 0};
    if (b->judge != NULL) {
        judge_target_of(b->judge, target, &now);
    }
    enum collector_runtime runtime =
        t->runtime != RUNTIME_UNKNOWN ? (enum collector_runtime)t->runtime : now.runtime;
    if (runtime == RUNTIME_UNKNOWN && t->pprof != NULL) {
        runtime = RUNTIME_GO; /* who else serves pprof */
    }
    copy(f->target, sizeof(f->target), t->name);
    f->exited = now.pid == 0 && now.last_pid != 0;
    f->pid = f->exited ? now.last_pid : now.pid;
    f->start_ticks = f->exited ? now.last_start_ticks : now.start_ticks;
    copy(f->exe, sizeof(f->exe), now.exe);
    copy(f->runtime, sizeof(f->runtime), facts_runtime((int)runtime));
    copy(f->service, sizeof(f->service),
         t->identity.service == NULL ? t->name : t->identity.service);
    copy(f->version, sizeof(f->version), t->identity.version);
    copy(f->instance, sizeof(f->instance),
         t->identity.instance == NULL ? b->instance : t->identity.instance);
    copy(f->metrics, sizeof(f->metrics), t->metrics);
    copy(f->pprof, sizeof(f->pprof), t->pprof);
    *ret_runtime = runtime;
}

static void fill_rule(const struct config_rule *rule, const struct watch_event *event,
                      struct facts *f)
{
    f->kind = config_rule_kind(rule);
    f->onset_ms = event->onset_ms == 0 ? event->at_ms : event->onset_ms;
    f->trigger_ms = event->at_ms;
    f->counts = event->counts;
    copy(f->rule, sizeof(f->rule), rule->name);
    copy(f->summary, sizeof(f->summary), event->summary);
    if (f->kind == WATCH_SLO || f->kind == WATCH_TRAFFIC_LOST) {
        f->objective = rule->slo.objective;
        copy(f->good, sizeof(f->good), rule->slo.good);
        copy(f->bad, sizeof(f->bad), rule->slo.bad);
        copy(f->total, sizeof(f->total), rule->slo.total);
    }
}

/* Starts the capture that `f` describes; -ENOSPC or -EAGAIN when it cannot. */
static int start(struct brain *b, struct capture_request *q, struct error *err)
{
    if (b->capture_count >= BRAIN_CAPTURES_MAX) {
        return error_set(err, -EAGAIN, "%d captures run or are being sealed", BRAIN_CAPTURES_MAX);
    }
    char why[160];
    int64_t bundle = 0;
    int64_t need = predict(b, q->facts->target, &bundle);
    enum retention_verdict verdict = brain_captures_retain(b, need, bundle);
    (void)snprintf(why, sizeof(why), "the store has %lld MiB free, a capture needs about %lld MiB",
                   (long long)(b->disk.free_bytes >> 20), (long long)(need >> 20));
    if (verdict == RETENTION_LACKS) {
        /* The light phases write little: they are worth the last of the reserve. */
        if (b->disk.free_bytes < RETENTION_RESERVE_BYTES / 2) {
            return error_set(err, -ENOSPC, "%s", why);
        }
        q->light_only = true;
        q->light_why = why;
        log_warn("capture '%s': %s, heavy collectors are left out", q->facts->id, why);
    }
    struct capture *c = capture_new(&b->env, q);
    b->captures[b->capture_count++] = c;
    begin_waiting(b);
    brain_changed(b);
    return 0;
}

static void start_for(struct brain *b, size_t target, const struct watch_event *event,
                      const struct incident_decision *d)
{
    const struct config_rule *rule = config_rule_at(&b->generation->config, event->rule);
    const struct incident *in = incident_find(&b->incidents, d->incident);
    struct facts *f = xcalloc(1, sizeof(*f));
    struct capture_request q = {.generation = b->generation,
                                .target = (uint32_t)target,
                                .capture = &rule->capture,
                                .facts = f};
    fill_target(b, target, f, &q.runtime);
    fill_rule(rule, event, f);
    f->trigger_mono_ms = clock_mono_ms();
    f->grade = d->grade;
    q.no_http = f->kind == WATCH_SOURCE_DOWN || f->kind == WATCH_TARGET_EXITED;
    copy(f->reason, sizeof(f->reason), d->reason);
    copy(f->incident, sizeof(f->incident), d->incident);
    if (in != NULL && in->captured == 0 && store_find(&b->store, in->id) == NULL &&
        brain_captures_find(b, in->id) == NULL) {
        copy(f->id, sizeof(f->id), in->id);
    } else {
        facts_id(f->target, f->rule, event->at_ms, f->instance, f->id);
    }
    struct error err = ERROR_INIT;
    log_info("capture '%s' (%s): %s", f->id, d->reason, event->summary);
    incident_captured(&b->incidents, d->incident, f->target, event->at_ms, event->counts.ratio);
    if (start(b, &q, &err) < 0) {
        incident_suppress(&b->incidents, d->incident, err.message);
        log_error("capture '%s' is refused: %s", f->id, err.message);
    }
    free(f);
}

static void log_change(const struct brain *b, const struct watch_event *event,
                       const struct incident_decision *d)
{
    static const char *const names[] = {"is pending", "fires",    "is raised to full",
                                        "dips again", "is worse", "is resolved"};
    const struct config_rule *rule = config_rule_at(&b->generation->config, event->rule);
    enum log_level level = event->kind == WATCH_EVENT_PENDING ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
    log_at(level, "rule '%s' on '%s' %s: %s", rule->name, rule->target,
           (size_t)event->kind < ARRAY_LEN(names) ? names[event->kind] : "changed", event->summary);
    if (d->why[0] != '\0') {
        log_info("rule '%s' on '%s' captures nothing: %s", rule->name, rule->target, d->why);
    }
}

void brain_captures_event(struct brain *b, size_t target, const struct watch_event *event)
{
    const struct config_rule *rule = config_rule_at(&b->generation->config, event->rule);
    const struct config_target *t = config_target_at(&b->generation->config, target);
    char id[LIMIT_ID_BYTES + 1];
    struct incident_decision d;
    if (b->stopping) {
        return;
    }
    facts_id(t->name, rule->name, event->at_ms,
             t->identity.instance == NULL ? b->instance : t->identity.instance, id);
    const struct incident_event e = {.target = t->name,
                                     .rule = rule->name,
                                     .cooldown_ms = rule->cooldown_ms,
                                     .watch = event,
                                     .new_id = id};
    incident_take(&b->incidents, &e, &d);
    struct capture *running = d.incident[0] == '\0' ? NULL : of_target(b, t->name);
    bool same = running != NULL && strcmp(running->facts->incident, d.incident) == 0;
    if (same && (d.capture || d.raise)) {
        /* Its capture still collects: widened, or covering it already. */
        incident_covered(&b->incidents, d.incident, event->counts.ratio);
        if (event->kind == WATCH_EVENT_RAISED || d.raise) {
            (void)capture_raise(running, event);
        }
    } else if (d.capture) {
        start_for(b, target, event, &d);
    }
    log_change(b, event, &d);
    if (d.changed) {
        state_writer_touch(b->state);
    }
    brain_changed(b);
}

int brain_captures_manual(struct brain *b, const char *target, const char *rule,
                          char ret_id[LIMIT_ID_BYTES + 1], struct error *err)
{
    static const char *auto_items[] = {"auto"};
    static const struct schema_strings automatic = {.items = auto_items, .count = 1};
    int t = config_target_find(&b->generation->config, target);
    int r = rule[0] == '\0' || t < 0 ? -1 : generation_rule(b->generation, target, rule);
    if (t < 0 || (rule[0] != '\0' && r < 0)) {
        return error_set(err, -ENOENT, "no target '%s'%s%s%s", target,
                         rule[0] == '\0' ? "" : " with a rule '", rule, rule[0] == '\0' ? "" : "'");
    }
    if (b->stopping || of_target(b, target) != NULL) {
        return error_set(err, -EBUSY, "a capture of '%s' is being taken", target);
    }
    struct facts *f = xcalloc(1, sizeof(*f));
    struct capture_request q = {
        .generation = b->generation,
        .target = (uint32_t)t,
        .capture = r < 0 ? &automatic : &config_rule_at(&b->generation->config, (size_t)r)->capture,
        .facts = f};
    fill_target(b, (size_t)t, f, &q.runtime);
    f->trigger_ms = f->onset_ms = clock_wall_ms();
    f->trigger_mono_ms = clock_mono_ms();
    f->grade = WATCH_FULL;
    copy(f->reason, sizeof(f->reason), "manual");
    copy(f->rule, sizeof(f->rule), "manual");
    copy(f->summary, sizeof(f->summary), "asked for by hand");
    facts_id(f->target, f->rule, f->trigger_ms, f->instance, f->id);
    copy(f->incident, sizeof(f->incident), f->id);
    memcpy(ret_id, f->id, sizeof(f->id));
    log_info("capture '%s' (manual)", f->id);
    int rc = start(b, &q, err);
    free(f);
    return rc;
}

void brain_captures_stop(struct brain *b, const char *why)
{
    struct capture *all[BRAIN_CAPTURES_MAX];
    size_t count = b->capture_count;
    memcpy(all, b->captures, sizeof(all));
    for (size_t i = 0; i < count; i++) {
        capture_hold(all[i]);
    }
    for (size_t i = 0; i < count; i++) {
        capture_stop(all[i], why);
        capture_release(all[i]);
    }
}

/* ---- after a crash ---- */

static bool is_running(const char *id, void *arg)
{
    return brain_captures_find(arg, id) != NULL;
}

static void took_up(struct capture *c, void *arg)
{
    struct brain *b = arg;
    if (b->capture_count < BRAIN_CAPTURES_MAX) {
        b->captures[b->capture_count++] = c;
    }
    log_info("capture '%s': sealing what an interruption left", c->id);
}

static void recovered(unsigned sealed, void *arg)
{
    struct brain *b = arg;
    b->recovery = NULL;
    if (sealed > 0) {
        log_info("%u interrupted captures sealed", sealed);
    }
    brain_changed(b);
    brain_end_if_idle(b);
}

void brain_captures_recover(struct brain *b)
{
    const struct recovery_options options = {.env = &b->env,
                                             .generation = b->generation,
                                             .running = is_running,
                                             .took_up = took_up,
                                             .done = recovered,
                                             .arg = b};
    b->recovery = recovery_start(&options);
}
