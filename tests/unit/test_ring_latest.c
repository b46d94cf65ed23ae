/* test_ring_latest.c -- src/fabric/ring_latest.c: the ring that overwrites its oldest. */
#include "two_maps.h"

#include "tribus/fabric.h"

#include <pthread.h>

#define CELLS 8u

typedef struct fixture {
    two_maps m;
    tribus_ring *w, *r;
    tribus_counters *cw, *cr;
    void *counters[2];
} fixture;

static void open_reader(fixture *f)
{
    CHECK(tribus_ring_open(f->m.b, f->m.bytes, TRIBUS_READER, &f->r) == TRIBUS_OK);
    tribus_ring_set_counters(f->r, f->cr);
}

static fixture latest_of(uint32_t cells)
{
    fixture f = {.m = two_maps_of(tribus_ring_bytes(cells, 64))};

    for (int i = 0; i < 2; i++) {
        f.counters[i] = aligned_alloc(64, (TRIBUS_COUNTERS_BYTES + 63u) / 64u * 64u);
        CHECK(f.counters[i] != NULL);
        CHECK(tribus_counter_create(f.counters[i], TRIBUS_COUNTERS_BYTES, "",
                                    i == 0 ? &f.cw : &f.cr) == TRIBUS_OK);
    }
    CHECK(tribus_ring_create_flow(f.m.a, f.m.bytes, cells, 64, TRIBUS_FLOW_OVERWRITE) ==
          TRIBUS_OK);
    CHECK(tribus_ring_open(f.m.a, f.m.bytes, TRIBUS_WRITER, &f.w) == TRIBUS_OK);
    tribus_ring_set_counters(f.w, f.cw);
    open_reader(&f);
    return f;
}

static void drop(fixture *f)
{
    tribus_ring_close(f->w);
    tribus_ring_close(f->r);
    free(f->counters[0]);
    free(f->counters[1]);
    two_maps_drop(&f->m);
}

static void put(tribus_ring *w, uint64_t value)
{
    void *cell;

    CHECK(tribus_ring_claim(w, &cell) == TRIBUS_OK);
    for (int k = 0; k < 7; k++)
        ((uint64_t *)cell)[k] = value;
    tribus_ring_commit(w);
}

static uint64_t look(tribus_ring *r, int *again)
{
    const void *cell;

    CHECK(tribus_ring_peek(r, &cell, again) == TRIBUS_OK);
    return *(const uint64_t *)cell;
}

static void nothing_is_lost_while_the_reader_keeps_up(void)
{
    fixture f = latest_of(CELLS);
    const void *cell;

    for (uint64_t i = 0; i < 100; i++) {
        put(f.w, i);
        CHECK(look(f.r, NULL) == i && look(f.r, NULL) == i);
        tribus_ring_release(f.r);
        CHECK(tribus_ring_peek(f.r, &cell, NULL) == TRIBUS_EMPTY);
    }
    CHECK(tribus_ring_lost(f.r) == 0);
    CHECK(tribus_counter_get(f.cw, TRIBUS_COUNT_OVERWRITTEN) == 0);
    drop(&f);
}

static void the_oldest_goes_and_both_ends_count_it(void)
{
    fixture f = latest_of(CELLS);

    for (uint64_t i = 0; i < 30; i++)
        put(f.w, i);
    CHECK(tribus_counter_get(f.cw, TRIBUS_COUNT_OVERWRITTEN) == 30 - CELLS);
    for (uint64_t i = 30 - CELLS; i < 30; i++) {
        CHECK(look(f.r, NULL) == i);
        tribus_ring_release(f.r);
    }
    CHECK(tribus_ring_lost(f.r) == 30 - CELLS);
    CHECK(tribus_counter_get(f.cr, TRIBUS_COUNT_LOST) == 30 - CELLS);
    CHECK(tribus_counter_get(f.cr, TRIBUS_COUNT_LAPS) == 1);
    drop(&f);
}

static void what_a_reader_was_given_stays_while_it_is_overwritten(void)
{
    fixture f = latest_of(CELLS);

    put(f.w, 1);
    CHECK(look(f.r, NULL) == 1);
    for (uint64_t i = 2; i < 50; i++)
        put(f.w, i);
    CHECK(look(f.r, NULL) == 1);
    tribus_ring_release(f.r);
    CHECK(look(f.r, NULL) == 50 - CELLS);
    drop(&f);
}

static void successors_go_on_where_the_dead_stopped(void)
{
    fixture f = latest_of(CELLS);
    int again = -1;

    for (uint64_t i = 0; i < 4; i++)
        put(f.w, i);
    CHECK(look(f.r, NULL) == 0);
    tribus_ring_close(f.r);
    open_reader(&f);
    CHECK(look(f.r, &again) == 0 && again != 0);
    tribus_ring_release(f.r);
    CHECK(look(f.r, &again) == 1 && again == 0);
    tribus_ring_close(f.w);
    CHECK(tribus_ring_open(f.m.a, f.m.bytes, TRIBUS_WRITER, &f.w) == TRIBUS_OK);
    put(f.w, 4);
    tribus_ring_close(f.r); /* dies, and is overtaken before its successor comes */
    for (uint64_t i = 5; i < 40; i++)
        put(f.w, i);
    open_reader(&f);
    CHECK(look(f.r, &again) == 40 - CELLS && again == 0);
    drop(&f);
}

static void hostile_words_give_corrupt(void)
{
    const uint64_t words[] = {5, UINT64_MAX, (uint64_t)1 << 62, 1000};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        fixture f = latest_of(CELLS);
        const void *cell;

        *(uint64_t *)(void *)((unsigned char *)f.m.a + 640) = words[i];
        CHECK(tribus_ring_peek(f.r, &cell, NULL) == TRIBUS_CORRUPT);
        drop(&f);
    }
}

static void batches_are_refused(void)
{
    fixture f = latest_of(CELLS);
    uint32_t got;

    CHECK(tribus_ring_claim_batch(f.w, 2, &got) == TRIBUS_BAD_ARG);
    CHECK(tribus_ring_peek_batch(f.r, 2, &got) == TRIBUS_BAD_ARG);
    drop(&f);
}

#define MESSAGES 100000u

static void *write_all(void *context)
{
    for (uint64_t i = 1; i <= MESSAGES; i++)
        put(context, i);
    return NULL;
}

static void reader_that_is_overtaken_never_sees_a_torn_message(void)
{
    fixture f = latest_of(CELLS);
    const tribus_wait_cfg patient = {.spin_ns = 1, .timeout_ns = 60000000000};
    uint64_t last = 0, got = 0;
    pthread_t t;

    CHECK(pthread_create(&t, NULL, write_all, f.w) == 0);
    while (last < MESSAGES) {
        const void *cell;
        const uint64_t *word;

        if (tribus_ring_peek(f.r, &cell, NULL) == TRIBUS_EMPTY) {
            CHECK(tribus_ring_wait(f.r, &patient) == TRIBUS_OK);
            continue;
        }
        word = cell;
        for (int k = 1; k < 7; k++)
            CHECK(word[k] == word[0]);
        CHECK(word[0] > last);
        last = word[0];
        got++;
        tribus_ring_release(f.r);
    }
    CHECK(pthread_join(t, NULL) == 0);
    CHECK(got + tribus_ring_lost(f.r) == MESSAGES);
    drop(&f);
}

int main(void)
{
    nothing_is_lost_while_the_reader_keeps_up();
    the_oldest_goes_and_both_ends_count_it();
    what_a_reader_was_given_stays_while_it_is_overwritten();
    successors_go_on_where_the_dead_stopped();
    hostile_words_give_corrupt();
    batches_are_refused();
    reader_that_is_overtaken_never_sees_a_torn_message();
    return 0;
}
