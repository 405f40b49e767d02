/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perf: CPU stacks by sampling, as perf.data and as text.
 *
 * `-e cpu-clock` by default: where there is no PMU (most virtual machines) perf's own default event
 * fails or falls back in silence. `cycles` is taken only when the configuration asks for it and the
 * kernel opens it for this very process. The duration is that of a `sleep` perf starts itself: it
 * counts from the moment the events are open, which on a loaded machine can be a second after perf
 * was started. Should it not end, SIGINT does it, since the header of perf.data is written last;
 * --no-buildid takes away the pass over all binaries at the end (0.7 s measured),
 * and --no-inline keeps `perf script` from starting addr2line for every frame.
 */
#include "collectors/collector.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

enum perf_event { EVENT_CPU_CLOCK, EVENT_CYCLES };
enum perf_stacks { STACKS_FP, STACKS_DWARF };

struct perf_options {
    int64_t duration_ms;
    int64_t frequency;
    int event;
    int stacks;
    bool script;
};

enum {
    AROUND_MS = 4000, /* to start and to write: 0.7-0.9 s measured on an idle machine */
    SCRIPT_MS = 5000,
};

#define PERF_CAPS ((1ULL << CAP_PERFMON) | (1ULL << CAP_SYS_PTRACE) | (1ULL << CAP_DAC_READ_SEARCH))

static const char *const event_names[] = {"cpu-clock", "cycles", NULL};
static const char *const stack_names[] = {"fp", "dwarf", NULL};

static const struct schema_option options[] = {
    {.name = "duration",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct perf_options, duration_ms),
     .fallback = "5s",
     .min = 100,
     .max = 120000,
     .help = "how long to sample"},
    {.name = "frequency",
     .type = SCHEMA_INT,
     .offset = offsetof(struct perf_options, frequency),
     .fallback = "99",
     .min = 1,
     .max = 199,
     .unit = "Hz",
     .help = "samples per second of each busy CPU; each costs the target about 55 us"},
    {.name = "event",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct perf_options, event),
     .fallback = "cpu-clock",
     .choices = event_names,
     .help = "what to sample by; cycles falls back to cpu-clock where the kernel refuses it"},
    {.name = "stacks",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct perf_options, stacks),
     .fallback = "fp",
     .choices = stack_names,
     .help = "how to unwind: frame pointers, or dwarf for binaries without them (23 times the "
             "bytes)"},
    {.name = "script",
     .type = SCHEMA_BOOL,
     .offset = offsetof(struct perf_options, script),
     .fallback = "true",
     .help = "also write the samples as text (perf script)"},
    {.name = NULL},
};

static const struct schema_table table = {
    .name = "perf",
    .help = "options of perf",
    .size = sizeof(struct perf_options),
    .options = options,
};

static void probe(const struct collector_target *target, const struct collector_config *config,
                  struct collector_probe *ret)
{
    (void)config;
    ret->available = target->pid > 0;
    if (!ret->available) {
        (void)snprintf(ret->reason, sizeof(ret->reason), "there is no process to sample");
    }
}

static bool opens_cycles(pid_t pid)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_HW_CPU_CYCLES,
                                   .disabled = 1};
    attr.exclude_kernel = 1;
    attr.exclude_hv = 1;
    int fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

static const char **record_argv(const struct collector_target *target, const struct perf_options *o,
                                struct collector_plan *plan)
{
    bool cycles = o->event == EVENT_CYCLES && opens_cycles(target->pid);
    const char *words[] = {"perf",
                           "record",
                           "-q",
                           "-e",
                           event_names[cycles ? EVENT_CYCLES : EVENT_CPU_CLOCK],
                           "-F",
                           collector_text(plan, "%lld", (long long)o->frequency),
                           "--call-graph",
                           o->stacks == STACKS_DWARF ? "dwarf,16384" : "fp",
                           "--no-buildid",
                           "--no-buildid-cache",
                           "-p",
                           collector_text(plan, "%d", (int)target->pid),
                           "-o",
                           "perf.data",
                           "--",
                           "sleep",
                           collector_text(plan, "%lld.%03lld", (long long)o->duration_ms / 1000,
                                          (long long)o->duration_ms % 1000),
                           NULL};
    const char **argv = arena_alloc(plan->arena, sizeof(words));
    if (argv != NULL) {
        memcpy(argv, words, sizeof(words));
    }
    return argv;
}

static int plan_sample(const struct collector_target *target, const struct collector_config *config,
                       enum collector_phase phase, struct collector_plan *plan, struct error *err)
{
    static const char *script_argv[] = {"perf", "script",    "--no-inline", "-f",
                                        "-i",   "perf.data", NULL};
    const struct perf_options *o = config->options;
    if (phase != COLLECTOR_SAMPLE) {
        return 0;
    }
    struct collector_step *record = collector_step_add(plan, STEP_TOOL, err);
    if (record == NULL) {
        return -E2BIG;
    }
    record->argv = record_argv(target, o, plan);
    if (record->argv == NULL) {
        return error_set(err, -ENOMEM, "no memory for the plan");
    }
    record->timeout_ms = o->duration_ms + AROUND_MS;
    record->caps = PERF_CAPS;
    struct collector_step *script = o->script ? collector_step_add(plan, STEP_TOOL, err) : NULL;
    if (script != NULL) {
        script->argv = script_argv;
        script->output = "perf.script.txt";
        script->timeout_ms = SCRIPT_MS;
        script->caps = PERF_CAPS;
    }
    return 0;
}

static void check(const struct collector_config *config, struct schema_doc *doc)
{
    const struct perf_options *o = config->options;
    int64_t needs_ms = o->duration_ms + AROUND_MS;
    if (config->deadline_ms > 0 && config->deadline_ms < needs_ms) {
        schema_complain(doc, &config->deadline_ms, false,
                        "leave 4s beside 'duration' for perf to start and to write",
                        "'deadline' is too short for a 'duration' of %lld ms",
                        (long long)o->duration_ms);
    }
    if (config->deadline_ms == 0 && needs_ms > collector_perf.deadline_ms) {
        schema_complain(doc, &o->duration_ms, false, "set 'deadline' to at least 8s more",
                        "a 'duration' of %lld ms passes the default deadline of %lld ms",
                        (long long)o->duration_ms, (long long)collector_perf.deadline_ms);
    }
}

const struct collector collector_perf = {
    .name = "perf",
    .summary = "CPU stacks of all threads by sampling (perf record), also as text",
    .cost = COLLECTOR_NOTICEABLE,
    .reach = COLLECTOR_LOCAL,
    .caps = PERF_CAPS,
    .phases = 1U << COLLECTOR_SAMPLE,
    .runtimes = 1U << RUNTIME_UNKNOWN | 1U << RUNTIME_GO | 1U << RUNTIME_JVM | 1U << RUNTIME_NODE |
                1U << RUNTIME_PYTHON | 1U << RUNTIME_NATIVE,
    .deadline_ms = 18000,
    .options = &table,
    .probe = probe,
    .plan = plan_sample,
    .check = check,
};
