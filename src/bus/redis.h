/* redis.h -- one connection to a Redis or Valkey server: non-blocking, pipelined.
 *
 * Use it to   queue commands and take their replies in order, or to take what a
 *             subscription pushes. Replies are parsed by hiredis.
 * Not for     knowing when to connect again: the owner decides (tribus_redis_backoff).
 * Memory      Replies are owned by the caller, freeReplyObject(). What is queued and not
 *             yet written is bounded (TRIBUS_REDIS_MAX_QUEUED_BYTES), and so is one reply
 *             (TRIBUS_REDIS_MAX_REPLY_BYTES).
 * Threads     A connection belongs to one thread.
 * Trust       The server's bytes are hostile: a malformed or oversized reply ends the
 *             connection with TRIBUS_BAD_DATA.
 * Cost        queue and next make no system call; flush makes one write and one read.
 */
#ifndef TRIBUS_BUS_REDIS_H
#define TRIBUS_BUS_REDIS_H

#include "tribus/base.h"
#include "tribus/tls.h"

#include <hiredis/hiredis.h>

#include <stddef.h>
#include <stdint.h>

#define TRIBUS_REDIS_MAX_QUEUED_BYTES (8u << 20)
#define TRIBUS_REDIS_MAX_REPLY_BYTES  (64u << 20)

typedef struct tribus_redis tribus_redis;

typedef struct tribus_redis_cfg {
    const char *host;     /* name, address, or the path of a Unix socket; NULL: 127.0.0.1 */
    uint16_t port;        /* ignored for a Unix socket */
    const char *user;     /* ACL user; NULL: "default" */
    const char *password; /* NULL: none */
    int64_t timeout_ns;   /* to connect and sign in; 0: 1 s */
    const tribus_tls_cfg *tls; /* NULL: plain; used within the call only */
} tribus_redis_cfg;

/* Connect and sign in. out: owned by the caller.
 * Returns TRIBUS_OK, TRIBUS_PEER_LOST (nobody there; the text names host and port),
 * TRIBUS_TIMEOUT, TRIBUS_REFUSED (wrong password or user; a certificate is not accepted),
 * TRIBUS_BAD_DATA (not a Redis server, or one with TLS where we speak plain, or the other way
 * round), TRIBUS_NO_MEMORY, TRIBUS_BAD_ARG (a file of TLS, too). */
TRIBUS_MUST_CHECK tribus_status tribus_redis_open(const tribus_redis_cfg *cfg,
                                                  tribus_redis **out);
void tribus_redis_close(tribus_redis *redis);

/* The socket, for poll(); events: POLLIN, and POLLOUT while something is unwritten. */
int tribus_redis_fd(const tribus_redis *redis);
short tribus_redis_events(const tribus_redis *redis);

/* "127.0.0.1:6380", valid until close. */
const char *tribus_redis_name(const tribus_redis *redis);

/* Queue a command of argc words. lengths NULL: the words end with a zero byte.
 * Returns TRIBUS_OK, TRIBUS_FULL (too much is unwritten: flush) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_redis_queue(tribus_redis *redis, int argc,
                                                   const char *const *argv,
                                                   const size_t *lengths);

/* Write what the socket takes and read what it has; never blocks.
 * Returns TRIBUS_OK, TRIBUS_FULL (something is still unwritten), TRIBUS_PEER_LOST or
 * TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_redis_flush(tribus_redis *redis);

/* Take the next reply of those read. Returns TRIBUS_OK, TRIBUS_EMPTY or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_redis_next(tribus_redis *redis, redisReply **out);

/* Flush, and wait until a reply is there. Returns as the two above, and TRIBUS_TIMEOUT. */
TRIBUS_MUST_CHECK tribus_status tribus_redis_next_wait(tribus_redis *redis,
                                                       int64_t timeout_ns,
                                                       redisReply **out);

/* Send one command and wait for its reply; nothing else may be unanswered. An error reply
 * gives TRIBUS_REFUSED with the server's text.
 * Returns as tribus_redis_next_wait(), TRIBUS_REFUSED or TRIBUS_FULL. */
TRIBUS_MUST_CHECK tribus_status tribus_redis_call_wait(tribus_redis *redis, int argc,
                                                       const char *const *argv,
                                                       int64_t timeout_ns,
                                                       redisReply **out);

/* Commands written or queued whose replies were not taken yet. A subscription's pushes make
 * this meaningless. */
uint64_t tribus_redis_unanswered(const tribus_redis *redis);

/* When to try again: 50 ms, doubling to 2 s, each spread by a quarter so that many clients
 * do not come back at once. */
typedef struct tribus_redis_backoff {
    int64_t delay_ns;
    int64_t next_ns;
    uint64_t spread;
} tribus_redis_backoff;

/* An attempt failed: put off the next. */
void tribus_redis_backoff_fail(tribus_redis_backoff *backoff);
void tribus_redis_backoff_reset(tribus_redis_backoff *backoff);
/* Nanoseconds until the next attempt; 0: now. */
int64_t tribus_redis_backoff_left_ns(const tribus_redis_backoff *backoff);

#endif
