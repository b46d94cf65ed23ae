/* mc_cuda.c -- launch the Monte-Carlo of mc_cuda.cu. */
#include "device/mc_cuda.h"

#include <string.h>

#define THREADS     256u
#define SHARED_MOST 40960u /* of the table: five blocks a multiprocessor still fit */
#define PHILOX_W0   0x9E3779B9u
#define PHILOX_W1   0xBB67AE85u

static uint64_t round_up(uint64_t x, uint64_t to)
{
    return (x + to - 1) / to * to;
}

static uint64_t table_bytes(uint32_t assets)
{
    return ((uint64_t)assets + 3) / 4 * 32;
}

uint64_t tribus_mc_cuda_scratch_bytes(uint32_t assets, uint32_t paths)
{
    return round_up(sizeof(tribus_mc_head), 256) + round_up(table_bytes(assets), 256) +
           (uint64_t)paths * sizeof(float);
}

/* The key of round r is the seed plus r times the Weyl constants. */
static tribus_mc_keys keys_of(uint64_t seed)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    tribus_mc_keys keys;

    keys.first0 = k0;
    keys.first1 = k1;
    keys.second0 = k0 + PHILOX_W0;
    keys.second1 = k1 + PHILOX_W1;
    for (uint32_t r = 2; r < 10; r++) {
        keys.round[2 * (r - 2)] = k0 + r * PHILOX_W0;
        keys.round[2 * (r - 2) + 1] = k1 + r * PHILOX_W1;
    }
    return keys;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

typedef struct addresses {
    tribus_cu_ptr table, head, pnl;
} addresses;

static tribus_status launch(tribus_cuda_context *c, const char *name, uint32_t blocks,
                            uint32_t shared_bytes, void **params)
{
    tribus_cu_function f;
    tribus_status st = tribus_cuda_context_function(c, name, &f);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_launch(
            &c->main, f, (tribus_cuda_grid){blocks, THREADS, shared_bytes}, params);
    return st;
}

/* A square block of threads, which tribus_cuda_stream_launch() has no word for. */
static tribus_status prepare(tribus_cuda_context *c, const tribus_mc_request *q,
                             tribus_mc_run *run, addresses *at)
{
    tribus_mc_request r = *q;
    void *params[] = {&r.forecast, &r.factor,  &r.weights, &r.assets,
                      &run->keys,  &at->table, &at->head};
    tribus_cu_function f;
    tribus_status st = tribus_cuda_context_function(c, "tribus_mc_prepare", &f);

    if (st == TRIBUS_OK)
        st = tribus_cuda_stream_claim(&c->main, 1);
    if (st != TRIBUS_OK)
        return st;
    return tribus_cuda_context_check(c,
                                     c->cu->launch_kernel(f, (q->assets + 31) / 32, 1, 1,
                                                          32, 32, 1, 0, c->main.stream,
                                                          params, NULL),
                                     "launch a kernel");
}

static tribus_status simulate(tribus_cuda_context *c, tribus_mc_run *run, addresses *at)
{
    const uint32_t processors = c->multiprocessors > 0 ? (uint32_t)c->multiprocessors : 1u;
    const uint32_t shared = run->blocks <= SHARED_MOST / 32 ? 32 * run->blocks : 0;
    const uint32_t chunks = (run->paths + 63) / 64;
    void *params[] = {run, &at->table, &at->head, &at->pnl};

    return launch(c, shared == 0 ? "tribus_mc_simulate_large" : "tribus_mc_simulate",
                  least(processors * 3, chunks), shared, params);
}

tribus_status tribus_mc_cuda_run(tribus_cuda_context *context, const tribus_mc_request *q)
{
    const uint32_t passes = least((uint32_t)context->multiprocessors * 2u,
                                  (q->paths + 4 * THREADS - 1) / (4 * THREADS));
    tribus_mc_request r = *q;
    tribus_mc_run run;
    addresses at;
    void *select[] = {&r.paths, &r.tail_paths, &at.head, &at.pnl};
    void *finish[] = {&r.paths, &r.tail_paths, &at.head, &at.pnl, &r.risk};
    tribus_status st;

    memset(&run, 0, sizeof(run));
    run.keys = keys_of(q->seed);
    run.seed = q->seed;
    run.paths = q->paths;
    run.blocks = (uint32_t)(((uint64_t)q->assets + 3) / 4);
    run.nu = q->nu;
    at.head = (tribus_cu_ptr)(uintptr_t)q->scratch;
    at.table = at.head + round_up(sizeof(tribus_mc_head), 256);
    at.pnl = at.table + round_up(table_bytes(q->assets), 256);
    st = prepare(context, q, &run, &at);
    if (st == TRIBUS_OK)
        st = simulate(context, &run, &at);
    if (st == TRIBUS_OK)
        st = launch(context, "tribus_mc_select", passes, 0, select);
    if (st == TRIBUS_OK)
        st = launch(context, "tribus_mc_finish", passes, 0, finish);
    return st;
}
