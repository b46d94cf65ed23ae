/* cuda_timeline.c -- see cuda_timeline.h. */
#include "device/cuda_timeline.h"
#include "base/error.h"
#include "device/cuda_timeline_kernels.h"
#include "device/cuda_watch.h"

#include <stdlib.h>
#include <string.h>

#define PEEK_NS INT64_C(1000000000)

tribus_status tribus_cuda_timeline_of_host(void *mem, void *data, tribus_cuda_timeline *out)
{
    tribus_timeline_shm *host = NULL;
    const tribus_status st = tribus_timeline_open(mem, TRIBUS_TIMELINE_BYTES, &host);

    if (st != TRIBUS_OK)
        return st;
    *out = (tribus_cuda_timeline){(tribus_cu_ptr)(uintptr_t)data, host};
    return TRIBUS_OK;
}

/* Copy between the card and 128 bytes of ours, done on return. */
static tribus_status copy(tribus_cuda_context *c, tribus_cu_ptr address, void *host,
                          bool to_card)
{
    tribus_cuda_stream *s = &c->rescue;
    tribus_status st = tribus_cuda_context_enter(c);

    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c,
            to_card
                ? c->cu->memcpy_htod_async(address, host, TRIBUS_TIMELINE_BYTES, s->stream)
                : c->cu->memcpy_dtoh_async(host, address, TRIBUS_TIMELINE_BYTES, s->stream),
            "copy a timeline");
    return st == TRIBUS_OK ? tribus_cuda_stream_wait(s, PEEK_NS) : st;
}

tribus_status tribus_cuda_timeline_of_card(tribus_cuda_context *context, void *data,
                                           bool create, int64_t value,
                                           tribus_cuda_timeline *out)
{
    _Alignas(64) unsigned char bytes[TRIBUS_TIMELINE_BYTES] = {0};
    const tribus_cu_ptr address = (tribus_cu_ptr)(uintptr_t)data;
    tribus_timeline_shm *found;
    tribus_status st;

    if (address % TRIBUS_CACHE_LINE_BYTES != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "timeline: not at a multiple of 64");
    if (create)
        st = tribus_timeline_create(bytes, sizeof(bytes), value);
    else
        st = TRIBUS_OK;
    if (st == TRIBUS_OK)
        st = copy(context, address, bytes, create);
    if (st == TRIBUS_OK)
        st = tribus_timeline_open(bytes, sizeof(bytes), &found);
    if (st == TRIBUS_OK)
        *out = (tribus_cuda_timeline){address, NULL};
    return st;
}

static tribus_status check_value(int64_t value)
{
    if (value < 0 || value == TRIBUS_TIMELINE_POISON)
        return tribus_error_set(TRIBUS_BAD_ARG, "timeline: %lld is no value",
                                (long long)value);
    return TRIBUS_OK;
}

tribus_status tribus_cuda_timeline_advance(tribus_cuda_stream *s,
                                           const tribus_cuda_timeline *t, int64_t value)
{
    tribus_status st = check_value(value);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_claim(s, 1);
    if (st != TRIBUS_OK)
        return st;
    return tribus_cuda_context_check(s->context,
                                     s->context->cu->stream_write_value_64(
                                         s->stream, t->address + TRIBUS_CUDA_TIMELINE_VALUE,
                                         (uint64_t)value, TRIBUS_CU_WRITE_DEFAULT),
                                     "queue the advance of a timeline");
}

tribus_status tribus_cuda_timeline_publish(tribus_cuda_stream *s,
                                           const tribus_cuda_timeline *t, int64_t value,
                                           tribus_ring *ring)
{
    const tribus_status st = tribus_cuda_timeline_advance(s, t, value);

    if (st == TRIBUS_OK)
        tribus_ring_commit(ring);
    return st;
}

tribus_status tribus_cuda_timeline_wait(tribus_cuda_stream *s,
                                        const tribus_cuda_timeline *t, int64_t value,
                                        int64_t timeout_ns)
{
    uint64_t guard = 0;
    tribus_status st = check_value(value);

    if (st == TRIBUS_OK && timeout_ns < 0)
        st = tribus_error_set(TRIBUS_BAD_ARG, "every wait has a deadline");
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_claim(s, 1);
    /* The guard first: a wait that is queued and not guarded could last for ever. */
    if (st == TRIBUS_OK)
        st = tribus_cuda_watch_guard(s->context, t, value, timeout_ns, &guard);
    if (st != TRIBUS_OK)
        return st;
    st = tribus_cuda_context_check(s->context,
                                   s->context->cu->stream_wait_value_64(
                                       s->stream, t->address + TRIBUS_CUDA_TIMELINE_VALUE,
                                       (uint64_t)value, TRIBUS_CU_WAIT_GEQ),
                                   "queue a wait for a timeline");
    if (st != TRIBUS_OK)
        tribus_cuda_watch_release(s->context, guard);
    return st;
}

static tribus_status by_kernel(tribus_cuda_stream *s, const char *name,
                               const tribus_cuda_timeline *t, int64_t value,
                               int64_t timeout_ns)
{
    const uintptr_t at = (uintptr_t)t->address;
    tribus_cuda_timeline_args args = {
        .value = (uint64_t *)(at + TRIBUS_CUDA_TIMELINE_VALUE),
        .poisoned = (uint64_t *)(at + TRIBUS_CUDA_TIMELINE_POISON),
        .target = value,
        .timeout_ns = timeout_ns};
    void *params[] = {&args};
    tribus_cu_function function;
    tribus_status st = check_value(value);

    if (st == TRIBUS_OK)
        st = tribus_cuda_context_function(s->context, name, &function);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(s, function, (tribus_cuda_grid){1, 1, 0}, params);
    return st;
}

tribus_status tribus_cuda_timeline_advance_by_kernel(tribus_cuda_stream *s,
                                                     const tribus_cuda_timeline *t,
                                                     int64_t value)
{
    return by_kernel(s, "tribus_cuda_timeline_kernel_advance", t, value, 0);
}

tribus_status tribus_cuda_timeline_wait_by_kernel(tribus_cuda_stream *s,
                                                  const tribus_cuda_timeline *t,
                                                  int64_t value, int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "every wait has a deadline");
    return by_kernel(s, "tribus_cuda_timeline_kernel_wait", t, value, timeout_ns);
}

tribus_status tribus_cuda_timeline_poison(tribus_cuda_context *context,
                                          const tribus_cuda_timeline *t)
{
    uint64_t guard;

    return tribus_cuda_watch_guard(context, t, TRIBUS_TIMELINE_POISON, 0, &guard);
}

tribus_status tribus_cuda_timeline_get(tribus_cuda_context *context,
                                       const tribus_cuda_timeline *t, int64_t *out)
{
    _Alignas(64) unsigned char bytes[TRIBUS_TIMELINE_BYTES];
    tribus_timeline_shm *found;
    tribus_status st;

    if (t->host != NULL) {
        *out = tribus_timeline_get(t->host);
        return TRIBUS_OK;
    }
    st = copy(context, t->address, bytes, false);
    if (st == TRIBUS_OK)
        st = tribus_timeline_open(bytes, sizeof(bytes), &found);
    if (st == TRIBUS_OK)
        *out = tribus_timeline_get(found);
    return st;
}

void tribus_cuda_timeline_forget(tribus_cuda_context *context,
                                 const tribus_cuda_timeline *t)
{
    tribus_cuda_watch_forget(context, t);
}
