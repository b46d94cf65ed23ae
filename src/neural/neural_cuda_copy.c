/* neural_cuda_copy.c -- plans of copies with strides: Transpose, Concat, Slice. */
#include "neural/neural_cuda_plan.h"

#include <string.h>

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
    tribus_nn_strides(y, s->args.map.step_y);
    for (int32_t d = 0; d < y->ndim; d++) {
        s->args.map.shape[d] = (uint64_t)shape[d];
        s->args.map.step_a[d] = step_from[d];
    }
    return TRIBUS_OK;
}

tribus_status tribus_nn_plan_transpose(const tribus_nn_node *n)
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
    tribus_nn_strides(x, strides);
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

tribus_status tribus_nn_plan_concat(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st), *y;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS], strides[TRIBUS_ONNX_MAX_DIMS], at = 0;
    int32_t axis = 0;

    if (st != TRIBUS_OK)
        return st;
    if (!tribus_nn_axis(tribus_onnx_int(n->node, "axis", INT64_MAX), x->ndim, &axis))
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

        tribus_nn_strides(y, strides);
        tribus_nn_strides(v, dense);
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

tribus_status tribus_nn_plan_slice(const tribus_nn_node *n)
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
    tribus_nn_strides(x, step);
    memcpy(shape, x->shape, sizeof(shape));
    for (uint64_t i = 0; i < count[0]; i++) {
        const int64_t by = list[3] != NULL ? list[3][i] : 1;
        int64_t begin;
        int32_t axis = 0;

        if (!tribus_nn_axis(list[2] != NULL ? list[2][i] : (int64_t)i, x->ndim, &axis) ||
            used[axis] || by == 0 || by < -(int64_t)TRIBUS_NN_MOST_ELEMENTS ||
            by > (int64_t)TRIBUS_NN_MOST_ELEMENTS)
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
