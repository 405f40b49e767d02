/* SPDX-License-Identifier: Apache-2.0 */
/*
 * binomial.c: exact tails by summing from the threshold outward.
 *
 * The tail is the probability of its first term times a sum of ratios, and beyond the mean the
 * ratios fall, so some dozens of terms give all 53 bits. The first term of the binomial is
 * Loader's saddle-point form, which keeps full precision where differences of lgamma() lose nine
 * digits at a million events. Below the mean the complement is summed instead.
 *
 * The beta-binomial has parameters a = p * (1 / rho - 1), b = (1 - p) * (1 / rho - 1), where
 * dispersion = 1 + (n - 1) * rho; the tail decays at least as slowly as that of failures in clumps
 * of equal or of geometric size with the same dispersion, which a binomial merely rescaled does not
 * (its tail is too thin: tests/unit/test_false_captures.c holds the proof by simulation).
 *
 * C. Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.
 * Beta-binomial: https://en.wikipedia.org/wiki/Beta-binomial_distribution
 */
#include "rules/binomial.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
static const double rho_max = 0.9; /* at 1 a window fails whole or not at all */
static const double enough = 1e-17;

/* log(n!) - log of Stirling's formula for n. */
static double stirling_error(double n)
{
    static const double small[16] = {
        0.0,
        0.0810614667953272582196702,
        0.0413406959554092940938221,
        0.02767792568499833914878929,
        0.02079067210376509311152277,
        0.01664469118982119216319487,
        0.01387612882307074799874573,
        0.01189670994589177009505572,
        0.010411265261972096497478567,
        0.009255462182712732917728637,
        0.008330563433362871256469318,
        0.007573675487951840794972024,
        0.006942840107209529865664152,
        0.006408994188004207068439631,
        0.005951370112758847735624416,
        0.005554733551962801371038690,
    };
    if (n < 16.0) {
        return small[(int)n];
    }
    double nn = n * n;
    return (1.0 / 12.0 -
            (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - (1.0 / 1188.0) / nn) / nn) / nn) / nn) /
           n;
}

/* x * log(x / m) + m - x, without cancellation where x is near m. */
static double deviance(double x, double m)
{
    if (fabs(x - m) < 0.1 * (x + m)) {
        double v = (x - m) / (x + m);
        double sum = (x - m) * v;
        double term = 2.0 * x * v;
        for (int i = 3;; i += 2) {
            term *= v * v;
            double next = sum + term / i;
            if (next == sum) {
                return sum;
            }
            sum = next;
        }
    }
    return x * log(x / m) + m - x;
}

static double log_binomial(double k, double n, double p)
{
    double q = 1.0 - p;
    if (k == 0.0) {
        return n * log1p(-p);
    }
    if (k == n) {
        return n * log(p);
    }
    double exponent = stirling_error(n) - stirling_error(k) - stirling_error(n - k) -
                      deviance(k, n * p) - deviance(n - k, n * q);
    return exponent + 0.5 * log(n / (2.0 * pi * k * (n - k)));
}

static double log_beta(double a, double b)
{
    return lgamma(a) + lgamma(b) - lgamma(a + b);
}

struct shape {
    double n;
    double p;
    double a; /* 0: binomial */
    double b;
};

static double log_probability(const struct shape *s, double k)
{
    if (s->a == 0.0) {
        return log_binomial(k, s->n, s->p);
    }
    return log_beta(k + s->a, s->n - k + s->b) - log_beta(s->a, s->b) - log(s->n + 1.0) -
           log_beta(s->n - k + 1.0, k + 1.0);
}

/* P(k + 1) / P(k) */
static double ratio_up(const struct shape *s, double k)
{
    if (s->a == 0.0) {
        return (s->n - k) / (k + 1.0) * (s->p / (1.0 - s->p));
    }
    return (s->n - k) / (k + 1.0) * ((k + s->a) / (s->n - k - 1.0 + s->b));
}

static double log_upper(const struct shape *s, double k)
{
    double sum = 1.0;
    double term = 1.0;
    for (double i = k; i < s->n && term > enough * sum; i += 1.0) {
        term *= ratio_up(s, i);
        sum += term;
    }
    return log_probability(s, k) + log(sum);
}

static double log_lower(const struct shape *s, double k)
{
    double sum = 1.0;
    double term = 1.0;
    for (double i = k; i > 0.0 && term > enough * sum; i -= 1.0) {
        term /= ratio_up(s, i - 1.0);
        sum += term;
    }
    return log_probability(s, k) + log(sum);
}

double binomial_tail(uint64_t k, uint64_t n, double p, double dispersion)
{
    if (k == 0) {
        return 0.0;
    }
    if (k > n) {
        return -HUGE_VAL;
    }
    struct shape s = {(double)n, p, 0.0, 0.0};
    if (dispersion > 1.0 && n > 1) {
        double rho = fmin((dispersion - 1.0) / (s.n - 1.0), rho_max);
        s.a = p * (1.0 / rho - 1.0);
        s.b = (1.0 - p) * (1.0 / rho - 1.0);
    }
    if ((double)k > s.n * p) {
        return fmin(log_upper(&s, (double)k), 0.0);
    }
    return log1p(-exp(fmin(log_lower(&s, (double)k - 1.0), -1e-300)));
}
