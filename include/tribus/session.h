/* session.h -- this process's connection to the agent: memory by name, who else is there,
 * who died.
 *
 * Use it to   get named shared memory that the agent owns, find other participants' memory,
 *             and learn of a participant's death within 100 ms.
 * Not for     messages (bus.h) or hand-offs (fabric.h over the memory got here).
 *
 * Memory      Objects are memory files created and kept by the agent; the mapping belongs to
 *             the session and ends with tribus_session_close(). When the creator closes or
 *             dies, the object leaves the registry unless it was created to stay; mappings of
 *             others go on working.
 * Restart     An agent that is killed stops nobody: memory stays mapped, deaths are still
 *             seen. When another one is started the session joins it again with the same
 *             number, epoch, addresses and objects, inside the next call that looks or asks.
 *             After an orderly stop (`tribus down`) it does not: calls that ask then return
 *             TRIBUS_PEER_LOST for good.
 * Threads     One thread a session.
 * Trust       The agent checks uid by SO_PEERCRED; we check every size the agent sends
 *             against the real file.
 */
#ifndef TRIBUS_SESSION_H
#define TRIBUS_SESSION_H

#include "tribus/fabric.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tribus_session tribus_session;

#define TRIBUS_NAME_BYTES 64u /* names of participants and objects, with the final zero */

typedef struct tribus_session_cfg {
    const char *socket_path; /* NULL: $TRIBUS_SOCKET, else the default of the user */
    const char *name;   /* unique on the host: "ml", "host-neural"; NULL: "<role>-<pid>" */
    const char *role;   /* "engine", "host", "tool" */
    int64_t timeout_ns; /* to connect and of each call to the agent; 0: 10 s */
} tribus_session_cfg;

/* Connect and register. out: owned by the caller.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (no agent there: the text says how to start one),
 * TRIBUS_EXISTS (name taken by a living participant), TRIBUS_REFUSED (wrong uid),
 * TRIBUS_VERSION, TRIBUS_TIMEOUT, TRIBUS_SYSTEM, TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_session_open(const tribus_session_cfg *cfg,
                                                    tribus_session **out);
void tribus_session_close(tribus_session *session);

/* The default socket path of this user, e.g. /run/user/1000/tribus/agent.sock. */
TRIBUS_MUST_CHECK tribus_status tribus_session_socket_path(char *buf, size_t bytes);

/* Our number, 1..1023, valid while the session lives. */
uint32_t tribus_session_participant(const tribus_session *session);

typedef enum tribus_object_kind {
    TRIBUS_OBJECT_TOPIC = 1,
    TRIBUS_OBJECT_RING = 2,
    TRIBUS_OBJECT_REGION = 3,
    TRIBUS_OBJECT_TIMELINE = 4,
    TRIBUS_OBJECT_COUNTERS = 5,
    TRIBUS_OBJECT_PIPELINE = 6,
    TRIBUS_OBJECT_DEVICE = 7 /* memory of an accelerator, by descriptor only */
} tribus_object_kind;

/* A row of the registry. */
typedef struct tribus_object {
    char name[TRIBUS_NAME_BYTES];
    uint32_t number; /* slot_ref.region */
    uint32_t kind;   /* tribus_object_kind */
    uint32_t owner;  /* participant that created it; 0: gone */
    uint32_t stays;  /* nonzero: outlives its creator */
    uint64_t bytes;
    uint64_t generation; /* differs when a name is used again */
} tribus_object;

typedef struct tribus_participant {
    char name[TRIBUS_NAME_BYTES];
    char role[16];
    uint32_t number;
    int32_t pid;
    uint32_t alive;
    uint32_t epoch; /* grows each time the number is used again */
    int64_t since_wall_ns;
} tribus_participant;

/* Create zeroed memory under a name and map it writable. *mem is valid until close or
 * tribus_session_drop(). Returns TRIBUS_OK, TRIBUS_EXISTS, TRIBUS_NO_MEMORY (text: how
 * much, of what limit), TRIBUS_FULL (this participant, or the registry, has as many objects
 * as are allowed), TRIBUS_REFUSED (we may only look), TRIBUS_PEER_LOST (the agent is gone),
 * TRIBUS_TIMEOUT, TRIBUS_CORRUPT (an answer that makes no sense), TRIBUS_SYSTEM (mapping
 * it), TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_session_create_object(
    tribus_session *session, const char *name, tribus_object_kind kind, size_t bytes,
    int stays, tribus_object *out, void **mem);

/* Map an existing object; mapping it again returns the same address, and is undone by as many
 * drops. writable 0: read-only. Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_PEER_LOST,
 * TRIBUS_TIMEOUT, TRIBUS_CORRUPT, TRIBUS_REFUSED (we may only look), TRIBUS_BAD_ARG (the
 * name, or memory of a device), TRIBUS_NO_MEMORY, TRIBUS_SYSTEM and TRIBUS_BAD_DATA (our
 * descriptors or mappings are used up: the text says which). */
TRIBUS_MUST_CHECK tribus_status tribus_session_open_object(tribus_session *session,
                                                           const char *name, int writable,
                                                           tribus_object *out, void **mem);

/* Give the agent memory of a device under a name: `fd` as tribus_device_memory_create() made
 * it stays the caller's. From then on the agent keeps the bytes, whoever dies, until the
 * object leaves the registry, and hands the descriptor to who asks. The agent cannot measure
 * such memory: who imports it does. It does not count against the agent's memory limit.
 * Returns TRIBUS_OK, TRIBUS_EXISTS, TRIBUS_FULL, TRIBUS_PEER_LOST, TRIBUS_TIMEOUT,
 * TRIBUS_CORRUPT (a memory file smaller than bytes), TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_session_offer_object(tribus_session *session,
                                                            const char *name, int fd,
                                                            size_t bytes, int stays,
                                                            tribus_object *out);

/* The descriptor of such an object, asked for once and kept: *fd is borrowed until close or
 * tribus_session_drop(). Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_BAD_ARG (it is memory
 * of the host), TRIBUS_REFUSED (we may only look), TRIBUS_PEER_LOST, TRIBUS_TIMEOUT. */
TRIBUS_MUST_CHECK tribus_status tribus_session_open_descriptor(tribus_session *session,
                                                               const char *name,
                                                               tribus_object *out, int *fd);

/* Undo one create or open; the last one of this session unmaps. With remove nonzero (creator
 * only) also delete it from the registry. */
void tribus_session_drop(tribus_session *session, const tribus_object *object, int remove);

/* Unmap what we created and leave it to the agent, for those who know of it and have not
 * opened it yet: it stays for half a minute, less where its memory or row is needed, without
 * an owner and as "left/<number>/<its name>", so that the name can be used again. */
void tribus_session_leave(tribus_session *session, const tribus_object *object);
#define TRIBUS_SESSION_LEFT "left/"

/* ---- holding a region: what the dead held comes back ---- */

/* Become a holder of a region that somebody else created: *holder is our number for
 * tribus_region_open(..., TRIBUS_READER, ...). The agent remembers it. *successor (may be
 * NULL): nonzero when we follow a participant of our name that died as a holder and was not
 * taken back yet; then we have its number and what it held, see tribus_region_recover().
 * Returns TRIBUS_OK, TRIBUS_FULL (61 holders already), TRIBUS_NOT_FOUND (the object is gone),
 * TRIBUS_PEER_LOST, TRIBUS_TIMEOUT. */
TRIBUS_MUST_CHECK tribus_status tribus_session_hold(tribus_session *session,
                                                    const tribus_object *region,
                                                    uint32_t *holder, int *successor);

/* Hold no more. What we did not release is taken back as from the dead.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_PEER_LOST, TRIBUS_TIMEOUT. */
TRIBUS_MUST_CHECK tribus_status tribus_session_let_go(tribus_session *session,
                                                      const tribus_object *region,
                                                      uint32_t holder);

/* The set of holders (bits 0..61) that are gone and not taken back yet. The revision changes
 * when one joins it. */
uint64_t tribus_session_dead_holders(const tribus_session *session,
                                     const tribus_object *region);

/* Owner: take back from every dead holder what it held, and let its number be used again.
 * *slots (may be NULL): how many slots nobody holds any more because of it.
 * Returns TRIBUS_OK, TRIBUS_REFUSED (not the owner), TRIBUS_PEER_LOST, TRIBUS_TIMEOUT. */
TRIBUS_MUST_CHECK tribus_status tribus_session_reclaim(tribus_session *session,
                                                       const tribus_object *object,
                                                       tribus_region *region,
                                                       uint32_t *slots);

/* The same for an object with several regions in it. */
TRIBUS_MUST_CHECK tribus_status tribus_session_reclaim_all(tribus_session *session,
                                                           const tribus_object *object,
                                                           tribus_region *const *regions,
                                                           uint32_t regions_n,
                                                           uint32_t *slots);

/* The registry is a read-only mapping that the agent writes: these calls read it, and a word in
 * it that the kernel marks when the agent's thread ends; then they look for another agent, once
 * in 20 ms. revision changes whenever an object or participant
 * comes or goes; bell rings then. */
uint64_t tribus_session_revision(const tribus_session *session);
/* The same without looking whether the agent is there: no system call even without an agent.
 * For the path of a message; who has nothing to do calls the other. */
uint64_t tribus_session_last_revision(const tribus_session *session);
tribus_doorbell_shm *tribus_session_bell(const tribus_session *session);
/* Copy the i-th row that is in use, from *cursor on (start with 0).
 * Returns TRIBUS_OK or TRIBUS_EMPTY after the last. */
TRIBUS_MUST_CHECK tribus_status tribus_session_next_object(const tribus_session *session,
                                                           uint32_t *cursor,
                                                           tribus_object *out);
TRIBUS_MUST_CHECK tribus_status tribus_session_next_participant(
    const tribus_session *session, uint32_t *cursor, tribus_participant *out);
/* Nonzero while that participant, in that epoch, lives. Within 100 ms of a death it is 0.
 */
int tribus_session_alive(const tribus_session *session, uint32_t participant,
                         uint32_t epoch);

#ifdef __cplusplus
}
#endif

#endif
