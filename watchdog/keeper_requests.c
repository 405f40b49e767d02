/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_requests.c: the list of what the brain may ask for. It is not trusted: it reads the
 * network. Every index is checked against the plan of the request's generation, every name by
 * fs_name_ok, every descriptor by its kind.
 */
#include "watchdog/keeper.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "watchdog/notify.h"

#include <errno.h>
#include <signal.h>

void keeper_requests_end(struct keeper *k)
{
    /* Taken out one by one: descriptors that the kernel drops with a socket are closed on our time,
     * and wire_receive takes the harm from them. */
    struct wire_message m;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    int rc = k->brain_fd < 0 ? 0 : 1;
    while (rc == 1 || rc == -EPROTO) {
        rc = wire_receive(k->brain_fd, &m, fds, &count, NULL);
        for (size_t i = 0; rc == 1 && i < count; i++) {
            (void)close(fds[i]);
        }
    }
    if (k->brain_fd >= 0) {
        (void)close(take_fd(&k->brain_fd));
    }
}

void keeper_send(struct keeper *k, const struct wire_message *m, const int *fds, size_t count)
{
    struct error err = ERROR_INIT;
    if (k->brain_fd < 0) {
        return;
    }
    int rc = wire_send(k->brain_fd, m, fds, count, &err);
    if (rc == -EAGAIN) {
        log_error("the brain does not read its messages, starting it anew");
        child_signal(&k->brain, SIGKILL);
    }
}

void keeper_answer(struct keeper *k, const struct wire_message *request, int status,
                   const struct error *err)
{
    struct wire_message m = *request;
    m.reply = 1;
    m.status = status;
    m.text[0] = '\0';
    if (status < 0 && err != NULL) {
        (void)error_text(err, m.text, sizeof(m.text));
    }
    keeper_send(k, &m, NULL, 0);
}

struct keeper_capture *keeper_capture_find(struct keeper *k, const char *id)
{
    for (size_t i = 0; i < KEEPER_CAPTURES_MAX; i++) {
        if (id[0] != '\0' && strcmp(k->captures[i].id, id) == 0) {
            return &k->captures[i];
        }
    }
    return NULL;
}

static int begin(struct keeper *k, const struct wire_message *m, struct error *err)
{
    struct keeper_capture *capture = keeper_capture_find(k, m->capture);
    for (size_t i = 0; i < KEEPER_CAPTURES_MAX && capture == NULL; i++) {
        if (k->captures[i].id[0] == '\0') {
            capture = &k->captures[i];
            capture->dir_fd = -1;
        }
    }
    if (capture == NULL) {
        return error_set(err, -EAGAIN, "%d captures are open already", KEEPER_CAPTURES_MAX);
    }
    if (capture->dir_fd < 0) {
        capture->dir_fd = staging_begin(&k->staging, m->capture, err);
        if (capture->dir_fd < 0) {
            return capture->dir_fd;
        }
    }
    (void)snprintf(capture->id, sizeof(capture->id), "%s", m->capture);
    capture->generation = m->generation;
    return 0;
}

static int add(struct keeper *k, const struct wire_message *m, const int *fds, size_t count,
               struct error *err)
{
    const struct keeper_capture *capture = keeper_capture_find(k, m->capture);
    if (capture == NULL || count != 1) {
        return error_set(err, -ENOENT, "no such capture is open, or not one descriptor");
    }
    return staging_add(capture->dir_fd, m->name, fds[0], err);
}

static int discard(struct keeper *k, const struct wire_message *m, struct error *err)
{
    struct keeper_capture *capture = keeper_capture_find(k, m->capture);
    if (capture != NULL) {
        (void)close(take_fd(&capture->dir_fd));
        capture->id[0] = '\0';
    }
    keeper_plan_prune(k);
    return staging_discard(&k->staging, m->capture, err);
}

static void staged(struct keeper *k, const struct wire_message *request)
{
    struct wire_message m = *request;
    m.reply = 1;
    m.status = staging_at(&k->staging, request->index, m.capture, sizeof(m.capture));
    keeper_send(k, &m, NULL, 0);
}

static void alive(struct keeper *k, const struct wire_message *m)
{
    k->brain_alive_ms = clock_mono_ms();
    k->brain_generation = m->generation != 0 ? m->generation : k->brain_generation;
    if (m->ready != 0) {
        k->brain_backoff_ms = 0;
    }
    char status[sizeof(m->text)];
    (void)snprintf(status, sizeof(status), "%s", m->text);
    for (char *p = status; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ') { /* a line feed would begin another assignment */
            *p = ' ';
        }
    }
    if (m->ready != 0 && !k->announced) {
        k->announced = true;
        notify_send("READY=1\nMAINPID=%d", (int)getpid());
        log_info("ready: %s", status);
    }
    if (status[0] != '\0') {
        notify_send("STATUS=%s", status);
    }
}

/* 0 or negative: answer now; 1: the answer comes later, or none is wanted. */
static int serve(struct keeper *k, const struct wire_message *m, const int *fds, size_t count,
                 struct error *err)
{
    int rc = 0;
    switch ((enum wire_type)m->type) {
    case WIRE_FIND:
        rc = keeper_job_find(k, m, err);
        return rc < 0 ? rc : 1;
    case WIRE_RUN:
        rc = keeper_job_run(k, m, err);
        return rc < 0 ? rc : 1;
    case WIRE_EXPLAIN:
    case WIRE_PACK:
    case WIRE_EXTRACT:
        rc = keeper_job_seal(k, m, fds, count, err);
        return rc < 0 ? rc : 1;
    case WIRE_BEGIN:
        return begin(k, m, err);
    case WIRE_ADD:
        return add(k, m, fds, count, err);
    case WIRE_DISCARD:
        return discard(k, m, err);
    case WIRE_CANCEL:
        keeper_job_cancel(k, m->run_id);
        return 0;
    case WIRE_STAGED:
        staged(k, m);
        return 1;
    case WIRE_RELOAD:
        rc = keeper_plan_reload(k, m, err);
        return rc < 0 ? rc : 1;
    case WIRE_ALIVE:
        alive(k, m);
        return 1;
    case WIRE_RELOAD_FAILED:
        keeper_plan_revert(k, m);
        return 1;
    case WIRE_PLAN:
    case WIRE_STOP:
        break;
    }
    return error_set(err, -EPROTO, "no such request");
}

/* A request belongs to the current plan, to the one its capture began under, or, while the brain
 * has not taken the current one up, to the one it runs. */
static bool generation_ok(struct keeper *k, const struct wire_message *m)
{
    const struct keeper_capture *capture = keeper_capture_find(k, m->capture);
    bool known = m->generation == k->generation || m->generation == k->brain_generation ||
                 (capture != NULL && capture->generation == m->generation);
    return known && keeper_plan_of(k, m->generation) != NULL;
}

void keeper_requests_serve(struct keeper *k)
{
    for (int i = 0; i < 64 && k->brain_fd >= 0; i++) {
        struct wire_message m;
        int fds[WIRE_FDS_MAX];
        size_t count = 0;
        struct error err = ERROR_INIT;
        int rc = wire_receive(k->brain_fd, &m, fds, &count, &err);
        if (rc == -EAGAIN) {
            return;
        }
        if (rc == 0) { /* a closed socket would wake us until the pidfd tells its end */
            keeper_requests_end(k);
            k->brain_alive_ms -= KEEPER_SILENCE_MS - KEEPER_GRACE_MS;
            return;
        }
        if (rc < 0) {
            log_err(LOG_LEVEL_ERROR, &err, "the brain sends no requests, starting it anew");
            child_signal(&k->brain, SIGKILL);
            keeper_requests_end(k);
            return;
        }
        bool any_plan = m.type == WIRE_ALIVE || m.type == WIRE_RELOAD_FAILED;
        if (!any_plan && !generation_ok(k, &m)) {
            rc = error_set(&err, -ESTALE, "the plan has changed since");
        } else {
            rc = serve(k, &m, fds, count, &err);
        }
        for (size_t f = 0; f < count; f++) {
            (void)close(fds[f]);
        }
        if (rc <= 0) {
            keeper_answer(k, &m, rc, &err);
        }
    }
}
