/* fuzz_json.c -- any bytes as a channel, as JSON and as a message in shared memory.
 *
 * Whatever from_json accepts must be valid, print, and read back to the same message with
 * the same unknown members. */
#include "tribus/base.h"
#include "tribus/wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char text[TRIBUS_WIRE_JSON_BYTES + 2 * TRIBUS_WIRE_TEXT_BYTES];
static char second[sizeof(text)];
static char kept[4][TRIBUS_WIRE_TEXT_BYTES + 1];

static void must(int holds)
{
    if (!holds)
        abort();
}

static void check_json(const char *input, size_t n)
{
    tribus_wire_extra extra = {kept[0], sizeof(kept[0]), 0, kept[1], sizeof(kept[1]), 0};
    tribus_wire_extra again = {kept[2], sizeof(kept[2]), 0, kept[3], sizeof(kept[3]), 0};
    tribus_msg_any a, b;
    size_t used;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    if (tribus_wire_from_json(input, n, &a, sizeof(a), &extra) != TRIBUS_OK) {
        must(tribus_error_text()[0] != '\0' && strchr(tribus_error_text(), '\n') == NULL);
        return;
    }
    must(tribus_wire_validate(&a, sizeof(a)) == TRIBUS_OK);
    must(tribus_wire_to_json_extra(&a.header, &extra, text, sizeof(text), &used) ==
         TRIBUS_OK);
    if (used > TRIBUS_WIRE_TEXT_BYTES) /* short texts and missing options make it longer */
        return;
    must(tribus_wire_from_json(text, used, &b, sizeof(b), &again) == TRIBUS_OK);
    must(memcmp(&a, &b, sizeof(a)) == 0);
    must(tribus_wire_to_json_extra(&b.header, &again, second, sizeof(second), &used) ==
         TRIBUS_OK);
    must(strcmp(text, second) == 0);
}

static void check_memory(const uint8_t *input, size_t n)
{
    tribus_msg_any msg;
    tribus_msg_any *exact = malloc(n == 0u ? 1u : n);

    must(exact != NULL);
    memcpy(exact, input, n);
    if (tribus_wire_validate(exact, n) == TRIBUS_OK)
        must(tribus_wire_to_json(&exact->header, text, TRIBUS_WIRE_JSON_BYTES, NULL) ==
             TRIBUS_OK);
    free(exact);
    /* The same bytes as the body of a known type, so that more than the header is seen. */
    if (n == 0u || tribus_wire_init(&msg, sizeof(msg), input[0]) != TRIBUS_OK)
        return;
    memcpy(msg.bytes + sizeof(msg.header), input,
           n < msg.header.body_bytes ? n : msg.header.body_bytes);
    if (tribus_wire_validate(&msg, sizeof(msg)) == TRIBUS_OK)
        must(tribus_wire_to_json(&msg.header, text, TRIBUS_WIRE_JSON_BYTES, NULL) ==
             TRIBUS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
    tribus_msg_type type;

    (void)!tribus_wire_channel_parse((const char *)input, n, &type);
    check_json((const char *)input, n);
    check_memory(input, n);
    return 0;
}
