/* fake_kernels.c -- the probes and the timeline's kernels of src/device/cuda_timeline_kernels.cu
 * as functions of the host, so that programs made for a card run on the fake one. */
#include "fake_inside.h"

#include "device/cuda_queue_kernels.h"
#include "device/cuda_timeline_kernels.h"

#include <sched.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = 20000};

    (void)nanosleep(&t, NULL);
}

static void advance(const void *argument, fake_grid grid)
{
    const tribus_cuda_timeline_args *a = argument;

    (void)grid;
    if (__atomic_load_n(a->poisoned, __ATOMIC_RELAXED) == 0)
        __atomic_store_n(a->value, (uint64_t)a->target, __ATOMIC_RELEASE);
}

static void wait_for(const void *argument, fake_grid grid)
{
    const tribus_cuda_timeline_args *a = argument;
    const int64_t until_ns = now_ns() + a->timeout_ns;

    (void)grid;
    while ((int64_t)__atomic_load_n(a->value, __ATOMIC_ACQUIRE) < a->target) {
        if (now_ns() > until_ns) {
            __atomic_store_n(a->poisoned, 1, __ATOMIC_RELAXED);
            __atomic_store_n(a->value, (uint64_t)INT64_MAX, __ATOMIC_RELEASE);
            return;
        }
        nap();
    }
}

static void fill(const void *argument, fake_grid grid)
{
    const tribus_cuda_probe_args *a = argument;
    uint32_t *words = a->memory;

    (void)grid;
    for (uint64_t i = 0; i < a->words; i++)
        words[i] = (uint32_t)i * 2654435761u + a->seed;
}

static void check(const void *argument, fake_grid grid)
{
    const tribus_cuda_probe_args *a = argument;
    const uint32_t *words = a->memory;
    uint64_t bad = 0;

    (void)grid;
    for (uint64_t i = 0; i < a->words; i++)
        bad += words[i] != (uint32_t)i * 2654435761u + a->seed;
    (void)__atomic_fetch_add(a->bad, bad, __ATOMIC_RELEASE);
}

static void spin(const void *argument, fake_grid grid)
{
    const tribus_cuda_probe_args *a = argument;
    const int64_t start_ns = now_ns();

    (void)grid;
    while (now_ns() - start_ns < (int64_t)a->words &&
           (a->bad == NULL || __atomic_load_n(a->bad, __ATOMIC_ACQUIRE) == 0))
        nap();
}

static void stamp(const void *argument, fake_grid grid)
{
    const tribus_cuda_probe_args *a = argument;

    (void)grid;
    __atomic_store_n(a->bad, (uint64_t)now_ns(), __ATOMIC_RELAXED);
    if (a->memory != NULL)
        __atomic_store_n((uint64_t *)a->memory, a->words, __ATOMIC_RELEASE);
}

static void wait_stamp(const void *argument, fake_grid grid)
{
    const tribus_cuda_probe_args *a = argument;
    const int64_t start_ns = now_ns();

    (void)grid;
    while (__atomic_load_n((const uint64_t *)a->memory, __ATOMIC_ACQUIRE) < a->words) {
        if (now_ns() - start_ns > 10000000000)
            return;
        nap();
    }
    __atomic_store_n(a->bad, (uint64_t)now_ns(), __ATOMIC_RELAXED);
}

/* Two blocks on a flag each way: nothing to be measured here. */
static void flags(const void *argument, fake_grid grid)
{
    const tribus_cuda_flags_args *a = argument;

    (void)grid;
    for (uint32_t i = 0; i < a->samples; i++)
        a->out[i] = a->each * 1000u;
}

static void echo(const void *argument, fake_grid grid)
{
    const tribus_cuda_flags_args *a = argument;

    (void)grid;
    for (uint64_t i = 1; i <= a->samples; i++) {
        const int64_t until_ns = now_ns() + 10000000000;

        while (__atomic_load_n(a->ping, __ATOMIC_ACQUIRE) < i)
            if (now_ns() > until_ns)
                return;
        __atomic_store_n(a->pong, i, __ATOMIC_RELEASE);
    }
}

static void peer(const void *argument, fake_grid grid)
{
    const tribus_cuda_flags_args *a = argument;
    const uint64_t rounds = (uint64_t)a->samples * a->each;
    const int64_t until_ns = now_ns() + 10000000000;

    (void)grid;
    for (uint64_t i = 1; i <= rounds; i++) {
        if (a->out != NULL) {
            a->out[(i - 1) / a->each] = 1000;
            __atomic_store_n(a->ping, i, __ATOMIC_RELEASE);
        }
        while (__atomic_load_n(a->pong, __ATOMIC_ACQUIRE) < i) {
            if (now_ns() > until_ns)
                return;
            (void)sched_yield();
        }
        if (a->out == NULL)
            __atomic_store_n(a->ping, i, __ATOMIC_RELEASE);
    }
}

/* ---- persistent stages: all of a queue's in one loop ---- */

#define RELEASED 256u /* the rings' words, as in cuda_queue_kernels.cu */
#define OFFERED  264u
#define CELLS    640u

static uint64_t *cell_of(const tribus_cuda_queue_ring *r, uint64_t position)
{
    return (uint64_t *)(void *)(r->base + CELLS + (position & r->mask) * 64u);
}

static uint64_t *word_of(const tribus_cuda_queue_ring *r, uint32_t offset)
{
    return (uint64_t *)(void *)(r->base + offset);
}

static void work_on(const tribus_cuda_queue_stage *s, tribus_cuda_queue_item *item)
{
    const float *from;
    float *to;

    if (s->work == TRIBUS_CUDA_QUEUE_PASS ||
        (item->flags & TRIBUS_CUDA_QUEUE_POISONED) != 0)
        return;
    if (item->slot >= s->slots) {
        item->flags |= TRIBUS_CUDA_QUEUE_POISONED | TRIBUS_CUDA_QUEUE_BAD_SLOT;
        return;
    }
    from = (const float *)(const void *)((const uint8_t *)s->from +
                                         item->slot * s->slot_bytes);
    to = (float *)(void *)((uint8_t *)s->to + item->slot * s->slot_bytes);
    for (uint32_t i = 0; i < s->elements; i++)
        to[i] = s->a * from[i] + s->b;
}

static void queue_run(const void *argument, fake_grid grid)
{
    const tribus_cuda_queue_args *a = argument;
    uint64_t in = *word_of(&a->feed, RELEASED), out = *word_of(&a->drain, RELEASED);
    uint64_t done = 0;

    while (__atomic_load_n(a->stop, __ATOMIC_RELAXED) == 0) {
        tribus_cuda_queue_item item;

        if (__atomic_load_n(cell_of(&a->feed, in), __ATOMIC_ACQUIRE) != in + 1 ||
            out - __atomic_load_n(word_of(&a->drain, RELEASED), __ATOMIC_ACQUIRE) >
                a->drain.mask) {
            (void)sched_yield();
            continue;
        }
        memcpy(&item, cell_of(&a->feed, in) + 1, sizeof(item));
        for (unsigned s = 0; s < grid.blocks; s++)
            work_on(&a->stages[s], &item);
        memcpy(cell_of(&a->drain, out) + 1, &item, sizeof(item));
        __atomic_store_n(cell_of(&a->drain, out), out + 1, __ATOMIC_RELEASE);
        out++;
        in++;
        done++;
        __atomic_store_n(word_of(&a->feed, OFFERED), in, __ATOMIC_RELAXED);
        __atomic_store_n(word_of(&a->feed, RELEASED), in, __ATOMIC_RELEASE);
    }
    for (unsigned s = 0; s < grid.blocks; s++) {
        a->work_ns[s] = 0;
        __atomic_store_n(&a->items[s], done, __ATOMIC_RELEASE);
    }
}

/* Launched and nothing more: what it would compute is not tested on the fake card. */
static void nothing(const void *argument, fake_grid grid)
{
    (void)argument, (void)grid;
}

const fake_kernel fake_kernels[] = {
    {"tribus_mc_prepare", nothing, 8},
    {"tribus_mc_simulate", nothing, 8},
    {"tribus_mc_simulate_large", nothing, 8},
    {"tribus_mc_select", nothing, 8},
    {"tribus_mc_finish", nothing, 8},
    {"tribus_cuda_queue_run", queue_run, sizeof(tribus_cuda_queue_args)},
    {"tribus_cuda_probe_flags", flags, sizeof(tribus_cuda_flags_args)},
    {"tribus_cuda_probe_echo", echo, sizeof(tribus_cuda_flags_args)},
    {"tribus_cuda_probe_peer", peer, sizeof(tribus_cuda_flags_args)},
    {"tribus_cuda_timeline_kernel_advance", advance, sizeof(tribus_cuda_timeline_args)},
    {"tribus_cuda_timeline_kernel_wait", wait_for, sizeof(tribus_cuda_timeline_args)},
    {"tribus_cuda_probe_fill", fill, sizeof(tribus_cuda_probe_args)},
    {"tribus_cuda_probe_fill_streaming", fill, sizeof(tribus_cuda_probe_args)},
    {"tribus_cuda_probe_touch", nothing, 8},
    {"tribus_cuda_probe_check", check, sizeof(tribus_cuda_probe_args)},
    {"tribus_cuda_probe_spin", spin, sizeof(tribus_cuda_probe_args)},
    {"tribus_cuda_probe_stamp", stamp, sizeof(tribus_cuda_probe_args)},
    {"tribus_cuda_probe_wait_stamp", wait_stamp, sizeof(tribus_cuda_probe_args)},
    {NULL, NULL, 0}};
