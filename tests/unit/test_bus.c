/* test_bus.c -- publish and subscribe over an agent inside this process. labels: bus */
#include "bus/bus.h"
#include "base/clock.h"
#include "bus_end.h"

#include <pthread.h>
#include <unistd.h>

static const tribus_msg_header *price_of(tribus_msg_price_update *m, const char *symbol,
                                         int64_t price_e9)
{
    CHECK(tribus_wire_init(m, sizeof(*m), TRIBUS_MSG_PRICE_UPDATE) == TRIBUS_OK);
    CHECK(tribus_wire_text_set(m->symbol, sizeof(m->symbol), symbol));
    m->price_e9 = price_e9;
    return &m->header;
}

static void publish_price(bus_end *e, int64_t price_e9)
{
    tribus_msg_price_update m;

    CHECK(tribus_bus_publish(e->bus, price_of(&m, "ABC", price_e9)) == TRIBUS_OK);
}

static const tribus_msg_header *health_of(tribus_msg_engine_health *m, const char *engine)
{
    CHECK(tribus_wire_init(m, sizeof(*m), TRIBUS_MSG_ENGINE_HEALTH) == TRIBUS_OK);
    CHECK(
        tribus_wire_text_set(m->header.engine_type, sizeof(m->header.engine_type), engine));
    return &m->header;
}

static int64_t price_in(const tribus_msg_header *m)
{
    CHECK(m->type == TRIBUS_MSG_PRICE_UPDATE);
    return ((const tribus_msg_price_update *)m)->price_e9;
}

/* The price of the next message, or -1 when there is none now. */
static int64_t poll_price(tribus_subscription *sub, uint64_t *lost)
{
    const tribus_msg_header *m = NULL;

    return tribus_bus_next(sub, &m, lost) == TRIBUS_OK ? price_in(m) : -1;
}

/* The header of the next message. It is waited for: the agent announces a new topic after
 * it has given it to its publisher. */
static const tribus_msg_header *next(tribus_subscription *sub, uint64_t *lost)
{
    const tribus_wait_cfg patient = {.timeout_ns = 20000000000};
    const tribus_msg_header *m = NULL;

    CHECK(tribus_bus_next_wait(sub, &m, lost, &patient) == TRIBUS_OK);
    return m;
}

static int64_t next_price(tribus_subscription *sub, uint64_t *lost)
{
    return price_in(next(sub, lost));
}

static tribus_subscription *subscribe(bus_end *e, const tribus_bus_filter *f)
{
    tribus_subscription *sub = NULL;

    CHECK(tribus_bus_subscribe(e->bus, f, &sub) == TRIBUS_OK);
    return sub;
}

static void publish_when_subscribed_arrives_with_who_and_when(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    const int64_t before = tribus_now_wall_ns();
    tribus_msg_any got;
    const tribus_msg_price_update *p = &got.price_update;

    publish_price(&a, 5);
    publish_price(&a, 6);
    CHECK(tribus_bus_receive_wait(sub, &got, sizeof(got), NULL, NULL) == TRIBUS_OK);
    CHECK(p->price_e9 == 5 && p->header.sequence == 1 && p->header.origin != 0);
    CHECK_TEXT(p->symbol, "ABC");
    CHECK_TEXT(p->header.engine_type, "engine");
    CHECK_TEXT(p->header.engine_instance, "a");
    CHECK(p->header.timestamp_wall_ns >= before);
    CHECK((p->header.flags & TRIBUS_MSG_FROM_WIRE) == 0);
    CHECK(tribus_bus_poll(sub, &got, sizeof(got), NULL) == TRIBUS_OK);
    CHECK(p->price_e9 == 6 && p->header.sequence == 2);
    CHECK(tribus_bus_poll(sub, &got, sizeof(got), NULL) == TRIBUS_EMPTY);
    CHECK(tribus_bus_poll(sub, &got, 100, NULL) == TRIBUS_BAD_ARG);
    close_end(&a);
    close_end(&b);
}

static void next_when_a_publisher_comes_later_begins_with_its_first_message(void)
{
    bus_end b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    bus_end a = open_end("a", NULL);

    for (int64_t i = 0; i < 100; i++)
        publish_price(&a, i);
    for (int64_t i = 0; i < 100; i++)
        CHECK(next_price(sub, NULL) == i);
    CHECK(poll_price(sub, NULL) == -1);
    close_end(&a);
    close_end(&b);
}

static void subscribe_when_messages_passed_already_offers_history_only_if_asked(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *fresh, *late;
    const tribus_bus_filter three = {.history = 3};

    for (int64_t i = 0; i < 10; i++)
        publish_price(&a, i);
    fresh = subscribe(&b, NULL);
    late = subscribe(&b, &three);
    CHECK(poll_price(fresh, NULL) == -1);
    CHECK(next_price(late, NULL) == 7);
    CHECK(next_price(late, NULL) == 8);
    CHECK(next_price(late, NULL) == 9);
    CHECK(poll_price(late, NULL) == -1);
    publish_price(&a, 10);
    CHECK(next_price(fresh, NULL) == 10);
    CHECK(next_price(late, NULL) == 10);
    close_end(&a);
    close_end(&b);
}

static void next_when_the_publisher_left_reads_to_the_end(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    tribus_bus_stats stats;

    publish_price(&a, 0);
    CHECK(next_price(sub, NULL) == 0);
    publish_price(&a, 1);
    publish_price(&a, 2);
    close_end(&a);
    CHECK(next_price(sub, NULL) == 1);
    CHECK(next_price(sub, NULL) == 2);
    CHECK(poll_price(sub, NULL) == -1);
    a = open_end("a", NULL); /* the same name again, another topic */
    publish_price(&a, 3);
    CHECK(next_price(sub, NULL) == 3);
    CHECK(poll_price(sub, NULL) == -1);
    CHECK(tribus_bus_get_stats(b.bus, TRIBUS_BUS_MARKETDATA, &stats) == TRIBUS_OK);
    CHECK(stats.topics == 1 && stats.received == 4 && stats.lost == 0);
    close_end(&a);
    close_end(&b);
}

static void next_when_lapped_says_exactly_how_many_were_lost(void)
{
    const tribus_bus_cfg small = {.cells = {16, 16, 16}};
    bus_end a = open_end("a", &small), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    tribus_bus_stats stats;
    uint64_t lost = 0, sum = 0, seen = 0;
    int64_t last = -1, got;

    publish_price(&a, 0);
    CHECK(next_price(sub, &lost) == 0 && lost == 0);
    for (int64_t i = 1; i <= 100; i++)
        publish_price(&a, i);
    while ((got = poll_price(sub, &lost)) >= 0) {
        CHECK(got > last);
        last = got;
        sum += lost;
        seen++;
    }
    CHECK(last == 100 && seen > 0 && seen <= 16 && seen + sum == 100);
    CHECK(tribus_bus_get_stats(b.bus, TRIBUS_BUS_MARKETDATA, &stats) == TRIBUS_OK);
    CHECK(stats.lost == sum && stats.received == seen + 1);
    close_end(&a);
    close_end(&b);
}

static void subscribe_with_filters_hands_out_only_what_matches(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    const tribus_bus_filter by_type = {.types = 1ull << TRIBUS_MSG_ENGINE_HEALTH};
    const tribus_bus_filter by_bus = {.buses = 1u << TRIBUS_BUS_MARKETDATA};
    const tribus_bus_filter by_pattern = {.pattern = "nautilus-*-engine_h*"};
    const tribus_bus_filter by_engine = {.engine = "ml*"};
    const tribus_bus_filter nothing = {.pattern = "nautilus-*-nonsense"};
    tribus_subscription *type = subscribe(&b, &by_type), *bus = subscribe(&b, &by_bus);
    tribus_subscription *pattern = subscribe(&b, &by_pattern);
    tribus_subscription *engine = subscribe(&b, &by_engine), *none = NULL;
    tribus_msg_engine_health health;
    const tribus_msg_header *m = NULL;

    CHECK(tribus_bus_subscribe(b.bus, &nothing, &none) == TRIBUS_BAD_ARG && none == NULL);
    publish_price(&a, 1);
    CHECK(tribus_bus_publish(a.bus, health_of(&health, "ml")) == TRIBUS_OK);
    CHECK(tribus_bus_publish(a.bus, health_of(&health, "risk")) == TRIBUS_OK);
    for (int i = 0; i < 2; i++) {
        CHECK(next(type, NULL)->type == TRIBUS_MSG_ENGINE_HEALTH);
        CHECK(next(pattern, NULL)->type == TRIBUS_MSG_ENGINE_HEALTH);
    }
    CHECK(tribus_bus_next(type, &m, NULL) == TRIBUS_EMPTY);
    CHECK(tribus_bus_next(pattern, &m, NULL) == TRIBUS_EMPTY);
    CHECK(next_price(bus, NULL) == 1 && poll_price(bus, NULL) == -1);
    CHECK_TEXT(next(engine, NULL)->engine_type, "ml");
    CHECK(tribus_bus_next(engine, &m, NULL) == TRIBUS_EMPTY);
    close_end(&a);
    close_end(&b);
}

static void publish_when_urgent_overtakes_what_waits(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    tribus_msg_price_update m;
    const tribus_msg_header *got = NULL;

    (void)price_of(&m, "ABC", 99);
    m.header.priority = TRIBUS_PRIORITY_FLASH_CRASH;
    CHECK(tribus_bus_publish(a.bus, &m.header) == TRIBUS_OK);
    CHECK(next_price(sub, NULL) == 99);
    for (int64_t i = 0; i < 20; i++)
        publish_price(&a, i);
    CHECK(next_price(sub, NULL) == 0);
    CHECK(tribus_bus_publish(a.bus, &m.header) == TRIBUS_OK);
    got = next(sub, NULL);
    CHECK(got->priority == TRIBUS_PRIORITY_FLASH_CRASH && got->sequence == 22);
    for (int64_t i = 1; i < 20; i++)
        CHECK(next_price(sub, NULL) == i);
    CHECK(poll_price(sub, NULL) == -1);
    close_end(&a);
    close_end(&b);
}

static void commit_publishes_what_was_claimed_in_order_and_in_its_turn(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    tribus_msg_header *room[100];
    tribus_bus_stats stats;
    uint32_t got = 0;
    int64_t price = 0;

    CHECK(tribus_bus_commit(a.bus, 0) == TRIBUS_BAD_ARG); /* nothing was claimed */
    for (uint32_t want = 1; want < 100; want += 33) {
        CHECK(tribus_bus_claim(a.bus, TRIBUS_MSG_PRICE_UPDATE, want, room, &got) ==
              TRIBUS_OK);
        CHECK(got == (want < 64 ? want : 64));
        for (uint32_t i = 0; i < got; i++)
            ((tribus_msg_price_update *)room[i])->price_e9 = price++;
        CHECK(tribus_bus_commit(a.bus, got) == TRIBUS_OK);
        CHECK(tribus_bus_commit(a.bus, 1) == TRIBUS_BAD_ARG);
        publish_price(&a, price++);
    }
    for (int64_t i = 0; i < price; i++) {
        const tribus_msg_header *m = next(sub, NULL);

        CHECK(price_in(m) == i && m->sequence == (uint64_t)i + 1);
        CHECK(m->timestamp_wall_ns > 0 && strcmp(m->engine_instance, "a") == 0);
    }
    CHECK(poll_price(sub, NULL) == -1);
    CHECK(tribus_bus_get_stats(a.bus, TRIBUS_BUS_MARKETDATA, &stats) == TRIBUS_OK);
    CHECK(stats.published == (uint64_t)price);
    close_end(&a);
    close_end(&b);
}

static void commit_when_one_is_wrong_publishes_none(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    tribus_msg_header *room[4];
    uint32_t got = 0;

    CHECK(tribus_bus_claim(a.bus, 63, 4, room, &got) == TRIBUS_BAD_ARG);
    CHECK(tribus_bus_claim(a.bus, TRIBUS_MSG_PRICE_UPDATE, 0, room, &got) ==
          TRIBUS_BAD_ARG);
    CHECK(tribus_bus_claim(a.bus, TRIBUS_MSG_PRICE_UPDATE, 4, room, &got) == TRIBUS_OK);
    CHECK(got == 4);
    memset(((tribus_msg_price_update *)room[3])->symbol, 'x', 16);
    CHECK(tribus_bus_commit(a.bus, 5) == TRIBUS_BAD_ARG);
    CHECK(tribus_bus_commit(a.bus, 4) == TRIBUS_BAD_ARG);
    CHECK(strstr(tribus_error_text(), "symbol") != NULL);
    room[0]->priority = TRIBUS_PRIORITY_CRITICAL;
    CHECK(tribus_bus_commit(a.bus, 3) == TRIBUS_BAD_ARG);
    room[0]->priority = TRIBUS_PRIORITY_NORMAL;
    CHECK(poll_price(sub, NULL) == -1);
    CHECK(tribus_bus_commit(a.bus, 3) == TRIBUS_OK); /* it is still claimed */
    for (uint64_t i = 1; i < 4; i++)
        CHECK(next(sub, NULL)->sequence == i);
    CHECK(tribus_bus_claim(a.bus, TRIBUS_MSG_ORDER_REQUEST, 4, room, &got) == TRIBUS_OK);
    CHECK(got == 1 && (room[0]->flags & TRIBUS_MSG_DURABLE) != 0);
    publish_price(&a, 7); /* in another lane: the room is still ours */
    CHECK(tribus_wire_text_set(((tribus_msg_order_request *)room[0])->order, 8, "o"));
    CHECK(tribus_bus_commit(a.bus, 1) == TRIBUS_OK);
    CHECK(tribus_bus_claim(a.bus, TRIBUS_MSG_PRICE_UPDATE, 4, room, &got) == TRIBUS_OK);
    publish_price(&a, 8); /* in the same one */
    CHECK(tribus_bus_commit(a.bus, 1) == TRIBUS_BAD_ARG);
    close_end(&a);
    close_end(&b);
}

static void publish_when_the_message_is_wrong_is_refused_with_the_reason(void)
{
    const tribus_bus_cfg two = {.off = 1u << TRIBUS_BUS_NEURAL_GPU};
    const tribus_bus_cfg wrong = {.off = 8};
    bus_end a = open_end("a", &two);
    tribus_msg_price_update m;
    tribus_msg_any prediction;
    tribus_bus *none = NULL;

    (void)price_of(&m, "ABC", 1);
    m.header.type = 999;
    CHECK(tribus_bus_publish(a.bus, &m.header) == TRIBUS_BAD_ARG);
    CHECK(strstr(tribus_error_text(), "999") != NULL);
    (void)price_of(&m, "ABC", 1);
    m.header.body_bytes = 8;
    CHECK(tribus_bus_publish(a.bus, &m.header) == TRIBUS_BAD_ARG);
    CHECK(strstr(tribus_error_text(), "body_bytes") != NULL);
    CHECK(tribus_wire_init(&prediction, sizeof(prediction), TRIBUS_MSG_ML_PREDICTION) ==
          TRIBUS_OK);
    CHECK(tribus_wire_text_set(prediction.ml_prediction.model, 32, "m"));
    CHECK(tribus_bus_publish(a.bus, &prediction.header) == TRIBUS_REFUSED);
    CHECK(strstr(tribus_error_text(), "switched off") != NULL);
    CHECK(tribus_bus_open(a.session, &wrong, &none) == TRIBUS_BAD_ARG && none == NULL);
    close_end(&a);
}

static void next_when_a_publisher_writes_nonsense_drops_and_counts_it(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    const size_t bytes = tribus_topic_bytes(64, TRIBUS_BUS_CELL_BYTES);
    tribus_object object;
    void *mem = NULL;
    tribus_topic *topic = NULL;
    tribus_msg_price_update m;
    tribus_bus_stats stats;
    uint64_t seed = check_seed();

    CHECK(tribus_session_create_object(a.session, "bus/marketdata/evil",
                                       TRIBUS_OBJECT_TOPIC, bytes, 0, &object,
                                       &mem) == TRIBUS_OK);
    CHECK(tribus_topic_create(mem, bytes, 64, TRIBUS_BUS_CELL_BYTES) == TRIBUS_OK);
    CHECK(tribus_topic_open(mem, bytes, TRIBUS_WRITER, 0, &topic) == TRIBUS_OK);
    for (uint32_t i = 0; i < 30; i++) {
        unsigned char *cell = tribus_topic_claim(topic);
        const uint32_t used = i * 19u % 560u;

        for (uint32_t k = 0; k < used; k++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            cell[k] = (unsigned char)(seed >> 56);
        }
        if (used >= 8 && i % 2 == 0) /* a type that exists, the rest nonsense */
            memcpy(cell, &(uint16_t){TRIBUS_MSG_PRICE_UPDATE}, 2);
        tribus_topic_commit(topic, used);
    }
    (void)price_of(&m, "GOOD", 7);
    memcpy(tribus_topic_claim(topic), &m, sizeof(m));
    tribus_topic_commit(topic, sizeof(m));
    CHECK(next_price(sub, NULL) == 7);
    CHECK(poll_price(sub, NULL) == -1);
    CHECK(tribus_bus_get_stats(b.bus, TRIBUS_BUS_MARKETDATA, &stats) == TRIBUS_OK);
    CHECK(stats.invalid == 30 && stats.received == 1);
    tribus_topic_close(topic);
    close_end(&a);
    close_end(&b);
}

/* The agent announces an object after it was made or removed: wait for it. */
static bool wanted_becomes(tribus_want_reader *wants, uint64_t types)
{
    const int64_t deadline = tribus_deadline_ns(20000000000);

    while (tribus_want_reader_types(wants) != types) {
        if (tribus_deadline_left_ns(deadline) == 0)
            return false;
        (void)usleep(500);
    }
    return true;
}

static void subscribe_tells_the_bridge_what_is_wanted_until_it_ends(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL), bridge = open_end("c", NULL);
    const tribus_bus_cfg look_on = {.observe = 1};
    bus_end tap = open_end("tap", &look_on);
    const tribus_bus_filter price = {.types = 1ull << TRIBUS_MSG_PRICE_UPDATE};
    const tribus_bus_filter health = {.types = 1ull << TRIBUS_MSG_ENGINE_HEALTH};
    tribus_want_reader *wants = NULL;
    tribus_subscription *sub;

    CHECK(tribus_want_reader_open(bridge.session, &wants) == TRIBUS_OK);
    CHECK(wanted_becomes(wants, 0));
    (void)subscribe(&tap, NULL); /* looks on, asks for nothing */
    CHECK(wanted_becomes(wants, 0));
    sub = subscribe(&a, &price);
    CHECK(wanted_becomes(wants, price.types));
    (void)subscribe(&b, &health);
    CHECK(wanted_becomes(wants, price.types | health.types));
    tribus_bus_unsubscribe(sub);
    CHECK(wanted_becomes(wants, health.types));
    close_end(&b);
    CHECK(wanted_becomes(wants, 0));
    tribus_want_reader_close(wants);
    close_end(&tap);
    close_end(&bridge);
    close_end(&a);
}

static void observe_sees_everything_and_may_publish_nothing(void)
{
    const tribus_bus_cfg look_on = {.observe = 1};
    bus_end a = open_end("a", NULL), tap = open_end("tap", &look_on);
    tribus_subscription *sub = subscribe(&tap, NULL);
    const tribus_wait_cfg soon = {.timeout_ns = 5000000};
    const tribus_wait_cfg long_enough = {.timeout_ns = 10000000000};
    const tribus_msg_header *m = NULL;
    tribus_msg_price_update p;

    CHECK(tribus_bus_publish(tap.bus, price_of(&p, "ABC", 1)) == TRIBUS_REFUSED);
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &soon) == TRIBUS_TIMEOUT);
    publish_price(&a, 1);
    CHECK(tribus_bus_next_wait(sub, &m, NULL, &long_enough) == TRIBUS_OK);
    close_end(&tap);
    close_end(&a);
}

typedef struct talker {
    pthread_t thread;
    int64_t count;
    const char *name;
} talker;

static void *talk(void *context)
{
    const talker *t = context;
    bus_end a = open_end(t->name, NULL);

    for (int64_t i = 0; i < t->count; i++)
        publish_price(&a, i);
    close_end(&a);
    return NULL;
}

static void next_wait_when_many_publish_hands_out_each_one_in_order(void)
{
    static const char *const names[3] = {"t0", "t1", "t2"};
    bus_end b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    const tribus_wait_cfg wait = {.spin_ns = 1000, .timeout_ns = 20000000000};
    int64_t next[3] = {0, 0, 0}, total = 0;
    talker talkers[3];
    uint64_t lost = 0;

    for (int i = 0; i < 3; i++) {
        talkers[i] = (talker){.count = 5000, .name = names[i]};
        CHECK(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]) == 0);
    }
    while (total < 15000) {
        tribus_msg_any m;
        int i;

        CHECK(tribus_bus_receive_wait(sub, &m, sizeof(m), &lost, &wait) == TRIBUS_OK);
        CHECK(lost == 0);
        i = m.header.engine_instance[1] - '0';
        CHECK(i >= 0 && i < 3 && m.price_update.price_e9 == next[i]);
        next[i]++;
        total++;
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(talkers[i].thread, NULL) == 0);
    close_end(&b);
}

static void forward_keeps_what_it_does_not_know(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);
    char envelope[] = "\"trace\":\"x\"", body[] = "\"venue_code\":7";
    const tribus_wire_extra extra = {.envelope = envelope,
                                     .envelope_bytes = strlen(envelope),
                                     .data = body,
                                     .data_bytes = strlen(body)};
    tribus_msg_price_update m;
    const tribus_msg_header *got = NULL;
    bool cut = true;

    a.bus->cell_bytes = 1024;
    (void)price_of(&m, "ABC", 1);
    m.header.flags |= TRIBUS_MSG_FROM_WIRE;
    m.header.origin = 42;
    CHECK(tribus_bus_forward(a.bus, &m.header, &extra, &cut) == TRIBUS_OK && !cut);
    CHECK(tribus_bus_forward(a.bus, &m.header, NULL, &cut) == TRIBUS_OK && !cut);
    got = next(sub, NULL);
    CHECK(got->origin == 42 && (got->flags & TRIBUS_MSG_FROM_WIRE) != 0);
    CHECK(tribus_bus_extra(sub) != NULL);
    CHECK_TEXT(tribus_bus_extra(sub)->envelope, envelope);
    CHECK_TEXT(tribus_bus_extra(sub)->data, body);
    CHECK(tribus_bus_next(sub, &got, NULL) == TRIBUS_OK);
    CHECK(tribus_bus_extra(sub) == NULL);
    close_end(&a);
    close_end(&b);
}

static void *answer(void *context)
{
    bus_end b = open_end("answerer", NULL);
    const tribus_bus_filter f = {.types = 1ull << TRIBUS_MSG_PRICE_UPDATE};
    tribus_subscription *sub = subscribe(&b, &f);
    tribus_msg_engine_health health;
    const tribus_msg_header *m;
    int64_t price;

    (void)context;
    do { /* the first may come again, when its reply was late */
        m = next(sub, NULL);
        CHECK(m->correlation != 0);
        price = price_in(m);
        (void)health_of(&health, "noise");
        CHECK(tribus_bus_publish(b.bus, &health.header) == TRIBUS_OK);
        (void)health_of(&health, "answer");
        health.uptime_ns = price * 2;
        CHECK(tribus_bus_reply(b.bus, m, &health.header) == TRIBUS_OK);
    } while (price != 3);
    close_end(&b);
    return NULL;
}

static void request_gets_the_reply_that_belongs_to_it(void)
{
    bus_end a = open_end("a", NULL);
    const tribus_bus_filter f = {.types = 1ull << TRIBUS_MSG_ENGINE_HEALTH};
    tribus_subscription *sub = subscribe(&a, &f);
    tribus_msg_price_update m;
    const tribus_msg_header *reply = NULL;
    pthread_t thread;

    CHECK(tribus_bus_request_wait(a.bus, sub, price_of(&m, "ABC", 1), 1000000, &reply) ==
          TRIBUS_TIMEOUT);
    CHECK(tribus_bus_reply(a.bus, &m.header, &m.header) == TRIBUS_BAD_ARG);
    CHECK(pthread_create(&thread, NULL, answer, NULL) == 0);
    for (int64_t i = 1; i <= 3; i++) {
        tribus_status st;

        do /* until the answerer is there */
            st = tribus_bus_request_wait(a.bus, sub, price_of(&m, "ABC", i),
                                         i == 1 ? 50000000 : 20000000000, &reply);
        while (i == 1 && st == TRIBUS_TIMEOUT);
        CHECK(st == TRIBUS_OK);
        CHECK_TEXT(reply->engine_type, "answer");
        CHECK(((const tribus_msg_engine_health *)reply)->uptime_ns == i * 2);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    close_end(&a);
}

static void publish_when_the_agent_is_gone_goes_on(void)
{
    bus_end a = open_end("a", NULL), b = open_end("b", NULL);
    tribus_subscription *sub = subscribe(&b, NULL);

    publish_price(&a, 1);
    CHECK(next_price(sub, NULL) == 1);
    tribus_agent_stop(agent);
    publish_price(&a, 2);
    CHECK(next_price(sub, NULL) == 2);
    agent = NULL;
    close_end(&a);
    close_end(&b);
}

int main(void)
{
    start_agent(512u << 20);
    publish_when_subscribed_arrives_with_who_and_when();
    next_when_a_publisher_comes_later_begins_with_its_first_message();
    subscribe_when_messages_passed_already_offers_history_only_if_asked();
    next_when_the_publisher_left_reads_to_the_end();
    next_when_lapped_says_exactly_how_many_were_lost();
    subscribe_with_filters_hands_out_only_what_matches();
    publish_when_urgent_overtakes_what_waits();
    commit_publishes_what_was_claimed_in_order_and_in_its_turn();
    commit_when_one_is_wrong_publishes_none();
    publish_when_the_message_is_wrong_is_refused_with_the_reason();
    next_when_a_publisher_writes_nonsense_drops_and_counts_it();
    subscribe_tells_the_bridge_what_is_wanted_until_it_ends();
    observe_sees_everything_and_may_publish_nothing();
    next_wait_when_many_publish_hands_out_each_one_in_order();
    forward_keeps_what_it_does_not_know();
    request_gets_the_reply_that_belongs_to_it();
    publish_when_the_agent_is_gone_goes_on();
    stop_agent();
    return 0;
}
