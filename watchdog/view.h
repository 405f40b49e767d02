/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h: what the HTTP thread may see: an immutable, reference-counted picture that the loop
 * publishes.
 *
 * The loop builds a new view whenever something a client could ask for has changed (at most some
 * times a second) and publishes it; the HTTP thread acquires the current one for the length of a
 * request. Nothing in a published view ever changes, so neither side waits for the other.
 */
#ifndef WATCHDOG_VIEW_H
#define WATCHDOG_VIEW_H

#include "base/base.h"
#include "base/limits.h"
#include "rules/watch.h"

enum view_capture_state { VIEW_CAPTURING, VIEW_SEALING, VIEW_SEALED, VIEW_PARTIAL, VIEW_LOST };

struct view_capture {
    char id[LIMIT_ID_BYTES + 1]; /* bundle name without ".tar.zst" */
    char incident[LIMIT_ID_BYTES + 1];
    char target[LIMIT_NAME_BYTES + 1];
    char rule[LIMIT_NAME_BYTES + 1];
    char reason[16]; /* "onset", "raised", "worse", "manual" */
    enum view_capture_state state;
    enum watch_grade grade;
    int64_t onset_ms;   /* wall */
    int64_t trigger_ms; /* wall */
    int64_t sealed_ms;  /* wall, 0 while open */
    int64_t size_bytes; /* of the bundle, 0 while open */
    char sha256[65];    /* hex, "" while open */
    bool pinned;
    char summary[320];
};

struct view_incident {
    char id[LIMIT_ID_BYTES + 1]; /* id of its first capture */
    char target[LIMIT_NAME_BYTES + 1];
    char rule[LIMIT_NAME_BYTES + 1];
    bool open;
    enum watch_grade grade;
    int64_t onset_ms;
    int64_t trigger_ms;
    int64_t resolved_ms; /* 0 while open */
    unsigned dips;
    unsigned suppressed;        /* captures that cooldown or a limit held back */
    char suppressed_why[128];   /* the last reason, "" when none */
    struct watch_counts counts; /* those that fired */
    char summary[320];
};

struct view_rule {
    char target[LIMIT_NAME_BYTES + 1];
    char rule[LIMIT_NAME_BYTES + 1];
    struct watch_status status;
    int64_t cooldown_left_ms;
    int64_t hour_left; /* captures the limits still allow */
    int64_t day_left;
    bool held;         /* startup grace or draining */
    char capture[256]; /* collectors it fires, comma-separated, after `auto` was resolved */
};

struct view_target {
    char name[LIMIT_NAME_BYTES + 1];
    int pid; /* 0: not found */
    char runtime[16];
    bool up;             /* last poll succeeded */
    int64_t polled_ms;   /* wall time of the last poll, 0: never */
    int64_t interval_ms; /* as stretched */
    char error[256];     /* of the last poll or search, "" when none */
};

struct view {
    int references; /* managed by view_*, atomically */
    int64_t made_ms;
    bool ready;
    char status[256];
    struct view_capture *captures; /* newest first */
    size_t capture_count;
    struct view_incident *incidents; /* newest first */
    size_t incident_count;
    struct view_rule *rules;
    size_t rule_count;
    struct view_target *targets;
    size_t target_count;
    char bundles_path[512]; /* absolute folder of the bundles on this host, "": unknown */
    char *metrics;          /* own metrics page in the text format; owned */
};

/* A new view with one reference, everything zero; the arrays are the view's and freed with it. */
struct view *view_new(void);
/* Makes `v` the current one and drops the reference of the one before; takes the caller's
 * reference. */
void view_publish(struct view *v);
/* The current view with a reference added, NULL before the first view_publish. Any thread. */
struct view *view_acquire(void);
void view_release(struct view *v);

/* "latest" or an id, or a unique prefix of one: the capture, or NULL. */
const struct view_capture *view_capture_find(const struct view *v, const char *id);
const struct view_incident *view_incident_find(const struct view *v, const char *id);
const char *view_capture_state_name(enum view_capture_state state);
const char *view_grade_name(enum watch_grade grade); /* "none", "light", "full" */

#endif
