/* factors_history.c -- every window of a history, eight rows at a time where there is AVX2.
 *
 * A lane is a row: it does to its window what factors_window.c does to one window, in the same
 * order, so the bits are the same, and neighbouring rows lie side by side in a vector. That is
 * for whole windows of ordinary numbers; the rest goes through tribus_factor_window(). */
#include "quant/factors_window.h"

#include "quant/factors.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__x86_64__)

#define AVX2   __attribute__((target("avx2")))
#define INLINE AVX2 static inline __attribute__((always_inline))

enum { LANES = 8, PAIR = 2 }; /* a pair of vectors of four rows */

/* Below it no sum or product of a window overflows, and nothing is NaN. */
#define ORDINARY 1e140

/* at: the oldest value of lane 0's window; lane l's window begins l values later. */

INLINE __m256d load_4(const double *at, uint32_t v)
{
    return _mm256_loadu_pd(at + 4 * v);
}

INLINE void lane_sums(const double *at, uint32_t k, __m256d out[PAIR])
{
    __m256d sum[4][PAIR];
    uint32_t i = 0;

    for (uint32_t j = 0; j < 4; j++)
        sum[j][0] = sum[j][1] = _mm256_setzero_pd();
    for (; i + 4 <= k; i += 4)
        for (uint32_t j = 0; j < 4; j++)
            for (uint32_t v = 0; v < PAIR; v++)
                sum[j][v] = _mm256_add_pd(sum[j][v], load_4(at + i + j, v));
    for (; i < k; i++)
        for (uint32_t v = 0; v < PAIR; v++)
            sum[0][v] = _mm256_add_pd(sum[0][v], load_4(at + i, v));
    for (uint32_t v = 0; v < PAIR; v++)
        out[v] = _mm256_add_pd(_mm256_add_pd(sum[0][v], sum[1][v]),
                               _mm256_add_pd(sum[2][v], sum[3][v]));
}

INLINE void lane_means(const double *at, uint32_t k, __m256d out[PAIR])
{
    lane_sums(at, k, out);
    for (uint32_t v = 0; v < PAIR; v++)
        out[v] = _mm256_div_pd(out[v], _mm256_set1_pd(k));
}

INLINE __m256d add_square(__m256d sum, __m256d x, __m256d mean)
{
    const __m256d d = _mm256_sub_pd(x, mean);

    return _mm256_add_pd(sum, _mm256_mul_pd(d, d));
}

INLINE void lane_stds(const double *at, uint32_t k, __m256d out[PAIR])
{
    const __m256d freedom = _mm256_set1_pd(k > 1 ? k - 1.0 : NAN);
    __m256d mean[PAIR], sum[4][PAIR];
    uint32_t i = 0;

    lane_means(at, k, mean);
    for (uint32_t j = 0; j < 4; j++)
        sum[j][0] = sum[j][1] = _mm256_setzero_pd();
    for (; i + 4 <= k; i += 4)
        for (uint32_t j = 0; j < 4; j++)
            for (uint32_t v = 0; v < PAIR; v++)
                sum[j][v] = add_square(sum[j][v], load_4(at + i + j, v), mean[v]);
    for (; i < k; i++)
        for (uint32_t v = 0; v < PAIR; v++)
            sum[0][v] = add_square(sum[0][v], load_4(at + i, v), mean[v]);
    for (uint32_t v = 0; v < PAIR; v++) {
        const __m256d all = _mm256_add_pd(_mm256_add_pd(sum[0][v], sum[1][v]),
                                          _mm256_add_pd(sum[2][v], sum[3][v]));

        out[v] = _mm256_sqrt_pd(_mm256_div_pd(all, freedom));
    }
}

/* The first of the largest, or smallest, values of each window, and its number from 1. */
INLINE void lane_extremes(const double *at, uint32_t k, int max, __m256d best[PAIR],
                          __m256d which[PAIR])
{
    for (uint32_t v = 0; v < PAIR; v++) {
        best[v] = load_4(at, v);
        which[v] = _mm256_set1_pd(1.0);
    }
    for (uint32_t i = 1; i < k; i++) {
        const __m256d number = _mm256_set1_pd(i + 1.0);

        for (uint32_t v = 0; v < PAIR; v++) {
            const __m256d x = load_4(at + i, v);
            const __m256d better = max ? _mm256_cmp_pd(x, best[v], _CMP_GT_OQ)
                                       : _mm256_cmp_pd(x, best[v], _CMP_LT_OQ);

            best[v] = max ? _mm256_max_pd(x, best[v]) : _mm256_min_pd(x, best[v]);
            which[v] = _mm256_blendv_pd(which[v], number, better);
        }
    }
}

INLINE void lane_ranks(const double *at, uint32_t k, __m256d out[PAIR])
{
    const __m256d half = _mm256_set1_pd(0.5), one = _mm256_set1_pd(1.0);
    __m256d below[PAIR], equal[PAIR], newest[PAIR];

    for (uint32_t v = 0; v < PAIR; v++) {
        newest[v] = load_4(at + (k - 1), v);
        below[v] = equal[v] = _mm256_setzero_pd();
    }
    for (uint32_t i = 0; i < k; i++) {
        for (uint32_t v = 0; v < PAIR; v++) {
            const __m256d x = load_4(at + i, v);
            const __m256d less = _mm256_cmp_pd(x, newest[v], _CMP_LT_OQ);
            const __m256d same = _mm256_cmp_pd(x, newest[v], _CMP_EQ_OQ);

            below[v] = _mm256_add_pd(below[v], _mm256_and_pd(less, one));
            equal[v] = _mm256_add_pd(equal[v], _mm256_and_pd(same, one));
        }
    }
    for (uint32_t v = 0; v < PAIR; v++) {
        const __m256d ties = _mm256_mul_pd(half, _mm256_add_pd(equal[v], one));

        out[v] = _mm256_div_pd(_mm256_add_pd(below[v], ties), _mm256_set1_pd(k));
    }
}

INLINE void lane_lines(factor_op op, const double *at, uint32_t k, double out[LANES])
{
    const double mt = 0.5 * (k - 1.0);
    __m256d mean[PAIR], sxy[PAIR], syy[PAIR];
    double m[LANES], xy[LANES], yy[LANES], sxx = 0.0;

    lane_means(at, k, mean);
    sxy[0] = sxy[1] = syy[0] = syy[1] = _mm256_setzero_pd();
    for (uint32_t i = 0; i < k; i++) {
        const double t = i - mt;

        sxx += t * t;
        for (uint32_t v = 0; v < PAIR; v++) {
            const __m256d y = _mm256_sub_pd(load_4(at + i, v), mean[v]);

            sxy[v] = _mm256_add_pd(sxy[v], _mm256_mul_pd(_mm256_set1_pd(t), y));
            syy[v] = _mm256_add_pd(syy[v], _mm256_mul_pd(y, y));
        }
    }
    for (uint32_t v = 0; v < PAIR; v++) {
        _mm256_storeu_pd(&m[4 * v], mean[v]);
        _mm256_storeu_pd(&xy[4 * v], sxy[v]);
        _mm256_storeu_pd(&yy[4 * v], syy[v]);
    }
    for (uint32_t l = 0; l < LANES; l++) {
        const tribus_factor_line line = {m[l], sxx, xy[l], yy[l], k - 1.0 - mt, k};

        out[l] = op == OP_SLOPE     ? tribus_factor_slope(&line)
                 : op == OP_RSQUARE ? tribus_factor_rsquare(&line)
                                    : tribus_factor_resi(&line, at[k - 1 + l]);
    }
}

/* Newest first, as window_corr(). */
INLINE void lane_corrs(const double *x, const double *y, uint32_t k, double out[LANES])
{
    __m256d mx[PAIR], my[PAIR], sum[3][PAIR];
    double xx[LANES], yy[LANES], xy[LANES];

    mx[0] = mx[1] = my[0] = my[1] = _mm256_setzero_pd();
    for (uint32_t i = k; i-- > 0;) {
        for (uint32_t v = 0; v < PAIR; v++) {
            mx[v] = _mm256_add_pd(mx[v], load_4(x + i, v));
            my[v] = _mm256_add_pd(my[v], load_4(y + i, v));
        }
    }
    for (uint32_t v = 0; v < PAIR; v++) {
        mx[v] = _mm256_div_pd(mx[v], _mm256_set1_pd(k));
        my[v] = _mm256_div_pd(my[v], _mm256_set1_pd(k));
        sum[0][v] = sum[1][v] = sum[2][v] = _mm256_setzero_pd();
    }
    for (uint32_t i = k; i-- > 0;) {
        for (uint32_t v = 0; v < PAIR; v++) {
            const __m256d a = _mm256_sub_pd(load_4(x + i, v), mx[v]);
            const __m256d b = _mm256_sub_pd(load_4(y + i, v), my[v]);

            sum[0][v] = _mm256_add_pd(sum[0][v], _mm256_mul_pd(a, a));
            sum[1][v] = _mm256_add_pd(sum[1][v], _mm256_mul_pd(b, b));
            sum[2][v] = _mm256_add_pd(sum[2][v], _mm256_mul_pd(a, b));
        }
    }
    for (uint32_t v = 0; v < PAIR; v++) {
        _mm256_storeu_pd(&xx[4 * v], sum[0][v]);
        _mm256_storeu_pd(&yy[4 * v], sum[1][v]);
        _mm256_storeu_pd(&xy[4 * v], sum[2][v]);
    }
    for (uint32_t l = 0; l < LANES; l++)
        out[l] = tribus_factor_corr(xx[l], yy[l], xy[l], k);
}

/* a, b: the oldest values of lane 0's windows. */
AVX2 static void lanes_of(const tribus_quant_factor_node *n, const double *a,
                          const double *b, double out[LANES])
{
    __m256d mine[PAIR], other[PAIR];

    switch ((factor_op)n->op) {
    case OP_SUM:
        lane_sums(a, n->window, mine);
        break;
    case OP_MEAN:
        lane_means(a, n->window, mine);
        break;
    case OP_STD:
        lane_stds(a, n->window, mine);
        break;
    case OP_MAX:
        lane_extremes(a, n->window, 1, mine, other);
        break;
    case OP_MIN:
        lane_extremes(a, n->window, 0, mine, other);
        break;
    case OP_IDXMAX:
        lane_extremes(a, n->window, 1, other, mine);
        break;
    case OP_IDXMIN:
        lane_extremes(a, n->window, 0, other, mine);
        break;
    case OP_RANK:
        lane_ranks(a, n->window, mine);
        break;
    case OP_CORR:
        lane_corrs(a, b, n->window, out);
        return;
    default:
        lane_lines((factor_op)n->op, a, n->window, out);
        return;
    }
    _mm256_storeu_pd(&out[0], mine[0]);
    _mm256_storeu_pd(&out[4], mine[1]);
}

static int is_odd(double a, double b)
{
    return !(fabs(a) < ORDINARY && fabs(b) < ORDINARY);
}

static void run_lanes(const tribus_quant_factor_node *n, const double *a, const double *b,
                      double *out, uint32_t rows)
{
    const uint32_t k = n->window;
    const double *y = n->op == OP_CORR ? b : a;
    uint32_t t = 0, odd = 0; /* rows up to the last that is not ordinary */

    for (; t < rows && t + 1 < k; t++) {
        out[t] = tribus_factor_window(n, a + t, y + t, t + 1);
        odd = is_odd(a[t], y[t]) ? t + 1 : odd;
    }
    for (; t + LANES <= rows; t += LANES) {
        for (uint32_t l = 0; l < LANES; l++)
            odd = is_odd(a[t + l], y[t + l]) ? t + l + 1 : odd;
        if (odd + k <= t + 1) {
            lanes_of(n, a + t + 1 - k, y + t + 1 - k, &out[t]);
            continue;
        }
        for (uint32_t l = 0; l < LANES; l++)
            out[t + l] = tribus_factor_window(n, a + t + l, y + t + l, k);
    }
    for (; t < rows; t++)
        out[t] = tribus_factor_window(n, a + t, y + t, k);
}

#endif

/* First index of the n ascending values that is >= x. A branch here is guessed wrong half the time. */
static uint32_t lower_bound(const double *v, uint32_t n, double x)
{
    uint32_t low = 0;

    while (n > 0) {
        const uint32_t half = (n + 1) / 2;

        low += half * (uint32_t)(v[low + half - 1] < x);
        n -= half;
    }
    return low;
}

/* x enters the n ascending values and old, which is among them, leaves; NaN: none does. */
static uint32_t slide(double *v, uint32_t n, double x, double old)
{
    const int enters = x == x, leaves = old == old;
    const uint32_t to = enters ? lower_bound(v, n, x) : n;
    const uint32_t from = leaves ? lower_bound(v, n, old) : n;

    if (from < to) /* old lies below: what is between moves down */
        memmove(&v[from], &v[from + 1], (to - from - 1) * sizeof(*v));
    else
        memmove(&v[to + 1], &v[to], (from - to) * sizeof(*v));
    if (enters)
        v[from < to ? to - 1 : to] = x;
    return n + (uint32_t)enters - (uint32_t)leaves;
}

/* Quantiles of a history: the window stays sorted while it slides, one value out and one in.
 * An order statistic is a value of the window, so this gives the bits of one window. */
static void slide_quantile(const tribus_quant_factor_node *node, const double *x,
                           double *out, uint32_t rows)
{
    double v[FACTOR_WINDOW_MAX + 1];
    uint32_t n = 0;

    for (uint32_t t = 0; t < rows; t++) {
        double at, part;
        uint32_t which;

        n = slide(v, n, x[t], t >= node->window ? x[t - node->window] : NAN);
        if (n == 0) {
            out[t] = NAN;
            continue;
        }
        at = node->value * (n - 1.0);
        which = (uint32_t)at;
        part = at - which;
        out[t] = tribus_factor_quantile(v[which], part, part > 0.0 ? v[which + 1] : 0.0);
    }
}

void tribus_factor_history(const tribus_quant_factor_node *n, const double *a,
                           const double *b, double *out, uint32_t rows)
{
    if (n->op == OP_QUANTILE) {
        slide_quantile(n, a, out, rows);
        return;
    }
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        run_lanes(n, a, b, out, rows);
        return;
    }
#endif
    for (uint32_t t = 0; t < rows; t++)
        out[t] =
            tribus_factor_window(n, a + t, b + t, t + 1 < n->window ? t + 1 : n->window);
}
