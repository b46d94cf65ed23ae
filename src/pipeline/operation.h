/* operation.h -- what a stage runs: a model, a kernel, a built-in or a library's operation
 * behind one face.
 *
 * Not for   describing graphs (graph.h) or moving runs (stage.h).
 * Cost      run binds the tensors when they differ from the last run's, then runs; kernels
 *           and models find tensors they saw before.
 */
#ifndef TRIBUS_PIPELINE_OPERATION_H
#define TRIBUS_PIPELINE_OPERATION_H

#include "pipeline/graph.h"
#include "tribus/operation.h"

typedef struct tribus_operation tribus_operation;

/* A card that has not answered after so long is given up. */
#define TRIBUS_OPERATION_CARD_NS INT64_C(10000000000)

/* Check, without loading anything, that the stage's operation exists on its domain and that
 * its ports and params fit. A model's or library's ports are checked by
 * tribus_operation_open().
 * Returns TRIBUS_OK or TRIBUS_BAD_DATA (text: file, line, stage, why). */
TRIBUS_MUST_CHECK tribus_status tribus_operation_check(const tribus_graph *graph,
                                                       const tribus_graph_node *node);

/* Can the stage's operation run on that device? Every one runs on the CPU. false: why, at
 * least 1 byte, says why not: of a model, which operator of which node. */
bool tribus_operation_runs_on(const tribus_graph *graph, const tribus_graph_node *node,
                              tribus_device *device, char *why, size_t why_bytes);

/* Load it on a device. graph and node are borrowed until close.
 * Returns TRIBUS_OK, or whatever loading said; the text names file, line and stage. */
TRIBUS_MUST_CHECK tribus_status tribus_operation_open(const tribus_graph *graph,
                                                      const tribus_graph_node *node,
                                                      tribus_device *device,
                                                      uint32_t threads,
                                                      tribus_operation **out);
void tribus_operation_close(tribus_operation *op);

/* Run once. Returns TRIBUS_OK or the operation's status, with text. */
TRIBUS_MUST_CHECK tribus_status tribus_operation_run(tribus_operation *op,
                                                     const tribus_operation_call *call);

/* Did it run on an accelerator? */
bool tribus_operation_accelerated(const tribus_operation *op);

/* Do the node's ports fit a table's? Words of dims get one size over all ports.
 * Returns TRIBUS_OK or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_operation_match(const tribus_graph *graph,
                                                       const tribus_graph_node *node,
                                                       const tribus_operation_entry *entry);

/* ---- kinds, a table in operation.c ---- */

typedef struct tribus_operation_kind {
    const char *name;
    /* Is this word one of ours? */
    bool (*knows)(const char *word);
    tribus_status (*check)(const tribus_graph *graph, const tribus_graph_node *node);
    /* (optional) NULL: on the CPU only. Otherwise the status of opening it there. */
    tribus_status (*runs_on)(const tribus_graph *graph, const tribus_graph_node *node,
                             tribus_device *device);
    /* (optional) Can one call take several runs? NULL: no. What only opening can tell is
     * told then. */
    bool (*takes_rows)(const char *word);
    tribus_status (*open)(tribus_operation *op);
    tribus_status (*run)(tribus_operation *op, const tribus_operation_call *call);
    void (*close)(tribus_operation *op);
} tribus_operation_kind;

struct tribus_operation {
    const tribus_operation_kind *kind;
    const tribus_graph *graph;
    const tribus_graph_node *node;
    tribus_device *device;
    uint32_t threads;
    void *body;    /* the kind's own */
    void *context; /* the kind's own */
    double params[TRIBUS_KERNEL_MAX_PARAMS];
    bool accelerated;
    /* first bytes of what is bound now, kinds that bind */
    const void *bound[2 * TRIBUS_GRAPH_MOST_PORTS];
    int64_t bound_rows; /* of the first input */
};

extern const tribus_operation_kind tribus_operation_model;
extern const tribus_operation_kind tribus_operation_kernel;
extern const tribus_operation_kind tribus_operation_library;
extern const tribus_operation_kind tribus_operation_inbuilt;

/* "origin:line: stage name: " and the rest becomes the error text; returns st. */
tribus_status tribus_operation_fault(const tribus_graph *graph,
                                     const tribus_graph_node *node, tribus_status st,
                                     const char *fmt, ...) TRIBUS_PRINTF(4, 5);

/* The stage's file: relative to the pipeline's folder. Returns TRIBUS_OK or TRIBUS_BAD_DATA.
 */
TRIBUS_MUST_CHECK tribus_status tribus_operation_path(const tribus_graph *graph,
                                                      const tribus_graph_node *node,
                                                      char *path, size_t bytes);

/* Fill op->params from the table's fallbacks and the stage's params; checks bounds. params
 * may be NULL: only check. Returns TRIBUS_OK or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_operation_params(const tribus_graph *graph,
                                                        const tribus_graph_node *node,
                                                        const tribus_operation_entry *entry,
                                                        double *params);

/* Do these tensors lie where the last bound ones did? Remembers them. */
bool tribus_operation_same(tribus_operation *op, const tribus_operation_call *call);

#endif
