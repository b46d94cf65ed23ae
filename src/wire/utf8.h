/* utf8.h -- is it UTF-8? Text in messages must be, so that the JSON made of it is JSON. */
#ifndef TRIBUS_WIRE_UTF8_H
#define TRIBUS_WIRE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at text, n > 0 bytes being there: 1..4; 0 when it is not UTF-8
 * (cut short, overlong, a surrogate, beyond U+10FFFF). Source: RFC 3629, section 4. */
size_t tribus_utf8_length(const char *text, size_t n);

/* The longest prefix of at most `most` bytes that ends between characters. */
size_t tribus_utf8_cut(const char *text, size_t n, size_t most);

/* Make text fit for one line of an error: what is not printable ASCII becomes '?'. Copies
 * at most room - 1 bytes and marks a cut with "...". room > 4. */
void tribus_utf8_show(const char *text, size_t n, char *out, size_t room);

/* Equal when ASCII letters' case is ignored, in every locale. */
bool tribus_utf8_same(const char *a, const char *b);

#endif
