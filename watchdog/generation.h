/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.h: one loaded configuration as the brain sees it: the mapped plan and what it decodes
 * to. Counted, since a running capture keeps the one it began under while a reload brings the next.
 */
#ifndef WATCHDOG_GENERATION_H
#define WATCHDOG_GENERATION_H

#include "watchdog/config.h"
#include "watchdog/plan.h"

struct generation {
    unsigned references;
    uint32_t number; /* as incidentd counts */
    struct plan plan;
    struct arena arena;
    struct config config;
    char *token; /* contents of server.token_file without white space at its end, NULL when none */
};

/* Decodes the plan in `plan_fd`; secret_fds[i] belongs to the i-th bit set in secret_mask. The
 * descriptors stay the caller's. 0 and *ret with one reference, or a negative errno. */
int generation_new(uint32_t number, int plan_fd, const int *secret_fds, uint32_t secret_mask,
                   struct generation **ret, struct error *err);
struct generation *generation_hold(struct generation *g);
/* NULL is a no-op. */
void generation_drop(struct generation *g);

/* The collectors a rule's `capture` names for a target of this runtime, as indices into the plan's
 * collectors, in the configuration's order. listed[i] is true when it was named and not chosen by
 * `auto`. Returns how many; both arrays have LIMIT_COLLECTORS entries. */
size_t generation_collectors(const struct generation *g, const struct schema_strings *capture,
                             enum collector_runtime runtime, uint32_t *ret_index, bool *listed);
/* Index of the rule `name` on the target `target`, or -1. */
int generation_rule(const struct generation *g, const char *target, const char *name);

#endif
