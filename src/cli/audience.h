/* audience.h -- listen to all three buses and keep tallies: what `tribus demo` shows and sums up. */
#ifndef TRIBUS_CLI_AUDIENCE_H
#define TRIBUS_CLI_AUDIENCE_H

#include "tribus/bus.h"
#include "tribus/pipeline.h"
#include "tribus/wire.h"

#define TRIBUS_AUDIENCE_ENGINES 64u

typedef struct tribus_audience_engine {
    tribus_msg_engine_health last;
    int64_t heard_ns;
} tribus_audience_engine;

/* A growing set of durations. */
typedef struct tribus_audience_span {
    int64_t *ns;
    size_t count, room;
} tribus_audience_span;

typedef struct tribus_audience {
    tribus_session *session;
    tribus_bus *bus;
    tribus_subscription *sub;
    int64_t started_ns;
    uint64_t by_bus[TRIBUS_BUSES];
    uint64_t by_type[TRIBUS_MSG_END];
    uint64_t lost, invalid;
    double traded_value, traded_qty; /* of every trade heard: their ratio is the VWAP */
    tribus_audience_engine engines[TRIBUS_AUDIENCE_ENGINES];
    uint32_t engine_count;
    tribus_msg_risk_metric risk; /* the last one */
    tribus_msg_risk_limit_breach breach;
    tribus_audience_span market_to_risk; /* from the market message to its risk metric */
} tribus_audience;

/* Connect to the agent and subscribe to everything. socket NULL: default.
 * On a fault w may be given to close all the same. */
TRIBUS_MUST_CHECK tribus_status tribus_audience_open(tribus_audience *w, const char *socket,
                                                     const char *name);
void tribus_audience_close(tribus_audience *w);

/* Take in what has come, waiting for it at most timeout_ns in all. */
TRIBUS_MUST_CHECK tribus_status tribus_audience_listen(tribus_audience *w,
                                                       int64_t timeout_ns);

/* Messages that engines say they lost, and those lost here. */
uint64_t tribus_audience_lost(const tribus_audience *w);

/* The value that `share` (0..1) of the durations do not exceed; 0 when there are none.
 * Sorts the set. */
int64_t tribus_audience_percentile(tribus_audience_span *s, double share);

#endif
