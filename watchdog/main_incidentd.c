/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incidentd: the main process. Arguments only; the work is in keeper.c.
 */
#include "base/log.h"
#include "watchdog/child.h"
#include "watchdog/keeper.h"
#include "watchdog/notify.h"
#include "watchdog/reaper.h"

#include <getopt.h>

static const char usage[] =
    "usage: incidentd -c FILE [--log-level debug|info|warn|error] [--log-format logfmt|json]\n"
    "\n"
    "Watches the services that FILE names and captures evidence when one falls below its "
    "objective.\n"
    "\n"
    "  -c, --config FILE   the configuration; write one with: incidentctl init URL > "
    "incidentd.yaml\n"
    "  -V, --version       print the version\n"
    "  -h, --help          print this\n"
    "\n"
    "Signals: TERM seals what runs and ends, HUP loads the configuration anew.\n"
    "Check a configuration first: incidentctl check FILE\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config = NULL;
    for (int o = getopt_long(argc, argv, "c:Vh", options, NULL); o != -1;
         o = getopt_long(argc, argv, "c:Vh", options, NULL)) {
        switch (o) {
        case 'c':
            config = optarg;
            break;
        case 'V':
            (void)puts("incidentd " INCIDENTD_VERSION);
            return 0;
        case 'h':
            (void)fputs(usage, stdout);
            return 0;
        default:
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (config == NULL || optind != argc) {
        (void)fputs(usage, stderr);
        return 2;
    }
    log_open("incidentd", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    reaper_split();
    notify_open();
    return keeper_run(config);
}
