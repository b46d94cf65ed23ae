/* why.h -- write one sentence into a caller's tribus_quant_why, which may be NULL.
 *
 * src/quant uses nothing of the project, so it has no error text of its own thread. */
#ifndef TRIBUS_QUANT_WHY_H
#define TRIBUS_QUANT_WHY_H

#include "tribus/quant_series.h"

TRIBUS_PRINTF(2, 3)
void tribus_quant_why_set(tribus_quant_why *why, const char *format, ...);

#endif
