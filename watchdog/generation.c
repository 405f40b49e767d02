/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/generation.h"

#include <errno.h>

#include "base/fs.h"

enum { TOKEN_BYTES = 4096, CONFIG_ARENA_BYTES = 64 << 20 };

static char *read_token(int fd)
{
    AUTO_BUF struct buf text = BUF_INIT(TOKEN_BYTES);
    if (fs_read_fd(fd, &text, NULL) < 0) {
        return NULL;
    }
    char *token = buf_take(&text);
    size_t len = strlen(token);
    while (len > 0 && (unsigned char)token[len - 1] <= ' ') {
        token[--len] = '\0';
    }
    if (len == 0) {
        free(take_ptr(token));
    }
    return token;
}

int generation_new(uint32_t number, int plan_fd, const int *secret_fds, uint32_t secret_mask,
                   struct generation **ret, struct error *err)
{
    struct generation *g = xcalloc(1, sizeof(*g));
    g->references = 1;
    g->number = number;
    g->arena = (struct arena)ARENA_INIT(CONFIG_ARENA_BYTES);
    int rc = plan_map(plan_fd, &g->plan, err);
    if (rc < 0) {
        free(g);
        return rc;
    }
    rc = schema_decode(&config_table, g->plan.config, (size_t)g->plan.head->config_len, &g->arena,
                       &g->config, err);
    if (rc == 0 && g->config.server.token_file != NULL) {
        /* The one secret of today, hence the first bit. */
        g->token = (secret_mask & 1) != 0 ? read_token(secret_fds[0]) : NULL;
        if (g->token == NULL) {
            rc = error_set(err, -EACCES, "no token can be read from '%s'",
                           g->config.server.token_file);
        }
    }
    if (rc < 0) {
        generation_drop(g);
        return rc;
    }
    *ret = g;
    return 0;
}

struct generation *generation_hold(struct generation *g)
{
    g->references++;
    return g;
}

void generation_drop(struct generation *g)
{
    if (g == NULL || --g->references > 0) {
        return;
    }
    plan_unmap(&g->plan);
    arena_release(&g->arena);
    free(g->token);
    free(g);
}

static bool names(const struct schema_strings *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

size_t generation_collectors(const struct generation *g, const struct schema_strings *capture,
                             enum collector_runtime runtime, uint32_t *ret_index, bool *listed)
{
    bool by_runtime = capture->count == 0 || names(capture, "auto");
    size_t count = 0;
    for (size_t i = 0; i < g->config.collectors.count && count < LIMIT_COLLECTORS; i++) {
        const struct collector_config *c = config_collector_at(&g->config, i);
        const struct collector *kind = collector_find(c->type);
        if (kind == NULL || i >= g->plan.head->collector_count) {
            continue;
        }
        bool named = names(capture, c->name);
        bool chosen =
            by_runtime && strcmp(c->name, c->type) == 0 && (kind->runtimes >> runtime & 1) != 0;
        if (named || chosen) {
            ret_index[count] = (uint32_t)i;
            listed[count++] = named;
        }
    }
    return count;
}

int generation_rule(const struct generation *g, const char *target, const char *name)
{
    for (size_t i = 0; i < g->config.rules.count; i++) {
        const struct config_rule *r = config_rule_at(&g->config, i);
        if (strcmp(r->target, target) == 0 && strcmp(r->name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}
