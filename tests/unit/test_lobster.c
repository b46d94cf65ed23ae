/* The LOBSTER reader against the published sample days, and against files that lie. */
#include "check.h"

#include "tribus/base.h"
#include "tribus/feed.h"

#include <unistd.h>
#include <zlib.h>

/* ---- a small zip writer: two members and what is wrong with them ---- */

typedef struct zip_bytes {
    unsigned char bytes[65536];
    size_t count;
} zip_bytes;

typedef struct part {
    const char *name;
    const char *text;
} part;

static void put(zip_bytes *z, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        z->bytes[z->count++] = (unsigned char)(i < 8 ? value >> (8 * i) & 0xffu : 0u);
}

static void put_text(zip_bytes *z, const char *text)
{
    CHECK(z->count + strlen(text) < sizeof(z->bytes));
    memcpy(z->bytes + z->count, text, strlen(text));
    z->count += strlen(text);
}

static void put_sizes(zip_bytes *z, const char *text)
{
    put(z, (uint32_t)crc32(0, (const Bytef *)text, (uInt)strlen(text)), 4);
    put(z, (uint32_t)strlen(text), 4);
    put(z, (uint32_t)strlen(text), 4);
}

/* Stored members; `method` is what the directory claims, 0 for the truth. */
static zip_bytes zip_of(const part *parts, int count, uint32_t method)
{
    static const uint32_t local = 0x04034b50u, central = 0x02014b50u, end = 0x06054b50u;
    static zip_bytes z;
    uint32_t at[8], directory;

    z.count = 0;
    for (int i = 0; i < count; i++) {
        at[i] = (uint32_t)z.count;
        put(&z, local, 4);
        put(&z, 0, 10);
        put_sizes(&z, parts[i].text);
        put(&z, (uint32_t)strlen(parts[i].name), 2);
        put(&z, 0, 2);
        put_text(&z, parts[i].name);
        put_text(&z, parts[i].text);
    }
    directory = (uint32_t)z.count;
    for (int i = 0; i < count; i++) {
        put(&z, central, 4);
        put(&z, 0, 6);
        put(&z, method, 2);
        put(&z, 0, 4);
        put_sizes(&z, parts[i].text);
        put(&z, (uint32_t)strlen(parts[i].name), 2);
        put(&z, 0, 12);
        put(&z, at[i], 4);
        put_text(&z, parts[i].name);
    }
    put(&z, end, 4);
    put(&z, 0, 4);
    put(&z, (uint32_t)count, 2);
    put(&z, (uint32_t)count, 2);
    put(&z, (uint32_t)z.count - 12 - directory, 4);
    put(&z, directory, 4);
    put(&z, 0, 2);
    return z;
}

static const char *write_file(const void *bytes, size_t count)
{
    static char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "/tmp/test_lobster_XXXXXX");
    fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(write(fd, bytes, count) == (ssize_t)count);
    CHECK(close(fd) == 0);
    return path;
}

#define MESSAGES "TEST_2020-01-02_34200000_57600000_message_2.csv"
#define BOOKS    "TEST_2020-01-02_34200000_57600000_orderbook_2.csv"
#define NO_LEVEL "9999999999,0,-9999999999,0"

/* Open and read to the end. *text: the error text where there was one. */
static tribus_status read_all(const char *path, int32_t bad_limit,
                              tribus_feed_totals *totals)
{
    const tribus_feed_cfg cfg = {.bad_limit = bad_limit};
    char spec[512];
    tribus_feed *feed = NULL;
    tribus_feed_event e;
    tribus_status st;

    memset(totals, 0, sizeof(*totals));
    tribus_error_clear();
    (void)snprintf(spec, sizeof(spec), "lobster:%s", path);
    st = tribus_feed_open(spec, &cfg, &feed);
    if (st != TRIBUS_OK) {
        CHECK(feed == NULL);
        return st;
    }
    do
        st = tribus_feed_next(feed, &e);
    while (st == TRIBUS_OK);
    if (st != TRIBUS_STOPPED)
        CHECK(tribus_feed_next(feed, &e) == st); /* a fault stays */
    tribus_feed_stats(feed, totals);
    tribus_feed_close(feed);
    return st;
}

static tribus_status read_parts(const part *parts, int count, int32_t bad_limit,
                                tribus_feed_totals *totals)
{
    const zip_bytes z = zip_of(parts, count, 0);
    const char *path = write_file(z.bytes, z.count);
    const tribus_status st = read_all(path, bad_limit, totals);

    CHECK(unlink(path) == 0);
    return st;
}

static void check_text(const char *part_of_it)
{
    if (strstr(tribus_error_text(), part_of_it) == NULL) {
        fprintf(stderr, "error text is \"%s\", wanted \"%s\" in it\n", tribus_error_text(),
                part_of_it);
        exit(1);
    }
}

/* ---- small files ---- */

static void next_turns_rows_into_trades_quotes_and_books(void)
{
    const part parts[] = {{MESSAGES, "34200.5,1,7,100,1000000,1\n"
                                     "34200.500000001,4,7,40,1000000,1\r\n"
                                     "34201,5,0,3,1000500,-1\n"
                                     "34202,7,0,0,-1,-1\n"
                                     "34203,6,-1,500,1000200,1"},
                          {BOOKS, "1001000,50,1000000,100," NO_LEVEL "\n"
                                  "1001000,50,1000000,60," NO_LEVEL "\n"
                                  "1001000,50,1000000,60," NO_LEVEL "\n"
                                  "1001000,50,1000000,60,1001100,7,999900,1\n" NO_LEVEL
                                  "," NO_LEVEL "\n"}};
    static const uint32_t kinds[] = {TRIBUS_FEED_QUOTE, TRIBUS_FEED_BOOK, TRIBUS_FEED_TRADE,
                                     TRIBUS_FEED_QUOTE, TRIBUS_FEED_BOOK, TRIBUS_FEED_TRADE,
                                     TRIBUS_FEED_BOOK,  TRIBUS_FEED_BOOK, TRIBUS_FEED_QUOTE,
                                     TRIBUS_FEED_BOOK};
    const zip_bytes z = zip_of(parts, 2, 0);
    char spec[128];
    tribus_feed *feed = NULL;
    tribus_feed_event e[10];
    tribus_feed_totals totals;

    (void)snprintf(spec, sizeof(spec), "lobster:%s", write_file(z.bytes, z.count));
    CHECK(tribus_feed_open(spec, NULL, &feed) == TRIBUS_OK);
    CHECK(unlink(spec + 8) == 0);
    for (int i = 0; i < 10; i++) {
        CHECK(tribus_feed_next(feed, &e[i]) == TRIBUS_OK);
        CHECK(e[i].kind == kinds[i] && e[i].symbol == 0);
    }
    CHECK(tribus_feed_next(feed, &e[0]) == TRIBUS_STOPPED);
    CHECK(tribus_feed_symbol_count(feed) == 1);
    CHECK_TEXT(tribus_feed_symbol(feed, 0), "TEST");
    CHECK(e[2].time_ns == 34200500000001 && e[2].sequence == 2);
    CHECK(e[2].trade.price_e9 == 100000000000 && e[2].trade.qty_e9 == 40000000000);
    CHECK(e[2].trade.aggressor == TRIBUS_FEED_SELL && e[2].trade.hidden == 0);
    CHECK(e[5].trade.aggressor == TRIBUS_FEED_BUY && e[5].trade.hidden == 1);
    CHECK(e[4].book.bid_count == 1 && e[4].book.bid[0].qty_e9 == 60000000000);
    CHECK(e[7].book.ask_count == 2 && e[7].book.ask[1].price_e9 == 100110000000);
    CHECK(e[8].quote.bid.qty_e9 == 0 && e[8].quote.ask.price_e9 == 0);
    CHECK(e[9].book.bid_count == 0 && e[9].book.ask_count == 0);
    tribus_feed_stats(feed, &totals);
    CHECK(totals.messages == 5 && totals.halts == 1 && totals.ignored == 1);
    CHECK(totals.trades == 2 && totals.quotes == 3 && totals.books == 5);
    CHECK(totals.first_ns == 34200500000000 && totals.last_ns == 34203000000000);
    tribus_feed_close(feed);
}

#define ROW "1001000,50,1000000,100," NO_LEVEL "\n"

/* Every way a row can be bad: it is skipped and counted, the next one is read; with no bad
 * line allowed the text names member, line and reason. */
static void next_when_a_line_is_bad_skips_it_with_its_partner_and_counts_it(void)
{
    static const struct {
        const char *message;
        const char *book;
        const char *why;
    } cases[] = {
        {"34201,four,7,100,1000000,1", ROW, "line 2: type is not a number: \"four\""},
        {"", ROW, "line 2: time is not a number: \"\""},
        {"34201,4,7,100,1000000", ROW, "line 2: price is not a number"},
        {"34201,4,7,100,1000000,1,9", ROW, "line 2: direction is not a number"},
        {"34201.,4,7,100,1000000,1", ROW, "line 2: time is not a number"},
        {"34201,4,7,100.5,1000000,1", ROW, "line 2: size is not a number"},
        {"1e5,4,7,100,1000000,1", ROW, "line 2: time is not a number"},
        {"99999999999999999999,4,7,100,1000000,1", ROW, "line 2: time is not a number"},
        {"-1,4,7,100,1000000,1", ROW, "line 2: time is not within a day"},
        {"34199,4,7,100,1000000,1", ROW, "line 2: time goes back"},
        {"34201,8,7,100,1000000,1", ROW, "line 2: type is not 1 to 7"},
        {"34201,4,7,0,1000000,1", ROW, "line 2: size is out of range"},
        {"34201,4,7,9000000000000000000,1000000,1", ROW, "line 2: size is out of range"},
        {"34201,4,7,100,0,1", ROW, "line 2: price is out of range"},
        {"34201,4,7,100,1000000,2", ROW, "line 2: direction is neither"},
        {"34201,1,7,100,1000000,1", "1001000,50,1000000,x," NO_LEVEL "\n",
         "orderbook_2.csv line 2: not a whole number"},
        {"34201,1,7,100,1000000,1", "1001000,50,1000000,100\n",
         "orderbook_2.csv line 2: not a whole number, or not the right number of columns"},
        {"34201,1,7,100,1000000,1", "1001000,50,1000000,100," NO_LEVEL ",5\n",
         "orderbook_2.csv line 2: not a whole number"},
        {"34201,1,7,100,1000000,1", "1001000,0,1000000,100," NO_LEVEL "\n",
         "orderbook_2.csv line 2: ask level out of range or order"},
        {"34201,1,7,100,1000000,1", "1001000,5,1000000,100,1000900,5,-9999999999,0\n",
         "orderbook_2.csv line 2: ask level out of range or order"},
        {"34201,1,7,100,1000000,1", "1001000,5,1000000,100,9999999999,0,1000000,5\n",
         "orderbook_2.csv line 2: bid level out of range or order"},
        {"34201,1,7,100,1000000,1", NO_LEVEL ",1001000,5,1000000,100\n",
         "orderbook_2.csv line 2: ask level out of range or order"},
    };
    tribus_feed_totals totals;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char messages[512], books[512];
        const part parts[] = {{MESSAGES, messages}, {BOOKS, books}};

        (void)snprintf(messages, sizeof(messages),
                       "34200,1,7,100,1000000,1\n%s\n34202,4,7,100,1000000,1\n",
                       cases[i].message);
        (void)snprintf(books, sizeof(books), ROW "%s" ROW, cases[i].book);
        CHECK(read_parts(parts, 2, 0, &totals) == TRIBUS_STOPPED);
        CHECK(totals.skipped == 1 && totals.messages == 2 && totals.trades == 1);
        CHECK(read_parts(parts, 2, -1, &totals) == TRIBUS_BAD_DATA);
        check_text(cases[i].why);
        CHECK(totals.books == 1);
    }
}

static void next_when_more_lines_are_bad_than_allowed_returns_bad_data(void)
{
    static char messages[8192], books[32768];
    const part parts[] = {{MESSAGES, messages}, {BOOKS, books}};
    tribus_feed_totals totals;

    for (int i = 0; i < 101; i++) {
        strcat(messages, "junk\n");
        strcat(books, ROW);
    }
    CHECK(read_parts(parts, 2, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("message_2.csv line 101: time is not a number: \"junk\" (bad lines: 101, "
               "allowed: 100)");
    CHECK(read_parts(parts, 2, 101, &totals) == TRIBUS_STOPPED && totals.skipped == 101);
}

static void next_when_one_member_has_fewer_rows_returns_bad_data(void)
{
    const part more_messages[] = {{MESSAGES, "1,1,7,1,5,1\n2,1,7,1,5,1\n"}, {BOOKS, ROW}};
    const part more_books[] = {{MESSAGES, "1,1,7,1,5,1\n"}, {BOOKS, ROW ROW}};
    tribus_feed_totals totals;

    CHECK(read_parts(more_messages, 2, 0, &totals) == TRIBUS_BAD_DATA);
    check_text(BOOKS " ends after 1 rows, " MESSAGES " goes on");
    CHECK(totals.books == 1);
    CHECK(read_parts(more_books, 2, 0, &totals) == TRIBUS_BAD_DATA);
    check_text(MESSAGES " ends after 1 rows, " BOOKS " goes on");
}

static void open_when_members_are_not_a_lobster_day_says_which(void)
{
    const part no_books[] = {{MESSAGES, "1,1,7,1,5,1\n"}};
    const part two[] = {{MESSAGES, ""}, {"B_message_2.csv", ""}, {BOOKS, ""}};
    const part levels[] = {{MESSAGES, ""}, {"TEST_orderbook_5.csv", ""}};
    const part name[] = {{"TEST_message_many.csv", ""}, {BOOKS, ""}};
    const part empty[] = {{MESSAGES, ""}, {BOOKS, ""}};
    tribus_feed_totals totals;

    CHECK(read_parts(no_books, 1, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("no member *_orderbook_<levels>.csv");
    CHECK(read_parts(two, 3, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("more than one member *_message_");
    CHECK(read_parts(levels, 2, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("differ in their levels");
    CHECK(read_parts(name, 2, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("its name must end in _message_<levels>.csv");
    CHECK(read_parts(empty, 2, 0, &totals) == TRIBUS_STOPPED && totals.messages == 0);
    CHECK(read_parts(NULL, 0, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("no member");
}

static void open_when_the_file_is_missing_or_no_zip_names_it(void)
{
    tribus_feed_totals totals;
    const char *path;

    CHECK(read_all("/nonexistent/day.zip", 0, &totals) == TRIBUS_NOT_FOUND);
    check_text("/nonexistent/day.zip: no such file");
    CHECK(read_all("", 0, &totals) == TRIBUS_BAD_ARG);
    check_text("lobster:PATH.zip");
    CHECK(read_all("/tmp", 0, &totals) == TRIBUS_BAD_DATA);
    check_text("/tmp: not a regular file");
    path = write_file("34200.5,1,7,100,1000000,1\n", 26);
    CHECK(read_all(path, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("not a zip file");
    CHECK(unlink(path) == 0);
    path = write_file("", 0);
    CHECK(read_all(path, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("not a zip file");
    CHECK(unlink(path) == 0);
}

/* Every length of a cut zip, and every byte of it damaged, gives an end or one of the
 * documented faults, with a text. */
static void next_when_a_zip_is_cut_or_damaged_anywhere_fails_cleanly(void)
{
    const part parts[] = {{MESSAGES, "1,1,7,1,5,1\n2,1,7,1,5,1\n"}, {BOOKS, ROW ROW}};
    zip_bytes z = zip_of(parts, 2, 0);
    tribus_feed_totals totals;
    size_t refused = 0;

    for (size_t cut = 0; cut < z.count; cut++) {
        const char *path = write_file(z.bytes, cut);

        CHECK(read_all(path, 0, &totals) == TRIBUS_BAD_DATA);
        check_text(path);
        CHECK(unlink(path) == 0);
    }
    for (size_t at = 0; at < z.count; at++) {
        const char *path;
        tribus_status st;

        z.bytes[at] ^= 0xffu;
        path = write_file(z.bytes, z.count);
        st = read_all(path, 0, &totals);
        CHECK(st == TRIBUS_STOPPED || st == TRIBUS_BAD_DATA || st == TRIBUS_UNSUPPORTED);
        if (st != TRIBUS_STOPPED) {
            check_text(path);
            refused++;
        }
        CHECK(unlink(path) == 0);
        z.bytes[at] ^= 0xffu;
    }
    CHECK(refused > z.count / 2);
}

static void open_when_the_zip_needs_what_we_do_not_have_says_so(void)
{
    const part parts[] = {{MESSAGES, "1,1,7,1,5,1\n"}, {BOOKS, ROW}};
    zip_bytes z = zip_of(parts, 2, 12); /* bzip2 */
    const char *path = write_file(z.bytes, z.count);
    tribus_feed_totals totals;

    CHECK(read_all(path, 0, &totals) == TRIBUS_UNSUPPORTED);
    check_text("unknown compression");
    CHECK(unlink(path) == 0);
    z = zip_of(parts, 2, 0);
    memset(z.bytes + z.count - 6, 0xff, 4); /* the directory's offset is elsewhere: zip64 */
    path = write_file(z.bytes, z.count);
    CHECK(read_all(path, 0, &totals) == TRIBUS_UNSUPPORTED);
    check_text("zip64 is not supported");
    CHECK(unlink(path) == 0);
    z = zip_of(parts, 2, 8); /* stored bytes that claim to be deflated */
    path = write_file(z.bytes, z.count);
    CHECK(read_all(path, 0, &totals) == TRIBUS_BAD_DATA);
    check_text("damaged near offset");
    CHECK(unlink(path) == 0);
}

/* ---- the sample days ---- */

static tribus_feed *day_of(const char *path)
{
    char spec[4200];
    tribus_feed *feed = NULL;
    tribus_status st;

    (void)snprintf(spec, sizeof(spec), "lobster:%s", path);
    st = tribus_feed_open(spec, NULL, &feed);
    if (st != TRIBUS_OK)
        fprintf(stderr, "%s\n", tribus_error_text());
    CHECK(st == TRIBUS_OK);
    return feed;
}

/* REFERENCES.md, Microstructure. Tick rule over visible executions (type 4), from the first
 * price change on; a trade at the last price keeps the last direction. */
static void next_over_goog_reproduces_the_reference_figures(const char *path)
{
    tribus_feed *feed = day_of(path);
    tribus_feed_event e;
    tribus_feed_totals totals;
    double value = 0, shares = 0, spread_time = 0, imbalance = 0, spread = 0;
    int64_t before_ns = 0, begin_ns = 0, last_price = 0;
    uint64_t visible = 0, judged = 0, right = 0;
    int direction = 0;

    CHECK_TEXT(tribus_feed_symbol(feed, 0), "GOOG");
    while (tribus_feed_next(feed, &e) == TRIBUS_OK) {
        if (e.kind == TRIBUS_FEED_BOOK) {
            const double bid = (double)e.book.bid[0].qty_e9,
                         ask = (double)e.book.ask[0].qty_e9;

            CHECK(e.book.bid_count == 10 && e.book.ask_count == 10);
            CHECK(e.book.bid[0].price_e9 < e.book.ask[0].price_e9);
            imbalance += (bid - ask) / (bid + ask);
            if (begin_ns == 0)
                begin_ns = e.time_ns;
            else
                spread_time += spread * (double)(e.time_ns - before_ns);
            before_ns = e.time_ns;
            spread = (double)(e.book.ask[0].price_e9 - e.book.bid[0].price_e9) * 1e-9;
        } else if (e.kind == TRIBUS_FEED_TRADE) {
            value += (double)e.trade.price_e9 * 1e-9 * (double)e.trade.qty_e9 * 1e-9;
            shares += (double)e.trade.qty_e9 * 1e-9;
            if (e.trade.hidden)
                continue;
            visible++;
            if (last_price != 0 && e.trade.price_e9 != last_price)
                direction = e.trade.price_e9 > last_price ? 1 : -1;
            last_price = e.trade.price_e9;
            judged += direction != 0;
            right += direction != 0 && direction == e.trade.aggressor;
        }
    }
    tribus_feed_stats(feed, &totals);
    printf(
        "GOOG: %llu rows, %llu trades, VWAP %.6f, spread %.6f, imbalance %.6f, tick rule "
        "%llu of %llu\n",
        (unsigned long long)totals.messages, (unsigned long long)totals.trades,
        value / shares, spread_time / (double)(before_ns - begin_ns),
        imbalance / (double)totals.books, (unsigned long long)right,
        (unsigned long long)judged);
    CHECK(totals.messages == 147916 && totals.books == 147916);
    CHECK(totals.skipped == 0 && totals.halts == 0 && totals.ignored == 0);
    CHECK(totals.trades == 7765 + 3913 && visible == 7765);
    CHECK_NEAR(value / shares, 569.439866, 5e-7);
    CHECK_NEAR(spread_time / (double)(before_ns - begin_ns), 0.273301, 5e-7);
    CHECK_NEAR(imbalance / (double)totals.books, -0.000475, 5e-7);
    CHECK(right == 6644 && judged == 7754);
    tribus_feed_close(feed);
}

static void next_over_amzn_gives_every_row(const char *path)
{
    tribus_feed *feed = day_of(path);
    tribus_feed_event e;
    tribus_feed_totals totals;

    while (tribus_feed_next(feed, &e) == TRIBUS_OK)
        if (e.kind == TRIBUS_FEED_BOOK)
            CHECK(e.book.bid_count == 5 && e.book.ask_count == 5);
    tribus_feed_stats(feed, &totals);
    CHECK(totals.messages == 155935 && totals.books == 155935 && totals.skipped == 0);
    CHECK(totals.trades == 8974 + 2445 && totals.halts == 0);
    tribus_feed_close(feed);
}

static void next_when_the_real_zip_is_cut_or_damaged_names_file_and_offset(const char *path)
{
    static unsigned char bytes[4 << 20];
    FILE *f = fopen(path, "rb");
    tribus_feed_totals totals;
    const char *copy;
    size_t count;

    CHECK(f != NULL);
    count = fread(bytes, 1, sizeof(bytes), f);
    CHECK(fclose(f) == 0 && count == 2812466);
    copy = write_file(bytes, count / 2);
    CHECK(read_all(copy, 0, &totals) == TRIBUS_BAD_DATA);
    check_text(copy);
    check_text("truncated: the zip's directory is missing at its end, offset 1406233");
    CHECK(unlink(copy) == 0);
    bytes[600000] ^= 0x55u;
    copy = write_file(bytes, count);
    CHECK(read_all(copy, 1000, &totals) == TRIBUS_BAD_DATA);
    printf("damaged: %s\n", tribus_error_text());
    check_text(copy);
    CHECK(unlink(copy) == 0);
}

int main(void)
{
    const char *goog = check_data("lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip");
    const char *amzn;

    next_turns_rows_into_trades_quotes_and_books();
    next_when_a_line_is_bad_skips_it_with_its_partner_and_counts_it();
    next_when_more_lines_are_bad_than_allowed_returns_bad_data();
    next_when_one_member_has_fewer_rows_returns_bad_data();
    open_when_members_are_not_a_lobster_day_says_which();
    open_when_the_file_is_missing_or_no_zip_names_it();
    next_when_a_zip_is_cut_or_damaged_anywhere_fails_cleanly();
    open_when_the_zip_needs_what_we_do_not_have_says_so();
    if (goog == NULL)
        SKIP("the LOBSTER sample days are not here");
    next_over_goog_reproduces_the_reference_figures(goog);
    next_when_the_real_zip_is_cut_or_damaged_names_file_and_offset(goog);
    amzn = check_data("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip");
    if (amzn == NULL)
        SKIP("the LOBSTER sample day of AMZN is not here");
    next_over_amzn_gives_every_row(amzn);
    return 0;
}
