/* operation.h -- write an operation of your own for pipelines, in a shared object.
 *
 * Use it to   add what no kernel and no model file does. Build a shared object that exports
 *             one symbol, `const tribus_operation_entry tribus_operation`, and name the file
 *             as the `operation` of a stage: "my/filter.so". It needs no library of ours.
 * Not for     accelerators: a library's operation runs on the CPU of a compute host, where
 *             its tensors are shared memory.
 *
 * Threads     A stage calls its operation from one thread; several stages may open the same
 *             operation at once, each with a context of its own.
 * Trust       The shared object is code, and trusted as such.
 */
#ifndef TRIBUS_OPERATION_H
#define TRIBUS_OPERATION_H

#include "tribus/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_OPERATION_ABI 2u

enum { /* tribus_operation_entry.flags */
       /* A row of an output (its first dimension) depends on the same row of the inputs and
        * on nothing else. Stages with `batch` may then hand several runs over in one call,
        * as one tensor of so many times the rows. */
       TRIBUS_OPERATION_ROWS = 1u
};

/* One run: tensors dense, row-major, host memory, 64-byte aligned, borrowed during the call.
 * Inputs must not be written. */
typedef struct tribus_operation_call {
    const tribus_tensor *inputs;
    const tribus_tensor *outputs;
    uint32_t input_count, output_count;
    char *why; /* on failure: one line for the run's result, TRIBUS_PIPELINE_TEXT_BYTES */
} tribus_operation_call;

/* Ports are those of kernels, and may say more: a dtype "any" is the same dtype in every
 * port that says so, dims "..." the same shape in every port that says so; an input named
 * "*", the last one, stands for one or more inputs. */
typedef struct tribus_operation_entry {
    uint32_t abi; /* TRIBUS_OPERATION_ABI */
    uint32_t version;
    uint32_t domains; /* TRIBUS_DOMAIN_ bits that may run it */
    const char *name;
    const char *meaning;
    tribus_kernel_port inputs[TRIBUS_KERNEL_MAX_PORTS];
    uint32_t input_count;
    tribus_kernel_port outputs[TRIBUS_KERNEL_MAX_PORTS];
    uint32_t output_count;
    tribus_kernel_param params[TRIBUS_KERNEL_MAX_PARAMS];
    uint32_t param_count;
    uint32_t flags;  /* TRIBUS_OPERATION_ bits */
    int64_t cost_ns; /* what one run takes, roughly; 0: unknown */

    /* params: param_count values in the order of the table, inside their bounds. *context
     * is given to run and close. Returns TRIBUS_OK or the reason why not, with why
     * (TRIBUS_PIPELINE_TEXT_BYTES). (optional) */
    tribus_status (*open)(const double *params, void **context, char *why);
    /* params: as above. Returns TRIBUS_OK, or what becomes the status of the run. */
    tribus_status (*run)(void *context, const double *params,
                         const tribus_operation_call *call);
    void (*close)(void *context); /* (optional) */
} tribus_operation_entry;

/* Entry i of the operations built in: small arithmetic, choices. NULL past the last. */
const tribus_operation_entry *tribus_operation_list(uint32_t i);

#ifdef __cplusplus
}
#endif

#endif
