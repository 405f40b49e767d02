/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap_growth.c: two heap profiles subtracted, in two ways of charging.
 *
 * The table charges the leaf, exactly as `go tool pprof -top -diff_base` does, so that a reader who
 * distrusts it can check it with the tool they know. The sentence charges the first function
 * outside the standard library: "bytes.growSlice grew" helps nobody at 3 a.m., "your cache's Get
 * grew, through bytes.growSlice" does. Third-party modules count as application: they are what
 * somebody chose.
 *
 * Both are the same merge: one entry per sample, `from` negative, sorted by names and summed. That
 * is O(n log n) on at most 2 x PPROF_ENTRIES entries and needs no table that hostile names could
 * degrade.
 */
#include "report/heap_growth.h"

#include <errno.h>

enum { STACK_MAX = 256 };

/* What one sample, or all of one key, adds. */
struct entry {
    const char *owner; /* first function outside the standard library */
    const char *leaf;
    int64_t growth_bytes;
    int64_t growth_objects;
    int64_t to_bytes;
    int64_t to_objects;
};

static int64_t plus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b); /* a hostile profile may overflow: it wraps */
}

static int64_t minus(int64_t a)
{
    return (int64_t)(0 - (uint64_t)a);
}

bool heap_growth_is_library(const char *function)
{
    static const char *const roots[] = {
        "archive",  "bufio",   "bytes",   "cmp",      "compress", "container", "context", "crypto",
        "database", "debug",   "embed",   "encoding", "errors",   "expvar",    "flag",    "fmt",
        "go",       "hash",    "html",    "image",    "index",    "internal",  "io",      "iter",
        "log",      "maps",    "math",    "mime",     "net",      "os",        "path",    "plugin",
        "reflect",  "regexp",  "runtime", "slices",   "sort",     "strconv",   "strings", "structs",
        "sync",     "syscall", "testing", "text",     "time",     "type",      "unicode", "unique",
        "vendor",   "weak"};
    size_t len = strcspn(function, "/([");
    if (function[len] != '/') {
        len = strcspn(function, ".([");
    }
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        if (strlen(roots[i]) == len && memcmp(roots[i], function, len) == 0) {
            return true;
        }
    }
    return false;
}

/* One entry per sample of `p`; `to` says which side it is. */
static void collect(const struct pprof *p, bool to, struct entry *out)
{
    int bytes = pprof_type(p, "inuse_space");
    int objects = pprof_type(p, "inuse_objects");
    for (size_t i = 0; i < pprof_sample_count(p); i++) {
        const char *stack[STACK_MAX];
        size_t depth = pprof_stack(p, i, stack, STACK_MAX);
        const char *leaf = depth == 0 ? "<unknown>" : stack[0];
        const char *owner = leaf;
        for (size_t f = 0; f < depth; f++) {
            if (!heap_growth_is_library(stack[f]) && strcmp(stack[f], "<unknown>") != 0) {
                owner = stack[f];
                break;
            }
        }
        int64_t b = pprof_value(p, i, bytes);
        int64_t o = pprof_value(p, i, objects);
        out[i] = (struct entry){.owner = owner,
                                .leaf = leaf,
                                .growth_bytes = to ? b : minus(b),
                                .growth_objects = to ? o : minus(o),
                                .to_bytes = to ? b : 0,
                                .to_objects = to ? o : 0};
    }
}

static int by_leaf(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    return strcmp(x->leaf, y->leaf);
}

static int by_owner(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int order = strcmp(x->owner, y->owner);
    return order != 0 ? order : strcmp(x->leaf, y->leaf);
}

/* Sums neighbours that compare equal; returns how many are left. */
static size_t merge(struct entry *e, size_t count, int (*compare)(const void *, const void *))
{
    size_t kept = 0;
    if (count == 0) {
        return 0;
    }
    qsort(e, count, sizeof(*e), compare);
    for (size_t i = 1; i < count; i++) {
        if (compare(&e[kept], &e[i]) != 0) {
            e[++kept] = e[i];
            continue;
        }
        e[kept].growth_bytes = plus(e[kept].growth_bytes, e[i].growth_bytes);
        e[kept].growth_objects = plus(e[kept].growth_objects, e[i].growth_objects);
        e[kept].to_bytes = plus(e[kept].to_bytes, e[i].to_bytes);
        e[kept].to_objects = plus(e[kept].to_objects, e[i].to_objects);
    }
    return kept + 1;
}

/* Names the owner that holds most of what counts: growth, or what is in use. `e` is merged by
 * owner and leaf. */
static void blame(const struct entry *e, size_t count, bool growth, struct heap_growth_blame *ret)
{
    double gross = 0;
    double best = 0;
    for (size_t i = 0; i < count;) {
        double sum = 0;
        double most = 0;
        const char *leaf = e[i].leaf;
        size_t first = i;
        for (; i < count && strcmp(e[i].owner, e[first].owner) == 0; i++) {
            double v = (double)(growth ? e[i].growth_bytes : e[i].to_bytes);
            sum += v;
            if (v > most) {
                most = v;
                leaf = e[i].leaf;
            }
        }
        gross += sum > 0 ? sum : 0;
        if (sum > best) {
            best = sum;
            *ret = (struct heap_growth_blame){.function = e[first].owner, .leaf = leaf};
        }
    }
    ret->share = gross > 0 ? best / gross : 0;
}

static int by_growth(const void *a, const void *b)
{
    const struct heap_growth_row *x = a;
    const struct heap_growth_row *y = b;
    if (x->growth_bytes != y->growth_bytes) {
        return x->growth_bytes < y->growth_bytes ? 1 : -1;
    }
    if (x->to_bytes != y->to_bytes) {
        return x->to_bytes < y->to_bytes ? 1 : -1;
    }
    return strcmp(x->function, y->function);
}

/* The table and the totals, off entries merged by leaf. Functions with nothing on either side are
 * left out, as pprof leaves them out. */
static int tabulate(const struct entry *e, size_t count, bool growth, struct heap_growth *g)
{
    g->rows = calloc(count + 1, sizeof(*g->rows));
    if (g->rows == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        g->to_bytes = plus(g->to_bytes, e[i].to_bytes);
        g->to_objects = plus(g->to_objects, e[i].to_objects);
        int64_t from_bytes = plus(e[i].to_bytes, minus(e[i].growth_bytes));
        int64_t from_objects = plus(e[i].to_objects, minus(e[i].growth_objects));
        g->from_bytes = plus(g->from_bytes, from_bytes);
        g->from_objects = plus(g->from_objects, from_objects);
        if (e[i].to_bytes == 0 && e[i].to_objects == 0 && from_bytes == 0 && from_objects == 0) {
            continue;
        }
        g->rows[g->count++] =
            (struct heap_growth_row){.function = e[i].leaf,
                                     .growth_bytes = growth ? e[i].growth_bytes : 0,
                                     .growth_objects = growth ? e[i].growth_objects : 0,
                                     .to_bytes = e[i].to_bytes,
                                     .to_objects = e[i].to_objects};
    }
    qsort(g->rows, g->count, sizeof(*g->rows), by_growth);
    return 0;
}

int heap_growth_new(const struct pprof *from, const struct pprof *to, struct heap_growth **ret,
                    struct error *err)
{
    if (pprof_type(to, "inuse_space") < 0 ||
        (from != NULL && pprof_type(from, "inuse_space") < 0)) {
        return error_set(err, -EINVAL, "not a heap profile: it has no 'inuse_space'");
    }
    size_t from_count = from == NULL ? 0 : pprof_sample_count(from);
    size_t count = from_count + pprof_sample_count(to);
    struct heap_growth *g = calloc(1, sizeof(*g));
    struct entry *e = calloc(count + 1, sizeof(*e));
    int rc = g == NULL || e == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        g->blame = (struct heap_growth_blame){.function = "", .leaf = ""};
        if (from != NULL) {
            collect(from, false, e);
        }
        collect(to, true, e + from_count);
        size_t pairs = merge(e, count, by_owner);
        blame(e, pairs, from != NULL, &g->blame);
        rc = tabulate(e, merge(e, pairs, by_leaf), from != NULL, g);
    }
    free(e);
    if (rc < 0) {
        heap_growth_free(g);
        return error_set(err, rc, "no memory to compare the heap profiles");
    }
    *ret = g;
    return 0;
}

void heap_growth_free(struct heap_growth *g)
{
    if (g != NULL) {
        free(g->rows);
        free(g);
    }
}

char *heap_growth_bytes_text(int64_t bytes, bool sign, char *out, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while ((value >= 1024 || value <= -1024) && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    const char *plus_sign = sign && bytes > 0 ? "+" : "";
    (void)snprintf(out, size, unit == 0 ? "%s%.0f %s" : "%s%.1f %s", plus_sign, value, units[unit]);
    return out;
}
