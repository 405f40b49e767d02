/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold between rules, targets and collectors, and the rules that every target has.
 *
 * A value that was wrong by itself has been told already and is NULL here: nothing is said about it
 * twice. The built-in rules are appended as if they stood in the file, so that nobody behind this
 * file knows that they do not.
 */
#include "watchdog/config_rules.h"

#include "base/limits.h"

#include <errno.h>

struct check {
    struct config *config;
    struct schema_doc *doc;
    struct arena *arena;
};

static const char *const builtin_names[] = {
    [WATCH_SOURCE_DOWN] = "source_down",
    [WATCH_TARGET_EXITED] = "target_exited",
    [WATCH_TRAFFIC_LOST] = "traffic_lost",
};

static const struct config_target *target_of(const struct config *c, const struct config_rule *rule)
{
    int i = rule->target == NULL ? -1 : config_target_find(c, rule->target);
    return i < 0 ? NULL : config_target_at(c, (size_t)i);
}

/* The first rule of the target that has an SLO of its own. */
static const struct config_rule *slo_rule_of(const struct config *c, const char *target)
{
    for (size_t i = 0; i < c->rules.count; i++) {
        const struct config_rule *r = config_rule_at(c, i);
        if (r->slo.present && config_rule_kind(r) == WATCH_SLO && r->target != NULL &&
            strcmp(r->target, target) == 0) {
            return r;
        }
    }
    return NULL;
}

bool config_rules_possible(const struct config *c, const struct config_target *target,
                           enum watch_kind kind)
{
    switch (kind) {
    case WATCH_SOURCE_DOWN:
        return target->metrics != NULL;
    case WATCH_TARGET_EXITED:
        return target->process.present;
    case WATCH_TRAFFIC_LOST:
        return target->metrics != NULL && slo_rule_of(c, target->name) != NULL;
    case WATCH_SLO:
        break;
    }
    return false;
}

bool config_rules_auto(const struct collector_config *collector, int runtime)
{
    const struct collector *kind = collector_find(collector->type);
    return kind != NULL && (kind->runtimes & (1U << (unsigned)runtime)) != 0 &&
           strcmp(collector->name, collector->type) == 0;
}

static void complain_unknown_target(const struct check *k, const struct config_rule *r)
{
    const struct config *c = k->config;
    const char *names[LIMIT_TARGETS + 1] = {NULL};
    char hint[256] = "it must stand under 'targets'";
    for (size_t i = 0; i < c->targets.count && i < LIMIT_TARGETS; i++) {
        const char *name = config_target_at(c, i)->name;
        names[i] = name == NULL ? "" : name;
    }
    const char *near = schema_nearest(r->target, names);
    near = near == NULL && c->targets.count == 1 ? names[0] : near;
    if (near != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
    }
    schema_complain(k->doc, &r->target, false, hint, "there is no target '%s'", r->target);
}

/* The target's name: told wrong, or left out where it is clear. */
static void check_target(const struct check *k, struct config_rule *r)
{
    const struct config *c = k->config;
    if (c->targets.count == 0) {
        return;
    }
    if (r->target != NULL) {
        if (config_target_find(c, r->target) < 0) {
            complain_unknown_target(k, r);
        }
    } else if (!schema_given(k->doc, &r->target) && c->targets.count == 1) {
        r->target = config_target_at(c, 0)->name;
    } else if (!schema_given(k->doc, &r->target)) {
        schema_complain(k->doc, &r->name, false, "write 'target: NAME'",
                        "'target' is missing in rule '%s', and there are %zu of them",
                        r->name == NULL ? "" : r->name, c->targets.count);
    }
}

static void check_name_is_free(const struct check *k, const struct config_rule *r, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        const struct config_rule *other = config_rule_at(k->config, i);
        if (other->name != NULL && other->target != NULL && strcmp(other->name, r->name) == 0 &&
            strcmp(other->target, r->target) == 0) {
            schema_complain(k->doc, &r->name, false, "give one of them another name",
                            "target '%s' has two rules called '%s'", r->target, r->name);
            return;
        }
    }
}

static bool is_required(const char *name)
{
    for (const struct schema_option *o = slo_table.options; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            return (o->flags & SCHEMA_REQUIRED) != 0;
        }
    }
    return false;
}

/* Which of good, bad and total there are. */
static void check_selectors(const struct check *k, const struct config_rule *r)
{
    const struct slo_options *s = &r->slo;
    bool good = schema_given(k->doc, &s->good);
    bool bad = schema_given(k->doc, &s->bad);
    if (!schema_given(k->doc, &s->total) && !is_required("total")) {
        schema_complain(k->doc, s, false, "total: http_requests_total",
                        "'total' is missing in 'slo' of rule '%s': the counter of all events",
                        r->name);
    }
    if (good && bad) {
        schema_complain(k->doc, &s->bad, false,
                        "remove one of them: what is not good is bad, and the other way round",
                        "'good' and 'bad' are both set in 'slo' of rule '%s'", r->name);
    } else if (!good && !bad && !schema_puzzled(k->doc, s)) {
        schema_complain(k->doc, s, false,
                        "good: http_requests_total{code!~\"5..\"}, or bad: "
                        "http_requests_total{code=~\"5..\"}",
                        "'slo' of rule '%s' says neither what is 'good' nor what is 'bad'",
                        r->name);
    }
    if (good && s->good != NULL && s->total != NULL && strcmp(s->good, s->total) == 0) {
        schema_complain(k->doc, &s->good, false,
                        "add a matcher that leaves out the failures, such as {code!~\"5..\"}",
                        "'good' and 'total' are the same: nothing could ever be bad");
    }
}

static void check_slo(const struct check *k, const struct config_rule *r,
                      const struct config_target *t)
{
    const struct slo_options *s = &r->slo;
    char look_back[64];
    char interval[64];
    check_selectors(k, r);
    if (t == NULL) {
        return;
    }
    if (t->metrics == NULL && !schema_given(k->doc, &t->metrics)) {
        schema_complain(k->doc, s, false, "add 'metrics: URL' to the target",
                        "target '%s' has no 'metrics', so rule '%s' has nothing to count", t->name,
                        r->name);
    }
    if (s->look_back_ms < t->interval_ms) {
        schema_complain(k->doc, &s->look_back_ms, false, "30s is usual",
                        "'look_back' (%s) is shorter than the interval of target '%s' (%s)",
                        schema_duration_text(s->look_back_ms, look_back, sizeof(look_back)),
                        t->name, schema_duration_text(t->interval_ms, interval, sizeof(interval)));
    }
}

/* A rule with the name of a built-in one. */
static void check_builtin(const struct check *k, struct config_rule *r,
                          const struct config_target *t, enum watch_kind kind)
{
    static const char *const needs[] = {
        [WATCH_SOURCE_DOWN] = "the target has no 'metrics'",
        [WATCH_TARGET_EXITED] = "the target has no 'process'",
        [WATCH_TRAFFIC_LOST] = "the target has no rule with 'slo' that says what its traffic is",
    };
    if (kind != WATCH_TRAFFIC_LOST && r->slo.present) {
        schema_complain(k->doc, &r->slo, false, "remove 'slo', or give the rule another name",
                        "'%s' is built in and takes no 'slo'", r->name);
        return;
    }
    if (kind == WATCH_TRAFFIC_LOST && r->slo.present) {
        check_slo(k, r, t);
        return;
    }
    if (t != NULL && !config_rules_possible(k->config, t, kind)) {
        schema_complain(k->doc, &r->name, false, NULL, "'%s' can never be decided: %s", r->name,
                        needs[kind]);
    } else if (t != NULL && kind == WATCH_TRAFFIC_LOST) {
        r->slo = slo_rule_of(k->config, t->name)->slo;
    }
}

static void complain_unknown_collector(const struct check *k, const char *const *entry)
{
    const char *names[LIMIT_COLLECTORS + 2];
    char hint[256];
    size_t count = 0;
    names[count++] = "auto";
    for (size_t i = 0; i < k->config->collectors.count && count <= LIMIT_COLLECTORS; i++) {
        const char *name = config_collector_at(k->config, i)->name;
        names[count++] = name == NULL ? "auto" : name;
    }
    names[count] = NULL;
    const char *near = schema_nearest(*entry, names);
    if (near != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
    } else if (collector_find(*entry) != NULL) {
        (void)snprintf(hint, sizeof(hint),
                       "this kind has options without a default: add 'collectors: {%s: {...}}'; "
                       "'incidentctl collectors %s' lists them",
                       *entry, *entry);
    } else {
        size_t used = (size_t)snprintf(hint, sizeof(hint), "there are ");
        for (size_t i = 0; i < count && used < sizeof(hint); i++) {
            used += (size_t)snprintf(hint + used, sizeof(hint) - used, "%s%s", i == 0 ? "" : ", ",
                                     names[i]);
        }
    }
    schema_complain(k->doc, entry, false, hint, "there is no collector '%s'", *entry);
}

/* One entry of `capture` that names a collector: will it ever run here? */
static void check_entry(const struct check *k, const char *const *entry,
                        const struct config_target *t)
{
    int index = config_collector_find(k->config, *entry);
    if (index < 0) {
        complain_unknown_collector(k, entry);
        return;
    }
    const struct collector_config *c = config_collector_at(k->config, (size_t)index);
    const struct collector *kind = c->type == NULL ? NULL : collector_find(c->type);
    char hint[256];
    if (kind == NULL) {
        return;
    }
    if (kind->cost == COLLECTOR_PAUSING && !c->allow_pause) {
        (void)snprintf(hint, sizeof(hint),
                       "to let it, write 'collectors: {%s: {allow_pause: true}}'", c->name);
        schema_complain(k->doc, entry, true, hint,
                        "'%s' will be skipped: it pauses the target, and 'allow_pause' is not set",
                        c->name);
    }
    if (t != NULL && kind->reach == COLLECTOR_HTTP && t->pprof == NULL &&
        !schema_given(k->doc, &t->pprof)) {
        schema_complain(k->doc, entry, true, "add 'pprof: URL' to the target",
                        "'%s' will be skipped: target '%s' has no 'pprof'", c->name, t->name);
    }
}

static void check_capture(const struct check *k, const struct config_rule *r,
                          const struct config_target *t)
{
    const struct schema_strings *list = &r->capture;
    if (list->count == 0) {
        schema_complain(k->doc, list, false, "capture: auto", "rule '%s' captures nothing",
                        r->name == NULL ? "" : r->name);
    }
    for (size_t i = 0; i < list->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(list->items[i], list->items[j]) == 0) {
                schema_complain(k->doc, &list->items[i], true, "remove it", "'%s' is listed twice",
                                list->items[i]);
                break;
            }
        }
        if (strcmp(list->items[i], "auto") != 0) {
            check_entry(k, &list->items[i], t);
        }
    }
}

static void check_rule(const struct check *k, struct config_rule *r, size_t index)
{
    check_target(k, r);
    const struct config_target *t = target_of(k->config, r);
    check_capture(k, r, t);
    if (r->name == NULL) {
        return;
    }
    if (r->target != NULL) {
        check_name_is_free(k, r, index);
    }
    enum watch_kind kind = config_rule_kind(r);
    if (kind != WATCH_SLO) {
        check_builtin(k, r, t, kind);
    } else if (r->slo.present) {
        check_slo(k, r, t);
    } else if (!schema_given(k->doc, &r->slo) && !schema_puzzled(k->doc, r)) {
        schema_complain(k->doc, &r->name, false,
                        "slo: {objective: 0.999, good: 'http_requests_total{code!~\"5..\"}', "
                        "total: http_requests_total}",
                        "rule '%s' has no condition: 'slo' is missing", r->name);
    }
}

static bool is_defined(const struct config *c, const struct config_target *t, const char *name)
{
    for (size_t i = 0; i < c->rules.count; i++) {
        const struct config_rule *r = config_rule_at(c, i);
        if (r->name != NULL && r->target != NULL && strcmp(r->name, name) == 0 &&
            strcmp(r->target, t->name) == 0) {
            return true;
        }
    }
    return false;
}

static int append_builtins(const struct check *k)
{
    static const char *const automatic[] = {"auto"};
    struct config *c = k->config;
    size_t room = c->rules.count + c->targets.count * 3;
    struct config_rule *rules = arena_alloc(k->arena, (room + 1) * sizeof(*rules));
    const char **capture = arena_alloc(k->arena, sizeof(automatic));
    if (rules == NULL || capture == NULL) {
        return -ENOMEM;
    }
    size_t count = c->rules.count;
    capture[0] = automatic[0];
    if (count > 0) {
        memcpy(rules, c->rules.items, count * sizeof(*rules));
    }
    for (size_t i = 0; i < c->targets.count; i++) {
        const struct config_target *t = config_target_at(c, i);
        for (enum watch_kind kind = WATCH_SOURCE_DOWN; kind <= WATCH_TRAFFIC_LOST; kind++) {
            if (t->name == NULL || is_defined(c, t, builtin_names[kind]) ||
                !config_rules_possible(c, t, kind)) {
                continue;
            }
            rules[count++] = (struct config_rule){
                .name = builtin_names[kind],
                .target = t->name,
                .keep_firing_for_ms = INT64_C(60) * 1000,
                .cooldown_ms = INT64_C(15) * 60 * 1000,
                .capture = {.items = capture, .count = 1},
            };
            if (kind == WATCH_TRAFFIC_LOST) {
                rules[count - 1].slo = slo_rule_of(c, t->name)->slo;
            }
        }
    }
    c->rules = (struct schema_list){.items = rules, .count = count};
    return 0;
}

int config_rules_complete(struct config *c, struct schema_doc *doc, struct arena *a)
{
    const struct check k = {.config = c, .doc = doc, .arena = a};
    struct config_rule *rules = c->rules.items;
    for (size_t i = 0; i < c->rules.count; i++) {
        check_rule(&k, &rules[i], i);
    }
    int rc = append_builtins(&k);
    if (rc == 0 && c->rules.count > LIMIT_RULES) {
        schema_complain(doc, schema_given(doc, &c->rules) ? &c->rules : &c->targets, false,
                        "split the file between two incidentd",
                        "%zu rules with the built-in ones are more than %d", c->rules.count,
                        LIMIT_RULES);
    }
    return rc;
}
