/* factor_set.c -- see factor_set.h. */
#include "quant/factor_set.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

static double entry(const tribus_factor_set *f, uint32_t a, uint32_t b)
{
    const uint32_t n = f->n;
    const double h = f->h[(size_t)(a % n) * n + b % n];

    return (a < n) == (b < n) ? h : -h;
}

void tribus_factor_set_add(tribus_factor_set *f, uint32_t variable)
{
    const uint32_t m = f->count;
    double *row = &f->l[(size_t)m * f->n], pivot;

    for (uint32_t j = 0; j < m; j++)
        row[j] = entry(f, variable, f->var[j]);
    if (m > 0)
        cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, (int)m, f->l,
                    (int)f->n, row, 1);
    pivot = entry(f, variable, variable) + f->ridge - cblas_ddot((int)m, row, 1, row, 1);
    row[m] = sqrt(fmax(pivot, f->ridge));
    f->var[m] = variable;
    f->count = m + 1;
}

void tribus_factor_set_renew(tribus_factor_set *f, uint32_t count)
{
    const size_t n = f->n;

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j <= i; j++)
            f->l[i * n + j] = entry(f, f->var[i], f->var[j]);
        f->l[i * n + i] += f->ridge;
    }
    f->count = count;
    /* Row-major lower is column-major upper. */
    if (count > 0 && LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', (lapack_int)count, f->l,
                                         (lapack_int)n) == 0)
        return;
    /* Semi-definite beyond what the ridge mends: row by row, which bounds each pivot. */
    f->count = 0;
    for (uint32_t i = 0; i < count; i++)
        tribus_factor_set_add(f, f->var[i]);
}

void tribus_factor_set_remove(tribus_factor_set *f, uint32_t row)
{
    const uint32_t m = f->count, n = f->n;

    for (uint32_t i = row; i + 1 < m; i++) {
        memcpy(&f->l[(size_t)i * n], &f->l[(size_t)(i + 1) * n], (i + 2) * sizeof(*f->l));
        f->var[i] = f->var[i + 1];
    }
    f->count = m - 1;
    /* Row i now reaches one column too far; rotate columns i and i + 1 to clear it. */
    for (uint32_t i = row; i < m - 1; i++) {
        double *at = &f->l[(size_t)i * n + i];
        const double length = hypot(at[0], at[1]);
        const double c = at[0] / length, s = at[1] / length;

        for (uint32_t j = i; j < m - 1; j++) {
            double *pair = &f->l[(size_t)j * n + i];
            const double a = pair[0], b = pair[1];

            pair[0] = c * a + s * b;
            pair[1] = c * b - s * a;
        }
    }
}
