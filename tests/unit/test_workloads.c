/* test_workloads.c -- the five pipelines that ship, with real models, and their numbers: each
 * stage against arithmetic written again here, or against the training script's own.
 * timeout: 300 */
#include "pipeline_fixture.h"

#include "base/random.h"
#include "pipeline/operation.h"
#include "tribus/neural.h"
#include "tribus/quant_analytics.h"

typedef struct workload {
    fixture_plan f;
    fixture_host neural, gpu;
    tribus_pipeline_result r;
} workload;

static const char *file_of(const char *relative)
{
    static char path[4096];

    (void)snprintf(path, sizeof(path), "%s/%s", TRIBUS_SOURCE_DIR, relative);
    return path;
}

static void start(workload *w, const char *file, const tribus_pipeline_dim *dims,
                  uint32_t dim_count, const tribus_pipeline_param *params,
                  uint32_t param_count)
{
    const tribus_pipeline_cfg cfg = {.path = file_of(file),
                                     .dims = dims,
                                     .dim_count = dim_count,
                                     .params = params,
                                     .param_count = param_count,
                                     .runs = 2,
                                     .flags = TRIBUS_PIPELINE_REQUIRE_ZERO_COPY,
                                     .successor_ns = FIXTURE_PATIENCE_NS};

    w->f = fixture_register(&cfg);
    fixture_host_start(&w->neural, &w->f, 2, TRIBUS_DOMAIN_NEURAL);
    fixture_host_start(&w->gpu, &w->f, 3, TRIBUS_DOMAIN_GPU);
    OK(tribus_pipeline_ready_wait(w->f.pipe, FIXTURE_PATIENCE_NS));
    OK(tribus_pipeline_claim(w->f.pipe));
}

static float *input(workload *w, const char *name)
{
    tribus_tensor t;
    uint32_t i;

    OK(tribus_pipeline_find_input(w->f.pipe, name, &i));
    OK(tribus_pipeline_input(w->f.pipe, i, &t));
    return t.data;
}

static void run(workload *w)
{
    OK(tribus_pipeline_submit(w->f.pipe, 0, NULL));
    w->r = fixture_await(w->f.pipe);
    if (w->r.status != TRIBUS_OK)
        fprintf(stderr, "stage %s: %s\n", w->r.stage, w->r.text);
    CHECK(w->r.status == TRIBUS_OK);
}

static const void *result(workload *w, const char *name)
{
    tribus_tensor t;
    uint32_t i;

    OK(tribus_pipeline_find_result(w->f.pipe, name, &i));
    OK(tribus_pipeline_result_tensor(w->f.pipe, w->r.run, i, &t));
    return t.data;
}

static void stop(workload *w)
{
    tribus_pipeline_stats stats;

    fixture_host_stop(&w->neural);
    fixture_host_stop(&w->gpu);
    tribus_pipeline_get_stats(w->f.pipe, &stats);
    CHECK(stats.zero_copy == 1.0 && stats.failed == 0);
    fixture_close(&w->f);
}

static double normal(tribus_random *r)
{
    const double u = 1.0 - tribus_random_unit(r);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * tribus_random_unit(r));
}

/* Rows of NAME.test.csv: `columns` numbers each. Returns how many rows. */
static uint32_t read_vectors(const char *name, uint32_t columns, double *out, uint32_t most)
{
    FILE *f = fopen(file_of(name), "r");
    static char text[65536];
    uint32_t rows = 0;

    CHECK(f != NULL);
    while (rows < most && fgets(text, sizeof(text), f) != NULL) {
        char *at = text;

        if (text[0] == '#')
            continue;
        for (uint32_t i = 0; i < columns; i++) {
            out[(size_t)rows * columns + i] = strtod(at, &at);
            at += *at == ',' ? 1 : 0;
        }
        rows++;
    }
    (void)fclose(f);
    CHECK(rows > 0);
    return rows;
}

/* ---- ml-risk ---- */

static void ml_risk_var_is_the_closed_form_within_sampling_error(void)
{
    enum { ASSETS = 50, PATHS = 200000 };
    const tribus_pipeline_dim dims[] = {{"assets", ASSETS}};
    const tribus_pipeline_param params[] = {
        {"risk.paths", PATHS}, {"factor.shrinkage", 1}, {"risk.nu", 0}};
    workload w;
    tribus_random r;
    double variance = 0.0, mean = 0.0, sd, error;
    const float *forecast;
    const double *risk;
    float *in;

    tribus_random_init(&r, 11);
    start(&w, "pipelines/ml-risk.yaml", dims, 1, params, 3);
    in = input(&w, "returns");
    for (uint32_t i = 0; i < ASSETS * 32; i++)
        in[i] = (float)(0.01 * normal(&r));
    in = input(&w, "history");
    for (uint32_t i = 0; i < ASSETS * 128; i++)
        in[i] = (float)(0.01 * normal(&r));
    in = input(&w, "weights");
    for (uint32_t i = 0; i < ASSETS; i++)
        in[i] = 1.0f / ASSETS;
    run(&w);
    forecast = result(&w, "forecast.forecast");
    risk = result(&w, "risk.result");
    /* shrinkage 1: nothing correlates, so the portfolio's deviation is a plain sum */
    for (uint32_t i = 0; i < ASSETS; i++) {
        const double m = (double)forecast[2 * i], v = (double)forecast[2 * i + 1];

        CHECK(v > 0.003 && v < 0.03); /* near the 0.01 that was fed */
        mean += m / ASSETS;
        variance += v * v / (ASSETS * ASSETS);
    }
    sd = sqrt(variance);
    /* deviation of a sample quantile: sqrt(q (1 - q) / n) / density; of the mean: sd/sqrt n */
    error = sqrt(0.05 * 0.95 / PATHS) / 0.10313564 * sd;
    printf("ml-risk: VaR %.8f closed form %.8f, z %.2f; ES %.8f closed form %.8f\n",
           risk[0], 1.64485363 * sd - mean, (risk[0] - 1.64485363 * sd + mean) / error,
           risk[1], 2.06271281 * sd - mean);
    CHECK_NEAR(risk[0], 1.64485363 * sd - mean, 4.0 * error);
    CHECK_NEAR(risk[1], 2.06271281 * sd - mean, 6.0 * error);
    CHECK_NEAR(risk[2], mean, 4.0 * sd / sqrt(PATHS));
    CHECK_NEAR(risk[3], sd, 4.0 * sd / sqrt(2.0 * PATHS));
    stop(&w);
}

/* ---- vpin-enhanced ---- */

enum { TRADES = 2000, BUCKETS = 50 };

/* VPIN again, another way: the bought volume is a function of all volume so far, linear
 * inside a trade; a bucket's is the difference at its ends. */
static void imbalance_again(const float *price, const float *size, double *out)
{
    static double all[TRADES + 1], bought[TRADES + 1];
    double mean = ((double)price[TRADES - 1] - (double)price[0]) / TRADES, sd = 0.0;
    uint32_t k = 0;
    double before = 0.0;

    for (uint32_t i = 0; i < TRADES; i++) {
        const double d = i > 0 ? (double)price[i] - (double)price[i - 1] : 0.0;

        sd += (d - mean) * (d - mean) / (TRADES - 1);
    }
    sd = sqrt(sd);
    for (uint32_t i = 0; i < TRADES; i++) {
        const double d = i > 0 ? (double)price[i] - (double)price[i - 1] : 0.0;

        all[i + 1] = all[i] + (double)size[i];
        bought[i + 1] = bought[i] + (double)size[i] * 0.5 * erfc(-d / sd / sqrt(2.0));
    }
    for (uint32_t b = 0; b < BUCKETS; b++) {
        const double end = all[TRADES] * (b + 1) / BUCKETS;
        double at;

        while (k + 1 < TRADES && all[k + 1] < end)
            k++;
        at = bought[k] +
             (bought[k + 1] - bought[k]) * (end - all[k]) / (all[k + 1] - all[k]);
        out[b] = fabs(2.0 * (at - before) / (all[TRADES] / BUCKETS) - 1.0);
        before = at;
    }
}

/* Trades of which a fraction follows one piece of news. */
static void write_flow(workload *w, double informed, uint64_t seed)
{
    float *price = input(w, "price"), *size = input(w, "size"), *book = input(w, "book");
    double log_price = 0.0;
    tribus_random r;

    tribus_random_init(&r, seed);
    for (uint32_t i = 0; i < TRADES; i++) {
        const double side = tribus_random_unit(&r) < informed
                                ? 1.0
                                : (tribus_random_unit(&r) < 0.5 ? 1.0 : -1.0);

        size[i] = (float)exp(4.0 + 0.8 * normal(&r));
        log_price += side * 2e-6 * (1.0 + 2.0 * informed) * sqrt((double)size[i] / 50.0) +
                     4e-6 * normal(&r);
        price[i] = (float)(100.0 * exp(log_price));
    }
    for (uint32_t i = 0; i < 10; i++) {
        const float half = (float)(0.005 * (1.0 + 2.0 * informed));

        book[4 * i] = price[TRADES - 1] - half - 0.01f * (float)i;
        book[4 * i + 1] = (float)(150.0 / (1.0 + 2.0 * informed));
        book[4 * i + 2] = price[TRADES - 1] + half + 0.01f * (float)i;
        book[4 * i + 3] = (float)(150.0 / (1.0 + 2.0 * informed) * (1.0 - 0.4 * informed));
    }
}

static void vpin_enhanced_measures_the_flow_and_tells_calm_from_toxic(void)
{
    static const double informed[2] = {0.02, 0.8};
    double scores[2];
    workload w;

    start(&w, "pipelines/vpin-enhanced.yaml", NULL, 0, NULL, 0);
    for (uint32_t i = 0; i < 2; i++) {
        double want[BUCKETS], sum = 0.0, level = 0.0;
        const float *got, *score, *regime, *features;

        OK(tribus_pipeline_claim(w.f.pipe));
        write_flow(&w, informed[i], 5 + i);
        run(&w);
        got = result(&w, "buckets.imbalance");
        imbalance_again(tribus_plan_output(w.f.pipe->plan, 0, 0, w.r.run),
                        tribus_plan_output(w.f.pipe->plan, 0, 1, w.r.run), want);
        for (uint32_t b = 0; b < BUCKETS; b++) {
            CHECK_NEAR(got[b], want[b], 2e-6);
            sum += want[b];
            level += got[b] <= got[BUCKETS - 1] ? 1.0 / BUCKETS : 0.0;
        }
        features = result(&w, "buckets.features");
        score = result(&w, "score.score");
        regime = result(&w, "regime.regime");
        CHECK_NEAR(features[0], sum / BUCKETS, 2e-6);
        CHECK_NEAR(score[0], sum / BUCKETS, 2e-6);
        CHECK_NEAR(score[1], level, 1e-6);
        CHECK_NEAR(regime[0] + regime[1] + regime[2], 1.0, 1e-5);
        CHECK_NEAR(score[2],
                   (0.5 * (double)regime[1] + (double)regime[2]) * (0.5 + level / 2), 1e-6);
        CHECK((uint32_t)score[3] == (i == 0 ? 0u : 2u)); /* calm, toxic */
        scores[i] = (double)score[2];
        tribus_pipeline_release(w.f.pipe, w.r.run);
    }
    printf("vpin-enhanced: score %.3f when calm, %.3f when toxic\n", scores[0], scores[1]);
    CHECK(scores[0] < scores[1]);
    stop(&w);
}

/* ---- portfolio ---- */

static void portfolio_weights_are_optimal_and_forecasts_the_script_s(void)
{
    enum { ASSETS = 40, FACTORS = 516 };
    const tribus_pipeline_dim dims[] = {{"assets", ASSETS}};
    static double rows[4 * (FACTORS + 1)];
    const uint32_t known =
        read_vectors("models/factor_forecast.test.csv", FACTORS + 1, rows, 4);
    const float *forecast, *weights, *signals;
    const double *quality;
    double total = 0.0, bound = -INFINITY, gradient[ASSETS];
    float *factors, *cov;
    tribus_random r;
    workload w;

    tribus_random_init(&r, 3);
    start(&w, "pipelines/portfolio.yaml", dims, 1, NULL, 0);
    factors = input(&w, "factors");
    cov = input(&w, "covariance");
    for (uint32_t i = 0; i < ASSETS; i++)
        for (uint32_t k = 0; k < FACTORS; k++)
            factors[i * FACTORS + k] =
                i < known ? (float)rows[i * (FACTORS + 1) + k] : (float)normal(&r);
    for (uint32_t i = 0; i < ASSETS; i++)
        for (uint32_t k = 0; k < ASSETS; k++)
            cov[i * ASSETS + k] = i == k ? 2.0e-4f : 0.5e-4f;
    run(&w);
    forecast = result(&w, "forecast.forecast");
    for (uint32_t i = 0; i < known; i++)
        CHECK_NEAR(forecast[i], rows[i * (FACTORS + 1) + FACTORS], 1e-6);
    /* Karush-Kuhn-Tucker, from the answer alone: at the optimum the gradient of the utility is
     * one number for every weight inside its bounds, not above it at 0, not below it at most */
    weights = result(&w, "optimise.weights");
    quality = result(&w, "optimise.quality");
    for (uint32_t i = 0; i < ASSETS; i++) {
        double risk = 0.0;

        for (uint32_t k = 0; k < ASSETS; k++)
            risk += (double)cov[i * ASSETS + k] * (double)weights[k];
        gradient[i] = (double)forecast[i] - 5.0 * risk;
        total += (double)weights[i];
        CHECK(weights[i] >= 0.0f && weights[i] <= 0.05f + 1e-6f);
    }
    CHECK_NEAR(total, 1.0, 1e-5);
    CHECK(quality[2] <= 1e-8);
    for (uint32_t i = 0; i < ASSETS; i++)
        if (weights[i] < 0.05f - 1e-4f && gradient[i] > bound)
            bound = gradient[i]; /* the multiplier: best asset with room to grow */
    for (uint32_t i = 0; i < ASSETS; i++)
        CHECK(weights[i] < 1e-4f || gradient[i] >= bound - 1e-7);
    signals = result(&w, "refine.signals");
    for (uint32_t i = 0; i < ASSETS; i++)
        CHECK(signals[i] > -1.0f && signals[i] < 1.0f);
    stop(&w);
}

/* ---- strategy-analytics ---- */

static void strategy_analytics_aggregates_the_script_s_patterns(void)
{
    enum { ASSETS = 16, WINDOW = 32 };
    const tribus_pipeline_dim dims[] = {{"assets", ASSETS}};
    static double rows[ASSETS * (WINDOW + 3)];
    double lean[ASSETS], last[ASSETS], up = 0, down = 0, mean = 0, ret = 0, spread = 0;
    double entropy = 0, deviation = 0, cross = 0, rv = 0;
    const float *pattern;
    const double *a;
    float *in;
    workload w;

    CHECK(read_vectors("models/pattern.test.csv", WINDOW + 3, rows, ASSETS) == ASSETS);
    start(&w, "pipelines/strategy-analytics.yaml", dims, 1, NULL, 0);
    in = input(&w, "returns");
    for (uint32_t i = 0; i < ASSETS; i++)
        for (uint32_t t = 0; t < WINDOW; t++)
            in[i * WINDOW + t] = (float)rows[i * (WINDOW + 3) + t];
    run(&w);
    pattern = result(&w, "pattern.pattern");
    for (uint32_t i = 0; i < ASSETS; i++) {
        const double *row = rows + i * (WINDOW + 3), *p = row + WINDOW;
        double squares = 0.0;

        for (uint32_t k = 0; k < 3; k++) {
            CHECK_NEAR(pattern[3 * i + k], p[k], 2e-5);
            entropy -= p[k] * log(p[k]) / ASSETS;
        }
        for (uint32_t t = 0; t < WINDOW; t++)
            squares += row[t] * row[t];
        deviation += sqrt(squares / WINDOW) / ASSETS;
        lean[i] = p[2] - p[0];
        last[i] = row[WINDOW - 1];
        mean += lean[i] / ASSETS;
        ret += last[i] / ASSETS;
        up += p[2] > p[1] && p[2] > p[0] ? 1.0 / ASSETS : 0.0;
        down += p[0] > p[1] && p[0] > p[2] ? 1.0 / ASSETS : 0.0;
    }
    for (uint32_t i = 0; i < ASSETS; i++) {
        spread += (lean[i] - mean) * (lean[i] - mean) / ASSETS;
        rv += (last[i] - ret) * (last[i] - ret) / ASSETS;
        cross += (lean[i] - mean) * (last[i] - ret) / ASSETS;
    }
    a = result(&w, "analytics.analytics");
    CHECK_NEAR(a[0], mean, 1e-4);
    CHECK_NEAR(a[1], up, 1e-9);
    CHECK_NEAR(a[2], down, 1e-9);
    CHECK_NEAR(a[3], sqrt(spread), 1e-4);
    CHECK_NEAR(a[4], entropy, 1e-4);
    CHECK_NEAR(a[5], deviation, 1e-7);
    CHECK_NEAR(a[6], cross / sqrt(spread * rv), 1e-3);
    CHECK_NEAR(a[7], ret, 1e-7);
    stop(&w);
}

/* ---- hybrid-backtest ---- */

static void hybrid_backtest_earns_what_the_positions_earn(void)
{
    enum { PATHS = 6, STEPS = 32 };
    const tribus_pipeline_dim dims[] = {{"scenarios", PATHS}, {"steps", STEPS}};
    static double rows[PATHS * STEPS * 2];
    const float *position, *stats;
    const double *summary;
    double mean = 0.0, worst = INFINITY;
    float *in;
    workload w;

    CHECK(read_vectors("models/strategy.test.csv", STEPS * 2, rows, PATHS) == PATHS);
    start(&w, "pipelines/hybrid-backtest.yaml", dims, 2, NULL, 0);
    in = input(&w, "returns");
    for (uint32_t i = 0; i < PATHS; i++)
        for (uint32_t t = 0; t < STEPS; t++)
            in[i * STEPS + t] = (float)rows[i * STEPS * 2 + t];
    run(&w);
    position = result(&w, "strategy.position");
    stats = result(&w, "backtest.stats");
    summary = result(&w, "backtest.summary");
    for (uint32_t i = 0; i < PATHS; i++) {
        tribus_quant_performance performance;
        double gains[STEPS - 1], held = 0.0, turnover = 0.0;
        const tribus_quant_performance_cfg cfg = {.per_year = 1};

        for (uint32_t t = 0; t < STEPS; t++)
            CHECK_NEAR(position[i * STEPS + t], rows[i * STEPS * 2 + STEPS + t], 2e-5);
        for (uint32_t t = 0; t + 1 < STEPS; t++) {
            const double x = (double)position[i * STEPS + t];

            gains[t] = x * (double)in[i * STEPS + t + 1] - 1e-4 * fabs(x - held);
            turnover += fabs(x - held);
            held = x;
        }
        OK(tribus_quant_performance_of(&cfg, gains, NULL, STEPS - 1, &performance));
        CHECK_NEAR(stats[4 * i], performance.total, 1e-6);
        CHECK_NEAR(stats[4 * i + 2], performance.max_drawdown, 1e-6);
        CHECK_NEAR(stats[4 * i + 3], turnover, 1e-5);
        mean += performance.total / PATHS;
        worst = performance.total < worst ? performance.total : worst;
    }
    CHECK_NEAR(summary[0], mean, 1e-6);
    CHECK_NEAR(summary[2], worst, 1e-6);
    stop(&w);
}

/* Models whose inputs a pipeline computes itself, against the script, directly: the numbers
 * of a row are those of the inputs, one after the other, then the output's. */
static void compare_model(const char *pipeline, const char *stage, const char *csv,
                          uint32_t columns)
{
    const tribus_pipeline_dim dims[] = {{"assets", 1}};
    const tribus_pipeline_cfg cfg = {
        .path = file_of(pipeline), .dims = dims, .dim_count = 1};
    static double rows[16 * 16];
    static _Alignas(64) float x[2][16], y[16];
    const tribus_graph_node *n;
    tribus_pipeline_source source;
    tribus_tensor in[2], out;
    tribus_operation *op;
    tribus_device *device;

    OK(tribus_pipeline_read(&cfg, &source));
    n = tribus_graph_find(source.graph, stage);
    OK(tribus_device_open("cpu", &device));
    OK(tribus_operation_open(source.graph, n, device, 1, &op));
    CHECK(read_vectors(csv, columns, rows, 16) == 16);
    for (uint32_t i = 0; i < 16; i++) {
        const tribus_operation_call call = {.inputs = in,
                                            .outputs = &out,
                                            .input_count = n->input_count,
                                            .output_count = 1};
        const double *row = rows + i * columns;

        for (uint32_t p = 0; p < n->input_count; p++) {
            for (uint32_t k = 0; k < n->inputs[p].bytes / 4; k++)
                x[p][k] = (float)*row++;
            tribus_plan_tensor(&n->inputs[p], x[p], &in[p]);
        }
        tribus_plan_tensor(&n->outputs[0], y, &out);
        OK(tribus_operation_run(op, &call));
        for (uint32_t k = 0; k < n->outputs[0].bytes / 4; k++)
            CHECK_NEAR(y[k], *row++, 2e-5);
    }
    tribus_operation_close(op);
    tribus_device_close(device);
    tribus_pipeline_source_close(&source);
}

static void inner_models_are_the_script_s(void)
{
    compare_model("pipelines/vpin-enhanced.yaml", "regime", "models/toxicity.test.csv", 11);
    compare_model("pipelines/portfolio.yaml", "refine", "models/signal_refine.test.csv", 3);
}

/* ---- several runs in one call of a model ---- */

enum { BATCH_ASSETS = 8, BATCH_WINDOW = 32, BATCH_RUNS = 7 };

/* Forecasts of seven runs that were submitted before there was a host: by one call of the
 * model where `batch` is 8, by seven where it is 1. Returns false when there is no runtime. */
static bool forecasts(int batch, float out[BATCH_RUNS][BATCH_ASSETS * 2], uint64_t *calls)
{
    char text[1024];
    const tribus_pipeline_cfg cfg = {.text = text, .path = file_of("pipelines/batch.yaml")};
    tribus_pipeline_stage_row row;
    fixture_host host;
    fixture_plan f;
    bool present;

    (void)snprintf(text, sizeof(text),
                   "pipeline: b\nruns: 8\ninputs: [{name: x, dtype: f32, shape: [8, 32]}]\n"
                   "stages:\n  - {name: f, domain: neural, operation: "
                   "../models/forecast.onnx, batch: %d,\n"
                   "     inputs: [{name: returns, dtype: f32, shape: [8, 32]}],\n"
                   "     outputs: [{name: forecast, dtype: f32, shape: [8, 2]}]}\n"
                   "edges: [{from: x, to: f.returns}]\nresults: [f.forecast]\n",
                   batch);
    f = fixture_register(&cfg);
    for (uint32_t run = 0; run < BATCH_RUNS; run++) {
        tribus_random r;
        tribus_tensor t;

        tribus_random_init(&r, run + 1);
        OK(tribus_pipeline_claim(f.pipe));
        OK(tribus_pipeline_input(f.pipe, 0, &t));
        for (uint32_t i = 0; i < BATCH_ASSETS * BATCH_WINDOW; i++)
            ((float *)t.data)[i] = 0.02f * (float)(tribus_random_unit(&r) - 0.5);
        OK(tribus_pipeline_submit(f.pipe, 0, NULL));
    }
    fixture_host_start(&host, &f, 2, TRIBUS_DOMAIN_NEURAL);
    present = tribus_pipeline_ready_wait(f.pipe, FIXTURE_PATIENCE_NS) != TRIBUS_REFUSED;
    if (!present)
        printf("no model runtime: %s\n", tribus_error_text());
    for (uint32_t run = 0; present && run < BATCH_RUNS; run++) {
        const tribus_pipeline_result r = fixture_await(f.pipe);
        tribus_tensor t;

        CHECK(r.status == TRIBUS_OK && r.run == run + 1);
        OK(tribus_pipeline_result_tensor(f.pipe, r.run, 0, &t));
        memcpy(out[run], t.data, sizeof(out[run]));
    }
    fixture_host_stop(&host);
    OK(tribus_pipeline_get_stage(f.pipe, 0, &row));
    *calls = row.calls;
    fixture_close(&f);
    return present;
}

static void model_computes_runs_that_wait_together_in_one_call(void)
{
    float alone[BATCH_RUNS][BATCH_ASSETS * 2], together[BATCH_RUNS][BATCH_ASSETS * 2];
    uint64_t calls;

    if (!forecasts(1, alone, &calls))
        return;
    CHECK(calls == BATCH_RUNS);
    CHECK(forecasts(8, together, &calls) && calls == 1);
    for (uint32_t run = 0; run < BATCH_RUNS; run++)
        for (uint32_t i = 0; i < BATCH_ASSETS * 2; i++)
            CHECK_NEAR(together[run][i], alone[run][i],
                       1e-5 * (1.0 + fabs((double)alone[run][i])));
}

int main(void)
{
    model_computes_runs_that_wait_together_in_one_call();
    tribus_model_runtime_row runtime;

    if (tribus_model_runtime(0, &runtime) != TRIBUS_OK || !runtime.present)
        SKIP(runtime.detail);
    ml_risk_var_is_the_closed_form_within_sampling_error();
    vpin_enhanced_measures_the_flow_and_tells_calm_from_toxic();
    portfolio_weights_are_optimal_and_forecasts_the_script_s();
    strategy_analytics_aggregates_the_script_s_patterns();
    hybrid_backtest_earns_what_the_positions_earn();
    inner_models_are_the_script_s();
    return 0;
}
