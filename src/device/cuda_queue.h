/* cuda_queue.h -- stages that stay on the card and hand over through rings, without a launch.
 *
 *   tribus_ring (host memory)  ->  stage 0  ->  16 bytes  ->  stage 1 ...  ->  tribus_ring
 *
 * Use it to   run short stages at the rate and latency of memory: no launch, no stream.
 * Not for     work that fills a card: a stage is one block, 256 threads.
 *
 * Memory      The first and the last ring are the caller's, in registered host memory, of
 *             cells of 64 bytes carrying tribus_cuda_queue_item; feed and drain them with
 *             tribus_ring_*, from any process, without doorbells: the card rings none, so
 *             who waits for it spins (spin_ns negative).
 * Threads     Of the device.
 * Trust       Items come from other processes: a slot that is none poisons its item, what
 *             is poisoned is passed on unworked.
 *             Up to 16 a card. Whatever registers host memory waits for kernels that run, so
 *             register the rings of all queues before the first is opened.
 * Cost        One multiprocessor a stage for as long as the queue is open.
 */
#ifndef TRIBUS_DEVICE_CUDA_QUEUE_H
#define TRIBUS_DEVICE_CUDA_QUEUE_H

#include "device/cuda_context.h"
#include "device/cuda_queue_kernels.h"
#include "tribus/fabric.h"

typedef struct tribus_cuda_queue tribus_cuda_queue;

/* A ring that the caller created, empty: in registered host memory, or in memory of this card or
 * another one by tribus_cuda_queue_lay_ring(), which joins two queues. A ring belongs on the card
 * of its reader, who polls it. */
typedef struct tribus_cuda_queue_end {
    void *mem;  /* as the CPU reaches it; NULL: memory of a card */
    void *data; /* as the card does: tribus_device_register() */
    size_t bytes;
} tribus_cuda_queue_end;

typedef struct tribus_cuda_queue_cfg {
    const tribus_cuda_queue_stage *stages; /* copied */
    uint32_t stage_count;                  /* 1..TRIBUS_CUDA_QUEUE_STAGES */
    uint32_t cells; /* items under way between stages; power of two, 32.. ; 0: 1024 */
    tribus_cuda_queue_end feed, drain;
} tribus_cuda_queue_cfg;

/* Lay an empty ring out in memory of a card: `cells` of 64 bytes, at least
 * tribus_ring_bytes(cells, 64). Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_NO_MEMORY,
 * TRIBUS_TIMEOUT or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_queue_lay_ring(tribus_cuda_context *context,
                                                           void *data, size_t bytes,
                                                           uint32_t cells);

/* Start the stages. out: owned by the caller, tribus_cuda_queue_close().
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_CORRUPT (no ring there), TRIBUS_NO_MEMORY,
 * TRIBUS_UNSUPPORTED (a build without kernels) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_queue_open(tribus_cuda_context *context,
                                                       const tribus_cuda_queue_cfg *cfg,
                                                       tribus_cuda_queue **out);

/* Still running? Returns TRIBUS_OK, TRIBUS_STOPPED, or the fault that ended it. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_queue_check(tribus_cuda_queue *queue);

/* What a stage did. */
typedef struct tribus_cuda_queue_done {
    uint64_t items;
    int64_t work_ns; /* by the card's clock, a batch counted once */
} tribus_cuda_queue_done;

/* Tell the stages to end and wait for it. done: room for stage_count, may be NULL. What is
 * still in the rings stays there; what is between the stages is lost.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT or the fault of what ran. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_queue_stop(tribus_cuda_queue *queue,
                                                       int64_t timeout_ns,
                                                       tribus_cuda_queue_done *done);

/* When the context goes: what all of its queues share. */
void tribus_cuda_queue_pages_close(tribus_cuda_context *context);

/* Stops first, for at most one second. NULL is allowed. */
void tribus_cuda_queue_close(tribus_cuda_queue *queue);

#endif
