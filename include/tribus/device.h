/* device.h -- tensors over slots, and the places that hold memory and run kernels.
 *
 * Use it to   describe the bytes of a slot as a tensor, find out which devices this
 *             machine has, share memory with one, and run a named kernel on tensors where
 *             they lie.
 * Not for     running models (neural.h), moving slots between processes (fabric.h) or
 *             graphs of operations (pipeline.h).
 *
 * Memory      A tribus_tensor borrows the memory it describes. A tribus_tensor_desc is
 *             what goes into shared memory: no pointers, fixed size, the same on every
 *             machine of one byte order (little-endian). A bound kernel borrows its
 *             tensors' memory until it is bound to others or closed.
 * Threads     A device and its kernels belong to the thread that opened them. Tensors are
 *             plain values. tribus_device_list() and tribus_kernel_list() are free for
 *             all.
 * Trust       Descriptors from another process go through tribus_tensor_open(), which
 *             copies, then checks the copy, then uses the copy. Kernels check every tensor
 *             they are bound to against their table before they touch it.
 * Cost        tribus_kernel_bind() costs nothing to speak of for shapes no larger than
 *             those seen before; tribus_kernel_run() allocates nothing.
 *
 * The codes of dtypes and devices and the layout of tribus_dlpack are those of the DLPack
 * ABI, version 0.8 (https://dmlc.github.io/dlpack/latest/c_api.html).
 */
#ifndef TRIBUS_DEVICE_H
#define TRIBUS_DEVICE_H

#include "tribus/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- dtypes ---- */

enum { /* tribus_dtype.code */
       TRIBUS_DTYPE_INT = 0,
       TRIBUS_DTYPE_UINT = 1,
       TRIBUS_DTYPE_FLOAT = 2,
       TRIBUS_DTYPE_BFLOAT = 4,
       TRIBUS_DTYPE_BOOL = 6
};

typedef struct tribus_dtype {
    uint8_t code;
    uint8_t bits;   /* of one lane: 8, 16, 32 or 64 */
    uint16_t lanes; /* 1, or more for vector elements, at most 64 */
} tribus_dtype;

/* "f32", "i64", "u8", "bf16", "bool"; with lanes "f32x4". Returns TRIBUS_OK or
 * TRIBUS_BAD_ARG (text names it). */
TRIBUS_MUST_CHECK tribus_status tribus_dtype_parse(const char *name, tribus_dtype *out);

/* The same the other way: writes the name into text (at least 16 bytes) and returns text.
 * A dtype that is none gives "?". */
const char *tribus_dtype_name(tribus_dtype dtype, char *text, size_t text_bytes);

/* Bytes of one element; 0 for a dtype that is none. */
size_t tribus_dtype_bytes(tribus_dtype dtype);
bool tribus_dtype_equal(tribus_dtype a, tribus_dtype b);

/* ---- tensors ---- */

#define TRIBUS_TENSOR_MAX_DIMS 8
#define TRIBUS_TENSOR_VERSION  1u

enum { /* device_type */
       TRIBUS_DEVICE_CPU = 1,
       TRIBUS_DEVICE_CUDA = 2,
       TRIBUS_DEVICE_CUDA_HOST = 3, /* host memory registered with CUDA */
       TRIBUS_DEVICE_OPENCL = 4,
       TRIBUS_DEVICE_METAL = 8
};

/* A tensor as it is described in shared memory, 160 bytes. */
typedef struct tribus_tensor_desc {
    uint32_t version; /* TRIBUS_TENSOR_VERSION */
    tribus_dtype dtype;
    int32_t device_type;
    int32_t device_index;
    int32_t ndim;         /* 0 (one element) .. TRIBUS_TENSOR_MAX_DIMS */
    uint32_t reserved;    /* 0 */
    uint64_t byte_offset; /* of element [0, 0, ...] from the slot's start */
    int64_t shape[TRIBUS_TENSOR_MAX_DIMS];   /* elements; [ndim] and on: 0 */
    int64_t strides[TRIBUS_TENSOR_MAX_DIMS]; /* elements, not negative; as shape */
} tribus_tensor_desc;

/* A tensor in this process. data is the slot's first byte in the address space of the
 * device: a host pointer for the CPU, a device address for CUDA. */
typedef struct tribus_tensor {
    void *data;
    tribus_dtype dtype;
    int32_t device_type;
    int32_t device_index;
    int32_t ndim;
    uint64_t byte_offset;
    int64_t shape[TRIBUS_TENSOR_MAX_DIMS];
    int64_t strides[TRIBUS_TENSOR_MAX_DIMS]; /* elements */
} tribus_tensor;

/* Describe dense, row-major host memory: data is `bytes` long and borrowed. shape has ndim
 * entries, none negative; ndim 0 is one element. A dimension of 0 gives an empty tensor.
 * Other devices: change device_type and device_index afterwards.
 * Returns TRIBUS_OK or TRIBUS_BAD_ARG (bad dtype, ndim or shape, or does not fit). */
TRIBUS_MUST_CHECK tribus_status tribus_tensor_init(tribus_tensor *out, tribus_dtype dtype,
                                                   int32_t ndim, const int64_t *shape,
                                                   void *data, size_t bytes);

/* Does what desc describes lie inside a slot of slot_bytes, element for element? Every
 * field is copied before it is looked at, but the caller's bytes may change afterwards: use
 * tribus_tensor_open() on memory that others can write.
 * Returns TRIBUS_OK, TRIBUS_VERSION (another layout) or TRIBUS_CORRUPT; text names the
 * field. */
TRIBUS_MUST_CHECK tribus_status tribus_tensor_check(const tribus_tensor_desc *desc,
                                                    size_t slot_bytes);

/* Copy a descriptor that others can write, check the copy, make the tensor from the copy.
 * slot: the slot's first byte, borrowed. Returns as tribus_tensor_check(). */
TRIBUS_MUST_CHECK tribus_status tribus_tensor_open(const tribus_tensor_desc *shared,
                                                   void *slot, size_t slot_bytes,
                                                   tribus_tensor *out);

/* Describe tensor for others; every byte of *out is set. */
void tribus_tensor_describe(const tribus_tensor *tensor, tribus_tensor_desc *out);

/* Address of element [0, 0, ...]: data + byte_offset. */
void *tribus_tensor_address(const tribus_tensor *tensor);

/* Number of elements; of a tensor that passed one of the checks above. */
uint64_t tribus_tensor_elements(const tribus_tensor *tensor);

/* Row-major without gaps? Strides of dimensions of size 1 do not matter. */
bool tribus_tensor_is_dense(const tribus_tensor *tensor);

/* "f32[8,32] on cpu:0" into text; returns text. */
const char *tribus_tensor_text(const tribus_tensor *tensor, char *text, size_t text_bytes);

/* ---- DLPack: tensors in and out of other libraries of this process ---- */

typedef struct tribus_dlpack { /* DLManagedTensor */
    struct {
        void *data;
        struct {
            int32_t type;
            int32_t index;
        } device;
        int32_t ndim;
        tribus_dtype dtype;
        int64_t *shape;
        int64_t *strides; /* NULL: dense */
        uint64_t byte_offset;
    } tensor;
    void *context;
    void (*deleter)(struct tribus_dlpack *self); /* may be NULL */
} tribus_dlpack;

/* Lend a tensor to a consumer of DLPack. *out is owned by the consumer, who calls its
 * deleter once; then release(context) is called, on that thread (NULL: nothing to call),
 * and the memory may be reused. Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_tensor_export(const tribus_tensor *tensor,
                                                     void (*release)(void *context),
                                                     void *context, tribus_dlpack **out);

/* Look at a DLPack tensor of another library. Borrowed: valid until its deleter is called.
 * DLPack does not say how long the memory is, so its producer is trusted.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG or TRIBUS_UNSUPPORTED (dtype, too many dimensions,
 * negative strides). */
TRIBUS_MUST_CHECK tribus_status tribus_tensor_import(const tribus_dlpack *managed,
                                                     tribus_tensor *out);

/* ---- devices ---- */

typedef struct tribus_device tribus_device;

typedef struct tribus_device_row {
    char name[16]; /* "cpu", "cuda:0" */
    int32_t device_type;
    int32_t device_index;
    bool present;
    char detail[200]; /* what it is, or why it is absent */
} tribus_device_row;

/* Every device this build knows, present or not with the reason; kinds without a device
 * have one row. Writes at most `most` rows and returns how many there are. */
uint32_t tribus_device_list(tribus_device_row *rows, uint32_t most);

/* Open "cpu", "cuda" (the same as "cuda:0") or "cuda:1".
 * out: owned by the caller, give it to tribus_device_close() after its kernels and memory.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (no such kind; text lists them), TRIBUS_UNSUPPORTED
 * (absent; text says why), TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_device_open(const char *name, tribus_device **out);
void tribus_device_close(tribus_device *device);

/* From here on run kernels on one of two parts of the device's multiprocessors only, so that
 * another process can have the other: the first, or the rest. first: fraction, 0 < first < 1,
 * of the first part, rounded as the device wants it; the same in both processes. Call it
 * before anything else.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_UNSUPPORTED (the device, its driver or that
 * fraction; the text says which), TRIBUS_NO_MEMORY or TRIBUS_SYSTEM; on a fault the device is
 * whole. */
TRIBUS_MUST_CHECK tribus_status tribus_device_take_part(tribus_device *device, double first,
                                                        bool rest);

const char *tribus_device_name(const tribus_device *device); /* "cpu", "cuda:0" */
int32_t tribus_device_type(const tribus_device *device);
int32_t tribus_device_index(const tribus_device *device);

/* Memory of a device that other processes can share, by file descriptor. */
typedef struct tribus_device_memory {
    void *data; /* in the device's address space: what tribus_tensor.data starts from */
    void *host; /* where the CPU can reach it, or NULL */
    size_t bytes;
    bool writable;
} tribus_device_memory;

/* Make memory on the device. *fd is owned by the caller (close()); the bytes live as long
 * as anyone holds the descriptor or a mapping of it. Give *out to
 * tribus_device_memory_close(). Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_NO_MEMORY or
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_device_memory_create(tribus_device *device,
                                                            const char *name, size_t bytes,
                                                            int *fd,
                                                            tribus_device_memory *out);

/* Make memory behind a descriptor reachable: one of the device's own kind. The real size is
 * checked against bytes. fd stays the caller's.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_CORRUPT (smaller than bytes), TRIBUS_NO_MEMORY
 * or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_device_memory_open(tribus_device *device, int fd,
                                                          size_t bytes, bool writable,
                                                          tribus_device_memory *out);
void tribus_device_memory_close(tribus_device *device, tribus_device_memory *memory);

/* Let the device reach host memory this process has mapped already (a fabric region), at
 * the same bytes. *data: its address for the device; on the CPU, and with CUDA's unified
 * addressing, mem itself. Keep the mapping until tribus_device_unregister().
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG, TRIBUS_NO_MEMORY or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_device_register(tribus_device *device, void *mem,
                                                       size_t bytes, void **data);
void tribus_device_unregister(tribus_device *device, void *mem);

/* Wait until everything this thread started on the device has finished.
 * Returns TRIBUS_OK, TRIBUS_TIMEOUT or the fault of what was running. */
TRIBUS_MUST_CHECK tribus_status tribus_device_synchronise_wait(tribus_device *device,
                                                               int64_t timeout_ns);

/* ---- kernels ---- */

/* One tensor a kernel reads or writes. dims names the dimensions, "assets,assets" or
 * "assets,2": a number is that size, the same word has the same size in every port. */
typedef struct tribus_kernel_port {
    const char *name;
    const char *dtype; /* as tribus_dtype_parse() */
    const char *dims;
    const char *meaning;
} tribus_kernel_port;

/* One number that steers a kernel. Whole numbers are exact up to 2^53. */
typedef struct tribus_kernel_param {
    const char *name;
    bool whole;
    double fallback; /* value until tribus_kernel_set() */
    double least, most;
    const char *meaning;
} tribus_kernel_param;

#define TRIBUS_KERNEL_MAX_PORTS  8
#define TRIBUS_KERNEL_MAX_PARAMS 12

typedef struct tribus_kernel_entry {
    const char *name;
    const char *meaning;
    tribus_kernel_port inputs[TRIBUS_KERNEL_MAX_PORTS];
    uint32_t input_count;
    tribus_kernel_port outputs[TRIBUS_KERNEL_MAX_PORTS];
    uint32_t output_count;
    tribus_kernel_param params[TRIBUS_KERNEL_MAX_PARAMS];
    uint32_t param_count;
} tribus_kernel_entry;

/* Entry number i of the table, or NULL past its end. Constant, never freed. */
const tribus_kernel_entry *tribus_kernel_list(uint32_t i);

/* The entry of that name, or NULL. */
const tribus_kernel_entry *tribus_kernel_find(const char *name);

typedef struct tribus_kernel tribus_kernel;

/* Get a kernel ready on a device, with every parameter at its fallback.
 * out: owned by the caller, give it to tribus_kernel_close() before the device is closed.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (text lists the names), TRIBUS_UNSUPPORTED (not on
 * this device) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_kernel_open(tribus_device *device, const char *name,
                                                   tribus_kernel **out);
void tribus_kernel_close(tribus_kernel *kernel);

/* The table's entry of this kernel. */
const tribus_kernel_entry *tribus_kernel_get_entry(const tribus_kernel *kernel);

/* Set a parameter, for the runs that follow.
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND or TRIBUS_BAD_ARG (out of range, not whole). */
TRIBUS_MUST_CHECK tribus_status tribus_kernel_set(tribus_kernel *kernel, const char *param,
                                                  double value);

/* Choose the tensors of the runs that follow, in the order of the table. The structs are
 * copied, the memory is borrowed. Tensors must be dense, aligned to their element, on the
 * kernel's device, and outputs may not overlap anything. On a fault the kernel is unbound.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (text names the tensor, what was wanted, what was
 * given) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_kernel_bind(tribus_kernel *kernel,
                                                   const tribus_tensor *inputs,
                                                   uint32_t input_count,
                                                   const tribus_tensor *outputs,
                                                   uint32_t output_count);

/* Run once over the bound tensors. On the CPU the outputs are complete on return; on other
 * devices after tribus_device_synchronise_wait().
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (not bound), TRIBUS_BAD_DATA (the numbers make no
 * sense: text says which) or TRIBUS_SYSTEM (the device failed). */
TRIBUS_MUST_CHECK tribus_status tribus_kernel_run(tribus_kernel *kernel);

#ifdef __cplusplus
}
#endif

#endif
