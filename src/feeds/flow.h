/* flow.h -- a recorded venue's books, by symbol, and the events of the message at hand.
 *
 * Use it to   turn "order added", "order executed", "level is now" into trades, quotes and
 *             books: a reader calls begin, then what the message says, then next until it
 *             gives nothing more.
 *
 * Trust       ids, prices and quantities come from a file: an order that exists already or
 *             more cancelled than there is gives TRIBUS_BAD_DATA, an order that was never
 *             added TRIBUS_NOT_FOUND (a recording may begin in mid-day); nothing changes.
 * Memory      grows with the orders resting, at most 2^24, and the symbols.
 */
#ifndef TRIBUS_FEEDS_FLOW_H
#define TRIBUS_FEEDS_FLOW_H

#include "feeds/level_book.h"
#include "feeds/source.h"

#include <stdbool.h>

typedef struct tribus_flow_order {
    uint64_t id;
    int64_t price; /* native units */
    int64_t qty;   /* > 0; 0 marks a free place in the table */
    uint32_t symbol;
    tribus_level_side side;
} tribus_flow_order;

typedef struct tribus_flow_symbol {
    tribus_level_book book;
    tribus_feed_quote top;
    bool held;       /* changed since its last book event */
    bool own_quotes; /* the venue sends quotes, so none are made from the book */
} tribus_flow_symbol;

typedef struct tribus_flow {
    tribus_source_io *io;
    int64_t price_scale;
    int64_t qty_scale;
    tribus_flow_symbol *symbols;
    uint32_t symbol_room;
    tribus_flow_order *orders; /* open addressing, linear probing */
    uint32_t order_room;       /* a power of two, or 0 */
    uint32_t order_count;
    /* the message at hand */
    uint32_t symbol;
    int64_t time_ns;
    uint64_t sequence;
    tribus_feed_trade trade;
    bool trade_due;
    bool quote_due;
    bool book_due;
} tribus_flow;

void tribus_flow_init(tribus_flow *flow, tribus_source_io *io, int64_t price_scale,
                      int64_t qty_scale);
void tribus_flow_fini(tribus_flow *flow);

/* Make a symbol with an empty book. Returns TRIBUS_OK or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_flow_add_symbol(tribus_flow *flow, const char *name,
                                                       size_t bytes, uint32_t *symbol);

/* Start the events of a message. A time before the last one's counts as the last one's, so
 * that the feed's clock never goes back. */
void tribus_flow_begin(tribus_flow *flow, uint32_t symbol, int64_t time_ns,
                       uint64_t sequence);

/* Announce a trade, in native units, price and qty > 0. */
void tribus_flow_trade(tribus_flow *flow, int64_t price, int64_t qty,
                       tribus_feed_side aggressor, bool hidden);

/* Announce a quote that the venue sent, in 1e-9 units. */
void tribus_flow_quote(tribus_flow *flow, const tribus_feed_quote *quote);

/* Announce that the symbol's book changed, when no call below did. */
void tribus_flow_touch(tribus_flow *flow);

/* The message at hand is (last) or is not the last of a group that the venue applies at once:
 * until the last one, a changed book is held back, since half a group may cross it. */
void tribus_flow_group(tribus_flow *flow, bool last);

/* The order with this id of this symbol; borrowed until the next change, NULL: none. */
const tribus_flow_order *tribus_flow_find(const tribus_flow *flow, uint32_t symbol,
                                          uint64_t id);

/* Add an order to the book. order->qty > 0.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (id in use, too many orders or levels) or
 * TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_flow_add(tribus_flow *flow,
                                                const tribus_flow_order *order);

/* Take qty off an order, all of it with qty = the order's.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND or TRIBUS_BAD_DATA (the order is smaller). */
TRIBUS_MUST_CHECK tribus_status tribus_flow_reduce(tribus_flow *flow, uint32_t symbol,
                                                   uint64_t id, int64_t qty);

/* Remove every order and level of a symbol. */
void tribus_flow_clear(tribus_flow *flow, uint32_t symbol);

/* The book of a symbol, for feeds that speak of levels only. */
tribus_level_book *tribus_flow_book(tribus_flow *flow, uint32_t symbol);

/* Next event of the message at hand; false when there is none left. */
bool tribus_flow_next(tribus_flow *flow, tribus_feed_event *event);

#endif
