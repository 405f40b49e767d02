/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collector.h: a collector describes, incidentd-collect runs.
 *
 * A collector is one file `collectors/<name>.c` that exports exactly `collector_<name>`, plus one
 * line in collectors.def, plus tests/unit/test_collector_<name>.c. It never forks, opens no
 * artifact and sends no byte: its plan() fills steps (an argument vector, a list of files to copy,
 * a log tail), and incidentd-collect executes them with deadline, limits, capabilities and output
 * cap. So a collector is tested without any privilege.
 */
#ifndef COLLECTORS_COLLECTOR_H
#define COLLECTORS_COLLECTOR_H

#include "base/arena.h"
#include "base/error.h"
#include "base/schema.h"

#include <sys/types.h>

/* Order of volatility and harm. The brain runs one phase after the other; within a phase collectors
 * run together, except in COLLECTOR_TRACE, where each runs alone. */
enum collector_phase {
    COLLECTOR_INSTANT, /* at once, < 100 ms: /proc, log tails */
    COLLECTOR_DUMP,    /* thread and goroutine dumps, first heap profile, sockets */
    COLLECTOR_SAMPLE,  /* samplers, together, for some seconds */
    COLLECTOR_AFTER,   /* heap and /proc again */
    COLLECTOR_TRACE,   /* pausing kinds: last, alone, only when a rule lists them and allow_pause is
                          set */
    COLLECTOR_PHASES
};

enum collector_cost {
    COLLECTOR_CHEAP,      /* not noticeable */
    COLLECTOR_NOTICEABLE, /* some per cent for some seconds */
    COLLECTOR_PAUSING,    /* stops or slows the target severalfold */
};

enum collector_sensitivity { COLLECTOR_NORMAL, COLLECTOR_INTERNAL, COLLECTOR_SECRET };

enum collector_runtime {
    RUNTIME_UNKNOWN,
    RUNTIME_GO,
    RUNTIME_JVM,
    RUNTIME_NODE,
    RUNTIME_PYTHON,
    RUNTIME_NATIVE
};

/* Bits of collector.network: how the collector reaches its target. */
enum collector_reach { COLLECTOR_LOCAL, COLLECTOR_HTTP };

/* What a plan may know of the target. All texts outlive the call. */
struct collector_target {
    const char *name;
    pid_t pid;
    uint64_t start_ticks; /* field 22 of /proc/PID/stat */
    enum collector_runtime runtime;
    const char *pprof;          /* base URL without trailing slash, NULL when none */
    struct schema_strings logs; /* named log files as the configuration has them */
};

/* The options every collector has, before its own. Filled from the `collectors:` map. */
struct collector_config {
    const char *name;    /* as rules list it, and the folder of its artifacts */
    const char *type;    /* the kind; same as name unless one kind is used twice */
    int64_t deadline_ms; /* over all steps of one phase; 0: the kind's own */
    int64_t max_bytes;   /* per artifact */
    bool allow_pause;
    void *options; /* the kind's own struct, described by collector->options */
};

enum collector_step_kind {
    STEP_TOOL, /* run argv */
    STEP_COPY, /* copy the files `sources` (paths under /proc/PID or absolute) into `output` names
                */
    STEP_TAIL, /* the end of a growing log file, from `age_ms` ago on */
};

struct collector_copy {
    const char *source; /* absolute path; /proc/PID/... is opened relative to a checked /proc/PID
                           descriptor */
    const char *output; /* artifact file name; may contain one '/' */
    bool
        listing; /* readlink every entry of the directory `source` ("fd -> target" lines) instead */
    bool names;  /* of NUL-separated NAME=value records (environ) keep the names only, one a line */
    bool per_thread; /* `source` is relative to /proc/PID/task/TID: one output, a "== TID" line
                        before each */
};

struct collector_step {
    enum collector_step_kind kind;
    const char *
        output; /* TOOL, TAIL: artifact that receives stdout or the tail; NULL: the tool writes its
                   own files into its working directory, which is the collector's artifact folder */
    enum collector_sensitivity sensitivity;
    bool optional;           /* failure of this step is recorded as skipped, not as an error */
    const char *skip_reason; /* set: do not run, record this reason (a probe that said no) */
    /* STEP_TOOL */
    const char **argv;   /* NULL-terminated; argv[0] is searched in a fixed PATH; "incidentd-fetch"
                            beside ourselves */
    int64_t duration_ms; /* stop it after this long by `stop_signal`; 0: it ends by itself */
    int stop_signal;     /* 0: SIGINT */
    int64_t timeout_ms;  /* hard end: SIGINT, +1 s SIGTERM, +2 s tree kill; 0: deadline of the
                            collector */
    bool exit_ignored;   /* judge by output, not by exit status */
    uint64_t caps;       /* bit mask (1 << CAP_X) this tool needs; the rest is dropped */
    bool ptrace;         /* uses ptrace: TracerPid is checked first, ptrace users never overlap */
    /* STEP_COPY */
    const struct collector_copy *copies;
    size_t copy_count;
    /* STEP_TAIL */
    const char *path;
    int64_t age_ms;
};

enum { COLLECTOR_STEPS_MAX = 32 };

struct collector_plan {
    struct arena *arena; /* for texts and vectors the plan makes */
    struct collector_step steps[COLLECTOR_STEPS_MAX];
    size_t count;
};

struct collector_probe {
    bool available;
    char reason[200]; /* why not */
    char remedy[200]; /* the exact line that mends it */
};

struct collector {
    const char *name;
    const char *summary; /* one line for `incidentctl collectors` */
    enum collector_cost cost;
    enum collector_reach reach;
    uint64_t caps;       /* bit mask of capabilities any of its steps may use */
    unsigned phases;     /* bit mask (1 << phase) in which it may have steps */
    unsigned runtimes;   /* bit mask (1 << runtime) for which `capture: auto` picks it; 0: only when
                            listed */
    int64_t deadline_ms; /* default over all steps of one phase */
    const struct schema_table *options; /* its own options; may be NULL */

    /* Called in incidentd-collect (and later in `incidentctl doctor`), before plan, must not block:
     * says whether it can work here and now. May be NULL: always available. */
    void (*probe)(const struct collector_target *target, const struct collector_config *config,
                  struct collector_probe *ret);
    /* Called in incidentd-collect, once per phase in `phases`: fills plan->steps, run one after the
     * other. Texts go to plan->arena or outlive the call. Returns 0, also with no step, or a
     * negative errno with err. */
    int (*plan)(const struct collector_target *target, const struct collector_config *config,
                enum collector_phase phase, struct collector_plan *plan, struct error *err);
    /* Called in incidentd-config after the file is loaded: cross-checks of its options; complains
     * through doc. May be NULL. */
    void (*check)(const struct collector_config *config, struct schema_doc *doc);
};

/* The kind `name`, or NULL. */
const struct collector *collector_find(const char *name);
/* The `index`th kind in collectors.def order, or NULL past the end. */
const struct collector *collector_at(size_t index);
/* Name of a phase for journal and manifest: "instant", "dump", "sample", "after", "trace". */
const char *collector_phase_name(enum collector_phase phase);

/* Helpers for plan(): the next step (zeroed), or NULL with err when COLLECTOR_STEPS_MAX is reached.
 */
struct collector_step *collector_step_add(struct collector_plan *plan,
                                          enum collector_step_kind kind, struct error *err);
/* A formatted text in plan->arena, NULL when it is full. */
char *collector_text(struct collector_plan *plan, const char *fmt, ...) ATTR_FORMAT(2, 3);

/* Every collector file thereby sees its own declaration. */
#define COLLECTOR(n) extern const struct collector collector_##n;
#include "collectors/collectors.def"
#undef COLLECTOR

#endif
