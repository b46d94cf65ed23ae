/* test_consumer.c -- durable messages through a real redis-server. labels: bus
 * timeout: 240 */
#include "bus_fixture.h"

/* A bridge with its server, who publishes orders and who consumes them. */
typedef struct trade {
    tribus_bridge *bridge;
    bus_end a, b;
} trade;

static trade open_trade(void)
{
    trade t = {.bridge = start_bridge()};

    t.a = open_end("a", NULL);
    t.b = open_end("b", NULL);
    WAIT_FOR(t.bridge, s.connected);
    return t;
}

static void close_trade(trade *t)
{
    close_end(&t->a);
    close_end(&t->b);
    tribus_bridge_stop(t->bridge);
}

static tribus_consumer *consume(bus_end *e, const char *group, const char *name)
{
    const tribus_consumer_cfg cfg = {.group = group, .name = name};
    tribus_consumer *c = NULL;
    const tribus_msg_header *m = NULL;

    CHECK(tribus_consumer_open(e->bus, &cfg, &c) == TRIBUS_OK);
    /* The group is made by the first call. */
    CHECK(tribus_consumer_next_wait(c, &m, 0) == TRIBUS_TIMEOUT);
    return c;
}

static uint64_t next_order(tribus_consumer *c, bool *redelivered)
{
    const tribus_msg_header *m = NULL;

    CHECK(tribus_consumer_next_wait(c, &m, PATIENT) == TRIBUS_OK);
    CHECK(m->type == TRIBUS_MSG_ORDER_REQUEST && (m->flags & TRIBUS_MSG_DURABLE) != 0);
    if (redelivered != NULL)
        *redelivered = (m->flags & TRIBUS_MSG_REDELIVERED) != 0;
    return (uint64_t)((const tribus_msg_order_request *)m)->qty_e9;
}

static void consumers_get_each_message_once_when_nothing_breaks(void)
{
    trade t = open_trade();
    tribus_consumer *c;
    tribus_subscription *sub = NULL;
    const tribus_msg_header *m = NULL;
    bool again = true;

    CHECK(tribus_bus_subscribe(t.b.bus, NULL, &sub) == TRIBUS_OK);
    c = consume(&t.b, "oms", "oms-1");
    publish_orders(&t.a, 1, 3000);
    CHECK(tribus_bus_stored_wait(t.a.bus, PATIENT) == TRIBUS_OK);
    for (uint64_t i = 1; i <= 3000; i++) {
        CHECK(next_order(c, &again) == i && !again);
        CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
    }
    CHECK(tribus_consumer_ack(c) == TRIBUS_EMPTY);
    CHECK(tribus_consumer_next_wait(c, &m, 200000000) == TRIBUS_TIMEOUT);
    tribus_consumer_close(c);
    c = consume(&t.b, "oms", "oms-1");
    CHECK(tribus_consumer_next_wait(c, &m, 200000000) == TRIBUS_TIMEOUT);
    CHECK(tribus_bus_next(sub, &m, NULL) == TRIBUS_OK); /* subscribers heard them too */
    CHECK(m->type == TRIBUS_MSG_ORDER_REQUEST);
    tribus_consumer_close(c);
    close_trade(&t);
}

static void next_when_a_consumer_died_gives_what_it_did_not_acknowledge_again(void)
{
    trade t = open_trade();
    tribus_consumer *c;
    bool again = true;

    c = consume(&t.b, "oms", "oms-1");
    publish_orders(&t.a, 1, 5);
    CHECK(next_order(c, &again) == 1 && !again);
    CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
    CHECK(next_order(c, &again) == 2 && !again);
    tribus_consumer_close(c); /* as if it had been killed: 2 to 5 are not acknowledged */
    CHECK(tribus_bus_stored_wait(t.a.bus, PATIENT) == TRIBUS_OK);
    {
        const tribus_consumer_cfg same = {.group = "oms", .name = "oms-1"};
        const tribus_consumer_cfg other = {
            .group = "oms", .name = "oms-2", .take_over_ns = 1000000};

        CHECK(tribus_consumer_open(t.b.bus, &same, &c) == TRIBUS_OK);
        CHECK(next_order(c, &again) == 2 && again);
        CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
        CHECK(next_order(c, NULL) == 3);
        tribus_consumer_close(c);
        (void)usleep(5000); /* so that what the first one has is idle for long enough */
        CHECK(tribus_consumer_open(t.b.bus, &other, &c) == TRIBUS_OK);
        for (uint64_t i = 3; i <= 5; i++) {
            CHECK(next_order(c, NULL) == i);
            CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
        }
        tribus_consumer_close(c);
    }
    close_trade(&t);
}

static void publish_when_the_server_is_away_for_long_says_full(void)
{
    trade t = open_trade();
    tribus_consumer *c;
    uint64_t published = 0;

    c = consume(&t.b, "oms", "oms-1");
    publish_orders(&t.a, 1, 1);
    CHECK(next_order(c, NULL) == 1 && tribus_consumer_ack(c) == TRIBUS_OK);
    CHECK(tribus_bus_stored_wait(t.a.bus, PATIENT) == TRIBUS_OK);
    stop_server();
    WAIT_FOR(t.bridge, !s.connected);
    while (publish_order(&t.a, published + 2) == TRIBUS_OK)
        CHECK(++published <= 1024);
    CHECK(publish_order(&t.a, published + 2) == TRIBUS_FULL && published == 1024);
    CHECK(tribus_bus_stored_wait(t.a.bus, 0) == TRIBUS_TIMEOUT);
    start_server();
    for (uint64_t i = 2; i <= 1025; i++) {
        bool again = false;
        const uint64_t got = next_order(c, &again);

        CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
        CHECK(got == i || (again && got < i)); /* the server missed an acknowledgement */
        i -= got != i;
    }
    CHECK(publish_order(&t.a, 1026) == TRIBUS_OK);
    CHECK(next_order(c, NULL) == 1026 && tribus_consumer_ack(c) == TRIBUS_OK);
    tribus_consumer_close(c);
    close_trade(&t);
}

static void messages_of_a_publisher_that_ends_while_the_server_is_away_are_stored(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end a, b = open_end("b", NULL);
    tribus_consumer *c;

    WAIT_FOR(bridge, s.connected);
    c = consume(&b, "oms", "oms-1");
    stop_server();
    WAIT_FOR(bridge, !s.connected);
    a = open_end("short-lived", NULL);
    publish_orders(&a, 1, 3);
    close_end(&a);
    start_server();
    for (uint64_t i = 1; i <= 3; i++) {
        bool again = true;

        CHECK(next_order(c, &again) == i && !again);
        CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
    }
    CHECK(stats_of(bridge).store_lost == 0);
    tribus_consumer_close(c);
    close_end(&b);
    tribus_bridge_stop(bridge);
}

static void order_server(const char *a, const char *b, const char *c, const char *d)
{
    const char *words[] = {a, b, c, d};
    const int n = b == NULL ? 1 : c == NULL ? 2 : d == NULL ? 3 : 4;
    tribus_redis *r = connect_redis();
    redisReply *reply = NULL;

    CHECK(tribus_redis_call_wait(r, n, words, PATIENT, &reply) == TRIBUS_OK);
    freeReplyObject(reply);
    tribus_redis_close(r);
}

static void a_group_begins_when_it_was_opened(void)
{
    trade t = open_trade();
    const tribus_consumer_cfg cfg = {.group = "new"};
    tribus_consumer *c = NULL;

    publish_orders(&t.a, 1, 5);
    CHECK(tribus_bus_stored_wait(t.a.bus, PATIENT) == TRIBUS_OK);
    (void)usleep(20000); /* entries are numbered by the millisecond */
    CHECK(tribus_consumer_open(t.b.bus, &cfg, &c) == TRIBUS_OK);
    publish_orders(&t.a, 6, 8);
    CHECK(tribus_bus_stored_wait(t.a.bus, PATIENT) == TRIBUS_OK);
    for (uint64_t i = 6; i <= 8; i++) {
        CHECK(next_order(c, NULL) == i);
        CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
    }
    tribus_consumer_close(c);
    close_trade(&t);
}

static void what_an_emptied_server_was_given_first_is_not_skipped(void)
{
    trade t = open_trade();
    tribus_consumer *c;

    order_server("FLUSHALL", NULL, NULL, NULL); /* the groups of other tests */
    c = consume(&t.b, "oms", "oms-1");
    publish_orders(&t.a, 1, 1);
    CHECK(next_order(c, NULL) == 1 && tribus_consumer_ack(c) == TRIBUS_OK);
    order_server("FLUSHALL", NULL, NULL, NULL);
    publish_orders(&t.a, 2, 4);
    CHECK(tribus_bus_stored_wait(t.a.bus, PATIENT) == TRIBUS_OK);
    for (uint64_t i = 2; i <= 4; i++) {
        CHECK(next_order(c, NULL) == i);
        CHECK(tribus_consumer_ack(c) == TRIBUS_OK);
    }
    tribus_consumer_close(c);
    close_trade(&t);
}

static void what_a_consumer_left_is_taken_over_while_another_one_runs(void)
{
    trade t = open_trade();
    const tribus_consumer_cfg cfg = {
        .group = "oms", .name = "oms-2", .take_over_ns = 300000000};
    tribus_consumer *dies, *lives = NULL;
    bool again = false;

    order_server("FLUSHALL", NULL, NULL, NULL); /* the groups of other tests */
    dies = consume(&t.b, "oms", "oms-1");
    publish_orders(&t.a, 1, 300);
    CHECK(tribus_bus_stored_wait(t.a.bus, PATIENT) == TRIBUS_OK);
    for (uint64_t i = 1; i <= 300; i++)
        CHECK(next_order(dies, NULL) == i); /* and acknowledges nothing */
    /* Too early at first, except on a very slow machine. */
    CHECK(tribus_consumer_open(t.b.bus, &cfg, &lives) == TRIBUS_OK);
    for (uint64_t i = 1; i <= 300; i++) {
        CHECK(next_order(lives, &again) == i && again);
        CHECK(tribus_consumer_ack(lives) == TRIBUS_OK);
    }
    tribus_consumer_close(dies);
    tribus_consumer_close(lives);
    close_trade(&t);
}

static void a_server_out_of_memory_or_with_an_odd_key_is_waited_for(void)
{
    trade t = open_trade();
    const tribus_consumer_cfg cfg = {.group = "short"};
    tribus_consumer *c = NULL;
    const tribus_msg_header *m = NULL;

    order_server("FLUSHALL", NULL, NULL, NULL); /* the groups of other tests */
    order_server("SET", "nautilus-engine_logic_bus-margin_call", "no stream", NULL);
    order_server("CONFIG", "SET", "maxmemory", "1");
    CHECK(tribus_consumer_open(t.b.bus, &cfg, &c) == TRIBUS_OK);
    CHECK(tribus_consumer_next_wait(c, &m, 200000000) == TRIBUS_TIMEOUT);
    order_server("CONFIG", "SET", "maxmemory", "0");
    publish_orders(&t.a, 1, 3);
    for (uint64_t i = 1; i <= 3; i++)
        CHECK(next_order(c, NULL) == i);
    tribus_consumer_close(c);
    close_trade(&t);
}

#define TOTAL 20000u

static void *produce(void *context)
{
    bus_end a = open_end("producer", NULL);

    (void)context;
    publish_orders(&a, 1, TOTAL);
    CHECK(tribus_bus_stored_wait(a.bus, PATIENT) == TRIBUS_OK);
    close_end(&a);
    return NULL;
}

static void messages_survive_a_server_killed_again_and_again_under_load(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end b = open_end("b", NULL);
    tribus_consumer *c;
    static unsigned char seen[TOTAL + 1];
    uint64_t distinct = 0, silent_repeats = 0;
    pthread_t producer;
    int kills = 0;

    WAIT_FOR(bridge, s.connected);
    c = consume(&b, "oms", "oms-1");
    CHECK(pthread_create(&producer, NULL, produce, NULL) == 0);
    while (distinct < TOTAL) {
        bool again = false;
        const uint64_t i = next_order(c, &again);

        CHECK(i >= 1 && i <= TOTAL);
        if (!seen[i])
            distinct++;
        else if (!again)
            silent_repeats++;
        seen[i] = 1;
        if (tribus_consumer_ack(c) != TRIBUS_OK)
            continue; /* the server is away: it comes again, and says so */
        if (distinct > (uint64_t)(kills + 1) * TOTAL / 5 && kills < 3) {
            stop_server();
            start_server();
            kills++;
        }
    }
    CHECK(pthread_join(producer, NULL) == 0);
    CHECK(kills == 3 && silent_repeats == 0);
    CHECK(stats_of(bridge).store_lost == 0);
    tribus_consumer_close(c);
    close_end(&b);
    tribus_bridge_stop(bridge);
}

int main(void)
{
    start_platform(true);
    consumers_get_each_message_once_when_nothing_breaks();
    next_when_a_consumer_died_gives_what_it_did_not_acknowledge_again();
    publish_when_the_server_is_away_for_long_says_full();
    messages_of_a_publisher_that_ends_while_the_server_is_away_are_stored();
    a_group_begins_when_it_was_opened();
    what_an_emptied_server_was_given_first_is_not_skipped();
    what_a_consumer_left_is_taken_over_while_another_one_runs();
    messages_survive_a_server_killed_again_and_again_under_load();
    a_server_out_of_memory_or_with_an_odd_key_is_waited_for();
    stop_platform();
    return 0;
}
