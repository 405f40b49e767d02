/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/collect_run.h"

#include <errno.h>
#include <poll.h>

enum { REQUEST_WAIT_MS = 5000, CONFIG_ARENA_BYTES = 32 << 20 };

static int receive(enum wire_type type, struct wire_message *ret, struct error *err)
{
    struct pollfd p = {.fd = COLLECT_WIRE_FD, .events = POLLIN};
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    if (poll(&p, 1, REQUEST_WAIT_MS) <= 0) {
        return error_set(err, -ETIMEDOUT, "no request came");
    }
    int rc = wire_receive(COLLECT_WIRE_FD, ret, fds, &count, err);
    for (size_t i = 0; rc == 1 && i < count; i++) {
        (void)close(fds[i]);
    }
    if (rc == 1 && (ret->type != (uint32_t)type || ret->reply != 0)) {
        return error_set(err, -EPROTO, "a message of type %u is not the request", ret->type);
    }
    return rc == 1 ? 0 : rc == 0 ? error_set(err, -EPIPE, "the peer has closed") : rc;
}

int collect_request_read(enum wire_type type, struct collect_request *ret, struct error *err)
{
    *ret = (struct collect_request){.arena = ARENA_INIT(CONFIG_ARENA_BYTES)};
    int rc = receive(type, &ret->message, err);
    if (rc < 0) {
        return rc;
    }
    rc = plan_map(COLLECT_PLAN_FD, &ret->plan, err);
    if (rc < 0) {
        return rc;
    }
    rc = schema_decode(&config_table, ret->plan.config, ret->plan.head->config_len, &ret->arena,
                       &ret->config, err);
    if (rc == 0 && ret->message.target >= ret->config.targets.count) {
        rc = error_set(err, -EINVAL, "the plan has no target %u", ret->message.target);
    }
    return rc;
}

void collect_request_release(struct collect_request *r)
{
    plan_unmap(&r->plan);
    arena_release(&r->arena);
}

void collect_request_answer(const struct collect_request *r, const struct wire_message *answer)
{
    struct wire_message m = *answer;
    m.type = r->message.type;
    m.id = r->message.id;
    m.generation = r->message.generation;
    m.run_id = r->message.run_id;
    m.run = r->message.run;
    m.reply = 1;
    (void)wire_send(COLLECT_WIRE_FD, &m, NULL, 0, NULL);
}
