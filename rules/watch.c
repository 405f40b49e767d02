/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c: one target's series and rules behind one door.
 *
 * A poll becomes a step (what each rule's counters grew by), the step goes to the rule's test, and
 * an evaluation asks each test for its verdict and moves the rule's alert. Verdicts are kept, so
 * that the live state can be asked for at any time without judging again.
 *
 * The built-in kinds need no counters: source_down counts polls missed in a row after a first one
 * that was answered, target_exited hears of the process. They are of full grade at once.
 */
#include "rules/watch.h"

#include "rules/alert.h"
#include "rules/burst.h"
#include "rules/intake.h"
#include "rules/slo.h"
#include "rules/traffic.h"
#include "rules/words.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>

enum { MISSES_DOWN = 3, SPARE_INTERVALS = 17 };

static const int64_t lasting_ms = 10000;
static const int64_t same_life_ms = 1000; /* a start time is computed, and may jitter */
static const double default_budget = 1.0 / (30.0 * 86400000.0);

enum life { LIFE_UNKNOWN, LIFE_ALIVE, LIFE_GONE };

struct rule {
    const struct watch_rule *def;
    struct burst *burst;     /* WATCH_SLO */
    struct traffic *traffic; /* WATCH_TRAFFIC_LOST */
    struct alert alert;
    struct intake_step step; /* of the last page */
    bool fresh;              /* a step came since the last evaluation */
    double worst_ratio;      /* since the onset */
    struct burst_verdict verdict;
    struct watch_counts counts; /* of the last evaluation that knew something */
};

struct watch {
    int64_t interval_ms;
    size_t count;
    struct rule *rules;
    struct intake *intake;
    struct intake_step *steps;
    bool hold;
    unsigned misses;      /* polls missed in a row */
    int64_t last_miss_ms; /* told twice, it counts once */
    int64_t last_page_ms; /* 0: none yet */
    enum life life;
    int64_t gone_ms;
    int64_t start_ms;
};

static int parse_part(const struct watch_rule *def, const char *what, const char *text,
                      struct selector **ret, struct error *err)
{
    if (selector_parse(text, ret, err) < 0) {
        return error_wrap(err, "rule '%s': %s '%s'", def->name, what, text);
    }
    return 0;
}

static int rule_selectors(const struct watch_rule *def, struct intake_rule *ret, struct error *err)
{
    const struct slo_options *slo = def->slo;
    if (def->kind != WATCH_SLO && def->kind != WATCH_TRAFFIC_LOST) {
        return 0;
    }
    if (slo == NULL || slo->total == NULL) {
        return error_set(err, -EINVAL, "rule '%s' has no selector 'total'", def->name);
    }
    int rc = parse_part(def, "total", slo->total, &ret->total, err);
    if (rc < 0 || def->kind == WATCH_TRAFFIC_LOST) {
        return rc;
    }
    if ((slo->good == NULL) == (slo->bad == NULL)) {
        return error_set(err, -EINVAL, "rule '%s' needs one of 'good' and 'bad'", def->name);
    }
    ret->part_is_good = slo->good != NULL;
    return slo->good != NULL ? parse_part(def, "good", slo->good, &ret->part, err)
                             : parse_part(def, "bad", slo->bad, &ret->part, err);
}

static int rule_tests(struct watch *w, struct rule *r, struct error *err)
{
    const struct slo_options *slo = r->def->slo;
    if (r->def->kind != WATCH_SLO && r->def->kind != WATCH_TRAFFIC_LOST) {
        return 0;
    }
    struct burst_settings settings = {slo->objective, w->interval_ms, slo->look_back_ms,
                                      default_budget};
    if (slo->false_captures != NULL &&
        slo_parse_budget(slo->false_captures, &settings.budget_per_ms, err) < 0) {
        return error_wrap(err, "rule '%s'", r->def->name);
    }
    if (r->def->kind == WATCH_TRAFFIC_LOST) {
        r->traffic = traffic_new(w->interval_ms, slo->look_back_ms, settings.budget_per_ms);
        return 0;
    }
    if (!(slo->objective > 0.0 && slo->objective < 1.0)) {
        return error_set(err, -EINVAL, "rule '%s': objective %g is not between 0 and 1",
                         r->def->name, slo->objective);
    }
    r->burst = burst_new(&settings);
    return 0;
}

int watch_new(const struct watch_rule *rules, size_t count, int64_t interval_ms, struct watch **ret,
              struct error *err)
{
    struct watch *w = xcalloc(1, sizeof(*w));
    struct intake_rule *selectors = xcalloc(count + 1, sizeof(*selectors));
    w->interval_ms = interval_ms > 0 ? interval_ms : 1000;
    w->count = count;
    w->rules = xcalloc(count + 1, sizeof(*w->rules));
    w->steps = xcalloc(count + 1, sizeof(*w->steps));
    int64_t look_back_ms = 0;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        w->rules[i].def = &rules[i];
        rc = rule_selectors(&rules[i], &selectors[i], err);
        rc = rc < 0 ? rc : rule_tests(w, &w->rules[i], err);
        if (rules[i].slo != NULL && rules[i].slo->look_back_ms > look_back_ms) {
            look_back_ms = rules[i].slo->look_back_ms;
        }
    }
    w->intake = intake_new(selectors, count, look_back_ms + SPARE_INTERVALS * w->interval_ms);
    free(selectors);
    if (rc < 0) {
        watch_free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

void watch_free(struct watch *w)
{
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; i < w->count; i++) {
        burst_free(w->rules[i].burst);
        traffic_free(w->rules[i].traffic);
    }
    intake_free(w->intake);
    free(w->rules);
    free(w->steps);
    free(w);
}

/* Does the page say enough for this rule? A `good` that matched nothing ever would make everything
 * bad, and is more likely a typing mistake. */
static bool step_counts(const struct rule *r)
{
    bool good = r->def->slo->good != NULL && r->def->kind == WATCH_SLO;
    return r->step.total_found && (!good || r->step.part_found);
}

static void feed(struct rule *r, int64_t from_ms, int64_t to_ms)
{
    if (r->burst != NULL) {
        burst_push(r->burst, from_ms, to_ms, r->step.bad, fmax(r->step.total, r->step.bad));
    } else {
        traffic_push(r->traffic, from_ms, to_ms, r->step.total);
    }
    r->fresh = true;
}

static void forget_steps(struct rule *r)
{
    if (r->burst != NULL) {
        burst_break(r->burst);
    } else if (r->traffic != NULL) {
        traffic_break(r->traffic);
    }
}

int watch_page(struct watch *w, int64_t wall_ms, const char *page, size_t len, bool openmetrics,
               struct error *err)
{
    int64_t from_ms = 0;
    const struct intake_page read = {page, len, openmetrics};
    int rc = intake_read(w->intake, wall_ms, &read, w->steps, &from_ms, err);
    if (rc < 0) {
        watch_miss(w, wall_ms);
        return rc;
    }
    w->misses = 0;
    w->last_page_ms = wall_ms;
    for (size_t i = 0; i < w->count; i++) {
        struct rule *r = &w->rules[i];
        r->step = w->steps[i];
        r->fresh = false;
        if (r->burst == NULL && r->traffic == NULL) {
            continue;
        }
        if (rc == 0 || w->hold) {
            forget_steps(r);
        } else if (step_counts(r)) {
            feed(r, from_ms, wall_ms);
        }
    }
    return 0;
}

void watch_miss(struct watch *w, int64_t wall_ms)
{
    w->misses += w->misses == 0 || wall_ms != w->last_miss_ms;
    w->last_miss_ms = wall_ms;
    for (size_t i = 0; i < w->count; i++) {
        w->rules[i].fresh = false;
    }
}

void watch_process(struct watch *w, int64_t wall_ms, bool alive, int64_t start_ms)
{
    if (!alive) {
        if (w->life == LIFE_ALIVE) {
            w->life = LIFE_GONE;
            w->gone_ms = wall_ms;
        }
        return;
    }
    if (w->life == LIFE_GONE ||
        (w->life == LIFE_ALIVE && llabs(start_ms - w->start_ms) > same_life_ms)) {
        intake_new_life(w->intake, start_ms);
    }
    w->life = LIFE_ALIVE;
    w->start_ms = start_ms;
}

void watch_hold(struct watch *w, bool hold)
{
    w->hold = hold;
}

static void judge_slo(struct rule *r, int64_t now_ms, struct alert_input *in)
{
    struct burst_verdict *v = &r->verdict;
    in->known = r->fresh;
    if (!in->known) {
        return;
    }
    burst_judge(r->burst, v);
    in->known = v->known;
    in->bad = v->bad;
    in->ratio = v->worst_ratio;
    in->onset_ms = v->onset_ms;
    in->full = v->fast_burn || (v->bad && now_ms - v->onset_ms >= lasting_ms);
    r->counts = (struct watch_counts){.bad = v->bad_count,
                                      .total = v->total,
                                      .window_ms = v->window_ms,
                                      .allowed = (1.0 - r->def->slo->objective) * v->total,
                                      .ratio = v->total > 0.0 ? v->bad_count / v->total : 0.0,
                                      .dispersion = v->dispersion};
}

static void judge_traffic(struct rule *r, struct alert_input *in)
{
    struct traffic_verdict v;
    in->known = r->fresh;
    if (!in->known) {
        return;
    }
    traffic_judge(r->traffic, &v);
    in->known = v.known;
    in->bad = v.bad;
    in->full = true;
    in->onset_ms = v.onset_ms;
    r->counts = (struct watch_counts){.total = v.total,
                                      .window_ms = v.window_ms,
                                      .allowed = v.expected,
                                      .fires_at = floor(v.expected / 10.0),
                                      .dispersion = 1.0};
}

static void judge_source(const struct watch *w, struct rule *r, int64_t now_ms,
                         struct alert_input *in)
{
    in->known = w->last_page_ms != 0;
    in->bad = w->misses >= MISSES_DOWN && w->life != LIFE_GONE;
    in->full = true;
    in->onset_ms = w->last_page_ms;
    r->counts = (struct watch_counts){.bad = w->misses,
                                      .total = w->misses,
                                      .window_ms = w->misses > 0 ? now_ms - w->last_page_ms : 0,
                                      .fires_at = MISSES_DOWN,
                                      .ratio = w->misses > 0 ? 1.0 : 0.0,
                                      .dispersion = 1.0};
}

static void judge_process(const struct watch *w, struct rule *r, struct alert_input *in)
{
    in->known = w->life != LIFE_UNKNOWN;
    in->bad = w->life == LIFE_GONE;
    in->full = true;
    in->onset_ms = w->gone_ms;
    r->counts = (struct watch_counts){.bad = in->bad ? 1.0 : 0.0,
                                      .total = 1.0,
                                      .fires_at = 1.0,
                                      .ratio = in->bad ? 1.0 : 0.0,
                                      .dispersion = 1.0};
}

static void judge(struct watch *w, struct rule *r, int64_t now_ms, struct alert_input *in)
{
    switch (r->def->kind) {
    case WATCH_SLO:
        judge_slo(r, now_ms, in);
        break;
    case WATCH_TRAFFIC_LOST:
        judge_traffic(r, in);
        break;
    case WATCH_SOURCE_DOWN:
        judge_source(w, r, now_ms, in);
        break;
    case WATCH_TARGET_EXITED:
        judge_process(w, r, in);
        break;
    }
}

/* Completes the counts with what is only worth computing when somebody reads them. */
static void complete(const struct watch *w, size_t index, struct watch_counts *counts,
                     char *summary, size_t size)
{
    const struct rule *r = &w->rules[index];
    counts->worst_ratio = r->worst_ratio;
    if (r->def->kind == WATCH_SLO && r->verdict.known) {
        const struct schema_strings *by = &r->def->slo->by;
        const struct intake_question who = {index, by->items, by->count, r->verdict.from_ms,
                                            r->verdict.to_ms};
        counts->fires_at = burst_fires_at(r->burst, &r->verdict);
        counts->top_share =
            counts->bad > 0.0
                ? intake_breakdown(w->intake, &who, counts->top_labels, sizeof(counts->top_labels))
                : 0.0;
    }
    words_summary(r->def->kind, counts, summary, size);
}

void watch_evaluate(struct watch *w, int64_t wall_ms,
                    void (*emit)(const struct watch_event *event, void *arg), void *arg)
{
    for (size_t i = 0; i < w->count && !w->hold; i++) {
        struct rule *r = &w->rules[i];
        struct alert_input in = {.known = false};
        judge(w, r, wall_ms, &in);
        double worst = r->def->kind == WATCH_SLO ? r->verdict.worst_step : r->counts.ratio;
        if (in.known && in.bad) {
            bool begins = r->alert.state == WATCH_INACTIVE;
            r->worst_ratio = fmax(begins ? 0.0 : r->worst_ratio, worst);
        }
        enum watch_grade before = r->alert.grade;
        enum watch_event_kind kinds[ALERT_EVENTS_MAX];
        int64_t onset_ms = in.known && in.bad ? in.onset_ms : r->alert.onset_ms;
        size_t count = alert_step(&r->alert, r->def, &in, wall_ms, kinds);
        if (count == 0) {
            continue;
        }
        struct watch_event event = {.rule = i,
                                    .grade = r->alert.grade != WATCH_NONE ? r->alert.grade : before,
                                    .at_ms = wall_ms,
                                    .onset_ms = onset_ms,
                                    .counts = r->counts};
        complete(w, i, &event.counts, event.summary, sizeof(event.summary));
        for (size_t k = 0; k < count; k++) {
            event.kind = kinds[k];
            emit(&event, arg);
        }
    }
}

static void say_missing(const struct watch *w, const struct rule *r, char *out, size_t size)
{
    const struct slo_options *slo = r->def->slo;
    if (r->burst == NULL && r->traffic == NULL) {
        return;
    }
    if (w->last_page_ms == 0) {
        (void)snprintf(out, size, "no page was read yet");
    } else if (!r->step.total_found) {
        (void)snprintf(out, size, "no series matches '%s'", slo->total);
    } else if (r->def->kind == WATCH_SLO && !r->step.part_found && slo->good != NULL) {
        (void)snprintf(out, size, "no series matches '%s'", slo->good);
    } else if (intake_overflowed(w->intake)) {
        (void)snprintf(out, size, "more than %d series are selected: narrow the selectors",
                       (int)LIMIT_SERIES_PER_TARGET);
    } else if (r->def->kind == WATCH_TRAFFIC_LOST && r->counts.window_ms == 0) {
        (void)snprintf(out, size, "the usual traffic is still being learned");
    }
}

void watch_status_of(const struct watch *w, size_t rule, int64_t wall_ms, struct watch_status *ret)
{
    (void)wall_ms;
    const struct rule *r = &w->rules[rule];
    memset(ret, 0, sizeof(*ret));
    ret->state = r->alert.state;
    ret->grade = r->alert.grade;
    ret->since_ms = r->alert.since_ms;
    ret->unknown = r->alert.unknown || w->hold;
    ret->counts = r->counts;
    complete(w, rule, &ret->counts, ret->summary, sizeof(ret->summary));
    say_missing(w, r, ret->missing, sizeof(ret->missing));
}

static void add_numbers(cJSON *list, const double *values, size_t count)
{
    cJSON *row = cJSON_CreateDoubleArray(values, (int)count);
    if (row != NULL) {
        (void)cJSON_AddItemToArray(list, row);
    }
}

static void save_rule(const struct rule *r, cJSON *rules)
{
    cJSON *list =
        r->burst == NULL && r->traffic == NULL ? NULL : cJSON_AddArrayToObject(rules, r->def->name);
    if (list == NULL) {
        return;
    }
    struct burst_learned burst[STEPS_WINDOWS_MAX];
    size_t count = r->burst != NULL ? burst_learned_get(r->burst, burst) : 0;
    for (size_t i = 0; i < count; i++) {
        const double row[] = {burst[i].squares, burst[i].bad, burst[i].expected, burst[i].blocks};
        add_numbers(list, row, ARRAY_LEN(row));
    }
    struct traffic_learned traffic[STEPS_WINDOWS_MAX];
    count = r->traffic != NULL ? traffic_learned_get(r->traffic, traffic) : 0;
    for (size_t i = 0; i < count; i++) {
        const double row[] = {traffic[i].mean, traffic[i].variance, traffic[i].blocks};
        add_numbers(list, row, ARRAY_LEN(row));
    }
}

void watch_save(const struct watch *w, struct buf *out)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *rules = cJSON_AddObjectToObject(root, "learned");
    for (size_t i = 0; i < w->count && rules != NULL; i++) {
        save_rule(&w->rules[i], rules);
    }
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    (void)buf_add_text(out, text != NULL ? text : "{}");
    cJSON_free(text);
}

/* Reads one row of `count` numbers that are all finite and not negative. */
static bool read_row(const cJSON *row, double *ret, int count)
{
    if (cJSON_GetArraySize(row) != count) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        const cJSON *number = cJSON_GetArrayItem(row, i);
        if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble) || number->valuedouble < 0) {
            return false;
        }
        ret[i] = number->valuedouble;
    }
    return true;
}

static void load_rule(struct rule *r, const cJSON *list)
{
    struct burst_learned burst[STEPS_WINDOWS_MAX];
    struct traffic_learned traffic[STEPS_WINDOWS_MAX];
    double row[4];
    size_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (count == STEPS_WINDOWS_MAX || !read_row(item, row, r->burst != NULL ? 4 : 3)) {
            return;
        }
        burst[count] = (struct burst_learned){row[0], row[1], row[2], row[3]};
        traffic[count] = (struct traffic_learned){row[0], row[1], row[2]};
        count++;
    }
    if (r->burst != NULL) {
        burst_learned_set(r->burst, burst, count);
    } else if (r->traffic != NULL) {
        traffic_learned_set(r->traffic, traffic, count);
    }
}

int watch_load(struct watch *w, const char *json, size_t len, struct error *err)
{
    cJSON *root = cJSON_ParseWithLength(json, len);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return error_set(err, -EINVAL, "what was learned before is no JSON object");
    }
    const cJSON *rules = cJSON_GetObjectItemCaseSensitive(root, "learned");
    for (size_t i = 0; i < w->count; i++) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(rules, w->rules[i].def->name);
        if (cJSON_IsArray(list)) {
            load_rule(&w->rules[i], list);
        }
    }
    cJSON_Delete(root);
    return 0;
}

size_t watch_memory_bytes(const struct watch *w)
{
    size_t bytes = sizeof(*w) + w->count * (sizeof(*w->rules) + sizeof(*w->steps)) +
                   intake_memory_bytes(w->intake);
    for (size_t i = 0; i < w->count; i++) {
        const struct rule *r = &w->rules[i];
        bytes += r->burst != NULL ? burst_memory_bytes(r->burst) : 0;
        bytes += r->traffic != NULL ? traffic_memory_bytes(r->traffic) : 0;
    }
    return bytes;
}

size_t watch_series_count(const struct watch *w)
{
    return intake_series_count(w->intake);
}
