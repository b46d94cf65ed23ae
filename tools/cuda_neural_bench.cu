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
#include "cuda_bench_mc.cuh"
#include "cuda_bench_lstm.cuh"

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
