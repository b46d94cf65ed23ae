/* test_quant_var.c -- VaR and ES against ORE, PerformanceAnalytics and closed forms.
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"
#include "quant/mc.h"

static void ore_historical_pnl_gives_its_var_and_es(void)
{
    char *text = data_text("ore_risk/historical_PnL.csv");
    double *all = malloc(5000 * sizeof(double)), pnl[715];
    tribus_quant_var_cfg cfg = {.confidence = 0.99};
    tribus_quant_risk risk;

    /* The first 715 rows are the portfolio's total. */
    CHECK(all != NULL && data_column(text, 1, 5, all, 5000) >= 715);
    memcpy(pnl, all, sizeof(pnl));
    CHECK(tribus_quant_var_historical(&cfg, pnl, 715, &risk) == TRIBUS_OK);
    CHECK_NEAR(-risk.var, -874503.346996, 1e-6);
    CHECK_NEAR(-risk.es, -949845.987415, 1e-6);
    cfg.confidence = 0.95;
    CHECK(tribus_quant_var_historical(&cfg, pnl, 715, &risk) == TRIBUS_OK);
    CHECK_NEAR(-risk.var, -629899.117052, 1e-6);
    CHECK_NEAR(-risk.es, -777808.702398, 1e-6);
    free(all);
    free(text);
}

static void performance_analytics_edhec_gives_its_var_and_es(void)
{
    char *text = data_text("perf_analytics/edhec.csv");
    double r[100];
    const tribus_quant_var_cfg cfg = {0.95, TRIBUS_QUANT_TYPE7, TRIBUS_QUANT_ES_BELOW};
    tribus_quant_moments m;
    tribus_quant_risk risk;

    CHECK(data_column(text, 1, 1, r, 100) == 100);
    CHECK(tribus_quant_moments_of(r, 100, &m) == TRIBUS_OK);
    CHECK(tribus_quant_var_gaussian(m.mean, m.sd_population, 0.95, &risk) == TRIBUS_OK);
    CHECK_NEAR(-risk.var, -0.012133, 5e-7);
    CHECK_NEAR(-risk.es, -0.017133, 5e-7);
    CHECK(tribus_quant_var_modified(&m, 0.95, &risk) == TRIBUS_OK);
    CHECK_NEAR(-risk.var, -0.014674, 5e-7);
    /* The formula of Boudt, Peterson and Croux, integrated numerically with scipy. The
     * package's own regression test has -0.024080 as ES(method = "historical"); a list that
     * calls it modified is mistaken: it is the mean of the five returns below the VaR. */
    CHECK_NEAR(-risk.es, -0.023357366553779, 1e-12);
    CHECK(tribus_quant_var_historical(&cfg, r, 100, &risk) == TRIBUS_OK);
    CHECK_NEAR(-risk.var, -0.014095, 5e-7);
    CHECK_NEAR(-risk.es, -0.024080, 5e-7);
    free(text);
}

/* PerformanceAnalytics, test-VaR_archive_baseline.R: VaR(edhec[1:100, 1:3], method =
 * "gaussian", portfolio_method = "component", weights = c(.3, .4, .3), p = .95). */
static void performance_analytics_portfolio_of_three_gives_its_component_var(void)
{
    enum { ROWS = 100, N = 3 };
    char *text = data_text("perf_analytics/edhec.csv");
    const double w[N] = {0.3, 0.4, 0.3};
    double r[ROWS * N], one[ROWS], cov[N * N], mean[N], part[N], scratch[ROWS * N];
    tribus_quant_risk risk;

    for (uint32_t k = 0; k < N; k++) {
        CHECK(data_column(text, 1, k + 1, one, ROWS) == ROWS);
        for (uint32_t t = 0; t < ROWS; t++)
            r[t * N + k] = one[t];
    }
    CHECK(tribus_quant_cov_sample((tribus_quant_matrix){r, ROWS, N}, 1, mean, cov, scratch,
                                  NULL) == TRIBUS_OK);
    CHECK(tribus_quant_var_components((tribus_quant_matrix){cov, N, N}, mean, w, 0.95, part,
                                      &risk) == TRIBUS_OK);
    CHECK_NEAR(risk.var, 0.012916, 5e-7);
    CHECK_NEAR(part[0] + part[1] + part[2], risk.var, 1e-15);
    free(text);
}

static void quantiles_invert_their_distribution_functions(void)
{
    for (double p = 1e-12; p < 0.9999; p = p < 0.01 ? p * 3.7 : p + 0.0137) {
        CHECK_NEAR(tribus_quant_normal_cdf(tribus_quant_normal_quantile(p)) / p, 1.0,
                   1e-12);
        for (double nu = 1.0; nu < 200.0; nu *= 2.7)
            CHECK_NEAR(tribus_quant_student_cdf(tribus_quant_student_quantile(p, nu), nu) /
                           p,
                       1.0, 1e-11);
    }
    /* Published tables: Abramowitz and Stegun 26.1 and 26.10; nu = 1 is Cauchy. */
    CHECK_NEAR(tribus_quant_normal_quantile(0.05), -1.6448536269514722, 1e-14);
    CHECK_NEAR(tribus_quant_student_quantile(0.05, 5.0), -2.0150483733330233, 1e-13);
    CHECK_NEAR(tribus_quant_student_quantile(0.01, 5.0), -3.3649299989072743, 1e-12);
    CHECK_NEAR(tribus_quant_student_quantile(0.75, 1.0), 1.0, 1e-13);
    CHECK(isinf(tribus_quant_normal_quantile(0.0)) &&
          isnan(tribus_quant_normal_quantile(2)));
}

static void var_grows_with_confidence_and_es_is_never_below_it(void)
{
    enum { N = 997 };
    const uint64_t seed = check_seed();
    float z[N];
    double x[N];

    tribus_quant_normals(seed, 0, 0, N, z);
    for (int es = 0; es <= TRIBUS_QUANT_ES_EXACT; es++) {
        for (int rule = 1; rule <= 9; rule++) {
            double last = -INFINITY;

            for (double level = 0.5; level < 0.9999; level += 0.0031) {
                const tribus_quant_var_cfg cfg = {level, (tribus_quant_quantile_rule)rule,
                                                  (tribus_quant_es_rule)es};
                tribus_quant_risk h;

                for (int i = 0; i < N; i++)
                    x[i] = (double)z[i] * (double)z[i] * (double)z[i];
                CHECK(tribus_quant_var_historical(&cfg, x, N, &h) == TRIBUS_OK);
                CHECK(h.var >= last);
                /* A quantile between two observations may pass the mean of the tail's
                 * count by one of them; with the rule that names the same tail it cannot.
                 */
                if (rule == 1 || es == TRIBUS_QUANT_ES_BELOW)
                    CHECK(h.es >= h.var - 1e-12);
                last = h.var;
            }
        }
    }
    for (double level = 0.5; level < 0.9999; level += 0.01) {
        tribus_quant_risk n, t, up;

        CHECK(tribus_quant_var_gaussian(0.001, 0.02, level, &n) == TRIBUS_OK);
        CHECK(tribus_quant_var_gaussian(0.001, 0.02, level + 0.005, &up) == TRIBUS_OK);
        CHECK(tribus_quant_var_student(0.001, 0.02, 4.0, level, &t) == TRIBUS_OK);
        CHECK(n.es > n.var && t.es > t.var && up.var > n.var);
    }
}

static void var_moves_with_translation_and_scale(void)
{
    enum { N = 500 };
    const tribus_quant_var_cfg cfg = {.confidence = 0.9};
    tribus_quant_risk a, b;
    float z[N];
    double x[N], y[N];

    tribus_quant_normals(3, 0, 0, N, z);
    for (int i = 0; i < N; i++) {
        x[i] = (double)z[i];
        y[i] = 4.0 * x[i] + 8.0;
    }
    CHECK(tribus_quant_var_historical(&cfg, x, N, &a) == TRIBUS_OK);
    CHECK(tribus_quant_var_historical(&cfg, y, N, &b) == TRIBUS_OK);
    CHECK_NEAR(b.var, 4.0 * a.var - 8.0, 1e-12);
    CHECK_NEAR(b.es, 4.0 * a.es - 8.0, 1e-12);
}

static void var_of_bad_input_is_refused(void)
{
    double x[3] = {1, NAN, 2}, one[1] = {-3};
    float f[2] = {1, INFINITY};
    const tribus_quant_var_cfg ok = {0}, high = {.confidence = 1.0}, rule = {.rule = 12};
    tribus_quant_risk r;

    CHECK(tribus_quant_var_historical(&ok, x, 3, &r) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_var_historical(&ok, x, 0, &r) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_var_historical(&high, one, 1, &r) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_var_historical(&rule, one, 1, &r) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_var_historical(&ok, one, 1, &r) == TRIBUS_OK && r.var == 3 &&
          r.es == 3);
    CHECK(tribus_quant_var_simulated(0.95, f, 2, &r) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_var_gaussian(0, -1, 0.95, &r) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_var_student(0, 1, 2.0, 0.95, &r) == TRIBUS_BAD_ARG);
}

static void simulated_var_equals_historical_type_1(void)
{
    enum { N = 20011 };
    float *f = malloc(N * sizeof(*f));
    double *x = malloc(N * sizeof(*x));
    const double levels[] = {0.5, 0.9, 0.95, 0.99, 0.9999};

    CHECK(f != NULL && x != NULL);
    for (int k = 0; k < 5; k++) {
        const tribus_quant_var_cfg cfg = {.confidence = levels[k]};
        tribus_quant_risk a, b;

        tribus_quant_normals(check_seed(), (uint32_t)k, 0, N, f);
        for (int i = 0; i < N; i++) {
            if (k % 2 == 1)
                f[i] = floorf(4.0f * f[i]); /* many ties */
            x[i] = (double)f[i];
        }
        CHECK(tribus_quant_var_simulated(levels[k], f, N, &a) == TRIBUS_OK);
        CHECK(tribus_quant_var_historical(&cfg, x, N, &b) == TRIBUS_OK);
        CHECK(a.var == b.var);
        CHECK_NEAR(a.es, b.es, 1e-12);
        CHECK_NEAR(a.sd, b.sd, 1e-12);
    }
    free(f);
    free(x);
}

/* z-score of a simulated quantile against the true one: sqrt(q (1 - q) / paths) / density.
 */
static void check_against(const char *name, const tribus_quant_risk *mc,
                          const tribus_quant_risk *exact, double error_of_var)
{
    const double z = (mc->var - exact->var) / error_of_var;
    /* The mean of a tail is at most twice as noisy as its edge for nu >= 5 at these levels.
     */
    const double z_es = (mc->es - exact->es) / (2.5 * error_of_var);

    printf("%s: VaR %.8f, closed form %.8f, z %+.2f; ES %.8f, closed form %.8f\n", name,
           mc->var, exact->var, z, mc->es, exact->es);
    CHECK(fabs(z) < 4.0);
    CHECK(fabs(z_es) < 4.0);
}

enum { TICKERS = 439, DAYS_MAX = 1300 };

/* Daily log returns of adjusted closes of the 439 tickers: days x TICKERS out. */
static uint32_t us_equity_returns(double *r)
{
    char *names = data_text("us_equities/tickers_clean.txt");
    char *text = data_text("us_equities/sp500_ohlcv_2016_2021.csv.gz"), *line;
    char(*ticker)[8] = calloc(TICKERS, sizeof(*ticker));
    tribus_quant_text f[8], date = {NULL, 0};
    tribus_quant_csv csv;
    uint32_t n = 0, days = 0, count;

    CHECK(ticker != NULL);
    for (line = strtok(names, "\r\n"); line != NULL; line = strtok(NULL, "\r\n"))
        (void)snprintf(ticker[n++], sizeof(*ticker), "%s", line);
    CHECK(n == TICKERS);
    for (size_t i = 0; i < (size_t)DAYS_MAX * TICKERS; i++)
        r[i] = NAN;
    tribus_quant_csv_init(&csv, text, strlen(text));
    CHECK(tribus_quant_csv_next(&csv, f, 8, &count, NULL) == TRIBUS_OK);
    while (tribus_quant_csv_next(&csv, f, 8, &count, NULL) == TRIBUS_OK) {
        uint32_t low = 0, high = TICKERS;

        if (date.at == NULL || memcmp(date.at, f[0].at, 10) != 0) {
            date = f[0];
            days++;
        }
        CHECK(days <= DAYS_MAX && f[1].bytes < 8);
        while (low < high) { /* the list is in order */
            const uint32_t mid = (low + high) / 2;
            const int order = strncmp(ticker[mid], f[1].at, f[1].bytes);

            if (order < 0)
                low = mid + 1;
            else
                high = mid;
        }
        if (low < TICKERS && strlen(ticker[low]) == f[1].bytes &&
            memcmp(ticker[low], f[1].at, f[1].bytes) == 0)
            CHECK(tribus_quant_csv_number(f[5], &r[(size_t)(days - 1) * TICKERS + low]) ==
                  TRIBUS_OK);
    }
    CHECK(tribus_quant_returns_log((tribus_quant_matrix){r, days, TICKERS}, r, NULL) ==
          TRIBUS_OK);
    free(names);
    free(text);
    free(ticker);
    return days - 1;
}

static void check_monte_carlo(const double *cov, const float *mean, const float *chol)
{
    enum { N = TICKERS, PATHS = DATA_SANITIZED ? 10000 : 50000 };
    const double nus[] = {0.0, 5.0};
    double variance = 0.0, mu = 0.0;
    float w[N];

    for (int i = 0; i < N; i++) {
        w[i] = 1.0f / N;
        mu += (double)mean[i] / N;
    }
    for (int i = 0; i < N * N; i++)
        variance += cov[i] / N / N;
    for (int k = 0; k < 2; k++) {
        const tribus_quant_mc_cfg cfg = {
            .assets = N, .paths = PATHS, .nu = nus[k], .seed = 42};
        const size_t bytes = tribus_quant_mc_scratch_bytes(&cfg);
        const double sd = sqrt(variance);
        void *scratch = malloc(bytes);
        tribus_quant_risk mc, exact, near;
        double density;

        CHECK(scratch != NULL);
        CHECK(tribus_quant_mc_risk(&cfg, mean, chol, w, scratch, bytes, &mc) == TRIBUS_OK);
        CHECK(tribus_quant_mc_risk(&cfg, mean, chol, w, scratch, bytes - 1, &mc) ==
              TRIBUS_BAD_ARG);
        if (k == 0) {
            CHECK(tribus_quant_var_gaussian(mu, sd, 0.95, &exact) == TRIBUS_OK);
            CHECK(tribus_quant_var_gaussian(mu, sd, 0.951, &near) == TRIBUS_OK);
        } else {
            CHECK(tribus_quant_var_student(mu, sd, 5.0, 0.95, &exact) == TRIBUS_OK);
            CHECK(tribus_quant_var_student(mu, sd, 5.0, 0.951, &near) == TRIBUS_OK);
        }
        density = 0.001 / (near.var - exact.var);
        check_against(k == 0 ? "normal" : "Student-t(5)", &mc, &exact,
                      sqrt(0.05 * 0.95 / PATHS) / density);
        CHECK_NEAR(mc.sd, sd, 12.0 * sd / sqrt(PATHS));
        free(scratch);
    }
}

/* 439 assets, a covariance of one common factor and noise; equal weights. */
static void monte_carlo_agrees_with_the_closed_form_of_its_covariance(void)
{
    enum { N = TICKERS };
    double *cov = malloc(sizeof(double) * N * N), *l = malloc(sizeof(double) * N * N);
    float *chol = malloc(sizeof(float) * N * N), mean[N];

    CHECK(cov != NULL && chol != NULL && l != NULL);
    for (int i = 0; i < N; i++) {
        mean[i] = 0.0001f * (float)(i % 7);
        for (int j = 0; j < N; j++)
            cov[i * N + j] =
                1e-4 * (0.5 + 0.001 * (i % 5) * (j % 5)) + (i == j ? 3e-4 : 0.0);
    }
    memcpy(l, cov, sizeof(double) * N * N);
    CHECK(tribus_quant_cholesky(l, N, 0.0, NULL) == TRIBUS_OK);
    for (int i = 0; i < N * N; i++)
        chol[i] = (float)l[i];
    check_monte_carlo(cov, mean, chol);
    free(cov);
    free(l);
    free(chol);
}

/* us_equities, tickers_clean.txt: the covariance of the real returns. */
static void monte_carlo_of_439_us_equities_agrees_with_the_closed_form(void)
{
    enum { N = TICKERS };
    double *r = malloc(sizeof(double) * DAYS_MAX * N),
           *cov = malloc(sizeof(double) * N * N);
    double *scratch = malloc(sizeof(double) * DAYS_MAX * N), mu[N];
    float *chol = malloc(sizeof(float) * N * N), mean[N];
    tribus_quant_why why = {""};
    uint32_t days;
    tribus_status st;

    CHECK(r != NULL && cov != NULL && scratch != NULL && chol != NULL);
    days = us_equity_returns(r);
    st = tribus_quant_cov_sample((tribus_quant_matrix){r, days, N}, 1, mu, cov, scratch,
                                 &why);
    printf("us_equities: %u returns of %d tickers %s\n", days, N, why.text);
    CHECK(st == TRIBUS_OK && days > 1200);
    memcpy(scratch, cov, sizeof(double) * N * N);
    CHECK(tribus_quant_cholesky(scratch, N, 0.0, &why) == TRIBUS_OK);
    for (int i = 0; i < N * N; i++)
        chol[i] = (float)scratch[i];
    for (int i = 0; i < N; i++)
        mean[i] = (float)mu[i];
    check_monte_carlo(cov, mean, chol);
    free(r);
    free(cov);
    free(scratch);
    free(chol);
}

static void monte_carlo_when_paths_are_split_gives_the_same_bits_as_one_gpu_thread(void)
{
    enum { N = 13, PATHS = 333 };
    float loading[16] = {0}, whole[PATHS], part[PATHS];
    tribus_quant_mc_cfg cfg = {.assets = N, .paths = PATHS, .nu = 4.5, .seed = 1u << 31};

    cfg.first_path = 0xffffffedu; /* across the low word of the counter */
    CHECK(tribus_quant_mc_loading_count(N) == 16);
    for (int i = 0; i < N; i++)
        loading[i] = 0.01f * (float)(i - 5);
    CHECK(tribus_quant_mc_pnl(&cfg, loading, 0.125f, whole) == TRIBUS_OK);
    cfg.paths = 100;
    CHECK(tribus_quant_mc_pnl(&cfg, loading, 0.125f, part) == TRIBUS_OK);
    cfg.first_path += 100;
    cfg.paths = PATHS - 100;
    CHECK(tribus_quant_mc_pnl(&cfg, loading, 0.125f, part + 100) == TRIBUS_OK);
    CHECK(memcmp(whole, part, sizeof(whole)) == 0);
    for (uint32_t p = 0; p < PATHS; p++)
        CHECK(whole[p] == tribus_mc_path(loading, N, 0.125f, 4.5f,
                                         0xffffffedu + (uint64_t)p, 1u << 31));
}

static void scenarios_times_weights_are_the_paths_of_mc_risk(void)
{
    enum { N = 6, PATHS = 50 };
    const float mean[N] = {0.01f, 0, -0.01f, 0.02f, 0, 0};
    const float w[N] = {0.3f, 0.1f, 0.2f, 0.2f, 0.1f, 0.1f};
    float chol[N * N] = {0}, r[N * PATHS], loading[8], drift, pnl[PATHS];
    const tribus_quant_mc_cfg cfg = {.assets = N, .paths = PATHS, .nu = 6, .seed = 9};

    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++)
            chol[i * N + j] = i == j ? 0.02f : 0.003f * (float)(j + 1);
    CHECK(tribus_quant_mc_scenarios(&cfg, mean, chol, r) == TRIBUS_OK);
    CHECK(tribus_quant_mc_load(N, mean, chol, w, loading, &drift) == TRIBUS_OK);
    CHECK(tribus_quant_mc_pnl(&cfg, loading, drift, pnl) == TRIBUS_OK);
    for (int p = 0; p < PATHS; p++) {
        double sum = 0;

        for (int i = 0; i < N; i++)
            sum += (double)w[i] * (double)r[p * N + i];
        CHECK_NEAR(sum, (double)pnl[p], 1e-7);
    }
}

int main(void)
{
    quantiles_invert_their_distribution_functions();
    var_grows_with_confidence_and_es_is_never_below_it();
    var_moves_with_translation_and_scale();
    var_of_bad_input_is_refused();
    simulated_var_equals_historical_type_1();
    monte_carlo_agrees_with_the_closed_form_of_its_covariance();
    monte_carlo_when_paths_are_split_gives_the_same_bits_as_one_gpu_thread();
    scenarios_times_weights_are_the_paths_of_mc_risk();
    ore_historical_pnl_gives_its_var_and_es();
    performance_analytics_edhec_gives_its_var_and_es();
    performance_analytics_portfolio_of_three_gives_its_component_var();
    monte_carlo_of_439_us_equities_agrees_with_the_closed_form();
    return 0;
}
