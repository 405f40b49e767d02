/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alert.c: the state machine of a rule.
 *
 * WORSE means three times the ratio that was told last. The first poll of a dip usually sees just
 * the end of an interval, so the next one is often WORSE: it is told all the same, because only the
 * receiver knows whether a capture runs that covers it, or one was held back that it justifies.
 */
#include "rules/alert.h"

#include <math.h>

static const double worse_factor = 3.0;

static void change(struct alert *a, enum watch_state state, int64_t now_ms)
{
    a->state = state;
    a->since_ms = now_ms;
    if (state == WATCH_INACTIVE) {
        a->grade = WATCH_NONE;
    }
}

static void tell(struct alert *a, const struct alert_input *in)
{
    a->told_ratio = fmax(a->told_ratio, in->ratio);
}

static enum watch_event_kind fire(struct alert *a, const struct alert_input *in, int64_t now_ms)
{
    change(a, WATCH_FIRING, now_ms);
    a->grade = in->full ? WATCH_FULL : WATCH_LIGHT;
    a->quiet = false;
    a->quiet_ms = 0;
    a->told_ratio = 0.0;
    tell(a, in);
    return WATCH_EVENT_FIRED;
}

static size_t step_idle(struct alert *a, const struct watch_rule *rule,
                        const struct alert_input *in, int64_t now_ms, enum watch_event_kind *ret)
{
    if (!in->known) {
        return 0;
    }
    if (!in->bad) {
        if (a->state == WATCH_STATE_PENDING) {
            change(a, WATCH_INACTIVE, now_ms);
        }
        return 0;
    }
    size_t count = 0;
    if (a->state == WATCH_INACTIVE) {
        a->onset_ms = in->onset_ms;
        if (rule->for_ms > 0) {
            change(a, WATCH_STATE_PENDING, now_ms);
            a->grade = in->full ? WATCH_FULL : WATCH_LIGHT;
            ret[count++] = WATCH_EVENT_PENDING;
        }
    }
    if (rule->for_ms <= 0 || now_ms - a->since_ms >= rule->for_ms) {
        ret[count++] = fire(a, in, now_ms);
    }
    return count;
}

static size_t step_bad(struct alert *a, const struct alert_input *in, enum watch_event_kind *ret)
{
    size_t count = 0;
    if (a->quiet) {
        ret[count++] = WATCH_EVENT_DIP;
    }
    a->quiet = false;
    a->quiet_ms = 0;
    if (in->full && a->grade == WATCH_LIGHT) {
        a->grade = WATCH_FULL;
        tell(a, in);
        ret[count++] = WATCH_EVENT_RAISED;
    } else if (a->told_ratio > 0.0 && in->ratio >= worse_factor * a->told_ratio) {
        tell(a, in);
        ret[count++] = WATCH_EVENT_WORSE;
    }
    return count;
}

size_t alert_step(struct alert *a, const struct watch_rule *rule, const struct alert_input *in,
                  int64_t now_ms, enum watch_event_kind ret[ALERT_EVENTS_MAX])
{
    a->unknown = !in->known;
    if (a->state != WATCH_FIRING) {
        return step_idle(a, rule, in, now_ms, ret);
    }
    if (in->known && in->bad) {
        return step_bad(a, in, ret);
    }
    a->quiet = a->quiet || in->known;
    a->quiet_ms = a->quiet_ms == 0 ? now_ms : a->quiet_ms;
    if (now_ms - a->quiet_ms < rule->keep_firing_for_ms) {
        return 0;
    }
    change(a, WATCH_INACTIVE, now_ms);
    ret[0] = WATCH_EVENT_RESOLVED;
    return 1;
}
