/* factor_set.h -- Cholesky factor of H over a changing set of variables.
 *
 * A variable enters at the end (one triangular solve) and leaves from anywhere (a row of
 * Givens rotations), each in O(m^2) instead of the O(m^3) of starting again.
 *
 * Variables k < n are assets; k >= n are asset k - n with the sign turned (the selling half
 * of a turnover problem). */
#ifndef TRIBUS_QUANT_FACTOR_SET_H
#define TRIBUS_QUANT_FACTOR_SET_H

#include <stddef.h>
#include <stdint.h>

typedef struct tribus_factor_set {
    const double *h; /* n x n, borrowed */
    double *l;       /* n x n, lower, row stride n */
    uint32_t *var;   /* var[i]: the variable of row i */
    uint32_t n, count;
    double ridge;
} tribus_factor_set;

/* Factor the `count` variables already in var at once. */
void tribus_factor_set_renew(tribus_factor_set *f, uint32_t count);
void tribus_factor_set_add(tribus_factor_set *f, uint32_t variable);
void tribus_factor_set_remove(tribus_factor_set *f, uint32_t row);

#endif
