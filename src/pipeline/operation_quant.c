/* operation_quant.c -- operations of the domain gpu that are mathematics of src/quant and
 * have no device kernel: they run on the CPU of their host. In double inside, float outside.
 */
#include "pipeline/operation.h"
#include "tribus/quant_flow.h"
#include "tribus/quant_portfolio.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float *in(const tribus_operation_call *c, uint32_t i)
{
    return tribus_tensor_address(&c->inputs[i]);
}

static float *out(const tribus_operation_call *c, uint32_t i)
{
    return tribus_tensor_address(&c->outputs[i]);
}

static tribus_status refuse(const tribus_operation_call *c, const char *why)
{
    (void)snprintf(c->why, TRIBUS_PIPELINE_TEXT_BYTES, "%s", why);
    return TRIBUS_BAD_DATA;
}

/* ---- flow_features: trades and a book -> imbalance of volume buckets, eight features ---- */

/* Sample deviation of price changes, the first of which is 0. */
static double change_sd(const float *price, uint32_t n)
{
    const double mean = ((double)price[n - 1] - (double)price[0]) / (double)n;
    double sum = mean * mean;

    for (uint32_t i = 1; i < n; i++) {
        const double d = (double)price[i] - (double)price[i - 1] - mean;

        sum += d * d;
    }
    return sqrt(sum / (double)(n - 1));
}

static void book_features(const float *book, uint32_t levels, double mid, float *f)
{
    double bids = 0.0, asks = 0.0;

    for (uint32_t i = 0; i < levels; i++) {
        bids += (double)book[4 * i + 1];
        asks += (double)book[4 * i + 3];
    }
    f[6] = (float)(1e4 * ((double)book[2] - (double)book[0]) / mid);
    f[7] = (float)((bids - asks) / (bids + asks));
}

static tribus_status run_flow(void *context, const double *params,
                              const tribus_operation_call *c)
{
    const float *price = in(c, 0), *size = in(c, 1), *book = in(c, 2);
    const uint32_t n = (uint32_t)c->inputs[0].shape[0];
    const uint32_t buckets = (uint32_t)c->outputs[0].shape[0];
    const uint32_t quarter = buckets / 4 > 0 ? buckets / 4 : 1;
    float *imbalance = out(c, 0), *f = out(c, 1);
    double ring[4096], total = 0.0, sd, mid, recent = 0.0, most = 0.0;
    tribus_quant_vpin v;

    (void)context;
    (void)params;
    if (n < 2 || buckets > 4096)
        return refuse(c, "two trades at least, 4096 buckets at most");
    for (uint32_t i = 0; i < n; i++) {
        if (!(price[i] > 0.0f) || !(size[i] >= 0.0f) || isinf(size[i]) || isinf(price[i]))
            return refuse(c, "a trade without a price or size");
        total += (double)size[i];
    }
    mid = 0.5 * ((double)book[0] + (double)book[2]);
    sd = change_sd(price, n);
    /* a hair less, so that rounding cannot leave the last bucket open */
    if (tribus_quant_vpin_init(&v, total * (1.0 - 1e-9) / (double)buckets, buckets, ring) !=
            TRIBUS_OK ||
        !(mid > 0.0))
        return refuse(c, "no volume, or an empty book");
    for (uint32_t i = 0; i < n && v.closed < buckets; i++) {
        const double dp = i > 0 ? (double)price[i] - (double)price[i - 1] : 0.0;
        const double bought = tribus_quant_classify_bulk(dp, sd);

        (void)tribus_quant_vpin_add(&v, bought * (double)size[i],
                                    (1.0 - bought) * (double)size[i]);
    }
    for (uint32_t i = 0; i < buckets; i++) {
        const double share = ring[i] / v.bucket;

        imbalance[i] = (float)share;
        most = share > most ? share : most;
        recent += i + quarter >= buckets ? share : 0.0;
    }
    f[0] = (float)tribus_quant_vpin_value(&v);
    f[1] = imbalance[buckets - 1];
    f[2] = (float)(recent / (double)quarter);
    f[3] = (float)most;
    f[4] = (float)(1e4 * sd / mid);
    f[5] = sd > 0.0
               ? (float)(((double)price[n - 1] - (double)price[0]) / (sd * sqrt((double)n)))
               : 0.0f;
    book_features(book, (uint32_t)c->inputs[2].shape[0], mid, f);
    return TRIBUS_OK;
}

/* ---- toxicity_score ---- */

static tribus_status run_score(void *context, const double *params,
                               const tribus_operation_call *c)
{
    const float *imbalance = in(c, 0), *regime = in(c, 1);
    const uint32_t n = (uint32_t)c->inputs[0].shape[0];
    float *score = out(c, 0);
    double sum = 0.0, level;
    uint32_t below = 0, most = 0;

    (void)context;
    (void)params;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)imbalance[i];
        below += imbalance[i] <= imbalance[n - 1] ? 1 : 0;
    }
    for (uint32_t i = 1; i < 3; i++)
        most = regime[i] > regime[most] ? i : most;
    level = (double)below / (double)n;
    score[0] = (float)(sum / (double)n);
    score[1] = (float)level;
    score[2] = (float)((0.5 * (double)regime[1] + (double)regime[2]) * (0.5 + 0.5 * level));
    score[3] = (float)most;
    return TRIBUS_OK;
}

/* ---- mean_variance: forecasts and a covariance -> long-only weights ---- */

typedef struct optimiser {
    uint32_t assets;
    void *work;
    double *cov, *mean, *weights;
} optimiser;

static tribus_status open_optimiser(const double *params, void **context, char *why)
{
    (void)params;
    *context = calloc(1, sizeof(optimiser));
    if (*context == NULL)
        (void)snprintf(why, TRIBUS_PIPELINE_TEXT_BYTES, "no memory");
    return *context != NULL ? TRIBUS_OK : TRIBUS_NO_MEMORY;
}

static void close_optimiser(void *context)
{
    optimiser *o = context;

    free(o->work);
    free(o->cov);
    free(o->mean);
    free(o->weights);
    free(o);
}

/* Work space is made at the first run and kept: each solve starts from the last answer. */
static bool make_room(optimiser *o, uint32_t n)
{
    if (o->assets == n)
        return true;
    o->work = calloc(1, tribus_quant_portfolio_bytes(n, 0));
    o->cov = malloc((size_t)n * n * sizeof(double));
    o->mean = malloc(n * sizeof(double));
    o->weights = malloc(n * sizeof(double));
    if (o->work == NULL || o->cov == NULL || o->mean == NULL || o->weights == NULL)
        return false;
    o->assets = n;
    return true;
}

static tribus_status run_optimiser(void *context, const double *params,
                                   const tribus_operation_call *c)
{
    optimiser *o = context;
    const uint32_t n = (uint32_t)c->inputs[0].shape[0];
    const float *mean = in(c, 0), *cov = in(c, 1);
    double *quality = tribus_tensor_address(&c->outputs[1]);
    tribus_quant_portfolio_result result;
    tribus_quant_why why = {""};
    tribus_status st;

    if (!make_room(o, n))
        return refuse(c, "no memory");
    for (uint32_t i = 0; i < n; i++)
        o->mean[i] = (double)mean[i];
    for (size_t i = 0; i < (size_t)n * n; i++)
        o->cov[i] = (double)cov[i];
    const tribus_quant_portfolio p = {
        .assets = n, .cov = o->cov, .mean = o->mean, .lower = 0.0, .upper = params[1]};
    st = tribus_quant_mean_variance(&p, params[0], o->work, o->weights, &result, &why);
    if (st != TRIBUS_OK) {
        (void)snprintf(c->why, TRIBUS_PIPELINE_TEXT_BYTES, "%s", why.text);
        return st;
    }
    for (uint32_t i = 0; i < n; i++)
        out(c, 0)[i] = (float)o->weights[i];
    quality[0] = result.mean;
    quality[1] = result.volatility;
    quality[2] = result.qp.kkt;
    return TRIBUS_OK;
}

/* ---- pattern_analytics: what the market does as a whole ---- */

static tribus_status run_analytics(void *context, const double *params,
                                   const tribus_operation_call *c)
{
    const float *returns = in(c, 0), *p = in(c, 1);
    const uint32_t n = (uint32_t)c->inputs[0].shape[0];
    const uint32_t window = (uint32_t)c->inputs[0].shape[1];
    double *a = tribus_tensor_address(&c->outputs[0]);
    double s1 = 0, s2 = 0, r1 = 0, r2 = 0, rs = 0, up = 0, down = 0, entropy = 0, vol = 0;
    const double m = (double)n;

    (void)context;
    (void)params;
    for (uint32_t i = 0; i < n; i++) {
        const float *row = returns + (size_t)i * window, *q = p + 3 * (size_t)i;
        const double lean = (double)q[2] - (double)q[0], last = (double)row[window - 1];
        double squares = 0.0;

        for (uint32_t t = 0; t < window; t++)
            squares += (double)row[t] * (double)row[t];
        vol += sqrt(squares / (double)window);
        for (uint32_t k = 0; k < 3; k++)
            entropy -= q[k] > 0.0f ? (double)q[k] * log((double)q[k]) : 0.0;
        up += q[2] > q[1] && q[2] > q[0] ? 1.0 : 0.0;
        down += q[0] > q[1] && q[0] >= q[2] ? 1.0 : 0.0;
        s1 += lean;
        s2 += lean * lean;
        r1 += last;
        r2 += last * last;
        rs += last * lean;
    }
    const double var_s = s2 / m - s1 * s1 / (m * m), var_r = r2 / m - r1 * r1 / (m * m);
    a[0] = s1 / m; /* mean lean: P(up) - P(down) */
    a[1] = up / m; /* breadth */
    a[2] = down / m;
    a[3] = sqrt(var_s > 0.0 ? var_s : 0.0); /* dispersion of the lean */
    a[4] = entropy / m;                     /* nats: log 3 is "no idea" */
    a[5] = vol / m;                         /* mean deviation of a return */
    a[6] = var_s > 0.0 && var_r > 0.0       /* lean against the last return */
               ? (rs / m - s1 * r1 / (m * m)) / sqrt(var_s * var_r)
               : 0.0;
    a[7] = r1 / m; /* return of the equal-weight portfolio */
    return TRIBUS_OK;
}

/* ---- backtest_paths: a position a step over many paths ---- */

/* Of one path: total return, mean / deviation a step, deepest fall from the peak, turnover.
 * The position of a step earns the return of the next; a change costs `cost` of it. */
static void backtest(const float *r, const float *x, uint32_t steps, double cost, float *s)
{
    double wealth = 1.0, peak = 1.0, fall = 0.0, sum = 0.0, squares = 0.0, turnover = 0.0;
    double held = 0.0;

    for (uint32_t t = 0; t + 1 < steps; t++) {
        const double traded = fabs((double)x[t] - held);
        const double gain = (double)x[t] * (double)r[t + 1] - cost * traded;

        held = (double)x[t];
        turnover += traded;
        sum += gain;
        squares += gain * gain;
        wealth *= 1.0 + gain;
        peak = wealth > peak ? wealth : peak;
        fall = 1.0 - wealth / peak > fall ? 1.0 - wealth / peak : fall;
    }
    const double m = (double)(steps - 1), mean = sum / m;
    const double variance = squares / m - mean * mean;
    s[0] = (float)(wealth - 1.0);
    s[1] = variance > 0.0 ? (float)(mean / sqrt(variance)) : 0.0f;
    s[2] = (float)fall;
    s[3] = (float)turnover;
}

static tribus_status run_backtest(void *context, const double *params,
                                  const tribus_operation_call *c)
{
    const uint32_t paths = (uint32_t)c->inputs[0].shape[0];
    const uint32_t steps = (uint32_t)c->inputs[0].shape[1];
    double *summary = tribus_tensor_address(&c->outputs[1]);
    double sum = 0.0, squares = 0.0, worst = INFINITY, good = 0.0;

    (void)context;
    if (steps < 2)
        return refuse(c, "two steps at least");
    for (uint32_t i = 0; i < paths; i++) {
        float *s = out(c, 0) + 4 * (size_t)i;

        backtest(in(c, 0) + (size_t)i * steps, in(c, 1) + (size_t)i * steps, steps,
                 params[0], s);
        sum += (double)s[0];
        squares += (double)s[0] * (double)s[0];
        worst = (double)s[0] < worst ? (double)s[0] : worst;
        good += s[0] > 0.0f ? 1.0 : 0.0;
    }
    const double m = (double)paths, mean = sum / m;
    summary[0] = mean;
    summary[1] = sqrt(squares / m - mean * mean > 0.0 ? squares / m - mean * mean : 0.0);
    summary[2] = worst;
    summary[3] = good / m;
    return TRIBUS_OK;
}

/* ---- the table ---- */

#define GPU .abi = TRIBUS_OPERATION_ABI, .version = 1, .domains = TRIBUS_DOMAIN_GPU

static const tribus_operation_entry table[] = {
    {GPU, .name = "flow_features",
     .meaning = "imbalance of equal-volume buckets by bulk classification, and what a "
                "classifier of the flow needs",
     .inputs = {{"price", "f32", "trades", "oldest first"},
                {"size", "f32", "trades", "volume of each trade"},
                {"book", "f32", "levels,4", "bid, its size, ask, its size; best first"}},
     .input_count = 3,
     .outputs = {{"imbalance", "f32", "buckets", "|buy - sell| / volume of each bucket"},
                 {"features", "f32", "1,8",
                  "VPIN, last, mean of the last quarter, largest; deviation of a change "
                  "(bp), drift in deviations, spread (bp), imbalance of the book"}},
     .output_count = 2, .cost_ns = 50000, .run = run_flow},
    {GPU, .name = "toxicity_score",
     .meaning = "one number for how dangerous it is to quote",
     .inputs = {{"imbalance", "f32", "buckets", "of flow_features"},
                {"regime", "f32", "1,3", "probabilities: calm, elevated, toxic"}},
     .input_count = 2,
     .outputs =
         {{"score", "f32", "4",
           "VPIN, level of the last bucket among all, score 0..1, likeliest regime"}},
     .output_count = 1, .cost_ns = 500, .run = run_score},
    {GPU, .name = "mean_variance",
     .meaning = "long-only weights of most mean - aversion / 2 * variance, adding up to 1",
     .inputs = {{"mean", "f32", "assets,1", "forecast returns"},
                {"cov", "f32", "assets,assets", "their covariance"}},
     .input_count = 2,
     .outputs = {{"weights", "f32", "assets,1", "0 to `most` each"},
                 {"quality", "f64", "3", "mean, volatility, KKT residual"}},
     .output_count = 2,
     .params = {{"aversion", false, 5, 1e-3, 1e6, "price of variance"},
                {"most", false, 1, 1e-6, 1, "largest weight of one asset"}},
     .param_count = 2, .cost_ns = 20000000, .open = open_optimiser, .run = run_optimiser,
     .close = close_optimiser},
    {GPU, .name = "pattern_analytics",
     .meaning = "what the patterns of many assets say about the market",
     .inputs = {{"returns", "f32", "assets,window", "oldest first"},
                {"pattern", "f32", "assets,3", "probabilities: down, none, up"}},
     .input_count = 2,
     .outputs = {{"analytics", "f64", "8",
                  "mean lean, share up, share down, dispersion, entropy, deviation, "
                  "correlation with the last return, last return"}},
     .output_count = 1, .cost_ns = 50000, .run = run_analytics},
    {GPU, .name = "backtest_paths",
     .meaning = "a strategy's positions over many paths at once",
     .inputs = {{"returns", "f32", "paths,steps", "simple returns"},
                {"position", "f32", "paths,steps", "held from this step to the next"}},
     .input_count = 2,
     .outputs = {{"stats", "f32", "paths,4", "total, mean / deviation, fall, turnover"},
                 {"summary", "f64", "4", "mean and deviation of totals, worst, share > 0"}},
     .output_count = 2, .params = {{"cost", false, 0.0001, 0, 1, "of a unit traded"}},
     .param_count = 1, .cost_ns = 1000000, .run = run_backtest},
};

const tribus_operation_entry *tribus_operation_quant_at(uint32_t i)
{
    return i < sizeof(table) / sizeof(table[0]) ? &table[i] : NULL;
}
