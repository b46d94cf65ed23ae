/* pipeline.c -- see tribus/pipeline.h: registering and closing. pipeline_run.c submits,
 * pipeline_look.c counts. */
#include "pipeline/pipeline.h"

#include "base/error.h"
#include "base/os.h"
#include "pipeline/operation.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reading ---- */

static tribus_status read_text(const tribus_pipeline_cfg *cfg, tribus_pipeline_source *out)
{
    tribus_status st;

    (void)snprintf(out->origin, sizeof(out->origin), "%s",
                   cfg->path != NULL ? cfg->path : "pipeline");
    if (cfg->text != NULL) {
        out->bytes = strlen(cfg->text);
        out->text = strdup(cfg->text);
        return out->text != NULL ? TRIBUS_OK
                                 : tribus_error_set(TRIBUS_NO_MEMORY, "%s", out->origin);
    }
    if (cfg->path == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline: neither a path nor a text");
    st = tribus_os_read_file(cfg->path, 4u << 20, &out->text, &out->bytes);
    if (st != TRIBUS_OK)
        tribus_error_add("pipeline");
    return st;
}

/* The absolute folder of the text, to which the files it names are relative. */
static tribus_status folder_of(const tribus_pipeline_cfg *cfg, char *out, size_t bytes)
{
    char path[PATH_MAX], real[PATH_MAX];
    const char *slash = cfg->path != NULL ? strrchr(cfg->path, '/') : NULL;

    (void)snprintf(path, sizeof(path), "%.*s",
                   slash != NULL ? (int)(slash - cfg->path) + 1 : 1,
                   slash != NULL ? cfg->path : ".");
    if (realpath(path, real) == NULL)
        return tribus_error_set(TRIBUS_SYSTEM, "pipeline: folder %s", path);
    if (strlen(real) >= bytes)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline: folder %s: too long", real);
    (void)snprintf(out, bytes, "%s", real);
    return TRIBUS_OK;
}

static tribus_status check_operations(const tribus_graph *graph)
{
    for (uint32_t i = 1; i + 1 < graph->node_count; i++) {
        const tribus_status st = tribus_operation_check(graph, &graph->nodes[i]);

        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

static tribus_status check_memory(const tribus_graph *graph, uint64_t bytes)
{
    const char *where = "";
    const size_t left = tribus_os_memory_left(&where);

    if (bytes <= left)
        return TRIBUS_OK;
    return tribus_error_set(
        TRIBUS_NO_MEMORY,
        "pipeline %s: takes %llu MiB, %zu MiB are left (%s): allow fewer "
        "runs in flight, or smaller dimensions",
        graph->name, (unsigned long long)(bytes >> 20), left >> 20, where);
}

tribus_status tribus_pipeline_read(const tribus_pipeline_cfg *cfg,
                                   tribus_pipeline_source *out)
{
    char folder[sizeof(out->graph->folder)];
    tribus_status st;

    memset(out, 0, sizeof(*out));
    if (cfg->dim_count > 0 && cfg->dims == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline: %u dimensions, but none given",
                                cfg->dim_count);
    if (cfg->param_count > TRIBUS_GRAPH_MOST_GIVEN ||
        (cfg->param_count > 0 && cfg->params == NULL))
        return tribus_error_set(TRIBUS_BAD_ARG, "pipeline: %u params; at most %u",
                                cfg->param_count, TRIBUS_GRAPH_MOST_GIVEN);
    st = read_text(cfg, out);
    if (st == TRIBUS_OK)
        st = folder_of(cfg, folder, sizeof(folder));
    if (st == TRIBUS_OK) {
        const tribus_graph_cfg graph_cfg = {.text = out->text,
                                            .bytes = out->bytes,
                                            .origin = out->origin,
                                            .folder = folder,
                                            .dims = cfg->dims,
                                            .dim_count = cfg->dim_count,
                                            .params = cfg->params,
                                            .param_count = cfg->param_count,
                                            .runs = cfg->runs};

        st = tribus_graph_open(&graph_cfg, &out->graph);
    }
    if (st == TRIBUS_OK && cfg->name != NULL) {
        if (strlen(cfg->name) >= sizeof(out->graph->name) || cfg->name[0] == '\0')
            st = tribus_error_set(TRIBUS_BAD_ARG, "pipeline name `%.60s`: 1 to %zu letters",
                                  cfg->name, sizeof(out->graph->name) - 1);
        else
            (void)snprintf(out->graph->name, sizeof(out->graph->name), "%s", cfg->name);
    }
    if (st == TRIBUS_OK)
        st = check_operations(out->graph);
    if (st == TRIBUS_OK)
        st = tribus_plan_size(out->graph, out->bytes, &out->plan_bytes);
    if (st == TRIBUS_OK)
        st = check_memory(out->graph, out->plan_bytes);
    if (st != TRIBUS_OK)
        tribus_pipeline_source_close(out);
    return st;
}

void tribus_pipeline_source_close(tribus_pipeline_source *source)
{
    free(source->text);
    tribus_graph_close(source->graph);
    memset(source, 0, sizeof(*source));
}

tribus_status tribus_pipeline_check(const tribus_pipeline_cfg *cfg, uint64_t *bytes)
{
    tribus_pipeline_source source;
    const tribus_status st = tribus_pipeline_read(cfg, &source);

    if (st != TRIBUS_OK)
        return st;
    if (bytes != NULL)
        *bytes = source.plan_bytes;
    tribus_pipeline_source_close(&source);
    return TRIBUS_OK;
}

/* ---- handles ---- */

tribus_status tribus_pipeline_attach(tribus_plan *plan, const tribus_peers *peers,
                                     const tribus_pipeline_cfg *cfg, tribus_pipeline **out)
{
    const tribus_graph *g = plan->graph;
    const tribus_graph_node *last = &g->nodes[g->node_count - 1];
    tribus_pipeline *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "pipeline %s", g->name);
    p->plan = plan;
    p->peers = *peers;
    p->flags = cfg->flags;
    p->deadline_ns = cfg->deadline_ns != 0 ? cfg->deadline_ns : g->deadline_ns;
    p->spin_ns = cfg->spin_ns;
    p->successor_ns = cfg->successor_ns;
    p->next_run = p->await_run = 1;
    p->passes = calloc(last->in_count + 1u, sizeof(*p->passes));
    p->got = calloc(g->slots, sizeof(*p->got));
    p->phase = calloc(g->slots, sizeof(*p->phase));
    p->priority = calloc(g->slots, sizeof(*p->priority));
    p->result_made = calloc((size_t)g->slots * (last->input_count + 1u), 1);
    if (p->passes == NULL || p->got == NULL || p->phase == NULL || p->priority == NULL ||
        p->result_made == NULL) {
        p->plan = NULL; /* stays the caller's */
        tribus_pipeline_close(p);
        return tribus_error_set(TRIBUS_NO_MEMORY, "pipeline %s", g->name);
    }
    *out = p;
    return TRIBUS_OK;
}

static void end_plan(tribus_pipeline *p)
{
    tribus_store_rlx(&p->plan->shm->closing, 1u); /* a request, it publishes nothing */
    for (uint32_t i = 0; i < TRIBUS_PLAN_MOST_HOSTS; i++)
        tribus_doorbell_press(tribus_plan_host_bell(p->plan, i));
}

void tribus_pipeline_close(tribus_pipeline *pipe)
{
    if (pipe == NULL)
        return;
    tribus_pipeline_close(pipe->before);
    if (pipe->plan != NULL && !pipe->observer)
        end_plan(pipe);
    tribus_plan_close(pipe->plan);
    if (pipe->session != NULL)
        tribus_session_drop(pipe->session, &pipe->object, !pipe->observer);
    free(pipe->passes);
    free(pipe->got);
    free(pipe->phase);
    free(pipe->priority);
    free(pipe->result_made);
    free(pipe);
}

/* ---- through the session ---- */

static int peer_lives(void *context, uint32_t participant, uint32_t epoch)
{
    return tribus_session_alive(context, participant, epoch);
}

void tribus_pipeline_peers(tribus_session *session, tribus_peers *out)
{
    tribus_participant row;
    uint32_t cursor = 0;

    *out = (tribus_peers){.alive = peer_lives,
                          .context = session,
                          .participant = tribus_session_participant(session)};
    while (tribus_session_next_participant(session, &cursor, &row) == TRIBUS_OK)
        if (row.number == out->participant)
            out->epoch = row.epoch;
}

void tribus_pipeline_object_name(const char *name, char out[TRIBUS_NAME_BYTES])
{
    (void)snprintf(out, TRIBUS_NAME_BYTES, "pipeline/%s", name);
}

tribus_status tribus_pipeline_register(tribus_session *session,
                                       const tribus_pipeline_cfg *cfg,
                                       tribus_pipeline **out)
{
    tribus_pipeline_source source;
    char name[TRIBUS_NAME_BYTES];
    tribus_plan *plan = NULL;
    tribus_object object;
    tribus_peers peers;
    void *mem;
    tribus_status st = tribus_pipeline_read(cfg, &source);

    if (st != TRIBUS_OK)
        return st;
    tribus_pipeline_peers(session, &peers);
    tribus_pipeline_object_name(source.graph->name, name);
    st = tribus_session_create_object(session, name, TRIBUS_OBJECT_PIPELINE,
                                      (size_t)source.plan_bytes, 0, &object, &mem);
    if (st != TRIBUS_OK) {
        tribus_pipeline_source_close(&source);
        return st;
    }
    const tribus_plan_cfg plan_cfg = {.text = source.text,
                                      .text_bytes = source.bytes,
                                      .origin = source.origin,
                                      .params = cfg->params,
                                      .param_count = cfg->param_count,
                                      .flags = cfg->flags,
                                      .participant = peers.participant,
                                      .epoch = peers.epoch};
    st = tribus_plan_create(mem, (size_t)source.plan_bytes, source.graph, &plan_cfg, &plan);
    if (st == TRIBUS_OK) {
        source.graph = NULL; /* the plan's now */
        st = tribus_pipeline_attach(plan, &peers, cfg, out);
        if (st != TRIBUS_OK)
            tribus_plan_close(plan);
    }
    tribus_pipeline_source_close(&source);
    if (st != TRIBUS_OK) {
        tribus_session_drop(session, &object, 1);
        return st;
    }
    (*out)->session = session;
    (*out)->object = object;
    return TRIBUS_OK;
}
