/* graph.h -- a pipeline's text as checked nodes, ports and links.
 *
 * Use it to   turn YAML and sizes of named dimensions into what plan.h lays out and stage.h
 *             runs, or into an error that names file, line, stage and edge.
 * Not for     anything shared: a graph is private memory, made anew by every process from
 *             the same text.
 *
 * Node 0 is the submitter giving inputs, node node_count - 1 the submitter taking results,
 * the stages are between them in the order of the file. A link joins two nodes, whatever
 * the number of edges between them; runs pass links. A state link brings what the run
 * before made. A node that reads nothing from this run hangs on node 0, and one that nobody
 * reads in this run hangs on the last node: so every run passes every node, and its result
 * is the proof that no stage holds it any more.
 */
#ifndef TRIBUS_PIPELINE_GRAPH_H
#define TRIBUS_PIPELINE_GRAPH_H

#include "tribus/pipeline.h"

#define TRIBUS_GRAPH_MOST_STAGES  4096u
#define TRIBUS_GRAPH_MOST_EDGES   16384u
#define TRIBUS_GRAPH_MOST_PORTS   64u /* of a stage; the submitter may have more */
#define TRIBUS_GRAPH_MOST_SOURCES 4u  /* edges into one port, all but one `otherwise` */
#define TRIBUS_GRAPH_MOST_PARAMS  TRIBUS_KERNEL_MAX_PARAMS
#define TRIBUS_GRAPH_MOST_DIMS    32u
#define TRIBUS_GRAPH_MOST_GIVEN   16u /* params from outside the text */
#define TRIBUS_GRAPH_MOST_KEPT    16u
#define TRIBUS_GRAPH_MOST_BYTES   ((uint64_t)1 << 40)
#define TRIBUS_GRAPH_DEFAULT_RUNS 8u
#define TRIBUS_GRAPH_MOST_BATCH   64u

typedef struct tribus_graph_source {
    uint32_t node, port; /* port: of its outputs */
    uint32_t link;
    bool state;
} tribus_graph_source;

typedef struct tribus_graph_port {
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    tribus_dtype dtype;
    int32_t ndim;
    int64_t shape[TRIBUS_TENSOR_MAX_DIMS];
    uint64_t bytes;
    uint64_t offset; /* outputs: first byte in the node's slot, a multiple of 64 */
    tribus_graph_source sources[TRIBUS_GRAPH_MOST_SOURCES]; /* inputs: first that ran */
    uint32_t source_count;
    bool optional; /* inputs: zeros when no source ran */
    bool keep;     /* outputs of node 0: holds its value over runs */
    uint32_t kept; /* number among the kept */
    int line;
} tribus_graph_port;

typedef struct tribus_graph_param {
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    double value;
    int line;
} tribus_graph_param;

typedef struct tribus_graph_node {
    char name[TRIBUS_PIPELINE_NAME_BYTES]; /* "" for the submitter */
    char operation[256];
    uint32_t domain;           /* one bit of TRIBUS_DOMAIN_ */
    tribus_graph_port *inputs; /* the last one is `when`, if there is one */
    tribus_graph_port *outputs;
    uint32_t input_count, output_count;
    bool when; /* runs only if element 0 of the last input is not zero */
    tribus_graph_param params[TRIBUS_GRAPH_MOST_PARAMS];
    uint32_t param_count;
    int64_t deadline_ns; /* from submit to the beginning of the stage; 0: none */
    uint32_t batch;      /* runs that one call may take; 1: one each */
    bool finite;         /* outputs with NaN or infinity fail the run */
    uint64_t slot_bytes; /* of one run's outputs; a multiple of 64, 0 when none */
    uint32_t *in_links, *out_links;
    uint32_t in_count, out_count;
    int line;
} tribus_graph_node;

typedef struct tribus_graph_link {
    uint32_t from, to;
    bool state;
    uint64_t bytes; /* that a run hands over */
    int line;
} tribus_graph_link;

typedef struct tribus_graph {
    char name[TRIBUS_PIPELINE_NAME_BYTES];
    char origin[256]; /* the text's name in errors */
    char folder[512]; /* operations that are files are relative to it */
    uint32_t runs;    /* in flight */
    uint32_t slots;   /* of every node: runs, and one more where there is state */
    int64_t deadline_ns;
    uint32_t priority; /* 0..9, 9 first */
    tribus_graph_node *nodes;
    uint32_t node_count; /* stages + 2 */
    tribus_graph_link *links;
    uint32_t link_count;
    uint32_t *order; /* every node once, producers first */
    uint32_t kept_count;
    uint32_t dim_count; /* of the sizes below, as they were bound */
    struct {
        char name[TRIBUS_PIPELINE_NAME_BYTES];
        int64_t size;
    } dims[TRIBUS_GRAPH_MOST_DIMS];
} tribus_graph;

typedef struct tribus_graph_cfg {
    const char *text;
    size_t bytes;
    const char *origin; /* the text's name in errors */
    const char *folder; /* absolute, or "" for the working folder */
    const tribus_pipeline_dim *dims;
    uint32_t dim_count;
    const tribus_pipeline_param *params;
    uint32_t param_count;
    uint32_t runs; /* 0: the text's */
} tribus_graph_cfg;

/* Returns TRIBUS_OK, TRIBUS_BAD_DATA (text names line, stage, edge), TRIBUS_BAD_ARG
 * (cfg's dims) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_graph_open(const tribus_graph_cfg *cfg,
                                                  tribus_graph **out);
void tribus_graph_close(tribus_graph *graph);

/* "f32[439,2]" into text; returns text. */
const char *tribus_graph_port_text(const tribus_graph_port *port, char *text, size_t bytes);

/* A stage's node by name, or NULL. */
const tribus_graph_node *tribus_graph_find(const tribus_graph *graph, const char *name);

/* "neural" or "gpu". */
const char *tribus_graph_domain_name(uint32_t domain);

/* Inputs the operation sees: without `when`. */
static inline uint32_t tribus_graph_operands(const tribus_graph_node *node)
{
    return node->input_count - (node->when ? 1u : 0u);
}

/* The second half of opening, in graph_join.c: nodes joined by the edges, everything
 * checked. lines: of edges, in errors named as origin:line. */
struct tribus_document;
TRIBUS_MUST_CHECK tribus_status tribus_graph_join(tribus_graph *graph,
                                                  const struct tribus_document *doc);

#endif
