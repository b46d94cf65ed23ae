/* bench_cuda_queue.c -- persistent stages: on one card, and on two in turn. */
#include "cli/bench_cuda.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "device/cuda_queue.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CELLS 1024u

static tribus_status bench_flags(tribus_bench_cuda *b, double *floor_ns)
{
    const uint32_t each = 20;
    uint64_t *flags = (uint64_t *)(void *)((unsigned char *)b->card.data + 1024);
    tribus_cuda_flags_args args = {.ping = flags,
                                   .pong = flags + 32,
                                   .out = tribus_bench_cuda_words_data(b),
                                   .samples = TRIBUS_BENCH_CUDA_SAMPLES / 4,
                                   .each = each};
    tribus_status st =
        tribus_cuda_context_check(b->c,
                                  b->c->cu->memset_d8_async((tribus_cu_ptr)(uintptr_t)flags,
                                                            0, 512, b->c->main.stream),
                                  "clear flags");

    if (st == TRIBUS_OK)
        st = tribus_bench_cuda_launch(&b->c->main, "tribus_cuda_probe_flags", 2, 1, &args);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, TRIBUS_BENCH_CUDA_WAIT_NS);
    for (uint32_t i = 0; i < args.samples; i++)
        b->ns[i] = (double)tribus_bench_cuda_words(b)[i] / (2.0 * each);
    if (st == TRIBUS_OK)
        *floor_ns = tribus_bench_cuda_report(b, "flags", "floor", 0, 0.0, args.samples);
    return st;
}

static tribus_status bench_echo(tribus_bench_cuda *b, double *floor_ns)
{
    _Atomic(uint64_t) *ping = (_Atomic(uint64_t) *)(void *)tribus_bench_cuda_words(b);
    _Atomic(uint64_t) *pong = ping + 64;
    tribus_cuda_flags_args args = {.ping = tribus_bench_cuda_words_data(b),
                                   .pong = tribus_bench_cuda_words_data(b) + 64,
                                   .samples = TRIBUS_BENCH_CUDA_SAMPLES};
    tribus_status st;

    tribus_store_rlx(ping, 0u); /* nobody looks yet */
    tribus_store_rlx(pong, 0u);
    st = tribus_bench_cuda_launch(&b->c->main, "tribus_cuda_probe_echo", 1, 1, &args);
    for (uint64_t i = 1; st == TRIBUS_OK && i <= TRIBUS_BENCH_CUDA_SAMPLES; i++) {
        const int64_t start_ns = tribus_now_ns();

        /* Pairs with the acquire and the release of the kernel. */
        tribus_store_rel(ping, i);
        while (tribus_load_acq(pong) < i)
            if (tribus_now_ns() - start_ns > TRIBUS_BENCH_CUDA_WAIT_NS)
                return tribus_error_set(TRIBUS_TIMEOUT, "the echo kernel is silent");
        b->ns[i - 1] = (double)(tribus_now_ns() - start_ns);
    }
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_wait(&b->c->main, TRIBUS_BENCH_CUDA_WAIT_NS);
    if (st == TRIBUS_OK)
        b->echo_ns = *floor_ns =
            tribus_bench_cuda_report(b, "echo", "floor", 0, 0.0, TRIBUS_BENCH_CUDA_SAMPLES);
    return st;
}

typedef struct chain {
    void *mem[2];
    size_t bytes;
    tribus_cuda_queue *queue;
    tribus_ring *feed, *drain;
} chain;

static void chain_close(tribus_bench_cuda *b, chain *k)
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

static tribus_status chain_open(tribus_bench_cuda *b, const tribus_cuda_queue_stage *stages,
                                uint32_t n, chain *k)
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
        if (tribus_now_ns() - start_ns > TRIBUS_BENCH_CUDA_WAIT_NS)
            return tribus_error_set(TRIBUS_TIMEOUT, "a persistent stage is silent");
    if (st == TRIBUS_OK)
        tribus_ring_release(k->drain);
    return st;
}

/* Round trips through `n` stages that only hand over; p50 by itself. */
static tribus_status round_trips(tribus_bench_cuda *b, uint32_t n)
{
    const tribus_cuda_queue_stage stages[TRIBUS_CUDA_QUEUE_STAGES] = {{0}};
    chain k;
    tribus_status st = chain_open(b, stages, n, &k);

    for (uint32_t i = 0; st == TRIBUS_OK && i < TRIBUS_BENCH_CUDA_SAMPLES + 200; i++) {
        const int64_t start_ns = tribus_now_ns();

        st = chain_round(&k, i);
        if (i >= 200)
            b->ns[i - 200] = (double)(tribus_now_ns() - start_ns);
    }
    chain_close(b, &k);
    return st;
}

tribus_status tribus_bench_cuda_stages(tribus_bench_cuda *b)
{
    static double one[TRIBUS_BENCH_CUDA_SAMPLES];
    const uint32_t n = TRIBUS_CUDA_QUEUE_STAGES;
    double flags_ns = 0.0, echo_ns = 0.0;
    tribus_bench_stats base;
    tribus_status st = bench_flags(b, &flags_ns);

    if (st == TRIBUS_OK)
        st = bench_echo(b, &echo_ns);
    if (st == TRIBUS_OK)
        st = round_trips(b, 1);
    if (st != TRIBUS_OK)
        return st;
    memcpy(one, b->ns, sizeof(one));
    tribus_bench_cuda_goal(b, "CPU, persistent stage, CPU, p50",
                           tribus_bench_cuda_report(b, "cpu-stage", "bus", 0, echo_ns,
                                                    TRIBUS_BENCH_CUDA_SAMPLES) /
                               1e3,
                           "us", TRIBUS_BENCH_CUDA_AT_MOST, 4.0);
    tribus_bench_pair_stats(one, TRIBUS_BENCH_CUDA_SAMPLES, &base);
    st = round_trips(b, n);
    if (st != TRIBUS_OK)
        return st;
    /* What the other stages add to the median of one, shared among their hand-overs. */
    for (uint32_t i = 0; i < TRIBUS_BENCH_CUDA_SAMPLES; i++)
        b->ns[i] = (b->ns[i] - base.p50_ns) / (n - 1.0);
    tribus_bench_cuda_goal(b, "persistent stages, one way, p50",
                           tribus_bench_cuda_report(b, "persistent", "bus", 0, flags_ns,
                                                    TRIBUS_BENCH_CUDA_SAMPLES) /
                               1e3,
                           "us", TRIBUS_BENCH_CUDA_AT_MOST, 1.0);
    return TRIBUS_OK;
}

tribus_status tribus_bench_cuda_operations(tribus_bench_cuda *b, double seconds)
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
    tribus_bench_cuda_row r = {
        .kase = "operations", .path = "bus", .size_bytes = stage.slot_bytes};
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
    if (st == TRIBUS_OK) {
        tribus_bench_cuda_print(b, &r);
        tribus_bench_cuda_goal(b, "small operations", r.stats.rate_per_s, "/s",
                               TRIBUS_BENCH_CUDA_AT_LEAST, 200000.0);
    }
    return st;
}

/* ---- two cards ---- */

#define HOPS 8u

typedef struct two {
    tribus_cuda_context *c[2];
    tribus_cuda_queue *queues[HOPS];
    tribus_device_memory read[HOPS], write[HOPS]; /* the ring between queue i and i + 1 */
    chain ends; /* its rings: the first feed, the last drain */
} two;

static tribus_status hop_between(two *w, uint32_t i, uint32_t first)
{
    tribus_cuda_context *writer = w->c[(first + i) % 2],
                        *reader = w->c[(first + i + 1) % 2];
    const size_t bytes = tribus_ring_bytes(CELLS, 64);
    int fd = -1;
    tribus_status st = tribus_cuda_memory_create(reader, bytes, &fd, &w->read[i]);

    if (st == TRIBUS_OK)
        st = tribus_cuda_memory_open(writer, fd, bytes, true, &w->write[i]);
    if (st == TRIBUS_OK)
        st = tribus_cuda_queue_lay_ring(reader, w->read[i].data, bytes, CELLS);
    if (fd >= 0)
        (void)close(fd);
    return st;
}

static void two_close(two *w, uint32_t first)
{
    for (uint32_t i = 0; i < HOPS; i++)
        tribus_cuda_queue_close(w->queues[i]);
    for (uint32_t i = 0; i < HOPS; i++) {
        if (w->write[i].data != NULL)
            tribus_cuda_memory_close(w->c[(first + i) % 2], &w->write[i]);
        if (w->read[i].data != NULL)
            tribus_cuda_memory_close(w->c[(first + i + 1) % 2], &w->read[i]);
    }
    memset(w->queues, 0, sizeof(w->queues));
}

/* Queues of one stage each, on the cards in turn, the first on c[first]. A ring lies on the
 * card of its reader, who polls its own memory. */
static tribus_status two_open(two *w, const tribus_cuda_queue_end ends[2], uint32_t n)
{
    const tribus_cuda_queue_stage stage = {0};
    const size_t bytes = tribus_ring_bytes(CELLS, 64);
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 0; st == TRIBUS_OK && i + 1 < n; i++)
        st = hop_between(w, i, 0);
    for (uint32_t i = 0; st == TRIBUS_OK && i < n; i++) {
        tribus_cuda_queue_cfg cfg = {.stages = &stage, .stage_count = 1};

        cfg.feed =
            i == 0 ? ends[0]
                   : (tribus_cuda_queue_end){.data = w->read[i - 1].data, .bytes = bytes};
        cfg.drain = i + 1 == n
                        ? ends[1]
                        : (tribus_cuda_queue_end){.data = w->write[i].data, .bytes = bytes};
        st = tribus_cuda_queue_open(w->c[i % 2], &cfg, &w->queues[i]);
    }
    return st;
}

/* Round trips through n queues: the median of them into *p50_ns, all of them in b->ns. */
static tribus_status two_round_trips(tribus_bench_cuda *b, two *w, uint32_t n)
{
    const size_t bytes = tribus_ring_bytes(CELLS, 64);
    tribus_cuda_queue_end ends[2];
    chain *k = &w->ends;
    tribus_status st = TRIBUS_OK;

    memset(k, 0, sizeof(*k));
    k->bytes = bytes;
    for (uint32_t i = 0; st == TRIBUS_OK && i < 2; i++) {
        /* Each is registered with the card that uses it. */
        tribus_cuda_context *c = w->c[i == 0 ? 0 : (n - 1) % 2];

        k->mem[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (k->mem[i] == MAP_FAILED)
            return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", bytes);
        ends[i] = (tribus_cuda_queue_end){.mem = k->mem[i], .bytes = bytes};
        st = tribus_ring_create(k->mem[i], bytes, CELLS, 64);
        if (st == TRIBUS_OK)
            st = tribus_cuda_memory_register(c, k->mem[i], bytes, &ends[i].data);
    }
    if (st == TRIBUS_OK)
        st = two_open(w, ends, n);
    if (st == TRIBUS_OK)
        st = tribus_ring_open(k->mem[0], bytes, TRIBUS_WRITER, &k->feed);
    if (st == TRIBUS_OK)
        st = tribus_ring_open(k->mem[1], bytes, TRIBUS_READER, &k->drain);
    if (st == TRIBUS_OK) {
        tribus_ring_set_bell(k->feed, NULL);
        tribus_ring_set_bell(k->drain, NULL);
    }
    for (uint32_t i = 0; st == TRIBUS_OK && i < TRIBUS_BENCH_CUDA_SAMPLES + 200; i++) {
        const int64_t start_ns = tribus_now_ns();

        st = chain_round(k, i);
        if (i >= 200)
            b->ns[i - 200] = (double)(tribus_now_ns() - start_ns);
    }
    two_close(w, 0);
    tribus_ring_close(k->feed);
    tribus_ring_close(k->drain);
    for (uint32_t i = 0; i < 2 && k->mem[i] != NULL; i++) {
        tribus_cuda_memory_unregister(w->c[i == 0 ? 0 : (n - 1) % 2], k->mem[i]);
        (void)munmap(k->mem[i], bytes);
    }
    return st;
}

/* Two kernels of one thread, each polling a flag in the memory of its own card. */
static tribus_status two_flags(tribus_bench_cuda *b, two *w, double *floor_ns)
{
    const uint32_t each = 20, samples = TRIBUS_BENCH_CUDA_SAMPLES / 4;
    tribus_device_memory own[2] = {{0}},
                         seen[2] = {{0}}; /* seen[i]: the other's by card i */
    tribus_cuda_flags_args args[2] = {{.samples = samples, .each = each},
                                      {.samples = samples, .each = each}};
    int fd[2] = {-1, -1};
    tribus_status st = TRIBUS_OK;

    for (int i = 0; st == TRIBUS_OK && i < 2; i++)
        st = tribus_cuda_memory_create(w->c[i], 4096, &fd[i], &own[i]);
    for (int i = 0; st == TRIBUS_OK && i < 2; i++)
        st = tribus_cuda_memory_open(w->c[i], fd[1 - i], 4096, true, &seen[i]);
    for (int i = 0; st == TRIBUS_OK && i < 2; i++) {
        st = tribus_cuda_context_enter(w->c[i]);
        if (st == TRIBUS_OK)
            st = tribus_cuda_context_check(
                w->c[i],
                w->c[i]->cu->memset_d8_async((tribus_cu_ptr)(uintptr_t)own[i].data, 0, 4096,
                                             w->c[i]->main.stream),
                "clear flags");
        if (st == TRIBUS_OK)
            st = tribus_cuda_stream_wait(&w->c[i]->main, TRIBUS_BENCH_CUDA_WAIT_NS);
    }
    args[0].out = tribus_bench_cuda_words_data(b);
    for (int i = 1; st == TRIBUS_OK && i >= 0; i--) { /* who answers first */
        args[i].ping = seen[i].data;
        args[i].pong = own[i].data;
        st = tribus_cuda_context_enter(w->c[i]);
        if (st == TRIBUS_OK)
            st = tribus_bench_cuda_launch(&w->c[i]->main, "tribus_cuda_probe_peer", 1, 1,
                                          &args[i]);
    }
    for (int i = 0; st == TRIBUS_OK && i < 2; i++) {
        st = tribus_cuda_context_enter(w->c[i]);
        if (st == TRIBUS_OK)
            st = tribus_cuda_stream_wait(&w->c[i]->main, TRIBUS_BENCH_CUDA_WAIT_NS);
    }
    for (uint32_t i = 0; i < samples; i++)
        b->ns[i] = (double)tribus_bench_cuda_words(b)[i] / (2.0 * each);
    if (st == TRIBUS_OK)
        *floor_ns = tribus_bench_cuda_report(b, "cards-flags", "floor", 0, 0.0, samples);
    for (int i = 0; i < 2; i++) {
        if (seen[i].data != NULL)
            tribus_cuda_memory_close(w->c[i], &seen[i]);
        if (own[i].data != NULL)
            tribus_cuda_memory_close(w->c[i], &own[i]);
        if (fd[i] >= 0)
            (void)close(fd[i]);
    }
    return st;
}

tribus_status tribus_bench_cuda_cards(tribus_bench_cuda *b)
{
    static double one[TRIBUS_BENCH_CUDA_SAMPLES];
    two w = {.c = {b->c, NULL}};
    tribus_bench_stats base;
    double floor_ns = 0.0;
    tribus_status st;

    if (b->c->cu->devices < 2) {
        if (!b->json)
            printf("one card only: hand-overs between two are not measured\n");
        return TRIBUS_OK;
    }
    st = tribus_cuda_context_open(1, &w.c[1]);
    if (st == TRIBUS_OK)
        st = two_flags(b, &w, &floor_ns);
    if (st == TRIBUS_OK)
        st = two_round_trips(b, &w, 1);
    if (st == TRIBUS_OK) {
        memcpy(one, b->ns, sizeof(one));
        tribus_bench_pair_stats(one, TRIBUS_BENCH_CUDA_SAMPLES, &base);
    }
    /* One hop from card to card, then seven. */
    for (uint32_t n = 2; st == TRIBUS_OK && n <= HOPS; n += HOPS - 2) {
        double p50;

        st = two_round_trips(b, &w, n);
        if (st != TRIBUS_OK)
            break;
        for (uint32_t i = 0; i < TRIBUS_BENCH_CUDA_SAMPLES; i++)
            b->ns[i] = (b->ns[i] - base.p50_ns) / (n - 1.0);
        p50 = tribus_bench_cuda_report(b, "cards", n == 2 ? "one hop" : "seven hops", 0,
                                       floor_ns, TRIBUS_BENCH_CUDA_SAMPLES);
        if (n == HOPS)
            tribus_bench_cuda_goal(b, "stages on two cards, one way, p50", p50 / 1e3, "us",
                                   TRIBUS_BENCH_CUDA_AT_MOST, 2.5);
    }
    tribus_cuda_context_close(w.c[1]);
    if (tribus_cuda_context_enter(b->c) != TRIBUS_OK)
        tribus_error_add("bench cuda");
    return st;
}
