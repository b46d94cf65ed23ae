/* tail.c -- least CVaR and least mean absolute deviation by an interior-point method.
 *
 *   minimise  d zeta + k sum u_t
 *   with      s_t = u_t + r_t'x + offset_t + zeta >= 0 (y_t),  u_t >= 0 (z_t),  y_t + z_t = k
 *             low <= x <= top (a, b),  sign'x = budget (lambda),
 *             w = C x - floor >= 0 (eta)
 *   CVaR: d = 1, k = 1 / (T (1 - confidence)). MAD: no zeta, k = 2 / T, r centred; the mean of
 *   absolute values is twice the mean of the negative parts, since the mean itself is 0.
 *
 * Mehrotra's predictor and corrector (1992). Scenarios are eliminated, which leaves
 *     M = R' D R + box + C' (eta / w) C,  D_t = 1 / (u_t / z_t + s_t / y_t),
 * one Cholesky factor of n + 1 rows a step. Letters as in the comment above. */
#include "quant/tail.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

typedef tribus_quant_tail_problem tail;

size_t tribus_quant_tail_doubles(size_t rows, size_t n, size_t limits)
{
    const size_t size = n + 1;

    return 2 * rows * size + size * size + 13 * rows + 5 * size + 9 * n + limits * (n + 6);
}

static double *take(double **at, size_t count)
{
    double *taken = *at;

    *at += count;
    return taken;
}

void tribus_quant_tail_lay_out(tail *p, double *at)
{
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
    p->best = take(&at, p->size);
    p->dx = take(&at, p->size);
    p->unit = take(&at, p->size);
    p->rhs = take(&at, p->size);
    p->a = take(&at, p->n);
    p->b = take(&at, p->n);
    p->da = take(&at, p->n);
    p->db = take(&at, p->n);
    p->rca = take(&at, p->n);
    p->rcb = take(&at, p->n);
    p->low = take(&at, p->n);
    p->top = take(&at, p->n);
    p->sign = take(&at, p->n);
    p->offset = take(&at, p->rows);
    p->c = take(&at, p->limits * p->n);
    p->floor = take(&at, p->limits);
    p->w = take(&at, p->limits);
    p->eta = take(&at, p->limits);
    p->dw = take(&at, p->limits);
    p->deta = take(&at, p->limits);
    p->rcw = take(&at, p->limits);
}

static double limit_of(const tail *p, size_t j, const double *x)
{
    return cblas_ddot((int)p->n, &p->c[j * p->n], 1, x, 1);
}

static void set_start(tail *p)
{
    double spread = 0.0, least = 0.0, room = 0.0, part;

    for (size_t i = 0; i < p->n; i++) {
        least += p->sign[i] * p->low[i];
        room += fmin(p->top[i] - p->low[i], 1.0);
    }
    part = fmin(0.9, fmax(0.01, (p->budget - least) / room));
    for (size_t i = 0; i < p->n; i++)
        p->x[i] = p->low[i] + part * fmin(p->top[i] - p->low[i], 1.0);
    if (p->size > p->n)
        p->x[p->n] = 0.0;
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)p->rows, (int)p->size, 1.0, p->r,
                (int)p->size, p->x, 1, 0.0, p->e, 1);
    cblas_daxpy((int)p->rows, 1.0, p->offset, 1, p->e, 1);
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
        p->b[i] = isinf(p->top[i]) ? 0.0 : spread;
    }
    p->lambda = 0.0;
    for (size_t j = 0; j < p->limits; j++) {
        p->w[j] = fmax(limit_of(p, j, p->x) - p->floor[j], spread);
        p->eta[j] = 1.0;
    }
}

static double room_above(const tail *p, size_t i)
{
    return isinf(p->top[i]) ? 1.0 : p->top[i] - p->x[i];
}

/* Sum of all products that must vanish, and how many there are. */
static double complementarity(const tail *p, double *count)
{
    double sum = 0.0;

    *count = 2.0 * (double)p->rows + (double)p->limits;
    for (size_t j = 0; j < p->limits; j++)
        sum += p->w[j] * p->eta[j];
    for (size_t t = 0; t < p->rows; t++)
        sum += p->u[t] * p->z[t] + p->s[t] * p->y[t];
    for (size_t i = 0; i < p->n; i++) {
        sum += (p->x[i] - p->low[i]) * p->a[i] +
               (isinf(p->top[i]) ? 0.0 : room_above(p, i)) * p->b[i];
        *count += isinf(p->top[i]) ? 1.0 : 2.0;
    }
    return sum;
}

static int factorise(tail *p, double ridge)
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
    for (size_t i = 0; i < p->n; i++)
        p->m[i * p->size + i] +=
            p->a[i] / (p->x[i] - p->low[i]) + p->b[i] / room_above(p, i);
    for (size_t j = 0; j < p->limits; j++)
        cblas_dsyr(CblasRowMajor, CblasLower, (int)p->n, p->eta[j] / p->w[j],
                   &p->c[j * p->n], 1, p->m, size);
    for (size_t i = 0; i < p->size; i++)
        largest = fmax(largest, p->m[i * p->size + i]);
    for (size_t i = 0; i < p->size; i++)
        p->m[i * p->size + i] += ridge * largest;
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', size, p->m, size) != 0)
        return 0;
    for (size_t i = 0; i < p->size; i++)
        p->unit[i] = i < p->n ? p->sign[i] : 0.0;
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
    double sum = 0.0, one = 0.0, two = 0.0;

    memcpy(p->ds, p->offset, p->rows * sizeof(double));
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)p->rows, size, 1.0, p->r, size, p->x, 1,
                1.0, p->ds, 1);
    for (size_t t = 0; t < p->rows; t++) {
        const double ru = p->k - p->y[t] - p->z[t], rp = p->u[t] + p->ds[t] - p->s[t];

        p->e[t] = p->rc2[t] / p->y[t] - (p->rc1[t] - p->u[t] * ru) / p->z[t] - rp;
        p->du[t] = p->y[t] + p->diagonal[t] * p->e[t];
    }
    cblas_dgemv(CblasRowMajor, CblasTrans, (int)p->rows, size, 1.0, p->r, size, p->du, 1,
                0.0, p->rhs, 1);
    for (size_t i = 0; i < p->n; i++) {
        p->rhs[i] += p->a[i] - p->b[i] - p->lambda * p->sign[i] +
                     p->rca[i] / (p->x[i] - p->low[i]) - p->rcb[i] / room_above(p, i);
        sum += p->sign[i] * p->x[i];
    }
    for (size_t j = 0; j < p->limits; j++) {
        const double rw = limit_of(p, j, p->x) - p->floor[j] - p->w[j];

        cblas_daxpy((int)p->n, p->eta[j] + (p->rcw[j] - p->eta[j] * rw) / p->w[j],
                    &p->c[j * p->n], 1, p->rhs, 1);
        p->dw[j] = rw;
    }
    if (p->size > p->n)
        p->rhs[p->n] -= p->d;
    memcpy(p->dx, p->rhs, p->size * sizeof(double));
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, size, p->m, size,
                p->dx, 1);
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, size, p->m, size,
                p->dx, 1);
    for (size_t i = 0; i < p->n; i++) {
        one += p->sign[i] * p->dx[i];
        two += p->sign[i] * p->unit[i];
    }
    p->dlambda = (one - (p->budget - sum)) / two;
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
        p->da[i] = (p->rca[i] - p->a[i] * p->dx[i]) / (p->x[i] - p->low[i]);
        p->db[i] = (p->rcb[i] + p->b[i] * p->dx[i]) / room_above(p, i);
    }
    for (size_t j = 0; j < p->limits; j++) {
        p->dw[j] += limit_of(p, j, p->dx);
        p->deta[j] = (p->rcw[j] - p->eta[j] * p->dw[j]) / p->w[j];
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
        shorten(primal, p->x[i] - p->low[i], p->dx[i]);
        shorten(dual, p->a[i], p->da[i]);
        if (isinf(p->top[i]))
            continue;
        shorten(primal, p->top[i] - p->x[i], -p->dx[i]);
        shorten(dual, p->b[i], p->db[i]);
    }
    for (size_t j = 0; j < p->limits; j++) {
        shorten(primal, p->w[j], p->dw[j]);
        shorten(dual, p->eta[j], p->deta[j]);
    }
}

/* The second-order term of the predictor, if it is wanted: before that, what lies in the
 * directions is what the caller's memory held, NaN for one. */
static double product(int wanted, double a, double b)
{
    return wanted ? a * b : 0.0;
}

/* Targets sigma mu - product, less the second-order term of the predictor when `second`. */
static void set_targets(tail *p, double target, int second)
{
    for (size_t t = 0; t < p->rows; t++) {
        p->rc1[t] = target - p->u[t] * p->z[t] - product(second, p->du[t], p->dz[t]);
        p->rc2[t] = target - p->s[t] * p->y[t] - product(second, p->ds[t], p->dy[t]);
    }
    for (size_t i = 0; i < p->n; i++) {
        p->rca[i] =
            target - (p->x[i] - p->low[i]) * p->a[i] - product(second, p->dx[i], p->da[i]);
        p->rcb[i] = isinf(p->top[i]) ? 0.0
                                     : target - room_above(p, i) * p->b[i] +
                                           product(second, p->dx[i], p->db[i]);
    }
    for (size_t j = 0; j < p->limits; j++)
        p->rcw[j] = target - p->w[j] * p->eta[j] - product(second, p->dw[j], p->deta[j]);
}

static double after_step(const tail *p, double primal, double dual)
{
    double sum = 0.0;

    for (size_t j = 0; j < p->limits; j++)
        sum += (p->w[j] + primal * p->dw[j]) * (p->eta[j] + dual * p->deta[j]);
    for (size_t t = 0; t < p->rows; t++)
        sum += (p->u[t] + primal * p->du[t]) * (p->z[t] + dual * p->dz[t]) +
               (p->s[t] + primal * p->ds[t]) * (p->y[t] + dual * p->dy[t]);
    for (size_t i = 0; i < p->n; i++) {
        sum += (p->x[i] - p->low[i] + primal * p->dx[i]) * (p->a[i] + dual * p->da[i]);
        if (!isinf(p->top[i]))
            sum += (p->top[i] - p->x[i] - primal * p->dx[i]) * (p->b[i] + dual * p->db[i]);
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
    cblas_daxpy((int)p->limits, primal, p->dw, 1, p->w, 1);
    cblas_daxpy((int)p->limits, dual, p->deta, 1, p->eta, 1);
}

/* Risk of x itself (not of u), and how far x is from its constraints. */
static void measure(const tail *p, tribus_quant_tail_result *out)
{
    double sum = 0.0, shortfall = 0.0, count;

    for (size_t t = 0; t < p->rows; t++)
        shortfall += fmax(
            0.0, -p->offset[t] - cblas_ddot((int)p->size, &p->r[t * p->size], 1, p->x, 1));
    out->risk = p->k * shortfall + (p->size > p->n ? p->d * p->x[p->n] : 0.0);
    for (size_t i = 0; i < p->n; i++)
        sum += p->sign[i] * p->x[i];
    out->infeasible = fabs(sum - p->budget);
    for (size_t j = 0; j < p->limits; j++)
        out->infeasible = fmax(out->infeasible, p->floor[j] - limit_of(p, j, p->x));
    out->gap = complementarity(p, &count) / fmax(fabs(out->risk), 1e-300);
}

/* How far from what ends the search; 1 or less: there. */
static double distance(const tribus_quant_tail_result *r)
{
    const double gap = r->gap / 1e-13, infeasible = r->infeasible / 1e-12;

    return isfinite(gap) ? fmax(gap, infeasible) : INFINITY;
}

tribus_status tribus_quant_tail_run(tail *p, tribus_quant_tail_result *out)
{
    tribus_quant_tail_result best = {0};
    uint32_t steps;

    set_start(p);
    for (steps = 0;; steps++) {
        double primal, dual, count, gap, sigma, ridge;

        measure(p, out);
        if (steps == 0 && !isfinite(out->gap))
            return TRIBUS_BAD_DATA;
        if (steps == 0 || distance(out) < distance(&best)) {
            best = *out;
            memcpy(p->best, p->x, p->size * sizeof(double));
        }
        /* With a gap near the rounding a step may end on a bound, and the next one is NaN. */
        if (!isfinite(out->gap) || distance(&best) <= 1.0 || steps == 100)
            break;
        for (ridge = 1e-16; !factorise(p, ridge) && ridge < 1e-9;)
            ridge *= 100.0; /* near the end the scenarios' weights are of any size */
        if (ridge >= 1e-9)
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
    memcpy(p->x, p->best, p->size * sizeof(double));
    *out = best;
    out->iterations = steps;
    return out->gap <= 1e-9 && out->infeasible <= 1e-9 ? TRIBUS_OK : TRIBUS_TIMEOUT;
}
