/* dbn.c -- Databento Binary Encoding (DBN) files, versions 1 to 3, plain or zstd.
 *
 * After the public description of DBN at databento.com/docs and github.com/databento/dbn.
 * Numbers are little-endian, prices are 10^-9 already.
 *
 *   "DBN" version(1) metadata length(4) metadata        the metadata names the instruments
 *   record: length/4 (1), rtype (1), publisher (2), instrument (4), ts_event (8), body
 *
 * Books come from market-by-order records (rtype 0xa0) order by order, and from market-by-price
 * records (0x01: 1 level, 0x0a: 10 levels) as they are. Trades come from action T of either
 * and from trade records (0x00). Other rtypes (bars, definitions, statistics, ...) are ignored.
 * The clock is ts_recv, which never goes back within a file. */
#include "feeds/dbn.h"

#include "base/error.h"
#include "feeds/bytes.h"
#include "feeds/decimal.h"
#include "feeds/flow.h"
#include "feeds/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QTY_SCALE          1000000000 /* contract or share to 10^-9 */
#define HEADER             16u
#define METADATA_FIXED     100u
#define METADATA_BYTES_MAX (64u << 20)
#define CHUNK_BYTES        32768u
#define FLAG_LAST          0x80u /* last record of an event of the venue */
#define NO_PRICE           INT64_MAX
#define NO_SYMBOL          UINT32_MAX

enum { RTYPE_TRADE = 0x00, RTYPE_MBP_1 = 0x01, RTYPE_MBP_10 = 0x0a, RTYPE_MBO = 0xa0 };

typedef struct instrument {
    uint32_t id;
    uint32_t symbol;
} instrument;

typedef struct dbn {
    tribus_source_io *io;
    char *path;
    tribus_stream *stream;
    tribus_flow flow;
    instrument *instruments; /* sorted by id */
    uint32_t instrument_count;
    uint32_t instrument_room;
    uint64_t records;
    uint64_t actions[256];
} dbn;

/* ---- instruments ---- */

static uint32_t instrument_place(const dbn *d, uint32_t id)
{
    uint32_t low = 0, high = d->instrument_count;

    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;

        if (d->instruments[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The symbol of an instrument; a new one is named `name`, or by its number. */
static tribus_status symbol_of(dbn *d, uint32_t id, const char *name, size_t name_bytes,
                               uint32_t *symbol)
{
    const uint32_t at = instrument_place(d, id);
    char number[16];
    tribus_status st;

    if (at < d->instrument_count && d->instruments[at].id == id) {
        *symbol = d->instruments[at].symbol;
        return TRIBUS_OK;
    }
    if (d->instrument_count == d->instrument_room) {
        const uint32_t room = d->instrument_room == 0 ? 64u : d->instrument_room * 2u;
        instrument *grown = realloc(d->instruments, room * sizeof(*grown));

        if (grown == NULL)
            return tribus_error_set(TRIBUS_NO_MEMORY, "table of %u instruments", room);
        d->instruments = grown;
        d->instrument_room = room;
    }
    if (name_bytes == 0) {
        name = number;
        name_bytes = (size_t)snprintf(number, sizeof(number), "%u", id);
    }
    st = tribus_flow_add_symbol(&d->flow, name, name_bytes, symbol);
    if (st != TRIBUS_OK)
        return st;
    memmove(&d->instruments[at + 1], &d->instruments[at],
            (d->instrument_count - at) * sizeof(d->instruments[0]));
    d->instruments[at] = (instrument){id, *symbol};
    d->instrument_count++;
    return TRIBUS_OK;
}

/* ---- metadata ---- */

/* The variable part: [p, end). Lists of names, then the mappings from name to number. */
typedef struct cursor {
    const unsigned char *p;
    const unsigned char *end;
    size_t name_bytes; /* of every name */
} cursor;

static bool take(cursor *c, size_t bytes, const unsigned char **out)
{
    if ((size_t)(c->end - c->p) < bytes)
        return false;
    *out = c->p;
    c->p += bytes;
    return true;
}

static bool take_count(cursor *c, uint32_t *count)
{
    const unsigned char *p;

    if (!take(c, 4, &p))
        return false;
    *count = (uint32_t)tribus_bytes_little(p, 4);
    return true;
}

static bool skip_names(cursor *c)
{
    const unsigned char *p;
    uint32_t count;

    return take_count(c, &count) && take(c, (size_t)count * c->name_bytes, &p);
}

static tribus_status read_mapping(dbn *d, cursor *c, bool *whole)
{
    const unsigned char *name, *p;
    uint32_t intervals;

    *whole = false;
    if (!take(c, c->name_bytes, &name) || !take_count(c, &intervals))
        return TRIBUS_OK;
    for (uint32_t i = 0; i < intervals; i++) {
        const char *text;
        size_t bytes;
        int64_t id;
        const char *end;
        uint32_t symbol;
        tribus_status st;

        if (!take(c, 8 + c->name_bytes, &p)) /* first day, last day, number as text */
            return TRIBUS_OK;
        text = (const char *)p + 8;
        bytes = strnlen(text, c->name_bytes);
        end = tribus_decimal_read(text, text + bytes, 0, &id);
        if (end != text + bytes || id < 0 || id > UINT32_MAX)
            continue; /* mapped to something else than a number: the number will be the name */
        st = symbol_of(d, (uint32_t)id, (const char *)name,
                       strnlen((const char *)name, c->name_bytes), &symbol);
        if (st != TRIBUS_OK)
            return st;
    }
    *whole = true;
    return TRIBUS_OK;
}

static tribus_status read_names(dbn *d, const unsigned char *metadata, size_t bytes,
                                int version)
{
    cursor c = {metadata + METADATA_FIXED, metadata + bytes, 22};
    const unsigned char *p;
    uint32_t count = 0;
    bool whole = bytes >= METADATA_FIXED;

    if (whole && version > 1)
        c.name_bytes = (size_t)tribus_bytes_little(metadata + 45, 2);
    whole = whole && c.name_bytes > 0 && take_count(&c, &count) && take(&c, count, &p);
    for (int list = 0; list < 3; list++) /* symbols, partial, not found */
        whole = whole && skip_names(&c);
    whole = whole && take_count(&c, &count);
    for (uint32_t i = 0; whole && i < count; i++) {
        const tribus_status st = read_mapping(d, &c, &whole);

        if (st != TRIBUS_OK)
            return st;
    }
    return whole ? TRIBUS_OK
                 : tribus_error_set(TRIBUS_BAD_DATA, "%s: damaged DBN metadata", d->path);
}

static tribus_status cut(const dbn *d)
{
    return tribus_error_set(TRIBUS_BAD_DATA, "%s: truncated in its metadata, offset %llu",
                            d->path, (unsigned long long)tribus_stream_at(d->stream));
}

static tribus_status read_metadata(dbn *d)
{
    const unsigned char *p;
    unsigned char *metadata;
    size_t bytes;
    int version;
    tribus_status st = tribus_stream_take(d->stream, 8, &p);

    if (st != TRIBUS_OK)
        return st;
    if (p == NULL || memcmp(p, "DBN", 3) != 0)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: not a DBN file", d->path);
    version = p[3];
    bytes = (size_t)tribus_bytes_little(p + 4, 4);
    if (version < 1 || version > 3)
        return tribus_error_set(TRIBUS_VERSION, "%s: DBN version %d; 1 to 3 can be read",
                                d->path, version);
    if (bytes > METADATA_BYTES_MAX)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: DBN metadata of %zu bytes", d->path,
                                bytes);
    metadata = malloc(bytes + 1u);
    if (metadata == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s: metadata of %zu bytes", d->path,
                                bytes);
    for (size_t at = 0; at < bytes && st == TRIBUS_OK;) {
        const size_t n = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;

        st = tribus_stream_take(d->stream, n, &p);
        if (st == TRIBUS_OK && p == NULL)
            st = cut(d);
        if (st == TRIBUS_OK)
            memcpy(metadata + at, p, n);
        at += n;
    }
    if (st == TRIBUS_OK)
        st = read_names(d, metadata, bytes, version);
    free(metadata);
    return st;
}

/* ---- records ---- */

static tribus_feed_side aggressor_of(char side)
{
    if (side == 'A')
        return TRIBUS_FEED_SELL;
    return side == 'B' ? TRIBUS_FEED_BUY : TRIBUS_FEED_UNKNOWN;
}

static tribus_status trade(dbn *d, int64_t price, int64_t qty, char side)
{
    if (price == NO_PRICE || qty == 0)
        return tribus_error_set(TRIBUS_BAD_DATA, "a trade without price or size");
    tribus_flow_trade(&d->flow, price, qty, aggressor_of(side), false);
    return TRIBUS_OK;
}

static tribus_status modify(dbn *d, const tribus_flow_order *order)
{
    const tribus_flow_order *old = tribus_flow_find(&d->flow, order->symbol, order->id);

    if (old != NULL) {
        const tribus_status st =
            tribus_flow_reduce(&d->flow, order->symbol, order->id, old->qty);

        if (st != TRIBUS_OK)
            return st;
    }
    return tribus_flow_add(&d->flow, order); /* one not known is added, as the venue says */
}

static tribus_status apply_order(dbn *d, const unsigned char *r, uint32_t symbol)
{
    const char action = (char)r[38], side = (char)r[39];
    const tribus_flow_order order = {.id = tribus_bytes_little(r + 16, 8),
                                     .price = (int64_t)tribus_bytes_little(r + 24, 8),
                                     .qty = (int64_t)tribus_bytes_little(r + 32, 4),
                                     .symbol = symbol,
                                     .side =
                                         side == 'B' ? TRIBUS_LEVEL_BID : TRIBUS_LEVEL_ASK};

    d->actions[(unsigned char)action]++;
    switch (action) {
    case 'A':
    case 'M':
        if (order.qty == 0 || order.price == NO_PRICE || (side != 'A' && side != 'B'))
            return tribus_error_set(TRIBUS_BAD_DATA,
                                    "order %llu has no size, price or side",
                                    (unsigned long long)order.id);
        return action == 'A' ? tribus_flow_add(&d->flow, &order) : modify(d, &order);
    case 'C':
        return tribus_flow_reduce(&d->flow, symbol, order.id, order.qty);
    case 'R':
        tribus_flow_clear(&d->flow, symbol);
        return TRIBUS_OK;
    case 'T':
        return trade(d, order.price, order.qty, side);
    case 'F': /* the resting side of a T; the C or M that follows changes the book */
    case 'N':
        d->io->totals.ignored++;
        return TRIBUS_OK;
    default:
        return tribus_error_set(TRIBUS_BAD_DATA, "unknown action 0x%02x", r[38]);
    }
}

static tribus_status apply_mbo(dbn *d, const unsigned char *r, uint32_t symbol)
{
    const tribus_status st = apply_order(d, r, symbol);

    tribus_flow_group(&d->flow, (r[36] & FLAG_LAST) != 0);
    return st;
}

static tribus_status set_levels(dbn *d, const unsigned char *r, uint32_t symbol, int levels)
{
    tribus_level_book *book = tribus_flow_book(&d->flow, symbol);

    tribus_level_book_clear(book);
    for (int i = 0; i < levels;
         i++) { /* bid price, ask price, bid size, ask size, counts */
        const unsigned char *p = r + 48 + 32 * i;

        for (int side = 0; side < 2; side++) {
            const int64_t price = (int64_t)tribus_bytes_little(p + 8 * side, 8);
            const int64_t qty = (int64_t)tribus_bytes_little(p + 16 + 4 * side, 4);
            tribus_status st;

            if (price == NO_PRICE || qty == 0)
                continue;
            st = tribus_level_book_set(book, (tribus_level_side)side, price, qty);
            if (st != TRIBUS_OK)
                return st;
        }
    }
    tribus_flow_touch(&d->flow);
    return TRIBUS_OK;
}

static tribus_status apply_levels(dbn *d, const unsigned char *r, uint32_t symbol,
                                  int levels)
{
    tribus_status st = TRIBUS_OK;

    if (r[28] == 'T')
        st = trade(d, (int64_t)tribus_bytes_little(r + 16, 8),
                   (int64_t)tribus_bytes_little(r + 24, 4), (char)r[29]);
    if (st == TRIBUS_OK && levels > 0)
        st = set_levels(d, r, symbol, levels);
    return st;
}

static tribus_status apply(dbn *d, const unsigned char *r, size_t bytes)
{
    static const struct {
        int rtype;
        size_t bytes;
        size_t time_at;
        int levels; /* -1: market by order */
    } kinds[] = {{RTYPE_MBO, 56, 40, -1},
                 {RTYPE_TRADE, 48, 32, 0},
                 {RTYPE_MBP_1, 80, 32, 1},
                 {RTYPE_MBP_10, 368, 32, 10}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint64_t time_ns;
        uint32_t symbol;
        tribus_status st;

        if (r[1] != kinds[i].rtype)
            continue;
        if (bytes < kinds[i].bytes)
            return tribus_error_set(TRIBUS_BAD_DATA, "rtype 0x%02x of %zu bytes, not %zu",
                                    r[1], bytes, kinds[i].bytes);
        time_ns = tribus_bytes_little(r + kinds[i].time_at, 8);
        if (time_ns > INT64_MAX)
            return tribus_error_set(TRIBUS_BAD_DATA, "its time is out of range");
        st = symbol_of(d, (uint32_t)tribus_bytes_little(r + 4, 4), NULL, 0, &symbol);
        if (st != TRIBUS_OK)
            return st;
        tribus_flow_begin(&d->flow, symbol, (int64_t)time_ns, d->records);
        return kinds[i].levels < 0 ? apply_mbo(d, r, symbol)
                                   : apply_levels(d, r, symbol, kinds[i].levels);
    }
    d->io->totals.ignored++;
    return TRIBUS_OK;
}

/* Borrow the next record. *r NULL at the end. */
static tribus_status take_record(dbn *d, const unsigned char **r, size_t *bytes)
{
    const uint64_t at = tribus_stream_at(d->stream);
    tribus_status st = tribus_stream_take(d->stream, 1, r);

    if (st != TRIBUS_OK || *r == NULL)
        return st;
    *bytes = (size_t)(*r)[0] * 4u;
    if (*bytes < HEADER)
        return tribus_error_set(
            TRIBUS_BAD_DATA, "%s: record %llu at offset %llu says it is %zu bytes long",
            d->path, (unsigned long long)d->records + 1, (unsigned long long)at, *bytes);
    tribus_stream_untake(d->stream, 1);
    return tribus_stream_take(d->stream, *bytes, r);
}

static tribus_status dbn_next(void *source, tribus_feed_event *event)
{
    dbn *d = source;

    while (!tribus_flow_next(&d->flow, event)) {
        const unsigned char *r = NULL;
        size_t bytes = 0;
        tribus_status st = take_record(d, &r, &bytes);

        if (st != TRIBUS_OK)
            return st;
        if (r == NULL)
            return TRIBUS_STOPPED;
        d->records++;
        st = apply(d, r, bytes);
        if (st == TRIBUS_OK || st == TRIBUS_NOT_FOUND) {
            d->io->totals.messages++;
            d->io->totals.ignored += st == TRIBUS_NOT_FOUND;
            st = TRIBUS_OK;
        } else if (st == TRIBUS_BAD_DATA) {
            char why[160];

            (void)snprintf(why, sizeof(why), "%s", tribus_error_text());
            st = tribus_source_bad(d->io, "%s: record %llu: %s", d->path,
                                   (unsigned long long)d->records, why);
        }
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

static void dbn_close(void *source)
{
    dbn *d = source;

    if (d == NULL)
        return;
    tribus_stream_close(d->stream);
    tribus_flow_fini(&d->flow);
    free(d->instruments);
    free(d->path);
    free(d);
}

static tribus_status dbn_open(const char *path, tribus_source_io *io, void **out)
{
    dbn *d;
    tribus_status st;

    if (*path == '\0')
        return tribus_error_set(TRIBUS_BAD_ARG, "no file given: write dbn:PATH");
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s", path);
    d->io = io;
    tribus_flow_init(&d->flow, io, 1, QTY_SCALE);
    d->path = strdup(path);
    st = d->path == NULL ? tribus_error_set(TRIBUS_NO_MEMORY, "%s", path)
                         : tribus_stream_open(path, &d->stream);
    if (st == TRIBUS_OK)
        st = read_metadata(d);
    if (st != TRIBUS_OK) {
        dbn_close(d);
        return st;
    }
    *out = d;
    return TRIBUS_OK;
}

uint64_t tribus_dbn_count(const void *source, char action)
{
    const dbn *d = source;

    return d->actions[(unsigned char)action];
}

const tribus_source_ops tribus_feed_dbn_ops = {
    .name = "dbn",
    .usage = "dbn:PATH[.zst]  Databento file: mbo, mbp-1, mbp-10, tbbo or trades",
    .open = dbn_open,
    .next = dbn_next,
    .close = dbn_close,
};
