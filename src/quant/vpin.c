/* vpin.c -- order-flow toxicity, streaming and from bars. See tribus/quant_flow.h. */
#include "tribus/quant_flow.h"

#include <math.h>

tribus_status tribus_quant_vpin_init(tribus_quant_vpin *v, double bucket, uint32_t window,
                                     double *ring)
{
    if (v == NULL || ring == NULL || !(bucket > 0.0) || isinf(bucket) || window == 0)
        return TRIBUS_BAD_ARG;
    *v = (tribus_quant_vpin){.bucket = bucket, .ring = ring, .window = window};
    for (uint32_t i = 0; i < window; i++)
        ring[i] = 0.0;
    return TRIBUS_OK;
}

static void close_bucket(tribus_quant_vpin *v, double imbalance)
{
    v->sum += imbalance - v->ring[v->next];
    v->ring[v->next] = imbalance;
    v->closed++;
    if (++v->next == v->window) {
        double sum = 0.0;

        v->next = 0;
        for (uint32_t i = 0; i < v->window; i++)
            sum += v->ring[i];
        v->sum = sum;
    }
}

/* What is left of a bucket after rounding is not a bucket: 1e-12 of its size counts as full. */
uint64_t tribus_quant_vpin_add(tribus_quant_vpin *v, double buy, double sell)
{
    const double total = buy + sell;
    double left = total, room = v->bucket - v->filled, share, whole;
    uint64_t closed;

    if (!(buy >= 0.0 && sell >= 0.0 && total > 0.0) || isinf(total))
        return 0;
    if (left < room * (1.0 - 1e-12)) {
        v->filled += left;
        v->buy += buy;
        return 0;
    }
    share = buy / total;
    close_bucket(v, fabs(2.0 * (v->buy + share * room) - v->bucket));
    left = fmax(0.0, left - room);
    closed = 1;
    /* Whole buckets of this one trade are alike; only the last `window` of them can matter. */
    whole = floor(left / v->bucket + 1e-12);
    if (whole >= 1.0) {
        const double alike = v->bucket * fabs(2.0 * share - 1.0);
        const double kept = fmin(whole, (double)v->window);

        for (double i = 0.0; i < kept; i += 1.0)
            close_bucket(v, alike);
        v->closed += (uint64_t)(fmin(whole, 9e18) - kept);
        closed += (uint64_t)fmin(whole, 9e18);
        left = fmax(0.0, left - whole * v->bucket);
    }
    v->filled = left;
    v->buy = left * share;
    return closed;
}

double tribus_quant_vpin_value(const tribus_quant_vpin *v)
{
    if (v->closed < v->window)
        return NAN;
    return fmin(1.0, fmax(0.0, v->sum / (v->window * v->bucket)));
}

double tribus_quant_vpin_level(const double *history, uint32_t n, double value)
{
    uint32_t below = 0;

    for (uint32_t i = 0; i < n; i++)
        below += history[i] <= value;
    return n == 0 || isnan(value) ? NAN : (double)below / n;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

tribus_status tribus_quant_bars(tribus_quant_trades t, int64_t bar_ns, double *dp,
                                double *volume, uint32_t capacity, uint32_t *count)
{
    const int64_t day_ns = 86400000000000;
    int64_t bar = 0;
    uint64_t bars = 0;
    double first = 0.0;

    if (t.at_ns == NULL || t.price == NULL || t.volume == NULL || dp == NULL ||
        volume == NULL || count == NULL || bar_ns <= 0 || day_ns % bar_ns != 0)
        return TRIBUS_BAD_ARG;
    for (uint32_t i = 0; i < t.count; i++) {
        const int64_t now = floor_div(t.at_ns[i], bar_ns);

        if (i > 0 && t.at_ns[i] < t.at_ns[i - 1])
            return TRIBUS_BAD_DATA;
        if (i == 0 || now != bar) {
            const int64_t per_day = day_ns / bar_ns;

            for (int64_t gap = i == 0 ? now : bar + 1; gap < now; gap++) {
                const int64_t day = floor_div(gap, per_day);

                if (day != floor_div(bar, per_day) && day != floor_div(now, per_day)) {
                    gap = floor_div(now, per_day) * per_day - 1; /* a day without trades */
                    continue;
                }
                if (bars < capacity)
                    dp[bars] = volume[bars] = 0.0;
                bars++;
            }
            bar = now;
            first = t.price[i];
            if (bars < capacity)
                volume[bars] = 0.0;
            bars++;
        }
        if (bars <= capacity) {
            dp[bars - 1] = t.price[i] - first;
            volume[bars - 1] += t.volume[i];
        }
    }
    *count = bars > UINT32_MAX ? UINT32_MAX : (uint32_t)bars;
    return bars > capacity ? TRIBUS_FULL : TRIBUS_OK;
}

tribus_status tribus_quant_vpin_bulk(tribus_quant_vpin *v, const tribus_quant_matrix *bars,
                                     double *out, uint32_t capacity, uint32_t *count)
{
    double mean = 0.0, squares = 0.0, sd;
    uint32_t made = 0;

    if (v == NULL || bars == NULL || bars->at == NULL || bars->rows < 2 ||
        bars->cols != 2 || out == NULL || count == NULL || v->closed != 0)
        return TRIBUS_BAD_ARG;
    for (size_t i = 0; i < bars->rows; i++) {
        const double d = bars->at[2 * i] - mean;

        mean += d / (double)(i + 1);
        squares += d * (bars->at[2 * i] - mean);
        if (!isfinite(squares) || !isfinite(bars->at[2 * i + 1]))
            return TRIBUS_BAD_DATA;
    }
    sd = sqrt(squares / (bars->rows - 1.0));
    for (size_t i = 0; i < bars->rows; i++) {
        const double share = tribus_quant_classify_bulk(bars->at[2 * i], sd);
        double left = bars->at[2 * i + 1];

        /* One bucket at a time, so that each closed bucket has its value. */
        while (left > 0.0) {
            const double room = v->bucket - v->filled;
            const double part = left < room * (1.0 - 1e-12) ? left : fmin(left, room);

            if (tribus_quant_vpin_add(v, part * share, part - part * share) > 0 &&
                v->closed >= v->window) {
                if (made == capacity)
                    return TRIBUS_FULL;
                out[made++] = tribus_quant_vpin_value(v);
            }
            left -= part;
        }
    }
    *count = made;
    return TRIBUS_OK;
}
