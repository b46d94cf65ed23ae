/* tensor.c -- tensors: what may be believed about bytes, shapes and strides; see device.h.
 *
 * One rule does all the bounds: the last element's end, byte_offset + (sum over dimensions
 * of (shape - 1) * stride + 1) * element bytes, must not lie past the slot. Every product
 * and sum on the way there is checked; strides are not negative, so no element lies before
 * the first.
 */
#include "tribus/device.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(tribus_dtype) == 4, "DLDataType is 4 bytes");
_Static_assert(sizeof(tribus_tensor_desc) == 160, "the layout in shared memory");
_Static_assert(offsetof(tribus_tensor_desc, byte_offset) == 24, "no hidden padding");
_Static_assert(offsetof(tribus_tensor_desc, shape) == 32, "no hidden padding");
_Static_assert(offsetof(tribus_dlpack, context) == 48, "DLTensor is 48 bytes");

static const struct {
    uint8_t code;
    const char *letters;
    uint32_t
        widths; /* sum of the bit widths it comes in: they are distinct powers of two */
} kinds[] = {
    {TRIBUS_DTYPE_FLOAT, "f", 16u | 32u | 64u},
    {TRIBUS_DTYPE_INT, "i", 8u | 16u | 32u | 64u},
    {TRIBUS_DTYPE_UINT, "u", 8u | 16u | 32u | 64u},
    {TRIBUS_DTYPE_BFLOAT, "bf", 16u},
    {TRIBUS_DTYPE_BOOL, "bool", 8u},
};
#define KINDS     (sizeof(kinds) / sizeof(kinds[0]))
#define MAX_LANES 64u

static const char *kind_letters(tribus_dtype dtype)
{
    const uint32_t bits = dtype.bits;

    if (dtype.lanes < 1 || dtype.lanes > MAX_LANES || (bits & (bits - 1u)) != 0)
        return NULL;
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].code == dtype.code && (kinds[i].widths & bits) != 0)
            return kinds[i].letters;
    return NULL;
}

size_t tribus_dtype_bytes(tribus_dtype dtype)
{
    return kind_letters(dtype) == NULL ? 0 : (size_t)(dtype.bits / 8u) * dtype.lanes;
}

bool tribus_dtype_equal(tribus_dtype a, tribus_dtype b)
{
    return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}

const char *tribus_dtype_name(tribus_dtype dtype, char *text, size_t text_bytes)
{
    const char *letters = kind_letters(dtype);
    char width[8] = "", lanes[8] = "";

    if (letters != NULL && dtype.code != TRIBUS_DTYPE_BOOL)
        (void)snprintf(width, sizeof(width), "%u", (unsigned)dtype.bits);
    if (letters != NULL && dtype.lanes > 1)
        (void)snprintf(lanes, sizeof(lanes), "x%u", (unsigned)dtype.lanes);
    (void)snprintf(text, text_bytes, "%s%s%s", letters == NULL ? "?" : letters, width,
                   lanes);
    return text;
}

/* Every dtype there is has a name, and there are few: make each and compare. */
tribus_status tribus_dtype_parse(const char *name, tribus_dtype *out)
{
    char text[16];

    for (size_t i = 0; name != NULL && i < KINDS; i++) {
        for (unsigned bits = 8; bits <= 64; bits *= 2) {
            for (unsigned lanes = 1; lanes <= MAX_LANES; lanes++) {
                const tribus_dtype d = {kinds[i].code, (uint8_t)bits, (uint16_t)lanes};

                if (strcmp(tribus_dtype_name(d, text, sizeof(text)), name) == 0) {
                    *out = d;
                    return TRIBUS_OK;
                }
            }
        }
    }
    return tribus_error_set(
        TRIBUS_BAD_ARG, "dtype \"%s\": not one of f16 f32 f64 bf16 i8..i64 u8..u64 bool",
        name == NULL ? "" : name);
}

/* Elements from the first to the end of the last, UINT64_MAX when that overflows or a size
 * is negative; 0 for an empty tensor. */
static uint64_t extent_of(int32_t ndim, const int64_t *shape, const int64_t *strides)
{
    uint64_t last = 0;
    bool empty = false;

    for (int32_t i = 0; i < ndim; i++) {
        uint64_t span;

        if (shape[i] < 0 || strides[i] < 0)
            return UINT64_MAX;
        if (shape[i] == 0) {
            empty = true;
            continue;
        }
        if (__builtin_mul_overflow((uint64_t)shape[i] - 1u, (uint64_t)strides[i], &span) ||
            __builtin_add_overflow(last, span, &last))
            return UINT64_MAX;
    }
    if (empty)
        return 0;
    return last == UINT64_MAX ? UINT64_MAX : last + 1u;
}

/* Bytes from the start of the slot to the end of the last element; false when no memory is
 * that large. */
static bool bytes_of(uint64_t extent, uint64_t byte_offset, size_t element, uint64_t *out)
{
    uint64_t body;

    return extent != UINT64_MAX &&
           !__builtin_mul_overflow(extent, (uint64_t)element, &body) &&
           !__builtin_add_overflow(body, byte_offset, out) && *out <= (uint64_t)PTRDIFF_MAX;
}

/* The number of elements, empty dimensions counted as one, fits an int64_t? Strided tensors
 * too: a stride of 0 makes few bytes stand for many elements. */
static bool dense_strides(int32_t ndim, const int64_t *shape, int64_t *strides)
{
    int64_t n = 1;

    for (int32_t i = ndim - 1; i >= 0; i--) {
        strides[i] = n;
        if (__builtin_mul_overflow(n, shape[i] > 0 ? shape[i] : 1, &n))
            return false;
    }
    return true;
}

tribus_status tribus_tensor_init(tribus_tensor *out, tribus_dtype dtype, int32_t ndim,
                                 const int64_t *shape, void *data, size_t bytes)
{
    const size_t element = tribus_dtype_bytes(dtype);
    tribus_tensor t;
    uint64_t need;

    memset(&t, 0, sizeof(t));
    if (element == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "tensor: dtype %u/%u/%u is none",
                                (unsigned)dtype.code, (unsigned)dtype.bits,
                                (unsigned)dtype.lanes);
    if (ndim < 0 || ndim > TRIBUS_TENSOR_MAX_DIMS)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "tensor: %d dimensions; 0 to %d are possible", (int)ndim,
                                TRIBUS_TENSOR_MAX_DIMS);
    t.data = data;
    t.dtype = dtype;
    t.device_type = TRIBUS_DEVICE_CPU;
    t.ndim = ndim;
    for (int32_t i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return tribus_error_set(TRIBUS_BAD_ARG, "tensor: dimension %d is %lld", (int)i,
                                    (long long)shape[i]);
        t.shape[i] = shape[i];
    }
    if (!dense_strides(ndim, t.shape, t.strides) ||
        !bytes_of(extent_of(ndim, t.shape, t.strides), 0, element, &need) || need > bytes)
        return tribus_error_set(TRIBUS_BAD_ARG, "tensor: does not fit into %zu bytes",
                                bytes);
    *out = t;
    return TRIBUS_OK;
}

/* The fields that stand alone. d is private: nobody changes it while it is checked. */
static tribus_status check_fields(const tribus_tensor_desc *d)
{
    if (d->version != TRIBUS_TENSOR_VERSION)
        return tribus_error_set(TRIBUS_VERSION,
                                "tensor: layout version %u, this build has %u", d->version,
                                TRIBUS_TENSOR_VERSION);
    if (tribus_dtype_bytes(d->dtype) == 0)
        return tribus_error_set(TRIBUS_CORRUPT, "tensor: dtype %u/%u/%u is none",
                                (unsigned)d->dtype.code, (unsigned)d->dtype.bits,
                                (unsigned)d->dtype.lanes);
    if (d->ndim < 0 || d->ndim > TRIBUS_TENSOR_MAX_DIMS)
        return tribus_error_set(TRIBUS_CORRUPT, "tensor: ndim %d, at most %d are possible",
                                (int)d->ndim, TRIBUS_TENSOR_MAX_DIMS);
    if (d->reserved != 0)
        return tribus_error_set(TRIBUS_CORRUPT, "tensor: reserved word is %u", d->reserved);
    if (d->device_type < 1 || d->device_index < 0)
        return tribus_error_set(TRIBUS_CORRUPT, "tensor: device %d:%d is none",
                                (int)d->device_type, (int)d->device_index);
    return TRIBUS_OK;
}

static tribus_status check_private(const tribus_tensor_desc *d, size_t slot_bytes)
{
    const size_t element = tribus_dtype_bytes(d->dtype);
    const tribus_status st = check_fields(d);
    int64_t dense[TRIBUS_TENSOR_MAX_DIMS];
    uint64_t need;

    if (st != TRIBUS_OK)
        return st;
    for (int32_t i = 0; i < d->ndim; i++)
        if (d->shape[i] < 0 || d->strides[i] < 0)
            return tribus_error_set(
                TRIBUS_CORRUPT, "tensor: dimension %d has size %lld, stride %lld", (int)i,
                (long long)d->shape[i], (long long)d->strides[i]);
    for (int32_t i = d->ndim; i < TRIBUS_TENSOR_MAX_DIMS; i++)
        if (d->shape[i] != 0 || d->strides[i] != 0)
            return tribus_error_set(TRIBUS_CORRUPT, "tensor: dimension %d past ndim is set",
                                    (int)i);
    if (d->byte_offset % (element / d->dtype.lanes) != 0)
        return tribus_error_set(TRIBUS_CORRUPT, "tensor: byte offset %llu is not aligned",
                                (unsigned long long)d->byte_offset);
    if (!dense_strides(d->ndim, d->shape, dense))
        return tribus_error_set(TRIBUS_CORRUPT, "tensor: the number of elements overflows");
    if (!bytes_of(extent_of(d->ndim, d->shape, d->strides), d->byte_offset, element,
                  &need) ||
        need > slot_bytes)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "tensor: reaches past its slot of %zu bytes", slot_bytes);
    return TRIBUS_OK;
}

/* The empty asm makes the copy the only thing the compiler may look at afterwards: without
 * it, it could read the shared bytes again instead of the copy. */
static void copy_shared(const tribus_tensor_desc *shared, tribus_tensor_desc *out)
{
    memcpy(out, shared, sizeof(*out));
    __asm__ volatile("" : : "r"(out) : "memory");
}

tribus_status tribus_tensor_check(const tribus_tensor_desc *desc, size_t slot_bytes)
{
    tribus_tensor_desc copy;

    copy_shared(desc, &copy);
    return check_private(&copy, slot_bytes);
}

tribus_status tribus_tensor_open(const tribus_tensor_desc *shared, void *slot,
                                 size_t slot_bytes, tribus_tensor *out)
{
    tribus_tensor_desc d;
    tribus_status st;

    copy_shared(shared, &d);
    st = check_private(&d, slot_bytes);
    if (st != TRIBUS_OK)
        return st;
    out->data = slot;
    out->dtype = d.dtype;
    out->device_type = d.device_type;
    out->device_index = d.device_index;
    out->ndim = d.ndim;
    out->byte_offset = d.byte_offset;
    memcpy(out->shape, d.shape, sizeof(out->shape));
    memcpy(out->strides, d.strides, sizeof(out->strides));
    return TRIBUS_OK;
}

void tribus_tensor_describe(const tribus_tensor *tensor, tribus_tensor_desc *out)
{
    memset(out, 0, sizeof(*out));
    out->version = TRIBUS_TENSOR_VERSION;
    out->dtype = tensor->dtype;
    out->device_type = tensor->device_type;
    out->device_index = tensor->device_index;
    out->ndim = tensor->ndim;
    out->byte_offset = tensor->byte_offset;
    for (int32_t i = 0; i < tensor->ndim && i < TRIBUS_TENSOR_MAX_DIMS; i++) {
        out->shape[i] = tensor->shape[i];
        out->strides[i] = tensor->strides[i];
    }
}

void *tribus_tensor_address(const tribus_tensor *tensor)
{
    return (unsigned char *)tensor->data + tensor->byte_offset;
}

uint64_t tribus_tensor_elements(const tribus_tensor *tensor)
{
    uint64_t n = 1;

    for (int32_t i = 0; i < tensor->ndim; i++)
        n *= (uint64_t)tensor->shape[i];
    return n;
}

bool tribus_tensor_is_dense(const tribus_tensor *tensor)
{
    int64_t n = 1;

    for (int32_t i = tensor->ndim - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->strides[i] != n)
            return false;
        n *= tensor->shape[i] > 0 ? tensor->shape[i] : 1;
    }
    return true;
}

static const char *device_word(int32_t type)
{
    static const struct {
        int32_t type;
        const char *word;
    } words[] = {{TRIBUS_DEVICE_CPU, "cpu"},
                 {TRIBUS_DEVICE_CUDA, "cuda"},
                 {TRIBUS_DEVICE_CUDA_HOST, "cuda_host"},
                 {TRIBUS_DEVICE_OPENCL, "opencl"},
                 {TRIBUS_DEVICE_METAL, "metal"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].type == type)
            return words[i].word;
    return "device?";
}

const char *tribus_tensor_text(const tribus_tensor *tensor, char *text, size_t text_bytes)
{
    char dtype[16], dims[180] = "";
    size_t used = 0;

    for (int32_t i = 0; i < tensor->ndim && i < TRIBUS_TENSOR_MAX_DIMS; i++) {
        const int n = snprintf(dims + used, sizeof(dims) - used, "%s%lld", i > 0 ? "," : "",
                               (long long)tensor->shape[i]);

        if (n < 0 || (size_t)n >= sizeof(dims) - used)
            break;
        used += (size_t)n;
    }
    (void)snprintf(text, text_bytes, "%s[%s] on %s:%d",
                   tribus_dtype_name(tensor->dtype, dtype, sizeof(dtype)), dims,
                   device_word(tensor->device_type), (int)tensor->device_index);
    return text;
}

/* ---- DLPack ---- */

typedef struct exported {
    tribus_dlpack managed;
    int64_t shape[TRIBUS_TENSOR_MAX_DIMS];
    int64_t strides[TRIBUS_TENSOR_MAX_DIMS];
    void (*release)(void *context);
    void *context;
} exported;

static void exported_delete(tribus_dlpack *self)
{
    exported *e = self->context;

    if (e->release != NULL)
        e->release(e->context);
    free(e);
}

tribus_status tribus_tensor_export(const tribus_tensor *tensor,
                                   void (*release)(void *context), void *context,
                                   tribus_dlpack **out)
{
    exported *e;

    if (tensor->ndim < 0 || tensor->ndim > TRIBUS_TENSOR_MAX_DIMS ||
        tribus_dtype_bytes(tensor->dtype) == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "export tensor: not a tensor");
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "export tensor: %zu bytes", sizeof(*e));
    memcpy(e->shape, tensor->shape, sizeof(e->shape));
    memcpy(e->strides, tensor->strides, sizeof(e->strides));
    e->release = release;
    e->context = context;
    e->managed.tensor.data = tensor->data;
    e->managed.tensor.device.type = tensor->device_type;
    e->managed.tensor.device.index = tensor->device_index;
    e->managed.tensor.ndim = tensor->ndim;
    e->managed.tensor.dtype = tensor->dtype;
    e->managed.tensor.shape = e->shape;
    e->managed.tensor.strides = e->strides;
    e->managed.tensor.byte_offset = tensor->byte_offset;
    e->managed.context = e;
    e->managed.deleter = exported_delete;
    *out = &e->managed;
    return TRIBUS_OK;
}

static tribus_status import_sizes(const tribus_dlpack *managed, tribus_tensor *t)
{
    if (t->ndim > 0 && managed->tensor.shape == NULL)
        return tribus_error_set(TRIBUS_BAD_ARG, "import tensor: no shape");
    for (int32_t i = 0; i < t->ndim; i++) {
        t->shape[i] = managed->tensor.shape[i];
        if (t->shape[i] < 0)
            return tribus_error_set(TRIBUS_BAD_ARG, "import tensor: dimension %d is %lld",
                                    (int)i, (long long)t->shape[i]);
    }
    if (!dense_strides(t->ndim, t->shape, t->strides))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "import tensor: the number of elements overflows");
    for (int32_t i = 0; i < t->ndim && managed->tensor.strides != NULL; i++) {
        t->strides[i] = managed->tensor.strides[i];
        if (t->strides[i] < 0)
            return tribus_error_set(TRIBUS_UNSUPPORTED, "import tensor: stride %d is %lld",
                                    (int)i, (long long)t->strides[i]);
    }
    return TRIBUS_OK;
}

tribus_status tribus_tensor_import(const tribus_dlpack *managed, tribus_tensor *out)
{
    tribus_tensor t;
    tribus_status st;
    uint64_t need;

    memset(&t, 0, sizeof(t));
    t.data = managed->tensor.data;
    t.dtype = managed->tensor.dtype;
    t.device_type = managed->tensor.device.type;
    t.device_index = managed->tensor.device.index;
    t.ndim = managed->tensor.ndim;
    t.byte_offset = managed->tensor.byte_offset;
    if (tribus_dtype_bytes(t.dtype) == 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "import tensor: dtype %u/%u/%u",
                                (unsigned)t.dtype.code, (unsigned)t.dtype.bits,
                                (unsigned)t.dtype.lanes);
    if (t.ndim < 0 || t.ndim > TRIBUS_TENSOR_MAX_DIMS)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "import tensor: %d dimensions, at most %d", (int)t.ndim,
                                TRIBUS_TENSOR_MAX_DIMS);
    st = import_sizes(managed, &t);
    if (st != TRIBUS_OK)
        return st;
    if (!bytes_of(extent_of(t.ndim, t.shape, t.strides), t.byte_offset,
                  tribus_dtype_bytes(t.dtype), &need))
        return tribus_error_set(TRIBUS_BAD_ARG, "import tensor: larger than memory");
    *out = t;
    return TRIBUS_OK;
}
