/* worker.h -- what may take long, on a thread of its own beside the agent's loop.
 *
 * A worker does one thing after the other. What it is given it may touch until it is done;
 * the loop's tables it never sees.
 */
#ifndef TRIBUS_AGENT_WORKER_H
#define TRIBUS_AGENT_WORKER_H

#include "tribus/agent.h"

/* The first member of a struct of the maker's, who allocated it. */
typedef struct tribus_work tribus_work;
struct tribus_work {
    tribus_work *next;              /* the worker's */
    void (*run)(tribus_work *work); /* on the worker's thread */
    /* On the loop's thread, which owns it again; agent NULL: the agent ends, only free it. */
    void (*done)(tribus_agent *agent, tribus_work *work);
};

typedef struct tribus_worker tribus_worker;

/* Start a thread. Returns TRIBUS_OK or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_worker_open(tribus_agent *agent,
                                                   tribus_worker **out);
/* Taken until done(). */
void tribus_worker_submit(tribus_worker *worker, tribus_work *work);
/* Wait for what it is at; done() is called for everything it was given. NULL is allowed. */
void tribus_worker_close(tribus_agent *agent, tribus_worker *worker);

#endif
