/* server.c -- see server.h.
 *
 *   R1 -> A1   announce -> find   whoever sees the magic sees the address behind it
 */
#include "bus/server.h"

#include "base/atomic.h"
#include "base/error.h"
#include "bus/bus.h"

#include <stdio.h>
#include <string.h>

#define MAGIC 0x3172767362727274ull /* "trrbsvr1" */

typedef struct server_shm {
    _Atomic(uint64_t) magic;
    uint32_t port;
    uint32_t reserved;
    char host[TRIBUS_SERVER_HOST_BYTES];
    uint64_t unused[6];
} server_shm;

_Static_assert(sizeof(server_shm) == 192, "whole cache lines");

static void name_of(uint32_t bus, char *name, size_t n)
{
    char text[24];

    tribus_bus_short_name(bus, text, sizeof(text));
    (void)snprintf(name, n, "wire/%s", text);
}

tribus_status tribus_server_announce(tribus_session *session, uint32_t bus,
                                     const tribus_server *server, tribus_object *object)
{
    char name[TRIBUS_NAME_BYTES];
    server_shm *shm;
    void *mem = NULL;
    tribus_status st;

    name_of(bus, name, sizeof(name));
    st = tribus_session_create_object(session, name, TRIBUS_OBJECT_COUNTERS, sizeof(*shm),
                                      0, object, &mem);
    if (st != TRIBUS_OK)
        return st;
    shm = mem;
    shm->port = server->port;
    memcpy(shm->host, server->host, sizeof(shm->host));
    tribus_store_rel(&shm->magic, MAGIC); /* R1 pairs with A1 */
    return TRIBUS_OK;
}

tribus_status tribus_server_find(tribus_session *session, uint32_t bus, tribus_server *out)
{
    char name[TRIBUS_NAME_BYTES];
    tribus_server got;
    tribus_object object;
    const server_shm *shm;
    void *mem = NULL;
    tribus_status st;

    name_of(bus, name, sizeof(name));
    st = tribus_session_open_object(session, name, 0, &object, &mem);
    if (st != TRIBUS_OK) {
        tribus_error_add("server of the %s bus", tribus_wire_bus_title(bus));
        return st;
    }
    shm = mem;
    /* A1 pairs with R1 */
    if (object.bytes < sizeof(*shm) || tribus_load_acq(&shm->magic) != MAGIC) {
        tribus_session_drop(session, &object, 0);
        return tribus_error_set(TRIBUS_CORRUPT, "%s says no address", name);
    }
    got.port = (uint16_t)shm->port;
    memcpy(got.host, shm->host, sizeof(got.host));
    tribus_session_drop(session, &object, 0);
    if (memchr(got.host, '\0', sizeof(got.host)) == NULL || got.host[0] == '\0')
        return tribus_error_set(TRIBUS_CORRUPT, "%s says no address", name);
    *out = got;
    return TRIBUS_OK;
}
