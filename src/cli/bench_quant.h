/* bench_quant.h -- rows of `tribus bench quant`, with what they are compared to. */
#ifndef TRIBUS_CLI_BENCH_QUANT_H
#define TRIBUS_CLI_BENCH_QUANT_H

#include "tribus/quant.h"

#include <stdbool.h>

enum { QUANT_ASSETS = 439, QUANT_DAYS = 1256, QUANT_REPEATS_MAX = 31 };

typedef struct quant_bench {
    bool json;
    const char *factors, *peers, *only;
    const char *quantlib; /* the program that times it; NULL: no peers */
    float *z;             /* QUANT_DAYS x QUANT_ASSETS normals that all cases share */
} quant_bench;

/* What is wanted of a row; 0: nothing. */
typedef struct quant_goal {
    double ratio;    /* times faster than the peer, at least */
    double ns;       /* at most */
    double rate;     /* units per second, at least */
    double fraction; /* of what the floor allows, at least */
    double kkt;      /* at most */
} quant_goal;

typedef struct quant_row {
    const char *kase, *unit;
    double units; /* per run, for rate_per_s */
    uint32_t repeats;
    quant_goal goal;
    uint32_t peer_runs; /* of the peer, between ours */
    double ns[QUANT_REPEATS_MAX];
    double floor_ns;    /* 0: none */
    double kkt;         /* the largest; 0: none */
    char peer[16];      /* its name */
    const char *absent; /* why there is no peer; NULL: no reason known */
    double peer_ns[QUANT_REPEATS_MAX];
    uint32_t peer_count;
} quant_row;

/* CPU time of this process, not the clock on the wall: what else runs is not in the result. */
double quant_bench_now(void);

/* Least time of three runs of something that a case cannot do without. */
double quant_bench_least(void (*run)(void *ctx), void *ctx);

/* Is one of the cases that begin with this name asked for? */
bool quant_bench_wants(const quant_bench *b, const char *kase);

/* Call it after run `done` of row->repeats: runs the peer in turn with ours, so that both meet
 * the machine in the same moods. */
void quant_bench_turn(const quant_bench *b, quant_row *row, uint32_t done);

/* Is the peer's turn after run `done`? */
bool quant_bench_due(const quant_row *row, uint32_t done);

/* Run a peer's command once and add its time to the row. false: it failed or printed none. */
bool quant_bench_run_peer(const char *command, quant_row *row);

/* Ours and the peer's, with what was wanted. */
void quant_bench_print(const quant_bench *b, quant_row *row);

/* Open, high, low, close and volume of a ticker, QUANT_DAYS each. */
void quant_bench_bars(const quant_bench *b, uint32_t ticker, double *bars);

bool quant_bench_factors(const quant_bench *b);
bool quant_bench_fi2010(const quant_bench *b);
bool quant_bench_options(const quant_bench *b);
bool quant_bench_var(const quant_bench *b);

#endif
