/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: what the walk accepts, how it words what it refuses, and the flat form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/schema.h"

#include <errno.h>

struct spice {
    int64_t heat;
};

struct inner {
    bool present;
    double share;
    const char *required;
};

struct dish {
    const char *name;
    const char *type;
    int64_t pause_ms;
    int64_t size;
    double free;
    int level;
    bool on;
    struct schema_strings tags;
    struct inner inner;
    const char *version;
    const char *version_env;
    void *options;
};

struct menu {
    struct schema_list dishes;
    struct schema_list notes;
};

struct note {
    const char *name;
};

static int no_digits(const char *text, struct error *err)
{
    size_t at = strcspn(text, "0123456789");
    if (text[at] == '\0') {
        return 0;
    }
    (void)error_set(err, -EINVAL, "has a digit");
    (void)error_remedy(err, "leave it away");
    return error_at(err, "", 0, (unsigned)at + 1);
}

static const char *const levels[] = {"debug", "info", "warn", NULL};

static const struct schema_option spice_options[] = {
    {.name = "heat",
     .type = SCHEMA_INT,
     .offset = offsetof(struct spice, heat),
     .fallback = "3",
     .min = 1,
     .max = 9,
     .help = "how hot"},
    {.name = NULL},
};
static const struct schema_table spice_table = {
    .name = "spice", .size = sizeof(struct spice), .options = spice_options};
static const struct schema_option no_options[] = {{.name = NULL}};
static const struct schema_table plain_table = {.name = "plain", .options = no_options};

static const struct schema_table *find_variant(const char *kind)
{
    return strcmp(kind, "spicy") == 0   ? &spice_table
           : strcmp(kind, "plain") == 0 ? &plain_table
                                        : NULL;
}

static const char *const *variant_names(void)
{
    static const char *const names[] = {"spicy", "plain", NULL};
    return names;
}

static const struct schema_option inner_options[] = {
    {.name = "share",
     .type = SCHEMA_DOUBLE,
     .offset = offsetof(struct inner, share),
     .fallback = "0.5",
     .min = 0,
     .max = 1},
    {.name = "required",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct inner, required),
     .flags = SCHEMA_REQUIRED,
     .check = no_digits,
     .help = "what it needs"},
    {.name = NULL},
};
static const struct schema_table inner_table = {
    .name = "inner", .size = sizeof(struct inner), .options = inner_options};

static const struct schema_option dish_options[] = {
    {.name = "name",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct dish, name),
     .flags = SCHEMA_KEY},
    {.name = "type",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct dish, type),
     .flags = SCHEMA_KIND},
    {.name = "pause",
     .type = SCHEMA_DURATION,
     .offset = offsetof(struct dish, pause_ms),
     .fallback = "1m30s",
     .min = 100,
     .max = 3600000},
    {.name = "size",
     .type = SCHEMA_SIZE,
     .offset = offsetof(struct dish, size),
     .fallback = "64KiB"},
    {.name = "free", .type = SCHEMA_PERCENT, .offset = offsetof(struct dish, free)},
    {.name = "level",
     .type = SCHEMA_ENUM,
     .offset = offsetof(struct dish, level),
     .fallback = "info",
     .choices = levels},
    {.name = "on", .type = SCHEMA_BOOL, .offset = offsetof(struct dish, on)},
    {.name = "tags",
     .type = SCHEMA_STRINGS,
     .offset = offsetof(struct dish, tags),
     .fallback = "auto"},
    {.name = "inner",
     .type = SCHEMA_STRUCT,
     .offset = offsetof(struct dish, inner),
     .flags = SCHEMA_PRESENT,
     .of = &inner_table},
    {.name = "version",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct dish, version),
     .flags = SCHEMA_ENV},
    {.name = "version_env",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct dish, version_env),
     .flags = SCHEMA_HIDDEN},
    {.name = NULL},
};
static const struct schema_hint dish_hints[] = {{"window", "write 'pause'"}, {NULL, NULL}};
static const struct schema_table dish_table = {
    .name = "dish",
    .size = sizeof(struct dish),
    .options = dish_options,
    .hints = dish_hints,
    .variant = find_variant,
    .variant_offset = offsetof(struct dish, options),
    .variant_names = variant_names,
};

static const struct schema_option note_options[] = {
    {.name = "name",
     .type = SCHEMA_STRING,
     .offset = offsetof(struct note, name),
     .flags = SCHEMA_KEY | SCHEMA_REQUIRED},
    {.name = NULL},
};
static const struct schema_table note_table = {
    .name = "note", .size = sizeof(struct note), .options = note_options};

static const struct schema_option menu_options[] = {
    {.name = "dishes",
     .type = SCHEMA_MAP,
     .offset = offsetof(struct menu, dishes),
     .of = &dish_table},
    {.name = "notes",
     .type = SCHEMA_LIST,
     .offset = offsetof(struct menu, notes),
     .of = &note_table},
    {.name = NULL},
};
static const struct schema_table menu_table = {
    .name = "menu", .size = sizeof(struct menu), .options = menu_options};

struct fixture {
    struct schema_doc *doc;
    struct arena arena;
    struct menu menu;
    int rc;
};

static struct fixture load(const char *text)
{
    struct fixture f = {.doc = schema_doc_new("menu.yaml", text, strlen(text)),
                        .arena = ARENA_INIT(1 << 20)};
    f.rc = schema_load(f.doc, &menu_table, &f.arena, &f.menu);
    return f;
}

static void release(struct fixture *f)
{
    schema_doc_free(f->doc);
    arena_release(&f->arena);
}

/* Expects exactly the problems of `expected`, as "line:column: message [hint]" lines. */
static void expect(const char *yaml, const char *expected)
{
    struct fixture f = load(yaml);
    struct buf all = BUF_INIT(1 << 16);
    for (size_t i = 0; schema_problem(f.doc, i) != NULL; i++) {
        const struct diagnostic *d = schema_problem(f.doc, i);
        (void)buf_addf(&all, "%u:%u: %s [%s]\n", d->line, d->column, d->message, d->hint);
    }
    assert_string_equal(buf_text(&all), expected);
    assert_int_equal(f.rc, *expected == '\0' ? 0 : -EINVAL);
    buf_release(&all);
    release(&f);
}

static const struct dish *dish_at(const struct fixture *f, size_t i)
{
    assert_true(i < f->menu.dishes.count);
    return (const struct dish *)f->menu.dishes.items + i;
}

static const char full_menu[] = "dishes:\n"
                                "  spicy: {heat: 7, pause: 2s, size: 2GiB, free: 20%, on: true}\n"
                                "  second:\n"
                                "    type: spicy\n"
                                "    level: warn\n"
                                "    tags: [a, \"b c\"]\n"
                                "    inner: {required: x}\n"
                                "    version: {env: V}\n"
                                "  plain:\n"
                                "notes:\n"
                                "  - name: one\n"
                                "  - {name: two}\n";

static void check_full_menu(const struct fixture *f)
{
    assert_int_equal(f->menu.dishes.count, 3);
    assert_int_equal(f->menu.notes.count, 2);
    const struct dish *d = dish_at(f, 0);
    assert_string_equal(d->name, "spicy");
    assert_string_equal(d->type, "spicy");
    assert_int_equal(d->pause_ms, 2000);
    assert_int_equal(d->size, INT64_C(2) << 30);
    assert_true(d->free > 0.199 && d->free < 0.201);
    assert_true(d->on);
    assert_int_equal(d->level, 1);
    assert_int_equal(d->tags.count, 1);
    assert_string_equal(d->tags.items[0], "auto");
    assert_int_equal(((const struct spice *)d->options)->heat, 7);
    assert_false(d->inner.present);
    d = dish_at(f, 1);
    assert_string_equal(d->name, "second");
    assert_string_equal(d->tags.items[1], "b c");
    assert_true(d->inner.present);
    assert_string_equal(d->inner.required, "x");
    assert_null(d->version);
    assert_string_equal(d->version_env, "V");
    assert_int_equal(((const struct spice *)d->options)->heat, 3);
    assert_int_equal(d->pause_ms, 90000);
    assert_string_equal(((const struct note *)f->menu.notes.items)[1].name, "two");
}

static void loads_every_type(void **state)
{
    (void)state;
    struct fixture f = load(full_menu);
    assert_int_equal(f.rc, 0);
    check_full_menu(&f);
    release(&f);
}

static void decodes_what_it_encoded(void **state)
{
    (void)state;
    struct fixture f = load(full_menu);
    struct buf bytes = BUF_INIT(1 << 16);
    struct error err = ERROR_INIT;
    struct fixture again = {.arena = ARENA_INIT(1 << 20)};
    assert_int_equal(schema_encode(&menu_table, &f.menu, &bytes, &err), 0);
    assert_int_equal(
        schema_decode(&menu_table, bytes.data, bytes.len, &again.arena, &again.menu, &err), 0);
    check_full_menu(&again);
    for (size_t len = 0; len < bytes.len; len++) { /* each cut is seen */
        assert_true(schema_decode(&menu_table, bytes.data, len, &again.arena, &again.menu, &err) <
                    0);
    }
    (void)buf_add_char(&bytes, 'x');
    assert_int_equal(
        schema_decode(&menu_table, bytes.data, bytes.len, &again.arena, &again.menu, &err),
        -EPROTO);
    arena_release(&again.arena);
    buf_release(&bytes);
    release(&f);
}

static void tells_all_problems_at_once(void **state)
{
    (void)state;
    expect("dishes:\n"
           "  plain:\n"
           "    pasue: 1s\n"
           "    pause: fast\n"
           "    size: 2G\n"
           "    free: 30\n"
           "    level: inof\n"
           "    on: yes\n"
           "    window: 30s\n"
           "    inner: {share: 99.9, requird: x}\n"
           "    on: true\n"
           "nots: []\n",
           "3:5: unknown key 'pasue' in dish 'plain' [did you mean 'pause'?]\n"
           "4:12: 'pause' must be a duration such as '500ms', '30s', '1h30m' or '14d', not 'fast' "
           "[]\n"
           "5:11: 'size' must be a size such as '64KiB', '10MB' or '2GiB', not '2G' [write '2GiB' "
           "(1024) or '2GB' (1000)]\n"
           "6:11: 'free' must be between 0% and 100%, not '30' [write '30%']\n"
           "7:12: 'level' must be one of debug, info, warn, not 'inof' [did you mean 'info'?]\n"
           "8:9: 'on' must be true or false, not 'yes' [write 'true']\n"
           "9:5: unknown key 'window' in dish 'plain' [write 'pause']\n"
           "10:20: 'share' is 99.9, above its maximum of 1 [it is a fraction, not per cent: write "
           "0.999]\n"
           "10:26: unknown key 'requird' in 'inner' of dish 'plain' [did you mean 'required'?]\n"
           "11:5: duplicate key 'on' in dish 'plain' [the first is in line 8]\n"
           "12:1: unknown key 'nots' in the file [did you mean 'notes'?]\n");
}

static void points_into_the_value(void **state)
{
    (void)state;
    expect("dishes:\n  plain: {inner: {required: 'ab1'}}\n",
           "2:32: 'required': has a digit [leave it away]\n");
}

static void tells_wrong_shapes(void **state)
{
    (void)state;
    expect(
        "dishes: [a]\nnotes: {a: b}\n",
        "1:9: 'dishes' must be a mapping, not a list [write 'name: {...}' for each entry instead "
        "of '- ']\n"
        "2:8: 'notes' must be a list, not a mapping [begin each entry with '- ']\n");
    expect("dishes:\n  plain: {pause: , tags: {a: b}, inner: 3}\nnotes: [{}, x]\n",
           "2:11: 'pause' is empty; it must be a duration such as '500ms', '30s', '1h30m' or '14d' "
           "[give it a value or remove the key]\n"
           "2:26: 'tags' must be a text or a list of texts, not a mapping []\n"
           "2:41: 'inner' must be a mapping, not a text []\n"
           "3:9: 'name' is missing in this note ['name': a text]\n"
           "3:13: this note must be a mapping, not a text []\n");
    expect("- a\n", "1:1: the file must be a mapping, not a list []\n");
}

static void tells_where_a_key_belongs(void **state)
{
    (void)state;
    expect("dishes:\n"
           "  plain:\n"
           "    share: 1\n"
           "    inner:\n"
           "      required: x\n"
           "      level: info\n"
           "    heat: 3\n"
           "    name: x\n",
           "3:5: unknown key 'share' in dish 'plain' ['share' belongs under 'inner:']\n"
           "6:7: unknown key 'level' in 'inner' of dish 'plain' ['level' belongs to dish 'plain': "
           "check its indentation]\n"
           "7:5: unknown key 'heat' in dish 'plain' [the keys here are type, pause, size, free, "
           "level, on, tags, inner, version]\n"
           "8:5: the name of a dish is its key, 'plain' [remove this line]\n");
}

static void tells_unknown_kinds(void **state)
{
    (void)state;
    expect("dishes:\n  spciy: {heat: 3}\n  other: {type: sour}\n  third: {puase: 1s}\n",
           "2:3: there is no kind of dish called 'spciy' [did you mean 'spicy'?]\n"
           "3:17: there is no kind of dish called 'sour' ['type' is one of spicy, plain]\n"
           "4:3: there is no kind of dish called 'third' [say what it is: 'type' is one of spicy, "
           "plain]\n"
           "4:11: unknown key 'puase' in dish 'third' [did you mean 'pause'?]\n");
}

static void refuses_numbers_without_unit(void **state)
{
    (void)state;
    expect(
        "dishes: {plain: {pause: 30}}",
        "1:25: 'pause' has no unit: '30' [write '30s' for seconds or '30ms' for milliseconds]\n");
    expect("dishes: {plain: {pause: 1.5s}}",
           "1:25: 'pause' must be a duration such as '500ms', '30s', '1h30m' or '14d', not '1.5s' "
           "[write '1s500ms']\n");
    expect("dishes: {plain: {pause: 50ms}}",
           "1:25: 'pause' is 50ms, below its minimum of 100ms []\n");
    expect("dishes: {plain: {pause: 2h}}", "1:25: 'pause' is 2h, above its maximum of 1h []\n");
}

static void explains_syntax(void **state)
{
    (void)state;
    expect("dishes:\n\tplain: x\n",
           "2:1: syntax: found character that cannot start any token, while scanning for the next "
           "token [a tab cannot indent in YAML: use blanks]\n");
    expect(
        "dishes: {plain: {version: a{b}}}\nx: {\n",
        "1:28: syntax: did not find expected ',' or '}', while parsing a flow mapping [inside { } "
        "a value with braces, commas or quotes needs quotes around it: {total: "
        "'requests_total{code=\"200\"}'}]\n");
    expect("a: b: c\n", "1:5: syntax: mapping values are not allowed in this context [a value that "
                        "contains ': ' needs quotes; otherwise the indentation is off]\n");
    expect("a: *b\n", "1:4: an alias to an anchor that is not defined above [define it before by "
                      "'&name', or put a text that begins with '*' in quotes]\n");
    expect("a: 1\n---\nb: 2\n",
           "2:1: a second document begins here [put everything into the first document]\n");
    expect(
        "dishes: {plain: {version: !x 1}}\n",
        "1:27: tags have no meaning here [leave the tag away, or put a text that begins with '!' "
        "in quotes]\n");
    expect("a: \"\\0\"\n", "1:4: a text with a NUL character []\n");
}

static void shares_aliases_and_refuses_cycles(void **state)
{
    (void)state;
    struct fixture f =
        load("dishes:\n  plain: &p {pause: 5s}\n  other: {type: plain, tags: &t [x]}\n"
             "  third: {type: plain, tags: *t}\n");
    assert_int_equal(f.rc, 0);
    assert_string_equal(dish_at(&f, 2)->tags.items[0], "x");
    release(&f);
    expect("dishes: &d {plain: *d}\n", "1:20: an alias to the value it stands in []\n");
    expect(
        "dishes:\n  plain: {<<: {on: true}}\n",
        "2:11: unknown key '<<' in dish 'plain' [merge keys are not supported: repeat the keys, or "
        "share a whole value by an alias ('slo: *shared')]\n");
}

static void bounds_hostile_files(void **state)
{
    (void)state;
    struct buf text = BUF_INIT(LIMIT_CONFIG_BYTES + 10);
    for (int i = 0; i < 100000; i++) {
        (void)buf_add_char(&text, '[');
    }
    expect(buf_text(&text), "1:65: nested too deeply: more than 64 levels []\n");
    while (buf_add_text(&text, "aaaaaaaaa\n") == 0) {
    }
    expect(buf_text(&text), "1:1: the file has more than 1048576 bytes []\n");
    buf_clear(&text);
    for (int i = 0; i < 1000; i++) {
        (void)buf_addf(&text, "k%d: x\n", i);
    }
    struct fixture f = load(buf_text(&text));
    assert_non_null(schema_problem(f.doc, LIMIT_CONFIG_DIAGNOSTICS - 1));
    assert_null(schema_problem(f.doc, LIMIT_CONFIG_DIAGNOSTICS));
    release(&f);
    buf_release(&text);
}

static void renders_like_a_compiler(void **state)
{
    (void)state;
    struct fixture f = load("dishes:\n  plain:\n\n    pause: slow   # \xc3\xa9\n");
    struct buf out = BUF_INIT(4096);
    schema_complain(f.doc, &dish_at(&f, 0)->pause_ms, true, "a hint", "'%s' is odd", "pause");
    schema_complain(f.doc, &dish_at(&f, 0)->size, true, NULL, "from a default");
    schema_render(f.doc, &out);
    assert_string_equal(buf_text(&out),
                        "menu.yaml:2:3: warning: from a default\n"
                        "    2 |   plain:\n"
                        "      |   ^~~~~\n"
                        "menu.yaml:4:12: error: 'pause' must be a duration such as '500ms', '30s', "
                        "'1h30m' or '14d', not 'slow'\n"
                        "    4 |     pause: slow   # \xc3\xa9\n"
                        "      |            ^~~~\n"
                        "menu.yaml:4:12: warning: 'pause' is odd\n"
                        "    4 |     pause: slow   # \xc3\xa9\n"
                        "      |            ^~~~\n"
                        "      = hint: a hint\n");
    assert_int_equal(schema_problem_count(f.doc, false), 1);
    assert_int_equal(schema_problem_count(f.doc, true), 2);
    buf_release(&out);
    release(&f);
}

static void reads_and_writes_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
        const char *again;
    } cases[] = {{"0", 0, "0s"},
                 {"500ms", 500, "500ms"},
                 {"1h30m", 5400000, "1h30m"},
                 {"90s", 90000, "1m30s"},
                 {"30d", INT64_C(2592000000), "30d"},
                 {"2w", INT64_C(1209600000), "14d"}};
    static const char *const bad[] = {"",
                                      "s",
                                      "1",
                                      "1x",
                                      "30s1m",
                                      "1s1s",
                                      "-1s",
                                      "1 s",
                                      "99999999999999999999s",
                                      "9999999999999999w"};
    char text[64];
    int64_t ms = 0;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(schema_parse_duration(cases[i].text, &ms, NULL), 0);
        assert_int_equal(ms, cases[i].ms);
        assert_string_equal(schema_duration_text(ms, text, sizeof(text)), cases[i].again);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = ERROR_INIT;
        assert_true(schema_parse_duration(bad[i], &ms, &err) < 0);
        assert_true(err.message[0] != '\0');
    }
}

static void reads_sizes(void **state)
{
    (void)state;
    int64_t bytes = 0;
    assert_int_equal(schema_parse_size("2GiB", &bytes, NULL), 0);
    assert_int_equal(bytes, INT64_C(2) << 30);
    assert_int_equal(schema_parse_size("10 MB", &bytes, NULL), 0);
    assert_int_equal(bytes, 10000000);
    assert_int_equal(schema_parse_size("512", &bytes, NULL), 0);
    assert_int_equal(bytes, 512);
    assert_int_equal(schema_parse_size("9999999TiB", &bytes, NULL), -ERANGE);
    assert_int_equal(schema_parse_size("GiB", &bytes, NULL), -EINVAL);
    assert_int_equal(schema_parse_size("-1", &bytes, NULL), -EINVAL);
}

static void finds_the_nearest_name(void **state)
{
    (void)state;
    static const char *const names[] = {"keep_firing_for", "cooldown", "for", "slo", NULL};
    assert_string_equal(schema_nearest("keepFiringFor", names), "keep_firing_for");
    assert_string_equal(schema_nearest("cooldwon", names), "cooldown");
    assert_string_equal(schema_nearest("fro", names), "for");
    assert_null(schema_nearest("xyz", names));
    assert_null(schema_nearest("", names));
}

static void writes_the_reference(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 16);
    schema_reference(&menu_table, &out);
    assert_non_null(strstr(buf_text(&out),
                           "| `dishes.NAME.pause` | duration | `1m30s` | 100ms to 1h "
                           "|  |\n"));
    assert_non_null(strstr(buf_text(&out), "| `notes[].name` | text | required |  |  |\n"));
    assert_null(strstr(buf_text(&out), "version_env"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_every_type),
        cmocka_unit_test(decodes_what_it_encoded),
        cmocka_unit_test(tells_all_problems_at_once),
        cmocka_unit_test(points_into_the_value),
        cmocka_unit_test(tells_wrong_shapes),
        cmocka_unit_test(tells_where_a_key_belongs),
        cmocka_unit_test(tells_unknown_kinds),
        cmocka_unit_test(refuses_numbers_without_unit),
        cmocka_unit_test(explains_syntax),
        cmocka_unit_test(shares_aliases_and_refuses_cycles),
        cmocka_unit_test(bounds_hostile_files),
        cmocka_unit_test(renders_like_a_compiler),
        cmocka_unit_test(reads_and_writes_durations),
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(finds_the_nearest_name),
        cmocka_unit_test(writes_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
