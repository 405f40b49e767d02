/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/facts.h"

#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "collectors/collector.h"

const char *facts_runtime(int runtime)
{
    static const char *const names[] = {"", "go", "jvm", "node", "python", "native"};
    return runtime >= 0 && (size_t)runtime < ARRAY_LEN(names) ? names[runtime] : "";
}

const char *facts_kind(enum watch_kind kind)
{
    static const char *const names[] = {"slo", "source_down", "target_exited", "traffic_lost"};
    return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "slo";
}

void facts_skip(struct facts *f, const char *collector, const char *why)
{
    if (f->skipped_count < ARRAY_LEN(f->skipped)) {
        struct facts_skipped *s = &f->skipped[f->skipped_count++];
        (void)snprintf(s->collector, sizeof(s->collector), "%s", collector);
        (void)snprintf(s->why, sizeof(s->why), "%s", why);
    }
}

/* Copies at most LIMIT_NAME_BYTES, whatever does not belong into a file name replaced. */
static void copy_name(const char *text, char *out)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
    size_t n = 0;
    for (; text[n] != '\0' && n < LIMIT_NAME_BYTES; n++) {
        bool fine = strchr(allowed, text[n]) != NULL &&
                    !(n == 0 && text[n] != '\0' && strchr(".-", text[n]) != NULL);
        out[n] = text[n];
        if (!fine) {
            out[n] = text[n] == '_' ? '-' : 'x';
        }
    }
    if (n == 0) {
        out[n++] = 'x';
    }
    out[n] = '\0';
}

char *facts_host(char *out)
{
    struct utsname u;
    copy_name(uname(&u) == 0 ? u.nodename : "", out);
    return out;
}

void facts_id(const char *target, const char *rule, int64_t wall_ms, const char *instance,
              char ret[LIMIT_ID_BYTES + 1])
{
    char t[LIMIT_NAME_BYTES + 1];
    char i[LIMIT_NAME_BYTES + 1];
    char when[CLOCK_TEXT_SIZE];
    uint16_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0) {
        random = (uint16_t)wall_ms; /* early in boot */
    }
    copy_name(target, t);
    copy_name(instance, i);
    if (t[0] == '-') {
        t[0] = 'x';
    }
    (void)snprintf(ret, LIMIT_ID_BYTES + 1, "%s_%.*s_%s_%s_%04x", t, LIMIT_NAME_BYTES, rule,
                   clock_compact(wall_ms, when), i, (unsigned)random);
    for (char *p = ret; *p != '\0'; p++) {
        bool fine = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || *p == '.' || *p == '_' || *p == '-';
        if (!fine) {
            *p = '-';
        }
    }
}

static void text(cJSON *o, const char *name, const char *value)
{
    /* Through our own escaper: what a target names itself need not be UTF-8. */
    AUTO_BUF struct buf b = BUF_INIT(16384);
    (void)buf_add_char(&b, '"');
    (void)buf_add_json(&b, value);
    (void)buf_add_char(&b, '"');
    (void)cJSON_AddRawToObject(o, name, buf_text(&b));
}

static void number(cJSON *o, const char *name, double value)
{
    (void)cJSON_AddNumberToObject(o, name, value);
}

static void time_of(cJSON *o, const char *name, int64_t wall_ms, cJSON **ret)
{
    char when[CLOCK_TEXT_SIZE];
    cJSON *t = cJSON_AddObjectToObject(o, name);
    text(t, "wall", clock_rfc3339(wall_ms, when));
    number(t, "wall_ms", (double)wall_ms);
    *ret = t;
}

static void add_rule(cJSON *root, const struct facts *f)
{
    cJSON *rule = cJSON_AddObjectToObject(root, "rule");
    text(rule, "name", f->rule);
    text(rule, "kind", strcmp(f->reason, "manual") == 0 ? "manual" : facts_kind(f->kind));
    number(rule, "objective", f->objective);
    text(rule, "good", f->good);
    text(rule, "bad", f->bad);
    text(rule, "total", f->total);
    text(rule, "summary", f->summary);
    cJSON *counts = cJSON_AddObjectToObject(root, "counts");
    number(counts, "bad", f->counts.bad);
    number(counts, "total", f->counts.total);
    number(counts, "window_ms", (double)f->counts.window_ms);
    number(counts, "allowed", f->counts.allowed);
    number(counts, "fires_at", f->counts.fires_at);
    number(counts, "ratio", f->counts.ratio);
    number(counts, "worst_ratio", f->counts.worst_ratio);
    text(counts, "top_labels", f->counts.top_labels);
    number(counts, "top_share", f->counts.top_share);
    number(counts, "dispersion", f->counts.dispersion);
}

static void add_target(cJSON *root, const struct facts *f)
{
    cJSON *target = cJSON_AddObjectToObject(root, "target");
    text(target, "name", f->target);
    number(target, "pid", f->pid);
    number(target, "start_ticks", (double)f->start_ticks);
    (void)cJSON_AddBoolToObject(target, "exited", f->exited);
    text(target, "exe", f->exe);
    text(target, "runtime", f->runtime);
    text(target, "service", f->service);
    text(target, "version", f->version);
    text(target, "instance", f->instance);
    text(target, "metrics", f->metrics);
    text(target, "pprof", f->pprof);
}

static void add_host(cJSON *root)
{
    struct utsname u = {.nodename = ""};
    (void)uname(&u);
    cJSON *host = cJSON_AddObjectToObject(root, "host");
    text(host, "name", u.nodename);
    text(host, "kernel", u.release);
    number(host, "cpus", (double)sysconf(_SC_NPROCESSORS_ONLN));
    cJSON *self = cJSON_AddObjectToObject(root, "incidentd");
    text(self, "version", INCIDENTD_VERSION);
}

void facts_json(const struct facts *f, struct buf *out)
{
    cJSON *root = cJSON_CreateObject();
    char boot[40];
    cJSON *when = NULL;
    number(root, "schema_version", 1);
    text(root, "id", f->id);
    text(root, "incident", f->incident);
    text(root, "reason", f->reason);
    text(root, "grade", f->grade == WATCH_FULL ? "full" : "light");
    (void)cJSON_AddBoolToObject(root, "partial", f->partial);
    text(root, "partial_why", f->partial_why);
    text(root, "instance", f->instance);
    time_of(root, "onset", f->onset_ms, &when);
    time_of(root, "trigger", f->trigger_ms, &when);
    number(when, "mono_ms", (double)f->trigger_mono_ms);
    text(when, "boot_id", clock_boot_id(boot));
    add_rule(root, f);
    add_target(root, f);
    add_host(root);
    cJSON *skipped = cJSON_AddArrayToObject(root, "skipped");
    for (size_t i = 0; i < f->skipped_count; i++) {
        cJSON *s = cJSON_CreateObject();
        text(s, "collector", f->skipped[i].collector);
        text(s, "why", f->skipped[i].why);
        (void)cJSON_AddItemToArray(skipped, s);
    }
    AUTO_FREE char *printed = cJSON_PrintUnformatted(root);
    (void)buf_add_text(out, printed == NULL ? "{}" : printed);
    cJSON_Delete(root);
}

static char *print_partial(cJSON *root, const char *why)
{
    cJSON_DeleteItemFromObjectCaseSensitive(root, "partial");
    cJSON_DeleteItemFromObjectCaseSensitive(root, "partial_why");
    (void)cJSON_AddBoolToObject(root, "partial", true);
    text(root, "partial_why", why);
    char *printed = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return printed;
}

char *facts_partial(const char *base, const char *why)
{
    cJSON *root = cJSON_Parse(base);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return NULL;
    }
    return print_partial(root, why);
}

/* The moment in a capture's name, or `fallback_ms`. */
static int64_t time_in(const char *id, int64_t fallback_ms)
{
    for (const char *p = strchr(id, '_'); p != NULL; p = strchr(p + 1, '_')) {
        struct tm tm = {0};
        const char *fraction = strptime(p, "_%Y%m%dT%H%M%S.", &tm);
        char *end = NULL;
        long ms = fraction == NULL ? 0 : strtol(fraction, &end, 10);
        if (end != NULL && end == fraction + 3 && *end == 'Z' && ms >= 0) {
            return (int64_t)timegm(&tm) * 1000 + ms;
        }
    }
    return fallback_ms;
}

char *facts_orphan(const char *id, int64_t wall_ms, const char *why)
{
    static struct facts f; /* large: not on the stack; the loop's thread only */
    wall_ms = time_in(id, wall_ms);
    f = (struct facts){.grade = WATCH_LIGHT, .onset_ms = wall_ms, .trigger_ms = wall_ms};
    (void)snprintf(f.id, sizeof(f.id), "%s", id);
    (void)snprintf(f.incident, sizeof(f.incident), "%s", id);
    (void)snprintf(f.reason, sizeof(f.reason), "onset");
    (void)snprintf(f.target, sizeof(f.target), "%.*s", (int)strcspn(id, "_"), id);
    (void)snprintf(f.summary, sizeof(f.summary), "its trigger was not recorded");
    AUTO_BUF struct buf b = BUF_INIT(1 << 20);
    facts_json(&f, &b);
    return facts_partial(buf_text(&b), why);
}
