/* draw.c -- see draw.h. */
#include "feeds/draw.h"

#define LN2_Q32 2977044472u /* ln 2 = 0.693147180559945 */

/* log2(i) for 1 <= i <= 4096, 28 fractional bits: squaring the mantissa gives one bit after
 * the other. */
static uint64_t log2_q28(uint32_t i)
{
    uint64_t whole = 0, fraction = 0;
    uint64_t mantissa; /* [1, 2), 31 fractional bits */

    while ((i >> whole) > 1)
        whole++;
    mantissa = ((uint64_t)i << 31) >> whole;
    for (int bit = 0; bit < 28; bit++) {
        mantissa = (mantissa * mantissa) >> 31;
        fraction <<= 1;
        if (mantissa >> 32 != 0) {
            mantissa >>= 1;
            fraction |= 1u;
        }
    }
    return (whole << 28) | fraction;
}

void tribus_draw_init(tribus_draw *draw, uint64_t seed)
{
    tribus_random_init(&draw->random, seed);
    draw->exponential_q24[0] = 0; /* never read: that interval is drawn again */
    for (uint32_t i = 1; i <= TRIBUS_DRAW_STEPS; i++) {
        const uint64_t bits_q28 = ((uint64_t)12 << 28) - log2_q28(i);

        draw->exponential_q24[i] = ((bits_q28 * LN2_Q32) >> 32) >> 4;
    }
}

uint64_t tribus_draw_exponential_q24(tribus_draw *draw)
{
    const uint64_t tail_q24 = ((uint64_t)12 * LN2_Q32) >> 8; /* ln 4096 */
    uint64_t before = 0;

    for (;;) {
        const uint64_t r = tribus_random_u64(&draw->random);
        const uint64_t i = r >> 52;
        const uint64_t part_q32 = (r >> 20) & 0xffffffffu;
        uint64_t high, drop;

        if (i == 0) {
            before += tail_q24;
            continue;
        }
        high = draw->exponential_q24[i];
        drop = high - draw->exponential_q24[i + 1];
        return before + high - ((drop * part_q32) >> 32);
    }
}

int64_t tribus_draw_normal_q16(tribus_draw *draw)
{
    int64_t sum = 0;

    for (int word = 0; word < 3; word++) {
        const uint64_t r = tribus_random_u64(&draw->random);

        sum += (int64_t)((r & 0xffffu) + ((r >> 16) & 0xffffu) + ((r >> 32) & 0xffffu) +
                         (r >> 48));
    }
    return sum - 6 * 65535;
}

uint64_t tribus_draw_root(uint64_t x)
{
    uint64_t root = 0;

    for (uint64_t bit = (uint64_t)1 << 31; bit != 0; bit >>= 1) {
        const uint64_t next = root | bit;

        if (next * next <= x)
            root = next;
    }
    return root;
}
