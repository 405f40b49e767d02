/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flat form of a loaded struct, for the plan.
 *
 * Fields follow one another in the order of their table, without names or padding: bool 1 byte,
 * enum 4, numbers 8, all in the machine's order; a text is its length (0xffffffff: NULL) and its
 * bytes; lists begin with their count; a SCHEMA_PRESENT struct begins with its flag and has no more
 * when it is absent. Only the build that wrote it reads it (plan_abi), so there is no version.
 *
 * The decoder trusts nothing: every length is checked against what is left before it is used, a
 * count against the bytes its items need at least, and the arena bounds the whole.
 */
#include "base/schema_doc.h"

#include <errno.h>

#define NO_TEXT UINT32_MAX

enum { ITEM_BYTES_MIN = 1 };

static int encode_table(const struct schema_table *table, const char *s, struct buf *out,
                        struct error *err);

static int put(struct buf *out, const void *data, size_t len, struct error *err)
{
    int rc = buf_add(out, data, len);
    return rc < 0 ? error_errno(err, rc, "the encoded configuration does not fit") : 0;
}

static int put_count(struct buf *out, size_t count, struct error *err)
{
    uint32_t value = (uint32_t)count;
    if (count >= NO_TEXT) {
        return error_set(err, -EMSGSIZE, "a text or list is too long");
    }
    return put(out, &value, sizeof(value), err);
}

static int put_text(struct buf *out, const char *text, struct error *err)
{
    uint32_t none = NO_TEXT;
    if (text == NULL) {
        return put(out, &none, sizeof(none), err);
    }
    size_t len = strlen(text);
    int rc = put_count(out, len, err);
    return rc < 0 ? rc : put(out, text, len, err);
}

static int put_strings(struct buf *out, const struct schema_strings *list, struct error *err)
{
    int rc = put_count(out, list->count, err);
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        rc = put_text(out, list->items[i], err);
    }
    return rc;
}

static int put_list(struct buf *out, const struct schema_table *of, const struct schema_list *list,
                    struct error *err)
{
    int rc = put_count(out, list->count, err);
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        rc = encode_table(of, (const char *)list->items + i * of->size, out, err);
    }
    return rc;
}

static int put_struct(struct buf *out, const struct schema_option *o, const char *field,
                      struct error *err)
{
    if ((o->flags & SCHEMA_PRESENT) != 0) {
        bool present = *(const bool *)field;
        int rc = put(out, &present, sizeof(present), err);
        if (rc < 0 || !present) {
            return rc;
        }
    }
    return encode_table(o->of, field, out, err);
}

static int encode_option(const struct schema_option *o, const char *s, struct buf *out,
                         struct error *err)
{
    const char *field = s + o->offset;
    switch (o->type) {
    case SCHEMA_BOOL:
        return put(out, field, sizeof(bool), err);
    case SCHEMA_ENUM:
        return put(out, field, sizeof(int), err);
    case SCHEMA_INT:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return put(out, field, sizeof(int64_t), err);
    case SCHEMA_DOUBLE:
    case SCHEMA_PERCENT:
        return put(out, field, sizeof(double), err);
    case SCHEMA_STRING:
        return put_text(out, *(const char *const *)(const void *)field, err);
    case SCHEMA_STRINGS:
        return put_strings(out, (const struct schema_strings *)(const void *)field, err);
    case SCHEMA_STRUCT:
        return put_struct(out, o, field, err);
    case SCHEMA_LIST:
    case SCHEMA_MAP:
        return put_list(out, o->of, (const struct schema_list *)(const void *)field, err);
    }
    return error_set(err, -EINVAL, "option '%s' has no type", o->name);
}

/* The table of the variant that `s` names, or NULL. */
static const struct schema_table *variant_of(const struct schema_table *table, const char *s)
{
    for (const struct schema_option *o = table->options; table->variant != NULL && o->name != NULL;
         o++) {
        if ((o->flags & SCHEMA_KIND) != 0) {
            const char *kind = *(const char *const *)(const void *)(s + o->offset);
            return kind == NULL ? NULL : table->variant(kind);
        }
    }
    return NULL;
}

static int encode_table(const struct schema_table *table, const char *s, struct buf *out,
                        struct error *err)
{
    int rc = 0;
    uint8_t mark = 0xa5; /* no struct is encoded as nothing, so that counts are bounded by bytes */
    rc = put(out, &mark, sizeof(mark), err);
    for (const struct schema_option *o = table->options; rc == 0 && o->name != NULL; o++) {
        rc = encode_option(o, s, out, err);
    }
    const struct schema_table *variant = variant_of(table, s);
    if (rc == 0 && variant != NULL) {
        const char *inner = *(const char *const *)(const void *)(s + table->variant_offset);
        rc = inner == NULL ? error_set(err, -EINVAL, "a %s without its options", table->name)
                           : encode_table(variant, inner, out, err);
    }
    return rc;
}

int schema_encode(const struct schema_table *table, const void *s, struct buf *out,
                  struct error *err)
{
    return encode_table(table, s, out, err);
}

struct decode {
    const unsigned char *at;
    size_t left;
    struct arena *arena;
    struct error *err;
};

static int decode_table(struct decode *d, const struct schema_table *table, char *s);

static int short_of(struct decode *d)
{
    return error_set(d->err, -EPROTO, "the encoded configuration is damaged");
}

static int get(struct decode *d, void *field, size_t len)
{
    if (d->left < len) {
        return short_of(d);
    }
    memcpy(field, d->at, len);
    d->at += len;
    d->left -= len;
    return 0;
}

static void *reserve(struct decode *d, size_t count, size_t size)
{
    size_t bytes = 0;
    void *p = __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_alloc(d->arena, bytes);
    if (p == NULL) {
        (void)error_set(d->err, -ENOMEM, "the encoded configuration needs too much memory");
    }
    return p;
}

static int get_bool(struct decode *d, bool *field)
{
    uint8_t byte = 0;
    int rc = get(d, &byte, sizeof(byte));
    if (rc == 0 && byte > 1) {
        return short_of(d);
    }
    *field = byte == 1;
    return rc;
}

static int get_enum(struct decode *d, const struct schema_option *o, int *field)
{
    int value = 0;
    int count = 0;
    while (o->choices[count] != NULL) {
        count++;
    }
    int rc = get(d, &value, sizeof(value));
    if (rc == 0 && (value < 0 || value >= count)) {
        return short_of(d);
    }
    *field = value;
    return rc;
}

static int get_text(struct decode *d, const struct schema_option *o, const char **field)
{
    uint32_t len = 0;
    int rc = get(d, &len, sizeof(len));
    if (rc < 0) {
        return rc;
    }
    if (len == NO_TEXT) {
        bool needed = (o->flags & (SCHEMA_REQUIRED | SCHEMA_KEY | SCHEMA_KIND)) != 0;
        return needed || o->type == SCHEMA_STRINGS ? short_of(d) : 0;
    }
    if (d->left < len || memchr(d->at, '\0', len) != NULL) {
        return short_of(d);
    }
    char *text = reserve(d, (size_t)len + 1, 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    *field = text;
    return get(d, text, len);
}

static int get_strings(struct decode *d, const struct schema_option *o,
                       struct schema_strings *field)
{
    uint32_t count = 0;
    int rc = get(d, &count, sizeof(count));
    if (rc < 0 || count == 0) {
        return rc;
    }
    if (count > d->left / sizeof(uint32_t)) {
        return short_of(d);
    }
    field->items = reserve(d, count, sizeof(*field->items));
    if (field->items == NULL) {
        return -ENOMEM;
    }
    for (field->count = 0; rc == 0 && field->count < count; field->count++) {
        rc = get_text(d, o, &field->items[field->count]);
    }
    return rc;
}

static int get_list(struct decode *d, const struct schema_table *of, struct schema_list *field)
{
    uint32_t count = 0;
    int rc = get(d, &count, sizeof(count));
    if (rc < 0 || count == 0) {
        return rc;
    }
    if (count > d->left / ITEM_BYTES_MIN) {
        return short_of(d);
    }
    field->items = reserve(d, count, of->size);
    if (field->items == NULL) {
        return -ENOMEM;
    }
    for (field->count = 0; rc == 0 && field->count < count; field->count++) {
        rc = decode_table(d, of, (char *)field->items + field->count * of->size);
    }
    return rc;
}

static int get_struct(struct decode *d, const struct schema_option *o, char *field)
{
    if ((o->flags & SCHEMA_PRESENT) != 0) {
        int rc = get_bool(d, (bool *)field);
        if (rc < 0 || !*(bool *)field) {
            return rc;
        }
    }
    return decode_table(d, o->of, field);
}

static int decode_option(struct decode *d, const struct schema_option *o, char *s)
{
    void *field = s + o->offset;
    switch (o->type) {
    case SCHEMA_BOOL:
        return get_bool(d, field);
    case SCHEMA_ENUM:
        return get_enum(d, o, field);
    case SCHEMA_INT:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return get(d, field, sizeof(int64_t));
    case SCHEMA_DOUBLE:
    case SCHEMA_PERCENT:
        return get(d, field, sizeof(double));
    case SCHEMA_STRING:
        return get_text(d, o, field);
    case SCHEMA_STRINGS:
        return get_strings(d, o, field);
    case SCHEMA_STRUCT:
        return get_struct(d, o, field);
    case SCHEMA_LIST:
    case SCHEMA_MAP:
        return get_list(d, o->of, field);
    }
    return short_of(d);
}

static int decode_variant(struct decode *d, const struct schema_table *table, char *s)
{
    const struct schema_table *variant = variant_of(table, s);
    if (table->variant == NULL) {
        return 0;
    }
    if (variant == NULL) {
        return short_of(d);
    }
    char *inner = reserve(d, 1, variant->size == 0 ? 1 : variant->size);
    if (inner == NULL) {
        return -ENOMEM;
    }
    *(void **)(void *)(s + table->variant_offset) = inner;
    return decode_table(d, variant, inner);
}

static int decode_table(struct decode *d, const struct schema_table *table, char *s)
{
    uint8_t mark = 0;
    int rc = get(d, &mark, sizeof(mark));
    if (rc == 0 && mark != 0xa5) {
        return short_of(d);
    }
    for (const struct schema_option *o = table->options; rc == 0 && o->name != NULL; o++) {
        rc = decode_option(d, o, s);
    }
    return rc < 0 ? rc : decode_variant(d, table, s);
}

int schema_decode(const struct schema_table *table, const void *bytes, size_t len, struct arena *a,
                  void *ret, struct error *err)
{
    struct decode d = {.at = bytes, .left = len, .arena = a, .err = err};
    memset(ret, 0, table->size);
    int rc = decode_table(&d, table, ret);
    if (rc == 0 && d.left > 0) {
        rc = error_set(err, -EPROTO, "%zu bytes follow the encoded configuration", d.left);
    }
    return rc;
}
