/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_build.h: the writing side of the plan, used by incidentd-config alone.
 */
#ifndef WATCHDOG_PLAN_BUILD_H
#define WATCHDOG_PLAN_BUILD_H

#include "base/buf.h"
#include "watchdog/config.h"

/* Appends the plan of a completed configuration: head, then the encoded configuration. `out` has a
 * maximum of LIMIT_PLAN_BYTES. Returns 0 or a negative errno with err. */
int plan_build(const struct config *c, struct buf *out, struct error *err);

#endif
