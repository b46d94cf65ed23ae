/* graph.c -- see graph.h: reads nodes and ports; graph_join.c joins and checks them. */
#include "pipeline/graph.h"

#include "base/error.h"
#include "pipeline/document.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const keys_top[] = {"pipeline", "about",   "runs",   "deadline_ms",
                                       "priority", "dims",    "inputs", "stages",
                                       "edges",    "results", NULL};
static const char *const keys_input[] = {"name", "dtype", "shape", "keep", NULL};
static const char *const keys_stage_input[] = {"name", "dtype", "shape", "optional", NULL};
static const char *const keys_output[] = {"name", "dtype", "shape", NULL};
static const char *const keys_stage[] = {"name",    "domain", "operation",   "inputs",
                                         "outputs", "params", "deadline_ms", "finite",
                                         "when",    "batch",  "about",       NULL};

const char *tribus_graph_domain_name(uint32_t domain)
{
    return domain == TRIBUS_DOMAIN_NEURAL ? "neural" : "gpu";
}

const char *tribus_graph_port_text(const tribus_graph_port *port, char *text, size_t bytes)
{
    char dtype[16];
    size_t used = (size_t)snprintf(text, bytes, "%s[",
                                   tribus_dtype_name(port->dtype, dtype, sizeof(dtype)));

    for (int32_t i = 0; i < port->ndim && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i > 0 ? "," : "",
                                 (long long)port->shape[i]);
    if (used < bytes)
        (void)snprintf(text + used, bytes - used, "]");
    return text;
}

const tribus_graph_node *tribus_graph_find(const tribus_graph *graph, const char *name)
{
    for (uint32_t i = 1; i + 1 < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return &graph->nodes[i];
    return NULL;
}

/* ---- named dimensions ---- */

static tribus_status dim_bind(tribus_graph *g, const char *name, int64_t size)
{
    for (uint32_t i = 0; i < g->dim_count; i++)
        if (strcmp(g->dims[i].name, name) == 0)
            return TRIBUS_OK; /* the caller's goes before the text's */
    if (g->dim_count == TRIBUS_GRAPH_MOST_DIMS)
        return tribus_error_set(TRIBUS_BAD_ARG, "more than %u named dimensions",
                                TRIBUS_GRAPH_MOST_DIMS);
    if (size < 1 || size > INT32_MAX)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "dimension %s: %lld is not a size from 1 to %d", name,
                                (long long)size, INT32_MAX);
    (void)snprintf(g->dims[g->dim_count].name, sizeof(g->dims[0].name), "%s", name);
    g->dims[g->dim_count++].size = size;
    return TRIBUS_OK;
}

static tribus_status read_dims(tribus_graph *g, const tribus_document *doc,
                               const tribus_graph_cfg *cfg)
{
    const tribus_node dims = tribus_document_get(doc, tribus_document_root(doc), "dims");
    tribus_node k, v;

    for (uint32_t i = 0; i < cfg->dim_count; i++) {
        const tribus_pipeline_dim *d = &cfg->dims[i];

        if (d->name == NULL || strlen(d->name) >= TRIBUS_PIPELINE_NAME_BYTES)
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "dimension %u: name missing or too long", i);
        const tribus_status st = dim_bind(g, d->name, d->size);
        if (st != TRIBUS_OK)
            return st;
    }
    if (dims != 0 && !tribus_document_is_map(doc, dims))
        return tribus_document_fault(doc, tribus_document_line(doc, dims),
                                     "dims: a map of name: size is wanted here");
    for (int i = 0; tribus_document_pair(doc, dims, i, &k, &v); i++) {
        char name[TRIBUS_PIPELINE_NAME_BYTES];
        int64_t size;
        tribus_status st = tribus_document_name(doc, k, "dims", name, sizeof(name));

        if (st == TRIBUS_OK)
            st = tribus_document_whole(doc, v, name, &size);
        if (st != TRIBUS_OK)
            return st;
        if (dim_bind(g, name, size) != TRIBUS_OK)
            return tribus_document_fault(doc, tribus_document_line(doc, v), "%s",
                                         tribus_error_text());
    }
    return TRIBUS_OK;
}

static tribus_status read_size(const tribus_graph *g, const tribus_document *doc,
                               tribus_node node, const char *port, int64_t *out)
{
    const char *word = tribus_document_word(doc, node);
    char *end;

    if (word == NULL || *word == '\0')
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: shape: a size or a dimension's name is wanted",
                                     port);
    for (uint32_t i = 0; i < g->dim_count; i++) {
        if (strcmp(g->dims[i].name, word) == 0) {
            *out = g->dims[i].size;
            return TRIBUS_OK;
        }
    }
    *out = strtoll(word, &end, 10);
    if (*end != '\0')
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: dimension `%.40s` has no size: add it to `dims` "
                                     "or give it when registering",
                                     port, word);
    if (*out < 1 || *out > INT32_MAX)
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: %.40s is not a size from 1 to %d", port, word,
                                     INT32_MAX);
    return TRIBUS_OK;
}

/* ---- ports ---- */

static tribus_status read_shape(const tribus_graph *g, const tribus_document *doc,
                                tribus_node shape, const char *what, tribus_graph_port *p)
{
    uint64_t bytes = tribus_dtype_bytes(p->dtype);
    tribus_node item;

    if (!tribus_document_is_list(doc, shape))
        return tribus_document_fault(doc, p->line,
                                     "%s: shape: a list like [assets, 2] is wanted", what);
    for (int i = 0; (item = tribus_document_item(doc, shape, i)) != 0; i++) {
        if (i == TRIBUS_TENSOR_MAX_DIMS)
            return tribus_document_fault(doc, p->line, "%s: shape: more than %d dimensions",
                                         what, TRIBUS_TENSOR_MAX_DIMS);
        const tribus_status st = read_size(g, doc, item, what, &p->shape[i]);
        if (st != TRIBUS_OK)
            return st;
        bytes *= (uint64_t)p->shape[i];
        if (bytes > TRIBUS_GRAPH_MOST_BYTES)
            return tribus_document_fault(doc, p->line, "%s: more bytes than any memory has",
                                         what);
        p->ndim = i + 1;
    }
    p->bytes = bytes;
    return TRIBUS_OK;
}

static tribus_status read_port(const tribus_graph *g, const tribus_document *doc,
                               tribus_node node, const char *const *keys, const char *owner,
                               tribus_graph_port *p)
{
    char what[2 * TRIBUS_PIPELINE_NAME_BYTES + 32];
    const char *word;
    tribus_node flag;
    tribus_status st = tribus_document_keys(doc, node, owner, keys);

    if (st != TRIBUS_OK)
        return st;
    p->line = tribus_document_line(doc, node);
    if (tribus_document_get(doc, node, "name") == 0)
        return tribus_document_fault(doc, p->line, "%s: a port needs a name", owner);
    st = tribus_document_name(doc, tribus_document_get(doc, node, "name"), owner, p->name,
                              sizeof(p->name));
    if (st != TRIBUS_OK)
        return st;
    (void)snprintf(what, sizeof(what), "%s %s", owner, p->name);
    word = tribus_document_word(doc, tribus_document_get(doc, node, "dtype"));
    if (word == NULL)
        return tribus_document_fault(doc, p->line, "%s: dtype is missing: f32, i64, ...",
                                     what);
    if (tribus_dtype_parse(word, &p->dtype) != TRIBUS_OK)
        return tribus_document_fault(doc, p->line, "%s: %s", what, tribus_error_text());
    st = read_shape(g, doc, tribus_document_get(doc, node, "shape"), what, p);
    flag = tribus_document_get(doc, node, "keep");
    if (st == TRIBUS_OK && flag != 0)
        st = tribus_document_bool(doc, flag, what, &p->keep);
    flag = tribus_document_get(doc, node, "optional");
    if (st == TRIBUS_OK && flag != 0)
        st = tribus_document_bool(doc, flag, what, &p->optional);
    return st;
}

/* Reads a list of ports; spare: room for that many more behind them. */
static tribus_status read_ports(const tribus_graph *g, const tribus_document *doc,
                                tribus_node list, const char *const *keys,
                                const char *owner, uint32_t spare, tribus_graph_port **out,
                                uint32_t *count)
{
    uint32_t n = 0;
    tribus_graph_port *ports;

    if (list != 0 && !tribus_document_is_list(doc, list))
        return tribus_document_fault(doc, tribus_document_line(doc, list),
                                     "%s: a list of ports is wanted here", owner);
    while (tribus_document_item(doc, list, (int)n) != 0)
        n++;
    if (n > TRIBUS_GRAPH_MOST_PORTS)
        return tribus_document_fault(doc, tribus_document_line(doc, list),
                                     "%s: %u ports; at most %u", owner, n,
                                     TRIBUS_GRAPH_MOST_PORTS);
    ports = calloc((size_t)n + spare + 1u, sizeof(*ports));
    if (ports == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "ports of %s", owner);
    *out = ports; /* given to the graph at once, freed with it */
    for (uint32_t i = 0; i < n; i++) {
        const tribus_node item = tribus_document_item(doc, list, (int)i);
        const tribus_status st = read_port(g, doc, item, keys, owner, &ports[i]);

        if (st != TRIBUS_OK)
            return st;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(ports[j].name, ports[i].name) == 0)
                return tribus_document_fault(doc, ports[i].line, "%s: %s is here twice",
                                             owner, ports[i].name);
        *count = i + 1;
    }
    return TRIBUS_OK;
}

/* ---- stages ---- */

/* A number, a dimension's name, or "name/number": so that the caller's dimensions also steer
 * what is no size, such as paths, or a confidence in ten-thousandths. */
static tribus_status read_param(const tribus_graph *g, const tribus_document *doc,
                                tribus_node node, const char *owner, tribus_graph_param *p)
{
    char what[2 * TRIBUS_PIPELINE_NAME_BYTES + 32];
    const char *word = tribus_document_word(doc, node);
    const size_t n = word != NULL ? strcspn(word, "/") : 0;

    (void)snprintf(what, sizeof(what), "%s: param %s", owner, p->name);
    for (uint32_t i = 0; i < g->dim_count; i++) {
        char *end = NULL;
        double by = 1.0;

        if (strlen(g->dims[i].name) != n || strncmp(g->dims[i].name, word, n) != 0)
            continue;
        if (word[n] == '/')
            by = strtod(word + n + 1, &end);
        if ((end != NULL && *end != '\0') || !(by > 0.0) || !isfinite(by))
            return tribus_document_fault(doc, tribus_document_line(doc, node),
                                         "%s: `%.40s`: a dimension is divided by a number "
                                         "above 0",
                                         what, word);
        p->value = (double)g->dims[i].size / by;
        return TRIBUS_OK;
    }
    return tribus_document_number(doc, node, what, &p->value);
}

static tribus_status read_params(const tribus_graph *g, const tribus_document *doc,
                                 tribus_node map, const char *owner, tribus_graph_node *n)
{
    tribus_node k, v;

    if (map != 0 && !tribus_document_is_map(doc, map))
        return tribus_document_fault(doc, tribus_document_line(doc, map),
                                     "%s: params: a map of name: number is wanted", owner);
    for (int i = 0; tribus_document_pair(doc, map, i, &k, &v); i++) {
        tribus_graph_param *p = &n->params[i];

        if (i == TRIBUS_GRAPH_MOST_PARAMS)
            return tribus_document_fault(doc, tribus_document_line(doc, k),
                                         "%s: more than %d params", owner,
                                         TRIBUS_GRAPH_MOST_PARAMS);
        p->line = tribus_document_line(doc, k);
        tribus_status st = tribus_document_name(doc, k, owner, p->name, sizeof(p->name));
        if (st == TRIBUS_OK)
            st = read_param(g, doc, v, owner, p);
        if (st != TRIBUS_OK)
            return st;
        n->param_count = (uint32_t)i + 1;
    }
    return TRIBUS_OK;
}

/* A param given from outside goes before the text's of that name. */
static tribus_status give_param(tribus_graph *g, const tribus_pipeline_param *given)
{
    const char *dot = given->name != NULL ? strchr(given->name, '.') : NULL;
    char stage[TRIBUS_PIPELINE_NAME_BYTES];
    tribus_graph_node *n = NULL;
    uint32_t i = 0;

    if (dot == NULL || (size_t)(dot - given->name) >= sizeof(stage) ||
        strlen(dot + 1) >= sizeof(n->params[0].name))
        return tribus_error_set(TRIBUS_BAD_ARG, "param %.60s: stage.param is wanted",
                                given->name != NULL ? given->name : "");
    (void)snprintf(stage, sizeof(stage), "%.*s", (int)(dot - given->name), given->name);
    for (uint32_t k = 1; k + 1 < g->node_count; k++)
        if (strcmp(g->nodes[k].name, stage) == 0)
            n = &g->nodes[k];
    if (n == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "param %.60s: there is no stage %s",
                                given->name, stage);
    while (i < n->param_count && strcmp(n->params[i].name, dot + 1) != 0)
        i++;
    if (i == TRIBUS_GRAPH_MOST_PARAMS)
        return tribus_error_set(TRIBUS_BAD_ARG, "param %s: the stage has too many",
                                given->name);
    if (i == n->param_count) {
        n->param_count++;
        n->params[i].line = n->line;
        (void)snprintf(n->params[i].name, sizeof(n->params[i].name), "%s", dot + 1);
    }
    n->params[i].value = given->value;
    return TRIBUS_OK;
}

static tribus_status read_deadline(const tribus_document *doc, tribus_node map,
                                   const char *owner, int64_t *out)
{
    const tribus_node node = tribus_document_get(doc, map, "deadline_ms");
    double ms = 0.0;

    if (node == 0)
        return TRIBUS_OK;
    const tribus_status st = tribus_document_number(doc, node, "deadline_ms", &ms);
    if (st != TRIBUS_OK)
        return st;
    if (!(ms > 0.0 && ms <= 86400e3))
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: deadline_ms: %g is not between 0 and a day",
                                     owner, ms);
    *out = (int64_t)(ms * 1e6);
    return TRIBUS_OK;
}

static tribus_status read_batch(const tribus_document *doc, tribus_node stage,
                                const char *owner, uint32_t *out)
{
    const tribus_node node = tribus_document_get(doc, stage, "batch");
    int64_t whole = 1;

    if (node != 0) {
        const tribus_status st = tribus_document_whole(doc, node, "batch", &whole);

        if (st != TRIBUS_OK)
            return st;
    }
    if (whole < 1 || whole > TRIBUS_GRAPH_MOST_BATCH)
        return tribus_document_fault(
            doc, tribus_document_line(doc, node),
            "%s: batch: %lld runs in one call; 1 to %u are possible", owner,
            (long long)whole, TRIBUS_GRAPH_MOST_BATCH);
    *out = (uint32_t)whole;
    return TRIBUS_OK;
}

static tribus_status read_domain(const tribus_document *doc, tribus_node stage,
                                 tribus_graph_node *n)
{
    const char *word = tribus_document_word(doc, tribus_document_get(doc, stage, "domain"));

    if (word != NULL && strcmp(word, "neural") == 0)
        n->domain = TRIBUS_DOMAIN_NEURAL;
    else if (word != NULL && strcmp(word, "gpu") == 0)
        n->domain = TRIBUS_DOMAIN_GPU;
    else
        return tribus_document_fault(doc, n->line,
                                     "stage %s: domain `%.40s`: neural or gpu is wanted",
                                     n->name, word != NULL ? word : "");
    return TRIBUS_OK;
}

/* The port behind the operation's own that `when` reads: one element of any dtype. */
static void add_when(tribus_graph_node *n, int line)
{
    tribus_graph_port *p = &n->inputs[n->input_count++];

    (void)snprintf(p->name, sizeof(p->name), "when");
    p->line = line;
    n->when = true;
}

static tribus_status read_stage(const tribus_graph *g, const tribus_document *doc,
                                tribus_node node, tribus_graph_node *n)
{
    char owner[TRIBUS_PIPELINE_NAME_BYTES + 24];
    const char *word;
    tribus_node item;
    tribus_status st = tribus_document_keys(doc, node, "stage", keys_stage);

    if (st != TRIBUS_OK)
        return st;
    n->line = tribus_document_line(doc, node);
    if (tribus_document_get(doc, node, "name") == 0)
        return tribus_document_fault(doc, n->line, "stage: name is missing");
    st = tribus_document_name(doc, tribus_document_get(doc, node, "name"), "stage", n->name,
                              sizeof(n->name));
    if (st != TRIBUS_OK)
        return st;
    st = read_domain(doc, node, n);
    if (st != TRIBUS_OK)
        return st;
    word = tribus_document_word(doc, tribus_document_get(doc, node, "operation"));
    if (word == NULL || *word == '\0' || strlen(word) >= sizeof(n->operation))
        return tribus_document_fault(
            doc, n->line, "stage %s: operation is missing: a model file or a kernel's name",
            n->name);
    (void)snprintf(n->operation, sizeof(n->operation), "%s", word);
    (void)snprintf(owner, sizeof(owner), "stage %s: input", n->name);
    st = read_ports(g, doc, tribus_document_get(doc, node, "inputs"), keys_stage_input,
                    owner, 1, &n->inputs, &n->input_count);
    if (st != TRIBUS_OK)
        return st;
    (void)snprintf(owner, sizeof(owner), "stage %s: output", n->name);
    st = read_ports(g, doc, tribus_document_get(doc, node, "outputs"), keys_output, owner,
                    0, &n->outputs, &n->output_count);
    if (st != TRIBUS_OK)
        return st;
    (void)snprintf(owner, sizeof(owner), "stage %s", n->name);
    st = read_params(g, doc, tribus_document_get(doc, node, "params"), owner, n);
    if (st == TRIBUS_OK)
        st = read_deadline(doc, node, owner, &n->deadline_ns);
    if (st == TRIBUS_OK)
        st = read_batch(doc, node, owner, &n->batch);
    item = tribus_document_get(doc, node, "finite");
    if (st == TRIBUS_OK && item != 0) {
        (void)snprintf(owner, sizeof(owner), "stage %s: finite", n->name);
        st = tribus_document_bool(doc, item, owner, &n->finite);
    }
    item = tribus_document_get(doc, node, "when");
    if (st == TRIBUS_OK && item != 0)
        add_when(n, tribus_document_line(doc, item));
    return st;
}

static tribus_status read_stages(tribus_graph *g, const tribus_document *doc)
{
    const tribus_node list = tribus_document_get(doc, tribus_document_root(doc), "stages");
    uint32_t count = 0;

    while (tribus_document_item(doc, list, (int)count) != 0)
        count++;
    if (count == 0 || count > TRIBUS_GRAPH_MOST_STAGES)
        return tribus_document_fault(doc, tribus_document_line(doc, list),
                                     "stages: a list of 1 to %u stages is wanted",
                                     TRIBUS_GRAPH_MOST_STAGES);
    g->nodes = calloc((size_t)count + 2u, sizeof(*g->nodes));
    if (g->nodes == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%u stages", count);
    g->node_count = count + 2;
    for (uint32_t i = 0; i < count; i++) {
        tribus_graph_node *n = &g->nodes[i + 1];
        const tribus_status st =
            read_stage(g, doc, tribus_document_item(doc, list, (int)i), n);

        if (st != TRIBUS_OK)
            return st;
        for (uint32_t j = 1; j <= i; j++)
            if (strcmp(g->nodes[j].name, n->name) == 0)
                return tribus_document_fault(doc, n->line,
                                             "stage %s: the name is taken by line %d",
                                             n->name, g->nodes[j].line);
    }
    return TRIBUS_OK;
}

static tribus_status read_inputs(tribus_graph *g, const tribus_document *doc)
{
    tribus_graph_node *first = &g->nodes[0];
    const tribus_status st =
        read_ports(g, doc, tribus_document_get(doc, tribus_document_root(doc), "inputs"),
                   keys_input, "input", 0, &first->outputs, &first->output_count);

    if (st != TRIBUS_OK)
        return st;
    for (uint32_t i = 0; i < first->output_count; i++) {
        tribus_graph_port *p = &first->outputs[i];

        if (!p->keep)
            continue;
        if (g->kept_count == TRIBUS_GRAPH_MOST_KEPT)
            return tribus_document_fault(doc, p->line, "input %s: more than %u kept inputs",
                                         p->name, TRIBUS_GRAPH_MOST_KEPT);
        p->kept = g->kept_count++;
    }
    return TRIBUS_OK;
}

static tribus_status read_top(tribus_graph *g, const tribus_document *doc,
                              const tribus_graph_cfg *cfg)
{
    const tribus_node root = tribus_document_root(doc);
    tribus_status st = tribus_document_keys(doc, root, "pipeline", keys_top);
    tribus_node node;
    int64_t whole;

    if (st != TRIBUS_OK)
        return st;
    if (tribus_document_get(doc, root, "pipeline") == 0)
        return tribus_document_fault(doc, 1, "`pipeline: <name>` is missing");
    st = tribus_document_name(doc, tribus_document_get(doc, root, "pipeline"), "pipeline",
                              g->name, sizeof(g->name));
    if (st == TRIBUS_OK)
        st = read_deadline(doc, root, "pipeline", &g->deadline_ns);
    if (st != TRIBUS_OK)
        return st;
    whole = TRIBUS_GRAPH_DEFAULT_RUNS;
    node = tribus_document_get(doc, root, "runs");
    if (node != 0 && (st = tribus_document_whole(doc, node, "runs", &whole)) != TRIBUS_OK)
        return st;
    if (cfg->runs != 0)
        whole = cfg->runs;
    if (whole < 1 || whole > TRIBUS_PIPELINE_MOST_RUNS)
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "runs: %lld in flight; 1 to %u are possible",
                                     (long long)whole, TRIBUS_PIPELINE_MOST_RUNS);
    g->runs = (uint32_t)whole;
    whole = 5;
    node = tribus_document_get(doc, root, "priority");
    if (node != 0 &&
        (st = tribus_document_whole(doc, node, "priority", &whole)) != TRIBUS_OK)
        return st;
    if (whole < 0 || whole > 9)
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "priority: %lld is not one of 0 (last) to 9 (first)",
                                     (long long)whole);
    g->priority = (uint32_t)whole;
    return TRIBUS_OK;
}

tribus_status tribus_graph_open(const tribus_graph_cfg *cfg, tribus_graph **out)
{
    tribus_document *doc = NULL;
    tribus_graph *g = calloc(1, sizeof(*g));
    tribus_status st;

    if (g == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "pipeline %s", cfg->origin);
    (void)snprintf(g->origin, sizeof(g->origin), "%s", cfg->origin);
    (void)snprintf(g->folder, sizeof(g->folder), "%s", cfg->folder);
    st = tribus_document_open(cfg->text, cfg->bytes, cfg->origin, &doc);
    if (st == TRIBUS_OK)
        st = read_top(g, doc, cfg);
    if (st == TRIBUS_OK)
        st = read_dims(g, doc, cfg);
    if (st == TRIBUS_OK)
        st = read_stages(g, doc);
    if (st == TRIBUS_OK)
        st = read_inputs(g, doc);
    for (uint32_t i = 0; st == TRIBUS_OK && i < cfg->param_count; i++)
        st = give_param(g, &cfg->params[i]);
    if (st == TRIBUS_OK)
        st = tribus_graph_join(g, doc);
    tribus_document_close(doc);
    if (st != TRIBUS_OK) {
        tribus_graph_close(g);
        return st;
    }
    *out = g;
    return TRIBUS_OK;
}

void tribus_graph_close(tribus_graph *graph)
{
    if (graph == NULL)
        return;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        free(graph->nodes[i].inputs);
        free(graph->nodes[i].outputs);
        free(graph->nodes[i].in_links);
        free(graph->nodes[i].out_links);
    }
    free(graph->nodes);
    free(graph->links);
    free(graph->order);
    free(graph);
}
