/* dbn.h -- what tests may see of the DBN reader beyond its events. */
#ifndef TRIBUS_FEEDS_DBN_H
#define TRIBUS_FEEDS_DBN_H

#include <stdint.h>

/* Market-by-order records read with one action, by its letter. source: of a feed "dbn". */
uint64_t tribus_dbn_count(const void *source, char action);

#endif
