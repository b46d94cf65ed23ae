/* quant_trades.c -- `tribus quant classify` and `fi2010`: what trades and books say. */
#include "cli/commands.h"
#include "cli/quant_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Seconds, as they stand in a file, to whole microseconds in nanoseconds. */
static int64_t ns_of(double seconds)
{
    return fabs(seconds) < 9e9 ? (int64_t)llround(seconds * 1e6) * 1000 : 0;
}

/* A column as an array of its own; NULL without memory. */
static double *column_of(const quant_table *t, int at)
{
    double *x = malloc((size_t)t->rows * sizeof(*x));

    for (uint32_t i = 0; x != NULL && i < t->rows; i++)
        x[i] = t->value[(size_t)i * t->cols + (size_t)at];
    return x;
}

static int64_t *times_of(const quant_table *t, int at)
{
    int64_t *ns = malloc((size_t)t->rows * sizeof(*ns));

    for (uint32_t i = 0; ns != NULL && i < t->rows; i++)
        ns[i] = ns_of(t->value[(size_t)i * t->cols + (size_t)at]);
    return ns;
}

/* ---- classify ---- */

typedef struct classify_options {
    const char *file, *quotes, *rule, *time, *price, *volume, *bid, *ask;
    int64_t lag_ms, bar_seconds;
    bool json;
} classify_options;

/* The quote of each trade; NaN where there is none. */
static bool match_quotes(const classify_options *o, const int64_t *at_ns, uint32_t count,
                         double *bid, double *ask)
{
    uint32_t *index = malloc(count * sizeof(*index));
    int64_t *ns = NULL;
    quant_table q;
    bool good;
    int at[3];

    if (!quant_table_read("quant classify", o->quotes, &q)) {
        free(index);
        return false;
    }
    at[0] = quant_table_column("quant classify", &q, o->time);
    at[1] = at[0] < 0 ? -1 : quant_table_column("quant classify", &q, o->bid);
    at[2] = at[1] < 0 ? -1 : quant_table_column("quant classify", &q, o->ask);
    good = at[2] >= 0;
    if (good)
        ns = times_of(&q, at[0]);
    if (good && (ns == NULL || index == NULL ||
                 tribus_quant_quote_match(
                     (tribus_quant_times){at_ns, count}, (tribus_quant_times){ns, q.rows},
                     o->lag_ms * 1000000, 86400000000000, index) != TRIBUS_OK)) {
        (void)tribus_cli_complain("quant classify", "%s: times go backwards", o->quotes);
        good = false;
    }
    for (uint32_t i = 0; good && i < count; i++) {
        const double *row =
            &q.value[(size_t)(index[i] == UINT32_MAX ? 0 : index[i]) * q.cols];

        bid[i] = index[i] == UINT32_MAX ? NAN : row[at[1]];
        ask[i] = index[i] == UINT32_MAX ? NAN : row[at[2]];
    }
    free(index);
    free(ns);
    quant_table_free(&q);
    return good;
}

static int classify_trades(const classify_options *o, const quant_table *t,
                           const int64_t *ns, const double *price)
{
    double *bid = malloc(2 * (size_t)t->rows * sizeof(*bid));
    int8_t *side = malloc(t->rows);
    bool good = bid != NULL && side != NULL;
    quant_writer w;

    if (good && strcmp(o->rule, "tick") == 0)
        tribus_quant_classify_tick(price, t->rows, side);
    else if (good)
        good = match_quotes(o, ns, t->rows, bid, bid + t->rows);
    if (good && strcmp(o->rule, "quote") == 0)
        tribus_quant_classify_quote(price, bid, bid + t->rows, t->rows, side);
    if (good && strcmp(o->rule, "lee-ready") == 0)
        tribus_quant_classify_lee_ready(price, bid, bid + t->rows, t->rows, side);
    if (good)
        quant_write_begin(&w, "row,time,price,side", o->json);
    for (uint32_t i = 0; good && i < t->rows; i++) {
        char text[32];
        const int bytes =
            snprintf(text, sizeof(text), "%lld.%06d", (long long)(ns[i] / 1000000000),
                     (int)(ns[i] % 1000000000 / 1000));

        quant_write_number(&w, i + 1.0);
        quant_write_text(&w, (tribus_quant_text){text, (uint32_t)bytes});
        quant_write_number(&w, price[i]);
        quant_write_number(&w, side[i]);
        if (t->rows > 1000000 && ((i + 1) % 100000 == 0 || i + 1 == t->rows))
            quant_progress("trades", i + 1, t->rows);
    }
    free(bid);
    free(side);
    return good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

/* A row for each bar: how much of its volume was bought. */
static int classify_bars(const classify_options *o, const quant_table *t, const int64_t *ns,
                         const double *price)
{
    const int at = quant_table_column("quant classify", t, o->volume);
    double *volume = at < 0 ? NULL : column_of(t, at), *dp = NULL, none;
    const tribus_quant_trades trades = {ns, price, volume, t->rows};
    const int64_t bar_ns = o->bar_seconds * 1000000000;
    tribus_quant_moments m;
    uint32_t count = 0;
    tribus_status st = TRIBUS_NO_MEMORY;
    quant_writer w;

    if (volume != NULL)
        st = tribus_quant_bars(trades, bar_ns, &none, &none, 0, &count);
    if (st == TRIBUS_FULL && (dp = malloc(2 * (size_t)count * sizeof(*dp))) != NULL)
        st = tribus_quant_bars(trades, bar_ns, dp, dp + count, count, &count);
    if (st == TRIBUS_OK)
        st = tribus_quant_moments_of(dp, count, &m);
    if (st == TRIBUS_OK)
        quant_write_begin(&w, "bar,change,volume,bought", o->json);
    else if (at >= 0)
        (void)tribus_cli_complain("quant classify",
                                  "%s: times go backwards, or a value is missing", o->file);
    for (uint32_t i = 0; st == TRIBUS_OK && i < count; i++) {
        quant_write_number(&w, i + 1.0);
        quant_write_number(&w, dp[i]);
        quant_write_number(&w, dp[count + i]);
        quant_write_number(&w,
                           dp[count + i] * tribus_quant_classify_bulk(dp[i], m.sd_sample));
    }
    free(volume);
    free(dp);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

static int run_classify(const classify_options *o, const quant_table *t)
{
    const int time = quant_table_column("quant classify", t, o->time),
              at = time < 0 ? -1 : quant_table_column("quant classify", t, o->price);
    int64_t *ns = at < 0 ? NULL : times_of(t, time);
    double *price = at < 0 ? NULL : column_of(t, at);
    int code = TRIBUS_EXIT_FAILED;

    if (ns != NULL && price != NULL)
        code = strcmp(o->rule, "bulk") == 0 ? classify_bars(o, t, ns, price)
                                            : classify_trades(o, t, ns, price);
    free(ns);
    free(price);
    return code;
}

int tribus_cli_quant_classify(int argc, char **argv)
{
    static const char *const rules[] = {"tick", "quote", "lee-ready", "bulk"};
    classify_options o = {.time = "time",
                          .price = "price",
                          .volume = "volume",
                          .bid = "bid",
                          .ask = "ask",
                          .bar_seconds = 300};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "trades, oldest first; .gz too; - is stdin", TRIBUS_CLI_TEXT,
         &o.file},
        {"--rule", "NAME",
         "tick, quote, lee-ready or bulk; default: lee-ready with --quotes",
         TRIBUS_CLI_TEXT, &o.rule},
        {"--quotes", "CSV", "quotes, oldest first, for quote and lee-ready",
         TRIBUS_CLI_TEXT, &o.quotes},
        {"--lag-ms", "N", "a quote is at least that old; the first of a day is not asked",
         TRIBUS_CLI_INT, &o.lag_ms},
        {"--time", "NAME", "column of seconds since 1970 UTC, of both files",
         TRIBUS_CLI_TEXT, &o.time},
        {"--price", "NAME", "column of the trades", TRIBUS_CLI_TEXT, &o.price},
        {"--volume", "NAME", "column of the trades, for bulk", TRIBUS_CLI_TEXT, &o.volume},
        {"--bid", "NAME", "column of the quotes", TRIBUS_CLI_TEXT, &o.bid},
        {"--ask", "NAME", "column of the quotes", TRIBUS_CLI_TEXT, &o.ask},
        {"--bar-seconds", "S", "of the bars of bulk", TRIBUS_CLI_INT, &o.bar_seconds},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant classify",
        .synopsis = "--file CSV [--quotes CSV] [--rule NAME]",
        .text =
            "Who began each trade: side 1 the buyer, -1 the seller, 0 unknown. bulk gives "
            "how much of each\nbar's volume was bought.",
        .examples = "  tribus quant classify --file trades.csv --rule tick\n"
                    "  tribus quant classify --file trades.csv.gz --quotes quotes.csv.gz "
                    "--lag-ms 2000"};
    bool known = false;
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    o.rule = o.rule != NULL ? o.rule : o.quotes != NULL ? "lee-ready" : "tick";
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        known = known || strcmp(o.rule, rules[i]) == 0;
    if (o.file == NULL || !known || o.lag_ms < 0 || o.lag_ms > 86400000 ||
        o.bar_seconds < 1 || 86400 % o.bar_seconds != 0 ||
        (o.quotes == NULL && (o.rule[0] == 'q' || o.rule[0] == 'l'))) {
        (void)tribus_cli_complain("quant classify",
                                  o.file == NULL ? "--file CSV is missing; see --help"
                                  : !known       ? "no such --rule; see --help"
                                           : "quote and lee-ready need --quotes; --lag-ms "
                                             "from 0 to a day, --bar-seconds a part of "
                                             "86400");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant classify", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_classify(&o, &t);
    quant_table_free(&t);
    return code;
}

/* ---- fi2010 ---- */

typedef struct fi2010_options {
    const char *file, *time, *kind, *side;
    double step, near, far;
    int64_t capacity;
    bool published, json;
} fi2010_options;

enum { BOOK = TRIBUS_QUANT_FI2010_BOOK, FEATURES = TRIBUS_QUANT_FI2010_FEATURES };

/* "limit", "market", "cancel", or their first letters; -1: none of them. */
static int kind_of(tribus_quant_text kind)
{
    static const char *const names[] = {"limit", "market", "cancel"};

    for (int k = 0; k < 3; k++)
        if (kind.bytes > 0 && kind.bytes <= strlen(names[k]) &&
            strncasecmp(kind.at, names[k], kind.bytes) == 0)
            return k;
    return -1;
}

/* The columns of numbers but for time and side are the book: in all 40. */
static bool book_columns(const fi2010_options *o, const quant_table *t, int time, int side,
                         int book[BOOK])
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < t->cols; i++) {
        if ((int)i == time || (int)i == side)
            continue;
        if (found < BOOK)
            book[found] = (int)i;
        found++;
    }
    if (found != BOOK)
        (void)tribus_cli_complain(
            "quant fi2010",
            "%s: %u columns beside time, kind and side; a book has 40: "
            "ask, ask size, bid, bid size of ten levels",
            o->file, found);
    return found == BOOK;
}

static int push_rows(const fi2010_options *o, const quant_table *t, tribus_quant_fi2010 *f,
                     quant_writer *w)
{
    const int time = quant_table_column("quant fi2010", t, o->time),
              side = time < 0 ? -1 : quant_table_column("quant fi2010", t, o->side),
              kind = quant_table_label(t, o->kind);
    int at[BOOK];

    if (side < 0 || !book_columns(o, t, time, side, at))
        return TRIBUS_EXIT_FAILED;
    for (uint32_t i = 0; i < t->rows; i++) {
        const double *row = &t->value[(size_t)i * t->cols];
        const int what =
            kind < 0 ? -1 : kind_of(t->label[(size_t)i * t->label_cols + (size_t)kind]);
        tribus_quant_book_event event = {.at_ns = ns_of(row[time]),
                                         .side = row[side] > 0.0 ? 1 : -1};
        float book[BOOK];
        double out[FEATURES];
        tribus_status st = TRIBUS_BAD_ARG;

        for (uint32_t k = 0; k < BOOK; k++)
            book[k] = (float)row[at[k]];
        if (what >= 0 && fabs(row[side]) == 1.0) {
            event.kind = (tribus_quant_event_kind)what;
            st = tribus_quant_fi2010_push(f, &event, book, out);
        }
        if (st != TRIBUS_OK && st != TRIBUS_FULL) {
            (void)tribus_cli_complain(
                "quant fi2010", "%s: row %u: %s", o->file, i + 1,
                st == TRIBUS_BAD_DATA ? "time goes backwards, or a value is missing"
                                      : "kind is limit, market or cancel, side 1 or -1");
            return TRIBUS_EXIT_FAILED;
        }
        quant_write_number(w, row[time]);
        for (uint32_t k = 0; k < FEATURES; k++)
            quant_write_number(w, out[k]);
        if (t->rows > 20000 && ((i + 1) % 2000 == 0 || i + 1 == t->rows))
            quant_progress("events", i + 1, t->rows);
    }
    if (f->overrun > 0)
        fprintf(stderr,
                "tribus quant fi2010: %llu events left a window early: more --capacity\n",
                (unsigned long long)f->overrun);
    return TRIBUS_EXIT_DONE;
}

static int run_fi2010(const fi2010_options *o, const quant_table *t)
{
    const tribus_quant_fi2010_cfg cfg = {.step_ns = llround(o->step * 1e9),
                                         .short_ns = llround(o->near * 1e9),
                                         .long_ns = llround(o->far * 1e9),
                                         .capacity = (uint32_t)o->capacity,
                                         .published = o->published};
    void *memory = malloc(tribus_quant_fi2010_bytes(cfg.capacity));
    char names[8 * (FEATURES + 1)] = "time";
    int code = TRIBUS_EXIT_USAGE;
    tribus_quant_fi2010 f;
    quant_writer w;
    size_t used = 4;

    for (uint32_t k = 0; k < FEATURES; k++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, ",f%u", k);
    if (memory == NULL || tribus_quant_fi2010_init(&f, &cfg, memory) != TRIBUS_OK) {
        (void)tribus_cli_complain("quant fi2010",
                                  "--long-s at least twice --step-s, and --short-s");
    } else {
        quant_write_begin(&w, names, o->json);
        code = push_rows(o, t, &f, &w);
    }
    free(memory);
    return code;
}

int tribus_cli_quant_fi2010(int argc, char **argv)
{
    fi2010_options o = {.time = "time",
                        .kind = "kind",
                        .side = "side",
                        .step = 1.0,
                        .near = 10.0,
                        .far = 900.0,
                        .capacity = 65536};
    const tribus_cli_option options[] = {
        {"--file", "CSV",
         "a row for each event, oldest first: time, kind, side, and the book after it; .gz "
         "too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--time", "NAME", "column of seconds", TRIBUS_CLI_TEXT, &o.time},
        {"--kind", "NAME", "column of limit, market or cancel", TRIBUS_CLI_TEXT, &o.kind},
        {"--side", "NAME", "column of 1 (bids changed) or -1 (asks)", TRIBUS_CLI_TEXT,
         &o.side},
        {"--step-s", "S", "of rates and changes", TRIBUS_CLI_REAL, &o.step},
        {"--short-s", "S", "window of the late rate", TRIBUS_CLI_REAL, &o.near},
        {"--long-s", "S", "window of the long rate", TRIBUS_CLI_REAL, &o.far},
        {"--capacity", "N", "events that the longest window may hold", TRIBUS_CLI_INT,
         &o.capacity},
        {"--published", NULL, "rows 79 and 85 as the published files have them",
         TRIBUS_CLI_FLAG, &o.published},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant fi2010",
        .synopsis = "--file CSV [--step-s S] [--published]",
        .text =
            "The 144 hand-made features of FI-2010 after each event of an order book, f0 "
            "to f143 in the order\nof the data set, not normalised. The other 40 columns "
            "of numbers are the book: ask, ask size,\nbid, bid size of ten levels, as "
            "LOBSTER writes them.",
        .examples = "  tribus quant fi2010 --file events.csv.gz > features.csv"};
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL || !(o.step > 0.0 && o.near > 0.0 && o.far > 0.0) ||
        !(o.step < 1e6 && o.near < 1e6 && o.far < 1e6) || o.capacity < 1 ||
        o.capacity > 100000000) {
        (void)tribus_cli_complain("quant fi2010",
                                  o.file == NULL ? "--file CSV is missing; see --help"
                                                 : "windows of more than 0 and less than "
                                                   "1e6 seconds, --capacity 1 .. 1e8");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant fi2010", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_fi2010(&o, &t);
    quant_table_free(&t);
    return code;
}
