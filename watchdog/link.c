/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.c: requests are matched to answers by id, in a list: a handful are open at any time. What
 * the socket cannot take waits in a queue with duplicated descriptors, so that a caller never waits
 * and may close its own at once.
 */
#include "watchdog/link.h"

#include <errno.h>
#include <fcntl.h>

struct request {
    struct request *next;
    uint64_t id;
    link_answer *answer;
    void *arg;
};

struct waiting {
    struct waiting *next;
    struct wire_message message;
    int fds[WIRE_FDS_MAX];
    size_t count;
};

struct link {
    uv_poll_t poll;
    int fd;
    uint32_t generation;
    uint64_t next_id;
    struct request *requests; /* those not answered yet */
    struct waiting *first;    /* queue of what could not be sent yet */
    struct waiting **last;
    struct link_handlers handlers;
    bool closed;
};

static void drop_waiting(struct waiting *w)
{
    for (size_t i = 0; i < w->count; i++) {
        (void)close(w->fds[i]);
    }
    free(w);
}

static void close_fds(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

static void lost(struct link *l)
{
    if (!l->closed) {
        l->closed = true;
        (void)uv_poll_stop(&l->poll);
        l->handlers.closed(l->handlers.arg);
    }
}

/* Takes the open request `id` out of the list; NULL when there is none. */
static struct request *take_request(struct link *l, uint64_t id)
{
    for (struct request **at = &l->requests; *at != NULL; at = &(*at)->next) {
        struct request *r = *at;
        if (r->id == id) {
            *at = r->next;
            return r;
        }
    }
    return NULL;
}

static void deliver(struct link *l, const struct wire_message *m, int *fds, size_t count)
{
    if (m->reply == 0) {
        l->handlers.order(m, fds, count, l->handlers.arg);
        return;
    }
    struct request *r = take_request(l, m->id);
    if (r == NULL) {
        close_fds(fds, count);
        return;
    }
    link_answer *answer = r->answer;
    void *arg = r->arg;
    free(r);
    answer(m, fds, count, arg);
}

static void receive_all(struct link *l)
{
    while (!l->closed) {
        struct wire_message m;
        int fds[WIRE_FDS_MAX];
        size_t count = 0;
        int rc = wire_receive(l->fd, &m, fds, &count, NULL);
        if (rc == -EAGAIN || rc == -EPROTO) {
            return;
        }
        if (rc <= 0) {
            lost(l);
            return;
        }
        deliver(l, &m, fds, count);
    }
}

static void send_waiting(struct link *l)
{
    while (l->first != NULL) {
        struct waiting *w = l->first;
        if (wire_send(l->fd, &w->message, w->fds, w->count, NULL) == -EAGAIN) {
            return;
        }
        l->first = w->next;
        if (l->first == NULL) {
            l->last = &l->first;
        }
        drop_waiting(w);
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct link *l = poll->data;
    if (status < 0) {
        lost(l);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        send_waiting(l);
    }
    if ((events & UV_READABLE) != 0) {
        receive_all(l);
    }
    if (!l->closed) {
        (void)uv_poll_start(&l->poll, UV_READABLE | (l->first != NULL ? UV_WRITABLE : 0), on_event);
    }
}

struct link *link_open(uv_loop_t *loop, int fd, const struct link_handlers *handlers)
{
    struct link *l = xcalloc(1, sizeof(*l));
    l->fd = fd;
    l->handlers = *handlers;
    l->last = &l->first;
    l->next_id = 1;
    (void)uv_poll_init(loop, &l->poll, fd);
    l->poll.data = l;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_event);
    return l;
}

void link_generation(struct link *l, uint32_t generation)
{
    l->generation = generation;
}

static void enqueue(struct link *l, const struct wire_message *m, const int *fds, size_t count)
{
    struct waiting *w = xcalloc(1, sizeof(*w));
    w->message = *m;
    for (size_t i = 0; i < count; i++) {
        w->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        w->count += w->fds[i] >= 0 ? 1 : 0;
    }
    *l->last = w;
    l->last = &w->next;
    (void)uv_poll_start(&l->poll, UV_READABLE | UV_WRITABLE, on_event);
}

uint64_t link_request(struct link *l, struct wire_message *m, const int *fds, size_t count,
                      link_answer *answer, void *arg)
{
    m->id = l->next_id++;
    m->reply = 0;
    m->generation = m->generation == 0 ? l->generation : m->generation;
    if (answer != NULL) {
        struct request *r = xcalloc(1, sizeof(*r));
        *r = (struct request){.next = l->requests, .id = m->id, .answer = answer, .arg = arg};
        l->requests = r;
    }
    if (l->closed) {
        return m->id;
    }
    if (l->first != NULL || wire_send(l->fd, m, fds, count, NULL) == -EAGAIN) {
        enqueue(l, m, fds, count);
    }
    return m->id;
}

static void on_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    (void)close(l->fd);
    free(l);
}

void link_close(struct link *l)
{
    if (l == NULL) {
        return;
    }
    l->closed = true;
    while (l->requests != NULL) {
        struct request *r = l->requests;
        l->requests = r->next;
        struct wire_message m = {.reply = 1, .id = r->id, .status = -ECANCELED};
        r->answer(&m, NULL, 0, r->arg);
        free(r);
    }
    while (l->first != NULL) {
        struct waiting *w = l->first;
        l->first = w->next;
        drop_waiting(w);
    }
    (void)uv_poll_stop(&l->poll);
    uv_close((uv_handle_t *)&l->poll, on_closed);
}
