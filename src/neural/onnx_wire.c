/* onnx_wire.c -- the protobuf wire format, and the memory of a graph; see onnx_reader.h.
 *
 * A message is a span of bytes; tribus_onnx_next_field() cuts one field off its front or says
 * why it cannot. Fields that are not read are skipped, as protobuf asks.
 */
#include "neural/onnx_reader.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

typedef struct arena_block {
    struct arena_block *next;
    size_t used, bytes;
} arena_block;

struct tribus_onnx_arena {
    arena_block *blocks;
};

#define BLOCK_BYTES ((size_t)1 << 16)

struct tribus_onnx_arena *tribus_onnx_arena_open(void)
{
    return calloc(1, sizeof(struct tribus_onnx_arena));
}

void tribus_onnx_arena_close(struct tribus_onnx_arena *arena)
{
    if (arena == NULL)
        return;
    for (arena_block *b = arena->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}

void *tribus_onnx_take(struct tribus_onnx_arena *arena, size_t bytes)
{
    const size_t head = (sizeof(arena_block) + 15u) & ~(size_t)15u;
    arena_block *b = arena->blocks;
    void *at;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + 15u) & ~(size_t)15u;
    if (b == NULL || b->bytes - b->used < bytes) {
        const size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

        b = calloc(1, head + room);
        if (b == NULL)
            return NULL;
        b->bytes = room;
        b->next = arena->blocks;
        arena->blocks = b;
    }
    at = (unsigned char *)b + head + b->used;
    b->used += bytes;
    return at;
}

tribus_status tribus_onnx_bad(const tribus_onnx_reader *r, const tribus_onnx_span *s,
                              const char *what)
{
    return tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: byte %zu: %s",
                            (size_t)(s->at - r->start), what);
}

tribus_status tribus_onnx_no_memory(void)
{
    return tribus_error_set(TRIBUS_NO_MEMORY, "the graph of an ONNX model");
}

bool tribus_onnx_varint(tribus_onnx_span *s, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && s->bytes > 0; shift += 7) {
        const unsigned char c = *s->at++;

        s->bytes--;
        value |= (uint64_t)(c & 0x7fu) << shift;
        if ((c & 0x80u) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

bool tribus_onnx_fixed(tribus_onnx_span *s, size_t bytes, uint64_t *out)
{
    uint64_t value = 0;

    if (s->bytes < bytes)
        return false;
    memcpy(&value, s->at, bytes); /* little-endian, as every machine we build for */
    s->at += bytes;
    s->bytes -= bytes;
    *out = value;
    return true;
}

/* Cut the next tribus_onnx_field off s. Only while s->bytes > 0. */
tribus_status tribus_onnx_next_field(const tribus_onnx_reader *r, tribus_onnx_span *s,
                                     tribus_onnx_field *f)
{
    uint64_t key, length;

    memset(f, 0, sizeof(*f));
    if (!tribus_onnx_varint(s, &key) || key > UINT32_MAX || key >> 3 == 0)
        return tribus_onnx_bad(r, s, "no tribus_onnx_field begins here");
    f->number = (uint32_t)(key >> 3);
    f->wire = (uint32_t)(key & 7u);
    f->inside.at = s->at;
    switch (f->wire) {
    case 0:
        return tribus_onnx_varint(s, &f->whole)
                   ? TRIBUS_OK
                   : tribus_onnx_bad(r, s, "a number is cut off");
    case 1:
        return tribus_onnx_fixed(s, 8, &f->whole)
                   ? TRIBUS_OK
                   : tribus_onnx_bad(r, s, "a number is cut off");
    case 5:
        return tribus_onnx_fixed(s, 4, &f->whole)
                   ? TRIBUS_OK
                   : tribus_onnx_bad(r, s, "a number is cut off");
    case 2:
        if (!tribus_onnx_varint(s, &length) || length > s->bytes)
            return tribus_onnx_bad(r, s, "a length goes past the end");
        f->inside.at = s->at;
        f->inside.bytes = (size_t)length;
        s->at += length;
        s->bytes -= (size_t)length;
        return TRIBUS_OK;
    default:
        return tribus_onnx_bad(r, s, "a tribus_onnx_field of a kind that does not exist");
    }
}

/* The same for a tribus_onnx_field whose kind the schema fixes. */
tribus_status tribus_onnx_expect(const tribus_onnx_reader *r, const tribus_onnx_field *f,
                                 uint32_t wire)
{
    return f->wire == wire
               ? TRIBUS_OK
               : tribus_onnx_bad(r, &f->inside, "a tribus_onnx_field of the wrong kind");
}

/* How often a tribus_onnx_field stands in a message. */
tribus_status tribus_onnx_count_fields(const tribus_onnx_reader *r, tribus_onnx_span s,
                                       uint32_t number, uint64_t *out)
{
    tribus_onnx_field f;

    *out = 0;
    while (s.bytes > 0) {
        const tribus_status st = tribus_onnx_next_field(r, &s, &f);

        if (st != TRIBUS_OK)
            return st;
        *out += f.number == number ? 1u : 0u;
    }
    return TRIBUS_OK;
}

/* A name as a C string; control characters and zero bytes are refused, since names go into
 * error texts and logs. */
tribus_status tribus_onnx_read_text(const tribus_onnx_reader *r, const tribus_onnx_field *f,
                                    const char **out)
{
    char *text;
    tribus_status st = tribus_onnx_expect(r, f, 2);

    if (st != TRIBUS_OK)
        return st;
    if (f->inside.bytes >= TRIBUS_ONNX_MAX_NAME_BYTES)
        return tribus_onnx_bad(r, &f->inside, "a name is longer than 255 bytes");
    for (size_t i = 0; i < f->inside.bytes; i++)
        if (f->inside.at[i] < 0x20 || f->inside.at[i] == 0x7f)
            return tribus_onnx_bad(r, &f->inside, "a name has control characters");
    text = tribus_onnx_take(r->arena, f->inside.bytes + 1);
    if (text == NULL)
        return tribus_onnx_no_memory();
    memcpy(text, f->inside.at, f->inside.bytes);
    *out = text;
    return TRIBUS_OK;
}
