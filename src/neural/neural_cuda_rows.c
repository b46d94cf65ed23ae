/* neural_cuda_rows.c -- plans of what sums over axes: softmax, layer norm, means and sums. */
#include "neural/neural_cuda_plan.h"

#include <string.h>

bool tribus_nn_axis(int64_t axis, int32_t ndim, int32_t *out)
{
    if (axis < -ndim || axis >= ndim)
        return false;
    *out = (int32_t)(axis < 0 ? axis + ndim : axis);
    return true;
}

tribus_status tribus_nn_plan_softmax(const tribus_nn_node *n)
{
    const bool old = n->plan->model->graph->opset < 13;
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    uint64_t size = 1, inner = 1;
    tribus_nn_step *s;
    int32_t axis = 0;

    if (st != TRIBUS_OK)
        return st;
    if (!tribus_nn_axis(tribus_onnx_int(n->node, "axis", old ? 1 : -1), x->ndim, &axis))
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

tribus_status tribus_nn_plan_layer_norm(const tribus_nn_node *n)
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
    if (!tribus_nn_axis(tribus_onnx_int(n->node, "axis", -1), x->ndim, &axis))
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
tribus_status tribus_nn_axes(const tribus_nn_node *n, uint32_t at, int32_t ndim, bool all,
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

        if (!tribus_nn_axis(list[i], ndim, &axis) || marked[axis])
            return tribus_nn_fault(n, TRIBUS_BAD_DATA, "axis %lld out of range or twice",
                                   (long long)list[i]);
        marked[axis] = true;
    }
    return TRIBUS_OK;
}

tribus_status tribus_nn_plan_reduce(const tribus_nn_node *n)
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
        st = tribus_nn_axes(n, 1, x->ndim, !nothing, marked);
    if (st != TRIBUS_OK)
        return st;
    memset(&r, 0, sizeof(r));
    r.count = 1;
    tribus_nn_strides(x, strides);
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
