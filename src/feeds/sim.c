/* sim.c -- the simulated market as a feed: its options, and the events of each arrival. What
 * happens in the market, and why, is in market.c. */
#include "feeds/sim.h"

#include "base/error.h"
#include "feeds/decimal.h"
#include "feeds/market.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_E9    10000000     /* 0.01 */
#define LOT_SHARES 100          /* and a share is 1e9 in qty_e9 */
#define LOT_E9     100000000000 /* LOT_SHARES * 1e9 */
#define ASSETS_MAX 1024

typedef enum stage { STAGE_FILLS, STAGE_QUOTE, STAGE_BOOK, STAGE_DONE } stage;

typedef struct sim {
    tribus_source_io *io;
    tribus_market market;
    int64_t messages; /* 0: endless */
    const char *symbols;
    size_t symbols_bytes;
    tribus_feed_quote *tops; /* last seen, by asset */
    /* the arrival whose events are being given out */
    stage stage;
    uint32_t fill_at;
} sim;

typedef struct option {
    const char *name;
    size_t at; /* offset of its int64_t in sim */
    int places;
    int64_t least;
    int64_t most;
} option;

static const option options[] = {
    {"assets", offsetof(sim, market.asset_count), 0, 1, ASSETS_MAX},
    {"seed", offsetof(sim, market.seed), 0, 0, INT64_MAX},
    {"rate", offsetof(sim, market.rate), 0, 1, 10000000},
    {"vol", offsetof(sim, market.vol_ppm), 0, 0, 10000},
    {"corr", offsetof(sim, market.corr_ppm), 6, 0, 1000000},
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
    if (s->market.asset_count != 0 && s->market.asset_count != (int64_t)index + 1)
        return tribus_error_set(TRIBUS_BAD_ARG, "symbols: %u names for assets=%lld",
                                index + 1, (long long)s->market.asset_count);
    s->market.asset_count = (int64_t)index + 1;
    return TRIBUS_OK;
}

static tribus_status name_assets(sim *s)
{
    if (s->symbols_bytes > 0)
        return add_symbols(s);
    if (s->symbols != NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "symbols: a name has 1 to 31 letters");
    if (s->market.asset_count == 0)
        s->market.asset_count = 8;
    for (int64_t i = 0; i < s->market.asset_count; i++) {
        char name[16];
        uint32_t index;
        const int n = snprintf(name, sizeof(name), "SIM%02d", (int)i);
        const tribus_status st = tribus_source_add_symbol(s->io, name, (size_t)n, &index);

        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- opening ---- */

static void sim_close(void *source)
{
    sim *s = source;

    if (s == NULL)
        return;
    tribus_market_close(&s->market);
    free(s->tops);
    free(s);
}

static tribus_status sim_open(const char *args, tribus_source_io *io, void **out)
{
    sim *s = calloc(1, sizeof(*s));
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "simulator: %zu bytes", sizeof(*s));
    s->io = io;
    s->market.seed = 1;
    s->market.rate = 20000;
    s->market.vol_ppm = 200;
    s->market.corr_ppm = 500000;
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
    s->tops = calloc((size_t)s->market.asset_count, sizeof(*s->tops));
    if (s->tops == NULL) {
        st = tribus_error_set(TRIBUS_NO_MEMORY, "%lld assets",
                              (long long)s->market.asset_count);
        goto fail;
    }
    s->stage = STAGE_DONE;
    st = tribus_market_open(&s->market);
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

static uint32_t fill_side(const tribus_market_asset *a, tribus_limit_side side,
                          tribus_feed_level *out)
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
    event->symbol = s->market.asset_now;
    event->time_ns = s->market.now_ns;
    event->sequence = s->io->totals.messages;
}

static bool next_fill(sim *s, tribus_feed_event *event)
{
    const tribus_limit_fill *fill = &s->market.fills[s->fill_at];

    if ((s->io->kinds & TRIBUS_FEED_TRADE) == 0 || s->fill_at == s->market.fill_count) {
        s->stage = STAGE_QUOTE;
        return false;
    }
    start_event(s, TRIBUS_FEED_TRADE, event);
    event->trade = (tribus_feed_trade){fill->price * TICK_E9, fill->qty * LOT_E9,
                                       s->market.aggressor, 0};
    s->fill_at++;
    return true;
}

static bool next_quote(sim *s, tribus_feed_event *event)
{
    tribus_feed_quote *last = &s->tops[s->market.asset_now];
    const tribus_market_asset *a = &s->market.assets[s->market.asset_now];
    const tribus_feed_quote top = {
        to_level(tribus_limit_book_level(a->book, TRIBUS_LIMIT_BID, 0)),
        to_level(tribus_limit_book_level(a->book, TRIBUS_LIMIT_ASK, 0))};

    s->stage = STAGE_BOOK;
    if ((s->io->kinds & TRIBUS_FEED_QUOTE) == 0 || memcmp(&top, last, sizeof(top)) == 0)
        return false;
    *last = top;
    start_event(s, TRIBUS_FEED_QUOTE, event);
    event->quote = top;
    return true;
}

static bool next_book(sim *s, tribus_feed_event *event)
{
    const tribus_market_asset *a = &s->market.assets[s->market.asset_now];

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
            tribus_market_arrive(&s->market);
            s->io->totals.messages++;
            s->fill_at = 0;
            s->stage = STAGE_FILLS;
        }
    }
}

void tribus_sim_audit_asset(const void *source, uint32_t index, tribus_sim_audit *out)
{
    const sim *s = source;
    const tribus_market_asset *a = &s->market.assets[index];

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
