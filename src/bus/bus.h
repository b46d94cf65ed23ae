/* bus.h -- what bus.c, subscription.c and the bridge share: names, layouts, the handle.
 *
 * Objects of the registry that belong to the bus
 *   bus/<bus>/<participant>      a topic: what it publishes there
 *   urgent/<bus>/<participant>   a topic: the same for priorities that overtake
 *   durable/<bus>/<participant>  the same for what must not be lost: 64 bytes that say how
 *                                far the agent has stored it in a Redis stream, and a topic
 *   left/<n>/<one of those>      what a publisher left behind for those who had not joined
 *                                it when it ended, see tribus_session_leave()
 *   want/<number>                what it subscribes to, see want.h
 *   wire/<bus>                   where the bus's server is, see server.h
 * with <bus> one of marketdata, engine_logic, neural_gpu.
 *
 * A cell holds a message as wire.h lays it out, then, for messages from the wire that had
 * members unknown to us, a tail: both texts of tribus_wire_extra, each with its zero.
 */
#ifndef TRIBUS_BUS_BUS_H
#define TRIBUS_BUS_BUS_H

#include "base/clock.h"
#include "bus/want.h"
#include "tribus/bus.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Room for any message; 8 bytes of a cell are its sequence word. */
#define TRIBUS_BUS_CELL_BYTES 576u
/* The bridge's cells, for messages with a tail, and the largest that a reader accepts. */
#define TRIBUS_BUS_WIDE_CELL_BYTES 4096u

#define TRIBUS_BUS_NORMAL  0u
#define TRIBUS_BUS_URGENT  1u
#define TRIBUS_BUS_DURABLE 2u
#define TRIBUS_BUS_LANES   3u

#define TRIBUS_BUS_STORE_BYTES 64u /* in front of the topic of a durable lane */

/* Written by the agent, but for the first `claimed`. */
typedef struct tribus_bus_store_shm {
    _Atomic(uint64_t) claimed; /* nonzero: somebody stores what is published here */
    _Atomic(uint64_t) stored;  /* messages that are safe */
    uint64_t reserved[6];
} tribus_bus_store_shm;

_Static_assert(sizeof(tribus_bus_store_shm) == TRIBUS_BUS_STORE_BYTES, "one cache line");

/* A topic we write. */
typedef struct tribus_bus_lane {
    tribus_bus_store_shm *store; /* NULL where nothing is stored */
    tribus_topic *topic;
    tribus_object object;
    uint64_t revision; /* of the registry, with the topic in it */
} tribus_bus_lane;

struct tribus_bus {
    tribus_session *session;
    uint32_t off;
    uint32_t cells[TRIBUS_BUSES];
    uint32_t cell_bytes;
    bool observe;
    bool only_looks; /* observes, and may not even say what it follows */
    bool quiet;      /* the bridge's: what it subscribes to is not announced */
    uint32_t origin;
    char participant[TRIBUS_NAME_BYTES];
    char engine_type[24];
    char engine_instance[32];
    tribus_bus_lane lanes[TRIBUS_BUSES][TRIBUS_BUS_LANES];
    uint64_t sequence[TRIBUS_BUSES];
    tribus_wall_clock clock;
    tribus_bus_lane *claimed; /* where tribus_bus_claim() gave room; NULL: nowhere */
    uint32_t claimed_count;
    uint32_t requests;      /* made, for their correlation */
    int64_t looked_wall_ns; /* stamp of the message at which we looked after the agent */
    tribus_bus_stats stats[TRIBUS_BUSES];
    tribus_want *want;                  /* NULL until the first subscription */
    tribus_subscription *subscriptions; /* a list */
};

/* "marketdata", "engine_logic", "neural_gpu"; n at least 24. */
void tribus_bus_short_name(uint32_t bus, char *buf, size_t n);

/* Bus and lane of a topic; false when it is no topic of a bus, or nobody's. */
bool tribus_bus_topic_parse(const tribus_object *row, uint32_t *bus, uint32_t *lane);

/* Has its publisher ended? */
bool tribus_bus_topic_is_left(const tribus_object *row);

/* Publish what came from elsewhere: origin, sequence, stamp and flags stay as they are.
 * extra may be NULL; when it does not fit, it is left out and *cut is set (NULL allowed).
 * Returns as tribus_bus_publish(). */
TRIBUS_MUST_CHECK tribus_status tribus_bus_forward(tribus_bus *bus,
                                                   const tribus_msg_header *msg,
                                                   const tribus_wire_extra *extra,
                                                   bool *cut);

/* Ask for another set of types, all of the buses the subscription has; it goes on where it
 * is. types: not 0. */
void tribus_bus_retarget(tribus_subscription *sub, uint64_t types);

#endif
