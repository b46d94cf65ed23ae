/* cuda_queue_kernels.cu -- stages that stay on the card: each is one block that polls, works
 * and hands on. Nothing is launched between them.
 *
 * The first ring and the last are those of fabric/ring.c, word for word, so that they may be
 * fed and drained by tribus_ring_* in any process:
 *   R1 -> A1   commit  -> peek    a cell's sequence word, p + 1 once message p is there
 *   R2 -> A2   release -> claim   the reader's position, at byte 256
 * Between stages an item is 16 bytes that are stored and loaded as one: its number and its
 * slot, which is all that a stage needs. Its other bytes go straight from the first stage to
 * the last, beside the chain, and are there long before they are wanted:
 *   R3 -> A3   hop       a stage sees the slot's bytes of what it sees handed on
 *   R4 -> A4   beside    the last stage sees the other bytes
 *   R5 -> A5   done      the first stage writes over only what the last is done with
 * A hop through whole cells, which read 56 bytes after the number and fenced 56 bytes before
 * it, took 1.5 us where a bare flag takes 0.67.
 *
 * What has come by the time a stage looks is taken as one batch of up to 32: alone, an item
 * costs its latency; in a crowd, 32 share one look across the bus. The work of a batch is
 * spread over the block's warps, an item each. */
#include "device/cuda_queue_kernels.h"
#include "device/cuda_words.h"

#define RELEASED 256u
#define OFFERED  264u
#define CELLS    640u
#define WORDS    7u /* of an item: run, slot and flags, five of the user's */
#define SLOT     1u
#define BATCH    TRIBUS_CUDA_QUEUE_BATCH
#define WARPS    (TRIBUS_CUDA_QUEUE_THREADS / 32u)
#define ALL      0xffffffffu

static __device__ __forceinline__ uint64_t *cell_of(const tribus_cuda_queue_ring &r,
                                                    uint64_t position)
{
    return (uint64_t *)(r.base + CELLS + (position & r.mask) * 64u);
}

static __device__ __forceinline__ uint8_t *hop_of(const tribus_cuda_queue_between &b,
                                                  uint32_t from, uint64_t position)
{
    return b.hops + ((uint64_t)from * (b.mask + 1u) + (position & b.mask)) * 16u;
}

static __device__ __forceinline__ uint64_t *beside_of(const tribus_cuda_queue_between &b,
                                                      uint64_t position)
{
    return (uint64_t *)(b.items + (position & b.mask) * 64u);
}

/* How many lanes from the first on say yes. */
static __device__ __forceinline__ uint32_t leading(bool ready)
{
    const uint32_t there = __ballot_sync(ALL, ready);

    __syncwarp(); /* what one lane acquired, the others read */
    return there == ALL ? 32u : (uint32_t)__ffs((int)~there) - 1u;
}

/* Warp 0 of the first stage: wait for the message at position, then take it and those that
 * follow it. Returns how many; 0 once told to stop. One lane polls one word: 32 looks at once
 * would each take longer on the bus. The first message's bytes and the numbers of the next
 * `window` are then read together; the window follows what comes, so that a message alone
 * does not wait for 31 looks at nothing. */
static __device__ uint32_t take_fed(const tribus_cuda_queue_ring &in, uint64_t position,
                                    const uint64_t *stop, uint32_t *window,
                                    uint64_t (*items)[WORDS])
{
    const uint32_t lane = threadIdx.x;
    const uint64_t *first = cell_of(in, position);
    uint32_t told = 0;

    if (lane == 0) {
        /* A1 pairs with R1 in fabric/ring.c. */
        for (uint32_t polls = 1; tribus_load_acq_sys(first) != position + 1; polls++)
            if (polls % 64u == 0 && tribus_load_rlx_sys(stop) != 0) {
                told = 1;
                break;
            }
    }
    __syncwarp();
    if (__shfl_sync(ALL, told, 0) != 0)
        return 0;
    const uint64_t word = lane < WORDS ? __ldcv(&first[1 + lane]) : 0;
    const bool ready =
        lane == 0 || (lane < *window && lane <= in.mask &&
                      /* A1 pairs with R1 in fabric/ring.c. */
                      tribus_load_acq_sys(cell_of(in, position + lane)) == position + lane + 1);
    const uint32_t n = leading(ready);

    *window = n == *window ? min(4u * n, 32u) : max(n + 1u, 2u);
    if (lane < WORDS)
        items[0][lane] = word;
    __syncwarp();
    for (uint32_t k = 8u + lane; k < n * 8u; k += 32u)
        if (k % 8u != 0)
            items[k / 8u][k % 8u - 1u] = __ldcv(&cell_of(in, position + k / 8u)[k % 8u]);
    __syncwarp();
    return n;
}

/* Warp 0 of the others: the same from the stage before. All lanes look at once: their cells
 * lie together. */
static __device__ uint32_t take_hop(const tribus_cuda_queue_between &b, uint32_t from,
                                    uint64_t position, const uint64_t *stop,
                                    uint64_t (*items)[WORDS])
{
    const uint32_t lane = threadIdx.x;
    const uint8_t *cell = hop_of(b, from, position + lane);

    for (uint32_t polls = 1;; polls++) {
        uint64_t number, slot;
        uint64_t told = 0;

        /* A3 pairs with R3 in hand_hop. */
        tribus_load_pair_acq_gpu(cell, &number, &slot);
        const uint32_t n = leading(number == position + lane + 1);

        if (n > 0) {
            if (lane < n)
                items[lane][SLOT] = slot;
            __syncwarp();
            return n;
        }
        if (polls % 1024u != 0)
            continue;
        if (lane == 0)
            told = tribus_load_rlx_sys(stop);
        if (__shfl_sync(ALL, told, 0) != 0)
            return 0;
    }
}

/* Warp 0: wait until n more fit behind what the other end has given back, at *other. False
 * once told to stop. */
static __device__ bool make_room(const uint64_t *other, bool system, uint64_t cells,
                                 uint64_t position, uint32_t n, uint64_t *released,
                                 const uint64_t *stop)
{
    uint32_t polls = 0;

    while (position + n - *released > cells) {
        uint64_t seen = 0, told = 0;

        if (threadIdx.x == 0) {
            /* A2 pairs with R2 in fabric/ring.c, A5 pairs with R5 in hand_out. */
            seen = system ? tribus_load_acq_sys(other) : tribus_load_acq_gpu(other);
            if (++polls % 256u == 0)
                told = tribus_load_rlx_sys(stop);
        }
        *released = __shfl_sync(ALL, seen, 0);
        if (__shfl_sync(ALL, told, 0) != 0)
            return false;
    }
    return true;
}

/* Warp 0: n items to the next stage. */
static __device__ void hand_hop(const tribus_cuda_queue_between &b, uint32_t from,
                                uint64_t position, uint64_t (*items)[WORDS], uint32_t n)
{
    const uint32_t lane = threadIdx.x;

    if (lane < n)
        /* R3 pairs with A3 in take_hop. */
        tribus_store_pair_rel_gpu(hop_of(b, from, position + lane), position + lane + 1,
                                  items[lane][SLOT]);
    __syncwarp();
}

/* Warp 0 of the first stage: what the next stages do not look at, and the cells given back. */
static __device__ void put_beside(const tribus_cuda_queue_between &b, uint64_t position,
                                  uint64_t (*items)[WORDS], uint32_t n)
{
    const uint32_t lane = threadIdx.x;

    for (uint32_t k = lane; k < n * 8u; k += 32u)
        if (k % 8u != 0)
            beside_of(b, position + k / 8u)[k % 8u] = items[k / 8u][k % 8u - 1u];
    __syncwarp();
    if (lane < n)
        /* R4 pairs with A4 in get_beside. */
        tribus_store_rel_gpu(beside_of(b, position + lane), position + lane + 1);
    __syncwarp();
}

/* Warp 0 of the last stage: the same read; the slot is the one that came along the chain. */
static __device__ void get_beside(const tribus_cuda_queue_between &b, uint64_t position,
                                  uint64_t (*items)[WORDS], uint32_t n)
{
    const uint32_t lane = threadIdx.x;

    if (lane < n)
        /* A4 pairs with R4 in put_beside. The first stage writes it right after the hop. */
        while (tribus_load_acq_gpu(beside_of(b, position + lane)) != position + lane + 1)
            ;
    __syncwarp();
    for (uint32_t k = lane; k < n * 8u; k += 32u)
        if (k % 8u != 0 && k % 8u != 1u + SLOT)
            items[k / 8u][k % 8u - 1u] = __ldcv(&beside_of(b, position + k / 8u)[k % 8u]);
    __syncwarp();
}

/* Warp 0 of the first stage: the feed's cells go back to the feeder. */
static __device__ void give_back(const tribus_cuda_queue_ring &in, uint64_t position)
{
    if (threadIdx.x == 0) {
        tribus_store_rlx_sys((uint64_t *)(in.base + OFFERED), position);
        /* R2 pairs with A2 in fabric/ring.c. */
        tribus_store_rel_sys((uint64_t *)(in.base + RELEASED), position);
    }
    __syncwarp();
}

/* Warp 0 of the last stage: commit n items to the drain. */
static __device__ void hand_out(const tribus_cuda_queue_ring &out, uint64_t position,
                                uint64_t (*items)[WORDS], uint32_t n, uint64_t *done,
                                uint64_t count)
{
    const uint32_t lane = threadIdx.x;

    for (uint32_t k = lane; k < n * 8u; k += 32u)
        if (k % 8u != 0)
            cell_of(out, position + k / 8u)[k % 8u] = items[k / 8u][k % 8u - 1u];
    __syncwarp();
    /* R1 pairs with A1 in fabric/ring.c. */
    if (lane < n)
        tribus_store_rel_sys(cell_of(out, position + lane), position + lane + 1);
    if (lane == 0 && done != nullptr)
        tribus_store_rel_gpu(done, count); /* R5 pairs with A5 in make_room. */
    __syncwarp();
}

static __device__ void work_on(const tribus_cuda_queue_stage &s, uint64_t *words)
{
    tribus_cuda_queue_item *item = (tribus_cuda_queue_item *)words;
    const uint32_t lane = threadIdx.x % 32u;
    const uint32_t slot = item->slot, flags = item->flags;

    if (s.work == TRIBUS_CUDA_QUEUE_PASS || (flags & TRIBUS_CUDA_QUEUE_POISONED) != 0)
        return;
    if (slot >= s.slots) {
        __syncwarp();
        if (lane == 0)
            item->flags = flags | TRIBUS_CUDA_QUEUE_POISONED | TRIBUS_CUDA_QUEUE_BAD_SLOT;
    } else if (s.work == TRIBUS_CUDA_QUEUE_SCALE) {
        const float *from = (const float *)((const uint8_t *)s.from + slot * s.slot_bytes);
        float *to = (float *)((uint8_t *)s.to + slot * s.slot_bytes);

        /* Not through the read-only cache: another block wrote these while we ran. */
        for (uint32_t i = lane; i < s.elements; i += 32u)
            to[i] = s.a * __ldcg(&from[i]) + s.b;
    }
    __syncwarp();
}

/* Warp 0: n items of this stage go on, to the next stage or out. */
static __device__ void pass_on(const tribus_cuda_queue_args &a, uint64_t done,
                               uint64_t fed_from, uint64_t out_from,
                               uint64_t (*items)[WORDS], uint32_t n)
{
    const bool first = blockIdx.x == 0, last = blockIdx.x + 1 == gridDim.x;

    if (!last)
        hand_hop(a.between, blockIdx.x, done, items, n);
    if (first && !last)
        put_beside(a.between, done, items, n);
    if (last && !first)
        get_beside(a.between, done, items, n);
    if (last)
        hand_out(a.drain, out_from + done, items, n, first ? nullptr : a.between.done, done + n);
    if (first)
        give_back(a.feed, fed_from + done + n);
}

/* A single item is worked on by the warp that took it, and the others sleep at a barrier;
 * from two on all are woken. */
extern "C" __global__ void __launch_bounds__(TRIBUS_CUDA_QUEUE_THREADS, 1)
    tribus_cuda_queue_run(const __grid_constant__ tribus_cuda_queue_args a)
{
    __shared__ uint64_t items[BATCH][WORDS];
    __shared__ uint32_t count;
    const bool first = blockIdx.x == 0, last = blockIdx.x + 1 == gridDim.x;
    const tribus_cuda_queue_stage s = a.stages[blockIdx.x];
    const uint32_t warp = threadIdx.x / 32u;
    /* Both rings were empty when the queue was opened. */
    const uint64_t fed_from = *(const uint64_t *)(a.feed.base + RELEASED);
    const uint64_t out_from = *(const uint64_t *)(a.drain.base + RELEASED);
    uint64_t released = last ? out_from : 0, done = 0, work_ns = 0;
    uint32_t window = 2;

    for (;;) {
        uint32_t n = 0;

        while (warp == 0) {
            bool room = true;

            n = first ? take_fed(a.feed, fed_from + done, a.stop, &window, items)
                      : take_hop(a.between, blockIdx.x - 1, done, a.stop, items);
            if (last)
                room = make_room((const uint64_t *)(a.drain.base + RELEASED), true,
                                 a.drain.mask + 1ull, out_from + done, n, &released, a.stop);
            else if (first)
                room = make_room(a.between.done, false, a.between.mask + 1ull, done, n,
                                 &released, a.stop);
            n = room ? n : 0;
            if (n == 0 || (n > 1 && s.work != TRIBUS_CUDA_QUEUE_PASS))
                break;
            if (s.work != TRIBUS_CUDA_QUEUE_PASS) {
                const uint64_t start_ns = tribus_device_now_ns();

                work_on(s, items[0]);
                work_ns += tribus_device_now_ns() - start_ns;
            }
            pass_on(a, done, fed_from, out_from, items, n);
            done += n;
        }
        if (threadIdx.x == 0)
            count = n;
        __syncthreads();
        if (count == 0)
            break;
        const uint64_t start_ns = tribus_device_now_ns();

        for (uint32_t i = warp; i < count; i += WARPS)
            work_on(s, items[i]);
        __syncthreads();
        if (warp == 0) {
            work_ns += tribus_device_now_ns() - start_ns;
            pass_on(a, done, fed_from, out_from, items, n);
            done += n;
        }
    }
    if (threadIdx.x == 0) {
        tribus_store_rlx_sys(&a.work_ns[blockIdx.x], work_ns);
        tribus_store_rel_sys(&a.items[blockIdx.x], done);
    }
}
