/* indicator_bar.c -- indicators of bars: range, direction, volume.
 *
 * Series 0 .. are the inputs in the table's order; s->inputs and s->inputs + 1 are derived
 * series that a formula keeps for itself. */
#include "quant/indicator.h"

#include <math.h>

static double at(const indicator *s, uint32_t k, uint32_t ago)
{
    return *series_at(s, k, ago);
}

int step_medprice(indicator *s, const double *in, double *out)
{
    (void)s;
    out[0] = (in[0] + in[1]) * 0.5;
    return 1;
}

int step_typprice(indicator *s, const double *in, double *out)
{
    (void)s;
    out[0] = (in[0] + in[1] + in[2]) / 3.0;
    return 1;
}

int step_wcprice(indicator *s, const double *in, double *out)
{
    (void)s;
    out[0] = (in[0] + in[1] + 2.0 * in[2]) * 0.25;
    return 1;
}

int step_tr(indicator *s, const double *in, double *out)
{
    (void)in;
    out[0] = indicator_true_range(s);
    return 1;
}

int step_atr(indicator *s, const double *in, double *out)
{
    const uint64_t p = period(s, 0);
    const double tr = indicator_true_range(s);

    (void)in;
    if (s->seen < p)
        s->m[0] += tr / s->param[0];
    else
        s->m[0] += (tr - s->m[0]) / s->param[0];
    out[0] = s->m[0];
    return s->seen + 1 >= p;
}

/* ---- volume ---- */

int step_ad(indicator *s, const double *in, double *out)
{
    if (in[0] != in[1])
        s->m[0] += (2.0 * in[2] - in[1] - in[0]) / (in[0] - in[1]) * in[3];
    out[0] = s->m[0];
    return 1;
}

int step_adosc(indicator *s, const double *in, double *out)
{
    double ad;

    (void)step_ad(s, in, &ad);
    s->m[1] = s->seen == 0 ? ad : ema_next(s->m[1], ad, s->param[0]);
    s->m[2] = s->seen == 0 ? ad : ema_next(s->m[2], ad, s->param[1]);
    out[0] = s->m[1] - s->m[2];
    return s->seen + 1 >= period(s, 1);
}

int step_obv(indicator *s, const double *in, double *out)
{
    if (s->seen > 0)
        s->m[0] += in[0] > at(s, 0, 1) ? in[1] : in[0] < at(s, 0, 1) ? -in[1] : 0.0;
    out[0] = s->m[0];
    return 1;
}

int step_nvi(indicator *s, const double *in, double *out)
{
    if (s->seen == 0)
        s->m[0] = 1000.0;
    else if (in[1] < at(s, 1, 1))
        s->m[0] += (in[0] - at(s, 0, 1)) / at(s, 0, 1) * s->m[0];
    out[0] = s->m[0];
    return 1;
}

int step_wad(indicator *s, const double *in, double *out)
{
    double before;

    if (s->seen == 0)
        return 0;
    before = at(s, 2, 1);
    if (in[2] > before)
        s->m[0] += in[2] - fmin(before, in[1]);
    else if (in[2] < before)
        s->m[0] += in[2] - fmax(before, in[0]);
    out[0] = s->m[0];
    return 1;
}

int step_emv(indicator *s, const double *in, double *out)
{
    const double ratio = in[2] / 10000.0 / (in[0] - in[1]);

    out[0] = s->seen == 0
                 ? NAN
                 : (0.5 * (in[0] + in[1]) - 0.5 * (at(s, 0, 1) + at(s, 1, 1))) / ratio;
    return s->seen > 0;
}

int step_mfi(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    double up = 0.0, down = 0.0;

    *series_at(s, s->inputs, 0) = (in[0] + in[1] + in[2]) / 3.0;
    if (s->seen < p)
        return 0;
    for (uint32_t i = p; i-- > 0;) {
        const double now = at(s, s->inputs, i), before = at(s, s->inputs, i + 1);

        up += now > before ? now * at(s, 3, i) : 0.0;
        down += now < before ? now * at(s, 3, i) : 0.0;
    }
    out[0] = up / (up + down) * 100.0;
    return 1;
}

/* Klinger. m: short, long, accumulated range, trend (0 none, 1 up, -1 down). */
int step_kvo(indicator *s, const double *in, double *out)
{
    const double range = in[0] - in[1];
    double now, before, force;

    if (s->seen == 0)
        return 0;
    now = in[0] + in[1] + in[2];
    before = at(s, 0, 1) + at(s, 1, 1) + at(s, 2, 1);
    if ((now > before && s->m[3] != 1.0) || (now < before && s->m[3] != -1.0)) {
        s->m[3] = now > before ? 1.0 : -1.0;
        s->m[2] = at(s, 0, 1) - at(s, 1, 1);
    }
    s->m[2] += range;
    force =
        in[3] * fabs(range / s->m[2] * 2.0 - 1.0) * 100.0 * (s->m[3] < 0.0 ? -1.0 : 1.0);
    s->m[0] = s->seen == 1 ? force : ema_next(s->m[0], force, s->param[0]);
    s->m[1] = s->seen == 1 ? force : ema_next(s->m[1], force, s->param[1]);
    out[0] = s->m[0] - s->m[1];
    return 1;
}

/* ---- direction ---- */

/* m[0], m[1]: smoothed movement up and down, as sums. Returns 1 from bar p - 1 on. */
static int movement(indicator *s)
{
    const uint64_t p = period(s, 0);
    const double keep = s->seen < p ? 1.0 : (s->param[0] - 1.0) / s->param[0];
    double up, down;

    if (s->seen == 0)
        return p == 1;
    up = fmax(0.0, at(s, 0, 0) - at(s, 0, 1));
    down = fmax(0.0, at(s, 1, 1) - at(s, 1, 0));
    if (up > down)
        down = 0.0;
    else if (down > up)
        up = 0.0; /* equal movement counts for both, as in Tulip */
    s->m[0] = s->m[0] * keep + up;
    s->m[1] = s->m[1] * keep + down;
    return s->seen + 1 >= p;
}

int step_dm(indicator *s, const double *in, double *out)
{
    const int valid = movement(s);

    (void)in;
    out[0] = s->m[0];
    out[1] = s->m[1];
    return valid;
}

int step_di(indicator *s, const double *in, double *out)
{
    const double keep = s->seen < period(s, 0) ? 1.0 : (s->param[0] - 1.0) / s->param[0];
    const int valid = movement(s);

    (void)in;
    if (s->seen > 0)
        s->m[2] = s->m[2] * keep + indicator_true_range(s);
    out[0] = 100.0 * s->m[0] / s->m[2];
    out[1] = 100.0 * s->m[1] / s->m[2];
    return valid;
}

int step_dx(indicator *s, const double *in, double *out)
{
    const int valid = movement(s);
    const double sum = s->m[0] + s->m[1];

    (void)in;
    out[0] = sum > 0.0 ? 100.0 * fabs(s->m[0] - s->m[1]) / sum : 0.0;
    return valid;
}

/* m[2]: smoothed dx, as a sum. */
int step_adx(indicator *s, const double *in, double *out)
{
    const uint64_t p = period(s, 0);
    double dx;

    if (!step_dx(s, in, &dx))
        return 0;
    s->m[2] =
        s->m[2] * (s->seen + 2 <= 2 * p ? 1.0 : (s->param[0] - 1.0) / s->param[0]) + dx;
    out[0] = s->m[2] / s->param[0];
    return s->seen + 2 >= 2 * p;
}

int step_adxr(indicator *s, const double *in, double *out)
{
    const uint64_t p = period(s, 0);
    double adx;

    if (!step_adx(s, in, &adx))
        return 0;
    *series_at(s, s->inputs, 0) = adx;
    out[0] = 0.5 * (adx + at(s, s->inputs, (uint32_t)p - 1));
    return s->seen + 3 >= 3 * p;
}

/* ---- range ---- */

/* Bars since the extreme, the newest of equals. */
int step_aroon(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    uint32_t high = 0, low = 0;

    (void)in;
    if (s->seen < p)
        return 0;
    for (uint32_t i = 1; i <= p; i++) {
        high = at(s, 0, i) > at(s, 0, high) ? i : high;
        low = at(s, 1, i) < at(s, 1, low) ? i : low;
    }
    out[0] = 100.0 * (p - low) / s->param[0];
    out[1] = 100.0 * (p - high) / s->param[0];
    return 1;
}

int step_cci(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    double mean, away = 0.0;

    *series_at(s, s->inputs, 0) = (in[0] + in[1] + in[2]) / 3.0;
    if (s->seen + 2 < 2 * (uint64_t)p)
        return 0;
    mean = indicator_sum(s, s->inputs, p) / s->param[0];
    for (uint32_t i = 0; i < p; i++)
        away += fabs(at(s, s->inputs, i) - mean);
    out[0] = (at(s, s->inputs, 0) - mean) / (0.015 * away / s->param[0]);
    return 1;
}

int step_cvi(indicator *s, const double *in, double *out)
{
    const uint32_t p = (uint32_t)period(s, 0);
    const double range = in[0] - in[1];

    s->m[0] = s->seen == 0 ? range : ema_next(s->m[0], range, s->param[0]);
    *series_at(s, s->inputs, 0) = s->m[0];
    if (s->seen + 1 < 2 * (uint64_t)p)
        return 0;
    out[0] = 100.0 * (s->m[0] - at(s, s->inputs, p)) / at(s, s->inputs, p);
    return 1;
}

/* Dorsey's mass index: the sum of ema9 / ema9(ema9) of the range. */
int step_mass(indicator *s, const double *in, double *out)
{
    const double range = in[0] - in[1];

    s->m[0] = s->seen == 0 ? range : ema_next(s->m[0], range, 9.0);
    if (s->seen >= 8)
        s->m[1] = s->seen == 8 ? s->m[0] : ema_next(s->m[1], s->m[0], 9.0);
    *series_at(s, s->inputs, 0) = s->m[0] / s->m[1];
    if (s->seen < 15 + period(s, 0))
        return 0;
    out[0] = indicator_sum(s, s->inputs, period(s, 0));
    return 1;
}

int step_qstick(indicator *s, const double *in, double *out)
{
    (void)in;
    if (s->seen + 1 < period(s, 0))
        return 0;
    out[0] = (indicator_sum(s, 1, period(s, 0)) - indicator_sum(s, 0, period(s, 0))) /
             s->param[0];
    return 1;
}

int step_willr(indicator *s, const double *in, double *out)
{
    double max, min;

    if (s->seen + 1 < period(s, 0))
        return 0;
    max = indicator_max(s, 0, period(s, 0));
    min = indicator_min(s, 1, period(s, 0));
    out[0] = max > min ? -100.0 * (max - in[2]) / (max - min) : 0.0;
    return 1;
}

int step_stoch(indicator *s, const double *in, double *out)
{
    const uint64_t k = period(s, 0), slow = period(s, 1), d = period(s, 2);
    double max, min;

    if (s->seen + 1 < k)
        return 0;
    max = indicator_max(s, 0, k);
    min = indicator_min(s, 1, k);
    *series_at(s, s->inputs, 0) = max > min ? 100.0 * (in[2] - min) / (max - min) : 0.0;
    if (s->seen + 2 < k + slow)
        return 0;
    out[0] = indicator_sum(s, s->inputs, slow) / s->param[1];
    *series_at(s, s->inputs + 1, 0) = out[0];
    if (s->seen + 3 < k + slow + d)
        return 0;
    out[1] = indicator_sum(s, s->inputs + 1, d) / s->param[2];
    return 1;
}

/* Buying pressure and true range are the derived series. */
int step_ultosc(indicator *s, const double *in, double *out)
{
    double low, high, ratio[3];

    if (s->seen == 0)
        return 0;
    low = fmin(in[1], at(s, 2, 1));
    high = fmax(in[0], at(s, 2, 1));
    *series_at(s, s->inputs, 0) = in[2] - low;
    *series_at(s, s->inputs + 1, 0) = high - low;
    if (s->seen < period(s, 2))
        return 0;
    for (int i = 0; i < 3; i++)
        ratio[i] = indicator_sum(s, s->inputs, period(s, i)) /
                   indicator_sum(s, s->inputs + 1, period(s, i));
    out[0] = 100.0 / 7.0 * (4.0 * ratio[0] + 2.0 * ratio[1] + ratio[2]);
    return 1;
}

/* Wilder's parabolic stop. m: stop, extreme, acceleration, 1 when long. */
int step_psar(indicator *s, const double *in, double *out)
{
    const double step = s->param[0], limit = s->param[1];
    const double high = in[0], low = in[1];
    double *sar = &s->m[0], *extreme = &s->m[1], *speed = &s->m[2], *is_long = &s->m[3];

    if (s->seen == 0)
        return 0;
    if (s->seen == 1) {
        *is_long = at(s, 0, 1) + at(s, 1, 1) <= high + low;
        *sar = *is_long != 0.0 ? at(s, 1, 1) : at(s, 0, 1);
        *extreme = *is_long != 0.0 ? at(s, 0, 1) : at(s, 1, 1);
        *speed = step;
    }
    *sar += (*extreme - *sar) * *speed;
    /* The stop stays outside of the last two bars. */
    for (uint32_t ago = 1; ago <= 2 && ago <= s->seen; ago++)
        *sar = *is_long != 0.0 ? fmin(*sar, at(s, 1, ago)) : fmax(*sar, at(s, 0, ago));
    if (*is_long != 0.0 ? high > *extreme : low < *extreme) {
        *speed = fmin(limit, *speed + step);
        *extreme = *is_long != 0.0 ? high : low;
    }
    if (*is_long != 0.0 ? low < *sar : high > *sar) {
        *speed = step;
        *sar = *extreme;
        *is_long = 1.0 - *is_long;
        *extreme = *is_long != 0.0 ? high : low;
    }
    out[0] = *sar;
    return 1;
}
