/* quant_optimise.c -- minimum variance with a group limit, then again after a small change:
 * the second solve starts from the first one's answer.
 *
 * cc quant_optimise.c -ltribus_quant -llapacke -lopenblas -lm */
#include "tribus/quant.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    double cov[16] = {4, 1, 0, 0, 1, 3, 0, 0, 0, 0, 2, 1, 0, 0, 1, 1};
    const double group[4] = {0, 0, 1, 1}, low[1] = {0.0}, high[1] = {0.6};
    const tribus_quant_portfolio p = {.assets = 4,
                                      .cov = cov,
                                      .upper = 0.5,
                                      .groups = 1,
                                      .group = group,
                                      .group_lower = low,
                                      .group_upper = high};
    void *work = calloc(1, tribus_quant_portfolio_bytes(4, 1));
    tribus_quant_portfolio_result r;
    tribus_quant_why why;
    double w[4];

    if (work == NULL)
        return 1;
    for (int tick = 0; tick < 2; tick++) {
        if (tribus_quant_min_variance(&p, work, w, &r, &why) != TRIBUS_OK) {
            fprintf(stderr, "%s\n", why.text);
            return 1;
        }
        printf("weights %.4f %.4f %.4f %.4f  volatility %.4f  KKT %.0e  steps %u\n", w[0],
               w[1], w[2], w[3], r.volatility, r.qp.kkt, r.qp.iterations);
        cov[0] = 4.2;
    }
    free(work);
    return 0;
}
