/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: what is built is what is read, and a damaged one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/plan.h"

#include "base/fs.h"
#include "watchdog/plan_build.h"

#include <errno.h>
#include <sys/mman.h>

static const char yaml[] =
    "targets:\n"
    "  shop:\n"
    "    metrics: http://127.0.0.1:8080/metrics\n"
    "    process: {port: 8080}\n"
    "    identity: {version: {env: V}}\n"
    "    logs: [/var/log/shop.log]\n"
    "rules:\n"
    "  - name: availability\n"
    "    slo: {objective: 0.999, good: 'x{code!~\"5..\"}', total: x, by: [code]}\n"
    "    capture: [auto, mine]\n"
    "collectors:\n"
    "  mine: {type: exec, argv: [/bin/true, '{target.pid}'], deadline: 5s, max_bytes: 1MiB}\n"
    "server: {token_file: /run/token}\n"
    "store: {path: /srv/incidents}\n"
    "process: {log_level: warn, log_format: json, shutdown_timeout: 7s}\n";

static void build(struct buf *out)
{
    struct arena arena = ARENA_INIT(4 << 20);
    struct error err = ERROR_INIT;
    struct config config;
    struct schema_doc *doc = schema_doc_new("t.yaml", yaml, strlen(yaml));
    assert_int_equal(config_load(doc, &arena, &config), 0);
    assert_int_equal(plan_build(&config, out, &err), 0);
    schema_doc_free(doc);
    arena_release(&arena);
}

static int map(const struct buf *bytes, struct plan *ret, struct error *err)
{
    int fd = fs_sealed_memfd("plan", bytes->data, bytes->len, err);
    assert_true(fd >= 0);
    int rc = plan_map(fd, ret, err);
    (void)close(fd);
    return rc;
}

static void reads_what_was_built(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT(LIMIT_PLAN_BYTES);
    struct error err = ERROR_INIT;
    struct plan plan;
    build(&bytes);
    assert_int_equal(map(&bytes, &plan, &err), 0);
    const struct plan_head *h = plan.head;
    assert_int_equal(h->target_count, 1);
    assert_string_equal(h->targets[0].name, "shop");
    assert_string_equal(h->store_path, "/srv/incidents");
    assert_string_equal(h->user, "incidentd");
    assert_int_equal(h->secret_count, 1);
    assert_string_equal(h->secrets[0].path, "/run/token");
    assert_int_equal(h->log_level, 2);
    assert_int_equal(h->log_format, 1);
    assert_int_equal(h->shutdown_timeout_ms, 7000);
    assert_string_equal(h->collectors[0].name, "mine");
    assert_int_equal(h->collectors[0].deadline_ms, 5000);
    assert_int_equal(h->collectors[0].max_bytes, 1 << 20);
    plan_unmap(&plan);
    buf_release(&bytes);
}

static void carries_the_configuration(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT(LIMIT_PLAN_BYTES);
    struct arena arena = ARENA_INIT(4 << 20);
    struct error err = ERROR_INIT;
    struct config config;
    struct plan plan;
    build(&bytes);
    assert_int_equal(map(&bytes, &plan, &err), 0);
    assert_int_equal(
        schema_decode(&config_table, plan.config, plan.head->config_len, &arena, &config, &err), 0);
    assert_int_equal(config.collectors.count, plan.head->collector_count);
    for (size_t i = 0; i < config.collectors.count; i++) { /* the same index in both */
        assert_string_equal(config_collector_at(&config, i)->name, plan.head->collectors[i].name);
    }
    assert_string_equal(config_target_at(&config, 0)->identity.version_env, "V");
    assert_string_equal(config_target_at(&config, 0)->logs.items[0], "/var/log/shop.log");
    assert_int_equal(config.rules.count, 4);
    assert_string_equal(config_rule_at(&config, 0)->slo.by.items[0], "code");
    assert_true(config_rule_at(&config, 0)->slo.present);
    assert_string_equal(config_rule_at(&config, 3)->name, "traffic_lost");
    assert_string_equal(config_rule_at(&config, 3)->slo.total, "x");
    arena_release(&arena);
    plan_unmap(&plan);
    buf_release(&bytes);
}

static void refuses_damage(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        unsigned char value;
    } damage[] = {
        {offsetof(struct plan_head, magic), 'x'},
        {offsetof(struct plan_head, abi), 0x5a},
        {offsetof(struct plan_head, target_count) + 3, 1},
        {offsetof(struct plan_head, collector_count), LIMIT_COLLECTORS + 1},
        {offsetof(struct plan_head, secret_count), LIMIT_SECRETS + 1},
        {offsetof(struct plan_head, config_len) + 7, 1},
        {offsetof(struct plan_head, config_len), 1},
        {offsetof(struct plan_head, log_level), 9},
        {offsetof(struct plan_head, shutdown_timeout_ms) + 7, 0xff},
        {offsetof(struct plan_head, store_path), 'x'},
        {offsetof(struct plan_head, user), '/'},
        {offsetof(struct plan_head, targets), '.'},
        {offsetof(struct plan_head, secrets), 'x'},
        {offsetof(struct plan_head, collectors) + offsetof(struct plan_collector, name), '/'},
        {offsetof(struct plan_head, collectors) + offsetof(struct plan_collector, pausing), 2},
        {offsetof(struct plan_head, collectors) + offsetof(struct plan_collector, deadline_ms) + 7,
         0x80},
    };
    struct buf bytes = BUF_INIT(LIMIT_PLAN_BYTES);
    build(&bytes);
    for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
        struct error err = ERROR_INIT;
        struct plan plan;
        char kept = bytes.data[damage[i].offset];
        bytes.data[damage[i].offset] = (char)damage[i].value;
        assert_int_equal(map(&bytes, &plan, &err), -EPROTO);
        assert_true(strncmp(err.message, "refused a plan: ", 16) == 0);
        bytes.data[damage[i].offset] = kept;
    }
    memset(bytes.data + offsetof(struct plan_head, store_path), 'a', PLAN_PATH_BYTES);
    bytes.data[offsetof(struct plan_head, store_path)] = '/';
    struct error err = ERROR_INIT;
    struct plan plan;
    assert_int_equal(map(&bytes, &plan, &err), -EPROTO);
    buf_release(&bytes);
}

static void refuses_what_is_cut_or_not_sealed(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT(LIMIT_PLAN_BYTES);
    struct error err = ERROR_INIT;
    struct plan plan;
    build(&bytes);
    bytes.len--;
    assert_int_equal(map(&bytes, &plan, &err), -EPROTO);
    bytes.len = sizeof(struct plan_head) - 1;
    assert_int_equal(map(&bytes, &plan, &err), -EPROTO);
    bytes.len = 0;
    assert_int_equal(map(&bytes, &plan, &err), -EPROTO);
    int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(plan_map(fd, &plan, &err), -EPROTO);
    (void)close(fd);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_built),
        cmocka_unit_test(carries_the_configuration),
        cmocka_unit_test(refuses_damage),
        cmocka_unit_test(refuses_what_is_cut_or_not_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
