/* stage_run.h -- what stage.c (open, choose a run) and stage_run.c (do it) share. */
#ifndef TRIBUS_PIPELINE_STAGE_RUN_H
#define TRIBUS_PIPELINE_STAGE_RUN_H

#include "pipeline/stage.h"

/* Measurements wait here, and go into their histograms together: a histogram is 9 KiB, and
 * one value a run would touch two lines and two pages of each of three. */
#define TRIBUS_STAGE_RECENT 20u

typedef struct tribus_stage_recent {
    int64_t queue_ns, compute_ns, handoff_ns;
} tribus_stage_recent;

/* A node that we wait for. */
typedef struct tribus_stage_feed {
    uint32_t node, link;
    uint64_t back; /* 1: state, what the run before made; else 0 */
} tribus_stage_feed;

struct tribus_stage {
    tribus_plan *plan;
    const tribus_graph_node *node;
    tribus_plan_stage_shm *shm;
    tribus_operation *op;
    tribus_stage_feed *feeds;
    tribus_pass *passes; /* what the feeds of the current run said */
    uint32_t feed_count;
    uint32_t index, host;
    uint64_t *pending;
    uint64_t oldest; /* the first run that is not done */
    uint64_t run;    /* the current one */
    uint64_t alone;  /* runs before this one are not batched: something went wrong */
    uint32_t *got;   /* per slot: feeds of the run after the one done that have come */
    tribus_tensor *inputs, *outputs;
    uint64_t flags;
    int64_t end_ns;
    uint32_t batch; /* most runs in one call */
    bool carries;   /* outputs feed the next run */
    bool in_order;  /* state is carried by, or to, this stage */
    bool ahead;     /* runs behind `oldest` may be done */
    uint8_t *mem;   /* the plan's memory as the device reaches it */
    tribus_device *device;
    int32_t device_type, device_index;
    /* Why it is not on its host's device, or "". */
    char why_cpu[TRIBUS_PIPELINE_TEXT_BYTES];
    tribus_status broken; /* what next() found wrong, for step() to report */
    uint32_t recent_count;
    tribus_stage_recent recent[TRIBUS_STAGE_RECENT];
};

/* Has everything come that the run needs? Goes on where the last look ended; true when what
 * came makes no sense, too: stage->broken says so. */
bool tribus_stage_all_came(tribus_stage *stage, uint64_t run);

/* The last run that is done in the slot of this one. */
uint64_t tribus_stage_done_in(const tribus_stage *stage, uint64_t slot);

#endif
