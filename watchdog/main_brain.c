/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incidentd-brain: polls, decides, plans captures, keeps the store and answers the API. Network, no
 * privileges.
 *
 * Started by incidentd alone: descriptor 3 is the wire socket, descriptor 4 the store's folder.
 */
#include "base/log.h"
#include "watchdog/brain.h"

#include <fcntl.h>
#include <signal.h>

enum { WIRE_FD = 3, STORE_FD = 4 };

int main(void)
{
    log_open("incidentd-brain", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    if (fcntl(WIRE_FD, F_SETFD, FD_CLOEXEC) < 0 || fcntl(STORE_FD, F_SETFD, FD_CLOEXEC) < 0) {
        log_error(
            "not started by incidentd: descriptors 3 and 4 are missing; run 'incidentd -c FILE'");
        return 2;
    }
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return brain_run(WIRE_FD, STORE_FD);
}
