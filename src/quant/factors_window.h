/* factors_window.h -- the rolling functions of a factor program: one window, or every window
 * of a history. Both do the same operations in the same order on each window, so they agree
 * to the last bit. */
#ifndef TRIBUS_QUANT_FACTORS_WINDOW_H
#define TRIBUS_QUANT_FACTORS_WINDOW_H

#include "tribus/quant_factors.h"

#include <math.h>

/* a, b point at the newest of k values each; b only for Corr. */
double tribus_factor_window(const tribus_quant_factor_node *n, const double *a,
                            const double *b, uint32_t k);

/* out[t]: the same of the window that ends at row t and begins n->window rows before its end,
 * or at row 0. */
void tribus_factor_history(const tribus_quant_factor_node *n, const double *a,
                           const double *b, double *out, uint32_t rows);

/* Regression on the row number of n values: centred sums, and the fit at the newest row. */
typedef struct tribus_factor_line {
    double mean, sxx, sxy, syy;
    double age; /* rows from the mean row to the newest */
    uint32_t n;
} tribus_factor_line;

/* Qlib's threshold: below it a series is flat, and what correlation it has is rounding. */
#define FACTOR_FLAT 2e-5

static inline double tribus_factor_slope(const tribus_factor_line *l)
{
    return l->n > 1 ? l->sxy / l->sxx : NAN;
}

static inline double tribus_factor_resi(const tribus_factor_line *l, double newest)
{
    return l->n > 1 ? newest - (l->mean + l->sxy / l->sxx * l->age) : NAN;
}

static inline double tribus_factor_rsquare(const tribus_factor_line *l)
{
    if (l->n < 2 || sqrt(l->syy / (l->n - 1.0)) <= FACTOR_FLAT)
        return NAN;
    return l->sxy * l->sxy / (l->sxx * l->syy);
}

/* Of k rows without a hole. */
static inline double tribus_factor_corr(double xx, double yy, double xy, uint32_t k)
{
    if (sqrt(fmin(xx, yy) / (k - 1.0)) <= FACTOR_FLAT)
        return NAN;
    return k > 1 && xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : NAN;
}

/* The two zeros are equal, so sorting may put either first: the result is the plain one. */
static inline double tribus_factor_quantile(double low, double part, double high)
{
    return (part == 0.0 ? low : low + (high - low) * part) + 0.0;
}

#endif
