/* record_file.c -- see record_file.h. */
#include "cli/record_file.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define FILE_MAGIC  "TRIBUSREC1\n\0\0\0\0"
#define BLOCK_MAGIC 0x6b6c6274u /* "tblk" */
#define INDEX_MAGIC 0x7864696274ull
#define BLOCK_BYTES (256u << 10) /* unpacked, before a block is written */
#define LEVEL       3

typedef struct block_head {
    uint32_t magic;
    uint32_t packed;
    uint32_t unpacked;
    uint32_t messages;
    int64_t first_ns;
    int64_t last_ns;
    uint64_t hash;
    uint64_t reserved;
} block_head;

typedef struct message_head {
    int64_t wall_ns;
    uint32_t bytes;
    uint32_t reserved;
} message_head;

typedef struct index_row {
    int64_t place;
    int64_t first_ns;
    int64_t last_ns;
} index_row;

typedef struct file_end {
    int64_t place;
    uint64_t blocks;
    uint64_t magic;
} file_end;

_Static_assert(sizeof(block_head) == 48 && sizeof(message_head) == 16, "layout");
_Static_assert(sizeof(index_row) == 24 && sizeof(file_end) == 24, "layout");

struct tribus_record_file {
    FILE *f;
    bool writing;
    block_head head; /* of the block in hand */
    unsigned char *unpacked;
    unsigned char *packed;
    size_t used; /* writing: filled; reading: taken */
    index_row *rows;
    size_t row_count;
    size_t row_room;
};

#define ROOM   (BLOCK_BYTES + TRIBUS_RECORD_MOST_BYTES + 64u)
#define PACKED ZSTD_COMPRESSBOUND(ROOM)

/* FNV-1a over 8 bytes at a time. */
static uint64_t hash_of(const unsigned char *bytes, size_t n)
{
    uint64_t h = 14695981039346656037ull;
    uint64_t word;

    for (size_t i = 0; i < n; i += sizeof(word)) {
        word = 0;
        memcpy(&word, bytes + i, n - i < sizeof(word) ? n - i : sizeof(word));
        h = (h ^ word) * 1099511628211ull;
        h ^= h >> 31;
    }
    return h;
}

static tribus_status disk(const char *what)
{
    return tribus_error_set(TRIBUS_SYSTEM, "%s", what);
}

static void drop(tribus_record_file *r)
{
    if (r->f != NULL)
        (void)fclose(r->f);
    free(r->unpacked);
    free(r->packed);
    free(r->rows);
    free(r);
}

static tribus_record_file *make(bool writing)
{
    tribus_record_file *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->writing = writing;
    r->unpacked = aligned_alloc(64, (ROOM + 63u) / 64u * 64u);
    r->packed = malloc(PACKED);
    if (r->unpacked == NULL || r->packed == NULL) {
        drop(r);
        return NULL;
    }
    return r;
}

static tribus_status add_row(tribus_record_file *r, int64_t place, const block_head *h)
{
    if (r->row_count == r->row_room) {
        const size_t room = r->row_room == 0 ? 64 : r->row_room * 2;
        index_row *grown = realloc(r->rows, room * sizeof(*grown));

        if (grown == NULL)
            return tribus_error_set(TRIBUS_NO_MEMORY, "index of %zu blocks", room);
        r->rows = grown;
        r->row_room = room;
    }
    r->rows[r->row_count++] =
        (index_row){.place = place, .first_ns = h->first_ns, .last_ns = h->last_ns};
    return TRIBUS_OK;
}

/* ---- writing ---- */

tribus_status tribus_record_file_create(const char *path, bool overwrite,
                                        tribus_record_file **out)
{
    tribus_record_file *r = make(true);

    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s", path);
    r->f = fopen(path, overwrite ? "wbe" : "wbxe");
    if (r->f == NULL) {
        const int fault = errno;

        drop(r);
        errno = fault;
        if (fault == EEXIST)
            return tribus_error_set(TRIBUS_EXISTS,
                                    "%s is there already; --force replaces it", path);
        return disk(path);
    }
    if (fwrite(FILE_MAGIC, 16, 1, r->f) != 1) {
        drop(r);
        return disk(path);
    }
    *out = r;
    return TRIBUS_OK;
}

tribus_status tribus_record_file_flush(tribus_record_file *r)
{
    block_head *h = &r->head;
    int64_t place;
    size_t packed;
    tribus_status st;

    if (h->messages == 0)
        return fflush(r->f) == 0 ? TRIBUS_OK : disk("write");
    place = ftell(r->f);
    packed = ZSTD_compress(r->packed, PACKED, r->unpacked, r->used, LEVEL);
    if (ZSTD_isError(packed))
        return tribus_error_set(TRIBUS_BAD_DATA, "zstd: %s", ZSTD_getErrorName(packed));
    h->magic = BLOCK_MAGIC;
    h->packed = (uint32_t)packed;
    h->unpacked = (uint32_t)r->used;
    h->hash = hash_of(r->packed, packed);
    if (place < 0 || fwrite(h, sizeof(*h), 1, r->f) != 1 ||
        fwrite(r->packed, packed, 1, r->f) != 1 || fflush(r->f) != 0)
        return disk("write");
    st = add_row(r, place, h);
    memset(h, 0, sizeof(*h));
    r->used = 0;
    return st;
}

tribus_status tribus_record_file_append(tribus_record_file *r, int64_t wall_ns,
                                        const void *bytes, size_t n)
{
    const message_head m = {.wall_ns = wall_ns, .bytes = (uint32_t)n};
    const size_t whole = (n + 7) / 8 * 8;

    if (n > TRIBUS_RECORD_MOST_BYTES)
        return tribus_error_set(TRIBUS_BAD_ARG, "a message of %zu bytes", n);
    if (r->head.messages++ == 0)
        r->head.first_ns = wall_ns;
    r->head.last_ns = wall_ns;
    memcpy(r->unpacked + r->used, &m, sizeof(m));
    memset(r->unpacked + r->used + sizeof(m), 0, whole);
    memcpy(r->unpacked + r->used + sizeof(m), bytes, n);
    r->used += sizeof(m) + whole;
    return r->used >= BLOCK_BYTES ? tribus_record_file_flush(r) : TRIBUS_OK;
}

static tribus_status finish(tribus_record_file *r)
{
    file_end end = {.magic = INDEX_MAGIC};
    tribus_status st = tribus_record_file_flush(r);

    if (st != TRIBUS_OK)
        return st;
    end.place = ftell(r->f);
    end.blocks = r->row_count;
    if (end.place < 0 ||
        (r->row_count > 0 &&
         fwrite(r->rows, sizeof(*r->rows), r->row_count, r->f) != r->row_count) ||
        fwrite(&end, sizeof(end), 1, r->f) != 1 || fflush(r->f) != 0)
        return disk("write");
    return TRIBUS_OK;
}

tribus_status tribus_record_file_close(tribus_record_file *r)
{
    tribus_status st = TRIBUS_OK;

    if (r == NULL)
        return TRIBUS_OK;
    if (r->writing)
        st = finish(r);
    drop(r);
    return st;
}

/* ---- reading ---- */

/* The index at the end, when it is there and fits. */
static bool read_index(tribus_record_file *r)
{
    file_end end;
    int64_t size;

    if (fseek(r->f, -(long)sizeof(end), SEEK_END) != 0)
        return false;
    size = ftell(r->f);
    if (fread(&end, sizeof(end), 1, r->f) != 1 || end.magic != INDEX_MAGIC ||
        end.place < 16 || end.place > size || end.blocks > (uint64_t)size / 24u ||
        end.place + (int64_t)(end.blocks * sizeof(index_row)) != size)
        return false;
    r->rows = malloc((size_t)end.blocks * sizeof(*r->rows) + 1);
    if (r->rows == NULL || fseek(r->f, (long)end.place, SEEK_SET) != 0)
        return false;
    r->row_count = fread(r->rows, sizeof(*r->rows), (size_t)end.blocks, r->f);
    return r->row_count == end.blocks;
}

static bool good_head(const block_head *h)
{
    return h->magic == BLOCK_MAGIC && h->packed > 0 && h->packed <= PACKED &&
           h->unpacked <= ROOM && h->messages > 0;
}

/* Make the index by walking from block to block. */
static tribus_status scan(tribus_record_file *r)
{
    block_head h;

    free(r->rows);
    r->rows = NULL;
    r->row_count = r->row_room = 0;
    if (fseek(r->f, 16, SEEK_SET) != 0)
        return disk("seek");
    for (;;) {
        const int64_t place = ftell(r->f);
        tribus_status st;

        if (place < 0 || fread(&h, sizeof(h), 1, r->f) != 1 || !good_head(&h) ||
            fread(r->packed, h.packed, 1, r->f) != 1 ||
            hash_of(r->packed, h.packed) != h.hash)
            return TRIBUS_OK;
        st = add_row(r, place, &h);
        if (st != TRIBUS_OK)
            return st;
    }
}

tribus_status tribus_record_file_open(const char *path, bool *truncated,
                                      tribus_record_file **out)
{
    tribus_record_file *r = make(false);
    char magic[16];
    tribus_status st = TRIBUS_OK;

    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s", path);
    r->f = fopen(path, "rbe");
    if (r->f == NULL) {
        st = errno == ENOENT ? tribus_error_set(TRIBUS_NOT_FOUND, "%s: no such file", path)
                             : disk(path);
        drop(r);
        return st;
    }
    if (fread(magic, sizeof(magic), 1, r->f) != 1 || memcmp(magic, FILE_MAGIC, 11) != 0) {
        drop(r);
        return tribus_error_set(TRIBUS_BAD_DATA, "%s is no recording", path);
    }
    *truncated = !read_index(r);
    if (*truncated)
        st = scan(r);
    if (st == TRIBUS_OK)
        st = tribus_record_file_seek(r, INT64_MIN);
    if (st != TRIBUS_OK) {
        drop(r);
        return st;
    }
    *out = r;
    return TRIBUS_OK;
}

tribus_status tribus_record_file_seek(tribus_record_file *r, int64_t wall_ns)
{
    size_t i = 0;

    while (i < r->row_count && r->rows[i].last_ns < wall_ns)
        i++;
    r->used = 0;
    memset(&r->head, 0, sizeof(r->head));
    r->row_room = i; /* reading: the next block */
    return TRIBUS_OK;
}

static bool read_block(tribus_record_file *r, const index_row *row)
{
    size_t got;

    if (fseek(r->f, (long)row->place, SEEK_SET) != 0 ||
        fread(&r->head, sizeof(r->head), 1, r->f) != 1 || !good_head(&r->head) ||
        fread(r->packed, r->head.packed, 1, r->f) != 1 ||
        hash_of(r->packed, r->head.packed) != r->head.hash)
        return false;
    got = ZSTD_decompress(r->unpacked, ROOM, r->packed, r->head.packed);
    r->used = 0;
    return !ZSTD_isError(got) && got == r->head.unpacked;
}

tribus_status tribus_record_file_next(tribus_record_file *r, int64_t *wall_ns,
                                      const void **bytes, size_t *n)
{
    message_head m;

    if (r->used + sizeof(m) > r->head.unpacked) {
        if (r->row_room >= r->row_count || !read_block(r, &r->rows[r->row_room])) {
            r->row_room = r->row_count;
            r->head.unpacked = 0;
            return TRIBUS_EMPTY;
        }
        r->row_room++;
    }
    memcpy(&m, r->unpacked + r->used, sizeof(m));
    if (m.bytes > TRIBUS_RECORD_MOST_BYTES ||
        r->used + sizeof(m) + m.bytes > r->head.unpacked)
        return TRIBUS_EMPTY;
    *wall_ns = m.wall_ns;
    *bytes = r->unpacked + r->used + sizeof(m);
    *n = m.bytes;
    r->used += sizeof(m) + (m.bytes + 7u) / 8u * 8u;
    return TRIBUS_OK;
}
