/* csv.c -- see tribus/quant_csv.h. */
#include "tribus/quant_csv.h"

#include "quant/why.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void tribus_quant_csv_init(tribus_quant_csv *c, const char *text, size_t bytes)
{
    *c = (tribus_quant_csv){.at = text, .end = text + bytes};
}

/* One field of [*at, stop); afterwards *at is at the separator or at stop. */
static tribus_status take_field(const char **at, const char *stop, tribus_quant_text *out)
{
    const char *p = *at;

    if (p < stop && *p == '"') {
        const char *start = ++p;

        for (;; p++) {
            if (p == stop)
                return TRIBUS_BAD_DATA;
            if (*p != '"')
                continue;
            if (p + 1 < stop && p[1] == '"') {
                p++;
                continue;
            }
            break;
        }
        *out = (tribus_quant_text){start, (size_t)(p - start)};
        p++;
        *at = p;
        return p == stop || *p == ',' ? TRIBUS_OK : TRIBUS_BAD_DATA;
    }
    while (p < stop && *p != ',')
        p++;
    *out = (tribus_quant_text){*at, (size_t)(p - *at)};
    *at = p;
    return TRIBUS_OK;
}

tribus_status tribus_quant_csv_next(tribus_quant_csv *c, tribus_quant_text *fields,
                                    uint32_t capacity, uint32_t *count,
                                    tribus_quant_why *why)
{
    const char *at, *stop;
    uint32_t n = 0;

    do {
        if (c->at == c->end)
            return TRIBUS_EMPTY;
        at = c->at;
        stop = memchr(at, '\n', (size_t)(c->end - at));
        c->at = stop == NULL ? c->end : stop + 1;
        stop = stop == NULL ? c->end : stop;
        if (stop > at && stop[-1] == '\r')
            stop--;
        c->line++;
    } while (stop == at);
    for (;;) {
        tribus_quant_text field;

        if (take_field(&at, stop, &field) != TRIBUS_OK) {
            tribus_quant_why_set(why,
                                 "line %u, field %u: a quote does not close, or text "
                                 "follows it",
                                 c->line, n + 1);
            return TRIBUS_BAD_DATA;
        }
        if (n < capacity)
            fields[n] = field;
        n++;
        if (at == stop)
            break;
        at++; /* the comma; what follows it is a field, even if empty */
    }
    *count = n;
    if (n <= capacity)
        return TRIBUS_OK;
    tribus_quant_why_set(why, "line %u has %u fields, more than %u", c->line, n, capacity);
    return TRIBUS_FULL;
}

tribus_status tribus_quant_csv_number(tribus_quant_text field, double *out)
{
    static const char *const missing[] = {"", "na", "nan", "null", "n/a"};
    char copy[64], *stop;
    size_t n = field.bytes;

    *out = NAN;
    while (n > 0 && (field.at[0] == ' ' || field.at[0] == '\t')) {
        field.at++;
        n--;
    }
    while (n > 0 && (field.at[n - 1] == ' ' || field.at[n - 1] == '\t'))
        n--;
    if (n >= sizeof(copy) || memchr(field.at, '\0', n) != NULL)
        return TRIBUS_BAD_DATA;
    memcpy(copy, field.at, n);
    copy[n] = '\0';
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
        if (strcasecmp(copy, missing[i]) == 0)
            return TRIBUS_OK;
    *out = strtod(copy, &stop);
    if (*stop == '\0' && isfinite(*out))
        return TRIBUS_OK;
    *out = NAN;
    return TRIBUS_BAD_DATA;
}
