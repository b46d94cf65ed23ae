/* number.h -- JSON number text to scaled integers, exactly. The public half is in wire.h.
 */
#ifndef TRIBUS_WIRE_NUMBER_H
#define TRIBUS_WIRE_NUMBER_H

#include "tribus/wire.h"

/* |number| * 10^scale, cut toward zero. */
typedef struct tribus_number {
    uint64_t magnitude; /* meaningless when overflow */
    bool negative;
    bool overflow; /* beyond 64 bits */
    bool half;     /* what was cut is at least one half */
    bool inexact;  /* what was cut is not 0 */
} tribus_number;

/* Read one JSON number of exactly n bytes. False: it is not one; *out is unchanged. */
bool tribus_number_read(const char *text, size_t n, int scale, tribus_number *out);

/* The signed value. False when it does not fit; then *out is saturated. Rounds half away
 * from zero. */
bool tribus_number_to_i64(const tribus_number *d, int64_t *out);

/* Digits of value without a sign, no zero at the end; at most 20. Returns how many. */
size_t tribus_number_print_u64(uint64_t value, char *buf);

/* With a sign, at most 20. */
size_t tribus_number_print_i64(int64_t value, char *buf);

#endif
