/* cuda_stream.c -- streams with a bound on what is queued ahead; see cuda_context.h.
 *
 * The queue is counted in parts of QUEUE_OPERATIONS / QUEUE_MARKS operations, each with an
 * event behind it, so that knowing how far the card has come costs one query a part and not
 * one an operation.
 */
#include "base/clock.h"
#include "base/error.h"
#include "device/cuda_context.h"

#include <string.h>
#include <time.h>

#define PART     (TRIBUS_CUDA_QUEUE_OPERATIONS / TRIBUS_CUDA_QUEUE_MARKS)
#define SPIN_NS  INT64_C(200000)
#define SLEEP_NS 20000

tribus_status tribus_cuda_stream_open(tribus_cuda_context *context, tribus_cuda_stream *out)
{
    const tribus_cuda_driver *cu = context->cu;
    tribus_cu_result result;

    memset(out, 0, sizeof(*out));
    out->context = context;
    result = cu->stream_create(&out->stream, TRIBUS_CU_STREAM_NON_BLOCKING);
    for (uint32_t i = 0; result == TRIBUS_CU_OK && i < TRIBUS_CUDA_QUEUE_MARKS; i++)
        result = cu->event_create(&out->marks[i], TRIBUS_CU_EVENT_DISABLE_TIMING);
    if (result != TRIBUS_CU_OK) {
        tribus_cuda_stream_close(out);
        return tribus_cuda_context_check(context, result, "make a stream");
    }
    return TRIBUS_OK;
}

void tribus_cuda_stream_close(tribus_cuda_stream *s)
{
    if (s->context == NULL)
        return;
    if (s->stream != NULL) /* first: what is queued on it refers to the events */
        (void)s->context->cu->stream_destroy(s->stream);
    for (uint32_t i = 0; i < TRIBUS_CUDA_QUEUE_MARKS; i++)
        if (s->marks[i] != NULL)
            (void)s->context->cu->event_destroy(s->marks[i]);
    memset(s, 0, sizeof(*s));
}

tribus_status tribus_cuda_stream_claim(tribus_cuda_stream *s, uint32_t operations)
{
    const tribus_cuda_driver *cu = s->context->cu;
    const uint64_t after = s->enqueued + operations;
    tribus_cu_result result = TRIBUS_CU_OK;

    if (operations > PART)
        return tribus_error_set(TRIBUS_BAD_ARG, "%u operations at once, %u at most",
                                operations, PART);
    if (s->capturing)
        return TRIBUS_OK;
    /* A mark behind every full part; its event must be free: passed by the card. */
    while (after / PART > s->marked) {
        if (s->marked - s->passed == TRIBUS_CUDA_QUEUE_MARKS) {
            result = cu->event_query(s->marks[s->passed % TRIBUS_CUDA_QUEUE_MARKS]);
            if (result == TRIBUS_CU_NOT_READY)
                return TRIBUS_FULL;
            if (result != TRIBUS_CU_OK)
                return tribus_cuda_context_check(s->context, result, "queued work");
            s->passed++;
        }
        result = cu->event_record(s->marks[s->marked % TRIBUS_CUDA_QUEUE_MARKS], s->stream);
        if (result != TRIBUS_CU_OK)
            return tribus_cuda_context_check(s->context, result, "mark the queue");
        s->marked++;
    }
    s->enqueued = after;
    return TRIBUS_OK;
}

tribus_status tribus_cuda_stream_wait(tribus_cuda_stream *s, int64_t timeout_ns)
{
    const int64_t start_ns = tribus_now_ns();
    const int64_t deadline_ns = tribus_deadline_ns(timeout_ns);

    for (;;) {
        const tribus_cu_result result = s->context->cu->stream_query(s->stream);
        int64_t now_ns;

        if (result == TRIBUS_CU_OK) {
            s->passed = s->marked;
            return TRIBUS_OK;
        }
        if (result != TRIBUS_CU_NOT_READY)
            return tribus_cuda_context_check(s->context, result, "work on the card");
        now_ns = tribus_now_ns();
        if (now_ns >= deadline_ns)
            return TRIBUS_TIMEOUT;
        if (now_ns - start_ns > SPIN_NS) {
            const struct timespec nap = {.tv_nsec = SLEEP_NS};

            (void)nanosleep(&nap, NULL);
        }
    }
}

tribus_status tribus_cuda_stream_launch(tribus_cuda_stream *s, tribus_cu_function function,
                                        tribus_cuda_grid grid, void **params)
{
    tribus_status st = tribus_cuda_stream_claim(s, 1);

    if (st != TRIBUS_OK)
        return st;
    return tribus_cuda_context_check(
        s->context,
        s->context->cu->launch_kernel(function, grid.blocks, 1, 1, grid.threads, 1, 1,
                                      grid.shared_bytes, s->stream, params, NULL),
        "launch a kernel");
}
