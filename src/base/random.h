/* random.h -- a small seeded generator for simulation and tests: the same stream on every
 * machine for one seed.
 *
 * Not for   Monte-Carlo (src/quant has Philox, which threads and devices can share) or
 * secrets. Source    xoshiro256** by Blackman and Vigna (2018), seeded with SplitMix64 as
 * they advise.
 */
#ifndef TRIBUS_BASE_RANDOM_H
#define TRIBUS_BASE_RANDOM_H

#include <stdint.h>

typedef struct tribus_random {
    uint64_t s[4];
} tribus_random;

void tribus_random_init(tribus_random *r, uint64_t seed);

/* Uniform over all 64-bit values. */
uint64_t tribus_random_u64(tribus_random *r);

/* Uniform over 0..n-1 without bias. n 0 gives 0. */
uint64_t tribus_random_below(tribus_random *r, uint64_t n);

/* Uniform in [0, 1), 53 bits. */
double tribus_random_unit(tribus_random *r);

#endif
