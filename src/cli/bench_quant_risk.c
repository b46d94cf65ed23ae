/* bench_quant_risk.c -- `tribus bench quant`: options and value at risk, with QuantLib in turn.
 *
 * Both work on the same numbers, from a file, and QuantLib's program writes its results there:
 * no time of it counts before they agree with ours. */
#include "cli/bench_quant.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXPIRIES = 20, STRIKES = 250, OPTIONS = EXPIRIES * STRIKES * 2, GREEKS = 6 };

/* What both compute: records of `width` inputs, `results` outputs each. */
typedef struct shared_work {
    const double *in;
    const double *ours;
    uint32_t records, width, results;
    double relative, absolute; /* |ours - theirs| <= relative * the larger + absolute */
    char file[32];             /* empty: no peer */
} shared_work;

static bool write_inputs(shared_work *w)
{
    const double head[2] = {w->records, w->width};
    const size_t n = (size_t)w->records * w->width;
    int fd;
    FILE *f;
    bool good;

    (void)snprintf(w->file, sizeof(w->file), "/tmp/tribus-bench-XXXXXX");
    fd = mkstemp(w->file);
    f = fd < 0 ? NULL : fdopen(fd, "wb");
    good = f != NULL && fwrite(head, sizeof(double), 2, f) == 2 &&
           fwrite(w->in, sizeof(double), n, f) == n;
    if (f != NULL)
        good = fclose(f) == 0 && good;
    else if (fd >= 0)
        (void)close(fd);
    return good;
}

/* Is there something to run? Else the row says what is missing. */
static bool begin_peer(const quant_bench *b, shared_work *w, quant_row *row)
{
    if (b->quantlib == NULL || !quant_bench_wants(b, row->kase))
        return true;
    (void)snprintf(row->peer, sizeof(row->peer), "quantlib");
    if (access(b->quantlib, X_OK) != 0) {
        row->absent =
            "install libquantlib0-dev and run make bench-peers, or give --quantlib";
        return true;
    }
    row->peer_runs = 3;
    if (write_inputs(w))
        return true;
    return tribus_cli_complain("bench quant", "cannot write %s: is /tmp full?", w->file) ==
           TRIBUS_EXIT_DONE;
}

/* Every result of QuantLib against ours; the first that differs is printed. */
static bool values_agree(const shared_work *w, const quant_row *row)
{
    const size_t n = (size_t)w->records * w->results;
    const size_t at = sizeof(double) * (2 + (size_t)w->records * w->width);
    double *theirs = malloc(n * sizeof(*theirs));
    FILE *f = fopen(w->file, "rb");
    bool good = theirs != NULL && f != NULL && fseek(f, (long)at, SEEK_SET) == 0 &&
                fread(theirs, sizeof(*theirs), n, f) == n;

    if (!good)
        (void)tribus_cli_complain("bench quant", "%s: no results of QuantLib in %s",
                                  row->kase, w->file);
    for (size_t i = 0; good && i < n; i++) {
        const double x = w->ours[i], y = theirs[i];

        good = fabs(x - y) <= w->relative * fmax(fabs(x), fabs(y)) + w->absolute;
        if (!good)
            (void)tribus_cli_complain(
                "bench quant", "%s: result %zu of record %zu is %.17g, QuantLib's %.17g",
                row->kase, i % w->results, i / w->results, x, y);
    }
    if (f != NULL)
        (void)fclose(f);
    free(theirs);
    return good;
}

static bool take_turn(const quant_bench *b, const shared_work *w, quant_row *row,
                      uint32_t done)
{
    char command[1024];

    if (w->file[0] == '\0' || !quant_bench_due(row, done))
        return true;
    (void)snprintf(command, sizeof(command), "'%s' %s %s", b->quantlib, row->kase, w->file);
    if (quant_bench_run_peer(command, row))
        return values_agree(w, row);
    (void)tribus_cli_complain("bench quant", "%s: %s did not run", row->kase, b->quantlib);
    return false;
}

static void end_peer(shared_work *w)
{
    if (w->file[0] != '\0')
        (void)unlink(w->file);
    w->file[0] = '\0';
}

/* ---- options ---- */

/* A chain: calls and puts, strikes around the spot, expiries from 30 days to 600, and a
 * volatility for each expiry. */
static void write_chain(tribus_quant_option *o)
{
    for (uint32_t i = 0; i < OPTIONS; i++) {
        const uint32_t expiry = i / (2 * STRIKES), strike = i / 2 % STRIKES;

        o[i] = (tribus_quant_option){.call = i % 2 == 0,
                                     .strike = 60.0 + 0.32 * strike,
                                     .spot = 100.0,
                                     .dividend = 0.01,
                                     .rate = 0.03,
                                     .years = 30.0 * (expiry + 1) / 365.0,
                                     .volatility = 0.15 + 0.01 * expiry};
    }
}

static void write_options(const tribus_quant_option *o, double *in)
{
    for (uint32_t i = 0; i < OPTIONS; i++) {
        const double fields[7] = {o[i].call != 0, o[i].strike, o[i].spot,
                                  o[i].dividend,  o[i].rate,   o[i].years,
                                  o[i].volatility};

        memcpy(&in[(size_t)i * 7], fields, sizeof(fields));
    }
}

static bool price_all(const tribus_quant_option *o, tribus_quant_greeks *out)
{
    for (uint32_t i = 0; i < OPTIONS; i++)
        if (tribus_quant_option_price(&o[i], &out[i]) != TRIBUS_OK)
            return false;
    return true;
}

/* What each option needs at least: two exponentials and a root, a logarithm and two values of
 * the normal distribution, with its density. */
typedef struct option_floor {
    const tribus_quant_option *o;
    double sum;
} option_floor;

static void functions_of_each(void *ctx)
{
    option_floor *f = ctx;

    for (uint32_t i = 0; i < OPTIONS; i++) {
        const double x = log(f->o[i].strike / f->o[i].spot);

        f->sum += exp(-f->o[i].dividend * f->o[i].years) +
                  exp(-f->o[i].rate * f->o[i].years) + sqrt(f->o[i].years) + exp(-x * x) +
                  tribus_quant_normal_cdf(x) + tribus_quant_normal_cdf(x + 0.1);
    }
}

static bool option_case(const quant_bench *b, const char *kase,
                        const tribus_quant_option *o, double *in, tribus_quant_greeks *out)
{
    quant_row row = {
        .kase = kase, .unit = "option", .units = OPTIONS, .repeats = 9, .goal.ratio = 1};
    shared_work w = {.in = in,
                     .ours = &out->price,
                     .records = OPTIONS,
                     .width = 7,
                     .results = GREEKS,
                     .relative = 1e-10,
                     .absolute = 1e-10};
    option_floor least = {o, 0.0};
    bool good = begin_peer(b, &w, &row);

    row.floor_ns = quant_bench_least(functions_of_each, &least);
    for (uint32_t k = 0; good && k < row.repeats; k++) {
        const double began = quant_bench_now();

        good = price_all(o, out);
        row.ns[k] = quant_bench_now() - began;
        good = good && take_turn(b, &w, &row, k);
    }
    end_peer(&w);
    if (good && isfinite(least.sum)) /* so that it is computed */
        quant_bench_print(b, &row);
    return good;
}

/* The same work twice: against QuantLib's formula alone, and against its instruments and
 * engine when the spot moves. */
bool quant_bench_options(const quant_bench *b)
{
    tribus_quant_option *o = malloc(OPTIONS * sizeof(*o));
    tribus_quant_greeks *out = malloc(OPTIONS * sizeof(*out));
    double *in = malloc(sizeof(*in) * OPTIONS * 7);
    bool good = o != NULL && out != NULL && in != NULL;

    _Static_assert(sizeof(tribus_quant_greeks) == GREEKS * sizeof(double),
                   "results are compared as doubles");
    if (good) {
        write_chain(o);
        write_options(o, in);
    }
    if (good && quant_bench_wants(b, "option-greeks-10000"))
        good = option_case(b, "option-greeks-10000", o, in, out);
    if (good && quant_bench_wants(b, "option-tick-10000"))
        good = option_case(b, "option-tick-10000", o, in, out);
    free(o);
    free(out);
    free(in);
    return good;
}

/* ---- value at risk ---- */

enum { SERIES = QUANT_ASSETS, DAYS = QUANT_DAYS, RISKS = 3 };

/* Historical VaR, Gaussian VaR and Gaussian ES (of the sample deviation) of one series. */
static bool risks_of(const double *x, double *sorted, double out[RISKS])
{
    const tribus_quant_var_cfg cfg = {.confidence = 0.99};
    tribus_quant_risk historical, gaussian;

    memcpy(sorted, x, DAYS * sizeof(*x));
    if (tribus_quant_var_historical(&cfg, sorted, DAYS, &historical) != TRIBUS_OK ||
        tribus_quant_var_gaussian(historical.mean,
                                  historical.sd * sqrt(DAYS / (DAYS - 1.0)), 0.99,
                                  &gaussian) != TRIBUS_OK)
        return false;
    out[0] = historical.var;
    out[1] = gaussian.var;
    out[2] = gaussian.es;
    return true;
}

typedef struct sort_all {
    const double *in;
    double *sorted;
} sort_all;

static void sort_each(void *ctx)
{
    sort_all *s = ctx;

    for (uint32_t i = 0; i < SERIES; i++) {
        memcpy(s->sorted, &s->in[(size_t)i * DAYS], DAYS * sizeof(double));
        tribus_quant_sort(s->sorted, DAYS);
    }
}

/* QuantLib's normal quantile is Acklam's, of relative error 1e-9. */
bool quant_bench_var(const quant_bench *b)
{
    double *in = malloc(sizeof(*in) * SERIES * DAYS), sorted[DAYS], ours[SERIES * RISKS];
    quant_row row = {.kase = "var-439x1256",
                     .unit = "series",
                     .units = SERIES,
                     .repeats = 9,
                     .goal.ratio = 1};
    shared_work w = {.in = in,
                     .ours = ours,
                     .records = SERIES,
                     .width = DAYS,
                     .results = RISKS,
                     .relative = 1e-8,
                     .absolute = 0.0};
    sort_all sorts = {in, sorted};
    bool good = in != NULL;

    for (size_t i = 0; good && i < (size_t)SERIES * DAYS; i++)
        in[i] = 0.0004 + 0.012 * (double)b->z[i];
    good = good && begin_peer(b, &w, &row);
    if (good)
        row.floor_ns = quant_bench_least(sort_each, &sorts);
    for (uint32_t k = 0; good && k < row.repeats; k++) {
        const double began = quant_bench_now();

        for (uint32_t i = 0; good && i < SERIES; i++)
            good = risks_of(&in[(size_t)i * DAYS], sorted, &ours[(size_t)i * RISKS]);
        row.ns[k] = quant_bench_now() - began;
        good = good && take_turn(b, &w, &row, k);
    }
    end_peer(&w);
    if (good)
        quant_bench_print(b, &row);
    free(in);
    return good;
}
