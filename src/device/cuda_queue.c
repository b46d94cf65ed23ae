/* cuda_queue.c -- see cuda_queue.h. The host lays out rings and starts one launch of one block
 * a stage; from then on it only feeds and drains.
 */
#include "device/cuda_queue.h"
#include "base/atomic.h"
#include "base/error.h"
#include "base/os.h"
#include "device/cuda_memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CELLS_DEFAULT 1024u
#define CELL_BYTES    64u
#define HOP_BYTES     16u
#define COPY_NS       INT64_C(5000000000)
#define CLOSE_NS      INT64_C(1000000000)

/* In host memory, registered. */
typedef struct control {
    _Atomic(uint64_t) stop;
    uint64_t unused[7];
    _Atomic(uint64_t) items[TRIBUS_CUDA_QUEUE_STAGES];
    _Atomic(uint64_t) work_ns[TRIBUS_CUDA_QUEUE_STAGES];
} control;

struct tribus_cuda_queue {
    tribus_cuda_context *context;
    tribus_cuda_stream stream;
    tribus_device_memory between; /* the stages, on the card */
    int between_fd;
    control *control;
    uint32_t page; /* of the context's */
    bool running;
    tribus_cuda_queue_args args;
    uint32_t stages;
};

/* Copy between a card and memory of ours that is there to be looked at. */
static tribus_status copy(tribus_cuda_context *c, void *data, void *host, size_t bytes,
                          bool to_card)
{
    const tribus_cu_ptr at = (tribus_cu_ptr)(uintptr_t)data;
    tribus_status st = tribus_cuda_context_enter(c);

    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c,
            to_card ? c->cu->memcpy_htod_async(at, host, bytes, c->rescue.stream)
                    : c->cu->memcpy_dtoh_async(host, at, bytes, c->rescue.stream),
            "copy a ring");
    return st == TRIBUS_OK ? tribus_cuda_stream_wait(&c->rescue, COPY_NS) : st;
}

static void *room_for(size_t bytes)
{
    return aligned_alloc(TRIBUS_CACHE_LINE_BYTES, (bytes + TRIBUS_CACHE_LINE_BYTES - 1) /
                                                      TRIBUS_CACHE_LINE_BYTES *
                                                      TRIBUS_CACHE_LINE_BYTES);
}

tribus_status tribus_cuda_queue_lay_ring(tribus_cuda_context *context, void *data,
                                         size_t bytes, uint32_t cells)
{
    void *host = room_for(bytes);
    tribus_status st;

    if (host == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "queue: %zu bytes", bytes);
    memset(host, 0, bytes);
    st = tribus_ring_create(host, bytes, cells, CELL_BYTES);
    if (st == TRIBUS_OK)
        st = copy(context, data, host, bytes, true);
    free(host);
    return st;
}

/* The number of cells that the memory at one end says it has, checked by opening it. */
static tribus_status check_end(const tribus_cuda_queue_end *end, tribus_end which,
                               tribus_cuda_queue_ring *out)
{
    tribus_ring *ring = NULL;
    tribus_status st = tribus_ring_open(end->mem, end->bytes, which, &ring);
    uint32_t cells = 2;

    if (st != TRIBUS_OK)
        return st;
    if (tribus_ring_payload_bytes(ring) != sizeof(tribus_cuda_queue_item) ||
        tribus_ring_waiting(ring) != 0)
        st = tribus_error_set(TRIBUS_BAD_ARG,
                              "queue: cells of 64 bytes and an empty ring are wanted");
    tribus_ring_close(ring);
    if (st != TRIBUS_OK)
        return st;
    memcpy(&cells, (const unsigned char *)end->mem + 8,
           sizeof(cells)); /* checked by open */
    *out = (tribus_cuda_queue_ring){.base = end->data, .mask = cells - 1u};
    return TRIBUS_OK;
}

/* A ring in memory of a card is looked at in a copy. */
static tribus_status end_of(tribus_cuda_context *c, const tribus_cuda_queue_end *end,
                            tribus_end which, tribus_cuda_queue_ring *out)
{
    tribus_cuda_queue_end seen = *end;
    tribus_status st;

    if (end->mem != NULL)
        return check_end(end, which, out);
    seen.mem = room_for(end->bytes);
    if (seen.mem == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "queue: %zu bytes", end->bytes);
    st = copy(c, end->data, seen.mem, end->bytes, false);
    if (st == TRIBUS_OK)
        st = check_end(&seen, which, out);
    free(seen.mem);
    return st;
}

/* The pages of all queues of a card, registered with the first: registering memory, and giving
 * it back, waits for kernels that run, and those of a queue run until they are told. */
struct tribus_cuda_queue_pages {
    void *mem;
    void *data;
    int fd;
    uint32_t used; /* a bit each */
};

#define PAGES      16u
#define PAGE_BYTES ((size_t)4096)

static tribus_status open_pages(tribus_cuda_context *c)
{
    tribus_cuda_queue_pages *p = calloc(1, sizeof(*p));
    tribus_status st;

    if (p == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "queue: %zu bytes", sizeof(*p));
    p->fd = -1;
    st = tribus_os_memory_create("tribus-queue", PAGES * PAGE_BYTES, NULL, &p->fd);
    if (st == TRIBUS_OK)
        st = tribus_os_map(p->fd, PAGES * PAGE_BYTES, true, true, &p->mem);
    if (st == TRIBUS_OK)
        st = tribus_cuda_memory_register(c, p->mem, PAGES * PAGE_BYTES, &p->data);
    c->queue_pages = p;
    if (st != TRIBUS_OK)
        tribus_cuda_queue_pages_close(c);
    return st;
}

void tribus_cuda_queue_pages_close(tribus_cuda_context *c)
{
    tribus_cuda_queue_pages *p = c->queue_pages;

    if (p == NULL)
        return;
    if (p->data != NULL)
        tribus_cuda_memory_unregister(c, p->mem);
    if (p->mem != NULL)
        tribus_os_unmap(p->mem, PAGES * PAGE_BYTES);
    if (p->fd >= 0)
        (void)close(p->fd);
    free(p);
    c->queue_pages = NULL;
}

static tribus_status take_page(tribus_cuda_queue *q)
{
    tribus_cuda_queue_pages *p;
    tribus_status st = q->context->queue_pages == NULL ? open_pages(q->context) : TRIBUS_OK;
    uint32_t i = 0;
    uint64_t *data;

    if (st != TRIBUS_OK)
        return st;
    p = q->context->queue_pages;
    while (i < PAGES && (p->used >> i & 1u) != 0)
        i++;
    if (i == PAGES)
        return tribus_error_set(TRIBUS_NO_MEMORY, "queue: %u are open on this card already",
                                PAGES);
    p->used |= 1u << i;
    q->page = i;
    q->control = (control *)(void *)((unsigned char *)p->mem + i * PAGE_BYTES);
    memset(q->control, 0, sizeof(*q->control));
    data = (uint64_t *)(void *)((unsigned char *)p->data + i * PAGE_BYTES);
    q->args.stop = data;
    q->args.items = data + 8;
    q->args.work_ns = data + 8 + TRIBUS_CUDA_QUEUE_STAGES;
    return TRIBUS_OK;
}

/* Hops, items beside them and the word of the last stage, all zero. */
static tribus_status make_between(tribus_cuda_queue *q, uint32_t cells)
{
    const size_t hops = (size_t)(q->stages - 1) * cells * HOP_BYTES;
    const size_t bytes = TRIBUS_CACHE_LINE_BYTES * 2 + hops + (size_t)cells * CELL_BYTES;
    tribus_cuda_context *c = q->context;
    uint8_t *base;
    tribus_status st;

    if (q->stages < 2)
        return TRIBUS_OK;
    st = tribus_cuda_memory_create(c, bytes, &q->between_fd, &q->between);
    if (st != TRIBUS_OK)
        return st;
    base = q->between.data;
    q->args.between = (tribus_cuda_queue_between){
        .done = (uint64_t *)q->between.data,
        .items = base + 2 * TRIBUS_CACHE_LINE_BYTES,
        .hops = base + 2 * TRIBUS_CACHE_LINE_BYTES + (size_t)cells * CELL_BYTES,
        .mask = cells - 1u};
    st = tribus_cuda_context_check(
        c,
        c->cu->memset_d8_async((tribus_cu_ptr)(uintptr_t)base, 0, bytes, q->stream.stream),
        "clear the queue's memory");
    return st == TRIBUS_OK ? tribus_cuda_stream_wait(&q->stream, COPY_NS) : st;
}

static tribus_status check_cfg(const tribus_cuda_queue_cfg *cfg, uint32_t cells)
{
    if (cfg->stage_count == 0 || cfg->stage_count > TRIBUS_CUDA_QUEUE_STAGES)
        return tribus_error_set(TRIBUS_BAD_ARG, "queue: %u stages, 1..%u allowed",
                                cfg->stage_count, TRIBUS_CUDA_QUEUE_STAGES);
    if (cells < TRIBUS_CUDA_QUEUE_BATCH || tribus_ring_bytes(cells, CELL_BYTES) == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "queue: %u cells: a power of two from 32",
                                cells);
    for (uint32_t i = 0; i < cfg->stage_count; i++) {
        const tribus_cuda_queue_stage *s = &cfg->stages[i];
        const bool touches = s->work != TRIBUS_CUDA_QUEUE_PASS;

        if (s->work >= TRIBUS_CUDA_QUEUE_WORKS ||
            (touches && (s->from == NULL || s->to == NULL ||
                         (uint64_t)s->elements * sizeof(float) > s->slot_bytes)))
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "queue: stage %u: work %u on %u elements in slots of "
                                    "%llu bytes",
                                    i, s->work, s->elements,
                                    (unsigned long long)s->slot_bytes);
    }
    return TRIBUS_OK;
}

static tribus_status start(tribus_cuda_queue *q)
{
    void *params[] = {&q->args};
    tribus_cu_function function;
    tribus_status st =
        tribus_cuda_context_function(q->context, "tribus_cuda_queue_run", &function);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(
            &q->stream, function,
            (tribus_cuda_grid){q->stages, TRIBUS_CUDA_QUEUE_THREADS, 0}, params);
    q->running = st == TRIBUS_OK;
    return st;
}

tribus_status tribus_cuda_queue_open(tribus_cuda_context *context,
                                     const tribus_cuda_queue_cfg *cfg,
                                     tribus_cuda_queue **out)
{
    const uint32_t cells = cfg->cells == 0 ? CELLS_DEFAULT : cfg->cells;
    tribus_cuda_queue *q = NULL;
    tribus_status st = check_cfg(cfg, cells);

    if (st != TRIBUS_OK)
        return st;
    q = calloc(1, sizeof(*q));
    if (q == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "queue: %zu bytes", sizeof(*q));
    q->context = context;
    q->stages = cfg->stage_count;
    q->between_fd = -1;
    memcpy(q->args.stages, cfg->stages, q->stages * sizeof(q->args.stages[0]));
    st = tribus_cuda_context_enter(context);
    if (st == TRIBUS_OK)
        st = end_of(context, &cfg->feed, TRIBUS_READER, &q->args.feed);
    if (st == TRIBUS_OK)
        st = end_of(context, &cfg->drain, TRIBUS_WRITER, &q->args.drain);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_open(context, &q->stream);
    if (st == TRIBUS_OK)
        st = take_page(q);
    if (st == TRIBUS_OK)
        st = make_between(q, cells);
    if (st == TRIBUS_OK)
        st = start(q);
    if (st != TRIBUS_OK) {
        tribus_error_add("open a queue of the card");
        tribus_cuda_queue_close(q);
        return st;
    }
    *out = q;
    return TRIBUS_OK;
}

tribus_status tribus_cuda_queue_check(tribus_cuda_queue *q)
{
    tribus_status st;

    if (!q->running)
        return TRIBUS_STOPPED;
    st = tribus_cuda_stream_wait(&q->stream, 0);
    if (st == TRIBUS_TIMEOUT)
        return TRIBUS_OK;
    q->running = false;
    return st == TRIBUS_OK ? TRIBUS_STOPPED : st;
}

tribus_status tribus_cuda_queue_stop(tribus_cuda_queue *q, int64_t timeout_ns,
                                     tribus_cuda_queue_done *done)
{
    tribus_status st = TRIBUS_OK;

    if (q->running) {
        tribus_store_rlx(&q->control->stop, 1u); /* nothing is read because of it */
        st = tribus_cuda_stream_wait(&q->stream, timeout_ns);
        q->running = st == TRIBUS_TIMEOUT;
    }
    for (uint32_t s = 0; st == TRIBUS_OK && done != NULL && s < q->stages; s++) {
        done[s].items = tribus_load_rlx(&q->control->items[s]); /* the stream has ended */
        done[s].work_ns = (int64_t)tribus_load_rlx(&q->control->work_ns[s]);
    }
    return st;
}

void tribus_cuda_queue_close(tribus_cuda_queue *q)
{
    if (q == NULL)
        return;
    if (tribus_cuda_queue_stop(q, CLOSE_NS, NULL) != TRIBUS_OK)
        tribus_error_clear(); /* a card that does not stop is the driver's to end */
    tribus_cuda_stream_close(&q->stream);
    if (q->control != NULL && !q->running) /* else its kernel still looks at the page */
        q->context->queue_pages->used &= ~(1u << q->page);
    if (q->between.data != NULL)
        tribus_cuda_memory_close(q->context, &q->between);
    if (q->between_fd >= 0)
        (void)close(q->between_fd);
    free(q);
}
