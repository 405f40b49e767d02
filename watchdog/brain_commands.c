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

int brain_commands_listen(struct brain *b, struct error *err)
{
    const struct config_server *s = &b->generation->config.server;
    char wanted[sizeof(b->listening)];
    (void)snprintf(wanted, sizeof(wanted), "%.90s|%.90s|%.90s", s->listen == NULL ? "" : s->listen,
                   s->health_listen == NULL ? "" : s->health_listen,
                   b->generation->token == NULL ? "" : b->generation->token);
    if (b->api != NULL && strcmp(wanted, b->listening) == 0) {
        return 0;
    }
    if (b->api != NULL) {
        brain_commands_serve(b);
        api_stop(b->api);
        b->api = NULL;
    }
    const struct api_options options = {.listen = s->listen,
                                        .health_listen = s->health_listen,
                                        .token = b->generation->token,
                                        .bundles_fd = b->store.bundles_fd,
                                        .wake = wake,
                                        .wake_arg = b};
    int rc = api_start(&options, &b->api, err);
    if (rc == 0) {
        memcpy(b->listening, wanted, sizeof(wanted));
    }
    return rc;
}

static void answer(struct brain *b, struct api_command *c, int status, const char *detail)
{
    c->http_status = status;
    (void)snprintf(c->detail, sizeof(c->detail), "%s", detail);
    api_answer(b->api, c);
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
    answer(b, c, rc == 0 ? 202 : http_of(rc), err.message);
}

static void delete (struct brain *b, struct api_command *c)
{
    if (brain_captures_find(b, c->capture) != NULL) {
        answer(b, c, 409, "the capture is not sealed yet");
        return;
    }
    if (store_find(&b->store, c->capture) == NULL) {
        answer(b, c, 404, "no such capture");
        return;
    }
    log_info("bundle '%s' is deleted by request", c->capture);
    brain_captures_delete(b, c->capture);
    brain_view_publish(b);
    answer(b, c, 204, "");
}

static void pin(struct brain *b, struct api_command *c)
{
    struct error err = ERROR_INIT;
    int rc = store_pin(&b->store, c->capture, c->pin, &err);
    brain_view_publish(b);
    answer(b, c, rc == 0 ? 204 : http_of(rc), err.message);
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
    close_all(fds, count);
    answer(p->brain, p->command, reply->status == 0 ? 202 : 500, reply->text);
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
    answer(p->brain, p->command, status, reply->text);
    free(p);
}

static void extract(struct brain *b, struct api_command *c)
{
    char name[LIMIT_ID_BYTES + 24];
    (void)snprintf(name, sizeof(name), "%s.tar.zst", c->capture);
    if (store_find(&b->store, c->capture) == NULL || !fs_name_ok(c->capture, LIMIT_ID_BYTES)) {
        answer(b, c, 404, "no such capture");
        return;
    }
    struct wire_message m = {.type = WIRE_EXTRACT};
    if (strlen(c->path) >= sizeof(m.name)) {
        answer(b, c, 404, "no such file in the bundle");
        return;
    }
    AUTO_CLOSE int bundle = openat(b->store.bundles_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (bundle < 0) {
        answer(b, c, 500, "the bundle cannot be opened");
        return;
    }
    (void)snprintf(m.name, sizeof(m.name), "%.255s", c->path);
    const int fds[2] = {bundle, c->output_fd};
    (void)link_request(b->link, &m, fds, 2, on_extract, pend(b, c));
}

void brain_commands_serve(struct brain *b)
{
    if (b->api == NULL) {
        return;
    }
    for (struct api_command *c = api_next(b->api); c != NULL; c = api_next(b->api)) {
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
