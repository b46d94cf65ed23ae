/* quant.c -- `tribus quant`: the mathematics on files, without a platform. */
#include "cli/commands.h"
#include "cli/quant_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- var ---- */

typedef struct var_options {
    const char *file, *column, *method, *weights;
    double confidence, nu;
    int64_t paths, seed;
    bool prices, json;
} var_options;

static void print_risk(const var_options *o, const char *method, const tribus_quant_risk *r)
{
    if (o->json)
        printf(
            "{\"method\":\"%s\",\"confidence\":%.6g,\"var\":%.12g,\"es\":%.12g,"
            "\"pnl_quantile\":%.12g,\"pnl_tail_mean\":%.12g,\"mean\":%.12g,\"sd\":%.12g}\n",
            method, o->confidence, r->var, r->es, -r->var, -r->es, r->mean, r->sd);
    else
        printf("%s,%.6g,%.12g,%.12g,%.12g,%.12g\n", method, o->confidence, r->var, r->es,
               r->mean, r->sd);
}

static bool wanted(const var_options *o, const char *method)
{
    return o->method == NULL || strcmp(o->method, method) == 0;
}

static double *numbers_of(const char *list, uint32_t count)
{
    double *out = calloc(count + 1, sizeof(*out));
    char *stop;

    for (uint32_t i = 0; out != NULL && i < count; i++) {
        out[i] = list == NULL ? 1.0 / count : strtod(list, &stop);
        if (list != NULL && (stop == list || (*stop != ',' && *stop != '\0') ||
                             (*stop == '\0') != (i + 1 == count))) {
            free(out);
            return NULL;
        }
        list = list == NULL ? NULL : stop + 1;
    }
    return out;
}

/* In parts, so that a long one can show how far it is; paths depend on their number alone. */
static tribus_status simulate(const var_options *o, uint32_t assets, const float *f,
                              float *pnl, tribus_quant_risk *risk)
{
    enum { PART = 1 << 17 };
    const size_t n = assets;
    tribus_quant_mc_cfg cfg = {.assets = assets,
                               .confidence = o->confidence,
                               .nu = o->nu,
                               .seed = (uint64_t)o->seed};
    float *loading = malloc(tribus_quant_mc_loading_count(assets) * sizeof(*loading)),
          drift;
    tribus_status st = TRIBUS_NO_MEMORY;

    if (loading != NULL)
        st = tribus_quant_mc_load(assets, f + n * n, f, f + n * n + n, loading, &drift);
    for (int64_t done = 0; st == TRIBUS_OK && done < o->paths; done += PART) {
        cfg.first_path = (uint64_t)done;
        cfg.paths = (uint32_t)(o->paths - done < PART ? o->paths - done : PART);
        st = tribus_quant_mc_pnl(&cfg, loading, drift, pnl + done);
        if (o->paths > 4 * PART)
            quant_progress("monte-carlo, paths", (uint32_t)(done + cfg.paths),
                           (uint32_t)o->paths);
    }
    free(loading);
    if (st != TRIBUS_OK)
        return st;
    return tribus_quant_var_simulated(o->confidence, pnl, (uint32_t)o->paths, risk);
}

static bool print_monte_carlo(const var_options *o, tribus_quant_matrix r, const double *w)
{
    const size_t n = r.cols;
    double *mean = malloc(n * sizeof(*mean)), *cov = malloc(n * n * sizeof(*cov));
    double *scratch = malloc(n * r.rows * sizeof(*scratch));
    float *f = malloc((n * n + 2 * n) * sizeof(*f));
    float *pnl = malloc((size_t)o->paths * sizeof(*pnl));
    tribus_quant_risk risk;
    tribus_quant_why why = {"not enough memory"};
    tribus_status st = TRIBUS_NO_MEMORY;

    if (mean != NULL && cov != NULL && scratch != NULL && f != NULL && pnl != NULL) {
        st = tribus_quant_cov_sample(r, 1, mean, cov, scratch, &why);
        if (st == TRIBUS_OK)
            st = tribus_quant_cholesky(cov, r.cols, 1e-12, &why);
        for (size_t i = 0; st == TRIBUS_OK && i < n * n; i++)
            f[i] = (float)cov[i];
        for (size_t i = 0; st == TRIBUS_OK && i < n; i++) {
            f[n * n + i] = (float)mean[i];
            f[n * n + n + i] = (float)w[i];
        }
        if (st == TRIBUS_OK) {
            (void)snprintf(why.text, sizeof(why.text),
                           "--paths, --nu (above 2) or --confidence is out of range");
            st = simulate(o, r.cols, f, pnl, &risk);
        }
    }
    if (st == TRIBUS_OK)
        print_risk(o, "monte-carlo", &risk);
    else
        (void)tribus_cli_complain("quant var", "monte-carlo: %s", why.text);
    free(mean);
    free(cov);
    free(scratch);
    free(f);
    free(pnl);
    return st == TRIBUS_OK;
}

static bool print_series(const var_options *o, double *pnl, uint32_t n)
{
    const tribus_quant_var_cfg cfg = {.confidence = o->confidence};
    double *work = malloc(2 * (size_t)n * sizeof(*work));
    tribus_quant_moments m;
    tribus_quant_garch g;
    tribus_quant_risk risk;
    bool good = work != NULL && tribus_quant_moments_of(pnl, n, &m) == TRIBUS_OK;

    if (good && wanted(o, "gaussian") &&
        tribus_quant_var_gaussian(m.mean, m.sd_population, o->confidence, &risk) ==
            TRIBUS_OK)
        print_risk(o, "gaussian", &risk);
    if (good && wanted(o, "modified") &&
        tribus_quant_var_modified(&m, o->confidence, &risk) == TRIBUS_OK)
        print_risk(o, "modified", &risk);
    if (good && wanted(o, "student") &&
        tribus_quant_var_student(m.mean, m.sd_population, o->nu == 0.0 ? 5.0 : o->nu,
                                 o->confidence, &risk) == TRIBUS_OK)
        print_risk(o, "student", &risk);
    if (good && wanted(o, "garch") && tribus_quant_garch_fit(pnl, n, &g) == TRIBUS_OK &&
        tribus_quant_var_filtered(&cfg, pnl, n, &g, work, &risk) == TRIBUS_OK)
        print_risk(o, "garch", &risk);
    if (good && wanted(o, "historical")) {
        good = tribus_quant_var_historical(&cfg, pnl, n, &risk) == TRIBUS_OK;
        if (good)
            print_risk(o, "historical", &risk);
    }
    if (!good)
        (void)tribus_cli_complain("quant var", "the series has a missing value, or none");
    free(work);
    return good;
}

static int run_var(const var_options *o, quant_table *t)
{
    int only = o->column == NULL ? -1 : quant_table_column("quant var", t, o->column);
    const uint32_t cols = only < 0 ? t->cols : 1;
    double *w = numbers_of(o->weights, cols), *pnl = NULL;
    tribus_quant_matrix r = {t->value, t->rows, t->cols};
    int code = TRIBUS_EXIT_FAILED;

    if ((o->column != NULL && only < 0) || w == NULL) {
        if (w == NULL)
            (void)tribus_cli_complain("quant var", "--weights: %u numbers with commas",
                                      cols);
        free(w);
        return TRIBUS_EXIT_USAGE;
    }
    if (o->prices && !quant_table_to_returns("quant var", o->file, t)) {
        free(w);
        return TRIBUS_EXIT_FAILED;
    }
    r.rows = t->rows;
    pnl = calloc(r.rows + 1u, sizeof(*pnl));
    for (uint32_t i = 0; pnl != NULL && i < r.rows; i++) {
        for (uint32_t k = 0; k < t->cols; k++)
            if (only < 0 || (int)k == only)
                pnl[i] += (only < 0 ? w[k] : 1.0) * r.at[(size_t)i * t->cols + k];
    }
    if (pnl != NULL) {
        if (!o->json)
            printf("method,confidence,var,es,mean,sd\n");
        code = TRIBUS_EXIT_DONE;
        if (wanted(o, "monte-carlo") && only < 0 && !print_monte_carlo(o, r, w))
            code = TRIBUS_EXIT_FAILED;
        if ((o->method == NULL || strcmp(o->method, "monte-carlo") != 0) &&
            !print_series(o, pnl, r.rows))
            code = TRIBUS_EXIT_FAILED;
    }
    free(pnl);
    free(w);
    return code;
}

static int cli_var(int argc, char **argv)
{
    var_options o = {.confidence = 0.95, .paths = 100000, .seed = 1};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "returns or P&Ls, a column each; .gz too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--column", "NAME", "one column as it is; default: all columns, weighted",
         TRIBUS_CLI_TEXT, &o.column},
        {"--weights", "W,W,...", "of the columns; default: equal", TRIBUS_CLI_TEXT,
         &o.weights},
        {"--prices", NULL, "the columns are prices: take simple returns", TRIBUS_CLI_FLAG,
         &o.prices},
        {"--confidence", "C", "0.95 looks at the worst 5 %", TRIBUS_CLI_REAL,
         &o.confidence},
        {"--method", "NAME",
         "historical, gaussian, modified, student, garch or monte-carlo", TRIBUS_CLI_TEXT,
         &o.method},
        {"--nu", "N", "degrees of freedom of Student-t, above 2", TRIBUS_CLI_REAL, &o.nu},
        {"--paths", "N", "of the simulation", TRIBUS_CLI_INT, &o.paths},
        {"--seed", "N", "of the simulation", TRIBUS_CLI_INT, &o.seed},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant var",
        .synopsis = "--file CSV [--method NAME] [--confidence C]",
        .text =
            "Value at risk and expected shortfall. Losses are positive: var 0.02 is a loss "
            "of 2 %.\nWithout --method, every method that fits the data.",
        .examples =
            "  tribus quant var --file prices.csv --prices --confidence 0.99\n"
            "  tribus quant var --file pnl.csv --column PLAmount --method historical"};
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL || !(o.confidence > 0.0 && o.confidence < 1.0) || o.paths < 1 ||
        o.paths > 1000000000) {
        (void)tribus_cli_complain(
            "quant var", o.file == NULL ? "--file CSV is missing; see --help"
                                        : "--confidence in (0, 1), --paths in 1 .. 1e9");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant var", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_var(&o, &t);
    quant_table_free(&t);
    return code;
}

/* ---- vpin ---- */

typedef struct vpin_options {
    const char *file, *time, *price, *volume;
    double bucket, per_day;
    int64_t window, bar_seconds;
    bool json;
} vpin_options;

static void print_vpin(const vpin_options *o, const double *vpin, uint32_t count,
                       double bucket)
{
    if (!o->json)
        printf("bucket,vpin,level\n");
    for (uint32_t i = 0; i < count; i++) {
        const double level = tribus_quant_vpin_level(vpin, i + 1, vpin[i]);
        const unsigned number = i + (unsigned)o->window;

        if (o->json)
            printf("{\"bucket\":%u,\"bucket_volume\":%.9g,\"vpin\":%.9g,\"level\":%.6g}\n",
                   number, bucket, vpin[i], level);
        else
            printf("%u,%.9g,%.6g\n", number, vpin[i], level);
    }
}

static int run_vpin(const vpin_options *o, const quant_table *t)
{
    const int at[3] = {quant_table_column("quant vpin", t, o->time),
                       quant_table_column("quant vpin", t, o->price),
                       quant_table_column("quant vpin", t, o->volume)};
    const int64_t bar_ns = o->bar_seconds * 1000000000;
    int64_t *ns = malloc(t->rows * sizeof(*ns)), last_day = INT64_MIN;
    double *x = malloc(2 * (size_t)t->rows * sizeof(*x)), *bars = NULL, *both = NULL;
    double *ring = calloc((size_t)o->window, sizeof(*ring)), total = 0.0, *vpin = NULL;
    uint32_t count = 0, days = 0;
    tribus_quant_vpin v;
    tribus_status st = TRIBUS_NO_MEMORY;
    double bucket;

    if (at[0] < 0 || at[1] < 0 || at[2] < 0 || ns == NULL || x == NULL || ring == NULL)
        goto done;
    for (uint32_t i = 0; i < t->rows; i++) {
        const double *row = &t->value[(size_t)i * t->cols];

        ns[i] = fabs(row[at[0]]) < 9e9 ? (int64_t)llround(row[at[0]] * 1e6) * 1000 : 0;
        x[i] = row[at[1]];
        x[t->rows + i] = row[at[2]];
        total += row[at[2]];
        days += ns[i] / 86400000000000 != last_day;
        last_day = ns[i] / 86400000000000;
    }
    bucket = o->bucket > 0.0 ? o->bucket : total / days / o->per_day;
    st = tribus_quant_bars((tribus_quant_trades){ns, x, x + t->rows, t->rows}, bar_ns, x, x,
                           0, &count);
    if (st != TRIBUS_FULL)
        goto done;
    st = TRIBUS_NO_MEMORY;
    bars = malloc(2 * (size_t)count * sizeof(*bars));
    both = malloc(2 * (size_t)count * sizeof(*both));
    if (bars == NULL || both == NULL || !(total / bucket < 1e8))
        goto done;
    vpin = malloc(((size_t)(total / bucket) + 2) * sizeof(*vpin));
    if (vpin == NULL)
        goto done;
    st = tribus_quant_bars((tribus_quant_trades){ns, x, x + t->rows, t->rows}, bar_ns, bars,
                           bars + count, count, &count);
    for (uint32_t i = 0; st == TRIBUS_OK && i < count; i++) {
        both[2 * i] = bars[i];
        both[2 * i + 1] = bars[count + i];
    }
    if (st == TRIBUS_OK)
        st = tribus_quant_vpin_init(&v, bucket, (uint32_t)o->window, ring);
    if (st == TRIBUS_OK)
        st = tribus_quant_vpin_bulk(&v, &(tribus_quant_matrix){both, count, 2}, vpin,
                                    (uint32_t)(total / bucket) + 2, &count);
    if (st == TRIBUS_OK)
        print_vpin(o, vpin, count, bucket);
done:
    if (st != TRIBUS_OK)
        (void)tribus_cli_complain("quant vpin", "%s: %s", o->file,
                                  st == TRIBUS_BAD_DATA
                                      ? "times go backwards, or a value is missing"
                                      : "not enough trades, memory or buckets");
    free(ns);
    free(x);
    free(bars);
    free(both);
    free(ring);
    free(vpin);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

static int cli_vpin(int argc, char **argv)
{
    vpin_options o = {.time = "time",
                      .price = "price",
                      .volume = "volume",
                      .per_day = 50,
                      .window = 50,
                      .bar_seconds = 300};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "trades, oldest first; .gz too; - is stdin", TRIBUS_CLI_TEXT,
         &o.file},
        {"--time", "NAME", "column of seconds since 1970 UTC", TRIBUS_CLI_TEXT, &o.time},
        {"--price", "NAME", "column of prices", TRIBUS_CLI_TEXT, &o.price},
        {"--volume", "NAME", "column of volumes", TRIBUS_CLI_TEXT, &o.volume},
        {"--bucket", "VOLUME", "of a bucket; default: from --buckets-per-day",
         TRIBUS_CLI_REAL, &o.bucket},
        {"--buckets-per-day", "N", "average day's volume over N", TRIBUS_CLI_REAL,
         &o.per_day},
        {"--window", "N", "buckets in a value", TRIBUS_CLI_INT, &o.window},
        {"--bar-seconds", "S", "of the bars that are classified", TRIBUS_CLI_INT,
         &o.bar_seconds},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant vpin",
        .synopsis = "--file CSV [--bucket VOLUME] [--window N]",
        .text = "Order-flow toxicity of a trade file: one value for each bucket of volume, "
                "and\n"
                "its level among the values so far (0.9 and above is the usual alarm).",
        .examples = "  tribus quant vpin --file trades.csv.gz --time timestamp_utc_s"};
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL || o.window < 1 || o.window > 1000000 || o.bar_seconds < 1 ||
        o.bar_seconds > 86400 || 86400 % o.bar_seconds != 0 || !(o.per_day > 0.0)) {
        (void)tribus_cli_complain(
            "quant vpin", o.file == NULL ? "--file CSV is missing; see --help"
                                         : "--window in 1 .. 1e6, --bar-seconds a part "
                                           "of 86400, --buckets-per-day above 0");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant vpin", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_vpin(&o, &t);
    quant_table_free(&t);
    return code;
}

int tribus_cli_quant(int argc, char **argv)
{
    static const tribus_cli_command commands[] = {
        {"var", cli_var, "value at risk and expected shortfall", false},
        {"vpin", cli_vpin, "order-flow toxicity of a trade file", false},
        {"classify", tribus_cli_quant_classify, "who began each trade", false},
        {"fi2010", tribus_cli_quant_fi2010, "144 features of an order book's events",
         false},
        {"covariance", tribus_cli_quant_covariance,
         "of returns: sample, EWMA or Ledoit-Wolf", false},
        {"garch", tribus_cli_quant_garch, "GARCH(1,1) parameters and variances", false},
        {"option", tribus_cli_quant_option, "Black-Scholes prices and Greeks", false},
        {"optimise", tribus_cli_quant_optimise, "weights of a portfolio", false},
        {"stress", tribus_cli_quant_stress, "what shocks and bad stretches would cost",
         false},
        {"performance", tribus_cli_quant_performance, "ratios and drawdowns of returns",
         false},
        {"indicators", tribus_cli_quant_indicators, "technical indicators of bars", false},
        {"factors", tribus_cli_quant_factors, "factors of daily bars", false},
        {"ic", tribus_cli_quant_ic, "what factors are worth, and how alike they are",
         false},
        {"backtest", tribus_cli_quant_backtest, "moving-average strategies on history",
         false},
    };

    return tribus_cli_dispatch(
        "tribus quant",
        "The mathematics on CSV files; results are CSV or, with --json, "
        "one object a line.",
        commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}
