/* shrink.c -- EWMA and Ledoit-Wolf covariance. See tribus/quant_series.h. */
#include "tribus/quant_series.h"

#include "quant/why.h"

#include <cblas.h>
#include <math.h>

tribus_status tribus_quant_cov_ewma_add(const double *r, uint32_t assets, double lambda,
                                        double *cov)
{
    const size_t n = assets;

    if (r == NULL || cov == NULL || n == 0 || !(lambda > 0.0 && lambda < 1.0))
        return TRIBUS_BAD_ARG;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(r[i]))
            return TRIBUS_BAD_DATA;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            cov[i * n + j] = cov[j * n + i] =
                lambda * cov[i * n + j] + (1.0 - lambda) * r[i] * r[j];
    return TRIBUS_OK;
}

size_t tribus_quant_cov_shrunk_scratch(uint32_t rows, uint32_t cols)
{
    return 2 * (size_t)rows * cols + 2 * (size_t)cols * cols;
}

/* sum_t (sum_i x_ti^2)^2 is the sum of all entries of (X o X)' (X o X). */
static double identity_shrinkage(const double *x, const double *s, size_t rows, size_t n,
                                 double mu)
{
    double fourth = 0.0, squares, delta, beta;

    for (size_t t = 0; t < rows; t++) {
        const double length = cblas_ddot((int)n, &x[t * n], 1, &x[t * n], 1);

        fourth += length * length;
    }
    squares = cblas_ddot((int)(n * n), s, 1, s, 1);
    beta = (fourth / (double)rows - squares) / (double)(n * rows);
    delta = squares / (double)n - mu * mu;
    return delta > 0.0 ? fmax(0.0, fmin(1.0, beta / delta)) : 0.0;
}

/* pi and theta of the paper come from two products: mean x_i^2 x_j^2 and mean x_i^3 x_j. */
static double correlation_shrinkage(const double *x, const double *s, size_t rows, size_t n,
                                    double *scratch, double *mean_correlation)
{
    double *power = scratch, *m22 = scratch + rows * n, *m31 = m22 + n * n;
    double rbar = 0.0, pi = 0.0, rho = 0.0, gamma = 0.0;

    for (size_t k = 0; k < rows * n; k++)
        power[k] = x[k] * x[k];
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)n, (int)rows,
                1.0 / (double)rows, power, (int)n, power, (int)n, 0.0, m22, (int)n);
    for (size_t k = 0; k < rows * n; k++)
        power[k] *= x[k];
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)n, (int)rows,
                1.0 / (double)rows, power, (int)n, x, (int)n, 0.0, m31, (int)n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            rbar += s[i * n + j] / sqrt(s[i * n + i] * s[j * n + j]);
    rbar = n > 1 ? rbar / (0.5 * (double)n * (double)(n - 1)) : 0.0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            const double sii = s[i * n + i], sjj = s[j * n + j], sij = s[i * n + j];
            const double pi_ij = m22[i * n + j] - sij * sij;

            pi += pi_ij;
            if (i == j) {
                rho += pi_ij;
                continue;
            }
            rho += 0.5 * rbar *
                   (sqrt(sjj / sii) * (m31[i * n + j] - sii * sij) +
                    sqrt(sii / sjj) * (m31[j * n + i] - sjj * sij));
            gamma += (rbar * sqrt(sii * sjj) - sij) * (rbar * sqrt(sii * sjj) - sij);
        }
    }
    *mean_correlation = rbar;
    return gamma > 0.0 ? fmax(0.0, fmin(1.0, (pi - rho) / gamma / (double)rows)) : 0.0;
}

tribus_status tribus_quant_cov_shrunk(tribus_quant_matrix r, tribus_quant_target target,
                                      double *cov, double *scratch, double *shrinkage,
                                      tribus_quant_why *why)
{
    const size_t n = r.cols;
    double s, mu = 0.0, rbar = 0.0;
    tribus_status st;

    if (target != TRIBUS_QUANT_TARGET_IDENTITY &&
        target != TRIBUS_QUANT_TARGET_CONSTANT_CORRELATION) {
        tribus_quant_why_set(why, "no such shrinkage target: %d", (int)target);
        return TRIBUS_BAD_ARG;
    }
    st = tribus_quant_cov_sample(r, 0, NULL, cov, scratch, why);
    if (st != TRIBUS_OK)
        return st;
    for (size_t i = 0; i < n; i++) {
        mu += cov[i * n + i] / (double)n;
        if (target == TRIBUS_QUANT_TARGET_CONSTANT_CORRELATION && !(cov[i * n + i] > 0.0)) {
            tribus_quant_why_set(why, "column %zu is constant: it has no correlation", i);
            return TRIBUS_BAD_DATA;
        }
    }
    if (target == TRIBUS_QUANT_TARGET_IDENTITY)
        s = identity_shrinkage(scratch, cov, r.rows, n, mu);
    else
        s = correlation_shrinkage(scratch, cov, r.rows, n, scratch + r.rows * n, &rbar);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            const double f = rbar * sqrt(cov[i * n + i] * cov[j * n + j]);

            cov[i * n + j] = cov[j * n + i] = (1.0 - s) * cov[i * n + j] + s * f;
        }
    }
    if (target == TRIBUS_QUANT_TARGET_IDENTITY)
        for (size_t i = 0; i < n; i++)
            cov[i * n + i] = (1.0 - s) * cov[i * n + i] + s * mu;
    if (shrinkage != NULL)
        *shrinkage = s;
    return TRIBUS_OK;
}
