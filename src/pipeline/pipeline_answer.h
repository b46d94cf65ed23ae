/* pipeline_answer.h -- answer HYBRID_PIPELINE_COORD: pipelines from the wire.
 *
 * register   a pipeline file of the platform's pipelines folder, by its name without .yaml
 * start      one run of a pipeline registered so, with zeros in inputs that are not kept
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
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_answer_request(
    void *answer, tribus_session *session, tribus_msg_hybrid_pipeline_coord *m);

#endif
