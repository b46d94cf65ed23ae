/* server.c -- see server.h. PING as an inline command is understood by every Redis and
 * Valkey, before a password too. */
#include "agent/server.h"
#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    int rc;

    do {
        const int64_t left_ms = tribus_deadline_left_ns(deadline) / 1000000;

        rc = poll(&p, 1, left_ms > 10000 ? 10000 : (int)left_ms);
    } while (rc < 0 && errno == EINTR);
    return rc > 0 ? p.revents : 0;
}

/* A connected socket, or -1. *silent: nobody refused, nobody answered. */
static int connect_to(const struct addrinfo *at, int64_t deadline, int *silent)
{
    const int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int err = 0;
    socklen_t n = sizeof(err);

    if (fd < 0)
        return -1;
    if (connect(fd, at->ai_addr, at->ai_addrlen) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        if (wait_for(fd, POLLOUT, deadline) == 0)
            *silent = 1;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == 0)
            return fd;
    }
    (void)close(fd);
    return -1;
}

static tribus_server_answer ask(int fd, int64_t deadline)
{
    static const char ping[] = "PING\r\n";
    char reply[64];
    ssize_t n;

    if (send(fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(ping) - 1)
        return TRIBUS_SERVER_OTHER;
    if (wait_for(fd, POLLIN, deadline) == 0)
        return TRIBUS_SERVER_SILENT;
    n = recv(fd, reply, sizeof(reply) - 1, 0);
    if (n <= 0)
        return TRIBUS_SERVER_OTHER;
    reply[n] = '\0';
    if (strncmp(reply, "+PONG", 5) == 0 || strncmp(reply, "-NOAUTH", 7) == 0 ||
        strncmp(reply, "-DENIED", 7) == 0 || strncmp(reply, "-LOADING", 8) == 0 ||
        strncmp(reply, "-NOPERM", 7) == 0 || strncmp(reply, "-MASTERDOWN", 11) == 0)
        return TRIBUS_SERVER_REDIS;
    return TRIBUS_SERVER_OTHER;
}

tribus_server_answer tribus_server_probe(const char *host, int port, int64_t timeout_ns)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    const int64_t deadline = tribus_deadline_ns(timeout_ns);
    struct addrinfo *list = NULL;
    tribus_server_answer answer = TRIBUS_SERVER_NOBODY;
    char service[16];

    (void)snprintf(service, sizeof(service), "%d", port);
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return TRIBUS_SERVER_NOBODY;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        int silent = 0;
        const int fd = connect_to(at, deadline, &silent);

        if (fd < 0) {
            if (silent)
                answer = TRIBUS_SERVER_SILENT;
            continue;
        }
        answer = ask(fd, deadline);
        (void)close(fd);
        break;
    }
    freeaddrinfo(list);
    return answer;
}
