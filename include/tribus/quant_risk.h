/* quant_risk.h -- value at risk and expected shortfall.
 *
 * Sign        var and es are losses: 0.012 means "lose 1.2 %", and es >= var. References
 *             that print the quantile of the P&L (ORE, PerformanceAnalytics) show -var.
 * Confidence  0.95 means the worst 5 %.
 */
#ifndef TRIBUS_QUANT_RISK_H
#define TRIBUS_QUANT_RISK_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tribus_quant_risk {
    double var;  /* loss exceeded with probability 1 - confidence */
    double es;   /* mean loss in that tail; >= var */
    double mean; /* of the P&L (a gain is positive) */
    double sd;   /* of the P&L: population for a series, model sd for a closed form */
} tribus_quant_risk;

/* How ES averages the tail of a series; they differ by at most one observation. */
typedef enum tribus_quant_es_rule {
    TRIBUS_QUANT_ES_COUNT = 0, /* the ceil(n q) smallest (ORE) */
    TRIBUS_QUANT_ES_BELOW,     /* all <= the VaR quantile (PerformanceAnalytics) */
    TRIBUS_QUANT_ES_EXACT /* q n values, the last one in part (Acerbi and Tasche 2002) */
} tribus_quant_es_rule;

/* ---- of a series of P&Ls or returns ---- */

typedef struct tribus_quant_var_cfg {
    double confidence;               /* in (0, 1); 0: 0.95 */
    tribus_quant_quantile_rule rule; /* 0: type 1 */
    tribus_quant_es_rule es_rule;
} tribus_quant_var_cfg;

/* Historical. pnl: n values, sorted ascending in place.
 * ORE: type 1 and ES_COUNT. PerformanceAnalytics: type 7 and ES_BELOW.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (confidence, rule, n == 0), TRIBUS_BAD_DATA (not
 * finite). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_var_historical(const tribus_quant_var_cfg *cfg,
                                                            double *pnl, uint32_t n,
                                                            tribus_quant_risk *out);

/* The same for float P&Ls of a simulation, by selection in O(n); type 1, ES_COUNT.
 * pnl is reordered. Returns as above. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_var_simulated(double confidence, float *pnl,
                                                           uint32_t n,
                                                           tribus_quant_risk *out);

/* ---- closed forms ---- */

/* Gaussian: var = -(mean + z sd), es = -mean + sd phi(z) / (1 - confidence).
 * For a series: PerformanceAnalytics uses the population sd for one series, the sample sd
 * for components; pass the one you mean. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_var_gaussian(double mean, double sd,
                                                          double confidence,
                                                          tribus_quant_risk *out);

/* Student-t whose standard deviation is sd (the scale is sd sqrt((nu - 2) / nu)); nu > 2.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_var_student(double mean, double sd, double nu,
                                                         double confidence,
                                                         tribus_quant_risk *out);

/* Modified VaR (Cornish-Fisher; Zangari 1996) and modified ES (Boudt, Peterson, Croux
 * 2008), from population moments. As PerformanceAnalytics with operational = TRUE, es is
 * never below var. Far from normal moments the expansion loses monotony in confidence.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_BAD_DATA (constant series). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_var_modified(const tribus_quant_moments *m,
                                                          double confidence,
                                                          tribus_quant_risk *out);

/* Distribution functions used above, in double: relative error below 1e-12 in [1e-300, 1).
 */
double tribus_quant_normal_cdf(double x);
double
tribus_quant_normal_quantile(double p); /* p in (0, 1), else NaN or +-inf at the ends */
double tribus_quant_student_cdf(double x, double nu);
double tribus_quant_student_quantile(double p, double nu);

/* ---- Monte-Carlo ---- */

/* assets x paths of a linear portfolio. Zero means default where it says so.
 * Path i is a function of (seed, first_path + i) alone: a range of paths may be split
 * between calls, threads and devices (src/quant/mc.h is what a GPU thread runs) with equal
 * results. */
typedef struct tribus_quant_mc_cfg {
    uint32_t assets, paths;
    double confidence; /* 0: 0.95 */
    double nu;         /* 0: normal; else Student-t with the covariance as given, nu > 2 */
    uint64_t seed;
    uint64_t first_path;
} tribus_quant_mc_cfg;

/* Bytes of scratch that the calls below need; 0 for a bad cfg. */
size_t tribus_quant_mc_scratch_bytes(const tribus_quant_mc_cfg *cfg);

/* Simulate and summarise. mean: assets; chol: assets x assets, lower triangular, row-major
 * (the upper triangle is not read); weights: assets, in money or fractions.
 * scratch: aligned to 4 bytes; after the call it starts with the paths' P&Ls, reordered.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (cfg, or scratch too small), TRIBUS_BAD_DATA (input not
 * finite). Cost: assets * paths normal numbers, about 3 ns each on one core with AVX2. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_mc_risk(const tribus_quant_mc_cfg *cfg,
                                                     const float *mean, const float *chol,
                                                     const float *weights, void *scratch,
                                                     size_t scratch_bytes,
                                                     tribus_quant_risk *out);

/* The two halves of tribus_quant_mc_risk(), for callers that split paths.
 * loading: tribus_quant_mc_loading_count(assets) floats out, L' w padded with zeros;
 * drift: w' mean out. Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_BAD_DATA. */
uint32_t tribus_quant_mc_loading_count(uint32_t assets);
TRIBUS_MUST_CHECK tribus_status tribus_quant_mc_load(uint32_t assets, const float *mean,
                                                     const float *chol,
                                                     const float *weights, float *loading,
                                                     float *drift);
/* pnl: cfg->paths floats out. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_mc_pnl(const tribus_quant_mc_cfg *cfg,
                                                    const float *loading, float drift,
                                                    float *pnl);

/* The asset returns themselves, for portfolios that are not linear: out[p * assets + i] of
 * paths first_path .. first_path + paths - 1. Equal paths to the calls above.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG. Cost: a triangular matrix product. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_mc_scenarios(const tribus_quant_mc_cfg *cfg,
                                                          const float *mean,
                                                          const float *chol, float *out);

#ifdef __cplusplus
}
#endif

#endif
