/* test_quant_analytics.c -- performance measures against Bacon (2008).
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"

/* Bacon (2008), the example series, as PerformanceAnalytics prints them. */
static void measures_of_bacon(void)
{
    enum { N = 24 };
    char *text = data_text("perf_analytics/portfolio_bacon.csv");
    double r[N + 1], b[N + 1];
    tribus_quant_performance_cfg cfg = {.per_year = 12, .mar = 0.005};
    tribus_quant_performance p;

    CHECK(data_column(text, 1, 1, r, N + 1) == N && data_column(text, 1, 2, b, N + 1) == N);
    CHECK(tribus_quant_performance_of(&cfg, r, b, N, &p) == TRIBUS_OK);
    printf("Bacon: downside %.5f B-L %.4f M2 %.6f Jensen %.5f specific %.5f pain %.5f\n",
           p.downside_deviation, p.bernardo_ledoit, p.m_squared, p.jensen_alpha,
           p.specific_risk, p.pain_index);
    CHECK_NEAR(p.downside_deviation, 0.0255, 5e-5);
    CHECK_NEAR(p.bernardo_ledoit, 1.78, 5e-3);
    CHECK_NEAR(p.m_squared, 0.10062, 5e-6);
    CHECK_NEAR(p.jensen_alpha, -0.014, 5e-4);
    CHECK_NEAR(p.specific_risk, 0.0329, 5e-5);
    CHECK_NEAR(p.pain_index, 0.04, 5e-3);
    free(text);
}

static void measures_of_a_hand_made_series(void)
{
    const double r[5] = {0.1, -0.2, 0.1, 0.5, -0.1};
    const tribus_quant_performance_cfg cfg = {.per_year = 5};
    tribus_quant_performance p, rolling[4];
    tribus_quant_fall falls[3];
    double drawdown[5];

    CHECK(tribus_quant_performance_of(&cfg, r, r, 5, &p) == TRIBUS_OK);
    CHECK_NEAR(p.total, 1.1 * 0.8 * 1.1 * 1.5 * 0.9 - 1, 1e-14);
    CHECK_NEAR(p.annual, p.total, 1e-14);
    CHECK_NEAR(p.max_drawdown, 0.2, 1e-15);
    CHECK_NEAR(p.average_drawdown, (0.2 + 0.1) / 2, 1e-15);
    CHECK_NEAR(p.hit_rate, 0.6, 1e-15);
    CHECK_NEAR(p.omega, 0.7 / 0.3, 1e-14);
    CHECK_NEAR(p.beta, 1.0, 1e-14);
    CHECK_NEAR(p.specific_risk, 0.0, 1e-8);
    CHECK(p.tracking_error == 0.0 && isnan(p.information));
    tribus_quant_drawdown(r, 5, drawdown);
    CHECK_NEAR(drawdown[2], 0.8 * 1.1 - 1, 1e-15);
    CHECK(drawdown[3] == 0.0);
    CHECK(tribus_quant_falls(r, 5, falls, 3) == 2);
    CHECK(falls[0].from == 1 && falls[0].trough == 1 && falls[0].to == 3);
    CHECK(falls[1].from == 4 && falls[1].to == 5);
    CHECK(tribus_quant_falls(r, 5, falls, 1) == 1);
    CHECK(tribus_quant_performance_rolling(&cfg, r, 5, 2, rolling) == TRIBUS_OK);
    CHECK_NEAR(rolling[3].total, 1.5 * 0.9 - 1, 1e-14);
}

static void measures_that_cannot_be_computed_are_nan(void)
{
    const double up[3] = {0.01, 0.01, 0.01}, bad[2] = {0.1, -1.5}, nan[2] = {0.1, NAN};
    const tribus_quant_performance_cfg cfg = {0};
    tribus_quant_performance p;

    CHECK(tribus_quant_performance_of(&cfg, up, NULL, 3, &p) == TRIBUS_OK);
    CHECK(isnan(p.sharpe) && isnan(p.omega) && isnan(p.calmar) && isnan(p.beta));
    CHECK(p.max_drawdown == 0.0 && p.average_drawdown == 0.0);
    CHECK(tribus_quant_performance_of(&cfg, bad, NULL, 2, &p) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_performance_of(&cfg, nan, NULL, 2, &p) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_performance_of(&cfg, up, NULL, 0, &p) == TRIBUS_BAD_ARG);
}

static void ratios_scale_as_they_must(void)
{
    enum { N = 300 };
    const tribus_quant_performance_cfg cfg = {0};
    tribus_quant_performance a, b;
    float z[N];
    double x[N], y[N];

    tribus_quant_normals(check_seed(), 0, 0, N, z);
    for (int i = 0; i < N; i++) {
        x[i] = 0.01 * (double)z[i];
        y[i] = 0.5 * x[i];
    }
    CHECK(tribus_quant_performance_of(&cfg, x, y, N, &a) == TRIBUS_OK);
    CHECK(tribus_quant_performance_of(&cfg, y, x, N, &b) == TRIBUS_OK);
    CHECK_NEAR(a.beta, 2.0, 1e-12);
    CHECK_NEAR(b.beta, 0.5, 1e-12);
    CHECK_NEAR(a.volatility, 2.0 * b.volatility, 1e-14);
    CHECK_NEAR(a.omega, b.omega, 1e-12);
    CHECK_NEAR(a.correlation, 1.0, 1e-12);
    CHECK(a.max_drawdown >= b.max_drawdown && a.ulcer_index >= a.pain_index);
}

static void attribution_adds_up_to_the_excess_return(void)
{
    tribus_quant_segment s[3] = {{0.4, 0.4, 0.2, 0.1, 0, 0, 0},
                                 {0.3, 0.2, -0.05, -0.04, 0, 0, 0},
                                 {0.3, 0.4, 0.06, 0.08, 0, 0, 0}};
    /* Bacon (2008), exhibit 5.1: 8.3 % against 6.4 %. */
    CHECK_NEAR(tribus_quant_attribution(s, 3), 0.083 - 0.064, 1e-15);
    CHECK_NEAR(s[0].selection, 0.4 * 0.1, 1e-15);
    CHECK_NEAR(s[1].allocation, 0.1 * (-0.04 - 0.064), 1e-15);
}

int main(void)
{
    measures_of_a_hand_made_series();
    measures_that_cannot_be_computed_are_nan();
    ratios_scale_as_they_must();
    attribution_adds_up_to_the_excess_return();
    measures_of_bacon();
    return 0;
}
