/* The ITCH reader against a public sample file, and against files that lie. */
#include "check.h"

#include "feeds/itch.h"
#include "feeds/source.h"
#include "tribus/base.h"

#include <unistd.h>

typedef struct file_bytes {
    unsigned char bytes[4096];
    size_t count;
} file_bytes;

static void put(file_bytes *f, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        f->bytes[f->count++] = (unsigned char)((i < 8 ? value >> (8 * i) : 0) & 0xffu);
}

/* Frame and common header; framed: with its length, else with 0. */
static void begin(file_bytes *f, char type, int length, uint64_t locate, uint64_t time_ns,
                  int framed)
{
    put(f, framed ? (uint64_t)length : 0u, 2);
    put(f, (uint64_t)(unsigned char)type, 1);
    put(f, locate, 2);
    put(f, 0, 2);
    put(f, time_ns, 6);
}

static void put_directory(file_bytes *f, int framed)
{
    begin(f, 'R', 39, 1, 100, framed);
    memcpy(f->bytes + f->count, "ABC     ", 8);
    f->count += 8;
    put(f, 0, 20);
}

static void put_add(file_bytes *f, uint64_t id, char side, uint64_t shares, uint64_t price,
                    int framed)
{
    begin(f, 'A', 36, 1, 200, framed);
    put(f, id, 8);
    put(f, (uint64_t)(unsigned char)side, 1);
    put(f, shares, 4);
    put(f, 0, 8);
    put(f, price, 4);
}

static void put_execute(file_bytes *f, uint64_t id, uint64_t shares, int framed)
{
    begin(f, 'E', 31, 1, 300, framed);
    put(f, id, 8);
    put(f, shares, 4);
    put(f, 0, 8);
}

static tribus_feed *feed_of(const file_bytes *f, const tribus_feed_cfg *cfg)
{
    char spec[64] = "itch:/tmp/test_itch_XXXXXX";
    const int fd = mkstemp(spec + 5);
    tribus_feed *feed = NULL;

    CHECK(fd >= 0);
    CHECK(write(fd, f->bytes, f->count) == (ssize_t)f->count);
    CHECK(close(fd) == 0);
    CHECK(tribus_feed_open(spec, cfg, &feed) == TRIBUS_OK);
    CHECK(unlink(spec + 5) == 0);
    return feed;
}

static void next_follows_orders_whether_frames_carry_their_length_or_not(void)
{
    for (int framed = 0; framed < 2; framed++) {
        file_bytes f = {.count = 0};
        tribus_feed *feed;
        tribus_feed_event e;
        tribus_feed_totals totals;

        put_directory(&f, framed);
        put_add(&f, 10, 'B', 100, 1000000, framed);
        put_add(&f, 11, 'S', 50, 1000100, framed);
        put_execute(&f, 10, 30, framed);
        feed = feed_of(&f, NULL);
        for (int i = 0; i < 4; i++)
            CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK);
        CHECK(e.kind == TRIBUS_FEED_BOOK && e.book.ask[0].price_e9 == 100010000000);
        CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_TRADE);
        CHECK(e.trade.price_e9 == 100000000000 && e.trade.qty_e9 == 30000000000);
        CHECK(e.trade.aggressor == TRIBUS_FEED_SELL && e.time_ns == 300 && e.sequence == 4);
        CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_QUOTE);
        CHECK(e.quote.bid.qty_e9 == 70000000000);
        CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_BOOK);
        CHECK(tribus_feed_next(feed, &e) == TRIBUS_STOPPED);
        CHECK_TEXT(tribus_feed_symbol(feed, 0), "ABC");
        tribus_feed_stats(feed, &totals);
        CHECK(totals.messages == 4 && totals.skipped == 0 && totals.trades == 1);
        tribus_feed_close(feed);
    }
}

static void next_skips_and_counts_messages_that_cannot_be(void)
{
    static const tribus_feed_cfg none = {.bad_limit = -1};
    file_bytes f = {.count = 0};
    tribus_feed *feed;
    tribus_feed_event e;
    tribus_feed_totals totals;

    put_add(&f, 9, 'B', 100, 1000000, 1); /* before its stock was announced */
    put_directory(&f, 1);
    put_add(&f, 10, 'B', 100, 1000000, 1);
    put_add(&f, 10, 'B', 100, 1000000, 1); /* id in use */
    put_add(&f, 12, 'Q', 100, 1000000, 1); /* no side */
    put_add(&f, 13, 'S', 0, 1000000, 1);   /* no size */
    put_execute(&f, 77, 5, 1);             /* not known: counted as ignored */
    put_execute(&f, 10, 101, 1);           /* more than there is */
    begin(&f, '?', 11, 1, 400, 1);         /* no such type */
    begin(&f, 'D', 11, 1, 400, 1);         /* too short */
    feed = feed_of(&f, NULL);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_QUOTE);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK && e.kind == TRIBUS_FEED_BOOK);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_STOPPED);
    tribus_feed_stats(feed, &totals);
    CHECK(totals.messages == 3 && totals.ignored == 2 && totals.skipped == 7 &&
          totals.trades == 0);
    tribus_feed_close(feed);
    feed = feed_of(&f, &none);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(),
                 "message 1 at offset 0: stock locate 1 was not announced") != NULL);
    tribus_feed_close(feed);
}

static void next_when_the_file_is_cut_in_a_message_returns_bad_data(void)
{
    file_bytes f = {.count = 0};
    tribus_feed_event e;
    tribus_feed *feed;

    put_directory(&f, 1);
    f.count -= 5;
    feed = feed_of(&f, NULL);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(), "truncated") != NULL);
    tribus_feed_close(feed);
    f.count = 0;
    put(&f, 0x0000ffu, 3);
    feed = feed_of(&f, NULL);
    CHECK(tribus_feed_next(feed, &e) == TRIBUS_BAD_DATA);
    CHECK(strstr(tribus_error_text(), "offset 0: a message without length") != NULL);
    tribus_feed_close(feed);
}

/* REFERENCES.md, Microstructure: message counts of the sample. */
static void next_over_the_sample_gives_the_reference_counts(const char *path)
{
    static const struct {
        char type;
        uint64_t count;
    } want[] = {{'S', 6},   {'R', 3},  {'H', 3},    {'A', 4997}, {'F', 3},
                {'E', 198}, {'X', 45}, {'D', 1745}, {'U', 12},   {'P', 5000}};
    char spec[4200];
    tribus_feed *feed = NULL;
    tribus_feed_event e;
    tribus_feed_totals totals;
    tribus_status st;

    (void)snprintf(spec, sizeof(spec), "itch:%s", path);
    CHECK(tribus_feed_open(spec, NULL, &feed) == TRIBUS_OK);
    do {
        st = tribus_feed_next(feed, &e);
        if (st == TRIBUS_OK && e.kind == TRIBUS_FEED_TRADE)
            CHECK(e.trade.qty_e9 > 0 && e.trade.price_e9 > 0);
    } while (st == TRIBUS_OK);
    CHECK(st == TRIBUS_STOPPED);
    tribus_feed_stats(feed, &totals);
    printf("messages %llu skipped %llu trades %llu books %llu\n",
           (unsigned long long)totals.messages, (unsigned long long)totals.skipped,
           (unsigned long long)totals.trades, (unsigned long long)totals.books);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        CHECK(tribus_itch_count(tribus_source_of(feed), want[i].type) == want[i].count);
    CHECK(totals.messages == 12012 && totals.skipped == 0 && totals.halts == 3);
    /* 117 messages name orders that the file never adds: 18 E, 3 X, 94 D, 2 U */
    CHECK(totals.trades == 198 - 18 + 5000 && totals.ignored == 6 + 3 + 117);
    CHECK(totals.books == 4997 + 3 + 198 + 45 + 1745 + 12 - 117);
    CHECK(tribus_feed_symbol_count(feed) == 3);
    CHECK_TEXT(tribus_feed_symbol(feed, 0), "ALC");
    CHECK_TEXT(tribus_feed_symbol(feed, 2), "CHAR");
    tribus_feed_close(feed);
}

int main(void)
{
    const char *sample = check_data("itch50_ritch/ex20101224.TEST_ITCH_50");

    next_follows_orders_whether_frames_carry_their_length_or_not();
    next_skips_and_counts_messages_that_cannot_be();
    next_when_the_file_is_cut_in_a_message_returns_bad_data();
    if (sample == NULL)
        SKIP("the ITCH sample is not here");
    next_over_the_sample_gives_the_reference_counts(sample);
    return 0;
}
