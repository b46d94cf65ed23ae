/* neural_cuda_lstm.h -- what the host and neural_cuda_lstm.cu agree on. C11 and CUDA C++.
 *
 * A word carries a number and the step it belongs to in eight bytes that are written and
 * read at once: whoever sees the step sees the number. No flag, no fence, no second trip.
 */
#ifndef TRIBUS_NEURAL_CUDA_LSTM_H
#define TRIBUS_NEURAL_CUDA_LSTM_H

#include <stdint.h>

#define TRIBUS_LSTM_MAX_LAYERS 4
#define TRIBUS_LSTM_STOP       0xffffffffu /* a step that ends the kernel */

/* low half: the float's bits; high half: the step, 1 and on */
typedef uint64_t tribus_lstm_word;

/* How the input comes in. A read of host memory takes the better part of a microsecond, and
 * reading lines that the CPU is writing slows the CPU, so what is best depends on the size. */
enum {
    TRIBUS_LSTM_INPUT_EACH = 0, /* every block waits for the flag, then reads the floats */
    TRIBUS_LSTM_INPUT_PASS = 1, /* block 0 does, and passes words on */
    TRIBUS_LSTM_INPUT_WORDS = 2 /* block 0 waits for the words themselves, and passes on */
};

typedef struct tribus_lstm_run {
    uint32_t layers;
    uint32_t inputs; /* of layer 0 */
    uint32_t units;  /* of every layer */
    uint32_t blocks; /* thread blocks; each owns units_each units, a warp for each */
    uint32_t units_each;
    uint32_t input; /* one of the enum below */
    uint32_t first_step;
    uint32_t gru;     /* 1: the layers are GRUs (neural_stream.h), else LSTMs */
    uint32_t outputs; /* words of a result */
    uint32_t reserved;
    uint32_t k[TRIBUS_LSTM_MAX_LAYERS]; /* row length of the input weights, padded */
    uint32_t k_units;                   /* row length of the recurrent weights, padded */
    /* Bit l: the recurrent weights of layer l are in shared memory; the first layers'. */
    uint32_t recurrent_shared;
    /* Rows of block b begin at b * block_bytes: for each layer the input rows, then for each
     * layer the recurrent rows; a row is one unit's gate, in the order input, forget, cell,
     * output; 16-byte aligned. */
    uint64_t weights;
    uint64_t block_bytes;
    uint64_t bias;  /* float[layers][units][4] */
    uint64_t dense; /* float[outputs][units], float[outputs]: weights, bias; 0: the result
                          is the last layer's, outputs = units */
    uint64_t exchange; /* words[2][layers + 1][exchange_row], for the grid kernel */
    uint64_t exchange_row;
    uint64_t in;      /* the host's words or floats, one for each input */
    uint64_t flag;    /* the host's uint64: the step that stands in `in`, or STOP */
    uint64_t out;     /* the host's words, `outputs` of them */
    uint64_t trace;   /* int64[3] at the end: cycles from input to result, from result to
                       ready for the next, steps; or 0 */
    uint64_t idle_ns; /* give up after so long without input */
} tribus_lstm_run;

#endif
