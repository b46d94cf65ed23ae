/* sweep.h -- one moving-average backtest of a sweep: what a GPU thread runs for one pair.
 *
 *   long one unit while fast > slow, decided on a close, done at the next open; a first
 *   position needs fast to cross from below, as the event loop's strategy does
 *
 * Units     prices; profit and drawdown in money of one unit; cost: fraction of the value.
 * Order     bars in ascending order. Float profit is within 1e-5 * sum |price traded| of the
 *           double result of sweep.c.
 * Empty     fewer than two rows: zeros.
 */
#ifndef TRIBUS_QUANT_SWEEP_KERNEL_H
#define TRIBUS_QUANT_SWEEP_KERNEL_H

#include "compat.h"

typedef struct tribus_sweep_result {
    float profit, max_drawdown;
    tribus_u32 buys, sells;
} tribus_sweep_result;

/* fast, slow: rows averages each; from: the first row where both are valid. */
TRIBUS_FN tribus_sweep_result tribus_sweep_pair(TRIBUS_GLOBAL const float *open,
                                                TRIBUS_GLOBAL const float *close,
                                                TRIBUS_GLOBAL const float *fast,
                                                TRIBUS_GLOBAL const float *slow,
                                                tribus_u32 from, tribus_u32 rows,
                                                float cost)
{
    tribus_sweep_result r = {0.0f, 0.0f, 0u, 0u};
    float cash = 0.0f, peak = 0.0f, last = 0.0f;
    tribus_u32 held = 0u, want = 0u;

    for (tribus_u32 t = from; t < rows; t++) {
        const float d = fast[t] - slow[t];
        float value;

        if (want != held) {
            cash += held ? open[t] * (1.0f - cost) : -open[t] * (1.0f + cost);
            r.buys += want;
            r.sells += held;
            held = want;
        }
        value = cash + (held ? close[t] : 0.0f);
        peak = value > peak ? value : peak;
        r.max_drawdown = peak - value > r.max_drawdown ? peak - value : r.max_drawdown;
        if (d > 0.0f && last < 0.0f)
            want = 1u;
        else if (d < 0.0f && last > 0.0f)
            want = 0u;
        last = d != 0.0f ? d : last; /* touching is not crossing */
        r.profit = value;
    }
    return r;
}

#endif
