/* quant_backtest.c -- buy a dip with a limit order, protect it with a stop.
 *
 * cc quant_backtest.c -ltribus_quant -llapacke -lopenblas -lm */
#include "tribus/quant.h"

#include <stdio.h>

enum { DAYS = 250 };

static double open[DAYS], high[DAYS], low[DAYS], close[DAYS];

static void dip(void *ctx, tribus_quant_broker *b, uint32_t bar)
{
    uint32_t *waiting = ctx; /* the order that is open */

    if (*waiting != 0)
        (void)tribus_quant_broker_cancel(b, *waiting);
    if (b->position == 0.0)
        *waiting =
            tribus_quant_broker_order(b, TRIBUS_QUANT_LIMIT, 10.0, close[bar] * 0.98);
    else
        *waiting =
            tribus_quant_broker_order(b, TRIBUS_QUANT_STOP, -10.0, close[bar] * 0.97);
}

int main(void)
{
    tribus_quant_order orders[4];
    const tribus_quant_broker_cfg cfg = {.cash = 10000.0,
                                         .commission_rate = 0.0005,
                                         .slippage_rate = 0.0002,
                                         .orders = orders,
                                         .order_capacity = 4};
    const tribus_quant_ohlc bars = {open, high, low, close, DAYS};
    tribus_quant_broker b;
    uint32_t waiting = 0;
    float z[DAYS];

    tribus_quant_normals(3, 0, 0, DAYS, z);
    for (int t = 0; t < DAYS; t++) {
        open[t] = t == 0 ? 100.0 : close[t - 1];
        close[t] = open[t] * (1.0005 + 0.015 * (double)z[t]);
        high[t] = (open[t] > close[t] ? open[t] : close[t]) * 1.005;
        low[t] = (open[t] < close[t] ? open[t] : close[t]) * 0.995;
    }
    if (tribus_quant_backtest(&bars, &cfg, dip, &waiting, &b, NULL) != TRIBUS_OK)
        return 1;
    printf("value %.2f, %u buys, %u sells, commission %.2f\n", b.value, b.buys, b.sells,
           b.commission);
    return 0;
}
