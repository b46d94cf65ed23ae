/* counter.h -- counting on the message path: a load and a store, on a line of our own. */
#ifndef TRIBUS_FABRIC_COUNTER_H
#define TRIBUS_FABRIC_COUNTER_H

#include "fabric/histogram.h"

#define TRIBUS_COUNTER_NAME_BYTES 56u

/*   0  head   8  name[56]   64  counts[16]   192  latency histogram */
struct tribus_counters {
    tribus_shm_head head;
    char name[TRIBUS_COUNTER_NAME_BYTES];
    _Atomic(uint64_t) counts[16];
    struct tribus_histogram latency;
};

_Static_assert(offsetof(struct tribus_counters, counts) == 64, "layout");
_Static_assert(offsetof(struct tribus_counters, latency) == 192, "layout");
_Static_assert(sizeof(struct tribus_counters) == TRIBUS_COUNTERS_BYTES, "layout");
_Static_assert(TRIBUS_COUNTS <= 16, "layout");

/* c may be NULL: counting is off. One writer, so no read-modify-write is needed; readers
 * are people and metrics. */
static inline void tribus_counter_bump(tribus_counters *c, tribus_counter which, uint64_t n)
{
    if (c != NULL)
        tribus_store_rlx(&c->counts[which], tribus_load_rlx(&c->counts[which]) + n);
}

#endif
