/* wire.h -- the messages of the three buses: C structs, names, channels, JSON both ways.
 *
 * Use it to   fill a message, read one, print one, or turn it into the JSON that goes over
 *             Redis and back. The catalogue is messages.def; docs/messages.md prints it.
 * Not for     sending (bus.h), or tensors: those stay in slots, messages refer to them.
 *
 * Memory      A message is a fixed little-endian struct without pointers or holes: a
 *             tribus_msg_header, then the body, at most TRIBUS_WIRE_MESSAGE_BYTES in all.
 *             The caller owns every buffer; nothing here keeps a pointer.
 * Threads     Any; there is no shared state.
 * Trust       JSON may be hostile: from_json accepts only what it can represent exactly or
 *             rounds as documented. So may a message in shared memory: copy it first, then
 *             tribus_wire_validate() the copy.
 * Cost        to_json formats into the caller's buffer without allocating: about 0.3 us for
 *             a price_update, 1 us for a full book. from_json parses with jansson and
 *             allocates: 8 and 20 us.
 *
 * Numbers     Prices and quantities are int64_t in 1e-9 (`_e9`). In JSON they are decimal
 *             numbers, converted from and to their text, never through a double: 9 places
 *             always survive, more are rounded half away from zero, and what does not fit
 *             64 bits (9223372036.854775807) is refused. Integers are exact over their whole
 *             range. Doubles are printed so that they read back equal; NaN is null.
 */
#ifndef TRIBUS_WIRE_H
#define TRIBUS_WIRE_H

#include "tribus/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRIBUS_WIRE_MESSAGE_BYTES 512   /* no message is larger, header included */
#define TRIBUS_WIRE_JSON_BYTES    8192  /* to_json of any valid message fits */
#define TRIBUS_WIRE_TEXT_BYTES    65536 /* from_json refuses longer text */
#define TRIBUS_WIRE_CHANNEL_BYTES 64    /* the longest channel name fits, zero included */
#define TRIBUS_WIRE_LEVELS        10    /* of one side of a book */
#define TRIBUS_WIRE_RANK          8     /* dimensions of a tensor */

/* ---- buses ---- */

typedef enum tribus_bus_id {
    TRIBUS_BUS_MARKETDATA = 0,
    TRIBUS_BUS_ENGINE_LOGIC = 1,
    TRIBUS_BUS_NEURAL_GPU = 2
} tribus_bus_id;

#define TRIBUS_BUSES 3

/* ---- choice sets: enum tribus_side { TRIBUS_SIDE_NONE, TRIBUS_SIDE_BUY, ... } ---- */

#define TRIBUS_CHOICES(SET, set, meaning)                                                  \
    typedef enum tribus_##set                                                              \
    {
#define TRIBUS_CHOICE(SET, NAME, val, json) TRIBUS_##SET##_##NAME = (val),
#define TRIBUS_CHOICES_END(SET, set)                                                       \
    }                                                                                      \
    tribus_##set;
#include "tribus/messages.def"

/* ---- types: TRIBUS_MSG_PRICE_UPDATE ... ---- */

typedef enum tribus_msg_type {
    TRIBUS_MSG_NONE = 0,
#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    TRIBUS_MSG_##NAME = (number),
#include "tribus/messages.def"
    TRIBUS_MSG_END /* one more than the largest type */
} tribus_msg_type;

/* ---- the header of every message: 96 bytes ---- */

/* Bits of flags. Others are 0 and ignored. */
#define TRIBUS_MSG_HARDWARE_ACCELERATED 0x0001u /* an accelerator ran it */
#define TRIBUS_MSG_FROM_WIRE            0x0002u /* came over Redis, not from this host */
#define TRIBUS_MSG_DURABLE              0x0004u /* must not be lost */
#define TRIBUS_MSG_REDELIVERED          0x0008u /* its last reader died: perhaps seen */

typedef struct tribus_msg_header {
    uint16_t type;             /*  0 tribus_msg_type */
    uint8_t bus;               /*  2 tribus_bus_id; always that of the type */
    uint8_t priority;          /*  3 tribus_priority */
    uint32_t body_bytes;       /*  4 bytes behind the header; always that of the type */
    int64_t timestamp_wall_ns; /*  8 when it was published */
    uint64_t sequence;         /* 16 counts the messages of one publisher; 0: not set */
    uint64_t correlation;      /* 24 joins request and reply; 0: none */
    uint32_t origin;           /* 32 the publishing process; 0: not a Tribus process */
    uint16_t flags;            /* 36 */
    uint16_t reserved;         /* 38 0 */
    char engine_type[24];      /* 40 "risk", "ml" ... */
    char engine_instance[32];  /* 64 "risk-8200" ... */
} tribus_msg_header;

/* One level of a book. */
typedef struct tribus_level {
    int64_t price_e9;
    int64_t qty_e9;
} tribus_level;

/* ---- the messages: tribus_msg_price_update { header; symbol; price_e9; ... } ---- */

#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    typedef struct tribus_msg_##name tribus_msg_##name;                                    \
    struct tribus_msg_##name {                                                             \
        tribus_msg_header header;
#define TRIBUS_TEXT(name, bytes, need, meaning)             char name[bytes];
#define TRIBUS_E9(name, key, need, unit, meaning)           int64_t name;
#define TRIBUS_I64(name, need, unit, meaning)               int64_t name;
#define TRIBUS_U64(name, need, unit, meaning)               uint64_t name;
#define TRIBUS_U32(name, need, unit, meaning)               uint32_t name;
#define TRIBUS_F64(name, need, unit, meaning)               double name;
#define TRIBUS_FLAG(name, need, meaning)                    uint32_t name;
#define TRIBUS_PICK(name, set, need, meaning)               uint32_t name;
#define TRIBUS_COUNT(name)                                  uint32_t name;
#define TRIBUS_LEVELS(name, count, most, need, meaning)     tribus_level name[most];
#define TRIBUS_I64S(name, count, most, need, unit, meaning) int64_t name[most];
#define TRIBUS_PAD(name)                                    uint32_t name;
#define TRIBUS_END                                                                         \
    }                                                                                      \
    ;
#include "tribus/messages.def"

/* Room for any message, suitably aligned. */
typedef union tribus_msg_any {
    tribus_msg_header header;
    unsigned char bytes[TRIBUS_WIRE_MESSAGE_BYTES];
#define TRIBUS_MESSAGE(NAME, name, json, number, BUS, PRIORITY, durable, meaning)          \
    tribus_msg_##name name;
#include "tribus/messages.def"
} tribus_msg_any;

/* ---- the catalogue ---- */

/* Find a type by its name on the wire ("price_update", "SHARED_MEMORY_ALLOC"; case counts).
 * Returns TRIBUS_OK, or TRIBUS_NOT_FOUND with the name and the nearest known one. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_type_find(const char *name,
                                                      tribus_msg_type *out);

/* Name on the wire, a constant; "?" for what is no type. */
const char *tribus_wire_type_name(uint32_t type);

/* What a type is for, one line, a constant; "" for what is no type. */
const char *tribus_wire_type_meaning(uint32_t type);

/* Bus of a type; TRIBUS_BUS_MARKETDATA for what is no type: check with
 * tribus_wire_message_bytes() where it may be none. */
tribus_bus_id tribus_wire_bus_of(uint32_t type);

/* Whether a type must not be lost (Redis Streams instead of pub/sub on the wire). */
bool tribus_wire_durable(uint32_t type);

/* Bytes of a message, header included; 0 for what is no type. */
size_t tribus_wire_message_bytes(uint32_t type);

/* Name on the wire, "marketdata_bus" ..., a constant; "?" for what is no bus. */
const char *tribus_wire_bus_name(uint32_t bus);

/* Name for people, "MarketData" ..., a constant; "?" for what is no bus. */
const char *tribus_wire_bus_title(uint32_t bus);

/* Default TCP port, 6380 ...; 0 for what is no bus. */
uint16_t tribus_wire_bus_port(uint32_t bus);

/* Find a bus by "marketdata_bus", "marketdata", "MarketData" (letters' case is ignored).
 * Returns TRIBUS_OK or TRIBUS_NOT_FOUND. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_bus_find(const char *name, tribus_bus_id *out);

/* Text of a priority, "normal" ..., a constant; "?" for what is none. */
const char *tribus_wire_priority_name(uint32_t priority);

/* Returns TRIBUS_OK, or TRIBUS_NOT_FOUND with the known ones. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_priority_find(const char *name,
                                                          tribus_priority *out);

/* Write "nautilus-<bus>-<type>" into buf of n bytes.
 * Returns TRIBUS_OK, or TRIBUS_BAD_ARG: no such type, or n too small. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_channel(uint32_t type, char *buf, size_t n);

/* Type of a channel name. text: n bytes, need not be terminated.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (not of our form, or the type is of another bus) or
 * TRIBUS_NOT_FOUND (unknown bus or type). */
TRIBUS_MUST_CHECK tribus_status tribus_wire_channel_parse(const char *text, size_t n,
                                                          tribus_msg_type *out);

/* ---- filling messages ---- */

/* Zero a message of msg_bytes bytes and set type, bus, body_bytes, the type's priority and
 * its durable flag. Engine, timestamp and sequence are the publisher's to set.
 * Returns TRIBUS_OK, or TRIBUS_BAD_ARG: no such type, or msg_bytes too small. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_init(void *msg, size_t msg_bytes,
                                                 uint32_t type);

/* Copy text into a field of n bytes and zero the rest. Cuts between UTF-8 characters when
 * it does not fit; false says that it was cut. text NULL gives "". */
bool tribus_wire_text_set(char *field, size_t n, const char *text);

/* ---- checking ---- */

/* Check a message taken from shared memory: copy it first, so that it cannot change after.
 * bytes: how many there are; at least those of the type. Type, bus, priority, sizes, text
 * (terminated, UTF-8), choices, counts and doubles (no infinity) are checked.
 * Returns TRIBUS_OK, or TRIBUS_CORRUPT naming the field. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_validate(const void *msg, size_t bytes);

/* ---- JSON ---- */

/* Members that this release does not know, kept so that they can be passed on. Each buffer
 * receives compact JSON members without the braces, `"a":1,"b":[2]`, zero-terminated; of
 * TRIBUS_WIRE_TEXT_BYTES each they always suffice. NULL buffers: not wanted. The counts
 * are set on TRIBUS_OK. */
typedef struct tribus_wire_extra {
    char *envelope; /* beside "type", "data" ...; the caller's */
    size_t envelope_room;
    size_t envelope_bytes; /* set; the zero is not counted */
    char *data;            /* inside "data"; the caller's */
    size_t data_room;
    size_t data_bytes; /* set; the zero is not counted */
} tribus_wire_extra;

/* Write the JSON envelope of a message into buf, n bytes, zero-terminated; *used (NULL
 * allowed) is its length without the zero. Envelope members: type, data, priority,
 * engine_type, engine_instance, bus_type, timestamp_ns, hardware_accelerated, and where one
 * of origin, sequence and correlation is not 0, "tribus":{those}.
 * The message must be as long as its type is. TRIBUS_WIRE_JSON_BYTES always suffice.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (n too small) or TRIBUS_CORRUPT (as
 * tribus_wire_validate() finds it). */
TRIBUS_MUST_CHECK tribus_status tribus_wire_to_json(const tribus_msg_header *msg, char *buf,
                                                    size_t n, size_t *used);

/* The same, with unknown members appended as tribus_wire_from_json() kept them. extra may
 * be NULL; its texts are borrowed for the call and must be what from_json wrote. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_to_json_extra(const tribus_msg_header *msg,
                                                          const tribus_wire_extra *extra,
                                                          char *buf, size_t n,
                                                          size_t *used);

/* Read an envelope. text: n bytes, need not be terminated. msg: msg_bytes long,
 * TRIBUS_WIRE_MESSAGE_BYTES suffice for any type; aligned as tribus_msg_any. The message
 * gets FROM_WIRE, the type's DURABLE, and what the envelope says. extra: NULL allowed.
 * All eight members of the envelope and the REQUIRED fields of the type must be there;
 * unknown members are accepted. msg is written on TRIBUS_OK only.
 * Returns TRIBUS_OK; TRIBUS_NOT_FOUND: unknown type, with the nearest known one;
 * TRIBUS_BAD_DATA: malformed (line, column and offset), longer than
 * TRIBUS_WIRE_TEXT_BYTES, a missing member (named), of the wrong kind, out of range, text
 * too long, or extra too small; TRIBUS_BAD_ARG: msg_bytes too small; TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_from_json(const char *text, size_t n, void *msg,
                                                      size_t msg_bytes,
                                                      tribus_wire_extra *extra);

/* ---- looking inside: what `tribus tap` and bindings use ---- */

typedef enum tribus_wire_kind {
    TRIBUS_WIRE_KIND_TEXT = 0,   /* char[bytes] */
    TRIBUS_WIRE_KIND_E9 = 1,     /* int64_t in 1e-9 */
    TRIBUS_WIRE_KIND_I64 = 2,    /* int64_t */
    TRIBUS_WIRE_KIND_U64 = 3,    /* uint64_t */
    TRIBUS_WIRE_KIND_U32 = 4,    /* uint32_t */
    TRIBUS_WIRE_KIND_F64 = 5,    /* double */
    TRIBUS_WIRE_KIND_FLAG = 6,   /* uint32_t 0 or 1 */
    TRIBUS_WIRE_KIND_PICK = 7,   /* uint32_t, choice_count texts */
    TRIBUS_WIRE_KIND_LEVELS = 8, /* tribus_level[most], used: uint32_t at count_offset */
    TRIBUS_WIRE_KIND_I64S = 9    /* int64_t[most], used: uint32_t at count_offset */
} tribus_wire_kind;

/* One field of a message; every pointer is to a constant. */
typedef struct tribus_wire_field_info {
    const char *name;    /* in C */
    const char *key;     /* in JSON */
    const char *unit;    /* "" where there is none */
    const char *meaning; /* one line */
    tribus_wire_kind kind;
    bool required;
    uint32_t offset; /* from the start of the message, header included */
    uint32_t bytes;  /* of the whole field */
    uint32_t most;   /* elements of an array, else 1 */
    uint32_t count_offset;
    const char *const *choices;
    uint32_t choice_count;
} tribus_wire_field_info;

/* Fields of a type that appear in JSON; 0 for what is no type. */
uint32_t tribus_wire_field_count(uint32_t type);

/* Field number index, in the order of the table.
 * Returns TRIBUS_OK, or TRIBUS_BAD_ARG: no such type or field. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_field(uint32_t type, uint32_t index,
                                                  tribus_wire_field_info *out);

/* Print the value of one field of a valid message as JSON into buf.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (no such field, n too small) or TRIBUS_CORRUPT. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_field_print(const tribus_msg_header *msg,
                                                        uint32_t index, char *buf,
                                                        size_t n);

/* ---- decimal text <-> 1e-9, exact ---- */

#define TRIBUS_WIRE_E9_BYTES 24 /* "-9223372036.854775808" and its zero fit */

/* Read a decimal number, JSON's form: -12.5, 1e-3. text: n bytes, need not be terminated,
 * nothing around the number. Beyond 9 decimals it is rounded half away from zero.
 * Saturates: a value out of range gives INT64_MIN or INT64_MAX in *out *and*
 * TRIBUS_BAD_DATA, so ignoring the status is the only way to use it unknowingly.
 * Returns TRIBUS_OK, or TRIBUS_BAD_DATA: not a number (*out unchanged), or out of range. */
TRIBUS_MUST_CHECK tribus_status tribus_wire_e9_parse(const char *text, size_t n,
                                                     int64_t *out);

/* Print, shortest form with at least one decimal: "100.0", "12345678.123456789".
 * buf: at least TRIBUS_WIRE_E9_BYTES; zero-terminated. Returns the length. */
size_t tribus_wire_e9_print(int64_t value_e9, char *buf);

/* Convert a double, rounded half away from zero. Saturates from +-9223372036 on; NaN gives
 * 0. Either makes *in_range (NULL allowed) false. */
int64_t tribus_wire_e9_from_double(double value, bool *in_range);

/* The nearest double. */
double tribus_wire_e9_to_double(int64_t value_e9);

#ifdef __cplusplus
}
#endif

#endif
