/* table.h -- messages.def as rows that the rest of src/wire walks.
 *
 * Threads   any: everything here is constant.
 */
#ifndef TRIBUS_WIRE_TABLE_H
#define TRIBUS_WIRE_TABLE_H

#include "tribus/wire.h"

typedef struct tribus_table_field {
    tribus_wire_field_info info;
    const char *json_key; /* `,"price":` */
    size_t json_key_bytes;
} tribus_table_field;

typedef struct tribus_table_row {
    const char *name;
    const char *meaning;
    uint32_t bytes; /* of the whole message */
    uint16_t type;
    uint8_t bus;
    uint8_t priority;
    bool durable;
    const char *json_head; /* `{"type":"price_update","data":{` */
    size_t json_head_bytes;
    const tribus_table_field *(*fields)(uint32_t *count);
} tribus_table_row;

/* The row of a type; NULL for what is no type. */
const tribus_table_row *tribus_table_row_of(uint32_t type);

typedef struct tribus_table_choices {
    const char *const *texts;
    uint32_t count;
} tribus_table_choices;

extern const tribus_table_choices tribus_table_priorities;

/* Names, "marketdata_bus" ...; TRIBUS_BUSES of them. */
extern const char *const tribus_table_buses[TRIBUS_BUSES];

#endif
