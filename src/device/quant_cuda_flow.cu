/* quant_cuda_flow.cu -- order flow, patterns, backtests and sweeps on a card.
 *
 * nvcc: --fmad=false          (so that the arithmetic is the CPU's, operation by operation)
 *
 *   flow_features      one block: running sums of volume and bought volume, then each bucket
 *                      looks up its ends. The bought share is src/quant/flow.h's; the rest is
 *                      double. |imbalance - CPU| <= 1e-6.
 *   toxicity_score     one block
 *   pattern_analytics  one block, a thread an asset; sums in another order than the CPU's
 *   backtest_paths     a thread a path, tiles through shared memory; the CPU's bits but for the
 *                      summary, which is summed in another order
 *   sweep_sma          prices onto the card once, since slots are in host memory; averages, a
 *                      thread a period and 256 rows; then a thread a pair. The bits of
 *                      src/quant/sweep.c
 */
#include "device/quant_cuda.h"
#include "device/quant_cuda_block.cuh"
#include "quant/flow.h"

/* ---- flow_features ---- */

/* Sum over the threads before this one; *all: over every thread. */
static __device__ double sum_before(double x, double *all)
{
    __shared__ double sums[TRIBUS_QUANT_CUDA_WIDE];

    __syncthreads();
    sums[threadIdx.x] = x;
    for (uint32_t reach = 1; reach < blockDim.x; reach *= 2) {
        double more;

        __syncthreads();
        more = threadIdx.x >= reach ? sums[threadIdx.x - reach] : 0.0;
        __syncthreads();
        sums[threadIdx.x] += more;
    }
    __syncthreads();
    *all = sums[blockDim.x - 1];
    return threadIdx.x > 0 ? sums[threadIdx.x - 1] : 0.0;
}

static __device__ double change_of(const tribus_quant_flow_args &a, uint32_t i)
{
    return i > 0 ? (double)a.price[i] - (double)a.price[i - 1] : 0.0;
}

/* Volume bought among the first `volume` of all. */
static __device__ double bought_of(const tribus_quant_flow_args &a, double volume)
{
    uint32_t low = 0, high = a.trades; /* volume[low] <= volume < volume[high] */
    double room;

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;

        if (a.volume[middle] <= volume)
            low = middle;
        else
            high = middle;
    }
    room = a.volume[low + 1] - a.volume[low];
    return room > 0.0 ? a.bought[low] + (volume - a.volume[low]) / room *
                                            (a.bought[low + 1] - a.bought[low])
                      : a.bought[low];
}

static __device__ double change_deviation(const tribus_quant_flow_args &a)
{
    const double n = (double)a.trades;
    const double mean = ((double)a.price[a.trades - 1] - (double)a.price[0]) / n;
    double sum = 0.0;

    for (uint32_t i = threadIdx.x; i < a.trades; i += blockDim.x) {
        const double d = change_of(a, i) - mean;

        sum += d * d;
    }
    return sqrt(block_sum(sum) / (n - 1.0));
}

static __device__ void running_sums(const tribus_quant_flow_args &a, double sd)
{
    const uint32_t each = (a.trades + blockDim.x - 1) / blockDim.x;
    const uint32_t first = min(threadIdx.x * each, a.trades);
    const uint32_t end = min(first + each, a.trades);
    double volume = 0.0, bought = 0.0, all, before_volume, before_bought;

    for (uint32_t i = first; i < end; i++) {
        volume += (double)a.size[i];
        bought += (double)tribus_flow_buy_share((float)change_of(a, i), (float)sd) *
                  (double)a.size[i];
    }
    before_volume = sum_before(volume, &all);
    before_bought = sum_before(bought, &all);
    for (uint32_t i = first; i < end; i++) {
        a.volume[i] = before_volume;
        a.bought[i] = before_bought;
        before_volume += (double)a.size[i];
        before_bought += (double)tribus_flow_buy_share((float)change_of(a, i), (float)sd) *
                         (double)a.size[i];
    }
    if (end == a.trades && first < end) {
        a.volume[a.trades] = before_volume;
        a.bought[a.trades] = before_bought;
    }
    __syncthreads();
}

static __device__ void write_features(const tribus_quant_flow_args &a, double sd, double mid)
{
    const uint32_t quarter = max(a.buckets / 4, 1u);
    double sum = 0.0, recent = 0.0, most = 0.0, bids = 0.0, asks = 0.0;

    for (uint32_t k = threadIdx.x; k < a.buckets; k += blockDim.x) {
        const double share = a.share[k];

        sum += share;
        most = fmax(most, share);
        recent += k + quarter >= a.buckets ? share : 0.0;
    }
    sum = block_sum(sum);
    recent = block_sum(recent);
    most = block_most(most);
    if (threadIdx.x != 0)
        return;
    for (uint32_t i = 0; i < a.levels; i++) {
        bids += (double)a.book[4 * i + 1];
        asks += (double)a.book[4 * i + 3];
    }
    a.features[0] = (float)fmin(1.0, fmax(0.0, sum / (double)a.buckets));
    a.features[1] = a.imbalance[a.buckets - 1];
    a.features[2] = (float)(recent / (double)quarter);
    a.features[3] = (float)most;
    a.features[4] = (float)(1e4 * sd / mid);
    a.features[5] = sd > 0.0 ? (float)(((double)a.price[a.trades - 1] - (double)a.price[0]) /
                                       (sd * sqrt((double)a.trades)))
                             : 0.0f;
    a.features[6] = (float)(1e4 * ((double)a.book[2] - (double)a.book[0]) / mid);
    a.features[7] = (float)((bids - asks) / (bids + asks));
}

extern "C" __global__ void tribus_quant_flow(tribus_quant_flow_args a)
{
    const double mid = 0.5 * ((double)a.book[0] + (double)a.book[2]);
    double bad = 0.0, sd, bucket;

    for (uint32_t i = threadIdx.x; i < a.trades; i += blockDim.x)
        bad += !(a.price[i] > 0.0f) || !(a.size[i] >= 0.0f) || isinf(a.size[i]) ||
                       isinf(a.price[i])
                   ? 1.0
                   : 0.0;
    bad = block_sum(bad);
    sd = change_deviation(a);
    running_sums(a, sd);
    /* a hair less, so that rounding cannot leave the last bucket open */
    bucket = a.volume[a.trades] * (1.0 - 1e-9) / (double)a.buckets;
    if (bad > 0.0 || !(bucket > 0.0) || isinf(bucket) || !(mid > 0.0)) {
        for (uint32_t k = threadIdx.x; k < a.buckets; k += blockDim.x)
            a.imbalance[k] = NAN;
        if (threadIdx.x < 8)
            a.features[threadIdx.x] = NAN;
        return;
    }
    for (uint32_t k = threadIdx.x; k < a.buckets; k += blockDim.x) {
        const double bought =
            bought_of(a, bucket * (double)(k + 1)) - bought_of(a, bucket * (double)k);

        a.share[k] = fabs(2.0 * bought - bucket) / bucket;
        a.imbalance[k] = (float)a.share[k];
    }
    __syncthreads();
    write_features(a, sd, mid);
}

/* ---- toxicity_score ---- */

extern "C" __global__ void tribus_quant_score(tribus_quant_score_args a)
{
    double sum = 0.0, below = 0.0, level;
    uint32_t most = 0;

    for (uint32_t i = threadIdx.x; i < a.buckets; i += blockDim.x) {
        sum += (double)a.imbalance[i];
        below += a.imbalance[i] <= a.imbalance[a.buckets - 1] ? 1.0 : 0.0;
    }
    sum = block_sum(sum);
    level = block_sum(below) / (double)a.buckets;
    if (threadIdx.x != 0)
        return;
    for (uint32_t i = 1; i < 3; i++)
        most = a.regime[i] > a.regime[most] ? i : most;
    a.score[0] = (float)(sum / (double)a.buckets);
    a.score[1] = (float)level;
    a.score[2] =
        (float)((0.5 * (double)a.regime[1] + (double)a.regime[2]) * (0.5 + 0.5 * level));
    a.score[3] = (float)most;
}

/* ---- pattern_analytics ---- */

enum { LEAN, LEAN2, LAST, LAST2, BOTH, UP, DOWN, ENTROPY, DEVIATION, SUMS };

static __device__ void add_asset(const tribus_quant_pattern_args &a, uint32_t i, double *s)
{
    const float *row = a.returns + (size_t)i * a.window, *q = a.pattern + 3 * (size_t)i;
    const double lean = (double)q[2] - (double)q[0], last = (double)row[a.window - 1];
    double squares = 0.0;

    for (uint32_t t = 0; t < a.window; t++)
        squares += (double)row[t] * (double)row[t];
    s[DEVIATION] += sqrt(squares / (double)a.window);
    for (uint32_t k = 0; k < 3; k++)
        s[ENTROPY] -= q[k] > 0.0f ? (double)q[k] * log((double)q[k]) : 0.0;
    s[UP] += q[2] > q[1] && q[2] > q[0] ? 1.0 : 0.0;
    s[DOWN] += q[0] > q[1] && q[0] >= q[2] ? 1.0 : 0.0;
    s[LEAN] += lean;
    s[LEAN2] += lean * lean;
    s[LAST] += last;
    s[LAST2] += last * last;
    s[BOTH] += last * lean;
}

extern "C" __global__ void tribus_quant_pattern(tribus_quant_pattern_args a)
{
    const double m = (double)a.assets;
    double s[SUMS] = {}, var_s, var_r;

    for (uint32_t i = threadIdx.x; i < a.assets; i += blockDim.x)
        add_asset(a, i, s);
    for (int k = 0; k < SUMS; k++)
        s[k] = block_sum(s[k]);
    if (threadIdx.x != 0)
        return;
    var_s = s[LEAN2] / m - s[LEAN] * s[LEAN] / (m * m);
    var_r = s[LAST2] / m - s[LAST] * s[LAST] / (m * m);
    a.analytics[0] = s[LEAN] / m;
    a.analytics[1] = s[UP] / m;
    a.analytics[2] = s[DOWN] / m;
    a.analytics[3] = sqrt(var_s > 0.0 ? var_s : 0.0);
    a.analytics[4] = s[ENTROPY] / m;
    a.analytics[5] = s[DEVIATION] / m;
    a.analytics[6] = var_s > 0.0 && var_r > 0.0
                         ? (s[BOTH] / m - s[LAST] * s[LEAN] / (m * m)) / sqrt(var_s * var_r)
                         : 0.0;
    a.analytics[7] = s[LAST] / m;
}

/* ---- backtest_paths ---- */

#define TILE_PATHS TRIBUS_QUANT_BACKTEST_PATHS
#define TILE_STEPS 32u

typedef struct run_state {
    double wealth, peak, fall, sum, squares, turnover, held;
} run_state;

/* A step at which `position` was taken and whose next return is `gain_return`. */
static __device__ void step(run_state *s, float position, float next_return, double cost)
{
    const double traded = fabs((double)position - s->held);
    const double gain = (double)position * (double)next_return - cost * traded;

    s->held = (double)position;
    s->turnover += traded;
    s->sum += gain;
    s->squares += gain * gain;
    s->wealth *= 1.0 + gain;
    s->peak = s->wealth > s->peak ? s->wealth : s->peak;
    s->fall = 1.0 - s->wealth / s->peak > s->fall ? 1.0 - s->wealth / s->peak : s->fall;
}

extern "C" __global__ void tribus_quant_backtest(tribus_quant_backtest_args a)
{
    __shared__ float r[TILE_PATHS][TILE_STEPS + 1], x[TILE_PATHS][TILE_STEPS + 1];
    const uint32_t base = blockIdx.x * TILE_PATHS, path = base + threadIdx.x;
    run_state s = {1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    float position = 0.0f;

    for (uint32_t first = 0; first < a.steps; first += TILE_STEPS) {
        const uint32_t n = min(TILE_STEPS, a.steps - first);

        __syncthreads();
#pragma unroll 8
        for (uint32_t p = 0; p < TILE_PATHS; p++)
            if (threadIdx.x < n && base + p < a.paths) {
                const size_t at = (size_t)(base + p) * a.steps + first + threadIdx.x;

                r[p][threadIdx.x] = a.returns[at];
                x[p][threadIdx.x] = a.position[at];
            }
        __syncthreads();
        for (uint32_t t = 0; path < a.paths && t < n; t++) {
            if (first + t > 0)
                step(&s, position, r[threadIdx.x][t], a.cost);
            position = x[threadIdx.x][t];
        }
    }
    if (path < a.paths) {
        const double m = (double)(a.steps - 1), mean = s.sum / m;
        const double variance = s.squares / m - mean * mean;
        float *out = a.stats + 4 * (size_t)path;

        out[0] = (float)(s.wealth - 1.0);
        out[1] = variance > 0.0 ? (float)(mean / sqrt(variance)) : 0.0f;
        out[2] = (float)s.fall;
        out[3] = (float)s.turnover;
    }
}

extern "C" __global__ void tribus_quant_backtest_summary(tribus_quant_backtest_args a)
{
    const double m = (double)a.paths;
    double sum = 0.0, squares = 0.0, worst = INFINITY, good = 0.0, mean, variance;

    for (uint32_t i = threadIdx.x; i < a.paths; i += blockDim.x) {
        const double total = (double)a.stats[4 * (size_t)i];

        sum += total;
        squares += total * total;
        worst = total < worst ? total : worst;
        good += total > 0.0 ? 1.0 : 0.0;
    }
    sum = block_sum(sum);
    squares = block_sum(squares);
    worst = -block_most(-worst);
    good = block_sum(good);
    if (threadIdx.x != 0)
        return;
    mean = sum / m;
    variance = squares / m - mean * mean;
    a.summary[0] = mean;
    a.summary[1] = sqrt(variance > 0.0 ? variance : 0.0);
    a.summary[2] = worst;
    a.summary[3] = good / m;
}

/* ---- sweep_sma ---- */

extern "C" __global__ void tribus_quant_sweep_stage(tribus_quant_sweep_args a)
{
    for (uint32_t t = blockIdx.x * blockDim.x + threadIdx.x; t < a.rows;
         t += gridDim.x * blockDim.x) {
        a.near_open[t] = (double)a.open[t];
        a.near_close[t] = (double)a.close[t];
    }
}

/* The running sum that sweep.c has at these rows: it is renewed at every segment, so segments
 * do not depend on each other. */
extern "C" __global__ void tribus_quant_sweep_averages(tribus_quant_sweep_args a)
{
    const uint32_t segments =
        (a.rows + TRIBUS_QUANT_SWEEP_SEGMENT - 1) / TRIBUS_QUANT_SWEEP_SEGMENT;
    const uint64_t all = (uint64_t)segments * a.longest;

    for (uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; i < all;
         i += (uint64_t)gridDim.x * blockDim.x) {
        const uint32_t period = (uint32_t)(i % a.longest) + 1;
        const uint32_t from = (uint32_t)(i / a.longest) * TRIBUS_QUANT_SWEEP_SEGMENT;
        const uint32_t to = min(from + TRIBUS_QUANT_SWEEP_SEGMENT, a.rows);
        double sum = 0.0;

        for (uint32_t t = from > period ? from - period : 0; t < from; t++)
            sum += a.near_close[t];
        for (uint32_t t = from; t < to; t++) {
            sum += a.near_close[t];
            if (t >= period)
                sum -= a.near_close[t - period];
            a.averages[(size_t)t * a.longest + period - 1] = sum / period;
        }
    }
}

static __device__ void sweep_pair(const tribus_quant_sweep_args &a, uint32_t i)
{
    const uint32_t fast = (uint32_t)a.pairs[2 * i], slow = (uint32_t)a.pairs[2 * i + 1];
    double cash = 0.0, peak = 0.0, last = 0.0, profit = 0.0, fall = 0.0;
    int32_t held = 0, want = 0, buys = 0, sells = 0;

    for (uint32_t t = max(fast, slow) - 1; t < a.rows; t++) {
        const double *row = a.averages + (size_t)t * a.longest;
        const double d = row[fast - 1] - row[slow - 1];
        const double open = a.near_open[t];

        if (want != held) {
            cash += held != 0 ? open * (1.0 - a.cost) : -open * (1.0 + a.cost);
            buys += want;
            sells += held;
            held = want;
        }
        profit = cash + (held != 0 ? a.near_close[t] : 0.0);
        peak = profit > peak ? profit : peak;
        fall = peak - profit > fall ? peak - profit : fall;
        if (d > 0.0 && last < 0.0)
            want = 1;
        else if (d < 0.0 && last > 0.0)
            want = 0;
        last = d != 0.0 ? d : last; /* touching is not crossing */
    }
    a.money[2 * i] = (float)profit;
    a.money[2 * i + 1] = (float)fall;
    a.trades[2 * i] = buys;
    a.trades[2 * i + 1] = sells;
}

extern "C" __global__ void tribus_quant_sweep(tribus_quant_sweep_args a)
{
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    double bad = 0.0;

    for (uint32_t t = threadIdx.x; t < a.rows; t += blockDim.x)
        bad += !(a.near_open[t] > 0.0) || !(a.near_close[t] > 0.0) ||
                       isinf(a.near_open[t] + a.near_close[t])
                   ? 1.0
                   : 0.0;
    bad = block_sum(bad);
    if (i >= a.count)
        return;
    if (bad > 0.0 || a.pairs[2 * i] < 1 || a.pairs[2 * i + 1] < 1 ||
        (uint32_t)a.pairs[2 * i] > a.longest || (uint32_t)a.pairs[2 * i + 1] > a.longest) {
        a.money[2 * i] = a.money[2 * i + 1] = NAN;
        a.trades[2 * i] = a.trades[2 * i + 1] = -1;
        return;
    }
    sweep_pair(a, i);
}
