/* device.c -- the table of device kinds and what every device has in common; see device.h.
 */
#include "device/device.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line a kind. */
static const tribus_device_ops *const kinds[] = {
    &tribus_device_cpu,
    &tribus_device_cuda,
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* "cpu" is one place; the others are numbered. */
static void name_of(const tribus_device_ops *ops, uint32_t index, char *name, size_t bytes)
{
    if (ops->type == TRIBUS_DEVICE_CPU)
        (void)snprintf(name, bytes, "%s", ops->kind);
    else
        (void)snprintf(name, bytes, "%s:%u", ops->kind, index);
}

uint32_t tribus_device_list(tribus_device_row *rows, uint32_t most)
{
    uint32_t n = 0;

    for (size_t k = 0; k < KINDS; k++) {
        const tribus_device_ops *ops = kinds[k];
        const uint32_t count = ops->absent != NULL ? 0 : ops->count();

        for (uint32_t i = 0; i < (count == 0 ? 1 : count); i++, n++) {
            tribus_device_row row;

            if (n >= most)
                continue;
            memset(&row, 0, sizeof(row));
            name_of(ops, i, row.name, sizeof(row.name));
            row.device_type = ops->type;
            row.device_index = (int32_t)i;
            if (ops->absent != NULL)
                (void)snprintf(row.detail, sizeof(row.detail), "%s", ops->absent);
            else
                row.present = ops->probe(i, row.detail, sizeof(row.detail));
            rows[n] = row;
        }
    }
    return n;
}

static const tribus_device_ops *kind_named(const char *name, size_t length)
{
    for (size_t k = 0; k < KINDS; k++)
        if (strlen(kinds[k]->kind) == length && strncmp(kinds[k]->kind, name, length) == 0)
            return kinds[k];
    return NULL;
}

tribus_status tribus_device_open(const char *name, tribus_device **out)
{
    const char *given = name == NULL ? "" : name;
    const char *colon = strchr(given, ':');
    const size_t length = colon == NULL ? strlen(given) : (size_t)(colon - given);
    const tribus_device_ops *ops = kind_named(given, length);
    unsigned long index = 0;
    tribus_device *device = NULL;
    tribus_status st;

    if (colon != NULL) {
        char *end;

        index = strtoul(colon + 1, &end, 10);
        if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || index > 1023)
            ops = NULL;
    }
    if (ops == NULL)
        return tribus_error_set(TRIBUS_NOT_FOUND,
                                "open device \"%s\": no such device; use cpu or cuda:0",
                                given);
    if (ops->absent != NULL)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "open device %s: absent: %s", given,
                                ops->absent);
    st = ops->open((uint32_t)index, &device);
    if (st != TRIBUS_OK) {
        tribus_error_add("open device %s", given);
        return st;
    }
    device->ops = ops;
    device->index = (int32_t)index;
    name_of(ops, (uint32_t)index, device->name, sizeof(device->name));
    *out = device;
    return TRIBUS_OK;
}

void tribus_device_close(tribus_device *device)
{
    if (device != NULL)
        device->ops->close(device);
}

const char *tribus_device_name(const tribus_device *device)
{
    return device->name;
}

int32_t tribus_device_type(const tribus_device *device)
{
    return device->ops->type;
}

int32_t tribus_device_index(const tribus_device *device)
{
    return device->index;
}

tribus_status tribus_device_memory_create(tribus_device *device, const char *name,
                                          size_t bytes, int *fd, tribus_device_memory *out)
{
    tribus_status st;

    if (bytes == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "create memory %s: 0 bytes", name);
    st = device->ops->memory_create(device, name, bytes, fd, out);
    if (st != TRIBUS_OK)
        tribus_error_add("create memory %s on %s", name, device->name);
    return st;
}

tribus_status tribus_device_memory_open(tribus_device *device, int fd, size_t bytes,
                                        bool writable, tribus_device_memory *out)
{
    tribus_status st;

    if (fd < 0 || bytes == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "open memory: descriptor %d, %zu bytes", fd,
                                bytes);
    st = device->ops->memory_open(device, fd, bytes, writable, out);
    if (st != TRIBUS_OK)
        tribus_error_add("open memory on %s", device->name);
    return st;
}

void tribus_device_memory_close(tribus_device *device, tribus_device_memory *memory)
{
    if (memory == NULL || memory->data == NULL)
        return;
    device->ops->memory_close(device, memory);
    memset(memory, 0, sizeof(*memory));
}

tribus_status tribus_device_register(tribus_device *device, void *mem, size_t bytes,
                                     void **data)
{
    tribus_status st;

    if (mem == NULL || bytes == 0)
        return tribus_error_set(TRIBUS_BAD_ARG, "register memory: nothing given");
    if (device->ops->host_register == NULL) {
        *data = mem;
        return TRIBUS_OK;
    }
    st = device->ops->host_register(device, mem, bytes, data);
    if (st != TRIBUS_OK)
        tribus_error_add("register %zu bytes with %s", bytes, device->name);
    return st;
}

void tribus_device_unregister(tribus_device *device, void *mem)
{
    if (device->ops->host_unregister != NULL)
        device->ops->host_unregister(device, mem);
}

tribus_status tribus_device_synchronise_wait(tribus_device *device, int64_t timeout_ns)
{
    if (device->ops->synchronise_wait == NULL)
        return TRIBUS_OK;
    return device->ops->synchronise_wait(device, timeout_ns);
}

tribus_status tribus_device_take_part(tribus_device *device, double first, bool rest)
{
    tribus_status st;

    if (!(first > 0.0 && first < 1.0))
        return tribus_error_set(TRIBUS_BAD_ARG, "a part of %s: %g is not between 0 and 1",
                                device->name, first);
    if (device->ops->take_part == NULL)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "%s has no parts", device->name);
    st = device->ops->take_part(device, first, rest);
    if (st != TRIBUS_OK)
        tribus_error_add("a part of %s", device->name);
    return st;
}
