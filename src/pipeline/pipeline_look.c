/* pipeline_look.c -- what anyone may see of a pipeline: counters, spans, who has what. All
 * words are read relaxed, for people; only texts are shown by a claim word. */
#include "base/error.h"
#include "pipeline/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tribus_status open_as(tribus_session *session, const char *name, int writable,
                             tribus_pipeline **out)
{
    char object_name[TRIBUS_NAME_BYTES];
    tribus_pipeline *p = calloc(1, sizeof(*p));
    void *mem;
    tribus_status st;

    if (p == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "pipeline %s", name);
    p->observer = true;
    tribus_pipeline_object_name(name, object_name);
    st = tribus_session_open_object(session, object_name, writable, &p->object, &mem);
    if (st == TRIBUS_OK) {
        p->session = session;
        tribus_pipeline_peers(session, &p->peers);
        if (p->object.kind != TRIBUS_OBJECT_PIPELINE)
            st = tribus_error_set(TRIBUS_CORRUPT, "%s is no pipeline", object_name);
        else
            st = tribus_plan_open(mem, (size_t)p->object.bytes, &p->plan);
    }
    if (st == TRIBUS_EMPTY)
        st = tribus_error_set(TRIBUS_NOT_FOUND, "pipeline %s is not laid out yet", name);
    if (st != TRIBUS_OK) {
        tribus_pipeline_close(p);
        return st;
    }
    *out = p;
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_open(tribus_session *session, const char *name,
                                   tribus_pipeline **out)
{
    return open_as(session, name, 0, out);
}

tribus_status tribus_pipeline_stop(tribus_session *session, const char *name)
{
    tribus_pipeline *pipe = NULL;
    const tribus_status st = open_as(session, name, 1, &pipe);

    if (st != TRIBUS_OK)
        return st;
    tribus_store_rlx(&pipe->plan->shm->stopping, 1u); /* a request, it publishes nothing */
    tribus_pipeline_close(pipe);
    return TRIBUS_OK;
}

static void read_span(const tribus_plan_span_shm *span, tribus_pipeline_span *out)
{
    tribus_histogram_values v;

    tribus_histogram_read((const tribus_histogram *)(const void *)span->bytes, &v);
    *out = (tribus_pipeline_span){.count = v.count,
                                  .p50_ns = (int64_t)v.p50_ns,
                                  .p99_ns = (int64_t)v.p99_ns,
                                  .p999_ns = (int64_t)v.p999_ns,
                                  .most_ns = (int64_t)v.max_ns};
}

/* An input that was copied into its slot went by that copy, not by reference. */
static void read_link(const tribus_pipeline *pipe, uint32_t i,
                      tribus_pipeline_link_row *out)
{
    const tribus_plan_link_shm *shm = tribus_plan_link(pipe->plan, i);
    uint64_t bytes = tribus_load_rlx(&shm->bytes);

    out->runs = tribus_load_rlx(&shm->runs);
    out->bytes_copied = tribus_load_rlx(&shm->bytes_copied);
    if (pipe->plan->graph->links[i].from == 0)
        bytes = bytes > out->bytes_copied ? bytes - out->bytes_copied : 0;
    out->bytes_by_reference = bytes;
}

void tribus_pipeline_get_stats(const tribus_pipeline *pipe, tribus_pipeline_stats *out)
{
    const tribus_graph *g = pipe->plan->graph;
    const tribus_plan_shm *shm = pipe->plan->shm;
    uint64_t released;

    memset(out, 0, sizeof(*out));
    (void)snprintf(out->name, sizeof(out->name), "%s", g->name);
    out->stages = g->node_count - 2u;
    out->links = g->link_count;
    out->inputs = g->nodes[0].output_count;
    out->results = g->nodes[g->node_count - 1].input_count;
    out->most_runs = g->runs;
    out->memory_bytes = pipe->plan->total;
    released = tribus_load_rlx(&shm->released);
    out->submitted = tribus_load_rlx(&shm->submitted);
    out->runs_in_flight =
        out->submitted > released ? (uint32_t)(out->submitted - released) : 0;
    out->finished = tribus_load_rlx(&shm->finished);
    out->failed = tribus_load_rlx(&shm->failed);
    out->late = tribus_load_rlx(&shm->late);
    out->refused = tribus_load_rlx(&shm->refused);
    for (uint32_t i = 0; i < g->link_count; i++) {
        tribus_pipeline_link_row row;

        read_link(pipe, i, &row);
        out->handoffs += row.runs;
        out->bytes_by_reference += row.bytes_by_reference;
        out->bytes_copied += row.bytes_copied;
    }
    out->zero_copy = 1.0;
    if (out->bytes_copied > 0)
        out->zero_copy = (double)out->bytes_by_reference /
                         ((double)out->bytes_by_reference + (double)out->bytes_copied);
    read_span(&shm->total, &out->total);
    read_span(&shm->handoff, &out->handoff);
}

static void name_host(const tribus_pipeline *pipe, uint32_t host,
                      tribus_pipeline_stage_row *out)
{
    const tribus_plan_host_shm *shm = tribus_plan_host(pipe->plan, host);
    const uint64_t who = tribus_load_rlx(&shm->who);
    tribus_participant row;
    uint64_t device[2];
    uint32_t cursor = 0;

    for (int w = 0; w < 2; w++)
        device[w] = tribus_load_rlx(&shm->device[w]);
    memcpy(out->device, device, sizeof(out->device));
    out->device[sizeof(out->device) - 1] = '\0';
    (void)snprintf(out->host, sizeof(out->host), "participant %u", (uint32_t)(who >> 32));
    while (pipe->session != NULL &&
           tribus_session_next_participant(pipe->session, &cursor, &row) == TRIBUS_OK)
        if (row.number == (uint32_t)(who >> 32) && row.epoch == (uint32_t)who)
            (void)snprintf(out->host, sizeof(out->host), "%s", row.name);
}

tribus_status tribus_pipeline_get_stage(const tribus_pipeline *pipe, uint32_t i,
                                        tribus_pipeline_stage_row *out)
{
    const tribus_graph *g = pipe->plan->graph;
    const tribus_plan_stage_shm *shm;
    const tribus_plan_spans_shm *spans;
    const tribus_graph_node *n;
    uint64_t claim;

    if (i + 2 >= g->node_count)
        return TRIBUS_EMPTY;
    n = &g->nodes[i + 1];
    shm = tribus_plan_stage(pipe->plan, i + 1);
    memset(out, 0, sizeof(*out));
    (void)snprintf(out->name, sizeof(out->name), "%s", n->name);
    (void)snprintf(out->domain, sizeof(out->domain), "%s",
                   tribus_graph_domain_name(n->domain));
    (void)snprintf(out->operation, sizeof(out->operation), "%s", n->operation);
    claim = tribus_load_acq(
        tribus_plan_claim(pipe->plan, i + 1)); /* A2 pairs with R2 in host.c's set_claim */
    out->state = tribus_plan_claim_state(claim);
    if (out->state == TRIBUS_STAGE_FAILED || out->state == TRIBUS_STAGE_READY) {
        memcpy(out->text, tribus_plan_text(pipe->plan, i + 1), sizeof(out->text));
        out->text[sizeof(out->text) - 1] = '\0';
    }
    if (tribus_plan_claim_host(claim) != TRIBUS_PLAN_NO_HOST)
        name_host(pipe, tribus_plan_claim_host(claim), out);
    out->runs = tribus_load_rlx(&shm->runs);
    out->failed = tribus_load_rlx(&shm->failed);
    out->late = tribus_load_rlx(&shm->late);
    out->skipped = tribus_load_rlx(&shm->skipped);
    out->redelivered = tribus_load_rlx(&shm->redelivered);
    out->calls = tribus_load_rlx(&shm->calls);
    spans = tribus_plan_spans(pipe->plan, i + 1);
    read_span(&spans->queue, &out->queue);
    read_span(&spans->compute, &out->compute);
    read_span(&spans->handoff, &out->handoff);
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_get_link(const tribus_pipeline *pipe, uint32_t i,
                                       tribus_pipeline_link_row *out)
{
    const tribus_graph *g = pipe->plan->graph;

    if (i >= g->link_count)
        return TRIBUS_EMPTY;
    memset(out, 0, sizeof(*out));
    (void)snprintf(out->from, sizeof(out->from), "%s", g->nodes[g->links[i].from].name);
    (void)snprintf(out->to, sizeof(out->to), "%s", g->nodes[g->links[i].to].name);
    out->state = g->links[i].state;
    read_link(pipe, i, out);
    return TRIBUS_OK;
}

static tribus_status port_row(const tribus_graph_port *ports, uint32_t count, uint32_t i,
                              const char **name, tribus_tensor *shape)
{
    if (i >= count)
        return TRIBUS_EMPTY;
    *name = ports[i].name;
    tribus_plan_tensor(&ports[i], NULL, shape);
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_get_input(const tribus_pipeline *pipe, uint32_t i,
                                        const char **name, tribus_tensor *shape)
{
    const tribus_graph_node *first = &pipe->plan->graph->nodes[0];

    return port_row(first->outputs, first->output_count, i, name, shape);
}

tribus_status tribus_pipeline_get_result(const tribus_pipeline *pipe, uint32_t i,
                                         const char **name, tribus_tensor *shape)
{
    const tribus_graph *g = pipe->plan->graph;
    const tribus_graph_node *last = &g->nodes[g->node_count - 1];

    return port_row(last->inputs, last->input_count, i, name, shape);
}
