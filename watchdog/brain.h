/* SPDX-License-Identifier: Apache-2.0 */
/*
 * brain.h: the loop that polls, decides, plans captures, keeps the store and answers the API.
 *
 *   brain.c           the process: plans, orders, the judge's events, ticks, the end
 *   brain_captures.c  when a capture may start, what runs, what was sealed, retention
 *   brain_commands.c  what the API asks for
 *   brain_targets.c   what the log says about targets
 *   brain_view.c      the published view and the own metrics
 */
#ifndef WATCHDOG_BRAIN_H
#define WATCHDOG_BRAIN_H

#include "watchdog/api.h"
#include "watchdog/capture.h"
#include "watchdog/incident.h"
#include "watchdog/judge.h"
#include "watchdog/recovery.h"
#include "watchdog/retention.h"
#include "watchdog/state.h"
#include "watchdog/view.h"

enum {
    BRAIN_COLLECTING_MAX = 4, /* captures that collect at once, of different targets */
    BRAIN_CAPTURES_MAX = 12,  /* all that are not cleaned up yet; incidentd has 16 slots */
};

struct brain_counters {
    uint64_t sealed;
    uint64_t partial;
    uint64_t lost;
    uint64_t troubles;
    uint64_t deleted;
    uint64_t reloads_failed;
    int64_t onset_last_ms;
};

/* What the log has said about a target. */
struct brain_seen {
    char name[LIMIT_NAME_BYTES + 1];
    char reason[sizeof(((struct error *)NULL)->message)];
    bool told;
    bool stretched;
    int64_t failing_ms; /* monotonic, 0: it does not fail */
    int64_t told_ms;
    int64_t stretch_told_ms;
};

struct brain {
    uv_loop_t *loop;
    struct link *link;
    int root_fd;
    struct store store;
    struct generation *generation;
    struct generation *previous; /* until libuv has let go of the judge before */
    struct judge *judge;
    struct incidents incidents;
    struct state_texts restored; /* until the first judge has read them */
    struct state_writer *state;
    struct api *api;
    struct api *api_before; /* until its last answers have left */
    bool relisten;          /* the same address with other options, due in the next tick */
    char listening[300];    /* what the API was started with */
    char reload_why[300];   /* the last refused reload */
    uv_async_t wake;
    uv_timer_t second;  /* WIRE_ALIVE, ticks */
    uv_timer_t publish; /* debounce of the view */
    bool publish_due;
    int64_t published_ms;
    struct capture_env env;
    struct capture *captures[BRAIN_CAPTURES_MAX];
    size_t capture_count;
    struct recovery *recovery;
    bool scanned;
    uv_work_t scan;
    struct store_index scan_index;
    uv_work_t disk_work;
    bool disk_busy;
    bool disk_again; /* something has changed since the figures that are being read */
    struct retention_disk disk;
    struct retention_disk disk_next;
    char instance[LIMIT_NAME_BYTES + 1];
    bool ready;
    bool stopping;
    bool ended;
    int64_t start_ms; /* wall */
    unsigned ticks;
    struct brain_seen seen[LIMIT_TARGETS];
    struct brain_counters counters;
};

/* Runs until incidentd says stop or is gone; returns the exit status. */
int brain_run(int wire_fd, int root_fd);

/* brain.c: something a client sees, or state.json keeps, has changed. */
void brain_changed(struct brain *b);
/* Ends the loop when nothing runs any more, while stopping. */
void brain_end_if_idle(struct brain *b);

/* brain_captures.c */
void brain_captures_init(struct brain *b);
/* A rule changed its state: incidents, and a capture where they say so. */
void brain_captures_event(struct brain *b, size_t target, const struct watch_event *event);
/* A capture on demand with the collectors of `rule` ("": auto). Returns 0 and its id, -ENOENT for
 * an unknown target or rule, -EBUSY while one runs on the target, -ENOSPC, -EAGAIN. */
int brain_captures_manual(struct brain *b, const char *target, const char *rule,
                          char ret_id[LIMIT_ID_BYTES + 1], struct error *err);
/* Ends collecting everywhere: sealed as partial. */
void brain_captures_stop(struct brain *b, const char *why);
struct capture *brain_captures_find(const struct brain *b, const char *id);
/* Deletes what the policy says must go, for a capture that needs `need_bytes` of disk (0: none) and
 * becomes a bundle of `bundle_bytes`. */
enum retention_verdict brain_captures_retain(struct brain *b, int64_t need_bytes,
                                             int64_t bundle_bytes);
/* Unlinks the files of a bundle in the thread pool and takes it out of the index. */
void brain_captures_delete(struct brain *b, const char *id);
/* Seals what a crash left, once the store has been read. */
void brain_captures_recover(struct brain *b);
/* Reads the file system's figures in the thread pool. */
void brain_captures_measure(struct brain *b);

/* brain_commands.c: starts the API for `g`. When it runs and its address changes, the new listener
 * is opened first and the old one closed in the next tick, so that a taken port changes nothing. */
int brain_commands_listen(struct brain *b, const struct generation *g, struct error *err);
void brain_commands_serve(struct brain *b);
/* Closes the listener of before, opens one anew whose options changed. */
void brain_commands_tick(struct brain *b);

/* brain_targets.c: logs what of the targets has changed since the last second. */
void brain_targets_log(struct brain *b);

/* brain_view.c: builds and publishes the view now. */
void brain_view_publish(struct brain *b);
/* One line for the service manager. */
void brain_view_status(const struct brain *b, char *out, size_t size);

#endif
