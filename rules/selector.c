/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selector.c: parses and applies PromQL's instant selectors.
 *
 * People paste what they have in a dashboard: `rate(x[5m])`, `x[5m]`, `sum by (y) (x)`. Each of
 * these gets its own remedy, since the counters are all that a rule wants: rates over its windows
 * are made here.
 *
 * Expressions run once per new series, never per sample, so they are interpreted and not compiled
 * to machine code (which a unit with MemoryDenyWriteExecute would refuse anyway). (a+)+$ ends at
 * the match limit.
 *
 * Grammar: https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors
 */
#include "rules/selector.h"

#include <errno.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MATCHERS_MAX = LIMIT_LABELS, MATCH_LIMIT = 20000, HEAP_LIMIT_KIB = 1024 };

enum op { OP_EQUAL, OP_NOT_EQUAL, OP_REGEX, OP_NOT_REGEX };

struct matcher {
    char *name;
    char *value;
    enum op op;
    pcre2_code *code; /* of a REGEX */
};

struct selector {
    size_t count;
    struct matcher matchers[MATCHERS_MAX];
    pcre2_match_context *limits;
    pcre2_match_data *match;
};

struct parser {
    const char *text;
    const char *p;
    struct selector *s;
    struct error *err;
};

static int fail(struct parser *z, const char *expected)
{
    if (*z->p == '\0') {
        (void)error_set(z->err, -EINVAL, "expected %s at column %zu, found the end", expected,
                        (size_t)(z->p - z->text) + 1);
    } else {
        (void)error_set(z->err, -EINVAL, "expected %s at column %zu, found '%.20s'", expected,
                        (size_t)(z->p - z->text) + 1, z->p);
    }
    if (z->err != NULL) {
        z->err->column = (unsigned)(z->p - z->text) + 1;
    }
    return -EINVAL;
}

static int fail_with(struct parser *z, const char *expected, const char *remedy)
{
    (void)fail(z, expected);
    (void)error_remedy(z->err, "%s", remedy);
    return -EINVAL;
}

static void skip_space(struct parser *z)
{
    z->p += strspn(z->p, " \t\r\n");
}

static size_t name_len(const char *p, bool colon)
{
    size_t len = 0;
    for (; p[len] != '\0'; len++) {
        char c = p[len];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool digit = c >= '0' && c <= '9';
        if (!letter && !(digit && len > 0) && !(colon && c == ':')) {
            break;
        }
    }
    return len;
}

static int add_matcher(struct parser *z, char *name, char *value, enum op op)
{
    z->s->matchers[z->s->count++] = (struct matcher){name, value, op, NULL};
    if (op != OP_REGEX && op != OP_NOT_REGEX) {
        return 0;
    }
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)value, PCRE2_ZERO_TERMINATED,
                                   PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF |
                                       PCRE2_NEVER_BACKSLASH_C | PCRE2_DOTALL,
                                   &code, &offset, NULL);
    z->s->matchers[z->s->count - 1].code = re;
    if (re != NULL) {
        return 0;
    }
    char why[128] = "";
    (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
    (void)error_set(z->err, -EINVAL,
                    "bad expression '%.80s' for label '%.40s': %s at its column "
                    "%zu",
                    value, name, why, (size_t)offset + 1);
    if (z->err != NULL) {
        z->err->column = (unsigned)(z->p - z->text) + 1;
    }
    return -EINVAL;
}

/* The character of an escape in a quoted text, or '\0' when PromQL knows no such escape. */
static char unescape(char c)
{
    static const char from[] = "abfnrtv\\'\"";
    static const char to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *at = strchr(from, c);
    if (c == '\0' || at == NULL) {
        return '\0';
    }
    return to[at - from];
}

/* A text in "", '' or ``; the caller frees it. NULL with err. */
static char *parse_quoted(struct parser *z)
{
    char quote = *z->p;
    if (quote != '"' && quote != '\'' && quote != '`') {
        (void)fail_with(z, "a quoted text", "write the value in quotes: name{code=\"503\"}");
        return NULL;
    }
    char *out = xcalloc(1, strlen(z->p));
    size_t len = 0;
    for (z->p++; *z->p != '\0' && *z->p != quote; z->p++) {
        char c = *z->p;
        if (c == '\\' && quote != '`') {
            c = unescape(z->p[1]);
            if (c == '\0') {
                (void)fail_with(z, "a known escape",
                                "write a backslash of an expression twice: "
                                "path=~\"/api/v\\\\d+\"");
                free(out);
                return NULL;
            }
            z->p++;
        }
        out[len++] = c;
    }
    if (*z->p == '\0') {
        (void)fail(z, "the closing quote");
        free(out);
        return NULL;
    }
    z->p++;
    return out;
}

static bool parse_op(struct parser *z, enum op *ret)
{
    static const struct {
        const char *text;
        enum op op;
    } ops[] = {{"=~", OP_REGEX}, {"!~", OP_NOT_REGEX}, {"!=", OP_NOT_EQUAL}, {"=", OP_EQUAL}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        size_t len = strlen(ops[i].text);
        if (strncmp(z->p, ops[i].text, len) == 0 && z->p[len] != '=') {
            z->p += len;
            *ret = ops[i].op;
            return true;
        }
    }
    return false;
}

static int parse_matcher(struct parser *z)
{
    size_t len = name_len(z->p, false);
    if (len == 0) {
        return fail(z, "a label's name or '}'");
    }
    if (z->s->count >= MATCHERS_MAX) {
        return fail(z, "at most 64 matchers");
    }
    const char *name = z->p;
    z->p += len;
    skip_space(z);
    enum op op;
    if (!parse_op(z, &op)) {
        return fail_with(z, "one of = != =~ !~ after the label's name",
                         strncmp(z->p, "==", 2) == 0 ? "write '=' once" : "");
    }
    skip_space(z);
    char *value = parse_quoted(z);
    return value == NULL ? -EINVAL : add_matcher(z, strndup(name, len), value, op);
}

static int parse_matchers(struct parser *z)
{
    z->p++;
    skip_space(z);
    while (*z->p != '}') {
        int rc = parse_matcher(z);
        if (rc < 0) {
            return rc;
        }
        skip_space(z);
        if (*z->p == ',') {
            z->p++;
            skip_space(z);
        } else if (*z->p != '}') {
            return fail(z, "',' or '}' after the matcher");
        }
    }
    z->p++;
    return 0;
}

/* What people write after or around a selector that belongs to PromQL at large. */
static int fail_rest(struct parser *z)
{
    if (*z->p == '[') {
        return fail_with(z, "the end of the selector",
                         "leave the range out: incidentd computes the rates over its own windows");
    }
    if (*z->p == '(') {
        return fail_with(z, "a selector, not a function",
                         "name the counter alone, as in http_requests_total{code!~\"5..\"}: "
                         "incidentd computes the rates itself");
    }
    if (strncmp(z->p, "offset", 6) == 0 || *z->p == '@') {
        return fail_with(z, "the end of the selector", "leave 'offset' and '@' out");
    }
    return fail_with(z, "the end of the selector",
                     "one selector, without arithmetic: several values of a label are "
                     "code=~\"500|503\"");
}

static bool matches_value(const struct selector *s, const struct matcher *m, const char *value)
{
    if (m->op == OP_EQUAL || m->op == OP_NOT_EQUAL) {
        return (strcmp(m->value, value) == 0) == (m->op == OP_EQUAL);
    }
    int rc = pcre2_match(m->code, (PCRE2_SPTR)value, strlen(value), 0, 0, s->match, s->limits);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
        return false;
    }
    return (rc >= 0) == (m->op == OP_REGEX);
}

static int parse_selector(struct parser *z)
{
    skip_space(z);
    size_t len = name_len(z->p, true);
    if (len > 0) {
        int rc = add_matcher(z, xstrdup("__name__"), strndup(z->p, len), OP_EQUAL);
        if (rc < 0) {
            return rc;
        }
        z->p += len;
        skip_space(z);
    } else if (*z->p != '{') {
        return fail_with(z, "a metric's name or '{'", "as in http_requests_total{code!~\"5..\"}");
    }
    if (*z->p == '{') {
        int rc = parse_matchers(z);
        if (rc < 0) {
            return rc;
        }
    }
    skip_space(z);
    if (*z->p != '\0') {
        return fail_rest(z);
    }
    for (size_t i = 0; i < z->s->count; i++) {
        if (!matches_value(z->s, &z->s->matchers[i], "")) {
            return 0;
        }
    }
    z->p = z->text;
    return fail_with(z, "a matcher that does not match the empty text",
                     "name the metric, as in http_requests_total");
}

int selector_parse(const char *text, struct selector **ret, struct error *err)
{
    struct selector *s = xcalloc(1, sizeof(*s));
    s->limits = pcre2_match_context_create(NULL);
    s->match = pcre2_match_data_create(1, NULL);
    if (s->limits == NULL || s->match == NULL) {
        selector_free(s);
        return error_set(err, -ENOMEM, "out of memory for a selector");
    }
    (void)pcre2_set_match_limit(s->limits, MATCH_LIMIT);
    (void)pcre2_set_heap_limit(s->limits, HEAP_LIMIT_KIB);
    struct parser z = {text, text, s, err};
    int rc = parse_selector(&z);
    if (rc < 0) {
        selector_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void selector_free(struct selector *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        free(s->matchers[i].name);
        free(s->matchers[i].value);
        pcre2_code_free(s->matchers[i].code);
    }
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    free(s);
}

int selector_check(const char *text, struct error *err)
{
    struct selector *s = NULL;
    int rc = selector_parse(text, &s, err);
    if (rc == 0) {
        selector_free(s);
    }
    return rc;
}

const char *selector_name(const struct selector *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->matchers[i].op == OP_EQUAL && strcmp(s->matchers[i].name, "__name__") == 0) {
            return s->matchers[i].value;
        }
    }
    return NULL;
}

bool selector_matches(const struct selector *s, const struct labels *l)
{
    for (size_t i = 0; i < s->count; i++) {
        if (!matches_value(s, &s->matchers[i], labels_get(l, s->matchers[i].name))) {
            return false;
        }
    }
    return true;
}
