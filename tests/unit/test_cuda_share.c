/* test_cuda_share.c -- a part of the multiprocessors of the fake card: the order of the calls,
 * each of them failing, a driver without them. */
#include "device/cuda_share.h"
#include "fake_card.h"
#include "tribus/base.h"

static char order[512];

static void look(const char *symbol, void *context)
{
    static const char *const ours[] = {
        "cuDeviceGetDevResource",    "cuDevSmResourceSplitByCount",
        "cuDevResourceGenerateDesc", "cuGreenCtxCreate",
        "cuGreenCtxStreamCreate",    "cuGreenCtxDestroy"};

    (void)context;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(ours[i], symbol) == 0)
            (void)strcat(strcat(order, symbol + 2), " ");
}

static tribus_cuda_context *opened(void)
{
    tribus_cuda_context *c = NULL;

    CHECK(tribus_cuda_context_open(0, &c) == TRIBUS_OK);
    return c;
}

static void the_two_parts_are_cut_alike_and_do_not_overlap(const fake_ops *fake)
{
    tribus_cuda_context *neural = opened(), *gpu = opened();

    order[0] = '\0';
    fake->hook(look, NULL);
    CHECK(tribus_cuda_share_take(neural, 0.25, false) == TRIBUS_OK);
    CHECK_TEXT(order, "DeviceGetDevResource DevSmResourceSplitByCount "
                      "DevResourceGenerateDesc GreenCtxCreate GreenCtxStreamCreate ");
    CHECK(tribus_cuda_share_take(gpu, 0.25, true) == TRIBUS_OK);
    CHECK(neural->multiprocessors == 40 &&
          gpu->multiprocessors == 92); /* of 132, by eights */
    CHECK(tribus_cuda_stream_wait(&gpu->main, INT64_C(60000000000)) == TRIBUS_OK);
    tribus_cuda_context_close(neural);
    tribus_cuda_context_close(gpu);
    fake->reset();
    CHECK(fake->live() == 0);
}

static void a_call_that_fails_leaves_the_whole_card(const fake_ops *fake)
{
    static const char *const calls[] = {
        "cuDeviceGetDevResource", "cuDevSmResourceSplitByCount",
        "cuDevResourceGenerateDesc", "cuGreenCtxCreate", "cuGreenCtxStreamCreate"};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        tribus_cuda_context *c = opened();
        const int32_t all = c->multiprocessors;
        const int live = fake->live();
        tribus_cu_stream const stream = c->main.stream;

        fake->fail(calls[i], 1, TRIBUS_CU_NOT_SUPPORTED);
        CHECK(tribus_cuda_share_take(c, 0.5, false) == TRIBUS_SYSTEM);
        CHECK(fake->failed());
        CHECK(strstr(tribus_error_text(), "a failure of the fake") != NULL);
        CHECK(c->multiprocessors == all && c->main.stream == stream &&
              fake->live() == live);
        tribus_cuda_context_close(c);
        fake->reset();
        CHECK(fake->live() == 0);
    }
}

static void a_part_that_leaves_nothing_is_unsupported(const fake_ops *fake)
{
    tribus_cuda_context *c = opened();
    const int32_t all = c->multiprocessors;

    CHECK(tribus_cuda_share_take(c, 0.001, false) == TRIBUS_OK);
    CHECK(c->multiprocessors == 8);
    tribus_cuda_context_close(c);
    c = opened();
    CHECK(tribus_cuda_share_take(c, 0.999, false) != TRIBUS_OK);
    CHECK(c->multiprocessors == all);
    tribus_cuda_context_close(c);
    CHECK(fake->live() == 0);
}

static void a_driver_without_green_contexts_says_so(const fake_ops *fake)
{
    tribus_cuda_context *c = opened();
    const tribus_cuda_driver *const whole = c->cu;
    tribus_cuda_driver without = *whole;

    without.green_ctx_create = NULL;
    without.version = 12040;
    c->cu = &without;
    CHECK(tribus_cuda_share_take(c, 0.5, false) == TRIBUS_UNSUPPORTED);
    CHECK_TEXT(tribus_error_text(), "the driver (CUDA 12.4) has no green contexts");
    c->cu = whole;
    tribus_cuda_context_close(c);
    CHECK(fake->live() == 0);
}

int main(void)
{
    const fake_ops *fake = fake_card();

    the_two_parts_are_cut_alike_and_do_not_overlap(fake);
    a_call_that_fails_leaves_the_whole_card(fake);
    a_part_that_leaves_nothing_is_unsupported(fake);
    a_driver_without_green_contexts_says_so(fake);
    return 0;
}
