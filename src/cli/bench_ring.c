/* bench_ring.c -- the tribus paths of bench_paths.h: a ring with the message in its cell, and
 * a ring that carries references to slots of a region. */
#include "cli/bench_paths.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define RING_CELLS 64u
#define CELL_BYTES 64u

/* A ring and a region in each direction. Side 0 writes the first. */
typedef struct layout {
    size_t ring_bytes, region_bytes, total;
    tribus_region_cfg region;
} layout;

typedef struct path_state {
    tribus_ring *out, *in;
    tribus_region *owned, *held;
    tribus_slot_ref loaned, received;
    uint64_t to; /* set of holders */
    const tribus_bench_ring_cfg *cfg;
} path_state;

static uint32_t slots_wanted; /* set by the parent before a row, so that all agree */

void tribus_bench_ring_slots(uint32_t slots)
{
    slots_wanted = slots;
}

static size_t pages(size_t bytes)
{
    return (bytes + 4095u) / 4096u * 4096u;
}

static layout layout_of(size_t size_bytes)
{
    layout l = {.region = {.slot_bytes = size_bytes, .slots = slots_wanted}};

    l.ring_bytes = pages(tribus_ring_bytes(RING_CELLS, CELL_BYTES));
    l.region_bytes = pages(tribus_region_bytes(&l.region));
    l.total = 2 * (l.ring_bytes + l.region_bytes);
    return l;
}

static size_t shared_bytes(size_t size_bytes)
{
    return layout_of(size_bytes).total;
}

static unsigned char *ring_at(void *shared, const layout *l, int direction)
{
    return (unsigned char *)shared + (size_t)direction * l->ring_bytes;
}

static unsigned char *region_at(void *shared, const layout *l, int direction)
{
    return (unsigned char *)shared + 2 * l->ring_bytes +
           (size_t)direction * l->region_bytes;
}

static bool fault(void)
{
    return tribus_bench_pair_fail("%s", tribus_error_text());
}

static bool setup(void *shared, size_t size_bytes)
{
    const layout l = layout_of(size_bytes);

    for (int d = 0; d < 2; d++)
        if (tribus_ring_create(ring_at(shared, &l, d), l.ring_bytes, RING_CELLS,
                               CELL_BYTES) != TRIBUS_OK ||
            tribus_region_create(region_at(shared, &l, d), l.region_bytes, &l.region,
                                 (uint32_t)d) != TRIBUS_OK)
            return fault();
    return true;
}

static bool start(tribus_bench_end *e)
{
    static path_state s;
    const layout l = layout_of(e->size_bytes);
    const int other = 1 - e->side;

    s.cfg = e->config;
    s.to = 1;
    if (tribus_ring_open(ring_at(e->shared, &l, e->side), l.ring_bytes, TRIBUS_WRITER,
                         &s.out) != TRIBUS_OK ||
        tribus_ring_open(ring_at(e->shared, &l, other), l.ring_bytes, TRIBUS_READER,
                         &s.in) != TRIBUS_OK ||
        tribus_region_open(region_at(e->shared, &l, e->side), l.region_bytes, TRIBUS_WRITER,
                           0, &s.owned) != TRIBUS_OK ||
        tribus_region_open(region_at(e->shared, &l, other), l.region_bytes, TRIBUS_READER,
                           0, &s.held) != TRIBUS_OK)
        return fault();
    if (s.cfg == NULL || s.cfg->spin_ns < 0) {
        tribus_ring_set_bell(s.out, NULL);
        tribus_ring_set_bell(s.in, NULL);
    }
    e->state = &s;
    return true;
}

static void stop(tribus_bench_end *e)
{
    path_state *s = e->state;

    tribus_ring_close(s->out);
    tribus_ring_close(s->in);
    tribus_region_close(s->owned);
    tribus_region_close(s->held);
}

/* Look once where both spin; else wait as configured. */
static const void *next_cell(path_state *s)
{
    const void *cell;
    tribus_status st = tribus_ring_peek(s->in, &cell, NULL);

    if (st == TRIBUS_EMPTY && s->cfg != NULL && s->cfg->spin_ns >= 0) {
        const tribus_wait_cfg wait = {.spin_ns = s->cfg->spin_ns, .timeout_ns = 100000000};

        st = tribus_ring_wait(s->in, &wait);
        if (st == TRIBUS_OK)
            st = tribus_ring_peek(s->in, &cell, NULL);
    }
    if (st == TRIBUS_OK)
        return cell;
    if (st != TRIBUS_EMPTY && st != TRIBUS_TIMEOUT)
        (void)fault();
    return NULL;
}

/* ---- the message in the cell ---- */

static void *cell_loan(tribus_bench_end *e)
{
    void *mem;

    return tribus_ring_claim(((path_state *)e->state)->out, &mem) == TRIBUS_OK ? mem : NULL;
}

static bool cell_send(tribus_bench_end *e, void *mem)
{
    (void)mem;
    tribus_ring_commit(((path_state *)e->state)->out);
    return true;
}

static const void *cell_receive(tribus_bench_end *e)
{
    return next_cell(e->state);
}

static bool cell_release(tribus_bench_end *e, const void *mem)
{
    (void)mem;
    tribus_ring_release(((path_state *)e->state)->in);
    return true;
}

#define WORDS 7u

static void put(tribus_ring *ring, uint64_t i)
{
    uint64_t *word;
    void *mem;

    while (tribus_ring_claim(ring, &mem) != TRIBUS_OK)
        if (tribus_bench_pair_ended())
            return;
    word = mem;
    for (uint64_t k = 0; k < WORDS; k++)
        word[k] = i + k;
    tribus_ring_commit(ring);
}

static bool take(path_state *s, uint64_t i)
{
    const uint64_t *word;
    const void *mem;
    uint64_t sum = 0, polls = 0;

    if (s->cfg == NULL || s->cfg->spin_ns < 0) {
        while (tribus_ring_peek(s->in, &mem, NULL) != TRIBUS_OK)
            if ((++polls & 0xffffu) == 0 && tribus_bench_pair_ended())
                return false;
    } else {
        while ((mem = next_cell(s)) == NULL)
            if (tribus_bench_pair_ended())
                return false;
    }
    word = mem;
    for (uint64_t k = 0; k < WORDS; k++)
        sum += word[k];
    tribus_ring_release(s->in);
    if (sum != WORDS * i + WORDS * (WORDS - 1) / 2 && !tribus_bench_pair_ended())
        return tribus_bench_pair_fail("ring: message %llu arrived with wrong bytes",
                                      (unsigned long long)i);
    return true;
}

static bool cell_ask(tribus_bench_end *e, uint64_t i)
{
    path_state *s = e->state;

    put(s->out, i);
    return take(s, 3 * i);
}

static bool cell_answer(tribus_bench_end *e, uint64_t i)
{
    path_state *s = e->state;

    if (!take(s, i) || tribus_bench_pair_ended())
        return false;
    put(s->out, 3 * i);
    return true;
}

const tribus_bench_ops tribus_bench_cell = {
    .path = "ring",
    .shared_bytes = shared_bytes,
    .setup = setup,
    .start = start,
    .loan = cell_loan,
    .send = cell_send,
    .receive = cell_receive,
    .release = cell_release,
    .stop = stop,
    .ask = cell_ask,
    .answer = cell_answer,
};

/* ---- the reference in the cell, the message in a slot ---- */

static void *slot_loan(tribus_bench_end *e)
{
    path_state *s = e->state;
    void *mem;

    return tribus_region_loan(s->owned, &s->loaned, &mem) == TRIBUS_OK ? mem : NULL;
}

static bool slot_send(tribus_bench_end *e, void *mem)
{
    path_state *s = e->state;
    void *cell;

    (void)mem;
    if (tribus_region_commit(s->owned, &s->loaned, s->to) != TRIBUS_OK ||
        tribus_ring_claim(s->out, &cell) != TRIBUS_OK)
        return fault();
    memcpy(cell, &s->loaned, sizeof(s->loaned));
    tribus_ring_commit(s->out);
    return true;
}

static const void *slot_receive(tribus_bench_end *e)
{
    path_state *s = e->state;
    const void *cell = next_cell(s), *mem;

    if (cell == NULL)
        return NULL;
    memcpy(&s->received, cell, sizeof(s->received));
    if (tribus_region_receive(s->held, &s->received, &mem) != TRIBUS_OK) {
        (void)fault();
        return NULL;
    }
    return mem;
}

static bool slot_release(tribus_bench_end *e, const void *mem)
{
    path_state *s = e->state;

    (void)mem;
    if (tribus_region_release(s->held, &s->received) != TRIBUS_OK)
        return fault();
    tribus_ring_release(s->in);
    return true;
}

const tribus_bench_ops tribus_bench_slot = {
    .path = "ring",
    .shared_bytes = shared_bytes,
    .setup = setup,
    .start = start,
    .loan = slot_loan,
    .send = slot_send,
    .receive = slot_receive,
    .release = slot_release,
    .stop = stop,
};

/* ---- the same with one region for both directions, each side a holder ---- */

static bool shared_start(tribus_bench_end *e)
{
    const layout l = layout_of(e->size_bytes);
    path_state *s;

    if (!start(e))
        return false;
    s = e->state;
    tribus_region_close(s->owned);
    tribus_region_close(s->held);
    s->held = s->owned = NULL;
    s->to = e->side == 0 ? 2 : 1;
    if (tribus_region_open(region_at(e->shared, &l, 0), l.region_bytes, TRIBUS_READER,
                           (uint32_t)e->side, &s->owned) != TRIBUS_OK)
        return fault();
    s->held = s->owned;
    return true;
}

static void shared_stop(tribus_bench_end *e)
{
    path_state *s = e->state;

    s->held = NULL; /* the same */
    stop(e);
}

const tribus_bench_ops tribus_bench_shared = {
    .path = "ring",
    .shared_bytes = shared_bytes,
    .setup = setup,
    .start = shared_start,
    .loan = slot_loan,
    .send = slot_send,
    .receive = slot_receive,
    .release = slot_release,
    .stop = shared_stop,
};

/* ---- one slot that goes back and forth, written in place ---- */

static bool reuse_start(tribus_bench_end *e)
{
    const layout l = layout_of(e->size_bytes);
    path_state *s;
    void *mem;

    if (!start(e))
        return false;
    s = e->state;
    tribus_region_close(s->held);
    s->held = NULL;
    if (e->side == 0 && (tribus_region_loan(s->owned, &s->received, &mem) != TRIBUS_OK ||
                         tribus_region_commit(s->owned, &s->received, 1) != TRIBUS_OK))
        return fault();
    if (tribus_region_open(region_at(e->shared, &l, 0), l.region_bytes, TRIBUS_READER,
                           (uint32_t)e->side, &s->held) != TRIBUS_OK)
        return fault();
    return true;
}

static void *reuse_loan(tribus_bench_end *e)
{
    path_state *s = e->state;
    void *mem;

    return tribus_region_reuse(s->held, &s->received, &mem) == TRIBUS_OK ? mem : NULL;
}

static bool reuse_send(tribus_bench_end *e, void *mem)
{
    path_state *s = e->state;
    void *cell;

    (void)mem;
    if (tribus_region_pass(s->held, &s->received, e->side == 0 ? 2 : 1) != TRIBUS_OK ||
        tribus_ring_claim(s->out, &cell) != TRIBUS_OK)
        return fault();
    memcpy(cell, &s->received, sizeof(s->received));
    tribus_ring_commit(s->out);
    return true;
}

static bool reuse_release(tribus_bench_end *e, const void *mem)
{
    (void)mem;
    tribus_ring_release(((path_state *)e->state)->in); /* the slot stays ours */
    return true;
}

const tribus_bench_ops tribus_bench_reuse = {
    .path = "ring",
    .shared_bytes = shared_bytes,
    .setup = setup,
    .start = reuse_start,
    .loan = reuse_loan,
    .send = reuse_send,
    .receive = slot_receive,
    .release = reuse_release,
    .stop = stop,
};
