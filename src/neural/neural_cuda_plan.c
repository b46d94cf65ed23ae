/* neural_cuda_plan.c -- from a graph and the shapes of its inputs to a list of launches.
 *
 * Nodes are planned in the order of the file. A value is floats on the card or, for shapes
 * and axes, whole numbers on the host: whatever is computed from constants of whole numbers
 * is computed here. Nodes that only rename (Reshape, Squeeze ...) share their input's memory.
 *
 * Everything here comes from a file: each rank, axis and size is checked before it is used
 * (neural_cuda_value.c bounds them). Operators are planned in neural_cuda_element.c, _gemm.c,
 * _rows.c, _shape.c, _copy.c and _layers.c.
 */
#include "neural/neural_cuda_plan.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WHOLES 4096u

/* ---- the table of operators ---- */

static const struct {
    const char *op;
    tribus_nn_planner plan;
} planners[] = {
    {"Gemm", tribus_nn_plan_gemm},
    {"MatMul", tribus_nn_plan_matmul},
    {"Softmax", tribus_nn_plan_softmax},
    {"LogSoftmax", tribus_nn_plan_softmax},
    {"LayerNormalization", tribus_nn_plan_layer_norm},
    {"ReduceMean", tribus_nn_plan_reduce},
    {"ReduceSum", tribus_nn_plan_reduce},
    {"Conv", tribus_nn_plan_conv},
    {"LSTM", tribus_nn_plan_recurrent},
    {"GRU", tribus_nn_plan_recurrent},
    {"Reshape", tribus_nn_plan_reshape},
    {"Flatten", tribus_nn_plan_flatten},
    {"Squeeze", tribus_nn_plan_squeeze},
    {"Unsqueeze", tribus_nn_plan_unsqueeze},
    {"Identity", tribus_nn_plan_identity},
    {"Dropout", tribus_nn_plan_identity}, /* which does nothing but in training */
    {"Constant", tribus_nn_plan_constant},
    {"Shape", tribus_nn_plan_shape},
    {"Transpose", tribus_nn_plan_transpose},
    {"Concat", tribus_nn_plan_concat},
    {"Slice", tribus_nn_plan_slice}};

static tribus_nn_planner planner_of(const tribus_onnx_node *node)
{
    for (size_t i = 0; i < sizeof(planners) / sizeof(planners[0]); i++)
        if (strcmp(planners[i].op, node->op) == 0)
            return planners[i].plan;
    return tribus_nn_element_planner(node->op);
}

bool tribus_nn_plan_knows(const tribus_onnx_node *node)
{
    return planner_of(node) != NULL;
}

/* ---- the whole ---- */

static tribus_status place_constant(tribus_nn_plan *plan, uint32_t at)
{
    const tribus_onnx_tensor *t = plan->model->tensors[at];
    tribus_nn_value *v = &plan->values[at];

    if (!tribus_nn_set_shape(v, t->ndim, t->shape) ||
        (t->type != TRIBUS_ONNX_FLOAT &&
         (t->type != TRIBUS_ONNX_INT64 && t->type != TRIBUS_ONNX_INT32)))
        return TRIBUS_OK; /* whoever reads it says that it cannot */
    if (t->type == TRIBUS_ONNX_FLOAT) {
        v->at = plan->model->constants[at];
        v->known = true;
        return TRIBUS_OK;
    }
    if (v->elements > MOST_WHOLES)
        return TRIBUS_OK;
    v->whole = calloc((size_t)v->elements + 1u, sizeof(*v->whole));
    if (v->whole == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "whole numbers");
    for (uint64_t i = 0; i < v->elements; i++)
        v->whole[i] = tribus_onnx_whole(t, i);
    v->known = true;
    return TRIBUS_OK;
}

static tribus_status place_bound(tribus_nn_plan *plan, const tribus_tensor *inputs,
                                 const tribus_tensor *outputs)
{
    const tribus_onnx_graph *g = plan->model->graph;

    for (uint32_t i = 0; i < g->input_count; i++) {
        tribus_nn_value *v = &plan->values[g->inputs[i]];

        if (!tribus_nn_set_shape(v, inputs[i].ndim, inputs[i].shape))
            return tribus_error_set(TRIBUS_UNSUPPORTED, "input %u is too large", i);
        v->at = (tribus_cu_ptr)(uintptr_t)tribus_tensor_address(&inputs[i]);
        v->known = true;
    }
    for (uint32_t i = 0; i < g->output_count; i++) {
        tribus_nn_value *v = &plan->values[g->outputs[i]];

        /* A constant or an input as an output, or one twice, is copied at the end. */
        if (!v->known && v->at == 0)
            v->at = (tribus_cu_ptr)(uintptr_t)tribus_tensor_address(&outputs[i]);
    }
    return TRIBUS_OK;
}

static tribus_status check_output(tribus_nn_plan *plan, uint32_t i,
                                  const tribus_tensor *tensor)
{
    const tribus_onnx_graph *g = plan->model->graph;
    const tribus_nn_value *v = &plan->values[g->outputs[i]];
    const char *name = g->values[g->outputs[i]].name;
    const tribus_cu_ptr at = (tribus_cu_ptr)(uintptr_t)tribus_tensor_address(tensor);
    char text[128] = "";
    size_t used = 0;

    if (!v->known || v->at == 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "output %s is not floats", name);
    for (int32_t d = 0; d < v->ndim; d++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%lld",
                                 d > 0 ? "," : "", (long long)v->shape[d]);
    if (v->ndim != tensor->ndim ||
        memcmp(v->shape, tensor->shape, (size_t)v->ndim * sizeof(v->shape[0])) != 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "output %s comes out as f32[%s]", name,
                                text);
    return v->at == at ? TRIBUS_OK : tribus_nn_copy_dense(plan, v, at);
}

static tribus_status plan_nodes(tribus_nn_plan *plan)
{
    const tribus_onnx_graph *g = plan->model->graph;
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 0; i < g->node_count && st == TRIBUS_OK; i++) {
        const tribus_nn_node n = {plan, &g->nodes[i], i};

        /* Only recurrent layers have outputs that one may want without the first. */
        if (n.node->output_count < 1 || (n.node->outputs[0] == TRIBUS_ONNX_ABSENT &&
                                         planner_of(n.node) != tribus_nn_plan_recurrent))
            st = tribus_nn_fault(&n, TRIBUS_UNSUPPORTED, "no first output");
        else
            st = planner_of(n.node)(&n);
    }
    return st;
}

tribus_status tribus_nn_plan_create(const tribus_nn_model *model,
                                    const tribus_tensor *inputs,
                                    const tribus_tensor *outputs, tribus_nn_plan **out)
{
    const tribus_onnx_graph *g = model->graph;
    tribus_nn_plan *plan = calloc(1, sizeof(*plan));
    tribus_status st = TRIBUS_OK;

    if (plan == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*plan));
    *out = plan;
    plan->model = model;
    plan->values = calloc(g->value_count + 1u, sizeof(*plan->values));
    if (plan->values == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%u values", g->value_count);
    for (uint32_t v = 0; v < g->value_count && st == TRIBUS_OK; v++)
        if (model->tensors[v] != NULL)
            st = place_constant(plan, v);
    if (st == TRIBUS_OK)
        st = place_bound(plan, inputs, outputs);
    if (st == TRIBUS_OK)
        st = plan_nodes(plan);
    for (uint32_t i = 0; i < g->output_count && st == TRIBUS_OK; i++)
        st = check_output(plan, i, &outputs[i]);
    for (uint32_t v = 0; v < g->value_count; v++)
        free(plan->values[v].whole);
    free(plan->values);
    plan->values = NULL;
    return st;
}

void tribus_nn_plan_destroy(tribus_nn_plan *plan)
{
    tribus_cuda_context *c;

    if (plan == NULL)
        return;
    c = plan->model->context;
    if (tribus_cuda_context_enter(c) == TRIBUS_OK) {
        (void)c->cu->stream_synchronize(c->main.stream); /* it may still run */
        if (plan->exec != NULL)
            (void)c->cu->graph_exec_destroy(plan->exec);
        for (uint32_t i = 0; i < plan->block_count; i++)
            (void)c->cu->mem_free(plan->blocks[i]);
    }
    free(plan->blocks);
    free(plan->steps);
    free(plan);
}
