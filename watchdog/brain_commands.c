/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/brain.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/log.h"

static void wake(void *arg)
{
    struct brain *b = arg;
    (void)uv_async_send(&b->wake);
}

/* What makes a listener differ from another. */
static void describe(const struct generation *g, char *out, size_t size)
{
    const struct config_server *s = &g->config.server;
    (void)snprintf(out, size, "%.90s|%.90s|%.90s", s->listen == NULL ? "" : s->listen,
                   s->health_listen == NULL ? "" : s->health_listen,
                   g->token == NULL ? "" : g->token);
}

static int start_api(struct brain *b, const struct generation *g, struct api **ret,
                     struct error *err)
{
    const struct config_server *s = &g->config.server;
    const struct api_options options = {.listen = s->listen,
                                        .health_listen = s->health_listen,
                                        .token = g->token,
                                        .bundles_fd = b->store.bundles_fd,
                                        .wake = wake,
                                        .wake_arg = b};
    return api_start(&options, ret, err);
}

static bool same_text(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

int brain_commands_listen(struct brain *b, const struct generation *g, struct error *err)
{
    char wanted[sizeof(b->listening)];
    struct api *api = NULL;
    describe(g, wanted, sizeof(wanted));
    if (b->api != NULL && strcmp(wanted, b->listening) == 0) {
        return 0;
    }
    const struct config_server *now = &b->generation->config.server;
    if (b->api != NULL && (same_text(now->listen, g->config.server.listen) ||
                           same_text(now->health_listen, g->config.server.health_listen))) {
        b->relisten = true; /* it cannot be bound twice */
        return 0;
    }
    int rc = start_api(b, g, &api, err);
    if (rc == 0) {
        api_stop(b->api_before);
        b->api_before = b->api;
        b->api = api;
        memcpy(b->listening, wanted, sizeof(wanted));
        log_info("listening on '%s'", g->config.server.listen);
    }
    return rc;
}

static void serve(struct brain *b, struct api *api);

void brain_commands_tick(struct brain *b)
{
    struct error err = ERROR_INIT;
    if (b->api_before != NULL) {
        serve(b, b->api_before);
        api_stop(b->api_before);
        b->api_before = NULL;
    }
    if (!b->relisten) {
        return;
    }
    if (b->api != NULL) {
        serve(b, b->api);
        api_stop(b->api);
        b->api = NULL;
    }
    if (start_api(b, b->generation, &b->api, &err) == 0) {
        b->relisten = false;
        describe(b->generation, b->listening, sizeof(b->listening));
        log_info("listening anew on '%s'", b->generation->config.server.listen);
    } else {
        log_err(LOG_LEVEL_ERROR, &err, "the API is down, trying again");
    }
}

static void answer(struct api_command *c, int status, const char *detail)
{
    c->http_status = status;
    (void)snprintf(c->detail, sizeof(c->detail), "%s", detail);
    api_answer(c->connection, c); /* of the listener it came by, or NULL when that is gone */
}

static int http_of(int rc)
{
    switch (rc) {
    case -ENOENT:
        return 404;
    case -EBUSY:
    case -EAGAIN:
        return 429;
    case -ENOSPC:
        return 507;
    default:
        return 500;
    }
}

static void capture(struct brain *b, struct api_command *c)
{
    struct error err = ERROR_INIT;
    int rc = brain_captures_manual(b, c->target, c->rule, c->created, &err);
    if (rc == -EBUSY || rc == -EAGAIN) {
        c->retry_after_s = 30;
    }
    brain_view_publish(b); /* what the answer's Location names is there at once */
    answer(c, rc == 0 ? 202 : http_of(rc), err.message);
}

static void delete (struct brain *b, struct api_command *c)
{
    if (brain_captures_find(b, c->capture) != NULL) {
        answer(c, 409, "the capture is not sealed yet");
        return;
    }
    if (store_find(&b->store, c->capture) == NULL) {
        answer(c, 404, "no such capture");
        return;
    }
    log_info("bundle '%s' is deleted by request", c->capture);
    brain_captures_delete(b, c->capture);
    brain_view_publish(b);
    answer(c, 204, "");
}

static void pin(struct brain *b, struct api_command *c)
{
    struct error err = ERROR_INIT;
    int rc = store_pin(&b->store, c->capture, c->pin, &err);
    brain_view_publish(b);
    answer(c, rc == 0 ? 204 : http_of(rc), err.message);
}

struct pending {
    struct brain *brain;
    struct api_command *command;
};

static struct pending *pend(struct brain *b, struct api_command *c)
{
    struct pending *p = xcalloc(1, sizeof(*p));
    p->brain = b;
    p->command = c;
    return p;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

static void on_reload(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct pending *p = arg;
    struct api_command *c = p->command;
    close_all(fds, count);
    if (reply->status == -EBUSY || reply->status == -EMFILE) {
        c->retry_after_s = 30;
        answer(c, 429, reply->text);
    } else if (reply->status < 0) {
        answer(c, 422, reply->text);
    } else if (reply->generation != p->brain->generation->number) {
        answer(c, 422, p->brain->reload_why); /* its plan came just before, and we refused it */
    } else {
        answer(c, 202, "");
    }
    free(p);
}

static void reload(struct brain *b, struct api_command *c)
{
    struct wire_message m = {.type = WIRE_RELOAD};
    (void)link_request(b->link, &m, NULL, 0, on_reload, pend(b, c));
}

static void on_extract(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct pending *p = arg;
    close_all(fds, count);
    int status = reply->status == 0 ? 200 : reply->status == -ENOENT ? 404 : 500;
    answer(p->command, status, reply->text);
    free(p);
}

static void extract(struct brain *b, struct api_command *c)
{
    char name[LIMIT_ID_BYTES + 24];
    (void)snprintf(name, sizeof(name), "%s.tar.zst", c->capture);
    if (store_find(&b->store, c->capture) == NULL || !fs_name_ok(c->capture, LIMIT_ID_BYTES)) {
        answer(c, 404, "no such capture");
        return;
    }
    struct wire_message m = {.type = WIRE_EXTRACT};
    if (strlen(c->path) >= sizeof(m.name)) {
        answer(c, 404, "no such file in the bundle");
        return;
    }
    AUTO_CLOSE int bundle = openat(b->store.bundles_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (bundle < 0) {
        answer(c, 500, "the bundle cannot be opened");
        return;
    }
    (void)snprintf(m.name, sizeof(m.name), "%.255s", c->path);
    const int fds[2] = {bundle, c->output_fd};
    (void)link_request(b->link, &m, fds, 2, on_extract, pend(b, c));
}

static void serve(struct brain *b, struct api *api)
{
    for (struct api_command *c = api_next(api); c != NULL; c = api_next(api)) {
        switch (c->kind) {
        case API_CAPTURE:
            capture(b, c);
            break;
        case API_DELETE:
            delete (b, c);
            break;
        case API_PIN:
            pin(b, c);
            break;
        case API_RELOAD:
            reload(b, c);
            break;
        case API_EXTRACT:
            extract(b, c);
            break;
        }
    }
}

void brain_commands_serve(struct brain *b)
{
    struct api *const all[] = {b->api_before, b->api};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i] != NULL) {
            serve(b, all[i]);
        }
    }
}
