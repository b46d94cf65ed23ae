/* neural_cuda_lstm.cu -- an LSTM that stays on the card and takes one time step at a time; a GRU,
 * too, as neural_stream.h writes both.
 *
 *   gates = W x(t) + U h(t-1) + b;  c = f c + i g;  h = o tanh c;  result = dense h_last
 *
 * One launch serves any number of steps. The state and the weights stay where they are: the
 * weights that the new input needs in shared memory, always; those of the recurrence in
 * shared memory as far as it goes, the rest in L2. U h(t-1) + b is worked out after the
 * result of step t-1 has been sent, so that only W x(t) stands between input and result.
 *
 * A warp owns one unit, all four gates of it. A block hands its units'
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
#define DENSE_KEPT  8 /* weights of the last layer that a lane keeps */
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

/* ---- products ----
 *
 * The four rows of a unit times x, by a warp: a lane takes 16 bytes of each row at a time and
 * uses its part of x for all four. Of float rows those are four neighbours; of half rows, a
 * chunk of n numbers (256, or what is left) is packed so that lane i has numbers 4 i .. 4 i + 3
 * and n / 2 + 4 i .. n / 2 + 4 i + 3: both halves of x are then read without bank conflicts. */
static __device__ __forceinline__ void products(const float *rows, const float *x, uint32_t k,
                                                uint32_t lane, float *sum)
{
#pragma unroll 2
    for (uint32_t i = lane * 4u; i < k; i += 128u) {
        const float4 v = *(const float4 *)(x + i);

#pragma unroll
        for (uint32_t g = 0; g < 4; g++) {
            const float4 w = *(const float4 *)(rows + g * k + i);

            sum[g] = fmaf(w.x, v.x, sum[g]);
            sum[g] = fmaf(w.y, v.y, sum[g]);
            sum[g] = fmaf(w.z, v.z, sum[g]);
            sum[g] = fmaf(w.w, v.w, sum[g]);
        }
    }
}

static __device__ __forceinline__ void products(const __half *rows, const float *x, uint32_t k,
                                                uint32_t lane, float *sum)
{
#pragma unroll 4
    for (uint32_t base = 0; base < k; base += 256u) {
        const uint32_t n = min(k - base, 256u);

        if (lane * 8u < n) {
            const float4 u = *(const float4 *)(x + base + lane * 4u);
            const float4 v = *(const float4 *)(x + base + n / 2u + lane * 4u);

#pragma unroll
            for (uint32_t g = 0; g < 4; g++) {
                const uint4 w = *(const uint4 *)(rows + g * k + base + lane * 8u);
                const float2 a = __half22float2(*(const __half2 *)&w.x);
                const float2 b = __half22float2(*(const __half2 *)&w.y);
                const float2 c = __half22float2(*(const __half2 *)&w.z);
                const float2 d = __half22float2(*(const __half2 *)&w.w);

                sum[g] = fmaf(a.x, u.x, sum[g]);
                sum[g] = fmaf(a.y, u.y, sum[g]);
                sum[g] = fmaf(b.x, u.z, sum[g]);
                sum[g] = fmaf(b.y, u.w, sum[g]);
                sum[g] = fmaf(c.x, v.x, sum[g]);
                sum[g] = fmaf(c.y, v.y, sum[g]);
                sum[g] = fmaf(d.x, v.z, sum[g]);
                sum[g] = fmaf(d.y, v.w, sum[g]);
            }
        }
    }
}

/* Four sums over a warp at once: lanes 8 g .. 8 g + 7 get that of gate g. */
static __device__ __forceinline__ float gather(const float *sum, uint32_t lane)
{
    const bool upper = (lane & 16u) != 0, odd = (lane & 8u) != 0;
    const float a = (upper ? sum[2] : sum[0]) +
                    __shfl_xor_sync(FULL, upper ? sum[0] : sum[2], 16);
    const float b = (upper ? sum[3] : sum[1]) +
                    __shfl_xor_sync(FULL, upper ? sum[1] : sum[3], 16);
    float s = (odd ? b : a) + __shfl_xor_sync(FULL, odd ? a : b, 8);

    s += __shfl_xor_sync(FULL, s, 4);
    s += __shfl_xor_sync(FULL, s, 2);
    return s + __shfl_xor_sync(FULL, s, 1);
}

template <typename W>
static __device__ __forceinline__ float gates(const W *rows, const float *x, uint32_t k,
                                              uint32_t lane)
{
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};

    products(rows, x, k, lane, sum);
    return gather(sum, lane);
}

/* ---- where words are ---- */

/* Words of layer `layer` (0: the input, l + 1: the output of layer l), of one step. */
template <bool CLUSTER> struct words {
    uint64_t base; /* shared or device address */
    uint32_t set_bytes, row_bytes, step, now;

    __device__ __forceinline__ void set(uint32_t to)
    {
        step = to;
        now = (to & 1u) * set_bytes;
    }
    __device__ __forceinline__ uint64_t at(uint32_t layer, uint32_t i) const
    {
        return base + (now + layer * row_bytes + i * 8u);
    }
    __device__ __forceinline__ uint64_t load(uint64_t at) const
    {
        return CLUSTER ? load_near((uint32_t)at) : load_card((const uint64_t *)at);
    }
    /* Every lane of a warp calls it with the same word. */
    __device__ __forceinline__ void send(uint32_t layer, uint32_t i, uint32_t blocks,
                                         uint64_t v) const
    {
        const uint32_t lane = threadIdx.x & 31u;

        if (CLUSTER) {
            if (lane < blocks)
                store_far((uint32_t)at(layer, i), lane, v);
        } else if (lane == 0) {
            store_card((uint64_t *)at(layer, i), v);
        }
    }
    /* One thread, one word. */
    __device__ __forceinline__ void send_alone(uint32_t layer, uint32_t i, uint32_t blocks,
                                               uint64_t v) const
    {
        for (uint32_t b = 0; CLUSTER && b < blocks; b++)
            store_far((uint32_t)at(layer, i), b, v);
        if (!CLUSTER)
            store_card((uint64_t *)at(layer, i), v);
    }
};

/* Wait for the words of a layer and spread them into x. Returns false when it is over. */
template <bool CLUSTER>
static __device__ __forceinline__ bool receive(const words<CLUSTER> &w, uint32_t layer,
                                               uint32_t count, float *x, uint64_t wait_ns)
{
    uint64_t deadline = 0; /* the clock is read only when it is late anyway */

    if (count <= blockDim.x) { /* one word a thread: the shortest turn */
        if (threadIdx.x >= count)
            return true;
        const uint64_t at = w.at(layer, threadIdx.x);
        uint64_t v = w.load(at);

        for (uint32_t turns = 1; (uint32_t)(v >> 32) != w.step; turns++) {
            if ((uint32_t)(v >> 32) == TRIBUS_LSTM_STOP)
                return false;
            if ((turns & 4095u) == 0) {
                if (deadline == 0)
                    deadline = time_ns() + wait_ns;
                if (time_ns() > deadline)
                    return false;
            }
            v = w.load(at);
        }
        x[threadIdx.x] = __uint_as_float((uint32_t)v);
        return true;
    }
    for (uint32_t first = threadIdx.x; first < count; first += 4u * blockDim.x) {
        uint64_t v[4]; /* four on their way at once */
        bool all = false;

#pragma unroll
        for (uint32_t j = 0; j < 4; j++) {
            const uint32_t i = first + j * blockDim.x;

            v[j] = i < count ? w.load(w.at(layer, i)) : (uint64_t)w.step << 32;
        }
        for (uint32_t turns = 1; !all; turns++) {
            all = true;
#pragma unroll
            for (uint32_t j = 0; j < 4; j++) {
                if ((uint32_t)(v[j] >> 32) == w.step)
                    continue;
                if ((uint32_t)(v[j] >> 32) == TRIBUS_LSTM_STOP)
                    return false;
                all = false;
                v[j] = w.load(w.at(layer, first + j * blockDim.x));
            }
            if ((turns & 4095u) == 0) {
                if (deadline == 0)
                    deadline = time_ns() + wait_ns;
                if (time_ns() > deadline)
                    return false;
            }
        }
#pragma unroll
        for (uint32_t j = 0; j < 4; j++)
            if (first + j * blockDim.x < count)
                x[first + j * blockDim.x] = __uint_as_float((uint32_t)v[j]);
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
        w.send_alone(0, i, run.blocks, v);
    }
    if (run.input == TRIBUS_LSTM_INPUT_EACH)
        return alive;
    return receive(w, 0, run.inputs, x, run.idle_ns + EXCHANGE_NS);
}

/* ---- one unit ---- */

/* From the four sums, of which lanes 8 g .. 8 g + 7 have that of gate g, to the unit's output;
 * *c: what it keeps, the cell or a GRU's output. */
static __device__ __forceinline__ float unit_of(bool gru, uint32_t gate, float sum, float *c)
{
    if (gru) {
        const float update = sigmoid(__shfl_sync(FULL, sum, 0));
        const float reset = sigmoid(__shfl_sync(FULL, sum, 8));
        const float fresh =
            tanh_of(fmaf(reset, __shfl_sync(FULL, sum, 24), __shfl_sync(FULL, sum, 16)));

        *c = fmaf(update, *c - fresh, fresh);
        return *c;
    }
    /* tanh x = 2 sigmoid(2 x) - 1, so that all four gates take one path. */
    sum = sigmoid(gate == 2u ? 2.0f * sum : sum);
    sum = gate == 2u ? 2.0f * sum - 1.0f : sum;
    const float in = __shfl_sync(FULL, sum, 0), forget = __shfl_sync(FULL, sum, 8);
    const float fresh = __shfl_sync(FULL, sum, 16), out = __shfl_sync(FULL, sum, 24);

    *c = fmaf(forget, *c, in * fresh);
    return out * tanh_of(*c);
}

/* The result from the last layer's output: a warp a number. kept: the dense weights of the
 * warp's first number, bias: its bias. */
static __device__ __forceinline__ void answer(const tribus_lstm_run &run, const float *y,
                                              const float *kept, float bias, uint32_t step)
{
    const uint32_t lane = threadIdx.x & 31u, warp = threadIdx.x / 32u;
    uint64_t *out = (uint64_t *)run.out;

    if (run.dense == 0) {
        for (uint32_t i = threadIdx.x; i < run.outputs; i += blockDim.x)
            store_system(out + i, word_of(y[i], step));
        return;
    }
    for (uint32_t o = warp; o < run.outputs; o += blockDim.x / 32u) {
        const float *row = (const float *)run.dense + (size_t)o * run.units;
        float sum = 0.0f;

#pragma unroll
        for (uint32_t i = 0; i < DENSE_KEPT; i++)
            if (lane + 32u * i < run.units)
                sum = fmaf(o == warp ? kept[i] : row[lane + 32u * i], y[lane + 32u * i], sum);
        for (uint32_t i = lane + 32u * DENSE_KEPT; i < run.units; i += 32u)
            sum = fmaf(row[i], y[i], sum);
        for (int d = 16; d > 0; d /= 2)
            sum += __shfl_xor_sync(FULL, sum, d);
        if (o != warp)
            bias = ((const float *)run.dense)[(size_t)run.outputs * run.units + o];
        if (lane == 0)
            store_system(out + o, word_of(sum + bias, step));
    }
}

/* ---- the kernel ---- */

/* Entry l of what each thread keeps of every layer. Registers cannot be indexed, and a copy
 * of the loop for each layer would be fetched anew in every step: a few selections are less. */
static __device__ __forceinline__ float pick(const float *kept, uint32_t l)
{
    float v = kept[0];

#pragma unroll
    for (uint32_t i = 1; i < TRIBUS_LSTM_MAX_LAYERS; i++)
        v = l == i ? kept[i] : v;
    return v;
}

static __device__ __forceinline__ void keep(float *kept, uint32_t l, float v)
{
#pragma unroll
    for (uint32_t i = 0; i < TRIBUS_LSTM_MAX_LAYERS; i++)
        kept[i] = l == i ? v : kept[i];
}

static __device__ void copy_in(unsigned char *to, const unsigned char *from, uint32_t bytes)
{
    for (uint32_t i = threadIdx.x * 16u; i < bytes; i += blockDim.x * 16u)
        *(uint4 *)(to + i) = *(const uint4 *)(from + i);
}

/* Shared: two vectors; the words of a cluster; input rows of layer 0, of the others;
 * recurrent rows of as many layers as there is room for. */
template <typename W, bool CLUSTER>
static __device__ __forceinline__ void serve(const tribus_lstm_run &run, uint32_t block)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const uint32_t warp = threadIdx.x / 32u, lane = threadIdx.x & 31u;
    const uint32_t gate = lane / 8u, own = warp * 4u; /* its gate after gather(); its rows */
    const uint32_t unit = block * run.units_each + warp, ku = run.k_units;
    const uint32_t bytes0 = run.units_each * 4u * run.k[0] * (uint32_t)sizeof(W);
    const uint32_t bytes = run.units_each * 4u * ku * (uint32_t)sizeof(W);
    const uint32_t x_floats = (max(run.k[0], ku) + 7u) & ~7u;
    const uint32_t near_layers = (uint32_t)__popc(run.recurrent_shared);
    const bool answers = block == 0 && run.dense != 0 && warp < run.outputs;
    const unsigned char *from = (const unsigned char *)run.weights + block * run.block_bytes;
    float *const x0 = (float *)shared;
    unsigned char *rows = shared + 2u * x_floats * sizeof(float);
    words<CLUSTER> w;
    float bias[TRIBUS_LSTM_MAX_LAYERS], ahead[TRIBUS_LSTM_MAX_LAYERS];
    float cell[TRIBUS_LSTM_MAX_LAYERS], dense[DENSE_KEPT];
    int64_t spent = 0, after = 0, steps = 0; /* cycles: input to result, result to ready */

    w.row_bytes = (uint32_t)run.exchange_row * 8u;
    w.set_bytes = w.row_bytes * (run.layers + 1u);
    w.base = run.exchange;
    if (CLUSTER) {
        w.base = (uint64_t)__cvta_generic_to_shared(rows);
        for (uint32_t i = threadIdx.x; i < w.set_bytes / 4u; i += blockDim.x)
            ((uint64_t *)rows)[i] = 0;
        rows += 2u * w.set_bytes;
    }
    for (uint32_t i = threadIdx.x; i < 2u * x_floats; i += blockDim.x)
        x0[i] = 0.0f;
    copy_in(rows, from, bytes0 + (run.layers - 1u + near_layers) * bytes);
    /* The recurrent rows in the order of the layers, near ones first: see the host. */
    const W *const far_rows =
        (const W *)(from + bytes0 + (run.layers - 1u) * bytes) + (size_t)own * ku;
    const unsigned char *const near_rows = rows + bytes0 + (run.layers - 1u) * bytes;

#pragma unroll
    for (uint32_t l = 0; l < TRIBUS_LSTM_MAX_LAYERS; l++) {
        cell[l] = 0.0f;
        bias[l] = 0.0f;
        if (l < run.layers && unit < run.units)
            bias[l] = ((const float *)run.bias)[(l * run.units + unit) * 4u + gate];
        ahead[l] = bias[l];
    }
#pragma unroll
    for (uint32_t i = 0; i < DENSE_KEPT; i++)
        dense[i] = answers && lane + 32u * i < run.units
                       ? ((const float *)run.dense)[warp * run.units + lane + 32u * i]
                       : 0.0f;
    const float dense_bias =
        answers ? ((const float *)run.dense)[(size_t)run.outputs * run.units + warp] : 0.0f;

    if (CLUSTER)
        cluster_wait();
    __syncthreads();

    for (uint32_t step = run.first_step; step != TRIBUS_LSTM_STOP; step++) {
        w.set(step);
        bool alive = receive_input(run, w, block, step, x0);

        if (__syncthreads_or(!alive))
            break;
        const int64_t seen = clock64();
#pragma unroll 1
        for (uint32_t l = 0; l < run.layers; l++) {
            const uint32_t k = l == 0 ? run.k[0] : ku;
            const W *row =
                (const W *)(rows + (l == 0 ? 0u : bytes0 + (l - 1u) * bytes)) + own * k;
            float *x = x0 + ((l & 1u) != 0 ? x_floats : 0u);
            float *y = x0 + ((l & 1u) != 0 ? 0u : x_floats);
            float sum = gates(row, x, k, lane) + pick(ahead, l), c = pick(cell, l);

            sum = unit_of(run.gru != 0, gate, sum, &c);
            if (unit < run.units)
                w.send(l + 1u, unit, run.blocks, word_of(sum, step));
            keep(cell, l, c);
            if (l + 1u < run.layers || block == 0) {
                alive = receive(w, l + 1u, run.units, y, EXCHANGE_NS) && alive;
                __syncthreads();
            }
        }
        if (block == 0)
            answer(run, x0 + ((run.layers & 1u) != 0 ? x_floats : 0u), dense, dense_bias,
                   step);
        /* The result is on its way: now what the next step needs of this one. */
        const int64_t sent = clock64();

        __syncthreads();
#pragma unroll 1
        for (uint32_t l = 0; l < run.layers; l++) {
            float *x = x0 + ((l & 1u) != 0 ? x_floats : 0u);
            float sum = pick(bias, l);

            alive = receive(w, l + 1u, run.units, x, EXCHANGE_NS) && alive;
            __syncthreads();
            if (l < near_layers)
                sum += gates((const W *)(near_rows + l * bytes) + own * ku, x, ku, lane);
            else
                sum += gates(far_rows + (size_t)l * (bytes / sizeof(W)), x, ku, lane);
            keep(ahead, l, sum);
        }
        if (__syncthreads_or(!alive))
            break;
        /* What lies behind a vector must stay finite: it meets weights of zero. */
        for (uint32_t i = run.inputs + threadIdx.x; i < x_floats; i += blockDim.x)
            x0[i] = 0.0f;
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

extern "C" __global__ void __launch_bounds__(512, 1) __cluster_dims__(8)
    tribus_lstm_cluster8_f32(tribus_lstm_run run)
{
    serve<float, true>(run, cluster_block());
}

extern "C" __global__ void __launch_bounds__(512, 1) __cluster_dims__(16)
    tribus_lstm_cluster16_f32(tribus_lstm_run run)
{
    serve<float, true>(run, cluster_block());
}

extern "C" __global__ void __launch_bounds__(512, 1) __cluster_dims__(16)
    tribus_lstm_cluster16_f16(tribus_lstm_run run)
{
    serve<__half, true>(run, cluster_block());
}

#endif

extern "C" __global__ void __launch_bounds__(256, 1) tribus_lstm_grid_f32(tribus_lstm_run run)
{
    serve<float, false>(run, blockIdx.x);
}

extern "C" __global__ void __launch_bounds__(256, 1) tribus_lstm_grid_f16(tribus_lstm_run run)
{
    serve<__half, false>(run, blockIdx.x);
}
