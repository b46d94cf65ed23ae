/* server.h -- where the Redis server of a bus is, told by the agent through the registry.
 *
 * Memory    one small object for each bus, wire/<bus>.
 * Trust     what is read is copied and checked.
 */
#ifndef TRIBUS_BUS_SERVER_H
#define TRIBUS_BUS_SERVER_H

#include "tribus/session.h"

#define TRIBUS_SERVER_HOST_BYTES 128u

typedef struct tribus_server {
    char host[TRIBUS_SERVER_HOST_BYTES]; /* name, address, or path of a Unix socket */
    uint16_t port;
} tribus_server;

/* Tell, until *object is dropped. Returns as tribus_session_create_object(). */
TRIBUS_MUST_CHECK tribus_status tribus_server_announce(tribus_session *session,
                                                       uint32_t bus,
                                                       const tribus_server *server,
                                                       tribus_object *object);

/* Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_CORRUPT or as tribus_session_open_object(). */
TRIBUS_MUST_CHECK tribus_status tribus_server_find(tribus_session *session, uint32_t bus,
                                                   tribus_server *out);

#endif
