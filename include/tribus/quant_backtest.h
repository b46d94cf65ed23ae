/* quant_backtest.h -- try a strategy on history: an event loop, and a sweep over parameters.
 *
 * Order of events in a bar: 1. orders placed before are filled by its prices, oldest first;
 * 2. the strategy sees its close and places orders for later bars. So nothing is decided on
 * a price that it could still trade at. Deterministic: no clock, no random numbers.
 */
#ifndef TRIBUS_QUANT_BACKTEST_H
#define TRIBUS_QUANT_BACKTEST_H

#include "tribus/quant_flow.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tribus_quant_ohlc {
    const double *open, *high, *low, *close; /* rows each, oldest first, borrowed */
    uint32_t rows;
} tribus_quant_ohlc;

typedef enum tribus_quant_order_kind {
    TRIBUS_QUANT_MARKET = 0, /* the next open */
    TRIBUS_QUANT_LIMIT,      /* at the price or better, once the bar reaches it */
    TRIBUS_QUANT_STOP        /* a market order once the bar reaches the price */
} tribus_quant_order_kind;

typedef struct tribus_quant_order {
    uint32_t id; /* from 1; 0: a free place */
    tribus_quant_order_kind kind;
    double qty; /* > 0 buy, < 0 sell */
    double price;
} tribus_quant_order;

typedef struct tribus_quant_fill {
    uint32_t bar, order;
    double qty, price, commission;
} tribus_quant_fill;

/* Zero means default or none. */
typedef struct tribus_quant_broker_cfg {
    double cash;
    double commission_rate; /* of the value traded: 0.001 = 10 basis points */
    double commission_unit; /* money per unit */
    double slippage_rate;   /* of the price, against you; not on limit orders */
    double multiplier;      /* money per point and unit; 0: 1 */
    double margin;          /* money held per unit (a future); 0: the whole price is paid */
    /* Optional model of the book: the price that qty (signed) gets when `price` is quoted;
     * tribus_quant_book_price() is one. Applied before slippage. */
    double (*fill_price)(void *ctx, uint32_t bar, double qty, double price);
    void *fill_ctx;
    tribus_quant_order *orders; /* places for open orders, borrowed */
    uint32_t order_capacity;
    tribus_quant_fill *fills; /* a record of the first fill_capacity fills, or NULL */
    uint32_t fill_capacity;
} tribus_quant_broker_cfg;

/* The account. Fields are read-only for the strategy. */
typedef struct tribus_quant_broker {
    tribus_quant_broker_cfg cfg;
    double cash, position, value; /* value: cash and position at the last close */
    double settled;               /* price to which a future was last settled */
    double commission;            /* paid so far */
    uint32_t bar, next_id, fills, buys, sells, rejected; /* rejected: not enough cash */
} tribus_quant_broker;

/* Called at each close. */
typedef void (*tribus_quant_strategy)(void *ctx, tribus_quant_broker *broker, uint32_t bar);

/* Returns the order's id, or 0 when there is no free place or qty is 0 or not finite. */
uint32_t tribus_quant_broker_order(tribus_quant_broker *b, tribus_quant_order_kind kind,
                                   double qty, double price);
/* Returns 1 when the order was open. */
int tribus_quant_broker_cancel(tribus_quant_broker *b, uint32_t id);

/* Run. equity: rows values out (the account at each close), may be NULL.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, or TRIBUS_BAD_DATA for a price that is not positive. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_backtest(const tribus_quant_ohlc *bars,
                                                      const tribus_quant_broker_cfg *cfg,
                                                      tribus_quant_strategy strategy,
                                                      void *ctx, tribus_quant_broker *out,
                                                      double *equity);

/* Average price of `qty` (> 0) taken from one side of a book, best level first; what the
 * book cannot give goes at its last price. NaN for an empty book. */
double tribus_quant_book_price(const tribus_quant_side_book *side, double qty);

/* ---- sweep ---- */

/* Long one unit while SMA(fast) is above SMA(slow), decided on the close, done at the next
 * open. fast 1 is the close itself. */
typedef struct tribus_quant_sweep_pair {
    uint32_t fast, slow;
} tribus_quant_sweep_pair;

typedef struct tribus_quant_sweep_result {
    double profit;       /* of one unit, commission paid, marked at the last close */
    double max_drawdown; /* of the profit curve, in money */
    uint32_t buys, sells;
} tribus_quant_sweep_result;

/* Doubles of scratch: one average per period up to `longest`. */
size_t tribus_quant_sweep_scratch(uint32_t rows, uint32_t longest);

/* All pairs over the same bars; averages are computed once per period and shared.
 * commission_rate: of the value traded. Results equal the event loop's for that strategy.
 * progress may be NULL: called with (ctx, done, count) now and then.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (a period of 0 or above `longest`) or TRIBUS_BAD_DATA. */
typedef struct tribus_quant_sweep_cfg {
    double commission_rate;
    uint32_t longest;
    void (*progress)(void *ctx, uint32_t done, uint32_t count);
    void *progress_ctx;
} tribus_quant_sweep_cfg;
TRIBUS_MUST_CHECK tribus_status tribus_quant_sweep_sma(const tribus_quant_ohlc *bars,
                                                       const tribus_quant_sweep_cfg *cfg,
                                                       const tribus_quant_sweep_pair *pairs,
                                                       uint32_t count, double *scratch,
                                                       tribus_quant_sweep_result *out);

#ifdef __cplusplus
}
#endif

#endif
