/* operation_clip.c -- an operation of your own for pipelines, in forty lines.
 *
 *   cc -std=c11 -O2 -fPIC -shared -Iinclude -o clip.so examples/operation_clip.c
 *
 * then in a pipeline:  - {name: clip, domain: gpu, operation: clip.so, params: {most: 3}, ...}
 */
#include "tribus/operation.h"

#include <stdio.h>

/* y = x, but no further from zero than `most`. */
static tribus_status run(void *context, const double *params,
                         const tribus_operation_call *call)
{
    const tribus_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    const float *in = (const float *)x->data;
    float *out = (float *)y->data;
    const float most = (float)params[0];

    (void)context;
    for (int64_t i = 0; i < x->shape[0]; i++) {
        if (in[i] != in[i]) {
            (void)snprintf(call->why, TRIBUS_PIPELINE_TEXT_BYTES,
                           "in[%lld] is not a number", (long long)i);
            return TRIBUS_BAD_DATA;
        }
        out[i] = in[i] > most ? most : in[i] < -most ? -most : in[i];
    }
    return TRIBUS_OK;
}

const tribus_operation_entry tribus_operation = {
    .abi = TRIBUS_OPERATION_ABI,
    .version = 1,
    .domains = TRIBUS_DOMAIN_GPU | TRIBUS_DOMAIN_NEURAL,
    .name = "clip",
    .meaning = "numbers no further from zero than a bound",
    .inputs = {{"in", "f32", "n", "numbers"}},
    .input_count = 1,
    .outputs = {{"out", "f32", "n", "the same, bounded"}},
    .output_count = 1,
    .params = {{"most", false, 1.0, 0.0, 1e30, "the bound"}},
    .param_count = 1,
    .flags = TRIBUS_OPERATION_ROWS,
    .run = run};
