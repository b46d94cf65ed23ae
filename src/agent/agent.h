/* agent.h -- what the files of the agent share. One thread runs all of it.
 *
 * agent.c      the loop, start and stop        endpoint.c   folder, lock, socket
 * clients.c    connections and requests        table.c      participants and objects
 * supervise.c  children and servers            child.c      one process
 * server.c     who answers at a port           ask.c        the questions of other processes
 * creator.c    memory that takes long to make  recover.c    what a killed agent knew
 * lease.c      holders of regions            worker.c     a thread beside the loop
 */
#ifndef TRIBUS_AGENT_AGENT_H
#define TRIBUS_AGENT_AGENT_H

#include "tribus/agent.h"
#include "fabric/agent_protocol.h"
#include "fabric/registry.h"
#include "agent/supervise.h"
#include "agent/worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#define TRIBUS_AGENT_CLIENTS_MAX 1152u /* participants, and tools that only ask */
#define TRIBUS_AGENT_HELLO_NS    INT64_C(2000000000)
/* After a restart, an object that belongs to nobody is awaited this long. */
#define TRIBUS_AGENT_ORPHANS_NS INT64_C(10000000000)

typedef struct tribus_client tribus_client;

/* Something that epoll watches. The loop calls ready(); owner is what it belongs to. */
typedef struct tribus_source {
    void (*ready)(tribus_agent *agent, void *owner, uint32_t events);
    void *owner;
    int fd; /* -1: not watched */
} tribus_source;

struct tribus_client {
    tribus_source sock;
    tribus_source process; /* pidfd */
    pid_t pid;
    uid_t uid;
    uint32_t number; /* participant, 0 before HELLO */
    bool reader;     /* may only look */
    bool said_bye;
    bool closed; /* freed after this round of the loop */
    bool throttled;
    bool creating; /* its object is being made on the creator's thread */
    double tokens;
    int64_t tokens_at_ns;
    int64_t connected_ns;
    tribus_client *next;
};

typedef struct tribus_agent_participant {
    tribus_participant row; /* number 0: free */
    uint64_t start_time;    /* of its process */
    tribus_client *client;  /* NULL: dead, or returning */
    bool returning;         /* lives, known from an earlier agent, not back yet */
    tribus_source process;  /* pidfd while returning */
    uint32_t epoch;         /* last one given out under this number */
    uint32_t objects;
    uint64_t died; /* order of deaths: the oldest dead row is used first */
} tribus_agent_participant;

typedef enum tribus_agent_object_state {
    TRIBUS_AGENT_OBJECT_FREE = 0,
    TRIBUS_AGENT_OBJECT_CREATING = 1,  /* the creator's thread makes it; nobody sees it */
    TRIBUS_AGENT_OBJECT_RETURNING = 2, /* of an earlier agent; its descriptor is awaited */
    TRIBUS_AGENT_OBJECT_READY = 3
} tribus_agent_object_state;

typedef struct tribus_agent_object {
    tribus_object row;
    tribus_agent_object_state state;
    int fd;                /* READY: the memory file */
    int64_t left_until_ns; /* nonzero: its owner left it to us, so long */
} tribus_agent_object;

typedef struct tribus_endpoint {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char lock_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
    int lock_fd;
    int listen_fd;
    bool bound; /* the socket file is ours to remove */
} tribus_endpoint;

struct tribus_agent {
    tribus_agent_cfg cfg; /* pointers in it are our copies or NULL */
    tribus_endpoint endpoint;
    int epoll_fd;
    tribus_source listener;
    tribus_source wake;   /* eventfd: stop from another thread */
    tribus_source signal; /* cfg.stop_fd */
    bool stopping;
    bool finish;             /* the caller is in tribus_agent_stop() */
    _Atomic(uint32_t) quiet; /* 1: asked to stop, and the children are down; a futex */
    pthread_t thread;

    tribus_client *clients;
    uint32_t client_count;
    int spare_fd; /* given up for a moment to refuse a client when descriptors run out */

    tribus_registry_shm *registry;
    tribus_registry_shm *rows; /* the same in a file, for who comes after us; or NULL */
    char rows_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
    uint32_t left_count;      /* of left.c */
    int64_t orphans_until_ns; /* objects of nobody are awaited so long */
    tribus_worker *creator;   /* NULL: not needed yet, as the next */
    tribus_worker *prober;
    tribus_doorbell_shm *bell;
    int registry_fd;
    int bell_fd;
    /* Readers sleep on a bell of their own: a bell is written by who sleeps on it, and they
     * may write nothing that others use. */
    tribus_doorbell_shm *readers_bell;
    int readers_bell_fd;
    bool has_group, has_readers;
    bool said_refused; /* a connection, in the log */
    gid_t group, readers_group;
    bool changed; /* announce at the end of the round */
    uint64_t next_generation;
    uint32_t first_epoch;
    uint64_t next_died;
    tribus_agent_participant participants[TRIBUS_REGISTRY_PARTICIPANTS];
    tribus_agent_object objects[TRIBUS_REGISTRY_OBJECTS];
    tribus_registry_lease leases[TRIBUS_REGISTRY_LEASES]; /* object 0: free */
    uint32_t leases_high;
    tribus_agent_status status; /* the counting fields are kept here */
    int64_t started_ns;
    tribus_supervisor *supervisor;
};

/* ---- agent.c ---- */

/* Count the registry's revision up and wake who follows it. */
void tribus_agent_announce(tribus_agent *agent);

/* Watch fd for events; source->fd is set. Returns TRIBUS_OK or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_watch(tribus_agent *agent,
                                                   tribus_source *source, int fd,
                                                   uint32_t events);
void tribus_agent_watch_change(tribus_agent *agent, tribus_source *source, uint32_t events);
/* Stop watching and close. */
void tribus_agent_unwatch(tribus_agent *agent, tribus_source *source);

/* Fill in everything that tribus_agent_get_status() reports. */
void tribus_agent_fill_status(tribus_agent *agent, tribus_agent_status *out);

/* ---- endpoint.c ---- */

/* Make the folder if it is the standard one and check whose it is, take the lock, remove a
 * dead agent's socket, listen. open_to_groups: anybody may reach the socket, and is looked at
 * when he connects. e is filled with what has to be closed also when it fails. */
TRIBUS_MUST_CHECK tribus_status tribus_endpoint_open(tribus_endpoint *e, const char *path,
                                                     bool open_to_groups);
/* Remove socket and lock file. */
void tribus_endpoint_close(tribus_endpoint *e);

/* ---- clients.c ---- */

void tribus_clients_accept(tribus_agent *agent, void *owner, uint32_t events);
/* Refill the throttled, cut off who never said hello. Returns when to call again
 * (tribus_now_ns()), INT64_MAX: when something happens. */
int64_t tribus_clients_tick(tribus_agent *agent, int64_t now_ns);
/* Free who was closed in this round. */
void tribus_clients_sweep(tribus_agent *agent);
void tribus_clients_close_all(tribus_agent *agent);

/* ---- table.c ---- */

TRIBUS_MUST_CHECK tribus_status tribus_table_open(tribus_agent *agent);
void tribus_table_close(tribus_agent *agent);

/* A client says who it is. Returns TRIBUS_OK (client->number is set), TRIBUS_EXISTS,
 * TRIBUS_FULL (all numbers live), TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_table_join(tribus_agent *agent,
                                                  tribus_client *client,
                                                  const tribus_agent_request *request);
/* The client is gone: its row and objects follow. */
void tribus_table_leave(tribus_agent *agent, tribus_client *client);

/* The same for a number, alive or returning. on_purpose: it said goodbye. */
void tribus_table_end(tribus_agent *agent, uint32_t number, bool on_purpose);

/* What an object's bytes are counted in: the host's memory or that of devices. */
uint64_t *tribus_table_bytes(tribus_agent *agent, const tribus_object *row);

/* Check a CREATE, or an OFFER of something new, and reserve its row, state CREATING; then finish or abandon it. */
TRIBUS_MUST_CHECK tribus_status tribus_table_reserve(tribus_agent *agent,
                                                     const tribus_client *client,
                                                     const tribus_agent_request *request,
                                                     tribus_agent_object **out);
/* Takes fd, and shows the row to everybody before the creator hears of it. */
void tribus_table_finish(tribus_agent *agent, tribus_agent_object *o, int fd);
/* The row is free again, its memory given back. */
void tribus_table_abandon(tribus_agent *agent, tribus_agent_object *o);

/* Write a row into the registry and into the file beside it. */
void tribus_table_show_participant(tribus_agent *agent, const tribus_agent_participant *p);
void tribus_table_show_object(tribus_agent *agent, const tribus_object *row);

TRIBUS_MUST_CHECK tribus_status tribus_table_find(tribus_agent *agent,
                                                  const char name[TRIBUS_NAME_BYTES],
                                                  tribus_agent_object **out);
TRIBUS_MUST_CHECK tribus_status tribus_table_remove(tribus_agent *agent,
                                                    const tribus_client *client,
                                                    uint32_t number, uint64_t generation,
                                                    bool later);

/* ---- left.c: topics whose writer is gone ---- */

/* Take it over from its owner; what is no topic goes at once. */
void tribus_left_keep(tribus_agent *agent, tribus_agent_object *o);
/* Let the oldest go; false: there is none. */
bool tribus_left_drop_one(tribus_agent *agent);
/* Returns when to call again, INT64_MAX: when one is kept. */
int64_t tribus_left_tick(tribus_agent *agent, int64_t now_ns);

/* ---- creator.c: memory files that take long, on a thread of its own ---- */

/* Make o's memory; the client is paused until its reply is sent.
 * Returns TRIBUS_OK or TRIBUS_SYSTEM (no thread: make it here). */
TRIBUS_MUST_CHECK tribus_status tribus_creator_submit(tribus_agent *agent,
                                                      const tribus_client *client,
                                                      const tribus_agent_object *o,
                                                      uint64_t sequence);
void tribus_creator_close(tribus_agent *agent);

/* clients.c: the answer to a CREATE whose client was paused. Takes fd. */
void tribus_clients_created(tribus_agent *agent, uint32_t participant, uint32_t epoch,
                            uint64_t sequence, tribus_agent_object *o, tribus_status st);

/* ---- lease.c: who holds which region ---- */

/* Returns TRIBUS_OK, TRIBUS_NOT_FOUND (the object is gone), TRIBUS_FULL, TRIBUS_REFUSED. */
TRIBUS_MUST_CHECK tribus_status tribus_lease_hold(tribus_agent *agent,
                                                  const tribus_client *client,
                                                  const tribus_agent_request *request,
                                                  tribus_agent_held *out);
TRIBUS_MUST_CHECK tribus_status tribus_lease_let_go(tribus_agent *agent,
                                                    const tribus_client *client,
                                                    const tribus_agent_request *request);
/* done false: from now on nobody succeeds that dead holder; true: its number is free. */
TRIBUS_MUST_CHECK tribus_status tribus_lease_take_back(tribus_agent *agent,
                                                       const tribus_client *client,
                                                       const tribus_agent_request *request,
                                                       bool done);
/* A participant is gone: what it held is to be taken back. */
void tribus_lease_end_participant(tribus_agent *agent, uint32_t number);
/* An object is gone, and its leases with it. */
/* This number goes to another name: who gets it does not succeed to what it held. */
void tribus_lease_disinherit(tribus_agent *agent, uint32_t number);
void tribus_lease_end_object(tribus_agent *agent, uint32_t number);
/* After a restart: the leases of objects that are known again. */
void tribus_lease_restore(tribus_agent *agent, const tribus_registry_shm *left);

/* ---- recover.c: what an agent that was killed knew ---- */

/* Read the rows it left, if it left any, and begin a file of our own. Never fails: without
 * the file only a restart of the agent is not survived. */
void tribus_recover_open(tribus_agent *agent);
void tribus_recover_close(tribus_agent *agent);
/* A participant of an earlier agent is back. Returns TRIBUS_OK or TRIBUS_REFUSED. */
TRIBUS_MUST_CHECK tribus_status tribus_recover_rejoin(tribus_agent *agent,
                                                      tribus_client *client,
                                                      const tribus_agent_request *request);
/* Is this descriptor one to keep for that row? Returns TRIBUS_OK, TRIBUS_CORRUPT or
 * TRIBUS_REFUSED. */
TRIBUS_MUST_CHECK tribus_status tribus_recover_check(const tribus_agent *agent,
                                                     const tribus_object *row, int fd);
/* It brings a descriptor. Takes fd on TRIBUS_OK. Returns TRIBUS_OK, TRIBUS_NOT_FOUND,
 * TRIBUS_REFUSED or TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_recover_offer(tribus_agent *agent,
                                                     const tribus_client *client,
                                                     const tribus_agent_request *request,
                                                     int fd);
/* Drop what nobody brought back. Returns when to call again, INT64_MAX: never. */
int64_t tribus_recover_tick(tribus_agent *agent, int64_t now_ns);

#endif
