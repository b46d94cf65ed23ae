/* fake_stream.c -- streams and events: a queue of operations and a thread that does them; see
 * fake_inside.h. */
#include "fake_inside.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct fake_stream {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fake_list queue;
    fake_list *captured; /* NULL: what is queued is done */
    uint64_t pending;
    int stop;
} fake_stream;

static bool stopped(fake_stream *s)
{
    bool stop;

    (void)pthread_mutex_lock(&s->lock);
    stop = s->stop != 0;
    (void)pthread_mutex_unlock(&s->lock);
    return stop;
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = 20000};

    (void)nanosleep(&t, NULL);
}

static void perform(fake_stream *s, fake_operation *op)
{
    switch (op->kind) {
    case FAKE_WRITE:
        __atomic_store_n((uint64_t *)op->to, op->value, __ATOMIC_RELEASE);
        break;
    case FAKE_WAIT:
        while ((int64_t)(__atomic_load_n((const uint64_t *)op->from, __ATOMIC_ACQUIRE) -
                         op->value) < 0 &&
               !stopped(s))
            nap();
        break;
    case FAKE_COPY:
        if (op->bytes == sizeof(uint64_t)) {
            const uint64_t v =
                __atomic_load_n((const uint64_t *)op->from, __ATOMIC_ACQUIRE);

            __atomic_store_n((uint64_t *)op->to, v, __ATOMIC_RELEASE);
        } else {
            for (size_t i = 0; i < op->bytes;
                 i++) { /* words that others change lie in it */
                const unsigned char v =
                    __atomic_load_n((const unsigned char *)op->from + i, __ATOMIC_ACQUIRE);

                __atomic_store_n((unsigned char *)op->to + i, v, __ATOMIC_RELEASE);
            }
        }
        break;
    case FAKE_SET:
        memset(op->to, (int)op->value, op->bytes);
        break;
    case FAKE_KERNEL:
        op->kernel(op->argument, op->grid);
        break;
    case FAKE_EVENT:
        __atomic_store_n(&op->event->done, op->value, __ATOMIC_RELEASE);
        break;
    case FAKE_WAIT_EVENT:
        while (__atomic_load_n(&op->event->done, __ATOMIC_ACQUIRE) < op->value &&
               !stopped(s))
            nap();
        break;
    default:
        break;
    }
}

static void *stream_main(void *context)
{
    fake_stream *s = context;

    (void)pthread_mutex_lock(&s->lock);
    for (;;) {
        fake_operation *op = s->queue.first;

        if (op == NULL) {
            if (s->stop)
                break;
            (void)pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->queue.first = op->next;
        if (s->queue.first == NULL)
            s->queue.last = &s->queue.first;
        (void)pthread_mutex_unlock(&s->lock);
        perform(s, op);
        free(op);
        (void)pthread_mutex_lock(&s->lock);
        s->pending--;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

static fake_stream *stream_of(tribus_cu_stream stream)
{
    return (fake_stream *)(void *)stream;
}

tribus_cu_result fake_enqueue(tribus_cu_stream stream, const fake_operation *given)
{
    fake_stream *s = stream_of(stream);
    fake_operation *op = malloc(sizeof(*op));
    fake_list *list;

    if (op == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *op = *given;
    op->next = NULL;
    (void)pthread_mutex_lock(&s->lock);
    list = s->captured != NULL ? s->captured : &s->queue;
    s->pending += s->captured != NULL ? 0 : 1;
    *list->last = op;
    list->last = &op->next;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    return TRIBUS_CU_OK;
}

fake_list *fake_capture(tribus_cu_stream stream, fake_list *list)
{
    fake_stream *s = stream_of(stream);
    fake_list *before;

    (void)pthread_mutex_lock(&s->lock);
    before = s->captured;
    s->captured = list;
    (void)pthread_mutex_unlock(&s->lock);
    return before;
}

tribus_cu_result cuStreamCreate(tribus_cu_stream *stream, unsigned flags)
{
    fake_stream *s;

    (void)flags;
    BEGIN("cuStreamCreate");
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    s->queue.last = &s->queue.first;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->thread, NULL, stream_main, s) != 0) {
        free(s);
        return TRIBUS_CU_OUT_OF_MEMORY;
    }
    *stream = (tribus_cu_stream)(void *)s;
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuStreamDestroy_v2(tribus_cu_stream stream)
{
    fake_stream *s = stream_of(stream);

    (void)pthread_mutex_lock(&s->lock);
    s->stop = 1;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->thread, NULL);
    free(s);
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuStreamQuery(tribus_cu_stream stream)
{
    fake_stream *s = stream_of(stream);
    uint64_t pending;

    bool captured;

    BEGIN("cuStreamQuery");
    (void)pthread_mutex_lock(&s->lock);
    pending = s->pending;
    captured = s->captured != NULL;
    (void)pthread_mutex_unlock(&s->lock);
    if (captured) /* nor does a real driver allow it, and it breaks the capture */
        return TRIBUS_CU_STREAM_CAPTURE_UNSUPPORTED;
    return pending == 0 ? TRIBUS_CU_OK : TRIBUS_CU_NOT_READY;
}

tribus_cu_result cuStreamSynchronize(tribus_cu_stream stream)
{
    while (cuStreamQuery(stream) == TRIBUS_CU_NOT_READY)
        nap();
    return TRIBUS_CU_OK;
}

tribus_cu_result cuStreamWriteValue64_v2(tribus_cu_stream stream, tribus_cu_ptr address,
                                         uint64_t value, unsigned flags)
{
    const fake_operation op = {.kind = FAKE_WRITE, .to = fake_at(address), .value = value};

    (void)flags;
    BEGIN("cuStreamWriteValue64_v2");
    return fake_enqueue(stream, &op);
}

tribus_cu_result cuStreamWaitValue64_v2(tribus_cu_stream stream, tribus_cu_ptr address,
                                        uint64_t value, unsigned flags)
{
    const fake_operation op = {.kind = FAKE_WAIT, .from = fake_at(address), .value = value};

    (void)flags;
    BEGIN("cuStreamWaitValue64_v2");
    return fake_enqueue(stream, &op);
}

tribus_cu_result cuStreamWaitEvent(tribus_cu_stream stream, tribus_cu_event event,
                                   unsigned flags)
{
    fake_event *e = (fake_event *)(void *)event;
    const fake_operation op = {.kind = FAKE_WAIT_EVENT, .event = e, .value = e->recorded};

    (void)flags;
    BEGIN("cuStreamWaitEvent");
    return fake_enqueue(stream, &op);
}

tribus_cu_result cuEventCreate(tribus_cu_event *event, unsigned flags)
{
    fake_event *e;

    (void)flags;
    BEGIN("cuEventCreate");
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *event = (tribus_cu_event)(void *)e;
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuEventDestroy_v2(tribus_cu_event event)
{
    free(event);
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuEventRecord(tribus_cu_event event, tribus_cu_stream stream)
{
    fake_event *e = (fake_event *)(void *)event;
    fake_operation op = {.kind = FAKE_EVENT, .event = e};

    BEGIN("cuEventRecord");
    op.value = ++e->recorded;
    return fake_enqueue(stream, &op);
}

tribus_cu_result cuEventQuery(tribus_cu_event event)
{
    const fake_event *e = (const fake_event *)(void *)event;

    BEGIN("cuEventQuery");
    return __atomic_load_n(&e->done, __ATOMIC_ACQUIRE) == e->recorded ? TRIBUS_CU_OK
                                                                      : TRIBUS_CU_NOT_READY;
}

tribus_cu_result cuEventElapsedTime(float *ms, tribus_cu_event a, tribus_cu_event b)
{
    (void)a, (void)b;
    *ms = 0.0f;
    return TRIBUS_CU_OK;
}

static tribus_cu_result copy(void *to, const void *from, size_t bytes,
                             tribus_cu_stream stream)
{
    const fake_operation op = {.kind = FAKE_COPY, .to = to, .from = from, .bytes = bytes};

    return fake_enqueue(stream, &op);
}

tribus_cu_result cuMemcpyHtoDAsync_v2(tribus_cu_ptr to, const void *from, size_t bytes,
                                      tribus_cu_stream stream)
{
    BEGIN("cuMemcpyHtoDAsync_v2");
    return copy(fake_at(to), from, bytes, stream);
}

tribus_cu_result cuMemcpyDtoHAsync_v2(void *to, tribus_cu_ptr from, size_t bytes,
                                      tribus_cu_stream stream)
{
    BEGIN("cuMemcpyDtoHAsync_v2");
    return copy(to, fake_at(from), bytes, stream);
}

tribus_cu_result cuMemcpyDtoDAsync_v2(tribus_cu_ptr to, tribus_cu_ptr from, size_t bytes,
                                      tribus_cu_stream stream)
{
    BEGIN("cuMemcpyDtoDAsync_v2");
    return copy(fake_at(to), fake_at(from), bytes, stream);
}

tribus_cu_result cuMemsetD8Async(tribus_cu_ptr to, unsigned char value, size_t bytes,
                                 tribus_cu_stream stream)
{
    const fake_operation op = {
        .kind = FAKE_SET, .to = fake_at(to), .value = value, .bytes = bytes};

    BEGIN("cuMemsetD8Async");
    return fake_enqueue(stream, &op);
}
