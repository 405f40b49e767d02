/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alert.h: the life of one rule: inactive -> pending -> firing -> resolved, with dips and grades.
 *
 * It knows nothing of counts: each evaluation is told whether things are bad, how bad, or that
 * nothing is known. Unknown is neither bad nor quiet: it holds every state, but a rule that fires
 * and learns nothing for keep_firing_for is resolved, since nobody can say that it still is bad.
 */
#ifndef RULES_ALERT_H
#define RULES_ALERT_H

#include "rules/watch.h"

enum { ALERT_EVENTS_MAX = 3 };

struct alert_input {
    bool known;
    bool bad;
    bool full;        /* of grade full */
    double ratio;     /* bad ratio now, 0 where the rule has none */
    int64_t onset_ms; /* of what is bad */
};

struct alert {
    enum watch_state state;
    enum watch_grade grade;
    int64_t since_ms;  /* last change of state */
    int64_t onset_ms;  /* of the pending or firing time */
    bool quiet;        /* while firing: the last known evaluation was quiet */
    int64_t quiet_ms;  /* since when it is quiet, or unknown */
    bool unknown;      /* the last evaluation was */
    double told_ratio; /* highest ratio that FIRED, RAISED or WORSE stood for */
};

/* One evaluation at now_ms. Writes what happened, in order, and returns how many. */
size_t alert_step(struct alert *a, const struct watch_rule *rule, const struct alert_input *in,
                  int64_t now_ms, enum watch_event_kind ret[ALERT_EVENTS_MAX]);

#endif
