/* market.c -- a limit order book market made of arrivals, not of prices.
 *
 * Orders arrive as a Poisson process of `rate` a second, each at a uniformly chosen asset,
 * so every asset sees its own Poisson process. An arrival is one of
 *
 * - market, 1 in 16: takes from the best price on, at most half of what rests there;
 *
 * - cancel, with chance orders/(2 * ORDERS_TARGET): a uniformly chosen resting order, 3 in 4
 *   times all of it; this is what keeps the book at its size;
 *
 * - limit, otherwise: exponential depth away from the asset's reference value. One that
 *   reaches the other side trades there first and rests with what is left.
 *
 * Quantities are lots of 100; each doubling of their range has half the chance of the last.
 *
 * Prices are nobody's random walk: the reference value only says where limit orders are
 * aimed. When it moves, orders left behind are hit by newcomers or cancelled, and the mid
 * follows. References move every STEP_NS by
 *   reference * vol * (sqrt(corr) * F + sqrt(1 - corr) * e_i)
 * with one normal F for all and one e_i for each, so returns correlate by `corr` over times
 * long against the life of an order.
 *
 * Neither side ever empties: a side with fewer than ORDERS_LEAST gets the next arrival as a
 * limit order, and one order takes at most half of the other side.
 *
 * All decisions are integer arithmetic (draw.h): a seed gives one stream everywhere. */
#include "feeds/market.h"

#include "base/error.h"

#include <stdlib.h>

#define STEP_NS        10000000                 /* references move every 10 ms */
#define STEPS_ROOT     10                       /* sqrt(steps a second) */
#define DOUBLINGS_MAX  6u                       /* largest order: 127 lots */
#define ORDERS_TARGET  400u                     /* resting orders of an asset, both sides */
#define ORDERS_LEAST   16u                      /* of one side */
#define DEPTH_TICKS    5u                       /* mean distance of a limit order */
#define DEPTH_MAX      400                      /* ticks */
#define REFERENCE_LOW  ((int64_t)1000 << 32)    /* ticks, 32 fractional bits: 10.00 */
#define REFERENCE_HIGH ((int64_t)1000000 << 32) /* 10,000.00 */

static int64_t draw_lots(uint64_t bits)
{
    uint32_t k = 0;

    while (k < DOUBLINGS_MAX && ((bits >> k) & 1u) != 0)
        k++;
    return (int64_t)(((uint64_t)1 << k) + ((bits >> 8) & (((uint64_t)1 << k) - 1)));
}

static void trade(tribus_market *m, tribus_market_asset *a, tribus_limit_side resting,
                  int64_t limit, int64_t lots)
{
    uint32_t room = TRIBUS_MARKET_FILLS;

    a->traded += tribus_limit_book_take(a->book, resting, limit, lots, m->fills, &room);
    m->fill_count = room;
    m->aggressor = resting == TRIBUS_LIMIT_ASK ? TRIBUS_FEED_BUY : TRIBUS_FEED_SELL;
}

static void arrive_market(tribus_market *m, tribus_market_asset *a, uint64_t bits)
{
    const tribus_limit_side resting = (tribus_limit_side)(bits >> 63);
    const int64_t half = tribus_limit_book_side_qty(a->book, resting) / 2;
    int64_t lots = draw_lots(bits);

    if (lots > half)
        lots = half;
    a->submitted += lots;
    trade(m, a, resting, resting == TRIBUS_LIMIT_ASK ? INT64_MAX : 0, lots);
}

static void arrive_cancel(tribus_market *m, tribus_market_asset *a, uint64_t bits)
{
    const uint32_t orders = tribus_limit_book_orders(a->book);
    const uint32_t index = (uint32_t)tribus_random_below(&m->draw.random, orders);
    int64_t lots = tribus_limit_book_order_qty(a->book, index);

    if ((bits & 3u) == 0 && lots > 1)
        lots /= 2;
    a->cancelled += tribus_limit_book_cancel(a->book, index, lots);
}

/* Where a limit order of a side goes, never below one tick: REFERENCE_LOW is deeper than
 * DEPTH_MAX. */
static int64_t draw_price(tribus_market *m, const tribus_market_asset *a,
                          tribus_limit_side side)
{
    const int64_t below = a->reference_q32 >> 32;
    int64_t depth = (int64_t)((tribus_draw_exponential_q24(&m->draw) * DEPTH_TICKS) >> 24);

    if (depth > DEPTH_MAX)
        depth = DEPTH_MAX;
    return side == TRIBUS_LIMIT_BID ? below - depth : below + 1 + depth;
}

static void arrive_limit(tribus_market *m, tribus_market_asset *a, tribus_limit_side side,
                         uint64_t bits)
{
    const tribus_limit_side other =
        side == TRIBUS_LIMIT_BID ? TRIBUS_LIMIT_ASK : TRIBUS_LIMIT_BID;
    const tribus_limit_level *best = tribus_limit_book_level(a->book, other, 0);
    int64_t price = draw_price(m, a, side);
    int64_t lots = draw_lots(bits);

    if (best != NULL &&
        (side == TRIBUS_LIMIT_BID ? price >= best->price : price <= best->price)) {
        const int64_t half = tribus_limit_book_side_qty(a->book, other) / 2;

        if (half == 0) { /* the other side's last lot stays: rest just beside it */
            price = best->price + (side == TRIBUS_LIMIT_BID ? -1 : 1);
        } else {
            if (lots > half)
                lots = half;
            trade(m, a, other, price, lots);
        }
    }
    a->submitted += lots;
    for (uint32_t i = 0; i < m->fill_count; i++)
        lots -= m->fills[i].qty;
    /* There is room: at twice the target every arrival that could be a limit is a cancel,
     * except the few that refill a side. */
    if (lots > 0 && tribus_limit_book_rest(a->book, side, price, lots) != TRIBUS_OK)
        a->cancelled += lots;
}

static void move_references(tribus_market *m)
{
    const int64_t common = tribus_draw_normal_q16(&m->draw);

    for (int64_t i = 0; i < m->asset_count; i++) {
        tribus_market_asset *a = &m->assets[i];
        const int64_t z_q16 =
            (m->common_q16 * common + m->own_q16 * tribus_draw_normal_q16(&m->draw)) /
            65536;
        /* reference < 2^20 ticks and |z| < 9, so no product below passes 2^62 */
        const int64_t unit_q32 =
            (a->reference_q32 / 65536) * z_q16 / ((int64_t)1000000 * STEPS_ROOT);

        a->reference_q32 += unit_q32 * m->vol_ppm;
        if (a->reference_q32 < REFERENCE_LOW)
            a->reference_q32 = REFERENCE_LOW;
        if (a->reference_q32 > REFERENCE_HIGH)
            a->reference_q32 = REFERENCE_HIGH;
    }
}

void tribus_market_arrive(tribus_market *m)
{
    const int64_t gap_ns =
        (int64_t)((tribus_draw_exponential_q24(&m->draw) * (uint64_t)m->mean_gap_ns) >> 24);
    const uint64_t bits = tribus_random_u64(&m->draw.random);
    const uint64_t chance = (bits >> 16) & 0xffffu;
    tribus_market_asset *a;
    uint32_t orders;

    m->now_ns += gap_ns;
    for (; m->next_step_ns <= m->now_ns; m->next_step_ns += STEP_NS)
        move_references(m);
    m->asset_now = (uint32_t)tribus_random_below(&m->draw.random, (uint64_t)m->asset_count);
    a = &m->assets[m->asset_now];
    orders = tribus_limit_book_orders(a->book);
    m->fill_count = 0;
    if (tribus_limit_book_side_orders(a->book, TRIBUS_LIMIT_BID) < ORDERS_LEAST)
        arrive_limit(m, a, TRIBUS_LIMIT_BID, bits);
    else if (tribus_limit_book_side_orders(a->book, TRIBUS_LIMIT_ASK) < ORDERS_LEAST)
        arrive_limit(m, a, TRIBUS_LIMIT_ASK, bits);
    else if (chance < 65536u / 16u)
        arrive_market(m, a, bits);
    else if (((bits >> 32) & 0xffffu) * (2u * ORDERS_TARGET) < (uint64_t)orders * 65536u)
        arrive_cancel(m, a, bits);
    else
        arrive_limit(m, a, (tribus_limit_side)(bits >> 63), bits);
}

static tribus_status fill_books(tribus_market *m)
{
    m->assets = calloc((size_t)m->asset_count, sizeof(*m->assets));
    if (m->assets == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%lld assets", (long long)m->asset_count);
    for (int64_t i = 0; i < m->asset_count; i++) {
        tribus_market_asset *a = &m->assets[i];
        const tribus_status st =
            tribus_limit_book_create(2u * ORDERS_TARGET + 2u * ORDERS_LEAST, &a->book);

        if (st != TRIBUS_OK)
            return st;
        /* 50.00 to 249.99 */
        a->reference_q32 = (int64_t)(5000u + tribus_random_below(&m->draw.random, 20000u)) *
                           ((int64_t)1 << 32);
        for (uint32_t n = 0; n < ORDERS_TARGET; n++)
            arrive_limit(m, a, (n & 1u) == 0 ? TRIBUS_LIMIT_BID : TRIBUS_LIMIT_ASK,
                         tribus_random_u64(&m->draw.random));
    }
    return TRIBUS_OK;
}

tribus_status tribus_market_open(tribus_market *m)
{
    tribus_draw_init(&m->draw, (uint64_t)m->seed);
    /* sqrt(ppm / 10^6) in 1/65536: root of ppm * 2^32 / 10^6 */
    m->common_q16 = (int64_t)tribus_draw_root(((uint64_t)m->corr_ppm << 32) / 1000000u);
    m->own_q16 =
        (int64_t)tribus_draw_root(((uint64_t)(1000000 - m->corr_ppm) << 32) / 1000000u);
    m->mean_gap_ns = 1000000000 / m->rate;
    m->next_step_ns = STEP_NS;
    return fill_books(m);
}

void tribus_market_close(tribus_market *m)
{
    if (m->assets == NULL)
        return;
    for (int64_t i = 0; i < m->asset_count; i++)
        tribus_limit_book_destroy(m->assets[i].book);
    free(m->assets);
}
