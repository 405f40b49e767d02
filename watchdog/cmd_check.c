/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `incidentctl check FILE`: every problem of a configuration, and what it means in words.
 *
 * It runs the same load as incidentd-config. What it prints on success answers the questions one
 * has before the first incident: when does it fire, what will be captured, what never runs and why.
 */
#include "watchdog/cmd.h"

#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/config.h"
#include "watchdog/config_rules.h"

#include <errno.h>
#include <fcntl.h>

enum { ARENA_BYTES = 16 << 20, RUNTIMES = RUNTIME_NATIVE + 1 };

static const char *const runtime_names[RUNTIMES] = {"not known", "go",     "jvm",
                                                    "node",      "python", "native"};

static void add_process(const struct config_process *p, struct buf *out)
{
    const struct {
        const char *name;
        const char *text;
    } texts[] = {
        {"pidfile", p->pidfile}, {"exe", p->exe}, {"comm", p->comm}, {"cmdline", p->cmdline}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i].text != NULL) {
            (void)buf_addf(out, "%s %s", texts[i].name, texts[i].text);
        }
    }
    if (p->pid != 0) {
        (void)buf_addf(out, "pid %lld", (long long)p->pid);
    }
    if (p->port != 0) {
        (void)buf_addf(out, "port %lld", (long long)p->port);
    }
}

static void add_target(const struct config_target *t, struct buf *out)
{
    char interval[64];
    char timeout[64];
    (void)buf_addf(out, "\ntarget %s\n", t->name);
    if (t->metrics != NULL) {
        (void)buf_addf(out, "  polls       %s every %s, at most %s each\n", t->metrics,
                       schema_duration_text(t->interval_ms, interval, sizeof(interval)),
                       schema_duration_text(t->timeout_ms, timeout, sizeof(timeout)));
    }
    if (t->process.present) {
        (void)buf_add_text(out, "  process     found by ");
        add_process(&t->process, out);
        (void)buf_add_char(out, '\n');
    } else {
        (void)buf_add_text(out,
                           "  process     none: only what comes over HTTP is captured, and its "
                           "end is not noticed\n");
    }
    if (t->pprof != NULL) {
        (void)buf_addf(out, "  pprof       %s\n", t->pprof);
    }
}

/* The condition in words. */
static void add_condition(const struct config_rule *r, struct buf *out)
{
    const struct slo_options *s = &r->slo;
    char text[64];
    switch (config_rule_kind(r)) {
    case WATCH_SOURCE_DOWN:
        (void)buf_add_text(out, "three polls in a row fail while the process lives");
        return;
    case WATCH_TARGET_EXITED:
        (void)buf_add_text(out, "the process is gone");
        return;
    case WATCH_TRAFFIC_LOST:
        (void)buf_addf(out, "%s falls below a tenth of its healthy mean", s->total);
        return;
    case WATCH_SLO:
        break;
    }
    (void)buf_addf(out, "more than %.6g %% fail, beyond chance, within %s",
                   (1.0 - s->objective) * 100.0,
                   schema_duration_text(s->look_back_ms, text, sizeof(text)));
    if (r->for_ms > 0) {
        (void)buf_addf(out, ", for %s", schema_duration_text(r->for_ms, text, sizeof(text)));
    }
    (void)buf_addf(out, "\n    of          %s\n    %s", s->total,
                   s->bad != NULL ? "failures    " : "good        ");
    (void)buf_add_text(out, s->bad != NULL ? s->bad : s->good);
}

static void add_rule(const struct config_rule *r, struct buf *out)
{
    char cooldown[64];
    (void)buf_addf(out, "  rule %s\n    fires when  ", r->name);
    add_condition(r, out);
    (void)buf_add_text(out, "\n    captures    ");
    for (size_t i = 0; i < r->capture.count; i++) {
        (void)buf_addf(out, "%s%s", i == 0 ? "" : ", ", r->capture.items[i]);
    }
    (void)buf_addf(out, "; then not again for %s\n",
                   schema_duration_text(r->cooldown_ms, cooldown, sizeof(cooldown)));
}

/* The collectors that `auto` picks on a runtime, "" for none. */
static void add_auto(const struct config *c, int runtime, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < c->collectors.count; i++) {
        const struct collector_config *k = config_collector_at(c, i);
        if (config_rules_auto(k, runtime)) {
            (void)buf_addf(out, "%s%s", count++ == 0 ? "" : ", ", k->name);
        }
    }
}

static bool has_runtime(const struct config *c, int runtime)
{
    for (size_t i = 0; i < c->targets.count; i++) {
        int wanted = config_target_at(c, i)->runtime;
        if (wanted == RUNTIME_UNKNOWN || wanted == runtime) {
            return true;
        }
    }
    return false;
}

static void add_autos(const struct config *c, struct buf *out)
{
    (void)buf_add_text(out, "\ncapture: auto runs, by the target's runtime\n");
    for (int runtime = RUNTIME_UNKNOWN; runtime < RUNTIMES; runtime++) {
        AUTO_BUF struct buf names = BUF_INIT(4096);
        add_auto(c, runtime, &names);
        if (has_runtime(c, runtime)) {
            (void)buf_addf(out, "  %-11s %s\n", runtime_names[runtime],
                           names.len == 0 ? "nothing" : buf_text(&names));
        }
    }
}

static bool is_listed(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->rules.count; i++) {
        const struct schema_strings *list = &config_rule_at(c, i)->capture;
        for (size_t e = 0; e < list->count; e++) {
            if (strcmp(list->items[e], name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Why a collector never runs under this configuration, or NULL. */
static const char *never_runs(const struct config *c, const struct collector_config *k)
{
    const struct collector *kind = collector_find(k->type);
    bool listed = is_listed(c, k->name);
    bool picked = is_listed(c, "auto") && kind->runtimes != 0 && strcmp(k->name, k->type) == 0;
    if (kind->cost == COLLECTOR_PAUSING && !listed) {
        return k->allow_pause ? "no rule lists it" : "no rule lists it, and allow_pause is not set";
    }
    if (kind->cost == COLLECTOR_PAUSING && !k->allow_pause) {
        return "it pauses the target, and allow_pause is not set";
    }
    return listed || picked ? NULL : "no rule lists it";
}

static void add_never(const struct config *c, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < c->collectors.count; i++) {
        const struct collector_config *k = config_collector_at(c, i);
        const char *why = never_runs(c, k);
        if (why != NULL) {
            (void)buf_addf(out, "%s  %-11s %s\n", count++ == 0 ? "\nnever runs\n" : "", k->name,
                           why);
        }
    }
    for (size_t i = 0; collector_at(i) != NULL; i++) {
        const char *name = collector_at(i)->name;
        if (config_collector_find(c, name) < 0 && strcmp(name, "exec") != 0) {
            (void)buf_addf(out, "%s  %-11s %s\n", count++ == 0 ? "\nnever runs\n" : "", name,
                           "it must be set up under 'collectors' first");
        }
    }
}

static void add_summary(const struct config *c, struct buf *out)
{
    char age[64];
    for (size_t i = 0; i < c->targets.count; i++) {
        const struct config_target *t = config_target_at(c, i);
        add_target(t, out);
        for (size_t r = 0; r < c->rules.count; r++) {
            if (strcmp(config_rule_at(c, r)->target, t->name) == 0) {
                add_rule(config_rule_at(c, r), out);
            }
        }
    }
    add_autos(c, out);
    add_never(c, out);
    (void)buf_addf(
        out,
        "\nbundles\n  kept in     %s: at most %lld, %.4g GiB, %s, %.4g %% of the disk "
        "left free\n  served on   http://%s%s\n",
        c->store.path, (long long)c->store.max_count, (double)c->store.max_bytes / (1 << 30),
        schema_duration_text(c->store.max_age_ms, age, sizeof(age)), c->store.min_free * 100.0,
        c->server.listen, c->server.token_file == NULL ? "" : ", with a token");
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static int check(const char *name, const struct buf *text)
{
    AUTO_BUF struct buf out = BUF_INIT(LIMIT_RESPONSE_BYTES);
    AUTO_BUF struct buf problems = BUF_INIT(LIMIT_RESPONSE_BYTES);
    struct arena arena = ARENA_INIT(ARENA_BYTES);
    struct config config;
    struct schema_doc *doc = schema_doc_new(name, buf_text(text), text->len);
    int rc = config_load(doc, &arena, &config);
    size_t errors = schema_problem_count(doc, false);
    size_t warnings = schema_problem_count(doc, true);
    schema_render(doc, &problems);
    (void)fputs(buf_text(&problems), stderr);
    if (rc == 0) {
        (void)buf_addf(&out, "%s: ok", name);
        if (warnings > 0) {
            (void)buf_addf(&out, ", %zu warning%s", warnings, plural(warnings));
        }
        (void)buf_add_char(&out, '\n');
        add_summary(&config, &out);
        (void)fputs(buf_text(&out), stdout);
    } else {
        (void)fprintf(stderr, "%s: %zu error%s, %zu warning%s\n", name, errors, plural(errors),
                      warnings, plural(warnings));
    }
    schema_doc_free(doc);
    arena_release(&arena);
    return rc < 0 ? 1 : 0;
}

static int print_reference(void)
{
    AUTO_BUF struct buf out = BUF_INIT(LIMIT_RESPONSE_BYTES);
    schema_reference(&config_table, &out);
    (void)fputs(buf_text(&out), stdout);
    return 0;
}

/* Prints how to call it: on stdout and with status 0 where that was asked for. */
static int usage(int argc, char **argv)
{
    bool asked = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    (void)fputs(
        "usage: incidentctl check FILE|-\n"
        "       incidentctl check --reference\n\n"
        "Tells every problem of a configuration; when there is none, what it means in words: when\n"
        "each rule fires, what it captures, what never runs and why. --reference prints every\n"
        "option as Markdown. Exit status: 0 valid, 1 not.\n",
        asked ? stdout : stderr);
    return asked ? 0 : 2;
}

int cmd_check(int argc, char **argv)
{
    AUTO_BUF struct buf text = BUF_INIT(LIMIT_CONFIG_BYTES);
    struct error err = ERROR_INIT;
    char shown[1024];
    if (argc == 2 && strcmp(argv[1], "--reference") == 0) {
        return print_reference();
    }
    if (argc != 2 || (argv[1][0] == '-' && argv[1][1] != '\0')) {
        return usage(argc, argv);
    }
    bool standard_input = strcmp(argv[1], "-") == 0;
    int rc = standard_input ? fs_read_fd(STDIN_FILENO, &text, &err)
                            : fs_read_at(AT_FDCWD, argv[1], &text, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "incidentctl check: %s\n", error_text(&err, shown, sizeof(shown)));
        return 1;
    }
    return check(standard_input ? "<stdin>" : argv[1], &text);
}
