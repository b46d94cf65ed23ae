/* level_book.h -- the price levels of one recorded book, without its orders.
 *
 * Use it to   keep what a venue says is at each price, and give out the best ten.
 * Not for     matching (limit_book.h).
 *
 * Prices and quantities are the venue's integers; scales turn them into 1e-9 units on the way
 * out, saturating at INT64_MAX.
 * Memory      grows with the levels seen, at most 65,536 a side.
 */
#ifndef TRIBUS_FEEDS_LEVEL_BOOK_H
#define TRIBUS_FEEDS_LEVEL_BOOK_H

#include "tribus/feed.h"

typedef enum tribus_level_side {
    TRIBUS_LEVEL_BID = 0,
    TRIBUS_LEVEL_ASK = 1
} tribus_level_side;

typedef struct tribus_level_array {
    tribus_feed_level *levels; /* the best last; native units in spite of the names */
    uint32_t count;
    uint32_t room;
} tribus_level_array;

typedef struct tribus_level_book {
    tribus_level_array sides[2];
    int64_t price_scale;
    int64_t qty_scale;
} tribus_level_book;

void tribus_level_book_init(tribus_level_book *book, int64_t price_scale,
                            int64_t qty_scale);
void tribus_level_book_fini(tribus_level_book *book);

/* Quantity at a price, 0 when there is no such level. */
int64_t tribus_level_book_get(const tribus_level_book *book, tribus_level_side side,
                              int64_t price);

/* Set the quantity at a price; 0 removes the level.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (more than 65,536 levels) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_level_book_set(tribus_level_book *book,
                                                      tribus_level_side side, int64_t price,
                                                      int64_t qty);

/* Remove every level. */
void tribus_level_book_clear(tribus_level_book *book);

void tribus_level_book_quote(const tribus_level_book *book, tribus_feed_quote *out);
void tribus_level_book_top(const tribus_level_book *book, tribus_feed_book *out);

/* value * scale, INT64_MAX when that does not fit; value >= 0, scale >= 1. */
int64_t tribus_level_book_scaled(int64_t value, int64_t scale);

#endif
