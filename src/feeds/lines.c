/* lines.c -- see lines.h. */
#include "feeds/lines.h"

#include "base/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct tribus_lines {
    tribus_lines_read_fn read;
    void *from;
    uint64_t number;
    size_t room;
    size_t at;   /* first byte not given out */
    size_t have; /* bytes in buffer */
    bool ended;
    char buffer[];
};

tribus_status tribus_lines_create(tribus_lines_read_fn read, void *from,
                                  size_t longest_bytes, tribus_lines **out)
{
    tribus_lines *lines = calloc(1, sizeof(*lines) + longest_bytes);

    if (lines == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "line buffer of %zu bytes",
                                longest_bytes);
    lines->read = read;
    lines->from = from;
    lines->room = longest_bytes;
    *out = lines;
    return TRIBUS_OK;
}

void tribus_lines_destroy(tribus_lines *lines)
{
    free(lines);
}

static tribus_status fill(tribus_lines *lines)
{
    size_t got = 0;
    tribus_status st;

    memmove(lines->buffer, lines->buffer + lines->at, lines->have - lines->at);
    lines->have -= lines->at;
    lines->at = 0;
    if (lines->have == lines->room)
        return tribus_error_set(TRIBUS_BAD_DATA, "line %llu: longer than %zu bytes",
                                (unsigned long long)lines->number + 1, lines->room);
    st = lines->read(lines->from, lines->buffer + lines->have, lines->room - lines->have,
                     &got);
    if (st != TRIBUS_OK)
        return st;
    lines->have += got;
    lines->ended = got == 0;
    return TRIBUS_OK;
}

tribus_status tribus_lines_next(tribus_lines *lines, const char **p, const char **end)
{
    size_t searched = 0;
    size_t bytes, used;

    for (;;) {
        const char *from = lines->buffer + lines->at;
        const char *newline =
            memchr(from + searched, '\n', lines->have - lines->at - searched);
        tribus_status st;

        if (newline != NULL) {
            bytes = (size_t)(newline - from);
            used = bytes + 1;
            break;
        }
        searched = lines->have - lines->at;
        if (lines->ended) {
            if (searched == 0)
                return TRIBUS_STOPPED;
            bytes = searched;
            used = searched;
            break;
        }
        st = fill(lines);
        if (st != TRIBUS_OK)
            return st;
    }
    *p = lines->buffer + lines->at;
    *end = *p + bytes;
    if (bytes > 0 && (*end)[-1] == '\r')
        (*end)--;
    lines->at += used;
    lines->number++;
    return TRIBUS_OK;
}

uint64_t tribus_lines_number(const tribus_lines *lines)
{
    return lines->number;
}
