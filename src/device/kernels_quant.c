/* kernels_quant.c -- rows of the table of kernels that are mathematics of src/quant: order flow,
 * patterns, portfolios, backtests, sweeps. Here is what they are on the CPU: in double inside,
 * float outside. On a card they are quant_cuda.c's.
 */
#include "base/error.h"
#include "device/device.h"
#include "device/quant_cuda.h"
#include "tribus/quant_backtest.h"
#include "tribus/quant_flow.h"
#include "tribus/quant_portfolio.h"

#include <math.h>
#include <string.h>

#define MOST_ASSETS 8192 /* so that no product of sizes below overflows */
#define MOST_ROWS   1048576

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

enum { FLOW_TRADES, FLOW_LEVELS, FLOW_BUCKETS };

/* On the CPU a bucket each; on a card two running sums over the trades as well. */
static size_t flow_scratch_bytes(const tribus_kernel_args *args)
{
    const int64_t trades = args->dims[FLOW_TRADES], buckets = args->dims[FLOW_BUCKETS];

    if (trades < 2 || trades > INT32_MAX / 4 || buckets > TRIBUS_QUANT_FLOW_BUCKETS)
        return SIZE_MAX;
    return (size_t)(2 * (trades + 1) + buckets) * sizeof(double);
}

static tribus_status flow_cpu(const tribus_kernel_args *args)
{
    const float *price = args->inputs[0], *size = args->inputs[1], *book = args->inputs[2];
    const uint32_t n = (uint32_t)args->dims[FLOW_TRADES];
    const uint32_t buckets = (uint32_t)args->dims[FLOW_BUCKETS];
    const uint32_t quarter = buckets / 4 > 0 ? buckets / 4 : 1;
    float *imbalance = args->outputs[0], *f = args->outputs[1];
    double *ring = args->scratch, total = 0.0, sd, mid, recent = 0.0, most = 0.0;
    tribus_quant_vpin v;

    for (uint32_t i = 0; i < n; i++) {
        if (!(price[i] > 0.0f) || !(size[i] >= 0.0f) || isinf(size[i]) || isinf(price[i]))
            return tribus_error_set(TRIBUS_BAD_DATA,
                                    "flow_features: trade %u has no price or size", i);
        total += (double)size[i];
    }
    mid = 0.5 * ((double)book[0] + (double)book[2]);
    sd = change_sd(price, n);
    /* a hair less, so that rounding cannot leave the last bucket open */
    if (tribus_quant_vpin_init(&v, total * (1.0 - 1e-9) / (double)buckets, buckets, ring) !=
            TRIBUS_OK ||
        !(mid > 0.0))
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "flow_features: no volume, or an empty book");
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
    book_features(book, (uint32_t)args->dims[FLOW_LEVELS], mid, f);
    return TRIBUS_OK;
}

/* ---- toxicity_score ---- */

static tribus_status score_cpu(const tribus_kernel_args *args)
{
    const float *imbalance = args->inputs[0], *regime = args->inputs[1];
    const uint32_t n = (uint32_t)args->dims[0];
    float *score = args->outputs[0];
    double sum = 0.0, level;
    uint32_t below = 0, most = 0;

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

enum { OPTIMISE_AVERSION, OPTIMISE_MOST };

/* Work, covariance, mean and weights in double; a card takes less. The scratch is kept, so each
 * solve starts from the last answer. */
static size_t optimise_scratch_bytes(const tribus_kernel_args *args)
{
    const int64_t n = args->dims[0];

    if (n < 1 || n > MOST_ASSETS)
        return SIZE_MAX;
    return sizeof(tribus_quant_warm) + tribus_quant_portfolio_bytes((uint32_t)n, 0) + 8 +
           (size_t)(n * n + 6 * n + 2 * (int64_t)TRIBUS_QUANT_CUDA_CLUSTER) *
               sizeof(double);
}

static tribus_status optimise_cpu(const tribus_kernel_args *args)
{
    const uint32_t n = (uint32_t)args->dims[0];
    const float *mean = args->inputs[0], *cov = args->inputs[1];
    float *weights = args->outputs[0];
    double *quality = args->outputs[1];
    tribus_quant_warm *warm = args->scratch;
    double *wide = (double *)(void *)(warm + 1), *mu = wide + (size_t)n * n, *w = mu + n;
    void *work = w + n;
    tribus_quant_portfolio_result result;
    tribus_quant_why why = {""};
    tribus_status st;

    if (warm->assets != n)
        memset(work, 0, 8); /* of another problem */
    warm->assets = n;
    for (uint32_t i = 0; i < n; i++)
        mu[i] = (double)mean[i];
    for (size_t i = 0; i < (size_t)n * n; i++)
        wide[i] = (double)cov[i];
    const tribus_quant_portfolio p = {.assets = n,
                                      .cov = wide,
                                      .mean = mu,
                                      .lower = 0.0,
                                      .upper = args->params[OPTIMISE_MOST]};
    st = tribus_quant_mean_variance(&p, args->params[OPTIMISE_AVERSION], work, w, &result,
                                    &why);
    if (st != TRIBUS_OK)
        return tribus_error_set(st, "mean_variance: %s", why.text);
    for (uint32_t i = 0; i < n; i++)
        weights[i] = (float)w[i];
    quality[0] = result.mean;
    quality[1] = result.volatility;
    quality[2] = result.qp.kkt;
    return TRIBUS_OK;
}

/* ---- pattern_analytics: what the market does as a whole ---- */

static tribus_status pattern_cpu(const tribus_kernel_args *args)
{
    const float *returns = args->inputs[0], *p = args->inputs[1];
    const uint32_t n = (uint32_t)args->dims[0], window = (uint32_t)args->dims[1];
    double *a = args->outputs[0];
    double s1 = 0, s2 = 0, r1 = 0, r2 = 0, rs = 0, up = 0, down = 0, entropy = 0, vol = 0;
    const double m = (double)n;

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

static tribus_status backtest_cpu(const tribus_kernel_args *args)
{
    const uint32_t paths = (uint32_t)args->dims[0], steps = (uint32_t)args->dims[1];
    const float *returns = args->inputs[0], *position = args->inputs[1];
    double *summary = args->outputs[1];
    double sum = 0.0, squares = 0.0, worst = INFINITY, good = 0.0;

    if (steps < 2)
        return tribus_error_set(TRIBUS_BAD_DATA, "backtest_paths: two steps at least");
    for (uint32_t i = 0; i < paths; i++) {
        float *s = (float *)args->outputs[0] + 4 * (size_t)i;

        backtest(returns + (size_t)i * steps, position + (size_t)i * steps, steps,
                 args->params[0], s);
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

/* ---- sweep_sma: a moving-average strategy with many pairs of periods ---- */

enum { SWEEP_ROWS, SWEEP_COUNT };
enum { SWEEP_COST, SWEEP_LONGEST };

static size_t sweep_scratch_bytes(const tribus_kernel_args *args)
{
    const int64_t rows = args->dims[SWEEP_ROWS], count = args->dims[SWEEP_COUNT];
    const uint32_t longest = (uint32_t)args->params[SWEEP_LONGEST];

    if (rows < longest || rows > MOST_ROWS || count > MOST_ROWS)
        return SIZE_MAX;
    return (tribus_quant_sweep_scratch((uint32_t)rows, longest) + 2 * (size_t)rows) *
               sizeof(double) +
           (size_t)count *
               (sizeof(tribus_quant_sweep_pair) + sizeof(tribus_quant_sweep_result));
}

static tribus_status sweep_cpu(const tribus_kernel_args *args)
{
    const uint32_t rows = (uint32_t)args->dims[SWEEP_ROWS];
    const uint32_t count = (uint32_t)args->dims[SWEEP_COUNT];
    const float *open = args->inputs[0], *close = args->inputs[1];
    const int32_t *pairs = args->inputs[2];
    float *money = args->outputs[0];
    int32_t *trades = args->outputs[1];
    const tribus_quant_sweep_cfg cfg = {.commission_rate = args->params[SWEEP_COST],
                                        .longest = (uint32_t)args->params[SWEEP_LONGEST]};
    double *work = args->scratch;
    double *wide_open = work + tribus_quant_sweep_scratch(rows, cfg.longest);
    double *wide_close = wide_open + rows;
    tribus_quant_sweep_result *results =
        (tribus_quant_sweep_result *)(void *)(wide_close + rows);
    tribus_quant_sweep_pair *wanted = (tribus_quant_sweep_pair *)(void *)(results + count);
    const tribus_quant_ohlc bars = {.open = wide_open, .close = wide_close, .rows = rows};
    tribus_status st;

    for (uint32_t t = 0; t < rows; t++) {
        wide_open[t] = (double)open[t];
        wide_close[t] = (double)close[t];
    }
    for (uint32_t i = 0; i < count; i++)
        wanted[i] =
            (tribus_quant_sweep_pair){(uint32_t)pairs[2 * i], (uint32_t)pairs[2 * i + 1]};
    st = tribus_quant_sweep_sma(&bars, &cfg, wanted, count, work, results);
    if (st != TRIBUS_OK)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "sweep_sma: a price is not positive, or a period is not 1 "
                                "to %u",
                                cfg.longest);
    for (uint32_t i = 0; i < count; i++) {
        money[2 * i] = (float)results[i].profit;
        money[2 * i + 1] = (float)results[i].max_drawdown;
        trades[2 * i] = (int32_t)results[i].buys;
        trades[2 * i + 1] = (int32_t)results[i].sells;
    }
    return TRIBUS_OK;
}

/* ---- the rows ---- */

static const tribus_kernel_code table[] = {
    {.entry =
         {.name = "flow_features",
          .meaning = "imbalance of equal-volume buckets by bulk classification, and what "
                     "a classifier of the flow needs",
          .inputs = {{"price", "f32", "trades", "oldest first"},
                     {"size", "f32", "trades", "volume of each trade"},
                     {"book", "f32", "levels,4",
                      "bid, its size, ask, its size; best "
                      "first"}},
          .input_count = 3,
          .outputs = {{"imbalance", "f32", "buckets",
                       "|buy - sell| / volume of each bucket; 4096 at most"},
                      {"features", "f32", "1,8",
                       "VPIN, last, mean of the last quarter, largest; deviation of a "
                       "change (bp), drift in deviations, spread (bp), imbalance of the "
                       "book"}},
          .output_count = 2},
     .scratch_bytes = flow_scratch_bytes,
     .cpu = flow_cpu,
     .cuda = tribus_quant_cuda_flow},
    {.entry =
         {.name = "toxicity_score",
          .meaning = "one number for how dangerous it is to quote",
          .inputs = {{"imbalance", "f32", "buckets", "of flow_features"},
                     {"regime", "f32", "1,3", "probabilities: calm, elevated, toxic"}},
          .input_count = 2,
          .outputs = {{"score", "f32", "4",
                       "VPIN, level of the last bucket among all, score 0..1, likeliest "
                       "regime"}},
          .output_count = 1},
     .cpu = score_cpu,
     .cuda = tribus_quant_cuda_score},
    {.entry =
         {.name = "mean_variance",
          .meaning =
              "long-only weights of most mean - aversion / 2 * variance, adding up to 1",
          .inputs = {{"mean", "f32", "assets,1", "forecast returns"},
                     {"cov", "f32", "assets,assets", "their covariance"}},
          .input_count = 2,
          .outputs = {{"weights", "f32", "assets,1", "0 to `most` each"},
                      {"quality", "f64", "3", "mean, volatility, KKT residual"}},
          .output_count = 2,
          .params = {{"aversion", false, 5, 1e-3, 1e6, "price of variance"},
                     {"most", false, 1, 1e-6, 1, "largest weight of one asset"}},
          .param_count = 2},
     .scratch_bytes = optimise_scratch_bytes,
     .cpu = optimise_cpu,
     .cuda = tribus_quant_cuda_optimise},
    {.entry = {.name = "pattern_analytics",
               .meaning = "what the patterns of many assets say about the market",
               .inputs = {{"returns", "f32", "assets,window", "oldest first"},
                          {"pattern", "f32", "assets,3", "probabilities: down, none, up"}},
               .input_count = 2,
               .outputs = {{"analytics", "f64", "8",
                            "mean lean, share up, share down, dispersion, entropy, "
                            "deviation, correlation with the last return, last return"}},
               .output_count = 1},
     .cpu = pattern_cpu,
     .cuda = tribus_quant_cuda_pattern},
    {.entry = {.name = "backtest_paths",
               .meaning = "a strategy's positions over many paths at once",
               .inputs = {{"returns", "f32", "paths,steps", "simple returns"},
                          {"position", "f32", "paths,steps",
                           "held from this step to the next"}},
               .input_count = 2,
               .outputs = {{"stats", "f32", "paths,4",
                            "total, mean / deviation, fall, turnover"},
                           {"summary", "f64", "4",
                            "mean and deviation of totals, worst, share > 0"}},
               .output_count = 2,
               .params = {{"cost", false, 0.0001, 0, 1, "of a unit traded"}},
               .param_count = 1},
     .cpu = backtest_cpu,
     .cuda = tribus_quant_cuda_backtest},
    {.entry =
         {.name = "sweep_sma",
          .meaning = "long while the fast moving average is above the slow one, for many "
                     "pairs of periods",
          .inputs = {{"open", "f32", "rows", "prices, oldest first"},
                     {"close", "f32", "rows", "of the same bars"},
                     {"pairs", "i32", "pairs,2", "periods: fast, slow; 1 to `longest`"}},
          .input_count = 3,
          .outputs = {{"money", "f32", "pairs,2", "profit of one unit, largest fall of it"},
                      {"trades", "i32", "pairs,2", "buys, sells"}},
          .output_count = 2,
          .params = {{"cost", false, 0, 0, 1, "of the value traded"},
                     {"longest", true, 200, 1, 4096, "no period is longer"}},
          .param_count = 2},
     .scratch_bytes = sweep_scratch_bytes,
     .cpu = sweep_cpu,
     .cuda = tribus_quant_cuda_sweep},
};

const tribus_kernel_code *tribus_kernels_quant_at(uint32_t i)
{
    return i < sizeof(table) / sizeof(table[0]) ? &table[i] : NULL;
}
