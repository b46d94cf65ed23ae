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
#include "fabric/agent_call.h"
#include "fabric/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_NS INT64_C(2000000000)
/* The agent touches every page of a new object before it answers: 1 GiB takes 0.6 s. */
#define NS_PER_BYTE_CREATED 4
#define MOST_CREATED        (UINT64_C(1) << 44) /* no machine gives more: no overflow */
#define LOOK_NS             INT64_C(20000000)   /* between two looks at the agent */
#define REJOIN_NS           INT64_C(2000000000)

typedef struct mapped {
    tribus_object object;
    void *mem;
    uint32_t users; /* opened so many times more than dropped */
    int writable;
    int created; /* by us */
    int fd; /* kept to offer it to an agent that was started again; -1: not ours to offer */
} mapped;

/* Looking after the agent, from calls that take a const session too. */
typedef struct link_state {
    uint64_t next_ticks; /* look again from here on */
    uint64_t first_ticks;
    int64_t first_ns;
    bool lost;      /* nobody serves our socket, as far as we know */
    bool forgotten; /* the agent there does not know us: never again */
    int64_t dead_looked_ns[TRIBUS_REGISTRY_PARTICIPANTS]; /* while lost */
    bool dead[TRIBUS_REGISTRY_PARTICIPANTS];
} link_state;

struct tribus_session {
    tribus_agent_channel channel;
    int64_t timeout_ns;
    uint32_t number;
    uint32_t epoch;
    tribus_registry_shm *registry; /* mapped read-only */
    tribus_doorbell_shm *bell;
    mapped *objects;
    uint32_t object_count;
    uint32_t object_room;
    char name[TRIBUS_NAME_BYTES];
    char role[TRIBUS_AGENT_ROLE_BYTES];
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    link_state *link;
};

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

static void unmap(mapped *m)
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
        unmap(&s->objects[i]);
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
        const mapped *m = &s->objects[i];
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

/* Once in LOOK_NS: is the other end of our socket there? Costs a read of the cycle counter
 * otherwise, because loops ask for the revision with every message. */
static void look_after_agent(const tribus_session *session)
{
    tribus_session *s = (tribus_session *)(uintptr_t)session; /* we made it, not const */
    link_state *link = s->link;
    const uint64_t ticks = tribus_clock_ticks();
    int64_t now_ns;
    char byte;

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

/* Ask, and ask again an agent that was started again in between. fd goes along, -1: none. */
static tribus_status ask_with(tribus_session *s, tribus_agent_request *request, int fd,
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

static tribus_status ask(tribus_session *s, tribus_agent_request *request,
                         tribus_agent_reply *reply, int *fds, int64_t timeout_ns)
{
    return ask_with(s, request, -1, reply, fds, timeout_ns);
}

/* While there is no agent: does that process run? Looked at once in LOOK_NS each. */
static bool runs_without_agent(const tribus_session *s, uint32_t number)
{
    link_state *link = s->link;
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

/* ---- objects ---- */

static mapped *find(tribus_session *s, uint32_t number, uint64_t generation)
{
    for (uint32_t i = 0; i < s->object_count; i++)
        if (s->objects[i].object.number == number &&
            s->objects[i].object.generation == generation)
            return &s->objects[i];
    return NULL;
}

static tribus_status room_for_one(tribus_session *s)
{
    const uint32_t room = s->object_room == 0 ? 16u : s->object_room * 2u;
    mapped *more;

    if (s->object_count < s->object_room)
        return TRIBUS_OK;
    more = realloc(s->objects, room * sizeof(*more));
    if (more == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "list of %u objects", room);
    s->objects = more;
    s->object_room = room;
    return TRIBUS_OK;
}

static tribus_status named_request(tribus_agent_request *request, const char *name)
{
    if (strlen(name) < sizeof(request->name))
        (void)snprintf(request->name, sizeof(request->name), "%s", name);
    if (!tribus_registry_name_is_good(request->name))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "object name \"%.80s\": 1 to %u of a-z 0-9 . _ - /", name,
                                TRIBUS_NAME_BYTES - 1u);
    return TRIBUS_OK;
}

static tribus_status check_object(const tribus_agent_reply *reply, const char *name,
                                  uint32_t fds)
{
    const tribus_object *o = &reply->body.object;

    if (reply->fd_count != fds || o->number == 0 || o->number >= TRIBUS_REGISTRY_OBJECTS ||
        o->bytes == 0 || o->bytes > (uint64_t)INT64_MAX ||
        !tribus_registry_name_is_good(o->name) || strcmp(o->name, name) != 0)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "the agent's answer about %s makes no sense", name);
    return TRIBUS_OK;
}

/* Put a descriptor that we opened read-only before at the same address, writable now. */
static tribus_status map_again_writable(mapped *m, int fd)
{
    struct stat size;

    if (fstat(fd, &size) != 0 || (uint64_t)size.st_size < m->object.bytes)
        return tribus_error_set(TRIBUS_CORRUPT, "%s is smaller than announced",
                                m->object.name);
    if (mmap(m->mem, (size_t)m->object.bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
        return tribus_error_set(TRIBUS_SYSTEM, "map %s writable", m->object.name);
    m->writable = 1;
    return TRIBUS_OK;
}

/* Map what the agent sent and remember it. Takes fd. */
static tribus_status keep(tribus_session *s, const tribus_agent_reply *reply, int fd,
                          int writable, mapped **out)
{
    const tribus_object *o = &reply->body.object;
    mapped *m = find(s, o->number, o->generation);
    tribus_status st = TRIBUS_OK;

    if (m != NULL) {
        if (writable && !m->writable)
            st = map_again_writable(m, fd);
        if (st == TRIBUS_OK && writable && m->object.stays != 0 && m->fd < 0)
            m->fd = fd;
        else
            (void)close(fd);
        if (st == TRIBUS_OK)
            m->users++;
        *out = m;
        return st;
    }
    st = room_for_one(s);
    if (st == TRIBUS_OK) {
        m = &s->objects[s->object_count];
        *m = (mapped){.object = *o, .users = 1, .writable = writable, .fd = -1};
        st = tribus_os_map(fd, (size_t)o->bytes, writable != 0, true, &m->mem);
    }
    if (st != TRIBUS_OK) {
        (void)close(fd);
        return st;
    }
    s->object_count++;
    m->created = reply->head.type == TRIBUS_AGENT_CREATE;
    if (m->created || (writable && o->stays != 0))
        m->fd = fd;
    else
        (void)close(fd);
    *out = m;
    return TRIBUS_OK;
}

static tribus_status ask_for_object(tribus_session *s, tribus_agent_request *request,
                                    const char *name, tribus_object *out, void **mem)
{
    const int writable = (request->flags & TRIBUS_AGENT_FLAG_WRITABLE) != 0;
    const int64_t timeout_ns =
        s->timeout_ns +
        (int64_t)(request->bytes < MOST_CREATED ? request->bytes : MOST_CREATED) *
            NS_PER_BYTE_CREATED;
    tribus_agent_reply reply;
    mapped *m = NULL;
    int fds[TRIBUS_AGENT_CALL_FDS];
    tribus_status st;

    st = ask(s, request, &reply, fds, timeout_ns);
    if (st != TRIBUS_OK)
        return st;
    st = check_object(&reply, name, 1);
    if (st == TRIBUS_OK && reply.body.object.kind == TRIBUS_OBJECT_DEVICE)
        st = tribus_error_set(TRIBUS_BAD_ARG,
                              "it is memory of a device: tribus_session_open_descriptor()");
    if (st != TRIBUS_OK) {
        for (uint32_t i = 0; i < reply.fd_count; i++)
            (void)close(fds[i]);
        return st;
    }
    st = keep(s, &reply, fds[0], writable, &m);
    if (st != TRIBUS_OK) {
        if (reply.head.type == TRIBUS_AGENT_CREATE) { /* nobody would ever use it */
            tribus_agent_request remove = tribus_agent_call_request(TRIBUS_AGENT_REMOVE);

            remove.number = reply.body.object.number;
            remove.generation = reply.body.object.generation;
            tribus_agent_call_tell(&s->channel, &remove);
        }
        return st;
    }
    if (out != NULL)
        *out = m->object;
    *mem = m->mem;
    return TRIBUS_OK;
}

tribus_status tribus_session_create_object(tribus_session *s, const char *name,
                                           tribus_object_kind kind, size_t bytes, int stays,
                                           tribus_object *out, void **mem)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_CREATE);
    tribus_status st = named_request(&request, name);

    if (st == TRIBUS_OK && (bytes == 0 || bytes > (size_t)INT64_MAX / 2u))
        st = tribus_error_set(TRIBUS_BAD_ARG, "%zu bytes", bytes);
    request.kind = (uint32_t)kind;
    request.bytes = bytes;
    request.flags =
        TRIBUS_AGENT_FLAG_WRITABLE | (stays != 0 ? TRIBUS_AGENT_FLAG_STAYS : 0u);
    if (st == TRIBUS_OK)
        st = ask_for_object(s, &request, name, out, mem);
    if (st != TRIBUS_OK)
        tribus_error_add("create %.63s", name);
    return st;
}

/* ---- memory of devices: descriptors that are kept, not mapped ---- */

static tribus_status keep_descriptor(tribus_session *s, const tribus_object *o, int fd,
                                     int created, mapped **out)
{
    const tribus_status st = room_for_one(s);

    if (st != TRIBUS_OK)
        return st;
    *out = &s->objects[s->object_count++];
    **out = (mapped){.object = *o, .users = 1, .writable = 1, .created = created, .fd = fd};
    return TRIBUS_OK;
}

tribus_status tribus_session_offer_object(tribus_session *s, const char *name, int fd,
                                          size_t bytes, int stays, tribus_object *out)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OFFER);
    tribus_agent_reply reply;
    mapped *m;
    int copy = -1;
    tribus_status st = named_request(&request, name);

    if (st == TRIBUS_OK && (fd < 0 || bytes == 0 || bytes > (size_t)INT64_MAX / 2u))
        st = tribus_error_set(TRIBUS_BAD_ARG, "descriptor %d, %zu bytes", fd, bytes);
    if (st == TRIBUS_OK) {
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
            st = tribus_error_set(TRIBUS_SYSTEM, "keep descriptor %d", fd);
    }
    request.kind = TRIBUS_OBJECT_DEVICE;
    request.bytes = bytes;
    request.flags =
        TRIBUS_AGENT_FLAG_WRITABLE | (stays != 0 ? TRIBUS_AGENT_FLAG_STAYS : 0u);
    if (st == TRIBUS_OK)
        st = ask_with(s, &request, copy, &reply, NULL, s->timeout_ns);
    if (st == TRIBUS_OK)
        st = check_object(&reply, name, 0);
    if (st == TRIBUS_OK)
        st = keep_descriptor(s, &reply.body.object, copy, 1, &m);
    if (st != TRIBUS_OK) {
        tribus_error_add("offer %.63s", name);
        if (copy >= 0)
            (void)close(copy);
        return st;
    }
    *out = m->object;
    return TRIBUS_OK;
}

/* Whether the object we have under this name is still the one in the registry, under this
 * name: one that its owner left to the agent is there under another. */
static mapped *still_there(tribus_session *s, const char *name, int writable)
{
    for (uint32_t i = 0; i < s->object_count; i++) {
        mapped *m = &s->objects[i];
        tribus_object now;

        if (strcmp(m->object.name, name) != 0 || (writable != 0 && m->writable == 0))
            continue;
        if (tribus_registry_object(s->registry, m->object.number, &now) == TRIBUS_OK &&
            now.generation == m->object.generation && strcmp(now.name, name) == 0)
            return m;
    }
    return NULL;
}

tribus_status tribus_session_open_descriptor(tribus_session *s, const char *name,
                                             tribus_object *out, int *fd)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OPEN);
    mapped *m = still_there(s, name, 0);
    tribus_agent_reply reply = {.fd_count = 0};
    int fds[TRIBUS_AGENT_CALL_FDS];
    tribus_status st = named_request(&request, name);

    if (st == TRIBUS_OK && m == NULL) {
        request.flags = TRIBUS_AGENT_FLAG_WRITABLE;
        st = ask(s, &request, &reply, fds, s->timeout_ns);
        if (st == TRIBUS_OK)
            st = check_object(&reply, name, 1);
        if (st == TRIBUS_OK && reply.body.object.kind == TRIBUS_OBJECT_DEVICE)
            st = keep_descriptor(s, &reply.body.object, fds[0], 0, &m);
        for (uint32_t i = m != NULL ? 1 : 0; i < reply.fd_count; i++)
            (void)close(fds[i]);
    } else if (st == TRIBUS_OK && m->object.kind == TRIBUS_OBJECT_DEVICE)
        m->users++;
    if (st == TRIBUS_OK && (m == NULL || m->object.kind != TRIBUS_OBJECT_DEVICE))
        st = tribus_error_set(TRIBUS_BAD_ARG, "it is memory of the host");
    if (st != TRIBUS_OK) {
        tribus_error_add("open %.63s", name);
        return st;
    }
    if (out != NULL)
        *out = m->object;
    *fd = m->fd;
    return TRIBUS_OK;
}

tribus_status tribus_session_open_object(tribus_session *s, const char *name, int writable,
                                         tribus_object *out, void **mem)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_OPEN);
    mapped *m = still_there(s, name, writable);
    tribus_status st;

    if (m != NULL && m->mem != NULL) {
        m->users++;
        if (out != NULL)
            *out = m->object;
        *mem = m->mem;
        return TRIBUS_OK;
    }
    st = named_request(&request, name);
    request.flags = writable != 0 ? TRIBUS_AGENT_FLAG_WRITABLE : 0u;
    if (st == TRIBUS_OK)
        st = ask_for_object(s, &request, name, out, mem);
    if (st != TRIBUS_OK)
        tribus_error_add("open %.63s", name);
    return st;
}

static void give_up(tribus_session *s, const tribus_object *object, uint32_t flags)
{
    tribus_agent_request request = tribus_agent_call_request(TRIBUS_AGENT_REMOVE);
    tribus_agent_reply reply;

    request.number = object->number;
    request.generation = object->generation;
    request.flags = flags;
    if (ask(s, &request, &reply, NULL, s->timeout_ns) != TRIBUS_OK)
        tribus_error_clear(); /* gone already, or the agent is: both are what we want */
}

/* What left the registry is not offered to a later agent. Descriptors of device memory are
 * lent out until the last user drops them. */
static void keep_no_offer(mapped *m)
{
    if (m->fd < 0 || m->object.kind == TRIBUS_OBJECT_DEVICE)
        return;
    (void)close(m->fd);
    m->fd = -1;
}

void tribus_session_drop(tribus_session *s, const tribus_object *object, int remove)
{
    mapped *m = find(s, object->number, object->generation);

    if (remove != 0)
        give_up(s, object, 0);
    if (m == NULL)
        return;
    if (remove != 0)
        keep_no_offer(m);
    if (--m->users > 0) /* others in this process use the same mapping */
        return;
    unmap(m);
    *m = s->objects[--s->object_count];
}

void tribus_session_leave(tribus_session *s, const tribus_object *object)
{
    mapped *m = find(s, object->number, object->generation);

    give_up(s, object, TRIBUS_AGENT_FLAG_LATER);
    if (m != NULL)
        keep_no_offer(m);
    tribus_session_drop(s, object, 0);
}

/* ---- holding ---- */

static tribus_status about_holder(tribus_session *s, tribus_agent_request_type type,
                                  const tribus_object *o, uint32_t holder,
                                  tribus_agent_reply *reply)
{
    tribus_agent_request request = tribus_agent_call_request(type);

    request.number = o->number;
    request.generation = o->generation;
    request.kind = holder;
    return ask(s, &request, reply, NULL, s->timeout_ns);
}

tribus_status tribus_session_hold(tribus_session *s, const tribus_object *region,
                                  uint32_t *holder, int *successor)
{
    tribus_agent_reply reply;
    tribus_status st = about_holder(s, TRIBUS_AGENT_HOLD, region, 0, &reply);

    if (st == TRIBUS_OK && reply.body.held.holder >= TRIBUS_REGISTRY_HOLDERS)
        st = tribus_error_set(TRIBUS_CORRUPT, "holder %u", reply.body.held.holder);
    if (st != TRIBUS_OK) {
        tribus_error_add("hold %.63s", region->name);
        return st;
    }
    *holder = reply.body.held.holder;
    if (successor != NULL)
        *successor = reply.body.held.successor != 0;
    return TRIBUS_OK;
}

tribus_status tribus_session_let_go(tribus_session *s, const tribus_object *region,
                                    uint32_t holder)
{
    tribus_agent_reply reply;

    return about_holder(s, TRIBUS_AGENT_LET_GO, region, holder, &reply);
}

uint64_t tribus_session_dead_holders(const tribus_session *s, const tribus_object *region)
{
    look_after_agent(s);
    return tribus_registry_dead_holders(s->registry, region->number);
}

tribus_status tribus_session_reclaim(tribus_session *s, const tribus_object *object,
                                     tribus_region *region, uint32_t *slots)
{
    return tribus_session_reclaim_all(s, object, &region, 1, slots);
}

tribus_status tribus_session_reclaim_all(tribus_session *s, const tribus_object *object,
                                         tribus_region *const *regions, uint32_t regions_n,
                                         uint32_t *slots)
{
    const uint64_t dead = tribus_session_dead_holders(s, object);
    uint32_t count = 0;
    tribus_status st = TRIBUS_OK;

    for (uint32_t h = 0; h < TRIBUS_REGISTRY_HOLDERS && st == TRIBUS_OK; h++) {
        tribus_agent_reply reply;

        if ((dead >> h & 1u) == 0)
            continue;
        st = about_holder(s, TRIBUS_AGENT_TAKE_BACK, object, h, &reply);
        if (st == TRIBUS_NOT_FOUND) { /* its successor came first */
            st = TRIBUS_OK;
            continue;
        }
        if (st != TRIBUS_OK)
            break;
        for (uint32_t i = 0; i < regions_n; i++)
            count += tribus_region_reclaim(regions[i], h);
        st = about_holder(s, TRIBUS_AGENT_TAKEN_BACK, object, h, &reply);
    }
    if (slots != NULL)
        *slots = count;
    if (st != TRIBUS_OK)
        tribus_error_add("reclaim %.63s", object->name);
    return st;
}

/* ---- looking ---- */

uint64_t tribus_session_revision(const tribus_session *s)
{
    look_after_agent(s);
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
    look_after_agent(s);
    return tribus_registry_next_object(s->registry, cursor, out);
}

tribus_status tribus_session_next_participant(const tribus_session *s, uint32_t *cursor,
                                              tribus_participant *out)
{
    look_after_agent(s);
    return tribus_registry_next_participant(s->registry, cursor, out);
}

int tribus_session_alive(const tribus_session *s, uint32_t participant, uint32_t epoch)
{
    look_after_agent(s);
    return tribus_registry_alive(s->registry, participant, epoch) &&
           (!s->link->lost || runs_without_agent(s, participant));
}
