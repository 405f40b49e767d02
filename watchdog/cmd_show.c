/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_show.c: the first screen at 3 a.m.
 *
 * In the order in which it is asked: is it still going on, how bad, who fails, since when, what
 * grew, what was collected and what not, where is it, and the commands that open it, chosen by the
 * artifacts that are really there. Every text comes from the manifest or the report; control
 * characters in them never reach the terminal.
 */
#include <ctype.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "watchdog/client.h"
#include "watchdog/cmd.h"
#include "watchdog/openers.h"

struct show {
    const struct client *client;
    const char *token_file; /* as it was given, NULL: not */
    const cJSON *capture;
    const cJSON *incident;
    const cJSON *manifest;
    const cJSON *report;
};

enum { GROWTH_ROWS = 5 };

static void put_state(const struct show *s)
{
    char span[32];
    int64_t onset_ms = (int64_t)client_number(s->incident, "onset_ms");
    int64_t end_ms = (int64_t)client_number(s->incident, "resolved_ms");
    double dips = client_number(s->incident, "dips");
    bool open = client_true(s->incident, "open");
    client_put(client_text(s->capture, "target"));
    (void)printf(" / ");
    client_put(client_text(s->capture, "rule"));
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

/* How good it was, where the rule counts good and bad: the summary has the counts. */
static void put_ratio(const struct show *s)
{
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(s->manifest, "counts");
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(s->manifest, "rule");
    counts =
        cJSON_IsObject(counts) ? counts : cJSON_GetObjectItemCaseSensitive(s->incident, "counts");
    double ratio = client_number(counts, "ratio");
    double worst =
        client_number(cJSON_GetObjectItemCaseSensitive(s->incident, "counts"), "worst_ratio");
    double objective = client_number(rule, "objective");
    if (client_number(counts, "total") <= 0 || ratio <= 0 || (rule != NULL && objective <= 0)) {
        return;
    }
    (void)printf("  %.4g %% good", 100 * (1 - ratio));
    if (objective > 0) {
        (void)printf(", the objective is %.6g %%", 100 * objective);
    }
    if (worst > 1.05 * ratio) {
        (void)printf("; %.4g %% at its worst", 100 * (1 - worst));
    }
    (void)puts("");
}

static void put_counts(const struct show *s)
{
    char ago[32];
    int64_t trigger_ms = (int64_t)client_number(s->capture, "trigger_ms");
    int64_t past_ms = clock_wall_ms() - trigger_ms;
    put_ratio(s);
    if (client_text(s->capture, "summary")[0] != '\0') {
        (void)printf("  ");
        client_put(client_text(s->capture, "summary"));
        (void)puts("");
    }
    (void)printf("  onset %s, trigger %s", client_text(s->capture, "onset"),
                 client_text(s->capture, "trigger"));
    if (trigger_ms > 0 && past_ms >= 0) {
        (void)printf(" (%s ago)", client_ago(past_ms, ago, sizeof(ago)));
    }
    (void)puts("");
    if (client_number(s->incident, "suppressed") > 0) {
        (void)printf("  %.0f more captures held back: ", client_number(s->incident, "suppressed"));
        client_put(client_text(s->incident, "suppressed_why"));
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
    client_put(headline);
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
        client_put(client_text(row, "function"));
        (void)puts("");
    }
}

static void put_runs(const struct show *s)
{
    const cJSON *item = NULL;
    if (s->manifest == NULL || cJSON_IsNull(s->manifest)) {
        (void)puts("\ncollected: what runs is listed once it is sealed");
        return;
    }
    (void)puts("\ncollected:");
    cJSON_ArrayForEach(item, client_array(s->manifest, "runs"))
    {
        double ms = client_number(item, "ended_mono_ms") - client_number(item, "started_mono_ms");
        (void)printf("  %-12s %-8s %-12s %6.1f s  ", client_text(item, "collector"),
                     client_text(item, "phase"), client_text(item, "outcome"),
                     ms > 0 ? ms / 1000 : 0);
        client_put(client_text(item, "text"));
        (void)puts("");
    }
    cJSON_ArrayForEach(item, client_array(s->manifest, "skipped"))
    {
        (void)printf("  %-12s %-8s %-12s %8s  ", client_text(item, "collector"), "", "not run", "");
        client_put(client_text(item, "why"));
        (void)puts("");
    }
    if (client_true(s->manifest, "partial")) {
        (void)printf("  PARTIAL: ");
        client_put(client_text(s->manifest, "partial_why"));
        (void)puts("");
    }
}

/* The commands that lead into the bundle: from `path` on this machine, or downloaded. */
static void put_commands(const struct show *s, const char *id, const char *path)
{
    AUTO_BUF struct buf list = BUF_INIT(64 << 10);
    (void)puts("\nopen it:");
    if (path[0] == '\0') {
        bool usual = strcmp(s->client->server, CLIENT_SERVER) == 0;
        (void)printf("  incidentctl get %s%s%s%s%s\n", id, usual ? "" : " --server ",
                     usual ? "" : s->client->server, s->token_file == NULL ? "" : " --token-file ",
                     s->token_file == NULL ? "" : s->token_file);
        (void)printf("  tar --zstd -xf %s.tar.zst && cd %s\n", id, id);
    } else {
        (void)printf("  tar --zstd -xf %s && cd %s\n", path, id);
    }
    (void)openers_list(s->manifest, &list);
    for (const char *line = buf_text(&list); *line != '\0';) {
        int len = (int)strcspn(line, "\n");
        (void)printf("  %.*s\n", len, line);
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    (void)puts("  less manifest.json");
}

/* The daemon's path is only of use where it leads to this very bundle. */
static const char *local_path(const struct show *s)
{
    const char *path = client_text(s->capture, "path");
    struct stat st;
    bool here = path[0] == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
                (double)st.st_size == client_number(s->capture, "size_bytes");
    for (const char *c = path; *c != '\0'; c++) {
        here =
            here && strchr("/._-+:", *c) != NULL ? here : here && isalnum((unsigned char)*c) != 0;
    }
    return here ? path : "";
}

static void put_bundle(const struct show *s)
{
    const char *id = client_text(s->capture, "id");
    const char *path = local_path(s);
    char size[32];
    if (client_number(s->capture, "size_bytes") <= 0) {
        (void)printf("\nbundle: not there yet (%s): again in some seconds\n",
                     client_text(s->capture, "state"));
        return;
    }
    (void)client_size((int64_t)client_number(s->capture, "size_bytes"), size, sizeof(size));
    if (path[0] != '\0') {
        (void)printf("\nbundle: %s\n", path);
    } else {
        (void)printf("\nbundle: %s/api/v1/captures/%s/bundle\n", s->client->server, id);
    }
    (void)printf("  %s, sha256 %s\n", size, client_text(s->capture, "sha256"));
    put_commands(s, id, path);
}

/* Gets `prefix``id``suffix`; what is not there is NULL. */
static cJSON *ask(struct client *c, const char *prefix, const char *id, const char *suffix)
{
    char path[512];
    cJSON *answer = NULL;
    (void)client_path(prefix, id, suffix, path, sizeof(path));
    return client_call(c, "GET", path, NULL, &answer, NULL) == 0 ? answer : NULL;
}

static void show(struct client *c, const char *token_file, const cJSON *answer)
{
    const cJSON *view = cJSON_GetObjectItemCaseSensitive(answer, "capture");
    struct show s = {
        .client = c, .token_file = token_file, .capture = cJSON_IsObject(view) ? view : answer};
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
        show(&c, common.token_file, answer);
    }
    cJSON_Delete(answer);
    client_close(&c);
    return rc < 0 ? client_fail(verb.name, &err) : VERB_DONE;
}
