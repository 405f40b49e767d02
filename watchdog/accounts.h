/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accounts.h: the two uids, where we may change uid at all.
 */
#ifndef WATCHDOG_ACCOUNTS_H
#define WATCHDOG_ACCOUNTS_H

#include "base/error.h"

#include <sys/types.h>

struct account {
    uid_t uid; /* (uid_t)-1: stay who we are */
    gid_t gid;
};

/* Looks `name` up. Without CAP_SETUID and CAP_SETGID: stays, 0. With them and no such account:
 * -ENOENT with the remedy, and *ret stays. */
int accounts_find(const char *name, struct account *ret, struct error *err);

#endif
