/* card_peer.c -- two cards: memory of one written and read by kernels of the other, by the same
 * descriptors; timelines in memory of either, advanced and awaited by streams of both; a chain
 * of persistent stages on both, its results compared with the CPU's. Skipped with one card. */
#include "card.h"

#include "device/cuda_queue.h"

#include <math.h>

#define BYTES ((size_t)64 << 20)
#define WORDS (BYTES / sizeof(uint32_t))
#define CELLS 256u
#define SLOTS 16u
#define EACH  256u /* floats of a slot */

/* Memory on card `from`, as both cards reach it. */
typedef struct both {
    tribus_device_memory at[2];
} both;

static both memory_on(tribus_cuda_context *c[2], int from, size_t bytes)
{
    both b;
    int fd = -1;

    GOOD(tribus_cuda_memory_create(c[from], bytes, &fd, &b.at[from]));
    GOOD(tribus_cuda_memory_open(c[1 - from], fd, bytes, true, &b.at[1 - from]));
    CHECK(close(fd) == 0);
    return b;
}

static void memory_close(tribus_cuda_context *c[2], both *b)
{
    for (int i = 0; i < 2; i++)
        tribus_cuda_memory_close(c[i], &b->at[i]);
}

/* Card `writer` fills memory on card `home`; the other checks it when the timeline on card
 * `signal` says so. */
static void tensor_crosses(tribus_cuda_context *c[2], int writer, int home, int signal,
                           uint32_t seed)
{
    const int reader = 1 - writer;
    both tensor = memory_on(c, home, BYTES), word = memory_on(c, signal, 4096);
    uint64_t *bad = card_shared(4096);
    tribus_cuda_timeline t[2];
    tribus_cuda_probe_args fill = {.words = WORDS, .seed = seed};
    tribus_cuda_probe_args check = {.words = WORDS, .seed = seed};
    void *data;

    GOOD(
        tribus_cuda_timeline_of_card(c[signal], word.at[signal].data, true, 0, &t[signal]));
    GOOD(tribus_cuda_timeline_of_card(c[1 - signal], word.at[1 - signal].data, false, 0,
                                      &t[1 - signal]));
    GOOD(tribus_cuda_memory_register(c[reader], bad, 4096, &data));
    check.memory = tensor.at[reader].data;
    check.bad = data;
    fill.memory = tensor.at[writer].data;
    /* The reader's wait first: it must really wait. */
    GOOD(tribus_cuda_context_enter(c[reader]));
    GOOD(tribus_cuda_timeline_wait(&c[reader]->main, &t[reader], 1, CARD_LONG_NS));
    GOOD(card_launch(&c[reader]->main, "tribus_cuda_probe_check", 256, 256, &check));
    GOOD(tribus_cuda_context_enter(c[writer]));
    GOOD(card_launch(&c[writer]->main, "tribus_cuda_probe_fill", 256, 256, &fill));
    GOOD(tribus_cuda_timeline_advance(&c[writer]->main, &t[writer], 1));
    GOOD(tribus_cuda_stream_wait(&c[writer]->main, CARD_LONG_NS));
    GOOD(tribus_cuda_context_enter(c[reader]));
    GOOD(tribus_cuda_stream_wait(&c[reader]->main, CARD_LONG_NS));
    printf(
        "card %d writes memory of card %d, timeline on card %d, card %d reads: %llu of %zu "
        "words wrong\n",
        writer, home, signal, reader, (unsigned long long)*bad, WORDS);
    CHECK(*bad == 0);
    for (int i = 0; i < 2; i++)
        tribus_cuda_timeline_forget(c[i], &t[i]);
    tribus_cuda_memory_unregister(c[reader], bad);
    CHECK(munmap(bad, 4096) == 0);
    memory_close(c, &tensor);
    memory_close(c, &word);
}

static void copy(tribus_cuda_context *c, void *data, float *host, size_t bytes,
                 bool to_card)
{
    const tribus_cu_ptr at = (tribus_cu_ptr)(uintptr_t)data;

    GOOD(tribus_cuda_context_enter(c));
    GOOD(tribus_cuda_context_check(
        c,
        to_card ? c->cu->memcpy_htod_async(at, host, bytes, c->main.stream)
                : c->cu->memcpy_dtoh_async(host, at, bytes, c->main.stream),
        "copy"));
    GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
}

/* CPU -> stage on card 0 -> ring on card 1 -> stage on card 1 -> CPU: y = (x a + b) a' + b',
 * the slots on card 1. */
static void stages_on_both_cards_compute_what_the_cpu_does(tribus_cuda_context *c[2])
{
    static float host[SLOTS * EACH], want[SLOTS * EACH], got[SLOTS * EACH];
    const size_t ring_bytes = tribus_ring_bytes(CELLS, 64);
    both slots = memory_on(c, 1, sizeof(host)), between = memory_on(c, 1, ring_bytes);
    void *mem[2] = {card_shared(ring_bytes), card_shared(ring_bytes)};
    tribus_cuda_queue *q[2] = {NULL, NULL};
    tribus_ring *feed = NULL, *drain = NULL;
    float a[2], b[2];
    uint32_t fed = 0, drained = 0;
    const int64_t until_ns = tribus_now_ns() + CARD_LONG_NS;

    for (size_t i = 0; i < SLOTS * EACH; i++)
        host[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    for (int i = 0; i < 2; i++) {
        a[i] = (float)rand() / (float)RAND_MAX + 0.5f;
        b[i] = (float)rand() / (float)RAND_MAX;
    }
    copy(c[1], slots.at[1].data, host, sizeof(host), true);
    GOOD(tribus_cuda_queue_lay_ring(c[1], between.at[1].data, ring_bytes, CELLS));
    for (int i = 0; i < 2; i++) {
        const tribus_cuda_queue_stage stage = {.work = TRIBUS_CUDA_QUEUE_SCALE,
                                               .elements = EACH,
                                               .slots = SLOTS,
                                               .slot_bytes = EACH * sizeof(float),
                                               .from = slots.at[i].data,
                                               .to = slots.at[i].data,
                                               .a = a[i],
                                               .b = b[i]};
        tribus_cuda_queue_cfg cfg = {.stages = &stage, .stage_count = 1};
        tribus_cuda_queue_end *outer = i == 0 ? &cfg.feed : &cfg.drain;
        tribus_cuda_queue_end *inner = i == 0 ? &cfg.drain : &cfg.feed;

        GOOD(tribus_ring_create(mem[i], ring_bytes, CELLS, 64));
        *outer = (tribus_cuda_queue_end){.mem = mem[i], .bytes = ring_bytes};
        GOOD(tribus_cuda_memory_register(c[i], mem[i], ring_bytes, &outer->data));
        *inner = (tribus_cuda_queue_end){.data = between.at[i].data, .bytes = ring_bytes};
        GOOD(tribus_cuda_queue_open(c[i], &cfg, &q[i]));
    }
    GOOD(tribus_ring_open(mem[0], ring_bytes, TRIBUS_WRITER, &feed));
    GOOD(tribus_ring_open(mem[1], ring_bytes, TRIBUS_READER, &drain));
    tribus_ring_set_bell(feed, NULL);
    tribus_ring_set_bell(drain, NULL);
    while (drained < SLOTS) {
        const void *cell;
        void *room;

        CHECK(tribus_now_ns() < until_ns);
        if (fed < SLOTS && tribus_ring_claim(feed, &room) == TRIBUS_OK) {
            const tribus_cuda_queue_item item = {.run = fed, .slot = fed};

            memcpy(room, &item, sizeof(item));
            tribus_ring_commit(feed);
            fed++;
        }
        if (tribus_ring_peek(drain, &cell, NULL) == TRIBUS_OK) {
            tribus_cuda_queue_item item;

            memcpy(&item, cell, sizeof(item));
            CHECK(item.run == drained && item.flags == 0);
            tribus_ring_release(drain);
            drained++;
        }
    }
    for (int i = 0; i < 2; i++)
        tribus_cuda_queue_close(q[i]);
    copy(c[1], slots.at[1].data, got, sizeof(got), false);
    for (size_t i = 0; i < SLOTS * EACH; i++) {
        const double y = (double)a[1] * ((double)a[0] * host[i] + b[0]) + b[1];

        want[i] = (float)y;
        CHECK(fabs((double)got[i] - y) <= 1e-6 * (1.0 + fabs(y)));
    }
    printf("stages on both cards: %u slots of %u floats as in double arithmetic\n", SLOTS,
           EACH);
    CHECK(want[0] != host[0]);
    tribus_ring_close(feed);
    tribus_ring_close(drain);
    for (int i = 0; i < 2; i++) {
        tribus_cuda_memory_unregister(c[i], mem[i]);
        CHECK(munmap(mem[i], ring_bytes) == 0);
    }
    memory_close(c, &slots);
    memory_close(c, &between);
}

int main(void)
{
    const uint32_t seed = (uint32_t)check_seed();
    tribus_cuda_context *c[2] = {NULL, NULL};

    card_or_skip();
    c[0] = card_open();
    if (c[0]->cu->devices < 2)
        SKIP("one card only");
    srand(seed);
    GOOD(tribus_cuda_context_open(1, &c[1]));
    for (int way = 0; way < 8; way++)
        tensor_crosses(c, way & 1, way >> 1 & 1, way >> 2 & 1, seed + (uint32_t)way);
    stages_on_both_cards_compute_what_the_cpu_does(c);
    tribus_cuda_context_close(c[1]);
    tribus_cuda_context_close(c[0]);
    return 0;
}
