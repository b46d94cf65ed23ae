/* pipeline_replace.c -- another pipeline in the place of one that runs.
 *
 * The caller's handle becomes the new one; what it was moves behind it and is closed when
 * its last run is released. The caller's run numbers count through both.
 */
#include "base/error.h"
#include "pipeline/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_port(const tribus_graph_port *a, const tribus_graph_port *b)
{
    return strcmp(a->name, b->name) == 0 && tribus_dtype_equal(a->dtype, b->dtype) &&
           a->ndim == b->ndim && a->keep == b->keep &&
           memcmp(a->shape, b->shape, sizeof(a->shape)) == 0;
}

static tribus_status same_list(const char *what, const tribus_graph_port *a,
                               uint32_t a_count, const tribus_graph_port *b,
                               uint32_t b_count)
{
    for (uint32_t i = 0; i < a_count || i < b_count; i++) {
        char had[96] = "none", has[96] = "none";

        if (i < a_count && i < b_count && same_port(&a[i], &b[i]))
            continue;
        if (i < a_count)
            (void)tribus_graph_port_text(&a[i], had, sizeof(had));
        if (i < b_count)
            (void)tribus_graph_port_text(&b[i], has, sizeof(has));
        return tribus_error_set(
            TRIBUS_BAD_DATA, "replace: %s %u was %s %s, and would be %s %s", what, i + 1,
            i < a_count ? a[i].name : "", had, i < b_count ? b[i].name : "", has);
    }
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_same_ports(const tribus_pipeline *a, const tribus_pipeline *b)
{
    const tribus_graph *ga = a->plan->graph, *gb = b->plan->graph;
    const tribus_graph_node *fa = &ga->nodes[0], *fb = &gb->nodes[0];
    const tribus_graph_node *la = &ga->nodes[ga->node_count - 1];
    const tribus_graph_node *lb = &gb->nodes[gb->node_count - 1];
    const tribus_status st =
        same_list("input", fa->outputs, fa->output_count, fb->outputs, fb->output_count);

    return st == TRIBUS_OK ? same_list("result", la->inputs, la->input_count, lb->inputs,
                                       lb->input_count)
                           : st;
}

/* What a kept input held, the new one holds: the one copy that replacing makes. */
static void move_kept(const tribus_pipeline *old, tribus_pipeline *fresh)
{
    const tribus_graph_node *first = &old->plan->graph->nodes[0];

    for (uint32_t i = 0; i < first->output_count; i++) {
        const uint32_t k = first->outputs[i].kept;

        if (!first->outputs[i].keep || !old->kept_written[k])
            continue;
        memcpy(tribus_plan_kept(fresh->plan, k, fresh->version[k]),
               tribus_plan_kept(old->plan, k, old->version[k]),
               (size_t)first->outputs[i].bytes);
        fresh->kept_written[k] = true;
    }
}

tribus_status tribus_pipeline_swap(tribus_pipeline *pipe, tribus_pipeline *fresh)
{
    tribus_pipeline *old;

    if (pipe->before != NULL || pipe->claimed)
        return tribus_error_set(TRIBUS_FULL, "pipeline %s: %s", pipe->plan->graph->name,
                                pipe->claimed ? "submit what is claimed first"
                                              : "the one replaced before still has runs");
    old = malloc(sizeof(*old));
    if (old == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "replace");
    move_kept(pipe, fresh);
    *old = *pipe;
    *pipe = *fresh;
    free(fresh); /* what it held is pipe's now */
    pipe->replaced = old->replaced + 1;
    pipe->offset = old->offset + old->next_run - 1;
    if (old->released + 1 == old->next_run)
        tribus_pipeline_close(old);
    else
        pipe->before = old;
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_replace_wait(tribus_pipeline *pipe,
                                           const tribus_pipeline_cfg *cfg,
                                           int64_t timeout_ns)
{
    tribus_pipeline_cfg named = *cfg;
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    const char *base = pipe->plan->graph->name;
    tribus_pipeline *fresh;
    tribus_status st;

    if (pipe->observer || pipe->session == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline %s is not ours to replace", base);
    (void)snprintf(name, sizeof(name), "%.*s.%u", (int)strcspn(base, "."), base,
                   pipe->replaced + 2);
    named.name = name;
    st = tribus_pipeline_register(pipe->session, &named, &fresh);
    if (st != TRIBUS_OK)
        return st;
    st = tribus_pipeline_same_ports(pipe, fresh);
    if (st == TRIBUS_OK)
        st = tribus_pipeline_ready_wait(fresh, timeout_ns);
    if (st == TRIBUS_OK)
        st = tribus_pipeline_swap(pipe, fresh);
    if (st != TRIBUS_OK)
        tribus_pipeline_close(fresh);
    return st;
}
