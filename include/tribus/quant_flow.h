/* quant_flow.h -- market microstructure: who traded, how toxic is the flow, what it costs.
 *
 * See quant.h for memory, threads and conventions. Prices and volumes are double in any unit,
 * times are nanoseconds. A side is +1 (buyer began the trade), -1 (seller) or 0 (unknown).
 */
#ifndef TRIBUS_QUANT_FLOW_H
#define TRIBUS_QUANT_FLOW_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- trade classification ---- */

/* Tick rule: up +1, down -1, unchanged as the trade before; the first trade gets +1, as in
 * the R package highfrequency. price: n, side: n out. A NaN price repeats the side before. */
void tribus_quant_classify_tick(const double *price, uint32_t n, int8_t *side);

/* Quote rule: above the mid +1, below -1, at the mid or without a quote 0. */
void tribus_quant_classify_quote(const double *price, const double *bid, const double *ask,
                                 uint32_t n, int8_t *side);

/* Lee and Ready (1991): the quote rule, and the tick rule where that gives 0. Match quotes
 * first with tribus_quant_quote_match(). */
void tribus_quant_classify_lee_ready(const double *price, const double *bid,
                                     const double *ask, uint32_t n, int8_t *side);

/* Bulk volume classification (Easley, Lopez de Prado, O'Hara 2012): the bought fraction of a
 * bar, Phi(dp / sd); 0.5 where sd is 0 or an input is NaN. */
double tribus_quant_classify_bulk(double dp, double sd);

typedef struct tribus_quant_times {
    const int64_t *at_ns; /* ascending */
    uint32_t count;
} tribus_quant_times;

/* For each trade, the last quote that is at least lag_ns old, where the first quote of each
 * day of day_ns (0: no days) needs no age. index: trades.count out, UINT32_MAX: no quote.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, or TRIBUS_BAD_DATA when times go backwards. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_quote_match(tribus_quant_times trades,
                                                         tribus_quant_times quotes,
                                                         int64_t lag_ns, int64_t day_ns,
                                                         uint32_t *index);

/* ---- VPIN ---- */

/* Volume-synchronised probability of informed trading, streaming. Volume fills buckets of
 * equal size; a trade that does not fit is split. VPIN is the mean of |buy - sell| / bucket
 * over the last `window` buckets (Easley, Lopez de Prado, O'Hara 2012); in [0, 1].
 * Fields are read-only for the caller. */
typedef struct tribus_quant_vpin {
    double bucket;      /* volume of a bucket */
    double *ring;       /* |buy - sell| of the last buckets; borrowed, window values */
    uint32_t window;    /* buckets in the mean */
    uint32_t next;      /* where in ring the next one goes */
    uint64_t closed;    /* buckets closed since init */
    double buy, filled; /* of the open bucket */
    double sum;         /* of ring; renewed each time round, so errors do not pile up */
} tribus_quant_vpin;

/* ring: window doubles, borrowed until the last use of v.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG (bucket not positive, window 0). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_vpin_init(tribus_quant_vpin *v, double bucket,
                                                       uint32_t window, double *ring);

/* Add bought and sold volume of a trade or bar. Returns the buckets it closed. Negative or
 * NaN volume is ignored. Cost: about 5 ns, and O(window) at most for a huge trade. */
uint64_t tribus_quant_vpin_add(tribus_quant_vpin *v, double buy, double sell);

/* The value now; NaN until `window` buckets closed. */
double tribus_quant_vpin_value(const tribus_quant_vpin *v);

/* Toxicity level: the fraction of the n values of history that are <= value (the empirical
 * CDF; 0.9 and above is the usual alarm). NaN for n == 0. */
double tribus_quant_vpin_level(const double *history, uint32_t n, double value);

typedef struct tribus_quant_trades {
    const int64_t *at_ns; /* ascending, since 1970 UTC */
    const double *price, *volume;
    uint32_t count;
} tribus_quant_trades;

/* Time bars aligned to midnight UTC: dp = last - first price inside the bar, volume = sum.
 * Empty bars between the first and last bar are kept, with zeros, on days that have a trade.
 * dp and volume: capacity values out; count: the bars there are.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_BAD_DATA (times go backwards), or TRIBUS_FULL when
 * count > capacity; then nothing but count is set. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_bars(tribus_quant_trades trades,
                                                  int64_t bar_ns, double *dp,
                                                  double *volume, uint32_t capacity,
                                                  uint32_t *count);

/* VPIN of a whole history: bars are classified in bulk with their own sd (ddof 1) and fed to
 * v, which must be new. out: one value per closed bucket from the window-th on; capacity
 * values. Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_BAD_DATA or TRIBUS_FULL. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_vpin_bulk(tribus_quant_vpin *v,
                                                       const tribus_quant_matrix *bars,
                                                       double *out, uint32_t capacity,
                                                       uint32_t *count);

/* ---- the book ---- */

/* Best bid and ask with their sizes. */
typedef struct tribus_quant_quote {
    double bid, bid_size, ask, ask_size;
} tribus_quant_quote;

/* Order-flow imbalance of one change of the best quote (Cont, Kukanov, Stoikov 2014):
 * growth of demand at the bid minus growth of supply at the ask. Sum over an interval. */
double tribus_quant_ofi(const tribus_quant_quote *before, const tribus_quant_quote *after);

/* (bids - asks) / (bids + asks) over the sizes of `levels` levels; 0 when all are empty. */
double tribus_quant_book_imbalance(const double *bid_sizes, const double *ask_sizes,
                                   uint32_t levels);

/* Size-weighted mid: (bid ask_size + ask bid_size) / (bid_size + ask_size); NaN when empty. */
double tribus_quant_micro_price(const tribus_quant_quote *q);

/* Spreads in price: quoted = ask - bid; effective = 2 side (price - mid); realised =
 * 2 side (price - mid some time later); impact = effective - realised. */
double tribus_quant_spread_quoted(const tribus_quant_quote *q);
double tribus_quant_spread_effective(double price, double mid, int8_t side);
double tribus_quant_spread_realised(double price, double mid_later, int8_t side);

/* Mean of x weighted by how long each value stood: x[i] from at_ns[i] to at_ns[i + 1]; the
 * last has no weight. NaN when no time passes. */
double tribus_quant_time_weighted(const int64_t *at_ns, const double *x, uint32_t n);

/* Kyle's (1985) lambda: slope of the regression, with intercept, of price changes on signed
 * volume. NaN for fewer than 2 values or constant volume. */
double tribus_quant_kyle_lambda(const double *dp, const double *signed_volume, uint32_t n);

/* Roll's (1984) spread 2 sqrt(-cov(dp[t], dp[t-1])), covariance about the common mean with
 * n - 1 terms; NaN when that covariance is positive or n < 3 prices. */
double tribus_quant_roll_spread(const double *price, uint32_t n);

/* Amihud's (2002) illiquidity: mean of |return| / money traded, over days with trade. */
double tribus_quant_amihud(const double *returns, const double *money, uint32_t n);

/* ---- book reconstruction ---- */

/* One side of a book as sorted price levels. Prices are integers in any unit. */
typedef struct tribus_quant_level {
    int64_t price, size;
} tribus_quant_level;

typedef struct tribus_quant_side_book {
    tribus_quant_level *levels; /* best first; borrowed */
    uint32_t count, capacity;
    int32_t better; /* +1: higher is better (bids), -1: lower (asks) */
} tribus_quant_side_book;

/* levels: capacity entries, borrowed. bids: nonzero for the bid side. */
void tribus_quant_side_book_init(tribus_quant_side_book *b, tribus_quant_level *levels,
                                 uint32_t capacity, int bids);

/* Add size (negative: remove) at a price. A level that falls to 0 or below disappears.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (removal where there is no level: it was beyond what
 * the feed shows), or TRIBUS_FULL (the worst level was dropped to make room). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_side_book_add(tribus_quant_side_book *b,
                                                           int64_t price, int64_t size);

/* Drop levels better than a price: a trade or an opposite order there proves that they are
 * gone, and their cancels were never sent. Returns how many it dropped. */
uint32_t tribus_quant_side_book_trim(tribus_quant_side_book *b, int64_t price);

/* The 4 x depth inputs that book models take: ask price, ask size, bid price, bid size of
 * level 1, then level 2 ...; an empty level repeats the last price with size 0.
 * out: 4 * depth floats; price_scale: units of 1 in prices (LOBSTER: 1e4). */
void tribus_quant_book_inputs(const tribus_quant_side_book *bids,
                              const tribus_quant_side_book *asks, uint32_t depth,
                              double price_scale, float *out);

#ifdef __cplusplus
}
#endif

#endif
