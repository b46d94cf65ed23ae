/* cuda_context.h -- one opened card: its context, its streams, its kernels.
 *
 * Use it to   write the parts of the CUDA device; cuda_memory, cuda_timeline, cuda_kernels.
 * Not for     other folders: they see device.h.
 *
 * Memory      The primary context of the card is retained, so that other libraries of this
 *             process (a model runtime) share it and one process is never time-sliced
 *             against itself. Every kernel of the build is loaded when the device is opened:
 *             a first load later waits for the card to be idle, and would wait for ever
 *             behind a stream that waits for what comes next.
 * Threads     As device.h says, the thread that opened it; the watch (cuda_watch.h) has a
 *             thread of its own and a stream of its own.
 * Cost        Opening takes about 0.2 s, nearly all of it the driver's.
 */
#ifndef TRIBUS_DEVICE_CUDA_CONTEXT_H
#define TRIBUS_DEVICE_CUDA_CONTEXT_H

#include "device/cuda_driver.h"
#include "device/device.h"

#define TRIBUS_CUDA_MOST_MODULES   16u
#define TRIBUS_CUDA_MOST_FUNCTIONS 256u

/* Work queued ahead on one stream. A stream of the driver takes about 1,000 operations and
 * then blocks its caller, so that half of that is where we stop and say FULL. */
#define TRIBUS_CUDA_QUEUE_OPERATIONS 512u
#define TRIBUS_CUDA_QUEUE_MARKS      8u

typedef struct tribus_cuda_context tribus_cuda_context;
typedef struct tribus_cuda_watch tribus_cuda_watch;
typedef struct tribus_cuda_graphs tribus_cuda_graphs;
typedef struct tribus_cuda_queue_pages tribus_cuda_queue_pages;
typedef struct tribus_cuda_mapping tribus_cuda_mapping;
typedef struct tribus_cuda_registration tribus_cuda_registration;

typedef struct tribus_cuda_stream {
    tribus_cuda_context *context;
    tribus_cu_stream stream;
    tribus_cu_event marks[TRIBUS_CUDA_QUEUE_MARKS]; /* one behind each part of the queue */
    uint64_t enqueued;                              /* operations, ever */
    uint64_t marked;                                /* marks recorded, ever */
    uint64_t passed;                                /* marks seen done, ever */
    bool capturing; /* what is queued becomes a graph; see cuda_graph.c */
} tribus_cuda_stream;

struct tribus_cuda_context {
    tribus_device base; /* what device.c sees; first */
    const tribus_cuda_driver *cu;
    tribus_cu_device device;
    tribus_cu_context context;
    tribus_cu_module modules[TRIBUS_CUDA_MOST_MODULES];
    uint32_t module_count;
    struct {
        const char *name; /* the driver's, as long as the module is loaded */
        tribus_cu_function function;
    } functions[TRIBUS_CUDA_MOST_FUNCTIONS];
    uint32_t function_count;
    tribus_cuda_stream main;   /* kernels run here */
    tribus_cuda_stream rescue; /* nothing waits here: poison, peeks, copies of the watch */
    tribus_cu_green green;     /* main is a stream of it; NULL: of the whole card */
    size_t granularity;        /* of shared memory */
    int32_t multiprocessors;
    bool memops; /* 64-bit wait and write of streams */
    tribus_cuda_mapping *mappings;
    tribus_cuda_registration *registrations;
    tribus_cuda_watch *watch;             /* NULL until something is guarded */
    tribus_cuda_queue_pages *queue_pages; /* NULL until a queue is opened */
    tribus_cuda_graphs *graphs;           /* NULL until something is run */
};

/* Retain the card's context, load every kernel, make the streams.
 * Returns TRIBUS_OK, TRIBUS_UNSUPPORTED (absent, too old, built without kernels for it),
 * TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_context_open(uint32_t index,
                                                         tribus_cuda_context **out);
/* Takes a half-made one, and NULL. Memory still open is unmapped. */
void tribus_cuda_context_close(tribus_cuda_context *context);

/* Make this context the thread's; every entry of the device begins with it. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_context_enter(tribus_cuda_context *context);

/* A kernel by name. Returns TRIBUS_OK or TRIBUS_UNSUPPORTED. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_context_function(tribus_cuda_context *context,
                                                             const char *name,
                                                             tribus_cu_function *out);

/* Status of a driver's answer; "what" begins the text. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_context_check(
    const tribus_cuda_context *context, tribus_cu_result result, const char *what);

/* ---- streams: bounded work queued ahead ---- */

/* out: the caller's, with tribus_cuda_stream_close(). Takes a half-made one back. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_stream_open(tribus_cuda_context *context,
                                                        tribus_cuda_stream *out);
void tribus_cuda_stream_close(tribus_cuda_stream *stream);

/* Room for `operations` more (at most 64)? Call before enqueueing that many.
 * Returns TRIBUS_OK, TRIBUS_FULL (what is queued must get on first) or the fault of what
 * ran. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_stream_claim(tribus_cuda_stream *stream,
                                                         uint32_t operations);

/* Wait until all that is queued is done.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT or the fault of what ran. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_stream_wait(tribus_cuda_stream *stream,
                                                        int64_t timeout_ns);

typedef struct tribus_cuda_grid {
    uint32_t blocks, threads;
    uint32_t shared_bytes;
} tribus_cuda_grid;

/* Launch; params as cuLaunchKernel's. */
TRIBUS_MUST_CHECK tribus_status tribus_cuda_stream_launch(tribus_cuda_stream *stream,
                                                          tribus_cu_function function,
                                                          tribus_cuda_grid grid,
                                                          void **params);

#endif
