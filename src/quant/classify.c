/* classify.c -- who began a trade. See tribus/quant_flow.h. */
#include "tribus/quant_flow.h"
#include "tribus/quant_risk.h"

#include <math.h>

void tribus_quant_classify_tick(const double *price, uint32_t n, int8_t *side)
{
    double last = NAN;
    int8_t now = 1;

    for (uint32_t i = 0; i < n; i++) {
        if (price[i] > last)
            now = 1;
        else if (price[i] < last)
            now = -1;
        if (!isnan(price[i]))
            last = price[i];
        side[i] = now;
    }
}

static int8_t by_quote(double price, double bid, double ask)
{
    const double mid = 0.5 * (bid + ask);

    return (int8_t)((price > mid) - (price < mid));
}

void tribus_quant_classify_quote(const double *price, const double *bid, const double *ask,
                                 uint32_t n, int8_t *side)
{
    for (uint32_t i = 0; i < n; i++)
        side[i] = by_quote(price[i], bid[i], ask[i]);
}

void tribus_quant_classify_lee_ready(const double *price, const double *bid,
                                     const double *ask, uint32_t n, int8_t *side)
{
    tribus_quant_classify_tick(price, n, side);
    for (uint32_t i = 0; i < n; i++) {
        const int8_t quote = by_quote(price[i], bid[i], ask[i]);

        if (quote != 0)
            side[i] = quote;
    }
}

double tribus_quant_classify_bulk(double dp, double sd)
{
    const double buy = tribus_quant_normal_cdf(dp / sd);

    return sd > 0.0 && !isnan(buy) ? buy : 0.5;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

tribus_status tribus_quant_quote_match(tribus_quant_times trades, tribus_quant_times quotes,
                                       int64_t lag_ns, int64_t day_ns, uint32_t *index)
{
    uint32_t q = 0;

    if (index == NULL || lag_ns < 0 || day_ns < 0 ||
        (trades.count > 0 && trades.at_ns == NULL) ||
        (quotes.count > 0 && quotes.at_ns == NULL))
        return TRIBUS_BAD_ARG;
    for (uint32_t i = 1; i < quotes.count; i++)
        if (quotes.at_ns[i] < quotes.at_ns[i - 1])
            return TRIBUS_BAD_DATA;
    for (uint32_t t = 0; t < trades.count; t++) {
        if (t > 0 && trades.at_ns[t] < trades.at_ns[t - 1])
            return TRIBUS_BAD_DATA;
        for (; q < quotes.count; q++) {
            const int64_t at = quotes.at_ns[q];
            const int first =
                day_ns > 0 &&
                (q == 0 || floor_div(at, day_ns) != floor_div(quotes.at_ns[q - 1], day_ns));

            /* at + lag <= trade, without overflow */
            if (at > trades.at_ns[t] || (!first && trades.at_ns[t] - at < lag_ns))
                break;
        }
        index[t] = q == 0 ? UINT32_MAX : q - 1;
    }
    return TRIBUS_OK;
}
