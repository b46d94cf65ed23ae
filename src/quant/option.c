/* option.c -- Black-Scholes-Merton prices and Greeks. See tribus/quant_risk.h. */
#include "tribus/quant_risk.h"

#include "quant/distribution.h"

#include <math.h>

tribus_status tribus_quant_option_price(const tribus_quant_option *o,
                                        tribus_quant_greeks *out)
{
    double sign, dq, dr, root, d1, d2, n1, n2, density;

    if (o == NULL || out == NULL || !(o->strike > 0.0) || !(o->spot > 0.0) ||
        !(o->years >= 0.0) || !(o->volatility >= 0.0) ||
        !isfinite(o->strike + o->spot + o->years + o->volatility + o->rate + o->dividend))
        return TRIBUS_BAD_ARG;
    sign = o->call ? 1.0 : -1.0;
    dq = exp(-o->dividend * o->years);
    dr = exp(-o->rate * o->years);
    root = o->volatility * sqrt(o->years);
    if (root > 0.0) {
        d1 = (log(o->spot / o->strike) + (o->rate - o->dividend) * o->years) / root +
             0.5 * root;
        d2 = d1 - root;
    } else {
        d1 = d2 = o->spot * dq >= o->strike * dr ? INFINITY : -INFINITY;
    }
    n1 = tribus_quant_normal_cdf(sign * d1);
    n2 = tribus_quant_normal_cdf(sign * d2);
    density = tribus_quant_normal_density(d1);
    out->price = sign * (o->spot * dq * n1 - o->strike * dr * n2);
    out->delta = sign * dq * n1;
    out->gamma = root > 0.0 ? dq * density / (o->spot * root) : 0.0;
    out->vega = o->spot * dq * density * sqrt(o->years);
    out->theta = sign * (o->dividend * o->spot * dq * n1 - o->rate * o->strike * dr * n2);
    if (o->years > 0.0)
        out->theta -= o->spot * dq * density * o->volatility / (2.0 * sqrt(o->years));
    out->rho = sign * o->strike * o->years * dr * n2;
    return TRIBUS_OK;
}
