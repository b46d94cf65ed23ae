/* cuda_memory.c -- see cuda_memory.h. */
#include "device/cuda_memory.h"
#include "base/error.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct tribus_cuda_mapping {
    tribus_cuda_mapping *next;
    int fd; /* ours: the same open file as the one it was made from */
    tribus_cu_ptr address;
    size_t bytes; /* a multiple of the granularity */
    bool reserved, mapped, writable;
    uint32_t users;
};

struct tribus_cuda_registration {
    tribus_cuda_registration *next;
    void *mem;
    size_t bytes;
    tribus_cu_ptr address;
    uint32_t users;
};

/* The card knows its memory by address only; pointers are how device.h writes those down. */
static void *pointer_of(tribus_cu_ptr address)
{
    return (void *)(uintptr_t)address;
}

static size_t whole(const tribus_cuda_context *c, size_t bytes)
{
    return (bytes + c->granularity - 1) / c->granularity * c->granularity;
}

static void drop(tribus_cuda_context *c, tribus_cuda_mapping *m)
{
    if (m->mapped)
        (void)c->cu->mem_unmap(m->address, m->bytes);
    if (m->reserved)
        (void)c->cu->mem_address_free(m->address, m->bytes);
    if (m->fd >= 0)
        (void)close(m->fd);
    free(m);
}

/* Map handle, whose descriptor is fd. *wrong_size: the driver would not map so many bytes.
 * Reservation and access belong to the mapping; the handle stays the caller's. */
static tribus_status map_handle(tribus_cuda_context *c, tribus_cu_handle handle, int fd,
                                tribus_cuda_mapping *m, bool *wrong_size)
{
    const tribus_cu_access access = {.location = {TRIBUS_CU_LOCATION_DEVICE, c->device},
                                     .flags = m->writable ? TRIBUS_CU_ACCESS_READ_WRITE
                                                          : TRIBUS_CU_ACCESS_READ};
    tribus_cu_result result = c->cu->mem_address_reserve(&m->address, m->bytes, 0, 0, 0);

    *wrong_size = false;
    if (result != TRIBUS_CU_OK)
        return tribus_cuda_context_check(c, result, "reserve addresses");
    m->reserved = true;
    result = c->cu->mem_map(m->address, m->bytes, 0, handle, 0);
    /* Driver 580 answers "not supported" to a mapping larger than what was imported. */
    *wrong_size = result == TRIBUS_CU_INVALID_VALUE || result == TRIBUS_CU_NOT_SUPPORTED;
    if (result != TRIBUS_CU_OK)
        return tribus_cuda_context_check(c, result, "map memory");
    m->mapped = true;
    result = c->cu->mem_set_access(m->address, m->bytes, &access, 1);
    *wrong_size = result == TRIBUS_CU_INVALID_VALUE;
    if (result != TRIBUS_CU_OK)
        return tribus_cuda_context_check(c, result, "allow access to memory");
    m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (m->fd < 0)
        return tribus_error_set(TRIBUS_SYSTEM, "keep the descriptor of memory");
    return TRIBUS_OK;
}

static tribus_status mapping_of(tribus_cuda_context *c, tribus_cu_handle handle, int fd,
                                size_t bytes, bool writable, bool *wrong_size,
                                tribus_device_memory *out)
{
    tribus_cuda_mapping *m = calloc(1, sizeof(*m));
    tribus_status st;

    if (m == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*m));
    m->fd = -1;
    m->bytes = whole(c, bytes);
    m->writable = writable;
    m->users = 1;
    st = map_handle(c, handle, fd, m, wrong_size);
    if (st != TRIBUS_OK) {
        drop(c, m);
        return st;
    }
    m->next = c->mappings;
    c->mappings = m;
    *out = (tribus_device_memory){pointer_of(m->address), NULL, bytes, writable};
    return TRIBUS_OK;
}

tribus_status tribus_cuda_memory_create(tribus_cuda_context *c, size_t bytes, int *fd,
                                        tribus_device_memory *out)
{
    const tribus_cu_allocation allocation = {
        .type = TRIBUS_CU_ALLOCATION_PINNED,
        .handle_types = TRIBUS_CU_HANDLE_POSIX_FD,
        .location = {TRIBUS_CU_LOCATION_DEVICE, c->device}};
    tribus_cu_handle handle;
    bool wrong_size;
    int made = -1;
    tribus_status st = tribus_cuda_context_enter(c);

    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c, c->cu->mem_create(&handle, whole(c, bytes), &allocation, 0),
            "make memory on the card");
    if (st != TRIBUS_OK)
        return st;
    st = tribus_cuda_context_check(
        c, c->cu->mem_export(&made, handle, TRIBUS_CU_HANDLE_POSIX_FD, 0),
        "export memory as a descriptor");
    if (st == TRIBUS_OK) {
        (void)fcntl(made, F_SETFD, FD_CLOEXEC);
        st = mapping_of(c, handle, made, bytes, true, &wrong_size, out);
    }
    (void)c->cu->mem_release(handle);
    if (st == TRIBUS_OK)
        *fd = made;
    else if (made >= 0)
        (void)close(made);
    return st;
}

/* Are two descriptors one open file? Where the kernel does not say, they count as two, and
 * the memory is mapped twice. */
static bool same_file(int a, int b)
{
    const pid_t me = getpid();

    return syscall(SYS_kcmp, me, me, KCMP_FILE, (unsigned long)a, (unsigned long)b) == 0;
}

tribus_status tribus_cuda_memory_open(tribus_cuda_context *c, int fd, size_t bytes,
                                      bool writable, tribus_device_memory *out)
{
    tribus_cu_handle handle;
    bool wrong_size = false;
    tribus_status st;

    for (tribus_cuda_mapping *m = c->mappings; m != NULL; m = m->next)
        if (m->writable == writable && m->bytes == whole(c, bytes) &&
            same_file(m->fd, fd)) {
            m->users++;
            *out = (tribus_device_memory){pointer_of(m->address), NULL, bytes, writable};
            return TRIBUS_OK;
        }
    st = tribus_cuda_context_enter(c);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c, c->cu->mem_import(&handle, (void *)(intptr_t)fd, TRIBUS_CU_HANDLE_POSIX_FD),
            "import memory from its descriptor");
    if (st != TRIBUS_OK)
        return st;
    st = mapping_of(c, handle, fd, bytes, writable, &wrong_size, out);
    (void)c->cu->mem_release(handle);
    if (st != TRIBUS_OK && wrong_size)
        return tribus_error_set(TRIBUS_CORRUPT,
                                "the memory behind descriptor %d is smaller than %zu bytes",
                                fd, bytes);
    return st;
}

void tribus_cuda_memory_close(tribus_cuda_context *c, tribus_device_memory *memory)
{
    for (tribus_cuda_mapping **at = &c->mappings; *at != NULL; at = &(*at)->next) {
        tribus_cuda_mapping *m = *at;

        if (pointer_of(m->address) != memory->data)
            continue;
        if (--m->users > 0)
            return;
        *at = m->next;
        if (tribus_cuda_context_enter(c) != TRIBUS_OK)
            tribus_error_clear(); /* the driver is gone: so are its mappings */
        drop(c, m);
        return;
    }
}

tribus_status tribus_cuda_memory_register(tribus_cuda_context *c, void *mem, size_t bytes,
                                          void **data)
{
    tribus_cuda_registration *r;
    tribus_cu_result result;
    tribus_status st;

    for (r = c->registrations; r != NULL; r = r->next)
        if (r->mem == mem && r->bytes >= bytes) {
            r->users++;
            *data = pointer_of(r->address);
            return TRIBUS_OK;
        }
    st = tribus_cuda_context_enter(c);
    if (st != TRIBUS_OK)
        return st;
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*r));
    *r = (tribus_cuda_registration){.mem = mem, .bytes = bytes, .users = 1};
    result = c->cu->mem_host_register(
        mem, bytes, TRIBUS_CU_HOST_REGISTER_PORTABLE | TRIBUS_CU_HOST_REGISTER_DEVICEMAP);
    if (result == TRIBUS_CU_OK) {
        result = c->cu->mem_host_get_device_pointer(&r->address, mem, 0);
        if (result != TRIBUS_CU_OK)
            (void)c->cu->mem_host_unregister(mem);
    }
    if (result != TRIBUS_CU_OK) {
        free(r);
        return tribus_cuda_context_check(c, result, "register host memory");
    }
    r->next = c->registrations;
    c->registrations = r;
    *data = pointer_of(r->address);
    return TRIBUS_OK;
}

void tribus_cuda_memory_unregister(tribus_cuda_context *c, void *mem)
{
    for (tribus_cuda_registration **at = &c->registrations; *at != NULL;
         at = &(*at)->next) {
        tribus_cuda_registration *r = *at;

        if (r->mem != mem)
            continue;
        if (--r->users > 0)
            return;
        *at = r->next;
        if (tribus_cuda_context_enter(c) != TRIBUS_OK)
            tribus_error_clear();
        (void)c->cu->mem_host_unregister(mem);
        free(r);
        return;
    }
}

void tribus_cuda_memory_close_all(tribus_cuda_context *c)
{
    while (c->mappings != NULL) {
        tribus_cuda_mapping *m = c->mappings;

        c->mappings = m->next;
        drop(c, m);
    }
    while (c->registrations != NULL) {
        tribus_cuda_registration *r = c->registrations;

        c->registrations = r->next;
        (void)c->cu->mem_host_unregister(r->mem);
        free(r);
    }
}
