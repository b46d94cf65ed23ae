/* neural_cuda_element.c -- plans of element-wise operators, with numpy's broadcasting. */
#include "neural/neural_cuda_plan.h"

#include <string.h>

static const struct {
    const char *name;
    tribus_nn_op op;
} unary_ops[] = {{"Sqrt", TRIBUS_NN_SQRT},         {"Exp", TRIBUS_NN_EXP},
                 {"Log", TRIBUS_NN_LOG},           {"Abs", TRIBUS_NN_ABS},
                 {"Neg", TRIBUS_NN_NEG},           {"Reciprocal", TRIBUS_NN_RECIPROCAL},
                 {"Erf", TRIBUS_NN_ERF},           {"Clip", TRIBUS_NN_CLIP},
                 {"Relu", TRIBUS_NN_RELU},         {"LeakyRelu", TRIBUS_NN_LEAKY_RELU},
                 {"Tanh", TRIBUS_NN_TANH},         {"Sigmoid", TRIBUS_NN_SIGMOID},
                 {"Softplus", TRIBUS_NN_SOFTPLUS}, {"Gelu", TRIBUS_NN_GELU}},
  binary_ops[] = {{"Add", TRIBUS_NN_ADD}, {"Sub", TRIBUS_NN_SUB}, {"Mul", TRIBUS_NN_MUL},
                  {"Div", TRIBUS_NN_DIV}, {"Pow", TRIBUS_NN_POW}, {"Min", TRIBUS_NN_MIN},
                  {"Max", TRIBUS_NN_MAX}};

/* A bound of Clip: an attribute before opset 11, a constant input since. */
static tribus_status bound_of(const tribus_nn_node *n, uint32_t i, const char *name,
                              float *out)
{
    const uint32_t at = i < n->node->input_count ? n->node->inputs[i] : TRIBUS_ONNX_ABSENT;
    const tribus_onnx_tensor *t =
        at == TRIBUS_ONNX_ABSENT ? NULL : n->plan->model->tensors[at];

    *out = tribus_onnx_float(n->node, name, *out);
    if (at == TRIBUS_ONNX_ABSENT)
        return TRIBUS_OK;
    if (t == NULL || t->type != TRIBUS_ONNX_FLOAT || t->elements != 1)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "%s is not a constant float", name);
    *out = (float)tribus_onnx_number(t, 0);
    return TRIBUS_OK;
}

static tribus_status plan_unary(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    float p = -3.402823466e38f, q = 3.402823466e38f;
    tribus_nn_op op = TRIBUS_NN_ADD;
    tribus_nn_step *s;

    for (size_t i = 0; i < sizeof(unary_ops) / sizeof(unary_ops[0]); i++)
        if (strcmp(unary_ops[i].name, n->node->op) == 0)
            op = unary_ops[i].op;
    if (st == TRIBUS_OK && op == TRIBUS_NN_CLIP)
        st = bound_of(n, 1, "min", &p);
    if (st == TRIBUS_OK && op == TRIBUS_NN_CLIP)
        st = bound_of(n, 2, "max", &q);
    if (op == TRIBUS_NN_LEAKY_RELU)
        p = tribus_onnx_float(n->node, "alpha", 0.01f);
    if (op == TRIBUS_NN_GELU &&
        strcmp(tribus_onnx_string(n->node, "approximate", "none"), "tanh") == 0)
        op = TRIBUS_NN_GELU_TANH;
    if (st != TRIBUS_OK)
        return st;
    y = tribus_nn_output(n, 0, x->ndim, x->shape, &st);
    if (y == NULL)
        return st;
    s = tribus_nn_spread(n->plan, TRIBUS_NN_KERNEL_UNARY, x->elements);
    if (s == NULL)
        return TRIBUS_NO_MEMORY;
    s->args.map = (tribus_nn_map){.a = tribus_nn_floats(x->at),
                                  .y = tribus_nn_floats(y->at),
                                  .count = x->elements,
                                  .op = (uint32_t)op,
                                  .p = p,
                                  .q = q};
    return TRIBUS_OK;
}

/* Shape of a and b broadcast against each other, as numpy does; false: they do not fit. */
bool tribus_nn_broadcast(const int64_t *a, int32_t a_dims, const int64_t *b, int32_t b_dims,
                         int64_t *out)
{
    const int32_t ndim = a_dims > b_dims ? a_dims : b_dims;

    for (int32_t d = 0; d < ndim; d++) {
        const int64_t u = d < ndim - a_dims ? 1 : a[d - (ndim - a_dims)];
        const int64_t v = d < ndim - b_dims ? 1 : b[d - (ndim - b_dims)];

        if (u != v && u != 1 && v != 1)
            return false;
        out[d] = u > v ? u : v;
    }
    return true;
}

/* Strides of v seen under a broadcast shape of ndim dimensions: 0 where it repeats. */
void tribus_nn_spread_strides(const tribus_nn_value *v, int32_t ndim, int64_t *out)
{
    int64_t dense[TRIBUS_ONNX_MAX_DIMS];

    tribus_nn_strides(v, dense);
    for (int32_t d = 0; d < ndim; d++) {
        const int32_t own = d - (ndim - v->ndim);

        out[d] = own < 0 || v->shape[own] == 1 ? 0 : dense[own];
    }
}

static tribus_status plan_binary(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *a = tribus_nn_input(n, 0, &st), *b, *y;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    tribus_nn_op op = TRIBUS_NN_ADD;
    tribus_nn_step *s;
    int32_t ndim;

    b = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    if (st == TRIBUS_OK && n->node->input_count != 2)
        st = tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "%u inputs; 2 are possible",
                             n->node->input_count);
    if (st != TRIBUS_OK)
        return st;
    for (size_t i = 0; i < sizeof(binary_ops) / sizeof(binary_ops[0]); i++)
        if (strcmp(binary_ops[i].name, n->node->op) == 0)
            op = binary_ops[i].op;
    ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    if (!tribus_nn_broadcast(a->shape, a->ndim, b->shape, b->ndim, shape))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "shapes that do not broadcast");
    y = tribus_nn_output(n, 0, ndim, shape, &st);
    if (y == NULL)
        return st;
    s = tribus_nn_spread(n->plan, TRIBUS_NN_KERNEL_BINARY, y->elements);
    if (s == NULL)
        return TRIBUS_NO_MEMORY;
    s->args.map = (tribus_nn_map){.a = tribus_nn_floats(a->at),
                                  .b = tribus_nn_floats(b->at),
                                  .y = tribus_nn_floats(y->at),
                                  .count = y->elements,
                                  .ndim = (uint32_t)ndim,
                                  .op = (uint32_t)op};
    for (int32_t d = 0; d < ndim; d++)
        s->args.map.shape[d] = (uint64_t)shape[d];
    tribus_nn_spread_strides(a, ndim, s->args.map.step_a);
    tribus_nn_spread_strides(b, ndim, s->args.map.step_b);
    tribus_nn_strides(y, s->args.map.step_y);
    return TRIBUS_OK;
}

tribus_nn_planner tribus_nn_element_planner(const char *op)
{
    for (size_t i = 0; i < sizeof(unary_ops) / sizeof(unary_ops[0]); i++)
        if (strcmp(unary_ops[i].name, op) == 0)
            return plan_unary;
    for (size_t i = 0; i < sizeof(binary_ops) / sizeof(binary_ops[0]); i++)
        if (strcmp(binary_ops[i].name, op) == 0)
            return plan_binary;
    return NULL;
}
