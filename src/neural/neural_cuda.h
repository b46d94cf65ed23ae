/* neural_cuda.h -- a model on a card: what neural_cuda.c and the planners share.
 *
 * A model is its graph, its constants on the card and the kernels. A binding is a plan: a list
 * of launches with every address in them, captured once as a CUDA graph.
 */
#ifndef TRIBUS_NEURAL_NEURAL_CUDA_H
#define TRIBUS_NEURAL_NEURAL_CUDA_H

#include "device/cuda_context.h"
#include "neural/model.h"
#include "neural/neural_cuda_kernels.h"
#include "neural/onnx_graph.h"

enum { /* kernels, in the order of their names in neural_cuda.c */
       TRIBUS_NN_KERNEL_UNARY,
       TRIBUS_NN_KERNEL_BINARY,
       TRIBUS_NN_KERNEL_COPY,
       TRIBUS_NN_KERNEL_GEMM,
       TRIBUS_NN_KERNEL_SOFTMAX,
       TRIBUS_NN_KERNEL_LAYER_NORM,
       TRIBUS_NN_KERNEL_REDUCE,
       TRIBUS_NN_KERNEL_CONV,
       TRIBUS_NN_KERNEL_LSTM,
       TRIBUS_NN_KERNEL_GRU,
       TRIBUS_NN_KERNELS
};

/* A recurrent layer keeps six numbers a unit in shared memory; more units are refused. */
#define TRIBUS_NN_MOST_UNITS       4096
#define TRIBUS_NN_RECURRENT_SHARED (6 * 4 * TRIBUS_NN_MOST_UNITS)

/* A value of the graph while a plan is made. */
typedef struct tribus_nn_value {
    bool known;
    int32_t ndim;
    int64_t shape[TRIBUS_ONNX_MAX_DIMS];
    tribus_cu_ptr at; /* floats on the card, dense; 0: whole numbers on the host */
    int64_t *whole;   /* of those, owned by the plan */
    uint64_t elements;
} tribus_nn_value;

typedef struct tribus_nn_step {
    uint32_t kernel;
    uint32_t grid[3];
    uint32_t threads, shared_bytes;
    union {
        tribus_nn_map map;
        tribus_nn_gemm gemm;
        tribus_nn_rows rows;
        tribus_nn_reduce reduce;
        tribus_nn_conv conv;
        tribus_nn_recurrent recurrent;
    } args;
} tribus_nn_step;

typedef struct tribus_nn_model {
    tribus_cuda_context *context;
    tribus_onnx_graph *graph;
    unsigned char *bytes;               /* of the file; the graph borrows them */
    tribus_cu_ptr weights;              /* every float constant */
    tribus_cu_ptr *constants;           /* of each value, or 0 */
    const tribus_onnx_tensor **tensors; /* of each constant value, or NULL */
    tribus_cu_function kernels[TRIBUS_NN_KERNELS];
} tribus_nn_model;

typedef struct tribus_nn_plan {
    const tribus_nn_model *model;
    tribus_nn_value *values; /* of the graph's values; only while planning */
    tribus_nn_step *steps;
    uint32_t step_count, step_room;
    tribus_cu_ptr *blocks; /* memory of what is between */
    uint32_t block_count, block_room;
    uint64_t block_bytes;
    tribus_cu_graph_exec exec;
} tribus_nn_plan;

/* Work out every shape from those of the inputs and list the launches. out: owned by the
 * caller, give it to tribus_nn_plan_destroy(), also after a fault.
 * Returns TRIBUS_OK, TRIBUS_UNSUPPORTED (text names operator and node), TRIBUS_BAD_ARG (an
 * output's tensor is not the shape that comes out), TRIBUS_BAD_DATA (shapes in the file do
 * not fit each other) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_nn_plan_create(const tribus_nn_model *model,
                                                      const tribus_tensor *inputs,
                                                      const tribus_tensor *outputs,
                                                      tribus_nn_plan **out);
void tribus_nn_plan_destroy(tribus_nn_plan *plan);

/* Does this build know the operator of the node? */
bool tribus_nn_plan_knows(const tribus_onnx_node *node);

#endif
