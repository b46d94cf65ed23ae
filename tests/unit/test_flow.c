/* The order table and the level books against a plain array of orders. */
#include "check.h"

#include "base/random.h"
#include "feeds/flow.h"

#define SYMBOLS 3
#define IDS     6000

static tribus_flow_order plain[SYMBOLS][IDS];

static int64_t plain_qty(uint32_t symbol, tribus_level_side side, int64_t price)
{
    int64_t sum = 0;

    for (int i = 0; i < IDS; i++)
        if (plain[symbol][i].qty != 0 && plain[symbol][i].side == side &&
            plain[symbol][i].price == price)
            sum += plain[symbol][i].qty;
    return sum;
}

static void step(tribus_flow *flow, tribus_random *r)
{
    const uint32_t symbol = (uint32_t)tribus_random_below(r, SYMBOLS);
    const uint64_t id = tribus_random_below(r, IDS);
    tribus_flow_order *p = &plain[symbol][id];
    const int64_t qty = (int64_t)tribus_random_below(r, 5) + 1;
    const tribus_flow_order order = {id, (int64_t)tribus_random_below(r, 50) + 1, qty,
                                     symbol, (tribus_level_side)tribus_random_below(r, 2)};

    tribus_flow_begin(flow, symbol, 1, 1);
    if (tribus_random_below(r, 5) < 3) {
        if (p->qty != 0) {
            CHECK(tribus_flow_add(flow, &order) == TRIBUS_BAD_DATA);
            return;
        }
        CHECK(tribus_flow_add(flow, &order) == TRIBUS_OK);
        *p = order;
    } else if (p->qty == 0) {
        CHECK(tribus_flow_find(flow, symbol, id) == NULL);
        CHECK(tribus_flow_reduce(flow, symbol, id, qty) == TRIBUS_NOT_FOUND);
    } else if (qty > p->qty) {
        CHECK(tribus_flow_reduce(flow, symbol, id, qty) == TRIBUS_BAD_DATA);
    } else {
        CHECK(tribus_flow_reduce(flow, symbol, id, qty) == TRIBUS_OK);
        p->qty -= qty;
    }
}

static void check_all(const tribus_flow *flow)
{
    for (uint32_t s = 0; s < SYMBOLS; s++) {
        for (int i = 0; i < IDS; i++) {
            const tribus_flow_order *o = tribus_flow_find(flow, s, (uint64_t)i);

            CHECK((o == NULL) == (plain[s][i].qty == 0));
            CHECK(o == NULL ||
                  (o->qty == plain[s][i].qty && o->price == plain[s][i].price));
        }
        for (int64_t price = 1; price <= 50; price++)
            for (int side = 0; side < 2; side++)
                CHECK(tribus_level_book_get(&flow->symbols[s].book, (tribus_level_side)side,
                                            price) ==
                      plain_qty(s, (tribus_level_side)side, price));
    }
}

static void orders_and_levels_agree_with_a_plain_array_after_any_calls(void)
{
    static tribus_source_io io;
    tribus_flow flow;
    tribus_random r;
    uint32_t symbol;

    tribus_random_init(&r, check_seed());
    tribus_flow_init(&flow, &io, 1, 1);
    for (uint32_t s = 0; s < SYMBOLS; s++)
        CHECK(tribus_flow_add_symbol(&flow, "ABC", 3, &symbol) == TRIBUS_OK && symbol == s);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 20000; i++)
            step(&flow, &r);
        check_all(&flow);
        tribus_flow_clear(&flow, 1);
        memset(plain[1], 0, sizeof(plain[1]));
        check_all(&flow);
    }
    tribus_flow_fini(&flow);
    for (uint32_t s = 0; s < io.symbol_count; s++)
        free(io.symbols[s]);
    free(io.symbols);
}

int main(void)
{
    orders_and_levels_agree_with_a_plain_array_after_any_calls();
    return 0;
}
