/* normal.h -- uniform and normal numbers from random bits, in float, without libm.
 *
 *   uniform(x) = (x + 1) / 2^32 rounded, in (0, 1]
 *   Box-Muller: z0 = r cos(2 pi v), z1 = r sin(2 pi v), r = sqrt(-2 ln u)
 *
 * The logarithm and the sine are series written here, because libm differs from device to
 * device and by version; these use + - * / only and so give equal bits (see compat.h).
 *
 * Range     |z| <= 6.661 (u >= 2^-32)
 * Tolerance each z within 4 ulp of float against double arithmetic, plus 1e-7 absolute near
 *           z = 0 (the factor cos or sin is rounded there); measured by test_quant_random.
 */
#ifndef TRIBUS_QUANT_NORMAL_H
#define TRIBUS_QUANT_NORMAL_H

#include "philox.h"

typedef struct tribus_normal_pair {
    float z0, z1;
} tribus_normal_pair;

/* 31 bits and half a step: never 0, so the logarithm below is finite. */
TRIBUS_FN float tribus_uniform(tribus_u32 x)
{
    return (float)(tribus_i32)(x >> 1) * 4.656612873077393e-10f + 2.3283064365386963e-10f;
}

/* ln x for finite x > 0 and not subnormal: x = m 2^e with m in [sqrt 1/2, sqrt 2), and
 * ln m = 2 atanh((m - 1) / (m + 1)) by its Taylor series, 5 terms: error < 3e-9 relative.
 */
TRIBUS_FN float tribus_ln(float x)
{
    const tribus_u32 bits = tribus_bits(x) + (0x3f800000u - 0x3f3504f3u);
    const float e = (float)((tribus_i32)(bits >> 23) - 127);
    const float m = tribus_from_bits((bits & 0x007fffffu) + 0x3f3504f3u);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float q = s * s;
    const float p = ((0.11111111f * q + 0.14285714f) * q + 0.2f) * q + 0.33333334f;
    const float l = 2.0f * s + 2.0f * s * (p * q);

    /* ln 2 in two parts, so that e * high is exact. */
    return e * 0.693359375f + (l - e * 2.12194440e-4f);
}

/* sin and cos of 2 pi v / 2^32: the two top bits choose the quadrant exactly, the rest is
 * an angle in [-pi/4, pi/4] for which both Taylor series are short. */
TRIBUS_FN tribus_normal_pair tribus_box_muller(tribus_u32 x, tribus_u32 v)
{
    const float r = tribus_sqrt(-2.0f * tribus_ln(tribus_uniform(x)));
    const tribus_u32 quadrant = (v + 0x20000000u) >> 30;
    const float a = (float)(tribus_i32)(v - (quadrant << 30)) * 1.4629180792671596e-9f;
    const float q = a * a;
    const float s = a + a * q *
                            (((2.7557319e-6f * q - 1.9841270e-4f) * q + 8.3333333e-3f) * q -
                             0.16666667f);
    const float c =
        1.0f + q * (((2.4801587e-5f * q - 1.3888889e-3f) * q + 4.1666667e-2f) * q - 0.5f);
    const tribus_u32 odd = quadrant & 1u;
    const float sine = odd ? c : s, cosine = odd ? s : c;
    tribus_normal_pair z;

    /* cos changes sign in quadrants 1 and 2, sin in 2 and 3. */
    z.z0 = r * (((quadrant + 1u) & 2u) ? -cosine : cosine);
    z.z1 = r * ((quadrant & 2u) ? -sine : sine);
    return z;
}

#endif
