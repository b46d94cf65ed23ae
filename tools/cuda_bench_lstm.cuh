/* cuda_bench_lstm.cuh -- one new time step of an LSTM, from the CPU to the card and back: checked
 * against double arithmetic, then timed beside the echo of one word. */
#ifndef TRIBUS_TOOLS_CUDA_BENCH_LSTM_CUH
#define TRIBUS_TOOLS_CUDA_BENCH_LSTM_CUH

#include "../src/neural/neural_cuda_lstm.cu"
#include "cuda_bench.cuh"

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
    m.run.outputs = 1;
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

#endif
