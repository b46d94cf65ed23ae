/* garch.c -- GARCH(1,1) by maximum likelihood. See tribus/quant_risk.h.
 *
 * The search runs on x = (mu / sd, ln(omega / var), a, b) with alpha = e^a / (1 + e^a + e^b)
 * and beta = e^b / (1 + e^a + e^b), so that every x is a stationary model; gradients of the
 * likelihood follow the same recursion as the variance. */
#include "tribus/quant_risk.h"

#include <math.h>
#include <string.h>

typedef struct garch_search {
    const double *r;
    uint32_t n;
    double sd;
} garch_search;

static void model_of(const garch_search *s, const double x[4], tribus_quant_garch *g)
{
    const double top = fmax(0.0, fmax(x[2], x[3]));
    const double ea = exp(x[2] - top), eb = exp(x[3] - top), one = exp(-top);

    g->mu = x[0] * s->sd;
    g->omega = exp(x[1]) * s->sd * s->sd;
    g->alpha = ea / (one + ea + eb);
    g->beta = eb / (one + ea + eb);
}

/* Minus the mean log-likelihood without its constant, and its gradient in x. */
static double objective(const garch_search *s, const double x[4], double gradient[4])
{
    tribus_quant_garch g;
    double square = 0.0, sum = 0.0, h, dh[4], d[4] = {0}, mean_e = 0.0, l = 0.0, last = 0.0;

    model_of(s, x, &g);
    for (uint32_t t = 0; t < s->n; t++) {
        const double e = s->r[t] - g.mu;

        mean_e += e / s->n;
        square += e * e / s->n;
    }
    h = g.omega + (g.alpha + g.beta) * square;
    dh[0] = (g.alpha + g.beta) * -2.0 * mean_e;
    dh[1] = 1.0;
    dh[2] = dh[3] = square;
    for (uint32_t t = 0; t < s->n; t++) {
        const double e = s->r[t] - g.mu;

        if (t > 0) {
            dh[0] = -2.0 * g.alpha * last + g.beta * dh[0];
            dh[1] = 1.0 + g.beta * dh[1];
            dh[2] = last * last + g.beta * dh[2];
            dh[3] = h + g.beta * dh[3];
            h = g.omega + g.alpha * last * last + g.beta * h;
        }
        l = 0.5 * (1.0 / h - e * e / (h * h));
        sum += 0.5 * (log(h) + e * e / h);
        d[0] += l * dh[0] - e / h;
        for (int k = 1; k < 4; k++)
            d[k] += l * dh[k];
        last = e;
    }
    gradient[0] = d[0] * s->sd / s->n;
    gradient[1] = d[1] * g.omega / s->n;
    gradient[2] = g.alpha * (d[2] - g.alpha * d[2] - g.beta * d[3]) / s->n;
    gradient[3] = g.beta * (d[3] - g.alpha * d[2] - g.beta * d[3]) / s->n;
    return sum / s->n;
}

static double dot4(const double a[4], const double b[4])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
}

/* H += the BFGS correction for step `step` and change of gradient `y`. */
static void bfgs_update(double h[4][4], const double step[4], const double y[4])
{
    const double sy = dot4(step, y);
    double hy[4], yhy;

    if (!(sy > 1e-300))
        return;
    for (int i = 0; i < 4; i++)
        hy[i] = dot4(h[i], y);
    yhy = dot4(y, hy);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            h[i][j] += (1.0 + yhy / sy) * step[i] * step[j] / sy -
                       (hy[i] * step[j] + step[i] * hy[j]) / sy;
}

/* Backtracking until the decrease is a ten-thousandth of what the slope promises.
 * Returns 0 when no step goes down any more. */
static int line_search(const garch_search *s, double x[4], double *f, double gradient[4],
                       const double direction[4])
{
    const double slope = dot4(gradient, direction);
    double length = 1.0, longest = 0.0;

    for (int i = 0; i < 4; i++)
        longest = fmax(longest, fabs(direction[i]));
    if (longest > 1.0)
        length = 1.0 / longest;
    for (int tries = 0; tries < 60; tries++) {
        double next[4], g[4], value;

        for (int i = 0; i < 4; i++)
            next[i] = x[i] + length * direction[i];
        value = objective(s, next, g);
        if (isfinite(value) && value <= *f + 1e-4 * length * slope && value < *f) {
            memcpy(x, next, sizeof(next));
            memcpy(gradient, g, sizeof(g));
            *f = value;
            return 1;
        }
        length *= 0.5;
    }
    return 0;
}

static tribus_status minimise(const garch_search *s, double x[4], uint32_t *iterations)
{
    double h[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    double gradient[4], f = objective(s, x, gradient);
    int fresh = 1;

    for (*iterations = 0; *iterations < 500; (*iterations)++) {
        double direction[4], before[4], old[4], y[4], step[4];

        if (sqrt(dot4(gradient, gradient)) < 1e-10)
            return TRIBUS_OK;
        for (int i = 0; i < 4; i++)
            direction[i] = -dot4(h[i], gradient);
        memcpy(before, gradient, sizeof(before));
        memcpy(old, x, sizeof(old));
        if (dot4(direction, gradient) >= 0.0 ||
            !line_search(s, x, &f, gradient, direction)) {
            if (fresh) /* steepest descent cannot go down: rounding is all that is left */
                return sqrt(dot4(gradient, gradient)) < 1e-6 ? TRIBUS_OK : TRIBUS_TIMEOUT;
            memset(h, 0, sizeof(h));
            for (int i = 0; i < 4; i++)
                h[i][i] = 1.0;
            fresh = 1;
            continue;
        }
        for (int i = 0; i < 4; i++) {
            y[i] = gradient[i] - before[i];
            step[i] = x[i] - old[i];
        }
        bfgs_update(h, step, y);
        fresh = 0;
    }
    return TRIBUS_TIMEOUT;
}

tribus_status tribus_quant_garch_fit(const double *returns, uint32_t n,
                                     tribus_quant_garch *out)
{
    tribus_quant_moments m;
    garch_search s = {returns, n, 0.0};
    double x[4] = {0.0, log(0.05), log(0.1 / 0.05), log(0.85 / 0.05)};
    tribus_quant_garch g = {0};
    tribus_status st;

    if (returns == NULL || out == NULL || n < 20)
        return TRIBUS_BAD_ARG;
    st = tribus_quant_moments_of(returns, n, &m);
    if (st == TRIBUS_OK && !(m.sd_population > 0.0))
        st = TRIBUS_BAD_DATA;
    if (st != TRIBUS_OK)
        return st;
    s.sd = m.sd_population;
    x[0] = m.mean / s.sd;
    st = minimise(&s, x, &g.iterations);
    if (st != TRIBUS_OK)
        return st;
    model_of(&s, x, &g);
    st = tribus_quant_garch_filter(returns, n, &g, NULL);
    if (st == TRIBUS_OK)
        *out = g;
    return st;
}

tribus_status tribus_quant_garch_filter(const double *returns, uint32_t n,
                                        tribus_quant_garch *g, double *variance)
{
    double square = 0.0, h, sum = 0.0;

    if (returns == NULL || g == NULL || n == 0 || !(g->omega > 0.0) || !(g->alpha >= 0.0) ||
        !(g->beta >= 0.0) || !isfinite(g->mu))
        return TRIBUS_BAD_ARG;
    for (uint32_t t = 0; t < n; t++)
        square += (returns[t] - g->mu) * (returns[t] - g->mu) / n;
    if (!isfinite(square))
        return TRIBUS_BAD_DATA;
    h = g->omega + (g->alpha + g->beta) * square;
    for (uint32_t t = 0; t < n; t++) {
        const double e = returns[t] - g->mu;

        if (variance != NULL)
            variance[t] = h;
        sum -= 0.5 * (1.8378770664093453 + log(h) + e * e / h); /* ln 2 pi */
        h = g->omega + g->alpha * e * e + g->beta * h;
    }
    g->log_likelihood = sum;
    g->next_variance = h;
    return TRIBUS_OK;
}

tribus_status tribus_quant_var_filtered(const tribus_quant_var_cfg *cfg,
                                        const double *returns, uint32_t n,
                                        const tribus_quant_garch *g, double *scratch,
                                        tribus_quant_risk *out)
{
    tribus_quant_garch copy;
    tribus_status st;

    if (g == NULL || scratch == NULL)
        return TRIBUS_BAD_ARG;
    copy = *g;
    st = tribus_quant_garch_filter(returns, n, &copy, scratch + n);
    if (st != TRIBUS_OK)
        return st;
    for (uint32_t t = 0; t < n; t++)
        scratch[t] = copy.mu + sqrt(copy.next_variance) * (returns[t] - copy.mu) /
                                   sqrt(scratch[n + t]);
    return tribus_quant_var_historical(cfg, scratch, n, out);
}
