/* level_book.c -- see level_book.h. Levels are sorted with the best at the end: most changes
 * are near the best price, so little moves. */
#include "feeds/level_book.h"

#include "base/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS_MAX 65536u

void tribus_level_book_init(tribus_level_book *book, int64_t price_scale, int64_t qty_scale)
{
    memset(book, 0, sizeof(*book));
    book->price_scale = price_scale;
    book->qty_scale = qty_scale;
}

void tribus_level_book_fini(tribus_level_book *book)
{
    free(book->sides[0].levels);
    free(book->sides[1].levels);
    memset(book->sides, 0, sizeof(book->sides));
}

void tribus_level_book_clear(tribus_level_book *book)
{
    book->sides[0].count = 0;
    book->sides[1].count = 0;
}

/* Index of the level of this price, or where it belongs. */
static uint32_t place_of(const tribus_level_array *a, tribus_level_side side, int64_t price)
{
    uint32_t low = 0, high = a->count;

    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const int64_t there = a->levels[mid].price_e9;

        if (side == TRIBUS_LEVEL_BID ? there < price : there > price)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int64_t tribus_level_book_get(const tribus_level_book *book, tribus_level_side side,
                              int64_t price)
{
    const tribus_level_array *a = &book->sides[side];
    const uint32_t at = place_of(a, side, price);

    return at < a->count && a->levels[at].price_e9 == price ? a->levels[at].qty_e9 : 0;
}

static tribus_status make_room(tribus_level_array *a)
{
    const uint32_t room = a->room == 0 ? 64u : a->room * 2u;
    tribus_feed_level *grown;

    if (a->count < a->room)
        return TRIBUS_OK;
    if (room > LEVELS_MAX)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "a book with more than %u levels on a side", LEVELS_MAX);
    grown = realloc(a->levels, room * sizeof(*grown));
    if (grown == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "book of %u levels", room);
    a->levels = grown;
    a->room = room;
    return TRIBUS_OK;
}

tribus_status tribus_level_book_set(tribus_level_book *book, tribus_level_side side,
                                    int64_t price, int64_t qty)
{
    tribus_level_array *a = &book->sides[side];
    const uint32_t at = place_of(a, side, price);
    const bool there = at < a->count && a->levels[at].price_e9 == price;
    tribus_status st;

    if (there && qty > 0) {
        a->levels[at].qty_e9 = qty;
    } else if (there) {
        a->count--;
        memmove(&a->levels[at], &a->levels[at + 1], (a->count - at) * sizeof(a->levels[0]));
    } else if (qty > 0) {
        st = make_room(a);
        if (st != TRIBUS_OK)
            return st;
        memmove(&a->levels[at + 1], &a->levels[at], (a->count - at) * sizeof(a->levels[0]));
        a->levels[at] = (tribus_feed_level){price, qty};
        a->count++;
    }
    return TRIBUS_OK;
}

int64_t tribus_level_book_scaled(int64_t value, int64_t scale)
{
    return value > INT64_MAX / scale ? INT64_MAX : value * scale;
}

static uint32_t best_of(const tribus_level_book *book, tribus_level_side side,
                        uint32_t most, tribus_feed_level *out)
{
    const tribus_level_array *a = &book->sides[side];
    const uint32_t count = a->count < most ? a->count : most;

    for (uint32_t i = 0; i < count; i++) {
        const tribus_feed_level *level = &a->levels[a->count - 1 - i];

        out[i].price_e9 = level->price_e9 * book->price_scale;
        out[i].qty_e9 = tribus_level_book_scaled(level->qty_e9, book->qty_scale);
    }
    return count;
}

void tribus_level_book_quote(const tribus_level_book *book, tribus_feed_quote *out)
{
    memset(out, 0, sizeof(*out));
    (void)best_of(book, TRIBUS_LEVEL_BID, 1, &out->bid);
    (void)best_of(book, TRIBUS_LEVEL_ASK, 1, &out->ask);
}

void tribus_level_book_top(const tribus_level_book *book, tribus_feed_book *out)
{
    memset(out, 0, sizeof(*out));
    out->bid_count = best_of(book, TRIBUS_LEVEL_BID, TRIBUS_FEED_LEVELS, out->bid);
    out->ask_count = best_of(book, TRIBUS_LEVEL_ASK, TRIBUS_FEED_LEVELS, out->ask);
}
