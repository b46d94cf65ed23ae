/* quant_csv.h -- read comma-separated text that is already in memory.
 *
 * Use it to   walk through rows without copying: fields point into the text.
 * Not for     writing, other separators, or quoted fields that span lines.
 *
 * Trust       The text may be anything: no length is believed, nothing is read past `end`.
 */
#ifndef TRIBUS_QUANT_CSV_H
#define TRIBUS_QUANT_CSV_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A borrowed piece of text without its quotes; "" inside quotes stays doubled. */
typedef struct tribus_quant_text {
    const char *at;
    size_t bytes;
} tribus_quant_text;

typedef struct tribus_quant_csv {
    const char *at, *end;
    uint32_t line; /* of the row that was read last, from 1 */
} tribus_quant_csv;

void tribus_quant_csv_init(tribus_quant_csv *c, const char *text, size_t bytes);

/* The next row that is not blank. fields: capacity entries out; count: how many it has.
 * Returns TRIBUS_OK, TRIBUS_EMPTY at the end, TRIBUS_FULL (more than capacity; the row is
 * consumed) or TRIBUS_BAD_DATA (a quote that does not close, or text after one). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_csv_next(tribus_quant_csv *c,
                                                      tribus_quant_text *fields,
                                                      uint32_t capacity, uint32_t *count,
                                                      tribus_quant_why *why);

/* A field as a number. Empty, NA, NaN and null give NaN.
 * Returns TRIBUS_OK or TRIBUS_BAD_DATA (not a number; *out is NaN then, too). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_csv_number(tribus_quant_text field,
                                                        double *out);

#ifdef __cplusplus
}
#endif

#endif
