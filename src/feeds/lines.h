/* lines.h -- cut a stream of bytes into numbered lines.
 *
 * Memory   one buffer of the size given at creation; a line longer than that is an error.
 * Trust    bytes may be anything, zero bytes included; a line is a span, not a string.
 */
#ifndef TRIBUS_FEEDS_LINES_H
#define TRIBUS_FEEDS_LINES_H

#include "tribus/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tribus_lines tribus_lines;

/* Gives up to `room` bytes; *got 0 only at the end. */
typedef tribus_status (*tribus_lines_read_fn)(void *from, void *into, size_t room,
                                              size_t *got);

/* from: borrowed until tribus_lines_destroy(). out: owned by the caller.
 * Returns TRIBUS_OK or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_lines_create(tribus_lines_read_fn read, void *from,
                                                    size_t longest_bytes,
                                                    tribus_lines **out);
void tribus_lines_destroy(tribus_lines *lines);

/* The next line without its newline (or carriage return and newline), as [*p, *end);
 * borrowed until the next call. The last line needs no newline.
 * Returns TRIBUS_OK, TRIBUS_STOPPED at the end, TRIBUS_BAD_DATA (line too long), or what
 * the stream returned. */
TRIBUS_MUST_CHECK tribus_status tribus_lines_next(tribus_lines *lines, const char **p,
                                                  const char **end);

/* Number of the line given last, from 1. */
uint64_t tribus_lines_number(const tribus_lines *lines);

#endif
