/* neural_cuda_kernels.h -- the argument of each kernel of neural_cuda_kernels.cu. C11 and
 * CUDA C++. Addresses are the card's; strides and sizes count elements. */
#ifndef TRIBUS_NEURAL_CUDA_KERNELS_H
#define TRIBUS_NEURAL_CUDA_KERNELS_H

#include <stdint.h>

#define TRIBUS_NN_DIMS    8
#define TRIBUS_NN_THREADS 256u

typedef enum tribus_nn_op {
    TRIBUS_NN_ADD,
    TRIBUS_NN_SUB,
    TRIBUS_NN_MUL,
    TRIBUS_NN_DIV,
    TRIBUS_NN_POW,
    TRIBUS_NN_MIN,
    TRIBUS_NN_MAX,
    TRIBUS_NN_SQRT,
    TRIBUS_NN_EXP,
    TRIBUS_NN_LOG,
    TRIBUS_NN_ABS,
    TRIBUS_NN_NEG,
    TRIBUS_NN_RECIPROCAL,
    TRIBUS_NN_ERF,
    TRIBUS_NN_CLIP, /* p, q: least, most */
    TRIBUS_NN_RELU,
    TRIBUS_NN_LEAKY_RELU, /* p: slope */
    TRIBUS_NN_TANH,
    TRIBUS_NN_SIGMOID,
    TRIBUS_NN_SOFTPLUS,
    TRIBUS_NN_GELU,     /* x/2 (1 + erf(x / sqrt 2)) */
    TRIBUS_NN_GELU_TANH /* its approximation by tanh */
} tribus_nn_op;

/* y = op(a) or op(a, b), or y = a: with strides, so broadcast, transpose, slice and concat
 * are this. */
typedef struct tribus_nn_map {
    const float *a, *b;
    float *y;
    uint64_t count; /* elements of y */
    uint32_t ndim;
    uint32_t op;
    float p, q;
    uint64_t shape[TRIBUS_NN_DIMS];
    int64_t step_a[TRIBUS_NN_DIMS], step_b[TRIBUS_NN_DIMS], step_y[TRIBUS_NN_DIMS];
} tribus_nn_map;

/* y[g, i, j] = alpha sum_k a[g, i, k] b[g, k, j] + beta c[i, j] */
typedef struct tribus_nn_gemm {
    const float *a, *b, *c; /* c may be NULL */
    float *y;
    uint32_t m, n, k;
    float alpha, beta;
    uint32_t batch_dims; /* of the batch g; y is dense */
    int64_t a_row, a_column, b_row, b_column, c_row, c_column;
    uint64_t batch[TRIBUS_NN_DIMS];
    int64_t batch_a[TRIBUS_NN_DIMS], batch_b[TRIBUS_NN_DIMS];
} tribus_nn_gemm;

/* Softmax over `size` elements, `inner` apart; blocks: outer * inner. */
typedef struct tribus_nn_rows {
    const float *x, *scale, *bias; /* of the norm: scale and bias have `size` elements */
    float *y;
    uint64_t size, inner;
    float epsilon;
    uint32_t log; /* logarithm of the softmax */
} tribus_nn_rows;

/* Mean or sum over some dimensions: block i is output i, the rest is summed. */
typedef struct tribus_nn_reduce {
    const float *x;
    float *y;
    float scale;
    uint32_t kept, summed; /* number of dimensions */
    uint64_t count;        /* elements summed for one output */
    uint64_t kept_shape[TRIBUS_NN_DIMS], summed_shape[TRIBUS_NN_DIMS];
    int64_t kept_step[TRIBUS_NN_DIMS], summed_step[TRIBUS_NN_DIMS];
} tribus_nn_reduce;

/* Two spatial dimensions; one-dimensional convolutions have height 1. */
typedef struct tribus_nn_conv {
    const float *x, *w, *bias; /* bias may be NULL */
    float *y;
    uint32_t batch, channels, height, width; /* of x */
    uint32_t filters, out_height, out_width;
    uint32_t kernel_height, kernel_width;
    uint32_t group;
    int32_t stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x;
} tribus_nn_conv;

/* A recurrent layer of one direction over a sequence; block i is sequence i of the batch.
 * gates: x W' for every step, [steps][batch][g units]. */
typedef struct tribus_nn_recurrent {
    const float *gates, *r, *bias, *h0, *c0; /* bias, h0 and c0 may be NULL */
    float *y, *y_h, *y_c;                    /* each may be NULL */
    uint32_t steps, batch, units;
    uint32_t reverse;
    uint32_t linear_before_reset; /* GRU */
    uint32_t y_step, y_batch;     /* of y: elements from step to step, from sequence to
                                     sequence */
} tribus_nn_recurrent;

#endif
