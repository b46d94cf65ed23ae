/* cuda_queue_kernels.h -- what cuda_queue.c and the persistent kernel of cuda_queue_kernels.cu
 * agree on: the item that travels in a ring's cell, and a stage's description. */
#ifndef TRIBUS_DEVICE_CUDA_QUEUE_KERNELS_H
#define TRIBUS_DEVICE_CUDA_QUEUE_KERNELS_H

#include <stdint.h>

#define TRIBUS_CUDA_QUEUE_STAGES   16u
#define TRIBUS_CUDA_QUEUE_BATCH    32u /* items a stage takes at once: one a lane */
#define TRIBUS_CUDA_QUEUE_THREADS  256u
#define TRIBUS_CUDA_QUEUE_POISONED 1u /* flag: made from nonsense, not worked on */
#define TRIBUS_CUDA_QUEUE_BAD_SLOT                                                         \
    2u /* flag: named a slot that is none; poisoned with it */

/* 56 bytes: a cell of 64 less its sequence word. */
typedef struct tribus_cuda_queue_item {
    uint64_t run; /* the feeder's */
    uint32_t slot;
    uint32_t flags;
    uint64_t user[5]; /* handed through */
} tribus_cuda_queue_item;

/* What a stage does to the slot an item names. */
typedef enum tribus_cuda_queue_work {
    TRIBUS_CUDA_QUEUE_PASS = 0,  /* nothing: hands over */
    TRIBUS_CUDA_QUEUE_SCALE = 1, /* to[i] = a * from[i] + b, floats */
    TRIBUS_CUDA_QUEUE_WORKS = 2
} tribus_cuda_queue_work;

typedef struct tribus_cuda_queue_stage {
    uint32_t work;
    uint32_t elements; /* of a slot */
    uint32_t slots;
    uint32_t unused;
    uint64_t slot_bytes;
    const void *from; /* slot 0; addresses of the card */
    void *to;
    float a, b;
} tribus_cuda_queue_stage;

/* A ring of fabric.h, in registered host memory, as the kernel reaches it. */
typedef struct tribus_cuda_queue_ring {
    uint8_t *base;
    uint32_t mask; /* cells - 1; cells of 64 bytes */
    uint32_t unused;
} tribus_cuda_queue_ring;

/* Between stages, in memory of the card, all zero at the start. Positions count the items
 * since then and are the same at every stage. */
typedef struct tribus_cuda_queue_between {
    uint8_t *hops; /* stage s to s + 1: cells of 16 bytes from s * cells * 16 on */
    uint8_t
        *items; /* cells of 64: the bytes that only the first and the last stage touch */
    uint64_t *done; /* items that the last stage has handed out */
    uint32_t mask;  /* cells - 1 */
    uint32_t unused;
} tribus_cuda_queue_between;

typedef struct tribus_cuda_queue_args {
    tribus_cuda_queue_ring feed, drain;
    tribus_cuda_queue_between between;
    tribus_cuda_queue_stage stages[TRIBUS_CUDA_QUEUE_STAGES];
    uint64_t *stop;    /* in host memory: nonzero ends every stage */
    uint64_t *items;   /* in host memory: each stage's count, written when it ends */
    uint64_t *work_ns; /* and the time it spent working */
} tribus_cuda_queue_args;

#ifndef __cplusplus
_Static_assert(sizeof(tribus_cuda_queue_item) == 56, "layout");
#endif

#endif
