/* neural_cuda_plan.h -- for the files that plan operators: what a planner gets, what it may
 * append to the plan, and the planners themselves. */
#ifndef TRIBUS_NEURAL_CUDA_PLAN_H
#define TRIBUS_NEURAL_CUDA_PLAN_H

#include "neural/neural_cuda.h"

typedef struct tribus_nn_node {
    tribus_nn_plan *plan;
    const tribus_onnx_node *node;
    uint32_t index;
} tribus_nn_node;

typedef tribus_status (*tribus_nn_planner)(const tribus_nn_node *n);

/* A fault of this node: "node 3 Gemm "x": ...". */
tribus_status tribus_nn_fault(const tribus_nn_node *n, tribus_status st, const char *fmt,
                              ...) TRIBUS_PRINTF(3, 4);

/* Input i as floats on the card, as whole numbers, or NULL when it is left out. On a fault
 * *st is set. */
const tribus_nn_value *tribus_nn_input(const tribus_nn_node *n, uint32_t i,
                                       tribus_status *st);
const tribus_nn_value *tribus_nn_optional(const tribus_nn_node *n, uint32_t i,
                                          tribus_status *st);
const tribus_nn_value *tribus_nn_wholes(const tribus_nn_node *n, uint32_t i,
                                        tribus_status *st);

/* Give output i a shape and memory (a bound tensor's where it is an output of the model).
 * NULL, with *st TRIBUS_OK, when the node leaves it out. */
tribus_nn_value *tribus_nn_output(const tribus_nn_node *n, uint32_t i, int32_t ndim,
                                  const int64_t *shape, tribus_status *st);

/* Memory for something between. */
TRIBUS_MUST_CHECK tribus_status tribus_nn_take(tribus_nn_plan *plan, uint64_t floats,
                                               tribus_cu_ptr *out);

/* Append a launch; fill its arguments at once. NULL: no memory. */
tribus_nn_step *tribus_nn_launch(tribus_nn_plan *plan, uint32_t kernel, uint64_t blocks);

/* Append an element-wise launch over count elements. */
tribus_nn_step *tribus_nn_spread(tribus_nn_plan *plan, uint32_t kernel, uint64_t count);

static inline float *tribus_nn_floats(tribus_cu_ptr at)
{
    return (float *)(uintptr_t)at;
}

/* Append a copy of a dense value. */
TRIBUS_MUST_CHECK tribus_status tribus_nn_copy_dense(tribus_nn_plan *plan,
                                                     const tribus_nn_value *from,
                                                     tribus_cu_ptr to);

/* ---- shapes ---- */

#define TRIBUS_NN_MOST_ELEMENTS ((uint64_t)1 << 32)

/* False: empty, or larger than MOST_ELEMENTS. */
bool tribus_nn_set_shape(tribus_nn_value *v, int32_t ndim, const int64_t *shape);

/* Dense strides, in elements. */
void tribus_nn_strides(const tribus_nn_value *v, int64_t *strides);

/* Shape of a and b broadcast against each other, as numpy does; false: they do not fit. */
bool tribus_nn_broadcast(const int64_t *a, int32_t a_dims, const int64_t *b, int32_t b_dims,
                         int64_t *out);

/* Strides of v seen under a broadcast shape of ndim dimensions: 0 where it repeats. */
void tribus_nn_spread_strides(const tribus_nn_value *v, int32_t ndim, int64_t *out);

/* An axis that may count from behind; false: out of range. */
bool tribus_nn_axis(int64_t axis, int32_t ndim, int32_t *out);

/* Marks the axes an operator names, in input `at` or in the attribute "axes"; none: all or
 * none of them. */
TRIBUS_MUST_CHECK tribus_status tribus_nn_axes(const tribus_nn_node *n, uint32_t at,
                                               int32_t ndim, bool all, bool *marked);

/* ---- one planner an operator; the table in neural_cuda_plan.c names them ---- */

tribus_status tribus_nn_plan_gemm(const tribus_nn_node *n);
tribus_status tribus_nn_plan_matmul(const tribus_nn_node *n);
tribus_status tribus_nn_plan_softmax(const tribus_nn_node *n);
tribus_status tribus_nn_plan_layer_norm(const tribus_nn_node *n);
tribus_status tribus_nn_plan_reduce(const tribus_nn_node *n);
tribus_status tribus_nn_plan_recurrent(const tribus_nn_node *n);
tribus_status tribus_nn_plan_conv(const tribus_nn_node *n);
tribus_status tribus_nn_plan_reshape(const tribus_nn_node *n);
tribus_status tribus_nn_plan_flatten(const tribus_nn_node *n);
tribus_status tribus_nn_plan_squeeze(const tribus_nn_node *n);
tribus_status tribus_nn_plan_unsqueeze(const tribus_nn_node *n);
tribus_status tribus_nn_plan_identity(const tribus_nn_node *n);
tribus_status tribus_nn_plan_constant(const tribus_nn_node *n);
tribus_status tribus_nn_plan_shape(const tribus_nn_node *n);
tribus_status tribus_nn_plan_transpose(const tribus_nn_node *n);
tribus_status tribus_nn_plan_concat(const tribus_nn_node *n);
tribus_status tribus_nn_plan_slice(const tribus_nn_node *n);

/* That of an element-wise operator, or NULL. */
tribus_nn_planner tribus_nn_element_planner(const char *op);

#endif
