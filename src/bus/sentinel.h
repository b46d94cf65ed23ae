/* sentinel.h -- ask Redis Sentinels where the server of a name is at the moment. */
#ifndef TRIBUS_BUS_SENTINEL_H
#define TRIBUS_BUS_SENTINEL_H

#include "bus/server.h"
#include "tribus/tls.h"

/* sentinels: "host:port,host:port", asked in turn until one answers; name: of the monitored
 * server. timeout_ns: for each. tls: NULL: they speak plain. Returns TRIBUS_OK, TRIBUS_BAD_ARG
 * (no such list), TRIBUS_NOT_FOUND (no Sentinel knows the name) or TRIBUS_PEER_LOST (none
 * answers). */
TRIBUS_MUST_CHECK tribus_status tribus_sentinel_find(const char *sentinels,
                                                     const tribus_tls_cfg *tls,
                                                     const char *name, int64_t timeout_ns,
                                                     tribus_server *out);

#endif
