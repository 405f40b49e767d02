/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference of a table as Markdown, from the same rows that the walk reads.
 */
#include "base/schema_doc.h"

enum { PATH_MAX_BYTES = 200 };

static const char *type_text(const struct schema_option *o)
{
    static const char *const names[] = {
        [SCHEMA_BOOL] = "true or false", [SCHEMA_INT] = "whole number",
        [SCHEMA_DOUBLE] = "number",      [SCHEMA_DURATION] = "duration",
        [SCHEMA_SIZE] = "size",          [SCHEMA_PERCENT] = "percent",
        [SCHEMA_STRING] = "text",        [SCHEMA_ENUM] = "one of",
        [SCHEMA_STRINGS] = "texts",      [SCHEMA_STRUCT] = "mapping",
        [SCHEMA_LIST] = "list",          [SCHEMA_MAP] = "mapping",
    };
    return names[o->type];
}

/* Text for a cell: a bar would end it. */
static void add_cell(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        (void)buf_addf(out, *text == '|' ? "\\%c" : "%c", *text);
    }
}

static void add_number(const struct schema_option *o, double value, struct buf *out)
{
    char text[64];
    (void)buf_add_text(out, schema_text_number(o->type, value, text, sizeof(text)));
}

static void add_bounds(const struct schema_option *o, struct buf *out)
{
    if (o->type == SCHEMA_ENUM) {
        for (size_t i = 0; o->choices[i] != NULL; i++) {
            (void)buf_addf(out, "%s`%s`", i == 0 ? "" : ", ", o->choices[i]);
        }
    } else if (o->min != 0.0 || o->max != 0.0) {
        add_number(o, o->min, out);
        (void)buf_add_text(out, " to ");
        add_number(o, o->max, out);
        if (o->unit != NULL && o->type != SCHEMA_DURATION && o->type != SCHEMA_SIZE) {
            (void)buf_addf(out, " %s", o->unit);
        }
    }
}

static void add_default(const struct schema_option *o, struct buf *out)
{
    if ((o->flags & SCHEMA_REQUIRED) != 0) {
        (void)buf_add_text(out, "required");
    } else if (o->fallback != NULL && *o->fallback != '\0') {
        (void)buf_addf(out, "`%s`", o->fallback);
    }
}

static void add_table(const struct schema_table *table, const char *path, struct buf *out);

static void add_option(const struct schema_option *o, const char *path, struct buf *out)
{
    (void)buf_addf(out, "| `%s%s` | %s%s | ", path, o->name, type_text(o),
                   (o->flags & SCHEMA_ENV) != 0 ? " or `{env: NAME}`" : "");
    add_default(o, out);
    (void)buf_add_text(out, " | ");
    add_bounds(o, out);
    (void)buf_add_text(out, " | ");
    add_cell(out, o->help == NULL ? "" : o->help);
    (void)buf_add_text(out, " |\n");
    if (o->of == NULL) {
        return;
    }
    char inner[PATH_MAX_BYTES];
    (void)snprintf(inner, sizeof(inner), "%s%s%s", path, o->name,
                   o->type == SCHEMA_MAP    ? ".NAME."
                   : o->type == SCHEMA_LIST ? "[]."
                                            : ".");
    add_table(o->of, inner, out);
}

static void add_table(const struct schema_table *table, const char *path, struct buf *out)
{
    size_t len = strlen(path);
    bool named = len > 5 && strcmp(path + len - 5, "NAME.") == 0;
    for (const struct schema_option *o = table->options; o->name != NULL; o++) {
        bool by_key = (o->flags & SCHEMA_KEY) != 0 && (named || *path == '\0');
        if ((o->flags & SCHEMA_HIDDEN) == 0 && !by_key) {
            add_option(o, path, out);
        }
    }
}

void schema_reference(const struct schema_table *table, struct buf *out)
{
    (void)buf_add_text(out, "| option | type | default | allowed | meaning |\n"
                            "| --- | --- | --- | --- | --- |\n");
    add_table(table, "", out);
}
