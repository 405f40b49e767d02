/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extract.h: one member out of a bundle, streamed.
 */
#ifndef WATCHDOG_EXTRACT_H
#define WATCHDOG_EXTRACT_H

#include "base/error.h"

/* Writes the bytes of `member` (its path below the bundle's top folder) to `out_fd`. 0; -ENOENT
 * when there is none; -EBADMSG for a broken bundle; or the failure of the output. The member's last
 * bytes may have gone out when a failure is found. */
int extract_member(int bundle_fd, const char *member, int out_fd, struct error *err);

#endif
