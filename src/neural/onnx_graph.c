/* onnx_graph.c -- the protobuf wire format, and of it what a model's graph needs.
 *
 * A message is a span of bytes; next_field() cuts one field off its front or says why it
 * cannot. Fields that are not read are skipped, as protobuf asks. Field numbers are those of
 * onnx.proto3 (ONNX 1.0 and later).
 *
 * Memory comes from an arena of blocks that dies with the graph. Lists are counted first, so
 * that each is taken once and a hostile file cannot ask for more than its own size implies.
 */
#include "neural/onnx_graph.h"
#include "base/error.h"

#include <math.h>
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

/* Zeroed, aligned to 16; NULL when there is none. */
static void *take(struct tribus_onnx_arena *arena, size_t bytes)
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

/* ---- wire format ---- */

typedef struct span {
    const unsigned char *at;
    size_t bytes;
} span;

typedef struct field {
    uint32_t number;
    uint32_t wire; /* 0 varint, 1 eight bytes, 2 span, 5 four bytes */
    uint64_t whole;
    span inside;
} field;

typedef struct reader {
    const unsigned char *start; /* of the file, for the offsets in errors */
    struct tribus_onnx_arena *arena;
    tribus_onnx_graph *graph;
    uint32_t *slots; /* hash table of names: value + 1, or 0 */
    uint32_t slot_mask;
    uint32_t value_room;
} reader;

static tribus_status bad(const reader *r, const span *s, const char *what)
{
    return tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: byte %zu: %s",
                            (size_t)(s->at - r->start), what);
}

static tribus_status no_memory(void)
{
    return tribus_error_set(TRIBUS_NO_MEMORY, "the graph of an ONNX model");
}

static bool varint(span *s, uint64_t *out)
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

static bool fixed(span *s, size_t bytes, uint64_t *out)
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

/* Cut the next field off s. Only while s->bytes > 0. */
static tribus_status next_field(const reader *r, span *s, field *f)
{
    uint64_t key, length;

    memset(f, 0, sizeof(*f));
    if (!varint(s, &key) || key > UINT32_MAX || key >> 3 == 0)
        return bad(r, s, "no field begins here");
    f->number = (uint32_t)(key >> 3);
    f->wire = (uint32_t)(key & 7u);
    f->inside.at = s->at;
    switch (f->wire) {
    case 0:
        return varint(s, &f->whole) ? TRIBUS_OK : bad(r, s, "a number is cut off");
    case 1:
        return fixed(s, 8, &f->whole) ? TRIBUS_OK : bad(r, s, "a number is cut off");
    case 5:
        return fixed(s, 4, &f->whole) ? TRIBUS_OK : bad(r, s, "a number is cut off");
    case 2:
        if (!varint(s, &length) || length > s->bytes)
            return bad(r, s, "a length goes past the end");
        f->inside.at = s->at;
        f->inside.bytes = (size_t)length;
        s->at += length;
        s->bytes -= (size_t)length;
        return TRIBUS_OK;
    default:
        return bad(r, s, "a field of a kind that does not exist");
    }
}

/* The same for a field whose kind the schema fixes. */
static tribus_status expect(const reader *r, const field *f, uint32_t wire)
{
    return f->wire == wire ? TRIBUS_OK : bad(r, &f->inside, "a field of the wrong kind");
}

/* How often a field stands in a message. */
static tribus_status count_fields(const reader *r, span s, uint32_t number, uint64_t *out)
{
    field f;

    *out = 0;
    while (s.bytes > 0) {
        const tribus_status st = next_field(r, &s, &f);

        if (st != TRIBUS_OK)
            return st;
        *out += f.number == number ? 1u : 0u;
    }
    return TRIBUS_OK;
}

/* A name as a C string; control characters and zero bytes are refused, since names go into
 * error texts and logs. */
static tribus_status read_text(const reader *r, const field *f, const char **out)
{
    char *text;
    tribus_status st = expect(r, f, 2);

    if (st != TRIBUS_OK)
        return st;
    if (f->inside.bytes >= TRIBUS_ONNX_MAX_NAME_BYTES)
        return bad(r, &f->inside, "a name is longer than 255 bytes");
    for (size_t i = 0; i < f->inside.bytes; i++)
        if (f->inside.at[i] < 0x20 || f->inside.at[i] == 0x7f)
            return bad(r, &f->inside, "a name has control characters");
    text = take(r->arena, f->inside.bytes + 1);
    if (text == NULL)
        return no_memory();
    memcpy(text, f->inside.at, f->inside.bytes);
    *out = text;
    return TRIBUS_OK;
}

/* ---- values ---- */

static uint32_t hash_of(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++)
        h = (h ^ *c) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t find_value(const reader *r, const char *name, uint32_t *slot)
{
    uint32_t at = hash_of(name) & r->slot_mask;

    while (r->slots[at] != 0) {
        if (strcmp(r->graph->values[r->slots[at] - 1].name, name) == 0)
            return r->slots[at] - 1;
        at = (at + 1) & r->slot_mask;
    }
    *slot = at;
    return TRIBUS_ONNX_ABSENT;
}

/* Add a value of a new name. */
static tribus_status add_value(reader *r, const char *name, tribus_onnx_kind kind,
                               uint32_t *out)
{
    tribus_onnx_graph *g = r->graph;
    uint32_t slot = 0;

    if (*name == '\0')
        return tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: a value has no name");
    if (find_value(r, name, &slot) != TRIBUS_ONNX_ABSENT)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "not an ONNX model: value \"%s\" is made twice", name);
    if (g->value_count == r->value_room)
        return tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: more than %u values",
                                r->value_room);
    g->values[g->value_count].name = name;
    g->values[g->value_count].kind = kind;
    *out = g->value_count;
    r->slots[slot] = ++g->value_count;
    return TRIBUS_OK;
}

/* ---- tensors ---- */

size_t tribus_onnx_type_bytes(int32_t type)
{
    switch (type) {
    case TRIBUS_ONNX_UINT8:
    case TRIBUS_ONNX_INT8:
    case TRIBUS_ONNX_BOOL:
        return 1;
    case TRIBUS_ONNX_UINT16:
    case TRIBUS_ONNX_INT16:
    case TRIBUS_ONNX_FLOAT16:
    case TRIBUS_ONNX_BFLOAT16:
        return 2;
    case TRIBUS_ONNX_FLOAT:
    case TRIBUS_ONNX_INT32:
    case TRIBUS_ONNX_UINT32:
        return 4;
    case TRIBUS_ONNX_DOUBLE:
    case TRIBUS_ONNX_INT64:
    case TRIBUS_ONNX_UINT64:
        return 8;
    default:
        return 0;
    }
}

/* One field 1 of a tensor: a dimension, or several packed ones. */
static tribus_status read_dims(const reader *r, const field *f, tribus_onnx_tensor *t)
{
    span s = f->inside;
    uint64_t size = f->whole;

    if (f->wire != 0 && f->wire != 2)
        return bad(r, &f->inside, "a dimension is no number");
    do {
        if (f->wire == 2) {
            if (s.bytes == 0)
                return TRIBUS_OK;
            if (!varint(&s, &size))
                return bad(r, &s, "a dimension is cut off");
        }
        if (t->ndim == TRIBUS_ONNX_MAX_DIMS)
            return bad(r, &f->inside, "a tensor has more than 8 dimensions");
        if (size > (uint64_t)1 << 40)
            return bad(r, &f->inside, "a dimension is out of range");
        t->shape[t->ndim++] = (int64_t)size;
    } while (f->wire == 2 && s.bytes > 0);
    return TRIBUS_OK;
}

/* Typed fields carry numbers as varints or fixed words; `wide` is their size there. */
static size_t typed_width(uint32_t number)
{
    return number == 4 ? 4u : (number == 10 ? 8u : 0u); /* float, double; else varints */
}

/* Append what one typed field holds, as elements of t's type, to out at *n. */
static tribus_status read_typed(const reader *r, const field *f,
                                const tribus_onnx_tensor *t, unsigned char *out,
                                uint64_t *n)
{
    const size_t width = typed_width(f->number), size = tribus_onnx_type_bytes(t->type);
    span s = f->inside;
    uint64_t value = f->whole;
    bool more = f->wire != 2 || s.bytes > 0;

    if (width != 0 && width != size)
        return bad(r, &f->inside, "a tensor's values are not of its type");
    while (more) {
        if (f->wire == 2 && !(width != 0 ? fixed(&s, width, &value) : varint(&s, &value)))
            return bad(r, &s, "a tensor's value is cut off");
        if (*n == t->elements)
            return bad(r, &s, "a tensor has more values than its shape");
        memcpy(out + (*n)++ * size, &value, size);
        more = f->wire == 2 && s.bytes > 0;
    }
    return TRIBUS_OK;
}

/* Shape and type are known: find the values, in raw bytes or in typed fields. */
static tribus_status read_values(const reader *r, span s, tribus_onnx_tensor *t)
{
    const size_t size = tribus_onnx_type_bytes(t->type);
    const span whole = s;
    unsigned char *typed = NULL;
    bool raw = false;
    uint64_t n = 0;
    field f;

    while (s.bytes > 0) {
        tribus_status st = next_field(r, &s, &f);

        if (st != TRIBUS_OK)
            return st;
        if (f.number == 9) {
            st = expect(r, &f, 2);
            if (st == TRIBUS_OK && (raw || n > 0 || f.inside.bytes != t->elements * size))
                st = bad(r, &f.inside, "a tensor's bytes do not fit its shape");
            raw = true;
            t->bytes = f.inside.at;
        } else if (f.number == 4 || f.number == 5 || f.number == 7 || f.number == 10 ||
                   f.number == 11) {
            /* An element takes at least one byte of the file: this bounds what we take. */
            if (raw || t->elements > whole.bytes)
                return bad(r, &f.inside, "a tensor's values do not fit its shape");
            if (typed == NULL)
                typed = take(r->arena, (size_t)t->elements * size + 1);
            if (typed == NULL)
                return no_memory();
            st = read_typed(r, &f, t, typed, &n);
        }
        if (st != TRIBUS_OK)
            return st;
    }
    if (!raw && n != t->elements)
        return bad(r, &whole, "a tensor has fewer values than its shape");
    if (!raw)
        t->bytes = typed != NULL ? typed : whole.at;
    return TRIBUS_OK;
}

/* name may be NULL: a tensor inside an attribute. */
static tribus_status read_tensor(const reader *r, span s, tribus_onnx_tensor *t,
                                 const char **name)
{
    const span whole = s;
    tribus_status st = TRIBUS_OK;
    field f;

    memset(t, 0, sizeof(*t));
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = next_field(r, &s, &f);
        if (st != TRIBUS_OK)
            break;
        if (f.number == 1) {
            st = read_dims(r, &f, t);
        } else if (f.number == 2) {
            st = expect(r, &f, 0);
            t->type = (int32_t)(f.whole & 0x7fffffffu);
        } else if (f.number == 8 && name != NULL) {
            st = read_text(r, &f, name);
        } else if (f.number == 13 || (f.number == 14 && f.whole != 0)) {
            st = tribus_error_set(TRIBUS_UNSUPPORTED,
                                  "an ONNX model with values in other files");
        }
    }
    if (st != TRIBUS_OK)
        return st;
    if (tribus_onnx_type_bytes(t->type) == 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "an ONNX tensor of element type %d",
                                t->type);
    t->elements = 1;
    for (int32_t d = 0; d < t->ndim; d++) {
        if (t->shape[d] != 0 && t->elements > ((uint64_t)1 << 40) / (uint64_t)t->shape[d])
            return bad(r, &whole, "a tensor is larger than any file");
        t->elements *= (uint64_t)t->shape[d];
    }
    return read_values(r, whole, t);
}

int64_t tribus_onnx_whole(const tribus_onnx_tensor *t, uint64_t i)
{
    const size_t size = tribus_onnx_type_bytes(t->type);
    uint64_t v = 0;

    if (size == 0 || i >= t->elements)
        return 0;
    memcpy(&v, t->bytes + i * size, size);
    switch (t->type) {
    case TRIBUS_ONNX_INT8:
        return (int8_t)v;
    case TRIBUS_ONNX_INT16:
        return (int16_t)v;
    case TRIBUS_ONNX_INT32:
        return (int32_t)v;
    case TRIBUS_ONNX_INT64:
    case TRIBUS_ONNX_UINT64:
    case TRIBUS_ONNX_UINT8:
    case TRIBUS_ONNX_UINT16:
    case TRIBUS_ONNX_UINT32:
    case TRIBUS_ONNX_BOOL:
        return (int64_t)v;
    default:
        return 0;
    }
}

/* IEEE 754 half precision, sub-normal numbers included. */
static double half_of(uint32_t h)
{
    const uint32_t exponent = h >> 10 & 31u, fraction = h & 1023u;
    double v =
        exponent == 0 ? (double)fraction / 16777216.0 : (double)(1024u + fraction) / 1024.0;

    for (uint32_t e = exponent; e > 15; e--)
        v *= 2.0;
    for (uint32_t e = exponent; e != 0 && e < 15; e++)
        v /= 2.0;
    if (exponent == 31)
        v = fraction != 0 ? (double)NAN : (double)INFINITY;
    return (h & 0x8000u) != 0 ? -v : v;
}

double tribus_onnx_number(const tribus_onnx_tensor *t, uint64_t i)
{
    const size_t size = tribus_onnx_type_bytes(t->type);
    uint64_t v = 0;
    uint32_t word;
    float f;
    double d;

    if (size == 0 || i >= t->elements)
        return 0.0;
    memcpy(&v, t->bytes + i * size, size);
    switch (t->type) {
    case TRIBUS_ONNX_DOUBLE:
        memcpy(&d, &v, sizeof(d));
        return d;
    case TRIBUS_ONNX_FLOAT:
    case TRIBUS_ONNX_BFLOAT16:
        word = t->type == TRIBUS_ONNX_FLOAT ? (uint32_t)v : (uint32_t)v << 16;
        memcpy(&f, &word, sizeof(f));
        return (double)f;
    case TRIBUS_ONNX_FLOAT16:
        return half_of((uint32_t)v);
    default:
        return (double)tribus_onnx_whole(t, i);
    }
}

/* ---- what the file says of a value's type ---- */

static tribus_status read_shape(const reader *r, span s, tribus_onnx_value *v)
{
    field dim, f;

    while (s.bytes > 0) {
        tribus_status st = next_field(r, &s, &dim);

        if (st != TRIBUS_OK)
            return st;
        if (dim.number != 1)
            continue;
        st = expect(r, &dim, 2);
        if (st == TRIBUS_OK && v->ndim == TRIBUS_ONNX_MAX_DIMS)
            st = bad(r, &dim.inside, "a value has more than 8 dimensions");
        if (st != TRIBUS_OK)
            return st;
        v->shape[v->ndim] = -1;
        v->words[v->ndim] = "";
        for (span inside = dim.inside; inside.bytes > 0 && st == TRIBUS_OK;) {
            st = next_field(r, &inside, &f);
            if (st == TRIBUS_OK && f.number == 1) {
                st = expect(r, &f, 0);
                if (st == TRIBUS_OK && f.whole > (uint64_t)1 << 40)
                    st = bad(r, &f.inside, "a dimension is out of range");
                v->shape[v->ndim] = (int64_t)f.whole;
            } else if (st == TRIBUS_OK && f.number == 2) {
                st = read_text(r, &f, &v->words[v->ndim]);
            }
        }
        if (st != TRIBUS_OK)
            return st;
        v->ndim++;
    }
    return TRIBUS_OK;
}

/* TypeProto: only tensors are wanted. */
static tribus_status read_type(const reader *r, span s, tribus_onnx_value *v)
{
    field kind, f;

    v->ndim = 0;
    while (s.bytes > 0) {
        tribus_status st = next_field(r, &s, &kind);

        if (st != TRIBUS_OK)
            return st;
        if (kind.wire == 2 && (kind.number == 4 || kind.number == 5 || kind.number == 9))
            return tribus_error_set(TRIBUS_UNSUPPORTED,
                                    "an ONNX model with values that are no tensors");
        if (kind.number != 1)
            continue;
        st = expect(r, &kind, 2);
        while (st == TRIBUS_OK && kind.inside.bytes > 0) {
            st = next_field(r, &kind.inside, &f);
            if (st == TRIBUS_OK && f.number == 1) {
                st = expect(r, &f, 0);
                v->type = (int32_t)(f.whole & 0x7fffffffu);
            } else if (st == TRIBUS_OK && f.number == 2) {
                st = expect(r, &f, 2);
                if (st == TRIBUS_OK)
                    st = read_shape(r, f.inside, v);
            }
        }
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

static tribus_status read_value_info(const reader *r, span s, tribus_onnx_value *out)
{
    field f;

    memset(out, 0, sizeof(*out));
    out->name = "";
    while (s.bytes > 0) {
        tribus_status st = next_field(r, &s, &f);

        if (st == TRIBUS_OK && f.number == 1) {
            st = read_text(r, &f, &out->name);
        } else if (st == TRIBUS_OK && f.number == 2) {
            st = expect(r, &f, 2);
            if (st == TRIBUS_OK)
                st = read_type(r, f.inside, out);
        }
        if (st != TRIBUS_OK)
            return st;
    }
    return TRIBUS_OK;
}

/* ---- attributes ---- */

/* A list of an attribute, packed or not: counted, taken, filled. */
static tribus_status read_list(const reader *r, span s, uint32_t number,
                               tribus_onnx_attribute *a)
{
    const uint32_t wire = number == 7 ? 5u : 0u;
    uint64_t n = 0, value;
    int64_t *ints = NULL;
    float *floats = NULL;

    for (int pass = 0; pass < 2; pass++) {
        span left = s;
        field f;

        n = 0;
        while (left.bytes > 0) {
            tribus_status st = next_field(r, &left, &f);

            if (st != TRIBUS_OK)
                return st;
            if (f.number != number)
                continue;
            if (f.wire != 2 && f.wire != wire)
                return bad(r, &f.inside, "a list of the wrong kind");
            value = f.whole;
            for (bool more = f.wire != 2 || f.inside.bytes > 0; more;
                 more = f.wire == 2 && f.inside.bytes > 0) {
                if (f.wire == 2 &&
                    !(wire == 5 ? fixed(&f.inside, 4, &value) : varint(&f.inside, &value)))
                    return bad(r, &f.inside, "a list is cut off");
                if (ints != NULL)
                    ints[n] = (int64_t)value;
                else if (floats != NULL)
                    memcpy(&floats[n], &value, sizeof(floats[n]));
                n++;
            }
        }
        if (pass == 1)
            break;
        if (n > UINT32_MAX)
            return bad(r, &s, "a list is too long");
        if (wire == 5)
            floats = take(r->arena, (size_t)n * sizeof(*floats) + 1);
        else
            ints = take(r->arena, (size_t)n * sizeof(*ints) + 1);
        if (floats == NULL && ints == NULL)
            return no_memory();
    }
    a->ints = ints;
    a->floats = floats;
    a->count = (uint32_t)n;
    return TRIBUS_OK;
}

static tribus_status read_strings(const reader *r, span s, tribus_onnx_attribute *a)
{
    const char **strings;
    uint64_t n;
    field f;
    tribus_status st = count_fields(r, s, 9, &n);

    if (st != TRIBUS_OK)
        return st;
    if (n > TRIBUS_ONNX_MAX_PER_NODE)
        return bad(r, &s, "a list of strings is too long");
    strings = take(r->arena, (size_t)n * sizeof(*strings) + 1);
    if (strings == NULL)
        return no_memory();
    a->strings = strings;
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = next_field(r, &s, &f);
        if (st == TRIBUS_OK && f.number == 9)
            st = read_text(r, &f, &strings[a->count++]);
    }
    return st;
}

/* Which kind it is where the file does not say (IR version 3 and newer must). */
static int32_t kind_of_field(uint32_t number)
{
    switch (number) {
    case 2:
        return 1;
    case 3:
        return 2;
    case 4:
        return 3;
    case 5:
        return 4;
    case 7:
        return 6;
    case 8:
        return 7;
    case 9:
        return 8;
    default:
        return 0;
    }
}

static tribus_status read_attribute_field(const reader *r, const field *f,
                                          tribus_onnx_attribute *a, int32_t *seen)
{
    const int32_t kind = kind_of_field(f->number);
    uint32_t word;

    if (kind != 0)
        *seen = kind;
    switch (f->number) {
    case 1:
        return read_text(r, f, &a->name);
    case 2:
        word = (uint32_t)f->whole;
        memcpy(&a->f, &word, sizeof(a->f));
        return expect(r, f, 5);
    case 3:
        a->i = (int64_t)f->whole;
        return expect(r, f, 0);
    case 4:
        return read_text(r, f, &a->s);
    case 5:
        return expect(r, f, 2) == TRIBUS_OK ? read_tensor(r, f->inside, &a->t, NULL)
                                            : TRIBUS_BAD_DATA;
    case 20:
        a->type = (int32_t)(f->whole & 0x7fffffffu);
        return expect(r, f, 0);
    case 6:
    case 11:
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "an ONNX model with a graph inside a node");
    default:
        return TRIBUS_OK;
    }
}

static tribus_status read_attribute(const reader *r, span s, tribus_onnx_attribute *a)
{
    const span whole = s;
    int32_t seen = 0;
    field f;
    tribus_status st = TRIBUS_OK;

    a->name = "";
    a->s = "";
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = next_field(r, &s, &f);
        if (st == TRIBUS_OK)
            st = read_attribute_field(r, &f, a, &seen);
    }
    if (st != TRIBUS_OK)
        return st;
    if (a->type == 0)
        a->type = seen;
    if (a->type == 6)
        return read_list(r, whole, 7, a);
    if (a->type == 7)
        return read_list(r, whole, 8, a);
    if (a->type == 8)
        return read_strings(r, whole, a);
    if (a->type == 4 && a->t.type == 0)
        return bad(r, &whole, "an attribute says it is a tensor and has none");
    return TRIBUS_OK;
}

/* ---- nodes ---- */

typedef struct node_lists {
    uint32_t *inputs, *outputs;
    tribus_onnx_attribute *attributes;
} node_lists;

static tribus_status take_lists(const reader *r, span s, node_lists *l)
{
    uint64_t in, out, attributes;
    tribus_status st = count_fields(r, s, 1, &in);

    if (st == TRIBUS_OK)
        st = count_fields(r, s, 2, &out);
    if (st == TRIBUS_OK)
        st = count_fields(r, s, 5, &attributes);
    if (st != TRIBUS_OK)
        return st;
    if (in > TRIBUS_ONNX_MAX_PER_NODE || out > TRIBUS_ONNX_MAX_PER_NODE ||
        attributes > TRIBUS_ONNX_MAX_PER_NODE)
        return bad(r, &s, "a node has more than 64 inputs, outputs or attributes");
    l->inputs = take(r->arena, (size_t)in * sizeof(*l->inputs) + 1);
    l->outputs = take(r->arena, (size_t)out * sizeof(*l->outputs) + 1);
    l->attributes = take(r->arena, (size_t)attributes * sizeof(*l->attributes) + 1);
    return l->inputs != NULL && l->outputs != NULL && l->attributes != NULL ? TRIBUS_OK
                                                                            : no_memory();
}

static tribus_status read_input(const reader *r, const field *f, const tribus_onnx_node *n,
                                uint32_t *out)
{
    const char *name = "";
    uint32_t slot;
    const tribus_status st = read_text(r, f, &name);

    if (st != TRIBUS_OK)
        return st;
    *out = *name == '\0' ? TRIBUS_ONNX_ABSENT : find_value(r, name, &slot);
    if (*name != '\0' && *out == TRIBUS_ONNX_ABSENT)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "not an ONNX model: node %u reads \"%s\", which nothing "
                                "before it makes",
                                (unsigned)(n - r->graph->nodes), name);
    return TRIBUS_OK;
}

/* Inputs come before outputs in what writers make, but protobuf does not promise it: two
 * passes, so that a node cannot read what it makes. */
static tribus_status read_node(reader *r, span s, tribus_onnx_node *n)
{
    node_lists l = {NULL, NULL, NULL};
    const span whole = s;
    const char *name = "";
    tribus_status st = take_lists(r, s, &l);
    field f;

    *n = (tribus_onnx_node){.op = "",
                            .name = "",
                            .domain = "",
                            .inputs = l.inputs,
                            .outputs = l.outputs,
                            .attributes = l.attributes};
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = next_field(r, &s, &f);
        if (st != TRIBUS_OK)
            return st;
        if (f.number == 1)
            st = read_input(r, &f, n, &l.inputs[n->input_count++]);
        else if (f.number == 3)
            st = read_text(r, &f, &n->name);
        else if (f.number == 4)
            st = read_text(r, &f, &n->op);
        else if (f.number == 7)
            st = read_text(r, &f, &n->domain);
        else if (f.number == 5 && (st = expect(r, &f, 2)) == TRIBUS_OK)
            st = read_attribute(r, f.inside, &l.attributes[n->attribute_count++]);
    }
    for (s = whole; s.bytes > 0 && st == TRIBUS_OK;) {
        st = next_field(r, &s, &f);
        if (st != TRIBUS_OK || f.number != 2)
            continue;
        st = read_text(r, &f, &name);
        if (st == TRIBUS_OK && *name == '\0')
            l.outputs[n->output_count++] = TRIBUS_ONNX_ABSENT;
        else if (st == TRIBUS_OK)
            st = add_value(r, name, TRIBUS_ONNX_MADE, &l.outputs[n->output_count++]);
    }
    if (st == TRIBUS_OK && *n->op == '\0')
        st = bad(r, &whole, "a node without an operator");
    if (strcmp(n->domain, "ai.onnx") == 0)
        n->domain = "";
    return st;
}

/* ---- the graph ---- */

static tribus_status take_graph(reader *r, span s)
{
    tribus_onnx_graph *g = r->graph;
    uint64_t nodes, constants, inputs, outputs, room;
    uint32_t slots = 16;
    tribus_status st = count_fields(r, s, 1, &nodes);

    if (st == TRIBUS_OK)
        st = count_fields(r, s, 5, &constants);
    if (st == TRIBUS_OK)
        st = count_fields(r, s, 11, &inputs);
    if (st == TRIBUS_OK)
        st = count_fields(r, s, 12, &outputs);
    if (st != TRIBUS_OK)
        return st;
    if (nodes > TRIBUS_ONNX_MAX_NODES || constants > TRIBUS_ONNX_MAX_VALUES / 4 ||
        inputs > TRIBUS_ONNX_MAX_VALUES / 4 || outputs > TRIBUS_ONNX_MAX_VALUES / 4)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "an ONNX model of %llu nodes, %llu constants, %llu inputs "
                                "and %llu outputs: too large",
                                (unsigned long long)nodes, (unsigned long long)constants,
                                (unsigned long long)inputs, (unsigned long long)outputs);
    /* Most nodes make one value. */
    room = nodes * 4 + constants + inputs + 16;
    r->value_room = room > TRIBUS_ONNX_MAX_VALUES ? TRIBUS_ONNX_MAX_VALUES : (uint32_t)room;
    while (slots < 2 * r->value_room)
        slots *= 2;
    r->slot_mask = slots - 1;
    r->slots = take(r->arena, slots * sizeof(*r->slots));
    g->values = take(r->arena, r->value_room * sizeof(*g->values));
    g->nodes = take(r->arena, (size_t)nodes * sizeof(*g->nodes) + 1);
    g->inputs = take(r->arena, (size_t)inputs * sizeof(*g->inputs) + 1);
    g->outputs = take(r->arena, (size_t)outputs * sizeof(*g->outputs) + 1);
    return r->slots != NULL && g->values != NULL && g->nodes != NULL && g->inputs != NULL &&
                   g->outputs != NULL
               ? TRIBUS_OK
               : no_memory();
}

static tribus_status read_constant(reader *r, const field *f)
{
    tribus_onnx_tensor t;
    const char *name = "";
    uint32_t at;
    tribus_status st = expect(r, f, 2);

    if (st == TRIBUS_OK)
        st = read_tensor(r, f->inside, &t, &name);
    if (st == TRIBUS_OK)
        st = add_value(r, name, TRIBUS_ONNX_CONSTANT, &at);
    if (st != TRIBUS_OK)
        return st;
    r->graph->values[at].type = t.type;
    r->graph->values[at].ndim = t.ndim;
    r->graph->values[at].constant = t;
    for (int32_t d = 0; d < TRIBUS_ONNX_MAX_DIMS; d++) {
        r->graph->values[at].shape[d] = t.shape[d];
        r->graph->values[at].words[d] = "";
    }
    return TRIBUS_OK;
}

/* An input that is also a constant is a constant (IR version 3). */
static tribus_status read_graph_input(reader *r, const field *f)
{
    tribus_onnx_graph *g = r->graph;
    tribus_onnx_value v;
    uint32_t at, slot;
    tribus_status st = expect(r, f, 2);

    if (st == TRIBUS_OK)
        st = read_value_info(r, f->inside, &v);
    if (st != TRIBUS_OK)
        return st;
    at = find_value(r, v.name, &slot);
    if (at != TRIBUS_ONNX_ABSENT && g->values[at].kind == TRIBUS_ONNX_CONSTANT)
        return TRIBUS_OK;
    st = add_value(r, v.name, TRIBUS_ONNX_INPUT, &at);
    if (st != TRIBUS_OK)
        return st;
    v.kind = TRIBUS_ONNX_INPUT;
    g->values[at] = v;
    g->inputs[g->input_count++] = at;
    return TRIBUS_OK;
}

/* Outputs and what the file notes of values between: types of values that are there. */
static tribus_status read_note(reader *r, const field *f, bool is_output)
{
    tribus_onnx_graph *g = r->graph;
    tribus_onnx_value v;
    uint32_t at, slot;
    tribus_status st = expect(r, f, 2);

    if (st == TRIBUS_OK)
        st = read_value_info(r, f->inside, &v);
    if (st != TRIBUS_OK)
        return st;
    at = find_value(r, v.name, &slot);
    if (at == TRIBUS_ONNX_ABSENT)
        return is_output
                   ? tribus_error_set(TRIBUS_BAD_DATA,
                                      "not an ONNX model: nothing makes the output \"%s\"",
                                      v.name)
                   : TRIBUS_OK;
    if (g->values[at].kind == TRIBUS_ONNX_MADE) {
        v.kind = TRIBUS_ONNX_MADE;
        v.name = g->values[at].name;
        g->values[at] = v;
    }
    if (is_output)
        g->outputs[g->output_count++] = at;
    return TRIBUS_OK;
}

/* Constants, then inputs, then nodes, then outputs, in whatever order the file has them. */
static tribus_status read_graph(reader *r, span s)
{
    static const uint32_t order[] = {5, 11, 1, 13, 12};
    tribus_status st = take_graph(r, s);
    field f;

    for (size_t pass = 0; pass < sizeof(order) / sizeof(order[0]); pass++) {
        for (span left = s; left.bytes > 0 && st == TRIBUS_OK;) {
            st = next_field(r, &left, &f);
            if (st != TRIBUS_OK)
                break;
            if (f.number == 15)
                return tribus_error_set(TRIBUS_UNSUPPORTED,
                                        "an ONNX model with sparse tensors");
            if (f.number != order[pass])
                continue;
            if (f.number == 5)
                st = read_constant(r, &f);
            else if (f.number == 11)
                st = read_graph_input(r, &f);
            else if (f.number != 1)
                st = read_note(r, &f, f.number == 12);
            else if ((st = expect(r, &f, 2)) == TRIBUS_OK)
                st = read_node(r, f.inside, &r->graph->nodes[r->graph->node_count++]);
        }
    }
    if (st == TRIBUS_OK && r->graph->output_count == 0)
        st = tribus_error_set(TRIBUS_BAD_DATA, "not an ONNX model: it has no output");
    return st;
}

static tribus_status read_opset(reader *r, span s)
{
    const char *domain = "";
    uint64_t version = 0;
    field f;

    while (s.bytes > 0) {
        tribus_status st = next_field(r, &s, &f);

        if (st == TRIBUS_OK && f.number == 1)
            st = read_text(r, &f, &domain);
        else if (st == TRIBUS_OK && f.number == 2)
            version = f.whole;
        if (st != TRIBUS_OK)
            return st;
    }
    if (*domain == '\0' || strcmp(domain, "ai.onnx") == 0)
        r->graph->opset = (int64_t)(version & INT32_MAX);
    return TRIBUS_OK;
}

static tribus_status read_model(reader *r, span s)
{
    const span whole = s;
    span graph = {NULL, 0};
    tribus_status st;
    field f;

    while (s.bytes > 0) {
        st = next_field(r, &s, &f);
        if (st != TRIBUS_OK)
            return st;
        if (f.number == 1) {
            r->graph->ir_version = (int64_t)(f.whole & INT32_MAX);
        } else if (f.number == 7) {
            if (f.wire != 2 || graph.at != NULL)
                return bad(r, &f.inside, "not one graph");
            graph = f.inside;
        } else if (f.number == 8 && f.wire == 2) {
            st = read_opset(r, f.inside);
            if (st != TRIBUS_OK)
                return st;
        } else if (f.number == 25) {
            return tribus_error_set(TRIBUS_UNSUPPORTED, "an ONNX model with functions");
        }
    }
    if (graph.at == NULL)
        return bad(r, &whole, "there is no graph");
    if (r->graph->ir_version < 3)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "an ONNX model of IR version %lld; 3 or newer is read",
                                (long long)r->graph->ir_version);
    if (r->graph->opset < 1)
        return bad(r, &whole, "it does not say which operators it uses");
    return read_graph(r, graph);
}

tribus_status tribus_onnx_graph_open(const void *bytes, size_t count,
                                     tribus_onnx_graph **out)
{
    tribus_onnx_graph *g = calloc(1, sizeof(*g));
    reader r;
    tribus_status st;

    if (g == NULL)
        return no_memory();
    memset(&r, 0, sizeof(r));
    g->arena = calloc(1, sizeof(*g->arena));
    r.start = bytes;
    r.graph = g;
    r.arena = g->arena;
    st = g->arena == NULL ? no_memory() : read_model(&r, (span){bytes, count});
    if (st != TRIBUS_OK) {
        tribus_onnx_graph_close(g);
        return st;
    }
    *out = g;
    return TRIBUS_OK;
}

void tribus_onnx_graph_close(tribus_onnx_graph *graph)
{
    if (graph == NULL)
        return;
    if (graph->arena != NULL) {
        for (arena_block *b = graph->arena->blocks, *next; b != NULL; b = next) {
            next = b->next;
            free(b);
        }
        free(graph->arena);
    }
    free(graph);
}

/* ---- attributes of a node ---- */

const tribus_onnx_attribute *tribus_onnx_attribute_find(const tribus_onnx_node *node,
                                                        const char *name)
{
    for (uint32_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}

int64_t tribus_onnx_int(const tribus_onnx_node *node, const char *name, int64_t fallback)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, name);

    return a != NULL && a->type == 2 ? a->i : fallback;
}

float tribus_onnx_float(const tribus_onnx_node *node, const char *name, float fallback)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, name);

    return a != NULL && a->type == 1 ? a->f : fallback;
}

const char *tribus_onnx_string(const tribus_onnx_node *node, const char *name,
                               const char *fallback)
{
    const tribus_onnx_attribute *a = tribus_onnx_attribute_find(node, name);

    return a != NULL && a->type == 3 ? a->s : fallback;
}
