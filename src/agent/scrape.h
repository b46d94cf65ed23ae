/* scrape.h -- the agent's own page for metrics and health: itself, its children, the bridge,
 * and what the monitor collects from the fabric. */
#ifndef TRIBUS_AGENT_SCRAPE_H
#define TRIBUS_AGENT_SCRAPE_H

#include "agent/bridge.h"

typedef struct tribus_scrape tribus_scrape;

/* Serve /metrics, /metrics.json and /health of the agent at socket_path on 127.0.0.1:port.
 * bridge: borrowed until stop, may be NULL. out: owned by the caller.
 * Returns as tribus_monitor_start(). */
TRIBUS_MUST_CHECK tribus_status tribus_scrape_start(const char *socket_path, int port,
                                                    const tribus_bridge *bridge,
                                                    tribus_scrape **out);
void tribus_scrape_stop(tribus_scrape *scrape);

#endif
