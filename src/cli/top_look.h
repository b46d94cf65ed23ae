/* top_look.h -- what `tribus top` shows, taken from the registry without touching anything.
 *
 * Rates of a bus come from its topics' own counts, so that no message is read for them: a
 * platform is no slower for being watched. Of messages only engine_health and risk_metric
 * are read, by a handle that looks on.
 */
#ifndef TRIBUS_CLI_TOP_LOOK_H
#define TRIBUS_CLI_TOP_LOOK_H

#include "tribus/agent.h"
#include "tribus/bus.h"
#include "tribus/pipeline.h"

#define TRIBUS_TOP_ENGINES   64u
#define TRIBUS_TOP_LINKS     128u
#define TRIBUS_TOP_PIPELINES 32u

typedef struct tribus_top_bus {
    char server[80]; /* "127.0.0.1:6380"; "": none */
    uint32_t publishers;
    uint64_t messages; /* published since we look, or before in topics that we met */
    double per_s;
} tribus_top_bus;

typedef struct tribus_top_engine {
    tribus_msg_engine_health last;
    uint64_t received_before, published_before; /* at the last look */
    double received_per_s, published_per_s;
    int64_t heard_ns;
} tribus_top_engine;

/* A ring, topic or region that is counted, or a link of a pipeline. Times: commit to receive,
 * since its start; 0 where they are not measured. */
typedef struct tribus_top_link {
    char name[128];
    uint64_t id[2]; /* which one it is from look to look */
    uint64_t messages, by_reference, copied, laps, lost, full;
    uint64_t p50_ns, p99_ns;
    double per_s;
    bool seen;
} tribus_top_link;

typedef struct tribus_top_pipeline {
    tribus_pipeline_stats stats;
    double per_s;
    bool seen;
} tribus_top_pipeline;

typedef struct tribus_top {
    bool agent_answers;
    tribus_agent_status agent;
    tribus_top_bus buses[TRIBUS_BUSES];
    tribus_top_engine engines[TRIBUS_TOP_ENGINES];
    tribus_top_link links[TRIBUS_TOP_LINKS];
    tribus_top_pipeline pipelines[TRIBUS_TOP_PIPELINES];
    uint32_t engine_count, link_count, pipeline_count;
    int64_t to_risk_p50_ns, to_risk_p99_ns; /* market event to risk metric, since the last
                                               look; 0: none came */
    uint64_t to_risk_count;
    uint64_t lost;  /* of what we read */
    double seconds; /* since the last look; 0: the first */
} tribus_top;

typedef struct tribus_top_eye tribus_top_eye;

/* socket: NULL for the default. Returns what tribus_session_open(), tribus_bus_open() and
 * tribus_bus_subscribe() return. */
TRIBUS_MUST_CHECK tribus_status tribus_top_open(const char *socket, tribus_top_eye **out);
void tribus_top_close(tribus_top_eye *eye);

/* Read what engines say until the deadline (tribus_now_ns()); ends early on a signal. */
void tribus_top_listen(tribus_top_eye *eye, int64_t deadline_ns);

/* Look at everything. Borrowed until the next look. */
const tribus_top *tribus_top_look(tribus_top_eye *eye);

#endif
