/* device_cpu.c -- the processor as a device: memory files of the system, kernels as calls.
 *
 * Every entry point of kernels.c runs here, so this is the reference the others are
 * measured against. A kernel is complete when its call returns; there is nothing to
 * synchronise.
 */
#include "base/error.h"
#include "base/os.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t cpu_count(void)
{
    return 1;
}

static bool cpu_probe(uint32_t index, char *detail, size_t detail_bytes)
{
    (void)index;
    (void)snprintf(detail, detail_bytes, "host processor, %d cores",
                   tribus_os_core_count());
    return true;
}

static tribus_status cpu_open(uint32_t index, tribus_device **out)
{
    tribus_device *device;

    if (index != 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "there is one cpu device");
    device = calloc(1, sizeof(*device));
    if (device == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*device));
    *out = device;
    return TRIBUS_OK;
}

static void cpu_close(tribus_device *device)
{
    free(device);
}

static tribus_status cpu_memory_open(tribus_device *device, int fd, size_t bytes,
                                     bool writable, tribus_device_memory *out)
{
    void *mem;
    const tribus_status st = tribus_os_map(fd, bytes, writable, true, &mem);

    (void)device;
    if (st != TRIBUS_OK)
        return st;
    *out = (tribus_device_memory){mem, mem, bytes, writable};
    return TRIBUS_OK;
}

static tribus_status cpu_memory_create(tribus_device *device, const char *name,
                                       size_t bytes, int *fd, tribus_device_memory *out)
{
    int made;
    tribus_status st = tribus_os_memory_create(name, bytes, NULL, &made);

    if (st != TRIBUS_OK)
        return st;
    st = cpu_memory_open(device, made, bytes, true, out);
    if (st != TRIBUS_OK) {
        (void)close(made);
        return st;
    }
    *fd = made;
    return TRIBUS_OK;
}

static void cpu_memory_close(tribus_device *device, tribus_device_memory *memory)
{
    (void)device;
    tribus_os_unmap(memory->host, memory->bytes);
}

static bool cpu_kernel_has(const tribus_kernel_code *code)
{
    return code->cpu != NULL;
}

static tribus_status cpu_scratch_create(tribus_device *device, size_t bytes, void **out)
{
    void *scratch = NULL;

    (void)device;
    if (posix_memalign(&scratch, 64, bytes) != 0)
        return tribus_error_set(TRIBUS_NO_MEMORY, "scratch of %zu bytes", bytes);
    memset(scratch, 0, bytes);
    *out = scratch;
    return TRIBUS_OK;
}

static void cpu_scratch_destroy(tribus_device *device, void *scratch)
{
    (void)device;
    free(scratch);
}

static tribus_status cpu_kernel_run(tribus_device *device, const tribus_kernel_code *code,
                                    const tribus_kernel_args *args)
{
    (void)device;
    return code->cpu(args);
}

const tribus_device_ops tribus_device_cpu = {
    .kind = "cpu",
    .type = TRIBUS_DEVICE_CPU,
    .count = cpu_count,
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .memory_create = cpu_memory_create,
    .memory_open = cpu_memory_open,
    .memory_close = cpu_memory_close,
    .kernel_has = cpu_kernel_has,
    .scratch_create = cpu_scratch_create,
    .scratch_destroy = cpu_scratch_destroy,
    .kernel_run = cpu_kernel_run,
};
