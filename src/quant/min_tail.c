/* min_tail.c -- makes the problem that tail.c solves: weights within bounds, groups, a floor of
 * the mean and a turnover limit. See tribus/quant_portfolio.h.
 *
 * Under a turnover limit a variable is what is bought (sign +1) or sold (-1) of an asset, so
 * that sum |x - start| is linear. Weights whose bounds are equal, and what a start outside its
 * bounds must trade in any case, are no variables: they are `held`.
 *
 * Whether there is a solution at all is asked of the QP first, which can name the constraint
 * that fails. */
#include "quant/tail.h"
#include "quant/why.h"

#include <math.h>
#include <string.h>

/* Limits give way by this much, relative, so that an equation has an inside. It is a tenth of
 * what the result may violate. */
#define SLACK 1e-10

typedef struct tail_plan {
    const tribus_quant_tail_cfg *cfg;
    tribus_quant_matrix r;
    double *identity, *group, *group_lower, *group_upper; /* of the question to the QP */
    double *lower, *upper, *held;                         /* assets */
    double turnover;                                      /* left for the variables */
    void *qp;
    uint32_t groups; /* the floor is one more */
    tribus_quant_tail_problem problem;
} tail_plan;

static size_t variables_of(const tribus_quant_tail_cfg *cfg, uint32_t assets)
{
    return (size_t)assets * (cfg->start != NULL ? 2 : 1);
}

static size_t limits_of(const tribus_quant_tail_cfg *cfg)
{
    return 2 * (size_t)cfg->groups + 2;
}

size_t tribus_quant_tail_bytes(const tribus_quant_tail_cfg *cfg, uint32_t rows,
                               uint32_t assets)
{
    const size_t n = assets, groups = cfg == NULL ? 0 : (size_t)cfg->groups + 1;

    if (cfg == NULL)
        return 0;
    return (tribus_quant_tail_doubles(rows, variables_of(cfg, assets), limits_of(cfg)) +
            n * n + groups * (n + 2) + 3 * n) *
               sizeof(double) +
           tribus_quant_portfolio_bytes(assets, (uint32_t)groups);
}

static double *take(double **at, size_t count)
{
    double *taken = *at;

    *at += count;
    return taken;
}

static double budget_of(const tribus_quant_tail_cfg *cfg)
{
    return cfg->budget == 0.0 ? 1.0 : cfg->budget;
}

static double *lay_out(tail_plan *p, void *work)
{
    const tribus_quant_tail_cfg *cfg = p->cfg;
    const size_t n = p->r.cols;
    const int plain = cfg->lower == 0.0 && cfg->upper == 0.0;
    double *at = work;

    p->groups = cfg->groups + (cfg->mean != NULL);
    p->identity = take(&at, n * n);
    p->group = take(&at, p->groups * n);
    p->group_lower = take(&at, p->groups);
    p->group_upper = take(&at, p->groups);
    p->lower = take(&at, n);
    p->upper = take(&at, n);
    p->held = take(&at, n);
    for (size_t i = 0; i < n; i++) {
        p->lower[i] = cfg->lower_at != NULL ? cfg->lower_at[i] : cfg->lower;
        p->upper[i] = cfg->upper_at != NULL ? cfg->upper_at[i] : plain ? 1.0 : cfg->upper;
    }
    if (cfg->groups > 0) {
        memcpy(p->group, cfg->group, cfg->groups * n * sizeof(double));
        memcpy(p->group_lower, cfg->group_lower, cfg->groups * sizeof(double));
        memcpy(p->group_upper, cfg->group_upper, cfg->groups * sizeof(double));
    }
    if (cfg->mean != NULL) {
        memcpy(p->group + cfg->groups * n, cfg->mean, n * sizeof(double));
        p->group_lower[cfg->groups] = cfg->mean_floor;
        p->group_upper[cfg->groups] = INFINITY;
    }
    p->qp = at;
    return (double *)((char *)at +
                      (tribus_quant_portfolio_bytes((uint32_t)n, p->groups) + 7) / 8 * 8);
}

/* Is there a solution? Least sum of squares under the same constraints says, or says why not. */
static tribus_status ask(const tail_plan *p, double *weights, tribus_quant_why *why)
{
    const tribus_quant_tail_cfg *cfg = p->cfg;
    const size_t n = p->r.cols;
    tribus_quant_portfolio question = {.assets = (uint32_t)n,
                                       .cov = p->identity,
                                       .lower_at = p->lower,
                                       .upper_at = p->upper,
                                       .budget = cfg->budget,
                                       .groups = p->groups,
                                       .group = p->group,
                                       .group_lower = p->group_lower,
                                       .group_upper = p->group_upper,
                                       .start = cfg->start,
                                       .turnover = cfg->turnover};
    tribus_quant_portfolio_result answer;
    tribus_status st;

    memset(p->identity, 0, n * n * sizeof(double));
    for (size_t i = 0; i < n; i++)
        p->identity[i * n + i] = 1.0;
    memset(p->qp, 0, 8); /* cold */
    st = tribus_quant_min_variance(&question, p->qp, weights, &answer, why);
    if (st == TRIBUS_REFUSED && cfg->start != NULL) { /* is it the turnover? */
        question.start = NULL;
        memset(p->qp, 0, 8);
        if (tribus_quant_min_variance(&question, p->qp, weights, &answer, why) ==
            TRIBUS_OK) {
            tribus_quant_why_set(
                why,
                "infeasible: a turnover of %g is too little to get from the "
                "start to where the other limits hold",
                cfg->turnover);
            return TRIBUS_REFUSED;
        }
    }
    if (st == TRIBUS_REFUSED && cfg->mean != NULL && answer.qp.bad_row == p->groups)
        tribus_quant_why_set(why, "infeasible: the mean cannot reach the floor %g",
                             cfg->mean_floor);
    return st;
}

/* Returns the number of variables, with their bounds and signs; sets held and turnover. */
static size_t choose_variables(tail_plan *p, double *low, double *top, double *sign,
                               uint32_t *asset)
{
    const double *start = p->cfg->start;
    size_t count = 0;

    p->turnover = p->cfg->turnover;
    for (uint32_t i = 0; i < p->r.cols; i++) {
        p->held[i] = p->lower[i];
        if (start == NULL && p->lower[i] < p->upper[i]) {
            p->held[i] = 0.0;
            low[count] = p->lower[i];
            top[count] = p->upper[i];
            sign[count] = 1.0;
            asset[count++] = i;
        }
        if (start != NULL) {
            p->held[i] = fmin(fmax(start[i], p->lower[i]), p->upper[i]);
            p->turnover -= fabs(p->held[i] - start[i]);
        }
    }
    for (uint32_t i = 0; start != NULL && i < p->r.cols; i++) {
        for (int sell = 0; sell < 2; sell++) {
            const double room = sell ? p->held[i] - p->lower[i] : p->upper[i] - p->held[i];

            if (!(fmin(room, p->turnover) > 0.0))
                continue;
            low[count] = 0.0;
            top[count] = fmin(room, p->turnover * (1.0 + SLACK));
            sign[count] = sell ? -1.0 : 1.0;
            asset[count++] = i;
        }
    }
    return count;
}

static void add_limit(tail_plan *p, const double *row, double scale, double bound,
                      const uint32_t *asset)
{
    tribus_quant_tail_problem *q = &p->problem;
    double *c = &q->c[q->limits * q->n], held = 0.0;

    if (isinf(bound))
        return;
    for (size_t i = 0; i < p->r.cols; i++)
        held += row[i] * p->held[i];
    for (size_t v = 0; v < q->n; v++)
        c[v] = scale * q->sign[v] * row[asset[v]];
    q->floor[q->limits++] = scale * (bound - held) - SLACK * (1.0 + fabs(bound));
}

static void set_limits(tail_plan *p, const uint32_t *asset)
{
    tribus_quant_tail_problem *q = &p->problem;
    const size_t n = p->r.cols;

    q->limits = 0;
    for (uint32_t g = 0; g < p->groups; g++) {
        add_limit(p, &p->group[g * n], 1.0, p->group_lower[g], asset);
        add_limit(p, &p->group[g * n], -1.0, p->group_upper[g], asset);
    }
    if (p->cfg->start != NULL) {
        for (size_t v = 0; v < q->n; v++)
            q->c[q->limits * q->n + v] = -1.0;
        q->floor[q->limits++] = -p->turnover - SLACK * (1.0 + p->turnover);
    }
    q->budget = budget_of(p->cfg);
    for (size_t i = 0; i < n; i++)
        q->budget -= p->held[i];
}

static tribus_status set_scenarios(tail_plan *p, const uint32_t *asset,
                                   tribus_quant_why *why)
{
    tribus_quant_tail_problem *q = &p->problem;
    const int centred = p->cfg->kind == TRIBUS_QUANT_TAIL_MAD;
    const size_t n = p->r.cols;

    memset(q->offset, 0, q->rows * sizeof(double));
    for (size_t i = 0, v = 0; i < n; i++) {
        double mean = 0.0;

        for (size_t t = 0; t < q->rows; t++)
            mean += p->r.at[t * n + i] / (double)q->rows;
        if (!isfinite(mean)) {
            tribus_quant_why_set(why, "column %zu has a return that is not finite", i);
            return TRIBUS_BAD_DATA;
        }
        mean = centred ? mean : 0.0;
        for (size_t t = 0; t < q->rows; t++)
            q->offset[t] += p->held[i] * (p->r.at[t * n + i] - mean);
        for (; v < q->n && asset[v] == i; v++)
            for (size_t t = 0; t < q->rows; t++)
                q->r[t * q->size + v] = q->sign[v] * (p->r.at[t * n + i] - mean);
    }
    for (size_t t = 0; t < q->rows && !centred; t++)
        q->r[t * q->size + q->n] = 1.0;
    return TRIBUS_OK;
}

static tribus_status check(const tribus_quant_tail_cfg *cfg, tribus_quant_matrix r,
                           tribus_quant_why *why)
{
    if (cfg == NULL || r.at == NULL || r.rows < 2 || r.cols == 0 ||
        !(cfg->confidence >= 0.0 && cfg->confidence < 1.0) || !isfinite(cfg->lower) ||
        (cfg->groups > 0 &&
         (cfg->group == NULL || cfg->group_lower == NULL || cfg->group_upper == NULL))) {
        tribus_quant_why_set(why, "tail risk needs two rows of returns, a confidence in "
                                  "(0, 1), finite lower bounds and what its groups are");
        return TRIBUS_BAD_ARG;
    }
    return TRIBUS_OK;
}

tribus_status tribus_quant_min_tail(const tribus_quant_tail_cfg *cfg, tribus_quant_matrix r,
                                    void *work, double *weights,
                                    tribus_quant_tail_result *out, tribus_quant_why *why)
{
    tail_plan p = {.cfg = cfg, .r = r};
    tribus_quant_tail_problem *q = &p.problem;
    tribus_status st = check(cfg, r, why);
    uint32_t *asset;
    double *at, tail;

    if (st != TRIBUS_OK || work == NULL || weights == NULL || out == NULL)
        return TRIBUS_BAD_ARG;
    at = lay_out(&p, work);
    st = ask(&p, weights, why);
    if (st != TRIBUS_OK)
        return st;
    asset = p.qp; /* the QP has answered; its block is the larger */
    *q = (tribus_quant_tail_problem){
        .rows = r.rows, .n = variables_of(cfg, r.cols), .limits = limits_of(cfg)};
    q->size = q->n + 1;
    tribus_quant_tail_lay_out(q, at);
    q->n = choose_variables(&p, q->low, q->top, q->sign, asset);
    if (q->n == 0 || !(cfg->start == NULL || p.turnover > 0.0)) {
        tribus_quant_why_set(why, "the limits leave one portfolio only: nothing to choose");
        return TRIBUS_REFUSED;
    }
    q->size = cfg->kind == TRIBUS_QUANT_TAIL_MAD ? q->n : q->n + 1;
    tail = 1.0 - (cfg->confidence == 0.0 ? 0.95 : cfg->confidence);
    q->d = 1.0;
    q->k = cfg->kind == TRIBUS_QUANT_TAIL_MAD ? 2.0 / r.rows : 1.0 / (r.rows * tail);
    set_limits(&p, asset);
    st = set_scenarios(&p, asset, why);
    if (st != TRIBUS_OK)
        return st;
    st = tribus_quant_tail_run(q, out);
    memcpy(weights, p.held, r.cols * sizeof(*weights));
    for (size_t v = 0; v < q->n; v++)
        weights[asset[v]] += q->sign[v] * q->x[v];
    if (st != TRIBUS_OK)
        tribus_quant_why_set(why, "no optimum after %u steps: gap %g, infeasible by %g",
                             out->iterations, out->gap, out->infeasible);
    return st;
}
