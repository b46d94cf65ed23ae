/* wire.c -- names, channels and fields of the catalogue; filling a message. See wire.h. */
#include "tribus/wire.h"

#include "base/error.h"
#include "wire/table.h"
#include "wire/utf8.h"

#include <stdio.h>
#include <string.h>

#define CHANNEL_PREFIX "nautilus-"
#define NAME_MOST      64 /* of a name we compare or show */

static const struct {
    const char *title;
    uint16_t port;
} buses[TRIBUS_BUSES] = {
    [TRIBUS_BUS_MARKETDATA] = {"MarketData", 6380},
    [TRIBUS_BUS_ENGINE_LOGIC] = {"Engine Logic", 6381},
    [TRIBUS_BUS_NEURAL_GPU] = {"Neural-GPU", 6382},
};

/* ---- types ---- */

/* How many letters must be inserted, removed or exchanged to make b of a; case counts
 * nothing. Both shorter than NAME_MOST. */
static size_t edits(const char *a, const char *b)
{
    size_t row[NAME_MOST + 1];
    const size_t n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const char x[2] = {a[i - 1], '\0'};
            const char y[2] = {b[j - 1], '\0'};
            size_t best = diagonal + (tribus_utf8_same(x, y) ? 0u : 1u);

            if (row[j] + 1u < best)
                best = row[j] + 1u;
            if (row[j - 1] + 1u < best)
                best = row[j - 1] + 1u;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

static const char *nearest_type(const char *name)
{
    const char *nearest = "";
    size_t least = SIZE_MAX;

    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        const tribus_table_row *row = tribus_table_row_of(type);

        if (row != NULL && edits(name, row->name) < least) {
            least = edits(name, row->name);
            nearest = row->name;
        }
    }
    return nearest;
}

tribus_status tribus_wire_type_find(const char *name, tribus_msg_type *out)
{
    char shown[NAME_MOST];

    for (uint32_t type = 1; type < TRIBUS_MSG_END; type++) {
        const tribus_table_row *row = tribus_table_row_of(type);

        if (row != NULL && strcmp(row->name, name) == 0) {
            *out = (tribus_msg_type)type;
            return TRIBUS_OK;
        }
    }
    tribus_utf8_show(name, strlen(name), shown, sizeof(shown));
    return tribus_error_set(TRIBUS_NOT_FOUND,
                            "unknown message type \"%s\"; the nearest known is \"%s\"",
                            shown, nearest_type(shown));
}

const char *tribus_wire_type_name(uint32_t type)
{
    const tribus_table_row *row = tribus_table_row_of(type);

    return row == NULL ? "?" : row->name;
}

const char *tribus_wire_type_meaning(uint32_t type)
{
    const tribus_table_row *row = tribus_table_row_of(type);

    return row == NULL ? "" : row->meaning;
}

tribus_bus_id tribus_wire_bus_of(uint32_t type)
{
    const tribus_table_row *row = tribus_table_row_of(type);

    return row == NULL ? TRIBUS_BUS_MARKETDATA : (tribus_bus_id)row->bus;
}

bool tribus_wire_durable(uint32_t type)
{
    const tribus_table_row *row = tribus_table_row_of(type);

    return row != NULL && row->durable;
}

size_t tribus_wire_message_bytes(uint32_t type)
{
    const tribus_table_row *row = tribus_table_row_of(type);

    return row == NULL ? 0u : row->bytes;
}

/* ---- buses and priorities ---- */

const char *tribus_wire_bus_name(uint32_t bus)
{
    return bus < TRIBUS_BUSES ? tribus_table_buses[bus] : "?";
}

const char *tribus_wire_bus_title(uint32_t bus)
{
    return bus < TRIBUS_BUSES ? buses[bus].title : "?";
}

uint16_t tribus_wire_bus_port(uint32_t bus)
{
    return bus < TRIBUS_BUSES ? buses[bus].port : 0u;
}

/* "marketdata_bus", or the same without "_bus"; case counts nothing. */
static bool names_bus(const char *name, uint32_t bus)
{
    char brief[NAME_MOST];
    const size_t n = strlen(tribus_table_buses[bus]) - strlen("_bus");

    memcpy(brief, tribus_table_buses[bus], n);
    brief[n] = '\0';
    return tribus_utf8_same(name, brief) ||
           tribus_utf8_same(name, tribus_table_buses[bus]) ||
           tribus_utf8_same(name, buses[bus].title);
}

tribus_status tribus_wire_bus_find(const char *name, tribus_bus_id *out)
{
    char shown[NAME_MOST];

    for (uint32_t bus = 0; bus < TRIBUS_BUSES; bus++) {
        if (names_bus(name, bus)) {
            *out = (tribus_bus_id)bus;
            return TRIBUS_OK;
        }
    }
    tribus_utf8_show(name, strlen(name), shown, sizeof(shown));
    return tribus_error_set(TRIBUS_NOT_FOUND, "unknown bus \"%s\"; use %s, %s or %s", shown,
                            tribus_table_buses[0], tribus_table_buses[1],
                            tribus_table_buses[2]);
}

const char *tribus_wire_priority_name(uint32_t priority)
{
    if (priority >= tribus_table_priorities.count)
        return "?";
    return tribus_table_priorities.texts[priority];
}

tribus_status tribus_wire_priority_find(const char *name, tribus_priority *out)
{
    char shown[NAME_MOST];

    for (uint32_t i = 0; i < tribus_table_priorities.count; i++) {
        if (tribus_utf8_same(name, tribus_table_priorities.texts[i])) {
            *out = (tribus_priority)i;
            return TRIBUS_OK;
        }
    }
    tribus_utf8_show(name, strlen(name), shown, sizeof(shown));
    return tribus_error_set(
        TRIBUS_NOT_FOUND,
        "unknown priority \"%s\"; use low, normal, high, urgent, critical or flash_crash",
        shown);
}

/* ---- channels ---- */

tribus_status tribus_wire_channel(uint32_t type, char *buf, size_t n)
{
    const tribus_table_row *row = tribus_table_row_of(type);
    int length;

    if (row == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "there is no message type %u", type);
    length =
        snprintf(buf, n, CHANNEL_PREFIX "%s-%s", tribus_table_buses[row->bus], row->name);
    if (length < 0 || (size_t)length >= n)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "channel of %s: %zu bytes are too few, give %d", row->name,
                                n, TRIBUS_WIRE_CHANNEL_BYTES);
    return TRIBUS_OK;
}

tribus_status tribus_wire_channel_parse(const char *text, size_t n, tribus_msg_type *out)
{
    const size_t prefix = strlen(CHANNEL_PREFIX);
    char name[TRIBUS_WIRE_CHANNEL_BYTES];
    char shown[NAME_MOST];
    char *dash;
    tribus_msg_type type;
    tribus_bus_id bus;
    tribus_status st;

    tribus_utf8_show(text, n, shown, sizeof(shown));
    if (n <= prefix || n - prefix >= sizeof(name) ||
        memcmp(text, CHANNEL_PREFIX, prefix) != 0 || memchr(text, '\0', n) != NULL)
        goto malformed;
    memcpy(name, text + prefix, n - prefix);
    name[n - prefix] = '\0';
    dash = strchr(name, '-');
    if (dash == NULL)
        goto malformed;
    *dash = '\0';
    for (bus = TRIBUS_BUS_MARKETDATA; strcmp(name, tribus_table_buses[bus]) != 0;) {
        bus = (tribus_bus_id)((int)bus + 1);
        if ((int)bus == TRIBUS_BUSES)
            return tribus_error_set(TRIBUS_NOT_FOUND, "channel \"%s\": unknown bus", shown);
    }
    st = tribus_wire_type_find(dash + 1, &type);
    if (st != TRIBUS_OK) {
        tribus_error_add("channel \"%s\"", shown);
        return st;
    }
    if (tribus_wire_bus_of(type) != bus)
        return tribus_error_set(TRIBUS_BAD_DATA, "channel \"%s\": %s belongs to %s", shown,
                                dash + 1,
                                tribus_table_buses[(int)tribus_wire_bus_of(type)]);
    *out = type;
    return TRIBUS_OK;

malformed:
    return tribus_error_set(
        TRIBUS_BAD_DATA, "channel \"%s\" is not of the form nautilus-<bus>-<type>", shown);
}

/* ---- filling ---- */

tribus_status tribus_wire_init(void *msg, size_t msg_bytes, uint32_t type)
{
    const tribus_table_row *row = tribus_table_row_of(type);
    tribus_msg_header *h = msg;

    if (row == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "there is no message type %u", type);
    if (msg_bytes < row->bytes)
        return tribus_error_set(TRIBUS_BAD_ARG, "%s: a message takes %u bytes, not %zu",
                                row->name, row->bytes, msg_bytes);
    memset(msg, 0, row->bytes);
    h->type = row->type;
    h->bus = row->bus;
    h->priority = row->priority;
    h->body_bytes = row->bytes - (uint32_t)sizeof(*h);
    h->flags = row->durable ? TRIBUS_MSG_DURABLE : 0u;
    return TRIBUS_OK;
}

bool tribus_wire_text_set(char *field, size_t n, const char *text)
{
    const size_t length = text == NULL ? 0u : strlen(text);
    const size_t kept = n == 0u ? 0u : tribus_utf8_cut(text, length, n - 1u);

    if (n == 0u)
        return false;
    if (kept > 0u)
        memcpy(field, text, kept);
    memset(field + kept, 0, n - kept);
    return kept == length;
}

/* ---- fields ---- */

uint32_t tribus_wire_field_count(uint32_t type)
{
    const tribus_table_row *row = tribus_table_row_of(type);
    uint32_t count = 0;

    if (row != NULL)
        (void)row->fields(&count);
    return count;
}

tribus_status tribus_wire_field(uint32_t type, uint32_t index, tribus_wire_field_info *out)
{
    const tribus_table_row *row = tribus_table_row_of(type);
    const tribus_table_field *fields;
    uint32_t count;

    if (row == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "there is no message type %u", type);
    fields = row->fields(&count);
    if (index >= count)
        return tribus_error_set(TRIBUS_BAD_ARG, "%s has %u fields, there is no field %u",
                                row->name, count, index);
    *out = fields[index].info;
    return TRIBUS_OK;
}
