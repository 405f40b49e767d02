/* SPDX-License-Identifier: Apache-2.0 */
/* slo.c: the `slo:` block of a rule, its checks, and the budget of false captures. */
#include "rules/slo.h"

#include "rules/selector.h"

#include <errno.h>

static int check_objective(const char *text, struct error *err)
{
    char *rest = NULL;
    double value = strtod(text, &rest);
    if (rest == text || (*rest != '\0' && strcmp(rest, "%") != 0)) {
        (void)error_set(err, -EINVAL, "objective '%.40s' is not a number", text);
        return error_remedy(err, "write a ratio below 1, such as 0.999");
    }
    if (value > 0.0 && value < 1.0 && *rest == '\0') {
        return 0;
    }
    (void)error_set(err, -EINVAL, "objective '%.40s' is not between 0 and 1", text);
    if (value >= 1.0 && value < 100.0) {
        return error_remedy(err, "write %.12g", value / 100.0);
    }
    if (value > 0.0 && value < 1.0) {
        return error_remedy(err, "write the ratio %.12g", value / 100.0);
    }
    return error_remedy(err, "an objective of %.12g leaves nothing to decide: write 0.999",
                        value / (*rest == '%'     ? 100.0
                                 : value >= 100.0 ? 100.0
                                                  : 1.0));
}

int slo_parse_budget(const char *text, double *ret_per_ms, struct error *err)
{
    char *rest = NULL;
    double count = strtod(text, &rest);
    int64_t duration_ms = 0;
    const char *remedy = "write a number of captures and a duration, such as 1/30d";
    if (rest == text || *rest != '/' || !(count > 0.0 && count <= 1e6)) {
        (void)error_set(err, -EINVAL, "budget '%.40s' is not a number per duration", text);
        return error_remedy(err, "%s", remedy);
    }
    int rc = schema_parse_duration(rest + 1, &duration_ms, err);
    if (rc < 0) {
        return error_remedy(err, "%s", remedy);
    }
    if (duration_ms < 60000 || count / (double)duration_ms > 1.0 / 60000.0) {
        (void)error_set(err, -EINVAL, "budget '%.40s' is more than one a minute", text);
        return error_remedy(err, "%s", remedy);
    }
    *ret_per_ms = count / (double)duration_ms;
    return 0;
}

static int check_budget(const char *text, struct error *err)
{
    double per_ms;
    return slo_parse_budget(text, &per_ms, err);
}

#define FIELD(name) offsetof(struct slo_options, name)

static const struct schema_option options[] = {
    {.name = "objective",
     .type = SCHEMA_DOUBLE,
     .offset = FIELD(objective),
     .flags = SCHEMA_REQUIRED,
     .help = "the ratio of good events that is promised, such as 0.999",
     .check = check_objective},
    {.name = "good",
     .type = SCHEMA_STRING,
     .offset = FIELD(good),
     .help = "selector of the counters of good events; give this or `bad`",
     .check = selector_check},
    {.name = "bad",
     .type = SCHEMA_STRING,
     .offset = FIELD(bad),
     .help = "selector of the counters of failed events; give this or `good`",
     .check = selector_check},
    {.name = "total",
     .type = SCHEMA_STRING,
     .offset = FIELD(total),
     .flags = SCHEMA_REQUIRED,
     .help = "selector of the counters of all events",
     .check = selector_check},
    {.name = "look_back",
     .type = SCHEMA_DURATION,
     .offset = FIELD(look_back_ms),
     .fallback = "30s",
     .min = 2000,
     .max = 3600000,
     .unit = "ms",
     .help = "the longest window of the fast tier; shorter dips count too"},
    {.name = "by",
     .type = SCHEMA_STRINGS,
     .offset = FIELD(by),
     .fallback = "",
     .help = "labels that tell who fails, named in the headline"},
    {.name = "false_captures",
     .type = SCHEMA_STRING,
     .offset = FIELD(false_captures),
     .fallback = "1/30d",
     .help = "how often a service that sits exactly at its objective may be captured",
     .check = check_budget},
    {.name = "period",
     .type = SCHEMA_DURATION,
     .offset = FIELD(period_ms),
     .fallback = "30d",
     .min = 3600000,
     .max = 366.0 * 86400000.0,
     .unit = "ms",
     .help = "the time over which the objective is promised"},
    {.name = NULL},
};

static const struct schema_hint hints[] = {
    {"window", "the SLO's own time is `period` (30d); the longest window watched for a dip is "
               "`look_back` (30s)"},
    {"target", "the SLO's number is `objective`; the rule names its target one level up"},
    {"slo", "write the number as `objective: 0.999`"},
    {"threshold", "write `objective`: what fires follows from it and `false_captures`"},
    {"for", "`for` stands beside `slo`, one level up"},
    {"errors", "write `bad`"},
    {"error", "write `bad`"},
    {"success", "write `good`"},
    {NULL, NULL},
};

const struct schema_table slo_table = {
    .name = "slo",
    .help = "a promised ratio of good events and the counters that tell it",
    .size = sizeof(struct slo_options),
    .options = options,
    .hints = hints,
};
