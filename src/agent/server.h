/* server.h -- who answers at a port: a Redis server, something else, or nobody. */
#ifndef TRIBUS_AGENT_SERVER_H
#define TRIBUS_AGENT_SERVER_H

#include "tribus/base.h"
#include "tribus/tls.h"

typedef enum tribus_server_answer {
    TRIBUS_SERVER_NOBODY = 0, /* connection refused, or no such host */
    TRIBUS_SERVER_REDIS = 1,  /* +PONG, or a Redis error: a password is set, it loads */
    TRIBUS_SERVER_OTHER = 2,  /* something took the connection and does not speak Redis */
    TRIBUS_SERVER_SILENT = 3, /* took the connection, said nothing until the timeout */
    TRIBUS_SERVER_REFUSED = 4 /* TLS failed, for what tribus_error_text() says */
} tribus_server_answer;

/* Connect, send PING, look at the reply. tls NULL: plain. Blocks for timeout_ns at most (and
 * for the name service, when host is a name). The error text says what was wrong with any
 * answer but TRIBUS_SERVER_REDIS. */
tribus_server_answer tribus_server_probe(const char *host, int port,
                                         const tribus_tls_cfg *tls, int64_t timeout_ns);

#endif
