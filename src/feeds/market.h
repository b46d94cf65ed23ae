/* market.h -- the simulated market: order books and what arrives at them.
 *
 * Use it to   let orders, cancels and trades happen, one arrival after the other.
 * Not for     options and events: that is sim.c.
 *
 * Memory      allocated when it is opened; nothing after.
 * Threads     one.
 */
#ifndef TRIBUS_FEEDS_MARKET_H
#define TRIBUS_FEEDS_MARKET_H

#include "feeds/draw.h"
#include "feeds/limit_book.h"
#include "tribus/feed.h"

#define TRIBUS_MARKET_FILLS                                                                \
    128u /* one fill takes at least a lot, the largest order has 127 */

typedef struct tribus_market_asset {
    tribus_limit_book *book; /* prices in ticks, quantities in lots */
    int64_t reference_q32;   /* ticks */
    int64_t submitted;       /* lots, since the market was opened */
    int64_t cancelled;
    int64_t traded;
} tribus_market_asset;

typedef struct tribus_market {
    /* set before tribus_market_open() */
    int64_t asset_count; /* >= 1 */
    int64_t seed;
    int64_t rate;    /* arrivals a second, 1..10^7 */
    int64_t vol_ppm; /* standard deviation of a reference's return over a second, <= 10^4 */
    int64_t corr_ppm; /* correlation of those returns, <= 10^6 */
    /* the market */
    tribus_draw draw;
    tribus_market_asset *assets;
    int64_t common_q16; /* sqrt(corr) */
    int64_t own_q16;    /* sqrt(1 - corr) */
    int64_t mean_gap_ns;
    int64_t now_ns;
    int64_t next_step_ns;
    /* the last arrival */
    uint32_t asset_now;
    uint32_t fill_count;
    tribus_feed_side aggressor;
    tribus_limit_fill fills[TRIBUS_MARKET_FILLS];
} tribus_market;

/* Make and fill the books. Returns TRIBUS_OK or TRIBUS_NO_MEMORY; close it in both cases. */
TRIBUS_MUST_CHECK tribus_status tribus_market_open(tribus_market *market);
void tribus_market_close(tribus_market *market);

/* Let the next order or cancel arrive: now_ns, asset_now and the fills say what happened. */
void tribus_market_arrive(tribus_market *market);

#endif
