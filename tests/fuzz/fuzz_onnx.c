/* fuzz_onnx.c -- any bytes as an ONNX model.
 *
 * Whatever is accepted must be consistent: every index in range, every constant readable. */
#include "neural/onnx_graph.h"
#include "tribus/base.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int holds)
{
    if (!holds)
        abort();
}

static void check_tensor(const tribus_onnx_tensor *t)
{
    double sum = 0.0;

    for (uint64_t i = 0; i < t->elements; i++)
        sum += tribus_onnx_number(t, i) + (double)tribus_onnx_whole(t, i);
    must(t->ndim <= TRIBUS_ONNX_MAX_DIMS && (sum >= 0.0 || sum < 0.0 || sum != sum));
}

static void check_graph(const tribus_onnx_graph *g)
{
    for (uint32_t v = 0; v < g->value_count; v++) {
        must(*g->values[v].name != '\0');
        if (g->values[v].kind == TRIBUS_ONNX_CONSTANT)
            check_tensor(&g->values[v].constant);
    }
    for (uint32_t i = 0; i < g->node_count; i++) {
        const tribus_onnx_node *n = &g->nodes[i];

        for (uint32_t k = 0; k < n->input_count; k++)
            must(n->inputs[k] == TRIBUS_ONNX_ABSENT || n->inputs[k] < g->value_count);
        for (uint32_t k = 0; k < n->output_count; k++)
            must(n->outputs[k] == TRIBUS_ONNX_ABSENT || n->outputs[k] < g->value_count);
        for (uint32_t k = 0; k < n->attribute_count; k++)
            if (n->attributes[k].type == 4)
                check_tensor(&n->attributes[k].t);
    }
    for (uint32_t i = 0; i < g->output_count; i++)
        must(g->outputs[i] < g->value_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
    uint8_t *exact = malloc(n == 0u ? 1u : n); /* so that one byte too far is seen */
    tribus_onnx_graph *g = NULL;

    must(exact != NULL);
    memcpy(exact, input, n);
    if (tribus_onnx_graph_open(exact, n, &g) == TRIBUS_OK)
        check_graph(g);
    else
        must(tribus_error_text()[0] != '\0');
    tribus_onnx_graph_close(g);
    free(exact);
    return 0;
}
