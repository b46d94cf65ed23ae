/* bridge.h -- joins the fabric of this host with the Redis server of each bus.
 *
 * Use it to   let remote processes and plain Redis clients hear what local processes
 *             publish, and the other way round.
 * Not for     local traffic: that never comes here.
 *
 * To the wire goes what somebody there listens to, and nothing else: every look_ns the
 * server is asked for the subscribers of each channel (PUBSUB NUMSUB) and for patterns
 * (PUBSUB NUMPAT; any pattern may want everything). While nobody listens no topic is read.
 *
 * From the wire comes what local processes subscribe to (bus/want.h), and nothing else.
 *
 * Durable messages are stored in Redis streams, see tribus_consumer in bus.h.
 *
 * No loops: what came from the wire is never sent there again (FROM_WIRE), and what we sent
 * is not taken back (its origin is remembered).
 *
 * Threads     Three for each bus, each with a session of its own; start and stop from one.
 * Trust       Text from the wire is parsed and checked; what is wrong is dropped, counted,
 *             and reported in at most one line a second.
 * Cost        A server that is away costs one warning; it is tried again after 50 ms to 2 s.
 */
#ifndef TRIBUS_AGENT_BRIDGE_H
#define TRIBUS_AGENT_BRIDGE_H

#include "tribus/bus.h"

#include <stdbool.h>

typedef struct tribus_bridge tribus_bridge;

typedef struct tribus_bridge_server {
    bool off;         /* do not join this bus */
    const char *host; /* NULL: 127.0.0.1; a path: Unix socket */
    uint16_t port;    /* 0: the bus's own, 6380 to 6382 */
} tribus_bridge_server;

/* The holder (region_commit) that stands for readers of other hosts. */
#define TRIBUS_BRIDGE_HOLDER 61u

/* Answer a HYBRID_PIPELINE_COORD request: change *m into the reply. Called by the bridge's
 * own thread, with its session. On a fault the error text is the answer. m NULL: the session
 * is about to be closed. members: those of `data` that the type does not have, as
 * tribus_wire_extra has them, borrowed; NULL for none. */
typedef tribus_status (*tribus_bridge_pipeline_fn)(void *context, tribus_session *session,
                                                   tribus_msg_hybrid_pipeline_coord *m,
                                                   const char *members);

/* Compute with a tensor: begin a run of a pipeline that computes what *m names. m: a request
 * NEURAL_TO_GPU_COMPUTE, or GPU_TO_NEURAL_REFINE with `model` in the place of `operation`;
 * its pipeline and run are set. bytes: as many as its shape and dtype say, copied. ticket:
 * set. On a fault the error text is the answer. */
typedef tribus_status (*tribus_bridge_tensor_fn)(void *context, tribus_session *session,
                                                 tribus_msg_neural_to_gpu_compute *m,
                                                 const char *members, const void *bytes,
                                                 uint32_t *ticket);

/* Take the n bytes of a result; borrowed during the call. */
typedef tribus_status (*tribus_bridge_put_fn)(void *context, const void *bytes, uint64_t n);

/* Has the run of that ticket ended? Returns TRIBUS_EMPTY while it has not. Otherwise the
 * ticket is over: on TRIBUS_OK shape and dtype of *m are the result's, and put took it; else
 * the error text is the answer. */
typedef tribus_status (*tribus_bridge_result_fn)(void *context, uint32_t ticket,
                                                 tribus_msg_neural_to_gpu_compute *m,
                                                 tribus_bridge_put_fn put,
                                                 void *put_context);

typedef struct tribus_bridge_cfg {
    const char *socket_path; /* of the agent; NULL: the default */
    tribus_bridge_server servers[TRIBUS_BUSES];
    /* Sentinels that say where each bus's server is at the moment: "host:port,host:port";
     * it is monitored under the bus's short name, "engine_logic". NULL: servers stay. */
    const char *sentinels;
    uint32_t replicas;    /* that must have a durable message before it counts as stored */
    const char *user;     /* NULL: "default" */
    const char *password; /* NULL: none */
    const tribus_tls_cfg *tls; /* of servers and Sentinels; NULL: they speak plain */
    int64_t look_ns;           /* how often to ask who listens; 0: 100 ms */
    int64_t spin_ns; /* look on after a message, yielding, before sleeping; 0: 20 us */
    tribus_bridge_pipeline_fn pipeline; /* NULL: such requests are refused */
    tribus_bridge_tensor_fn tensor;     /* both or none, of the same context */
    tribus_bridge_result_fn result;
    void *pipeline_context; /* borrowed until stop */
    const char *host_name;  /* how other hosts know this one; NULL: that of the system */
} tribus_bridge_cfg;

/* Start the threads; servers need not be there yet. cfg: copied. out: owned by the caller.
 * Returns TRIBUS_OK, what tribus_session_open() returns, TRIBUS_NO_MEMORY, TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_start(const tribus_bridge_cfg *cfg,
                                                    tribus_bridge **out);

/* Store what is durable, then stop the threads and free. NULL is allowed. Takes three seconds
 * at most for storing, and a second and a half while a server that does not answer is being
 * connected to. What publishers had left to the agent and is not stored then is counted and
 * logged. */
void tribus_bridge_stop(tribus_bridge *bridge);

/* Counted since the start, for one bus. */
typedef struct tribus_bridge_stats {
    uint32_t connected; /* every connection is up */
    uint32_t reserved;
    uint64_t listening;  /* set of types somebody on the wire listens to */
    uint64_t wanted;     /* set of types fetched from the wire */
    uint64_t sent;       /* messages published on the wire */
    uint64_t sent_bytes; /* of JSON */
    uint64_t lost;      /* overwritten before they could be sent, or in a lost connection */
    uint64_t received;  /* messages taken from the wire */
    uint64_t echoes;    /* ours, come back; dropped */
    uint64_t malformed; /* not JSON, or not an envelope of ours; dropped */
    uint64_t unknown;   /* of an unknown type; dropped */
    uint64_t cut;       /* taken, without their unknown members, which were too long */
    uint64_t outages;   /* connections lost or refused */
    uint64_t stored;    /* durable messages sent to their streams */
    uint64_t store_lost; /* durable messages overwritten before they were stored */
    uint64_t
        copied_bytes;   /* of tensors: for readers of other hosts, and requests of theirs */
    uint64_t forgotten; /* processes whose echoes are no longer told; of all buses */
} tribus_bridge_stats;

/* Returns TRIBUS_OK or TRIBUS_BAD_ARG (no such bus). Any thread. */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_get_stats(const tribus_bridge *bridge,
                                                        uint32_t bus,
                                                        tribus_bridge_stats *out);

#endif
