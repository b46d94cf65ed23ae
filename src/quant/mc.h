/* mc.h -- one Monte-Carlo path of a linear portfolio.
 *
 *   pnl(path) = drift + scale(path) * sum_i loading_i z_i(path)
 *   drift = w' mean, loading = L' w (L the Cholesky factor), z independent standard normal
 *   scale = 1 (normal), or sqrt((nu - 2) / chi2_nu) for Student-t with the same covariance
 *
 * w' (mean + L z) = w' mean + (L' w)' z exactly, so N multiplications a path replace N^2
 * / 2. A portfolio that is not linear in the returns needs the scenarios themselves:
 * tribus_quant_mc_scenarios() in mc.c.
 *
 * Counter   (block of 4 assets, path low, path high, purpose); purpose 0 = z, 1 = chi2.
 * Units     returns as fractions; pnl in the unit of the weights.
 * Order     float, assets in ascending order, left to right. Against double arithmetic on
 *           the same bits: |error| <= 1e-6 * (|drift| + |scale| |loading|_1).
 * Empty     assets == 0 gives drift.
 */
#ifndef TRIBUS_QUANT_MC_H
#define TRIBUS_QUANT_MC_H

#include "normal.h"

#define TRIBUS_MC_Z    0u
#define TRIBUS_MC_CHI2 1u

typedef struct tribus_mc_quad {
    float z[4];
} tribus_mc_quad;

/* The normals of assets 4 block .. 4 block + 3 of one path. */
TRIBUS_FN tribus_mc_quad tribus_mc_normals(tribus_u32 block, tribus_u64 path,
                                           tribus_u64 seed)
{
    const tribus_philox_block c = {
        {block, (tribus_u32)path, (tribus_u32)(path >> 32), TRIBUS_MC_Z}};
    const tribus_philox_block r =
        tribus_philox(c, (tribus_u32)seed, (tribus_u32)(seed >> 32));
    const tribus_normal_pair a = tribus_box_muller(r.v[0], r.v[1]);
    const tribus_normal_pair b = tribus_box_muller(r.v[2], r.v[3]);
    const tribus_mc_quad q = {{a.z0, a.z1, b.z0, b.z1}};

    return q;
}

/* chi-square with nu > 2 degrees of freedom: twice a gamma of shape nu / 2 by Marsaglia and
 * Tsang (2000). More than 95 % of tries are accepted; 64 failures in a row do not happen,
 * and would give the last try. */
TRIBUS_FN float tribus_mc_chi2(float nu, tribus_u64 path, tribus_u64 seed)
{
    const float d = 0.5f * nu - 0.33333334f;
    const float c = 1.0f / tribus_sqrt(9.0f * d);
    float v = 1.0f;

    for (tribus_u32 attempt = 0u; attempt < 64u; attempt++) {
        const tribus_philox_block counter = {
            {attempt, (tribus_u32)path, (tribus_u32)(path >> 32), TRIBUS_MC_CHI2}};
        const tribus_philox_block r =
            tribus_philox(counter, (tribus_u32)seed, (tribus_u32)(seed >> 32));
        const float x = tribus_box_muller(r.v[0], r.v[1]).z0;
        const float t = 1.0f + c * x;

        if (t <= 0.001f)
            continue; /* v must be positive; for nu > 2 this is beyond -1.9 sigma of the
                         tail */
        v = t * t * t;
        if (tribus_ln(tribus_uniform(r.v[2])) < 0.5f * x * x + d - d * v + d * tribus_ln(v))
            break;
    }
    return 2.0f * d * v;
}

/* nu == 0: normal. */
TRIBUS_FN float tribus_mc_scale(float nu, tribus_u64 path, tribus_u64 seed)
{
    if (nu <= 0.0f)
        return 1.0f;
    return tribus_sqrt((nu - 2.0f) / tribus_mc_chi2(nu, path, seed));
}

/* What one GPU thread runs. loading: 4 * ceil(assets / 4) floats, the rest zero. */
TRIBUS_FN float tribus_mc_path(TRIBUS_GLOBAL const float *loading, tribus_u32 assets,
                               float drift, float nu, tribus_u64 path, tribus_u64 seed)
{
    const tribus_u32 blocks = (assets + 3u) / 4u;
    float sum = 0.0f;

    for (tribus_u32 b = 0u; b < blocks; b++) {
        const tribus_mc_quad q = tribus_mc_normals(b, path, seed);

        for (tribus_u32 i = 0u; i < 4u; i++)
            sum += loading[4u * b + i] * q.z[i];
    }
    return drift + tribus_mc_scale(nu, path, seed) * sum;
}

#endif
