/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/incident.h"

#include <stdarg.h>

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * 3600 * 1000 };

void incident_init(struct incidents *all, const struct incident_limits *limits)
{
    *all = (struct incidents){.limits = *limits};
}

void incident_release(struct incidents *all)
{
    free(all->list);
    free(all->memories);
    free(all->stamps);
    *all = (struct incidents){.limits = all->limits};
}

static struct incident *find(const struct incidents *all, const char *id)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->list[i].id, id) == 0) {
            return &all->list[i];
        }
    }
    return NULL;
}

const struct incident *incident_find(const struct incidents *all, const char *id)
{
    return find(all, id);
}

static struct incident *open_of(const struct incidents *all, const char *target, const char *rule)
{
    for (size_t i = 0; i < all->count; i++) {
        struct incident *in = &all->list[i];
        if (in->open && strcmp(in->target, target) == 0 && strcmp(in->rule, rule) == 0) {
            return in;
        }
    }
    return NULL;
}

const struct incident *incident_open_of(const struct incidents *all, const char *target,
                                        const char *rule)
{
    return open_of(all, target, rule);
}

static struct incident_memory *memory_of(const struct incidents *all, const char *target,
                                         const char *rule)
{
    for (size_t i = 0; i < all->memory_count; i++) {
        struct incident_memory *m = &all->memories[i];
        if (strcmp(m->target, target) == 0 && strcmp(m->rule, rule) == 0) {
            return m;
        }
    }
    return NULL;
}

static void remember(struct incidents *all, const struct incident *in)
{
    struct incident_memory *m = memory_of(all, in->target, in->rule);
    if (m == NULL) {
        all->memories = xrealloc(all->memories, all->memory_count + 1, sizeof(*m));
        m = &all->memories[all->memory_count++];
        *m = (struct incident_memory){.resolved_ms = 0};
        memcpy(m->target, in->target, sizeof(m->target));
        memcpy(m->rule, in->rule, sizeof(m->rule));
    }
    m->resolved_ms = in->resolved_ms;
    m->captured_ratio = in->captured_ratio;
}

int64_t incident_cooldown_left(const struct incidents *all, const char *target, const char *rule,
                               int64_t cooldown_ms, int64_t wall_ms)
{
    const struct incident_memory *m = memory_of(all, target, rule);
    int64_t left_ms = m == NULL || m->resolved_ms == 0 ? 0 : m->resolved_ms + cooldown_ms - wall_ms;
    return left_ms < 0 ? 0 : left_ms > cooldown_ms ? cooldown_ms : left_ms;
}

static int64_t captured_within(const struct incidents *all, const char *target, int64_t span_ms,
                               int64_t wall_ms)
{
    int64_t count = 0;
    for (size_t i = 0; i < all->stamp_count; i++) {
        const struct incident_stamp *s = &all->stamps[i];
        count += strcmp(s->target, target) == 0 && wall_ms - s->at_ms < span_ms ? 1 : 0;
    }
    return count;
}

int64_t incident_hour_left(const struct incidents *all, const char *target, int64_t wall_ms)
{
    int64_t left = all->limits.per_hour - captured_within(all, target, HOUR_MS, wall_ms);
    return left < 0 ? 0 : left;
}

int64_t incident_day_left(const struct incidents *all, const char *target, int64_t wall_ms)
{
    int64_t left = all->limits.per_day - captured_within(all, target, DAY_MS, wall_ms);
    return left < 0 ? 0 : left;
}

static void hold_back(struct incidents *all, struct incident *in, const char *fmt, ...)
    ATTR_FORMAT(3, 4);

static void hold_back(struct incidents *all, struct incident *in, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(in->suppressed_why, sizeof(in->suppressed_why), fmt, ap);
    va_end(ap);
    in->suppressed++;
    all->suppressed_total++;
}

/* True when the limits allow one more capture; else says which does not. */
static bool within_limits(struct incidents *all, struct incident *in, bool worse, int64_t wall_ms)
{
    const struct incident_limits *l = &all->limits;
    int64_t hour_left = incident_hour_left(all, in->target, wall_ms);
    int64_t kept = worse || l->per_hour < 2 ? 0 : 1;
    if ((int64_t)in->captured >= l->per_incident) {
        hold_back(all, in, "limits.per_incident: %u of %lld captured", in->captured,
                  (long long)l->per_incident);
    } else if (hour_left <= kept) {
        hold_back(all, in, "limits.per_hour: %lld of %lld captured%s",
                  (long long)(l->per_hour - hour_left), (long long)l->per_hour,
                  hour_left > 0 ? ", the last is kept for a dip three times worse" : "");
    } else if (incident_day_left(all, in->target, wall_ms) <= 0) {
        hold_back(all, in, "limits.per_day: %lld captured", (long long)l->per_day);
    } else {
        return true;
    }
    return false;
}

static void decide(struct incident_decision *ret, const struct incident *in, const char *reason,
                   bool allowed)
{
    ret->changed = true;
    ret->capture = allowed;
    ret->grade = in->grade;
    (void)snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
    (void)snprintf(ret->why, sizeof(ret->why), "%s", allowed ? "" : in->suppressed_why);
}

static struct incident *open_new(struct incidents *all, const struct incident_event *e)
{
    if (all->count >= INCIDENT_KEPT) {
        for (size_t i = all->count; i-- > 0;) {
            if (!all->list[i].open) {
                memmove(&all->list[i], &all->list[i + 1],
                        (all->count - i - 1) * sizeof(*all->list));
                all->count--;
                break;
            }
        }
    }
    all->list = xrealloc(all->list, all->count + 1, sizeof(*all->list));
    memmove(&all->list[1], &all->list[0], all->count * sizeof(*all->list));
    all->count++;
    struct incident *in = &all->list[0];
    *in = (struct incident){.open = true,
                            .grade = e->watch->grade,
                            .onset_ms = e->watch->onset_ms,
                            .trigger_ms = e->watch->at_ms,
                            .counts = e->watch->counts};
    (void)snprintf(in->id, sizeof(in->id), "%s", e->new_id);
    (void)snprintf(in->target, sizeof(in->target), "%s", e->target);
    (void)snprintf(in->rule, sizeof(in->rule), "%s", e->rule);
    memcpy(in->summary, e->watch->summary, sizeof(in->summary));
    return in;
}

static bool is_worse(double ratio, double captured_ratio)
{
    return captured_ratio > 0 && ratio >= INCIDENT_WORSE_FACTOR * captured_ratio;
}

static void fired(struct incidents *all, const struct incident_event *e,
                  struct incident_decision *ret)
{
    const struct incident_memory *m = memory_of(all, e->target, e->rule);
    bool worse = m != NULL && is_worse(e->watch->counts.ratio, m->captured_ratio);
    int64_t left_ms =
        incident_cooldown_left(all, e->target, e->rule, e->cooldown_ms, e->watch->at_ms);
    struct incident *in = open_new(all, e);
    bool allowed = false;
    if (left_ms > 0 && !worse) {
        hold_back(all, in, "cooldown: %lld s left", (long long)(left_ms + 999) / 1000);
    } else {
        allowed = within_limits(all, in, worse, e->watch->at_ms);
    }
    decide(ret, in, left_ms > 0 && worse ? "worse" : "onset", allowed);
}

static void raised(struct incidents *all, struct incident *in, const struct incident_event *e,
                   struct incident_decision *ret)
{
    in->grade = WATCH_FULL;
    in->counts = e->watch->counts;
    memcpy(in->summary, e->watch->summary, sizeof(in->summary));
    bool worse = is_worse(e->watch->counts.ratio, in->captured_ratio);
    int64_t left_ms =
        incident_cooldown_left(all, in->target, in->rule, e->cooldown_ms, e->watch->at_ms);
    bool allowed = false;
    if (in->captured == 0 && left_ms > 0 && !worse) {
        hold_back(all, in, "cooldown: %lld s left", (long long)(left_ms + 999) / 1000);
    } else {
        allowed = within_limits(all, in, worse, e->watch->at_ms);
    }
    decide(ret, in, "raised", allowed);
    ret->raise = in->captured > 0;
}

/* A dip that is three times worse than what was captured, whatever the watch compares with. */
static void worse(struct incidents *all, struct incident *in, const struct incident_event *e,
                  struct incident_decision *ret)
{
    double last = in->captured_ratio;
    const struct incident_memory *m = memory_of(all, in->target, in->rule);
    if (in->captured == 0 && m != NULL) {
        last = m->captured_ratio;
    }
    if (last > 0 && !is_worse(e->watch->counts.ratio, last)) {
        return;
    }
    in->grade = e->watch->grade > in->grade ? e->watch->grade : in->grade;
    in->counts = e->watch->counts;
    memcpy(in->summary, e->watch->summary, sizeof(in->summary));
    decide(ret, in, "worse", within_limits(all, in, true, e->watch->at_ms));
    ret->raise = in->captured > 0 && in->grade == WATCH_FULL;
}

/* The rule fires and an incident of it is open from before a restart. */
static void resumed(struct incidents *all, struct incident *in, const struct incident_event *e,
                    struct incident_decision *ret)
{
    in->restored = false;
    in->dips++;
    ret->changed = true;
    if (in->captured == 0) {
        int64_t left_ms =
            incident_cooldown_left(all, in->target, in->rule, e->cooldown_ms, e->watch->at_ms);
        in->grade = e->watch->grade > in->grade ? e->watch->grade : in->grade;
        decide(ret, in, "onset", left_ms == 0 && within_limits(all, in, false, e->watch->at_ms));
    } else if (e->watch->grade > in->grade) {
        raised(all, in, e, ret);
    } else if (is_worse(e->watch->counts.ratio, in->captured_ratio)) {
        worse(all, in, e, ret);
    }
}

void incident_take(struct incidents *all, const struct incident_event *e,
                   struct incident_decision *ret)
{
    *ret = (struct incident_decision){.changed = false};
    struct incident *in = open_of(all, e->target, e->rule);
    switch (e->watch->kind) {
    case WATCH_EVENT_PENDING:
        return;
    case WATCH_EVENT_FIRED:
        if (in != NULL) {
            resumed(all, in, e, ret);
        } else {
            fired(all, e, ret);
            in = &all->list[0];
        }
        break;
    case WATCH_EVENT_RAISED:
        if (in != NULL) {
            raised(all, in, e, ret);
        }
        break;
    case WATCH_EVENT_WORSE:
        if (in != NULL) {
            worse(all, in, e, ret);
        }
        break;
    case WATCH_EVENT_DIP:
        if (in != NULL) {
            in->dips++;
            ret->changed = true;
        }
        break;
    case WATCH_EVENT_RESOLVED:
        if (in != NULL) {
            in->open = false;
            in->resolved_ms = e->watch->at_ms;
            ret->changed = true;
            if (in->captured > 0) {
                remember(all, in);
            }
        }
        break;
    }
    if (in != NULL) {
        memcpy(ret->incident, in->id, sizeof(ret->incident));
    }
}

void incident_covered(struct incidents *all, const char *incident, double ratio)
{
    struct incident *in = find(all, incident);
    if (in != NULL && ratio > in->captured_ratio) {
        in->captured_ratio = ratio;
    }
}

void incident_captured(struct incidents *all, const char *incident, const char *target,
                       int64_t wall_ms, double ratio)
{
    struct incident *in = find(all, incident);
    if (in != NULL) {
        in->captured++;
    }
    incident_covered(all, incident, ratio);
    if (all->stamp_count == INCIDENT_STAMPS) {
        memmove(all->stamps, all->stamps + 1, (INCIDENT_STAMPS - 1) * sizeof(*all->stamps));
        all->stamp_count--;
    }
    all->stamps = xrealloc(all->stamps, all->stamp_count + 1, sizeof(*all->stamps));
    struct incident_stamp *s = &all->stamps[all->stamp_count++];
    *s = (struct incident_stamp){.at_ms = wall_ms};
    (void)snprintf(s->target, sizeof(s->target), "%s", target);
}

void incident_suppress(struct incidents *all, const char *incident, const char *why)
{
    struct incident *in = find(all, incident);
    if (in != NULL) {
        hold_back(all, in, "%s", why);
    }
}

bool incident_tick(struct incidents *all, int64_t (*quiet_ms)(const struct incident *in, void *arg),
                   void *arg, int64_t wall_ms)
{
    bool changed = false;
    for (size_t i = 0; i < all->count; i++) {
        struct incident *in = &all->list[i];
        if (in->open && in->restored && wall_ms - in->restored_ms >= quiet_ms(in, arg)) {
            in->open = false;
            in->restored = false;
            in->resolved_ms = wall_ms;
            changed = true;
            if (in->captured > 0) {
                remember(all, in);
            }
        }
    }
    return changed;
}
