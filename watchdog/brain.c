/* SPDX-License-Identifier: Apache-2.0 */
/*
 * brain.c: one libuv loop. Polls and answers of incidentd come as callbacks; fsync, statfs, unlink
 * and checksums run in the thread pool; the HTTP server has its own thread and sees published views
 * only. Nothing here waits.
 *
 * A crash is the normal way to end: whatever matters is on disk before it is needed, and the next
 * brain seals what this one left (recovery.h).
 */
#include "watchdog/brain.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    SECOND_MS = 1000,
    PUBLISH_MS = 200,   /* at most five views a second */
    STATE_EVERY_S = 30, /* learned state, when nothing else changes */
    MEASURE_EVERY_S = 10,
};

static void on_publish(uv_timer_t *timer)
{
    brain_view_publish(timer->data);
}

void brain_changed(struct brain *b)
{
    if (b->publish_due || b->ended || b->generation == NULL) {
        return;
    }
    int64_t wait_ms = b->published_ms + PUBLISH_MS - clock_mono_ms();
    b->publish_due = true;
    (void)uv_timer_start(&b->publish, on_publish, wait_ms < 0 ? 0 : (uint64_t)wait_ms, 0);
}

static void emit(size_t target, const struct watch_event *event, void *arg)
{
    brain_captures_event(arg, target, event);
}

static void collect_state(struct state_texts *ret, void *arg)
{
    struct brain *b = arg;
    AUTO_BUF struct buf incidents = BUF_INIT(2 << 20);
    AUTO_BUF struct buf judge = BUF_INIT(2 << 20);
    incident_save(&b->incidents, &incidents);
    ret->incidents = buf_failed(&incidents) ? NULL : buf_take(&incidents);
    if (b->judge != NULL) {
        judge_save(b->judge, &judge);
        ret->judge = buf_failed(&judge) ? NULL : buf_take(&judge);
    }
}

static void state_written(int status, const struct error *err, void *arg)
{
    (void)arg;
    if (status < 0) {
        log_err(LOG_LEVEL_ERROR, err, "cooldowns and limits are not saved");
    }
}

/* ---- plans ---- */

static struct incident_limits limits_of(const struct generation *g)
{
    const struct config_limits *l = &g->config.limits;
    return (struct incident_limits){
        .per_incident = l->per_incident, .per_hour = l->per_hour, .per_day = l->per_day};
}

/* A judge over `g`, with what is known already. */
static int new_judge(struct brain *b, const struct generation *g, struct judge **ret,
                     struct error *err)
{
    AUTO_BUF struct buf learned = BUF_INIT(2 << 20);
    const char *saved = b->restored.judge;
    if (b->judge != NULL) {
        judge_save(b->judge, &learned);
        saved = buf_failed(&learned) ? NULL : buf_text(&learned);
    }
    const struct judge_spec spec = {
        .loop = b->loop,
        .link = b->link,
        .config = &g->config,
        .saved = saved,
        .saved_len = saved == NULL ? 0 : strlen(saved),
        .emit = emit,
        .arg = b,
    };
    return judge_start(&spec, ret, err);
}

static int adopt(struct brain *b, struct generation *g, struct error *err)
{
    struct judge *judge = NULL;
    uint32_t before = b->generation == NULL ? 0 : b->generation->number;
    link_generation(b->link, g->number);
    int rc = new_judge(b, g, &judge, err);
    if (rc < 0) {
        link_generation(b->link, before);
        return rc;
    }
    judge_stop(b->judge);
    generation_drop(b->previous);
    b->previous = b->generation;
    b->judge = judge;
    b->generation = g;
    b->incidents.limits = limits_of(g);
    log_set((enum log_level)g->plan.head->log_level, (enum log_format)g->plan.head->log_format);
    return 0;
}

static void scan_in_pool(uv_work_t *work)
{
    struct brain *b = work->data;
    struct error err = ERROR_INIT;
    if (store_scan(b->store.bundles_fd, &b->scan_index, &err) < 0) {
        (void)snprintf(b->scan_index.ignored_first, sizeof(b->scan_index.ignored_first), "%.300s",
                       err.message);
    }
}

static void scanned(uv_work_t *work, int status)
{
    struct brain *b = work->data;
    (void)status;
    if (b->scan_index.ignored_first[0] != '\0') {
        log_warn("the store holds %u names that are no sound bundle, first %s, leaving them alone",
                 b->scan_index.ignored, b->scan_index.ignored_first);
    }
    if (b->scan_index.temporary > 0) {
        log_info("%u unfinished files of an interruption removed from the store",
                 b->scan_index.temporary);
    }
    store_adopt(&b->store, &b->scan_index);
    b->scanned = true;
    if (!b->ended) {
        brain_captures_recover(b);
        brain_captures_measure(b);
        b->ready = true;
        brain_changed(b);
    }
}

/* The first plan: everything starts. */
static int start(struct brain *b, struct generation *g, struct error *err)
{
    struct error lesser = ERROR_INIT;
    int rc = store_open(b->root_fd, &b->store, err);
    if (rc < 0) {
        return rc;
    }
    journal_clean(b->store.journal_fd);
    if (state_load(b->root_fd, &b->restored, &lesser) < 0) {
        log_err(LOG_LEVEL_WARN, &lesser, "starting without what was learned before");
    }
    const struct incident_limits limits = limits_of(g);
    incident_init(&b->incidents, &limits);
    if (b->restored.incidents != NULL &&
        incident_load(&b->incidents, b->restored.incidents, clock_wall_ms(), &lesser) < 0) {
        log_err(LOG_LEVEL_WARN, &lesser, "starting without earlier incidents");
    }
    brain_captures_init(b);
    b->state = state_writer_new(b->loop, b->root_fd, collect_state, state_written, b);
    rc = adopt(b, g, err);
    state_release(&b->restored);
    if (rc == 0) {
        brain_view_publish(b);
        rc = brain_commands_listen(b, g, err);
    }
    if (rc == 0) {
        b->scan.data = b;
        (void)uv_queue_work(b->loop, &b->scan, scan_in_pool, scanned);
    }
    return rc;
}

static void end(struct brain *b, const char *why);

/* A later plan: all of it or nothing. */
static int change(struct brain *b, struct generation *g, struct error *err)
{
    int rc = brain_commands_listen(b, g, err);
    return rc < 0 ? rc : adopt(b, g, err);
}

static void cannot_change(struct brain *b, const struct error *err)
{
    struct wire_message m = {.type = WIRE_RELOAD_FAILED};
    (void)error_text(err, m.text, sizeof(m.text));
    (void)snprintf(b->reload_why, sizeof(b->reload_why), "%.299s", m.text);
    b->counters.reloads_failed++;
    b->relisten = b->relisten || b->api_before != NULL; /* back to the old address */
    (void)link_request(b->link, &m, NULL, 0, NULL, NULL);
    brain_changed(b);
}

static void take_plan(struct brain *b, const struct wire_message *m, const int *fds, size_t count)
{
    struct error err = ERROR_INIT;
    struct generation *g = NULL;
    bool first = b->generation == NULL;
    int rc = count == 0 ? error_set(&err, -EPROTO, "the plan is missing")
                        : generation_new(m->generation, fds[0], fds + 1, m->ready, &g, &err);
    if (g != NULL) {
        rc = first ? start(b, g, &err) : change(b, g, &err);
    }
    if (rc == 0 && !first) {
        log_info("configuration of generation %u is in force", m->generation);
        brain_view_publish(b); /* before the answer to whoever asked for it */
    } else if (rc < 0 && first) {
        log_err(LOG_LEVEL_ERROR, &err, "cannot start");
        b->generation = NULL;
        end(b, "start");
    } else if (rc < 0) {
        generation_drop(g);
        cannot_change(b, &err);
    }
}

/* ---- the end ---- */

/* Leaves the loop; what is still open dies with the process, which is the crash-only way. */
static void end(struct brain *b, const char *why)
{
    if (b->ended) {
        return;
    }
    b->ended = true;
    log_debug("the brain ends: %s", why);
    if (b->state != NULL) {
        state_writer_stop(b->state);
    }
    uv_stop(b->loop);
}

void brain_end_if_idle(struct brain *b)
{
    if (b->stopping && !b->ended && b->capture_count == 0 && b->recovery == NULL) {
        end(b, "everything is sealed");
    }
}

static void stop(struct brain *b)
{
    if (b->stopping) {
        return;
    }
    b->stopping = true;
    log_info("stopping: %zu captures are sealed first", b->capture_count);
    if (b->judge != NULL) {
        judge_drain(b->judge, true);
    }
    if (b->generation != NULL) {
        brain_captures_stop(b, "incidentd was told to stop");
        brain_view_publish(b);
    }
    brain_end_if_idle(b);
}

static void on_order(const struct wire_message *m, int *fds, size_t count, void *arg)
{
    struct brain *b = arg;
    if (m->type == WIRE_PLAN) {
        take_plan(b, m, fds, count);
    } else if (m->type == WIRE_STOP) {
        stop(b);
    } else if (m->type == WIRE_RELOAD_FAILED) {
        b->counters.reloads_failed++;
        brain_changed(b); /* incidentd has logged it */
    }
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

static void on_link_closed(void *arg)
{
    struct brain *b = arg;
    log_error("incidentd is gone, the brain ends with it");
    end(b, "no lifeline");
}

/* ---- each second ---- */

/* How long a rule must stay quiet for its incident from before a restart to be resolved: as long as
 * ever, and the time a new judge needs to see a dip at all. */
static int64_t quiet_ms(const struct incident *in, void *arg)
{
    enum { FRESH_EYES_MS = 10000, GONE_MS = 60000 };
    const struct brain *b = arg;
    int rule = generation_rule(b->generation, in->target, in->rule);
    return rule < 0 ? GONE_MS
                    : FRESH_EYES_MS +
                          config_rule_at(&b->generation->config, (size_t)rule)->keep_firing_for_ms;
}

static void on_second(uv_timer_t *timer)
{
    struct brain *b = timer->data;
    struct wire_message m = {.type = WIRE_ALIVE, .ready = b->ready ? 1 : 0};
    b->ticks++;
    if (b->generation != NULL && b->judge != NULL) {
        brain_view_status(b, m.text, sizeof(m.text));
        brain_commands_tick(b);
        brain_targets_log(b);
        if (incident_tick(&b->incidents, quiet_ms, b, clock_wall_ms())) {
            state_writer_touch(b->state);
        }
        if (b->ticks % STATE_EVERY_S == 0) {
            state_writer_touch(b->state);
        }
        if (b->scanned && b->ticks % MEASURE_EVERY_S == 0) {
            brain_captures_measure(b);
        }
        brain_changed(b);
    }
    (void)link_request(b->link, &m, NULL, 0, NULL, NULL);
}

static void on_wake(uv_async_t *async)
{
    brain_commands_serve(async->data);
}

int brain_run(int wire_fd, int root_fd)
{
    static struct brain brain; /* lives as long as the process; the pool may still look at it */
    struct brain *b = &brain;
    const struct link_handlers handlers = {.order = on_order, .closed = on_link_closed, .arg = b};
    b->loop = uv_default_loop();
    b->root_fd = root_fd;
    b->store.bundles_fd = b->store.journal_fd = -1;
    b->start_ms = clock_wall_ms();
    b->counters.onset_last_ms = -1;
    (void)facts_host(b->instance);
    b->link = link_open(b->loop, wire_fd, &handlers);
    b->wake.data = b;
    b->second.data = b;
    b->publish.data = b;
    (void)uv_async_init(b->loop, &b->wake, on_wake);
    (void)uv_timer_init(b->loop, &b->publish);
    (void)uv_timer_init(b->loop, &b->second);
    (void)uv_timer_start(&b->second, on_second, 0, SECOND_MS);
    (void)uv_run(b->loop, UV_RUN_DEFAULT);
    api_stop(b->api_before);
    api_stop(b->api);
    return b->stopping ? 0 : 1;
}
