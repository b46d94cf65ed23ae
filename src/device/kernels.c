/* kernels.c -- the table of entry points, and what each is on the CPU.
 *
 * A row says what the kernel reads and writes, and with which numbers it can be steered;
 * the bounds are checked before a function here is called, the values are checked here. The
 * arithmetic is src/quant's: other devices run the same files.
 */
#include "base/error.h"
#include "device/cuda_kernels.h"
#include "device/device.h"
#include "device/quant_cuda.h"
#include "tribus/quant.h"

#include <math.h>
#include <string.h>

#define MAX_ASSETS 65536 /* so that no product of sizes below overflows */

/* Round up to the alignment of what follows in a scratch. */
static size_t aligned(size_t bytes)
{
    return (bytes + 63u) & ~(size_t)63u;
}

/* ---- mc_var_es ----
 *
 * P&L = w' (m + D L z), D the forecast volatilities, L the factor of the correlation. Since
 * L' (D w) is all that a path needs, D is folded into the weights and L is read where it
 * lies: no N x N product is made. */

enum { MC_PATHS, MC_CONFIDENCE, MC_NU, MC_SEED };

static tribus_quant_mc_cfg mc_cfg(const tribus_kernel_args *args)
{
    tribus_quant_mc_cfg cfg;

    memset(&cfg, 0, sizeof(cfg));
    cfg.assets = (uint32_t)args->dims[0];
    cfg.paths = (uint32_t)args->params[MC_PATHS];
    cfg.confidence = args->params[MC_CONFIDENCE];
    cfg.nu = args->params[MC_NU];
    cfg.seed = (uint64_t)args->params[MC_SEED];
    return cfg;
}

/* Scratch: scaled weights, zeros, loading, P&L. */
static size_t mc_scratch_bytes(const tribus_kernel_args *args)
{
    const int64_t n = args->dims[0];

    if (n < 1 || n > MAX_ASSETS)
        return SIZE_MAX;
    return 2 * aligned((size_t)n * sizeof(float)) +
           aligned(tribus_quant_mc_loading_count((uint32_t)n) * sizeof(float)) +
           (size_t)args->params[MC_PATHS] * sizeof(float);
}

static tribus_status mc_cpu(const tribus_kernel_args *args)
{
    const tribus_quant_mc_cfg cfg = mc_cfg(args);
    const float *forecast = args->inputs[0], *factor = args->inputs[1];
    const float *weights = args->inputs[2];
    double *risk = args->outputs[0], drift = 0.0;
    const size_t vector = aligned(cfg.assets * sizeof(float));
    float *scaled = args->scratch;
    float *zeros = (float *)(void *)((unsigned char *)args->scratch + vector);
    float *loading = (float *)(void *)((unsigned char *)args->scratch + 2 * vector);
    float *pnl = (float *)(void *)((unsigned char *)loading +
                                   aligned(tribus_quant_mc_loading_count(cfg.assets) *
                                           sizeof(float)));
    float none;
    tribus_quant_risk out;
    tribus_status st;

    if (cfg.nu > 0.0 && cfg.nu <= 2.0)
        return tribus_error_set(
            TRIBUS_BAD_DATA, "mc_var_es: nu is %g; wanted 0 (normal) or above 2", cfg.nu);
    for (uint32_t i = 0; i < cfg.assets; i++) {
        const float mean = forecast[2 * i], volatility = forecast[2 * i + 1];

        if (!isfinite(mean) || !isfinite(volatility) || volatility < 0.0f)
            return tribus_error_set(
                TRIBUS_BAD_DATA, "mc_var_es: forecast of asset %u: mean %g, volatility %g",
                i, (double)mean, (double)volatility);
        if (!isfinite(weights[i]))
            return tribus_error_set(TRIBUS_BAD_DATA, "mc_var_es: weight of asset %u is %g",
                                    i, (double)weights[i]);
        scaled[i] = weights[i] * volatility;
        zeros[i] = 0.0f;
        drift += (double)weights[i] * (double)mean;
    }
    st = tribus_quant_mc_load(cfg.assets, zeros, factor, scaled, loading, &none);
    if (st == TRIBUS_OK)
        st = tribus_quant_mc_pnl(&cfg, loading, (float)drift, pnl);
    if (st == TRIBUS_OK)
        st = tribus_quant_var_simulated(cfg.confidence, pnl, cfg.paths, &out);
    if (st != TRIBUS_OK)
        return tribus_error_set(st,
                                "mc_var_es: %u assets, %u paths: the factor or the P&L is "
                                "not finite",
                                cfg.assets, cfg.paths);
    risk[0] = out.var;
    risk[1] = out.es;
    risk[2] = out.mean;
    risk[3] = out.sd;
    return TRIBUS_OK;
}

/* ---- correlation_factor ----
 *
 * Sample correlation, off-diagonal times (1 - shrinkage), then Cholesky. With fewer times
 * than assets the sample matrix is singular; any shrinkage > 0 makes it positive definite.
 * An asset that did not move correlates with nothing. */

enum { CORRELATION_SHRINKAGE };

/* Scratch: returns by time, work of the covariance, covariance; all double. */
static size_t correlation_scratch_bytes(const tribus_kernel_args *args)
{
    const int64_t n = args->dims[0], times = args->dims[1];

    if (n < 1 || n > MAX_ASSETS || times < 2 || times > MAX_ASSETS)
        return SIZE_MAX;
    return 2 * aligned((size_t)n * (size_t)times * sizeof(double)) +
           (size_t)n * (size_t)n * sizeof(double);
}

static tribus_status correlation_cpu(const tribus_kernel_args *args)
{
    const uint32_t n = (uint32_t)args->dims[0], times = (uint32_t)args->dims[1];
    const double keep = 1.0 - args->params[CORRELATION_SHRINKAGE];
    const float *returns = args->inputs[0];
    float *factor = args->outputs[0];
    const size_t part = aligned((size_t)n * times * sizeof(double));
    double *by_time = args->scratch;
    double *work = (double *)(void *)((unsigned char *)args->scratch + part);
    double *cov = (double *)(void *)((unsigned char *)args->scratch + 2 * part);
    tribus_quant_why why = {""};
    tribus_status st;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t t = 0; t < times; t++)
            by_time[(size_t)t * n + i] = (double)returns[(size_t)i * times + t];
    st = tribus_quant_cov_sample((tribus_quant_matrix){by_time, times, n}, 1, NULL, cov,
                                 work, &why);
    if (st != TRIBUS_OK)
        return tribus_error_set(st, "correlation_factor: %s", why.text);
    for (uint32_t i = 0; i < n; i++)
        work[i] = sqrt(cov[(size_t)i * n + i]);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < n; j++) {
            const double scale = work[i] * work[j];

            cov[(size_t)i * n + j] =
                i == j ? 1.0 : (scale > 0.0 ? keep * cov[(size_t)i * n + j] / scale : 0.0);
        }
    }
    st = tribus_quant_cholesky(cov, n, 1e-12, &why);
    if (st != TRIBUS_OK)
        return tribus_error_set(st, "correlation_factor: %s", why.text);
    for (size_t k = 0; k < (size_t)n * n; k++)
        factor[k] = (float)cov[k];
    return TRIBUS_OK;
}

static const tribus_kernel_code table[] = {
    {.entry = {.name = "mc_var_es",
               .meaning = "Monte-Carlo value at risk and expected shortfall of a portfolio",
               .inputs = {{"forecast", "f32", "assets,2",
                           "mean and volatility of each asset's next return"},
                          {"factor", "f32", "assets,assets",
                           "lower Cholesky factor of the correlation, row-major"},
                          {"weights", "f32", "assets", "position of each asset, in money"}},
               .input_count = 3,
               .outputs = {{"risk", "f64", "4",
                            "VaR and ES (losses positive), mean and deviation of the P&L"}},
               .output_count = 1,
               .params = {{"paths", true, 10000, 100, 10000000, "simulated returns"},
                          {"confidence", false, 0.95, 0.5, 0.9999, "0.95: worst 5 %"},
                          {"nu", false, 0, 0, 1000,
                           "0: normal; else degrees of freedom of Student-t, above 2"},
                          {"seed", true, 1, 0, 9007199254740992.0, "of the random numbers"},
                          {"exact", true, 0, 0, 1,
                           "on a card, 1: the bits of the CPU, at half the speed"}},
               .param_count = 5},
     .scratch_bytes = mc_scratch_bytes,
     .cpu = mc_cpu,
     .cuda = tribus_cuda_kernels_mc_var_es},
    {.entry = {.name = "correlation_factor",
               .meaning = "Cholesky factor of the shrunk sample correlation of returns",
               .inputs = {{"returns", "f32", "assets,times", "log returns, oldest first"}},
               .input_count = 1,
               .outputs = {{"factor", "f32", "assets,assets",
                            "lower triangular, row-major, zero above the diagonal"}},
               .output_count = 1,
               .params = {{"shrinkage", false, 0.1, 0, 1,
                           "0: the sample correlation; 1: no correlation"}},
               .param_count = 1},
     .scratch_bytes = correlation_scratch_bytes,
     .cpu = correlation_cpu,
     .cuda = tribus_quant_cuda_correlation},
};

const tribus_kernel_code *tribus_kernels_at(uint32_t i)
{
    const uint32_t own = sizeof(table) / sizeof(table[0]);

    return i < own ? &table[i] : tribus_kernels_quant_at(i - own);
}
