/* row_system.h -- the small system S lambda = b of the active rows of a quadratic program.
 *
 * S = G G' is positive semi-definite: a row that depends on those before it gets an infinite
 * pivot on the diagonal, and so lambda 0. */
#ifndef TRIBUS_QUANT_ROW_SYSTEM_H
#define TRIBUS_QUANT_ROW_SYSTEM_H

#include <stdint.h>

/* a: w x w, row-major; its lower triangle becomes the Cholesky factor. */
void tribus_row_system_factor(double *a, uint32_t w);

/* b becomes lambda; a as tribus_row_system_factor() left it. */
void tribus_row_system_solve(const double *a, double *b, uint32_t w);

#endif
