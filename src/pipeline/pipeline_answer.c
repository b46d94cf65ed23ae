/* pipeline_answer.c -- see pipeline_answer.h. */
#include "pipeline/pipeline_answer.h"

#include "base/error.h"
#include "base/platform.h"
#include "pipeline/pipeline.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST TRIBUS_PIPELINE_ANSWER_MOST

tribus_status tribus_pipeline_answer_open(tribus_pipeline_answer **out)
{
    tribus_pipeline_answer *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "answer about pipelines");
    *out = a;
    return TRIBUS_OK;
}

void tribus_pipeline_answer_close(tribus_pipeline_answer *a)
{
    free(a); /* pipelines were closed with their session */
}

static int32_t find(const tribus_pipeline_answer *a, const char *name)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (strcmp(a->names[i], name) == 0)
            return (int32_t)i;
    }
    return -1;
}

static void drop(tribus_pipeline_answer *a, uint32_t i)
{
    tribus_pipeline_answer_forget(a, a->pipes[i]);
    tribus_pipeline_close(a->pipes[i]);
    a->count--;
    a->pipes[i] = a->pipes[a->count];
    memmove(a->names[i], a->names[a->count], sizeof(a->names[i]));
}

/* A name that is one of a file, and none of a path. */
static tribus_status check_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", *c) == NULL)
            return tribus_error_set(TRIBUS_BAD_ARG, "pipeline: %s: a-z 0-9 _ - are allowed",
                                    name);
    }
    return name[0] != '\0' ? TRIBUS_OK
                           : tribus_error_set(TRIBUS_BAD_ARG, "pipeline: a name is needed");
}

/* Whoever can send a message must not choose what code a host runs, or what file it reads: of
 * files a text from the wire names the platform's models and nothing else. */
static tribus_status check_files(const tribus_graph *g)
{
    static const char models[] = "../models/";

    for (uint32_t i = 1; i + 1 < g->node_count; i++) {
        const char *op = g->nodes[i].operation;
        const size_t n = strlen(op);
        const bool model = strncmp(op, models, sizeof(models) - 1) == 0 &&
                           strchr(op + sizeof(models) - 1, '/') == NULL && n > 5 &&
                           strcmp(op + n - 5, ".onnx") == 0;

        if (!model && (strchr(op, '/') != NULL || strchr(op, '.') != NULL))
            return tribus_error_set(TRIBUS_REFUSED,
                                    "%s:%d: stage %s: operation %.60s: from the wire only "
                                    "%sNAME.onnx and kernels",
                                    g->origin, g->nodes[i].line, g->nodes[i].name, op,
                                    models);
    }
    return TRIBUS_OK;
}

/* The definition in the members of a request that its type does not have: text, or the same
 * as an object, which is YAML as well. *out: NULL when there is none; the caller frees it. */
static tribus_status definition_of(const char *members, char **out)
{
    char *json = NULL;
    json_error_t fault;
    const json_t *value;
    json_t *root;
    size_t room;

    *out = NULL;
    if (members == NULL || members[0] == '\0')
        return TRIBUS_OK;
    room = strlen(members) + 3;
    json = malloc(room);
    if (json == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "definition");
    (void)snprintf(json, room, "{%s}", members);
    root = json_loads(json, JSON_REJECT_DUPLICATES, &fault);
    free(json);
    if (root == NULL)
        return tribus_error_set(TRIBUS_BAD_DATA, "definition: %s", fault.text);
    value = json_object_get(root, "definition");
    if (json_is_string(value))
        *out = strdup(json_string_value(value));
    else if (json_is_object(value))
        *out = json_dumps(value, JSON_INDENT(1));
    json_decref(root);
    if (value != NULL && *out == NULL)
        return tribus_error_set(TRIBUS_BAD_DATA, "definition: text or an object is wanted");
    return TRIBUS_OK;
}

/* Faults are told as name:line, without the folder: a reply has room for 95 letters. */
static tribus_status without_folder(tribus_status st, const char *folder)
{
    char text[1024];
    const char *at;

    (void)snprintf(text, sizeof(text), "%s", tribus_error_text());
    at = strstr(text, folder);
    return at == NULL ? st
                      : tribus_error_set(st, "%.*s%s", (int)(at - text), text,
                                         at + strlen(folder) + 1);
}

static tribus_status register_text(tribus_session *session, const char *name,
                                   const char *folder, const char *text,
                                   tribus_pipeline **out)
{
    char path[4096 + 64];
    const tribus_pipeline_cfg cfg = {.path = path, .name = name, .text = text};
    tribus_pipeline_source source;
    tribus_status st;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    st = tribus_pipeline_read(&cfg, &source);
    if (st == TRIBUS_OK) {
        st = check_files(source.graph);
        tribus_pipeline_source_close(&source);
    }
    if (st == TRIBUS_OK)
        return tribus_pipeline_register(session, &cfg, out);
    return without_folder(st, folder);
}

static tribus_status add(tribus_pipeline_answer *a, tribus_session *session,
                         const char *name, const char *members)
{
    char file[96];
    char path[4096];
    const tribus_pipeline_cfg cfg = {.path = path, .name = name};
    char *text = NULL;
    tribus_status st;

    if (find(a, name) >= 0)
        return tribus_error_set(TRIBUS_EXISTS, "%s is registered", name);
    if (a->count == MOST)
        return tribus_error_set(TRIBUS_FULL, "%u pipelines are registered: stop one", MOST);
    st = definition_of(members, &text);
    if (st == TRIBUS_OK) {
        (void)snprintf(file, sizeof(file), text != NULL ? "pipelines" : "pipelines/%s.yaml",
                       name);
        st = tribus_platform_file(file, path, sizeof(path));
    }
    if (st == TRIBUS_OK && text != NULL)
        st = register_text(session, name, path, text, &a->pipes[a->count]);
    else if (st == TRIBUS_OK)
        st = tribus_pipeline_register(session, &cfg, &a->pipes[a->count]);
    free(text);
    if (st != TRIBUS_OK)
        return st;
    (void)snprintf(a->names[a->count], sizeof(a->names[0]), "%s", name);
    a->count++;
    return TRIBUS_OK;
}

static tribus_status start(tribus_pipeline_answer *a, tribus_session *session,
                           tribus_msg_hybrid_pipeline_coord *m)
{
    const int32_t i = find(a, m->pipeline);
    tribus_status st;

    if (i < 0)
        return tribus_error_set(TRIBUS_NOT_FOUND, "%s was not registered from the wire",
                                m->pipeline);
    tribus_pipeline_answer_collect(a, a->pipes[i]);
    st = tribus_pipeline_claim(a->pipes[i]);
    if (st == TRIBUS_FULL)
        return tribus_error_set(st, "as many runs as allowed are in flight");
    if (st == TRIBUS_OK)
        st = tribus_pipeline_answer_inputs(session, a->pipes[i], m->inputs);
    return st == TRIBUS_OK ? tribus_pipeline_submit(a->pipes[i], 0, &m->run) : st;
}

static void fill(const tribus_pipeline *pipe, tribus_msg_hybrid_pipeline_coord *m)
{
    tribus_pipeline_stats s;
    tribus_pipeline_link_row link;

    tribus_pipeline_get_stats(pipe, &s);
    m->runs_done = s.finished - s.failed;
    m->runs_failed = s.failed;
    m->total_p50_ns = s.total.p50_ns;
    m->total_p99_ns = s.total.p99_ns;
    m->handoffs = s.handoffs;
    m->handoffs_copied = 0;
    for (uint32_t i = 0; tribus_pipeline_get_link(pipe, i, &link) == TRIBUS_OK; i++) {
        if (link.bytes_copied > 0)
            m->handoffs_copied += link.runs;
    }
    m->runs_in_flight = s.runs_in_flight;
}

/* own: the handle of a pipeline registered here. A session has one mapping of an object, so
 * a second handle on it would take the memory away from the first when it is closed. */
static tribus_status report(tribus_pipeline_answer *a, tribus_session *session,
                            tribus_pipeline *own, tribus_msg_hybrid_pipeline_coord *m)
{
    tribus_pipeline *pipe = NULL;
    tribus_status st;

    if (own != NULL) {
        tribus_pipeline_answer_collect(a, own);
        fill(own, m);
        return TRIBUS_OK;
    }
    st = tribus_pipeline_open(session, m->pipeline, &pipe);
    if (st != TRIBUS_OK)
        return st;
    fill(pipe, m);
    tribus_pipeline_close(pipe);
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_answer_request(void *answer, tribus_session *session,
                                             tribus_msg_hybrid_pipeline_coord *m,
                                             const char *members)
{
    tribus_pipeline_answer *a = answer;
    tribus_status st;
    int32_t i;

    while (m == NULL && a->count > 0)
        drop(a, a->count - 1);
    if (m == NULL)
        return TRIBUS_OK;
    st = check_name(m->pipeline);
    if (st != TRIBUS_OK)
        return st;
    i = find(a, m->pipeline);
    switch ((tribus_wire_pipeline)m->operation) {
    case TRIBUS_WIRE_PIPELINE_REGISTER:
        if (m->text[0] != '\0') /* of the bridge: what came was too long */
            return tribus_error_set(TRIBUS_BAD_ARG, "%s", m->text);
        return add(a, session, m->pipeline, members);
    case TRIBUS_WIRE_PIPELINE_START:
        return start(a, session, m);
    case TRIBUS_WIRE_PIPELINE_STOP:
        if (i < 0)
            return tribus_pipeline_stop(session, m->pipeline);
        drop(a, (uint32_t)i);
        return TRIBUS_OK;
    case TRIBUS_WIRE_PIPELINE_REPORT:
        return report(a, session, i >= 0 ? a->pipes[i] : NULL, m);
    }
    return tribus_error_set(TRIBUS_BAD_ARG, "operation: not one of its choices");
}
