/* compat.h -- the words that let one kernel file compile as C11 and as CUDA C++.
 *
 * Kernel files (philox.h, normal.h, mc.h, flow.h ...) may use: fixed-width integers, float,
 * words from here, and each other. They may not use: double, libc, recursion, function
 * pointers, variable-length arrays, or a pointer without an address-space word.
 *
 * Same bits on every device: kernels use only + - * / sqrt and integer arithmetic, all of
 * which IEEE 754 defines to the last bit. What remains is contraction of a * b + c into one
 * rounding: the host is built with -ffp-contract=off; give nvcc --fmad=false for equal
 * bits, or accept the tolerance that each kernel states.
 */
#ifndef TRIBUS_QUANT_COMPAT_H
#define TRIBUS_QUANT_COMPAT_H

#include <stdint.h>

typedef uint32_t tribus_u32;
typedef int32_t tribus_i32;
typedef uint64_t tribus_u64;

#define TRIBUS_GLOBAL
#define TRIBUS_PRIVATE

#if defined(__CUDACC__) /* ---- CUDA C++ ---- */
#define TRIBUS_FN static __host__ __device__ __forceinline__
#else /* ---- C11 ---- */
#define TRIBUS_FN static inline __attribute__((always_inline, unused))
#endif

#if defined(__CUDA_ARCH__)
#define tribus_bits(x)      __float_as_uint(x)
#define tribus_from_bits(u) __uint_as_float(u)
#define tribus_mulhi(a, b)  __umulhi((a), (b))
#define tribus_sqrt(x)      __fsqrt_rn(x)
#define tribus_abs(x)       fabsf(x)
#else
#include <math.h>
#include <string.h>

TRIBUS_FN tribus_u32 tribus_bits(float x)
{
    tribus_u32 u;

    memcpy(&u, &x, sizeof(u));
    return u;
}

TRIBUS_FN float tribus_from_bits(tribus_u32 u)
{
    float x;

    memcpy(&x, &u, sizeof(x));
    return x;
}

#define tribus_mulhi(a, b) ((tribus_u32)(((tribus_u64)(a) * (tribus_u64)(b)) >> 32))
#define tribus_sqrt(x)     sqrtf(x)
#define tribus_abs(x)      fabsf(x)
#endif

#endif
