/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: a program of your own, by argument vector, never through a shell.
 *
 * Words may hold placeholders in braces; an unknown one is refused when the configuration is read,
 * at its line and column. A placeholder is replaced inside its own word: what a target is called
 * can never become a second argument. The program runs in the folder of its artifacts
 * ({capture.dir}), without capabilities and with no_new_privs; its standard output is one artifact,
 * each file it writes there is another.
 */
#include "collectors/collector.h"

#include <errno.h>
#include <signal.h>

struct exec_options {
    struct schema_strings argv;
    int phase; /* index into phase_names */
    const char *output;
    int sensitivity; /* enum collector_sensitivity */
    int64_t duration_ms;
};

enum { ARGV_MAX = 64 };

static const char *const phase_names[] = {"instant", "dump", "sample", "after", NULL};
static const char *const sensitivity_names[] = {"normal", "internal", "secret", NULL};
static const char *const placeholders[] = {"target.pid",     "target.name", "target.pprof",
                                           "collector.name", "capture.dir", NULL};

/* The value of a placeholder, NULL for one that does not exist. */
static const char *value_of(const char *name, size_t len, const struct collector_target *target,
                            const struct collector_config *config, char pid[16])
{
    size_t which = 0;
    while (placeholders[which] != NULL &&
           (strlen(placeholders[which]) != len || strncmp(placeholders[which], name, len) != 0)) {
        which++;
    }
    (void)snprintf(pid, 16, "%d", (int)target->pid);
    const char *values[] = {pid, target->name, target->pprof == NULL ? "" : target->pprof,
                            config->name, "."};
    return which < ARRAY_LEN(values) ? values[which] : NULL;
}

/* Checks the braces of one word. "{{" and "}}" stand for themselves. */
static int check_word(const char *text, struct error *err)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((p[0] == '{' && p[1] == '{') || (p[0] == '}' && p[1] == '}')) {
            p++;
            continue;
        }
        if (*p == '}') {
            return error_set(err, -EINVAL, "'}' without '{' in '%s'", text);
        }
        if (*p != '{') {
            continue;
        }
        const char *end = strchr(p, '}');
        if (end == NULL) {
            return error_set(err, -EINVAL, "'{' without '}' in '%s'", text);
        }
        char name[64];
        char pid[16];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(end - p - 1), p + 1);
        struct collector_target target = {.name = ""};
        struct collector_config config = {.name = ""};
        if (value_of(name, strlen(name), &target, &config, pid) == NULL) {
            const char *near = schema_nearest(name, placeholders);
            (void)error_set(err, -EINVAL, "unknown placeholder '{%s}'", name);
            return near != NULL ? error_remedy(err, "did you mean '{%s}'?", near)
                                : error_remedy(err, "known: {target.pid} {target.name} "
                                                    "{target.pprof} {collector.name} "
                                                    "{capture.dir}; a brace itself is '{{'");
        }
        p = end;
    }
    return 0;
}

static int check_output(const char *text, struct error *err)
{
    size_t plain =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (text[0] == '\0' || text[plain] != '\0' || text[0] == '.' || text[0] == '-') {
        (void)error_set(err, -EINVAL, "'%s' is not a file name", text);
        return error_remedy(err, "use letters, digits, '.', '_' and '-'");
    }
    return 0;
}

static const struct schema_option options[] = {
    {.name = "argv",
     .type = SCHEMA_STRINGS,
     .offset = offsetof(struct exec_options, argv),
     .flags = SCHEMA_REQUIRED,
     .help = "program and arguments; {target.pid}, {target.name}, {target.pprof}, "
             "{collector.name}, {capture.dir} are replaced",
     .check = check_word},
    {.name = "phase",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct exec_options, phase),
     .fallback = "sample",
     .choices = phase_names,
     .help = "when to run it"},
    {.name = "output",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct exec_options, output),
     .fallback = "output.txt",
     .help = "artifact that receives its standard output",
     .check = check_output},
    {.name = "sensitivity",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct exec_options, sensitivity),
     .fallback = "internal",
     .choices = sensitivity_names,
     .help = "of everything it writes; secret is never uploaded unless asked for"},
    {.name = "duration",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct exec_options, duration_ms),
     .fallback = "0s",
     .min = 0,
     .max = 600000,
     .help = "stop it by SIGINT after this long; 0s: it ends by itself"},
    {.name = NULL},
};

static const struct schema_table table = {
    .name = "exec",
    .help = "options of exec",
    .size = sizeof(struct exec_options),
    .options = options,
};

static void probe(const struct collector_target *target, const struct collector_config *config,
                  struct collector_probe *ret)
{
    const struct exec_options *o = config->options;
    ret->available = o->argv.count > 0;
    if (!ret->available) {
        (void)snprintf(ret->reason, sizeof(ret->reason), "no program is named");
        (void)snprintf(ret->remedy, sizeof(ret->remedy), "argv: [/path/of/program]");
    }
    for (size_t i = 0; i < o->argv.count && target->pid <= 0; i++) {
        if (strstr(o->argv.items[i], "{target.pid}") != NULL) {
            ret->available = false;
            (void)snprintf(ret->reason, sizeof(ret->reason),
                           "there is no process for {target.pid}");
        }
    }
}

/* `word` with its placeholders replaced, in the plan's arena; NULL when that is full. */
static const char *expand(struct collector_plan *plan, const char *word,
                          const struct collector_target *target,
                          const struct collector_config *config)
{
    AUTO_BUF struct buf out = BUF_INIT(64 << 10);
    char pid[16];
    for (const char *p = word; *p != '\0'; p++) {
        const char *end = *p == '{' && p[1] != '{' ? strchr(p, '}') : NULL;
        const char *value =
            end == NULL ? NULL : value_of(p + 1, (size_t)(end - p - 1), target, config, pid);
        if (value != NULL) {
            (void)buf_add_text(&out, value);
            p = end;
            continue;
        }
        (void)buf_add_char(&out, *p);
        p += (p[0] == '{' && p[1] == '{') || (p[0] == '}' && p[1] == '}') ? 1 : 0;
    }
    return buf_failed(&out) ? NULL : arena_strndup(plan->arena, buf_text(&out), out.len);
}

static int plan_run(const struct collector_target *target, const struct collector_config *config,
                    enum collector_phase phase, struct collector_plan *plan, struct error *err)
{
    const struct exec_options *o = config->options;
    if ((int)phase != o->phase || o->argv.count == 0) {
        return 0;
    }
    struct collector_step *step = collector_step_add(plan, STEP_TOOL, err);
    if (step == NULL) {
        return -E2BIG;
    }
    if (o->argv.count > ARGV_MAX) {
        return error_set(err, -E2BIG, "more than %d arguments", ARGV_MAX);
    }
    step->argv = arena_alloc(plan->arena, (o->argv.count + 1) * sizeof(*step->argv));
    for (size_t i = 0; i < o->argv.count && step->argv != NULL; i++) {
        step->argv[i] = expand(plan, o->argv.items[i], target, config);
        if (step->argv[i] == NULL) {
            return error_set(err, -E2BIG, "an argument is too long");
        }
    }
    step->output = o->output;
    step->sensitivity = (enum collector_sensitivity)o->sensitivity;
    step->duration_ms = o->duration_ms;
    step->exit_ignored = o->duration_ms > 0;
    return step->argv == NULL ? error_set(err, -ENOMEM, "no memory for the plan") : 0;
}

static void check(const struct collector_config *config, struct schema_doc *doc)
{
    const struct exec_options *o = config->options;
    if (o->argv.count > ARGV_MAX) {
        schema_complain(doc, &o->argv, false, NULL, "'argv' has more than %d words", ARGV_MAX);
    }
    int64_t deadline_ms =
        config->deadline_ms > 0 ? config->deadline_ms : collector_exec.deadline_ms;
    if (o->duration_ms + 1000 > deadline_ms) {
        schema_complain(doc, &o->duration_ms, false, "set 'deadline' at least 1s higher",
                        "'duration' passes the deadline of %lld ms", (long long)deadline_ms);
    }
}

const struct collector collector_exec = {
    .name = "exec",
    .summary = "a program of your own, by argument vector, never a shell",
    .cost = COLLECTOR_NOTICEABLE,
    .reach = COLLECTOR_LOCAL,
    .caps = 0,
    .phases = 1U << COLLECTOR_INSTANT | 1U << COLLECTOR_DUMP | 1U << COLLECTOR_SAMPLE |
              1U << COLLECTOR_AFTER,
    .runtimes = 0,
    .deadline_ms = 15000,
    .options = &table,
    .probe = probe,
    .plan = plan_run,
    .check = check,
};
