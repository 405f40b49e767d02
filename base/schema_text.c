/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a value means: durations, sizes, numbers, percentages, and the nearest name to a word.
 *
 * Numbers without a unit are refused where a unit exists (except 0): "timeout: 30" would be read
 * as seconds by one person and as milliseconds by the next.
 */
#include "base/schema_doc.h"

#include <errno.h>
#include <math.h>

static const struct {
    const char *name;
    int64_t ms;
} durations[] = {
    {"w", INT64_C(7) * 24 * 3600 * 1000},
    {"d", INT64_C(24) * 3600 * 1000},
    {"h", INT64_C(3600) * 1000},
    {"m", INT64_C(60) * 1000},
    {"s", 1000},
    {"ms", 1},
};

static const struct {
    const char *name;
    int64_t bytes;
} sizes[] = {
    {"B", 1},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"TiB", INT64_C(1) << 40},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", INT64_C(1000) * 1000},
    {"GB", INT64_C(1000) * 1000 * 1000},
    {"TB", INT64_C(1000) * 1000 * 1000 * 1000},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits at *p; returns 0, -EINVAL without a digit, -ERANGE past int64_t. */
static int read_number(const char **p, int64_t *ret)
{
    int64_t value = 0;
    if (!is_digit(**p)) {
        return -EINVAL;
    }
    for (; is_digit(**p); (*p)++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, **p - '0', &value)) {
            return -ERANGE;
        }
    }
    *ret = value;
    return 0;
}

/* Index of the duration unit that the `len` bytes at `p` name, or -1. */
static int duration_unit(const char *p, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        if (strlen(durations[i].name) == len && strncmp(durations[i].name, p, len) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int duration_error(const char *text, struct error *err)
{
    char shown[64];
    char *end = NULL;
    (void)error_set(err, -EINVAL, "must be %s, not '%s'", schema_text_expected(SCHEMA_DURATION),
                    schema_text_quote(text, shown, sizeof(shown)));
    double number = strtod(text, &end);
    if (end != text && *end == '\0' && number > 0 && number < 1e9) {
        (void)error_set(err, -EINVAL, "has no unit: '%s'", shown);
        return error_remedy(err, "write '%ss' for seconds or '%sms' for milliseconds", shown,
                            shown);
    }
    if (end != text && number > 0 && number < 1e6 && strcmp(end, "s") == 0) {
        char whole[32];
        (void)schema_duration_text((int64_t)(number * 1000), whole, sizeof(whole));
        return error_remedy(err, "write '%s'", whole);
    }
    return -EINVAL;
}

int schema_parse_duration(const char *text, int64_t *ret_ms, struct error *err)
{
    const char *p = text;
    int64_t total = 0;
    int last = -1;
    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return 0;
    }
    do {
        int64_t count = 0;
        int rc = read_number(&p, &count);
        size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        int unit = rc == -EINVAL ? -1 : duration_unit(p, len);
        if (unit <= last) { /* unknown, or not in falling order */
            return duration_error(text, err);
        }
        if (rc == -ERANGE || __builtin_mul_overflow(count, durations[unit].ms, &count) ||
            __builtin_add_overflow(total, count, &total)) {
            return error_set(err, -ERANGE, "is too long");
        }
        last = unit;
        p += len;
    } while (*p != '\0');
    *ret_ms = total;
    return 0;
}

char *schema_duration_text(int64_t ms, char *out, size_t size)
{
    size_t used = 0;
    int64_t left = ms < 0 ? 0 : ms;
    (void)snprintf(out, size, "0s");
    for (size_t i = 1; i < ARRAY_LEN(durations); i++) { /* weeks are read, never written */
        int64_t count = left / durations[i].ms;
        left %= durations[i].ms;
        if (count > 0 && used < size) {
            int n =
                snprintf(out + used, size - used, "%lld%s", (long long)count, durations[i].name);
            used += n < 0 ? 0 : (size_t)n;
        }
    }
    return out;
}

int schema_parse_size(const char *text, int64_t *ret_bytes, struct error *err)
{
    const char *p = text;
    char shown[64];
    int64_t count = 0;
    int rc = read_number(&p, &count);
    p += *p == ' ' ? 1 : 0;
    if (rc == 0 && *p == '\0') {
        *ret_bytes = count;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes) && rc != -EINVAL; i++) {
        if (strcmp(sizes[i].name, p) != 0) {
            continue;
        }
        if (rc == -ERANGE || __builtin_mul_overflow(count, sizes[i].bytes, ret_bytes)) {
            return error_set(err, -ERANGE, "is too large");
        }
        return 0;
    }
    (void)error_set(err, -EINVAL, "must be %s, not '%s'", schema_text_expected(SCHEMA_SIZE),
                    schema_text_quote(text, shown, sizeof(shown)));
    if (rc == 0 && strlen(p) == 1 && strchr("kKmMgGtT", *p) != NULL) {
        char upper = (char)(*p & ~0x20);
        return error_remedy(err, "write '%lld%ciB' (1024) or '%lld%cB' (1000)", (long long)count,
                            upper, (long long)count, upper);
    }
    return -EINVAL;
}

const char *schema_text_expected(enum schema_type type)
{
    switch (type) {
    case SCHEMA_BOOL:
        return "true or false";
    case SCHEMA_INT:
        return "a whole number";
    case SCHEMA_DOUBLE:
        return "a number";
    case SCHEMA_DURATION:
        return "a duration such as '500ms', '30s', '1h30m' or '14d'";
    case SCHEMA_SIZE:
        return "a size such as '64KiB', '10MB' or '2GiB'";
    case SCHEMA_PERCENT:
        return "a percentage such as '20%'";
    case SCHEMA_STRING:
    case SCHEMA_ENUM:
        return "a text";
    case SCHEMA_STRINGS:
        return "a text or a list of texts";
    case SCHEMA_LIST:
        return "a list";
    case SCHEMA_STRUCT:
    case SCHEMA_MAP:
        break;
    }
    return "a mapping";
}

char *schema_text_quote(const char *text, char *out, size_t size)
{
    size_t len = strlen(text);
    size_t room = size - 1;
    bool cut = len > room;
    size_t n = cut ? room - 3 : len;
    while (cut && n > 0 && ((unsigned char)text[n] & 0xc0U) == 0x80U) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        bool control = (unsigned char)text[i] < 0x20 || text[i] == 0x7f;
        out[i] = text[i];
        if (control) {
            out[i] = '?';
        }
    }
    (void)snprintf(out + n, size - n, "%s", cut ? "..." : "");
    return out;
}

char *schema_text_number(enum schema_type type, double value, char *out, size_t size)
{
    static const char *const units[] = {"TiB", "GiB", "MiB", "KiB"};
    int64_t whole = (int64_t)value;
    if (type == SCHEMA_DURATION) {
        return schema_duration_text(whole, out, size);
    }
    if (type == SCHEMA_PERCENT) {
        (void)snprintf(out, size, "%.10g%%", value * 100);
        return out;
    }
    for (size_t i = 0; type == SCHEMA_SIZE && i < ARRAY_LEN(units); i++) {
        int64_t unit = INT64_C(1) << (40 - 10 * i);
        if (whole >= unit && whole % unit == 0) {
            (void)snprintf(out, size, "%lld%s", (long long)(whole / unit), units[i]);
            return out;
        }
    }
    (void)snprintf(out, size, "%.15g", value);
    return out;
}

static int check_bounds(const struct schema_option *o, const char *text, double value,
                        struct error *err)
{
    char shown[64];
    char bound[64];
    (void)schema_text_quote(text, shown, sizeof(shown));
    bool bounded = o->min != 0.0 || o->max != 0.0;
    if (bounded && value < o->min) {
        return error_set(err, -ERANGE, "is %s, below its minimum of %s", shown,
                         schema_text_number(o->type, o->min, bound, sizeof(bound)));
    }
    if (!bounded || value <= o->max) {
        return 0;
    }
    (void)error_set(err, -ERANGE, "is %s, above its maximum of %s", shown,
                    schema_text_number(o->type, o->max, bound, sizeof(bound)));
    if (o->type == SCHEMA_DOUBLE && o->max <= 1.0 && value <= 100.0) {
        return error_remedy(err, "it is a fraction, not per cent: write %.10g", value / 100);
    }
    return -ERANGE;
}

static int convert_int(const struct schema_option *o, const char *text, int64_t *field,
                       struct error *err)
{
    char shown[64];
    bool negative = *text == '-';
    const char *p = negative ? text + 1 : text;
    int64_t value = 0;
    int rc = read_number(&p, &value);
    if (rc == -EINVAL || *p != '\0') {
        return error_set(err, -EINVAL, "must be %s, not '%s'", schema_text_expected(o->type),
                         schema_text_quote(text, shown, sizeof(shown)));
    }
    if (rc < 0) {
        return error_set(err, rc, "is out of range");
    }
    value = negative ? -value : value;
    rc = check_bounds(o, text, (double)value, err);
    if (rc == 0) {
        *field = value;
    }
    return rc;
}

/* A number in plain decimal notation: strtod alone would take "inf", "nan" and hexadecimal. */
static int read_double(const char *text, double *ret, const char **ret_end)
{
    char *end = NULL;
    size_t span = strspn(text, "0123456789.eE+-");
    double value = strtod(text, &end);
    if (end == text || end > text + span || !isfinite(value)) {
        return -EINVAL;
    }
    *ret = value;
    *ret_end = end;
    return 0;
}

static int convert_double(const struct schema_option *o, const char *text, double *field,
                          struct error *err)
{
    char shown[64];
    const char *end = text;
    double value = 0;
    int rc = read_double(text, &value, &end);
    bool percent = rc == 0 && strcmp(end, "%") == 0;
    bool want_percent = o->type == SCHEMA_PERCENT;
    if (rc < 0 || (*end != '\0' && !percent)) {
        return error_set(err, -EINVAL, "must be %s, not '%s'", schema_text_expected(o->type),
                         schema_text_quote(text, shown, sizeof(shown)));
    }
    if (percent && !want_percent) {
        (void)error_set(err, -EINVAL, "must be a fraction, not a percentage");
        return error_remedy(err, "write %.10g", value / 100);
    }
    value = percent ? value / 100 : value;
    if (want_percent && (value > 1.0 || value < 0.0)) {
        (void)error_set(err, -ERANGE, "must be between 0%% and 100%%, not '%s'",
                        schema_text_quote(text, shown, sizeof(shown)));
        return percent || value > 100.0 ? -ERANGE : error_remedy(err, "write '%s%%'", shown);
    }
    rc = check_bounds(o, text, value, err);
    if (rc == 0) {
        *field = value;
    }
    return rc;
}

static int convert_bool(const char *text, bool *field, struct error *err)
{
    static const char *const yes[] = {"yes", "on", "1", "True", "TRUE", "y"};
    static const char *const no[] = {"no", "off", "0", "False", "FALSE", "n"};
    char shown[64];
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *field = *text == 't';
        return 0;
    }
    (void)error_set(err, -EINVAL, "must be true or false, not '%s'",
                    schema_text_quote(text, shown, sizeof(shown)));
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            return error_remedy(err, "write '%s'", strcmp(text, yes[i]) == 0 ? "true" : "false");
        }
    }
    return -EINVAL;
}

static int convert_enum(const struct schema_option *o, const char *text, int *field,
                        struct error *err)
{
    char shown[64];
    AUTO_BUF struct buf all = BUF_INIT(200);
    for (int i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *field = i;
            return 0;
        }
        (void)buf_addf(&all, "%s%s", i == 0 ? "" : ", ", o->choices[i]);
    }
    (void)error_set(err, -EINVAL, "must be one of %s, not '%s'", buf_text(&all),
                    schema_text_quote(text, shown, sizeof(shown)));
    const char *near = schema_nearest(text, o->choices);
    return near == NULL ? -EINVAL : error_remedy(err, "did you mean '%s'?", near);
}

int schema_text_check(const struct schema_option *o, const char *text, struct error *err)
{
    int rc = o->check == NULL ? 0 : o->check(text, err);
    if (rc < 0 && err != NULL) {
        char message[sizeof(err->message)];
        memcpy(message, err->message, sizeof(message));
        (void)snprintf(err->message, sizeof(err->message), ": %.*s", (int)sizeof(message) - 3,
                       message);
    }
    return rc;
}

static int convert_string(const struct schema_option *o, const char *text, struct arena *a,
                          const char **field, struct error *err)
{
    if (*text == '\0') {
        return error_set(err, -EINVAL, "must not be empty");
    }
    int rc = schema_text_check(o, text, err);
    if (rc < 0) {
        return rc;
    }
    *field = arena_strndup(a, text, strlen(text));
    return *field == NULL ? error_set(err, -ENOMEM, "does not fit: the file is too large") : 0;
}

int schema_text_convert(const struct schema_option *o, const char *text, struct arena *a,
                        void *field, struct error *err)
{
    int rc = -EINVAL;
    int64_t number = 0;
    switch (o->type) {
    case SCHEMA_BOOL:
        return convert_bool(text, field, err);
    case SCHEMA_INT:
        return convert_int(o, text, field, err);
    case SCHEMA_DOUBLE:
        rc = schema_text_check(o, text, err);
        return rc < 0 ? rc : convert_double(o, text, field, err);
    case SCHEMA_PERCENT:
        return convert_double(o, text, field, err);
    case SCHEMA_ENUM:
        return convert_enum(o, text, field, err);
    case SCHEMA_STRING:
        return convert_string(o, text, a, field, err);
    case SCHEMA_DURATION:
        rc = schema_parse_duration(text, &number, err);
        break;
    case SCHEMA_SIZE:
        rc = schema_parse_size(text, &number, err);
        break;
    case SCHEMA_STRINGS:
    case SCHEMA_STRUCT:
    case SCHEMA_LIST:
    case SCHEMA_MAP:
        return error_set(err, -EINVAL, "must be %s", schema_text_expected(o->type));
    }
    rc = rc < 0 ? rc : check_bounds(o, text, (double)number, err);
    if (rc == 0) {
        *(int64_t *)field = number;
    }
    return rc;
}

enum { WORD_MAX = 40 };

static char fold(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c - 'A' + 'a');
    }
    return c;
}

static bool is_same_folded(const char *a, const char *b)
{
    for (;;) {
        a += strspn(a, "-_. ");
        b += strspn(b, "-_. ");
        if (fold(*a) != fold(*b)) {
            return false;
        }
        if (*a == '\0') {
            return true;
        }
        a++;
        b++;
    }
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b, both at most WORD_MAX long. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned rows[3][WORD_MAX + 1];
    size_t m = strlen(b);
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        unsigned *now = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                unsigned swapped = rows[(i + 1) % 3][j - 2] + 1;
                best = swapped < best ? swapped : best;
            }
            now[j] = best;
        }
    }
    return rows[strlen(a) % 3][m];
}

const char *schema_nearest(const char *word, const char *const *names)
{
    const char *nearest = NULL;
    size_t len = strlen(word);
    unsigned best = 3;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (is_same_folded(word, names[i])) {
            return names[i];
        }
        if (len > WORD_MAX || strlen(names[i]) > WORD_MAX) {
            continue;
        }
        unsigned distance = edit_distance(word, names[i]);
        if (distance < best && (size_t)distance * 2 < len) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
