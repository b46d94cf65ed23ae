/* test_kill.c -- kill -9 of a writer and a reader, at every labelled step and at random
 * moments, each succeeded by a new process, with messages in a ring and slots of a region.
 * labels: multiprocess
 * links: steps
 * timeout: 900
 *
 * At the end: every committed message was delivered, more than once only where it was marked
 * redelivered, no slot is lost and no wait outlived its deadline.
 * TRIBUS_KILLS=10000 makes a soak of it (`make soak`). */
#include "kill.h"

#define CELLS      8u
#define SLOTS      6u
#define SLOT_BYTES 256u
#define MESSAGES   (1u << 22)

enum { WRITER, READER, ROLES };

typedef struct message {
    uint64_t number;
    uint64_t has_slot;
    tribus_slot_ref ref;
} message;

typedef struct shared {
    kill_board board;
    _Atomic(uint64_t) redelivered, repeated;
    unsigned char seen[MESSAGES];
} shared;

typedef struct world {
    two_maps ring, region;
    shared *s;
} world;

static void violate(shared *s, const char *what, uint64_t number)
{
    kill_violate(&s->board, what, number);
}

/* ---- the writer, and whoever succeeds it ---- */

static void write_one(world *w, tribus_ring *ring, tribus_region *region)
{
    const uint64_t number = tribus_ring_position(ring);
    message m = {.number = number, .has_slot = number % 3 != 0};
    void *cell, *mem;
    int64_t t0;
    tribus_status st;

    if (m.has_slot) {
        while ((st = tribus_region_loan(region, &m.ref, &mem)) == TRIBUS_FULL)
            (void)sched_yield();
        if (st != TRIBUS_OK)
            violate(w->s, "loan", number);
        for (uint64_t i = 0; i < SLOT_BYTES / 8; i++)
            ((uint64_t *)mem)[i] = number + i;
        if (tribus_region_commit(region, &m.ref, 1) != TRIBUS_OK)
            violate(w->s, "commit of a slot", number);
    }
    do {
        t0 = tribus_now_ns();
        st = tribus_ring_claim_wait(ring, &kill_wait, &cell);
        kill_waited(&w->s->board, t0);
    } while (st == TRIBUS_TIMEOUT || st == TRIBUS_FULL);
    if (st != TRIBUS_OK)
        violate(w->s, "claim", number);
    memcpy(cell, &m, sizeof(m));
    tribus_ring_commit(ring);
    tribus_store_rel(&w->s->board.progress[WRITER], number + 1);
}

static void writer(world *w)
{
    tribus_slot_ref refs[CELLS];
    tribus_region *region;
    tribus_ring *ring;
    uint32_t n;

    if (tribus_ring_open(w->ring.a, w->ring.bytes, TRIBUS_WRITER, &ring) != TRIBUS_OK ||
        tribus_region_open(w->region.a, w->region.bytes, TRIBUS_WRITER, 0, &region) !=
            TRIBUS_OK)
        violate(w->s, "writer cannot open", 0);
    n = tribus_ring_refs(ring, offsetof(message, ref), refs, CELLS);
    (void)tribus_region_withdraw(region, 0, refs, n);
    while (tribus_ring_position(ring) < MESSAGES)
        write_one(w, ring, region);
    for (;;)
        (void)pause();
}

/* ---- the reader, and whoever succeeds it ---- */

static void check_message(world *w, const message *m, uint64_t expected, int redelivered)
{
    unsigned char *seen;

    if (m->number != expected || m->number >= MESSAGES)
        violate(w->s, "out of order", m->number);
    seen = &w->s->seen[m->number];
    if (*seen != 0 && !redelivered)
        violate(w->s, "delivered twice without the mark", m->number);
    if (*seen != 0)
        (void)tribus_add_rlx(&w->s->repeated, 1u);
    if (redelivered)
        (void)tribus_add_rlx(&w->s->redelivered, 1u);
    *seen = 1;
}

static void check_slot(world *w, const message *m, const void *mem)
{
    for (uint64_t i = 0; i < SLOT_BYTES / 8; i++)
        if (((const uint64_t *)mem)[i] != m->number + i)
            violate(w->s, "a slot was overwritten while held", m->number);
}

static int read_one(world *w, tribus_ring *ring, tribus_region *region)
{
    const void *cell, *mem = NULL;
    int redelivered = 0;
    message m;
    const int64_t t0 = tribus_now_ns();
    tribus_status st = tribus_ring_wait(ring, &kill_wait);

    kill_waited(&w->s->board, t0);
    if (st == TRIBUS_TIMEOUT)
        return 0;
    if (st == TRIBUS_OK)
        st = tribus_ring_peek(ring, &cell, &redelivered);
    if (st != TRIBUS_OK)
        violate(w->s, "peek", tribus_ring_position(ring));
    memcpy(&m, cell, sizeof(m));
    if (m.has_slot && tribus_region_receive(region, &m.ref, &mem) != TRIBUS_OK)
        violate(w->s, "receive", m.number);
    check_message(w, &m, tribus_ring_position(ring), redelivered);
    if (m.has_slot)
        check_slot(w, &m, mem);
    tribus_ring_release(ring); /* first the message, then the slot */
    if (m.has_slot && tribus_region_release(region, &m.ref) != TRIBUS_OK)
        violate(w->s, "release of a slot", m.number);
    tribus_store_rel(&w->s->board.progress[READER], m.number + 1);
    return 1;
}

static void open_reader(world *w, tribus_ring **ring, tribus_region **region)
{
    tribus_slot_ref refs[CELLS];
    uint32_t n;

    if (tribus_ring_open(w->ring.b, w->ring.bytes, TRIBUS_READER, ring) != TRIBUS_OK ||
        tribus_region_open(w->region.b, w->region.bytes, TRIBUS_READER, 0, region) !=
            TRIBUS_OK)
        violate(w->s, "reader cannot open", 0);
    n = tribus_ring_refs(*ring, offsetof(message, ref), refs, CELLS);
    (void)tribus_region_recover(*region, refs, n);
}

static void reader(world *w)
{
    tribus_region *region;
    tribus_ring *ring;

    open_reader(w, &ring, &region);
    for (;;)
        (void)read_one(w, ring, region);
}

static void live(void *context, uint32_t role)
{
    if (role == READER)
        reader(context);
    else
        writer(context);
}

/* ---- afterwards ---- */

static void finish(world *w)
{
    tribus_slot_ref refs[CELLS];
    tribus_ring *in, *out;
    tribus_region *held, *owned;
    uint64_t last;
    uint32_t n;

    CHECK(tribus_ring_open(w->ring.a, w->ring.bytes, TRIBUS_WRITER, &out) == TRIBUS_OK);
    CHECK(tribus_region_open(w->region.a, w->region.bytes, TRIBUS_WRITER, 0, &owned) ==
          TRIBUS_OK);
    n = tribus_ring_refs(out, offsetof(message, ref), refs, CELLS);
    (void)tribus_region_withdraw(owned, 0, refs, n);
    open_reader(w, &in, &held);
    last = tribus_ring_position(out);
    while (tribus_ring_position(in) < last)
        CHECK(read_one(w, in, held));
    for (uint64_t i = 0; i < last; i++)
        CHECK(w->s->seen[i] == 1);
    CHECK(w->s->seen[last] == 0);
    CHECK(tribus_region_free_slots(owned) == SLOTS);
    kill_report(last, tribus_load_rlx(&w->s->redelivered),
                tribus_load_rlx(&w->s->repeated));
    tribus_ring_close(in);
    tribus_ring_close(out);
    tribus_region_close(held);
    tribus_region_close(owned);
}

int main(void)
{
    tribus_region_cfg cfg = {.slot_bytes = SLOT_BYTES, .slots = SLOTS};
    world w = {.ring = two_maps_of(tribus_ring_bytes(CELLS, 64)),
               .region = two_maps_of(tribus_region_bytes(&cfg)),
               .s = kill_memory(sizeof(shared))};
    const kill_plan plan = {.board = &w.s->board,
                            .live = live,
                            .world = &w,
                            .roles = ROLES,
                            .most = MESSAGES - 100000u};
    tribus_random rnd;

    tribus_random_init(&rnd, check_seed());
    CHECK(tribus_ring_create(w.ring.a, w.ring.bytes, CELLS, 64) == TRIBUS_OK);
    CHECK(tribus_region_create(w.region.a, w.region.bytes, &cfg, 1) == TRIBUS_OK);
    kill_run(&plan, 300, &rnd);
    finish(&w);
    return 0;
}
