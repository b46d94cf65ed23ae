/* test_kill_slot.c -- kill -9 of the writer and the reader of messages of any size, in cells
 * and in slots of three classes, at every labelled step and at random moments.
 * labels: multiprocess
 * links: steps
 * timeout: 900
 *
 * At the end: every committed message was delivered whole, more than once only where it was
 * marked redelivered, no slot of any class is lost and no wait outlived its deadline.
 * TRIBUS_KILLS=10000 makes a soak of it. */
#include "kill.h"

#define CELLS    8u
#define HOLDER   3u
#define MESSAGES (1u << 22)
#define SLOTS    9u

enum { WRITER, READER, ROLES };

static const tribus_slots_cfg classes = {
    .classes = {{.slot_bytes = 128, .slots = 4},
                {.slot_bytes = 512, .slots = 3},
                {.slot_bytes = 2048, .slots = 2}},
    .class_count = 3,
};

typedef struct shared {
    kill_board board;
    _Atomic(uint64_t) redelivered, repeated;
    unsigned char seen[MESSAGES];
} shared;

typedef struct world {
    two_maps ring, slots;
    shared *s;
} world;

static void violate(world *w, const char *what, uint64_t number)
{
    kill_violate(&w->s->board, what, number);
}

/* Half of them fit into a cell. */
static uint64_t bytes_of(uint64_t number)
{
    const uint64_t words = number * 2654435761u % 256u;

    return 8u * (number % 2 == 0 ? 1u + words % 6u : 1u + words);
}

static void writer(world *w)
{
    tribus_slots *slots;
    tribus_ring *ring;
    uint32_t freed;

    if (tribus_ring_open(w->ring.a, w->ring.bytes, TRIBUS_WRITER, &ring) != TRIBUS_OK ||
        tribus_slot_open(w->slots.a, w->slots.bytes, TRIBUS_WRITER, 0, &slots) !=
            TRIBUS_OK ||
        tribus_slot_withdraw(slots, ring, HOLDER, &freed) != TRIBUS_OK)
        violate(w, "writer cannot open", 0);
    for (;;) {
        const uint64_t number = tribus_ring_position(ring), bytes = bytes_of(number);
        tribus_status st;
        void *mem;

        while ((st = tribus_slot_claim(slots, ring, bytes, &mem)) == TRIBUS_FULL) {
            const int64_t t0 = tribus_now_ns();
            const tribus_status waited = tribus_ring_wait(ring, &kill_wait);

            kill_waited(&w->s->board, t0);
            if (waited != TRIBUS_OK && waited != TRIBUS_TIMEOUT)
                violate(w, "wait for room", number);
            (void)sched_yield(); /* there may be cells, but no slots */
        }
        if (st != TRIBUS_OK)
            violate(w, "claim", number);
        for (uint64_t i = 0; i < bytes / 8; i++)
            ((uint64_t *)mem)[i] = number + i;
        if (tribus_slot_commit(slots, bytes, UINT64_C(1) << HOLDER) != TRIBUS_OK)
            violate(w, "commit", number);
        tribus_store_rel(&w->s->board.progress[WRITER], number + 1);
    }
}

static int read_one(world *w, tribus_ring *ring, tribus_slots *slots)
{
    const uint64_t number = tribus_ring_position(ring);
    const int64_t t0 = tribus_now_ns();
    unsigned char *seen = &w->s->seen[number % MESSAGES];
    tribus_status st = tribus_ring_wait(ring, &kill_wait);
    const void *mem = NULL;
    uint64_t bytes = 0;
    int again = 0;

    kill_waited(&w->s->board, t0);
    if (st == TRIBUS_TIMEOUT)
        return 0;
    if (st == TRIBUS_OK)
        st = tribus_slot_peek(slots, ring, &mem, &bytes, &again);
    if (st != TRIBUS_OK)
        violate(w, "peek", number);
    if (bytes != bytes_of(number))
        violate(w, "another size", number);
    for (uint64_t i = 0; i < bytes / 8; i++)
        if (((const uint64_t *)mem)[i] != number + i)
            violate(w, "other bytes", number);
    if (*seen != 0 && !again)
        violate(w, "delivered twice without the mark", number);
    (void)tribus_add_rlx(&w->s->repeated, *seen != 0);
    (void)tribus_add_rlx(&w->s->redelivered, again != 0);
    *seen = 1;
    if (tribus_slot_release(slots) != TRIBUS_OK)
        violate(w, "release", number);
    tribus_store_rel(&w->s->board.progress[READER], number + 1);
    return 1;
}

static void open_reader(world *w, tribus_ring **ring, tribus_slots **slots)
{
    uint32_t freed;

    if (tribus_ring_open(w->ring.b, w->ring.bytes, TRIBUS_READER, ring) != TRIBUS_OK ||
        tribus_slot_open(w->slots.b, w->slots.bytes, TRIBUS_READER, HOLDER, slots) !=
            TRIBUS_OK ||
        tribus_slot_recover(*slots, *ring, &freed) != TRIBUS_OK)
        violate(w, "reader cannot open", 0);
}

static void live(void *context, uint32_t role)
{
    world *w = context;
    tribus_slots *slots;
    tribus_ring *ring;

    if (role == WRITER)
        writer(w);
    open_reader(w, &ring, &slots);
    for (;;)
        (void)read_one(w, ring, slots);
}

static void finish(world *w)
{
    tribus_slots *owned, *held;
    tribus_ring *in, *out;
    uint32_t freed;
    uint64_t last;

    CHECK(tribus_ring_open(w->ring.a, w->ring.bytes, TRIBUS_WRITER, &out) == TRIBUS_OK);
    CHECK(tribus_slot_open(w->slots.a, w->slots.bytes, TRIBUS_WRITER, 0, &owned) ==
          TRIBUS_OK);
    CHECK(tribus_slot_withdraw(owned, out, HOLDER, &freed) == TRIBUS_OK);
    open_reader(w, &in, &held);
    last = tribus_ring_position(out);
    while (tribus_ring_position(in) < last)
        CHECK(read_one(w, in, held));
    for (uint64_t i = 0; i < last; i++)
        CHECK(w->s->seen[i] == 1);
    CHECK(w->s->seen[last] == 0);
    CHECK(tribus_slot_free(owned) == SLOTS);
    kill_report(last, tribus_load_rlx(&w->s->redelivered),
                tribus_load_rlx(&w->s->repeated));
    tribus_ring_close(in);
    tribus_ring_close(out);
    tribus_slot_close(held);
    tribus_slot_close(owned);
}

int main(void)
{
    tribus_slots_cfg cfg = classes;
    world w = {.ring = two_maps_of(tribus_ring_bytes(CELLS, 64)),
               .slots = two_maps_of(tribus_slot_bytes(&cfg)),
               .s = kill_memory(sizeof(shared))};
    const kill_plan plan = {.board = &w.s->board,
                            .live = live,
                            .world = &w,
                            .roles = ROLES,
                            .most = MESSAGES - 100000u};
    tribus_random rnd;

    tribus_random_init(&rnd, check_seed());
    CHECK(tribus_ring_create(w.ring.a, w.ring.bytes, CELLS, 64) == TRIBUS_OK);
    CHECK(tribus_slot_create(w.slots.a, w.slots.bytes, &classes, 1) == TRIBUS_OK);
    kill_run(&plan, 300, &rnd);
    finish(&w);
    return 0;
}
