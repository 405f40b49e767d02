/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c: per target one watch, the indices of its rules, and what the last poll said.
 *
 * The order within one poll is the point of the file: the page (or the miss) goes in, then the
 * rules are evaluated at once, so that the first collector starts in the same turn of the loop as
 * the bytes arrived. Samples bear the time at which the poll began, decisions the time at which
 * they are made. An exit is judged at once, before any hold that a new life brings.
 *
 * Hold. Rules only record for `startup_grace` after this process began (not after a reload, which
 * starts a new judge) and after the start of a target's new process, and while draining. The hold
 * is set anew before each page and each evaluation, so no timer has to end it.
 *
 * A target without a page is evaluated by a timer each TICK_MS, since nothing else would let its
 * rules resolve.
 */
#include "watchdog/judge.h"

#include <cjson/cJSON.h>
#include <errno.h>

#include "base/clock.h"
#include "watchdog/poller.h"
#include "watchdog/tracker.h"

enum { TICK_MS = 1000, NO_POLL = -1 };

struct judged {
    struct judge *judge;
    const struct config_target *config;
    struct watch *watch;
    struct watch_rule *rules; /* in the configuration's order, of this target only */
    size_t *rule_index;       /* of each in config->rules */
    size_t rule_count;
    int poll;              /* index in the poller, NO_POLL when it has no page */
    int64_t grace_from_ms; /* wall */
    bool held;
    bool up;
    int64_t polled_ms;
    char error[sizeof(((struct error *)NULL)->message)];
};

struct judge {
    judge_emit *emit;
    void *arg;
    struct poller *poller; /* NULL: no target has a page */
    struct tracker *tracker;
    uv_timer_t *tick; /* NULL: every target has a page; freed by its close callback */
    bool draining;
    struct judged *targets;
    size_t *polled; /* target of each index in the poller */
    size_t count;
};

/* Wall time at which this process first judged: a reload does not begin a new grace. */
static int64_t born_ms;

static void hand_on(const struct watch_event *event, void *arg)
{
    const struct judged *t = arg;
    struct watch_event of_config = *event;
    of_config.rule = t->rule_index[event->rule];
    t->judge->emit((size_t)(t - t->judge->targets), &of_config, t->judge->arg);
}

static void renew_hold(struct judged *t, int64_t wall_ms)
{
    t->held = t->judge->draining || wall_ms < t->grace_from_ms + t->config->startup_grace_ms;
    watch_hold(t->watch, t->held);
}

static void evaluate(struct judged *t, int64_t wall_ms)
{
    renew_hold(t, wall_ms);
    watch_evaluate(t->watch, wall_ms, hand_on, t);
}

static void on_poll(const struct poller_result *result, void *arg)
{
    struct judge *j = arg;
    struct judged *t = &j->targets[j->polled[result->target]];
    struct error err = ERROR_INIT;
    renew_hold(t, result->wall_ms);
    if (result->page == NULL) {
        watch_miss(t->watch, result->wall_ms);
        (void)error_text(result->err, t->error, sizeof(t->error));
        t->up = false;
    } else if (watch_page(t->watch, result->wall_ms, result->page, result->len, result->openmetrics,
                          &err) != 0) {
        (void)error_at(&err, t->config->metrics, err.line, err.column);
        if (err.remedy[0] == '\0') {
            (void)error_remedy(&err, "point 'metrics:' at Prometheus text or OpenMetrics");
        }
        (void)error_text(&err, t->error, sizeof(t->error));
        t->up = false;
    } else {
        t->error[0] = '\0';
        t->up = true;
    }
    t->polled_ms = result->wall_ms;
    evaluate(t, clock_wall_ms());
}

static void on_process(size_t target, const struct tracker_process *now, void *arg)
{
    struct judge *j = arg;
    struct judged *t = &j->targets[target];
    int64_t wall_ms = clock_wall_ms();
    watch_process(t->watch, wall_ms, now->pid > 0, now->start_ms);
    if (now->pid > 0) {
        t->grace_from_ms = now->start_ms > born_ms ? now->start_ms : born_ms;
        return;
    }
    evaluate(t, wall_ms);
}

static void on_tick(uv_timer_t *timer)
{
    const struct judge *j = timer->data;
    int64_t wall_ms = clock_wall_ms();
    for (size_t i = 0; i < j->count; i++) {
        if (j->targets[i].poll == NO_POLL) {
            evaluate(&j->targets[i], wall_ms);
        }
    }
}

static void choose_rules(struct judged *t, const struct config *config)
{
    t->rules = xcalloc(config->rules.count + 1, sizeof(*t->rules));
    t->rule_index = xcalloc(config->rules.count + 1, sizeof(*t->rule_index));
    for (size_t i = 0; i < config->rules.count; i++) {
        const struct config_rule *r = config_rule_at(config, i);
        if (strcmp(r->target, t->config->name) != 0) {
            continue;
        }
        t->rule_index[t->rule_count] = i;
        t->rules[t->rule_count++] = (struct watch_rule){
            .name = r->name,
            .kind = config_rule_kind(r),
            .slo = r->slo.present ? &r->slo : NULL,
            .for_ms = r->for_ms,
            .keep_firing_for_ms = r->keep_firing_for_ms,
        };
    }
}

/* What was learned before is a help, not a need: what does not fit is left out. */
static void load(struct judge *j, const char *saved, size_t saved_len)
{
    cJSON *all = saved != NULL ? cJSON_ParseWithLength(saved, saved_len) : NULL;
    for (size_t i = 0; i < j->count; i++) {
        const cJSON *one = cJSON_GetObjectItemCaseSensitive(all, j->targets[i].config->name);
        char *text = cJSON_IsObject(one) ? cJSON_PrintUnformatted(one) : NULL;
        if (text != NULL) {
            (void)watch_load(j->targets[i].watch, text, strlen(text), NULL);
        }
        cJSON_free(text);
    }
    cJSON_Delete(all);
}

static int start_polling(struct judge *j, uv_loop_t *loop, struct error *err)
{
    AUTO_FREE struct poller_target *targets = xcalloc(j->count + 1, sizeof(*targets));
    size_t count = 0;
    for (size_t i = 0; i < j->count; i++) {
        struct judged *t = &j->targets[i];
        t->poll = NO_POLL;
        if (t->config->metrics != NULL) {
            t->poll = (int)count;
            j->polled[count] = i;
            targets[count++] = (struct poller_target){
                .url = t->config->metrics,
                .interval_ms = t->config->interval_ms,
                .timeout_ms = t->config->timeout_ms,
            };
        }
    }
    if (count < j->count) {
        j->tick = xcalloc(1, sizeof(*j->tick));
        (void)uv_timer_init(loop, j->tick);
        j->tick->data = j;
        (void)uv_timer_start(j->tick, on_tick, TICK_MS, TICK_MS);
    }
    const struct poller_spec spec = {
        .loop = loop, .targets = targets, .count = count, .done = on_poll, .arg = j};
    return count == 0 ? 0 : poller_start(&spec, &j->poller, err);
}

static struct judge *new_judge(const struct judge_spec *spec)
{
    const struct config *config = spec->config;
    struct judge *j = xcalloc(1, sizeof(*j));
    j->emit = spec->emit;
    j->arg = spec->arg;
    j->count = config->targets.count;
    j->targets = xcalloc(j->count + 1, sizeof(*j->targets));
    j->polled = xcalloc(j->count + 1, sizeof(*j->polled));
    for (size_t i = 0; i < j->count; i++) {
        struct judged *t = &j->targets[i];
        t->judge = j;
        t->config = config_target_at(config, i);
        t->grace_from_ms = born_ms;
        choose_rules(t, config);
    }
    return j;
}

int judge_start(const struct judge_spec *spec, struct judge **ret, struct error *err)
{
    born_ms = born_ms == 0 ? clock_wall_ms() : born_ms;
    struct judge *j = new_judge(spec);
    bool wanted[LIMIT_TARGETS] = {false};
    int rc = 0;
    for (size_t i = 0; i < j->count && rc == 0; i++) {
        struct judged *t = &j->targets[i];
        wanted[i] = t->config->process.present;
        rc = watch_new(t->rules, t->rule_count, t->config->interval_ms, &t->watch, err);
    }
    if (rc == 0) {
        load(j, spec->saved, spec->saved_len);
        rc = start_polling(j, spec->loop, err);
    }
    if (rc != 0) {
        judge_stop(j);
        return rc;
    }
    j->tracker = tracker_start(spec->loop, spec->link, wanted, j->count, on_process, j);
    *ret = j;
    return 0;
}

static void on_tick_closed(uv_handle_t *handle)
{
    free(handle);
}

void judge_stop(struct judge *j)
{
    if (j == NULL) {
        return;
    }
    poller_stop(j->poller);
    tracker_stop(j->tracker);
    if (j->tick != NULL) {
        uv_close((uv_handle_t *)j->tick, on_tick_closed);
    }
    for (size_t i = 0; i < j->count; i++) {
        watch_free(j->targets[i].watch);
        free(j->targets[i].rules);
        free(j->targets[i].rule_index);
    }
    free(j->targets);
    free(j->polled);
    free(j);
}

void judge_rule_status(const struct judge *j, size_t rule, struct watch_status *ret)
{
    *ret = (struct watch_status){.state = WATCH_INACTIVE, .unknown = true};
    for (size_t i = 0; i < j->count; i++) {
        const struct judged *t = &j->targets[i];
        for (size_t k = 0; k < t->rule_count; k++) {
            if (t->rule_index[k] == rule) {
                watch_status_of(t->watch, k, clock_wall_ms(), ret);
                return;
            }
        }
    }
}

void judge_target_of(const struct judge *j, size_t target, struct judge_target *ret)
{
    const struct judged *t = &j->targets[target];
    struct tracker_process process;
    struct poller_stats stats = {.interval_ms = t->config->interval_ms};
    tracker_process_of(j->tracker, target, &process);
    if (t->poll != NO_POLL) {
        poller_stats_of(j->poller, (size_t)t->poll, &stats);
    }
    enum collector_runtime configured = (enum collector_runtime)t->config->runtime;
    *ret = (struct judge_target){
        .pid = process.pid,
        .start_ticks = process.start_ticks,
        .last_pid = process.last_pid,
        .last_start_ticks = process.last_start_ticks,
        .exe = process.exe,
        .runtime = configured != RUNTIME_UNKNOWN ? configured : process.runtime,
        .up = t->poll == NO_POLL ? process.pid > 0 : t->up,
        .polled_ms = t->polled_ms,
        .interval_ms = stats.interval_ms,
        .error = t->error[0] != '\0' ? t->error : process.error,
        .held = t->held,
        .series = watch_series_count(t->watch),
        .polls = stats.polls,
        .failures = stats.failures,
        .bytes = stats.bytes,
        .late_max_ms = stats.late_max_ms,
    };
}

void judge_drain(struct judge *j, bool drain)
{
    j->draining = drain;
}

void judge_save(const struct judge *j, struct buf *out)
{
    (void)buf_add_char(out, '{');
    for (size_t i = 0; i < j->count; i++) {
        (void)buf_add_text(out, i == 0 ? "\"" : ",\"");
        (void)buf_add_json(out, j->targets[i].config->name);
        (void)buf_add_text(out, "\":");
        watch_save(j->targets[i].watch, out);
    }
    (void)buf_add_char(out, '}');
}
