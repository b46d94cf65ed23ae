/* factors_run.c -- evaluate a factor program, over history or for one new bar.
 *
 * Every operation is a function of pointers to the newest operand values and of how many rows
 * there are; older values lie before them in memory. In a batch a node is an array over all
 * rows. Incrementally it is a buffer of twice its history: when it is full the newest half
 * moves to the front. So both ways see the same windows and give the same bits, and windows
 * are added up afresh, so that errors never pile up. */
#include "tribus/quant_factors.h"

#include "quant/factors.h"

#include <math.h>
#include <string.h>

/* ---- windows: x points at the newest of k values ---- */

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

typedef struct line {
    double slope, last, sxx, sxy, syy; /* last: the fitted value at the newest row */
    uint32_t n;
} line;

/* Regression on the row number, centred, so that nothing cancels. */
static line window_line(const double *x, uint32_t k)
{
    const double *at = x - (k - 1);
    line l = {NAN, NAN, 0, 0, 0, 0};
    double my, mt = 0.0;

    my = window_sum(x, k, &l.n) / l.n;
    if (l.n == k) {
        mt = 0.5 * (k - 1.0);
    } else {
        for (uint32_t i = 0; i < k; i++)
            mt += at[i] == at[i] ? (double)i / l.n : 0.0;
    }
    for (uint32_t i = 0; i < k; i++) {
        const double t = i - mt, y = at[i] - my;

        if (!(y == y))
            continue;
        l.sxx += t * t;
        l.sxy += t * y;
        l.syy += y * y;
    }
    if (l.n > 1) {
        l.slope = l.sxy / l.sxx;
        l.last = my + l.slope * (k - 1.0 - mt);
    }
    return l;
}

/* Qlib's threshold: below it a series is flat, and what correlation it has is rounding. */
#define FLAT 2e-5

static double window_rsquare(const double *x, uint32_t k)
{
    const line l = window_line(x, k);

    if (l.n < 2 || sqrt(l.syy / (l.n - 1.0)) <= FLAT)
        return NAN;
    return l.sxy * l.sxy / (l.sxx * l.syy);
}

/* Flatness is judged on all values of each series, the correlation on the shared rows. */
static double window_corr(const double *x, const double *y, uint32_t k)
{
    double mx = 0.0, my = 0.0, xx = 0.0, yy = 0.0, xy = 0.0, r;
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
    if (n == k ? sqrt(fmin(xx, yy) / (n - 1.0)) <= FLAT
               : window_std(x, k) <= FLAT || window_std(y, k) <= FLAT)
        return NAN;
    r = xy / sqrt(xx * yy);
    return n > 1 && xx > 0.0 && yy > 0.0 ? r : NAN;
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
        return low;
    for (uint32_t i = which + 1; i < n; i++)
        high = fmin(high, v[i]);
    return low + (high - low) * part;
}

/* First index of the n ascending values that is >= x. */
static uint32_t lower_bound(const double *v, uint32_t n, double x)
{
    uint32_t low = 0, high = n;

    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;

        if (v[mid] < x)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Quantiles of a history: the window stays sorted while it slides, one value out and one in.
 * An order statistic is a value of the window, so this gives the bits of window_quantile(). */
static void slide_quantile(const tribus_quant_factor_node *node, const double *x,
                           double *out, uint32_t count)
{
    double v[FACTOR_WINDOW_MAX + 1];
    uint32_t n = 0;

    for (uint32_t t = 0; t < count; t++) {
        double at, part;
        uint32_t which;

        if (x[t] == x[t]) {
            which = lower_bound(v, n, x[t]);
            memmove(&v[which + 1], &v[which], (n - which) * sizeof(*v));
            v[which] = x[t];
            n++;
        }
        if (t >= node->window && x[t - node->window] == x[t - node->window]) {
            which = lower_bound(v, n, x[t - node->window]);
            memmove(&v[which], &v[which + 1], (n - which - 1) * sizeof(*v));
            n--;
        }
        if (n == 0) {
            out[t] = NAN;
            continue;
        }
        at = node->value * (n - 1.0);
        which = (uint32_t)at;
        part = at - which;
        out[t] = part == 0.0 ? v[which] : v[which] + (v[which + 1] - v[which]) * part;
    }
}

static double window_of(const tribus_quant_factor_node *n, const double *a, const double *b,
                        uint32_t k)
{
    line l;

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
        return window_line(a, k).slope;
    case OP_RSQUARE:
        return window_rsquare(a, k);
    case OP_RESI:
        l = window_line(a, k);
        return *a - l.last;
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

/* ---- one node over `count` rows, of which `before` rows lie in front ---- */

static void run_node(const tribus_quant_factor_node *n, const double *a, const double *b,
                     double *out, uint32_t before, uint32_t count)
{
    switch ((factor_op)n->op) {
    case OP_FIELD: /* the caller put it there */
        return;
    case OP_NUMBER:
        for (uint32_t i = 0; i < count; i++)
            out[i] = n->value;
        return;
    case OP_ADD:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] + b[i];
        return;
    case OP_SUB:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] - b[i];
        return;
    case OP_MUL:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] * b[i];
        return;
    case OP_DIV:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] / b[i];
        return;
    case OP_GREATER_THAN:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] > b[i] ? 1.0 : 0.0;
        return;
    case OP_LESS_THAN:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] < b[i] ? 1.0 : 0.0;
        return;
    case OP_GREATER: /* a + b is NaN where either is */
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] > b[i] ? a[i] : a[i] <= b[i] ? b[i] : NAN;
        return;
    case OP_LESS:
        for (uint32_t i = 0; i < count; i++)
            out[i] = a[i] < b[i] ? a[i] : a[i] >= b[i] ? b[i] : NAN;
        return;
    case OP_ABS:
        for (uint32_t i = 0; i < count; i++)
            out[i] = fabs(a[i]);
        return;
    case OP_LOG:
        for (uint32_t i = 0; i < count; i++)
            out[i] = log(a[i]);
        return;
    case OP_REF:
        for (uint32_t i = 0; i < count; i++)
            out[i] = before + i >= n->window ? a[(ptrdiff_t)i - n->window] : NAN;
        return;
    default:
        if (n->op == OP_QUANTILE && before == 0 && count > 1) {
            slide_quantile(n, a, out, count);
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t seen = before + i + 1;

            out[i] = window_of(n, a + i, b + i, seen < n->window ? seen : n->window);
        }
    }
}

/* ---- batch ---- */

size_t tribus_quant_factors_batch_bytes(const tribus_quant_factors *f, uint32_t rows)
{
    return (size_t)f->node_count * rows * sizeof(double);
}

tribus_status tribus_quant_factors_batch(const tribus_quant_factors *f,
                                         const double *const field[TRIBUS_QUANT_FIELDS],
                                         uint32_t rows, void *scratch, double *out)
{
    double *value = scratch;

    if (f == NULL || field == NULL || rows == 0 || scratch == NULL || out == NULL)
        return TRIBUS_BAD_ARG;
    for (int i = 0; i < TRIBUS_QUANT_VWAP; i++)
        if (field[i] == NULL)
            return TRIBUS_BAD_ARG;
    for (uint32_t i = 0; i < f->node_count; i++) {
        const tribus_quant_factor_node *n = &f->nodes[i];
        double *mine = &value[(size_t)i * rows];

        if (n->op == OP_FIELD && field[n->a] != NULL) {
            memcpy(mine, field[n->a], rows * sizeof(*mine));
        } else if (n->op == OP_FIELD) {
            for (uint32_t t = 0; t < rows; t++)
                mine[t] = (field[TRIBUS_QUANT_HIGH][t] + field[TRIBUS_QUANT_LOW][t] +
                           field[TRIBUS_QUANT_CLOSE][t]) /
                          3.0;
        } else {
            run_node(n, &value[(size_t)n->a * rows], &value[(size_t)n->b * rows], mine, 0,
                     rows);
        }
    }
    for (uint32_t k = 0; k < f->count; k++)
        memcpy(&out[(size_t)k * rows], &value[(size_t)f->outputs[k] * rows],
               rows * sizeof(*out));
    return TRIBUS_OK;
}

/* ---- incremental ---- */

/* State: a header, the position of each node's newest value, then the buffers. */
typedef struct factor_state {
    uint64_t seen;
} factor_state;

static uint32_t buffer_rows(const tribus_quant_factor_node *n)
{
    return n->history == 1 ? 1 : 2 * n->history;
}

size_t tribus_quant_factors_state_bytes(const tribus_quant_factors *f)
{
    size_t doubles = 0;

    for (uint32_t i = 0; i < f->node_count; i++)
        doubles += 1 + buffer_rows(&f->nodes[i]);
    return sizeof(factor_state) + doubles * sizeof(double);
}

/* at[i]: offset of node i's newest value from the start of the buffers. */
static uint64_t *positions(void *state)
{
    return (uint64_t *)((factor_state *)state + 1);
}

void tribus_quant_factors_state_init(const tribus_quant_factors *f, void *state)
{
    uint64_t *at = positions(state), offset = 0;

    ((factor_state *)state)->seen = 0;
    for (uint32_t i = 0; i < f->node_count; i++) {
        at[i] = offset;
        offset += buffer_rows(&f->nodes[i]);
    }
}

void tribus_quant_factors_push(const tribus_quant_factors *f, void *state,
                               const double bar[TRIBUS_QUANT_FIELDS], double *out)
{
    factor_state *s = state;
    uint64_t *at = positions(state), start = 0;
    double *buffer = (double *)(at + f->node_count);
    const uint32_t before = s->seen > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)s->seen;

    for (uint32_t i = 0; i < f->node_count; i++) {
        const tribus_quant_factor_node *n = &f->nodes[i];
        const uint32_t rows = buffer_rows(n);

        if (rows > 1 && s->seen > 0 && at[i] + 1 == start + rows) {
            memcpy(&buffer[start], &buffer[start + n->history],
                   n->history * sizeof(*buffer));
            at[i] = start + n->history;
        } else if (rows > 1 && s->seen > 0) {
            at[i]++;
        }
        if (n->op == OP_FIELD)
            buffer[at[i]] = n->a == TRIBUS_QUANT_VWAP && isnan(bar[TRIBUS_QUANT_VWAP])
                                ? (bar[TRIBUS_QUANT_HIGH] + bar[TRIBUS_QUANT_LOW] +
                                   bar[TRIBUS_QUANT_CLOSE]) /
                                      3.0
                                : bar[n->a];
        else
            run_node(n, &buffer[at[n->a]], &buffer[at[n->b]], &buffer[at[i]], before, 1);
        start += rows;
    }
    s->seen++;
    for (uint32_t k = 0; k < f->count; k++)
        out[k] = buffer[at[f->outputs[k]]];
}
