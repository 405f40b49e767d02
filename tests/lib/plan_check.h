/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_check.h: what the tests of the collectors share: options as a configuration text gives them,
 * a plan made from them, and a look at its argument vectors. No privilege, no process.
 */
#ifndef TESTS_LIB_PLAN_CHECK_H
#define TESTS_LIB_PLAN_CHECK_H

#include "collectors/collector.h"

struct plan_check {
    struct arena arena;
    struct collector_config config;
    struct collector_target target;
    struct collector_plan *plan;
    struct schema_doc *doc;
    struct error err;
};

/* Loads `yaml` ("{}": all defaults) by the kind's options; the target is ourselves. Fails the test
 * when it does not load. */
static inline void plan_check_begin(struct plan_check *p, const struct collector *kind,
                                    const char *yaml)
{
    *p = (struct plan_check){.arena = ARENA_INIT(1 << 20)};
    void *options = arena_alloc(&p->arena, kind->options->size);
    p->doc = schema_doc_new("test.yaml", yaml, strlen(yaml));
    if (schema_load(p->doc, kind->options, &p->arena, options) < 0) {
        fail_msg("%s", schema_problem(p->doc, 0)->message);
    }
    p->config =
        (struct collector_config){.name = kind->name, .type = kind->name, .options = options};
    p->target = (struct collector_target){
        .name = "shop", .pid = getpid(), .start_ticks = 1, .pprof = "http://h:1/debug/pprof"};
    p->plan = arena_alloc(&p->arena, sizeof(*p->plan));
    p->plan->arena = &p->arena;
}

static inline int plan_check_plan(struct plan_check *p, const struct collector *kind,
                                  enum collector_phase phase)
{
    p->plan->count = 0;
    return kind->plan(&p->target, &p->config, phase, p->plan, &p->err);
}

static inline void plan_check_end(struct plan_check *p)
{
    schema_doc_free(p->doc);
    arena_release(&p->arena);
}

/* The words of step `i` with blanks between them. */
static inline const char *plan_check_words(const struct plan_check *p, size_t i, struct buf *out)
{
    buf_clear(out);
    for (const char **w = p->plan->steps[i].argv; w != NULL && *w != NULL; w++) {
        (void)buf_addf(out, "%s%s", out->len > 0 ? " " : "", *w);
    }
    return buf_text(out);
}

#endif
