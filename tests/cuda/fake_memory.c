/* fake_memory.c -- memory of the card that is made of memory files; see fake_inside.h. */
#include "fake_inside.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRANULARITY 65536u

typedef struct fake_handle {
    int fd;
} fake_handle;

static tribus_cu_result make_handle(int fd, tribus_cu_handle *out)
{
    fake_handle *h = malloc(sizeof(*h));

    if (h == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    h->fd = fd;
    *out = (tribus_cu_handle)(uintptr_t)h;
    fake_count(1);
    return TRIBUS_CU_OK;
}

static fake_handle *handle_of(tribus_cu_handle handle)
{
    return (fake_handle *)(uintptr_t)handle;
}

tribus_cu_result cuMemGetInfo_v2(size_t *left, size_t *total)
{
    *left = *total = (size_t)1 << 30;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemGetAllocationGranularity(size_t *bytes, const tribus_cu_allocation *a,
                                               int option)
{
    (void)a, (void)option;
    BEGIN("cuMemGetAllocationGranularity");
    *bytes = GRANULARITY;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemCreate(tribus_cu_handle *handle, size_t bytes,
                             const tribus_cu_allocation *a, unsigned long long flags)
{
    int fd;

    (void)flags;
    BEGIN("cuMemCreate");
    if (bytes % GRANULARITY != 0 || a->handle_types != TRIBUS_CU_HANDLE_POSIX_FD)
        return TRIBUS_CU_INVALID_VALUE;
    fd = memfd_create("fake-card", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        return TRIBUS_CU_OUT_OF_MEMORY;
    return make_handle(fd, handle);
}

tribus_cu_result cuMemRelease(tribus_cu_handle handle)
{
    (void)close(handle_of(handle)->fd);
    free(handle_of(handle));
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemExportToShareableHandle(void *fd, tribus_cu_handle handle, int type,
                                              unsigned long long flags)
{
    const int copy = dup(handle_of(handle)->fd);

    (void)type, (void)flags;
    if (copy < 0)
        return TRIBUS_CU_INVALID_VALUE;
    if (fake_begin("cuMemExportToShareableHandle") != TRIBUS_CU_OK) {
        (void)close(copy);
        return TRIBUS_CU_INVALID_VALUE;
    }
    memcpy(fd, &copy, sizeof(copy));
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemImportFromShareableHandle(tribus_cu_handle *handle, void *fd,
                                                int type)
{
    int copy;

    (void)type;
    BEGIN("cuMemImportFromShareableHandle");
    copy = dup((int)(intptr_t)fd);
    return copy < 0 ? TRIBUS_CU_INVALID_VALUE : make_handle(copy, handle);
}

tribus_cu_result cuMemAddressReserve(tribus_cu_ptr *address, size_t bytes, size_t alignment,
                                     tribus_cu_ptr hint, unsigned long long flags)
{
    void *mem;

    (void)alignment, (void)hint, (void)flags;
    BEGIN("cuMemAddressReserve");
    mem = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *address = (tribus_cu_ptr)(uintptr_t)mem;
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemAddressFree(tribus_cu_ptr address, size_t bytes)
{
    (void)munmap(fake_at(address), bytes);
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemMap(tribus_cu_ptr address, size_t bytes, size_t offset,
                          tribus_cu_handle handle, unsigned long long flags)
{
    struct stat size;

    (void)flags;
    BEGIN("cuMemMap");
    if (offset != 0 || fstat(handle_of(handle)->fd, &size) != 0 ||
        (size_t)size.st_size < bytes ||
        mmap(fake_at(address), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED,
             handle_of(handle)->fd, 0) == MAP_FAILED)
        return TRIBUS_CU_INVALID_VALUE;
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemUnmap(tribus_cu_ptr address, size_t bytes)
{
    (void)mmap(fake_at(address), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
               -1, 0);
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemSetAccess(tribus_cu_ptr address, size_t bytes,
                                const tribus_cu_access *access, size_t n)
{
    (void)n;
    BEGIN("cuMemSetAccess");
    return mprotect(fake_at(address), bytes,
                    access->flags == TRIBUS_CU_ACCESS_READ ? PROT_READ
                                                           : PROT_READ | PROT_WRITE) == 0
               ? TRIBUS_CU_OK
               : TRIBUS_CU_INVALID_VALUE;
}

tribus_cu_result cuMemAlloc_v2(tribus_cu_ptr *address, size_t bytes)
{
    void *mem;

    BEGIN("cuMemAlloc_v2");
    mem = calloc(1, bytes);
    if (mem == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *address = (tribus_cu_ptr)(uintptr_t)mem;
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemFree_v2(tribus_cu_ptr address)
{
    free(fake_at(address));
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemHostRegister_v2(void *mem, size_t bytes, unsigned flags)
{
    (void)mem, (void)bytes, (void)flags;
    BEGIN("cuMemHostRegister_v2");
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemHostUnregister(void *mem)
{
    (void)mem;
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuMemHostGetDevicePointer_v2(tribus_cu_ptr *address, void *mem,
                                              unsigned flags)
{
    (void)flags;
    BEGIN("cuMemHostGetDevicePointer_v2");
    *address = (tribus_cu_ptr)(uintptr_t)mem;
    return TRIBUS_CU_OK;
}
