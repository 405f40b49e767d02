/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document: its problems by position, the origin of every loaded field, and the rendering in
 * the style of a compiler:
 *
 *     incidentd.yaml:14:18: error: 'objective' is 99.9, above its maximum of 1
 *       14 |       objective: 99.9
 *          |                  ^~~~
 *          = hint: write 0.999
 */
#include "base/schema_doc.h"

#include "base/limits.h"

#include <stdarg.h>

enum { RENDER_COLUMNS = 120 };

struct schema_doc *schema_doc_new(const char *file, const char *text, size_t len)
{
    struct schema_doc *doc = xcalloc(1, sizeof(*doc));
    doc->file = xstrdup(file);
    doc->text = xcalloc(1, len + 1);
    if (len > 0) {
        memcpy(doc->text, text, len);
    }
    doc->len = len;
    doc->tree = (struct arena)ARENA_INIT(SCHEMA_TREE_BYTES);
    return doc;
}

void schema_doc_free(struct schema_doc *doc)
{
    if (doc == NULL) {
        return;
    }
    arena_release(&doc->tree);
    free(doc->origins);
    free(doc->problems);
    free(doc->text);
    free(doc->file);
    free(doc);
}

static bool is_before(const struct diagnostic *a, const struct diagnostic *b)
{
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

static bool is_known(const struct schema_doc *doc, const struct diagnostic *d)
{
    for (size_t i = 0; i < doc->problem_count; i++) {
        const struct diagnostic *k = &doc->problems[i].diagnostic;
        if (k->line == d->line && k->column == d->column && strcmp(k->message, d->message) == 0) {
            return true;
        }
    }
    return false;
}

/* Keeps `e` at its place by position, after those of the same place. */
static void keep(struct schema_doc *doc, const struct schema_problem_entry *e)
{
    if (is_known(doc, &e->diagnostic)) {
        return;
    }
    if (doc->problem_count == LIMIT_CONFIG_DIAGNOSTICS) {
        doc->overflow = true;
        doc->error_count += e->diagnostic.warning ? 0 : 1;
        return;
    }
    if (doc->problems == NULL) {
        doc->problems = xcalloc(LIMIT_CONFIG_DIAGNOSTICS, sizeof(*doc->problems));
    }
    size_t at = doc->problem_count++;
    while (at > 0 && is_before(&e->diagnostic, &doc->problems[at - 1].diagnostic)) {
        doc->problems[at] = doc->problems[at - 1];
        at--;
    }
    doc->problems[at] = *e;
    doc->error_count += e->diagnostic.warning ? 0 : 1;
}

static void add_problem(struct schema_doc *doc, const struct schema_mark *mark, bool warning,
                        const char *hint, const char *message)
{
    struct schema_problem_entry e = {
        .diagnostic = {.line = mark->line, .column = mark->column, .warning = warning},
        .width = mark->width,
    };
    (void)schema_text_quote(message, e.diagnostic.message, sizeof(e.diagnostic.message));
    (void)schema_text_quote(hint == NULL ? "" : hint, e.diagnostic.hint, sizeof(e.diagnostic.hint));
    keep(doc, &e);
}

void schema_doc_problem(struct schema_doc *doc, const struct schema_mark *mark, bool warning,
                        const char *hint, const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    add_problem(doc, mark, warning, hint, message);
}

bool schema_doc_full(const struct schema_doc *doc)
{
    return doc->overflow;
}

static void add_origin(struct schema_doc *doc, const struct schema_origin *o)
{
    if (doc->origin_count == doc->origin_capacity) {
        doc->origin_capacity = doc->origin_capacity == 0 ? 64 : doc->origin_capacity * 2;
        doc->origins = xrealloc(doc->origins, doc->origin_capacity, sizeof(*doc->origins));
    }
    doc->origins[doc->origin_count++] = *o;
}

void schema_doc_origin(struct schema_doc *doc, const void *address, size_t size,
                       const struct schema_mark *mark)
{
    const struct schema_origin o = {.address = address, .size = size, .mark = *mark, .given = true};
    add_origin(doc, &o);
}

size_t schema_doc_region(struct schema_doc *doc, const void *address, size_t size,
                         const struct schema_mark *mark)
{
    const struct schema_origin o = {.address = address, .size = size, .mark = *mark};
    add_origin(doc, &o);
    return doc->origin_count - 1;
}

/* The mark of the smallest loaded thing that holds `field`; one that begins there wins. */
static struct schema_mark find_origin(const struct schema_doc *doc, const void *field)
{
    uintptr_t at = (uintptr_t)field;
    const struct schema_origin *best = NULL;
    for (size_t i = 0; i < doc->origin_count; i++) {
        const struct schema_origin *o = &doc->origins[i];
        uintptr_t from = (uintptr_t)o->address;
        if (at >= from && at - from < o->size && (best == NULL || o->size <= best->size)) {
            best = o;
        }
    }
    return best == NULL ? (struct schema_mark){.line = 1, .column = 1, .width = 1} : best->mark;
}

bool schema_given(const struct schema_doc *doc, const void *field)
{
    for (size_t i = 0; i < doc->origin_count; i++) {
        const struct schema_origin *o = &doc->origins[i];
        if (o->given && o->address == field) {
            return true;
        }
    }
    return false;
}

bool schema_puzzled(const struct schema_doc *doc, const void *s)
{
    for (size_t i = 0; i < doc->origin_count; i++) {
        if (doc->origins[i].unknown && doc->origins[i].address == s) {
            return true;
        }
    }
    return false;
}

void schema_complain(struct schema_doc *doc, const void *field, bool warning, const char *hint,
                     const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    struct schema_mark mark = find_origin(doc, field);
    add_problem(doc, &mark, warning, hint, message);
}

size_t schema_problem_count(const struct schema_doc *doc, bool warnings)
{
    if (!warnings) {
        return doc->error_count;
    }
    size_t count = 0;
    for (size_t i = 0; i < doc->problem_count; i++) {
        count += doc->problems[i].diagnostic.warning ? 1 : 0;
    }
    return count;
}

const struct diagnostic *schema_problem(const struct schema_doc *doc, size_t index)
{
    return index < doc->problem_count ? &doc->problems[index].diagnostic : NULL;
}

/* The bytes of line `line`, without its end. */
static const char *find_line(const struct schema_doc *doc, unsigned line, size_t *ret_len)
{
    const char *p = doc->text;
    const char *end = doc->text + doc->len;
    for (unsigned i = 1; i < line && p < end; i++) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        p = lf == NULL ? end : lf + 1;
    }
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    size_t len = (size_t)((lf == NULL ? end : lf) - p);
    if (len > 0 && p[len - 1] == '\r') {
        len--;
    }
    *ret_len = len;
    return p;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0U) == 0x80U;
}

/* Bytes of the first `count` characters of `text`. */
static size_t skip_characters(const char *text, size_t len, size_t count)
{
    size_t i = 0;
    while (i < len && count > 0) {
        i++;
        while (i < len && is_continuation(text[i])) {
            i++;
        }
        count--;
    }
    return i;
}

static void add_source(struct buf *out, const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool control = (unsigned char)line[i] < 0x20 && line[i] != '\t';
        (void)buf_add(out, control || line[i] == 0x7f ? "?" : &line[i], 1);
    }
}

/* The underline: as many blanks (or tabs) as stand before the column, a caret, tildes. */
static void add_caret(struct buf *out, const char *line, size_t len, size_t before, unsigned width)
{
    size_t at = 0;
    for (size_t i = 0; i < before; i++) {
        (void)buf_add_char(out, at < len && line[at] == '\t' ? '\t' : ' ');
        at += skip_characters(line + at, len - at, 1);
    }
    (void)buf_add_char(out, '^');
    size_t left = 0;
    for (size_t i = at; i < len; i++) {
        left += is_continuation(line[i]) ? 0 : 1;
    }
    for (unsigned i = 1; i < width && i < left; i++) {
        (void)buf_add_char(out, '~');
    }
    (void)buf_add_char(out, '\n');
}

static void render_source(const struct schema_doc *doc, const struct schema_problem_entry *e,
                          struct buf *out)
{
    size_t len = 0;
    const char *line = find_line(doc, e->diagnostic.line, &len);
    size_t before = e->diagnostic.column - 1;
    bool cut = before > RENDER_COLUMNS / 2;
    if (cut) { /* a window around the caret */
        size_t skipped = skip_characters(line, len, before - RENDER_COLUMNS / 2);
        line += skipped;
        len -= skipped;
        before = RENDER_COLUMNS / 2;
    }
    size_t shown = skip_characters(line, len, RENDER_COLUMNS);
    (void)buf_addf(out, "%5u | %s", e->diagnostic.line, cut ? "..." : "");
    add_source(out, line, shown);
    (void)buf_addf(out, "%s\n      | %s", shown < len ? "..." : "", cut ? "   " : "");
    add_caret(out, line, shown, before, e->width);
}

void schema_render(const struct schema_doc *doc, struct buf *out)
{
    for (size_t i = 0; i < doc->problem_count; i++) {
        const struct schema_problem_entry *e = &doc->problems[i];
        const struct diagnostic *d = &e->diagnostic;
        (void)buf_addf(out, "%s:%u:%u: %s: %s\n", doc->file, d->line, d->column,
                       d->warning ? "warning" : "error", d->message);
        render_source(doc, e, out);
        if (d->hint[0] != '\0') {
            (void)buf_addf(out, "      = hint: %s\n", d->hint);
        }
    }
    if (doc->overflow) {
        (void)buf_addf(out, "%s: more than %d problems; the rest is not shown\n", doc->file,
                       LIMIT_CONFIG_DIAGNOSTICS);
    }
}
