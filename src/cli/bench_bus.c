/* bench_bus.c -- `tribus bench bus`: the typed client against the bare ring, and the bridge
 * against plain Redis. Ratios are of one run. */
#include "agent/bridge.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/os.h"
#include "bus/redis.h"
#include "cli/bench_bus_paths.h"
#include "cli/bench_paths.h"
#include "cli/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct bus_bench {
    tribus_bench_agent agent;
    tribus_bench_redis redis;
    bool redis_up;
    bool json;
    double seconds;
} bus_bench;

/* One result that is not a ping-pong. */
typedef struct result {
    const char *kase;
    const char *path;
    tribus_bench_stats stats;
    uint64_t count;
    uint64_t lost;
} result;

static void print_result(const bus_bench *b, const result *r)
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

static bool throughput(const bus_bench *b, const char *path, uint32_t batch, double *rate)
{
    stream_context c = {.socket_path = b->agent.socket_path,
                        .messages = (uint64_t)(b->seconds * 10e6),
                        .batch = batch};
    void *shared = NULL;
    const stream_shared *s;
    result r = {.kase = "throughput", .path = path};

    if (!tribus_bench_pair_fork(stream_run, 2, sizeof(stream_shared), &shared, &c,
                                60.0 + b->seconds))
        return false;
    s = shared;
    r.stats.rate_per_s = (double)s->count / s->seconds;
    r.stats.p50_ns = s->publish_ns; /* the mean, of the publisher */
    r.count = s->count;
    r.lost = s->lost;
    *rate = r.stats.rate_per_s;
    print_result(b, &r);
    tribus_bench_pair_drop();
    return true;
}

/* ---- publisher alone: what the wire costs who does not use it ---- */

static bool alone_run(int side, void *shared, void *context)
{
    const stream_context *c = context;
    stream_shared *s = shared;
    tribus_bench_client client;
    tribus_msg_price_update m;
    const tribus_msg_header *h = tribus_bench_price(&m, 0);
    double *ns = calloc(c->messages / 64, sizeof(*ns));

    (void)side;
    if (ns == NULL || h == NULL || !tribus_bench_client_open(c->socket_path, 0, &client))
        return false;
    for (uint64_t i = 0; i < c->messages / 64; i++) {
        const uint64_t began = tribus_clock_ticks();

        for (int k = 0; k < 64; k++) {
            m.price_e9 = (int64_t)i;
            if (tribus_bus_publish(client.bus, h) != TRIBUS_OK)
                return tribus_bench_pair_fail("%s", tribus_error_text());
        }
        ns[i] = tribus_clock_ns(tribus_clock_ticks() - began) / 64;
    }
    tribus_bench_pair_stats(ns, (size_t)(c->messages / 64),
                            (tribus_bench_stats *)(void *)(s + 1));
    s->count = c->messages;
    free(ns);
    tribus_bench_client_close(&client);
    return true;
}

static bool alone(const bus_bench *b, const char *path, double *p50)
{
    stream_context c = {.socket_path = b->agent.socket_path,
                        .messages = (uint64_t)(b->seconds * 4e6)};
    void *shared = NULL;
    result r = {.kase = "publish", .path = path};

    if (!tribus_bench_pair_fork(alone_run, 1,
                                sizeof(stream_shared) + sizeof(tribus_bench_stats), &shared,
                                &c, 60.0 + b->seconds))
        return false;
    r.stats = *(const tribus_bench_stats *)(const void *)((stream_shared *)shared + 1);
    r.stats.rate_per_s = 1e9 / r.stats.p50_ns;
    r.count = ((stream_shared *)shared)->count;
    *p50 = r.stats.p50_ns;
    print_result(b, &r);
    tribus_bench_pair_drop();
    return true;
}

/* ---- many subscribers: what a publisher pays for them ---- */

/* Measure the publisher while `batch` subscriptions of another process poll its topic. */
static bool crowd_run(int side, void *shared, void *context)
{
    const stream_context *c = context;
    stream_shared *s = shared;
    const tribus_bus_filter filter = {.types = 1ull << TRIBUS_MSG_PRICE_UPDATE};
    const tribus_msg_header *m = NULL;
    tribus_subscription **subs;
    tribus_bench_client client;

    if (side == 0) {
        bool ok;

        while (tribus_load_acq(&s->ready) == 0) /* set before anything is measured */
            tribus_relax();
        ok = alone_run(0, shared, context);
        tribus_store_rlx(&s->read, 1u); /* a hint: no more comes */
        return ok;
    }
    subs = calloc(c->batch, sizeof(*subs));
    if (subs == NULL || !tribus_bench_client_open(c->socket_path, 0, &client))
        return false;
    for (uint32_t i = 0; i < c->batch; i++) {
        if (tribus_bus_subscribe(client.bus, &filter, &subs[i]) != TRIBUS_OK)
            return tribus_bench_pair_fail("%s", tribus_error_text());
    }
    tribus_store_rel(&s->ready, 1u);
    while (tribus_load_rlx(&s->read) == 0) { /* a hint */
        for (uint32_t i = 0; i < c->batch; i++) {
            uint64_t lost = 0;

            if (tribus_bus_next(subs[i], &m, &lost) == TRIBUS_OK)
                s->lost += lost;
        }
    }
    tribus_bench_client_close(&client);
    free(subs);
    return true;
}

static bool crowd(const bus_bench *b, const char *path, uint32_t subscribers, double *p99)
{
    stream_context c = {.socket_path = b->agent.socket_path,
                        .messages = (uint64_t)(b->seconds * 4e6),
                        .batch = subscribers};
    void *shared = NULL;
    result r = {.kase = "subscribers", .path = path};

    if (!tribus_bench_pair_fork(crowd_run, 2,
                                sizeof(stream_shared) + sizeof(tribus_bench_stats), &shared,
                                &c, 60.0 + b->seconds))
        return false;
    r.stats = *(const tribus_bench_stats *)(const void *)((stream_shared *)shared + 1);
    r.stats.rate_per_s = 1e9 / r.stats.p50_ns;
    r.count = ((stream_shared *)shared)->count;
    r.lost = ((stream_shared *)shared)->lost; /* of all of them: one core reads for all */
    *p99 = r.stats.p99_ns;
    print_result(b, &r);
    tribus_bench_pair_drop();
    return true;
}

/* Interleaved, as idle_wire(); polling subscribers: those that sleep have to be woken. */
static bool crowds(const bus_bench *b)
{
    double one = 0.0, many = 0.0;

    for (int i = 0; i < 3; i++) {
        double few = 0.0, thousand = 0.0;

        if (!crowd(b, "by-1", 1, &few) || !crowd(b, "by-1000", 1000, &thousand))
            return false;
        one = i == 0 || few < one ? few : one;
        many = i == 0 || thousand < many ? thousand : many;
    }
    if (!b->json)
        printf("\n1,000 subscribers over one, publisher's p99   %6.3f  (wanted: 1)\n\n",
               many / one);
    return true;
}

static bool bridge_start(const bus_bench *b, int64_t spin_ns, tribus_bridge **out)
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

static bool local(const bus_bench *b)
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
static bool idle_wire(const bus_bench *b)
{
    double off = 0.0, on = 0.0;

    for (int i = 0; i < 3; i++) {
        tribus_bridge *bridge = NULL;
        double one = 0.0, other = 0.0;
        bool ok = alone(b, "wire-off", &one);

        if (!ok || !bridge_start(b, 0, &bridge))
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

int tribus_cli_bench_bus(int argc, char **argv)
{
    static bus_bench b = {.seconds = 0.5};
    const char *server = "redis-server";
    bool no_redis = false, realtime = false, ok;
    int exit_code;
    const tribus_cli_usage usage = {
        "bench bus", "[--json] [--seconds N]",
        "The typed client against the bare ring between two processes, and what the bridge "
        "to\nRedis adds. Messages are price_update, stamped, validated and copied.",
        "  tribus bench bus --json | jq .p50_ns"};
    const tribus_cli_option options[] = {
        {"--json", NULL, "one JSON object a row", TRIBUS_CLI_FLAG, &b.json},
        {"--seconds", "N", "to measure each row (0.5)", TRIBUS_CLI_REAL, &b.seconds},
        {"--no-redis", NULL, "leave the Redis rows out", TRIBUS_CLI_FLAG, &no_redis},
        {"--redis-server", "PROGRAM", "to start (redis-server)", TRIBUS_CLI_TEXT, &server},
        {"--realtime", NULL, "under SCHED_FIFO: nothing else runs meanwhile",
         TRIBUS_CLI_FLAG, &realtime},
    };

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &exit_code))
        return exit_code;
    if (tribus_os_core_count() < 2)
        return tribus_cli_complain("bench bus", "needs two cores, this machine has one");
    if (realtime)
        tribus_bench_pair_realtime();
    if (!tribus_bench_agent_start("bench bus", &b.agent))
        return TRIBUS_EXIT_FAILED;
    if (!no_redis)
        b.redis_up = tribus_bench_redis_start("bench bus", server, &b.redis);
    if (!b.json)
        tribus_bench_pair_print_head();
    ok = local(&b);
    if (ok)
        ok = crowds(&b);
    if (ok && b.redis_up)
        ok = idle_wire(&b);
    tribus_bench_redis_stop(&b.redis);
    tribus_bench_agent_stop(&b.agent);
    return ok && (b.redis_up || no_redis) ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
