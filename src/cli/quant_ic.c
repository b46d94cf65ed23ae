/* quant_ic.c -- `tribus quant ic`: what factors are worth, and how alike they are. */
#include "cli/commands.h"
#include "cli/quant_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ic_options {
    const char *file, *factor, *reward, *price, *date, *ticker;
    int64_t ahead;
    bool daily, correlation, json;
} ic_options;

/* A row of the table by what it is sorted on. */
typedef struct ic_row {
    tribus_quant_text key;
    uint32_t row;
} ic_row;

static int by_key(const void *a, const void *b)
{
    const ic_row *x = a, *y = b;
    const size_t n = x->key.bytes < y->key.bytes ? x->key.bytes : y->key.bytes;
    const int order = memcmp(x->key.at, y->key.at, n);

    if (order != 0)
        return order;
    if (x->key.bytes != y->key.bytes)
        return x->key.bytes < y->key.bytes ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static bool same_key(const ic_row *a, const ic_row *b)
{
    return a->key.bytes == b->key.bytes && memcmp(a->key.at, b->key.at, a->key.bytes) == 0;
}

/* Rows in the order of a label, and of the file where it is equal; NULL without memory. */
static ic_row *sorted_by(const quant_table *t, int label)
{
    ic_row *rows = malloc((size_t)t->rows * sizeof(*rows));

    for (uint32_t i = 0; rows != NULL && i < t->rows; i++)
        rows[i] = (ic_row){t->label[(size_t)i * t->label_cols + (size_t)label], i};
    if (rows != NULL)
        qsort(rows, t->rows, sizeof(*rows), by_key);
    return rows;
}

/* What each row earns: a column, or the change of a price `ahead` rows of its ticker later. */
static double *rewards_of(const ic_options *o, const quant_table *t, int column, int ticker)
{
    double *out = malloc((size_t)t->rows * sizeof(*out));
    ic_row *rows = o->price == NULL ? NULL : sorted_by(t, ticker);

    for (uint32_t i = 0; out != NULL && i < t->rows; i++)
        out[i] = o->price == NULL ? t->value[(size_t)i * t->cols + (size_t)column] : NAN;
    for (uint32_t i = 0; out != NULL && rows != NULL && i + o->ahead < t->rows; i++) {
        const ic_row *now = &rows[i], *later = &rows[i + o->ahead];

        if (same_key(now, later))
            out[now->row] = t->value[(size_t)later->row * t->cols + (size_t)column] /
                                t->value[(size_t)now->row * t->cols + (size_t)column] -
                            1.0;
    }
    if (o->price != NULL && rows == NULL) {
        free(out);
        out = NULL;
    }
    free(rows);
    return out;
}

typedef struct ic_sum {
    double sum, squares;
    uint32_t count;
} ic_sum;

static void add_to(ic_sum *s, double x)
{
    if (isnan(x))
        return;
    s->sum += x;
    s->squares += x * x;
    s->count++;
}

static double mean_of(const ic_sum *s)
{
    return s->count == 0 ? NAN : s->sum / s->count;
}

static double sd_of(const ic_sum *s)
{
    const double mean = mean_of(s);

    return s->count < 2
               ? NAN
               : sqrt(fmax(0.0, s->squares - s->count * mean * mean) / (s->count - 1.0));
}

/* One factor over all dates. work: 6 doubles a row. */
static void measure(const ic_options *o, const quant_table *t, const ic_row *dates,
                    const double *reward, int factor, double *work, quant_writer *w)
{
    double *x = work, *y = work + t->rows;
    ic_sum plain = {0}, ranked = {0};

    for (uint32_t from = 0, to; from < t->rows; from = to) {
        double ic, rank;

        for (to = from; to < t->rows && same_key(&dates[from], &dates[to]); to++) {
            x[to - from] = t->value[(size_t)dates[to].row * t->cols + (size_t)factor];
            y[to - from] = reward[dates[to].row];
        }
        ic = tribus_quant_ic(x, y, to - from);
        rank = tribus_quant_rank_ic(x, y, to - from, y + t->rows);
        add_to(&plain, ic);
        add_to(&ranked, rank);
        if (o->daily) {
            quant_write_text(w, t->names[factor]);
            quant_write_text(w, dates[from].key);
            quant_write_number(w, ic);
            quant_write_number(w, rank);
        }
    }
    if (o->daily)
        return;
    quant_write_text(w, t->names[factor]);
    quant_write_number(w, plain.count);
    quant_write_number(w, mean_of(&plain));
    quant_write_number(w, sd_of(&plain));
    quant_write_number(w, mean_of(&plain) / sd_of(&plain));
    quant_write_number(w, mean_of(&ranked));
    quant_write_number(w, sd_of(&ranked));
    quant_write_number(w, mean_of(&ranked) / sd_of(&ranked));
}

static int put_correlation(const ic_options *o, const quant_table *t)
{
    double *c = malloc((size_t)t->cols * t->cols * sizeof(*c));
    char *names = quant_write_names("factor", t->names, t->cols);
    bool good = c != NULL && names != NULL &&
                tribus_quant_correlation((tribus_quant_matrix){t->value, t->rows, t->cols},
                                         c) == TRIBUS_OK;
    quant_writer w;

    if (good)
        quant_write_begin(&w, names, o->json);
    else
        (void)tribus_cli_complain("quant ic", "%s: not enough memory", o->file);
    for (uint32_t i = 0; good && i < t->cols; i++) {
        quant_write_text(&w, t->names[i]);
        for (uint32_t k = 0; k < t->cols; k++)
            quant_write_number(&w, c[(size_t)i * t->cols + k]);
    }
    free(c);
    free(names);
    return good ? TRIBUS_EXIT_DONE : TRIBUS_EXIT_FAILED;
}

static int measure_all(const ic_options *o, const quant_table *t, const ic_row *dates,
                       const double *reward, int column)
{
    const int only = o->factor == NULL ? -1 : quant_table_column("quant ic", t, o->factor);
    double *work = malloc(6 * (size_t)t->rows * sizeof(*work));
    quant_writer w;

    if ((o->factor != NULL && only < 0) || work == NULL) {
        free(work);
        return TRIBUS_EXIT_FAILED;
    }
    quant_write_begin(&w,
                      o->daily
                          ? "factor,date,ic,rank_ic"
                          : "factor,dates,ic,ic_sd,ic_ir,rank_ic,rank_ic_sd,rank_ic_ir",
                      o->json);
    for (uint32_t k = 0; k < t->cols; k++) {
        if ((int)k == column || (only >= 0 && (int)k != only))
            continue;
        measure(o, t, dates, reward, (int)k, work, &w);
        quant_progress("factors", k + 1, t->cols);
    }
    free(work);
    return TRIBUS_EXIT_DONE;
}

static int run_ic(const ic_options *o, const quant_table *t)
{
    const int date = quant_table_label(t, o->date),
              ticker = quant_table_label(t, o->ticker);
    const char *name = o->price != NULL ? o->price : o->reward;
    const int column = o->correlation ? -1 : quant_table_column("quant ic", t, name);
    ic_row *dates;
    double *reward;
    int code = TRIBUS_EXIT_FAILED;

    if (o->correlation)
        return put_correlation(o, t);
    if (column < 0)
        return TRIBUS_EXIT_FAILED;
    if (date < 0 || (o->price != NULL && ticker < 0)) {
        (void)tribus_cli_complain("quant ic", "%s: no column of text named %s", o->file,
                                  date < 0 ? o->date : o->ticker);
        return TRIBUS_EXIT_FAILED;
    }
    dates = sorted_by(t, date);
    reward = rewards_of(o, t, column, ticker);
    if (dates != NULL && reward != NULL)
        code = measure_all(o, t, dates, reward, column);
    else
        (void)tribus_cli_complain("quant ic", "%s: not enough memory", o->file);
    free(dates);
    free(reward);
    return code;
}

int tribus_cli_quant_ic(int argc, char **argv)
{
    ic_options o = {.date = "date", .ticker = "ticker", .ahead = 1};
    const tribus_cli_option options[] = {
        {"--file", "CSV",
         "a row for each date and ticker, oldest first, a column for each factor; .gz too; "
         "- "
         "is stdin",
         TRIBUS_CLI_TEXT, &o.file},
        {"--return", "NAME", "column of what the row earned afterwards", TRIBUS_CLI_TEXT,
         &o.reward},
        {"--price", "NAME", "or of prices: it earns their change to --ahead rows later",
         TRIBUS_CLI_TEXT, &o.price},
        {"--ahead", "N", "rows of the same ticker", TRIBUS_CLI_INT, &o.ahead},
        {"--factor", "NAME", "one factor; default: every other column of numbers",
         TRIBUS_CLI_TEXT, &o.factor},
        {"--date", "NAME", "column of text", TRIBUS_CLI_TEXT, &o.date},
        {"--ticker", "NAME", "column of text, for --price", TRIBUS_CLI_TEXT, &o.ticker},
        {"--daily", NULL, "a row for each factor and date", TRIBUS_CLI_FLAG, &o.daily},
        {"--correlation", NULL, "how alike the columns of numbers are, instead",
         TRIBUS_CLI_FLAG, &o.correlation},
        {"--json", NULL, "one object a line", TRIBUS_CLI_FLAG, &o.json},
    };
    const tribus_cli_usage usage = {
        .command = "quant ic",
        .synopsis = "--file CSV --return NAME | --price NAME [--ahead N] | --correlation",
        .text =
            "Information coefficients of factors: the correlation over the tickers of a "
            "date of a factor\nwith what they earned afterwards, plain and of ranks; mean, "
            "deviation and their ratio over dates.",
        .examples =
            "  tribus quant factors --file bars.csv --factors my.factors | tribus quant "
            "ic --file - --price close --ahead 5\n"
            "  tribus quant ic --file factors.csv.gz --correlation"};
    quant_table t;
    int code;

    if (!tribus_cli_parse(&usage, options, sizeof(options) / sizeof(options[0]), argc, argv,
                          &code))
        return code;
    if (o.file == NULL || o.ahead < 1 || o.ahead > 100000 ||
        (o.reward != NULL) + (o.price != NULL) + o.correlation != 1) {
        (void)tribus_cli_complain("quant ic", o.file == NULL
                                                  ? "--file CSV is missing; see --help"
                                                  : "one of --return, --price and "
                                                    "--correlation; --ahead from 1");
        return TRIBUS_EXIT_USAGE;
    }
    if (!quant_table_read("quant ic", o.file, &t))
        return TRIBUS_EXIT_FAILED;
    code = run_ic(&o, &t);
    quant_table_free(&t);
    return code;
}
