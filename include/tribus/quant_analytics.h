/* quant_analytics.h -- performance and attribution of a series of returns.
 *
 * Conventions are those of Bacon (2008) as in PerformanceAnalytics: ratios annualise the
 * geometric mean; risk in the Bacon ratios is the population sd; beta is cov / var.
 * Returns are simple, per period, oldest first. See quant.h for memory and threads.
 */
#ifndef TRIBUS_QUANT_ANALYTICS_H
#define TRIBUS_QUANT_ANALYTICS_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tribus_quant_performance_cfg {
    double per_year; /* periods in a year: 12, 252; 0: 252 */
    double rate;     /* risk-free, per year */
    double mar;      /* minimum acceptable return, per period */
} tribus_quant_performance_cfg;

/* What cannot be computed (no losses, no benchmark, constant series) is NaN. */
typedef struct tribus_quant_performance {
    double total;              /* prod (1 + r) - 1 */
    double annual;             /* (1 + total)^(per_year / n) - 1 */
    double volatility;         /* population sd * sqrt(per_year) */
    double sharpe;             /* (annual - rate) / volatility */
    double downside_deviation; /* sqrt(mean min(0, r - mar)^2), per period */
    double sortino;            /* (mean - mar) / downside_deviation, per period */
    double upside_potential;   /* mean max(0, r - mar) / downside_deviation */
    double omega;              /* sum of gains over mar / sum of losses under it */
    double bernardo_ledoit;    /* omega with mar 0 */
    double max_drawdown;       /* positive: 0.2 = 20 % below the peak */
    double average_drawdown;   /* mean of each fall's deepest point */
    double pain_index;         /* mean drawdown over all periods */
    double ulcer_index;        /* sqrt(mean drawdown^2) */
    double calmar;             /* annual / max_drawdown */
    double burke;              /* (annual - rate) / sqrt(sum of each fall's depth^2) */
    double pain_ratio;         /* (annual - rate) / pain_index */
    double martin_ratio;       /* (annual - rate) / ulcer_index */
    double skewness, kurtosis; /* population; kurtosis is excess */
    double hit_rate;           /* fraction of periods above 0 */
    /* against a benchmark */
    double beta;
    double alpha;           /* intercept of the regression, per period */
    double jensen_alpha;    /* annual - rate - beta (benchmark annual - rate) */
    double specific_risk;   /* population sd of the regression's residual, annual */
    double systematic_risk; /* |beta| * benchmark volatility */
    double m_squared;       /* sharpe * benchmark volatility + rate (Modigliani) */
    double treynor;         /* (annual - rate) / beta */
    double tracking_error;  /* sample sd of r - b, annual */
    double information;     /* (annual - benchmark annual) / tracking_error */
    double correlation;
} tribus_quant_performance;

/* benchmark: n values or NULL. Returns TRIBUS_OK, TRIBUS_BAD_ARG (n == 0) or TRIBUS_BAD_DATA
 * (not finite, or a return below -1). Cost: one pass for each group, no memory. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_performance_of(
    const tribus_quant_performance_cfg *cfg, const double *returns, const double *benchmark,
    uint32_t n, tribus_quant_performance *out);

/* The same over each window of `window` returns: out[i] is that of rows i .. i + window - 1;
 * n - window + 1 results. Returns as above. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_performance_rolling(
    const tribus_quant_performance_cfg *cfg, const double *returns, uint32_t n,
    uint32_t window, tribus_quant_performance *out);

/* Drawdown of each period: value / peak so far - 1 (<= 0), the start counting as a peak. */
void tribus_quant_drawdown(const double *returns, uint32_t n, double *out);

typedef struct tribus_quant_fall {
    uint32_t from, trough, to; /* first row below the peak, deepest row, row of recovery */
    double depth;              /* positive; to == n: not recovered */
} tribus_quant_fall;

/* The deepest falls, deepest first. out: capacity entries; returns how many it set. */
uint32_t tribus_quant_falls(const double *returns, uint32_t n, tribus_quant_fall *out,
                            uint32_t capacity);

/* Brinson and Fachler (1985), one period, per segment:
 *   allocation  = (w - wb) (b - B)    selection = wb (r - b)    interaction = (w - wb)(r - b)
 * They add up to the portfolio's return less the benchmark's. */
typedef struct tribus_quant_segment {
    double weight, benchmark_weight;           /* w, wb */
    double returns, benchmark;                 /* r, b */
    double allocation, selection, interaction; /* out */
} tribus_quant_segment;

/* Returns the whole excess return. */
double tribus_quant_attribution(tribus_quant_segment *segments, uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
