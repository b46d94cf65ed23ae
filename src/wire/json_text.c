/* json_text.c -- see json_text.h. */
#include "wire/json_text.h"

#include "base/error.h"
#include "wire/number.h"
#include "wire/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MARK       "\"\\u0000"
#define MARK_BYTES (sizeof(MARK) - 1)

/* ---- marking numbers ---- */

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

/* Index after the string that starts at i; false in *clean when it has a \u0000. */
static size_t string_end(const char *text, size_t n, size_t i, bool *clean)
{
    i++;
    while (i < n && text[i] != '"') {
        if (text[i] != '\\') {
            i++;
            continue;
        }
        if (n - i >= 6u && memcmp(text + i, "\\u0000", 6) == 0)
            *clean = false;
        i += n - i >= 2u ? 2u : 1u;
    }
    return i < n ? i + 1u : i;
}

static void append(char *out, size_t *at, const char *bytes, size_t n)
{
    if (out != NULL)
        memcpy(out + *at, bytes, n);
    *at += n;
}

/* Copy text with its numbers marked into out; NULL only measures. Returns the length, 0
 * when the text has a zero character. What is not a number by JSON's rules is left as it is
 * for jansson to refuse. */
static size_t mark_numbers(const char *text, size_t n, char *out)
{
    size_t at = 0;
    size_t i = 0;

    while (i < n) {
        const size_t start = i;
        tribus_number ignored;
        bool clean = true;

        if (text[i] == '"') {
            i = string_end(text, n, i, &clean);
            if (!clean)
                return 0;
        } else if (is_number_start(text[i])) {
            i = number_end(text, n, i);
            if (tribus_number_read(text + start, i - start, 0, &ignored)) {
                append(out, &at, MARK, MARK_BYTES);
                append(out, &at, text + start, i - start);
                append(out, &at, "\"", 1);
                continue;
            }
        } else {
            i++;
        }
        append(out, &at, text + start, i - start);
    }
    return at;
}

/* ---- parsing ---- */

/* Say what is wrong in terms of the text that was given, not of the marked one. */
static tribus_status malformed(const char *text, size_t n, const json_error_t *marked)
{
    json_error_t e = *marked;
    char why[100];
    json_t *again = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);

    if (again != NULL) {
        json_decref(again);
        e = *marked;
    }
    tribus_utf8_show(e.text, strlen(e.text), why, sizeof(why));
    return tribus_error_set(TRIBUS_BAD_DATA,
                            "malformed JSON at line %d, column %d, byte %d: %s", e.line,
                            e.column, e.position, why);
}

tribus_status tribus_json_text_parse(const char *text, size_t n, json_t **out)
{
    const size_t length = mark_numbers(text, n, NULL);
    json_error_t e = {0};
    char *marked;
    json_t *root;

    if (length == 0u) {
        /* Empty, or with a zero character: jansson says which, and where. */
        root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
        json_decref(root);
        return malformed(text, n, &e);
    }
    marked = malloc(length);
    if (marked == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "parse JSON: %zu bytes", length);
    (void)mark_numbers(text, n, marked);
    root = json_loadb(marked, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    free(marked);
    if (root == NULL)
        return malformed(text, n, &e);
    if (!json_is_object(root)) {
        json_decref(root);
        return tribus_error_set(TRIBUS_BAD_DATA, "a message must be a JSON object");
    }
    *out = root;
    return TRIBUS_OK;
}

const char *tribus_json_text_number(const json_t *value, size_t *n)
{
    const char *text = json_string_value(value);
    const size_t length = json_string_length(value);

    if (text == NULL || length < 2u || text[0] != '\0')
        return NULL;
    *n = length - 1u;
    return text + 1;
}

const char *tribus_json_text_kind(const json_t *value)
{
    size_t n;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return tribus_json_text_number(value, &n) != NULL ? "a number" : "text";
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
    size_t n;
    const char *number = tribus_json_text_number(value, &n);

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

bool tribus_json_text_rest(const json_t *object,
                           bool (*known)(const void *context, const char *key),
                           const void *context, char *buf, size_t room, size_t *used)
{
    page p = {buf, room, 0};

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
