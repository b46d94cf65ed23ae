/* views.c -- Black-Litterman. See tribus/quant_portfolio.h. */
#include "tribus/quant_portfolio.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

tribus_status tribus_quant_black_litterman(const tribus_quant_views *v,
                                           tribus_quant_matrix cov, double *mean,
                                           double *cov_out, double *scratch)
{
    const size_t n = cov.rows, k = v == NULL ? 0 : v->count;
    const double tau = v == NULL || v->tau == 0.0 ? 0.05 : v->tau;
    double *pc, *middle, *gap;

    if (v == NULL || cov.at == NULL || n == 0 || cov.cols != n || v->prior == NULL ||
        mean == NULL || !(tau > 0.0) ||
        (k > 0 && (v->p == NULL || v->q == NULL || scratch == NULL)))
        return TRIBUS_BAD_ARG;
    memcpy(mean, v->prior, n * sizeof(*mean));
    if (cov_out != NULL)
        for (size_t i = 0; i < n * n; i++)
            cov_out[i] = (1.0 + tau) * cov.at[i];
    if (k == 0)
        return TRIBUS_OK;
    pc = scratch; /* tau P C, k x n; then M^-1 of it */
    middle = pc + k * n;
    gap = middle + k * k;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)k, (int)n, (int)n, tau,
                v->p, (int)n, cov.at, (int)n, 0.0, pc, (int)n);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)k, (int)k, (int)n, 1.0, pc,
                (int)n, v->p, (int)n, 0.0, middle, (int)k);
    for (size_t i = 0; i < k; i++) {
        const double omega = v->omega == NULL ? middle[i * k + i] : v->omega[i];

        if (!(omega >= 0.0) || isinf(omega))
            return TRIBUS_BAD_DATA;
        middle[i * k + i] += omega;
        gap[i] = v->q[i] - cblas_ddot((int)n, &v->p[i * n], 1, v->prior, 1);
    }
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', (lapack_int)k, middle, (lapack_int)k) !=
        0)
        return TRIBUS_BAD_DATA;
    /* middle = L L' by rows. With B = L^-1 pc: mean += B' L^-1 gap, cov -= B' B. */
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, (int)k,
                (int)n, 1.0, middle, (int)k, pc, (int)n);
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, (int)k, middle,
                (int)k, gap, 1);
    cblas_dgemv(CblasRowMajor, CblasTrans, (int)k, (int)n, 1.0, pc, (int)n, gap, 1, 1.0,
                mean, 1);
    if (cov_out != NULL)
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)n, (int)k, -1.0,
                    pc, (int)n, pc, (int)n, 1.0, cov_out, (int)n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(mean[i]))
            return TRIBUS_BAD_DATA;
    return TRIBUS_OK;
}
