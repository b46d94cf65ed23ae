/* mc.c -- Monte-Carlo of a linear portfolio on the host, and scenarios for the others.
 *
 * The per-path arithmetic is mc.h. Here it runs over LANES paths side by side, so that the
 * compiler turns one path's left-to-right sum into one vector lane: the same numbers as
 * tribus_mc_path() to the last bit, at vector speed. The lane loop is there twice, for
 * the baseline and for AVX2; both give equal bits because neither fuses multiply-add. */
#include "tribus/quant_risk.h"

#include "quant/mc.h"

#include <cblas.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LANES 64u

static int cfg_is_bad(const tribus_quant_mc_cfg *cfg)
{
    return cfg == NULL || cfg->assets == 0 || cfg->paths == 0 ||
           !(cfg->confidence >= 0.0 && cfg->confidence < 1.0) ||
           !(cfg->nu == 0.0 || (cfg->nu > 2.0 && cfg->nu < 1e6));
}

uint32_t tribus_quant_mc_loading_count(uint32_t assets)
{
    return (uint32_t)(((uint64_t)assets + 3) / 4 * 4);
}

size_t tribus_quant_mc_scratch_bytes(const tribus_quant_mc_cfg *cfg)
{
    if (cfg_is_bad(cfg))
        return 0;
    return ((size_t)cfg->paths + tribus_quant_mc_loading_count(cfg->assets)) *
           sizeof(float);
}

tribus_status tribus_quant_mc_load(uint32_t assets, const float *mean, const float *chol,
                                   const float *weights, float *loading, float *drift)
{
    double sum = 0.0, check = 0.0;

    if (assets == 0 || mean == NULL || chol == NULL || weights == NULL || loading == NULL ||
        drift == NULL)
        return TRIBUS_BAD_ARG;
    memset(loading, 0, tribus_quant_mc_loading_count(assets) * sizeof(*loading));
    for (size_t i = 0; i < assets; i++) {
        const float w = weights[i];

        sum += (double)w * (double)mean[i];
        for (size_t j = 0; j <= i; j++)
            loading[j] += w * chol[i * assets + j];
    }
    for (size_t i = 0; i < assets; i++)
        check += fabs((double)loading[i]);
    if (!isfinite(sum) || !isfinite(check))
        return TRIBUS_BAD_DATA;
    *drift = (float)sum;
    return TRIBUS_OK;
}

TRIBUS_FN float add_quad(float sum, const float *y, const tribus_mc_quad *q)
{
    for (uint32_t i = 0; i < 4; i++)
        sum += y[i] * q->z[i];
    return sum;
}

/* sum[l] = sum_i loading_i z_i of path first + l. */
static void lane_sums_baseline(const float *restrict loading, uint32_t blocks,
                               uint64_t first, uint64_t seed, float *restrict sum)
{
    for (uint32_t l = 0; l < LANES; l++)
        sum[l] = 0.0f;
    for (uint32_t b = 0; b < blocks; b++) {
        const float *y = &loading[4 * b];

        for (uint32_t l = 0; l < LANES; l++) {
            const tribus_mc_quad q = tribus_mc_normals(b, first + l, seed);

            sum[l] = add_quad(sum[l], y, &q);
        }
    }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))

typedef struct lane_bits {
    uint32_t v[4][LANES];
} lane_bits;

/* Both halves of eight 32 x 32 bit products: the even ones, the odd ones, and a blend. */
AVX2 static inline void multiply_8(__m256i a, __m256i m, __m256i *high, __m256i *low)
{
    const __m256i even = _mm256_mul_epu32(a, m);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);

    *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}

/* tribus_philox() for paths first .. first + 7 of one block. gcc 12 would spend more time on
 * exchanging the halves of vectors than on the products. */
AVX2 static inline void philox_8(uint32_t block, uint64_t first, uint64_t seed, uint32_t at,
                                 lane_bits *out)
{
    const __m256i m0 = _mm256_set1_epi32((int)TRIBUS_PHILOX_M0);
    const __m256i m1 = _mm256_set1_epi32((int)TRIBUS_PHILOX_M1);
    const __m256i start = _mm256_set1_epi32((int)(uint32_t)(first + at));
    __m256i c0 = _mm256_set1_epi32((int)block), c3 = _mm256_set1_epi32(TRIBUS_MC_Z);
    __m256i c1 = _mm256_add_epi32(start, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    /* Where the low word wrapped it is below its start: -1, which is taken off. */
    const __m256i no_wrap = _mm256_cmpeq_epi32(_mm256_max_epu32(c1, start), c1);
    __m256i c2 = _mm256_add_epi32(
        _mm256_set1_epi32((int)(uint32_t)((first + at) >> 32) + 1), no_wrap);
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);

    for (int round = 0; round < 10; round++) {
        __m256i high0, low0, high1, low1;

        multiply_8(c0, m0, &high0, &low0);
        multiply_8(c2, m1, &high1, &low1);
        c0 = _mm256_xor_si256(_mm256_xor_si256(high1, c1), _mm256_set1_epi32((int)key0));
        c1 = low1;
        c2 = _mm256_xor_si256(_mm256_xor_si256(high0, c3), _mm256_set1_epi32((int)key1));
        c3 = low0;
        key0 += TRIBUS_PHILOX_W0;
        key1 += TRIBUS_PHILOX_W1;
    }
    _mm256_storeu_si256((__m256i *)&out->v[0][at], c0);
    _mm256_storeu_si256((__m256i *)&out->v[1][at], c1);
    _mm256_storeu_si256((__m256i *)&out->v[2][at], c2);
    _mm256_storeu_si256((__m256i *)&out->v[3][at], c3);
}

AVX2 static void lane_sums_avx2(const float *restrict loading, uint32_t blocks,
                                uint64_t first, uint64_t seed, float *restrict sum)
{
    lane_bits r;

    for (uint32_t l = 0; l < LANES; l++)
        sum[l] = 0.0f;
    for (uint32_t b = 0; b < blocks; b++) {
        const float *y = &loading[4 * b];

        for (uint32_t l = 0; l < LANES; l += 8)
            philox_8(b, first, seed, l, &r);
        for (uint32_t l = 0; l < LANES; l++) {
            const tribus_normal_pair a = tribus_box_muller(r.v[0][l], r.v[1][l]);
            const tribus_normal_pair c = tribus_box_muller(r.v[2][l], r.v[3][l]);
            const tribus_mc_quad q = {{a.z0, a.z1, c.z0, c.z1}};

            sum[l] = add_quad(sum[l], y, &q);
        }
    }
}
#endif

typedef void (*lane_sums_fn)(const float *, uint32_t, uint64_t, uint64_t, float *);

static lane_sums_fn best_lane_sums(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return lane_sums_avx2;
#endif
    return lane_sums_baseline;
}

tribus_status tribus_quant_mc_pnl(const tribus_quant_mc_cfg *cfg, const float *loading,
                                  float drift, float *pnl)
{
    const lane_sums_fn sums = best_lane_sums();
    uint32_t blocks;
    float sum[LANES];

    if (cfg_is_bad(cfg) || loading == NULL || pnl == NULL)
        return TRIBUS_BAD_ARG;
    blocks = tribus_quant_mc_loading_count(cfg->assets) / 4;
    for (uint32_t done = 0; done < cfg->paths;) {
        const uint64_t first = cfg->first_path + done;
        const uint32_t left = cfg->paths - done;
        const uint32_t use = left < LANES ? left : LANES;

        sums(loading, blocks, first, cfg->seed, sum);
        for (uint32_t l = 0; l < use; l++)
            pnl[done + l] =
                drift + tribus_mc_scale((float)cfg->nu, first + l, cfg->seed) * sum[l];
        done += use;
    }
    return TRIBUS_OK;
}

tribus_status tribus_quant_mc_risk(const tribus_quant_mc_cfg *cfg, const float *mean,
                                   const float *chol, const float *weights, void *scratch,
                                   size_t scratch_bytes, tribus_quant_risk *out)
{
    float *pnl = scratch, *loading, drift;
    tribus_status st;

    if (cfg_is_bad(cfg) || out == NULL || scratch == NULL ||
        scratch_bytes < tribus_quant_mc_scratch_bytes(cfg))
        return TRIBUS_BAD_ARG;
    loading = pnl + cfg->paths;
    st = tribus_quant_mc_load(cfg->assets, mean, chol, weights, loading, &drift);
    if (st == TRIBUS_OK)
        st = tribus_quant_mc_pnl(cfg, loading, drift, pnl);
    if (st == TRIBUS_OK)
        st = tribus_quant_var_simulated(cfg->confidence, pnl, cfg->paths, out);
    return st;
}

/* Correlated draws of mean 0, paths x assets. */
static void draw(const tribus_quant_mc_cfg *cfg, const float *chol, float *out)
{
    const size_t n = cfg->assets;

    for (size_t p = 0; p < cfg->paths; p++) {
        const uint64_t path = cfg->first_path + p;
        const float scale = tribus_mc_scale((float)cfg->nu, path, cfg->seed);

        for (size_t i = 0; i < n; i += 4) {
            const tribus_mc_quad q = tribus_mc_normals((uint32_t)(i / 4), path, cfg->seed);

            for (size_t k = 0; k < 4 && i + k < n; k++)
                out[p * n + i + k] = scale * q.z[k];
        }
    }
    /* R = Z L', in place. */
    cblas_strmm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
                (int)cfg->paths, (int)n, 1.0f, chol, (int)n, out, (int)n);
}

tribus_status tribus_quant_mc_scenarios(const tribus_quant_mc_cfg *cfg, const float *mean,
                                        const float *chol, float *out)
{
    const size_t n = cfg == NULL ? 0 : cfg->assets;

    if (cfg_is_bad(cfg) || mean == NULL || chol == NULL || out == NULL)
        return TRIBUS_BAD_ARG;
    draw(cfg, chol, out);
    for (size_t p = 0; p < cfg->paths; p++)
        for (size_t i = 0; i < n; i++)
            out[p * n + i] += mean[i];
    return TRIBUS_OK;
}

tribus_status tribus_quant_mc_copula(const tribus_quant_mc_cfg *cfg, const float *chol,
                                     tribus_quant_matrix sorted, float *out)
{
    const size_t n = cfg == NULL ? 0 : cfg->assets;
    double unscale;

    if (cfg_is_bad(cfg) || chol == NULL || out == NULL || sorted.at == NULL ||
        sorted.rows != n || sorted.cols == 0)
        return TRIBUS_BAD_ARG;
    draw(cfg, chol, out);
    /* draw() keeps the variance at 1; a t copula is defined on the plain t. */
    unscale = cfg->nu > 0.0 ? sqrt(cfg->nu / (cfg->nu - 2.0)) : 1.0;
    for (size_t k = 0; k < cfg->paths * n; k++) {
        const double x = (double)out[k] * unscale;
        const double u = cfg->nu > 0.0 ? tribus_quant_student_cdf(x, cfg->nu)
                                       : tribus_quant_normal_cdf(x);

        out[k] = (float)tribus_quant_quantile_sorted(&sorted.at[k % n * sorted.cols],
                                                     sorted.cols, u, TRIBUS_QUANT_TYPE7);
    }
    return TRIBUS_OK;
}
