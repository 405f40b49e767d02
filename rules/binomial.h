/* SPDX-License-Identifier: Apache-2.0 */
/*
 * binomial.h: upper tails of failure counts, exact, in logarithms.
 *
 * With dispersion 1 the count is binomial. With more, each window draws its failure probability
 * from a beta distribution such that variance over mean of the count is `dispersion` (the
 * beta-binomial distribution): the mean stays, the tail becomes that of failures that come in
 * clumps.
 */
#ifndef RULES_BINOMIAL_H
#define RULES_BINOMIAL_H

#include "base/base.h"

/* Natural logarithm of P(X >= k) of `n` events that fail with probability `p` (0 < p < 1), counts
 * having variance over mean of `dispersion` (>= 1; for the binomial's own 1 - p, say 1). 0 when k
 * is 0, -HUGE_VAL when k > n. */
double binomial_tail(uint64_t k, uint64_t n, double p, double dispersion);

#endif
