/* test_quant_backtest.c -- the event loop against backtrader, the sweep against the loop.
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"
#include "quant/sweep.h"

typedef struct cross {
    const double *close;
    uint32_t fast, slow;
    double last;
} cross;

static double sma(const double *x, uint32_t t, uint32_t n)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < n; i++)
        sum += x[t - i];
    return sum / n;
}

/* Long one unit while the fast average is above the slow one. */
static void cross_strategy(void *ctx, tribus_quant_broker *b, uint32_t t)
{
    cross *c = ctx;
    double d;

    if (t + 1 < c->slow || t + 1 < c->fast)
        return;
    d = sma(c->close, t, c->fast) - sma(c->close, t, c->slow);
    if (b->position == 0.0 && d > 0.0 && c->last < 0.0)
        (void)tribus_quant_broker_order(b, TRIBUS_QUANT_MARKET, 1.0, 0.0);
    else if (b->position > 0.0 && d < 0.0 && c->last > 0.0)
        (void)tribus_quant_broker_order(b, TRIBUS_QUANT_MARKET, -1.0, 0.0);
    c->last = d != 0.0 ? d : c->last;
}

/* mementum/backtrader, tests/test_strategy_unoptimized.py: SMA(15) and the close. */
static void sma_cross_of_backtrader_2006(void)
{
    enum { N = 255 };
    char *text = data_text("backtrader/2006-day-001.txt");
    double o[N + 1], h[N + 1], l[N + 1], c[N + 1];
    tribus_quant_order orders[4];
    const tribus_quant_broker_cfg cfg = {
        .cash = 10000.0, .orders = orders, .order_capacity = 4};
    cross state = {c, 1, 15, 0.0};
    tribus_quant_broker b;

    CHECK(data_column(text, 1, 1, o, N + 1) == N && data_column(text, 1, 2, h, N + 1) == N);
    CHECK(data_column(text, 1, 3, l, N + 1) == N && data_column(text, 1, 4, c, N + 1) == N);
    CHECK(tribus_quant_backtest(&(tribus_quant_ohlc){o, h, l, c, N}, &cfg, cross_strategy,
                                &state, &b, NULL) == TRIBUS_OK);
    printf("backtrader: value %.2f, cash %.2f, %u buys, %u sells\n", b.value, b.cash,
           b.buys, b.sells);
    CHECK_NEAR(b.value, 10284.10, 5e-3);
    CHECK_NEAR(b.cash, 6164.16, 5e-3);
    CHECK(b.buys == 12 && b.sells == 11);
    free(text);
}

enum { ROWS = 700 };

static void random_bars(double bar[4][ROWS])
{
    float z[4 * ROWS];

    tribus_quant_normals(check_seed(), 4, 0, 4 * ROWS, z);
    for (int t = 0; t < ROWS; t++) {
        const double before = t == 0 ? 100.0 : bar[3][t - 1];

        bar[0][t] = before * exp(0.003 * (double)z[4 * t]);
        bar[3][t] = bar[0][t] * exp(0.01 * (double)z[4 * t + 1]);
        bar[1][t] = fmax(bar[0][t], bar[3][t]) * (1.0 + 0.003 * fabs((double)z[4 * t + 2]));
        bar[2][t] = fmin(bar[0][t], bar[3][t]) * (1.0 - 0.003 * fabs((double)z[4 * t + 3]));
    }
}

static int sign(double x)
{
    return (x > 0.0) - (x < 0.0);
}

static void sweep_equals_the_event_loop_for_every_pair(void)
{
    static double bar[4][ROWS];
    const tribus_quant_ohlc bars = {bar[0], bar[1], bar[2], bar[3], ROWS};
    tribus_quant_sweep_pair pairs[60];
    tribus_quant_sweep_result result[60];
    const tribus_quant_sweep_cfg sweep = {.commission_rate = 0.001, .longest = 80};
    double *scratch = malloc(tribus_quant_sweep_scratch(ROWS, 80) * sizeof(*scratch));
    uint32_t n = 0, compared = 0;

    CHECK(scratch != NULL);
    random_bars(bar);
    for (uint32_t fast = 1; fast <= 10; fast += 3)
        for (uint32_t slow = 5; slow <= 80; slow += 5)
            if (n < 60 && fast != slow)
                pairs[n++] = (tribus_quant_sweep_pair){fast, slow};
    CHECK(tribus_quant_sweep_sma(&bars, &sweep, pairs, n, scratch, result) == TRIBUS_OK);
    for (uint32_t i = 0; i < n; i++) {
        tribus_quant_order orders[2];
        const tribus_quant_broker_cfg cfg = {
            .cash = 1e6, .commission_rate = 0.001, .orders = orders, .order_capacity = 2};
        cross state = {bar[3], pairs[i].fast, pairs[i].slow, 0.0};
        float o[ROWS], c[ROWS], f[ROWS], s[ROWS];
        tribus_sweep_result kernel;
        tribus_quant_broker b;
        int same = 1;

        CHECK(tribus_quant_backtest(&bars, &cfg, cross_strategy, &state, &b, NULL) ==
              TRIBUS_OK);
        CHECK_NEAR(result[i].profit, b.value - 1e6, 1e-7);
        CHECK(result[i].buys == b.buys && result[i].sells == b.sells);
        CHECK(result[i].max_drawdown >= 0.0);
        for (int t = 0; t < ROWS; t++) {
            o[t] = (float)bar[0][t];
            c[t] = (float)bar[3][t];
            f[t] = (float)scratch[(size_t)ROWS * (pairs[i].fast - 1) + (size_t)t];
            s[t] = (float)scratch[(size_t)ROWS * (pairs[i].slow - 1) + (size_t)t];
            same &= (f[t] > s[t]) - (f[t] < s[t]) ==
                    sign(scratch[(size_t)ROWS * (pairs[i].fast - 1) + (size_t)t] -
                         scratch[(size_t)ROWS * (pairs[i].slow - 1) + (size_t)t]);
        }
        kernel = tribus_sweep_pair(
            o, c, f, s, (pairs[i].fast > pairs[i].slow ? pairs[i].fast : pairs[i].slow) - 1,
            ROWS, 0.001f);
        if (!same)
            continue; /* averages that round to the same float cross a row later, or not */
        compared++;
        CHECK(kernel.buys == b.buys && kernel.sells == b.sells);
        CHECK_NEAR(kernel.profit, result[i].profit, 1e-5 * 130.0 * (b.buys + b.sells + 1));
    }
    CHECK(compared > n - 10);
    pairs[0].fast = 0;
    CHECK(tribus_quant_sweep_sma(&bars, &sweep, pairs, n, scratch, result) ==
          TRIBUS_BAD_ARG);
    free(scratch);
}

typedef struct script {
    tribus_quant_order_kind kind;
    double qty, price;
    uint32_t at, cancel_at, id;
} script;

static void scripted(void *ctx, tribus_quant_broker *b, uint32_t t)
{
    script *s = ctx;

    if (t == s->at)
        s->id = tribus_quant_broker_order(b, s->kind, s->qty, s->price);
    if (t == s->cancel_at && t > s->at)
        CHECK(tribus_quant_broker_cancel(b, s->id) == 1);
}

static tribus_quant_broker run_script(script s, double cash, double margin)
{
    static const double o[4] = {100, 101, 98, 103}, h[4] = {102, 104, 99, 106};
    static const double l[4] = {99, 100, 95, 102}, c[4] = {101, 103, 97, 105};
    tribus_quant_order orders[1];
    tribus_quant_fill fills[2];
    const tribus_quant_broker_cfg cfg = {.cash = cash,
                                         .orders = orders,
                                         .order_capacity = 1,
                                         .fills = fills,
                                         .fill_capacity = 2,
                                         .slippage_rate = 0.01,
                                         .commission_unit = 0.5,
                                         .multiplier = 2.0,
                                         .margin = margin};
    tribus_quant_broker b;

    CHECK(tribus_quant_backtest(&(tribus_quant_ohlc){o, h, l, c, 4}, &cfg, scripted, &s, &b,
                                NULL) == TRIBUS_OK);
    return b;
}

static void orders_fill_where_the_bar_allows(void)
{
    tribus_quant_broker b;

    b = run_script((script){TRIBUS_QUANT_MARKET, 1, 0, 0, 0, 0}, 1000, 0);
    CHECK_NEAR(b.cash, 1000 - 101 * 1.01 * 2 - 0.5, 1e-12);
    CHECK_NEAR(b.value, b.cash + 210, 1e-12);
    b = run_script((script){TRIBUS_QUANT_LIMIT, 1, 96, 0, 0, 0}, 1000, 0);
    CHECK_NEAR(b.cash, 1000 - 96 * 2 - 0.5, 1e-12); /* inside bar 2, no slippage */
    b = run_script((script){TRIBUS_QUANT_LIMIT, 1, 99, 0, 0, 0}, 1000, 0);
    CHECK_NEAR(b.cash, 1000 - 98 * 2 - 0.5, 1e-12); /* bar 2 opens below the limit */
    b = run_script((script){TRIBUS_QUANT_LIMIT, 1, 90, 0, 0, 0}, 1000, 0);
    CHECK(b.fills == 0 && b.cash == 1000);
    b = run_script((script){TRIBUS_QUANT_STOP, 1, 104, 0, 0, 0}, 1000, 0);
    CHECK_NEAR(b.cash, 1000 - 104 * 1.01 * 2 - 0.5, 1e-12);
    b = run_script((script){TRIBUS_QUANT_STOP, -1, 99, 0, 0, 0}, 1000, 0);
    CHECK_NEAR(b.cash, 1000 + 98 * 0.99 * 2 - 0.5, 1e-12); /* gapped through */
    b = run_script((script){TRIBUS_QUANT_LIMIT, 1, 96, 0, 1, 0}, 1000, 0);
    CHECK(b.fills == 0);
    b = run_script((script){TRIBUS_QUANT_MARKET, 1, 0, 0, 0, 0}, 200, 0);
    CHECK(b.rejected == 1 && b.cash == 200);
    b = run_script((script){TRIBUS_QUANT_MARKET, 3, 0, 0, 0, 0}, 200, 50);
    CHECK_NEAR(b.value, 200 - 1.5 + 3 * 2 * (105 - 101 * 1.01), 1e-12); /* a future */
    b = run_script((script){TRIBUS_QUANT_MARKET, 5, 0, 0, 0, 0}, 200, 50);
    CHECK(b.rejected == 1);
}

static void book_price_walks_the_levels(void)
{
    tribus_quant_level levels[4];
    tribus_quant_side_book asks;

    tribus_quant_side_book_init(&asks, levels, 4, 0);
    CHECK(isnan(tribus_quant_book_price(&asks, 1)));
    CHECK(tribus_quant_side_book_add(&asks, 100, 2) == TRIBUS_OK);
    CHECK(tribus_quant_side_book_add(&asks, 102, 2) == TRIBUS_OK);
    CHECK(tribus_quant_book_price(&asks, 1) == 100);
    CHECK(tribus_quant_book_price(&asks, 4) == 101);
    CHECK_NEAR(tribus_quant_book_price(&asks, 8), 101.5, 1e-15);
}

int main(void)
{
    orders_fill_where_the_bar_allows();
    book_price_walks_the_levels();
    sweep_equals_the_event_loop_for_every_pair();
    sma_cross_of_backtrader_2006();
    return 0;
}
