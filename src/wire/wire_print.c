/* wire_print.c -- a message as JSON, into the caller's buffer.
 *
 * This is on the publishing path: no allocation, and one bounds check per piece. The
 * message is validated first, so that printing need not ask again. */
#include "base/error.h"
#include "wire/number.h"
#include "wire/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where to print. Once something did not fit, nothing more is written. */
typedef struct sink {
    char *at;
    char *end; /* one byte before the real end: the zero always fits */
    bool full;
} sink;

static void put(sink *s, const char *bytes, size_t n)
{
    if ((size_t)(s->end - s->at) < n) {
        s->full = true;
        s->end = s->at;
        return;
    }
    memcpy(s->at, bytes, n);
    s->at += n;
}

#define PUT(s, literal) put((s), (literal), sizeof(literal) - 1)

static void put_i64(sink *s, int64_t value)
{
    char digits[TRIBUS_WIRE_E9_BYTES];

    put(s, digits, tribus_number_print_i64(value, digits));
}

static void put_u64(sink *s, uint64_t value)
{
    char digits[TRIBUS_WIRE_E9_BYTES];

    put(s, digits, tribus_number_print_u64(value, digits));
}

static void put_e9(sink *s, int64_t value_e9)
{
    char digits[TRIBUS_WIRE_E9_BYTES];

    put(s, digits, tribus_wire_e9_print(value_e9, digits));
}

/* A character that JSON does not allow as it is. */
static void put_escaped(sink *s, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15u]};

    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\b':
        text[1] = 'b';
        break;
    case '\f':
        text[1] = 'f';
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        put(s, text, 6);
        return;
    }
    put(s, text, 2);
}

/* Zero-terminated text, in quotes. */
static void put_text(sink *s, const char *text)
{
    const char *plain = text;

    PUT(s, "\"");
    for (;; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c >= 0x20u && c != '"' && c != '\\')
            continue;
        put(s, plain, (size_t)(text - plain));
        if (c == '\0')
            break;
        put_escaped(s, c);
        plain = text + 1;
    }
    PUT(s, "\"");
}

/* 15 digits where they read back equal, else the 17 that always do. In another locale
 * printf writes another decimal point; whatever cannot be part of a number is that. */
static void put_f64_any(sink *s, double value)
{
    char text[64];
    char out[64];
    size_t n = 0;
    bool real = false;

    for (int digits = 15; digits <= 17; digits += 2) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (digits == 17 || strtod(text, NULL) == value)
            break;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (strchr("+-0123456789", *c) != NULL) {
            out[n++] = *c;
        } else if (*c == 'e') {
            out[n++] = *c;
            real = true;
        } else if (n > 0u && out[n - 1u] != '.') {
            out[n++] = '.';
            real = true;
        }
    }
    put(s, out, n);
    if (!real)
        PUT(s, ".0");
}

static void put_f64(sink *s, double value)
{
    /* 2^53 / 1e9: below it value * 1e9 is an exactly representable integer if value has at
     * most 9 decimals, and the quotient of two such integers is rounded once, so it is the
     * double nearest to that decimal: printing the decimal is then exact, and fast. */
    static const double most = 9007199.0;

    if (isnan(value)) {
        PUT(s, "null");
        return;
    }
    if (value > -most && value < most) {
        const int64_t e9 = (int64_t)round(value * 1e9);

        if ((double)e9 / 1e9 == value && (e9 != 0 || !signbit(value))) {
            put_e9(s, e9);
            return;
        }
    }
    put_f64_any(s, value);
}

static void put_levels(sink *s, const char *at, uint32_t count)
{
    PUT(s, "[");
    for (uint32_t i = 0; i < count; i++) {
        tribus_level level;

        memcpy(&level, at + i * sizeof(level), sizeof(level));
        put(s, ",", i == 0u ? 0u : 1u);
        PUT(s, "[");
        put_e9(s, level.price_e9);
        PUT(s, ",");
        put_e9(s, level.qty_e9);
        PUT(s, "]");
    }
    PUT(s, "]");
}

static void put_i64s(sink *s, const char *at, uint32_t count)
{
    PUT(s, "[");
    for (uint32_t i = 0; i < count; i++) {
        int64_t value;

        memcpy(&value, at + i * sizeof(value), sizeof(value));
        put(s, ",", i == 0u ? 0u : 1u);
        put_i64(s, value);
    }
    PUT(s, "]");
}

static uint32_t u32_at(const char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* The value of one field of a valid message. */
static void put_value(sink *s, const tribus_wire_field_info *f, const char *msg)
{
    const char *at = msg + f->offset;
    uint64_t bits = 0;
    double real;

    if (f->bytes == sizeof(bits))
        memcpy(&bits, at, sizeof(bits));
    switch (f->kind) {
    case TRIBUS_WIRE_KIND_TEXT:
        put_text(s, at);
        break;
    case TRIBUS_WIRE_KIND_E9:
        put_e9(s, (int64_t)bits);
        break;
    case TRIBUS_WIRE_KIND_I64:
        put_i64(s, (int64_t)bits);
        break;
    case TRIBUS_WIRE_KIND_U64:
        put_u64(s, bits);
        break;
    case TRIBUS_WIRE_KIND_U32:
        put_u64(s, u32_at(at));
        break;
    case TRIBUS_WIRE_KIND_F64:
        memcpy(&real, at, sizeof(real));
        put_f64(s, real);
        break;
    case TRIBUS_WIRE_KIND_FLAG:
        put(s, u32_at(at) != 0u ? "true" : "false", u32_at(at) != 0u ? 4u : 5u);
        break;
    case TRIBUS_WIRE_KIND_PICK:
        put_text(s, f->choices[u32_at(at)]);
        break;
    case TRIBUS_WIRE_KIND_LEVELS:
        put_levels(s, at, u32_at(msg + f->count_offset));
        break;
    case TRIBUS_WIRE_KIND_I64S:
        put_i64s(s, at, u32_at(msg + f->count_offset));
        break;
    }
}

static void put_extra(sink *s, const char *members, size_t n)
{
    if (members != NULL && n > 0u) {
        PUT(s, ",");
        put(s, members, n);
    }
}

/* What follows the data: the envelope's other members. */
static void put_envelope(sink *s, const tribus_msg_header *h)
{
    PUT(s, "},\"priority\":");
    put_text(s, tribus_table_priorities.texts[h->priority]);
    PUT(s, ",\"engine_type\":");
    put_text(s, h->engine_type);
    PUT(s, ",\"engine_instance\":");
    put_text(s, h->engine_instance);
    PUT(s, ",\"bus_type\":");
    put_text(s, tribus_table_buses[h->bus]);
    PUT(s, ",\"timestamp_ns\":");
    put_i64(s, h->timestamp_wall_ns);
    if ((h->flags & TRIBUS_MSG_HARDWARE_ACCELERATED) != 0u)
        PUT(s, ",\"hardware_accelerated\":true");
    else
        PUT(s, ",\"hardware_accelerated\":false");
    if (h->origin != 0u || h->sequence != 0u || h->correlation != 0u) {
        PUT(s, ",\"tribus\":{\"origin\":");
        put_u64(s, h->origin);
        PUT(s, ",\"sequence\":");
        put_u64(s, h->sequence);
        PUT(s, ",\"correlation\":");
        put_u64(s, h->correlation);
        PUT(s, "}");
    }
}

static tribus_status too_small(const char *name, size_t n)
{
    return tribus_error_set(TRIBUS_BAD_ARG,
                            "%s: a buffer of %zu bytes is too small for its JSON; %d "
                            "suffice, and the unknown members kept beside it",
                            name, n, TRIBUS_WIRE_JSON_BYTES);
}

tribus_status tribus_wire_to_json_extra(const tribus_msg_header *msg,
                                        const tribus_wire_extra *extra, char *buf, size_t n,
                                        size_t *used)
{
    const tribus_table_row *row = tribus_table_row_of(msg->type);
    const tribus_table_field *fields;
    sink s = {buf, n == 0u ? buf : buf + n - 1u, false};
    uint32_t count;
    tribus_status st;

    st = tribus_wire_validate(msg, row == NULL ? sizeof(*msg) : row->bytes);
    if (st != TRIBUS_OK)
        return st;
    if (n == 0u)
        return too_small(row->name, n);
    fields = row->fields(&count);
    put(&s, row->json_head, row->json_head_bytes);
    for (uint32_t i = 0; i < count; i++) {
        const size_t comma = i == 0u ? 1u : 0u;

        put(&s, fields[i].json_key + comma, fields[i].json_key_bytes - comma);
        put_value(&s, &fields[i].info, (const char *)msg);
    }
    if (extra != NULL)
        put_extra(&s, extra->data, extra->data_bytes);
    put_envelope(&s, msg);
    if (extra != NULL)
        put_extra(&s, extra->envelope, extra->envelope_bytes);
    PUT(&s, "}");
    if (s.full)
        return too_small(row->name, n);
    *s.at = '\0';
    if (used != NULL)
        *used = (size_t)(s.at - buf);
    return TRIBUS_OK;
}

tribus_status tribus_wire_to_json(const tribus_msg_header *msg, char *buf, size_t n,
                                  size_t *used)
{
    return tribus_wire_to_json_extra(msg, NULL, buf, n, used);
}

tribus_status tribus_wire_field_print(const tribus_msg_header *msg, uint32_t index,
                                      char *buf, size_t n)
{
    const tribus_table_row *row = tribus_table_row_of(msg->type);
    sink s = {buf, n == 0u ? buf : buf + n - 1u, false};
    tribus_wire_field_info field;
    tribus_status st;

    st = tribus_wire_validate(msg, row == NULL ? sizeof(*msg) : row->bytes);
    if (st == TRIBUS_OK)
        st = tribus_wire_field(msg->type, index, &field);
    if (st != TRIBUS_OK)
        return st;
    if (n == 0u)
        return too_small(row->name, n);
    put_value(&s, &field, (const char *)msg);
    if (s.full)
        return too_small(row->name, n);
    *s.at = '\0';
    return TRIBUS_OK;
}
