/* SPDX-License-Identifier: Apache-2.0 */
/* words.h: counts and times as people read them: "52 of 1,000 failed in 1 s". */
#ifndef RULES_WORDS_H
#define RULES_WORDS_H

#include "rules/watch.h"

enum { WORDS_COUNT_SIZE = 40 };

/* "1,000", "0.3" (one decimal below ten, none when whole); returns `out` of WORDS_COUNT_SIZE. */
char *words_count(double value, char *out);
/* "1 s", "2.5 s", "500 ms", "2 min 30 s"; returns `out` of WORDS_COUNT_SIZE. */
char *words_duration(int64_t ms, char *out);
/* One sentence on `counts` of a rule of `kind`. */
void words_summary(enum watch_kind kind, const struct watch_counts *counts, char *out, size_t size);

#endif
