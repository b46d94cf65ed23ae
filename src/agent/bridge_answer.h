/* bridge_answer.h -- the job of the bridge that answers coordination messages. */
#ifndef TRIBUS_AGENT_BRIDGE_ANSWER_H
#define TRIBUS_AGENT_BRIDGE_ANSWER_H

#include "agent/bridge_side.h"

/* Subscribe to the requests, before the thread runs: what is asked from then on is answered.
 * Returns as tribus_bus_subscribe(). */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_answer_open(tribus_bridge_side *side);

void *tribus_bridge_answer_run(void *side);

#endif
