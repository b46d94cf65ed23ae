/* indicator.c -- the table of indicators, their history, streaming and batch. The formulas
 * are in indicator_average.c (of one series) and indicator_bar.c (of bars). */
#include "quant/indicator.h"

#include <math.h>
#include <string.h>

typedef struct entry {
    tribus_quant_indicator_info info;
    indicator_step step;
    indicator_rule rule;
} entry;

#define ROW(name, in, par, out, ni, np, no, rule)                                          \
    {                                                                                      \
        {#name, in, par, out, ni, np, no}, step_##name, rule                               \
    }

static const entry table[] = {
    ROW(ad, "hlcv", "", "ad", 4, 0, 1, RULE_NONE),
    ROW(adosc, "hlcv", "short long", "adosc", 4, 2, 1, RULE_ORDER),
    ROW(adx, "hl", "period", "adx", 2, 1, 1, RULE_PERIOD),
    ROW(adxr, "hl", "period", "adxr", 2, 1, 1, RULE_PERIOD),
    ROW(aroon, "hl", "period", "down up", 2, 1, 2, RULE_PERIOD),
    ROW(atr, "hlc", "period", "atr", 3, 1, 1, RULE_PERIOD),
    ROW(bbands, "x", "period deviations", "lower middle upper", 1, 2, 3, RULE_FREE),
    ROW(cci, "hlc", "period", "cci", 3, 1, 1, RULE_PERIOD),
    ROW(cmo, "x", "period", "cmo", 1, 1, 1, RULE_PERIOD),
    ROW(cvi, "hl", "period", "cvi", 2, 1, 1, RULE_PERIOD),
    ROW(dema, "x", "period", "dema", 1, 1, 1, RULE_PERIOD),
    ROW(di, "hlc", "period", "plus minus", 3, 1, 2, RULE_PERIOD),
    ROW(dm, "hl", "period", "plus minus", 2, 1, 2, RULE_PERIOD),
    ROW(dpo, "x", "period", "dpo", 1, 1, 1, RULE_PERIOD),
    ROW(dx, "hl", "period", "dx", 2, 1, 1, RULE_PERIOD),
    ROW(ema, "x", "period", "ema", 1, 1, 1, RULE_PERIOD),
    ROW(emv, "hlv", "", "emv", 3, 0, 1, RULE_NONE),
    ROW(fosc, "x", "period", "fosc", 1, 1, 1, RULE_PERIOD),
    ROW(kvo, "hlcv", "short long", "kvo", 4, 2, 1, RULE_ORDER),
    ROW(macd, "x", "short long signal", "macd signal histogram", 1, 3, 3, RULE_ORDER),
    ROW(mass, "hl", "period", "mass", 2, 1, 1, RULE_PERIOD),
    ROW(medprice, "hl", "", "medprice", 2, 0, 1, RULE_NONE),
    ROW(mfi, "hlcv", "period", "mfi", 4, 1, 1, RULE_PERIOD),
    ROW(nvi, "cv", "", "nvi", 2, 0, 1, RULE_NONE),
    ROW(obv, "cv", "", "obv", 2, 0, 1, RULE_NONE),
    ROW(psar, "hl", "step max", "psar", 2, 2, 1, RULE_FREE),
    ROW(qstick, "oc", "period", "qstick", 2, 1, 1, RULE_PERIOD),
    ROW(rocr, "x", "period", "rocr", 1, 1, 1, RULE_PERIOD),
    ROW(rsi, "x", "period", "rsi", 1, 1, 1, RULE_PERIOD),
    ROW(sma, "x", "period", "sma", 1, 1, 1, RULE_PERIOD),
    ROW(stddev, "x", "period", "stddev", 1, 1, 1, RULE_PERIOD),
    ROW(stoch, "hlc", "k slowing d", "k d", 3, 3, 2, RULE_PERIOD),
    ROW(tema, "x", "period", "tema", 1, 1, 1, RULE_PERIOD),
    ROW(tr, "hlc", "", "tr", 3, 0, 1, RULE_NONE),
    ROW(trima, "x", "period", "trima", 1, 1, 1, RULE_PERIOD),
    ROW(trix, "x", "period", "trix", 1, 1, 1, RULE_PERIOD),
    ROW(typprice, "hlc", "", "typprice", 3, 0, 1, RULE_NONE),
    ROW(ultosc, "hlc", "short medium long", "ultosc", 3, 3, 1, RULE_ORDER),
    ROW(vhf, "x", "period", "vhf", 1, 1, 1, RULE_PERIOD),
    ROW(vosc, "v", "short long", "vosc", 1, 2, 1, RULE_ORDER),
    ROW(wad, "hlc", "", "wad", 3, 0, 1, RULE_NONE),
    ROW(wcprice, "hlc", "", "wcprice", 3, 0, 1, RULE_NONE),
    ROW(wilders, "x", "period", "wilders", 1, 1, 1, RULE_PERIOD),
    ROW(willr, "hlc", "period", "willr", 3, 1, 1, RULE_PERIOD),
    ROW(wma, "x", "period", "wma", 1, 1, 1, RULE_PERIOD),
};

const tribus_quant_indicator_info *tribus_quant_indicator_at(uint32_t index)
{
    return index < sizeof(table) / sizeof(table[0]) ? &table[index].info : NULL;
}

/* Rows of history that any formula looks back on: its longest period and a little. */
static uint32_t history_of(const entry *e, const double *params)
{
    double longest = 2.0;

    for (int i = 0; i < e->info.param_count; i++) {
        const int is_period = e->rule != RULE_FREE || (i == 0 && e->step == step_bbands);

        if (!(params[i] > 0.0) || isinf(params[i]))
            return 0;
        if (!is_period)
            continue;
        if (params[i] != floor(params[i]) || params[i] > 100000.0)
            return 0;
        if (e->rule == RULE_ORDER && i > 0 && params[i] < params[i - 1] &&
            !(i == 2 && e->step == step_macd))
            return 0;
        longest = fmax(longest, params[i]);
    }
    return (uint32_t)longest + 2;
}

size_t tribus_quant_indicator_bytes(uint32_t index, const double *params)
{
    const tribus_quant_indicator_info *info = tribus_quant_indicator_at(index);

    if (info == NULL || (info->param_count > 0 && params == NULL))
        return 0;
    return (size_t)(info->input_count + 2) * 2 * history_of(&table[index], params) *
           sizeof(double);
}

tribus_status tribus_quant_indicator_init(tribus_quant_indicator *s, uint32_t index,
                                          const double *params, void *memory)
{
    const tribus_quant_indicator_info *info = tribus_quant_indicator_at(index);

    if (info == NULL)
        return TRIBUS_NOT_FOUND;
    if (s == NULL || memory == NULL || tribus_quant_indicator_bytes(index, params) == 0)
        return TRIBUS_BAD_ARG;
    memset(s, 0, sizeof(*s));
    s->index = index;
    s->inputs = info->input_count;
    s->history = history_of(&table[index], params);
    s->series = memory;
    for (int i = 0; i < info->param_count; i++)
        s->param[i] = params[i];
    memset(memory, 0, tribus_quant_indicator_bytes(index, params));
    return TRIBUS_OK;
}

/* A series is twice its history long; when it is full the newest half moves to the front. */
int tribus_quant_indicator_push(tribus_quant_indicator *s, const double *in, double *out)
{
    const size_t rows = 2 * (size_t)s->history;
    int valid;

    if (s->seen > 0 && ++s->at == rows) {
        for (size_t k = 0; k < s->inputs + 2; k++)
            memcpy(&s->series[k * rows], &s->series[k * rows + s->history],
                   s->history * sizeof(double));
        s->at = s->history;
    }
    for (uint32_t k = 0; k < s->inputs; k++)
        *series_at(s, k, 0) = in[k];
    valid = table[s->index].step(s, in, out);
    s->seen++;
    return valid;
}

tribus_status tribus_quant_indicator_batch(tribus_quant_indicator *s,
                                           const double *const *in, uint32_t rows,
                                           double *const *out, uint32_t *first)
{
    const tribus_quant_indicator_info *info =
        s == NULL ? NULL : tribus_quant_indicator_at(s->index);
    uint32_t start = rows;

    if (info == NULL || in == NULL || out == NULL || first == NULL || s->seen != 0)
        return TRIBUS_BAD_ARG;
    for (uint32_t t = 0; t < rows; t++) {
        double bar[TRIBUS_QUANT_INDICATOR_INPUTS], value[TRIBUS_QUANT_INDICATOR_OUTPUTS];
        int valid;

        for (int k = 0; k < info->input_count; k++)
            bar[k] = in[k][t];
        valid = tribus_quant_indicator_push(s, bar, value);
        if (valid && start == rows)
            start = t;
        for (int k = 0; k < info->output_count; k++)
            out[k][t] = valid ? value[k] : NAN;
    }
    *first = start;
    return TRIBUS_OK;
}

double indicator_sum(const indicator *s, uint32_t k, uint64_t count)
{
    double sum = 0.0;

    for (uint32_t i = (uint32_t)count; i-- > 0;)
        sum += *series_at(s, k, i);
    return sum;
}

double indicator_max(const indicator *s, uint32_t k, uint64_t count)
{
    double best = *series_at(s, k, 0);

    for (uint32_t i = 1; i < count; i++)
        best = *series_at(s, k, i) > best ? *series_at(s, k, i) : best;
    return best;
}

double indicator_min(const indicator *s, uint32_t k, uint64_t count)
{
    double best = *series_at(s, k, 0);

    for (uint32_t i = 1; i < count; i++)
        best = *series_at(s, k, i) < best ? *series_at(s, k, i) : best;
    return best;
}

/* Inputs h l c; the first bar has no close before it. */
double indicator_true_range(const indicator *s)
{
    const double h = *series_at(s, 0, 0), l = *series_at(s, 1, 0);
    double before;

    if (s->seen == 0)
        return h - l;
    before = *series_at(s, 2, 1);
    return fmax(h - l, fmax(fabs(h - before), fabs(l - before)));
}
