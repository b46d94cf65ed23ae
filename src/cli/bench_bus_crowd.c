/* bench_bus_crowd.c -- one topic, 1,000 subscribers: what its publisher pays for them. */
#include "cli/bench_bus.h"

#include "base/atomic.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STACK_BYTES      (256u << 10)
#define PAUSE_NS         30000000L /* a thousand woken ones have looked and sleep again */
#define SLEEPER_MESSAGES 120u

typedef struct crowd_shared {
    _Alignas(128) _Atomic(uint32_t) ready;
    _Alignas(128) _Atomic(uint32_t) over;
    _Atomic(uint64_t) received;
    uint64_t lost;
    tribus_bench_stats stats;
} crowd_shared;

typedef struct crowd_context {
    const char *socket_path;
    uint64_t messages;
    uint32_t subscribers;
    bool asleep;
} crowd_context;

static tribus_subscription **subscribe_all(const crowd_context *c,
                                           tribus_bench_client *client)
{
    const tribus_bus_filter filter = {.types = 1ull << TRIBUS_MSG_PRICE_UPDATE};
    tribus_subscription **subs = calloc(c->subscribers, sizeof(*subs));

    if (subs == NULL || !tribus_bench_client_open(c->socket_path, 0, client))
        return NULL;
    for (uint32_t i = 0; i < c->subscribers; i++) {
        if (tribus_bus_subscribe(client->bus, &filter, &subs[i]) != TRIBUS_OK) {
            (void)tribus_bench_pair_fail("%s", tribus_error_text());
            return NULL;
        }
    }
    return subs;
}

/* One thread reads for all: what matters is how many readers the topic has. */
static bool poll_all(crowd_shared *s, const crowd_context *c)
{
    tribus_bench_client client;
    tribus_subscription **subs = subscribe_all(c, &client);
    const tribus_msg_header *m = NULL;

    if (subs == NULL)
        return false;
    tribus_store_rel(&s->ready, 1u);
    while (tribus_load_rlx(&s->over) == 0) { /* a hint */
        for (uint32_t i = 0; i < c->subscribers; i++) {
            uint64_t lost = 0;

            if (tribus_bus_next(subs[i], &m, &lost) == TRIBUS_OK)
                s->lost += lost;
        }
    }
    tribus_bench_client_close(&client);
    free(subs);
    return true;
}

/* ---- those that sleep: a participant and a thread each ---- */

typedef struct sleeper {
    pthread_t thread;
    uint32_t number;
    pthread_mutex_t *door; /* one after the other: each that comes is news to all */
    pthread_barrier_t *all_there;
    crowd_shared *s;
    const crowd_context *c;
} sleeper;

static void *sleep_for_messages(void *context)
{
    const sleeper *me = context;
    const tribus_wait_cfg wait = {.spin_ns = 1, .timeout_ns = 50000000};
    const tribus_msg_header *m = NULL;
    tribus_bench_client client;
    int64_t last = 0;
    char name[TRIBUS_NAME_BYTES];
    bool ok;

    (void)snprintf(name, sizeof(name), "sleeper-%u", me->number);
    (void)pthread_mutex_lock(me->door);
    ok = tribus_bench_client_open_as(name, me->c->socket_path,
                                     1ull << TRIBUS_MSG_PRICE_UPDATE, &client);
    (void)pthread_mutex_unlock(me->door);
    (void)pthread_barrier_wait(me->all_there);
    if (!ok)
        return NULL;
    (void)tribus_add_ar(&me->s->ready, 1u);
    while (last < (int64_t)me->c->messages && !tribus_bench_pair_ended()) {
        if (tribus_bus_next_wait(client.sub, &m, NULL, &wait) != TRIBUS_OK)
            continue;
        last = ((const tribus_msg_price_update *)m)->price_e9;
        (void)tribus_add_rlx(&me->s->received, 1u); /* a count to wait for */
    }
    tribus_bench_client_close(&client);
    return NULL;
}

static bool sleep_all(crowd_shared *s, const crowd_context *c)
{
    sleeper *all = calloc(c->subscribers, sizeof(*all));
    pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
    pthread_barrier_t all_there;
    pthread_attr_t attr;
    bool ok = all != NULL && pthread_attr_init(&attr) == 0 &&
              pthread_attr_setstacksize(&attr, STACK_BYTES) == 0 &&
              pthread_barrier_init(&all_there, NULL, c->subscribers) == 0;

    for (uint32_t i = 0; ok && i < c->subscribers; i++) {
        all[i].number = i;
        all[i].door = &door;
        all[i].all_there = &all_there;
        all[i].s = s;
        all[i].c = c;
        ok = pthread_create(&all[i].thread, &attr, sleep_for_messages, &all[i]) == 0;
    }
    if (!ok)
        (void)tribus_bench_pair_fail("no memory or threads for %u sleepers",
                                     c->subscribers);
    for (uint32_t i = 0; i < c->subscribers; i++)
        (void)pthread_join(all[i].thread, NULL);
    (void)pthread_barrier_destroy(&all_there);
    free(all);
    return ok;
}

/* Wait until `count` messages came, all in all. */
static bool all_received(const crowd_shared *s, uint64_t count)
{
    const struct timespec step = {.tv_nsec = 500000};

    while (tribus_load_rlx(&s->received) < count) {
        if (tribus_bench_pair_ended())
            return false;
        (void)nanosleep(&step, NULL);
    }
    return true;
}

/* One message at a time, when all sleep again. */
static bool publish_to_sleepers(crowd_shared *s, const crowd_context *c)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    tribus_bench_client client;
    tribus_msg_price_update m;
    const tribus_msg_header *h = tribus_bench_price(&m, 0);
    double *ns = calloc(c->messages, sizeof(*ns));

    if (ns == NULL || h == NULL || !tribus_bench_client_open(c->socket_path, 0, &client))
        return false;
    for (uint64_t i = 0; i < c->messages; i++) {
        uint64_t began;

        (void)nanosleep(&pause, NULL);
        m.price_e9 = (int64_t)i + 1;
        began = tribus_clock_ticks();
        if (tribus_bus_publish(client.bus, h) != TRIBUS_OK)
            return tribus_bench_pair_fail("%s", tribus_error_text());
        ns[i] = tribus_clock_ns(tribus_clock_ticks() - began);
        if (!all_received(s, (i + 1) * c->subscribers))
            return false;
    }
    tribus_bench_pair_stats(ns, (size_t)c->messages, &s->stats);
    free(ns);
    tribus_bench_client_close(&client);
    return true;
}

static bool run(int side, void *shared, void *context)
{
    const crowd_context *c = context;
    const uint32_t ready = c->asleep ? c->subscribers : 1u;
    const struct timespec step = {.tv_nsec = 1000000};
    crowd_shared *s = shared;
    bool ok;

    if (side == 1)
        return c->asleep ? sleep_all(s, c) : poll_all(s, c);
    while (tribus_load_acq(&s->ready) < ready) { /* set before anything is measured */
        if (tribus_bench_pair_ended())
            return false;
        (void)nanosleep(&step, NULL);
    }
    ok = c->asleep ? publish_to_sleepers(s, c)
                   : tribus_bench_bus_publish_alone(c->socket_path, c->messages, &s->stats);
    tribus_store_rlx(&s->over, 1u); /* a hint: no more comes */
    return ok;
}

static bool crowd(const tribus_bench_bus_run *b, const char *path, crowd_context *c,
                  double *p99)
{
    void *shared = NULL;
    const crowd_shared *s;
    tribus_bench_bus_result r = {
        .kase = c->asleep ? "sleepers" : "subscribers", .path = path, .count = c->messages};

    c->socket_path = b->agent.socket_path;
    if (!tribus_bench_pair_fork(run, 2, sizeof(crowd_shared), &shared, c,
                                120.0 + b->seconds))
        return false;
    s = shared;
    r.stats = s->stats;
    r.stats.rate_per_s = 1e9 / r.stats.p50_ns;
    r.lost = s->lost; /* of all of them: one core reads for all */
    *p99 = r.stats.p99_ns;
    tribus_bench_bus_print(b, &r);
    tribus_bench_pair_drop();
    return true;
}

/* Interleaved, so that a machine that slows down slows both; the better of three. */
static bool compare(const tribus_bench_bus_run *b, bool asleep, uint64_t messages,
                    double *ratio)
{
    crowd_context few = {.messages = messages, .subscribers = 1, .asleep = asleep};
    crowd_context thousand = {.messages = messages, .subscribers = 1000, .asleep = asleep};
    double one = 0.0, many = 0.0;

    for (int i = 0; i < 3; i++) {
        double p99_one = 0.0, p99_many = 0.0;

        if (!crowd(b, "by-1", &few, &p99_one) || !crowd(b, "by-1000", &thousand, &p99_many))
            return false;
        one = i == 0 || p99_one < one ? p99_one : one;
        many = i == 0 || p99_many < many ? p99_many : many;
    }
    *ratio = many / one;
    return true;
}

bool tribus_bench_bus_crowds(const tribus_bench_bus_run *b)
{
    double polling = 0.0, sleeping = 0.0;

    if (!compare(b, false, (uint64_t)(b->seconds * 4e6), &polling) ||
        !compare(b, true, SLEEPER_MESSAGES, &sleeping))
        return false;
    if (!b->json)
        printf(
            "\n1,000 subscribers over one, publisher's p99   %6.3f polling, %6.3f asleep  "
            "(wanted: 1)\n\n",
            polling, sleeping);
    return true;
}
