/* session_state.h -- what the files of a session share: session.c opens it and looks after
 * the agent, session_objects.c has what it maps and holds. */
#ifndef TRIBUS_FABRIC_SESSION_STATE_H
#define TRIBUS_FABRIC_SESSION_STATE_H

#include "fabric/agent_call.h"
#include "fabric/registry.h"
#include "tribus/session.h"

#include <stdbool.h>
#include <sys/un.h>

typedef struct tribus_session_mapped {
    tribus_object object;
    void *mem;
    uint32_t users; /* opened so many times more than dropped */
    int writable;
    int created; /* by us */
    int fd; /* kept to offer it to an agent that was started again; -1: not ours to offer */
} tribus_session_mapped;

/* Looking after the agent, from calls that take a const session too. */
typedef struct tribus_session_link {
    uint64_t next_ticks; /* look again from here on */
    uint64_t first_ticks;
    int64_t first_ns;
    bool lost;      /* nobody serves our socket, as far as we know */
    bool forgotten; /* the agent there does not know us: never again */
    int64_t dead_looked_ns[TRIBUS_REGISTRY_PARTICIPANTS]; /* while lost */
    bool dead[TRIBUS_REGISTRY_PARTICIPANTS];
} tribus_session_link;

struct tribus_session {
    tribus_agent_channel channel;
    int64_t timeout_ns;
    uint32_t number;
    uint32_t epoch;
    tribus_registry_shm *registry; /* mapped read-only */
    tribus_doorbell_shm *bell;
    tribus_session_mapped *objects;
    uint32_t object_count;
    uint32_t object_room;
    char name[TRIBUS_NAME_BYTES];
    char role[TRIBUS_AGENT_ROLE_BYTES];
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    tribus_session_link *link;
};

/* Ask, and ask again an agent that was started again in between. fd: sent along; -1: none. */
TRIBUS_MUST_CHECK tribus_status tribus_session_ask(tribus_session *s,
                                                   tribus_agent_request *request, int fd,
                                                   tribus_agent_reply *reply, int *fds,
                                                   int64_t timeout_ns);

/* Is the agent there? Two reads of its registry as long as it is, because loops ask for the
 * revision with every message: the kernel marks a word there when the agent's thread ends.
 * Once in 20 ms the socket is looked at instead, when it has ended or the kernel does not
 * tell. */
void tribus_session_look_after(const tribus_session *session);

void tribus_session_unmap(tribus_session_mapped *m);

#endif
