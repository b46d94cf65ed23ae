/* bench_cuda_stream.c -- hand-overs between streams by timelines, and along edges of graphs. */
#include "cli/bench_cuda.h"

#include "base/clock.h"
#include "base/error.h"

#include <unistd.h>

static tribus_status both_done(tribus_bench_cuda *b)
{
    tribus_status st = tribus_cuda_stream_wait(&b->c->main, TRIBUS_BENCH_CUDA_WAIT_NS);

    return st == TRIBUS_OK ? tribus_cuda_stream_wait(&b->other, TRIBUS_BENCH_CUDA_WAIT_NS)
                           : st;
}

/* One way between two streams that do nothing else: the mean of a chunk is one sample. */
tribus_status tribus_bench_cuda_memops(tribus_bench_cuda *b)
{
    const uint32_t chunks = TRIBUS_BENCH_CUDA_SAMPLES / TRIBUS_BENCH_CUDA_CHUNK;
    tribus_status st = TRIBUS_OK;

    for (uint32_t k = 0; st == TRIBUS_OK && k < chunks + 2; k++) {
        int64_t start_ns;

        /* Gate the first stream, so that all is queued before anything runs. */
        st = tribus_cuda_timeline_wait(&b->c->main, &b->t[0], b->value + 1,
                                       TRIBUS_BENCH_CUDA_WAIT_NS);
        for (int64_t i = b->value + 1;
             st == TRIBUS_OK && i <= b->value + TRIBUS_BENCH_CUDA_CHUNK; i++) {
            st = tribus_cuda_timeline_advance(&b->c->main, &b->t[1], i);
            if (st == TRIBUS_OK)
                st = tribus_cuda_timeline_wait(&b->other, &b->t[1], i,
                                               TRIBUS_BENCH_CUDA_WAIT_NS);
            if (st == TRIBUS_OK)
                st = tribus_cuda_timeline_advance(&b->other, &b->t[0], i + 1);
            if (st == TRIBUS_OK)
                st = tribus_cuda_timeline_wait(&b->c->main, &b->t[0], i + 1,
                                               TRIBUS_BENCH_CUDA_WAIT_NS);
        }
        start_ns = tribus_now_ns();
        if (st == TRIBUS_OK)
            st = tribus_cuda_timeline_advance(&b->c->rescue, &b->t[0], b->value + 1);
        if (st == TRIBUS_OK)
            st = both_done(b);
        b->value += TRIBUS_BENCH_CUDA_CHUNK + 1;
        if (k >= 2)
            b->ns[k - 2] = (double)(tribus_now_ns() - start_ns) /
                           (2.0 * TRIBUS_BENCH_CUDA_CHUNK + 1.0);
    }
    if (st == TRIBUS_OK)
        b->memops_ns = tribus_bench_cuda_report(b, "memops", "floor", 0, 0.0, chunks);
    return st;
}

static uint64_t *stamps(const tribus_bench_cuda *b)
{
    return (uint64_t *)(void *)((unsigned char *)b->card.data + (2u << 20));
}

/* Stamps are written into memory of the card, so that no kernel ends with a write across the
 * bus; the pairs of `n` hand-overs come back as differences. */
static tribus_status take_stamps(tribus_bench_cuda *b, uint32_t first, uint32_t n)
{
    tribus_status st = tribus_cuda_context_check(
        b->c,
        b->c->cu->memcpy_dtoh_async(tribus_bench_cuda_words(b),
                                    (tribus_cu_ptr)(uintptr_t)stamps(b),
                                    2 * n * sizeof(uint64_t), b->c->main.stream),
        "copy stamps");

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, TRIBUS_BENCH_CUDA_WAIT_NS);
    for (uint32_t i = 0; i < n; i++)
        b->ns[first + i] = (double)(int64_t)(tribus_bench_cuda_words(b)[2 * i + 1] -
                                             tribus_bench_cuda_words(b)[2 * i]);
    return st;
}

/* How the end of one stream's kernel starts another's. */
typedef enum how {
    BY_STREAM,  /* the stream writes the value, the other stream waits for it */
    BY_KERNEL,  /* the kernel stores the value itself, the other stream waits for it */
    BY_POLLING, /* the same, and the other's kernel is there already and polls */
    BY_EVENT,   /* an event of the driver: one process only, for comparison */
    HOWS
} how;

static const char *const how_names[HOWS] = {"stream write", "kernel store", "polling",
                                            "event"};

static tribus_status consume(tribus_bench_cuda *b, how by, uint32_t i)
{
    tribus_cuda_probe_args args = {.bad = stamps(b) + 2 * i + 1,
                                   .memory = (unsigned char *)b->card.data +
                                             TRIBUS_CUDA_TIMELINE_VALUE,
                                   .words = (uint64_t)b->value};
    tribus_status st = TRIBUS_OK;

    if (by == BY_POLLING)
        return tribus_bench_cuda_launch(&b->other, "tribus_cuda_probe_wait_stamp", 1, 1,
                                        &args);
    if (by == BY_EVENT)
        st = tribus_cuda_context_check(
            b->c, b->c->cu->stream_wait_event(b->other.stream, b->events[i], 0), "event");
    else
        st = tribus_cuda_timeline_wait(&b->other, &b->t[0], b->value,
                                       TRIBUS_BENCH_CUDA_WAIT_NS);
    args.memory = NULL;
    return st == TRIBUS_OK
               ? tribus_bench_cuda_launch(&b->other, "tribus_cuda_probe_stamp", 1, 1, &args)
               : st;
}

static const size_t sizes[] = {4096,      65536,      1u << 20, 16u << 20,
                               64u << 20, 256u << 20, 1u << 30};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* What is handed over, and how. */
typedef struct shape {
    const tribus_device_memory *tensor;
    size_t bytes;
    how by;
    const char *kernel; /* that writes it */
    uint64_t wait_ns;   /* between the tensor and the end of its stage */
} shape;

/* A kernel fills the tensor, a stamp ends it; the other stream starts with a stamp. */
static tribus_status hand_over(tribus_bench_cuda *b, const shape *s, uint32_t i)
{
    tribus_cuda_probe_args spin = {.words = s->wait_ns};
    tribus_cuda_probe_args fill = {
        .memory = s->tensor->data, .words = s->bytes / 4, .seed = i};
    tribus_cuda_probe_args end = {.bad = stamps(b) + 2 * i};
    tribus_status st = tribus_bench_cuda_launch(
        &b->c->main, s->kernel, s->bytes > 1u << 20 ? 1056 : 32, 256, &fill);

    if (st == TRIBUS_OK && s->wait_ns > 0)
        st = tribus_bench_cuda_launch(&b->c->main, "tribus_cuda_probe_spin", 1, 1, &spin);
    b->value++;
    if (s->by == BY_KERNEL || s->by == BY_POLLING) {
        end.memory = (unsigned char *)b->card.data + TRIBUS_CUDA_TIMELINE_VALUE;
        end.words = (uint64_t)b->value;
    }
    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_launch(&b->c->main, "tribus_cuda_probe_stamp", 1, 1, &end);
    if (st == TRIBUS_OK && s->by == BY_EVENT)
        st = tribus_cuda_context_check(
            b->c, b->c->cu->event_record(b->events[i], b->c->main.stream), "event");
    if (st == TRIBUS_OK && s->by == BY_STREAM)
        st = tribus_cuda_timeline_advance(&b->c->main, &b->t[0], b->value);
    if (st == TRIBUS_OK)
        st = consume(b, s->by, i);
    /* One under way: the next does not begin before this one has arrived. */
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_advance(&b->other, &b->t[1], b->value);
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_wait(&b->c->main, &b->t[1], b->value,
                                       TRIBUS_BENCH_CUDA_WAIT_NS);
    return st;
}

static tribus_status bench_timeline(tribus_bench_cuda *b, const shape *s, const char *kase,
                                    double *p50_ns)
{
    const uint32_t samples = s->bytes > (size_t)16 << 20 || s->wait_ns > 0 ? 200 : 2000;
    tribus_status st = TRIBUS_OK;

    for (uint32_t done = 0; st == TRIBUS_OK && done < samples;
         done += TRIBUS_BENCH_CUDA_CHUNK) {
        /* A gate, so that all is queued before anything runs: else the CPU is measured. */
        const int64_t gate = ++b->value;

        st = tribus_cuda_timeline_wait(&b->c->main, &b->t[1], gate,
                                       TRIBUS_BENCH_CUDA_WAIT_NS);
        for (uint32_t i = 0; st == TRIBUS_OK && i < TRIBUS_BENCH_CUDA_CHUNK; i++)
            st = hand_over(b, s, i);
        if (st == TRIBUS_OK)
            st = tribus_cuda_timeline_advance(&b->c->rescue, &b->t[1], gate);
        if (st == TRIBUS_OK)
            st = both_done(b);
        if (st == TRIBUS_OK)
            st = take_stamps(b, done, TRIBUS_BENCH_CUDA_CHUNK);
    }
    if (st == TRIBUS_OK)
        *p50_ns = tribus_bench_cuda_report(b, kase, how_names[s->by], s->bytes,
                                           b->memops_ns, samples);
    return st;
}

tribus_status tribus_bench_cuda_graph(tribus_bench_cuda *b)
{
    const tribus_cuda_driver *cu = b->c->cu;
    const uint32_t launches = 40;
    tribus_cu_graph graph = NULL;
    tribus_cu_graph_exec exec = NULL;
    tribus_cu_result result =
        cu->stream_begin_capture(b->c->main.stream, TRIBUS_CU_CAPTURE_THREAD_LOCAL);
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 0;
         result == TRIBUS_CU_OK && st == TRIBUS_OK && i < 2 * TRIBUS_BENCH_CUDA_CHUNK;
         i++) {
        tribus_cuda_probe_args args = {.bad = stamps(b) + i};
        void *params[] = {&args};
        tribus_cu_function function;

        st = tribus_cuda_context_function(b->c, "tribus_cuda_probe_stamp", &function);
        if (st == TRIBUS_OK)
            result = cu->launch_kernel(function, 1, 1, 1, 1, 1, 1, 0, b->c->main.stream,
                                       params, NULL);
    }
    if (result == TRIBUS_CU_OK)
        result = cu->stream_end_capture(b->c->main.stream, &graph);
    if (result == TRIBUS_CU_OK && st == TRIBUS_OK)
        result = cu->graph_instantiate(&exec, graph, 0);
    for (uint32_t k = 0; result == TRIBUS_CU_OK && st == TRIBUS_OK && k < launches; k++) {
        result = cu->graph_launch(exec, b->c->main.stream);
        if (result == TRIBUS_CU_OK)
            st = take_stamps(b, k * TRIBUS_BENCH_CUDA_CHUNK, TRIBUS_BENCH_CUDA_CHUNK);
    }
    if (exec != NULL)
        (void)cu->graph_exec_destroy(exec);
    if (graph != NULL)
        (void)cu->graph_destroy(graph);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(b->c, result, "graph");
    if (st == TRIBUS_OK)
        tribus_bench_cuda_goal(
            b, "graph edge, p50",
            tribus_bench_cuda_report(b, "graph", "edge", 0, 0.0,
                                     launches * TRIBUS_BENCH_CUDA_CHUNK) /
                1e3,
            "us", TRIBUS_BENCH_CUDA_AT_MOST, 1.5);
    return st;
}

/* By size, the tensor written by `kernel`; the p50s go to p50_ns. */
static tribus_status by_size(tribus_bench_cuda *b, shape *s, const char *kase,
                             double *p50_ns)
{
    tribus_status st = TRIBUS_OK;

    for (size_t i = 0; st == TRIBUS_OK && i < SIZES; i++) {
        s->bytes = sizes[i];
        st = bench_timeline(b, s, kase, &p50_ns[i]);
    }
    return st;
}

/* What makes large ones slower: stores that leave the cache early; one word of each 2 MiB, so
 * that only addresses are many; 300 us in which nothing is written; the other ways. */
static tribus_status why_size_matters(tribus_bench_cuda *b, shape *s)
{
    static const size_t some[] = {4096, 64u << 20, 1u << 30};
    double p50;
    tribus_status st = TRIBUS_OK;

    for (size_t i = 0; st == TRIBUS_OK && i < 3; i++) {
        shape x = *s;

        x.bytes = some[i];
        x.kernel = "tribus_cuda_probe_fill_streaming";
        st = bench_timeline(b, &x, "streaming", &p50);
        x.kernel = "tribus_cuda_probe_touch";
        if (st == TRIBUS_OK)
            st = bench_timeline(b, &x, "touch", &p50);
        x.kernel = s->kernel;
        x.wait_ns = 300000;
        if (st == TRIBUS_OK)
            st = bench_timeline(b, &x, "after-wait", &p50);
        x.wait_ns = 0;
        for (int by = BY_KERNEL; st == TRIBUS_OK && by < HOWS && i > 0; by++) {
            x.by = (how)by;
            st = bench_timeline(b, &x, "timeline", &p50);
        }
    }
    return st;
}

/* The four ways at 4 KiB, then the stream's by size. */
tribus_status tribus_bench_cuda_sizes(tribus_bench_cuda *b)
{
    tribus_device_memory tensor = {0};
    shape s = {.tensor = &tensor, .kernel = "tribus_cuda_probe_fill"};
    double p50[SIZES] = {0.0}, least = 0.0, most = 0.0;
    int fd = -1;
    tribus_status st = tribus_cuda_memory_create(b->c, (size_t)1 << 30, &fd, &tensor);

    for (int by = BY_KERNEL; st == TRIBUS_OK && by < HOWS; by++) {
        s.bytes = sizes[0];
        s.by = (how)by;
        st = bench_timeline(b, &s, "timeline", &p50[0]);
    }
    s.by = BY_STREAM;
    if (st == TRIBUS_OK)
        st = by_size(b, &s, "timeline", p50);
    for (size_t i = 0; i < SIZES; i++) {
        least = i == 0 || p50[i] < least ? p50[i] : least;
        most = p50[i] > most ? p50[i] : most;
    }
    if (st == TRIBUS_OK) {
        tribus_bench_cuda_goal(b, "kernel end to kernel start, p50", p50[0] / 1e3, "us",
                               TRIBUS_BENCH_CUDA_AT_MOST, 4.0);
        tribus_bench_cuda_goal(b, "4 KiB to 1 GiB, slowest over fastest", most / least, "x",
                               TRIBUS_BENCH_CUDA_AT_MOST, 1.2);
        st = why_size_matters(b, &s);
    }
    for (size_t i = 0; st == TRIBUS_OK && i < SIZES; i += 2)
        st = tribus_bench_cuda_copies(b, &tensor, sizes[i], p50[i]);
    for (size_t i = 0; st == TRIBUS_OK && i < 3 && b->redis_server != NULL; i += 2)
        st = tribus_bench_cuda_redis(b, &tensor, sizes[i], p50[i]);
    if (tensor.data != NULL)
        tribus_cuda_memory_close(b->c, &tensor);
    if (fd >= 0)
        (void)close(fd);
    return st;
}
