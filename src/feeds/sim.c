/* sim.c -- a limit order book market made of arrivals, not of prices.
 *
 * Orders arrive as a Poisson process of `rate` a second, each at a uniformly chosen asset,
 * so every asset sees its own Poisson process. An arrival is one of market   1 in 16: takes
 * from the best price on, at most half of what rests there cancel   with chance orders/(2 *
 * ORDERS_TARGET): a uniformly chosen resting order, 3 in 4 times all of it; this is what
 * keeps the book at its size limit    otherwise: exponential depth away from the asset's
 * reference value. One that reaches the other side trades there first and rests with what
 * is left and quantities are lots of 100 with chance 2^-k for the k-th doubling.
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
#include "feeds/sim.h"

#include "base/error.h"
#include "feeds/decimal.h"
#include "feeds/draw.h"
#include "feeds/limit_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_NS        10000000     /* references move every 10 ms */
#define STEPS_ROOT     10           /* sqrt(steps a second) */
#define TICK_E9        10000000     /* 0.01 */
#define LOT_SHARES     100          /* and a share is 1e9 in qty_e9 */
#define LOT_E9         100000000000 /* LOT_SHARES * 1e9 */
#define DOUBLINGS_MAX  6u           /* largest order: 127 lots */
#define FILLS_MAX      128u         /* one fill takes at least a lot, so never more */
#define ORDERS_TARGET  400u         /* resting orders of an asset, both sides */
#define ORDERS_LEAST   16u          /* of one side */
#define DEPTH_TICKS    5u           /* mean distance of a limit order */
#define DEPTH_MAX      400          /* ticks */
#define REFERENCE_LOW  ((int64_t)1000 << 32)    /* ticks, 32 fractional bits: 10.00 */
#define REFERENCE_HIGH ((int64_t)1000000 << 32) /* 10,000.00 */
#define ASSETS_MAX     1024

typedef struct asset {
    tribus_limit_book *book;
    int64_t reference_q32; /* ticks */
    tribus_feed_quote top; /* last seen */
    int64_t submitted;     /* lots */
    int64_t cancelled;
    int64_t traded;
} asset;

typedef enum stage { STAGE_FILLS, STAGE_QUOTE, STAGE_BOOK, STAGE_DONE } stage;

typedef struct sim {
    tribus_source_io *io;
    tribus_draw draw;
    asset *assets;
    int64_t asset_count;
    int64_t seed;
    int64_t rate;
    int64_t vol_ppm; /* standard deviation of a reference's return over a second */
    int64_t corr_ppm;
    int64_t messages; /* 0: endless */
    const char *symbols;
    size_t symbols_bytes;
    int64_t common_q16; /* sqrt(corr) */
    int64_t own_q16;    /* sqrt(1 - corr) */
    int64_t mean_gap_ns;
    int64_t now_ns;
    int64_t next_step_ns;
    /* the arrival whose events are being given out */
    stage stage;
    uint32_t asset_now;
    uint32_t fill_at;
    uint32_t fill_count;
    tribus_feed_side aggressor;
    tribus_limit_fill fills[FILLS_MAX];
} sim;

typedef struct option {
    const char *name;
    size_t at; /* offset of its int64_t in sim */
    int places;
    int64_t least;
    int64_t most;
} option;

static const option options[] = {
    {"assets", offsetof(sim, asset_count), 0, 1, ASSETS_MAX},
    {"seed", offsetof(sim, seed), 0, 0, INT64_MAX},
    {"rate", offsetof(sim, rate), 0, 1, 10000000},
    {"vol", offsetof(sim, vol_ppm), 0, 0, 10000},
    {"corr", offsetof(sim, corr_ppm), 6, 0, 1000000},
    {"messages", offsetof(sim, messages), 0, 0, INT64_MAX},
};

/* ---- options ---- */

static tribus_status set_number(sim *s, const option *o, const char *text, size_t bytes)
{
    int64_t value;
    const char *end = tribus_decimal_read(text, text + bytes, o->places, &value);

    if (end == NULL || end != text + bytes || value < o->least || value > o->most) {
        int64_t scale = 1;

        for (int i = 0; i < o->places; i++)
            scale *= 10;
        return tribus_error_set(TRIBUS_BAD_ARG, "%s=%.*s: a number from %lld to %lld",
                                o->name, bytes > 40 ? 40 : (int)bytes, text,
                                (long long)(o->least / scale),
                                (long long)(o->most / scale));
    }
    memcpy((char *)s + o->at, &value, sizeof(value));
    return TRIBUS_OK;
}

static tribus_status set_option(sim *s, const char *text, size_t bytes)
{
    const char *equal = memchr(text, '=', bytes);
    const size_t name_bytes = equal == NULL ? bytes : (size_t)(equal - text);
    const size_t value_bytes = equal == NULL ? 0 : bytes - name_bytes - 1;

    if (equal != NULL && name_bytes == 7 && memcmp(text, "symbols", 7) == 0) {
        s->symbols = equal + 1;
        s->symbols_bytes = value_bytes;
        return TRIBUS_OK;
    }
    if (equal != NULL)
        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
            if (strlen(options[i].name) == name_bytes &&
                memcmp(options[i].name, text, name_bytes) == 0)
                return set_number(s, &options[i], equal + 1, value_bytes);
    return tribus_error_set(TRIBUS_BAD_ARG,
                            "option \"%.*s\": no such option; there are assets=, seed=, "
                            "rate=, vol=, corr=, messages=, symbols=A/B/C",
                            bytes > 40 ? 40 : (int)bytes, text);
}

static tribus_status add_symbols(sim *s)
{
    const char *p = s->symbols;
    const char *end = p + s->symbols_bytes;
    uint32_t index = 0;

    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const size_t bytes = (size_t)((slash == NULL ? end : slash) - p);
        tribus_status st;

        if (bytes == 0 || bytes > 31)
            return tribus_error_set(TRIBUS_BAD_ARG, "symbols: a name has 1 to 31 letters");
        st = tribus_source_add_symbol(s->io, p, bytes, &index);
        if (st != TRIBUS_OK)
            return st;
        if (index >= ASSETS_MAX)
            return tribus_error_set(TRIBUS_BAD_ARG, "symbols: at most %d", ASSETS_MAX);
        p += bytes + 1;
    }
    if (s->asset_count != 0 && s->asset_count != (int64_t)index + 1)
        return tribus_error_set(TRIBUS_BAD_ARG, "symbols: %u names for assets=%lld",
                                index + 1, (long long)s->asset_count);
    s->asset_count = (int64_t)index + 1;
    return TRIBUS_OK;
}

static tribus_status name_assets(sim *s)
{
    if (s->symbols_bytes > 0)
        return add_symbols(s);
    if (s->symbols != NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "symbols: a name has 1 to 31 letters");
    if (s->asset_count == 0)
        s->asset_count = 8;
    for (int64_t i = 0; i < s->asset_count; i++) {
        char name[16];
        uint32_t index;
        const int n = snprintf(name, sizeof(name), "SIM%02d", (int)i);
        const tribus_status st = tribus_source_add_symbol(s->io, name, (size_t)n, &index);

        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- the market ---- */

static int64_t draw_lots(uint64_t bits)
{
    uint32_t k = 0;

    while (k < DOUBLINGS_MAX && ((bits >> k) & 1u) != 0)
        k++;
    return (int64_t)(((uint64_t)1 << k) + ((bits >> 8) & (((uint64_t)1 << k) - 1)));
}

static void trade(sim *s, asset *a, tribus_limit_side resting, int64_t limit, int64_t lots)
{
    uint32_t room = FILLS_MAX;

    a->traded += tribus_limit_book_take(a->book, resting, limit, lots, s->fills, &room);
    s->fill_count = room;
    s->aggressor = resting == TRIBUS_LIMIT_ASK ? TRIBUS_FEED_BUY : TRIBUS_FEED_SELL;
}

static void arrive_market(sim *s, asset *a, uint64_t bits)
{
    const tribus_limit_side resting = (tribus_limit_side)(bits >> 63);
    const int64_t half = tribus_limit_book_side_qty(a->book, resting) / 2;
    int64_t lots = draw_lots(bits);

    if (lots > half)
        lots = half;
    a->submitted += lots;
    trade(s, a, resting, resting == TRIBUS_LIMIT_ASK ? INT64_MAX : 0, lots);
}

static void arrive_cancel(sim *s, asset *a, uint64_t bits)
{
    const uint32_t orders = tribus_limit_book_orders(a->book);
    const uint32_t index = (uint32_t)tribus_random_below(&s->draw.random, orders);
    int64_t lots = tribus_limit_book_order_qty(a->book, index);

    if ((bits & 3u) == 0 && lots > 1)
        lots /= 2;
    a->cancelled += tribus_limit_book_cancel(a->book, index, lots);
}

/* Where a limit order of a side goes, never below one tick: REFERENCE_LOW is deeper than
 * DEPTH_MAX. */
static int64_t draw_price(sim *s, const asset *a, tribus_limit_side side)
{
    const int64_t below = a->reference_q32 >> 32;
    int64_t depth = (int64_t)((tribus_draw_exponential_q24(&s->draw) * DEPTH_TICKS) >> 24);

    if (depth > DEPTH_MAX)
        depth = DEPTH_MAX;
    return side == TRIBUS_LIMIT_BID ? below - depth : below + 1 + depth;
}

static void arrive_limit(sim *s, asset *a, tribus_limit_side side, uint64_t bits)
{
    const tribus_limit_side other =
        side == TRIBUS_LIMIT_BID ? TRIBUS_LIMIT_ASK : TRIBUS_LIMIT_BID;
    const tribus_limit_level *best = tribus_limit_book_level(a->book, other, 0);
    int64_t price = draw_price(s, a, side);
    int64_t lots = draw_lots(bits);

    if (best != NULL &&
        (side == TRIBUS_LIMIT_BID ? price >= best->price : price <= best->price)) {
        const int64_t half = tribus_limit_book_side_qty(a->book, other) / 2;

        if (half == 0) { /* the other side's last lot stays: rest just beside it */
            price = best->price + (side == TRIBUS_LIMIT_BID ? -1 : 1);
        } else {
            if (lots > half)
                lots = half;
            trade(s, a, other, price, lots);
        }
    }
    a->submitted += lots;
    for (uint32_t i = 0; i < s->fill_count; i++)
        lots -= s->fills[i].qty;
    /* There is room: at twice the target every arrival that could be a limit is a cancel,
     * except the few that refill a side. */
    if (lots > 0 && tribus_limit_book_rest(a->book, side, price, lots) != TRIBUS_OK)
        a->cancelled += lots;
}

static void move_references(sim *s)
{
    const int64_t common = tribus_draw_normal_q16(&s->draw);

    for (int64_t i = 0; i < s->asset_count; i++) {
        asset *a = &s->assets[i];
        const int64_t z_q16 =
            (s->common_q16 * common + s->own_q16 * tribus_draw_normal_q16(&s->draw)) /
            65536;
        /* reference < 2^20 ticks and |z| < 9, so no product below passes 2^62 */
        const int64_t unit_q32 =
            (a->reference_q32 / 65536) * z_q16 / ((int64_t)1000000 * STEPS_ROOT);

        a->reference_q32 += unit_q32 * s->vol_ppm;
        if (a->reference_q32 < REFERENCE_LOW)
            a->reference_q32 = REFERENCE_LOW;
        if (a->reference_q32 > REFERENCE_HIGH)
            a->reference_q32 = REFERENCE_HIGH;
    }
}

static void arrive(sim *s)
{
    const int64_t gap_ns =
        (int64_t)((tribus_draw_exponential_q24(&s->draw) * (uint64_t)s->mean_gap_ns) >> 24);
    const uint64_t bits = tribus_random_u64(&s->draw.random);
    const uint64_t chance = (bits >> 16) & 0xffffu;
    asset *a;
    uint32_t orders;

    s->now_ns += gap_ns;
    for (; s->next_step_ns <= s->now_ns; s->next_step_ns += STEP_NS)
        move_references(s);
    s->asset_now = (uint32_t)tribus_random_below(&s->draw.random, (uint64_t)s->asset_count);
    a = &s->assets[s->asset_now];
    orders = tribus_limit_book_orders(a->book);
    s->fill_count = 0;
    s->fill_at = 0;
    s->stage = STAGE_FILLS;
    if (tribus_limit_book_side_orders(a->book, TRIBUS_LIMIT_BID) < ORDERS_LEAST)
        arrive_limit(s, a, TRIBUS_LIMIT_BID, bits);
    else if (tribus_limit_book_side_orders(a->book, TRIBUS_LIMIT_ASK) < ORDERS_LEAST)
        arrive_limit(s, a, TRIBUS_LIMIT_ASK, bits);
    else if (chance < 65536u / 16u)
        arrive_market(s, a, bits);
    else if (((bits >> 32) & 0xffffu) * (2u * ORDERS_TARGET) < (uint64_t)orders * 65536u)
        arrive_cancel(s, a, bits);
    else
        arrive_limit(s, a, (tribus_limit_side)(bits >> 63), bits);
    s->io->totals.messages++;
}

/* ---- opening ---- */

static tribus_status open_assets(sim *s)
{
    s->assets = calloc((size_t)s->asset_count, sizeof(*s->assets));
    if (s->assets == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%lld assets", (long long)s->asset_count);
    for (int64_t i = 0; i < s->asset_count; i++) {
        asset *a = &s->assets[i];
        const tribus_status st =
            tribus_limit_book_create(2u * ORDERS_TARGET + 2u * ORDERS_LEAST, &a->book);

        if (st != TRIBUS_OK)
            return st;
        /* 50.00 to 249.99 */
        a->reference_q32 = (int64_t)(5000u + tribus_random_below(&s->draw.random, 20000u)) *
                           ((int64_t)1 << 32);
        for (uint32_t n = 0; n < ORDERS_TARGET; n++)
            arrive_limit(s, a, (n & 1u) == 0 ? TRIBUS_LIMIT_BID : TRIBUS_LIMIT_ASK,
                         tribus_random_u64(&s->draw.random));
    }
    return TRIBUS_OK;
}

static void sim_close(void *source)
{
    sim *s = source;

    if (s == NULL)
        return;
    if (s->assets != NULL)
        for (int64_t i = 0; i < s->asset_count; i++)
            tribus_limit_book_destroy(s->assets[i].book);
    free(s->assets);
    free(s);
}

static tribus_status sim_open(const char *args, tribus_source_io *io, void **out)
{
    sim *s = calloc(1, sizeof(*s));
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "simulator: %zu bytes", sizeof(*s));
    s->io = io;
    s->seed = 1;
    s->rate = 20000;
    s->vol_ppm = 200;
    s->corr_ppm = 500000;
    while (*args != '\0') {
        const size_t bytes = strcspn(args, ",");

        st = set_option(s, args, bytes);
        if (st != TRIBUS_OK)
            goto fail;
        args += bytes;
        args += *args == ',';
    }
    st = name_assets(s);
    if (st != TRIBUS_OK)
        goto fail;
    tribus_draw_init(&s->draw, (uint64_t)s->seed);
    /* sqrt(ppm / 10^6) in 1/65536: root of ppm * 2^32 / 10^6 */
    s->common_q16 = (int64_t)tribus_draw_root(((uint64_t)s->corr_ppm << 32) / 1000000u);
    s->own_q16 =
        (int64_t)tribus_draw_root(((uint64_t)(1000000 - s->corr_ppm) << 32) / 1000000u);
    s->mean_gap_ns = 1000000000 / s->rate;
    s->next_step_ns = STEP_NS;
    s->stage = STAGE_DONE;
    st = open_assets(s);
    if (st != TRIBUS_OK)
        goto fail;
    *out = s;
    return TRIBUS_OK;

fail:
    sim_close(s);
    return st;
}

/* ---- events ---- */

static tribus_feed_level to_level(const tribus_limit_level *level)
{
    if (level == NULL)
        return (tribus_feed_level){0, 0};
    return (tribus_feed_level){level->price * TICK_E9, level->qty * LOT_E9};
}

static uint32_t fill_side(const asset *a, tribus_limit_side side, tribus_feed_level *out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < TRIBUS_FEED_LEVELS; i++) {
        const tribus_limit_level *level = tribus_limit_book_level(a->book, side, i);

        out[i] = to_level(level);
        count += level != NULL;
    }
    return count;
}

static void start_event(const sim *s, tribus_feed_kind kind, tribus_feed_event *event)
{
    event->kind = kind;
    event->symbol = s->asset_now;
    event->time_ns = s->now_ns;
    event->sequence = s->io->totals.messages;
}

static bool next_fill(sim *s, tribus_feed_event *event)
{
    const tribus_limit_fill *fill = &s->fills[s->fill_at];

    if ((s->io->kinds & TRIBUS_FEED_TRADE) == 0 || s->fill_at == s->fill_count) {
        s->stage = STAGE_QUOTE;
        return false;
    }
    start_event(s, TRIBUS_FEED_TRADE, event);
    event->trade =
        (tribus_feed_trade){fill->price * TICK_E9, fill->qty * LOT_E9, s->aggressor, 0};
    s->fill_at++;
    return true;
}

static bool next_quote(sim *s, tribus_feed_event *event)
{
    asset *a = &s->assets[s->asset_now];
    const tribus_feed_quote top = {
        to_level(tribus_limit_book_level(a->book, TRIBUS_LIMIT_BID, 0)),
        to_level(tribus_limit_book_level(a->book, TRIBUS_LIMIT_ASK, 0))};

    s->stage = STAGE_BOOK;
    if ((s->io->kinds & TRIBUS_FEED_QUOTE) == 0 || memcmp(&top, &a->top, sizeof(top)) == 0)
        return false;
    a->top = top;
    start_event(s, TRIBUS_FEED_QUOTE, event);
    event->quote = top;
    return true;
}

static bool next_book(sim *s, tribus_feed_event *event)
{
    const asset *a = &s->assets[s->asset_now];

    s->stage = STAGE_DONE;
    if ((s->io->kinds & TRIBUS_FEED_BOOK) == 0)
        return false;
    start_event(s, TRIBUS_FEED_BOOK, event);
    event->book.bid_count = fill_side(a, TRIBUS_LIMIT_BID, event->book.bid);
    event->book.ask_count = fill_side(a, TRIBUS_LIMIT_ASK, event->book.ask);
    return true;
}

static tribus_status sim_next(void *source, tribus_feed_event *event)
{
    sim *s = source;

    for (;;) {
        if (s->stage == STAGE_FILLS && next_fill(s, event))
            return TRIBUS_OK;
        if (s->stage == STAGE_QUOTE && next_quote(s, event))
            return TRIBUS_OK;
        if (s->stage == STAGE_BOOK && next_book(s, event))
            return TRIBUS_OK;
        if (s->stage == STAGE_DONE) {
            if (s->messages != 0 && s->io->totals.messages >= (uint64_t)s->messages)
                return TRIBUS_STOPPED;
            arrive(s);
        }
    }
}

void tribus_sim_audit_asset(const void *source, uint32_t index, tribus_sim_audit *out)
{
    const sim *s = source;
    const asset *a = &s->assets[index];

    out->submitted = a->submitted * LOT_SHARES;
    out->cancelled = a->cancelled * LOT_SHARES;
    out->traded = a->traded * LOT_SHARES;
    out->resting = (tribus_limit_book_side_qty(a->book, TRIBUS_LIMIT_BID) +
                    tribus_limit_book_side_qty(a->book, TRIBUS_LIMIT_ASK)) *
                   LOT_SHARES;
    out->reference_price_e9 = (a->reference_q32 >> 16) * (TICK_E9 / 128) / (65536 / 128);
}

const tribus_source_ops tribus_feed_sim_ops = {
    .name = "sim",
    .usage = "sim[:assets=8,seed=1,rate=20000,vol=200,corr=0.5,messages=0,symbols=A/B/C]  "
             "simulated order books",
    .open = sim_open,
    .next = sim_next,
    .close = sim_close,
};
