/* quant_random.h -- random numbers that a seed reproduces on any device and thread count.
 *
 * Philox 4x32-10 (Salmon et al., SC'11): a counter and a key go in, 128 random bits come
 * out. The same code runs on accelerators: src/quant/philox.h, normal.h. Not for
 * cryptography.
 */
#ifndef TRIBUS_QUANT_RANDOM_H
#define TRIBUS_QUANT_RANDOM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out: 4 words. Known answers of Random123 are in tests/unit/test_quant_random.c. */
void tribus_quant_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Standard normal numbers first .. first + count - 1 of the stream (seed, stream), float.
 * Any split of a range into calls gives the same numbers. |z| <= 6.661. */
void tribus_quant_normals(uint64_t seed, uint32_t stream, uint64_t first, uint32_t count,
                          float *out);

#ifdef __cplusplus
}
#endif

#endif
