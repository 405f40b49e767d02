/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "rules/binomial.h"

/* Computed with Python's fractions, exactly, then rounded once. */
static const struct {
    uint64_t k;
    uint64_t n;
    double p;
    double dispersion;
    double log_tail;
} exact[] = {
    {3, 3, 0.001, 1.0, -20.7232658369464},      {1, 10, 0.001, 1.0, -4.60966830836391},
    {3, 10, 0.001, 1.0, -15.9410252749976},     {9, 1000, 0.001, 1.0, -13.7260268459413},
    {10, 1000, 0.001, 1.0, -16.0464418285528},  {11, 1000, 0.001, 1.0, -18.4615074066887},
    {52, 1000, 0.001, 1.0, -158.640618029322},  {1, 1000, 0.001, 1.0, -0.458384078091512},
    {30, 50, 0.5, 1.0, -2.28947761718911},      {10, 50, 0.5, 1.0, -2.8070539883629e-06},
    {15, 15, 0.001, 1.0, -103.616329184732},    {25, 2000, 0.005, 1.0, -10.0213882481075},
    {5, 2000, 0.005, 1.0, -0.0293971321498248}, {3, 4, 0.001, 1.5, -8.88939300741758},
    {10, 12, 0.001, 2.0, -15.2990114148605},    {20, 200, 0.001, 3.0, -12.3756592018044},
    {3, 100, 0.05, 2.5, -0.297973160128493},
};

static void tails_equal_the_exact_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
        double got = binomial_tail(exact[i].k, exact[i].n, exact[i].p, exact[i].dispersion);
        if (fabs(got - exact[i].log_tail) > 1e-11 * fmax(1.0, fabs(exact[i].log_tail))) {
            print_error("row %zu: got %.15g, expected %.15g\n", i, got, exact[i].log_tail);
            fail();
        }
    }
}

static void ends_of_the_range(void **state)
{
    (void)state;
    assert_true(binomial_tail(0, 10, 0.5, 1.0) == 0.0);
    assert_true(isinf(binomial_tail(11, 10, 0.5, 1.0)));
    assert_true(binomial_tail(1, 1, 0.001, 4.0) < -6.9);
    assert_true(isfinite(binomial_tail(30000000, 30000000, 0.001, 1.0)));
    assert_true(isfinite(binomial_tail(20000, 10000000, 0.001, 50.0)));
}

static void tails_fall_with_the_count_and_rise_with_dispersion(void **state)
{
    (void)state;
    for (uint64_t k = 2; k < 200; k++) {
        assert_true(binomial_tail(k, 1000, 0.01, 1.0) <= binomial_tail(k - 1, 1000, 0.01, 1.0));
        assert_true(binomial_tail(k, 1000, 0.01, 3.0) <= binomial_tail(k - 1, 1000, 0.01, 3.0));
    }
    for (uint64_t k = 30; k < 200; k++) {
        assert_true(binomial_tail(k, 1000, 0.01, 3.0) > binomial_tail(k, 1000, 0.01, 1.0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tails_equal_the_exact_ones),
        cmocka_unit_test(ends_of_the_range),
        cmocka_unit_test(tails_fall_with_the_count_and_rise_with_dispersion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
