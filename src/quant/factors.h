/* factors.h -- the operations of a factor program, shared by the parser and the runner. */
#ifndef TRIBUS_QUANT_FACTORS_OPS_H
#define TRIBUS_QUANT_FACTORS_OPS_H

typedef enum factor_op {
    OP_FIELD, /* a = field */
    OP_NUMBER,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_GREATER_THAN,
    OP_LESS_THAN,
    OP_GREATER, /* the larger of two */
    OP_LESS,
    OP_ABS,
    OP_LOG,
    OP_REF,
    OP_MEAN,
    OP_SUM,
    OP_STD,
    OP_MAX,
    OP_MIN,
    OP_SLOPE,
    OP_RSQUARE,
    OP_RESI,
    OP_RANK,
    OP_IDXMAX,
    OP_IDXMIN,
    OP_QUANTILE,
    OP_CORR
} factor_op;

#define FACTOR_WINDOW_MAX 1024u

#endif
