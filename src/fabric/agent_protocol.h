/* agent_protocol.h -- what travels over the agent's socket.
 *
 * A Unix SEQPACKET socket: each request and each reply is one message of one fixed size, so
 * there is nothing to parse. A client sends a request and waits for the reply that carries
 * the same sequence; descriptors ride along with replies (and with OFFER).
 *
 * The first 16 bytes of both directions never change, so that programs of two releases can
 * tell each other so. Trust: the agent checks every field of every request; names must end,
 * numbers must be in range, unknown types and sizes end the connection.
 */
#ifndef TRIBUS_FABRIC_AGENT_PROTOCOL_H
#define TRIBUS_FABRIC_AGENT_PROTOCOL_H

#include "tribus/session.h"

#define TRIBUS_AGENT_MAGIC      0x31425254u /* "TRB1" */
#define TRIBUS_AGENT_VERSION    1u
#define TRIBUS_AGENT_TEXT_BYTES 448u
#define TRIBUS_AGENT_BODY_BYTES 512u
#define TRIBUS_AGENT_ROLE_BYTES 16u

typedef enum tribus_agent_request_type {
    TRIBUS_AGENT_HELLO = 1,   /* name, role; -> welcome, registry fd, bell fd */
    TRIBUS_AGENT_BYE = 2,     /* leaving on purpose; no reply */
    TRIBUS_AGENT_CREATE = 3,  /* name, kind, bytes, flag stays; -> object, fd */
    TRIBUS_AGENT_OPEN = 4,    /* name, flag writable; -> object, fd */
    TRIBUS_AGENT_REMOVE = 5,  /* number, generation; flag later: keep it for a while */
    TRIBUS_AGENT_OFFER = 6,   /* an object and its fd, to an agent that was started again;
                                 number 0: new, of the kind DEVICE; -> object */
    TRIBUS_AGENT_STATUS = 7,  /* -> tribus_agent_status; needs no HELLO */
    TRIBUS_AGENT_CHILD = 8,   /* number; -> tribus_agent_child; needs no HELLO */
    TRIBUS_AGENT_STOP = 9,    /* needs no HELLO */
    TRIBUS_AGENT_HOLD = 10,   /* number, generation; -> tribus_agent_held */
    TRIBUS_AGENT_LET_GO = 11, /* number, generation, kind: our holder number */
    TRIBUS_AGENT_TAKE_BACK = 12, /* owner: number, generation, kind: a dead holder, whom
                                    nobody may succeed from now on */
    TRIBUS_AGENT_TAKEN_BACK = 13 /* owner, the same: its number is free again */
} tribus_agent_request_type;

#define TRIBUS_AGENT_FLAG_STAYS    1u
#define TRIBUS_AGENT_FLAG_WRITABLE 2u
#define TRIBUS_AGENT_FLAG_LATER    4u

typedef struct tribus_agent_head {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint64_t sequence; /* chosen by the client, repeated in the reply */
} tribus_agent_head;

typedef struct tribus_agent_request {
    tribus_agent_head head;
    char name[TRIBUS_NAME_BYTES];
    char role[TRIBUS_AGENT_ROLE_BYTES];
    uint32_t kind;
    uint32_t flags;
    uint32_t number; /* HELLO: the number we had with an earlier agent, else 0 */
    uint32_t epoch;  /* HELLO: the epoch we had, else 0 */
    uint64_t bytes;
    uint64_t generation;
    uint32_t owner; /* OFFER */
    uint32_t reserved[15];
} tribus_agent_request;

typedef struct tribus_agent_welcome {
    uint32_t number;
    uint32_t epoch;
    uint64_t registry_bytes;
    uint64_t instance;
} tribus_agent_welcome;

typedef struct tribus_agent_held {
    uint32_t holder;
    uint32_t successor; /* nonzero: we follow a dead one of our name under its number */
} tribus_agent_held;

typedef struct tribus_agent_reply {
    tribus_agent_head head;
    int32_t status; /* tribus_status */
    uint32_t fd_count;
    uint64_t reserved;
    char text[TRIBUS_AGENT_TEXT_BYTES]; /* why, when status is a fault */
    union {
        tribus_agent_welcome welcome;
        tribus_object object;
        tribus_agent_held held;
        uint64_t words[TRIBUS_AGENT_BODY_BYTES / 8u];
    } body;
} tribus_agent_reply;

_Static_assert(sizeof(tribus_agent_head) == 16, "the part that never changes");
_Static_assert(sizeof(tribus_agent_request) == 192, "no hidden padding");
_Static_assert(sizeof(tribus_agent_reply) == 32 + 448 + 512, "no hidden padding");

#endif
