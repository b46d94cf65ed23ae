/* quant_cuda_block.cuh -- sums over a block of at most 1,024 threads, in a fixed order: the same
 * result each time. Every thread calls them and every thread gets the result. */
#ifndef TRIBUS_DEVICE_QUANT_CUDA_BLOCK_CUH
#define TRIBUS_DEVICE_QUANT_CUDA_BLOCK_CUH

#include <stdint.h>

static __device__ double block_fold(double x, bool most)
{
    __shared__ double parts[1024];

    __syncthreads();
    parts[threadIdx.x] = x;
    for (uint32_t half = 512; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half && threadIdx.x + half < blockDim.x) {
            const double a = parts[threadIdx.x], b = parts[threadIdx.x + half];

            parts[threadIdx.x] = most ? fmax(a, b) : a + b;
        }
    }
    __syncthreads();
    return parts[0];
}

static __device__ __forceinline__ double block_sum(double x)
{
    return block_fold(x, false);
}

static __device__ __forceinline__ double block_most(double x)
{
    return block_fold(x, true);
}

#endif
