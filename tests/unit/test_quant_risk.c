/* test_quant_risk.c -- GARCH, options, shrinkage, components and stress against references.
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"

/* Bollerslev and Ghysels (1996), DEM/GBP; the values of the FCP benchmark. */
static void garch_of_dem2gbp(void)
{
    enum { N = 1974 };
    char *text = data_text("garch/dem2gbp.csv.gz");
    double r[N + 1], scratch[2 * N];
    tribus_quant_garch g;
    tribus_quant_risk risk, plain;
    const tribus_quant_var_cfg cfg = {.confidence = 0.99};

    CHECK(data_column(text, 1, 0, r, N + 1) == N);
    CHECK(tribus_quant_garch_fit(r, N, &g) == TRIBUS_OK);
    printf(
        "GARCH: mu %.8f omega %.7f alpha %.6f beta %.6f, log-likelihood %.5f, %u steps\n",
        g.mu, g.omega, g.alpha, g.beta, g.log_likelihood, g.iterations);
    CHECK_NEAR(g.mu, -0.00619041, 2e-8);
    CHECK_NEAR(g.omega, 0.0107613, 1e-7);
    CHECK_NEAR(g.alpha, 0.153134, 1e-6);
    CHECK_NEAR(g.beta, 0.805974, 1e-6);
    CHECK_NEAR(g.log_likelihood, -1106.60788, 1e-5);
    CHECK(tribus_quant_var_filtered(&cfg, r, N, &g, scratch, &risk) == TRIBUS_OK);
    CHECK(risk.es >= risk.var && risk.var > 0.0);
    memcpy(scratch, r, sizeof(r) - sizeof(r[0]));
    CHECK(tribus_quant_var_historical(&cfg, scratch, N, &plain) == TRIBUS_OK);
    /* Filtering scales the same residuals: the ratio is about that of the volatilities. */
    CHECK(risk.var / plain.var > 0.5 * sqrt(g.next_variance) / plain.sd);
    CHECK(risk.var / plain.var < 2.0 * sqrt(g.next_variance) / plain.sd);
    free(text);
}

static void garch_recovers_the_model_it_was_simulated_from(void)
{
    enum { N = 20000 };
    float *z = malloc(N * sizeof(*z));
    double *r = malloc(N * sizeof(*r)), h = 1.0;
    tribus_quant_garch g;

    CHECK(z != NULL && r != NULL);
    tribus_quant_normals(77, 0, 0, N, z);
    for (int t = 0; t < N; t++) {
        const double e = sqrt(h) * (double)z[t];

        r[t] = 1e-5 * (3.0 + e); /* tiny units must not matter */
        h = 0.1 + 0.1 * e * e + 0.8 * h;
    }
    CHECK(tribus_quant_garch_fit(r, N, &g) == TRIBUS_OK);
    CHECK_NEAR(g.alpha, 0.1, 0.02);
    CHECK_NEAR(g.beta, 0.8, 0.05);
    CHECK_NEAR(g.omega, 0.1e-10, 0.04e-10);
    free(z);
    free(r);
}

static void garch_when_it_cannot_fit_says_so(void)
{
    double r[100] = {0};
    tribus_quant_garch g = {.omega = 0.0};

    CHECK(tribus_quant_garch_fit(r, 100, &g) == TRIBUS_BAD_DATA);
    CHECK(tribus_quant_garch_fit(r, 19, &g) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_garch_filter(r, 100, &g, NULL) == TRIBUS_BAD_ARG);
    r[5] = NAN;
    CHECK(tribus_quant_garch_fit(r, 100, &g) == TRIBUS_BAD_DATA);
}

/* Haug (1998), as QuantLib's test-suite lists it: 43 cases. */
static void options_of_haug(void)
{
    char *text = data_text("options_haug/european_haug1998.csv"), *line;
    double worst = 0.0;
    int cases = 0;

    for (line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        tribus_quant_option o = {0};
        tribus_quant_greeks g;
        char type[8];
        double value, tolerance;

        if (sscanf(line, "%7[^,],%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf", type, &o.strike, &o.spot,
                   &o.dividend, &o.rate, &o.years, &o.volatility, &value, &tolerance) != 9)
            continue;
        o.call = strcmp(type, "Call") == 0;
        CHECK(tribus_quant_option_price(&o, &g) == TRIBUS_OK);
        worst = fmax(worst, fabs(g.price - value));
        CHECK_NEAR(g.price, value, tolerance);
        cases++;
    }
    printf("Haug: %d options, largest difference %.2g\n", cases, worst);
    CHECK(cases == 43 && worst < 5.6e-5);
    free(text);
}

static void greeks_are_the_derivatives_of_the_price(void)
{
    for (int call = 0; call < 2; call++) {
        const tribus_quant_option o = {call, 95.0, 100.0, 0.03, 0.05, 0.7, 0.25};
        tribus_quant_option up, down;
        tribus_quant_greeks g, a, b;
        const double e = 1e-4;

        CHECK(tribus_quant_option_price(&o, &g) == TRIBUS_OK);
#define BUMP(field, scale)                                                                 \
    up = down = o;                                                                         \
    up.field += e * (scale);                                                               \
    down.field -= e * (scale);                                                             \
    CHECK(tribus_quant_option_price(&up, &a) == TRIBUS_OK);                                \
    CHECK(tribus_quant_option_price(&down, &b) == TRIBUS_OK)
        BUMP(spot, 100);
        CHECK_NEAR(g.delta, (a.price - b.price) / (200 * e), 1e-7);
        CHECK_NEAR(g.gamma, (a.delta - b.delta) / (200 * e), 1e-7);
        BUMP(volatility, 1);
        CHECK_NEAR(g.vega, (a.price - b.price) / (2 * e), 1e-5);
        BUMP(years, 1);
        CHECK_NEAR(g.theta, -(a.price - b.price) / (2 * e), 1e-5);
        BUMP(rate, 1);
        CHECK_NEAR(g.rho, (a.price - b.price) / (2 * e), 1e-5);
#undef BUMP
    }
}

static void options_at_the_edge_are_worth_their_intrinsic_value_and_keep_parity(void)
{
    tribus_quant_option o = {1, 90, 100, 0, 0.05, 0, 0.2};
    tribus_quant_greeks c, p;

    CHECK(tribus_quant_option_price(&o, &c) == TRIBUS_OK && c.price == 10 && c.delta == 1);
    CHECK(c.gamma == 0 && isfinite(c.theta) && isfinite(c.vega));
    o = (tribus_quant_option){0, 90, 100, 0, 0.05, 1, 0};
    CHECK(tribus_quant_option_price(&o, &p) == TRIBUS_OK && p.price == 0);
    for (double k = 50; k < 200; k += 7.3) {
        o = (tribus_quant_option){1, k, 100, 0.02, 0.07, 1.5, 0.4};
        CHECK(tribus_quant_option_price(&o, &c) == TRIBUS_OK);
        o.call = 0;
        CHECK(tribus_quant_option_price(&o, &p) == TRIBUS_OK);
        CHECK_NEAR(c.price - p.price, 100 * exp(-0.03) - k * exp(-0.105), 1e-11);
    }
    o.spot = -1;
    CHECK(tribus_quant_option_price(&o, &p) == TRIBUS_BAD_ARG);
}

/* Ledoit and Wolf (2004), lemma 3.3, recomputed entry by entry from its definition. */
static void shrinkage_follows_the_definition_of_ledoit_and_wolf(void)
{
    enum { T = 30, N = 6 };
    double x[T * N], cov[N * N], s[N * N], scratch[2 * T * N + 2 * N * N], shrinkage;
    double m = 0, d2 = 0, b2 = 0, mean[N] = {0};
    const tribus_quant_matrix r = {x, T, N};
    float z[T * N];

    tribus_quant_normals(8, 8, 0, T * N, z);
    for (int k = 0; k < T * N; k++)
        x[k] = 0.01 * (double)z[k] * (1 + k % N) + 0.01 * (double)z[k / N * N];
    CHECK(tribus_quant_cov_shrunk_scratch(T, N) == 2 * T * N + 2 * N * N);
    CHECK(tribus_quant_cov_sample(r, 0, mean, s, scratch, NULL) == TRIBUS_OK);
    CHECK(tribus_quant_cov_shrunk(r, TRIBUS_QUANT_TARGET_IDENTITY, cov, scratch, &shrinkage,
                                  NULL) == TRIBUS_OK);
    for (int i = 0; i < N; i++)
        m += s[i * N + i] / N;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            const double e = s[i * N + j] - (i == j ? m : 0.0);

            d2 += e * e / N;
            for (int t = 0; t < T; t++) {
                const double p =
                    (x[t * N + i] - mean[i]) * (x[t * N + j] - mean[j]) - s[i * N + j];

                b2 += p * p / T / T / N;
            }
        }
    }
    CHECK(b2 < d2);
    CHECK_NEAR(shrinkage, b2 / d2, 1e-12);
    CHECK_NEAR(cov[1], (1 - shrinkage) * s[1], 1e-15);
    CHECK_NEAR(cov[0], (1 - shrinkage) * s[0] + shrinkage * m, 1e-15);
    CHECK(tribus_quant_cov_shrunk(r, TRIBUS_QUANT_TARGET_CONSTANT_CORRELATION, cov, scratch,
                                  &shrinkage, NULL) == TRIBUS_OK);
    CHECK(shrinkage > 0.0 && shrinkage <= 1.0);
    CHECK_NEAR(cov[0], s[0], 1e-18); /* this target keeps variances */
    x[0] = NAN;
    CHECK(tribus_quant_cov_shrunk(r, TRIBUS_QUANT_TARGET_IDENTITY, cov, scratch, NULL,
                                  NULL) == TRIBUS_BAD_DATA);
}

static void shrinkage_of_more_assets_than_rows_is_positive_definite(void)
{
    enum { T = 10, N = 25 };
    double x[T * N], cov[N * N], scratch[2 * T * N + 2 * N * N];
    float z[T * N];

    tribus_quant_normals(9, 8, 0, T * N, z);
    for (int k = 0; k < T * N; k++)
        x[k] = (double)z[k];
    CHECK(tribus_quant_cov_sample((tribus_quant_matrix){x, T, N}, 1, NULL, cov, scratch,
                                  NULL) == TRIBUS_OK);
    CHECK(tribus_quant_cholesky(cov, N, 1e-12, NULL) == TRIBUS_OK); /* singular, accepted */
    for (int target = 0; target < 2; target++) {
        CHECK(tribus_quant_cov_shrunk((tribus_quant_matrix){x, T, N},
                                      (tribus_quant_target)target, cov, scratch, NULL,
                                      NULL) == TRIBUS_OK);
        CHECK(tribus_quant_cholesky(cov, N, 0.0, NULL) == TRIBUS_OK);
    }
}

static void ewma_of_a_constant_return_goes_to_its_square(void)
{
    double cov[4] = {0}, r[2] = {0.01, -0.02};

    for (int i = 0; i < 2000; i++)
        CHECK(tribus_quant_cov_ewma_add(r, 2, 0.94, cov) == TRIBUS_OK);
    CHECK_NEAR(cov[0], 1e-4, 1e-16);
    CHECK_NEAR(cov[1], -2e-4, 1e-16);
    CHECK_NEAR(cov[2], -2e-4, 1e-16);
    CHECK(tribus_quant_cov_ewma_add(r, 2, 1.0, cov) == TRIBUS_BAD_ARG);
    r[1] = NAN;
    CHECK(tribus_quant_cov_ewma_add(r, 2, 0.94, cov) == TRIBUS_BAD_DATA && cov[0] > 0);
}

static void components_add_up_to_the_whole(void)
{
    enum { T = 200, N = 4 };
    const double cov[N * N] = {4, 1, 0, -1, 1, 9, 2, 0, 0, 2, 5, 1, -1, 0, 1, 3};
    const double mean[N] = {0.1, 0.2, -0.1, 0}, w[N] = {0.4, 0.3, 0.2, 0.1};
    double part[N], sum = 0, r[T * N], scratch[2 * T], nudged[N], up, down;
    tribus_quant_risk whole, a;
    float z[T * N];

    CHECK(tribus_quant_var_components((tribus_quant_matrix){cov, N, N}, mean, w, 0.99, part,
                                      &whole) == TRIBUS_OK);
    for (int i = 0; i < N; i++)
        sum += part[i];
    CHECK_NEAR(sum, whole.var, 1e-13);
    for (int i = 0; i < N; i++) { /* Euler: the slope in each weight */
        double other[N];

        memcpy(nudged, w, sizeof(w));
        nudged[i] = w[i] + 1e-6;
        CHECK(tribus_quant_var_components((tribus_quant_matrix){cov, N, N}, mean, nudged,
                                          0.99, other, &a) == TRIBUS_OK);
        up = a.var;
        nudged[i] = w[i] - 1e-6;
        CHECK(tribus_quant_var_components((tribus_quant_matrix){cov, N, N}, mean, nudged,
                                          0.99, other, &a) == TRIBUS_OK);
        down = a.var;
        CHECK_NEAR(part[i], w[i] * (up - down) / 2e-6, 1e-7);
    }
    tribus_quant_normals(1, 2, 0, T * N, z);
    for (int k = 0; k < T * N; k++)
        r[k] = floor(4.0 * (double)z[k]) / 4.0; /* ties at the edge of the tail */
    CHECK(tribus_quant_es_components((tribus_quant_matrix){r, T, N}, w, 0.9, part, scratch,
                                     &whole) == TRIBUS_OK);
    sum = 0;
    for (int i = 0; i < N; i++)
        sum += part[i];
    CHECK_NEAR(sum, whole.es, 1e-12);
}

static void stress_finds_the_worst_window_and_applies_shocks(void)
{
    const double r[10] = {0.1, 0, -0.2, -0.1, -0.5, 0.1, 0.3, 0, 0.2, 0.2}, w[2] = {1, 2};
    const double exposure[4] = {1, 0.5, 2, -1}, shock[2] = {-0.1, 0.2};
    const tribus_quant_matrix m = {r, 5, 2};
    double pnl, table[5], out[2];
    uint32_t first;

    CHECK(tribus_quant_stress_window(m, w, 1, 2, &pnl) == TRIBUS_OK);
    CHECK_NEAR(pnl, (0.8 * 0.5 - 1) + 2 * (0.9 * 1.1 - 1), 1e-15);
    CHECK(tribus_quant_stress_worst(m, w, 2, &first, &pnl) == TRIBUS_OK && first == 1);
    CHECK(tribus_quant_stress_worst(m, w, 6, &first, &pnl) == TRIBUS_BAD_ARG);
    CHECK(tribus_quant_stress_table(m, w, table) == TRIBUS_OK);
    CHECK_NEAR(table[1], -0.4, 1e-15);
    CHECK(tribus_quant_stress_factors((tribus_quant_matrix){exposure, 2, 2}, shock, out) ==
          TRIBUS_OK);
    CHECK_NEAR(out[0], 0.0, 1e-15);
    CHECK_NEAR(out[1], -0.4, 1e-15);
}

/* Rank correlation of a t copula equals that of its t vector, whatever the marginals. */
static void copula_keeps_marginals_and_dependence(void)
{
    enum { OBS = 1001, PATHS = 40000 };
    const float chol[4] = {1, 0, 0.6f, 0.8f};
    double *sorted = malloc(2 * OBS * sizeof(*sorted));
    float *out = malloc(2 * PATHS * sizeof(*out));

    CHECK(sorted != NULL && out != NULL);
    for (int i = 0; i < OBS; i++) {
        sorted[i] = i / 1000.0;               /* uniform on 0 .. 1 */
        sorted[OBS + i] = pow(i / 1000.0, 3); /* skewed */
    }
    for (int k = 0; k < 2; k++) {
        const tribus_quant_mc_cfg cfg = {
            .assets = 2, .paths = PATHS, .nu = k == 0 ? 0.0 : 4.0, .seed = 5};
        double mean = 0, cube = 0, concordant = 0;

        CHECK(tribus_quant_mc_copula(&cfg, chol, (tribus_quant_matrix){sorted, 2, OBS},
                                     out) == TRIBUS_OK);
        for (int p = 0; p < PATHS; p++) {
            mean += (double)out[2 * p] / PATHS;
            cube += (double)out[2 * p + 1] / PATHS;
        }
        for (int p = 0; p + 1 < PATHS; p += 2)
            concordant +=
                ((out[2 * p] - out[2 * p + 2]) * (out[2 * p + 1] - out[2 * p + 3]) > 0.0f) /
                (PATHS / 2.0);
        CHECK_NEAR(mean, 0.5, 5 * sqrt(1.0 / 12 / PATHS));
        CHECK_NEAR(cube, 0.25, 5 * sqrt(0.0804 / PATHS));
        /* Kendall's tau = 2 / pi asin(rho) for every elliptical copula. */
        CHECK_NEAR(2 * concordant - 1, 2 / 3.14159265358979 * asin(0.6),
                   5 * sqrt(4 * 0.25 / (PATHS / 2.0)));
    }
    free(sorted);
    free(out);
}

int main(void)
{
    garch_recovers_the_model_it_was_simulated_from();
    garch_when_it_cannot_fit_says_so();
    greeks_are_the_derivatives_of_the_price();
    options_at_the_edge_are_worth_their_intrinsic_value_and_keep_parity();
    shrinkage_follows_the_definition_of_ledoit_and_wolf();
    shrinkage_of_more_assets_than_rows_is_positive_definite();
    ewma_of_a_constant_return_goes_to_its_square();
    components_add_up_to_the_whole();
    stress_finds_the_worst_window_and_applies_shocks();
    copula_keeps_marginals_and_dependence();
    garch_of_dem2gbp();
    options_of_haug();
    return 0;
}
