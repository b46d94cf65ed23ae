/* device_cuda.c -- NVIDIA cards as devices: what device.h promises, in terms of the files
 * cuda_*.c. The build is the same with and without CUDA's tools; a machine without a driver
 * has no such device, and its row says why.
 */
#include "base/error.h"
#include "device/cuda_graph.h"
#include "device/cuda_image.h"
#include "device/cuda_kernels.h"
#include "device/cuda_memory.h"
#include "device/cuda_share.h"

#include <stdio.h>
#include <string.h>

static tribus_cuda_context *context_of(tribus_device *device)
{
    return (tribus_cuda_context *)device; /* base is its first member */
}

static uint32_t cuda_count(void)
{
    const tribus_cuda_driver *cu = tribus_cuda_driver_get(NULL);

    return cu == NULL ? 0 : (uint32_t)cu->devices;
}

static bool cuda_probe(uint32_t index, char *detail, size_t detail_bytes)
{
    const char *why = NULL;
    const tribus_cuda_driver *cu = tribus_cuda_driver_get(&why);
    tribus_cu_device device;
    char name[96] = "";
    size_t bytes = 0;
    int major = 0, minor = 0, units = 0;

    if (cu == NULL) {
        (void)snprintf(detail, detail_bytes, "%s", why);
        return false;
    }
    if (cu->device_get(&device, (int)index) != TRIBUS_CU_OK ||
        cu->device_get_name(name, sizeof(name), device) != TRIBUS_CU_OK ||
        cu->device_total_mem(&bytes, device) != TRIBUS_CU_OK ||
        cu->device_get_attribute(&major, TRIBUS_CU_ATTRIBUTE_MAJOR, device) !=
            TRIBUS_CU_OK ||
        cu->device_get_attribute(&minor, TRIBUS_CU_ATTRIBUTE_MINOR, device) !=
            TRIBUS_CU_OK ||
        cu->device_get_attribute(&units, TRIBUS_CU_ATTRIBUTE_MULTIPROCESSORS, device) !=
            TRIBUS_CU_OK) {
        (void)snprintf(detail, detail_bytes, "the driver does not describe device %u",
                       index);
        return false;
    }
    name[sizeof(name) - 1] = '\0';
    (void)snprintf(detail, detail_bytes,
                   "%s, %zu GiB, %d multiprocessors, compute capability %d.%d, CUDA %d.%d "
                   "driver, kernels: %s",
                   name, bytes >> 30, units, major, minor, cu->version / 1000,
                   cu->version % 1000 / 10, tribus_cuda_image_origin);
    return true;
}

static tribus_status cuda_open(uint32_t index, tribus_device **out)
{
    tribus_cuda_context *context = NULL;
    const tribus_status st = tribus_cuda_context_open(index, &context);

    if (st == TRIBUS_OK)
        *out = &context->base;
    return st;
}

static void cuda_close(tribus_device *device)
{
    tribus_cuda_context_close(context_of(device));
}

static tribus_status cuda_memory_create(tribus_device *device, const char *name,
                                        size_t bytes, int *fd, tribus_device_memory *out)
{
    (void)name; /* the driver's allocations have none */
    return tribus_cuda_memory_create(context_of(device), bytes, fd, out);
}

static tribus_status cuda_memory_open(tribus_device *device, int fd, size_t bytes,
                                      bool writable, tribus_device_memory *out)
{
    return tribus_cuda_memory_open(context_of(device), fd, bytes, writable, out);
}

static void cuda_memory_close(tribus_device *device, tribus_device_memory *memory)
{
    tribus_cuda_memory_close(context_of(device), memory);
}

static tribus_status cuda_register(tribus_device *device, void *mem, size_t bytes,
                                   void **data)
{
    return tribus_cuda_memory_register(context_of(device), mem, bytes, data);
}

static void cuda_unregister(tribus_device *device, void *mem)
{
    tribus_cuda_memory_unregister(context_of(device), mem);
}

static bool cuda_kernel_has(const tribus_kernel_code *code)
{
    return code->cuda != NULL && tribus_cuda_images[0].name != NULL;
}

static tribus_status cuda_scratch_create(tribus_device *device, size_t bytes, void **out)
{
    tribus_cuda_context *c = context_of(device);
    tribus_cu_ptr address = 0;
    tribus_status st = tribus_cuda_context_enter(c);

    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c, c->cu->mem_alloc(&address, bytes + TRIBUS_CUDA_KERNELS_WORK_BYTES),
            "make scratch on the card");
    if (st == TRIBUS_OK) {
        st = tribus_cuda_context_check(
            c,
            c->cu->memset_d8_async(address, 0, bytes + TRIBUS_CUDA_KERNELS_WORK_BYTES,
                                   c->main.stream),
            "clear scratch on the card");
        if (st != TRIBUS_OK)
            (void)c->cu->mem_free(address);
    }
    if (st == TRIBUS_OK)
        *out = (void *)(uintptr_t)address;
    return st;
}

static void cuda_scratch_destroy(tribus_device *device, void *scratch)
{
    tribus_cuda_context *c = context_of(device);

    if (tribus_cuda_context_enter(c) != TRIBUS_OK)
        tribus_error_clear();
    (void)c->cu->mem_free((tribus_cu_ptr)(uintptr_t)scratch);
}

static tribus_status cuda_kernel_run(tribus_device *device, const tribus_kernel_code *code,
                                     const tribus_kernel_args *args)
{
    tribus_cuda_context *c = context_of(device);
    const tribus_status st = tribus_cuda_context_enter(c);

    return st == TRIBUS_OK ? tribus_cuda_graph_run(c, code, args) : st;
}

static tribus_status cuda_synchronise_wait(tribus_device *device, int64_t timeout_ns)
{
    tribus_cuda_context *c = context_of(device);
    const tribus_status st = tribus_cuda_context_enter(c);

    return st == TRIBUS_OK ? tribus_cuda_stream_wait(&c->main, timeout_ns) : st;
}

static tribus_status cuda_take_part(tribus_device *device, double first, bool rest)
{
    tribus_cuda_context *c = context_of(device);
    const tribus_status st = tribus_cuda_context_enter(c);

    return st == TRIBUS_OK ? tribus_cuda_share_take(c, first, rest) : st;
}

const tribus_device_ops tribus_device_cuda = {
    .kind = "cuda",
    .type = TRIBUS_DEVICE_CUDA,
    .count = cuda_count,
    .probe = cuda_probe,
    .open = cuda_open,
    .close = cuda_close,
    .memory_create = cuda_memory_create,
    .memory_open = cuda_memory_open,
    .memory_close = cuda_memory_close,
    .host_register = cuda_register,
    .host_unregister = cuda_unregister,
    .kernel_has = cuda_kernel_has,
    .scratch_create = cuda_scratch_create,
    .scratch_destroy = cuda_scratch_destroy,
    .kernel_run = cuda_kernel_run,
    .synchronise_wait = cuda_synchronise_wait,
    .take_part = cuda_take_part,
};
