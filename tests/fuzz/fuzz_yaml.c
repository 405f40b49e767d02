/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration: problems or a plan, and a plan that decodes to itself. */
#include <errno.h>

#include "base/limits.h"
#include "watchdog/config.h"
#include "watchdog/plan_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void decode_again(const struct config *c)
{
    struct arena arena = ARENA_INIT(16 << 20);
    struct config again;
    AUTO_BUF struct buf first = BUF_INIT(LIMIT_PLAN_BYTES);
    AUTO_BUF struct buf second = BUF_INIT(LIMIT_PLAN_BYTES);
    if (schema_encode(&config_table, c, &first, NULL) == 0) {
        require(schema_decode(&config_table, first.data, first.len, &arena, &again, NULL) == 0);
        require(schema_encode(&config_table, &again, &second, NULL) == 0);
        require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    }
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT(16 << 20);
    AUTO_BUF struct buf out = BUF_INIT(16 << 20);
    AUTO_BUF struct buf plan = BUF_INIT(LIMIT_PLAN_BYTES);
    struct config config;
    struct schema_doc *doc = schema_doc_new("fuzz", (const char *)data, size);
    int rc = config_load(doc, &arena, &config);
    require((rc == 0) == (schema_problem_count(doc, false) == 0) || rc == -ENOMEM);
    schema_render(doc, &out);
    if (rc == 0) {
        struct error err = ERROR_INIT;
        (void)plan_build(&config, &plan, &err);
        decode_again(&config);
    }
    schema_doc_free(doc);
    arena_release(&arena);
    return 0;
}
