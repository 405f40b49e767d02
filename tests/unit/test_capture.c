/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture against a peer that plays incidentd on the other end of the wire: it records what is
 * asked in which order and answers as the test wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "base/fs.h"
#include "watchdog/capture.h"
#include "watchdog/recovery.h"

struct peer {
    char path[64];
    int root_fd;
    int fd; /* incidentd's end */
    uv_loop_t loop;
    uv_poll_t poll;
    uv_timer_t timer;
    struct link *link;
    struct store store;
    struct generation *generation;
    struct capture_env env;
    struct recovery *recovery;
    struct buf asked; /* "BEGIN ADD:trigger.json RUN:proc:instant ..." */
    bool hold_runs;   /* RUNs are answered at CANCEL only */
    bool fail_explain;
    unsigned fail_packs;
    uint64_t held[64];
    size_t held_count;
    char staged[64];    /* folder left from before, "" none */
    char base[8192];    /* last base.json or trigger.json */
    bool journal_first; /* the journal was there when BEGIN came */
    unsigned collected;
    unsigned ended;
    unsigned troubles;
    bool lost;
    struct store_entry entry;
    char error[512];
};

static const char id[] = "t_r_20261124T083112.345Z_pod_a1b2";

static void say(struct peer *p, const char *what, const char *detail)
{
    (void)buf_addf(&p->asked, "%s%s%s%s", p->asked.len == 0 ? "" : " ", what,
                   detail[0] == '\0' ? "" : ":", detail);
}

static void reply(struct peer *p, const struct wire_message *m, int status, const char *text)
{
    struct wire_message r = *m;
    r.reply = 1;
    r.status = status;
    (void)snprintf(r.text, sizeof(r.text), "%s", text);
    assert_int_equal(wire_send(p->fd, &r, NULL, 0, NULL), 0);
}

static void write_bundle(const struct wire_message *m, const int *fds)
{
    unsigned char digest[32];
    char hex[65];
    char line[1024];
    (void)SHA256((const unsigned char *)"bundle", 6, digest);
    for (int i = 0; i < 32; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    assert_int_equal(fs_write_all(fds[0], "bundle", 6, NULL), 0);
    int n = snprintf(line, sizeof(line),
                     "{\"ok\":true,\"sha256\":\"%s\",\"size\":6,\"manifest\":{\"id\":\"%s\"}}\n",
                     hex, m->capture);
    assert_int_equal(fs_write_all(fds[1], line, (size_t)n, NULL), 0);
}

static void on_run(struct peer *p, const struct wire_message *m)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%s:%s",
                   config_collector_at(&p->generation->config, m->collector)->name,
                   collector_phase_name((enum collector_phase)m->phase));
    say(p, "RUN", text);
    if (p->hold_runs) {
        p->held[p->held_count++] = m->id;
    } else {
        reply(p, m, 0, "");
    }
}

static void on_cancel(struct peer *p, const struct wire_message *m)
{
    for (size_t i = 0; i < p->held_count; i++) {
        if (p->held[i] == m->run_id) {
            const struct wire_message run = {
                .type = WIRE_RUN, .id = m->run_id, .outcome = WIRE_INTERRUPTED};
            p->held[i] = 0;
            say(p, "CANCEL", "");
            reply(p, &run, 0, "");
        }
    }
    reply(p, m, 0, "");
}

static void serve(struct peer *p, const struct wire_message *m, const int *fds)
{
    char journal[LIMIT_ID_BYTES + 16];
    switch ((enum wire_type)m->type) {
    case WIRE_BEGIN:
        say(p, "BEGIN", "");
        (void)snprintf(journal, sizeof(journal), "%s.jsonl", m->capture);
        p->journal_first = faccessat(p->store.journal_fd, journal, F_OK, 0) == 0;
        reply(p, m, 0, "");
        break;
    case WIRE_ADD: {
        struct buf text = BUF_INIT(sizeof(p->base) - 1);
        say(p, "ADD", m->name);
        assert_int_equal(fs_read_fd(fds[0], &text, NULL), 0);
        if (strcmp(m->name, "report.json") != 0) {
            memcpy(p->base, buf_text(&text), text.len + 1);
        }
        buf_release(&text);
        reply(p, m, 0, "");
        break;
    }
    case WIRE_RUN:
        on_run(p, m);
        break;
    case WIRE_CANCEL:
        on_cancel(p, m);
        break;
    case WIRE_EXPLAIN:
        say(p, "EXPLAIN", "");
        if (!p->fail_explain) {
            assert_int_equal(fs_write_all(fds[0], "{\"headline\":\"\"}", 15, NULL), 0);
        }
        reply(p, m, p->fail_explain ? -EIO : 0, "killed by SIGSEGV");
        break;
    case WIRE_PACK:
        say(p, "PACK", "");
        if (p->fail_packs > 0) {
            p->fail_packs--;
            reply(p, m, -EIO, "no space");
        } else {
            write_bundle(m, fds);
            reply(p, m, 0, "");
        }
        break;
    case WIRE_DISCARD:
        say(p, "DISCARD", "");
        reply(p, m, 0, "");
        break;
    case WIRE_STAGED: {
        struct wire_message r = *m;
        (void)snprintf(r.capture, sizeof(r.capture), "%s", p->staged);
        reply(p, &r, m->index == 0 && p->staged[0] != '\0' ? 0 : -ENOENT, "");
        break;
    }
    case WIRE_PLAN:
    case WIRE_STOP:
    case WIRE_RELOAD_FAILED:
    case WIRE_FIND:
    case WIRE_EXTRACT:
    case WIRE_RELOAD:
    case WIRE_ALIVE:
        fail_msg("unexpected request %u", m->type);
    }
}

static void on_wire(uv_poll_t *poll, int status, int events)
{
    struct peer *p = poll->data;
    (void)status;
    (void)events;
    struct wire_message m;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    while (wire_receive(p->fd, &m, fds, &count, NULL) == 1) {
        serve(p, &m, fds);
        for (size_t i = 0; i < count; i++) {
            (void)close(fds[i]);
        }
        count = 0;
    }
}

static void on_order(const struct wire_message *m, int *fds, size_t count, void *arg)
{
    (void)m;
    (void)fds;
    (void)count;
    (void)arg;
}
static void on_closed(void *arg)
{
    (void)arg;
}
static void on_changed(struct capture *c, void *arg)
{
    (void)c;
    (void)arg;
}
static void on_collected(struct capture *c, void *arg)
{
    struct peer *p = arg;
    (void)c;
    p->collected++;
}
static void on_trouble(struct capture *c, const char *what, void *arg)
{
    struct peer *p = arg;
    (void)c;
    (void)what;
    p->troubles++;
}
static void on_sealed(struct capture *c, const struct store_entry *entry, const struct error *err,
                      void *arg)
{
    struct peer *p = arg;
    (void)c;
    p->lost = entry == NULL;
    if (entry != NULL) {
        p->entry = *entry;
    } else {
        (void)snprintf(p->error, sizeof(p->error), "%s", err->message);
    }
}
static void on_ended(struct capture *c, void *arg)
{
    struct peer *p = arg;
    p->ended++;
    if (c->owner != NULL) {
        recovery_ended(c->owner, c);
    }
}

/* A plan of three collectors as config and head, built by hand. */
static struct collector_config collectors[] = {
    {.name = "proc", .type = "proc"},
    {.name = "perf", .type = "perf"},
    {.name = "strace", .type = "strace", .allow_pause = true},
};

static struct generation *make_generation(void)
{
    struct generation *g = xcalloc(1, sizeof(*g));
    struct plan_head *head = xcalloc(1, sizeof(*head));
    g->references = 1;
    g->number = 1;
    g->config.collectors = (struct schema_list){.items = collectors, .count = 3};
    head->collector_count = 3;
    head->collectors[0].phases = 1U << COLLECTOR_INSTANT | 1U << COLLECTOR_AFTER;
    head->collectors[1].phases = 1U << COLLECTOR_SAMPLE;
    head->collectors[2].phases = 1U << COLLECTOR_TRACE;
    for (int i = 0; i < 3; i++) {
        head->collectors[i].deadline_ms = 1000;
    }
    g->plan.head = head;
    return g;
}

static int open_peer(void **state)
{
    struct peer *p = xcalloc(1, sizeof(*p));
    int pair[2];
    (void)snprintf(p->path, sizeof(p->path), "/tmp/incidentd-capture-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->root_fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(store_open(p->root_fd, &p->store, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(uv_loop_init(&p->loop), 0);
    const struct link_handlers handlers = {.order = on_order, .closed = on_closed, .arg = p};
    p->fd = pair[0];
    p->link = link_open(&p->loop, pair[1], &handlers);
    p->poll.data = p;
    p->timer.data = p;
    (void)uv_timer_init(&p->loop, &p->timer);
    (void)uv_poll_init(&p->loop, &p->poll, p->fd);
    (void)uv_poll_start(&p->poll, UV_READABLE, on_wire);
    buf_init(&p->asked, 65536);
    p->generation = make_generation();
    p->env = (struct capture_env){.loop = &p->loop,
                                  .link = p->link,
                                  .bundles_fd = p->store.bundles_fd,
                                  .journal_fd = p->store.journal_fd,
                                  .changed = on_changed,
                                  .collected = on_collected,
                                  .sealed = on_sealed,
                                  .trouble = on_trouble,
                                  .ended = on_ended,
                                  .arg = p};
    *state = p;
    return 0;
}

static int close_peer(void **state)
{
    struct peer *p = *state;
    link_close(p->link);
    uv_close((uv_handle_t *)&p->poll, NULL);
    uv_close((uv_handle_t *)&p->timer, NULL);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    (void)close(p->fd);
    store_close(&p->store);
    (void)close(p->root_fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, p->path, NULL), 0);
    buf_release(&p->asked);
    assert_int_equal(p->generation->references, 1);
    union {
        const struct plan_head *given;
        void *owned;
    } head = {.given = p->generation->plan.head};
    free(head.owned);
    free(p->generation);
    free(p);
    return 0;
}

static struct capture *begin(struct peer *p, enum watch_grade grade)
{
    static const char *items[] = {"proc", "perf", "strace"};
    static const struct schema_strings all = {.items = items, .count = 3};
    struct facts f = {.grade = grade, .trigger_ms = 1764000000000, .onset_ms = 1763999999000};
    (void)snprintf(f.id, sizeof(f.id), "%s", id);
    (void)snprintf(f.target, sizeof(f.target), "t");
    (void)snprintf(f.reason, sizeof(f.reason), "onset");
    const struct capture_request q = {
        .generation = p->generation, .capture = &all, .runtime = RUNTIME_NATIVE, .facts = &f};
    struct capture *c = capture_new(&p->env, &q);
    capture_begin(c);
    return c;
}

static void run_until_ended(struct peer *p)
{
    while (p->ended == 0) {
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

static void run_until_asked(struct peer *p, const char *what)
{
    while (strstr(buf_text(&p->asked), what) == NULL) {
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

static bool journal_is_there(const struct peer *p)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "%s.jsonl", id);
    return faccessat(p->store.journal_fd, name, F_OK, 0) == 0;
}

static void a_full_capture_goes_all_the_way(void **state)
{
    struct peer *p = *state;
    (void)begin(p, WATCH_FULL);
    run_until_ended(p);
    assert_string_equal(buf_text(&p->asked),
                        "BEGIN RUN:proc:instant ADD:trigger.json RUN:perf:sample RUN:proc:after "
                        "RUN:strace:trace ADD:base.json EXPLAIN ADD:report.json PACK DISCARD");
    assert_true(p->journal_first);
    assert_false(p->lost);
    assert_int_equal(p->collected, 1);
    assert_true(store_listed(p->store.bundles_fd, id));
    assert_false(journal_is_there(p));
    assert_string_equal(p->entry.id, id);
    assert_non_null(strstr(p->base, "\"partial\":false"));
}

static void a_light_capture_stops_after_dumps(void **state)
{
    struct peer *p = *state;
    (void)begin(p, WATCH_LIGHT);
    run_until_ended(p);
    assert_string_equal(buf_text(&p->asked),
                        "BEGIN RUN:proc:instant ADD:trigger.json ADD:base.json "
                        "EXPLAIN ADD:report.json PACK DISCARD");
}

static void raising_widens_a_light_capture(void **state)
{
    struct peer *p = *state;
    p->hold_runs = true;
    struct capture *c = begin(p, WATCH_LIGHT);
    run_until_asked(p, "RUN:proc:instant");
    const struct watch_event event = {.grade = WATCH_FULL};
    assert_true(capture_raise(c, &event));
    p->hold_runs = false;
    const struct wire_message run = {.type = WIRE_RUN, .id = p->held[0]};
    reply(p, &run, 0, "");
    run_until_ended(p);
    assert_non_null(strstr(buf_text(&p->asked), "RUN:strace:trace"));
    assert_non_null(strstr(p->base, "\"grade\":\"full\""));
}

static void a_failing_explain_costs_the_report_only(void **state)
{
    struct peer *p = *state;
    p->fail_explain = true;
    (void)begin(p, WATCH_LIGHT);
    run_until_ended(p);
    assert_null(strstr(buf_text(&p->asked), "ADD:report.json"));
    assert_true(store_listed(p->store.bundles_fd, id));
}

static void a_failing_pack_is_tried_again(void **state)
{
    struct peer *p = *state;
    p->fail_packs = 1;
    (void)begin(p, WATCH_LIGHT);
    run_until_ended(p);
    assert_false(p->lost);
    assert_true(store_listed(p->store.bundles_fd, id));
}

static void a_second_failure_keeps_staging_and_journal(void **state)
{
    struct peer *p = *state;
    p->fail_packs = 2;
    (void)begin(p, WATCH_LIGHT);
    run_until_ended(p);
    assert_true(p->lost);
    assert_string_equal(p->error, "no space");
    assert_null(strstr(buf_text(&p->asked), "DISCARD"));
    assert_true(journal_is_there(p));
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    struct journal_record r;
    while (journal_read(p->store.journal_fd, id, &r, NULL) == 0 &&
           strcmp(r.step, "lost-pending") != 0) {
        journal_record_release(&r);
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
    assert_string_equal(r.text, "no space");
    journal_record_release(&r);
}

static void stopping_seals_what_runs_as_partial(void **state)
{
    struct peer *p = *state;
    p->hold_runs = true;
    struct capture *c = begin(p, WATCH_FULL);
    run_until_asked(p, "RUN:proc:instant");
    capture_stop(c, "told to stop");
    run_until_ended(p);
    assert_non_null(strstr(buf_text(&p->asked), "CANCEL"));
    assert_null(strstr(buf_text(&p->asked), "RUN:perf"));
    assert_non_null(strstr(p->base, "\"partial\":true,\"partial_why\":\"told to stop\""));
    assert_true(store_listed(p->store.bundles_fd, id));
}

static bool none_running(const char *name, void *arg)
{
    (void)name;
    (void)arg;
    return false;
}
static void took_up(struct capture *c, void *arg)
{
    (void)c;
    (void)arg;
}
static void recovered(unsigned sealed, void *arg)
{
    struct peer *p = arg;
    p->collected = 100 + sealed;
    p->ended = 1000;
}

static void recover(struct peer *p)
{
    const struct recovery_options options = {.env = &p->env,
                                             .generation = p->generation,
                                             .running = none_running,
                                             .took_up = took_up,
                                             .done = recovered,
                                             .arg = p};
    p->recovery = recovery_start(&options);
    while (p->ended != 1000) {
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

static void a_journal_is_sealed_as_partial(void **state)
{
    struct peer *p = *state;
    char base[256];
    (void)snprintf(base, sizeof(base), "{\"id\":\"%s\",\"partial\":false}", id);
    assert_int_equal(journal_create(p->store.journal_fd, id, base, 1, NULL), 0);
    (void)snprintf(p->staged, sizeof(p->staged), "%s", id);
    recover(p);
    assert_int_equal(p->collected, 101);
    assert_string_equal(buf_text(&p->asked),
                        "BEGIN ADD:base.json EXPLAIN ADD:report.json PACK DISCARD");
    assert_non_null(strstr(p->base, "\"partial\":true,\"partial_why\":\"incidentd was interrupted "
                                    "after the step 'trigger'\""));
    assert_true(store_listed(p->store.bundles_fd, id));
    assert_false(journal_is_there(p));
}

static void a_listed_bundle_is_cleaned_up_behind(void **state)
{
    struct peer *p = *state;
    char name[128];
    (void)snprintf(name, sizeof(name), "%s.tar.zst", id);
    assert_int_equal(fs_replace_at(p->store.bundles_fd, name, "b", 1, 0600, NULL), 0);
    assert_int_equal(journal_create(p->store.journal_fd, id, "{}", 1, NULL), 0);
    recover(p);
    assert_int_equal(p->collected, 100);
    assert_string_equal(buf_text(&p->asked), "DISCARD");
    while (journal_is_there(p)) {
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

static void staging_without_a_journal_is_sealed(void **state)
{
    struct peer *p = *state;
    (void)snprintf(p->staged, sizeof(p->staged), "%s", id);
    recover(p);
    assert_int_equal(p->collected, 101);
    assert_true(store_listed(p->store.bundles_fd, id));
    assert_string_equal(buf_text(&p->asked),
                        "BEGIN ADD:orphan.json EXPLAIN ADD:report.json PACK DISCARD");
    assert_non_null(strstr(p->base, "\"wall\":\"2026-11-24T08:31:12.345Z\""));
}

static void nothing_left_is_nothing_done(void **state)
{
    struct peer *p = *state;
    recover(p);
    assert_int_equal(p->collected, 100);
    assert_string_equal(buf_text(&p->asked), "");
}

#define PEER_TEST(name) cmocka_unit_test_setup_teardown(name, open_peer, close_peer)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(a_full_capture_goes_all_the_way),
        PEER_TEST(a_light_capture_stops_after_dumps),
        PEER_TEST(raising_widens_a_light_capture),
        PEER_TEST(a_failing_explain_costs_the_report_only),
        PEER_TEST(a_failing_pack_is_tried_again),
        PEER_TEST(a_second_failure_keeps_staging_and_journal),
        PEER_TEST(stopping_seals_what_runs_as_partial),
        PEER_TEST(a_journal_is_sealed_as_partial),
        PEER_TEST(a_listed_bundle_is_cleaned_up_behind),
        PEER_TEST(staging_without_a_journal_is_sealed),
        PEER_TEST(nothing_left_is_nothing_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
