/* test_topic.c -- src/fabric/topic.c: contract, exact loss, successors, hostile words, and
 * reader threads that are lapped while they copy. */
#include "two_maps.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "fabric/layout.h"
#include "tribus/fabric.h"

#include <pthread.h>
#include <sys/mman.h>

#define CELLS     8u
#define CELL      64u
#define PUBLISHED 128u /* offsets of docs/shared-layout.md */
#define FIRST     384u

typedef struct fixture {
    two_maps m;
    tribus_topic *w, *r;
} fixture;

static fixture topic_of(uint32_t cells, uint32_t cell_bytes)
{
    fixture f = {.m = two_maps_of(tribus_topic_bytes(cells, cell_bytes))};

    CHECK(tribus_topic_create(f.m.a, f.m.bytes, cells, cell_bytes) == TRIBUS_OK);
    CHECK(tribus_topic_open(f.m.a, f.m.bytes, TRIBUS_WRITER, 0, &f.w) == TRIBUS_OK);
    CHECK(tribus_topic_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &f.r) == TRIBUS_OK);
    return f;
}

static void drop(fixture *f)
{
    tribus_topic_close(f->w);
    tribus_topic_close(f->r);
    two_maps_drop(&f->m);
}

static void put(tribus_topic *w, uint64_t value)
{
    memcpy(tribus_topic_claim(w), &value, sizeof(value));
    tribus_topic_commit(w, sizeof(value));
}

static uint64_t take(tribus_topic *r, uint64_t *lost)
{
    unsigned char buf[CELL];
    uint32_t bytes = 0;
    uint64_t value;

    CHECK(tribus_topic_read(r, buf, &bytes, lost) == TRIBUS_OK && bytes == 8);
    memcpy(&value, buf, sizeof(value));
    return value;
}

static int is_empty(tribus_topic *r)
{
    unsigned char buf[CELL];
    uint32_t bytes;
    uint64_t lost;

    return tribus_topic_read(r, buf, &bytes, &lost) == TRIBUS_EMPTY;
}

static uint64_t *word(fixture *f, size_t offset)
{
    return (uint64_t *)(void *)((unsigned char *)f->m.a + offset);
}

static void every_reader_gets_every_message(void)
{
    fixture f = topic_of(CELLS, CELL);
    tribus_topic *other;
    uint64_t lost;

    CHECK(tribus_topic_open(f.m.a, f.m.bytes, TRIBUS_READER, 1, &other) == TRIBUS_OK);
    CHECK(tribus_topic_bell(other) == NULL && tribus_topic_bell(f.r) != NULL);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(is_empty(f.r) && is_empty(other));
        put(f.w, i);
        CHECK(take(f.r, &lost) == i && lost == 0);
        CHECK(take(other, &lost) == i && lost == 0);
    }
    CHECK(tribus_topic_published(other) == 100);
    tribus_topic_close(other);
    drop(&f);
}

static void messages_keep_their_size_to_the_byte(void)
{
    fixture f = topic_of(2, 128);
    unsigned char buf[128];

    CHECK(tribus_topic_payload_bytes(f.w) == 120);
    for (uint32_t size = 0; size <= 120; size++) {
        uint32_t bytes = 999;
        uint64_t lost;

        memset(tribus_topic_claim(f.w), (int)size, 120);
        tribus_topic_commit(f.w, size);
        memset(buf, 0xff, sizeof(buf));
        CHECK(tribus_topic_read(f.r, buf, &bytes, &lost) == TRIBUS_OK && bytes == size);
        for (uint32_t i = 0; i < 128; i++)
            CHECK(buf[i] == (i < size ? size : 0xff));
    }
    tribus_topic_commit(f.w, 4000); /* more than fits is cut */
    {
        uint32_t bytes = 0;
        uint64_t lost;

        CHECK(tribus_topic_read(f.r, buf, &bytes, &lost) == TRIBUS_OK && bytes == 120);
    }
    drop(&f);
}

static void lapped_reader_gets_the_oldest_left_and_the_exact_loss(void)
{
    fixture f = topic_of(CELLS, CELL);
    uint64_t lost = 99, at = 0;

    for (uint64_t behind = CELLS; behind < 50; behind++) {
        for (uint64_t i = 0; i < behind; i++)
            put(f.w, at + i);
        CHECK(take(f.r, &lost) == at + behind - CELLS && lost == behind - CELLS);
        for (uint64_t i = 1; i < CELLS; i++)
            CHECK(take(f.r, &lost) == at + behind - CELLS + i && lost == 0);
        CHECK(is_empty(f.r));
        at += behind;
    }
    drop(&f);
}

static void batches_arrive_whole_and_end_before_a_loss(void)
{
    fixture f = topic_of(64, CELL);
    unsigned char buf[16][64];
    uint32_t sizes[64], got = 0;
    uint64_t lost = 9, next = 0;

    for (uint32_t i = 0; i < 64; i++)
        sizes[i] = 8 + i % 49;
    for (int round = 0; round < 20; round++) {
        tribus_topic_claim_batch(f.w, 10, &got);
        CHECK(got == 10);
        for (uint64_t i = 0; i < 10; i++) {
            const uint64_t value = next + i;

            memcpy(tribus_topic_batch_at(f.w, (uint32_t)i), &value, sizeof(value));
        }
        tribus_topic_commit_batch(f.w, 10, sizes);
        CHECK(tribus_topic_read_batch(f.r, buf, 64, 16, &got, sizes + 32, &lost) ==
              TRIBUS_OK);
        CHECK(got == 10 && lost == 0);
        for (uint64_t i = 0; i < 10; i++) {
            const uint64_t value = next + i;

            CHECK(memcmp(buf[i], &value, sizeof(value)) == 0 && sizes[32 + i] == sizes[i]);
        }
        next += 10;
        CHECK(tribus_topic_read_batch(f.r, buf, 64, 16, &got, sizes, &lost) ==
              TRIBUS_EMPTY);
    }
    for (int i = 0; i < 10; i++) {
        tribus_topic_claim_batch(f.w, 1000, &got);
        CHECK(got == 64);
        tribus_topic_commit_batch(f.w, got, sizes);
    }
    CHECK(tribus_topic_read_batch(f.r, buf, 64, 16, &got, sizes, &lost) == TRIBUS_OK);
    CHECK(got == 16 && lost == 640 - 64);
    CHECK(tribus_topic_read_batch(f.r, buf, 64, 16, &got, sizes, &lost) == TRIBUS_OK);
    CHECK(got == 16 && lost == 0);
    drop(&f);
}

static void late_joiner_may_ask_for_the_last_n(void)
{
    fixture f = topic_of(CELLS, CELL);
    tribus_topic *late;
    uint64_t lost;

    CHECK(tribus_topic_rewind(f.r, 5) == 0);
    for (uint64_t i = 0; i < 20; i++)
        put(f.w, i);
    CHECK(tribus_topic_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &late) == TRIBUS_OK);
    CHECK(is_empty(late));
    CHECK(tribus_topic_rewind(late, 1) == 1);
    CHECK(take(late, &lost) == 19 && lost == 0 && is_empty(late));
    CHECK(tribus_topic_rewind(late, 100) == CELLS);
    CHECK(take(late, &lost) == 12 && lost == 0);
    CHECK(tribus_topic_rewind(late, 0) == 0 && is_empty(late));
    tribus_topic_close(late);
    drop(&f);
}

static void seek_goes_to_a_position_whatever_is_published_meanwhile(void)
{
    fixture f = topic_of(CELLS, CELL);
    uint64_t lost;

    CHECK(tribus_topic_seek(f.r, 0) == 0 && is_empty(f.r));
    CHECK(tribus_topic_seek(f.r, 1) == 0 && is_empty(f.r));
    CHECK(tribus_topic_seek(f.r, UINT64_MAX) == 0);
    for (uint64_t i = 0; i < 5; i++)
        put(f.w, i);
    CHECK(tribus_topic_seek(f.r, 3) == 3);
    for (uint64_t i = 5; i < 7; i++)
        put(f.w, i);
    CHECK(tribus_topic_seek(f.r, 3) == 3);
    CHECK(take(f.r, &lost) == 3 && lost == 0);
    for (uint64_t i = 7; i < 20; i++)
        put(f.w, i);
    CHECK(tribus_topic_seek(f.r, 4) == 12); /* the oldest of the 8 that are left */
    CHECK(take(f.r, &lost) == 12 && lost == 0);
    CHECK(tribus_topic_seek(f.r, 20) == 20 && is_empty(f.r));
    CHECK(tribus_topic_seek(f.r, 21) == 20 && is_empty(f.r));
    *word(&f, PUBLISHED) = 19; /* the writer died before it counted its last message */
    CHECK(tribus_topic_seek(f.r, 20) == 20 && is_empty(f.r));
    drop(&f);
}

static void writer_that_died_while_filling_left_everything_intact(void)
{
    fixture f = topic_of(CELLS, CELL);
    uint64_t lost;

    for (uint64_t i = 0; i < 10; i++)
        put(f.w, i);
    memset(tribus_topic_claim(f.w), 0xee, 56);
    tribus_topic_close(f.w);
    CHECK(tribus_topic_open(f.m.a, f.m.bytes, TRIBUS_WRITER, 0, &f.w) == TRIBUS_OK);
    put(f.w, 10);
    CHECK(tribus_topic_rewind(f.r, CELLS) == CELLS);
    for (uint64_t i = 3; i <= 10; i++)
        CHECK(take(f.r, &lost) == i && lost == 0);
    drop(&f);
}

static void writer_that_died_between_its_two_marks_published_nothing(void)
{
    fixture f = topic_of(CELLS, CELL);
    uint64_t lost;

    for (uint64_t i = 0; i < 10; i++)
        put(f.w, i);
    /* position 10, being written: the mark that commit stores first */
    *word(&f, FIRST + (size_t)(10 % CELLS) * CELL) = (uint64_t)10 << 21;
    CHECK(tribus_topic_rewind(f.r, 0) == 0 && is_empty(f.r));
    CHECK(tribus_topic_rewind(f.r, CELLS) == CELLS); /* 2 is gone, 3 is the oldest */
    CHECK(take(f.r, &lost) == 3 && lost == 1);
    tribus_topic_close(f.w);
    CHECK(tribus_topic_open(f.m.a, f.m.bytes, TRIBUS_WRITER, 0, &f.w) == TRIBUS_OK);
    CHECK(tribus_topic_published(f.w) == 10);
    put(f.w, 10);
    for (uint64_t i = 4; i <= 10; i++)
        CHECK(take(f.r, &lost) == i && lost == 0);
    drop(&f);
}

static void writer_that_died_before_counting_its_message_did_publish_it(void)
{
    fixture f = topic_of(CELLS, CELL);
    uint64_t lost;

    for (uint64_t i = 0; i < 10; i++)
        put(f.w, i);
    *word(&f, PUBLISHED) = 9;
    tribus_topic_close(f.w);
    CHECK(tribus_topic_open(f.m.a, f.m.bytes, TRIBUS_WRITER, 0, &f.w) == TRIBUS_OK);
    CHECK(tribus_topic_published(f.w) == 10);
    put(f.w, 10);
    CHECK(take(f.r, &lost) == 3 && lost == 3);
    drop(&f);
}

static void hostile_words_give_corrupt_and_nothing_worse(void)
{
    const uint64_t done = (uint64_t)1 << 20;
    const uint64_t values[] = {
        0,                                /* a position of the past, not one lap ago */
        UINT64_MAX,                       /* behind, and too large */
        (uint64_t)1 << 63,                /* far ahead */
        ((uint64_t)13 << 21) | done,      /* not a position of this cell */
        ((uint64_t)10 << 21) | done | 57, /* one byte more than fits */
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        fixture f = topic_of(CELLS, CELL);
        unsigned char buf[56];
        uint32_t bytes;
        uint64_t lost;

        for (uint64_t k = 0; k < 10; k++)
            put(f.w, k);
        CHECK(tribus_topic_rewind(f.r, 0) == 0);
        *word(&f, FIRST + (size_t)(10 % CELLS) * CELL) = values[i];
        CHECK(tribus_topic_read(f.r, buf, &bytes, &lost) == TRIBUS_CORRUPT);
        drop(&f);
    }
}

static void open_when_the_layout_is_nonsense_returns_corrupt(void)
{
    fixture f = topic_of(CELLS, CELL);
    tribus_topic *again = NULL;
    uint32_t *head = f.m.a;

    CHECK(tribus_topic_open(f.m.b, f.m.bytes - 1, TRIBUS_READER, 0, &again) ==
          TRIBUS_CORRUPT);
    CHECK(tribus_topic_open(f.m.b, f.m.bytes, TRIBUS_WRITER, 1, &again) == TRIBUS_BAD_ARG);
    head[2] = 16;
    CHECK(tribus_topic_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_CORRUPT);
    head[2] = CELLS;
    *word(&f, FIRST) = UINT64_MAX;
    CHECK(tribus_topic_open(f.m.b, f.m.bytes, TRIBUS_WRITER, 0, &again) == TRIBUS_CORRUPT);
    head[1]++;
    CHECK(tribus_topic_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_VERSION);
    CHECK(again == NULL);
    drop(&f);
}

static void read_only_reader_waits_in_steps(void)
{
    fixture f = topic_of(CELLS, CELL);
    const tribus_wait_cfg brief = {.spin_ns = 1000, .timeout_ns = 3000000};
    tribus_topic *r;
    uint64_t lost;

#if !defined(__SANITIZE_THREAD__)
    CHECK(mprotect(f.m.b, f.m.bytes, PROT_READ) == 0);
#endif
    CHECK(tribus_topic_open(f.m.b, f.m.bytes, TRIBUS_READER, 1, &r) == TRIBUS_OK);
    CHECK(tribus_topic_wait(r, &brief) == TRIBUS_TIMEOUT);
    put(f.w, 4);
    CHECK(tribus_topic_wait(r, &brief) == TRIBUS_OK);
    CHECK(take(r, &lost) == 4);
    tribus_topic_close(r);
    drop(&f);
}

static void a_batch_is_never_longer_than_the_cells(void)
{
    fixture f = topic_of(CELLS, CELL);
    uint32_t got = 0;

    tribus_topic_claim_batch(f.w, 1000, &got);
    CHECK(got == CELLS);
    drop(&f);
}

static void a_reader_overtaken_again_and_again_goes_to_the_newest(void)
{
    for (uint64_t cells = 2; cells <= 64; cells *= 2)
        for (uint64_t behind = 0; behind <= cells; behind++) {
            uint64_t last = 0;

            for (uint32_t tries = 0; tries < 300; tries++) {
                const uint64_t at =
                    tribus_catch_up_slack(cells, tries, 1000, 1000 + behind);

                CHECK(at >= last && (behind == 0 ? at == 0 : at < behind));
                CHECK(tries < 8 || behind == 0 || at == behind - 1);
                last = at;
            }
        }
    CHECK(tribus_catch_up_slack(8, 5, 1000, 999) == 0); /* the end was seen late */
}

typedef struct run {
    fixture *f;
    _Atomic(uint32_t) *opened;
    uint64_t messages;
    uint64_t read, lost;
} run;

/* Every message is one number in all its words, so a torn copy shows. */
static void *read_all(void *context)
{
    run *job = context;
    const tribus_wait_cfg patient = {.spin_ns = 1, .timeout_ns = 60000000000};
    tribus_topic *r;
    uint64_t next = 0;

    CHECK(tribus_topic_open(job->f->m.b, job->f->m.bytes, TRIBUS_READER, 0, &r) ==
          TRIBUS_OK);
    next = tribus_topic_published(r) - tribus_topic_rewind(r, 0);
    CHECK(next == 0);
    (void)tribus_add_rlx(job->opened, 1u);
    while (next < job->messages) {
        uint64_t buf[15], lost;
        uint32_t bytes;
        tribus_status st = tribus_topic_read(r, buf, &bytes, &lost);

        if (st == TRIBUS_EMPTY) {
            CHECK(tribus_topic_wait(r, &patient) == TRIBUS_OK);
            continue;
        }
        CHECK(st == TRIBUS_OK && bytes == sizeof(buf));
        next += lost;
        job->lost += lost;
        for (uint32_t k = 0; k < 15; k++)
            CHECK(buf[k] == next);
        next++;
        job->read++;
    }
    tribus_topic_close(r);
    return NULL;
}

static void readers_that_are_lapped_never_see_a_torn_message(void)
{
    fixture f = topic_of(CELLS, 128);
    _Atomic(uint32_t) opened = 0;
    run jobs[2] = {{.f = &f, .opened = &opened, .messages = 100000},
                   {.f = &f, .opened = &opened, .messages = 100000}};
    const int64_t deadline_ns = tribus_deadline_ns(60000000000);
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, read_all, &jobs[i]) == 0);
    while (tribus_load_rlx(&opened) < 2) { /* both start at the first message */
        CHECK(tribus_deadline_left_ns(deadline_ns) > 0);
        (void)sched_yield();
    }
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t *to = tribus_topic_claim(f.w);

        for (int k = 0; k < 15; k++)
            to[k] = i;
        tribus_topic_commit(f.w, 120);
    }
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(jobs[i].read + jobs[i].lost == jobs[i].messages && jobs[i].read > 0);
    }
    drop(&f);
}

int main(void)
{
    every_reader_gets_every_message();
    messages_keep_their_size_to_the_byte();
    lapped_reader_gets_the_oldest_left_and_the_exact_loss();
    batches_arrive_whole_and_end_before_a_loss();
    late_joiner_may_ask_for_the_last_n();
    seek_goes_to_a_position_whatever_is_published_meanwhile();
    writer_that_died_while_filling_left_everything_intact();
    writer_that_died_between_its_two_marks_published_nothing();
    writer_that_died_before_counting_its_message_did_publish_it();
    hostile_words_give_corrupt_and_nothing_worse();
    open_when_the_layout_is_nonsense_returns_corrupt();
    read_only_reader_waits_in_steps();
    a_batch_is_never_longer_than_the_cells();
    a_reader_overtaken_again_and_again_goes_to_the_newest();
    readers_that_are_lapped_never_see_a_torn_message();
    return 0;
}
