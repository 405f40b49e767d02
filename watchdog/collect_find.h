/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_find.h: `incidentd-collect find`, which process a target is right now.
 */
#ifndef WATCHDOG_COLLECT_FIND_H
#define WATCHDOG_COLLECT_FIND_H

#include "base/error.h"
#include "watchdog/config.h"

#include <sys/types.h>

struct collect_found {
    pid_t pid;
    uint64_t start_ticks;
    char exe[256]; /* "" when it cannot be read */
};

/* Searches /proc for the process that `by` describes; of several the oldest, never one of our own
 * programs. 0, or -ESRCH with err saying what was looked for and what was found instead. */
int collect_find_process(const struct config_process *by, struct collect_found *ret,
                         struct error *err);
/* The whole mode; returns the exit status. */
int collect_find_main(void);
/* `runtime PID`: prints the runtime's name. A process of its own, since reading maps may hang. */
int collect_find_runtime_main(int argc, char **argv);

#endif
