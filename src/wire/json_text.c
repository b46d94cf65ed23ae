/* json_text.c -- see json_text.h. */
#include "wire/json_text.h"

#include "base/error.h"
#include "wire/number.h"
#include "wire/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- replacing numbers ---- */

static bool is_number_start(char c)
{
    return c == '-' || (c >= '0' && c <= '9');
}

/* Index after the characters that may be part of a number. */
static size_t number_end(const char *text, size_t n, size_t i)
{
    while (i < n && memchr("+-.0123456789eE", text[i], 15) != NULL)
        i++;
    return i;
}

/* Index after the string that starts at i. */
static size_t string_end(const char *text, size_t n, size_t i)
{
    i++;
    while (i < n && text[i] != '"')
        i += text[i] == '\\' && n - i >= 2u ? 2u : 1u;
    return i < n ? i + 1u : i;
}

/* Where the copy goes; NULL pointers only measure. */
typedef struct copy {
    char *text;
    size_t bytes;
    uint32_t *numbers;
    uint32_t number_count;
} copy;

static void append(copy *c, const char *bytes, size_t n)
{
    if (c->text != NULL)
        memcpy(c->text + c->bytes, bytes, n);
    c->bytes += n;
}

static void append_number(copy *c, size_t start)
{
    char digits[TRIBUS_WIRE_E9_BYTES];

    if (c->numbers != NULL)
        c->numbers[c->number_count] = (uint32_t)start;
    append(c, digits, tribus_number_print_u64(c->number_count, digits));
    c->number_count++;
}

/* Copy text with the n-th number replaced by n. What is not a number by JSON's rules is
 * copied as it is, for jansson to refuse. */
static void replace_numbers(const char *text, size_t n, copy *c)
{
    size_t plain = 0; /* start of what is not yet copied */
    size_t i = 0;

    while (i < n) {
        const size_t start = i;
        tribus_number ignored;

        if (text[i] == '"') {
            i = string_end(text, n, i);
        } else if (is_number_start(text[i])) {
            i = number_end(text, n, i);
            if (tribus_number_read(text + start, i - start, 0, &ignored)) {
                append(c, text + plain, start - plain);
                append_number(c, start);
                plain = i;
            }
        } else {
            i++;
        }
    }
    append(c, text + plain, n - plain);
}

/* ---- parsing ---- */

/* Say what is wrong in terms of the text that was given, not of the copy. */
static tribus_status malformed(const char *text, size_t n, const json_error_t *of_copy)
{
    json_error_t e = *of_copy;
    char why[100];
    json_t *again = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);

    if (again != NULL) {
        json_decref(again);
        e = *of_copy;
    }
    tribus_utf8_show(e.text, strlen(e.text), why, sizeof(why));
    return tribus_error_set(TRIBUS_BAD_DATA,
                            "malformed JSON at line %d, column %d, byte %d: %s", e.line,
                            e.column, e.position, why);
}

tribus_status tribus_json_text_parse(const char *text, size_t n, tribus_json_text *out)
{
    copy c = {NULL, 0, NULL, 0};
    json_error_t e = {0};
    json_t *root;

    replace_numbers(text, n, &c);
    /* One byte more each, so that an empty one is not NULL. */
    c.numbers = malloc(c.number_count * sizeof(*c.numbers) + 1u);
    c.text = malloc(c.bytes + 1u);
    if (c.numbers == NULL || c.text == NULL) {
        free(c.numbers);
        free(c.text);
        return tribus_error_set(TRIBUS_NO_MEMORY, "parse JSON: %zu bytes", c.bytes);
    }
    c.bytes = 0;
    c.number_count = 0;
    replace_numbers(text, n, &c);
    root = json_loadb(c.text, c.bytes, JSON_REJECT_DUPLICATES, &e);
    free(c.text);
    if (root == NULL || !json_is_object(root)) {
        free(c.numbers);
        if (root == NULL)
            return malformed(text, n, &e);
        json_decref(root);
        return tribus_error_set(TRIBUS_BAD_DATA, "a message must be a JSON object");
    }
    *out = (tribus_json_text){root, text, n, c.numbers, c.number_count};
    return TRIBUS_OK;
}

void tribus_json_text_free(tribus_json_text *json)
{
    json_decref(json->root);
    free(json->numbers);
}

const char *tribus_json_text_number(const tribus_json_text *json, const json_t *value,
                                    size_t *n)
{
    const uint64_t index = (uint64_t)json_integer_value(value);
    size_t start;

    if (!json_is_integer(value) || index >= json->number_count)
        return NULL;
    start = json->numbers[index];
    *n = number_end(json->text, json->text_bytes, start) - start;
    return json->text + start;
}

const char *tribus_json_text_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "text";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    case JSON_INTEGER:
    case JSON_REAL:
        break;
    }
    return "a number";
}

/* ---- printing what is unknown ---- */

typedef struct page {
    const tribus_json_text *json;
    char *buf;
    size_t room;
    size_t at; /* may exceed room: then it only measures */
} page;

static void write_bytes(page *p, const char *bytes, size_t n)
{
    if (p->at <= p->room && n <= p->room - p->at)
        memcpy(p->buf + p->at, bytes, n);
    p->at += n;
}

static void write_text(page *p, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: character, letter */

    write_bytes(p, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15u]};
        size_t bytes = 6;

        if (c >= 0x20u && c != '"' && c != '\\') {
            write_bytes(p, text + i, 1);
            continue;
        }
        for (size_t k = 0; k + 1u < sizeof(shorts); k += 2u) {
            if ((unsigned char)shorts[k] == c) {
                escape[1] = shorts[k + 1u];
                bytes = 2;
            }
        }
        write_bytes(p, escape, bytes);
    }
    write_bytes(p, "\"", 1);
}

static void write_value(page *p, const json_t *value);

static void write_member(page *p, const char *key, const json_t *value)
{
    write_text(p, key, strlen(key));
    write_bytes(p, ":", 1);
    write_value(p, value);
}

static void write_object(page *p, const json_t *object)
{
    const char *comma = "";

    write_bytes(p, "{", 1);
    /* jansson's iterator takes a pointer to non-const and changes nothing. */
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        write_bytes(p, comma, strlen(comma));
        write_member(p, json_object_iter_key(it), json_object_iter_value(it));
        comma = ",";
    }
    write_bytes(p, "}", 1);
}

/* As deep as jansson let it be: at most 2,048 levels. */
static void write_value(page *p, const json_t *value)
{
    size_t n = 0;
    const char *number = tribus_json_text_number(p->json, value, &n);

    if (number != NULL) {
        write_bytes(p, number, n);
    } else if (json_is_string(value)) {
        write_text(p, json_string_value(value), json_string_length(value));
    } else if (json_is_object(value)) {
        write_object(p, value);
    } else if (json_is_array(value)) {
        write_bytes(p, "[", 1);
        for (size_t i = 0; i < json_array_size(value); i++) {
            write_bytes(p, ",", i == 0u ? 0u : 1u);
            write_value(p, json_array_get(value, i));
        }
        write_bytes(p, "]", 1);
    } else if (json_is_null(value)) {
        write_bytes(p, "null", 4);
    } else {
        write_bytes(p, json_is_true(value) ? "true" : "false",
                    json_is_true(value) ? 4u : 5u);
    }
}

bool tribus_json_text_rest(const tribus_json_text *json, const json_t *object,
                           bool (*known)(const void *context, const char *key),
                           const void *context, char *buf, size_t room, size_t *used)
{
    page p = {json, buf, room, 0};

    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const char *key = json_object_iter_key(it);

        if (known(context, key))
            continue;
        write_bytes(&p, ",", p.at == 0u ? 0u : 1u);
        write_member(&p, key, json_object_iter_value(it));
    }
    *used = p.at;
    if (p.at >= room)
        return false;
    buf[p.at] = '\0';
    return true;
}
