/* pipeline_answer.h -- answer HYBRID_PIPELINE_COORD: pipelines from the wire.
 *
 * register   a pipeline file of the platform's pipelines folder, by its name without .yaml; or,
 *            with the member `definition`, what such a file holds, as text or as an object. Of
 *            files that may name ../models/NAME.onnx and no others.
 * start      one run of a pipeline registered so; `inputs` says what its inputs hold:
 *            "returns=0.01 weights=3:0:7" fills one with a number and copies slot 0,
 *            generation 7, of region 3 into the other. Inputs not named hold zeros, kept ones
 *            what they held.
 * stop       ask whoever submits to a pipeline to end it; one registered so is closed
 * report     runs, times and hand-offs of any pipeline
 * Threads    that of the session.
 */
#ifndef TRIBUS_PIPELINE_PIPELINE_ANSWER_H
#define TRIBUS_PIPELINE_PIPELINE_ANSWER_H

#include "tribus/pipeline.h"
#include "tribus/wire.h"

typedef struct tribus_pipeline_answer tribus_pipeline_answer;

/* Returns TRIBUS_OK or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_answer_open(tribus_pipeline_answer **out);
void tribus_pipeline_answer_close(tribus_pipeline_answer *answer);

/* Change the request into its reply; on a fault the error text is the answer. m NULL: the
 * session is about to be closed, so close what was registered. answer: a
 * tribus_pipeline_answer; the type is that of tribus_bridge_pipeline_fn. */
TRIBUS_MUST_CHECK tribus_status
tribus_pipeline_answer_request(void *answer, tribus_session *session,
                               tribus_msg_hybrid_pipeline_coord *m, const char *members);

/* Write the inputs of the claimed run as `text` says; a slot must be committed to
 * TRIBUS_PIPELINE_ANSWER_HOLDER, and is given back.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (text names the word), TRIBUS_NOT_FOUND (no such input or
 * region) or TRIBUS_CORRUPT (not what the slot holds). */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_answer_inputs(tribus_session *session,
                                                              tribus_pipeline *pipe,
                                                              const char *text);

/* Who the agent is among the holders of a region's slots: TRIBUS_BRIDGE_HOLDER of the agent. */
#define TRIBUS_PIPELINE_ANSWER_HOLDER 61u

#endif
