/* cov.c -- sample covariance and Cholesky. See tribus/quant_series.h. */
#include "tribus/quant_series.h"

#include "quant/why.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

tribus_status tribus_quant_cov_sample(tribus_quant_matrix r, uint32_t ddof, double *mean,
                                      double *cov, double *scratch, tribus_quant_why *why)
{
    const size_t n = r.cols;

    if (r.at == NULL || cov == NULL || scratch == NULL || n == 0 || r.rows <= ddof) {
        tribus_quant_why_set(why,
                             "covariance of %u columns needs more than %u rows, got %u",
                             r.cols, ddof, r.rows);
        return TRIBUS_BAD_ARG;
    }
    /* Means go into the first row of cov until the product overwrites it. */
    memset(cov, 0, n * sizeof(*cov));
    for (size_t t = 0; t < r.rows; t++) /* from the first row on: a constant varies by 0 */
        for (size_t i = 0; i < n; i++)
            cov[i] += r.at[t * n + i] - r.at[i];
    for (size_t i = 0; i < n; i++) {
        cov[i] = r.at[i] + cov[i] / r.rows;
        if (!isfinite(cov[i])) {
            tribus_quant_why_set(why, "column %zu has a value that is not finite", i);
            return TRIBUS_BAD_DATA;
        }
    }
    for (size_t t = 0; t < r.rows; t++)
        for (size_t i = 0; i < n; i++)
            scratch[t * n + i] = r.at[t * n + i] - cov[i];
    if (mean != NULL)
        memcpy(mean, cov, n * sizeof(*mean));
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)n, (int)r.rows,
                1.0 / (r.rows - ddof), scratch, (int)n, 0.0, cov, (int)n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            cov[i * n + j] = cov[j * n + i];
    return TRIBUS_OK;
}

tribus_status tribus_quant_cov_pairwise(tribus_quant_matrix r, uint32_t ddof, double *cov,
                                        tribus_quant_why *why)
{
    const size_t n = r.cols;

    if (r.at == NULL || cov == NULL || n == 0) {
        tribus_quant_why_set(why, "covariance of no columns");
        return TRIBUS_BAD_ARG;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            double mi = 0.0, mj = 0.0, sum = 0.0;
            uint32_t shared = 0;

            /* Welford's update: one pass, no cancellation. */
            for (size_t t = 0; t < r.rows; t++) {
                const double x = r.at[t * n + i], y = r.at[t * n + j];

                if (isnan(x) || isnan(y))
                    continue;
                shared++;
                mi += (x - mi) / shared;
                sum += (x - mi) * (y - mj); /* new mean of x, old mean of y */
                mj += (y - mj) / shared;
            }
            if (shared <= ddof || !isfinite(sum)) {
                tribus_quant_why_set(why,
                                     "columns %zu and %zu share %u rows, more than %u "
                                     "finite ones are needed",
                                     i, j, shared, ddof);
                return TRIBUS_BAD_DATA;
            }
            cov[i * n + j] = cov[j * n + i] = sum / (shared - ddof);
        }
    }
    return TRIBUS_OK;
}

/* Row by row; a pivot that rounding cannot tell from zero drops its column. What is left of
 * that row must then be as small: |a_ij|^2 <= a_ii a_jj, else a was not semi-definite. */
static tribus_status semi_definite(double *a, size_t n, double tolerance,
                                   tribus_quant_why *why)
{
    double largest = 0.0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, a[i * n + i]);
    for (size_t j = 0; j < n; j++) {
        const double pivot = a[j * n + j] - cblas_ddot((int)j, &a[j * n], 1, &a[j * n], 1);
        const double root = pivot > tolerance * largest ? sqrt(pivot) : 0.0;

        if (!(pivot >= -tolerance * largest)) {
            tribus_quant_why_set(why,
                                 "matrix is not positive semi-definite: pivot %g in "
                                 "row %zu",
                                 pivot, j);
            return TRIBUS_BAD_DATA;
        }
        a[j * n + j] = root;
        for (size_t i = j + 1; i < n; i++) {
            const double rest =
                a[i * n + j] - cblas_ddot((int)j, &a[i * n], 1, &a[j * n], 1);

            a[i * n + j] = root > 0.0 ? rest / root : 0.0;
        }
    }
    return TRIBUS_OK;
}

tribus_status tribus_quant_cholesky(double *a, uint32_t n, double tolerance,
                                    tribus_quant_why *why)
{
    tribus_status st = TRIBUS_OK;

    if (a == NULL || n == 0 || !(tolerance >= 0.0 && tolerance < 1.0)) {
        tribus_quant_why_set(why,
                             "Cholesky factor of nothing, or a tolerance outside [0, 1)");
        return TRIBUS_BAD_ARG;
    }
    for (size_t i = 0; i < (size_t)n * n; i++) {
        if (!isfinite(a[i])) {
            tribus_quant_why_set(why, "matrix entry (%zu, %zu) is not finite", i / n,
                                 i % n);
            return TRIBUS_BAD_DATA;
        }
    }
    if (tolerance > 0.0) {
        st = semi_definite(a, n, tolerance, why);
    } else {
        /* Row-major lower is column-major upper: no transposed copy is made. */
        const lapack_int info =
            LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n);

        if (info != 0) {
            tribus_quant_why_set(why,
                                 "matrix is not positive definite: row %d depends on "
                                 "the rows before it",
                                 (int)info - 1);
            st = TRIBUS_BAD_DATA;
        }
    }
    for (size_t i = 0; st == TRIBUS_OK && i < n; i++)
        memset(&a[i * n + i + 1], 0, (n - i - 1) * sizeof(*a));
    return st;
}
