/* bench_bus_wire.c -- the bridge against plain Redis, in one run.
 *
 * Latency: messages go one at a time, by turns the plain way and over the bridge, so that
 * whatever the machine does meets both. Nobody polls for more than the waits' usual 20 us,
 * between messages everybody is asleep; then again with a bridge that polls. Both ways end with the same thing in the receiver's
 * hands: JSON text at a plain subscriber, a typed message at a local one (a plain subscriber
 * parses its text to the same struct).
 *
 * Throughput: a local publisher as fast as a plain subscriber follows it. */
#include "cli/bench_bus.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "cli/cli.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define CHANNEL       "nautilus-marketdata_bus-price_update"
#define PLAIN_CHANNEL "tribus-bench-price_update"
#define PACE_NS       250000L /* long enough for everybody to fall asleep */
#define POLL_NS       1000000 /* longer than PACE_NS: the bridge does not sleep */
#define PATIENCE_S    10
#define WARM_UP       64u
#define AHEAD         8192u /* messages under way; a topic keeps 16,384 */
#define PORTION       256u
#define BEGINNING     "BEGINNING" /* a symbol */

enum { PLAIN, BRIDGED, WAYS };

typedef struct wire_shared {
    _Alignas(128) _Atomic(uint64_t) sent_ticks;
    _Alignas(128) _Atomic(uint64_t) seen; /* number of the last message that arrived */
    _Alignas(128) _Atomic(uint32_t) ready;
    double seconds; /* of the stream */
    uint64_t count;
    tribus_bench_stats stats[WAYS];
} wire_shared;

typedef struct wire_context {
    const char *socket_path;
    int port;
    uint64_t rounds; /* of each way */
    double *ns[WAYS];
} wire_context;

/* ---- plain Redis ---- */

static redisContext *connect_to(int port)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, patience);

    if (c == NULL || c->err != 0) {
        (void)tribus_bench_pair_fail("redis: %s", c != NULL ? c->errstr : "no memory");
        return NULL;
    }
    (void)redisSetTimeout(c, patience);
    return c;
}

static redisContext *subscribe_to(int port, const char *channel)
{
    redisContext *c = connect_to(port);
    redisReply *reply = c != NULL ? redisCommand(c, "SUBSCRIBE %s", channel) : NULL;

    if (reply == NULL)
        return NULL;
    freeReplyObject(reply);
    return c;
}

/* The next message; NULL after a failure. */
static redisReply *next_text(redisContext *c)
{
    redisReply *r = NULL;

    if (redisGetReply(c, (void **)&r) != REDIS_OK || r->type != REDIS_REPLY_ARRAY ||
        r->elements != 3) {
        (void)tribus_bench_pair_fail("redis: %s",
                                     c->errstr[0] != '\0' ? c->errstr : "lost");
        return NULL;
    }
    return r;
}

/* Encode and send; the reply is read when the message has arrived. */
static bool publish_text(redisContext *c, const char *channel, const tribus_msg_header *h)
{
    char json[TRIBUS_WIRE_JSON_BYTES];
    const char *argv[3] = {"PUBLISH", channel, json};
    size_t lengths[3] = {7, strlen(channel), 0};
    int done = 0;

    if (tribus_wire_to_json(h, json, sizeof(json), &lengths[2]) != TRIBUS_OK)
        return tribus_bench_pair_fail("%s", tribus_error_text());
    if (redisAppendCommandArgv(c, 3, argv, lengths) != REDIS_OK)
        return tribus_bench_pair_fail("redis: %s", c->errstr);
    while (!done) {
        if (redisBufferWrite(c, &done) != REDIS_OK)
            return tribus_bench_pair_fail("redis: %s", c->errstr);
    }
    return true;
}

static bool take_answer(redisContext *c)
{
    redisReply *reply = NULL;

    if (redisGetReply(c, (void **)&reply) != REDIS_OK)
        return tribus_bench_pair_fail("redis: %s", c->errstr);
    freeReplyObject(reply);
    return true;
}

/* ---- the measured side of both latencies ---- */

/* Wait without a busy core until message i has arrived. */
static bool has_arrived(const wire_shared *s, uint64_t i)
{
    const struct timespec step = {.tv_nsec = PACE_NS};
    const int64_t deadline = tribus_deadline_ns(PATIENCE_S * 1000000000LL);

    do {
        (void)nanosleep(&step, NULL);
        if (tribus_load_acq(&s->seen) >= i) /* A1 pairs with R1 in arrived */
            return true;
    } while (!tribus_bench_pair_ended() && tribus_deadline_left_ns(deadline) > 0);
    return tribus_bench_pair_fail("a message did not arrive");
}

static void arrived(wire_shared *s, const wire_context *c, uint64_t i, uint64_t now)
{
    const uint64_t took = now - tribus_load_rlx(&s->sent_ticks);

    if (i >= WARM_UP)
        c->ns[i % WAYS][(i - WARM_UP) / WAYS] = tribus_clock_ns(took);
    if (i >= 2 || tribus_load_acq(&s->seen) == 0) /* 1 may come late, and often */
        tribus_store_rel(&s->seen, i);            /* R1 pairs with A1 in has_arrived */
}

static void summarise(wire_shared *s, const wire_context *c)
{
    for (int way = 0; way < WAYS; way++)
        tribus_bench_pair_stats(c->ns[way], (size_t)c->rounds, &s->stats[way]);
}

static bool wait_ready(const wire_shared *s, uint32_t parties)
{
    const struct timespec step = {.tv_nsec = 1000000};

    while (tribus_load_acq(&s->ready) < parties) {
        if (tribus_bench_pair_ended())
            return false;
        (void)nanosleep(&step, NULL);
    }
    return true;
}

static uint64_t rounds_of(const wire_context *c)
{
    return WARM_UP + WAYS * c->rounds;
}

/* Messages 2 to the last, by turns; number 1 is sent until the bridge knows who listens. */
static bool publish_by_turns(wire_shared *s, const wire_context *c, bool inward)
{
    redisContext *redis = connect_to(c->port);
    tribus_bench_client client;
    tribus_msg_price_update m;
    const tribus_msg_header *h = tribus_bench_price(&m, 0);
    bool ok = redis != NULL && h != NULL && wait_ready(s, inward ? 2 : 1) &&
              tribus_bench_client_open(c->socket_path, 0, &client);

    for (uint64_t i = 0; ok && i < rounds_of(c); i++) {
        const bool plain = i >= 2 && i % WAYS == PLAIN;

        m.price_e9 = i < 2 ? 1 : (int64_t)i;
        m.header.timestamp_wall_ns = tribus_now_wall_ns();
        tribus_store_rlx(&s->sent_ticks, tribus_clock_ticks()); /* shown by the message */
        if (plain || inward)
            ok = publish_text(redis, plain && inward ? PLAIN_CHANNEL : CHANNEL, h);
        else
            ok = tribus_bus_publish(client.bus, h) == TRIBUS_OK ||
                 tribus_bench_pair_fail("%s", tribus_error_text());
        ok = ok && has_arrived(s, i < 2 ? 0 : i) &&
             (!(plain || inward) || take_answer(redis));
        if (i == 1 && tribus_load_acq(&s->seen) == 0) /* A1, again and again */
            i = 0;
    }
    return ok;
}

/* ---- a local publisher, a plain subscriber ---- */

static bool outward(int side, void *shared, void *context)
{
    const wire_context *c = context;
    wire_shared *s = shared;
    redisContext *sub;
    uint64_t last = 0;

    if (side == 0)
        return publish_by_turns(s, c, false);
    sub = subscribe_to(c->port, CHANNEL);
    if (sub == NULL)
        return tribus_bench_pair_fail("redis: cannot subscribe");
    (void)tribus_add_ar(&s->ready, 1u);
    while (last + 1 < rounds_of(c)) {
        redisReply *r = next_text(sub);
        const uint64_t now = tribus_clock_ticks();
        tribus_msg_any m;

        if (r == NULL)
            return false;
        if (tribus_wire_from_json(r->element[2]->str, r->element[2]->len, &m, sizeof(m),
                                  NULL) != TRIBUS_OK)
            return tribus_bench_pair_fail("%s", tribus_error_text());
        last = (uint64_t)m.price_update.price_e9;
        arrived(s, c, last, now);
        freeReplyObject(r);
    }
    redisFree(sub);
    summarise(s, c);
    return true;
}

/* ---- a plain publisher; a local subscriber and a plain one ---- */

typedef struct plain_reader {
    wire_shared *s;
    const wire_context *c;
    pthread_t thread;
} plain_reader;

static void *read_plain(void *context)
{
    const plain_reader *me = context;
    redisContext *sub = subscribe_to(me->c->port, PLAIN_CHANNEL);
    const uint64_t end = rounds_of(me->c) - WAYS; /* the last is a bridged one */
    uint64_t last = 0;

    if (sub == NULL)
        return NULL;
    (void)tribus_add_ar(&me->s->ready, 1u);
    while (last < end) {
        redisReply *r = next_text(sub);
        tribus_msg_any m;

        if (r == NULL)
            return NULL;
        if (tribus_wire_from_json(r->element[2]->str, r->element[2]->len, &m, sizeof(m),
                                  NULL) != TRIBUS_OK) {
            (void)tribus_bench_pair_fail("%s", tribus_error_text());
            return NULL;
        }
        last = (uint64_t)m.price_update.price_e9;
        arrived(me->s, me->c, last, tribus_clock_ticks());
        freeReplyObject(r);
    }
    redisFree(sub);
    return NULL;
}

static bool inward(int side, void *shared, void *context)
{
    const wire_context *c = context;
    wire_shared *s = shared;
    plain_reader plain = {.s = s, .c = c};
    const tribus_wait_cfg wait = {.timeout_ns = PATIENCE_S * 1000000000LL};
    const tribus_msg_header *m = NULL;
    tribus_bench_client client;
    uint64_t last = 0;

    if (side == 0)
        return publish_by_turns(s, c, true);
    if (!tribus_bench_client_open(c->socket_path, 1ull << TRIBUS_MSG_PRICE_UPDATE, &client))
        return false;
    if (pthread_create(&plain.thread, NULL, read_plain, &plain) != 0)
        return tribus_bench_pair_fail("thread");
    (void)tribus_add_ar(&s->ready, 1u);
    while (last + 1 < rounds_of(c)) {
        if (tribus_bus_next_wait(client.sub, &m, NULL, &wait) != TRIBUS_OK)
            return tribus_bench_pair_fail("no message from the wire");
        last = (uint64_t)((const tribus_msg_price_update *)m)->price_e9;
        arrived(s, c, last, tribus_clock_ticks());
    }
    (void)pthread_join(plain.thread, NULL);
    summarise(s, c);
    tribus_bench_client_close(&client);
    return true;
}

/* ---- a stream: a local publisher, a plain subscriber ---- */

/* As fast as the subscriber follows, so that nothing is lost. */
static bool stream_publish(wire_shared *s, const wire_context *c)
{
    const struct timespec step = {.tv_nsec = 50000};
    tribus_bench_client client;
    tribus_msg_price_update m;
    const tribus_msg_header *h = tribus_bench_price(&m, 0);
    bool ok = h != NULL && wait_ready(s, 1) &&
              tribus_bench_client_open(c->socket_path, 0, &client);

    for (uint64_t i = 0; ok && i <= c->rounds;) {
        if (i == 0 || i - tribus_load_acq(&s->seen) > AHEAD) { /* A1 pairs with R1 */
            (void)nanosleep(&step, NULL);
            if (tribus_bench_pair_ended())
                return false;
            if (i != 0)
                continue;
        }
        (void)tribus_wire_text_set(m.symbol, sizeof(m.symbol), i == 0 ? BEGINNING : "AAPL");
        for (uint32_t k = 0; ok && k < (i == 0 ? 1u : PORTION); k++) {
            m.price_e9 = (int64_t)i + k;
            ok = tribus_bus_publish(client.bus, h) == TRIBUS_OK;
        }
        if (i != 0)
            i += PORTION;
        else if (tribus_load_acq(&s->ready) == 2) /* the bridge knows who listens */
            i = 1;
    }
    return ok || tribus_bench_pair_fail("%s", tribus_error_text());
}

/* Count without parsing, from the first that is not of the beginning. */
static bool stream_receive(wire_shared *s, const wire_context *c)
{
    redisContext *sub = subscribe_to(c->port, CHANNEL);
    uint64_t count = 0;
    int64_t began = 0;

    if (sub == NULL)
        return tribus_bench_pair_fail("redis: cannot subscribe");
    (void)tribus_add_ar(&s->ready, 1u);
    while (count < c->rounds) {
        redisReply *r = next_text(sub);

        if (r == NULL)
            return false;
        if (count > 0 || strstr(r->element[2]->str, BEGINNING) == NULL) {
            if (count++ == 0)
                began = tribus_now_ns();
            if (count % PORTION == 0)
                tribus_store_rel(&s->seen, count); /* R1 pairs with A1 in stream_publish */
        } else if (tribus_load_acq(&s->ready) == 1) {
            (void)tribus_add_ar(&s->ready, 1u);
        }
        freeReplyObject(r);
    }
    s->seconds = (double)(tribus_now_ns() - began) / 1e9;
    s->count = count;
    tribus_store_rel(&s->seen, count + AHEAD);
    redisFree(sub);
    return true;
}

static bool stream(int side, void *shared, void *context)
{
    return side == 0 ? stream_publish(shared, context) : stream_receive(shared, context);
}

/* ---- rows ---- */

static bool latency(const tribus_bench_bus_run *b, const char *kase, const char *path,
                    tribus_bench_fn fn, double *ratio)
{
    const char *const paths[WAYS] = {[PLAIN] = "redis", [BRIDGED] = path};
    wire_context c = {.socket_path = b->agent.socket_path,
                      .port = b->redis.port,
                      .rounds = (uint64_t)(b->seconds * 2000)};
    double *ns = calloc(WAYS * c.rounds, sizeof(*ns));
    void *shared = NULL;
    bool ok = ns != NULL;

    c.ns[PLAIN] = ns; /* written by the measuring process, in its copy */
    c.ns[BRIDGED] = ok ? ns + c.rounds : NULL;
    ok = ok && tribus_bench_pair_fork(fn, 2, sizeof(wire_shared), &shared, &c,
                                      120.0 + 4.0 * b->seconds);
    for (int way = 0; ok && way < WAYS; way++) {
        tribus_bench_bus_result r = {.kase = kase,
                                     .path = paths[way],
                                     .stats = ((wire_shared *)shared)->stats[way],
                                     .count = c.rounds};

        r.stats.rate_per_s = 1e9 / r.stats.p50_ns;
        tribus_bench_bus_print(b, &r);
    }
    if (ok)
        *ratio = ((wire_shared *)shared)->stats[BRIDGED].p50_ns /
                 ((wire_shared *)shared)->stats[PLAIN].p50_ns;
    tribus_bench_pair_drop();
    free(ns);
    return ok;
}

static bool throughput(const tribus_bench_bus_run *b, const char *path,
                       const tribus_bridge *bridge, double *rate)
{
    wire_context c = {.socket_path = b->agent.socket_path,
                      .port = b->redis.port,
                      .rounds = (uint64_t)(b->seconds * 400000)};
    tribus_bench_bus_result r = {.kase = "wire-stream", .path = path};
    tribus_bridge_stats before, after;
    void *shared = NULL;
    bool ok =
        tribus_bridge_get_stats(bridge, TRIBUS_BUS_MARKETDATA, &before) == TRIBUS_OK &&
        tribus_bench_pair_fork(stream, 2, sizeof(wire_shared), &shared, &c,
                               120.0 + 4.0 * b->seconds) &&
        tribus_bridge_get_stats(bridge, TRIBUS_BUS_MARKETDATA, &after) == TRIBUS_OK;

    if (ok) {
        r.count = ((wire_shared *)shared)->count;
        r.lost = after.lost - before.lost;
        *rate = (double)r.count / ((wire_shared *)shared)->seconds;
        r.stats.rate_per_s = *rate;
        r.stats.p50_ns = 1e9 / *rate; /* the mean */
        tribus_bench_bus_print(b, &r);
    }
    tribus_bench_pair_drop();
    return ok;
}

/* Server and bridge get what the measured processes get. */
static void raise_server(const tribus_bench_bus_run *b, bool up)
{
    const struct sched_param first = {.sched_priority = up ? 1 : 0};

    if (!b->realtime)
        return;
    /* Allowed: the processes that measure have it, or the rows before had failed. */
    (void)sched_setscheduler(b->redis.pid, up ? SCHED_FIFO : SCHED_OTHER, &first);
    (void)sched_setscheduler(0, up ? SCHED_FIFO : SCHED_OTHER, &first);
}

/* Rows with a bridge that polls so long; rate NULL: latencies alone. */
static bool rows(const tribus_bench_bus_run *b, const char *path, int64_t spin_ns,
                 double *out, double *in, double *rate)
{
    tribus_bridge *bridge = NULL;
    const bool ok = tribus_bench_bus_bridge(b, spin_ns, &bridge) &&
                    latency(b, "wire-out", path, outward, out) &&
                    latency(b, "wire-in", path, inward, in) &&
                    (rate == NULL || throughput(b, path, bridge, rate));

    tribus_bridge_stop(bridge);
    return ok;
}

bool tribus_bench_bus_wire(const tribus_bench_bus_run *b)
{
    double out[2], in[2], rate;
    bool ok;

    raise_server(b, true); /* threads inherit it */
    ok = rows(b, "bridged", 0, &out[0], &in[0], &rate);
    raise_server(b, false); /* who polls above everybody stops the kernel's own threads */
    ok = ok && rows(b, "polling", POLL_NS, &out[1], &in[1], NULL);
    if (ok && !b->json)
        printf(
            "\nbridge                                        asleep between  polling 1 ms\n"
            "to a plain subscriber over PUBLISH, p50              %6.2f        %6.2f  "
            "(wanted: at most 1.3)\n"
            "to a local subscriber over a plain one, p50          %6.2f        %6.2f  "
            "(wanted: at most 1.3)\n"
            "bridged, /s                                    %12.0f                "
            "(wanted: at least 200000)\n\n",
            out[0], out[1], in[0], in[1], rate);
    return ok;
}
