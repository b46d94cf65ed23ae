/* hosts.h -- which compute hosts a platform gets, and why.
 *
 * Use it to   turn the settings of neural_host and gpu_host into children of the agent.
 * Not for     starting them: that is supervise.h.
 *
 * Two processes that each own a context on one card are time-sliced against each other, 140 us
 * a switch (docs/cuda-notes.md). So both domains on one card are one host, or, where gpu.mps
 * says so and MPS runs, one each; anything else is a host a domain.
 */
#ifndef TRIBUS_AGENT_HOSTS_H
#define TRIBUS_AGENT_HOSTS_H

#include "base/platform.h"
#include "tribus/agent.h"

#define TRIBUS_HOSTS_MOST 3u

/* Of the child that is MPS's control program; kind and name. */
#define TRIBUS_HOSTS_MPS "mps"

typedef struct tribus_hosts_row {
    const char *name;   /* of the child, "host-both" */
    const char *domain; /* as `tribus host --domain` has it */
    const char *device; /* the platform's; borrowed */
    int64_t core, spin_us;
    bool with_mps, without_mps;           /* run while MPS is up; once it has failed */
    char about[TRIBUS_AGENT_ABOUT_BYTES]; /* "arrangement: why" */
} tribus_hosts_row;

typedef struct tribus_hosts {
    tribus_hosts_row rows[TRIBUS_HOSTS_MOST];
    uint32_t count;
    bool mps; /* to be started before them */
} tribus_hosts;

/* p must outlive *out. no_mps: why there can be no MPS here; NULL: there can. */
void tribus_hosts_choose(const tribus_platform *p, const char *no_mps, tribus_hosts *out);

/* Are both domains on one card, and each to have its own host there? */
bool tribus_hosts_want_mps(const tribus_platform *p);

#endif
