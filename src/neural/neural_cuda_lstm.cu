/* neural_cuda_lstm.cu -- an LSTM that stays on the card and takes one time step at a time.
 *
 *   gates = W x(t) + U h(t-1) + b;  c = f c + i g;  h = o tanh c;  result = dense h_last
 *
 * One launch serves any number of steps. The state and the weights stay where they are: the
 * weights that the new input needs in shared memory, always; those of the recurrence in
 * shared memory as far as it goes, the rest in L2. U h(t-1) + b is worked out after the
 * result of step t-1 has been sent, so that only W x(t) stands between input and result.
 *
 * A warp owns one unit: eight lanes for each of its four gates. A block hands its units'
 * outputs to the others as words (neural_cuda_lstm.h): through distributed shared memory in
 * the cluster kernels (small models), through L2 in the grid kernels. Words alternate between
 * two sets by the step's parity; two are enough, because a block can only be in step t + 2
 * when the host has the result of t + 1, to which every block gave its part after it had
 * read the words of step t.
 *
 * The input is written by the CPU into host memory, where blocks poll the words themselves:
 * the trip that sees the step has the number. At most one step may be under way: the caller
 * writes step t + 1 after it has read the result of step t.
 *
 * All blocks must run at once (cluster launch, or cooperative launch). Every wait ends: with
 * the STOP step, or after idle_ns without input.
 */
#include "neural/neural_cuda_lstm.h"
#include <cuda_fp16.h>

#define FULL        0xffffffffu
#define EXCHANGE_NS 1000000000u /* another block is never that late */

static __device__ __forceinline__ uint64_t load_system(const uint64_t *p)
{
    uint64_t v;

    asm volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}

static __device__ __forceinline__ void store_system(uint64_t *p, uint64_t v)
{
    asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}

static __device__ __forceinline__ uint64_t load_card(const uint64_t *p)
{
    uint64_t v;

    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}

static __device__ __forceinline__ void store_card(uint64_t *p, uint64_t v)
{
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}

static __device__ __forceinline__ uint64_t load_near(uint32_t shared)
{
    uint64_t v;

    asm volatile("ld.relaxed.cluster.shared::cta.u64 %0, [%1];"
                 : "=l"(v)
                 : "r"(shared)
                 : "memory");
    return v;
}

/* The same place in the shared memory of another block of the cluster. */
static __device__ __forceinline__ void store_far(uint32_t shared, uint32_t block, uint64_t v)
{
    uint32_t there;

    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(there)
                 : "r"(shared), "r"(block));
    asm volatile("st.relaxed.cluster.shared::cluster.u64 [%0], %1;" ::"r"(there), "l"(v)
                 : "memory");
}

static __device__ __forceinline__ void cluster_wait(void)
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

static __device__ __forceinline__ uint64_t time_ns(void)
{
    uint64_t t;

    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

static __device__ __forceinline__ tribus_lstm_word word_of(float value, uint32_t step)
{
    return (uint64_t)step << 32 | __float_as_uint(value);
}

static __device__ __forceinline__ float sigmoid(float x)
{
    return __fdividef(1.0f, 1.0f + __expf(-x));
}

/* 1 - 2 / (e^2x + 1): right at both ends, absolute error below 2e-7. */
static __device__ __forceinline__ float tanh_of(float x)
{
    return 1.0f - __fdividef(2.0f, __expf(2.0f * x) + 1.0f);
}

/* ---- products: a lane's share of one row ---- */

static __device__ __forceinline__ float dot(const float *row, const float *x, uint32_t k,
                                            uint32_t lane, float sum)
{
#pragma unroll 4
    for (uint32_t i = lane * 4; i < k; i += 32) {
        const float4 w = *(const float4 *)(row + i), v = *(const float4 *)(x + i);

        sum = fmaf(w.x, v.x, sum);
        sum = fmaf(w.y, v.y, sum);
        sum = fmaf(w.z, v.z, sum);
        sum = fmaf(w.w, v.w, sum);
    }
    return sum;
}

static __device__ __forceinline__ float dot(const __half *row, const float *x, uint32_t k,
                                            uint32_t lane, float sum)
{
    float other = 0.0f;

#pragma unroll 4
    for (uint32_t i = lane * 8; i < k; i += 64) {
        const uint4 w = *(const uint4 *)(row + i);
        const float4 v0 = *(const float4 *)(x + i), v1 = *(const float4 *)(x + i + 4);
        const float2 a = __half22float2(*(const __half2 *)&w.x);
        const float2 b = __half22float2(*(const __half2 *)&w.y);
        const float2 c = __half22float2(*(const __half2 *)&w.z);
        const float2 d = __half22float2(*(const __half2 *)&w.w);

        sum = fmaf(a.x, v0.x, sum);
        other = fmaf(a.y, v0.y, other);
        sum = fmaf(b.x, v0.z, sum);
        other = fmaf(b.y, v0.w, other);
        sum = fmaf(c.x, v1.x, sum);
        other = fmaf(c.y, v1.y, other);
        sum = fmaf(d.x, v1.z, sum);
        other = fmaf(d.y, v1.w, other);
    }
    return sum + other;
}

/* ---- where words are ---- */

/* Words of layer `layer` (0: the input, l + 1: the output of layer l) for a step. */
template <bool CLUSTER> struct words {
    uint64_t base; /* shared or device address */
    uint32_t row, rows;

    __device__ __forceinline__ uint64_t at(uint32_t layer, uint32_t step, uint32_t i) const
    {
        return base + 8u * (((step & 1u) * rows + layer) * (uint64_t)row + i);
    }
    __device__ __forceinline__ uint64_t load(uint32_t layer, uint32_t step, uint32_t i) const
    {
        return CLUSTER ? load_near((uint32_t)at(layer, step, i))
                       : load_card((const uint64_t *)at(layer, step, i));
    }
    /* Every lane of a warp calls it with the same word. */
    __device__ __forceinline__ void send(uint32_t layer, uint32_t step, uint32_t i,
                                         uint32_t blocks, uint64_t v) const
    {
        const uint32_t lane = threadIdx.x & 31u;

        if (CLUSTER) {
            if (lane < blocks)
                store_far((uint32_t)at(layer, step, i), lane, v);
        } else if (lane == 0) {
            store_card((uint64_t *)at(layer, step, i), v);
        }
    }
    /* One thread, one word. */
    __device__ __forceinline__ void send_alone(uint32_t layer, uint32_t step, uint32_t i,
                                               uint32_t blocks, uint64_t v) const
    {
        for (uint32_t b = 0; CLUSTER && b < blocks; b++)
            store_far((uint32_t)at(layer, step, i), b, v);
        if (!CLUSTER)
            store_card((uint64_t *)at(layer, step, i), v);
    }
};

/* Wait for the words of a layer and spread them into x. Returns false when it is over. */
template <bool CLUSTER>
static __device__ __forceinline__ bool receive(const words<CLUSTER> &w, uint32_t layer,
                                               uint32_t step, uint32_t count, float *x,
                                               uint64_t wait_ns)
{
    uint64_t deadline = 0; /* the clock is read only when it is late anyway */

    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        uint64_t v = w.load(layer, step, i);

        for (uint32_t turns = 1; (uint32_t)(v >> 32) != step; turns++) {
            if ((uint32_t)(v >> 32) == TRIBUS_LSTM_STOP)
                return false;
            if ((turns & 4095u) == 0) {
                if (deadline == 0)
                    deadline = time_ns() + wait_ns;
                if (time_ns() > deadline)
                    return false;
            }
            v = w.load(layer, step, i);
        }
        x[i] = __uint_as_float((uint32_t)v);
    }
    return true;
}

/* Wait for one of the host's words; STOP when it is over. */
static __device__ __forceinline__ uint64_t receive_host(const uint64_t *in, uint32_t step,
                                                        uint64_t idle_ns)
{
    uint64_t v = load_system(in), deadline = 0;

    for (uint32_t turns = 1; (uint32_t)(v >> 32) != step; turns++) {
        if ((turns & 255u) == 0 && deadline == 0)
            deadline = time_ns() + idle_ns;
        if ((uint32_t)(v >> 32) == TRIBUS_LSTM_STOP ||
            ((turns & 255u) == 0 && time_ns() > deadline))
            return (uint64_t)TRIBUS_LSTM_STOP << 32;
        v = load_system(in);
    }
    return v;
}

/* Wait for the host's flag; false when it is over. What the host wrote before is seen. */
static __device__ __forceinline__ bool receive_flag(const uint64_t *flag, uint32_t step,
                                                    uint64_t idle_ns)
{
    uint64_t v, deadline = 0;

    for (uint32_t turns = 1;; turns++) {
        asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(flag) : "memory");
        if (v == step)
            return true;
        if ((turns & 255u) == 0 && deadline == 0)
            deadline = time_ns() + idle_ns;
        if (v == TRIBUS_LSTM_STOP || ((turns & 255u) == 0 && time_ns() > deadline))
            return false;
    }
}

static __device__ __forceinline__ float load_system_float(const float *p)
{
    float v;

    asm volatile("ld.relaxed.sys.global.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
    return v;
}

/* The step's input into x. A block that finds it over tells the others with STOP words. */
template <bool CLUSTER>
static __device__ __forceinline__ bool receive_input(const tribus_lstm_run &run,
                                                     const words<CLUSTER> &w, uint32_t block,
                                                     uint32_t step, float *x)
{
    const bool reads = run.input == TRIBUS_LSTM_INPUT_EACH || block == 0;
    bool alive = true;

    if (reads && run.input != TRIBUS_LSTM_INPUT_WORDS) {
        if (threadIdx.x == 0)
            alive = receive_flag((const uint64_t *)run.flag, step, run.idle_ns);
        alive = !__syncthreads_or(!alive);
    }
    for (uint32_t i = threadIdx.x; reads && i < run.inputs; i += blockDim.x) {
        uint64_t v;

        if (run.input == TRIBUS_LSTM_INPUT_EACH) {
            x[i] = alive ? load_system_float((const float *)run.in + i) : 0.0f;
            continue;
        }
        if (run.input == TRIBUS_LSTM_INPUT_WORDS)
            v = receive_host((const uint64_t *)run.in + i, step, run.idle_ns);
        else if (alive)
            v = word_of(load_system_float((const float *)run.in + i), step);
        else
            v = (uint64_t)TRIBUS_LSTM_STOP << 32;
        w.send_alone(0, step, i, run.blocks, v);
    }
    if (run.input == TRIBUS_LSTM_INPUT_EACH)
        return alive;
    return receive(w, 0, step, run.inputs, x, run.idle_ns + EXCHANGE_NS);
}

/* ---- the kernel ---- */

template <typename W, bool CLUSTER>
static __device__ __forceinline__ void serve(const tribus_lstm_run &run, uint32_t block)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const uint32_t warp = threadIdx.x / 32u, lane = threadIdx.x & 31u;
    const uint32_t gate = lane / 8u, sub = lane & 7u;
    const uint32_t unit = block * run.units_each + warp;
    const uint32_t rows = run.units_each * 4u;
    const uint32_t x_floats = (max(run.k[0], run.k_units) + 7u) & ~7u;
    float *x0 = (float *)shared, *x1 = x0 + x_floats;
    unsigned char *next = shared + 2u * x_floats * sizeof(float);
    words<CLUSTER> w;
    const W *input_rows[TRIBUS_LSTM_MAX_LAYERS];
    const W *recurrent_rows[TRIBUS_LSTM_MAX_LAYERS];
    float bias[TRIBUS_LSTM_MAX_LAYERS], ahead[TRIBUS_LSTM_MAX_LAYERS];
    float cell[TRIBUS_LSTM_MAX_LAYERS];
    int64_t spent = 0, after = 0, steps = 0; /* cycles: input to result, result to ready */

    w.rows = run.layers + 1u;
    w.row = (uint32_t)run.exchange_row;
    w.base = run.exchange;
    if (CLUSTER) {
        w.base = (uint64_t)__cvta_generic_to_shared(next);
        for (uint32_t i = threadIdx.x; i < 2u * w.rows * w.row; i += blockDim.x)
            ((uint64_t *)next)[i] = 0;
        next += 16u * w.rows * w.row;
    }
    for (uint32_t i = threadIdx.x; i < 2u * x_floats; i += blockDim.x)
        x0[i] = 0.0f;
    /* Weights into shared memory; rows stay in the order of the file of this block. */
    const unsigned char *from = (const unsigned char *)run.weights + block * run.block_bytes;

#pragma unroll
    for (uint32_t part = 0; part < 2u * TRIBUS_LSTM_MAX_LAYERS; part++) {
        const uint32_t l = part % TRIBUS_LSTM_MAX_LAYERS;
        const bool recurrent = part >= TRIBUS_LSTM_MAX_LAYERS;
        const uint32_t k = recurrent ? run.k_units : run.k[l];
        const uint32_t bytes = rows * k * (uint32_t)sizeof(W);

        if (l >= run.layers)
            continue;
        if (recurrent && (run.recurrent_shared >> l & 1u) == 0) {
            recurrent_rows[l] = (const W *)from + (size_t)(warp * 4u + gate) * k;
        } else {
            const W *mine = (const W *)next + (size_t)(warp * 4u + gate) * k;

            for (uint32_t i = threadIdx.x * 16u; i < bytes; i += blockDim.x * 16u)
                *(uint4 *)(next + i) = *(const uint4 *)(from + i);
            next += bytes;
            if (recurrent)
                recurrent_rows[l] = mine;
            else
                input_rows[l] = mine;
        }
        from += bytes;
    }
#pragma unroll
    for (uint32_t l = 0; l < TRIBUS_LSTM_MAX_LAYERS; l++) {
        cell[l] = 0.0f;
        bias[l] = 0.0f;
        if (l < run.layers && unit < run.units && sub == 0)
            bias[l] = ((const float *)run.bias)[(l * run.units + unit) * 4u + gate];
        ahead[l] = bias[l];
    }
    if (CLUSTER)
        cluster_wait();
    __syncthreads();

    for (uint32_t step = run.first_step; step != TRIBUS_LSTM_STOP; step++) {
        bool alive = receive_input(run, w, block, step, x0);

        if (__syncthreads_or(!alive))
            break;
        const int64_t seen = clock64();
#pragma unroll
        for (uint32_t l = 0; l < TRIBUS_LSTM_MAX_LAYERS; l++) {
            if (l >= run.layers)
                continue;
            float *x = (l & 1u) != 0 ? x1 : x0, *y = (l & 1u) != 0 ? x0 : x1;
            float sum = dot(input_rows[l], x, run.k[l], sub, ahead[l]);

            sum += __shfl_xor_sync(FULL, sum, 4);
            sum += __shfl_xor_sync(FULL, sum, 2);
            sum += __shfl_xor_sync(FULL, sum, 1);
            sum = gate == 2u ? tanh_of(sum) : sigmoid(sum);
            const float in = __shfl_sync(FULL, sum, 0), forget = __shfl_sync(FULL, sum, 8);
            const float fresh = __shfl_sync(FULL, sum, 16), out = __shfl_sync(FULL, sum, 24);

            cell[l] = fmaf(forget, cell[l], in * fresh);
            if (unit < run.units)
                w.send(l + 1u, step, unit, run.blocks,
                       word_of(out * tanh_of(cell[l]), step));
            if (l + 1u < run.layers || block == 0) {
                alive = receive(w, l + 1u, step, run.units, y, EXCHANGE_NS) && alive;
                __syncthreads();
            }
        }
        if (block == 0 && warp == 0) {
            const float *y = (run.layers & 1u) != 0 ? x1 : x0;
            const float *dense = (const float *)run.dense;
            float sum = 0.0f;

            for (uint32_t i = lane; i < run.units; i += 32u)
                sum = fmaf(dense[i], y[i], sum);
            for (int d = 16; d > 0; d /= 2)
                sum += __shfl_xor_sync(FULL, sum, d);
            if (lane == 0)
                store_system((uint64_t *)run.out, word_of(sum + dense[run.units], step));
        }
        /* The result is on its way: now what the next step needs of this one. */
        const int64_t sent = clock64();

        __syncthreads();
#pragma unroll
        for (uint32_t l = 0; l < TRIBUS_LSTM_MAX_LAYERS; l++) {
            if (l >= run.layers)
                continue;
            float *x = (l & 1u) != 0 ? x1 : x0;

            alive = receive(w, l + 1u, step, run.units, x, EXCHANGE_NS) && alive;
            if (__syncthreads_or(!alive))
                break;
            ahead[l] = dot(recurrent_rows[l], x, run.k_units, sub, bias[l]);
        }
        if (__syncthreads_or(!alive))
            break;
        /* Layer 0's rows may be longer than a layer's outputs: clear what those left. */
        for (uint32_t i = run.inputs + threadIdx.x; i < x_floats; i += blockDim.x)
            x0[i] = 0.0f;
        for (uint32_t i = run.units + threadIdx.x; i < x_floats; i += blockDim.x)
            x1[i] = 0.0f;
        spent += sent - seen;
        after += clock64() - sent;
        steps++;
    }
    if (block == 0 && threadIdx.x == 0 && run.trace != 0) {
        ((int64_t *)run.trace)[0] = spent;
        ((int64_t *)run.trace)[1] = after;
        ((int64_t *)run.trace)[2] = steps;
    }
    if (CLUSTER)
        cluster_wait();
}

/* Clusters are Hopper's. */
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
static __device__ __forceinline__ uint32_t cluster_block(void)
{
    uint32_t rank;

    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

extern "C" __global__ void __launch_bounds__(512) __cluster_dims__(8)
    tribus_lstm_cluster8_f32(tribus_lstm_run run)
{
    serve<float, true>(run, cluster_block());
}

extern "C" __global__ void __launch_bounds__(512) __cluster_dims__(16)
    tribus_lstm_cluster16_f32(tribus_lstm_run run)
{
    serve<float, true>(run, cluster_block());
}

extern "C" __global__ void __launch_bounds__(512) __cluster_dims__(16)
    tribus_lstm_cluster16_f16(tribus_lstm_run run)
{
    serve<__half, true>(run, cluster_block());
}

#endif

extern "C" __global__ void __launch_bounds__(256) tribus_lstm_grid_f32(tribus_lstm_run run)
{
    serve<float, false>(run, blockIdx.x);
}

extern "C" __global__ void __launch_bounds__(256) tribus_lstm_grid_f16(tribus_lstm_run run)
{
    serve<__half, false>(run, blockIdx.x);
}
