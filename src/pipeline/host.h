/* host.h -- a compute host: the plans it serves, the stages it has taken.
 *
 * tribus_host_run() in host_session.c finds plans through the session; tests attach memory
 * themselves.
 *
 * Threads   one.
 */
#ifndef TRIBUS_PIPELINE_HOST_H
#define TRIBUS_PIPELINE_HOST_H

#include "pipeline/plan.h"
#include "pipeline/stage.h"

#define TRIBUS_HOST_MOST_PLANS 120u /* a bell each, of the 128 one can wait for */

typedef struct tribus_host tribus_host;

/* cfg and peers are copied; peers->context is borrowed.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_NO_MEMORY, or why the device cannot be had. */
TRIBUS_MUST_CHECK tribus_status tribus_host_open(const tribus_host_cfg *cfg,
                                                 const tribus_peers *peers,
                                                 tribus_host **out);
#define TRIBUS_HOST_LONG_NS INT64_C(1000000000)

/* Gives every stage up, so that another host can take it at once. */
void tribus_host_close(tribus_host *host);

/* Serve the plan in this memory (borrowed until detach). key: the caller's name for it.
 * Returns TRIBUS_OK, TRIBUS_FULL (too many plans or hosts), or as tribus_plan_open(). */
TRIBUS_MUST_CHECK tribus_status tribus_host_attach(tribus_host *host, void *mem,
                                                   size_t bytes, uint64_t key);
void tribus_host_detach(tribus_host *host, uint64_t key);
bool tribus_host_serves(const tribus_host *host, uint64_t key);
uint32_t tribus_host_plans(const tribus_host *host);
/* Key of plan i, and whether its submitter has closed it or died. */
uint64_t tribus_host_plan_key(const tribus_host *host, uint32_t i, bool *over);

/* Take stages of our domains that nobody living has. Returns how many were taken. */
uint32_t tribus_host_take(tribus_host *host);

/* Give up stages that another host of their domain should have, by what they cost; it takes
 * them at its next look. Call now and then. Returns how many were given up. */
uint32_t tribus_host_balance(tribus_host *host);

/* Run every stage that is ready, once. Returns how many were. */
uint32_t tribus_host_step(tribus_host *host);

/* Nothing is in flight in any plan, and every stage of our domains is somebody's: what comes
 * next is announced by a bell. */
bool tribus_host_idle(const tribus_host *host);

/* Was a stage given up for us since the last call? tribus_host_wait() ends then. */
bool tribus_host_called(tribus_host *host);

/* Sleep until a stage is ready, extra (may be NULL) rings, or timeout_ns. From
 * TRIBUS_HOST_LONG_NS on it is one sleep, for hosts that are idle; a shorter one looks at
 * everything 20 times a second.
 * Returns as tribus_doorbell_wait(). */
TRIBUS_MUST_CHECK tribus_status tribus_host_wait(tribus_host *host,
                                                 tribus_doorbell_shm *extra,
                                                 tribus_ready_fn extra_ready,
                                                 void *extra_context, int64_t timeout_ns);

#endif
