/* quant_factors.h -- factors written as expressions over daily bars: Slope($close,20)/$close.
 *
 * Use it to   define hundreds of factors in a text file, check them, and evaluate them over
 *             history (batch) or one bar at a time (incremental). Both run the same
 *             arithmetic on the same windows, so they agree to the last bit.
 * Not for     cross-sectional operations: a program sees one ticker.
 *
 * Language    numbers; $open $high $low $close $volume $vwap; + - * / with the usual order,
 *             unary minus, ( ), > and <; and the functions
 *               Abs(x) Log(x) Greater(x,y) Less(x,y) Ref(x,n)
 *               Mean Sum Std Max Min Slope Rsquare Resi Rank IdxMax IdxMin (x,n)
 *               Quantile(x,n,q) Corr(x,y,n)
 *             Greater and Less are the larger and the smaller; > and < give a condition (1 or
 *             0), which only Mean and Sum accept. A file has lines NAME = expression; # starts
 *             a comment.
 * Windows     the last n rows, or those there are; NaN is skipped (min_periods = 1, as Qlib).
 *             Std divides by count - 1. Slope, Rsquare and Resi regress on the row number.
 *             Rsquare and Corr are NaN where a standard deviation is at most 2e-5. Rank is the
 *             average rank of the last value over the count. IdxMax and IdxMin count from 1 at
 *             the oldest row, the first of equals. n is 1 .. 1024.
 * NaN         arithmetic and Greater/Less pass it on; a comparison with it is 0.
 * $vwap       is (high + low + close) / 3 where the caller has none.
 * Memory      the caller's; threads may share a compiled program, each with its own scratch.
 */
#ifndef TRIBUS_QUANT_FACTORS_H
#define TRIBUS_QUANT_FACTORS_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TRIBUS_QUANT_OPEN,
    TRIBUS_QUANT_HIGH,
    TRIBUS_QUANT_LOW,
    TRIBUS_QUANT_CLOSE,
    TRIBUS_QUANT_VOLUME,
    TRIBUS_QUANT_VWAP,
    TRIBUS_QUANT_FIELDS
};

#define TRIBUS_QUANT_FACTOR_NAME 48 /* bytes of a name with its end */

/* One operation of the flat program: its result is the node's value. */
typedef struct tribus_quant_factor_node {
    double value;     /* of a number, or q of Quantile */
    uint32_t a, b;    /* operands: earlier nodes, or a field */
    uint32_t window;  /* rows of a rolling function, or the shift of Ref */
    uint32_t history; /* rows of this node's own values that others look back on */
    uint8_t op;
} tribus_quant_factor_node;

/* A compiled set of factors. Fields are read-only for the caller. */
typedef struct tribus_quant_factors {
    tribus_quant_factor_node *nodes;
    uint32_t *outputs; /* node of each factor */
    char (*names)[TRIBUS_QUANT_FACTOR_NAME];
    uint32_t node_count, node_capacity;
    uint32_t count, capacity; /* factors */
} tribus_quant_factors;

/* Where a text is wrong, counting from 1, and what was expected there. */
typedef struct tribus_quant_factor_error {
    uint32_t line, column;
    char text[160];
} tribus_quant_factor_error;

/* Bytes for at most `factors` factors of `nodes` distinct operations together. */
size_t tribus_quant_factors_bytes(uint32_t factors, uint32_t nodes);

/* memory: that many bytes, aligned to 8, borrowed until the last use of f. */
void tribus_quant_factors_init(tribus_quant_factors *f, uint32_t factors, uint32_t nodes,
                               void *memory);

/* Compile one factor; equal sub-expressions of all factors become one node.
 * name, text: need not end in NUL. error may be NULL; its line is 1.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (error says where and what), TRIBUS_EXISTS (the name),
 * or TRIBUS_FULL (nodes or factors). Unless TRIBUS_OK, f is as before. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_factors_add(
    tribus_quant_factors *f, const char *name, size_t name_bytes, const char *text,
    size_t text_bytes, tribus_quant_factor_error *error);

/* Compile a file of factors. Stops at the first error. Returns as _add(). */
TRIBUS_MUST_CHECK tribus_status
tribus_quant_factors_parse(tribus_quant_factors *f, const char *text, size_t bytes,
                           tribus_quant_factor_error *error);

/* ---- batch ---- */

/* Bytes of scratch for one ticker of `rows` rows. */
size_t tribus_quant_factors_batch_bytes(const tribus_quant_factors *f, uint32_t rows);

/* field: pointers to `rows` values each, oldest first; vwap may be NULL.
 * out[factor * rows + row]. scratch: aligned to 8.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_factors_batch(
    const tribus_quant_factors *f, const double *const field[TRIBUS_QUANT_FIELDS],
    uint32_t rows, void *scratch, double *out);

/* ---- incremental ---- */

/* Bytes of state for one ticker. */
size_t tribus_quant_factors_state_bytes(const tribus_quant_factors *f);

/* state: that many bytes, aligned to 8; begins without history. */
void tribus_quant_factors_state_init(const tribus_quant_factors *f, void *state);

/* Add one bar and compute every factor: out[factor]. NaN in bar[TRIBUS_QUANT_VWAP]: no vwap
 * given. Cost: the operations of the program, each over its window; no history is redone. */
void tribus_quant_factors_push(const tribus_quant_factors *f, void *state,
                               const double bar[TRIBUS_QUANT_FIELDS], double *out);

/* ---- what factors are worth ---- */

/* Pearson correlation of x and y over the pairs without NaN; NaN for fewer than 2 or a
 * constant. As an information coefficient: x = factor of each ticker on a date, y = its
 * return afterwards. */
double tribus_quant_ic(const double *x, const double *y, uint32_t n);

/* The same of ranks, ties averaged (Spearman). scratch: 4 n doubles. */
double tribus_quant_rank_ic(const double *x, const double *y, uint32_t n, double *scratch);

/* Pairwise correlation matrix of the columns, NaN skipped pair by pair.
 * out: cols x cols. Returns TRIBUS_OK or TRIBUS_BAD_ARG. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_correlation(tribus_quant_matrix m,
                                                         double *out);

#ifdef __cplusplus
}
#endif

#endif
