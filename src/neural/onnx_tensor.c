/* onnx_tensor.c -- constants: TensorProto, and single elements of it as numbers. */
#include "neural/onnx_reader.h"
#include "base/error.h"

#include <math.h>
#include <string.h>

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
static tribus_status read_dims(const tribus_onnx_reader *r, const tribus_onnx_field *f,
                               tribus_onnx_tensor *t)
{
    tribus_onnx_span s = f->inside;
    uint64_t size = f->whole;

    if (f->wire != 0 && f->wire != 2)
        return tribus_onnx_bad(r, &f->inside, "a dimension is no number");
    do {
        if (f->wire == 2) {
            if (s.bytes == 0)
                return TRIBUS_OK;
            if (!tribus_onnx_varint(&s, &size))
                return tribus_onnx_bad(r, &s, "a dimension is cut off");
        }
        if (t->ndim == TRIBUS_ONNX_MAX_DIMS)
            return tribus_onnx_bad(r, &f->inside, "a tensor has more than 8 dimensions");
        if (size > (uint64_t)1 << 40)
            return tribus_onnx_bad(r, &f->inside, "a dimension is out of range");
        t->shape[t->ndim++] = (int64_t)size;
    } while (f->wire == 2 && s.bytes > 0);
    return TRIBUS_OK;
}

/* Typed fields carry numbers as varints or fixed words; `wide` is their size there. */
static size_t typed_width(uint32_t number)
{
    return number == 4 ? 4u : (number == 10 ? 8u : 0u); /* float, double; else varints */
}

/* Append what one typed tribus_onnx_field holds, as elements of t's type, to out at *n. */
static tribus_status read_typed(const tribus_onnx_reader *r, const tribus_onnx_field *f,
                                const tribus_onnx_tensor *t, unsigned char *out,
                                uint64_t *n)
{
    const size_t width = typed_width(f->number), size = tribus_onnx_type_bytes(t->type);
    tribus_onnx_span s = f->inside;
    uint64_t value = f->whole;
    bool more = f->wire != 2 || s.bytes > 0;

    if (width != 0 && width != size)
        return tribus_onnx_bad(r, &f->inside, "a tensor's values are not of its type");
    while (more) {
        if (f->wire == 2 && !(width != 0 ? tribus_onnx_fixed(&s, width, &value)
                                         : tribus_onnx_varint(&s, &value)))
            return tribus_onnx_bad(r, &s, "a tensor's value is cut off");
        if (*n == t->elements)
            return tribus_onnx_bad(r, &s, "a tensor has more values than its shape");
        memcpy(out + (*n)++ * size, &value, size);
        more = f->wire == 2 && s.bytes > 0;
    }
    return TRIBUS_OK;
}

/* Shape and type are known: find the values, in raw bytes or in typed fields. */
static tribus_status read_values(const tribus_onnx_reader *r, tribus_onnx_span s,
                                 tribus_onnx_tensor *t)
{
    const size_t size = tribus_onnx_type_bytes(t->type);
    const tribus_onnx_span whole = s;
    unsigned char *typed = NULL;
    bool raw = false;
    uint64_t n = 0;
    tribus_onnx_field f;

    while (s.bytes > 0) {
        tribus_status st = tribus_onnx_next_field(r, &s, &f);

        if (st != TRIBUS_OK)
            return st;
        if (f.number == 9) {
            st = tribus_onnx_expect(r, &f, 2);
            if (st == TRIBUS_OK && (raw || n > 0 || f.inside.bytes != t->elements * size))
                st = tribus_onnx_bad(r, &f.inside, "a tensor's bytes do not fit its shape");
            raw = true;
            t->bytes = f.inside.at;
        } else if (f.number == 4 || f.number == 5 || f.number == 7 || f.number == 10 ||
                   f.number == 11) {
            /* An element takes at least one byte of the file: this bounds what we take. */
            if (raw || t->elements > whole.bytes)
                return tribus_onnx_bad(r, &f.inside,
                                       "a tensor's values do not fit its shape");
            if (typed == NULL)
                typed = tribus_onnx_take(r->arena, (size_t)t->elements * size + 1);
            if (typed == NULL)
                return tribus_onnx_no_memory();
            st = read_typed(r, &f, t, typed, &n);
        }
        if (st != TRIBUS_OK)
            return st;
    }
    if (!raw && n != t->elements)
        return tribus_onnx_bad(r, &whole, "a tensor has fewer values than its shape");
    if (!raw)
        t->bytes = typed != NULL ? typed : whole.at;
    return TRIBUS_OK;
}

/* name may be NULL: a tensor inside an attribute. */
tribus_status tribus_onnx_read_tensor(const tribus_onnx_reader *r, tribus_onnx_span s,
                                      tribus_onnx_tensor *t, const char **name)
{
    const tribus_onnx_span whole = s;
    tribus_status st = TRIBUS_OK;
    tribus_onnx_field f;

    memset(t, 0, sizeof(*t));
    while (s.bytes > 0 && st == TRIBUS_OK) {
        st = tribus_onnx_next_field(r, &s, &f);
        if (st != TRIBUS_OK)
            break;
        if (f.number == 1) {
            st = read_dims(r, &f, t);
        } else if (f.number == 2) {
            st = tribus_onnx_expect(r, &f, 0);
            t->type = (int32_t)(f.whole & 0x7fffffffu);
        } else if (f.number == 8 && name != NULL) {
            st = tribus_onnx_read_text(r, &f, name);
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
            return tribus_onnx_bad(r, &whole, "a tensor is larger than any file");
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
