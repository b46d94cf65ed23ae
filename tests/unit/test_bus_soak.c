/* test_bus_soak.c -- 50,000 messages a second: all accounted for, memory flat. labels: bus
 *
 * One publisher of what may be lost and of orders, which may not; others that come, publish
 * and go; a subscriber that counts; a consumer that acknowledges each order. One second by
 * default; `make soak-bus SECONDS=3600` for as long as one likes.
 */
#include "base/atomic.h"
#include "bus_fixture.h"

#include <inttypes.h>

#define RATE           50000u /* of the steady publisher, a second */
#define ORDERS_OF      100u   /* one message in so many is an order */
#define VISIT_MS       100u
#define VISIT_ORDERS   5u
#define TICK_NS        1000000
#define CELLS          65536u /* over a second: a subscriber may be descheduled */
#define STREAM_KEEPS   "20000"
#define BACKLOG_MOST   10000u
#define GROWTH_BYTES   (8u << 20)
#define SERVER_GROWTH  (48u << 20)
#define MEMORY_SECONDS 60u /* shorter runs do not judge memory */

static uint64_t seconds;
static uint64_t total; /* of the steady publisher */
static _Atomic(uint64_t) next_order, orders_out, sent, received, lost;
static _Atomic(int) published_all, visits_over;
static unsigned char *seen; /* by order number */
static uint64_t orders_most;

static void send_order(tribus_bus *bus)
{
    tribus_msg_order_request m;
    const uint64_t n = tribus_add_rlx(&next_order, 1u); /* a number for each */
    const int64_t deadline = tribus_deadline_ns(PATIENT);
    tribus_status st;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ORDER_REQUEST) == TRIBUS_OK);
    CHECK(tribus_wire_text_set(m.order, sizeof(m.order), "soak"));
    CHECK(tribus_wire_text_set(m.symbol, sizeof(m.symbol), "ABC"));
    m.side = TRIBUS_SIDE_BUY;
    m.qty_e9 = (int64_t)n + 1;
    CHECK(n < orders_most);
    while ((st = tribus_bus_publish(bus, &m.header)) == TRIBUS_FULL) {
        CHECK(tribus_deadline_left_ns(deadline) > 0);
        (void)usleep(500);
    }
    CHECK(st == TRIBUS_OK);
    (void)tribus_add_rlx(&orders_out, 1u); /* a counter, as those below */
    (void)tribus_add_rlx(&sent, 1u);
}

static bus_end open_wide(const char *name)
{
    const tribus_session_cfg session_cfg = {
        .socket_path = socket_path, .name = name, .role = "engine"};
    const tribus_bus_cfg cfg = {.cells = {0, CELLS, 0}};
    bus_end e = {0};

    CHECK(tribus_session_open(&session_cfg, &e.session) == TRIBUS_OK);
    CHECK(tribus_bus_open(e.session, &cfg, &e.bus) == TRIBUS_OK);
    return e;
}

/* As many as the time that passed asks for, in claimed batches; late is made up for. */
static void *steady(void *context)
{
    const int64_t began_ns = tribus_now_ns();
    bus_end e = open_wide("steady");
    uint64_t done = 0;

    (void)context;
    while (done < total) {
        uint64_t due = (uint64_t)(tribus_now_ns() - began_ns) * RATE / 1000000000u;

        due = due < total ? due : total;
        while (done < due) {
            tribus_msg_header *room[64];
            uint32_t got = 0;
            const uint32_t want = due - done < 64 ? (uint32_t)(due - done) : 64;

            CHECK(tribus_bus_claim(e.bus, TRIBUS_MSG_PERFORMANCE_METRIC, want, room,
                                   &got) == TRIBUS_OK);
            CHECK(tribus_bus_commit(e.bus, got) == TRIBUS_OK);
            (void)tribus_add_rlx(&sent, got);
            for (uint32_t i = 0; i < got; i++) {
                if (++done % ORDERS_OF == 0)
                    send_order(e.bus);
            }
        }
        (void)usleep(TICK_NS / 1000);
    }
    CHECK(tribus_bus_stored_wait(e.bus, PATIENT) == TRIBUS_OK);
    close_end(&e);
    tribus_store_rel(&published_all, 1); /* R1 pairs with A1 in listen and account */
    return NULL;
}

/* Programs that publish a little and end at once: nothing of theirs may be missing. */
static void *visitors(void *context)
{
    (void)context;
    while (tribus_load_acq(&published_all) == 0) { /* A1 pairs with R1 */
        bus_end e = open_end("visitor", NULL);

        for (uint32_t i = 0; i < VISIT_ORDERS; i++)
            send_order(e.bus);
        close_end(&e);
        (void)usleep(VISIT_MS * 1000);
    }
    tribus_store_rel(&visits_over, 1); /* R2 pairs with A2 in listen and account */
    return NULL;
}

static void *listen_to_all(void *context)
{
    const int64_t deadline = tribus_deadline_ns((int64_t)seconds * 4 * SECOND + PATIENT);
    tribus_subscription *sub = context;

    for (;;) {
        const tribus_wait_cfg wait = {.timeout_ns = SECOND / 10};
        const tribus_msg_header *m = NULL;
        uint64_t some = 0;
        const tribus_status st = tribus_bus_next_wait(sub, &m, &some, &wait);

        (void)tribus_add_rlx(&lost, some);
        if (st == TRIBUS_OK)
            (void)tribus_add_rlx(&received, 1u);
        else
            CHECK(st == TRIBUS_TIMEOUT);
        CHECK(tribus_deadline_left_ns(deadline) > 0);
        /* A2 pairs with R2; the sums are whole then. */
        if (tribus_load_acq(&visits_over) != 0 &&
            tribus_load_rlx(&received) + tribus_load_rlx(&lost) >= tribus_load_rlx(&sent))
            return NULL;
    }
}

/* What was acknowledged needs no keeping; what was not must stay. */
static void trim(tribus_redis *redis, uint64_t backlog)
{
    const char *words[] = {"XTRIM", "nautilus-engine_logic_bus-order_request", "MAXLEN",
                           "~", STREAM_KEEPS};
    redisReply *r = NULL;

    if (backlog > BACKLOG_MOST)
        return;
    CHECK(tribus_redis_call_wait(redis, 5, words, PATIENT, &r) == TRIBUS_OK);
    freeReplyObject(r);
}

static void account(tribus_consumer *c, tribus_redis *redis)
{
    const int64_t began_ns = tribus_now_ns();
    int64_t look_ns = 0, warm_ns = began_ns + (int64_t)seconds * SECOND / 4;
    uint64_t distinct = 0, again = 0, ours = 0, servers = 0, ours_late = 0,
             servers_late = 0;

    /* A2 pairs with R2 in visitors. */
    while (tribus_load_acq(&visits_over) == 0 || distinct < tribus_load_rlx(&orders_out)) {
        const tribus_msg_header *m = NULL;
        const tribus_status st = tribus_consumer_next_wait(c, &m, SECOND / 10);

        if (st == TRIBUS_OK) {
            const uint64_t n = (uint64_t)((const tribus_msg_order_request *)m)->qty_e9 - 1;

            CHECK(n < orders_most);
            if (seen[n] == 0)
                distinct++;
            else if ((m->flags & TRIBUS_MSG_REDELIVERED) != 0)
                again++; /* a connection was lost, and it says so */
            else
                CHECK(!"an order came twice and does not say so");
            seen[n] = 1;
            if (tribus_consumer_ack(c) != TRIBUS_OK)
                continue; /* the connection was lost: it comes again, and says so */
        } else {
            CHECK(st == TRIBUS_TIMEOUT);
        }
        CHECK(tribus_now_ns() - began_ns < (int64_t)seconds * 4 * SECOND + PATIENT);
        if (tribus_now_ns() < look_ns)
            continue;
        look_ns = tribus_now_ns() + SECOND;
        trim(redis, tribus_load_rlx(&orders_out) - distinct);
        if (tribus_now_ns() > warm_ns && ours == 0) {
            ours = tribus_os_resident_bytes(0);
            servers = tribus_os_resident_bytes(server);
        }
        if (tribus_load_rlx(&published_all) == 0) { /* they end soon, and unmap */
            ours_late = tribus_os_resident_bytes(0);
            servers_late = tribus_os_resident_bytes(server);
        }
    }
    CHECK(distinct == tribus_load_rlx(&orders_out) &&
          distinct == tribus_load_rlx(&next_order));
    printf("%" PRIu64 " orders, each consumed, %" PRIu64 " redelivered; %.1f s\n", distinct,
           again, (double)(tribus_now_ns() - began_ns) / 1e9);
    printf(
        "resident: ours %.1f MiB after a quarter, %.1f at the end; the server's %.1f and "
        "%.1f\n",
        (double)ours / 1048576, (double)ours_late / 1048576, (double)servers / 1048576,
        (double)servers_late / 1048576);
    if (seconds < MEMORY_SECONDS)
        return;
    CHECK(ours_late < ours + GROWTH_BYTES);
    CHECK(servers_late < servers + SERVER_GROWTH);
}

int main(void)
{
    const char *asked = getenv("TRIBUS_SOAK_SECONDS");
    tribus_bridge *bridge;
    tribus_consumer *c = NULL;
    const tribus_consumer_cfg cfg = {
        .group = "oms", .name = "oms-1", .types = 1ull << TRIBUS_MSG_ORDER_REQUEST};
    const tribus_msg_header *m = NULL;
    tribus_subscription *sub = NULL;
    tribus_redis *redis;
    pthread_t threads[3];
    bus_end ends[2];

    seconds = asked != NULL ? strtoull(asked, NULL, 10) : 1;
    total = seconds * RATE;
    orders_most =
        total / ORDERS_OF + (seconds * 5 + 600) * (1000 / VISIT_MS) * VISIT_ORDERS;
    seen = calloc(orders_most, 1);
    CHECK(seconds > 0 && seen != NULL);
    start_platform(false);
    bridge = start_bridge();
    WAIT_FOR(bridge, s.connected);
    ends[0] = open_end("listener", NULL);
    ends[1] = open_end("consumer", NULL);
    CHECK(tribus_bus_subscribe(ends[0].bus, NULL, &sub) == TRIBUS_OK);
    CHECK(tribus_consumer_open(ends[1].bus, &cfg, &c) == TRIBUS_OK);
    CHECK(tribus_consumer_next_wait(c, &m, 0) == TRIBUS_TIMEOUT); /* makes the group */
    redis = connect_redis();
    CHECK(pthread_create(&threads[0], NULL, listen_to_all, sub) == 0);
    CHECK(pthread_create(&threads[1], NULL, steady, NULL) == 0);
    CHECK(pthread_create(&threads[2], NULL, visitors, NULL) == 0);
    account(c, redis);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(tribus_load_rlx(&received) + tribus_load_rlx(&lost) == tribus_load_rlx(&sent));
    CHECK(stats_of(bridge).store_lost == 0);
    printf("%" PRIu64 " messages: %" PRIu64 " received, %" PRIu64 " lost and counted\n",
           tribus_load_rlx(&sent), tribus_load_rlx(&received), tribus_load_rlx(&lost));
    tribus_redis_close(redis);
    tribus_consumer_close(c);
    close_end(&ends[0]);
    close_end(&ends[1]);
    tribus_bridge_stop(bridge);
    stop_platform();
    free(seen);
    return 0;
}
