/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.h: the duties of PID 1.
 *
 * As first process of a container everybody's orphans become our children. incidentd kills strays
 * of its collectors (child_kill_strays), which must never hit somebody else's orphan; so PID 1 is a
 * process of its own that forwards signals and reaps, and incidentd proper is its only child and a
 * subreaper for its own tree.
 */
#ifndef WATCHDOG_REAPER_H
#define WATCHDOG_REAPER_H

/* Returns at once when we are not PID 1. As PID 1: forks; returns in the child; the parent forwards
 * SIGTERM, SIGINT, SIGHUP and SIGUSR1, reaps everything, and exits with the child's status. */
void reaper_split(void);

#endif
