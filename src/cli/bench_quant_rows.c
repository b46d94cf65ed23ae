/* bench_quant_rows.c -- see bench_quant.h. */
#include "cli/bench_quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double quant_bench_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double quant_bench_least(void (*run)(void *ctx), void *ctx)
{
    double best = INFINITY;

    for (int k = 0; k < 3; k++) {
        const double began = quant_bench_now();

        run(ctx);
        best = fmin(best, quant_bench_now() - began);
    }
    return best;
}

bool quant_bench_wants(const quant_bench *b, const char *kase)
{
    const size_t asked = b->only == NULL ? 0 : strlen(b->only), n = strlen(kase);

    return strncmp(kase, b->only == NULL ? "" : b->only, asked < n ? asked : n) == 0;
}

/* One object of the script: {"path": "numpy", "p50_ns": 1.5e9, ...}. */
static bool read_peer(const char *line, quant_row *row)
{
    const char *path = strstr(line, "\"path\": \""), *ns = strstr(line, "\"p50_ns\": ");
    double value;

    if (path == NULL || ns == NULL)
        return false;
    path += strlen("\"path\": \"");
    value = strtod(ns + strlen("\"p50_ns\": "), NULL);
    if (!(value > 0.0) || isinf(value))
        return false;
    (void)snprintf(row->peer, sizeof(row->peer), "%.*s", (int)strcspn(path, "\""), path);
    row->peer_ns[row->peer_count++] = value;
    return true;
}

bool quant_bench_due(const quant_row *row, uint32_t done)
{
    return done * row->peer_runs / row->repeats !=
           (done + 1) * row->peer_runs / row->repeats;
}

bool quant_bench_run_peer(const char *command, quant_row *row)
{
    const uint32_t before = row->peer_count;
    FILE *pipe = popen(command, "r");
    char line[1024];

    while (pipe != NULL && row->peer_count < QUANT_REPEATS_MAX &&
           fgets(line, sizeof(line), pipe) != NULL)
        (void)read_peer(line, row);
    return pipe != NULL && pclose(pipe) == 0 && row->peer_count > before;
}

void quant_bench_turn(const quant_bench *b, quant_row *row, uint32_t done)
{
    char command[1024];

    if (b->peers == NULL || !quant_bench_due(row, done))
        return;
    (void)snprintf(command, sizeof(command),
                   "/usr/bin/python3 '%s' '%s' --json --only %s --part %u", b->peers,
                   b->factors, row->kase, (done + 1) * row->peer_runs / row->repeats);
    (void)quant_bench_run_peer(command, row);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *x, uint32_t n)
{
    qsort(x, n, sizeof(*x), by_size);
    return n == 0 ? NAN : x[n / 2];
}

/* One goal: its words, and whether it is met. */
static void print_goal(const quant_bench *b, const char *words, double wanted, double scale,
                       bool met)
{
    if (b->json)
        printf(",\"wanted_%s\":%.6g,\"met_%s\":%s", words, wanted, words,
               met ? "true" : "false");
    else
        printf("  wanted %s %g: %s", words, wanted * scale, met ? "yes" : "NO");
}

static void print_ours(const quant_bench *b, const quant_row *r, double p50, double worst)
{
    const quant_goal *g = &r->goal;
    const double rate = r->units / p50 * 1e9;

    if (b->json)
        printf("{\"bench\":\"quant\",\"case\":\"%s\",\"path\":\"ours\",\"p50_ns\":%.0f,"
               "\"p99_ns\":%.0f,\"rate_per_s\":%.6g,\"unit\":\"%s\",\"repeats\":%u",
               r->kase, p50, worst, rate, r->unit, r->repeats);
    else
        printf("%-24s %-7s p50 %12.6g ms  %10.4g %s/s", r->kase, "ours", p50 / 1e6, rate,
               r->unit);
    if (r->floor_ns > 0.0 && b->json)
        printf(",\"floor_ns\":%.0f,\"fraction_of_floor\":%.3f", r->floor_ns,
               r->floor_ns / p50);
    else if (r->floor_ns > 0.0)
        printf("  floor %.4g ms, %.0f %% of it", r->floor_ns / 1e6,
               r->floor_ns / p50 * 100);
    if (r->kkt > 0.0)
        printf(b->json ? ",\"kkt\":%.3g" : "  KKT %.1e", r->kkt);
    if (g->ns > 0.0)
        print_goal(b, b->json ? "most_ns" : "ms at most", g->ns, 1e-6, p50 <= g->ns);
    if (g->rate > 0.0)
        print_goal(b, b->json ? "least_rate" : "M/s at least", g->rate, 1e-6,
                   rate >= g->rate);
    if (g->fraction > 0.0)
        print_goal(b, b->json ? "least_fraction" : "% of the floor at least", g->fraction,
                   100, r->floor_ns / p50 >= g->fraction);
    if (g->kkt > 0.0)
        print_goal(b, b->json ? "most_kkt" : "KKT at most", g->kkt, 1, r->kkt <= g->kkt);
    printf(b->json ? "}\n" : "\n");
}

static void print_peer(const quant_bench *b, const quant_row *r, double p50, double worst,
                       double ratio)
{
    const double rate = r->units / p50 * 1e9;

    if (b->json)
        printf("{\"bench\":\"quant\",\"case\":\"%s\",\"path\":\"%s\",\"p50_ns\":%.0f,"
               "\"p99_ns\":%.0f,\"rate_per_s\":%.6g,\"unit\":\"%s\",\"repeats\":%u,"
               "\"ratio\":%.2f",
               r->kase, r->peer, p50, worst, rate, r->unit, r->peer_count, ratio);
    else
        printf("%-24s %-7s p50 %12.6g ms  %10.4g %s/s  ours is %.1f x", r->kase, r->peer,
               p50 / 1e6, rate, r->unit, ratio);
    if (r->goal.ratio > 0.0)
        print_goal(b, b->json ? "least_ratio" : "x at least", r->goal.ratio, 1,
                   ratio >= r->goal.ratio);
    printf(b->json ? "}\n" : "\n");
}

void quant_bench_print(const quant_bench *b, quant_row *r)
{
    const double p50 = median(r->ns, r->repeats);

    if (!quant_bench_wants(b, r->kase))
        return;
    print_ours(b, r, p50, r->ns[r->repeats - 1]);
    if (r->absent != NULL) {
        printf(b->json ? "{\"bench\":\"quant\",\"case\":\"%s\",\"path\":\"%s\","
                         "\"absent\":\"%s\"}\n"
                       : "%-24s %-7s absent: %s\n",
               r->kase, r->peer, r->absent);
    } else if (r->peer_count > 0) {
        const double peer = median(r->peer_ns, r->peer_count);

        print_peer(b, r, peer, r->peer_ns[r->peer_count - 1], peer / p50);
    } else if (r->peer_runs > 0 && b->peers != NULL) {
        fprintf(stderr, "tribus bench quant: %s: the peer did not run\n", r->kase);
    }
    (void)fflush(stdout);
}
