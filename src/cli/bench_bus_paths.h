/* bench_bus_paths.h -- the bus as a transport of bench_pair.h, and an agent to run it on. */
#ifndef TRIBUS_CLI_BENCH_BUS_PATHS_H
#define TRIBUS_CLI_BENCH_BUS_PATHS_H

#include "cli/bench_pair.h"
#include "tribus/agent.h"
#include "tribus/bus.h"

/* price_update one way and trade_execution back, published and received as an engine does:
 * stamped, validated, copied in and out. config: the agent's socket path. */
extern const tribus_bench_ops tribus_bench_bus;

typedef struct tribus_bench_agent {
    tribus_agent *agent;
    char folder[64];
    char socket_path[96];
} tribus_bench_agent;

/* An agent of our own in a temporary folder. Returns false after complaining. */
bool tribus_bench_agent_start(const char *command, tribus_bench_agent *out);
void tribus_bench_agent_stop(tribus_bench_agent *agent);

/* A participant with a bus handle. */
typedef struct tribus_bench_client {
    tribus_session *session;
    tribus_bus *bus;
    tribus_subscription *sub;
} tribus_bench_client;

/* Connect; types 0: no subscription. Returns false after tribus_bench_pair_fail(). */
bool tribus_bench_client_open(const char *socket_path, uint64_t types,
                              tribus_bench_client *out);
/* With a name of its own, where a process has many. */
bool tribus_bench_client_open_as(const char *name, const char *socket_path, uint64_t types,
                                 tribus_bench_client *out);
void tribus_bench_client_close(tribus_bench_client *client);

/* A valid message to publish. */
const tribus_msg_header *tribus_bench_price(tribus_msg_price_update *m, int64_t price_e9);

#endif
