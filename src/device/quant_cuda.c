/* quant_cuda.c -- launch the kernels of quant_cuda_*.cu; rows of kernels_quant.c and kernels.c.
 *
 * Sizes were checked by the rows' scratch functions and by the bind. What only the numbers
 * can tell is told by the kernels, with NaN.
 */
#include "device/quant_cuda.h"
#include "base/error.h"
#include "device/cuda_context.h"

#include <string.h>

static tribus_cuda_context *context_of(tribus_device *device)
{
    return (tribus_cuda_context *)device; /* base is its first member */
}

/* args: copied by the driver at the launch. */
static tribus_status launch(tribus_device *device, const char *name, tribus_cuda_grid grid,
                            void *args)
{
    tribus_cuda_context *c = context_of(device);
    void *params[] = {args};
    tribus_cu_function function;
    tribus_status st = tribus_cuda_context_function(c, name, &function);

    if (st == TRIBUS_OK && grid.shared_bytes > 48u * 1024u)
        st = tribus_cuda_context_check(
            c,
            c->cu->func_set_attribute(function, TRIBUS_CU_FUNC_MAX_DYNAMIC_SHARED,
                                      (int)grid.shared_bytes),
            "shared memory of a kernel");
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(&c->main, function, grid, params);
    if (st != TRIBUS_OK)
        tribus_error_add("%s", name);
    return st;
}

static tribus_cuda_grid grid_of(uint64_t count, uint32_t threads)
{
    const uint64_t blocks = (count + threads - 1) / threads;

    return (tribus_cuda_grid){(uint32_t)(blocks > 65535 ? 65535 : blocks), threads, 0};
}

/* Blocks that work on one matrix: a cluster where there are clusters. */
static tribus_status cluster_of(tribus_device *device, uint32_t *blocks)
{
    tribus_cuda_context *c = context_of(device);
    int major = 0;
    const tribus_status st = tribus_cuda_context_check(
        c, c->cu->device_get_attribute(&major, TRIBUS_CU_ATTRIBUTE_MAJOR, c->device),
        "compute capability");

    *blocks = major >= 9 ? TRIBUS_QUANT_CUDA_CLUSTER : 1;
    return st;
}

/* ---- order flow and patterns ---- */

tribus_status tribus_quant_cuda_flow(tribus_device *device, const tribus_kernel_args *args)
{
    const size_t sums = (size_t)args->dims[0] + 1;
    tribus_quant_flow_args a = {.price = args->inputs[0],
                                .size = args->inputs[1],
                                .book = args->inputs[2],
                                .imbalance = args->outputs[0],
                                .features = args->outputs[1],
                                .volume = args->scratch,
                                .bought = (double *)args->scratch + sums,
                                .share = (double *)args->scratch + 2 * sums,
                                .trades = (uint32_t)args->dims[0],
                                .levels = (uint32_t)args->dims[1],
                                .buckets = (uint32_t)args->dims[2]};

    return launch(device, "tribus_quant_flow",
                  (tribus_cuda_grid){1, TRIBUS_QUANT_CUDA_WIDE, 0}, &a);
}

tribus_status tribus_quant_cuda_score(tribus_device *device, const tribus_kernel_args *args)
{
    tribus_quant_score_args a = {.imbalance = args->inputs[0],
                                 .regime = args->inputs[1],
                                 .score = args->outputs[0],
                                 .buckets = (uint32_t)args->dims[0]};

    return launch(device, "tribus_quant_score",
                  (tribus_cuda_grid){1, TRIBUS_QUANT_CUDA_THREADS, 0}, &a);
}

tribus_status tribus_quant_cuda_pattern(tribus_device *device,
                                        const tribus_kernel_args *args)
{
    tribus_quant_pattern_args a = {.returns = args->inputs[0],
                                   .pattern = args->inputs[1],
                                   .analytics = args->outputs[0],
                                   .assets = (uint32_t)args->dims[0],
                                   .window = (uint32_t)args->dims[1]};

    return launch(device, "tribus_quant_pattern",
                  (tribus_cuda_grid){1, TRIBUS_QUANT_CUDA_WIDE, 0}, &a);
}

/* ---- backtests ---- */

tribus_status tribus_quant_cuda_backtest(tribus_device *device,
                                         const tribus_kernel_args *args)
{
    tribus_quant_backtest_args a = {.returns = args->inputs[0],
                                    .position = args->inputs[1],
                                    .stats = args->outputs[0],
                                    .summary = args->outputs[1],
                                    .cost = args->params[0],
                                    .paths = (uint32_t)args->dims[0],
                                    .steps = (uint32_t)args->dims[1]};
    const uint32_t blocks =
        (a.paths + TRIBUS_QUANT_BACKTEST_PATHS - 1) / TRIBUS_QUANT_BACKTEST_PATHS;
    tribus_status st;

    if (a.steps < 2)
        return tribus_error_set(TRIBUS_BAD_DATA, "backtest_paths: two steps at least");
    st = launch(device, "tribus_quant_backtest",
                (tribus_cuda_grid){blocks, TRIBUS_QUANT_BACKTEST_PATHS, 0}, &a);
    if (st == TRIBUS_OK)
        st = launch(device, "tribus_quant_backtest_summary",
                    (tribus_cuda_grid){1, TRIBUS_QUANT_CUDA_WIDE, 0}, &a);
    return st;
}

tribus_status tribus_quant_cuda_sweep(tribus_device *device, const tribus_kernel_args *args)
{
    tribus_quant_sweep_args a = {.open = args->inputs[0],
                                 .close = args->inputs[1],
                                 .pairs = args->inputs[2],
                                 .money = args->outputs[0],
                                 .trades = args->outputs[1],
                                 .averages = args->scratch,
                                 .cost = args->params[0],
                                 .rows = (uint32_t)args->dims[0],
                                 .longest = (uint32_t)args->params[1],
                                 .count = (uint32_t)args->dims[1]};
    const uint64_t segments =
        (a.rows + TRIBUS_QUANT_SWEEP_SEGMENT - 1) / TRIBUS_QUANT_SWEEP_SEGMENT;
    tribus_status st;

    a.near_open = a.averages + (size_t)a.rows * a.longest;
    a.near_close = a.near_open + a.rows;
    st = launch(device, "tribus_quant_sweep_stage", grid_of(a.rows, 64), &a);
    if (st == TRIBUS_OK)
        st = launch(device, "tribus_quant_sweep_averages",
                    grid_of(segments * a.longest, 64), &a);
    if (st == TRIBUS_OK) /* few pairs a block, so that many processors have some */
        st = launch(device, "tribus_quant_sweep", grid_of(a.count, 64), &a);
    return st;
}

/* ---- matrices ---- */

tribus_status tribus_quant_cuda_correlation(tribus_device *device,
                                            const tribus_kernel_args *args)
{
    tribus_cuda_context *c = context_of(device);
    const size_t n = (size_t)args->dims[0], times = (size_t)args->dims[1];
    const uint64_t across = (n + 15) / 16;
    tribus_quant_correlation_args a = {.returns = args->inputs[0],
                                       .factor = args->outputs[0],
                                       .bad = args->scratch,
                                       .standard = (double *)args->scratch + 1,
                                       .matrix = (double *)args->scratch + 1 + n * times,
                                       .keep = 1.0 - args->params[0],
                                       .assets = (uint32_t)n,
                                       .times = (uint32_t)times};
    const size_t panel = n * (TRIBUS_QUANT_CUDA_PANEL + 1) * sizeof(double);
    uint32_t blocks;
    tribus_status st = cluster_of(device, &blocks);

    a.near = panel <= TRIBUS_QUANT_CUDA_SHARED ? 1 : 0;
    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_claim(&c->main, 1);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(
            c,
            c->cu->memset_d8_async((tribus_cu_ptr)(uintptr_t)args->scratch, 0, 8,
                                   c->main.stream),
            "correlation_factor: clear its work");
    if (st == TRIBUS_OK)
        st = launch(device, "tribus_quant_standardise",
                    (tribus_cuda_grid){(uint32_t)n, 128, 0}, &a);
    if (st == TRIBUS_OK)
        st = launch(device, "tribus_quant_correlate",
                    (tribus_cuda_grid){(uint32_t)(across * across), 256, 0}, &a);
    if (st == TRIBUS_OK)
        st = launch(device, "tribus_quant_cholesky_run",
                    (tribus_cuda_grid){blocks, TRIBUS_QUANT_CUDA_MATRIX_THREADS,
                                       a.near != 0 ? (uint32_t)panel : 0},
                    &a);
    return st;
}

tribus_status tribus_quant_cuda_optimise(tribus_device *device,
                                         const tribus_kernel_args *args)
{
    const size_t n = (size_t)args->dims[0];
    tribus_quant_warm *warm = args->scratch;
    double *last = (double *)(void *)(warm + 1);
    tribus_quant_optimise_args a = {
        .mean = args->inputs[0],
        .cov = args->inputs[1],
        .weights = args->outputs[0],
        .quality = args->outputs[1],
        .warm = warm,
        .last = last,
        .gradient = last + n,
        .matrix = (float *)(void *)(last + 3 * n + 2 * (size_t)TRIBUS_QUANT_CUDA_CLUSTER),
        .aversion = args->params[0],
        .most = args->params[1],
        .assets = (uint32_t)n,
        .limit = TRIBUS_QUANT_CUDA_ITERATIONS};
    uint32_t blocks;
    tribus_status st = cluster_of(device, &blocks);
    size_t rows, shared;

    if (st != TRIBUS_OK)
        return st;
    if ((double)n * a.most < 1.0)
        return tribus_error_set(
            TRIBUS_REFUSED, "mean_variance: %zu weights of at most %g cannot add up to 1",
            n, a.most);
    rows = (n + blocks - 1) / blocks;
    shared = 4 * n * sizeof(double) + rows * n * sizeof(float);
    a.near = shared <= TRIBUS_QUANT_CUDA_SHARED ? 1 : 0;
    if (a.near == 0)
        shared = 4 * n * sizeof(double);
    return launch(
        device, "tribus_quant_optimise",
        (tribus_cuda_grid){blocks, TRIBUS_QUANT_CUDA_MATRIX_THREADS, (uint32_t)shared}, &a);
}
