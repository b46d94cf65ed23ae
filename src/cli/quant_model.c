/* quant_model.c -- `tribus quant option`, `garch` and `covariance`. */
#include "cli/commands.h"
#include "cli/quant_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- option ---- */

typedef struct option_options {
    const char *file, *type;
    double strike, spot, dividend, rate, years, volatility;
    bool json;
} option_options;

static const char option_names[] = "type,strike,spot,dividend,rate,years,volatility,price,"
                                   "delta,gamma,vega,theta,rho";

/* "call", "c", "put", "p" in any case: 1, 1, 0, 0; else -1. */
static int call_of(tribus_quant_text type)
{
    const char first = type.bytes > 0 ? (char)(type.at[0] | 0x20) : ' ';

    if (first == 'c' && (type.bytes == 1 || type.bytes == 4))
        return 1;
    return first == 'p' && (type.bytes == 1 || type.bytes == 3) ? 0 : -1;
}

static bool put_option(quant_writer *w, tribus_quant_option *o, tribus_quant_text type)
{
    const int call = call_of(type);
    tribus_quant_greeks g;

    o->call = call > 0;
    if (call < 0 || tribus_quant_option_price(o, &g) != TRIBUS_OK)
        return false;
    quant_write_text(w, call > 0 ? (tribus_quant_text){"call", 4}
                                 : (tribus_quant_text){"put", 3});
    quant_write_number(w, o->strike);
    quant_write_number(w, o->spot);
    quant_write_number(w, o->dividend);
    quant_write_number(w, o->rate);
    quant_write_number(w, o->years);
    quant_write_number(w, o->volatility);
    quant_write_number(w, g.price);
    quant_write_number(w, g.delta);
    quant_write_number(w, g.gamma);
    quant_write_number(w, g.vega);
    quant_write_number(w, g.theta);
    quant_write_number(w, g.rho);
    return true;
}

static int price_file(const option_options *o, const quant_table *t)
{
    static const char *const names[6][2] = {{"strike", "strike"}, {"spot", "spot"},
                                            {"dividend", "q"},    {"rate", "r"},
                                            {"years", "t"},       {"volatility", "vol"}};
    const double given[6] = {o->strike, o->spot,  o->dividend,
                             o->rate,   o->years, o->volatility};
    const int type = quant_table_label(t, "type");
    quant_writer w;
    int at[6];

    for (int k = 0; k < 6; k++) {
        at[k] = quant_table_find(t, names[k][0]);
        at[k] = at[k] < 0 ? quant_table_find(t, names[k][1]) : at[k];
        if (at[k] < 0 && isnan(given[k])) {
            (void)quant_table_column("quant option", t, names[k][0]);
            return TRIBUS_EXIT_FAILED;
        }
    }
    if (type < 0 && o->type == NULL) {
        (void)tribus_cli_complain("quant option", "%s: no column type, and no --type",
                                  o->file);
        return TRIBUS_EXIT_FAILED;
    }
    quant_write_begin(&w, option_names, o->json);
    for (uint32_t i = 0; i < t->rows; i++) {
        const double *row = &t->value[(size_t)i * t->cols];
        double x[6];
        tribus_quant_option option;

        for (int k = 0; k < 6; k++)
            x[k] = at[k] < 0 ? given[k] : row[at[k]];
        option = (tribus_quant_option){0, x[0], x[1], x[2], x[3], x[4], x[5]};
        if (!put_option(&w, &option,
                        type < 0 ? (tribus_quant_text){o->type, (uint32_t)strlen(o->type)}
                                 : t->label[(size_t)i * t->label_cols + (size_t)type])) {
            (void)tribus_cli_complain(
                "quant option",
                "%s: row %u: a call or put with strike and spot above "
                "0, years and volatility from 0",
                o->file, i + 1);
            return TRIBUS_EXIT_FAILED;
        }
        if (t->rows > 100000 && ((i + 1) % 10000 == 0 || i + 1 == t->rows))
            quant_progress("options", i + 1, t->rows);
    }
    return TRIBUS_EXIT_DONE;
}

int tribus_cli_quant_option(int argc, char **argv)
{
    option_options o = {.strike = NAN, .spot = NAN, .years = NAN, .volatility = NAN};
    const tribus_cli_option options[] = {
        {"--file", "CSV",
         "options, a row each: type, strike, spot, dividend (q), rate (r), years (t), "
         "volatility (vol); .gz too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--type", "call|put", "of one option, or of a file without that column",
         TRIBUS_CLI_TEXT, &o.type},
        {"--strike", "K", "likewise", TRIBUS_CLI_REAL, &o.strike},
        {"--spot", "S", "price of what is optioned", TRIBUS_CLI_REAL, &o.spot},
        {"--dividend", "Q", "continuous, per year", TRIBUS_CLI_REAL, &o.dividend},
        {"--rate", "R", "continuous, per year", TRIBUS_CLI_REAL, &o.rate},
        {"--years", "T", "until expiry", TRIBUS_CLI_REAL, &o.years},
        {"--volatility", "V", "per year; 0.2 is 20 %", TRIBUS_CLI_REAL, &o.volatility},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant option",
        .synopsis = "--file CSV | --type call|put --strike K --spot S --years T "
                    "--volatility V",
        .text =
            "Price and Greeks of European options by Black-Scholes-Merton. vega and rho "
            "are for a\nchange of 1.00, theta is per year.",
        .examples =
            "  tribus quant option --type call --strike 65 --spot 60 --rate 0.08 --years "
            "0.25 --volatility 0.3\n"
            "  tribus quant option --file options.csv.gz --json"};
    tribus_quant_option one;
    quant_writer w;
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file != NULL) {
        if (!quant_table_read("quant option", o.file, &t))
            return TRIBUS_EXIT_FAILED;
        code = price_file(&o, &t);
        quant_table_free(&t);
        return code;
    }
    one = (tribus_quant_option){0,      o.strike, o.spot,      o.dividend,
                                o.rate, o.years,  o.volatility};
    if (o.type != NULL &&
        call_of((tribus_quant_text){o.type, (uint32_t)strlen(o.type)}) >= 0) {
        tribus_quant_greeks g;

        if (tribus_quant_option_price(&one, &g) == TRIBUS_OK) {
            quant_write_begin(&w, option_names, o.json);
            return put_option(&w, &one,
                              (tribus_quant_text){o.type, (uint32_t)strlen(o.type)})
                       ? TRIBUS_EXIT_DONE
                       : TRIBUS_EXIT_FAILED;
        }
    }
    (void)tribus_cli_complain("quant option",
                              "needs --file CSV, or --type call|put, --strike and --spot "
                              "above 0, --years and --volatility from 0; see --help");
    return TRIBUS_EXIT_USAGE;
}

/* ---- garch ---- */

typedef struct garch_options {
    const char *file, *column;
    bool prices, series, json;
} garch_options;

static void put_garch(const garch_options *o, const tribus_quant_garch *g,
                      const double *variance, uint32_t n)
{
    quant_writer w;

    if (o->series) {
        quant_write_begin(&w, "row,variance,sd", o->json);
        for (uint32_t i = 0; i < n; i++) {
            quant_write_number(&w, i + 1.0);
            quant_write_number(&w, variance[i]);
            quant_write_number(&w, sqrt(variance[i]));
        }
        return;
    }
    quant_write_begin(&w,
                      "mu,omega,alpha,beta,log_likelihood,next_variance,next_sd,"
                      "long_run_sd,iterations",
                      o->json);
    quant_write_number(&w, g->mu);
    quant_write_number(&w, g->omega);
    quant_write_number(&w, g->alpha);
    quant_write_number(&w, g->beta);
    quant_write_number(&w, g->log_likelihood);
    quant_write_number(&w, g->next_variance);
    quant_write_number(&w, sqrt(g->next_variance));
    quant_write_number(&w, sqrt(g->omega / (1.0 - g->alpha - g->beta)));
    quant_write_number(&w, g->iterations);
}

static int run_garch(const garch_options *o, quant_table *t)
{
    const int at = o->column == NULL ? 0 : quant_table_column("quant garch", t, o->column);
    double *r = malloc(2 * (size_t)t->rows * sizeof(*r));
    tribus_status st = TRIBUS_NO_MEMORY;
    tribus_quant_garch g;

    if (at >= 0 && r != NULL &&
        (!o->prices || quant_table_to_returns("quant garch", o->file, t))) {
        for (uint32_t i = 0; i < t->rows; i++)
            r[i] = t->value[(size_t)i * t->cols + (size_t)at];
        st = tribus_quant_garch_fit(r, t->rows, &g);
        if (st == TRIBUS_OK)
            st = tribus_quant_garch_filter(r, t->rows, &g, r + t->rows);
        if (st == TRIBUS_OK)
            put_garch(o, &g, r + t->rows, t->rows);
        else
            (void)tribus_cli_complain("quant garch", "%s: %s", o->file,
                                      st == TRIBUS_BAD_ARG ? "needs 20 returns or more"
                                      : st == TRIBUS_TIMEOUT
                                          ? "no convergence in 500 iterations"
                                          : "a return is missing, or all are equal");
    }
    free(r);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE
           : at < 0        ? TRIBUS_EXIT_USAGE
                           : TRIBUS_EXIT_FAILED;
}

int tribus_cli_quant_garch(int argc, char **argv)
{
    garch_options o = {0};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "returns, oldest first; .gz too; - is stdin", TRIBUS_CLI_TEXT,
         &o.file},
        {"--column", "NAME", "default: the first one", TRIBUS_CLI_TEXT, &o.column},
        {"--prices", NULL, "the columns are prices: take simple returns", TRIBUS_CLI_FLAG,
         &o.prices},
        {"--series", NULL, "the variance of each row instead of the parameters",
         TRIBUS_CLI_FLAG, &o.series},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant garch",
        .synopsis = "--file CSV [--column NAME] [--series]",
        .text =
            "GARCH(1,1) by maximum likelihood: r = mu + e, variance = omega + alpha e^2 + "
            "beta variance,\nwith the variance of the next row.",
        .examples =
            "  tribus quant garch --file dem2gbp.csv.gz\n"
            "  tribus quant garch --file prices.csv --prices --column SPY --series"};
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL) {
        (void)tribus_cli_complain("quant garch", "--file CSV is missing; see --help");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant garch", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_garch(&o, &t);
    quant_table_free(&t);
    return code;
}

/* ---- covariance ---- */

typedef struct covariance_options {
    const char *file, *method;
    double lambda;
    bool prices, correlation, json;
} covariance_options;

/* RiskMetrics begins with the first row's own product. */
static tribus_status ewma(const covariance_options *o, tribus_quant_matrix r, double *cov)
{
    const size_t n = r.cols;
    tribus_status st = TRIBUS_OK;

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(r.at[i]))
            return TRIBUS_BAD_DATA;
        for (size_t k = 0; k < n; k++)
            cov[i * n + k] = r.at[i] * r.at[k];
    }
    for (uint32_t t = 1; st == TRIBUS_OK && t < r.rows; t++)
        st = tribus_quant_cov_ewma_add(&r.at[t * n], r.cols, o->lambda, cov);
    return st;
}

static tribus_status estimate(const covariance_options *o, tribus_quant_matrix r,
                              double *cov, tribus_quant_why *why)
{
    const size_t doubles =
        tribus_quant_cov_shrunk_scratch(r.rows, r.cols) + (size_t)r.rows * r.cols;
    double *scratch = malloc(doubles * sizeof(*scratch)), shrinkage;
    const bool constant = strcmp(o->method, "constant-correlation") == 0;
    tribus_status st = TRIBUS_NO_MEMORY;

    if (scratch == NULL) {
        st = TRIBUS_NO_MEMORY;
    } else if (strcmp(o->method, "sample") == 0) {
        st = tribus_quant_cov_sample(r, 1, NULL, cov, scratch, why);
    } else if (strcmp(o->method, "pairwise") == 0) {
        st = tribus_quant_cov_pairwise(r, 1, cov, why);
    } else if (strcmp(o->method, "ewma") == 0) {
        (void)snprintf(why->text, sizeof(why->text), "a return is missing");
        st = ewma(o, r, cov);
    } else {
        st = tribus_quant_cov_shrunk(r,
                                     constant ? TRIBUS_QUANT_TARGET_CONSTANT_CORRELATION
                                              : TRIBUS_QUANT_TARGET_IDENTITY,
                                     cov, scratch, &shrinkage, why);
        if (st == TRIBUS_OK)
            fprintf(stderr, "tribus quant covariance: shrinkage %.9g\n", shrinkage);
    }
    free(scratch);
    return st;
}

static int run_covariance(const covariance_options *o, quant_table *t)
{
    double *cov = malloc((size_t)t->cols * t->cols * sizeof(*cov));
    char *names = quant_write_names("asset", t->names, t->cols);
    tribus_quant_why why = {"not enough memory"};
    tribus_status st = TRIBUS_NO_MEMORY;
    quant_writer w;

    if (cov == NULL || names == NULL ||
        (o->prices && !quant_table_to_returns("quant covariance", o->file, t))) {
        free(cov);
        free(names);
        return TRIBUS_EXIT_FAILED;
    }
    st = estimate(o, (tribus_quant_matrix){t->value, t->rows, t->cols}, cov, &why);
    if (st == TRIBUS_OK)
        quant_write_begin(&w, names, o->json);
    for (size_t i = 0; st == TRIBUS_OK && i < t->cols; i++) {
        quant_write_text(&w, t->names[i]);
        for (size_t k = 0; k < t->cols; k++) {
            const double both = cov[i * t->cols + i] * cov[k * t->cols + k];

            quant_write_number(&w, o->correlation ? cov[i * t->cols + k] / sqrt(both)
                                                  : cov[i * t->cols + k]);
        }
    }
    if (st != TRIBUS_OK)
        (void)tribus_cli_complain("quant covariance", "%s: %s", o->file, why.text);
    free(cov);
    free(names);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

int tribus_cli_quant_covariance(int argc, char **argv)
{
    static const char *const methods[] = {"sample", "pairwise", "ewma", "ledoit-wolf",
                                          "constant-correlation"};
    covariance_options o = {.method = "ledoit-wolf", .lambda = 0.94};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "returns, a column for each asset; .gz too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--prices", NULL, "the columns are prices: take simple returns", TRIBUS_CLI_FLAG,
         &o.prices},
        {"--method", "NAME",
         "sample, pairwise (skips missing values), ewma, ledoit-wolf (towards the "
         "identity), constant-correlation (Ledoit-Wolf towards that)",
         TRIBUS_CLI_TEXT, &o.method},
        {"--lambda", "L", "of ewma, in (0, 1)", TRIBUS_CLI_REAL, &o.lambda},
        {"--correlation", NULL, "the correlations of that matrix", TRIBUS_CLI_FLAG,
         &o.correlation},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant covariance",
        .synopsis = "--file CSV [--method NAME] [--lambda L] [--correlation]",
        .text =
            "Covariance of returns, a row and a column for each asset. Without --method "
            "that of Ledoit and\nWolf (2004), which says on stderr how much it shrank; "
            "ewma begins with the first row's product.",
        .examples =
            "  tribus quant covariance --file prices.csv --prices\n"
            "  tribus quant covariance --file returns.csv.gz --method ewma --lambda 0.97"};
    bool known = false;
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        known = known || strcmp(o.method, methods[i]) == 0;
    if (o.file == NULL || !known || !(o.lambda > 0.0 && o.lambda < 1.0)) {
        (void)tribus_cli_complain("quant covariance",
                                  o.file == NULL ? "--file CSV is missing; see --help"
                                  : !known       ? "no such --method; see --help"
                                                 : "--lambda in (0, 1)");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant covariance", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_covariance(&o, &t);
    quant_table_free(&t);
    return code;
}
