/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "watchdog/notify.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_LAST_MS = 5000,
    BRAIN_LATE_MS = 3000,   /* its loop sends WIRE_ALIVE each second */
    SOCKET_BYTES = 1 << 20, /* some hundred messages */
    TICK_MS = 5000,
};

int keeper_watch(struct keeper *k, int fd, enum keeper_source source, uint32_t index,
                 struct error *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | index};
    if (epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot watch a descriptor");
    }
    return 0;
}

size_t keeper_known(const struct keeper *k, pid_t *ret)
{
    size_t count = 0;
    if (k->brain.pid > 0) {
        ret[count++] = k->brain.pid;
    }
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        if (k->jobs[i].child.pid > 0) {
            ret[count++] = k->jobs[i].child.pid;
        }
    }
    return count;
}

void keeper_sweep(const struct keeper *k)
{
    pid_t known[KEEPER_JOBS_MAX + 1];
    size_t count = keeper_known(k, known);
    unsigned killed = child_kill_strays(known, count);
    if (killed > 0) {
        log_warn("%u processes were left behind, killed", killed);
    }
}

static int start_brain(struct keeper *k, struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot make the brain's socket");
    }
    AUTO_CLOSE int ours = pair[0];
    AUTO_CLOSE int theirs = pair[1];
    const int bytes = SOCKET_BYTES;
    (void)setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    (void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    char path[PLAN_PATH_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/incidentd-brain", k->programs);
    const char *const argv[] = {"incidentd-brain", NULL};
    struct child_spec spec;
    child_spec_init(&spec);
    spec.path = path;
    spec.argv = argv;
    spec.fds[1] = spec.fds[2] = STDERR_FILENO;
    spec.fds[3] = theirs;
    spec.fds[4] = k->staging.store_fd;
    spec.fd_count = 5;
    spec.uid = k->brain_account.uid;
    spec.gid = k->brain_account.gid;
    int rc = child_start(&spec, &k->brain, err);
    if (rc == 0) {
        k->brain_fd = take_fd(&ours);
        rc = keeper_watch(k, k->brain_fd, KEEPER_BRAIN, 0, err);
    }
    if (rc == 0) {
        rc = keeper_watch(k, k->brain.pidfd, KEEPER_BRAIN_END, 0, err);
    }
    if (rc == 0) {
        k->brain_start_ms = 0;
        k->brain_alive_ms = clock_mono_ms();
        k->brain_generation = k->generation;
        keeper_plan_send(k);
    }
    return rc;
}

static void schedule_brain(struct keeper *k, int64_t now_ms)
{
    k->brain_backoff_ms = k->brain_backoff_ms == 0 ? BACKOFF_FIRST_MS : k->brain_backoff_ms * 2;
    if (k->brain_backoff_ms > BACKOFF_LAST_MS) {
        k->brain_backoff_ms = BACKOFF_LAST_MS;
    }
    k->brain_start_ms = now_ms + k->brain_backoff_ms;
}

static void brain_ended(struct keeper *k)
{
    int status = 0;
    if (child_reap(&k->brain, &status) == 0) {
        return;
    }
    keeper_requests_serve(k);
    keeper_requests_end(k);
    keeper_sweep(k);
    keeper_jobs_abandon(k);
    char text[64];
    (void)child_status_text(status, text, sizeof(text));
    if (k->stopping) {
        log_info("the brain has ended: %s", text);
        return;
    }
    if (!k->announced &&
        WIFEXITED(status)) { /* it said why: a port in use, a store it cannot read */
        k->done = true;
        k->exit_status = 1;
        return;
    }
    schedule_brain(k, clock_mono_ms());
    log_error("the brain has ended: %s, starting it anew in %lld ms", text,
              (long long)k->brain_backoff_ms);
}

static void stop(struct keeper *k)
{
    if (k->stopping) {
        return;
    }
    k->stopping = true;
    const struct keeper_plan *plan = keeper_plan_of(k, k->generation);
    int64_t timeout_ms = plan == NULL ? 0 : plan->plan.head->shutdown_timeout_ms;
    k->stop_by_ms = clock_mono_ms() + timeout_ms;
    notify_send("STOPPING=1\nSTATUS=sealing what runs");
    log_info("stopping: what runs is sealed within %lld ms", (long long)timeout_ms);
    struct wire_message m = {.type = WIRE_STOP};
    keeper_send(k, &m, NULL, 0);
}

static void reload(struct keeper *k)
{
    struct error err = ERROR_INIT;
    if (!k->stopping && k->generation != 0) {
        (void)keeper_plan_reload(k, NULL, &err);
    }
}

static void signal_arrived(struct keeper *k)
{
    struct signalfd_siginfo info;
    while (read(k->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            reload(k);
        } else if (info.ssi_signo == SIGCHLD) {
            pid_t known[KEEPER_JOBS_MAX + 1];
            child_reap_strays(known, keeper_known(k, known));
        } else {
            stop(k);
        }
    }
}

static void dispatch(struct keeper *k, uint64_t data)
{
    uint32_t index = (uint32_t)data;
    switch ((enum keeper_source)(data >> 32)) {
    case KEEPER_SIGNAL:
        signal_arrived(k);
        break;
    case KEEPER_BRAIN:
        keeper_requests_serve(k);
        break;
    case KEEPER_BRAIN_END:
        brain_ended(k);
        break;
    case KEEPER_JOB:
        keeper_job_read(k, index);
        break;
    case KEEPER_JOB_END:
        keeper_job_ended(k, index);
        break;
    }
}

/* The service manager's watchdog is fed only while the brain's loop turns. Returns when to look
 * next. */
static int64_t feed_watchdog(struct keeper *k, int64_t now_ms)
{
    int64_t every_ms = notify_watchdog_ms();
    int64_t silent_ms = now_ms - k->brain_alive_ms;
    bool turning = k->brain.pid > 0 && silent_ms < BRAIN_LATE_MS;
    if (every_ms > 0 && turning && now_ms - k->watchdog_sent_ms >= every_ms) {
        notify_send("WATCHDOG=1");
        k->watchdog_sent_ms = now_ms;
    }
    if (k->brain.pid > 0 && silent_ms >= KEEPER_SILENCE_MS) {
        log_error("the brain has been silent for %d s, killing it", KEEPER_SILENCE_MS / 1000);
        k->brain_alive_ms = now_ms;
        child_signal(&k->brain, SIGKILL);
    }
    return every_ms > 0 && turning ? k->watchdog_sent_ms + every_ms - now_ms : TICK_MS;
}

static int64_t sooner(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* While stopping: ends when nothing runs any more, kills a brain past its time. */
static int64_t stop_due(struct keeper *k, int64_t now_ms)
{
    if (k->brain.pid == 0 && keeper_jobs_idle(k)) {
        k->done = true;
    } else if (now_ms >= k->stop_by_ms) {
        child_signal(&k->brain, SIGKILL);
        k->stop_by_ms = now_ms + TICK_MS;
    }
    return k->stop_by_ms - now_ms;
}

/* Starts the brain when it is time and nothing of the one before still runs. */
static int64_t brain_due(struct keeper *k, int64_t now_ms)
{
    if (k->brain_start_ms == 0 || !keeper_jobs_idle(k)) {
        return TICK_MS;
    }
    if (k->brain_start_ms > now_ms) {
        return k->brain_start_ms - now_ms;
    }
    struct error err = ERROR_INIT;
    if (start_brain(k, &err) < 0) {
        log_err(LOG_LEVEL_ERROR, &err, "cannot start the brain");
        if (!k->announced && err.code == -ENOENT) { /* an incomplete installation does not heal */
            k->done = true;
            k->exit_status = 1;
        }
        schedule_brain(k, now_ms);
        return k->brain_backoff_ms;
    }
    return TICK_MS;
}

/* Does what is due; returns how long epoll may wait. */
static int64_t do_due(struct keeper *k)
{
    int64_t now_ms = clock_mono_ms();
    int64_t wait_ms = TICK_MS;
    int64_t jobs_ms = keeper_jobs_expire(k, now_ms);
    wait_ms = sooner(wait_ms, feed_watchdog(k, now_ms));
    wait_ms = jobs_ms < 0 ? wait_ms : sooner(wait_ms, jobs_ms);
    return sooner(wait_ms, k->stopping ? stop_due(k, now_ms) : brain_due(k, now_ms));
}

static int open_sources(struct keeper *k, struct error *err)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        (void)sigaddset(&signals, wanted[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    k->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (k->epoll_fd < 0 || k->signal_fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot set up the loop");
    }
    return keeper_watch(k, k->signal_fd, KEEPER_SIGNAL, 0, err);
}

static void loop(struct keeper *k)
{
    while (!k->done) {
        int64_t wait_ms = do_due(k);
        if (k->done) {
            break;
        }
        struct epoll_event events[32];
        int n = epoll_wait(k->epoll_fd, events, ARRAY_LEN(events), (int)wait_ms);
        for (int i = 0; i < n; i++) {
            dispatch(k, events[i].data.u64);
        }
    }
    pid_t known[KEEPER_JOBS_MAX + 1];
    (void)child_kill_strays(known, 0);
    staging_close(&k->staging);
}

int keeper_run(const char *config_path)
{
    static struct keeper k; /* some 200 KB: not on the stack */
    k.config_path = config_path;
    k.brain = (struct child)CHILD_INIT;
    k.brain_fd = -1;
    k.staging = (struct staging)STAGING_INIT;
    for (size_t i = 0; i < KEEPER_PLANS_MAX; i++) {
        k.plans[i].fd = -1;
    }
    struct error err = ERROR_INIT;
    int rc = open_sources(&k, &err);
    if (rc == 0) {
        rc = child_own_dir(k.programs, sizeof(k.programs), &err);
    }
    if (rc == 0) {
        rc = keeper_plan_load(&k, NULL, &err);
    }
    if (rc < 0) {
        log_err(LOG_LEVEL_ERROR, &err, "cannot start");
        return 1;
    }
    loop(&k);
    return k.exit_status;
}
