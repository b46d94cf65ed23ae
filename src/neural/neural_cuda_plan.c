/* neural_cuda_plan.c -- from a graph and the shapes of its inputs to a list of launches.
 *
 * Nodes are planned in the order of the file. A value is floats on the card or, for shapes
 * and axes, whole numbers on the host: whatever is computed from constants of whole numbers
 * is computed here. Nodes that only rename (Reshape, Squeeze ...) share their input's memory.
 *
 * Everything here comes from a file: each rank, axis and size is checked before it is used,
 * and every tensor is bounded, so that no product below overflows.
 */
#include "neural/neural_cuda.h"
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ELEMENTS ((uint64_t)1 << 32)
#define MOST_BYTES    ((uint64_t)32 << 30)
#define MOST_WHOLES   4096u

/* ---- the plan's pieces ---- */

tribus_status tribus_nn_fault(const tribus_nn_node *n, tribus_status st, const char *fmt,
                              ...)
{
    char text[300];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return tribus_error_set(st, "node %u %s \"%s\": %s", n->index, n->node->op,
                            n->node->name, text);
}

tribus_status tribus_nn_take(tribus_nn_plan *plan, uint64_t floats, tribus_cu_ptr *out)
{
    const tribus_cuda_context *c = plan->model->context;
    tribus_cu_ptr at = 0;
    tribus_status st;

    if (floats > MOST_ELEMENTS || plan->block_bytes + floats * 4 > MOST_BYTES)
        return tribus_error_set(TRIBUS_NO_MEMORY, "the model needs more than %llu GiB",
                                (unsigned long long)(MOST_BYTES >> 30));
    if (plan->block_count == plan->block_room) {
        const uint32_t room = plan->block_room == 0 ? 64 : 2 * plan->block_room;
        tribus_cu_ptr *more = realloc(plan->blocks, room * sizeof(*more));

        if (more == NULL)
            return tribus_error_set(TRIBUS_NO_MEMORY, "%u blocks", room);
        plan->blocks = more;
        plan->block_room = room;
    }
    st = tribus_cuda_context_check(c, c->cu->mem_alloc(&at, (size_t)floats * 4 + 16),
                                   "memory between operators");
    if (st != TRIBUS_OK)
        return st;
    plan->blocks[plan->block_count++] = at;
    plan->block_bytes += floats * 4;
    *out = at;
    return TRIBUS_OK;
}

tribus_nn_step *tribus_nn_launch(tribus_nn_plan *plan, uint32_t kernel, uint64_t blocks)
{
    tribus_nn_step *s;

    if (blocks == 0 || blocks > 0x7fffffffu) {
        (void)tribus_error_set(TRIBUS_UNSUPPORTED, "a launch of %llu blocks",
                               (unsigned long long)blocks);
        return NULL;
    }
    if (plan->step_count == plan->step_room) {
        const uint32_t room = plan->step_room == 0 ? 64 : 2 * plan->step_room;
        tribus_nn_step *more = realloc(plan->steps, room * sizeof(*more));

        if (more == NULL) {
            (void)tribus_error_set(TRIBUS_NO_MEMORY, "%u launches", room);
            return NULL;
        }
        plan->steps = more;
        plan->step_room = room;
    }
    s = &plan->steps[plan->step_count++];
    memset(s, 0, sizeof(*s));
    s->kernel = kernel;
    s->grid[0] = (uint32_t)blocks;
    s->grid[1] = s->grid[2] = 1;
    s->threads = TRIBUS_NN_THREADS;
    return s;
}

tribus_nn_step *tribus_nn_spread(tribus_nn_plan *plan, uint32_t kernel, uint64_t count)
{
    const uint64_t blocks = (count + TRIBUS_NN_THREADS - 1) / TRIBUS_NN_THREADS;

    return tribus_nn_launch(plan, kernel, blocks > 65536 ? 65536 : blocks);
}

/* ---- values ---- */

static bool set_shape(tribus_nn_value *v, int32_t ndim, const int64_t *shape)
{
    v->ndim = ndim;
    v->elements = 1;
    for (int32_t d = 0; d < ndim; d++) {
        if (shape[d] < 1 || v->elements > MOST_ELEMENTS / (uint64_t)shape[d])
            return false;
        v->shape[d] = shape[d];
        v->elements *= (uint64_t)shape[d];
    }
    return true;
}

static const tribus_nn_value *input_of(const tribus_nn_node *n, uint32_t i, bool whole,
                                       tribus_status *st)
{
    const uint32_t at = i < n->node->input_count ? n->node->inputs[i] : TRIBUS_ONNX_ABSENT;
    const tribus_nn_value *v;

    if (at == TRIBUS_ONNX_ABSENT)
        return NULL;
    v = &n->plan->values[at];
    if (!v->known || (v->at == 0) != whole) {
        *st = tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "input %u \"%s\" is not %s", i,
                              n->plan->model->graph->values[at].name,
                              whole ? "a constant of whole numbers" : "of floats");
        return NULL;
    }
    return v;
}

const tribus_nn_value *tribus_nn_optional(const tribus_nn_node *n, uint32_t i,
                                          tribus_status *st)
{
    return input_of(n, i, false, st);
}

const tribus_nn_value *tribus_nn_input(const tribus_nn_node *n, uint32_t i,
                                       tribus_status *st)
{
    const tribus_nn_value *v = input_of(n, i, false, st);

    if (v == NULL && *st == TRIBUS_OK)
        *st = tribus_nn_fault(n, TRIBUS_BAD_DATA, "input %u is missing", i);
    return v;
}

const tribus_nn_value *tribus_nn_wholes(const tribus_nn_node *n, uint32_t i,
                                        tribus_status *st)
{
    return input_of(n, i, true, st);
}

tribus_nn_value *tribus_nn_output(const tribus_nn_node *n, uint32_t i, int32_t ndim,
                                  const int64_t *shape, tribus_status *st)
{
    const uint32_t at =
        i < n->node->output_count ? n->node->outputs[i] : TRIBUS_ONNX_ABSENT;
    tribus_nn_value *v;

    if (*st != TRIBUS_OK || at == TRIBUS_ONNX_ABSENT)
        return NULL;
    v = &n->plan->values[at];
    if (ndim > TRIBUS_ONNX_MAX_DIMS || !set_shape(v, ndim, shape)) {
        *st = tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "output %u is empty or too large", i);
        return NULL;
    }
    if (v->at == 0) /* else it is bound: an output of the model */
        *st = tribus_nn_take(n->plan, v->elements, &v->at);
    v->known = *st == TRIBUS_OK;
    return v->known ? v : NULL;
}

/* Dense strides, in elements. */
static void strides_of(const tribus_nn_value *v, int64_t *strides)
{
    int64_t step = 1;

    for (int32_t d = v->ndim - 1; d >= 0; d--) {
        strides[d] = step;
        step *= v->shape[d];
    }
}

static tribus_status copy_dense(tribus_nn_plan *plan, const tribus_nn_value *from,
                                tribus_cu_ptr to)
{
    tribus_nn_step *s = tribus_nn_spread(plan, TRIBUS_NN_KERNEL_COPY, from->elements);

    if (s == NULL)
        return TRIBUS_NO_MEMORY;
    s->args.map = (tribus_nn_map){.a = tribus_nn_floats(from->at),
                                  .y = tribus_nn_floats(to),
                                  .count = from->elements,
                                  .ndim = 1};
    s->args.map.shape[0] = from->elements;
    s->args.map.step_a[0] = s->args.map.step_y[0] = 1;
    return TRIBUS_OK;
}

/* Output 0 is input 0 under another shape. */
static tribus_status rename_as(const tribus_nn_node *n, const tribus_nn_value *from,
                               int32_t ndim, const int64_t *shape)
{
    tribus_nn_value *v = &n->plan->values[n->node->outputs[0]], made;

    memset(&made, 0, sizeof(made));
    if (ndim > TRIBUS_ONNX_MAX_DIMS || !set_shape(&made, ndim, shape) ||
        made.elements != from->elements)
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "%llu elements do not fit the new shape",
                               (unsigned long long)from->elements);
    made.at = from->at;
    made.known = true;
    if (from->at == 0) {
        made.whole = calloc((size_t)from->elements + 1u, sizeof(*made.whole));
        if (made.whole == NULL)
            return tribus_nn_fault(n, TRIBUS_NO_MEMORY, "whole numbers");
        memcpy(made.whole, from->whole, (size_t)from->elements * sizeof(*made.whole));
    } else if (v->at != 0) {
        made.at = v->at;
        *v = made;
        return copy_dense(n->plan, from, made.at);
    }
    *v = made;
    return TRIBUS_OK;
}

/* Any value, floats or whole numbers. */
static const tribus_nn_value *either(const tribus_nn_node *n, uint32_t i, tribus_status *st)
{
    const uint32_t at = i < n->node->input_count ? n->node->inputs[i] : TRIBUS_ONNX_ABSENT;

    if (at == TRIBUS_ONNX_ABSENT || !n->plan->values[at].known) {
        *st = tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "input %u is missing", i);
        return NULL;
    }
    return &n->plan->values[at];
}

/* ---- element-wise ---- */

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
static bool broadcast(const int64_t *a, int32_t a_dims, const int64_t *b, int32_t b_dims,
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
static void spread_strides(const tribus_nn_value *v, int32_t ndim, int64_t *out)
{
    int64_t dense[TRIBUS_ONNX_MAX_DIMS];

    strides_of(v, dense);
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
    if (!broadcast(a->shape, a->ndim, b->shape, b->ndim, shape))
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
    spread_strides(a, ndim, s->args.map.step_a);
    spread_strides(b, ndim, s->args.map.step_b);
    strides_of(y, s->args.map.step_y);
    return TRIBUS_OK;
}

/* ---- products of matrices ---- */

static void gemm_grid(tribus_nn_step *s, const tribus_nn_gemm *g, uint64_t batch)
{
    s->grid[0] = (g->n + 63) / 64;
    s->grid[1] = (g->m + 63) / 64;
    s->grid[2] = (uint32_t)batch;
    s->args.gemm = *g;
}

static tribus_status gemm_limits(const tribus_nn_node *n, int64_t m, int64_t columns,
                                 int64_t k, uint64_t batch)
{
    if (m > 4194240 || columns > INT32_MAX / 2 || k > INT32_MAX / 2 || batch > 65535)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "a product of that size");
    return TRIBUS_OK;
}

static tribus_status plan_gemm(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *a = tribus_nn_input(n, 0, &st);
    const tribus_nn_value *b = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    const tribus_nn_value *c = st == TRIBUS_OK ? tribus_nn_optional(n, 2, &st) : NULL, *y;
    const bool ta = tribus_onnx_int(n->node, "transA", 0) != 0;
    const bool tb = tribus_onnx_int(n->node, "transB", 0) != 0;
    int64_t shape[2], wide[TRIBUS_ONNX_MAX_DIMS], step[TRIBUS_ONNX_MAX_DIMS];
    tribus_nn_gemm g;
    tribus_nn_step *s;

    if (st != TRIBUS_OK)
        return st;
    if (a->ndim != 2 || b->ndim != 2 || a->shape[ta ? 0 : 1] != b->shape[tb ? 1 : 0])
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "matrices that do not fit");
    shape[0] = a->shape[ta ? 1 : 0];
    shape[1] = b->shape[tb ? 0 : 1];
    st = gemm_limits(n, shape[0], shape[1], a->shape[ta ? 0 : 1], 1);
    if (st == TRIBUS_OK && c != NULL &&
        (c->ndim > 2 || !broadcast(shape, 2, c->shape, c->ndim, wide) ||
         wide[0] != shape[0] || wide[1] != shape[1]))
        st = tribus_nn_fault(n, TRIBUS_BAD_DATA, "C does not fit the product");
    y = tribus_nn_output(n, 0, 2, shape, &st);
    s = y != NULL ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_GEMM, 1) : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    memset(&g, 0, sizeof(g));
    g.a = tribus_nn_floats(a->at);
    g.b = tribus_nn_floats(b->at);
    g.y = tribus_nn_floats(y->at);
    g.m = (uint32_t)shape[0];
    g.n = (uint32_t)shape[1];
    g.k = (uint32_t)a->shape[ta ? 0 : 1];
    g.alpha = tribus_onnx_float(n->node, "alpha", 1.0f);
    g.beta = tribus_onnx_float(n->node, "beta", 1.0f);
    g.a_row = ta ? 1 : a->shape[1];
    g.a_column = ta ? a->shape[1] : 1;
    g.b_row = tb ? 1 : b->shape[1];
    g.b_column = tb ? b->shape[1] : 1;
    if (c != NULL) {
        g.c = tribus_nn_floats(c->at);
        spread_strides(c, 2, step);
        g.c_row = step[0];
        g.c_column = step[1];
    }
    gemm_grid(s, &g, 1);
    return TRIBUS_OK;
}

static tribus_status plan_matmul(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *in[2] = {tribus_nn_input(n, 0, &st), NULL}, *y;
    tribus_nn_value a, b;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS], step[2][TRIBUS_ONNX_MAX_DIMS];
    uint64_t batch = 1;
    tribus_nn_gemm g;
    tribus_nn_step *s;
    int32_t dims, kept;

    in[1] = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    if (st != TRIBUS_OK)
        return st;
    a = *in[0];
    b = *in[1];
    if (a.ndim < 1 || b.ndim < 1)
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "a number where a matrix is wanted");
    if (a.ndim == 1) { /* a row, whose dimension goes away again */
        a.shape[1] = a.shape[0];
        a.shape[0] = 1;
        a.ndim = 2;
    }
    if (b.ndim == 1) {
        b.shape[1] = 1;
        b.ndim = 2;
    }
    dims = (a.ndim > b.ndim ? a.ndim : b.ndim) - 2;
    if (a.shape[a.ndim - 1] != b.shape[b.ndim - 2] ||
        !broadcast(a.shape, a.ndim - 2, b.shape, b.ndim - 2, shape))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "matrices that do not fit");
    for (int32_t d = 0; d < dims; d++)
        batch *= (uint64_t)shape[d]; /* each divides a bounded product; checked below */
    shape[dims] = a.shape[a.ndim - 2];
    shape[dims + 1] = b.shape[b.ndim - 1];
    st = gemm_limits(n, shape[dims], shape[dims + 1], a.shape[a.ndim - 1], batch);
    memset(&g, 0, sizeof(g));
    g.m = (uint32_t)shape[dims];
    g.n = (uint32_t)shape[dims + 1];
    kept = dims;
    if (in[0]->ndim > 1)
        shape[kept++] = a.shape[a.ndim - 2];
    if (in[1]->ndim > 1)
        shape[kept++] = b.shape[b.ndim - 1];
    y = tribus_nn_output(n, 0, kept, shape, &st);
    s = y != NULL ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_GEMM, 1) : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    g.a = tribus_nn_floats(a.at);
    g.b = tribus_nn_floats(b.at);
    g.y = tribus_nn_floats(y->at);
    g.k = (uint32_t)a.shape[a.ndim - 1];
    g.alpha = 1.0f;
    g.a_row = a.shape[a.ndim - 1];
    g.b_row = b.shape[b.ndim - 1];
    g.a_column = g.b_column = 1;
    g.batch_dims = (uint32_t)dims;
    spread_strides(&a, dims + 2, step[0]);
    spread_strides(&b, dims + 2, step[1]);
    for (int32_t d = 0; d < dims; d++) {
        g.batch[d] = (uint64_t)shape[d];
        g.batch_a[d] = step[0][d];
        g.batch_b[d] = step[1][d];
    }
    gemm_grid(s, &g, batch);
    return TRIBUS_OK;
}

/* ---- rows ---- */

static bool axis_of(int64_t axis, int32_t ndim, int32_t *out)
{
    if (axis < -ndim || axis >= ndim)
        return false;
    *out = (int32_t)(axis < 0 ? axis + ndim : axis);
    return true;
}

static tribus_status plan_softmax(const tribus_nn_node *n)
{
    const bool old = n->plan->model->graph->opset < 13;
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    uint64_t size = 1, inner = 1;
    tribus_nn_step *s;
    int32_t axis = 0;

    if (st != TRIBUS_OK)
        return st;
    if (!axis_of(tribus_onnx_int(n->node, "axis", old ? 1 : -1), x->ndim, &axis))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "axis out of range");
    /* Before opset 13 it runs over the axis and everything behind it. */
    for (int32_t d = axis; d < x->ndim; d++)
        *(old || d == axis ? &size : &inner) *= (uint64_t)x->shape[d];
    y = tribus_nn_output(n, 0, x->ndim, x->shape, &st);
    s = y != NULL ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_SOFTMAX, x->elements / size)
                  : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    s->threads = size > 512 ? 256 : (size > 64 ? 128 : 32);
    s->args.rows = (tribus_nn_rows){.x = tribus_nn_floats(x->at),
                                    .y = tribus_nn_floats(y->at),
                                    .size = size,
                                    .inner = inner,
                                    .log = strcmp(n->node->op, "LogSoftmax") == 0};
    return TRIBUS_OK;
}

static tribus_status plan_layer_norm(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st);
    const tribus_nn_value *scale = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    const tribus_nn_value *bias = st == TRIBUS_OK ? tribus_nn_optional(n, 2, &st) : NULL,
                          *y;
    uint64_t size = 1;
    tribus_nn_step *s;
    int32_t axis = 0;

    if (st != TRIBUS_OK)
        return st;
    if (!axis_of(tribus_onnx_int(n->node, "axis", -1), x->ndim, &axis))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "axis out of range");
    for (int32_t d = axis; d < x->ndim; d++)
        size *= (uint64_t)x->shape[d];
    if (scale->elements != size || (bias != NULL && bias->elements != size))
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED,
                               "scale and bias do not have %llu elements",
                               (unsigned long long)size);
    if (n->node->output_count > 1)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "mean and deviation as outputs");
    y = tribus_nn_output(n, 0, x->ndim, x->shape, &st);
    s = y != NULL
            ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_LAYER_NORM, x->elements / size)
            : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    s->args.rows =
        (tribus_nn_rows){.x = tribus_nn_floats(x->at),
                         .scale = tribus_nn_floats(scale->at),
                         .bias = bias != NULL ? tribus_nn_floats(bias->at) : NULL,
                         .y = tribus_nn_floats(y->at),
                         .size = size,
                         .inner = 1,
                         .epsilon = tribus_onnx_float(n->node, "epsilon", 1e-5f)};
    return TRIBUS_OK;
}

/* Marks the axes an operator names, in input `at` or in the attribute "axes"; none: all or
 * none of them. */
static tribus_status axes_of(const tribus_nn_node *n, uint32_t at, int32_t ndim, bool all,
                             bool *marked)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(n->node, "axes");
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *v = tribus_nn_wholes(n, at, &st);
    const int64_t *list = v != NULL ? v->whole : NULL;
    uint64_t count = v != NULL ? v->elements : 0;

    if (st != TRIBUS_OK)
        return st;
    if (v == NULL && a != NULL && a->type == 7) {
        list = a->ints;
        count = a->count;
    }
    for (int32_t d = 0; d < ndim; d++)
        marked[d] = count == 0 && all;
    for (uint64_t i = 0; i < count; i++) {
        int32_t axis;

        if (!axis_of(list[i], ndim, &axis) || marked[axis])
            return tribus_nn_fault(n, TRIBUS_BAD_DATA, "axis %lld out of range or twice",
                                   (long long)list[i]);
        marked[axis] = true;
    }
    return TRIBUS_OK;
}

static tribus_status plan_reduce(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    const bool keep = tribus_onnx_int(n->node, "keepdims", 1) != 0;
    const bool nothing = tribus_onnx_int(n->node, "noop_with_empty_axes", 0) != 0;
    bool marked[TRIBUS_ONNX_MAX_DIMS];
    int64_t shape[TRIBUS_ONNX_MAX_DIMS], strides[TRIBUS_ONNX_MAX_DIMS];
    tribus_nn_reduce r;
    tribus_nn_step *s;
    int32_t ndim = 0;

    if (st == TRIBUS_OK)
        st = axes_of(n, 1, x->ndim, !nothing, marked);
    if (st != TRIBUS_OK)
        return st;
    memset(&r, 0, sizeof(r));
    r.count = 1;
    strides_of(x, strides);
    for (int32_t d = 0; d < x->ndim; d++) {
        if (marked[d]) {
            r.summed_shape[r.summed] = (uint64_t)x->shape[d];
            r.summed_step[r.summed++] = strides[d];
            r.count *= (uint64_t)x->shape[d];
        } else {
            r.kept_shape[r.kept] = (uint64_t)x->shape[d];
            r.kept_step[r.kept++] = strides[d];
        }
        if (!marked[d] || keep)
            shape[ndim++] = marked[d] ? 1 : x->shape[d];
    }
    y = tribus_nn_output(n, 0, ndim, shape, &st);
    s = y != NULL ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_REDUCE, y->elements) : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    s->threads = r.count > 512 ? 256 : (r.count > 64 ? 128 : 32);
    r.x = tribus_nn_floats(x->at);
    r.y = tribus_nn_floats(y->at);
    r.scale = strcmp(n->node->op, "ReduceMean") == 0 ? 1.0f / (float)r.count : 1.0f;
    s->args.reduce = r;
    return TRIBUS_OK;
}

/* ---- shapes ---- */

static tribus_status plan_reshape(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);
    const tribus_nn_value *want = st == TRIBUS_OK ? tribus_nn_wholes(n, 1, &st) : NULL;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    int32_t open = -1;
    uint64_t product = 1;

    if (st != TRIBUS_OK)
        return st;
    if (want == NULL || want->elements > TRIBUS_ONNX_MAX_DIMS)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "no constant shape");
    for (uint32_t d = 0; d < want->elements; d++) {
        shape[d] = want->whole[d];
        if (shape[d] == 0 && tribus_onnx_int(n->node, "allowzero", 0) == 0 &&
            d < (uint32_t)x->ndim)
            shape[d] = x->shape[d];
        if (shape[d] == -1 && open < 0) {
            open = (int32_t)d;
            continue;
        }
        if (shape[d] < 1 || product > MOST_ELEMENTS / (uint64_t)shape[d])
            return tribus_nn_fault(n, TRIBUS_BAD_DATA, "a size of %lld",
                                   (long long)shape[d]);
        product *= (uint64_t)shape[d];
    }
    if (open >= 0)
        shape[open] = (int64_t)(x->elements / product);
    return rename_as(n, x, (int32_t)want->elements, shape);
}

static tribus_status plan_flatten(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);
    int64_t axis = tribus_onnx_int(n->node, "axis", 1), shape[2] = {1, 1};

    if (st != TRIBUS_OK)
        return st;
    axis += axis < 0 ? x->ndim : 0;
    if (axis < 0 || axis > x->ndim)
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "axis out of range");
    for (int32_t d = 0; d < x->ndim; d++)
        shape[d < axis ? 0 : 1] *= x->shape[d];
    return rename_as(n, x, 2, shape);
}

static tribus_status plan_squeeze(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);
    bool marked[TRIBUS_ONNX_MAX_DIMS];
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    int32_t ndim = 0;

    if (st == TRIBUS_OK)
        st = axes_of(n, 1, x->ndim, true, marked);
    if (st != TRIBUS_OK)
        return st;
    for (int32_t d = 0; d < x->ndim; d++)
        if (!marked[d] || x->shape[d] != 1)
            shape[ndim++] = x->shape[d];
    return rename_as(n, x, ndim, shape);
}

static tribus_status plan_unsqueeze(const tribus_nn_node *n)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(n->node, "axes");
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);
    const tribus_nn_value *v = st == TRIBUS_OK ? tribus_nn_wholes(n, 1, &st) : NULL;
    const uint64_t extra = v != NULL ? v->elements : (a != NULL ? a->count : 0);
    bool marked[TRIBUS_ONNX_MAX_DIMS];
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    int32_t ndim, from = 0;

    if (st != TRIBUS_OK)
        return st;
    if (extra == 0 || extra + (uint64_t)x->ndim > TRIBUS_ONNX_MAX_DIMS)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "%llu new dimensions",
                               (unsigned long long)extra);
    ndim = x->ndim + (int32_t)extra;
    st = axes_of(n, 1, ndim, false, marked);
    if (st != TRIBUS_OK)
        return st;
    for (int32_t d = 0; d < ndim; d++)
        shape[d] = marked[d] ? 1 : x->shape[from++];
    return rename_as(n, x, ndim, shape);
}

static tribus_status plan_identity(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);

    return st != TRIBUS_OK ? st : rename_as(n, x, x->ndim, x->shape);
}

/* Known already: the model's constants were there before the first node. */
static tribus_status plan_constant(const tribus_nn_node *n)
{
    if (n->node->output_count < 1 || n->node->outputs[0] == TRIBUS_ONNX_ABSENT ||
        !n->plan->values[n->node->outputs[0]].known)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED,
                               "not a tensor of floats or whole numbers");
    return TRIBUS_OK;
}

static tribus_status plan_shape(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);
    tribus_nn_value *v = &n->plan->values[n->node->outputs[0]];
    int64_t size;

    if (st != TRIBUS_OK)
        return st;
    if (n->node->attribute_count > 0 || v->at != 0 || x->ndim < 1)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "part of a shape");
    size = x->ndim;
    (void)set_shape(v, 1, &size);
    v->whole = calloc(TRIBUS_ONNX_MAX_DIMS, sizeof(*v->whole));
    if (v->whole == NULL)
        return tribus_nn_fault(n, TRIBUS_NO_MEMORY, "whole numbers");
    memcpy(v->whole, x->shape, (size_t)size * sizeof(*v->whole));
    v->known = true;
    return TRIBUS_OK;
}

/* Copies with strides: y's element at d is x's at base + sum d * step. */
static tribus_status copy_strided(const tribus_nn_node *n, const tribus_nn_value *y,
                                  const float *from, const int64_t *step_from,
                                  const int64_t *shape, float *to)
{
    tribus_nn_step *s;
    uint64_t count = 1;

    for (int32_t d = 0; d < y->ndim; d++)
        count *= (uint64_t)shape[d];
    s = tribus_nn_spread(n->plan, TRIBUS_NN_KERNEL_COPY, count);
    if (s == NULL)
        return TRIBUS_NO_MEMORY;
    s->args.map =
        (tribus_nn_map){.a = from, .y = to, .count = count, .ndim = (uint32_t)y->ndim};
    strides_of(y, s->args.map.step_y);
    for (int32_t d = 0; d < y->ndim; d++) {
        s->args.map.shape[d] = (uint64_t)shape[d];
        s->args.map.step_a[d] = step_from[d];
    }
    return TRIBUS_OK;
}

static tribus_status plan_transpose(const tribus_nn_node *n)
{
    const tribus_onnx_attribute *perm = tribus_onnx_attribute_find(n->node, "perm");
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    int64_t strides[TRIBUS_ONNX_MAX_DIMS], shape[TRIBUS_ONNX_MAX_DIMS];
    int64_t step[TRIBUS_ONNX_MAX_DIMS];
    bool used[TRIBUS_ONNX_MAX_DIMS] = {false};

    if (st != TRIBUS_OK)
        return st;
    if (perm != NULL && (perm->type != 7 || perm->count != (uint32_t)x->ndim))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "perm does not fit");
    strides_of(x, strides);
    for (int32_t d = 0; d < x->ndim; d++) {
        const int64_t from = perm != NULL ? perm->ints[d] : x->ndim - 1 - d;

        if (from < 0 || from >= x->ndim || used[from])
            return tribus_nn_fault(n, TRIBUS_BAD_DATA, "perm is no permutation");
        used[from] = true;
        shape[d] = x->shape[from];
        step[d] = strides[from];
    }
    y = tribus_nn_output(n, 0, x->ndim, shape, &st);
    return y == NULL ? st
                     : copy_strided(n, y, tribus_nn_floats(x->at), step, shape,
                                    tribus_nn_floats(y->at));
}

static tribus_status plan_concat(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS], strides[TRIBUS_ONNX_MAX_DIMS], at = 0;
    int32_t axis = 0;

    if (st != TRIBUS_OK)
        return st;
    if (!axis_of(tribus_onnx_int(n->node, "axis", INT64_MAX), x->ndim, &axis))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "axis out of range");
    memcpy(shape, x->shape, sizeof(shape));
    for (uint32_t i = 1; i < n->node->input_count; i++) {
        const tribus_nn_value *v = tribus_nn_input(n, i, &st);

        if (st != TRIBUS_OK)
            return st;
        for (int32_t d = 0; d < x->ndim; d++)
            if (v->ndim != x->ndim || (d != axis && v->shape[d] != x->shape[d]))
                return tribus_nn_fault(n, TRIBUS_BAD_DATA, "input %u does not fit", i);
        shape[axis] += v->shape[axis];
    }
    y = tribus_nn_output(n, 0, x->ndim, shape, &st);
    for (uint32_t i = 0; y != NULL && st == TRIBUS_OK && i < n->node->input_count; i++) {
        const tribus_nn_value *v = tribus_nn_input(n, i, &st);
        int64_t dense[TRIBUS_ONNX_MAX_DIMS];

        strides_of(y, strides);
        strides_of(v, dense);
        st = copy_strided(n, y, tribus_nn_floats(v->at), dense, v->shape,
                          tribus_nn_floats(y->at) + at * strides[axis]);
        at += v->shape[axis];
    }
    return st;
}

/* The lists of Slice: inputs 1 to 4 since opset 10, attributes before. */
static tribus_status slice_list(const tribus_nn_node *n, uint32_t i, const char *name,
                                const int64_t **list, uint64_t *count)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(n->node, name);
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *v = tribus_nn_wholes(n, i, &st);

    *list = v != NULL ? v->whole : (a != NULL && a->type == 7 ? a->ints : NULL);
    *count = v != NULL ? v->elements : (*list != NULL ? a->count : 0);
    return st;
}

static int64_t clamp(int64_t x, int64_t least, int64_t most)
{
    return x < least ? least : (x > most ? most : x);
}

/* One axis of a slice: where it begins, how many there are. */
static int64_t slice_axis(int64_t start, int64_t end, int64_t step, int64_t size,
                          int64_t *begin)
{
    const bool back = step < 0;

    start = clamp(start < -size ? -size : start, -size, size);
    end = end < -size ? (back ? -1 - size : -size) : clamp(end, -size - 1, size);
    start += start < 0 ? size : 0;
    end += end < 0 ? size : 0;
    if (back && start > size - 1)
        start = size - 1;
    *begin = start;
    return back ? (start - end - step - 1) / -step : (end - start + step - 1) / step;
}

static tribus_status plan_slice(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    const int64_t *list[4] = {NULL, NULL, NULL, NULL};
    static const char *const names[] = {"starts", "ends", "axes", "steps"};
    uint64_t count[4];
    int64_t shape[TRIBUS_ONNX_MAX_DIMS], step[TRIBUS_ONNX_MAX_DIMS], offset = 0;
    bool used[TRIBUS_ONNX_MAX_DIMS] = {false};

    for (uint32_t i = 0; i < 4 && st == TRIBUS_OK; i++)
        st = slice_list(n, i + 1, names[i], &list[i], &count[i]);
    if (st != TRIBUS_OK)
        return st;
    if (list[0] == NULL || list[1] == NULL || count[0] != count[1] ||
        (list[2] != NULL && count[2] != count[0]) ||
        (list[3] != NULL && count[3] != count[0]) || count[0] > (uint64_t)x->ndim)
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "starts, ends, axes, steps do not fit");
    strides_of(x, step);
    memcpy(shape, x->shape, sizeof(shape));
    for (uint64_t i = 0; i < count[0]; i++) {
        const int64_t by = list[3] != NULL ? list[3][i] : 1;
        int64_t begin;
        int32_t axis = 0;

        if (!axis_of(list[2] != NULL ? list[2][i] : (int64_t)i, x->ndim, &axis) ||
            used[axis] || by == 0 || by < -(int64_t)MOST_ELEMENTS ||
            by > (int64_t)MOST_ELEMENTS)
            return tribus_nn_fault(n, TRIBUS_BAD_DATA, "axis or step out of range");
        used[axis] = true;
        shape[axis] = slice_axis(list[0][i], list[1][i], by, x->shape[axis], &begin);
        offset += begin * step[axis];
        step[axis] *= by;
    }
    y = tribus_nn_output(n, 0, x->ndim, shape, &st);
    return y == NULL ? st
                     : copy_strided(n, y, tribus_nn_floats(x->at) + offset, step, shape,
                                    tribus_nn_floats(y->at));
}

/* ---- the table of operators ---- */

static const struct {
    const char *op;
    tribus_nn_planner plan;
} planners[] = {{"Gemm", plan_gemm},
                {"MatMul", plan_matmul},
                {"Softmax", plan_softmax},
                {"LogSoftmax", plan_softmax},
                {"LayerNormalization", plan_layer_norm},
                {"ReduceMean", plan_reduce},
                {"ReduceSum", plan_reduce},
                {"Conv", tribus_nn_plan_conv},
                {"LSTM", tribus_nn_plan_recurrent},
                {"GRU", tribus_nn_plan_recurrent},
                {"Reshape", plan_reshape},
                {"Flatten", plan_flatten},
                {"Squeeze", plan_squeeze},
                {"Unsqueeze", plan_unsqueeze},
                {"Identity", plan_identity},
                {"Dropout", plan_identity}, /* which does nothing but in training */
                {"Constant", plan_constant},
                {"Shape", plan_shape},
                {"Transpose", plan_transpose},
                {"Concat", plan_concat},
                {"Slice", plan_slice}};

static tribus_nn_planner planner_of(const tribus_onnx_node *node)
{
    for (size_t i = 0; i < sizeof(planners) / sizeof(planners[0]); i++)
        if (strcmp(planners[i].op, node->op) == 0)
            return planners[i].plan;
    for (size_t i = 0; i < sizeof(unary_ops) / sizeof(unary_ops[0]); i++)
        if (strcmp(unary_ops[i].name, node->op) == 0)
            return plan_unary;
    for (size_t i = 0; i < sizeof(binary_ops) / sizeof(binary_ops[0]); i++)
        if (strcmp(binary_ops[i].name, node->op) == 0)
            return plan_binary;
    return NULL;
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

    if (!set_shape(v, t->ndim, t->shape) ||
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

        if (!set_shape(v, inputs[i].ndim, inputs[i].shape))
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
    return v->at == at ? TRIBUS_OK : copy_dense(plan, v, at);
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
