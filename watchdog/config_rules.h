/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_rules.h: the part of config_complete that looks at rules.
 */
#ifndef WATCHDOG_CONFIG_RULES_H
#define WATCHDOG_CONFIG_RULES_H

#include "watchdog/config.h"

/* Checks every rule against targets and collectors, which are complete already, and appends the
 * built-in rules that the file does not define. Problems go to doc. Returns 0 or -ENOMEM. */
int config_rules_complete(struct config *c, struct schema_doc *doc, struct arena *a);

/* True when the built-in rule `kind` (not WATCH_SLO) can be decided for the target. */
bool config_rules_possible(const struct config *c, const struct config_target *target,
                           enum watch_kind kind);

/* True when a rule that captures `auto` on a target of this runtime runs the collector. */
bool config_rules_auto(const struct collector_config *collector, int runtime);

#endif
