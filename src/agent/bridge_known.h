/* bridge_known.h -- how far each publisher is stored already, read from the streams' ends.
 *
 * Use it to   not add a message again that the server took, but did not answer before the
 *             connection was lost.
 * Memory      16 bytes for each publisher found, at most MOST_READ entries of a stream are
 *             looked at.
 * Threads     One.
 * Trust       Entries may be anybody's: what has no origin or no sequence is passed over.
 */
#ifndef TRIBUS_AGENT_BRIDGE_KNOWN_H
#define TRIBUS_AGENT_BRIDGE_KNOWN_H

#include "bus/redis.h"

#include <stdbool.h>

#define TRIBUS_BRIDGE_ENTRY_BYTES 48u /* "1700000000000-18446744073709551615" fits */

typedef struct tribus_bridge_origin {
    uint64_t sequence; /* the last one that is in a stream */
    uint32_t origin;   /* 0: free */
} tribus_bridge_origin;

typedef struct tribus_bridge_known {
    tribus_bridge_origin *slots; /* an open hash table of a power of two */
    uint32_t room;
    uint32_t count;
} tribus_bridge_known;

/* Forget everything and free. */
void tribus_bridge_known_clear(tribus_bridge_known *known);

/* Is this message stored, or one that the same origin published after it? Nobody knows where
 * messages of origin 0 come from: they never are. */
bool tribus_bridge_known_has(const tribus_bridge_known *known, uint32_t origin,
                             uint64_t sequence);

/* Read the end of a stream: what came at `from` (an entry's id) or later, or, when it is
 * empty, the last 2048 entries. Blocks for a second a call to the server at most.
 * Returns TRIBUS_OK (also when there is no such stream), TRIBUS_REFUSED (the text is the
 * server's), TRIBUS_NO_MEMORY, or as tribus_redis_call_wait(). */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_known_read(tribus_bridge_known *known,
                                                         tribus_redis *redis,
                                                         const char *stream,
                                                         const char *from);

#endif
