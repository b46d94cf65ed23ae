/* json_text.h -- jansson with numbers kept as their text.
 *
 * jansson reads a real into a double and refuses integers beyond 63 bits; prices need every
 * digit. So jansson is given a copy in which the n-th number is replaced by the integer n,
 * and the text of each is looked up in the original. This also halves its time, because it
 * converts no reals.
 *
 * Cost   allocates: the copy, where each number starts, and jansson's tree.
 */
#ifndef TRIBUS_WIRE_JSON_TEXT_H
#define TRIBUS_WIRE_JSON_TEXT_H

#include "tribus/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What was parsed. The text is borrowed until tribus_json_text_free(). */
typedef struct tribus_json_text {
    json_t *root; /* an object */
    const char *text;
    size_t text_bytes;
    uint32_t *numbers; /* where each number starts in text */
    uint32_t number_count;
} tribus_json_text;

/* Parse an object of n bytes, n < 4 GiB. out: set on TRIBUS_OK only; owned by the caller,
 * give it to tribus_json_text_free().
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA with line, column and offset, or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_json_text_parse(const char *text, size_t n,
                                                       tribus_json_text *out);
void tribus_json_text_free(tribus_json_text *json);

/* The text of a number, *n bytes, borrowed; NULL when value is no number. */
const char *tribus_json_text_number(const tribus_json_text *json, const json_t *value,
                                    size_t *n);

/* "a number", "text", "true or false", "null", "an array", "an object". */
const char *tribus_json_text_kind(const json_t *value);

/* Print members of object that `known` does not know, compactly and without the braces,
 * into buf of room bytes; *used is the length without the zero. False: room is too small,
 * and *used is what it takes. Numbers keep their text. */
bool tribus_json_text_rest(const tribus_json_text *json, const json_t *object,
                           bool (*known)(const void *context, const char *key),
                           const void *context, char *buf, size_t room, size_t *used);

#endif
