/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h: the main process: holds what was granted, starts and restarts everything else.
 *
 * One thread, one epoll, no network, no YAML. It knows jobs (short-lived children it must answer
 * for), captures (staging folders by descriptor) and plans (the current one, and older ones that a
 * running capture still uses).
 *
 *   keeper.c          the loop, signals, the brain's life       keeper_jobs.c     children that
 * answer one request keeper_plan.c     loading and reloading the configuration   keeper_requests.c
 * what the brain may ask for                    keeper_found.c    which processes the targets are
 */
#ifndef WATCHDOG_KEEPER_H
#define WATCHDOG_KEEPER_H

#include "watchdog/child.h"
#include "watchdog/plan.h"
#include "watchdog/staging.h"
#include "watchdog/wire.h"

enum {
    KEEPER_JOBS_MAX = 128, /* four captures of some thirty collectors, and the sealers */
    KEEPER_CAPTURES_MAX = 16,
    KEEPER_PLANS_MAX = 4, /* reloads while captures run; one more is refused until one has ended */
    KEEPER_EXTRACTS_MAX = 16, /* downloads of single artifacts at once */
    KEEPER_LIVES = 4, /* processes that a target has been and a capture may still be about */
    KEEPER_SILENCE_MS = 15000, /* of the brain, before it is killed: a stuck disk takes its time */
    KEEPER_GRACE_MS = 2000,    /* between a deadline and SIGKILL; the promise of DESIGN.md */
};

struct keeper_plan {
    struct plan plan;
    int fd; /* -1: free slot */
    uint32_t generation;
};

struct keeper_capture {
    char id[LIMIT_ID_BYTES + 1]; /* "": free slot */
    int dir_fd;
    uint32_t generation;
};

struct keeper_job {
    struct child child; /* pid 0: free slot */
    int socket;         /* lifeline and answer of incidentd-collect, -1: none */
    bool answered;      /* `reply` came from the child */
    bool orphan;        /* nobody waits for the answer: the brain that asked is gone */
    bool killed;
    int64_t deadline_ms; /* monotonic: SIGKILL */
    int plan_fd;         /* RELOAD: the memfd that is being written */
    struct wire_message request;
    struct wire_message reply;
};

/* What FIND has answered for one target. */
struct keeper_found {
    char target[LIMIT_NAME_BYTES + 1]; /* "": free row */
    unsigned next;
    struct {
        int32_t pid; /* 0: none */
        uint64_t start_ticks;
    } lives[KEEPER_LIVES];
};

struct keeper {
    const char *config_path;
    char programs[PLAN_PATH_BYTES]; /* directory of the sister programs */
    int epoll_fd;
    int signal_fd;
    struct staging staging;
    struct account brain_account;
    struct account work_account;
    struct keeper_plan plans[KEEPER_PLANS_MAX];
    uint32_t generation;       /* of the current plan; 0: none yet */
    uint32_t loaded;           /* the last number given to a plan */
    uint32_t brain_generation; /* what the brain says it runs */
    struct keeper_capture captures[KEEPER_CAPTURES_MAX];
    struct keeper_job jobs[KEEPER_JOBS_MAX];
    struct keeper_found found[2 * LIMIT_TARGETS]; /* those of a plan and of the one before */
    bool load_again;                              /* a reload was asked for while one was loading */
    struct child brain;
    int brain_fd;
    int64_t brain_start_ms; /* when to start it next; 0: it runs */
    int64_t brain_backoff_ms;
    int64_t brain_alive_ms; /* last WIRE_ALIVE */
    int64_t watchdog_sent_ms;
    bool announced; /* READY=1 was sent */
    bool stopping;
    bool done;
    int64_t stop_by_ms;
    int exit_status;
};

/* What an epoll event belongs to: kind in the upper, index in the lower half of its data. */
enum keeper_source { KEEPER_SIGNAL, KEEPER_BRAIN, KEEPER_BRAIN_END, KEEPER_JOB, KEEPER_JOB_END };

/* Loads the configuration, starts the brain, and serves until told to stop. Returns the exit
 * status. */
int keeper_run(const char *config_path);
/* Watches `fd` for reading as (source, index). */
int keeper_watch(struct keeper *k, int fd, enum keeper_source source, uint32_t index,
                 struct error *err);
/* The pids that are ours and known; returns their count (at most KEEPER_JOBS_MAX + 1). */
size_t keeper_known(const struct keeper *k, pid_t *ret);

/* Kills what an ended child has left behind: processes whose parent we have become. */
void keeper_sweep(const struct keeper *k);

/* keeper_plan.c: starts incidentd-config; its end arrives at keeper_plan_loaded. `asked` is the
 * brain's request, answered when the plan is in force or refused; NULL: nobody waits. */
int keeper_plan_load(struct keeper *k, const struct wire_message *asked, struct error *err);
void keeper_plan_loaded(struct keeper *k, const struct keeper_job *job, int status);
/* As keeper_plan_load, for a running daemon: tells the service manager too. One at a time: while
 * one loads the brain's request is refused with -EBUSY, and one of the service manager is done
 * after it. */
int keeper_plan_reload(struct keeper *k, const struct wire_message *asked, struct error *err);
/* The brain cannot work with the current plan: the one it runs, of m->generation, becomes current
 * again. */
void keeper_plan_revert(struct keeper *k, const struct wire_message *m);
/* Sends the current plan with its secrets to the brain. */
void keeper_plan_send(struct keeper *k);
/* The plan of `generation` while it is held, or NULL. */
const struct keeper_plan *keeper_plan_of(const struct keeper *k, uint32_t generation);
/* Forgets plans that neither are current nor belong to a capture or job. */
void keeper_plan_prune(struct keeper *k);

/* keeper_jobs.c: a free job slot or NULL. */
struct keeper_job *keeper_job_new(struct keeper *k);
/* Starts `spec` as the job and watches it; on failure the slot is free again. */
int keeper_job_start(struct keeper *k, struct keeper_job *job, struct child_spec *spec,
                     int64_t timeout_ms, struct error *err);
int keeper_job_run(struct keeper *k, const struct wire_message *m, struct error *err);
int keeper_job_find(struct keeper *k, const struct wire_message *m, struct error *err);
int keeper_job_seal(struct keeper *k, const struct wire_message *m, const int *fds, size_t count,
                    struct error *err);
void keeper_job_cancel(struct keeper *k, uint64_t run_id);
/* Reads what a job's socket holds. */
void keeper_job_read(struct keeper *k, size_t index);
/* The job's child has ended: answers its request. */
void keeper_job_ended(struct keeper *k, size_t index);
/* Kills what is past its deadline; returns milliseconds to the next one, or -1. */
int64_t keeper_jobs_expire(struct keeper *k, int64_t now_ms);
/* Ends every job and answers nobody: the brain is gone. */
void keeper_jobs_abandon(struct keeper *k);
bool keeper_jobs_idle(const struct keeper *k);

/* keeper_found.c: is the message's (pid, start_ticks) one that its target has been? */
bool keeper_found_knows(struct keeper *k, const struct wire_message *m);
/* Keeps the answer of a FIND. */
void keeper_found_note(struct keeper *k, const struct wire_message *m);

/* keeper_requests.c: reads and serves what the brain has sent. */
void keeper_requests_serve(struct keeper *k);
/* Closes the brain's socket with all that still lies in it. */
void keeper_requests_end(struct keeper *k);
/* Answers `request` with `status` (and err's text when negative). */
void keeper_answer(struct keeper *k, const struct wire_message *request, int status,
                   const struct error *err);
/* Sends to the brain; a brain that does not read is killed and started anew. */
void keeper_send(struct keeper *k, const struct wire_message *m, const int *fds, size_t count);
struct keeper_capture *keeper_capture_find(struct keeper *k, const char *id);

#endif
