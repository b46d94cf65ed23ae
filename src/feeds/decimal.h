/* decimal.h -- read a decimal number as a scaled integer, exactly, without locale.
 *
 * Not for   exponents, hexadecimal or spaces: those are refused.
 */
#ifndef TRIBUS_FEEDS_DECIMAL_H
#define TRIBUS_FEEDS_DECIMAL_H

#include <stdint.h>

/* Read "[-]digits[.digits]" from [p, end) as an integer count of 10^-places, places 0..9.
 * Digits past `places` must be zero: nothing is rounded. out: written on success only.
 * Returns the first character after the number, or NULL when there is no number, it does
 * not fit 63 bits or it is finer than `places`. */
const char *tribus_decimal_read(const char *p, const char *end, int places, int64_t *out);

/* The same, but digits past `places` are rounded to the nearest, halves away from zero: for
 * files whose numbers once went through a double (43002.632812672004 seconds). */
const char *tribus_decimal_round(const char *p, const char *end, int places, int64_t *out);

#endif
