/* test_bridge.c -- fabric and wire joined, with a real redis-server. labels: bus
 * timeout: 240 */
#include "bus_fixture.h"

#include "agent/bridge_side.h"

static void publish_alert(bus_end *e, const char *text)
{
    tribus_msg_system_alert m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_SYSTEM_ALERT) == TRIBUS_OK);
    CHECK(tribus_wire_text_set(m.text, sizeof(m.text), text));
    CHECK(tribus_wire_text_set(m.component, sizeof(m.component), "test"));
    CHECK(tribus_bus_publish(e->bus, &m.header) == TRIBUS_OK);
}

static void listen_on(tribus_redis *r, const char *command, const char *channel)
{
    const char *words[] = {command, channel};
    redisReply *reply = NULL;

    CHECK(tribus_redis_queue(r, 2, words, NULL) == TRIBUS_OK);
    CHECK(tribus_redis_next_wait(r, PATIENT, &reply) == TRIBUS_OK);
    freeReplyObject(reply);
}

/* The payload of the next pushed message, into buf. */
static void hear(tribus_redis *r, char *buf, size_t n)
{
    redisReply *reply = NULL;

    CHECK(tribus_redis_next_wait(r, PATIENT, &reply) == TRIBUS_OK);
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements >= 3);
    (void)snprintf(buf, n, "%s", reply->element[reply->elements - 1]->str);
    freeReplyObject(reply);
}

static void say(tribus_redis *r, const char *channel, const char *text)
{
    const char *words[] = {"PUBLISH", channel, text};
    redisReply *reply = NULL;

    CHECK(tribus_redis_call_wait(r, 3, words, PATIENT, &reply) == TRIBUS_OK);
    freeReplyObject(reply);
}

static const char alert_channel[] = "nautilus-engine_logic_bus-system_alert";

static void say_alert(tribus_redis *r, const char *text)
{
    char json[1024];

    (void)snprintf(json, sizeof(json),
                   "{\"type\":\"system_alert\",\"data\":{\"component\":\"py\","
                   "\"severity\":\"info\",\"text\":\"%s\",\"unknown_to_us\":[1,2]},"
                   "\"priority\":\"high\",\"engine_type\":\"python\","
                   "\"engine_instance\":\"py-1\",\"bus_type\":\"engine_logic_bus\","
                   "\"timestamp_ns\":1700000000000000000,\"hardware_accelerated\":false}",
                   text);
    say(r, alert_channel, json);
}

static void local_messages_reach_the_wire_only_while_somebody_listens(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end a = open_end("a", NULL);
    tribus_redis *r;
    char text[2048];

    WAIT_FOR(bridge, s.connected);
    publish_alert(&a, "nobody hears this");
    r = connect_redis();
    listen_on(r, "PSUBSCRIBE", "nautilus-*");
    WAIT_FOR(bridge, s.listening != 0);
    publish_alert(&a, "somebody hears this");
    hear(r, text, sizeof(text));
    CHECK(strstr(text, "somebody hears this") != NULL);
    CHECK(strstr(text, "\"bus_type\":\"engine_logic_bus\"") != NULL);
    CHECK(strstr(text, "\"engine_instance\":\"a\"") != NULL);
    CHECK(stats_of(bridge).sent == 1);
    tribus_redis_close(r);
    WAIT_FOR(bridge, s.listening == 0);
    r = connect_redis();
    listen_on(r, "SUBSCRIBE", alert_channel);
    WAIT_FOR(bridge, s.listening == 1ull << TRIBUS_MSG_SYSTEM_ALERT);
    for (int i = 0; i < 1000; i++)
        publish_alert(&a, "one of a thousand");
    for (int i = 0; i < 1000; i++)
        hear(r, text, sizeof(text));
    CHECK(stats_of(bridge).sent == 1001 && stats_of(bridge).lost == 0);
    tribus_redis_close(r);
    close_end(&a);
    tribus_bridge_stop(bridge);
}

static void remote_messages_reach_local_subscribers_with_what_we_do_not_know(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end b = open_end("b", NULL);
    const tribus_bus_filter f = {.types = 1ull << TRIBUS_MSG_SYSTEM_ALERT};
    tribus_subscription *sub = NULL;
    tribus_redis *r = connect_redis();
    const tribus_msg_header *m = NULL;

    CHECK(tribus_bus_subscribe(b.bus, &f, &sub) == TRIBUS_OK);
    WAIT_FOR(bridge, s.wanted == f.types);
    say_alert(r, "hello from python");
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &patient) == TRIBUS_OK);
    CHECK_TEXT(((const tribus_msg_system_alert *)m)->text, "hello from python");
    CHECK_TEXT(m->engine_type, "python");
    CHECK(m->priority == TRIBUS_PRIORITY_HIGH && (m->flags & TRIBUS_MSG_FROM_WIRE) != 0);
    CHECK(m->timestamp_wall_ns == 1700000000000000000);
    CHECK(tribus_bus_extra(sub) != NULL);
    CHECK_TEXT(tribus_bus_extra(sub)->data, "\"unknown_to_us\":[1,2]");
    tribus_redis_close(r);
    close_end(&b);
    WAIT_FOR(bridge, s.wanted == 0);
    tribus_bridge_stop(bridge);
}

static void messages_that_both_sides_want_come_exactly_once(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    const tribus_bus_filter f = {.types = 1ull << TRIBUS_MSG_SYSTEM_ALERT};
    tribus_subscription *sub = NULL;
    tribus_redis *listener = connect_redis(), *speaker = connect_redis();
    const tribus_msg_header *m = NULL;
    char text[2048];

    CHECK(tribus_bus_subscribe(b.bus, &f, &sub) == TRIBUS_OK);
    listen_on(listener, "SUBSCRIBE", alert_channel);
    WAIT_FOR(bridge, s.wanted == f.types && s.listening == f.types);
    publish_alert(&a, "local");
    hear(listener, text, sizeof(text));
    CHECK(strstr(text, "local") != NULL);
    WAIT_FOR(bridge, s.echoes == 1);
    say_alert(speaker, "remote");
    hear(listener, text, sizeof(text));
    CHECK(strstr(text, "remote") != NULL);
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &patient) == TRIBUS_OK);
    CHECK_TEXT(((const tribus_msg_system_alert *)m)->text, "local");
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &patient) == TRIBUS_OK);
    CHECK_TEXT(((const tribus_msg_system_alert *)m)->text, "remote");
    publish_alert(&a, "last");
    hear(listener, text, sizeof(text));
    CHECK(strstr(text, "last") != NULL);
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &patient) == TRIBUS_OK);
    CHECK_TEXT(((const tribus_msg_system_alert *)m)->text, "last");
    WAIT_FOR(bridge, s.echoes == 2);
    CHECK(tribus_bus_next(sub, &m, NULL) == TRIBUS_EMPTY);
    CHECK(stats_of(bridge).sent == 2 && stats_of(bridge).received == 1);
    tribus_redis_close(listener);
    tribus_redis_close(speaker);
    close_end(&a);
    close_end(&b);
    tribus_bridge_stop(bridge);
}

static void wrong_text_on_a_channel_is_dropped_counted_and_said_once(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end b = open_end("b", NULL);
    const tribus_bus_filter f = {.types = 1ull << TRIBUS_MSG_SYSTEM_ALERT};
    tribus_subscription *sub = NULL;
    tribus_redis *r = connect_redis();
    const tribus_msg_header *m = NULL;
    const int lines = logged(NULL);
    char line[1024];
    char *big = malloc(200001);

    CHECK(big != NULL);
    memset(big, 'x', 200000);
    big[200000] = '\0';
    CHECK(tribus_bus_subscribe(b.bus, &f, &sub) == TRIBUS_OK);
    WAIT_FOR(bridge, s.wanted == f.types);
    say(r, alert_channel, "this is not JSON");
    say(r, alert_channel, "{\"type\":\"system_alert\"}");
    say(r, alert_channel,
        "{\"type\":\"nonsense\",\"data\":{},\"priority\":\"low\",\"engine_type\":\"e\","
        "\"engine_instance\":\"e\",\"bus_type\":\"engine_logic_bus\",\"timestamp_ns\":1,"
        "\"hardware_accelerated\":false}");
    say(r, alert_channel, "");
    say(r, alert_channel, big);
    say(r, alert_channel, "[[[[[[[[[[[[");
    say_alert(r, "still here");
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &patient) == TRIBUS_OK);
    CHECK_TEXT(((const tribus_msg_system_alert *)m)->text, "still here");
    CHECK(stats_of(bridge).unknown == 1 && stats_of(bridge).malformed == 5);
    CHECK(logged(line) >= lines + 1);
    CHECK(strstr(line, alert_channel) != NULL);
    free(big);
    tribus_redis_close(r);
    close_end(&b);
    tribus_bridge_stop(bridge);
}

static void local_traffic_goes_on_while_the_server_is_away(void)
{
    tribus_bridge *bridge = start_bridge();
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = NULL;
    const tribus_msg_header *m = NULL;
    tribus_redis *r;
    char text[2048];
    int lines;

    CHECK(tribus_bus_subscribe(b.bus, NULL, &sub) == TRIBUS_OK);
    WAIT_FOR(bridge, s.connected);
    lines = logged(NULL);
    stop_server();
    WAIT_FOR(bridge, !s.connected && s.outages >= 4 && logged(NULL) > lines);
    CHECK(logged(text) == lines + 1);
    CHECK(strstr(text, "local traffic goes on") != NULL);
    publish_alert(&a, "while it was away");
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &patient) == TRIBUS_OK);
    start_server();
    WAIT_FOR(bridge, s.connected);
    r = connect_redis();
    listen_on(r, "SUBSCRIBE", alert_channel);
    WAIT_FOR(bridge, s.listening != 0);
    publish_alert(&a, "back again");
    hear(r, text, sizeof(text));
    CHECK(strstr(text, "back again") != NULL);
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &patient) == TRIBUS_OK);
    tribus_redis_close(r);
    close_end(&a);
    close_end(&b);
    tribus_bridge_stop(bridge);
}

static void origins_beyond_what_fits_replace_the_oldest(void)
{
    tribus_bridge *bridge = start_bridge();

    for (uint32_t i = 1; i <= 30000; i++)
        tribus_bridge_origin_add(bridge, i);
    tribus_bridge_origin_add(bridge, 1); /* known: nothing new */
    for (uint32_t i = 1; i <= 30000; i++)
        CHECK(tribus_bridge_origin_is_ours(bridge, i));
    CHECK(!tribus_bridge_origin_is_ours(bridge, 0));
    CHECK(!tribus_bridge_origin_is_ours(bridge, 30001));
    CHECK(stats_of(bridge).forgotten == 0);
    for (uint32_t i = 30001; i <= 200000; i++)
        tribus_bridge_origin_add(bridge, i);
    CHECK(stats_of(bridge).forgotten >= 200000 - 65536);
    CHECK(!tribus_bridge_origin_is_ours(bridge, 1));
    for (uint32_t i = 170001; i <= 200000; i++)
        CHECK(tribus_bridge_origin_is_ours(bridge, i));
    tribus_bridge_stop(bridge);
}

static void open_when_the_password_is_wrong_says_so(void)
{
    const tribus_redis_cfg cfg = {.port = port, .user = "nobody", .password = "wrong"};
    const tribus_redis_cfg nobody = {.port = free_port()};
    tribus_redis *r = NULL;

    CHECK(tribus_redis_open(&cfg, &r) == TRIBUS_REFUSED && r == NULL);
    CHECK(strstr(tribus_error_text(), "AUTH") != NULL);
    CHECK(tribus_redis_open(&nobody, &r) == TRIBUS_PEER_LOST && r == NULL);
    CHECK(strstr(tribus_error_text(), "127.0.0.1:") != NULL);
}

int main(void)
{
    start_platform(false);
    local_messages_reach_the_wire_only_while_somebody_listens();
    remote_messages_reach_local_subscribers_with_what_we_do_not_know();
    messages_that_both_sides_want_come_exactly_once();
    wrong_text_on_a_channel_is_dropped_counted_and_said_once();
    local_traffic_goes_on_while_the_server_is_away();
    origins_beyond_what_fits_replace_the_oldest();
    open_when_the_password_is_wrong_says_so();
    stop_platform();
    return 0;
}
