/* bench_bus.c -- `tribus bench bus`: the typed client against the bare ring, and the bridge
 * against plain Redis. Ratios are of one run. */
#include "cli/bench_bus.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/os.h"
#include "bus/redis.h"
#include "cli/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void tribus_bench_bus_print(const tribus_bench_bus_run *b, const tribus_bench_bus_result *r)
{
    if (b->json)
        printf("{\"bench\":\"bus\",\"case\":\"%s\",\"path\":\"%s\",\"size_bytes\":%zu,"
               "\"touched\":true,\"p50_ns\":%.1f,\"p99_ns\":%.1f,\"p999_ns\":%.1f,"
               "\"rate_per_s\":%.0f,\"messages\":%" PRIu64 ",\"lost\":%" PRIu64 "}\n",
               r->kase, r->path, sizeof(tribus_msg_price_update), r->stats.p50_ns,
               r->stats.p99_ns, r->stats.p999_ns, r->stats.rate_per_s, r->count, r->lost);
    else
        printf("%-22s %-12s p50 %10.1f ns  p99 %10.1f ns  p99.9 %10.1f ns %12.0f /s  "
               "lost %" PRIu64 "\n",
               r->kase, r->path, r->stats.p50_ns, r->stats.p99_ns, r->stats.p999_ns,
               r->stats.rate_per_s, r->lost);
    (void)fflush(stdout);
}

/* ---- throughput: one publisher, one subscriber, nothing lost ---- */

typedef struct stream_shared {
    _Alignas(128) _Atomic(uint64_t) read; /* so that the publisher does not lap */
    _Alignas(128) _Atomic(uint32_t) ready;
    uint64_t count, lost;
    double seconds;
    double publish_ns;
} stream_shared;

typedef struct stream_context {
    const char *socket_path;
    uint64_t messages;
    uint32_t
        batch; /* 1: tribus_bus_publish(), else claimed and committed so many at once */
} stream_context;

/* Publish the messages `from` to the one before `to`. */
static bool publish_span(tribus_bench_client *client, uint32_t batch, uint64_t from,
                         uint64_t to)
{
    tribus_msg_price_update m;
    const tribus_msg_header *h = tribus_bench_price(&m, 0);
    tribus_status st = TRIBUS_OK;

    for (uint64_t i = from; h != NULL && i < to && st == TRIBUS_OK;) {
        tribus_msg_header *room[64];
        uint32_t got = 0;

        if (batch == 1) {
            m.price_e9 = (int64_t)i++;
            st = tribus_bus_publish(client->bus, h);
            continue;
        }
        st = tribus_bus_claim(client->bus, TRIBUS_MSG_PRICE_UPDATE,
                              to - i < batch ? (uint32_t)(to - i) : batch, room, &got);
        for (uint32_t k = 0; k < got; k++) {
            tribus_msg_price_update *p = (tribus_msg_price_update *)room[k];

            memcpy(p->symbol, m.symbol, sizeof(p->symbol));
            p->price_e9 = (int64_t)i++;
        }
        if (st == TRIBUS_OK)
            st = tribus_bus_commit(client->bus, got);
    }
    return (h != NULL && st == TRIBUS_OK) ||
           tribus_bench_pair_fail("%s", tribus_error_text());
}

static bool stream_publish(stream_shared *s, const stream_context *c)
{
    tribus_bench_client client;
    int64_t began;

    if (!tribus_bench_client_open(c->socket_path, 0, &client))
        return false;
    while (tribus_load_acq(&s->ready) == 0) /* set before anything is measured */
        tribus_relax();
    began = tribus_now_ns();
    for (uint64_t i = 1; i <= c->messages;) {
        const uint64_t to = i + 256 <= c->messages ? i + 256 : c->messages + 1;

        if (!publish_span(&client, c->batch, i, to))
            return false;
        i = to;
        /* a hint: the subscriber's messages come through the topic */
        while (i - tribus_load_rlx(&s->read) > 8192)
            tribus_relax();
    }
    s->publish_ns = (double)(tribus_now_ns() - began) / (double)c->messages;
    while (tribus_load_rlx(&s->read) < c->messages)
        tribus_relax();
    tribus_bench_client_close(&client);
    return true;
}

static bool stream_receive(stream_shared *s, const stream_context *c)
{
    tribus_bench_client client;
    const tribus_msg_header *m = NULL;
    int64_t began = 0;
    int64_t last = 0;

    if (!tribus_bench_client_open(c->socket_path, 1ull << TRIBUS_MSG_PRICE_UPDATE, &client))
        return false;
    tribus_store_rel(&s->ready, 1u);
    while (last < (int64_t)c->messages) {
        uint64_t lost = 0;

        if (tribus_bus_next(client.sub, &m, &lost) != TRIBUS_OK)
            continue;
        if (s->count++ == 0)
            began = tribus_now_ns();
        s->lost += lost;
        last = ((const tribus_msg_price_update *)m)->price_e9;
        if ((last & 255) == 0)
            tribus_store_rlx(&s->read, (uint64_t)last);
    }
    s->seconds = (double)(tribus_now_ns() - began) / 1e9;
    tribus_store_rlx(&s->read, c->messages);
    tribus_bench_client_close(&client);
    return true;
}

static bool stream_run(int side, void *shared, void *context)
{
    return side == 0 ? stream_publish(shared, context) : stream_receive(shared, context);
}

static bool throughput(const tribus_bench_bus_run *b, const char *path, uint32_t batch,
                       double *rate)
{
    stream_context c = {.socket_path = b->agent.socket_path,
                        .messages = (uint64_t)(b->seconds * 10e6),
                        .batch = batch};
    void *shared = NULL;
    const stream_shared *s;
    tribus_bench_bus_result r = {.kase = "throughput", .path = path};

    if (!tribus_bench_pair_fork(stream_run, 2, sizeof(stream_shared), &shared, &c,
                                60.0 + b->seconds))
        return false;
    s = shared;
    r.stats.rate_per_s = (double)s->count / s->seconds;
    r.stats.p50_ns = s->publish_ns; /* the mean, of the publisher */
    r.count = s->count;
    r.lost = s->lost;
    *rate = r.stats.rate_per_s;
    tribus_bench_bus_print(b, &r);
    tribus_bench_pair_drop();
    return true;
}

/* ---- publisher alone: what the wire costs who does not use it ---- */

bool tribus_bench_bus_publish_alone(const char *socket_path, uint64_t messages,
                                    tribus_bench_stats *out)
{
    tribus_bench_client client;
    tribus_msg_price_update m;
    const tribus_msg_header *h = tribus_bench_price(&m, 0);
    double *ns = calloc(messages / 64, sizeof(*ns));

    if (ns == NULL || h == NULL || !tribus_bench_client_open(socket_path, 0, &client))
        return false;
    for (uint64_t i = 0; i < messages / 64; i++) {
        const uint64_t began = tribus_clock_ticks();

        for (int k = 0; k < 64; k++) {
            m.price_e9 = (int64_t)i;
            if (tribus_bus_publish(client.bus, h) != TRIBUS_OK)
                return tribus_bench_pair_fail("%s", tribus_error_text());
        }
        ns[i] = tribus_clock_ns(tribus_clock_ticks() - began) / 64;
    }
    tribus_bench_pair_stats(ns, (size_t)(messages / 64), out);
    free(ns);
    tribus_bench_client_close(&client);
    return true;
}

static bool alone_run(int side, void *shared, void *context)
{
    const stream_context *c = context;

    (void)side;
    return tribus_bench_bus_publish_alone(c->socket_path, c->messages, shared);
}

static bool alone(const tribus_bench_bus_run *b, const char *path, double *p50)
{
    stream_context c = {.socket_path = b->agent.socket_path,
                        .messages = (uint64_t)(b->seconds * 4e6)};
    void *shared = NULL;
    tribus_bench_bus_result r = {.kase = "publish", .path = path, .count = c.messages};

    if (!tribus_bench_pair_fork(alone_run, 1, sizeof(r.stats), &shared, &c,
                                60.0 + b->seconds))
        return false;
    r.stats = *(const tribus_bench_stats *)shared;
    r.stats.rate_per_s = 1e9 / r.stats.p50_ns;
    *p50 = r.stats.p50_ns;
    tribus_bench_bus_print(b, &r);
    tribus_bench_pair_drop();
    return true;
}

bool tribus_bench_bus_bridge(const tribus_bench_bus_run *b, int64_t spin_ns,
                             tribus_bridge **out)
{
    const uint16_t port = (uint16_t)b->redis.port;
    const tribus_bridge_cfg cfg = {
        .socket_path = b->agent.socket_path,
        .servers = {{.port = port}, {.off = true}, {.off = true}},
        .look_ns = 20000000,
        .spin_ns = spin_ns};

    if (tribus_bridge_start(&cfg, out) == TRIBUS_OK)
        return true;
    (void)tribus_cli_fail("bench bus");
    return false;
}

static bool local(const tribus_bench_bus_run *b)
{
    tribus_bench_row ring = {.bench = "bus",
                             .kase = "latency",
                             .path = "ring",
                             .ops = &tribus_bench_slot,
                             .size_bytes = sizeof(tribus_msg_price_update),
                             .touched = true,
                             .seconds = b->seconds};
    tribus_bench_row bus = {.bench = "bus",
                            .kase = "latency",
                            .ops = &tribus_bench_bus,
                            .config = b->agent.socket_path,
                            .size_bytes = sizeof(tribus_msg_price_update),
                            .seconds = b->seconds};
    double one_by_one = 0.0, rate = 0.0;

    if (!tribus_bench_pair_run(&ring) || !tribus_bench_pair_run(&bus))
        return false;
    tribus_bench_pair_print(&ring, b->json);
    tribus_bench_pair_print(&bus, b->json);
    if (!throughput(b, "bus", 1, &one_by_one) || !throughput(b, "bus-batch", 32, &rate))
        return false;
    if (!b->json)
        printf("\nbus over ring, p50     %6.2f  (wanted: at most 2)\n"
               "price_update           %6.2f M/s one by one, %6.2f M/s by 32  (wanted: at "
               "least 10)\n\n",
               bus.stats.p50_ns / ring.stats.p50_ns, one_by_one / 1e6, rate / 1e6);
    return true;
}

/* Interleaved, so that a machine that slows down slows both. */
static bool idle_wire(const tribus_bench_bus_run *b)
{
    double off = 0.0, on = 0.0;

    for (int i = 0; i < 3; i++) {
        tribus_bridge *bridge = NULL;
        double one = 0.0, other = 0.0;
        bool ok = alone(b, "wire-off", &one);

        if (!ok || !tribus_bench_bus_bridge(b, 0, &bridge))
            return false;
        ok = alone(b, "wire-idle", &other);
        tribus_bridge_stop(bridge);
        if (!ok)
            return false;
        off = i == 0 || one < off ? one : off;
        on = i == 0 || other < on ? other : on;
    }
    if (!b->json)
        printf("\nwith an idle wire over without   %6.3f  (wanted: at most 1.03)\n\n",
               on / off);
    return true;
}

static const struct {
    const char *name;
    bool redis;
    bool (*run)(const tribus_bench_bus_run *b);
} parts[] = {{"local", false, local},
             {"subscribers", false, tribus_bench_bus_crowds},
             {"idle", true, idle_wire},
             {"wire", true, tribus_bench_bus_wire}};

static bool is_part(const char *name)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(name, parts[i].name) == 0)
            return true;
    }
    return false;
}

int tribus_cli_bench_bus(int argc, char **argv)
{
    static tribus_bench_bus_run b = {.seconds = 0.5};
    const char *server = "redis-server";
    const char *only = NULL;
    bool no_redis = false, ok = true;
    int exit_code;
    const tribus_cli_usage usage = {
        "bench bus", "[--json] [--seconds N]",
        "The typed client against the bare ring between two processes, and what the bridge "
        "to\nRedis adds. Messages are price_update, stamped, validated and copied.",
        "  tribus bench bus --json | jq .p50_ns"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.json},
        {"--seconds", "N", "to measure each row (0.5)", TRIBUS_CLI_REAL, &b.seconds},
        {"--only", "ROWS", "local, subscribers, idle or wire", TRIBUS_CLI_TEXT, &only},
        {"--no-redis", NULL, "leave the Redis rows out", TRIBUS_CLI_FLAG, &no_redis},
        {"--redis-server", "PROGRAM", "to start (redis-server)", TRIBUS_CLI_TEXT, &server},
        {"--realtime", NULL, "under SCHED_FIFO: nothing else runs meanwhile",
         TRIBUS_CLI_FLAG, &b.realtime},
    };

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &exit_code))
        return exit_code;
    if (tribus_os_core_count() < 2)
        return tribus_cli_complain("bench bus", "needs two cores, this machine has one");
    if (only != NULL && !is_part(only))
        return tribus_cli_complain("bench bus", "--only %s: no such rows", only);
    if (b.realtime)
        tribus_bench_pair_realtime();
    if (!tribus_bench_agent_start("bench bus", &b.agent))
        return TRIBUS_EXIT_FAILED;
    if (!no_redis)
        b.redis_up = tribus_bench_redis_start("bench bus", server, &b.redis);
    if (!b.json)
        tribus_bench_pair_print_head();
    for (size_t i = 0; ok && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if ((only == NULL || strcmp(only, parts[i].name) == 0) &&
            (b.redis_up || !parts[i].redis))
            ok = parts[i].run(&b);
    }
    tribus_bench_redis_stop(&b.redis);
    tribus_bench_agent_stop(&b.agent);
    return ok && (b.redis_up || no_redis) ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
