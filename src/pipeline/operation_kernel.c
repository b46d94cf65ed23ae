/* operation_kernel.c -- operations of the domain gpu: the kernels of device.h. */
#include "base/error.h"
#include "pipeline/operation.h"

#include <string.h>

static bool knows(const char *word)
{
    return tribus_kernel_find(word) != NULL;
}

/* A kernel's row as an operation's, for the checks they share. */
static void entry_of(const tribus_kernel_entry *k, tribus_operation_entry *out)
{
    memset(out, 0, sizeof(*out));
    out->name = k->name;
    out->domains = TRIBUS_DOMAIN_GPU;
    memcpy(out->inputs, k->inputs, sizeof(out->inputs));
    memcpy(out->outputs, k->outputs, sizeof(out->outputs));
    memcpy(out->params, k->params, sizeof(out->params));
    out->input_count = k->input_count;
    out->output_count = k->output_count;
    out->param_count = k->param_count;
}

static tribus_status check(const tribus_graph *graph, const tribus_graph_node *node)
{
    tribus_operation_entry entry;
    tribus_status st;

    entry_of(tribus_kernel_find(node->operation), &entry);
    st = tribus_operation_match(graph, node, &entry);
    return st == TRIBUS_OK ? tribus_operation_params(graph, node, &entry, NULL) : st;
}

static tribus_status runs_on(const tribus_graph *graph, const tribus_graph_node *node,
                             tribus_device *device)
{
    tribus_kernel *kernel = NULL;
    const tribus_status st = tribus_kernel_open(device, node->operation, &kernel);

    (void)graph;
    tribus_kernel_close(kernel);
    return st;
}

static tribus_status open_kernel(tribus_operation *op)
{
    tribus_kernel *kernel = NULL;
    tribus_status st = tribus_kernel_open(op->device, op->node->operation, &kernel);

    op->body = kernel;
    for (uint32_t i = 0; st == TRIBUS_OK && i < op->node->param_count; i++)
        st = tribus_kernel_set(kernel, op->node->params[i].name, op->node->params[i].value);
    if (st != TRIBUS_OK)
        return tribus_operation_fault(op->graph, op->node, st, "%s", tribus_error_text());
    op->accelerated = tribus_device_type(op->device) != TRIBUS_DEVICE_CPU;
    return TRIBUS_OK;
}

static tribus_status run(tribus_operation *op, const tribus_operation_call *call)
{
    tribus_kernel *kernel = op->body;
    tribus_status st;

    if (!tribus_operation_same(op, call)) {
        st = tribus_kernel_bind(kernel, call->inputs, call->input_count, call->outputs,
                                call->output_count);
        if (st != TRIBUS_OK) {
            memset(op->bound, 0, sizeof(op->bound));
            return st;
        }
    }
    st = tribus_kernel_run(kernel);
    if (st == TRIBUS_OK && op->accelerated)
        st = tribus_device_synchronise_wait(op->device, TRIBUS_OPERATION_CARD_NS);
    return st;
}

static void close_kernel(tribus_operation *op)
{
    tribus_kernel_close(op->body);
}

const tribus_operation_kind tribus_operation_kernel = {.name = "kernel",
                                                       .knows = knows,
                                                       .check = check,
                                                       .runs_on = runs_on,
                                                       .open = open_kernel,
                                                       .run = run,
                                                       .close = close_kernel};
