/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/client.h"
#include "watchdog/cmd.h"

static const struct verb pin_verb = {
    .name = "pin",
    .usage = "ID|latest",
    .summary = "Keeps a capture from being forgotten, whatever retention says",
    .example = "incidentctl pin latest",
};
static const struct verb unpin_verb = {
    .name = "unpin",
    .usage = "ID|latest",
    .summary = "Lets a pinned capture be forgotten again",
    .example = "incidentctl unpin latest",
};

static int change(int argc, char **argv, const struct verb *verb, const char *method)
{
    struct verb_common common;
    struct client c;
    struct error err = ERROR_INIT;
    char path[512];
    int end = verb_parse(argc, argv, verb, NULL, &common);
    if (end >= 0) {
        return end;
    }
    int rc = client_open(&common, &c, &err);
    if (rc == 0) {
        (void)client_path("/api/v1/captures/", common.argument, "/pin", path, sizeof(path));
        rc = client_call(&c, method, path, NULL, NULL, &err);
        client_close(&c);
    }
    return rc < 0 ? client_fail(verb->name, &err) : VERB_DONE;
}

int cmd_pin(int argc, char **argv)
{
    return change(argc, argv, &pin_verb, "PUT");
}

int cmd_unpin(int argc, char **argv)
{
    return change(argc, argv, &unpin_verb, "DELETE");
}
