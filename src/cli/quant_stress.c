/* quant_stress.c -- `tribus quant stress`: what shocks and bad stretches would cost. */
#include "cli/commands.h"
#include "cli/quant_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stress_options {
    const char *file, *weights, *table, *exposure, *shocks;
    int64_t window;
    bool prices, json;
} stress_options;

static void put_scenario(const stress_options *o, tribus_quant_text name, double pnl)
{
    printf(o->json ? "{\"scenario\":\"%.*s\",\"pnl\":%.12g}\n" : "%.*s,%.12g\n",
           (int)name.bytes, name.at, pnl);
}

static tribus_quant_text row_name(const quant_table *t, uint32_t row, char *room,
                                  size_t bytes)
{
    if (t->label_cols > 0)
        return t->label[(size_t)row * t->label_cols];
    (void)snprintf(room, bytes, "%u", row + 1);
    return (tribus_quant_text){room, (uint32_t)strlen(room)};
}

/* The worst stretch of that many rows, named after its first row. */
static bool worst_window(const stress_options *o, const quant_table *t, const double *w)
{
    uint32_t first, named;
    char room[24];
    double pnl;

    if (tribus_quant_stress_worst((tribus_quant_matrix){t->value, t->rows, t->cols}, w,
                                  (uint32_t)o->window, &first, &pnl) != TRIBUS_OK) {
        (void)tribus_cli_complain("quant stress",
                                  "%s: fewer rows than --window, or a return is missing",
                                  o->file);
        return false;
    }
    named = first + (o->prices ? 1 : 0); /* a return belongs to the later of two prices */
    put_scenario(o, row_name(t, named, room, sizeof(room)), pnl);
    return true;
}

/* Each row of --table is a scenario: a shock per asset. */
static bool shock_table(const stress_options *o, const quant_table *t, const double *w)
{
    static const char *const none[] = {NULL};
    quant_table s;
    double *shock = NULL, *pnl = NULL;
    bool good;
    char room[24];

    if (!quant_table_read("quant stress", o->table, &s))
        return false;
    shock = calloc((size_t)s.rows * t->cols, sizeof(*shock));
    pnl = calloc(s.rows, sizeof(*pnl));
    good = shock != NULL && pnl != NULL &&
           quant_table_by_asset("quant stress", o->table, &s, t, none, shock) &&
           tribus_quant_stress_table((tribus_quant_matrix){shock, s.rows, t->cols}, w,
                                     pnl) == TRIBUS_OK;
    for (uint32_t i = 0; good && i < s.rows; i++)
        put_scenario(o, row_name(&s, i, room, sizeof(room)), pnl[i]);
    quant_table_free(&s);
    free(shock);
    free(pnl);
    return good;
}

/* Each row of --shocks is a scenario: a shock per factor, through the assets' exposures. */
static bool shock_factors(const stress_options *o, const quant_table *t, const double *w)
{
    static const char *const none[] = {NULL};
    quant_table e = {0}, s = {0};
    double *exposure = NULL, *shock = NULL, *moved = calloc(t->cols, sizeof(*moved));
    bool good = moved != NULL && quant_table_read("quant stress", o->exposure, &e) &&
                quant_table_read("quant stress", o->shocks, &s);
    char room[24];

    if (good) {
        exposure = calloc((size_t)t->cols * e.cols, sizeof(*exposure));
        shock = calloc((size_t)s.rows * e.cols, sizeof(*shock));
        good = exposure != NULL && shock != NULL;
    }
    for (uint32_t f = 0; good && f < e.cols; f++) {
        char name[128];
        double *column = moved; /* not needed before the shocks */

        (void)snprintf(name, sizeof(name), "%.*s", (int)e.names[f].bytes, e.names[f].at);
        good = quant_table_per_asset("quant stress", o->exposure, name, t, 0.0, column);
        for (uint32_t i = 0; good && i < t->cols; i++)
            exposure[(size_t)i * e.cols + f] = column[i];
    }
    good = good && quant_table_by_asset("quant stress", o->shocks, &s, &e, none, shock);
    for (uint32_t k = 0; good && k < s.rows; k++) {
        double pnl = 0.0;

        good = tribus_quant_stress_factors((tribus_quant_matrix){exposure, t->cols, e.cols},
                                           &shock[(size_t)k * e.cols], moved) == TRIBUS_OK;
        for (uint32_t i = 0; i < t->cols; i++)
            pnl += w[i] * moved[i];
        if (good)
            put_scenario(o, row_name(&s, k, room, sizeof(room)), pnl);
    }
    quant_table_free(&e);
    quant_table_free(&s);
    free(exposure);
    free(shock);
    free(moved);
    return good;
}

int tribus_cli_quant_stress(int argc, char **argv)
{
    stress_options o = {.file = NULL};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "returns, a column per asset; .gz too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--prices", NULL, "the columns are prices: take simple returns", TRIBUS_CLI_FLAG,
         &o.prices},
        {"--weights", "CSV", "asset,weight; default: equal", TRIBUS_CLI_TEXT, &o.weights},
        {"--window", "N", "the worst N rows of history, held through", TRIBUS_CLI_INT,
         &o.window},
        {"--table", "CSV", "scenario and a column per asset: its shock, -0.1 is -10 %",
         TRIBUS_CLI_TEXT, &o.table},
        {"--exposure", "CSV", "asset and a column per factor", TRIBUS_CLI_TEXT,
         &o.exposure},
        {"--shocks", "CSV", "scenario and a column per factor: its shock", TRIBUS_CLI_TEXT,
         &o.shocks},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant stress",
        .synopsis = "--file CSV [--window N] [--table CSV] [--exposure CSV --shocks CSV]",
        .text =
            "What a portfolio would gain or lose: in the worst stretch of its history, "
            "under\nshocks of its assets, or of factors. A P&L is a fraction; losses are "
            "negative.",
        .examples = "  tribus quant stress --file prices.csv --prices --window 20\n"
                    "  tribus quant stress --file prices.csv --prices --table shocks.csv"};
    double *w = NULL;
    quant_table t;
    bool good;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL || o.window < 0 || o.window > INT32_MAX ||
        (o.exposure != NULL) != (o.shocks != NULL) ||
        (o.window == 0 && o.table == NULL && o.shocks == NULL)) {
        (void)tribus_cli_complain(
            "quant stress", o.file == NULL ? "--file CSV is missing; see --help"
                                           : "--window N, --table CSV, or --exposure with "
                                             "--shocks is needed");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant stress", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    w = malloc(t.cols * sizeof(*w));
    good = w != NULL && (!o.prices || quant_table_to_returns("quant stress", o.file, &t));
    for (uint32_t i = 0; good && i < t.cols; i++)
        w[i] = 1.0 / t.cols;
    good = good && (o.weights == NULL ||
                    quant_table_per_asset("quant stress", o.weights, "weight", &t, 0.0, w));
    if (good && !o.json)
        printf("scenario,pnl\n");
    good = good && (o.window == 0 || worst_window(&o, &t, w)) &&
           (o.table == NULL || shock_table(&o, &t, w)) &&
           (o.shocks == NULL || shock_factors(&o, &t, w));
    free(w);
    quant_table_free(&t);
    return good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}
