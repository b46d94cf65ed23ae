/* operation_model.c -- operations of the domain neural: a model file each. */
#include "base/error.h"
#include "base/os.h"
#include "pipeline/operation.h"
#include "tribus/neural.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Known by suffix alone: asking the runtimes would load their libraries into every process
 * that only registers a pipeline. */
static const char *const suffixes[] = {".onnx"};

static bool knows(const char *word)
{
    const size_t n = strlen(word);

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const size_t s = strlen(suffixes[i]);

        if (n > s && strcmp(word + n - s, suffixes[i]) == 0)
            return true;
    }
    return false;
}

static tribus_status check(const tribus_graph *graph, const tribus_graph_node *node)
{
    char path[1024];
    tribus_status st = tribus_operation_path(graph, node, path, sizeof(path));

    if (st != TRIBUS_OK)
        return st;
    if (node->domain != TRIBUS_DOMAIN_NEURAL)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "a model runs on the domain neural, not gpu");
    if (tribus_graph_operands(node) > TRIBUS_MODEL_MAX_PORTS ||
        node->output_count > TRIBUS_MODEL_MAX_PORTS)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "a model has at most %d inputs and outputs",
                                      TRIBUS_MODEL_MAX_PORTS);
    if (node->param_count > 0)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "a model has no params (line %d)",
                                      node->params[0].line);
    if (access(path, R_OK) != 0)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "model %s cannot be read: paths are relative to the "
                                      "pipeline's folder",
                                      path);
    return TRIBUS_OK;
}

/* What the stage will bind, in its order, which must be that of the file: the names are
 * compared when the model is opened. */
static void expect(const tribus_graph_port *ports, uint32_t count, tribus_model_port *out)
{
    memset(out, 0, sizeof(*out) * TRIBUS_MODEL_MAX_PORTS);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(out[i].name, sizeof(out[i].name), "%s", ports[i].name);
        out[i].dtype = ports[i].dtype;
        out[i].ndim = ports[i].ndim;
        memcpy(out[i].shape, ports[i].shape, sizeof(out[i].shape));
    }
}

static bool takes_rows(const char *word)
{
    (void)word; /* the file says, when it is opened */
    return true;
}

/* Is the first dimension of every port open in the file? */
static tribus_status check_rows(const tribus_operation *op, const tribus_model *model)
{
    const tribus_model_port *ports;
    uint32_t count;

    for (int end = 0; end < 2; end++) {
        ports = end == 0 ? tribus_model_inputs(model, &count)
                         : tribus_model_outputs(model, &count);
        for (uint32_t i = 0; i < count; i++)
            if (ports[i].ndim < 1 || ports[i].shape[0] != -1)
                return tribus_operation_fault(
                    op->graph, op->node, TRIBUS_BAD_DATA,
                    "batch: the first dimension of the model's %s %s is fixed",
                    end == 0 ? "input" : "output", ports[i].name);
    }
    return TRIBUS_OK;
}

/* device NULL: the CPU. */
static tribus_status open_on(const tribus_graph *graph, const tribus_graph_node *node,
                             tribus_device *device, uint32_t threads, tribus_model **out)
{
    tribus_model_port in[TRIBUS_MODEL_MAX_PORTS], out_ports[TRIBUS_MODEL_MAX_PORTS];
    tribus_model_cfg cfg = {.device = device,
                            .threads = threads,
                            .bindings = graph->slots * (node->batch + 1) + 2,
                            .inputs = in,
                            .outputs = out_ports,
                            .input_count = tribus_graph_operands(node),
                            .output_count = node->output_count};
    char path[1024];
    const tribus_status st = tribus_operation_path(graph, node, path, sizeof(path));

    if (st != TRIBUS_OK)
        return st;
    expect(node->inputs, cfg.input_count, in);
    expect(node->outputs, cfg.output_count, out_ports);
    return tribus_model_open(path, &cfg, out);
}

/* Opened and closed again: which operators a file has is known when it is read. */
static tribus_status runs_on(const tribus_graph *graph, const tribus_graph_node *node,
                             tribus_device *device)
{
    tribus_model *model = NULL;
    const tribus_status st = open_on(graph, node, device, 0, &model);

    tribus_model_close(model);
    return st;
}

static tribus_status open_model(tribus_operation *op)
{
    const bool cpu = tribus_device_type(op->device) == TRIBUS_DEVICE_CPU;
    tribus_model *model = NULL;
    const tribus_status st =
        open_on(op->graph, op->node, cpu ? NULL : op->device, op->threads, &model);

    if (st != TRIBUS_OK)
        return tribus_operation_fault(op->graph, op->node, st, "%s", tribus_error_text());
    op->body = model;
    op->accelerated = !cpu;
    return op->node->batch > 1 ? check_rows(op, model) : TRIBUS_OK;
}

static tribus_status run(tribus_operation *op, const tribus_operation_call *call)
{
    tribus_status st;

    if (!tribus_operation_same(op, call)) {
        st = tribus_model_bind(op->body, call->inputs, call->input_count, call->outputs,
                               call->output_count);

        if (st != TRIBUS_OK) {
            memset(op->bound, 0, sizeof(op->bound));
            return st;
        }
    }
    st = tribus_model_run(op->body);
    if (st == TRIBUS_OK && op->accelerated)
        st = tribus_device_synchronise_wait(op->device, TRIBUS_OPERATION_CARD_NS);
    return st;
}

static void close_model(tribus_operation *op)
{
    tribus_model_close(op->body);
}

const tribus_operation_kind tribus_operation_model = {.name = "model",
                                                      .knows = knows,
                                                      .check = check,
                                                      .takes_rows = takes_rows,
                                                      .runs_on = runs_on,
                                                      .open = open_model,
                                                      .run = run,
                                                      .close = close_model};
