/* bench_quant.c -- `tribus bench quant`: how long the mathematics takes, on one core, and what
 * numpy, scipy, pandas (bench/peers/quant.py) and QuantLib (bench/peers/peer_quantlib.cpp) take
 * for the same, in one run. */
#include "cli/bench_quant.h"
#include "cli/commands.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ASSETS = QUANT_ASSETS, DAYS = QUANT_DAYS, PATHS = 100000 };

/* ---- Monte-Carlo ---- */

/* ns of the normals and of the triangular product that scenarios of all assets need. */
static double monte_carlo_floor(const float *chol, float *out, uint32_t paths)
{
    double best = INFINITY;

    for (int k = 0; k < 3; k++) {
        const double began = quant_bench_now();

        tribus_quant_normals(1, 1, 0, paths * ASSETS, out);
        cblas_strmm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
                    (int)paths, ASSETS, 1.0f, chol, ASSETS, out, ASSETS);
        best = fmin(best, quant_bench_now() - began);
    }
    return best;
}

static bool bench_monte_carlo(const quant_bench *b)
{
    const tribus_quant_mc_cfg cfg = {
        .assets = ASSETS, .paths = PATHS, .nu = 5.0, .seed = 1, .confidence = 0.99};
    const tribus_quant_mc_cfg part = {.assets = ASSETS, .paths = PATHS / 10, .nu = 5.0};
    const size_t bytes = tribus_quant_mc_scratch_bytes(&cfg);
    float *chol = calloc((size_t)ASSETS * ASSETS, sizeof(*chol)), mean[ASSETS], w[ASSETS];
    float *scenarios = malloc((size_t)part.paths * ASSETS * sizeof(*scenarios));
    void *scratch = malloc(bytes);
    quant_row row = {.kase = "mc-var-439-t5",
                     .unit = "path",
                     .units = PATHS,
                     .repeats = 6,
                     .peer_runs = quant_bench_wants(b, "mc-var-439-t5") ? 3 : 0,
                     .goal = {.ratio = 5, .fraction = 0.7}};
    quant_row full = {.kase = "mc-scenarios-439-t5",
                      .unit = "path",
                      .units = part.paths,
                      .repeats = 5,
                      .goal.fraction = 0.7};
    bool good = chol != NULL && scenarios != NULL && scratch != NULL;
    tribus_quant_risk risk;

    for (uint32_t i = 0; good && i < ASSETS; i++) {
        mean[i] = 0.0f;
        w[i] = 1.0f / ASSETS;
        for (uint32_t j = 0; j <= i; j++)
            chol[(size_t)i * ASSETS + j] = i == j ? 0.02f : 0.0005f;
    }
    if (good) {
        full.floor_ns = monte_carlo_floor(chol, scenarios, part.paths);
        row.floor_ns = full.floor_ns * PATHS / part.paths;
    }
    for (uint32_t k = 0; good && k < row.repeats; k++) {
        const double began = quant_bench_now();

        good =
            tribus_quant_mc_risk(&cfg, mean, chol, w, scratch, bytes, &risk) == TRIBUS_OK;
        row.ns[k] = quant_bench_now() - began;
        quant_bench_turn(b, &row, k);
    }
    for (uint32_t k = 0; good && k < full.repeats; k++) {
        const double began = quant_bench_now();

        good = tribus_quant_mc_scenarios(&part, mean, chol, scenarios) == TRIBUS_OK;
        full.ns[k] = quant_bench_now() - began;
    }
    if (good) {
        quant_bench_print(b, &row);
        quant_bench_print(b, &full);
    }
    free(chol);
    free(scenarios);
    free(scratch);
    return good;
}

/* ---- vpin, portfolio, backtest ---- */

enum { TRADES = 10000000 };

typedef struct flow_sum {
    const float *z;
    double buy, sell;
} flow_sum;

/* Who bought how much, and nothing else. */
static void add_volumes(void *ctx)
{
    flow_sum *s = ctx;
    double buy = 0.0, sell = 0.0;

    for (uint32_t i = 0; i < TRADES; i++) {
        const float z = s->z[i % (DAYS * ASSETS)];
        const double size = (double)fabsf(z) * 10.0;

        buy += z > 0.0f ? size : 0.0;
        sell += z > 0.0f ? 0.0 : size;
    }
    s->buy = buy;
    s->sell = sell;
}

static bool bench_vpin(const quant_bench *b)
{
    flow_sum volumes = {b->z, 0.0, 0.0};
    quant_row row = {.kase = "vpin-stream",
                     .unit = "trade",
                     .units = TRADES,
                     .repeats = 5,
                     .goal.rate = 50e6};
    double ring[50], sum = 0.0;
    tribus_quant_vpin v;

    row.floor_ns = quant_bench_least(add_volumes, &volumes);
    sum += volumes.buy + volumes.sell; /* so that it is computed */
    for (uint32_t k = 0; k < row.repeats; k++) {
        double began;

        if (tribus_quant_vpin_init(&v, 1000.0, 50, ring) != TRIBUS_OK)
            return false;
        began = quant_bench_now();
        for (uint32_t i = 0; i < TRADES; i++) {
            const float z = b->z[i % (DAYS * ASSETS)];
            const double size = (double)fabsf(z) * 10.0;

            (void)tribus_quant_vpin_add(&v, z > 0.0f ? size : 0.0, z > 0.0f ? 0.0 : size);
        }
        row.ns[k] = quant_bench_now() - began;
        sum += tribus_quant_vpin_value(&v);
    }
    quant_bench_print(b, &row);
    return sum > 0.0;
}

typedef struct factor_once {
    const double *cov;
    double *copy;
    bool good;
} factor_once;

/* One Cholesky factor of the covariance. */
static void factor_cov(void *ctx)
{
    factor_once *f = ctx;

    memcpy(f->copy, f->cov, sizeof(double) * ASSETS * ASSETS);
    f->good = tribus_quant_cholesky(f->copy, ASSETS, 0.0, NULL) == TRIBUS_OK;
}

/* Least variance is strictly convex over the simplex, so a warm solve that keeps its set
 * still has to multiply: one product of the covariance and the weights. */
static void multiply_once(void *ctx)
{
    factor_once *f = ctx;

    cblas_dsymv(CblasRowMajor, CblasLower, ASSETS, 1.0, f->cov, ASSETS, f->cov, 1, 0.0,
                f->copy, 1);
}

static bool bench_portfolio(const quant_bench *b)
{
    const size_t n = ASSETS;
    double *r = malloc(n * DAYS * sizeof(*r)), *cov = malloc(n * n * sizeof(*cov));
    double *scratch = malloc(n * DAYS * sizeof(*scratch)), w[ASSETS];
    void *work = calloc(1, tribus_quant_portfolio_bytes(ASSETS, 0));
    const tribus_quant_portfolio p = {.assets = ASSETS, .cov = cov};
    quant_row rows[2] = {
        {.kase = "min-variance-439-cold",
         .unit = "solve",
         .units = 1,
         .repeats = 11,
         .peer_runs = quant_bench_wants(b, "min-variance-439-cold") ? 3 : 0,
         .goal = {.ns = 20e6, .kkt = 1e-8}},
        {.kase = "min-variance-439-warm",
         .unit = "solve",
         .units = 1,
         .repeats = 11,
         .goal = {.ns = 2e6, .kkt = 1e-8}}};
    bool good = r != NULL && cov != NULL && scratch != NULL && work != NULL;

    for (size_t i = 0; good && i < n * DAYS; i++) /* one market, and each its own */
        r[i] = 0.01 * ((double)b->z[i / n * n] +
                       (double)b->z[i] * (1.0 + (double)(i % n) / 300.0));
    good = good && tribus_quant_cov_sample((tribus_quant_matrix){r, DAYS, ASSETS}, 1, NULL,
                                           cov, scratch, NULL) == TRIBUS_OK;
    if (good) {
        factor_once f = {cov, scratch, false};

        rows[0].floor_ns = quant_bench_least(factor_cov, &f);
        good = f.good;
        rows[1].floor_ns = quant_bench_least(multiply_once, &f);
    }
    for (uint32_t k = 0; good && k < 11; k++) {
        for (int warm = 0; good && warm < 2; warm++) {
            tribus_quant_portfolio_result out;
            double began;

            if (warm)
                for (size_t i = 0; i < n; i++) /* the next tick's covariance */
                    (void)cblas_daxpy(ASSETS, 0.01 * r[k * n + i], &r[k * n], 1,
                                      &cov[i * n], 1);
            else
                memset(work, 0, 8);
            began = quant_bench_now();
            good = tribus_quant_min_variance(&p, work, w, &out, NULL) == TRIBUS_OK;
            rows[warm].ns[k] = quant_bench_now() - began;
            quant_bench_turn(b, &rows[warm], k);
            rows[warm].kkt = fmax(rows[warm].kkt, out.qp.kkt);
        }
    }
    for (int warm = 0; good && warm < 2; warm++)
        quant_bench_print(b, &rows[warm]);
    free(r);
    free(cov);
    free(scratch);
    free(work);
    return good;
}

enum { PAIRS = 1000 };

typedef struct sweep_pass {
    const double *bars, *averages;
    double sum;
} sweep_pass;

/* Each run reads the opens, the closes and two averages, once. */
static void read_series(void *ctx)
{
    sweep_pass *s = ctx;

    for (uint32_t i = 0; i < PAIRS; i++)
        s->sum += cblas_ddot(DAYS, &s->bars[TRIBUS_QUANT_OPEN * DAYS], 1,
                             &s->averages[(size_t)(i % 20) * DAYS], 1) +
                  cblas_ddot(DAYS, &s->bars[TRIBUS_QUANT_CLOSE * DAYS], 1,
                             &s->averages[(size_t)(20 + i / 20) * DAYS], 1);
}

static bool bench_sweep(const quant_bench *b)
{
    double *bars = malloc((size_t)TRIBUS_QUANT_FIELDS * DAYS * sizeof(*bars));
    double *scratch = malloc(tribus_quant_sweep_scratch(DAYS, 120) * sizeof(*scratch));
    tribus_quant_sweep_pair pairs[PAIRS];
    tribus_quant_sweep_result *out = malloc(PAIRS * sizeof(*out));
    const tribus_quant_sweep_cfg cfg = {.longest = 120};
    quant_row row = {.kase = "sweep-sma-1000",
                     .unit = "run",
                     .units = PAIRS,
                     .repeats = 21,
                     .peer_runs = 7,
                     .goal.ratio = 100};
    bool good = bars != NULL && scratch != NULL && out != NULL;

    if (good)
        quant_bench_bars(b, 0, bars);
    for (uint32_t i = 0; i < PAIRS; i++)
        pairs[i] = (tribus_quant_sweep_pair){1 + i % 20, 21 + i / 20};
    for (uint32_t k = 0; good && k < row.repeats; k++) {
        const tribus_quant_ohlc ohlc = {
            &bars[TRIBUS_QUANT_OPEN * DAYS], &bars[TRIBUS_QUANT_HIGH * DAYS],
            &bars[TRIBUS_QUANT_LOW * DAYS], &bars[TRIBUS_QUANT_CLOSE * DAYS], DAYS};
        const double began = quant_bench_now();

        good = tribus_quant_sweep_sma(&ohlc, &cfg, pairs, PAIRS, scratch, out) == TRIBUS_OK;
        row.ns[k] = quant_bench_now() - began;
        quant_bench_turn(b, &row, k);
    }
    if (good) {
        sweep_pass pass = {bars, scratch, 0.0};

        row.floor_ns = quant_bench_least(read_series, &pass);
        quant_bench_print(b, &row);
    }
    free(bars);
    free(scratch);
    free(out);
    return good;
}

/* Can the script run? Its name goes through a shell. */
static const char *usable_peers(const char *path)
{
    if (path != NULL && access(path, R_OK) == 0 && strchr(path, '\'') == NULL)
        return path;
    (void)tribus_cli_complain("bench quant",
                              "no peers: give --peers bench/peers/quant.py, or --no-peers");
    return NULL;
}

int tribus_cli_bench_quant(int argc, char **argv)
{
    static const struct {
        const char *kases[2]; /* that a function prints */
        bool (*run)(const quant_bench *b);
    } all[] = {{{"mc-var-439-t5", "mc-scenarios-439-t5"}, bench_monte_carlo},
               {{"vpin-stream", "vpin-stream"}, bench_vpin},
               {{"min-variance-439-cold", "min-variance-439-warm"}, bench_portfolio},
               {{"sweep-sma-1000", "sweep-sma-1000"}, bench_sweep},
               {{"factors-516-439x1256", "factors-516-new-bar-439"}, quant_bench_factors},
               {{"fi2010-event", "fi2010-event"}, quant_bench_fi2010},
               {{"option-greeks-10000", "option-tick-10000"}, quant_bench_options},
               {{"var-439x1256", "var-439x1256"}, quant_bench_var}};
    quant_bench b = {.factors = "factors/alpha516.factors",
                     .peers = "bench/peers/quant.py",
                     .quantlib = "build/release/peers/peer_quantlib"};
    bool no_peers = false, good = true, any = false;
    const tribus_cli_usage usage = {
        "bench quant", "[--json] [--no-peers] [--only CASE] [--factors FILE]",
        "Time the mathematics at the platform's sizes, and numpy, scipy, pandas and "
        "QuantLib "
        "in turn with it\n"
        "where they are installed; CPU time of one core, medians. floor is the least that "
        "the case needs,\ntimed in the same run: of Monte-Carlo the random numbers and the "
        "product that scenarios of every\nasset need, of portfolios a Cholesky factor "
        "(cold) and a product with the covariance (warm),\nof the rest one pass over its "
        "data.\nCases: mc-var-439-t5, mc-scenarios-439-t5, vpin-stream, "
        "min-variance-439-cold, min-variance-439-warm,\nsweep-sma-1000, "
        "factors-516-439x1256, factors-516-new-bar-439, fi2010-event,\n"
        "option-greeks-10000, option-tick-10000, var-439x1256 (these with QuantLib, whose "
        "values must agree).",
        "  OPENBLAS_NUM_THREADS=1 tribus bench quant --json\n"
        "  OPENBLAS_NUM_THREADS=1 tribus bench quant --only factors"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.json},
        {"--no-peers", NULL, "only ours", TRIBUS_CLI_FLAG, &no_peers},
        {"--only", "CASE", "one case, or those that begin with this", TRIBUS_CLI_TEXT,
         &b.only},
        {"--factors", "FILE", "the factors to evaluate", TRIBUS_CLI_TEXT, &b.factors},
        {"--peers", "FILE", "the script that times the peers", TRIBUS_CLI_TEXT, &b.peers},
        {"--quantlib", "FILE", "the program that times QuantLib", TRIBUS_CLI_TEXT,
         &b.quantlib},
    };
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (strchr(b.factors, '\'') != NULL) {
        (void)tribus_cli_complain("bench quant", "--factors: a name without quotes");
        return TRIBUS_EXIT_USAGE;
    }
    if (strchr(b.quantlib, '\'') != NULL) {
        (void)tribus_cli_complain("bench quant", "--quantlib: a name without quotes");
        return TRIBUS_EXIT_USAGE;
    }
    b.peers = no_peers ? NULL : usable_peers(b.peers);
    b.quantlib = no_peers ? NULL : b.quantlib;
    b.z = malloc((size_t)DAYS * ASSETS * sizeof(*b.z));
    if (b.z == NULL)
        return tribus_cli_complain("bench quant", "not enough memory");
    tribus_quant_normals(2016, 0, 0, DAYS * ASSETS, b.z);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!quant_bench_wants(&b, all[i].kases[0]) &&
            !quant_bench_wants(&b, all[i].kases[1]))
            continue;
        any = true;
        good = all[i].run(&b) && good;
    }
    free(b.z);
    if (!any) {
        (void)tribus_cli_complain("bench quant", "no case begins with %s; see --help",
                                  b.only);
        return TRIBUS_EXIT_USAGE;
    }
    return good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
