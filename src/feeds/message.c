/* message.c -- see message.h. */
#include "feeds/message.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* What a price_update says beyond one quote, of one symbol. */
typedef struct tally {
    int64_t last_e9;
    int64_t volume_e9; /* saturates: a counter for people */
} tally;

struct tribus_feed_message {
    const tribus_feed *feed;
    char venue[16];
    tally *tallies;
    uint32_t tally_count;
    uint64_t trades;
};

tribus_status tribus_feed_message_open(const tribus_feed *feed, const char *venue,
                                       tribus_feed_message **out)
{
    tribus_feed_message *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "messages of a feed");
    m->feed = feed;
    (void)tribus_wire_text_set(m->venue, sizeof(m->venue), venue);
    *out = m;
    return TRIBUS_OK;
}

void tribus_feed_message_close(tribus_feed_message *m)
{
    if (m == NULL)
        return;
    free(m->tallies);
    free(m);
}

static tally *tally_of(tribus_feed_message *m, uint32_t symbol)
{
    if (symbol >= m->tally_count) {
        const uint32_t n = (symbol / 64u + 1u) * 64u;
        tally *more = realloc(m->tallies, n * sizeof(*more));

        if (more == NULL)
            return NULL;
        memset(more + m->tally_count, 0, (n - m->tally_count) * sizeof(*more));
        m->tallies = more;
        m->tally_count = n;
    }
    return &m->tallies[symbol];
}

static void copy_levels(tribus_level *to, const tribus_feed_level *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i].price_e9 = from[i].price_e9;
        to[i].qty_e9 = from[i].qty_e9;
    }
}

static tribus_status make_book(const tribus_feed_message *m, const tribus_feed_event *event,
                               const char *symbol, tribus_msg_market_data *out)
{
    const tribus_status st = tribus_wire_init(out, sizeof(*out), TRIBUS_MSG_MARKET_DATA);

    if (st != TRIBUS_OK)
        return st;
    (void)tribus_wire_text_set(out->symbol, sizeof(out->symbol), symbol);
    memcpy(out->venue, m->venue, sizeof(out->venue));
    out->event_wall_ns = event->time_ns;
    out->book_sequence = event->sequence;
    out->bid_count = event->book.bid_count;
    out->ask_count = event->book.ask_count;
    copy_levels(out->bids, event->book.bid, event->book.bid_count);
    copy_levels(out->asks, event->book.ask, event->book.ask_count);
    return TRIBUS_OK;
}

static tribus_status make_quote(const tally *t, const tribus_feed_event *event,
                                const char *symbol, tribus_msg_price_update *out)
{
    const tribus_feed_quote *q = &event->quote;
    const tribus_status st = tribus_wire_init(out, sizeof(*out), TRIBUS_MSG_PRICE_UPDATE);

    if (st != TRIBUS_OK)
        return st;
    (void)tribus_wire_text_set(out->symbol, sizeof(out->symbol), symbol);
    out->bid_e9 = q->bid.price_e9;
    out->ask_e9 = q->ask.price_e9;
    out->bid_qty_e9 = q->bid.qty_e9;
    out->ask_qty_e9 = q->ask.qty_e9;
    out->price_e9 = t->last_e9;
    if (out->price_e9 == 0 && q->bid.price_e9 != 0 && q->ask.price_e9 != 0)
        out->price_e9 = q->bid.price_e9 / 2 + q->ask.price_e9 / 2;
    out->volume_e9 = t->volume_e9;
    out->event_wall_ns = event->time_ns;
    return TRIBUS_OK;
}

static tribus_status make_trade(tribus_feed_message *m, tally *t,
                                const tribus_feed_event *event, const char *symbol,
                                tribus_msg_trade_execution *out)
{
    const tribus_status st =
        tribus_wire_init(out, sizeof(*out), TRIBUS_MSG_TRADE_EXECUTION);

    if (st != TRIBUS_OK)
        return st;
    t->last_e9 = event->trade.price_e9;
    if (t->volume_e9 > INT64_MAX - event->trade.qty_e9)
        t->volume_e9 = INT64_MAX;
    else
        t->volume_e9 += event->trade.qty_e9;
    (void)tribus_wire_text_set(out->symbol, sizeof(out->symbol), symbol);
    memcpy(out->venue, m->venue, sizeof(out->venue));
    out->price_e9 = event->trade.price_e9;
    out->qty_e9 = event->trade.qty_e9;
    out->trade = ++m->trades;
    out->event_wall_ns = event->time_ns;
    out->side = event->trade.aggressor == TRIBUS_FEED_BUY    ? TRIBUS_SIDE_BUY
                : event->trade.aggressor == TRIBUS_FEED_SELL ? TRIBUS_SIDE_SELL
                                                             : TRIBUS_SIDE_NONE;
    return TRIBUS_OK;
}

tribus_status tribus_feed_message_make(tribus_feed_message *m,
                                       const tribus_feed_event *event, tribus_msg_any *msg)
{
    const char *symbol = tribus_feed_symbol(m->feed, event->symbol);
    tally *t = tally_of(m, event->symbol);

    if (t == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "symbol %u", event->symbol);
    switch (event->kind) {
    case TRIBUS_FEED_BOOK:
        return make_book(m, event, symbol, &msg->market_data);
    case TRIBUS_FEED_QUOTE:
        return make_quote(t, event, symbol, &msg->price_update);
    case TRIBUS_FEED_TRADE:
        return make_trade(m, t, event, symbol, &msg->trade_execution);
    default:
        return tribus_error_set(TRIBUS_BAD_ARG, "feed event of kind %u", event->kind);
    }
}
