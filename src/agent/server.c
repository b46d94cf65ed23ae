/* server.c -- see server.h. PING is understood by every Redis and Valkey, before a password
 * too. */
#include "agent/server.h"
#include "base/error.h"
#include "bus/redis.h"
#include "bus/redis_tls.h"

#include <string.h>

tribus_server_answer tribus_server_probe(const char *host, int port,
                                         const tribus_tls_cfg *tls, int64_t timeout_ns)
{
    const tribus_redis_cfg cfg = {
        .host = host, .port = (uint16_t)port, .timeout_ns = timeout_ns, .tls = tls};
    tribus_redis *redis = NULL;
    const tribus_status st = tribus_redis_open(&cfg, &redis);

    tribus_redis_close(redis);
    if (st == TRIBUS_OK)
        return TRIBUS_SERVER_REDIS;
    if (strstr(tribus_error_text(), TRIBUS_REDIS_TLS_MARK) != NULL || st == TRIBUS_BAD_ARG)
        return st == TRIBUS_TIMEOUT ? TRIBUS_SERVER_SILENT : TRIBUS_SERVER_REFUSED;
    switch (st) {
    case TRIBUS_REFUSED: /* a password is set, or it loads */
        return TRIBUS_SERVER_REDIS;
    case TRIBUS_BAD_DATA:
        return TRIBUS_SERVER_OTHER;
    case TRIBUS_TIMEOUT:
        return TRIBUS_SERVER_SILENT;
    default:
        return TRIBUS_SERVER_NOBODY;
    }
}
