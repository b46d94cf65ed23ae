/* quant_indicator.h -- 45 indicators of technical analysis, streaming and batch.
 *
 * Names, parameters, order of inputs and where an output begins are those of Tulip Indicators;
 * the formulas are Achelis, Technical Analysis from A to Z. Batch is the streaming code in a
 * loop, so both give equal bits. Windows are added up afresh: an error never outlives them.
 *
 * Memory      tribus_quant_indicator_bytes() of the caller's, borrowed while in use.
 * NaN         passes through to what depends on it; averages that remember keep it.
 * Division    by zero gives 0 where Tulip says so (stoch, willr, cmo ...), else inf or NaN.
 */
#ifndef TRIBUS_QUANT_INDICATOR_H
#define TRIBUS_QUANT_INDICATOR_H

#include "tribus/quant_series.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_QUANT_INDICATOR_INPUTS  4
#define TRIBUS_QUANT_INDICATOR_OUTPUTS 3
#define TRIBUS_QUANT_INDICATOR_PARAMS  3

typedef struct tribus_quant_indicator_info {
    const char *name;
    const char *inputs;  /* one letter each: o h l c v, x = any series */
    const char *params;  /* their names, separated by a space */
    const char *outputs; /* their names, separated by a space */
    uint8_t input_count, param_count, output_count;
} tribus_quant_indicator_info;

/* The table, in order of name; NULL past its end. */
const tribus_quant_indicator_info *tribus_quant_indicator_at(uint32_t index);

/* Streaming state. Fields belong to the implementation. */
typedef struct tribus_quant_indicator {
    uint32_t index, history, at, inputs;
    uint64_t seen;
    double param[TRIBUS_QUANT_INDICATOR_PARAMS];
    double m[12];
    double *series; /* (inputs + 2) x 2 history */
} tribus_quant_indicator;

/* Bytes that init needs; 0 for bad parameters: a period is a whole number from 1 to 100000,
 * and where there is a short and a long one, short <= long. */
size_t tribus_quant_indicator_bytes(uint32_t index, const double *params);

/* memory: that many bytes, aligned to 8, borrowed until the last use of s.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (index) or TRIBUS_BAD_ARG (params). */
TRIBUS_MUST_CHECK tribus_status tribus_quant_indicator_init(tribus_quant_indicator *s,
                                                            uint32_t index,
                                                            const double *params,
                                                            void *memory);

/* Add one bar: in holds the inputs in the table's order. Returns 1 when out holds the
 * outputs of this bar, 0 while there are too few bars. */
int tribus_quant_indicator_push(tribus_quant_indicator *s, const double *in, double *out);

/* All of a history. in, out: one pointer to `rows` values per input and output.
 * first: the row of the first output (rows: none); earlier rows of out become NaN.
 * Returns as init. */
TRIBUS_MUST_CHECK tribus_status tribus_quant_indicator_batch(tribus_quant_indicator *s,
                                                             const double *const *in,
                                                             uint32_t rows,
                                                             double *const *out,
                                                             uint32_t *first);

#ifdef __cplusplus
}
#endif

#endif
