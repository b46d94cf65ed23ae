/* neural_cuda_layers.c -- plans of recurrent layers and convolutions. */
#include "neural/neural_cuda_plan.h"

#include <string.h>

/* ---- LSTM and GRU ---- */

typedef struct layer {
    const tribus_nn_value *x, *w, *r, *bias, *h0, *c0;
    tribus_nn_value *y, *y_h, *y_c;
    int64_t directions, units, gates, steps, batch, inputs;
} layer;

/* The activations that ONNX takes when none are named. */
static bool usual_activations(const tribus_onnx_node *node, bool lstm)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, "activations");
    const uint32_t each = lstm ? 3 : 2;

    for (uint32_t i = 0; a != NULL && i < a->count && a->type == 8; i++)
        if (strcmp(a->strings[i], i % each == 0 ? "Sigmoid" : "Tanh") != 0)
            return false;
    return true;
}

static tribus_status read_layer(const tribus_nn_node *n, bool lstm, layer *l)
{
    const tribus_onnx_node *node = n->node;
    const char *direction = tribus_onnx_string(node, "direction", "forward");
    tribus_status st = TRIBUS_OK;

    memset(l, 0, sizeof(*l));
    l->x = tribus_nn_input(n, 0, &st);
    l->w = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    l->r = st == TRIBUS_OK ? tribus_nn_input(n, 2, &st) : NULL;
    l->bias = st == TRIBUS_OK ? tribus_nn_optional(n, 3, &st) : NULL;
    l->h0 = st == TRIBUS_OK ? tribus_nn_optional(n, 5, &st) : NULL;
    l->c0 = st == TRIBUS_OK && lstm ? tribus_nn_optional(n, 6, &st) : NULL;
    if (st != TRIBUS_OK)
        return st;
    l->directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    l->gates = lstm ? 4 : 3;
    if ((node->input_count > 4 && node->inputs[4] != TRIBUS_ONNX_ABSENT) ||
        (node->input_count > 7 && node->inputs[7] != TRIBUS_ONNX_ABSENT) ||
        tribus_onnx_int(node, "layout", 0) != 0 ||
        tribus_onnx_int(node, "input_forget", 0) != 0 ||
        tribus_onnx_attribute_find(node, "clip") != NULL || !usual_activations(node, lstm))
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED,
                               "sequence lengths, peepholes, clip, other activations or "
                               "layout 1");
    if (l->x->ndim != 3 || l->w->ndim != 3 || l->r->ndim != 3)
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "X, W and R have three dimensions");
    l->steps = l->x->shape[0];
    l->batch = l->x->shape[1];
    l->inputs = l->x->shape[2];
    l->units = l->r->shape[2];
    if (l->units > TRIBUS_NN_MOST_UNITS || l->batch > 65535)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "%lld units; %d are possible",
                               (long long)l->units, TRIBUS_NN_MOST_UNITS);
    if (l->w->shape[0] != l->directions || l->r->shape[0] != l->directions ||
        l->w->shape[1] != l->gates * l->units || l->r->shape[1] != l->gates * l->units ||
        l->w->shape[2] != l->inputs ||
        (l->bias != NULL &&
         l->bias->elements != (uint64_t)(l->directions * 2 * l->gates * l->units)) ||
        (l->h0 != NULL &&
         l->h0->elements != (uint64_t)(l->directions * l->batch * l->units)) ||
        (l->c0 != NULL &&
         l->c0->elements != (uint64_t)(l->directions * l->batch * l->units)))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "weights that do not fit");
    return TRIBUS_OK;
}

/* x W' of one direction for every step at once. */
static tribus_status plan_gates(const tribus_nn_node *n, const layer *l, int64_t direction,
                                tribus_cu_ptr *gates)
{
    const int64_t rows = l->steps * l->batch, columns = l->gates * l->units;
    tribus_nn_step *s;
    tribus_status st;

    if (rows > 4194240)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "%lld steps of all sequences",
                               (long long)rows);
    st = tribus_nn_take(n->plan, (uint64_t)(rows * columns), gates);
    s = st == TRIBUS_OK ? tribus_nn_launch(n->plan, TRIBUS_NN_KERNEL_GEMM, 1) : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    s->grid[0] = (uint32_t)((columns + 63) / 64);
    s->grid[1] = (uint32_t)((rows + 63) / 64);
    s->args.gemm =
        (tribus_nn_gemm){.a = tribus_nn_floats(l->x->at),
                         .b = tribus_nn_floats(l->w->at) + direction * columns * l->inputs,
                         .y = tribus_nn_floats(*gates),
                         .m = (uint32_t)rows,
                         .n = (uint32_t)columns,
                         .k = (uint32_t)l->inputs,
                         .alpha = 1.0f,
                         .a_row = l->inputs,
                         .a_column = 1,
                         .b_row = 1,
                         .b_column = l->inputs};
    return TRIBUS_OK;
}

static float *part(const tribus_nn_value *v, int64_t at)
{
    return v == NULL ? NULL : tribus_nn_floats(v->at) + at;
}

static tribus_status plan_direction(const tribus_nn_node *n, const layer *l, bool lstm,
                                    int64_t direction, bool reverse)
{
    const int64_t state = direction * l->batch * l->units;
    tribus_cu_ptr gates = 0;
    tribus_nn_step *s;
    tribus_status st = plan_gates(n, l, direction, &gates);

    if (st != TRIBUS_OK)
        return st;
    s = tribus_nn_launch(n->plan, lstm ? TRIBUS_NN_KERNEL_LSTM : TRIBUS_NN_KERNEL_GRU,
                         (uint64_t)l->batch);
    if (s == NULL)
        return TRIBUS_NO_MEMORY;
    s->threads = l->units >= 128 ? 1024 : 256;
    s->shared_bytes = (uint32_t)(6 * l->units) * 4u;
    s->args.recurrent = (tribus_nn_recurrent){
        .gates = tribus_nn_floats(gates),
        .r = part(l->r, direction * l->gates * l->units * l->units),
        .bias = part(l->bias, direction * 2 * l->gates * l->units),
        .h0 = part(l->h0, state),
        .c0 = part(l->c0, state),
        .y = part(l->y, state),
        .y_h = part(l->y_h, state),
        .y_c = part(l->y_c, state),
        .steps = (uint32_t)l->steps,
        .batch = (uint32_t)l->batch,
        .units = (uint32_t)l->units,
        .reverse = reverse ? 1 : 0,
        .linear_before_reset =
            tribus_onnx_int(n->node, "linear_before_reset", 0) != 0 ? 1 : 0,
        .y_step = (uint32_t)(l->directions * l->batch * l->units),
        .y_batch = (uint32_t)l->units};
    return TRIBUS_OK;
}

tribus_status tribus_nn_plan_recurrent(const tribus_nn_node *n)
{
    const bool lstm = strcmp(n->node->op, "LSTM") == 0;
    const bool back =
        strcmp(tribus_onnx_string(n->node, "direction", "forward"), "reverse") == 0;
    layer l;
    tribus_status st = read_layer(n, lstm, &l);
    int64_t shape[4];

    if (st != TRIBUS_OK)
        return st;
    shape[0] = l.steps;
    shape[1] = l.directions;
    shape[2] = l.batch;
    shape[3] = l.units;
    if (l.directions * l.batch * l.units > UINT32_MAX)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "a batch of that size");
    l.y = tribus_nn_output(n, 0, 4, shape, &st);
    l.y_h = tribus_nn_output(n, 1, 3, shape + 1, &st);
    l.y_c = lstm ? tribus_nn_output(n, 2, 3, shape + 1, &st) : NULL;
    for (int64_t d = 0; d < l.directions && st == TRIBUS_OK; d++)
        st = plan_direction(n, &l, lstm, d, back || d == 1);
    return st;
}

/* ---- convolution ---- */

/* Entry i of a list of the node, or the fallback. */
static int64_t listed(const tribus_onnx_node *node, const char *name, uint32_t i,
                      int64_t fallback)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, name);

    return a != NULL && a->type == 7 && i < a->count ? a->ints[i] : fallback;
}

/* One spatial dimension: padding before, and the size that comes out; -1: out of range. */
static int64_t out_size(const tribus_onnx_node *node, uint32_t i, uint32_t dims,
                        const int64_t *size, int64_t *pad)
{
    const char *mode = tribus_onnx_string(node, "auto_pad", "NOTSET");
    const int64_t stride = listed(node, "strides", i, 1);
    const int64_t dilation = listed(node, "dilations", i, 1);
    int64_t before = listed(node, "pads", i, 0), behind = listed(node, "pads", i + dims, 0);
    int64_t reach;

    if (stride < 1 || stride > 65536 || dilation < 1 || dilation > 65536 || before < 0 ||
        behind < 0 || before > 65536 || behind > 65536 || size[1] > 65536 ||
        size[0] > INT32_MAX / 2)
        return -1;
    reach = (size[1] - 1) * dilation + 1;
    if (strncmp(mode, "SAME", 4) == 0) {
        const int64_t wanted = (size[0] + stride - 1) / stride;
        const int64_t pads = (wanted - 1) * stride + reach - size[0];

        before =
            pads > 0 ? (strcmp(mode, "SAME_UPPER") == 0 ? pads / 2 : (pads + 1) / 2) : 0;
        *pad = before;
        return wanted;
    }
    if (strcmp(mode, "VALID") == 0)
        before = behind = 0;
    *pad = before;
    if (size[0] + before + behind < reach)
        return -1;
    return (size[0] + before + behind - reach) / stride + 1;
}

tribus_status tribus_nn_plan_conv(const tribus_nn_node *n)
{
    tribus_status st = TRIBUS_OK;
    const tribus_nn_value *x = tribus_nn_input(n, 0, &st);
    const tribus_nn_value *w = st == TRIBUS_OK ? tribus_nn_input(n, 1, &st) : NULL;
    const tribus_nn_value *bias = st == TRIBUS_OK ? tribus_nn_optional(n, 2, &st) : NULL,
                          *y;
    const int64_t group = tribus_onnx_int(n->node, "group", 1);
    int64_t shape[4], pad[2] = {0, 0}, height[2] = {1, 1}, width[2];
    tribus_nn_step *s;
    uint32_t dims;

    if (st != TRIBUS_OK)
        return st;
    dims = (uint32_t)x->ndim - 2u;
    if (x->ndim < 3 || x->ndim > 4 || w->ndim != x->ndim)
        return tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "%d dimensions; 3 or 4 are possible",
                               x->ndim);
    if (group < 1 || group > x->shape[1] || x->shape[1] % group != 0 ||
        w->shape[0] % group != 0 || w->shape[1] != x->shape[1] / group ||
        x->shape[0] > INT32_MAX || x->shape[1] > INT32_MAX || w->shape[0] > INT32_MAX ||
        (bias != NULL && bias->elements != (uint64_t)w->shape[0]))
        return tribus_nn_fault(n, TRIBUS_BAD_DATA, "weights that do not fit");
    shape[0] = x->shape[0];
    shape[1] = w->shape[0];
    for (uint32_t i = 0; i < dims; i++) {
        const int64_t size[2] = {x->shape[2 + i], w->shape[2 + i]};

        shape[2 + i] = out_size(n->node, i, dims, size, &pad[i]);
        if (shape[2 + i] < 1)
            return tribus_nn_fault(n, TRIBUS_BAD_DATA, "nothing is left of dimension %u",
                                   2 + i);
    }
    y = tribus_nn_output(n, 0, x->ndim, shape, &st);
    s = y != NULL ? tribus_nn_spread(n->plan, TRIBUS_NN_KERNEL_CONV, y->elements) : NULL;
    if (s == NULL)
        return st != TRIBUS_OK ? st : TRIBUS_NO_MEMORY;
    width[0] = x->shape[1 + dims];
    width[1] = w->shape[1 + dims];
    if (dims == 2) {
        height[0] = x->shape[2];
        height[1] = w->shape[2];
    }
    s->args.conv = (tribus_nn_conv){
        .x = tribus_nn_floats(x->at),
        .w = tribus_nn_floats(w->at),
        .bias = bias != NULL ? tribus_nn_floats(bias->at) : NULL,
        .y = tribus_nn_floats(y->at),
        .batch = (uint32_t)x->shape[0],
        .channels = (uint32_t)x->shape[1],
        .height = (uint32_t)height[0],
        .width = (uint32_t)width[0],
        .filters = (uint32_t)w->shape[0],
        .out_height = dims == 2 ? (uint32_t)shape[2] : 1,
        .out_width = (uint32_t)shape[1 + dims],
        .kernel_height = (uint32_t)height[1],
        .kernel_width = (uint32_t)width[1],
        .group = (uint32_t)group,
        .stride_y = dims == 2 ? (int32_t)listed(n->node, "strides", 0, 1) : 1,
        .stride_x = (int32_t)listed(n->node, "strides", dims - 1, 1),
        .pad_y = dims == 2 ? (int32_t)pad[0] : 0,
        .pad_x = (int32_t)pad[dims - 1],
        .dilation_y = dims == 2 ? (int32_t)listed(n->node, "dilations", 0, 1) : 1,
        .dilation_x = (int32_t)listed(n->node, "dilations", dims - 1, 1)};
    return TRIBUS_OK;
}
