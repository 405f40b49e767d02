/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema_doc.h: what the files schema_*.c share: the parsed tree with its marks, and the problems.
 *
 * Private to them. The tree is built from libyaml's events and not from its document API, for two
 * reasons: the depth can be refused while it is read (libyaml has no limit and is quadratic on
 * nested flow collections), and anchors are looked up in a short list (libyaml compares each with
 * all). An alias is a second pointer to the same node: nothing is ever expanded.
 */
#ifndef BASE_SCHEMA_DOC_H
#define BASE_SCHEMA_DOC_H

#include "base/schema.h"

enum {
    SCHEMA_NODES_MAX = 100000,   /* values of one file; real ones have some hundreds */
    SCHEMA_ANCHORS_MAX = 256,    /* each is compared with all others */
    SCHEMA_ENTRIES_MAX = 1024,   /* of one list or mapping with free keys */
    SCHEMA_TREE_BYTES = 32 << 20 /* nodes and texts of a file of LIMIT_CONFIG_BYTES */
};

struct schema_mark {
    unsigned line;   /* 1-based */
    unsigned column; /* 1-based, in characters */
    unsigned width;  /* characters to underline on that line, at least 1 */
};

enum schema_node_type { SCHEMA_NODE_SCALAR, SCHEMA_NODE_SEQUENCE, SCHEMA_NODE_MAPPING };

struct schema_item {
    struct schema_node *key; /* NULL in a sequence */
    struct schema_node *value;
    struct schema_item *next;
};

struct schema_node {
    enum schema_node_type type;
    struct schema_mark mark;
    bool plain;       /* SCALAR: written without quotes */
    bool verbatim;    /* SCALAR: its text stands in the file as it is, on one line */
    bool open;        /* being parsed: an alias to it would be a cycle */
    const char *text; /* SCALAR: NUL-terminated, no NUL inside */
    size_t len;
    struct schema_item *items; /* SEQUENCE, MAPPING: in order */
    size_t count;
};

struct schema_problem_entry {
    struct diagnostic diagnostic;
    unsigned width;
};

/* Which bytes of the loaded structs came from where. */
struct schema_origin {
    const char *address;
    size_t size;
    struct schema_mark mark;
    bool given;   /* a value of the file, not the struct around values */
    bool unknown; /* a struct: the file has a key in it that no option has */
};

struct schema_doc {
    char *file;
    char *text;
    size_t len;
    struct schema_problem_entry *problems; /* by position */
    size_t problem_count;
    size_t error_count;
    size_t unknown_count; /* of keys that no option has */
    bool overflow;        /* problems were dropped at LIMIT_CONFIG_DIAGNOSTICS */
    struct schema_origin *origins;
    size_t origin_count;
    size_t origin_capacity;
    struct arena tree;
};

/* Adds a problem at `mark`; `hint` may be NULL. The same problem at the same place is kept once. */
void schema_doc_problem(struct schema_doc *doc, const struct schema_mark *mark, bool warning,
                        const char *hint, const char *fmt, ...) ATTR_FORMAT(5, 6);
/* True when no further problem would be kept: the walk may end. */
bool schema_doc_full(const struct schema_doc *doc);
/* Remembers that the `size` bytes at `address` were filled from `mark`. */
void schema_doc_origin(struct schema_doc *doc, const void *address, size_t size,
                       const struct schema_mark *mark);

/* The same for a whole struct: where to point for those of its fields that the file does not set.
 * Returns its index in doc->origins. */
size_t schema_doc_region(struct schema_doc *doc, const void *address, size_t size,
                         const struct schema_mark *mark);

/* Parses the text into *ret (in doc->tree; NULL for an empty file). Problems go to doc. Returns 0
 * or -EINVAL. */
int schema_parse_tree(struct schema_doc *doc, struct schema_node **ret);

/* Converts `text` by the type of `option` into `field` and checks its bounds and choices.
 * SCHEMA_BOOL to SCHEMA_ENUM, strings into `a`. Returns 0, or a negative errno with message and
 * remedy in err; the message continues "'<option>'", by a verb or, where it comes from the
 * option's own check, by a colon. */
int schema_text_convert(const struct schema_option *option, const char *text, struct arena *a,
                        void *field, struct error *err);
/* Runs the option's own check, if it has one. */
int schema_text_check(const struct schema_option *option, const char *text, struct error *err);
/* "a duration such as '500ms', ..." for an option's type. */
const char *schema_text_expected(enum schema_type type);
/* A bound in the words of its type: "1m30s", "64KiB", "20%", "3". Returns `out`. */
char *schema_text_number(enum schema_type type, double value, char *out, size_t size);
/* Copies `text` for a message: control characters replaced, at most `size` - 1 bytes, "..." when
 * cut, never in the middle of a character. Returns `out`. */
char *schema_text_quote(const char *text, char *out, size_t size);

#endif
