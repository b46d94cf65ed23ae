/* quant_cuda_solve.cu -- what needs a whole matrix: the factor of a correlation, and the weights
 * of most mean - aversion / 2 * variance.
 *
 * correlation_factor, double throughout: rows of mean 0 and length 1; their products; then a
 * Cholesky factor by panels of 32 columns.
 *
 * mean_variance: accelerated projected gradient (Beck and Teboulle 2009) with restarts where
 * momentum points uphill (O'Donoghue and Candes 2015) on
 *
 *     minimise 1/2 w' C w - m' w / aversion,  0 <= w <= most,  sum w = 1
 *
 * The step is 1 / the largest absolute row sum of C, no smaller than its largest eigenvalue.
 * The projection finds the number to take off every weight by Newton's method within a
 * bracket. It ends at a KKT residual of 1e-9 (tribus/quant_portfolio.h's), or says which.
 * Weights of the last run are where the next one starts.
 *
 * One matrix is the work of a cluster of eight blocks on Hopper, which run at once and meet at
 * its barrier, and of one block elsewhere.
 */
#include "device/quant_cuda.h"
#include "device/quant_cuda_block.cuh"

#define FULL 0xffffffffu

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define CLUSTER __cluster_dims__(TRIBUS_QUANT_CUDA_CLUSTER)
#else
#define CLUSTER
#endif

/* Every thread of every block: what was written before is seen after. */
static __device__ __forceinline__ void all_wait(void)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
#else
    __syncthreads();
#endif
}

/* ---- correlation_factor ---- */

/* A block for each asset. */
extern "C" __global__ void tribus_quant_standardise(tribus_quant_correlation_args a)
{
    const float *row = a.returns + (size_t)blockIdx.x * a.times;
    double *out = a.standard + (size_t)blockIdx.x * a.times;
    double sum = 0.0, squares = 0.0, mean, scale;

    for (uint32_t t = threadIdx.x; t < a.times; t += blockDim.x)
        sum += (double)row[t];
    mean = block_sum(sum) / a.times;
    for (uint32_t t = threadIdx.x; t < a.times; t += blockDim.x) {
        const double d = (double)row[t] - mean;

        squares += d * d;
    }
    squares = block_sum(squares);
    scale = squares > 0.0 ? 1.0 / sqrt(squares) : 0.0;
    for (uint32_t t = threadIdx.x; t < a.times; t += blockDim.x)
        out[t] = ((double)row[t] - mean) * scale;
    if (threadIdx.x == 0 && !(squares < INFINITY))
        *a.bad = 1; /* whoever writes it writes the same */
}

#define TILE 16u

/* Blocks of 256 threads, each a tile of 16 x 16 correlations. */
extern "C" __global__ void tribus_quant_correlate(tribus_quant_correlation_args a)
{
    __shared__ double rows[TILE][TILE + 1], columns[TILE][TILE + 1];
    const uint32_t across = (a.assets + TILE - 1) / TILE;
    const uint32_t i0 = blockIdx.x / across * TILE, j0 = blockIdx.x % across * TILE;
    const uint32_t i = threadIdx.x / TILE, j = threadIdx.x % TILE;
    double sum = 0.0;

    for (uint32_t t0 = 0; t0 < a.times; t0 += TILE) {
        rows[i][j] = i0 + i < a.assets && t0 + j < a.times
                         ? a.standard[(size_t)(i0 + i) * a.times + t0 + j]
                         : 0.0;
        columns[i][j] = j0 + i < a.assets && t0 + j < a.times
                            ? a.standard[(size_t)(j0 + i) * a.times + t0 + j]
                            : 0.0;
        __syncthreads();
        for (uint32_t k = 0; k < TILE; k++)
            sum += rows[i][k] * columns[j][k];
        __syncthreads();
    }
    if (i0 + i < a.assets && j0 + j < a.assets)
        a.matrix[(size_t)(i0 + i) * a.assets + j0 + j] = i0 + i == j0 + j ? 1.0 : a.keep * sum;
}

#define PANEL TRIBUS_QUANT_CUDA_PANEL

/* Factor the square at the diagonal, in shared memory, by one warp, lane i on row i. */
static __device__ void factor_square(double (*l)[PANEL + 1], uint32_t n, uint32_t *bad)
{
    const uint32_t lane = threadIdx.x;

    for (uint32_t j = 0; j < n; j++) {
        const double pivot = l[j][j];

        __syncwarp();
        if (lane == j) {
            l[j][j] = sqrt(pivot);
            if (!(pivot > 1e-12))
                *bad = 1;
        }
        if (lane > j && lane < n)
            l[lane][j] /= sqrt(pivot);
        __syncwarp();
        for (uint32_t k = j + 1; k <= lane && lane < n; k++)
            l[lane][k] -= l[lane][j] * l[k][j];
        __syncwarp();
    }
}

/* Rows below the square: x L' = a, a thread a row. */
static __device__ void solve_rows(const tribus_quant_correlation_args &a, uint32_t first,
                                  uint32_t n, double (*l)[PANEL + 1])
{
    const uint32_t stride = gridDim.x * blockDim.x;

    for (uint32_t i = first + n + threadIdx.x * gridDim.x + blockIdx.x; i < a.assets;
         i += stride) {
        double *row = a.matrix + (size_t)i * a.assets + first, x[PANEL];

#pragma unroll
        for (uint32_t j = 0; j < PANEL; j++) {
            double sum = j < n ? row[j] : 0.0;

#pragma unroll
            for (uint32_t k = 0; k < PANEL; k++)
                if (k < j)
                    sum -= x[k] * l[j][k];
            x[j] = j < n ? sum / l[j][j] : 0.0;
        }
#pragma unroll
        for (uint32_t j = 0; j < PANEL; j++)
            if (j < n)
                row[j] = x[j];
    }
}

#define NEAR_ROW (PANEL + 1u) /* doubles of a row of the panel in shared memory */

/* The rest minus the panel's products, 2 x 2 entries a thread at a time. The panel's rows are
 * read by every thread that has their column or row, so they come near first, where they fit. */
static __device__ void update_rest(const tribus_quant_correlation_args &a, uint32_t first,
                                   uint32_t n, double *near)
{
    const uint32_t base = first + n, left = a.assets - base, half = (left + 1) / 2;
    const double *panel = a.near != 0 ? near : a.matrix + (size_t)base * a.assets + first;
    const size_t row = a.near != 0 ? NEAR_ROW : a.assets;
    const uint64_t all = (uint64_t)half * half;
    const uint64_t stride = (uint64_t)gridDim.x * blockDim.x;

    for (uint32_t e = threadIdx.x; a.near != 0 && e < left * n; e += blockDim.x)
        near[e / n * NEAR_ROW + e % n] = a.matrix[(size_t)(base + e / n) * a.assets + first + e % n];
    __syncthreads();
    for (uint64_t e = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; e < all; e += stride) {
        const uint32_t i = base + 2 * (uint32_t)(e / half), j = base + 2 * (uint32_t)(e % half);
        const uint32_t i1 = min(i + 1, a.assets - 1), j1 = min(j + 1, a.assets - 1);
        const double *u0 = panel + (i - base) * row, *u1 = panel + (i1 - base) * row;
        const double *v0 = panel + (j - base) * row, *v1 = panel + (j1 - base) * row;
        double s[4] = {0.0, 0.0, 0.0, 0.0};

        if (j > i1)
            continue;
        for (uint32_t k = 0; k < n; k++) {
            s[0] += u0[k] * v0[k];
            s[1] += u0[k] * v1[k];
            s[2] += u1[k] * v0[k];
            s[3] += u1[k] * v1[k];
        }
        a.matrix[(size_t)i * a.assets + j] -= s[0];
        if (j1 > j)
            a.matrix[(size_t)i * a.assets + j1] -= s[1];
        if (i1 > i)
            a.matrix[(size_t)i1 * a.assets + j] -= s[2];
        if (i1 > i && j1 > j)
            a.matrix[(size_t)i1 * a.assets + j1] -= s[3];
    }
}

extern "C" __global__ void __launch_bounds__(TRIBUS_QUANT_CUDA_MATRIX_THREADS) CLUSTER
    tribus_quant_cholesky_run(tribus_quant_correlation_args a)
{
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ double l[PANEL][PANEL + 1];
    const uint64_t all = (uint64_t)a.assets * a.assets;
    bool bad;

    for (uint32_t first = 0; first < a.assets; first += PANEL) {
        const uint32_t n = min(PANEL, a.assets - first);

        /* Every block factors the square itself: less than telling each other. */
        for (uint32_t e = threadIdx.x; e < PANEL * PANEL; e += blockDim.x) {
            const uint32_t i = e / PANEL, j = e % PANEL;

            l[i][j] = i < n && j <= i
                          ? a.matrix[(size_t)(first + i) * a.assets + first + j]
                          : 0.0;
        }
        all_wait(); /* all have read the square before one writes it */
        if (threadIdx.x < 32)
            factor_square(l, n, a.bad);
        __syncthreads();
        for (uint32_t e = threadIdx.x; blockIdx.x == 0 && e < n * n; e += blockDim.x)
            a.matrix[(size_t)(first + e / n) * a.assets + first + e % n] = l[e / n][e % n];
        solve_rows(a, first, n, l);
        all_wait();
        update_rest(a, first, n, (double *)shared);
        all_wait();
    }
    bad = *a.bad != 0;
    for (uint64_t e = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; e < all;
         e += (uint64_t)gridDim.x * blockDim.x)
        a.factor[e] = bad ? NAN : (e % a.assets <= e / a.assets ? (float)a.matrix[e] : 0.0f);
}

/* ---- mean_variance ---- */

static __device__ __forceinline__ double warp_sum(double x)
{
    for (int d = 16; d > 0; d /= 2)
        x += __shfl_xor_sync(FULL, x, d);
    return x;
}

static __device__ __forceinline__ double warp_most(double x)
{
    for (int d = 16; d > 0; d /= 2)
        x = fmax(x, __shfl_xor_sync(FULL, x, d));
    return x;
}

static __device__ __forceinline__ double clip(double x, double most)
{
    return fmin(fmax(x, 0.0), most);
}

/* What a block keeps in shared memory, each of `assets`. */
typedef struct vectors {
    double *x, *y, *g, *q; /* weights; where the gradient is taken; the gradient; m / aversion */
    const float *rows;     /* of the matrix, this block's */
    uint32_t first, end;   /* of those rows */
} vectors;

/* g = C at - q; a warp a row, the blocks' parts exchanged through the card's memory. */
static __device__ void gradient(const tribus_quant_optimise_args &a, const vectors &v,
                                const double *at, uint32_t turn)
{
    const uint32_t lane = threadIdx.x % 32;
    double *shown = a.gradient + (size_t)(turn & 1u) * a.assets;

    __syncthreads();
    for (uint32_t i = v.first + threadIdx.x / 32; i < v.end; i += blockDim.x / 32) {
        const float *row = v.rows + (size_t)(i - v.first) * a.assets;
        double sum = 0.0;

        for (uint32_t j = lane; j < a.assets; j += 32)
            sum += (double)row[j] * at[j];
        sum = warp_sum(sum);
        if (lane == 0)
            shown[i] = sum - v.q[i];
    }
    all_wait();
    for (uint32_t i = threadIdx.x; i < a.assets; i += blockDim.x)
        v.g[i] = shown[i];
    __syncthreads();
}

/* The number that, taken off y - g / inside, leaves weights that add up to 1; one warp. */
static __device__ double level_of(const tribus_quant_optimise_args &a, const vectors &v,
                                  double inside, double level)
{
    const uint32_t lane = threadIdx.x % 32;
    double least = INFINITY, most = -INFINITY;

    for (uint32_t i = lane; i < a.assets; i += 32) {
        const double z = v.y[i] - v.g[i] / inside;

        least = fmin(least, z);
        most = fmax(most, z);
    }
    least = -warp_most(-least) - a.most; /* all at most: their sum is 1 or more */
    most = warp_most(most);              /* all at 0 */
    for (int turn = 0; turn < 100; turn++) {
        double sum = 0.0, free = 0.0, next;

        if (!(level > least && level < most))
            level = 0.5 * (least + most);
        for (uint32_t i = lane; i < a.assets; i += 32) {
            const double z = v.y[i] - v.g[i] / inside - level;

            sum += clip(z, a.most);
            free += z > 0.0 && z < a.most ? 1.0 : 0.0;
        }
        sum = warp_sum(sum);
        free = warp_sum(free);
        if (fabs(sum - 1.0) <= 1e-14)
            break;
        if (sum > 1.0)
            least = level;
        else
            most = level;
        next = free > 0.0 ? level + (sum - 1.0) / free : 0.5 * (least + most);
        if (next == level || !(most - least > 1e-16 * fabs(level)))
            break;
        level = next;
    }
    return level;
}

/* Largest violation of the optimality conditions at x, whose gradient is g; one warp. */
static __device__ double kkt_of(const tribus_quant_optimise_args &a, const vectors &v)
{
    double up = -INFINITY, down = -INFINITY, scale = 0.0, sum = 0.0;

    for (uint32_t i = threadIdx.x % 32; i < a.assets; i += 32) {
        if (v.x[i] < a.most - 1e-9)
            up = fmax(up, -v.g[i]);
        if (v.x[i] > 1e-9)
            down = fmax(down, v.g[i]);
        scale = fmax(scale, fmax(fabs(v.g[i] + v.q[i]), fabs(v.q[i])));
        sum += v.x[i];
    }
    up = warp_most(up);
    down = warp_most(down);
    scale = warp_most(scale);
    sum = warp_sum(sum);
    return fmax(fmax(0.0, 0.5 * (up + down)) / (scale > 0.0 ? scale : 1.0), fabs(sum - 1.0));
}

/* One step of one warp: new x and y from y and its gradient. Returns the level found. */
static __device__ double move(const tribus_quant_optimise_args &a, const vectors &v,
                              double inside, double level, double *momentum)
{
    const uint32_t lane = threadIdx.x % 32;
    const double t = *momentum, next = 0.5 * (1.0 + sqrt(1.0 + 4.0 * t * t));
    double uphill = 0.0, ahead;

    level = level_of(a, v, inside, level);
    for (uint32_t i = lane; i < a.assets; i += 32) {
        const double z = clip(v.y[i] - v.g[i] / inside - level, a.most);

        uphill += (v.y[i] - z) * (z - v.x[i]);
    }
    uphill = warp_sum(uphill);
    ahead = uphill > 0.0 ? 0.0 : (t - 1.0) / next;
    *momentum = uphill > 0.0 ? 1.0 : next;
    for (uint32_t i = lane; i < a.assets; i += 32) {
        const double z = clip(v.y[i] - v.g[i] / inside - level, a.most);

        v.y[i] = z + ahead * (z - v.x[i]);
        v.x[i] = z;
    }
    return level;
}

/* Bring this block's rows near, fill the vectors, find the step. False: senseless numbers. */
static __device__ bool prepare(const tribus_quant_optimise_args &a, vectors &v, float *near,
                               double *inside)
{
    const uint32_t lane = threadIdx.x % 32;
    const bool warm = a.warm->assets == a.assets;
    float *rows = a.near != 0 ? near : a.matrix + (size_t)v.first * a.assets;
    double widest = 0.0, sum = 0.0, bad = 0.0;

    for (uint32_t i = v.first + threadIdx.x / 32; i < v.end; i += blockDim.x / 32) {
        const float *from = a.cov + (size_t)i * a.assets;
        double row = 0.0;

        for (uint32_t j = lane; j < a.assets; j += 32) {
            rows[(size_t)(i - v.first) * a.assets + j] = from[j];
            row += fabs((double)from[j]);
        }
        row = warp_sum(row);
        bad += row < INFINITY && from[i] >= 0.0f ? 0.0 : 1.0;
        widest = fmax(widest, row);
    }
    v.rows = rows;
    for (uint32_t i = threadIdx.x; i < a.assets; i += blockDim.x) {
        v.q[i] = (double)a.mean[i] / a.aversion;
        bad += isfinite(v.q[i]) ? 0.0 : 1.0;
        v.x[i] = warm ? clip(a.last[i], a.most) : 1.0 / a.assets;
        sum += v.x[i];
    }
    widest = block_most(widest);
    bad = block_sum(bad);
    sum = block_sum(sum);
    for (uint32_t i = threadIdx.x; i < a.assets; i += blockDim.x)
        v.y[i] = v.x[i] = fabs(sum - 1.0) < 1e-6 ? v.x[i] : 1.0 / a.assets;
    if (threadIdx.x == 0) {
        a.gradient[2 * a.assets + blockIdx.x] = widest;
        a.gradient[2 * a.assets + TRIBUS_QUANT_CUDA_CLUSTER + blockIdx.x] = bad;
    }
    all_wait();
    for (uint32_t b = 0; b < gridDim.x; b++) {
        widest = fmax(widest, a.gradient[2 * a.assets + b]);
        bad += a.gradient[2 * a.assets + TRIBUS_QUANT_CUDA_CLUSTER + b];
    }
    *inside = widest > 0.0 ? widest : 1.0;
    return !(bad > 0.0);
}

/* Mean, volatility and residual of x, whose gradient is g; block 0. */
static __device__ void write_answer(const tribus_quant_optimise_args &a, const vectors &v,
                                    double kkt, uint32_t iterations)
{
    double mean = 0.0, variance = 0.0;

    for (uint32_t i = threadIdx.x; i < a.assets; i += blockDim.x) {
        a.weights[i] = (float)v.x[i];
        a.last[i] = v.x[i];
        mean += v.x[i] * (double)a.mean[i];
        variance += v.x[i] * (v.g[i] + v.q[i]);
    }
    mean = block_sum(mean);
    variance = block_sum(variance);
    if (threadIdx.x == 0) {
        a.quality[0] = mean;
        a.quality[1] = sqrt(fmax(0.0, variance));
        a.quality[2] = kkt;
        a.warm->assets = a.assets;
        a.warm->iterations = iterations;
    }
}

static __device__ void write_nothing(const tribus_quant_optimise_args &a)
{
    for (uint32_t i = threadIdx.x; i < a.assets; i += blockDim.x)
        a.weights[i] = NAN;
    if (threadIdx.x < 3)
        a.quality[threadIdx.x] = NAN;
    if (threadIdx.x == 0)
        a.warm->assets = 0;
}

#define LOOK_EVERY 16u

extern "C" __global__ void __launch_bounds__(TRIBUS_QUANT_CUDA_MATRIX_THREADS) CLUSTER
    tribus_quant_optimise(tribus_quant_optimise_args a)
{
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ double answer;
    const uint32_t each = (a.assets + gridDim.x - 1) / gridDim.x;
    vectors v;
    double inside = 1.0, level = 0.0, momentum = 1.0, kkt = INFINITY;
    uint32_t turn = 0, i = 0;

    v.x = (double *)shared;
    v.y = v.x + a.assets;
    v.g = v.y + a.assets;
    v.q = v.g + a.assets;
    v.first = min(blockIdx.x * each, a.assets);
    v.end = min(v.first + each, a.assets);
    if (!prepare(a, v, (float *)(v.q + a.assets), &inside)) {
        if (blockIdx.x == 0)
            write_nothing(a);
        return;
    }
    /* Every block does the same with the same numbers, so all leave at the same turn. */
    for (;; i++) {
        if (i % LOOK_EVERY == 0) {
            gradient(a, v, v.x, turn++);
            if (threadIdx.x < 32) {
                kkt = kkt_of(a, v);
                if (threadIdx.x == 0)
                    answer = kkt;
            }
            __syncthreads();
            kkt = answer;
            if (!(kkt > 1e-9) || i >= a.limit)
                break;
        }
        gradient(a, v, v.y, turn++);
        if (threadIdx.x < 32)
            level = move(a, v, inside, level, &momentum);
    }
    if (blockIdx.x == 0)
        write_answer(a, v, kkt, i);
}
