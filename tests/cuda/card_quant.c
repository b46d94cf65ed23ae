/* card_quant.c -- the kernels of src/quant on a card against the CPU's double arithmetic: order
 * flow, patterns, portfolios, backtests, sweeps, factors. Sizes and inputs are drawn afresh from
 * the printed seed; outputs are poisoned before each run; both devices read the same bytes. */
#include "card.h"
#include "tribus/device.h"

#include <math.h>

#define MOST_PORTS 3
#define ARENA      ((size_t)64 << 20)

typedef struct bench {
    tribus_device *cpu, *card;
    unsigned char *mem, *data; /* as the CPU and as the card reach it */
    size_t used;
    uint64_t state;
} bench;

static double draw(bench *b)
{
    b->state = b->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(b->state >> 11) * 0x1p-53;
}

static double normal(bench *b)
{
    const double u = 1.0 - draw(b);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * draw(b));
}

static uint32_t between(bench *b, uint32_t low, uint32_t high)
{
    return low + (uint32_t)(draw(b) * (double)(high - low + 1));
}

typedef struct array {
    const char *dtype;
    int32_t ndim;
    int64_t shape[2];
    void *at;
    size_t bytes;
} array;

static array array_of(bench *b, const char *dtype, int32_t ndim, int64_t rows,
                      int64_t columns)
{
    array a = {.dtype = dtype, .ndim = ndim, .shape = {rows, columns}};
    tribus_dtype d;

    GOOD(tribus_dtype_parse(dtype, &d));
    a.bytes = (size_t)(rows * (ndim > 1 ? columns : 1)) * tribus_dtype_bytes(d);
    CHECK(b->used + a.bytes + 64 <= ARENA);
    a.at = b->mem + b->used;
    b->used += (a.bytes + 63) & ~(size_t)63;
    return a;
}

static tribus_tensor tensor_of(const bench *b, const array *a, bool card)
{
    tribus_tensor t;
    tribus_dtype d;

    GOOD(tribus_dtype_parse(a->dtype, &d));
    GOOD(tribus_tensor_init(&t, d, a->ndim, a->shape,
                            card ? b->data + ((unsigned char *)a->at - b->mem) : a->at,
                            a->bytes));
    t.device_type = card ? TRIBUS_DEVICE_CUDA : TRIBUS_DEVICE_CPU;
    return t;
}

typedef struct call {
    const char *name;
    array in[MOST_PORTS], out[2][MOST_PORTS]; /* out: of the CPU, of the card */
    uint32_t inputs, outputs;
    const char *params[2];
    double values[2];
} call;

static void run_on(bench *b, call *c, bool card, int64_t *took_ns)
{
    tribus_tensor in[MOST_PORTS], out[MOST_PORTS];
    tribus_kernel *k;

    for (uint32_t i = 0; i < c->inputs; i++)
        in[i] = tensor_of(b, &c->in[i], card);
    for (uint32_t i = 0; i < c->outputs; i++) {
        out[i] = tensor_of(b, &c->out[card][i], card);
        memset(c->out[card][i].at, 0xff, c->out[card][i].bytes); /* NaN, -1 */
    }
    GOOD(tribus_kernel_open(card ? b->card : b->cpu, c->name, &k));
    for (int i = 0; i < 2 && c->params[i] != NULL; i++)
        GOOD(tribus_kernel_set(k, c->params[i], c->values[i]));
    GOOD(tribus_kernel_bind(k, in, c->inputs, out, c->outputs));
    for (int again = 0; again < 3;
         again++) { /* the first loads and clears, the rest is timed */
        const int64_t start_ns = tribus_now_ns();

        GOOD(tribus_kernel_run(k));
        GOOD(tribus_device_synchronise_wait(card ? b->card : b->cpu, CARD_LONG_NS));
        *took_ns = tribus_now_ns() - start_ns;
    }
    tribus_kernel_close(k);
}

static double number(const array *a, size_t i)
{
    if (strcmp(a->dtype, "f64") == 0)
        return ((const double *)a->at)[i];
    if (strcmp(a->dtype, "f32") == 0)
        return (double)((const float *)a->at)[i];
    return (double)((const int32_t *)a->at)[i];
}

/* Run on both; every number of every output within `tolerance` of max(1, |CPU's|). */
static void agree(bench *b, call *c, double tolerance, const char *what)
{
    int64_t cpu_ns, card_ns;
    double worst = 0.0;
    bool same = true;

    for (int card = 0; card < 2; card++)
        for (uint32_t i = 0; i < c->outputs; i++)
            c->out[card][i] = array_of(b, c->out[0][i].dtype, c->out[0][i].ndim,
                                       c->out[0][i].shape[0], c->out[0][i].shape[1]);
    run_on(b, c, false, &cpu_ns);
    run_on(b, c, true, &card_ns);
    for (uint32_t i = 0; i < c->outputs; i++) {
        const array *want = &c->out[0][i], *got = &c->out[1][i];
        const size_t n = want->bytes / (strcmp(want->dtype, "f64") == 0 ? 8 : 4);

        same = same && memcmp(want->at, got->at, want->bytes) == 0;
        for (size_t k = 0; k < n; k++) {
            const double w = number(want, k);
            const double off = fabs(number(got, k) - w) / fmax(1.0, fabs(w));

            if (isnan(w) && isnan(number(got, k)))
                continue;
            worst = off <= worst ? worst : off; /* NaN sticks */
        }
    }
    printf("%-18s %-28s worst %.2g%s; CPU %.1f us, card %.1f us\n", c->name, what, worst,
           same ? ", same bits" : "", (double)cpu_ns / 1e3, (double)card_ns / 1e3);
    CHECK(worst <= tolerance);
    b->used = 0;
}

static void fill(bench *b, const array *a, double scale, double offset)
{
    float *at = a->at;

    for (size_t i = 0; i < a->bytes / 4; i++)
        at[i] = (float)(offset + scale * normal(b));
}

static void flow(bench *b, uint32_t trades, uint32_t levels, uint32_t buckets)
{
    call c = {.name = "flow_features", .inputs = 3, .outputs = 2};
    char what[64];
    float *price, *size, *book;
    double level = 100.0;

    c.in[0] = array_of(b, "f32", 1, trades, 0);
    c.in[1] = array_of(b, "f32", 1, trades, 0);
    c.in[2] = array_of(b, "f32", 2, levels, 4);
    price = c.in[0].at;
    size = c.in[1].at;
    book = c.in[2].at;
    for (uint32_t i = 0; i < trades; i++) {
        level = fmax(90.0, level + 0.01 * floor(0.5 + 3.0 * normal(b)));
        price[i] = (float)level;
        size[i] = (float)floor(1.0 + 500.0 * draw(b));
    }
    size[trades / 2] *= 300.0f; /* one trade over several buckets */
    for (uint32_t i = 0; i < levels; i++) {
        book[4 * i] = (float)(99.9 - 0.01 * i);
        book[4 * i + 1] = (float)(1.0 + 100.0 * draw(b));
        book[4 * i + 2] = (float)(100.1 + 0.01 * i);
        book[4 * i + 3] = (float)(1.0 + 100.0 * draw(b));
    }
    c.out[0][0] = (array){.dtype = "f32", .ndim = 1, .shape = {buckets, 0}};
    c.out[0][1] = (array){.dtype = "f32", .ndim = 2, .shape = {1, 8}};
    (void)snprintf(what, sizeof(what), "%u trades, %u buckets", trades, buckets);
    agree(b, &c, 2e-6, what);
}

static void score_and_pattern(bench *b)
{
    const uint32_t buckets = between(b, 1, 300), assets = between(b, 2, 500);
    call s = {.name = "toxicity_score", .inputs = 2, .outputs = 1};
    call p = {.name = "pattern_analytics", .inputs = 2, .outputs = 1};

    s.in[0] = array_of(b, "f32", 1, buckets, 0);
    s.in[1] = array_of(b, "f32", 2, 1, 3);
    fill(b, &s.in[0], 0.1, 0.4);
    fill(b, &s.in[1], 0.1, 0.4);
    s.out[0][0] = (array){.dtype = "f32", .ndim = 1, .shape = {4, 0}};
    agree(b, &s, 1e-6, "");
    p.in[0] = array_of(b, "f32", 2, assets, 32);
    p.in[1] = array_of(b, "f32", 2, assets, 3);
    fill(b, &p.in[0], 0.01, 0.0);
    fill(b, &p.in[1], 0.1, 0.4);
    p.out[0][0] = (array){.dtype = "f64", .ndim = 1, .shape = {8, 0}};
    agree(b, &p, 1e-11, "");
}

static void backtest(bench *b, uint32_t paths, uint32_t steps)
{
    call c = {.name = "backtest_paths",
              .inputs = 2,
              .outputs = 2,
              .params = {"cost"},
              .values = {0.001}};
    char what[64];

    c.in[0] = array_of(b, "f32", 2, paths, steps);
    c.in[1] = array_of(b, "f32", 2, paths, steps);
    fill(b, &c.in[0], 0.01, 0.0);
    fill(b, &c.in[1], 0.5, 0.0);
    c.out[0][0] = (array){.dtype = "f32", .ndim = 2, .shape = {paths, 4}};
    c.out[0][1] = (array){.dtype = "f64", .ndim = 1, .shape = {4, 0}};
    (void)snprintf(what, sizeof(what), "%u paths of %u steps", paths, steps);
    agree(b, &c, 1e-9, what);
}

static void sweep(bench *b, uint32_t rows, uint32_t longest, uint32_t pairs)
{
    call c = {.name = "sweep_sma",
              .inputs = 3,
              .outputs = 2,
              .params = {"cost", "longest"},
              .values = {0.0005, longest}};
    char what[64];
    float *open, *close;
    double level = 100.0;

    c.in[0] = array_of(b, "f32", 1, rows, 0);
    c.in[1] = array_of(b, "f32", 1, rows, 0);
    c.in[2] = array_of(b, "i32", 2, pairs, 2);
    open = c.in[0].at;
    close = c.in[1].at;
    for (uint32_t t = 0; t < rows; t++) {
        level *= exp(0.01 * normal(b));
        open[t] = (float)(level * exp(0.002 * normal(b)));
        close[t] = (float)level;
    }
    for (uint32_t i = 0; i < 2 * pairs; i++)
        ((int32_t *)c.in[2].at)[i] = (int32_t)between(b, 1, longest);
    c.out[0][0] = (array){.dtype = "f32", .ndim = 2, .shape = {pairs, 2}};
    c.out[0][1] = (array){.dtype = "i32", .ndim = 2, .shape = {pairs, 2}};
    (void)snprintf(what, sizeof(what), "%u bars, %u pairs", rows, pairs);
    agree(b, &c, 0.0, what);
}

static void factor(bench *b, uint32_t assets, uint32_t times)
{
    call c = {.name = "correlation_factor",
              .inputs = 1,
              .outputs = 1,
              .params = {"shrinkage"},
              .values = {0.1}};
    char what[64];

    c.in[0] = array_of(b, "f32", 2, assets, times);
    for (uint32_t t = 0; t < times; t++) {
        const double market = normal(b);

        for (uint32_t i = 0; i < assets; i++)
            ((float *)c.in[0].at)[(size_t)i * times + t] =
                (float)(0.01 * (market + (1 + i % 3) * normal(b)));
    }
    c.out[0][0] = (array){.dtype = "f32", .ndim = 2, .shape = {assets, assets}};
    (void)snprintf(what, sizeof(what), "%u assets, %u times", assets, times);
    agree(b, &c, 2e-6, what);
}

/* A factor model's covariance: eight factors, then each asset's own variance. */
static void optimise(bench *b, uint32_t assets, double most)
{
    enum { FACTORS = 8 };
    call c = {.name = "mean_variance",
              .inputs = 2,
              .outputs = 2,
              .params = {"aversion", "most"},
              .values = {5.0, most}};
    char what[64];
    double *loading = malloc(assets * FACTORS * sizeof(*loading));
    float *cov;

    CHECK(loading != NULL);
    c.in[0] = array_of(b, "f32", 2, assets, 1);
    c.in[1] = array_of(b, "f32", 2, assets, assets);
    cov = c.in[1].at;
    fill(b, &c.in[0], 0.001, 0.0);
    for (uint32_t i = 0; i < assets * FACTORS; i++)
        loading[i] = 0.01 * (i % FACTORS == 0 ? 1.0 + 0.3 * normal(b) : 0.4 * normal(b));
    for (uint32_t i = 0; i < assets; i++)
        for (uint32_t j = 0; j <= i; j++) {
            const double own = 0.005 + 0.02 * draw(b);
            double sum = i == j ? own * own : 0.0;

            for (uint32_t k = 0; k < FACTORS; k++)
                sum += loading[i * FACTORS + k] * loading[j * FACTORS + k];
            cov[(size_t)i * assets + j] = cov[(size_t)j * assets + i] = (float)sum;
        }
    free(loading);
    c.out[0][0] = (array){.dtype = "f32", .ndim = 2, .shape = {assets, 1}};
    c.out[0][1] = (array){.dtype = "f64", .ndim = 1, .shape = {3, 0}};
    (void)snprintf(what, sizeof(what), "%u assets, at most %.3f", assets, most);
    agree(b, &c, 1e-6, what);
}

/* Every kernel says with NaN what the CPU says with a status. */
static void senseless_numbers_give_nan(bench *b)
{
    call c = {.name = "correlation_factor", .inputs = 1, .outputs = 1};
    int64_t unused;

    c.in[0] = array_of(b, "f32", 2, 50, 60);
    fill(b, &c.in[0], 0.01, 0.0);
    ((float *)c.in[0].at)[777] = INFINITY;
    c.out[1][0] = array_of(b, "f32", 2, 50, 50);
    run_on(b, &c, true, &unused);
    for (size_t i = 0; i < 2500; i++)
        CHECK(isnan(((float *)c.out[1][0].at)[i]));
    b->used = 0;
}

int main(void)
{
    bench b = {.state = check_seed()};
    void *data;

    card_or_skip();
    GOOD(tribus_device_open("cpu", &b.cpu));
    GOOD(tribus_device_open("cuda", &b.card));
    b.mem = card_shared(ARENA);
    GOOD(tribus_device_register(b.card, b.mem, ARENA, &data));
    b.data = data;
    flow(&b, 2, 1, 3);
    flow(&b, between(&b, 3, 3000), between(&b, 1, 20), between(&b, 1, 200));
    flow(&b, 2000, 10, 50);
    flow(&b, 200000, 10, 4096);
    score_and_pattern(&b);
    backtest(&b, between(&b, 1, 100), between(&b, 2, 200));
    backtest(&b, 1000, 128);
    backtest(&b, 10000, 252);
    sweep(&b, between(&b, 60, 2000), between(&b, 1, 59), between(&b, 1, 300));
    sweep(&b, 2520, 200, 10000);
    for (uint32_t i = 0; i < 4; i++)
        factor(&b, between(&b, 1, 200), between(&b, 2, 300));
    factor(&b, 439, 128);
    for (uint32_t i = 0; i < 4; i++)
        optimise(&b, between(&b, 2, 300), 1.0);
    optimise(&b, 439, 0.05);
    optimise(&b, 1000, 0.02);
    senseless_numbers_give_nan(&b);
    tribus_device_unregister(b.card, b.mem);
    tribus_device_close(b.card);
    tribus_device_close(b.cpu);
    return 0;
}
