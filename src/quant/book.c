/* book.c -- a side of a limit order book as a sorted array of levels.
 *
 * An array beats a tree here: changes happen near the best price, so the part that moves is a
 * few entries, and reading the top ten is reading memory in order. */
#include "tribus/quant_flow.h"

#include <string.h>

void tribus_quant_side_book_init(tribus_quant_side_book *b, tribus_quant_level *levels,
                                 uint32_t capacity, int bids)
{
    *b = (tribus_quant_side_book){
        .levels = levels, .capacity = capacity, .better = bids ? 1 : -1};
}

/* First index whose price is not better than `price`, from the best on. */
static uint32_t find(const tribus_quant_side_book *b, int64_t price)
{
    uint32_t low = 0, high = b->count;

    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const int64_t at = b->levels[mid].price;

        if (b->better > 0 ? at > price : at < price)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

tribus_status tribus_quant_side_book_add(tribus_quant_side_book *b, int64_t price,
                                         int64_t size)
{
    const uint32_t at = find(b, price);
    const int there = at < b->count && b->levels[at].price == price;
    tribus_quant_level *level = &b->levels[at];
    tribus_status st = TRIBUS_OK;
    int64_t sum;

    if (there) {
        if (__builtin_add_overflow(level->size, size, &sum))
            return TRIBUS_FULL;
        level->size = sum;
        if (sum <= 0) {
            memmove(level, level + 1, (b->count - at - 1) * sizeof(*level));
            b->count--;
        }
        return TRIBUS_OK;
    }
    if (size <= 0)
        return TRIBUS_NOT_FOUND;
    if (b->count == b->capacity) {
        if (at == b->count)
            return TRIBUS_FULL;
        b->count--;
        st = TRIBUS_FULL;
    }
    memmove(level + 1, level, (b->count - at) * sizeof(*level));
    level->price = price;
    level->size = size;
    b->count++;
    return st;
}

uint32_t tribus_quant_side_book_trim(tribus_quant_side_book *b, int64_t price)
{
    const uint32_t dropped = find(b, price);

    memmove(b->levels, b->levels + dropped, (b->count - dropped) * sizeof(*b->levels));
    b->count -= dropped;
    return dropped;
}

static void put(const tribus_quant_side_book *b, uint32_t level, double scale, float *out)
{
    const uint32_t at = level < b->count ? level : b->count - 1;

    out[0] = b->count == 0 ? 0.0f : (float)((double)b->levels[at].price / scale);
    out[1] = level < b->count ? (float)b->levels[level].size : 0.0f;
}

void tribus_quant_book_inputs(const tribus_quant_side_book *bids,
                              const tribus_quant_side_book *asks, uint32_t depth,
                              double price_scale, float *out)
{
    for (uint32_t i = 0; i < depth; i++) {
        put(asks, i, price_scale, &out[4 * i]);
        put(bids, i, price_scale, &out[4 * i + 2]);
    }
}
