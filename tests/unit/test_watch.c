/* test_watch.c -- src/fabric/watch.c and the eventfd of a doorbell: for event loops. */
#include "two_maps.h"

#include "base/atomic.h"
#include "tribus/fabric.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

static int fires(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static void eventfd_of_the_presser_fires_only_for_a_sleeper(void)
{
    two_maps m = two_maps_of(4096);
    const int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t n;

    CHECK(event >= 0);
    tribus_doorbell_create(m.a);
    tribus_doorbell_press_event(m.a, event);
    CHECK(!fires(event, 0));
    tribus_doorbell_arm(m.b);
    tribus_doorbell_press_event(m.a, event);
    CHECK(fires(event, 60000));
    CHECK(read(event, &n, sizeof(n)) == 8);
    tribus_doorbell_press_event(m.a, event); /* not armed again */
    CHECK(!fires(event, 0));
    CHECK(close(event) == 0);
    two_maps_drop(&m);
}

static void ring_fires_the_event_it_was_given(void)
{
    two_maps m = two_maps_of(tribus_ring_bytes(4, 64));
    const int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    tribus_ring *w, *r;
    const void *seen;
    void *cell;

    CHECK(tribus_ring_create(m.a, m.bytes, 4, 64) == TRIBUS_OK);
    CHECK(tribus_ring_open(m.a, m.bytes, TRIBUS_WRITER, &w) == TRIBUS_OK);
    CHECK(tribus_ring_open(m.b, m.bytes, TRIBUS_READER, &r) == TRIBUS_OK);
    tribus_ring_set_event(w, event);
    tribus_doorbell_arm(tribus_ring_bell(r, TRIBUS_READER));
    CHECK(tribus_ring_peek(r, &seen, NULL) == TRIBUS_EMPTY);
    CHECK(tribus_ring_claim(w, &cell) == TRIBUS_OK);
    tribus_ring_commit(w);
    CHECK(fires(event, 60000));
    CHECK(tribus_ring_peek(r, &seen, NULL) == TRIBUS_OK);
    tribus_ring_close(w);
    tribus_ring_close(r);
    CHECK(close(event) == 0);
    two_maps_drop(&m);
}

#define STEPS 2000

typedef struct pair {
    tribus_timeline_shm *t;
    _Atomic(int64_t) seen;
} pair;

static void *advance_all(void *context)
{
    pair *p = context;

    for (int64_t i = 1; i <= STEPS; i++) {
        CHECK(tribus_timeline_advance(p->t, i) == TRIBUS_OK);
        while (tribus_load_acq(&p->seen) < i)
            (void)sched_yield();
    }
    return NULL;
}

static void timelines_can_be_waited_for_in_an_event_loop(void)
{
    two_maps m = two_maps_of(4096);
    pair p = {0};
    tribus_timeline_shm *other;
    tribus_doorbell_shm *bells[2];
    tribus_watch *w;
    pthread_t thread;

    CHECK(tribus_timeline_create(m.a, 128, 0) == TRIBUS_OK);
    CHECK(tribus_timeline_create((char *)m.a + 128, 128, 0) == TRIBUS_OK);
    CHECK(tribus_timeline_open(m.a, 128, &p.t) == TRIBUS_OK);
    CHECK(tribus_timeline_open((char *)m.a + 128, 128, &other) == TRIBUS_OK);
    bells[0] = tribus_timeline_bell(other);
    bells[1] = tribus_timeline_bell(p.t);
    CHECK(tribus_watch_open(bells, 0, &w) == TRIBUS_BAD_ARG);
    CHECK(tribus_watch_open(bells, 2, &w) == TRIBUS_OK);
    CHECK(pthread_create(&thread, NULL, advance_all, &p) == 0);
    for (int64_t i = 1; i <= STEPS; i++) {
        while (tribus_timeline_get(p.t) < i) {
            tribus_watch_arm(w);
            if (tribus_timeline_get(p.t) < i)
                CHECK(fires(tribus_watch_fd(w), 60000));
        }
        tribus_store_rel(&p.seen, i);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    tribus_watch_close(w);
    tribus_watch_close(NULL);
    two_maps_drop(&m);
}

static void closing_an_armed_watch_ends_its_thread(void)
{
    two_maps m = two_maps_of(4096);
    tribus_doorbell_shm *bell = m.a;

    tribus_doorbell_create(m.a);
    for (int i = 0; i < 20; i++) {
        tribus_watch *w;

        CHECK(tribus_watch_open(&bell, 1, &w) == TRIBUS_OK);
        if (i % 2 == 0)
            tribus_watch_arm(w);
        tribus_watch_close(w);
    }
    two_maps_drop(&m);
}

static void holding_the_latency_works_or_says_why_not(void)
{
    int fd = -1;
    const tribus_status st = tribus_doorbell_hold_latency(&fd);

    if (st == TRIBUS_OK)
        CHECK(close(fd) == 0);
    else
        CHECK((st == TRIBUS_REFUSED || st == TRIBUS_NOT_FOUND) &&
              strstr(tribus_error_text(), "cpu_dma_latency") != NULL);
}

int main(void)
{
    eventfd_of_the_presser_fires_only_for_a_sleeper();
    ring_fires_the_event_it_was_given();
    timelines_can_be_waited_for_in_an_event_loop();
    closing_an_armed_watch_ends_its_thread();
    holding_the_latency_works_or_says_why_not();
    return 0;
}
