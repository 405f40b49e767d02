/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration: defaults, completion, and the wording of every cross-check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/config.h"

#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/config_rules.h"

#include <errno.h>
#include <fcntl.h>

struct fixture {
    struct schema_doc *doc;
    struct arena arena;
    struct config config;
    int rc;
};

static struct fixture load(const char *text)
{
    struct fixture f = {.doc = schema_doc_new("t.yaml", text, strlen(text)),
                        .arena = ARENA_INIT(4 << 20)};
    f.rc = config_load(f.doc, &f.arena, &f.config);
    return f;
}

static void release(struct fixture *f)
{
    schema_doc_free(f->doc);
    arena_release(&f->arena);
}

/* Expects exactly these problems, as "line:column: message [hint]" lines, warnings with "W " first.
 */
static void expect(const char *yaml, const char *expected)
{
    struct fixture f = load(yaml);
    struct buf all = BUF_INIT(1 << 16);
    for (size_t i = 0; schema_problem(f.doc, i) != NULL; i++) {
        const struct diagnostic *d = schema_problem(f.doc, i);
        (void)buf_addf(&all, "%s%u:%u: %s [%s]\n", d->warning ? "W " : "", d->line, d->column,
                       d->message, d->hint);
    }
    assert_string_equal(buf_text(&all), expected);
    assert_int_equal(f.rc, schema_problem_count(f.doc, false) == 0 ? 0 : -EINVAL);
    buf_release(&all);
    release(&f);
}

#define TARGET "targets: {a: {metrics: 'http://h/m', process: {port: 80}}}\n"
#define SLO "slo: {objective: 0.999, good: 'x{code!~\"5..\"}', total: x}"
#define RULE "rules: [{name: r, " SLO "}]\n"

static const struct config_rule *rule_named(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->rules.count; i++) {
        if (strcmp(config_rule_at(c, i)->name, name) == 0) {
            return config_rule_at(c, i);
        }
    }
    return NULL;
}

static void has_sensible_defaults(void **state)
{
    (void)state;
    struct fixture f = load(TARGET RULE);
    const struct config *c = &f.config;
    assert_int_equal(f.rc, 0);
    const struct config_target *t = config_target_at(c, 0);
    assert_int_equal(t->interval_ms, 1000);
    assert_int_equal(t->timeout_ms, 1000);
    assert_string_equal(t->identity.service, "a");
    assert_true(fs_name_ok(t->identity.instance, LIMIT_NAME_BYTES));
    const struct config_rule *r = rule_named(c, "r");
    assert_string_equal(r->target, "a");
    assert_int_equal(r->keep_firing_for_ms, 60000);
    assert_int_equal(r->cooldown_ms, 900000);
    assert_int_equal(r->slo.look_back_ms, 30000);
    assert_string_equal(r->slo.false_captures, "1/30d");
    assert_string_equal(r->capture.items[0], "auto");
    assert_int_equal(c->limits.per_incident, 3);
    assert_int_equal(c->limits.per_hour, 4);
    assert_int_equal(c->limits.per_day, 12);
    assert_string_equal(c->store.path, "/var/lib/incidentd");
    assert_int_equal(c->store.max_bytes, INT64_C(2) << 30);
    assert_string_equal(c->server.listen, "127.0.0.1:9911");
    assert_string_equal(c->process.user, "incidentd");
    assert_string_equal(c->process.work_user, "incidentd-work");
    assert_int_equal(c->process.shutdown_timeout_ms, 20000);
    release(&f);
}

static void adds_the_builtin_rules(void **state)
{
    (void)state;
    struct fixture f = load(TARGET RULE);
    const struct config *c = &f.config;
    assert_int_equal(c->rules.count, 4);
    assert_int_equal(config_rule_kind(rule_named(c, "source_down")), WATCH_SOURCE_DOWN);
    assert_int_equal(config_rule_kind(rule_named(c, "target_exited")), WATCH_TARGET_EXITED);
    const struct config_rule *lost = rule_named(c, "traffic_lost");
    assert_int_equal(config_rule_kind(lost), WATCH_TRAFFIC_LOST);
    assert_true(lost->slo.present);
    assert_string_equal(lost->slo.total, "x");
    release(&f);
    f = load("targets: {a: {process: {comm: x}}, b: {metrics: 'http://h/m'}}\n");
    assert_int_equal(f.rc, 0);
    assert_int_equal(f.config.rules.count, 2);
    assert_string_equal(rule_named(&f.config, "target_exited")->target, "a");
    assert_string_equal(rule_named(&f.config, "source_down")->target, "b");
    release(&f);
}

static void lets_a_rule_replace_a_builtin_one(void **state)
{
    (void)state;
    struct fixture f =
        load(TARGET "rules:\n  - {name: source_down, target: a, for: 5s, capture: [proc]}\n"
                    "  - {name: r, " SLO "}\n"
                    "  - {name: traffic_lost, cooldown: 1h}\n");
    assert_int_equal(f.rc, 0);
    assert_int_equal(f.config.rules.count, 4);
    assert_int_equal(rule_named(&f.config, "source_down")->for_ms, 5000);
    assert_string_equal(rule_named(&f.config, "source_down")->capture.items[0], "proc");
    assert_string_equal(rule_named(&f.config, "traffic_lost")->slo.total, "x");
    assert_int_equal(rule_named(&f.config, "traffic_lost")->cooldown_ms, 3600000);
    release(&f);
}

static void adds_every_kind_of_collector(void **state)
{
    (void)state;
    struct fixture f = load(TARGET RULE "collectors: {perf: {deadline: 20s}}\n");
    const struct config *c = &f.config;
    assert_int_equal(f.rc, 0);
    assert_string_equal(config_collector_at(c, 0)->name, "perf");
    assert_int_equal(config_collector_at(c, 0)->deadline_ms, 20000);
    for (size_t i = 0; i < c->collectors.count; i++) {
        assert_non_null(config_collector_at(c, i)->options);
        assert_true(config_collector_at(c, i)->deadline_ms > 0);
        assert_int_equal(config_collector_find(c, config_collector_at(c, i)->name), i);
    }
    assert_true(config_collector_find(c, "proc") > 0);
    assert_int_equal(config_collector_find(c, "nothing"), -1);
    release(&f);
}

static void checks_targets(void **state)
{
    (void)state;
    expect("rules: []\n", "1:1: 'targets' is missing in the file ['targets': what is watched, by "
                          "name]\n");
    expect("targets: {}\n", "1:1: 'targets' names nothing to watch [targets: {NAME: {metrics: "
                            "URL}}]\n");
    expect("targets:\n"
           "  a:\n"
           "    metrics: 127.0.0.1:80/metrics\n"
           "    pprof: ftp://h/p\n"
           "    timeout: 3s\n"
           "    process: {exe: app, pid: 4}\n"
           "    identity: {instance: a/b}\n"
           "  b: {}\n"
           "  c: {process: {}}\n",
           "3:14: 'metrics' is no URL that can be fetched: has no scheme [write "
           "'http://127.0.0.1:80/metrics']\n"
           "4:12: 'pprof' is no URL that can be fetched: must begin with 'http://' or 'https://' "
           "[]\n"
           "5:14: 'timeout' (3s) is longer than 'interval' (1s) [make it at most the interval]\n"
           "6:20: 'exe': must be an absolute path, not 'app' [begin it with '/']\n"
           "6:20: 'process' of target 'a' has both 'pid' and 'exe' [leave one of them]\n"
           "7:27: 'instance': must not contain '/' [it is used in file names: letters, digits, "
           "'.', '_' and '-', not beginning with '.' or '-']\n"
           "8:3: target 'b' has neither 'metrics' nor 'process': nothing to watch [add 'metrics: "
           "URL', or 'process: {...}' to notice its end]\n"
           "9:7: 'process' of target 'c' does not say how to find it [write one of pid, pidfile, "
           "exe, comm, cmdline, port]\n");
}

static void checks_rules(void **state)
{
    (void)state;
    expect("targets: {shop: {metrics: 'http://h/m'}}\nrules: [{name: r, target: shpo, " SLO "}]\n",
           "2:27: there is no target 'shpo' [did you mean 'shop'?]\n");
    expect("targets: {a: {metrics: 'http://h/m'}, b: {process: {port: 1}}}\n"
           "rules:\n"
           "  - {name: r, " SLO "}\n"
           "  - {name: q, target: b, " SLO "}\n"
           "  - {name: s, target: a, " SLO "}\n"
           "  - {name: s, target: a, " SLO "}\n"
           "  - {name: t, target: a}\n"
           "  - {name: target_exited, target: a}\n"
           "  - {name: traffic_lost, target: b}\n"
           "  - {name: source_down, target: a, " SLO "}\n",
           "3:12: 'target' is missing in rule 'r', and there are 2 of them [write 'target: "
           "NAME']\n"
           "4:26: target 'b' has no 'metrics', so rule 'q' has nothing to count [add 'metrics: "
           "URL' to the target]\n"
           "6:12: target 'a' has two rules called 's' [give one of them another name]\n"
           "7:12: rule 't' has no condition: 'slo' is missing [slo: {objective: 0.999, good: "
           "'http_requests_total{code!~\"5..\"}', total: http_requests_total}]\n"
           "8:12: 'target_exited' can never be decided: the target has no 'process' []\n"
           "9:12: 'traffic_lost' can never be decided: the target has no rule with 'slo' that says "
           "what its traffic is []\n"
           "10:36: 'source_down' is built in and takes no 'slo' [remove 'slo', or give the rule "
           "another name]\n");
}

static void checks_selectors(void **state)
{
    (void)state;
    expect(TARGET "rules:\n"
                  "  - {name: a, slo: {objective: 0.9, total: x}}\n"
                  "  - {name: b, slo: {objective: 0.9, total: x, good: y, bad: z}}\n"
                  "  - {name: c, slo: {objective: 0.9, total: x, good: x}}\n",
           "3:15: 'slo' of rule 'a' says neither what is 'good' nor what is 'bad' [good: "
           "http_requests_total{code!~\"5..\"}, or bad: http_requests_total{code=~\"5..\"}]\n"
           "4:61: 'good' and 'bad' are both set in 'slo' of rule 'b' [remove one of them: what is "
           "not good is bad, and the other way round]\n"
           "5:53: 'good' and 'total' are the same: nothing could ever be bad [add a matcher that "
           "leaves out the failures, such as {code!~\"5..\"}]\n");
}

/* The first problem's message and hint contain these. */
static void expect_first(const char *yaml, unsigned line, const char *message, const char *hint)
{
    struct fixture f = load(yaml);
    const struct diagnostic *d = schema_problem(f.doc, 0);
    assert_non_null(d);
    assert_int_equal(d->line, line);
    assert_non_null(strstr(d->message, message));
    assert_non_null(strstr(d->hint, hint));
    release(&f);
}

static void explains_the_usual_mistakes(void **state)
{
    (void)state;
    expect_first(TARGET "rules: [{name: r, slo: {objective: 99.9, good: x, total: y}}]\n", 2,
                 "objective", "0.999");
    expect_first(TARGET "rules: [{name: r, window: 30s, " SLO "}]\n", 2, "window", "look_back");
    expect_first(TARGET
                 "rules: [{name: r, slo: {window: 30s, objective: 0.9, good: x, total: y}}]\n",
                 2, "window", "look_back");
    expect_first(TARGET "rules: [{name: r, expr: 'up == 0'}]\nx: 1\n", 2, "unknown key 'expr'",
                 "'slo:'");
    expect_first(TARGET "deliver: []\n", 2, "deliver", "not supported yet");
    expect_first(TARGET "rules: [{name: r, slo: {objective: 0.9, good: 'x{', total: y}}]\n", 2,
                 "good", "");
}

static void checks_captures(void **state)
{
    (void)state;
    expect(
        "targets: {a: {metrics: 'http://h/m', process: {port: 80}}}\n"
        "rules:\n"
        "  - name: r\n"
        "    " SLO "\n"
        "    capture: [auto, prof, strace, pprof, proc, proc, exec]\n"
        "  - {name: source_down, capture: []}\n",
        "5:21: there is no collector 'prof' [did you mean 'proc'?]\n"
        "W 5:27: 'strace' will be skipped: it pauses the target, and 'allow_pause' is not set [to "
        "let it, write 'collectors: {strace: {allow_pause: true}}']\n"
        "W 5:35: 'pprof' will be skipped: target 'a' has no 'pprof' [add 'pprof: URL' to the "
        "target]\n"
        "W 5:48: 'proc' is listed twice [remove it]\n"
        "5:54: there is no collector 'exec' [this kind has options without a default: add "
        "'collectors: {exec: {...}}'; 'incidentctl collectors exec' lists them]\n"
        "6:34: rule 'source_down' captures nothing [capture: auto]\n");
}

static void tells_what_never_runs(void **state)
{
    (void)state;
    expect(TARGET RULE "collectors:\n"
                       "  strace: {allow_pause: true}\n"
                       "  mine: {type: exec, argv: [/bin/true]}\n"
                       "  perf: {}\n",
           "W 4:3: collector 'strace' never runs: no rule lists it [list it in a rule: 'capture: "
           "[auto, strace]']\n"
           "W 5:3: collector 'mine' never runs: no rule lists it [list it in a rule: 'capture: "
           "[auto, mine]']\n");
}

static void refuses_to_listen_wider_without_a_token(void **state)
{
    (void)state;
    static const char *const remedy =
        " [add 'token_file: /run/secrets/incidentd-token' (openssl rand -hex 32 makes one), or "
        "listen on 127.0.0.1]\n";
    char expected[512];
    (void)snprintf(expected, sizeof(expected),
                   "2:18: '0.0.0.0:9911' is reachable from other machines, and there is no "
                   "'token_file': bundles hold memory and secrets of the target%s",
                   remedy);
    expect(TARGET "server: {listen: '0.0.0.0:9911'}\n", expected);
    expect(TARGET "server: {listen: '0.0.0.0:9911', token_file: /t, health_listen: '0.0.0.0:1'}\n",
           "");
    expect(TARGET "server: {listen: '[::1]:9911'}\n", "");
    expect(TARGET "server: {listen: 'localhost:0'}\n", "");
    expect(TARGET "server: {listen: ':9911'}\n",
           "2:18: 'listen' names no address, in ':9911' [write an address and a port: "
           "'127.0.0.1:9911']\n");
    expect(TARGET "server: {listen: '127.0.0.1'}\n",
           "2:18: 'listen' has no port, in '127.0.0.1' [write an address and a port: "
           "'127.0.0.1:9911']\n");
    expect(TARGET "server: {listen: 'example.com:80'}\n",
           "2:18: 'listen' must be an IP address and a port, in 'example.com:80' [write an address "
           "and a port: '127.0.0.1:9911']\n");
}

static void tells_problems_of_all_blocks_at_once(void **state)
{
    (void)state;
    struct fixture f = load("targets:\n  a: {metrics: http://h/m, interval: 1}\n"
                            "rules:\n  - {name: r, target: b, slo: {objective: 99.9, total: x}}\n"
                            "server: {listen: '0.0.0.0:1'}\nstore: {path: here}\n");
    assert_int_equal(f.rc, -EINVAL);
    assert_int_equal(schema_problem_count(f.doc, false), 6);
    release(&f);
}

/* The reference in docs/ is the one the tables give. */
static void keeps_the_reference_in_the_docs(void **state)
{
    (void)state;
    struct buf reference = BUF_INIT(1 << 20);
    struct buf docs = BUF_INIT(1 << 20);
    struct error err = ERROR_INIT;
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/../../../docs/configuration.md", TEST_DATA);
    assert_int_equal(fs_read_at(AT_FDCWD, path, &docs, &err), 0);
    schema_reference(&config_table, &reference);
    assert_non_null(strstr(buf_text(&docs), buf_text(&reference)));
    buf_release(&docs);
    buf_release(&reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_sensible_defaults),
        cmocka_unit_test(adds_the_builtin_rules),
        cmocka_unit_test(lets_a_rule_replace_a_builtin_one),
        cmocka_unit_test(adds_every_kind_of_collector),
        cmocka_unit_test(checks_targets),
        cmocka_unit_test(checks_rules),
        cmocka_unit_test(checks_selectors),
        cmocka_unit_test(explains_the_usual_mistakes),
        cmocka_unit_test(checks_captures),
        cmocka_unit_test(tells_what_never_runs),
        cmocka_unit_test(refuses_to_listen_wider_without_a_token),
        cmocka_unit_test(tells_problems_of_all_blocks_at_once),
        cmocka_unit_test(keeps_the_reference_in_the_docs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
