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

const char *tribus_decimal_read(const char *p, const char *end, int places, int64_t *out)
{
    const bool negative = p < end && *p == '-';
    int64_t value = 0;

    if (negative)
        p++;
    if (!digit_at(p, end))
        return NULL;
    for (; digit_at(p, end); p++)
        if (!append(&value, *p - '0'))
            return NULL;
    if (p < end && *p == '.') {
        p++;
        if (!digit_at(p, end))
            return NULL;
        for (; digit_at(p, end); p++) {
            if (places == 0 && *p != '0')
                return NULL;
            if (places > 0) {
                if (!append(&value, *p - '0'))
                    return NULL;
                places--;
            }
        }
    }
    for (; places > 0; places--)
        if (!append(&value, 0))
            return NULL;
    *out = negative ? -value : value;
    return p;
}
