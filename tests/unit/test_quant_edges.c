/* test_quant_edges.c -- what every part of the mathematics does with no rows, one row, a constant
 * series, NaN, a missing price, a singular covariance and no volume: a status or NaN that says
 * so, never a number that looks like an answer.
 *
 * labels: single_thread */
#include "check.h"
#include "tribus/quant.h"

enum { N = 12, ROWS = 8 }; /* more assets than rows: the covariance is singular */

static const tribus_quant_var_cfg var_cfg = {.confidence = 0.95};

static void no_rows_are_refused(void)
{
    double x[4] = {0.1, 0.2, 0.3, 0.4}, out[16], scratch[64];
    const tribus_quant_matrix none = {x, 0, 2}, flat = {x, 2, 0};
    tribus_quant_performance_cfg perf = {.per_year = 252};
    tribus_quant_performance p;
    tribus_quant_moments m;
    tribus_quant_garch g;
    tribus_quant_risk r;

    CHECK(tribus_quant_returns_simple(none, out, NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_returns_log(none, out, NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_moments_of(x, 0, &m) == TRIBUS_BAD_ARG);
    CHECK(isnan(tribus_quant_quantile_sorted(x, 0, 0.5, TRIBUS_QUANT_TYPE7)));
    CHECK(tribus_quant_cov_sample(none, 1, NULL, out, scratch, NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_cov_pairwise(none, 1, out, NULL) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_cov_shrunk(none, TRIBUS_QUANT_TARGET_IDENTITY, out, scratch, NULL,
                                  NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_cov_sample(flat, 1, NULL, out, scratch, NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_cholesky(x, 0, 0.0, NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_var_historical(&var_cfg, x, 0, &r) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_garch_fit(x, 0, &g) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_performance_of(&perf, x, NULL, 0, &p) == TRIBUS_BAD_ARG);
    CHECK(isnan(tribus_quant_ic(x, x, 0)) && isnan(tribus_quant_rank_ic(x, x, 0, scratch)));
    CHECK(isnan(tribus_quant_kyle_lambda(x, x, 0)) &&
          isnan(tribus_quant_roll_spread(x, 0)) && isnan(tribus_quant_amihud(x, x, 0)));
    CHECK(isnan(tribus_quant_vpin_level(x, 0, 0.5)));
    CHECK(isnan(tribus_quant_time_weighted(NULL, x, 0)));
    CHECK(tribus_quant_hrp((tribus_quant_matrix){x, 0, 0}, out, scratch) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_risk_parity((tribus_quant_matrix){x, 0, 0}, NULL, out, scratch,
                                   NULL) == TRIBUS_BAD_ARG);
}

static void one_row_gives_what_it_can_and_no_more(void)
{
    double x[4] = {0.1, 0.2, 0.3, 0.4}, out[16], scratch[64];
    const tribus_quant_matrix one = {x, 1, 2};
    tribus_quant_moments m;
    tribus_quant_risk r;

    CHECK(tribus_quant_returns_simple(one, out, NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_cov_sample(one, 1, NULL, out, scratch, NULL) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_moments_of(x, 1, &m) == TRIBUS_OK);
    CHECK(m.mean == 0.1 && m.sd_population == 0.0 && isnan(m.sd_sample));
    CHECK(isnan(m.skewness) && isnan(m.kurtosis) && m.min == 0.1 && m.max == 0.1);
    CHECK(tribus_quant_var_historical(&var_cfg, x, 1, &r) == TRIBUS_OK && r.var == -0.1);
    CHECK(isnan(tribus_quant_ic(x, x, 1)));
    CHECK(isnan(tribus_quant_kyle_lambda(x, x, 1)));
    CHECK(tribus_quant_vpin_level(x, 1, 0.1) == 1.0 &&
          tribus_quant_vpin_level(x, 1, 0.0) == 0.0);
}

static void a_constant_series_has_no_correlation_and_no_shape(void)
{
    double x[40], y[40], out[4], scratch[160];
    const tribus_quant_performance_cfg cfg = {.per_year = 252};
    tribus_quant_performance p;
    tribus_quant_moments m;
    tribus_quant_garch g;

    for (int i = 0; i < 40; i++) {
        x[i] = 0.01;
        y[i] = i % 3;
    }
    CHECK(tribus_quant_moments_of(x, 40, &m) == TRIBUS_OK);
    CHECK(m.sd_sample == 0.0 && m.sd_population == 0.0 && isnan(m.skewness) &&
          isnan(m.kurtosis));
    CHECK(isnan(tribus_quant_ic(x, y, 40)) && isnan(tribus_quant_ic(y, x, 40)));
    CHECK(isnan(tribus_quant_rank_ic(x, y, 40, scratch)));
    CHECK(isnan(tribus_quant_kyle_lambda(y, x, 40)));
    CHECK(tribus_quant_garch_fit(x, 40, &g) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_correlation((tribus_quant_matrix){x, 20, 2}, out) == TRIBUS_OK);
    CHECK(isnan(out[0]) && isnan(out[1]) && isnan(out[2]) && isnan(out[3]));
    CHECK(tribus_quant_cov_sample((tribus_quant_matrix){x, 20, 2}, 1, NULL, out, scratch,
                                  NULL) == TRIBUS_OK);
    CHECK(out[0] == 0.0 && out[1] == 0.0 && out[3] == 0.0);
    CHECK(tribus_quant_performance_of(&cfg, x, y, 40, &p) == TRIBUS_OK);
    CHECK(p.volatility == 0.0 && isnan(p.sharpe) && isnan(p.correlation) && p.beta == 0.0);
    CHECK(tribus_quant_performance_of(&cfg, y, x, 40, &p) == TRIBUS_OK);
    CHECK(isnan(p.beta) && isnan(p.correlation) && isnan(p.treynor));
}

static void nan_and_missing_prices_are_passed_on_or_refused(void)
{
    double x[30], y[30], out[64], scratch[128];
    const double price[8] = {10, 20, 11, NAN, 12, 22, 13, 23};
    const tribus_quant_matrix two = {price, 4, 2};
    tribus_quant_why why = {""};
    tribus_quant_moments m;
    tribus_quant_garch g;
    tribus_quant_risk r;
    int8_t side[3];

    for (int i = 0; i < 30; i++)
        x[i] = y[i] = 0.01 * (i % 7) - 0.02;
    x[11] = NAN;
    CHECK(tribus_quant_returns_simple(two, out, NULL) == TRIBUS_OK);
    CHECK(isnan(out[1]) && isnan(out[3]) && fabs(out[5] - (23.0 / 22.0 - 1.0)) < 1e-15);
    CHECK(fabs(out[2] - (12.0 / 11.0 - 1.0)) < 1e-15); /* the other column is not touched */
    CHECK(tribus_quant_cov_sample((tribus_quant_matrix){out, 3, 2}, 1, NULL, scratch,
                                  scratch + 8, &why) == TRIBUS_BAD_DATA);
    CHECK(why.text[0] != '\0');
    CHECK(tribus_quant_moments_of(x, 30, &m) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_var_historical(&var_cfg, x, 30, &r) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_garch_fit(x, 30, &g) == TRIBUS_BAD_DATA);
    CHECK(fabs(tribus_quant_ic(x, y, 30) - 1.0) <
          1e-12); /* over the pairs that are whole */
    CHECK(tribus_quant_cov_ewma_add(&x[11], 1, 0.9, out) == TRIBUS_BAD_DATA);
    tribus_quant_classify_tick((const double[3]){10, 9, NAN}, 3, side);
    CHECK(side[1] == -1 && side[2] == -1);
}

/* Simulated returns with fewer rows than assets. */
static void singular(uint64_t seed, double *cov, double *returns)
{
    static double scratch[ROWS * N];
    float z[ROWS * N];

    tribus_quant_normals(seed, 0, 0, ROWS * N, z);
    for (int i = 0; i < ROWS * N; i++)
        returns[i] = 0.01 * (double)z[i];
    CHECK(tribus_quant_cov_sample((tribus_quant_matrix){returns, ROWS, N}, 1, NULL, cov,
                                  scratch, NULL) == TRIBUS_OK);
}

static void check_weights(const double *w)
{
    double sum = 0.0;

    for (int i = 0; i < N; i++) {
        CHECK(w[i] >= -1e-9 && w[i] <= 1.0 + 1e-9);
        sum += w[i];
    }
    CHECK_NEAR(sum, 1.0, 1e-8);
}

static void a_singular_covariance_still_gives_feasible_certified_weights(uint64_t seed)
{
    static double cov[N * N], returns[ROWS * N];
    double w[N], mean[N], scratch[N], residual;
    const tribus_quant_portfolio p = {.assets = N, .cov = cov, .mean = mean};
    void *work = calloc(1, tribus_quant_portfolio_bytes(N, 0));
    void *tree = malloc(tribus_quant_hrp_bytes(N));
    const tribus_quant_matrix m = {cov, N, N};
    tribus_quant_portfolio_result out;
    tribus_status st;

    CHECK(work != NULL && tree != NULL);
    singular(seed, cov, returns);
    for (int i = 0; i < N; i++)
        mean[i] = 0.001 * (i + 1);
    CHECK(tribus_quant_min_variance(&p, work, w, &out, NULL) == TRIBUS_OK);
    CHECK(out.qp.kkt <= 1e-8);
    check_weights(w);
    CHECK(tribus_quant_mean_variance(&p, 5.0, work, w, &out, NULL) == TRIBUS_OK);
    CHECK(out.qp.kkt <= 1e-8);
    check_weights(w);
    /* Where positive weights have no variance there are no shares of it, and it says so. */
    st = tribus_quant_risk_parity(m, NULL, w, scratch, &residual);
    CHECK(st == TRIBUS_OK ? residual < 1e-9 : st == TRIBUS_TIMEOUT);
    if (st == TRIBUS_OK)
        check_weights(w);
    CHECK(tribus_quant_hrp(m, w, tree) == TRIBUS_OK);
    check_weights(w);
    free(work);
    free(tree);
}

/* How far w is from the first-order conditions of the largest mean / volatility over weights
 * >= 0 that add up to 1: the ratio does not grow along any asset, nor shrink along a held one. */
static double sharpe_residual(const double *cov, const double *mean, const double *w)
{
    double m = 0.0, variance = 0.0, risk[N], worst = 0.0, largest = 0.0;

    for (int i = 0; i < N; i++) {
        risk[i] = 0.0;
        for (int j = 0; j < N; j++)
            risk[i] += cov[i * N + j] * w[j];
        m += mean[i] * w[i];
        variance += w[i] * risk[i];
        largest = fmax(largest, cov[i * N + i]);
    }
    for (int i = 0; i < N; i++) {
        const double slope = (mean[i] / m * variance - risk[i]) / largest;

        worst = fmax(worst, w[i] > 1e-9 ? fabs(slope) : slope);
    }
    return worst;
}

/* The ratio has a maximum exactly where every feasible portfolio has a variance. */
static void
a_singular_covariance_has_a_certified_sharpe_ratio_or_says_why_not(uint64_t seed)
{
    static double cov[N * N], returns[ROWS * N];
    double w[N], mean[N], largest = 0.0;
    float z[N];
    const tribus_quant_portfolio p = {.assets = N, .cov = cov, .mean = mean};
    void *work = calloc(1, tribus_quant_portfolio_bytes(N, 0));
    tribus_quant_portfolio_result out;
    tribus_quant_why why = {""};
    int riskless;
    tribus_status st;

    CHECK(work != NULL);
    singular(seed, cov, returns);
    tribus_quant_normals(seed, 1, 0, N, z);
    for (int i = 0; i < N; i++) {
        mean[i] = seed % 2 == 0 ? 0.001 * (i + 1) : 0.0005 + 0.001 * fabs((double)z[i]);
        largest = fmax(largest, cov[i * N + i]);
    }
    CHECK(tribus_quant_min_variance(&p, work, w, &out, NULL) == TRIBUS_OK);
    riskless = out.volatility * out.volatility <= 1e-10 * largest;
    memset(work, 0, 8); /* cold */
    st = tribus_quant_max_sharpe(&p, 0.0, work, w, &out, &why);
    if (st != (riskless ? TRIBUS_REFUSED : TRIBUS_OK))
        printf("seed %llu: status %d %s\n", (unsigned long long)seed, (int)st, why.text);
    CHECK(st == (riskless ? TRIBUS_REFUSED : TRIBUS_OK));
    if (riskless)
        CHECK(strstr(why.text, "has no variance") != NULL);
    else {
        CHECK(out.qp.kkt <= 1e-8);
        CHECK(sharpe_residual(cov, mean, w) <= 1e-8);
        check_weights(w);
    }
    free(work);
}

static void a_singular_covariance_has_a_factor_but_only_with_a_tolerance(uint64_t seed)
{
    static double cov[N * N], returns[ROWS * N], l[N * N];
    double largest = 0.0;
    tribus_quant_why why = {""};

    singular(seed, cov, returns);
    for (int i = 0; i < N; i++)
        largest = fmax(largest, cov[i * N + i]);
    memcpy(l, cov, sizeof(l));
    CHECK(tribus_quant_cholesky(l, N, 0.0, &why) == TRIBUS_BAD_DATA);
    CHECK(strstr(why.text, "not positive definite") != NULL);
    memcpy(l, cov, sizeof(l));
    CHECK(tribus_quant_cholesky(l, N, 1e-12, NULL) == TRIBUS_OK);
    for (int i = 0; i < N; i++) {
        CHECK(l[i * N + i] >= 0.0);
        for (int j = 0; j < N; j++) {
            double product = 0.0;

            for (int k = 0; k < N; k++)
                product += l[i * N + k] * l[j * N + k];
            CHECK_NEAR(product, cov[i * N + j], 2e-12 * largest);
            if (j > i || j >= ROWS - 1) /* lower, and of the rank of ROWS - 1 */
                CHECK(l[i * N + j] == 0.0);
        }
    }
}

static void a_factor_with_a_tolerance_still_refuses_an_indefinite_matrix(void)
{
    double flat[4] = {0, 1, 1, 0}, late[9] = {1, 1, 1, 1, 1, 2, 1, 2, 5}, nothing[4] = {0};
    double twin[9] = {4, 4, 2, 4, 4, 2, 2, 2, 5};
    tribus_quant_why why = {""};

    CHECK(tribus_quant_cholesky(flat, 2, 1e-12, NULL) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_cholesky(late, 3, 1e-12, &why) == TRIBUS_BAD_DATA);
    CHECK(strstr(why.text, "not positive semi-definite: row ") != NULL);
    CHECK(tribus_quant_cholesky(nothing, 2, 1e-12, NULL) == TRIBUS_OK);
    CHECK(nothing[0] == 0.0 && nothing[2] == 0.0 && nothing[3] == 0.0);
    CHECK(tribus_quant_cholesky(twin, 3, 1e-12, NULL) == TRIBUS_OK);
    CHECK_NEAR(twin[0], 2.0, 1e-15);
    CHECK_NEAR(twin[3], 2.0, 1e-15);
    CHECK_NEAR(twin[6], 1.0, 1e-15);
    CHECK_NEAR(hypot(twin[7], twin[8]), 2.0, 1e-15);
}

/* More of them in a long run: TRIBUS_PROBLEMS=20000. */
static uint64_t problems(void)
{
    const char *given = getenv("TRIBUS_PROBLEMS");

    return given == NULL ? 200 : strtoull(given, NULL, 10);
}

static void a_riskless_asset_leaves_the_sharpe_ratio_without_a_maximum(void)
{
    const double cov[4] = {0.04, 0, 0, 0}, mean[2] = {0.1, 0.03};
    const tribus_quant_portfolio p = {.assets = 2, .cov = cov, .mean = mean};
    void *work = calloc(1, tribus_quant_portfolio_bytes(2, 0));
    tribus_quant_portfolio_result out;
    tribus_quant_why why = {""};
    double w[2];

    CHECK(work != NULL);
    CHECK(tribus_quant_max_sharpe(&p, 0.0, work, w, &out, &why) == TRIBUS_REFUSED);
    CHECK(strstr(why.text, "has no variance") != NULL);
    CHECK(tribus_quant_min_variance(&p, work, w, &out, NULL) == TRIBUS_OK);
    CHECK_NEAR(w[1], 1.0, 1e-9);
    free(work);
}

static void no_volume_is_no_toxicity_and_no_division(void)
{
    const double nothing[3] = {0, 0, 0}, r[3] = {0.01, 0.02, -0.01}, money[3] = {0, 100, 0};
    const tribus_quant_quote empty = {0};
    double ring[4];
    tribus_quant_vpin v;

    CHECK(tribus_quant_vpin_init(&v, 0.0, 4, ring) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_vpin_init(&v, 10.0, 4, ring) == TRIBUS_OK);
    for (int i = 0; i < 100; i++)
        CHECK(tribus_quant_vpin_add(&v, 0.0, 0.0) == 0);
    CHECK(tribus_quant_vpin_add(&v, -5.0, NAN) == 0 && v.closed == 0);
    CHECK(isnan(tribus_quant_vpin_value(&v)));
    CHECK(tribus_quant_book_imbalance(nothing, nothing, 3) == 0.0);
    CHECK(isnan(tribus_quant_micro_price(&empty)));
    CHECK(isnan(tribus_quant_amihud(r, nothing, 3)));
    CHECK_NEAR(tribus_quant_amihud(r, money, 3), 0.02 / 100,
               1e-18); /* the day with trade */
    CHECK(isnan(tribus_quant_kyle_lambda(r, nothing, 3)));
}

int main(void)
{
    /* What once failed: the first two by a step that missed the budget, the others by a
     * pivot of rounding. */
    const uint64_t hard[] = {40, 130, 95, 192, 224};
    uint64_t seed;

    no_rows_are_refused();
    one_row_gives_what_it_can_and_no_more();
    a_constant_series_has_no_correlation_and_no_shape();
    nan_and_missing_prices_are_passed_on_or_refused();
    seed = check_seed();
    for (uint64_t k = 0; k < 20; k++)
        a_singular_covariance_still_gives_feasible_certified_weights(seed + k);
    for (uint64_t k = 0, count = problems(); k < count; k++) {
        a_singular_covariance_has_a_certified_sharpe_ratio_or_says_why_not(seed + k);
        a_singular_covariance_has_a_factor_but_only_with_a_tolerance(seed + k);
    }
    for (size_t k = 0; k < sizeof(hard) / sizeof(hard[0]); k++) {
        a_singular_covariance_has_a_certified_sharpe_ratio_or_says_why_not(hard[k]);
        a_singular_covariance_has_a_factor_but_only_with_a_tolerance(hard[k]);
    }
    a_factor_with_a_tolerance_still_refuses_an_indefinite_matrix();
    a_riskless_asset_leaves_the_sharpe_ratio_without_a_maximum();
    no_volume_is_no_toxicity_and_no_division();
    return 0;
}
