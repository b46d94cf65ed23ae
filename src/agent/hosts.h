/* hosts.h -- which compute hosts a platform gets, and why.
 *
 * Use it to   turn the settings of neural_host and gpu_host into children of the agent.
 * Not for     starting them: that is supervise.h.
 *
 * Two processes that each own a context on one card are time-sliced against each other, 140 us
 * a switch (docs/cuda-notes.md). So both domains on one card are one host, and anything else
 * is a host a domain.
 */
#ifndef TRIBUS_AGENT_HOSTS_H
#define TRIBUS_AGENT_HOSTS_H

#include "base/platform.h"
#include "tribus/agent.h"

#define TRIBUS_HOSTS_MOST 2u

typedef struct tribus_hosts_row {
    const char *name;   /* of the child, "host-both" */
    const char *domain; /* as `tribus host --domain` has it */
    const char *device; /* the platform's; borrowed */
    int64_t core, spin_us;
    char about[TRIBUS_AGENT_ABOUT_BYTES]; /* "arrangement: why" */
} tribus_hosts_row;

typedef struct tribus_hosts {
    tribus_hosts_row rows[TRIBUS_HOSTS_MOST];
    uint32_t count;
} tribus_hosts;

/* p must outlive *out. */
void tribus_hosts_choose(const tribus_platform *p, tribus_hosts *out);

#endif
