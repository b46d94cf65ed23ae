/* random.c -- see random.h. */
#include "base/random.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void tribus_random_init(tribus_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z;

        seed += 0x9e3779b97f4a7c15u;
        z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t tribus_random_u64(tribus_random *r)
{
    uint64_t *s = r->s;
    const uint64_t result = rotl(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t tribus_random_below(tribus_random *r, uint64_t n)
{
    uint64_t limit, x;

    if (n == 0)
        return 0;
    limit = UINT64_MAX - UINT64_MAX % n; /* reject the uneven rest */
    do
        x = tribus_random_u64(r);
    while (x >= limit);
    return x % n;
}

double tribus_random_unit(tribus_random *r)
{
    return (double)(tribus_random_u64(r) >> 11) * 0x1.0p-53;
}
