/* clients.c -- connections: who may connect, what is asked, what is answered, who dies.
 *
 * A client is dead when its socket ends or its process does, whichever is seen first: the
 * socket alone would miss a process that forked and died, the process alone a client in our
 * own process. Both are events of the kernel, seen within a millisecond; a stopped process
 * raises neither.
 */
#include "agent/agent.h"
#include "base/error.h"
#include "base/log.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Objects up to this size are made at once; the pages of more than that take milliseconds,
 * in which we would not see anybody die. */
#define INLINE_BYTES ((uint64_t)4 << 20)
/* So many requests of one client are answered before others get their turn. */
#define REQUESTS_A_ROUND 32
/* A client may be this far ahead of its rate. */
#define BURST_S     0.25
#define REFILL_NS   INT64_C(20000000)
#define GROUPS_MOST 1024
#define SHORT_REPLY offsetof(tribus_agent_reply, text) /* what every release can read */

/* ---- answering ---- */

/* A last word to somebody who is cut off: he may not hear it. */
static void say(int fd, const tribus_agent_reply *reply, size_t bytes)
{
    if (tribus_os_send(fd, reply, bytes, NULL, 0) != TRIBUS_OK)
        tribus_error_clear();
}

static void cut_off(tribus_agent *agent, tribus_client *c, const char *why)
{
    tribus_log(TRIBUS_LOG_WARN, "process %ld is cut off: %s", (long)c->pid, why);
    agent->status.cut_off++;
    c->closed = true;
}

static void answer(tribus_agent *agent, tribus_client *c, tribus_agent_reply *reply,
                   const int *fds, uint32_t fd_count)
{
    tribus_status st;

    reply->fd_count = fd_count;
    st = tribus_os_send(c->sock.fd, reply, sizeof(*reply), fds, fd_count);
    if (st == TRIBUS_PEER_LOST)
        c->closed = true; /* gone before it could be told */
    else if (st != TRIBUS_OK)
        cut_off(agent, c, "it does not read its replies");
}

/* What failed here is reported there: the text goes along, errno does not. */
static void answer_no(tribus_agent *agent, tribus_client *c, tribus_agent_reply *reply,
                      tribus_status st)
{
    reply->status = st == TRIBUS_SYSTEM ? TRIBUS_REFUSED : st;
    (void)snprintf(reply->text, sizeof(reply->text), "%s", tribus_error_text());
    answer(agent, c, reply, NULL, 0);
}

static void answer_fault(tribus_agent *agent, tribus_client *c, tribus_agent_reply *reply,
                         tribus_status st)
{
    agent->status.refused++;
    answer_no(agent, c, reply, st);
}

/* ---- requests ---- */

static void on_hello(tribus_agent *agent, tribus_client *c,
                     const tribus_agent_request *request, tribus_agent_reply *reply)
{
    const int fds[2] = {agent->registry_fd,
                        c->reader ? agent->readers_bell_fd : agent->bell_fd};
    const tribus_status st = tribus_table_join(agent, c, request);

    if (st != TRIBUS_OK) {
        answer_fault(agent, c, reply, st);
        return;
    }
    reply->body.welcome.number = c->number;
    reply->body.welcome.epoch = agent->participants[c->number].epoch;
    reply->body.welcome.registry_bytes = TRIBUS_REGISTRY_BYTES;
    reply->body.welcome.instance = agent->registry->instance;
    answer(agent, c, reply, fds, 2);
}

static void on_bye(tribus_agent *agent, tribus_client *c,
                   const tribus_agent_request *request, tribus_agent_reply *reply)
{
    (void)agent;
    (void)request;
    (void)reply;
    c->said_bye = true;
    c->closed = true;
}

static void answer_object(tribus_agent *agent, tribus_client *c, tribus_agent_reply *reply,
                          const tribus_agent_object *o)
{
    reply->body.object = o->row;
    answer(agent, c, reply, &o->fd, 1);
}

static void on_create(tribus_agent *agent, tribus_client *c,
                      const tribus_agent_request *request, tribus_agent_reply *reply)
{
    char file[TRIBUS_NAME_BYTES + 8];
    tribus_agent_object *o = NULL;
    int fd = -1;
    tribus_status st = tribus_table_reserve(agent, c, request, &o);

    if (st != TRIBUS_OK) {
        answer_fault(agent, c, reply, st);
        return;
    }
    if (request->bytes > INLINE_BYTES &&
        tribus_creator_submit(agent, c, o, request->head.sequence) == TRIBUS_OK) {
        c->creating = true;
        tribus_agent_watch_change(agent, &c->sock, 0);
        return;
    }
    (void)snprintf(file, sizeof(file), "tribus-%s", request->name);
    st = tribus_os_memory_create(file, (size_t)request->bytes, agent->cfg.memory_dir, &fd);
    if (st != TRIBUS_OK) {
        answer_fault(agent, c, reply, st);
        tribus_table_abandon(agent, o);
        return;
    }
    tribus_table_finish(agent, o, fd);
    answer_object(agent, c, reply, o);
}

void tribus_clients_created(tribus_agent *agent, uint32_t participant, uint32_t epoch,
                            uint64_t sequence, tribus_agent_object *o, tribus_status st)
{
    const tribus_agent_participant *p = &agent->participants[participant];
    tribus_client *c = p->client;
    tribus_agent_reply reply;

    if (c == NULL || p->epoch != epoch || c->closed || !c->creating)
        return;
    c->creating = false;
    if (!c->throttled)
        tribus_agent_watch_change(agent, &c->sock, EPOLLIN);
    memset(&reply, 0, sizeof(reply));
    reply.head.magic = TRIBUS_AGENT_MAGIC;
    reply.head.version = TRIBUS_AGENT_VERSION;
    reply.head.type = TRIBUS_AGENT_CREATE;
    reply.head.sequence = sequence;
    if (st != TRIBUS_OK) {
        answer_fault(agent, c, &reply, st);
        return;
    }
    answer_object(agent, c, &reply, o);
}

/* A reader gets a descriptor of its own that was opened for reading, so that its mapping
 * cannot be made writable. */
static void on_open(tribus_agent *agent, tribus_client *c,
                    const tribus_agent_request *request, tribus_agent_reply *reply)
{
    char path[32];
    tribus_agent_object *o = NULL;
    int fd = -1;
    tribus_status st = tribus_table_find(agent, request->name, &o);

    if (st == TRIBUS_OK && c->number == 0)
        st = tribus_error_set(TRIBUS_REFUSED, "say hello first");
    if (st == TRIBUS_OK && o->state != TRIBUS_AGENT_OBJECT_READY)
        st = tribus_error_set(TRIBUS_NOT_FOUND, "%s is not ready yet: try again",
                              request->name);
    if (st == TRIBUS_OK && o->row.kind == TRIBUS_OBJECT_DEVICE &&
        (request->flags & TRIBUS_AGENT_FLAG_WRITABLE) == 0)
        st = tribus_error_set(TRIBUS_REFUSED,
                              "a descriptor of %s cannot be had for reading only",
                              request->name);
    if (st == TRIBUS_OK && (request->flags & TRIBUS_AGENT_FLAG_WRITABLE) == 0) {
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", o->fd);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            st = tribus_error_set(TRIBUS_SYSTEM, "open %s read-only", request->name);
    }
    if (st != TRIBUS_OK) {
        answer_fault(agent, c, reply, st);
        return;
    }
    reply->body.object = o->row;
    answer(agent, c, reply, fd >= 0 ? &fd : &o->fd, 1);
    if (fd >= 0)
        (void)close(fd);
}

static void on_remove(tribus_agent *agent, tribus_client *c,
                      const tribus_agent_request *request, tribus_agent_reply *reply)
{
    const tribus_status st =
        tribus_table_remove(agent, c, request->number, request->generation,
                            (request->flags & TRIBUS_AGENT_FLAG_LATER) != 0);

    if (st != TRIBUS_OK)
        answer_fault(agent, c, reply, st);
    else
        answer(agent, c, reply, NULL, 0);
}

static void on_hold(tribus_agent *agent, tribus_client *c,
                    const tribus_agent_request *request, tribus_agent_reply *reply)
{
    const tribus_status st = tribus_lease_hold(agent, c, request, &reply->body.held);

    if (st != TRIBUS_OK)
        answer_fault(agent, c, reply, st);
    else
        answer(agent, c, reply, NULL, 0);
}

static void on_let_go(tribus_agent *agent, tribus_client *c,
                      const tribus_agent_request *request, tribus_agent_reply *reply)
{
    const tribus_status st = tribus_lease_let_go(agent, c, request);

    if (st != TRIBUS_OK)
        answer_fault(agent, c, reply, st);
    else
        answer(agent, c, reply, NULL, 0);
}

static void on_take_back(tribus_agent *agent, tribus_client *c,
                         const tribus_agent_request *request, tribus_agent_reply *reply)
{
    const bool done = request->head.type == TRIBUS_AGENT_TAKEN_BACK;
    const tribus_status st = tribus_lease_take_back(agent, c, request, done);

    if (st != TRIBUS_OK)
        answer_fault(agent, c, reply, st);
    else
        answer(agent, c, reply, NULL, 0);
}

/* Memory of a device, that its maker gives us to keep. Takes fd on TRIBUS_OK. */
static tribus_status adopt(tribus_agent *agent, const tribus_client *c,
                           const tribus_agent_request *request, int fd, tribus_object *out)
{
    tribus_agent_object *o = NULL;
    tribus_status st;

    if (fd < 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "an offer needs a descriptor");
    st = tribus_table_reserve(agent, c, request, &o);
    if (st != TRIBUS_OK)
        return st;
    st = tribus_recover_check(agent, &o->row, fd);
    if (st != TRIBUS_OK) {
        tribus_table_abandon(agent, o);
        return st;
    }
    tribus_table_finish(agent, o, fd);
    *out = o->row;
    return TRIBUS_OK;
}

static void on_offer(tribus_agent *agent, tribus_client *c,
                     const tribus_agent_request *request, tribus_agent_reply *reply,
                     int *fd)
{
    const tribus_status st = request->number == 0
                                 ? adopt(agent, c, request, *fd, &reply->body.object)
                                 : tribus_recover_offer(agent, c, request, *fd);

    if (st != TRIBUS_OK) {
        answer_fault(agent, c, reply, st);
        return;
    }
    *fd = -1;
    answer(agent, c, reply, NULL, 0);
}

static void on_status(tribus_agent *agent, tribus_client *c,
                      const tribus_agent_request *request, tribus_agent_reply *reply)
{
    tribus_agent_status status;

    (void)request;
    tribus_agent_fill_status(agent, &status);
    memcpy(reply->body.words, &status, sizeof(status));
    answer(agent, c, reply, NULL, 0);
}

static void on_child(tribus_agent *agent, tribus_client *c,
                     const tribus_agent_request *request, tribus_agent_reply *reply)
{
    tribus_agent_child row;
    const tribus_status st = tribus_supervise_get(agent->supervisor, request->number, &row);

    if (st != TRIBUS_OK) {
        answer_no(agent, c, reply, st); /* how the list ends */
        return;
    }
    memcpy(reply->body.words, &row, sizeof(row));
    answer(agent, c, reply, NULL, 0);
}

static void on_stop(tribus_agent *agent, tribus_client *c,
                    const tribus_agent_request *request, tribus_agent_reply *reply)
{
    (void)request;
    if (c->uid != 0 && c->uid != geteuid()) {
        (void)tribus_error_set(TRIBUS_REFUSED, "only the agent's own user may stop it");
        answer_fault(agent, c, reply, TRIBUS_REFUSED);
        return;
    }
    tribus_log(TRIBUS_LOG_INFO, "process %ld asks for a stop", (long)c->pid);
    agent->stopping = true;
    answer(agent, c, reply, NULL, 0);
}

typedef void (*request_fn)(tribus_agent *agent, tribus_client *c,
                           const tribus_agent_request *request, tribus_agent_reply *reply);

static const request_fn requests[] = {
    [TRIBUS_AGENT_HELLO] = on_hello,         [TRIBUS_AGENT_BYE] = on_bye,
    [TRIBUS_AGENT_CREATE] = on_create,       [TRIBUS_AGENT_OPEN] = on_open,
    [TRIBUS_AGENT_REMOVE] = on_remove,       [TRIBUS_AGENT_STATUS] = on_status,
    [TRIBUS_AGENT_CHILD] = on_child,         [TRIBUS_AGENT_STOP] = on_stop,
    [TRIBUS_AGENT_HOLD] = on_hold,           [TRIBUS_AGENT_LET_GO] = on_let_go,
    [TRIBUS_AGENT_TAKE_BACK] = on_take_back, [TRIBUS_AGENT_TAKEN_BACK] = on_take_back,
};

static bool reader_may(const tribus_agent_request *request)
{
    switch (request->head.type) {
    case TRIBUS_AGENT_HELLO:
    case TRIBUS_AGENT_BYE:
    case TRIBUS_AGENT_STATUS:
    case TRIBUS_AGENT_CHILD:
        return true;
    case TRIBUS_AGENT_OPEN:
        return (request->flags & TRIBUS_AGENT_FLAG_WRITABLE) == 0;
    default:
        return false;
    }
}

/* *fd: came along with the request, -1: none; set to -1 when taken. */
static void on_request(tribus_agent *agent, tribus_client *c,
                       const tribus_agent_request *request, size_t bytes, int *fd)
{
    tribus_agent_reply reply;
    const tribus_agent_head *head = &request->head;

    memset(&reply, 0, sizeof(reply));
    reply.head.magic = TRIBUS_AGENT_MAGIC;
    reply.head.version = TRIBUS_AGENT_VERSION;
    if (bytes < sizeof(*head) || head->magic != TRIBUS_AGENT_MAGIC) {
        cut_off(agent, c, "what it sends is not a request");
        return;
    }
    reply.head.type = head->type;
    reply.head.sequence = head->sequence;
    if (head->version != TRIBUS_AGENT_VERSION) {
        reply.status = TRIBUS_VERSION;
        say(c->sock.fd, &reply, SHORT_REPLY);
        cut_off(agent, c, "it speaks another version of the protocol");
        return;
    }
    if (bytes == sizeof(*request) && c->reader && !reader_may(request)) {
        answer_fault(agent, c, &reply,
                     tribus_error_set(TRIBUS_REFUSED,
                                      "user %lu may only look: it is not in the agent's "
                                      "group",
                                      (unsigned long)c->uid));
        return;
    }
    if (bytes == sizeof(*request) && head->type == TRIBUS_AGENT_OFFER) {
        agent->status.requests++;
        on_offer(agent, c, request, &reply, fd);
        return;
    }
    if (bytes != sizeof(*request) || *fd >= 0 ||
        head->type >= sizeof(requests) / sizeof(requests[0]) ||
        requests[head->type] == NULL) {
        cut_off(agent, c, "its request has a type or size that does not exist");
        return;
    }
    agent->status.requests++;
    requests[head->type](agent, c, request, &reply);
}

/* ---- rate ---- */

static void refill(const tribus_agent *agent, tribus_client *c, int64_t now_ns)
{
    const double rate = (double)agent->cfg.requests_per_s;

    c->tokens += rate * (double)(now_ns - c->tokens_at_ns) * 1e-9;
    if (c->tokens > rate * BURST_S + 1.0)
        c->tokens = rate * BURST_S + 1.0;
    c->tokens_at_ns = now_ns;
}

/* Its socket's buffer fills and it waits in send(): nothing is lost and nobody else waits.
 * epoll goes on reporting the end of the socket. */
static void throttle(tribus_agent *agent, tribus_client *c)
{
    c->throttled = true;
    agent->status.throttled++;
    tribus_agent_watch_change(agent, &c->sock, 0);
}

static void client_ready(tribus_agent *agent, void *owner, uint32_t events)
{
    tribus_client *c = owner;

    if (c->closed)
        return;
    refill(agent, c, tribus_now_ns());
    for (int i = 0;
         i < REQUESTS_A_ROUND && (events & EPOLLIN) != 0 && !c->closed && !c->creating;
         i++) {
        tribus_agent_request request;
        size_t got = 0;
        uint32_t fd_count = 1;
        int fd = -1;
        tribus_status st;

        if (c->tokens < 1.0) {
            throttle(agent, c);
            break;
        }
        st = tribus_os_receive_wait(c->sock.fd, &request, sizeof(request), &got, &fd,
                                    &fd_count, 0);
        if (st == TRIBUS_TIMEOUT)
            break;
        if (st == TRIBUS_OK) {
            c->tokens -= 1.0;
            fd = fd_count == 1 ? fd : -1;
            on_request(agent, c, &request, got, &fd);
            if (fd >= 0)
                (void)close(fd);
        } else if (st == TRIBUS_BAD_DATA) {
            cut_off(agent, c, "its message is longer than a request, or has descriptors");
        } else {
            c->closed = true;
        }
    }
    if ((events & (EPOLLHUP | EPOLLERR)) != 0 && (events & EPOLLIN) == 0)
        c->closed = true;
}

static void process_ended(tribus_agent *agent, void *owner, uint32_t events)
{
    (void)agent;
    (void)events;
    ((tribus_client *)owner)->closed = true;
}

/* ---- connections ---- */

static void refuse(int fd, tribus_status st)
{
    tribus_agent_reply reply;

    memset(&reply, 0, sizeof(reply));
    reply.head.magic = TRIBUS_AGENT_MAGIC;
    reply.head.version = TRIBUS_AGENT_VERSION;
    reply.head.sequence = 1; /* the first one every client uses */
    reply.status = st;
    (void)snprintf(reply.text, sizeof(reply.text), "%s", tribus_error_text());
    say(fd, &reply, sizeof(reply));
    (void)close(fd);
}

/* Whether the process at the other end is in a group: its own word for it is the kernel's. */
static bool in_group(int fd, gid_t own, gid_t wanted)
{
    gid_t groups[GROUPS_MOST];
    socklen_t bytes = sizeof(groups);

    if (own == wanted)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) != 0)
        return false;
    for (size_t i = 0; i < bytes / sizeof(groups[0]); i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

/* Returns TRIBUS_OK or TRIBUS_REFUSED. */
static tribus_status check_user(const tribus_agent *agent, int fd, const struct ucred *peer,
                                bool *reader)
{
    *reader = false;
    if (peer->uid == geteuid() || peer->uid == 0)
        return TRIBUS_OK;
    if (agent->has_group && in_group(fd, peer->gid, agent->group))
        return TRIBUS_OK;
    *reader = agent->has_readers && in_group(fd, peer->gid, agent->readers_group);
    if (*reader)
        return TRIBUS_OK;
    return tribus_error_set(
        TRIBUS_REFUSED,
        "this agent serves user %lu%s, not user %lu: start your own with "
        "`tribus up`",
        (unsigned long)geteuid(),
        agent->has_group || agent->has_readers ? " and its groups" : "",
        (unsigned long)peer->uid);
}

static tribus_status admit(tribus_agent *agent, int fd)
{
    tribus_client *c;
    struct ucred peer;
    socklen_t n = sizeof(peer);
    int process = -1;
    bool reader;
    tribus_status st;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
        return tribus_error_set(TRIBUS_SYSTEM, "who connects");
    st = check_user(agent, fd, &peer, &reader);
    if (st != TRIBUS_OK)
        return st;
    if (agent->client_count >= TRIBUS_AGENT_CLIENTS_MAX)
        return tribus_error_set(TRIBUS_FULL, "the agent has %u connections already",
                                agent->client_count);
    if (peer.pid > 0) { /* 0: from another pid namespace; its socket alone tells */
        st = tribus_os_pidfd(peer.pid, &process);
        if (st != TRIBUS_OK)
            return st;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        if (process >= 0)
            (void)close(process);
        return tribus_error_set(TRIBUS_NO_MEMORY, "a connection: %zu bytes", sizeof(*c));
    }
    c->sock = (tribus_source){.ready = client_ready, .owner = c, .fd = -1};
    c->process = (tribus_source){.ready = process_ended, .owner = c, .fd = -1};
    c->pid = peer.pid;
    c->uid = peer.uid;
    c->reader = reader;
    c->connected_ns = tribus_now_ns();
    c->tokens_at_ns = c->connected_ns;
    c->tokens = (double)agent->cfg.requests_per_s * BURST_S + 1.0;
    st =
        process >= 0 ? tribus_agent_watch(agent, &c->process, process, EPOLLIN) : TRIBUS_OK;
    if (st != TRIBUS_OK) {
        (void)close(process);
        free(c);
        return st;
    }
    st = tribus_agent_watch(agent, &c->sock, fd, EPOLLIN);
    if (st != TRIBUS_OK) {
        tribus_agent_unwatch(agent, &c->process);
        free(c);
        return st;
    }
    c->next = agent->clients;
    agent->clients = c;
    agent->client_count++;
    return TRIBUS_OK;
}

/* Out of descriptors, accept() fails and the connection stays queued, so epoll would report
 * it again at once and forever: give up the spare one, take the connection, say no. */
static bool refuse_one(tribus_agent *agent)
{
    int fd;

    if (agent->spare_fd < 0)
        return false;
    (void)close(agent->spare_fd);
    fd = accept4(agent->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        (void)tribus_error_set(TRIBUS_NO_MEMORY,
                               "the agent is out of descriptors: raise its limit "
                               "(ulimit -n, LimitNOFILE=)");
        refuse(fd, TRIBUS_NO_MEMORY);
    }
    agent->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

void tribus_clients_accept(tribus_agent *agent, void *owner, uint32_t events)
{
    (void)owner;
    (void)events;
    for (int i = 0; i < REQUESTS_A_ROUND; i++) {
        const int fd =
            accept4(agent->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        tribus_status st;

        if (fd < 0) {
            if ((errno == EMFILE || errno == ENFILE) && refuse_one(agent))
                continue;
            return;
        }
        st = admit(agent, fd);
        if (st == TRIBUS_OK)
            continue;
        agent->status.refused++;
        if (!agent->said_refused)
            tribus_log(TRIBUS_LOG_WARN,
                       "connection refused: %s; more of this is only counted",
                       tribus_error_text());
        agent->said_refused = true; /* anybody may try as often as he likes */
        refuse(fd, st == TRIBUS_SYSTEM ? TRIBUS_REFUSED : st);
    }
}

int64_t tribus_clients_tick(tribus_agent *agent, int64_t now_ns)
{
    int64_t next = INT64_MAX;

    for (tribus_client *c = agent->clients; c != NULL; c = c->next) {
        const int64_t hello_by = c->connected_ns + TRIBUS_AGENT_HELLO_NS;

        if (c->closed)
            continue;
        if (c->number == 0 && !agent->stopping) {
            if (now_ns >= hello_by)
                cut_off(agent, c, "it connected and did not say hello");
            else if (hello_by < next)
                next = hello_by;
        }
        if (!c->throttled)
            continue;
        refill(agent, c, now_ns);
        if (c->tokens >= 1.0) {
            c->throttled = false;
            if (!c->creating)
                tribus_agent_watch_change(agent, &c->sock, EPOLLIN);
        } else if (now_ns + REFILL_NS < next) {
            next = now_ns + REFILL_NS;
        }
    }
    return next;
}

static void free_client(tribus_agent *agent, tribus_client *c)
{
    tribus_table_leave(agent, c);
    tribus_agent_unwatch(agent, &c->sock);
    tribus_agent_unwatch(agent, &c->process);
    agent->client_count--;
    free(c);
}

void tribus_clients_sweep(tribus_agent *agent)
{
    tribus_client **at = &agent->clients;

    while (*at != NULL) {
        tribus_client *c = *at;

        if (!c->closed) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        free_client(agent, c);
    }
}

void tribus_clients_close_all(tribus_agent *agent)
{
    for (tribus_client *c = agent->clients; c != NULL; c = c->next)
        c->closed = true;
    tribus_clients_sweep(agent);
}
