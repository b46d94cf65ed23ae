/* session.c -- see session.h.
 *
 * Opening: connect, say who we are, get two descriptors: the registry (mapped read-only)
 * and the page with the doorbell. Everything that asks for memory is one request and one
 * reply; everything that only looks reads the registry, and once in LOOK_NS looks whether
 * the agent lives.
 *
 * An agent that was killed and started again finds our rows in its file. We connect again,
 * map its registry over the old one (addresses that we gave out stay good) and send the
 * descriptors of what we created. In between nobody tells us who died, so we look ourselves.
 */
#include "tribus/session.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"
#include "fabric/session_state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_NS INT64_C(10000000000)
#define LOOK_NS    INT64_C(20000000) /* between two looks at the agent */
#define REJOIN_NS  INT64_C(2000000000)

tribus_status tribus_session_socket_path(char *buf, size_t bytes)
{
    const char *given = getenv("TRIBUS_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const unsigned long uid = (unsigned long)getuid();
    char folder[64];
    struct stat s;
    int n;

    (void)snprintf(folder, sizeof(folder), "/run/user/%lu", uid);
    if (given != NULL && given[0] != '\0')
        n = snprintf(buf, bytes, "%s", given);
    else if (runtime != NULL && runtime[0] == '/')
        n = snprintf(buf, bytes, "%s/tribus/agent.sock", runtime);
    else if (stat(folder, &s) == 0 && S_ISDIR(s.st_mode))
        n = snprintf(buf, bytes, "%s/tribus/agent.sock", folder);
    else
        n = snprintf(buf, bytes, "/tmp/tribus-%lu/agent.sock", uid);
    if (n < 0 || (size_t)n >= bytes)
        return tribus_error_set(TRIBUS_BAD_ARG, "socket path: %d characters, at most %zu",
                                n, bytes - 1);
    return TRIBUS_OK;
}

/* ---- opening ---- */

/* Map a file, over what is at `at` when that is not NULL. */
static tribus_status map_at(int fd, size_t bytes, bool writable, void *at, void **out)
{
    struct stat size;
    void *mem;

    if (at == NULL)
        return tribus_os_map(fd, bytes, writable, true, out);
    if (fstat(fd, &size) != 0 || size.st_size < 0 || (uint64_t)size.st_size < bytes)
        return tribus_error_set(TRIBUS_CORRUPT, "the agent's registry is too small");
    mem = mmap(at, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
               MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0);
    if (mem == MAP_FAILED)
        return tribus_error_set(TRIBUS_SYSTEM, "map the agent's registry");
    *out = mem;
    return TRIBUS_OK;
}

static tribus_status map_registry(tribus_session *s, const tribus_agent_reply *reply,
                                  const int *fds)
{
    void *registry = NULL, *bell = NULL;
    tribus_status st;

    if (reply->fd_count != 2 ||
        reply->body.welcome.registry_bytes != TRIBUS_REGISTRY_BYTES ||
        reply->body.welcome.number == 0 ||
        reply->body.welcome.number >= TRIBUS_REGISTRY_PARTICIPANTS)
        return tribus_error_set(TRIBUS_CORRUPT, "the agent's welcome makes no sense");
    /* Looked at before it replaces one that is good. */
    st = tribus_os_map(fds[0], TRIBUS_REGISTRY_BYTES, false, true, &registry);
    if (st == TRIBUS_OK)
        st = tribus_registry_check(registry, TRIBUS_REGISTRY_BYTES);
    if (st == TRIBUS_OK)
        st = map_at(fds[1], TRIBUS_BELL_FILE_BYTES, true, s->bell, &bell);
    if (st == TRIBUS_OK) {
        s->bell = bell;
        if (s->registry != NULL) {
            tribus_os_unmap(registry, TRIBUS_REGISTRY_BYTES);
            registry = NULL;
            st = map_at(fds[0], TRIBUS_REGISTRY_BYTES, false, s->registry, &registry);
        }
    }
    if (st != TRIBUS_OK) {
        if (registry != NULL && registry != s->registry)
            tribus_os_unmap(registry, TRIBUS_REGISTRY_BYTES);
        return st;
    }
    s->registry = registry;
    s->number = reply->body.welcome.number;
    s->epoch = reply->body.welcome.epoch;
    return TRIBUS_OK;
}

static tribus_status hello(tribus_session *s)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_HELLO);
    tribus_agent_reply reply;
    int fds[TRIBUS_AGENT_CALL_FDS];
    tribus_status st;

    memcpy(request.name, s->name, sizeof(request.name));
    memcpy(request.role, s->role, sizeof(request.role));
    request.number = s->number; /* 0 the first time */
    request.epoch = s->epoch;
    st = tribus_agent_call_wait(&s->channel, &request, -1, &reply, fds,
                                s->number == 0 ? s->timeout_ns : REJOIN_NS);
    if (st != TRIBUS_OK)
        return st;
    st = map_registry(s, &reply, fds);
    for (uint32_t i = 0; i < reply.fd_count; i++)
        (void)close(fds[i]);
    return st;
}

/* Names made here are "<role>-<pid>", and "<role>-<pid>-2" for a second session. */
static tribus_status hello_under_any_name(tribus_session *s)
{
    tribus_status st = TRIBUS_EXISTS;

    for (int i = 1; i < 100 && st == TRIBUS_EXISTS; i++) {
        memset(s->name, 0, sizeof(s->name));
        if (i == 1)
            (void)snprintf(s->name, sizeof(s->name), "%s-%ld", s->role, (long)getpid());
        else
            (void)snprintf(s->name, sizeof(s->name), "%s-%ld-%d", s->role, (long)getpid(),
                           i);
        st = hello(s);
    }
    return st;
}

static tribus_status copy_names(tribus_session *s, const tribus_session_cfg *cfg)
{
    const char *role = cfg->role != NULL ? cfg->role : "tool";

    if (role[0] == '\0' || strlen(role) >= sizeof(s->role))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "session role \"%s\": 1 to %zu characters allowed", role,
                                sizeof(s->role) - 1);
    (void)snprintf(s->role, sizeof(s->role), "%s", role);
    if (cfg->name == NULL)
        return TRIBUS_OK;
    if (strlen(cfg->name) < sizeof(s->name))
        (void)snprintf(s->name, sizeof(s->name), "%s", cfg->name);
    if (!tribus_registry_name_is_good(s->name))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "session name \"%.80s\": 1 to %u of a-z 0-9 . _ - /",
                                cfg->name, TRIBUS_NAME_BYTES - 1u);
    return TRIBUS_OK;
}

static tribus_status copy_path(tribus_session *s, const char *path)
{
    if (path == NULL)
        return tribus_session_socket_path(s->path, sizeof(s->path));
    if (strlen(path) >= sizeof(s->path))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "socket path \"%s\": 1 to %zu characters allowed", path,
                                sizeof(s->path) - 1);
    (void)snprintf(s->path, sizeof(s->path), "%s", path);
    return TRIBUS_OK;
}

tribus_status tribus_session_open(const tribus_session_cfg *cfg, tribus_session **out)
{
    tribus_session *s = calloc(1, sizeof(*s));
    tribus_status st;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open session: %zu bytes", sizeof(*s));
    s->channel.sock = -1;
    s->link = calloc(1, sizeof(*s->link));
    s->timeout_ns = cfg->timeout_ns > 0 ? cfg->timeout_ns : TIMEOUT_NS;
    st = s->link != NULL ? copy_names(s, cfg)
                         : tribus_error_set(TRIBUS_NO_MEMORY, "session");
    if (st == TRIBUS_OK)
        st = copy_path(s, cfg->socket_path);
    if (st == TRIBUS_OK)
        st = tribus_agent_call_connect(&s->channel, s->path, s->timeout_ns);
    if (st == TRIBUS_OK)
        st = cfg->name != NULL ? hello(s) : hello_under_any_name(s);
    if (st != TRIBUS_OK) {
        tribus_error_add("open session");
        tribus_session_close(s);
        return st;
    }
    *out = s;
    return TRIBUS_OK;
}

void tribus_session_unmap(tribus_session_mapped *m)
{
    tribus_os_unmap(m->mem, (size_t)m->object.bytes);
    if (m->fd >= 0)
        (void)close(m->fd);
}

void tribus_session_close(tribus_session *s)
{
    if (s == NULL)
        return;
    if (s->number != 0 && s->channel.sock >= 0) {
        tribus_agent_request bye = tribus_agent_call_request(TRIBUS_AGENT_BYE);

        tribus_agent_call_tell(&s->channel, &bye);
    }
    for (uint32_t i = 0; i < s->object_count; i++)
        tribus_session_unmap(&s->objects[i]);
    free(s->objects);
    tribus_agent_call_close(&s->channel);
    tribus_os_unmap(s->registry, TRIBUS_REGISTRY_BYTES);
    tribus_os_unmap(s->bell, TRIBUS_BELL_FILE_BYTES);
    free(s->link);
    free(s);
}

uint32_t tribus_session_participant(const tribus_session *s)
{
    return s->number;
}

/* ---- an agent that was started again ---- */

/* What it cannot use it refuses, and the object is gone for those who come later; for us and
 * whoever maps it nothing changes. */
static void offer_all(tribus_session *s)
{
    for (uint32_t i = 0; i < s->object_count; i++) {
        const tribus_session_mapped *m = &s->objects[i];
        tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OFFER);
        tribus_agent_reply reply;

        if (m->fd < 0)
            continue;
        memcpy(request.name, m->object.name, sizeof(request.name));
        request.number = m->object.number;
        request.generation = m->object.generation;
        if (tribus_agent_call_wait(&s->channel, &request, m->fd, &reply, NULL, REJOIN_NS) !=
            TRIBUS_OK)
            tribus_error_clear();
    }
}

/* Returns TRIBUS_OK or TRIBUS_PEER_LOST. */
static tribus_status rejoin(tribus_session *s)
{
    tribus_status st;

    tribus_agent_call_close(&s->channel);
    if (s->link->forgotten)
        return tribus_error_set(TRIBUS_PEER_LOST,
                                "the agent was started anew and does not know this "
                                "session: open another");
    st = tribus_agent_call_connect(&s->channel, s->path, 0);
    if (st == TRIBUS_OK)
        st = hello(s);
    if (st == TRIBUS_OK) {
        s->link->lost = false;
        offer_all(s);
        return TRIBUS_OK;
    }
    tribus_agent_call_close(&s->channel);
    s->link->lost = true;
    s->link->forgotten = st == TRIBUS_REFUSED || st == TRIBUS_VERSION;
    tribus_error_add("the agent is gone");
    return TRIBUS_PEER_LOST;
}

void tribus_session_look_after(const tribus_session *session)
{
    tribus_session *s = (tribus_session *)(uintptr_t)session; /* we made it, not const */
    tribus_session_link *link = s->link;
    uint64_t ticks;
    int64_t now_ns;
    char byte;

    /* As long as it runs and we are on its list, these words say so and nobody is asked. */
    if (!link->lost && tribus_registry_served(s->registry) &&
        tribus_registry_alive(s->registry, s->number, s->epoch))
        return;
    ticks = tribus_clock_ticks();
    if (ticks < link->next_ticks)
        return;
    now_ns = tribus_now_ns();
    if (link->first_ns == 0) {
        link->first_ns = now_ns;
        link->first_ticks = ticks;
    }
    if (now_ns - link->first_ns > LOOK_NS) /* long enough to know the counter's rate */
        link->next_ticks =
            ticks + (uint64_t)((double)(ticks - link->first_ticks) /
                               (double)(now_ns - link->first_ns) * (double)LOOK_NS);
    if (s->channel.sock >= 0) {
        const ssize_t n = recv(s->channel.sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
            return;
    }
    if (s->channel.sock >= 0 || !link->forgotten)
        if (rejoin(s) != TRIBUS_OK)
            tribus_error_clear(); /* not this call's fault; requests will say it */
}

tribus_status tribus_session_ask(tribus_session *s, tribus_agent_request *request, int fd,
                                 tribus_agent_reply *reply, int *fds, int64_t timeout_ns)
{
    tribus_status st =
        tribus_agent_call_wait(&s->channel, request, fd, reply, fds, timeout_ns);

    if (st == TRIBUS_PEER_LOST) {
        st = rejoin(s);
        if (st == TRIBUS_OK)
            st = tribus_agent_call_wait(&s->channel, request, fd, reply, fds, timeout_ns);
    }
    return st;
}

/* While there is no agent: does that process run? Looked at once in LOOK_NS each. */
static bool runs_without_agent(const tribus_session *s, uint32_t number)
{
    tribus_session_link *link = s->link;
    const int64_t now_ns = tribus_now_ns();
    tribus_participant p;
    uint64_t start_time;

    if (link->dead_looked_ns[number] == 0 ||
        now_ns - link->dead_looked_ns[number] > LOOK_NS) {
        link->dead_looked_ns[number] = now_ns;
        link->dead[number] = tribus_registry_participant(s->registry, number, &p,
                                                         &start_time) != TRIBUS_OK ||
                             !tribus_os_process_runs((pid_t)p.pid, start_time);
    }
    return !link->dead[number];
}

/* ---- looking ---- */

uint64_t tribus_session_revision(const tribus_session *s)
{
    tribus_session_look_after(s);
    return tribus_registry_revision(s->registry);
}

uint64_t tribus_session_last_revision(const tribus_session *s)
{
    return tribus_registry_revision(s->registry);
}

tribus_doorbell_shm *tribus_session_bell(const tribus_session *s)
{
    return s->bell;
}

tribus_status tribus_session_next_object(const tribus_session *s, uint32_t *cursor,
                                         tribus_object *out)
{
    tribus_session_look_after(s);
    return tribus_registry_next_object(s->registry, cursor, out);
}

tribus_status tribus_session_next_participant(const tribus_session *s, uint32_t *cursor,
                                              tribus_participant *out)
{
    tribus_session_look_after(s);
    return tribus_registry_next_participant(s->registry, cursor, out);
}

int tribus_session_alive(const tribus_session *s, uint32_t participant, uint32_t epoch)
{
    tribus_session_look_after(s);
    return tribus_registry_alive(s->registry, participant, epoch) &&
           (!s->link->lost || runs_without_agent(s, participant));
}
