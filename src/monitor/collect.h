/* collect.h -- read the registry and every object of counters, change nothing.
 *
 * Everything is mapped read-only: watching can never matter to who is watched.
 */
#ifndef TRIBUS_MONITOR_COLLECT_H
#define TRIBUS_MONITOR_COLLECT_H

#include "monitor/metrics.h"
#include "tribus/session.h"

/* Participants, objects and the counters of every link. An object of the kind COUNTERS holds
 * blocks of TRIBUS_COUNTERS_BYTES, one a link; what is no such block is skipped. */
void tribus_collect_fabric(tribus_session *session, tribus_metrics *m);

#endif
