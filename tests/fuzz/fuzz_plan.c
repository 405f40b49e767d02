/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A damaged plan: refused, or safe to use.
 *
 * The first byte chooses. Even: the rest is an encoded configuration. Odd: the rest is a list of
 * changes to a good plan, three bytes each (offset, offset, value), the first two bytes saying how
 * much of its end is cut; so the fuzzer gets behind the checks of the head.
 */
#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "watchdog/config.h"
#include "watchdog/plan.h"
#include "watchdog/plan_build.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
    "targets:\n"
    "  a: {metrics: 'http://h/m', process: {port: 80}, logs: [/l], identity: {version: {env: V}}}\n"
    "rules: [{name: r, slo: {objective: 0.9, good: 'x{c=\"1\"}', total: x, by: [c]}}]\n"
    "collectors: {mine: {type: exec, argv: [/bin/true, x]}}\n"
    "server: {token_file: /t}\n";

static struct buf good = BUF_INIT(LIMIT_PLAN_BYTES);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct arena arena = ARENA_INIT(16 << 20);
    struct config config;
    struct schema_doc *doc = schema_doc_new("seed", yaml, sizeof(yaml) - 1);
    (void)argc;
    (void)argv;
    if (config_load(doc, &arena, &config) < 0 || plan_build(&config, &good, NULL) < 0) {
        abort();
    }
    schema_doc_free(doc);
    arena_release(&arena);
    return 0;
}

/* Reads every text, so that a sanitizer sees a bad pointer. */
static size_t touch(const struct config *c)
{
    size_t sum = 0;
    for (size_t i = 0; i < c->targets.count; i++) {
        const struct config_target *t = config_target_at(c, i);
        sum += t->name == NULL ? 0 : strlen(t->name);
        sum += t->metrics == NULL ? 0 : strlen(t->metrics);
        for (size_t l = 0; l < t->logs.count; l++) {
            sum += strlen(t->logs.items[l]);
        }
    }
    for (size_t i = 0; i < c->rules.count; i++) {
        const struct config_rule *r = config_rule_at(c, i);
        sum += r->slo.total == NULL ? 0 : strlen(r->slo.total);
        sum += (size_t)config_rule_kind(r);
    }
    for (size_t i = 0; i < c->collectors.count; i++) {
        sum += strlen(config_collector_at(c, i)->name) + strlen(config_collector_at(c, i)->type);
    }
    return sum;
}

static void decode(const void *bytes, size_t len)
{
    static volatile size_t sink;
    struct arena arena = ARENA_INIT(16 << 20);
    struct error err = ERROR_INIT;
    struct config config;
    if (schema_decode(&config_table, bytes, len, &arena, &config, &err) == 0) {
        sink = touch(&config);
        AUTO_BUF struct buf again = BUF_INIT(LIMIT_PLAN_BYTES);
        if (schema_encode(&config_table, &config, &again, &err) < 0 || again.len != len ||
            memcmp(again.data, bytes, len) != 0) {
            abort(); /* whatever decodes is the one encoding of what it means */
        }
    }
    (void)sink;
    arena_release(&arena);
}

static void map(const void *bytes, size_t len)
{
    struct error err = ERROR_INIT;
    struct plan plan;
    AUTO_CLOSE int fd = fs_sealed_memfd("fuzz", bytes, len, &err);
    if (fd >= 0 && plan_map(fd, &plan, &err) == 0) {
        decode(plan.config, plan.head->config_len);
        plan_unmap(&plan);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        decode(data + 1, size - 1);
        return 0;
    }
    AUTO_FREE unsigned char *bytes = malloc(good.len);
    size_t len = good.len;
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, good.data, good.len);
    if (size >= 3) {
        size_t cut = ((size_t)data[1] << 8 | data[2]) % 4096;
        len -= data[1] >= 0xf0 ? cut : 0;
    }
    for (size_t i = 3; i + 2 < size; i += 3) {
        bytes[((size_t)data[i] << 8 | data[i + 1]) % len] = data[i + 2];
    }
    map(bytes, len);
    return 0;
}
