/* histogram.h -- the layout of a log-linear histogram; see fabric.h for its use. */
#ifndef TRIBUS_FABRIC_HISTOGRAM_H
#define TRIBUS_FABRIC_HISTOGRAM_H

#include "fabric/layout.h"

#define TRIBUS_HISTOGRAM_STEP_BITS 5u  /* 32 steps an octave */
#define TRIBUS_HISTOGRAM_TOP_BITS  40u /* values below 2^40 ns */
#define TRIBUS_HISTOGRAM_BUCKETS                                                           \
    ((TRIBUS_HISTOGRAM_TOP_BITS - TRIBUS_HISTOGRAM_STEP_BITS + 1u)                         \
     << TRIBUS_HISTOGRAM_STEP_BITS)

/*   0  max   64  buckets[1152]. Count and sum come from the buckets when somebody looks, so that
 * recording stays one word and a comparison. */
struct tribus_histogram {
    _Atomic(uint64_t) max_ns;
    uint64_t unused[7];
    _Atomic(uint64_t) buckets[TRIBUS_HISTOGRAM_BUCKETS];
};

_Static_assert(offsetof(struct tribus_histogram, buckets) == 64, "layout");
_Static_assert(sizeof(struct tribus_histogram) == TRIBUS_HISTOGRAM_BYTES, "layout");

#endif
