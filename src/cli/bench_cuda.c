/* bench_cuda.c -- `tribus bench cuda`: what handing over costs on an NVIDIA card, next to the
 * floors of the same card in the same run.
 *
 *   memops       two streams that answer each other by write-value and wait-value  (floor)
 *   timeline     end of a kernel on one stream to the start of one on another, by the card's
 *                clock, with a tensor of size_bytes written by the first
 *   after-wait   the same when the other stream has waited for 300 us before: a card takes
 *                longer to come back to a stream that it has put aside
 *   graph        the same as an edge of a CUDA graph
 *   flags        two blocks of one thread and a flag each way  (floor)
 *   persistent   one more stage in a chain of persistent stages
 *   echo         CPU, one thread of a kernel, CPU, a flag each way  (floor)
 *   cpu-stage    CPU, a persistent stage, CPU, through two rings
 *   operations   256 floats scaled by a persistent stage, as many as it takes
 *   copies       the tensor to the host and back again, as without shared memory
 *   mc_var_es    439 assets, Student-t(5): one run, launch to result in host memory
 */
#include "cli/bench_pair.h"
#include "cli/commands.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "device/cuda_memory.h"
#include "device/cuda_queue.h"
#include "device/cuda_timeline.h"
#include "device/cuda_timeline_kernels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WAIT_NS INT64_C(10000000000)
#define SAMPLES 4000u
#define CHUNK   50u /* hand-overs queued ahead */
#define CELLS   1024u
#define ASSETS  439u

typedef struct bench {
    tribus_cuda_context *c;
    tribus_cuda_stream other;
    bool json;
    /* Registered host memory: two timelines, then words. */
    unsigned char *page;
    unsigned char *page_data;
    tribus_device_memory card; /* two timelines, then flags */
    int card_fd;
    tribus_cuda_timeline t[2]; /* on the card */
    int64_t value;             /* of both timelines */
    tribus_cu_event events[CHUNK];
    double memops_ns; /* one way between two streams */
    double ns[SAMPLES];
} bench;

#define PAGE_BYTES (256u + 2u * SAMPLES * 8u)

static uint64_t *words(const bench *b)
{
    return (uint64_t *)(void *)(b->page + 256);
}

static uint64_t *words_data(const bench *b)
{
    return (uint64_t *)(void *)(b->page_data + 256);
}

static uint64_t *stamps(const bench *b)
{
    return (uint64_t *)(void *)((unsigned char *)b->card.data + (2u << 20));
}

/* ---- printing ---- */

static void print_head(const bench *b)
{
    if (!b->json)
        printf("%-12s %-14s %12s %11s %11s %11s %13s %10s %8s\n", "case", "path", "bytes",
               "p50 ns", "p99 ns", "p99.9 ns", "per second", "floor ns", "x floor");
}

typedef struct row {
    const char *kase, *path;
    size_t size_bytes;
    double floor_ns; /* 0: this row is one, or has none */
    tribus_bench_stats stats;
    uint64_t samples;
} row;

static void print_row(const bench *b, const row *r)
{
    const tribus_bench_stats *s = &r->stats;

    if (b->json)
        printf("{\"bench\":\"cuda\",\"case\":\"%s\",\"path\":\"%s\",\"size_bytes\":%zu,"
               "\"touched\":%s,\"p50_ns\":%.1f,\"p99_ns\":%.1f,\"p999_ns\":%.1f,"
               "\"rate_per_s\":%.0f,\"floor_p50_ns\":%.1f,\"samples\":%" PRIu64 "}\n",
               r->kase, r->path, r->size_bytes, r->size_bytes > 0 ? "true" : "false",
               s->p50_ns, s->p99_ns, s->p999_ns, s->rate_per_s, r->floor_ns, r->samples);
    else
        printf("%-12s %-14s %12zu %11.1f %11.1f %11.1f %13.0f %10.1f %8.2f\n", r->kase,
               r->path, r->size_bytes, s->p50_ns, s->p99_ns, s->p999_ns, s->rate_per_s,
               r->floor_ns, r->floor_ns > 0.0 ? s->p50_ns / r->floor_ns : 0.0);
    (void)fflush(stdout);
}

static double report(bench *b, const char *kase, const char *path, size_t size_bytes,
                     double floor_ns, uint32_t n)
{
    row r = {.kase = kase, .path = path, .size_bytes = size_bytes, .floor_ns = floor_ns};

    tribus_bench_pair_stats(b->ns, n, &r.stats);
    r.samples = n;
    print_row(b, &r);
    return r.stats.p50_ns;
}

static tribus_status launch(tribus_cuda_stream *s, const char *name, uint32_t blocks,
                            uint32_t threads, void *args)
{
    void *params[] = {args};
    tribus_cu_function function;
    tribus_status st = tribus_cuda_context_function(s->context, name, &function);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(s, function, (tribus_cuda_grid){blocks, threads, 0},
                                       params);
    return st;
}

/* ---- streams ---- */

static tribus_status both_done(bench *b)
{
    tribus_status st = tribus_cuda_stream_wait(&b->c->main, WAIT_NS);

    return st == TRIBUS_OK ? tribus_cuda_stream_wait(&b->other, WAIT_NS) : st;
}

/* One way between two streams that do nothing else: the mean of a chunk is one sample. */
static tribus_status bench_memops(bench *b)
{
    const uint32_t chunks = SAMPLES / CHUNK;
    tribus_status st = TRIBUS_OK;

    for (uint32_t k = 0; st == TRIBUS_OK && k < chunks + 2; k++) {
        int64_t start_ns;

        /* Gate the first stream, so that all is queued before anything runs. */
        st = tribus_cuda_timeline_wait(&b->c->main, &b->t[0], b->value + 1, WAIT_NS);
        for (int64_t i = b->value + 1; st == TRIBUS_OK && i <= b->value + CHUNK; i++) {
            st = tribus_cuda_timeline_advance(&b->c->main, &b->t[1], i);
            if (st == TRIBUS_OK)
                st = tribus_cuda_timeline_wait(&b->other, &b->t[1], i, WAIT_NS);
            if (st == TRIBUS_OK)
                st = tribus_cuda_timeline_advance(&b->other, &b->t[0], i + 1);
            if (st == TRIBUS_OK)
                st = tribus_cuda_timeline_wait(&b->c->main, &b->t[0], i + 1, WAIT_NS);
        }
        start_ns = tribus_now_ns();
        if (st == TRIBUS_OK)
            st = tribus_cuda_timeline_advance(&b->c->rescue, &b->t[0], b->value + 1);
        if (st == TRIBUS_OK)
            st = both_done(b);
        b->value += CHUNK + 1;
        if (k >= 2)
            b->ns[k - 2] = (double)(tribus_now_ns() - start_ns) / (2.0 * CHUNK + 1.0);
    }
    if (st == TRIBUS_OK)
        b->memops_ns = report(b, "memops", "floor", 0, 0.0, chunks);
    return st;
}

/* Stamps are written into memory of the card, so that no kernel ends with a write across the
 * bus; the pairs of `n` hand-overs come back as differences. */
static tribus_status take_stamps(bench *b, uint32_t first, uint32_t n)
{
    tribus_status st = tribus_cuda_context_check(
        b->c,
        b->c->cu->memcpy_dtoh_async(words(b), (tribus_cu_ptr)(uintptr_t)stamps(b),
                                    2 * n * sizeof(uint64_t), b->c->main.stream),
        "copy stamps");

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, WAIT_NS);
    for (uint32_t i = 0; i < n; i++)
        b->ns[first + i] = (double)(int64_t)(words(b)[2 * i + 1] - words(b)[2 * i]);
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

static tribus_status consume(bench *b, how by, uint32_t i)
{
    tribus_cuda_probe_args args = {.bad = stamps(b) + 2 * i + 1,
                                   .memory = (unsigned char *)b->card.data +
                                             TRIBUS_CUDA_TIMELINE_VALUE,
                                   .words = (uint64_t)b->value};
    tribus_status st = TRIBUS_OK;

    if (by == BY_POLLING)
        return launch(&b->other, "tribus_cuda_probe_wait_stamp", 1, 1, &args);
    if (by == BY_EVENT)
        st = tribus_cuda_context_check(
            b->c, b->c->cu->stream_wait_event(b->other.stream, b->events[i], 0), "event");
    else
        st = tribus_cuda_timeline_wait(&b->other, &b->t[0], b->value, WAIT_NS);
    args.memory = NULL;
    return st == TRIBUS_OK ? launch(&b->other, "tribus_cuda_probe_stamp", 1, 1, &args) : st;
}

/* A kernel fills `bytes`, a stamp ends it; the other stream starts with a stamp. */
static tribus_status hand_over(bench *b, const tribus_device_memory *tensor, size_t bytes,
                               how by, uint64_t wait_ns, uint32_t i)
{
    tribus_cuda_probe_args spin = {.words = wait_ns};
    tribus_cuda_probe_args fill = {.memory = tensor->data, .words = bytes / 4, .seed = i};
    tribus_cuda_probe_args end = {.bad = stamps(b) + 2 * i};
    tribus_status st = launch(&b->c->main, "tribus_cuda_probe_fill",
                              bytes > 1u << 20 ? 1056 : 32, 256, &fill);

    if (st == TRIBUS_OK && wait_ns > 0)
        st = launch(&b->c->main, "tribus_cuda_probe_spin", 1, 1, &spin);
    b->value++;
    if (by == BY_KERNEL || by == BY_POLLING) {
        end.memory = (unsigned char *)b->card.data + TRIBUS_CUDA_TIMELINE_VALUE;
        end.words = (uint64_t)b->value;
    }
    if (st == TRIBUS_OK)
        st = launch(&b->c->main, "tribus_cuda_probe_stamp", 1, 1, &end);
    if (st == TRIBUS_OK && by == BY_EVENT)
        st = tribus_cuda_context_check(
            b->c, b->c->cu->event_record(b->events[i], b->c->main.stream), "event");
    if (st == TRIBUS_OK && by == BY_STREAM)
        st = tribus_cuda_timeline_advance(&b->c->main, &b->t[0], b->value);
    if (st == TRIBUS_OK)
        st = consume(b, by, i);
    /* One under way: the next does not begin before this one has arrived. */
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_advance(&b->other, &b->t[1], b->value);
    if (st == TRIBUS_OK)
        st = tribus_cuda_timeline_wait(&b->c->main, &b->t[1], b->value, WAIT_NS);
    return st;
}

static tribus_status bench_timeline(bench *b, const tribus_device_memory *tensor,
                                    size_t bytes, how by, uint64_t wait_ns, double *p50_ns)
{
    const uint32_t samples = bytes > (size_t)16 << 20 || wait_ns > 0 ? 200 : 2000;
    tribus_status st = TRIBUS_OK;

    for (uint32_t done = 0; st == TRIBUS_OK && done < samples; done += CHUNK) {
        /* A gate, so that all is queued before anything runs: else the CPU is measured. */
        const int64_t gate = ++b->value;

        st = tribus_cuda_timeline_wait(&b->c->main, &b->t[1], gate, WAIT_NS);
        for (uint32_t i = 0; st == TRIBUS_OK && i < CHUNK; i++)
            st = hand_over(b, tensor, bytes, by, wait_ns, i);
        if (st == TRIBUS_OK)
            st = tribus_cuda_timeline_advance(&b->c->rescue, &b->t[1], gate);
        if (st == TRIBUS_OK)
            st = both_done(b);
        if (st == TRIBUS_OK)
            st = take_stamps(b, done, CHUNK);
    }
    if (st == TRIBUS_OK)
        *p50_ns = report(b, wait_ns > 0 ? "after-wait" : "timeline", how_names[by], bytes,
                         b->memops_ns, samples);
    return st;
}

static tribus_status bench_graph(bench *b)
{
    const tribus_cuda_driver *cu = b->c->cu;
    const uint32_t launches = 40;
    tribus_cu_graph graph = NULL;
    tribus_cu_graph_exec exec = NULL;
    tribus_cu_result result =
        cu->stream_begin_capture(b->c->main.stream, TRIBUS_CU_CAPTURE_THREAD_LOCAL);
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 0; result == TRIBUS_CU_OK && st == TRIBUS_OK && i < 2 * CHUNK; i++) {
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
            st = take_stamps(b, k * CHUNK, CHUNK);
    }
    if (exec != NULL)
        (void)cu->graph_exec_destroy(exec);
    if (graph != NULL)
        (void)cu->graph_destroy(graph);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(b->c, result, "graph");
    if (st == TRIBUS_OK)
        (void)report(b, "graph", "edge", 0, 0.0, launches * CHUNK);
    return st;
}

/* ---- persistent stages ---- */

static tribus_status bench_flags(bench *b, double *floor_ns)
{
    const uint32_t each = 20;
    uint64_t *flags = (uint64_t *)(void *)((unsigned char *)b->card.data + 1024);
    tribus_cuda_flags_args args = {.ping = flags,
                                   .pong = flags + 32,
                                   .out = words_data(b),
                                   .samples = SAMPLES / 4,
                                   .each = each};
    tribus_status st =
        tribus_cuda_context_check(b->c,
                                  b->c->cu->memset_d8_async((tribus_cu_ptr)(uintptr_t)flags,
                                                            0, 512, b->c->main.stream),
                                  "clear flags");

    if (st == TRIBUS_OK)
        st = launch(&b->c->main, "tribus_cuda_probe_flags", 2, 1, &args);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, WAIT_NS);
    for (uint32_t i = 0; i < args.samples; i++)
        b->ns[i] = (double)words(b)[i] / (2.0 * each);
    if (st == TRIBUS_OK)
        *floor_ns = report(b, "flags", "floor", 0, 0.0, args.samples);
    return st;
}

static tribus_status bench_echo(bench *b, double *floor_ns)
{
    _Atomic(uint64_t) *ping = (_Atomic(uint64_t) *)(void *)words(b);
    _Atomic(uint64_t) *pong = ping + 64;
    tribus_cuda_flags_args args = {
        .ping = words_data(b), .pong = words_data(b) + 64, .samples = SAMPLES};
    tribus_status st;

    tribus_store_rlx(ping, 0u); /* nobody looks yet */
    tribus_store_rlx(pong, 0u);
    st = launch(&b->c->main, "tribus_cuda_probe_echo", 1, 1, &args);
    for (uint64_t i = 1; st == TRIBUS_OK && i <= SAMPLES; i++) {
        const int64_t start_ns = tribus_now_ns();

        /* Pairs with the acquire and the release of the kernel. */
        tribus_store_rel(ping, i);
        while (tribus_load_acq(pong) < i)
            if (tribus_now_ns() - start_ns > WAIT_NS)
                return tribus_error_set(TRIBUS_TIMEOUT, "the echo kernel is silent");
        b->ns[i - 1] = (double)(tribus_now_ns() - start_ns);
    }
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, WAIT_NS);
    if (st == TRIBUS_OK)
        *floor_ns = report(b, "echo", "floor", 0, 0.0, SAMPLES);
    return st;
}

typedef struct chain {
    void *mem[2];
    size_t bytes;
    tribus_cuda_queue *queue;
    tribus_ring *feed, *drain;
} chain;

static void chain_close(bench *b, chain *k)
{
    tribus_cuda_queue_close(k->queue);
    tribus_ring_close(k->feed);
    tribus_ring_close(k->drain);
    for (int i = 0; i < 2; i++)
        if (k->mem[i] != NULL) {
            tribus_cuda_memory_unregister(b->c, k->mem[i]);
            (void)munmap(k->mem[i], k->bytes);
        }
}

static tribus_status chain_open(bench *b, const tribus_cuda_queue_stage *stages, uint32_t n,
                                chain *k)
{
    tribus_cuda_queue_cfg cfg = {.stages = stages, .stage_count = n};
    tribus_cuda_queue_end *ends[2] = {&cfg.feed, &cfg.drain};
    tribus_status st = TRIBUS_OK;

    memset(k, 0, sizeof(*k));
    k->bytes = tribus_ring_bytes(CELLS, 64);
    for (int i = 0; st == TRIBUS_OK && i < 2; i++) {
        void *mem = mmap(NULL, k->bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (mem == MAP_FAILED)
            return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", k->bytes);
        k->mem[i] = mem;
        *ends[i] = (tribus_cuda_queue_end){.mem = mem, .bytes = k->bytes};
        st = tribus_ring_create(mem, k->bytes, CELLS, 64);
        if (st == TRIBUS_OK)
            st = tribus_cuda_memory_register(b->c, mem, k->bytes, &ends[i]->data);
    }
    if (st == TRIBUS_OK)
        st = tribus_cuda_queue_open(b->c, &cfg, &k->queue);
    if (st == TRIBUS_OK)
        st = tribus_ring_open(k->mem[0], k->bytes, TRIBUS_WRITER, &k->feed);
    if (st == TRIBUS_OK)
        st = tribus_ring_open(k->mem[1], k->bytes, TRIBUS_READER, &k->drain);
    if (st == TRIBUS_OK) {
        /* Both sides spin: nobody is to be rung awake. */
        tribus_ring_set_bell(k->feed, NULL);
        tribus_ring_set_bell(k->drain, NULL);
    }
    return st;
}

static tribus_status chain_round(chain *k, uint64_t run)
{
    const tribus_cuda_queue_item item = {.run = run};
    const int64_t start_ns = tribus_now_ns();
    const void *cell;
    void *free_cell;
    tribus_status st = tribus_ring_claim(k->feed, &free_cell);

    if (st != TRIBUS_OK)
        return st;
    memcpy(free_cell, &item, sizeof(item));
    tribus_ring_commit(k->feed);
    while ((st = tribus_ring_peek(k->drain, &cell, NULL)) == TRIBUS_EMPTY)
        if (tribus_now_ns() - start_ns > WAIT_NS)
            return tribus_error_set(TRIBUS_TIMEOUT, "a persistent stage is silent");
    if (st == TRIBUS_OK)
        tribus_ring_release(k->drain);
    return st;
}

/* Round trips through `n` stages that only hand over; p50 by itself. */
static tribus_status round_trips(bench *b, uint32_t n)
{
    const tribus_cuda_queue_stage stages[TRIBUS_CUDA_QUEUE_STAGES] = {{0}};
    chain k;
    tribus_status st = chain_open(b, stages, n, &k);

    for (uint32_t i = 0; st == TRIBUS_OK && i < SAMPLES + 200; i++) {
        const int64_t start_ns = tribus_now_ns();

        st = chain_round(&k, i);
        if (i >= 200)
            b->ns[i - 200] = (double)(tribus_now_ns() - start_ns);
    }
    chain_close(b, &k);
    return st;
}

static tribus_status bench_persistent(bench *b, double flags_ns, double echo_ns)
{
    static double one[SAMPLES];
    const uint32_t n = TRIBUS_CUDA_QUEUE_STAGES;
    tribus_bench_stats base;
    tribus_status st = round_trips(b, 1);

    if (st != TRIBUS_OK)
        return st;
    memcpy(one, b->ns, sizeof(one));
    (void)report(b, "cpu-stage", "bus", 0, echo_ns, SAMPLES);
    tribus_bench_pair_stats(one, SAMPLES, &base);
    st = round_trips(b, n);
    if (st != TRIBUS_OK)
        return st;
    /* What the other stages add to the median of one, shared among their hand-overs. */
    for (uint32_t i = 0; i < SAMPLES; i++)
        b->ns[i] = (b->ns[i] - base.p50_ns) / (n - 1.0);
    (void)report(b, "persistent", "bus", 0, flags_ns, SAMPLES);
    return TRIBUS_OK;
}

static tribus_status bench_operations(bench *b, double seconds)
{
    const uint32_t slots = 256, elements = 256;
    unsigned char *base = (unsigned char *)b->card.data + 4096;
    const tribus_cuda_queue_stage stage = {.work = TRIBUS_CUDA_QUEUE_SCALE,
                                           .elements = elements,
                                           .slots = slots,
                                           .slot_bytes = elements * sizeof(float),
                                           .from = base,
                                           .to = base,
                                           .a = 0.5f,
                                           .b = 1.0f};
    const int64_t start_ns = tribus_now_ns();
    const int64_t until_ns = start_ns + (int64_t)(seconds * 1e9);
    row r = {.kase = "operations", .path = "bus", .size_bytes = stage.slot_bytes};
    uint64_t fed = 0, drained = 0;
    chain k;
    tribus_status st = chain_open(b, &stage, 1, &k);
    uint32_t got;

    while (st == TRIBUS_OK && tribus_now_ns() < until_ns) {
        st = tribus_ring_claim_batch(k.feed, 32, &got);
        for (uint32_t i = 0; st == TRIBUS_OK && i < got; i++, fed++) {
            const tribus_cuda_queue_item item = {.run = fed,
                                                 .slot = (uint32_t)(fed % slots)};

            memcpy(tribus_ring_batch_at(k.feed, i), &item, sizeof(item));
        }
        if (st == TRIBUS_OK)
            tribus_ring_commit_batch(k.feed, got);
        st = tribus_ring_peek_batch(k.drain, CELLS, &got);
        if (st == TRIBUS_OK) {
            drained += got;
            tribus_ring_release_batch(k.drain, got);
        }
        if (st == TRIBUS_EMPTY || st == TRIBUS_FULL)
            st = TRIBUS_OK;
    }
    r.stats.rate_per_s = (double)drained * 1e9 / (double)(tribus_now_ns() - start_ns);
    r.stats.p50_ns = r.stats.rate_per_s > 0.0 ? 1e9 / r.stats.rate_per_s : 0.0;
    r.samples = drained;
    chain_close(b, &k);
    if (st == TRIBUS_OK)
        print_row(b, &r);
    return st;
}

/* ---- without sharing, and a kernel ---- */

static tribus_status bench_copies(bench *b, const tribus_device_memory *tensor,
                                  size_t bytes, double bus_ns)
{
    const uint32_t samples = bytes > (size_t)16 << 20 ? 10 : 200;
    void *data, *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    const tribus_cu_ptr at = (tribus_cu_ptr)(uintptr_t)tensor->data;
    tribus_status st;

    if (host == MAP_FAILED)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", bytes);
    st = tribus_cuda_memory_register(b->c, host, bytes, &data);
    for (uint32_t i = 0; st == TRIBUS_OK && i < samples; i++) {
        const int64_t start_ns = tribus_now_ns();
        tribus_cu_result result =
            b->c->cu->memcpy_dtoh_async(host, at, bytes, b->c->main.stream);

        st = tribus_cuda_context_check(b->c, result, "copy to the host");
        if (st == TRIBUS_OK)
            st = tribus_cuda_stream_wait(&b->c->main, WAIT_NS);
        if (st == TRIBUS_OK)
            st = tribus_cuda_context_check(
                b->c, b->c->cu->memcpy_htod_async(at, host, bytes, b->other.stream),
                "copy to the card");
        if (st == TRIBUS_OK)
            st = tribus_cuda_stream_wait(&b->other, WAIT_NS);
        b->ns[i] = (double)(tribus_now_ns() - start_ns);
    }
    if (st == TRIBUS_OK)
        (void)report(b, "copies", "through host", bytes, bus_ns, samples);
    tribus_cuda_memory_unregister(b->c, host);
    (void)munmap(host, bytes);
    return st;
}

static tribus_status bench_mc(bench *b, double paths, uint32_t samples)
{
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1}, f64 = {TRIBUS_DTYPE_FLOAT, 64, 1};
    const int64_t n2[] = {ASSETS, 2}, nn[] = {ASSETS, ASSETS}, four[] = {4};
    const size_t bytes = 4096 + sizeof(float) * (ASSETS * ASSETS + 3 * ASSETS + 64);
    float *host = calloc(1, bytes);
    unsigned char *card = (unsigned char *)b->card.data + (1u << 20);
    tribus_tensor t[4];
    tribus_kernel *k = NULL;
    tribus_status st = TRIBUS_OK;

    if (host == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", bytes);
    for (uint32_t i = 0; i < ASSETS; i++) { /* forecast, weights, an identity factor */
        host[2 * i + 1] = 0.01f + 0.0001f * (float)(i % 37);
        host[2 * ASSETS + i] = 1000.0f;
        host[3 * ASSETS + i * ASSETS + i] = 1.0f;
    }
    st = tribus_cuda_context_check(
        b->c,
        b->c->cu->memcpy_htod_async((tribus_cu_ptr)(uintptr_t)card, host, bytes,
                                    b->c->main.stream),
        "copy a portfolio");
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, WAIT_NS);
    if (st == TRIBUS_OK)
        st = tribus_tensor_init(&t[0], f32, 2, n2, card, bytes);
    if (st == TRIBUS_OK)
        st = tribus_tensor_init(&t[1], f32, 2, nn, card + 12 * ASSETS, bytes);
    if (st == TRIBUS_OK)
        st = tribus_tensor_init(&t[2], f32, 1, n2, card + 8 * ASSETS, bytes);
    if (st == TRIBUS_OK) /* the result straight into host memory */
        st = tribus_tensor_init(&t[3], f64, 1, four, words_data(b), 32);
    for (int i = 0; i < 4; i++)
        t[i].device_type = TRIBUS_DEVICE_CUDA;
    if (st == TRIBUS_OK)
        st = tribus_kernel_open(&b->c->base, "mc_var_es", &k);
    if (st == TRIBUS_OK)
        st = tribus_kernel_set(k, "paths", paths);
    if (st == TRIBUS_OK)
        st = tribus_kernel_set(k, "nu", 5);
    if (st == TRIBUS_OK)
        st = tribus_kernel_bind(k, t, 3, &t[3], 1);
    for (uint32_t i = 0; st == TRIBUS_OK && i < samples + 3; i++) {
        const int64_t start_ns = tribus_now_ns();

        st = tribus_kernel_run(k);
        if (st == TRIBUS_OK)
            st = tribus_device_synchronise_wait(&b->c->base, WAIT_NS);
        if (i >= 3)
            b->ns[i - 3] = (double)(tribus_now_ns() - start_ns);
    }
    if (st == TRIBUS_OK)
        (void)report(b, paths > 500000.0 ? "mc_var_es-1M" : "mc_var_es-.1M", "bus", bytes,
                     0.0, samples);
    tribus_kernel_close(k);
    free(host);
    return st;
}

/* ---- all of it ---- */

static tribus_status bench_open(bench *b)
{
    void *data = NULL;
    tribus_status st = tribus_cuda_context_open(0, &b->c);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_open(b->c, &b->other);
    if (st != TRIBUS_OK)
        return st;
    b->page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (b->page == MAP_FAILED)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%u bytes", PAGE_BYTES);
    st = tribus_cuda_memory_register(b->c, b->page, PAGE_BYTES, &data);
    b->page_data = data;
    if (st == TRIBUS_OK)
        st = tribus_cuda_memory_create(b->c, 4u << 20, &b->card_fd, &b->card);
    for (int i = 0; st == TRIBUS_OK && i < 2; i++)
        st = tribus_cuda_timeline_of_card(b->c, (unsigned char *)b->card.data + i * 128,
                                          true, 0, &b->t[i]);
    for (uint32_t i = 0; st == TRIBUS_OK && i < CHUNK; i++)
        st = tribus_cuda_context_check(
            b->c, b->c->cu->event_create(&b->events[i], TRIBUS_CU_EVENT_DISABLE_TIMING),
            "make an event");
    return st;
}

static tribus_status bench_sizes(bench *b)
{
    static const size_t sizes[] = {4096,      65536,      1u << 20, 16u << 20,
                                   64u << 20, 256u << 20, 1u << 30};
    tribus_device_memory tensor = {0};
    int fd = -1;
    tribus_status st = tribus_cuda_memory_create(b->c, (size_t)1 << 30, &fd, &tensor);
    double p50_ns[sizeof(sizes) / sizeof(sizes[0])] = {0.0};

    for (size_t i = 0; st == TRIBUS_OK && i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int by = 0; st == TRIBUS_OK && by < (i == 0 ? HOWS : 1); by++) {
            double p50 = 0.0;

            st = bench_timeline(b, &tensor, sizes[i], (how)by, 0, &p50);
            if (by == BY_STREAM)
                p50_ns[i] = p50;
        }
    for (size_t i = 0; st == TRIBUS_OK && i < sizeof(sizes) / sizeof(sizes[0]); i++)
        st = bench_timeline(b, &tensor, sizes[i], BY_STREAM, 300000, &p50_ns[i]);
    for (size_t i = 0; st == TRIBUS_OK && i < sizeof(sizes) / sizeof(sizes[0]); i += 2)
        st = bench_copies(b, &tensor, sizes[i], p50_ns[i]);
    if (tensor.data != NULL)
        tribus_cuda_memory_close(b->c, &tensor);
    if (fd >= 0)
        (void)close(fd);
    return st;
}

static tribus_status bench_all(bench *b, double seconds)
{
    double flags_ns = 0.0, echo_ns = 0.0;
    tribus_status st = bench_open(b);

    if (st == TRIBUS_OK)
        print_head(b);
    if (st == TRIBUS_OK)
        st = bench_memops(b);
    if (st == TRIBUS_OK)
        st = bench_graph(b);
    if (st == TRIBUS_OK)
        st = bench_flags(b, &flags_ns);
    if (st == TRIBUS_OK)
        st = bench_echo(b, &echo_ns);
    if (st == TRIBUS_OK)
        st = bench_persistent(b, flags_ns, echo_ns);
    if (st == TRIBUS_OK)
        st = bench_operations(b, seconds);
    if (st == TRIBUS_OK)
        st = bench_mc(b, 100000, 200);
    if (st == TRIBUS_OK)
        st = bench_mc(b, 1000000, 50);
    if (st == TRIBUS_OK)
        st = bench_sizes(b);
    return st;
}

int tribus_cli_bench_cuda(int argc, char **argv)
{
    static bench b;
    double seconds = 2.0;
    int exit_code;
    tribus_device_row rows[8];
    tribus_status st;
    const tribus_cli_usage usage = {
        "bench cuda", "[--json] [--seconds N]",
        "What handing a tensor over costs on the first NVIDIA card: streams, persistent\n"
        "stages, copies, with the floors of the same card in the same run.",
        "  tribus bench cuda --json | jq .p50_ns"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.json},
        {"--seconds", "N", "to measure the rate of operations (2)", TRIBUS_CLI_REAL,
         &seconds},
    };

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &exit_code))
        return exit_code;
    for (uint32_t i = 0, n = tribus_device_list(rows, 8); i < n && i < 8 && !b.json; i++)
        if (rows[i].device_type == TRIBUS_DEVICE_CUDA)
            printf("%s: %s\n", rows[i].name, rows[i].detail);
    b.card_fd = -1;
    st = bench_all(&b, seconds);
    if (b.card_fd >= 0)
        (void)close(b.card_fd);
    for (uint32_t i = 0; i < CHUNK; i++)
        if (b.events[i] != NULL)
            (void)b.c->cu->event_destroy(b.events[i]);
    if (b.c != NULL)
        tribus_cuda_stream_close(&b.other);
    tribus_cuda_context_close(b.c);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : tribus_cli_fail("bench cuda");
}
