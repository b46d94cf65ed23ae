/* sweep.c -- many moving-average backtests over one history, in double.
 *
 * An average per period is shared by all pairs that use it; a pair is then one pass over
 * three arrays. sweep.h is the same pass in float for accelerators. */
#include "tribus/quant_backtest.h"

#include <math.h>

size_t tribus_quant_sweep_scratch(uint32_t rows, uint32_t longest)
{
    return (size_t)rows * ((size_t)longest + 1);
}

static tribus_quant_sweep_result run(const tribus_quant_ohlc *bars, const double *fast,
                                     const double *slow, uint32_t from, double cost)
{
    tribus_quant_sweep_result r = {0};
    double cash = 0.0, peak = 0.0, last = 0.0;
    uint32_t held = 0, want = 0;

    for (uint32_t t = from; t < bars->rows; t++) {
        const double d = fast[t] - slow[t];

        if (want != held) {
            cash += held ? bars->open[t] * (1.0 - cost) : -bars->open[t] * (1.0 + cost);
            r.buys += want;
            r.sells += held;
            held = want;
        } else if (!held) { /* cash does not move: only a crossing matters */
            want = d > 0.0 && last < 0.0;
            last = d != 0.0 ? d : last; /* touching is not crossing */
            continue;
        }
        r.profit = cash + (held ? bars->close[t] : 0.0);
        peak = r.profit > peak ? r.profit : peak;
        r.max_drawdown =
            peak - r.profit > r.max_drawdown ? peak - r.profit : r.max_drawdown;
        want = d > 0.0 && last < 0.0 ? 1 : d < 0.0 && last > 0.0 ? 0 : want;
        last = d != 0.0 ? d : last;
    }
    return r;
}

/* By a running sum that is renewed every 256 rows, so that rounding cannot pile up. */
static void average(const double *close, uint32_t rows, uint32_t period, double *out)
{
    double sum = 0.0;

    for (uint32_t t = 0; t < rows; t++) {
        if (t % 256 == 0 && t >= period) {
            sum = 0.0;
            for (uint32_t i = t - period; i < t; i++)
                sum += close[i];
        }
        sum += close[t];
        if (t >= period)
            sum -= close[t - period];
        out[t] = sum / period;
    }
}

tribus_status tribus_quant_sweep_sma(const tribus_quant_ohlc *bars,
                                     const tribus_quant_sweep_cfg *cfg,
                                     const tribus_quant_sweep_pair *pairs, uint32_t count,
                                     double *scratch, tribus_quant_sweep_result *out)
{
    double *ready;

    if (bars == NULL || bars->open == NULL || bars->close == NULL || bars->rows == 0 ||
        cfg == NULL || cfg->longest == 0 || cfg->longest > bars->rows || pairs == NULL ||
        scratch == NULL || out == NULL || !(cfg->commission_rate >= 0.0))
        return TRIBUS_BAD_ARG;
    for (uint32_t t = 0; t < bars->rows; t++)
        if (!(bars->open[t] > 0.0) || !(bars->close[t] > 0.0) ||
            isinf(bars->open[t] + bars->close[t]))
            return TRIBUS_BAD_DATA;
    for (uint32_t i = 0; i < count; i++)
        if (pairs[i].fast == 0 || pairs[i].slow == 0 || pairs[i].fast > cfg->longest ||
            pairs[i].slow > cfg->longest)
            return TRIBUS_BAD_ARG;
    ready = scratch + (size_t)bars->rows * cfg->longest; /* rows >= longest flags */
    for (uint32_t p = 0; p < cfg->longest; p++)
        ready[p] = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t both[2] = {pairs[i].fast, pairs[i].slow};
        const uint32_t longer = both[0] > both[1] ? both[0] : both[1];

        for (int k = 0; k < 2; k++) {
            if (ready[both[k] - 1] != 0.0)
                continue;
            average(bars->close, bars->rows, both[k],
                    &scratch[(size_t)bars->rows * (both[k] - 1)]);
            ready[both[k] - 1] = 1.0;
        }
        out[i] = run(bars, &scratch[(size_t)bars->rows * (both[0] - 1)],
                     &scratch[(size_t)bars->rows * (both[1] - 1)], longer - 1,
                     cfg->commission_rate);
        if (cfg->progress != NULL && (i + 1) % 64 == 0)
            cfg->progress(cfg->progress_ctx, i + 1, count);
    }
    if (cfg->progress != NULL)
        cfg->progress(cfg->progress_ctx, count, count);
    return TRIBUS_OK;
}
