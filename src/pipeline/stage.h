/* stage.h -- one stage as its compute host runs it: tokens in, one operation, tokens out.
 *
 * Not for   choosing stages or sleeping (host.h).
 *
 * A stage takes the tokens of run 1, 2, 3 ... from each of its links; when all of a run have
 * come it works, or passes the run on unworked when it failed, is late or was skipped. It
 * writes down that a run is done before it shows the tokens, and shows them before it
 * releases what it read. A successor of a dead host therefore finds the run that was not
 * done offered again, and sends the tokens of the one that was done once more: readers drop
 * the second.
 */
#ifndef TRIBUS_PIPELINE_STAGE_H
#define TRIBUS_PIPELINE_STAGE_H

#include "pipeline/operation.h"
#include "pipeline/plan.h"

typedef struct tribus_stage tribus_stage;

typedef struct tribus_stage_cfg {
    tribus_plan *plan; /* borrowed */
    uint32_t node;     /* claimed by us */
    uint32_t host;     /* our place among the plan's hosts */
    tribus_device *device;
    tribus_device *cpu; /* for operations that `device` cannot run; may be the same */
    void *device_mem;   /* the plan's memory as the device reaches it */
    uint32_t threads;
} tribus_stage_cfg;

/* Load the operation and take up the links. out: owned by the caller.
 * Returns TRIBUS_OK, TRIBUS_FULL (a reader is so far behind that taking over must wait), or
 * why the operation cannot be had. */
TRIBUS_MUST_CHECK tribus_status tribus_stage_open(const tribus_stage_cfg *cfg,
                                                  tribus_stage **out);
void tribus_stage_close(tribus_stage *stage);

/* Where it runs: the device or the CPU. */
tribus_device *tribus_stage_device(const tribus_stage *stage);

uint32_t tribus_stage_node(const tribus_stage *stage);

/* Between two runs: no token was looked at that is not done with. */
bool tribus_stage_is_idle(const tribus_stage *stage);

/* Is there something to do? Looks at the first link whose token has not come. */
bool tribus_stage_ready(tribus_stage *stage);

/* Do it. free_ns: when this host became free; set to when it was done.
 * Returns TRIBUS_OK, TRIBUS_FULL (a reader is behind: ready stays true), or TRIBUS_CORRUPT:
 * the stage must be given up. */
TRIBUS_MUST_CHECK tribus_status tribus_stage_step(tribus_stage *stage, int64_t *free_ns);

#endif
