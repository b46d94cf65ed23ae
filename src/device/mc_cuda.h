/* mc_cuda.h -- what the host and mc_cuda.cu agree on. C11 and CUDA C++. */
#ifndef TRIBUS_DEVICE_MC_CUDA_H
#define TRIBUS_DEVICE_MC_CUDA_H

#include <stdint.h>

/* Round keys of Philox. The first two rounds are split (mc_cuda.cu); eight remain. */
typedef struct tribus_mc_keys {
    uint32_t first0, first1, second0, second1;
    uint32_t round[16];
} tribus_mc_keys;

typedef struct tribus_mc_run {
    tribus_mc_keys keys;
    uint64_t seed, first_path;
    uint32_t paths;
    uint32_t blocks; /* of four assets */
    float nu;        /* 0: normal */
    uint32_t reserved;
} tribus_mc_run;

#define TRIBUS_MC_BINS 5120u /* 2048 + 2048 + 1024 */

/* In device memory. */
typedef struct tribus_mc_head {
    double drift;
    double sum, squares; /* of pnl - drift */
    double tail;         /* of the P&Ls below the quantile */
    uint32_t ticket;
    uint32_t bad; /* an input is not finite */
    uint32_t reserved[6];
    uint32_t bins[TRIBUS_MC_BINS];
} tribus_mc_head;

#ifndef __CUDACC__

#include "device/cuda_context.h"

typedef struct tribus_mc_request {
    const float *forecast, *factor, *weights; /* the card's addresses */
    double *risk;
    void *scratch; /* tribus_mc_cuda_scratch_bytes(), aligned to 16 */
    uint64_t seed;
    uint32_t assets, paths, tail_paths;
    float nu;
} tribus_mc_request;

uint64_t tribus_mc_cuda_scratch_bytes(uint32_t assets, uint32_t paths);

/* Enqueue the four kernels on the device's stream; risk is complete when they are.
 * Returns TRIBUS_OK, TRIBUS_FULL, TRIBUS_UNSUPPORTED (built without kernels) or
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_mc_cuda_run(tribus_cuda_context *context,
                                                   const tribus_mc_request *request);

#endif

#endif
