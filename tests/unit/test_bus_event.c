/* test_bus_event.c -- a subscription in an event loop. labels: bus */
#include "base/atomic.h"
#include "base/clock.h"
#include "bus/bus.h"
#include "bus_end.h"
#include "fabric/layout.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define PATIENT_MS 120000

static const tribus_bus_cfg looks_on = {.observe = 1};

static tribus_subscription *subscribe(bus_end *e, int *fd)
{
    const tribus_bus_filter filter = {.types = 1ull << TRIBUS_MSG_ENGINE_HEALTH};
    tribus_subscription *sub = NULL;
    int again = -1;

    CHECK(tribus_bus_subscribe(e->bus, &filter, &sub) == TRIBUS_OK);
    CHECK(tribus_bus_event_fd(sub, fd) == TRIBUS_OK);
    CHECK(tribus_bus_event_fd(sub, &again) == TRIBUS_OK && again == *fd);
    return sub;
}

static void publish(bus_end *e, uint64_t n)
{
    tribus_msg_engine_health m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ENGINE_HEALTH) == TRIBUS_OK);
    m.header.correlation = n;
    CHECK(tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    const int n = poll(&p, 1, timeout_ms);

    CHECK(n >= 0 && (n == 0 || p.revents == POLLIN));
    return n == 1;
}

/* One turn of a loop for each message: its number. */
static uint64_t next_in_loop(tribus_subscription *sub, int fd)
{
    const int64_t deadline = tribus_deadline_ns(PATIENT_MS * 1000000LL);
    const tribus_msg_header *m = NULL;
    uint64_t lost = 0;

    do {
        CHECK(tribus_deadline_left_ns(deadline) > 0);
        CHECK(is_readable(fd, PATIENT_MS));
    } while (tribus_bus_next(sub, &m, &lost) != TRIBUS_OK);
    CHECK(lost == 0);
    return m->correlation;
}

static void drain(tribus_subscription *sub)
{
    const tribus_msg_header *m = NULL;

    CHECK(tribus_bus_next(sub, &m, NULL) == TRIBUS_EMPTY);
}

static void descriptor_is_readable_until_next_says_empty(int observe)
{
    bus_end a = open_end("a", NULL), b = open_end("b", observe ? &looks_on : NULL);
    int fd = -1;
    tribus_subscription *sub = subscribe(&b, &fd);

    CHECK(is_readable(fd, 0)); /* look first */
    drain(sub);
    for (uint64_t n = 1; n <= 3; n++)
        publish(&a, n);
    for (uint64_t n = 1; n <= 3; n++) {
        CHECK(next_in_loop(sub, fd) == n);
        CHECK(is_readable(fd, 0)); /* EMPTY was not said yet */
    }
    drain(sub);
    publish(&a, 4);
    CHECK(next_in_loop(sub, fd) == 4);
    close_end(&a);
    a = open_end("c", NULL); /* another bell, and the old one goes */
    publish(&a, 5);
    CHECK(next_in_loop(sub, fd) == 5);
    close_end(&a);
    close_end(&b);
}

static void publish_enters_the_kernel_only_for_a_sleeper(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    int fd = -1;
    tribus_subscription *sub = subscribe(&b, &fd);
    tribus_doorbell_shm *bell;

    publish(&a, 0);
    bell = tribus_topic_bell(a.bus->lanes[TRIBUS_BUS_ENGINE_LOGIC][0].topic);
    CHECK(next_in_loop(sub, fd) == 0);
    for (uint64_t n = 1; n <= 1000; n++) {
        publish(&a, n);
        CHECK((tribus_load_rlx(&bell->word) & 1u) == 0); /* nobody to be woken */
    }
    for (uint64_t n = 1; n <= 1000; n++)
        CHECK(next_in_loop(sub, fd) == n);
    CHECK((tribus_load_rlx(&bell->word) & 1u) == 0);
    drain(sub);
    CHECK((tribus_load_rlx(&bell->word) & 1u) == 1); /* now there is */
    publish(&a, 0);
    CHECK((tribus_load_rlx(&bell->word) & 1u) == 0);
    CHECK(is_readable(fd, PATIENT_MS));
    close_end(&a);
    close_end(&b);
}

#define TOTAL 20000u

static void *produce(void *context)
{
    bus_end a = open_end("producer", NULL);

    (void)context;
    for (uint64_t n = 1; n <= TOTAL; n++) {
        publish(&a, n);
        if (n % 1000 == 0)
            (void)usleep(2000); /* so that the loop goes to sleep now and then */
    }
    close_end(&a);
    return NULL;
}

static void loop_gets_everything_while_a_publisher_comes_and_goes(void)
{
    bus_end b = open_end("b", NULL);
    int fd = -1;
    tribus_subscription *sub = subscribe(&b, &fd);
    const tribus_msg_header *m = NULL;
    uint64_t n = 0;
    pthread_t producer;

    CHECK(pthread_create(&producer, NULL, produce, NULL) == 0);
    while (n < TOTAL) {
        uint64_t some = 0;

        CHECK(is_readable(fd, PATIENT_MS));
        while (tribus_bus_next(sub, &m, &some) == TRIBUS_OK) {
            CHECK(m->correlation == n + some + 1); /* in order, and counted where lapped */
            n = m->correlation;
        }
    }
    CHECK(pthread_join(producer, NULL) == 0);
    close_end(&b);
}

int main(void)
{
    start_agent(512u << 20);
    descriptor_is_readable_until_next_says_empty(0);
    descriptor_is_readable_until_next_says_empty(1);
    publish_enters_the_kernel_only_for_a_sleeper();
    loop_gets_everything_while_a_publisher_comes_and_goes();
    stop_agent();
    return 0;
}
