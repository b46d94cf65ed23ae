/* neural_cuda.c -- ONNX models on a card, with kernels of our own.
 *
 * open: the graph is read, operators are checked, float constants go to the card once.
 * bind: shapes follow from the tensors' (neural_cuda_plan.c); the launches are captured as a
 *       CUDA graph, so that a run is one launch however many operators there are.
 * run:  the graph is launched on the device's stream. Outputs are complete after
 *       tribus_device_synchronise_wait(), or for whatever follows on that stream.
 */
#include "neural/neural_cuda.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WEIGHT_BYTES ((uint64_t)16 << 30)

static const char *const kernel_names[TRIBUS_NN_KERNELS] = {
    "tribus_nn_unary",      "tribus_nn_binary",   "tribus_nn_copy",
    "tribus_nn_gemm_run",   "tribus_nn_softmax",  "tribus_nn_layer_norm",
    "tribus_nn_reduce_run", "tribus_nn_conv_run", "tribus_nn_lstm",
    "tribus_nn_gru"};

static bool cuda_probe(char *detail, size_t detail_bytes)
{
    const char *why = NULL;
    const tribus_cuda_driver *cu = tribus_cuda_driver_get(&why);

    if (cu == NULL)
        (void)snprintf(detail, detail_bytes, "%s", why);
    else
        (void)snprintf(detail, detail_bytes, "own kernels, CUDA %d.%d", cu->version / 1000,
                       cu->version % 1000 / 10);
    return cu != NULL;
}

/* ---- ports ---- */

static tribus_status read_side(const tribus_onnx_graph *g, const char *side,
                               const uint32_t *values, uint32_t count,
                               tribus_model_plan *plan)
{
    if (count == 0 || count > TRIBUS_MODEL_MAX_PORTS)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "the file has %u %ss; 1 to %d are possible", count, side,
                                TRIBUS_MODEL_MAX_PORTS);
    plan->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const tribus_onnx_value *v = &g->values[values[i]];
        tribus_model_port *p = &plan->ports[i];

        if (strlen(v->name) >= sizeof(p->name))
            return tribus_error_set(TRIBUS_UNSUPPORTED, "%s %u: name longer than %d bytes",
                                    side, i, TRIBUS_MODEL_NAME_BYTES - 1);
        if (v->type != TRIBUS_ONNX_FLOAT)
            return tribus_error_set(TRIBUS_UNSUPPORTED,
                                    "%s %s is of ONNX element type %d; float is possible",
                                    side, v->name, v->type);
        (void)snprintf(p->name, sizeof(p->name), "%s", v->name);
        p->dtype = (tribus_dtype){TRIBUS_DTYPE_FLOAT, 32, 1};
        p->ndim = v->ndim;
        for (int32_t d = 0; d < v->ndim; d++) {
            p->shape[d] = v->shape[d];
            if (v->shape[d] < 0 && v->words[d] != NULL &&
                strlen(v->words[d]) < sizeof(plan->words[i][d]))
                (void)snprintf(plan->words[i][d], sizeof(plan->words[i][d]), "%s",
                               v->words[d]);
        }
    }
    return TRIBUS_OK;
}

/* ---- constants ---- */

/* Constants are initialisers and what nodes of the kind Constant hold. */
static void find_constants(tribus_nn_model *m)
{
    const tribus_onnx_graph *g = m->graph;

    for (uint32_t v = 0; v < g->value_count; v++)
        if (g->values[v].kind == TRIBUS_ONNX_CONSTANT)
            m->tensors[v] = &g->values[v].constant;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const tribus_onnx_node *n = &g->nodes[i];
        const tribus_onnx_attribute *a = tribus_onnx_attribute_find(n, "value");

        if (strcmp(n->op, "Constant") == 0 && a != NULL && a->type == 4 &&
            n->output_count > 0 && n->outputs[0] != TRIBUS_ONNX_ABSENT)
            m->tensors[n->outputs[0]] = &a->t;
    }
}

static tribus_status upload(tribus_nn_model *m)
{
    tribus_cuda_context *c = m->context;
    uint64_t bytes = 0, at = 0;
    unsigned char *staged;
    tribus_status st;

    for (uint32_t v = 0; v < m->graph->value_count; v++)
        if (m->tensors[v] != NULL && m->tensors[v]->type == TRIBUS_ONNX_FLOAT)
            bytes += (m->tensors[v]->elements * 4 + 255) / 256 * 256;
    if (bytes == 0)
        return TRIBUS_OK;
    if (bytes > MOST_WEIGHT_BYTES)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "constants of %llu bytes",
                                (unsigned long long)bytes);
    staged = calloc(1, (size_t)bytes);
    if (staged == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "constants of %llu bytes",
                                (unsigned long long)bytes);
    st = tribus_cuda_context_check(c, c->cu->mem_alloc(&m->weights, (size_t)bytes),
                                   "memory for constants");
    for (uint32_t v = 0; v < m->graph->value_count && st == TRIBUS_OK; v++) {
        const tribus_onnx_tensor *t = m->tensors[v];

        if (t == NULL || t->type != TRIBUS_ONNX_FLOAT)
            continue;
        memcpy(staged + at, t->bytes, (size_t)t->elements * 4);
        m->constants[v] = m->weights + at;
        at += (t->elements * 4 + 255) / 256 * 256;
    }
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c, c->cu->memcpy_htod_async(m->weights, staged, (size_t)bytes, c->main.stream),
            "copy constants");
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(c, c->cu->stream_synchronize(c->main.stream),
                                       "copy constants");
    free(staged);
    return st;
}

/* ---- the runtime ---- */

static tribus_status check_operators(const tribus_onnx_graph *g)
{
    for (uint32_t i = 0; i < g->node_count; i++) {
        const tribus_onnx_node *n = &g->nodes[i];

        if (*n->domain != '\0' || !tribus_nn_plan_knows(n))
            return tribus_error_set(
                TRIBUS_UNSUPPORTED,
                "node %u \"%s\": operator %s%s%s does not run on a card; open the model on "
                "the cpu",
                i, n->name, n->domain, *n->domain != '\0' ? "." : "", n->op);
    }
    return TRIBUS_OK;
}

/* The recurrent kernels take more shared memory than a kernel gets unasked. */
static tribus_status allow_shared(const tribus_nn_model *m, uint32_t kernel)
{
    return tribus_cuda_context_check(
        m->context,
        m->context->cu->func_set_attribute(m->kernels[kernel],
                                           TRIBUS_CU_FUNC_MAX_DYNAMIC_SHARED,
                                           TRIBUS_NN_RECURRENT_SHARED),
        "shared memory of a recurrent layer");
}

static tribus_status cuda_open(tribus_model *model, const tribus_model_cfg *cfg,
                               const char *bytes, size_t count)
{
    tribus_nn_model *m = calloc(1, sizeof(*m));
    tribus_status st = TRIBUS_OK;

    if (m == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*m));
    model->state = m;
    m->context = (tribus_cuda_context *)cfg->device; /* model.c checked its type */
    m->bytes = malloc(count + 1);
    if (m->bytes == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", count);
    memcpy(m->bytes, bytes, count);
    st = tribus_cuda_context_enter(m->context);
    if (st == TRIBUS_OK)
        st = tribus_onnx_graph_open(m->bytes, count, &m->graph);
    if (st == TRIBUS_OK)
        st = check_operators(m->graph);
    if (st == TRIBUS_OK)
        st = read_side(m->graph, "input", m->graph->inputs, m->graph->input_count,
                       &model->inputs);
    if (st == TRIBUS_OK)
        st = read_side(m->graph, "output", m->graph->outputs, m->graph->output_count,
                       &model->outputs);
    for (uint32_t k = 0; k < TRIBUS_NN_KERNELS && st == TRIBUS_OK; k++)
        st = tribus_cuda_context_function(m->context, kernel_names[k], &m->kernels[k]);
    if (st == TRIBUS_OK)
        st = allow_shared(m, TRIBUS_NN_KERNEL_LSTM);
    if (st == TRIBUS_OK)
        st = allow_shared(m, TRIBUS_NN_KERNEL_GRU);
    if (st != TRIBUS_OK)
        return st;
    m->constants = calloc(m->graph->value_count + 1u, sizeof(*m->constants));
    m->tensors = calloc(m->graph->value_count + 1u, sizeof(*m->tensors));
    if (m->constants == NULL || m->tensors == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%u values", m->graph->value_count);
    find_constants(m);
    return upload(m);
}

static void cuda_close(tribus_model *model)
{
    tribus_nn_model *m = model->state;

    if (m == NULL)
        return;
    if (m->weights != 0 && tribus_cuda_context_enter(m->context) == TRIBUS_OK) {
        (void)m->context->cu->stream_synchronize(m->context->main.stream);
        (void)m->context->cu->mem_free(m->weights);
    }
    tribus_onnx_graph_close(m->graph);
    free(m->tensors);
    free(m->constants);
    free(m->bytes);
    free(m);
}

static tribus_status launch_all(const tribus_nn_plan *p)
{
    const tribus_cuda_driver *cu = p->model->context->cu;
    const tribus_cu_stream stream = p->model->context->main.stream;
    tribus_cu_result result = TRIBUS_CU_OK;

    for (uint32_t i = 0; i < p->step_count && result == TRIBUS_CU_OK; i++) {
        tribus_nn_step *s = &p->steps[i];
        void *params[] = {&s->args};

        result = cu->launch_kernel(p->model->kernels[s->kernel], s->grid[0], s->grid[1],
                                   s->grid[2], s->threads, 1, 1, s->shared_bytes, stream,
                                   params, NULL);
    }
    return tribus_cuda_driver_check(cu, result, "record the model");
}

static tribus_status record(tribus_nn_plan *p)
{
    tribus_cuda_context *c = p->model->context;
    tribus_cu_graph graph = NULL;
    tribus_status st = tribus_cuda_context_check(
        c, c->cu->stream_begin_capture(c->main.stream, TRIBUS_CU_CAPTURE_THREAD_LOCAL),
        "record the model");
    tribus_status end;

    if (st != TRIBUS_OK)
        return st;
    st = launch_all(p);
    end = tribus_cuda_context_check(c, c->cu->stream_end_capture(c->main.stream, &graph),
                                    "record the model");
    if (st == TRIBUS_OK)
        st = end;
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(c, c->cu->graph_instantiate(&p->exec, graph, 0),
                                       "make the model's graph");
    if (graph != NULL)
        (void)c->cu->graph_destroy(graph);
    return st;
}

static tribus_status cuda_binding_create(tribus_model *model, const tribus_tensor *inputs,
                                         const tribus_tensor *outputs, void **out)
{
    tribus_nn_model *m = model->state;
    tribus_nn_plan *plan = NULL;
    tribus_status st = tribus_cuda_context_enter(m->context);

    if (st == TRIBUS_OK)
        st = tribus_nn_plan_create(m, inputs, outputs, &plan);
    if (st == TRIBUS_OK)
        st = record(plan);
    if (st != TRIBUS_OK) {
        tribus_nn_plan_destroy(plan);
        return st;
    }
    *out = plan;
    return TRIBUS_OK;
}

static void cuda_binding_destroy(tribus_model *model, void *binding)
{
    (void)model;
    tribus_nn_plan_destroy(binding);
}

static tribus_status cuda_run(tribus_model *model, void *binding)
{
    const tribus_nn_plan *plan = binding;
    tribus_nn_model *m = model->state;
    tribus_status st = tribus_cuda_context_enter(m->context);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_claim(&m->context->main, 1);
    if (st != TRIBUS_OK)
        return st;
    return tribus_cuda_context_check(
        m->context, m->context->cu->graph_launch(plan->exec, m->context->main.stream),
        "run");
}

const tribus_model_ops tribus_neural_cuda = {
    .name = "cuda",
    .suffix = ".onnx",
    .device_type = TRIBUS_DEVICE_CUDA,
    .probe = cuda_probe,
    .open = cuda_open,
    .close = cuda_close,
    .binding_create = cuda_binding_create,
    .binding_destroy = cuda_binding_destroy,
    .run = cuda_run,
};
