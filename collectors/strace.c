/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strace: which system calls, how often, how long: a table, then a short raw trace.
 *
 * It slows a busy target 5 to 7 times while it runs (measured), so it is last, alone, and only
 * where a rule lists it and allow_pause is set. `-s 0` keeps the bytes of buffers out of the trace;
 * path names and addresses remain, which is why the trace is secret. A filter would not make it
 * cheaper: after an attach every call stops twice whatever the filter says. A stopped target (state
 * T) is left alone: a tracer's attach and detach would disturb whoever stopped it.
 */
#include "collectors/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>

struct strace_options {
    int64_t duration_ms;
    int64_t trace_ms;
};

enum { DETACH_MS = 3000 };

static const struct schema_option options[] = {
    {.name = "duration",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct strace_options, duration_ms),
     .fallback = "3s",
     .min = 100,
     .max = 30000,
     .help = "how long to count calls (-f -c)"},
    {.name = "trace",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct strace_options, trace_ms),
     .fallback = "1s",
     .min = 0,
     .max = 10000,
     .help = "how long to trace single calls (-f -ttT -s 0); 0s: not at all"},
    {.name = NULL},
};

static const struct schema_table table = {
    .name = "strace",
    .help = "options of strace",
    .size = sizeof(struct strace_options),
    .options = options,
};

/* State letter of /proc/PID/stat, '\0' when there is no such process. */
static char state_of(pid_t pid)
{
    char name[32];
    char text[1024];
    (void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (n <= 0) {
        return '\0';
    }
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    if (end == NULL || end[1] != ' ') {
        return '\0';
    }
    return end[2];
}

static void probe(const struct collector_target *target, const struct collector_config *config,
                  struct collector_probe *ret)
{
    (void)config;
    char state = '\0';
    if (target->pid > 0) {
        state = state_of(target->pid);
    }
    /* 't', stopped by a tracer, is for the check of TracerPid, which names the tracer. */
    ret->available = state != '\0' && state != 'T' && state != 'Z';
    if (state == '\0' || state == 'Z') {
        (void)snprintf(ret->reason, sizeof(ret->reason), "there is no process to trace");
    } else if (!ret->available) {
        (void)snprintf(ret->reason, sizeof(ret->reason), "the target is stopped (state %c)", state);
        (void)snprintf(ret->remedy, sizeof(ret->remedy), "kill -CONT %d", (int)target->pid);
    }
}

static int add(struct collector_plan *plan, const char *const *words, size_t size,
               int64_t duration_ms, struct error *err)
{
    struct collector_step *step = collector_step_add(plan, STEP_TOOL, err);
    if (step == NULL) {
        return -E2BIG;
    }
    step->argv = arena_alloc(plan->arena, size);
    if (step->argv == NULL) {
        return error_set(err, -ENOMEM, "no memory for the plan");
    }
    memcpy(step->argv, words, size);
    step->duration_ms = duration_ms;
    step->stop_signal = SIGINT;
    step->timeout_ms = duration_ms + DETACH_MS;
    step->exit_ignored = true; /* non-zero after SIGINT, with a complete table */
    step->caps = 1ULL << CAP_SYS_PTRACE;
    step->ptrace = true;
    step->sensitivity = COLLECTOR_SECRET;
    return 0;
}

static int plan_trace(const struct collector_target *target, const struct collector_config *config,
                      enum collector_phase phase, struct collector_plan *plan, struct error *err)
{
    const struct strace_options *o = config->options;
    if (phase != COLLECTOR_TRACE) {
        return 0;
    }
    const char *pid = collector_text(plan, "%d", (int)target->pid);
    const char *const count[] = {"strace", "-f", "-c", "-o", "strace.summary.txt", "-p", pid, NULL};
    const char *const trace[] = {"strace",           "-f", "-ttT", "-s", "0", "-o",
                                 "strace.trace.txt", "-p", pid,    NULL};
    int rc = add(plan, count, sizeof(count), o->duration_ms, err);
    if (rc < 0) {
        return rc;
    }
    plan->steps[plan->count - 1].sensitivity = COLLECTOR_NORMAL; /* names of calls and times */
    return o->trace_ms > 0 ? add(plan, trace, sizeof(trace), o->trace_ms, err) : 0;
}

static void check(const struct collector_config *config, struct schema_doc *doc)
{
    const struct strace_options *o = config->options;
    int64_t needs_ms = o->duration_ms + o->trace_ms + DETACH_MS + DETACH_MS;
    int64_t deadline_ms =
        config->deadline_ms > 0 ? config->deadline_ms : collector_strace.deadline_ms;
    if (deadline_ms < needs_ms) {
        schema_complain(doc, config->deadline_ms > 0 ? &config->deadline_ms : &o->duration_ms,
                        false, "set 'deadline' higher: both durations and 6s to detach",
                        "'duration' and 'trace' do not fit into a deadline of %lld ms",
                        (long long)deadline_ms);
    }
}

const struct collector collector_strace = {
    .name = "strace",
    .summary = "system calls: a table of counts and times, then a short trace without buffers",
    .cost = COLLECTOR_PAUSING,
    .reach = COLLECTOR_LOCAL,
    .caps = 1ULL << CAP_SYS_PTRACE,
    .phases = 1U << COLLECTOR_TRACE,
    .runtimes = 0,
    .deadline_ms = 15000,
    .options = &table,
    .probe = probe,
    .plan = plan_trace,
    .check = check,
};
