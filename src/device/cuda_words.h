/* cuda_words.h -- the memory orders of kernels, by the same names as base/atomic.h: a release
 * of a kernel pairs with an acquire of the CPU and the other way round. For .cu files only.
 *
 * _sys reaches the CPU and other processes; _gpu reaches this card only and costs less.
 */
#ifndef TRIBUS_DEVICE_CUDA_WORDS_H
#define TRIBUS_DEVICE_CUDA_WORDS_H

#include <stdint.h>

#define TRIBUS_DEVICE_FN static __device__ __forceinline__

TRIBUS_DEVICE_FN uint64_t tribus_load_acq_sys(const uint64_t *p)
{
    uint64_t v;

    __asm__ volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}

TRIBUS_DEVICE_FN uint64_t tribus_load_acq_gpu(const uint64_t *p)
{
    uint64_t v;

    __asm__ volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}

TRIBUS_DEVICE_FN uint64_t tribus_load_rlx_sys(const uint64_t *p)
{
    uint64_t v;

    __asm__ volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}

TRIBUS_DEVICE_FN void tribus_store_rel_sys(uint64_t *p, uint64_t v)
{
    __asm__ volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}

TRIBUS_DEVICE_FN void tribus_store_rel_gpu(uint64_t *p, uint64_t v)
{
    __asm__ volatile("st.release.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}

TRIBUS_DEVICE_FN void tribus_store_rlx_sys(uint64_t *p, uint64_t v)
{
    __asm__ volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}

/* Sixteen bytes as one, so that a word and its number cannot come apart. */
TRIBUS_DEVICE_FN void tribus_load_pair_acq_gpu(const void *p, uint64_t *a, uint64_t *b)
{
    __asm__ volatile("{\n\t.reg .b128 t;\n\t"
                     "ld.acquire.gpu.global.b128 t, [%2];\n\t"
                     "mov.b128 {%0, %1}, t;\n\t}"
                     : "=l"(*a), "=l"(*b)
                     : "l"(p)
                     : "memory");
}

TRIBUS_DEVICE_FN void tribus_store_pair_rel_gpu(void *p, uint64_t a, uint64_t b)
{
    __asm__ volatile("{\n\t.reg .b128 t;\n\t"
                     "mov.b128 t, {%1, %2};\n\t"
                     "st.release.gpu.global.b128 [%0], t;\n\t}" ::"l"(p),
                     "l"(a), "l"(b)
                     : "memory");
}

/* Nanoseconds; steps of 32 ns on an H200. */
TRIBUS_DEVICE_FN uint64_t tribus_device_now_ns(void)
{
    uint64_t t;

    __asm__ volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

#endif
