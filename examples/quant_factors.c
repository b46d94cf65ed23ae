/* quant_factors.c -- two factors of one's own, fed a bar at a time.
 *
 * cc quant_factors.c -ltribus_quant -llapacke -lopenblas -lm */
#include "tribus/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    static const char text[] = "momentum = $close/Ref($close, 5) - 1\n"
                               "trend    = Slope($close, 10)/$close\n";
    void *memory = malloc(tribus_quant_factors_bytes(8, 64)), *state;
    tribus_quant_factors f;
    tribus_quant_factor_error error;
    double out[8];

    if (memory == NULL)
        return 1;
    tribus_quant_factors_init(&f, 8, 64, memory);
    if (tribus_quant_factors_parse(&f, text, strlen(text), &error) != TRIBUS_OK) {
        fprintf(stderr, "line %u, column %u: %s\n", error.line, error.column, error.text);
        return 1;
    }
    state = malloc(tribus_quant_factors_state_bytes(&f));
    if (state == NULL)
        return 1;
    tribus_quant_factors_state_init(&f, state);
    for (int day = 0; day < 12; day++) {
        const double close = 100.0 + day + sin(day);
        const double bar[TRIBUS_QUANT_FIELDS] = {close, close + 1, close - 1,
                                                 close, 1e6,       NAN};

        tribus_quant_factors_push(&f, state, bar, out);
        printf("day %2d  %s %+.4f  %s %+.4f\n", day, f.names[0], out[0], f.names[1],
               out[1]);
    }
    free(state);
    free(memory);
    return 0;
}
