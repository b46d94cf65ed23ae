/* number.c -- see number.h and wire.h.
 *
 * A double holds 15 to 17 digits, so a price such as 12345678.123456789 does not survive
 * one. Everything here works on the digits themselves. */
#include "wire/number.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

#define E9 1000000000u

/* Exponents beyond this give 0 or overflow for any number of TRIBUS_WIRE_TEXT_BYTES. */
#define EXPONENT_MOST 1000000

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Index after the digits that start at i. */
static size_t skip_digits(const char *text, size_t n, size_t i)
{
    while (i < n && is_digit(text[i]))
        i++;
    return i;
}

/* Read an exponent "e-12" that is the rest of the text. */
static bool read_exponent(const char *text, size_t n, size_t i, long *out)
{
    bool negative = false;
    long value = 0;

    i++; /* the e */
    if (i < n && (text[i] == '+' || text[i] == '-')) {
        negative = text[i] == '-';
        i++;
    }
    if (i == n || skip_digits(text, n, i) != n)
        return false;
    for (; i < n; i++) {
        if (value < EXPONENT_MOST)
            value = value * 10 + (text[i] - '0');
    }
    if (value > EXPONENT_MOST)
        value = EXPONENT_MOST;
    *out = negative ? -value : value;
    return true;
}

static void push_digit(tribus_number *d, unsigned digit)
{
    if (d->magnitude > (UINT64_MAX - digit) / 10u)
        d->overflow = true;
    else
        d->magnitude = d->magnitude * 10u + digit;
}

/* Take the first `take` digits of text[first..end), skipping the point; cut the others. */
static void take_digits(tribus_number *d, const char *text, size_t first, size_t end,
                        long take)
{
    long seen = 0;

    for (size_t i = first; i < end; i++) {
        unsigned digit;

        if (text[i] == '.')
            continue;
        digit = (unsigned)(text[i] - '0');
        if (seen < take) {
            push_digit(d, digit);
        } else {
            d->half = d->half || (seen == take && digit >= 5u);
            d->inexact = d->inexact || digit != 0u;
        }
        seen++;
    }
    for (; seen < take && d->magnitude != 0u && !d->overflow; seen++)
        push_digit(d, 0u);
}

bool tribus_number_read(const char *text, size_t n, int scale, tribus_number *out)
{
    tribus_number d = {0, false, false, false, false};
    const size_t first = n > 0 && text[0] == '-' ? 1u : 0u;
    const size_t point = skip_digits(text, n, first);
    size_t end = point;
    long exponent = 0;

    if (point == first || (text[first] == '0' && point - first > 1u))
        return false;
    if (end < n && text[end] == '.') {
        end = skip_digits(text, n, point + 1u);
        if (end == point + 1u)
            return false;
    }
    if (end < n &&
        ((text[end] != 'e' && text[end] != 'E') || !read_exponent(text, n, end, &exponent)))
        return false;
    d.negative = first == 1u;
    take_digits(&d, text, first, end, (long)(point - first) + exponent + scale);
    *out = d;
    return true;
}

bool tribus_number_to_i64(const tribus_number *d, int64_t *out)
{
    const uint64_t most = d->negative ? (uint64_t)INT64_MAX + 1u : (uint64_t)INT64_MAX;
    uint64_t m = d->magnitude;

    if (d->overflow || m > most || (d->half && m == most)) {
        *out = d->negative ? INT64_MIN : INT64_MAX;
        return false;
    }
    if (d->half)
        m++;
    if (d->negative)
        *out = m > (uint64_t)INT64_MAX ? INT64_MIN : -(int64_t)m;
    else
        *out = (int64_t)m;
    return true;
}

tribus_status tribus_wire_e9_parse(const char *text, size_t n, int64_t *out)
{
    const int shown = n < 40u ? (int)n : 40;
    tribus_number d;

    if (!tribus_number_read(text, n, 9, &d))
        return tribus_error_set(TRIBUS_BAD_DATA, "\"%.*s\" is not a number", shown, text);
    if (!tribus_number_to_i64(&d, out))
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%.*s is out of range: at most 9223372036.854775807 fits",
                                shown, text);
    return TRIBUS_OK;
}

size_t tribus_number_print_u64(uint64_t value, char *buf)
{
    char digits[20];
    size_t n = sizeof(digits);

    do {
        n--;
        digits[n] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    memcpy(buf, digits + n, sizeof(digits) - n);
    return sizeof(digits) - n;
}

static uint64_t magnitude_of(int64_t value)
{
    return value < 0 ? ~(uint64_t)value + 1u : (uint64_t)value;
}

size_t tribus_number_print_i64(int64_t value, char *buf)
{
    size_t n = 0;

    if (value < 0)
        buf[n++] = '-';
    return n + tribus_number_print_u64(magnitude_of(value), buf + n);
}

size_t tribus_wire_e9_print(int64_t value_e9, char *buf)
{
    const uint64_t m = magnitude_of(value_e9);
    uint32_t fraction = (uint32_t)(m % E9);
    size_t n = 0;
    size_t places = 9;

    if (value_e9 < 0)
        buf[n++] = '-';
    n += tribus_number_print_u64(m / E9, buf + n);
    buf[n++] = '.';
    if (fraction == 0u)
        places = 1; /* always one decimal: readers then see a real and never an integer */
    while (places > 1u && fraction % 10u == 0u) {
        fraction /= 10u;
        places--;
    }
    for (size_t i = places; i > 0u; i--) {
        buf[n + i - 1u] = (char)('0' + fraction % 10u);
        fraction /= 10u;
    }
    n += places;
    buf[n] = '\0';
    return n;
}

int64_t tribus_wire_e9_from_double(double value, bool *in_range)
{
    /* Whole part and fraction apart: value * 1e9 would round before we do. Beyond `most`
     * the sum could leave 64 bits; only the last 0.9 units of the range are lost by it. */
    static const double most = 9223372036.0;
    const double whole = trunc(value);
    const bool fits = whole > -most && whole < most;

    if (in_range != NULL)
        *in_range = fits;
    if (fits)
        return (int64_t)whole * (int64_t)E9 + (int64_t)round((value - whole) * 1e9);
    if (isnan(value))
        return 0;
    return value < 0.0 ? INT64_MIN : INT64_MAX;
}

double tribus_wire_e9_to_double(int64_t value_e9)
{
    const int64_t whole = value_e9 / (int64_t)E9, rest = value_e9 % (int64_t)E9;

    /* Exact up to 2^53 and then one rounding; whole and fraction apart beyond that. */
    if (value_e9 > -(1ll << 53) && value_e9 < (1ll << 53))
        return (double)value_e9 / 1e9;
    return (double)whole + (double)rest / 1e9;
}
