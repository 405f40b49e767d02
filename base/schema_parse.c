/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From text to tree, by libyaml's events (the reasons: schema_doc.h).
 *
 * A syntax error ends the parse: no YAML parser can go on behind one. What libyaml calls it is
 * worded for people who know its grammar, so the usual causes are recognised and told: a tab, a
 * value that needs quotes, a brace that was never closed.
 *
 * Refused on purpose: a second document, tags, merge keys (schema_load.c), NUL in texts, aliases to
 * what is still open (a cycle).
 */
#include "base/schema_doc.h"

#include "base/limits.h"

#include <errno.h>
#include <yaml.h>

struct anchor {
    const char *name;
    struct schema_node *node;
};

struct parse {
    struct schema_doc *doc;
    yaml_parser_t yaml;
    size_t nodes;
    struct anchor anchors[SCHEMA_ANCHORS_MAX];
    size_t anchor_count;
};

static struct schema_mark mark_at(const yaml_mark_t *start, const yaml_mark_t *end)
{
    struct schema_mark mark = {
        .line = (unsigned)start->line + 1, .column = (unsigned)start->column + 1, .width = 1};
    if (end != NULL && end->line == start->line && end->column > start->column) {
        mark.width = (unsigned)(end->column - start->column);
    }
    return mark;
}

static int refuse(struct parse *p, const yaml_event_t *event, const char *hint, const char *message)
{
    struct schema_mark mark = mark_at(&event->start_mark, NULL);
    schema_doc_problem(p->doc, &mark, false, hint, "%s", message);
    return -EINVAL;
}

/* What usually lies behind libyaml's `problem`; `c` is the byte at its mark. */
static const char *syntax_hint(const char *problem, char c)
{
    static const struct {
        const char *problem;
        const char *hint;
    } known[] = {
        {"mapping values are not allowed",
         "a value that contains ': ' needs quotes; otherwise the indentation is off"},
        {"did not find expected ',' or '}'",
         "inside { } a value with braces, commas or quotes needs quotes around it: "
         "{total: 'requests_total{code=\"200\"}'}"},
        {"did not find expected ',' or ']'",
         "close the list with ']', separate its items by ', ' and quote values with brackets"},
        {"did not find expected key",
         "the indentation of this line fits no mapping that is open, or a quote before it was "
         "never closed"},
        {"could not find expected ':'", "write 'key: value', with a blank after the colon"},
        {"unexpected end of stream", "a quote was opened and never closed"},
        {"found undefined tag handle", "put a value that begins with '!' in quotes"},
        {"did not find expected '-' indicator",
         "this line stands where the next '- ' of a list was expected; check its indentation"},
        {"did not find expected alphabetic", "put a value that begins with '*' or '&' in quotes"},
        {"found unknown escape", "in double quotes a backslash is written '\\\\'; or use single "
                                 "quotes"},
        {"found character that cannot start", NULL},
        {"control characters", "remove the byte, or write it as an escape in double quotes"},
        {"UTF-8", "save the file as UTF-8"},
    };
    if (c == '\t') {
        return "a tab cannot indent in YAML: use blanks";
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strstr(problem, known[i].problem) != NULL) {
            return known[i].hint == NULL ? "put a value that begins with this character in quotes"
                                         : known[i].hint;
        }
    }
    return NULL;
}

/* The position of byte `offset`, for errors of libyaml's reader, which has no mark. */
static struct schema_mark mark_of_offset(const struct schema_doc *doc, size_t offset)
{
    struct schema_mark mark = {.line = 1, .column = 1, .width = 1};
    for (size_t i = 0; i < offset && i < doc->len; i++) {
        if (doc->text[i] == '\n') {
            mark.line++;
            mark.column = 1;
        } else if (((unsigned char)doc->text[i] & 0xc0U) != 0x80U) {
            mark.column++;
        }
    }
    return mark;
}

/* The byte at `mark`, NUL past the end. */
static char byte_at(const struct schema_doc *doc, const struct schema_mark *mark)
{
    struct schema_mark at = {.line = 1, .column = 0};
    for (size_t i = 0; i < doc->len; i++) {
        at.column += ((unsigned char)doc->text[i] & 0xc0U) != 0x80U ? 1 : 0;
        if (at.line == mark->line && at.column == mark->column) {
            return doc->text[i];
        }
        if (doc->text[i] == '\n') {
            at = (struct schema_mark){.line = at.line + 1, .column = 0};
        }
    }
    return '\0';
}

/* Turns libyaml's error into a problem. */
static int syntax_error(struct parse *p)
{
    const yaml_parser_t *y = &p->yaml;
    if (y->error == YAML_MEMORY_ERROR) {
        return -ENOMEM;
    }
    const char *problem = y->problem == NULL ? "not YAML" : y->problem;
    struct schema_mark mark = y->error == YAML_READER_ERROR
                                  ? mark_of_offset(p->doc, y->problem_offset)
                                  : mark_at(&y->problem_mark, NULL);
    const char *hint = syntax_hint(problem, byte_at(p->doc, &mark));
    const char *context = y->context == NULL ? "" : y->context;
    const char *comma = y->context == NULL ? "" : ", ";
    if (y->context != NULL && y->context_mark.line + 1 != mark.line) {
        schema_doc_problem(p->doc, &mark, false, hint, "syntax: %s, %s that begins in line %zu",
                           problem, context, y->context_mark.line + 1);
    } else {
        schema_doc_problem(p->doc, &mark, false, hint, "syntax: %s%s%s", problem, comma, context);
    }
    return -EINVAL;
}

static int next_event(struct parse *p, yaml_event_t *ret)
{
    return yaml_parser_parse(&p->yaml, ret) == 1 ? 0 : syntax_error(p);
}

static struct schema_node *node_new(struct parse *p, enum schema_node_type type,
                                    const yaml_event_t *event)
{
    if (p->nodes == SCHEMA_NODES_MAX) {
        (void)refuse(p, event, NULL, "the file has too many values");
        return NULL;
    }
    struct schema_node *node = arena_alloc(&p->doc->tree, sizeof(*node));
    if (node == NULL) {
        (void)refuse(p, event, NULL, "the file needs too much memory");
        return NULL;
    }
    p->nodes++;
    node->type = type;
    node->mark = mark_at(&event->start_mark, type == SCHEMA_NODE_SCALAR ? &event->end_mark : NULL);
    node->open = true;
    return node;
}

static int add_anchor(struct parse *p, const yaml_event_t *event, const yaml_char_t *name,
                      struct schema_node *node)
{
    if (name == NULL) {
        return 0;
    }
    const char *text = (const char *)name;
    if (p->anchor_count == SCHEMA_ANCHORS_MAX) {
        return refuse(p, event, NULL, "the file has too many anchors");
    }
    char *copy = arena_strndup(&p->doc->tree, text, strlen(text));
    if (copy == NULL) {
        return refuse(p, event, NULL, "the file needs too much memory");
    }
    p->anchors[p->anchor_count++] = (struct anchor){.name = copy, .node = node};
    return 0;
}

static int take_alias(struct parse *p, const yaml_event_t *event, struct schema_node **ret)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = p->anchor_count; i > 0; i--) {
        if (strcmp(p->anchors[i - 1].name, name) != 0) {
            continue;
        }
        if (p->anchors[i - 1].node->open) {
            return refuse(p, event, NULL, "an alias to the value it stands in");
        }
        *ret = p->anchors[i - 1].node;
        return 0;
    }
    return refuse(p, event,
                  "define it before by '&name', or put a text that begins with '*' in quotes",
                  "an alias to an anchor that is not defined above");
}

static int take_scalar(struct parse *p, const yaml_event_t *event, struct schema_node **ret)
{
    struct schema_node *node = node_new(p, SCHEMA_NODE_SCALAR, event);
    if (node == NULL) {
        return -EINVAL;
    }
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, '\0', len) != NULL) {
        return refuse(p, event, NULL, "a text with a NUL character");
    }
    node->text = arena_strndup(&p->doc->tree, text, len);
    if (node->text == NULL) {
        return refuse(p, event, NULL, "the file needs too much memory");
    }
    node->len = len;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    size_t quotes = node->plain ? 0 : 2;
    node->verbatim = event->start_mark.line == event->end_mark.line &&
                     event->end_mark.index - event->start_mark.index == len + quotes;
    *ret = node;
    return add_anchor(p, event, event->data.scalar.anchor, node);
}

static int parse_node(struct parse *p, const yaml_event_t *event, unsigned depth,
                      struct schema_node **ret);

/* Reads the next value into *ret; at the end of the collection *ret stays NULL. */
static int parse_next(struct parse *p, unsigned depth, struct schema_node **ret)
{
    yaml_event_t event;
    int rc = next_event(p, &event);
    if (rc < 0) {
        return rc;
    }
    bool end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
    rc = end ? 0 : parse_node(p, &event, depth, ret);
    yaml_event_delete(&event);
    return rc;
}

static int parse_items(struct parse *p, struct schema_node *node, unsigned depth)
{
    struct schema_item **tail = &node->items;
    for (;;) {
        struct schema_node *first = NULL;
        struct schema_node *second = NULL;
        int rc = parse_next(p, depth, &first);
        if (rc < 0 || first == NULL) {
            node->open = false;
            return rc;
        }
        bool mapping = node->type == SCHEMA_NODE_MAPPING;
        rc = mapping ? parse_next(p, depth, &second) : 0;
        if (rc < 0) {
            return rc;
        }
        struct schema_item *item = arena_alloc(&p->doc->tree, sizeof(*item));
        if (item == NULL) {
            schema_doc_problem(p->doc, &first->mark, false, NULL, "the file needs too much memory");
            return -EINVAL;
        }
        item->key = mapping ? first : NULL;
        item->value = mapping ? second : first;
        *tail = item;
        tail = &item->next;
        node->count++;
    }
}

static int take_collection(struct parse *p, const yaml_event_t *event, unsigned depth,
                           struct schema_node **ret)
{
    bool mapping = event->type == YAML_MAPPING_START_EVENT;
    if (depth >= LIMIT_CONFIG_DEPTH) {
        return refuse(p, event, NULL, "nested too deeply: more than 64 levels");
    }
    struct schema_node *node =
        node_new(p, mapping ? SCHEMA_NODE_MAPPING : SCHEMA_NODE_SEQUENCE, event);
    if (node == NULL) {
        return -EINVAL;
    }
    int rc = add_anchor(
        p, event, mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
        node);
    *ret = node;
    return rc < 0 ? rc : parse_items(p, node, depth + 1);
}

static const yaml_char_t *tag_of(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT           ? event->data.scalar.tag
           : event->type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.tag
           : event->type == YAML_MAPPING_START_EVENT  ? event->data.mapping_start.tag
                                                      : NULL;
}

static int parse_node(struct parse *p, const yaml_event_t *event, unsigned depth,
                      struct schema_node **ret)
{
    if (tag_of(event) != NULL) {
        return refuse(p, event, "leave the tag away, or put a text that begins with '!' in quotes",
                      "tags have no meaning here");
    }
    if (event->type == YAML_ALIAS_EVENT) {
        return take_alias(p, event, ret);
    }
    if (event->type == YAML_SCALAR_EVENT) {
        int rc = take_scalar(p, event, ret);
        if (rc == 0) {
            (*ret)->open = false;
        }
        return rc;
    }
    return take_collection(p, event, depth, ret);
}

/* The events around the one document. */
static int parse_stream(struct parse *p, struct schema_node **ret)
{
    unsigned documents = 0;
    for (;;) {
        yaml_event_t event;
        int rc = next_event(p, &event);
        if (rc < 0) {
            return rc;
        }
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && documents++ > 0) {
            rc = refuse(p, &event, "put everything into the first document",
                        "a second document begins here");
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT) {
            rc = parse_node(p, &event, 0, ret);
        }
        yaml_event_delete(&event);
        if (rc < 0 || type == YAML_STREAM_END_EVENT) {
            return rc;
        }
    }
}

int schema_parse_tree(struct schema_doc *doc, struct schema_node **ret)
{
    struct parse *p = xcalloc(1, sizeof(*p));
    p->doc = doc;
    if (yaml_parser_initialize(&p->yaml) != 1) {
        free(p);
        return -ENOMEM;
    }
    yaml_parser_set_encoding(&p->yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p->yaml, (const unsigned char *)doc->text, doc->len);
    int rc = parse_stream(p, ret);
    yaml_parser_delete(&p->yaml);
    free(p);
    return rc;
}
