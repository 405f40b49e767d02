/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loop over five things: the child's pidfd, its two pipes, the lifeline and the signals; the
 * time of the next step of the escalation is poll's timeout.
 *
 * A process group misses whoever calls setsid, so the group only gets the polite signals; the end
 * of the tree is child_kill_strays: being subreaper, everything that lives on becomes our child. It
 * runs after every child, also one that ended well: a tool that leaves a daemon behind is not
 * thanked for it.
 */
#include "watchdog/collect_job.h"

#include "base/clock.h"
#include "watchdog/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

enum { TERM_AFTER_MS = 1000, KILL_AFTER_MS = 2000, ASKED_KILL_MS = 1000 };

enum watched { WATCH_CHILD, WATCH_LIFELINE, WATCH_SIGNAL, WATCH_OUTPUT, WATCH_ERRORS, WATCHED };

struct running {
    struct collect_job *job;
    struct child child;
    int output_fd;
    int errors_fd;
    int64_t stop_ms; /* -1: never, or done */
    int64_t term_ms; /* -1: not yet due, or done */
    int64_t kill_ms;
    bool ending; /* SIGINT of the escalation was sent */
};

bool collect_control_over(struct collect_control *c)
{
    struct pollfd fds[] = {{.fd = c->lifeline_fd, .events = POLLIN},
                           {.fd = c->signal_fd, .events = POLLIN}};
    if (poll(fds, 2, 0) <= 0) {
        return c->orphaned || c->asked;
    }
    if (fds[0].revents != 0) {
        struct wire_message m;
        int passed[WIRE_FDS_MAX];
        size_t count = 0;
        int rc = wire_receive(c->lifeline_fd, &m, passed, &count, NULL);
        for (size_t i = 0; rc == 1 && i < count; i++) {
            (void)close(passed[i]);
        }
        c->orphaned = c->orphaned || (rc != 1 && rc != -EAGAIN); /* a second request is ignored */
    }
    struct signalfd_siginfo info;
    if (fds[1].revents != 0 && read(c->signal_fd, &info, sizeof(info)) > 0) {
        c->asked = true;
    }
    return c->orphaned || c->asked;
}

static void signal_group(const struct running *r, int signal)
{
    if (r->child.pid > 0) { /* not reaped: the number is still its own */
        (void)kill(-r->child.pid, signal);
        (void)kill(r->child.pid, signal);
    }
}

/* Appends and drops from the front what does not fit: the last words are the reason. */
static void keep_last(struct buf *into, const char *data, size_t len)
{
    if (len > into->max) {
        data += len - into->max;
        len = into->max;
    }
    size_t room = into->max - into->len;
    size_t cut = len > room ? len - room : 0;
    if (cut > 0) {
        memmove(into->data, into->data + cut, into->len - cut);
        into->len -= cut;
    }
    (void)buf_add(into, data, len);
}

/* Reads what is there; closes *fd at its end. */
static void drain(int *fd, struct buf *into, bool tail)
{
    char chunk[4096];
    while (*fd >= 0) {
        ssize_t n = read(*fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            (void)close(take_fd(fd));
        } else if (into != NULL && tail) {
            keep_last(into, chunk, (size_t)n);
        } else if (into != NULL) {
            (void)buf_add(into, chunk, (size_t)n);
        }
    }
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Does what is due; false when the tree has to be killed now. */
static bool act(struct running *r, int64_t now_ms)
{
    struct collect_job *job = r->job;
    if (r->stop_ms >= 0 && now_ms >= r->stop_ms) {
        signal_group(r, job->stop_signal != 0 ? job->stop_signal : SIGINT);
        job->stopped = true;
        r->stop_ms = -1;
    }
    if (!r->ending && now_ms >= job->end_ms) {
        signal_group(r, SIGINT);
        job->timed_out = true;
        r->ending = true;
        r->stop_ms = -1;
        r->term_ms = now_ms + TERM_AFTER_MS;
        r->kill_ms = now_ms + KILL_AFTER_MS;
    }
    if (r->term_ms >= 0 && now_ms >= r->term_ms) {
        signal_group(r, SIGTERM);
        r->term_ms = -1;
    }
    return r->kill_ms < 0 || now_ms < r->kill_ms;
}

static int64_t next_ms(const struct running *r)
{
    int64_t next = sooner(r->stop_ms, r->ending ? -1 : r->job->end_ms);
    return sooner(next, sooner(r->term_ms, r->kill_ms));
}

/* Asked by a signal: the tool may still write its file, for a second. */
static void begin_to_end(struct running *r, int64_t now_ms)
{
    if (!r->ending) {
        signal_group(r, SIGINT);
        r->ending = true;
        r->stop_ms = -1;
        r->term_ms = now_ms + ASKED_KILL_MS / 2;
    }
    r->kill_ms = sooner(r->kill_ms, now_ms + ASKED_KILL_MS);
}

/* Until the child has ended or must be killed. */
static void watch(struct running *r, struct collect_control *control)
{
    bool told = false;
    while (act(r, clock_mono_ms())) {
        struct pollfd fds[WATCHED] = {
            [WATCH_CHILD] = {.fd = r->child.pidfd, .events = POLLIN},
            [WATCH_LIFELINE] = {.fd = control->lifeline_fd, .events = POLLIN},
            [WATCH_SIGNAL] = {.fd = control->signal_fd, .events = POLLIN},
            [WATCH_OUTPUT] = {.fd = r->output_fd, .events = POLLIN},
            [WATCH_ERRORS] = {.fd = r->errors_fd, .events = POLLIN},
        };
        int64_t left_ms = next_ms(r) - clock_mono_ms();
        (void)poll(fds, WATCHED, left_ms > 0 ? (int)left_ms : 0);
        drain(&r->output_fd, r->job->output, false);
        drain(&r->errors_fd, r->job->errors, true);
        if (collect_control_over(control)) {
            if (control->orphaned) {
                return;
            }
            if (!told) {
                begin_to_end(r, clock_mono_ms());
                told = true;
            }
        }
        if (child_reap(&r->child, &r->job->status) == 1) {
            return;
        }
    }
}

/* No process of the tool lives after this, short of one the kernel cannot end. */
static void end_tree(struct running *r)
{
    pid_t own = r->child.pid;
    if (own > 0) {
        child_signal(&r->child, SIGKILL);
        struct pollfd wait = {.fd = r->child.pidfd, .events = POLLIN};
        (void)poll(&wait, 1, KILL_AFTER_MS);
        r->job->status = SIGKILL; /* as waitpid gives it, should it not die */
        (void)child_reap(&r->child, &r->job->status);
    }
    (void)child_kill_strays(NULL, 0);
    drain(&r->output_fd, r->job->output, false);
    drain(&r->errors_fd, r->job->errors, true);
}

/* A pipe whose reading end does not block; the writing end goes to descriptor `number`. */
static int open_pipe(struct child_spec *spec, size_t number, int *ret_read, struct error *err)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot make a pipe");
    }
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    *ret_read = pair[0];
    spec->fds[number] = pair[1];
    return 0;
}

static void close_in(struct child_spec *spec, size_t number)
{
    if (spec->fds[number] >= 0) {
        (void)close(take_fd(&spec->fds[number]));
    }
}

int collect_job_run(struct collect_job *job, struct collect_control *control, struct error *err)
{
    struct running r = {.job = job,
                        .child = CHILD_INIT,
                        .output_fd = -1,
                        .errors_fd = -1,
                        .stop_ms = -1,
                        .term_ms = -1,
                        .kill_ms = -1};
    if (collect_control_over(control)) {
        return error_set(err, -EINTR, "interrupted");
    }
    int rc = open_pipe(job->spec, STDERR_FILENO, &r.errors_fd, err);
    if (rc == 0 && job->output != NULL) {
        rc = open_pipe(job->spec, STDOUT_FILENO, &r.output_fd, err);
    }
    rc = rc == 0 ? child_start(job->spec, &r.child, err) : rc;
    close_in(job->spec, STDERR_FILENO);
    if (job->output != NULL) {
        close_in(job->spec, STDOUT_FILENO);
    }
    if (rc == 0) {
        r.stop_ms = job->duration_ms > 0 ? clock_mono_ms() + job->duration_ms : -1;
        watch(&r, control);
        end_tree(&r);
    }
    if (r.output_fd >= 0) {
        (void)close(r.output_fd);
    }
    if (r.errors_fd >= 0) {
        (void)close(r.errors_fd);
    }
    if (rc == 0 && (control->orphaned || control->asked)) {
        return error_set(err, -EINTR, "interrupted");
    }
    return rc;
}
