/* flow.h -- order-flow features of one bucket, event or quote: what a GPU thread computes.
 *
 * Units     sizes in shares or contracts, prices in any unit; fractions 0..1.
 * Order     float, left to right. Tolerance against the double versions of flow.c and vpin.c:
 *           1e-6 relative for sums of up to 1,000 positive terms, 3e-7 absolute for
 *           tribus_flow_buy_share; test_quant_flow holds them to it.
 * Empty     0 buckets, no size on either side, bucket <= 0: 0, not NaN. sd <= 0: share 1/2.
 */
#ifndef TRIBUS_QUANT_FLOW_KERNEL_H
#define TRIBUS_QUANT_FLOW_KERNEL_H

#include "normal.h"

/* e^x for x in [-87, 0]; below: 0. 2^k by the exponent bits, e^r on [-ln2/2, ln2/2] by Taylor
 * to r^7 (relative error below 1e-8 before rounding). */
TRIBUS_FN float tribus_exp_negative(float x)
{
    const float y = x > -87.0f ? x : -87.0f;
    const float k = (float)(tribus_i32)(y * 1.44269504f - 0.5f);
    const float r = (y - k * 0.693359375f) + k * 2.12194440e-4f;
    const float p =
        1.0f +
        r * (1.0f + r * (0.5f + r * (0.16666667f +
                                     r * (4.1666667e-2f +
                                          r * (8.3333333e-3f +
                                               r * (1.3888889e-3f + r * 1.9841270e-4f))))));

    if (!(x > -87.0f))
        return 0.0f;
    return p * tribus_from_bits((tribus_u32)((tribus_i32)k + 127) << 23);
}

/* Phi(dp / sd), the bought share of a bar's volume: Abramowitz and Stegun 26.2.17 with
 * erf 7.1.26, absolute error 1.5e-7. */
TRIBUS_FN float tribus_flow_buy_share(float dp, float sd)
{
    float x, t, tail;

    if (!(sd > 0.0f) || !(dp == dp))
        return 0.5f;
    x = tribus_abs(dp / sd) * 0.70710678f;
    if (x > 9.0f)
        x = 9.0f;
    t = 1.0f / (1.0f + 0.3275911f * x);
    tail =
        ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t +
         0.254829592f) *
        t * tribus_exp_negative(-x * x) * 0.5f;
    return dp >= 0.0f ? 1.0f - tail : tail;
}

/* VPIN over n buckets of bought and sold volume. */
TRIBUS_FN float tribus_flow_vpin(TRIBUS_GLOBAL const float *buy,
                                 TRIBUS_GLOBAL const float *sell, tribus_u32 n,
                                 float bucket)
{
    float imbalance = 0.0f;

    if (n == 0u || !(bucket > 0.0f))
        return 0.0f;
    for (tribus_u32 i = 0u; i < n; i++)
        imbalance += tribus_abs(buy[i] - sell[i]);
    return imbalance / ((float)n * bucket);
}

/* book: ask price, ask size, bid price, bid size of each level, best first. */
TRIBUS_FN float tribus_flow_imbalance(TRIBUS_GLOBAL const float *book, tribus_u32 levels)
{
    float bids = 0.0f, asks = 0.0f;

    for (tribus_u32 i = 0u; i < levels; i++) {
        asks += book[4u * i + 1u];
        bids += book[4u * i + 3u];
    }
    return bids + asks > 0.0f ? (bids - asks) / (bids + asks) : 0.0f;
}

/* Micro-price minus mid, which keeps its digits in float: (ask - bid) / 2 * imbalance. */
TRIBUS_FN float tribus_flow_micro_offset(TRIBUS_GLOBAL const float *book)
{
    return 0.5f * (book[0] - book[2]) * tribus_flow_imbalance(book, 1u);
}

/* Order-flow imbalance between two snapshots of the best level. */
TRIBUS_FN float tribus_flow_ofi(TRIBUS_GLOBAL const float *before,
                                TRIBUS_GLOBAL const float *after)
{
    float e = 0.0f;

    if (after[2] >= before[2])
        e += after[3];
    if (after[2] <= before[2])
        e -= before[3];
    if (after[0] <= before[0])
        e -= after[1];
    if (after[0] >= before[0])
        e += before[1];
    return e;
}

#endif
