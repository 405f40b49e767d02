/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_jobs.c: every child that answers one request of the brain.
 *
 * incidentd-collect has a deadline of its own and answers over its socket, which is its lifeline
 * too; the deadline here is the outer one, KEEPER_GRACE_MS later, and ends in SIGKILL and a sweep
 * of strays. A sealer has just the exit status to answer with; what it found went to the brain's
 * status pipe.
 */
#include "watchdog/keeper.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    FIND_TIMEOUT_MS = 3000,
    EXPLAIN_TIMEOUT_MS = 15000,
    PACK_TIMEOUT_MS = 300000,
    EXTRACT_TIMEOUT_MS = 60000,
    /* Address space, not resident: libarchive maps ICU's tables. It fails in malloc long before the
       cgroup does. */
    SEALER_MEMORY_BYTES = 512 << 20,
    LOW_PRIORITY = 10,
};

struct keeper_job *keeper_job_new(struct keeper *k)
{
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        struct keeper_job *job = &k->jobs[i];
        if (job->child.pid == 0) {
            *job = (struct keeper_job){.child = CHILD_INIT, .socket = -1, .plan_fd = -1};
            return job;
        }
    }
    return NULL;
}

static void release(struct keeper_job *job)
{
    if (job->socket >= 0) {
        (void)close(take_fd(&job->socket));
    }
    if (job->plan_fd >= 0) {
        (void)close(take_fd(&job->plan_fd));
    }
    if (job->child.pidfd >= 0) {
        (void)close(take_fd(&job->child.pidfd));
    }
    job->child.pid = 0;
}

int keeper_job_start(struct keeper *k, struct keeper_job *job, struct child_spec *spec,
                     int64_t timeout_ms, struct error *err)
{
    uint32_t index = (uint32_t)(job - k->jobs);
    int rc = child_start(spec, &job->child, err);
    if (rc == 0 && job->socket >= 0) {
        rc = keeper_watch(k, job->socket, KEEPER_JOB, index, err);
    }
    if (rc == 0) {
        rc = keeper_watch(k, job->child.pidfd, KEEPER_JOB_END, index, err);
    }
    if (rc < 0) {
        if (job->child.pid > 0) {
            child_signal(&job->child, SIGKILL);
            (void)waitpid(job->child.pid, NULL, 0);
        }
        release(job);
        return rc;
    }
    job->deadline_ms = clock_mono_ms() + timeout_ms;
    return 0;
}

/* incidentd-collect with a fresh socket as descriptor 5, and the request already in it. `wanted`
 * gives the capabilities and descriptor 4. */
static int start_collect(struct keeper *k, const struct wire_message *m, const char *mode,
                         const struct child_spec *wanted, int64_t timeout_ms, struct error *err)
{
    struct keeper_job *job = keeper_job_new(k);
    int pair[2];
    if (job == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return error_set(err, -EAGAIN, "too many collectors run at once");
    }
    AUTO_CLOSE int theirs = pair[1];
    job->socket = pair[0];
    job->request = *m;
    int rc = wire_send(job->socket, m, NULL, 0, err);
    if (rc < 0) {
        release(job);
        return rc;
    }
    char path[PLAN_PATH_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/incidentd-collect", k->programs);
    const char *const argv[] = {"incidentd-collect", mode, NULL};
    struct child_spec spec = *wanted;
    spec.path = path;
    spec.argv = argv;
    spec.fds[2] = STDERR_FILENO;
    spec.fds[3] = keeper_plan_of(k, m->generation)->fd;
    spec.fds[5] = theirs;
    spec.fd_count = 6;
    spec.uid = k->work_account.uid;
    spec.gid = k->work_account.gid;
    spec.subreaper = true;
    spec.new_group = true;
    spec.death_signal =
        0; /* it outlives us just long enough to end its tree: the socket tells it */
    return keeper_job_start(k, job, &spec, timeout_ms, err);
}

/* Jobs that do, or did and have not ended, what `m` asks for: a second of a kind on the same object
 * only comes from a brain that is not itself. */
static size_t twins(const struct keeper *k, const struct wire_message *m)
{
    size_t count = 0;
    bool packs = m->type == WIRE_EXPLAIN || m->type == WIRE_PACK;
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        const struct keeper_job *job = &k->jobs[i];
        const struct wire_message *r = &job->request;
        bool sealing = r->type == WIRE_EXPLAIN || r->type == WIRE_PACK;
        if (job->child.pid == 0 || (r->type != m->type && !(packs && sealing))) {
            continue;
        }
        bool same = r->generation == m->generation && r->target == m->target &&
                    (m->type == WIRE_FIND || r->collector == m->collector);
        count += m->type == WIRE_EXTRACT || (packs ? strcmp(r->capture, m->capture) == 0 : same);
    }
    return count;
}

int keeper_job_run(struct keeper *k, const struct wire_message *m, struct error *err)
{
    const struct plan_head *head = keeper_plan_of(k, m->generation)->plan.head;
    const struct keeper_capture *capture = keeper_capture_find(k, m->capture);
    if (capture == NULL) {
        return error_set(err, -ENOENT, "no such capture is open");
    }
    if (m->target >= head->target_count || m->collector >= head->collector_count ||
        m->phase >= 32 || (head->collectors[m->collector].phases >> m->phase & 1) == 0) {
        return error_set(err, -EINVAL, "no such target, collector or phase in the plan");
    }
    if (m->pid != 0 && !keeper_found_knows(k, m)) {
        return error_set(err, -EPERM, "process %d was not found for target '%s'", m->pid,
                         head->targets[m->target].name);
    }
    if (twins(k, m) > 0) {
        return error_set(err, -EBUSY, "this collector looks at the target already");
    }
    const struct plan_collector *collector = &head->collectors[m->collector];
    struct child_spec spec;
    child_spec_init(&spec);
    spec.fds[4] = capture->dir_fd;
    spec.caps = collector->caps & child_caps_permitted();
    spec.nice = LOW_PRIORITY;
    return start_collect(k, m, "run", &spec, collector->deadline_ms + KEEPER_GRACE_MS, err);
}

int keeper_job_find(struct keeper *k, const struct wire_message *m, struct error *err)
{
    if (m->target >= keeper_plan_of(k, m->generation)->plan.head->target_count) {
        return error_set(err, -EINVAL, "no such target in the plan");
    }
    if (twins(k, m) > 0) {
        return error_set(err, -EBUSY, "the target is being looked for already");
    }
    struct child_spec spec;
    child_spec_init(&spec);
    spec.caps = (1ULL << CAP_SYS_PTRACE | 1ULL << CAP_DAC_READ_SEARCH) & child_caps_permitted();
    return start_collect(k, m, "find", &spec, FIND_TIMEOUT_MS, err);
}

/* Verb and deadline of each kind of sealer run. */
static const char *seal_verb(uint32_t type, int64_t *ret_timeout_ms)
{
    switch (type) {
    case WIRE_EXTRACT:
        *ret_timeout_ms = EXTRACT_TIMEOUT_MS;
        return "extract";
    case WIRE_EXPLAIN:
        *ret_timeout_ms = EXPLAIN_TIMEOUT_MS;
        return "explain";
    default:
        *ret_timeout_ms = PACK_TIMEOUT_MS;
        return "pack";
    }
}

int keeper_job_seal(struct keeper *k, const struct wire_message *m, const int *fds, size_t count,
                    struct error *err)
{
    bool extract = m->type == WIRE_EXTRACT;
    const struct keeper_capture *capture = keeper_capture_find(k, m->capture);
    if (count != 2 || (!extract && capture == NULL)) {
        return error_set(err, -EINVAL, "no such capture is open, or not two descriptors");
    }
    struct keeper_job *job = keeper_job_new(k);
    if (job == NULL || twins(k, m) >= (extract ? KEEPER_EXTRACTS_MAX : 1)) {
        return error_set(err, -EAGAIN, "too many jobs run at once");
    }
    int64_t timeout_ms = 0;
    const char *verb = seal_verb(m->type, &timeout_ms);
    const char *const argv[] = {"incidentd-sealer", verb, extract ? m->name : m->capture, NULL};
    char path[PLAN_PATH_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/incidentd-sealer", k->programs);
    struct child_spec spec;
    child_spec_init(&spec);
    spec.path = path;
    spec.argv = argv;
    spec.fds[2] = STDERR_FILENO;
    spec.fds[3] = extract ? fds[0] : capture->dir_fd;
    spec.fds[4] = extract ? fds[1] : fds[0];
    spec.fds[5] = extract ? -1 : fds[1];
    spec.fd_count = 6;
    spec.uid = k->work_account.uid;
    spec.gid = k->work_account.gid;
    spec.max_memory_bytes = SEALER_MEMORY_BYTES;
    spec.nice = LOW_PRIORITY;
    job->request = *m;
    return keeper_job_start(k, job, &spec, timeout_ms, err);
}

/* Closing the lifeline is the order to end: incidentd-collect kills its tree and exits. */
static void end_job(struct keeper_job *job, int64_t now_ms)
{
    if (job->socket >= 0 && !job->killed) {
        child_signal(&job->child, SIGTERM);
        int64_t limit_ms = now_ms + KEEPER_GRACE_MS;
        job->deadline_ms = job->deadline_ms < limit_ms ? job->deadline_ms : limit_ms;
    } else {
        child_signal(&job->child, SIGKILL);
    }
}

void keeper_job_cancel(struct keeper *k, uint64_t run_id)
{
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        struct keeper_job *job = &k->jobs[i];
        if (job->child.pid > 0 && job->request.type == WIRE_RUN && job->request.id == run_id) {
            end_job(job, clock_mono_ms());
        }
    }
}

void keeper_job_read(struct keeper *k, size_t index)
{
    struct keeper_job *job = &k->jobs[index];
    if (job->child.pid == 0 || job->socket < 0) {
        return;
    }
    struct wire_message m;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    int rc = wire_receive(job->socket, &m, fds, &count, NULL);
    for (size_t i = 0; rc == 1 && i < count; i++) {
        (void)close(fds[i]);
    }
    if (rc == 1 && m.type == job->request.type && m.reply != 0) {
        job->reply = m;
        job->answered = true;
    } else if (rc == 0) {
        (void)close(take_fd(&job->socket)); /* its end follows by pidfd */
    }
}

/* An answer for a child that gave none. */
static void describe_end(const struct keeper_job *job, int status, struct wire_message *m)
{
    char text[64];
    bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (job->request.type == WIRE_EXTRACT && WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        m->status = -ENOENT;
        (void)snprintf(m->text, sizeof(m->text), "no such file in the bundle");
    } else if (job->socket >= 0 || job->request.type == WIRE_RUN ||
               job->request.type == WIRE_FIND) {
        m->status = job->request.type == WIRE_FIND ? -EIO : 0;
        m->outcome = job->killed ? WIRE_TIMED_OUT : WIRE_FAILED;
        (void)snprintf(m->text, sizeof(m->text), "incidentd-collect ended without an answer: %s",
                       child_status_text(status, text, sizeof(text)));
    } else if (!fine) {
        m->status = -EIO;
        (void)snprintf(m->text, sizeof(m->text), "incidentd-sealer: %s%s",
                       child_status_text(status, text, sizeof(text)),
                       job->killed ? " at its deadline" : "");
    }
}

/* FIND: the identity that was found, checked by us, as a descriptor. */
static int open_found(struct wire_message *m)
{
    if (m->type != WIRE_FIND || m->status != 0) {
        return -1;
    }
    int fd = child_open_identity(m->pid, m->start_ticks);
    if (fd < 0) {
        m->status = -ESRCH;
        (void)snprintf(m->text, sizeof(m->text), "process %d has ended again", m->pid);
    }
    return fd;
}

static void answer(struct keeper *k, const struct keeper_job *job, int status)
{
    struct wire_message m = job->request;
    if (job->answered) {
        m = job->reply;
    } else {
        describe_end(job, status, &m);
    }
    m.type = job->request.type;
    m.id = job->request.id;
    m.generation = job->request.generation;
    m.reply = 1;
    m.target = job->request.target;
    AUTO_CLOSE int fd = open_found(&m);
    if (fd >= 0) {
        keeper_found_note(k, &m);
    }
    keeper_send(k, &m, &fd, fd >= 0 ? 1 : 0);
}

void keeper_job_ended(struct keeper *k, size_t index)
{
    struct keeper_job *job = &k->jobs[index];
    int status = 0;
    if (job->child.pid == 0) {
        return;
    }
    keeper_job_read(k, index);
    if (child_reap(&job->child, &status) == 0) {
        return;
    }
    bool supervised = job->request.type == WIRE_RUN || job->request.type == WIRE_FIND;
    if (!supervised || !WIFEXITED(status)) { /* incidentd-collect ends its own tree while it can */
        keeper_sweep(k);
    }
    struct keeper_job ended = *job;
    job->socket = job->plan_fd = -1;
    if (ended.request.type == WIRE_RELOAD) {
        keeper_plan_loaded(k, &ended, status);
    } else if (!ended.orphan) {
        answer(k, &ended, status);
    }
    release(&ended);
}

int64_t keeper_jobs_expire(struct keeper *k, int64_t now_ms)
{
    int64_t next_ms = -1;
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        struct keeper_job *job = &k->jobs[i];
        if (job->child.pid == 0 || job->killed) {
            continue;
        }
        int64_t left_ms = job->deadline_ms - now_ms;
        if (left_ms <= 0) {
            job->killed = true;
            child_signal(&job->child, SIGKILL);
        } else if (next_ms < 0 || left_ms < next_ms) {
            next_ms = left_ms;
        }
    }
    return next_ms;
}

void keeper_jobs_abandon(struct keeper *k)
{
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        struct keeper_job *job = &k->jobs[i];
        if (job->child.pid > 0) {
            job->orphan = true;
            if (job->request.type != WIRE_RELOAD) {
                end_job(job, now_ms);
            }
        }
    }
}

bool keeper_jobs_idle(const struct keeper *k)
{
    for (size_t i = 0; i < KEEPER_JOBS_MAX; i++) {
        if (k->jobs[i].child.pid > 0) {
            return false;
        }
    }
    return true;
}
