/* analytics.c -- performance measures. See tribus/quant_analytics.h. */
#include "tribus/quant_analytics.h"

#include <math.h>

void tribus_quant_drawdown(const double *returns, uint32_t n, double *out)
{
    double value = 1.0, peak = 1.0;

    for (uint32_t i = 0; i < n; i++) {
        value *= 1.0 + returns[i];
        peak = fmax(peak, value);
        out[i] = value / peak - 1.0;
    }
}

static void insert(tribus_quant_fall f, tribus_quant_fall *out, uint32_t capacity,
                   uint32_t *count)
{
    uint32_t at = *count < capacity ? (*count)++ : capacity;

    if (at == capacity) {
        if (capacity == 0 || out[capacity - 1].depth >= f.depth)
            return;
        at = capacity - 1;
    }
    for (; at > 0 && out[at - 1].depth < f.depth; at--)
        out[at] = out[at - 1];
    out[at] = f;
}

uint32_t tribus_quant_falls(const double *returns, uint32_t n, tribus_quant_fall *out,
                            uint32_t capacity)
{
    double value = 1.0, peak = 1.0;
    tribus_quant_fall f = {0};
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        value *= 1.0 + returns[i];
        if (value < peak) {
            if (f.depth == 0.0)
                f.from = i;
            if (1.0 - value / peak > f.depth) {
                f.depth = 1.0 - value / peak;
                f.trough = i;
            }
            continue;
        }
        peak = value;
        f.to = i;
        if (f.depth > 0.0)
            insert(f, out, capacity, &count);
        f.depth = 0.0;
    }
    f.to = n;
    if (f.depth > 0.0)
        insert(f, out, capacity, &count);
    return count;
}

static double ratio(double above, double below)
{
    return below > 0.0 ? above / below : NAN;
}

static void sides(const double *r, uint32_t n, double mar, tribus_quant_performance *p)
{
    double up = 0.0, down = 0.0, down_squares = 0.0, gain = 0.0, loss = 0.0, mean = 0.0;

    for (uint32_t i = 0; i < n; i++) {
        mean += r[i] / n;
        gain += fmax(0.0, r[i]);
        loss += fmax(0.0, -r[i]);
        up += fmax(0.0, r[i] - mar);
        down += fmax(0.0, mar - r[i]);
        down_squares += fmin(0.0, r[i] - mar) * fmin(0.0, r[i] - mar);
        p->hit_rate += r[i] > 0.0 ? 1.0 / n : 0.0;
    }
    p->downside_deviation = sqrt(down_squares / n);
    p->sortino = ratio(mean - mar, p->downside_deviation);
    p->upside_potential = ratio(up / n, p->downside_deviation);
    p->omega = ratio(up, down);
    p->bernardo_ledoit = ratio(gain, loss);
}

static void drawdowns(const double *r, uint32_t n, double excess,
                      tribus_quant_performance *p)
{
    double value = 1.0, peak = 1.0, depth = 0.0, depths = 0.0, squares = 0.0, ulcer = 0.0;
    uint32_t falls = 0;

    for (uint32_t i = 0; i <= n; i++) {
        double below;

        if (i < n)
            value *= 1.0 + r[i];
        if (i == n || value >= peak) { /* a fall ends at a new peak, and with the series */
            depths += depth;
            squares += depth * depth;
            falls += depth > 0.0;
            depth = 0.0;
        }
        if (i == n)
            break;
        peak = fmax(peak, value);
        below = 1.0 - value / peak;
        depth = fmax(depth, below);
        p->max_drawdown = fmax(p->max_drawdown, below);
        p->pain_index += below / n;
        ulcer += below * below / n;
    }
    p->ulcer_index = sqrt(ulcer);
    p->average_drawdown = falls > 0 ? depths / falls : 0.0;
    p->calmar = ratio(p->annual, p->max_drawdown);
    p->burke = ratio(excess, sqrt(squares));
    p->pain_ratio = ratio(excess, p->pain_index);
    p->martin_ratio = ratio(excess, p->ulcer_index);
}

static double growth(const double *r, uint32_t n)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < n; i++)
        sum += log1p(r[i]);
    return sum;
}

static void against(const tribus_quant_performance_cfg *cfg, const double *r,
                    const double *b, uint32_t n, tribus_quant_performance *p)
{
    const double annual_b = expm1(growth(b, n) * cfg->per_year / n);
    double mr = 0.0, mb = 0.0, rr = 0.0, bb = 0.0, rb = 0.0, dd = 0.0, rest;

    for (uint32_t i = 0; i < n; i++) { /* from the first on: a constant has its own mean */
        mr += (r[i] - r[0]) / n;
        mb += (b[i] - b[0]) / n;
    }
    mr += r[0];
    mb += b[0];
    for (uint32_t i = 0; i < n; i++) {
        const double x = r[i] - mr, y = b[i] - mb;

        rr += x * x;
        bb += y * y;
        rb += x * y;
        dd += (x - y) * (x - y);
    }
    p->beta = ratio(rb, bb);
    p->alpha = mr - p->beta * mb;
    p->jensen_alpha = p->annual - cfg->rate - p->beta * (annual_b - cfg->rate);
    rest = rr - p->beta * rb;
    p->specific_risk = sqrt(fmax(0.0, rest) / n * cfg->per_year);
    p->systematic_risk = fabs(p->beta) * sqrt(bb / n * cfg->per_year);
    p->m_squared = p->sharpe * sqrt(bb / n * cfg->per_year) + cfg->rate;
    p->treynor = p->beta != 0.0 ? (p->annual - cfg->rate) / p->beta : NAN;
    p->tracking_error = n > 1 ? sqrt(dd / (n - 1.0) * cfg->per_year) : NAN;
    p->information = ratio(p->annual - annual_b, p->tracking_error);
    p->correlation = ratio(rb, sqrt(rr * bb));
}

tribus_status tribus_quant_performance_of(const tribus_quant_performance_cfg *cfg,
                                          const double *returns, const double *benchmark,
                                          uint32_t n, tribus_quant_performance *out)
{
    tribus_quant_performance p = {.beta = NAN,
                                  .alpha = NAN,
                                  .jensen_alpha = NAN,
                                  .specific_risk = NAN,
                                  .systematic_risk = NAN,
                                  .m_squared = NAN,
                                  .treynor = NAN,
                                  .tracking_error = NAN,
                                  .information = NAN,
                                  .correlation = NAN};
    tribus_quant_performance_cfg c;
    tribus_quant_moments m;
    tribus_status st;
    double grown;

    if (cfg == NULL || returns == NULL || n == 0 || out == NULL ||
        !(cfg->per_year >= 0.0) || !isfinite(cfg->rate + cfg->mar + cfg->per_year))
        return TRIBUS_BAD_ARG;
    c = *cfg;
    if (c.per_year == 0.0)
        c.per_year = 252.0;
    st = tribus_quant_moments_of(returns, n, &m);
    if (st != TRIBUS_OK)
        return st;
    if (m.min < -1.0)
        return TRIBUS_BAD_DATA;
    grown = growth(returns, n);
    p.total = expm1(grown);
    p.annual = expm1(grown * c.per_year / n);
    p.volatility = m.sd_population * sqrt(c.per_year);
    p.sharpe = ratio(p.annual - c.rate, p.volatility);
    p.skewness = m.skewness;
    p.kurtosis = m.kurtosis;
    sides(returns, n, c.mar, &p);
    drawdowns(returns, n, p.annual - c.rate, &p);
    if (benchmark != NULL) {
        st = tribus_quant_moments_of(benchmark, n, &m);
        if (st != TRIBUS_OK)
            return st;
        if (m.min < -1.0)
            return TRIBUS_BAD_DATA;
        against(&c, returns, benchmark, n, &p);
    }
    *out = p;
    return TRIBUS_OK;
}

tribus_status tribus_quant_performance_rolling(const tribus_quant_performance_cfg *cfg,
                                               const double *returns, uint32_t n,
                                               uint32_t window,
                                               tribus_quant_performance *out)
{
    if (returns == NULL || out == NULL || window == 0 || window > n)
        return TRIBUS_BAD_ARG;
    for (uint32_t i = 0; i + window <= n; i++) {
        const tribus_status st =
            tribus_quant_performance_of(cfg, returns + i, NULL, window, &out[i]);

        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

double tribus_quant_attribution(tribus_quant_segment *segments, uint32_t n)
{
    double whole = 0.0, excess = 0.0;

    for (uint32_t i = 0; i < n; i++)
        whole += segments[i].benchmark_weight * segments[i].benchmark;
    for (uint32_t i = 0; i < n; i++) {
        tribus_quant_segment *s = &segments[i];
        const double bet = s->weight - s->benchmark_weight;

        s->allocation = bet * (s->benchmark - whole);
        s->selection = s->benchmark_weight * (s->returns - s->benchmark);
        s->interaction = bet * (s->returns - s->benchmark);
        excess += s->allocation + s->selection + s->interaction;
    }
    return excess;
}
