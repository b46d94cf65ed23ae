/* test_quant_flow.c -- microstructure against PINstimation, highfrequency and LOBSTER.
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"
#include "quant/flow.h"

static double *column(const char *text, uint32_t skip, uint32_t at, uint32_t capacity,
                      uint32_t *count)
{
    double *x = malloc(capacity * sizeof(*x));

    CHECK(x != NULL);
    *count = data_column(text, skip, at, x, capacity);
    return x;
}

static int64_t *times(const double *seconds, uint32_t n)
{
    int64_t *t = malloc(n * sizeof(*t));

    CHECK(t != NULL);
    for (uint32_t i = 0; i < n;
         i++) /* microseconds are what a double of 1.5e9 s can hold */
        t[i] = (int64_t)llround(seconds[i] * 1e6) * 1000;
    return t;
}

/* PINstimation 0.1, vpin(hfdata, timebarsize = 300, buckets = 50, samplength = 50). */
static void vpin_of_pinstimation_hfdata(void)
{
    enum { N = 100000, BARS = 40000, WINDOW = 50 };
    char *text = data_text("vpin_pinstimation/hfdata.csv.gz");
    uint32_t n, bars, made, days = 0, below = 0;
    double *at = column(text, 1, 0, N + 1, &n), *price = column(text, 1, 1, N + 1, &n);
    double *volume = column(text, 1, 2, N + 1, &n), *dp = malloc(BARS * sizeof(double));
    double *bv = malloc(BARS * sizeof(double)), *both = malloc(2 * BARS * sizeof(double));
    double ring[WINDOW], *out = malloc(4000 * sizeof(double)), total = 0.0, sum = 0.0;
    int64_t *t = times(at, n);
    tribus_quant_vpin v;

    CHECK(n == N && dp != NULL && bv != NULL && both != NULL && out != NULL);
    for (uint32_t i = 0; i < n; i++) {
        total += volume[i];
        days += i == 0 || t[i] / 86400000000000 != t[i - 1] / 86400000000000;
    }
    CHECK(days == 69);
    CHECK_NEAR(total / days / 50, 4058.956, 5e-4);
    CHECK(tribus_quant_bars((tribus_quant_trades){t, price, volume, n}, 300000000000, dp,
                            bv, BARS, &bars) == TRIBUS_OK);
    CHECK(bars == 19649);
    for (uint32_t i = 0; i < bars; i++) {
        both[2 * i] = dp[i];
        both[2 * i + 1] = bv[i];
    }
    CHECK(tribus_quant_vpin_init(&v, total / days / 50, WINDOW, ring) == TRIBUS_OK);
    CHECK(tribus_quant_vpin_bulk(&v, &(tribus_quant_matrix){both, bars, 2}, out, 4000,
                                 &made) == TRIBUS_OK);
    CHECK(made == 3450 - 49);
    for (uint32_t i = 0; i < made; i++) {
        CHECK(out[i] >= 0.0 && out[i] <= 1.0);
        sum += out[i];
    }
    CHECK_NEAR(sum / made, 0.269482, 6e-7);
    for (uint32_t i = 0; i < made; i++)
        below += out[i] <= out[made / 2];
    CHECK(tribus_quant_vpin_level(out, made, out[made / 2]) == (double)below / made);
    tribus_quant_sort(out, made);
    CHECK_NEAR(out[0], 0.128585, 6e-7);
    CHECK_NEAR(tribus_quant_quantile_sorted(out, made, 0.25, TRIBUS_QUANT_TYPE7), 0.207797,
               6e-7);
    CHECK_NEAR(tribus_quant_quantile_sorted(out, made, 0.5, TRIBUS_QUANT_TYPE7), 0.251963,
               6e-7);
    CHECK_NEAR(tribus_quant_quantile_sorted(out, made, 0.75, TRIBUS_QUANT_TYPE7), 0.318674,
               6e-7);
    CHECK_NEAR(out[made - 1], 0.642693, 6e-7);
    CHECK(tribus_quant_bars((tribus_quant_trades){t, price, volume, n}, 300000000000, dp,
                            bv, 100, &bars) == TRIBUS_FULL &&
          bars == 19649);
    free(at);
    free(price);
    free(volume);
    free(dp);
    free(bv);
    free(both);
    free(out);
    free(t);
    free(text);
}

static void vpin_when_a_trade_spans_buckets_is_split_exactly(void)
{
    double ring[4], other[4];
    tribus_quant_vpin v, w;

    CHECK(tribus_quant_vpin_init(&v, 10.0, 4, ring) == TRIBUS_OK);
    CHECK(isnan(tribus_quant_vpin_value(&v)));
    CHECK(tribus_quant_vpin_add(&v, 7.0, 0.0) == 0);
    CHECK(tribus_quant_vpin_add(&v, 0.0, 13.0) == 2); /* 7 : 3, then all sold */
    CHECK(ring[0] == 4.0 && ring[1] == 10.0 && v.filled == 0.0);
    CHECK(tribus_quant_vpin_add(&v, 10.0, 10.0) == 2);
    CHECK_NEAR(tribus_quant_vpin_value(&v), 14.0 / 40.0, 1e-15);
    /* A trade of a thousand buckets leaves the same as a thousand trades of one. */
    CHECK(tribus_quant_vpin_init(&w, 10.0, 4, other) == TRIBUS_OK);
    CHECK(tribus_quant_vpin_add(&v, 7500.0, 2505.0) == 1000);
    CHECK_NEAR(tribus_quant_vpin_value(&v), (7500.0 - 2505.0) / 10005.0, 1e-12);
    CHECK_NEAR(v.filled, 5.0, 1e-9);
    CHECK(v.closed == 1004);
    CHECK(tribus_quant_vpin_add(&w, NAN, 1.0) == 0 &&
          tribus_quant_vpin_add(&w, -1, 2) == 0);
    CHECK(tribus_quant_vpin_add(&w, 0.0, 0.0) == 0 && w.filled == 0.0);
    CHECK(tribus_quant_vpin_init(&w, 0.0, 4, other) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_vpin_init(&w, 1.0, 0, other) == TRIBUS_BAD_ARG);
}

static void vpin_stays_in_0_1_and_close_to_its_definition(void)
{
    enum { N = 300000, WINDOW = 50 };
    const uint64_t seed = check_seed();
    const double bucket = 77.7;
    double ring[WINDOW], *imbalance = calloc(N, sizeof(double)), buy = 0, filled = 0;
    float *z = malloc(N * sizeof(*z));
    uint32_t closed = 0;
    tribus_quant_vpin v;

    CHECK(imbalance != NULL && z != NULL);
    tribus_quant_normals(seed, 1, 0, N, z);
    CHECK(tribus_quant_vpin_init(&v, bucket, WINDOW, ring) == TRIBUS_OK);
    for (uint32_t i = 0; i < N; i++) {
        const double size = fabs((double)z[i]) * 20.0;
        double left = size;

        (void)tribus_quant_vpin_add(&v, z[i] > 0 ? size : 0.0, z[i] > 0 ? 0.0 : size);
        while (left > 0.0) {
            const double part = fmin(left, bucket - filled);

            filled += part;
            buy += z[i] > 0 ? part : 0.0;
            left -= part;
            if (filled >= bucket * (1 - 1e-12)) {
                imbalance[closed++] = fabs(2.0 * buy - bucket);
                buy = filled = 0.0;
            }
        }
        if (i % 1000 == 0 && closed >= WINDOW) {
            double sum = 0.0;

            for (uint32_t k = closed - WINDOW; k < closed; k++)
                sum += imbalance[k];
            CHECK_NEAR(tribus_quant_vpin_value(&v), sum / (WINDOW * bucket), 1e-9);
            CHECK(tribus_quant_vpin_value(&v) >= 0.0 && tribus_quant_vpin_value(&v) <= 1.0);
        }
    }
    CHECK(v.closed == closed);
    free(imbalance);
    free(z);
}

/* R package highfrequency, sampleTData and sampleQData. */
static void lee_ready_of_highfrequency_taq_sample(void)
{
    enum { N = 50000 };
    char *tt = data_text("taq_highfrequency/sampleTData.csv.gz");
    char *qq = data_text("taq_highfrequency/sampleQData.csv.gz");
    uint32_t n, m;
    double *at = column(tt, 1, 0, N, &n), *price = column(tt, 1, 3, N, &n);
    double *qt = column(qq, 1, 0, N, &m), *bid = column(qq, 1, 2, N, &m);
    double *ask = column(qq, 1, 3, N, &m);
    int64_t *t = times(at, n), *q = times(qt, m);
    uint32_t *index = malloc(n * sizeof(*index));
    double *b = malloc(n * sizeof(*b)), *a = malloc(n * sizeof(*a));
    int8_t *side = malloc(n);
    int sum = 0;

    CHECK(n == 7168 && m == 46564 && index != NULL && b != NULL && a != NULL &&
          side != NULL);
    CHECK(tribus_quant_quote_match((tribus_quant_times){t, n}, (tribus_quant_times){q, m},
                                   2000000000, 86400000000000, index) == TRIBUS_OK);
    for (uint32_t i = 0; i < n; i++) {
        b[i] = index[i] == UINT32_MAX ? NAN : bid[index[i]];
        a[i] = index[i] == UINT32_MAX ? NAN : ask[index[i]];
    }
    tribus_quant_classify_lee_ready(price, b, a, n, side);
    for (uint32_t i = 0; i < n; i++)
        sum += side[i];
    printf("Lee-Ready, sum of directions: %d\n", sum);
    CHECK(sum == -1572);
    free(at);
    free(price);
    free(qt);
    free(bid);
    free(ask);
    free(t);
    free(q);
    free(index);
    free(b);
    free(a);
    free(side);
    free(tt);
    free(qq);
}

static char *member(const char *zip, const char *pattern)
{
    const char *path = check_data(zip);
    char command[4400], *text = malloc(48u << 20);
    size_t used;
    FILE *pipe;

    if (path == NULL || text == NULL)
        SKIP(zip);
    (void)snprintf(command, sizeof(command), "unzip -p '%s' '%s'", path, pattern);
    pipe = popen(command, "r");
    CHECK(pipe != NULL);
    used = fread(text, 1, (48u << 20) - 1, pipe);
    text[used] = '\0';
    if (pclose(pipe) != 0)
        SKIP("unzip is not installed");
    return text;
}

/* VWAP, time-weighted spread, level-1 imbalance and tick rule of the LOBSTER sample. */
static void lobster_goog_statistics(void)
{
    enum { N = 150000 };
    static const char zip[] = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip";
    char *messages = member(zip, "*message*"), *books = member(zip, "*orderbook*");
    uint32_t n, trades = 0, right = 0, compared = 0;
    double *at = column(messages, 0, 0, N, &n), *type = column(messages, 0, 1, N, &n);
    double *size = column(messages, 0, 3, N, &n), *price = column(messages, 0, 4, N, &n);
    double *side = column(messages, 0, 5, N, &n), *ask = column(books, 0, 0, N, &n);
    double *as = column(books, 0, 1, N, &n), *bid = column(books, 0, 2, N, &n);
    double *bs = column(books, 0, 3, N, &n), money = 0, volume = 0, imbalance = 0;
    double *tp = malloc(N * sizeof(*tp));
    int8_t *tick = malloc(N), *truth = malloc(N);
    int64_t *t = malloc(N * sizeof(*t));

    CHECK(n == 147916 && tp != NULL && tick != NULL && truth != NULL && t != NULL);
    for (uint32_t i = 0; i < n; i++) {
        t[i] = (int64_t)llround(at[i] * 1e9);
        imbalance += tribus_quant_book_imbalance(&bs[i], &as[i], 1) / n;
        ask[i] = (ask[i] - bid[i]) / 1e4;
        if (type[i] != 4 && type[i] != 5)
            continue;
        money += price[i] / 1e4 * size[i];
        volume += size[i];
        if (type[i] == 4) { /* hidden executions carry no side */
            tp[trades] = price[i];
            truth[trades++] = side[i] > 0 ? -1 : 1; /* of the resting order */
        }
    }
    tribus_quant_classify_tick(tp, trades, tick);
    for (uint32_t i = 0; i < trades; i++) {
        if (tp[i] == tp[0] && compared == 0)
            continue; /* the tick rule knows nothing before the first change of price */
        compared++;
        right += tick[i] == truth[i];
    }
    printf("LOBSTER GOOG: VWAP %.6f, spread %.6f, imbalance %.6f, tick rule %u of %u\n",
           money / volume, tribus_quant_time_weighted(t, ask, n), imbalance, right,
           compared);
    CHECK_NEAR(money / volume, 569.439866, 5e-7);
    CHECK_NEAR(tribus_quant_time_weighted(t, ask, n), 0.273301, 5e-7);
    CHECK_NEAR(imbalance, -0.000475, 5e-7);
    CHECK(compared == 7754 && right == 6644);
    free(at);
    free(type);
    free(size);
    free(price);
    free(side);
    free(ask);
    free(as);
    free(bid);
    free(bs);
    free(tp);
    free(tick);
    free(truth);
    free(t);
    free(messages);
    free(books);
}

/* Replay the messages on a book that is set right every 200 rows. Between, a cold replay
 * cannot know what lies beyond level 10, nor what happens there: only ten levels are kept and
 * only the best one is scored. */
static void book_rebuilt_from_lobster_messages_has_the_best_prices(void)
{
    enum { N = 20000, DEPTH = 10, AGAIN = 200 };
    static const char zip[] = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip";
    char *messages = member(zip, "*message*"), *books = member(zip, "*orderbook*");
    uint32_t n, scored = 0, right = 0, sizes = 0;
    double *type = column(messages, 0, 1, N, &n), *size = column(messages, 0, 3, N, &n);
    double *price = column(messages, 0, 4, N, &n), *side = column(messages, 0, 5, N, &n);
    double *level[4 * DEPTH];
    tribus_quant_level levels[2 * DEPTH];
    tribus_quant_side_book book[2];

    for (uint32_t k = 0; k < 4 * DEPTH; k++) /* ask price, ask size, bid price, bid size */
        level[k] = column(books, 0, k, N, &n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t mine = side[i] < 0;
        const int64_t change = (int64_t)(type[i] == 1 ? size[i] : -size[i]);

        if (i % AGAIN == 0) {
            tribus_quant_side_book_init(&book[0], levels, DEPTH, 1);
            tribus_quant_side_book_init(&book[1], levels + DEPTH, DEPTH, 0);
            for (uint32_t k = 0; k < 4 * DEPTH; k += 2)
                CHECK(tribus_quant_side_book_add(&book[k % 4 == 0], (int64_t)level[k][i],
                                                 (int64_t)level[k + 1][i]) == TRIBUS_OK);
            continue;
        }
        if (type[i] == 4) /* what traded was the best */
            (void)tribus_quant_side_book_trim(&book[mine], (int64_t)price[i]);
        if (type[i] == 1) /* orders that would have traded with it are gone */
            (void)tribus_quant_side_book_trim(&book[1 - mine],
                                              (int64_t)price[i] + (mine ? -1 : 1));
        if (type[i] >= 1 && type[i] <= 4) /* 5 is hidden: not in the book */
            (void)(tribus_quant_side_book_add(&book[mine], (int64_t)price[i], change) ==
                   TRIBUS_OK);
        scored++;
        right += (double)levels[0].price == level[2][i] &&
                 (double)levels[DEPTH].price == level[0][i];
        sizes += (double)levels[0].size == level[3][i] &&
                 (double)levels[DEPTH].size == level[1][i];
    }
    printf(
        "LOBSTER replay: best prices right in %.3f %%, their sizes in %.3f %% of %u rows\n",
        100.0 * right / scored, 100.0 * sizes / scored, scored);
    CHECK(right > 0.99 * scored && sizes > 0.99 * scored);
    for (uint32_t k = 0; k < 4 * DEPTH; k++)
        free(level[k]);
    free(type);
    free(size);
    free(price);
    free(side);
    free(messages);
    free(books);
}

static void rules_at_the_mid_without_a_quote_and_with_nan_are_defined(void)
{
    const double p[6] = {10, 10, 11, 11, NAN, 10.5}, bid[6] = {9, 9, 10, NAN, 9, 10};
    const double ask[6] = {11, 10.5, 13, NAN, 11, 11};
    int8_t side[6];

    tribus_quant_classify_tick(p, 6, side);
    CHECK(memcmp(side, ((const int8_t[6]){1, 1, 1, 1, 1, -1}), 6) == 0);
    tribus_quant_classify_quote(p, bid, ask, 6, side);
    CHECK(memcmp(side, ((const int8_t[6]){0, 1, -1, 0, 0, 0}), 6) == 0);
    tribus_quant_classify_lee_ready(p, bid, ask, 6, side);
    CHECK(memcmp(side, ((const int8_t[6]){1, 1, -1, 1, 1, -1}), 6) == 0);
    CHECK(tribus_quant_classify_bulk(1.0, 0.0) == 0.5);
    CHECK(tribus_quant_classify_bulk(NAN, 1.0) == 0.5);
    CHECK_NEAR(tribus_quant_classify_bulk(1.0, 1.0), 0.8413447460685429, 1e-15);
}

static void impact_measures_have_the_values_of_a_hand_calculation(void)
{
    const tribus_quant_quote a = {100, 5, 101, 7}, b = {100, 9, 101, 4},
                             c = {99, 2, 100, 1};
    const double sv[4] = {-2, -1, 1, 2}, dp[4] = {-4.1, -1.9, 2.1, 3.9};
    const double bounce[5] = {10, 11, 10, 11, 10}, r[3] = {0.01, -0.02, 0.5};
    const double money[3] = {100, 400, 0}, sizes[2] = {0, 0};
    const int64_t t[3] = {0, 10, 40};
    const double x[3] = {1, 2, 1000};

    CHECK(tribus_quant_ofi(&a, &b) == 4 + 3);
    CHECK(tribus_quant_ofi(&a, &c) == -5 - 1);
    CHECK_NEAR(tribus_quant_micro_price(&a), (100 * 7 + 101 * 5) / 12.0, 1e-12);
    CHECK(tribus_quant_spread_quoted(&a) == 1.0);
    CHECK_NEAR(tribus_quant_spread_effective(100.7, 100.5, 1), 0.4, 1e-12);
    CHECK_NEAR(tribus_quant_spread_realised(100.7, 100.6, -1), -0.2, 1e-12);
    CHECK_NEAR(tribus_quant_kyle_lambda(dp, sv, 4), 2.0, 1e-12);
    CHECK(isnan(tribus_quant_kyle_lambda(dp, sizes, 2)));
    CHECK_NEAR(tribus_quant_roll_spread(bounce, 5), 2.0, 1e-12);
    CHECK(isnan(tribus_quant_roll_spread(bounce, 2)));
    CHECK_NEAR(tribus_quant_amihud(r, money, 3), (0.01 / 100 + 0.02 / 400) / 2, 1e-18);
    CHECK(tribus_quant_book_imbalance(sizes, sizes, 2) == 0.0);
    CHECK_NEAR(tribus_quant_time_weighted(t, x, 3), 1.75, 1e-15);
    CHECK(isnan(tribus_quant_time_weighted(t, x, 1)));
}

static void kernels_agree_with_double_within_their_tolerance(void)
{
    float before[4] = {101, 7, 100, 5}, after[4] = {101, 4, 100, 9}, buy[100], sell[100];
    double ring[100], worst = 0.0;
    tribus_quant_vpin v;

    CHECK(tribus_flow_ofi(before, after) == 7.0f);
    CHECK_NEAR(tribus_flow_micro_offset(before), (100 * 7 + 101 * 5) / 12.0 - 100.5, 1e-6);
    for (double x = -8.0; x <= 8.0; x += 0.001)
        worst = fmax(worst, fabs((double)tribus_flow_buy_share((float)x, 1.0f) -
                                 tribus_quant_classify_bulk((double)(float)x, 1.0)));
    printf("largest error of tribus_flow_buy_share: %.3g\n", worst);
    CHECK(worst < 3e-7);
    CHECK(tribus_flow_buy_share(1e30f, 1e-30f) == 1.0f);
    CHECK(tribus_flow_buy_share(NAN, 1.0f) == 0.5f);
    tribus_quant_normals(4, 4, 0, 100, buy);
    CHECK(tribus_quant_vpin_init(&v, 10.0, 100, ring) == TRIBUS_OK);
    for (int i = 0; i < 100; i++) {
        buy[i] = 5.0f + buy[i];
        sell[i] = 10.0f - buy[i];
        CHECK(tribus_quant_vpin_add(&v, (double)buy[i], 10.0 - (double)buy[i]) == 1);
    }
    CHECK_NEAR(tribus_flow_vpin(buy, sell, 100, 10.0f), tribus_quant_vpin_value(&v), 1e-6);
    CHECK(tribus_flow_vpin(buy, sell, 0, 10.0f) == 0.0f);
    CHECK(tribus_flow_imbalance(before, 0) == 0.0f);
}

static void book_keeps_its_levels_sorted_and_says_what_it_cannot_know(void)
{
    tribus_quant_level levels[3], other[3];
    tribus_quant_side_book bids, asks;
    float in[8];

    tribus_quant_side_book_init(&bids, levels, 3, 1);
    tribus_quant_side_book_init(&asks, other, 3, 0);
    CHECK(tribus_quant_side_book_add(&bids, 100, 5) == TRIBUS_OK);
    CHECK(tribus_quant_side_book_add(&bids, 102, 1) == TRIBUS_OK);
    CHECK(tribus_quant_side_book_add(&bids, 101, 2) == TRIBUS_OK);
    CHECK(tribus_quant_side_book_add(&bids, 99, 2) == TRIBUS_FULL && bids.count == 3);
    CHECK(tribus_quant_side_book_add(&bids, 103, 7) == TRIBUS_FULL && bids.count == 3);
    CHECK(levels[0].price == 103 && levels[2].price == 101);
    CHECK(tribus_quant_side_book_add(&bids, 102, -1) == TRIBUS_OK && bids.count == 2);
    CHECK(tribus_quant_side_book_add(&bids, 102, -1) == TRIBUS_NOT_FOUND);
    CHECK(tribus_quant_side_book_add(&asks, 105, 4) == TRIBUS_OK);
    CHECK(tribus_quant_side_book_add(&asks, 104, 3) == TRIBUS_OK);
    tribus_quant_book_inputs(&bids, &asks, 2, 1.0, in);
    CHECK(in[0] == 104 && in[1] == 3 && in[2] == 103 && in[3] == 7);
    CHECK(in[4] == 105 && in[5] == 4 && in[6] == 101 && in[7] == 2);
}

int main(void)
{
    rules_at_the_mid_without_a_quote_and_with_nan_are_defined();
    vpin_when_a_trade_spans_buckets_is_split_exactly();
    vpin_stays_in_0_1_and_close_to_its_definition();
    impact_measures_have_the_values_of_a_hand_calculation();
    kernels_agree_with_double_within_their_tolerance();
    book_keeps_its_levels_sorted_and_says_what_it_cannot_know();
    vpin_of_pinstimation_hfdata();
    lee_ready_of_highfrequency_taq_sample();
    lobster_goog_statistics();
    book_rebuilt_from_lobster_messages_has_the_best_prices();
    return 0;
}
