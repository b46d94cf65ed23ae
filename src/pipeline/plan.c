/* plan.c -- see plan.h.
 *
 * Ordering:
 *   R0 -> A0   create -> open     whoever sees the magic sees the header and the text
 */
#include "pipeline/plan.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t line_up(uint64_t at, uint64_t to)
{
    return (at + to - 1) / to * to;
}

static uint64_t most_optional(const tribus_graph *g)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < g->node_count; i++)
        for (uint32_t k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k].optional && g->nodes[i].inputs[k].bytes > most)
                most = g->nodes[i].inputs[k].bytes;
    return most;
}

/* Offsets of every part. The graph's bounds (4096 stages, 2^40 bytes a node) keep the sums
 * far below 2^64. */
static tribus_status lay_out(tribus_plan *p, size_t text_bytes)
{
    const tribus_graph *g = p->graph;
    uint64_t at = line_up(sizeof(tribus_plan_shm), 64);

    p->slots_at = calloc(g->node_count, sizeof(*p->slots_at));
    p->kept_at = calloc(g->kept_count + 1u, sizeof(*p->kept_at));
    if (p->slots_at == NULL || p->kept_at == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "lay out pipeline %s", g->name);
    p->text_at = at; /* first, so that its place does not depend on what it says */
    at = line_up(at + text_bytes + 1, 64);
    p->hosts_at = at;
    at += TRIBUS_PLAN_MOST_HOSTS * sizeof(tribus_plan_host_shm);
    p->claims_at = at;
    at = line_up(at + g->node_count * sizeof(uint64_t), 64);
    p->stages_at = at;
    at += g->node_count * sizeof(tribus_plan_stage_shm);
    p->links_at = at;
    at += g->link_count * sizeof(tribus_plan_link_shm);
    p->runs_at = at;
    at = line_up(at + g->slots * sizeof(tribus_plan_run_shm), 64);
    p->passes_at = at;
    at += (uint64_t)g->slots * g->node_count * sizeof(tribus_plan_pass_shm);
    p->texts_at = at;
    at = line_up(at + (uint64_t)g->node_count * TRIBUS_PIPELINE_TEXT_BYTES, 64);
    p->spans_at = at;
    at += g->node_count * sizeof(tribus_plan_spans_shm);
    at = line_up(at, 4096);
    p->zeros_at = at;
    at += line_up(most_optional(g), 64);
    for (uint32_t i = 0; i < g->nodes[0].output_count; i++) {
        const tribus_graph_port *port = &g->nodes[0].outputs[i];

        if (!port->keep)
            continue;
        p->kept_at[port->kept] = at;
        at += line_up(port->bytes, 64) * (g->slots + 1u);
    }
    for (uint32_t i = 0; i < g->node_count; i++) {
        p->slots_at[i] = at;
        at += g->nodes[i].slot_bytes * g->slots;
        if (at > TRIBUS_GRAPH_MOST_BYTES)
            return tribus_error_set(TRIBUS_BAD_DATA,
                                    "pipeline %s: takes more bytes than any memory has",
                                    g->name);
    }
    p->total = line_up(at, 4096);
    return TRIBUS_OK;
}

static tribus_status plan_new(tribus_graph *graph, size_t text_bytes, tribus_plan **out)
{
    tribus_plan *p = calloc(1, sizeof(*p));
    tribus_status st;

    if (p == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "pipeline %s", graph->name);
    p->graph = graph;
    st = lay_out(p, text_bytes);
    if (st != TRIBUS_OK) {
        p->graph = NULL; /* stays the caller's */
        tribus_plan_close(p);
        return st;
    }
    *out = p;
    return TRIBUS_OK;
}

void tribus_plan_close(tribus_plan *plan)
{
    if (plan == NULL)
        return;
    tribus_graph_close(plan->graph);
    free(plan->slots_at);
    free(plan->kept_at);
    free(plan);
}

tribus_status tribus_plan_size(const tribus_graph *graph, size_t text_bytes,
                               uint64_t *bytes)
{
    tribus_plan p = {.graph = (tribus_graph *)(uintptr_t)graph};
    const tribus_status st = lay_out(&p, text_bytes);

    if (st == TRIBUS_OK)
        *bytes = p.total;
    free(p.slots_at);
    free(p.kept_at);
    return st;
}

static void attach(tribus_plan *p, void *mem, size_t bytes)
{
    p->mem = mem;
    p->bytes = bytes;
    p->shm = mem;
}

static void write_header(tribus_plan *p, const tribus_plan_cfg *cfg)
{
    const tribus_graph *g = p->graph;
    tribus_plan_shm *s = p->shm;

    s->version = TRIBUS_PLAN_VERSION;
    s->runs = g->runs;
    s->bytes = p->total;
    s->text_bytes = (uint32_t)cfg->text_bytes;
    s->dim_count = g->dim_count;
    s->flags = cfg->flags;
    s->node_count = g->node_count;
    s->link_count = g->link_count;
    (void)snprintf(s->name, sizeof(s->name), "%s", g->name);
    (void)snprintf(s->origin, sizeof(s->origin), "%s", cfg->origin);
    (void)snprintf(s->folder, sizeof(s->folder), "%s", g->folder);
    for (uint32_t i = 0; i < g->dim_count; i++) {
        (void)snprintf(s->dims[i].name, sizeof(s->dims[i].name), "%s", g->dims[i].name);
        s->dims[i].size = g->dims[i].size;
    }
    s->param_count = cfg->param_count;
    for (uint32_t i = 0; i < cfg->param_count; i++) {
        (void)snprintf(s->params[i].name, sizeof(s->params[i].name), "%s",
                       cfg->params[i].name);
        s->params[i].value = cfg->params[i].value;
    }
    tribus_store_rlx(&s->owner, tribus_plan_who(cfg->participant, cfg->epoch));
    memcpy(p->mem + p->text_at, cfg->text, cfg->text_bytes);
    tribus_doorbell_create(s->bell);
    for (uint32_t i = 0; i < TRIBUS_PLAN_MOST_HOSTS; i++)
        tribus_doorbell_create(tribus_plan_host(p, i)->bell);
}

tribus_status tribus_plan_create(void *mem, size_t bytes, tribus_graph *graph,
                                 const tribus_plan_cfg *cfg, tribus_plan **out)
{
    tribus_plan *p = NULL;
    tribus_status st = plan_new(graph, cfg->text_bytes, &p);

    if (st != TRIBUS_OK)
        return st;
    if (bytes < p->total)
        st = tribus_error_set(TRIBUS_BAD_ARG, "pipeline %s: %zu bytes given, %llu needed",
                              graph->name, bytes, (unsigned long long)p->total);
    if (st == TRIBUS_OK) {
        attach(p, mem, bytes);
        write_header(p, cfg);
    }
    if (st != TRIBUS_OK) {
        p->graph = NULL;
        tribus_plan_close(p);
        return st;
    }
    /* R0 pairs with A0 in tribus_plan_open. */
    tribus_store_rel(&p->shm->magic, TRIBUS_PLAN_MAGIC);
    *out = p;
    return TRIBUS_OK;
}

/* Copy what says how to read the text; the copy ends every string. */
static tribus_status read_header(const tribus_plan_shm *s, size_t bytes,
                                 tribus_plan_shm *copy)
{
    memcpy((char *)copy + sizeof(copy->magic), (const char *)s + sizeof(s->magic),
           offsetof(tribus_plan_shm, owner) - sizeof(s->magic));
    copy->name[sizeof(copy->name) - 1] = '\0';
    copy->origin[sizeof(copy->origin) - 1] = '\0';
    copy->folder[sizeof(copy->folder) - 1] = '\0';
    if (copy->version != TRIBUS_PLAN_VERSION)
        return tribus_error_set(TRIBUS_VERSION, "pipeline: layout version %u, not %u",
                                copy->version, TRIBUS_PLAN_VERSION);
    if (copy->bytes > bytes || copy->text_bytes >= copy->bytes ||
        copy->dim_count > TRIBUS_GRAPH_MOST_DIMS ||
        copy->param_count > TRIBUS_GRAPH_MOST_GIVEN || copy->runs == 0)
        return tribus_error_set(TRIBUS_CORRUPT, "pipeline %s: header makes no sense",
                                copy->name);
    for (uint32_t i = 0; i < copy->dim_count; i++)
        copy->dims[i].name[sizeof(copy->dims[i].name) - 1] = '\0';
    for (uint32_t i = 0; i < copy->param_count; i++)
        copy->params[i].name[sizeof(copy->params[i].name) - 1] = '\0';
    return TRIBUS_OK;
}

tribus_status tribus_plan_open(void *mem, size_t bytes, tribus_plan **out)
{
    const tribus_plan_shm *s = mem;
    const uint64_t text_at = line_up(sizeof(tribus_plan_shm), 64);
    tribus_pipeline_dim dims[TRIBUS_GRAPH_MOST_DIMS];
    tribus_pipeline_param params[TRIBUS_GRAPH_MOST_GIVEN];
    tribus_plan_shm *copy = NULL;
    tribus_graph *graph = NULL;
    tribus_plan *p = NULL;
    char *text = NULL;
    tribus_status st;

    if (bytes < text_at)
        return tribus_error_set(TRIBUS_CORRUPT, "pipeline: %zu bytes hold no header",
                                bytes);
    /* A0 pairs with R0 in tribus_plan_create. */
    if (tribus_load_acq(&s->magic) != TRIBUS_PLAN_MAGIC)
        return TRIBUS_EMPTY;
    st = TRIBUS_NO_MEMORY;
    copy = aligned_alloc(64, (sizeof(*copy) + 63u) / 64u * 64u);
    if (copy == NULL)
        goto done;
    st = read_header(s, bytes, copy);
    if (st != TRIBUS_OK)
        goto done;
    st = TRIBUS_CORRUPT;
    if (text_at + copy->text_bytes > bytes)
        goto done;
    st = TRIBUS_NO_MEMORY;
    text = malloc(copy->text_bytes + 1u);
    if (text == NULL)
        goto done;
    memcpy(text, (const uint8_t *)mem + text_at, copy->text_bytes);
    for (uint32_t i = 0; i < copy->dim_count; i++)
        dims[i] = (tribus_pipeline_dim){copy->dims[i].name, copy->dims[i].size};
    for (uint32_t i = 0; i < copy->param_count; i++)
        params[i] = (tribus_pipeline_param){copy->params[i].name, copy->params[i].value};
    const tribus_graph_cfg cfg = {.text = text,
                                  .bytes = copy->text_bytes,
                                  .origin = copy->origin,
                                  .folder = copy->folder,
                                  .dims = dims,
                                  .dim_count = copy->dim_count,
                                  .params = params,
                                  .param_count = copy->param_count,
                                  .runs = copy->runs};
    st = tribus_graph_open(&cfg, &graph);
    if (st == TRIBUS_OK)
        st = plan_new(graph, copy->text_bytes, &p);
    if (st != TRIBUS_OK)
        goto done;
    graph = NULL; /* the plan's now */
    (void)snprintf(p->graph->name, sizeof(p->graph->name), "%s", copy->name);
    st = TRIBUS_CORRUPT;
    if (p->total > bytes || p->total != copy->bytes ||
        p->graph->node_count != copy->node_count ||
        p->graph->link_count != copy->link_count)
        goto done;
    attach(p, mem, bytes);
    *out = p;
    p = NULL;
    st = TRIBUS_OK;

done:
    if (st == TRIBUS_CORRUPT)
        st = tribus_error_set(st, "pipeline: header and text do not fit together");
    else if (st == TRIBUS_NO_MEMORY)
        st = tribus_error_set(st, "open pipeline");
    tribus_plan_close(p);
    tribus_graph_close(graph);
    free(text);
    free(copy);
    return st;
}

void *tribus_plan_output(const tribus_plan *p, uint32_t node, uint32_t port, uint64_t run)
{
    const tribus_graph_node *n = &p->graph->nodes[node];

    return p->mem + p->slots_at[node] + n->outputs[port].offset * p->graph->slots +
           line_up(n->outputs[port].bytes, 64) * tribus_plan_slot(p, run);
}

void tribus_plan_tensor(const tribus_graph_port *port, void *mem, tribus_tensor *out)
{
    int64_t stride = 1;

    *out = (tribus_tensor){.data = mem,
                           .dtype = port->dtype,
                           .device_type = TRIBUS_DEVICE_CPU,
                           .ndim = port->ndim};
    for (int32_t i = port->ndim - 1; i >= 0; i--) {
        out->shape[i] = port->shape[i];
        out->strides[i] = stride;
        stride *= port->shape[i];
    }
}

uint32_t tribus_plan_kept_versions(const tribus_plan *p)
{
    return p->graph->slots + 1u;
}

void *tribus_plan_kept(const tribus_plan *p, uint32_t k, uint32_t version)
{
    const tribus_graph_node *first = &p->graph->nodes[0];
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < first->output_count; i++)
        if (first->outputs[i].keep && first->outputs[i].kept == k)
            bytes = line_up(first->outputs[i].bytes, 64);
    return p->mem + p->kept_at[k] + bytes * (version % tribus_plan_kept_versions(p));
}

/* ---- hosts ---- */

bool tribus_plan_host_lives(const tribus_plan *p, uint32_t host, const tribus_peers *peers)
{
    uint64_t who;

    if (host >= TRIBUS_PLAN_MOST_HOSTS)
        return false;
    /* Relaxed: an identity to ask about, it publishes nothing. */
    who = tribus_load_rlx(&tribus_plan_host(p, host)->who);
    return who != 0 &&
           peers->alive(peers->context, (uint32_t)(who >> 32), (uint32_t)who) != 0;
}

static bool has_stages(const tribus_plan *p, uint32_t host)
{
    for (uint32_t i = 1; i + 1 < p->graph->node_count; i++)
        if (tribus_plan_claim_host(tribus_load_rlx(tribus_plan_claim(p, i))) == host)
            return true;
    return false;
}

tribus_status tribus_plan_join(tribus_plan *p, const tribus_peers *peers,
                               const char *device, uint32_t *out)
{
    const uint64_t ours = tribus_plan_who(peers->participant, peers->epoch);
    uint64_t name[2] = {0, 0};

    memcpy(name, device, strnlen(device, sizeof(name) - 1));
    for (uint32_t i = 0; i < TRIBUS_PLAN_MOST_HOSTS; i++) {
        tribus_plan_host_shm *h = tribus_plan_host(p, i);
        uint64_t who = tribus_load_rlx(&h->who); /* the swap below decides */

        if (who == ours ||
            (who != 0 && (tribus_plan_host_lives(p, i, peers) || has_stages(p, i))))
            continue;
        if (!tribus_cas_ar(&h->who, &who, ours))
            continue;
        for (int w = 0; w < 2; w++)
            tribus_store_rlx(&h->device[w], name[w]); /* read by people */
        *out = i;
        return TRIBUS_OK;
    }
    return TRIBUS_FULL;
}

void tribus_plan_leave(tribus_plan *p, uint32_t host)
{
    tribus_store_rlx(&tribus_plan_host(p, host)->domains, (uint64_t)0);
    /* Relaxed: our stages were given up before. */
    tribus_store_rlx(&tribus_plan_host(p, host)->who, (uint64_t)0);
}
