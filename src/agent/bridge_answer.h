/* bridge_answer.h -- the job of the bridge that answers coordination messages. */
#ifndef TRIBUS_AGENT_BRIDGE_ANSWER_H
#define TRIBUS_AGENT_BRIDGE_ANSWER_H

#include "agent/bridge_side.h"

void *tribus_bridge_answer_run(void *side);

#endif
