/* operation_table.c -- the operations built in: small arithmetic and choices, so that graphs
 * can be glued without writing a kernel. All on float, left to right, no surprises: what a
 * caller computes with the same expressions is equal to the last bit. */
#include "pipeline/operation.h"

#include <string.h>

#define BOTH (TRIBUS_DOMAIN_NEURAL | TRIBUS_DOMAIN_GPU)

static const float *in(const tribus_operation_call *c, uint32_t i)
{
    return tribus_tensor_address(&c->inputs[i]);
}

static float *out(const tribus_operation_call *c, uint32_t i)
{
    return tribus_tensor_address(&c->outputs[i]);
}

static tribus_status run_copy(void *context, const double *params,
                              const tribus_operation_call *c)
{
    (void)context;
    (void)params;
    memcpy(out(c, 0), in(c, 0),
           tribus_tensor_elements(&c->inputs[0]) * tribus_dtype_bytes(c->inputs[0].dtype));
    return TRIBUS_OK;
}

static tribus_status run_affine(void *context, const double *params,
                                const tribus_operation_call *c)
{
    const float scale = (float)params[0], offset = (float)params[1];
    const uint64_t n = tribus_tensor_elements(&c->inputs[0]);
    const float *x = in(c, 0);
    float *y = out(c, 0);

    (void)context;
    for (uint64_t i = 0; i < n; i++)
        y[i] = x[i] * scale + offset;
    return TRIBUS_OK;
}

static tribus_status run_sum(void *context, const double *params,
                             const tribus_operation_call *c)
{
    const uint64_t n = tribus_tensor_elements(&c->outputs[0]);
    float *y = out(c, 0);

    (void)context;
    (void)params;
    memcpy(y, in(c, 0), n * sizeof(*y));
    for (uint32_t k = 1; k < c->input_count; k++) {
        const float *x = in(c, k);

        for (uint64_t i = 0; i < n; i++)
            y[i] += x[i];
    }
    return TRIBUS_OK;
}

static tribus_status run_product(void *context, const double *params,
                                 const tribus_operation_call *c)
{
    const uint64_t n = tribus_tensor_elements(&c->outputs[0]);
    const float *a = in(c, 0), *b = in(c, 1);
    float *y = out(c, 0);

    (void)context;
    (void)params;
    for (uint64_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
    return TRIBUS_OK;
}

static tribus_status run_above(void *context, const double *params,
                               const tribus_operation_call *c)
{
    const uint64_t n = tribus_tensor_elements(&c->inputs[0]);
    const float *x = in(c, 0);
    float mean = 0.0f;

    (void)context;
    for (uint64_t i = 0; i < n; i++)
        mean += x[i];
    mean /= (float)n;
    *(int32_t *)tribus_tensor_address(&c->outputs[0]) = mean > (float)params[0] ? 1 : 0;
    return TRIBUS_OK;
}

static const tribus_operation_entry table[] = {
    {.abi = TRIBUS_OPERATION_ABI,
     .version = 1,
     .domains = BOTH,
     .name = "copy",
     .meaning = "the same numbers again",
     .inputs = {{"in", "any", "...", "what to copy"}},
     .input_count = 1,
     .outputs = {{"out", "any", "...", "the copy"}},
     .output_count = 1,
     .flags = TRIBUS_OPERATION_ROWS,
     .cost_ns = 100,
     .run = run_copy},
    {.abi = TRIBUS_OPERATION_ABI,
     .version = 1,
     .domains = BOTH,
     .name = "affine",
     .meaning = "x * scale + offset, element by element",
     .inputs = {{"in", "f32", "...", "x"}},
     .input_count = 1,
     .outputs = {{"out", "f32", "...", "x * scale + offset"}},
     .output_count = 1,
     .params = {{"scale", false, 1, -1e30, 1e30, "factor"},
                {"offset", false, 0, -1e30, 1e30, "added after the factor"}},
     .param_count = 2,
     .flags = TRIBUS_OPERATION_ROWS,
     .cost_ns = 100,
     .run = run_affine},
    {.abi = TRIBUS_OPERATION_ABI,
     .version = 1,
     .domains = BOTH,
     .name = "sum",
     .meaning = "the sum of all inputs, in their order",
     .inputs = {{"*", "f32", "...", "one or more terms"}},
     .input_count = 1,
     .outputs = {{"out", "f32", "...", "the sum"}},
     .output_count = 1,
     .flags = TRIBUS_OPERATION_ROWS,
     .cost_ns = 100,
     .run = run_sum},
    {.abi = TRIBUS_OPERATION_ABI,
     .version = 1,
     .domains = BOTH,
     .name = "product",
     .meaning = "a * b, element by element",
     .inputs = {{"a", "f32", "...", "factor"}, {"b", "f32", "...", "factor"}},
     .input_count = 2,
     .outputs = {{"out", "f32", "...", "a * b"}},
     .output_count = 1,
     .flags = TRIBUS_OPERATION_ROWS,
     .cost_ns = 100,
     .run = run_product},
    {.abi = TRIBUS_OPERATION_ABI,
     .version = 1,
     .domains = BOTH,
     .name = "above",
     .meaning = "is the mean of the input above the threshold: a choice for `when`",
     .inputs = {{"in", "f32", "...", "numbers"}},
     .input_count = 1,
     .outputs = {{"yes", "i32", "1", "1 if above, else 0"}},
     .output_count = 1,
     .params = {{"threshold", false, 0, -1e30, 1e30, "compared with the mean"}},
     .param_count = 1,
     .cost_ns = 100,
     .run = run_above},
};

const tribus_operation_entry *tribus_operation_list(uint32_t i)
{
    return i < sizeof(table) / sizeof(table[0]) ? &table[i] : NULL;
}
