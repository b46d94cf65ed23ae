/* row_system.c -- see row_system.h. */
#include "quant/row_system.h"

#include <math.h>

void tribus_row_system_factor(double *a, uint32_t w)
{
    for (uint32_t j = 0; j < w; j++) {
        double whole = a[j * w + j], pivot = whole;

        for (uint32_t k = 0; k < j; k++)
            pivot -= a[j * w + k] * a[j * w + k];
        pivot = pivot > 1e-11 * whole && whole > 0.0 ? sqrt(pivot) : INFINITY;
        a[j * w + j] = pivot;
        for (uint32_t i = j + 1; i < w; i++) {
            for (uint32_t k = 0; k < j; k++)
                a[i * w + j] -= a[i * w + k] * a[j * w + k];
            a[i * w + j] /= pivot; /* 0 for a dependent row */
        }
    }
}

void tribus_row_system_solve(const double *a, double *b, uint32_t w)
{
    for (uint32_t i = 0; i < w; i++) {
        for (uint32_t k = 0; k < i; k++)
            b[i] -= a[i * w + k] * b[k];
        b[i] /= a[i * w + i];
    }
    for (uint32_t i = w; i-- > 0;) {
        for (uint32_t k = i + 1; k < w; k++)
            b[i] -= a[k * w + i] * b[k];
        b[i] /= a[i * w + i];
    }
}
