/* bridge_side.h -- what the jobs of the bridge share. See bridge.h.
 *
 * bridge.c      start, stop, statistics, origins
 * bridge_out.c  fabric -> wire          bridge_in.c  wire -> fabric
 * bridge_store.c  durable messages -> Redis streams
 * bridge_answer.c  coordination messages, answered; bridge_answer_tensor.c  those with slots
 * bridge_hosts.c   what this host owns, told to others
 */
#ifndef TRIBUS_AGENT_BRIDGE_SIDE_H
#define TRIBUS_AGENT_BRIDGE_SIDE_H

#include "agent/bridge.h"
#include "base/atomic.h"
#include "bus/redis.h"
#include "bus/redis_tls.h"
#include "bus/server.h"

#include <pthread.h>

/* What two threads see of each other; counters have one writer each. */
typedef struct tribus_bridge_counters {
    _Atomic(uint64_t) listening;
    _Atomic(uint64_t) confirmed; /* types whose channels the server knows we subscribe to */
    _Atomic(uint64_t) sent;
    _Atomic(uint64_t) sent_bytes;
    _Atomic(uint64_t) lost;
    _Atomic(uint64_t) received;
    _Atomic(uint64_t) echoes;
    _Atomic(uint64_t) malformed;
    _Atomic(uint64_t) unknown;
    _Atomic(uint64_t) cut;
    _Atomic(uint64_t) outages;
    _Atomic(uint64_t) stored;
    _Atomic(uint64_t) store_lost;
    _Atomic(uint64_t) copied_bytes;
    _Atomic(uint32_t) up;      /* connections that are up */
    _Atomic(uint32_t) working; /* connections that did what they are for */
    _Atomic(uint32_t) warned;
    _Atomic(uint64_t) place; /* where the store found the server, hashed; see bridge.c */
} tribus_bridge_counters;

typedef enum tribus_bridge_job {
    TRIBUS_BRIDGE_IN = 0,    /* wire -> fabric */
    TRIBUS_BRIDGE_OUT = 1,   /* fabric -> wire */
    TRIBUS_BRIDGE_STORE = 2, /* durable messages -> streams */
    TRIBUS_BRIDGE_ANSWER = 3 /* coordination messages; on the Neural-GPU bus alone */
} tribus_bridge_job;

#define TRIBUS_BRIDGE_JOBS 4u

/* One job for one bus: a thread. */
typedef struct tribus_bridge_side {
    tribus_bridge *bridge;
    uint32_t bus;
    tribus_bridge_job job;
    bool running;
    pthread_t thread;
    tribus_session *session;
    tribus_bus *handle;
    tribus_subscription *requests; /* the answer's: there before the bridge has started */
    tribus_redis *redis;           /* NULL: not connected */
    tribus_server at;              /* where the server is, as far as we know */
    tribus_object server; /* the store's: says where the server is; number 0: does not */
    tribus_redis_backoff backoff;
    uint32_t attempts; /* to connect, in a row, that failed */
    bool works;        /* the connection did what it is for */
    uint64_t place;    /* the store's, when we last looked */
} tribus_bridge_side;

struct tribus_bridge {
    tribus_bridge_cfg cfg;
    char texts[6][128]; /* our copies of what cfg points to */
    char sentinels[512];
    tribus_redis_tls_copy tls;
    tribus_bridge_side sides[TRIBUS_BUSES][TRIBUS_BRIDGE_JOBS];
    tribus_bridge_counters counters[TRIBUS_BUSES];
    int stop_fd; /* an eventfd that becomes and stays readable */
    _Atomic(int) stopping;
    _Atomic(uint64_t) forgotten;
    struct tribus_bridge_origins *origins; /* see bridge.c */
};

void *tribus_bridge_out_run(void *side);
void *tribus_bridge_in_run(void *side);
void *tribus_bridge_store_run(void *side);

/* Connect when it is time to. Returns TRIBUS_OK (connected), TRIBUS_EMPTY (not yet). */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_side_connect(tribus_bridge_side *side);

/* Say in the registry where the server is: from now on what is durable waits to be stored
 * there. Returns as tribus_session_create_object(). */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_side_announce(tribus_bridge_side *side);

/* Is the server still the one that the Sentinels name? It asks them, where there are any.
 * Returns TRIBUS_OK, or TRIBUS_PEER_LOST: it is elsewhere. */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_side_ask_place(tribus_bridge_side *side);

/* Has the store found the server elsewhere since? Returns TRIBUS_OK or TRIBUS_PEER_LOST. */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_side_follow(tribus_bridge_side *side);

/* The server did what it was asked for on this connection: from now on a failure is a new
 * one. To be connected is not enough: a server may refuse every command. */
void tribus_bridge_side_works(tribus_bridge_side *side);

/* The connection failed: close it, say so once, try again later. */
void tribus_bridge_side_disconnect(tribus_bridge_side *side);

/* Sleep until the connection has something, it is time to stop, or timeout_ns passed. */
void tribus_bridge_side_sleep(tribus_bridge_side *side, int64_t timeout_ns);

/* Remember a process whose messages we send; and: is this one of them? */
void tribus_bridge_origin_add(tribus_bridge *bridge, uint32_t origin);
bool tribus_bridge_origin_is_ours(const tribus_bridge *bridge, uint32_t origin);

/* How many connections a bus has. */
uint32_t tribus_bridge_jobs_of(uint32_t bus);

/* Set of all types of a bus. */
uint64_t tribus_bridge_types_of(uint32_t bus);

#endif
