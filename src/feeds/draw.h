/* draw.h -- random numbers of a shape, from integers only.
 *
 * Use it to   simulate a market whose stream is the same, bit by bit, on every machine,
 * with every compiler: no floating point and no libm takes part in a decision. Not for
 * Monte-Carlo (src/quant).
 *
 * Fixed point: _q16 counts 1/65536, _q24 counts 1/16777216.
 */
#ifndef TRIBUS_FEEDS_DRAW_H
#define TRIBUS_FEEDS_DRAW_H

#include "base/random.h"

#define TRIBUS_DRAW_STEPS 4096

typedef struct tribus_draw {
    tribus_random random;
    uint64_t exponential_q24[TRIBUS_DRAW_STEPS + 1]; /* [i] = -ln(i / 4096), i >= 1 */
} tribus_draw;

void tribus_draw_init(tribus_draw *draw, uint64_t seed);

/* Exponential with mean 1: the time to the next arrival of a Poisson process. Inverse of
 * the distribution function, linear between 4096 points (density off by less than 1 part in
 * 1000 below 5 means, mean by less than 1 in 10^4); the tail beyond ln 4096 is exact in
 * law, because what remains of an exponential is the same exponential again. */
uint64_t tribus_draw_exponential_q24(tribus_draw *draw);

/* Normal with mean 0 and standard deviation 1, as the sum of twelve uniforms of 16 bits
 * (Irwin-Hall): exact mean and variance, no tail beyond 6. */
int64_t tribus_draw_normal_q16(tribus_draw *draw);

/* floor(sqrt(x)). */
uint64_t tribus_draw_root(uint64_t x);

#endif
