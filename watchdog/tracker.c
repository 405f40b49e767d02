/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracker.c: per target one search timer, at most one open search, at most one watched pidfd.
 *
 * A pidfd becomes readable when its process has exited, whoever its parent is: no polling of /proc
 * and no race over reused numbers. The start in wall time comes from field 22 of /proc/PID/stat,
 * clock ticks since boot with suspension, which CLOCK_BOOTTIME counts too (proc(5)).
 *
 * A search costs a walk over /proc in a child of incidentd: each second while a restart is likely,
 * every five seconds after PATIENCE searches in vain.
 *
 * Lifetimes: the watched descriptor lives in an object of its own, freed in libuv's close callback.
 * The tracker itself goes when its last handle is closed and its last request answered.
 */
#include "watchdog/tracker.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

enum {
    SEARCH_MS = 1000,
    SEARCH_SLOW_MS = 5000,
    PATIENCE = 15, /* searches at the fast rate */
};

struct life {
    uv_poll_t poll;
    struct slot *slot;
    int pidfd;
};

struct slot {
    struct tracker *tracker;
    uv_timer_t timer;
    struct life *life; /* NULL: no process is known */
    unsigned vain;     /* searches without a find in a row */
    struct tracker_process now;
    char exe[sizeof(((struct wire_message *)NULL)->name)];
    char error[256];
};

struct tracker {
    struct link *link;
    tracker_changed *changed;
    void *arg;
    size_t count;
    size_t open; /* handles not closed and requests not answered */
    bool stopping;
    struct slot *slots;
};

static void let_go(struct tracker *t)
{
    if (--t->open == 0) {
        free(t->slots);
        free(t);
    }
}

static void on_life_closed(uv_handle_t *handle)
{
    struct life *life = handle->data;
    struct tracker *t = life->slot->tracker;
    (void)close(life->pidfd);
    free(life);
    let_go(t);
}

static void end_life(struct slot *s)
{
    struct life *life = s->life;
    s->life = NULL;
    (void)uv_poll_stop(&life->poll);
    uv_close((uv_handle_t *)&life->poll, on_life_closed);
}

static void search(uv_timer_t *timer);

static void search_later(struct slot *s, int64_t ms)
{
    (void)uv_timer_start(&s->timer, search, (uint64_t)ms, 0);
}

static void on_exit_seen(uv_poll_t *poll, int status, int events)
{
    const struct life *life = poll->data;
    struct slot *s = life->slot;
    struct tracker *t = s->tracker;
    (void)status; /* an error of the descriptor is an end as well: search again */
    (void)events;
    end_life(s);
    s->now = (struct tracker_process){.exe = s->exe,
                                      .runtime = s->now.runtime,
                                      .error = s->error,
                                      .last_pid = s->now.pid,
                                      .last_start_ticks = s->now.start_ticks};
    (void)snprintf(s->error, sizeof(s->error), "the process has exited");
    search_later(s, SEARCH_MS);
    t->changed((size_t)(s - t->slots), &s->now, t->arg);
}

static enum collector_runtime runtime_of(const char *name)
{
    static const struct {
        const char *name;
        enum collector_runtime runtime;
    } known[] = {{"go", RUNTIME_GO},
                 {"jvm", RUNTIME_JVM},
                 {"node", RUNTIME_NODE},
                 {"python", RUNTIME_PYTHON},
                 {"native", RUNTIME_NATIVE}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(name, known[i].name) == 0) {
            return known[i].runtime;
        }
    }
    return RUNTIME_UNKNOWN;
}

/* Wall time of `ticks` since boot. */
static int64_t start_wall_ms(uint64_t ticks)
{
    struct timespec boot = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    int64_t up_ms = (int64_t)boot.tv_sec * 1000 + boot.tv_nsec / 1000000;
    long hertz = sysconf(_SC_CLK_TCK);
    int64_t started_ms = (int64_t)(ticks * 1000 / (uint64_t)(hertz > 0 ? hertz : 100));
    int64_t age_ms = up_ms > started_ms ? up_ms - started_ms : 0;
    return clock_wall_ms() - age_ms;
}

/* Begins to watch `pidfd`, which becomes ours. */
static int begin_life(struct slot *s, int pidfd)
{
    struct life *life = xcalloc(1, sizeof(*life));
    life->slot = s;
    life->pidfd = pidfd;
    if (uv_poll_init(s->timer.loop, &life->poll, pidfd) != 0) {
        (void)close(pidfd);
        free(life);
        return -EBADF;
    }
    life->poll.data = life;
    s->tracker->open++;
    s->life = life;
    (void)uv_poll_start(&life->poll, UV_READABLE, on_exit_seen);
    return 0;
}

static void found(struct slot *s, const struct wire_message *m)
{
    struct tracker *t = s->tracker;
    (void)snprintf(s->exe, sizeof(s->exe), "%s", m->name);
    s->error[0] = '\0';
    s->vain = 0;
    s->now = (struct tracker_process){.pid = m->pid,
                                      .start_ticks = m->start_ticks,
                                      .start_ms = start_wall_ms(m->start_ticks),
                                      .exe = s->exe,
                                      .runtime = runtime_of(m->text),
                                      .error = s->error};
    t->changed((size_t)(s - t->slots), &s->now, t->arg);
}

static void not_found(struct slot *s, const char *why)
{
    (void)snprintf(s->error, sizeof(s->error), "%.255s", why);
    search_later(s, ++s->vain < PATIENCE ? SEARCH_MS : SEARCH_SLOW_MS);
}

static void on_answer(const struct wire_message *reply, int *fds, size_t fd_count, void *arg)
{
    struct slot *s = arg;
    struct tracker *t = s->tracker;
    int pidfd = fd_count > 0 ? take_fd(&fds[0]) : -1;
    for (size_t i = 1; i < fd_count; i++) {
        (void)close(take_fd(&fds[i]));
    }
    if (t->stopping || reply->status != 0 || pidfd < 0) {
        if (pidfd >= 0) {
            (void)close(take_fd(&pidfd));
        }
        if (!t->stopping) {
            not_found(s, reply->text[0] != '\0' ? reply->text : "no process is found");
        }
    } else if (begin_life(s, take_fd(&pidfd)) != 0) {
        not_found(s, "the process cannot be watched");
    } else {
        found(s, reply);
    }
    let_go(t);
}

static void search(uv_timer_t *timer)
{
    struct slot *s = timer->data;
    struct tracker *t = s->tracker;
    struct wire_message m = {.type = WIRE_FIND, .target = (uint32_t)(s - t->slots)};
    t->open++;
    (void)link_request(t->link, &m, NULL, 0, on_answer, s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    const struct slot *s = handle->data;
    let_go(s->tracker);
}

struct tracker *tracker_start(uv_loop_t *loop, struct link *link, const bool *wanted, size_t count,
                              tracker_changed *changed, void *arg)
{
    struct tracker *t = xcalloc(1, sizeof(*t));
    t->link = link;
    t->changed = changed;
    t->arg = arg;
    t->count = count;
    t->open = count + 1; /* one for the owner, returned in tracker_stop */
    t->slots = xcalloc(count + 1, sizeof(*t->slots));
    for (size_t i = 0; i < count; i++) {
        struct slot *s = &t->slots[i];
        s->tracker = t;
        s->now = (struct tracker_process){.exe = s->exe, .error = s->error};
        (void)uv_timer_init(loop, &s->timer);
        s->timer.data = s;
        if (wanted[i]) {
            search_later(s, 0);
        }
    }
    return t;
}

void tracker_stop(struct tracker *t)
{
    if (t == NULL) {
        return;
    }
    t->stopping = true;
    for (size_t i = 0; i < t->count; i++) {
        struct slot *s = &t->slots[i];
        if (s->life != NULL) {
            end_life(s);
        }
        uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    }
    let_go(t);
}

void tracker_process_of(const struct tracker *t, size_t target, struct tracker_process *ret)
{
    *ret = t->slots[target].now;
}
