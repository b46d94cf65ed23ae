/* bus.h -- publish and receive messages on the three buses, by message type.
 *
 * Use it to   publish a message (its type selects the bus) and to receive those of other
 *             processes: local ones through shared memory, remote ones through the agent,
 *             which joins this host with the Redis server of each bus. A program never
 *             chooses between the two.
 * Not for     bulk data between processes (a region's slots and a ring, fabric.h) or for
 *             what must arrive whatever happens: a subscriber that falls behind loses the
 *             oldest and is told how many.
 *
 * Memory      A handle owns, for each bus, one topic for what overtakes and one for the
 *             rest, made at the first publish there. One handle a session.
 * Threads     A handle, with its subscriptions, belongs to the thread that owns its
 *             session.
 * Trust       What other processes published is copied, then validated, then handed out.
 *             What does not validate is dropped and counted (tribus_bus_stats.invalid).
 * Order       Kept for each publisher, apart from what overtakes.
 * Cost        Publish and poll neither allocate, block nor enter the kernel, but for the
 *             first publish on a bus, for joining a publisher, and to wake a sleeper.
 */
#ifndef TRIBUS_BUS_H
#define TRIBUS_BUS_H

#include "tribus/session.h"
#include "tribus/tls.h"
#include "tribus/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tribus_bus tribus_bus;
typedef struct tribus_subscription tribus_subscription;

typedef struct tribus_bus_cfg {
    uint32_t off; /* set of buses not used: bit 1 << bus; a two-bus client sets 1 << 2 */
    uint32_t cells[TRIBUS_BUSES]; /* messages a publisher's topic keeps: a power of two;
                                         0: 16384, 2048, 2048 */
    const char *engine_type;      /* filled into messages that leave theirs empty; NULL: the
                                     participant's role */
    const char *engine_instance;  /* the same; NULL: the participant's name */
    int observe; /* nonzero: look on only. Never publishes, maps what others own read-only
                    (and so polls every millisecond where it would sleep), and what nobody
                    else on this host subscribes to is not fetched from the wire */
} tribus_bus_cfg;

/* Open all buses but those switched off. session: borrowed until tribus_bus_close().
 * cfg NULL: defaults. out: owned by the caller.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_open(tribus_session *session,
                                                const tribus_bus_cfg *cfg,
                                                tribus_bus **out);

/* Close it with its subscriptions. Whoever subscribed before a message was published gets it:
 * who joined the publisher's topic can read that to its end, and for those who have not yet,
 * however busy they are, the agent keeps the topic for half a minute. Waits up to a second
 * for durable messages to be stored (tribus_bus_stored_wait() waits longer; the agent goes on
 * for half a minute). Call it before tribus_session_close(). */
void tribus_bus_close(tribus_bus *bus);

/* Publish a message: msg is the header of one of wire.h's structs, made by
 * tribus_wire_init(); copied. In the copy that is sent, sequence and origin are filled in,
 * and stamp and engine where they are empty. Never blocks: a slow subscriber loses, not the
 * publisher. Priorities urgent, critical and flash_crash overtake the others, and so does
 * what is DURABLE: that is stored in a Redis stream by the agent, see tribus_consumer.
 * Returns TRIBUS_OK, TRIBUS_FULL (durable only: 1024 messages wait to be stored, the server
 * is away or slow; nothing was published), TRIBUS_BAD_ARG (not a valid message: the text names the field),
 * TRIBUS_REFUSED (this bus is switched off, or this handle only looks on); at the first
 * publish on a bus also what tribus_session_create_object() returns. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_publish(tribus_bus *bus,
                                                   const tribus_msg_header *msg);

/* The same without a copy, and for many at once: borrow room for up to `want` messages of one
 * type, filled in as by tribus_wire_init(), until the next call on this handle that publishes.
 * out: of `want` entries; *got: how many of them, 1 to 64 (1 where the type is durable).
 * Giving up needs no call.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (no such type), TRIBUS_FULL and TRIBUS_REFUSED as
 * tribus_bus_publish(), and what the first publish on a bus returns. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_claim(tribus_bus *bus, uint32_t type,
                                                 uint32_t want, tribus_msg_header **out,
                                                 uint32_t *got);

/* Publish the first n of them, all or none, in order and with one stamp. One announcement for
 * all: in batches of 16 or more this is what makes 10 million messages a second possible.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG: more than were claimed, or one is not valid, or its
 * priority or DURABLE flag was changed so that it belongs elsewhere; what was claimed stays
 * claimed then. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_commit(tribus_bus *bus, uint32_t n);

/* Wait until every durable message of this handle is stored. timeout_ns: negative for no
 * limit. Returns TRIBUS_OK or TRIBUS_TIMEOUT. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_stored_wait(tribus_bus *bus, int64_t timeout_ns);

/* What to receive. A zero filter receives everything on the buses that are on. */
typedef struct tribus_bus_filter {
    uint32_t buses;      /* set of buses, bit 1 << bus; 0: every bus */
    uint64_t types;      /* set of message types, bit 1 << type; 0: every type */
    const char *pattern; /* glob over channel names: "nautilus-*-risk_*"; NULL: all */
    const char *engine;  /* glob over the sender's type or instance: "ml*"; NULL: all */
    uint32_t history;    /* offer up to this many messages published before now, of each
                            publisher */
    int without_own;     /* nonzero: not what this handle publishes itself */
} tribus_bus_filter;

/* Subscribe. filter: copied. A publisher that appears later is joined from its first
 * message. out: owned by the caller, tribus_bus_unsubscribe() or tribus_bus_close().
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (nothing can match), TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_subscribe(tribus_bus *bus,
                                                     const tribus_bus_filter *filter,
                                                     tribus_subscription **out);
void tribus_bus_unsubscribe(tribus_subscription *sub);

/* Borrow the next message until the next call on this subscription. *lost (may be NULL):
 * messages of any type that were overwritten before this subscription got to them, since
 * the last call. Returns TRIBUS_OK or TRIBUS_EMPTY. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_next(tribus_subscription *sub,
                                                const tribus_msg_header **out,
                                                uint64_t *lost);

/* The same, waiting for one. cfg NULL: spin 20 us, then sleep, no limit.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT, TRIBUS_SYSTEM, or TRIBUS_EMPTY as
 * tribus_bus_wait_also() says. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_next_wait(tribus_subscription *sub,
                                                     const tribus_msg_header **out,
                                                     uint64_t *lost,
                                                     const tribus_wait_cfg *cfg);

/* Let the waits of this subscription end also when ready(context) holds, which a press of
 * bell announces: they then return TRIBUS_EMPTY. bell and context: borrowed until the next
 * call; bell NULL: nothing else. ready must be cheap and may be called often. */
void tribus_bus_wait_also(tribus_subscription *sub, tribus_doorbell_shm *bell,
                          tribus_ready_fn ready, void *context);

/* A descriptor for poll() and epoll instead: readable while tribus_bus_next() may have a
 * message. Level-triggered: it stays readable until that has returned TRIBUS_EMPTY, so a loop
 * that takes one message a turn misses none; with EPOLLET, take messages until EMPTY. It may
 * be readable without a message (each 50 ms at least; for a handle that only looks on, each
 * millisecond). Messages that were handed out do not count, and tribus_bus_wait_also() holds
 * here, too. *fd: the subscription's, valid until it ends; never read or close it.
 * Cost: a thread that sleeps; a call of tribus_bus_next() that returns EMPTY enters the
 * kernel. A publisher does so only when it finds somebody asleep, and then once.
 * Returns TRIBUS_OK, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_event_fd(tribus_subscription *sub, int *fd);

/* The same two, copying the message into buf: `bytes` long, at least
 * TRIBUS_WIRE_MESSAGE_BYTES, aligned as tribus_msg_any.
 * Return as those above, and TRIBUS_BAD_ARG (buf too small). */
TRIBUS_MUST_CHECK tribus_status tribus_bus_poll(tribus_subscription *sub, void *buf,
                                                size_t bytes, uint64_t *lost);
TRIBUS_MUST_CHECK tribus_status tribus_bus_receive_wait(tribus_subscription *sub, void *buf,
                                                        size_t bytes, uint64_t *lost,
                                                        const tribus_wait_cfg *cfg);

/* Members that this release does not know, of the message last received over the wire:
 * what tribus_wire_from_json() kept, borrowed until the next call on this subscription.
 * NULL when there were none. */
const tribus_wire_extra *tribus_bus_extra(const tribus_subscription *sub);

/* ======================== request and reply ========================
 * Any type can be a request and any a reply: the header's correlation joins them. */

/* Publish a request and wait for its reply on sub, a subscription to the reply's type that
 * was made before; other messages that sub receives meanwhile are dropped. *out: the reply,
 * borrowed until the next call on sub. request: copied, its correlation is filled in.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT, what tribus_bus_publish() returns, or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_bus_request_wait(tribus_bus *bus,
                                                        tribus_subscription *sub,
                                                        const tribus_msg_header *request,
                                                        int64_t timeout_ns,
                                                        const tribus_msg_header **out);

/* Publish a reply to a request that was received. Returns as tribus_bus_publish(), and
 * TRIBUS_BAD_ARG when the request asks for no reply (its correlation is 0). */
TRIBUS_MUST_CHECK tribus_status tribus_bus_reply(tribus_bus *bus,
                                                 const tribus_msg_header *request,
                                                 const tribus_msg_header *reply);

/* ======================== durable messages: at least once ========================
 * What is published with the flag DURABLE (types order_request, position_change,
 * margin_call, risk_limit_breach and system_failure have it of their own) goes to
 * subscribers like any other message, and the agent stores it in the Redis stream that has
 * the name of its channel. Consumers of one group share what is stored: each message is
 * given to one of them, again and again until it is acknowledged, across crashes of
 * anybody. Within the reach of MAXLEN (about a million messages a type). */

typedef struct tribus_consumer tribus_consumer;

typedef struct tribus_consumer_cfg {
    const char *group;    /* who shares the work: "oms" */
    const char *name;     /* of this consumer, stable across its restarts; NULL: that of the
                             participant */
    uint64_t types;       /* set of types, bit 1 << type; 0: all five of their own */
    int from_start;       /* a new group begins with what is stored already; 0: with what is
                             stored from tribus_consumer_open() on */
    int64_t take_over_ns; /* take messages that another consumer of the group was given this
                             long ago and did not acknowledge, and our own that we let be;
                             looked for twice in this time; 0: never */
    const char *user;     /* of the servers; NULL: "default" */
    const char *password; /* NULL: none */
    const tribus_tls_cfg *tls; /* NULL: the servers speak plain */
} tribus_consumer_cfg;

/* Join a group. bus: borrowed until close. cfg: copied. The servers are those the agent
 * uses; they need not answer yet. out: owned by the caller.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_consumer_open(tribus_bus *bus,
                                                     const tribus_consumer_cfg *cfg,
                                                     tribus_consumer **out);
void tribus_consumer_close(tribus_consumer *consumer);

/* Borrow the next message until the next call. The flag REDELIVERED says that it was handed
 * out before, perhaps to a consumer that died. While a server is away, or loads, or is out of
 * memory, this waits on; to connect it may take 0.1 s longer than timeout_ns, up to 1 s where
 * that was too short. A server that came back without the group is read from the beginning.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT or TRIBUS_REFUSED (user or password is wrong, the user may
 * not read, or a certificate is not accepted). */
TRIBUS_MUST_CHECK tribus_status tribus_consumer_next_wait(tribus_consumer *consumer,
                                                          const tribus_msg_header **out,
                                                          int64_t timeout_ns);

/* The message last handed out is dealt with: it is never given to anyone again, unless the
 * server is lost before it hears of it. Returns TRIBUS_OK, TRIBUS_EMPTY (nothing to
 * acknowledge) or TRIBUS_PEER_LOST (the server is away: the message will come again). */
TRIBUS_MUST_CHECK tribus_status tribus_consumer_ack(tribus_consumer *consumer);

/* Counted by this handle since it was opened, for one bus. */
typedef struct tribus_bus_stats {
    uint64_t published;
    uint64_t received; /* handed out, of all subscriptions */
    uint64_t lost;     /* overwritten before they were read */
    uint64_t invalid;  /* did not validate; dropped */
    uint64_t filtered; /* read, but not asked for */
    uint32_t topics;   /* publishers joined now, of all subscriptions */
    uint32_t refused;  /* publishers not joined: unreadable, or more than can be followed */
} tribus_bus_stats;

/* Returns TRIBUS_OK or TRIBUS_BAD_ARG (no such bus). */
TRIBUS_MUST_CHECK tribus_status tribus_bus_get_stats(const tribus_bus *bus,
                                                     uint32_t bus_number,
                                                     tribus_bus_stats *out);

#ifdef __cplusplus
}
#endif

#endif
