/* pipeline.h -- the submitter's handle, as the files of this folder share it.
 *
 * tribus_pipeline_attach() makes one over any plan, so that tests need no agent.
 */
#ifndef TRIBUS_PIPELINE_PIPELINE_H
#define TRIBUS_PIPELINE_PIPELINE_H

#include "pipeline/plan.h"

struct tribus_pipeline {
    tribus_session *session; /* NULL: attached */
    tribus_object object;
    tribus_peers peers;
    tribus_plan *plan;
    bool observer;
    uint32_t flags;
    int64_t deadline_ns, spin_ns, successor_ns;

    tribus_pass *passes;  /* of the run that finishes, one per link of the last node */
    uint32_t *got;        /* per slot: links of the last node that the run has come by */
    uint8_t *phase;       /* per slot: what the run is, see pipeline_run.c */
    uint32_t *priority;   /* per slot: of the run */
    uint8_t *result_made; /* per slot and result: the tensor is there */

    uint64_t next_run;  /* to be submitted */
    uint64_t await_run; /* the oldest without a result; later ones may have theirs */
    uint64_t released;  /* this run and all before are */
    uint32_t flying;    /* runs without a result */
    uint32_t mixed;     /* of them, of another priority than the pipeline's */
    bool claimed;
    uint32_t claimed_priority;
    uint32_t version[TRIBUS_GRAPH_MOST_KEPT];
    bool kept_written[TRIBUS_GRAPH_MOST_KEPT], kept_dirty[TRIBUS_GRAPH_MOST_KEPT];

    /* what this one replaced, until its last run is released; its runs are 1..offset of the
     * caller's numbers, ours begin behind them */
    tribus_pipeline *before;
    uint64_t offset;
    uint32_t replaced; /* how often */

    int64_t checked_ns; /* when the hosts were last looked at */
    int64_t lost_ns;    /* since when one that we need is dead; 0: none is */
};

/* A handle over a plan. plan: taken on TRIBUS_OK. cfg: its times and flags are used.
 * Returns TRIBUS_OK, TRIBUS_NO_MEMORY or TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_attach(tribus_plan *plan,
                                                       const tribus_peers *peers,
                                                       const tribus_pipeline_cfg *cfg,
                                                       tribus_pipeline **out);

/* The text of cfg, its graph with operations checked, and the bytes its plan takes. text:
 * free(); graph: tribus_graph_close(); both owned by the caller. */
typedef struct tribus_pipeline_source {
    char *text;
    size_t bytes;
    char origin[256];
    tribus_graph *graph;
    uint64_t plan_bytes;
} tribus_pipeline_source;

TRIBUS_MUST_CHECK tribus_status tribus_pipeline_read(const tribus_pipeline_cfg *cfg,
                                                     tribus_pipeline_source *out);
void tribus_pipeline_source_close(tribus_pipeline_source *source);

/* Put `fresh`, ready and of the same ports, in the place of what pipe is; see
 * tribus_pipeline_replace_wait(). Returns TRIBUS_OK, TRIBUS_FULL or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_swap(tribus_pipeline *pipe,
                                                     tribus_pipeline *fresh);

/* Do two pipelines take the same inputs and give the same results? */
TRIBUS_MUST_CHECK tribus_status tribus_pipeline_same_ports(const tribus_pipeline *a,
                                                           const tribus_pipeline *b);

/* This process among the session's participants. */
void tribus_pipeline_peers(tribus_session *session, tribus_peers *out);

/* Name of a pipeline's object in the registry. */
void tribus_pipeline_object_name(const char *name, char out[TRIBUS_NAME_BYTES]);

#endif
