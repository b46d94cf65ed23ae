/* card_work.c -- what the card computes, against the CPU: mc_var_es on random portfolios, the
 * queue of persistent stages, and waits whose deadline passes. Outputs are poisoned before
 * each run; inputs are drawn afresh from the printed seed. */
#include "card.h"
#include "device/cuda_queue.h"
#include "tribus/device.h"

#include <math.h>

typedef struct portfolio {
    uint32_t assets;
    float *forecast, *factor, *weights;
    double *risk;
    void *mem;
    size_t bytes;
} portfolio;

static double draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*state >> 11) * 0x1p-53;
}

/* All in one registered piece of host memory, so that both devices read the same bytes. */
static portfolio portfolio_of(uint32_t n, uint64_t *state)
{
    portfolio p = {.assets = n};
    unsigned char *at;

    p.bytes = 4096 + ((size_t)n * n + 3 * n + 64) * sizeof(float);
    p.mem = at = card_shared(p.bytes);
    p.risk = (double *)(void *)at;
    p.forecast = (float *)(void *)(at + 256);
    p.weights = p.forecast + 2 * n;
    p.factor = p.weights + n;
    for (uint32_t i = 0; i < n; i++) {
        double norm = 0.0;

        p.forecast[2 * i] = (float)(0.001 * (draw(state) - 0.5));
        p.forecast[2 * i + 1] = (float)(0.005 + 0.03 * draw(state));
        p.weights[i] = (float)(1e6 * (draw(state) - 0.3));
        for (uint32_t j = 0; j <= i; j++) {
            const double x = j == i ? 1.0 + draw(state) : draw(state) - 0.4;

            p.factor[(size_t)i * n + j] = (float)x;
            norm += x * x;
        }
        for (uint32_t j = 0; j <= i; j++)
            p.factor[(size_t)i * n + j] /= (float)sqrt(norm);
    }
    return p;
}

static void run_on(tribus_device *device, portfolio *p, void *data, const double params[4],
                   double out[4])
{
    const bool cpu = tribus_device_type(device) == TRIBUS_DEVICE_CPU;
    const tribus_dtype f32 = {TRIBUS_DTYPE_FLOAT, 32, 1}, f64 = {TRIBUS_DTYPE_FLOAT, 64, 1};
    const int64_t n2[] = {p->assets, 2}, nn[] = {p->assets, p->assets}, four[] = {4};
    unsigned char *base = cpu ? p->mem : data;
    unsigned char *host = p->mem;
    tribus_tensor t[4];
    tribus_kernel *k;

#define AT(x) (base + ((unsigned char *)(x)-host))
    GOOD(tribus_tensor_init(&t[0], f32, 2, n2, AT(p->forecast), 8 * p->assets));
    GOOD(tribus_tensor_init(&t[1], f32, 2, nn, AT(p->factor),
                            (size_t)4 * p->assets * p->assets));
    GOOD(tribus_tensor_init(&t[2], f32, 1, n2, AT(p->weights), 4 * p->assets));
    GOOD(tribus_tensor_init(&t[3], f64, 1, four, AT(p->risk), 32));
#undef AT
    for (int i = 0; i < 4; i++) {
        t[i].device_type = tribus_device_type(device);
        p->risk[i] = (double)NAN;
    }
    GOOD(tribus_kernel_open(device, "mc_var_es", &k));
    GOOD(tribus_kernel_set(k, "paths", params[0]));
    GOOD(tribus_kernel_set(k, "nu", params[1]));
    GOOD(tribus_kernel_set(k, "seed", params[2]));
    GOOD(tribus_kernel_set(k, "exact", params[3]));
    GOOD(tribus_kernel_bind(k, t, 3, &t[3], 1));
    GOOD(tribus_kernel_run(k));
    GOOD(tribus_device_synchronise_wait(device, CARD_LONG_NS));
    memcpy(out, p->risk, 4 * sizeof(*out));
    tribus_kernel_close(k);
}

/* What is off, as a share of the P&L's deviation. */
typedef struct difference {
    double tail, moments; /* VaR and ES; mean and deviation */
    int same_bits, runs;
} difference;

static void compare(tribus_device *cpu, tribus_device *card, portfolio *p, void *data,
                    const double params[4], difference *d)
{
    double want[4], got[4];

    run_on(cpu, p, NULL, params, want);
    run_on(card, p, data, params, got);
    for (int k = 0; k < 4; k++) {
        const double off = fabs(got[k] - want[k]) / fmax(fabs(want[3]), 1e-30);

        CHECK(isfinite(got[k]));
        if (k < 2)
            d->tail = fmax(d->tail, off);
        else
            d->moments = fmax(d->moments, off);
    }
    d->same_bits += got[0] == want[0];
    d->runs++;
}

/* The exact paths have the CPU's bits; the tuned ones are within what mc_cuda.cu states. */
static void mc_var_es_agrees_with_the_cpu(tribus_device *card, uint64_t *state)
{
    static const uint32_t sizes[] = {1, 3, 4, 31, 100, 257, 439};
    difference d[2] = {{0}};
    tribus_device *cpu;

    GOOD(tribus_device_open("cpu", &cpu));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        portfolio p = portfolio_of(sizes[i], state);
        const double bad[4] = {1000, 0, 1, 1};
        double got[4];
        void *data;

        GOOD(tribus_device_register(card, p.mem, p.bytes, &data));
        for (int exact = 0; exact < 2; exact++)
            for (int nu = 0; nu <= 5; nu += 5) {
                const double params[4] = {1000 + floor(draw(state) * 60000), nu,
                                          floor(draw(state) * 1e9), exact};

                compare(cpu, card, &p, data, params, &d[exact]);
            }
        p.forecast[1] = -1.0f;
        run_on(card, &p, data, bad, got);
        for (int k = 0; k < 4; k++)
            CHECK(isnan(got[k]));
        tribus_device_unregister(card, p.mem);
        CHECK(munmap(p.mem, p.bytes) == 0);
    }
    for (int exact = 0; exact < 2; exact++)
        printf(
            "mc_var_es, %s: %d runs against the CPU: VaR equal to the last bit in %d; VaR "
            "and ES off by at most %.2g, mean and deviation by %.2g of the deviation\n",
            exact ? "exact" : "tuned", d[exact].runs, d[exact].same_bits, d[exact].tail,
            d[exact].moments);
    CHECK(d[1].tail < 1e-6 && d[1].moments < 1e-6);
    CHECK(d[0].tail < 2e-5 && d[0].moments < 2e-5);
    tribus_device_close(cpu);
}

/* ---- persistent stages ---- */

#define CELLS    1024u
#define SLOTS    64u
#define ELEMENTS 256u

typedef struct queue_fixture {
    void *mem[2];
    tribus_cuda_queue_end ends[2];
    tribus_ring *feed, *drain;
    float *slots; /* three slabs of SLOTS slots, in host memory */
    void *slots_data;
    size_t bytes;
} queue_fixture;

static queue_fixture queue_fixture_of(tribus_cuda_context *c)
{
    queue_fixture f = {.bytes = (size_t)3 * SLOTS * ELEMENTS * sizeof(float)};

    for (int i = 0; i < 2; i++) {
        f.ends[i].bytes = tribus_ring_bytes(CELLS, 64);
        f.ends[i].mem = f.mem[i] = card_shared(f.ends[i].bytes);
        GOOD(tribus_ring_create(f.mem[i], f.ends[i].bytes, CELLS, 64));
        GOOD(tribus_cuda_memory_register(c, f.mem[i], f.ends[i].bytes, &f.ends[i].data));
    }
    f.slots = card_shared(f.bytes);
    GOOD(tribus_cuda_memory_register(c, f.slots, f.bytes, &f.slots_data));
    return f;
}

static void stages_hand_every_item_on_in_order(tribus_cuda_context *c, uint64_t *state)
{
    const char *given = getenv("TRIBUS_CARD_ITEMS"); /* fewer under a sanitizer */
    const uint64_t items = given != NULL ? strtoull(given, NULL, 10) : 100000;
    queue_fixture f = queue_fixture_of(c);
    float *data = f.slots_data;
    tribus_cuda_queue_stage stages[4] = {{.work = TRIBUS_CUDA_QUEUE_PASS},
                                         {.work = TRIBUS_CUDA_QUEUE_SCALE,
                                          .a = 2.0f,
                                          .b = 1.0f,
                                          .from = data,
                                          .to = data + SLOTS * ELEMENTS},
                                         {.work = TRIBUS_CUDA_QUEUE_PASS},
                                         {.work = TRIBUS_CUDA_QUEUE_SCALE,
                                          .a = 3.0f,
                                          .b = -1.0f,
                                          .from = data + SLOTS * ELEMENTS,
                                          .to = data + 2 * SLOTS * ELEMENTS}};
    tribus_cuda_queue_cfg cfg = {
        .stages = stages, .stage_count = 4, .feed = f.ends[0], .drain = f.ends[1]};
    tribus_cuda_queue *q;
    uint64_t fed = 0, drained = 0, poisoned = 0;
    tribus_cuda_queue_done counts[4];
    const int64_t until_ns = tribus_now_ns() + CARD_LONG_NS;

    for (int s = 1; s < 4; s += 2) {
        stages[s].elements = ELEMENTS;
        stages[s].slots = SLOTS;
        stages[s].slot_bytes = ELEMENTS * sizeof(float);
    }
    GOOD(tribus_cuda_queue_open(c, &cfg, &q));
    GOOD(tribus_ring_open(f.mem[0], f.ends[0].bytes, TRIBUS_WRITER, &f.feed));
    GOOD(tribus_ring_open(f.mem[1], f.ends[1].bytes, TRIBUS_READER, &f.drain));
    while (drained < items) {
        const void *cell;
        void *free_cell;

        CHECK(tribus_now_ns() < until_ns);
        /* A slot is written again only once its last result was looked at. */
        if (fed < items && fed - drained < SLOTS &&
            tribus_ring_claim(f.feed, &free_cell) == TRIBUS_OK) {
            const uint32_t slot = (uint32_t)(fed % SLOTS);
            tribus_cuda_queue_item item = {
                .run = fed, .slot = slot, .user = {fed * 3, 7, fed, 9}};

            if (fed % 1000 == 500)
                item.slot = SLOTS + (uint32_t)fed; /* no such slot */
            for (uint32_t i = 0; i < ELEMENTS; i++) {
                f.slots[slot * ELEMENTS + i] = (float)((fed + i) % 4096);
                f.slots[(2 * SLOTS + slot) * ELEMENTS + i] = NAN;
            }
            memcpy(free_cell, &item, sizeof(item));
            tribus_ring_commit(f.feed);
            fed++;
        }
        if (tribus_ring_peek(f.drain, &cell, NULL) == TRIBUS_OK) {
            tribus_cuda_queue_item item;

            memcpy(&item, cell, sizeof(item));
            CHECK(item.run == drained && item.user[0] == drained * 3 && item.user[3] == 9);
            if (drained % 1000 == 500) {
                CHECK(item.flags ==
                      (TRIBUS_CUDA_QUEUE_POISONED | TRIBUS_CUDA_QUEUE_BAD_SLOT));
                poisoned++;
            } else {
                const uint32_t slot = item.slot;

                CHECK(item.flags == 0 && slot == drained % SLOTS);
                for (uint32_t i = 0; i < ELEMENTS; i++)
                    CHECK(f.slots[(2 * SLOTS + slot) * ELEMENTS + i] ==
                          3.0f * (2.0f * (float)((drained + i) % 4096) + 1.0f) - 1.0f);
            }
            tribus_ring_release(f.drain);
            drained++;
        }
    }
    GOOD(tribus_cuda_queue_check(q));
    GOOD(tribus_cuda_queue_stop(q, CARD_LONG_NS, counts));
    for (int s = 0; s < 4; s++)
        CHECK(counts[s].items == items);
    CHECK(tribus_cuda_queue_check(q) == TRIBUS_STOPPED);
    tribus_cuda_queue_close(q);
    (void)state;
    printf(
        "queue: %llu items through 4 persistent stages, in order, %llu poisoned for a bad "
        "slot\n",
        (unsigned long long)items, (unsigned long long)poisoned);
    CHECK(poisoned == (items + 499) / 1000);
}

static void late_waits_are_poisoned(tribus_cuda_context *c)
{
    static const int64_t timeout_ns = 20000000;
    tribus_device_memory mem;
    tribus_cuda_timeline t[2];
    void *page = card_shared(4096), *data;
    int fd = -1;

    GOOD(tribus_cuda_memory_register(c, page, 4096, &data));
    GOOD(tribus_timeline_create(page, TRIBUS_TIMELINE_BYTES, 0));
    GOOD(tribus_cuda_timeline_of_host(page, data, &t[0]));
    GOOD(tribus_cuda_memory_create(c, 4096, &fd, &mem));
    GOOD(tribus_cuda_timeline_of_card(c, mem.data, true, 0, &t[1]));
    for (int on_card = 0; on_card < 2; on_card++) {
        const int64_t start_ns = tribus_now_ns();
        int64_t value;

        GOOD(tribus_cuda_timeline_wait(&c->main, &t[on_card], 1, timeout_ns));
        GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
        printf(
            "wait with a deadline of 20 ms, timeline %s: released poisoned after %.2f ms\n",
            on_card ? "on the card" : "in host memory",
            (double)(tribus_now_ns() - start_ns) * 1e-6);
        CHECK(tribus_now_ns() - start_ns >= timeout_ns);
        GOOD(tribus_cuda_timeline_get(c, &t[on_card], &value));
        CHECK(value == TRIBUS_TIMELINE_POISON);
        /* The late write does not heal it. */
        GOOD(tribus_cuda_timeline_advance(&c->main, &t[on_card], 1));
        GOOD(tribus_cuda_stream_wait(&c->main, CARD_LONG_NS));
        GOOD(tribus_cuda_timeline_get(c, &t[on_card], &value));
        CHECK(value == TRIBUS_TIMELINE_POISON);
        tribus_cuda_timeline_forget(c, &t[on_card]);
    }
    (void)close(fd);
}

int main(void)
{
    uint64_t state = check_seed();
    tribus_device_row rows[8];
    tribus_device *card;
    const uint32_t n = tribus_device_list(rows, 8);

    for (uint32_t i = 0; i < n; i++)
        printf("%s: %s\n", rows[i].name, rows[i].detail);
    tribus_cuda_context_close(card_open());
    GOOD(tribus_device_open("cuda:0", &card));
    mc_var_es_agrees_with_the_cpu(card, &state);
    late_waits_are_poisoned((tribus_cuda_context *)card);
    stages_hand_every_item_on_in_order((tribus_cuda_context *)card, &state);
    tribus_device_close(card);
    return 0;
}
