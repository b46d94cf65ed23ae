/* redis.c -- see redis.h. Our own socket and output buffer around hiredis' reply reader:
 * hiredis' context blocks in connect and grows without bounds, and Debian's has no TLS, which
 * is in redis_tls.c. */
#include "bus/redis.h"

#include "base/clock.h"
#include "base/error.h"
#include "bus/redis_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES    65536u
#define READS_A_FLUSH 16
#define BACKOFF_LEAST 50000000LL
#define BACKOFF_MOST  2000000000LL

struct tribus_redis {
    int fd;
    tribus_redis_tls *tls; /* NULL: plain */
    redisReader *reader;
    size_t unparsed; /* bytes fed to the reader since it last gave a reply */
    char *out;       /* out[out_at .. out_bytes) is unwritten */
    size_t out_at;
    size_t out_bytes;
    size_t out_room;
    uint64_t queued;
    uint64_t taken;
    bool open; /* from then on, errors say where */
    char name[128];
    char read_buf[READ_BYTES];
};

/* ---- connect ---- */

static tribus_status wait_for(int fd, short events, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        const int64_t left = tribus_deadline_left_ns(deadline_ns);
        const struct timespec ts = {.tv_sec = left / 1000000000,
                                    .tv_nsec = left % 1000000000};
        const int n = ppoll(&p, 1, deadline_ns == INT64_MAX ? NULL : &ts, NULL);

        if (n > 0)
            return TRIBUS_OK;
        if (n == 0)
            return TRIBUS_TIMEOUT;
        if (errno != EINTR)
            return tribus_error_set(TRIBUS_SYSTEM, "poll");
    }
}

static tribus_status connect_one(const struct sockaddr *address, socklen_t bytes,
                                 int family, int64_t deadline_ns, int *out)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    tribus_status st = TRIBUS_OK;
    int fault = 0;
    int yes = 1;
    socklen_t size = sizeof(fault);

    if (fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "socket");
    if (family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
    }
    if (connect(fd, address, bytes) != 0) {
        fault = errno;
        if (fault == EINPROGRESS) {
            st = wait_for(fd, POLLOUT, deadline_ns);
            if (st == TRIBUS_OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size) != 0)
                fault = errno;
        }
    }
    if (st == TRIBUS_TIMEOUT)
        st = tribus_error_set(TRIBUS_TIMEOUT, "no answer");
    else if (st == TRIBUS_OK && fault != 0)
        st = tribus_error_set(TRIBUS_PEER_LOST, "%s", strerror(fault));
    if (st != TRIBUS_OK) {
        (void)close(fd);
        return st;
    }
    *out = fd;
    return TRIBUS_OK;
}

static tribus_status connect_unix(const char *path, int64_t deadline_ns, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        return tribus_error_set(TRIBUS_BAD_ARG, "path longer than %zu bytes",
                                sizeof(address.sun_path) - 1);
    (void)strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    return connect_one((const struct sockaddr *)&address, sizeof(address), AF_UNIX,
                       deadline_ns, out);
}

static tribus_status connect_tcp(const char *host, uint16_t port, int64_t deadline_ns,
                                 int *out)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    tribus_status st = TRIBUS_PEER_LOST;
    char text[8];
    int fault;

    (void)snprintf(text, sizeof(text), "%u", port);
    fault = getaddrinfo(host, text, &hints, &list);
    if (fault != 0)
        return tribus_error_set(TRIBUS_PEER_LOST, "%s", gai_strerror(fault));
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        st = connect_one(a->ai_addr, a->ai_addrlen, a->ai_family, deadline_ns, out);
        if (st == TRIBUS_OK)
            break;
    }
    freeaddrinfo(list);
    return st;
}

static tribus_status sign_in(tribus_redis *r, const tribus_redis_cfg *cfg, int64_t deadline)
{
    const char *user = cfg->user != NULL ? cfg->user : "default";
    const char *auth[] = {"AUTH", user, cfg->password};
    const char *ping[] = {"PING"};
    redisReply *reply = NULL;
    tribus_status st = TRIBUS_OK;

    if (cfg->password != NULL) {
        st = tribus_redis_call_wait(r, 3, auth, tribus_deadline_left_ns(deadline), &reply);
        if (st != TRIBUS_OK)
            return st;
        freeReplyObject(reply);
    }
    st = tribus_redis_call_wait(r, 1, ping, tribus_deadline_left_ns(deadline), &reply);
    if (st != TRIBUS_OK)
        return st;
    if (reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "PONG") != 0)
        st = tribus_error_set(TRIBUS_BAD_DATA, "no Redis server");
    freeReplyObject(reply);
    return st;
}

/* Plain words to a server with TLS: it closes the connection, or answers with an alert. And a
 * server that does not accept our certificate says so after the handshake, which a reset may
 * overtake. */
static tribus_status explain(const tribus_redis *r, tribus_status st)
{
    static const char alert[] = {0x15, 0x03};

    if (r->tls != NULL)
        return st == TRIBUS_PEER_LOST
                   ? tribus_error_set(st, TRIBUS_REDIS_TLS_MARK
                                      "the server hung up after the handshake: it may "
                                      "not accept redis.tls_cert, or want one")
                   : st;
    if (st == TRIBUS_BAD_DATA && memcmp(r->read_buf, alert, sizeof(alert)) == 0)
        return tribus_error_set(st, "it speaks TLS: set redis.tls: true");
    if (st == TRIBUS_PEER_LOST && r->queued > 0)
        return tribus_error_set(TRIBUS_BAD_DATA, "closed the connection at once; a server "
                                                 "with TLS does: then set redis.tls: true");
    return st;
}

tribus_status tribus_redis_open(const tribus_redis_cfg *cfg, tribus_redis **out)
{
    const char *host = cfg->host != NULL ? cfg->host : "127.0.0.1";
    const int64_t deadline =
        tribus_deadline_ns(cfg->timeout_ns > 0 ? cfg->timeout_ns : 1000000000);
    tribus_redis *r = calloc(1, sizeof(*r));
    tribus_status st = TRIBUS_NO_MEMORY;

    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "redis connection");
    r->fd = -1;
    if (host[0] == '/')
        (void)snprintf(r->name, sizeof(r->name), "%s", host);
    else
        (void)snprintf(r->name, sizeof(r->name), "%s:%u", host, cfg->port);
    r->reader = redisReaderCreate();
    if (r->reader == NULL)
        goto fail;
    st = host[0] == '/' ? connect_unix(host, deadline, &r->fd)
                        : connect_tcp(host, cfg->port, deadline, &r->fd);
    if (st != TRIBUS_OK)
        goto fail;
    if (cfg->tls != NULL && cfg->tls->on)
        st = tribus_redis_tls_open(cfg->tls, r->fd, host, deadline, &r->tls);
    if (st == TRIBUS_OK)
        st = sign_in(r, cfg, deadline);
    st = explain(r, st);
    if (st != TRIBUS_OK)
        goto fail;
    r->open = true;
    *out = r;
    return TRIBUS_OK;

fail:
    tribus_error_add("redis at %s", r->name);
    tribus_redis_close(r);
    return st;
}

void tribus_redis_close(tribus_redis *r)
{
    if (r == NULL)
        return;
    tribus_redis_tls_close(r->tls);
    if (r->fd >= 0)
        (void)close(r->fd);
    if (r->reader != NULL)
        redisReaderFree(r->reader);
    free(r->out);
    free(r);
}

int tribus_redis_fd(const tribus_redis *r)
{
    return r->fd;
}

short tribus_redis_events(const tribus_redis *r)
{
    const bool writes = r->out_bytes > r->out_at ||
                        (r->tls != NULL && tribus_redis_tls_wants_write(r->tls));

    return (short)(writes ? POLLIN | POLLOUT : POLLIN);
}

const char *tribus_redis_name(const tribus_redis *r)
{
    return r->name;
}

uint64_t tribus_redis_unanswered(const tribus_redis *r)
{
    return r->queued - r->taken;
}

/* ---- commands ---- */

static tribus_status make_room(tribus_redis *r, size_t bytes)
{
    size_t room = r->out_room > 0 ? r->out_room : 4096;
    char *grown;

    if (r->out_at == r->out_bytes)
        r->out_at = r->out_bytes = 0;
    if (r->out_bytes + bytes <= r->out_room)
        return TRIBUS_OK;
    if (r->out_at > 0) {
        memmove(r->out, r->out + r->out_at, r->out_bytes - r->out_at);
        r->out_bytes -= r->out_at;
        r->out_at = 0;
    }
    while (room < r->out_bytes + bytes)
        room *= 2;
    if (room == r->out_room)
        return TRIBUS_OK;
    grown = realloc(r->out, room);
    if (grown == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes to send to redis", room);
    r->out = grown;
    r->out_room = room;
    return TRIBUS_OK;
}

static char *put_number(char *at, char kind, size_t n)
{
    char digits[24];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    *at++ = kind;
    memcpy(at, digits + i, sizeof(digits) - i);
    at += sizeof(digits) - i;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

tribus_status tribus_redis_queue(tribus_redis *r, int argc, const char *const *argv,
                                 const size_t *lengths)
{
    size_t bytes = 32;
    tribus_status st;
    char *at;

    if (r->out_bytes - r->out_at > TRIBUS_REDIS_MAX_QUEUED_BYTES)
        return TRIBUS_FULL;
    for (int i = 0; i < argc; i++)
        bytes += (lengths != NULL ? lengths[i] : strlen(argv[i])) + 32;
    st = make_room(r, bytes);
    if (st != TRIBUS_OK)
        return st;
    at = put_number(r->out + r->out_bytes, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        const size_t n = lengths != NULL ? lengths[i] : strlen(argv[i]);

        at = put_number(at, '$', n);
        memcpy(at, argv[i], n);
        at += n;
        *at++ = '\r';
        *at++ = '\n';
    }
    r->out_bytes = (size_t)(at - r->out);
    r->queued++;
    return TRIBUS_OK;
}

/* Add to an error where it happened; while we connect, tribus_redis_open() does. */
static tribus_status named(const tribus_redis *r, tribus_status st)
{
    if (r->open)
        tribus_error_add("redis at %s", r->name);
    return st;
}

/* Returns TRIBUS_OK (*done bytes), TRIBUS_FULL or TRIBUS_PEER_LOST. */
static tribus_status send_bytes(tribus_redis *r, const char *bytes, size_t n, size_t *done)
{
    ssize_t sent;

    if (r->tls != NULL)
        return tribus_redis_tls_write(r->tls, bytes, n, done);
    do
        sent = send(r->fd, bytes, n, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TRIBUS_FULL;
    if (sent < 0)
        return tribus_error_set(TRIBUS_PEER_LOST, "send: %s", strerror(errno));
    *done = (size_t)sent;
    return TRIBUS_OK;
}

/* Returns TRIBUS_OK (*done bytes), TRIBUS_EMPTY or TRIBUS_PEER_LOST. */
static tribus_status receive_bytes(tribus_redis *r, size_t *done)
{
    ssize_t got;

    if (r->tls != NULL)
        return tribus_redis_tls_read(r->tls, r->read_buf, sizeof(r->read_buf), done);
    do
        got = recv(r->fd, r->read_buf, sizeof(r->read_buf), 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TRIBUS_EMPTY;
    if (got < 0)
        return tribus_error_set(TRIBUS_PEER_LOST, "receive: %s", strerror(errno));
    if (got == 0)
        return tribus_error_set(TRIBUS_PEER_LOST, "closed the connection");
    *done = (size_t)got;
    return TRIBUS_OK;
}

static tribus_status write_some(tribus_redis *r)
{
    while (r->out_at < r->out_bytes) {
        size_t done = 0;
        const tribus_status st =
            send_bytes(r, r->out + r->out_at, r->out_bytes - r->out_at, &done);

        if (st == TRIBUS_FULL)
            return st;
        if (st != TRIBUS_OK)
            return named(r, st);
        r->out_at += done;
    }
    return TRIBUS_OK;
}

static tribus_status read_some(tribus_redis *r)
{
    for (int i = 0; i < READS_A_FLUSH; i++) {
        size_t n = 0;
        const tribus_status st = receive_bytes(r, &n);

        if (st == TRIBUS_EMPTY)
            return TRIBUS_OK;
        if (st != TRIBUS_OK)
            return named(r, st);
        r->unparsed += n;
        if (r->unparsed > TRIBUS_REDIS_MAX_REPLY_BYTES)
            return named(r, tribus_error_set(TRIBUS_BAD_DATA, "a reply of over %u bytes",
                                             TRIBUS_REDIS_MAX_REPLY_BYTES));
        if (redisReaderFeed(r->reader, r->read_buf, n) != REDIS_OK)
            return named(r, tribus_error_set(TRIBUS_BAD_DATA, "%s", r->reader->errstr));
        /* TLS hands out a record at a time, and keeps none of it. */
        if (r->tls == NULL && n < sizeof(r->read_buf))
            return TRIBUS_OK;
    }
    return TRIBUS_OK;
}

tribus_status tribus_redis_flush(tribus_redis *r)
{
    const tribus_status written = write_some(r);
    tribus_status st;

    if (written != TRIBUS_OK && written != TRIBUS_FULL)
        return written;
    st = read_some(r);
    return st != TRIBUS_OK ? st : written;
}

tribus_status tribus_redis_next(tribus_redis *r, redisReply **out)
{
    void *reply = NULL;

    if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
        return named(r, tribus_error_set(TRIBUS_BAD_DATA, "%s", r->reader->errstr));
    if (reply == NULL)
        return TRIBUS_EMPTY;
    r->unparsed = 0;
    r->taken++;
    *out = reply;
    return TRIBUS_OK;
}

tribus_status tribus_redis_next_wait(tribus_redis *r, int64_t timeout_ns, redisReply **out)
{
    const int64_t deadline = tribus_deadline_ns(timeout_ns);

    for (;;) {
        tribus_status st = tribus_redis_flush(r);

        if (st != TRIBUS_OK && st != TRIBUS_FULL)
            return st;
        st = tribus_redis_next(r, out);
        if (st != TRIBUS_EMPTY)
            return st;
        st = wait_for(r->fd, tribus_redis_events(r), deadline);
        if (st != TRIBUS_OK)
            return st;
    }
}

tribus_status tribus_redis_call_wait(tribus_redis *r, int argc, const char *const *argv,
                                     int64_t timeout_ns, redisReply **out)
{
    redisReply *reply = NULL;
    tribus_status st = tribus_redis_queue(r, argc, argv, NULL);

    if (st != TRIBUS_OK)
        return st;
    st = tribus_redis_next_wait(r, timeout_ns, &reply);
    if (st == TRIBUS_TIMEOUT)
        return tribus_error_set(TRIBUS_TIMEOUT, "%s: no answer", argv[0]);
    if (st != TRIBUS_OK)
        return st;
    if (reply->type == REDIS_REPLY_ERROR) {
        st = tribus_error_set(TRIBUS_REFUSED, "%s: %s", argv[0], reply->str);
        freeReplyObject(reply);
        return st;
    }
    *out = reply;
    return TRIBUS_OK;
}

/* ---- back-off ---- */

void tribus_redis_backoff_fail(tribus_redis_backoff *b)
{
    int64_t delay;

    b->delay_ns = b->delay_ns == 0 ? BACKOFF_LEAST : b->delay_ns * 2;
    if (b->delay_ns > BACKOFF_MOST)
        b->delay_ns = BACKOFF_MOST;
    /* The clock's low digits are spread enough to part clients. */
    b->spread = (uint64_t)tribus_now_ns() * 2654435761u + b->spread;
    delay = b->delay_ns + (int64_t)(b->spread % (uint64_t)(b->delay_ns / 4));
    b->next_ns = tribus_deadline_ns(delay);
}

void tribus_redis_backoff_reset(tribus_redis_backoff *b)
{
    b->delay_ns = 0;
    b->next_ns = 0;
}

int64_t tribus_redis_backoff_left_ns(const tribus_redis_backoff *b)
{
    return b->next_ns == 0 ? 0 : tribus_deadline_left_ns(b->next_ns);
}
