/* binance.c -- captures of Binance's web-socket streams, plain or gzip: a line is the local
 * time in ns since 1970, a space, and the message as it came.
 *
 *   {"stream":"btcusdt@trade","data":{...}}         trade: p price, q quantity, m buyer waited
 *   {"stream":"btcusdt@bookTicker","data":{...}}    quote: b B bid, a A ask
 *   {"stream":"btcusdt@depth@0ms","data":{...}}     levels that changed: b, a; ids U to u
 *   {"lastUpdateId":...,"bids":[...],"asks":[...]}  snapshot of the whole book (REST)
 *
 * After "How to manage a local order book correctly" of Binance's API documentation: updates
 * that came before a snapshot are kept, those it contains are dropped, and each one that
 * follows must continue the one before it (pu for futures, U for spot). Where one does not,
 * updates were lost: that is counted as a bad line, and the book is empty until the next
 * snapshot. */
#include "feeds/source.h"

#include "base/error.h"
#include "feeds/decimal.h"
#include "feeds/flow.h"
#include "feeds/lines.h"
#include "feeds/stream.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES  (4u << 20)
#define KEPT_MAX    256u
#define SYMBOLS_MAX 4096u

typedef struct market {
    bool synced;            /* a snapshot was applied, and every update since */
    bool first;             /* the next update is the first after the snapshot */
    int64_t last_id;        /* of the snapshot or the last update */
    json_t *kept[KEPT_MAX]; /* updates waiting for a snapshot; owned */
    uint32_t kept_count;
} market;

typedef struct binance {
    tribus_source_io *io;
    char *path;
    tribus_stream *stream;
    tribus_lines *lines;
    tribus_flow flow;
    market **markets; /* by symbol */
} binance;

static tribus_status bad(const char *what)
{
    return tribus_error_set(TRIBUS_BAD_DATA, "%s", what);
}

/* ---- fields ---- */

/* A decimal in a JSON string, >= 0, as 1e-9. */
static bool read_e9(const json_t *text, int64_t *out)
{
    const char *p = json_string_value(text);
    const char *end = p == NULL ? NULL : p + json_string_length(text);

    return p != NULL && tribus_decimal_read(p, end, 9, out) == end && *out >= 0;
}

static bool field_e9(const json_t *object, const char *name, int64_t *out)
{
    return read_e9(json_object_get(object, name), out);
}

static bool field_id(const json_t *object, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(object, name);

    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= 0;
}

static tribus_status symbol_of(binance *b, const json_t *data, uint32_t *symbol)
{
    const char *name = json_string_value(json_object_get(data, "s"));
    tribus_status st;

    if (name == NULL)
        return bad("it names no symbol");
    for (uint32_t i = 0; i < b->io->symbol_count; i++)
        if (strncmp(b->io->symbols[i], name, 31) == 0) {
            *symbol = i;
            return TRIBUS_OK;
        }
    if (b->io->symbol_count == SYMBOLS_MAX)
        return bad("too many symbols");
    b->markets[b->io->symbol_count] = calloc(1, sizeof(market));
    if (b->markets[b->io->symbol_count] == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "symbol %s", name);
    st = tribus_flow_add_symbol(&b->flow, name, strlen(name), symbol);
    return st;
}

/* ---- books ---- */

/* Read one side's [["price","quantity"], ...]; with apply, put it into the book. */
static tribus_status read_levels(binance *b, uint32_t symbol, tribus_level_side side,
                                 const json_t *levels, bool apply)
{
    size_t i;
    const json_t *level;

    if (!json_is_array(levels))
        return bad("levels are missing");
    json_array_foreach(levels, i, level)
    {
        int64_t price, qty;

        if (!read_e9(json_array_get(level, 0), &price) ||
            !read_e9(json_array_get(level, 1), &qty) || price == 0)
            return bad("a level is not a price and a quantity");
        if (apply) {
            const tribus_status st =
                tribus_level_book_set(tribus_flow_book(&b->flow, symbol), side, price, qty);

            if (st != TRIBUS_OK)
                return st;
        }
    }
    return TRIBUS_OK;
}

/* Both sides, all or nothing: a line that turns bad half-way must not change the book. */
static tribus_status set_levels(binance *b, uint32_t symbol, const json_t *bids,
                                const json_t *asks)
{
    tribus_status st = TRIBUS_OK;

    for (int apply = 0; apply < 2 && st == TRIBUS_OK; apply++) {
        st = read_levels(b, symbol, TRIBUS_LEVEL_BID, bids, apply);
        if (st == TRIBUS_OK)
            st = read_levels(b, symbol, TRIBUS_LEVEL_ASK, asks, apply);
    }
    if (st == TRIBUS_OK)
        tribus_flow_touch(&b->flow);
    return st;
}

static void forget_kept(market *m)
{
    for (uint32_t i = 0; i < m->kept_count; i++)
        json_decref(m->kept[i]);
    m->kept_count = 0;
}

static void keep(binance *b, market *m, json_t *data)
{
    if (m->kept_count == KEPT_MAX) { /* the oldest is the least likely to be needed */
        json_decref(m->kept[0]);
        memmove(&m->kept[0], &m->kept[1], (KEPT_MAX - 1) * sizeof(m->kept[0]));
        m->kept_count--;
        b->io->totals.ignored++;
    }
    m->kept[m->kept_count++] = json_incref(data);
}

/* An update after a snapshot. */
static tribus_status apply_update(binance *b, uint32_t symbol, const json_t *data)
{
    market *m = b->markets[symbol];
    int64_t first_id, last_id, before_id;
    const bool futures = field_id(data, "pu", &before_id);
    bool follows;
    tribus_status st;

    if (!field_id(data, "U", &first_id) || !field_id(data, "u", &last_id))
        return bad("a depth update without its ids");
    if (m->first && last_id < m->last_id + (futures ? 0 : 1)) {
        b->io->totals.ignored++; /* the snapshot has it already */
        return TRIBUS_OK;
    }
    if (m->first)
        follows = first_id <= m->last_id + 1;
    else
        follows = futures ? before_id == m->last_id : first_id == m->last_id + 1;
    if (!follows) {
        m->synced = false;
        tribus_level_book_clear(tribus_flow_book(&b->flow, symbol));
        tribus_flow_touch(&b->flow);
        return bad("depth updates before this one are missing");
    }
    st = set_levels(b, symbol, json_object_get(data, "b"), json_object_get(data, "a"));
    if (st == TRIBUS_OK) {
        m->last_id = last_id;
        m->first = false;
    }
    return st;
}

static tribus_status on_depth(binance *b, uint32_t symbol, json_t *data)
{
    market *m = b->markets[symbol];

    if (m->synced)
        return apply_update(b, symbol, data);
    keep(b, m, data);
    return TRIBUS_OK;
}

/* A snapshot does not say its symbol: a capture that has one has one symbol. */
static tribus_status on_snapshot(binance *b, const json_t *data)
{
    market *m;
    int64_t id;
    tribus_status st;

    if (!field_id(data, "lastUpdateId", &id))
        return bad("a snapshot without its id");
    if (b->io->symbol_count != 1)
        return bad("a snapshot in a capture of more or less than one symbol");
    st = read_levels(b, 0, TRIBUS_LEVEL_BID, json_object_get(data, "bids"), false);
    if (st == TRIBUS_OK)
        st = read_levels(b, 0, TRIBUS_LEVEL_ASK, json_object_get(data, "asks"), false);
    if (st != TRIBUS_OK)
        return st;
    tribus_level_book_clear(tribus_flow_book(&b->flow, 0));
    st = set_levels(b, 0, json_object_get(data, "bids"), json_object_get(data, "asks"));
    if (st != TRIBUS_OK)
        return st;
    m = b->markets[0];
    m->synced = true;
    m->first = true;
    m->last_id = id;
    for (uint32_t i = 0; i < m->kept_count && st == TRIBUS_OK && m->synced; i++)
        st = apply_update(b, 0, m->kept[i]);
    forget_kept(m);
    return st;
}

/* ---- the other streams ---- */

static tribus_status on_trade(binance *b, const json_t *data)
{
    const json_t *buyer_waited = json_object_get(data, "m");
    int64_t price, qty;

    if (!field_e9(data, "p", &price) || !field_e9(data, "q", &qty) ||
        !json_is_boolean(buyer_waited))
        return bad("a trade without price, quantity or side");
    if (price == 0 || qty == 0) {
        b->io->totals.ignored++; /* Binance sends such for fills outside the book */
        return TRIBUS_OK;
    }
    tribus_flow_trade(&b->flow, price, qty,
                      json_is_true(buyer_waited) ? TRIBUS_FEED_SELL : TRIBUS_FEED_BUY,
                      false);
    return TRIBUS_OK;
}

static tribus_status on_ticker(binance *b, const json_t *data)
{
    tribus_feed_quote quote;

    if (!field_e9(data, "b", &quote.bid.price_e9) ||
        !field_e9(data, "B", &quote.bid.qty_e9) ||
        !field_e9(data, "a", &quote.ask.price_e9) ||
        !field_e9(data, "A", &quote.ask.qty_e9))
        return bad("a book ticker without its prices and quantities");
    tribus_flow_quote(&b->flow, &quote);
    return TRIBUS_OK;
}

static tribus_status apply(binance *b, json_t *message, int64_t time_ns)
{
    json_t *data = json_object_get(message, "data");
    const char *stream = json_string_value(json_object_get(message, "stream"));
    const char *kind = stream == NULL ? NULL : strchr(stream, '@');
    const uint64_t line = tribus_lines_number(b->lines);
    uint32_t symbol = 0;
    tribus_status st;

    if (json_object_get(message, "lastUpdateId") != NULL) {
        tribus_flow_begin(&b->flow, 0, time_ns, line);
        return on_snapshot(b, message);
    }
    if (kind == NULL || !json_is_object(data))
        return bad("neither a stream's message nor a snapshot");
    st = symbol_of(b, data, &symbol);
    if (st != TRIBUS_OK)
        return st;
    tribus_flow_begin(&b->flow, symbol, time_ns, line);
    if (strcmp(kind, "@trade") == 0)
        return on_trade(b, data);
    if (strcmp(kind, "@bookTicker") == 0)
        return on_ticker(b, data);
    if (strncmp(kind, "@depth", 6) == 0)
        return on_depth(b, symbol, data);
    b->io->totals.ignored++;
    return TRIBUS_OK;
}

static tribus_status apply_line(binance *b, const char *p, const char *end)
{
    int64_t time_ns;
    const char *json = tribus_decimal_read(p, end, 0, &time_ns);
    json_error_t error;
    json_t *message;
    tribus_status st;

    if (json == NULL || json == end || *json != ' ' || time_ns < 0)
        return bad("it does not begin with a time in ns and a space");
    json++;
    message = json_loadb(json, (size_t)(end - json), JSON_REJECT_DUPLICATES, &error);
    if (message == NULL)
        return tribus_error_set(TRIBUS_BAD_DATA, "not JSON: %s", error.text);
    st = json_is_object(message) ? apply(b, message, time_ns) : bad("not a JSON object");
    json_decref(message);
    return st;
}

static tribus_status binance_next(void *source, tribus_feed_event *event)
{
    binance *b = source;

    while (!tribus_flow_next(&b->flow, event)) {
        const char *p, *end;
        tribus_status st = tribus_lines_next(b->lines, &p, &end);

        if (st != TRIBUS_OK)
            return st;
        st = apply_line(b, p, end);
        if (st == TRIBUS_OK) {
            b->io->totals.messages++;
        } else if (st == TRIBUS_BAD_DATA) {
            char why[160];

            (void)snprintf(why, sizeof(why), "%s", tribus_error_text());
            st = tribus_source_bad(b->io, "%s: line %llu: %s", b->path,
                                   (unsigned long long)tribus_lines_number(b->lines), why);
        }
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

static void binance_close(void *source)
{
    binance *b = source;

    if (b == NULL)
        return;
    for (uint32_t i = 0; b->markets != NULL && i < SYMBOLS_MAX; i++)
        if (b->markets[i] != NULL) {
            forget_kept(b->markets[i]);
            free(b->markets[i]);
        }
    free(b->markets);
    tribus_lines_destroy(b->lines);
    tribus_stream_close(b->stream);
    tribus_flow_fini(&b->flow);
    free(b->path);
    free(b);
}

static tribus_status binance_open(const char *path, tribus_source_io *io, void **out)
{
    binance *b;
    tribus_status st;

    if (*path == '\0')
        return tribus_error_set(TRIBUS_BAD_ARG, "no file given: write binance:PATH");
    b = calloc(1, sizeof(*b));
    if (b == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s", path);
    b->io = io;
    tribus_flow_init(&b->flow, io, 1, 1);
    b->path = strdup(path);
    b->markets = calloc(SYMBOLS_MAX, sizeof(*b->markets));
    if (b->path == NULL || b->markets == NULL)
        st = tribus_error_set(TRIBUS_NO_MEMORY, "%s", path);
    else
        st = tribus_stream_open(path, &b->stream);
    if (st == TRIBUS_OK)
        st = tribus_lines_create(tribus_stream_read, b->stream, LINE_BYTES, &b->lines);
    if (st != TRIBUS_OK) {
        binance_close(b);
        return st;
    }
    *out = b;
    return TRIBUS_OK;
}

const tribus_source_ops tribus_feed_binance_ops = {
    .name = "binance",
    .usage =
        "binance:PATH[.gz]  capture of Binance streams, a line \"<ns> <message>\" each",
    .open = binance_open,
    .next = binance_next,
    .close = binance_close,
};
