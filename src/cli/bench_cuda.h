/* bench_cuda.h -- what the files of `tribus bench cuda` share: one card, two streams, rows.
 *
 * bench_cuda.c         rows, the run, options
 * bench_cuda_stream.c  hand-overs between streams and in graphs
 * bench_cuda_queue.c   persistent stages, on one card and between two
 * bench_cuda_mps.c     streams of two processes
 * bench_cuda_lstm.c    one new time step of recurrent models
 * bench_cuda_path.c    the ways round: through the host, through Redis; a kernel; a busy card
 *
 * Threads   one.
 */
#ifndef TRIBUS_CLI_BENCH_CUDA_H
#define TRIBUS_CLI_BENCH_CUDA_H

#include "cli/bench_pair.h"

#include "device/cuda_memory.h"
#include "device/cuda_timeline.h"
#include "device/cuda_timeline_kernels.h"

#define TRIBUS_BENCH_CUDA_WAIT_NS INT64_C(10000000000)
#define TRIBUS_BENCH_CUDA_SAMPLES 4000u
#define TRIBUS_BENCH_CUDA_CHUNK   50u /* hand-overs queued ahead */

typedef struct tribus_bench_cuda {
    tribus_cuda_context *c;
    tribus_cuda_stream other;
    bool json;
    const char *redis_server; /* the program */
    /* Registered host memory: two timelines, then words. */
    unsigned char *page;
    unsigned char *page_data;
    tribus_device_memory card; /* two timelines, then flags, slots and stamps: 4 MiB */
    int card_fd;
    tribus_cuda_timeline t[2]; /* on the card */
    int64_t value;             /* of both timelines */
    tribus_cu_event events[TRIBUS_BENCH_CUDA_CHUNK];
    double memops_ns; /* one way between two streams */
    double echo_ns;   /* CPU, kernel, CPU */
    struct {
        char text[160];
    } goals[32]; /* printed at the end */
    uint32_t goal_count;
    double ns[TRIBUS_BENCH_CUDA_SAMPLES];
} tribus_bench_cuda;

typedef struct tribus_bench_cuda_row {
    const char *kase, *path;
    size_t size_bytes;
    double floor_ns; /* 0: this row is one, or has none */
    tribus_bench_stats stats;
    uint64_t samples;
} tribus_bench_cuda_row;

void tribus_bench_cuda_print(const tribus_bench_cuda *b, const tribus_bench_cuda_row *row);

/* The row of b->ns[0 .. n). Returns its p50. */
double tribus_bench_cuda_report(tribus_bench_cuda *b, const char *kase, const char *path,
                                size_t size_bytes, double floor_ns, uint32_t n);

/* A value of the run against what is to be reached. */
typedef enum tribus_bench_cuda_bound {
    TRIBUS_BENCH_CUDA_AT_MOST,
    TRIBUS_BENCH_CUDA_AT_LEAST
} tribus_bench_cuda_bound;

void tribus_bench_cuda_goal(tribus_bench_cuda *b, const char *what, double value,
                            const char *unit, tribus_bench_cuda_bound bound, double goal);

TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_launch(tribus_cuda_stream *s,
                                                         const char *name, uint32_t blocks,
                                                         uint32_t threads, void *args);

/* Words of host memory that the card writes, 2 * SAMPLES of 8 bytes. */
uint64_t *tribus_bench_cuda_words(const tribus_bench_cuda *b);
uint64_t *tribus_bench_cuda_words_data(const tribus_bench_cuda *b);

/* ---- bench_cuda_stream.c ---- */

TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_memops(tribus_bench_cuda *b);
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_graph(tribus_bench_cuda *b);
/* Tensors of 4 KiB to 1 GiB; the hand-over's p50 by size is what the ways round compare with. */
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_sizes(tribus_bench_cuda *b);

/* ---- bench_cuda_queue.c ---- */

TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_stages(tribus_bench_cuda *b);
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_operations(tribus_bench_cuda *b,
                                                             double seconds);
/* Stages on two cards in turn; says so and does nothing where there is one card. */
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_cards(tribus_bench_cuda *b);

/* ---- bench_cuda_path.c ---- */

TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_copies(tribus_bench_cuda *b,
                                                         const tribus_device_memory *tensor,
                                                         size_t bytes, double bus_ns);
/* Card, host, JSON over Redis pub/sub, host, card. */
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_redis(tribus_bench_cuda *b,
                                                        const tribus_device_memory *tensor,
                                                        size_t bytes, double bus_ns);
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_mc(tribus_bench_cuda *b, double paths,
                                                     uint32_t samples);
/* Two stages that hand over by timelines, for that long: how busy is the card? */
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_busy(tribus_bench_cuda *b,
                                                       double seconds);

/* ---- bench_cuda_lstm.c ---- */

/* LSTM_A, LSTM_B and a GRU, after the stages, whose floor they are compared with. */
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_lstm(tribus_bench_cuda *b);

/* ---- bench_cuda_mps.c ---- */

/* Between two processes, before this one touches the card. */
TRIBUS_MUST_CHECK tribus_status tribus_bench_cuda_mps(tribus_bench_cuda *b);

#endif
