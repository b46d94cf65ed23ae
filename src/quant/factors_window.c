/* factors_window.c -- one window of each rolling function; x points at the newest of k values.
 *
 * Windows are added up afresh, so that errors never pile up. */
#include "quant/factors_window.h"

#include "quant/factors.h"

/* Four sums, added as (0 + 1) + (2 + 3): faster than one, and the same in every caller. */
static double sum_skipping(const double *at, uint32_t k, uint32_t *count)
{
    double sum[4] = {0};
    uint32_t n[4] = {0}, i = 0;

    for (; i + 4 <= k; i += 4) {
        for (uint32_t l = 0; l < 4; l++) {
            const int there = at[i + l] == at[i + l];

            sum[l] += there ? at[i + l] : 0.0;
            n[l] += (uint32_t)there;
        }
    }
    for (; i < k; i++) {
        const int there = at[i] == at[i];

        sum[0] += there ? at[i] : 0.0;
        n[0] += (uint32_t)there;
    }
    *count = n[0] + n[1] + n[2] + n[3];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Most windows have no hole: then the plain sum is a number, and the same number. */
static double window_sum(const double *x, uint32_t k, uint32_t *count)
{
    const double *at = x - (k - 1);
    double sum[4] = {0}, all;
    uint32_t i = 0;

    for (; i + 4 <= k; i += 4)
        for (uint32_t l = 0; l < 4; l++)
            sum[l] += at[i + l];
    for (; i < k; i++)
        sum[0] += at[i];
    all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    *count = k;
    return all == all ? all : sum_skipping(at, k, count);
}

static double window_squares(const double *x, uint32_t k, double mean)
{
    const double *at = x - (k - 1);
    double sum[4] = {0};
    uint32_t i = 0;

    for (; i + 4 <= k; i += 4) {
        for (uint32_t l = 0; l < 4; l++) {
            const double d = at[i + l] - mean;

            sum[l] += d == d ? d * d : 0.0;
        }
    }
    for (; i < k; i++) {
        const double d = at[i] - mean;

        sum[0] += d == d ? d * d : 0.0;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double window_mean(const double *x, uint32_t k)
{
    uint32_t n;
    const double sum = window_sum(x, k, &n);

    return n > 0 ? sum / n : NAN;
}

static double window_std(const double *x, uint32_t k)
{
    uint32_t n;
    const double sum = window_sum(x, k, &n);

    return n > 1 ? sqrt(window_squares(x, k, sum / n) / (n - 1.0)) : NAN;
}

static double window_extreme(const double *x, uint32_t k, int max)
{
    double best = NAN;

    for (const double *at = x - (k - 1); at <= x; at++)
        if (*at == *at && !(max ? *at <= best : *at >= best))
            best = *at;
    return best;
}

static double window_index(const double *x, uint32_t k, int max)
{
    const double *at = x - (k - 1);
    uint32_t which = UINT32_MAX;

    for (uint32_t i = 0; i < k; i++)
        if (at[i] == at[i] &&
            (which == UINT32_MAX || (max ? at[i] > at[which] : at[i] < at[which])))
            which = i;
    return which == UINT32_MAX ? NAN : which + 1.0;
}

static double window_rank(const double *x, uint32_t k)
{
    uint32_t below = 0, equal = 0, n = 0;

    for (const double *at = x - (k - 1); at <= x; at++) {
        below += *at < *x;
        equal += *at == *x;
        n += *at == *at;
    }
    return equal > 0 ? (below + 0.5 * (equal + 1.0)) / n : NAN;
}

/* Centred, so that nothing cancels. */
static tribus_factor_line window_line(const double *x, uint32_t k)
{
    const double *at = x - (k - 1);
    tribus_factor_line l = {0};
    double mt = 0.0;

    l.mean = window_sum(x, k, &l.n) / l.n;
    if (l.n == k) {
        mt = 0.5 * (k - 1.0);
    } else {
        for (uint32_t i = 0; i < k; i++)
            mt += at[i] == at[i] ? (double)i / l.n : 0.0;
    }
    for (uint32_t i = 0; i < k; i++) {
        const double t = i - mt, y = at[i] - l.mean;

        if (!(y == y))
            continue;
        l.sxx += t * t;
        l.sxy += t * y;
        l.syy += y * y;
    }
    l.age = k - 1.0 - mt;
    return l;
}

/* Flatness is judged on all values of each series, the correlation on the shared rows. */
static double window_corr(const double *x, const double *y, uint32_t k)
{
    double mx = 0.0, my = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < k; i++) {
        const double a = x[-(ptrdiff_t)i], b = y[-(ptrdiff_t)i];
        const int there = a == a && b == b;

        n += (uint32_t)there;
        mx += there ? a : 0.0;
        my += there ? b : 0.0;
    }
    mx /= n;
    my /= n;
    for (uint32_t i = 0; i < k; i++) {
        const double a = x[-(ptrdiff_t)i] - mx, b = y[-(ptrdiff_t)i] - my;
        const int there = a == a && b == b;

        xx += there ? a * a : 0.0;
        yy += there ? b * b : 0.0;
        xy += there ? a * b : 0.0;
    }
    if (n == k)
        return tribus_factor_corr(xx, yy, xy, k);
    if (window_std(x, k) <= FACTOR_FLAT || window_std(y, k) <= FACTOR_FLAT)
        return NAN;
    return n > 1 && xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : NAN;
}

/* Quickselect of the smallest `which + 1`: sorted[which] ends in place. */
static double select_one(double *v, uint32_t n, uint32_t which)
{
    uint32_t low = 0, high = n - 1;

    while (low < high) {
        const double pivot = v[low + (high - low) / 2];
        uint32_t i = low, j = high;

        for (;;) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i >= j)
                break;
            const double t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
        /* [low, i) <= pivot <= [i, high] */
        if (i == low)
            i++;
        if (which < i)
            high = i - 1;
        else
            low = i;
    }
    return v[which];
}

static double window_quantile(const double *x, uint32_t k, double q)
{
    double v[FACTOR_WINDOW_MAX], at, part, low, high = INFINITY;
    uint32_t n = 0, which;

    for (const double *p = x - (k - 1); p <= x; p++) {
        v[n] = *p;
        n += *p == *p;
    }
    if (n == 0)
        return NAN;
    at = q * (n - 1.0);
    which = (uint32_t)at;
    part = at - which;
    low = select_one(v, n, which);
    if (part == 0.0)
        return tribus_factor_quantile(low, 0.0, 0.0);
    for (uint32_t i = which + 1; i < n; i++)
        high = fmin(high, v[i]);
    return tribus_factor_quantile(low, part, high);
}

double tribus_factor_window(const tribus_quant_factor_node *n, const double *a,
                            const double *b, uint32_t k)
{
    tribus_factor_line l;

    switch ((factor_op)n->op) {
    case OP_MEAN:
        return window_mean(a, k);
    case OP_SUM: {
        uint32_t count;
        const double sum = window_sum(a, k, &count);

        return count > 0 ? sum : NAN;
    }
    case OP_STD:
        return window_std(a, k);
    case OP_MAX:
        return window_extreme(a, k, 1);
    case OP_MIN:
        return window_extreme(a, k, 0);
    case OP_SLOPE:
        l = window_line(a, k);
        return tribus_factor_slope(&l);
    case OP_RSQUARE:
        l = window_line(a, k);
        return tribus_factor_rsquare(&l);
    case OP_RESI:
        l = window_line(a, k);
        return tribus_factor_resi(&l, *a);
    case OP_RANK:
        return window_rank(a, k);
    case OP_IDXMAX:
        return window_index(a, k, 1);
    case OP_IDXMIN:
        return window_index(a, k, 0);
    case OP_QUANTILE:
        return window_quantile(a, k, n->value);
    default:
        return window_corr(a, b, k);
    }
}
