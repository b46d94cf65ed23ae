/* stress.c -- whose risk it is, and what happens in bad times. See tribus/quant_risk.h. */
#include "tribus/quant_risk.h"

#include "quant/distribution.h"

#include <cblas.h>
#include <float.h>
#include <math.h>

tribus_status tribus_quant_var_components(tribus_quant_matrix cov, const double *mean,
                                          const double *weights, double confidence,
                                          double *component, tribus_quant_risk *out)
{
    const double level = confidence == 0.0 ? 0.95 : confidence;
    const size_t n = cov.rows;
    double variance, mu, z;
    tribus_quant_risk risk;
    tribus_status st;

    if (cov.at == NULL || mean == NULL || weights == NULL || component == NULL || n == 0 ||
        cov.cols != n || !(level > 0.0 && level < 1.0))
        return TRIBUS_BAD_ARG;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)n, 1.0, cov.at, (int)n, weights,
                1, 0.0, component, 1);
    variance = cblas_ddot((int)n, component, 1, weights, 1);
    mu = cblas_ddot((int)n, mean, 1, weights, 1);
    if (!(variance > 0.0) || !isfinite(variance + mu))
        return TRIBUS_BAD_DATA;
    st = tribus_quant_var_gaussian(mu, sqrt(variance), level, &risk);
    if (st != TRIBUS_OK)
        return st;
    z = tribus_quant_normal_quantile(1.0 - level);
    for (size_t i = 0; i < n; i++)
        component[i] = weights[i] * -(mean[i] + z * component[i] / sqrt(variance));
    if (out != NULL)
        *out = risk;
    return TRIBUS_OK;
}

tribus_status tribus_quant_es_components(tribus_quant_matrix r, const double *weights,
                                         double confidence, double *component,
                                         double *scratch, tribus_quant_risk *out)
{
    const tribus_quant_var_cfg cfg = {.confidence = confidence};
    const size_t n = r.cols;
    double *pnl = scratch, *sorted = scratch + r.rows;
    tribus_quant_risk risk;
    tribus_status st;
    uint32_t k, ties;

    if (r.at == NULL || weights == NULL || component == NULL || scratch == NULL || n == 0 ||
        r.rows == 0)
        return TRIBUS_BAD_ARG;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)r.rows, (int)n, 1.0, r.at, (int)n,
                weights, 1, 0.0, pnl, 1);
    cblas_dcopy((int)r.rows, pnl, 1, sorted, 1);
    st = tribus_quant_var_historical(&cfg, sorted, r.rows, &risk);
    if (st != TRIBUS_OK)
        return st;
    /* The tail: everything below the quantile, and as many ties as complete the count. */
    k = (uint32_t)fmax(1.0, ceil(r.rows * (1.0 - (confidence == 0.0 ? 0.95 : confidence)) -
                                 8.0 * DBL_EPSILON * r.rows));
    for (ties = k; ties > 0 && sorted[k - ties] < -risk.var; ties--)
        continue;
    for (size_t i = 0; i < n; i++)
        component[i] = 0.0;
    for (size_t t = 0; t < r.rows; t++) {
        if (pnl[t] > -risk.var || (pnl[t] == -risk.var && ties == 0))
            continue;
        if (pnl[t] == -risk.var)
            ties--;
        for (size_t i = 0; i < n; i++)
            component[i] -= weights[i] * r.at[t * n + i] / k;
    }
    if (out != NULL)
        *out = risk;
    return TRIBUS_OK;
}

tribus_status tribus_quant_stress_window(tribus_quant_matrix r, const double *weights,
                                         uint32_t first, uint32_t length, double *pnl)
{
    const size_t n = r.cols;
    double sum = 0.0;

    if (r.at == NULL || weights == NULL || pnl == NULL || length == 0 || first > r.rows ||
        length > r.rows - first)
        return TRIBUS_BAD_ARG;
    for (size_t i = 0; i < n; i++) {
        double growth = 1.0;

        for (size_t t = first; t < (size_t)first + length; t++)
            growth *= 1.0 + r.at[t * n + i];
        sum += weights[i] * (growth - 1.0);
    }
    if (!isfinite(sum))
        return TRIBUS_BAD_DATA;
    *pnl = sum;
    return TRIBUS_OK;
}

tribus_status tribus_quant_stress_worst(tribus_quant_matrix r, const double *weights,
                                        uint32_t length, uint32_t *first, double *pnl)
{
    double worst = INFINITY, now;
    uint32_t at = 0;

    if (first == NULL || pnl == NULL || length == 0 || length > r.rows)
        return TRIBUS_BAD_ARG;
    for (uint32_t t = 0; t + length <= r.rows; t++) {
        const tribus_status st = tribus_quant_stress_window(r, weights, t, length, &now);

        if (st != TRIBUS_OK)
            return st;
        if (now < worst) {
            worst = now;
            at = t;
        }
    }
    *first = at;
    *pnl = worst;
    return TRIBUS_OK;
}

tribus_status tribus_quant_stress_table(tribus_quant_matrix shocks, const double *weights,
                                        double *pnl)
{
    if (shocks.at == NULL || weights == NULL || pnl == NULL || shocks.rows == 0 ||
        shocks.cols == 0)
        return TRIBUS_BAD_ARG;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)shocks.rows, (int)shocks.cols, 1.0,
                shocks.at, (int)shocks.cols, weights, 1, 0.0, pnl, 1);
    return TRIBUS_OK;
}

tribus_status tribus_quant_stress_factors(tribus_quant_matrix exposure, const double *shock,
                                          double *out)
{
    return tribus_quant_stress_table(exposure, shock, out);
}
