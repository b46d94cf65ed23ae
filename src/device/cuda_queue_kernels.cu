/* cuda_queue_kernels.cu -- stages that stay on the card: each is one block that polls a ring,
 * works, and commits to the next ring. Nothing is launched between them.
 *
 * The rings are those of fabric/ring.c, word for word, so the first may be fed and the last
 * drained by tribus_ring_* in any process:
 *   R1 -> A1   commit  -> peek    a cell's sequence word, p + 1 once message p is there
 *   R2 -> A2   release -> claim   the reader's position, at byte 256
 *
 * What has come by the time a stage looks is taken as one batch of up to 32: alone, an item
 * costs its latency; in a crowd, 32 share one look across the bus. The work of a batch is
 * spread over the block's warps, an item each. */
#include "device/cuda_queue_kernels.h"
#include "device/cuda_words.h"

#define RELEASED 256u
#define OFFERED  264u
#define CELLS    640u
#define WORDS    7u /* of an item */
#define BATCH    TRIBUS_CUDA_QUEUE_BATCH
#define WARPS    (TRIBUS_CUDA_QUEUE_THREADS / 32u)

static __device__ __forceinline__ uint64_t *cell_of(const tribus_cuda_queue_ring &r,
                                                    uint64_t position)
{
    return (uint64_t *)(r.base + CELLS + (position & r.mask) * 64u);
}

static __device__ __forceinline__ uint64_t load(const tribus_cuda_queue_ring &r,
                                                const uint64_t *p)
{
    return r.system != 0 ? tribus_load_acq_sys(p) : tribus_load_acq_gpu(p);
}

static __device__ __forceinline__ void store(const tribus_cuda_queue_ring &r, uint64_t *p,
                                             uint64_t v)
{
    if (r.system != 0)
        tribus_store_rel_sys(p, v);
    else
        tribus_store_rel_gpu(p, v);
}

/* Warp 0: wait for the message at position; then take it and those that follow it, at most
 * 32. Returns how many; 0 once told to stop. One lane polls one word: 32 looks at once would
 * each take longer, on the bus above all. The first message's bytes and the words of those
 * that may follow are then read together. */
static __device__ uint32_t take(const tribus_cuda_queue_ring &in, uint64_t position,
                                const uint64_t *stop, uint64_t (*items)[WORDS])
{
    const uint32_t lane = threadIdx.x;
    const uint32_t stop_every = in.system != 0 ? 64u : 1024u;
    const uint64_t *first = cell_of(in, position);
    uint32_t told = 0;

    if (lane == 0) {
        /* A1 pairs with R1 in hand_over and in fabric/ring.c. */
        for (uint32_t polls = 1; load(in, first) != position + 1; polls++)
            if (polls % stop_every == 0 && tribus_load_rlx_sys(stop) != 0) {
                told = 1;
                break;
            }
    }
    __syncwarp(); /* what one lane acquired, the others read */
    if (__shfl_sync(0xffffffffu, told, 0) != 0)
        return 0;
    const uint64_t word = lane < WORDS ? __ldcv(&first[1 + lane]) : 0;
    const bool ready =
        lane == 0 || (lane <= in.mask &&
                      /* A1 once more. */
                      load(in, cell_of(in, position + lane)) == position + lane + 1);
    const uint32_t there = __ballot_sync(0xffffffffu, ready);
    const uint32_t n = there == 0xffffffffu ? 32u : (uint32_t)__ffs((int)~there) - 1u;

    if (lane < WORDS)
        items[0][lane] = word;
    __syncwarp();
    for (uint32_t k = 8u + lane; k < n * 8u; k += 32u)
        if (k % 8u != 0)
            items[k / 8u][k % 8u - 1u] =
                __ldcv(&cell_of(in, position + k / 8u)[k % 8u]);
    __syncwarp();
    return n;
}

/* Warp 0: room for n more in the ring that we write; false once told to stop. */
static __device__ bool make_room(const tribus_cuda_queue_ring &out, uint64_t position,
                                 uint32_t n, uint64_t *released, const uint64_t *stop)
{
    uint32_t polls = 0;

    while (position + n - *released > (uint64_t)out.mask + 1u) {
        uint64_t seen = 0, told = 0;

        if (threadIdx.x == 0) {
            /* A2 pairs with R2 in hand_over and in fabric/ring.c. */
            seen = load(out, (const uint64_t *)(out.base + RELEASED));
            if (++polls % 256u == 0)
                told = tribus_load_rlx_sys(stop);
        }
        *released = __shfl_sync(0xffffffffu, seen, 0);
        if (__shfl_sync(0xffffffffu, told, 0) != 0)
            return false;
    }
    return true;
}

/* Warp 0: commit n items to out, then give their cells of in back. */
static __device__ void hand_over(const tribus_cuda_queue_ring &in, uint64_t in_position,
                                 const tribus_cuda_queue_ring &out, uint64_t out_position,
                                 uint64_t (*items)[WORDS], uint32_t n)
{
    const uint32_t lane = threadIdx.x;

    for (uint32_t k = lane; k < n * 8u; k += 32u)
        if (k % 8u != 0)
            cell_of(out, out_position + k / 8u)[k % 8u] = items[k / 8u][k % 8u - 1u];
    __syncwarp();
    /* R1 pairs with A1 in take and in fabric/ring.c. */
    if (lane < n)
        store(out, cell_of(out, out_position + lane), out_position + lane + 1);
    if (lane == 0) {
        tribus_store_rlx_sys((uint64_t *)(in.base + OFFERED), in_position + n);
        /* R2 pairs with A2 in make_room and in fabric/ring.c. */
        store(in, (uint64_t *)(in.base + RELEASED), in_position + n);
    }
    __syncwarp();
}

static __device__ void work_on(const tribus_cuda_queue_stage &s, tribus_cuda_queue_item *item)
{
    const uint32_t lane = threadIdx.x % 32u;
    const uint32_t slot = item->slot;

    if (slot >= s.slots && s.work != TRIBUS_CUDA_QUEUE_PASS) {
        __syncwarp();
        if (lane == 0)
            item->flags |= TRIBUS_CUDA_QUEUE_POISONED | TRIBUS_CUDA_QUEUE_BAD_SLOT;
        return;
    }
    if (s.work == TRIBUS_CUDA_QUEUE_SCALE) {
        const float *from = (const float *)((const uint8_t *)s.from + slot * s.slot_bytes);
        float *to = (float *)((uint8_t *)s.to + slot * s.slot_bytes);

        /* Not through the read-only cache: another block wrote these while we ran. */
        for (uint32_t i = lane; i < s.elements; i += 32u)
            to[i] = s.a * __ldcg(&from[i]) + s.b;
    }
}

static __device__ void work_and_time(const tribus_cuda_queue_stage &s, uint64_t *words)
{
    tribus_cuda_queue_item *item = (tribus_cuda_queue_item *)words;
    const uint64_t start_ns = tribus_device_now_ns();

    if ((item->flags & TRIBUS_CUDA_QUEUE_POISONED) == 0)
        work_on(s, item);
    __syncwarp();
    if (threadIdx.x % 32u == 0)
        item->work_ns += tribus_device_now_ns() - start_ns;
    __syncwarp();
}

/* A single item is worked on by the warp that took it, and the others sleep at a barrier;
 * from two on all are woken. */
extern "C" __global__ void __launch_bounds__(TRIBUS_CUDA_QUEUE_THREADS, 1)
    tribus_cuda_queue_run(const __grid_constant__ tribus_cuda_queue_args a)
{
    __shared__ uint64_t items[BATCH][WORDS];
    __shared__ uint32_t count;
    const tribus_cuda_queue_stage s = a.stages[blockIdx.x];
    const tribus_cuda_queue_ring in = a.rings[blockIdx.x], out = a.rings[blockIdx.x + 1];
    const uint32_t warp = threadIdx.x / 32u;
    uint64_t in_position = *(const uint64_t *)(in.base + RELEASED);
    uint64_t out_position = *(const uint64_t *)(out.base + RELEASED); /* both rings empty */
    uint64_t released = out_position, done = 0;

    for (;;) {
        uint32_t n = 0;

        while (warp == 0) {
            n = take(in, in_position, a.stop, items);
            if (n > 0 && !make_room(out, out_position, n, &released, a.stop))
                n = 0;
            if (n == 0 || (n > 1 && s.work != TRIBUS_CUDA_QUEUE_PASS))
                break;
            if (s.work != TRIBUS_CUDA_QUEUE_PASS)
                work_and_time(s, items[0]);
            hand_over(in, in_position, out, out_position, items, n);
            in_position += n;
            out_position += n;
            done += n;
        }
        if (threadIdx.x == 0)
            count = n;
        __syncthreads();
        if (count == 0)
            break;
        for (uint32_t i = warp; i < count; i += WARPS)
            work_and_time(s, items[i]);
        __syncthreads();
        if (warp == 0) {
            hand_over(in, in_position, out, out_position, items, n);
            in_position += n;
            out_position += n;
            done += n;
        }
    }
    if (threadIdx.x == 0)
        tribus_store_rel_sys(&a.items[blockIdx.x], done);
}
