/* test_lanes.c -- src/fabric/lanes.c: turns, order per writer, hostile layouts, and writers
 * and readers in threads that sleep. */
#include "two_maps.h"

#include "tribus/fabric.h"

#include <pthread.h>

typedef struct fixture {
    two_maps m;
    tribus_lanes *w[4], *r[2];
    uint32_t writers, readers;
} fixture;

static fixture lanes_of(uint32_t writers, uint32_t readers, uint32_t cells)
{
    const tribus_lanes_cfg cfg = {writers, readers, cells, 64};
    fixture f = {
        .m = two_maps_of(tribus_lanes_bytes(&cfg)), .writers = writers, .readers = readers};

    CHECK(tribus_lanes_create(f.m.a, f.m.bytes, &cfg) == TRIBUS_OK);
    for (uint32_t i = 0; i < writers; i++)
        CHECK(tribus_lanes_open(f.m.a, f.m.bytes, TRIBUS_WRITER, i, &f.w[i]) == TRIBUS_OK);
    for (uint32_t i = 0; i < readers; i++)
        CHECK(tribus_lanes_open(f.m.b, f.m.bytes, TRIBUS_READER, i, &f.r[i]) == TRIBUS_OK);
    return f;
}

static void drop(fixture *f)
{
    for (uint32_t i = 0; i < f->writers; i++)
        tribus_lanes_close(f->w[i]);
    for (uint32_t i = 0; i < f->readers; i++)
        tribus_lanes_close(f->r[i]);
    two_maps_drop(&f->m);
}

static tribus_status put(tribus_lanes *w, uint32_t to, uint64_t value)
{
    tribus_ring *lane = NULL;
    void *cell;
    tribus_status st = tribus_lanes_select(w, to, &lane);

    if (st == TRIBUS_OK)
        st = tribus_ring_claim(lane, &cell);
    if (st != TRIBUS_OK)
        return st;
    memcpy(cell, &value, sizeof(value));
    tribus_ring_commit(lane);
    return TRIBUS_OK;
}

static tribus_status take(tribus_lanes *r, uint64_t *value)
{
    tribus_ring *lane = NULL;
    const void *cell;
    tribus_status st = tribus_lanes_select(r, TRIBUS_LANES_NEXT, &lane);

    if (st == TRIBUS_OK)
        st = tribus_ring_peek(lane, &cell, NULL);
    if (st != TRIBUS_OK)
        return st;
    memcpy(value, cell, sizeof(*value));
    tribus_ring_release(lane);
    return TRIBUS_OK;
}

static void reader_takes_from_its_writers_in_turn(void)
{
    fixture f = lanes_of(3, 1, 4);
    uint64_t value = 0;

    for (uint64_t w = 0; w < 3; w++)
        for (uint64_t i = 0; i < 2; i++)
            CHECK(put(f.w[w], 0, 10 * w + i) == TRIBUS_OK);
    for (uint64_t i = 0; i < 2; i++)
        for (uint64_t w = 0; w < 3; w++)
            CHECK(take(f.r[0], &value) == TRIBUS_OK && value == 10 * w + i);
    CHECK(take(f.r[0], &value) == TRIBUS_EMPTY);
    drop(&f);
}

static void writer_goes_round_its_readers_and_past_those_that_are_full(void)
{
    fixture f = lanes_of(1, 2, 2);
    uint64_t value = 0;

    CHECK(put(f.w[0], 1, 1) == TRIBUS_OK && put(f.w[0], 1, 2) == TRIBUS_OK);
    CHECK(put(f.w[0], 1, 3) == TRIBUS_FULL); /* it was named, so no other will do */
    CHECK(put(f.w[0], TRIBUS_LANES_NEXT, 4) == TRIBUS_OK);
    CHECK(put(f.w[0], TRIBUS_LANES_NEXT, 5) == TRIBUS_OK);
    CHECK(put(f.w[0], TRIBUS_LANES_NEXT, 6) == TRIBUS_FULL);
    CHECK(put(f.w[0], 2, 6) == TRIBUS_BAD_ARG);
    CHECK(take(f.r[0], &value) == TRIBUS_OK && value == 4);
    CHECK(take(f.r[0], &value) == TRIBUS_OK && value == 5);
    CHECK(take(f.r[1], &value) == TRIBUS_OK && value == 1);
    drop(&f);
}

static void open_when_the_layout_is_nonsense_returns_corrupt(void)
{
    fixture f = lanes_of(2, 2, 4);
    const tribus_lanes_cfg many = {65, 1, 4, 64}, none = {0, 1, 4, 64}, odd = {1, 1, 3, 64};
    tribus_lanes *again = NULL;
    uint32_t *head = f.m.a;

    CHECK(tribus_lanes_bytes(&many) == 0 && tribus_lanes_bytes(&none) == 0);
    CHECK(tribus_lanes_bytes(&odd) == 0);
    CHECK(tribus_lanes_open(f.m.b, f.m.bytes, TRIBUS_READER, 2, &again) == TRIBUS_BAD_ARG);
    CHECK(tribus_lanes_open(f.m.b, f.m.bytes - 1, TRIBUS_READER, 0, &again) ==
          TRIBUS_CORRUPT);
    head[2] = 64;
    CHECK(tribus_lanes_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_CORRUPT);
    head[2] = UINT32_MAX;
    CHECK(tribus_lanes_open(f.m.b, f.m.bytes, TRIBUS_WRITER, 0, &again) == TRIBUS_CORRUPT);
    CHECK(again == NULL);
    drop(&f);
}

#define EACH 20000u

typedef struct job {
    tribus_lanes *end;
    uint64_t tag;
    uint64_t got, sum;
} job;

static const tribus_wait_cfg patient = {.spin_ns = 1, .timeout_ns = 60000000000};

static void *write_all(void *context)
{
    job *j = context;

    for (uint64_t i = 0; i < EACH; i++)
        while (put(j->end, TRIBUS_LANES_NEXT, j->tag << 32 | i) == TRIBUS_FULL)
            CHECK(tribus_lanes_wait(j->end, &patient) == TRIBUS_OK);
    for (uint32_t to = 0; to < 2; to++) /* each reader ends after 4 of these */
        while (put(j->end, to, UINT64_MAX) == TRIBUS_FULL)
            CHECK(tribus_lanes_wait(j->end, &patient) == TRIBUS_OK);
    return NULL;
}

static void *read_all(void *context)
{
    job *j = context;
    uint64_t last[4], value = 0;
    int ends = 0;

    for (int i = 0; i < 4; i++)
        last[i] = UINT64_MAX;
    while (ends < 4) {
        if (take(j->end, &value) == TRIBUS_EMPTY) {
            CHECK(tribus_lanes_wait(j->end, &patient) == TRIBUS_OK);
            continue;
        }
        if (value == UINT64_MAX) {
            ends++;
            continue;
        }
        /* order is kept per writer */
        CHECK(last[value >> 32] == UINT64_MAX ||
              (value & UINT32_MAX) > (last[value >> 32] & UINT32_MAX));
        last[value >> 32] = value;
        j->got++;
        j->sum += value & UINT32_MAX;
    }
    return NULL;
}

static void four_writers_and_two_readers_lose_nothing(void)
{
    fixture f = lanes_of(4, 2, 8);
    job jobs[6];
    pthread_t threads[6];

    for (int i = 0; i < 6; i++) {
        jobs[i] = (job){.end = i < 4 ? f.w[i] : f.r[i - 4], .tag = (uint64_t)i};
        CHECK(pthread_create(&threads[i], NULL, i < 4 ? write_all : read_all, &jobs[i]) ==
              0);
    }
    for (int i = 0; i < 6; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(jobs[4].got + jobs[5].got == 4 * EACH);
    CHECK(jobs[4].sum + jobs[5].sum == 4ull * EACH * (EACH - 1) / 2);
    drop(&f);
}

int main(void)
{
    reader_takes_from_its_writers_in_turn();
    writer_goes_round_its_readers_and_past_those_that_are_full();
    open_when_the_layout_is_nonsense_returns_corrupt();
    four_writers_and_two_readers_lose_nothing();
    return 0;
}
