/* quant_optimise.c -- `tribus quant optimise`: weights of a portfolio. */
#include "cli/commands.h"
#include "cli/quant_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char command[] = "quant optimise";

typedef struct optimise_options {
    const char *file, *objective, *groups, *bounds, *start, *views, *market;
    double rate, lower, upper, aversion, confidence, per_year, turnover, tau, mean_floor;
    bool json;
} optimise_options;

typedef struct optimise_work {
    double *cov, *mean, *weights, *scratch;
    double *lower, *upper, *start, *market; /* assets */
    double *group, *group_lower, *group_upper;
    quant_table groups;
    void *qp;
    tribus_quant_portfolio_result result;
    tribus_quant_tail_result tail;
    tribus_quant_why why;
} optimise_work;

static tribus_quant_tail_cfg tail_of(const optimise_options *o, const optimise_work *w)
{
    return (tribus_quant_tail_cfg){.kind = strcmp(o->objective, "mad") == 0
                                               ? TRIBUS_QUANT_TAIL_MAD
                                               : TRIBUS_QUANT_TAIL_CVAR,
                                   .confidence = o->confidence,
                                   .lower_at = w->lower,
                                   .upper_at = w->upper,
                                   .mean = isnan(o->mean_floor) ? NULL : w->mean,
                                   .mean_floor = o->mean_floor,
                                   .groups = w->groups.rows,
                                   .group = w->group,
                                   .group_lower = w->group_lower,
                                   .group_upper = w->group_upper,
                                   .start = o->start == NULL ? NULL : w->start,
                                   .turnover = o->turnover};
}

static tribus_status optimise(const optimise_options *o, tribus_quant_matrix r,
                              optimise_work *w)
{
    const tribus_quant_portfolio p = {.assets = r.cols,
                                      .cov = w->cov,
                                      .mean = w->mean,
                                      .lower_at = w->lower,
                                      .upper_at = w->upper,
                                      .groups = w->groups.rows,
                                      .group = w->group,
                                      .group_lower = w->group_lower,
                                      .group_upper = w->group_upper,
                                      .start = o->start == NULL ? NULL : w->start,
                                      .turnover = o->turnover};
    const tribus_quant_matrix cov = {w->cov, r.cols, r.cols};
    const tribus_quant_tail_cfg tail = tail_of(o, w);

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

/* What the market's weights say the returns are, corrected by views: replaces mean and cov. */
static tribus_status apply_views(const optimise_options *o, const quant_table *t,
                                 optimise_work *w)
{
    static const char *const other[] = {"return", "variance", NULL};
    const size_t n = t->cols;
    quant_table v;
    double *p = NULL, *prior = calloc(n, sizeof(*prior)), *cov = NULL, *scratch = NULL;
    tribus_quant_views views = {.prior = prior, .tau = o->tau};
    tribus_status st = TRIBUS_BAD_DATA;
    int at, noise;

    w->why.text[0] = '\0'; /* what reads the file complains itself */
    if (!quant_table_read(command, o->views, &v)) {
        free(prior);
        return st;
    }
    at = quant_table_column(command, &v, "return");
    noise = quant_table_find(&v, "variance");
    p = calloc(v.rows * (n + 2), sizeof(*p));
    cov = malloc(n * n * sizeof(*cov));
    scratch = malloc((size_t)v.rows * (n + v.rows + 1) * sizeof(*scratch));
    if (at >= 0 && p != NULL && cov != NULL && scratch != NULL && prior != NULL &&
        quant_table_by_asset(command, o->views, &v, t, other, p)) {
        double *q = p + v.rows * n, *omega = q + v.rows;

        for (uint32_t k = 0; k < v.rows; k++) {
            q[k] = v.value[(size_t)k * v.cols + (size_t)at];
            omega[k] = noise < 0 ? 0.0 : v.value[(size_t)k * v.cols + (size_t)noise];
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                prior[i] += o->aversion * w->cov[i * n + j] * w->market[j];
        views.count = v.rows;
        views.p = p;
        views.q = q;
        views.omega = noise < 0 ? NULL : omega;
        st = tribus_quant_black_litterman(
            &views, (tribus_quant_matrix){w->cov, t->cols, t->cols}, w->mean, cov, scratch);
        if (st == TRIBUS_OK)
            memcpy(w->cov, cov, n * n * sizeof(*cov));
        else
            (void)snprintf(w->why.text, sizeof(w->why.text),
                           "the views of %.100s contradict each other, or miss a value",
                           o->views);
    }
    quant_table_free(&v);
    free(p);
    free(prior);
    free(cov);
    free(scratch);
    return st;
}

/* Limits and weights that are given in files of their own. */
static bool read_limits(const optimise_options *o, const quant_table *t, optimise_work *w)
{
    static const char *const other[] = {"lower", "upper", NULL};
    const size_t n = t->cols;
    int low, high;

    for (size_t i = 0; i < n; i++)
        w->market[i] = 1.0 / (double)n;
    if ((o->market != NULL &&
         !quant_table_per_asset(command, o->market, "weight", t, 0.0, w->market)) ||
        (o->start != NULL &&
         !quant_table_per_asset(command, o->start, "weight", t, 0.0, w->start)))
        return false;
    for (size_t i = 0; i < n; i++) {
        w->lower[i] = o->lower;
        w->upper[i] = o->upper;
    }
    if (o->bounds != NULL &&
        (!quant_table_per_asset(command, o->bounds, "lower", t, o->lower, w->lower) ||
         !quant_table_per_asset(command, o->bounds, "upper", t, o->upper, w->upper)))
        return false;
    if (o->groups == NULL)
        return true;
    if (!quant_table_read(command, o->groups, &w->groups))
        return false;
    low = quant_table_column(command, &w->groups, "lower");
    high = low < 0 ? -1 : quant_table_column(command, &w->groups, "upper");
    w->group = calloc(w->groups.rows * (n + 2), sizeof(double));
    if (high < 0 || w->group == NULL ||
        !quant_table_by_asset(command, o->groups, &w->groups, t, other, w->group))
        return false;
    w->group_lower = w->group + w->groups.rows * n;
    w->group_upper = w->group_lower + w->groups.rows;
    for (uint32_t g = 0; g < w->groups.rows; g++) {
        const double *row = &w->groups.value[(size_t)g * w->groups.cols];

        w->group_lower[g] = isnan(row[low]) ? -INFINITY : row[low];
        w->group_upper[g] = isnan(row[high]) ? INFINITY : row[high];
    }
    return true;
}

/* The library numbers the groups; their file names them. */
static void complain(const optimise_options *o, const optimise_work *w)
{
    const char *at = strstr(w->why.text, "group ");
    unsigned number;

    if (w->why.text[0] == '\0')
        return;
    if (at != NULL && sscanf(at, "group %u", &number) == 1 && number < w->groups.rows &&
        w->groups.label_cols > 0) {
        const tribus_quant_text *name = &w->groups.label[number * w->groups.label_cols];

        (void)tribus_cli_complain(command, "%s: %s (group %u is %.*s)", o->file,
                                  w->why.text, number, (int)name->bytes, name->at);
        return;
    }
    (void)tribus_cli_complain(command, "%s: %s", o->file, w->why.text);
}

static bool allocate(const optimise_options *o, const quant_table *t, optimise_work *w)
{
    const size_t n = t->cols;
    tribus_quant_tail_cfg tail;
    size_t bytes;

    w->cov = malloc(n * n * sizeof(double));
    w->mean = calloc(6 * n, sizeof(double));
    if (w->cov == NULL || w->mean == NULL)
        return false;
    w->weights = w->mean + n;
    w->lower = w->weights + n;
    w->upper = w->lower + n;
    w->start = w->upper + n;
    w->market = w->start + n;
    w->why.text[0] = '\0';
    if (!read_limits(o, t, w))
        return false;
    tail = tail_of(o, w);
    bytes = strcmp(o->objective, "cvar") == 0 || strcmp(o->objective, "mad") == 0
                ? tribus_quant_tail_bytes(&tail, t->rows, t->cols)
                : 0;
    w->scratch = malloc(bytes + tribus_quant_hrp_bytes(t->cols));
    w->qp = calloc(1, tribus_quant_portfolio_bytes(t->cols, w->groups.rows));
    (void)snprintf(w->why.text, sizeof(w->why.text), "not enough memory");
    return w->scratch != NULL && w->qp != NULL;
}

static int run_optimise(const optimise_options *o, quant_table *t)
{
    tribus_quant_matrix r = {t->value, t->rows, t->cols};
    optimise_work w = {.why = {"not enough memory"}};
    tribus_status st = TRIBUS_NO_MEMORY;

    w.result.qp.kkt = NAN;
    if (allocate(o, t, &w)) {
        st = tribus_quant_returns_simple(r, t->value, &w.why);
        r.rows--;
        if (st == TRIBUS_OK)
            st = estimate(o, r, &w);
        if (st == TRIBUS_OK && o->views != NULL)
            st = apply_views(o, t, &w);
        if (st == TRIBUS_OK) {
            (void)snprintf(w.why.text, sizeof(w.why.text), "a variance is not positive");
            st = optimise(o, r, &w);
        }
    }
    if (st == TRIBUS_OK)
        print_weights(o, t, &w);
    else
        complain(o, &w);
    quant_table_free(&w.groups);
    free(w.cov);
    free(w.mean);
    free(w.group);
    free(w.scratch);
    free(w.qp);
    return st == TRIBUS_OK ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

/* NULL when the options make sense, else what does not. */
static const char *wrong_with(const optimise_options *o)
{
    static const char *const known[] = {
        "min-variance", "max-sharpe", "mean-variance", "risk-parity", "hrp", "cvar", "mad"};
    size_t at = 0;

    while (at < sizeof(known) / sizeof(known[0]) && strcmp(known[at], o->objective) != 0)
        at++;
    if (o->file == NULL)
        return "--file CSV is missing; see --help";
    if (at == sizeof(known) / sizeof(known[0]))
        return "no such --objective; see --help";
    if (!(o->lower <= o->upper) || !(o->per_year > 0.0))
        return "--lower above --upper, or --per-year not above 0";
    if ((o->start != NULL) != (o->turnover >= 0.0))
        return "--start and --turnover go together, and a turnover is not below 0";
    if ((at == 3 || at == 4) &&
        (o->groups != NULL || o->bounds != NULL || o->start != NULL))
        return "risk-parity and hrp take no --groups, --bounds or --start";
    if (!isnan(o->mean_floor) && at < 5)
        return "--mean-floor is of cvar and mad";
    return NULL;
}

int tribus_cli_quant_optimise(int argc, char **argv)
{
    optimise_options o = {.objective = "min-variance",
                          .upper = 1.0,
                          .aversion = 1.0,
                          .confidence = 0.95,
                          .per_year = 252.0,
                          .turnover = -1.0,
                          .mean_floor = NAN};
    const tribus_cli_option options[] = {
        {"--file", "CSV", "prices, a column per asset; .gz too; - is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--objective", "NAME",
         "min-variance, max-sharpe, mean-variance, risk-parity, hrp, cvar or mad",
         TRIBUS_CLI_TEXT, &o.objective},
        {"--rate", "R", "risk-free, per year", TRIBUS_CLI_REAL, &o.rate},
        {"--aversion", "A", "of mean-variance: mean - A / 2 variance; and of --views",
         TRIBUS_CLI_REAL, &o.aversion},
        {"--confidence", "C", "of cvar", TRIBUS_CLI_REAL, &o.confidence},
        {"--mean-floor", "R", "least return per year, of cvar and mad", TRIBUS_CLI_REAL,
         &o.mean_floor},
        {"--lower", "W", "least weight", TRIBUS_CLI_REAL, &o.lower},
        {"--upper", "W", "largest weight", TRIBUS_CLI_REAL, &o.upper},
        {"--bounds", "CSV", "asset,lower,upper: for some assets their own", TRIBUS_CLI_TEXT,
         &o.bounds},
        {"--groups", "CSV", "group,lower,upper and a column per asset: 1 is a member",
         TRIBUS_CLI_TEXT, &o.groups},
        {"--start", "CSV", "asset,weight: what is held now, as this command prints it",
         TRIBUS_CLI_TEXT, &o.start},
        {"--turnover", "T", "most that may be bought plus sold", TRIBUS_CLI_REAL,
         &o.turnover},
        {"--views", "CSV",
         "return, perhaps variance, and a column per asset: Black and Litterman",
         TRIBUS_CLI_TEXT, &o.views},
        {"--market", "CSV", "asset,weight: what the views start from; default: equal",
         TRIBUS_CLI_TEXT, &o.market},
        {"--tau", "T", "of the views' prior; default 0.05", TRIBUS_CLI_REAL, &o.tau},
        {"--per-year", "N", "rows in a year", TRIBUS_CLI_REAL, &o.per_year},
        {"--json", NULL, "one object", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = command,
        .synopsis =
            "--file CSV [--objective NAME] [--groups CSV] [--start CSV --turnover T]",
        .text = "Weights that add up to 1. Missing prices are left out pair by pair. What "
                "cannot\nbe kept is named. An empty limit of a group is none.",
        .examples =
            "  tribus quant optimise --file prices.csv --objective max-sharpe --rate 0.02\n"
            "  tribus quant optimise --file prices.csv > now.csv\n"
            "  tribus quant optimise --file new.csv --start now.csv --turnover 0.1"};
    const char *wrong;
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    wrong = wrong_with(&o);
    if (wrong != NULL) {
        (void)tribus_cli_complain(command, "%s", wrong);
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read(command, o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_optimise(&o, &t);
    quant_table_free(&t);
    return code;
}
