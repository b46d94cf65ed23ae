/* sim.h -- what tests may see of the simulator beyond its events. */
#ifndef TRIBUS_FEEDS_SIM_H
#define TRIBUS_FEEDS_SIM_H

#include "feeds/source.h"

/* In shares. Every share submitted is cancelled, traded (one share on each side of a trade)
 * or still resting:  submitted = cancelled + 2 * traded + resting. */
typedef struct tribus_sim_audit {
    int64_t submitted;
    int64_t cancelled;
    int64_t traded;
    int64_t resting;
    int64_t reference_price_e9; /* what arrivals are centred on now */
} tribus_sim_audit;

/* source: of a feed "sim", from tribus_source_of(); asset: a symbol index of it. */
void tribus_sim_audit_asset(const void *source, uint32_t asset, tribus_sim_audit *out);

#endif
