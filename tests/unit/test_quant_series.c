/* test_quant_series.c -- returns, moments, quantiles, covariance, Cholesky.
 *
 * labels: single_thread */
#include "check.h"
#include "tribus/quant.h"

static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void log_returns_when_a_price_is_missing_are_nan_beside_it(void)
{
    double p[8] = {100, 50, 110, NAN, 121, 40, 133.1, 20}, r[6];
    const tribus_quant_matrix m = {p, 4, 2};

    CHECK(tribus_quant_returns_log(m, r, NULL) == TRIBUS_OK);
    CHECK_NEAR(r[0], log(1.1), 1e-15);
    CHECK(isnan(r[1]) && isnan(r[3]));
    CHECK_NEAR(r[5], log(0.5), 1e-15);
    CHECK(tribus_quant_returns_simple(m, p, NULL) == TRIBUS_OK); /* in place */
    CHECK_NEAR(p[2], 0.1, 1e-15);
    CHECK_NEAR(p[5], -0.5, 1e-15);
}

static void returns_when_a_price_is_zero_say_where(void)
{
    const double p[6] = {1, 1, 1, 0, 1, 1};
    const tribus_quant_matrix m = {p, 3, 2}, one = {p, 1, 2};
    tribus_quant_why why;
    double r[4];

    CHECK(tribus_quant_returns_log(m, r, &why) == TRIBUS_BAD_DATA);
    CHECK_TEXT(why.text, "price 0 in row 1, column 1 is not positive");
    CHECK(tribus_quant_returns_log(one, r, &why) == TRIBUS_BAD_ARG);
}

static void moments_of_a_constant_series_have_no_skewness(void)
{
    const double c[3] = {0.1, 0.1, 0.1}, one[1] = {5}, bad[2] = {1, NAN};
    tribus_quant_moments m;

    CHECK(tribus_quant_moments_of(c, 3, &m) == TRIBUS_OK);
    CHECK(m.sd_population == 0.0 && isnan(m.skewness) && isnan(m.kurtosis));
    CHECK(tribus_quant_moments_of(one, 1, &m) == TRIBUS_OK && isnan(m.sd_sample));
    CHECK(tribus_quant_moments_of(bad, 2, &m) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_moments_of(one, 0, &m) == TRIBUS_BAD_ARG);
}

static void sort_orders_random_constant_and_hostile_input(void)
{
    uint64_t seed = check_seed();

    for (uint32_t round = 0; round < 300; round++) {
        const uint32_t n = round < 200 ? round : round * 37;
        double *x = malloc((n + 1) * sizeof(*x)), before = 0, after = 0;

        CHECK(x != NULL);
        for (uint32_t i = 0; i < n; i++) {
            x[i] = round % 3 == 0   ? floor(8 * uniform(&seed))
                   : round % 3 == 1 ? uniform(&seed)
                                    : fabs((double)i - n / 2.0); /* organ pipe */
            before += floor(x[i] * 1e6);
        }
        tribus_quant_sort(x, n);
        for (uint32_t i = 0; i < n; i++) {
            CHECK(i == 0 || x[i - 1] <= x[i]);
            after += floor(x[i] * 1e6);
        }
        CHECK(before == after);
        free(x);
    }
}

/* R: quantile(c(1,3,4,8,9,15,20,21,33,40), c(.05,.25,.37), type = t), computed by hand from
 * Hyndman and Fan's table. */
static void quantile_follows_all_nine_rules_of_hyndman_and_fan(void)
{
    static const double x[10] = {1, 3, 4, 8, 9, 15, 20, 21, 33, 40};
    static const double want[9][3] = {{1, 4, 8},      {1, 4, 8},
                                      {1, 3, 8},      {1, 3.5, 6.8},
                                      {1, 4, 8.2},    {1, 3.75, 4 + 4 * 0.07 + 0.0},
                                      {1.9, 5, 8.33}, {1, 3.916666666666667, 0},
                                      {1, 3.9375, 0}};

    for (int t = 1; t <= 9; t++) {
        for (int k = 0; k < 2; k++)
            CHECK_NEAR(tribus_quant_quantile_sorted(x, 10, k == 0 ? 0.05 : 0.25,
                                                    (tribus_quant_quantile_rule)t),
                       want[t - 1][k], 1e-12);
        if (t <= 5 || t == 7)
            CHECK_NEAR(
                tribus_quant_quantile_sorted(x, 10, 0.37, (tribus_quant_quantile_rule)t),
                want[t - 1][2], 1e-12);
        CHECK(tribus_quant_quantile_sorted(x, 10, 0.0, (tribus_quant_quantile_rule)t) == 1);
        CHECK(tribus_quant_quantile_sorted(x, 10, 1.0, (tribus_quant_quantile_rule)t) ==
              40);
    }
    CHECK(isnan(tribus_quant_quantile_sorted(x, 10, NAN, TRIBUS_QUANT_TYPE7)));
    CHECK(isnan(tribus_quant_quantile_sorted(x, 0, 0.5, TRIBUS_QUANT_TYPE7)));
}

static void covariance_agrees_with_its_definition_and_with_pairwise(void)
{
    enum { T = 60, N = 7 };
    uint64_t seed = check_seed();
    double r[T * N], mean[N], cov[N * N], pair[N * N], scratch[T * N];
    const tribus_quant_matrix m = {r, T, N};

    for (int i = 0; i < T * N; i++)
        r[i] = uniform(&seed) - 0.5 + 100.0 * (i % N);
    CHECK(tribus_quant_cov_sample(m, 1, mean, cov, scratch, NULL) == TRIBUS_OK);
    CHECK(tribus_quant_cov_pairwise(m, 1, pair, NULL) == TRIBUS_OK);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double sum = 0;

            for (int t = 0; t < T; t++)
                sum += (r[t * N + i] - mean[i]) * (r[t * N + j] - mean[j]);
            CHECK_NEAR(cov[i * N + j], sum / (T - 1), 1e-12);
            CHECK_NEAR(pair[i * N + j], sum / (T - 1), 1e-12);
            CHECK(cov[i * N + j] == cov[j * N + i]);
        }
    }
    r[3] = NAN;
    CHECK(tribus_quant_cov_sample(m, 1, mean, cov, scratch, NULL) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_cov_pairwise(m, 1, pair, NULL) == TRIBUS_OK);
    CHECK(tribus_quant_cov_sample((tribus_quant_matrix){r, 1, N}, 1, mean, cov, scratch,
                                  NULL) == TRIBUS_BAD_ARG);
}

static void cholesky_rebuilds_its_matrix_and_refuses_an_indefinite_one(void)
{
    const double a[9] = {4, 2, 0.6, 2, 10, -1, 0.6, -1, 3};
    double l[9], singular[4] = {1, 1, 1, 1}, bad[4] = {1, 2, 2, 1};
    tribus_quant_why why;

    for (int pass = 0; pass < 2; pass++) {
        memcpy(l, a, sizeof(l));
        CHECK(tribus_quant_cholesky(l, 3, pass == 0 ? 0.0 : 1e-12, &why) == TRIBUS_OK);
        CHECK(l[1] == 0.0 && l[2] == 0.0 && l[5] == 0.0);
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                CHECK_NEAR(l[i * 3] * l[j * 3] + l[i * 3 + 1] * l[j * 3 + 1] +
                               l[i * 3 + 2] * l[j * 3 + 2],
                           a[i * 3 + j], 1e-14);
    }
    CHECK(tribus_quant_cholesky(bad, 2, 0.0, &why) == TRIBUS_BAD_DATA);
    CHECK_TEXT(why.text,
               "matrix is not positive definite: row 1 depends on the rows before it");
    memcpy(bad, (double[4]){1, 2, 2, 1}, sizeof(bad));
    CHECK(tribus_quant_cholesky(bad, 2, 1e-12, &why) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_cholesky(singular, 2, 1e-12, &why) == TRIBUS_OK);
    CHECK(singular[0] == 1 && singular[2] == 1 && singular[3] == 0);
    bad[0] = NAN;
    CHECK(tribus_quant_cholesky(bad, 2, 0.0, &why) == TRIBUS_BAD_DATA);
}

int main(void)
{
    log_returns_when_a_price_is_missing_are_nan_beside_it();
    returns_when_a_price_is_zero_say_where();
    moments_of_a_constant_series_have_no_skewness();
    sort_orders_random_constant_and_hostile_input();
    quantile_follows_all_nine_rules_of_hyndman_and_fan();
    covariance_agrees_with_its_definition_and_with_pairwise();
    cholesky_rebuilds_its_matrix_and_refuses_an_indefinite_one();
    return 0;
}
