/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake.c: pages in, increments out.
 *
 * A page is read twice over: first all samples into a list, then, when the page was in good order
 * to its end, the list into the series. So a page that breaks off in its middle changes nothing.
 *
 * Series without a rule that means them are remembered too, by text alone, else they would be
 * parsed and matched again at each poll. When more texts are known than LIMIT_SERIES_PER_TARGET,
 * all texts are forgotten and series that are stale are pruned: label values that come and go for
 * ever cost no more than that.
 *
 * A series born while we watched gets a sample of zero at the page before: the first 503 ever
 * creates its series with the value 1, and this one must count. Prometheus cannot know that and
 * loses it. After a restart of the process that we saw, every counter began at zero likewise; a
 * process that was merely found anew gives a baseline.
 */
#include "rules/intake.h"

#include "rules/exposition.h"

#include <errno.h>
#include <math.h>
#include <xxhash.h>

enum { ROLE_TOTAL = 1, ROLE_PART = 2, TEXTS_MAX = 2 * LIMIT_SERIES_PER_TARGET, GROUPS_MAX = 256 };

static const uint32_t none = UINT32_MAX;

/* A series text as pages have it. */
struct text {
    char *text; /* owned */
    size_t len;
    uint64_t hash;
    uint64_t seen;   /* number of the last page that had it */
    uint32_t order;  /* its place among the wanted samples of the last page */
    uint32_t series; /* `none`: no rule means it */
};

struct pending {
    const char *series; /* in the page */
    size_t len;
    uint32_t text; /* `none`: not known yet */
    bool has_timestamp;
    int64_t at_ms;
    double value;
};

struct intake {
    struct intake_rule *rules;
    size_t rule_count;
    bool *part_found;
    struct exposition_name *names;
    size_t name_count;
    bool all_names;
    struct series_store *store;
    int64_t span_ms;
    uint8_t *roles; /* [series * rule_count + rule] */
    size_t role_series;
    struct text *texts;
    size_t text_count;
    size_t text_capacity;
    size_t text_bytes;
    uint32_t *table; /* text + 1; open addressing */
    size_t table_size;
    uint32_t *order; /* texts of the last page, in its order */
    size_t order_count;
    size_t order_capacity;
    struct pending *pending;
    size_t pending_count;
    size_t pending_capacity;
    char *scratch;
    size_t scratch_size;
    struct labels labels;
    uint64_t pages;
    int64_t last_ms;
    int64_t born_ms; /* of a life whose first page is still to come, 0: none */
    bool overflowed;
};

static void add_name(struct intake *in, const struct selector *s)
{
    const char *name = s == NULL ? NULL : selector_name(s);
    if (name == NULL) {
        in->all_names = in->all_names || s != NULL;
        return;
    }
    for (size_t i = 0; i < in->name_count; i++) {
        if (strcmp(in->names[i].text, name) == 0) {
            return;
        }
    }
    in->names[in->name_count++] = (struct exposition_name){name, strlen(name)};
}

struct intake *intake_new(const struct intake_rule *rules, size_t count, int64_t span_ms)
{
    struct intake *in = xcalloc(1, sizeof(*in));
    in->rules = xcalloc(count + 1, sizeof(*in->rules));
    in->part_found = xcalloc(count + 1, sizeof(*in->part_found));
    in->names = xcalloc(2 * count + 1, sizeof(*in->names));
    in->rule_count = count;
    in->span_ms = span_ms;
    in->store = series_new(span_ms, LIMIT_SERIES_PER_TARGET);
    for (size_t i = 0; i < count; i++) {
        in->rules[i] = rules[i];
        add_name(in, rules[i].total);
        add_name(in, rules[i].part);
    }
    return in;
}

static void forget_texts(struct intake *in)
{
    for (size_t i = 0; i < in->text_count; i++) {
        free(in->texts[i].text);
    }
    free(in->table);
    in->table = NULL;
    in->table_size = 0;
    in->text_count = 0;
    in->text_bytes = 0;
    in->order_count = 0;
}

void intake_free(struct intake *in)
{
    if (in == NULL) {
        return;
    }
    for (size_t i = 0; i < in->rule_count; i++) {
        selector_free(in->rules[i].total);
        selector_free(in->rules[i].part);
    }
    forget_texts(in);
    series_free(in->store);
    free(in->rules);
    free(in->part_found);
    free(in->names);
    free(in->roles);
    free(in->texts);
    free(in->order);
    free(in->pending);
    free(in->scratch);
    free(in);
}

static uint32_t find_text(const struct intake *in, const char *text, size_t len, uint64_t hash)
{
    if (in->table_size == 0) {
        return none;
    }
    for (size_t at = hash & (in->table_size - 1); in->table[at] != 0;
         at = (at + 1) & (in->table_size - 1)) {
        const struct text *t = &in->texts[in->table[at] - 1];
        if (t->hash == hash && t->len == len && memcmp(t->text, text, len) == 0) {
            return in->table[at] - 1;
        }
    }
    return none;
}

static void put_text(struct intake *in, uint32_t id)
{
    size_t at = in->texts[id].hash & (in->table_size - 1);
    while (in->table[at] != 0) {
        at = (at + 1) & (in->table_size - 1);
    }
    in->table[at] = id + 1;
}

static uint32_t add_text(struct intake *in, const char *text, size_t len, uint64_t hash)
{
    if (in->text_count == in->text_capacity) {
        in->text_capacity = in->text_capacity == 0 ? 16 : in->text_capacity * 2;
        in->texts = xrealloc(in->texts, in->text_capacity, sizeof(*in->texts));
    }
    uint32_t id = (uint32_t)in->text_count++;
    char *copy = xcalloc(1, len + 1);
    memcpy(copy, text, len);
    in->texts[id] = (struct text){.text = copy, .len = len, .hash = hash, .series = none};
    in->text_bytes += len + 1;
    if (in->text_count * 2 > in->table_size) {
        free(in->table);
        in->table_size = in->table_size == 0 ? 64 : in->table_size * 2;
        in->table = xcalloc(in->table_size, sizeof(*in->table));
        for (uint32_t i = 0; i <= id; i++) {
            put_text(in, i);
        }
    } else {
        put_text(in, id);
    }
    return id;
}

/* Parses a series text into in->labels; an error gets the line of the page. */
static int parse_labels(struct intake *in, const char *series, size_t len, unsigned line,
                        struct error *err)
{
    size_t need = 2 * len + 16;
    if (in->scratch_size < need) {
        free(in->scratch);
        in->scratch = xcalloc(1, need);
        in->scratch_size = need;
    }
    int rc = exposition_labels(series, len, &in->labels, in->scratch, err);
    if (rc < 0 && err != NULL) {
        err->line = line;
    }
    return rc;
}

static struct pending *add_pending(struct intake *in)
{
    if (in->pending_count == in->pending_capacity) {
        in->pending_capacity = in->pending_capacity == 0 ? 64 : in->pending_capacity * 2;
        in->pending = xrealloc(in->pending, in->pending_capacity, sizeof(*in->pending));
    }
    return &in->pending[in->pending_count++];
}

/* First reading: every wanted sample into the list. */
static int read_page(struct intake *in, const struct intake_page *page, struct error *err)
{
    struct exposition e;
    exposition_init(&e, page->text, page->len, page->openmetrics, in->all_names ? NULL : in->names,
                    in->name_count);
    in->pending_count = 0;
    size_t cursor = 0;
    for (;;) {
        if (cursor < in->order_count) {
            const struct text *next = &in->texts[in->order[cursor]];
            exposition_expect(&e, next->text, next->len);
        } else {
            exposition_expect(&e, NULL, 0);
        }
        struct exposition_sample sample;
        int rc = exposition_next(&e, &sample, err);
        if (rc <= 0) {
            return rc;
        }
        struct pending *p = add_pending(in);
        *p = (struct pending){sample.series,        sample.series_len,   none,
                              sample.has_timestamp, sample.timestamp_ms, sample.value};
        if (sample.expected) {
            p->text = in->order[cursor++];
            continue;
        }
        p->text = find_text(in, p->series, p->len, XXH64(p->series, p->len, 0));
        if (p->text != none && in->texts[p->text].seen == in->pages) {
            cursor = (size_t)in->texts[p->text].order + 1;
        } else if (p->text == none && parse_labels(in, p->series, p->len, sample.line, err) < 0) {
            return -EINVAL;
        }
    }
}

static void set_roles(struct intake *in, uint32_t series, const uint8_t *roles)
{
    if (series >= in->role_series) {
        size_t grown = series < 32 ? 64 : (size_t)series * 2;
        in->roles = xrealloc(in->roles, grown, in->rule_count);
        memset(in->roles + in->role_series * in->rule_count, 0,
               (grown - in->role_series) * in->rule_count);
        in->role_series = grown;
    }
    memcpy(in->roles + (size_t)series * in->rule_count, roles, in->rule_count);
}

/* Which rules mean the series in in->labels, and as what? False when none does. */
static bool find_roles(struct intake *in, uint8_t *roles)
{
    bool meant = false;
    for (size_t i = 0; i < in->rule_count; i++) {
        const struct intake_rule *r = &in->rules[i];
        if (r->total != NULL && selector_matches(r->total, &in->labels)) {
            roles[i] |= ROLE_TOTAL;
        }
        if (r->part != NULL && selector_matches(r->part, &in->labels)) {
            roles[i] |= ROLE_PART;
        }
        const char *name = r->part != NULL ? selector_name(r->part) : NULL;
        bool named = name != NULL && strcmp(name, labels_get(&in->labels, "__name__")) == 0;
        in->part_found[i] = in->part_found[i] || named || (roles[i] & ROLE_PART) != 0;
        meant = meant || roles[i] != 0;
    }
    return meant;
}

/* A text seen for the first time gets its series when a rule means it. */
static uint32_t adopt(struct intake *in, const struct pending *p, int64_t zero_ms)
{
    uint32_t id = add_text(in, p->series, p->len, XXH64(p->series, p->len, 0));
    (void)parse_labels(in, p->series, p->len, 0, NULL);
    AUTO_FREE uint8_t *roles = xcalloc(in->rule_count, 1);
    if (!find_roles(in, roles)) {
        return id;
    }
    bool is_new = false;
    uint32_t series;
    if (series_add(in->store, &in->labels, &series, &is_new, NULL) < 0) {
        in->overflowed = true;
        return id;
    }
    set_roles(in, series, roles);
    in->texts[id].series = series;
    if (is_new && zero_ms != 0) {
        bool older = p->has_timestamp && p->at_ms <= zero_ms;
        (void)series_append(in->store, series, older ? p->at_ms - 1 : zero_ms, 0.0);
    }
    return id;
}

/* Appends one sample; returns what the counter grew by. */
static double apply(struct intake *in, uint32_t series, int64_t at_ms, double value)
{
    int64_t before_ms;
    double before;
    if (!isfinite(value)) {
        return 0.0;
    }
    bool known = series_last(in->store, series, &before_ms, &before);
    if (known && in->born_ms != 0 && at_ms > in->born_ms && in->born_ms > before_ms) {
        (void)series_append(in->store, series, in->born_ms, 0.0);
        before = 0.0;
    } else if (known && at_ms - before_ms > in->span_ms) {
        series_reset(in->store, series);
        known = false;
    }
    if (!series_append(in->store, series, at_ms, value) || !known) {
        return 0.0;
    }
    return value >= before ? value - before : value;
}

static void count(const struct intake *in, uint32_t series, double grown, struct intake_step *steps)
{
    const uint8_t *roles = in->roles + (size_t)series * in->rule_count;
    for (size_t i = 0; i < in->rule_count; i++) {
        if ((roles[i] & ROLE_TOTAL) != 0) {
            steps[i].total_found = true;
            steps[i].total += grown;
            steps[i].bad += in->rules[i].part_is_good ? grown : 0.0;
        }
        if ((roles[i] & ROLE_PART) != 0) {
            steps[i].bad += in->rules[i].part_is_good ? -grown : grown;
        }
    }
}

/* Marks what the last page had and this one has not, and takes this page's order. */
static void take_order(struct intake *in)
{
    for (size_t i = 0; i < in->order_count; i++) {
        const struct text *t = &in->texts[in->order[i]];
        if (t->seen != in->pages && t->series != none) {
            series_stale(in->store, t->series);
        }
    }
    if (in->pending_count > in->order_capacity) {
        in->order_capacity = in->pending_capacity;
        in->order = xrealloc(in->order, in->order_capacity, sizeof(*in->order));
    }
    in->order_count = in->pending_count;
    for (size_t i = 0; i < in->pending_count; i++) {
        in->order[i] = in->pending[i].text;
        in->texts[in->pending[i].text].order = (uint32_t)i;
    }
}

/* Second reading: the list into the series. */
static void apply_page(struct intake *in, int64_t wall_ms, struct intake_step *steps)
{
    int64_t zero_ms = in->born_ms > in->last_ms ? in->born_ms : in->last_ms;
    in->pages++;
    for (size_t i = 0; i < in->pending_count; i++) {
        struct pending *p = &in->pending[i];
        if (p->text == none) {
            p->text = find_text(in, p->series, p->len, XXH64(p->series, p->len, 0));
        }
        p->text = p->text != none ? p->text : adopt(in, p, zero_ms);
        in->texts[p->text].seen = in->pages;
    }
    take_order(in);
    for (size_t i = 0; i < in->pending_count; i++) {
        const struct pending *p = &in->pending[i];
        uint32_t series = in->texts[p->text].series;
        if (series != none) {
            count(in, series, apply(in, series, p->has_timestamp ? p->at_ms : wall_ms, p->value),
                  steps);
        }
    }
}

int intake_read(struct intake *in, int64_t wall_ms, const struct intake_page *page,
                struct intake_step *steps, int64_t *ret_from_ms, struct error *err)
{
    if (in->text_count > TEXTS_MAX || in->overflowed) {
        forget_texts(in);
        (void)series_prune(in->store, wall_ms - in->span_ms);
        in->overflowed = false;
    }
    int rc = read_page(in, page, err);
    if (rc < 0) {
        return rc;
    }
    memset(steps, 0, in->rule_count * sizeof(*steps));
    bool baseline = in->last_ms == 0 || wall_ms - in->last_ms > in->span_ms;
    if (baseline) {
        in->last_ms = 0;
    }
    apply_page(in, wall_ms, steps);
    for (size_t i = 0; i < in->rule_count; i++) {
        steps[i].part_found = in->part_found[i];
    }
    *ret_from_ms = in->born_ms > in->last_ms ? in->born_ms : in->last_ms;
    in->last_ms = wall_ms;
    in->born_ms = 0;
    return !baseline && *ret_from_ms < wall_ms;
}

void intake_new_life(struct intake *in, int64_t start_ms)
{
    if (in->last_ms == 0) {
        return;
    }
    if (start_ms > in->last_ms) {
        in->born_ms = start_ms;
        return;
    }
    in->last_ms = 0; /* found anew, not born before our eyes: the next page is a baseline */
    for (uint32_t id = 0; series_select(in->store, NULL, &id); id++) {
        series_reset(in->store, id);
    }
}

struct group {
    char key[160];
    double bad;
};

static void group_key(const struct labels *l, const char *const *by, size_t by_count, char *out,
                      size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < by_count && used < size; i++) {
        const char *value = labels_get(l, by[i]);
        if (*value != '\0') {
            int more =
                snprintf(out + used, size - used, "%s%s=%s", used > 0 ? " " : "", by[i], value);
            used += more > 0 ? (size_t)more : 0;
        }
    }
}

/* Adds to the group of `key`; one group too many is left out. */
static void add_to_group(struct group *groups, size_t *group_count, const char *key, double bad)
{
    size_t i = 0;
    while (i < *group_count && strcmp(groups[i].key, key) != 0) {
        i++;
    }
    if (i == GROUPS_MAX) {
        return;
    }
    if (i == *group_count) {
        (void)snprintf(groups[i].key, sizeof(groups[i].key), "%s", key);
        (*group_count)++;
    }
    groups[i].bad += bad;
}

static const struct group *top_group(const struct group *groups, size_t group_count)
{
    const struct group *top = NULL;
    for (size_t i = 0; i < group_count; i++) {
        if (groups[i].key[0] != '\0' && groups[i].bad > (top == NULL ? 0.0 : top->bad)) {
            top = &groups[i];
        }
    }
    return top;
}

/* How a series' growth counts among the bad events of a rule: 1, -1 or 0. */
static double bad_weight(const struct intake *in, uint32_t series, size_t rule)
{
    uint8_t role = in->roles[(size_t)series * in->rule_count + rule];
    bool good = in->rules[rule].part_is_good;
    double weight = good && (role & ROLE_TOTAL) != 0 ? 1.0 : 0.0;
    if ((role & ROLE_PART) != 0) {
        weight += good ? -1.0 : 1.0;
    }
    return weight;
}

double intake_breakdown(const struct intake *in, const struct intake_question *q, char *out,
                        size_t size)
{
    out[0] = '\0';
    if (q->by_count == 0) {
        return 0.0;
    }
    AUTO_FREE struct group *groups = xcalloc(GROUPS_MAX, sizeof(*groups));
    size_t group_count = 0;
    double sum = 0.0;
    for (uint32_t id = 0; series_select(in->store, NULL, &id); id++) {
        double weight = bad_weight(in, id, q->rule);
        double grown = weight == 0.0 ? 0.0 : series_increase(in->store, id, q->from_ms, q->to_ms);
        if (grown == 0.0) {
            continue;
        }
        char key[sizeof(groups->key)];
        group_key(series_labels(in->store, id), q->by, q->by_count, key, sizeof(key));
        add_to_group(groups, &group_count, key, weight * grown);
        sum += weight * grown;
    }
    const struct group *top = top_group(groups, group_count);
    if (top == NULL || sum <= 0.0) {
        return 0.0;
    }
    (void)snprintf(out, size, "%s", top->key);
    return fmin(top->bad / sum, 1.0);
}

int64_t intake_last_ms(const struct intake *in)
{
    return in->last_ms;
}

bool intake_overflowed(const struct intake *in)
{
    return in->overflowed;
}

size_t intake_series_count(const struct intake *in)
{
    return series_count(in->store);
}

size_t intake_memory_bytes(const struct intake *in)
{
    return sizeof(*in) + series_memory_bytes(in->store) + in->text_capacity * sizeof(*in->texts) +
           in->text_bytes + in->table_size * sizeof(*in->table) + in->role_series * in->rule_count +
           in->pending_capacity * sizeof(*in->pending) + in->order_capacity * sizeof(*in->order) +
           in->scratch_size;
}
