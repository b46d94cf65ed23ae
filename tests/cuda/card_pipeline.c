/* card_pipeline.c -- the pipelines that ship, on a host with a card and on one without, over the
 * same random inputs: every stage on the card, the same results within the kernels' tolerance.
 * Then ml-risk as large as the market, timed from submit to result.
 *
 * usage: card_pipeline [FOLDER WITH pipelines AND models]   default: the source's */
#include "unit/pipeline_fixture.h"

#include "card.h"

#include <math.h>

#define BOTH (TRIBUS_DOMAIN_NEURAL | TRIBUS_DOMAIN_GPU)

static const char *folder = TRIBUS_SOURCE_DIR;
static uint64_t state;

static double draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) * 0x1p-53;
}

static double normal(void)
{
    const double u = 1.0 - draw();

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * draw());
}

/* Numbers that make sense to the stage that reads an input of that name. */
static void fill(const char *name, const tribus_tensor *t)
{
    const size_t n = tribus_tensor_elements(t);
    float *x = tribus_tensor_address(t);
    double level = 100.0;

    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, "price") == 0)
            x[i] = (float)(level += 0.01 * floor(0.5 + 3.0 * normal()));
        else if (strcmp(name, "size") == 0)
            x[i] = (float)floor(1.0 + 500.0 * draw());
        else if (strcmp(name, "book") == 0)
            x[i] = (float)(i % 4 == 0   ? 99.9 - 0.0025 * (double)i
                           : i % 4 == 2 ? 100.1 + 0.0025 * (double)i
                                        : 1.0 + 100.0 * draw());
        else if (strcmp(name, "weights") == 0)
            x[i] = (float)(1000.0 * (draw() - 0.3));
        else if (strcmp(name, "factors") == 0)
            x[i] = (float)normal();
        else
            x[i] = (float)(0.01 * normal());
    }
    if (strcmp(name, "covariance") != 0)
        return;
    for (int64_t i = 0; i < t->shape[0]; i++)
        for (int64_t j = 0; j <= i; j++)
            x[i * t->shape[0] + j] = x[j * t->shape[0] + i] =
                (float)(i == j ? 2e-4 + 3e-4 * draw() : 1e-4 * (1.0 + 0.01 * draw()));
}

typedef struct half { /* a pipeline and its host */
    fixture_plan f;
    fixture_host host;
    tribus_pipeline_result r;
} half;

static void begin(half *h, const char *name, const char *device,
                  const tribus_pipeline_dim *dims, uint32_t dim_count,
                  const tribus_pipeline_param *params, uint32_t param_count)
{
    char path[4096];
    const tribus_pipeline_cfg cfg = {.path = path,
                                     .dims = dims,
                                     .dim_count = dim_count,
                                     .params = params,
                                     .param_count = param_count,
                                     .runs = 2,
                                     .flags = TRIBUS_PIPELINE_REQUIRE_ZERO_COPY,
                                     .successor_ns = FIXTURE_PATIENCE_NS};

    (void)snprintf(path, sizeof(path), "%s/pipelines/%s.yaml", folder, name);
    h->f = fixture_register(&cfg);
    fixture_host_start_on(&h->host, &h->f, 2, BOTH, device);
    OK(tribus_pipeline_ready_wait(h->f.pipe, FIXTURE_PATIENCE_NS));
}

static void end(half *h)
{
    fixture_host_stop(&h->host);
    fixture_close(&h->f);
}

static void run(half *h, uint64_t seed, const char *const *inputs)
{
    OK(tribus_pipeline_claim(h->f.pipe));
    state = seed;
    for (uint32_t i = 0; inputs[i] != NULL; i++) {
        tribus_tensor t;
        uint32_t at;

        OK(tribus_pipeline_find_input(h->f.pipe, inputs[i], &at));
        OK(tribus_pipeline_input(h->f.pipe, at, &t));
        fill(inputs[i], &t);
    }
    OK(tribus_pipeline_submit(h->f.pipe, 0, NULL));
    h->r = fixture_await(h->f.pipe);
    if (h->r.status != TRIBUS_OK)
        fprintf(stderr, "on %s: stage %s: %s\n",
                h->host.device != NULL ? h->host.device : "the cpu", h->r.stage, h->r.text);
    CHECK(h->r.status == TRIBUS_OK);
}

static double worst_of(half *a, half *b, const char *name)
{
    tribus_tensor u, v;
    uint32_t i;
    double worst = 0.0, scale = 0.0;

    OK(tribus_pipeline_find_result(a->f.pipe, name, &i));
    OK(tribus_pipeline_result_tensor(a->f.pipe, a->r.run, i, &u));
    OK(tribus_pipeline_result_tensor(b->f.pipe, b->r.run, i, &v));
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < tribus_tensor_elements(&u); k++) {
            const bool wide = u.dtype.bits == 64;
            const double x =
                wide ? ((const double *)u.data)[k] : (double)((const float *)u.data)[k];
            const double y =
                wide ? ((const double *)v.data)[k] : (double)((const float *)v.data)[k];

            if (pass == 0)
                scale = fmax(scale, fabs(x));
            else if (!(fabs(x - y) / fmax(scale, 1e-12) <= worst))
                worst = fabs(x - y) / fmax(scale, 1e-12);
        }
    return worst;
}

static void agrees(const char *name, const char *const *inputs, const char *const *results,
                   double tolerance)
{
    half cpu, card;

    begin(&cpu, name, NULL, NULL, 0, NULL, 0);
    begin(&card, name, "cuda", NULL, 0, NULL, 0);
    for (int again = 0; again < 3; again++) {
        const uint64_t seed = state + (uint64_t)tribus_now_ns();

        run(&cpu, seed, inputs);
        run(&card, seed, inputs);
        for (uint32_t i = 0; results[i] != NULL; i++) {
            const double worst = worst_of(&cpu, &card, results[i]);

            printf(
                "%-18s %-18s worst %.2g of the largest; compute %.1f us, card %.1f us%s\n",
                name, results[i], worst, (double)cpu.r.compute_ns / 1e3,
                (double)card.r.compute_ns / 1e3,
                card.r.hardware_accelerated ? "" : ", NOT on the card");
            CHECK(worst <= tolerance);
        }
        CHECK(card.r.hardware_accelerated && !cpu.r.hardware_accelerated);
        tribus_pipeline_release(cpu.f.pipe, cpu.r.run);
        tribus_pipeline_release(card.f.pipe, card.r.run);
    }
    end(&cpu);
    end(&card);
}

static void time_ml_risk(void)
{
    enum { RUNS = 300 };
    static const char *const inputs[] = {"returns", "history", "weights", NULL};
    static int64_t whole[RUNS], compute[RUNS];
    const tribus_pipeline_dim dims[] = {{"assets", 439}};
    const tribus_pipeline_param params[] = {{"risk.paths", 100000}};
    half card;

    begin(&card, "ml-risk", "cuda", dims, 1, params, 1);
    for (int i = 0; i < RUNS; i++) {
        run(&card, (uint64_t)i, inputs);
        whole[i] = card.r.finished_ns - card.r.submitted_ns;
        compute[i] = card.r.compute_ns;
        tribus_pipeline_release(card.f.pipe, card.r.run);
    }
    CHECK(card.r.hardware_accelerated);
    printf("ml-risk, 439 assets, 100,000 paths, pipeline on the card: submit to result p50 "
           "%.1f "
           "us, p99 %.1f us; compute p50 %.1f us\n",
           (double)card_quantile(whole + 20, RUNS - 20, 0.5) / 1e3,
           (double)card_quantile(whole + 20, RUNS - 20, 0.99) / 1e3,
           (double)card_quantile(compute + 20, RUNS - 20, 0.5) / 1e3);
    end(&card);
}

int main(int argc, char **argv)
{
    static const char *const flow[] = {"price", "size", "book", NULL};
    static const char *const flow_out[] = {"buckets.imbalance", "buckets.features",
                                           "regime.regime", NULL};
    static const char *const folio[] = {"factors", "covariance", NULL};
    static const char *const folio_out[] = {"forecast.forecast", "optimise.weights",
                                            "refine.signals", NULL};
    static const char *const hybrid[] = {"returns", NULL};
    static const char *const hybrid_out[] = {"strategy.position", "backtest.stats",
                                             "backtest.summary", NULL};
    static const char *const risk[] = {"returns", "history", "weights", NULL};
    static const char *const risk_out[] = {"forecast.forecast", "risk.result", NULL};

    if (argc > 1)
        folder = argv[1];
    state = check_seed();
    card_or_skip();
    agrees("vpin-enhanced", flow, flow_out, 1e-4);
    agrees("portfolio", folio, folio_out, 1e-4);
    agrees("hybrid-backtest", hybrid, hybrid_out, 1e-4);
    agrees("ml-risk", risk, risk_out, 1e-3);
    time_ml_risk();
    return 0;
}
