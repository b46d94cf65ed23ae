/* cuda_neural_bench.cu -- measure the neural and Monte-Carlo kernels on one card.
 *
 * usage: cuda_neural_bench [all|rates|mc|lstm] [--check]
 *
 * Stand-alone: nvcc -O3 -arch=sm_90 -Iinclude -Isrc. Prints a table for people on stderr and
 * JSON lines for programs on stdout: bench, case, p50_ns, p99_ns, floor_ns, ratio (floor over
 * p50). Ceilings are measured in the same run. Results are checked against double arithmetic
 * on the host before anything is timed; --check stops there. The LSTMs have the shapes of
 * STAC-ML's LSTM_A, B and C with random weights; what is printed is no STAC result.
 */
#include "../src/device/mc_cuda.cu"
#undef FULL
#undef WARP
#include "../src/neural/neural_cuda_lstm.cu"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <vector>

#define CK(call)                                                                           \
    do {                                                                                   \
        const cudaError_t e_ = (call);                                                     \
        if (e_ != cudaSuccess) {                                                           \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,                  \
                    cudaGetErrorString(e_));                                               \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

static int failures;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void must(bool holds, const char *what)
{
    fprintf(stderr, "%s %s\n", holds ? "ok  " : "FAIL", what);
    failures += holds ? 0 : 1;
}

static void report(const char *name, std::vector<double> ns, double floor_ns)
{
    std::sort(ns.begin(), ns.end());
    const double p50 = ns[ns.size() / 2], p99 = ns[(size_t)((double)ns.size() * 0.99)];

    printf("{\"bench\":\"cuda\",\"case\":\"%s\",\"p50_ns\":%.0f,\"p99_ns\":%.0f,"
           "\"floor_ns\":%.0f,\"ratio\":%.3f,\"runs\":%zu}\n",
           name, p50, p99, floor_ns, floor_ns / p50, ns.size());
    fprintf(stderr, "%-46s p50 %10.2f us  p99 %10.2f us  floor %9.2f us  floor/p50 %.2f\n",
            name, p50 / 1e3, p99 / 1e3, floor_ns / 1e3, floor_ns / p50);
    fflush(stdout);
}

/* Time of work on a stream by events, n times. */
template <typename F> static std::vector<double> timed(cudaStream_t s, int n, F work)
{
    std::vector<double> ns;
    cudaEvent_t a, b;

    CK(cudaEventCreate(&a));
    CK(cudaEventCreate(&b));
    for (int i = 0; i < n + 3; i++) {
        float ms;

        CK(cudaEventRecord(a, s));
        work();
        CK(cudaEventRecord(b, s));
        CK(cudaEventSynchronize(b));
        CK(cudaGetLastError());
        CK(cudaEventElapsedTime(&ms, a, b));
        if (i >= 3)
            ns.push_back((double)ms * 1e6);
    }
    CK(cudaEventDestroy(a));
    CK(cudaEventDestroy(b));
    return ns;
}

static double median(std::vector<double> v)
{
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

static uint64_t draw_state = 1;
static double draw(void) /* uniform in (-1, 1) */
{
    draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(draw_state ^ draw_state >> 29) / 9223372036854775808.0;
}

/* ---- Monte-Carlo ---- */

/* The same loops with one unit's work only: what each unit alone would need. */
extern "C" __global__ void __launch_bounds__(THREADS)
    floor_philox(tribus_mc_run run, const uint4 *table, uint32_t *out)
{
    extern __shared__ uint4 near_table[];
    const uint32_t chunks = run.paths / 64;
    uint32_t all = 0;

    for (uint32_t i = threadIdx.x; i < 2 * run.blocks; i += THREADS)
        near_table[i] = table[i];
    __syncthreads();
    for (uint32_t c = (threadIdx.x / 32) * gridDim.x + blockIdx.x; c < chunks;
         c += gridDim.x * 8) {
        path_state s[2];

        for (int p = 0; p < 2; p++)
            s[p] = path_begin(c * 64 + threadIdx.x % 32 + 32 * p, run.keys);
        for (uint32_t b = 0; b < run.blocks; b++) {
            const uint4 t = near_table[2 * b + 1];
#pragma unroll
            for (int p = 0; p < 2; p++) {
                uint32_t v0 = t.x ^ s[p].p1, v1 = t.y, v2 = t.z ^ s[p].h0, v3 = s[p].l0;
#pragma unroll
                for (int r = 0; r < 8; r++) {
                    const uint64_t a = (uint64_t)TRIBUS_PHILOX_M0 * v0;
                    const uint64_t d = (uint64_t)TRIBUS_PHILOX_M1 * v2;

                    v0 = (uint32_t)(d >> 32) ^ v1 ^ run.keys.round[2 * r];
                    v1 = (uint32_t)d;
                    v2 = (uint32_t)(a >> 32) ^ v3 ^ run.keys.round[2 * r + 1];
                    v3 = (uint32_t)a;
                }
                all ^= v0 ^ v1; /* one three-input operation each */
                all ^= v2 ^ v3;
            }
        }
    }
    if (all == 12345)
        out[0] = all;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    floor_special(tribus_mc_run run, float seed, float *out)
{
    const uint32_t chunks = run.paths / 64;
    float x[4] = {seed, seed + 1, seed + 2, seed + 3};

    for (uint32_t c = (threadIdx.x / 32) * gridDim.x + blockIdx.x; c < chunks;
         c += gridDim.x * 8)
        for (uint32_t b = 0; b < run.blocks; b++)
#pragma unroll
            for (int p = 0; p < 4; p++) /* 2 paths of 2 pairs: 3 results each */
                asm volatile("{.reg .f32 t; lg2.approx.ftz.f32 t, %0;\n"
                             "sqrt.approx.ftz.f32 t, t; cos.approx.ftz.f32 %0, t;}"
                             : "+f"(x[p]));
    if (x[0] + x[1] + x[2] + x[3] == 12345.0f)
        out[0] = x[0];
}

struct mc_case {
    uint32_t assets, paths;
    double nu, confidence;
    std::vector<float> forecast, factor, weights;
    float *d_forecast, *d_factor, *d_weights, *d_pnl;
    uint4 *d_table;
    tribus_mc_head *d_head;
    double *d_risk;
    tribus_mc_run run;
};

static void mc_make(mc_case &m)
{
    const uint32_t n = m.assets;

    m.forecast.resize(2 * n);
    m.weights.resize(n);
    m.factor.assign((size_t)n * n, 0.0f);
    for (uint32_t i = 0; i < n; i++) {
        double norm = 0.0;

        m.forecast[2 * i] = (float)(draw() * 1e-3);
        m.forecast[2 * i + 1] = (float)(0.01 + 0.005 * draw());
        m.weights[i] = (float)(1000.0 * draw());
        for (uint32_t j = 0; j <= i; j++) {
            m.factor[(size_t)i * n + j] = (float)(j == i ? 1.5 : 0.3 * draw());
            norm += (double)m.factor[(size_t)i * n + j] * m.factor[(size_t)i * n + j];
        }
        for (uint32_t j = 0; j <= i; j++)
            m.factor[(size_t)i * n + j] /= (float)std::sqrt(norm);
    }
    memset(&m.run, 0, sizeof(m.run));
    m.run.seed = 0x123456789abcdefu ^ (uint64_t)now_ns();
    m.run.paths = m.paths;
    m.run.blocks = (n + 3) / 4;
    m.run.nu = (float)m.nu;
    uint32_t k0 = (uint32_t)m.run.seed, k1 = (uint32_t)(m.run.seed >> 32);
    for (int r = 0; r < 10; r++, k0 += TRIBUS_PHILOX_W0, k1 += TRIBUS_PHILOX_W1) {
        if (r == 0) {
            m.run.keys.first0 = k0;
            m.run.keys.first1 = k1;
        } else if (r == 1) {
            m.run.keys.second0 = k0;
            m.run.keys.second1 = k1;
        } else {
            m.run.keys.round[2 * (r - 2)] = k0;
            m.run.keys.round[2 * (r - 2) + 1] = k1;
        }
    }
    CK(cudaMalloc(&m.d_forecast, 8 * n));
    CK(cudaMalloc(&m.d_factor, 4 * (size_t)n * n));
    CK(cudaMalloc(&m.d_weights, 4 * n));
    CK(cudaMalloc(&m.d_pnl, 4 * (size_t)m.paths));
    CK(cudaMalloc(&m.d_table, 32 * m.run.blocks));
    CK(cudaMalloc(&m.d_head, sizeof(*m.d_head)));
    CK(cudaMalloc(&m.d_risk, 32));
    CK(cudaMemcpy(m.d_forecast, m.forecast.data(), 8 * n, cudaMemcpyHostToDevice));
    CK(cudaMemcpy(m.d_factor, m.factor.data(), 4 * (size_t)n * n, cudaMemcpyHostToDevice));
    CK(cudaMemcpy(m.d_weights, m.weights.data(), 4 * n, cudaMemcpyHostToDevice));
    CK(cudaMemset(m.d_pnl, 0xff, 4 * (size_t)m.paths));
    CK(cudaMemset(m.d_head, 0xff, sizeof(*m.d_head)));
    CK(cudaMemset(m.d_risk, 0xff, 32));
}

static void mc_free(mc_case &m)
{
    void *all[] = {m.d_forecast, m.d_factor, m.d_weights, m.d_pnl,
                   m.d_table,    m.d_head,   m.d_risk};

    for (void *p : all)
        CK(cudaFree(p));
}

static uint32_t tail_of(const mc_case &m)
{
    const double k = std::ceil(m.paths * (1.0 - m.confidence) - 8.0 * 2.2e-16 * m.paths);

    return k < 1.0 ? 1u : (uint32_t)k;
}

static uint32_t sm_count = 132;
static uint32_t mc_blocks_per_sm = 3;

static void mc_launch(const mc_case &m, cudaStream_t s)
{
    const uint32_t grid = std::min(sm_count * mc_blocks_per_sm, (m.paths + 63) / 64);
    const uint32_t pass = std::min(sm_count * 2, (m.paths + 4 * THREADS - 1) / (4 * THREADS));

    tribus_mc_prepare<<<(m.assets + 31) / 32, dim3(32, 32), 0, s>>>(
        m.d_forecast, m.d_factor, m.d_weights, m.assets, m.run.keys, m.d_table, m.d_head);
    tribus_mc_simulate<<<grid, THREADS, 32 * m.run.blocks, s>>>(m.run, m.d_table, m.d_head,
                                                               m.d_pnl);
    tribus_mc_select<<<pass, THREADS, 0, s>>>(m.paths, tail_of(m), m.d_head, m.d_pnl);
    tribus_mc_finish<<<pass, THREADS, 0, s>>>(m.paths, tail_of(m), m.d_head, m.d_pnl,
                                              m.d_risk);
    CK(cudaGetLastError());
}

static void mc_check(uint32_t assets, uint32_t paths, double nu, double confidence)
{
    mc_case m;
    char text[256];
    double risk[4], drift = 0.0, l1 = 0.0;

    m.assets = assets;
    m.paths = paths;
    m.nu = nu;
    m.confidence = confidence;
    mc_make(m);
    mc_launch(m, 0);
    CK(cudaDeviceSynchronize());
    std::vector<float> got(paths);
    CK(cudaMemcpy(got.data(), m.d_pnl, 4 * (size_t)paths, cudaMemcpyDeviceToHost));
    CK(cudaMemcpy(risk, m.d_risk, 32, cudaMemcpyDeviceToHost));

    std::vector<float> loading(4 * ((assets + 3) / 4), 0.0f);
    std::vector<double> exact(assets, 0.0);
    for (uint32_t i = 0; i < assets; i++) {
        drift += (double)m.weights[i] * m.forecast[2 * i];
        for (uint32_t j = 0; j <= i; j++)
            exact[j] += (double)m.weights[i] * m.forecast[2 * i + 1] *
                        m.factor[(size_t)i * assets + j];
    }
    for (uint32_t j = 0; j < assets; j++) {
        loading[j] = (float)exact[j];
        l1 += std::fabs(exact[j]);
    }
    double worst = 0.0, sum = 0.0, squares = 0.0, tail = 0.0;
    size_t flips = 0, compared = 0;
    for (uint32_t p = 0; p < paths; p += paths > 200000 ? 17 : 1) {
        const float scale = tribus_mc_scale((float)nu, p, m.run.seed);
        double z = 0.0;

        for (uint32_t b = 0; b < m.run.blocks; b++) {
            const tribus_mc_quad q = tribus_mc_normals(b, p, m.run.seed);

            for (int i = 0; i < 4; i++)
                z += (double)loading[4 * b + i] * q.z[i];
        }
        const double error = std::fabs(drift + scale * z - got[p]) / (scale * l1 + 1e-30);

        compared++;
        if (error > 1e-3)
            flips++; /* another try of the chi-square was taken: a comparison within an ulp */
        else
            worst = std::max(worst, error);
    }
    std::vector<float> sorted = got;
    std::sort(sorted.begin(), sorted.end());
    const uint32_t k = tail_of(m);
    for (uint32_t i = 0; i < paths; i++) {
        sum += got[i];
        tail += i < k ? sorted[i] : 0.0;
    }
    for (uint32_t i = 0; i < paths; i++)
        squares += (got[i] - sum / paths) * (got[i] - sum / paths);
    const double sd = std::sqrt(squares / paths);
    snprintf(text, sizeof(text),
             "mc %u assets %u paths nu %g: worst path error %.2g of |loading|_1, %zu of %zu "
             "tries differ",
             assets, paths, nu, worst, flips, compared);
    must(worst <= 4e-6 && flips <= 2 + compared / 100000, text);
    snprintf(text, sizeof(text),
             "mc %u x %u: VaR %.9g (sorted %.9g) ES %.9g (%.9g) mean %.6g (%.6g) sd %.6g "
             "(%.6g)",
             assets, paths, risk[0], -(double)sorted[k - 1], risk[1], -tail / k, risk[2],
             sum / paths, risk[3], sd);
    must(risk[0] == -(double)sorted[k - 1] && std::fabs(risk[1] + tail / k) < 1e-9 * sd &&
             std::fabs(risk[2] - sum / paths) < 1e-5 * sd &&
             std::fabs(risk[3] - sd) < 1e-6 * sd,
         text);
    mc_free(m);
}

static void mc_bench(uint32_t paths, cudaStream_t s)
{
    mc_case m;
    char name[96];
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaEvent_t unused;
    std::vector<double> wall;

    (void)unused;
    m.assets = 439;
    m.paths = paths;
    m.nu = 5.0;
    m.confidence = 0.99;
    mc_make(m);
    const uint32_t grid = sm_count * 4;
    const double philox = median(timed(s, 20, [&] {
        floor_philox<<<grid, THREADS, 32 * m.run.blocks, s>>>(m.run, m.d_table,
                                                             (uint32_t *)m.d_risk);
    }));
    const double special = median(timed(s, 20, [&] {
        floor_special<<<grid, THREADS, 0, s>>>(m.run, 1.5f, (float *)m.d_risk);
    }));
    const double floor = std::max(philox, special);
    fprintf(stderr, "  floor of %u paths: Philox alone %.1f us, special functions alone %.1f us\n",
            paths, philox / 1e3, special / 1e3);
    for (uint32_t b = 2; b <= 6; b++) {
        mc_blocks_per_sm = b;
        fprintf(stderr, "  simulate with %u blocks a multiprocessor: %.1f us\n", b,
                median(timed(s, 20, [&] {
                    tribus_mc_simulate<<<std::min(sm_count * b, (paths + 63) / 64), THREADS,
                                         32 * m.run.blocks, s>>>(m.run, m.d_table, m.d_head,
                                                                m.d_pnl);
                })) / 1e3);
    }
    mc_blocks_per_sm = 3;
    CK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    mc_launch(m, s);
    CK(cudaStreamEndCapture(s, &graph));
    CK(cudaGraphInstantiate(&exec, graph, 0));
    snprintf(name, sizeof(name), "mc_var_es 439 assets t(5) %u paths, device", paths);
    report(name, timed(s, 200, [&] { CK(cudaGraphLaunch(exec, s)); }), floor);
    for (int i = 0; i < 300; i++) {
        double risk[4];
        const int64_t t = now_ns();

        CK(cudaGraphLaunch(exec, s));
        CK(cudaMemcpyAsync(risk, m.d_risk, 32, cudaMemcpyDeviceToHost, s));
        CK(cudaStreamSynchronize(s));
        if (i >= 20)
            wall.push_back((double)(now_ns() - t));
    }
    snprintf(name, sizeof(name), "mc_var_es 439 assets t(5) %u paths, to the CPU", paths);
    report(name, wall, floor);
    /* Each stage alone, so that the gap to the floor can be placed. */
    const uint32_t pass = std::min(sm_count * 2, (paths + 1023) / 1024);
    fprintf(stderr, "  prepare %.1f us, select %.1f us\n",
            median(timed(s, 20, [&] {
                tribus_mc_prepare<<<(m.assets + 31) / 32, dim3(32, 32), 0, s>>>(
                    m.d_forecast, m.d_factor, m.d_weights, m.assets, m.run.keys, m.d_table,
                    m.d_head);
            })) / 1e3,
            median(timed(s, 20, [&] {
                tribus_mc_select<<<pass, THREADS, 0, s>>>(m.paths, tail_of(m), m.d_head,
                                                          m.d_pnl);
            })) / 1e3);
    CK(cudaGraphExecDestroy(exec));
    CK(cudaGraphDestroy(graph));
    mc_free(m);
}

/* ---- LSTM ---- */

struct lstm_case {
    const char *name;
    uint32_t inputs, units, layers;
    uint32_t blocks;
    bool cluster, half;
    uint32_t input;
    const void *kernel;
};

struct lstm {
    lstm_case c;
    tribus_lstm_run run;
    std::vector<float> w[4], u[4], bias, dense; /* [unit][gate][k] */
    std::vector<double> h[4], cell[4];
    void *d_weights, *d_bias, *d_dense, *d_exchange, *d_trace;
    uint64_t *host; /* words or floats; flag at 2048, result at 4096 */
    uint32_t shared_bytes, step;
    cudaStream_t stream;
};

static uint32_t round_up(uint32_t x, uint32_t to)
{
    return (x + to - 1) / to * to;
}

/* Where number i of a row of k (padded) is packed: see neural_cuda_lstm.cu. */
static uint32_t packed_at(uint32_t i, uint32_t k, bool half)
{
    if (!half)
        return i;
    const uint32_t base = i / 256 * 256, n = std::min(k - base, 256u), in = i - base;
    const uint32_t part = in / (n / 2), lane = in % (n / 2) / 4;

    return base + lane * 8 + part * 4 + in % 4;
}

static void put(std::vector<unsigned char> &to, size_t at, float value, bool half)
{
    if (half) {
        const __half h = __float2half(value);
        memcpy(&to[at * 2], &h, 2);
    } else {
        memcpy(&to[at * 4], &value, 4);
    }
}

static void lstm_make(lstm &m, const lstm_case &c)
{
    const uint32_t size = c.half ? 2 : 4, align = 16 / size;
    uint64_t at = 0, parameters = 0;

    m.c = c;
    m.step = 0;
    memset(&m.run, 0, sizeof(m.run));
    m.run.layers = c.layers;
    m.run.inputs = c.inputs;
    m.run.units = c.units;
    m.run.blocks = c.blocks;
    m.run.units_each = (c.units + c.blocks - 1) / c.blocks;
    m.run.input = c.input;
    m.run.first_step = 1;
    m.run.k_units = round_up(c.units, align);
    m.run.idle_ns = 3000000000u;
    m.run.exchange_row = std::max(c.inputs, c.units);
    const uint32_t rows = m.run.units_each * 4;
    uint32_t bytes = 0;
    for (uint32_t l = 0; l < c.layers; l++) {
        const uint32_t k = l == 0 ? c.inputs : c.units;

        m.run.k[l] = round_up(k, align);
        bytes += rows * m.run.k[l] * size;
        m.w[l].resize((size_t)c.units * 4 * k);
        m.u[l].resize((size_t)c.units * 4 * c.units);
        const double scale = 1.0 / std::sqrt((double)c.units);
        for (auto &x : m.w[l])
            x = (float)(draw() * scale);
        for (auto &x : m.u[l])
            x = (float)(draw() * scale);
        m.h[l].assign(c.units, 0.0);
        m.cell[l].assign(c.units, 0.0);
        parameters += m.w[l].size() + m.u[l].size() + 4 * c.units;
    }
    m.bias.resize((size_t)c.layers * c.units * 4);
    for (auto &x : m.bias)
        x = (float)(0.1 * draw());
    m.dense.resize(c.units + 1);
    for (auto &x : m.dense)
        x = (float)(draw() / std::sqrt((double)c.units));
    parameters += c.units + 1;
    m.run.block_bytes = bytes + (uint64_t)c.layers * rows * m.run.k_units * size;
    /* Shared memory: two vectors, the words of a cluster, input rows, then what fits. */
    const uint32_t x_floats = round_up(std::max(m.run.k[0], m.run.k_units), 8);
    m.shared_bytes = 8 * x_floats + bytes;
    if (c.cluster)
        m.shared_bytes += 16 * (c.layers + 1) * (uint32_t)m.run.exchange_row;
    for (uint32_t l = 0; l < c.layers; l++)
        if (m.shared_bytes + rows * m.run.k_units * size <= 232448) {
            m.shared_bytes += rows * m.run.k_units * size;
            m.run.recurrent_shared |= 1u << l;
        }
    /* Equal sizes, taken in order: the bits are the first layers', as the kernel counts on. */
    std::vector<unsigned char> packed(m.run.block_bytes * c.blocks, 0);
    for (uint32_t b = 0; b < c.blocks; b++) {
        at = (uint64_t)b * m.run.block_bytes / size;
        for (uint32_t part = 0; part < 2 * c.layers; part++) {
            const bool recurrent = part >= c.layers;
            const uint32_t l = part % c.layers, stride = recurrent ? m.run.k_units : m.run.k[l];
            const uint32_t k = recurrent || l > 0 ? c.units : c.inputs;
            const std::vector<float> &from = recurrent ? m.u[l] : m.w[l];

            for (uint32_t r = 0; r < rows; r++, at += stride) {
                const uint32_t unit = b * m.run.units_each + r / 4;

                for (uint32_t i = 0; i < k && unit < c.units; i++)
                    put(packed, at + packed_at(i, stride, c.half),
                        from[((size_t)unit * 4 + r % 4) * k + i], c.half);
            }
        }
    }
    CK(cudaMalloc(&m.d_weights, packed.size()));
    CK(cudaMemcpy(m.d_weights, packed.data(), packed.size(), cudaMemcpyHostToDevice));
    CK(cudaMalloc(&m.d_bias, 4 * m.bias.size()));
    CK(cudaMemcpy(m.d_bias, m.bias.data(), 4 * m.bias.size(), cudaMemcpyHostToDevice));
    CK(cudaMalloc(&m.d_dense, 4 * m.dense.size()));
    CK(cudaMemcpy(m.d_dense, m.dense.data(), 4 * m.dense.size(), cudaMemcpyHostToDevice));
    const size_t words = 2 * (c.layers + 1) * m.run.exchange_row * 8;
    CK(cudaMalloc(&m.d_exchange, words));
    CK(cudaMemset(m.d_exchange, 0, words));
    CK(cudaMalloc(&m.d_trace, 24));
    CK(cudaMemset(m.d_trace, 0, 24));
    m.run.trace = (uint64_t)m.d_trace;
    m.host = (uint64_t *)mmap(NULL, 65536, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(m.host, 0, 65536);
    CK(cudaHostRegister(m.host, 65536, cudaHostRegisterMapped));
    m.run.flag = (uint64_t)(m.host + 2048);
    m.run.weights = (uint64_t)m.d_weights;
    m.run.bias = (uint64_t)m.d_bias;
    m.run.dense = (uint64_t)m.d_dense;
    m.run.exchange = (uint64_t)m.d_exchange;
    m.run.in = (uint64_t)m.host;
    m.run.out = (uint64_t)(m.host + 4096);
    CK(cudaFuncSetAttribute(c.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                            (int)m.shared_bytes));
    if (c.cluster && c.blocks > 8)
        CK(cudaFuncSetAttribute(c.kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    CK(cudaStreamCreateWithFlags(&m.stream, cudaStreamNonBlocking));
    void *args[] = {&m.run};
    if (c.cluster)
        CK(cudaLaunchKernel(c.kernel, dim3(c.blocks), dim3(32 * m.run.units_each), args,
                            m.shared_bytes, m.stream));
    else
        CK(cudaLaunchCooperativeKernel(c.kernel, dim3(c.blocks), dim3(32 * m.run.units_each),
                                       args, m.shared_bytes, m.stream));
    fprintf(stderr, "%s: %llu parameters, %u blocks of %u threads, %u bytes shared, recurrent "
            "in shared 0x%x\n", c.name, (unsigned long long)parameters, c.blocks,
            32 * m.run.units_each, m.shared_bytes, m.run.recurrent_shared);
}

/* One step; NAN when no answer comes in 2 s. */
static float lstm_step(lstm &m, const float *x)
{
    const uint64_t step = ++m.step;

    if (m.c.input != TRIBUS_LSTM_INPUT_WORDS) {
        memcpy(m.host, x, 4 * m.c.inputs);
        __atomic_store_n(&m.host[2048], step, __ATOMIC_RELEASE);
    }
    for (uint32_t i = 0; m.c.input == TRIBUS_LSTM_INPUT_WORDS && i < m.c.inputs; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], 4);
        __atomic_store_n(&m.host[i], step << 32 | bits, __ATOMIC_RELAXED);
    }
    for (uint64_t turns = 0;; turns++) {
        const uint64_t v = __atomic_load_n(&m.host[4096], __ATOMIC_RELAXED);

        if (v >> 32 == step) {
            const uint32_t bits = (uint32_t)v;
            float y;

            memcpy(&y, &bits, 4);
            return y;
        }
        if (turns > 200000000u)
            return NAN;
    }
}

static double lstm_exact(lstm &m, const float *x)
{
    std::vector<double> in(x, x + m.c.inputs);
    double sum = m.dense[m.c.units];

    for (uint32_t l = 0; l < m.c.layers; l++) {
        std::vector<double> next(m.c.units);

        for (uint32_t unit = 0; unit < m.c.units; unit++) {
            double g[4];

            for (int k = 0; k < 4; k++) {
                const size_t row = (size_t)unit * 4 + k;
                const float *w = &m.w[l][row * in.size()], *u = &m.u[l][row * m.c.units];

                g[k] = m.bias[((size_t)l * m.c.units + unit) * 4 + k];
                for (size_t i = 0; i < in.size(); i++)
                    g[k] += w[i] * in[i];
                for (size_t i = 0; i < m.c.units; i++)
                    g[k] += u[i] * m.h[l][i];
            }
            const auto sig = [](double v) { return 1.0 / (1.0 + std::exp(-v)); };
            m.cell[l][unit] = sig(g[1]) * m.cell[l][unit] + sig(g[0]) * std::tanh(g[2]);
            next[unit] = sig(g[3]) * std::tanh(m.cell[l][unit]);
        }
        m.h[l] = next;
        in = next;
    }
    for (uint32_t i = 0; i < m.c.units; i++)
        sum += m.dense[i] * in[i];
    return sum;
}

static void lstm_stop(lstm &m)
{
    int64_t trace[3];

    for (uint32_t i = 0; i < m.c.inputs; i++)
        __atomic_store_n(&m.host[i], (uint64_t)TRIBUS_LSTM_STOP << 32, __ATOMIC_RELAXED);
    __atomic_store_n(&m.host[2048], TRIBUS_LSTM_STOP, __ATOMIC_RELEASE);
    CK(cudaStreamSynchronize(m.stream));
    CK(cudaMemcpy(trace, m.d_trace, sizeof(trace), cudaMemcpyDeviceToHost));
    fprintf(stderr, "  on the card: input to result %.0f cycles, result to ready %.0f, %lld "
            "steps\n", (double)trace[0] / (double)trace[2],
            (double)trace[1] / (double)trace[2], (long long)trace[2]);
    CK(cudaStreamDestroy(m.stream));
    CK(cudaHostUnregister(m.host));
    munmap(m.host, 65536);
    void *all[] = {m.d_weights, m.d_bias, m.d_dense, m.d_exchange, m.d_trace};
    for (void *p : all)
        CK(cudaFree(p));
}

static void lstm_bench(const lstm_case &c, bool timing, double floor_ns)
{
    static lstm m;
    const int checked = c.units > 500 ? 12 : 200;
    double worst = 0.0, largest = 0.0;
    std::vector<double> closed, paced;
    std::vector<float> x(c.inputs);
    char text[160];

    lstm_make(m, c);
    for (int t = 0; t < checked; t++) {
        for (auto &v : x)
            v = (float)draw();
        const double want = lstm_exact(m, x.data());
        const double error = std::fabs(lstm_step(m, x.data()) - want);

        worst = error <= worst ? worst : error; /* NaN sticks */
        largest = std::max(largest, std::fabs(want));
    }
    snprintf(text, sizeof(text), "%s: %d steps, worst error %.2g where results reach %.2g",
             c.name, checked, worst, largest);
    must(worst <= (c.half ? 2e-3 : 5e-6), text);
    const int n = timing ? 20000 : 0;
    for (int t = 0; t < 2 * n; t++) {
        for (auto &v : x)
            v = (float)draw();
        const int64_t begin = now_ns();
        const float y = lstm_step(m, x.data());
        const int64_t took = now_ns() - begin;

        if (std::isnan(y)) {
            must(false, "a step was not answered");
            break;
        }
        if (t < n) {
            closed.push_back((double)took);
        } else {
            paced.push_back((double)took);
            while (now_ns() - begin < took + 20000)
                ;
        }
    }
    lstm_stop(m);
    if (!timing || paced.empty())
        return;
    snprintf(text, sizeof(text), "%s one step, at once", c.name);
    report(text, closed, floor_ns);
    snprintf(text, sizeof(text), "%s one step, every 20 us", c.name);
    report(text, paced, floor_ns);
}

/* CPU -> persistent kernel -> CPU with one word: what no step can be faster than. */
extern "C" __global__ void echo(const uint64_t *in, uint64_t *out, uint32_t n)
{
    for (uint32_t step = 1; step <= n; step++) {
        const uint64_t v = receive_host(in, step, 2000000000u);

        if ((uint32_t)(v >> 32) != step)
            return;
        store_system(out, v);
    }
}

static double echo_floor(void)
{
    static lstm m;
    std::vector<double> ns;
    const uint32_t n = 20000;
    float x = 1.0f;

    m.c.inputs = 1;
    m.c.input = TRIBUS_LSTM_INPUT_WORDS;
    m.step = 0;
    m.host = (uint64_t *)mmap(NULL, 65536, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(m.host, 0, 65536);
    CK(cudaHostRegister(m.host, 65536, cudaHostRegisterMapped));
    CK(cudaStreamCreateWithFlags(&m.stream, cudaStreamNonBlocking));
    echo<<<1, 1, 0, m.stream>>>(m.host, m.host + 4096, n);
    for (uint32_t i = 0; i < n; i++) {
        const int64_t t = now_ns();

        if (std::isnan(lstm_step(m, &x)))
            break;
        ns.push_back((double)(now_ns() - t));
    }
    CK(cudaStreamSynchronize(m.stream));
    CK(cudaStreamDestroy(m.stream));
    CK(cudaHostUnregister(m.host));
    munmap(m.host, 65536);
    report("echo of one word, CPU to kernel to CPU", ns, median(ns));
    return median(ns);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    const bool all = strcmp(what, "all") == 0;
    const bool timing = !(argc > 2 && strcmp(argv[2], "--check") == 0);
    cudaDeviceProp p;
    cudaStream_t s;
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(2, &cpus);
    (void)sched_setaffinity(0, sizeof(cpus), &cpus);
    draw_state = (uint64_t)now_ns() | 1u;
    fprintf(stderr, "seed %llu\n", (unsigned long long)draw_state);
    CK(cudaGetDeviceProperties(&p, 0));
    sm_count = (uint32_t)p.multiProcessorCount;
    fprintf(stderr, "%s, %u multiprocessors\n", p.name, sm_count);
    CK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    if (all || strcmp(what, "mc") == 0) {
        mc_check(439, 20000, 5.0, 0.99);
        mc_check(439, 20000, 0.0, 0.95);
        mc_check(1, 1000, 3.0, 0.5);
        mc_check(7, 131, 0.0, 0.9999);
        mc_check(1000, 3001, 4.0, 0.975);
        if (timing) {
            mc_check(439, 1000000, 5.0, 0.99);
            mc_bench(1000000, s);
            mc_bench(100000, s);
        }
    }
    if (all || strcmp(what, "lstm") == 0) {
        const double floor_ns = timing ? echo_floor() : 1.0;
        const lstm_case cases[] = {
            {"LSTM_A f32 8 blocks words", 100, 100, 2, 8, true, false, TRIBUS_LSTM_INPUT_WORDS,
             (const void *)tribus_lstm_cluster8_f32},
            {"LSTM_A f32 16 blocks words", 100, 100, 2, 16, true, false, TRIBUS_LSTM_INPUT_WORDS,
             (const void *)tribus_lstm_cluster16_f32},
            {"LSTM_B f32 16 blocks pass", 250, 200, 3, 16, true, false, TRIBUS_LSTM_INPUT_PASS,
             (const void *)tribus_lstm_cluster16_f32},
            {"LSTM_B f16 16 blocks pass", 250, 200, 3, 16, true, true, TRIBUS_LSTM_INPUT_PASS,
             (const void *)tribus_lstm_cluster16_f16},
            {"LSTM_B f32 16 blocks words", 250, 200, 3, 16, true, false, TRIBUS_LSTM_INPUT_WORDS,
             (const void *)tribus_lstm_cluster16_f32},
            {"LSTM_B f16 16 blocks words", 250, 200, 3, 16, true, true, TRIBUS_LSTM_INPUT_WORDS,
             (const void *)tribus_lstm_cluster16_f16},
            {"LSTM_C f16 125 blocks pass", 500, 1000, 4, 125, false, true, TRIBUS_LSTM_INPUT_PASS,
             (const void *)tribus_lstm_grid_f16},
            {"LSTM_C f16 125 blocks words", 500, 1000, 4, 125, false, true, TRIBUS_LSTM_INPUT_WORDS,
             (const void *)tribus_lstm_grid_f16},
        };

        for (const lstm_case &c : cases)
            lstm_bench(c, timing, floor_ns);
    }
    fprintf(stderr, "%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
