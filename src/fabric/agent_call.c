/* agent_call.c -- see agent_call.h. */
#include "fabric/agent_call.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/os.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static tribus_status connect_fault(const char *path)
{
    switch (errno) {
    case ENOENT:
    case ECONNREFUSED:
        return tribus_error_set(TRIBUS_NOT_FOUND,
                                "no agent at %s: start one with `tribus up`, or set "
                                "TRIBUS_SOCKET to the socket of a running one",
                                path);
    case EACCES:
    case EPERM:
        return tribus_error_set(TRIBUS_REFUSED,
                                "agent at %s: this user may not use it (the socket belongs "
                                "to another user)",
                                path);
    default:
        return tribus_error_set(TRIBUS_SYSTEM, "connect to the agent at %s", path);
    }
}

/* The kernel queues as many connections as the agent's backlog; past that connect() says
 * EAGAIN and there is nothing to poll, so look again every millisecond. */
static tribus_status connect_wait(int sock, const char *path, int64_t timeout_ns)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns);
    const struct timespec pause = {.tv_nsec = 1000000};
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    memcpy(at.sun_path, path, strlen(path) + 1);
    for (;;) {
        if (connect(sock, (const struct sockaddr *)&at, sizeof(at)) == 0)
            return TRIBUS_OK;
        if (errno != EAGAIN && errno != EINTR)
            return connect_fault(path);
        if (tribus_deadline_left_ns(deadline) == 0)
            return tribus_error_set(TRIBUS_TIMEOUT,
                                    "connect to the agent at %s: too many "
                                    "connections wait already",
                                    path);
        (void)nanosleep(&pause, NULL);
    }
}

tribus_status tribus_agent_call_connect(tribus_agent_channel *channel, const char *path,
                                        int64_t timeout_ns)
{
    char standard[sizeof(((struct sockaddr_un *)0)->sun_path)];
    tribus_status st;

    channel->sock = -1;
    channel->sequence = 0;
    if (path == NULL) {
        st = tribus_session_socket_path(standard, sizeof(standard));
        if (st != TRIBUS_OK)
            return st;
        path = standard;
    }
    if (path[0] == '\0' || strlen(path) >= sizeof(standard))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "socket path \"%s\": 1 to %zu characters allowed", path,
                                sizeof(standard) - 1);
    channel->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (channel->sock < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "socket for the agent");
    st = connect_wait(channel->sock, path, timeout_ns);
    if (st != TRIBUS_OK)
        tribus_agent_call_close(channel);
    return st;
}

void tribus_agent_call_close(tribus_agent_channel *channel)
{
    if (channel->sock >= 0)
        (void)close(channel->sock);
    channel->sock = -1;
}

tribus_agent_request tribus_agent_call_request(tribus_agent_request_type type)
{
    tribus_agent_request r;

    memset(&r, 0, sizeof(r));
    r.head.magic = TRIBUS_AGENT_MAGIC;
    r.head.version = TRIBUS_AGENT_VERSION;
    r.head.type = (uint16_t)type;
    return r;
}

void tribus_agent_call_tell(tribus_agent_channel *channel, tribus_agent_request *request)
{
    request->head.sequence = ++channel->sequence;
    if (tribus_os_send(channel->sock, request, sizeof(*request), NULL, 0) != TRIBUS_OK)
        tribus_error_clear(); /* nothing depends on it: the end of the socket says it too */
}

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

/* An object whose creator stopped waiting: nobody will ever use it. */
static void throw_away(tribus_agent_channel *channel, const tribus_agent_reply *reply)
{
    if (reply->head.type == TRIBUS_AGENT_CREATE && reply->status == TRIBUS_OK) {
        tribus_agent_request remove = tribus_agent_call_request(TRIBUS_AGENT_REMOVE);

        remove.number = reply->body.object.number;
        remove.generation = reply->body.object.generation;
        tribus_agent_call_tell(channel, &remove);
    }
}

static tribus_status send_wait(int sock, const tribus_agent_request *request, int send_fd,
                               int64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = sock, .events = POLLOUT};
        const tribus_status st = tribus_os_send(sock, request, sizeof(*request), &send_fd,
                                                send_fd >= 0 ? 1u : 0u);
        const int64_t left_ms = tribus_deadline_left_ns(deadline) / 1000000;

        if (st != TRIBUS_FULL)
            return st;
        if (left_ms == 0)
            return tribus_error_set(TRIBUS_TIMEOUT, "the agent does not read");
        (void)poll(&p, 1, left_ms > 1000 ? 1000 : (int)left_ms);
    }
}

/* An agent that says no and closes at once while our request still waits there makes the
 * kernel report a reset first and its reply only then. */
static tribus_status receive(int sock, tribus_agent_reply *reply, size_t *got, int *fds,
                             uint32_t *fd_count, int64_t deadline)
{
    tribus_status st = TRIBUS_PEER_LOST;

    for (int i = 0; i < 2 && st == TRIBUS_PEER_LOST; i++) {
        *fd_count = TRIBUS_AGENT_CALL_FDS;
        st = tribus_os_receive_wait(sock, reply, sizeof(*reply), got, fds, fd_count,
                                    tribus_deadline_left_ns(deadline));
    }
    if (st == TRIBUS_TIMEOUT)
        return tribus_error_set(TRIBUS_TIMEOUT, "the agent did not answer in time");
    if (st == TRIBUS_PEER_LOST)
        return tribus_error_set(TRIBUS_PEER_LOST, "the agent is gone");
    return st;
}

static tribus_status check_reply(const tribus_agent_reply *reply, size_t bytes,
                                 uint32_t fd_count, uint32_t *announced)
{
    *announced = 0;
    if (bytes < sizeof(reply->head) || reply->head.magic != TRIBUS_AGENT_MAGIC)
        return tribus_error_set(TRIBUS_CORRUPT, "the agent answered %zu bytes of nonsense",
                                bytes);
    if (reply->head.version != TRIBUS_AGENT_VERSION)
        return tribus_error_set(TRIBUS_VERSION,
                                "the agent speaks protocol version %u, this program %u; "
                                "use programs and agent of one release",
                                reply->head.version, TRIBUS_AGENT_VERSION);
    if (bytes != sizeof(*reply) || reply->fd_count != fd_count ||
        memchr(reply->text, '\0', sizeof(reply->text)) == NULL || reply->status > 0 ||
        reply->status == TRIBUS_SYSTEM) /* errno does not travel: the agent never says it */
        return tribus_error_set(TRIBUS_CORRUPT, "a reply of %zu bytes from the agent",
                                bytes);
    *announced = fd_count;
    return TRIBUS_OK;
}

tribus_status tribus_agent_call_wait(tribus_agent_channel *channel,
                                     tribus_agent_request *request, int send_fd,
                                     tribus_agent_reply *reply, int *fds,
                                     int64_t timeout_ns)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns);
    tribus_status st;

    if (channel->sock < 0)
        return tribus_error_set(TRIBUS_PEER_LOST, "not connected to an agent");
    request->head.sequence = ++channel->sequence;
    st = send_wait(channel->sock, request, send_fd, deadline);
    if (st != TRIBUS_OK && st != TRIBUS_PEER_LOST)
        return st;
    for (;;) {
        int got_fds[TRIBUS_AGENT_CALL_FDS];
        uint32_t fd_count = 0, announced;
        size_t got = 0;

        st = receive(channel->sock, reply, &got, got_fds, &fd_count, deadline);
        if (st != TRIBUS_OK)
            return st;
        st = check_reply(reply, got, fd_count, &announced);
        if (st == TRIBUS_OK && reply->head.sequence == request->head.sequence) {
            if (reply->status == TRIBUS_OK && (fds != NULL || announced == 0)) {
                for (uint32_t i = 0; i < announced; i++)
                    fds[i] = got_fds[i];
                return TRIBUS_OK;
            }
            close_all(got_fds, fd_count);
            if (reply->status == TRIBUS_OK)
                return tribus_error_set(TRIBUS_CORRUPT, "descriptors nobody asked for");
            return tribus_error_set((tribus_status)reply->status, "%s", reply->text);
        }
        close_all(got_fds, fd_count);
        if (st != TRIBUS_OK)
            return st;
        throw_away(channel, reply);
    }
}
