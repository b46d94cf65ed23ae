/* bridge_answer.h -- the job of the bridge that answers coordination messages. */
#ifndef TRIBUS_AGENT_BRIDGE_ANSWER_H
#define TRIBUS_AGENT_BRIDGE_ANSWER_H

#include "agent/bridge_side.h"

/* Subscribe to the requests, before the thread runs: what is asked from then on is answered.
 * Returns as tribus_bus_subscribe(). */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_answer_open(tribus_bridge_side *side);

void *tribus_bridge_answer_run(void *side);

/* An object of the registry by its name, or (name NULL) by its number.
 * Returns TRIBUS_OK or TRIBUS_NOT_FOUND. */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_find_object(tribus_session *session,
                                                          const char *name, uint32_t number,
                                                          tribus_object *out);

#define TRIBUS_BRIDGE_MORE_BYTES 4096u

/* Answer NEURAL_TO_GPU_COMPUTE or GPU_TO_NEURAL_REFINE, which differ in the name of one field
 * only: change *m into the reply. members: as in tribus_bridge_pipeline_fn. more: set to
 * members to be added to the reply's `data`, "" for none.
 * Returns TRIBUS_OK, TRIBUS_EMPTY (a run has begun: ask tribus_bridge_tensor_ended() about
 * *ticket), or a fault, whose text is the answer. */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_tensor_answer(
    tribus_bridge_side *side, tribus_msg_neural_to_gpu_compute *m, const char *members,
    uint32_t *ticket, char more[TRIBUS_BRIDGE_MORE_BYTES]);

/* Has that run ended? *m becomes the reply: it names the slot that holds the result.
 * Returns TRIBUS_OK, TRIBUS_EMPTY (not yet), or a fault, whose text is the answer. */
TRIBUS_MUST_CHECK tribus_status tribus_bridge_tensor_ended(
    tribus_bridge_side *side, tribus_msg_neural_to_gpu_compute *m, uint32_t ticket);

#endif
