/* cuda_watch.h -- the thread that sees to it that no stream waits for ever.
 *
 * A card cannot give up a wait, so each is guarded here: when its deadline passes and the
 * value has not come, the timeline is poisoned, which completes the wait. Writes that were
 * queued before may still come and hide the poison from the streams, so it is written again
 * every few milliseconds until the timeline is forgotten.
 *
 * Threads   guard, release and forget from any thread. The watch has its own stream.
 * Cost      A guard is a lock and a few words, about 50 ns. The thread sleeps while nothing
 *           is guarded; else it looks once a millisecond. Deadlines of one timeline that lie
 *           within 5 ms of each other count as the later one.
 */
#ifndef TRIBUS_DEVICE_CUDA_WATCH_H
#define TRIBUS_DEVICE_CUDA_WATCH_H

#include "device/cuda_timeline.h"

/* Poison t unless it reaches value within timeout_ns; value TRIBUS_TIMELINE_POISON: poison
 * it before this returns. *guard: for release.
 * Returns TRIBUS_OK, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM (no thread to be had). */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_watch_guard(tribus_cuda_context *context,
                                                        const tribus_cuda_timeline *t,
                                                        int64_t value, int64_t timeout_ns,
                                                        uint64_t *guard);

/* Undo the last guard: its wait was never queued. */
void tribus_cuda_watch_release(tribus_cuda_context *context, uint64_t guard);

void tribus_cuda_watch_forget(tribus_cuda_context *context, const tribus_cuda_timeline *t);

/* Timelines poisoned because a deadline passed, ever. */
uint64_t tribus_cuda_watch_late(const tribus_cuda_context *context);

/* Ends the thread. NULL is allowed. */
void tribus_cuda_watch_close(tribus_cuda_watch *watch);

#endif
