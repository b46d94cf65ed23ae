/* portfolio.c -- minimum variance, mean-variance and maximum Sharpe on the QP of qp.c.
 * See tribus/quant_portfolio.h. */
#include "tribus/quant_portfolio.h"

#include "quant/why.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* Row 0 is the budget, the groups follow. */
typedef struct qp_plan {
    tribus_quant_qp qp;
    double *q;
    void *work;
} qp_plan;

static size_t plan_doubles(uint32_t assets, uint32_t groups)
{
    const size_t n = assets, rows = (size_t)groups + 1;

    return 3 * n + rows * n + 2 * rows;
}

size_t tribus_quant_portfolio_bytes(uint32_t assets, uint32_t groups)
{
    return tribus_quant_qp_bytes(assets, groups + 1) +
           plan_doubles(assets, groups) * sizeof(double) + 8;
}

/* The qp's block comes first, because its first bytes say whether it is warm. */
static tribus_status make_plan(const tribus_quant_portfolio *p, void *work, qp_plan *out,
                               tribus_quant_why *why)
{
    const size_t n = p == NULL ? 0 : p->assets,
                 rows = p == NULL ? 0 : (size_t)p->groups + 1;
    const int plain = p != NULL && p->lower == 0.0 && p->upper == 0.0;
    double *at, *lower, *upper, *a, *row_lower, *row_upper;

    if (n == 0 || work == NULL || p->cov == NULL ||
        (p->groups > 0 &&
         (p->group == NULL || p->group_lower == NULL || p->group_upper == NULL))) {
        tribus_quant_why_set(why, "portfolio without assets, covariance or groups");
        return TRIBUS_BAD_ARG;
    }
    at = (double *)((char *)work +
                    (tribus_quant_qp_bytes((uint32_t)n, (uint32_t)rows) + 7) / 8 * 8);
    out->q = at;
    lower = at + n;
    upper = lower + n;
    a = upper + n;
    row_lower = a + rows * n;
    row_upper = row_lower + rows;
    for (size_t i = 0; i < n; i++) {
        out->q[i] = 0.0;
        lower[i] = p->lower_at != NULL ? p->lower_at[i] : p->lower;
        upper[i] = p->upper_at != NULL ? p->upper_at[i] : plain ? 1.0 : p->upper;
        a[i] = 1.0;
    }
    row_lower[0] = row_upper[0] = p->budget == 0.0 ? 1.0 : p->budget;
    if (p->groups > 0) {
        memcpy(a + n, p->group, p->groups * n * sizeof(*a));
        memcpy(row_lower + 1, p->group_lower, p->groups * sizeof(*a));
        memcpy(row_upper + 1, p->group_upper, p->groups * sizeof(*a));
    }
    out->qp = (tribus_quant_qp){.n = (uint32_t)n,
                                .rows = (uint32_t)rows,
                                .h = p->cov,
                                .q = out->q,
                                .lower = lower,
                                .upper = upper,
                                .a = a,
                                .row_lower = row_lower,
                                .row_upper = row_upper,
                                .start = p->start,
                                .turnover = p->turnover};
    out->work = work;
    return TRIBUS_OK;
}

/* The QP calls constraints by number; a user knows them as the budget and the groups. */
static tribus_status run(const qp_plan *plan, double *weights, tribus_quant_qp_result *out,
                         tribus_quant_why *why)
{
    const tribus_status st =
        tribus_quant_qp_solve(&plan->qp, plan->work, weights, out, why);

    if (st != TRIBUS_REFUSED || why == NULL || out->bad_row >= plan->qp.rows)
        return st;
    if (out->bad_row == 0)
        tribus_quant_why_set(why,
                             "infeasible: weights within their bounds cannot add up to "
                             "the budget %g",
                             plan->qp.row_lower[0]);
    else
        tribus_quant_why_set(why, "infeasible: group %u cannot stay within %g and %g",
                             out->bad_row - 1, plan->qp.row_lower[out->bad_row],
                             plan->qp.row_upper[out->bad_row]);
    return st;
}

static void describe(const tribus_quant_portfolio *p, const double *w, double rate,
                     tribus_quant_portfolio_result *out)
{
    double variance = 0.0;

    for (uint32_t i = 0; i < p->assets; i++)
        variance +=
            w[i] * cblas_ddot((int)p->assets, &p->cov[(size_t)i * p->assets], 1, w, 1);
    out->volatility = sqrt(fmax(0.0, variance));
    out->mean = p->mean == NULL ? NAN : cblas_ddot((int)p->assets, p->mean, 1, w, 1);
    out->sharpe = (out->mean - rate) / out->volatility;
}

tribus_status tribus_quant_min_variance(const tribus_quant_portfolio *p, void *work,
                                        double *weights, tribus_quant_portfolio_result *out,
                                        tribus_quant_why *why)
{
    qp_plan plan;
    tribus_status st = make_plan(p, work, &plan, why);

    if (st != TRIBUS_OK)
        return st;
    if (weights == NULL || out == NULL)
        return TRIBUS_BAD_ARG;
    st = run(&plan, weights, &out->qp, why);
    if (st == TRIBUS_OK || st == TRIBUS_TIMEOUT)
        describe(p, weights, 0.0, out);
    return st;
}

tribus_status tribus_quant_mean_variance(const tribus_quant_portfolio *p, double aversion,
                                         void *work, double *weights,
                                         tribus_quant_portfolio_result *out,
                                         tribus_quant_why *why)
{
    qp_plan plan;
    tribus_status st = make_plan(p, work, &plan, why);

    if (st != TRIBUS_OK)
        return st;
    if (p->mean == NULL || !(aversion > 0.0) || isinf(aversion) || weights == NULL ||
        out == NULL) {
        tribus_quant_why_set(why,
                             "mean-variance needs expected returns and an aversion > 0");
        return TRIBUS_BAD_ARG;
    }
    for (uint32_t i = 0; i < p->assets; i++)
        plan.q[i] = -p->mean[i] / aversion;
    st = run(&plan, weights, &out->qp, why);
    if (st == TRIBUS_OK || st == TRIBUS_TIMEOUT)
        describe(p, weights, 0.0, out);
    return st;
}

/* What one point of the frontier needs and gives. */
typedef struct frontier {
    const tribus_quant_portfolio *p;
    qp_plan plan;
    double rate, *weights;
    double slope; /* x'Cx - t (m'x - rate), which is >= 0 left of the best t */
    uint32_t iterations;
    tribus_quant_portfolio_result *out;
    tribus_quant_why *why;
} frontier;

static tribus_status point_at(frontier *f, double t)
{
    tribus_status st;

    for (uint32_t i = 0; i < f->p->assets; i++)
        f->plan.q[i] = -t * f->p->mean[i];
    st = run(&f->plan, f->weights, &f->out->qp, f->why);
    if (st != TRIBUS_OK)
        return st;
    f->iterations += f->out->qp.iterations;
    describe(f->p, f->weights, f->rate, f->out);
    f->slope = f->out->volatility * f->out->volatility - t * (f->out->mean - f->rate);
    return TRIBUS_OK;
}

/* Is that volatility nothing but rounding? */
static int is_riskless(const tribus_quant_portfolio *p, double volatility)
{
    double largest = 0.0;

    for (size_t i = 0; i < p->assets; i++)
        largest = fmax(largest, p->cov[i * p->assets + i]);
    return volatility * volatility <= 1e-10 * largest;
}

tribus_status tribus_quant_max_sharpe(const tribus_quant_portfolio *p, double rate,
                                      void *work, double *weights,
                                      tribus_quant_portfolio_result *out,
                                      tribus_quant_why *why)
{
    frontier f = {.p = p, .rate = rate, .weights = weights, .out = out, .why = why};
    double low = 0.0, high, at_low, at_high, t;
    int last = 0;
    tribus_status st = make_plan(p, work, &f.plan, why);

    if (st != TRIBUS_OK)
        return st;
    if (p->mean == NULL || !isfinite(rate) || weights == NULL || out == NULL) {
        tribus_quant_why_set(why,
                             "maximum Sharpe needs expected returns and a finite rate");
        return TRIBUS_BAD_ARG;
    }
    st = point_at(&f, 0.0);
    if (st != TRIBUS_OK)
        return st;
    if (is_riskless(p, out->volatility)) {
        tribus_quant_why_set(why, "a feasible portfolio has no variance (the covariance is "
                                  "singular): the Sharpe ratio has no maximum");
        return TRIBUS_REFUSED;
    }
    at_low = f.slope;
    high = out->mean > rate ? at_low / (out->mean - rate) : out->volatility;
    for (int doubling = 0;; doubling++) {
        st = point_at(&f, high);
        if (st != TRIBUS_OK)
            return st;
        at_high = f.slope;
        if (at_high <= 0.0)
            break;
        if (doubling == 60) {
            tribus_quant_why_set(why, "no feasible portfolio earns more than the rate %g",
                                 rate);
            return TRIBUS_REFUSED;
        }
        low = high;
        at_low = at_high;
        high *= 2.0;
    }
    /* The slope is linear in t while the active set stays, so the secant lands at once; the
     * halving of Illinois keeps the bracket shrinking from both sides. */
    for (int i = 0; i < 100; i++) {
        t = (low * at_high - high * at_low) / (at_high - at_low);
        if (!(t > low && t < high))
            t = at_high == 0.0 ? high : 0.5 * (low + high);
        st = point_at(&f, t);
        if (st != TRIBUS_OK)
            return st;
        if (fabs(f.slope) <= 1e-13 * out->volatility * out->volatility ||
            high - low <= 1e-15 * high)
            break;
        if (f.slope > 0.0) {
            low = t;
            at_low = f.slope;
            at_high *= last > 0 ? 0.5 : 1.0;
        } else {
            high = t;
            at_high = f.slope;
            at_low *= last < 0 ? 0.5 : 1.0;
        }
        last = f.slope > 0.0 ? 1 : -1;
    }
    out->qp.iterations = f.iterations;
    return TRIBUS_OK;
}
