/* test_ring.c -- src/fabric/ring.c in one process: contract, successors, hostile words,
 * and a writer and a reader thread. Kills are in test_kill.c. */
#include "two_maps.h"

#include "tribus/fabric.h"

#include <pthread.h>

#define CELLS    4u
#define CELL     64u
#define TAIL     128u /* offsets of docs/shared-layout.md */
#define RELEASED 256u
#define OFFERED  264u
#define FIRST    640u

typedef struct fixture {
    two_maps m;
    tribus_ring *w, *r;
} fixture;

static fixture ring_of(uint32_t cells)
{
    fixture f = {.m = two_maps_of(tribus_ring_bytes(cells, CELL))};

    CHECK(tribus_ring_create(f.m.a, f.m.bytes, cells, CELL) == TRIBUS_OK);
    CHECK(tribus_ring_open(f.m.a, f.m.bytes, TRIBUS_WRITER, &f.w) == TRIBUS_OK);
    CHECK(tribus_ring_open(f.m.b, f.m.bytes, TRIBUS_READER, &f.r) == TRIBUS_OK);
    return f;
}

static void drop(fixture *f)
{
    tribus_ring_close(f->w);
    tribus_ring_close(f->r);
    two_maps_drop(&f->m);
}

static void put(tribus_ring *w, uint64_t value)
{
    void *cell;

    CHECK(tribus_ring_claim(w, &cell) == TRIBUS_OK);
    memcpy(cell, &value, sizeof(value));
    tribus_ring_commit(w);
}

static uint64_t look(tribus_ring *r, int *redelivered)
{
    const void *cell;
    uint64_t value;

    CHECK(tribus_ring_peek(r, &cell, redelivered) == TRIBUS_OK);
    memcpy(&value, cell, sizeof(value));
    return value;
}

static uint64_t take(tribus_ring *r)
{
    const uint64_t value = look(r, NULL);

    tribus_ring_release(r);
    return value;
}

static uint64_t *word(fixture *f, size_t offset)
{
    return (uint64_t *)(void *)((unsigned char *)f->m.a + offset);
}

static void messages_arrive_in_order_over_many_laps(void)
{
    fixture f = ring_of(CELLS);
    const void *cell;

    for (uint64_t i = 0; i < 1000; i++) {
        CHECK(tribus_ring_peek(f.r, &cell, NULL) == TRIBUS_EMPTY);
        put(f.w, i);
        put(f.w, i + 7);
        CHECK(tribus_ring_waiting(f.w) == 2 && tribus_ring_waiting(f.r) == 2);
        CHECK(take(f.r) == i);
        CHECK(take(f.r) == i + 7);
    }
    CHECK(tribus_ring_payload_bytes(f.w) == 56);
    drop(&f);
}

static void claim_when_reader_is_a_ring_behind_returns_full(void)
{
    fixture f = ring_of(CELLS);
    void *cell, *again;

    for (uint64_t i = 0; i < CELLS; i++)
        put(f.w, i);
    CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_FULL);
    CHECK(take(f.r) == 0);
    CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_OK);
    CHECK(tribus_ring_claim(f.w, &again) == TRIBUS_OK && cell == again);
    CHECK(look(f.r, NULL) == 1 && look(f.r, NULL) == 1);
    drop(&f);
}

static void commit_without_claim_and_release_without_peek_do_nothing(void)
{
    fixture f = ring_of(CELLS);
    const void *cell;

    tribus_ring_commit(f.w);
    CHECK(tribus_ring_peek(f.r, &cell, NULL) == TRIBUS_EMPTY);
    tribus_ring_release(f.r);
    put(f.w, 5);
    tribus_ring_commit(f.w);
    CHECK(take(f.r) == 5);
    tribus_ring_release(f.r);
    CHECK(tribus_ring_peek(f.r, &cell, NULL) == TRIBUS_EMPTY);
    drop(&f);
}

static void batches_show_and_give_back_the_first_n(void)
{
    fixture f = ring_of(8);
    uint32_t got = 0;
    uint64_t value;

    CHECK(tribus_ring_claim_batch(f.w, 100, &got) == TRIBUS_OK && got == 8);
    for (uint64_t i = 0; i < got; i++)
        memcpy(tribus_ring_batch_at(f.w, (uint32_t)i), &i, sizeof(i));
    tribus_ring_commit_batch(f.w, 5);
    CHECK(tribus_ring_peek_batch(f.r, 100, &got) == TRIBUS_OK && got == 5);
    memcpy(&value, tribus_ring_batch_at(f.r, 4), sizeof(value));
    CHECK(value == 4);
    tribus_ring_release_batch(f.r, 3);
    CHECK(take(f.r) == 3);
    CHECK(tribus_ring_claim_batch(f.w, 100, &got) == TRIBUS_OK && got == 7);
    tribus_ring_commit_batch(f.w, 100);
    CHECK(tribus_ring_claim_batch(f.w, 1, &got) == TRIBUS_FULL);
    CHECK(tribus_ring_peek_batch(f.r, 100, &got) == TRIBUS_OK && got == 8);
    tribus_ring_release_batch(f.r, 100);
    CHECK(tribus_ring_peek_batch(f.r, 1, &got) == TRIBUS_EMPTY);
    drop(&f);
}

static void reader_that_died_is_succeeded_by_one_that_is_told(void)
{
    fixture f = ring_of(8);
    int again = -1;

    for (uint64_t i = 0; i < 6; i++)
        put(f.w, i);
    CHECK(take(f.r) == 0);
    CHECK(look(f.r, &again) == 1 && again == 0);
    tribus_ring_close(f.r); /* as if killed between peek and release */
    CHECK(tribus_ring_open(f.m.b, f.m.bytes, TRIBUS_READER, &f.r) == TRIBUS_OK);
    CHECK(look(f.r, &again) == 1 && again != 0);
    tribus_ring_release(f.r);
    CHECK(look(f.r, &again) == 2 && again == 0);
    drop(&f);
}

static void redelivered_messages_are_counted_once(void)
{
    fixture f = ring_of(8);
    void *mem = aligned_alloc(64, (TRIBUS_COUNTERS_BYTES + 63u) / 64u * 64u);
    tribus_counters *c;
    uint32_t got = 0;

    CHECK(mem != NULL);
    CHECK(tribus_counter_create(mem, TRIBUS_COUNTERS_BYTES, "x", &c) == TRIBUS_OK);
    for (uint64_t i = 0; i < 4; i++)
        put(f.w, i);
    CHECK(tribus_ring_peek_batch(f.r, 3, &got) == TRIBUS_OK && got == 3);
    tribus_ring_close(f.r);
    CHECK(tribus_ring_open(f.m.b, f.m.bytes, TRIBUS_READER, &f.r) == TRIBUS_OK);
    tribus_ring_set_counters(f.r, c);
    CHECK(look(f.r, NULL) == 0 && take(f.r) == 0);
    CHECK(tribus_ring_peek_batch(f.r, 10, &got) == TRIBUS_OK && got == 3);
    tribus_ring_release_batch(f.r, 3);
    CHECK(tribus_counter_get(c, TRIBUS_COUNT_REDELIVERED) == 3);
    CHECK(tribus_counter_get(c, TRIBUS_COUNT_MESSAGES) == 4);
    free(mem);
    drop(&f);
}

static void writer_that_died_is_succeeded_after_the_last_commit(void)
{
    fixture f = ring_of(8);
    void *cell;
    const void *seen;

    for (uint64_t lap = 0; lap < 50; lap++) {
        put(f.w, 10 * lap);
        put(f.w, 10 * lap + 1);
        CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_OK);
        memset(cell, 0xee, 56); /* half filled, never committed */
        tribus_ring_close(f.w);
        CHECK(tribus_ring_open(f.m.a, f.m.bytes, TRIBUS_WRITER, &f.w) == TRIBUS_OK);
        put(f.w, 10 * lap + 2);
        for (uint64_t i = 0; i < 3; i++)
            CHECK(take(f.r) == 10 * lap + i);
        CHECK(tribus_ring_peek(f.r, &seen, NULL) == TRIBUS_EMPTY);
    }
    drop(&f);
}

static void open_of_a_full_ring_resumes_both_ends(void)
{
    fixture f = ring_of(CELLS);
    void *cell;

    for (uint64_t i = 0; i < CELLS; i++)
        put(f.w, i);
    tribus_ring_close(f.w);
    tribus_ring_close(f.r);
    CHECK(tribus_ring_open(f.m.a, f.m.bytes, TRIBUS_WRITER, &f.w) == TRIBUS_OK);
    CHECK(tribus_ring_open(f.m.b, f.m.bytes, TRIBUS_READER, &f.r) == TRIBUS_OK);
    CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_FULL);
    for (uint64_t i = 0; i < CELLS; i++)
        CHECK(take(f.r) == i);
    put(f.w, 9);
    CHECK(take(f.r) == 9);
    drop(&f);
}

static void refs_are_not_taken_from_a_message_never_committed(void)
{
    fixture f = ring_of(CELLS);
    tribus_slot_ref ref = {.slot = 1}, refs[CELLS];
    void *cell;

    for (uint32_t i = 0; i < CELLS; i++) {
        ref.slot = i;
        CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_OK);
        memcpy((unsigned char *)cell + 8, &ref, sizeof(ref));
        tribus_ring_commit(f.w);
    }
    /* full, nothing released: all of them, newest first; the reader's, oldest first */
    CHECK(tribus_ring_refs(f.w, 8, refs, 100) == CELLS);
    CHECK(refs[0].slot == CELLS - 1 && refs[CELLS - 1].slot == 0);
    CHECK(tribus_ring_refs(f.r, 8, refs, 2) == 2 && refs[0].slot == 0);
    CHECK(tribus_ring_refs(f.w, 100, refs, CELLS) == 0);
    (void)look(f.r, NULL);
    tribus_ring_release(f.r);
    ref.slot = 99;
    CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_OK);
    memcpy((unsigned char *)cell + 8, &ref, sizeof(ref)); /* and the writer dies */
    tribus_ring_close(f.w);
    CHECK(tribus_ring_open(f.m.a, f.m.bytes, TRIBUS_WRITER, &f.w) == TRIBUS_OK);
    CHECK(tribus_ring_refs(f.w, 8, refs, CELLS) == CELLS - 1 && refs[0].slot == CELLS - 1);
    CHECK(tribus_ring_refs(f.r, 8, refs, CELLS) == CELLS - 1 && refs[0].slot == 1);
    drop(&f);
}

static void sizes_out_of_range_are_refused(void)
{
    CHECK(tribus_ring_bytes(3, 64) == 0 && tribus_ring_bytes(1, 64) == 0);
    CHECK(tribus_ring_bytes(1u << 25, 64) == 0 && tribus_ring_bytes(4, 63) == 0);
    CHECK(tribus_ring_bytes(4, 0) == 0 && tribus_ring_bytes(4, 1u << 21) == 0);
    CHECK(tribus_ring_bytes(4, 64) == 640 + 256);
}

static tribus_status open_again(fixture *f, size_t bytes, tribus_end end)
{
    tribus_ring *again = NULL;
    const tribus_status st = tribus_ring_open(f->m.b, bytes, end, &again);

    CHECK((st == TRIBUS_OK) == (again != NULL));
    tribus_ring_close(again);
    return st;
}

static void open_when_the_layout_is_nonsense_returns_corrupt(void)
{
    fixture f = ring_of(CELLS);
    uint32_t *head = f.m.a;

    CHECK(open_again(&f, f.m.bytes - 1, TRIBUS_READER) == TRIBUS_CORRUPT);
    CHECK(open_again(&f, 8, TRIBUS_READER) == TRIBUS_CORRUPT);
    CHECK(open_again(&f, f.m.bytes, (tribus_end)3) == TRIBUS_BAD_ARG);
    head[2] = 3;
    CHECK(open_again(&f, f.m.bytes, TRIBUS_READER) == TRIBUS_CORRUPT);
    head[2] = 8;
    CHECK(open_again(&f, f.m.bytes, TRIBUS_READER) == TRIBUS_CORRUPT);
    head[2] = CELLS;
    head[3] = UINT32_MAX;
    CHECK(open_again(&f, f.m.bytes, TRIBUS_READER) == TRIBUS_CORRUPT);
    head[3] = CELL;
    head[1] = 99;
    CHECK(open_again(&f, f.m.bytes, TRIBUS_READER) == TRIBUS_VERSION);
    head[1] = 1;
    head[0] = 0;
    CHECK(open_again(&f, f.m.bytes, TRIBUS_WRITER) == TRIBUS_CORRUPT);
    drop(&f);
}

static void open_when_positions_contradict_each_other_returns_corrupt(void)
{
    fixture f = ring_of(CELLS);

    put(f.w, 1);
    *word(&f, OFFERED) = 2; /* offered what was never committed */
    CHECK(open_again(&f, f.m.bytes, TRIBUS_READER) == TRIBUS_CORRUPT);
    *word(&f, OFFERED) = 100;
    CHECK(open_again(&f, f.m.bytes, TRIBUS_READER) == TRIBUS_CORRUPT);
    *word(&f, OFFERED) = 0;
    *word(&f, RELEASED) = 3; /* beyond what was offered */
    CHECK(open_again(&f, f.m.bytes, TRIBUS_WRITER) == TRIBUS_CORRUPT);
    *word(&f, RELEASED) = 0;
    *word(&f, FIRST + CELL) = 77; /* a cell of no lap */
    CHECK(open_again(&f, f.m.bytes, TRIBUS_WRITER) == TRIBUS_CORRUPT);
    drop(&f);
}

static void peek_when_a_cell_is_numbered_wrongly_returns_corrupt(void)
{
    fixture f = ring_of(CELLS);
    const tribus_wait_cfg now = {.timeout_ns = 0};
    const void *cell;
    uint32_t got;

    *word(&f, FIRST) = 12345;
    CHECK(tribus_ring_peek(f.r, &cell, NULL) == TRIBUS_CORRUPT);
    CHECK(tribus_ring_peek_batch(f.r, 4, &got) == TRIBUS_CORRUPT);
    CHECK(tribus_ring_wait(f.r, &now) == TRIBUS_CORRUPT);
    CHECK(strstr(tribus_error_text(), "12345") != NULL);
    drop(&f);
}

static void claim_when_reader_released_too_much_returns_corrupt(void)
{
    fixture f = ring_of(CELLS);
    const tribus_wait_cfg now = {.timeout_ns = 0};
    void *cell;

    for (uint64_t i = 0; i < CELLS; i++)
        put(f.w, i);
    *word(&f, RELEASED) = 5;
    CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_CORRUPT);
    CHECK(tribus_ring_wait(f.w, &now) == TRIBUS_CORRUPT);
    *word(&f, RELEASED) = UINT64_MAX;
    CHECK(tribus_ring_claim(f.w, &cell) == TRIBUS_CORRUPT);
    CHECK(tribus_ring_waiting(f.w) == 0); /* nonsense is not passed on */
    drop(&f);
}

static void wait_returns_timeout_when_nothing_comes(void)
{
    fixture f = ring_of(CELLS);
    const tribus_wait_cfg brief = {.spin_ns = 1000, .timeout_ns = 2000000};

    CHECK(tribus_ring_wait(f.r, &brief) == TRIBUS_TIMEOUT);
    CHECK(tribus_ring_wait(f.w, &brief) == TRIBUS_OK);
    drop(&f);
}

typedef struct run {
    fixture *f;
    uint64_t messages;
    int64_t spin_ns;
} run;

static void *write_all(void *context)
{
    const run *job = context;
    const tribus_wait_cfg patient = {.spin_ns = job->spin_ns, .timeout_ns = 60000000000};
    void *cell;

    for (uint64_t i = 0; i < job->messages; i++) {
        while (tribus_ring_claim(job->f->w, &cell) == TRIBUS_FULL)
            CHECK(tribus_ring_wait(job->f->w, &patient) == TRIBUS_OK);
        for (uint64_t k = 0; k < 7; k++)
            ((uint64_t *)cell)[k] = i * 7 + k;
        tribus_ring_commit(job->f->w);
    }
    return NULL;
}

/* A small ring and little spinning, so that both sides sleep and wake all the time. */
static void two_threads_see_every_byte_of_every_message(uint64_t messages, int64_t spin_ns)
{
    fixture f = ring_of(CELLS);
    run job = {.f = &f, .messages = messages, .spin_ns = spin_ns};
    const tribus_wait_cfg patient = {.spin_ns = spin_ns, .timeout_ns = 60000000000};
    pthread_t t;

    CHECK(pthread_create(&t, NULL, write_all, &job) == 0);
    for (uint64_t i = 0; i < messages; i++) {
        const void *cell;
        tribus_status st;

        while ((st = tribus_ring_peek(f.r, &cell, NULL)) == TRIBUS_EMPTY)
            CHECK(tribus_ring_wait(f.r, &patient) == TRIBUS_OK);
        CHECK(st == TRIBUS_OK);
        for (uint64_t k = 0; k < 7; k++)
            CHECK(((const uint64_t *)cell)[k] == i * 7 + k);
        tribus_ring_release(f.r);
    }
    CHECK(pthread_join(t, NULL) == 0);
    drop(&f);
}

int main(void)
{
    messages_arrive_in_order_over_many_laps();
    claim_when_reader_is_a_ring_behind_returns_full();
    commit_without_claim_and_release_without_peek_do_nothing();
    batches_show_and_give_back_the_first_n();
    reader_that_died_is_succeeded_by_one_that_is_told();
    redelivered_messages_are_counted_once();
    writer_that_died_is_succeeded_after_the_last_commit();
    open_of_a_full_ring_resumes_both_ends();
    refs_are_not_taken_from_a_message_never_committed();
    sizes_out_of_range_are_refused();
    open_when_the_layout_is_nonsense_returns_corrupt();
    open_when_positions_contradict_each_other_returns_corrupt();
    peek_when_a_cell_is_numbered_wrongly_returns_corrupt();
    claim_when_reader_released_too_much_returns_corrupt();
    wait_returns_timeout_when_nothing_comes();
    two_threads_see_every_byte_of_every_message(20000, 1);
    two_threads_see_every_byte_of_every_message(200000, 0);
    return 0;
}
