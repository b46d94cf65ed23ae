/* test_quant_indicator.c -- the 45 vectors of atoz.txt (Achelis, as Tulip Indicators has
 * them), and that streaming equals batch.
 *
 * labels: single_thread */
#include "quant_data.h"
#include "tribus/quant.h"

enum { ROWS = 400, SERIES = 8 };

static uint32_t find(const char *name)
{
    uint32_t i = 0;

    while (tribus_quant_indicator_at(i) != NULL &&
           strcmp(tribus_quant_indicator_at(i)->name, name) != 0)
        i++;
    return i;
}

/* {1,2,3} to numbers; digits: most decimals that one of them shows. */
static uint32_t numbers(const char *line, double *out, int *digits)
{
    uint32_t n = 0;

    *digits = 0;
    for (line++; *line != '}' && *line != '\0' && n < ROWS;) {
        char *end;
        const char *dot;

        out[n++] = strtod(line, &end);
        CHECK(end != line);
        dot = memchr(line, '.', (size_t)(end - line));
        if (dot != NULL && end - dot - 1 > *digits)
            *digits = (int)(end - dot - 1);
        line = *end == ',' ? end + 1 : end;
    }
    return n;
}

static void check_vector(const char *name, const double *params,
                         double series[SERIES][ROWS], const uint32_t *counts,
                         const int *digits)
{
    const uint32_t index = find(name);
    const tribus_quant_indicator_info *info = tribus_quant_indicator_at(index);
    const double *in[TRIBUS_QUANT_INDICATOR_INPUTS];
    double values[TRIBUS_QUANT_INDICATOR_OUTPUTS][ROWS];
    double *out[TRIBUS_QUANT_INDICATOR_OUTPUTS] = {values[0], values[1], values[2]};
    tribus_quant_indicator s;
    uint32_t first;
    void *memory;

    if (info == NULL)
        printf("no indicator %s\n", name);
    CHECK(info != NULL);
    memory = malloc(tribus_quant_indicator_bytes(index, params));
    CHECK(memory != NULL);
    for (int k = 0; k < info->input_count; k++)
        in[k] = series[k];
    CHECK(tribus_quant_indicator_init(&s, index, params, memory) == TRIBUS_OK);
    CHECK(tribus_quant_indicator_batch(&s, in, counts[0], out, &first) == TRIBUS_OK);
    for (int k = 0; k < info->output_count; k++) {
        const int at = info->input_count + k;

        if (counts[0] - first != counts[at])
            printf("%s: %u outputs, wanted %u\n", name, counts[0] - first, counts[at]);
        CHECK(counts[0] - first == counts[at]);
        for (uint32_t i = 0; i < counts[at]; i++) {
            const double got = values[k][first + i], want = series[at][i];
            /* The book prints rounded values: one unit of the last decimal shown. */
            const double tolerance = fmax(1.01 * pow(10.0, -digits[at]), 1e-9 * fabs(want));

            if (!(fabs(got - want) <= tolerance))
                printf("%s[%d] at %u: %.9g, wanted %.9g\n", name, k, i, got, want);
            CHECK(fabs(got - want) <= tolerance);
        }
    }
    free(memory);
}

static void indicators_match_the_vectors_of_atoz(void)
{
    char *text = data_text("ta_tulip/atoz.txt"), *line, *save = NULL, name[32] = "";
    static double series[SERIES][ROWS];
    double params[TRIBUS_QUANT_INDICATOR_PARAMS] = {0};
    uint32_t counts[SERIES], lines = 0, blocks = 0;
    int digits[SERIES];

    for (line = strtok_r(text, "\r\n", &save);; line = strtok_r(NULL, "\r\n", &save)) {
        if (line != NULL && line[0] == '{') {
            CHECK(lines < SERIES);
            counts[lines] = numbers(line, series[lines], &digits[lines]);
            lines++;
        } else if (line == NULL || (line[0] >= 'a' && line[0] <= 'z')) {
            if (lines > 0) {
                check_vector(name, params, series, counts, digits);
                blocks++;
            }
            lines = 0;
            if (line == NULL)
                break;
            CHECK(sscanf(line, "%31s %lf %lf %lf", name, &params[0], &params[1],
                         &params[2]) >= 1);
        }
    }
    printf("atoz: %u vectors\n", blocks);
    CHECK(blocks == 45);
    free(text);
}

/* Long series, so that buffers wrap; NaN must not reach beyond its window in averages. */
static void streaming_continues_where_batch_would(void)
{
    float z[ROWS * 5];
    double bar[5][ROWS];
    double params[3] = {5, 7, 9};

    tribus_quant_normals(check_seed(), 3, 0, ROWS * 5, z);
    for (int t = 0; t < ROWS; t++) {
        bar[2][t] = (t == 0 ? 50.0 : bar[2][t - 1]) * exp(0.01 * (double)z[5 * t]);
        bar[0][t] = bar[2][t] * (1.0 + 0.01 * fabs((double)z[5 * t + 1]));
        bar[1][t] = bar[2][t] * (1.0 - 0.01 * fabs((double)z[5 * t + 2]));
        bar[3][t] = 1000.0 * exp((double)z[5 * t + 3]);
        bar[4][t] = bar[2][t] * (1.0 + 0.005 * (double)z[5 * t + 4]);
    }
    for (uint32_t i = 0; tribus_quant_indicator_at(i) != NULL; i++) {
        const tribus_quant_indicator_info *info = tribus_quant_indicator_at(i);
        const double psar[3] = {0.02, 0.2, 0};
        const double *p = strcmp(info->name, "psar") == 0 ? psar : params;
        const double *in[4];
        double values[3][ROWS], *out[3] = {values[0], values[1], values[2]};
        void *memory = malloc(tribus_quant_indicator_bytes(i, p));
        tribus_quant_indicator s;
        uint32_t first;

        CHECK(memory != NULL);
        for (int k = 0; k < info->input_count; k++) {
            const char *at = strchr("hlcvo", info->inputs[k]);

            in[k] = bar[at == NULL ? 2 : at - "hlcvo"];
        }
        CHECK(tribus_quant_indicator_init(&s, i, p, memory) == TRIBUS_OK);
        CHECK(tribus_quant_indicator_batch(&s, in, ROWS, out, &first) == TRIBUS_OK);
        CHECK(first < 60);
        CHECK(tribus_quant_indicator_init(&s, i, p, memory) == TRIBUS_OK);
        for (uint32_t t = 0; t < ROWS; t++) {
            double now[4], value[3];

            for (int k = 0; k < info->input_count; k++)
                now[k] = in[k][t];
            CHECK(tribus_quant_indicator_push(&s, now, value) == (t >= first));
            for (int k = 0; t >= first && k < info->output_count; k++) {
                CHECK(isfinite(value[k]));
                CHECK(memcmp(&value[k], &values[k][t], sizeof(double)) == 0);
            }
        }
        free(memory);
    }
}

static void bad_parameters_are_refused(void)
{
    const double zero[3] = {0}, half[3] = {2.5, 3, 4}, order[3] = {9, 5, 3};
    double memory[8];
    tribus_quant_indicator s;

    CHECK(tribus_quant_indicator_bytes(find("sma"), zero) == 0);
    CHECK(tribus_quant_indicator_bytes(find("sma"), half) == 0);
    CHECK(tribus_quant_indicator_bytes(find("adosc"), order) == 0);
    CHECK(tribus_quant_indicator_bytes(find("none"), order) == 0);
    CHECK(tribus_quant_indicator_init(&s, find("none"), order, memory) == TRIBUS_NOT_FOUND);
    CHECK(tribus_quant_indicator_init(&s, find("sma"), zero, memory) == TRIBUS_BAD_ARG);
}

int main(void)
{
    bad_parameters_are_refused();
    streaming_continues_where_batch_would();
    indicators_match_the_vectors_of_atoz();
    return 0;
}
