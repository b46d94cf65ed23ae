/* qp_check.c -- see qp_check.h. */
#include "quant/qp_check.h"

#include "quant/why.h"

#include <math.h>

tribus_status tribus_qp_check(const tribus_quant_qp *q, tribus_quant_why *why)
{
    const size_t n = q->n;

    if (n == 0 || n > 20000 || q->h == NULL || q->lower == NULL || q->upper == NULL ||
        (q->rows > 0 && (q->a == NULL || q->row_lower == NULL || q->row_upper == NULL)) ||
        (q->start != NULL && !(q->turnover >= 0.0))) {
        tribus_quant_why_set(why, "quadratic program without variables, H, bounds or rows");
        return TRIBUS_BAD_ARG;
    }
    for (size_t i = 0; i < n; i++) {
        if (!(q->lower[i] <= q->upper[i])) {
            tribus_quant_why_set(why,
                                 "lower bound %g of weight %zu is above its upper bound "
                                 "%g",
                                 q->lower[i], i, q->upper[i]);
            return TRIBUS_BAD_DATA;
        }
        if (!(q->h[i * n + i] >= 0.0) || (q->q != NULL && !isfinite(q->q[i])) ||
            (q->start != NULL && !isfinite(q->start[i]))) {
            tribus_quant_why_set(why,
                                 "weight %zu has a negative variance or a number that is "
                                 "not finite",
                                 i);
            return TRIBUS_BAD_DATA;
        }
    }
    for (size_t i = 0; i < n * n; i++) {
        if (!isfinite(q->h[i])) {
            tribus_quant_why_set(why, "H (%zu, %zu) is not finite", i / n, i % n);
            return TRIBUS_BAD_DATA;
        }
    }
    for (size_t r = 0; r < q->rows; r++) {
        if (!(q->row_lower[r] <= q->row_upper[r])) {
            tribus_quant_why_set(why, "limits of row %zu are the wrong way round", r);
            return TRIBUS_BAD_DATA;
        }
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(q->a[r * n + i])) {
                tribus_quant_why_set(why, "row %zu, column %zu is not finite", r, i);
                return TRIBUS_BAD_DATA;
            }
        }
    }
    return TRIBUS_OK;
}
