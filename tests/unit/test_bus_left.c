/* test_bus_left.c -- what a publisher that ends leaves behind is received. labels: bus */
#include "base/clock.h"
#include "bus/bus.h"
#include "bus_end.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENT 120000000000LL

static const tribus_bus_cfg looks_on = {.observe = 1};

static tribus_subscription *subscribe(bus_end *e)
{
    tribus_subscription *sub = NULL;

    CHECK(tribus_bus_subscribe(e->bus, NULL, &sub) == TRIBUS_OK);
    return sub;
}

/* One message of each lane, numbered from n on. */
static void publish_three(bus_end *e, uint64_t n)
{
    tribus_msg_any m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ENGINE_HEALTH) == TRIBUS_OK);
    m.header.correlation = n;
    CHECK(tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK);
    m.header.correlation = n + 1;
    m.header.priority = TRIBUS_PRIORITY_CRITICAL;
    CHECK(tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK);
    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ORDER_REQUEST) == TRIBUS_OK);
    CHECK(tribus_wire_text_set(m.order_request.order, sizeof(m.order_request.order), "o"));
    CHECK(
        tribus_wire_text_set(m.order_request.symbol, sizeof(m.order_request.symbol), "A"));
    m.order_request.qty_e9 = 1;
    m.order_request.side = TRIBUS_SIDE_BUY;
    m.header.correlation = n + 2;
    CHECK(tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK);
}

/* The set of correlations of the next messages, bit 1 << n. Waited for: who died has to be
 * seen dead first. */
static uint64_t receive(tribus_subscription *sub, uint32_t count)
{
    const tribus_wait_cfg patient = {.timeout_ns = PATIENT};
    const tribus_msg_header *m = NULL;
    uint64_t got = 0, lost = 0;

    for (uint32_t i = 0; i < count; i++) {
        CHECK(tribus_bus_next_wait(sub, &m, &lost, &patient) == TRIBUS_OK);
        CHECK(lost == 0 && m->correlation < 64);
        CHECK((got & (1ull << m->correlation)) == 0);
        got |= 1ull << m->correlation;
    }
    return got;
}

static void expect_nothing(tribus_subscription *sub)
{
    const tribus_wait_cfg soon = {.timeout_ns = 30000000};
    const tribus_msg_header *m = NULL;

    CHECK(tribus_bus_next_wait(sub, &m, NULL, &soon) == TRIBUS_TIMEOUT);
}

static void next_when_publishers_ended_before_it_looked_gets_all_they_published(void)
{
    bus_end reader = open_end("reader", NULL), observer = open_end("observer", &looks_on);
    tribus_subscription *subs[2] = {subscribe(&reader), subscribe(&observer)};
    tribus_subscription *late;
    tribus_bus_stats stats;
    bus_end late_end;

    for (uint64_t i = 0; i < 3; i++) {
        bus_end a = open_end("publisher", NULL); /* the same name each time */

        publish_three(&a, 3 * i);
        close_end(&a);
    }
    for (int i = 0; i < 2; i++) {
        CHECK(receive(subs[i], 9) == 0x1ff);
        expect_nothing(subs[i]);
    }
    CHECK(tribus_bus_get_stats(reader.bus, TRIBUS_BUS_ENGINE_LOGIC, &stats) == TRIBUS_OK);
    CHECK(stats.topics == 0 && stats.refused == 0 && stats.lost == 0);
    late_end = open_end("late", NULL);
    late = subscribe(&late_end);
    expect_nothing(late); /* it subscribed afterwards */
    close_end(&late_end);
    close_end(&reader);
    close_end(&observer);
}

static void next_when_a_publisher_exits_without_closing_gets_all_it_published(void)
{
    bus_end reader = open_end("reader", NULL);
    tribus_subscription *sub = subscribe(&reader);
    int status;
    const pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        bus_end a = open_end("publisher", NULL);

        publish_three(&a, 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
          WEXITSTATUS(status) == 0);
    CHECK(receive(sub, 3) == 7);
    expect_nothing(sub);
    close_end(&reader);
}

static void create_when_memory_is_short_takes_that_of_those_who_left(void)
{
    bus_end reader = open_end("reader", NULL);
    tribus_subscription *sub = subscribe(&reader);
    const tribus_wait_cfg soon = {.timeout_ns = 30000000};
    const tribus_msg_header *m = NULL;
    uint32_t got = 0;

    for (int i = 0; i < 16; i++) { /* 16 * 3 MiB, and there are 32 */
        bus_end a = open_end("publisher", NULL);

        publish_three(&a, 0);
        close_end(&a);
    }
    while (tribus_bus_next_wait(sub, &m, NULL, &soon) == TRIBUS_OK)
        got++;
    CHECK(got > 9 && got < 48);
    close_end(&reader);
}

int main(void)
{
    start_agent(512u << 20);
    next_when_publishers_ended_before_it_looked_gets_all_they_published();
    next_when_a_publisher_exits_without_closing_gets_all_it_published();
    stop_agent();
    start_agent(32u << 20);
    create_when_memory_is_short_takes_that_of_those_who_left();
    stop_agent();
    return 0;
}
