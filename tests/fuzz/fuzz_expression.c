/* fuzz_expression.c -- the factor language on any text; what compiles is run over bars with
 * holes, in batch and bar by bar. */
#include "tribus/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 40, FACTORS = 8, NODES = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static double bars[TRIBUS_QUANT_FIELDS][ROWS], out[FACTORS * ROWS], row[FACTORS];
    const double *field[TRIBUS_QUANT_FIELDS];
    tribus_quant_factor_error error;
    tribus_quant_factors f;
    void *memory = malloc(tribus_quant_factors_bytes(FACTORS, NODES)), *scratch, *state;

    if (memory == NULL)
        return 0;
    tribus_quant_factors_init(&f, FACTORS, NODES, memory);
    if (tribus_quant_factors_parse(&f, (const char *)data, size, &error) != TRIBUS_OK &&
        (error.line == 0 || error.column == 0 || memchr(error.text, 0, 160) == NULL))
        abort();
    for (int i = 0; i < TRIBUS_QUANT_FIELDS; i++) {
        for (int t = 0; t < ROWS; t++)
            bars[i][t] = (t * 7 + i * 3) % 11 == 0 ? NAN : (t * 31 + i * 17) % 23 - 3.0;
        field[i] = bars[i];
    }
    scratch = malloc(tribus_quant_factors_batch_bytes(&f, ROWS) + 8);
    state = malloc(tribus_quant_factors_state_bytes(&f));
    if (f.count > 0 && scratch != NULL && state != NULL) {
        if (tribus_quant_factors_batch(&f, field, ROWS, scratch, out) != TRIBUS_OK)
            abort();
        tribus_quant_factors_state_init(&f, state);
        for (int t = 0; t < ROWS; t++) {
            double bar[TRIBUS_QUANT_FIELDS];

            for (int i = 0; i < TRIBUS_QUANT_FIELDS; i++)
                bar[i] = bars[i][t];
            bar[TRIBUS_QUANT_VWAP] = bars[TRIBUS_QUANT_VWAP][t];
            if (isnan(bar[TRIBUS_QUANT_VWAP])) /* means "none given" to push */
                continue;
            tribus_quant_factors_push(&f, state, bar, row);
        }
    }
    free(scratch);
    free(state);
    free(memory);
    return 0;
}
