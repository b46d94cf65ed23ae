/* neural_cuda_kernels.cu -- the operators of a model on a card, in float.
 *
 * Written to be right for any shape; the product of matrices is tiled through shared memory,
 * the rest is bound by memory. Sums are float, in an order of their own: against double
 * arithmetic the relative error of a whole output is below 1e-5 (tools/cuda_neural_test.py).
 */
#include "neural/neural_cuda_kernels.h"

#define FULL 0xffffffffu

static __device__ __forceinline__ float apply(uint32_t op, float a, float b, float p, float q)
{
    switch (op) {
    case TRIBUS_NN_ADD:
        return a + b;
    case TRIBUS_NN_SUB:
        return a - b;
    case TRIBUS_NN_MUL:
        return a * b;
    case TRIBUS_NN_DIV:
        return a / b;
    case TRIBUS_NN_POW:
        return powf(a, b);
    case TRIBUS_NN_MIN:
        return a < b || isnan(a) ? a : b;
    case TRIBUS_NN_MAX:
        return a > b || isnan(a) ? a : b;
    case TRIBUS_NN_SQRT:
        return sqrtf(a);
    case TRIBUS_NN_EXP:
        return expf(a);
    case TRIBUS_NN_LOG:
        return logf(a);
    case TRIBUS_NN_ABS:
        return fabsf(a);
    case TRIBUS_NN_NEG:
        return -a;
    case TRIBUS_NN_RECIPROCAL:
        return 1.0f / a;
    case TRIBUS_NN_ERF:
        return erff(a);
    case TRIBUS_NN_CLIP:
        return a < p ? p : (a > q ? q : a);
    case TRIBUS_NN_RELU:
        return a < 0.0f ? 0.0f : a;
    case TRIBUS_NN_LEAKY_RELU:
        return a < 0.0f ? p * a : a;
    case TRIBUS_NN_TANH:
        return tanhf(a);
    case TRIBUS_NN_SIGMOID:
        return 1.0f / (1.0f + expf(-a));
    case TRIBUS_NN_SOFTPLUS: /* ln(1 + e^a) without overflow */
        return fmaxf(a, 0.0f) + log1pf(expf(-fabsf(a)));
    case TRIBUS_NN_GELU:
        return 0.5f * a * (1.0f + erff(a * 0.70710678f));
    case TRIBUS_NN_GELU_TANH:
        return 0.5f * a * (1.0f + tanhf(0.79788456f * (a + 0.044715f * a * a * a)));
    default:
        return a;
    }
}

/* Where element i of `shape` lies in up to three tensors. */
static __device__ __forceinline__ void place(const tribus_nn_map &m, uint64_t i, int64_t *a,
                                             int64_t *b, int64_t *y)
{
    *a = *b = *y = 0;
    for (uint32_t d = m.ndim; d-- > 0;) {
        const int64_t at = (int64_t)(i % m.shape[d]);

        i /= m.shape[d];
        *a += at * m.step_a[d];
        *b += at * m.step_b[d];
        *y += at * m.step_y[d];
    }
}

extern "C" __global__ void tribus_nn_unary(tribus_nn_map m)
{
    for (uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; i < m.count;
         i += (uint64_t)gridDim.x * blockDim.x)
        m.y[i] = apply(m.op, m.a[i], 0.0f, m.p, m.q);
}

extern "C" __global__ void tribus_nn_binary(tribus_nn_map m)
{
    for (uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; i < m.count;
         i += (uint64_t)gridDim.x * blockDim.x) {
        int64_t a, b, y;

        place(m, i, &a, &b, &y);
        m.y[y] = apply(m.op, m.a[a], m.b[b], m.p, m.q);
    }
}

extern "C" __global__ void tribus_nn_copy(tribus_nn_map m)
{
    for (uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; i < m.count;
         i += (uint64_t)gridDim.x * blockDim.x) {
        int64_t a, b, y;

        place(m, i, &a, &b, &y);
        m.y[y] = m.a[a];
    }
}

/* Tiles of 64 x 64 outputs, 16 deep; 256 threads with 4 x 4 outputs each. */
extern "C" __global__ void __launch_bounds__(256) tribus_nn_gemm_run(tribus_nn_gemm g)
{
    __shared__ float as[16][68], bs[16][68]; /* 68: no two rows begin in one bank */
    const uint32_t tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const uint32_t row0 = blockIdx.y * 64, column0 = blockIdx.x * 64;
    const float *a = g.a, *b = g.b;
    uint64_t left = blockIdx.z;
    float sum[4][4] = {};

    for (uint32_t d = g.batch_dims; d-- > 0;) {
        const int64_t at = (int64_t)(left % g.batch[d]);

        left /= g.batch[d];
        a += at * g.batch_a[d];
        b += at * g.batch_b[d];
    }
    for (uint32_t k0 = 0; k0 < g.k; k0 += 16) {
        for (uint32_t e = threadIdx.x; e < 1024; e += 256) {
            /* The faster index along what is dense in memory. */
            const bool along = g.a_column <= g.a_row;
            const uint32_t k = along ? e % 16 : e / 64, i = along ? e / 16 : e % 64;

            as[k][i] = row0 + i < g.m && k0 + k < g.k
                           ? a[(int64_t)(row0 + i) * g.a_row + (int64_t)(k0 + k) * g.a_column]
                           : 0.0f;
        }
        for (uint32_t e = threadIdx.x; e < 1024; e += 256) {
            const bool along = g.b_column <= g.b_row;
            const uint32_t k = along ? e / 64 : e % 16, j = along ? e % 64 : e / 16;

            bs[k][j] =
                column0 + j < g.n && k0 + k < g.k
                    ? b[(int64_t)(k0 + k) * g.b_row + (int64_t)(column0 + j) * g.b_column]
                    : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (uint32_t k = 0; k < 16; k++) {
            float u[4], v[4];

#pragma unroll
            for (uint32_t i = 0; i < 4; i++) {
                u[i] = as[k][ty * 4 + i];
                v[i] = bs[k][tx * 4 + i];
            }
#pragma unroll
            for (uint32_t i = 0; i < 4; i++)
#pragma unroll
                for (uint32_t j = 0; j < 4; j++)
                    sum[i][j] = fmaf(u[i], v[j], sum[i][j]);
        }
        __syncthreads();
    }
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < 4; j++) {
            const uint32_t row = row0 + ty * 4 + i, column = column0 + tx * 4 + j;
            float y = g.alpha * sum[i][j];

            if (row >= g.m || column >= g.n)
                continue;
            if (g.c != nullptr)
                y = fmaf(g.beta, g.c[(int64_t)row * g.c_row + (int64_t)column * g.c_column],
                         y);
            g.y[((uint64_t)blockIdx.z * g.m + row) * g.n + column] = y;
        }
}

/* ---- sums over a block ---- */

static __device__ float block_sum(float x, bool largest)
{
    __shared__ float parts[32];

    for (int d = 16; d > 0; d /= 2) {
        const float other = __shfl_xor_sync(FULL, x, d);

        x = largest ? fmaxf(x, other) : x + other;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = parts[0];
    for (uint32_t w = 1; w < blockDim.x / 32; w++)
        x = largest ? fmaxf(x, parts[w]) : x + parts[w];
    return x;
}

extern "C" __global__ void tribus_nn_softmax(tribus_nn_rows r)
{
    const uint64_t base = blockIdx.x / r.inner * r.size * r.inner + blockIdx.x % r.inner;
    float most = -INFINITY, sum = 0.0f;

    for (uint64_t i = threadIdx.x; i < r.size; i += blockDim.x)
        most = fmaxf(most, r.x[base + i * r.inner]);
    most = block_sum(most, true);
    for (uint64_t i = threadIdx.x; i < r.size; i += blockDim.x)
        sum += expf(r.x[base + i * r.inner] - most);
    sum = block_sum(sum, false);
    for (uint64_t i = threadIdx.x; i < r.size; i += blockDim.x) {
        const float x = r.x[base + i * r.inner] - most;

        r.y[base + i * r.inner] = r.log != 0 ? x - logf(sum) : expf(x) / sum;
    }
}

extern "C" __global__ void tribus_nn_layer_norm(tribus_nn_rows r)
{
    const uint64_t base = (uint64_t)blockIdx.x * r.size;
    float mean = 0.0f, squares = 0.0f, scale;

    for (uint64_t i = threadIdx.x; i < r.size; i += blockDim.x)
        mean += r.x[base + i];
    mean = block_sum(mean, false) / (float)r.size;
    for (uint64_t i = threadIdx.x; i < r.size; i += blockDim.x) {
        const float d = r.x[base + i] - mean;

        squares += d * d;
    }
    scale = 1.0f / sqrtf(block_sum(squares, false) / (float)r.size + r.epsilon);
    for (uint64_t i = threadIdx.x; i < r.size; i += blockDim.x)
        r.y[base + i] = (r.x[base + i] - mean) * scale * r.scale[i] +
                        (r.bias != nullptr ? r.bias[i] : 0.0f);
}

extern "C" __global__ void tribus_nn_reduce_run(tribus_nn_reduce r)
{
    int64_t base = 0;
    uint64_t left = blockIdx.x;
    float sum = 0.0f;

    for (uint32_t d = r.kept; d-- > 0;) {
        base += (int64_t)(left % r.kept_shape[d]) * r.kept_step[d];
        left /= r.kept_shape[d];
    }
    for (uint64_t i = threadIdx.x; i < r.count; i += blockDim.x) {
        int64_t at = base;

        left = i;
        for (uint32_t d = r.summed; d-- > 0;) {
            at += (int64_t)(left % r.summed_shape[d]) * r.summed_step[d];
            left /= r.summed_shape[d];
        }
        sum += r.x[at];
    }
    sum = block_sum(sum, false);
    if (threadIdx.x == 0)
        r.y[blockIdx.x] = sum * r.scale;
}

/* A thread for each output. */
extern "C" __global__ void tribus_nn_conv_run(tribus_nn_conv c)
{
    const uint64_t count = (uint64_t)c.batch * c.filters * c.out_height * c.out_width;
    const uint32_t each = c.channels / c.group, filters_each = c.filters / c.group;

    for (uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; i < count;
         i += (uint64_t)gridDim.x * blockDim.x) {
        const uint32_t ox = (uint32_t)(i % c.out_width);
        const uint32_t oy = (uint32_t)(i / c.out_width % c.out_height);
        const uint32_t f = (uint32_t)(i / c.out_width / c.out_height % c.filters);
        const uint32_t n = (uint32_t)(i / c.out_width / c.out_height / c.filters);
        const uint32_t first = f / filters_each * each;
        const float *w = c.w + (uint64_t)f * each * c.kernel_height * c.kernel_width;
        float sum = c.bias != nullptr ? c.bias[f] : 0.0f;

        for (uint32_t ch = 0; ch < each; ch++) {
            const float *x = c.x + ((uint64_t)n * c.channels + first + ch) * c.height * c.width;

            for (uint32_t ky = 0; ky < c.kernel_height; ky++) {
                const int64_t y =
                    (int64_t)oy * c.stride_y - c.pad_y + (int64_t)ky * c.dilation_y;

                for (uint32_t kx = 0; kx < c.kernel_width; kx++, w++) {
                    const int64_t at =
                        (int64_t)ox * c.stride_x - c.pad_x + (int64_t)kx * c.dilation_x;

                    if (y >= 0 && y < c.height && at >= 0 && at < c.width)
                        sum = fmaf(*w, x[y * c.width + at], sum);
                }
            }
        }
        c.y[i] = sum;
    }
}

/* ---- recurrent layers: a block keeps one sequence's state in shared memory ---- */

static __device__ __forceinline__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* out[row] = r[row] . h for rows [0, rows), a warp for each. */
static __device__ void products(const float *r, const float *h, float *out, uint32_t rows,
                                uint32_t units)
{
    const uint32_t lane = threadIdx.x % 32;

    for (uint32_t row = threadIdx.x / 32; row < rows; row += blockDim.x / 32) {
        float sum = 0.0f;

        for (uint32_t i = lane; i < units; i += 32)
            sum = fmaf(r[(uint64_t)row * units + i], h[i], sum);
        for (int d = 16; d > 0; d /= 2)
            sum += __shfl_xor_sync(FULL, sum, d);
        if (lane == 0)
            out[row] = sum;
    }
}

static __device__ __forceinline__ float bias_of(const tribus_nn_recurrent &a, uint32_t gates,
                                                uint32_t row)
{
    return a.bias == nullptr ? 0.0f : a.bias[row] + a.bias[gates * a.units + row];
}

/* Shared: h, c, products of four gates. ONNX's order of gates: input, output, forget, cell. */
extern "C" __global__ void tribus_nn_lstm(tribus_nn_recurrent a)
{
    extern __shared__ float shared[];
    const uint32_t n = a.units;
    float *h = shared, *c = h + n, *p = c + n;

    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
        h[i] = a.h0 != nullptr ? a.h0[(uint64_t)blockIdx.x * n + i] : 0.0f;
        c[i] = a.c0 != nullptr ? a.c0[(uint64_t)blockIdx.x * n + i] : 0.0f;
    }
    __syncthreads();
    for (uint32_t s = 0; s < a.steps; s++) {
        const uint32_t step = a.reverse != 0 ? a.steps - 1 - s : s;
        const float *x = a.gates + ((uint64_t)step * a.batch + blockIdx.x) * 4 * n;

        products(a.r, h, p, 4 * n, n);
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
            const float in = sigmoid(x[i] + p[i] + bias_of(a, 4, i));
            const float out = sigmoid(x[n + i] + p[n + i] + bias_of(a, 4, n + i));
            const float forget = sigmoid(x[2 * n + i] + p[2 * n + i] + bias_of(a, 4, 2 * n + i));
            const float fresh = tanhf(x[3 * n + i] + p[3 * n + i] + bias_of(a, 4, 3 * n + i));

            c[i] = forget * c[i] + in * fresh;
            h[i] = out * tanhf(c[i]);
            if (a.y != nullptr)
                a.y[(uint64_t)step * a.y_step + (uint64_t)blockIdx.x * a.y_batch + i] = h[i];
        }
        __syncthreads();
    }
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
        if (a.y_h != nullptr)
            a.y_h[(uint64_t)blockIdx.x * n + i] = h[i];
        if (a.y_c != nullptr)
            a.y_c[(uint64_t)blockIdx.x * n + i] = c[i];
    }
}

/* Shared: h, r h, update gate, products of three gates. Order: update, reset, hidden. */
extern "C" __global__ void tribus_nn_gru(tribus_nn_recurrent a)
{
    extern __shared__ float shared[];
    const uint32_t n = a.units;
    float *h = shared, *rh = h + n, *z = rh + n, *p = z + n;

    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x)
        h[i] = a.h0 != nullptr ? a.h0[(uint64_t)blockIdx.x * n + i] : 0.0f;
    __syncthreads();
    for (uint32_t s = 0; s < a.steps; s++) {
        const uint32_t step = a.reverse != 0 ? a.steps - 1 - s : s;
        const float *x = a.gates + ((uint64_t)step * a.batch + blockIdx.x) * 3 * n;
        const bool linear = a.linear_before_reset != 0;

        products(a.r, h, p, linear ? 3 * n : 2 * n, n);
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
            const float reset = sigmoid(x[n + i] + p[n + i] + bias_of(a, 3, n + i));

            z[i] = sigmoid(x[i] + p[i] + bias_of(a, 3, i));
            rh[i] = linear ? reset : reset * h[i];
        }
        __syncthreads();
        if (!linear) {
            products(a.r + 2 * (uint64_t)n * n, rh, p + 2 * n, n, n);
            __syncthreads();
        }
        for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
            const float wb = a.bias != nullptr ? a.bias[2 * n + i] : 0.0f;
            const float rb = a.bias != nullptr ? a.bias[5 * n + i] : 0.0f;
            const float r = p[2 * n + i] + rb;
            const float fresh = tanhf(x[2 * n + i] + wb + (linear ? rh[i] * r : r));

            h[i] = (1.0f - z[i]) * fresh + z[i] * h[i];
            if (a.y != nullptr)
                a.y[(uint64_t)step * a.y_step + (uint64_t)blockIdx.x * a.y_batch + i] = h[i];
        }
        __syncthreads();
    }
    for (uint32_t i = threadIdx.x; a.y_h != nullptr && i < n; i += blockDim.x)
        a.y_h[(uint64_t)blockIdx.x * n + i] = h[i];
}
