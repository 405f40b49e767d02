/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "watchdog/brain.h"
#include <signal.h>
int main(void)
{
    log_open("incidentd-brain", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    (void)signal(SIGPIPE, SIG_IGN);
    return brain_run(3, 4);
}
