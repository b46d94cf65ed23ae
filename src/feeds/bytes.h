/* bytes.h -- integers out of recorded bytes, at any alignment. The caller checked that they
 * are there. */
#ifndef TRIBUS_FEEDS_BYTES_H
#define TRIBUS_FEEDS_BYTES_H

#include <stdint.h>

/* Most significant byte first, n 1..8. */
static inline uint64_t tribus_bytes_big(const unsigned char *p, int n)
{
    uint64_t value = 0;

    for (int i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* Least significant byte first, n 1..8. */
static inline uint64_t tribus_bytes_little(const unsigned char *p, int n)
{
    uint64_t value = 0;

    for (int i = n - 1; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

#endif
