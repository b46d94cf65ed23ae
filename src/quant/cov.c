/* cov.c -- sample covariance, of all rows or pairwise. See tribus/quant_series.h. */
#include "tribus/quant_series.h"

#include "quant/why.h"

#include <cblas.h>
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
