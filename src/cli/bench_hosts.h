/* bench_hosts.h -- an agent of our own with compute hosts, for the benchmarks of pipelines. */
#ifndef TRIBUS_CLI_BENCH_HOSTS_H
#define TRIBUS_CLI_BENCH_HOSTS_H

#include "tribus/agent.h"
#include "tribus/session.h"

#include <stdbool.h>

typedef struct tribus_bench_hosts {
    tribus_agent *agent;
    tribus_session *session;
    char folder[64];
} tribus_bench_hosts;

/* hosts: 1 serves both domains, 2 serve one each. spin_us: as `tribus host --spin-us`.
 * Returns false after complaining as `command`; stop it all the same. */
bool tribus_bench_hosts_start(const char *command, uint32_t hosts, int64_t spin_us,
                              tribus_bench_hosts *out);
void tribus_bench_hosts_stop(tribus_bench_hosts *bus);

#endif
