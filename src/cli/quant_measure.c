/* quant_measure.c -- `tribus quant indicators` and `performance`. */
#include "cli/commands.h"
#include "cli/quant_table.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_number(const char *before, double x, bool json)
{
    if (isfinite(x))
        printf("%s%.12g", before, x);
    else
        printf("%s%s", before, json ? "null" : "");
}

/* ---- indicators ---- */

typedef struct indicator_options {
    const char *file, *name, *params;
    bool list, json;
} indicator_options;

static int list_indicators(void)
{
    printf("name,inputs,parameters,outputs\n");
    for (uint32_t i = 0; tribus_quant_indicator_at(i) != NULL; i++) {
        const tribus_quant_indicator_info *info = tribus_quant_indicator_at(i);

        printf("%s,%s,%s,%s\n", info->name, info->inputs, info->params, info->outputs);
    }
    return TRIBUS_EXIT_DONE;
}

/* The columns that an indicator reads; x is the close. */
static bool input_columns(const tribus_quant_indicator_info *info, const quant_table *t,
                          int *column)
{
    for (uint32_t k = 0; k < info->input_count; k++) {
        const char c = info->inputs[k];

        column[k] = quant_table_column("quant indicators", t,
                                       c == 'o'   ? "open"
                                       : c == 'h' ? "high"
                                       : c == 'l' ? "low"
                                       : c == 'v' ? "volume"
                                                  : "close");
        if (column[k] < 0)
            return false;
    }
    return true;
}

static void put_row(const indicator_options *o, const quant_table *t,
                    const tribus_quant_indicator_info *info, uint32_t row,
                    const double *out)
{
    const tribus_quant_text *label = &t->label[(size_t)row * t->label_cols];
    const char *name = info->outputs;

    printf("%s", o->json ? "{" : "");
    for (uint32_t l = 0; l < t->label_cols; l++)
        if (o->json)
            printf("\"%.*s\":\"%.*s\",", (int)t->label_names[l].bytes, t->label_names[l].at,
                   (int)label[l].bytes, label[l].at);
        else
            printf("%.*s,", (int)label[l].bytes, label[l].at);
    for (uint32_t k = 0; k < info->output_count; k++) {
        const int bytes = (int)strcspn(name, " ");

        if (o->json)
            printf("%s\"%.*s\":", k == 0 ? "" : ",", bytes, name);
        put_number(o->json || k == 0 ? "" : ",", out[k], o->json);
        name += bytes + (name[bytes] == ' ');
    }
    printf("%s\n", o->json ? "}" : "");
}

static void put_header(const quant_table *t, const tribus_quant_indicator_info *info)
{
    for (uint32_t l = 0; l < t->label_cols; l++)
        printf("%.*s,", (int)t->label_names[l].bytes, t->label_names[l].at);
    for (const char *c = info->outputs; *c != '\0'; c++)
        (void)putchar(*c == ' ' ? ',' : *c);
    printf("\n");
}

static int run_indicator(const indicator_options *o, const quant_table *t, uint32_t index,
                         const double *params)
{
    const tribus_quant_indicator_info *info = tribus_quant_indicator_at(index);
    const size_t bytes = tribus_quant_indicator_bytes(index, params);
    int column[TRIBUS_QUANT_INDICATOR_INPUTS];
    void *memory = malloc(bytes + 1);
    tribus_quant_indicator state;

    if (bytes == 0 || memory == NULL ||
        tribus_quant_indicator_init(&state, index, params, memory) != TRIBUS_OK) {
        (void)tribus_cli_complain("quant indicators",
                                  "--params: %s takes %u: %s; periods from 1 to 100000",
                                  info->name, info->param_count, info->params);
        free(memory);
        return TRIBUS_EXIT_USAGE;
    }
    if (!input_columns(info, t, column)) {
        free(memory);
        return TRIBUS_EXIT_FAILED;
    }
    if (!o->json)
        put_header(t, info);
    for (uint32_t i = 0; i < t->rows; i++) {
        double in[TRIBUS_QUANT_INDICATOR_INPUTS], out[TRIBUS_QUANT_INDICATOR_OUTPUTS];

        for (uint32_t k = 0; k < info->input_count; k++)
            in[k] = t->value[(size_t)i * t->cols + (size_t)column[k]];
        if (!tribus_quant_indicator_push(&state, in, out))
            for (uint32_t k = 0; k < info->output_count; k++)
                out[k] = NAN;
        put_row(o, t, info, i, out);
    }
    free(memory);
    return TRIBUS_EXIT_DONE;
}

int tribus_cli_quant_indicators(int argc, char **argv)
{
    indicator_options o = {.params = ""};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "bars of one instrument, oldest first; .gz too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--name", "NAME", "of the indicator; see --list", TRIBUS_CLI_TEXT, &o.name},
        {"--params", "N,N,...", "its parameters, in the order of --list", TRIBUS_CLI_TEXT,
         &o.params},
        {"--list", NULL, "print every indicator", TRIBUS_CLI_FLAG, &o.list},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant indicators",
        .synopsis = "--file CSV --name NAME [--params N,N,...]",
        .text = "An indicator of technical analysis, a row for each bar. Columns are open, "
                "high,\nlow, close and volume, as far as it needs them.",
        .examples = "  tribus quant indicators --file bars.csv --name rsi --params 14\n"
                    "  tribus quant indicators --list"};
    double params[TRIBUS_QUANT_INDICATOR_PARAMS] = {0};
    const tribus_quant_indicator_info *info = NULL;
    uint32_t index = 0, given = 0;
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.list)
        return list_indicators();
    while (o.name != NULL && (info = tribus_quant_indicator_at(index)) != NULL &&
           strcmp(info->name, o.name) != 0)
        index++;
    for (const char *at = o.params; *at != '\0' && given < TRIBUS_QUANT_INDICATOR_PARAMS;) {
        char *stop;

        params[given++] = strtod(at, &stop);
        at = *stop == ',' && stop > at ? stop + 1 : stop;
        if (*stop != ',' && *stop != '\0')
            break;
    }
    if (o.file == NULL || info == NULL || given != info->param_count) {
        if (o.file == NULL)
            (void)tribus_cli_complain("quant indicators",
                                      "--file CSV is missing; see --help");
        else if (info == NULL)
            (void)tribus_cli_complain("quant indicators", "no such --name; see --list");
        else
            (void)tribus_cli_complain("quant indicators", "--params: %s takes %u: %s",
                                      info->name, info->param_count, info->params);
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant indicators", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_indicator(&o, &t, index, params);
    quant_table_free(&t);
    return code;
}

/* ---- performance ---- */

typedef struct performance_options {
    const char *file, *column, *benchmark;
    double per_year, rate, mar;
    int64_t rolling, falls;
    bool prices, json;
} performance_options;

#define MEASURE(name)                                                                      \
    {                                                                                      \
#name, offsetof(tribus_quant_performance, name)                                    \
    }

static const struct {
    const char *name;
    size_t offset;
} measures[] = {
    MEASURE(total),
    MEASURE(annual),
    MEASURE(volatility),
    MEASURE(sharpe),
    MEASURE(downside_deviation),
    MEASURE(sortino),
    MEASURE(upside_potential),
    MEASURE(omega),
    MEASURE(bernardo_ledoit),
    MEASURE(max_drawdown),
    MEASURE(average_drawdown),
    MEASURE(pain_index),
    MEASURE(ulcer_index),
    MEASURE(calmar),
    MEASURE(burke),
    MEASURE(pain_ratio),
    MEASURE(martin_ratio),
    MEASURE(skewness),
    MEASURE(kurtosis),
    MEASURE(hit_rate),
    MEASURE(beta),
    MEASURE(alpha),
    MEASURE(jensen_alpha),
    MEASURE(specific_risk),
    MEASURE(systematic_risk),
    MEASURE(m_squared),
    MEASURE(treynor),
    MEASURE(tracking_error),
    MEASURE(information),
    MEASURE(correlation),
};

enum { MEASURES = sizeof(measures) / sizeof(measures[0]) };

static double measure_of(const tribus_quant_performance *p, int k)
{
    double x;

    memcpy(&x, (const char *)p + measures[k].offset, sizeof(x));
    return x;
}

static void put_whole(const performance_options *o, const tribus_quant_performance *p)
{
    if (!o->json)
        printf("measure,value\n");
    for (int k = 0; k < MEASURES; k++) {
        printf(o->json ? "%s\"%s\":" : "%s%s", o->json ? (k == 0 ? "{" : ",") : "",
               measures[k].name);
        put_number(o->json ? "" : ",", measure_of(p, k), o->json);
        printf("%s", o->json ? "" : "\n");
    }
    printf("%s", o->json ? "}\n" : "");
}

/* Rolling: a row for each window, of the measures that need no benchmark. */
static bool put_rolling(const performance_options *o,
                        const tribus_quant_performance_cfg *cfg, const double *r,
                        uint32_t n)
{
    enum { ALONE = 20 };
    const uint32_t window = (uint32_t)o->rolling, count = n - window + 1;
    tribus_quant_performance *p = malloc(count * sizeof(*p));
    const bool good =
        p != NULL && tribus_quant_performance_rolling(cfg, r, n, window, p) == TRIBUS_OK;

    if (good && !o->json) {
        printf("row");
        for (int k = 0; k < ALONE; k++)
            printf(",%s", measures[k].name);
        printf("\n");
    }
    for (uint32_t i = 0; good && i < count; i++) {
        printf(o->json ? "{\"row\":%u" : "%u", i + window);
        for (int k = 0; k < ALONE; k++) {
            if (o->json)
                printf(",\"%s\":", measures[k].name);
            put_number(o->json ? "" : ",", measure_of(&p[i], k), o->json);
        }
        printf("%s\n", o->json ? "}" : "");
    }
    free(p);
    return good;
}

static void put_falls(const performance_options *o, const double *r, uint32_t n)
{
    tribus_quant_fall fall[64];
    const uint32_t count = tribus_quant_falls(r, n, fall, (uint32_t)o->falls);

    if (!o->json)
        printf("from,trough,to,depth\n");
    for (uint32_t i = 0; i < count; i++)
        printf(o->json ? "{\"from\":%u,\"trough\":%u,\"to\":%u,\"depth\":%.12g}\n"
                       : "%u,%u,%u,%.12g\n",
               fall[i].from + 1, fall[i].trough + 1, fall[i].to + 1, fall[i].depth);
}

static int run_performance(const performance_options *o, quant_table *t)
{
    const tribus_quant_performance_cfg cfg = {
        .per_year = o->per_year, .rate = o->rate, .mar = o->mar};
    const int at =
        o->column == NULL ? 0 : quant_table_column("quant performance", t, o->column);
    const int against =
        o->benchmark == NULL ? 0 : quant_table_column("quant performance", t, o->benchmark);
    tribus_quant_performance p;
    double *r;
    bool good = at >= 0 && against >= 0;

    if (!good)
        return TRIBUS_EXIT_USAGE;
    if (o->prices && !quant_table_to_returns("quant performance", o->file, t))
        return TRIBUS_EXIT_FAILED;
    r = malloc(2 * (size_t)t->rows * sizeof(*r) + 1);
    for (uint32_t i = 0; r != NULL && i < t->rows; i++) {
        r[i] = t->value[(size_t)i * t->cols + (size_t)at];
        r[t->rows + i] = t->value[(size_t)i * t->cols + (size_t)against];
    }
    good = r != NULL && o->rolling <= (int64_t)t->rows &&
           tribus_quant_performance_of(&cfg, r, o->benchmark == NULL ? NULL : r + t->rows,
                                       t->rows, &p) == TRIBUS_OK;
    if (good && o->falls > 0)
        put_falls(o, r, t->rows);
    else if (good && o->rolling > 0)
        good = put_rolling(o, &cfg, r, t->rows);
    else if (good)
        put_whole(o, &p);
    if (!good)
        (void)tribus_cli_complain("quant performance",
                                  "%s: a return is missing or below -1, or fewer rows than "
                                  "--rolling",
                                  o->file);
    free(r);
    return good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

int tribus_cli_quant_performance(int argc, char **argv)
{
    performance_options o = {.per_year = 252.0};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "returns, oldest first; .gz too; - is stdin", TRIBUS_CLI_TEXT,
         &o.file},
        {"--prices", NULL, "the columns are prices: take simple returns", TRIBUS_CLI_FLAG,
         &o.prices},
        {"--column", "NAME", "default: the first one", TRIBUS_CLI_TEXT, &o.column},
        {"--benchmark", "NAME", "column to compare with: beta, alpha, information ...",
         TRIBUS_CLI_TEXT, &o.benchmark},
        {"--per-year", "N", "rows in a year", TRIBUS_CLI_REAL, &o.per_year},
        {"--rate", "R", "risk-free, per year", TRIBUS_CLI_REAL, &o.rate},
        {"--mar", "R", "least acceptable return of a row", TRIBUS_CLI_REAL, &o.mar},
        {"--rolling", "N", "a row of measures for each window of N rows", TRIBUS_CLI_INT,
         &o.rolling},
        {"--falls", "N", "the N deepest drawdowns instead", TRIBUS_CLI_INT, &o.falls},
        {"--json", NULL, "objects", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant performance",
        .synopsis =
            "--file CSV [--column NAME] [--benchmark NAME] [--rolling N] [--falls N]",
        .text = "Performance of a series of returns: ratios, drawdowns, and against a "
                "benchmark.\nWhat cannot be computed is empty.",
        .examples =
            "  tribus quant performance --file managers.csv --column HAM1 --per-year 12\n"
            "  tribus quant performance --file prices.csv --prices --falls 5"};
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL || !(o.per_year > 0.0) || o.rolling < 0 || o.falls < 0 ||
        o.falls > 64) {
        (void)tribus_cli_complain("quant performance",
                                  o.file == NULL ? "--file CSV is missing; see --help"
                                                 : "--per-year above 0, --rolling from 1, "
                                                   "--falls from 1 to 64");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant performance", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_performance(&o, &t);
    quant_table_free(&t);
    return code;
}
