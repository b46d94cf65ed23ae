/* table.c -- see table.h. Everything here is an expansion of messages.def. */
#include "wire/table.h"

#include <stddef.h>

/* ---- the layout is what messages.def promises, on every compiler ---- */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "messages are little-endian in memory; this machine is not"
#endif

_Static_assert(sizeof(tribus_msg_header) == 96, "header");
_Static_assert(offsetof(tribus_msg_header, type) == 0 &&
                   offsetof(tribus_msg_header, bus) == 2 &&
                   offsetof(tribus_msg_header, priority) == 3 &&
                   offsetof(tribus_msg_header, body_bytes) == 4 &&
                   offsetof(tribus_msg_header, timestamp_wall_ns) == 8 &&
                   offsetof(tribus_msg_header, sequence) == 16 &&
                   offsetof(tribus_msg_header, correlation) == 24 &&
                   offsetof(tribus_msg_header, origin) == 32 &&
                   offsetof(tribus_msg_header, flags) == 36 &&
                   offsetof(tribus_msg_header, reserved) == 38 &&
                   offsetof(tribus_msg_header, engine_type) == 40 &&
                   offsetof(tribus_msg_header, engine_instance) == 64,
               "header offsets are ABI");
_Static_assert(sizeof(tribus_msg_any) == TRIBUS_WIRE_MESSAGE_BYTES,
               "no message exceeds TRIBUS_WIRE_MESSAGE_BYTES");

_Static_assert(sizeof(((tribus_msg_market_data *)0)->bids) ==
                       TRIBUS_WIRE_LEVELS * sizeof(tribus_level) &&
                   sizeof(((tribus_msg_neural_to_gpu_compute *)0)->shape) ==
                       TRIBUS_WIRE_RANK * sizeof(int64_t),
               "wire.h says how many");

#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    _Static_assert(                                                                        \
        sizeof(tribus_msg_##name) % 8 == 0 &&                                              \
            sizeof(tribus_msg_##name) == sizeof(tribus_msg_header)
#define TRIBUS_TEXT(name, bytes, need, meaning)             +bytes
#define TRIBUS_E9(name, key, need, unit, meaning)           +8
#define TRIBUS_I64(name, need, unit, meaning)               +8
#define TRIBUS_U64(name, need, unit, meaning)               +8
#define TRIBUS_U32(name, need, unit, meaning)               +4
#define TRIBUS_F64(name, need, unit, meaning)               +8
#define TRIBUS_FLAG(name, need, meaning)                    +4
#define TRIBUS_PICK(name, set, need, meaning)               +4
#define TRIBUS_COUNT(name)                                  +4
#define TRIBUS_LEVELS(name, count, most, need, meaning)     +16 * most
#define TRIBUS_I64S(name, count, most, need, unit, meaning) +8 * most
#define TRIBUS_PAD(name)                                    +4
#define TRIBUS_END                                          , "a message has a hole");
#include "tribus/messages.def"

/* ---- texts of the choice sets ---- */

#define TRIBUS_CHOICES(SET, set, meaning)   static const char *const set##_texts[] = {
#define TRIBUS_CHOICE(SET, NAME, val, json) [val] = (json),
#define TRIBUS_CHOICES_END(SET, set)                                                       \
    }                                                                                      \
    ;
#include "tribus/messages.def"

#define COUNT_OF(a) ((uint32_t)(sizeof(a) / sizeof((a)[0])))

const tribus_table_choices tribus_table_priorities = {priority_texts,
                                                      COUNT_OF(priority_texts)};

const char *const tribus_table_buses[TRIBUS_BUSES] = {
    [TRIBUS_BUS_MARKETDATA] = "marketdata_bus",
    [TRIBUS_BUS_ENGINE_LOGIC] = "engine_logic_bus",
    [TRIBUS_BUS_NEURAL_GPU] = "neural_gpu_bus",
};

/* ---- one function a message, so that `self` can name its struct ---- */

enum { OPTIONAL = 0, REQUIRED = 1 };

#define KEY(key) ",\"" key "\":", sizeof(",\"" key "\":") - 1
#define ROW(field, key, unit, meaning, kind, need, most, count_at, texts, text_count)      \
    {{#field, key, unit, meaning, kind, (need) == REQUIRED, offsetof(self, field),         \
      sizeof(((self *)NULL)->field), most, count_at, texts, text_count},                   \
     KEY(key)},
#define PLAIN(field, key, unit, meaning, kind, need)                                       \
    ROW(field, key, unit, meaning, TRIBUS_WIRE_KIND_##kind, need, 1, 0, NULL, 0)

#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    static const tribus_table_field *name##_fields(uint32_t *count)                        \
    {                                                                                      \
        typedef tribus_msg_##name self;                                                    \
        static const tribus_table_field rows[] = {
#define TRIBUS_TEXT(name, bytes, need, meaning)   PLAIN(name, #name, "", meaning, TEXT, need)
#define TRIBUS_E9(name, key, need, unit, meaning) PLAIN(name, #key, unit, meaning, E9, need)
#define TRIBUS_I64(name, need, unit, meaning)     PLAIN(name, #name, unit, meaning, I64, need)
#define TRIBUS_U64(name, need, unit, meaning)     PLAIN(name, #name, unit, meaning, U64, need)
#define TRIBUS_U32(name, need, unit, meaning)     PLAIN(name, #name, unit, meaning, U32, need)
#define TRIBUS_F64(name, need, unit, meaning)     PLAIN(name, #name, unit, meaning, F64, need)
#define TRIBUS_FLAG(name, need, meaning)          PLAIN(name, #name, "", meaning, FLAG, need)
#define TRIBUS_PICK(name, set, need, meaning)                                              \
    ROW(name, #name, "", meaning, TRIBUS_WIRE_KIND_PICK, need, 1, 0, set##_texts,          \
        COUNT_OF(set##_texts))
#define TRIBUS_LEVELS(name, count, most, need, meaning)                                    \
    ROW(name, #name, "[price, qty]", meaning, TRIBUS_WIRE_KIND_LEVELS, need, most,         \
        offsetof(self, count), NULL, 0)
#define TRIBUS_I64S(name, count, most, need, unit, meaning)                                \
    ROW(name, #name, unit, meaning, TRIBUS_WIRE_KIND_I64S, need, most,                     \
        offsetof(self, count), NULL, 0)
#define TRIBUS_END                                                                         \
    }                                                                                      \
    ;                                                                                      \
    *count = COUNT_OF(rows);                                                               \
    return rows;                                                                           \
    }
#include "tribus/messages.def"

#define HEAD(json) "{\"type\":\"" json "\",\"data\":{"

static const tribus_table_row rows_by_type[TRIBUS_MSG_END] = {
#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    [number] = {json,           meaning,          sizeof(tribus_msg_##name),               \
                number,         TRIBUS_BUS_##BUS, TRIBUS_PRIORITY_##PRIORITY,              \
                (durable) != 0, HEAD(json),       sizeof(HEAD(json)) - 1,                  \
                name##_fields},
#include "tribus/messages.def"
};

const tribus_table_row *tribus_table_row_of(uint32_t type)
{
    if (type == TRIBUS_MSG_NONE || type >= TRIBUS_MSG_END ||
        rows_by_type[type].name == NULL)
        return NULL;
    return &rows_by_type[type];
}
