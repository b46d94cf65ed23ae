/* test_kill_lanes.c -- kill -9 of two writers and two readers of lanes, at every labelled
 * step and at random moments.
 * labels: multiprocess
 * links: steps
 * timeout: 900
 *
 * At the end: every message committed to a lane was delivered by that lane, in order, more
 * than once only where it was marked redelivered, and no wait outlived its deadline.
 * TRIBUS_KILLS=10000 makes a soak of it. */
#include "kill.h"

#define WRITERS  2u
#define READERS  2u
#define MESSAGES (1u << 22) /* of a lane */

static const tribus_lanes_cfg shape = {WRITERS, READERS, 8, 64};

typedef struct message {
    uint64_t number;
    uint32_t writer, reader;
} message;

typedef struct shared {
    kill_board board; /* roles: the writers, then the readers */
    _Atomic(uint64_t) redelivered, repeated;
    unsigned char seen[WRITERS][READERS][MESSAGES];
} shared;

typedef struct world {
    two_maps lanes;
    shared *s;
} world;

static void violate(world *w, const char *what, uint64_t number)
{
    kill_violate(&w->s->board, what, number);
}

/* Which lane of this end it is; select() does not say. */
static uint32_t number_of(world *w, tribus_lanes *l, uint32_t count, tribus_ring *ring)
{
    for (uint32_t i = 0; i < count; i++) {
        tribus_ring *lane = NULL;

        if (tribus_lanes_select(l, i, &lane) == TRIBUS_OK && lane == ring)
            return i;
    }
    violate(w, "a lane of nobody", 0);
    return 0;
}

/* The next lane in turn with something to do; NULL after a wait in vain. */
static tribus_ring *turn(world *w, tribus_lanes *l)
{
    tribus_ring *ring = NULL;
    tribus_status st = tribus_lanes_select(l, TRIBUS_LANES_NEXT, &ring);

    if (st == TRIBUS_EMPTY || st == TRIBUS_FULL) {
        const int64_t t0 = tribus_now_ns();

        st = tribus_lanes_wait(l, &kill_wait);
        kill_waited(&w->s->board, t0);
        if (st == TRIBUS_TIMEOUT)
            return NULL;
        if (st == TRIBUS_OK)
            st = tribus_lanes_select(l, TRIBUS_LANES_NEXT, &ring);
    }
    if (st != TRIBUS_OK)
        violate(w, "select", 0);
    return ring;
}

static void writer(world *w, uint32_t me)
{
    _Atomic(uint64_t) *progress = &w->s->board.progress[me];
    tribus_lanes *l;

    if (tribus_lanes_open(w->lanes.a, w->lanes.bytes, TRIBUS_WRITER, me, &l) != TRIBUS_OK)
        violate(w, "writer cannot open", me);
    for (;;) {
        tribus_ring *ring = turn(w, l);
        message m;
        void *cell;

        if (ring == NULL)
            continue;
        m = (message){.number = tribus_ring_position(ring),
                      .writer = me,
                      .reader = number_of(w, l, READERS, ring)};
        if (tribus_ring_claim(ring, &cell) != TRIBUS_OK)
            violate(w, "claim", m.number);
        memcpy(cell, &m, sizeof(m));
        tribus_ring_commit(ring);
        tribus_store_rel(progress, tribus_load_rlx(progress) + 1u);
    }
}

static int read_one(world *w, tribus_lanes *l, uint32_t me)
{
    tribus_ring *ring = turn(w, l);
    unsigned char *seen;
    const void *cell;
    int again = 0;
    message m;

    if (ring == NULL)
        return 0;
    if (tribus_ring_peek(ring, &cell, &again) != TRIBUS_OK)
        violate(w, "peek", tribus_ring_position(ring));
    memcpy(&m, cell, sizeof(m));
    if (m.number != tribus_ring_position(ring) || m.number >= MESSAGES || m.reader != me ||
        m.writer != number_of(w, l, WRITERS, ring))
        violate(w, "out of order, or another's", m.number);
    seen = &w->s->seen[m.writer][me][m.number];
    if (*seen != 0 && !again)
        violate(w, "delivered twice without the mark", m.number);
    (void)tribus_add_rlx(&w->s->repeated, *seen != 0);
    (void)tribus_add_rlx(&w->s->redelivered, again != 0);
    *seen = 1;
    tribus_ring_release(ring);
    return 1;
}

static void reader(world *w, uint32_t me)
{
    _Atomic(uint64_t) *progress = &w->s->board.progress[WRITERS + me];
    tribus_lanes *l;

    if (tribus_lanes_open(w->lanes.b, w->lanes.bytes, TRIBUS_READER, me, &l) != TRIBUS_OK)
        violate(w, "reader cannot open", me);
    for (;;)
        if (read_one(w, l, me))
            tribus_store_rel(progress, tribus_load_rlx(progress) + 1u);
}

static void live(void *context, uint32_t role)
{
    if (role < WRITERS)
        writer(context, role);
    else
        reader(context, role - WRITERS);
}

static void finish(world *w)
{
    uint64_t total = 0;

    for (uint32_t r = 0; r < READERS; r++) {
        tribus_lanes *in;
        tribus_ring *ring;

        CHECK(tribus_lanes_open(w->lanes.b, w->lanes.bytes, TRIBUS_READER, r, &in) ==
              TRIBUS_OK);
        while (tribus_lanes_select(in, TRIBUS_LANES_NEXT, &ring) != TRIBUS_EMPTY)
            CHECK(read_one(w, in, r));
        tribus_lanes_close(in);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        tribus_lanes *out;
        uint64_t mine = 0;

        CHECK(tribus_lanes_open(w->lanes.a, w->lanes.bytes, TRIBUS_WRITER, i, &out) ==
              TRIBUS_OK);
        for (uint32_t r = 0; r < READERS; r++) {
            tribus_ring *ring;
            uint64_t last;

            CHECK(tribus_lanes_select(out, r, &ring) == TRIBUS_OK);
            last = tribus_ring_position(ring);
            for (uint64_t k = 0; k < last; k++)
                CHECK(w->s->seen[i][r][k] == 1);
            CHECK(w->s->seen[i][r][last] == 0);
            mine += last;
        }
        CHECK(mine >= tribus_load_acq(&w->s->board.progress[i]));
        total += mine;
        tribus_lanes_close(out);
    }
    kill_report(total, tribus_load_rlx(&w->s->redelivered),
                tribus_load_rlx(&w->s->repeated));
}

int main(void)
{
    world w = {.lanes = two_maps_of(tribus_lanes_bytes(&shape)),
               .s = kill_memory(sizeof(shared))};
    const kill_plan plan = {.board = &w.s->board,
                            .live = live,
                            .world = &w,
                            .roles = WRITERS + READERS,
                            .most = MESSAGES - 100000u};
    tribus_random rnd;

    tribus_random_init(&rnd, check_seed());
    CHECK(tribus_lanes_create(w.lanes.a, w.lanes.bytes, &shape) == TRIBUS_OK);
    kill_run(&plan, 300, &rnd);
    finish(&w);
    return 0;
}
