/* lobster.c -- a day of one stock as LOBSTER sells it: a zip with a message file and an
 * order book file, row i of the second being the book after row i of the first.
 *
 *   message    seconds after midnight, type, order id, size, price * 10^4, direction of the
 *              resting order (1 buy, -1 sell)
 *   orderbook  ask price, ask size, bid price, bid size; level by level; an empty level has
 *              price 9999999999 (ask) or -9999999999 (bid) and size 0
 *
 * After LOBSTER_SampleFiles_ReadMe.txt of 1 September 2013, and lobsterdata.com for type 6.
 * Times are rounded to nanoseconds: the sample of AMZN has some with twelve decimals.
 * A row that does not parse in either file is one bad line; the row of the other file goes
 * with it, so that the two never slip against each other. */
#include "feeds/source.h"

#include "base/error.h"
#include "feeds/decimal.h"
#include "feeds/lines.h"
#include "feeds/zip.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES      65536u
#define LEVELS_MAX      1000
#define PRICE_SCALE     100000     /* 10^-4 dollar to 10^-9 */
#define QTY_SCALE       1000000000 /* share to 10^-9 share */
#define EMPTY_PRICE     9999999999 /* marks a level that is not there */
#define SIZE_MAX_SHARES 1000000000 /* keeps qty_e9 below 2^63 */
#define DAY_NS          ((int64_t)86400 * 1000000000)

enum { TYPE_VISIBLE = 4, TYPE_HIDDEN = 5, TYPE_CROSS = 6, TYPE_HALT = 7 };

typedef struct table {
    const char *name; /* of the member, in the zip's memory */
    tribus_zip_member *member;
    tribus_lines *lines;
} table;

typedef struct message {
    int64_t time_ns;
    int64_t type;
    int64_t size;
    int64_t price;
    int64_t direction;
} message;

typedef enum stage { STAGE_TRADE, STAGE_QUOTE, STAGE_BOOK, STAGE_DONE } stage;

typedef struct lobster {
    tribus_source_io *io;
    char *path;
    tribus_zip *zip;
    table messages;
    table books;
    int64_t levels;
    uint64_t row;
    stage stage;
    bool top_known;
    tribus_feed_quote top;
    message m;
    tribus_feed_book book;
    char why[96]; /* what is wrong with a line */
} lobster;

/* ---- rows ---- */

static bool bad(lobster *l, const char *what, const char *p, const char *end)
{
    const char *comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
    char shown[24];
    size_t n = (size_t)((comma == NULL ? end : comma) - p);

    if (n > sizeof(shown) - 1)
        n = sizeof(shown) - 1;
    for (size_t i = 0; i < n; i++)
        shown[i] = p[i] >= ' ' && p[i] <= '~' ? p[i] : '?';
    shown[n] = '\0';
    (void)snprintf(l->why, sizeof(l->why), "%s: \"%s\"", what, shown);
    return false;
}

/* One field and the comma or line end after it. NULL: not a number. */
static const char *read_field(const char *p, const char *end, int places, bool last,
                              int64_t *out)
{
    p = places == 0 ? tribus_decimal_read(p, end, 0, out)
                    : tribus_decimal_round(p, end, places, out);
    if (p == NULL)
        return NULL;
    if (last)
        return p == end ? p : NULL;
    return p < end && *p == ',' ? p + 1 : NULL;
}

static bool parse_message(lobster *l, const char *p, const char *end, message *m)
{
    static const char *const names[] = {"time", "type",  "order id",
                                        "size", "price", "direction"};
    int64_t field[6];

    for (int i = 0; i < 6; i++) {
        const char *next = read_field(p, end, i == 0 ? 9 : 0, i == 5, &field[i]);

        if (next == NULL) {
            char what[48];

            (void)snprintf(what, sizeof(what), "%s is not a number", names[i]);
            return bad(l, what, p, end);
        }
        p = next;
    }
    *m = (message){field[0], field[1], field[3], field[4], field[5]};
    if (m->time_ns < 0 || m->time_ns >= DAY_NS)
        return bad(l, "time is not within a day", end, end);
    if (m->time_ns < l->m.time_ns)
        return bad(l, "time goes back", end, end);
    if (m->type < 1 || m->type > 7)
        return bad(l, "type is not 1 to 7", end, end);
    if (m->type == TYPE_HALT)
        return true;
    if (m->size < 1 || m->size > SIZE_MAX_SHARES)
        return bad(l, "size is out of range", end, end);
    if (m->price < 1 || m->price >= EMPTY_PRICE)
        return bad(l, "price is out of range", end, end);
    if (m->direction != 1 && m->direction != -1)
        return bad(l, "direction is neither 1 nor -1", end, end);
    return true;
}

/* Add one level to a side, or see that the side has ended. sign: 1 ask, -1 bid. */
static bool add_level(tribus_feed_level *side, uint32_t *count, int64_t i, int64_t price,
                      int64_t size, int sign)
{
    if (price == sign * EMPTY_PRICE && size == 0)
        return true;
    if (price < 1 || price >= EMPTY_PRICE || size < 1 || size > SIZE_MAX_SHARES)
        return false;
    if (i >= TRIBUS_FEED_LEVELS)
        return true;
    if (*count != (uint32_t)i) /* after an empty level */
        return false;
    if (i > 0 && (price * PRICE_SCALE - side[i - 1].price_e9) * sign <= 0)
        return false;
    side[i] = (tribus_feed_level){price * PRICE_SCALE, size * QTY_SCALE};
    (*count)++;
    return true;
}

static bool parse_book(lobster *l, const char *p, const char *end, tribus_feed_book *book)
{
    *book = (tribus_feed_book){0};
    for (int64_t i = 0; i < l->levels; i++) {
        int64_t field[4]; /* ask price, ask size, bid price, bid size */
        const char *start = p;

        for (int f = 0; f < 4; f++) {
            const char *next =
                read_field(p, end, 0, i == l->levels - 1 && f == 3, &field[f]);

            if (next == NULL)
                return bad(l, "not a whole number, or not the right number of columns", p,
                           end);
            p = next;
        }
        if (!add_level(book->ask, &book->ask_count, i, field[0], field[1], 1))
            return bad(l, "ask level out of range or order", start, end);
        if (!add_level(book->bid, &book->bid_count, i, field[2], field[3], -1))
            return bad(l, "bid level out of range or order", start, end);
    }
    return true;
}

static tribus_status uneven(const lobster *l, const table *longer, const table *shorter)
{
    return tribus_error_set(
        TRIBUS_BAD_DATA, "%s: %s ends after %llu rows, %s goes on", l->path, shorter->name,
        (unsigned long long)tribus_lines_number(shorter->lines), longer->name);
}

static tribus_status next_line(const lobster *l, table *t, const char **p, const char **end)
{
    const tribus_status st = tribus_lines_next(t->lines, p, end);

    if (st != TRIBUS_OK && st != TRIBUS_STOPPED)
        tribus_error_add("%s: %s", l->path, t->name);
    return st;
}

static tribus_status bad_line(lobster *l, const table *t)
{
    return tribus_source_bad(l->io, "%s: %s line %llu: %s", l->path, t->name,
                             (unsigned long long)tribus_lines_number(t->lines), l->why);
}

/* Read rows until one is good in both files. */
static tribus_status read_row(lobster *l)
{
    for (;;) {
        const char *mp = NULL, *mend = NULL, *bp = NULL, *bend = NULL;
        const tribus_status mst = next_line(l, &l->messages, &mp, &mend);
        tribus_status bst;
        message m;

        if (mst != TRIBUS_OK && mst != TRIBUS_STOPPED)
            return mst;
        bst = next_line(l, &l->books, &bp, &bend);
        if (bst != TRIBUS_OK && bst != TRIBUS_STOPPED)
            return bst;
        if (mst != bst)
            return mst == TRIBUS_OK ? uneven(l, &l->messages, &l->books)
                                    : uneven(l, &l->books, &l->messages);
        if (mst == TRIBUS_STOPPED)
            return TRIBUS_STOPPED;
        l->row++;
        if (!parse_message(l, mp, mend, &m))
            bst = bad_line(l, &l->messages);
        else if (!parse_book(l, bp, bend, &l->book))
            bst = bad_line(l, &l->books);
        else {
            l->m = m;
            l->io->totals.messages++;
            l->io->totals.halts += m.type == TYPE_HALT;
            l->io->totals.ignored += m.type == TYPE_CROSS;
            return TRIBUS_OK;
        }
        if (bst != TRIBUS_OK)
            return bst;
    }
}

/* ---- events ---- */

static void start_event(const lobster *l, tribus_feed_kind kind, tribus_feed_event *event)
{
    event->kind = kind;
    event->symbol = 0;
    event->time_ns = l->m.time_ns;
    event->sequence = l->row;
}

static bool next_trade(lobster *l, tribus_feed_event *event)
{
    l->stage = STAGE_QUOTE;
    if ((l->io->kinds & TRIBUS_FEED_TRADE) == 0 ||
        (l->m.type != TYPE_VISIBLE && l->m.type != TYPE_HIDDEN))
        return false;
    start_event(l, TRIBUS_FEED_TRADE, event);
    /* The direction is that of the order that waited: the other side is the aggressor. */
    event->trade = (tribus_feed_trade){
        l->m.price * PRICE_SCALE, l->m.size * QTY_SCALE,
        l->m.direction == 1 ? TRIBUS_FEED_SELL : TRIBUS_FEED_BUY, l->m.type == TYPE_HIDDEN};
    return true;
}

static bool next_quote(lobster *l, tribus_feed_event *event)
{
    const tribus_feed_quote top = {l->book.bid[0], l->book.ask[0]};

    l->stage = STAGE_BOOK;
    if ((l->io->kinds & TRIBUS_FEED_QUOTE) == 0 ||
        (l->top_known && memcmp(&top, &l->top, sizeof(top)) == 0))
        return false;
    l->top = top;
    l->top_known = true;
    start_event(l, TRIBUS_FEED_QUOTE, event);
    event->quote = top;
    return true;
}

static bool next_book(lobster *l, tribus_feed_event *event)
{
    l->stage = STAGE_DONE;
    if ((l->io->kinds & TRIBUS_FEED_BOOK) == 0)
        return false;
    start_event(l, TRIBUS_FEED_BOOK, event);
    event->book = l->book;
    return true;
}

static tribus_status lobster_next(void *source, tribus_feed_event *event)
{
    lobster *l = source;

    for (;;) {
        if (l->stage == STAGE_TRADE && next_trade(l, event))
            return TRIBUS_OK;
        if (l->stage == STAGE_QUOTE && next_quote(l, event))
            return TRIBUS_OK;
        if (l->stage == STAGE_BOOK && next_book(l, event))
            return TRIBUS_OK;
        if (l->stage == STAGE_DONE) {
            const tribus_status st = read_row(l);

            if (st != TRIBUS_OK)
                return st;
            l->stage = STAGE_TRADE;
        }
    }
}

/* ---- opening ---- */

static tribus_status read_member(void *member, void *into, size_t room, size_t *got)
{
    return tribus_zip_member_read(member, into, room, got);
}

/* The one member whose name holds `word`, as in
 * GOOG_2012-06-21_34200000_57600000_message_10.csv; *levels: the number after it. */
static tribus_status open_table(lobster *l, const char *word, table *t, int64_t *levels)
{
    const char *number = NULL, *end = NULL;
    uint32_t index = 0, found = 0;
    tribus_status st;

    for (uint32_t i = 0; i < tribus_zip_count(l->zip); i++) {
        const char *name = tribus_zip_name(l->zip, i);
        const char *hit = strstr(name, word);

        if (hit == NULL)
            continue;
        found++;
        index = i;
        t->name = name;
        number = hit + strlen(word);
    }
    if (found != 1)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: %s member *%s<levels>.csv; a LOBSTER zip has one",
                                l->path, found == 0 ? "no" : "more than one", word);
    end = tribus_decimal_read(number, number + strcspn(number, "."), 0, levels);
    if (end == NULL || strcmp(end, ".csv") != 0 || *levels < 1 || *levels > LEVELS_MAX)
        return tribus_error_set(
            TRIBUS_BAD_DATA, "%s: %s: its name must end in %s<levels>.csv, levels 1 to %d",
            l->path, t->name, word, LEVELS_MAX);
    st = tribus_zip_member_open(l->zip, index, &t->member);
    if (st != TRIBUS_OK)
        return st;
    return tribus_lines_create(read_member, t->member, LINE_BYTES, &t->lines);
}

static tribus_status add_ticker(lobster *l)
{
    const char *slash = strrchr(l->messages.name, '/');
    const char *name = slash == NULL ? l->messages.name : slash + 1;
    uint32_t index;

    return tribus_source_add_symbol(l->io, name, strcspn(name, "_"), &index);
}

static void lobster_close(void *source)
{
    lobster *l = source;

    if (l == NULL)
        return;
    tribus_lines_destroy(l->messages.lines);
    tribus_lines_destroy(l->books.lines);
    tribus_zip_member_close(l->messages.member);
    tribus_zip_member_close(l->books.member);
    tribus_zip_close(l->zip);
    free(l->path);
    free(l);
}

static tribus_status lobster_open(const char *path, tribus_source_io *io, void **out)
{
    lobster *l;
    int64_t levels = 0;
    tribus_status st;

    if (*path == '\0')
        return tribus_error_set(TRIBUS_BAD_ARG, "no file given: write lobster:PATH.zip");
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s", path);
    l->io = io;
    l->stage = STAGE_DONE;
    l->path = strdup(path);
    st = l->path == NULL ? tribus_error_set(TRIBUS_NO_MEMORY, "%s", path)
                         : tribus_zip_open(path, &l->zip);
    if (st == TRIBUS_OK)
        st = open_table(l, "_message_", &l->messages, &levels);
    if (st == TRIBUS_OK)
        st = open_table(l, "_orderbook_", &l->books, &l->levels);
    if (st == TRIBUS_OK && levels != l->levels)
        st = tribus_error_set(TRIBUS_BAD_DATA, "%s: %s and %s differ in their levels", path,
                              l->messages.name, l->books.name);
    if (st == TRIBUS_OK)
        st = add_ticker(l);
    if (st != TRIBUS_OK) {
        lobster_close(l);
        return st;
    }
    *out = l;
    return TRIBUS_OK;
}

const tribus_source_ops tribus_feed_lobster_ops = {
    .name = "lobster",
    .usage =
        "lobster:PATH.zip  a day of one stock, message and order book file as downloaded",
    .open = lobster_open,
    .next = lobster_next,
    .close = lobster_close,
};
