/* backtest.c -- the event-driven core. See tribus/quant_backtest.h. */
#include "tribus/quant_backtest.h"

#include <math.h>
#include <string.h>

uint32_t tribus_quant_broker_order(tribus_quant_broker *b, tribus_quant_order_kind kind,
                                   double qty, double price)
{
    if (qty == 0.0 || !isfinite(qty) || (kind != TRIBUS_QUANT_MARKET && !(price > 0.0)))
        return 0;
    for (uint32_t i = 0; i < b->cfg.order_capacity; i++) {
        if (b->cfg.orders[i].id != 0)
            continue;
        b->cfg.orders[i] = (tribus_quant_order){b->next_id, kind, qty, price};
        return b->next_id++;
    }
    return 0;
}

int tribus_quant_broker_cancel(tribus_quant_broker *b, uint32_t id)
{
    for (uint32_t i = 0; id != 0 && i < b->cfg.order_capacity; i++) {
        if (b->cfg.orders[i].id == id) {
            b->cfg.orders[i].id = 0;
            return 1;
        }
    }
    return 0;
}

/* The price at which this bar fills the order, or 0. A bar that opens beyond the price of a
 * limit or stop fills at its open. */
static double price_in_bar(const tribus_quant_order *o, const tribus_quant_ohlc *bars,
                           uint32_t t)
{
    const double open = bars->open[t], high = bars->high[t], low = bars->low[t];
    const int buy = o->qty > 0.0;

    if (o->kind == TRIBUS_QUANT_MARKET)
        return open;
    if ((o->kind == TRIBUS_QUANT_LIMIT) == buy) { /* waits for the price to fall */
        if (open <= o->price)
            return open;
        return low <= o->price ? o->price : 0.0;
    }
    if (open >= o->price)
        return open;
    return high >= o->price ? o->price : 0.0;
}

static void settle(tribus_quant_broker *b, double price)
{
    if (b->cfg.margin > 0.0)
        b->cash += b->position * (price - b->settled) * b->cfg.multiplier;
    b->settled = price;
}

static void execute(tribus_quant_broker *b, const tribus_quant_order *o, double price)
{
    const double m = b->cfg.multiplier, size = fabs(o->qty);
    double fee, need, worth = 0.0;

    if (b->cfg.fill_price != NULL)
        price = b->cfg.fill_price(b->cfg.fill_ctx, b->bar, o->qty, price);
    if (o->kind != TRIBUS_QUANT_LIMIT)
        price *= 1.0 + (o->qty > 0.0 ? b->cfg.slippage_rate : -b->cfg.slippage_rate);
    fee = size * (price * m * b->cfg.commission_rate + b->cfg.commission_unit);
    settle(b, price);
    if (b->cfg.margin > 0.0) {
        need = fabs(b->position + o->qty) * b->cfg.margin + fee;
    } else {
        worth = o->qty * price * m;
        need = worth + fee;
    }
    /* What reduces a position is always allowed. */
    if (!(price > 0.0) ||
        (need > b->cash && fabs(b->position + o->qty) > fabs(b->position))) {
        b->rejected++;
        return;
    }
    b->cash -= worth + fee;
    b->commission += fee;
    b->position += o->qty;
    if (o->qty > 0.0)
        b->buys++;
    else
        b->sells++;
    if (b->fills < b->cfg.fill_capacity)
        b->cfg.fills[b->fills] = (tribus_quant_fill){b->bar, o->id, o->qty, price, fee};
    b->fills++;
}

/* Oldest first: ids grow, places do not keep that order. */
static void fill_orders(tribus_quant_broker *b, const tribus_quant_ohlc *bars)
{
    uint32_t done = 0;

    for (;;) {
        tribus_quant_order *oldest = NULL;
        double price;

        for (uint32_t i = 0; i < b->cfg.order_capacity; i++) {
            tribus_quant_order *o = &b->cfg.orders[i];

            if (o->id > done && (oldest == NULL || o->id < oldest->id))
                oldest = o;
        }
        if (oldest == NULL)
            return;
        done = oldest->id;
        price = price_in_bar(oldest, bars, b->bar);
        if (price > 0.0) {
            execute(b, oldest, price);
            oldest->id = 0;
        }
    }
}

tribus_status tribus_quant_backtest(const tribus_quant_ohlc *bars,
                                    const tribus_quant_broker_cfg *cfg,
                                    tribus_quant_strategy strategy, void *ctx,
                                    tribus_quant_broker *out, double *equity)
{
    tribus_quant_broker b = {.next_id = 1};

    if (bars == NULL || bars->open == NULL || bars->high == NULL || bars->low == NULL ||
        bars->close == NULL || cfg == NULL || strategy == NULL || out == NULL ||
        (cfg->order_capacity > 0 && cfg->orders == NULL) ||
        (cfg->fill_capacity > 0 && cfg->fills == NULL) || !isfinite(cfg->cash) ||
        !(cfg->multiplier >= 0.0) || !(cfg->margin >= 0.0))
        return TRIBUS_BAD_ARG;
    for (uint32_t t = 0; t < bars->rows; t++)
        if (!(bars->low[t] > 0.0) || !(bars->high[t] >= bars->low[t]) ||
            !(bars->open[t] > 0.0) || !(bars->close[t] > 0.0) || isinf(bars->high[t]))
            return TRIBUS_BAD_DATA;
    b.cfg = *cfg;
    b.cash = b.value = cfg->cash;
    if (b.cfg.multiplier == 0.0)
        b.cfg.multiplier = 1.0;
    for (uint32_t i = 0; i < cfg->order_capacity; i++)
        cfg->orders[i].id = 0;
    for (uint32_t t = 0; t < bars->rows; t++) {
        b.bar = t;
        fill_orders(&b, bars);
        settle(&b, bars->close[t]);
        b.value = b.cash;
        if (b.cfg.margin == 0.0)
            b.value += b.position * bars->close[t] * b.cfg.multiplier;
        if (equity != NULL)
            equity[t] = b.value;
        strategy(ctx, &b, t);
    }
    *out = b;
    return TRIBUS_OK;
}

double tribus_quant_book_price(const tribus_quant_side_book *side, double qty)
{
    double left = qty, money = 0.0, last = NAN;

    for (uint32_t i = 0; i < side->count && left > 0.0; i++) {
        const double part = fmin(left, (double)side->levels[i].size);

        last = (double)side->levels[i].price;
        money += part * last;
        left -= part;
    }
    return qty > 0.0 ? (money + left * last) / qty : NAN;
}
