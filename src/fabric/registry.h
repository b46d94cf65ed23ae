/* registry.h -- who is there and which memory has a name: a table that the agent writes and
 * everybody else maps read-only.
 *
 * Use it to   implement session.c (readers) and the agent (the one writer).
 * Not for     anything else: users have session.h.
 *
 * Memory      One memory file of TRIBUS_REGISTRY_BYTES that only the agent can map writable,
 *             and one of TRIBUS_BELL_FILE_BYTES that everybody maps writable, because a
 *             sleeper on a doorbell has to announce itself. The second is only a hint:
 *             nothing in it is believed.
 * Threads     One writer thread; any number of readers, which never wait for the writer: a
 *             row that stays in the middle of a change (the agent was killed there) is
 *             skipped.
 * Trust       Readers check the header once and copy rows; numbers in a row are checked
 *             against the row they stand in.
 */
#ifndef TRIBUS_FABRIC_REGISTRY_H
#define TRIBUS_FABRIC_REGISTRY_H

#include "tribus/session.h"

#include <stdatomic.h>
#include <stdbool.h>

#define TRIBUS_REGISTRY_MAGIC        0x3152474552425254u /* "TRBREGR1" */
#define TRIBUS_REGISTRY_VERSION      2u
#define TRIBUS_REGISTRY_PARTICIPANTS 1024u /* rows; row 0 is never used */
#define TRIBUS_REGISTRY_OBJECTS      4096u /* rows; row 0 is never used */
#define TRIBUS_REGISTRY_LEASES       4096u
#define TRIBUS_REGISTRY_HOLDERS      62u /* of one region, as in fabric.h */
#define TRIBUS_REGISTRY_ROW_WORDS    15u
#define TRIBUS_BELL_FILE_BYTES       4096u

/* The sequence is odd while the agent changes the row. */
typedef struct tribus_registry_row_shm {
    _Atomic(uint64_t) sequence;
    _Atomic(uint64_t) words[TRIBUS_REGISTRY_ROW_WORDS];
} tribus_registry_row_shm;

typedef struct tribus_registry_shm {
    uint64_t magic;
    uint32_t version;
    uint32_t participant_rows;
    uint32_t object_rows;
    int32_t agent_pid;
    uint64_t agent_start_time; /* tribus_os_start_time(): with the pid an identity */
    uint64_t instance;         /* differs for each run of an agent */
    uint8_t reserved0[16];
    _Atomic(uint32_t) server; /* tribus_os_mark_set() of the thread that serves */
    uint32_t reserved2;
    _Atomic(uint64_t) revision;
    _Atomic(uint32_t) participants_high; /* rows from here on were never used */
    _Atomic(uint32_t) objects_high;
    _Atomic(uint32_t) leases_high;
    _Atomic(uint32_t) last_epoch; /* the highest one given out, for the agent after this */
    uint8_t reserved1[40];
    /* The epoch of the participant that lives under this number, 0: nobody. */
    _Atomic(uint32_t) lives[TRIBUS_REGISTRY_PARTICIPANTS];
    tribus_registry_row_shm participants[TRIBUS_REGISTRY_PARTICIPANTS];
    tribus_registry_row_shm objects[TRIBUS_REGISTRY_OBJECTS];
    _Atomic(uint64_t) leases[TRIBUS_REGISTRY_LEASES]; /* see tribus_registry_lease */
} tribus_registry_shm;

#define TRIBUS_REGISTRY_BYTES sizeof(tribus_registry_shm)

_Static_assert(sizeof(tribus_registry_row_shm) == 128, "a row is two cache lines");
_Static_assert(offsetof(tribus_registry_shm, server) == 56, "shared layout");
_Static_assert(offsetof(tribus_registry_shm, revision) == 64, "own cache line");
_Static_assert(offsetof(tribus_registry_shm, lives) == 128, "shared layout");
_Static_assert(offsetof(tribus_registry_shm, participants) == 4224, "shared layout");
_Static_assert(offsetof(tribus_registry_shm, objects) == 135296, "shared layout");
_Static_assert(offsetof(tribus_registry_shm, leases) == 659584, "shared layout");
_Static_assert(sizeof(tribus_object) <= TRIBUS_REGISTRY_ROW_WORDS * 8u, "fits a row");

/* What the row of a participant holds: with its start time, a pid is an identity. */
typedef struct tribus_registry_life {
    tribus_participant participant;
    uint64_t start_time; /* tribus_os_start_time() */
} tribus_registry_life;

_Static_assert(sizeof(tribus_registry_life) <= TRIBUS_REGISTRY_ROW_WORDS * 8u,
               "fits a row");

/* That a participant is a holder of a region: one word, so that it is never half changed.
 *   63  in use      62  dead: it went, what it held is to be taken back
 *   32..37  holder  16..31  object  0..15  participant */
typedef struct tribus_registry_lease {
    bool dead;
    bool heirless; /* dead, and no participant is its successor */
    uint32_t holder;
    uint32_t object;
    uint32_t participant;
} tribus_registry_lease;

/* ---- the agent ---- */

/* Lay out an empty registry in zeroed memory. The revision starts at `instance`, so that two
 * runs of an agent never show the same one. */
void tribus_registry_create(tribus_registry_shm *registry, uint64_t instance);

/* Replace row p->number or o->number, 1.. below the number of rows. */
void tribus_registry_put_participant(tribus_registry_shm *registry,
                                     const tribus_participant *p, uint64_t start_time);
void tribus_registry_put_object(tribus_registry_shm *registry, const tribus_object *o);

/* Empty a row. */
void tribus_registry_clear_participant(tribus_registry_shm *registry, uint32_t number);
void tribus_registry_clear_object(tribus_registry_shm *registry, uint32_t number);

/* Set lease i; NULL: free it. */
void tribus_registry_put_lease(tribus_registry_shm *registry, uint32_t i,
                               const tribus_registry_lease *lease);

/* After changes: count the revision up and wake who sleeps on the bell. */
void tribus_registry_announce(tribus_registry_shm *registry, tribus_doorbell_shm *bell);

/* ---- everybody ---- */

/* Check that mem holds a registry. Returns TRIBUS_OK, TRIBUS_VERSION or TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_registry_check(const void *mem, size_t bytes);

/* Whether the agent's thread is known to run: the kernel says when it ends. False: it ended, or
 * nobody knows. */
bool tribus_registry_served(const tribus_registry_shm *registry);

uint64_t tribus_registry_revision(const tribus_registry_shm *registry);

/* As tribus_session_next_object() and its kin. */
TRIBUS_MUST_CHECK tribus_status tribus_registry_next_object(
    const tribus_registry_shm *registry, uint32_t *cursor, tribus_object *out);
TRIBUS_MUST_CHECK tribus_status tribus_registry_next_participant(
    const tribus_registry_shm *registry, uint32_t *cursor, tribus_participant *out);

/* The row of one number. start_time may be NULL. Return TRIBUS_OK or TRIBUS_EMPTY. */
TRIBUS_MUST_CHECK tribus_status tribus_registry_object(const tribus_registry_shm *registry,
                                                       uint32_t number, tribus_object *out);
TRIBUS_MUST_CHECK tribus_status
tribus_registry_participant(const tribus_registry_shm *registry, uint32_t number,
                            tribus_participant *out, uint64_t *start_time);

/* Lease i. Returns TRIBUS_OK or TRIBUS_EMPTY. */
TRIBUS_MUST_CHECK tribus_status tribus_registry_get_lease(
    const tribus_registry_shm *registry, uint32_t i, tribus_registry_lease *out);

/* The set of an object's holders that are dead and not taken back yet. */
uint64_t tribus_registry_dead_holders(const tribus_registry_shm *registry, uint32_t object);

int tribus_registry_alive(const tribus_registry_shm *registry, uint32_t participant,
                          uint32_t epoch);

/* Nonzero for a name that may stand in the registry: 1..63 of a-z 0-9 . _ - /, zero behind.
 */
int tribus_registry_name_is_good(const char name[TRIBUS_NAME_BYTES]);

#endif
