/* watch.h -- listen to all three buses and keep tallies: what `tribus demo` shows and sums up. */
#ifndef TRIBUS_CLI_WATCH_H
#define TRIBUS_CLI_WATCH_H

#include "tribus/bus.h"
#include "tribus/pipeline.h"
#include "tribus/wire.h"

#define TRIBUS_WATCH_ENGINES 64u

typedef struct tribus_watch_engine {
    tribus_msg_engine_health last;
    int64_t heard_ns;
} tribus_watch_engine;

/* A growing set of durations. */
typedef struct tribus_watch_span {
    int64_t *ns;
    size_t count, room;
} tribus_watch_span;

typedef struct tribus_watch {
    tribus_session *session;
    tribus_bus *bus;
    tribus_subscription *sub;
    int64_t started_ns;
    uint64_t by_bus[TRIBUS_BUSES];
    uint64_t by_type[TRIBUS_MSG_END];
    uint64_t lost, invalid;
    double traded_value, traded_qty; /* of every trade heard: their ratio is the VWAP */
    tribus_watch_engine engines[TRIBUS_WATCH_ENGINES];
    uint32_t engine_count;
    tribus_msg_risk_metric risk; /* the last one */
    tribus_msg_risk_limit_breach breach;
    tribus_watch_span market_to_risk; /* from the market message to its risk metric */
} tribus_watch;

/* Connect to the agent and subscribe to everything. socket NULL: default.
 * On a fault w may be given to close all the same. */
TRIBUS_MUST_CHECK tribus_status tribus_watch_open(tribus_watch *w, const char *socket,
                                                  const char *name);
void tribus_watch_close(tribus_watch *w);

/* Take in what has come, waiting for it at most timeout_ns in all. */
TRIBUS_MUST_CHECK tribus_status tribus_watch_listen(tribus_watch *w, int64_t timeout_ns);

/* Messages that engines say they lost, and those lost here. */
uint64_t tribus_watch_lost(const tribus_watch *w);

/* The value that `share` (0..1) of the durations do not exceed; 0 when there are none.
 * Sorts the set. */
int64_t tribus_watch_percentile(tribus_watch_span *s, double share);

#endif
