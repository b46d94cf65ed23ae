/* neural_cuda_shape.c -- plans of what moves no number: Reshape, Squeeze, Identity ...
 *
 * The output shares its input's memory, unless it is bound to the caller's.
 */
#include "neural/neural_cuda_plan.h"

#include <stdlib.h>
#include <string.h>

/* Output 0 is input 0 under another shape. */
static tribus_status rename_as(const tribus_nn_node *n, const tribus_nn_value *from,
                               int32_t ndim, const int64_t *shape)
{
    tribus_nn_value *v = &n->plan->values[n->node->outputs[0]], made;

    memset(&made, 0, sizeof(made));
    if (ndim > TRIBUS_ONNX_MAX_DIMS || !tribus_nn_set_shape(&made, ndim, shape) ||
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
        return tribus_nn_copy_dense(n->plan, from, made.at);
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

tribus_status tribus_nn_plan_reshape(const tribus_nn_node *n)
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
        if (shape[d] < 1 || product > TRIBUS_NN_MOST_ELEMENTS / (uint64_t)shape[d])
            return tribus_nn_fault(n, TRIBUS_BAD_DATA, "a size of %lld",
                                   (long long)shape[d]);
        product *= (uint64_t)shape[d];
    }
    if (open >= 0)
        shape[open] = (int64_t)(x->elements / product);
    return rename_as(n, x, (int32_t)want->elements, shape);
}

tribus_status tribus_nn_plan_flatten(const tribus_nn_node *n)
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

tribus_status tribus_nn_plan_squeeze(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);
    bool marked[TRIBUS_ONNX_MAX_DIMS];
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    int32_t ndim = 0;

    if (st == TRIBUS_OK)
        st = tribus_nn_axes(n, 1, x->ndim, true, marked);
    if (st != TRIBUS_OK)
        return st;
    for (int32_t d = 0; d < x->ndim; d++)
        if (!marked[d] || x->shape[d] != 1)
            shape[ndim++] = x->shape[d];
    return rename_as(n, x, ndim, shape);
}

tribus_status tribus_nn_plan_unsqueeze(const tribus_nn_node *n)
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
    st = tribus_nn_axes(n, 1, ndim, false, marked);
    if (st != TRIBUS_OK)
        return st;
    for (int32_t d = 0; d < ndim; d++)
        shape[d] = marked[d] ? 1 : x->shape[from++];
    return rename_as(n, x, ndim, shape);
}

tribus_status tribus_nn_plan_identity(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = either(n, 0, &st);

    return st != TRIBUS_OK ? st : rename_as(n, x, x->ndim, x->shape);
}

/* Known already: the model's constants were there before the first node. */
tribus_status tribus_nn_plan_constant(const tribus_nn_node *n)
{
    if (n->node->output_count < 1 || n->node->outputs[0] == TRIBUS_ONNX_ABSENT ||
        !n->plan->values[n->node->outputs[0]].known)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED,
                               "not a tensor of floats or whole numbers");
    return TRIBUS_OK;
}

tribus_status tribus_nn_plan_shape(const tribus_nn_node *n)
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
    (void)tribus_nn_set_shape(v, 1, &size);
    v->whole = calloc(TRIBUS_ONNX_MAX_DIMS, sizeof(*v->whole));
    if (v->whole == NULL)
        return tribus_nn_fault(n, TRIBUS_NO_MEMORY, "whole numbers");
    memcpy(v->whole, x->shape, (size_t)size * sizeof(*v->whole));
    v->known = true;
    return TRIBUS_OK;
}
