/* ring.h -- the layout of a ring in shared memory and the handle on it, for ring.c and for
 * ring_latest.c, where the oldest message is overwritten. */
#ifndef TRIBUS_FABRIC_RING_H
#define TRIBUS_FABRIC_RING_H

#include "fabric/counter.h"

#define TRIBUS_RING_SEQUENCE_BYTES 8u

struct tribus_ring_shm {
    /* 0: fixed at creation */
    tribus_shm_head head;
    uint32_t cells;
    uint32_t cell_bytes;
    uint32_t flow; /* tribus_flow */
    uint32_t unused0[27];
    /* 128: the writer's */
    _Atomic(uint64_t) tail_hint; /* for onlookers; the cells decide */
    uint64_t unused1[15];
    /* 256: the reader's */
    _Atomic(uint64_t) released;
    _Atomic(uint64_t) offered;
    uint64_t unused2[14];
    /* 384: pressed by commit */
    struct tribus_doorbell_shm reader_bell;
    uint64_t unused3[8];
    /* 512: pressed by release */
    struct tribus_doorbell_shm writer_bell;
    uint64_t unused4[8];
    /* 640: cells */
};

_Static_assert(offsetof(struct tribus_ring_shm, tail_hint) == 128, "layout");
_Static_assert(offsetof(struct tribus_ring_shm, released) == 256, "layout");
_Static_assert(offsetof(struct tribus_ring_shm, reader_bell) == 384, "layout");
_Static_assert(offsetof(struct tribus_ring_shm, writer_bell) == 512, "layout");
_Static_assert(sizeof(struct tribus_ring_shm) == 640, "layout");

struct tribus_ring {
    unsigned char *cells;
    struct tribus_ring_shm *shm;
    uint64_t position;  /* writer: tail; reader: head */
    uint64_t head_seen; /* writer: a past value of released */
    uint64_t offered;   /* reader: what shm->offered holds */
    uint64_t again;     /* reader: messages before this were offered to a dead one */
    uint32_t mask;
    uint32_t cell_bytes;
    uint32_t granted; /* cells claimed or peeked, not yet committed or released */
    tribus_end end;
    tribus_doorbell_shm *press; /* what we press; may be NULL */
    tribus_doorbell_shm *sleep; /* what we sleep on */
    tribus_counters *counters;  /* may be NULL */
    int event;                  /* eventfd to fire with a press, or -1 */
    /* only where the oldest is overwritten */
    uint64_t *copy; /* writer: the payload being filled; reader: the copy it was given */
    uint64_t lost;
};

static inline unsigned char *tribus_ring_cell_at(const tribus_ring *r, uint64_t position)
{
    return r->cells + (size_t)(position & r->mask) * r->cell_bytes;
}

static inline _Atomic(uint64_t) *tribus_ring_sequence_of(unsigned char *cell)
{
    return (_Atomic(uint64_t) *)(void *)cell;
}

static inline uint64_t tribus_ring_cell_count(const tribus_ring *r)
{
    return (uint64_t)r->mask + 1u;
}

/* Wake whoever sleeps on what this end just did. */
static inline void tribus_ring_press(tribus_ring *r)
{
    if (r->press == NULL)
        return;
    if (r->event < 0)
        tribus_doorbell_press(r->press);
    else
        tribus_doorbell_press_event(r->press, r->event);
}

/* Remember, before anybody looks at them, that messages up to `end` were offered. */
static inline void tribus_ring_offer(tribus_ring *r, uint64_t end)
{
    if (end - r->position > r->offered - r->position) {
        r->offered = end;
        TRIBUS_STEP("ring peek: before the offer");
        tribus_store_rlx(&r->shm->offered, end); /* ours: read only by our successor */
        TRIBUS_STEP("ring peek: after the offer");
    }
}

/* Nonzero when peek or claim would not say EMPTY or FULL; counts nothing. */
int tribus_ring_ready(void *ring);

tribus_status tribus_ring_corrupt(tribus_ring *r, const char *what, uint64_t value);

/* ring_latest.c: the same calls where the oldest is overwritten */
tribus_status tribus_ring_latest_resume(tribus_ring *r);
void tribus_ring_latest_commit(tribus_ring *r);
tribus_status tribus_ring_latest_peek(tribus_ring *r, const void **out, int *redelivered);
int tribus_ring_latest_ready(const tribus_ring *r);

#endif
