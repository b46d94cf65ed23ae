/* cuda_kernels.c -- see cuda_kernels.h. */
#include "device/cuda_kernels.h"
#include "base/error.h"
#include "device/cuda_context.h"
#include "device/cuda_mc.h"
#include "device/mc_cuda.h"
#include "tribus/quant.h"

#include <float.h>
#include <math.h>

_Static_assert(sizeof(tribus_cuda_mc_work) <= TRIBUS_CUDA_KERNELS_WORK_BYTES, "scratch");
/* The tuned path's table takes 8 bytes an asset, the row asks for 12. */
_Static_assert(sizeof(tribus_mc_head) + 1024 <= TRIBUS_CUDA_KERNELS_WORK_BYTES, "scratch");

static tribus_status launch(tribus_cuda_context *c, const char *name, uint32_t blocks,
                            const tribus_cuda_mc_args *args)
{
    tribus_cuda_mc_args copied = *args; /* the driver wants pointers to what is not const */
    void *params[] = {&copied};
    tribus_cu_function function;
    tribus_status st = tribus_cuda_context_function(c, name, &function);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(
            &c->main, function, (tribus_cuda_grid){blocks, TRIBUS_CUDA_MC_THREADS, 0},
            params);
    if (st != TRIBUS_OK)
        tribus_error_add("mc_var_es");
    return st;
}

/* As src/quant/var.c counts the tail: ceil(n q), not fooled by the rounding of 1 - 0.95. */
static uint32_t tail_count(uint32_t n, double confidence)
{
    const double k = ceil(n * (1.0 - confidence) - 8.0 * DBL_EPSILON * n);

    return k < 1.0 ? 1u : (uint32_t)k;
}

enum { MC_PATHS, MC_CONFIDENCE, MC_NU, MC_SEED, MC_EXACT };

tribus_status tribus_cuda_kernels_mc_var_es(tribus_device *device,
                                            const tribus_kernel_args *args)
{
    tribus_cuda_context *c = (tribus_cuda_context *)device;
    unsigned char *scratch = args->scratch;
    const uint32_t assets = (uint32_t)args->dims[0];
    const uint32_t paths = (uint32_t)args->params[MC_PATHS];
    /* As the row's scratch counts it, or the P&L would end outside. */
    const size_t loading_bytes =
        ((size_t)tribus_quant_mc_loading_count(assets) * sizeof(float) + 63) & ~(size_t)63;
    const uint32_t wanted = (paths + TRIBUS_CUDA_MC_THREADS - 1) / TRIBUS_CUDA_MC_THREADS;
    const uint32_t blocks = wanted < TRIBUS_CUDA_MC_BLOCKS ? wanted : TRIBUS_CUDA_MC_BLOCKS;
    const uint32_t columns = (assets + TRIBUS_CUDA_MC_THREADS - 1) / TRIBUS_CUDA_MC_THREADS;
    const tribus_cuda_mc_args mc = {
        .forecast = args->inputs[0],
        .factor = args->inputs[1],
        .weights = args->inputs[2],
        .risk = args->outputs[0],
        .work = args->scratch,
        .loading = (float *)(void *)(scratch + TRIBUS_CUDA_KERNELS_WORK_BYTES),
        .pnl = (float *)(void *)(scratch + TRIBUS_CUDA_KERNELS_WORK_BYTES + loading_bytes),
        .seed = (uint64_t)args->params[MC_SEED],
        .nu = (float)args->params[MC_NU],
        .assets = assets,
        .paths = paths,
        .rank = tail_count(paths, args->params[MC_CONFIDENCE])};
    tribus_status st;

    if (mc.nu > 0.0f && mc.nu <= 2.0f)
        return tribus_error_set(TRIBUS_BAD_DATA,
                                "mc_var_es: nu is %g; wanted 0 (normal) or above 2",
                                (double)mc.nu);
    if (args->params[MC_EXACT] == 0.0) {
        const tribus_mc_request tuned = {.forecast = mc.forecast,
                                         .factor = mc.factor,
                                         .weights = mc.weights,
                                         .risk = mc.risk,
                                         .scratch = args->scratch,
                                         .seed = mc.seed,
                                         .assets = assets,
                                         .paths = paths,
                                         .tail_paths = mc.rank,
                                         .nu = mc.nu};

        return tribus_mc_cuda_run(c, &tuned);
    }
    st = tribus_cuda_stream_claim(&c->main, 1);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c,
            c->cu->memset_d8_async((tribus_cu_ptr)(uintptr_t)scratch, 0,
                                   sizeof(tribus_cuda_mc_work), c->main.stream),
            "mc_var_es: clear its work");
    if (st == TRIBUS_OK)
        st = launch(c, "tribus_cuda_mc_load", columns, &mc);
    if (st == TRIBUS_OK)
        st = launch(c, "tribus_cuda_mc_paths", blocks, &mc);
    if (st == TRIBUS_OK)
        st = launch(c, "tribus_cuda_mc_middle", blocks, &mc);
    if (st == TRIBUS_OK)
        st = launch(c, "tribus_cuda_mc_low", blocks, &mc);
    if (st == TRIBUS_OK)
        st = launch(c, "tribus_cuda_mc_tail", blocks, &mc);
    if (st == TRIBUS_OK)
        st = launch(c, "tribus_cuda_mc_risk", 1, &mc);
    return st;
}
