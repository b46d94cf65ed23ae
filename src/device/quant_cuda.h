/* quant_cuda.h -- what quant_cuda.c and the kernels quant_cuda_*.cu agree on. C11 and CUDA C++.
 *
 * Addresses are the card's. One argument a kernel. A kernel that finds its numbers senseless
 * makes every output NaN (whole numbers: 0xffffffff), as mc_var_es does.
 */
#ifndef TRIBUS_DEVICE_QUANT_CUDA_H
#define TRIBUS_DEVICE_QUANT_CUDA_H

#include <stdint.h>

#define TRIBUS_QUANT_CUDA_THREADS        256u
#define TRIBUS_QUANT_CUDA_WIDE           1024u /* of kernels that are one block */
#define TRIBUS_QUANT_CUDA_CLUSTER        8u    /* blocks that work on one matrix */
#define TRIBUS_QUANT_CUDA_PANEL          32u   /* columns of a Cholesky factor at a time */
#define TRIBUS_QUANT_CUDA_MATRIX_THREADS 512u
#define TRIBUS_QUANT_CUDA_ITERATIONS     20000u
#define TRIBUS_QUANT_BACKTEST_PATHS                                                        \
    32u /* of a block; few, so that 1,000 paths use many processors */
#define TRIBUS_QUANT_CUDA_SHARED   (200u * 1024u)
#define TRIBUS_QUANT_FLOW_BUCKETS  4096u
#define TRIBUS_QUANT_SWEEP_SEGMENT 256u /* rows after which sweep.c renews its sums */

typedef struct tribus_quant_flow_args {
    const float *price, *size, *book;
    float *imbalance, *features;
    double *volume, *bought; /* scratch: trades + 1 each, running sums */
    double *share;           /* scratch: buckets */
    uint32_t trades, levels, buckets, reserved;
} tribus_quant_flow_args;

typedef struct tribus_quant_score_args {
    const float *imbalance, *regime;
    float *score;
    uint32_t buckets, reserved;
} tribus_quant_score_args;

typedef struct tribus_quant_pattern_args {
    const float *returns, *pattern;
    double *analytics;
    uint32_t assets, window;
} tribus_quant_pattern_args;

typedef struct tribus_quant_backtest_args {
    const float *returns, *position;
    float *stats;
    double *summary;
    double cost;
    uint32_t paths, steps;
} tribus_quant_backtest_args;

typedef struct tribus_quant_sweep_args {
    const float *open, *close;
    const int32_t *pairs;
    float *money;                   /* profit, largest fall */
    int32_t *trades;                /* buys, sells */
    double *averages;               /* scratch: [rows][longest] */
    double *near_open, *near_close; /* scratch: rows each */
    double cost;
    uint32_t rows, longest, count, reserved;
} tribus_quant_sweep_args;

typedef struct tribus_quant_correlation_args {
    const float *returns;
    float *factor;
    double *standard; /* scratch: [assets][times], of mean 0 and length 1 */
    double *matrix;   /* scratch: [assets][assets] */
    uint32_t *bad;    /* scratch */
    double keep;      /* 1 - shrinkage */
    uint32_t assets, times;
    uint32_t near; /* a panel of the factor is kept in shared memory */
    uint32_t reserved;
} tribus_quant_correlation_args;

/* At the start of the scratch of mean_variance; zero at first. */
typedef struct tribus_quant_warm {
    uint64_t assets; /* of the weights that follow; 0: none */
    uint64_t iterations;
    double inside; /* 1 / step */
    double reserved;
} tribus_quant_warm;

typedef struct tribus_quant_optimise_args {
    const float *mean, *cov;
    float *weights;
    double *quality;
    tribus_quant_warm *warm;
    double *last;     /* scratch: the weights of the last run */
    double *gradient; /* scratch: two of `assets` */
    float *matrix;    /* scratch: the covariance, on the card */
    double aversion, most;
    uint32_t assets, limit; /* iterations */
    uint32_t near;          /* rows of the matrix are kept in shared memory */
    uint32_t reserved;
} tribus_quant_optimise_args;

#ifndef __CUDACC__

#include "device/device.h"

/* Queue a row's work on the device's stream; the outputs are complete when it is.
 * Return TRIBUS_OK, TRIBUS_FULL, TRIBUS_BAD_DATA (text), TRIBUS_UNSUPPORTED (built without
 * kernels) or TRIBUS_SYSTEM. */
tribus_status tribus_quant_cuda_flow(tribus_device *device, const tribus_kernel_args *args);
tribus_status tribus_quant_cuda_score(tribus_device *device,
                                      const tribus_kernel_args *args);
tribus_status tribus_quant_cuda_pattern(tribus_device *device,
                                        const tribus_kernel_args *args);
tribus_status tribus_quant_cuda_backtest(tribus_device *device,
                                         const tribus_kernel_args *args);
tribus_status tribus_quant_cuda_sweep(tribus_device *device,
                                      const tribus_kernel_args *args);
tribus_status tribus_quant_cuda_correlation(tribus_device *device,
                                            const tribus_kernel_args *args);
tribus_status tribus_quant_cuda_optimise(tribus_device *device,
                                         const tribus_kernel_args *args);

#endif

#endif
