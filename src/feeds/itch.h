/* itch.h -- what tests may see of the ITCH reader beyond its events. */
#ifndef TRIBUS_FEEDS_ITCH_H
#define TRIBUS_FEEDS_ITCH_H

#include <stdint.h>

/* Messages read of one type, by its letter. source: of a feed "itch". */
uint64_t tribus_itch_count(const void *source, char type);

#endif
