/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs: the end of named log files, from some minutes before the trigger on, and again afterwards.
 *
 * incidentd-collect cuts by the time stamps of the lines where they carry a zone (RFC 3339, Unix
 * time), and else keeps the last `max_bytes`; it never guesses a zone. Files come from the target's
 * `logs` and from the option `files`. A path that is a symbolic link is followed (current -> app.1
 * is usual) when root made it or the owner of the file it leads to: else whoever may write in the
 * log's folder could have us read anything. The worker may do nothing but read.
 */
#include "collectors/collector.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>

struct logs_options {
    struct schema_strings files;
    int64_t age_ms;
    int64_t after_age_ms;
};

static int check_file(const char *text, struct error *err)
{
    if (text[0] != '/') {
        (void)error_set(err, -EINVAL, "'%s' is not an absolute path", text);
        return error_remedy(err, "write it from the root: /var/log/app.log");
    }
    return 0;
}

static const struct schema_option options[] = {
    {.name = "files",
     .type = SCHEMA_STRINGS,
     .offset = offsetof(struct logs_options, files),
     .fallback = "",
     .help = "log files beside those the target names",
     .check = check_file},
    {.name = "age",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct logs_options, age_ms),
     .fallback = "5m",
     .min = 1000,
     .max = 86400000,
     .help = "how far back to go at the trigger"},
    {.name = "after_age",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct logs_options, after_age_ms),
     .fallback = "1m",
     .min = 1000,
     .max = 86400000,
     .help = "how far back to go at the end of the capture"},
    {.name = NULL},
};

static const struct schema_table table = {
    .name = "logs",
    .help = "options of logs",
    .size = sizeof(struct logs_options),
    .options = options,
};

static void probe(const struct collector_target *target, const struct collector_config *config,
                  struct collector_probe *ret)
{
    const struct logs_options *o = config->options;
    ret->available = target->logs.count + o->files.count > 0;
    if (!ret->available) {
        (void)snprintf(ret->reason, sizeof(ret->reason), "no log file is named");
        (void)snprintf(ret->remedy, sizeof(ret->remedy),
                       "logs: [/path/of/app.log] beside the target's name");
    }
}

/* "before/app.log", and "before/2-app.log" for the second file, since names may repeat. */
static const char *output_name(struct collector_plan *plan, const char *folder, const char *path)
{
    const char *slash = strrchr(path, '/');
    char name[100] = "";
    size_t len = 0;
    for (const char *p = slash == NULL ? path : slash + 1; *p != '\0' && len < sizeof(name) - 1;
         p++) {
        bool plain = isalnum((unsigned char)*p) != 0 || strchr("._-", *p) != NULL;
        bool leads = len == 0 && (*p == '.' || *p == '-');
        char kept = '_';
        if (plain && !leads) {
            kept = *p;
        }
        name[len] = kept;
        len++;
    }
    return plan->count <= 1
               ? collector_text(plan, "%s/%s", folder, len > 0 ? name : "log")
               : collector_text(plan, "%s/%zu-%s", folder, plan->count, len > 0 ? name : "log");
}

static int add(struct collector_plan *plan, const char *folder, const char *path, int64_t age_ms,
               struct error *err)
{
    struct collector_step *step = collector_step_add(plan, STEP_TAIL, err);
    if (step == NULL) {
        return -E2BIG;
    }
    step->path = path;
    step->age_ms = age_ms;
    step->output = output_name(plan, folder, path);
    step->sensitivity = COLLECTOR_INTERNAL;
    step->caps = 1ULL << CAP_DAC_READ_SEARCH;
    step->timeout_ms = 3000; /* a log on a dead network file system */
    return step->output == NULL ? error_set(err, -ENOMEM, "no memory for the plan") : 0;
}

static int plan_tails(const struct collector_target *target, const struct collector_config *config,
                      enum collector_phase phase, struct collector_plan *plan, struct error *err)
{
    const struct logs_options *o = config->options;
    if (phase != COLLECTOR_INSTANT && phase != COLLECTOR_AFTER) {
        return 0;
    }
    bool before = phase == COLLECTOR_INSTANT;
    const struct schema_strings *lists[] = {&target->logs, &o->files};
    int rc = 0;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        for (size_t i = 0; i < lists[l]->count && rc == 0; i++) {
            rc = add(plan, before ? "before" : "after", lists[l]->items[i],
                     before ? o->age_ms : o->after_age_ms, err);
        }
    }
    return rc;
}

const struct collector collector_logs = {
    .name = "logs",
    .summary = "the end of named log files, before and after",
    .cost = COLLECTOR_CHEAP,
    .reach = COLLECTOR_LOCAL,
    .caps = 1ULL << CAP_DAC_READ_SEARCH,
    .phases = 1U << COLLECTOR_INSTANT | 1U << COLLECTOR_AFTER,
    .runtimes = 1U << RUNTIME_UNKNOWN | 1U << RUNTIME_GO | 1U << RUNTIME_JVM | 1U << RUNTIME_NODE |
                1U << RUNTIME_PYTHON | 1U << RUNTIME_NATIVE,
    .deadline_ms = 8000,
    .options = &table,
    .probe = probe,
    .plan = plan_tails,
};
