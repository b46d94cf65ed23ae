/* cuda_mc.h -- what the launching C and the kernels of cuda_mc.cu agree on. */
#ifndef TRIBUS_DEVICE_CUDA_MC_H
#define TRIBUS_DEVICE_CUDA_MC_H

#include <stdint.h>

#define TRIBUS_CUDA_MC_BINS    2048u /* of a histogram: 11 bits of the key at a time */
#define TRIBUS_CUDA_MC_THREADS 256u
#define TRIBUS_CUDA_MC_BLOCKS  1024u /* at most, of the path kernel */

/* At the start of the scratch, zeroed before each run. */
typedef struct tribus_cuda_mc_work {
    uint32_t histogram[3][TRIBUS_CUDA_MC_BINS];
    double sum[TRIBUS_CUDA_MC_BLOCKS]; /* of pnl - drift, by block */
    double squares[TRIBUS_CUDA_MC_BLOCKS];
    double tail[TRIBUS_CUDA_MC_BLOCKS]; /* of those below the quantile */
    double drift;
    uint32_t bad; /* numbers that make no sense, so far */
    uint32_t unused;
} tribus_cuda_mc_work;

/* One argument of every kernel. Addresses are the card's. */
typedef struct tribus_cuda_mc_args {
    const float *forecast, *factor, *weights;
    double *risk;
    tribus_cuda_mc_work *work;
    float *loading, *pnl;
    uint64_t seed;
    float nu;
    uint32_t assets, paths;
    uint32_t rank; /* of the quantile from below, from 1 */
} tribus_cuda_mc_args;

#endif
