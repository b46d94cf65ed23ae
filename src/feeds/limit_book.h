/* limit_book.h -- one limit order book with price-time priority.
 *
 * Use it to   rest, cancel and match orders, and read the best levels.
 * Not for     deciding what arrives (market.c) or knowing orders by a venue's id.
 *
 * Prices and quantities are plain integers in the caller's units (ticks, lots).
 * Memory      allocated at creation for a fixed number of orders; nothing after.
 * Threads     one.
 * Cost        finding a level is a binary search, making one near the best price moves few
 *             bytes: levels are kept sorted, the best at the end of the array.
 */
#ifndef TRIBUS_FEEDS_LIMIT_BOOK_H
#define TRIBUS_FEEDS_LIMIT_BOOK_H

#include "tribus/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct tribus_limit_book tribus_limit_book;

typedef enum tribus_limit_side {
    TRIBUS_LIMIT_BID = 0,
    TRIBUS_LIMIT_ASK = 1
} tribus_limit_side;

typedef struct tribus_limit_level {
    int64_t price;
    int64_t qty; /* sum over its orders, > 0 */
    uint32_t first;
    uint32_t last;
} tribus_limit_level;

typedef struct tribus_limit_fill {
    int64_t price;
    int64_t qty;
} tribus_limit_fill;

/* out: owned by the caller, give it to tribus_limit_book_destroy(). max_orders 1..2^24.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_limit_book_create(uint32_t max_orders,
                                                         tribus_limit_book **out);
void tribus_limit_book_destroy(tribus_limit_book *book);

/* Put an order at the end of its price's queue. Does not match: take first. qty > 0.
 * Returns TRIBUS_OK or TRIBUS_FULL (max_orders are resting). */
TRIBUS_MUST_CHECK tribus_status tribus_limit_book_rest(tribus_limit_book *book,
                                                       tribus_limit_side side,
                                                       int64_t price, int64_t qty);

/* Orders resting, both sides or one. */
uint32_t tribus_limit_book_orders(const tribus_limit_book *book);
uint32_t tribus_limit_book_side_orders(const tribus_limit_book *book,
                                       tribus_limit_side side);

/* Quantity resting on a side. */
int64_t tribus_limit_book_side_qty(const tribus_limit_book *book, tribus_limit_side side);

/* Cancel part (keeping its place in the queue) or all of the index-th resting order, in no
 * particular order; index < tribus_limit_book_orders().
 * Returns the quantity cancelled: at most qty. */
int64_t tribus_limit_book_cancel(tribus_limit_book *book, uint32_t index, int64_t qty);

/* Quantity of the index-th resting order. */
int64_t tribus_limit_book_order_qty(const tribus_limit_book *book, uint32_t index);

/* Trade up to qty against the orders of a side, best price first, oldest first, no worse
 * than `limit`, one fill for each order met, at most *fills. fills: the caller's; *count:
 * room in, fills made out. Returns the quantity traded. */
int64_t tribus_limit_book_take(tribus_limit_book *book, tribus_limit_side side,
                               int64_t limit, int64_t qty, tribus_limit_fill *fills,
                               uint32_t *count);

/* The depth-th level of a side, 0 the best; NULL when there are fewer. Borrowed until the
 * next change. */
const tribus_limit_level *tribus_limit_book_level(const tribus_limit_book *book,
                                                  tribus_limit_side side, uint32_t depth);

#endif
