/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h: the brain's end of the wire, on its libuv loop: requests out, one answer each, orders in.
 */
#ifndef WATCHDOG_LINK_H
#define WATCHDOG_LINK_H

#include "watchdog/wire.h"

#include <uv.h>

struct link;

/* Called once per request with its answer; `fds` belong to the callee. */
typedef void link_answer(const struct wire_message *reply, int *fds, size_t fd_count, void *arg);

struct link_handlers {
    /* An unasked message (WIRE_PLAN, WIRE_STOP, WIRE_RELOAD_FAILED); `fds` belong to the callee. */
    void (*order)(const struct wire_message *m, int *fds, size_t fd_count, void *arg);
    /* incidentd is gone: the brain must end. */
    void (*closed)(void *arg);
    void *arg;
};

/* Takes `fd` (a wire socket) onto the loop; never NULL. */
struct link *link_open(uv_loop_t *loop, int fd, const struct link_handlers *handlers);
/* Sets the generation that further requests carry. */
void link_generation(struct link *l, uint32_t generation);
/* Sends `m` (id is filled here, generation when it is 0: a running capture keeps its own) with
 * `count` descriptors, which stay the caller's and may be closed when this returns: what the socket
 * cannot take yet is queued with duplicates. `answer` may be NULL for WIRE_ALIVE only. Returns the
 * request's id. */
uint64_t link_request(struct link *l, struct wire_message *m, const int *fds, size_t count,
                      link_answer *answer, void *arg);
/* Closes; requests still open are answered -ECANCELED. Freed when libuv has closed its handle. NULL
 * is a no-op. */
void link_close(struct link *l);

#endif
