/* cuda_timeline_kernels.h -- arguments of the kernels of cuda_timeline_kernels.cu. Addresses
 * are the card's. */
#ifndef TRIBUS_DEVICE_CUDA_TIMELINE_KERNELS_H
#define TRIBUS_DEVICE_CUDA_TIMELINE_KERNELS_H

#include <stdint.h>

typedef struct tribus_cuda_timeline_args {
    uint64_t *value;
    uint64_t *poisoned;
    int64_t target;
    int64_t timeout_ns;
} tribus_cuda_timeline_args;

typedef struct tribus_cuda_probe_args {
    void *memory;
    uint64_t words; /* of memory; of spin: nanoseconds */
    uint64_t *bad;  /* of spin: the word that ends it, may be NULL */
    uint32_t seed;
    uint32_t unused;
} tribus_cuda_probe_args;

typedef struct tribus_cuda_flags_args {
    uint64_t *ping, *pong;
    uint64_t *out;
    uint32_t samples, each;
} tribus_cuda_flags_args;

#endif
