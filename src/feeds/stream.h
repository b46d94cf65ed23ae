/* stream.h -- read a file as bytes, unpacking gzip and zstd on the way.
 *
 * Memory   two blocks of 64 KiB and the decompressor's window (zstd: at most 128 MiB, larger
 *          is refused).
 * Trust    the packed bytes are hostile: damage and truncation are errors with file and
 *          offset.
 */
#ifndef TRIBUS_FEEDS_STREAM_H
#define TRIBUS_FEEDS_STREAM_H

#include "tribus/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tribus_stream tribus_stream;

/* Open a plain, gzip or zstd file; its first bytes say which. out: owned by the caller.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_BAD_DATA (not a regular file),
 * TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_stream_open(const char *path, tribus_stream **out);
void tribus_stream_close(tribus_stream *stream);

/* Read up to `room` bytes; *got 0 only at the end. stream: a tribus_stream, untyped so that
 * it fits tribus_lines_read_fn.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_stream_read(void *stream, void *into, size_t room,
                                                   size_t *got);

/* Borrow the next `bytes` unpacked bytes, up to 65536, valid until the next call. *p is NULL
 * where the file ends before the first of them.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (it ends in between: truncated) or as read. */
TRIBUS_MUST_CHECK tribus_status tribus_stream_take(tribus_stream *stream, size_t bytes,
                                                   const unsigned char **p);

/* Give back the last `bytes` of what was taken last, so that they are taken again. */
void tribus_stream_untake(tribus_stream *stream, size_t bytes);

/* Unpacked bytes taken so far. */
uint64_t tribus_stream_at(const tribus_stream *stream);

#endif
