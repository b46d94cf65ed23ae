/* philox.h -- Philox 4x32-10, a counter-based random number generator.
 *
 *   (counter, key) -> 4 x 32 random bits, by ten rounds of multiply and exchange.
 *
 * Source    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3
 * (SC'11). State     none: number i of stream k is a function of i and k, so paths may be
 * computed in any order, on any device, by any number of threads. Tolerance none: equal
 * bits everywhere (known answers in tests/unit/test_quant_random.c).
 */
#ifndef TRIBUS_QUANT_PHILOX_H
#define TRIBUS_QUANT_PHILOX_H

#include "compat.h"

#define TRIBUS_PHILOX_M0 0xD2511F53u
#define TRIBUS_PHILOX_M1 0xCD9E8D57u
#define TRIBUS_PHILOX_W0 0x9E3779B9u /* golden ratio */
#define TRIBUS_PHILOX_W1 0xBB67AE85u /* sqrt(3) - 1 */

typedef struct tribus_philox_block {
    tribus_u32 v[4];
} tribus_philox_block;

TRIBUS_FN tribus_philox_block tribus_philox(tribus_philox_block c, tribus_u32 key0,
                                            tribus_u32 key1)
{
    for (int round = 0; round < 10; round++) {
        const tribus_u32 hi0 = tribus_mulhi(TRIBUS_PHILOX_M0, c.v[0]);
        const tribus_u32 lo0 = TRIBUS_PHILOX_M0 * c.v[0];
        const tribus_u32 hi1 = tribus_mulhi(TRIBUS_PHILOX_M1, c.v[2]);
        const tribus_u32 lo1 = TRIBUS_PHILOX_M1 * c.v[2];

        c.v[0] = hi1 ^ c.v[1] ^ key0;
        c.v[1] = lo1;
        c.v[2] = hi0 ^ c.v[3] ^ key1;
        c.v[3] = lo0;
        key0 += TRIBUS_PHILOX_W0;
        key1 += TRIBUS_PHILOX_W1;
    }
    return c;
}

#endif
