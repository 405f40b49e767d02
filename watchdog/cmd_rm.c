/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/client.h"
#include "watchdog/cmd.h"

static const struct verb verb = {
    .name = "rm",
    .usage = "ID",
    .summary = "Deletes a capture; 'latest' is not taken, name it by its id or a unique prefix",
    .example = "incidentctl rm checkout_availability_20261124T083112.345Z_pod-7c9f_a1b2",
};

int cmd_rm(int argc, char **argv)
{
    struct verb_common common;
    struct client c;
    struct error err = ERROR_INIT;
    char path[512];
    int end = verb_parse(argc, argv, &verb, NULL, &common);
    if (end >= 0) {
        return end;
    }
    if (strcmp(common.argument, "latest") == 0) {
        (void)fprintf(stderr, "incidentctl rm: name the capture by its id: what is latest may "
                              "change under your hands\n");
        return VERB_USAGE;
    }
    int rc = client_open(&common, &c, &err);
    if (rc == 0) {
        (void)client_path("/api/v1/captures/", common.argument, "", path, sizeof(path));
        rc = client_call(&c, "DELETE", path, NULL, NULL, &err);
        client_close(&c);
    }
    return rc < 0 ? client_fail(verb.name, &err) : VERB_DONE;
}
