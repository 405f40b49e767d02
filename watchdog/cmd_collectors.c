/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `incidentctl collectors [NAME]`: what there is, from the collectors' own tables.
 */
#include "watchdog/cmd.h"

#include "base/limits.h"
#include "watchdog/config.h"

static const char *cost_text(enum collector_cost cost)
{
    static const char *const names[] = {"cheap", "noticeable", "pausing"};
    return (unsigned)cost < ARRAY_LEN(names) ? names[cost] : "unknown";
}

static void add_runtimes(const struct collector *kind, struct buf *out)
{
    static const char *const names[] = {"unknown", "go", "jvm", "node", "python", "native"};
    unsigned all = (1U << ARRAY_LEN(names)) - 1;
    if (kind->runtimes == 0) {
        (void)buf_add_text(out, "only when a rule lists it");
        return;
    }
    if ((kind->runtimes & all) == all) {
        (void)buf_add_text(out, "on every runtime");
        return;
    }
    size_t count = 0;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if ((kind->runtimes & (1U << i)) != 0) {
            (void)buf_addf(out, "%s%s", count++ == 0 ? "on " : ", ", names[i]);
        }
    }
}

static void add_phases(const struct collector *kind, struct buf *out)
{
    size_t count = 0;
    for (unsigned i = 0; i < COLLECTOR_PHASES; i++) {
        if ((kind->phases & (1U << i)) != 0) {
            (void)buf_addf(out, "%s%s", count++ == 0 ? "" : ", ",
                           collector_phase_name((enum collector_phase)i));
        }
    }
}

static void list_all(struct buf *out)
{
    (void)buf_addf(out, "%-10s %-11s %s\n", "NAME", "COST", "WHAT");
    for (size_t i = 0; collector_at(i) != NULL; i++) {
        const struct collector *kind = collector_at(i);
        (void)buf_addf(out, "%-10s %-11s %s\n", kind->name, cost_text(kind->cost),
                       kind->summary == NULL ? "" : kind->summary);
    }
    (void)buf_add_text(out, "\n'incidentctl collectors NAME' lists the options of one.\n");
}

static void describe(const struct collector *kind, struct buf *out)
{
    char deadline[64];
    (void)buf_addf(out, "# %s\n\n%s\n\n", kind->name, kind->summary == NULL ? "" : kind->summary);
    (void)buf_addf(out, "- cost: %s%s\n- phases: ", cost_text(kind->cost),
                   kind->cost == COLLECTOR_PAUSING
                       ? " (runs only where a rule lists it and `allow_pause` is set)"
                       : "");
    add_phases(kind, out);
    (void)buf_add_text(out, "\n- `capture: auto` picks it: ");
    add_runtimes(kind, out);
    (void)buf_addf(out, "\n- deadline of one phase: %s\n",
                   schema_duration_text(kind->deadline_ms, deadline, sizeof(deadline)));
    if (kind->options != NULL) {
        (void)buf_add_text(out, "\nIts own options:\n\n");
        schema_reference(kind->options, out);
    }
    (void)buf_add_text(out, "\nThe options of every collector:\n\n");
    schema_reference(&config_collector_table, out);
}

/* Prints how to call it: on stdout and with status 0 where that was asked for. */
static int usage(int argc, char **argv)
{
    bool asked = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    (void)fputs("usage: incidentctl collectors [NAME]\n\n"
                "Lists what can be collected; with NAME, the options of one kind.\n",
                asked ? stdout : stderr);
    return asked ? 0 : 2;
}

int cmd_collectors(int argc, char **argv)
{
    AUTO_BUF struct buf out = BUF_INIT(LIMIT_RESPONSE_BYTES);
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        return usage(argc, argv);
    }
    if (argc == 1) {
        list_all(&out);
        (void)fputs(buf_text(&out), stdout);
        return 0;
    }
    const struct collector *kind = collector_find(argv[1]);
    if (kind == NULL) {
        const char *near = schema_nearest(argv[1], config_collector_table.variant_names());
        (void)fprintf(stderr, "incidentctl collectors: there is no kind '%s'%s%s%s\n", argv[1],
                      near == NULL ? "; 'incidentctl collectors' lists them" : ", did you mean '",
                      near == NULL ? "" : near, near == NULL ? "" : "'?");
        return 1;
    }
    describe(kind, &out);
    (void)fputs(buf_text(&out), stdout);
    return 0;
}
