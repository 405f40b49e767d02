/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h: option tables, and everything that is read off them.
 *
 * A room describes its configuration once, as a table of options with type, default, bounds, unit
 * and help. From that one table come: the YAML walk with every problem at once as file:line:column,
 * the defaults, the encoding inside the plan and its bounds-checked decoding, and the reference
 * texts of `incidentctl collectors`.
 *
 * A table describes a C struct; each option names the field by offset. All texts and lists of a
 * loaded or decoded struct live in the caller's arena and die with it.
 */
#ifndef BASE_SCHEMA_H
#define BASE_SCHEMA_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum schema_type {
    SCHEMA_BOOL,     /* bool */
    SCHEMA_INT,      /* int64_t; min..max */
    SCHEMA_DOUBLE,   /* double */
    SCHEMA_DURATION, /* int64_t milliseconds; "500ms", "30s", "5m", "1h30m", "30d"; min..max in ms
                      */
    SCHEMA_SIZE,     /* int64_t bytes; "64KiB", "2GiB", "10MB", plain bytes; min..max in bytes */
    SCHEMA_PERCENT,  /* double 0..1; "20%" */
    SCHEMA_STRING,   /* const char *, NULL when absent without default */
    SCHEMA_ENUM,     /* int: index into `choices` */
    SCHEMA_STRINGS,  /* struct schema_strings; a scalar in the YAML is a list of one */
    SCHEMA_STRUCT,   /* the nested struct itself, described by `of`; absent: all its defaults */
    SCHEMA_LIST,     /* struct schema_list of `of`: a YAML sequence of mappings */
    SCHEMA_MAP, /* struct schema_list of `of`: a YAML mapping; the key goes to the SCHEMA_KEY option
                   of `of` */
};

enum schema_flag {
    SCHEMA_REQUIRED = 1 << 0, /* absent is an error */
    SCHEMA_KEY =
        1 << 1, /* SCHEMA_STRING filled by the key in a SCHEMA_MAP, or by this option in a list */
    SCHEMA_KIND =
        1 << 2, /* SCHEMA_STRING that selects the variant; defaults to the SCHEMA_KEY's value */
    SCHEMA_PRESENT = 1 << 3, /* on a SCHEMA_STRUCT: the bool at offset 0 of the nested struct is set
                                true when the YAML has it */
    SCHEMA_ENV = 1 << 4, /* on a SCHEMA_STRING: `{env: NAME}` is accepted too; NAME goes to the next
                            option of the table, which is SCHEMA_HIDDEN */
    SCHEMA_HIDDEN = 1 << 5, /* no key of the YAML: filled by code, carried by the encoding */
};

struct schema_strings {
    const char **items;
    size_t count;
};

struct schema_list {
    void *items; /* array of structs of `of->size` bytes */
    size_t count;
};

struct schema_table;

struct schema_option {
    const char *name; /* as in the YAML; NULL ends the table */
    enum schema_type type;
    unsigned flags; /* enum schema_flag */
    size_t offset;  /* offsetof the field */
    const char
        *fallback; /* the default in YAML's own words, "" for an empty list, NULL: none (zero) */
    double min; /* inclusive bounds of numbers, durations (ms), sizes (bytes); both 0: unbounded */
    double max;
    const char *unit;              /* for the reference: "ms", "bytes", "Hz"; may be NULL */
    const char *help;              /* one sentence for the reference */
    const char *const *choices;    /* SCHEMA_ENUM: NULL-terminated */
    const struct schema_table *of; /* STRUCT, LIST, MAP */
    /* STRING, STRINGS, DOUBLE: further check of each value's text; returns 0 or fills err (message
     * and remedy). May be NULL. */
    int (*check)(const char *text, struct error *err);
};

struct schema_hint {
    const char *name; /* a key that people try and that is wrong here; NULL ends the list */
    const char *hint; /* what to write instead */
};

struct schema_table {
    const char *name; /* what it describes, for diagnostics: "target", "rule" */
    const char *help;
    size_t size; /* sizeof the struct */
    const struct schema_option *options;
    const struct schema_hint *hints; /* may be NULL */
    /* For structs whose further options depend on a kind (collectors): returns the table of `kind`,
     * or NULL when there is no such kind. The variant's struct is allocated in the arena, its
     * address stored at `variant_offset` (a void *). NULL: no variants. */
    const struct schema_table *(*variant)(const char *kind);
    size_t variant_offset;
    const char *const *(*variant_names)(
        void); /* NULL-terminated, for did-you-mean; NULL without variants */
};

/* One problem in a file. */
struct diagnostic {
    unsigned line;   /* 1-based */
    unsigned column; /* 1-based */
    bool warning;
    char message[384];
    char hint[256]; /* "did you mean 'x'?", a remedy, or "" */
};

/* A parsed file: its text, its marks, its problems. Opaque; owned by the caller. */
struct schema_doc;

/* Starts a document from `text` (copied) named `file` for diagnostics. Never NULL. */
struct schema_doc *schema_doc_new(const char *file, const char *text, size_t len);
void schema_doc_free(struct schema_doc *doc);

/* Parses the document by `table` into `ret` (zeroed by this call), texts in `a`. Every problem
 * becomes a diagnostic. Returns 0 when there is none of error grade, -EINVAL otherwise, -ENOMEM. */
int schema_load(struct schema_doc *doc, const struct schema_table *table, struct arena *a,
                void *ret);

/* Adds a problem found after the load, at the mark of the value that filled `field` (the address of
 * a field of a loaded struct, or of an item of a schema_strings), or at 1:1 when it came from a
 * default. `hint` may be NULL. */
void schema_complain(struct schema_doc *doc, const void *field, bool warning, const char *hint,
                     const char *fmt, ...) ATTR_FORMAT(5, 6);

/* True when the file has a value for `field`, a right one or not. */
bool schema_given(const struct schema_doc *doc, const void *field);

/* True when the file has an unknown key in the struct at `s`: what seems to be missing may be that
 * very key, and is not worth a second problem. */
bool schema_puzzled(const struct schema_doc *doc, const void *s);
/* How many errors there are, or how many warnings. */
size_t schema_problem_count(const struct schema_doc *doc, bool warnings);
/* The problem at `index`, errors and warnings in one order by position; NULL past the end. */
const struct diagnostic *schema_problem(const struct schema_doc *doc, size_t index);
/* Renders all problems, each as "file:line:column: error: message", the source line, a caret, "
 * hint: ...". */
void schema_render(const struct schema_doc *doc, struct buf *out);

/* The nearest of the NULL-terminated `names` to `word`, or NULL when none is near (edit distance ≤
 * 2 and < half). */
const char *schema_nearest(const char *word, const char *const *names);

/* Encodes the struct `s` by `table`; decode fills `ret` from the bytes, texts in `a`; every length
 * is checked, and bytes left over are an error. Both return 0 or a negative errno with err. The
 * encoding is only ever read by the build that wrote it. */
int schema_encode(const struct schema_table *table, const void *s, struct buf *out,
                  struct error *err);
int schema_decode(const struct schema_table *table, const void *bytes, size_t len, struct arena *a,
                  void *ret, struct error *err);

/* Appends the reference of `table` as Markdown rows: option, type, default, bounds, help. */
void schema_reference(const struct schema_table *table, struct buf *out);

/* "1m30s" as shortest text of a duration; parse_* read what the YAML accepts. Return 0 or
 * -EINVAL/-ERANGE with err. */
char *schema_duration_text(int64_t ms, char *out, size_t size);
int schema_parse_duration(const char *text, int64_t *ret_ms, struct error *err);
int schema_parse_size(const char *text, int64_t *ret_bytes, struct error *err);

#endif
