/* neural_cuda_value.c -- a plan's pieces: faults, memory, launches, and the values of the graph.
 *
 * Every tensor is bounded here, so that no product of sizes in the planners overflows.
 */
#include "neural/neural_cuda_plan.h"
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((uint64_t)32 << 30)

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

    if (floats > TRIBUS_NN_MOST_ELEMENTS || plan->block_bytes + floats * 4 > MOST_BYTES)
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

bool tribus_nn_set_shape(tribus_nn_value *v, int32_t ndim, const int64_t *shape)
{
    v->ndim = ndim;
    v->elements = 1;
    for (int32_t d = 0; d < ndim; d++) {
        if (shape[d] < 1 || v->elements > TRIBUS_NN_MOST_ELEMENTS / (uint64_t)shape[d])
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
    if (ndim > TRIBUS_ONNX_MAX_DIMS || !tribus_nn_set_shape(v, ndim, shape)) {
        *st = tribus_nn_fault(n, TRIBUS_UNSUPPORTED, "output %u is empty or too large", i);
        return NULL;
    }
    if (v->at == 0) /* else it is bound: an output of the model */
        *st = tribus_nn_take(n->plan, v->elements, &v->at);
    v->known = *st == TRIBUS_OK;
    return v->known ? v : NULL;
}

/* Dense strides, in elements. */
void tribus_nn_strides(const tribus_nn_value *v, int64_t *strides)
{
    int64_t step = 1;

    for (int32_t d = v->ndim - 1; d >= 0; d--) {
        strides[d] = step;
        step *= v->shape[d];
    }
}

tribus_status tribus_nn_copy_dense(tribus_nn_plan *plan, const tribus_nn_value *from,
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
