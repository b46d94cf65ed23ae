/* test_bus_flood.c -- floods and slow subscribers are contained, said once and counted, and
 * nobody who looks on can slow a publisher. labels: bus */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus_end.h"
#include "fabric/layout.h"

#include <pthread.h>

#define PATIENT 120000000000LL
#define CELLS   2048u /* of the Engine Logic bus */

static const tribus_bus_cfg looks_on = {.observe = 1};

static _Atomic(int) warnings;

static void take_log(void *context, tribus_log_level level, const char *text)
{
    (void)context;
    (void)text;
    if (level >= TRIBUS_LOG_WARN)
        (void)tribus_add_rlx(&warnings, 1); /* counter */
}

static tribus_subscription *subscribe(bus_end *e)
{
    tribus_subscription *sub = NULL;

    CHECK(tribus_bus_subscribe(e->bus, NULL, &sub) == TRIBUS_OK);
    return sub;
}

static void publish(bus_end *e, uint64_t n, tribus_priority priority)
{
    tribus_msg_engine_health m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ENGINE_HEALTH) == TRIBUS_OK);
    m.header.correlation = n;
    m.header.priority = (uint8_t)priority;
    CHECK(tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK); /* never FULL, never waits */
}

static tribus_bus_stats stats_of(const bus_end *e)
{
    tribus_bus_stats s;

    CHECK(tribus_bus_get_stats(e->bus, TRIBUS_BUS_ENGINE_LOGIC, &s) == TRIBUS_OK);
    return s;
}

static void publish_when_a_subscriber_sleeps_on_loses_nothing_for_the_others(void)
{
    bus_end a = open_end("a", NULL), slow = open_end("slow", NULL),
            quick = open_end("quick", NULL);
    tribus_subscription *slow_sub = subscribe(&slow), *quick_sub = subscribe(&quick);
    const tribus_msg_header *m = NULL;
    const uint64_t laps = 10, most = laps * CELLS;
    const int before = tribus_load_rlx(&warnings);
    uint64_t lost = 0, sum = 0, got = 0;

    publish(&a, 0, TRIBUS_PRIORITY_NORMAL);
    CHECK(tribus_bus_next(slow_sub, &m, NULL) == TRIBUS_OK); /* it is there, and stops */
    for (uint64_t i = 1; i <= most; i++) {
        publish(&a, i, TRIBUS_PRIORITY_NORMAL);
        if (i == 1)
            CHECK(tribus_bus_next(quick_sub, &m, NULL) == TRIBUS_OK);
        CHECK(tribus_bus_next(quick_sub, &m, &lost) == TRIBUS_OK);
        CHECK(m->correlation == i && lost == 0);
    }
    CHECK(stats_of(&quick).lost == 0 && stats_of(&quick).received == most + 1);
    while (tribus_bus_next(slow_sub, &m, &lost) == TRIBUS_OK) {
        sum += lost;
        got++;
        CHECK(m->correlation == sum + got); /* what it lost is known to the message */
    }
    CHECK(got > 0 && got <= CELLS && sum + got == most);
    CHECK(stats_of(&slow).lost == sum);
    for (uint64_t i = 1; i <= most; i++) /* once more, and it is not said again */
        publish(&a, most + i, TRIBUS_PRIORITY_NORMAL);
    while (tribus_bus_next(slow_sub, &m, &lost) == TRIBUS_OK)
        sum += lost;
    CHECK(stats_of(&slow).lost == sum && sum > most);
    CHECK(tribus_load_rlx(&warnings) == before + 1);
    close_end(&a);
    close_end(&slow);
    close_end(&quick);
}

static _Atomic(int) flooding; /* 1: go on, 0: stop */
static _Atomic(uint64_t) flooded;

static void *flood(void *context)
{
    bus_end a = open_end("flooder", NULL);
    uint64_t n = 0;

    (void)context;
    while (tribus_load_rlx(&flooding) != 0) /* looked at again at once */
        publish(&a, 1000000 + n++, TRIBUS_PRIORITY_NORMAL);
    tribus_store_rel(&flooded, n); /* R1 pairs with A1 in the test */
    close_end(&a);
    return NULL;
}

static void next_when_one_publisher_floods_gives_the_others_their_turn(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b);
    const int64_t deadline = tribus_deadline_ns(PATIENT);
    const int before = tribus_load_rlx(&warnings);
    uint64_t quiet = 0, urgent = 0, of_flood = 0, lost = 0;
    pthread_t thread;

    tribus_store_rlx(&flooding, 1);
    CHECK(pthread_create(&thread, NULL, flood, NULL) == 0);
    while (quiet < 50 || urgent < 50 || of_flood < 20000) {
        const tribus_msg_header *m = NULL;
        uint64_t some = 0;

        if (quiet < 50 && stats_of(&a).published == quiet + urgent) {
            publish(&a, quiet, TRIBUS_PRIORITY_NORMAL);
            publish(&a, 1000 + urgent, TRIBUS_PRIORITY_CRITICAL);
        }
        CHECK(tribus_deadline_left_ns(deadline) > 0);
        if (tribus_bus_next(sub, &m, &some) != TRIBUS_OK)
            continue;
        lost += some;
        if (m->correlation >= 1000000)
            of_flood++;
        else if (m->correlation >= 1000)
            CHECK(m->correlation == 1000 + urgent++);
        else
            CHECK(m->correlation == quiet++);
    }
    tribus_store_rlx(&flooding, 0);
    CHECK(pthread_join(thread, NULL) == 0);
    for (;;) {
        const tribus_msg_header *m = NULL;
        uint64_t some = 0;
        const tribus_status st = tribus_bus_next(sub, &m, &some);

        lost += some;
        if (st != TRIBUS_OK)
            break;
        of_flood++;
    }
    CHECK(quiet == 50 && urgent == 50);
    CHECK(of_flood + lost == tribus_load_acq(&flooded)); /* A1 pairs with R1 */
    CHECK(stats_of(&b).lost == lost);
    CHECK(tribus_load_rlx(&warnings) <= before + 1);
    close_end(&a);
    close_end(&b);
}

/* What a publisher could be slowed by is a bit in its doorbell, which costs it a system call,
 * and memory of its that others write. */
static void observers_leave_no_trace_at_a_publisher(void)
{
    enum { OBSERVERS = 20 };
    bus_end a = open_end("a", NULL), taps[OBSERVERS], sleeper;
    tribus_subscription *subs[OBSERVERS], *sleeps;
    const tribus_wait_cfg soon = {.spin_ns = 1, .timeout_ns = 3000000};
    const tribus_msg_header *m = NULL;
    tribus_doorbell_shm *bell;
    int fd = -1;

    publish(&a, 0, TRIBUS_PRIORITY_NORMAL);
    bell = tribus_topic_bell(a.bus->lanes[TRIBUS_BUS_ENGINE_LOGIC][0].topic);
    for (int i = 0; i < OBSERVERS; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "tap-%d", i);
        taps[i] = open_end(name, &looks_on);
        subs[i] = subscribe(&taps[i]);
    }
    for (uint64_t n = 1; n <= 3 * CELLS; n++) {
        publish(&a, n, TRIBUS_PRIORITY_NORMAL);
        if (n % 512 == 0) { /* some read, the others are lapped */
            for (int i = 0; i < OBSERVERS; i += 3)
                while (tribus_bus_next(subs[i], &m, NULL) == TRIBUS_OK)
                    ;
            CHECK(tribus_bus_next_wait(subs[0], &m, NULL, &soon) == TRIBUS_TIMEOUT);
        }
        /* As many presses as messages, and nobody to be woken. */
        CHECK(tribus_load_rlx(&bell->word) == 2 * (uint32_t)(n + 1));
    }
    CHECK(stats_of(&taps[1]).lost == 0 && tribus_bus_next(subs[1], &m, NULL) == TRIBUS_OK);
    CHECK(stats_of(&taps[1]).lost >= 2 * CELLS); /* it is the tap that loses, and counts */
    sleeper = open_end("sleeper", NULL);
    sleeps = subscribe(&sleeper);
    CHECK(tribus_bus_event_fd(sleeps, &fd) == TRIBUS_OK); /* as if it slept */
    CHECK(tribus_bus_next(sleeps, &m, NULL) == TRIBUS_EMPTY);
    CHECK((tribus_load_rlx(&bell->word) & 1u) ==
          1); /* a subscriber is heard, so this works */
    for (int i = 0; i < OBSERVERS; i++)
        close_end(&taps[i]);
    close_end(&sleeper);
    close_end(&a);
}

static void subscribe_a_thousand_times_is_told_to_the_agent_once(void)
{
    enum { MANY = 1000 };
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    static tribus_subscription *subs[MANY];
    tribus_agent_status before, after;
    const tribus_msg_header *m = NULL;

    publish(&a, 1, TRIBUS_PRIORITY_NORMAL);
    subs[0] = subscribe(&b);
    CHECK(tribus_agent_get_status(socket_path, 0, &before) == TRIBUS_OK);
    for (int i = 1; i < MANY; i++)
        subs[i] = subscribe(&b);
    publish(&a, 2, TRIBUS_PRIORITY_NORMAL);
    for (int i = 0; i < MANY; i++) {
        CHECK(tribus_bus_next(subs[i], &m, NULL) == TRIBUS_OK && m->correlation == 2);
        CHECK(tribus_bus_next(subs[i], &m, NULL) == TRIBUS_EMPTY);
    }
    for (int i = 0; i < MANY; i++)
        tribus_bus_unsubscribe(subs[i]);
    CHECK(tribus_agent_get_status(socket_path, 0, &after) == TRIBUS_OK);
    CHECK(after.requests <= before.requests + 2); /* this question, and at most one more */
    CHECK(after.objects == before.objects && after.memory_bytes == before.memory_bytes);
    close_end(&a);
    close_end(&b);
}

int main(void)
{
    tribus_log_set(take_log, NULL, TRIBUS_LOG_WARN);
    start_agent(512u << 20);
    publish_when_a_subscriber_sleeps_on_loses_nothing_for_the_others();
    next_when_one_publisher_floods_gives_the_others_their_turn();
    observers_leave_no_trace_at_a_publisher();
    subscribe_a_thousand_times_is_told_to_the_agent_once();
    stop_agent();
    return 0;
}
