/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/plan_build.h"

#include "watchdog/plan.h"

#include <errno.h>

/* Copies `text` (NULL: "") into a field of the head. */
static int put_text(char *field, size_t size, const char *text, const char *what, struct error *err)
{
    size_t len = text == NULL ? 0 : strlen(text);
    if (len >= size) {
        return error_set(err, -ENAMETOOLONG, "'%s' has more than %zu bytes", what, size - 1);
    }
    (void)snprintf(field, size, "%s", text == NULL ? "" : text);
    return 0;
}

static int put_targets(const struct config *c, struct plan_head *h, struct error *err)
{
    if (c->targets.count > LIMIT_TARGETS) {
        return error_set(err, -E2BIG, "more than %d targets", LIMIT_TARGETS);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->targets.count; i++) {
        rc = put_text(h->targets[i].name, sizeof(h->targets[i].name), config_target_at(c, i)->name,
                      "name of a target", err);
    }
    h->target_count = (uint32_t)c->targets.count;
    return rc;
}

static int put_collector(const struct collector_config *c, struct plan_collector *ret,
                         struct error *err)
{
    const struct collector *kind = collector_find(c->type);
    if (kind == NULL) {
        return error_set(err, -EINVAL, "there is no kind of collector called '%s'", c->type);
    }
    ret->caps = kind->caps;
    ret->phases = kind->phases;
    ret->pausing = kind->cost == COLLECTOR_PAUSING ? 1 : 0;
    ret->deadline_ms = c->deadline_ms;
    ret->max_bytes = c->max_bytes;
    return put_text(ret->name, sizeof(ret->name), c->name, "name of a collector", err);
}

static int put_collectors(const struct config *c, struct plan_head *h, struct error *err)
{
    if (c->collectors.count > LIMIT_COLLECTORS) {
        return error_set(err, -E2BIG, "more than %d collectors", LIMIT_COLLECTORS);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->collectors.count; i++) {
        rc = put_collector(config_collector_at(c, i), &h->collectors[i], err);
    }
    h->collector_count = (uint32_t)c->collectors.count;
    return rc;
}

static int put_secrets(const struct config *c, struct plan_head *h, struct error *err)
{
    if (c->server.token_file == NULL) {
        return 0;
    }
    h->secret_count = 1;
    return put_text(h->secrets[0].path, sizeof(h->secrets[0].path), c->server.token_file,
                    "server.token_file", err);
}

static int put_process(const struct config *c, struct plan_head *h, struct error *err)
{
    h->shutdown_timeout_ms = c->process.shutdown_timeout_ms;
    h->log_level = c->process.log_level;
    h->log_format = c->process.log_format;
    int rc = put_text(h->store_path, sizeof(h->store_path), c->store.path, "store.path", err);
    if (rc == 0) {
        rc = put_text(h->user, sizeof(h->user), c->process.user, "process.user", err);
    }
    return rc < 0 ? rc
                  : put_text(h->work_user, sizeof(h->work_user), c->process.work_user,
                             "process.work_user", err);
}

/* Fills the fixed part; the caller frees it. */
static int fill_head(const struct config *c, struct plan_head *h, struct error *err)
{
    memcpy(h->magic, PLAN_MAGIC, sizeof(h->magic));
    h->abi = plan_abi();
    int rc = put_targets(c, h, err);
    rc = rc < 0 ? rc : put_collectors(c, h, err);
    rc = rc < 0 ? rc : put_secrets(c, h, err);
    return rc < 0 ? rc : put_process(c, h, err);
}

int plan_build(const struct config *c, struct buf *out, struct error *err)
{
    AUTO_FREE struct plan_head *h = xcalloc(1, sizeof(*h));
    AUTO_BUF struct buf encoded = BUF_INIT(LIMIT_PLAN_BYTES - sizeof(*h));
    int rc = fill_head(c, h, err);
    rc = rc < 0 ? rc : schema_encode(&config_table, c, &encoded, err);
    if (rc < 0) {
        return rc;
    }
    h->config_len = encoded.len;
    (void)buf_add(out, h, sizeof(*h));
    (void)buf_add(out, buf_text(&encoded), encoded.len);
    return buf_failed(out) ? error_set(err, -EMSGSIZE, "the plan does not fit") : 0;
}
