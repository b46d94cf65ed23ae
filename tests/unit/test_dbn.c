/* The DBN reader against recorded files, and against files that lie. */
#include "check.h"

#include "feeds/dbn.h"
#include "feeds/source.h"
#include "tribus/base.h"

#include <unistd.h>

static tribus_feed *feed_of(const char *path)
{
    char spec[4200];
    tribus_feed *feed = NULL;
    tribus_status st;

    (void)snprintf(spec, sizeof(spec), "dbn:%s", path);
    st = tribus_feed_open(spec, NULL, &feed);
    if (st != TRIBUS_OK)
        fprintf(stderr, "%s\n", tribus_error_text());
    CHECK(st == TRIBUS_OK);
    return feed;
}

/* Read to the end and give the totals; every event is checked on the way. */
static tribus_feed_totals totals_of(tribus_feed *feed)
{
    tribus_feed_totals totals;
    tribus_feed_event e;
    tribus_status st;
    int64_t time_ns = 0;

    for (;;) {
        st = tribus_feed_next(feed, &e);
        if (st != TRIBUS_OK)
            break;
        CHECK(e.time_ns >= time_ns && tribus_feed_symbol(feed, e.symbol) != NULL);
        time_ns = e.time_ns;
        if (e.kind == TRIBUS_FEED_TRADE)
            CHECK(e.trade.qty_e9 > 0);
    }
    if (st != TRIBUS_STOPPED)
        fprintf(stderr, "%s\n", tribus_error_text());
    CHECK(st == TRIBUS_STOPPED);
    tribus_feed_stats(feed, &totals);
    printf(
        "%s: messages %llu ignored %llu skipped %llu trades %llu quotes %llu books %llu\n",
        tribus_feed_symbol(feed, 0), (unsigned long long)totals.messages,
        (unsigned long long)totals.ignored, (unsigned long long)totals.skipped,
        (unsigned long long)totals.trades, (unsigned long long)totals.quotes,
        (unsigned long long)totals.books);
    return totals;
}

/* REFERENCES.md, Microstructure: the records of an ES day by action. */
static void next_over_the_es_day_gives_the_reference_counts(const char *path)
{
    tribus_feed *feed = feed_of(path);
    const tribus_feed_totals totals = totals_of(feed);
    const void *source = tribus_source_of(feed);

    CHECK(totals.messages == 68792 && totals.skipped == 0);
    CHECK(tribus_dbn_count(source, 'A') == 29216);
    CHECK(tribus_dbn_count(source, 'C') == 17999);
    CHECK(tribus_dbn_count(source, 'M') == 12233);
    CHECK(tribus_dbn_count(source, 'T') == 2973);
    CHECK(tribus_dbn_count(source, 'F') == 6371);
    /* the file begins with a snapshot, so no record names an order it does not know */
    CHECK(totals.trades == 2973 && totals.ignored == 6371);
    CHECK(totals.books <= 29216 + 17999 + 12233);
    CHECK_TEXT(tribus_feed_symbol(feed, 0), "ESH4");
    tribus_feed_close(feed);
}

/* Orders cross while the auction before the open collects them, and at no other time. */
static void next_over_the_es_day_crosses_the_book_before_the_open_only(const char *path)
{
    tribus_feed *feed = feed_of(path);
    tribus_feed_event e;
    int64_t crossed_ns = 0;
    uint64_t crossed = 0, after = 0;

    while (tribus_feed_next(feed, &e) == TRIBUS_OK) {
        if (e.kind != TRIBUS_FEED_BOOK || e.book.bid_count == 0 || e.book.ask_count == 0)
            continue;
        after += crossed != 0;
        if (e.book.bid[0].price_e9 < e.book.ask[0].price_e9)
            continue;
        crossed++;
        crossed_ns = e.time_ns;
    }
    printf("ES: crossed %llu times, last at %lld ns of its day\n",
           (unsigned long long)crossed, (long long)(crossed_ns % 86400000000000));
    CHECK(crossed > 0 && after > 10 * crossed);
    CHECK(crossed_ns % 86400000000000 < 82800001000000); /* 23:00 UTC, the open, + 1 ms */
    tribus_feed_close(feed);
}

static void next_over_top_of_book_and_trade_files_gives_every_record(void)
{
    const char *path =
        check_data("databento_cme_mbo/"
                   "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst");
    tribus_feed *feed;
    tribus_feed_totals totals;

    CHECK(path != NULL);
    feed = feed_of(path);
    totals = totals_of(feed);
    CHECK(totals.messages == 2288 && totals.books == 2288 && totals.skipped == 0);
    tribus_feed_close(feed);
    path = check_data("databento_cme_mbo/"
                      "futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst");
    CHECK(path != NULL);
    feed = feed_of(path);
    totals = totals_of(feed);
    CHECK(totals.messages == 120 && totals.trades == 120 && totals.books == 0);
    tribus_feed_close(feed);
}

/* Two records a file (those of the mbo files cancel orders from before), in each version and schema that has events. */
static void next_reads_versions_one_to_three(void)
{
    static const struct {
        const char *name;
        uint64_t trades;
        uint64_t books;
    } files[] = {
        {"test_data.mbo.dbn", 0, 0},           {"test_data.mbo.v1.dbn.zst", 0, 0},
        {"test_data.mbo.v2.dbn.zst", 0, 0},    {"test_data.mbo.v3.dbn", 0, 0},
        {"test_data.mbp-1.v1.dbn.zst", 0, 2},  {"test_data.mbp-1.v3.dbn.zst", 0, 2},
        {"test_data.mbp-10.v2.dbn.zst", 0, 2}, {"test_data.tbbo.v3.dbn.zst", 2, 2},
        {"test_data.trades.v1.dbn.zst", 2, 0}, {"test_data.trades.v3.dbn.zst", 2, 0}};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char name[128];
        const char *path;
        tribus_feed *feed;
        tribus_feed_totals totals;

        (void)snprintf(name, sizeof(name), "dbn/%s", files[i].name);
        path = check_data(name);
        CHECK(path != NULL);
        printf("%s ", files[i].name);
        feed = feed_of(path);
        totals = totals_of(feed);
        CHECK(totals.messages == 2 && totals.skipped == 0);
        CHECK(totals.trades == files[i].trades && totals.books == files[i].books);
        tribus_feed_close(feed);
    }
}

static tribus_status status_of(const void *bytes, size_t count)
{
    char spec[64] = "dbn:/tmp/test_dbn_XXXXXX";
    const int fd = mkstemp(spec + 4);
    tribus_feed *feed = NULL;
    tribus_feed_event e;
    tribus_status st;

    CHECK(fd >= 0);
    CHECK(write(fd, bytes, count) == (ssize_t)count);
    CHECK(close(fd) == 0);
    st = tribus_feed_open(spec, NULL, &feed);
    while (st == TRIBUS_OK)
        st = tribus_feed_next(feed, &e);
    if (st != TRIBUS_STOPPED)
        CHECK(strstr(tribus_error_text(), "feed dbn: ") != NULL);
    tribus_feed_close(feed);
    CHECK(unlink(spec + 4) == 0);
    return st;
}

static void open_refuses_what_is_not_dbn_or_too_new(void)
{
    CHECK(status_of("", 0) == TRIBUS_BAD_DATA);
    CHECK(status_of("DBX\1\0\0\0\0", 8) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(), "not a DBN file") != NULL);
    CHECK(status_of("DBN\7\0\0\0\0", 8) == TRIBUS_VERSION);
    CHECK(status_of("DBN\1\0\0\0\0", 8) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(), "damaged DBN metadata") != NULL);
    CHECK(status_of("DBN\1\377\377\377\377", 8) == TRIBUS_BAD_DATA);
    CHECK(status_of("DBN\1\0\1\0\0abc", 11) == TRIBUS_BAD_DATA);
}

/* A real small file, cut everywhere and with every byte damaged. */
static void next_when_a_file_is_cut_or_damaged_anywhere_fails_cleanly(const char *path)
{
    unsigned char bytes[4096];
    FILE *f = fopen(path, "rb");
    size_t count;

    CHECK(f != NULL);
    count = fread(bytes, 1, sizeof(bytes), f);
    CHECK(fclose(f) == 0 && count > 400 && count < sizeof(bytes));
    CHECK(status_of(bytes, count) == TRIBUS_STOPPED);
    for (size_t cut = 0; cut < count; cut++) {
        const tribus_status st = status_of(bytes, cut);

        CHECK(st == TRIBUS_BAD_DATA || (st == TRIBUS_STOPPED && (count - cut) % 56 == 0));
    }
    for (size_t at = 0; at < count; at++) {
        tribus_status st;

        bytes[at] ^= 0xffu;
        st = status_of(bytes, count);
        CHECK(st == TRIBUS_STOPPED || st == TRIBUS_BAD_DATA || st == TRIBUS_VERSION);
        bytes[at] ^= 0xffu;
    }
}

int main(void)
{
    const char *day = check_data("databento_cme_mbo/esh4-glbx-mdp3-20231225.mbo.dbn.zst");

    open_refuses_what_is_not_dbn_or_too_new();
    if (day == NULL)
        SKIP("the DBN files are not here");
    next_over_the_es_day_gives_the_reference_counts(day);
    next_over_the_es_day_crosses_the_book_before_the_open_only(day);
    next_over_top_of_book_and_trade_files_gives_every_record();
    next_reads_versions_one_to_three();
    next_when_a_file_is_cut_or_damaged_anywhere_fails_cleanly(
        check_data("dbn/test_data.mbo.dbn"));
    return 0;
}
