/* quant.h -- the mathematics of Tribus: one include for all of it.
 *
 * Use it to   compute risk, portfolios, factors, indicators, order flow and backtests.
 * Not for     reading files, talking to buses or to an accelerator: see bus.h, pipeline.h.
 *
 * Memory      The caller's. No function here allocates; where work space is needed, a
 *             function ending in _bytes says how much, and scratch may be reused at once.
 * Threads     No hidden state: calls on different memory may run in parallel.
 * Trust       Sizes are believed, numbers are not: NaN and infinity give TRIBUS_BAD_DATA
 *             or a documented NaN, never undefined behaviour.
 * Errors      A status; where it cannot say enough, `why` gets one sentence; it may be NULL.
 * Precision   double, except where a kernel is shared with accelerators (float, as stated).
 * Layout      Matrices are row-major. Returns are rows = time (oldest first), cols = assets.
 * Units       Returns are fractions (0.01 = 1 %). Losses of VaR and ES are positive.
 *
 * Formula, source and reference value of each function: docs/quant.md.
 */
#ifndef TRIBUS_QUANT_H
#define TRIBUS_QUANT_H

#include "tribus/quant_series.h"
#include "tribus/quant_random.h"
#include "tribus/quant_risk.h"
#include "tribus/quant_flow.h"
#include "tribus/quant_fi2010.h"
#include "tribus/quant_portfolio.h"
#include "tribus/quant_factors.h"
#include "tribus/quant_indicator.h"
#include "tribus/quant_analytics.h"
#include "tribus/quant_backtest.h"
#include "tribus/quant_csv.h"

#endif
