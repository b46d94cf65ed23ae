/* fake_green.c -- green contexts of the fake card: numbers of multiprocessors, no more. Groups
 * are of eight, as on a card of compute capability 9. */
#include "fake_inside.h"

#include <stdlib.h>

#define UNITS 132u
#define GROUP 8u

tribus_cu_result cuStreamCreate(tribus_cu_stream *stream, unsigned flags);

tribus_cu_result cuDeviceGetDevResource(tribus_cu_device device,
                                        tribus_cu_resource *resource, int type)
{
    (void)device;
    BEGIN("cuDeviceGetDevResource");
    resource->type = type;
    resource->multiprocessors = UNITS;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDevSmResourceSplitByCount(tribus_cu_resource *groups, unsigned *count,
                                             const tribus_cu_resource *from,
                                             tribus_cu_resource *rest, unsigned flags,
                                             unsigned least)
{
    const unsigned units = (least + GROUP - 1) / GROUP * GROUP;

    (void)flags;
    BEGIN("cuDevSmResourceSplitByCount");
    if (*count != 1 || units > from->multiprocessors)
        return TRIBUS_CU_INVALID_VALUE;
    groups->type = rest->type = from->type;
    groups->multiprocessors = units;
    rest->multiprocessors = from->multiprocessors - units;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuDevResourceGenerateDesc(tribus_cu_resource_desc *desc,
                                           tribus_cu_resource *resources, unsigned count)
{
    BEGIN("cuDevResourceGenerateDesc");
    if (count != 1 || resources->multiprocessors == 0)
        return TRIBUS_CU_INVALID_VALUE;
    *desc = (tribus_cu_resource_desc)(void *)&fake; /* the driver's own; never freed */
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGreenCtxCreate(tribus_cu_green *green, tribus_cu_resource_desc desc,
                                  tribus_cu_device device, unsigned flags)
{
    (void)device;
    BEGIN("cuGreenCtxCreate");
    if (desc == NULL || flags != TRIBUS_CU_GREEN_DEFAULT_STREAM)
        return TRIBUS_CU_INVALID_VALUE;
    *green = malloc(1);
    if (*green == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGreenCtxDestroy(tribus_cu_green green)
{
    BEGIN("cuGreenCtxDestroy");
    free(green);
    fake_count(-1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGreenCtxStreamCreate(tribus_cu_stream *stream, tribus_cu_green green,
                                        unsigned flags, int priority)
{
    (void)priority;
    BEGIN("cuGreenCtxStreamCreate");
    return green == NULL ? TRIBUS_CU_INVALID_VALUE : cuStreamCreate(stream, flags);
}
