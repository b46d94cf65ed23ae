/* bench_quant_factors.c -- `tribus bench quant`: what is computed for each bar and each event
 * of an order book. */
#include "cli/bench_quant.h"
#include "cli/cli.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASSETS = QUANT_ASSETS, DAYS = QUANT_DAYS };

typedef struct factor_bench {
    tribus_quant_factors f;
    void *memory, *scratch, **state;
    double *bars; /* fields x DAYS of one ticker */
    double *out;
} factor_bench;

static bool read_factors(const quant_bench *b, factor_bench *x)
{
    FILE *in = fopen(b->factors, "rb");
    char *text = malloc(1u << 20);
    tribus_quant_factor_error error;
    size_t bytes;
    bool good = false;

    x->memory = malloc(tribus_quant_factors_bytes(1024, 8192));
    if (in != NULL && text != NULL && x->memory != NULL) {
        bytes = fread(text, 1, 1u << 20, in);
        tribus_quant_factors_init(&x->f, 1024, 8192, x->memory);
        good = tribus_quant_factors_parse(&x->f, text, bytes, &error) == TRIBUS_OK;
    }
    if (in != NULL)
        (void)fclose(in);
    free(text);
    return good;
}

void quant_bench_bars(const quant_bench *b, uint32_t ticker, double *bars)
{
    double close = 100.0;

    for (uint32_t t = 0; t < DAYS; t++) {
        const double z = (double)b->z[(size_t)t * ASSETS + ticker];

        bars[TRIBUS_QUANT_OPEN * DAYS + t] = close;
        close *= exp(0.01 * z);
        bars[TRIBUS_QUANT_CLOSE * DAYS + t] = close;
        bars[TRIBUS_QUANT_HIGH * DAYS + t] = close * 1.01;
        bars[TRIBUS_QUANT_LOW * DAYS + t] = close * 0.98;
        bars[TRIBUS_QUANT_VOLUME * DAYS + t] = floor(1e6 * exp(0.5 * z));
    }
}

/* Each operation of the program reads and writes a series, once. */
static void one_pass_each(void *ctx)
{
    factor_bench *x = ctx;

    for (uint32_t k = 0; k < x->f.node_count; k++)
        cblas_daxpy(DAYS, 1e-9, x->bars, 1, &x->out[(size_t)(k % x->f.count) * DAYS], 1);
}

/* A new bar has to look at the windows that it moves: the state, once. */
static void read_states(void *ctx)
{
    factor_bench *x = ctx;

    for (uint32_t i = 0; i < ASSETS; i++)
        x->out[0] +=
            cblas_dasum((int)(tribus_quant_factors_state_bytes(&x->f) / 8), x->state[i], 1);
}

/* All tickers in eight parts, a ticker of pandas after each: ours is the median part and
 * pandas the median ticker, both times what makes 439 tickers. */
static bool measure_history(const quant_bench *b, factor_bench *x)
{
    quant_row row = {.kase = "factors-516-439x1256",
                     .unit = "value",
                     .units = (double)x->f.count * ASSETS * DAYS,
                     .repeats = 8,
                     .peer_runs = 8,
                     .goal.ratio = 20};
    const double *field[TRIBUS_QUANT_FIELDS] = {NULL};

    for (int k = 0; k < TRIBUS_QUANT_VWAP; k++)
        field[k] = &x->bars[k * DAYS];
    for (uint32_t part = 0; part < row.repeats; part++) {
        const uint32_t from = part * ASSETS / row.repeats,
                       to = (part + 1) * ASSETS / row.repeats;

        for (uint32_t i = from; i < to; i++) {
            double began;

            quant_bench_bars(b, i, x->bars);
            began = quant_bench_now();
            if (tribus_quant_factors_batch(&x->f, field, DAYS, x->scratch, x->out) !=
                TRIBUS_OK)
                return false;
            row.ns[part] += (quant_bench_now() - began) * ASSETS / (to - from);
        }
        quant_bench_turn(b, &row, part);
    }
    row.floor_ns = quant_bench_least(one_pass_each, x) * ASSETS;
    quant_bench_print(b, &row);
    return true;
}

static void measure_bar(const quant_bench *b, factor_bench *x)
{
    quant_row row = {.kase = "factors-516-new-bar-439",
                     .unit = "bar",
                     .units = ASSETS,
                     .repeats = QUANT_REPEATS_MAX,
                     .goal.ns = 20e6};

    row.floor_ns = quant_bench_least(read_states, x);
    for (uint32_t t = 0; t < 100 + row.repeats; t++) {
        const double began = quant_bench_now();

        for (uint32_t i = 0; i < ASSETS; i++) {
            const double close = 100.0 + (double)b->z[(size_t)t * ASSETS + i];
            const double bar[TRIBUS_QUANT_FIELDS] = {close, close * 1.01, close * 0.98,
                                                     close, 1e6 + t,      NAN};

            tribus_quant_factors_push(&x->f, x->state[i], bar, x->out);
        }
        if (t >= 100) /* windows are full */
            row.ns[t - 100] = quant_bench_now() - began;
    }
    quant_bench_print(b, &row);
}

bool quant_bench_factors(const quant_bench *b)
{
    factor_bench x = {.state = calloc(ASSETS, sizeof(void *))};
    bool good = x.state != NULL && read_factors(b, &x);

    if (!good) {
        (void)tribus_cli_complain(
            "bench quant", "cannot read factors from %s: give --factors", b->factors);
    } else {
        x.scratch = malloc(tribus_quant_factors_batch_bytes(&x.f, DAYS));
        x.bars = malloc((size_t)TRIBUS_QUANT_FIELDS * DAYS * sizeof(double));
        x.out = malloc((size_t)x.f.count * DAYS * sizeof(double));
        good = x.scratch != NULL && x.bars != NULL && x.out != NULL;
        for (uint32_t i = 0; good && i < ASSETS; i++) {
            x.state[i] = calloc(1, tribus_quant_factors_state_bytes(&x.f));
            good = x.state[i] != NULL;
            if (good)
                tribus_quant_factors_state_init(&x.f, x.state[i]);
        }
        if (good && quant_bench_wants(b, "factors-516-439x1256"))
            good = measure_history(b, &x);
        if (good && quant_bench_wants(b, "factors-516-new-bar-439"))
            measure_bar(b, &x);
    }
    for (uint32_t i = 0; x.state != NULL && i < ASSETS; i++)
        free(x.state[i]);
    free(x.state);
    free(x.memory);
    free(x.scratch);
    free(x.bars);
    free(x.out);
    return good;
}

/* ---- FI-2010 ---- */

enum { EVENTS = 100000, RING = 1 << 16 };

typedef struct book_stream {
    const float *z;
    float book[TRIBUS_QUANT_FI2010_BOOK];
    double out[TRIBUS_QUANT_FI2010_FEATURES], sum;
} book_stream;

/* An event moves one size of a book around 100. */
static void next_book(book_stream *s, uint32_t event)
{
    const uint32_t level = event % 10;

    if (event == 0)
        for (uint32_t i = 0; i < 10; i++) {
            s->book[4 * i] = 100.01f + 0.01f * (float)i;
            s->book[4 * i + 2] = 100.0f - 0.01f * (float)i;
        }
    s->book[4 * level + 1 + 2 * (event % 2)] =
        100.0f + 10.0f * s->z[event % (DAYS * ASSETS)];
}

/* The least of an event: its book is kept, and 144 numbers are written. */
static void write_rows(void *ctx)
{
    book_stream *s = ctx;

    for (uint32_t e = 0; e < EVENTS; e++) {
        next_book(s, e);
        for (uint32_t i = 0; i < TRIBUS_QUANT_FI2010_FEATURES; i++)
            s->out[i] = (double)s->book[i % TRIBUS_QUANT_FI2010_BOOK] + e;
        s->sum += s->out[e % TRIBUS_QUANT_FI2010_FEATURES];
    }
}

/* 100 events a second, in windows of 1, 2, 10 and 600 seconds. */
bool quant_bench_fi2010(const quant_bench *b)
{
    const tribus_quant_fi2010_cfg cfg = {.long_ns = 600000000000, .capacity = RING};
    quant_row row = {.kase = "fi2010-event",
                     .unit = "event",
                     .units = EVENTS,
                     .repeats = 7,
                     .goal.ns = 500.0 * EVENTS};
    void *memory = malloc(tribus_quant_fi2010_bytes(RING));
    book_stream s = {.z = b->z};
    bool good = memory != NULL;
    tribus_quant_fi2010 f;

    if (good)
        row.floor_ns = quant_bench_least(write_rows, &s);
    for (uint32_t k = 0; good && k < row.repeats; k++) {
        double began;

        good = tribus_quant_fi2010_init(&f, &cfg, memory) == TRIBUS_OK;
        began = quant_bench_now();
        for (uint32_t e = 0; good && e < EVENTS; e++) {
            const tribus_quant_book_event event = {.at_ns = (int64_t)e * 10000000,
                                                   .kind = (tribus_quant_event_kind)(e % 3),
                                                   .side = e % 2 == 0 ? -1 : 1};

            next_book(&s, e);
            good = tribus_quant_fi2010_push(&f, &event, s.book, s.out) == TRIBUS_OK;
            s.sum += s.out[e % TRIBUS_QUANT_FI2010_FEATURES];
        }
        row.ns[k] = quant_bench_now() - began;
    }
    if (good && isfinite(s.sum)) /* so that it is computed */
        quant_bench_print(b, &row);
    free(memory);
    return good;
}
