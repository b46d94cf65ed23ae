/* cuda_bench.cuh -- what the parts of cuda_neural_bench.cu share: checked calls, times by events,
 * JSON lines, random numbers. Included once, by that file. */
#ifndef TRIBUS_TOOLS_CUDA_BENCH_CUH
#define TRIBUS_TOOLS_CUDA_BENCH_CUH

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

#endif
