/* quant_var.c -- VaR of three assets three ways, from prices to a simulated tail.
 *
 * cc quant_var.c -ltribus_quant -llapacke -lopenblas -lm */
#include "tribus/quant.h"

#include <stdio.h>
#include <stdlib.h>

enum { DAYS = 500, ASSETS = 3, PATHS = 100000 };

int main(void)
{
    static double prices[DAYS * ASSETS], scratch[DAYS * ASSETS], pnl[DAYS];
    double mean[ASSETS], cov[ASSETS * ASSETS], variance = 0.0, mu = 0.0;
    float z[DAYS * ASSETS], fmean[ASSETS], chol[ASSETS * ASSETS];
    const float weights[ASSETS] = {0.5f, 0.3f, 0.2f};
    const tribus_quant_matrix table = {prices, DAYS, ASSETS};
    tribus_quant_matrix returns = {prices, DAYS - 1, ASSETS};
    const tribus_quant_mc_cfg cfg = {.assets = ASSETS, .paths = PATHS, .nu = 5, .seed = 7};
    const size_t bytes = tribus_quant_mc_scratch_bytes(&cfg);
    tribus_quant_risk historical, gaussian, simulated;
    tribus_quant_why why;
    void *work = malloc(bytes);

    tribus_quant_normals(42, 0, 0, DAYS * ASSETS, z); /* a market of our own */
    for (int i = 0; i < DAYS * ASSETS; i++)
        prices[i] = i < ASSETS ? 100.0 : prices[i - ASSETS] * (1.0 + 0.01 * (double)z[i]);
    if (work == NULL || tribus_quant_returns_simple(table, prices, &why) != TRIBUS_OK ||
        tribus_quant_cov_sample(returns, 1, mean, cov, scratch, &why) != TRIBUS_OK)
        return 1;
    for (int i = 0; i < ASSETS; i++) {
        mu += (double)weights[i] * mean[i];
        fmean[i] = (float)mean[i];
        for (int j = 0; j < ASSETS; j++)
            variance += (double)weights[i] * cov[i * ASSETS + j] * (double)weights[j];
        for (int t = 0; t < DAYS - 1; t++)
            pnl[t] += (double)weights[i] * prices[t * ASSETS + i];
    }
    if (tribus_quant_cholesky(cov, ASSETS, 1e-12, &why) != TRIBUS_OK)
        return 1;
    for (int i = 0; i < ASSETS * ASSETS; i++)
        chol[i] = (float)cov[i];
    if (tribus_quant_var_historical(&(tribus_quant_var_cfg){.confidence = 0.99}, pnl,
                                    DAYS - 1, &historical) != TRIBUS_OK ||
        tribus_quant_var_gaussian(mu, __builtin_sqrt(variance), 0.99, &gaussian) !=
            TRIBUS_OK ||
        tribus_quant_mc_risk(&cfg, fmean, chol, weights, work, bytes, &simulated) !=
            TRIBUS_OK)
        return 1;
    printf("99 %% historical %.4f, gaussian %.4f; 95 %% Student-t(5) simulated %.4f, ES "
           "%.4f\n",
           historical.var, gaussian.var, simulated.var, simulated.es);
    free(work);
    return 0;
}
