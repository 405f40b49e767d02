/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selector.h: PromQL's instant selector: name{a="b",c!="d",e=~"x|y",f!~"5.."}.
 *
 * As in Prometheus, a missing label equals the empty text, regular expressions are anchored at both
 * ends, and a selector must have a matcher that does not match the empty text. Expressions are
 * PCRE2's, not RE2's: the common subset means the same, and a match limit stands where RE2 has its
 * linear time.
 */
#ifndef RULES_SELECTOR_H
#define RULES_SELECTOR_H

#include "base/error.h"
#include "rules/labels.h"

struct selector;

/* Parses `text`. Returns 0 and *ret (freed by selector_free), or -EINVAL with a message that names
 * the column, err->column set, and a remedy where one is known. */
int selector_parse(const char *text, struct selector **ret, struct error *err);
void selector_free(struct selector *s);
/* For option tables: 0, or selector_parse's error. */
int selector_check(const char *text, struct error *err);
/* The metric's name, or NULL when the selector gives none or not exactly. */
const char *selector_name(const struct selector *s);
/* Does the sorted set `l` match? An expression that hits its match limit does not match. */
bool selector_matches(const struct selector *s, const struct labels *l);

#endif
