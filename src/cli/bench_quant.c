/* bench_quant.c -- `tribus bench quant`: how long the mathematics takes, on one core, and what
 * numpy, scipy and pandas take for the same (bench/peers/quant.py), in one run. */
#include "cli/commands.h"
#include "tribus/quant.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ASSETS = 439, DAYS = 1256, PATHS = 100000, REPEATS_MAX = 31 };

typedef struct quant_bench {
    bool json;
    const char *factors, *peers;
    float *z; /* DAYS x ASSETS normals that all cases share */
} quant_bench;

typedef struct quant_row {
    const char *kase, *path, *unit;
    double units; /* per run, for rate_per_s */
    double ns[REPEATS_MAX];
    uint32_t repeats;
    double floor_ns; /* 0: none */
    double kkt;      /* NaN: none */
} quant_row;

/* CPU time, not the clock on the wall: what else runs on the machine is not in the result. */
static int64_t cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_row(const quant_bench *b, quant_row *r)
{
    double p50, p99;

    qsort(r->ns, r->repeats, sizeof(r->ns[0]), by_size);
    p50 = r->ns[r->repeats / 2];
    p99 = r->ns[r->repeats - 1];
    if (b->json) {
        printf("{\"bench\":\"quant\",\"case\":\"%s\",\"path\":\"%s\",\"p50_ns\":%.0f,"
               "\"p99_ns\":%.0f,\"rate_per_s\":%.6g,\"unit\":\"%s\",\"repeats\":%u",
               r->kase, r->path, p50, p99, r->units / p50 * 1e9, r->unit, r->repeats);
        if (r->floor_ns > 0.0)
            printf(",\"floor_ns\":%.0f,\"fraction_of_floor\":%.3f", r->floor_ns,
                   r->floor_ns / p50);
        if (!isnan(r->kkt))
            printf(",\"kkt\":%.3g", r->kkt);
        printf("}\n");
    } else {
        printf("%-26s %-10s p50 %12.3f ms  %12.4g %s/s", r->kase, r->path, p50 / 1e6,
               r->units / p50 * 1e9, r->unit);
        if (r->floor_ns > 0.0)
            printf("  floor %.1f ms, %.0f %% of it", r->floor_ns / 1e6,
                   r->floor_ns / p50 * 100);
        if (!isnan(r->kkt))
            printf("  KKT %.1e", r->kkt);
        printf("\n");
    }
    (void)fflush(stdout);
}

/* ---- Monte-Carlo ---- */

/* ns of the normals and of the triangular product that scenarios of all assets need. */
static double monte_carlo_floor(const float *chol, float *out, uint32_t paths)
{
    double best = INFINITY;

    for (int k = 0; k < 3; k++) {
        const int64_t began = cpu_ns();

        tribus_quant_normals(1, 1, 0, paths * ASSETS, out);
        cblas_strmm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
                    (int)paths, ASSETS, 1.0f, chol, ASSETS, out, ASSETS);
        best = fmin(best, (double)(cpu_ns() - began));
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
    quant_row row = {"mc-var-439-t5", "ours", "path", PATHS, {0}, 7, 0.0, NAN};
    quant_row full = {"mc-scenarios-439-t5", "ours", "path", part.paths, {0}, 5, 0.0, NAN};
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
        const int64_t began = cpu_ns();

        good =
            tribus_quant_mc_risk(&cfg, mean, chol, w, scratch, bytes, &risk) == TRIBUS_OK;
        row.ns[k] = (double)(cpu_ns() - began);
    }
    for (uint32_t k = 0; good && k < full.repeats; k++) {
        const int64_t began = cpu_ns();

        good = tribus_quant_mc_scenarios(&part, mean, chol, scenarios) == TRIBUS_OK;
        full.ns[k] = (double)(cpu_ns() - began);
    }
    if (good) {
        print_row(b, &row);
        print_row(b, &full);
    }
    free(chol);
    free(scenarios);
    free(scratch);
    return good;
}

/* Least time of three runs of something that the case cannot do without. */
static double least_ns(void (*run)(void *ctx), void *ctx)
{
    double best = INFINITY;

    for (int k = 0; k < 3; k++) {
        const int64_t began = cpu_ns();

        run(ctx);
        best = fmin(best, (double)(cpu_ns() - began));
    }
    return best;
}

/* ---- factors ---- */

typedef struct factor_bench {
    tribus_quant_factors f;
    void *memory, *scratch, **state;
    double *bars; /* fields x DAYS of one ticker */
    double *out;
} factor_bench;

static bool read_factors(const quant_bench *b, factor_bench *x)
{
    FILE *in = fopen(b->factors, "rb");
    char *text = malloc(1u << 20);
    tribus_quant_factor_error error;
    size_t bytes;
    bool good = false;

    x->memory = malloc(tribus_quant_factors_bytes(1024, 8192));
    if (in != NULL && text != NULL && x->memory != NULL) {
        bytes = fread(text, 1, 1u << 20, in);
        tribus_quant_factors_init(&x->f, 1024, 8192, x->memory);
        good = tribus_quant_factors_parse(&x->f, text, bytes, &error) == TRIBUS_OK;
    }
    if (in != NULL)
        (void)fclose(in);
    free(text);
    return good;
}

static void make_bars(const quant_bench *b, uint32_t ticker, double *bars)
{
    double close = 100.0;

    for (uint32_t t = 0; t < DAYS; t++) {
        const double z = (double)b->z[(size_t)t * ASSETS + ticker];

        bars[TRIBUS_QUANT_OPEN * DAYS + t] = close;
        close *= exp(0.01 * z);
        bars[TRIBUS_QUANT_CLOSE * DAYS + t] = close;
        bars[TRIBUS_QUANT_HIGH * DAYS + t] = close * 1.01;
        bars[TRIBUS_QUANT_LOW * DAYS + t] = close * 0.98;
        bars[TRIBUS_QUANT_VOLUME * DAYS + t] = floor(1e6 * exp(0.5 * z));
    }
}

/* Each operation of the program reads and writes a series, once. */
static void one_pass_each(void *ctx)
{
    factor_bench *x = ctx;

    for (uint32_t k = 0; k < x->f.node_count; k++)
        cblas_daxpy(DAYS, 1e-9, x->bars, 1, &x->out[(size_t)(k % x->f.count) * DAYS], 1);
}

/* A new bar has to look at the windows that it moves: the state, once. */
static void read_states(void *ctx)
{
    factor_bench *x = ctx;

    for (uint32_t i = 0; i < ASSETS; i++)
        x->out[0] +=
            cblas_dasum((int)(tribus_quant_factors_state_bytes(&x->f) / 8), x->state[i], 1);
}

static void measure_factors(const quant_bench *b, factor_bench *x)
{
    const double *field[TRIBUS_QUANT_FIELDS] = {NULL};
    quant_row batch = {
        "factors-516-439x1256", "ours", "value", 516.0 * ASSETS * DAYS, {0}, 1, 0.0, NAN};
    quant_row tick = {
        "factors-516-new-bar-439", "ours", "bar", ASSETS, {0}, REPEATS_MAX, 0.0, NAN};

    for (int k = 0; k < TRIBUS_QUANT_VWAP; k++)
        field[k] = &x->bars[k * DAYS];
    for (uint32_t i = 0; i < ASSETS; i++) {
        int64_t began;

        make_bars(b, i, x->bars);
        began = cpu_ns();
        if (tribus_quant_factors_batch(&x->f, field, DAYS, x->scratch, x->out) != TRIBUS_OK)
            return;
        batch.ns[0] += (double)(cpu_ns() - began);
    }
    batch.floor_ns = least_ns(one_pass_each, x) * ASSETS;
    print_row(b, &batch);
    tick.floor_ns = least_ns(read_states, x);
    for (uint32_t t = 0; t < 100 + tick.repeats; t++) {
        const int64_t began = cpu_ns();

        for (uint32_t i = 0; i < ASSETS; i++) {
            const double close = 100.0 + (double)b->z[(size_t)t * ASSETS + i];
            const double bar[TRIBUS_QUANT_FIELDS] = {close, close * 1.01, close * 0.98,
                                                     close, 1e6 + t,      NAN};

            tribus_quant_factors_push(&x->f, x->state[i], bar, x->out);
        }
        if (t >= 100) /* windows are full */
            tick.ns[t - 100] = (double)(cpu_ns() - began);
    }
    print_row(b, &tick);
}

static bool bench_factors(const quant_bench *b)
{
    factor_bench x = {.state = calloc(ASSETS, sizeof(void *))};
    bool good = x.state != NULL && read_factors(b, &x);

    if (x.state == NULL || !good) {
        (void)tribus_cli_complain(
            "bench quant", "cannot read factors from %s: give --factors", b->factors);
    } else {
        x.scratch = malloc(tribus_quant_factors_batch_bytes(&x.f, DAYS));
        x.bars = malloc((size_t)TRIBUS_QUANT_FIELDS * DAYS * sizeof(double));
        x.out = malloc((size_t)x.f.count * DAYS * sizeof(double));
        good = x.scratch != NULL && x.bars != NULL && x.out != NULL;
        for (uint32_t i = 0; good && i < ASSETS; i++) {
            x.state[i] = malloc(tribus_quant_factors_state_bytes(&x.f));
            good = x.state[i] != NULL;
            if (good)
                tribus_quant_factors_state_init(&x.f, x.state[i]);
        }
        if (good)
            measure_factors(b, &x);
    }
    for (uint32_t i = 0; x.state != NULL && i < ASSETS; i++)
        free(x.state[i]);
    free(x.state);
    free(x.memory);
    free(x.scratch);
    free(x.bars);
    free(x.out);
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
    quant_row row = {"vpin-stream", "ours", "trade", TRADES, {0}, 5, 0.0, NAN};
    double ring[50], sum = 0.0;
    tribus_quant_vpin v;

    row.floor_ns = least_ns(add_volumes, &volumes);
    sum += volumes.buy + volumes.sell; /* so that it is computed */
    for (uint32_t k = 0; k < row.repeats; k++) {
        int64_t began;

        if (tribus_quant_vpin_init(&v, 1000.0, 50, ring) != TRIBUS_OK)
            return false;
        began = cpu_ns();
        for (uint32_t i = 0; i < TRADES; i++) {
            const float z = b->z[i % (DAYS * ASSETS)];
            const double size = (double)fabsf(z) * 10.0;

            (void)tribus_quant_vpin_add(&v, z > 0.0f ? size : 0.0, z > 0.0f ? 0.0 : size);
        }
        row.ns[k] = (double)(cpu_ns() - began);
        sum += tribus_quant_vpin_value(&v);
    }
    print_row(b, &row);
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
    quant_row rows[2] = {{"min-variance-439-cold", "ours", "solve", 1, {0}, 11, 0.0, 0.0},
                         {"min-variance-439-warm", "ours", "solve", 1, {0}, 11, 0.0, 0.0}};
    bool good = r != NULL && cov != NULL && scratch != NULL && work != NULL;

    for (size_t i = 0; good && i < n * DAYS; i++) /* one market, and each its own */
        r[i] = 0.01 * ((double)b->z[i / n * n] +
                       (double)b->z[i] * (1.0 + (double)(i % n) / 300.0));
    good = good && tribus_quant_cov_sample((tribus_quant_matrix){r, DAYS, ASSETS}, 1, NULL,
                                           cov, scratch, NULL) == TRIBUS_OK;
    if (good) {
        factor_once f = {cov, scratch, false};

        rows[0].floor_ns = least_ns(factor_cov, &f);
        good = f.good;
        rows[1].floor_ns = least_ns(multiply_once, &f);
    }
    for (uint32_t k = 0; good && k < 11; k++) {
        for (int warm = 0; good && warm < 2; warm++) {
            tribus_quant_portfolio_result out;
            int64_t began;

            if (warm)
                for (size_t i = 0; i < n; i++) /* the next tick's covariance */
                    (void)cblas_daxpy(ASSETS, 0.01 * r[k * n + i], &r[k * n], 1,
                                      &cov[i * n], 1);
            else
                memset(work, 0, 8);
            began = cpu_ns();
            good = tribus_quant_min_variance(&p, work, w, &out, NULL) == TRIBUS_OK;
            rows[warm].ns[k] = (double)(cpu_ns() - began);
            rows[warm].kkt = fmax(rows[warm].kkt, out.qp.kkt);
        }
    }
    for (int warm = 0; good && warm < 2; warm++)
        print_row(b, &rows[warm]);
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
    quant_row row = {"sweep-sma-1000", "ours", "run", PAIRS, {0}, 11, 0.0, NAN};
    bool good = bars != NULL && scratch != NULL && out != NULL;

    if (good)
        make_bars(b, 0, bars);
    for (uint32_t i = 0; i < PAIRS; i++)
        pairs[i] = (tribus_quant_sweep_pair){1 + i % 20, 21 + i / 20};
    for (uint32_t k = 0; good && k < row.repeats; k++) {
        const tribus_quant_ohlc ohlc = {
            &bars[TRIBUS_QUANT_OPEN * DAYS], &bars[TRIBUS_QUANT_HIGH * DAYS],
            &bars[TRIBUS_QUANT_LOW * DAYS], &bars[TRIBUS_QUANT_CLOSE * DAYS], DAYS};
        const int64_t began = cpu_ns();

        good = tribus_quant_sweep_sma(&ohlc, &cfg, pairs, PAIRS, scratch, out) == TRIBUS_OK;
        row.ns[k] = (double)(cpu_ns() - began);
    }
    if (good) {
        sweep_pass pass = {bars, scratch, 0.0};

        row.floor_ns = least_ns(read_series, &pass);
        print_row(b, &row);
    }
    free(bars);
    free(scratch);
    free(out);
    return good;
}

/* The script prints rows of the same form; without Python or numpy it says what is missing. */
static void run_peers(const quant_bench *b)
{
    char command[512];
    FILE *pipe;
    int c;

    if (b->peers == NULL || access(b->peers, R_OK) != 0 || strchr(b->peers, '\'') != NULL) {
        fprintf(stderr,
                "tribus bench quant: no peers: give --peers bench/peers/quant.py\n");
        return;
    }
    (void)snprintf(command, sizeof(command), "/usr/bin/python3 '%s' '%s'%s", b->peers,
                   b->factors, b->json ? " --json" : "");
    (void)fflush(stdout);
    pipe = popen(command, "r");
    if (pipe == NULL)
        return;
    while ((c = fgetc(pipe)) != EOF)
        (void)putchar(c);
    (void)pclose(pipe);
}

int tribus_cli_bench_quant(int argc, char **argv)
{
    quant_bench b = {.factors = "factors/alpha516.factors",
                     .peers = "bench/peers/quant.py"};
    bool no_peers = false, good;
    const tribus_cli_usage usage = {
        "bench quant", "[--json] [--no-peers] [--factors FILE]",
        "Time the mathematics at the platform's sizes, and numpy, scipy and pandas beside "
        "it\n"
        "where they are installed; CPU time of one core. floor is the least that the case "
        "needs, timed\nin the same run: of Monte-Carlo the random numbers and the product "
        "that scenarios of every asset\nneed, of portfolios a Cholesky factor (cold) and a "
        "product with the covariance (warm), of the rest\none pass over its data.",
        "  OPENBLAS_NUM_THREADS=1 tribus bench quant --json"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.json},
        {"--no-peers", NULL, "only ours", TRIBUS_CLI_FLAG, &no_peers},
        {"--factors", "FILE", "the factors to evaluate", TRIBUS_CLI_TEXT, &b.factors},
        {"--peers", "FILE", "the script that times the peers", TRIBUS_CLI_TEXT, &b.peers},
    };
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    b.z = malloc((size_t)DAYS * ASSETS * sizeof(*b.z));
    if (b.z == NULL)
        return tribus_cli_complain("bench quant", "not enough memory");
    tribus_quant_normals(2016, 0, 0, DAYS * ASSETS, b.z);
    good = bench_monte_carlo(&b);
    good = bench_vpin(&b) && good;
    good = bench_portfolio(&b) && good;
    good = bench_sweep(&b) && good;
    good = bench_factors(&b) && good;
    if (!no_peers)
        run_peers(&b);
    free(b.z);
    return good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
