/* kernel.c -- open, steer, bind and run an entry point of the table on a device; see
 * device.h.
 *
 * The texts of the table are read once, at open: dims become a small plan of numbers, so
 * that a bind is a few compares a tensor. A bind grows the scratch, a run only uses it.
 */
#include "base/error.h"
#include "device/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct port_plan {
    const tribus_kernel_port *port;
    tribus_dtype dtype;
    int32_t ndim;
    int32_t word[TRIBUS_TENSOR_MAX_DIMS]; /* index into args.dims, or -1: fixed size */
    int64_t size[TRIBUS_TENSOR_MAX_DIMS];
} port_plan;

struct tribus_kernel {
    tribus_device *device;
    const tribus_kernel_code *code;
    port_plan inputs[TRIBUS_KERNEL_MAX_PORTS];
    port_plan outputs[TRIBUS_KERNEL_MAX_PORTS];
    char words[TRIBUS_KERNEL_MAX_WORDS][24];
    uint32_t word_count;
    tribus_kernel_args args;
    size_t scratch_bytes;
    bool bound;
};

static const tribus_kernel_code *code_named(const char *name)
{
    const tribus_kernel_code *code;

    for (uint32_t i = 0; name != NULL && (code = tribus_kernels_at(i)) != NULL; i++)
        if (strcmp(code->entry.name, name) == 0)
            return code;
    return NULL;
}

const tribus_kernel_entry *tribus_kernel_list(uint32_t i)
{
    const tribus_kernel_code *code = tribus_kernels_at(i);

    return code == NULL ? NULL : &code->entry;
}

const tribus_kernel_entry *tribus_kernel_find(const char *name)
{
    const tribus_kernel_code *code = code_named(name);

    return code == NULL ? NULL : &code->entry;
}

/* The table is ours: a word that does not fit is our mistake and fails every test of that
 * kernel, so it is reported and not survived. */
static bool plan_port(tribus_kernel *k, const tribus_kernel_port *port, port_plan *plan)
{
    const char *at = port->dims;

    plan->port = port;
    if (tribus_dtype_parse(port->dtype, &plan->dtype) != TRIBUS_OK)
        return false;
    while (*at != '\0') {
        const size_t length = strcspn(at, ",");
        uint32_t w = 0;

        if (plan->ndim == TRIBUS_TENSOR_MAX_DIMS || length >= sizeof(k->words[0]))
            return false;
        plan->word[plan->ndim] = -1;
        plan->size[plan->ndim] = strtoll(at, NULL, 10);
        if (*at < '0' || *at > '9') {
            while (w < k->word_count &&
                   (strncmp(k->words[w], at, length) != 0 || k->words[w][length] != '\0'))
                w++;
            if (w == TRIBUS_KERNEL_MAX_WORDS)
                return false;
            if (w == k->word_count) {
                memcpy(k->words[w], at, length);
                k->word_count++;
            }
            plan->word[plan->ndim] = (int32_t)w;
        }
        plan->ndim++;
        at += length + (at[length] == ',' ? 1u : 0u);
    }
    return true;
}

tribus_status tribus_kernel_open(tribus_device *device, const char *name,
                                 tribus_kernel **out)
{
    const tribus_kernel_code *code = code_named(name);
    tribus_kernel *k;
    bool good = true;

    if (code == NULL) {
        char names[256] = "";
        size_t used = 0;

        for (uint32_t i = 0; tribus_kernels_at(i) != NULL && used < sizeof(names); i++)
            used += (size_t)snprintf(names + used, sizeof(names) - used, " %s",
                                     tribus_kernels_at(i)->entry.name);
        return tribus_error_set(TRIBUS_NOT_FOUND, "open kernel \"%s\": not one of%s",
                                name == NULL ? "" : name, names);
    }
    if (!device->ops->kernel_has(code))
        return tribus_error_set(TRIBUS_UNSUPPORTED, "open kernel %s: not on device %s",
                                name, device->name);
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open kernel %s: %zu bytes", name,
                                sizeof(*k));
    k->device = device;
    k->code = code;
    for (uint32_t i = 0; i < code->entry.input_count; i++)
        good = good && plan_port(k, &code->entry.inputs[i], &k->inputs[i]);
    for (uint32_t i = 0; i < code->entry.output_count; i++)
        good = good && plan_port(k, &code->entry.outputs[i], &k->outputs[i]);
    if (!good) {
        free(k);
        return tribus_error_set(TRIBUS_UNSUPPORTED, "open kernel %s: bad row in the table",
                                name);
    }
    for (uint32_t i = 0; i < code->entry.param_count; i++)
        k->args.params[i] = code->entry.params[i].fallback;
    *out = k;
    return TRIBUS_OK;
}

void tribus_kernel_close(tribus_kernel *kernel)
{
    if (kernel == NULL)
        return;
    if (kernel->args.scratch != NULL)
        kernel->device->ops->scratch_destroy(kernel->device, kernel->args.scratch);
    free(kernel);
}

const tribus_kernel_entry *tribus_kernel_get_entry(const tribus_kernel *kernel)
{
    return &kernel->code->entry;
}

/* Scratch as large as the dims and params now ask for; it never shrinks. */
static tribus_status grow_scratch(tribus_kernel *k)
{
    const tribus_device_ops *ops = k->device->ops;
    size_t need;
    void *scratch;
    tribus_status st;

    if (k->code->scratch_bytes == NULL)
        return TRIBUS_OK;
    need = k->code->scratch_bytes(&k->args);
    if (need == SIZE_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG, "kernel %s: sizes out of range",
                                k->code->entry.name);
    if (need <= k->scratch_bytes)
        return TRIBUS_OK;
    st = ops->scratch_create(k->device, need, &scratch);
    if (st != TRIBUS_OK) {
        tribus_error_add("kernel %s", k->code->entry.name);
        return st;
    }
    if (k->args.scratch != NULL)
        ops->scratch_destroy(k->device, k->args.scratch);
    k->args.scratch = scratch;
    k->scratch_bytes = need;
    return TRIBUS_OK;
}

tribus_status tribus_kernel_set(tribus_kernel *kernel, const char *param, double value)
{
    const tribus_kernel_entry *entry = &kernel->code->entry;

    for (uint32_t i = 0; i < entry->param_count; i++) {
        const tribus_kernel_param *p = &entry->params[i];
        double before;
        tribus_status st;

        if (strcmp(p->name, param) != 0)
            continue;
        if (!(value >= p->least && value <= p->most) || (p->whole && value != floor(value)))
            return tribus_error_set(
                TRIBUS_BAD_ARG, "kernel %s: %s is %.17g; wanted %s in %.17g to %.17g",
                entry->name, p->name, value, p->whole ? "a whole number" : "a number",
                p->least, p->most);
        before = kernel->args.params[i];
        kernel->args.params[i] = value;
        st = kernel->bound ? grow_scratch(kernel) : TRIBUS_OK;
        if (st != TRIBUS_OK)
            kernel->args.params[i] = before;
        return st;
    }
    return tribus_error_set(TRIBUS_NOT_FOUND, "kernel %s: no parameter \"%s\"", entry->name,
                            param);
}

/* "f32[assets,2]" */
static void plan_text(const port_plan *plan, char *text, size_t bytes)
{
    (void)snprintf(text, bytes, "%s[%s]", plan->port->dtype, plan->port->dims);
}

static tribus_status wrong(const tribus_kernel *k, const port_plan *plan,
                           const tribus_tensor *t, const char *why)
{
    char want[128], got[256];

    plan_text(plan, want, sizeof(want));
    return tribus_error_set(TRIBUS_BAD_ARG, "kernel %s: %s: wanted %s on %s, got %s%s%s",
                            k->code->entry.name, plan->port->name, want, k->device->name,
                            tribus_tensor_text(t, got, sizeof(got)),
                            *why != '\0' ? ": " : "", why);
}

/* Words met for the first time take the size they are given. */
static tribus_status check_port(tribus_kernel *k, const port_plan *plan,
                                const tribus_tensor *t)
{
    const bool here =
        t->device_type == k->device->ops->type && t->device_index == k->device->index;
    char why[80];

    if (t->ndim != plan->ndim || !tribus_dtype_equal(t->dtype, plan->dtype))
        return wrong(k, plan, t, "");
    if (!here)
        return wrong(k, plan, t, "another device");
    for (int32_t i = 0; i < t->ndim; i++) {
        int64_t *known = plan->word[i] >= 0 ? &k->args.dims[plan->word[i]] : NULL;
        const int64_t want = known != NULL ? *known : plan->size[i];

        if (known != NULL && want < 0 && t->shape[i] > 0) {
            *known = t->shape[i];
            continue;
        }
        if (t->shape[i] == want)
            continue;
        (void)snprintf(why, sizeof(why), "%s is %lld here",
                       known != NULL ? k->words[plan->word[i]] : "that size",
                       want < 0 ? 0LL : (long long)want);
        return wrong(k, plan, t, want < 0 ? "empty" : why);
    }
    if (t->data == NULL)
        return wrong(k, plan, t, "no memory");
    if (!tribus_tensor_is_dense(t))
        return wrong(k, plan, t, "not dense");
    if ((uintptr_t)tribus_tensor_address(t) % (plan->dtype.bits / 8u) != 0)
        return wrong(k, plan, t, "not aligned");
    return TRIBUS_OK;
}

static bool overlap(const tribus_tensor *a, const tribus_tensor *b)
{
    const uintptr_t from_a = (uintptr_t)tribus_tensor_address(a);
    const uintptr_t from_b = (uintptr_t)tribus_tensor_address(b);
    const uintptr_t end_a =
        from_a + (uintptr_t)tribus_tensor_elements(a) * tribus_dtype_bytes(a->dtype);
    const uintptr_t end_b =
        from_b + (uintptr_t)tribus_tensor_elements(b) * tribus_dtype_bytes(b->dtype);

    return from_a < end_b && from_b < end_a;
}

static tribus_status check_ports(tribus_kernel *k, const tribus_tensor *inputs,
                                 const tribus_tensor *outputs)
{
    const tribus_kernel_entry *entry = &k->code->entry;
    tribus_status st;

    for (uint32_t w = 0; w < k->word_count; w++)
        k->args.dims[w] = -1;
    for (uint32_t i = 0; i < entry->input_count; i++) {
        st = check_port(k, &k->inputs[i], &inputs[i]);
        if (st != TRIBUS_OK)
            return st;
    }
    for (uint32_t i = 0; i < entry->output_count; i++) {
        st = check_port(k, &k->outputs[i], &outputs[i]);
        if (st != TRIBUS_OK)
            return st;
        for (uint32_t j = 0; j < entry->input_count; j++)
            if (overlap(&outputs[i], &inputs[j]))
                return wrong(k, &k->outputs[i], &outputs[i], "overlaps an input");
        for (uint32_t j = 0; j < i; j++)
            if (overlap(&outputs[i], &outputs[j]))
                return wrong(k, &k->outputs[i], &outputs[i], "overlaps an output");
    }
    return TRIBUS_OK;
}

tribus_status tribus_kernel_bind(tribus_kernel *kernel, const tribus_tensor *inputs,
                                 uint32_t input_count, const tribus_tensor *outputs,
                                 uint32_t output_count)
{
    const tribus_kernel_entry *entry = &kernel->code->entry;
    tribus_status st;

    kernel->bound = false;
    if (input_count != entry->input_count || output_count != entry->output_count)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "kernel %s: wanted %u inputs and %u outputs, got %u and %u",
                                entry->name, entry->input_count, entry->output_count,
                                input_count, output_count);
    st = check_ports(kernel, inputs, outputs);
    if (st == TRIBUS_OK)
        st = grow_scratch(kernel);
    if (st != TRIBUS_OK)
        return st;
    for (uint32_t i = 0; i < input_count; i++)
        kernel->args.inputs[i] = tribus_tensor_address(&inputs[i]);
    for (uint32_t i = 0; i < output_count; i++)
        kernel->args.outputs[i] = tribus_tensor_address(&outputs[i]);
    kernel->bound = true;
    return TRIBUS_OK;
}

tribus_status tribus_kernel_run(tribus_kernel *kernel)
{
    if (!kernel->bound)
        return tribus_error_set(TRIBUS_BAD_ARG, "kernel %s: run before bind",
                                kernel->code->entry.name);
    return kernel->device->ops->kernel_run(kernel->device, kernel->code, &kernel->args);
}
