/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exposition.c: the reader of metrics pages.
 *
 * A page is read once a second for ever, and of its thousands of lines a rule means a handful. So
 * the reader finds each line's end by memchr, compares the metric's name with that of the line
 * before (families stand together), and goes on unless it is wanted. Of an unwanted line it looks
 * at the first byte, the byte after the name, and what follows the last brace: enough to tell a
 * metrics page from HTML, a stack trace or a log. Wanted lines are read by the letter of the
 * format. Rejected: reading every line in full as Prometheus does (5 to 10 times slower, and the
 * lines are somebody else's business).
 *
 * Where the formats differ: timestamps are milliseconds in 0.0.4 and seconds in OpenMetrics;
 * OpenMetrics ends with "# EOF", without which the page was cut off, and may carry exemplars after
 * " # ". A last line without line feed is accepted in 0.0.4, as Prometheus does.
 *
 * Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
 * https://prometheus.io/docs/specs/om/open_metrics_spec/
 */
#include "rules/exposition.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

enum { VALUE_BYTES = 64 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}

static bool is_name(char c)
{
    return is_name_start(c) || is_digit(c);
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p)) {
        p++;
    }
    return p;
}

static const char *skip_word(const char *p, const char *end)
{
    while (p < end && !is_blank(*p)) {
        p++;
    }
    return p;
}

static const char *skip_name(const char *p, const char *end)
{
    while (p < end && is_name(*p)) {
        p++;
    }
    return p;
}

/* An error at `at` in the line that begins at `line`, quoting some of what stands there. */
static int fail(const struct exposition *e, const char *line, const char *at, const char *expected,
                struct error *err)
{
    const char *stop = e->end - at > 24 ? at + 24 : e->end;
    char found[32];
    size_t len = 0;
    for (const char *p = at; p < stop && *p != '\n'; p++) {
        bool plain = *p >= ' ' && *p < 0x7f && *p != '\'';
        found[len] = '?';
        if (plain) {
            found[len] = *p;
        }
        len++;
    }
    found[len] = '\0';
    if (len > 0) {
        (void)error_set(err, -EINVAL, "expected %s, found '%s'", expected, found);
    } else {
        (void)error_set(err, -EINVAL, "expected %s, found the end of the line", expected);
    }
    if (err != NULL) {
        err->line = e->line;
        err->column = (unsigned)(at - line) + 1;
        if (e->line == 1 && *line == '<') {
            (void)error_remedy(err, "the URL answers with HTML: point `metrics:` at the page of "
                                    "metrics, usually /metrics");
        }
    }
    return -EINVAL;
}

void exposition_init(struct exposition *e, const char *page, size_t len, bool openmetrics,
                     const struct exposition_name *names, size_t count)
{
    memset(e, 0, sizeof(*e));
    e->page = page;
    e->at = page;
    e->end = page + len;
    e->openmetrics = openmetrics;
    e->names = names;
    e->name_count = count;
    e->all = names == NULL;
}

void exposition_expect(struct exposition *e, const char *series, size_t len)
{
    e->expect = series;
    e->expect_len = len;
}

static bool wanted(const struct exposition *e, const char *name, size_t len)
{
    if (e->all) {
        return true;
    }
    for (size_t i = 0; i < e->name_count; i++) {
        if (e->names[i].len == len && memcmp(e->names[i].text, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Does a number begin here? Letters: NaN, Inf. */
static bool is_number_start(const char *p, const char *eol)
{
    return p < eol && (is_digit(*p) || strchr("+-.nNiI", *p) != NULL) && *p != '\0';
}

/* The shape of a line nobody asked for; `p` is where its name ends. */
static int check_shape(const struct exposition *e, const char *line, const char *p, const char *eol,
                       struct error *err)
{
    if (p < eol && *p == '{') {
        const char *brace = memrchr(p, '}', (size_t)(eol - p));
        if (brace == NULL) {
            return fail(e, line, eol, "'}' after the labels", err);
        }
        p = brace + 1;
    } else if (p < eol && !is_blank(*p)) {
        return fail(e, line, p, "a metric's name, then '{' or a space", err);
    }
    p = skip_blanks(p, eol);
    if (p < eol && *p == '{') {
        return check_shape(e, line, p, eol, err);
    }
    return is_number_start(p, eol) ? 0 : fail(e, line, p, "a value", err);
}

/* A comment line. OpenMetrics knows just four kinds, one of which ends the page. */
static int read_comment(struct exposition *e, const char *line, const char *eol, struct error *err)
{
    if (!e->openmetrics) {
        return 0;
    }
    size_t len = (size_t)(eol - line);
    if (len == 5 && memcmp(line, "# EOF", 5) == 0) {
        e->ended = true;
        return e->at == e->end ? 0 : fail(e, e->at, e->at, "nothing after '# EOF'", err);
    }
    if (len > 7 && (memcmp(line, "# TYPE ", 7) == 0 || memcmp(line, "# HELP ", 7) == 0 ||
                    memcmp(line, "# UNIT ", 7) == 0)) {
        return 0;
    }
    return fail(e, line, line, "'# TYPE', '# HELP', '# UNIT' or '# EOF'", err);
}

/* The end of the series text that begins at `line`, its name ending at `p`; NULL with err. */
static const char *scan_series(const struct exposition *e, const char *line, const char *p,
                               const char *eol, struct error *err)
{
    const char *q = skip_blanks(p, eol);
    if (q == eol || *q != '{') {
        return p;
    }
    for (q++; q < eol && *q != '}'; q++) {
        if (*q != '"') {
            continue;
        }
        for (q++; q < eol && *q != '"'; q++) {
            q += (*q == '\\' && q + 1 < eol);
        }
        if (q == eol) {
            (void)fail(e, line, eol, "'\"' at the end of a label's value", err);
            return NULL;
        }
    }
    if (q == eol) {
        (void)fail(e, line, eol, "'}' after the labels", err);
        return NULL;
    }
    return q + 1;
}

/* A number as Go's ParseFloat reads it. */
static bool parse_number(const char *p, const char *stop, double *ret)
{
    size_t len = (size_t)(stop - p);
    if (len > 0 && len <= 15) {
        int64_t whole = 0;
        const char *q = p;
        while (q < stop && is_digit(*q)) {
            whole = whole * 10 + (*q++ - '0');
        }
        if (q == stop) {
            *ret = (double)whole;
            return true;
        }
    }
    if (len == 0 || len >= VALUE_BYTES || memchr(p, '(', len) != NULL ||
        !is_number_start(p, stop)) {
        return false;
    }
    char text[VALUE_BYTES];
    memcpy(text, p, len);
    text[len] = '\0';
    char *rest = NULL;
    *ret = strtod(text, &rest);
    return rest == text + len;
}

static bool parse_timestamp(const char *p, const char *stop, bool seconds, int64_t *ret_ms)
{
    double number;
    if (!parse_number(p, stop, &number) || !isfinite(number)) {
        return false;
    }
    number = seconds ? number * 1000.0 : number;
    if (fabs(number) > 9e15 || (!seconds && number != floor(number))) {
        return false;
    }
    *ret_ms = llround(number);
    return true;
}

/* "# {labels} value [timestamp]" after an OpenMetrics sample: checked, not kept. */
static int check_exemplar(const struct exposition *e, const char *line, const char *p,
                          const char *eol, struct error *err)
{
    p = skip_blanks(p + 1, eol);
    if (p == eol || *p != '{') {
        return fail(e, line, p, "'{' of the exemplar", err);
    }
    p = scan_series(e, line, p, eol, err);
    if (p == NULL) {
        return -EINVAL;
    }
    p = skip_blanks(p, eol);
    double value;
    const char *stop = skip_word(p, eol);
    return parse_number(p, stop, &value) ? 0 : fail(e, line, p, "the exemplar's value", err);
}

/* What follows the series text: the value, perhaps a timestamp, perhaps an exemplar. */
static int read_value(const struct exposition *e, const char *line, const char *p, const char *eol,
                      struct exposition_sample *ret, struct error *err)
{
    p = skip_blanks(p, eol);
    const char *stop = skip_word(p, eol);
    if (!parse_number(p, stop, &ret->value)) {
        return fail(e, line, p, "a value", err);
    }
    p = skip_blanks(stop, eol);
    ret->has_timestamp = false;
    if (p < eol && *p != '#') {
        stop = skip_word(p, eol);
        if (!parse_timestamp(p, stop, e->openmetrics, &ret->timestamp_ms)) {
            return fail(e, line, p,
                        e->openmetrics ? "a timestamp in seconds" : "a timestamp in milliseconds",
                        err);
        }
        ret->has_timestamp = true;
        p = skip_blanks(stop, eol);
    }
    if (p == eol) {
        return 0;
    }
    if (e->openmetrics && *p == '#') {
        return check_exemplar(e, line, p, eol, err);
    }
    return fail(e, line, p, "the end of the line", err);
}

/* A sample line. Returns 1 when it is wanted, 0 when not, -EINVAL. */
static int read_sample(struct exposition *e, const char *line, const char *eol,
                       struct exposition_sample *ret, struct error *err)
{
    size_t len = (size_t)(eol - line);
    if (e->expect_len > 0 && len > e->expect_len && memcmp(line, e->expect, e->expect_len) == 0 &&
        is_blank(line[e->expect_len])) {
        ret->series = line;
        ret->series_len = e->expect_len;
        ret->expected = true;
        int rc = read_value(e, line, line + e->expect_len, eol, ret, err);
        return rc < 0 ? rc : 1;
    }
    const char *p = line + e->last_name_len;
    bool same = e->last_name_len > 0 && len > e->last_name_len && !is_name(*p) &&
                memcmp(line, e->last_name, e->last_name_len) == 0;
    if (!same) {
        if (!is_name_start(*line)) {
            return fail(e, line, line, "a metric's name or '#'", err);
        }
        p = skip_name(line, eol);
        e->last_name = line;
        e->last_name_len = (size_t)(p - line);
        e->last_wanted = wanted(e, line, e->last_name_len);
    }
    if (!e->last_wanted) {
        return check_shape(e, line, p, eol, err);
    }
    p = scan_series(e, line, p, eol, err);
    if (p == NULL) {
        return -EINVAL;
    }
    ret->series = line;
    ret->series_len = (size_t)(p - line);
    ret->expected = false;
    int rc = read_value(e, line, p, eol, ret, err);
    return rc < 0 ? rc : 1;
}

int exposition_next(struct exposition *e, struct exposition_sample *ret, struct error *err)
{
    while (e->at < e->end) {
        const char *line = e->at;
        const char *eol = memchr(line, '\n', (size_t)(e->end - line));
        e->at = eol != NULL ? eol + 1 : e->end;
        eol = eol != NULL ? eol : e->end;
        e->line++;
        int rc = 0;
        if (*line == '#') {
            rc = read_comment(e, line, eol, err);
        } else if (line < eol && (!is_blank(*line) || skip_blanks(line, eol) < eol)) {
            ret->line = e->line;
            rc = read_sample(e, skip_blanks(line, eol), eol, ret, err);
        }
        if (rc != 0) {
            return rc;
        }
    }
    if (e->openmetrics && !e->ended) {
        e->line++;
        return fail(e, e->end, e->end, "'# EOF': the page was cut off", err);
    }
    return 0;
}

/* Where exposition_labels stands: everything it appends to, in one place. */
struct label_reader {
    const char *series;
    const char *p;
    const char *end;
    char *out;
    struct labels *labels;
    struct error *err;
};

static int label_fail(const struct label_reader *r, const char *expected)
{
    struct exposition e = {.end = r->end};
    return fail(&e, r->series, r->p, expected, r->err);
}

static const char *copy_text(struct label_reader *r, const char *text, size_t len)
{
    char *copy = r->out;
    memcpy(copy, text, len);
    copy[len] = '\0';
    r->out += len + 1;
    return copy;
}

/* Are these bytes UTF-8? Surrogates and overlong forms are not. */
static bool is_utf8(const char *text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text;
    while (*p != 0) {
        size_t more = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
        if (*p > 0xf7 || (*p & 0xc0) == 0x80) {
            return false;
        }
        uint32_t point = more == 0 ? *p : *p & (0x3fU >> more);
        p++;
        for (size_t i = 0; i < more; i++, p++) {
            if ((*p & 0xc0) != 0x80) {
                return false;
            }
            point = point << 6 | (*p & 0x3fU);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
            return false;
        }
    }
    return true;
}

/* The quoted value at r->p, unescaped; NULL with err. */
static const char *read_quoted(struct label_reader *r)
{
    if (r->p == r->end || *r->p != '"') {
        (void)label_fail(r, "'\"' before the label's value");
        return NULL;
    }
    char *value = r->out;
    const char *begin = r->p;
    for (r->p++; r->p < r->end && *r->p != '"'; r->p++) {
        char c = *r->p;
        if (c == '\\' && r->p + 1 < r->end) {
            c = *++r->p;
            if (c == 'n') {
                c = '\n';
            } else if (c != '\\' && c != '"') {
                *r->out++ = '\\';
            }
        }
        *r->out++ = c;
    }
    if (r->p == r->end) {
        (void)label_fail(r, "'\"' at the end of a label's value");
        return NULL;
    }
    r->p++;
    *r->out++ = '\0';
    if (!is_utf8(value)) {
        r->p = begin;
        (void)label_fail(r, "UTF-8 in the label's value");
        return NULL;
    }
    return value;
}

/* One `name="value"`, with the comma after it. */
static int read_label(struct label_reader *r)
{
    const char *begin = r->p;
    if (!is_name_start(*r->p) || *r->p == ':') {
        return label_fail(r, "a label's name or '}'");
    }
    while (r->p < r->end && is_name(*r->p) && *r->p != ':') {
        r->p++;
    }
    if (r->labels->count >= LIMIT_LABELS) {
        return label_fail(r, "no more labels than 64");
    }
    const char *name = copy_text(r, begin, (size_t)(r->p - begin));
    r->p = skip_blanks(r->p, r->end);
    if (r->p == r->end || *r->p != '=') {
        return label_fail(r, "'=' after the label's name");
    }
    r->p = skip_blanks(r->p + 1, r->end);
    const char *value = read_quoted(r);
    if (value == NULL) {
        return -EINVAL;
    }
    if (*value != '\0') { /* an empty label is no label */
        r->labels->items[r->labels->count++] = (struct label){name, value};
    }
    r->p = skip_blanks(r->p, r->end);
    if (r->p < r->end && *r->p == ',') {
        r->p = skip_blanks(r->p + 1, r->end);
    } else if (r->p < r->end && *r->p != '}') {
        return label_fail(r, "',' or '}' after the label");
    }
    return 0;
}

int exposition_labels(const char *series, size_t len, struct labels *ret, char *scratch,
                      struct error *err)
{
    struct label_reader r = {series, series, series + len, scratch, ret, err};
    ret->count = 0;
    if (len > LIMIT_LINE_BYTES || memchr(series, '\0', len) != NULL) {
        return label_fail(&r, "text without NUL, of at most 64 KiB");
    }
    if (len == 0 || !is_name_start(*series)) {
        return label_fail(&r, "a metric's name");
    }
    r.p = skip_name(series, r.end);
    ret->items[ret->count++] =
        (struct label){"__name__", copy_text(&r, series, (size_t)(r.p - series))};
    r.p = skip_blanks(r.p, r.end);
    if (r.p == r.end) {
        return 0;
    }
    if (*r.p != '{') {
        return label_fail(&r, "'{' after the name");
    }
    r.p = skip_blanks(r.p + 1, r.end);
    while (r.p < r.end && *r.p != '}') {
        int rc = read_label(&r);
        if (rc < 0) {
            return rc;
        }
    }
    if (r.p + 1 != r.end) {
        return label_fail(&r, r.p == r.end ? "'}' after the labels" : "nothing after '}'");
    }
    return labels_sort(ret) >= 0 ? label_fail(&r, "each label's name once") : 0;
}
