/* test_quant_factors.c -- the factor language and the 516 factors.
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"

#ifndef TRIBUS_SOURCE_DIR
#define TRIBUS_SOURCE_DIR "."
#endif

enum { FACTORS = 600, NODES = 3000, FIELDS = TRIBUS_QUANT_FIELDS };

static void compile(tribus_quant_factors *f, void **memory)
{
    *memory = malloc(tribus_quant_factors_bytes(FACTORS, NODES));
    CHECK(*memory != NULL);
    tribus_quant_factors_init(f, FACTORS, NODES, *memory);
}

static tribus_status add(tribus_quant_factors *f, const char *name, const char *text,
                         tribus_quant_factor_error *e)
{
    return tribus_quant_factors_add(f, name, strlen(name), text, strlen(text), e);
}

static void errors_name_the_column_and_what_was_expected(void)
{
    static const struct {
        const char *text;
        uint32_t column;
        const char *error;
    } cases[] = {
        {"", 1, "expected a number, a $field, a function or '(', found the end"},
        {"$close +", 9, "expected a number, a $field, a function or '(', found the end"},
        {"$price", 1, "expected $open, $high, $low, $close, $volume or $vwap"},
        {"Foo($close)", 1, "unknown function 'Foo'"},
        {"Mean($close)", 12, "expected ',' and a number of rows, found ')'"},
        {"Mean($close, $open)", 14, "Mean needs a number of rows here, found '$'"},
        {"Mean($close, 0)", 14, "Mean of 0 rows: use a whole number from 1 to 1024"},
        {"Mean($close, 2.5)", 14, "Mean of 2.5 rows: use a whole number from 1 to 1024"},
        {"Std($close, 2000)", 13, "Std of 2000 rows: use a whole number from 1 to 1024"},
        {"Quantile($close, 5, 1.5)", 20, "a quantile is a number from 0 to 1"},
        {"($close", 8, "expected ')' to close the bracket, found the end"},
        {"$close $open", 8, "expected an operator or the end, found '$'"},
        {"$close > $open", 1, "a factor is a number, this is a condition"},
        {"($close > $open) + 1", 18, "'+' needs numbers on both sides, one is a condition"},
        {"Std($close > $open, 5)", 5,
         "Std needs a number, this is a condition: only Mean and Sum take one"},
        {"Corr($close, 5)", 15, "expected ',' and a number of rows, found ')'"},
        {"$close ; 1", 8, "expected an operator or the end, found ';'"},
    };
    tribus_quant_factors f;
    tribus_quant_factor_error e;
    void *memory;

    compile(&f, &memory);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK(add(&f, "x", cases[i].text, &e) == TRIBUS_BAD_DATA);
        if (e.column != cases[i].column || strcmp(e.text, cases[i].error) != 0)
            printf("%s: column %u: %s\n", cases[i].text, e.column, e.text);
        CHECK(e.column == cases[i].column);
        CHECK_TEXT(e.text, cases[i].error);
    }
    CHECK(f.count == 0);
    CHECK(add(&f, "a", "$close", &e) == TRIBUS_OK);
    CHECK(add(&f, "a", "$open", &e) == TRIBUS_EXISTS);
    CHECK(add(&f, "a b", "$open", &e) == TRIBUS_BAD_DATA);
    free(memory);
}

static void files_report_the_line_and_nesting_is_bounded(void)
{
    static const char text[] =
        "# comment\n\n A = $close / $open # ratio\r\nB = Mean(A, 3)\n";
    char deep[400];
    tribus_quant_factors f;
    tribus_quant_factor_error e;
    void *memory;

    compile(&f, &memory);
    CHECK(tribus_quant_factors_parse(&f, text, strlen(text), &e) == TRIBUS_BAD_DATA);
    CHECK(e.line == 4 && e.column == 10 && f.count == 1);
    CHECK(tribus_quant_factors_parse(&f, "C $close", 8, &e) == TRIBUS_BAD_DATA);
    CHECK_TEXT(e.text, "expected NAME = expression");
    memset(deep, '(', sizeof(deep));
    CHECK(tribus_quant_factors_add(&f, "d", 1, deep, sizeof(deep), &e) == TRIBUS_BAD_DATA);
    CHECK_TEXT(e.text, "more than 64 levels of brackets");
    free(memory);
}

static void full_programs_say_so(void)
{
    tribus_quant_factors f;
    tribus_quant_factor_error e;
    void *memory = malloc(tribus_quant_factors_bytes(1, 3));

    CHECK(memory != NULL);
    tribus_quant_factors_init(&f, 1, 3, memory);
    CHECK(add(&f, "a", "$close+$open*$low", &e) == TRIBUS_FULL);
    CHECK_TEXT(e.text, "more than 3 operations");
    CHECK(add(&f, "a", "$close+$open", &e) == TRIBUS_OK);
    CHECK(add(&f, "b", "$close", &e) == TRIBUS_FULL);
    free(memory);
}

static double one(const char *text, const double *close, uint32_t rows, uint32_t at)
{
    const double *const field[FIELDS] = {close, close, close, close, close, NULL};
    double *out = malloc(rows * sizeof(*out)), value;
    void *memory, *scratch;
    tribus_quant_factors f;
    tribus_quant_factor_error e = {0};

    compile(&f, &memory);
    if (add(&f, "x", text, &e) != TRIBUS_OK)
        printf("%s: column %u: %s\n", text, e.column, e.text);
    CHECK(f.count == 1);
    scratch = malloc(tribus_quant_factors_batch_bytes(&f, rows));
    CHECK(out != NULL && scratch != NULL);
    CHECK(tribus_quant_factors_batch(&f, field, rows, scratch, out) == TRIBUS_OK);
    value = out[at];
    free(out);
    free(scratch);
    free(memory);
    return value;
}

static void functions_have_the_values_of_a_hand_calculation(void)
{
    const double c[6] = {3, 1, 4, 1, 5, 9}, nan[4] = {2, NAN, 6, 4}, flat[4] = {7, 7, 7, 7};

    CHECK(one("-$close + 2*3 - 4/2", c, 6, 5) == -5);
    CHECK(one("(1+2)*-$close", c, 6, 0) == -9);
    CHECK(one("1e-3*1.5E+2", c, 6, 0) == 1e-3 * 1.5e2);
    CHECK(one("Mean($close, 3)", c, 6, 5) == 5);
    CHECK(one("Mean($close, 3)", c, 6, 1) == 2); /* two rows so far */
    CHECK(one("Sum($close, 10)", c, 6, 5) == 23);
    CHECK_NEAR(one("Std($close, 4)", c, 6, 5), sqrt(32.75 / 3), 1e-14);
    CHECK(isnan(one("Std($close, 4)", c, 6, 0)));
    CHECK(one("Max($close, 4)", c, 6, 4) == 5 && one("Min($close, 4)", c, 6, 4) == 1);
    CHECK(one("IdxMax($close, 3)", c, 6, 2) == 3 && one("IdxMin($close, 4)", c, 6, 4) == 1);
    CHECK(one("Ref($close, 2)", c, 6, 5) == 1 && isnan(one("Ref($close, 2)", c, 6, 1)));
    CHECK(one("Rank($close, 4)", c, 6, 3) == 1.5 / 4);
    CHECK_NEAR(one("Quantile($close, 4, 0.8)", c, 6, 5), 5 + 4 * 0.4, 1e-14);
    CHECK_NEAR(one("Slope($close, 3)", c, 6, 5), 4, 1e-14);
    CHECK_NEAR(one("Rsquare($close, 3)", c, 6, 5), 1, 1e-14);
    CHECK_NEAR(one("Resi($close, 3)", c, 6, 4), 5 - (10.0 / 3 + 0.5), 1e-14);
    CHECK_NEAR(one("Corr($close, 2*$close, 3)", c, 6, 5), 1, 1e-15);
    CHECK(one("Greater($close, 4)", c, 6, 0) == 4 && one("Less($close, 4)", c, 6, 5) == 4);
    CHECK(one("Mean($close > Ref($close, 1), 5)", c, 6, 5) == 0.6);
    CHECK_NEAR(one("Log(Abs(0-$close))", c, 6, 2), log(4), 1e-15);
    CHECK(one("Mean($close, 3)", nan, 4, 3) == 5 &&
          one("Rank($close, 4)", nan, 4, 3) == 2.0 / 3);
    CHECK(isnan(one("Greater($close, 0)", nan, 4, 1)) &&
          isnan(one("Rank($close, 4)", nan, 4, 1)));
    CHECK(one("Mean($close > 0, 2)", nan, 4, 1) == 0.5);
    CHECK_NEAR(one("Slope($close, 4)", nan, 4, 3), 6.0 / 7, 1e-14);
    CHECK(isnan(one("Corr($close, $close, 3)", flat, 4, 3)));
    CHECK(isnan(one("Rsquare($close, 3)", flat, 4, 3)) &&
          one("Slope($close, 3)", flat, 4, 3) == 0);
    CHECK(one("Rank($close, 3)", flat, 4, 3) == 2.0 / 3);
}

static char *file_text(const char *path)
{
    FILE *in = fopen(path, "rb");
    char *text = malloc(1u << 20);
    size_t used;

    CHECK(in != NULL && text != NULL);
    used = fread(text, 1, (1u << 20) - 1, in);
    text[used] = '\0';
    (void)fclose(in);
    return text;
}

static void compile_516(tribus_quant_factors *f, void **memory)
{
    char *text = file_text(TRIBUS_SOURCE_DIR "/factors/alpha516.factors");
    tribus_quant_factor_error e;

    compile(f, memory);
    if (tribus_quant_factors_parse(f, text, strlen(text), &e) != TRIBUS_OK)
        printf("line %u column %u: %s\n", e.line, e.column, e.text);
    CHECK(f->count == 516);
    free(text);
}

static void shared_parts_of_the_516_are_computed_once(void)
{
    tribus_quant_factors f;
    void *memory;

    compile_516(&f, &memory);
    printf("516 factors: %u operations\n", f.node_count);
    CHECK(f.node_count < 1300);
    free(memory);
}

/* Every factor of every row, bit by bit. bars: FIELDS x rows with a stride of rows. */
static void check_both_ways(const tribus_quant_factors *f, const double *bars,
                            uint32_t rows)
{
    void *scratch = malloc(tribus_quant_factors_batch_bytes(f, rows));
    void *state = malloc(tribus_quant_factors_state_bytes(f));
    double *out = malloc((size_t)f->count * rows * sizeof(*out));
    double *row = malloc(f->count * sizeof(*row));
    const double *field[FIELDS];

    CHECK(out != NULL && row != NULL && scratch != NULL && state != NULL);
    for (uint32_t i = 0; i < FIELDS; i++)
        field[i] = i == TRIBUS_QUANT_VWAP ? NULL : &bars[i * rows];
    CHECK(tribus_quant_factors_batch(f, field, rows, scratch, out) == TRIBUS_OK);
    tribus_quant_factors_state_init(f, state);
    for (uint32_t t = 0; t < rows; t++) {
        double bar[FIELDS];

        for (uint32_t i = 0; i < FIELDS; i++)
            bar[i] = i == TRIBUS_QUANT_VWAP ? NAN : bars[i * rows + t];
        tribus_quant_factors_push(f, state, bar, row);
        for (uint32_t k = 0; k < f->count; k++) {
            const double batch = out[(size_t)k * rows + t];
            const int same = memcmp(&row[k], &batch, sizeof(batch)) == 0 ||
                             (isnan(row[k]) && isnan(batch));

            if (!same)
                printf("row %u, %s: %.17g, batch %.17g\n", t, f->names[k], row[k], batch);
            CHECK(same);
        }
    }
    free(out);
    free(row);
    free(scratch);
    free(state);
}

/* Random bars, some missing. */
static void incremental_equals_batch_to_the_last_bit(void)
{
    enum { ROWS = 260 };
    tribus_quant_factors f;
    double *bars = malloc(FIELDS * ROWS * sizeof(*bars));
    void *memory;
    float z[4 * ROWS];

    compile_516(&f, &memory);
    CHECK(bars != NULL);
    tribus_quant_normals(check_seed(), 0, 0, 4 * ROWS, z);
    for (int t = 0; t < ROWS; t++) {
        double *close = &bars[TRIBUS_QUANT_CLOSE * ROWS];

        close[t] = (t == 0 ? 100.0 : close[t - 1]) * exp(0.02 * (double)z[4 * t]);
        bars[TRIBUS_QUANT_OPEN * ROWS + t] = close[t] * exp(0.01 * (double)z[4 * t + 1]);
        bars[TRIBUS_QUANT_HIGH * ROWS + t] = close[t] * 1.02;
        bars[TRIBUS_QUANT_LOW * ROWS + t] = close[t] * 0.98;
        bars[TRIBUS_QUANT_VOLUME * ROWS + t] =
            t % 17 == 3 ? 0.0 : floor(1e6 * exp((double)z[4 * t + 2]));
        if (t % 41 == 5) /* a missing bar */
            for (int i = 0; i < FIELDS; i++)
                bars[i * ROWS + t] = NAN;
        if (isnan(close[t]) && t + 1 < ROWS)
            z[4 * t] = 0.0f;
        if (isnan(close[t]))
            close[t] = close[t - 1];
    }
    check_both_ways(&f, bars, ROWS);
    free(bars);
    free(memory);
}

/* What a series can be made of, by kind: plain numbers; many ties and both zeros; holes;
 * infinities and what overflows when it is multiplied. */
static double value_of(int kind, int t, float z)
{
    switch (kind) {
    case 0:
        return 100.0 + (double)z;
    case 1:
        return z < -0.3f ? -0.0 : z < 0.3f ? 0.0 : floor((double)z);
    case 2:
        return t % 97 > 90 || z > 2.5f ? NAN : (double)z;
    default:
        return t % 150 == 70  ? (z > 0 ? INFINITY : -INFINITY)
               : t % 50 == 13 ? (double)z * 1e200
                              : (double)z;
    }
}

static void every_function_gives_equal_bits_in_both_ways(void)
{
    enum { ROWS = 400 };
    static const char *const functions[] = {
        "Mean(%s, %d)", "Sum(%s, %d)",        "Std(%s, %d)",     "Max(%s, %d)",
        "Min(%s, %d)",  "Slope(%s, %d)",      "Rsquare(%s, %d)", "Resi(%s, %d)",
        "Rank(%s, %d)", "IdxMax(%s, %d)",     "IdxMin(%s, %d)",  "Quantile(%s, %d, 0.3)",
        "Ref(%s, %d)",  "Corr(%s, $open, %d)"};
    static const char *const series[] = {"$close", "Ref($close, 2)",
                                         "Ref(Ref($close, 1), 3)", "Log($close*$volume)"};
    static const int windows[] = {1, 2, 3, 4, 7, 8, 9, 60, 300};
    double *bars = malloc(FIELDS * ROWS * sizeof(*bars));
    tribus_quant_factor_error e;
    tribus_quant_factors f;
    float z[4 * ROWS];
    void *memory;

    CHECK(bars != NULL);
    compile(&f, &memory);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        for (size_t w = 0; w < sizeof(windows) / sizeof(windows[0]); w++) {
            for (size_t k = 0; k < sizeof(series) / sizeof(series[0]); k++) {
                char name[32], text[128];

                (void)snprintf(name, sizeof(name), "f%zu_%zu_%zu", i, w, k);
                (void)snprintf(text, sizeof(text), functions[i], series[k], windows[w]);
                CHECK(add(&f, name, text, &e) == TRIBUS_OK);
            }
        }
    }
    CHECK(add(&f, "field", "$close", &e) == TRIBUS_OK);
    CHECK(add(&f, "again", "$close", &e) == TRIBUS_OK);
    CHECK(add(&f, "number", "7", &e) == TRIBUS_OK);
    tribus_quant_normals(check_seed(), 0, 0, 4 * ROWS, z);
    for (int kind = 0; kind < 4; kind++) {
        for (int t = 0; t < ROWS; t++) {
            for (int i = 0; i < TRIBUS_QUANT_VWAP; i++)
                bars[i * ROWS + t] = value_of(kind, t, z[4 * t + i % 3]);
            bars[TRIBUS_QUANT_VWAP * ROWS + t] = 1.0;
        }
        check_both_ways(&f, bars, ROWS);
        check_both_ways(&f, bars, 5); /* fewer rows than lanes and windows */
        check_both_ways(&f, bars, 1);
    }
    free(bars);
    free(memory);
}

typedef struct history {
    char ticker[8];
    double *bar; /* FIELDS x rows */
    char (*date)[11];
    uint32_t rows;
} history;

static void load_history(const char *text, history *h)
{
    static const int field[5] = {TRIBUS_QUANT_OPEN, TRIBUS_QUANT_HIGH, TRIBUS_QUANT_LOW,
                                 TRIBUS_QUANT_CLOSE, TRIBUS_QUANT_VOLUME};
    static const int column[5] = {2, 3, 4, 5, 7}; /* 6 is the adjusted close */
    tribus_quant_text f[8];
    tribus_quant_csv csv;
    uint32_t count;

    h->bar = malloc(FIELDS * 1300 * sizeof(double));
    h->date = malloc(1300 * sizeof(*h->date));
    CHECK(h->bar != NULL && h->date != NULL);
    h->rows = 0;
    tribus_quant_csv_init(&csv, text, strlen(text));
    while (tribus_quant_csv_next(&csv, f, 8, &count, NULL) == TRIBUS_OK) {
        if (count != 8 || f[1].bytes != strlen(h->ticker) ||
            memcmp(f[1].at, h->ticker, f[1].bytes) != 0)
            continue;
        CHECK(h->rows < 1300 && f[0].bytes == 10);
        memcpy(h->date[h->rows], f[0].at, 10);
        h->date[h->rows][10] = '\0';
        for (int i = 0; i < 5; i++)
            CHECK(tribus_quant_csv_number(
                      f[column[i]], &h->bar[field[i] * 1300 + (int)h->rows]) == TRIBUS_OK);
        h->rows++;
    }
}

/* rtol 1e-9. Rsquare and Corr: 1e-9 absolute, since both may be near 0 where the reference,
 * which runs its sums along the series, carries rounding of the size of the prices. Resi is
 * divided by the close, so 1e-12 absolute is 1e-12 of a price. */
static double tolerance_of(const char *name, double want)
{
    if (strstr(name, "RESI") != NULL)
        return 1e-12;
    if (strstr(name, "RSQR") != NULL || strstr(name, "CORR") != NULL ||
        strstr(name, "CORD") != NULL)
        return 1e-9;
    return 1e-9 * fabs(want) + 1e-12;
}

static void factors_of_aapl_and_jpm_match_the_independent_values(void)
{
    char *expected = data_text("factors/expected_516_AAPL_JPM.csv.gz"), *line, *save = NULL;
    char *prices = data_text("us_equities/sp500_ohlcv_2016_2021.csv.gz");
    history h[2] = {{"AAPL", NULL, NULL, 0}, {"JPM", NULL, NULL, 0}};
    double *out[2];
    uint32_t compared = 0, missing = 0;
    double worst[3] = {0};
    char header[32768];
    tribus_quant_factors f;
    void *memory;

    compile_516(&f, &memory);
    for (int k = 0; k < 2; k++) {
        const double *field[FIELDS] = {NULL};
        void *scratch;

        load_history(prices, &h[k]);
        for (int i = 0; i < TRIBUS_QUANT_VWAP; i++)
            field[i] = &h[k].bar[i * 1300];
        scratch = malloc(tribus_quant_factors_batch_bytes(&f, h[k].rows));
        out[k] = malloc((size_t)f.count * h[k].rows * sizeof(double));
        CHECK(scratch != NULL && out[k] != NULL && h[k].rows > 1200);
        CHECK(tribus_quant_factors_batch(&f, field, h[k].rows, scratch, out[k]) ==
              TRIBUS_OK);
        free(scratch);
    }
    line = strtok_r(expected, "\n", &save);
    line[strcspn(line, "\r")] = '\0';
    CHECK(strlen(line) < sizeof(header));
    (void)snprintf(header, sizeof(header), "%s,", line);
    while ((line = strtok_r(NULL, "\n", &save)) != NULL) {
        const int k = line[0] == 'J';
        const char *name = header + 12, *at = strchr(line, ',') + 1;
        uint32_t t = 0;

        while (t < h[k].rows && strncmp(h[k].date[t], at, 10) != 0)
            t++;
        CHECK(t < h[k].rows);
        at += 11;
        for (uint32_t i = 0; i < 516; i++) {
            const size_t bytes = (size_t)(strchr(name, ',') - name);
            char *stop;
            const double want =
                *at == ',' || *at == '\0' || *at == '\r' ? NAN : strtod(at, &stop);
            uint32_t which = 0;
            double got, error;
            int kind;

            while (which < 516 && (strlen(f.names[which]) != bytes ||
                                   strncmp(f.names[which], name, bytes) != 0))
                which++;
            CHECK(which < 516);
            got = out[k][(size_t)which * h[k].rows + t];
            error = fabs(got - want);
            kind = strstr(f.names[which], "RESI") != NULL ? 1
                   : strstr(f.names[which], "RSQR") != NULL ||
                           strstr(f.names[which], "COR") != NULL
                       ? 2
                       : 0;
            if (isnan(want) != isnan(got) || error > tolerance_of(f.names[which], want))
                printf("%s %s %s: %.17g, wanted %.17g\n", h[k].ticker, h[k].date[t],
                       f.names[which], got, want);
            CHECK(isnan(want) == isnan(got));
            CHECK(isnan(want) || error <= tolerance_of(f.names[which], want));
            if (!isnan(want))
                worst[kind] =
                    fmax(worst[kind], kind == 0 ? error / (fabs(want) + 1e-3) : error);
            missing += isnan(want) ? 1u : 0u;
            compared++;
            name += bytes + 1;
            at = strchr(at, ',') == NULL ? at + strlen(at) : strchr(at, ',') + 1;
        }
    }
    printf("%u values, %u of them NaN; largest error %.2g relative, Resi %.2g, Rsquare and "
           "Corr %.2g absolute\n",
           compared, missing, worst[0], worst[1], worst[2]);
    CHECK(compared == 2 * 10 * 516);
    for (int k = 0; k < 2; k++) {
        free(h[k].bar);
        free(h[k].date);
        free(out[k]);
    }
    free(memory);
    free(expected);
    free(prices);
}

static void information_coefficients_of_known_series(void)
{
    const double x[6] = {1, 2, 3, 4, NAN, 6}, y[6] = {1, 4, 9, 16, 5, NAN},
                 c[4] = {1, 1, 1, 1};
    const double m[6] = {1, -1, 2, -2, 3, -3};
    double scratch[24], out[4];

    CHECK_NEAR(tribus_quant_ic(x, y, 6), 0.984374038697697, 1e-14); /* numpy.corrcoef */
    CHECK_NEAR(tribus_quant_rank_ic(x, y, 6, scratch), 1.0, 1e-15);
    CHECK(isnan(tribus_quant_ic(x, c, 4)) && isnan(tribus_quant_rank_ic(x, y, 0, scratch)));
    CHECK(tribus_quant_correlation((tribus_quant_matrix){m, 3, 2}, out) == TRIBUS_OK);
    CHECK_NEAR(out[1], -1.0, 1e-15);
    CHECK_NEAR(out[0], 1.0, 1e-15);
}

int main(void)
{
    errors_name_the_column_and_what_was_expected();
    files_report_the_line_and_nesting_is_bounded();
    full_programs_say_so();
    functions_have_the_values_of_a_hand_calculation();
    information_coefficients_of_known_series();
    shared_parts_of_the_516_are_computed_once();
    incremental_equals_batch_to_the_last_bit();
    every_function_gives_equal_bits_in_both_ways();
    factors_of_aapl_and_jpm_match_the_independent_values();
    return 0;
}
