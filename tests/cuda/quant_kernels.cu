/* quant_kernels.cu -- every kernel of src/quant on a card: the bits of the same source on the
 * host, and double arithmetic within the tolerance that its header states. Sizes and inputs are
 * drawn afresh; TRIBUS_SEED repeats a run. tests/system/test_quant_kernels.sh compiles it,
 * tools/cuda_test.sh runs it where there is a card; 77: there is none. */
#include "quant/flow.h"
#include "quant/mc.h"
#include "quant/sweep.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

static unsigned long long state;
static int failures;

static unsigned long long draw()
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return state >> 16;
}

static double between(double low, double high)
{
    return low + (high - low) * (double)(draw() & 0xffffffffu) / 4294967296.0;
}

static void good(cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return;
    fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(e));
    exit(1);
}

/* Memory that both sides read; poisoned before a kernel writes it. */
template <typename T> static T *shared_of(size_t n)
{
    T *at = nullptr;

    good(cudaMallocManaged(&at, n * sizeof(T)), "allocate");
    memset(at, 0xa5, n * sizeof(T));
    return at;
}

static void judge(const char *what, unsigned n, unsigned different, double worst, double most)
{
    const bool right = different == 0 && worst <= most;

    printf("%-12s %7u values, %u differ from the host in a bit, error against double %.2g of "
           "%.2g allowed%s\n",
           what, n, different, worst, most, right ? "" : "  WRONG");
    failures += !right;
}

__global__ void run_philox(const uint32_t *in, uint32_t *out, unsigned n)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= n)
        return;
    const tribus_philox_block c = {{in[6 * i], in[6 * i + 1], in[6 * i + 2], in[6 * i + 3]}};
    const tribus_philox_block r = tribus_philox(c, in[6 * i + 4], in[6 * i + 5]);

    for (int k = 0; k < 4; k++)
        out[4 * i + k] = r.v[k];
}

__global__ void run_normals(uint32_t *bits, float *out, unsigned n)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= n)
        return;
    const tribus_normal_pair z = tribus_box_muller(bits[2 * i], bits[2 * i + 1]);

    out[2 * i] = z.z0;
    out[2 * i + 1] = z.z1;
}

__global__ void run_paths(const float *loading, unsigned assets, float drift, float nu,
                          uint64_t first, uint64_t seed, float *out, unsigned n)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        out[i] = tribus_mc_path(loading, assets, drift, nu, first + i, seed);
}

/* Per item: share, imbalance, micro-price offset, order-flow imbalance, VPIN. */
__global__ void run_flow(const float *book, const float *move, unsigned levels,
                         unsigned buckets, float bucket, float *out, unsigned n)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    const float *mine = &book[(size_t)i * 4u * levels];

    if (i + 1u >= n)
        return;
    out[5 * i] = tribus_flow_buy_share(move[2 * i], move[2 * i + 1]);
    out[5 * i + 1] = tribus_flow_imbalance(mine, levels);
    out[5 * i + 2] = tribus_flow_micro_offset(mine);
    out[5 * i + 3] = tribus_flow_ofi(mine, mine + 4u * levels);
    out[5 * i + 4] = tribus_flow_vpin(move, move + n, i < buckets ? i : buckets, bucket);
}

__global__ void run_sweep(const float *open, const float *close, const float *average,
                          unsigned rows, float cost, tribus_sweep_result *out, unsigned n)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        out[i] = tribus_sweep_pair(open, close, average + (size_t)i * rows,
                                   average + (size_t)(i + 1u) * rows, i + 1u, rows, cost);
}

static unsigned grid(unsigned n)
{
    return (n + 127u) / 128u;
}

static void finish(const char *what)
{
    good(cudaGetLastError(), what);
    good(cudaDeviceSynchronize(), what);
}

/* Box and Muller in double, of the same uniform number. */
static double normal_of(uint32_t x, uint32_t v, int second)
{
    const double u = tribus_uniform(x);
    const double a = (double)v * 2.0 * 3.14159265358979323846 / 4294967296.0;

    return std::sqrt(-2.0 * std::log(u)) * (second ? std::sin(a) : std::cos(a));
}

static void random_numbers()
{
    const unsigned n = 1000u + (unsigned)(draw() % 30000u);
    uint32_t *in = shared_of<uint32_t>(6 * n), *out = shared_of<uint32_t>(4 * n);
    float *z = shared_of<float>(4 * n);
    unsigned different = 0;
    double worst = 0.0;

    for (unsigned i = 0; i < 6 * n; i++)
        in[i] = (uint32_t)draw();
    run_philox<<<grid(n), 128>>>(in, out, n);
    run_normals<<<grid(2 * n), 128>>>(out, z, 2 * n);
    finish("random numbers");
    for (unsigned i = 0; i < n; i++) {
        const tribus_philox_block c = {
            {in[6 * i], in[6 * i + 1], in[6 * i + 2], in[6 * i + 3]}};
        const tribus_philox_block r = tribus_philox(c, in[6 * i + 4], in[6 * i + 5]);

        different += memcmp(r.v, &out[4 * i], sizeof(r.v)) != 0;
    }
    judge("philox", n, different, 0.0, 0.0);
    different = 0;
    for (unsigned i = 0; i < 2 * n; i++) {
        const uint32_t x = out[2 * i], v = out[2 * i + 1];
        const tribus_normal_pair p = tribus_box_muller(x, v);
        const double a = normal_of(x, v, 0), b = normal_of(x, v, 1);

        different += p.z0 != z[2 * i] || p.z1 != z[2 * i + 1];
        worst = std::fmax(worst, std::fabs(z[2 * i] - a) / std::hypot(a, b));
        worst = std::fmax(worst, std::fabs(z[2 * i + 1] - b) / std::hypot(a, b));
    }
    judge("normals", 4 * n, different, worst, 5e-7); /* of the radius */
    cudaFree(in);
    cudaFree(out);
    cudaFree(z);
}

static void monte_carlo()
{
    const unsigned n = 500u + (unsigned)(draw() % 4000u);
    const unsigned assets = 1u + (unsigned)(draw() % 439u), padded = (assets + 3u) / 4u * 4u;
    const float drift = (float)between(-0.01, 0.01);
    const float nu = draw() % 2u ? (float)between(2.5, 30.0) : 0.0f;
    const uint64_t first = 0xffffffffull - draw() % n, seed = draw();
    float *loading = shared_of<float>(padded), *out = shared_of<float>(n);
    unsigned different = 0;
    double worst = 0.0, size = 0.0;

    for (unsigned i = 0; i < padded; i++) {
        loading[i] = i < assets ? (float)between(-0.02, 0.02) : 0.0f;
        size += std::fabs(loading[i]);
    }
    run_paths<<<grid(n), 128>>>(loading, assets, drift, nu, first, seed, out, n);
    finish("paths");
    for (unsigned p = 0; p < n; p++) {
        const double scale = tribus_mc_scale(nu, first + p, seed);
        double sum = 0.0;

        for (unsigned b = 0; b < padded / 4u; b++) {
            const tribus_philox_block c = {
                {b, (uint32_t)(first + p), (uint32_t)((first + p) >> 32), TRIBUS_MC_Z}};
            const tribus_philox_block r =
                tribus_philox(c, (uint32_t)seed, (uint32_t)(seed >> 32));

            for (unsigned k = 0; k < 4u; k++)
                sum += loading[4 * b + k] * normal_of(r.v[k & 2u], r.v[(k & 2u) + 1u], k & 1u);
        }
        different += out[p] != tribus_mc_path(loading, assets, drift, nu, first + p, seed);
        worst = std::fmax(worst, std::fabs(out[p] - (drift + scale * sum)) /
                                     (std::fabs(drift) + scale * size));
    }
    judge("paths", n, different, worst, 1e-6);
    cudaFree(loading);
    cudaFree(out);
}

static void order_flow()
{
    const unsigned n = 200u + (unsigned)(draw() % 3000u), levels = 1u + (unsigned)(draw() % 10u);
    const unsigned buckets = n < 1000u ? n : 1000u;
    float *book = shared_of<float>((size_t)4 * levels * n), *move = shared_of<float>(2 * n);
    float *out = shared_of<float>(5 * n);
    const float bucket = (float)between(1.0, 4.0);
    unsigned different = 0;
    double worst = 0.0;

    for (unsigned i = 0; i < n * levels; i++) {
        book[4 * i] = (float)between(100.0, 101.0);
        book[4 * i + 1] = (float)between(0.0, 500.0);
        book[4 * i + 2] = (float)between(99.0, 100.0);
        book[4 * i + 3] = (float)between(0.0, 500.0);
    }
    for (unsigned i = 0; i < 2 * n; i++)
        move[i] = (float)between(0.01, 1.0);
    run_flow<<<grid(n), 128>>>(book, move, levels, buckets, bucket, out, n);
    finish("order flow");
    for (unsigned i = 0; i + 1 < n; i++) {
        const float *b = &book[(size_t)4 * levels * i], *c = b + 4 * levels;
        const unsigned m = i < buckets ? i : buckets;
        double bids = 0.0, asks = 0.0, vpin = 0.0, want[5];
        float host[5];

        for (unsigned k = 0; k < levels; k++) {
            asks += b[4 * k + 1];
            bids += b[4 * k + 3];
        }
        for (unsigned k = 0; k < m; k++)
            vpin += std::fabs((double)move[k] - move[n + k]);
        want[0] = 0.5 * std::erfc(-((double)move[2 * i] / move[2 * i + 1]) / std::sqrt(2.0));
        want[1] = (bids - asks) / (bids + asks);
        want[2] = 0.5 * ((double)b[0] - b[2]) * ((double)b[3] - b[1]) / ((double)b[3] + b[1]);
        want[3] = (c[2] >= b[2] ? (double)c[3] : 0.0) - (c[2] <= b[2] ? (double)b[3] : 0.0) -
                  (c[0] <= b[0] ? (double)c[1] : 0.0) + (c[0] >= b[0] ? (double)b[1] : 0.0);
        want[4] = m == 0u ? 0.0 : vpin / (m * (double)bucket);
        host[0] = tribus_flow_buy_share(move[2 * i], move[2 * i + 1]);
        host[1] = tribus_flow_imbalance(b, levels);
        host[2] = tribus_flow_micro_offset(b);
        host[3] = tribus_flow_ofi(b, c);
        host[4] = tribus_flow_vpin(move, move + n, m, bucket);
        for (int k = 0; k < 5; k++) {
            const double unit = k == 3 ? 1000.0 : 1.0; /* of the sizes that are added */

            different += host[k] != out[5 * i + k];
            worst = std::fmax(worst, std::fabs(out[5 * i + k] - want[k]) / unit);
        }
    }
    judge("order flow", 5 * (n - 1), different, worst, 1e-6);
    cudaFree(book);
    cudaFree(move);
    cudaFree(out);
}

static void sweep()
{
    const unsigned n = 5u + (unsigned)(draw() % 60u), rows = n + 50u + (unsigned)(draw() % 900u);
    const float cost = (float)between(0.0, 0.002);
    float *open = shared_of<float>(rows), *close = shared_of<float>(rows);
    float *average = shared_of<float>((size_t)(n + 1) * rows);
    tribus_sweep_result *out = shared_of<tribus_sweep_result>(n);
    unsigned different = 0;
    double worst = 0.0;

    for (unsigned t = 0; t < rows; t++) {
        open[t] = (float)((t == 0 ? 100.0 : close[t - 1]) * between(0.998, 1.002));
        close[t] = (float)(open[t] * between(0.99, 1.0101));
    }
    for (unsigned p = 0; p <= n; p++) {
        double sum = 0.0;

        for (unsigned t = 0; t < rows; t++) {
            sum += close[t] - (t > p ? (double)close[t - p - 1] : 0.0);
            average[(size_t)p * rows + t] = (float)(sum / (p + 1));
        }
    }
    run_sweep<<<grid(n), 128>>>(open, close, average, rows, cost, out, n);
    finish("sweep");
    for (unsigned i = 0; i < n; i++) {
        const float *fast = average + (size_t)i * rows, *slow = fast + rows;
        const tribus_sweep_result host =
            tribus_sweep_pair(open, close, fast, slow, i + 1u, rows, cost);
        double cash = 0.0, value = 0.0, last = 0.0, traded = 0.0;
        bool held = false, want = false;

        for (unsigned t = i + 1u; t < rows; t++) {
            const double d = (double)fast[t] - slow[t];

            if (want != held) {
                cash += held ? open[t] * (1.0 - cost) : -open[t] * (1.0 + cost);
                traded += open[t];
                held = want;
            }
            value = cash + (held ? close[t] : 0.0);
            want = d > 0.0 && last < 0.0 ? true : d < 0.0 && last > 0.0 ? false : want;
            last = d != 0.0 ? d : last;
        }
        different += memcmp(&host, &out[i], sizeof(host)) != 0;
        worst = std::fmax(worst, std::fabs(out[i].profit - value) / (traded + close[rows - 1]));
    }
    judge("sweep", n, different, worst, 1e-5);
    cudaFree(open);
    cudaFree(close);
    cudaFree(average);
    cudaFree(out);
}

int main()
{
    const char *given = getenv("TRIBUS_SEED");
    int cards = 0;

    if (cudaGetDeviceCount(&cards) != cudaSuccess || cards == 0) {
        printf("skip: there is no NVIDIA card\n");
        return 77;
    }
    state = given != nullptr ? strtoull(given, nullptr, 10) : (unsigned long long)time(nullptr);
    printf("TRIBUS_SEED=%llu\n", state);
    for (int round = 0; round < 20; round++) {
        random_numbers();
        monte_carlo();
        order_flow();
        sweep();
    }
    printf(failures == 0 ? "every kernel agrees\n" : "%d comparisons failed\n", failures);
    return failures == 0 ? 0 : 1;
}
