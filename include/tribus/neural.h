/* neural.h -- run a neural model over tensors where they lie.
 *
 * Use it to   open a model file, see what it reads and writes, bind it to slots of a
 *             region and run it, without a copy of the inputs or outputs.
 * Not for     training, kernels (device.h) or graphs of operations (pipeline.h).
 *
 * Memory      A bound model borrows its tensors' memory until the binding is dropped:
 *             tribus_model_unbind() before that memory is unmapped, or
 *             tribus_model_close().
 * Threads     A model belongs to the thread that opened it. Different models may run in
 *             different threads at the same time.
 * Trust       A model file is hostile until opened: it is bounded in size and its ports
 *             are checked. Sizes of tensors are checked in every bind. Values are not
 *             looked at: a model may write NaN.
 * Cost        A binding is kept for each set of addresses and shapes, so binding again to
 *             slots seen before is a look-up. tribus_model_run() copies no input and no
 *             output; the runtime keeps its intermediate memory between runs.
 */
#ifndef TRIBUS_NEURAL_H
#define TRIBUS_NEURAL_H

#include "tribus/device.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_MODEL_MAX_PORTS  8
#define TRIBUS_MODEL_NAME_BYTES 64

/* One tensor a model reads or writes. A dimension of -1 takes any size. */
typedef struct tribus_model_port {
    char name[TRIBUS_MODEL_NAME_BYTES];
    tribus_dtype dtype;
    int32_t ndim;
    int64_t shape[TRIBUS_TENSOR_MAX_DIMS];
} tribus_model_port;

/* Zero is the default of every field. */
typedef struct tribus_model_cfg {
    const char
        *runtime; /* a name of tribus_model_runtime(); NULL: the file suffix decides */
    /* Where it runs and its tensors lie; open until the model is closed. NULL: the CPU. */
    tribus_device *device;
    const char *library; /* shared library of the runtime; NULL: see tribus_model_open() */
    uint32_t threads;    /* that share one run; 0: 1, no extra thread is made */
    uint32_t bindings;   /* sets of addresses kept at most; 0: 64, least recent dropped */
    /* What the caller will bind, checked against the file. -1 is any size. NULL: not
     * checked. Copied. */
    const tribus_model_port *inputs, *outputs;
    uint32_t input_count, output_count;
} tribus_model_cfg;

typedef struct tribus_model tribus_model;

typedef struct tribus_model_runtime_row {
    const char *name;   /* "onnx" */
    const char *suffix; /* ".onnx" */
    bool present;
    char detail[200]; /* version and library, or why it is absent and what to do */
} tribus_model_runtime_row;

/* Row i of the table of runtimes. Returns TRIBUS_OK or TRIBUS_NOT_FOUND past its end. */
TRIBUS_MUST_CHECK tribus_status tribus_model_runtime(uint32_t i,
                                                     tribus_model_runtime_row *out);

/* Open a model file. cfg NULL: all defaults.
 * On the CPU the runtime is ONNX Runtime; on a card our own kernels (text names the operator
 * and the node that has none). The runtime's library is cfg->library, else the environment's TRIBUS_ONNX_LIBRARY, else
 * what `make deps` unpacked, else the system's; it is loaded once a process.
 * out: owned by the caller, give it to tribus_model_close().
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (no such file or runtime), TRIBUS_UNSUPPORTED (the
 * runtime's library is missing or too old, or a dtype we have no word for), TRIBUS_BAD_DATA
 * (not a model, or its ports are not those of cfg: text names the tensor, what was wanted
 * and what the file has), TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_model_open(const char *path,
                                                  const tribus_model_cfg *cfg,
                                                  tribus_model **out);
void tribus_model_close(tribus_model *model);

/* The ports, in the order of the file. Borrowed until tribus_model_close(). */
const tribus_model_port *tribus_model_inputs(const tribus_model *model, uint32_t *count);
const tribus_model_port *tribus_model_outputs(const tribus_model *model, uint32_t *count);

/* Choose the tensors of the runs that follow, in the order of the ports. The structs are
 * copied, the memory is borrowed. Tensors must be dense and on the model's device. Of an output whose
 * sizes the file leaves open, the caller's shape must be what the model will produce; the
 * run says so if not. On a fault the model is unbound.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (text names the tensor, wanted and given),
 * TRIBUS_NO_MEMORY or TRIBUS_SYSTEM (the runtime's words). */
TRIBUS_MUST_CHECK tribus_status tribus_model_bind(tribus_model *model,
                                                  const tribus_tensor *inputs,
                                                  uint32_t input_count,
                                                  const tribus_tensor *outputs,
                                                  uint32_t output_count);

/* Run once over the bound tensors. On the CPU the outputs are complete on return; on a card
 * the run is queued, and they are after tribus_device_synchronise_wait(), or for what is
 * queued on the same device afterwards (then TRIBUS_FULL is possible: wait, try again).
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (not bound) or TRIBUS_SYSTEM (the runtime's words). */
TRIBUS_MUST_CHECK tribus_status tribus_model_run(tribus_model *model);

/* Forget every binding; call it before memory that was bound is unmapped. */
void tribus_model_unbind(tribus_model *model);

/* How many bindings were made and how many were found again. */
void tribus_model_binding_counts(const tribus_model *model, uint64_t *made,
                                 uint64_t *found);

/* ---- one time step at a time ----
 *
 * A stream keeps the state of recurrent layers between steps, so that one new time step costs
 * that step and not a window: on a card the state and the weights stay in the
 * multiprocessors of one kernel that waits for the next step (LSTM_A of STAC-ML's shape:
 * 4 us from the CPU's input to the CPU's result), on the CPU in the caller's cache.
 *
 * The file   a sequence of time steps into LSTM or GRU layers on top of each other (1 to 4,
 *            forward, usual activations, all of one size; a GRU with linear_before_reset = 1),
 *            then at most one Gemm, or MatMul and Add, of what the last layer gives.
 *            Squeeze, Unsqueeze, Transpose, Identity and Dropout may stand between.
 * Equal to   the whole sequence since the last reset run at once: absolute error below 5e-6 on
 *            a card where results are about 1, 1e-12 relative on the CPU (double inside).
 * Threads    A stream belongs to the thread that opened it. On a card it keeps 8 or 16
 *            multiprocessors busy until it is closed. */
typedef struct tribus_model_stream tribus_model_stream;

/* Zero is the default of every field. */
typedef struct tribus_model_stream_cfg {
    tribus_device *device; /* open until the stream is closed; NULL: the CPU */
    int64_t idle_ns; /* a card waits so long for a step, then forgets; 0: 10 minutes */
} tribus_model_stream_cfg;

/* Open a file as a stream, with a state of zeros. cfg NULL: all defaults.
 * out: owned by the caller, give it to tribus_model_stream_close().
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_UNSUPPORTED (text names the node and the
 * operator that no stream has, or what of the model is too large for the card),
 * TRIBUS_BAD_DATA, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_model_stream_open(const char *path,
                                                         const tribus_model_stream_cfg *cfg,
                                                         tribus_model_stream **out);
void tribus_model_stream_close(tribus_model_stream *stream);

/* Floats of one time step's input, and of what comes out for it. */
void tribus_model_stream_sizes(const tribus_model_stream *stream, uint32_t *inputs,
                               uint32_t *outputs);

/* Take one time step: input and output as many floats as sizes() says, both the caller's.
 * Spins until the answer is there; on the CPU the timeout does not matter.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT (the stream is over: reset it) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_model_stream_step_wait(tribus_model_stream *stream,
                                                              const float *input,
                                                              float *output,
                                                              int64_t timeout_ns);

/* Begin a new sequence: the state is zero again, also after a timeout.
 * Returns TRIBUS_OK or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_model_stream_reset(tribus_model_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
