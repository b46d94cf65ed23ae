/* utf8.c -- see utf8.h. */
#include "wire/utf8.h"

#include <string.h>

static bool within(unsigned char c, unsigned low, unsigned high)
{
    return c >= low && c <= high;
}

size_t tribus_utf8_length(const char *text, size_t n)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t bytes;
    unsigned low = 0x80u;
    unsigned high = 0xbfu;

    if (c[0] < 0x80u)
        return 1;
    if (within(c[0], 0xc2u, 0xdfu)) {
        bytes = 2;
    } else if (within(c[0], 0xe0u, 0xefu)) {
        bytes = 3;
        if (c[0] == 0xe0u)
            low = 0xa0u; /* below: overlong */
        if (c[0] == 0xedu)
            high = 0x9fu; /* above: surrogates */
    } else if (within(c[0], 0xf0u, 0xf4u)) {
        bytes = 4;
        if (c[0] == 0xf0u)
            low = 0x90u; /* below: overlong */
        if (c[0] == 0xf4u)
            high = 0x8fu; /* above: beyond U+10FFFF */
    } else {
        return 0;
    }
    if (n < bytes || !within(c[1], low, high))
        return 0;
    for (size_t i = 2; i < bytes; i++) {
        if (!within(c[i], 0x80u, 0xbfu))
            return 0;
    }
    return bytes;
}

size_t tribus_utf8_cut(const char *text, size_t n, size_t most)
{
    size_t at = most;

    if (n <= most)
        return n;
    /* Step back over continuation bytes to the start of the character that does not fit. */
    while (at > 0 && ((unsigned char)text[at] & 0xc0u) == 0x80u)
        at--;
    return at;
}

void tribus_utf8_show(const char *text, size_t n, char *out, size_t room)
{
    const bool cut = n > room - 1u;
    const size_t shown = cut ? room - 4u : n;

    for (size_t i = 0; i < shown; i++)
        out[i] = within((unsigned char)text[i], 0x20u, 0x7eu) ? text[i] : '?';
    if (cut)
        memcpy(out + shown, "...", 4);
    else
        out[shown] = '\0';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool tribus_utf8_same(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}
