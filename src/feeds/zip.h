/* zip.h -- read the members of a zip file as streams.
 *
 * Use it to   read recorded files straight out of the zip they come in, several members at
 *             a time.
 * Not for     writing, encrypted or multi-part zips, zip64 (beyond 4 GiB): refused.
 *
 * Memory      the directory (at most 16 MiB) and 64 KiB for each open member.
 * Threads     one for a zip and its members.
 * Trust       the file is hostile: every length and offset is checked against the size of
 *             the file, a member never gives more bytes than its directory entry says, and
 *             its checksum must agree at its end.
 */
#ifndef TRIBUS_FEEDS_ZIP_H
#define TRIBUS_FEEDS_ZIP_H

#include "tribus/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tribus_zip tribus_zip;
typedef struct tribus_zip_member tribus_zip_member;

/* Open a file and read its directory. path: copied. out: owned by the caller, give it to
 * tribus_zip_close().
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_BAD_DATA (not a zip, truncated, damaged),
 * TRIBUS_UNSUPPORTED (zip64, several parts), TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_zip_open(const char *path, tribus_zip **out);

/* Close a zip after its members. NULL is allowed. */
void tribus_zip_close(tribus_zip *zip);

uint32_t tribus_zip_count(const tribus_zip *zip);

/* Name of a member, index < count; borrowed until tribus_zip_close(). */
const char *tribus_zip_name(const tribus_zip *zip, uint32_t index);

/* Start reading a member, index < count. out: owned by the caller, give it to
 * tribus_zip_member_close() before the zip is closed.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA, TRIBUS_UNSUPPORTED (encrypted, or neither stored nor
 * deflated), TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_zip_member_open(tribus_zip *zip, uint32_t index,
                                                       tribus_zip_member **out);
void tribus_zip_member_close(tribus_zip_member *member);

/* Read up to `room` bytes. *got: bytes read; 0 only at the end of the member.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (damaged; the text names file and offset),
 * TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_zip_member_read(tribus_zip_member *member,
                                                       void *into, size_t room,
                                                       size_t *got);

#endif
