/* bridge_hosts.h -- tell other hosts what this one owns.
 *
 * Once a second each agent stores what its registry has, as JSON and for five seconds, in
 * the key nautilus-host-<host> of the Neural-GPU bus's server, and its host in the set
 * nautilus-hosts. Who is not heard of for five seconds is gone; its name stays in the set.
 */
#ifndef TRIBUS_AGENT_BRIDGE_HOSTS_H
#define TRIBUS_AGENT_BRIDGE_HOSTS_H

#include "agent/bridge_side.h"

#define TRIBUS_BRIDGE_HOSTS_BYTES 32768u

typedef struct tribus_bridge_hosts {
    int64_t next_ns;
    char json[TRIBUS_BRIDGE_HOSTS_BYTES];
} tribus_bridge_hosts;

/* Queue it when it is time to, on a connected side; replies are its owner's to take.
 * Returns as tribus_redis_queue(). */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_hosts_tell(tribus_bridge_hosts *hosts,
                                                         tribus_bridge_side *side);

#endif
