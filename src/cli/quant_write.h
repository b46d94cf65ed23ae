/* quant_write.h -- rows of a result: CSV under one header, or one JSON object a line. */
#ifndef TRIBUS_CLI_QUANT_WRITE_H
#define TRIBUS_CLI_QUANT_WRITE_H

#include "cli/quant_table.h"

typedef struct quant_writer {
    const char *names; /* of the columns, with commas; borrowed */
    bool json;
    uint32_t column; /* the next one of the row at hand */
    const char *at;  /* its name */
} quant_writer;

/* names: valid while w is used. CSV: prints them. */
void quant_write_begin(quant_writer *w, const char *names, bool json);

/* The next column of a row; the last of the names ends it. A number that is not finite is empty,
 * or null. */
void quant_write_number(quant_writer *w, double x);
void quant_write_text(quant_writer *w, tribus_quant_text text);

/* "a,b,c" of names; NULL without memory. Owned by the caller, free(). */
char *quant_write_names(const char *before, const tribus_quant_text *names, uint32_t count);

#endif
