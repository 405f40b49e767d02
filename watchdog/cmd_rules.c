/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/client.h"
#include "watchdog/cmd.h"

static const struct verb verb = {
    .name = "rules",
    .usage = "[--json]",
    .summary = "Shows each rule's live state: last counts, what would fire, what is missing",
    .example = "incidentctl rules",
    .bare = true,
};

/* A target that is not well explains what its rules do not know. */
static void print_target(const cJSON *target)
{
    if (client_true(target, "up") && client_text(target, "error")[0] == '\0') {
        return;
    }
    (void)printf("target %s: %s%s", client_text(target, "name"),
                 client_true(target, "up") ? "up" : "DOWN",
                 client_number(target, "pid") > 0 ? "" : ", no process found");
    if (client_text(target, "error")[0] != '\0') {
        (void)printf(": ");
        client_put(client_text(target, "error"));
    }
    (void)puts("");
}

/* The status of a rule may stand in its own object or beside its name. */
static void print_rule(const cJSON *rule)
{
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(rule, "status");
    status = cJSON_IsObject(status) ? status : rule;
    const char *missing = client_text(status, "missing");
    const char *summary = client_text(status, "summary");
    (void)printf("%s / %s: %s%s%s\n", client_text(rule, "target"), client_text(rule, "rule"),
                 client_text(status, "state"), client_true(status, "unknown") ? ", unknown" : "",
                 client_true(rule, "held") ? ", held (startup grace or draining)" : "");
    if (missing[0] != '\0') {
        (void)printf("    missing: ");
        client_put(missing);
        (void)puts("");
    } else if (client_true(status, "unknown")) {
        (void)puts("    now: nothing is known yet");
    } else if (summary[0] != '\0') {
        (void)printf("    now: ");
        client_put(summary);
        (void)puts("");
    }
    if (client_number(rule, "cooldown_left_ms") > 0) {
        char left[32];
        (void)printf(
            "    cooldown: %s left\n",
            client_ago((int64_t)client_number(rule, "cooldown_left_ms"), left, sizeof(left)));
    }
    (void)printf("    captures: %s; the limits allow %.0f more this hour, %.0f today\n",
                 client_text(rule, "capture"), client_number(rule, "hour_left"),
                 client_number(rule, "day_left"));
}

int cmd_rules(int argc, char **argv)
{
    struct verb_common common;
    struct client c;
    struct error err = ERROR_INIT;
    cJSON *answer = NULL;
    cJSON *targets = NULL;
    int end = verb_parse(argc, argv, &verb, NULL, &common);
    if (end >= 0) {
        return end;
    }
    int rc = client_open(&common, &c, &err);
    if (rc == 0) {
        rc = client_call(&c, "GET", "/api/v1/rules", NULL, &answer, &err);
        rc = rc < 0 || common.json
                 ? rc
                 : client_call(&c, "GET", "/api/v1/targets", NULL, &targets, &err);
        client_close(&c);
    }
    if (rc < 0) {
        cJSON_Delete(answer);
        return client_fail(verb.name, &err);
    }
    if (common.json) {
        client_print(answer);
    } else {
        const cJSON *item = NULL;
        cJSON_ArrayForEach(item, client_array(targets, "targets"))
        {
            print_target(item);
        }
        cJSON_ArrayForEach(item, client_array(answer, "rules"))
        {
            print_rule(item);
        }
    }
    cJSON_Delete(targets);
    cJSON_Delete(answer);
    return VERB_DONE;
}
