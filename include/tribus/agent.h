/* agent.h -- the agent: one per host, owner of all shared memory, keeper of the list of
 * participants, parent of the Redis servers, compute hosts and engines.
 *
 * Use it to   run the agent (tribusd), or have one inside a process (tests, examples, a
 *             single program), or ask a running one how it is and to stop.
 * Not for     getting memory from it: that is session.h.
 *
 * Memory      Every object is a memory file that the agent creates and never reads. All
 *             together stay below memory_limit_bytes.
 * Threads     tribus_agent_start() makes one thread; a handle may be used from any one
 *             thread at a time. Nothing here installs signal handlers or prints: log lines
 *             go to tribus_log_set().
 * Trust       Clients are hostile: uid and groups checked by the kernel's word, every request checked, rate
 *             and number of objects bounded, one that does not read its replies is cut off.
 * Cost        Idle it sleeps. It is never on the path of a message.
 */
#ifndef TRIBUS_AGENT_H
#define TRIBUS_AGENT_H

#include "tribus/base.h"
#include "tribus/tls.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tribus_agent tribus_agent;

#define TRIBUS_AGENT_ABOUT_BYTES 128

typedef enum tribus_restart {
    TRIBUS_RESTART_ON_FAILURE = 0, /* exit status 0 means done; 2 means wrong usage */
    TRIBUS_RESTART_ALWAYS = 1,
    TRIBUS_RESTART_NEVER = 2
} tribus_restart;

/* A process that the agent keeps running. It is started with TRIBUS_SOCKET set to the
 * agent's socket, its output goes to <runtime folder>/<name>.log, and it is killed when the
 * agent dies. */
typedef struct tribus_agent_child_cfg {
    const char *name; /* [a-z0-9._-], unique; the name it registers under, if it does */
    const char *kind; /* "host", "engine"; children start in the order of the array, and
                         those of the next kind when those of this one are up */
    const char *const *argv; /* NULL at the end; argv[0] is looked up in PATH */
    tribus_restart restart;
    const char *about;      /* why it is as it is, for who asks; may be NULL */
    const char *const *env; /* "KEY=value", NULL at the end: beside our own; may be NULL */
    /* Up when this file is there, instead of when it registers. One from before is removed
     * before each start; a child that never gets so far has failed. May be NULL. */
    const char *ready_path;
    const char *const *stop_argv; /* run to end it, instead of SIGTERM; may be NULL */
    /* Names of earlier children that have a ready_path; may be NULL. with: run only while that
     * one is up, and begin anew when it does. without: run only once that one has failed. */
    const char *with;
    const char *without;
} tribus_agent_child_cfg;

/* A Redis or Valkey server of one bus. */
typedef struct tribus_agent_redis_cfg {
    const char *name;     /* "redis-marketdata" */
    const char *host;     /* NULL: 127.0.0.1 */
    int port;             /* 1..65535 */
    int spawn;            /* nonzero: start one unless one answers there already */
    const char *program;  /* NULL: "redis-server" */
    const char *acl_path; /* for --aclfile of one started here; NULL: no users */
    /* One started here keeps what is durable in <data_folder>/<name>, which the agent makes
     * and never removes; NULL: nothing outlives the server. */
    const char *data_folder;
    const char *fsync; /* "always" (NULL): what is stored survives a crash of server or
                          machine; "everysec": all but up to two seconds; "no" */
    /* NULL: plain. One started here shows our certificate, and asks for one of the same CA. */
    const tribus_tls_cfg *tls;
} tribus_agent_redis_cfg;

/* Zero means default everywhere. Everything is copied. */
typedef struct tribus_agent_cfg {
    const char *socket_path;          /* NULL: tribus_session_socket_path() */
    const char *memory_dir;           /* tmpfs folder for objects; NULL: memfd */
    uint64_t memory_limit_bytes;      /* of all objects together; 0: half of what is left */
    uint32_t objects_per_participant; /* 0: 1024 */
    uint32_t requests_per_s;          /* of one client, more are delayed; 0: 20000 */
    int stop_fd; /* > 0: the agent stops when it becomes readable (a signalfd); borrowed */
    const char
        *group; /* name or number; its members may use the agent; NULL: only our user */
    const char *readers_group; /* its members may only look: read-only memory; NULL: none */
    const char *runtime_folder; /* logs of children; NULL: the socket's folder */
    const tribus_agent_redis_cfg *redis;
    uint32_t redis_count;
    const tribus_agent_child_cfg *children;
    uint32_t child_count;
    int keep_servers; /* nonzero: leave the Redis servers running until tribus_agent_stop() */
    int64_t stop_timeout_ns; /* from SIGTERM to SIGKILL of a child; 0: 3 s */
} tribus_agent_cfg;

/* Take the socket, lay out the registry and serve on a new thread. out: owned by the caller,
 * tribus_agent_stop(). Returns TRIBUS_OK, TRIBUS_EXISTS (another agent serves this socket;
 * the text names its process), TRIBUS_REFUSED (the socket's folder belongs to somebody
 * else), TRIBUS_NO_MEMORY, TRIBUS_BAD_ARG, TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_start(const tribus_agent_cfg *cfg,
                                                   tribus_agent **out);

/* Wait until somebody asked the agent to stop (stop_fd, `tribus down`) and its children are
 * down. With keep_servers the Redis servers still run then, for who has to say goodbye to
 * them; tribus_agent_stop() ends them. timeout_ns: negative for no limit.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_wait(tribus_agent *agent, int64_t timeout_ns);

/* Stop the children in reverse order, then the agent; remove socket and lock; free.
 * NULL is allowed. */
void tribus_agent_stop(tribus_agent *agent);

/* Serve on the calling thread until stop_fd is readable or somebody asks for a stop; then
 * do as tribus_agent_stop(). Returns TRIBUS_OK after a stop, else as tribus_agent_start().
 */
TRIBUS_MUST_CHECK tribus_status tribus_agent_run(const tribus_agent_cfg *cfg);

/* The socket this agent serves. Borrowed until stop. */
const char *tribus_agent_socket(const tribus_agent *agent);

/* ---- asking a running agent, from any process of the same user ---- */

typedef struct tribus_agent_status {
    char release[24];
    int32_t pid;
    uint32_t participants; /* alive */
    uint32_t objects;
    uint32_t children; /* rows for tribus_agent_get_child(), Redis servers included */
    uint64_t memory_bytes;
    uint64_t memory_limit_bytes;
    uint64_t device_bytes; /* of accelerators, kept for who made it */
    uint64_t resident_bytes;
    int64_t uptime_ns;
    uint64_t requests;
    uint64_t refused;   /* requests answered with a fault */
    uint64_t cut_off;   /* connections ended for breaking the protocol or not reading */
    uint64_t throttled; /* times a client was made to wait */
    uint64_t deaths;    /* participants that went without saying so */
    uint64_t restarts;  /* of children */
} tribus_agent_status;

typedef enum tribus_child_state {
    TRIBUS_CHILD_WAITING = 0,  /* its turn to start has not come */
    TRIBUS_CHILD_STARTING = 1, /* started, not answering or not registered yet */
    TRIBUS_CHILD_UP = 2,
    TRIBUS_CHILD_BACKOFF = 3,  /* died; will be started again */
    TRIBUS_CHILD_DONE = 4,     /* ended on purpose */
    TRIBUS_CHILD_FAILED = 5,   /* will not be started again; text says why */
    TRIBUS_CHILD_EXTERNAL = 6, /* a Redis server that was running already */
    TRIBUS_CHILD_STOPPING = 7
} tribus_child_state;

typedef struct tribus_agent_child {
    char name[64];
    char kind[16];
    uint32_t state; /* tribus_child_state */
    int32_t pid;    /* 0: not running */
    uint32_t restarts;
    int32_t port;      /* Redis: its port, else 0 */
    int32_t last_exit; /* exit status, or minus the signal number */
    int32_t reserved;
    int64_t running_ns;                   /* since the last start */
    char text[256];                       /* what is wrong, "" when nothing is */
    char about[TRIBUS_AGENT_ABOUT_BYTES]; /* as its cfg has it */
} tribus_agent_child;

/* "up", "starting" ... Never NULL. */
const char *tribus_child_state_name(uint32_t state);

/* socket_path NULL: the user's default. timeout_ns 0: 10 s.
 * Return TRIBUS_OK, TRIBUS_NOT_FOUND (no agent there), TRIBUS_REFUSED, TRIBUS_VERSION,
 * TRIBUS_TIMEOUT, TRIBUS_PEER_LOST, TRIBUS_SYSTEM, TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_get_status(const char *socket_path,
                                                        int64_t timeout_ns,
                                                        tribus_agent_status *out);
/* rows: max of them. *count: rows filled in. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_get_children(const char *socket_path,
                                                          int64_t timeout_ns,
                                                          tribus_agent_child *rows,
                                                          uint32_t max, uint32_t *count);
/* Ask it to stop and wait until it is gone; timeout_ns 0: 60 s. */
TRIBUS_MUST_CHECK tribus_status tribus_agent_ask_stop(const char *socket_path,
                                                      int64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif
