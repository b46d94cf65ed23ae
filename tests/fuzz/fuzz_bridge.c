/* fuzz_bridge.c -- what a hostile Redis server can send, and what a hostile program can
 * publish there: hiredis' reader, our decoding, the bridge's way into local topics.
 *
 * The first byte chooses who reads the rest:
 *   0   wire -> fabric: bytes of the server, as they are;
 *   1   the same, each line of the input published as JSON on the channel of a type that its
 *       first byte chooses;
 *   2   fabric -> wire: the answers to its questions and to what it publishes;
 *   3   the search for what is stored already (XREVRANGE);
 *   4   a consumer of streams: its group, its entries, the clock.
 *
 * What a local subscriber is handed out must be a valid message, whatever came. */
#include "require.h"

#include "agent/bridge_known.h"
#include "agent/bridge_side.h"
#include "bus/bus.h"
#include "bus/server.h"
#include "tribus/agent.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATIENCE_NS  INT64_C(10000000000)
#define ROOM         (1u << 16)
#define MOST_ANSWERS 16
#define CONSUME_NS   2000000

static char folder[] = "/tmp/tribus-fuzz-XXXXXX";
static char path[64], redis_path[64];
static tribus_agent *agent;
static tribus_session *session, *reader_session, *side_session;
static tribus_bus *reader_bus, *side_bus, *bus;
static tribus_subscription *reader;
static tribus_bridge *bridge;
static int listener;

/* ---- the server ---- */

/* It answers the sign-in, says what it has to say, and hangs up. */
typedef struct script {
    unsigned char bytes[ROOM];
    size_t count;
} script;

static script answers;

static _Atomic(int) over; /* nobody connects any more: a consumer may have given up */

/* The connection of this input, signed in; -1: there is none. */
static int welcome(void)
{
    static const char pong[] = "+PONG\r\n";
    struct pollfd p = {.fd = listener, .events = POLLIN};
    char ping[256];

    for (;;) {
        int s;

        if (poll(&p, 1, 10) == 0) {
            if (tribus_load_rlx(&over) != 0) /* a hint: looked at again and again */
                return -1;
            continue;
        }
        s = accept(listener, NULL, NULL);
        REQUIRE(s >= 0);
        if (recv(s, ping, sizeof(ping), 0) > 0 &&
            send(s, pong, sizeof(pong) - 1, MSG_NOSIGNAL) > 0)
            return s;
        (void)close(s); /* one that a consumer gave up, perhaps at an earlier input */
    }
}

static void *serve(void *context)
{
    const uint64_t one = 1;
    const int s = welcome();
    char drop[4096];
    size_t at = 0;

    (void)context;
    while (s >= 0 && at < answers.count) {
        const ssize_t n = send(s, answers.bytes + at, answers.count - at, MSG_NOSIGNAL);

        if (n <= 0)
            break; /* it has had enough */
        at += (size_t)n;
    }
    if (s >= 0) {
        (void)shutdown(s, SHUT_WR);
        while (recv(s, drop, sizeof(drop), 0) > 0)
            ;
        (void)close(s);
    }
    tribus_store_rlx(&bridge->stopping, 1); /* looked at again and again */
    REQUIRE(write(bridge->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    return NULL;
}

static void listen_there(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", redis_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(listener >= 0 &&
            bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
            listen(listener, 8) == 0);
}

/* ---- what is attacked ---- */

static void end(void)
{
    tribus_bus_close(reader_bus);
    tribus_bus_close(side_bus);
    tribus_bus_close(bus);
    tribus_session_close(reader_session);
    tribus_session_close(side_session);
    tribus_session_close(session);
    tribus_bridge_stop(bridge);
    tribus_agent_stop(agent);
    (void)unlink(redis_path);
    (void)rmdir(folder);
}

static void open_handle(const char *name, tribus_session **s, tribus_bus **b)
{
    const tribus_session_cfg cfg = {.socket_path = path, .name = name, .role = "fuzz"};

    REQUIRE(tribus_session_open(&cfg, s) == TRIBUS_OK);
    REQUIRE(tribus_bus_open(*s, NULL, b) == TRIBUS_OK);
}

static void begin(void)
{
    const tribus_agent_cfg cfg = {.socket_path = path};
    const tribus_bridge_cfg joined = {
        .socket_path = path, .servers = {{.off = true}, {.off = true}, {.off = true}}};
    tribus_server server = {.port = 0};

    tribus_log_set(NULL, NULL, TRIBUS_LOG_ERROR);
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/agent.sock", folder);
    (void)snprintf(redis_path, sizeof(redis_path), "%s/redis.sock", folder);
    (void)snprintf(server.host, sizeof(server.host), "%s", redis_path);
    listen_there();
    REQUIRE(tribus_agent_start(&cfg, &agent) == TRIBUS_OK);
    REQUIRE(tribus_bridge_start(&joined, &bridge) == TRIBUS_OK); /* no threads: all off */
    open_handle("publisher", &session, &bus);
    open_handle("side", &side_session, &side_bus);
    open_handle("reader", &reader_session, &reader_bus);
    side_bus->quiet = true;
    side_bus->cell_bytes = TRIBUS_BUS_WIDE_CELL_BYTES;
    REQUIRE(tribus_bus_subscribe(reader_bus, NULL, &reader) == TRIBUS_OK);
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        static tribus_object announced[TRIBUS_BUSES];

        REQUIRE(tribus_server_announce(session, b, &server, &announced[b]) == TRIBUS_OK);
    }
    (void)atexit(end);
}

/* Everything that came through must be what a program may rely on. */
static void read_all(void)
{
    const tribus_msg_header *m = NULL;
    tribus_bus_stats stats;
    tribus_status st;

    while ((st = tribus_bus_next(reader, &m, NULL)) == TRIBUS_OK) {
        const tribus_wire_extra *extra = tribus_bus_extra(reader);
        char json[TRIBUS_WIRE_JSON_BYTES + 2 * TRIBUS_WIRE_TEXT_BYTES];

        REQUIRE(tribus_wire_validate(m, sizeof(*m) + m->body_bytes) == TRIBUS_OK);
        REQUIRE(tribus_wire_to_json_extra(m, extra, json, sizeof(json), NULL) == TRIBUS_OK);
    }
    REQUIRE(st == TRIBUS_EMPTY);
    for (uint32_t b = 0; b < TRIBUS_BUSES; b++) {
        REQUIRE(tribus_bus_get_stats(reader_bus, b, &stats) == TRIBUS_OK);
        REQUIRE(stats.invalid == 0);
    }
}

static tribus_redis *connect_there(void)
{
    const tribus_redis_cfg cfg = {.host = redis_path, .timeout_ns = PATIENCE_NS};
    tribus_redis *redis = NULL;

    REQUIRE(tribus_redis_open(&cfg, &redis) == TRIBUS_OK);
    return redis;
}

/* One job of the bridge, on this thread, until the server has hung up. */
static void run_job(tribus_bridge_job job, uint32_t b)
{
    tribus_bridge_side *side = &bridge->sides[b][job];

    side->bridge = bridge;
    side->bus = b;
    side->job = job;
    side->session = side_session;
    side->handle = side_bus;
    side->redis = connect_there();
    side->backoff = (tribus_redis_backoff){0};
    if (job == TRIBUS_BRIDGE_IN)
        (void)tribus_bridge_in_run(side);
    else
        (void)tribus_bridge_out_run(side);
    tribus_redis_close(side->redis);
    memset(side, 0, sizeof(*side)); /* so that tribus_bridge_stop() finds nothing */
}

static void publish_some(uint32_t b)
{
    for (uint32_t t = 1; t < TRIBUS_MSG_END; t++) {
        tribus_msg_any m;

        if (tribus_wire_message_bytes(t) != 0 && tribus_wire_bus_of(t) == b &&
            tribus_wire_init(&m, sizeof(m), t) == TRIBUS_OK &&
            (m.header.flags & TRIBUS_MSG_DURABLE) == 0 &&
            tribus_wire_validate(&m.header, sizeof(m)) == TRIBUS_OK)
            REQUIRE(tribus_bus_publish(bus, &m.header) == TRIBUS_OK);
    }
}

static void search_stored(void)
{
    tribus_bridge_known known = {0};
    tribus_redis *redis = connect_there();

    if (tribus_bridge_known_read(&known, redis, "stream", "") == TRIBUS_OK)
        (void)tribus_bridge_known_has(&known, 1, 1);
    tribus_bridge_known_clear(&known);
    tribus_redis_close(redis);
}

static void consume(void)
{
    const tribus_consumer_cfg cfg = {.group = "fuzz", .from_start = 1, .take_over_ns = 1};
    const tribus_msg_header *m = NULL;
    tribus_consumer *c = NULL;

    REQUIRE(tribus_consumer_open(bus, &cfg, &c) == TRIBUS_OK);
    for (int i = 0; i < MOST_ANSWERS; i++) {
        if (tribus_consumer_next_wait(c, &m, CONSUME_NS) != TRIBUS_OK)
            break;
        REQUIRE(tribus_wire_validate(m, sizeof(*m) + m->body_bytes) == TRIBUS_OK);
        (void)!tribus_consumer_ack(c);
    }
    tribus_consumer_close(c);
}

/* ---- the input ---- */

static void say(const void *bytes, size_t n)
{
    if (n > ROOM - answers.count)
        n = ROOM - answers.count;
    memcpy(answers.bytes + answers.count, bytes, n);
    answers.count += n;
}

/* As the server passes on what somebody published. */
static void say_published(const uint8_t *line, size_t n)
{
    char head[160], channel[TRIBUS_WIRE_CHANNEL_BYTES];

    if (n < 2 || tribus_wire_channel(line[0] % TRIBUS_MSG_END, channel, sizeof(channel)) !=
                     TRIBUS_OK)
        return;
    (void)snprintf(head, sizeof(head), "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n",
                   strlen(channel), channel, n - 1);
    say(head, strlen(head));
    say(line + 1, n - 1);
    say("\r\n", 2);
}

static void say_lines(const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *end_of_line = memchr(data, '\n', size);
        const size_t n = end_of_line != NULL ? (size_t)(end_of_line - data) : size;

        say_published(data, n);
        data += n < size ? n + 1 : n;
        size -= n < size ? n + 1 : n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pthread_t server;
    uint64_t drop;
    uint32_t b;

    if (size < 2)
        return 0;
    if (agent == NULL)
        begin();
    b = data[0] / 5u % TRIBUS_BUSES;
    answers.count = 0;
    if (data[0] % 5 == 1)
        say_lines(data + 1, size - 1);
    else
        say(data + 1, size - 1);
    tribus_store_rlx(&bridge->stopping, 0);
    tribus_store_rlx(&over, 0); /* before the thread there is */
    REQUIRE(pthread_create(&server, NULL, serve, NULL) == 0);
    switch (data[0] % 5) {
    case 0:
    case 1:
        run_job(TRIBUS_BRIDGE_IN, b);
        break;
    case 2:
        publish_some(b);
        run_job(TRIBUS_BRIDGE_OUT, b);
        break;
    case 3:
        search_stored();
        break;
    default:
        consume();
        break;
    }
    tribus_store_rlx(&over, 1);
    REQUIRE(pthread_join(server, NULL) == 0);
    REQUIRE(read(bridge->stop_fd, &drop, sizeof(drop)) == (ssize_t)sizeof(drop));
    read_all();
    return 0;
}
