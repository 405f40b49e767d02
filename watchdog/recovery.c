/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/recovery.h"

#include <errno.h>

#include "base/clock.h"
#include "base/fs.h"

enum { AT_ONCE = 2 };

struct item {
    struct item *next;
    char id[LIMIT_ID_BYTES + 1];
    char *base;
    bool orphan; /* the trigger is not known: `base` is made of the id */
    bool journal;
};

struct recovery {
    struct recovery_options options;
    struct item *queue;
    struct item **last;
    unsigned under_way;
    unsigned sealed;
    unsigned discards;
    uint32_t index; /* of the staging folder asked for */
    bool asked_all;
    char **staged; /* names seen, to be looked at when all are known */
    size_t staged_count;
};

/* `base` is taken; NULL when the trigger is not known because of `why`. */
static void add(struct recovery *r, const char *id, char *base, const char *why, bool journal)
{
    struct item *item = xcalloc(1, sizeof(*item));
    (void)snprintf(item->id, sizeof(item->id), "%s", id);
    item->base = base != NULL ? base : facts_orphan(id, clock_wall_ms(), why);
    item->orphan = base == NULL;
    item->journal = journal;
    *r->last = item;
    r->last = &item->next;
}

static bool queued(const struct recovery *r, const char *id)
{
    for (const struct item *i = r->queue; i != NULL; i = i->next) {
        if (strcmp(i->id, id) == 0) {
            return true;
        }
    }
    return false;
}

static void finish_if_over(struct recovery *r)
{
    if (!r->asked_all || r->queue != NULL || r->under_way > 0 || r->discards > 0) {
        return;
    }
    for (size_t i = 0; i < r->staged_count; i++) {
        free(r->staged[i]);
    }
    free(r->staged);
    r->options.done(r->sealed, r->options.arg);
    generation_drop(r->options.generation);
    free(r);
}

static void start_next(struct recovery *r)
{
    const struct capture_env *env = r->options.env;
    while (r->queue != NULL && r->under_way < AT_ONCE) {
        struct item *item = r->queue;
        r->queue = item->next;
        if (r->queue == NULL) {
            r->last = &r->queue;
        }
        struct journal_writer *journal =
            item->journal ? journal_writer_new(env->loop, env->journal_fd, item->id) : NULL;
        r->under_way++;
        struct capture *c = capture_recover(env, r->options.generation, item->id, item->base,
                                            item->orphan, journal);
        c->owner = r;
        r->options.took_up(c, r->options.arg);
        free(item->base);
        free(item);
    }
    finish_if_over(r);
}

void recovery_ended(struct recovery *r, struct capture *c)
{
    r->under_way--;
    r->sealed += c->stage == CAPTURE_LISTED ? 1 : 0;
    start_next(r);
}

static void discarded(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct recovery *r = arg;
    (void)reply;
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    r->discards--;
    finish_if_over(r);
}

static void discard(struct recovery *r, const char *id)
{
    struct wire_message m = {.type = WIRE_DISCARD};
    (void)snprintf(m.capture, sizeof(m.capture), "%s", id);
    r->discards++;
    (void)link_request(r->options.env->link, &m, NULL, 0, discarded, r);
}

static void take_journal(struct recovery *r, const char *id)
{
    const struct capture_env *env = r->options.env;
    if (r->options.running(id, r->options.arg)) {
        return;
    }
    if (store_listed(env->bundles_fd, id)) {
        journal_writer_end(journal_writer_new(env->loop, env->journal_fd, id), true, NULL, NULL);
        discard(r, id);
        return;
    }
    struct journal_record record;
    char why[300] = "its journal could not be read";
    char *base = NULL;
    if (journal_read(env->journal_fd, id, &record, NULL) == 0) {
        (void)snprintf(why, sizeof(why), "incidentd was interrupted after the step '%s%s%s'",
                       record.step, record.text[0] == '\0' ? "" : " ", record.text);
        base = facts_partial(record.base, why);
        journal_record_release(&record);
    }
    add(r, id, base, why, true);
}

/* All names are known: what has no journal is an orphan. */
static void take_staged(struct recovery *r)
{
    for (size_t i = 0; i < r->staged_count; i++) {
        const char *id = r->staged[i];
        if (queued(r, id) || r->options.running(id, r->options.arg)) {
            continue;
        }
        if (store_listed(r->options.env->bundles_fd, id)) {
            discard(r, id);
        } else {
            add(r, id, NULL, "incidentd was interrupted, without a journal", false);
        }
    }
    r->asked_all = true;
    start_next(r);
}

static void ask(struct recovery *r);

static void on_staged(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct recovery *r = arg;
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    if (reply->status == 0 && fs_name_ok(reply->capture, LIMIT_ID_BYTES)) {
        r->staged = xrealloc(r->staged, r->staged_count + 1, sizeof(*r->staged));
        r->staged[r->staged_count++] = xstrdup(reply->capture);
        r->index++;
        ask(r);
    } else {
        take_staged(r);
    }
}

static void ask(struct recovery *r)
{
    struct wire_message m = {.type = WIRE_STAGED, .index = r->index};
    (void)link_request(r->options.env->link, &m, NULL, 0, on_staged, r);
}

struct recovery *recovery_start(const struct recovery_options *options)
{
    struct recovery *r = xcalloc(1, sizeof(*r));
    r->options = *options;
    r->options.generation = generation_hold(options->generation);
    r->last = &r->queue;
    char **ids = journal_list(options->env->journal_fd, NULL);
    for (size_t i = 0; ids != NULL && ids[i] != NULL; i++) {
        take_journal(r, ids[i]);
    }
    journal_free_ids(ids);
    ask(r);
    return r;
}
