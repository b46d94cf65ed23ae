/* fuzz_plan.c -- any text as a pipeline, and any bytes as a plan in shared memory.
 *
 * A text either is refused with one line that names it, or gives a graph whose plan can be
 * laid out, opened again, and laid out to the same size. */
#include "pipeline/operation.h"
#include "pipeline/plan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PLAN (8u << 20)

static void must(int holds)
{
    if (!holds)
        abort();
}

static void lay_out(tribus_graph *graph, const char *text, size_t bytes)
{
    const tribus_plan_cfg cfg = {.text = text, .text_bytes = bytes, .origin = "fuzz"};
    uint64_t size;
    void *mem;
    tribus_plan *plan, *again;

    for (uint32_t i = 1; i + 1 < graph->node_count; i++)
        if (tribus_operation_check(graph, &graph->nodes[i]) != TRIBUS_OK)
            must(tribus_error_text()[0] != '\0');
    if (tribus_plan_size(graph, bytes, &size) != TRIBUS_OK || size > MOST_PLAN) {
        tribus_graph_close(graph);
        return;
    }
    mem = aligned_alloc(4096, (size_t)size);
    must(mem != NULL);
    memset(mem, 0, (size_t)size);
    must(tribus_plan_create(mem, (size_t)size, graph, &cfg, &plan) == TRIBUS_OK);
    must(tribus_plan_open(mem, (size_t)size, &again) == TRIBUS_OK);
    must(again->total == plan->total && again->graph->link_count == graph->link_count);
    tribus_plan_close(again);
    tribus_plan_close(plan);
    free(mem);
}

/* The header of a plan, as a hostile peer may have written it. */
static void open_header(const uint8_t *data, size_t n)
{
    const size_t size = 1u << 20;
    uint8_t *mem = aligned_alloc(4096, size);
    tribus_plan *plan;

    must(mem != NULL);
    memset(mem, 0, size);
    memcpy(mem, data, n < size ? n : size);
    memcpy(mem, &(uint64_t){TRIBUS_PLAN_MAGIC}, 8);
    if (tribus_plan_open(mem, size, &plan) == TRIBUS_OK)
        tribus_plan_close(plan);
    free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    tribus_graph *graph = NULL;
    tribus_status st;

    must(text != NULL);
    memcpy(text, data, n);
    text[n] = '\0';
    const tribus_graph_cfg cfg = {
        .text = text, .bytes = n, .origin = "fuzz", .folder = "/nowhere"};
    st = tribus_graph_open(&cfg, &graph);
    if (st == TRIBUS_OK)
        lay_out(graph, text, n);
    else
        must(tribus_error_text()[0] != '\0');
    if (n > 0 && (data[0] & 1u) == 0)
        open_header(data, n);
    free(text);
    return 0;
}
