/* tail.h -- the problem that tail.c solves and min_tail.c makes. Letters as in tail.c. */
#ifndef TRIBUS_QUANT_TAIL_H
#define TRIBUS_QUANT_TAIL_H

#include "tribus/quant_portfolio.h"

typedef struct tribus_quant_tail_problem {
    size_t rows, n, size, limits; /* size: n + 1 with zeta */
    double d, k, budget;
    double *r;      /* rows x size; the last column is 1 */
    double *offset; /* rows: what is held anyway */
    double *low, *top, *sign;
    double *c, *floor; /* limits x n, limits */
    /* from here on the solver's own */
    double *scaled;                           /* rows x size */
    double *m;                                /* size x size */
    double *u, *s, *y, *z;                    /* rows */
    double *du, *ds, *dy, *dz, *e, *diagonal; /* rows */
    double *x, *dx, *unit, *rhs;              /* size; x[n] is zeta */
    double *best;                             /* size: the x that came nearest */
    double *a, *b, *da, *db;                  /* n */
    double *rca, *rcb, *rc1, *rc2;            /* n, n, rows, rows */
    double *w, *eta, *dw, *deta, *rcw;        /* limits */
    double lambda, dlambda;
} tribus_quant_tail_problem;

/* Doubles that lay_out takes for a problem of these sizes, with zeta. */
size_t tribus_quant_tail_doubles(size_t rows, size_t n, size_t limits);
void tribus_quant_tail_lay_out(tribus_quant_tail_problem *p, double *at);
tribus_status tribus_quant_tail_run(tribus_quant_tail_problem *p,
                                    tribus_quant_tail_result *out);

#endif
