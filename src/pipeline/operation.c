/* operation.c -- see operation.h: the table of kinds, and what they share. */
#include "pipeline/operation.h"

#include "base/error.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tribus_operation_kind *const kinds[] = {
    &tribus_operation_model, &tribus_operation_library, &tribus_operation_kernel,
    &tribus_operation_inbuilt};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

tribus_status tribus_operation_fault(const tribus_graph *graph,
                                     const tribus_graph_node *node, tribus_status st,
                                     const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return tribus_error_set(st == TRIBUS_SYSTEM ? TRIBUS_BAD_DATA : st,
                            "%s:%d: stage %s: %s", graph->origin, node->line, node->name,
                            text);
}

tribus_status tribus_operation_path(const tribus_graph *graph,
                                    const tribus_graph_node *node, char *path, size_t bytes)
{
    const bool alone = node->operation[0] == '/' || graph->folder[0] == '\0';
    const int n = snprintf(path, bytes, "%s%s%s", alone ? "" : graph->folder,
                           alone ? "" : "/", node->operation);

    if (n < 0 || (size_t)n >= bytes)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "operation: the path of %s is too long",
                                      node->operation);
    return TRIBUS_OK;
}

static const tribus_operation_kind *kind_of(const tribus_graph_node *node)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i]->knows(node->operation))
            return kinds[i];
    return NULL;
}

/* The names there are, for whoever mistyped one. */
static tribus_status unknown(const tribus_graph *graph, const tribus_graph_node *node)
{
    char list[300] = "";
    size_t used = 0;
    const tribus_kernel_entry *k;
    const tribus_operation_entry *e;

    for (uint32_t i = 0; (k = tribus_kernel_list(i)) != NULL && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, " %s", k->name);
    for (uint32_t i = 0; (e = tribus_operation_list(i)) != NULL && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, " %s", e->name);
    return tribus_operation_fault(
        graph, node, TRIBUS_BAD_DATA,
        "operation `%.80s`: neither a model file (.onnx), a library (.so) nor one of:%s",
        node->operation, list);
}

static tribus_status check_rows(const tribus_graph *graph, const tribus_graph_node *node,
                                const char *what, const tribus_graph_port *port)
{
    if (port->ndim == 0)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "batch: %s %s has no dimension to grow along", what,
                                      port->name);
    if (port->bytes % 64u != 0)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "batch: %s %s has %llu bytes, no multiple of 64, so "
                                      "runs do not lie side by side",
                                      what, port->name, (unsigned long long)port->bytes);
    return TRIBUS_OK;
}

/* Several runs in one call: each is some rows of a larger tensor. */
static tribus_status check_batch(const tribus_graph *graph, const tribus_graph_node *node,
                                 const tribus_operation_kind *kind)
{
    tribus_status st = TRIBUS_OK;

    if (node->batch < 2)
        return TRIBUS_OK;
    if (kind->takes_rows == NULL || !kind->takes_rows(node->operation))
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "batch: operation %s takes one run at a time",
                                      node->operation);
    if (node->when)
        return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                      "batch: a stage with `when` takes one run at a time");
    for (uint32_t i = 0; i < node->in_count + node->out_count; i++) {
        const uint32_t link =
            i < node->in_count ? node->in_links[i] : node->out_links[i - node->in_count];

        if (graph->links[link].state)
            return tribus_operation_fault(
                graph, node, TRIBUS_BAD_DATA,
                "batch: a stage with state takes one run at a time");
    }
    for (uint32_t i = 0; st == TRIBUS_OK && i < node->input_count; i++) {
        const tribus_graph_source *s = &node->inputs[i].sources[0];

        st = check_rows(graph, node, "input", &node->inputs[i]);
        if (st == TRIBUS_OK && node->inputs[i].source_count > 0 &&
            graph->nodes[s->node].outputs[s->port].keep)
            st = tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                        "batch: input %s reads a kept input, which is the "
                                        "same for all runs",
                                        node->inputs[i].name);
    }
    for (uint32_t i = 0; st == TRIBUS_OK && i < node->output_count; i++)
        st = check_rows(graph, node, "output", &node->outputs[i]);
    return st;
}

tribus_status tribus_operation_check(const tribus_graph *graph,
                                     const tribus_graph_node *node)
{
    const tribus_operation_kind *kind = kind_of(node);
    tribus_status st;

    if (kind == NULL)
        return unknown(graph, node);
    st = kind->check(graph, node);
    return st == TRIBUS_OK ? check_batch(graph, node, kind) : st;
}

bool tribus_operation_runs_on(const tribus_graph *graph, const tribus_graph_node *node,
                              tribus_device *device, char *why, size_t why_bytes)
{
    const tribus_operation_kind *kind = kind_of(node);

    why[0] = '\0';
    if (kind == NULL || tribus_device_type(device) == TRIBUS_DEVICE_CPU)
        return true; /* what there is none of is the business of open */
    if (kind->runs_on == NULL) {
        (void)snprintf(why, why_bytes, "a %s operation runs on the cpu only", kind->name);
        return false;
    }
    if (kind->runs_on(graph, node, device) == TRIBUS_OK)
        return true;
    (void)snprintf(why, why_bytes, "%s", tribus_error_text());
    tribus_error_clear(); /* to be asked is no fault */
    return false;
}

tribus_status tribus_operation_open(const tribus_graph *graph,
                                    const tribus_graph_node *node, tribus_device *device,
                                    uint32_t threads, tribus_operation **out)
{
    const tribus_operation_kind *kind = kind_of(node);
    tribus_operation *op;
    tribus_status st;

    st = tribus_operation_check(graph, node);
    if (st != TRIBUS_OK)
        return st;
    op = calloc(1, sizeof(*op));
    if (op == NULL)
        return tribus_operation_fault(graph, node, TRIBUS_NO_MEMORY, "load %s",
                                      node->operation);
    op->kind = kind;
    op->graph = graph;
    op->node = node;
    op->device = device;
    op->threads = threads;
    st = kind->open(op);
    if (st != TRIBUS_OK) {
        tribus_operation_close(op);
        return st;
    }
    *out = op;
    return TRIBUS_OK;
}

void tribus_operation_close(tribus_operation *op)
{
    if (op == NULL)
        return;
    op->kind->close(op);
    free(op);
}

tribus_status tribus_operation_run(tribus_operation *op, const tribus_operation_call *call)
{
    return op->kind->run(op, call);
}

bool tribus_operation_accelerated(const tribus_operation *op)
{
    return op->accelerated;
}

bool tribus_operation_same(tribus_operation *op, const tribus_operation_call *call)
{
    const int64_t rows = call->input_count > 0 ? call->inputs[0].shape[0] : 0;
    bool same = op->bound_rows == rows;

    op->bound_rows = rows;
    for (uint32_t i = 0; i < call->input_count; i++) {
        same = same && op->bound[i] == call->inputs[i].data;
        op->bound[i] = call->inputs[i].data;
    }
    for (uint32_t i = 0; i < call->output_count; i++) {
        const void **bound = &op->bound[TRIBUS_GRAPH_MOST_PORTS + i];

        same = same && *bound == call->outputs[i].data;
        *bound = call->outputs[i].data;
    }
    return same;
}

/* ---- ports against a table ---- */

typedef struct matcher {
    const tribus_graph *graph;
    const tribus_graph_node *node;
    struct {
        char word[32];
        int64_t size;
    } words[TRIBUS_KERNEL_MAX_PORTS * TRIBUS_TENSOR_MAX_DIMS];
    uint32_t count;
    const tribus_graph_port *any_dtype, *any_shape; /* the first port that was free */
} matcher;

/* One dimension: a number is itself, a word has one size. Returns the size wanted, -1 when
 * the size given settles it. */
static int64_t wanted_size(matcher *m, const char *word, size_t n, int64_t given)
{
    if (*word >= '0' && *word <= '9')
        return strtoll(word, NULL, 10);
    for (uint32_t i = 0; i < m->count; i++)
        if (strlen(m->words[i].word) == n && memcmp(m->words[i].word, word, n) == 0)
            return m->words[i].size;
    if (n < sizeof(m->words[0].word) && m->count < sizeof(m->words) / sizeof(m->words[0])) {
        memcpy(m->words[m->count].word, word, n);
        m->words[m->count++].size = given;
    }
    return -1;
}

static bool dims_fit(matcher *m, const char *dims, const tribus_graph_port *port)
{
    int32_t i = 0;

    if (strcmp(dims, "...") == 0) {
        if (m->any_shape == NULL)
            m->any_shape = port;
        return port->ndim == m->any_shape->ndim &&
               memcmp(port->shape, m->any_shape->shape, sizeof(port->shape)) == 0;
    }
    while (*dims != '\0') {
        const size_t n = strcspn(dims, ",");
        int64_t want;

        if (i == port->ndim)
            return false;
        want = wanted_size(m, dims, n, port->shape[i]);
        if (want >= 0 && want != port->shape[i])
            return false;
        i++;
        dims += n + (dims[n] == ',' ? 1 : 0);
    }
    return i == port->ndim;
}

static bool dtype_fits(matcher *m, const char *name, const tribus_graph_port *port)
{
    tribus_dtype dtype;

    if (strcmp(name, "any") == 0) {
        if (m->any_dtype == NULL)
            m->any_dtype = port;
        return tribus_dtype_equal(m->any_dtype->dtype, port->dtype);
    }
    return tribus_dtype_parse(name, &dtype) == TRIBUS_OK &&
           tribus_dtype_equal(dtype, port->dtype);
}

static tribus_status match_ports(matcher *m, const char *what, const char *operation,
                                 const tribus_kernel_port *table, uint32_t table_count,
                                 const tribus_graph_port *ports, uint32_t count)
{
    const bool open_end = table_count > 0 && strcmp(table[table_count - 1].name, "*") == 0;
    char text[96], sizes[128] = "";
    size_t used = 0;

    if (open_end ? count < table_count : count != table_count)
        return tribus_operation_fault(m->graph, m->node, TRIBUS_BAD_DATA,
                                      "%u %ss, but %s has %u%s", count, what, operation,
                                      table_count, open_end ? " or more" : "");
    for (uint32_t i = 0; i < count; i++) {
        const tribus_kernel_port *want = &table[i < table_count ? i : table_count - 1];

        if (dtype_fits(m, want->dtype, &ports[i]) && dims_fit(m, want->dims, &ports[i]))
            continue;
        for (uint32_t k = 0; k < m->count && used < sizeof(sizes); k++)
            used += (size_t)snprintf(sizes + used, sizeof(sizes) - used, "%s%s=%lld",
                                     k > 0 ? " " : " with ", m->words[k].word,
                                     (long long)m->words[k].size);
        return tribus_operation_fault(
            m->graph, m->node, TRIBUS_BAD_DATA,
            "%s %s (line %d) is %s, but %s wants %s[%s] for %s%s", what, ports[i].name,
            ports[i].line, tribus_graph_port_text(&ports[i], text, sizeof(text)), operation,
            want->dtype, want->dims, want->name, sizes);
    }
    return TRIBUS_OK;
}

tribus_status tribus_operation_match(const tribus_graph *graph,
                                     const tribus_graph_node *node,
                                     const tribus_operation_entry *entry)
{
    matcher m = {.graph = graph, .node = node};
    tribus_status st =
        match_ports(&m, "input", entry->name, entry->inputs, entry->input_count,
                    node->inputs, tribus_graph_operands(node));

    if (st == TRIBUS_OK)
        st = match_ports(&m, "output", entry->name, entry->outputs, entry->output_count,
                         node->outputs, node->output_count);
    if (st == TRIBUS_OK && (entry->domains & node->domain) == 0)
        st = tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                    "operation %s does not run on the domain %s",
                                    entry->name, tribus_graph_domain_name(node->domain));
    return st;
}

tribus_status tribus_operation_params(const tribus_graph *graph,
                                      const tribus_graph_node *node,
                                      const tribus_operation_entry *entry, double *params)
{
    for (uint32_t i = 0; params != NULL && i < entry->param_count; i++)
        params[i] = entry->params[i].fallback;
    for (uint32_t k = 0; k < node->param_count; k++) {
        const tribus_graph_param *p = &node->params[k];
        uint32_t i = 0;

        while (i < entry->param_count && strcmp(entry->params[i].name, p->name) != 0)
            i++;
        if (i == entry->param_count)
            return tribus_operation_fault(graph, node, TRIBUS_BAD_DATA,
                                          "%s has no param %s (line %d)", entry->name,
                                          p->name, p->line);
        if (!(p->value >= entry->params[i].least && p->value <= entry->params[i].most) ||
            (entry->params[i].whole && floor(p->value) != p->value))
            return tribus_operation_fault(
                graph, node, TRIBUS_BAD_DATA,
                "param %s (line %d) is %g; %s wants %s%g to %g", p->name, p->line, p->value,
                entry->name, entry->params[i].whole ? "a whole number from " : "",
                entry->params[i].least, entry->params[i].most);
        if (params != NULL)
            params[i] = p->value;
    }
    return TRIBUS_OK;
}
