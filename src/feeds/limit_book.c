/* limit_book.c -- see limit_book.h.
 *
 *   side:  levels[0] worst ... levels[count-1] best     sorted, so the top is at the end
 *   level: first -> order -> order -> last               oldest first
 *   live:  dense list of resting orders, so that one can be picked uniformly; each order
 *          knows its place in it
 */
#include "feeds/limit_book.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define NONE       UINT32_MAX
#define ORDERS_MAX (1u << 24)

typedef struct order {
    int64_t price;
    int64_t qty;
    uint32_t before; /* in the level's queue; `next` also links free orders */
    uint32_t next;
    uint32_t live_at;
    tribus_limit_side side;
} order;

typedef struct side_levels {
    tribus_limit_level *levels;
    uint32_t count;
    uint32_t orders;
    int64_t qty;
} side_levels;

struct tribus_limit_book {
    side_levels sides[2];
    order *orders;
    uint32_t *live;
    uint32_t live_count;
    uint32_t free_first;
};

tribus_status tribus_limit_book_create(uint32_t max_orders, tribus_limit_book **out)
{
    tribus_limit_book *book;

    if (max_orders == 0 || max_orders > ORDERS_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "order book of %u orders: 1 to %u",
                                max_orders, ORDERS_MAX);
    book = calloc(1, sizeof(*book));
    if (book == NULL)
        goto fail;
    book->orders = calloc(max_orders, sizeof(*book->orders));
    book->live = calloc(max_orders, sizeof(*book->live));
    for (int s = 0; s < 2; s++)
        book->sides[s].levels = calloc(max_orders, sizeof(*book->sides[s].levels));
    if (book->orders == NULL || book->live == NULL || book->sides[0].levels == NULL ||
        book->sides[1].levels == NULL)
        goto fail;
    for (uint32_t i = 0; i < max_orders; i++)
        book->orders[i].next = i + 1 < max_orders ? i + 1 : NONE;
    *out = book;
    return TRIBUS_OK;

fail:
    tribus_limit_book_destroy(book);
    return tribus_error_set(TRIBUS_NO_MEMORY, "order book of %u orders", max_orders);
}

void tribus_limit_book_destroy(tribus_limit_book *book)
{
    if (book == NULL)
        return;
    free(book->sides[0].levels);
    free(book->sides[1].levels);
    free(book->orders);
    free(book->live);
    free(book);
}

/* Is `a` a worse price than `b` on this side? Worse levels come first. */
static bool worse(tribus_limit_side side, int64_t a, int64_t b)
{
    return side == TRIBUS_LIMIT_BID ? a < b : a > b;
}

/* Index of the first level that is not worse than price: its own, or where it belongs. */
static uint32_t level_place(const side_levels *s, tribus_limit_side side, int64_t price)
{
    uint32_t low = 0, high = s->count;

    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;

        if (worse(side, s->levels[mid].price, price))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static tribus_limit_level *level_of(side_levels *s, tribus_limit_side side, int64_t price)
{
    const uint32_t at = level_place(s, side, price);

    if (at == s->count || s->levels[at].price != price) {
        memmove(&s->levels[at + 1], &s->levels[at], (s->count - at) * sizeof(s->levels[0]));
        s->levels[at] = (tribus_limit_level){price, 0, NONE, NONE};
        s->count++;
    }
    return &s->levels[at];
}

tribus_status tribus_limit_book_rest(tribus_limit_book *book, tribus_limit_side side,
                                     int64_t price, int64_t qty)
{
    side_levels *s = &book->sides[side];
    const uint32_t at = book->free_first;
    tribus_limit_level *level;
    order *o;

    if (at == NONE)
        return TRIBUS_FULL;
    o = &book->orders[at];
    book->free_first = o->next;
    level = level_of(s, side, price);
    *o = (order){price, qty, level->last, NONE, book->live_count, side};
    book->live[book->live_count++] = at;
    if (level->last == NONE)
        level->first = at;
    else
        book->orders[level->last].next = at;
    level->last = at;
    level->qty += qty;
    s->qty += qty;
    s->orders++;
    return TRIBUS_OK;
}

uint32_t tribus_limit_book_orders(const tribus_limit_book *book)
{
    return book->live_count;
}

uint32_t tribus_limit_book_side_orders(const tribus_limit_book *book,
                                       tribus_limit_side side)
{
    return book->sides[side].orders;
}

int64_t tribus_limit_book_side_qty(const tribus_limit_book *book, tribus_limit_side side)
{
    return book->sides[side].qty;
}

int64_t tribus_limit_book_order_qty(const tribus_limit_book *book, uint32_t index)
{
    return book->orders[book->live[index]].qty;
}

/* Take qty off an order at level index `place`; remove what becomes empty. */
static void reduce(tribus_limit_book *book, uint32_t at, uint32_t place, int64_t qty)
{
    order *o = &book->orders[at];
    side_levels *s = &book->sides[o->side];
    tribus_limit_level *level = &s->levels[place];

    o->qty -= qty;
    level->qty -= qty;
    s->qty -= qty;
    if (o->qty > 0)
        return;
    if (o->before == NONE)
        level->first = o->next;
    else
        book->orders[o->before].next = o->next;
    if (o->next == NONE)
        level->last = o->before;
    else
        book->orders[o->next].before = o->before;
    book->live_count--;
    book->live[o->live_at] = book->live[book->live_count];
    book->orders[book->live[o->live_at]].live_at = o->live_at;
    o->next = book->free_first;
    book->free_first = at;
    s->orders--;
    if (level->first == NONE) {
        s->count--;
        memmove(level, level + 1, (s->count - place) * sizeof(*level));
    }
}

int64_t tribus_limit_book_cancel(tribus_limit_book *book, uint32_t index, int64_t qty)
{
    const uint32_t at = book->live[index];
    const order *o = &book->orders[at];
    const int64_t off = qty < o->qty ? qty : o->qty;

    reduce(book, at, level_place(&book->sides[o->side], o->side, o->price), off);
    return off;
}

int64_t tribus_limit_book_take(tribus_limit_book *book, tribus_limit_side side,
                               int64_t limit, int64_t qty, tribus_limit_fill *fills,
                               uint32_t *count)
{
    side_levels *s = &book->sides[side];
    const uint32_t room = *count;
    uint32_t made = 0;
    int64_t left = qty;

    while (left > 0 && s->count > 0 && made < room) {
        const uint32_t best = s->count - 1;
        const uint32_t at = s->levels[best].first;
        const int64_t price = s->levels[best].price;
        const int64_t have = book->orders[at].qty;
        const int64_t off = left < have ? left : have;

        if (worse(side, price, limit))
            break;
        fills[made++] = (tribus_limit_fill){price, off};
        reduce(book, at, best, off);
        left -= off;
    }
    *count = made;
    return qty - left;
}

const tribus_limit_level *tribus_limit_book_level(const tribus_limit_book *book,
                                                  tribus_limit_side side, uint32_t depth)
{
    const side_levels *s = &book->sides[side];

    return depth < s->count ? &s->levels[s->count - 1 - depth] : NULL;
}
