/* quant_portfolio.h -- portfolios: a certified QP solver and what is built on it.
 *
 * Use it to   find weights under box, row (budget, group) and turnover constraints.
 * Not for     integer lots, cardinality limits or cone constraints.
 *
 * Every result carries its own proof: the KKT residual, computed from the answer and the
 * problem alone. Covariances may be singular: a ridge of 1e-12 of their mean variance is
 * added in the factorisation, not in the residual. See quant.h for memory and threads.
 */
#ifndef TRIBUS_QUANT_PORTFOLIO_H
#define TRIBUS_QUANT_PORTFOLIO_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- quadratic programs ---- */

/*   minimise  1/2 x' H x + q' x
 *   with      lower <= x <= upper,  row_lower <= A x <= row_upper,
 *             sum |x_i - start_i| <= turnover            (when start is given)
 * All arrays are borrowed for the call. */
typedef struct tribus_quant_qp {
    uint32_t n, rows;
    const double *h;                     /* n x n, symmetric, positive semi-definite */
    const double *q;                     /* n, or NULL: zeros */
    const double *lower;                 /* n, -INFINITY allowed */
    const double *upper;                 /* n, INFINITY allowed */
    const double *a;                     /* rows x n */
    const double *row_lower, *row_upper; /* rows; equal: an equation */
    const double *start;                 /* n, or NULL: no turnover limit */
    double turnover;
} tribus_quant_qp;

typedef struct tribus_quant_qp_result {
    double objective;
    double kkt;          /* largest relative violation of the optimality conditions */
    uint32_t iterations; /* equality-constrained problems solved */
    uint32_t free_count; /* weights strictly between their bounds */
    uint32_t bad_row;    /* infeasible: the row that cannot hold; `rows` means turnover */
} tribus_quant_qp_result;

/* Bytes of work space; the same block, untouched, makes the next solve of a problem of the
 * same n and rows start from this answer (warm); zero its first 8 bytes for a cold start. */
size_t tribus_quant_qp_bytes(uint32_t n, uint32_t rows);

/* x: n values out, on TRIBUS_OK and TRIBUS_TIMEOUT. work: tribus_quant_qp_bytes() bytes,
 * aligned to 8. Method: guess of the active set by primal-dual steps, finished by a primal
 * active-set method on the exact L1 penalty of the rows.
 * Returns TRIBUS_OK (kkt <= 1e-8), TRIBUS_BAD_ARG, TRIBUS_BAD_DATA (not finite, lower >
 * upper, H not semi-definite), TRIBUS_REFUSED (infeasible: why names the constraint), or
 * TRIBUS_TIMEOUT (20 (n + rows) + 100 iterations; x is the best found and kkt says how good). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_qp_solve(const tribus_quant_qp *qp, void *work,
                                                      double *x,
                                                      tribus_quant_qp_result *out,
                                                      tribus_quant_why *why);

/* ---- portfolios by mean and variance ---- */

/* A portfolio problem: weights that add up to `budget`, in a box, in groups. */
typedef struct tribus_quant_portfolio {
    uint32_t assets;
    const double *cov;      /* assets x assets */
    const double *mean;     /* assets, or NULL where only variance matters */
    double lower, upper;    /* of each weight; both 0: 0 and 1 */
    const double *lower_at; /* assets, or NULL: `lower` for all */
    const double *upper_at;
    double budget; /* 0: 1 */
    uint32_t groups;
    const double *group;                     /* groups x assets, 1 for a member */
    const double *group_lower, *group_upper; /* groups */
    const double *start; /* assets, or NULL; with turnover as in the qp */
    double turnover;
} tribus_quant_portfolio;

typedef struct tribus_quant_portfolio_result {
    double mean, volatility; /* of the portfolio, in the units of mean and cov */
    double sharpe;           /* (mean - rate) / volatility; NaN without mean */
    tribus_quant_qp_result qp;
} tribus_quant_portfolio_result;

/* Work space of the three calls below: the qp's, and room to describe it. Warm as the qp. */
size_t tribus_quant_portfolio_bytes(uint32_t assets, uint32_t groups);

/* Minimum variance. Returns as tribus_quant_qp_solve(). */
TRIBUS_MUST_CHECK tribus_status
tribus_quant_min_variance(const tribus_quant_portfolio *p, void *work, double *weights,
                          tribus_quant_portfolio_result *out, tribus_quant_why *why);

/* Maximum of mean - aversion / 2 * variance (Markowitz 1952). aversion > 0. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_mean_variance(
    const tribus_quant_portfolio *p, double aversion, void *work, double *weights,
    tribus_quant_portfolio_result *out, tribus_quant_why *why);

/* Maximum of (mean - rate) / volatility. Along the efficient frontier min 1/2 x'Cx - t m'x
 * the best t solves x'Cx = t (m'x - rate); a bracketed secant finds it, each solve warm.
 * Returns also TRIBUS_REFUSED when no feasible portfolio earns more than the rate, and when one
 * has no variance (a singular covariance), so that the ratio has no maximum. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_max_sharpe(const tribus_quant_portfolio *p,
                                                        double rate, void *work,
                                                        double *weights,
                                                        tribus_quant_portfolio_result *out,
                                                        tribus_quant_why *why);

/* ---- portfolios without forecasts ---- */

/* Risk parity: weights > 0 adding up to 1 whose shares of variance are `share` (adding up to
 * 1; NULL: equal). Spinu (2013), cyclic coordinate descent (Griveau-Billion et al. 2013).
 * residual: largest |share of variance - wanted|, below 1e-10 on TRIBUS_OK; may be NULL.
 * scratch: assets doubles. Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_BAD_DATA (a variance or
 * share is not positive) or TRIBUS_TIMEOUT (10,000 sweeps). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_risk_parity(tribus_quant_matrix cov,
                                                         const double *share,
                                                         double *weights, double *scratch,
                                                         double *residual);

/* Hierarchical risk parity (Lopez de Prado 2016): single linkage of sqrt((1 - rho) / 2),
 * quasi-diagonal order, recursive bisection by inverse variance. As PyPortfolioOpt: linkage
 * on the correlation distance itself, not on the distance of its columns.
 * scratch: tribus_quant_hrp_bytes(). Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_BAD_DATA. */
size_t tribus_quant_hrp_bytes(uint32_t assets);
TRIBUS_MUST_CHECK tribus_status tribus_quant_hrp(tribus_quant_matrix cov, double *weights,
                                                 void *scratch);

/* ---- views ---- */

/* Black and Litterman (1992): prior N(pi, tau cov), views P mu = Q + noise of variance omega.
 *   mean = pi + tau C P' (P tau C P' + omega)^-1 (Q - P pi)
 *   cov  = C + tau C - tau C P' (P tau C P' + omega)^-1 P tau C */
typedef struct tribus_quant_views {
    const double *prior; /* pi, assets */
    double tau;          /* 0: 0.05 */
    uint32_t count;      /* views, 0 allowed */
    const double *p;     /* count x assets */
    const double *q;     /* count */
    const double *omega; /* count variances, or NULL: those of P tau C P' (He, Litterman) */
} tribus_quant_views;

/* mean: assets out; cov_out: assets x assets out, may be NULL.
 * scratch: count * (assets + count + 1) doubles.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_BAD_DATA (views that contradict each other
 * without noise). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_black_litterman(const tribus_quant_views *v,
                                                             tribus_quant_matrix cov,
                                                             double *mean, double *cov_out,
                                                             double *scratch);

/* ---- portfolios by scenarios ---- */

typedef enum tribus_quant_tail {
    TRIBUS_QUANT_TAIL_CVAR = 0, /* Rockafellar, Uryasev (2000) */
    TRIBUS_QUANT_TAIL_MAD       /* mean absolute deviation; Konno, Yamazaki (1991) */
} tribus_quant_tail;

typedef struct tribus_quant_tail_cfg {
    tribus_quant_tail kind;
    double confidence;   /* of CVaR; 0: 0.95 */
    double lower, upper; /* of each weight; both 0: 0 and 1 */
    double budget;       /* 0: 1 */
    const double *mean;  /* assets: expected returns for the floor below, or NULL */
    double mean_floor;   /* mean' x >= mean_floor, where mean is given */
    /* as of tribus_quant_portfolio; zero: none */
    const double *lower_at, *upper_at;
    uint32_t groups;
    const double *group, *group_lower, *group_upper;
    const double *start;
    double turnover;
} tribus_quant_tail_cfg;

typedef struct tribus_quant_tail_result {
    double risk;         /* CVaR (ES_EXACT, a loss) or mean absolute deviation */
    double gap;          /* duality gap relative to the risk */
    double infeasible;   /* largest violation of a constraint */
    uint32_t iterations; /* of the interior-point method */
} tribus_quant_tail_result;

/* Weights of least tail risk over the rows of returns, by a primal-dual interior-point method
 * whose work is one assets x assets factorisation a step (2 assets with a turnover limit).
 * work: tribus_quant_tail_bytes() bytes for this cfg, aligned to 8. Returns TRIBUS_OK (gap and
 * infeasible <= 1e-9), TRIBUS_BAD_ARG, TRIBUS_BAD_DATA, TRIBUS_REFUSED (no feasible weights, or
 * only one: why names the constraint) or TRIBUS_TIMEOUT. */
size_t tribus_quant_tail_bytes(const tribus_quant_tail_cfg *cfg, uint32_t rows,
                               uint32_t assets);
TRIBUS_MUST_CHECK tribus_status tribus_quant_min_tail(const tribus_quant_tail_cfg *cfg,
                                                      tribus_quant_matrix returns,
                                                      void *work, double *weights,
                                                      tribus_quant_tail_result *out,
                                                      tribus_quant_why *why);

#ifdef __cplusplus
}
#endif

#endif
