/* tail.c -- least CVaR and least mean absolute deviation by an interior-point method.
 *
 *   minimise  d zeta + k sum u_t
 *   with      s_t = u_t + r_t'x + zeta >= 0 (y_t),  u_t >= 0 (z_t),  y_t + z_t = k
 *             lower <= x <= upper (a, b),  sum x = budget (lambda),
 *             w = mean'x - floor >= 0 (eta)
 *   CVaR: d = 1, k = 1 / (T (1 - confidence)). MAD: no zeta, k = 2 / T, r centred; the mean of
 *   absolute values is twice the mean of the negative parts, since the mean itself is 0.
 *
 * Mehrotra's predictor and corrector (1992). Scenarios are eliminated, which leaves
 *     M = R' D R + box + floor,  D_t = 1 / (u_t / z_t + s_t / y_t),
 * one Cholesky factor of assets + 1 rows a step. Letters as in the comment above. */
#include "tribus/quant_portfolio.h"

#include "quant/why.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

typedef struct tail {
    size_t rows, n, size; /* size: n + 1 with zeta */
    double d, k, lower, upper, budget, floor;
    const double *mean;
    double *r;                                /* rows x size; the last column is 1 */
    double *scaled;                           /* rows x size */
    double *m;                                /* size x size */
    double *u, *s, *y, *z;                    /* rows */
    double *du, *ds, *dy, *dz, *e, *diagonal; /* rows */
    double *x, *dx, *unit, *rhs;              /* size; x[n] is zeta */
    double *a, *b, *da, *db;                  /* n */
    double *rca, *rcb, *rc1, *rc2;            /* n, n, rows, rows */
    double lambda, dlambda, eta, w, deta, dw, rcw;
} tail;

size_t tribus_quant_tail_bytes(uint32_t rows, uint32_t assets)
{
    const size_t t = rows, n = (size_t)assets + 1;

    return (2 * t * n + n * n + 12 * t + 4 * n + 6 * n) * sizeof(double);
}

static double *take(double **at, size_t count)
{
    double *taken = *at;

    *at += count;
    return taken;
}

static void lay_out(tail *p, void *work)
{
    double *at = work;

    p->r = take(&at, p->rows * p->size);
    p->scaled = take(&at, p->rows * p->size);
    p->m = take(&at, p->size * p->size);
    p->u = take(&at, p->rows);
    p->s = take(&at, p->rows);
    p->y = take(&at, p->rows);
    p->z = take(&at, p->rows);
    p->du = take(&at, p->rows);
    p->ds = take(&at, p->rows);
    p->dy = take(&at, p->rows);
    p->dz = take(&at, p->rows);
    p->e = take(&at, p->rows);
    p->diagonal = take(&at, p->rows);
    p->rc1 = take(&at, p->rows);
    p->rc2 = take(&at, p->rows);
    p->x = take(&at, p->size);
    p->dx = take(&at, p->size);
    p->unit = take(&at, p->size);
    p->rhs = take(&at, p->size);
    p->a = take(&at, p->n);
    p->b = take(&at, p->n);
    p->da = take(&at, p->n);
    p->db = take(&at, p->n);
    p->rca = take(&at, p->n);
    p->rcb = take(&at, p->n);
}

/* The most that mean'x can be: fill the best assets up to their bound first. */
static double best_mean(const tail *p)
{
    double left = p->budget - (double)p->n * p->lower, best = 0.0, last = INFINITY;

    for (size_t i = 0; i < p->n; i++)
        best += p->lower * p->mean[i];
    while (left > 0.0) {
        double top = -INFINITY;
        size_t ties = 0;

        for (size_t i = 0; i < p->n; i++) {
            if (p->mean[i] < last && p->mean[i] > top) {
                top = p->mean[i];
                ties = 0;
            }
            ties += p->mean[i] == top;
        }
        if (ties == 0)
            break;
        const double part = fmin(left, (double)ties * (p->upper - p->lower));
        best += part * top;
        left -= part;
        last = top;
    }
    return best;
}

static tribus_status check(const tail *p, tribus_quant_why *why)
{
    const double n = (double)p->n;

    if (!(p->lower <= p->upper) || !isfinite(p->lower)) {
        tribus_quant_why_set(why, "bounds of the weights are the wrong way round");
        return TRIBUS_BAD_ARG;
    }
    if (!(p->lower * n < p->budget && p->budget < p->upper * n)) {
        tribus_quant_why_set(why,
                             "infeasible: %zu weights between %g and %g leave no room "
                             "around the budget %g",
                             p->n, p->lower, p->upper, p->budget);
        return TRIBUS_REFUSED;
    }
    if (p->mean != NULL && !(best_mean(p) > p->floor)) {
        tribus_quant_why_set(why, "infeasible: the mean cannot exceed %g, the floor is %g",
                             best_mean(p), p->floor);
        return TRIBUS_REFUSED;
    }
    return TRIBUS_OK;
}

static void set_start(tail *p)
{
    double spread = 0.0;

    for (size_t i = 0; i < p->n; i++) {
        p->x[i] = p->lower + (p->budget - p->lower * (double)p->n) / (double)p->n;
        p->a[i] = p->b[i] = 0.0;
    }
    if (p->size > p->n)
        p->x[p->n] = 0.0;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)p->rows, (int)p->size, 1.0, p->r,
                (int)p->size, p->x, 1, 0.0, p->e, 1);
    for (size_t t = 0; t < p->rows; t++)
        spread += fabs(p->e[t]) / (double)p->rows;
    spread = spread > 0.0 ? spread : 1.0;
    for (size_t t = 0; t < p->rows; t++) {
        p->u[t] = fmax(-p->e[t], 0.0) + spread;
        p->s[t] = p->u[t] + p->e[t];
        p->y[t] = p->size > p->n ? 1.0 / (double)p->rows : 0.5 * p->k;
        p->z[t] = p->k - p->y[t];
    }
    for (size_t i = 0; i < p->n; i++) {
        p->a[i] = spread;
        p->b[i] = isinf(p->upper) ? 0.0 : spread;
    }
    p->lambda = 0.0;
    p->eta = p->w = 0.0;
    if (p->mean != NULL) {
        p->w = fmax(cblas_ddot((int)p->n, p->mean, 1, p->x, 1) - p->floor, spread);
        p->eta = 1.0;
    }
}

static double room_above(const tail *p, size_t i)
{
    return isinf(p->upper) ? 1.0 : p->upper - p->x[i];
}

/* Sum of all products that must vanish, and how many there are. */
static double complementarity(const tail *p, double *count)
{
    double sum = p->w * p->eta;

    for (size_t t = 0; t < p->rows; t++)
        sum += p->u[t] * p->z[t] + p->s[t] * p->y[t];
    for (size_t i = 0; i < p->n; i++)
        sum += (p->x[i] - p->lower) * p->a[i] +
               (isinf(p->upper) ? 0 : room_above(p, i)) * p->b[i];
    *count = 2.0 * (double)p->rows + (double)p->n * (isinf(p->upper) ? 1.0 : 2.0) +
             (p->mean != NULL ? 1.0 : 0.0);
    return sum;
}

static int factorise(tail *p)
{
    const int size = (int)p->size;
    double largest = 0.0;

    for (size_t t = 0; t < p->rows; t++) {
        const double d = 1.0 / (p->u[t] / p->z[t] + p->s[t] / p->y[t]), root = sqrt(d);

        p->diagonal[t] = d;
        for (size_t i = 0; i < p->size; i++)
            p->scaled[t * p->size + i] = root * p->r[t * p->size + i];
    }
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, size, (int)p->rows, 1.0, p->scaled,
                size, 0.0, p->m, size);
    for (size_t i = 0; i < p->n; i++) {
        p->m[i * p->size + i] +=
            p->a[i] / (p->x[i] - p->lower) + p->b[i] / room_above(p, i);
        for (size_t j = 0; p->mean != NULL && j <= i; j++)
            p->m[i * p->size + j] += p->eta / p->w * p->mean[i] * p->mean[j];
    }
    for (size_t i = 0; i < p->size; i++)
        largest = fmax(largest, p->m[i * p->size + i]);
    for (size_t i = 0; i < p->size; i++)
        p->m[i * p->size + i] += 1e-16 * largest;
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', size, p->m, size) != 0)
        return 0;
    for (size_t i = 0; i < p->size; i++)
        p->unit[i] = i < p->n ? 1.0 : 0.0;
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, size, p->m, size,
                p->unit, 1);
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, size, p->m, size,
                p->unit, 1);
    return 1;
}

/* One Newton direction for the targets in rca, rcb, rc1, rc2, rcw. */
static void direction(tail *p)
{
    const int size = (int)p->size;
    double sum = 0.0, rw = 0.0;

    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)p->rows, size, 1.0, p->r, size, p->x, 1,
                0.0, p->ds, 1);
    for (size_t t = 0; t < p->rows; t++) {
        const double ru = p->k - p->y[t] - p->z[t], rp = p->u[t] + p->ds[t] - p->s[t];

        p->e[t] = p->rc2[t] / p->y[t] - (p->rc1[t] - p->u[t] * ru) / p->z[t] - rp;
        p->du[t] = p->y[t] + p->diagonal[t] * p->e[t];
    }
    cblas_dgemv(CblasRowMajor, CblasTrans, (int)p->rows, size, 1.0, p->r, size, p->du, 1,
                0.0, p->rhs, 1);
    if (p->mean != NULL)
        rw = cblas_ddot((int)p->n, p->mean, 1, p->x, 1) - p->floor - p->w;
    for (size_t i = 0; i < p->n; i++) {
        p->rhs[i] += p->a[i] - p->b[i] - p->lambda + p->rca[i] / (p->x[i] - p->lower) -
                     p->rcb[i] / room_above(p, i);
        if (p->mean != NULL)
            p->rhs[i] += p->mean[i] * (p->eta + (p->rcw - p->eta * rw) / p->w);
        sum += p->x[i];
    }
    if (p->size > p->n)
        p->rhs[p->n] -= p->d;
    memcpy(p->dx, p->rhs, p->size * sizeof(double));
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, size, p->m, size,
                p->dx, 1);
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, size, p->m, size,
                p->dx, 1);
    {
        double one = 0.0, two = 0.0;

        for (size_t i = 0; i < p->n; i++) {
            one += p->dx[i];
            two += p->unit[i];
        }
        p->dlambda = (one - (p->budget - sum)) / two;
    }
    cblas_daxpy(size, -p->dlambda, p->unit, 1, p->dx, 1);
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)p->rows, size, 1.0, p->r, size, p->dx, 1,
                0.0, p->dy, 1);
    for (size_t t = 0; t < p->rows; t++) {
        const double ru = p->k - p->y[t] - p->z[t], rp = p->u[t] + p->ds[t] - p->s[t];
        const double q = p->dy[t];

        p->dy[t] = p->diagonal[t] * (p->e[t] - q);
        p->dz[t] = ru - p->dy[t];
        p->du[t] = (p->rc1[t] - p->u[t] * p->dz[t]) / p->z[t];
        p->ds[t] = p->du[t] + q + rp;
    }
    for (size_t i = 0; i < p->n; i++) {
        p->da[i] = (p->rca[i] - p->a[i] * p->dx[i]) / (p->x[i] - p->lower);
        p->db[i] = (p->rcb[i] + p->b[i] * p->dx[i]) / room_above(p, i);
    }
    if (p->mean != NULL) {
        p->dw = cblas_ddot((int)p->n, p->mean, 1, p->dx, 1) + rw;
        p->deta = (p->rcw - p->eta * p->dw) / p->w;
    }
}

static void shorten(double *length, double value, double change)
{
    if (change < 0.0)
        *length = fmin(*length, -value / change);
}

static void longest_steps(const tail *p, double *primal, double *dual)
{
    *primal = *dual = 1.0;
    for (size_t t = 0; t < p->rows; t++) {
        shorten(primal, p->u[t], p->du[t]);
        shorten(primal, p->s[t], p->ds[t]);
        shorten(dual, p->y[t], p->dy[t]);
        shorten(dual, p->z[t], p->dz[t]);
    }
    for (size_t i = 0; i < p->n; i++) {
        shorten(primal, p->x[i] - p->lower, p->dx[i]);
        shorten(dual, p->a[i], p->da[i]);
        if (isinf(p->upper))
            continue;
        shorten(primal, p->upper - p->x[i], -p->dx[i]);
        shorten(dual, p->b[i], p->db[i]);
    }
    if (p->mean != NULL) {
        shorten(primal, p->w, p->dw);
        shorten(dual, p->eta, p->deta);
    }
}

/* Targets sigma mu - product, less the second-order term of the predictor when `second`. */
static void set_targets(tail *p, double target, int second)
{
    const double f = second ? 1.0 : 0.0;

    for (size_t t = 0; t < p->rows; t++) {
        p->rc1[t] = target - p->u[t] * p->z[t] - f * p->du[t] * p->dz[t];
        p->rc2[t] = target - p->s[t] * p->y[t] - f * p->ds[t] * p->dy[t];
    }
    for (size_t i = 0; i < p->n; i++) {
        p->rca[i] = target - (p->x[i] - p->lower) * p->a[i] - f * p->dx[i] * p->da[i];
        p->rcb[i] = isinf(p->upper)
                        ? 0.0
                        : target - room_above(p, i) * p->b[i] + f * p->dx[i] * p->db[i];
    }
    p->rcw = target - p->w * p->eta - f * p->dw * p->deta;
}

static double after_step(const tail *p, double primal, double dual)
{
    double sum = (p->w + primal * p->dw) * (p->eta + dual * p->deta);

    for (size_t t = 0; t < p->rows; t++)
        sum += (p->u[t] + primal * p->du[t]) * (p->z[t] + dual * p->dz[t]) +
               (p->s[t] + primal * p->ds[t]) * (p->y[t] + dual * p->dy[t]);
    for (size_t i = 0; i < p->n; i++) {
        sum += (p->x[i] - p->lower + primal * p->dx[i]) * (p->a[i] + dual * p->da[i]);
        if (!isinf(p->upper))
            sum += (p->upper - p->x[i] - primal * p->dx[i]) * (p->b[i] + dual * p->db[i]);
    }
    return sum;
}

static void step(tail *p, double primal, double dual)
{
    cblas_daxpy((int)p->rows, primal, p->du, 1, p->u, 1);
    cblas_daxpy((int)p->rows, primal, p->ds, 1, p->s, 1);
    cblas_daxpy((int)p->rows, dual, p->dy, 1, p->y, 1);
    cblas_daxpy((int)p->rows, dual, p->dz, 1, p->z, 1);
    cblas_daxpy((int)p->size, primal, p->dx, 1, p->x, 1);
    cblas_daxpy((int)p->n, dual, p->da, 1, p->a, 1);
    cblas_daxpy((int)p->n, dual, p->db, 1, p->b, 1);
    p->lambda += dual * p->dlambda;
    p->w += primal * p->dw;
    p->eta += dual * p->deta;
}

/* Risk of x itself (not of u), and how far x is from its constraints. */
static void measure(const tail *p, tribus_quant_tail_result *out)
{
    double sum = 0.0, shortfall = 0.0, count;

    for (size_t t = 0; t < p->rows; t++)
        shortfall += fmax(0.0, -cblas_ddot((int)p->size, &p->r[t * p->size], 1, p->x, 1));
    out->risk = p->k * shortfall + (p->size > p->n ? p->d * p->x[p->n] : 0.0);
    for (size_t i = 0; i < p->n; i++)
        sum += p->x[i];
    out->infeasible = fabs(sum - p->budget);
    if (p->mean != NULL)
        out->infeasible =
            fmax(out->infeasible, p->floor - cblas_ddot((int)p->n, p->mean, 1, p->x, 1));
    out->gap = complementarity(p, &count) / fmax(fabs(out->risk), 1e-300);
}

static tribus_status iterate(tail *p, tribus_quant_tail_result *out)
{
    for (out->iterations = 0; out->iterations < 100; out->iterations++) {
        double primal, dual, count, gap, sigma;

        measure(p, out);
        if (!isfinite(out->gap))
            return TRIBUS_BAD_DATA;
        if (out->gap <= 1e-13 && out->infeasible <= 1e-12)
            return TRIBUS_OK;
        if (!factorise(p))
            break; /* rounding: what we have is as good as it gets */
        gap = complementarity(p, &count);
        set_targets(p, 0.0, 0);
        direction(p);
        longest_steps(p, &primal, &dual);
        sigma = after_step(p, primal, dual) / gap;
        set_targets(p, sigma * sigma * sigma * gap / count, 1);
        direction(p);
        longest_steps(p, &primal, &dual);
        step(p, fmin(1.0, 0.9995 * primal), fmin(1.0, 0.9995 * dual));
    }
    measure(p, out);
    return out->gap <= 1e-9 && out->infeasible <= 1e-9 ? TRIBUS_OK : TRIBUS_TIMEOUT;
}

tribus_status tribus_quant_min_tail(const tribus_quant_tail_cfg *cfg, tribus_quant_matrix r,
                                    void *work, double *weights,
                                    tribus_quant_tail_result *out, tribus_quant_why *why)
{
    const size_t rows = r.rows, n = r.cols;
    tail p = {.rows = rows, .n = n, .d = 1.0};
    tribus_status st;

    if (cfg == NULL || r.at == NULL || rows < 2 || n == 0 || work == NULL ||
        weights == NULL || out == NULL ||
        !(cfg->confidence >= 0.0 && cfg->confidence < 1.0)) {
        tribus_quant_why_set(why, "tail risk needs two rows of returns and a confidence in "
                                  "(0, 1)");
        return TRIBUS_BAD_ARG;
    }
    p.size = cfg->kind == TRIBUS_QUANT_TAIL_MAD ? n : n + 1;
    p.k = cfg->kind == TRIBUS_QUANT_TAIL_MAD
              ? 2.0 / (double)rows
              : 1.0 / ((double)rows *
                       (1.0 - (cfg->confidence == 0.0 ? 0.95 : cfg->confidence)));
    p.lower = cfg->lower;
    p.upper = cfg->lower == 0.0 && cfg->upper == 0.0 ? 1.0 : cfg->upper;
    p.budget = cfg->budget == 0.0 ? 1.0 : cfg->budget;
    p.mean = cfg->mean;
    p.floor = cfg->mean_floor;
    st = check(&p, why);
    if (st != TRIBUS_OK)
        return st;
    lay_out(&p, work);
    for (size_t i = 0; i < n; i++) {
        double mean = 0.0;

        for (size_t t = 0; t < rows; t++)
            mean += r.at[t * n + i] / (double)rows;
        if (!isfinite(mean)) {
            tribus_quant_why_set(why, "column %zu has a return that is not finite", i);
            return TRIBUS_BAD_DATA;
        }
        for (size_t t = 0; t < rows; t++)
            p.r[t * p.size + i] = r.at[t * n + i] - (p.size == n ? mean : 0.0);
    }
    for (size_t t = 0; t < rows && p.size > n; t++)
        p.r[t * p.size + n] = 1.0;
    set_start(&p);
    *out = (tribus_quant_tail_result){0};
    st = iterate(&p, out);
    memcpy(weights, p.x, n * sizeof(*weights));
    if (st != TRIBUS_OK)
        tribus_quant_why_set(why, "no optimum after %u steps: gap %g, infeasible by %g",
                             out->iterations, out->gap, out->infeasible);
    return st;
}
