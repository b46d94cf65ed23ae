/* pipeline_answer_tensor.c -- one tensor from the wire through a pipeline; see
 * pipeline_answer.h. */
#include "pipeline/pipeline_answer.h"

#include "base/clock.h"
#include "base/error.h"
#include "pipeline/pipeline.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RUN_NS INT64_C(30000000000)

static const tribus_dtype dtypes[] = {
    [TRIBUS_WIRE_DTYPE_FLOAT16] = {TRIBUS_DTYPE_FLOAT, 16, 1},
    [TRIBUS_WIRE_DTYPE_BFLOAT16] = {TRIBUS_DTYPE_BFLOAT, 16, 1},
    [TRIBUS_WIRE_DTYPE_FLOAT32] = {TRIBUS_DTYPE_FLOAT, 32, 1},
    [TRIBUS_WIRE_DTYPE_FLOAT64] = {TRIBUS_DTYPE_FLOAT, 64, 1},
    [TRIBUS_WIRE_DTYPE_INT8] = {TRIBUS_DTYPE_INT, 8, 1},
    [TRIBUS_WIRE_DTYPE_INT16] = {TRIBUS_DTYPE_INT, 16, 1},
    [TRIBUS_WIRE_DTYPE_INT32] = {TRIBUS_DTYPE_INT, 32, 1},
    [TRIBUS_WIRE_DTYPE_INT64] = {TRIBUS_DTYPE_INT, 64, 1},
    [TRIBUS_WIRE_DTYPE_UINT8] = {TRIBUS_DTYPE_UINT, 8, 1},
    [TRIBUS_WIRE_DTYPE_UINT16] = {TRIBUS_DTYPE_UINT, 16, 1},
    [TRIBUS_WIRE_DTYPE_UINT32] = {TRIBUS_DTYPE_UINT, 32, 1},
    [TRIBUS_WIRE_DTYPE_UINT64] = {TRIBUS_DTYPE_UINT, 64, 1},
    [TRIBUS_WIRE_DTYPE_BOOL] = {TRIBUS_DTYPE_BOOL, 8, 1},
};
#define DTYPES (sizeof(dtypes) / sizeof(dtypes[0]))

static bool same_dtype(tribus_dtype a, tribus_dtype b)
{
    return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}

/* ---- which stage, input and result ---- */

typedef struct choice {
    tribus_pipeline *pipe;
    const tribus_graph_node *stage;
    uint32_t input, result;
    char input_name[TRIBUS_PIPELINE_NAME_BYTES];
    char result_name[TRIBUS_PIPELINE_NAME_BYTES];
    char inputs[256]; /* the other inputs, as for start */
} choice;

static tribus_status read_word(const json_t *root, const char *name, char *out, size_t n)
{
    const json_t *value = json_object_get(root, name);
    const char *text = json_string_value(value);

    out[0] = '\0';
    if (value == NULL)
        return TRIBUS_OK;
    if (text == NULL || strlen(text) >= n)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: text of at most %zu letters is wanted", name, n - 1);
    (void)snprintf(out, n, "%s", text);
    return TRIBUS_OK;
}

/* The members of a request that its type does not have. */
static tribus_status read_members(const char *members, choice *c)
{
    const size_t room = members != NULL ? strlen(members) + 3 : 3;
    char *json = malloc(room);
    json_t *root;
    tribus_status st;

    if (json == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "members");
    (void)snprintf(json, room, "{%s}", members != NULL ? members : "");
    root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    free(json);
    st = read_word(root, "input", c->input_name, sizeof(c->input_name));
    if (st == TRIBUS_OK)
        st = read_word(root, "result", c->result_name, sizeof(c->result_name));
    if (st == TRIBUS_OK)
        st = read_word(root, "inputs", c->inputs, sizeof(c->inputs));
    json_decref(root);
    return st;
}

/* Is that a stage's name, its operation, or its model without folder and .onnx? */
static bool is_called(const tribus_graph_node *node, const char *word)
{
    const char *slash = strrchr(node->operation, '/');
    const char *file = slash != NULL ? slash + 1 : node->operation;
    const size_t n = strlen(word);

    return strcmp(node->name, word) == 0 || strcmp(node->operation, word) == 0 ||
           (strncmp(file, word, n) == 0 && strcmp(file + n, ".onnx") == 0);
}

static const tribus_graph_node *find_stage(const tribus_pipeline *pipe, uint32_t domain,
                                           const char *word)
{
    const tribus_graph *g = pipe->plan->graph;

    for (uint32_t i = 1; i + 1 < g->node_count; i++) {
        if (g->nodes[i].domain == domain && is_called(&g->nodes[i], word))
            return &g->nodes[i];
    }
    return NULL;
}

static tribus_status choose_stage(const tribus_pipeline_answer *a,
                                  const tribus_msg_neural_to_gpu_compute *m, choice *c)
{
    const bool compute = m->header.type == TRIBUS_MSG_NEURAL_TO_GPU_COMPUTE;
    const uint32_t domain = compute ? TRIBUS_DOMAIN_GPU : TRIBUS_DOMAIN_NEURAL;
    const char *field = compute ? "operation" : "model";
    const bool named = m->pipeline[0] != '\0';
    bool known = false;

    for (uint32_t i = 0; i < a->count; i++) {
        const tribus_graph_node *stage;

        if (named && strcmp(a->names[i], m->pipeline) != 0)
            continue;
        known = true;
        stage = find_stage(a->pipes[i], domain, m->operation);
        if (stage != NULL && c->stage != NULL)
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "pipeline: several have %s, name one of them",
                                    m->operation);
        if (stage != NULL) {
            c->stage = stage;
            c->pipe = a->pipes[i];
        }
    }
    if (c->stage != NULL)
        return TRIBUS_OK;
    if (named && !known)
        return tribus_error_set(
            TRIBUS_NOT_FOUND, "pipeline: %s was not registered from the wire", m->pipeline);
    return tribus_error_set(TRIBUS_NOT_FOUND, "%s: no %s stage of %s is or runs %s", field,
                            tribus_graph_domain_name(domain),
                            named ? m->pipeline : "a registered pipeline", m->operation);
}

/* The pipeline's input that feeds the stage: the one named, or the only one. */
static tribus_status choose_input(choice *c)
{
    const tribus_graph_node *first = &c->pipe->plan->graph->nodes[0];
    bool found = false;

    for (uint32_t i = 0; i < c->stage->input_count; i++) {
        const tribus_graph_port *port = &c->stage->inputs[i];

        for (uint32_t k = 0; k < port->source_count; k++) {
            const tribus_graph_source *from = &port->sources[k];

            if (from->node != 0 || from->state || (found && from->port == c->input) ||
                (c->input_name[0] != '\0' &&
                 strcmp(first->outputs[from->port].name, c->input_name) != 0))
                continue;
            if (found)
                return tribus_error_set(TRIBUS_BAD_ARG,
                                        "input: stage %s reads %s and %s: name one",
                                        c->stage->name, first->outputs[c->input].name,
                                        first->outputs[from->port].name);
            found = true;
            c->input = from->port;
        }
    }
    if (!found)
        return tribus_error_set(TRIBUS_NOT_FOUND,
                                "input: stage %s reads no input %s of the pipeline",
                                c->stage->name, c->input_name);
    return TRIBUS_OK;
}

static tribus_status choose_result(choice *c)
{
    const tribus_graph *g = c->pipe->plan->graph;

    if (c->result_name[0] != '\0')
        return tribus_pipeline_find_result(c->pipe, c->result_name, &c->result);
    if (g->nodes[g->node_count - 1].input_count != 1)
        return tribus_error_set(TRIBUS_BAD_ARG, "result: the pipeline has %u: name one",
                                g->nodes[g->node_count - 1].input_count);
    c->result = 0;
    return TRIBUS_OK;
}

/* Is the tensor what the input takes? */
static tribus_status check_tensor(const tribus_msg_neural_to_gpu_compute *m,
                                  const choice *c)
{
    const tribus_graph_port *port = &c->pipe->plan->graph->nodes[0].outputs[c->input];
    tribus_graph_port came = *port;
    char want[64], got[64];
    bool same;

    if (m->dtype >= DTYPES || dtypes[m->dtype].lanes == 0 ||
        m->rank > TRIBUS_TENSOR_MAX_DIMS)
        return tribus_error_set(TRIBUS_BAD_ARG, "dtype: none");
    came.dtype = dtypes[m->dtype];
    came.ndim = (int32_t)m->rank;
    memcpy(came.shape, m->shape, m->rank * sizeof(m->shape[0]));
    same = came.ndim == port->ndim &&
           memcmp(came.shape, port->shape, m->rank * sizeof(m->shape[0])) == 0;
    if (same && same_dtype(came.dtype, port->dtype))
        return TRIBUS_OK;
    return tribus_error_set(TRIBUS_BAD_ARG, "%s: input %s is %s, %s came",
                            same ? "dtype" : "shape", port->name,
                            tribus_graph_port_text(port, want, sizeof(want)),
                            tribus_graph_port_text(&came, got, sizeof(got)));
}

/* ---- the run ---- */

void tribus_pipeline_answer_collect(tribus_pipeline_answer *a, tribus_pipeline *pipe)
{
    tribus_pipeline_result end;

    while (tribus_pipeline_await_wait(pipe, 0, &end) == TRIBUS_OK) {
        bool kept = false;

        for (uint32_t i = 0; i < TRIBUS_PIPELINE_ANSWER_RUNS && !kept; i++) {
            tribus_pipeline_answer_run *r = &a->runs[i];

            kept = r->taken && r->pipe == pipe && r->end.run == end.run;
            if (kept) {
                r->ended = true;
                r->end = end;
            }
        }
        if (!kept)
            tribus_pipeline_release(pipe, end.run);
    }
}

void tribus_pipeline_answer_forget(tribus_pipeline_answer *a, const tribus_pipeline *pipe)
{
    for (uint32_t i = 0; i < TRIBUS_PIPELINE_ANSWER_RUNS; i++) {
        if (a->runs[i].pipe == pipe)
            a->runs[i].pipe = NULL;
    }
}

static tribus_status submit(tribus_session *session, const choice *c, const void *bytes,
                            uint64_t *run)
{
    const tribus_graph_port *port = &c->pipe->plan->graph->nodes[0].outputs[c->input];
    tribus_status st = tribus_pipeline_claim(c->pipe);

    if (st == TRIBUS_FULL)
        return tribus_error_set(st, "as many runs as allowed are in flight");
    if (st == TRIBUS_OK)
        st = tribus_pipeline_answer_inputs(session, c->pipe, c->inputs);
    if (st == TRIBUS_OK)
        st = tribus_pipeline_copy_input(c->pipe, c->input, bytes, (size_t)port->bytes);
    return st == TRIBUS_OK ? tribus_pipeline_submit(c->pipe, 0, run) : st;
}

tribus_status tribus_pipeline_answer_tensor(void *answer, tribus_session *session,
                                            tribus_msg_neural_to_gpu_compute *m,
                                            const char *members, const void *bytes,
                                            uint32_t *ticket)
{
    tribus_pipeline_answer *a = answer;
    choice c = {.stage = NULL};
    uint32_t i = 0;
    tribus_status st = read_members(members, &c);

    if (st == TRIBUS_OK)
        st = choose_stage(a, m, &c);
    if (st == TRIBUS_OK)
        st = choose_input(&c);
    if (st == TRIBUS_OK)
        st = choose_result(&c);
    if (st == TRIBUS_OK)
        st = check_tensor(m, &c);
    if (st != TRIBUS_OK)
        return st;
    while (i < TRIBUS_PIPELINE_ANSWER_RUNS && a->runs[i].taken)
        i++;
    if (i == TRIBUS_PIPELINE_ANSWER_RUNS)
        return tribus_error_set(TRIBUS_FULL, "%u runs of tensors are in flight", i);
    tribus_pipeline_answer_collect(a, c.pipe);
    st = submit(session, &c, bytes, &m->run);
    if (st != TRIBUS_OK)
        return st;
    a->runs[i] =
        (tribus_pipeline_answer_run){.taken = true,
                                     .pipe = c.pipe,
                                     .wanted = c.result,
                                     .deadline_ns = tribus_deadline_ns(MOST_RUN_NS),
                                     .end = {.run = m->run}};
    for (uint32_t k = 0; k < a->count; k++) {
        if (a->pipes[k] == c.pipe)
            (void)snprintf(m->pipeline, sizeof(m->pipeline), "%s", a->names[k]);
    }
    *ticket = i;
    return TRIBUS_OK;
}

/* ---- its result ---- */

static tribus_status describe(const tribus_tensor *t, tribus_msg_neural_to_gpu_compute *m)
{
    uint32_t dtype = 1;

    while (dtype < DTYPES && !same_dtype(dtypes[dtype], t->dtype))
        dtype++;
    if (dtype == DTYPES)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "result: its dtype has no name here");
    m->dtype = dtype;
    m->rank = (uint32_t)t->ndim;
    memset(m->shape, 0, sizeof(m->shape));
    memcpy(m->shape, t->shape, (size_t)t->ndim * sizeof(m->shape[0]));
    return TRIBUS_OK;
}

/* Why a run is not through by now: as a rule nobody took one of its stages. */
static tribus_status overdue(tribus_pipeline *pipe, uint64_t run)
{
    if (tribus_pipeline_ready_wait(pipe, 0) != TRIBUS_OK)
        return TRIBUS_TIMEOUT; /* the text names the stage */
    return tribus_error_set(TRIBUS_TIMEOUT, "run %" PRIu64 " did not end in %d s", run,
                            (int)(MOST_RUN_NS / 1000000000));
}

tribus_status tribus_pipeline_answer_result(
    void *answer, uint32_t ticket, tribus_msg_neural_to_gpu_compute *m,
    tribus_status (*put)(void *context, const void *bytes, uint64_t n), void *put_context)
{
    tribus_pipeline_answer *a = answer;
    tribus_pipeline_answer_run *r = &a->runs[ticket];
    tribus_tensor t;
    tribus_status st;

    if (r->pipe != NULL && !r->ended)
        tribus_pipeline_answer_collect(a, r->pipe);
    if (r->pipe != NULL && !r->ended && tribus_deadline_left_ns(r->deadline_ns) > 0)
        return TRIBUS_EMPTY;
    r->taken = false; /* whatever comes: asked for no more */
    if (r->pipe == NULL)
        return tribus_error_set(TRIBUS_STOPPED, "pipeline: %s was stopped", m->pipeline);
    if (!r->ended)
        return overdue(r->pipe, r->end.run);
    st = r->end.status;
    if (st != TRIBUS_OK)
        (void)tribus_error_set(st, "run %" PRIu64 ": stage %s: %s", r->end.run,
                               r->end.stage, r->end.text);
    if (st == TRIBUS_OK)
        st = tribus_pipeline_result_tensor(r->pipe, r->end.run, r->wanted, &t);
    if (st == TRIBUS_EMPTY)
        st = tribus_error_set(TRIBUS_NOT_FOUND, "result: the run skipped its stage");
    if (st == TRIBUS_OK)
        st = describe(&t, m);
    if (st == TRIBUS_OK)
        st = put(put_context, tribus_tensor_address(&t),
                 tribus_tensor_elements(&t) * tribus_dtype_bytes(t.dtype));
    tribus_pipeline_release(r->pipe, r->end.run);
    return st;
}
