/* SPDX-License-Identifier: Apache-2.0 */
/* slo.h: what is read off the `slo:` block besides its fields (slo_table is in watch.h). */
#ifndef RULES_SLO_H
#define RULES_SLO_H

#include "rules/watch.h"

/* "1/30d" as captures per millisecond. Returns 0, or -EINVAL with a remedy. */
int slo_parse_budget(const char *text, double *ret_per_ms, struct error *err);

#endif
