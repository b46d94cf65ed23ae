/* cuda_share.c -- see cuda_share.h. */
#include "device/cuda_share.h"
#include "base/error.h"

#include <string.h>

/* Our part of the card, as a description that a green context is made of. */
static tribus_status describe(tribus_cuda_context *c, double first, bool rest,
                              tribus_cu_resource_desc *desc)
{
    tribus_cu_resource all, part, other;
    unsigned parts = 1, least;
    tribus_cu_result result;

    memset(&all, 0, sizeof(all));
    memset(&part, 0, sizeof(part));
    memset(&other, 0, sizeof(other));
    result = c->cu->device_get_dev_resource(c->device, &all, TRIBUS_CU_RESOURCE_SM);
    if (result != TRIBUS_CU_OK)
        return tribus_cuda_context_check(c, result, "ask for the multiprocessors");
    least = (unsigned)(first * (double)all.multiprocessors + 0.5);
    result =
        c->cu->dev_sm_resource_split(&part, &parts, &all, &other, 0, least > 0 ? least : 1);
    if (result != TRIBUS_CU_OK)
        return tribus_cuda_context_check(c, result, "divide the multiprocessors");
    if (parts != 1 || part.multiprocessors == 0 || other.multiprocessors == 0)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "%u of %u multiprocessors leave none for the other domain",
                                part.multiprocessors, all.multiprocessors);
    result = c->cu->dev_resource_generate_desc(desc, rest ? &other : &part, 1);
    if (result == TRIBUS_CU_OK)
        c->multiprocessors = (int32_t)(rest ? other : part).multiprocessors;
    return tribus_cuda_context_check(c, result, "describe the part of the card");
}

tribus_status tribus_cuda_share_take(tribus_cuda_context *c, double first, bool rest)
{
    const int32_t before = c->multiprocessors;
    tribus_cu_resource_desc desc = NULL;
    tribus_cu_stream stream = NULL;
    tribus_status st;

    if (c->cu->green_ctx_create == NULL)
        return tribus_error_set(TRIBUS_UNSUPPORTED,
                                "the driver (CUDA %d.%d) has no green contexts",
                                c->cu->version / 1000, c->cu->version % 1000 / 10);
    st = describe(c, first, rest, &desc);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c,
            c->cu->green_ctx_create(&c->green, desc, c->device,
                                    TRIBUS_CU_GREEN_DEFAULT_STREAM),
            "make a green context");
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c,
            c->cu->green_ctx_stream_create(&stream, c->green, TRIBUS_CU_STREAM_NON_BLOCKING,
                                           0),
            "make a stream in a green context");
    if (st != TRIBUS_OK) {
        tribus_cuda_share_close(c);
        c->multiprocessors = before;
        return st;
    }
    (void)c->cu->stream_destroy(c->main.stream);
    c->main.stream = stream;
    return TRIBUS_OK;
}

void tribus_cuda_share_close(tribus_cuda_context *c)
{
    if (c->green != NULL)
        (void)c->cu->green_ctx_destroy(c->green);
    c->green = NULL;
}
