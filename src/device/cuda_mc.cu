/* cuda_mc.cu -- mc_var_es on a card: the paths of src/quant/mc.h, the quantile by counting.
 *
 * nvcc: --fmad=false          (so that a path has the same bits as on the CPU)
 *
 *   load     loading_j = sum_i w_i vol_i L_ij, one thread a column, i ascending as the CPU
 *   paths    one thread a path; a histogram of the upper 11 bits of the keys, sums by block
 *   middle   histogram of the next 11 bits among those in the bin of the quantile
 *   low      the same of the last 10 bits: now the quantile is known to the last bit
 *   tail     sums of what is below it, by block
 *   risk     sums of the sums, in order: the same result each time
 *
 * A key is the float's bits, reordered so that unsigned order is numeric order. */
#include "device/cuda_mc.h"
#include "quant/mc.h"

#define BINS    TRIBUS_CUDA_MC_BINS
#define THREADS TRIBUS_CUDA_MC_THREADS

static __device__ __forceinline__ uint32_t key_of(float x)
{
    const uint32_t u = __float_as_uint(x);

    return u ^ ((u >> 31) != 0 ? 0xffffffffu : 0x80000000u);
}

static __device__ __forceinline__ float value_of(uint32_t key)
{
    return __uint_as_float(key ^ ((key >> 31) != 0 ? 0x80000000u : 0xffffffffu));
}

/* The bin in which the rank-th smallest lies; *below: how many lie in the bins before it.
 * All threads of the block get the same answer. */
static __device__ uint32_t bin_of_rank(const uint32_t *histogram, uint32_t rank,
                                       uint32_t *below)
{
    __shared__ uint32_t sums[THREADS];
    __shared__ uint32_t found_bin, found_below;
    const uint32_t each = BINS / THREADS;
    uint32_t mine = 0, before = 0;

    for (uint32_t i = 0; i < each; i++)
        mine += histogram[threadIdx.x * each + i];
    __syncthreads();
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (uint32_t t = 0; t < threadIdx.x; t++)
        before += sums[t];
    if (before < rank && rank <= before + mine) {
        uint32_t bin = threadIdx.x * each;

        while (before + histogram[bin] < rank)
            before += histogram[bin++];
        found_bin = bin;
        found_below = before;
    }
    __syncthreads();
    *below = found_below;
    return found_bin;
}

/* Sum over the block, in a fixed order; valid in thread 0. */
static __device__ double block_sum(double x)
{
    __shared__ double sums[THREADS];

    __syncthreads();
    sums[threadIdx.x] = x;
    for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    __syncthreads();
    return sums[0];
}

extern "C" __global__ void tribus_cuda_mc_load(tribus_cuda_mc_args a)
{
    const uint32_t j = blockIdx.x * THREADS + threadIdx.x;
    const uint32_t padded = (a.assets + 3u) / 4u * 4u;
    float sum = 0.0f;
    double drift = 0.0;
    bool bad = false;

    if (j < padded) {
        for (uint32_t i = j; i < a.assets; i++)
            sum += (a.weights[i] * a.forecast[2 * i + 1]) * a.factor[(size_t)i * a.assets + j];
        a.loading[j] = sum;
        bad = !isfinite(sum);
    }
    if (blockIdx.x == 0) {
        for (uint32_t i = threadIdx.x; i < a.assets; i += THREADS) {
            const float mean = a.forecast[2 * i], volatility = a.forecast[2 * i + 1];

            drift += (double)a.weights[i] * (double)mean;
            bad = bad || !isfinite(mean) || !(volatility >= 0.0f) || isinf(volatility) ||
                  !isfinite(a.weights[i]);
        }
        drift = block_sum(drift);
        if (threadIdx.x == 0)
            a.work->drift = drift;
    }
    if (bad)
        atomicAdd(&a.work->bad, 1u);
}

static __device__ void add_histogram(const uint32_t *shared, uint32_t *global)
{
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < BINS; i += THREADS)
        if (shared[i] != 0)
            atomicAdd(&global[i], shared[i]);
}

static __device__ void clear_histogram(uint32_t *shared)
{
    for (uint32_t i = threadIdx.x; i < BINS; i += THREADS)
        shared[i] = 0;
    __syncthreads();
}

extern "C" __global__ void tribus_cuda_mc_paths(tribus_cuda_mc_args a)
{
    __shared__ uint32_t histogram[BINS];
    const float drift = (float)a.work->drift;
    double sum = 0.0, squares = 0.0;

    clear_histogram(histogram);
    for (uint32_t p = blockIdx.x * THREADS + threadIdx.x; p < a.paths;
         p += gridDim.x * THREADS) {
        const float pnl = tribus_mc_path(a.loading, a.assets, drift, a.nu, p, a.seed);
        const double d = (double)pnl - (double)drift;

        a.pnl[p] = pnl;
        sum += d;
        squares += d * d;
        atomicAdd(&histogram[key_of(pnl) >> 21], 1u);
    }
    add_histogram(histogram, a.work->histogram[0]);
    sum = block_sum(sum);
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        a.work->sum[blockIdx.x] = sum;
        a.work->squares[blockIdx.x] = squares;
    }
}

extern "C" __global__ void tribus_cuda_mc_middle(tribus_cuda_mc_args a)
{
    __shared__ uint32_t histogram[BINS];
    uint32_t below;
    const uint32_t high = bin_of_rank(a.work->histogram[0], a.rank, &below);

    clear_histogram(histogram);
    for (uint32_t p = blockIdx.x * THREADS + threadIdx.x; p < a.paths;
         p += gridDim.x * THREADS) {
        const uint32_t key = key_of(a.pnl[p]);

        if (key >> 21 == high)
            atomicAdd(&histogram[(key >> 10) & 2047u], 1u);
    }
    add_histogram(histogram, a.work->histogram[1]);
}

extern "C" __global__ void tribus_cuda_mc_low(tribus_cuda_mc_args a)
{
    __shared__ uint32_t histogram[BINS];
    uint32_t below, below2;
    const uint32_t high = bin_of_rank(a.work->histogram[0], a.rank, &below);
    const uint32_t middle = bin_of_rank(a.work->histogram[1], a.rank - below, &below2);
    const uint32_t upper = high << 11 | middle;

    clear_histogram(histogram);
    for (uint32_t p = blockIdx.x * THREADS + threadIdx.x; p < a.paths;
         p += gridDim.x * THREADS) {
        const uint32_t key = key_of(a.pnl[p]);

        if (key >> 10 == upper)
            atomicAdd(&histogram[key & 1023u], 1u);
    }
    add_histogram(histogram, a.work->histogram[2]);
}

/* The quantile's key; *below: how many are smaller. */
static __device__ uint32_t quantile_key(const tribus_cuda_mc_args &a, uint32_t *below)
{
    uint32_t b0, b1, b2;
    const uint32_t high = bin_of_rank(a.work->histogram[0], a.rank, &b0);
    const uint32_t middle = bin_of_rank(a.work->histogram[1], a.rank - b0, &b1);
    const uint32_t low = bin_of_rank(a.work->histogram[2], a.rank - b0 - b1, &b2);

    *below = b0 + b1 + b2;
    return high << 21 | middle << 10 | low;
}

extern "C" __global__ void tribus_cuda_mc_tail(tribus_cuda_mc_args a)
{
    uint32_t below;
    const uint32_t quantile = quantile_key(a, &below);
    double tail = 0.0;

    for (uint32_t p = blockIdx.x * THREADS + threadIdx.x; p < a.paths;
         p += gridDim.x * THREADS) {
        const float pnl = a.pnl[p];

        if (key_of(pnl) < quantile)
            tail += (double)pnl;
    }
    tail = block_sum(tail);
    if (threadIdx.x == 0)
        a.work->tail[blockIdx.x] = tail;
}

extern "C" __global__ void tribus_cuda_mc_risk(tribus_cuda_mc_args a)
{
    uint32_t below;
    const double quantile = (double)value_of(quantile_key(a, &below));
    const double drift = (double)(float)a.work->drift;
    double sum = 0.0, squares = 0.0, tail = 0.0;

    for (uint32_t b = threadIdx.x; b < TRIBUS_CUDA_MC_BLOCKS; b += THREADS) {
        sum += a.work->sum[b];
        squares += a.work->squares[b];
        tail += a.work->tail[b];
    }
    sum = block_sum(sum);
    squares = block_sum(squares);
    tail = block_sum(tail) + (double)(a.rank - below) * quantile;
    if (threadIdx.x != 0)
        return;
    if (a.work->bad != 0 || !isfinite(sum)) {
        for (int i = 0; i < 4; i++)
            a.risk[i] = nan("");
        return;
    }
    a.risk[0] = -quantile;
    a.risk[1] = -tail / a.rank;
    a.risk[2] = drift + sum / a.paths;
    a.risk[3] = sqrt(fmax(0.0, squares / a.paths - (sum / a.paths) * (sum / a.paths)));
}
