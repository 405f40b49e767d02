/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/capture.h"

#include <errno.h>

#include "base/clock.h"
#include "base/fs.h"

enum {
    JOURNAL_PATIENCE_MS = 150,
    TICK_MS = 100,
    RUN_MARGIN_MS = 3000,    /* after the collector's own deadline, and again after CANCEL */
    COLLECT_LIMIT_MS = 24000 /* so that an onset capture is sealed within 30 s */
};

void capture_hold(struct capture *c)
{
    c->references++;
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle);
}

void capture_release(struct capture *c)
{
    if (--c->references > 0) {
        return;
    }
    c->env->ended(c, c->env->arg);
    if (c->timer != NULL) {
        uv_close((uv_handle_t *)c->timer, timer_closed);
    }
    generation_drop(c->generation);
    buf_release(&c->seal.said);
    free(c->seal.report);
    free(c->base);
    free(c->facts);
    free(c);
}

void capture_journal(struct capture *c, const char *step, const char *text)
{
    if (c->journal != NULL) {
        journal_writer_step(c->journal, step, clock_wall_ms(), text);
    }
}

uint64_t capture_send(struct capture *c, struct wire_message *m, const int *fds, size_t count,
                      link_answer *answer, void *arg)
{
    m->generation = c->generation->number;
    (void)snprintf(m->capture, sizeof(m->capture), "%s", c->id);
    capture_hold(c);
    return link_request(c->env->link, m, fds, count, answer, arg);
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

static void on_added(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct capture *c = arg;
    close_all(fds, count);
    if (reply->status < 0 && reply->status != -EEXIST && reply->status != -ECANCELED) {
        c->env->trouble(c, reply->text, c->env->arg);
    }
    capture_release(c);
}

void capture_add(struct capture *c, const char *name, const char *text, size_t len)
{
    struct error err = ERROR_INIT;
    AUTO_CLOSE int fd = fs_sealed_memfd(name, text, len, &err);
    if (fd < 0) {
        c->env->trouble(c, err.message, c->env->arg);
        return;
    }
    struct wire_message m = {.type = WIRE_ADD};
    (void)snprintf(m.name, sizeof(m.name), "%s", name);
    (void)capture_send(c, &m, &fd, 1, on_added, c);
}

static char *base_text(const struct capture *c)
{
    AUTO_BUF struct buf b = BUF_INIT(1 << 20);
    facts_json(c->facts, &b);
    return buf_take(&b);
}

static void next_phase(struct capture *c);

static void finish_collecting(struct capture *c)
{
    if (c->stage != CAPTURE_COLLECTING) {
        return;
    }
    c->stage = CAPTURE_SEALING;
    (void)uv_timer_stop(c->timer);
    free(c->base);
    c->base = base_text(c);
    capture_journal(c, "sealing", NULL);
    c->env->collected(c, c->env->arg);
    c->env->changed(c, c->env->arg);
    capture_seal_start(c);
}

static const struct collector_config *config_of(const struct capture *c, uint32_t collector)
{
    return config_collector_at(&c->generation->config, collector);
}

static void run_over(struct capture *c, struct capture_run *r, const char *how)
{
    char text[LIMIT_NAME_BYTES + 160];
    (void)snprintf(text, sizeof(text), "%s %s %s", config_of(c, r->collector)->name,
                   collector_phase_name((enum collector_phase)r->phase), how);
    capture_journal(c, "run", text);
    r->request = 0;
    c->running--;
    if (c->running == 0 && c->stage == CAPTURE_COLLECTING) {
        next_phase(c);
    }
}

static void on_run(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct capture_run *r = arg;
    struct capture *c = r->capture;
    close_all(fds, count);
    if (r->request == reply->id) { /* not given up, slot not used again */
        if (reply->status < 0) {
            char what[640];
            (void)snprintf(what, sizeof(what), "collector '%s': %.500s",
                           config_of(c, r->collector)->name, reply->text);
            c->env->trouble(c, what, c->env->arg);
            facts_skip(c->facts, config_of(c, r->collector)->name, reply->text);
        }
        run_over(c, r,
                 reply->status < 0 ? "refused"
                                   : wire_outcome_name((enum wire_outcome)reply->outcome));
    }
    capture_release(c);
}

static int64_t run_deadline_ms(const struct capture *c, uint32_t collector)
{
    int64_t ms = c->generation->plan.head->collectors[collector].deadline_ms;
    return clock_mono_ms() + ms + RUN_MARGIN_MS;
}

static bool has_phase(const struct capture *c, uint32_t collector, unsigned phase)
{
    return (c->generation->plan.head->collectors[collector].phases >> phase & 1) != 0;
}

static void start_run(struct capture *c, uint32_t collector)
{
    struct capture_run *r = NULL;
    for (size_t i = 0; i < CAPTURE_RUNS_MAX && r == NULL; i++) {
        r = c->runs[i].request == 0 ? &c->runs[i] : NULL;
    }
    if (r == NULL) {
        facts_skip(c->facts, config_of(c, collector)->name, "too many runs at once");
        return;
    }
    *r = (struct capture_run){.capture = c,
                              .collector = collector,
                              .phase = c->phase,
                              .deadline_ms = run_deadline_ms(c, collector)};
    struct wire_message m = {.type = WIRE_RUN,
                             .target = c->target,
                             .collector = collector,
                             .phase = c->phase,
                             .pid = c->facts->exited ? 0 : c->facts->pid,
                             .start_ticks = c->facts->exited ? 0 : c->facts->start_ticks,
                             .run = ++c->run_number};
    r->request = capture_send(c, &m, NULL, 0, on_run, r);
    c->running++;
    if (c->first_run_mono_ms == 0) {
        c->first_run_mono_ms = clock_mono_ms();
    }
}

/* Starts what the phase has; TRACE: the next one alone. */
static void start_phase(struct capture *c)
{
    bool trace = c->phase == COLLECTOR_TRACE;
    size_t i = trace ? c->trace_next : 0;
    for (; i < c->collector_count; i++) {
        if (has_phase(c, c->collectors[i], c->phase)) {
            start_run(c, c->collectors[i]);
            if (trace) {
                c->trace_next = i + 1;
                return;
            }
        }
    }
    c->trace_next = trace ? c->collector_count : 0;
}

static unsigned phase_end(const struct capture *c)
{
    unsigned last = c->facts->grade == WATCH_FULL ? COLLECTOR_PHASES - 1 : COLLECTOR_DUMP;
    return last < c->last_phase ? last : c->last_phase;
}

static void next_phase(struct capture *c)
{
    while (c->running == 0 && !c->stopping && !c->failed) {
        bool more = c->phase == COLLECTOR_TRACE && c->trace_next < c->collector_count;
        if (!more) {
            c->phase++;
        }
        if (c->phase > phase_end(c)) {
            break;
        }
        if (!more) {
            capture_journal(c, "phase", collector_phase_name((enum collector_phase)c->phase));
        }
        start_phase(c);
    }
    if (c->running == 0) {
        finish_collecting(c);
    }
}

static void cancel_runs(struct capture *c, int64_t now_ms)
{
    for (size_t i = 0; i < CAPTURE_RUNS_MAX; i++) {
        struct capture_run *r = &c->runs[i];
        if (r->request != 0 && !r->cancelled) {
            struct wire_message m = {.type = WIRE_CANCEL, .run_id = r->request};
            r->cancelled = true;
            r->deadline_ms = now_ms + RUN_MARGIN_MS;
            (void)capture_send(c, &m, NULL, 0, on_added, c);
        }
    }
}

/* Deadlines on our side; incidentd and incidentd-collect have their own, so these are rarely met.
 */
static void check_runs(struct capture *c, int64_t now_ms)
{
    for (size_t i = 0; i < CAPTURE_RUNS_MAX; i++) {
        struct capture_run *r = &c->runs[i];
        if (r->request == 0 || now_ms < r->deadline_ms) {
            continue;
        }
        if (!r->cancelled) {
            struct wire_message m = {.type = WIRE_CANCEL, .run_id = r->request};
            r->cancelled = true;
            r->deadline_ms = now_ms + RUN_MARGIN_MS;
            (void)capture_send(c, &m, NULL, 0, on_added, c);
        } else {
            run_over(c, r, "given up");
        }
    }
}

static void start_collecting(struct capture *c);

static void on_tick(uv_timer_t *timer)
{
    struct capture *c = timer->data;
    int64_t now_ms = clock_mono_ms();
    if (c->stage == CAPTURE_QUEUED) {
        if (!c->journalled && now_ms - c->fired_mono_ms >= JOURNAL_PATIENCE_MS) {
            c->journalled = true;
            capture_hold(c);
            start_collecting(c);
            capture_release(c);
        }
        return;
    }
    if (c->stage != CAPTURE_COLLECTING) {
        return;
    }
    if (now_ms >= c->give_up_ms && !c->stopping) {
        c->stopping = true;
        facts_skip(c->facts, "(all)", "collecting was ended in time to seal the bundle");
        cancel_runs(c, now_ms);
    }
    capture_hold(c);
    check_runs(c, now_ms);
    capture_release(c);
}

static void on_begun(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct capture *c = arg;
    close_all(fds, count);
    if (reply->status < 0) {
        c->failed = true;
        c->env->trouble(c, reply->text, c->env->arg);
    } else {
        capture_journal(c, "begun", NULL);
    }
    capture_release(c);
}

static void send_begin(struct capture *c)
{
    struct wire_message m = {.type = WIRE_BEGIN};
    (void)capture_send(c, &m, NULL, 0, on_begun, c);
}

/* BEGIN, the trigger and the first phase go out in one burst: incidentd serves them in order. The
 * caller holds a reference. */
static void start_collecting(struct capture *c)
{
    if (!c->allowed || !c->journalled || c->stage != CAPTURE_QUEUED) {
        return;
    }
    c->stage = CAPTURE_COLLECTING;
    c->give_up_ms = clock_mono_ms() + COLLECT_LIMIT_MS;
    send_begin(c);
    c->phase = COLLECTOR_INSTANT;
    if (!c->stopping) {
        start_phase(c);
    }
    AUTO_FREE char *base = base_text(c);
    capture_add(c, "trigger.json", base, strlen(base));
    capture_journal(c, "phase", collector_phase_name(COLLECTOR_INSTANT));
    c->env->changed(c, c->env->arg);
    if (c->running == 0) {
        next_phase(c);
    }
}

static void on_journalled(int status, const struct error *err, void *arg)
{
    struct capture *c = arg;
    if (status < 0) {
        c->env->trouble(c, err->message, c->env->arg); /* evidence all the same */
    }
    c->journalled = true;
    start_collecting(c);
    capture_release(c);
}

/* Which collectors run, and why the others do not. */
static void choose(struct capture *c, const struct capture_request *q)
{
    uint32_t all[LIMIT_COLLECTORS];
    bool listed[LIMIT_COLLECTORS];
    size_t count = generation_collectors(q->generation, q->capture, q->runtime, all, listed);
    for (size_t i = 0; i < count; i++) {
        const struct collector_config *config = config_of(c, all[i]);
        const struct collector *kind = collector_find(config->type);
        const char *why = NULL;
        if (kind->cost == COLLECTOR_PAUSING && !config->allow_pause) {
            why = "allow_pause is not set";
        } else if (kind->cost == COLLECTOR_PAUSING && !listed[i]) {
            why = "it pauses the target and no rule lists it";
        } else if (kind->reach == COLLECTOR_HTTP && q->no_http) {
            why = "the target does not answer HTTP";
        }
        if (why != NULL) {
            facts_skip(c->facts, config->name, why);
            continue;
        }
        c->collectors[c->collector_count++] = all[i];
        if (q->light_only) {
            facts_skip(c->facts, config->name, q->light_why);
        }
    }
}

static struct capture *new_capture(const struct capture_env *env, struct generation *g,
                                   const char *id)
{
    struct capture *c = xcalloc(1, sizeof(*c));
    c->env = env;
    c->references = 1;
    c->generation = generation_hold(g);
    c->seal.out_fd = c->seal.pipe_fd = -1;
    c->fired_mono_ms = clock_mono_ms();
    c->last_phase = COLLECTOR_PHASES - 1;
    (void)snprintf(c->id, sizeof(c->id), "%s", id);
    buf_init(&c->seal.said, 2 * (size_t)LIMIT_MANIFEST_BYTES);
    return c;
}

struct capture *capture_new(const struct capture_env *env, const struct capture_request *q)
{
    struct capture *c = new_capture(env, q->generation, q->facts->id);
    c->facts = xcalloc(1, sizeof(*c->facts));
    *c->facts = *q->facts;
    c->target = q->target;
    if (q->light_only) {
        c->last_phase = COLLECTOR_DUMP;
    }
    choose(c, q);
    AUTO_FREE char *base = base_text(c);
    capture_hold(c);
    c->journal = journal_writer_new(env->loop, env->journal_fd, c->id);
    journal_writer_create(c->journal, base, c->facts->trigger_ms, on_journalled, c);
    c->timer = xcalloc(1, sizeof(*c->timer));
    (void)uv_timer_init(env->loop, c->timer);
    c->timer->data = c;
    (void)uv_timer_start(c->timer, on_tick, TICK_MS, TICK_MS);
    return c;
}

void capture_begin(struct capture *c)
{
    c->allowed = true;
    capture_hold(c);
    start_collecting(c);
    capture_release(c);
}

bool capture_raise(struct capture *c, const struct watch_event *event)
{
    if (c->facts == NULL || c->stage > CAPTURE_COLLECTING || c->stopping) {
        return false;
    }
    c->facts->grade = WATCH_FULL;
    c->facts->counts = event->counts;
    memcpy(c->facts->summary, event->summary, sizeof(c->facts->summary));
    return true;
}

void capture_stop(struct capture *c, const char *why)
{
    if (c->facts == NULL || c->stage > CAPTURE_COLLECTING || c->stopping) {
        return;
    }
    c->stopping = true;
    c->facts->partial = true;
    (void)snprintf(c->facts->partial_why, sizeof(c->facts->partial_why), "%s", why);
    capture_hold(c);
    if (c->stage == CAPTURE_QUEUED) {
        c->allowed = true;
        start_collecting(c);
    } else {
        cancel_runs(c, clock_mono_ms());
    }
    capture_release(c);
}

static void on_begun_again(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct capture *c = arg;
    close_all(fds, count);
    if (reply->status < 0) {
        c->env->trouble(c, reply->text, c->env->arg);
    }
    capture_seal_start(c);
    capture_release(c);
}

struct capture *capture_recover(const struct capture_env *env, struct generation *generation,
                                const char *id, const char *base, bool orphan,
                                struct journal_writer *journal)
{
    struct capture *c = new_capture(env, generation, id);
    c->base = xstrdup(base);
    c->orphan = orphan;
    c->journal = journal;
    c->stage = CAPTURE_SEALING;
    struct wire_message m = {.type = WIRE_BEGIN};
    (void)capture_send(c, &m, NULL, 0, on_begun_again, c);
    return c;
}
