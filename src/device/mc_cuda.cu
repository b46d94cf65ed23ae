/* mc_cuda.cu -- Monte-Carlo VaR and ES of a linear portfolio, on a card.
 *
 * The paths are those of src/quant/mc.h: the same Philox counters, so path i is the same path
 * on every device. What is done differently, and why the result is the same:
 *
 *   y0 z0 + y1 z1 = r (y0 cos t + y1 sin t) = sqrt(c log2 u) cos(t - phi)
 *   c = -2 ln 2 (y0^2 + y1^2),  phi = atan2(y1, y0)
 *
 * so a pair of assets costs one logarithm, one root and one cosine, and its two loadings
 * become (c, phi), made once. The first two rounds of Philox depend on the path alone or on
 * the block of assets alone; both halves are made once. What is left for four assets and one
 * path are eight rounds: 16 wide products and 18 logic operations, and 6 results of the
 * special-function unit. docs/cuda-notes.md counts them against the card's rates.
 *
 * Tolerance  logarithm, root and cosine are the hardware's (absolute error 2^-22 of the
 *            logarithm, 2^-20.5 of the cosine). Against tribus_quant_mc_pnl(): each path
 *            within 4e-6 * |loading|_1 + 1e-6 |drift|; VaR and ES within 2e-5 of the P&L's
 *            deviation. The chi-square of a Student-t path comes from mc.h itself.
 *
 * VaR is the k-th smallest P&L, found exactly: three histograms over 11, 11 and 10 bits of
 * the P&L's bits, the first one filled while simulating. ES is the mean of the k smallest.
 * Inputs that make no sense (not finite, negative volatility) give NaN in every output.
 */
#include "device/mc_cuda.h"
#include "quant/mc.h"

#define THREADS 256
#define WARP    32u
#define FULL    0xffffffffu

static __device__ __forceinline__ float fast_log2(float x)
{
    float y;

    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

static __device__ __forceinline__ float fast_sqrt(float x)
{
    float y;

    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

static __device__ __forceinline__ float fast_cos(float x)
{
    float y;

    asm("cos.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Bits that sort as the numbers do. */
static __device__ __forceinline__ uint32_t key_of(float x)
{
    const uint32_t u = __float_as_uint(x);

    return u ^ ((uint32_t)((int32_t)u >> 31) | 0x80000000u);
}

static __device__ __forceinline__ float number_of(uint32_t key)
{
    return __uint_as_float(key ^ ((key >> 31) - 1u | 0x80000000u));
}

static __device__ double warp_sum(double x)
{
    for (int d = 16; d > 0; d /= 2)
        x += __shfl_xor_sync(FULL, x, d);
    return x;
}

/* ---- the table: one row of eight words for each four assets ----
 *
 * Grid: one block for each 32 columns of the factor; 32 x 32 threads, a warp reads 32
 * neighbouring columns of one row. Block 0 also sums the drift and clears the head. */
extern "C" __global__ void __launch_bounds__(1024)
    tribus_mc_prepare(const float *forecast, const float *factor, const float *weights,
                      uint32_t assets, tribus_mc_keys keys, uint4 *table, tribus_mc_head *head)
{
    __shared__ float part[32][33];
    __shared__ float scaled[1024]; /* weight * volatility of 1,024 assets at a time */
    __shared__ double drift[32];
    const uint32_t lane = threadIdx.x, row0 = threadIdx.y;
    const uint32_t column = blockIdx.x * WARP + lane;
    const uint32_t thread = row0 * WARP + lane;
    float sum = 0.0f;
    double moved = 0.0;
    bool bad = false;

    for (uint32_t i = thread + blockIdx.x * 1024u; i < TRIBUS_MC_BINS; i += gridDim.x * 1024u)
        head->bins[i] = 0;
    for (uint32_t base = 0; base < assets; base += 1024u) {
        const uint32_t most = min(assets - base, 1024u);

        if (thread < most) {
            const float2 f = ((const float2 *)forecast)[base + thread];
            const float w = weights[base + thread];

            bad = bad || !(fabsf(f.x) < INFINITY) || !(fabsf(w) < INFINITY) ||
                  !(f.y >= 0.0f && f.y < INFINITY);
            scaled[thread] = w * f.y;
            moved += (double)w * (double)f.x;
        }
        __syncthreads();
        if (column < assets) {
#pragma unroll 8
            for (uint32_t i = row0; i < most; i += WARP)
                if (column <= base + i)
                    sum += scaled[i] * factor[(size_t)(base + i) * assets + column];
        }
        __syncthreads();
    }
    part[row0][lane] = sum;
    moved = warp_sum(moved);
    if (lane == 0)
        drift[row0] = moved;
    bad = __syncthreads_or(bad) != 0;
    if (row0 != 0)
        return;
    sum = 0.0f;
    for (uint32_t r = 0; r < WARP; r++)
        sum += part[r][lane];
    /* Lanes 4q .. 4q+3 hold the four loadings of one row; lane 4q writes it. */
    const float next = __shfl_down_sync(FULL, sum, 1);
    const float c = -1.3862943611198906f * (sum * sum + next * next);
    const float phi = atan2f(next, sum);
    const float c1 = __shfl_down_sync(FULL, c, 2), phi1 = __shfl_down_sync(FULL, phi, 2);

    if (lane % 4 == 0 && column < assets) {
        const uint32_t block = column / 4;
        const uint32_t v2 = __umulhi(TRIBUS_PHILOX_M0, block) ^ keys.first1;
        const uint32_t v3 = TRIBUS_PHILOX_M0 * block;

        table[2 * block] = make_uint4(__float_as_uint(c), __float_as_uint(phi),
                                      __float_as_uint(c1), __float_as_uint(phi1));
        table[2 * block + 1] =
            make_uint4(__umulhi(TRIBUS_PHILOX_M1, v2) ^ keys.second0, TRIBUS_PHILOX_M1 * v2,
                       v3 ^ keys.second1, 0);
    }
    if (blockIdx.x == 0) {
        const double d = warp_sum(drift[lane]);

        if (lane == 0) {
            head->drift = d;
            head->bad = bad || !(fabs(d) < INFINITY) ? 1u : 0u;
            head->sum = head->squares = head->tail = 0.0;
            head->ticket = 0;
        }
    }
}

/* ---- paths ---- */

typedef struct path_state { /* what of Philox depends on the path alone */
    uint32_t p1, h0, l0;
} path_state;

static __device__ __forceinline__ path_state path_begin(uint64_t path, const tribus_mc_keys &k)
{
    const uint32_t high = (uint32_t)(path >> 32);
    const uint32_t p0 = __umulhi(TRIBUS_PHILOX_M1, high) ^ (uint32_t)path ^ k.first0;
    const path_state s = {TRIBUS_PHILOX_M1 * high, __umulhi(TRIBUS_PHILOX_M0, p0),
                          TRIBUS_PHILOX_M0 * p0};

    return s;
}

static __device__ __forceinline__ float pair_sum(uint32_t x, uint32_t v, float c, float phi,
                                                 float sum)
{
    const float u = fmaf((float)(int32_t)(x >> 1), 4.656612873077393e-10f,
                         2.3283064365386963e-10f);
    const float t = fmaf((float)(int32_t)v, 1.4629180792671596e-9f, -phi);

    return fmaf(fast_sqrt(c * fast_log2(u)), fast_cos(t), sum);
}

/* The random bits of four assets. */
static __device__ __forceinline__ uint4 quad_bits(const path_state &s, uint4 t,
                                                  const tribus_mc_keys &k)
{
    uint32_t v0 = t.x ^ s.p1, v1 = t.y, v2 = t.z ^ s.h0, v3 = s.l0;

#pragma unroll
    for (int round = 0; round < 8; round++) {
        const uint64_t a = (uint64_t)TRIBUS_PHILOX_M0 * v0;
        const uint64_t b = (uint64_t)TRIBUS_PHILOX_M1 * v2;

        v0 = (uint32_t)(b >> 32) ^ v1 ^ k.round[2 * round];
        v1 = (uint32_t)b;
        v2 = (uint32_t)(a >> 32) ^ v3 ^ k.round[2 * round + 1];
        v3 = (uint32_t)a;
    }
    return make_uint4(v0, v1, v2, v3);
}

static __device__ __forceinline__ float quad_sum(uint4 v, uint4 y, float sum)
{
    sum = pair_sum(v.x, v.y, __uint_as_float(y.x), __uint_as_float(y.y), sum);
    return pair_sum(v.z, v.w, __uint_as_float(y.z), __uint_as_float(y.w), sum);
}

/* The whole block adds its histogram and sums to the head. */
static __device__ void flush(uint32_t *bins, uint32_t *to, uint32_t count)
{
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x)
        if (bins[i] != 0)
            atomicAdd(&to[i], bins[i]);
}

/* A thread has PER_THREAD paths side by side: that hides latency and shares the loads of the
 * table. The table is in shared memory where it fits there, else in device memory. Chunks of paths go round over blocks first, so that the
 * last, partial round is spread over all multiprocessors. */
template <int PER_THREAD>
static __device__ __forceinline__ void simulate(const tribus_mc_run &run, const uint4 *rows,
                                                tribus_mc_head *head, float *pnl,
                                                uint32_t *bins)
{
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const uint32_t chunk_paths = WARP * PER_THREAD;
    const uint32_t chunks = (run.paths + chunk_paths - 1) / chunk_paths;
    const float drift = (float)head->drift;
    double sum = 0.0, squares = 0.0;

    for (uint32_t chunk = warp * gridDim.x + blockIdx.x; chunk < chunks;
         chunk += gridDim.x * (THREADS / WARP)) {
        const uint32_t first = chunk * chunk_paths + lane;
        path_state s[PER_THREAD];
        float total[PER_THREAD];

#pragma unroll
        for (int p = 0; p < PER_THREAD; p++) {
            s[p] = path_begin(run.first_path + first + (uint32_t)p * WARP, run.keys);
            total[p] = 0.0f;
        }
#pragma unroll 1
        for (uint32_t b = 0; b < run.blocks; b++) {
            const uint4 y = rows[2 * b], t = rows[2 * b + 1];

#pragma unroll
            for (int p = 0; p < PER_THREAD; p++)
                total[p] = quad_sum(quad_bits(s[p], t, run.keys), y, total[p]);
        }
#pragma unroll
        for (int p = 0; p < PER_THREAD; p++) {
            const uint32_t path = first + (uint32_t)p * WARP;

            if (path < run.paths) {
                const float move =
                    tribus_mc_scale(run.nu, run.first_path + path, run.seed) * total[p];
                const float value = drift + move;

                pnl[path] = value;
                atomicAdd(&bins[key_of(value) >> 21], 1u);
                sum += (double)move;
                squares += (double)move * (double)move;
            }
        }
    }
    sum = warp_sum(sum);
    squares = warp_sum(squares);
    if (lane == 0 && (sum != 0.0 || squares != 0.0)) {
        atomicAdd(&head->sum, sum);
        atomicAdd(&head->squares, squares);
    }
    flush(bins, head->bins, 2048);
}

template <int PER_THREAD>
static __device__ __forceinline__ void simulate_near(const tribus_mc_run &run,
                                                     const uint4 *table, tribus_mc_head *head,
                                                     float *pnl)
{
    extern __shared__ uint4 rows[];
    __shared__ uint32_t bins[2048];

    for (uint32_t i = threadIdx.x; i < 2048; i += THREADS)
        bins[i] = 0;
    for (uint32_t i = threadIdx.x; i < 2 * run.blocks; i += THREADS)
        rows[i] = table[i];
    __syncthreads();
    simulate<PER_THREAD>(run, rows, head, pnl, bins);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    tribus_mc_simulate(tribus_mc_run run, const uint4 *table, tribus_mc_head *head, float *pnl)
{
    simulate_near<2>(run, table, head, pnl);
}

/* More assets than shared memory holds. */
extern "C" __global__ void __launch_bounds__(THREADS)
    tribus_mc_simulate_large(tribus_mc_run run, const uint4 *table, tribus_mc_head *head,
                             float *pnl)
{
    __shared__ uint32_t bins[2048];

    for (uint32_t i = threadIdx.x; i < 2048; i += THREADS)
        bins[i] = 0;
    __syncthreads();
    simulate<2>(run, table, head, pnl, bins);
}

/* ---- the k-th smallest ---- */

/* Which bin holds number *rank (from 0), and the rank within it. THREADS threads, each with
 * count / THREADS neighbouring bins. */
static __device__ uint32_t find_bin(const uint32_t *bins, uint32_t count, uint32_t *rank)
{
    __shared__ uint32_t sums[THREADS / WARP];
    __shared__ uint32_t found[2];
    const uint32_t each = count / THREADS, lane = threadIdx.x % WARP;
    const uint32_t warp = threadIdx.x / WARP;
    uint32_t own = 0, before, total = 0;

    if (threadIdx.x == 0)
        found[0] = found[1] = 0;
    for (uint32_t i = 0; i < each; i++)
        own += bins[threadIdx.x * each + i];
    before = own;
    for (uint32_t d = 1; d < WARP; d *= 2) {
        const uint32_t other = __shfl_up_sync(FULL, before, d);

        before += lane >= d ? other : 0u;
    }
    if (lane == WARP - 1)
        sums[warp] = before;
    __syncthreads();
    for (uint32_t w = 0; w < warp; w++)
        total += sums[w];
    before = total + before - own;
    if (*rank >= before && *rank < before + own) {
        uint32_t i = 0, left = *rank - before;

        while (left >= bins[threadIdx.x * each + i])
            left -= bins[threadIdx.x * each + i++];
        found[0] = threadIdx.x * each + i;
        found[1] = left;
    }
    __syncthreads();
    *rank = found[1];
    return found[0];
}

/* Four neighbouring P&Ls at a time. */
template <typename F> static __device__ void each_pnl(const float *pnl, uint32_t paths, F visit)
{
    for (uint32_t i = 4 * (blockIdx.x * THREADS + threadIdx.x); i < paths;
         i += 4 * gridDim.x * THREADS) {
        if (i + 4 <= paths) {
            const float4 v = *(const float4 *)(pnl + i);

            visit(v.x);
            visit(v.y);
            visit(v.z);
            visit(v.w);
        } else {
            for (uint32_t k = i; k < paths; k++)
                visit(pnl[k]);
        }
    }
}

static __device__ void add_tail(tribus_mc_head *head, double tail)
{
    tail = warp_sum(tail);
    if (threadIdx.x % WARP == 0 && tail != 0.0)
        atomicAdd(&head->tail, tail);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    tribus_mc_select(uint32_t paths, uint32_t tail_paths, tribus_mc_head *head,
                     const float *pnl)
{
    __shared__ uint32_t bins[2048];
    uint32_t rank = tail_paths - 1, high;
    double tail = 0.0;

    for (uint32_t i = threadIdx.x; i < 2048; i += THREADS)
        bins[i] = 0;
    high = find_bin(head->bins, 2048, &rank);
    each_pnl(pnl, paths, [&](float value) {
        const uint32_t key = key_of(value);

        if (key >> 21 == high)
            atomicAdd(&bins[key >> 10 & 2047u], 1u);
        else if (key >> 21 < high)
            tail += (double)value;
    });
    add_tail(head, tail);
    flush(bins, head->bins + 2048, 2048);
}

/* The last block to come writes the result: VaR, ES, mean, deviation. */
static __device__ void finish(const tribus_mc_head *head, uint32_t prefix, uint32_t rank,
                              uint32_t paths, uint32_t tail_paths, double *risk)
{
    const uint32_t *bins = head->bins + 4096;
    double tail = 0.0;
    __shared__ double parts[THREADS / WARP];
    const uint32_t low = find_bin(bins, 1024, &rank);

    for (uint32_t i = threadIdx.x; i < low; i += THREADS)
        tail += (double)bins[i] * (double)number_of(prefix << 10 | i);
    tail = warp_sum(tail);
    if (threadIdx.x % WARP == 0)
        parts[threadIdx.x / WARP] = tail;
    __syncthreads();
    if (threadIdx.x == 0) {
        const double value = (double)number_of(prefix << 10 | low);
        const double mean = head->sum / paths;
        const double variance = head->squares / paths - mean * mean;
        const double none = (double)NAN;

        tail = head->tail + (double)(rank + 1u) * value;
        for (uint32_t w = 0; w < THREADS / WARP; w++)
            tail += parts[w];
        risk[0] = head->bad ? none : -value;
        risk[1] = head->bad ? none : -tail / tail_paths;
        risk[2] = head->bad ? none : (double)(float)head->drift + mean;
        risk[3] = head->bad ? none : sqrt(variance > 0.0 ? variance : 0.0);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    tribus_mc_finish(uint32_t paths, uint32_t tail_paths, tribus_mc_head *head,
                     const float *pnl, double *risk)
{
    __shared__ uint32_t bins[1024];
    __shared__ uint32_t last;
    uint32_t rank = tail_paths - 1, prefix;
    double tail = 0.0;

    for (uint32_t i = threadIdx.x; i < 1024; i += THREADS)
        bins[i] = 0;
    prefix = find_bin(head->bins, 2048, &rank) << 11;
    __syncthreads();
    prefix |= find_bin(head->bins + 2048, 2048, &rank);
    each_pnl(pnl, paths, [&](float value) {
        const uint32_t key = key_of(value);

        if (key >> 10 == prefix)
            atomicAdd(&bins[key & 1023u], 1u);
        else if (key >> 21 == prefix >> 11 && key >> 10 < prefix)
            tail += (double)value;
    });
    add_tail(head, tail);
    flush(bins, head->bins + 4096, 1024);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomicAdd(&head->ticket, 1u) == gridDim.x - 1 ? 1u : 0u;
    __syncthreads();
    if (last != 0) {
        __threadfence();
        finish(head, prefix, rank, paths, tail_paths, risk);
    }
}
