/* itch.c -- NASDAQ TotalView-ITCH 5.0 files, plain, gzip or zstd.
 *
 * After the specification "NASDAQ TotalView-ITCH 5.0". Numbers are big-endian. Each message
 * is framed with its length in two bytes; some files have 0 there, and then the type says how
 * long it is.
 *
 *   0 type   1 stock locate (2)   3 tracking number (2)   5 ns since midnight (6)   11 ...
 */
#include "feeds/itch.h"

#include "base/error.h"
#include "feeds/bytes.h"
#include "feeds/flow.h"
#include "feeds/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRICE_SCALE 100000     /* 10^-4 dollar to 10^-9 */
#define QTY_SCALE   1000000000 /* share to 10^-9 share */
#define HEADER      11u
#define LOCATES     65536u
#define NO_SYMBOL   UINT32_MAX
#define DAY_NS      ((uint64_t)86400 * 1000000000u)

typedef struct itch {
    tribus_source_io *io;
    char *path;
    tribus_stream *stream;
    tribus_flow flow;
    uint64_t at; /* offset of the message at hand in the unpacked file */
    uint64_t frames;
    uint64_t counts[256];
    uint32_t symbol_of[LOCATES]; /* by stock locate */
} itch;

/* One message: what it does. Returns TRIBUS_BAD_DATA, with a text, for one that cannot be, and
 * TRIBUS_NOT_FOUND for one about an order that this file never added. */
typedef tribus_status (*apply_fn)(itch *it, const unsigned char *m, uint32_t symbol);

typedef struct message_kind {
    apply_fn apply;     /* NULL: well-formed, but has no event of ours */
    unsigned int bytes; /* 0: no such message */
} message_kind;

static tribus_status apply_directory(itch *it, const unsigned char *m, uint32_t symbol)
{
    const uint32_t locate = (uint32_t)tribus_bytes_big(m + 1, 2);
    size_t bytes = 8;

    it->io->totals.ignored++;
    if (symbol != NO_SYMBOL)
        return TRIBUS_OK;
    while (bytes > 0 && m[11 + bytes - 1] == ' ')
        bytes--;
    return tribus_flow_add_symbol(&it->flow, (const char *)m + 11, bytes,
                                  &it->symbol_of[locate]);
}

static tribus_status apply_halt(itch *it, const unsigned char *m, uint32_t symbol)
{
    (void)m;
    (void)symbol;
    it->io->totals.halts++;
    return TRIBUS_OK;
}

static tribus_status apply_add(itch *it, const unsigned char *m, uint32_t symbol)
{
    const tribus_flow_order order = {.id = tribus_bytes_big(m + 11, 8),
                                     .price = (int64_t)tribus_bytes_big(m + 32, 4),
                                     .qty = (int64_t)tribus_bytes_big(m + 20, 4),
                                     .symbol = symbol,
                                     .side = m[19] == 'B' ? TRIBUS_LEVEL_BID
                                                          : TRIBUS_LEVEL_ASK};

    if (order.qty == 0 || (m[19] != 'B' && m[19] != 'S'))
        return tribus_error_set(TRIBUS_BAD_DATA, "order %llu has no size or no side",
                                (unsigned long long)order.id);
    return tribus_flow_add(&it->flow, &order);
}

static tribus_status apply_reduce(itch *it, const unsigned char *m, uint32_t symbol)
{
    return tribus_flow_reduce(&it->flow, symbol, tribus_bytes_big(m + 11, 8),
                              (int64_t)tribus_bytes_big(m + 19, 4));
}

/* E and C: an order in the book is executed, C at a price of its own. */
static tribus_status execute(itch *it, const unsigned char *m, uint32_t symbol,
                             int64_t other_price, bool printed)
{
    const uint64_t id = tribus_bytes_big(m + 11, 8);
    const int64_t qty = (int64_t)tribus_bytes_big(m + 19, 4);
    const tribus_flow_order *o = tribus_flow_find(&it->flow, symbol, id);
    int64_t price;
    tribus_feed_side aggressor;
    tribus_status st;

    if (o == NULL)
        return TRIBUS_NOT_FOUND;
    if (qty == 0)
        return tribus_error_set(TRIBUS_BAD_DATA, "execution of order %llu: no size",
                                (unsigned long long)id);
    price = other_price != 0 ? other_price : o->price;
    aggressor = o->side == TRIBUS_LEVEL_BID ? TRIBUS_FEED_SELL : TRIBUS_FEED_BUY;
    st = tribus_flow_reduce(&it->flow, symbol, id, qty);
    if (st == TRIBUS_OK && printed)
        tribus_flow_trade(&it->flow, price, qty, aggressor, false);
    return st;
}

static tribus_status apply_executed(itch *it, const unsigned char *m, uint32_t symbol)
{
    return execute(it, m, symbol, 0, true);
}

/* One that is not printed is part of a cross that is reported on its own. */
static tribus_status apply_executed_at(itch *it, const unsigned char *m, uint32_t symbol)
{
    return execute(it, m, symbol, (int64_t)tribus_bytes_big(m + 32, 4), m[31] == 'Y');
}

static tribus_status apply_delete(itch *it, const unsigned char *m, uint32_t symbol)
{
    const uint64_t id = tribus_bytes_big(m + 11, 8);
    const tribus_flow_order *o = tribus_flow_find(&it->flow, symbol, id);

    return tribus_flow_reduce(&it->flow, symbol, id, o == NULL ? 0 : o->qty);
}

static tribus_status apply_replace(itch *it, const unsigned char *m, uint32_t symbol)
{
    const uint64_t id = tribus_bytes_big(m + 11, 8);
    const tribus_flow_order *o = tribus_flow_find(&it->flow, symbol, id);
    tribus_flow_order next = {.id = tribus_bytes_big(m + 19, 8),
                              .price = (int64_t)tribus_bytes_big(m + 31, 4),
                              .qty = (int64_t)tribus_bytes_big(m + 27, 4),
                              .symbol = symbol};
    tribus_status st;

    if (o == NULL)
        return TRIBUS_NOT_FOUND;
    if (next.qty == 0 ||
        (next.id != id && tribus_flow_find(&it->flow, symbol, next.id) != NULL))
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "replacement of order %llu by %llu cannot be",
                                (unsigned long long)id, (unsigned long long)next.id);
    next.side = o->side; /* a replacement inherits it */
    st = tribus_flow_reduce(&it->flow, symbol, id, o->qty);
    return st == TRIBUS_OK ? tribus_flow_add(&it->flow, &next) : st;
}

/* P: against a hidden order. The side it states is always "B" since 2014 and says nothing. */
static tribus_status apply_trade(itch *it, const unsigned char *m, uint32_t symbol)
{
    const int64_t qty = (int64_t)tribus_bytes_big(m + 20, 4);

    (void)symbol;
    if (qty == 0)
        return tribus_error_set(TRIBUS_BAD_DATA, "a trade of no size");
    tribus_flow_trade(&it->flow, (int64_t)tribus_bytes_big(m + 32, 4), qty,
                      TRIBUS_FEED_UNKNOWN, true);
    return TRIBUS_OK;
}

static const message_kind kinds[256] = {
    ['A'] = {apply_add, 36},
    ['F'] = {apply_add, 40},
    ['E'] = {apply_executed, 31},
    ['C'] = {apply_executed_at, 36},
    ['X'] = {apply_reduce, 23},
    ['D'] = {apply_delete, 19},
    ['U'] = {apply_replace, 35},
    ['P'] = {apply_trade, 44},
    ['R'] = {apply_directory, 39},
    ['H'] = {apply_halt, 25},
    ['S'] = {NULL, 12},
    ['Y'] = {NULL, 20},
    ['L'] = {NULL, 26},
    ['V'] = {NULL, 35},
    ['W'] = {NULL, 12},
    ['K'] = {NULL, 28},
    ['J'] = {NULL, 35},
    ['h'] = {NULL, 21},
    ['Q'] = {NULL, 40},
    ['B'] = {NULL, 19},
    ['I'] = {NULL, 50},
    ['N'] = {NULL, 20},
    ['O'] = {NULL, 48},
};

/* Every message but the directory needs a symbol that was announced. */
static tribus_status apply(itch *it, const unsigned char *m, unsigned int bytes)
{
    const message_kind *kind = &kinds[m[0]];
    const uint32_t symbol = it->symbol_of[tribus_bytes_big(m + 1, 2)];
    const uint64_t time_ns = tribus_bytes_big(m + 5, 6);

    if (kind->bytes == 0)
        return tribus_error_set(TRIBUS_BAD_DATA, "unknown message type 0x%02x", m[0]);
    if (bytes < kind->bytes)
        return tribus_error_set(TRIBUS_BAD_DATA, "type %c has %u bytes, not %u", m[0],
                                bytes, kind->bytes);
    if (time_ns >= DAY_NS)
        return tribus_error_set(TRIBUS_BAD_DATA, "its time is not within a day");
    if (kind->apply == NULL) {
        it->io->totals.ignored++;
        return TRIBUS_OK;
    }
    if (symbol == NO_SYMBOL && kind->apply != apply_directory)
        return tribus_error_set(TRIBUS_BAD_DATA, "stock locate %llu was not announced",
                                (unsigned long long)tribus_bytes_big(m + 1, 2));
    tribus_flow_begin(&it->flow, symbol, (int64_t)time_ns, it->frames);
    return kind->apply(it, m, symbol);
}

/* Borrow the next message. *m NULL at the end. */
static tribus_status take_message(itch *it, const unsigned char **m, unsigned int *bytes)
{
    const unsigned char *p;
    tribus_status st;

    it->at = tribus_stream_at(it->stream);
    st = tribus_stream_take(it->stream, 2, &p);
    *m = NULL;
    if (st != TRIBUS_OK || p == NULL)
        return st;
    *bytes = (unsigned int)tribus_bytes_big(p, 2);
    if (*bytes == 0) { /* the type says: look at it */
        st = tribus_stream_take(it->stream, 1, &p);
        if (st != TRIBUS_OK)
            return st;
        if (p == NULL || kinds[*p].bytes == 0)
            return tribus_error_set(
                TRIBUS_BAD_DATA,
                "%s: offset %llu: a message without length and of no known "
                "type: not ITCH 5.0, or damaged",
                it->path, (unsigned long long)it->at);
        tribus_stream_untake(it->stream, 1);
        *bytes = kinds[*p].bytes;
    }
    st = tribus_stream_take(it->stream, *bytes, m);
    if (st == TRIBUS_OK && *m == NULL)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: truncated at offset %llu", it->path,
                                (unsigned long long)it->at);
    return st;
}

static tribus_status itch_next(void *source, tribus_feed_event *event)
{
    itch *it = source;

    while (!tribus_flow_next(&it->flow, event)) {
        const unsigned char *m = NULL;
        unsigned int bytes = 0;
        tribus_status st = take_message(it, &m, &bytes);

        if (st != TRIBUS_OK)
            return st;
        if (m == NULL)
            return TRIBUS_STOPPED;
        it->frames++;
        st = bytes < HEADER ? tribus_error_set(TRIBUS_BAD_DATA, "only %u bytes long", bytes)
                            : apply(it, m, bytes);
        if (st == TRIBUS_OK || st == TRIBUS_NOT_FOUND) {
            it->counts[m[0]]++;
            it->io->totals.messages++;
            it->io->totals.ignored += st == TRIBUS_NOT_FOUND;
            st = TRIBUS_OK;
        } else if (st == TRIBUS_BAD_DATA) {
            char why[160];

            (void)snprintf(why, sizeof(why), "%s", tribus_error_text());
            st = tribus_source_bad(it->io, "%s: message %llu at offset %llu: %s", it->path,
                                   (unsigned long long)it->frames,
                                   (unsigned long long)it->at, why);
        }
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

static void itch_close(void *source)
{
    itch *it = source;

    if (it == NULL)
        return;
    tribus_stream_close(it->stream);
    tribus_flow_fini(&it->flow);
    free(it->path);
    free(it);
}

static tribus_status itch_open(const char *path, tribus_source_io *io, void **out)
{
    itch *it;
    tribus_status st;

    if (*path == '\0')
        return tribus_error_set(TRIBUS_BAD_ARG, "no file given: write itch:PATH");
    it = calloc(1, sizeof(*it));
    if (it == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s", path);
    it->io = io;
    tribus_flow_init(&it->flow, io, PRICE_SCALE, QTY_SCALE);
    memset(it->symbol_of, 0xff, sizeof(it->symbol_of));
    it->path = strdup(path);
    st = it->path == NULL ? tribus_error_set(TRIBUS_NO_MEMORY, "%s", path)
                          : tribus_stream_open(path, &it->stream);
    if (st != TRIBUS_OK) {
        itch_close(it);
        return st;
    }
    *out = it;
    return TRIBUS_OK;
}

uint64_t tribus_itch_count(const void *source, char type)
{
    const itch *it = source;

    return it->counts[(unsigned char)type];
}

const tribus_source_ops tribus_feed_itch_ops = {
    .name = "itch",
    .usage = "itch:PATH[.gz]  NASDAQ TotalView-ITCH 5.0 file",
    .open = itch_open,
    .next = itch_next,
    .close = itch_close,
};
