/* test_timeline.c -- src/fabric/timeline.c */
#include "two_maps.h"

#include "tribus/fabric.h"

#include <pthread.h>

static tribus_timeline_shm *timeline_in(void *mem, int64_t value)
{
    tribus_timeline_shm *t = NULL;

    CHECK(tribus_timeline_create(mem, TRIBUS_TIMELINE_BYTES, value) == TRIBUS_OK);
    CHECK(tribus_timeline_open(mem, TRIBUS_TIMELINE_BYTES, &t) == TRIBUS_OK);
    return t;
}

static void value_grows_and_never_falls(void)
{
    two_maps m = two_maps_of(4096);
    tribus_timeline_shm *a = timeline_in(m.a, 5), *b;

    CHECK(tribus_timeline_open(m.b, 128, &b) == TRIBUS_OK);
    CHECK(tribus_timeline_get(b) == 5);
    CHECK(tribus_timeline_advance(a, 9) == TRIBUS_OK && tribus_timeline_get(b) == 9);
    CHECK(tribus_timeline_advance(b, 7) == TRIBUS_OK && tribus_timeline_get(a) == 9);
    CHECK(tribus_timeline_advance(a, -1) == TRIBUS_BAD_ARG);
    CHECK(tribus_timeline_advance(a, INT64_MAX) == TRIBUS_BAD_ARG);
    two_maps_drop(&m);
}

static void create_and_open_refuse_what_is_no_timeline(void)
{
    two_maps m = two_maps_of(4096);
    tribus_timeline_shm *t;

    CHECK(tribus_timeline_open(m.a, 128, &t) == TRIBUS_CORRUPT);
    CHECK(tribus_timeline_create(m.a, 127, 0) == TRIBUS_BAD_ARG);
    CHECK(tribus_timeline_create(m.a, 128, -1) == TRIBUS_BAD_ARG);
    CHECK(tribus_timeline_create((char *)m.a + 8, 128, 0) == TRIBUS_BAD_ARG);
    CHECK(tribus_timeline_create(m.a, 128, 0) == TRIBUS_OK);
    CHECK(tribus_timeline_open(m.a, 64, &t) == TRIBUS_CORRUPT);
    ((uint32_t *)m.a)[1] = 9;
    CHECK(tribus_timeline_open(m.a, 128, &t) == TRIBUS_CORRUPT);
    two_maps_drop(&m);
}

static void poison_completes_every_wait_and_stays(void)
{
    two_maps m = two_maps_of(4096);
    tribus_timeline_shm *t = timeline_in(m.a, 0);
    const tribus_wait_cfg patient = {.timeout_ns = 60000000000};

    tribus_timeline_poison(t);
    tribus_timeline_poison(t);
    CHECK(tribus_timeline_get(t) == TRIBUS_TIMELINE_POISON);
    CHECK(tribus_timeline_wait(t, 1, &patient) == TRIBUS_POISONED);
    CHECK(tribus_timeline_wait(t, 0, &patient) == TRIBUS_POISONED);
    CHECK(tribus_timeline_advance(t, 3) == TRIBUS_POISONED);
    CHECK(tribus_timeline_get(t) == TRIBUS_TIMELINE_POISON);
    two_maps_drop(&m);
}

static void wait_for_any_names_one_and_wait_for_all_needs_all(void)
{
    two_maps m = two_maps_of(4096);
    const tribus_wait_cfg brief = {.spin_ns = 1, .timeout_ns = 2000000};
    const int64_t wanted[3] = {1, 2, 3};
    tribus_timeline_shm *t[3];
    uint32_t which = 9;

    for (int i = 0; i < 3; i++)
        t[i] = timeline_in((char *)m.a + 128 * i, 0);
    CHECK(tribus_timeline_wait_many(t, wanted, 3, 0, &brief, &which) == TRIBUS_TIMEOUT);
    CHECK(tribus_timeline_advance(t[1], 2) == TRIBUS_OK);
    CHECK(tribus_timeline_wait_many(t, wanted, 3, 0, &brief, &which) == TRIBUS_OK);
    CHECK(which == 1);
    CHECK(tribus_timeline_wait_many(t, wanted, 3, 1, &brief, NULL) == TRIBUS_TIMEOUT);
    CHECK(tribus_timeline_advance(t[0], 1) == TRIBUS_OK);
    CHECK(tribus_timeline_advance(t[2], 4) == TRIBUS_OK);
    CHECK(tribus_timeline_wait_many(t, wanted, 3, 1, &brief, NULL) == TRIBUS_OK);
    tribus_timeline_poison(t[2]);
    CHECK(tribus_timeline_wait_many(t, wanted, 3, 1, &brief, &which) == TRIBUS_POISONED);
    CHECK(which == 2);
    CHECK(tribus_timeline_wait_many(t, wanted, 0, 1, &brief, NULL) == TRIBUS_BAD_ARG);
    two_maps_drop(&m);
}

#define STEPS 5000

typedef struct pair {
    tribus_timeline_shm *there, *back;
} pair;

static void *answer(void *context)
{
    const pair *p = context;
    const tribus_wait_cfg cfg = {.spin_ns = 1, .timeout_ns = 60000000000};

    for (int64_t i = 1; i <= STEPS; i++) {
        CHECK(tribus_timeline_wait(p->there, i, &cfg) == TRIBUS_OK);
        CHECK(tribus_timeline_advance(p->back, i) == TRIBUS_OK);
    }
    return NULL;
}

static void two_threads_take_turns_while_sleeping(void)
{
    two_maps m = two_maps_of(4096);
    pair p = {timeline_in(m.a, 0), timeline_in((char *)m.a + 128, 0)};
    const tribus_wait_cfg cfg = {.spin_ns = 1, .timeout_ns = 60000000000};
    pthread_t t;

    CHECK(pthread_create(&t, NULL, answer, &p) == 0);
    for (int64_t i = 1; i <= STEPS; i++) {
        CHECK(tribus_timeline_advance(p.there, i) == TRIBUS_OK);
        CHECK(tribus_timeline_wait(p.back, i, &cfg) == TRIBUS_OK);
    }
    CHECK(pthread_join(t, NULL) == 0);
    two_maps_drop(&m);
}

int main(void)
{
    value_grows_and_never_falls();
    create_and_open_refuse_what_is_no_timeline();
    poison_completes_every_wait_and_stays();
    wait_for_any_names_one_and_wait_for_all_needs_all();
    two_threads_take_turns_while_sleeping();
    return 0;
}
