/* supervise.h -- the processes that the agent keeps running, in groups that start one after
 * the other: Redis servers, then children by kind (hosts, engines). They stop the other way
 * round. */
#ifndef TRIBUS_AGENT_SUPERVISE_H
#define TRIBUS_AGENT_SUPERVISE_H

#include "tribus/agent.h"

#include <stdbool.h>

typedef struct tribus_supervisor tribus_supervisor;

/* Copy the lists of cfg. Returns TRIBUS_OK, TRIBUS_BAD_ARG (a name that is no file name, or
 * is there twice) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_supervise_open(tribus_agent *agent,
                                                      const tribus_agent_cfg *cfg,
                                                      tribus_supervisor **out);
/* Everything must have ended. NULL is allowed. */
void tribus_supervise_close(tribus_supervisor *s);

/* Start what is due, look after what runs. Returns when to call again, INT64_MAX: when
 * something happens. */
int64_t tribus_supervise_tick(tribus_supervisor *s, int64_t now_ns);

/* From now on every tick stops; servers: the Redis servers too. */
void tribus_supervise_stop(tribus_supervisor *s, bool servers);
/* Nothing of what is to be stopped runs any more. */
bool tribus_supervise_stopped(const tribus_supervisor *s);

uint32_t tribus_supervise_count(const tribus_supervisor *s);
/* Returns TRIBUS_OK or TRIBUS_NOT_FOUND. */
TRIBUS_MUST_CHECK tribus_status tribus_supervise_get(const tribus_supervisor *s,
                                                     uint32_t index,
                                                     tribus_agent_child *out);

#endif
