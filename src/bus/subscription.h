/* subscription.h -- what a subscription is made of, and how it follows the registry.
 *
 * subscription.c   subscribe, receive, wait        follow.c   join and leave topics
 */
#ifndef TRIBUS_BUS_SUBSCRIPTION_H
#define TRIBUS_BUS_SUBSCRIPTION_H

#include "bus/bus.h"
#include "bus/event.h"

#define TRIBUS_FOLLOW_TURN       16u /* messages taken from one topic before the next one */
#define TRIBUS_FOLLOW_HELD_BYTES (TRIBUS_FOLLOW_TURN * TRIBUS_BUS_CELL_BYTES)
#define TRIBUS_FOLLOW_STEP_NS    1000000LL /* where bells cannot say it all, look this often */
#define TRIBUS_FOLLOW_TEXT_BYTES 128u

/* A topic we follow, or one that could not be joined. */
typedef struct tribus_follow_source {
    tribus_topic *topic; /* NULL: not joined (yet) */
    tribus_object object;
    uint32_t bus;
    uint32_t lane;
    int64_t since_ns; /* not joined since then; 0: given up, or read to its end */
    void *mem;        /* the session holds this mapping for us; NULL: not yet */
    bool seen;        /* in the registry at the last look */
    bool left;        /* its publisher ended; what is there is all there is */
    bool from_start;
} tribus_follow_source;

struct tribus_subscription {
    tribus_bus *bus;
    tribus_subscription *next;
    uint32_t buses;
    uint64_t types;
    uint32_t history;
    bool without_own;
    char engine[TRIBUS_FOLLOW_TEXT_BYTES];
    uint64_t revision;
    bool first_look;
    bool unfinished;               /* a topic appeared and could not be joined yet */
    int64_t again_ns;              /* unfinished: when to look again */
    uint32_t left_out;             /* topics for which there was no room at the last look */
    bool ended;                    /* a topic left the registry; it is read to its end */
    bool unread;                   /* a look stopped early: there may be more */
    tribus_follow_source *sources; /* those that overtake first */
    uint32_t count;
    uint32_t room;
    uint32_t urgent;              /* how many of those */
    uint32_t at;                  /* whose turn it is */
    uint64_t lost;                /* not reported yet */
    bool waited;                  /* a wait found a message */
    unsigned char *message;       /* handed out last: in one or in held */
    uint32_t held_at, held_count; /* copies of a turn that are not handed out yet */
    uint32_t held_bus;
    uint32_t held_stride;
    uint32_t held_bytes[TRIBUS_FOLLOW_TURN];
    tribus_doorbell_shm *also_bell; /* what else ends a wait; NULL: nothing */
    tribus_ready_fn also_ready;
    void *also_context;
    tribus_event *event;                        /* NULL: no event loop waits for us */
    bool said_lost, said_invalid, said_refused; /* logged: once is enough */
    bool has_extra;
    tribus_wire_extra extra;
    _Alignas(64) unsigned char one[TRIBUS_BUS_WIDE_CELL_BYTES]; /* that overtook */
    _Alignas(64) unsigned char held[TRIBUS_FOLLOW_HELD_BYTES];
};

_Static_assert(TRIBUS_FOLLOW_HELD_BYTES >= TRIBUS_BUS_WIDE_CELL_BYTES,
               "any message can be held");

/* Tell bridge and publishers the union of what all subscriptions of this handle ask for.
 * Returns TRIBUS_OK, or as tribus_want_create(). */
TRIBUS_MUST_CHECK tribus_status tribus_follow_announce(tribus_bus *bus);

/* Tell publishers that end how far all our subscriptions have come. */
void tribus_follow_tell_looked(const tribus_bus *bus);

/* Bring the sources into line with the registry. */
void tribus_follow_look(tribus_subscription *sub);

/* Leave source i. */
void tribus_follow_leave(tribus_subscription *sub, uint32_t i);

/* All that is left of those whose publisher ended was read: leave them. */
void tribus_follow_leave_ended(tribus_subscription *sub);

/* Count what was lost; say it once. */
void tribus_follow_fell_behind(tribus_subscription *sub, const tribus_follow_source *src,
                               uint64_t lost);

/* Count a publisher that cannot be followed; say it once. */
void tribus_follow_refuse(tribus_subscription *sub, uint32_t bus, const char *topic,
                          const char *why);

#endif
