/* wire_validate.c -- is this a message? For bytes that another process wrote.
 *
 * Every message is asked this twice, when it is published and when it is received. So there
 * are two answers: one made for each type from messages.def, without a branch, which says
 * yes or perhaps; and one that walks the table and says what is wrong, or that a text is
 * UTF-8 beyond ASCII and all is well.
 */
#include "base/error.h"
#include "wire/table.h"
#include "wire/utf8.h"

#include <math.h>
#include <string.h>

/* ---- yes or perhaps ---- */

/* Not zero unless a text is ASCII with an end. bytes: a multiple of 8. */
static inline uint64_t doubt_text(const char *text, size_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = UINT64_C(0x8080808080808080);
    uint64_t all = 0, zero = 0;

    for (size_t at = 0; at < bytes; at += sizeof(all)) {
        uint64_t word;

        memcpy(&word, text + at, sizeof(word));
        all |= word;
        zero |= word - ones; /* sets a top bit where a byte is zero, or had one already */
    }
    return (all & tops) | (uint64_t)((zero & tops) == 0);
}

static inline uint64_t doubt_real(double real)
{
    uint64_t bits;

    memcpy(&bits, &real, sizeof(bits));
    return (uint64_t)((bits & UINT64_C(0x7fffffffffffffff)) ==
                      UINT64_C(0x7ff0000000000000)); /* infinite */
}

/* How many choices a set has: they count from 0 without gaps. */
#define TRIBUS_CHOICES(SET, set, meaning)   enum {
#define TRIBUS_CHOICE(SET, NAME, val, json) SET##_##NAME##_place,
#define TRIBUS_CHOICES_END(SET, set)                                                       \
    set##_count                                                                            \
    }                                                                                      \
    ;
#include "tribus/messages.def"

static inline uint64_t doubt_header(const tribus_msg_header *h, uint32_t bus, size_t bytes)
{
    return (uint64_t)(h->bus != bus) | (uint64_t)(h->priority >= priority_count) |
           (uint64_t)(h->body_bytes != bytes - sizeof(*h)) |
           doubt_text(h->engine_type, sizeof(h->engine_type)) |
           doubt_text(h->engine_instance, sizeof(h->engine_instance));
}

#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    static uint64_t doubt_##name(const void *msg)                                          \
    {                                                                                      \
        const tribus_msg_##name *m = msg;                                                  \
        uint64_t doubt = doubt_header(&m->header, TRIBUS_BUS_##BUS, sizeof(*m));
#define TRIBUS_TEXT(name, bytes, need, meaning)                                            \
    _Static_assert(sizeof(m->name) % 8 == 0, "doubt_text");                                \
    doubt |= doubt_text(m->name, sizeof(m->name));
#define TRIBUS_F64(name, need, unit, meaning) doubt |= doubt_real(m->name);
#define TRIBUS_FLAG(name, need, meaning)      doubt |= (uint64_t)(m->name > 1u);
#define TRIBUS_PICK(name, set, need, meaning) doubt |= (uint64_t)(m->name >= set##_count);
#define TRIBUS_LEVELS(name, count, most, need, meaning)                                    \
    doubt |= (uint64_t)(m->count > (most));
#define TRIBUS_I64S(name, count, most, need, unit, meaning)                                \
    doubt |= (uint64_t)(m->count > (most));
#define TRIBUS_END                                                                         \
    return doubt;                                                                          \
    }
#include "tribus/messages.def"

static const struct {
    uint64_t (*doubt)(const void *msg);
    size_t bytes;
} quick[TRIBUS_MSG_END] = {
#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    [number] = {doubt_##name, sizeof(tribus_msg_##name)},
#include "tribus/messages.def"
};

static bool is_surely_valid(const void *msg, size_t bytes)
{
    const tribus_msg_header *h = msg;

    return (uintptr_t)msg % _Alignof(tribus_msg_any) == 0 && bytes >= sizeof(*h) &&
           h->type < TRIBUS_MSG_END && quick[h->type].doubt != NULL &&
           bytes >= quick[h->type].bytes && quick[h->type].doubt(msg) == 0;
}

/* ---- what is wrong ---- */

static tribus_status bad(const tribus_table_row *row, const char *field, const char *why)
{
    return tribus_error_set(TRIBUS_CORRUPT, "%s: %s: %s", row->name, field, why);
}

static tribus_status check_text(const tribus_table_row *row, const char *name,
                                const char *text, size_t bytes)
{
    const char *end;
    size_t at = 0;

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

    if (is_surely_valid(msg, bytes))
        return TRIBUS_OK;
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
