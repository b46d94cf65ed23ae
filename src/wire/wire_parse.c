/* wire_parse.c -- a message from JSON that anyone may have written.
 *
 * Every complaint names the type and the member, in one line. A message is built aside and
 * copied out when all of it is good. */
#include "base/error.h"
#include "wire/number.h"
#include "wire/json_text.h"
#include "wire/table.h"
#include "wire/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MOST 400 /* characters of a number that becomes a double */
#define SHOWN       48  /* characters of foreign text in a complaint */

/* What is being read, for complaints: "price_update: data.price". */
typedef struct place {
    const tribus_json_text *json;
    const char *type;
    const char *group; /* "data." or "" */
    const char *key;
} place;

static tribus_status missing(const place *at)
{
    return tribus_error_set(TRIBUS_BAD_DATA, "%s: %s%s is missing", at->type, at->group,
                            at->key);
}

static tribus_status wrong_kind(const place *at, const char *wanted, const json_t *value)
{
    return tribus_error_set(TRIBUS_BAD_DATA, "%s: %s%s must be %s, not %s", at->type,
                            at->group, at->key, wanted, tribus_json_text_kind(value));
}

static tribus_status out_of_range(const place *at, const char *number, size_t n,
                                  const char *range)
{
    char shown[SHOWN];

    tribus_utf8_show(number, n, shown, sizeof(shown));
    return tribus_error_set(TRIBUS_BAD_DATA, "%s: %s%s: %s is out of range, %s", at->type,
                            at->group, at->key, shown, range);
}

/* ---- values ---- */

static tribus_status read_text(const place *at, const json_t *value, char *out,
                               size_t bytes)
{
    size_t n;

    if (!json_is_string(value))
        return wrong_kind(at, "text", value);
    n = json_string_length(value);
    if (n >= bytes)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: %s%s: the text has %zu bytes, at most %zu fit",
                                at->type, at->group, at->key, n, bytes - 1u);
    memcpy(out, json_string_value(value), n);
    memset(out + n, 0, bytes - n);
    return TRIBUS_OK;
}

static tribus_status read_e9(const place *at, const json_t *value, int64_t *out)
{
    size_t n;
    const char *number = tribus_json_text_number(at->json, value, &n);
    tribus_number d;

    if (number == NULL)
        return wrong_kind(at, "a number", value);
    if (!tribus_number_read(number, n, 9, &d) || !tribus_number_to_i64(&d, out))
        return out_of_range(at, number, n, "at most 9223372036.854775807 fits");
    return TRIBUS_OK;
}

/* An integer, in any notation that is exactly one: 5, 5.0, 5e0. */
static tribus_status read_integer(const place *at, const json_t *value, tribus_number *out)
{
    size_t n;
    const char *number = tribus_json_text_number(at->json, value, &n);

    if (number == NULL)
        return wrong_kind(at, "an integer", value);
    if (!tribus_number_read(number, n, 0, out) || out->inexact) {
        char shown[SHOWN];

        tribus_utf8_show(number, n, shown, sizeof(shown));
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: %s%s must be an integer, not %s",
                                at->type, at->group, at->key, shown);
    }
    return TRIBUS_OK;
}

static tribus_status read_i64(const place *at, const json_t *value, int64_t *out)
{
    tribus_number d;
    tribus_status st = read_integer(at, value, &d);
    size_t n;
    const char *number;

    if (st != TRIBUS_OK)
        return st;
    number = tribus_json_text_number(at->json, value, &n);
    if (!tribus_number_to_i64(&d, out))
        return out_of_range(at, number, n, "it must fit 64 bits");
    return TRIBUS_OK;
}

static tribus_status read_u64(const place *at, const json_t *value, uint64_t most,
                              uint64_t *out)
{
    tribus_number d;
    tribus_status st = read_integer(at, value, &d);
    char range[48];
    size_t n;
    const char *number;

    if (st != TRIBUS_OK)
        return st;
    number = tribus_json_text_number(at->json, value, &n);
    if (d.overflow || d.magnitude > most || (d.negative && d.magnitude != 0u)) {
        (void)snprintf(range, sizeof(range), "0 to %llu fits", (unsigned long long)most);
        return out_of_range(at, number, n, range);
    }
    *out = d.magnitude;
    return TRIBUS_OK;
}

/* strtod, told the decimal point of this thread's locale by printf. */
static double to_double(const char *number, size_t n)
{
    char text[NUMBER_MOST + 16];
    char half[16]; /* "0.5" with that point */
    size_t at = 0;

    (void)snprintf(half, sizeof(half), "%.1f", 0.5);
    for (size_t i = 0; i < n; i++) {
        if (number[i] != '.') {
            text[at++] = number[i];
            continue;
        }
        memcpy(text + at, half + 1, strlen(half) - 2u);
        at += strlen(half) - 2u;
    }
    text[at] = '\0';
    return strtod(text, NULL);
}

static tribus_status read_f64(const place *at, const json_t *value, double *out)
{
    size_t n;
    const char *number = tribus_json_text_number(at->json, value, &n);
    tribus_number d;
    double real;

    if (json_is_null(value)) {
        *out = NAN;
        return TRIBUS_OK;
    }
    if (number == NULL)
        return wrong_kind(at, "a number or null", value);
    if (n > NUMBER_MOST)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: %s%s: a number of %zu characters, at most %d are read",
                                at->type, at->group, at->key, n, NUMBER_MOST);
    /* A quotient of two exactly representable integers is rounded once, so this is what
     * strtod gives, in a tenth of the time. */
    if (tribus_number_read(number, n, 9, &d) && !d.inexact && !d.overflow &&
        d.magnitude <= 1ull << 53) {
        real = (double)d.magnitude / 1e9;
        *out = d.negative ? -real : real;
        return TRIBUS_OK;
    }
    real = to_double(number, n);
    if (isinf(real))
        return out_of_range(at, number, n, "at most 1.7976931348623157e308 fits");
    *out = real;
    return TRIBUS_OK;
}

static tribus_status read_choice(const place *at, const json_t *value,
                                 const char *const *texts, uint32_t count, uint32_t *out)
{
    const char *text = json_string_value(value);
    char shown[SHOWN];
    char known[200];
    size_t used = 0;

    if (text == NULL)
        return wrong_kind(at, "text", value);
    for (uint32_t i = 0; i < count; i++) {
        if (tribus_utf8_same(text, texts[i])) {
            *out = i;
            return TRIBUS_OK;
        }
    }
    for (uint32_t i = 0; i < count && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
                                 i == 0u ? "" : " ", texts[i]);
    tribus_utf8_show(text, strlen(text), shown, sizeof(shown));
    return tribus_error_set(TRIBUS_BAD_DATA, "%s: %s%s: \"%s\" is none of: %s", at->type,
                            at->group, at->key, shown, known);
}

static tribus_status read_flag(const place *at, const json_t *value, uint32_t *out)
{
    if (!json_is_boolean(value))
        return wrong_kind(at, "true or false", value);
    *out = json_is_true(value) ? 1u : 0u;
    return TRIBUS_OK;
}

/* ---- arrays ---- */

static tribus_status read_level(const place *at, const json_t *pair, char *out)
{
    tribus_level level;
    tribus_status st;

    if (!json_is_array(pair) || json_array_size(pair) != 2u)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: %s%s: each level must be [price, qty]", at->type,
                                at->group, at->key);
    st = read_e9(at, json_array_get(pair, 0), &level.price_e9);
    if (st == TRIBUS_OK)
        st = read_e9(at, json_array_get(pair, 1), &level.qty_e9);
    if (st == TRIBUS_OK)
        memcpy(out, &level, sizeof(level));
    return st;
}

static tribus_status read_array(const place *at, const json_t *value,
                                const tribus_wire_field_info *f, char *msg)
{
    const size_t step = f->bytes / f->most;
    uint32_t count;

    if (!json_is_array(value))
        return wrong_kind(at, "an array", value);
    if (json_array_size(value) > f->most)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: %s%s: %zu elements, at most %u fit",
                                at->type, at->group, at->key, json_array_size(value),
                                f->most);
    count = (uint32_t)json_array_size(value);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *element = json_array_get(value, i);
        char *out = msg + f->offset + i * step;
        tribus_status st;
        int64_t number;

        if (f->kind == TRIBUS_WIRE_KIND_LEVELS) {
            st = read_level(at, element, out);
        } else {
            st = read_i64(at, element, &number);
            if (st == TRIBUS_OK)
                memcpy(out, &number, sizeof(number));
        }
        if (st != TRIBUS_OK)
            return st;
    }
    memcpy(msg + f->count_offset, &count, sizeof(count));
    return TRIBUS_OK;
}

/* ---- fields ---- */

static tribus_status read_field(const place *at, const json_t *value,
                                const tribus_wire_field_info *f, char *msg)
{
    char *out = msg + f->offset;
    tribus_status st = TRIBUS_OK;
    uint64_t bits = 0; /* little-endian: its first f->bytes bytes are the value */
    uint32_t word = 0;
    int64_t number = 0;
    double real = 0.0;

    switch (f->kind) {
    case TRIBUS_WIRE_KIND_TEXT:
        return read_text(at, value, out, f->bytes);
    case TRIBUS_WIRE_KIND_LEVELS:
    case TRIBUS_WIRE_KIND_I64S:
        return read_array(at, value, f, msg);
    case TRIBUS_WIRE_KIND_E9:
    case TRIBUS_WIRE_KIND_I64:
        st = f->kind == TRIBUS_WIRE_KIND_E9 ? read_e9(at, value, &number)
                                            : read_i64(at, value, &number);
        bits = (uint64_t)number;
        break;
    case TRIBUS_WIRE_KIND_U64:
        st = read_u64(at, value, UINT64_MAX, &bits);
        break;
    case TRIBUS_WIRE_KIND_U32:
        st = read_u64(at, value, UINT32_MAX, &bits);
        break;
    case TRIBUS_WIRE_KIND_F64:
        st = read_f64(at, value, &real);
        memcpy(&bits, &real, sizeof(bits));
        break;
    case TRIBUS_WIRE_KIND_FLAG:
        st = read_flag(at, value, &word);
        bits = word;
        break;
    case TRIBUS_WIRE_KIND_PICK:
        st = read_choice(at, value, f->choices, f->choice_count, &word);
        bits = word;
        break;
    }
    if (st == TRIBUS_OK)
        memcpy(out, &bits, f->bytes);
    return st;
}

static tribus_status read_data(const tribus_json_text *json, const tribus_table_row *row,
                               char *msg)
{
    const json_t *data = json_object_get(json->root, "data");
    const double unknown = NAN;
    uint32_t count;
    const tribus_table_field *fields = row->fields(&count);

    for (uint32_t i = 0; i < count; i++) {
        const tribus_wire_field_info *f = &fields[i].info;
        const json_t *value = json_object_get(data, f->key);
        const place at = {json, row->name, "data.", f->key};
        tribus_status st = TRIBUS_OK;

        if (value != NULL && (f->required || !json_is_null(value)))
            st = read_field(&at, value, f, msg);
        else if (f->required)
            st = missing(&at);
        else if (f->kind == TRIBUS_WIRE_KIND_F64)
            memcpy(msg + f->offset, &unknown, sizeof(unknown));
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- the envelope ---- */

static const char *const envelope_keys[] = {
    "type",
    "data",
    "priority",
    "engine_type",
    "engine_instance",
    "bus_type",
    "timestamp_ns",
    "hardware_accelerated",
    "tribus",
};

enum { ENVELOPE_KEYS = sizeof(envelope_keys) / sizeof(envelope_keys[0]) };

static tribus_status read_bus(const tribus_json_text *json, const tribus_table_row *row)
{
    const place at = {json, row->name, "", "bus_type"};
    const json_t *value = json_object_get(json->root, at.key);
    uint32_t bus = 0;
    tribus_status st = read_choice(&at, value, tribus_table_buses, TRIBUS_BUSES, &bus);

    if (st == TRIBUS_OK && bus != row->bus)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: bus_type: it belongs to %s, not to %s", row->name,
                                tribus_table_buses[row->bus], tribus_table_buses[bus]);
    return st;
}

/* Our own member, of use between Tribus hosts; each part of it may be absent. */
static tribus_status read_tribus(const tribus_json_text *json, const tribus_table_row *row,
                                 tribus_msg_header *h)
{
    const json_t *object = json_object_get(json->root, "tribus");
    const place whole = {json, row->name, "", "tribus"};
    uint64_t origin = 0;
    const struct {
        const char *key;
        uint64_t most;
        uint64_t *out;
    } parts[] = {{"origin", UINT32_MAX, &origin},
                 {"sequence", UINT64_MAX, &h->sequence},
                 {"correlation", UINT64_MAX, &h->correlation}};

    if (object == NULL)
        return TRIBUS_OK;
    if (!json_is_object(object))
        return wrong_kind(&whole, "an object", object);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const json_t *value = json_object_get(object, parts[i].key);
        const place at = {json, row->name, "tribus.", parts[i].key};
        tribus_status st;

        if (value == NULL)
            continue;
        st = read_u64(&at, value, parts[i].most, parts[i].out);
        if (st != TRIBUS_OK)
            return st;
    }
    h->origin = (uint32_t)origin;
    return TRIBUS_OK;
}

/* All but type, data and tribus. */
static tribus_status read_envelope_member(const tribus_json_text *json,
                                          const tribus_table_row *row, const char *key,
                                          tribus_msg_header *h)
{
    const json_t *value = json_object_get(json->root, key);
    const place at = {json, row->name, "", key};
    uint32_t word = 0;
    tribus_status st;

    if (value == NULL)
        return missing(&at);
    if (strcmp(key, "engine_type") == 0)
        return read_text(&at, value, h->engine_type, sizeof(h->engine_type));
    if (strcmp(key, "engine_instance") == 0)
        return read_text(&at, value, h->engine_instance, sizeof(h->engine_instance));
    if (strcmp(key, "bus_type") == 0)
        return read_bus(json, row);
    if (strcmp(key, "timestamp_ns") == 0)
        return read_i64(&at, value, &h->timestamp_wall_ns);
    if (strcmp(key, "priority") == 0) {
        st = read_choice(&at, value, tribus_table_priorities.texts,
                         tribus_table_priorities.count, &word);
        h->priority = (uint8_t)word;
        return st;
    }
    st = read_flag(&at, value, &word);
    if (st == TRIBUS_OK && word != 0u)
        h->flags |= TRIBUS_MSG_HARDWARE_ACCELERATED;
    return st;
}

static tribus_status read_envelope(const tribus_json_text *json,
                                   const tribus_table_row *row, tribus_msg_any *msg)
{
    const json_t *data = json_object_get(json->root, "data");
    const place at = {json, row->name, "", "data"};
    tribus_status st = TRIBUS_OK;

    if (data == NULL)
        return missing(&at);
    if (!json_is_object(data))
        return wrong_kind(&at, "an object", data);
    for (size_t i = 2; i + 1u < ENVELOPE_KEYS && st == TRIBUS_OK; i++)
        st = read_envelope_member(json, row, envelope_keys[i], &msg->header);
    if (st == TRIBUS_OK)
        st = read_tribus(json, row, &msg->header);
    if (st == TRIBUS_OK)
        st = read_data(json, row, (char *)msg);
    return st;
}

static tribus_status read_type(const tribus_json_text *json, const tribus_table_row **out)
{
    const json_t *value = json_object_get(json->root, "type");
    const place at = {json, "envelope", "", "type"};
    tribus_msg_type type;
    tribus_status st;

    if (value == NULL)
        return missing(&at);
    if (!json_is_string(value))
        return wrong_kind(&at, "text", value);
    st = tribus_wire_type_find(json_string_value(value), &type);
    if (st == TRIBUS_OK)
        *out = tribus_table_row_of(type);
    return st;
}

/* ---- what we do not know ---- */

static bool knows_envelope_key(const void *context, const char *key)
{
    (void)context;
    for (size_t i = 0; i < ENVELOPE_KEYS; i++) {
        if (strcmp(key, envelope_keys[i]) == 0)
            return true;
    }
    return false;
}

static bool knows_data_key(const void *context, const char *key)
{
    const tribus_table_row *row = context;
    uint32_t count;
    const tribus_table_field *fields = row->fields(&count);

    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(key, fields[i].info.key) == 0)
            return true;
    }
    return false;
}

static tribus_status keep_extra(const tribus_json_text *json, const tribus_table_row *row,
                                tribus_wire_extra *extra)
{
    bool fits = true;

    extra->envelope_bytes = 0;
    extra->data_bytes = 0;
    if (extra->envelope != NULL)
        fits = tribus_json_text_rest(json, json->root, knows_envelope_key, row,
                                     extra->envelope, extra->envelope_room,
                                     &extra->envelope_bytes);
    if (fits && extra->data != NULL)
        fits =
            tribus_json_text_rest(json, json_object_get(json->root, "data"), knows_data_key,
                                  row, extra->data, extra->data_room, &extra->data_bytes);
    if (!fits)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: the unknown members do not fit the buffer for them",
                                row->name);
    return TRIBUS_OK;
}

tribus_status tribus_wire_from_json(const char *text, size_t n, void *msg, size_t msg_bytes,
                                    tribus_wire_extra *extra)
{
    const tribus_table_row *row = NULL;
    tribus_msg_any built;
    tribus_json_text json;
    tribus_status st;

    if (n > TRIBUS_WIRE_TEXT_BYTES)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "a message of %zu bytes is refused: the limit is %d", n,
                                TRIBUS_WIRE_TEXT_BYTES);
    st = tribus_json_text_parse(text, n, &json);
    if (st != TRIBUS_OK)
        return st;
    st = read_type(&json, &row);
    if (st == TRIBUS_OK && msg_bytes < row->bytes)
        st = tribus_error_set(TRIBUS_BAD_ARG, "%s: a message takes %u bytes, not %zu",
                              row->name, row->bytes, msg_bytes);
    if (st == TRIBUS_OK)
        st = tribus_wire_init(&built, sizeof(built), row->type);
    if (st == TRIBUS_OK)
        st = read_envelope(&json, row, &built);
    if (st == TRIBUS_OK && extra != NULL)
        st = keep_extra(&json, row, extra);
    if (st == TRIBUS_OK) {
        built.header.flags |= TRIBUS_MSG_FROM_WIRE;
        memcpy(msg, &built, row->bytes);
    }
    tribus_json_text_free(&json);
    return st;
}
