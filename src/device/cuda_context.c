/* cuda_context.c -- see cuda_context.h. */
#include "device/cuda_context.h"
#include "base/error.h"
#include "device/cuda_graph.h"
#include "device/cuda_image.h"
#include "device/cuda_memory.h"
#include "device/cuda_queue.h"
#include "device/cuda_share.h"
#include "device/cuda_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tribus_status tribus_cuda_context_check(const tribus_cuda_context *context,
                                        tribus_cu_result result, const char *what)
{
    return tribus_cuda_driver_check(context->cu, result, what);
}

tribus_status tribus_cuda_context_enter(tribus_cuda_context *context)
{
    return tribus_cuda_context_check(
        context, context->cu->ctx_set_current(context->context), "set the context");
}

static int attribute(const tribus_cuda_context *c, int which)
{
    int value = 0;

    return c->cu->device_get_attribute(&value, which, c->device) == TRIBUS_CU_OK ? value
                                                                                 : 0;
}

/* What sharing memory between processes needs. */
static tribus_status check_card(tribus_cuda_context *c)
{
    const tribus_cu_allocation allocation = {
        .type = TRIBUS_CU_ALLOCATION_PINNED,
        .handle_types = TRIBUS_CU_HANDLE_POSIX_FD,
        .location = {TRIBUS_CU_LOCATION_DEVICE, c->device}};

    c->multiprocessors = attribute(c, TRIBUS_CU_ATTRIBUTE_MULTIPROCESSORS);
    c->memops = attribute(c, TRIBUS_CU_ATTRIBUTE_STREAM_MEMOPS_64) != 0;
    if (attribute(c, TRIBUS_CU_ATTRIBUTE_VIRTUAL_MEMORY) == 0 ||
        attribute(c, TRIBUS_CU_ATTRIBUTE_POSIX_FD) == 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "the card cannot share memory by file descriptor");
    return tribus_cuda_context_check(
        c,
        c->cu->mem_get_granularity(&c->granularity, &allocation,
                                   TRIBUS_CU_GRANULARITY_RECOMMENDED),
        "ask for the granularity of memory");
}

static tribus_status load_functions(tribus_cuda_context *c, tribus_cu_module module)
{
    tribus_cu_function functions[TRIBUS_CUDA_MOST_FUNCTIONS];
    unsigned count = 0;
    tribus_cu_result result = c->cu->module_get_function_count(&count, module);

    if (result == TRIBUS_CU_OK && count > TRIBUS_CUDA_MOST_FUNCTIONS - c->function_count)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "more than %u kernels",
                                TRIBUS_CUDA_MOST_FUNCTIONS);
    if (result == TRIBUS_CU_OK && count > 0)
        result = c->cu->module_enumerate_functions(functions, count, module);
    for (unsigned i = 0; result == TRIBUS_CU_OK && i < count; i++) {
        result = c->cu->func_load(functions[i]);
        if (result == TRIBUS_CU_OK)
            result =
                c->cu->func_get_name(&c->functions[c->function_count].name, functions[i]);
        c->functions[c->function_count].function = functions[i];
        c->function_count += result == TRIBUS_CU_OK ? 1 : 0;
    }
    return tribus_cuda_context_check(c, result, "load the functions");
}

static tribus_status load_images(tribus_cuda_context *c)
{
    tribus_status st = TRIBUS_OK;

    for (uint32_t i = 0; st == TRIBUS_OK && tribus_cuda_images[i].name != NULL; i++) {
        const tribus_cuda_image *image = &tribus_cuda_images[i];
        tribus_cu_result result;

        if (i == TRIBUS_CUDA_MOST_MODULES)
            return tribus_error_set(TRIBUS_UNSUPPORTED, "more than %u files of kernels",
                                    TRIBUS_CUDA_MOST_MODULES);
        result = c->cu->module_load_data(&c->modules[i], image->start);
        if (result == TRIBUS_CU_OK) {
            c->module_count++;
            st = load_functions(c, c->modules[i]);
        } else {
            st = tribus_cuda_context_check(c, result, "load its code");
        }
        if (st != TRIBUS_OK)
            tribus_error_add("kernels of %s (built with %s)", image->name,
                             tribus_cuda_image_origin);
    }
    return st;
}

tribus_status tribus_cuda_context_open(uint32_t index, tribus_cuda_context **out)
{
    const char *why = NULL;
    const tribus_cuda_driver *cu = tribus_cuda_driver_get(&why);
    tribus_cuda_context *c;
    tribus_status st;

    if (cu == NULL)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "absent: %s", why);
    if (index >= (uint32_t)cu->devices)
        return tribus_error_set(TRIBUS_UNSUPPORTED, "absent: the driver finds %d device%s",
                                cu->devices, cu->devices == 1 ? "" : "s");
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%zu bytes", sizeof(*c));
    c->cu = cu;
    c->base.ops = &tribus_device_cuda;
    c->base.index = (int32_t)index;
    (void)snprintf(c->base.name, sizeof(c->base.name), "cuda:%u", index % 1024u);
    st = tribus_cuda_context_check(c, cu->device_get(&c->device, (int)index),
                                   "find the device");
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(c, cu->primary_ctx_retain(&c->context, c->device),
                                       "take the context");
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_enter(c);
    if (st == TRIBUS_OK)
        st = check_card(c);
    if (st == TRIBUS_OK)
        st = load_images(c);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_open(c, &c->main);
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_open(c, &c->rescue);
    if (st != TRIBUS_OK) {
        tribus_cuda_context_close(c);
        return st;
    }
    *out = c;
    return TRIBUS_OK;
}

void tribus_cuda_context_close(tribus_cuda_context *c)
{
    if (c == NULL)
        return;
    tribus_cuda_watch_close(c->watch);
    if (c->context != NULL) {
        (void)c->cu->ctx_set_current(c->context);
        tribus_cuda_graph_close_all(c);
        tribus_cuda_stream_close(&c->main);
        tribus_cuda_stream_close(&c->rescue);
        tribus_cuda_share_close(c);
        tribus_cuda_queue_pages_close(c);
        tribus_cuda_memory_close_all(c);
        for (uint32_t i = 0; i < c->module_count; i++)
            (void)c->cu->module_unload(c->modules[i]);
        (void)c->cu->ctx_set_current(NULL);
        (void)c->cu->primary_ctx_release(c->device);
    }
    free(c);
}

tribus_status tribus_cuda_context_function(tribus_cuda_context *c, const char *name,
                                           tribus_cu_function *out)
{
    for (uint32_t i = 0; i < c->function_count; i++)
        if (strcmp(c->functions[i].name, name) == 0) {
            *out = c->functions[i].function;
            return TRIBUS_OK;
        }
    return tribus_error_set(TRIBUS_UNSUPPORTED, "this build has no kernel %s (%s)", name,
                            tribus_cuda_image_origin);
}
