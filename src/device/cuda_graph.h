/* cuda_graph.h -- runs that repeat, as graphs: what a kernel of the table queues is captured
 * when it is run with the same tensors and parameters again, and from then on is one launch.
 *
 * A pipeline runs each stage over the same few slots in turn, so after the first turn every
 * run is a graph. What cannot be captured is queued as before, for good.
 *
 * Threads   Of the device.
 * Cost      A run compares its arguments with those seen before: 600 bytes each, the latest
 *           first. A capture costs about 50 us, once for each set of arguments.
 */
#ifndef TRIBUS_DEVICE_CUDA_GRAPH_H
#define TRIBUS_DEVICE_CUDA_GRAPH_H

#include "device/cuda_context.h"

#define TRIBUS_CUDA_GRAPHS 64u /* kept; the one not used for longest goes */

/* Queue what code->cuda queues, on the main stream. Returns what that returns. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_graph_run(tribus_cuda_context *context,
                                                      const tribus_kernel_code *code,
                                                      const tribus_kernel_args *args);

/* Runs that were launches of a graph, and that were not. */
typedef struct tribus_cuda_graph_counts {
    uint64_t launched, queued;
} tribus_cuda_graph_counts;

tribus_cuda_graph_counts tribus_cuda_graph_get_counts(const tribus_cuda_context *context);

/* Forget all; NULL list is allowed. */
void tribus_cuda_graph_close_all(tribus_cuda_context *context);

#endif
