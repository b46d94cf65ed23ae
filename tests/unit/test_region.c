/* test_region.c -- src/fabric/region.c: loans, holders, crashes of each, hostile words, and
 * slots handed between threads. */
#include "two_maps.h"

#include "base/random.h"
#include "tribus/fabric.h"

#include <pthread.h>

#define SLOTS 4u
#define HELD  128u /* offsets of docs/shared-layout.md */

typedef struct fixture {
    two_maps m;
    tribus_region *owner, *h[3];
} fixture;

static fixture region_of(uint32_t slots, uint64_t slot_bytes)
{
    tribus_region_cfg cfg = {.slot_bytes = slot_bytes, .slots = slots};
    fixture f = {.m = two_maps_of(tribus_region_bytes(&cfg))};

    CHECK(tribus_region_create(f.m.a, f.m.bytes, &cfg, 42) == TRIBUS_OK);
    CHECK(tribus_region_open(f.m.a, f.m.bytes, TRIBUS_WRITER, 0, &f.owner) == TRIBUS_OK);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(tribus_region_open(f.m.b, f.m.bytes, TRIBUS_READER, i, &f.h[i]) == TRIBUS_OK);
    return f;
}

static void drop(fixture *f)
{
    tribus_region_close(f->owner);
    for (int i = 0; i < 3; i++)
        tribus_region_close(f->h[i]);
    two_maps_drop(&f->m);
}

static void reopen_owner(fixture *f)
{
    tribus_region_close(f->owner);
    CHECK(tribus_region_open(f->m.a, f->m.bytes, TRIBUS_WRITER, 0, &f->owner) == TRIBUS_OK);
}

static tribus_slot_ref give(fixture *f, uint64_t holders, uint64_t value)
{
    tribus_slot_ref ref;
    void *mem;

    CHECK(tribus_region_loan(f->owner, &ref, &mem) == TRIBUS_OK);
    memcpy(mem, &value, sizeof(value));
    CHECK(tribus_region_commit(f->owner, &ref, holders) == TRIBUS_OK);
    return ref;
}

static void slot_travels_from_owner_to_holder_and_back(void)
{
    fixture f = region_of(SLOTS, 100);
    const void *mem;
    uint64_t value;

    CHECK(tribus_region_slot_bytes(f.h[0]) == 128 && tribus_region_slots(f.h[0]) == SLOTS);
    for (uint64_t i = 0; i < 100; i++) {
        tribus_slot_ref ref = give(&f, 1, i);

        CHECK(ref.region == 42 && ref.generation == i + 1 && ref.slot == i % SLOTS);
        CHECK(tribus_region_receive(f.h[0], &ref, &mem) == TRIBUS_OK);
        memcpy(&value, mem, sizeof(value));
        CHECK(value == i);
        CHECK(tribus_region_receive(f.h[1], &ref, &mem) == TRIBUS_CORRUPT);
        CHECK(tribus_region_release(f.h[1], &ref) == TRIBUS_CORRUPT);
        CHECK(tribus_region_release(f.h[0], &ref) == TRIBUS_OK);
        CHECK(tribus_region_release(f.h[0], &ref) == TRIBUS_CORRUPT);
        CHECK(tribus_region_free_slots(f.owner) == SLOTS);
    }
    drop(&f);
}

static void slot_is_free_when_the_last_of_many_holders_releases(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref ref = give(&f, 7, 5);

    CHECK(tribus_region_release(f.h[1], &ref) == TRIBUS_OK);
    CHECK(tribus_region_release(f.h[0], &ref) == TRIBUS_OK);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS - 1);
    CHECK(tribus_region_release(f.h[2], &ref) == TRIBUS_OK);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS);
    drop(&f);
}

static void loan_when_every_slot_is_held_returns_full(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref refs[SLOTS], ref;
    void *mem;

    for (uint32_t i = 0; i < SLOTS; i++)
        refs[i] = give(&f, 1, i);
    CHECK(tribus_region_loan(f.owner, &ref, &mem) == TRIBUS_FULL);
    CHECK(tribus_region_release(f.h[0], &refs[2]) == TRIBUS_OK); /* any order */
    CHECK(tribus_region_loan(f.owner, &ref, &mem) == TRIBUS_OK && ref.slot == 2);
    CHECK(tribus_region_commit(f.owner, &ref, 0) == TRIBUS_OK); /* nobody wants it */
    CHECK(tribus_region_free_slots(f.owner) == 1);
    CHECK(tribus_region_commit(f.owner, &ref, 1) == TRIBUS_BAD_ARG);
    drop(&f);
}

static void pass_moves_the_hold_without_a_moment_of_freedom(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref ref = give(&f, 1, 9);
    const void *mem;

    CHECK(tribus_region_receive(f.h[0], &ref, &mem) == TRIBUS_OK);
    CHECK(tribus_region_pass(f.h[0], &ref, 0) == TRIBUS_BAD_ARG);
    CHECK(tribus_region_pass(f.h[0], &ref, 6) == TRIBUS_OK);
    CHECK(tribus_region_receive(f.h[0], &ref, &mem) == TRIBUS_CORRUPT);
    CHECK(tribus_region_pass(f.h[0], &ref, 2) == TRIBUS_CORRUPT);
    CHECK(tribus_region_receive(f.h[1], &ref, &mem) == TRIBUS_OK);
    CHECK(tribus_region_release(f.h[1], &ref) == TRIBUS_OK);
    CHECK(tribus_region_release(f.h[2], &ref) == TRIBUS_OK);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS);
    drop(&f);
}

static void reuse_is_for_the_only_holder(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref ref = give(&f, 3, 9);
    const void *seen;
    void *mem;

    CHECK(tribus_region_reuse(f.h[2], &ref, &mem) == TRIBUS_CORRUPT);
    CHECK(tribus_region_reuse(f.h[0], &ref, &mem) == TRIBUS_REFUSED);
    CHECK(tribus_region_release(f.h[1], &ref) == TRIBUS_OK);
    CHECK(tribus_region_reuse(f.h[0], &ref, &mem) == TRIBUS_OK);
    *(uint64_t *)mem = 10;
    CHECK(tribus_region_pass(f.h[0], &ref, 2) == TRIBUS_OK);
    CHECK(tribus_region_receive(f.h[1], &ref, &seen) == TRIBUS_OK);
    CHECK(*(const uint64_t *)seen == 10);
    drop(&f);
}

static void what_a_dead_holder_held_comes_back_and_nothing_else(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref mine = give(&f, 1, 1), shared = give(&f, 3, 2), other = give(&f, 2, 3);
    const void *mem;

    CHECK(tribus_region_receive(f.h[0], &mine, &mem) == TRIBUS_OK);
    CHECK(tribus_region_reclaim(f.owner, 0) == 1); /* `shared` is still held by 1 */
    CHECK(tribus_region_reclaim(f.owner, 0) == 0);
    CHECK(tribus_region_reclaim(f.owner, 63) == 0);
    CHECK(tribus_region_receive(f.h[1], &shared, &mem) == TRIBUS_OK);
    CHECK(tribus_region_receive(f.h[1], &other, &mem) == TRIBUS_OK);
    CHECK(tribus_region_receive(f.h[0], &mine, &mem) == TRIBUS_CORRUPT);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS - 2);
    drop(&f);
}

static void owner_that_died_leaves_no_loan_and_no_generation_twice(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref held = give(&f, 1, 77), ref;
    const void *seen;
    void *mem;

    CHECK(tribus_region_loan(f.owner, &ref, &mem) == TRIBUS_OK);
    CHECK(tribus_region_loan(f.owner, &ref, &mem) == TRIBUS_OK);
    reopen_owner(&f);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS - 1);
    CHECK(tribus_region_receive(f.h[0], &held, &seen) == TRIBUS_OK);
    CHECK(tribus_region_commit(f.owner, &ref, 1) == TRIBUS_BAD_ARG);
    ref = give(&f, 1, 1);
    CHECK(ref.generation == 4);
    drop(&f);
}

static void what_was_given_but_never_received_can_be_withdrawn(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref received = give(&f, 1, 1), passed;
    const void *mem;

    CHECK(tribus_region_receive(f.h[0], &received, &mem) == TRIBUS_OK);
    passed = give(&f, 1, 5);
    CHECK(tribus_region_withdraw(f.owner, 0, &passed, 1) == 0); /* it is in the ring */
    CHECK(tribus_region_withdraw(f.owner, 0, NULL, 0) == 1);
    (void)give(&f, 1, 2); /* given, and the owner died before it published the reference */
    CHECK(tribus_region_withdraw(f.owner, 0, NULL, 0) == 1);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS - 1);
    CHECK(tribus_region_receive(f.h[0], &received, &mem) == TRIBUS_OK);
    /* the same when a holder passes it on, even back to one that had it before */
    passed = give(&f, 2, 3);
    CHECK(tribus_region_receive(f.h[1], &passed, &mem) == TRIBUS_OK);
    CHECK(tribus_region_pass(f.h[1], &passed, 4) == TRIBUS_OK);
    CHECK(tribus_region_receive(f.h[2], &passed, &mem) == TRIBUS_OK);
    CHECK(tribus_region_pass(f.h[2], &passed, 2) == TRIBUS_OK);
    CHECK(tribus_region_withdraw(f.owner, 1, NULL, 0) == 1);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS - 1);
    drop(&f);
}

static void successor_of_a_holder_frees_what_is_not_offered_again(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref done = give(&f, 1, 1), offered = give(&f, 1, 2),
                    waiting = give(&f, 1, 3);
    const void *mem;

    CHECK(tribus_region_receive(f.h[0], &done, &mem) == TRIBUS_OK);
    CHECK(tribus_region_receive(f.h[0], &offered, &mem) == TRIBUS_OK);
    CHECK(tribus_region_recover(f.h[0], &offered, 1) == 1);
    CHECK(tribus_region_receive(f.h[0], &done, &mem) == TRIBUS_CORRUPT);
    CHECK(tribus_region_receive(f.h[0], &offered, &mem) == TRIBUS_OK);
    CHECK(tribus_region_receive(f.h[0], &waiting, &mem) == TRIBUS_OK);
    drop(&f);
}

static void receive_checks_every_field_of_the_reference(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref ref = give(&f, 1, 1), bad;
    const void *mem;

    bad = ref;
    bad.slot = SLOTS;
    CHECK(tribus_region_receive(f.h[0], &bad, &mem) == TRIBUS_CORRUPT);
    bad.slot = UINT32_MAX;
    CHECK(tribus_region_release(f.h[0], &bad) == TRIBUS_CORRUPT);
    bad = ref;
    bad.generation++;
    CHECK(tribus_region_receive(f.h[0], &bad, &mem) == TRIBUS_CORRUPT);
    bad = ref;
    bad.bytes = 65;
    CHECK(tribus_region_receive(f.h[0], &bad, &mem) == TRIBUS_CORRUPT);
    bad.bytes = 64;
    bad.offset = 1;
    CHECK(tribus_region_receive(f.h[0], &bad, &mem) == TRIBUS_CORRUPT);
    bad.offset = UINT64_MAX;
    bad.bytes = 2;
    CHECK(tribus_region_receive(f.h[0], &bad, &mem) == TRIBUS_CORRUPT);
    bad.offset = 8;
    bad.bytes = 56;
    CHECK(tribus_region_receive(f.h[0], &bad, &mem) == TRIBUS_OK);
    drop(&f);
}

static void open_when_the_layout_is_nonsense_returns_corrupt(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_region *again = NULL;
    uint32_t *head = f.m.a;
    uint64_t *wide = f.m.a;

    CHECK(tribus_region_open(f.m.b, f.m.bytes, TRIBUS_READER, 62, &again) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_region_open(f.m.b, f.m.bytes - 1, TRIBUS_READER, 0, &again) ==
          TRIBUS_CORRUPT);
    head[3] = 0;
    CHECK(tribus_region_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_CORRUPT);
    head[3] = 65536;
    CHECK(tribus_region_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_CORRUPT);
    head[3] = SLOTS;
    wide[2] = UINT64_MAX - 63;
    CHECK(tribus_region_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_CORRUPT);
    wide[2] = 128;
    CHECK(tribus_region_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_CORRUPT);
    wide[2] = 64;
    wide[3] = 0;
    CHECK(tribus_region_open(f.m.b, f.m.bytes, TRIBUS_READER, 0, &again) == TRIBUS_CORRUPT);
    CHECK(again == NULL);
    drop(&f);
}

static void slot_count_is_chosen_from_slot_size_and_cache(void)
{
    tribus_region_cfg small = {.slot_bytes = 64}, large = {.slot_bytes = 4 << 20},
                      huge = {.slot_bytes = (uint64_t)1 << 41},
                      many = {.slot_bytes = 64, .slots = 65537};

    CHECK(tribus_region_bytes(&small) > 0 && small.slots == 1024);
    CHECK(tribus_region_bytes(&large) > 0 && large.slots == 2);
    CHECK(tribus_region_bytes(&huge) == 0 && tribus_region_bytes(&many) == 0);
}

static tribus_slot_ref give_as(tribus_region *who, uint64_t holders)
{
    tribus_slot_ref ref;
    void *mem;

    CHECK(tribus_region_loan(who, &ref, &mem) == TRIBUS_OK);
    CHECK(tribus_region_commit(who, &ref, holders) == TRIBUS_OK);
    return ref;
}

static void answer_is_written_where_the_question_was(void)
{
    fixture f = region_of(SLOTS, 64);
    const void *seen;

    for (uint64_t i = 0; i < 100; i++) {
        const tribus_slot_ref question = give_as(f.h[0], 2);
        tribus_slot_ref answer;

        CHECK(question.slot == 0 && question.generation == 2 * i + 1);
        CHECK(tribus_region_receive(f.h[0], &question, &seen) == TRIBUS_CORRUPT);
        CHECK(tribus_region_receive(f.h[1], &question, &seen) == TRIBUS_OK);
        CHECK(tribus_region_release(f.h[1], &question) == TRIBUS_OK);
        answer = give_as(f.h[1], 1);
        CHECK(answer.slot == 0 && answer.generation == 2 * i + 2);
        CHECK(tribus_region_receive(f.h[0], &answer, &seen) == TRIBUS_OK);
        CHECK(tribus_region_release(f.h[0], &answer) == TRIBUS_OK);
    }
    CHECK(tribus_region_free_slots(f.owner) == SLOTS);
    drop(&f);
}

static void slot_that_others_hold_or_took_is_not_loaned_again(void)
{
    fixture f = region_of(SLOTS, 64);
    const tribus_slot_ref both = give_as(f.h[0], 6);
    tribus_slot_ref one;

    CHECK(tribus_region_release(f.h[1], &both) == TRIBUS_OK);
    CHECK(give_as(f.h[1], 1).slot != both.slot); /* holder 2 reads it */
    CHECK(tribus_region_release(f.h[2], &both) == TRIBUS_OK);
    CHECK(give_as(f.owner, 1).slot == both.slot); /* taken from under holder 2 */
    CHECK(give_as(f.h[2], 1).slot != both.slot);
    one = give_as(f.h[2], 1);
    CHECK(tribus_region_free_slots(f.owner) == 0);
    CHECK(tribus_region_pass(f.h[0], &one, 2) == TRIBUS_REFUSED);
    CHECK(tribus_region_release(f.h[0], &one) == TRIBUS_OK);
    drop(&f);
}

static void what_a_dead_holder_had_on_loan_comes_back(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref ref;
    void *mem;

    CHECK(tribus_region_loan(f.h[0], &ref, &mem) == TRIBUS_OK);
    CHECK(tribus_region_loan(f.h[1], &ref, &mem) == TRIBUS_OK);
    CHECK(tribus_region_release(f.h[1], &ref) == TRIBUS_CORRUPT); /* a loan is not held */
    reopen_owner(&f);                                             /* frees its own only */
    CHECK(tribus_region_free_slots(f.owner) == SLOTS - 2);
    CHECK(tribus_region_reclaim(f.h[2], 0) == 1);
    CHECK(tribus_region_recover(f.h[1], NULL, 0) == 1);
    CHECK(tribus_region_commit(f.h[1], &ref, 1) == TRIBUS_BAD_ARG);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS);
    drop(&f);
}

static void giver_takes_back_only_what_it_loaned_itself(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_slot_ref told = give_as(f.h[0], 4);

    (void)give_as(f.h[0], 4);
    (void)give_as(f.h[1], 4);
    (void)give_as(f.owner, 4);
    CHECK(tribus_region_withdraw(f.h[0], 2, &told, 1) == 1);
    CHECK(tribus_region_withdraw(f.h[0], 2, &told, 1) == 0);
    CHECK(tribus_region_forget(f.h[2], 1) == 1);
    CHECK(tribus_region_forget(f.h[2], 62) == 1);
    CHECK(tribus_region_free_slots(f.owner) == SLOTS - 1);
    CHECK(tribus_region_release(f.h[2], &told) == TRIBUS_OK);
    drop(&f);
}

/* Owner and two holders in threads; references travel through rings. The last word of a
 * slot is its first plus one, until the owner has it again. */
typedef struct path {
    two_maps m;
    tribus_ring *w, *r;
    fixture *f;
    uint32_t holder;
    uint64_t messages;
} path;

static void *hold_all(void *context)
{
    path *l = context;
    const tribus_wait_cfg patient = {.spin_ns = 1, .timeout_ns = 60000000000};

    for (uint64_t i = 0; i < l->messages; i++) {
        const void *cell, *mem;
        tribus_slot_ref ref;
        uint64_t words[8];

        while (tribus_ring_peek(l->r, &cell, NULL) == TRIBUS_EMPTY)
            CHECK(tribus_ring_wait(l->r, &patient) == TRIBUS_OK);
        memcpy(&ref, cell, sizeof(ref));
        CHECK(tribus_region_receive(l->f->h[l->holder], &ref, &mem) == TRIBUS_OK);
        memcpy(words, mem, sizeof(words));
        for (uint64_t k = 0; k < 8; k++)
            CHECK(words[k] == i + k);
        CHECK(tribus_region_release(l->f->h[l->holder], &ref) == TRIBUS_OK);
        tribus_ring_release(l->r);
    }
    return NULL;
}

static void two_holders_in_threads_see_whole_slots(void)
{
    fixture f = region_of(SLOTS, 64);
    path l[2];
    pthread_t threads[2];
    const uint64_t messages = 50000;

    for (uint32_t i = 0; i < 2; i++) {
        const size_t bytes = tribus_ring_bytes(16, 64);

        l[i] = (path){.m = two_maps_of(bytes), .f = &f, .holder = i, .messages = messages};
        CHECK(tribus_ring_create(l[i].m.a, bytes, 16, 64) == TRIBUS_OK);
        CHECK(tribus_ring_open(l[i].m.a, bytes, TRIBUS_WRITER, &l[i].w) == TRIBUS_OK);
        CHECK(tribus_ring_open(l[i].m.b, bytes, TRIBUS_READER, &l[i].r) == TRIBUS_OK);
        CHECK(pthread_create(&threads[i], NULL, hold_all, &l[i]) == 0);
    }
    for (uint64_t i = 0; i < messages; i++) {
        tribus_slot_ref ref;
        void *mem, *cell;
        uint64_t words[8];

        while (tribus_region_loan(f.owner, &ref, &mem) == TRIBUS_FULL)
            (void)sched_yield();
        for (uint64_t k = 0; k < 8; k++)
            words[k] = i + k;
        memcpy(mem, words, sizeof(words));
        CHECK(tribus_region_commit(f.owner, &ref, 3) == TRIBUS_OK);
        for (int k = 0; k < 2; k++) {
            CHECK(tribus_ring_claim(l[k].w, &cell) == TRIBUS_OK);
            memcpy(cell, &ref, sizeof(ref));
            tribus_ring_commit(l[k].w);
        }
    }
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        tribus_ring_close(l[i].w);
        tribus_ring_close(l[i].r);
        two_maps_drop(&l[i].m);
    }
    CHECK(tribus_region_free_slots(f.owner) == SLOTS);
    drop(&f);
}

/* Whatever a hostile peer writes into the words of the slots, calls end and stay inside. */
static void random_words_never_lead_outside(void)
{
    fixture f = region_of(SLOTS, 64);
    tribus_random rnd;

    tribus_random_init(&rnd, check_seed());
    for (int i = 0; i < 20000; i++) {
        uint64_t *lines = (uint64_t *)(void *)((unsigned char *)f.m.a + HELD);
        tribus_slot_ref ref;
        const void *seen;
        void *mem;

        lines[tribus_random_below(&rnd, SLOTS * 8)] =
            tribus_random_below(&rnd, 2) ? tribus_random_u64(&rnd) : 0;
        if (tribus_region_loan(f.owner, &ref, &mem) == TRIBUS_OK) {
            memset(mem, 1, 64);
            CHECK(tribus_region_commit(f.owner, &ref, 1) == TRIBUS_OK);
        }
        ref = (tribus_slot_ref){.slot = (uint32_t)tribus_random_below(&rnd, SLOTS + 2),
                                .generation = lines[2],
                                .offset = tribus_random_u64(&rnd) >> 58,
                                .bytes = tribus_random_u64(&rnd) >> 58};
        if (tribus_region_receive(f.h[0], &ref, &seen) == TRIBUS_OK)
            for (uint64_t k = 0; k < ref.bytes; k++)
                CHECK(((const unsigned char *)seen)[k] <= 255);
        if (tribus_region_release(f.h[0], &ref) != TRIBUS_OK)
            CHECK(tribus_error_text()[0] != 0);
        (void)tribus_region_reclaim(f.owner, (uint32_t)tribus_random_below(&rnd, 64));
    }
    drop(&f);
}

int main(void)
{
    slot_travels_from_owner_to_holder_and_back();
    slot_is_free_when_the_last_of_many_holders_releases();
    loan_when_every_slot_is_held_returns_full();
    pass_moves_the_hold_without_a_moment_of_freedom();
    reuse_is_for_the_only_holder();
    what_a_dead_holder_held_comes_back_and_nothing_else();
    owner_that_died_leaves_no_loan_and_no_generation_twice();
    what_was_given_but_never_received_can_be_withdrawn();
    successor_of_a_holder_frees_what_is_not_offered_again();
    receive_checks_every_field_of_the_reference();
    open_when_the_layout_is_nonsense_returns_corrupt();
    slot_count_is_chosen_from_slot_size_and_cache();
    answer_is_written_where_the_question_was();
    slot_that_others_hold_or_took_is_not_loaned_again();
    what_a_dead_holder_had_on_loan_comes_back();
    giver_takes_back_only_what_it_loaned_itself();
    two_holders_in_threads_see_whole_slots();
    random_words_never_lead_outside();
    return 0;
}
