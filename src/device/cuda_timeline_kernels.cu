/* cuda_timeline_kernels.cu -- a kernel as the one who advances or awaits a timeline, and the
 * small kernels with which tests and benchmarks measure that. See cuda_timeline.h.
 *
 *   R1 -> A1   advance -> wait   whoever sees the value sees what was written before it; the
 *                                other ends are fabric/timeline.c and the streams' operations
 */
#include "device/cuda_timeline_kernels.h"
#include "device/cuda_words.h"

extern "C" __global__ void tribus_cuda_timeline_kernel_advance(tribus_cuda_timeline_args a)
{
    if (tribus_load_rlx_sys(a.poisoned) != 0)
        return; /* a poisoned value is not written over by us, though a stream would */
    /* R1 pairs with A1 in tribus_cuda_timeline_kernel_wait. */
    tribus_store_rel_sys(a.value, (uint64_t)a.target);
}

extern "C" __global__ void tribus_cuda_timeline_kernel_wait(tribus_cuda_timeline_args a)
{
    const uint64_t start_ns = tribus_device_now_ns();
    uint32_t polls = 0;

    /* A1 pairs with R1 in tribus_cuda_timeline_kernel_advance. */
    while ((int64_t)tribus_load_acq_sys(a.value) < a.target) {
        if ((++polls & 63u) != 0)
            continue;
        if (tribus_device_now_ns() - start_ns > (uint64_t)a.timeout_ns) {
            tribus_store_rlx_sys(a.poisoned, 1);
            tribus_store_rel_sys(a.value, INT64_MAX);
            return;
        }
    }
}

/* word i = i * 2654435761 + seed, so that a reader can tell every word from every other. */
extern "C" __global__ void tribus_cuda_probe_fill(tribus_cuda_probe_args a)
{
    uint32_t *words = (uint32_t *)a.memory;
    const uint64_t stride = (uint64_t)gridDim.x * blockDim.x;

    for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.words; i += stride)
        words[i] = (uint32_t)i * 2654435761u + a.seed;
}

/* The same by stores that are the first to leave the cache again: a tensor larger than the cache
 * would otherwise push out of it what the next hand-over needs. */
extern "C" __global__ void tribus_cuda_probe_fill_streaming(tribus_cuda_probe_args a)
{
    uint32_t *words = (uint32_t *)a.memory;
    const uint64_t stride = (uint64_t)gridDim.x * blockDim.x;

    for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.words; i += stride)
        __stcs(&words[i], (uint32_t)i * 2654435761u + a.seed);
}

/* One word of each 2 MiB: as many pages as a tensor of that size, next to no bytes. */
extern "C" __global__ void tribus_cuda_probe_touch(tribus_cuda_probe_args a)
{
    uint32_t *words = (uint32_t *)a.memory;
    const uint64_t page = (2u << 20) / sizeof(uint32_t);

    for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i * page < a.words;
         i += (uint64_t)gridDim.x * blockDim.x)
        words[i * page] = a.seed;
}

/* Counts the words that are not so into *bad. */
extern "C" __global__ void tribus_cuda_probe_check(tribus_cuda_probe_args a)
{
    const uint32_t *words = (const uint32_t *)a.memory;
    const uint64_t stride = (uint64_t)gridDim.x * blockDim.x;
    unsigned long long bad = 0;

    for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.words; i += stride)
        bad += words[i] != (uint32_t)i * 2654435761u + a.seed;
    if (bad != 0)
        atomicAdd((unsigned long long *)a.bad, bad);
}

/* Busy for a time, or until *stop. */
extern "C" __global__ void tribus_cuda_probe_spin(tribus_cuda_probe_args a)
{
    const uint64_t start_ns = tribus_device_now_ns();

    while (tribus_device_now_ns() - start_ns < a.words)
        if (a.bad != nullptr && tribus_load_rlx_sys(a.bad) != 0)
            return;
}

/* The floor of a hand-over: two blocks of one thread on a flag each way, nothing else. out[i]:
 * nanoseconds of `each` round trips. gpu: within the card, else at system scope. */
extern "C" __global__ void tribus_cuda_probe_flags(tribus_cuda_flags_args a)
{
    const uint64_t rounds = (uint64_t)a.samples * a.each;

    for (uint64_t i = 1; i <= rounds; i++) {
        if (blockIdx.x == 0) {
            if ((i - 1) % a.each == 0)
                a.out[(i - 1) / a.each] = tribus_device_now_ns();
            tribus_store_rel_gpu(a.ping, i);
            while (tribus_load_acq_gpu(a.pong) < i)
                ;
            if (i % a.each == 0)
                a.out[i / a.each - 1] = tribus_device_now_ns() - a.out[i / a.each - 1];
        } else {
            while (tribus_load_acq_gpu(a.ping) < i)
                ;
            tribus_store_rel_gpu(a.pong, i);
        }
    }
}

/* The floor of a hand-over between two cards: a thread on each, which writes the other's flag at
 * ping and polls its own at pong. Who has out asks, the other answers. Gives up after ten
 * seconds. */
extern "C" __global__ void tribus_cuda_probe_peer(tribus_cuda_flags_args a)
{
    const uint64_t rounds = (uint64_t)a.samples * a.each, start_ns = tribus_device_now_ns();
    uint32_t polls = 0;

    for (uint64_t i = 1; i <= rounds; i++) {
        if (a.out != nullptr) {
            if ((i - 1) % a.each == 0)
                a.out[(i - 1) / a.each] = tribus_device_now_ns();
            tribus_store_rel_sys(a.ping, i);
        }
        while (tribus_load_acq_sys(a.pong) < i)
            if (++polls % 65536u == 0 && tribus_device_now_ns() - start_ns > 10000000000ull)
                return;
        if (a.out == nullptr)
            tribus_store_rel_sys(a.ping, i);
        else if (i % a.each == 0)
            a.out[i / a.each - 1] = tribus_device_now_ns() - a.out[i / a.each - 1];
    }
}

/* The floor of CPU -> card -> CPU: one thread that answers a flag in host memory. Gives up
 * after ten million looks, some seven seconds. */
extern "C" __global__ void tribus_cuda_probe_echo(tribus_cuda_flags_args a)
{
    for (uint64_t i = 1; i <= a.samples; i++) {
        uint64_t polls = 0;

        while (tribus_load_acq_sys(a.ping) < i)
            if (++polls > 10000000u)
                return;
        tribus_store_rel_sys(a.pong, i);
    }
}

/* The card's clock into a word of its memory; then, where memory is given, `words` into that
 * by a release. */
extern "C" __global__ void tribus_cuda_probe_stamp(tribus_cuda_probe_args a)
{
    *a.bad = tribus_device_now_ns();
    if (a.memory != nullptr)
        tribus_store_rel_sys((uint64_t *)a.memory, a.words);
}

/* A kernel that is there already: waits by itself, then stamps. */
extern "C" __global__ void tribus_cuda_probe_wait_stamp(tribus_cuda_probe_args a)
{
    const uint64_t start_ns = tribus_device_now_ns();

    while (tribus_load_acq_sys((const uint64_t *)a.memory) < a.words)
        if (tribus_device_now_ns() - start_ns > 10000000000ull)
            return;
    *a.bad = tribus_device_now_ns();
}
