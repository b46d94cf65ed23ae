/* qp_check.h -- is this a quadratic program that can be solved at all? */
#ifndef TRIBUS_QUANT_QP_CHECK_H
#define TRIBUS_QUANT_QP_CHECK_H

#include "tribus/quant_portfolio.h"

/* Sizes and pointers: else TRIBUS_BAD_ARG. Bounds the right way round, everything finite that
 * has to be, no negative variance: else TRIBUS_BAD_DATA. why says which. */
TRIBUS_MUST_CHECK tribus_status tribus_qp_check(const tribus_quant_qp *q,
                                                tribus_quant_why *why);

#endif
