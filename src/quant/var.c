/* var.c -- value at risk and expected shortfall of series and in closed form.
 * See tribus/quant_risk.h. */
#include "tribus/quant_risk.h"

#include "quant/distribution.h"

#include <float.h>
#include <math.h>

static double confidence_or_default(double confidence)
{
    return confidence == 0.0 ? 0.95 : confidence;
}

static int confidence_is_bad(double confidence)
{
    return !(confidence > 0.0 && confidence < 1.0);
}

/* ceil(n q) with q = 1 - confidence, not fooled by the rounding of 1 - 0.95. */
static uint32_t tail_count(uint32_t n, double confidence)
{
    const double at = n * (1.0 - confidence);
    const double k = ceil(at - 8.0 * DBL_EPSILON * n);

    return k < 1.0 ? 1u : (uint32_t)k;
}

static double tail_mean(const double *sorted, uint32_t n, const tribus_quant_var_cfg *cfg,
                        double quantile)
{
    const uint32_t k = tail_count(n, cfg->confidence);
    double sum = 0.0, weight;
    uint32_t i = 0;

    switch (cfg->es_rule) {
    case TRIBUS_QUANT_ES_BELOW:
        while (i < n && (i == 0 || sorted[i] <= quantile))
            sum += sorted[i++];
        return sum / i;
    case TRIBUS_QUANT_ES_EXACT:
        for (; i + 1 < k; i++)
            sum += sorted[i];
        weight = n * (1.0 - cfg->confidence);
        return (sum + (weight - (k - 1.0)) * sorted[k - 1]) / weight;
    case TRIBUS_QUANT_ES_COUNT:
        break;
    }
    for (; i < k; i++)
        sum += sorted[i];
    return sum / k;
}

tribus_status tribus_quant_var_historical(const tribus_quant_var_cfg *cfg, double *pnl,
                                          uint32_t n, tribus_quant_risk *out)
{
    tribus_quant_var_cfg c;
    tribus_quant_moments m;
    tribus_status st;
    double quantile;

    if (cfg == NULL || pnl == NULL || out == NULL || n == 0)
        return TRIBUS_BAD_ARG;
    c = *cfg;
    c.confidence = confidence_or_default(c.confidence);
    if (c.rule == 0)
        c.rule = TRIBUS_QUANT_TYPE1;
    if (confidence_is_bad(c.confidence) || c.rule > TRIBUS_QUANT_TYPE9 ||
        c.es_rule > TRIBUS_QUANT_ES_EXACT)
        return TRIBUS_BAD_ARG;
    st = tribus_quant_moments_of(pnl, n, &m);
    if (st != TRIBUS_OK)
        return st;
    tribus_quant_sort(pnl, n);
    if (c.rule == TRIBUS_QUANT_TYPE1)
        quantile = pnl[tail_count(n, c.confidence) - 1];
    else
        quantile = tribus_quant_quantile_sorted(pnl, n, 1.0 - c.confidence, c.rule);
    out->var = -quantile;
    out->es = -tail_mean(pnl, n, &c, quantile);
    out->mean = m.mean;
    out->sd = m.sd_population;
    return TRIBUS_OK;
}

/* Hoare's selection: afterwards x[0 .. k) <= x[k - 1] <= the rest. */
static void select_smallest(float *x, uint32_t n, uint32_t k)
{
    uint32_t low = 0, high = n - 1;

    while (low < high) {
        const float a = x[low], b = x[low + (high - low) / 2], c = x[high];
        const float pivot = fmaxf(fminf(a, b), fminf(fmaxf(a, b), c));
        uint32_t i = low, j = high;

        while (i <= j) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i > j)
                break;
            const float t = x[i];
            x[i++] = x[j];
            x[j] = t;
            if (j == 0)
                break;
            j--;
        }
        if (k - 1 <= j)
            high = j;
        else if (k - 1 >= i)
            low = i;
        else
            break;
    }
}

tribus_status tribus_quant_var_simulated(double confidence, float *pnl, uint32_t n,
                                         tribus_quant_risk *out)
{
    const double level = confidence_or_default(confidence);
    double sum = 0.0, squares = 0.0, tail = 0.0;
    float largest;
    uint32_t k;

    if (pnl == NULL || out == NULL || n == 0 || confidence_is_bad(level))
        return TRIBUS_BAD_ARG;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)pnl[i];
    if (!isfinite(sum))
        return TRIBUS_BAD_DATA;
    for (uint32_t i = 0; i < n; i++) {
        const double d = (double)pnl[i] - sum / n;

        squares += d * d;
    }
    k = tail_count(n, level);
    select_smallest(pnl, n, k);
    largest = pnl[0];
    for (uint32_t i = 0; i < k; i++) {
        tail += (double)pnl[i];
        largest = fmaxf(largest, pnl[i]);
    }
    out->var = -(double)largest;
    out->es = -tail / k;
    out->mean = sum / n;
    out->sd = sqrt(squares / n);
    return TRIBUS_OK;
}

tribus_status tribus_quant_var_gaussian(double mean, double sd, double confidence,
                                        tribus_quant_risk *out)
{
    const double level = confidence_or_default(confidence);
    double z;

    if (out == NULL || !isfinite(mean) || !(sd >= 0.0) || isinf(sd) ||
        confidence_is_bad(level))
        return TRIBUS_BAD_ARG;
    z = tribus_quant_normal_quantile(1.0 - level);
    out->var = -(mean + z * sd);
    out->es = -mean + sd * tribus_quant_normal_density(z) / (1.0 - level);
    out->mean = mean;
    out->sd = sd;
    return TRIBUS_OK;
}

tribus_status tribus_quant_var_student(double mean, double sd, double nu, double confidence,
                                       tribus_quant_risk *out)
{
    const double level = confidence_or_default(confidence);
    double t, scale;

    if (out == NULL || !isfinite(mean) || !(sd >= 0.0) || isinf(sd) || !(nu > 2.0) ||
        isinf(nu) || confidence_is_bad(level))
        return TRIBUS_BAD_ARG;
    scale = sd * sqrt((nu - 2.0) / nu);
    t = tribus_quant_student_quantile(1.0 - level, nu);
    out->var = -(mean + t * scale);
    /* McNeil, Frey, Embrechts (2005), example 2.19. */
    out->es = -mean + scale * tribus_quant_student_density(t, nu) / (1.0 - level) *
                          (nu + t * t) / (nu - 1.0);
    out->mean = mean;
    out->sd = sd;
    return TRIBUS_OK;
}

/* I_q of Boudt, Peterson, Croux (2008), appendix B: the incomplete moments
 * integral of x^q phi(x) from -inf to h, up to sign, by their closed sums. */
static double incomplete_moment(int q, double h)
{
    const int pairs = q / 2, odd = q % 2;
    double full = 1.0, product = 1.0, sum = 0.0;

    for (int j = 1; j <= pairs; j++)
        full *= odd ? 2 * j + 1 : 2 * j;
    if (odd) {
        for (int i = 0; i <= pairs; i++) {
            product *= 2 * i + 1;
            sum += full / product * pow(h, 2 * i + 1) * tribus_quant_normal_density(h);
        }
        return sum - full * tribus_quant_normal_cdf(h);
    }
    sum = full * tribus_quant_normal_density(h);
    for (int i = 1; i <= pairs; i++) {
        product *= 2 * i;
        sum += full / product * pow(h, 2 * i) * tribus_quant_normal_density(h);
    }
    return sum;
}

tribus_status tribus_quant_var_modified(const tribus_quant_moments *m, double confidence,
                                        tribus_quant_risk *out)
{
    const double level = confidence_or_default(confidence);
    double z, h, s, k, density, tail;

    if (m == NULL || out == NULL || confidence_is_bad(level))
        return TRIBUS_BAD_ARG;
    if (!isfinite(m->skewness) || !isfinite(m->kurtosis) || !(m->sd_population > 0.0))
        return TRIBUS_BAD_DATA;
    s = m->skewness;
    k = m->kurtosis;
    z = tribus_quant_normal_quantile(1.0 - level);
    h = z + (z * z - 1.0) * s / 6.0 + (z * z * z - 3.0 * z) * k / 24.0 -
        (2.0 * z * z * z - 5.0 * z) * s * s / 36.0;
    density = tribus_quant_normal_density(h);
    tail = density +
           (incomplete_moment(4, h) - 6.0 * incomplete_moment(2, h) + 3.0 * density) * k /
               24.0 +
           (incomplete_moment(3, h) - 3.0 * incomplete_moment(1, h)) * s / 6.0 +
           (incomplete_moment(6, h) - 15.0 * incomplete_moment(4, h) +
            45.0 * incomplete_moment(2, h) - 15.0 * density) *
               s * s / 72.0;
    tail /= 1.0 - level;
    out->var = -(m->mean + h * m->sd_population);
    out->es = -m->mean + m->sd_population * fmax(tail, -h);
    out->mean = m->mean;
    out->sd = m->sd_population;
    return TRIBUS_OK;
}
