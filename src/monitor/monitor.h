/* monitor.h -- /metrics, /metrics.json and /health over HTTP, for the agent.
 *
 * Threads   A page is made on a thread of the HTTP server, one page at a time.
 * Trust     Read-only; on 127.0.0.1 unless told otherwise.
 */
#ifndef TRIBUS_MONITOR_MONITOR_H
#define TRIBUS_MONITOR_MONITOR_H

#include "monitor/metrics.h"

typedef struct tribus_monitor tribus_monitor;

typedef struct tribus_monitor_cfg {
    const char *socket_path; /* of the agent; NULL: the default */
    const char *address;     /* NULL: 127.0.0.1 */
    int port;
    /* (optional) More values for /metrics. */
    void (*metrics)(void *context, tribus_metrics *m);
    /* (optional) The body of /health, malloc'd, and its HTTP status; NULL: not healthy. */
    char *(*health)(void *context, int *status);
    void *context;
} tribus_monitor_cfg;

/* Register with the agent as "monitor-<port>" and serve. out: owned by the caller.
 * Returns what tribus_session_open() returns, TRIBUS_SYSTEM (the port is taken), or
 * TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_monitor_start(const tribus_monitor_cfg *cfg,
                                                     tribus_monitor **out);
void tribus_monitor_stop(tribus_monitor *monitor);

#endif
