/* record_file.h -- a file of bus traffic: zstd blocks, indexed by time.
 *
 *   header   16 bytes: "TRIBUSREC1\n" and zeros
 *   block    48 bytes: magic, bytes packed and unpacked, messages, first and last time, and
 *            a hash of the packed bytes; then those. Unpacked: for each message its time
 *            (8 bytes, wall clock, ns), its size (4 bytes), 4 zeros, and itself as in a
 *            topic's cell, filled up to 8 bytes
 *   index    at the end, 24 bytes for each block: its place, first and last time; then 24
 *            bytes: place of the index, number of blocks, magic
 *
 * All little-endian. A file without its end (a full disk, a kill) is read block by block up
 * to the last good one.
 * Threads   a handle belongs to one.
 */
#ifndef TRIBUS_CLI_RECORD_FILE_H
#define TRIBUS_CLI_RECORD_FILE_H

#include "tribus/base.h"

#include <stdbool.h>
#include <stddef.h>

#define TRIBUS_RECORD_MOST_BYTES 8192u /* of a message */

typedef struct tribus_record_file tribus_record_file;

/* Returns TRIBUS_OK, TRIBUS_EXISTS (unless overwrite), TRIBUS_SYSTEM, TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_record_file_create(const char *path, bool overwrite,
                                                          tribus_record_file **out);

/* Returns TRIBUS_OK, TRIBUS_BAD_ARG (too large), TRIBUS_SYSTEM (disk), TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_record_file_append(tribus_record_file *file,
                                                          int64_t wall_ns,
                                                          const void *bytes, size_t n);

/* Write what is held back, so that a kill loses nothing before it. */
TRIBUS_MUST_CHECK tribus_status tribus_record_file_flush(tribus_record_file *file);

/* Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_BAD_DATA (not such a file), TRIBUS_SYSTEM,
 * TRIBUS_NO_MEMORY. *truncated: its end is missing. */
TRIBUS_MUST_CHECK tribus_status tribus_record_file_open(const char *path, bool *truncated,
                                                        tribus_record_file **out);

/* Go on with the first block that has messages of that time or later. */
TRIBUS_MUST_CHECK tribus_status tribus_record_file_seek(tribus_record_file *file,
                                                        int64_t wall_ns);

/* Borrow the next message until the next call, aligned to 8.
 * Returns TRIBUS_OK, TRIBUS_EMPTY (the end, or the last good block) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_record_file_next(tribus_record_file *file,
                                                        int64_t *wall_ns,
                                                        const void **bytes, size_t *n);

/* Ends a written file with its index. NULL is allowed. */
TRIBUS_MUST_CHECK tribus_status tribus_record_file_close(tribus_record_file *file);

#endif
