/* flow.c -- spreads, imbalance and price impact, in double. See tribus/quant_flow.h; what an
 * accelerator computes per event is flow.h, in float. */
#include "tribus/quant_flow.h"

#include <math.h>

double tribus_quant_ofi(const tribus_quant_quote *b, const tribus_quant_quote *a)
{
    double e = 0.0;

    if (a->bid >= b->bid)
        e += a->bid_size;
    if (a->bid <= b->bid)
        e -= b->bid_size;
    if (a->ask <= b->ask)
        e -= a->ask_size;
    if (a->ask >= b->ask)
        e += b->ask_size;
    return e;
}

double tribus_quant_book_imbalance(const double *bid_sizes, const double *ask_sizes,
                                   uint32_t levels)
{
    double bids = 0.0, asks = 0.0;

    for (uint32_t i = 0; i < levels; i++) {
        bids += bid_sizes[i];
        asks += ask_sizes[i];
    }
    return bids + asks > 0.0 ? (bids - asks) / (bids + asks) : 0.0;
}

double tribus_quant_micro_price(const tribus_quant_quote *q)
{
    const double size = q->bid_size + q->ask_size;

    return size > 0.0 ? (q->bid * q->ask_size + q->ask * q->bid_size) / size : NAN;
}

double tribus_quant_spread_quoted(const tribus_quant_quote *q)
{
    return q->ask - q->bid;
}

double tribus_quant_spread_effective(double price, double mid, int8_t side)
{
    return 2.0 * side * (price - mid);
}

double tribus_quant_spread_realised(double price, double mid_later, int8_t side)
{
    return 2.0 * side * (price - mid_later);
}

double tribus_quant_time_weighted(const int64_t *at_ns, const double *x, uint32_t n)
{
    double sum = 0.0, time = 0.0;

    for (uint32_t i = 0; i + 1 < n; i++) {
        const double stood = (double)(at_ns[i + 1] - at_ns[i]);

        sum += stood * x[i];
        time += stood;
    }
    return time > 0.0 ? sum / time : NAN;
}

double tribus_quant_kyle_lambda(const double *dp, const double *signed_volume, uint32_t n)
{
    double mx = 0.0, my = 0.0, xx = 0.0, xy = 0.0;

    for (uint32_t i = 0; i < n; i++) { /* from the first on: a constant has its own mean */
        mx += (signed_volume[i] - signed_volume[0]) / n;
        my += dp[i] / n;
    }
    mx += n > 0 ? signed_volume[0] : 0.0;
    for (uint32_t i = 0; i < n; i++) {
        xx += (signed_volume[i] - mx) * (signed_volume[i] - mx);
        xy += (signed_volume[i] - mx) * (dp[i] - my);
    }
    return n >= 2 && xx > 0.0 ? xy / xx : NAN;
}

double tribus_quant_roll_spread(const double *price, uint32_t n)
{
    double mean, cov = 0.0;

    if (n < 3)
        return NAN;
    mean = (price[n - 1] - price[0]) / (n - 1.0);
    for (uint32_t i = 2; i < n; i++)
        cov += (price[i] - price[i - 1] - mean) * (price[i - 1] - price[i - 2] - mean);
    cov /= n - 2.0;
    return cov <= 0.0 ? 2.0 * sqrt(-cov) : NAN;
}

double tribus_quant_amihud(const double *returns, const double *money, uint32_t n)
{
    double sum = 0.0;
    uint32_t days = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (!(money[i] > 0.0) || isnan(returns[i]))
            continue;
        sum += fabs(returns[i]) / money[i];
        days++;
    }
    return days > 0 ? sum / days : NAN;
}
