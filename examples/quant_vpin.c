/* quant_vpin.c -- toxicity of a stream of trades: calm first, then one-sided.
 *
 * cc quant_vpin.c -ltribus_quant -llapacke -lopenblas -lm */
#include "tribus/quant.h"

#include <stdio.h>

int main(void)
{
    double ring[20], history[400];
    tribus_quant_vpin vpin;
    uint32_t count = 0;
    float z[2];

    if (tribus_quant_vpin_init(&vpin, 1000.0, 20, ring) != TRIBUS_OK)
        return 1;
    for (uint32_t trade = 0; trade < 20000; trade++) {
        const float bias = trade < 15000 ? 0.0f : -1.0f; /* sellers take over */
        double size;

        tribus_quant_normals(1, 0, 2 * (uint64_t)trade, 2, z);
        size = 10.0 + 5.0 * (double)z[0];
        if (tribus_quant_vpin_add(&vpin, z[1] > bias * -1.0f ? size : 0.0,
                                  z[1] > bias * -1.0f ? 0.0 : size) == 0)
            continue;
        if (tribus_quant_vpin_value(&vpin) >= 0.0 && count < 400)
            history[count++] = tribus_quant_vpin_value(&vpin);
        if (count > 0 && count % 20 == 0)
            printf("bucket %3u  VPIN %.3f  level %.2f\n", count, history[count - 1],
                   tribus_quant_vpin_level(history, count, history[count - 1]));
    }
    return 0;
}
