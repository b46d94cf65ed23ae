/* stage.h -- one stage as its compute host runs it: passes in, one operation, a pass out.
 *
 * Not for   choosing stages or sleeping (host.h).
 *
 * A stage does the runs 1, 2, 3 ... one after the other, and another order only where runs
 * differ in priority and nothing carries state. When all that a run needs has come it works,
 * or passes the run on unworked when it failed, is late or was skipped. It writes down that
 * a run was begun, and shows its pass when outputs and fault are complete. A successor of a
 * dead host therefore does again what was begun and not shown, and nothing else.
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
    uint64_t *pending; /* our own hints, a bit a node; borrowed */
} tribus_stage_cfg;

/* Load the operation and take up where an earlier host left. out: owned by the caller.
 * Returns TRIBUS_OK, TRIBUS_CORRUPT, TRIBUS_NO_MEMORY or why the operation cannot be had. */
TRIBUS_MUST_CHECK tribus_status tribus_stage_open(const tribus_stage_cfg *cfg,
                                                  tribus_stage **out);
void tribus_stage_close(tribus_stage *stage);

/* Where it runs: the device or the CPU. */
tribus_device *tribus_stage_device(const tribus_stage *stage);

/* Why it is not on its host's device; "" when it is. Borrowed until close. */
const char *tribus_stage_why_cpu(const tribus_stage *stage);

uint32_t tribus_stage_node(const tribus_stage *stage);

/* The run to do now: the most urgent of those whose inputs have come; 0 when there is none. */
uint64_t tribus_stage_next(tribus_stage *stage);

/* Its priority. */
uint32_t tribus_stage_priority(const tribus_stage *stage, uint64_t run);

/* Do the run that next gave, and with it those behind it that can be computed in the same
 * call. free_ns: when this host became free; set to when it was done.
 * Returns TRIBUS_OK, or TRIBUS_CORRUPT: the stage must be given up. */
TRIBUS_MUST_CHECK tribus_status tribus_stage_step(tribus_stage *stage, uint64_t run,
                                                  int64_t *free_ns);

/* Put the latest measurements where others see them; close does it, too. */
void tribus_stage_flush(tribus_stage *stage);

#endif
