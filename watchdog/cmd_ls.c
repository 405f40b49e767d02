/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/client.h"
#include "watchdog/cmd.h"

static const struct verb verb = {
    .name = "ls",
    .usage = "[--json]",
    .summary = "Lists the captures, newest first",
    .example = "incidentctl ls --server http://checkout-7c9f:9911 --token-file ~/.incidentd-token",
    .bare = true,
};

/* The id's last part, enough to name it where it is unique: everything from the time on is unique,
 * but a prefix is what the API takes; so the whole id is printed last, where it cannot be cut. */
static void print_row(const cJSON *c)
{
    char size[32] = "-";
    char when[32];
    (void)snprintf(when, sizeof(when), "%.19s", client_text(c, "trigger"));
    if (client_number(c, "size_bytes") > 0) {
        (void)client_size((int64_t)client_number(c, "size_bytes"), size, sizeof(size));
    }
    char state[32];
    (void)snprintf(state, sizeof(state), "%.20s%s", client_text(c, "state"),
                   client_true(c, "pinned") ? "*" : "");
    (void)printf("%-19s  %-16s %-16s %-5s %-10s %9s  %s\n    ", when, client_text(c, "target"),
                 client_text(c, "rule"), client_text(c, "grade"), state, size,
                 client_text(c, "id"));
    client_put(client_text(c, "summary"));
    (void)puts("");
}

int cmd_ls(int argc, char **argv)
{
    struct verb_common common;
    struct client c;
    struct error err = ERROR_INIT;
    cJSON *answer = NULL;
    int end = verb_parse(argc, argv, &verb, NULL, &common);
    if (end >= 0) {
        return end;
    }
    int rc = client_open(&common, &c, &err);
    if (rc == 0) {
        rc = client_call(&c, "GET", "/api/v1/captures", NULL, &answer, &err);
        client_close(&c);
    }
    if (rc < 0) {
        return client_fail(verb.name, &err);
    }
    const cJSON *captures = client_array(answer, "captures");
    if (common.json) {
        client_print(answer);
    } else if (cJSON_GetArraySize(captures) == 0) {
        (void)puts("no captures yet: `incidentctl rules` tells what is watched");
    } else {
        (void)printf("%-19s  %-16s %-16s %-5s %-10s %9s  %s\n", "WHEN (UTC)", "TARGET", "RULE",
                     "GRADE", "STATE", "SIZE", "ID (*: pinned)");
        const cJSON *capture = NULL;
        cJSON_ArrayForEach(capture, captures)
        {
            print_row(capture);
        }
    }
    cJSON_Delete(answer);
    return VERB_DONE;
}
