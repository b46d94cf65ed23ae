/* fuzz_csv.c -- the CSV reader on any bytes: fields stay inside, numbers are finite or NaN. */
#include "tribus/quant.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tribus_quant_csv csv;
    tribus_quant_text fields[16];
    uint32_t count, rows = 0;
    tribus_status st;

    tribus_quant_csv_init(&csv, (const char *)data, size);
    while ((st = tribus_quant_csv_next(&csv, fields, 16, &count, NULL)) != TRIBUS_EMPTY) {
        if (++rows > size + 1)
            abort(); /* it does not move on */
        for (uint32_t i = 0; st == TRIBUS_OK && i < count; i++) {
            double number;

            if (fields[i].at < (const char *)data ||
                fields[i].at + fields[i].bytes > (const char *)data + size)
                abort();
            if (tribus_quant_csv_number(fields[i], &number) != TRIBUS_OK && !isnan(number))
                abort();
            if (isinf(number))
                abort();
        }
    }
    return 0;
}
