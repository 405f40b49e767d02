/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/client.h"
#include "watchdog/cmd.h"

#include <errno.h>
#include <poll.h>

enum { ASK_EVERY_MS = 500 };

/* Asks until the capture is sealed: the API has no push, and this is a person's terminal. */
static int wait_sealed(struct client *c, const char *path, struct error *err)
{
    for (;;) {
        cJSON *answer = NULL;
        int rc = client_call(c, "GET", path, NULL, &answer, err);
        if (rc < 0) {
            return rc;
        }
        const cJSON *view = cJSON_GetObjectItemCaseSensitive(answer, "capture");
        const char *state = client_text(cJSON_IsObject(view) ? view : answer, "state");
        bool open = strcmp(state, "capturing") == 0 || strcmp(state, "sealing") == 0;
        bool lost = strcmp(state, "lost") == 0;
        cJSON_Delete(answer);
        if (lost) {
            return error_set(err, -1, "the capture was lost");
        }
        if (!open) {
            return 0;
        }
        (void)poll(NULL, 0, ASK_EVERY_MS);
    }
}

static int start(struct client *c, const char *target, const char *rule, struct error *err)
{
    cJSON *body = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(body, "target", target);
    if (rule != NULL) {
        (void)cJSON_AddStringToObject(body, "rule", rule);
    }
    char *text = cJSON_PrintUnformatted(body);
    int rc = client_call(c, "POST", "/api/v1/captures", text, NULL, err);
    free(text);
    cJSON_Delete(body);
    return rc == -ENOENT
               ? error_remedy(err, "`incidentctl rules` lists the targets and their rules")
               : rc;
}

int cmd_capture(int argc, char **argv)
{
    static const struct verb verb = {
        .name = "capture",
        .usage = "TARGET [--rule RULE] [--wait]",
        .summary = "Captures now; prints the capture's id",
        .example = "incidentctl capture checkout --wait && incidentctl show latest",
    };
    const char *rule = NULL;
    bool wait = false;
    const struct verb_option own[] = {
        {"rule", 'r', "RULE", "with the collectors of this rule (else: auto)", &rule, NULL},
        {"wait", 'w', NULL, "until it is sealed", NULL, &wait},
        {.name = NULL}};
    struct verb_common common;
    struct client c;
    struct error err = ERROR_INIT;
    int end = verb_parse(argc, argv, &verb, own, &common);
    if (end >= 0) {
        return end;
    }
    int rc = client_open(&common, &c, &err);
    if (rc < 0) {
        return client_fail(verb.name, &err);
    }
    rc = start(&c, common.argument, rule, &err);
    if (rc == 0) {
        char path[512];
        (void)snprintf(path, sizeof(path), "%s", c.location);
        const char *id = strrchr(path, '/');
        (void)puts(id == NULL ? path : id + 1);
        (void)fflush(stdout);
        rc = wait && path[0] == '/' ? wait_sealed(&c, path, &err) : 0;
    }
    client_close(&c);
    return rc < 0 ? client_fail(verb.name, &err) : VERB_DONE;
}
