/* test_quant_portfolio.c -- portfolios against PyPortfolioOpt, Riskfolio and their proofs.
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"

enum { STOCKS = 20, DAYS = 7126 };

/* daily_pypfopt/stock_prices.csv: annual covariance (pairwise, ddof 1) and mean. */
static void pypfopt_inputs(double *cov, double *mean)
{
    char *text = data_text("daily_pypfopt/stock_prices.csv");
    double *p = malloc(DAYS * STOCKS * sizeof(*p)), *column = malloc(DAYS * sizeof(*p));

    CHECK(p != NULL && column != NULL);
    for (uint32_t i = 0; i < STOCKS; i++) {
        CHECK(data_column(text, 1, i + 1, column, DAYS) == DAYS);
        for (uint32_t t = 0; t < DAYS; t++)
            p[t * STOCKS + i] = column[t];
    }
    CHECK(tribus_quant_returns_simple((tribus_quant_matrix){p, DAYS, STOCKS}, p, NULL) ==
          TRIBUS_OK);
    CHECK(tribus_quant_cov_pairwise((tribus_quant_matrix){p, DAYS - 1, STOCKS}, 1, cov,
                                    NULL) == TRIBUS_OK);
    for (uint32_t i = 0; i < STOCKS; i++) {
        double growth = 0.0;
        uint32_t count = 0;

        for (uint32_t t = 0; t + 1 < DAYS; t++) {
            if (isnan(p[t * STOCKS + i]))
                continue;
            growth += log1p(p[t * STOCKS + i]);
            count++;
        }
        mean[i] = expm1(growth * 252.0 / count);
    }
    for (uint32_t i = 0; i < STOCKS * STOCKS; i++)
        cov[i] *= 252.0;
    free(p);
    free(column);
    free(text);
}

static void portfolios_of_pypfopt(void)
{
    double cov[STOCKS * STOCKS], mean[STOCKS], w[STOCKS], sum = 0.0;
    tribus_quant_portfolio p = {.assets = STOCKS, .cov = cov, .mean = mean};
    void *work = calloc(1, tribus_quant_portfolio_bytes(STOCKS, 0));
    tribus_quant_portfolio_result r;

    CHECK(work != NULL);
    pypfopt_inputs(cov, mean);
    CHECK(tribus_quant_min_variance(&p, work, w, &r, NULL) == TRIBUS_OK);
    CHECK_NEAR(r.mean, 0.1505682, 5e-8);
    CHECK_NEAR(r.volatility, 0.15915084514, 1e-11);
    CHECK_NEAR((r.mean - 0.02) / r.volatility, 0.82040, 6e-6); /* PyPortfolioOpt's rate */
    for (int i = 0; i < STOCKS; i++) {
        CHECK(w[i] >= 0.0 && w[i] <= 1.0);
        sum += w[i];
    }
    CHECK_NEAR(sum, 1.0, 1e-12);
    CHECK(r.qp.kkt <= 1e-8);
    CHECK(tribus_quant_max_sharpe(&p, 0.02, work, w, &r, NULL) == TRIBUS_OK);
    CHECK_NEAR(r.mean, 0.30477687, 5e-9);
    CHECK_NEAR(r.volatility, 0.22165567, 5e-9);
    CHECK_NEAR(r.sharpe, 1.2847714127, 5e-11);
    p.lower = -1.0;
    p.upper = 1.0;
    CHECK(tribus_quant_min_variance(&p, work, w, &r, NULL) == TRIBUS_OK);
    CHECK_NEAR(r.volatility, 0.1555915367, 5e-11);
    free(work);
}

/* The same covariance, by scipy.cluster.hierarchy and PyPortfolioOpt's bisection. */
static void hierarchical_risk_parity_of_pypfopt(void)
{
    static const double want[STOCKS] = {
        0.048172550050749, 0.044752377312611, 0.067100441300017, 0.070448689176261,
        0.018946417043802, 0.055719328587239, 0.020764159307684, 0.104361236126616,
        0.012529822361736, 0.072303765188984, 0.105514655768027, 0.018288293382078,
        0.028919261347531, 0.085118705131994, 0.026486837833576, 0.034154333536453,
        0.032183788112006, 0.080905249031497, 0.015370259965804, 0.057959829435335};
    double cov[STOCKS * STOCKS], mean[STOCKS], w[STOCKS], sum = 0.0;
    void *scratch = malloc(tribus_quant_hrp_bytes(STOCKS));

    CHECK(scratch != NULL);
    pypfopt_inputs(cov, mean);
    CHECK(tribus_quant_hrp((tribus_quant_matrix){cov, STOCKS, STOCKS}, w, scratch) ==
          TRIBUS_OK);
    for (int i = 0; i < STOCKS; i++) {
        CHECK_NEAR(w[i], want[i], 1e-13);
        sum += w[i];
    }
    CHECK_NEAR(sum, 1.0, 1e-14);
    cov[0] = 0.0;
    CHECK(tribus_quant_hrp((tribus_quant_matrix){cov, STOCKS, STOCKS}, w, scratch) ==
          TRIBUS_BAD_DATA);
    free(scratch);
}

static void portfolios_of_riskfolio(void)
{
    enum { N = 10, T = 1004, SPY = 8, USED = 200 };
    char *text = data_text("daily_riskfolio/stock_prices.csv");
    char *expected = data_text("daily_riskfolio/Classic_MinRisk.csv");
    double *p = malloc(T * N * sizeof(*p)), column[T], want[3][N], w[N], cov[N * N];
    double *scratch = malloc(T * N * sizeof(*scratch)), worst[3] = {0};
    void *work = calloc(1, tribus_quant_tail_bytes(&(tribus_quant_tail_cfg){0}, T, N));
    void *qp = calloc(1, tribus_quant_portfolio_bytes(N, 0));
    /* Riskfolio's test takes the last 200 returns, without the index. */
    const tribus_quant_matrix returns = {p + (T - 1 - USED) * N, USED, N};
    const tribus_quant_portfolio problem = {.assets = N, .cov = cov};
    tribus_quant_portfolio_result r;

    CHECK(p != NULL && scratch != NULL && work != NULL && qp != NULL);
    for (uint32_t i = 0; i < N; i++) {
        CHECK(data_column(text, 1, i + 1 + (i >= SPY), column, T) == T);
        for (uint32_t t = 0; t < T; t++)
            p[t * N + i] = column[t];
    }
    CHECK(tribus_quant_returns_simple((tribus_quant_matrix){p, T, N}, p, NULL) ==
          TRIBUS_OK);
    CHECK(data_column(expected, 1, 1, want[0], N) == N);
    CHECK(data_column(expected, 1, 2, want[1], N) == N);
    CHECK(data_column(expected, 1, 7, want[2], N) == N);
    CHECK(tribus_quant_cov_sample(returns, 1, NULL, cov, scratch, NULL) == TRIBUS_OK);
    CHECK(tribus_quant_min_variance(&problem, qp, w, &r, NULL) == TRIBUS_OK);
    for (int i = 0; i < N; i++)
        worst[0] = fmax(worst[0], fabs(w[i] - want[0][i]));
    for (int kind = 0; kind < 2; kind++) {
        const tribus_quant_tail_cfg cfg = {.kind = kind == 0 ? TRIBUS_QUANT_TAIL_MAD
                                                             : TRIBUS_QUANT_TAIL_CVAR};
        tribus_quant_tail_result tail;
        tribus_quant_why why;
        tribus_status st = tribus_quant_min_tail(&cfg, returns, work, w, &tail, &why);

        if (st != TRIBUS_OK)
            printf("%s\n", why.text);
        CHECK(st == TRIBUS_OK);
        printf("tail risk %.9f, gap %.2g, %u steps\n", tail.risk, tail.gap,
               tail.iterations);
        for (int i = 0; i < N; i++)
            worst[1 + kind] = fmax(worst[1 + kind], fabs(w[i] - want[1 + kind][i]));
    }
    printf("Riskfolio, largest difference of a weight: MV %.2g, MAD %.2g, CVaR %.2g\n",
           worst[0], worst[1], worst[2]);
    CHECK(worst[0] <= 3e-7);
    CHECK(worst[1] <= 9e-8);
    CHECK(worst[2] <= 1e-9);
    free(p);
    free(scratch);
    free(work);
    free(qp);
    free(text);
    free(expected);
}

/* numpy: the posterior in its precision form, (tau C)^-1 + P' Omega^-1 P. */
static void black_litterman_agrees_with_its_precision_form(void)
{
    const double c[9] = {.04, .006, .01, .006, .09, .02, .01, .02, .0625};
    const double pi[3] = {.05, .08, .06}, p[6] = {1, -1, 0, 0, 0, 1}, q[2] = {.01, .09};
    const tribus_quant_views v = {.prior = pi, .count = 2, .p = p, .q = q};
    const tribus_quant_views none = {.prior = pi};
    double mean[3], cov[9], scratch[12];

    CHECK(tribus_quant_black_litterman(&v, (tribus_quant_matrix){c, 3, 3}, mean, cov,
                                       scratch) == TRIBUS_OK);
    CHECK_NEAR(mean[0], 0.058673469387755, 1e-14);
    CHECK_NEAR(mean[1], 0.069945578231292, 1e-14);
    CHECK_NEAR(mean[2], 0.074098639455782, 1e-14);
    CHECK_NEAR(cov[0], 0.041702551020408, 1e-14);
    CHECK_NEAR(cov[1], 0.006829591836735, 1e-14);
    CHECK_NEAR(cov[5], 0.020412414965986, 1e-14);
    CHECK_NEAR(cov[8], 0.06405718537415, 1e-14);
    CHECK(tribus_quant_black_litterman(&none, (tribus_quant_matrix){c, 3, 3}, mean, NULL,
                                       NULL) == TRIBUS_OK);
    CHECK(memcmp(mean, pi, sizeof(mean)) == 0);
}

static void risk_parity_gives_every_asset_its_share(void)
{
    enum { N = 6 };
    const double share[N] = {.1, .1, .1, .2, .2, .3};
    double cov[N * N], w[N], scratch[N], residual, variance = 0.0;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            cov[i * N + j] = 0.01 * (i == j ? (i + 1) * 2.0 : 0.3 * ((i + j) % 3));
    for (int k = 0; k < 2; k++) {
        CHECK(tribus_quant_risk_parity((tribus_quant_matrix){cov, N, N}, k ? share : NULL,
                                       w, scratch, &residual) == TRIBUS_OK);
        CHECK(residual <= 1e-10);
        variance = 0.0;
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                variance += w[i] * cov[i * N + j] * w[j];
        for (int i = 0; i < N; i++) {
            double part = 0.0;

            for (int j = 0; j < N; j++)
                part += w[i] * cov[i * N + j] * w[j];
            CHECK_NEAR(part / variance, k ? share[i] : 1.0 / N, 1e-9);
        }
    }
    cov[0] = 0.0;
    CHECK(tribus_quant_risk_parity((tribus_quant_matrix){cov, N, N}, NULL, w, scratch,
                                   NULL) == TRIBUS_BAD_DATA);
}

/* A covariance of T simulated rows: singular when T <= n. */
static void random_cov(uint32_t stream, uint32_t n, uint32_t rows, double *cov)
{
    float *z = malloc((size_t)n * rows * sizeof(*z));
    double *x = malloc((size_t)n * rows * sizeof(*x)),
           *scratch = malloc((size_t)n * rows * 8);

    CHECK(z != NULL && x != NULL && scratch != NULL);
    tribus_quant_normals(11, stream, 0, n * rows, z);
    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t i = 0; i < n; i++)
            x[t * n + i] = 0.01 * ((double)z[t * n + i] * (1.0 + i % 5) + (double)z[t * n]);
    CHECK(tribus_quant_cov_sample((tribus_quant_matrix){x, rows, n}, 1, NULL, cov, scratch,
                                  NULL) == TRIBUS_OK);
    free(z);
    free(x);
    free(scratch);
}

/* Random boxes, groups, turnover, singular covariances: the KKT residual, recomputed here
 * from x alone where that is possible, certifies each; no feasible nudge is better. */
static void qp_of_random_problems_is_optimal_and_feasible(void)
{
    enum { N = 30, G = 3, ROUNDS = 200 };
    double cov[N * N], mean[N], lower[N], upper[N], group[G * N], gl[G], gu[G], start[N],
        w[N];
    void *work = calloc(1, tribus_quant_portfolio_bytes(N, G));
    const uint64_t seed = check_seed();
    uint32_t solved = 0;
    float z[4 * N];

    CHECK(work != NULL);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        tribus_quant_portfolio p = {.assets = N,
                                    .cov = cov,
                                    .mean = mean,
                                    .lower_at = lower,
                                    .upper_at = upper,
                                    .groups = G,
                                    .group = group,
                                    .group_lower = gl,
                                    .group_upper = gu};
        tribus_quant_portfolio_result r;
        tribus_quant_why why;
        tribus_status st;
        double best, sum = 0.0, traded = 0.0;

        random_cov(round, N, round % 3 == 0 ? 20 : 90, cov);
        tribus_quant_normals(seed, round, 0, 4 * N, z);
        for (int i = 0; i < N; i++) {
            mean[i] = 0.001 * (double)z[i];
            lower[i] = round % 2 ? 0.0 : -0.1 - 0.05 * fabs((double)z[N + i]);
            upper[i] = 0.1 + 0.1 * fabs((double)z[2 * N + i]);
            start[i] = 1.0 / N;
            for (int g = 0; g < G; g++)
                group[g * N + i] = i % G == g;
        }
        for (int g = 0; g < G; g++) {
            gl[g] = 0.2;
            gu[g] = 0.2 + 0.1 * (g + 1);
        }
        if (round % 4 == 3) {
            p.start = start;
            p.turnover = 0.2;
        }
        memset(work, 0, 8);
        st = tribus_quant_mean_variance(&p, 5.0, work, w, &r, &why);
        if (st != TRIBUS_OK)
            printf("round %u: %d %s\n", round, (int)st, why.text);
        CHECK(st == TRIBUS_OK && r.qp.kkt <= 1e-8);
        solved++;
        best = r.mean - 2.5 * r.volatility * r.volatility;
        for (int i = 0; i < N; i++) {
            CHECK(w[i] >= lower[i] - 1e-12 && w[i] <= upper[i] + 1e-12);
            sum += w[i];
            traded += fabs(w[i] - start[i]);
        }
        CHECK_NEAR(sum, 1.0, 1e-9);
        CHECK(p.start == NULL || traded <= 0.2 + 1e-9);
        /* Shifting weight between two assets of one group keeps budget and groups. */
        for (int i = 0; i < N && p.start == NULL; i++) {
            for (int j = i % G; j < N; j += G) {
                const double e = fmin(1e-4, fmin(w[i] - lower[i], upper[j] - w[j]));
                double cw = 0.0, m = 0.0, other[N];

                if (i == j || e <= 0.0)
                    continue;
                memcpy(other, w, sizeof(w));
                other[i] -= e;
                other[j] += e;
                for (int a = 0; a < N; a++) {
                    m += other[a] * mean[a];
                    for (int b = 0; b < N; b++)
                        cw += other[a] * cov[a * N + b] * other[b];
                }
                CHECK(m - 2.5 * cw <= best + 1e-12);
            }
        }
        /* Warm from its own answer: nothing to do. */
        st = tribus_quant_mean_variance(&p, 5.0, work, w, &r, &why);
        if (st != TRIBUS_OK || r.qp.iterations > 2)
            printf("warm, round %u: %d %s, %u steps\n", round, (int)st, why.text,
                   r.qp.iterations);
        CHECK(st == TRIBUS_OK);
        CHECK(r.qp.iterations <= 2);
    }
    CHECK(solved == ROUNDS);
    free(work);
}

static void infeasible_problems_name_the_constraint(void)
{
    enum { N = 4 };
    const double cov[N * N] = {4, 0, 0, 0, 0, 3, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1};
    const double group[2 * N] = {1, 1, 0, 0, 0, 0, 1, 1}, gl[2] = {0.0, 0.7};
    double gu[2] = {1.0, 0.8}, start[N] = {1, 0, 0, 0}, w[N], upper[N] = {1, 1, 0.3, 0.3};
    tribus_quant_portfolio p = {.assets = N, .cov = cov, .lower = 0.3, .upper = 1.0};
    void *work = calloc(1, tribus_quant_portfolio_bytes(N, 2));
    tribus_quant_portfolio_result r;
    tribus_quant_why why;

    CHECK(work != NULL);
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_REFUSED);
    CHECK_TEXT(why.text,
               "infeasible: weights within their bounds cannot add up to the budget 1");
    p = (tribus_quant_portfolio){.assets = N,
                                 .cov = cov,
                                 .upper_at = upper,
                                 .groups = 2,
                                 .group = group,
                                 .group_lower = gl,
                                 .group_upper = gu};
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_REFUSED);
    CHECK_TEXT(why.text, "infeasible: group 1 cannot stay within 0.7 and 0.8");
    p.upper_at = NULL;
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_OK);
    p.start = start;
    p.turnover = 0.5;
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_REFUSED);
    CHECK(strstr(why.text, "infeasible") != NULL);
    p.turnover = 1.4; /* just enough to bring 0.7 into group 1 */
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_OK);
    CHECK_NEAR(w[0], 0.3, 1e-9);
    gu[1] = 0.6;
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_BAD_DATA);
    free(work);
}

static void bad_problems_are_refused_before_work_starts(void)
{
    double cov[4] = {1, 0, 0, 1}, mean[2] = {0.1, 0.2}, w[2];
    tribus_quant_portfolio p = {.assets = 2, .cov = cov, .mean = mean};
    void *work = calloc(1, tribus_quant_portfolio_bytes(2, 0));
    tribus_quant_portfolio_result r;
    tribus_quant_why why;

    CHECK(work != NULL);
    CHECK(tribus_quant_max_sharpe(&p, 0.3, work, w, &r, &why) == TRIBUS_REFUSED);
    CHECK_TEXT(why.text, "no feasible portfolio earns more than the rate 0.3");
    CHECK(tribus_quant_mean_variance(&p, 0.0, work, w, &r, &why) == TRIBUS_BAD_ARG);
    cov[1] = NAN;
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_BAD_DATA);
    CHECK_TEXT(why.text, "H (0, 1) is not finite");
    cov[1] = 0.0;
    cov[3] = -1.0;
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_BAD_DATA);
    p.assets = 0;
    CHECK(tribus_quant_min_variance(&p, work, w, &r, &why) == TRIBUS_BAD_ARG);
    free(work);
}

static void one_asset_takes_everything(void)
{
    const double cov[1] = {0.04}, mean[1] = {0.1};
    const tribus_quant_portfolio p = {.assets = 1, .cov = cov, .mean = mean};
    void *work = calloc(1, tribus_quant_portfolio_bytes(1, 0));
    double w;
    tribus_quant_portfolio_result r;

    CHECK(work != NULL);
    CHECK(tribus_quant_min_variance(&p, work, &w, &r, NULL) == TRIBUS_OK);
    CHECK_NEAR(w, 1.0, 1e-15);
    CHECK(tribus_quant_max_sharpe(&p, 0.0, work, &w, &r, NULL) == TRIBUS_OK);
    CHECK_NEAR(r.sharpe, 0.5, 1e-12);
    free(work);
}

static void tail_with_a_floor_earns_it_and_an_impossible_floor_is_named(void)
{
    enum { T = 300, N = 5 };
    double r[T * N], mean[N] = {0}, w[N], m = 0.0, sum = 0.0;
    tribus_quant_tail_cfg cfg = {.mean = mean, .upper = 0.6};
    void *work = malloc(tribus_quant_tail_bytes(&cfg, T, N));
    tribus_quant_tail_result out, loose;
    tribus_quant_why why;
    float z[T * N];

    CHECK(work != NULL);
    tribus_quant_normals(21, 0, 0, T * N, z);
    for (int k = 0; k < T * N; k++) {
        r[k] = 0.001 * (k % N) + 0.01 * (1 + k % N) * (double)z[k];
        mean[k % N] += r[k] / T;
    }
    cfg.mean_floor = -1.0;
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &loose,
                                &why) == TRIBUS_OK);
    for (int i = 0; i < N; i++)
        m += w[i] * mean[i];
    cfg.mean_floor = m + 5e-4;
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,
                                &why) == TRIBUS_OK);
    m = 0.0;
    for (int i = 0; i < N; i++) {
        m += w[i] * mean[i];
        sum += w[i];
        CHECK(w[i] >= 0.0 && w[i] <= 0.6);
    }
    CHECK_NEAR(sum, 1.0, 1e-9);
    CHECK_NEAR(m, cfg.mean_floor, 1e-9);
    CHECK(out.risk > loose.risk && out.gap <= 1e-9);
    cfg.mean_floor = 1.0;
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,
                                &why) == TRIBUS_REFUSED);
    CHECK_TEXT(why.text, "infeasible: the mean cannot reach the floor 1");
    cfg.upper = 0.1;
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,
                                &why) == TRIBUS_REFUSED);
    free(work);
}

static double cvar_of(const double *r, uint32_t rows, uint32_t n, const double *w)
{
    double *pnl = calloc(rows, sizeof(*pnl)), es;
    const tribus_quant_var_cfg cfg = {0.9, TRIBUS_QUANT_TYPE1, TRIBUS_QUANT_ES_EXACT};
    tribus_quant_risk risk;

    CHECK(pnl != NULL);
    for (uint32_t t = 0; t < rows; t++)
        for (uint32_t i = 0; i < n; i++)
            pnl[t] += w[i] * r[t * n + i];
    CHECK(tribus_quant_var_historical(&cfg, pnl, rows, &risk) == TRIBUS_OK);
    es = risk.es;
    free(pnl);
    return es;
}

/* Other portfolios that keep the same limits, found by least variance under a random
 * covariance, and what lies between them and the answer, are never better. */
static void tail_under_groups_and_turnover_is_feasible_and_none_near_it_is_better(void)
{
    enum { T = 250, N = 6 };
    const uint64_t seed = check_seed();
    const double group[2 * N] = {1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0}, gl[2] = {0.3, 0.1};
    const double gu[2] = {0.5, 0.4}, start[N] = {0.05, 0.15, 0.5, 0.1, 0.1, 0.1};
    const double upper[N] = {0.2, 0.4, 0.4, 1, 1, 0.3};
    tribus_quant_tail_cfg cfg = {.confidence = 0.9,
                                 .upper_at = upper,
                                 .groups = 2,
                                 .group = group,
                                 .group_lower = gl,
                                 .group_upper = gu,
                                 .start = start};
    double r[T * N], w[N], y[N], cov[N * N];
    float z[T * N];
    void *work = malloc(tribus_quant_tail_bytes(&cfg, T, N));
    void *qp = calloc(1, tribus_quant_portfolio_bytes(N, 2));

    CHECK(work != NULL && qp != NULL);
    for (uint32_t trial = 0; trial < 40; trial++) {
        double sum = 0, traded = 0, g[2] = {0};
        tribus_quant_tail_result out;
        tribus_quant_why why = {""};

        cfg.turnover = 0.62 + 0.01 * trial; /* 0.6 is needed: 0.3 has to leave group 1 */
        tribus_quant_normals(seed, trial, 0, T * N, z);
        for (int k = 0; k < T * N; k++)
            r[k] = 0.01 * (1 + k % N) * (double)z[k] + 0.004 * (double)z[k / N * N];
        if (tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,
                                  &why) != TRIBUS_OK)
            printf("trial %u: %s\n", trial, why.text);
        CHECK(out.gap <= 1e-9 && out.infeasible <= 1e-9);
        for (int i = 0; i < N; i++) {
            CHECK(w[i] >= -1e-9 && w[i] <= upper[i] + 1e-9);
            sum += w[i];
            traded += fabs(w[i] - start[i]);
            g[0] += group[i] * w[i];
            g[1] += group[N + i] * w[i];
        }
        CHECK_NEAR(sum, 1.0, 1e-9);
        CHECK(traded <= cfg.turnover + 1e-9);
        for (int k = 0; k < 2; k++)
            CHECK(g[k] >= gl[k] - 1e-9 && g[k] <= gu[k] + 1e-9);
        CHECK_NEAR(out.risk, cvar_of(r, T, N, w), 1e-9);
        for (int other = 0; other < 20; other++) {
            const tribus_quant_portfolio p = {.assets = N,
                                              .cov = cov,
                                              .upper_at = upper,
                                              .groups = 2,
                                              .group = group,
                                              .group_lower = gl,
                                              .group_upper = gu,
                                              .start = start,
                                              .turnover = cfg.turnover};
            tribus_quant_portfolio_result answer;

            for (int i = 0; i < N * N; i++)
                cov[i] = i % (N + 1) == 0
                             ? exp(2.0 * (double)z[(other * N + i / N) % (T * N)])
                             : 0.0;
            CHECK(tribus_quant_min_variance(&p, qp, y, &answer, NULL) == TRIBUS_OK);
            for (double part = 1e-3; part <= 1.0; part *= 10) {
                double mix[N];

                for (int i = 0; i < N; i++)
                    mix[i] = w[i] + part * (y[i] - w[i]);
                CHECK(cvar_of(r, T, N, mix) >= out.risk - 1e-9);
            }
        }
    }
    free(work);
    free(qp);
}

static void tail_that_cannot_keep_its_limits_names_the_one(void)
{
    enum { T = 50, N = 3 };
    double r[T * N], w[N], group[N] = {1, 1, 0}, gl = 0.8, gu = 0.9;
    const double start[N] = {0, 0, 1}, mean[N] = {0.1, 0.2, 0.0}, fixed[N] = {0.2, 0, 0};
    const double top[N] = {0.2, 1, 1};
    tribus_quant_tail_cfg cfg = {
        .groups = 1, .group = group, .group_lower = &gl, .group_upper = &gu, .upper = 0.3};
    void *work;
    tribus_quant_tail_result out;
    tribus_quant_why why;
    float z[T * N];

    tribus_quant_normals(1, 0, 0, T * N, z);
    for (int k = 0; k < T * N; k++)
        r[k] = (double)z[k];
    cfg.start = start;
    work = malloc(tribus_quant_tail_bytes(&cfg, T, N));
    cfg.start = NULL;
    CHECK(work != NULL);
#define REFUSED(words)                                                                     \
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,       \
                                &why) == TRIBUS_REFUSED);                                  \
    CHECK_TEXT(why.text, words)
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,
                                &why) == TRIBUS_REFUSED);
    CHECK(strncmp(why.text, "infeasible: ", 12) ==
          0); /* budget and group: either is right */
    cfg.upper = 0.39;
    REFUSED("infeasible: group 0 cannot stay within 0.8 and 0.9");
    cfg.upper = 1.0;
    cfg.mean = mean;
    cfg.mean_floor = 0.5;
    REFUSED("infeasible: the mean cannot reach the floor 0.5");
    cfg.mean = NULL;
    cfg.start = start;
    cfg.turnover = 1.5;
    REFUSED("infeasible: a turnover of 1.5 is too little to get from the start to where "
            "the other limits hold");
    cfg.turnover = 1.6; /* no room inside: exactly what is needed */
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,
                                &why) == TRIBUS_OK);
    CHECK_NEAR(w[2], 0.2, 1e-8);
    cfg.start = NULL;
    gl = gu = 0.85; /* an equation, and a weight that is given */
    cfg.lower_at = fixed;
    cfg.upper_at = top;
    CHECK(tribus_quant_min_tail(&cfg, (tribus_quant_matrix){r, T, N}, work, w, &out,
                                &why) == TRIBUS_OK);
    CHECK_NEAR(w[0] + w[1], 0.85, 1e-9);
    CHECK(w[0] == 0.2);
#undef REFUSED
    free(work);
}

int main(void)
{
    tail_under_groups_and_turnover_is_feasible_and_none_near_it_is_better();
    tail_that_cannot_keep_its_limits_names_the_one();
    black_litterman_agrees_with_its_precision_form();
    risk_parity_gives_every_asset_its_share();
    infeasible_problems_name_the_constraint();
    bad_problems_are_refused_before_work_starts();
    one_asset_takes_everything();
    tail_with_a_floor_earns_it_and_an_impossible_floor_is_named();
    qp_of_random_problems_is_optimal_and_feasible();
    portfolios_of_pypfopt();
    hierarchical_risk_parity_of_pypfopt();
    portfolios_of_riskfolio();
    return 0;
}
