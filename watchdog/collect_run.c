/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor of one collector run: it knows the deadline, the identity of the target and the
 * staging folder, and nothing of what any collector does. probe() and plan() describe, collect_step
 * carries out, collect_job ends what does not end by itself.
 *
 * It is a process per run so that it may be subreaper and kill every child it has, and so that its
 * own end, however it comes, ends one collector only. The promise is that within two seconds of our
 * death no target is stopped and no orphan lives: tools die with us by PDEATHSIG, a dead tracer's
 * tracees go on, and what escaped both re-parents to incidentd, which kills strays.
 */
#include "watchdog/collect_run.h"

#include "base/clock.h"
#include "base/fs.h"
#include "watchdog/collect_step.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>

enum {
    PLAN_ARENA_BYTES = 4 << 20,
    DEFAULT_MAX_BYTES = 64 << 20,
    FREE_SHARE =
        4, /* one artifact takes at most a quarter of the free disk: the bundle comes too */
    LEAST_BYTES = 64 << 10,
};

struct run {
    struct collect_request request;
    const struct collector *kind;
    const struct collector_config *config;
    struct collector_target target;
    struct collect_steps steps;
    struct collect_meta meta;
    bool idle; /* the collector has no step in this phase */
    struct arena plan_arena;
    int64_t started_ms;
};

static int open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The target as the plan functions may see it. A process that is gone is no error: what can be had
 * without it is still evidence. */
static void describe_target(struct run *r)
{
    const struct wire_message *m = &r->request.message;
    const struct config_target *t = config_target_at(&r->request.config, m->target);
    r->target = (struct collector_target){.name = t->name, .pprof = t->pprof, .logs = t->logs};
    r->steps.pidfd = m->pid > 0 ? child_open_identity(m->pid, m->start_ticks) : -1;
    r->target.runtime = (enum collector_runtime)t->runtime;
    if (r->steps.pidfd >= 0) {
        r->target.pid = m->pid;
        r->target.start_ticks = m->start_ticks;
    }
}

static int choose(struct run *r, struct error *err)
{
    const struct wire_message *m = &r->request.message;
    if (m->collector >= r->request.config.collectors.count || m->phase >= COLLECTOR_PHASES) {
        return error_set(err, -EINVAL, "the plan has no such collector or phase");
    }
    r->config = config_collector_at(&r->request.config, m->collector);
    r->kind = collector_find(r->config->type);
    if (r->kind == NULL) {
        return error_set(err, -EINVAL, "there is no collector of type '%s'", r->config->type);
    }
    if (r->kind->cost == COLLECTOR_PAUSING && !r->config->allow_pause) {
        return error_set(err, -EPERM, "allow_pause is not set");
    }
    return 0;
}

/* Opens artifacts/<collector> and the meta file. */
static int open_folders(struct run *r, struct error *err)
{
    AUTO_CLOSE int artifacts = fs_make_dir(COLLECT_STAGING_FD, "artifacts", 0700, err);
    if (artifacts < 0) {
        return artifacts;
    }
    r->steps.folder_fd = fs_make_dir(artifacts, r->config->name, 0700, err);
    if (r->steps.folder_fd < 0) {
        return r->steps.folder_fd;
    }
    /* Whoever uses ptrace locks the folder of all stagings: it is private to our account. */
    r->steps.lock_fd = openat(COLLECT_STAGING_FD, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    collect_file_scan(r->steps.folder_fd, &r->steps.seen, NULL, NULL);
    return collect_meta_open(COLLECT_STAGING_FD, r->request.message.run, r->config,
                             (enum collector_phase)r->request.message.phase, &r->meta, err);
}

static enum wire_outcome judge(const struct run *r, bool interrupted)
{
    const unsigned *n = r->meta.counts;
    unsigned good = n[COLLECT_OK] + n[COLLECT_EMPTY];
    if (interrupted) {
        return WIRE_INTERRUPTED;
    }
    if (r->steps.timed_out) {
        return WIRE_TIMED_OUT;
    }
    if (n[COLLECT_FAILED] + n[COLLECT_PARTIAL] > 0) {
        return good + n[COLLECT_PARTIAL] > 0 ? WIRE_PARTIAL : WIRE_FAILED;
    }
    return good > 0 || n[COLLECT_SKIPPED] == 0 ? WIRE_DONE : WIRE_SKIPPED;
}

/* Asks the collector and does what it says; the outcome. */
static enum wire_outcome carry_out(struct run *r, char *text, size_t size)
{
    struct collector_probe probe = {.available = true};
    struct collector_plan *plan = xcalloc(1, sizeof(*plan));
    struct error err = ERROR_INIT;
    enum wire_outcome outcome = WIRE_SKIPPED;
    plan->arena = &r->plan_arena;
    if (r->kind->probe != NULL) {
        r->kind->probe(&r->target, r->config, &probe);
    }
    if (!probe.available) {
        (void)snprintf(text, size, "%s%s%s", probe.reason, probe.remedy[0] != '\0' ? ": " : "",
                       probe.remedy);
    } else if (r->kind->plan(&r->target, r->config, (enum collector_phase)r->request.message.phase,
                             plan, &err) < 0) {
        (void)error_text(&err, text, size);
        outcome = WIRE_FAILED;
    } else {
        int rc = 0;
        r->idle = plan->count == 0;
        for (size_t i = 0; i < plan->count && rc == 0; i++) {
            rc = collect_step_run(&r->steps, &plan->steps[i]);
        }
        outcome = judge(r, rc == -EINTR);
        const char *why = r->meta.problem;
        why = outcome == WIRE_INTERRUPTED && why[0] == '\0' ? "interrupted" : why;
        (void)snprintf(text, size, "%s", outcome == WIRE_DONE ? "" : why);
    }
    free(plan);
    return outcome;
}

/* `wanted`, or what the disk below staging allows. */
static int64_t affordable(int64_t wanted)
{
    struct statvfs v = {0};
    if (fstatvfs(COLLECT_STAGING_FD, &v) < 0 || v.f_blocks == 0) {
        return wanted;
    }
    int64_t most = (int64_t)v.f_bavail * (int64_t)v.f_frsize / FREE_SHARE;
    most = most > LEAST_BYTES ? most : LEAST_BYTES;
    return wanted < most ? wanted : most;
}

static int prepare(struct run *r, struct error *err)
{
    int rc = collect_request_read(WIRE_RUN, &r->request, err);
    if (rc < 0) {
        return rc;
    }
    r->started_ms = clock_mono_ms();
    rc = choose(r, err);
    if (rc < 0) {
        return rc;
    }
    describe_target(r);
    int64_t deadline_ms =
        r->config->deadline_ms > 0 ? r->config->deadline_ms : r->kind->deadline_ms;
    r->steps.config = r->config;
    r->steps.target = &r->target;
    r->steps.meta = &r->meta;
    r->steps.max_bytes =
        affordable(r->config->max_bytes > 0 ? r->config->max_bytes : DEFAULT_MAX_BYTES);
    r->steps.end_ms = r->started_ms + deadline_ms;
    r->steps.control =
        (struct collect_control){.lifeline_fd = COLLECT_WIRE_FD, .signal_fd = open_signals()};
    return open_folders(r, err);
}

static void release(struct run *r)
{
    int fds[] = {r->steps.pidfd, r->steps.folder_fd, r->steps.lock_fd, r->steps.control.signal_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    collect_file_set_release(&r->steps.seen);
    collect_request_release(&r->request);
    arena_release(&r->plan_arena);
}

int collect_run_main(void)
{
    struct run r = {.meta = COLLECT_META_INIT,
                    .plan_arena = ARENA_INIT(PLAN_ARENA_BYTES),
                    .steps = {.pidfd = -1,
                              .folder_fd = -1,
                              .lock_fd = -1,
                              .control = {.lifeline_fd = -1, .signal_fd = -1}}};
    struct error err = ERROR_INIT;
    struct wire_message answer = {.outcome = WIRE_FAILED};
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int rc = prepare(&r, &err);
    if (rc < 0) {
        answer.status = 0;
        answer.outcome = rc == -EPERM ? WIRE_SKIPPED : WIRE_FAILED;
        (void)error_text(&err, answer.text, sizeof(answer.text));
    } else {
        answer.outcome = (uint32_t)carry_out(&r, answer.text, sizeof(answer.text));
    }
    (void)child_kill_strays(NULL, 0);
    if (r.idle) {
        collect_meta_drop(&r.meta, COLLECT_STAGING_FD);
    }
    collect_meta_end(&r.meta, (enum wire_outcome)answer.outcome, answer.text);
    answer.started_ms = r.started_ms;
    answer.ended_ms = clock_mono_ms();
    collect_request_answer(&r.request, &answer);
    bool orphaned = r.steps.control.orphaned;
    release(&r);
    return orphaned ? 1 : 0;
}
