/* json_text.h -- jansson with numbers kept as their text.
 *
 * jansson reads a real into a double and refuses integers beyond 63 bits; prices need every
 * digit. So numbers are wrapped into strings that start with a zero character before
 * jansson sees them. Text cannot fake one: a \u0000 in the original is refused.
 *
 * Cost   allocates: the marked text, and jansson's tree.
 */
#ifndef TRIBUS_WIRE_JSON_TEXT_H
#define TRIBUS_WIRE_JSON_TEXT_H

#include "tribus/status.h"

#include <jansson.h>
#include <stdbool.h>

/* Parse an object of n bytes. out: owned by the caller, json_decref().
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA with line, column and offset, or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_json_text_parse(const char *text, size_t n,
                                                       json_t **out);

/* The text of a number, *n bytes, borrowed from value; NULL when it is no number. */
const char *tribus_json_text_number(const json_t *value, size_t *n);

/* "a number", "text", "true or false", "null", "an array", "an object". */
const char *tribus_json_text_kind(const json_t *value);

/* Print members of object that `known` does not know, compactly and without the braces,
 * into buf of room bytes; *used is the length without the zero. False: room is too small,
 * and *used is what it takes. Numbers keep their text. */
bool tribus_json_text_rest(const json_t *object,
                           bool (*known)(const void *context, const char *key),
                           const void *context, char *buf, size_t room, size_t *used);

#endif
