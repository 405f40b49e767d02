/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_show.c: the first screen at 3 a.m.
 *
 * In the order in which it is asked: is it still going on, how bad, who fails, since when, what
 * grew, what was collected and what not, where is it, and the commands that open it, chosen by the
 * artifacts that are really there. Every text comes from the manifest or the report; control
 * characters in them never reach the terminal.
 */
#include "base/clock.h"
#include "watchdog/client.h"
#include "watchdog/cmd.h"

#include <ctype.h>

struct show {
    const struct client *client;
    const cJSON *capture;
    const cJSON *incident;
    const cJSON *manifest;
    const cJSON *report;
};

enum { GROWTH_ROWS = 5 };

/* A text of the evidence with control characters replaced. */
static void put(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        (void)putchar((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    }
}

static void put_state(const struct show *s)
{
    char span[32];
    int64_t onset_ms = (int64_t)client_number(s->incident, "onset_ms");
    int64_t end_ms = (int64_t)client_number(s->incident, "resolved_ms");
    double dips = client_number(s->incident, "dips");
    bool open = client_true(s->incident, "open");
    put(client_text(s->capture, "target"));
    (void)printf(" / ");
    put(client_text(s->capture, "rule"));
    if (s->incident == NULL) {
        (void)puts("");
        return;
    }
    end_ms = open || end_ms == 0 ? clock_wall_ms() : end_ms;
    (void)client_ago(end_ms > onset_ms ? end_ms - onset_ms : 0, span, sizeof(span));
    (void)printf(open ? ": ONGOING %s" : ": over after %s", span);
    if (dips > 0) {
        (void)printf(", %.0f dip%s", dips, dips > 1 ? "s" : "");
    }
    (void)printf(" (%s, capture: %s)\n", client_text(s->capture, "grade"),
                 client_text(s->capture, "state"));
}

/* Digits in groups of three. */
static char *grouped(double value, char *out, size_t size)
{
    char digits[32];
    int len = snprintf(digits, sizeof(digits), "%.0f", value < 0 || value > 1e15 ? 0 : value);
    size_t at = 0;
    for (int i = 0; i < len && at + 2 < size; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void put_counts(const struct show *s)
{
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(s->manifest, "counts");
    counts =
        cJSON_IsObject(counts) ? counts : cJSON_GetObjectItemCaseSensitive(s->incident, "counts");
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(s->manifest, "rule");
    double total = client_number(counts, "total");
    double objective = client_number(rule, "objective");
    char bad[32];
    char all[32];
    if (total > 0) {
        (void)printf("  %.4g %% good", 100 * (1 - client_number(counts, "bad") / total));
        if (objective > 0) {
            (void)printf(" (objective %.6g %%)", 100 * objective);
        }
        (void)printf(", %s of %s failed in %.3g s",
                     grouped(client_number(counts, "bad"), bad, sizeof(bad)),
                     grouped(total, all, sizeof(all)), client_number(counts, "window_ms") / 1000);
        if (client_text(counts, "top_labels")[0] != '\0') {
            (void)printf("; ");
            put(client_text(counts, "top_labels"));
            (void)printf(" %.0f %% of them", 100 * client_number(counts, "top_share"));
        }
        (void)puts("");
    }
    if (client_text(s->capture, "summary")[0] != '\0') {
        (void)printf("  ");
        put(client_text(s->capture, "summary"));
        (void)puts("");
    }
    (void)printf("  trigger %s, onset %s\n", client_text(s->capture, "trigger"),
                 client_text(s->capture, "onset"));
    if (client_number(s->incident, "suppressed") > 0) {
        (void)printf("  %.0f more captures held back: ", client_number(s->incident, "suppressed"));
        put(client_text(s->incident, "suppressed_why"));
        (void)puts("");
    }
}

static void put_growth(const struct show *s)
{
    const cJSON *growth = cJSON_GetObjectItemCaseSensitive(s->report, "heap_growth");
    const char *headline = client_text(s->report, "headline");
    bool diff = client_text(growth, "from")[0] != '\0';
    const char *field = diff ? "growth_bytes" : "to_bytes";
    int shown = 0;
    if (headline[0] == '\0') {
        return;
    }
    (void)printf("\n");
    put(headline);
    (void)puts("");
    const cJSON *row = NULL;
    cJSON_ArrayForEach(row, client_array(growth, "rows"))
    {
        char size[32];
        if (shown++ == GROWTH_ROWS || client_number(row, field) <= 0) {
            break;
        }
        char grown[40];
        (void)snprintf(grown, sizeof(grown), "%s%s", diff ? "+" : "",
                       client_size((int64_t)client_number(row, field), size, sizeof(size)));
        (void)printf("  %11s  ", grown);
        put(client_text(row, "function"));
        (void)puts("");
    }
}

static void put_runs(const struct show *s)
{
    const cJSON *item = NULL;
    (void)puts("\ncollected:");
    cJSON_ArrayForEach(item, client_array(s->manifest, "runs"))
    {
        (void)printf("  %-12s %-8s %-12s ", client_text(item, "collector"),
                     client_text(item, "phase"), client_text(item, "outcome"));
        put(client_text(item, "text"));
        (void)puts("");
    }
    cJSON_ArrayForEach(item, client_array(s->manifest, "skipped"))
    {
        (void)printf("  %-12s %-8s %-12s ", client_text(item, "collector"), "", "not run");
        put(client_text(item, "why"));
        (void)puts("");
    }
    if (client_true(s->manifest, "partial")) {
        (void)printf("  PARTIAL: ");
        put(client_text(s->manifest, "partial_why"));
        (void)puts("");
    }
}

/* True when the bundle holds `path` with bytes in it. */
static bool has(const struct show *s, const char *path)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, client_array(s->manifest, "artifacts"))
    {
        if (strcmp(client_text(item, "path"), path) == 0 && client_number(item, "size") > 0) {
            return true;
        }
    }
    return false;
}

static void put_commands(const struct show *s, const char *id)
{
    static const struct {
        const char *path;
        const char *also; /* must be there too; "" for none */
        const char *command;
    } openers[] = {
        {"artifacts/pprof/heap.after.pb.gz", "artifacts/pprof/heap.before.pb.gz",
         "go tool pprof -top -diff_base=artifacts/pprof/heap.before.pb.gz "
         "artifacts/pprof/heap.after.pb.gz"},
        {"artifacts/pprof/profile.pb.gz", "",
         "go tool pprof -http=: artifacts/pprof/profile.pb.gz"},
        {"artifacts/pprof/goroutine.pb.gz", "",
         "go tool pprof -top artifacts/pprof/goroutine.pb.gz"},
        {"artifacts/pprof/trace.out", "", "go tool trace artifacts/pprof/trace.out"},
        {"artifacts/perf/perf.data", "", "perf report -i artifacts/perf/perf.data"},
        {"artifacts/strace/strace.summary.txt", "", "less artifacts/strace/strace.summary.txt"},
    };
    bool local = strcmp(s->client->server, CLIENT_SERVER) == 0;
    (void)printf("\nopen it:\n  incidentctl get %s%s%s\n", id, local ? "" : " --server ",
                 local ? "" : s->client->server);
    (void)printf("  tar --zstd -xf %s.tar.zst && cd %s\n", id, id);
    for (size_t i = 0; i < ARRAY_LEN(openers); i++) {
        if (has(s, openers[i].path) && (openers[i].also[0] == '\0' || has(s, openers[i].also))) {
            (void)printf("  %s\n", openers[i].command);
        }
    }
    (void)puts("  less manifest.json");
}

static void put_bundle(const struct show *s)
{
    const char *id = client_text(s->capture, "id");
    const char *path = client_text(s->capture, "path");
    char size[32];
    if (client_number(s->capture, "size_bytes") <= 0) {
        (void)printf("\nbundle: not sealed yet (%s)\n", client_text(s->capture, "state"));
        return;
    }
    (void)client_size((int64_t)client_number(s->capture, "size_bytes"), size, sizeof(size));
    (void)printf("\nbundle: %s/api/v1/captures/%s/bundle\n", s->client->server, id);
    if (path[0] != '\0') {
        (void)printf("  on its host: %s\n", path);
    }
    (void)printf("  %s, sha256 %s\n", size, client_text(s->capture, "sha256"));
    put_commands(s, id);
}

/* Gets `prefix``id``suffix`; what is not there is NULL. */
static cJSON *ask(struct client *c, const char *prefix, const char *id, const char *suffix)
{
    char path[512];
    cJSON *answer = NULL;
    (void)client_path(prefix, id, suffix, path, sizeof(path));
    return client_call(c, "GET", path, NULL, &answer, NULL) == 0 ? answer : NULL;
}

static void show(struct client *c, const cJSON *answer)
{
    const cJSON *view = cJSON_GetObjectItemCaseSensitive(answer, "capture");
    struct show s = {.client = c, .capture = cJSON_IsObject(view) ? view : answer};
    const char *id = client_text(s.capture, "id");
    cJSON *incident = ask(c, "/api/v1/incidents/", client_text(s.capture, "incident"), "");
    cJSON *report = ask(c, "/api/v1/captures/", id, "/report");
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(incident, "incident");
    s.incident = cJSON_IsObject(inner) ? inner : incident;
    s.manifest = cJSON_GetObjectItemCaseSensitive(answer, "manifest");
    s.report = report;
    put_state(&s);
    put_counts(&s);
    put_growth(&s);
    put_runs(&s);
    put_bundle(&s);
    cJSON_Delete(incident);
    cJSON_Delete(report);
}

int cmd_show(int argc, char **argv)
{
    static const struct verb verb = {
        .name = "show",
        .usage = "[ID|latest] [--json]",
        .summary = "Tells what happened, what was collected, and how to open it",
        .example = "incidentctl show latest",
        .fallback = "latest",
    };
    struct verb_common common;
    struct client c;
    struct error err = ERROR_INIT;
    char path[512];
    cJSON *answer = NULL;
    int end = verb_parse(argc, argv, &verb, NULL, &common);
    if (end >= 0) {
        return end;
    }
    int rc = client_open(&common, &c, &err);
    if (rc < 0) {
        return client_fail(verb.name, &err);
    }
    (void)client_path("/api/v1/captures/", common.argument, "", path, sizeof(path));
    rc = client_call(&c, "GET", path, NULL, &answer, &err);
    if (rc == 0 && common.json) {
        client_print(answer);
    } else if (rc == 0) {
        show(&c, answer);
    }
    cJSON_Delete(answer);
    client_close(&c);
    return rc < 0 ? client_fail(verb.name, &err) : VERB_DONE;
}
