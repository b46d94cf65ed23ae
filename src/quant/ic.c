/* ic.c -- correlation, information coefficients. See tribus/quant_factors.h.
 *
 * Values are taken from the first pair before they are added up: then the mean of a constant is
 * that constant, and it has no correlation instead of one of rounding errors. */
#include "tribus/quant_factors.h"

#include <math.h>

static double strided(const double *x, const double *y, uint32_t n, size_t stride)
{
    double x0 = 0.0, y0 = 0.0, mx = 0.0, my = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
    uint32_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i * stride]) || isnan(y[i * stride]))
            continue;
        x0 = count == 0 ? x[i * stride] : x0;
        y0 = count == 0 ? y[i * stride] : y0;
        mx += x[i * stride] - x0;
        my += y[i * stride] - y0;
        count++;
    }
    mx = x0 + mx / count;
    my = y0 + my / count;
    for (size_t i = 0; i < n; i++) {
        const double a = x[i * stride] - mx, b = y[i * stride] - my;

        if (isnan(a) || isnan(b))
            continue;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return count > 1 && xx > 0.0 && yy > 0.0
               ? fmin(1.0, fmax(-1.0, xy / (sqrt(xx) * sqrt(yy))))
               : NAN;
}

double tribus_quant_ic(const double *x, const double *y, uint32_t n)
{
    return strided(x, y, n, 1);
}

/* Rank of each x among the n of `sorted`, ties averaged: two binary searches. */
static double rank_in(const double *sorted, uint32_t n, double x)
{
    uint32_t low = 0, high = n, first, last;

    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;

        if (sorted[mid] < x)
            low = mid + 1;
        else
            high = mid;
    }
    first = low;
    high = n;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;

        if (sorted[mid] <= x)
            low = mid + 1;
        else
            high = mid;
    }
    last = low;
    return 0.5 * (first + last + 1.0);
}

double tribus_quant_rank_ic(const double *x, const double *y, uint32_t n, double *scratch)
{
    double *sx = scratch, *sy = sx + n, *rx = sy + n, *ry = rx + n;
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i]))
            continue;
        sx[count] = rx[count] = x[i];
        sy[count] = ry[count] = y[i];
        count++;
    }
    tribus_quant_sort(sx, count);
    tribus_quant_sort(sy, count);
    for (uint32_t i = 0; i < count; i++) {
        rx[i] = rank_in(sx, count, rx[i]);
        ry[i] = rank_in(sy, count, ry[i]);
    }
    return strided(rx, ry, count, 1);
}

tribus_status tribus_quant_correlation(tribus_quant_matrix m, double *out)
{
    const size_t n = m.cols;

    if (m.at == NULL || out == NULL || n == 0 || m.rows < 2)
        return TRIBUS_BAD_ARG;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            out[i * n + j] = out[j * n + i] = strided(m.at + i, m.at + j, m.rows, n);
    return TRIBUS_OK;
}
