/* quant_files.c -- `tribus quant optimise`, `factors` and `backtest`. */
#include "cli/commands.h"
#include "cli/quant_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- optimise ---- */

typedef struct optimise_options {
    const char *file, *objective;
    double rate, lower, upper, aversion, confidence, per_year;
    bool json;
} optimise_options;

typedef struct optimise_work {
    double *cov, *mean, *weights, *scratch;
    void *qp;
    tribus_quant_portfolio_result result;
    tribus_quant_tail_result tail;
    tribus_quant_why why;
} optimise_work;

static tribus_status optimise(const optimise_options *o, tribus_quant_matrix r,
                              optimise_work *w)
{
    const tribus_quant_portfolio p = {.assets = r.cols,
                                      .cov = w->cov,
                                      .mean = w->mean,
                                      .lower = o->lower,
                                      .upper = o->upper};
    const tribus_quant_matrix cov = {w->cov, r.cols, r.cols};
    tribus_quant_tail_cfg tail = {
        .confidence = o->confidence, .lower = o->lower, .upper = o->upper};

    if (strcmp(o->objective, "min-variance") == 0)
        return tribus_quant_min_variance(&p, w->qp, w->weights, &w->result, &w->why);
    if (strcmp(o->objective, "max-sharpe") == 0)
        return tribus_quant_max_sharpe(&p, o->rate, w->qp, w->weights, &w->result, &w->why);
    if (strcmp(o->objective, "mean-variance") == 0)
        return tribus_quant_mean_variance(&p, o->aversion, w->qp, w->weights, &w->result,
                                          &w->why);
    if (strcmp(o->objective, "risk-parity") == 0)
        return tribus_quant_risk_parity(cov, NULL, w->weights, w->scratch, NULL);
    if (strcmp(o->objective, "hrp") == 0)
        return tribus_quant_hrp(cov, w->weights, w->scratch);
    tail.kind =
        strcmp(o->objective, "mad") == 0 ? TRIBUS_QUANT_TAIL_MAD : TRIBUS_QUANT_TAIL_CVAR;
    return tribus_quant_min_tail(&tail, r, w->scratch, w->weights, &w->tail, &w->why);
}

static void print_weights(const optimise_options *o, const quant_table *t,
                          const optimise_work *w)
{
    double variance = 0.0, mean = 0.0;
    const uint32_t n = t->cols;

    for (uint32_t i = 0; i < n; i++) {
        mean += w->weights[i] * w->mean[i];
        for (uint32_t j = 0; j < n; j++)
            variance += w->weights[i] * w->cov[(size_t)i * n + j] * w->weights[j];
    }
    if (o->json) {
        printf(
            "{\"objective\":\"%s\",\"return\":%.12g,\"volatility\":%.12g,\"sharpe\":%.12g,"
            "\"weights\":{",
            o->objective, mean, sqrt(variance), (mean - o->rate) / sqrt(variance));
        for (uint32_t i = 0; i < n; i++)
            printf("%s\"%.*s\":%.12g", i == 0 ? "" : ",", (int)t->names[i].bytes,
                   t->names[i].at, w->weights[i]);
        printf("}");
        if (!isnan(w->result.qp.kkt)) /* what proves the quadratic programs right */
            printf(",\"kkt\":%.3g", w->result.qp.kkt);
        printf("}\n");
        return;
    }
    printf("asset,weight\n");
    for (uint32_t i = 0; i < n; i++)
        printf("%.*s,%.12g\n", (int)t->names[i].bytes, t->names[i].at, w->weights[i]);
    fprintf(stderr, "return %.6g, volatility %.6g, Sharpe %.6g\n", mean, sqrt(variance),
            (mean - o->rate) / sqrt(variance));
}

/* Annual mean by growth and annual covariance, missing prices left out, as PyPortfolioOpt. */
static tribus_status estimate(const optimise_options *o, tribus_quant_matrix r,
                              optimise_work *w)
{
    const tribus_status st = tribus_quant_cov_pairwise(r, 1, w->cov, &w->why);

    for (size_t i = 0; st == TRIBUS_OK && i < (size_t)r.cols * r.cols; i++)
        w->cov[i] *= o->per_year;
    for (uint32_t i = 0; st == TRIBUS_OK && i < r.cols; i++) {
        double growth = 0.0;
        uint32_t count = 0;

        for (uint32_t k = 0; k < r.rows; k++) {
            const double x = r.at[(size_t)k * r.cols + i];

            growth += isnan(x) ? 0.0 : log1p(x);
            count += isnan(x) ? 0u : 1u;
        }
        w->mean[i] = expm1(growth * o->per_year / count);
    }
    return st;
}

static int run_optimise(const optimise_options *o, quant_table *t)
{
    const size_t n = t->cols, tail = tribus_quant_tail_bytes(&(tribus_quant_tail_cfg){0},
                                                             t->rows, t->cols);
    tribus_quant_matrix r = {t->value, t->rows, t->cols};
    optimise_work w = {.why = {"not enough memory"}};
    tribus_status st = TRIBUS_NO_MEMORY;

    w.cov = malloc(n * n * sizeof(double));
    w.mean = malloc(n * sizeof(double));
    w.weights = malloc(n * sizeof(double));
    w.scratch = malloc(tail + tribus_quant_hrp_bytes(t->cols));
    w.qp = calloc(1, tribus_quant_portfolio_bytes(t->cols, 0));
    w.result.qp.kkt = NAN;
    if (w.cov != NULL && w.mean != NULL && w.weights != NULL && w.scratch != NULL &&
        w.qp != NULL) {
        st = tribus_quant_returns_simple(r, t->value, &w.why);
        r.rows--;
        if (st == TRIBUS_OK)
            st = estimate(o, r, &w);
        if (st == TRIBUS_OK) {
            (void)snprintf(w.why.text, sizeof(w.why.text), "a variance is not positive");
            st = optimise(o, r, &w);
        }
    }
    if (st == TRIBUS_OK)
        print_weights(o, t, &w);
    else
        (void)tribus_cli_complain("quant optimise", "%s: %s", o->file, w.why.text);
    free(w.cov);
    free(w.mean);
    free(w.weights);
    free(w.scratch);
    free(w.qp);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

int tribus_cli_quant_optimise(int argc, char **argv)
{
    static const char *const known[] = {
        "min-variance", "max-sharpe", "mean-variance", "risk-parity", "hrp", "cvar", "mad"};
    optimise_options o = {.objective = "min-variance",
                          .upper = 1.0,
                          .aversion = 1.0,
                          .confidence = 0.95,
                          .per_year = 252.0};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "prices, a column per asset; .gz too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--objective", "NAME",
         "min-variance, max-sharpe, mean-variance, risk-parity, hrp, cvar or mad",
         TRIBUS_CLI_TEXT, &o.objective},
        {"--rate", "R", "risk-free, per year", TRIBUS_CLI_REAL, &o.rate},
        {"--aversion", "A", "of mean-variance: mean - A / 2 variance", TRIBUS_CLI_REAL,
         &o.aversion},
        {"--confidence", "C", "of cvar", TRIBUS_CLI_REAL, &o.confidence},
        {"--lower", "W", "least weight", TRIBUS_CLI_REAL, &o.lower},
        {"--upper", "W", "largest weight", TRIBUS_CLI_REAL, &o.upper},
        {"--per-year", "N", "rows in a year", TRIBUS_CLI_REAL, &o.per_year},
        {"--json", NULL, "one object", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant optimise",
        .synopsis = "--file CSV [--objective NAME] [--lower W] [--upper W]",
        .text = "Weights that add up to 1. Missing prices are left out pair by pair.",
        .examples =
            "  tribus quant optimise --file prices.csv --objective max-sharpe --rate 0.02"};
    quant_table t;
    bool found = false;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        found = found || strcmp(known[i], o.objective) == 0;
    if (o.file == NULL || !found || !(o.lower <= o.upper) || !(o.per_year > 0.0)) {
        (void)tribus_cli_complain("quant optimise",
                                  o.file == NULL ? "--file CSV is missing; see --help"
                                  : !found
                                      ? "no such --objective; see --help"
                                      : "--lower above --upper, or --per-year not above 0");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant optimise", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_optimise(&o, &t);
    quant_table_free(&t);
    return code;
}

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
