/* decimal.c -- see decimal.h. */
#include "feeds/decimal.h"

#include <stdbool.h>
#include <stddef.h>

static bool digit_at(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* value * 10 + digit, false when that would pass INT64_MAX. */
static bool append(int64_t *value, int digit)
{
    if (*value > (INT64_MAX - digit) / 10)
        return false;
    *value = *value * 10 + digit;
    return true;
}

/* Read the fraction after the point. *finer: 10 * digit + (anything after it) of what is
 * past `places`, enough to tell whether it is zero and which way to round. */
static const char *read_fraction(const char *p, const char *end, int *places,
                                 int64_t *value, int *finer)
{
    bool first = true;

    if (!digit_at(p, end))
        return NULL;
    for (; digit_at(p, end); p++) {
        const int digit = *p - '0';

        if (*places > 0) {
            if (!append(value, digit))
                return NULL;
            (*places)--;
        } else {
            *finer += first ? 10 * digit : (*finer % 10 == 0 && digit != 0);
            first = false;
        }
    }
    return p;
}

static const char *read_scaled(const char *p, const char *end, int places, bool rounded,
                               int64_t *out)
{
    const bool negative = p < end && *p == '-';
    int64_t value = 0;
    int finer = 0;

    if (negative)
        p++;
    if (!digit_at(p, end))
        return NULL;
    for (; digit_at(p, end); p++)
        if (!append(&value, *p - '0'))
            return NULL;
    if (p < end && *p == '.') {
        p = read_fraction(p + 1, end, &places, &value, &finer);
        if (p == NULL || (finer != 0 && !rounded))
            return NULL;
    }
    for (; places > 0; places--)
        if (!append(&value, 0))
            return NULL;
    if (finer >= 50) {
        if (value == INT64_MAX)
            return NULL;
        value++;
    }
    *out = negative ? -value : value;
    return p;
}

const char *tribus_decimal_read(const char *p, const char *end, int places, int64_t *out)
{
    return read_scaled(p, end, places, false, out);
}

const char *tribus_decimal_round(const char *p, const char *end, int places, int64_t *out)
{
    return read_scaled(p, end, places, true, out);
}
