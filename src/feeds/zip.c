/* zip.c -- see zip.h. Layout after PKWARE's APPNOTE.TXT 6.3.x, sections 4.3.7 (local
 * header), 4.3.12 (directory header) and 4.3.16 (end record). All numbers are
 * little-endian.
 *
 *   [local header, name, extra, data] ...  [directory headers]  [end record, comment]
 */
#include "feeds/zip.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define LOCAL_BYTES         30u
#define ENTRY_BYTES         46u
#define END_BYTES           22u
#define COMMENT_MAX         65535u
#define DIRECTORY_BYTES_MAX (16u << 20)
#define BLOCK_BYTES         65536u
#define STORED              0u
#define DEFLATED            8u

typedef struct entry {
    char *name;
    uint32_t flags;
    uint32_t method;
    uint32_t crc;
    uint32_t packed;
    uint32_t unpacked;
    uint32_t at; /* of the local header */
} entry;

struct tribus_zip {
    char *path;
    int fd;
    uint64_t bytes;
    uint64_t directory_at;
    entry *entries;
    uint32_t count;
};

struct tribus_zip_member {
    const tribus_zip *zip;
    const entry *e;
    uint64_t at;   /* next packed byte in the file */
    uint32_t left; /* packed bytes not read yet */
    uint32_t given;
    uint32_t crc;
    bool inflating; /* inflateInit2 done */
    bool ended;
    z_stream z;
    unsigned char block[BLOCK_BYTES];
};

static uint32_t u16_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32_at(const unsigned char *p)
{
    return u16_at(p) | u16_at(p + 2) << 16;
}

/* Read exactly `bytes` at an offset. The file may shrink under us: that is an error too. */
static tribus_status read_at(const tribus_zip *zip, uint64_t at, void *into, size_t bytes)
{
    unsigned char *p = into;

    while (bytes > 0) {
        const ssize_t n = pread(zip->fd, p, bytes, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tribus_error_set(TRIBUS_SYSTEM, "%s: read at offset %llu", zip->path,
                                    (unsigned long long)at);
        if (n == 0)
            return tribus_error_set(TRIBUS_BAD_DATA, "%s: truncated at offset %llu",
                                    zip->path, (unsigned long long)at);
        p += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return TRIBUS_OK;
}

/* ---- the directory ---- */

static tribus_status not_a_zip(const tribus_zip *zip)
{
    unsigned char first[4] = {0};

    if (zip->bytes >= 4 && read_at(zip, 0, first, 4) == TRIBUS_OK &&
        u32_at(first) == 0x04034b50u)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: truncated: the zip's directory is missing at its end, "
                                "offset %llu; copy the file again",
                                zip->path, (unsigned long long)zip->bytes);
    return tribus_error_set(TRIBUS_BAD_DATA, "%s: not a zip file", zip->path);
}

/* Find the end record: the last place where its signature fits a comment that ends the
 * file. end: END_BYTES, the record. */
static tribus_status find_end(const tribus_zip *zip, unsigned char *end, uint64_t *end_at)
{
    const size_t span =
        zip->bytes < END_BYTES + COMMENT_MAX ? (size_t)zip->bytes : END_BYTES + COMMENT_MAX;
    unsigned char *tail;
    tribus_status st;

    if (span < END_BYTES)
        return not_a_zip(zip);
    tail = malloc(span);
    if (tail == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s: %zu bytes", zip->path, span);
    st = read_at(zip, zip->bytes - span, tail, span);
    if (st != TRIBUS_OK)
        goto done;
    for (size_t at = span - END_BYTES + 1; at-- > 0;)
        if (u32_at(tail + at) == 0x06054b50u &&
            at + END_BYTES + u16_at(tail + at + 20) == span) {
            memcpy(end, tail + at, END_BYTES);
            *end_at = zip->bytes - span + at;
            goto done;
        }
    st = not_a_zip(zip);
done:
    free(tail);
    return st;
}

static tribus_status read_entry(tribus_zip *zip, const unsigned char *p, size_t left,
                                size_t *used)
{
    entry *e = &zip->entries[zip->count];
    size_t name_bytes;

    if (left < ENTRY_BYTES || u32_at(p) != 0x02014b50u)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: directory entry %u is damaged",
                                zip->path, zip->count);
    name_bytes = u16_at(p + 28);
    *used = ENTRY_BYTES + name_bytes + u16_at(p + 30) + u16_at(p + 32);
    if (*used > left)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: directory entry %u is longer than the directory",
                                zip->path, zip->count);
    e->flags = u16_at(p + 8);
    e->method = u16_at(p + 10);
    e->crc = u32_at(p + 16);
    e->packed = u32_at(p + 20);
    e->unpacked = u32_at(p + 24);
    e->at = u32_at(p + 42);
    if (e->packed == UINT32_MAX || e->unpacked == UINT32_MAX || e->at == UINT32_MAX)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "%s: zip64 is not supported; pack it again below 4 GiB",
                                zip->path);
    e->name = calloc(1, name_bytes + 1);
    if (e->name == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s: directory", zip->path);
    memcpy(e->name, p + ENTRY_BYTES, name_bytes);
    zip->count++;
    return TRIBUS_OK;
}

static tribus_status check_end(tribus_zip *zip, const unsigned char *end, uint64_t end_at)
{
    const uint32_t entries = u16_at(end + 10), bytes = u32_at(end + 12);
    const uint32_t at = u32_at(end + 16);

    if (entries == 0xffffu || bytes == UINT32_MAX || at == UINT32_MAX)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "%s: zip64 is not supported; pack it again below 4 GiB",
                                zip->path);
    if (u16_at(end + 4) != 0 || u16_at(end + 6) != 0 || u16_at(end + 8) != entries)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "%s: a zip in several parts is not supported", zip->path);
    if ((uint64_t)at + bytes > end_at || bytes > DIRECTORY_BYTES_MAX)
        return tribus_error_set(
            TRIBUS_BAD_DATA,
            "%s: its directory (%u bytes at offset %u) does not fit the file", zip->path,
            bytes, at);
    if (entries > bytes / ENTRY_BYTES)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: %u members in a directory of %u bytes", zip->path,
                                entries, bytes);
    return TRIBUS_OK;
}

static tribus_status read_directory(tribus_zip *zip)
{
    unsigned char end[END_BYTES] = {0};
    unsigned char *directory = NULL;
    uint64_t end_at = 0;
    uint32_t entries, bytes;
    size_t at = 0;
    tribus_status st = find_end(zip, end, &end_at);

    if (st == TRIBUS_OK)
        st = check_end(zip, end, end_at);
    if (st != TRIBUS_OK)
        return st;
    entries = u16_at(end + 10);
    bytes = u32_at(end + 12);
    zip->directory_at = u32_at(end + 16);
    directory = malloc(bytes + 1u);
    zip->entries = calloc(entries + 1u, sizeof(*zip->entries));
    if (directory == NULL || zip->entries == NULL)
        st = tribus_error_set(TRIBUS_NO_MEMORY, "%s: directory of %u bytes", zip->path,
                              bytes);
    if (st == TRIBUS_OK)
        st = read_at(zip, zip->directory_at, directory, bytes);
    while (st == TRIBUS_OK && zip->count < entries) {
        size_t used = 0;

        st = read_entry(zip, directory + at, bytes - at, &used);
        at += used;
    }
    free(directory);
    return st;
}

tribus_status tribus_zip_open(const char *path, tribus_zip **out)
{
    tribus_zip *zip = calloc(1, sizeof(*zip));
    tribus_status st = TRIBUS_NO_MEMORY;
    struct stat s;

    if (zip == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open %s", path);
    zip->fd = -1;
    zip->path = strdup(path);
    if (zip->path == NULL) {
        (void)tribus_error_set(st, "open %s", path);
        goto fail;
    }
    zip->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (zip->fd < 0 || fstat(zip->fd, &s) != 0) {
        st = tribus_error_set(TRIBUS_SYSTEM, "open %s", path);
        if (tribus_error_errno() == ENOENT)
            st = tribus_error_set(TRIBUS_NOT_FOUND, "%s: no such file", path);
        goto fail;
    }
    if (!S_ISREG(s.st_mode)) {
        st = tribus_error_set(TRIBUS_BAD_DATA, "%s: not a regular file", path);
        goto fail;
    }
    zip->bytes = (uint64_t)s.st_size;
    st = read_directory(zip);
    if (st != TRIBUS_OK)
        goto fail;
    *out = zip;
    return TRIBUS_OK;

fail:
    tribus_zip_close(zip);
    return st;
}

void tribus_zip_close(tribus_zip *zip)
{
    if (zip == NULL)
        return;
    for (uint32_t i = 0; i < zip->count; i++)
        free(zip->entries[i].name);
    free(zip->entries);
    if (zip->fd >= 0)
        (void)close(zip->fd);
    free(zip->path);
    free(zip);
}

uint32_t tribus_zip_count(const tribus_zip *zip)
{
    return zip->count;
}

const char *tribus_zip_name(const tribus_zip *zip, uint32_t index)
{
    return zip->entries[index].name;
}

/* ---- members ---- */

static tribus_status find_member_bytes(tribus_zip_member *m)
{
    const tribus_zip *zip = m->zip;
    const entry *e = m->e;
    unsigned char local[LOCAL_BYTES];
    tribus_status st;

    if ((uint64_t)e->at + LOCAL_BYTES > zip->directory_at)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: %s begins at offset %u, past the members", zip->path,
                                e->name, e->at);
    st = read_at(zip, e->at, local, sizeof(local));
    if (st != TRIBUS_OK)
        return st;
    if (u32_at(local) != 0x04034b50u)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: no header of %s at offset %u",
                                zip->path, e->name, e->at);
    m->at = (uint64_t)e->at + LOCAL_BYTES + u16_at(local + 26) + u16_at(local + 28);
    m->left = e->packed;
    if (m->at + m->left > zip->directory_at)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "%s: %s: %u bytes at offset %llu run into the directory at "
                                "offset %llu",
                                zip->path, e->name, e->packed, (unsigned long long)m->at,
                                (unsigned long long)zip->directory_at);
    if (e->method == STORED && e->packed != e->unpacked)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s: %s: stored, but with two sizes",
                                zip->path, e->name);
    return TRIBUS_OK;
}

tribus_status tribus_zip_member_open(tribus_zip *zip, uint32_t index,
                                     tribus_zip_member **out)
{
    const entry *e = &zip->entries[index];
    tribus_zip_member *m;
    tribus_status st;

    if ((e->flags & 1u) != 0 || (e->method != STORED && e->method != DEFLATED))
        return tribus_error_set(
            TRIBUS_UNSUPPORTED, "%s: %s: %s; pack it again with plain deflate", zip->path,
            e->name, (e->flags & 1u) != 0 ? "encrypted" : "unknown compression");
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s: %s", zip->path, e->name);
    m->zip = zip;
    m->e = e;
    m->crc = (uint32_t)crc32(0, NULL, 0);
    st = find_member_bytes(m);
    if (st != TRIBUS_OK)
        goto fail;
    if (e->method == DEFLATED) {
        if (inflateInit2(&m->z, -15) != Z_OK) { /* raw deflate: a zip has its own header */
            st = tribus_error_set(TRIBUS_NO_MEMORY, "%s: %s: inflate", zip->path, e->name);
            goto fail;
        }
        m->inflating = true;
    }
    *out = m;
    return TRIBUS_OK;

fail:
    tribus_zip_member_close(m);
    return st;
}

void tribus_zip_member_close(tribus_zip_member *m)
{
    if (m == NULL)
        return;
    if (m->inflating)
        (void)inflateEnd(&m->z);
    free(m);
}

static tribus_status damaged(const tribus_zip_member *m, const char *why)
{
    return tribus_error_set(
        TRIBUS_BAD_DATA, "%s: %s: damaged near offset %llu: %s", m->zip->path, m->e->name,
        (unsigned long long)(m->at - (m->inflating ? m->z.avail_in : 0)), why);
}

static tribus_status read_stored(tribus_zip_member *m, void *into, size_t room, size_t *got)
{
    const size_t n = room < m->left ? room : m->left;
    const tribus_status st = read_at(m->zip, m->at, into, n);

    if (st != TRIBUS_OK)
        return st;
    m->at += n;
    m->left -= (uint32_t)n;
    m->ended = m->left == 0;
    *got = n;
    return TRIBUS_OK;
}

static tribus_status read_deflated(tribus_zip_member *m, void *into, size_t room,
                                   size_t *got)
{
    const uInt space = room > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)room;
    int result = Z_OK;

    m->z.next_out = into;
    m->z.avail_out = space;
    while (m->z.avail_out > 0 && result != Z_STREAM_END) {
        if (m->z.avail_in == 0 && m->left > 0) {
            const uint32_t n = m->left < BLOCK_BYTES ? m->left : BLOCK_BYTES;
            const tribus_status st = read_at(m->zip, m->at, m->block, n);

            if (st != TRIBUS_OK)
                return st;
            m->at += n;
            m->left -= n;
            m->z.next_in = m->block;
            m->z.avail_in = n;
        }
        result = inflate(&m->z, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR)
            return tribus_error_set(TRIBUS_NO_MEMORY, "%s: inflate", m->zip->path);
        if (result == Z_BUF_ERROR && m->left == 0 && m->z.avail_out > 0)
            return damaged(m, "it ends too early");
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return damaged(m, m->z.msg != NULL ? m->z.msg : "not deflate data");
    }
    m->ended = result == Z_STREAM_END;
    *got = space - m->z.avail_out;
    return TRIBUS_OK;
}

tribus_status tribus_zip_member_read(tribus_zip_member *m, void *into, size_t room,
                                     size_t *got)
{
    tribus_status st = TRIBUS_OK;
    size_t n = 0;

    if (!m->ended && room > 0) {
        st = m->e->method == STORED ? read_stored(m, into, room, &n)
                                    : read_deflated(m, into, room, &n);
        if (st != TRIBUS_OK)
            return st;
        if (n > m->e->unpacked - m->given)
            return damaged(m, "longer than its directory entry says");
        m->given += (uint32_t)n;
        m->crc = (uint32_t)crc32(m->crc, into, (uInt)n);
        if (m->ended && m->given != m->e->unpacked)
            return damaged(m, "shorter than its directory entry says");
        if (m->ended && m->crc != m->e->crc)
            return damaged(m, "its checksum is wrong");
    }
    *got = n;
    return TRIBUS_OK;
}
