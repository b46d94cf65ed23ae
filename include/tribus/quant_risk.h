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

/* Scenarios with a normal (cfg->nu == 0) or Student-t copula and the assets' own marginals.
 * chol: lower factor of a CORRELATION matrix. sorted: assets rows x observations columns,
 * each row ascending; asset i gets the type-7 quantile of its row. out as above.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG. Cost: about 0.1 us a value, 1 us for Student-t. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_mc_copula(const tribus_quant_mc_cfg *cfg,
                                                       const float *chol,
                                                       tribus_quant_matrix sorted,
                                                       float *out);

/* ---- whose risk it is ---- */

/* Gaussian VaR of each position (Euler): component_i = w_i * dVaR/dw_i; they add up to VaR.
 * cov.rows = assets; component: assets values out; out (the whole VaR and ES) may be NULL.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, or TRIBUS_BAD_DATA (variance not positive). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_var_components(
    tribus_quant_matrix cov, const double *mean, const double *weights, double confidence,
    double *component, tribus_quant_risk *out);

/* ES of each position in the worst ceil(n q) rows of returns; they add up to the ES
 * (ES_COUNT) of the portfolio. scratch: 2 * returns.rows doubles.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_es_components(
    tribus_quant_matrix returns, const double *weights, double confidence,
    double *component, double *scratch, tribus_quant_risk *out);

/* ---- stress ---- */

/* P&L of a buy-and-hold portfolio over rows first .. first + length - 1 of history:
 * sum_i w_i (prod (1 + r_ti) - 1). Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_stress_window(tribus_quant_matrix returns,
                                                           const double *weights,
                                                           uint32_t first, uint32_t length,
                                                           double *pnl);

/* The window of that length with the lowest P&L. Returns as above. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_stress_worst(tribus_quant_matrix returns,
                                                          const double *weights,
                                                          uint32_t length, uint32_t *first,
                                                          double *pnl);

/* P&L of each row of a table of asset shocks: pnl[s] = sum_i w_i shock[s][i]. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_stress_table(tribus_quant_matrix shocks,
                                                          const double *weights,
                                                          double *pnl);

/* Factor shocks to asset shocks: out[i] = sum_f exposure[i][f] shock[f]. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_stress_factors(tribus_quant_matrix exposure,
                                                            const double *shock,
                                                            double *out);

/* ---- GARCH(1,1) ---- */

/* r_t = mu + e_t, h_t = omega + alpha e_{t-1}^2 + beta h_{t-1}, Bollerslev (1986); the first
 * h is omega + (alpha + beta) mean(e^2), as in Bollerslev and Ghysels' (1996) benchmark. */
typedef struct tribus_quant_garch {
    double mu, omega, alpha, beta;
    double log_likelihood;
    double next_variance; /* h of the period after the last return */
    uint32_t iterations;
} tribus_quant_garch;

/* Maximum likelihood by BFGS with exact gradients; alpha + beta < 1 is kept.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (n < 20), TRIBUS_BAD_DATA (constant or not finite),
 * or TRIBUS_TIMEOUT when 500 iterations do not converge. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_garch_fit(const double *returns, uint32_t n,
                                                       tribus_quant_garch *out);

/* Given mu, omega, alpha, beta: set log_likelihood and next_variance; variance (may be
 * NULL): n values of h out. Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_garch_filter(const double *returns, uint32_t n,
                                                          tribus_quant_garch *g,
                                                          double *variance);

/* Filtered historical simulation (Barone-Adesi, Giannopoulos, Vosper 1999): historical VaR of
 * mu + sqrt(next_variance) * standardised residuals. scratch: 2 n doubles. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_var_filtered(const tribus_quant_var_cfg *cfg,
                                                          const double *returns, uint32_t n,
                                                          const tribus_quant_garch *g,
                                                          double *scratch,
                                                          tribus_quant_risk *out);

/* ---- options ---- */

typedef struct tribus_quant_option {
    int call; /* nonzero: call, zero: put */
    double strike, spot;
    double dividend, rate; /* continuous, per year */
    double years, volatility;
} tribus_quant_option;

typedef struct tribus_quant_greeks {
    double price, delta, gamma;
    double vega;  /* per 1.00 of volatility */
    double theta; /* per year */
    double rho;   /* per 1.00 of rate */
} tribus_quant_greeks;

/* European option by Black-Scholes-Merton (Haug 1998). years or volatility 0 gives the
 * discounted intrinsic value of the forward. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_option_price(const tribus_quant_option *o,
                                                          tribus_quant_greeks *out);

#ifdef __cplusplus
}
#endif

#endif
