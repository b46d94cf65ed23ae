/* series.c -- returns, moments, sorting, quantiles. See tribus/quant_series.h. */
#include "tribus/quant_series.h"

#include "quant/why.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

static tribus_status check_prices(tribus_quant_matrix p, double *out, tribus_quant_why *why)
{
    if (p.at == NULL || out == NULL || p.rows < 2 || p.cols == 0) {
        tribus_quant_why_set(why, "returns need two rows of prices, got %u x %u", p.rows,
                             p.cols);
        return TRIBUS_BAD_ARG;
    }
    for (size_t i = 0; i < (size_t)p.rows * p.cols; i++) {
        if (p.at[i] <= 0.0 || isinf(p.at[i])) {
            tribus_quant_why_set(why, "price %g in row %zu, column %zu is not positive",
                                 p.at[i], i / p.cols, i % p.cols);
            return TRIBUS_BAD_DATA;
        }
    }
    return TRIBUS_OK;
}

/* Ascending order, so that out may be the prices themselves. */
tribus_status tribus_quant_returns_log(tribus_quant_matrix p, double *out,
                                       tribus_quant_why *why)
{
    const tribus_status st = check_prices(p, out, why);

    if (st != TRIBUS_OK)
        return st;
    for (size_t i = 0; i < (size_t)(p.rows - 1) * p.cols; i++)
        out[i] = log(p.at[i + p.cols] / p.at[i]);
    return TRIBUS_OK;
}

tribus_status tribus_quant_returns_simple(tribus_quant_matrix p, double *out,
                                          tribus_quant_why *why)
{
    const tribus_status st = check_prices(p, out, why);

    if (st != TRIBUS_OK)
        return st;
    for (size_t i = 0; i < (size_t)(p.rows - 1) * p.cols; i++)
        out[i] = p.at[i + p.cols] / p.at[i] - 1.0;
    return TRIBUS_OK;
}

tribus_status tribus_quant_moments_of(const double *x, uint32_t n,
                                      tribus_quant_moments *out)
{
    tribus_quant_moments m = {.min = INFINITY, .max = -INFINITY, .count = n};
    double sum = 0.0, m2 = 0.0, m3 = 0.0, m4 = 0.0, left = 0.0;

    if (x == NULL || n == 0 || out == NULL)
        return TRIBUS_BAD_ARG;
    for (uint32_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return TRIBUS_BAD_DATA;
        sum += x[i];
        m.min = fmin(m.min, x[i]);
        m.max = fmax(m.max, x[i]);
    }
    m.mean = sum / n;
    for (uint32_t i = 0; i < n; i++) {
        const double d = x[i] - m.mean;

        left += d;
        m2 += d * d;
        m3 += d * d * d;
        m4 += d * d * d * d;
    }
    m.mean += left / n; /* what rounding left over of the first pass */
    m2 = m.max > m.min ? fmax(0.0, m2 - left * left / n) : 0.0;
    m.sd_population = sqrt(m2 / n);
    m.sd_sample = n > 1 ? sqrt(m2 / (n - 1.0)) : NAN;
    m.skewness = m.max > m.min ? m3 / n / pow(m2 / n, 1.5) : NAN;
    m.kurtosis = m.max > m.min ? m4 / n / (m2 / n * m2 / n) - 3.0 : NAN;
    *out = m;
    return TRIBUS_OK;
}

static void sift_down(double *x, uint32_t root, uint32_t n)
{
    const double moved = x[root];

    for (;;) {
        size_t child = 2 * (size_t)root + 1;

        if (child >= n)
            break;
        if (child + 1 < n && x[child + 1] > x[child])
            child++;
        if (x[child] <= moved)
            break;
        x[root] = x[child];
        root = (uint32_t)child;
    }
    x[root] = moved;
}

static void insertion_sort(double *x, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const double moved = x[i];
        uint32_t at = i;

        for (; at > 0 && x[at - 1] > moved; at--)
            x[at] = x[at - 1];
        x[at] = moved;
    }
}

static void heap_sort(double *x, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(x, i, n);
    for (uint32_t last = n; last-- > 1;) {
        const double top = x[0];

        x[0] = x[last];
        x[last] = top;
        sift_down(x, 0, last);
    }
}

static double median_of_three(const double *x, uint32_t n)
{
    const double a = x[0], b = x[n / 2], c = x[n - 1];

    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

/* Moves what is below the pivot, or equal where asked, to the front and returns how many that
 * are. Lomuto's partition without a branch: on random input a branch is guessed wrong half
 * of the time, which costs more than the swaps that it saves. */
static inline uint32_t split_at(double *x, uint32_t n, double pivot, bool equal)
{
    uint32_t front = 0;

    for (uint32_t i = 0; i < n; i++) {
        const double moved = x[i];

        x[i] = x[front];
        x[front] = moved;
        front += equal ? moved <= pivot : moved < pivot;
    }
    return front;
}

/* Quicksort on the median of three; the smaller part stays in the loop and the larger one
 * waits, so at most log2(n) parts wait. Lopsided splits are counted: past 64 of them the
 * parts go to heapsort, which keeps O(n log n) for input made to hurt. */
void tribus_quant_sort(double *x, uint32_t n)
{
    struct {
        double *at;
        uint32_t n;
    } waiting[40];
    uint32_t depth = 0, lopsided = 0;

    for (;;) {
        if (n <= 16 || lopsided > 64) {
            if (n <= 16)
                insertion_sort(x, n);
            else
                heap_sort(x, n);
            if (depth == 0)
                return;
            depth--;
            x = waiting[depth].at;
            n = waiting[depth].n;
            continue;
        }
        const double pivot = median_of_three(x, n);
        const uint32_t split = split_at(x, n, pivot, false);

        if (split == 0) { /* the pivot is the least: all that equal it are in place */
            const uint32_t least = split_at(x, n, pivot, true);

            lopsided += least < n / 16;
            x += least > 0 ? least : 1;
            n -= least > 0 ? least : 1;
            continue;
        }
        const uint32_t smaller = split < n - split ? split : n - split;

        lopsided += smaller < n / 16;
        if (smaller == split) {
            waiting[depth].at = x + split;
            waiting[depth++].n = n - split;
        } else {
            waiting[depth].at = x;
            waiting[depth++].n = split;
            x += split;
        }
        n = smaller;
    }
}

static double clamped(const double *sorted, uint32_t n, double one_based)
{
    if (one_based < 1.0)
        return sorted[0];
    if (one_based > (double)n)
        return sorted[n - 1];
    return sorted[(uint32_t)one_based - 1];
}

double tribus_quant_quantile_sorted(const double *sorted, uint32_t n, double p,
                                    tribus_quant_quantile_rule rule)
{
    /* alpha, beta of types 4 .. 9: j + g = n p + alpha + p (1 - alpha - beta). */
    static const double ab[6][2] = {{0.0, 1.0}, {0.5, 0.5},         {0.0, 0.0},
                                    {1.0, 1.0}, {1.0 / 3, 1.0 / 3}, {3.0 / 8, 3.0 / 8}};
    double at, j, g;

    if (sorted == NULL || n == 0 || !(p >= 0.0 && p <= 1.0) || rule < TRIBUS_QUANT_TYPE1 ||
        rule > TRIBUS_QUANT_TYPE9)
        return NAN;
    if (rule <= TRIBUS_QUANT_TYPE3)
        at = n * p - (rule == TRIBUS_QUANT_TYPE3 ? 0.5 : 0.0);
    else
        at = n * p + ab[rule - 4][0] + p * (1.0 - ab[rule - 4][0] - ab[rule - 4][1]);
    /* 0.05 * 100 is 5.000000000000000277: without this, type 1 would take the sixth. */
    j = floor(at + 4.0 * DBL_EPSILON * fmax(1.0, at));
    g = at - j;
    if (fabs(g) < 4.0 * DBL_EPSILON * fmax(1.0, at))
        g = 0.0;
    if (rule == TRIBUS_QUANT_TYPE1)
        g = g > 0.0 ? 1.0 : 0.0;
    else if (rule == TRIBUS_QUANT_TYPE2)
        g = g > 0.0 ? 1.0 : 0.5;
    else if (rule == TRIBUS_QUANT_TYPE3)
        g = g == 0.0 && fmod(j, 2.0) == 0.0 ? 0.0 : 1.0;
    if (g == 0.0)
        return clamped(sorted, n, j);
    if (g == 1.0)
        return clamped(sorted, n, j + 1.0);
    return (1.0 - g) * clamped(sorted, n, j) + g * clamped(sorted, n, j + 1.0);
}
