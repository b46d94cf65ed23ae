#include "check.h"

#include "feeds/message.h"

/* Every event of the simulator becomes a message that validates and says what it said. */
static void every_event_of_a_feed_becomes_a_valid_message(void)
{
    tribus_feed *feed;
    tribus_feed_message *messages;
    uint64_t kinds[3] = {0};
    int64_t volume_e9[8] = {0};

    CHECK(tribus_feed_open("sim:assets=3,seed=5", NULL, &feed) == TRIBUS_OK);
    CHECK(tribus_feed_message_open(feed, "simulator-with-a-long-name", &messages) ==
          TRIBUS_OK);
    for (int i = 0; i < 20000; i++) {
        tribus_feed_event e;
        tribus_msg_any m;
        const char *symbol;

        CHECK(tribus_feed_next(feed, &e) == TRIBUS_OK);
        CHECK(tribus_feed_message_make(messages, &e, &m) == TRIBUS_OK);
        CHECK(tribus_wire_validate(&m, sizeof(m)) == TRIBUS_OK);
        symbol = tribus_feed_symbol(feed, e.symbol);
        switch (e.kind) {
        case TRIBUS_FEED_BOOK:
            kinds[0]++;
            CHECK_TEXT(m.market_data.symbol, symbol);
            CHECK(m.market_data.bid_count == e.book.bid_count);
            CHECK(memcmp(m.market_data.asks, e.book.ask,
                         e.book.ask_count * sizeof(e.book.ask[0])) == 0);
            CHECK(m.market_data.event_wall_ns == e.time_ns);
            CHECK_TEXT(m.market_data.venue, "simulator-with-");
            break;
        case TRIBUS_FEED_QUOTE:
            kinds[1]++;
            CHECK(m.price_update.bid_e9 == e.quote.bid.price_e9);
            CHECK(m.price_update.ask_qty_e9 == e.quote.ask.qty_e9);
            CHECK(m.price_update.volume_e9 == volume_e9[e.symbol]);
            break;
        default:
            kinds[2]++;
            volume_e9[e.symbol] += e.trade.qty_e9;
            CHECK(m.trade_execution.price_e9 == e.trade.price_e9);
            CHECK(m.trade_execution.trade == kinds[2]);
            CHECK(m.trade_execution.side == (uint32_t)(e.trade.aggressor == TRIBUS_FEED_BUY
                                                           ? TRIBUS_SIDE_BUY
                                                           : TRIBUS_SIDE_SELL));
        }
    }
    CHECK(kinds[0] > 100 && kinds[1] > 100 && kinds[2] > 100);
    tribus_feed_message_close(messages);
    tribus_feed_close(feed);
}

static void make_when_kind_has_no_message_returns_bad_arg(void)
{
    tribus_feed *feed;
    tribus_feed_message *messages;
    tribus_feed_event e = {.kind = 8};
    tribus_msg_any m;

    CHECK(tribus_feed_open("sim", NULL, &feed) == TRIBUS_OK);
    CHECK(tribus_feed_message_open(feed, "sim", &messages) == TRIBUS_OK);
    CHECK(tribus_feed_message_make(messages, &e, &m) == TRIBUS_BAD_ARG);
    tribus_feed_message_close(messages);
    tribus_feed_close(feed);
}

int main(void)
{
    every_event_of_a_feed_becomes_a_valid_message();
    make_when_kind_has_no_message_returns_bad_arg();
    tribus_feed_message_close(NULL);
    return 0;
}
