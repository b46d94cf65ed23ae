/* test_doorbell.c -- src/fabric/doorbell.c: no wake-up is lost, with one and with many
 * sleepers and bells. The exhaustive proof is tests/model/doorbell.pml. */
#include "two_maps.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "tribus/fabric.h"

#include <pthread.h>

static int never(void *context)
{
    (void)context;
    return 0;
}

static int always(void *context)
{
    (void)context;
    return 1;
}

static tribus_doorbell_shm *bell_in(void *mem)
{
    tribus_doorbell_create(mem);
    return mem;
}

static void wait_obeys_its_deadline_and_looks_first(void)
{
    two_maps m = two_maps_of(4096);
    tribus_doorbell_shm *bell = bell_in(m.a);
    const tribus_wait_cfg once = {.timeout_ns = 0};
    const tribus_wait_cfg brief = {.spin_ns = 1, .timeout_ns = 2000000};
    const tribus_wait_cfg spin = {.spin_ns = -1, .timeout_ns = 2000000};
    const int64_t t0 = tribus_now_ns();

    CHECK(tribus_doorbell_wait(&bell, 1, never, NULL, &once) == TRIBUS_TIMEOUT);
    CHECK(tribus_doorbell_wait(&bell, 1, always, NULL, &once) == TRIBUS_OK);
    CHECK(tribus_doorbell_wait(&bell, 1, never, NULL, &brief) == TRIBUS_TIMEOUT);
    CHECK(tribus_doorbell_wait(&bell, 1, never, NULL, &spin) == TRIBUS_TIMEOUT);
    CHECK(tribus_now_ns() - t0 >= 4000000);
    CHECK(tribus_doorbell_wait(&bell, 0, always, NULL, &once) == TRIBUS_BAD_ARG);
    CHECK(tribus_doorbell_wait(&bell, 129, always, NULL, &once) == TRIBUS_BAD_ARG);
    CHECK(tribus_doorbell_wait(&bell, 1, always, NULL, NULL) == TRIBUS_BAD_ARG);
    two_maps_drop(&m);
}

#define SLEEPERS 3
#define BELLS    3
#define ROUNDS   3000

typedef struct shared {
    tribus_doorbell_shm *bells[BELLS];
    _Atomic(uint64_t) published;
    _Atomic(uint64_t) seen[SLEEPERS];
} shared;

typedef struct sleeper {
    shared *s;
    int number;
    uint64_t wanted;
} sleeper;

static int published(void *context)
{
    const sleeper *me = context;

    return tribus_load_acq(&me->s->published) >= me->wanted;
}

/* A deadline far beyond the 50 ms in which a sleeper looks again on its own would hide a
 * lost wake-up, so the rounds are counted against the clock below. */
static void *sleep_often(void *context)
{
    sleeper *me = context;
    const tribus_wait_cfg cfg = {.spin_ns = 1, .timeout_ns = 60000000000};

    for (me->wanted = 1; me->wanted <= ROUNDS; me->wanted++) {
        CHECK(tribus_doorbell_wait(me->s->bells, BELLS, published, me, &cfg) == TRIBUS_OK);
        tribus_store_rel(&me->s->seen[me->number], me->wanted);
    }
    return NULL;
}

static void many_sleepers_on_many_bells_lose_no_wake_up(void)
{
    two_maps m = two_maps_of(4096);
    shared s = {0};
    sleeper me[SLEEPERS];
    pthread_t threads[SLEEPERS];
    uint64_t slow = 0;

    for (int i = 0; i < BELLS; i++)
        s.bells[i] = bell_in((unsigned char *)m.a + 64 * i);
    for (int i = 0; i < SLEEPERS; i++) {
        me[i] = (sleeper){.s = &s, .number = i};
        CHECK(pthread_create(&threads[i], NULL, sleep_often, &me[i]) == 0);
    }
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        const int64_t t0 = tribus_now_ns();

        tribus_store_rel(&s.published, round);
        tribus_doorbell_press(s.bells[round % BELLS]);
        for (int i = 0; i < SLEEPERS; i++)
            while (tribus_load_acq(&s.seen[i]) < round)
                (void)sched_yield();
        slow += tribus_now_ns() - t0 > 45000000;
    }
    for (int i = 0; i < SLEEPERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    /* A busy machine delays some; a lost wake-up in every round would delay all. */
    CHECK(slow < ROUNDS / 2);
    two_maps_drop(&m);
}

static void hostile_words_delay_a_sleeper_and_no_more(void)
{
    two_maps m = two_maps_of(4096);
    tribus_doorbell_shm *bell = bell_in(m.a);
    const tribus_wait_cfg brief = {.spin_ns = 1, .timeout_ns = 1000000};
    const uint32_t words[] = {0, 1, 2, 3, UINT32_MAX, UINT32_MAX - 1};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        *(uint32_t *)m.a = words[i];
        CHECK(tribus_doorbell_wait(&bell, 1, never, NULL, &brief) == TRIBUS_TIMEOUT);
        tribus_doorbell_press(bell);
    }
    two_maps_drop(&m);
}

static int is_set(void *context)
{
    return *(const int *)context;
}

/* Bit 0 of the word, somebody may be asleep, is cleared by who wakes. */
static void part_wakes_nobody_and_the_whole_wakes_all(void)
{
    two_maps m = two_maps_of(4096);
    tribus_doorbell_shm *bell = bell_in(m.a);
    const uint32_t *word = m.a;
    int whole = 0;

    tribus_doorbell_press_if(bell, is_set, &whole);
    CHECK(*word == 2);
    tribus_doorbell_arm(bell);
    tribus_doorbell_press_if(bell, is_set, &whole);
    CHECK(*word == 5);
    whole = 1;
    tribus_doorbell_press_if(bell, is_set, &whole);
    CHECK(*word == 6);
    two_maps_drop(&m);
}

int main(void)
{
    wait_obeys_its_deadline_and_looks_first();
    many_sleepers_on_many_bells_lose_no_wake_up();
    hostile_words_delay_a_sleeper_and_no_more();
    part_wakes_nobody_and_the_whole_wakes_all();
    return 0;
}
