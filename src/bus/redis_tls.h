/* redis_tls.h -- TLS over a connected, non-blocking socket. See tribus/tls.h.
 *
 * Threads     A connection belongs to one thread.
 * Trust       The other side is hostile until its certificate is checked, and its bytes are
 *             after that.
 */
#ifndef TRIBUS_BUS_REDIS_TLS_H
#define TRIBUS_BUS_REDIS_TLS_H

#include "tribus/base.h"
#include "tribus/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tribus_redis_tls tribus_redis_tls;

/* Shake hands over fd (borrowed until close) with whom is expected to be host. out: owned by
 * the caller. Returns TRIBUS_OK, TRIBUS_BAD_ARG (a file of ours is no good; the text names
 * it), TRIBUS_REFUSED (a certificate is no good, theirs or ours), TRIBUS_BAD_DATA (the other
 * side speaks no TLS), TRIBUS_PEER_LOST, TRIBUS_TIMEOUT or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_redis_tls_open(const tribus_tls_cfg *cfg, int fd,
                                                      const char *host, int64_t deadline_ns,
                                                      tribus_redis_tls **out);
/* Errors of TLS have it in their text, to be told from what a Redis server says. */
#define TRIBUS_REDIS_TLS_MARK "TLS: "

/* A copy of settings that outlives theirs. */
typedef struct tribus_redis_tls_copy {
    tribus_tls_cfg cfg;
    char texts[4][256];
} tribus_redis_tls_copy;

/* from NULL: plain. Returns TRIBUS_OK or TRIBUS_BAD_ARG (a text is too long). */
TRIBUS_MUST_CHECK tribus_status tribus_redis_tls_copy_cfg(const tribus_tls_cfg *from,
                                                          tribus_redis_tls_copy *to);

/* NULL is allowed. */
void tribus_redis_tls_close(tribus_redis_tls *tls);

/* Never block. Return TRIBUS_OK (*done bytes moved), TRIBUS_EMPTY (read) or TRIBUS_FULL
 * (write): not now, TRIBUS_REFUSED (the server does not accept our certificate) or
 * TRIBUS_PEER_LOST. */
TRIBUS_MUST_CHECK tribus_status tribus_redis_tls_read(tribus_redis_tls *tls, void *buf,
                                                      size_t bytes, size_t *done);
TRIBUS_MUST_CHECK tribus_status tribus_redis_tls_write(tribus_redis_tls *tls,
                                                       const void *buf, size_t bytes,
                                                       size_t *done);

/* A read cannot go on before something of TLS's own is written. */
bool tribus_redis_tls_wants_write(const tribus_redis_tls *tls);

#endif
