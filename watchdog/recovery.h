/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.h: what a crash left is sealed as partial, at every start of the brain.
 *
 *   journal and its bundle is listed    the journal and its staging go
 *   journal, not listed                 sealed from staging; if staging is gone too, the bundle
 *                                       still says that there was a trigger
 *   staging without a journal           sealed, unless its bundle is listed
 *
 * No decision depends on how far the journal came; every step may be cut short and repeated.
 */
#ifndef WATCHDOG_RECOVERY_H
#define WATCHDOG_RECOVERY_H

#include "watchdog/capture.h"

struct recovery;

struct recovery_options {
    const struct capture_env *env;
    struct generation *generation;
    /* True for captures of this very run, which are none of ours. */
    bool (*running)(const char *id, void *arg);
    /* A capture was taken up (its `owner` is the recovery); the brain lists it while it runs. */
    void (*took_up)(struct capture *c, void *arg);
    /* All journals and folders have been dealt with. */
    void (*done)(unsigned sealed, void *arg);
    void *arg;
};

/* Starts; never NULL. */
struct recovery *recovery_start(const struct recovery_options *options);
/* A capture with this recovery as owner has ended. May call `done`, after which it is freed. */
void recovery_ended(struct recovery *r, struct capture *c);

#endif
