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

#endif
