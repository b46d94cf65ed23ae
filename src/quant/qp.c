/* qp.c -- convex quadratic programs with a box, a few rows and a turnover limit.
 *
 * Variables are free or at a bound; rows are inactive, active at one side, or violated. With
 * the free variables F and active rows W fixed, the optimum is one linear system:
 *
 *     [ H_FF  A_WF' ] [ step   ]   [ -gradient_F          ]     H_FF = L L'  (factor_set.h)
 *     [ A_WF    0   ] [ lambda ] = [ limit_W - A_W v      ]     S = G G', G = A_WF L^-T
 *
 * 1. guess(): jump to that optimum, then correct F and W wherever a bound or a sign of a
 *    multiplier is wrong (the primal-dual active-set method of Hintermueller, Ito, Kunisch
 *    2002). A handful of rounds when it converges; it need not.
 * 2. descend(): from where that stopped, walk: step until something blocks, release what has
 *    the wrong sign. A violated row costs `penalty` per unit (exact L1 penalty), so no
 *    feasible start is needed and what remains violated at the end names the culprit.
 *
 * A turnover limit splits x = start + buy - sell: variables 0 .. n-1 buy, n .. 2n-1 sell, and
 * one more row, all ones. Both halves of an asset are never free together, so L stays n wide.
 */
#include "tribus/quant_portfolio.h"

#include "quant/factor_set.h"
#include "quant/qp_check.h"
#include "quant/row_system.h"
#include "quant/why.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define LOW       (-1)
#define FREE      0
#define HIGH      1
#define TOO_LOW   (-2) /* rows only: violated */
#define TOO_HIGH  2
#define IMPLIED   3 /* rows only: at its limit because the active ones are; this step only */
#define TOLERANCE 1e-10

typedef struct solver {
    const tribus_quant_qp *qp;
    uint32_t n, vars, rows, active_count;
    double *v, *lo, *hi, *p;                /* vars; p is indexed by position in F */
    double *x, *g, *hx, *fix;               /* n; fix by position in F */
    double *value, *rl, *ru, *lambda, *rhs; /* rows */
    double *gt, *s;                         /* active rows x n; active rows squared */
    uint32_t *active;                       /* rows */
    int8_t *state, *row_state;              /* vars, rows */
    tribus_factor_set f;
    double penalty, scale;
    uint32_t iterations, limit;
    int independent; /* keep only active rows that are independent over F */
} solver;

typedef struct header {
    uint32_t warm_vars; /* 0: cold; else what the states below belong to */
    uint32_t warm_rows;
} header;

size_t tribus_quant_qp_bytes(uint32_t n, uint32_t rows)
{
    const size_t v = 2 * (size_t)n, r = (size_t)rows + 1;
    const size_t doubles = 4 * v + 4 * (size_t)n + (size_t)n * n + 5 * r + r * n + r * r;

    return sizeof(header) + doubles * sizeof(double) + ((size_t)n + r) * sizeof(uint32_t) +
           v + r + 8;
}

static double *take(double **at, size_t count)
{
    double *taken = *at;

    *at += count;
    return taken;
}

static void lay_out(solver *s, void *work)
{
    const size_t n = s->n, v = 2 * n, r = (size_t)s->qp->rows + 1;
    double *at = (double *)((char *)work + sizeof(header));

    s->v = take(&at, v);
    s->lo = take(&at, v);
    s->hi = take(&at, v);
    s->p = take(&at, v);
    s->x = take(&at, n);
    s->g = take(&at, n);
    s->hx = take(&at, n);
    s->fix = take(&at, n);
    s->f.l = take(&at, n * n);
    s->value = take(&at, r);
    s->rl = take(&at, r);
    s->ru = take(&at, r);
    s->lambda = take(&at, r);
    s->rhs = take(&at, r);
    s->gt = take(&at, r * n);
    s->s = take(&at, r * r);
    s->f.var = (uint32_t *)at;
    s->active = s->f.var + n;
    s->state = (int8_t *)(s->active + r);
    s->row_state = s->state + v;
}

/* ---- the problem seen through the variables ---- */

static double coefficient(const solver *s, uint32_t row, uint32_t k)
{
    const uint32_t n = s->n;

    if (row == s->qp->rows)
        return 1.0;
    return k < n ? s->qp->a[(size_t)row * n + k] : -s->qp->a[(size_t)row * n + k - n];
}

static void refresh(solver *s)
{
    const uint32_t n = s->n;

    for (uint32_t i = 0; i < n; i++)
        s->x[i] = s->vars == n ? s->v[i] : s->qp->start[i] + s->v[i] - s->v[n + i];
    cblas_dsymv(CblasRowMajor, CblasLower, (int)n, 1.0, s->qp->h, (int)n, s->x, 1, 0.0,
                s->hx, 1);
    s->scale = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        const double q = s->qp->q == NULL ? 0.0 : s->qp->q[i];

        s->g[i] = s->hx[i] + q;
        /* The terms, not only their sum: where H is singular the sum may be nothing but
         * rounding, and nothing is right relative to that. */
        s->scale = fmax(s->scale, fabs(s->qp->h[(size_t)i * n + i] * s->x[i]));
        s->scale = fmax(s->scale, fmax(fabs(s->hx[i]), fabs(q)));
    }
    for (uint32_t r = 0; r < s->rows; r++) {
        if (r < s->qp->rows) {
            s->value[r] = cblas_ddot((int)n, &s->qp->a[(size_t)r * n], 1, s->x, 1);
            continue;
        }
        s->value[r] = 0.0;
        for (uint32_t k = 0; k < s->vars; k++)
            s->value[r] += s->v[k];
    }
}

/* Slope of the Lagrangian, violated rows included, along variable k. */
static double reduced(const solver *s, uint32_t k)
{
    double z = k < s->n ? s->g[k] : -s->g[k - s->n];

    for (uint32_t r = 0; r < s->rows; r++)
        if (s->lambda[r] != 0.0)
            z += s->lambda[r] * coefficient(s, r, k);
    return z;
}

static void collect_active(solver *s)
{
    s->active_count = 0;
    for (uint32_t r = 0; r < s->rows; r++) {
        s->lambda[r] = s->row_state[r] == TOO_LOW    ? -s->penalty
                       : s->row_state[r] == TOO_HIGH ? s->penalty
                                                     : 0.0;
        if (s->row_state[r] == LOW || s->row_state[r] == HIGH)
            s->active[s->active_count++] = r;
    }
}

static double row_tolerance(const solver *s, double limit)
{
    return TOLERANCE * (isinf(limit) ? 1.0 : fmax(1.0, fabs(limit))) *
           fmax(1.0, 1e-3 * s->n);
}

/* How far row a of the active ones is from its limit after the whole step; 0 for a row that
 * the others imply. */
static double missing(const solver *s, uint32_t a)
{
    const uint32_t r = s->active[a];
    double left = (s->row_state[r] == LOW ? s->rl[r] : s->ru[r]) - s->value[r];

    if (isinf(s->s[a * s->active_count + a]))
        return 0.0;
    for (uint32_t i = 0; i < s->f.count; i++)
        left -= coefficient(s, r, s->f.var[i]) * s->p[i];
    return left;
}

/* Where H_FF is singular, L^-1 is of the size of 1 / sqrt(ridge): the step is then a small
 * difference of large vectors and may miss its rows by far more than rounding. Fixed-precision
 * refinement (Higham 2002, chapter 12) of the rows: solve for what is missing, with the same
 * factors. Each round gains several digits; a round that gains none is the last. */
static void refine_rows(solver *s)
{
    const uint32_t m = s->f.count, n = s->n, w = s->active_count;
    double before = INFINITY;

    for (int round = 0; round < 5; round++) {
        double worst = 0.0;

        for (uint32_t a = 0; a < w; a++) {
            s->rhs[a] = -missing(s, a);
            worst = fmax(worst, fabs(s->rhs[a]) / row_tolerance(s, s->ru[s->active[a]]));
        }
        if (worst <= 1e-3 || worst > 0.5 * before)
            return;
        before = worst;
        tribus_row_system_solve(s->s, s->rhs, w);
        memset(s->fix, 0, m * sizeof(*s->fix));
        for (uint32_t a = 0; a < w; a++) {
            s->lambda[s->active[a]] += s->rhs[a];
            cblas_daxpy((int)m, -s->rhs[a], &s->gt[(size_t)a * n], 1, s->fix, 1);
        }
        cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, (int)m, s->f.l,
                    (int)n, s->fix, 1);
        cblas_daxpy((int)m, 1.0, s->fix, 1, s->p, 1);
    }
}

/* The optimum over F and W from here: p (by position in F) and lambda of the active rows. */
static void solve_equality(solver *s)
{
    const uint32_t m = s->f.count, n = s->n;
    uint32_t w;

    collect_active(s);
    w = s->active_count;
    s->iterations++;
    for (uint32_t i = 0; i < m; i++)
        s->p[i] = -reduced(s, s->f.var[i]); /* lambda holds the penalties only, here */
    if (m > 0)
        cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, (int)m, s->f.l,
                    (int)n, s->p, 1);
    for (uint32_t a = 0; a < w; a++) {
        double *row = &s->gt[(size_t)a * n];
        const uint32_t r = s->active[a];

        for (uint32_t i = 0; i < m; i++)
            row[i] = coefficient(s, r, s->f.var[i]);
        if (m > 0)
            cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, (int)m,
                        s->f.l, (int)n, row, 1);
        for (uint32_t b = 0; b <= a; b++)
            s->s[a * w + b] = s->s[b * w + a] =
                cblas_ddot((int)m, row, 1, &s->gt[(size_t)b * n], 1);
    }
    for (uint32_t a = 0; a < w; a++) {
        const uint32_t r = s->active[a];
        const double limit = s->row_state[r] == LOW ? s->rl[r] : s->ru[r];

        s->rhs[a] =
            cblas_ddot((int)m, &s->gt[(size_t)a * n], 1, s->p, 1) - (limit - s->value[r]);
    }
    tribus_row_system_factor(s->s, w);
    tribus_row_system_solve(s->s, s->rhs, w);
    for (uint32_t a = 0; a < w; a++) {
        if (s->independent && isinf(s->s[a * w + a]))
            s->row_state[s->active[a]] = IMPLIED;
        s->lambda[s->active[a]] = s->rhs[a];
        cblas_daxpy((int)m, -s->rhs[a], &s->gt[(size_t)a * n], 1, s->p, 1);
    }
    if (m == 0)
        return;
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, (int)m, s->f.l, (int)n,
                s->p, 1);
    refine_rows(s);
}

/* ---- 1. the guess ---- */

static int twin_is_free(const solver *s, uint32_t k)
{
    return s->vars > s->n && s->state[k < s->n ? k + s->n : k - s->n] == FREE;
}

/* Correct what the last jump got wrong. Returns the number of corrections. */
static uint32_t correct(solver *s)
{
    const double tolerance = TOLERANCE * s->scale;
    uint32_t changes = 0;

    for (uint32_t k = 0; k < s->vars; k++) {
        double z;

        if (s->state[k] == FREE) {
            const double out = fmax(s->lo[k] - s->v[k], s->v[k] - s->hi[k]);

            if (out > 0.0) {
                if (out > 1e-11) { /* less is rounding of a weight that sits on its bound */
                    s->state[k] = s->v[k] < s->lo[k] ? LOW : HIGH;
                    changes++;
                }
                s->v[k] = s->v[k] < s->lo[k] ? s->lo[k] : s->hi[k];
            }
            continue;
        }
        if (s->lo[k] == s->hi[k])
            continue;
        z = reduced(s, k);
        if ((s->state[k] == LOW ? z < -tolerance : z > tolerance) && !twin_is_free(s, k)) {
            s->state[k] = FREE;
            changes++;
        }
    }
    for (uint32_t r = 0; r < s->rows; r++) {
        const double low = s->rl[r] - s->value[r], high = s->value[r] - s->ru[r];
        const int equation = s->rl[r] == s->ru[r];

        if (s->row_state[r] == FREE && low > row_tolerance(s, s->rl[r])) {
            s->row_state[r] = LOW;
            changes++;
        } else if (s->row_state[r] == FREE && high > row_tolerance(s, s->ru[r])) {
            s->row_state[r] = HIGH;
            changes++;
        } else if (!equation && ((s->row_state[r] == LOW && s->lambda[r] > tolerance) ||
                                 (s->row_state[r] == HIGH && s->lambda[r] < -tolerance))) {
            s->row_state[r] = FREE;
            changes++;
        }
    }
    return changes;
}

static int rows_hold(const solver *s)
{
    for (uint32_t r = 0; r < s->rows; r++)
        if (s->value[r] < s->rl[r] - row_tolerance(s, s->rl[r]) ||
            s->value[r] > s->ru[r] + row_tolerance(s, s->ru[r]))
            return 0;
    return 1;
}

static void renew_factor(solver *s)
{
    uint32_t count = 0;

    for (uint32_t k = 0; k < s->vars && count < s->n; k++)
        if (s->state[k] == FREE)
            s->f.var[count++] = k;
    tribus_factor_set_renew(&s->f, count);
}

/* Returns 1 when F and W are right. */
static int guess(solver *s)
{
    for (int round = 0; round < 25; round++) {
        uint32_t changes;

        renew_factor(s);
        solve_equality(s);
        for (uint32_t i = 0; i < s->f.count; i++)
            s->v[s->f.var[i]] += s->p[i];
        refresh(s);
        changes = correct(s);
        if (changes == 0)
            return rows_hold(s);
        refresh(s);
    }
    return 0;
}

/* ---- 2. the walk ---- */

static void classify_rows(solver *s)
{
    for (uint32_t r = 0; r < s->rows; r++) {
        const double low = s->value[r] - s->rl[r], high = s->ru[r] - s->value[r];

        if (low < -row_tolerance(s, s->rl[r]))
            s->row_state[r] = TOO_LOW;
        else if (high < -row_tolerance(s, s->ru[r]))
            s->row_state[r] = TOO_HIGH;
        else if (low <= row_tolerance(s, s->rl[r]))
            s->row_state[r] = LOW;
        else if (high <= row_tolerance(s, s->ru[r]))
            s->row_state[r] = HIGH;
        else
            s->row_state[r] = FREE;
    }
}

typedef struct block {
    double length; /* of the step, at most 1 */
    uint32_t at;   /* position in F, or row */
    int8_t side;   /* where it stops; 0: nothing stops it */
    int8_t is_row;
} block;

static void consider(block *b, double length, uint32_t at, int side, int is_row)
{
    if (length >= b->length)
        return;
    b->length = fmax(0.0, length);
    b->at = at;
    b->side = (int8_t)side;
    b->is_row = (int8_t)is_row;
}

static block first_block(const solver *s)
{
    block b = {1.0, 0, 0, 0};

    for (uint32_t i = 0; i < s->f.count; i++) {
        const uint32_t k = s->f.var[i];
        /* A step that is rounding must not block: at a vertex it would block for ever. */
        const double tiny = 1e-14 * fmax(1.0, fabs(s->v[k]));

        if (s->p[i] > tiny)
            consider(&b, (s->hi[k] - s->v[k]) / s->p[i], i, HIGH, 0);
        else if (s->p[i] < -tiny)
            consider(&b, (s->lo[k] - s->v[k]) / s->p[i], i, LOW, 0);
    }
    for (uint32_t r = 0; r < s->rows; r++) {
        const int8_t st = s->row_state[r];
        double d = 0.0, terms = 0.0;

        if (st == LOW || st == HIGH || st == IMPLIED)
            continue;
        for (uint32_t i = 0; i < s->f.count; i++) {
            const double part = coefficient(s, r, s->f.var[i]) * s->p[i];

            d += part;
            terms += fabs(part);
        }
        /* A row that the active ones imply, or a step that is rounding, must not block. */
        if (fabs(d) <= 1e-11 * terms + 1e-14 * fmax(1.0, fabs(s->value[r])))
            continue;
        if (d > 0.0 && st == TOO_LOW)
            consider(&b, (s->rl[r] - s->value[r]) / d, r, LOW, 1);
        else if (d > 0.0 && st == FREE)
            consider(&b, (s->ru[r] - s->value[r]) / d, r, HIGH, 1);
        else if (d < 0.0 && st == TOO_HIGH)
            consider(&b, (s->ru[r] - s->value[r]) / d, r, HIGH, 1);
        else if (d < 0.0 && st == FREE)
            consider(&b, (s->rl[r] - s->value[r]) / d, r, LOW, 1);
    }
    return b;
}

/* Release the bound or row whose multiplier is most wrong; with `first`, the first one, which
 * is Bland's rule against cycling. Returns 0 when all are right. */
static int release(solver *s, int first)
{
    const double tolerance = TOLERANCE * s->scale;
    double worst = 0.0;
    uint32_t which = UINT32_MAX, row = UINT32_MAX;
    int8_t to = FREE;

    for (uint32_t r = 0; r < s->rows && (row == UINT32_MAX || !first); r++) {
        const double l = s->lambda[r], over = fabs(l) - s->penalty;
        const int equation = s->rl[r] == s->ru[r];
        const double wrong = equation                  ? 0.0
                             : s->row_state[r] == LOW  ? l
                             : s->row_state[r] == HIGH ? -l
                                                       : 0.0;

        if (s->row_state[r] != LOW && s->row_state[r] != HIGH)
            continue;
        if (fmax(wrong, over) > fmax(tolerance, worst)) {
            worst = fmax(wrong, over);
            row = r;
            to = wrong >= over ? FREE : l < 0.0 ? TOO_LOW : TOO_HIGH;
        }
    }
    for (uint32_t k = 0; k < s->vars && (which == UINT32_MAX || !first); k++) {
        double z;

        if (s->state[k] == FREE || s->lo[k] == s->hi[k] || twin_is_free(s, k))
            continue;
        z = s->state[k] == LOW ? -reduced(s, k) : reduced(s, k);
        if (z > fmax(tolerance, worst)) {
            worst = z;
            which = k;
        }
    }
    if (which != UINT32_MAX && s->f.count < s->n) {
        s->state[which] = FREE;
        tribus_factor_set_add(&s->f, which);
        return 1;
    }
    if (row != UINT32_MAX) {
        s->row_state[row] = to;
        return 1;
    }
    return 0;
}

/* Returns 1 at the optimum of the penalised problem, 0 when out of iterations. */
static int descend(solver *s)
{
    uint32_t idle = 0;

    /* Blocking keeps active rows independent, and so does releasing; what starts dependent
     * would make the walk turn in circles at a vertex. */
    s->independent = 1;
    renew_factor(s);
    while (s->iterations < s->limit) {
        double moved = 0.0;
        block b;

        solve_equality(s);
        b = first_block(s);
        for (uint32_t i = 0; i < s->f.count; i++) {
            s->v[s->f.var[i]] += b.length * s->p[i];
            moved += fabs(b.length * s->p[i]);
        }
        idle = moved > 1e-11 ? 0 : idle + 1;
        if (b.side != 0 && !b.is_row) {
            const uint32_t k = s->f.var[b.at];

            s->state[k] = b.side;
            s->v[k] = b.side == LOW ? s->lo[k] : s->hi[k];
            tribus_factor_set_remove(&s->f, b.at);
        } else if (b.side != 0) {
            s->row_state[b.at] = b.side;
        }
        for (uint32_t r = 0; r < s->rows; r++)
            if (s->row_state[r] == IMPLIED)
                s->row_state[r] = FREE; /* first_block() finds it again when it matters */
        refresh(s);
        if (b.side == 0 && !release(s, idle > 20))
            return 1;
    }
    return 0;
}

/* ---- the certificate ---- */

/* Largest violation of feasibility (relative to 1), of the sign of a multiplier and of
 * stationarity (relative to the largest term of the gradient), from x and lambda alone. */
static double residual(const solver *s)
{
    const double scale = s->scale > 0.0 ? s->scale : 1.0;
    double worst = 0.0;

    for (uint32_t k = 0; k < s->vars; k++) {
        const double z = reduced(s, k) / scale;
        const double room = 1e-9 * fmax(1.0, fabs(s->v[k]));

        worst = fmax(worst, fmax(s->lo[k] - s->v[k], s->v[k] - s->hi[k]));
        if (s->v[k] > s->lo[k] + room && !twin_is_free(s, k))
            worst = fmax(worst, z);
        if (s->v[k] < s->hi[k] - room && !twin_is_free(s, k))
            worst = fmax(worst, -z);
    }
    for (uint32_t r = 0; r < s->rows; r++) {
        const double l = s->lambda[r] / scale;
        const double unit = fmax(1.0, fmin(fabs(s->rl[r]), fmin(fabs(s->ru[r]), 1e300)));

        worst = fmax(worst, fmax(s->rl[r] - s->value[r], s->value[r] - s->ru[r]) / unit);
        if (s->value[r] > s->rl[r] + 1e-9 * unit)
            worst = fmax(worst, -l);
        if (s->value[r] < s->ru[r] - 1e-9 * unit)
            worst = fmax(worst, l);
    }
    return worst;
}

/* ---- start and finish ---- */

static void set_bounds(solver *s)
{
    const tribus_quant_qp *q = s->qp;
    double trace = 0.0;

    for (uint32_t i = 0; i < s->n; i++) {
        trace += q->h[(size_t)i * s->n + i];
        if (s->vars == s->n) {
            s->lo[i] = q->lower[i];
            s->hi[i] = q->upper[i];
            continue;
        }
        /* A start outside the box must be traded back into it. */
        s->lo[i] = fmax(0.0, q->lower[i] - q->start[i]);
        s->hi[i] = fmax(0.0, q->upper[i] - q->start[i]);
        s->lo[s->n + i] = fmax(0.0, q->start[i] - q->upper[i]);
        s->hi[s->n + i] = fmax(0.0, q->start[i] - q->lower[i]);
    }
    for (uint32_t r = 0; r < q->rows; r++) {
        s->rl[r] = q->row_lower[r];
        s->ru[r] = q->row_upper[r];
    }
    if (s->vars > s->n) {
        s->rl[q->rows] = -INFINITY;
        s->ru[q->rows] = q->turnover;
    }
    s->f.h = q->h;
    s->f.n = s->n;
    s->f.ridge = fmax(1e-12 * trace / s->n, 1e-300);
}

/* Cold: everything free, except in a turnover problem, where nothing is traded yet. */
static void set_start(solver *s, const header *head)
{
    const int warm = head->warm_vars == s->vars && head->warm_rows == s->rows;

    for (uint32_t k = 0; k < s->vars; k++) {
        if (!warm) {
            s->v[k] = fmin(fmax(0.0, s->lo[k]), s->hi[k]);
            s->state[k] = s->vars > s->n ? LOW : FREE;
        }
        if (s->lo[k] == s->hi[k] || (s->state[k] == LOW && isinf(s->lo[k])) ||
            (s->state[k] == HIGH && isinf(s->hi[k])))
            s->state[k] = s->lo[k] == s->hi[k] ? LOW : FREE;
        if (s->state[k] == LOW)
            s->v[k] = s->lo[k];
        else if (s->state[k] == HIGH)
            s->v[k] = s->hi[k];
    }
    for (uint32_t r = 0; r < s->rows; r++) {
        if (!warm || s->row_state[r] == TOO_LOW || s->row_state[r] == TOO_HIGH)
            s->row_state[r] = FREE;
        if (s->rl[r] == s->ru[r])
            s->row_state[r] = LOW;
        s->lambda[r] = 0.0;
    }
}

/* Widen every limit but equations by about 1e-7, each by another amount: at a vertex where
 * more limits meet than needed the walk could turn in circles, and now none do. */
static void perturb(solver *s)
{
    uint32_t hash = 1;

    for (uint32_t k = 0; k < s->vars; k++) {
        hash = hash * 1664525u + 1013904223u;
        if (s->lo[k] == s->hi[k])
            continue;
        s->lo[k] -= 1e-7 * (1.0 + (hash >> 8) / 16777216.0);
        hash = hash * 1664525u + 1013904223u;
        s->hi[k] += 1e-7 * (1.0 + (hash >> 8) / 16777216.0);
    }
    for (uint32_t r = 0; r < s->rows; r++) {
        hash = hash * 1664525u + 1013904223u;
        if (s->rl[r] == s->ru[r])
            continue;
        s->rl[r] -= 1e-7 * (1.0 + (hash >> 8) / 16777216.0);
        s->ru[r] += 1e-7 * (2.0 - (hash >> 8) / 16777216.0);
    }
}

/* Put v into the box and on the bounds that its states name. */
static void settle(solver *s)
{
    for (uint32_t k = 0; k < s->vars; k++) {
        s->v[k] = fmin(fmax(s->v[k], s->lo[k]), s->hi[k]);
        if (s->state[k] == LOW || (s->state[k] == FREE && s->v[k] == s->lo[k]))
            s->state[k] = LOW;
        else if (s->state[k] == HIGH || (s->state[k] == FREE && s->v[k] == s->hi[k]))
            s->state[k] = HIGH;
        if (s->state[k] != FREE)
            s->v[k] = s->state[k] == LOW ? s->lo[k] : s->hi[k];
    }
    refresh(s);
}

/* Returns 1 at an optimum, 0 out of iterations, -1 where a row stays violated. */
static int walk(solver *s)
{
    double largest = 0.0;

    for (uint32_t i = 0; i < s->n; i++)
        largest = fmax(largest, s->qp->h[(size_t)i * s->n + i]);
    settle(s);
    s->penalty = 1e3 * fmax(s->scale, largest);
    for (int tries = 0; tries < 3; tries++) {
        classify_rows(s);
        if (!descend(s))
            return 0;
        if (rows_hold(s))
            return 1;
        s->penalty *= 1e3; /* a multiplier may have been larger than that */
    }
    return -1;
}

static int solve(solver *s)
{
    int found;

    refresh(s);
    if (guess(s))
        return 1;
    perturb(s);
    found = walk(s);
    set_bounds(s);
    if (found < 0)
        return found;
    settle(s);
    s->independent = 0;
    for (uint32_t r = 0; r < s->rows; r++)
        if (s->rl[r] == s->ru[r])
            s->row_state[r] = LOW;
    if (guess(s))
        return 1;
    return walk(s);
}

static void name_bad_row(const solver *s, tribus_quant_qp_result *out,
                         tribus_quant_why *why)
{
    double worst = 0.0;

    for (uint32_t r = 0; r < s->rows; r++) {
        const double by = fmax(s->rl[r] - s->value[r], s->value[r] - s->ru[r]);

        if (by > worst) {
            worst = by;
            out->bad_row = r;
        }
    }
    if (out->bad_row == s->qp->rows)
        tribus_quant_why_set(why, "infeasible: a turnover of %g is needed, %g is allowed",
                             s->value[out->bad_row], s->ru[out->bad_row]);
    else
        tribus_quant_why_set(why,
                             "infeasible: row %u comes to %g at best, its limits are %g "
                             "and %g",
                             out->bad_row, s->value[out->bad_row], s->rl[out->bad_row],
                             s->ru[out->bad_row]);
}

static int attempt(solver *s, const tribus_quant_qp *qp, void *work)
{
    *s = (solver){.qp = qp, .n = qp->n};
    s->vars = qp->start == NULL ? s->n : 2 * s->n;
    s->rows = qp->rows + (qp->start != NULL);
    s->limit = 20 * (s->n + s->rows) + 100;
    lay_out(s, work);
    set_bounds(s);
    set_start(s, work);
    return solve(s);
}

tribus_status tribus_quant_qp_solve(const tribus_quant_qp *qp, void *work, double *x,
                                    tribus_quant_qp_result *out, tribus_quant_why *why)
{
    header *head = work;
    solver s;
    int found;
    tribus_status st;

    if (qp == NULL || work == NULL || x == NULL || out == NULL)
        return TRIBUS_BAD_ARG;
    st = tribus_qp_check(qp, why);
    if (st != TRIBUS_OK)
        return st;
    found = attempt(&s, qp, work);
    if (found != 1 && head->warm_vars != 0) {
        /* The answer to another problem was a bad start; it must not decide. */
        const uint32_t before = s.iterations;

        head->warm_vars = 0;
        found = attempt(&s, qp, work);
        s.iterations += before;
    }
    *out = (tribus_quant_qp_result){.iterations = s.iterations, .free_count = s.f.count};
    head->warm_vars = found == 1 ? s.vars : 0;
    head->warm_rows = s.rows;
    if (found < 0) {
        refresh(&s);
        name_bad_row(&s, out, why);
        return TRIBUS_REFUSED;
    }
    memcpy(x, s.x, s.n * sizeof(*x));
    out->kkt = residual(&s);
    for (uint32_t i = 0; i < s.n; i++)
        out->objective += (s.g[i] - 0.5 * s.hx[i]) * s.x[i];
    if (!isfinite(out->objective)) { /* the residual does not see a NaN */
        head->warm_vars = 0;
        tribus_quant_why_set(why, "H is not positive semi-definite");
        return TRIBUS_BAD_DATA;
    }
    if (found == 1 && out->kkt <= 1e-8)
        return TRIBUS_OK;
    tribus_quant_why_set(why, "no optimum after %u steps: KKT residual %g", s.iterations,
                         out->kkt);
    return TRIBUS_TIMEOUT;
}
