/* stream.c -- see stream.h. */
#include "feeds/stream.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define BLOCK_BYTES 65536u
#define WINDOW_LOG  27 /* 128 MiB */

typedef enum packing { PLAIN, GZIP, ZSTD } packing;

struct tribus_stream {
    char *path;
    int fd;
    packing how;
    bool file_ended;
    bool between; /* at the boundary of two frames, where a file may end */
    uint64_t file_at;
    size_t packed_at; /* in packed[] */
    size_t packed_have;
    z_stream z;
    bool inflating;
    ZSTD_DCtx *zstd;
    /* for take */
    size_t at;
    size_t have;
    uint64_t taken;
    unsigned char packed[BLOCK_BYTES];
    unsigned char plain[2 * BLOCK_BYTES];
};

static tribus_status fill_packed(tribus_stream *s)
{
    while (s->packed_at == s->packed_have && !s->file_ended) {
        const ssize_t n = read(s->fd, s->packed, sizeof(s->packed));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tribus_error_set(TRIBUS_SYSTEM, "%s: read at offset %llu", s->path,
                                    (unsigned long long)s->file_at);
        s->packed_at = 0;
        s->packed_have = (size_t)n;
        s->file_at += (uint64_t)n;
        s->file_ended = n == 0;
    }
    return TRIBUS_OK;
}

static tribus_status start_unpacking(tribus_stream *s)
{
    static const unsigned char zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    const tribus_status st = fill_packed(s);

    if (st != TRIBUS_OK)
        return st;
    s->between = true;
    if (s->packed_have >= 2 && s->packed[0] == 0x1f && s->packed[1] == 0x8b) {
        if (inflateInit2(&s->z, 15 + 16) != Z_OK) /* + 16: a gzip header */
            return tribus_error_set(TRIBUS_NO_MEMORY, "%s: inflate", s->path);
        s->inflating = true;
        s->how = GZIP;
    } else if (s->packed_have >= 4 && memcmp(s->packed, zstd_magic, 4) == 0) {
        s->zstd = ZSTD_createDCtx();
        if (s->zstd == NULL ||
            ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG)))
            return tribus_error_set(TRIBUS_NO_MEMORY, "%s: zstd", s->path);
        s->how = ZSTD;
    }
    return TRIBUS_OK;
}

tribus_status tribus_stream_open(const char *path, tribus_stream **out)
{
    tribus_stream *s = calloc(1, sizeof(*s));
    tribus_status st = TRIBUS_NO_MEMORY;
    struct stat about;

    if (s == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "open %s", path);
    s->fd = -1;
    s->path = strdup(path);
    if (s->path == NULL) {
        (void)tribus_error_set(st, "open %s", path);
        goto fail;
    }
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0 || fstat(s->fd, &about) != 0) {
        st = tribus_error_set(TRIBUS_SYSTEM, "open %s", path);
        if (tribus_error_errno() == ENOENT)
            st = tribus_error_set(TRIBUS_NOT_FOUND, "%s: no such file", path);
        goto fail;
    }
    if (!S_ISREG(about.st_mode)) {
        st = tribus_error_set(TRIBUS_BAD_DATA, "%s: not a regular file", path);
        goto fail;
    }
    st = start_unpacking(s);
    if (st != TRIBUS_OK)
        goto fail;
    *out = s;
    return TRIBUS_OK;

fail:
    tribus_stream_close(s);
    return st;
}

void tribus_stream_close(tribus_stream *s)
{
    if (s == NULL)
        return;
    if (s->inflating)
        (void)inflateEnd(&s->z);
    (void)ZSTD_freeDCtx(s->zstd); /* takes NULL */
    if (s->fd >= 0)
        (void)close(s->fd);
    free(s->path);
    free(s);
}

static tribus_status damaged(const tribus_stream *s, const char *why)
{
    return tribus_error_set(
        TRIBUS_BAD_DATA, "%s: damaged near offset %llu: %s", s->path,
        (unsigned long long)(s->file_at - (s->packed_have - s->packed_at)), why);
}

/* Unpack what is in packed[] into [into, room). *made: bytes out. */
static tribus_status inflate_some(tribus_stream *s, void *into, size_t room, size_t *made)
{
    int result;

    s->z.next_in = s->packed + s->packed_at;
    s->z.avail_in = (uInt)(s->packed_have - s->packed_at);
    s->z.next_out = into;
    s->z.avail_out = (uInt)room;
    s->between = false;
    result = inflate(&s->z, Z_NO_FLUSH);
    s->packed_at = s->packed_have - s->z.avail_in;
    *made = room - s->z.avail_out;
    if (result == Z_MEM_ERROR)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s: inflate", s->path);
    if (result == Z_STREAM_END) {
        s->between = true;
        (void)inflateReset(&s->z); /* another gzip member may follow */
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return damaged(s, s->z.msg != NULL ? s->z.msg : "not gzip data");
    }
    return TRIBUS_OK;
}

static tribus_status unzstd_some(tribus_stream *s, void *into, size_t room, size_t *made)
{
    ZSTD_inBuffer in = {s->packed, s->packed_have, s->packed_at};
    ZSTD_outBuffer out = {into, room, 0};
    const size_t result = ZSTD_decompressStream(s->zstd, &out, &in);

    s->packed_at = in.pos;
    *made = out.pos;
    s->between = result == 0;
    return ZSTD_isError(result) ? damaged(s, ZSTD_getErrorName(result)) : TRIBUS_OK;
}

tribus_status tribus_stream_read(void *stream, void *into, size_t room, size_t *got)
{
    tribus_stream *s = stream;

    if (room > BLOCK_BYTES)
        room = BLOCK_BYTES;
    *got = 0;
    while (*got == 0 && room > 0) {
        /* A decompressor may hold output back, so at the file's end it is asked once more. */
        const bool was_ended = s->file_ended;
        tribus_status st = fill_packed(s);

        if (st != TRIBUS_OK)
            return st;
        if (s->file_ended && (s->between || s->how == PLAIN))
            return TRIBUS_OK;
        if (s->how == PLAIN) {
            *got = s->packed_have - s->packed_at;
            if (*got > room)
                *got = room;
            memcpy(into, s->packed + s->packed_at, *got);
            s->packed_at += *got;
            return TRIBUS_OK;
        }
        st = s->how == GZIP ? inflate_some(s, into, room, got)
                            : unzstd_some(s, into, room, got);
        if (st != TRIBUS_OK)
            return st;
        if (*got == 0 && was_ended && !s->between)
            return tribus_error_set(TRIBUS_BAD_DATA, "%s: truncated at offset %llu",
                                    s->path, (unsigned long long)s->file_at);
    }
    return TRIBUS_OK;
}

tribus_status tribus_stream_take(tribus_stream *s, size_t bytes, const unsigned char **p)
{
    if (bytes > BLOCK_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG, "take %zu bytes: at most %u", bytes,
                                BLOCK_BYTES);
    if (s->have - s->at < bytes && s->at > 0) {
        memmove(s->plain, s->plain + s->at, s->have - s->at);
        s->have -= s->at;
        s->at = 0;
    }
    while (s->have - s->at < bytes) {
        size_t got = 0;
        const tribus_status st =
            tribus_stream_read(s, s->plain + s->have, sizeof(s->plain) - s->have, &got);

        if (st != TRIBUS_OK)
            return st;
        if (got == 0 && s->have > s->at)
            return tribus_error_set(TRIBUS_BAD_DATA,
                                    "%s: truncated: %zu of %zu bytes at offset %llu of its "
                                    "contents",
                                    s->path, s->have - s->at, bytes,
                                    (unsigned long long)s->taken);
        if (got == 0) {
            *p = NULL;
            return TRIBUS_OK;
        }
        s->have += got;
    }
    *p = s->plain + s->at;
    s->at += bytes;
    s->taken += bytes;
    return TRIBUS_OK;
}

void tribus_stream_untake(tribus_stream *s, size_t bytes)
{
    s->at -= bytes;
    s->taken -= bytes;
}

uint64_t tribus_stream_at(const tribus_stream *s)
{
    return s->taken;
}
