/* bus_fixture.h -- an agent, a redis-server and a bridge inside a test of the buses. */
#ifndef TRIBUS_TESTS_BUS_FIXTURE_H
#define TRIBUS_TESTS_BUS_FIXTURE_H

#include "agent/bridge.h"
#include "base/clock.h"
#include "base/os.h"
#include "bus/redis.h"
#include "bus_end.h"
#include "port.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND  1000000000LL
#define PATIENT (120 * SECOND) /* no pass ever takes so long */

static char disk[64]; /* of the server: in memory, so that a slow disk slows no test */
static uint16_t port;
static pid_t server;
static bool server_keeps; /* what is stored, across a kill */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static int log_lines;
static char log_text[1024];

static inline void take_log(void *context, tribus_log_level level, const char *text)
{
    (void)context;
    if (level >= TRIBUS_LOG_WARN) {
        CHECK(pthread_mutex_lock(&log_lock) == 0);
        log_lines++;
        (void)snprintf(log_text, sizeof(log_text), "%s", text);
        CHECK(pthread_mutex_unlock(&log_lock) == 0);
    }
}

/* Lines logged so far; *text (of 1024, NULL allowed): the last one. */
static inline int logged(char *text)
{
    int lines;

    CHECK(pthread_mutex_lock(&log_lock) == 0);
    lines = log_lines;
    if (text != NULL)
        memcpy(text, log_text, sizeof(log_text));
    CHECK(pthread_mutex_unlock(&log_lock) == 0);
    return lines;
}

static inline tribus_redis *connect_redis(void)
{
    const tribus_redis_cfg cfg = {.port = port};
    const int64_t deadline = tribus_deadline_ns(PATIENT);
    tribus_redis *r = NULL;

    while (tribus_redis_open(&cfg, &r) != TRIBUS_OK) {
        CHECK(tribus_deadline_left_ns(deadline) > 0);
        (void)usleep(2000);
    }
    return r;
}

static inline void start_server(void)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", port);
    server = fork();
    CHECK(server >= 0);
    if (server == 0) {
        const int null = open("/dev/null", O_RDWR);

        tribus_os_die_with_parent(SIGKILL);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        (void)execlp("redis-server", "redis-server", "--port", text, "--save", "",
                     "--appendonly", server_keeps ? "yes" : "no", "--appendfsync", "always",
                     "--dir", disk, "--bind", "127.0.0.1", (char *)NULL);
        _exit(127);
    }
    tribus_redis_close(connect_redis());
}

static inline void stop_server(void)
{
    int status;

    CHECK(kill(server, SIGKILL) == 0);
    CHECK(waitpid(server, &status, 0) == server);
}

static inline tribus_bridge *start_bridge(void)
{
    const tribus_bridge_cfg cfg = {
        .socket_path = socket_path,
        .servers = {{.off = true}, {.port = port}, {.off = true}},
        .look_ns = 10000000,
    };
    tribus_bridge *bridge = NULL;

    CHECK(tribus_bridge_start(&cfg, &bridge) == TRIBUS_OK);
    return bridge;
}

static inline tribus_bridge_stats stats_of(tribus_bridge *bridge)
{
    tribus_bridge_stats s;

    CHECK(tribus_bridge_get_stats(bridge, TRIBUS_BUS_ENGINE_LOGIC, &s) == TRIBUS_OK);
    return s;
}

/* Wait until a condition over the bridge's statistics `s` holds. */
#define WAIT_FOR(bridge, cond)                                                             \
    do {                                                                                   \
        const int64_t until_ = tribus_deadline_ns(PATIENT);                                \
        for (;;) {                                                                         \
            const tribus_bridge_stats s = stats_of(bridge);                                \
            if (cond)                                                                      \
                break;                                                                     \
            CHECK(tribus_deadline_left_ns(until_) > 0);                                    \
            (void)usleep(2000);                                                            \
        }                                                                                  \
    } while (0)

/* keeps: the server keeps what is stored when it is killed. */
static inline void start_platform(bool keeps)
{
    if (system("command -v redis-server >/dev/null 2>&1") != 0)
        SKIP("no redis-server");
    tribus_log_set(take_log, NULL, TRIBUS_LOG_WARN);
    (void)snprintf(disk, sizeof(disk), "%s/tribus-test-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(disk) != NULL);
    port = free_port();
    server_keeps = keeps;
    start_server();
    start_agent(512u << 20);
}

static inline void stop_platform(void)
{
    char command[128];

    stop_agent();
    stop_server();
    (void)snprintf(command, sizeof(command), "rm -rf %s", disk);
    CHECK(system(command) == 0);
}

static inline tribus_status publish_order(bus_end *e, uint64_t quantity)
{
    tribus_msg_order_request m;

    CHECK(tribus_wire_init(&m, sizeof(m), TRIBUS_MSG_ORDER_REQUEST) == TRIBUS_OK);
    CHECK(tribus_wire_text_set(m.order, sizeof(m.order), "o-1"));
    CHECK(tribus_wire_text_set(m.symbol, sizeof(m.symbol), "ABC"));
    m.side = TRIBUS_SIDE_BUY;
    m.qty_e9 = (int64_t)quantity;
    return tribus_bus_publish(e->bus, &m.header);
}

static inline void publish_orders(bus_end *e, uint64_t first, uint64_t last)
{
    const int64_t deadline = tribus_deadline_ns(PATIENT);

    for (uint64_t i = first; i <= last; i++) {
        tribus_status st;

        while ((st = publish_order(e, i)) == TRIBUS_FULL) {
            CHECK(tribus_deadline_left_ns(deadline) > 0);
            (void)usleep(500);
        }
        CHECK(st == TRIBUS_OK);
    }
}

static const tribus_wait_cfg patient = {.timeout_ns = PATIENT};

#endif
