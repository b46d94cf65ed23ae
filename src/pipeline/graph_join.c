/* graph_join.c -- the second half of graph.c: edges become links, and everything that can be
 * wrong with a graph as a whole is found here. */
#include "base/error.h"
#include "pipeline/document.h"
#include "pipeline/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const keys_edge[] = {"from", "to", "state", "otherwise", NULL};

typedef struct edge {
    char text[224]; /* "edge a.b -> c.d", for errors */
    uint32_t from, from_port, to, to_port;
    bool state, otherwise;
    int line;
} edge;

/* A growing list of links; the graph's own until the end. */
typedef struct joiner {
    tribus_graph *g;
    const tribus_document *doc;
    uint32_t room;
} joiner;

static bool find_port(const tribus_graph_port *ports, uint32_t count, const char *name,
                      uint32_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(ports[i].name, name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static void list_ports(const tribus_graph_port *ports, uint32_t count, char *text,
                       size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i > 0 ? ", " : "",
                                 ports[i].name);
    if (count == 0)
        (void)snprintf(text, bytes, "none");
}

/* Split "stage.port"; "port" alone gives an empty stage. */
static bool split(const char *word, char *stage, char *port, size_t bytes)
{
    const char *dot = strchr(word, '.');
    const size_t n = dot != NULL ? (size_t)(dot - word) : 0;

    if (n >= bytes || strlen(dot != NULL ? dot + 1 : word) >= bytes)
        return false;
    memcpy(stage, word, n);
    stage[n] = '\0';
    (void)snprintf(port, bytes, "%s", dot != NULL ? dot + 1 : word);
    return true;
}

/* Find "stage.output", or an input of the pipeline by its name alone. */
static tribus_status find_from(const joiner *j, const char *word, edge *e)
{
    char stage[TRIBUS_PIPELINE_NAME_BYTES], port[TRIBUS_PIPELINE_NAME_BYTES], list[256];
    const tribus_graph_node *n;

    if (!split(word, stage, port, sizeof(stage)))
        return tribus_document_fault(j->doc, e->line, "%s: `%.60s` is too long", e->text,
                                     word);
    n = stage[0] == '\0' ? &j->g->nodes[0] : tribus_graph_find(j->g, stage);
    if (n == NULL)
        return tribus_document_fault(j->doc, e->line, "%s: there is no stage %s", e->text,
                                     stage);
    e->from = (uint32_t)(n - j->g->nodes);
    if (find_port(n->outputs, n->output_count, port, &e->from_port))
        return TRIBUS_OK;
    list_ports(n->outputs, n->output_count, list, sizeof(list));
    if (e->from == 0)
        return tribus_document_fault(j->doc, e->line,
                                     "%s: the pipeline has no input %s; it has: %s",
                                     e->text, port, list);
    return tribus_document_fault(j->doc, e->line,
                                 "%s: stage %s has no output %s; it has: %s", e->text,
                                 stage, port, list);
}

static tribus_status find_to(const joiner *j, const char *word, edge *e)
{
    char stage[TRIBUS_PIPELINE_NAME_BYTES], port[TRIBUS_PIPELINE_NAME_BYTES], list[256];
    const tribus_graph_node *n;

    if (!split(word, stage, port, sizeof(stage)) || stage[0] == '\0')
        return tribus_document_fault(
            j->doc, e->line, "%s: `to` wants stage.input, not `%.60s`", e->text, word);
    n = tribus_graph_find(j->g, stage);
    if (n == NULL)
        return tribus_document_fault(j->doc, e->line, "%s: there is no stage %s", e->text,
                                     stage);
    e->to = (uint32_t)(n - j->g->nodes);
    if (find_port(n->inputs, tribus_graph_operands(n), port, &e->to_port))
        return TRIBUS_OK;
    list_ports(n->inputs, tribus_graph_operands(n), list, sizeof(list));
    return tribus_document_fault(j->doc, e->line,
                                 "%s: stage %s has no input %s; it has: %s", e->text, stage,
                                 port, list);
}

/* ---- links ---- */

static tribus_status push(uint32_t **list, uint32_t *count, uint32_t value)
{
    /* room doubles at the powers of two */
    if (*count == 0 || (*count & (*count - 1)) == 0) {
        uint32_t *more = realloc(*list, sizeof(*more) * (*count == 0 ? 1 : *count * 2));

        if (more == NULL)
            return tribus_error_set(TRIBUS_NO_MEMORY, "links of a pipeline");
        *list = more;
    }
    (*list)[(*count)++] = value;
    return TRIBUS_OK;
}

/* The link between two nodes, made if it is not there. */
static tribus_status link_of(joiner *j, uint32_t from, uint32_t to, bool state, int line,
                             uint32_t *out)
{
    tribus_graph *g = j->g;
    tribus_graph_node *a = &g->nodes[from], *b = &g->nodes[to];
    tribus_status st;

    /* the shorter list: the submitter's may be as long as the graph */
    const bool forward = a->out_count < b->in_count;
    const uint32_t *near = forward ? a->out_links : b->in_links;
    const uint32_t count = forward ? a->out_count : b->in_count;

    for (uint32_t i = 0; i < count; i++) {
        const tribus_graph_link *l = &g->links[near[i]];

        if (l->from == from && l->to == to && l->state == state) {
            *out = near[i];
            return TRIBUS_OK;
        }
    }
    if (g->link_count == j->room) {
        const uint32_t room = j->room == 0 ? 16 : j->room * 2;
        tribus_graph_link *more = realloc(g->links, sizeof(*more) * room);

        if (more == NULL)
            return tribus_error_set(TRIBUS_NO_MEMORY, "%u links", room);
        g->links = more;
        j->room = room;
    }
    g->links[g->link_count] =
        (tribus_graph_link){.from = from, .to = to, .state = state, .line = line};
    st = push(&a->out_links, &a->out_count, g->link_count);
    if (st == TRIBUS_OK)
        st = push(&b->in_links, &b->in_count, g->link_count);
    if (st == TRIBUS_OK)
        *out = g->link_count++;
    return st;
}

static bool same_shape(const tribus_graph_port *a, const tribus_graph_port *b)
{
    if (!tribus_dtype_equal(a->dtype, b->dtype) || a->ndim != b->ndim)
        return false;
    for (int32_t i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

/* Check an edge against its ports and enter it as a source of the input. */
static tribus_status join_edge(joiner *j, const edge *e)
{
    const tribus_graph_port *from = &j->g->nodes[e->from].outputs[e->from_port];
    tribus_graph_node *node = &j->g->nodes[e->to];
    tribus_graph_port *to = &node->inputs[e->to_port];
    const bool is_when = node->when && e->to_port + 1 == node->input_count;
    char a[96], b[96];
    uint32_t link;
    tribus_status st;

    if (is_when) {
        to->dtype = from->dtype;
        to->ndim = from->ndim;
        memcpy(to->shape, from->shape, sizeof(to->shape));
        to->bytes = from->bytes;
        if (from->dtype.lanes != 1 || from->bytes == 0)
            return tribus_document_fault(j->doc, e->line, "%s: no number to decide by",
                                         e->text);
    }
    if (!same_shape(from, to))
        return tribus_document_fault(j->doc, e->line,
                                     "%s: brings %s, but %s (line %d) is %s", e->text,
                                     tribus_graph_port_text(from, a, sizeof(a)), to->name,
                                     to->line, tribus_graph_port_text(to, b, sizeof(b)));
    if (e->state && e->from == 0)
        return tribus_document_fault(
            j->doc, e->line, "%s: an input is no state; a stage's output can be", e->text);
    if (to->source_count > 0 && !e->otherwise)
        return tribus_document_fault(
            j->doc, e->line,
            "%s: the input has an edge already; a second choice for "
            "when the first was skipped says `otherwise: true`",
            e->text);
    if (to->source_count == 0 && e->otherwise)
        return tribus_document_fault(j->doc, e->line,
                                     "%s: `otherwise` wants an edge before it", e->text);
    if (to->source_count == TRIBUS_GRAPH_MOST_SOURCES)
        return tribus_document_fault(j->doc, e->line,
                                     "%s: more than %u edges into one input", e->text,
                                     TRIBUS_GRAPH_MOST_SOURCES);
    st = link_of(j, e->from, e->to, e->state, e->line, &link);
    if (st != TRIBUS_OK)
        return st;
    to->sources[to->source_count++] = (tribus_graph_source){
        .node = e->from, .port = e->from_port, .link = link, .state = e->state};
    j->g->links[link].bytes += from->bytes;
    return TRIBUS_OK;
}

static tribus_status read_flag(const tribus_document *doc, tribus_node map, const char *key,
                               const edge *e, bool *out)
{
    const tribus_node node = tribus_document_get(doc, map, key);
    char what[sizeof(e->text) + 16];

    (void)snprintf(what, sizeof(what), "%s: %s", e->text, key);
    return node == 0 ? TRIBUS_OK : tribus_document_bool(doc, node, what, out);
}

static tribus_status read_edge(joiner *j, tribus_node node)
{
    const tribus_document *doc = j->doc;
    const tribus_node from = tribus_document_get(doc, node, "from");
    const tribus_node to = tribus_document_get(doc, node, "to");
    const char *a = tribus_document_word(doc, from), *b = tribus_document_word(doc, to);
    edge e = {.line = tribus_document_line(doc, node)};
    tribus_status st = tribus_document_keys(doc, node, "edge", keys_edge);

    if (st != TRIBUS_OK)
        return st;
    if (a == NULL || b == NULL)
        return tribus_document_fault(doc, e.line, "edge: `from` and `to` are both wanted");
    (void)snprintf(e.text, sizeof(e.text), "edge %.96s -> %.96s", a, b);
    st = read_flag(doc, node, "state", &e, &e.state);
    if (st == TRIBUS_OK)
        st = read_flag(doc, node, "otherwise", &e, &e.otherwise);
    if (st != TRIBUS_OK)
        return st;
    st = find_from(j, a, &e);
    if (st == TRIBUS_OK)
        st = find_to(j, b, &e);
    return st == TRIBUS_OK ? join_edge(j, &e) : st;
}

static tribus_status read_edges(joiner *j)
{
    const tribus_node list =
        tribus_document_get(j->doc, tribus_document_root(j->doc), "edges");
    tribus_node item;

    if (list != 0 && !tribus_document_is_list(j->doc, list))
        return tribus_document_fault(j->doc, tribus_document_line(j->doc, list),
                                     "edges: a list of {from, to} is wanted here");
    for (int i = 0; (item = tribus_document_item(j->doc, list, i)) != 0; i++) {
        if ((uint32_t)i == TRIBUS_GRAPH_MOST_EDGES)
            return tribus_document_fault(j->doc, tribus_document_line(j->doc, item),
                                         "edges: more than %u", TRIBUS_GRAPH_MOST_EDGES);
        const tribus_status st = read_edge(j, item);
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* `when: stage.output` is an edge into the port behind the operation's inputs. */
static tribus_status read_whens(joiner *j)
{
    const tribus_node list =
        tribus_document_get(j->doc, tribus_document_root(j->doc), "stages");

    for (uint32_t i = 1; i + 1 < j->g->node_count; i++) {
        const tribus_graph_node *n = &j->g->nodes[i];
        edge e = {.to = i, .to_port = n->input_count - 1};

        if (!n->when)
            continue;
        const tribus_node stage = tribus_document_item(j->doc, list, (int)i - 1);
        const char *word =
            tribus_document_word(j->doc, tribus_document_get(j->doc, stage, "when"));

        e.line = n->inputs[n->input_count - 1].line;
        (void)snprintf(e.text, sizeof(e.text), "stage %s: when: %.60s", n->name,
                       word != NULL ? word : "?");
        if (word == NULL)
            return tribus_document_fault(j->doc, e.line, "%s: stage.output is wanted",
                                         e.text);
        tribus_status st = find_from(j, word, &e);
        if (st == TRIBUS_OK)
            st = join_edge(j, &e);
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* Results are the inputs of the last node, named as their source. */
static tribus_status read_results(joiner *j)
{
    const tribus_node list =
        tribus_document_get(j->doc, tribus_document_root(j->doc), "results");
    tribus_graph_node *last = &j->g->nodes[j->g->node_count - 1];
    uint32_t count = 0;
    tribus_node item;

    while (tribus_document_item(j->doc, list, (int)count) != 0)
        count++;
    if (count == 0 || count > TRIBUS_GRAPH_MOST_STAGES)
        return tribus_document_fault(j->doc, tribus_document_line(j->doc, list),
                                     "results: a list of stage.output is wanted, 1 to %u",
                                     TRIBUS_GRAPH_MOST_STAGES);
    last->inputs = calloc(count, sizeof(*last->inputs));
    if (last->inputs == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%u results", count);
    for (uint32_t i = 0; i < count; i++) {
        tribus_graph_port *p = &last->inputs[i];
        const char *word;
        edge e = {.to = j->g->node_count - 1, .to_port = i};

        item = tribus_document_item(j->doc, list, (int)i);
        e.line = tribus_document_line(j->doc, item);
        word = tribus_document_word(j->doc, item);
        (void)snprintf(e.text, sizeof(e.text), "result %.90s", word != NULL ? word : "?");
        if (word == NULL || strchr(word, '.') == NULL ||
            strlen(word) >= TRIBUS_PIPELINE_NAME_BYTES)
            return tribus_document_fault(j->doc, e.line,
                                         "%s: stage.output is wanted, at most %u letters",
                                         e.text, TRIBUS_PIPELINE_NAME_BYTES - 1);
        tribus_status st = find_from(j, word, &e);
        if (st != TRIBUS_OK)
            return st;
        *p = j->g->nodes[e.from].outputs[e.from_port];
        p->source_count = 0;
        p->line = e.line;
        (void)snprintf(p->name, sizeof(p->name), "%s", word);
        last->input_count = i + 1;
        st = join_edge(j, &e);
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- the graph as a whole ---- */

/* Inputs that nothing feeds, then the links that hold loose ends to the submitter. */
static tribus_status tie_ends(joiner *j)
{
    tribus_graph *g = j->g;
    const uint32_t last = g->node_count - 1;
    uint32_t link;

    for (uint32_t i = 1; i < last; i++) {
        const tribus_graph_node *n = &g->nodes[i];
        bool reads = false, is_read = false;
        tribus_status st = TRIBUS_OK;

        for (uint32_t p = 0; p < n->input_count; p++)
            if (n->inputs[p].source_count == 0 && !n->inputs[p].optional)
                return tribus_document_fault(j->doc, n->inputs[p].line,
                                             "stage %s: input %s: no edge leads to it",
                                             n->name, n->inputs[p].name);
        for (uint32_t k = 0; k < n->in_count; k++)
            reads = reads || !g->links[n->in_links[k]].state;
        for (uint32_t k = 0; k < n->out_count; k++)
            is_read = is_read || !g->links[n->out_links[k]].state;
        if (!reads)
            st = link_of(j, 0, i, false, n->line, &link);
        if (st == TRIBUS_OK && !is_read)
            st = link_of(j, i, last, false, n->line, &link);
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* Name a cycle: from any node that was not ordered, walk back until one comes again. */
static tribus_status cycle_fault(const joiner *j, const uint32_t *missing)
{
    const tribus_graph *g = j->g;
    char text[400] = "";
    uint32_t at = 0, begin;
    size_t used = 0;

    while (missing[at] == 0)
        at++;
    for (uint32_t step = 0; step <= g->node_count; step++) {
        const tribus_graph_node *n = &g->nodes[at];
        uint32_t k = 0;

        while (g->links[n->in_links[k]].state ||
               missing[g->links[n->in_links[k]].from] == 0)
            k++;
        at = g->links[n->in_links[k]].from;
    }
    begin = at; /* on the cycle by now */
    do {
        const tribus_graph_node *n = &g->nodes[at];
        uint32_t k = 0;

        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s <- ", n->name);
        while (g->links[n->in_links[k]].state ||
               missing[g->links[n->in_links[k]].from] == 0)
            k++;
        at = g->links[n->in_links[k]].from;
    } while (at != begin && used + 64 < sizeof(text));
    return tribus_document_fault(j->doc, g->nodes[begin].line,
                                 "stages in a cycle: %s%s%s; say `state: true` at the edge "
                                 "that brings what the run before made",
                                 text, at != begin ? "... " : "", g->nodes[begin].name);
}

/* Kahn's order; missing[i]: links of node i still to come. */
static tribus_status put_in_order(joiner *j)
{
    tribus_graph *g = j->g;
    uint32_t *missing = calloc(g->node_count, sizeof(*missing));
    uint32_t done = 0, placed = 0;
    tribus_status st = TRIBUS_OK;

    g->order = calloc(g->node_count, sizeof(*g->order));
    if (missing == NULL || g->order == NULL) {
        free(missing);
        return tribus_error_set(TRIBUS_NO_MEMORY, "order of %u stages", g->node_count);
    }
    for (uint32_t l = 0; l < g->link_count; l++)
        missing[g->links[l].to] += g->links[l].state ? 0u : 1u;
    for (uint32_t i = 0; i < g->node_count; i++)
        if (missing[i] == 0)
            g->order[placed++] = i;
    while (done < placed) {
        const tribus_graph_node *n = &g->nodes[g->order[done++]];

        for (uint32_t k = 0; k < n->out_count; k++) {
            const tribus_graph_link *l = &g->links[n->out_links[k]];

            if (!l->state && --missing[l->to] == 0)
                g->order[placed++] = l->to;
        }
    }
    if (placed < g->node_count)
        st = cycle_fault(j, missing);
    free(missing);
    return st;
}

static uint64_t line_up(uint64_t bytes)
{
    return (bytes + 63u) & ~(uint64_t)63u;
}

/* Kept inputs have memory of their own: they take no room in a run's slot. */
static tribus_status place_ports(joiner *j)
{
    for (uint32_t i = 0; i < j->g->node_count; i++) {
        tribus_graph_node *n = &j->g->nodes[i];

        for (uint32_t p = 0; p < n->output_count; p++) {
            if (n->outputs[p].keep)
                continue;
            n->outputs[p].offset = n->slot_bytes;
            n->slot_bytes += line_up(n->outputs[p].bytes);
            if (n->slot_bytes > TRIBUS_GRAPH_MOST_BYTES)
                return tribus_document_fault(
                    j->doc, n->line, "stage %s: more bytes than any memory has", n->name);
        }
    }
    return TRIBUS_OK;
}

tribus_status tribus_graph_join(tribus_graph *graph, const tribus_document *doc)
{
    joiner j = {.g = graph, .doc = doc};
    tribus_status st = read_edges(&j);

    if (st == TRIBUS_OK)
        st = read_whens(&j);
    if (st == TRIBUS_OK)
        st = read_results(&j);
    if (st == TRIBUS_OK)
        st = tie_ends(&j);
    if (st == TRIBUS_OK)
        st = put_in_order(&j);
    if (st == TRIBUS_OK)
        st = place_ports(&j);
    graph->slots = graph->runs;
    for (uint32_t l = 0; st == TRIBUS_OK && l < graph->link_count; l++)
        if (graph->links[l].state)
            graph->slots = graph->runs + 1;
    return st;
}
