/* indicator_average.c -- indicators of one series: averages, momentum, bands.
 *
 * In every step: s->seen bars came before this one, p is the period, and the return says
 * whether out is valid. m[] is what the formula remembers. */
#include "quant/indicator.h"

#include <math.h>

int step_sma(indicator *s, const double *in, double *out)
{
    (void)in;
    out[0] =
        s->seen + 1 < period(s, 0) ? NAN : indicator_sum(s, 0, period(s, 0)) / s->param[0];
    return s->seen + 1 >= period(s, 0);
}

static double deviation(const indicator *s, double mean)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < period(s, 0); i++) {
        const double d = *series_at(s, 0, i) - mean;

        sum += d * d;
    }
    return sqrt(sum / s->param[0]);
}

int step_stddev(indicator *s, const double *in, double *out)
{
    double mean;

    if (!step_sma(s, in, &mean))
        return 0;
    out[0] = deviation(s, mean);
    return 1;
}

int step_bbands(indicator *s, const double *in, double *out)
{
    double mean, width;

    if (!step_sma(s, in, &mean))
        return 0;
    width = s->param[1] * deviation(s, mean);
    out[0] = mean - width;
    out[1] = mean;
    out[2] = mean + width;
    return 1;
}

int step_ema(indicator *s, const double *in, double *out)
{
    s->m[0] = s->seen == 0 ? in[0] : ema_next(s->m[0], in[0], s->param[0]);
    out[0] = s->m[0];
    return 1;
}

/* Averages of averages: the next begins when the one before it has seen p bars. */
static void chain(indicator *s, double x)
{
    const uint64_t p = period(s, 0);

    s->m[0] = s->seen == 0 ? x : ema_next(s->m[0], x, s->param[0]);
    if (s->seen + 1 >= p)
        s->m[1] = s->seen + 1 == p ? s->m[0] : ema_next(s->m[1], s->m[0], s->param[0]);
    if (s->seen + 2 >= 2 * p)
        s->m[2] = s->seen + 2 == 2 * p ? s->m[1] : ema_next(s->m[2], s->m[1], s->param[0]);
}

int step_dema(indicator *s, const double *in, double *out)
{
    chain(s, in[0]);
    out[0] = 2.0 * s->m[0] - s->m[1];
    return s->seen + 2 >= 2 * period(s, 0);
}

int step_tema(indicator *s, const double *in, double *out)
{
    chain(s, in[0]);
    out[0] = 3.0 * s->m[0] - 3.0 * s->m[1] + s->m[2];
    return s->seen + 3 >= 3 * period(s, 0);
}

int step_trix(indicator *s, const double *in, double *out)
{
    const double before = s->m[2];

    chain(s, in[0]);
    out[0] = (s->m[2] - before) / s->m[2] * 100.0;
    return s->seen + 2 >= 3 * period(s, 0);
}

int step_wilders(indicator *s, const double *in, double *out)
{
    const uint64_t p = period(s, 0);

    if (s->seen + 1 < p)
        return 0;
    if (s->seen + 1 == p)
        s->m[0] = indicator_sum(s, 0, p) / s->param[0];
    else
        s->m[0] += (in[0] - s->m[0]) / s->param[0];
    out[0] = s->m[0];
    return 1;
}

int step_wma(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    double sum = 0.0;

    (void)in;
    if (s->seen + 1 < p)
        return 0;
    for (uint32_t i = 0; i < p; i++)
        sum += *series_at(s, 0, i) * (p - i);
    out[0] = sum / (0.5 * s->param[0] * (s->param[0] + 1.0));
    return 1;
}

int step_trima(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    double sum = 0.0, total = 0.0;

    (void)in;
    if (s->seen + 1 < p)
        return 0;
    for (uint32_t i = 0; i < p; i++) {
        const double weight = i + 1 < p - i ? i + 1 : p - i;

        sum += weight * *series_at(s, 0, i);
        total += weight;
    }
    out[0] = sum / total;
    return 1;
}

/* Half a period and one back, against the average. */
int step_dpo(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0), back = p / 2 + 1;
    double mean;

    if (!step_sma(s, in, &mean) || s->seen < back)
        return 0;
    out[0] = *series_at(s, 0, back) - mean;
    return 1;
}

int step_rocr(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);

    if (s->seen < p)
        return 0;
    out[0] = in[0] / *series_at(s, 0, p);
    return 1;
}

/* Rises and falls over the last p changes. */
static void ups_and_downs(const indicator *s, double *up, double *down)
{
    *up = *down = 0.0;
    for (uint32_t i = 0; i < period(s, 0); i++) {
        const double change = *series_at(s, 0, i) - *series_at(s, 0, i + 1);

        *up += change > 0.0 ? change : 0.0;
        *down -= change < 0.0 ? change : 0.0;
    }
}

int step_cmo(indicator *s, const double *in, double *out)
{
    double up, down;

    (void)in;
    if (s->seen < period(s, 0))
        return 0;
    ups_and_downs(s, &up, &down);
    out[0] = up + down == 0.0 ? 0.0 : 100.0 * (up - down) / (up + down);
    return 1;
}

int step_rsi(indicator *s, const double *in, double *out)
{
    const uint64_t p = period(s, 0);

    if (s->seen < p)
        return 0;
    if (s->seen == p) {
        ups_and_downs(s, &s->m[0], &s->m[1]);
        s->m[0] /= s->param[0];
        s->m[1] /= s->param[0];
    } else {
        const double change = in[0] - *series_at(s, 0, 1);

        s->m[0] += (fmax(change, 0.0) - s->m[0]) / s->param[0];
        s->m[1] += (fmax(-change, 0.0) - s->m[1]) / s->param[0];
    }
    out[0] = s->m[0] + s->m[1] == 0.0 ? 0.0 : 100.0 * s->m[0] / (s->m[0] + s->m[1]);
    return 1;
}

/* Forecast oscillator: how far the value is from what the line before it foretold. */
int step_fosc(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    const double foretold = s->m[0], middle = 0.5 * (s->param[0] - 1.0);
    double sxy = 0.0, sxx = 0.0, mean;

    if (s->seen + 1 < p)
        return 0;
    mean = indicator_sum(s, 0, p) / s->param[0];
    for (uint32_t i = 0; i < p; i++) {
        const double t = (p - 1 - i) - middle;

        sxx += t * t;
        sxy += t * (*series_at(s, 0, i) - mean);
    }
    s->m[0] = mean + (sxx > 0.0 ? sxy / sxx : 0.0) * (s->param[0] - middle);
    out[0] = 100.0 * (in[0] - foretold) / in[0];
    return s->seen >= p;
}

/* Gerald Appel's 12 and 26 days stand for weights of 0.15 and 0.075, not 2 / 13 and 2 / 27. */
int step_macd(indicator *s, const double *in, double *out)
{
    const int classic = s->param[0] == 12.0 && s->param[1] == 26.0;
    const double fast = classic ? 0.15 : 2.0 / (s->param[0] + 1.0);
    const double slow = classic ? 0.075 : 2.0 / (s->param[1] + 1.0);
    double macd;

    s->m[0] = s->seen == 0 ? in[0] : s->m[0] + (in[0] - s->m[0]) * fast;
    s->m[1] = s->seen == 0 ? in[0] : s->m[1] + (in[0] - s->m[1]) * slow;
    if (s->seen + 1 < period(s, 1))
        return 0;
    macd = s->m[0] - s->m[1];
    s->m[2] = s->seen + 1 == period(s, 1) ? macd : ema_next(s->m[2], macd, s->param[2]);
    out[0] = macd;
    out[1] = s->m[2];
    out[2] = macd - s->m[2];
    return 1;
}

/* Vertical horizontal filter: the range against the way travelled. */
int step_vhf(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    double way = 0.0;

    (void)in;
    if (s->seen < p)
        return 0;
    for (uint32_t i = 0; i < p; i++)
        way += fabs(*series_at(s, 0, i) - *series_at(s, 0, i + 1));
    out[0] = (indicator_max(s, 0, p) - indicator_min(s, 0, p)) / way;
    return 1;
}

int step_vosc(indicator *s, const double *in, double *out)
{
    double fast, slow;

    (void)in;
    if (s->seen + 1 < period(s, 1))
        return 0;
    fast = indicator_sum(s, 0, period(s, 0)) / s->param[0];
    slow = indicator_sum(s, 0, period(s, 1)) / s->param[1];
    out[0] = 100.0 * (fast - slow) / slow;
    return 1;
}
