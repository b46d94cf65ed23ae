/* distribution.c -- normal and Student-t distribution functions and their inverses.
 *
 * Quantiles start from a coarse formula and are polished by Halley's or Newton's method on
 * the distribution function, so no table of coefficients has to be believed. */
#include "tribus/quant_risk.h"

#include "quant/distribution.h"

#include <math.h>

#define PI          3.14159265358979323846
#define SQRT_HALF   0.70710678118654752440
#define SQRT_TWO_PI 2.50662827463100050242

double tribus_quant_normal_density(double x)
{
    return exp(-0.5 * x * x) / SQRT_TWO_PI;
}

double tribus_quant_normal_cdf(double x)
{
    return 0.5 * erfc(-x * SQRT_HALF);
}

double tribus_quant_normal_quantile(double p)
{
    const double tail = p < 0.5 ? p : 1.0 - p;
    double t, x;

    if (!(p >= 0.0 && p <= 1.0))
        return NAN;
    if (tail == 0.0)
        return p < 0.5 ? -INFINITY : INFINITY;
    /* Abramowitz and Stegun 26.2.23, |error| < 4.5e-4, for the lower tail. */
    t = sqrt(-2.0 * log(tail));
    x = (2.515517 + t * (0.802853 + t * 0.010328)) /
            (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) -
        t;
    for (int i = 0; i < 3; i++) {
        const double e =
            (tribus_quant_normal_cdf(x) - tail) / tribus_quant_normal_density(x);

        x -= e / (1.0 + 0.5 * x * e); /* Halley */
    }
    return p < 0.5 ? x : -x;
}

/* Continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22). */
static double beta_fraction(double a, double b, double x)
{
    double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0), f;

    if (fabs(d) < 1e-300)
        d = 1e-300;
    d = 1.0 / d;
    f = d;
    for (int m = 1; m <= 2000; m++) {
        const double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        const double odd =
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        double step;

        d = 1.0 + even * d;
        c = 1.0 + even / c;
        d = 1.0 / (fabs(d) < 1e-300 ? 1e-300 : d);
        c = fabs(c) < 1e-300 ? 1e-300 : c;
        f *= d * c;
        d = 1.0 + odd * d;
        c = 1.0 + odd / c;
        d = 1.0 / (fabs(d) < 1e-300 ? 1e-300 : d);
        c = fabs(c) < 1e-300 ? 1e-300 : c;
        step = d * c;
        f *= step;
        if (fabs(step - 1.0) < 1e-16)
            break;
    }
    return f;
}

static double beta_regularised(double a, double b, double x, double one_minus_x)
{
    double front;

    if (x <= 0.0)
        return 0.0;
    if (one_minus_x <= 0.0)
        return 1.0;
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(one_minus_x));
    if (x < (a + 1.0) / (a + b + 2.0))
        return front * beta_fraction(a, b, x) / a;
    return 1.0 - front * beta_fraction(b, a, one_minus_x) / b;
}

double tribus_quant_student_density(double x, double nu)
{
    return exp(lgamma(0.5 * (nu + 1.0)) - lgamma(0.5 * nu) -
               0.5 * (nu + 1.0) * log1p(x * x / nu)) /
           sqrt(nu * PI);
}

double tribus_quant_student_cdf(double x, double nu)
{
    double tail;

    if (!(nu > 0.0) || isnan(x))
        return NAN;
    if (isinf(x))
        return x < 0.0 ? 0.0 : 1.0;
    tail = 0.5 * beta_regularised(0.5 * nu, 0.5, nu / (nu + x * x), x * x / (nu + x * x));
    return x < 0.0 ? tail : 1.0 - tail;
}

double tribus_quant_student_quantile(double p, double nu)
{
    const double tail = p < 0.5 ? p : 1.0 - p;
    double low = -1.0, high = 0.0, x;

    if (!(p >= 0.0 && p <= 1.0) || !(nu > 0.0))
        return NAN;
    if (tail == 0.0)
        return p < 0.5 ? -INFINITY : INFINITY;
    if (p == 0.5)
        return 0.0;
    while (tribus_quant_student_cdf(low, nu) > tail && low > -1e300)
        low *= 2.0;
    x = 0.5 * (low + high);
    /* Newton, kept inside the bracket by bisection. */
    for (int i = 0; i < 200; i++) {
        const double excess = tribus_quant_student_cdf(x, nu) - tail;
        const double step = excess / tribus_quant_student_density(x, nu);
        const double next = x - step;

        if (excess > 0.0)
            high = x;
        else
            low = x;
        if (fabs(step) <= 1e-15 * fabs(x))
            break;
        x = next > low && next < high ? next : 0.5 * (low + high);
    }
    return p < 0.5 ? x : -x;
}
