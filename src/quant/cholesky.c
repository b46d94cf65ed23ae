/* cholesky.c -- Cholesky factor, also of a singular matrix. See tribus/quant_series.h.
 *
 * Row by row in the given order an accepted tiny pivot divides the rounding of all before it,
 * and whether the next is 0 is anybody's guess. Higham (2002), Accuracy and Stability of
 * Numerical Algorithms, section 10.3: take the largest pivot that is left, and stop when none
 * is above the rounding, as LAPACK's dpstrf does. Most covariances never meet a small pivot:
 * the given order is tried first. Where rows P changed places, reflections Q from the right
 * make the factor lower triangular again: A = (P L)(P L)' = (P L Q)(P L Q)'. */
#include "tribus/quant_series.h"

#include "quant/why.h"

#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

#define SMALL_PIVOT 1e-3 /* of the largest left: below it, the order matters */

static void swap(double *x, double *y)
{
    const double kept = *x;

    *x = *y;
    *y = kept;
}

/* Rows and columns j < p change places, in the lower triangle: the factor left of column j,
 * the rest of the matrix from there on. */
static void interchange(double *a, size_t n, size_t j, size_t p)
{
    cblas_dswap((int)j, &a[j * n], 1, &a[p * n], 1);
    swap(&a[j * n + j], &a[p * n + p]);
    for (size_t k = j + 1; k < p; k++)
        swap(&a[k * n + j], &a[p * n + k]);
    for (size_t i = p + 1; i < n; i++)
        swap(&a[i * n + j], &a[i * n + p]);
}

/* Factor until the pivots left, kept up to date on the diagonal, are at most limit; without
 * moved until one is small. moved: n - 1 values out, the row that changed places with row j.
 * Returns the columns done. */
static size_t factor(double *a, size_t n, double limit, double *moved)
{
    for (size_t j = 0; j < n; j++) {
        size_t p = j;
        double root;

        for (size_t i = j + 1; i < n; i++)
            if (a[i * n + i] > a[p * n + p])
                p = i;
        if (!(a[p * n + p] > limit))
            return j;
        if (moved == NULL && !(a[j * n + j] > fmax(limit, SMALL_PIVOT * a[p * n + p])))
            return j;
        if (moved != NULL && j + 1 < n) {
            moved[j] = (double)p;
            if (p != j)
                interchange(a, n, j, p);
        }
        root = sqrt(a[j * n + j]);
        a[j * n + j] = root;
        for (size_t i = j + 1; i < n; i++) {
            const double rest =
                a[i * n + j] - cblas_ddot((int)j, &a[i * n], 1, &a[j * n], 1);

            a[i * n + j] = rest / root;
            a[i * n + i] -= a[i * n + j] * a[i * n + j];
        }
    }
    return n;
}

/* Undo `done` columns of factor(): as exact as those were, within about n roundings. */
static void restore(double *a, size_t n, size_t done)
{
    for (size_t i = n; i-- > 0;) {
        double *row = &a[i * n];
        const size_t width = i < done ? i : done;
        const double square = cblas_ddot((int)width, row, 1, row, 1);

        row[i] = square + (i < done ? row[i] * row[i] : row[i]);
        for (size_t k = width; k-- > 0;)
            row[k] = cblas_ddot((int)k + 1, row, 1, &a[k * n], 1);
    }
}

/* What is left of a semi-definite matrix without pivots is zero: |r_ij|^2 <= r_ii r_jj.
 * Returns the first row that is not, in the order of the factor, or n. */
static size_t first_bad_row(const double *a, size_t n, size_t rank, double limit)
{
    for (size_t i = rank; i < n; i++) {
        if (!(a[i * n + i] >= -limit))
            return i;
        for (size_t j = rank; j < i; j++) {
            const double rest =
                a[i * n + j] - cblas_ddot((int)rank, &a[i * n], 1, &a[j * n], 1);

            if (!(fabs(rest) <= limit))
                return i;
        }
    }
    return n;
}

/* Householder reflections of the columns, one a row, make the n x rank block at the left lower
 * triangular with a diagonal >= 0 (Golub, Van Loan 2013, algorithm 5.1.1). */
static void make_lower(double *a, size_t n, size_t rank)
{
    for (size_t i = 0; i < rank; i++) {
        double *v = &a[i * n + i];
        const int length = (int)(rank - i);
        const double norm = cblas_dnrm2(length, v, 1);
        double first, tail, twice;

        if (!(norm > 0.0))
            continue;
        cblas_dscal(length, 1.0 / norm, v, 1);
        first = v[0];
        tail = cblas_ddot(length - 1, v + 1, 1, v + 1, 1);
        v[0] = first <= 0.0 ? first - 1.0 : -tail / (first + 1.0);
        twice = tail + v[0] * v[0];
        for (size_t k = i + 1; k < n && twice > 0.0; k++) {
            double *row = &a[k * n + i];

            cblas_daxpy(length, -2.0 / twice * cblas_ddot(length, v, 1, row, 1), v, 1, row,
                        1);
        }
        v[0] = norm;
        memset(v + 1, 0, (size_t)(length - 1) * sizeof(*v));
    }
}

/* The rows back to their places. moved is row 0 of a, beyond the diagonal. */
static void move_back(double *a, size_t n, size_t rank, double *moved)
{
    for (size_t j = rank < n ? rank : n - 1; j-- > 0;) {
        const size_t p = (size_t)moved[j];

        if (j == 0)
            memset(moved, 0, (n - 1) * sizeof(*moved));
        if (p != j)
            cblas_dswap((int)rank, &a[j * n], 1, &a[p * n], 1);
    }
}

static tribus_status semi_definite(double *a, size_t n, double tolerance,
                                   tribus_quant_why *why)
{
    double *moved = a + 1; /* the upper triangle is free */
    double largest = 0.0, limit;
    size_t rank, bad;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, a[i * n + i]);
    limit = fmax(tolerance, (double)n * DBL_EPSILON) * largest;
    rank = factor(a, n, limit, NULL);
    if (rank == n)
        return TRIBUS_OK;
    restore(a, n, rank);
    rank = factor(a, n, limit, moved);
    bad = first_bad_row(a, n, rank, limit);
    if (bad < n) {
        for (size_t j = rank; j-- > 0;) /* back to its own number */
            if (bad == j || bad == (size_t)moved[j])
                bad = bad == j ? (size_t)moved[j] : j;
        tribus_quant_why_set(why,
                             "matrix is not positive semi-definite: row %zu, beyond a "
                             "tolerance of %g",
                             bad, limit);
        return TRIBUS_BAD_DATA;
    }
    for (size_t i = rank == 0 ? 0 : 1; i < n; i++) {
        const size_t from = i < rank ? i + 1 : rank;

        memset(&a[i * n + from], 0, (n - from) * sizeof(*a));
    }
    move_back(a, n, rank, moved);
    make_lower(a, n, rank);
    return TRIBUS_OK;
}

/* LAPACK's dpotrf takes any pivot above 0, also one that is nothing but rounding: at most
 * about n units of the variance it is left of (Higham 2002, theorem 10.3). */
static tribus_status definite(double *a, size_t n, tribus_quant_why *why)
{
    /* Row-major lower is column-major upper: no transposed copy is made. */
    const lapack_int info =
        LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n);
    size_t row = info > 0 ? (size_t)info - 1 : 0;

    for (; info == 0 && row < n; row++) {
        const double *l = &a[row * n];

        if (l[row] * l[row] <=
            2.0 * (double)n * DBL_EPSILON * cblas_ddot((int)row + 1, l, 1, l, 1))
            break;
    }
    if (row == n)
        return TRIBUS_OK;
    tribus_quant_why_set(why,
                         "matrix is not positive definite: row %zu depends on the rows "
                         "before it",
                         row);
    return TRIBUS_BAD_DATA;
}

tribus_status tribus_quant_cholesky(double *a, uint32_t n, double tolerance,
                                    tribus_quant_why *why)
{
    tribus_status st;

    if (a == NULL || n == 0 || !(tolerance >= 0.0 && tolerance < 1.0)) {
        tribus_quant_why_set(why,
                             "Cholesky factor of nothing, or a tolerance outside [0, 1)");
        return TRIBUS_BAD_ARG;
    }
    for (size_t i = 0; i < (size_t)n * n; i++) {
        if (!isfinite(a[i])) {
            tribus_quant_why_set(why, "matrix entry (%zu, %zu) is not finite", i / n,
                                 i % n);
            return TRIBUS_BAD_DATA;
        }
    }
    st = tolerance > 0.0 ? semi_definite(a, n, tolerance, why) : definite(a, n, why);
    for (size_t i = 0; st == TRIBUS_OK && i < n; i++)
        memset(&a[i * n + i + 1], 0, (n - i - 1) * sizeof(*a));
    return st;
}
