/* flow.c -- see flow.h. */
#include "feeds/flow.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define ORDERS_FIRST 4096u
#define ORDERS_MAX   (1u << 24)

void tribus_flow_init(tribus_flow *flow, tribus_source_io *io, int64_t price_scale,
                      int64_t qty_scale)
{
    memset(flow, 0, sizeof(*flow));
    flow->io = io;
    flow->price_scale = price_scale;
    flow->qty_scale = qty_scale;
}

void tribus_flow_fini(tribus_flow *flow)
{
    for (uint32_t i = 0; i < flow->symbol_room; i++)
        tribus_level_book_fini(&flow->symbols[i].book);
    free(flow->symbols);
    free(flow->orders);
}

tribus_status tribus_flow_add_symbol(tribus_flow *flow, const char *name, size_t bytes,
                                     uint32_t *symbol)
{
    if (flow->io->symbol_count == flow->symbol_room) {
        const uint32_t room = flow->symbol_room == 0 ? 16u : flow->symbol_room * 2u;
        tribus_flow_symbol *grown = realloc(flow->symbols, room * sizeof(*grown));

        if (grown == NULL)
            return tribus_error_set(TRIBUS_NO_MEMORY, "books of %u symbols", room);
        memset(grown + flow->symbol_room, 0, (room - flow->symbol_room) * sizeof(*grown));
        for (uint32_t i = flow->symbol_room; i < room; i++)
            tribus_level_book_init(&grown[i].book, flow->price_scale, flow->qty_scale);
        flow->symbols = grown;
        flow->symbol_room = room;
    }
    return tribus_source_add_symbol(flow->io, name, bytes, symbol);
}

/* ---- the table of orders ---- */

static uint32_t home_of(const tribus_flow *flow, uint32_t symbol, uint64_t id)
{
    uint64_t x = id + (uint64_t)symbol * 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(x >> 32) & (flow->order_room - 1u);
}

/* Place of the order, or the free place where it would go; the table has one. */
static uint32_t place_of(const tribus_flow *flow, uint32_t symbol, uint64_t id)
{
    uint32_t at = home_of(flow, symbol, id);

    while (flow->orders[at].qty != 0 &&
           (flow->orders[at].id != id || flow->orders[at].symbol != symbol))
        at = (at + 1u) & (flow->order_room - 1u);
    return at;
}

static tribus_status make_room(tribus_flow *flow)
{
    const uint32_t room = flow->order_room == 0 ? ORDERS_FIRST : flow->order_room * 2u;
    tribus_flow_order *old = flow->orders;
    const uint32_t old_room = flow->order_room;

    if ((flow->order_count + 1u) * 2u <= old_room)
        return TRIBUS_OK;
    if (room > ORDERS_MAX * 2u)
        return tribus_error_set(TRIBUS_BAD_DATA, "more than %u orders rest", ORDERS_MAX);
    flow->orders = calloc(room, sizeof(*flow->orders));
    if (flow->orders == NULL) {
        flow->orders = old;
        return tribus_error_set(TRIBUS_NO_MEMORY, "table of %u orders", room);
    }
    flow->order_room = room;
    for (uint32_t i = 0; i < old_room; i++)
        if (old[i].qty != 0)
            flow->orders[place_of(flow, old[i].symbol, old[i].id)] = old[i];
    free(old);
    return TRIBUS_OK;
}

/* Free a place, then move up what probed past it, so that no search stops too early. */
static void remove_at(tribus_flow *flow, uint32_t hole)
{
    const uint32_t mask = flow->order_room - 1u;

    for (uint32_t at = (hole + 1u) & mask; flow->orders[at].qty != 0;
         at = (at + 1u) & mask) {
        const uint32_t home = home_of(flow, flow->orders[at].symbol, flow->orders[at].id);

        if (((at - home) & mask) >= ((at - hole) & mask)) {
            flow->orders[hole] = flow->orders[at];
            hole = at;
        }
    }
    flow->orders[hole].qty = 0;
    flow->order_count--;
}

const tribus_flow_order *tribus_flow_find(const tribus_flow *flow, uint32_t symbol,
                                          uint64_t id)
{
    const tribus_flow_order *o;

    if (flow->order_room == 0)
        return NULL;
    o = &flow->orders[place_of(flow, symbol, id)];
    return o->qty != 0 ? o : NULL;
}

tribus_status tribus_flow_add(tribus_flow *flow, const tribus_flow_order *order)
{
    tribus_level_book *book = &flow->symbols[order->symbol].book;
    tribus_status st = make_room(flow);
    uint32_t at;
    int64_t there;

    if (st != TRIBUS_OK)
        return st;
    at = place_of(flow, order->symbol, order->id);
    if (flow->orders[at].qty != 0)
        return tribus_error_set(TRIBUS_BAD_DATA, "order %llu exists already",
                                (unsigned long long)order->id);
    there = tribus_level_book_get(book, order->side, order->price);
    if (order->qty > INT64_MAX - there)
        return tribus_error_set(TRIBUS_BAD_DATA, "order %llu: quantity out of range",
                                (unsigned long long)order->id);
    st = tribus_level_book_set(book, order->side, order->price, there + order->qty);
    if (st != TRIBUS_OK)
        return st;
    flow->orders[at] = *order;
    flow->order_count++;
    tribus_flow_touch(flow);
    return TRIBUS_OK;
}

tribus_status tribus_flow_reduce(tribus_flow *flow, uint32_t symbol, uint64_t id,
                                 int64_t qty)
{
    tribus_level_book *book;
    tribus_flow_order *o;
    tribus_status st;

    if (tribus_flow_find(flow, symbol, id) == NULL)
        return TRIBUS_NOT_FOUND;
    o = &flow->orders[place_of(flow, symbol, id)];
    if (qty > o->qty)
        return tribus_error_set(TRIBUS_BAD_DATA, "order %llu has %lld, not %lld",
                                (unsigned long long)id, (long long)o->qty, (long long)qty);
    book = &flow->symbols[symbol].book;
    st = tribus_level_book_set(book, o->side, o->price,
                               tribus_level_book_get(book, o->side, o->price) - qty);
    if (st != TRIBUS_OK)
        return st;
    if (qty == o->qty)
        remove_at(flow, (uint32_t)(o - flow->orders));
    else
        o->qty -= qty;
    tribus_flow_touch(flow);
    return TRIBUS_OK;
}

void tribus_flow_clear(tribus_flow *flow, uint32_t symbol)
{
    tribus_level_book_clear(&flow->symbols[symbol].book);
    /* Removing moves later orders into the hole, so the same place is looked at again. An
     * order that wraps around to the end was looked at before it wrapped. */
    for (uint32_t i = 0; i < flow->order_room; i++)
        while (flow->orders[i].qty != 0 && flow->orders[i].symbol == symbol)
            remove_at(flow, i);
    tribus_flow_touch(flow);
}

tribus_level_book *tribus_flow_book(tribus_flow *flow, uint32_t symbol)
{
    return &flow->symbols[symbol].book;
}

/* ---- events ---- */

void tribus_flow_begin(tribus_flow *flow, uint32_t symbol, int64_t time_ns,
                       uint64_t sequence)
{
    flow->symbol = symbol;
    if (time_ns > flow->time_ns)
        flow->time_ns = time_ns;
    flow->sequence = sequence;
    flow->trade_due = false;
    flow->quote_due = false;
    flow->book_due = false;
}

void tribus_flow_trade(tribus_flow *flow, int64_t price, int64_t qty,
                       tribus_feed_side aggressor, bool hidden)
{
    flow->trade = (tribus_feed_trade){price * flow->price_scale,
                                      tribus_level_book_scaled(qty, flow->qty_scale),
                                      aggressor, hidden};
    flow->trade_due = true;
}

void tribus_flow_quote(tribus_flow *flow, const tribus_feed_quote *quote)
{
    tribus_flow_symbol *s = &flow->symbols[flow->symbol];

    s->top = *quote;
    s->own_quotes = true;
    flow->quote_due = true;
}

void tribus_flow_touch(tribus_flow *flow)
{
    flow->quote_due = !flow->symbols[flow->symbol].own_quotes;
    flow->book_due = true;
}

void tribus_flow_group(tribus_flow *flow, bool last)
{
    tribus_flow_symbol *s = &flow->symbols[flow->symbol];

    s->held = s->held || flow->book_due;
    flow->quote_due = last && s->held;
    flow->book_due = last && s->held;
    s->held = s->held && !last;
}

static void start_event(const tribus_flow *flow, tribus_feed_kind kind,
                        tribus_feed_event *event)
{
    event->kind = kind;
    event->symbol = flow->symbol;
    event->time_ns = flow->time_ns;
    event->sequence = flow->sequence;
}

static bool quote_changed(tribus_flow *flow)
{
    tribus_flow_symbol *s = &flow->symbols[flow->symbol];
    tribus_feed_quote top;

    if (s->own_quotes)
        return true;
    tribus_level_book_quote(&s->book, &top);
    if (memcmp(&top, &s->top, sizeof(top)) == 0)
        return false;
    s->top = top;
    return true;
}

bool tribus_flow_next(tribus_flow *flow, tribus_feed_event *event)
{
    if (flow->trade_due) {
        flow->trade_due = false;
        if ((flow->io->kinds & TRIBUS_FEED_TRADE) != 0) {
            start_event(flow, TRIBUS_FEED_TRADE, event);
            event->trade = flow->trade;
            return true;
        }
    }
    if (flow->quote_due) {
        flow->quote_due = false;
        if ((flow->io->kinds & TRIBUS_FEED_QUOTE) != 0 && quote_changed(flow)) {
            start_event(flow, TRIBUS_FEED_QUOTE, event);
            event->quote = flow->symbols[flow->symbol].top;
            return true;
        }
    }
    if (flow->book_due) {
        flow->book_due = false;
        if ((flow->io->kinds & TRIBUS_FEED_BOOK) != 0) {
            start_event(flow, TRIBUS_FEED_BOOK, event);
            tribus_level_book_top(&flow->symbols[flow->symbol].book, &event->book);
            return true;
        }
    }
    return false;
}
