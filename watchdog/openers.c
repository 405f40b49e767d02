/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/openers.h"

#include <errno.h>

#include "base/fs.h"
#include "base/limits.h"

/* `@` stands for the collector's folder. */
static const struct opener {
    const char *type;
    const char *file;
    const char *also; /* must be there too, NULL: nothing */
    const char *command;
} table[] = {
    {"pprof", "heap.after.pb.gz", "heap.before.pb.gz",
     "go tool pprof -top -diff_base=@/heap.before.pb.gz @/heap.after.pb.gz"},
    {"pprof", "profile.pb.gz", NULL, "go tool pprof -top @/profile.pb.gz"},
    {"pprof", "fgprof.pb.gz", NULL, "go tool pprof -top @/fgprof.pb.gz"},
    {"pprof", "goroutine.pb.gz", NULL, "go tool pprof -top @/goroutine.pb.gz"},
    {"pprof", "trace.out", NULL, "go tool trace @/trace.out"},
    {"perf", "perf.data", NULL, "perf report -i @/perf.data"},
    {"strace", "strace.summary.txt", NULL, "less @/strace.summary.txt"},
    {"strace", "strace.trace.txt", NULL, "less @/strace.trace.txt"},
    {"proc", "after/status", "before/status", "diff -ru @/before @/after | less"},
};

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text == NULL ? "" : text;
}

/* The kind of `collector` by its runs; its own name where none of them is on record. */
static const char *type_of(const cJSON *manifest, const char *collector)
{
    const cJSON *run = NULL;
    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(manifest, "runs"))
    {
        if (strcmp(text_of(run, "collector"), collector) == 0 && text_of(run, "type")[0] != '\0') {
            return text_of(run, "type");
        }
    }
    return collector;
}

static bool holds(const cJSON *manifest, const char *collector, const char *file)
{
    char path[LIMIT_NAME_BYTES + 128];
    const cJSON *item = NULL;
    (void)snprintf(path, sizeof(path), "artifacts/%s/%s", collector, file);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(manifest, "artifacts"))
    {
        const cJSON *size = cJSON_GetObjectItemCaseSensitive(item, "size");
        if (cJSON_IsNumber(size) && size->valuedouble > 0 &&
            strcmp(text_of(item, "path"), path) == 0) {
            return true;
        }
    }
    return false;
}

static void add(const struct opener *o, const char *collector, struct buf *out)
{
    for (const char *c = o->command; *c != '\0'; c++) {
        (void)(*c == '@' ? buf_addf(out, "artifacts/%s", collector) : buf_add_char(out, *c));
    }
    (void)buf_add_char(out, '\n');
}

/* True for the first run of its collector: each collector is looked at once. */
static bool is_first(const cJSON *runs, const cJSON *run)
{
    const cJSON *other = NULL;
    cJSON_ArrayForEach(other, runs)
    {
        if (strcmp(text_of(other, "collector"), text_of(run, "collector")) == 0) {
            return other == run;
        }
    }
    return false;
}

int openers_list(const cJSON *manifest, struct buf *out)
{
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(manifest, "runs");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct opener *o = &table[i];
        const cJSON *run = NULL;
        cJSON_ArrayForEach(run, runs)
        {
            const char *name = text_of(run, "collector");
            if (is_first(runs, run) && fs_name_ok(name, LIMIT_NAME_BYTES) &&
                strcmp(type_of(manifest, name), o->type) == 0 && holds(manifest, name, o->file) &&
                (o->also == NULL || holds(manifest, name, o->also))) {
                add(o, name, out);
            }
        }
    }
    return buf_failed(out) ? -EMSGSIZE : 0;
}
