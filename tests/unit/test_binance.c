/* The Binance capture reader against recorded streams, and against lines that lie. */
#include "check.h"

#include "tribus/base.h"
#include "tribus/feed.h"

#include <unistd.h>

static tribus_feed *feed_of_text(const char *text, const tribus_feed_cfg *cfg)
{
    char spec[64] = "binance:/tmp/test_binance_XXXXXX";
    const int fd = mkstemp(spec + 8);
    tribus_feed *feed = NULL;

    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(close(fd) == 0);
    CHECK(tribus_feed_open(spec, cfg, &feed) == TRIBUS_OK);
    CHECK(unlink(spec + 8) == 0);
    return feed;
}

#define DEPTH(time, U, u, pu, b)                                                           \
    time " {\"stream\":\"x@depth@0ms\",\"data\":{\"s\":\"X\",\"U\":" U ",\"u\":" u         \
         ",\"pu\":" pu ",\"b\":[" b "],\"a\":[]}}\n"
#define SNAPSHOT(time, id)                                                                 \
    time " {\"lastUpdateId\":" id                                                          \
         ",\"bids\":[[\"10.5\",\"2\"]],\"asks\":[[\"11\",\"3\"]]}\n"

static void next_joins_kept_updates_to_the_snapshot_and_notices_a_gap(void)
{
    static const char text[] =
        DEPTH("1", "1", "5", "0", "[\"9\",\"1\"]")       /* before 6: dropped */
        DEPTH("2", "6", "8", "5", "[\"10\",\"7\"]")      /* holds 7: applied */
        SNAPSHOT("3", "7")                               /* */
        DEPTH("4", "9", "9", "8", "[\"10.5\",\"0\"]")    /* continues */
        DEPTH("5", "12", "13", "11", "[\"10.7\",\"1\"]") /* 10, 11 lost */
        "6 {\"stream\":\"x@trade\",\"data\":{\"s\":\"X\",\"p\":\"11.25\",\"q\":\"0.001\","
        "\"m\":false}}\n";
    tribus_feed *feed = feed_of_text(text, NULL);
    tribus_feed_totals totals;
    tribus_feed_event e;

    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_QUOTE);
    CHECK(e.time_ns == 3 && e.quote.bid.price_e9 == 10500000000);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_BOOK);
    CHECK(e.book.bid_count == 2 && e.book.bid[1].qty_e9 == 7000000000);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_QUOTE);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_BOOK);
    CHECK(e.time_ns == 4 && e.book.bid_count == 1 && e.book.bid[0].price_e9 == 10000000000);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_QUOTE);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_BOOK);
    CHECK(e.time_ns == 5 && e.book.bid_count == 0 && e.book.ask_count == 0);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_TRADE);
    CHECK(e.trade.price_e9 == 11250000000 && e.trade.qty_e9 == 1000000);
    CHECK(e.trade.aggressor == TRIBUS_FEED_BUY && e.sequence == 6);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_STOPPED);
    tribus_feed_stats(feed, &totals);
    CHECK(totals.messages == 5 && totals.ignored == 1 && totals.skipped == 1);
    CHECK_TEXT(tribus_feed_symbol(feed, 0), "X");
    tribus_feed_close(feed);
}

static void next_names_the_line_and_what_is_wrong_with_it(void)
{
    static const tribus_feed_cfg none = {.bad_limit = -1};
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"\n", "line 1: it does not begin with a time"},
        {"x {}\n", "line 1: it does not begin with a time"},
        {"1 {\n", "line 1: not JSON"},
        {"1 []\n", "line 1: not a JSON object"},
        {"1 {}\n", "line 1: neither a stream's message nor a snapshot"},
        {"1 {\"stream\":\"x@trade\",\"data\":{}}\n", "line 1: it names no symbol"},
        {"1 {\"stream\":\"x@trade\",\"data\":{\"s\":\"X\",\"p\":1.5}}\n",
         "line 1: a trade"},
        {"1 {\"stream\":\"x@bookTicker\",\"data\":{\"s\":\"X\",\"b\":\"-1\"}}\n",
         "line 1: a book ticker"},
        {SNAPSHOT("1", "7"), "line 1: a snapshot in a capture of more or less than one"},
        {"1 {\"lastUpdateId\":\"7\"}\n", "line 1: a snapshot without its id"},
        {DEPTH("1", "1", "5", "0", "") SNAPSHOT("2", "5")
             DEPTH("3", "6", "7", "5", "[\"9\"]"),
         "line 3: a level is not a price and a quantity"},
        {DEPTH("1", "1", "5", "0", "") SNAPSHOT("2", "5") DEPTH("3", "x", "7", "5", ""),
         "line 3: not JSON"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tribus_feed *feed = feed_of_text(cases[i].text, &none);
        tribus_feed_event e;
        tribus_status st;

        do
            st = tribus_feed_next(feed, &e);
        while (st == TRIBUS_OK);
        CHECK(st == TRIBUS_BAD_DATA);
        if (strstr(tribus_error_text(), cases[i].why) == NULL)
            fprintf(stderr, "%s\n", tribus_error_text());
        CHECK(strstr(tribus_error_text(), cases[i].why) != NULL);
        tribus_feed_close(feed);
    }
}

/* REFERENCES.md, Microstructure: lines by kind. 6,551 updates and a snapshot: 4 came before
 * the snapshot, 2 were joined to it. */
static void next_over_the_capture_gives_the_reference_counts(const char *path)
{
    char spec[4200];
    tribus_feed *feed = NULL;
    tribus_feed_totals totals;
    tribus_feed_event e;
    tribus_status st;

    (void)snprintf(spec, sizeof(spec), "binance:%s", path);
    CHECK(tribus_feed_open(spec, NULL, &feed) == TRIBUS_OK);
    for (;;) {
        st = tribus_feed_next(feed, &e);
        if (st != TRIBUS_OK)
            break;
        if (e.kind == TRIBUS_FEED_BOOK) {
            CHECK(e.book.bid_count == 10 && e.book.ask_count == 10);
            CHECK(e.book.bid[0].price_e9 < e.book.ask[0].price_e9);
        } else if (e.kind == TRIBUS_FEED_QUOTE) {
            CHECK(e.quote.bid.price_e9 < e.quote.ask.price_e9);
        }
    }
    CHECK(st == TRIBUS_STOPPED);
    tribus_feed_stats(feed, &totals);
    CHECK(totals.messages == 93954 && totals.skipped == 0);
    CHECK(totals.trades == 21313 && totals.quotes == 66089);
    CHECK(totals.ignored == 4 && totals.books == 6551 + 1 - 4 - 2);
    CHECK_TEXT(tribus_feed_symbol(feed, 0), "BTCUSDT");
    tribus_feed_close(feed);
}

/* A real gzip file, cut: what came before is given, then one clear error. */
static void next_when_a_gzip_file_is_cut_says_where(const char *path)
{
    static char bytes[100000];
    char spec[64] = "binance:/tmp/test_binance_XXXXXX";
    const int fd = mkstemp(spec + 8);
    FILE *f = fopen(path, "rb");
    tribus_feed *feed = NULL;
    tribus_feed_event e;
    tribus_status st;
    int events = 0;

    CHECK(f != NULL && fd >= 0);
    CHECK(fread(bytes, 1, sizeof(bytes), f) == sizeof(bytes) && fclose(f) == 0);
    CHECK(write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) && close(fd) == 0);
    CHECK(tribus_feed_open(spec, NULL, &feed) == TRIBUS_OK);
    do {
        st = tribus_feed_next(feed, &e);
        events += st == TRIBUS_OK;
    } while (st == TRIBUS_OK);
    CHECK(st == TRIBUS_BAD_DATA && events > 100);
    CHECK(strstr(tribus_error_text(), spec + 8) != NULL);
    CHECK(strstr(tribus_error_text(), "truncated at offset 100000") != NULL);
    tribus_feed_close(feed);
    CHECK(unlink(spec + 8) == 0);
}

int main(void)
{
    const char *capture = check_data("binance_ws/usdm_btcusdt_20240808.gz");

    next_joins_kept_updates_to_the_snapshot_and_notices_a_gap();
    next_names_the_line_and_what_is_wrong_with_it();
    if (capture == NULL)
        SKIP("the Binance capture is not here");
    next_over_the_capture_gives_the_reference_counts(capture);
    next_when_a_gzip_file_is_cut_says_where(capture);
    return 0;
}
