/* neural_stream.h -- a recurrent model as what a stream needs of it; neural_stream.c reads it
 * from a file and runs it on the CPU, neural_stream_cuda.c on a card.
 *
 * Four sums a unit, s = W x + U h + b, in this order:
 *
 *   LSTM   in, forget, cell, out:   c = f c + i tanh(s2),  h = o tanh c
 *   GRU    update z, reset r, fresh from x, fresh from h:
 *          n = tanh(s2 + r s3),  h = (1 - z) n + z h
 *
 * A GRU's third row of U and fourth row of W are zero, so that both kinds are one loop.
 */
#ifndef TRIBUS_NEURAL_STREAM_H
#define TRIBUS_NEURAL_STREAM_H

#include "tribus/neural.h"

#define TRIBUS_STREAM_LAYERS 4

typedef struct tribus_stream_model {
    uint32_t layers, inputs, units, outputs;
    bool gru;
    bool dense;                     /* else the outputs are the last layer's */
    float *w[TRIBUS_STREAM_LAYERS]; /* [units][4][inputs of the layer] */
    float *u[TRIBUS_STREAM_LAYERS]; /* [units][4][units] */
    float *b[TRIBUS_STREAM_LAYERS]; /* [units][4] */
    float *dense_w, *dense_b;       /* [outputs][units], [outputs] */
} tribus_stream_model;

typedef struct tribus_stream_cuda tribus_stream_cuda;

/* The card's side. model: borrowed. Returns as tribus_model_stream_open(). */
TRIBUS_MUST_CHECK tribus_status tribus_stream_cuda_open(const tribus_stream_model *model,
                                                        const tribus_model_stream_cfg *cfg,
                                                        tribus_stream_cuda **out);
void tribus_stream_cuda_close(tribus_stream_cuda *stream);
TRIBUS_MUST_CHECK tribus_status tribus_stream_cuda_step_wait(tribus_stream_cuda *stream,
                                                             const float *input,
                                                             float *output,
                                                             int64_t timeout_ns);
TRIBUS_MUST_CHECK tribus_status tribus_stream_cuda_reset(tribus_stream_cuda *stream);

#endif
