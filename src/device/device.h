/* device.h -- what a kind of device implements, for the files of this folder.
 *
 * A new kind is one file device_<kind>.c with one tribus_device_ops and one line in the
 * table of device.c. Entries marked (optional) may be NULL: nothing is to be done there.
 */
#ifndef TRIBUS_DEVICE_DEVICE_H
#define TRIBUS_DEVICE_DEVICE_H

#include "tribus/device.h"

typedef struct tribus_device_ops tribus_device_ops;

struct tribus_device {
    const tribus_device_ops *ops;
    char name[16];
    int32_t index;
};

#define TRIBUS_KERNEL_MAX_WORDS 8 /* distinct words in the dims of one kernel */

/* What a kernel's function gets: every address checked, every dimension known. */
typedef struct tribus_kernel_args {
    const void *inputs[TRIBUS_KERNEL_MAX_PORTS];
    void *outputs[TRIBUS_KERNEL_MAX_PORTS];
    int64_t dims[TRIBUS_KERNEL_MAX_WORDS]; /* sizes of the words, in order of appearance */
    double params[TRIBUS_KERNEL_MAX_PARAMS];
    /* Aligned to 64 bytes, scratch_bytes() long, zero at first, then as the last run of this
     * kernel left it. */
    void *scratch;
} tribus_kernel_args;

/* One row of the table in kernels.c. */
typedef struct tribus_kernel_code {
    tribus_kernel_entry entry;
    /* Bytes of scratch for these dims and params; SIZE_MAX: too large. (optional) */
    size_t (*scratch_bytes)(const tribus_kernel_args *args);
    tribus_status (*cpu)(const tribus_kernel_args *args);
    /* Queues the work on the device; NULL: not there. */
    tribus_status (*cuda)(tribus_device *device, const tribus_kernel_args *args);
} tribus_kernel_code;

/* Row i, or NULL past the end. */
const tribus_kernel_code *tribus_kernels_at(uint32_t i);

/* Of those, the part that is kernels_quant.c's. */
const tribus_kernel_code *tribus_kernels_quant_at(uint32_t i);

struct tribus_device_ops {
    const char *kind;
    int32_t type;
    const char
        *absent; /* not NULL: not part of this build, and every entry below is NULL */
    uint32_t (*count)(void);
    /* What device `index` is, or why it cannot be used, into detail. */
    bool (*probe)(uint32_t index, char *detail, size_t detail_bytes);
    tribus_status (*open)(uint32_t index, tribus_device **out);
    void (*close)(tribus_device *device);
    tribus_status (*memory_create)(tribus_device *device, const char *name, size_t bytes,
                                   int *fd, tribus_device_memory *out);
    tribus_status (*memory_open)(tribus_device *device, int fd, size_t bytes, bool writable,
                                 tribus_device_memory *out);
    void (*memory_close)(tribus_device *device, tribus_device_memory *memory);
    /* (optional) NULL: the device reaches all memory of the process. */
    tribus_status (*host_register)(tribus_device *device, void *mem, size_t bytes,
                                   void **data);
    void (*host_unregister)(tribus_device *device, void *mem);
    /* Can the device run this row? */
    bool (*kernel_has)(const tribus_kernel_code *code);
    tribus_status (*scratch_create)(tribus_device *device, size_t bytes, void **out);
    void (*scratch_destroy)(tribus_device *device, void *scratch);
    tribus_status (*kernel_run)(tribus_device *device, const tribus_kernel_code *code,
                                const tribus_kernel_args *args);
    /* (optional) NULL: kernel_run is complete when it returns. */
    tribus_status (*synchronise_wait)(tribus_device *device, int64_t timeout_ns);
    /* (optional) NULL: the device has no parts. */
    tribus_status (*take_part)(tribus_device *device, double first, bool rest);
};

extern const tribus_device_ops tribus_device_cpu;
extern const tribus_device_ops tribus_device_cuda;

#endif
