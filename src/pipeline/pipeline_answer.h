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
 *
 * And NEURAL_TO_GPU_COMPUTE and GPU_TO_NEURAL_REFINE: one tensor through a pipeline that was
 * registered so. `operation` (of a gpu stage) or `model` (of a neural one) is the name of a
 * stage or of what it runs; `pipeline` may be empty when only one has such a stage. The tensor
 * goes into the pipeline's input that feeds the stage. Members that the types do not have:
 * `input` and `result`, where there are several; `inputs`, the others, as for start.
 *
 * Threads    that of the session.
 */
#ifndef TRIBUS_PIPELINE_PIPELINE_ANSWER_H
#define TRIBUS_PIPELINE_PIPELINE_ANSWER_H

#include "tribus/pipeline.h"
#include "tribus/wire.h"

#define TRIBUS_PIPELINE_ANSWER_MOST 16u
#define TRIBUS_PIPELINE_ANSWER_RUNS 64u /* begun with a tensor and not asked for yet */

typedef struct tribus_pipeline_answer_run {
    bool taken, ended;
    tribus_pipeline *pipe; /* NULL: stopped meanwhile */
    uint32_t wanted;       /* of its results */
    int64_t deadline_ns;
    tribus_pipeline_result end; /* run is set from the beginning */
} tribus_pipeline_answer_run;

typedef struct tribus_pipeline_answer {
    tribus_pipeline *pipes[TRIBUS_PIPELINE_ANSWER_MOST];
    char names[TRIBUS_PIPELINE_ANSWER_MOST][TRIBUS_PIPELINE_NAME_BYTES];
    uint32_t count;
    tribus_pipeline_answer_run runs[TRIBUS_PIPELINE_ANSWER_RUNS];
} tribus_pipeline_answer;

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

/* Begin a run with a tensor, whose bytes are as many as shape and dtype of *m say; the type is
 * that of tribus_bridge_tensor_fn. m: pipeline and run are set.
 * Returns TRIBUS_OK, or a fault whose text names the field that is wrong. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_answer_tensor(
    void *answer, tribus_session *session, tribus_msg_neural_to_gpu_compute *m,
    const char *members, const void *bytes, uint32_t *ticket);

/* Has it ended? The type is that of tribus_bridge_result_fn.
 * Returns TRIBUS_OK, TRIBUS_EMPTY (not yet), TRIBUS_TIMEOUT (30 s are over), TRIBUS_STOPPED,
 * what put returned, or what the run ended with. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_answer_result(
    void *answer, uint32_t ticket, tribus_msg_neural_to_gpu_compute *m,
    tribus_status (*put)(void *context, const void *bytes, uint64_t n), void *put_context);

/* Take in finished runs of a pipeline: those begun with a tensor are kept for
 * tribus_pipeline_answer_result(), the others given back, so that their slots can be used. */
void tribus_pipeline_answer_collect(tribus_pipeline_answer *a, tribus_pipeline *pipe);

/* A pipeline is about to be closed. */
void tribus_pipeline_answer_forget(tribus_pipeline_answer *a, const tribus_pipeline *pipe);

/* Who the agent is among the holders of a region's slots: TRIBUS_BRIDGE_HOLDER of the agent. */
#define TRIBUS_PIPELINE_ANSWER_HOLDER 61u

#endif
