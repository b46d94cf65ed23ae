/* peer_ck.c -- Concurrency Kit's ring for one writer and one reader, in shared memory, as a path
 * of `tribus bench fabric`. The ring copies entries of 64 bytes; a larger message lies in a
 * slot, slots rotate, and the entry names one. Nothing is checked, counted or recovered. */
#include "peer.h"

#include <ck_ring.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CELLS  64u
#define ENTRY  64u
#define ROTATE ((size_t)8 << 20) /* bytes in rotation, each direction */

typedef struct entry {
    uint64_t words[ENTRY / 8];
} entry;

CK_RING_PROTOTYPE(entry, entry)

typedef struct direction {
    _Alignas(128) ck_ring_t ring;
    _Alignas(128) entry cells[CELLS];
} direction;

typedef struct ck_shared {
    direction ways[2];
    _Alignas(4096) unsigned char slots[];
} ck_shared;

typedef struct ck_state {
    ck_shared *shm;
    direction *out, *in;
    entry sent, got;
    uint64_t count;
} ck_state;

static size_t slots_of(size_t size_bytes)
{
    const size_t n = ROTATE / size_bytes;

    return n < 2 ? 2 : n > 8 ? 8 : n; /* the best rotation of each size, as for the floor */
}

static size_t shared_bytes(size_t size_bytes)
{
    return sizeof(ck_shared) + 2 * slots_of(size_bytes) * size_bytes;
}

static bool setup(void *shared, size_t size_bytes)
{
    ck_shared *shm = shared;

    (void)size_bytes;
    for (int i = 0; i < 2; i++)
        ck_ring_init(&shm->ways[i].ring, CELLS);
    return true;
}

static bool start(tribus_bench_end *e)
{
    static ck_state s;

    s = (ck_state){.shm = e->shared};
    s.out = &s.shm->ways[e->side];
    s.in = &s.shm->ways[1 - e->side];
    e->state = &s;
    return true;
}

static unsigned char *slot_at(const tribus_bench_end *e, int side, uint64_t slot)
{
    const ck_state *s = e->state;

    return s->shm->slots + ((size_t)side * slots_of(e->size_bytes) + slot) * e->size_bytes;
}

static void *loan(tribus_bench_end *e)
{
    ck_state *s = e->state;

    if (e->size_bytes <= ENTRY)
        return s->sent.words;
    s->sent.words[0] = s->count++ % slots_of(e->size_bytes);
    return slot_at(e, e->side, s->sent.words[0]);
}

static bool send_it(tribus_bench_end *e, void *mem)
{
    ck_state *s = e->state;

    (void)mem;
    return ck_ring_enqueue_spsc_entry(&s->out->ring, s->out->cells, &s->sent)
               ? true
               : tribus_bench_pair_fail("ck: the ring is full");
}

static const void *receive(tribus_bench_end *e)
{
    ck_state *s = e->state;

    if (!ck_ring_dequeue_spsc_entry(&s->in->ring, s->in->cells, &s->got))
        return NULL;
    return e->size_bytes <= ENTRY ? (const void *)s->got.words
                                  : slot_at(e, 1 - e->side, s->got.words[0]);
}

static bool release(tribus_bench_end *e, const void *mem)
{
    (void)e;
    (void)mem;
    return true;
}

static const tribus_bench_ops ops = {
    .path = "ck",
    .shared_bytes = shared_bytes,
    .setup = setup,
    .start = start,
    .loan = loan,
    .send = send_it,
    .receive = receive,
    .release = release,
};

int main(int argc, char **argv)
{
    return tribus_peer_main(argc, argv, &ops, "0.7 (ck_ring, spsc)");
}
