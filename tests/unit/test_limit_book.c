#include "check.h"

#include "base/random.h"
#include "feeds/limit_book.h"

static tribus_limit_book *book_of(uint32_t orders)
{
    tribus_limit_book *book = NULL;

    CHECK(tribus_limit_book_create(orders, &book) == TRIBUS_OK);
    return book;
}

static void rest(tribus_limit_book *book, tribus_limit_side side, int64_t price,
                 int64_t qty)
{
    CHECK(tribus_limit_book_rest(book, side, price, qty) == TRIBUS_OK);
}

static void take_goes_by_price_then_by_age(void)
{
    tribus_limit_book *book = book_of(8);
    tribus_limit_fill fills[8];
    uint32_t count = 8;

    rest(book, TRIBUS_LIMIT_ASK, 102, 5);
    rest(book, TRIBUS_LIMIT_ASK, 101, 1); /* oldest at the best price */
    rest(book, TRIBUS_LIMIT_ASK, 101, 4);
    rest(book, TRIBUS_LIMIT_ASK, 103, 9);
    CHECK(tribus_limit_book_take(book, TRIBUS_LIMIT_ASK, 102, 7, fills, &count) == 7);
    CHECK(count == 3);
    CHECK(fills[0].price == 101 && fills[0].qty == 1);
    CHECK(fills[1].price == 101 && fills[1].qty == 4);
    CHECK(fills[2].price == 102 && fills[2].qty == 2);
    CHECK(tribus_limit_book_level(book, TRIBUS_LIMIT_ASK, 0)->price == 102);
    CHECK(tribus_limit_book_level(book, TRIBUS_LIMIT_ASK, 0)->qty == 3);
    CHECK(tribus_limit_book_side_qty(book, TRIBUS_LIMIT_ASK) == 12);
    tribus_limit_book_destroy(book);
}

static void take_stops_at_its_limit_and_at_its_room(void)
{
    tribus_limit_book *book = book_of(8);
    tribus_limit_fill fills[8];
    uint32_t count = 8;

    rest(book, TRIBUS_LIMIT_BID, 100, 2);
    rest(book, TRIBUS_LIMIT_BID, 99, 2);
    rest(book, TRIBUS_LIMIT_BID, 98, 2);
    CHECK(tribus_limit_book_take(book, TRIBUS_LIMIT_BID, 101, 5, fills, &count) == 0);
    CHECK(count == 0);
    count = 1;
    CHECK(tribus_limit_book_take(book, TRIBUS_LIMIT_BID, 99, 9, fills, &count) == 2);
    CHECK(count == 1 && fills[0].price == 100);
    count = 8;
    CHECK(tribus_limit_book_take(book, TRIBUS_LIMIT_BID, 99, 9, fills, &count) == 2);
    CHECK(tribus_limit_book_level(book, TRIBUS_LIMIT_BID, 0)->price == 98);
    tribus_limit_book_destroy(book);
}

static void cancel_of_a_part_keeps_the_place_in_the_queue(void)
{
    tribus_limit_book *book = book_of(8);
    tribus_limit_fill fills[8];
    uint32_t count = 8;

    rest(book, TRIBUS_LIMIT_BID, 100, 6);
    rest(book, TRIBUS_LIMIT_BID, 100, 5);
    CHECK(tribus_limit_book_cancel(book, 0, 4) == 4);
    CHECK(tribus_limit_book_take(book, TRIBUS_LIMIT_BID, 0, 3, fills, &count) == 3);
    CHECK(count == 2 && fills[0].qty == 2 && fills[1].qty == 1);
    CHECK(tribus_limit_book_cancel(book, 0, 99) == 4); /* no more than there is */
    CHECK(tribus_limit_book_orders(book) == 0);
    CHECK(tribus_limit_book_level(book, TRIBUS_LIMIT_BID, 0) == NULL);
    tribus_limit_book_destroy(book);
}

static void rest_when_every_order_is_used_returns_full_and_room_comes_back(void)
{
    tribus_limit_book *book = book_of(2);

    rest(book, TRIBUS_LIMIT_BID, 1, 1);
    rest(book, TRIBUS_LIMIT_ASK, 9, 1);
    CHECK(tribus_limit_book_rest(book, TRIBUS_LIMIT_BID, 2, 1) == TRIBUS_FULL);
    CHECK(tribus_limit_book_cancel(book, 0, 1) == 1);
    rest(book, TRIBUS_LIMIT_BID, 2, 1);
    tribus_limit_book_destroy(book);
    CHECK(tribus_limit_book_create(0, &book) == TRIBUS_BAD_ARG);
    tribus_limit_book_destroy(NULL);
}

/* Levels sorted, never empty, and their sum is the side's quantity. */
static void check_side(const tribus_limit_book *book, tribus_limit_side side)
{
    int64_t sum = 0, before = 0;

    for (uint32_t i = 0;; i++) {
        const tribus_limit_level *level = tribus_limit_book_level(book, side, i);

        if (level == NULL)
            break;
        CHECK(level->qty > 0);
        if (i > 0)
            CHECK(side == TRIBUS_LIMIT_BID ? level->price < before : level->price > before);
        before = level->price;
        sum += level->qty;
    }
    CHECK(sum == tribus_limit_book_side_qty(book, side));
}

static void any_order_of_calls_keeps_the_sums(void)
{
    tribus_limit_book *book = book_of(200);
    tribus_random r;
    int64_t in = 0, out = 0;

    tribus_random_init(&r, check_seed());
    for (int i = 0; i < 50000; i++) {
        const tribus_limit_side side = (tribus_limit_side)tribus_random_below(&r, 2);
        const int64_t price = (int64_t)tribus_random_below(&r, 40) + 1;
        const int64_t qty = (int64_t)tribus_random_below(&r, 9) + 1;
        const uint32_t orders = tribus_limit_book_orders(book);
        tribus_limit_fill fills[16];
        uint32_t count = 16;

        switch (tribus_random_below(&r, 4)) {
        case 0:
            out += tribus_limit_book_take(book, side, price, qty, fills, &count);
            break;
        case 1:
            if (orders > 0)
                out += tribus_limit_book_cancel(
                    book, (uint32_t)tribus_random_below(&r, orders), qty);
            break;
        default:
            if (tribus_limit_book_rest(book, side, price, qty) == TRIBUS_OK)
                in += qty;
            else
                CHECK(orders == 200);
        }
        CHECK(in - out == tribus_limit_book_side_qty(book, TRIBUS_LIMIT_BID) +
                              tribus_limit_book_side_qty(book, TRIBUS_LIMIT_ASK));
        CHECK(tribus_limit_book_orders(book) ==
              tribus_limit_book_side_orders(book, TRIBUS_LIMIT_BID) +
                  tribus_limit_book_side_orders(book, TRIBUS_LIMIT_ASK));
        check_side(book, side);
    }
    tribus_limit_book_destroy(book);
}

int main(void)
{
    take_goes_by_price_then_by_age();
    take_stops_at_its_limit_and_at_its_room();
    cancel_of_a_part_keeps_the_place_in_the_queue();
    rest_when_every_order_is_used_returns_full_and_room_comes_back();
    any_order_of_calls_keeps_the_sums();
    return 0;
}
