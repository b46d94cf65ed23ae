/* bench_bus.h -- what the parts of `tribus bench bus` share.
 *
 * bench_bus.c        the typed client against the bare ring; what the wire costs
 * bench_bus_crowd.c  one topic, many subscribers
 * bench_bus_wire.c   the bridge against plain Redis
 */
#ifndef TRIBUS_CLI_BENCH_BUS_H
#define TRIBUS_CLI_BENCH_BUS_H

#include "agent/bridge.h"
#include "cli/bench_bus_paths.h"
#include "cli/bench_paths.h"

typedef struct tribus_bench_bus_run {
    tribus_bench_agent agent;
    tribus_bench_redis redis;
    bool redis_up;
    bool json;
    bool realtime;
    double seconds;
} tribus_bench_bus_run;

/* One result that is not a ping-pong. */
typedef struct tribus_bench_bus_result {
    const char *kase;
    const char *path;
    tribus_bench_stats stats;
    uint64_t count;
    uint64_t lost;
} tribus_bench_bus_result;

void tribus_bench_bus_print(const tribus_bench_bus_run *b,
                            const tribus_bench_bus_result *r);

/* The bridge between our agent and our server, for the MarketData bus alone. Returns false
 * after complaining. */
bool tribus_bench_bus_bridge(const tribus_bench_bus_run *b, int64_t spin_ns,
                             tribus_bridge **out);

/* Time a publisher by itself: c->messages, 64 at a time. Returns as tribus_bench_fn. */
bool tribus_bench_bus_publish_alone(const char *socket_path, uint64_t messages,
                                    tribus_bench_stats *out);

/* Rows with 1,000 subscribers; rows of the bridge. Return false after complaining. */
bool tribus_bench_bus_crowds(const tribus_bench_bus_run *b);
bool tribus_bench_bus_wire(const tribus_bench_bus_run *b);

#endif
