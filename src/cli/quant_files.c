/* quant_files.c -- `tribus quant factors` and `backtest`. */
#include "cli/commands.h"
#include "cli/quant_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- factors ---- */

typedef struct factor_files {
    const char *file, *factors, *ticker;
    int64_t last;
    bool json;
} factor_files;

static char *read_text(const char *command, const char *path, size_t *bytes)
{
    FILE *in = fopen(path, "rb");
    char *text = malloc(1u << 20);

    if (in == NULL || text == NULL) {
        (void)tribus_cli_complain(command, "cannot read %s", path);
        free(text);
        text = NULL;
    } else {
        *bytes = fread(text, 1, 1u << 20, in);
    }
    if (in != NULL)
        (void)fclose(in);
    return text;
}

static int same(tribus_quant_text a, tribus_quant_text b)
{
    return a.bytes == b.bytes && memcmp(a.at, b.at, a.bytes) == 0;
}

static void print_csv_row(const tribus_quant_factors *f, const quant_table *t,
                          const tribus_quant_text *label, const double *out, size_t stride)
{
    for (uint32_t l = 0; l < t->label_cols; l++)
        printf("%s%.*s", l == 0 ? "" : ",", (int)label[l].bytes, label[l].at);
    for (uint32_t k = 0; k < f->count; k++) {
        if (isfinite(out[k * stride]))
            printf(",%.12g", out[k * stride]);
        else
            printf(",");
    }
    printf("\n");
}

static void print_json_row(const tribus_quant_factors *f, const quant_table *t,
                           const tribus_quant_text *label, const double *out, size_t stride)
{
    printf("{");
    for (uint32_t l = 0; l < t->label_cols; l++)
        printf("%s\"%.*s\":\"%.*s\"", l == 0 ? "" : ",", (int)t->label_names[l].bytes,
               t->label_names[l].at, (int)label[l].bytes, label[l].at);
    for (uint32_t k = 0; k < f->count; k++) {
        printf(",\"%s\":", f->names[k]);
        if (isfinite(out[k * stride]))
            printf("%.12g", out[k * stride]);
        else
            printf("null");
    }
    printf("}\n");
}

/* Rows of one ticker, in their order of time: collected into fields, computed, printed. */
static bool one_ticker(const factor_files *o, const tribus_quant_factors *f,
                       const quant_table *t, const uint32_t *row, uint32_t rows,
                       const int *column)
{
    const uint32_t from =
        o->last > 0 && o->last < (int64_t)rows ? rows - (uint32_t)o->last : 0;
    double *bars = malloc((size_t)rows * TRIBUS_QUANT_FIELDS * sizeof(*bars));
    double *out = malloc((size_t)rows * f->count * sizeof(*out));
    void *scratch = malloc(tribus_quant_factors_batch_bytes(f, rows));
    const double *field[TRIBUS_QUANT_FIELDS];
    bool good = bars != NULL && out != NULL && scratch != NULL;

    for (uint32_t k = 0; good && k < TRIBUS_QUANT_FIELDS; k++) {
        field[k] = column[k] < 0 ? NULL : &bars[(size_t)k * rows];
        for (uint32_t i = 0; column[k] >= 0 && i < rows; i++)
            bars[(size_t)k * rows + i] =
                t->value[(size_t)row[i] * t->cols + (size_t)column[k]];
    }
    good = good && tribus_quant_factors_batch(f, field, rows, scratch, out) == TRIBUS_OK;
    for (uint32_t i = from; good && i < rows; i++) {
        const tribus_quant_text *label = &t->label[(size_t)row[i] * t->label_cols];

        if (o->json)
            print_json_row(f, t, label, &out[i], rows);
        else
            print_csv_row(f, t, label, &out[i], rows);
    }
    free(bars);
    free(out);
    free(scratch);
    return good;
}

/* Group rows by ticker without moving them: `next` chains the rows of a ticker. */
static int run_factors(const factor_files *o, const tribus_quant_factors *f,
                       const quant_table *t)
{
    static const char *const names[TRIBUS_QUANT_VWAP] = {"open", "high", "low", "close",
                                                         "volume"};
    int column[TRIBUS_QUANT_FIELDS], ticker = -1;
    uint32_t *row = malloc(t->rows * sizeof(*row)), done = 0;
    bool *used = calloc(t->rows, sizeof(*used)), good = row != NULL && used != NULL;

    for (int k = 0; good && k < TRIBUS_QUANT_VWAP; k++) {
        column[k] = quant_table_column("quant factors", t, names[k]);
        good = column[k] >= 0;
    }
    column[TRIBUS_QUANT_VWAP] = -1;
    for (uint32_t i = 0; i < t->cols; i++)
        if (t->names[i].bytes == 4 && memcmp(t->names[i].at, "vwap", 4) == 0)
            column[TRIBUS_QUANT_VWAP] = (int)i;
    for (uint32_t l = 0; l < t->label_cols; l++)
        if (t->label_names[l].bytes == strlen(o->ticker) &&
            memcmp(t->label_names[l].at, o->ticker, t->label_names[l].bytes) == 0)
            ticker = (int)l;
    if (good && !o->json) {
        for (uint32_t l = 0; l < t->label_cols; l++)
            printf("%s%.*s", l == 0 ? "" : ",", (int)t->label_names[l].bytes,
                   t->label_names[l].at);
        for (uint32_t k = 0; k < f->count; k++)
            printf(",%s", f->names[k]);
        printf("\n");
    }
    for (uint32_t i = 0; good && i < t->rows; i++) {
        uint32_t rows = 0;

        if (used[i])
            continue;
        for (uint32_t k = i; k < t->rows; k++) {
            if (used[k] || (ticker >= 0 &&
                            !same(t->label[(size_t)k * t->label_cols + (size_t)ticker],
                                  t->label[(size_t)i * t->label_cols + (size_t)ticker])))
                continue;
            used[k] = true;
            row[rows++] = k;
        }
        good = one_ticker(o, f, t, row, rows, column);
        done += rows;
        quant_progress("factors, rows", done, t->rows);
    }
    free(row);
    free(used);
    return good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

int tribus_cli_quant_factors(int argc, char **argv)
{
    enum { FACTORS = 4096, NODES = 16384 };
    factor_files o = {.ticker = "ticker"};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "bars: open high low close volume, and ticker; .gz too",
         TRIBUS_CLI_TEXT, &o.file},
        {"--factors", "FILE", "lines NAME = expression, such as factors/alpha516.factors",
         TRIBUS_CLI_TEXT, &o.factors},
        {"--ticker", "NAME", "column that tells tickers apart", TRIBUS_CLI_TEXT, &o.ticker},
        {"--last", "N", "print only the last N rows of each ticker", TRIBUS_CLI_INT,
         &o.last},
        {"--json", NULL, "one object a row", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant factors",
        .synopsis = "--file CSV --factors FILE [--last N]",
        .text =
            "Evaluate factor expressions, such as Slope($close,20)/$close, over the bars "
            "of\n"
            "each ticker, oldest first. A mistake is reported with its line and column.",
        .examples = "  tribus quant factors --file bars.csv.gz --factors "
                    "factors/alpha516.factors --last 1"};
    void *memory = NULL;
    char *text = NULL;
    size_t bytes = 0;
    tribus_quant_factor_error error;
    tribus_quant_factors f;
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL || o.factors == NULL) {
        (void)tribus_cli_complain("quant factors",
                                  "--file and --factors are needed; see --help");
        return TRIBUS_EXIT_USAGE;
    }
    code = TRIBUS_EXIT_FAILED;
    memory = malloc(tribus_quant_factors_bytes(FACTORS, NODES));
    text = memory == NULL ? NULL : read_text("quant factors", o.factors, &bytes);
    if (text != NULL) {
        tribus_quant_factors_init(&f, FACTORS, NODES, memory);
        if (tribus_quant_factors_parse(&f, text, bytes, &error) != TRIBUS_OK)
            (void)tribus_cli_complain("quant factors", "%s:%u:%u: %s", o.factors,
                                      error.line, error.column, error.text);
        else if (quant_table_read("quant factors", o.file, &t)) {
            code = run_factors(&o, &f, &t);
            quant_table_free(&t);
        }
    }
    free(text);
    free(memory);
    return code;
}

/* ---- backtest ---- */

typedef struct backtest_options {
    const char *file;
    int64_t fast, slow, fast_max, slow_max;
    double commission;
    bool json;
} backtest_options;

static void sweep_progress(void *ctx, uint32_t done, uint32_t count)
{
    (void)ctx;
    quant_progress("backtest, pairs", done, count);
}

static int run_backtest(const backtest_options *o, const quant_table *t)
{
    static const char *const names[4] = {"open", "high", "low", "close"};
    const uint32_t pairs_max =
        (uint32_t)((o->fast_max - o->fast + 1) * (o->slow_max - o->slow + 1));
    const tribus_quant_sweep_cfg cfg = {.commission_rate = o->commission,
                                        .longest = (uint32_t)o->slow_max,
                                        .progress = pairs_max > 64 ? sweep_progress : NULL};
    double *bars = malloc(4 * (size_t)t->rows * sizeof(*bars));
    double *scratch =
        malloc(tribus_quant_sweep_scratch(t->rows, cfg.longest) * sizeof(*scratch));
    tribus_quant_sweep_pair *pairs = malloc(pairs_max * sizeof(*pairs));
    tribus_quant_sweep_result *result = malloc(pairs_max * sizeof(*result));
    bool good = bars != NULL && scratch != NULL && pairs != NULL && result != NULL;
    tribus_status st = TRIBUS_NO_MEMORY;
    uint32_t n = 0;

    for (int k = 0; good && k < 4; k++) {
        const int at = quant_table_column("quant backtest", t, names[k]);

        good = at >= 0;
        for (uint32_t i = 0; good && i < t->rows; i++)
            bars[(size_t)k * t->rows + i] = t->value[(size_t)i * t->cols + (size_t)at];
    }
    for (int64_t f = o->fast; good && f <= o->fast_max; f++)
        for (int64_t s = o->slow; s <= o->slow_max; s++)
            if (f < s)
                pairs[n++] = (tribus_quant_sweep_pair){(uint32_t)f, (uint32_t)s};
    if (good)
        st = tribus_quant_sweep_sma(
            &(tribus_quant_ohlc){bars, bars + t->rows, bars + 2 * (size_t)t->rows,
                                 bars + 3 * (size_t)t->rows, t->rows},
            &cfg, pairs, n, scratch, result);
    if (good && st != TRIBUS_OK)
        (void)tribus_cli_complain("quant backtest", "%s: %s", o->file,
                                  st == TRIBUS_BAD_DATA
                                      ? "a price is missing or not positive"
                                      : "fewer rows than the slow average");
    if (st == TRIBUS_OK && !o->json)
        printf("fast,slow,profit,max_drawdown,buys,sells\n");
    for (uint32_t i = 0; st == TRIBUS_OK && i < n; i++)
        printf(o->json ? "{\"fast\":%u,\"slow\":%u,\"profit\":%.10g,\"max_drawdown\":%.10g,"
                         "\"buys\":%u,\"sells\":%u}\n"
                       : "%u,%u,%.10g,%.10g,%u,%u\n",
               pairs[i].fast, pairs[i].slow, result[i].profit, result[i].max_drawdown,
               result[i].buys, result[i].sells);
    free(bars);
    free(scratch);
    free(pairs);
    free(result);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

int tribus_cli_quant_backtest(int argc, char **argv)
{
    backtest_options o = {.fast = 1, .slow = 15};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "bars: open high low close, oldest first; .gz too",
         TRIBUS_CLI_TEXT, &o.file},
        {"--fast", "N", "rows of the fast average; 1 is the close", TRIBUS_CLI_INT,
         &o.fast},
        {"--slow", "N", "rows of the slow average", TRIBUS_CLI_INT, &o.slow},
        {"--fast-max", "N", "sweep the fast one up to N", TRIBUS_CLI_INT, &o.fast_max},
        {"--slow-max", "N", "sweep the slow one up to N", TRIBUS_CLI_INT, &o.slow_max},
        {"--commission", "R", "of the value traded: 0.001 is 10 basis points",
         TRIBUS_CLI_REAL, &o.commission},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant backtest",
        .synopsis = "--file CSV [--fast N] [--slow N] [--fast-max N] [--slow-max N]",
        .text = "Hold one unit while the fast average is above the slow one: decided on a "
                "close,"
                "\ndone at the next open. With -max options, every pair.",
        .examples = "  tribus quant backtest --file bars.csv --fast 1 --slow 15\n"
                    "  tribus quant backtest --file bars.csv --fast-max 20 --slow-max 200"};
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    o.fast_max = o.fast_max == 0 ? o.fast : o.fast_max;
    o.slow_max = o.slow_max == 0 ? o.slow : o.slow_max;
    if (o.file == NULL || o.fast < 1 || o.slow <= o.fast || o.fast_max < o.fast ||
        o.slow_max < o.slow || o.slow_max > 10000 || o.fast_max > 10000 ||
        !(o.commission >= 0.0)) {
        (void)tribus_cli_complain("quant backtest",
                                  o.file == NULL
                                      ? "--file CSV is missing; see --help"
                                      : "1 <= --fast < --slow <= 10000, and -max not "
                                        "below them");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant backtest", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_backtest(&o, &t);
    quant_table_free(&t);
    return code;
}
