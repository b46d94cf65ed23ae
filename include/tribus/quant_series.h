/* quant_series.h -- returns, moments, quantiles, covariance and its Cholesky factor.
 *
 * See quant.h for memory, threads and conventions.
 */
#ifndef TRIBUS_QUANT_SERIES_H
#define TRIBUS_QUANT_SERIES_H

#include "tribus/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a status cannot say: one sentence that names the thing. Any pointer to it may be
 * NULL. */
typedef struct tribus_quant_why {
    char text[192];
} tribus_quant_why;

/* A borrowed row-major matrix. Returns: rows = time, oldest first; cols = assets. */
typedef struct tribus_quant_matrix {
    const double *at;
    uint32_t rows, cols;
} tribus_quant_matrix;

/* ---- returns ---- */

/* ln(p[t] / p[t-1]) of each column. out: (rows - 1) x cols; may be prices.at itself.
 * A NaN price gives NaN for the two returns it touches (a missing price).
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (fewer than 2 rows), or TRIBUS_BAD_DATA for a price <=
 * 0. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_returns_log(tribus_quant_matrix prices,
                                                         double *out,
                                                         tribus_quant_why *why);

/* p[t] / p[t-1] - 1, otherwise as tribus_quant_returns_log(). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_returns_simple(tribus_quant_matrix prices,
                                                            double *out,
                                                            tribus_quant_why *why);

/* ---- moments ---- */

typedef struct tribus_quant_moments {
    double mean;
    double sd_population; /* divides by n */
    double sd_sample;     /* divides by n - 1; NaN for n == 1 */
    double skewness;      /* population m3 / m2^1.5; NaN for a constant series */
    double kurtosis;      /* population m4 / m2^2 - 3 (excess); NaN for a constant series */
    double min, max;
    uint32_t count;
} tribus_quant_moments;

/* Two passes. Returns TRIBUS_OK, TRIBUS_BAD_ARG (n == 0) or TRIBUS_BAD_DATA (not finite).
 */
TRIBUS_MUST_CHECK tribus_status tribus_quant_moments_of(const double *x, uint32_t n,
                                                        tribus_quant_moments *out);

/* ---- quantiles ---- */

/* The nine rules of Hyndman and Fan (1996), as R numbers them. Type 1 takes an observation:
 * sorted[ceil(n p) - 1]; ORE and most bank systems. Type 7 interpolates: numpy, R's
 * default, PerformanceAnalytics. */
typedef enum tribus_quant_quantile_rule {
    TRIBUS_QUANT_TYPE1 = 1,
    TRIBUS_QUANT_TYPE2,
    TRIBUS_QUANT_TYPE3,
    TRIBUS_QUANT_TYPE4,
    TRIBUS_QUANT_TYPE5,
    TRIBUS_QUANT_TYPE6,
    TRIBUS_QUANT_TYPE7,
    TRIBUS_QUANT_TYPE8,
    TRIBUS_QUANT_TYPE9
} tribus_quant_quantile_rule;

/* Sort ascending in place, O(n log n), no memory. NaN must not be in x. */
void tribus_quant_sort(double *x, uint32_t n);

/* Quantile p in [0, 1] of n > 0 ascending values. NaN for a bad p, rule or n. */
double tribus_quant_quantile_sorted(const double *sorted, uint32_t n, double p,
                                    tribus_quant_quantile_rule rule);

/* ---- covariance ---- */

/* Sample covariance of the columns, dividing by rows - ddof (ddof 1 is usual, 0
 * population). mean: cols values out, may be NULL. cov: cols x cols out, symmetric to the
 * last bit. scratch: rows x cols doubles; may not be returns.at. Returns TRIBUS_OK,
 * TRIBUS_BAD_ARG (rows <= ddof), TRIBUS_BAD_DATA (NaN: use _pairwise). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_cov_sample(tribus_quant_matrix returns,
                                                        uint32_t ddof, double *mean,
                                                        double *cov, double *scratch,
                                                        tribus_quant_why *why);

/* As above with missing values: entry (i, j) uses the rows where both are present and their
 * means over those rows, as pandas does. The result need not be positive semi-definite.
 * Returns also TRIBUS_BAD_DATA when a pair shares no more than ddof rows. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_cov_pairwise(tribus_quant_matrix returns,
                                                          uint32_t ddof, double *cov,
                                                          tribus_quant_why *why);

/* RiskMetrics: cov = lambda cov + (1 - lambda) r r', no mean; call it for each new row.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (lambda outside (0, 1)) or TRIBUS_BAD_DATA; cov is then
 * as before. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_cov_ewma_add(const double *r, uint32_t assets,
                                                          double lambda, double *cov);

typedef enum tribus_quant_target {
    TRIBUS_QUANT_TARGET_IDENTITY =
        0, /* Ledoit, Wolf (2004); scikit-learn, PyPortfolioOpt */
    TRIBUS_QUANT_TARGET_CONSTANT_CORRELATION /* Ledoit, Wolf (2003), "Honey, I shrunk" */
} tribus_quant_target;

/* Shrunk covariance: (1 - s) S + s F with the optimal s of the papers; S divides by rows.
 * scratch: tribus_quant_cov_shrunk_scratch() doubles. shrinkage: s out, may be NULL.
 * Positive definite for s > 0, also with more assets than rows. Returns as _cov_sample. */
size_t tribus_quant_cov_shrunk_scratch(uint32_t rows, uint32_t cols);
TRIBUS_MUST_CHECK tribus_status tribus_quant_cov_shrunk(tribus_quant_matrix returns,
                                                        tribus_quant_target target,
                                                        double *cov, double *scratch,
                                                        double *shrinkage,
                                                        tribus_quant_why *why);

/* Lower factor L with L L' = a, in place; the upper triangle becomes zero. Only the lower
 * triangle of a is read, but all of it must be finite.
 * tolerance 0: a must be positive definite (LAPACK dpotrf), each pivot above its rounding,
 * 2^-51 n times the diagonal it is left of. Rounding may hide that a matrix is singular in
 * one direction only; a tolerance tells.
 * tolerance > 0: a may be singular, as with more assets than days. It is the share of the
 * largest diagonal that counts as zero, at least 2^-52 n: when no pivot above it is left, the
 * rank is found, the remaining columns of L are zero, and |L L' - a| is about that at most.
 * Rows are pivoted inside (Higham 2002, section 10.3), L comes back in the order of a with a
 * diagonal >= 0. Use 1e-12 for a sample covariance. Returns TRIBUS_OK, TRIBUS_BAD_ARG, or
 * TRIBUS_BAD_DATA: why names a bad row. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_cholesky(double *a, uint32_t n,
                                                      double tolerance,
                                                      tribus_quant_why *why);

#ifdef __cplusplus
}
#endif

#endif
