/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h: one capture from its trigger to its listed bundle, as requests over the link.
 *
 *   journal (fsync) -> BEGIN, ADD trigger.json -> phases of RUNs -> ADD base.json -> EXPLAIN,
 *   ADD report.json -> PACK -> verify, side files, rename (publish.h) -> journal removed -> DISCARD
 *
 * The trigger is on disk before the first collector starts, except on a disk that takes longer than
 * JOURNAL_PATIENCE_MS for one fsync: then evidence goes first, since a sick disk may be the very
 * incident. All RUNs of a phase are sent at once; TRACE is one at a time. Each run has a deadline
 * here too, and the whole collecting ends in time for the bundle to be sealed within 30 s.
 *
 * Every step may be repeated: a crash anywhere leaves a journal or a staging folder, and
 * recovery.c enters the second half with what lies there.
 *
 *   capture.c   journal and phases       capture_seal.c   everything after them
 */
#ifndef WATCHDOG_CAPTURE_H
#define WATCHDOG_CAPTURE_H

#include "watchdog/facts.h"
#include "watchdog/generation.h"
#include "watchdog/journal.h"
#include "watchdog/link.h"
#include "watchdog/store.h"

struct capture;

enum capture_stage {
    CAPTURE_QUEUED, /* journalled, waits for capture_begin */
    CAPTURE_COLLECTING,
    CAPTURE_SEALING,
    CAPTURE_LISTED, /* cleaning up behind itself */
    CAPTURE_LOST,   /* could not be sealed: staging and journal are kept for the next start */
};

/* What a capture stands on and whom it tells. All calls come on the loop. */
struct capture_env {
    uv_loop_t *loop;
    struct link *link;
    int bundles_fd;
    int journal_fd;
    /* Something a client sees has changed. */
    void (*changed)(struct capture *c, void *arg);
    /* No collector runs any more: another capture of the target may begin. */
    void (*collected)(struct capture *c, void *arg);
    /* It is listed (err NULL), or was lost (entry NULL). */
    void (*sealed)(struct capture *c, const struct store_entry *entry, const struct error *err,
                   void *arg);
    /* A problem that costs part of the evidence, for the log. */
    void (*trouble)(struct capture *c, const char *what, void *arg);
    /* Nothing is left to do; freed after this call. */
    void (*ended)(struct capture *c, void *arg);
    void *arg;
};

struct capture_run {
    struct capture *capture;
    uint64_t request; /* 0: slot not in use */
    uint32_t collector;
    uint32_t phase;
    int64_t deadline_ms; /* monotonic: CANCEL, then given up */
    bool cancelled;
};

enum { CAPTURE_RUNS_MAX = LIMIT_COLLECTORS };

struct capture_seal {
    int status; /* of the sealer's answer */
    char text[512];
    int out_fd; /* memfd of EXPLAIN, output of PACK */
    int pipe_fd;
    uv_poll_t *poll;
    struct buf said;
    unsigned packs; /* attempts */
    char *report;
    size_t report_len;
    uv_work_t work;
    struct store_entry entry;
    int published;
    struct error err;
};

struct capture {
    const struct capture_env *env;
    unsigned references; /* requests under way, pool work, the owner */
    enum capture_stage stage;
    struct generation *generation;
    uint32_t target;     /* index in the generation */
    struct facts *facts; /* NULL for a recovered one */
    char id[LIMIT_ID_BYTES + 1];
    char *base;  /* base.json as it will be added; recovery gives it */
    bool orphan; /* `base` is made of the name alone: it yields to any other in staging */
    struct journal_writer *journal;
    bool journalled; /* the trigger is durable, or waiting for it was given up */
    bool allowed;    /* capture_begin was called */
    bool stopping;
    bool failed; /* staging could not be made */
    uint32_t collectors[LIMIT_COLLECTORS];
    bool listed[LIMIT_COLLECTORS];
    size_t collector_count;
    unsigned last_phase; /* phases after this one are refused (disk space) */
    unsigned phase;
    size_t trace_next;
    struct capture_run runs[CAPTURE_RUNS_MAX];
    size_t running;
    uint32_t run_number;
    int64_t fired_mono_ms;     /* when the rule fired */
    int64_t first_run_mono_ms; /* when the first RUN was sent, 0: not yet */
    int64_t give_up_ms;        /* monotonic: collecting ends */
    uv_timer_t *timer;
    struct capture_seal seal;
    void *owner; /* the owner's */
};

struct capture_request {
    struct generation *generation; /* a reference is taken */
    uint32_t target;
    const struct schema_strings *capture; /* collectors of the rule */
    enum collector_runtime runtime;
    bool no_http;    /* the target does not answer: kinds that need HTTP are left out */
    bool light_only; /* disk space: phases after DUMP are refused with `light_why` */
    const char *light_why;
    const struct facts *facts; /* copied */
};

/* Writes the journal and waits for capture_begin. `env` outlives it. Never NULL. */
struct capture *capture_new(const struct capture_env *env, const struct capture_request *q);
/* It may collect now. */
void capture_begin(struct capture *c);
/* Light becomes full while it collects: true when it could. */
bool capture_raise(struct capture *c, const struct watch_event *event);
/* Ends collecting now and seals what there is as partial, because of `why`. */
void capture_stop(struct capture *c, const char *why);
/* Seals what a crash left: `base` is base.json (marked partial already), or with `orphan` the stub
 * for a capture without any; `journal` may be NULL. */
struct capture *capture_recover(const struct capture_env *env, struct generation *generation,
                                const char *id, const char *base, bool orphan,
                                struct journal_writer *journal);

/* Between capture.c and capture_seal.c. */
void capture_hold(struct capture *c);
void capture_release(struct capture *c);
/* A request of this capture under its own generation; holds a reference until answered. */
uint64_t capture_send(struct capture *c, struct wire_message *m, const int *fds, size_t count,
                      link_answer *answer, void *arg);
/* ADDs `text` as `name`; an existing one is success. */
void capture_add(struct capture *c, const char *name, const char *text, size_t len);
void capture_journal(struct capture *c, const char *step, const char *text);
/* capture_seal.c: base.json, explain, pack, publish. c->base is set. */
void capture_seal_start(struct capture *c);

#endif
