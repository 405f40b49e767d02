/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incident.h: from changes of a rule's state to incidents, and to the question whether to capture.
 *
 * Pure: events and times in, decisions out; no clock, no file. An incident is one firing of a rule
 * on a target from onset to resolution; a dip within it is counted, not captured again. What holds
 * a capture back is always recorded with its reason:
 *
 *   cooldown   counted from the resolution of the rule's last captured incident; a dip at least
 *              three times worse than the last one captured passes
 *   limits     captures per incident, and per target in an hour and a day; one of the hourly slots
 *              is kept for a dip that is three times worse
 *
 * Both survive restarts. An incident that was open when we ended is taken up again: the rule firing
 * anew is another of its dips, and without that it resolves after the rule's quiet time.
 */
#ifndef WATCHDOG_INCIDENT_H
#define WATCHDOG_INCIDENT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "rules/watch.h"

enum {
    INCIDENT_KEPT = 200,   /* resolved ones remembered */
    INCIDENT_STAMPS = 512, /* captures remembered for the limits */
    INCIDENT_WORSE_FACTOR = 3,
};

struct incident {
    char id[LIMIT_ID_BYTES + 1]; /* of its first capture, made even when that is held back */
    char target[LIMIT_NAME_BYTES + 1];
    char rule[LIMIT_NAME_BYTES + 1];
    bool open;
    bool restored; /* open since before this start, and the rule has not fired since */
    enum watch_grade grade;
    int64_t onset_ms;
    int64_t trigger_ms;
    int64_t resolved_ms;
    int64_t restored_ms;
    unsigned dips;
    unsigned captured;
    unsigned suppressed;
    char suppressed_why[128];
    double captured_ratio; /* the worst ratio among its captures */
    struct watch_counts counts;
    char summary[320];
};

/* What outlives an incident for its rule. */
struct incident_memory {
    char target[LIMIT_NAME_BYTES + 1];
    char rule[LIMIT_NAME_BYTES + 1];
    int64_t resolved_ms; /* of its last captured incident; 0: never */
    double captured_ratio;
};

struct incident_stamp {
    char target[LIMIT_NAME_BYTES + 1];
    int64_t at_ms;
};

struct incident_limits {
    int64_t per_incident;
    int64_t per_hour;
    int64_t per_day;
};

struct incidents {
    struct incident *list; /* newest first; owned */
    size_t count;
    struct incident_memory *memories;
    size_t memory_count;
    struct incident_stamp *stamps; /* oldest first */
    size_t stamp_count;
    struct incident_limits limits;
    uint64_t suppressed_total;
};

struct incident_event {
    const char *target;
    const char *rule;
    int64_t cooldown_ms;
    const struct watch_event *watch;
    const char *new_id; /* the id a capture started now would get */
};

struct incident_decision {
    bool changed;    /* something a client sees or state.json keeps */
    bool capture;    /* start one now */
    bool raise;      /* a light capture of this incident that still runs becomes full */
    char reason[16]; /* "onset", "raised", "worse" */
    enum watch_grade grade;
    char incident[LIMIT_ID_BYTES + 1];
    char why[128]; /* why not, when it was held back */
};

/* Empty, with these limits. */
void incident_init(struct incidents *all, const struct incident_limits *limits);
/* Frees everything but the limits; `all` may be used again. */
void incident_release(struct incidents *all);

/* Takes one change of a rule's state. */
void incident_take(struct incidents *all, const struct incident_event *event,
                   struct incident_decision *ret);
/* A capture that still collects saw `ratio` too: less than three times that is not worse any more.
 */
void incident_covered(struct incidents *all, const char *incident, double ratio);
/* A capture that was decided on (or a manual one) has begun at wall_ms: counts against the limits.
 */
void incident_captured(struct incidents *all, const char *incident, const char *target,
                       int64_t wall_ms, double ratio);
/* A capture that was decided on does not happen after all. */
void incident_suppress(struct incidents *all, const char *incident, const char *why);
/* Resolves restored incidents whose rule stayed quiet for quiet_ms(incident). True when something
 * changed. */
bool incident_tick(struct incidents *all, int64_t (*quiet_ms)(const struct incident *in, void *arg),
                   void *arg, int64_t wall_ms);

/* The incident `id`, or NULL; valid until the next change. */
const struct incident *incident_find(const struct incidents *all, const char *id);
/* The open incident of the rule on the target, or NULL. */
const struct incident *incident_open_of(const struct incidents *all, const char *target,
                                        const char *rule);
int64_t incident_cooldown_left(const struct incidents *all, const char *target, const char *rule,
                               int64_t cooldown_ms, int64_t wall_ms);
/* Captures of `target` the limits still allow. */
int64_t incident_hour_left(const struct incidents *all, const char *target, int64_t wall_ms);
int64_t incident_day_left(const struct incidents *all, const char *target, int64_t wall_ms);

/* incident_save.c: as a JSON object, and back. Unknown members are ignored, garbage is -EINVAL and
 * leaves `all` as it was. `wall_ms` is now. */
void incident_save(const struct incidents *all, struct buf *out);
int incident_load(struct incidents *all, const char *json, int64_t wall_ms, struct error *err);

#endif
