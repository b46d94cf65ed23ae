/* cuda_timeline.h -- the fabric's timelines on a card: the same 128 bytes in registered host
 * memory or in memory of the card, advanced and awaited by streams, kernels and the CPU.
 *
 * Use it to   order the work of streams, of one process or several, without the CPU between.
 * Not for     waiting on the CPU for a timeline in host memory: fabric.h does that.
 *
 * Poison      A stream cannot refuse to write over a poisoned value: the write was queued
 *             before. So poison has a word of its own behind the value, that nobody clears,
 *             and the watch writes the poison again while such writes can come. Whoever was
 *             let through by poison ran on nonsense: ask tribus_cuda_timeline_get() of the
 *             inputs before believing a result.
 * Threads     Of the device.
 * Cost        An advance or a wait is one operation of the stream, about 1 us of CPU.
 */
#ifndef TRIBUS_DEVICE_CUDA_TIMELINE_H
#define TRIBUS_DEVICE_CUDA_TIMELINE_H

#include "device/cuda_context.h"
#include "tribus/fabric.h"

/* Where the words are inside the 128 bytes; src/fabric/timeline.c asserts both. */
#define TRIBUS_CUDA_TIMELINE_VALUE  8u
#define TRIBUS_CUDA_TIMELINE_POISON 16u

typedef struct tribus_cuda_timeline {
    tribus_cu_ptr address;     /* of the 128 bytes, as the card reaches them */
    tribus_timeline_shm *host; /* as the CPU reaches them; NULL in memory of the card */
} tribus_cuda_timeline;

/* A timeline in host memory: registered, at data as tribus_device_register() gave it.
 * Returns TRIBUS_OK or TRIBUS_CORRUPT (no timeline there). */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_of_host(void *mem, void *data,
                                                             tribus_cuda_timeline *out);

/* A timeline in memory of the card, at a multiple of 64: laid out at `value` when create,
 * else found there. Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_CORRUPT or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_of_card(tribus_cuda_context *context,
                                                             void *data, bool create,
                                                             int64_t value,
                                                             tribus_cuda_timeline *out);

/* Queue the advance to `value` behind what the stream has to do. Values are the caller's to
 * keep growing: the card does not compare.
 * Returns TRIBUS_OK, TRIBUS_FULL, TRIBUS_BAD_ARG or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_advance(tribus_cuda_stream *stream,
                                                             const tribus_cuda_timeline *t,
                                                             int64_t value);

/* Queue the advance and, only then, show the cell that was claimed in ring: whoever sees
 * the descriptor may wait for the timeline, so the write must be on its way. When it cannot
 * be queued the cell stays hidden.
 * Returns as tribus_cuda_timeline_advance(). */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_publish(tribus_cuda_stream *stream,
                                                             const tribus_cuda_timeline *t,
                                                             int64_t value,
                                                             tribus_ring *ring);

/* Queue a wait: what is queued later runs once the timeline is at least `value`, or
 * poisoned. After timeout_ns (at least 0) it is poisoned by the watch.
 * Returns TRIBUS_OK, TRIBUS_FULL, TRIBUS_BAD_ARG, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_wait(tribus_cuda_stream *stream,
                                                          const tribus_cuda_timeline *t,
                                                          int64_t value,
                                                          int64_t timeout_ns);

/* The same two by a kernel, launched on the stream: an advance that leaves a poisoned value
 * alone, and a wait that occupies one block and has its own deadline. For streams of cards
 * without memory operations; a kernel of one's own does the same with cuda_words.h.
 * Returns as those above, and TRIBUS_UNSUPPORTED (a build without kernels). */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_advance_by_kernel(
    tribus_cuda_stream *stream, const tribus_cuda_timeline *t, int64_t value);
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_wait_by_kernel(
    tribus_cuda_stream *stream, const tribus_cuda_timeline *t, int64_t value,
    int64_t timeout_ns);

/* Poison now, past everything that is queued: every wait completes. Kept up until
 * tribus_cuda_timeline_forget(). Returns TRIBUS_OK, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_poison(tribus_cuda_context *context,
                                                            const tribus_cuda_timeline *t);

/* Value as the CPU sees it now, TRIBUS_TIMELINE_POISON when poisoned. In memory of the card
 * this is a copy by the rescue stream, about 10 us.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_timeline_get(tribus_cuda_context *context,
                                                         const tribus_cuda_timeline *t,
                                                         int64_t *out);

/* Before its memory goes: the watch lets go of it. */
void tribus_cuda_timeline_forget(tribus_cuda_context *context,
                                 const tribus_cuda_timeline *t);

#endif
