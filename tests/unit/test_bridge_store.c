/* test_bridge_store.c -- what the bridge stores when a server, a key or a lane is not as it
 * should be, with a real redis-server. labels: bus
 * timeout: 240 */
#include "bus_fixture.h"

#include "agent/bridge_known.h"
#include "bus/bus.h"

static const char orders[] = "nautilus-engine_logic_bus-order_request";
static const char alerts[] = "nautilus-engine_logic_bus-system_alert";

/* A command of up to four words; the integer of its reply, 0 for another. */
static long long command(const char *a, const char *b, const char *c, const char *d)
{
    const char *words[] = {a, b, c, d};
    const int n = d != NULL ? 4 : c != NULL ? 3 : 2;
    tribus_redis *r = connect_redis();
    redisReply *reply = NULL;
    long long value;

    CHECK(tribus_redis_call_wait(r, n, words, PATIENT, &reply) == TRIBUS_OK);
    value = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    tribus_redis_close(r);
    return value;
}

static void publish_durable_alert(bus_end *e)
{
    tribus_msg_system_alert m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_SYSTEM_ALERT) == TRIBUS_OK);
    CHECK(tribus_wire_text_set(m.text, sizeof(m.text), "to be kept"));
    CHECK(tribus_wire_text_set(m.component, sizeof(m.component), "test"));
    m.header.flags |= TRIBUS_MSG_DURABLE;
    CHECK(tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK);
}

static void a_key_of_another_type_stops_its_own_messages_only(void)
{
    tribus_bridge *bridge;
    bus_end a = open_end("a", NULL);
    char text[1024];
    int lines;

    (void)command("DEL", orders, NULL, NULL);
    (void)command("SET", alerts, "somebody else's", NULL);
    bridge = start_bridge();
    WAIT_FOR(bridge, s.connected);
    lines = logged(NULL);
    publish_orders(&a, 1, 10);
    for (int i = 0; i < 3; i++)
        publish_durable_alert(&a);
    publish_orders(&a, 11, 20);
    CHECK(tribus_bus_stored_wait(a.bus, PATIENT) == TRIBUS_OK);
    CHECK(command("XLEN", orders, NULL, NULL) == 20);
    CHECK(stats_of(bridge).store_lost == 3 && stats_of(bridge).outages == 0);
    CHECK(logged(text) <= lines + 1 && strstr(text, "system_alert") != NULL);
    (void)command("DEL", alerts, NULL, NULL);
    publish_durable_alert(&a); /* of a type that is not durable by itself */
    CHECK(tribus_bus_stored_wait(a.bus, PATIENT) == TRIBUS_OK);
    CHECK(command("XLEN", alerts, NULL, NULL) == 1);
    close_end(&a);
    tribus_bridge_stop(bridge);
}

static void a_server_that_refuses_is_tried_less_and_less_often_and_said_once(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end a = open_end("a", NULL);
    int64_t before_ns;
    uint64_t before;
    int lines;

    (void)command("DEL", orders, NULL, NULL);
    WAIT_FOR(bridge, s.connected);
    publish_orders(&a, 1, 1);
    CHECK(tribus_bus_stored_wait(a.bus, PATIENT) == TRIBUS_OK);
    lines = logged(NULL);
    before = stats_of(bridge).outages;
    before_ns = tribus_now_ns();
    (void)command("CONFIG", "SET", "maxmemory", "1");
    publish_orders(&a, 2, 9);
    WAIT_FOR(bridge, s.outages >= before + 4);
    CHECK(tribus_now_ns() - before_ns > 350000000); /* 50 + 100 + 200 ms */
    CHECK(logged(NULL) == lines + 1);
    (void)command("CONFIG", "SET", "maxmemory", "0");
    CHECK(tribus_bus_stored_wait(a.bus, PATIENT) == TRIBUS_OK);
    CHECK(command("XLEN", orders, NULL, NULL) == 9);
    CHECK(stats_of(bridge).store_lost == 0);
    close_end(&a);
    tribus_bridge_stop(bridge);
}

/* The agent stops while a server is slow: more waits than can be on its way at once. */
static void stop_stores_what_is_there_first(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    long long published = 2;

    (void)command("DEL", orders, NULL, NULL);
    WAIT_FOR(bridge, s.connected);
    publish_orders(&a, 1, 1);
    publish_orders(&b, 1, 1);
    CHECK(tribus_bus_stored_wait(a.bus, PATIENT) == TRIBUS_OK);
    CHECK(tribus_bus_stored_wait(b.bus, PATIENT) == TRIBUS_OK);
    CHECK(kill(server, SIGSTOP) == 0);
    while (publish_order(&a, 2) == TRIBUS_OK)
        published++;
    while (publish_order(&b, 2) == TRIBUS_OK)
        published++;
    CHECK(published == 2 + 2 * 1024);
    CHECK(kill(server, SIGCONT) == 0);
    tribus_bridge_stop(bridge);
    CHECK(command("XLEN", orders, NULL, NULL) == published);
    CHECK(tribus_bus_stored_wait(a.bus, 0) == TRIBUS_OK);
    close_end(&a);
    close_end(&b);
}

static void a_corrupt_lane_is_given_up_and_the_others_go_on(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end a = open_end("a", NULL), b = open_end("b", NULL), c = open_end("c", NULL);
    tribus_object object;
    unsigned char *mem = NULL;

    (void)command("DEL", orders, NULL, NULL);
    WAIT_FOR(bridge, s.connected);
    publish_orders(&a, 1, 1);
    CHECK(tribus_bus_stored_wait(a.bus, PATIENT) == TRIBUS_OK);
    CHECK(tribus_session_create_object(c.session, "durable/engine_logic/c",
                                       TRIBUS_OBJECT_TOPIC, 65536, 0, &object,
                                       (void **)&mem) == TRIBUS_OK); /* never laid out */
    CHECK(tribus_session_open_object(b.session, "durable/engine_logic/a", 1, &object,
                                     (void **)&mem) == TRIBUS_OK);
    memset(mem + TRIBUS_BUS_STORE_BYTES + 384, 0xff, object.bytes - 448); /* the cells */
    CHECK(publish_order(&a, 2) == TRIBUS_OK); /* and whoever reads it finds the next cell */
    WAIT_FOR(bridge, s.store_lost == 1);
    publish_orders(&b, 1, 100);
    CHECK(tribus_bus_stored_wait(b.bus, PATIENT) == TRIBUS_OK);
    CHECK(stats_of(bridge).outages == 0);
    close_end(&a);
    close_end(&b);
    close_end(&c);
    tribus_bridge_stop(bridge);
}

static void add_entry(tribus_redis *r, uint32_t origin, uint32_t sequence)
{
    char texts[2][16];
    const char *words[] = {"XADD", "ends", "*", "origin", texts[0], "sequence", texts[1]};

    (void)snprintf(texts[0], sizeof(texts[0]), "%u", origin);
    (void)snprintf(texts[1], sizeof(texts[1]), "%u", sequence);
    CHECK(tribus_redis_queue(r, 7, words, NULL) == TRIBUS_OK);
}

static void ends_of_streams_say_how_far_each_of_many_origins_came(void)
{
    tribus_redis *r = connect_redis();
    tribus_bridge_known known = {0};
    char first[TRIBUS_BRIDGE_ENTRY_BYTES] = "";

    CHECK(tribus_bridge_known_read(&known, r, "ends", "") == TRIBUS_OK); /* there is none */
    CHECK(!tribus_bridge_known_has(&known, 1, 0));
    for (uint32_t i = 0; i <= 5000; i++)
        add_entry(r, i, 7); /* those of origin 0 are nobody's */
    for (uint32_t i = 0; i <= 5000; i++) {
        redisReply *reply = NULL;

        CHECK(tribus_redis_next_wait(r, PATIENT, &reply) == TRIBUS_OK);
        if (i == 0)
            (void)snprintf(first, sizeof(first), "%s", reply->str);
        freeReplyObject(reply);
    }
    CHECK(tribus_bridge_known_read(&known, r, "ends", "") == TRIBUS_OK);
    CHECK(known.count == 2048 && tribus_bridge_known_has(&known, 5000, 7));
    CHECK(!tribus_bridge_known_has(&known, 5000, 8));
    CHECK(!tribus_bridge_known_has(&known, 2952, 7));
    CHECK(tribus_bridge_known_read(&known, r, "ends", first) == TRIBUS_OK);
    CHECK(known.count == 5000 && !tribus_bridge_known_has(&known, 0, 7));
    for (uint32_t i = 1; i <= 5000; i++)
        CHECK(tribus_bridge_known_has(&known, i, 7));
    CHECK(!tribus_bridge_known_has(&known, 5001, 0));
    tribus_bridge_known_clear(&known);
    (void)command("SET", "ends", "no stream", NULL);
    CHECK(tribus_bridge_known_read(&known, r, "ends", "") == TRIBUS_REFUSED);
    CHECK(strstr(tribus_error_text(), "WRONGTYPE") != NULL);
    tribus_redis_close(r);
}

int main(void)
{
    start_platform(false);
    a_key_of_another_type_stops_its_own_messages_only();
    a_server_that_refuses_is_tried_less_and_less_often_and_said_once();
    stop_stores_what_is_there_first();
    a_corrupt_lane_is_given_up_and_the_others_go_on();
    ends_of_streams_say_how_far_each_of_many_origins_came();
    stop_platform();
    return 0;
}
