/* indicator.h -- what the indicator files share: series, windows and the table's entries. */
#ifndef TRIBUS_QUANT_INDICATOR_STEPS_H
#define TRIBUS_QUANT_INDICATOR_STEPS_H

#include "tribus/quant_indicator.h"

typedef tribus_quant_indicator indicator;
typedef int (*indicator_step)(indicator *s, const double *in, double *out);

typedef enum indicator_rule {
    RULE_NONE,   /* no parameter */
    RULE_PERIOD, /* all are periods */
    RULE_ORDER, /* all are periods, each at least the one before; the last of macd may not be */
    RULE_FREE /* positive numbers */
} indicator_rule;

/* Value of input or derived series k, `ago` bars back. Derived ones are s->inputs + 0, 1. */
static inline double *series_at(const indicator *s, uint32_t k, uint32_t ago)
{
    return &s->series[(size_t)k * 2 * s->history + s->at - ago];
}

static inline uint64_t period(const indicator *s, int which)
{
    return (uint64_t)s->param[which];
}

double indicator_sum(const indicator *s, uint32_t k, uint64_t count);
double indicator_max(const indicator *s, uint32_t k, uint64_t count);
double indicator_min(const indicator *s, uint32_t k, uint64_t count);
double indicator_true_range(const indicator *s);

/* v moved towards x by the weight of an exponential average of n. */
static inline double ema_next(double v, double x, double n)
{
    return v + (x - v) * (2.0 / (n + 1.0));
}

int step_ad(indicator *s, const double *in, double *out);
int step_adosc(indicator *s, const double *in, double *out);
int step_adx(indicator *s, const double *in, double *out);
int step_adxr(indicator *s, const double *in, double *out);
int step_aroon(indicator *s, const double *in, double *out);
int step_atr(indicator *s, const double *in, double *out);
int step_bbands(indicator *s, const double *in, double *out);
int step_cci(indicator *s, const double *in, double *out);
int step_cmo(indicator *s, const double *in, double *out);
int step_cvi(indicator *s, const double *in, double *out);
int step_dema(indicator *s, const double *in, double *out);
int step_di(indicator *s, const double *in, double *out);
int step_dm(indicator *s, const double *in, double *out);
int step_dpo(indicator *s, const double *in, double *out);
int step_dx(indicator *s, const double *in, double *out);
int step_ema(indicator *s, const double *in, double *out);
int step_emv(indicator *s, const double *in, double *out);
int step_fosc(indicator *s, const double *in, double *out);
int step_kvo(indicator *s, const double *in, double *out);
int step_macd(indicator *s, const double *in, double *out);
int step_mass(indicator *s, const double *in, double *out);
int step_medprice(indicator *s, const double *in, double *out);
int step_mfi(indicator *s, const double *in, double *out);
int step_nvi(indicator *s, const double *in, double *out);
int step_obv(indicator *s, const double *in, double *out);
int step_psar(indicator *s, const double *in, double *out);
int step_qstick(indicator *s, const double *in, double *out);
int step_rocr(indicator *s, const double *in, double *out);
int step_rsi(indicator *s, const double *in, double *out);
int step_sma(indicator *s, const double *in, double *out);
int step_stddev(indicator *s, const double *in, double *out);
int step_stoch(indicator *s, const double *in, double *out);
int step_tema(indicator *s, const double *in, double *out);
int step_tr(indicator *s, const double *in, double *out);
int step_trima(indicator *s, const double *in, double *out);
int step_trix(indicator *s, const double *in, double *out);
int step_typprice(indicator *s, const double *in, double *out);
int step_ultosc(indicator *s, const double *in, double *out);
int step_vhf(indicator *s, const double *in, double *out);
int step_vosc(indicator *s, const double *in, double *out);
int step_wad(indicator *s, const double *in, double *out);
int step_wcprice(indicator *s, const double *in, double *out);
int step_wilders(indicator *s, const double *in, double *out);
int step_willr(indicator *s, const double *in, double *out);
int step_wma(indicator *s, const double *in, double *out);

#endif
