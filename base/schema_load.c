/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a parsed tree by an option table.
 *
 * Every problem is told and the walk goes on, so that one run shows all of them; it ends early only
 * when the doc takes no more. What is wrong keeps its default. Each filled field is remembered with
 * its mark, so that later cross-checks (schema_complain) point at the very value.
 *
 * An unknown key is the commonest mistake, so its hint tries, in this order: what the table says
 * about it, the nearest key, the block it belongs into, the keys there are.
 */
#include "base/schema_doc.h"

#include "base/limits.h"

#include <errno.h>

struct walk {
    struct schema_doc *doc;
    struct arena *arena;
    bool out_of_memory; /* told */
};

/* Where the walk stands: a mapping and those around it. */
struct scope {
    const struct schema_table *table;
    const struct schema_table *variant; /* NULL: none */
    const char *name;                   /* the key of a SCHEMA_STRUCT, "" else */
    const char *key;                    /* the value of the SCHEMA_KEY, "" when there is none */
    bool by_key;                        /* an entry of a SCHEMA_MAP: the key is its name */
    const struct scope *parent;
};

static void load_struct(struct walk *w, struct scope *sc, const struct schema_node *node,
                        const struct schema_node *key, char *s);

static bool is_null(const struct schema_node *node)
{
    return node->type == SCHEMA_NODE_SCALAR && node->plain &&
           (node->len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static const char *node_kind(const struct schema_node *node)
{
    return node->type == SCHEMA_NODE_MAPPING    ? "a mapping"
           : node->type == SCHEMA_NODE_SEQUENCE ? "a list"
           : is_null(node)                      ? "nothing"
                                                : "a text";
}

static void *allocate(struct walk *w, size_t size, const struct schema_node *node)
{
    void *p = arena_alloc(w->arena, size == 0 ? 1 : size);
    if (p == NULL && !w->out_of_memory) {
        w->out_of_memory = true;
        schema_doc_problem(w->doc, &node->mark, false, NULL,
                           "the configuration needs too much memory");
    }
    return p;
}

/* "target 'checkout'", "'slo' of rule 'availability'", "the file". */
static const char *scope_text(const struct scope *sc, char *out, size_t size)
{
    char key[64];
    if (sc->parent == NULL) {
        (void)snprintf(out, size, "the file");
    } else if (sc->key[0] != '\0') {
        (void)snprintf(out, size, "%s '%s'", sc->table->name,
                       schema_text_quote(sc->key, key, sizeof(key)));
    } else if (sc->name[0] == '\0') {
        (void)snprintf(out, size, "this %s", sc->table->name);
    } else if (sc->parent->key[0] != '\0') {
        (void)snprintf(out, size, "'%s' of %s '%s'", sc->name, sc->parent->table->name,
                       schema_text_quote(sc->parent->key, key, sizeof(key)));
    } else {
        (void)snprintf(out, size, "'%s'", sc->name);
    }
    return out;
}

static const struct schema_option *find_option(const struct schema_table *table, const char *name)
{
    for (const struct schema_option *o = table->options; o->name != NULL; o++) {
        if ((o->flags & SCHEMA_HIDDEN) == 0 && strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

static const struct schema_option *find_flag(const struct schema_table *table, unsigned flag)
{
    for (const struct schema_option *o = table->options; o->name != NULL; o++) {
        if ((o->flags & flag) != 0) {
            return o;
        }
    }
    return NULL;
}

/* The item of mapping `node` whose key is `name`, before `end` (NULL: all). */
static const struct schema_item *find_item(const struct schema_node *node, const char *name,
                                           const struct schema_item *end)
{
    for (const struct schema_item *i = node->items; i != end; i = i->next) {
        if (i->key->type == SCHEMA_NODE_SCALAR && strcmp(i->key->text, name) == 0) {
            return i;
        }
    }
    return NULL;
}

/* Fills a list of one word or several, "auto" or "route, code". */
static void default_strings(struct walk *w, const struct schema_option *o,
                            struct schema_strings *field)
{
    size_t count = *o->fallback == '\0' ? 0 : 1;
    for (const char *p = o->fallback; *p != '\0'; p++) {
        count += *p == ',' ? 1 : 0;
    }
    const char **items = count == 0 ? NULL : arena_alloc(w->arena, count * sizeof(*items));
    const char *p = o->fallback;
    for (size_t i = 0; items != NULL && i < count; i++) {
        size_t len = strcspn(p, ",");
        items[i] = arena_strndup(w->arena, p, len);
        if (items[i] == NULL) {
            return;
        }
        p += len;
        p += strspn(p, ", ");
    }
    *field = (struct schema_strings){.items = items, .count = items == NULL ? 0 : count};
}

static void set_defaults(struct walk *w, const struct schema_table *table, char *s)
{
    const struct schema_mark start = {.line = 1, .column = 1, .width = 1};
    for (const struct schema_option *o = table->options; o->name != NULL; o++) {
        struct error err = ERROR_INIT;
        if (o->type == SCHEMA_STRUCT) {
            set_defaults(w, o->of, s + o->offset);
        } else if (o->fallback != NULL && o->type == SCHEMA_STRINGS) {
            default_strings(w, o, (struct schema_strings *)(void *)(s + o->offset));
        } else if (o->fallback != NULL &&
                   schema_text_convert(o, o->fallback, w->arena, s + o->offset, &err) < 0) {
            schema_doc_problem(w->doc, &start, false, NULL, "the default of '%s' %s", o->name,
                               err.message);
        }
    }
}

/* The mark of column `column` (1-based, 0: unknown) inside the text of `node`. */
static struct schema_mark mark_inside(const struct schema_node *node, unsigned column)
{
    struct schema_mark mark = node->mark;
    unsigned before = column + (node->plain ? 0 : 1) - 1;
    if (column > 0 && node->verbatim && before < mark.width) {
        mark.column += before;
        mark.width = 1;
    }
    return mark;
}

/* What stands between a name and the message that continues it. */
static const char *joint(const struct error *err)
{
    return err->message[0] == ':' ? "" : " ";
}

static void value_problem(struct walk *w, const struct schema_option *o,
                          const struct schema_node *node, const struct error *err)
{
    struct schema_mark mark = mark_inside(node, err->column);
    schema_doc_problem(w->doc, &mark, false, err->remedy, "'%s'%s%s", o->name, joint(err),
                       err->message);
}

static void wrong_kind(struct walk *w, const struct schema_option *o,
                       const struct schema_node *node, const struct schema_node *key)
{
    const char *expected = schema_text_expected(o->type);
    if (is_null(node)) {
        schema_doc_problem(w->doc, &key->mark, false, "give it a value or remove the key",
                           "'%s' is empty; it must be %s", o->name, expected);
        return;
    }
    const char *hint = NULL;
    if (o->type == SCHEMA_LIST && node->type == SCHEMA_NODE_MAPPING) {
        hint = "begin each entry with '- '";
    } else if (o->type == SCHEMA_MAP && node->type == SCHEMA_NODE_SEQUENCE) {
        hint = "write 'name: {...}' for each entry instead of '- '";
    }
    schema_doc_problem(w->doc, &node->mark, false, hint, "'%s' must be %s, not %s", o->name,
                       expected, node_kind(node));
}

/* `{env: NAME}` in place of a text. */
static void load_env(struct walk *w, const struct schema_option *o, const struct schema_node *node,
                     char *s)
{
    const struct schema_item *item = node->items;
    if (node->count != 1 || item->key->type != SCHEMA_NODE_SCALAR ||
        strcmp(item->key->text, "env") != 0 || item->value->type != SCHEMA_NODE_SCALAR ||
        item->value->len == 0) {
        schema_doc_problem(w->doc, &node->mark, false,
                           "write a text, or {env: NAME} with the name of an environment variable",
                           "'%s' must be a text or {env: NAME}", o->name);
        return;
    }
    const char **field = (const char **)(void *)(s + o[1].offset);
    *field = arena_strndup(w->arena, item->value->text, item->value->len);
    schema_doc_origin(w->doc, field, sizeof(*field), &item->value->mark);
    schema_doc_origin(w->doc, s + o->offset, sizeof(const char *), &node->mark);
}

static size_t scalar_size(enum schema_type type)
{
    if (type == SCHEMA_BOOL) {
        return sizeof(bool);
    }
    return type == SCHEMA_ENUM ? sizeof(int) : sizeof(int64_t); /* or a pointer */
}

static void load_scalar(struct walk *w, const struct schema_option *o,
                        const struct schema_node *node, const struct schema_node *key, char *s)
{
    struct error err = ERROR_INIT;
    if ((o->flags & SCHEMA_ENV) != 0 && node->type == SCHEMA_NODE_MAPPING) {
        load_env(w, o, node, s);
        return;
    }
    schema_doc_origin(w->doc, s + o->offset, scalar_size(o->type),
                      is_null(node) ? &key->mark : &node->mark);
    if (node->type != SCHEMA_NODE_SCALAR || is_null(node)) {
        wrong_kind(w, o, node, key);
        return;
    }
    if (schema_text_convert(o, node->text, w->arena, s + o->offset, &err) < 0) {
        value_problem(w, o, node, &err);
    }
}

static void load_string_item(struct walk *w, const struct schema_option *o,
                             const struct schema_node *node, const char **ret)
{
    struct error err = ERROR_INIT;
    if (node->type != SCHEMA_NODE_SCALAR || is_null(node)) {
        schema_doc_problem(w->doc, &node->mark, false, NULL,
                           "each item of '%s' must be a text, not %s", o->name, node_kind(node));
        return;
    }
    schema_doc_origin(w->doc, ret, sizeof(*ret), &node->mark);
    if (schema_text_check(o, node->text, &err) < 0) {
        value_problem(w, o, node, &err);
        return;
    }
    char *copy = allocate(w, node->len + 1, node);
    if (copy != NULL) {
        memcpy(copy, node->text, node->len);
        *ret = copy;
    }
}

static void load_strings(struct walk *w, const struct schema_option *o,
                         const struct schema_node *node, const struct schema_node *key, char *s)
{
    struct schema_strings *field = (struct schema_strings *)(void *)(s + o->offset);
    schema_doc_origin(w->doc, field, sizeof(*field), is_null(node) ? &key->mark : &node->mark);
    if (node->type == SCHEMA_NODE_MAPPING || is_null(node)) {
        wrong_kind(w, o, node, key);
        return;
    }
    size_t count = node->type == SCHEMA_NODE_SCALAR ? 1 : node->count;
    if (count > SCHEMA_ENTRIES_MAX) {
        schema_doc_problem(w->doc, &node->mark, false, NULL, "'%s' has more than %d items", o->name,
                           SCHEMA_ENTRIES_MAX);
        return;
    }
    const char **items = allocate(w, count * sizeof(*items), node);
    if (items == NULL) {
        return;
    }
    size_t filled = 0;
    if (node->type == SCHEMA_NODE_SCALAR) {
        load_string_item(w, o, node, &items[filled]);
        filled += items[filled] == NULL ? 0 : 1;
    } else {
        for (const struct schema_item *i = node->items; i != NULL; i = i->next) {
            load_string_item(w, o, i->value, &items[filled]);
            filled += items[filled] == NULL ? 0 : 1;
        }
    }
    *field = (struct schema_strings){.items = items, .count = filled};
}

static void load_list(struct walk *w, const struct scope *sc, const struct schema_option *o,
                      const struct schema_node *node, char *s)
{
    struct schema_list *field = (struct schema_list *)(void *)(s + o->offset);
    if (node->count > SCHEMA_ENTRIES_MAX) {
        schema_doc_problem(w->doc, &node->mark, false, NULL, "'%s' has more than %d entries",
                           o->name, SCHEMA_ENTRIES_MAX);
        return;
    }
    char *items = node->count == 0 ? NULL : allocate(w, node->count * o->of->size, node);
    if (items == NULL) {
        return;
    }
    field->items = items;
    for (const struct schema_item *i = node->items; i != NULL; i = i->next) {
        if (schema_doc_full(w->doc)) {
            return;
        }
        if (i->key != NULL && i->key->type != SCHEMA_NODE_SCALAR) {
            schema_doc_problem(w->doc, &i->key->mark, false, NULL, "a name must be a text, not %s",
                               node_kind(i->key));
            continue;
        }
        const struct schema_item *first = i->key == NULL ? NULL : find_item(node, i->key->text, i);
        if (first != NULL) {
            char hint[64];
            (void)snprintf(hint, sizeof(hint), "the first is in line %u", first->key->mark.line);
            schema_doc_problem(w->doc, &i->key->mark, false, hint, "duplicate %s '%s'", o->of->name,
                               i->key->text);
            continue;
        }
        struct scope inner = {.table = o->of, .name = "", .key = "", .parent = sc};
        load_struct(w, &inner, i->value, i->key, items + field->count * o->of->size);
        field->count++;
    }
}

static void load_nested(struct walk *w, const struct scope *sc, const struct schema_option *o,
                        const struct schema_item *item, char *s)
{
    struct scope inner = {.table = o->of, .name = o->name, .key = "", .parent = sc};
    if ((o->flags & SCHEMA_PRESENT) != 0) { /* its flag has the address; no option has */
        schema_doc_origin(w->doc, s + o->offset, o->of->size, &item->key->mark);
    }
    if (item->value->type != SCHEMA_NODE_MAPPING && !is_null(item->value)) {
        wrong_kind(w, o, item->value, item->key);
        return;
    }
    load_struct(w, &inner, item->value, item->key, s + o->offset);
    if ((o->flags & SCHEMA_PRESENT) != 0) {
        *(bool *)(s + o->offset) = true;
    }
}

static void load_value(struct walk *w, const struct scope *sc, const struct schema_option *o,
                       const struct schema_item *item, char *s)
{
    enum schema_node_type want =
        o->type == SCHEMA_LIST ? SCHEMA_NODE_SEQUENCE : SCHEMA_NODE_MAPPING;
    switch (o->type) {
    case SCHEMA_STRUCT:
        load_nested(w, sc, o, item, s);
        return;
    case SCHEMA_LIST:
    case SCHEMA_MAP:
        schema_doc_origin(w->doc, s + o->offset, sizeof(struct schema_list), &item->key->mark);
        if (item->value->type == want) {
            load_list(w, sc, o, item->value, s);
        } else if (!is_null(item->value)) {
            wrong_kind(w, o, item->value, item->key);
        }
        return;
    case SCHEMA_STRINGS:
        load_strings(w, o, item->value, item->key, s);
        return;
    case SCHEMA_BOOL:
    case SCHEMA_INT:
    case SCHEMA_DOUBLE:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
    case SCHEMA_PERCENT:
    case SCHEMA_STRING:
    case SCHEMA_ENUM:
        load_scalar(w, o, item->value, item->key, s);
        return;
    }
}

enum { NAMES_MAX = 96 };

/* The keys of a mapping, NULL-terminated. */
static void key_names(const struct scope *sc, const char *names[NAMES_MAX + 1])
{
    const struct schema_table *tables[] = {sc->table, sc->variant};
    size_t count = 0;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        const struct schema_option *o = tables[t] == NULL ? NULL : tables[t]->options;
        for (; o != NULL && o->name != NULL && count < NAMES_MAX; o++) {
            bool is_name = (o->flags & SCHEMA_KEY) != 0 && sc->by_key;
            if ((o->flags & SCHEMA_HIDDEN) == 0 && !is_name) {
                names[count++] = o->name;
            }
        }
    }
    names[count] = NULL;
}

/* Appends the names to the hint, as far as they fit. */
static void add_names(char *hint, size_t size, const char *const *names)
{
    size_t used = strlen(hint);
    for (size_t i = 0; names[i] != NULL && used < size; i++) {
        used += (size_t)snprintf(hint + used, size - used, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
}

static const char *table_hint(const struct schema_table *table, const char *key)
{
    for (const struct schema_hint *h = table == NULL ? NULL : table->hints;
         h != NULL && h->name != NULL; h++) {
        if (strcmp(h->name, key) == 0) {
            return h->hint;
        }
    }
    return NULL;
}

/* "it belongs under 'slo'" when a block inside or around knows the key. */
static bool hint_elsewhere(const struct scope *sc, const char *key, char *out, size_t size)
{
    for (const struct schema_option *o = sc->table->options; o->name != NULL; o++) {
        if (o->type == SCHEMA_STRUCT && find_option(o->of, key) != NULL) {
            (void)snprintf(out, size, "'%s' belongs under '%s:'", key, o->name);
            return true;
        }
    }
    for (const struct scope *p = sc->parent; p != NULL; p = p->parent) {
        if (find_option(p->table, key) != NULL) {
            char place[128];
            (void)snprintf(out, size, "'%s' belongs to %s: check its indentation", key,
                           scope_text(p, place, sizeof(place)));
            return true;
        }
    }
    return false;
}

/* What a table around says about the key: 'window' is asked for in a rule and in its 'slo'. */
static bool hint_around(const struct scope *sc, const char *key, char *out, size_t size)
{
    for (const struct scope *p = sc->parent; p != NULL && sc->name[0] != '\0'; p = p->parent) {
        const char *told = table_hint(p->table, key);
        if (told != NULL) {
            (void)snprintf(out, size, "%s", told);
            return true;
        }
    }
    return false;
}

/* The option that was meant counts as given: it is not told as missing too. */
static void assume_given(struct walk *w, const struct scope *sc, const char *name,
                         const struct schema_node *key, const char *s)
{
    const struct schema_option *o = find_option(sc->table, name);
    if (o != NULL && o->type != SCHEMA_STRUCT) {
        schema_doc_origin(w->doc, s + o->offset, sizeof(const char *), &key->mark);
    }
}

static void unknown_key(struct walk *w, const struct scope *sc, const struct schema_node *key,
                        const char *s)
{
    char place[192];
    char shown[64];
    char hint[256] = "";
    const char *names[NAMES_MAX + 1];
    key_names(sc, names);
    const char *near = schema_nearest(key->text, names);
    const char *told = table_hint(sc->variant, key->text);
    told = told == NULL ? table_hint(sc->table, key->text) : told;
    (void)schema_text_quote(key->text, shown, sizeof(shown));
    if (told != NULL) {
        (void)snprintf(hint, sizeof(hint), "%s", told);
    } else if (strcmp(key->text, "<<") == 0) {
        (void)snprintf(
            hint, sizeof(hint),
            "merge keys are not supported: repeat the keys, or share a whole value by an "
            "alias ('slo: *shared')");
    } else if (near != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
        assume_given(w, sc, near, key, s);
    } else if (!hint_elsewhere(sc, shown, hint, sizeof(hint)) &&
               !hint_around(sc, shown, hint, sizeof(hint))) {
        (void)snprintf(hint, sizeof(hint), "the keys here are ");
        add_names(hint, sizeof(hint), names);
    }
    if (sc->table->variant != NULL && sc->variant == NULL && near == NULL) {
        return; /* its kind is unknown, and that is told already */
    }
    w->doc->unknown_count++;
    schema_doc_problem(w->doc, &key->mark, false, hint, "unknown key '%s' in %s", shown,
                       scope_text(sc, place, sizeof(place)));
}

/* One `key: value` of a mapping. */
static void load_pair(struct walk *w, const struct scope *sc, const struct schema_node *node,
                      const struct schema_item *item, char *s)
{
    const struct schema_node *key = item->key;
    char place[192];
    char hint[64];
    if (key->type != SCHEMA_NODE_SCALAR) {
        schema_doc_problem(w->doc, &key->mark, false,
                           "a value that begins with '{' or '[' needs quotes",
                           "a key must be a text, not %s", node_kind(key));
        return;
    }
    const struct schema_item *first = find_item(node, key->text, item);
    const struct schema_option *o = find_option(sc->table, key->text);
    void *variant = NULL;
    if (sc->variant != NULL) {
        variant = *(void **)(void *)(s + sc->table->variant_offset);
    }
    const struct schema_option *v = variant == NULL ? NULL : find_option(sc->variant, key->text);
    if (first != NULL) {
        (void)snprintf(hint, sizeof(hint), "the first is in line %u", first->key->mark.line);
        schema_doc_problem(w->doc, &key->mark, false, hint, "duplicate key '%s' in %s", key->text,
                           scope_text(sc, place, sizeof(place)));
    } else if (o != NULL && (o->flags & SCHEMA_KEY) != 0 && sc->by_key) {
        schema_doc_problem(w->doc, &key->mark, false, "remove this line",
                           "the name of a %s is its key, '%s'", sc->table->name, sc->key);
    } else if (o != NULL) {
        load_value(w, sc, o, item, s);
    } else if (v != NULL) {
        load_value(w, sc, v, item, variant);
    } else {
        unknown_key(w, sc, key, s);
    }
}

static void check_required(struct walk *w, const struct scope *sc, const struct schema_table *table,
                           const char *s, const struct schema_mark *mark)
{
    char place[192];
    char hint[256];
    for (const struct schema_option *o = table->options; o->name != NULL; o++) {
        if ((o->flags & SCHEMA_REQUIRED) == 0 || schema_given(w->doc, s + o->offset)) {
            continue;
        }
        (void)snprintf(hint, sizeof(hint), "'%s': %s", o->name,
                       o->help == NULL ? schema_text_expected(o->type) : o->help);
        schema_doc_problem(w->doc, mark, false, hint, "'%s' is missing in %s", o->name,
                           scope_text(sc, place, sizeof(place)));
    }
}

/* Fills the SCHEMA_KEY from the mapping's key, or finds its text for messages. */
static void load_key(struct walk *w, struct scope *sc, const struct schema_node *node,
                     const struct schema_node *key, char *s)
{
    const struct schema_option *o = find_flag(sc->table, SCHEMA_KEY);
    if (o == NULL) {
        return;
    }
    if (key != NULL && sc->name[0] == '\0') {
        struct error err = ERROR_INIT;
        sc->key = key->text;
        sc->by_key = true;
        schema_doc_origin(w->doc, s + o->offset, sizeof(const char *), &key->mark);
        if (schema_text_convert(o, key->text, w->arena, s + o->offset, &err) < 0) {
            char shown[64];
            struct schema_mark mark = mark_inside(key, err.column);
            schema_doc_problem(w->doc, &mark, false, err.remedy, "the name '%s'%s%s",
                               schema_text_quote(key->text, shown, sizeof(shown)), joint(&err),
                               err.message);
        }
        return;
    }
    const struct schema_item *item =
        node->type == SCHEMA_NODE_MAPPING ? find_item(node, o->name, NULL) : NULL;
    if (item != NULL && item->value->type == SCHEMA_NODE_SCALAR) {
        sc->key = item->value->text;
    }
}

static void unknown_kind(struct walk *w, const struct scope *sc, const struct schema_option *o,
                         const struct schema_node *from, bool told)
{
    char hint[256];
    char shown[64];
    const char *const *names = sc->table->variant_names();
    const char *near = schema_nearest(from->text, names);
    if (near != NULL) {
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
    } else {
        (void)snprintf(hint, sizeof(hint), "%s'%s' is one of ",
                       told ? "" : "say what it is: ", o->name);
        add_names(hint, sizeof(hint), names);
    }
    schema_doc_problem(w->doc, &from->mark, false, hint, "there is no kind of %s called '%s'",
                       sc->table->name, schema_text_quote(from->text, shown, sizeof(shown)));
}

/* Finds the variant by the SCHEMA_KIND, allocates its struct and sets its defaults. */
static void load_variant(struct walk *w, struct scope *sc, const struct schema_node *node,
                         const struct schema_node *key, char *s)
{
    const struct schema_option *o = find_flag(sc->table, SCHEMA_KIND);
    if (sc->table->variant == NULL || o == NULL) {
        return;
    }
    const struct schema_item *item =
        node->type == SCHEMA_NODE_MAPPING ? find_item(node, o->name, NULL) : NULL;
    const struct schema_node *from = item == NULL ? key : item->value;
    if (from == NULL || from->type != SCHEMA_NODE_SCALAR) {
        return; /* told by load_scalar */
    }
    *(const char **)(void *)(s + o->offset) = arena_strndup(w->arena, from->text, from->len);
    schema_doc_origin(w->doc, s + o->offset, sizeof(const char *), &from->mark);
    sc->variant = sc->table->variant(from->text);
    if (sc->variant == NULL) {
        unknown_kind(w, sc, o, from, item != NULL);
        return;
    }
    char *variant = allocate(w, sc->variant->size, from);
    if (variant != NULL) {
        set_defaults(w, sc->variant, variant);
        (void)schema_doc_region(w->doc, variant, sc->variant->size,
                                key == NULL ? &node->mark : &key->mark);
        *(void **)(void *)(s + sc->table->variant_offset) = variant;
    }
}

static void load_struct(struct walk *w, struct scope *sc, const struct schema_node *node,
                        const struct schema_node *key, char *s)
{
    const struct schema_mark *mark = key == NULL ? &node->mark : &key->mark;
    set_defaults(w, sc->table, s);
    size_t unknown = w->doc->unknown_count;
    size_t region = schema_doc_region(w->doc, s, sc->table->size, mark);
    load_key(w, sc, node, key, s);
    load_variant(w, sc, node, key, s);
    if (node->type != SCHEMA_NODE_MAPPING && !is_null(node)) {
        char place[192];
        schema_doc_problem(w->doc, &node->mark, false, NULL, "%s must be a mapping, not %s",
                           scope_text(sc, place, sizeof(place)), node_kind(node));
        return;
    }
    for (const struct schema_item *i = node->items; i != NULL && !schema_doc_full(w->doc);
         i = i->next) {
        load_pair(w, sc, node, i, s);
    }
    w->doc->origins[region].unknown = w->doc->unknown_count > unknown;
    check_required(w, sc, sc->table, s, mark);
    if (sc->variant != NULL) {
        check_required(w, sc, sc->variant, *(char **)(void *)(s + sc->table->variant_offset), mark);
    }
}

int schema_load(struct schema_doc *doc, const struct schema_table *table, struct arena *a,
                void *ret)
{
    static const struct schema_node nothing = {
        .type = SCHEMA_NODE_SCALAR,
        .mark = {.line = 1, .column = 1, .width = 1},
        .plain = true,
        .text = "",
    };
    struct walk w = {.doc = doc, .arena = a};
    struct scope top = {.table = table, .name = "", .key = ""};
    struct schema_node *tree = NULL;
    memset(ret, 0, table->size);
    if (doc->len > LIMIT_CONFIG_BYTES) {
        schema_doc_problem(doc, &nothing.mark, false, NULL, "the file has more than %d bytes",
                           LIMIT_CONFIG_BYTES);
        return -EINVAL;
    }
    int rc = schema_parse_tree(doc, &tree);
    if (rc < 0) {
        return rc;
    }
    load_struct(&w, &top, tree == NULL ? &nothing : tree, NULL, ret);
    return schema_problem_count(doc, false) == 0 ? 0 : -EINVAL;
}
