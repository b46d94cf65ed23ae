/* wire_validate.c -- is this a message? For bytes that another process wrote. */
#include "base/error.h"
#include "wire/table.h"
#include "wire/utf8.h"

#include <math.h>
#include <string.h>

static tribus_status bad(const tribus_table_row *row, const char *field, const char *why)
{
    return tribus_error_set(TRIBUS_CORRUPT, "%s: %s: %s", row->name, field, why);
}

/* Is it ASCII with an end? Eight bytes at a time: most texts are, and this is asked for
 * every message twice. false: look closer. */
static bool is_plain(const char *text, size_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = UINT64_C(0x8080808080808080);
    uint64_t word;

    for (size_t at = 0; at + sizeof(word) <= bytes; at += sizeof(word)) {
        memcpy(&word, text + at, sizeof(word));
        if ((word & tops) != 0)
            return false;
        if (((word - ones) & tops) != 0) /* a zero byte, as there is no top bit */
            return true;
    }
    return false;
}

static tribus_status check_text(const tribus_table_row *row, const char *name,
                                const char *text, size_t bytes)
{
    const char *end;
    size_t at = 0;

    if (is_plain(text, bytes))
        return TRIBUS_OK;
    end = memchr(text, '\0', bytes);
    if (end == NULL)
        return bad(row, name, "the text has no end");
    while (text + at < end) {
        const size_t step = tribus_utf8_length(text + at, (size_t)(end - text) - at);

        if (step == 0u)
            return bad(row, name, "the text is not UTF-8");
        at += step;
    }
    return TRIBUS_OK;
}

static tribus_status check_field(const tribus_table_row *row,
                                 const tribus_wire_field_info *f, const char *msg)
{
    uint32_t number = 0;
    double real;

    switch (f->kind) {
    case TRIBUS_WIRE_KIND_TEXT:
        return check_text(row, f->name, msg + f->offset, f->bytes);
    case TRIBUS_WIRE_KIND_F64:
        memcpy(&real, msg + f->offset, sizeof(real));
        return isinf(real) ? bad(row, f->name, "the number is infinite") : TRIBUS_OK;
    case TRIBUS_WIRE_KIND_FLAG:
        memcpy(&number, msg + f->offset, sizeof(number));
        return number > 1u ? bad(row, f->name, "neither 0 nor 1") : TRIBUS_OK;
    case TRIBUS_WIRE_KIND_PICK:
        memcpy(&number, msg + f->offset, sizeof(number));
        return number >= f->choice_count ? bad(row, f->name, "not one of its choices")
                                         : TRIBUS_OK;
    case TRIBUS_WIRE_KIND_LEVELS:
    case TRIBUS_WIRE_KIND_I64S:
        memcpy(&number, msg + f->count_offset, sizeof(number));
        return number > f->most ? bad(row, f->name, "more elements than it can hold")
                                : TRIBUS_OK;
    case TRIBUS_WIRE_KIND_E9:
    case TRIBUS_WIRE_KIND_I64:
    case TRIBUS_WIRE_KIND_U64:
    case TRIBUS_WIRE_KIND_U32:
        break;
    }
    return TRIBUS_OK;
}

static tribus_status check_header(const tribus_table_row *row, const tribus_msg_header *h)
{
    tribus_status st;

    if (h->bus != row->bus)
        return bad(row, "bus", "not the bus of this type");
    if (h->priority >= tribus_table_priorities.count)
        return bad(row, "priority", "not one of its choices");
    if (h->body_bytes != row->bytes - sizeof(*h))
        return bad(row, "body_bytes", "not the size of this type");
    st = check_text(row, "engine_type", h->engine_type, sizeof(h->engine_type));
    if (st != TRIBUS_OK)
        return st;
    return check_text(row, "engine_instance", h->engine_instance,
                      sizeof(h->engine_instance));
}

tribus_status tribus_wire_validate(const void *msg, size_t bytes)
{
    const tribus_table_row *row;
    const tribus_table_field *fields;
    tribus_msg_header h;
    uint32_t count;
    tribus_status st;

    if (bytes < sizeof(h))
        return tribus_error_set(TRIBUS_CORRUPT, "a message of %zu bytes has no header",
                                bytes);
    memcpy(&h, msg, sizeof(h));
    row = tribus_table_row_of(h.type);
    if (row == NULL)
        return tribus_error_set(TRIBUS_CORRUPT, "there is no message type %u", h.type);
    if (bytes < row->bytes)
        return tribus_error_set(TRIBUS_CORRUPT, "%s: %zu bytes, but the type takes %u",
                                row->name, bytes, row->bytes);
    st = check_header(row, &h);
    fields = row->fields(&count);
    for (uint32_t i = 0; i < count && st == TRIBUS_OK; i++)
        st = check_field(row, &fields[i].info, msg);
    return st;
}
