/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof: what a Go process tells of itself at net/http/pprof.
 *
 * Each profile is one run of incidentd-fetch (network, no privileges). They run one after the
 * other: Go answers a second CPU profile or a second trace with HTTP 500 "already in use", which
 * incidentd-fetch takes as busy and tries again for a while. Never `gc=1`: it forces a collection,
 * whose cost grows with the heap. The heap is taken before the sampling and after it, so that the
 * growth between the two can be told by function. A process keeps profiling for the whole window
 * even when its client has gone, hence timeouts of seconds + 5.
 *
 * mutex and block are empty unless the service calls SetMutexProfileFraction and
 * SetBlockProfileRate: an empty one is no evidence of no contention. fgprof needs code in the
 * service; it is looked for beside the base URL (…/pprof -> …/fgprof) and skipped when it answers
 * with an error.
 */
#include "collectors/collector.h"

#include <errno.h>

struct pprof_options {
    int64_t profile_ms;
    int64_t trace_ms;
    int64_t fgprof_ms;
    int64_t timeout_ms;
    bool mutex;
    bool block;
};

enum { BEYOND_MS = 5000, RETRY_BUSY_MS = 6000, ANSWER_MAX_BYTES = 64 << 20 };

static const struct schema_option options[] = {
    {.name = "duration",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct pprof_options, profile_ms),
     .fallback = "5s",
     .min = 1000,
     .max = 60000,
     .help = "seconds of the CPU profile"},
    {.name = "trace",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct pprof_options, trace_ms),
     .fallback = "1s",
     .min = 0,
     .max = 10000,
     .help = "seconds of the execution trace; 0s: none"},
    {.name = "fgprof",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct pprof_options, fgprof_ms),
     .fallback = "3s",
     .min = 0,
     .max = 60000,
     .help = "seconds of the wall-clock profile where the service has fgprof; 0s: none"},
    {.name = "timeout",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct pprof_options, timeout_ms),
     .fallback = "5s",
     .min = 500,
     .max = 60000,
     .help = "longest wait for a profile that has no duration (heap, goroutine, ...)"},
    {.name = "mutex",
     .type = SCHEMA_BOOL,
     .offset = offsetof(struct pprof_options, mutex),
     .fallback = "true",
     .help = "fetch the mutex profile; empty unless the service has enabled it"},
    {.name = "block",
     .type = SCHEMA_BOOL,
     .offset = offsetof(struct pprof_options, block),
     .fallback = "true",
     .help = "fetch the block profile; empty unless the service has enabled it"},
    {.name = NULL},
};

static const struct schema_table table = {
    .name = "pprof",
    .help = "options of pprof",
    .size = sizeof(struct pprof_options),
    .options = options,
};

static void probe(const struct collector_target *target, const struct collector_config *config,
                  struct collector_probe *ret)
{
    (void)config;
    ret->available = target->pprof != NULL && target->pprof[0] != '\0';
    if (!ret->available) {
        (void)snprintf(ret->reason, sizeof(ret->reason), "the target has no 'pprof' URL");
        (void)snprintf(ret->remedy, sizeof(ret->remedy),
                       "pprof: http://127.0.0.1:6060/debug/pprof");
    }
}

/* Adds one fetch of `url` into `output`. */
static int fetch(struct collector_plan *plan, const struct collector_config *config,
                 const char *url, const char *output, int64_t timeout_ms, struct error *err)
{
    struct collector_step *step = collector_step_add(plan, STEP_TOOL, err);
    if (step == NULL) {
        return -E2BIG;
    }
    int64_t max_bytes = config->max_bytes > 0 ? config->max_bytes : ANSWER_MAX_BYTES;
    const char *words[] = {"incidentd-fetch",
                           "--timeout-ms",
                           collector_text(plan, "%lld", (long long)timeout_ms),
                           "--max-bytes",
                           collector_text(plan, "%lld", (long long)max_bytes),
                           "--retry-busy-ms",
                           collector_text(plan, "%d", RETRY_BUSY_MS),
                           url,
                           NULL};
    step->argv = arena_alloc(plan->arena, sizeof(words));
    if (step->argv == NULL || url == NULL || words[2] == NULL || words[4] == NULL ||
        words[6] == NULL) {
        return error_set(err, -ENOMEM, "no memory for the plan");
    }
    memcpy(step->argv, words, sizeof(words));
    step->output = output;
    step->sensitivity = COLLECTOR_INTERNAL;
    step->timeout_ms = timeout_ms + 1000; /* its own timeout first: it says why */
    return 0;
}

/* A profile without duration: `path` under the base URL. */
static int fetch_now(const struct collector_target *target, const struct collector_config *config,
                     struct collector_plan *plan, const char *const names[2], struct error *err)
{
    const struct pprof_options *o = config->options;
    return fetch(plan, config, collector_text(plan, "%s/%s", target->pprof, names[0]), names[1],
                 o->timeout_ms, err);
}

/* One that runs for some whole seconds, at least one. */
static int fetch_window(const struct collector_config *config, struct collector_plan *plan,
                        const char *base, const char *output, int64_t duration_ms,
                        struct error *err)
{
    long long seconds = (duration_ms + 999) / 1000;
    return fetch(plan, config, collector_text(plan, "%s?seconds=%lld", base, seconds), output,
                 seconds * 1000 + BEYOND_MS, err);
}

/* "…/debug/pprof" -> "…/debug/fgprof", where fgprof's own documentation puts it. */
static const char *fgprof_url(struct collector_plan *plan, const char *pprof)
{
    static const char tail[] = "/pprof";
    size_t len = strlen(pprof);
    size_t cut = sizeof(tail) - 1;
    bool usual = len > cut && strcmp(pprof + len - cut, tail) == 0;
    return collector_text(plan, "%.*s/fgprof", (int)(usual ? len - cut : len), pprof);
}

static int plan_list(const struct collector_target *target, const struct collector_config *config,
                     struct collector_plan *plan, const char *const (*names)[2], struct error *err)
{
    int rc = 0;
    for (size_t i = 0; names[i][0] != NULL && rc == 0; i++) {
        rc = fetch_now(target, config, plan, names[i], err);
    }
    return rc;
}

static int plan_dump(const struct collector_target *target, const struct collector_config *config,
                     struct collector_plan *plan, struct error *err)
{
    static const char *const always[][2] = {{"goroutine", "goroutine.pb.gz"},
                                            {"threadcreate", "threadcreate.pb.gz"},
                                            {"heap", "heap.before.pb.gz"},
                                            {"allocs", "allocs.before.pb.gz"},
                                            {NULL, NULL}};
    static const char *const mutex[][2] = {{"mutex", "mutex.pb.gz"}, {NULL, NULL}};
    static const char *const block[][2] = {{"block", "block.pb.gz"}, {NULL, NULL}};
    const struct pprof_options *o = config->options;
    int rc = plan_list(target, config, plan, always, err);
    rc = rc == 0 && o->mutex ? plan_list(target, config, plan, mutex, err) : rc;
    return rc == 0 && o->block ? plan_list(target, config, plan, block, err) : rc;
}

static int plan_sample(const struct collector_target *target, const struct collector_config *config,
                       struct collector_plan *plan, struct error *err)
{
    const struct pprof_options *o = config->options;
    int rc = fetch_window(config, plan, collector_text(plan, "%s/profile", target->pprof),
                          "profile.pb.gz", o->profile_ms, err);
    if (rc == 0 && o->trace_ms > 0) {
        rc = fetch_window(config, plan, collector_text(plan, "%s/trace", target->pprof),
                          "trace.out", o->trace_ms, err);
    }
    if (rc == 0 && o->fgprof_ms > 0) {
        rc = fetch_window(config, plan, fgprof_url(plan, target->pprof), "fgprof.pb.gz",
                          o->fgprof_ms, err);
        plan->steps[plan->count - 1].optional = true;
    }
    return rc;
}

static int plan_phase(const struct collector_target *target, const struct collector_config *config,
                      enum collector_phase phase, struct collector_plan *plan, struct error *err)
{
    static const char *const after[][2] = {
        {"heap", "heap.after.pb.gz"}, {"allocs", "allocs.after.pb.gz"}, {NULL, NULL}};
    if (target->pprof == NULL) {
        return 0;
    }
    if (phase == COLLECTOR_DUMP) {
        return plan_dump(target, config, plan, err);
    }
    if (phase == COLLECTOR_SAMPLE) {
        return plan_sample(target, config, plan, err);
    }
    return phase == COLLECTOR_AFTER ? plan_list(target, config, plan, after, err) : 0;
}

static void check(const struct collector_config *config, struct schema_doc *doc)
{
    const struct pprof_options *o = config->options;
    int64_t needs_ms = o->profile_ms + o->trace_ms + o->fgprof_ms + BEYOND_MS;
    int64_t deadline_ms =
        config->deadline_ms > 0 ? config->deadline_ms : collector_pprof.deadline_ms;
    if (deadline_ms < needs_ms) {
        schema_complain(doc, config->deadline_ms > 0 ? &config->deadline_ms : &o->profile_ms, false,
                        "set 'deadline' to the sum of 'duration', 'trace' and 'fgprof' plus 5s",
                        "the profiles do not fit into a deadline of %lld ms",
                        (long long)deadline_ms);
    }
}

const struct collector collector_pprof = {
    .name = "pprof",
    .summary = "Go's own profiles: goroutines, heap before and after, CPU, trace, mutex, block",
    .cost = COLLECTOR_NOTICEABLE,
    .reach = COLLECTOR_HTTP,
    .caps = 0,
    .phases = 1U << COLLECTOR_DUMP | 1U << COLLECTOR_SAMPLE | 1U << COLLECTOR_AFTER,
    .runtimes = 1U << RUNTIME_GO,
    .deadline_ms = 18000,
    .options = &table,
    .probe = probe,
    .plan = plan_phase,
    .check = check,
};
