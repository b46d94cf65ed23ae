/* test_cuda_queue.c -- the host's side of a queue of persistent stages, on the fake driver:
 * what is refused, what the kernel is given, that it ends when told, that nothing leaks. The
 * kernel here is C and hands over through the same rings. */
#include "base/atomic.h"
#include "base/clock.h"
#include "device/cuda_image.h"
#include "device/cuda_memory.h"
#include "device/cuda_queue.h"
#include "fake_card.h"
#include "tribus/base.h"

#include <stdlib.h>

#define LONG_NS INT64_C(10000000000)
#define CELLS   64u

/* One stage that passes on: what tribus_cuda_queue_run does with one block. */
static void run_in_c(const void *argument, fake_grid grid)
{
    const tribus_cuda_queue_args *a = argument;
    const size_t bytes = tribus_ring_bytes(CELLS, 64);
    _Atomic(uint64_t) *stop = (_Atomic(uint64_t) *)(void *)a->stop;
    _Atomic(uint64_t) *items = (_Atomic(uint64_t) *)(void *)a->items;
    tribus_ring *in, *out;
    uint64_t done = 0;

    CHECK(grid.threads == TRIBUS_CUDA_QUEUE_THREADS);
    CHECK(a->feed.mask == CELLS - 1 && a->drain.mask == CELLS - 1);
    if (grid.blocks > 1)
        CHECK(a->between.mask >= 31 && a->between.hops != NULL && *a->between.done == 0);
    CHECK(tribus_ring_open(a->feed.base, bytes, TRIBUS_READER, &in) == TRIBUS_OK);
    CHECK(tribus_ring_open(a->drain.base, bytes, TRIBUS_WRITER, &out) == TRIBUS_OK);
    while (tribus_load_acq(stop) == 0) {
        const void *cell;
        void *to;

        if (tribus_ring_peek(in, &cell, NULL) == TRIBUS_OK &&
            tribus_ring_claim(out, &to) == TRIBUS_OK) {
            memcpy(to, cell, sizeof(tribus_cuda_queue_item));
            tribus_ring_commit(out);
            tribus_ring_release(in);
            done++;
        } else {
            tribus_relax();
        }
    }
    for (unsigned s = 0; s < grid.blocks; s++)
        tribus_store_rel(&items[s], done);
    tribus_ring_close(in);
    tribus_ring_close(out);
}

typedef struct fixture {
    tribus_cuda_context *c;
    void *mem[2];
    tribus_cuda_queue_stage stages[TRIBUS_CUDA_QUEUE_STAGES];
    tribus_cuda_queue_cfg cfg;
} fixture;

static fixture fixture_of(uint32_t stage_count)
{
    fixture f = {.c = NULL};
    const size_t bytes = tribus_ring_bytes(CELLS, 64);
    tribus_cuda_queue_end *ends[2] = {&f.cfg.feed, &f.cfg.drain};

    CHECK(tribus_cuda_context_open(0, &f.c) == TRIBUS_OK);
    for (int i = 0; i < 2; i++) {
        CHECK(posix_memalign(&f.mem[i], 64, bytes) == 0);
        CHECK(tribus_ring_create(f.mem[i], bytes, CELLS, 64) == TRIBUS_OK);
        *ends[i] = (tribus_cuda_queue_end){f.mem[i], f.mem[i], bytes};
    }
    f.cfg.stage_count = stage_count;
    return f;
}

static tribus_status open_queue(fixture *f, tribus_cuda_queue **q)
{
    f->cfg.stages = f->stages;
    return tribus_cuda_queue_open(f->c, &f->cfg, q);
}

static void fixture_drop(fixture *f)
{
    tribus_cuda_context_close(f->c);
    free(f->mem[0]);
    free(f->mem[1]);
}

static void open_refuses_what_a_kernel_could_not_do(const fake_ops *fake)
{
    fixture f = fixture_of(0);
    const int live = fake->live();
    tribus_cuda_queue *q = NULL;

    CHECK(open_queue(&f, &q) == TRIBUS_BAD_ARG);
    f.cfg.stage_count = TRIBUS_CUDA_QUEUE_STAGES + 1;
    CHECK(open_queue(&f, &q) == TRIBUS_BAD_ARG);
    f.cfg.stage_count = 2;
    f.cfg.cells = 16;
    CHECK(open_queue(&f, &q) == TRIBUS_BAD_ARG);
    f.cfg.cells = 100;
    CHECK(open_queue(&f, &q) == TRIBUS_BAD_ARG);
    f.cfg.cells = 0;
    f.stages[1].work = TRIBUS_CUDA_QUEUE_WORKS;
    CHECK(open_queue(&f, &q) == TRIBUS_BAD_ARG);
    f.stages[1] = (tribus_cuda_queue_stage){.work = TRIBUS_CUDA_QUEUE_SCALE,
                                            .from = f.mem[0],
                                            .to = f.mem[0],
                                            .slots = 1,
                                            .slot_bytes = 16,
                                            .elements = 5};
    CHECK(open_queue(&f, &q) == TRIBUS_BAD_ARG);
    CHECK(strstr(tribus_error_text(), "stage 1") != NULL);
    f.stages[1].work = TRIBUS_CUDA_QUEUE_PASS;
    memset(f.mem[1], 0, 64);
    CHECK(open_queue(&f, &q) == TRIBUS_CORRUPT && q == NULL);
    CHECK(fake->live() == live);
    fixture_drop(&f);
    CHECK(fake->live() == 0);
}

static void items_pass_until_told_to_stop(const fake_ops *fake, uint32_t stages)
{
    fixture f = fixture_of(stages);
    const size_t bytes = tribus_ring_bytes(CELLS, 64);
    const tribus_wait_cfg patient = {.spin_ns = -1, .timeout_ns = LONG_NS};
    tribus_cuda_queue_done done[TRIBUS_CUDA_QUEUE_STAGES];
    tribus_cuda_queue *q = NULL;
    tribus_ring *feed, *drain;

    CHECK(open_queue(&f, &q) == TRIBUS_OK);
    CHECK(tribus_ring_open(f.mem[0], bytes, TRIBUS_WRITER, &feed) == TRIBUS_OK);
    CHECK(tribus_ring_open(f.mem[1], bytes, TRIBUS_READER, &drain) == TRIBUS_OK);
    for (uint64_t i = 0; i < 200; i++) {
        const tribus_cuda_queue_item item = {.run = i, .user = {i, 2, 3, 4, 5}};
        const void *cell;
        void *to;

        CHECK(tribus_ring_claim(feed, &to) == TRIBUS_OK);
        memcpy(to, &item, sizeof(item));
        tribus_ring_commit(feed);
        CHECK(tribus_ring_wait(drain, &patient) == TRIBUS_OK);
        CHECK(tribus_ring_peek(drain, &cell, NULL) == TRIBUS_OK);
        CHECK(memcmp(cell, &item, sizeof(item)) == 0);
        tribus_ring_release(drain);
    }
    CHECK(tribus_cuda_queue_check(q) == TRIBUS_OK);
    CHECK(tribus_cuda_queue_stop(q, LONG_NS, done) == TRIBUS_OK);
    CHECK(done[0].items == 200 && done[stages - 1].items == 200);
    CHECK(tribus_cuda_queue_check(q) == TRIBUS_STOPPED);
    tribus_cuda_queue_close(q);
    tribus_cuda_queue_close(NULL);
    tribus_ring_close(feed);
    tribus_ring_close(drain);
    fixture_drop(&f);
    CHECK(fake->live() == 0);
}

static void every_call_that_fails_leaks_nothing(const fake_ops *fake)
{
    for (int nth = 1; nth < 200; nth++) {
        fixture f = fixture_of(3);
        const int live = fake->live();
        tribus_cuda_queue *q = NULL;
        tribus_status st;

        fake->reset();
        fake->fail(NULL, nth, 719);
        st = open_queue(&f, &q);
        if (st == TRIBUS_OK)
            tribus_cuda_queue_close(q);
        else
            CHECK(tribus_error_text()[0] != '\0' && q == NULL);
        nth = fake->failed() ? nth : 1000;
        fake->reset();
        /* The pages of the card's queues stay until the context goes. */
        CHECK(fake->live() == live + (f.c->queue_pages != NULL ? 1 : 0));
        fixture_drop(&f);
        CHECK(fake->live() == 0);
    }
}

int main(void)
{
    const fake_ops *fake = fake_card();

    if (tribus_cuda_images[0].name == NULL)
        SKIP("this build has no kernels for NVIDIA cards");
    fake->kernel("tribus_cuda_queue_run", run_in_c, sizeof(tribus_cuda_queue_args));
    open_refuses_what_a_kernel_could_not_do(fake);
    items_pass_until_told_to_stop(fake, 1);
    items_pass_until_told_to_stop(fake, 5);
    every_call_that_fails_leaks_nothing(fake);
    return 0;
}
